//! Who may do what: credentials, roles, and the one table of what each role may.
//!
//! Reading order: [`grant`] (what a credential allows), [`proposals`] (what waits for a second person), [`keys`] (the keys of a data directory, made from its journal),
//! and at the edge [`table`] (which role may call what), [`secret`] (what must not be shown), [`principal`] (whom a
//! credential stands for), [`gate`] (from a credential to a principal), [`meter`] and [`naming`] (how much it may ask for, and
//! how many names it may bring), [`tokens`] (credentials that somebody else signed) and [`tls`] (who is at the other end of a connection).
//!
//! What must stay true: what is not in the table is denied; a secret is shown once, to whoever asked for the key, and
//! neither kept nor logged; every comparison with a secret takes the same time whatever it finds.

pub mod grant;
pub mod keys;
pub mod proposals;

#[cfg(feature = "server")]
pub mod allowance;
#[cfg(feature = "server")]
pub mod gate;
#[cfg(feature = "server")]
pub mod meter;
#[cfg(feature = "server")]
mod metered;
#[cfg(feature = "server")]
pub mod naming;
#[cfg(feature = "server")]
pub mod principal;
#[cfg(feature = "server")]
pub mod secret;
#[cfg(feature = "server")]
pub mod table;
#[cfg(feature = "server")]
pub mod tls;
#[cfg(feature = "server")]
pub mod tokens;
