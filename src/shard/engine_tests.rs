//! The gate between stamps and publications, step by step: of a command and a publication that concern each other, at
//! least one sees the other, whichever way their steps fall.

use super::*;
use crate::clock::SystemClock;
use crate::ids::IdOptions;
use crate::program::SAMPLE;
use crate::recovery::recover;
use crate::shard::publishing::{Draft, PublishError};
use crate::store::memory::MemoryStore;

/// A ledger whose posting times come from the input, so that any stamp can come at any time; the sample programme is in
/// force since ever.
fn engine() -> Arc<Engine> {
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
    let ids =
        IdOptions { memory_ids_max: 4_096, segment_ids: 1_024, partitions: 2, in_flight_max: 1_024, merge_fan_in: 2 };
    let recovered = recover(&store, identity, &ids, 2, &mut |_, _| {}).expect("an empty directory can be recovered");
    let housekeeping = HousekeeperOptions::default();
    let options = EngineOptions { worker_count: 1, queue_depth: 16, housekeeping };
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
        partner: crate::ledger::types::SymbolId::EMPTY,
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
    assert_eq!(engine.latest_stamp(), Some(TimestampNs(1_500)), "who waits is announced too");
    engine.publish_gate.store(i64::MAX, Ordering::SeqCst);
    assert!(engine.may_stamp(TimestampNs(1_500)));
    engine.stop();
}
