//! The program `tallystick`. Everything is in the library; this only starts it.

/// Chosen by measurement: see `docs/performance.md`.
#[cfg(feature = "server")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "server")]
fn main() -> std::process::ExitCode {
    tallystick::cli::run()
}

#[cfg(not(feature = "server"))]
fn main() {
    eprintln!("this build has no command line: it was made without the feature `server`");
}
