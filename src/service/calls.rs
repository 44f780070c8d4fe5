//! The calls under way.
//!
//! What must stay true: a call is counted before it is let in or turned away, and until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many calls are under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) count: AtomicUsize,
    /// Those of them that are streams of commands.
    stream_count: AtomicUsize,
    pub(super) none_left: Notify,
    /// Calls that were not let in.
    pub(super) turned_away: AtomicUsize,
}

impl Calls {
    /// A further call.
    pub(super) fn begin(self: &Arc<Self>) -> Call {
        self.count.fetch_add(1, Ordering::SeqCst);
        Call { calls: self.clone(), is_stream: false }
    }

    /// Whether more calls than so many are under way that are no streams: about, for they come and go.
    pub(super) fn has_others(&self, own_count: usize) -> bool {
        let stream_count = self.stream_count.load(Ordering::Relaxed);
        self.count.load(Ordering::Relaxed) > stream_count + own_count
    }
}

/// One call under way; counted until it is dropped.
pub(super) struct Call {
    calls: Arc<Calls>,
    is_stream: bool,
}

impl Call {
    /// The same call, which is a stream of commands.
    pub(super) fn of_stream(mut self) -> Self {
        if !std::mem::replace(&mut self.is_stream, true) {
            self.calls.stream_count.fetch_add(1, Ordering::Relaxed);
        }
        self
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_stream {
            self.calls.stream_count.fetch_sub(1, Ordering::Relaxed);
        }
        if self.calls.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.calls.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_knows_whether_anybody_calls_beside_streams() {
        let calls = Arc::new(Calls::default());
        let streams = [calls.begin().of_stream(), calls.begin().of_stream().of_stream()];
        assert_eq!((calls.has_others(0), calls.count.load(Ordering::SeqCst)), (false, 2));
        let till = calls.begin();
        assert!(calls.has_others(0));
        assert!(!calls.has_others(1), "a batch in one call does not count itself");
        drop(streams);
        assert!(calls.has_others(0));
        drop(till);
        assert_eq!((calls.has_others(0), calls.count.load(Ordering::SeqCst)), (false, 0));
    }
}
