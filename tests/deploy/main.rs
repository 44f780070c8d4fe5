//! What is in the folder `deploy`: scripts do what they say, certificates that they make are good, and the container file
//! keeps its promises as far as they can be tried without a container engine. And the scripts that run the tests.
#![cfg(all(feature = "server", feature = "rocksdb"))]

#[path = "../harness/mod.rs"]
mod harness;

mod advisories;
mod certificates;
mod checks;
mod container;
