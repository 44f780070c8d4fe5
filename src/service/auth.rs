//! Who calls: the principal that a credential stands for, and until when the caller waits.
//!
//! What must stay true: this is the one place where a principal is made; no other code looks at credentials, and no
//! field of a request names a partner.

use std::sync::Arc;

use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

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
        let deadline_ns =
            timeout_ns(request.metadata()).map(|timeout_ns| self.clock.monotonic_ns().saturating_add(timeout_ns));
        request.extensions_mut().insert(Caller { principal: self.principal.clone(), deadline_ns });
        Ok(request)
    }
}

/// How long the caller waits, from the header `grpc-timeout`: up to eight digits and a unit. A header that cannot be
/// read is as good as none, as the transport judges it too.
fn timeout_ns(metadata: &MetadataMap) -> Option<i64> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let unit_ns: i64 = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return None,
    };
    digits.parse::<i64>().ok().map(|count| count.saturating_mul(unit_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit() {
        let rows = [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("3S", Some(3_000_000_000)),
            ("250m", Some(250_000_000)),
            ("7u", Some(7_000)),
            ("0n", Some(0)),
            ("99999999H", Some(i64::MAX)),
            ("123456789n", None),
            ("5", None),
            ("S", None),
            ("-1S", None),
            ("5x", None),
        ];
        for (text, expected) in rows {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(timeout_ns(&metadata), expected, "{text}");
        }
        assert_eq!(timeout_ns(&MetadataMap::new()), None);
    }
}
