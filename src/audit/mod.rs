//! What finance and audit ask of a journal, answered by replaying it.
//!
//! [`export`] states every account as it stood at a time.
//!
//! What must stay true: nothing here changes a data directory; everything goes through [`crate::replay`].

pub mod export;
