//! Unary accruals: so many calls in flight on each connection, or so many a second whatever the server does.
//!
//! What must stay true: closed loop, a slot sends its next call when the last was answered; open loop, a call's latency
//! counts from the instant at which it was due, so that a server that stands still is charged for every call that
//! should have come meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tonic::Status;
use tonic::client::Grpc;

use super::baskets::Source;
use super::channel::{Connection, accrue, refusal_kind};
use super::error::BenchError;
use super::raw::accrue_response;
use super::recorder::{Measured, Recorder};
use super::run::{Division, Lane, run};

/// Calls that may be open on one connection in the open loop. What is due beyond it is not sent, and counted.
pub(super) const OPEN_CALLS_MAX: usize = 1_000;
/// The open loop looks this often at what is due.
const DUE_INTERVAL: Duration = Duration::from_millis(1);

/// How calls are paced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many calls in flight on each connection.
    Closed {
        /// Calls in flight, at least 1.
        in_flight: usize,
    },
    /// So many calls a second over all connections.
    Open {
        /// Calls a second.
        per_second: u64,
        /// How long each caller waits.
        deadline: Option<Duration>,
    },
}

/// What the calls of one connection share.
struct Calls {
    lane: Lane,
    deadline: Option<Duration>,
    source: RefCell<Source>,
    recorder: RefCell<Recorder>,
    failure: RefCell<Option<BenchError>>,
    last_answer_ns: RefCell<i64>,
}

/// Runs the load; `source` makes the source of a connection from its number.
///
/// # Errors
/// When a call ends otherwise than accepted or refused for want of capacity.
pub fn load(
    division: &Division,
    pace: Pace,
    source: &(dyn Fn(usize) -> Source + Sync),
) -> Result<Measured, BenchError> {
    let connection_count = division.connection_count.max(1) as u64;
    let deadline = match pace {
        Pace::Closed { .. } => None,
        Pace::Open { deadline, .. } => deadline,
    };
    run(division, |lane| {
        let calls = Rc::new(Calls {
            deadline,
            source: RefCell::new(source(lane.index)),
            recorder: RefCell::new(Recorder::new(lane.window)),
            failure: RefCell::new(None),
            last_answer_ns: RefCell::new(lane.window.begin_ns),
            lane,
        });
        async move {
            match pace {
                Pace::Closed { in_flight } => closed(&calls, in_flight).await,
                Pace::Open { per_second, .. } => open(&calls, per_second, connection_count).await,
            }
            let end_ns = calls.lane.window.end_ns;
            calls.recorder.borrow_mut().gap(*calls.last_answer_ns.borrow(), end_ns);
            match calls.failure.borrow_mut().take() {
                Some(error) => Err(error),
                None => Ok(calls.recorder.borrow().clone()),
            }
        }
    })
}

async fn closed(calls: &Rc<Calls>, in_flight: usize) {
    let mut slots = Vec::new();
    for _ in 0..in_flight.max(1) {
        let calls = calls.clone();
        slots.push(tokio::task::spawn_local(async move {
            let mut grpc = Grpc::new(calls.lane.channel.clone());
            while calls.goes_on() {
                calls.one(&mut grpc, calls.lane.now_ns()).await;
            }
        }));
    }
    for slot in slots {
        // A slot that panicked has printed why, and its calls are missing from the count.
        let _ = slot.await;
    }
}

/// When the first call of a connection is due that is one of so many, and how long after it the next. Connections take turns.
pub(super) fn first_due(per_second: u64, connection_count: u64, lane: &Lane) -> (i64, i64) {
    let interval_ns = (1_000_000_000 * connection_count / per_second.max(1)).max(1);
    let interval_ns = i64::try_from(interval_ns).unwrap_or(i64::MAX);
    let shift_ns = interval_ns * i64::try_from(lane.index).unwrap_or(0) / i64::try_from(connection_count).unwrap_or(1);
    (lane.now_ns() + shift_ns, interval_ns)
}

async fn open(calls: &Rc<Calls>, per_second: u64, connection_count: u64) {
    let (mut due_ns, interval_ns) = first_due(per_second, connection_count, &calls.lane);
    let open_count = Rc::new(RefCell::new(0_usize));
    while calls.goes_on() {
        let now_ns = calls.lane.now_ns();
        while due_ns <= now_ns {
            if *open_count.borrow() < OPEN_CALLS_MAX {
                *open_count.borrow_mut() += 1;
                let (calls, open_count) = (calls.clone(), open_count.clone());
                tokio::task::spawn_local(async move {
                    let mut grpc = Grpc::new(calls.lane.channel.clone());
                    calls.one(&mut grpc, due_ns).await;
                    *open_count.borrow_mut() -= 1;
                });
            } else {
                calls.recorder.borrow_mut().refused(now_ns, "NOT_SENT");
            }
            due_ns += interval_ns;
        }
        tokio::time::sleep(DUE_INTERVAL).await;
    }
    // What is open is answered before the connection goes, but does not count.
    while *open_count.borrow() > 0 && calls.failure.borrow().is_none() {
        tokio::time::sleep(DUE_INTERVAL).await;
    }
}

impl Calls {
    fn goes_on(&self) -> bool {
        self.failure.borrow().is_none() && self.lane.now_ns() < self.lane.window.end_ns
    }

    /// Makes a call that was due then.
    async fn one(&self, grpc: &mut Grpc<Connection>, due_ns: i64) {
        let request = self.source.borrow_mut().one();
        let request_bytes = request.len();
        let answer = accrue(grpc, request, self.deadline).await;
        let now_ns = self.lane.now_ns();
        self.lane.pulse.beat(now_ns);
        let mut recorder = self.recorder.borrow_mut();
        recorder.gap(self.last_answer_ns.replace(now_ns), now_ns);
        match answer {
            Ok(answer) => match accrue_response(&answer) {
                Some(verdict) => {
                    recorder.message(now_ns, request_bytes, answer.len());
                    match verdict.counted() {
                        Ok(None) => {
                            recorder.accepted(now_ns, 1);
                            recorder.took(now_ns, now_ns - due_ns);
                        }
                        Ok(Some(kind)) => recorder.refused(now_ns, kind),
                        Err(error) => self.fail(error),
                    }
                }
                None => self.fail(BenchError::Call("an answer cannot be read".to_owned())),
            },
            Err(status) => self.refused(&mut recorder, now_ns, &status),
        }
    }

    fn refused(&self, recorder: &mut Recorder, now_ns: i64, status: &Status) {
        match refusal_kind(status, self.deadline.is_some()) {
            Ok(kind) => recorder.refused(now_ns, &kind),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&self, error: BenchError) {
        // The first is the cause.
        self.failure.borrow_mut().get_or_insert(error);
    }
}
