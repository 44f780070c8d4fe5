//! Scripted failures for a real store, so that a black-box test can watch a whole server meet a full disk or a failed
//! sync without owning a broken disk.
//!
//! What must stay true:
//! - a failed write reaches nothing below; a failed sync is reported after the batch was written below. Between them
//!   they are the two outcomes a caller must survive: after an error the batch may be there or not;
//! - each fault strikes once. Later calls pass, as they do on a real disk after a failed sync, so that code which
//!   retries is caught succeeding.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Batch, Direction, Durability, Space, Store, StoreError, Visit};

/// What a scripted failure looks like to the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultKind {
    /// [`StoreError::DiskFull`].
    DiskFull,
    /// [`StoreError::Io`].
    #[default]
    Io,
}

impl FaultKind {
    /// The error of this kind; `operation` is a noun phrase.
    #[must_use]
    pub fn error(self, operation: &'static str) -> StoreError {
        let path = PathBuf::from("(scripted fault)");
        match self {
            Self::DiskFull => StoreError::DiskFull { path },
            Self::Io => StoreError::Io { path, operation, reason: "the test asked for this failure".to_owned() },
        }
    }
}

/// When to fail, counted over writes with [`Durability::Synced`], the first being 1.
///
/// As text: `write@N`, `sync@N`, or both with a comma, and `:disk-full` or `:io` at the end, such as
/// `write@100:disk-full`. Without an ending the kind is `io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The synced write that fails before anything is written.
    pub fail_write_at: Option<u64>,
    /// The synced write that is written, but reported as failed.
    pub fail_sync_at: Option<u64>,
    /// What the failure looks like.
    pub kind: FaultKind,
}

/// Why a text is not a [`FaultPlan`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a fault plan; an example of one is \"write@100:disk-full\" or \"sync@7:io\"")]
pub struct FaultPlanError {
    /// What was given.
    pub text: String,
}

impl FromStr for FaultPlan {
    type Err = FaultPlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || FaultPlanError { text: text.to_owned() };
        let (points, kind) = text.split_once(':').unwrap_or((text, "io"));
        let kind = match kind {
            "disk-full" => FaultKind::DiskFull,
            "io" => FaultKind::Io,
            _ => return Err(refused()),
        };
        let mut plan = Self { kind, ..Self::default() };
        for point in points.split(',') {
            let (what, number) = point.split_once('@').ok_or_else(refused)?;
            let number: u64 = number.parse().ok().filter(|&number| number > 0).ok_or_else(refused)?;
            let slot = match what {
                "write" => &mut plan.fail_write_at,
                "sync" => &mut plan.fail_sync_at,
                _ => return Err(refused()),
            };
            if slot.replace(number).is_some() {
                return Err(refused());
            }
        }
        Ok(plan)
    }
}

/// A store that fails where its plan says.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    plan: FaultPlan,
    synced_write_count: AtomicU64,
}

impl<S: Store> FaultyStore<S> {
    /// Wraps `inner`; the count starts at zero.
    #[must_use]
    pub fn new(inner: S, plan: FaultPlan) -> Self {
        Self { inner, plan, synced_write_count: AtomicU64::new(0) }
    }

    /// The store below.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Synced writes asked for so far, failed ones included.
    #[must_use]
    pub fn synced_write_count(&self) -> u64 {
        self.synced_write_count.load(Ordering::SeqCst)
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        if durability == Durability::Deferred {
            return self.inner.write(batch, durability);
        }
        let number = self.synced_write_count.fetch_add(1, Ordering::SeqCst) + 1;
        if self.plan.fail_write_at == Some(number) {
            return Err(self.plan.kind.error("a write"));
        }
        self.inner.write(batch, durability)?;
        if self.plan.fail_sync_at == Some(number) {
            return Err(self.plan.kind.error("a sync"));
        }
        Ok(())
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        self.inner.flush(space)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(space, from, direction, visit)
    }

    fn empty(&self, space: Space) -> Result<(), StoreError> {
        self.inner.empty(space)
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.inner.write_mark(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read_mark()
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;
    use crate::store::memory::MemoryStore;

    conformance::tests!(|| (FaultyStore::new(MemoryStore::new(), FaultPlan::default()), ()));

    fn put(key: &[u8]) -> Batch {
        let mut batch = Batch::default();
        batch.put(Space::Journal, key, b"value");
        batch
    }

    fn has(store: &FaultyStore<MemoryStore>, key: &[u8]) -> bool {
        store.get(Space::Journal, key).unwrap().is_some()
    }

    #[test]
    fn a_failed_write_is_absent_and_strikes_at_its_number_only() {
        let plan = "write@2:disk-full".parse().unwrap();
        let store = FaultyStore::new(MemoryStore::new(), plan);
        store.write(&put(b"1"), Durability::Synced).unwrap();
        store.write(&put(b"not counted"), Durability::Deferred).unwrap();
        assert!(matches!(store.write(&put(b"2"), Durability::Synced), Err(StoreError::DiskFull { .. })));
        store.write(&put(b"3"), Durability::Synced).unwrap();
        assert!(has(&store, b"1") && !has(&store, b"2") && has(&store, b"3"));
        assert_eq!(store.synced_write_count(), 3);
    }

    #[test]
    fn a_failed_sync_leaves_the_batch_behind() {
        let store = FaultyStore::new(MemoryStore::new(), "sync@1".parse().unwrap());
        assert!(matches!(store.write(&put(b"1"), Durability::Synced), Err(StoreError::Io { operation: "a sync", .. })));
        assert!(has(&store, b"1"));
    }

    #[test]
    fn plans_are_read_from_text() {
        let plan: FaultPlan = "write@3,sync@5:disk-full".parse().unwrap();
        let expected = FaultPlan { fail_write_at: Some(3), fail_sync_at: Some(5), kind: FaultKind::DiskFull };
        assert_eq!(plan, expected);
        for text in ["", "write", "write@", "write@0", "write@x", "write@1:fire", "flush@1", "write@1,write@2"] {
            assert_eq!(FaultPlan::from_str(text), Err(FaultPlanError { text: text.to_owned() }));
        }
    }
}
