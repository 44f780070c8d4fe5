//! Who calls: the principal that a credential stands for, and until when the caller waits.
//!
//! What must stay true: this is the one place where a principal is made; no other code looks at credentials, and no
//! field of a request names a partner.

use std::sync::Arc;

use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::deadline::Timeout;
use super::status::Failure;
use crate::clock::SharedClock;
use crate::ledger::types::SymbolId;

/// Whom a credential stands for.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The partner that the call acts for.
    pub partner: Arc<str>,
    /// The partner, interned.
    pub symbol: SymbolId,
}

/// One call's principal and deadline.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whom the call acts for.
    pub principal: Principal,
    /// When the caller stops waiting, on the monotonic clock, in nanoseconds.
    pub deadline_ns: Option<i64>,
}

impl Caller {
    /// The caller of a request.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Failure> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| Failure::internal("a request came past the authenticator"))
    }
}

/// Turns credentials into principals. Today every caller is the partner that the configuration names.
#[derive(Clone)]
pub struct Authenticator {
    principal: Principal,
    clock: SharedClock,
}

impl Authenticator {
    /// Takes every caller for this principal.
    #[must_use]
    pub fn new(principal: Principal, clock: SharedClock) -> Self {
        Self { principal, clock }
    }
}

impl Interceptor for Authenticator {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let timeout = request.extensions().get::<Timeout>();
        let deadline_ns = timeout.map(|timeout| self.clock.monotonic_ns().saturating_add(timeout.0));
        request.extensions_mut().insert(Caller { principal: self.principal.clone(), deadline_ns });
        Ok(request)
    }
}
