//! Audit: whoever holds a data directory can show that its history is whole and was decided by the rules, and state
//! every account as it stood at a time.
//!
//! [`verify`] replays the journal from empty and judges every record; [`report`] is what it says. `once` and `budgets`
//! are the two judgements that span the whole history and need a memory of their own. [`export`] states the accounts,
//! in the order of [`natural`]; [`settlement`] what partners have issued and taken.
//!
//! What must stay true: an audit writes nothing; it trusts nothing but the identity and the code; what it cannot
//! promise it says.

mod budgets;
pub mod export;
mod judge;
pub mod natural;
mod once;
pub mod report;
pub mod settlement;
pub mod verify;
