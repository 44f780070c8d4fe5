//! The gate between stamps and publications, step by step: of a command and a publication that concern each other, at
//! least one sees the other, whichever way their steps fall; so of a proposal and what it asks for. And the seats of workers:
//! who does what is brought to them.

use std::time::Duration;

use super::*;
use crate::access::proposals::{Act, Proposal, Proposals, Verdict};
use crate::clock::SystemClock;
use crate::ids::{Claiming, IdOptions};
use crate::ledger::freeze::Subject;
use crate::ledger::state::account_hash;
use crate::ledger::types::{AccountNumber, Day, ProgramVersion, SymbolId};
use crate::program::SAMPLE;
use crate::recovery::recover;
use crate::shard::freezing::FreezeDraft;
use crate::shard::job::{ClaimedIds, CommandBatch, CommandJob, Mailbox};
use crate::shard::publishing::{Draft, PublishError};
use crate::store::memory::MemoryStore;

/// A ledger whose posting times come from the input, so that any stamp can come at any time; the sample programme is in
/// force since ever.
fn engine() -> Arc<Engine> {
    engine_of(1)
}

fn engine_of(worker_count: usize) -> Arc<Engine> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let identity = Identity {
        directory_id: *b"engine's test id",
        shard_count: 4,
        clock_is_input: true,
        created_at: TimestampNs(0),
        leaf_key: [1; 32],
        id_key: [2; 16],
    };
    identity.write(&*store).expect("memory takes it");
    let ids = IdOptions {
        memory_ids_max: 4_096,
        segment_ids: 1_024,
        segment_records: 1_024,
        partitions: 2,
        in_flight_max: 1_024,
        merge_fan_in: 2,
    };
    let recovered = recover(&store, identity, &ids, 2, &mut |_| {}).expect("an empty directory can be recovered");
    let housekeeping = HousekeeperOptions::default();
    let options = EngineOptions { worker_count, queue_depth: 16, housekeeping };
    let on_failure: OnFailure = Arc::new(|error| panic!("{error}"));
    let engine = Engine::start(recovered, store, Arc::new(SystemClock::new()), options, on_failure);
    let engine = engine.expect("the engine starts");
    engine.publish(draft(i64::MIN)).expect("the sample can be published");
    engine
}

fn draft(effective_at: i64) -> Draft {
    Draft {
        source: SAMPLE.to_owned(),
        effective_at: TimestampNs(effective_at),
        partner: SymbolId::EMPTY,
        transaction_id: Box::default(),
        actor: Box::default(),
        confirmed: None,
    }
}

#[test]
fn a_stamp_is_announced_before_the_gate_is_looked_at() {
    let engine = engine();
    assert!(engine.may_stamp(TimestampNs(1_000)));
    // A command is stamped 2000. Between its two steps a version that takes effect at 1500 is published as a whole. Had
    // the command looked at the gate first, it would go on under the old version, and the publication would not know.
    let mut published = None;
    let goes_on = engine.may_stamp_around(TimestampNs(2_000), || published = Some(engine.publish(draft(1_500))));
    assert!(goes_on, "the gate is open again after the publication");
    match published {
        Some(Err(PublishError::TooEarly { earliest })) => assert_eq!(earliest, TimestampNs(2_000)),
        other => panic!("the version takes effect before a command that goes on: {other:?}"),
    }
    assert_eq!(engine.programs().latest().map(|program| program.version.0), Some(1));
    // Before every stamp that was announced nothing takes effect; after it something may.
    engine.publish(draft(2_001)).expect("it lies after everything that was stamped");
    engine.stop();
}

#[test]
fn a_closed_gate_holds_up_what_the_version_would_judge_and_nothing_else() {
    let engine = engine();
    engine.publish_gate.store(1_500, Ordering::SeqCst);
    assert!(engine.may_stamp(TimestampNs(1_499)));
    assert!(!engine.may_stamp(TimestampNs(1_500)));
    assert_eq!(engine.latest_stamp(), TimestampNs(1_500), "who waits is announced too");
    engine.publish_gate.store(i64::MAX, Ordering::SeqCst);
    assert!(engine.may_stamp(TimestampNs(1_500)));
    engine.stop();
}

#[test]
fn what_was_stamped_and_not_posted_moves_neither_reads_nor_freezes() {
    let engine = engine();
    assert!(engine.may_stamp(TimestampNs(1_000_000)));
    assert_eq!(engine.latest_posted(), None);
    call(&engine, 0, 1);
    assert_eq!(engine.latest_posted(), Some(TimestampNs(0)));
    let frozen = FreezeDraft {
        subject: Subject::Account("m1".into()),
        freezes: true,
        by: "key:1".into(),
        reason_code: "test".into(),
        note: Box::default(),
        alone: true,
    };
    engine.change_freezes(frozen, None).expect("it fits");
    assert_eq!(engine.latest_posted(), Some(TimestampNs(2)), "what is read now is frozen");
    // A version takes effect after all that was stamped even so: it is judged at the edge, before anything is decided.
    match engine.publish(draft(1_000_000)) {
        Err(PublishError::TooEarly { earliest }) => assert_eq!(earliest, TimestampNs(1_000_000)),
        other => panic!("a command with this stamp may be on its way: {other:?}"),
    }
    engine.stop();
}

const SKEW_NS: i64 = limits::FUTURE_SKEW_SECONDS_DEFAULT * 1_000_000_000;

/// The sample with the days of Tokyo, which begin eight hours before those of Vienna.
fn abroad(effective_at: i64) -> Draft {
    let source = SAMPLE.replacen("Europe/Vienna", "Asia/Tokyo", 1);
    assert_ne!(source, SAMPLE);
    Draft { source, ..draft(effective_at) }
}

#[test]
fn a_version_with_another_time_zone_takes_effect_after_every_receipt_that_may_have_earned() {
    let engine = engine();
    assert!(engine.may_stamp(TimestampNs(2_000)));
    match engine.publish(abroad(2_000 + SKEW_NS)) {
        Err(PublishError::ZoneTooSoon { earliest }) => assert_eq!(earliest, TimestampNs(2_000 + SKEW_NS)),
        other => panic!("a receipt that is dated then may have earned: {other:?}"),
    }
    // Under one with the zone of before no receipt has another day.
    engine.publish(draft(2_001)).expect("it lies after everything that was stamped");
    // Between the two steps of a command that may bring a receipt of the version's first instant.
    let mut published = None;
    let publish = || published = Some(engine.publish(abroad(3_000 + SKEW_NS)));
    assert!(engine.may_stamp_around(TimestampNs(3_000), publish), "the gate is open again");
    assert!(matches!(published, Some(Err(PublishError::ZoneTooSoon { .. }))), "{published:?}");
    engine.publish(abroad(3_001 + SKEW_NS)).expect("whatever has earned is dated before");
    engine.stop();
}

/// When it is one o'clock in Tokyo and the day before in Vienna: on the second and the first day of 1970.
const IN_THE_NIGHT: TimestampNs = TimestampNs(16 * 3_600 * 1_000_000_000);

/// What a receipt of [`IN_THE_NIGHT`] is refused for that was named by a day since 1970-01-01, by whoever knew the version
/// `day_by`, or by its caller.
fn refusal_of(engine: &Engine, transaction_id: &str, day: i32, day_by: Option<u32>) -> Option<Refusal> {
    let (answered, answers) = std::sync::mpsc::channel();
    let mut job = Box::new(CommandJob::blank());
    job.command.account_id = "member".to_owned();
    job.command.transaction_id = transaction_id.to_owned();
    job.account_hash = account_hash(&job.command.account_id);
    job.stamp = IN_THE_NIGHT;
    job.day_by = day_by.map(ProgramVersion);
    let basket = job.basket_mut();
    (basket.receipt_at, basket.business_day) = (IN_THE_NIGHT, Day(day));
    job.ids = ClaimedIds::alone(engine.hasher.transaction("", transaction_id));
    engine.shared.ids.claim_many(&[job.ids.transaction], &mut Claiming::default()).expect("memory can be read");
    let worker = engine.worker_of(job.account_hash);
    let batch = CommandBatch::new(vec![job], Arc::new(Answers(answered)));
    assert!(engine.submit_to(worker, Job::Commands(batch), Rank::Urgent).is_ok(), "there is room");
    let batch = answers.recv_timeout(ANSWERED_WITHIN).expect("it is answered");
    assert_eq!(engine.shared.ids.stats().claim_count, 0, "nothing is claimed any more");
    batch.jobs[0].outcome.refusal()
}

#[test]
fn a_receipt_whose_day_another_version_has_changed_since_it_was_named_is_not_decided() {
    let engine = engine();
    engine.publish(abroad(0)).expect("nothing was stamped yet");
    // The first day is Vienna's, the second Tokyo's.
    let rows = [
        ("named by the old zone", 0, Some(1), Some(Refusal::Overloaded)),
        ("named by the new zone", 1, Some(2), None),
        ("by whom it was known before, and of the same day", 1, Some(1), None),
        ("the day of the store", 0, None, None),
    ];
    for (name, day, day_by, expected) in rows {
        assert_eq!(refusal_of(&engine, name, day, day_by), expected, "{name}");
    }
    // Nothing was consumed: named again it is decided.
    assert_eq!(refusal_of(&engine, rows[0].0, 1, Some(2)), None);
    engine.stop();
}

#[test]
fn what_was_confirmed_since_its_id_was_looked_for_is_not_proposed_again() {
    let engine = engine();
    let id = engine.hasher.transaction("", "p-1");
    let propose = |id| {
        let proposal = |_: &Proposals, number| {
            let (by, content) = ("anna".into(), Box::from([7_u8]));
            let (partner, transaction_id) = (SymbolId::EMPTY, "p-1".into());
            let (at, expires_at) = (TimestampNs(1), TimestampNs(9));
            Ok(Proposal { number, act: Act::Publish, partner, transaction_id, by, at, expires_at, content })
        };
        engine.propose(id, proposal).expect("it fits")
    };
    assert_eq!(propose(Some(id)), Some(1));
    let verdict = Verdict { number: 1, confirms: true, by: "ben".into(), at: TimestampNs(2), note: Box::default() };
    let confirmed = engine.confirm(verdict, |engine, verdict| {
        engine.publish(Draft { transaction_id: "p-1".into(), confirmed: Some(verdict), ..draft(2_000) })
    });
    confirmed.expect("it waits").expect("it can be published");
    // Anna sends it again. She found the id free; before her turn came it was confirmed, and waits no more.
    assert_eq!(propose(Some(id)), None);
    assert_eq!(engine.shared.proposals.look(|proposals| (proposals.count(), proposals.iter().count())), (1, 0));
    // What has no id is proposed as often as it is asked for.
    assert_eq!(propose(None), Some(2));
    engine.stop();
}

/// A question about an account that is answered with the name of the thread that answers it.
fn asked() -> (Job, std::sync::mpsc::Receiver<Option<String>>) {
    let (told, answer) = std::sync::mpsc::channel();
    let name = move |_| {
        assert!(is_at_a_worker(), "a panic of whoever is here leaves a state that nobody knows");
        told.send(thread_name()).expect("somebody waits");
    };
    (Job::AccountId(ShardId(1), AccountNumber(0), Box::new(name)), answer)
}

fn thread_name() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}

const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn whoever_brings_a_job_does_it_where_nobody_else_is_at_the_worker() {
    let engine = engine();
    let done_here = (0..1_000).any(|_| {
        let (job, answer) = asked();
        assert!(engine.submit(ShardId(1), job).is_ok());
        let name = answer.recv_timeout(ANSWERED_WITHIN).expect("somebody answers");
        assert!(name == thread_name() || name.as_deref() == Some("worker-0"), "{name:?}");
        name == thread_name()
    });
    assert!(done_here && !is_at_a_worker());
    engine.stop();
}

#[test]
fn nothing_is_done_while_the_seats_are_kept_and_everything_once_they_are_free() {
    let engine = engine_of(2);
    let kept: Vec<_> = engine.seats.iter().map(|seat| seat.keep().expect("the ledger runs")).collect();
    assert!(is_at_a_worker(), "a panic of whoever keeps them leaves seats that nobody takes");
    let (job, answer) = asked();
    assert!(engine.submit(ShardId(1), job).is_ok());
    assert!(answer.recv_timeout(Duration::from_millis(50)).is_err());
    drop(kept);
    assert!(!is_at_a_worker());
    // Its thread sleeps until it is woken.
    assert_eq!(answer.recv_timeout(ANSWERED_WITHIN), Ok(Some("worker-1".to_owned())));
    engine.stop();
    assert!(engine.seats.iter().all(|seat| seat.keep().is_none()), "there is nobody any more");
}

#[test]
fn what_takes_long_is_left_to_the_workers_own_thread_and_so_is_what_comes_after_it() {
    let engine = engine();
    let (told, answers) = std::sync::mpsc::channel();
    for _ in 0..100 {
        let (first, second) = (told.clone(), told.clone());
        let survey = move |_| first.send(("survey", thread_name())).expect("somebody waits");
        assert!(engine.submit(ShardId(1), Job::Survey(true, Box::new(survey))).is_ok());
        let after = move |_| second.send(("after it", None)).expect("somebody waits");
        assert!(engine.submit(ShardId(1), Job::AccountId(ShardId(1), AccountNumber(0), Box::new(after))).is_ok());
        assert_eq!(answers.recv_timeout(ANSWERED_WITHIN), Ok(("survey", Some("worker-0".to_owned()))));
        assert_eq!(answers.recv_timeout(ANSWERED_WITHIN), Ok(("after it", None)));
    }
    engine.stop();
}

/// Takes the batches of one caller.
struct Answers(std::sync::mpsc::Sender<CommandBatch>);

impl Mailbox for Answers {
    fn deliver(&self, batch: CommandBatch) {
        self.0.send(batch).expect("somebody waits");
    }
}

/// Commands of one caller one after the other, each of which waits for the answer before it. Here the worker's thread
/// sleeps until it is woken: what is left lying is not answered.
fn call(engine: &Engine, caller: usize, count: usize) {
    let (answered, answers) = std::sync::mpsc::channel();
    let mailbox: Arc<dyn Mailbox> = Arc::new(Answers(answered));
    let mut claiming = Claiming::default();
    for number in 0..count {
        let mut job = Box::new(CommandJob::blank());
        job.command.account_id = format!("member-{caller}");
        job.command.transaction_id = format!("{caller}-{number}");
        job.account_hash = account_hash(&job.command.account_id);
        job.ids = ClaimedIds::alone(engine.hasher.transaction("", &job.command.transaction_id));
        engine.shared.ids.claim_many(&[job.ids.transaction], &mut claiming).expect("memory can be read");
        let batch = CommandBatch::new(vec![job], mailbox.clone());
        let worker = engine.worker_of(account_hash(&format!("member-{caller}")));
        let taken = engine.submit_to(worker, Job::Commands(batch), Rank::Urgent);
        assert!(taken.is_ok(), "there is room for all callers");
        let batch = answers.recv_timeout(ANSWERED_WITHIN).expect("it is answered");
        let outcome = &batch.jobs[0].outcome;
        assert!(outcome.refusal().is_none() && outcome.position.is_some(), "{outcome:?}");
    }
}

#[test]
fn nothing_is_left_lying_by_those_who_find_somebody_at_the_worker() {
    [1, 2].into_iter().for_each(call_together);
}

fn call_together(worker_count: usize) {
    let engine = engine_of(worker_count);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let engine = &engine;
            let called = std::thread::Builder::new().name(format!("caller-{caller}"));
            called.spawn_scoped(scope, move || call(engine, caller, 5_000)).expect("threads are to be had");
        }
        for _ in 0..50 {
            let (job, answer) = asked();
            assert!(engine.submit(ShardId(1), job).is_ok());
            assert!(answer.recv_timeout(ANSWERED_WITHIN).is_ok());
            engine.snapshot().expect("a snapshot can be taken");
        }
    });
    let stopped = engine.stop().expect("it has not failed");
    assert!(stopped.end.0 >= 4 * 5_000, "{:?}", stopped.end);
}

/// A ledger that fails while somebody is at the worker lets go of what waits as soon as they leave.
#[test]
fn a_ledger_that_has_failed_ends_though_somebody_is_at_the_worker() {
    let engine = engine();
    let (told, arrived) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<()>();
    let stay = move |_| {
        told.send(()).expect("somebody waits");
        left.recv().expect("somebody lets it go on");
    };
    let job = Job::AccountId(ShardId(1), AccountNumber(0), Box::new(stay));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(engine.submit(ShardId(1), job).is_ok()));
        arrived.recv_timeout(ANSWERED_WITHIN).expect("somebody does it");
        let (job, answer) = asked();
        assert!(engine.submit(ShardId(1), job).is_ok());
        engine.signs.failed.store(true, Ordering::SeqCst);
        engine.seats.iter().for_each(|seat| seat.ring());
        leave.send(()).expect("somebody waits");
        // By the same turn, or nobody any more.
        assert_ne!(answer.recv_timeout(ANSWERED_WITHIN), Err(std::sync::mpsc::RecvTimeoutError::Timeout));
    });
    // Its thread has been woken for the end, and goes without being told to stop.
    let has_gone = || engine.workers.lock().expect("no holder panics").iter().all(JoinHandle::is_finished);
    for _ in 0..6_000 {
        if has_gone() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(has_gone());
    assert!(engine.stop().is_none());
}
