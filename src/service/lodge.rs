//! Accruals that are lodged: whoever has one whole leaves it here with what takes its answer, and nobody waits for it. No task is
//! made for it, and nothing is woken but the thread that carries answers.
//!
//! What must stay true: what is lodged is answered once, as [`super::express`] would have answered it, also where whoever has it
//! lets go of it; it counts as under way until then.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::auth::Caller;
use super::batch::{Begun, Detained};
use super::express::message_of;
use super::intake::LeftOpen;
use super::lane::{Answered, Asking};
use super::patience::HEAD_BYTES;
use super::status::Failure;
use super::{Call, Edge};
use crate::shard::job::CommandJob;

/// Takes the answer to one accrual.
pub trait Reply: Send + 'static {
    /// It is this message, with what comes before each message.
    fn answered(self, message: Bytes);

    /// It is this failure.
    fn failed(self, status: Status);

    /// Whether nobody takes it any more; otherwise whoever polls is woken when that is so.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// An accrual that was lodged.
struct Lodged<R: Reply> {
    edge: Arc<Edge>,
    caller: Caller,
    due: Option<Instant>,
    /// Until it is answered, or nobody takes the answer any more.
    reply: Option<R>,
    /// Until it is answered.
    _call: Call,
}

/// Whoever lets go of it says nothing of what became of it: the lane of a thread that has come to grief, or its runtime.
impl<R: Reply> Drop for Lodged<R> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply.failed(Failure::OutcomeUnknown.into());
        }
    }
}

impl Edge {
    /// Takes over a message of one piece that is an `AccrueRequest`, with what comes before each message; it fails if it is not
    /// answered by `due`.
    pub fn lodge(
        self: &Arc<Self>,
        caller: Result<Caller, Status>,
        message: &Bytes,
        due: Option<Instant>,
        reply: impl Reply,
    ) {
        let caller = match caller {
            Ok(caller) => caller,
            Err(denied) => return reply.failed(denied),
        };
        let call = match self.enter() {
            Ok(call) => call,
            Err(failure) => return reply.failed(failure.into()),
        };
        let begun = self.begin_one(&caller, &message.slice(HEAD_BYTES..));
        let lodged = Box::new(Lodged { edge: self.clone(), caller, due, reply: Some(reply), _call: call });
        match begun {
            Ok(Begun::Prepared(job, left_open)) => self.lane.enter(job, left_open, due, lodged),
            Ok(Begun::Detained(answer)) => lodged.wait_for(answer),
            Err(failure) => lodged.answered(Err(failure)),
        }
    }
}

impl<R: Reply> Lodged<R> {
    /// What takes its time has a task of its own, which is given up with the call.
    fn wait_for(mut self: Box<Self>, mut answer: Detained) {
        tokio::spawn(async move {
            let due = self.due;
            let answered = tokio::select! {
                biased;
                answered = &mut answer => answered,
                () = poll_fn(|cx| poll_given_up(&mut self.reply, cx)) => {
                    // Nobody is told.
                    self.reply = None;
                    return;
                }
                () = until(due) => Err(Failure::DeadlineOutcomeUnknown),
            };
            self.answered(answered);
        });
    }
}

/// Whether nobody takes an answer any more.
fn poll_given_up(reply: &mut Option<impl Reply>, cx: &mut Context<'_>) -> Poll<()> {
    reply.as_mut().map_or(Poll::Ready(()), |reply| reply.poll_given_up(cx))
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

impl<R: Reply> Asking for Lodged<R> {
    fn answered(mut self: Box<Self>, answered: Answered) {
        let Some(reply) = self.reply.take() else { return };
        match answered {
            Ok(decision) => reply.answered(message_of(&decision)),
            Err(failure) => reply.failed(self.edge.counted(failure).into()),
        }
    }

    fn detained(self: Box<Self>, job: Box<CommandJob>, left_open: LeftOpen) {
        let answer = self.edge.detained(&self.caller, job, left_open);
        self.wait_for(answer);
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use tokio::sync::watch;
    use tonic_types::StatusExt;

    use super::super::{About, LastRecovery, Life};
    use super::*;
    use crate::access::gate::Gate;
    use crate::access::keys::KeyLog;
    use crate::access::principal::Principal;
    use crate::access::proposals::SecondPerson;
    use crate::clock::{SharedClock, SystemClock};
    use crate::ids::IdOptions;
    use crate::ledger::types::{SymbolId, TimestampNs};
    use crate::recovery::identity::Identity;
    use crate::recovery::recover;
    use crate::recovery::speed::ReplaySpeed;
    use crate::shard::engine::{Engine, EngineOptions, OnFailure};
    use crate::shard::housekeeper::HousekeeperOptions;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    /// A ledger in memory.
    fn engine(clock: &SharedClock) -> Arc<Engine> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let identity = Identity {
            directory_id: *b"a test's ledger!",
            shard_count: 4,
            clock_is_input: false,
            created_at: TimestampNs(0),
            leaf_key: [1; 32],
            id_key: [2; 16],
        };
        identity.write(&*store).unwrap();
        let ids = IdOptions {
            memory_ids_max: 4_096,
            segment_ids: 1_024,
            segment_records: 1_024,
            partitions: 2,
            in_flight_max: 1_024,
            merge_fan_in: 2,
        };
        let recovered = recover(&store, identity, &ids, 2, &mut |_| {}).unwrap();
        let options = EngineOptions { worker_count: 1, queue_depth: 16, housekeeping: HousekeeperOptions::default() };
        let on_failure: OnFailure = Arc::new(|error| panic!("{error}"));
        Engine::start(recovered, store, clock.clone(), options, on_failure).unwrap()
    }

    fn edge() -> Arc<Edge> {
        let clock: SharedClock = Arc::new(SystemClock::new());
        let about = About {
            data_path: String::new(),
            started_at: TimestampNs(0),
            journal_bytes: Box::new(|| 0),
            copy_store: None,
            backup_root: None,
            queue_depth: 16,
            recovery: LastRecovery {
                took_ms: 0,
                replayed_count: 0,
                speed: ReplaySpeed { fixed_ns: 0, record_ns: 1, is_measured: false },
            },
            second_person: SecondPerson::default(),
        };
        let (_, life) = watch::channel(Life::Serving);
        let gate = Gate::open(anyone(), Arc::new(KeyLog::default()), clock.clone());
        Arc::new(Edge::new(engine(&clock), about, life, Arc::new(gate)))
    }

    fn anyone() -> Principal {
        Principal::anyone("north".into(), SymbolId(1))
    }

    /// What callers were told.
    type Notes = Arc<Mutex<Vec<String>>>;

    /// Notes what it is told.
    struct Noting {
        notes: Notes,
        is_given_up: bool,
    }

    impl Reply for Noting {
        fn answered(self, _: Bytes) {
            self.notes.lock().unwrap().push("answered".to_owned());
        }

        fn failed(self, status: Status) {
            let reason = status.get_error_details().error_info().unwrap().reason.clone();
            self.notes.lock().unwrap().push(reason);
        }

        fn poll_given_up(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.is_given_up { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    fn lodged(edge: &Arc<Edge>, notes: &Notes, is_given_up: bool) -> Box<Lodged<Noting>> {
        let caller = Caller { principal: Arc::new(anyone()), deadline_ns: None, permit: None };
        let reply = Some(Noting { notes: notes.clone(), is_given_up });
        Box::new(Lodged { edge: edge.clone(), caller, due: None, reply, _call: edge.enter().unwrap() })
    }

    #[tokio::test]
    async fn whoever_waits_when_nobody_carries_any_more_is_told_that_the_outcome_is_unknown() {
        let (edge, notes) = (edge(), Notes::default());
        let left_open = LeftOpen { receipt_time: false, business_date: false };
        let enter = || {
            let lodged = lodged(&edge, &notes, false);
            edge.lane.enter(Box::new(CommandJob::blank()), left_open, None, lodged);
        };
        let carrying = tokio::spawn(edge.carry());
        tokio::task::yield_now().await;
        enter();
        assert!(notes.lock().unwrap().is_empty(), "it waits");
        // It has its turn once more, and ends with that.
        carrying.abort();
        assert!(carrying.await.unwrap_err().is_cancelled());
        assert_eq!(*notes.lock().unwrap(), ["OUTCOME_UNKNOWN"]);
        enter();
        assert_eq!(*notes.lock().unwrap(), ["OUTCOME_UNKNOWN"; 2], "who comes later is told at once");
        assert_eq!(edge.calls_under_way(), 0);
        edge.engine.stop();
    }

    #[tokio::test]
    async fn an_answer_that_takes_its_time_is_told_once_and_to_nobody_who_has_given_up() {
        let (edge, notes) = (edge(), Notes::default());
        lodged(&edge, &notes, true).wait_for(Box::pin(pending()));
        lodged(&edge, &notes, false).wait_for(Box::pin(ready(Err(Failure::Overloaded))));
        while edge.calls_under_way() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*notes.lock().unwrap(), ["OVERLOADED"]);
        // A runtime that ends lets go of what still waits.
        let waiting = lodged(&edge, &notes, false);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let entered = runtime.enter();
        waiting.wait_for(Box::pin(pending()));
        drop(entered);
        runtime.shutdown_background();
        assert_eq!(*notes.lock().unwrap(), ["OVERLOADED", "OUTCOME_UNKNOWN"]);
        edge.engine.stop();
    }
}
