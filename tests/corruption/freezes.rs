//! Forgeries of freezes, and every hash recomputed: who was frozen when is read back from the list, so a list or a command
//! that was altered decides differently.
//!
//! What must stay true: a freeze that is moved, made for somebody else or left out is found by what it should have refused.

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, NS_PER_SECOND, Setup, assert_intact, programs};
use tallystick::access::proposals::{Act, Proposal, ProposalChange, Verdict};
use tallystick::audit::verify::FindingClass;
use tallystick::clock::Clock;
use tallystick::journal::record::Record;
use tallystick::ledger::decision::{Outcome, Refusal};
use tallystick::ledger::freeze::{FreezeChange, Subject};
use tallystick::ledger::types::{SymbolId, TimestampNs};
use tallystick::shard::freezing::FreezeDraft;
use tallystick::store::memory::MemoryStore;

fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

/// One basket before a freeze, one that it refuses, one after it has ended.
fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", ""));
    let (edge, engine) = (ledger.edge(), &ledger.engine);
    let draft = |freezes| FreezeDraft {
        subject: Subject::Account("m1".into()),
        freezes,
        by: "anna".into(),
        reason_code: "test".into(),
        note: Box::default(),
        alone: true,
    };
    let accrue = |id: &str| {
        ledger.clock.advance(NS_PER_SECOND);
        edge.accrue(&Accrue::simple("m1", id, 1_000))
    };
    assert_eq!(accrue("a").granted(), 10);
    let at = ledger.clock.now();
    let number = engine.propose(None, |_, number| {
        let (by, content) = ("anna".into(), Box::from([7_u8]));
        let expires_at = TimestampNs(at.0 + NS_PER_SECOND);
        let (partner, transaction_id) = (SymbolId::EMPTY, Box::default());
        Ok(Proposal { number, act: Act::Freeze, partner, transaction_id, by, at, expires_at, content })
    });
    let number = number.expect("it fits").expect("nobody has done it");
    let verdict = Verdict { number, confirms: true, by: "ben".into(), at, note: Box::default() };
    let confirmed = engine.confirm(verdict, |engine, verdict| engine.change_freezes(draft(true), Some(verdict)));
    confirmed.expect("it waits").expect("it fits");
    assert_eq!(accrue("b").refusal(), Some(Refusal::AccountFrozen));
    engine.change_freezes(draft(false), None).expect("it is frozen");
    assert_eq!(accrue("c").granted(), 10);
    let report = assert_intact(&store, ledger.stop().digest);
    assert_eq!((report.records.freezes, report.records.proposals, report.records.refused_accruals), (2, 2, 1));
    store
}

/// What is forged, how it is found, and what is said.
type Row = (&'static str, fn(&mut Record) -> bool, FindingClass, &'static str);

fn freeze(record: &mut Record, freezes: bool) -> Option<&mut FreezeChange> {
    match record {
        Record::Freeze(change) if change.freezes == freezes => Some(change),
        _ => None,
    }
}

fn verdict(record: &mut Record) -> Option<&mut Verdict> {
    match record {
        Record::Proposal(ProposalChange::Settled(verdict)) => Some(verdict),
        _ => None,
    }
}

const OUTCOME: &str = "the outcome is recorded as Refused(AccountFrozen), and should be Granted";

const ROWS: [Row; 7] = [
    (
        "the freeze is of somebody else",
        |record| freeze(record, true).map(|change| change.subject = Subject::Account("m2".into())).is_some(),
        FindingClass::Decision,
        OUTCOME,
    ),
    (
        "the freeze begins later",
        |record| freeze(record, true).map(|change| change.at.0 += 10 * NS_PER_SECOND).is_some(),
        FindingClass::Decision,
        OUTCOME,
    ),
    (
        "the freeze begins before what was granted",
        |record| freeze(record, true).map(|change| change.at.0 -= 10 * NS_PER_SECOND).is_some(),
        FindingClass::Freeze,
        "lies before a command that was decided already",
    ),
    (
        "the freeze is a thaw",
        |record| freeze(record, true).map(|change| change.freezes = false).is_some(),
        FindingClass::Freeze,
        "it is not frozen",
    ),
    (
        "the freeze has no end",
        |record| freeze(record, false).map(|change| change.freezes = true).is_some(),
        FindingClass::Freeze,
        "it is frozen already",
    ),
    (
        "who proposed it confirmed it",
        |record| verdict(record).map(|verdict| verdict.by = "anna".into()).is_some(),
        FindingClass::Proposal,
        "confirmed by somebody else",
    ),
    (
        "it was confirmed too late",
        |record| verdict(record).map(|verdict| verdict.at.0 += NS_PER_SECOND).is_some(),
        FindingClass::Proposal,
        "no proposal 1 waits",
    ),
];

#[test]
fn a_forged_freeze_or_verdict_is_found() {
    for (what, change, class, says) in ROWS {
        let store = original();
        let mut forge = Forge::open(&store);
        forge.alter_control(change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!(found.class, class, "{what}: {found}");
        assert!(found.sentence.contains(says), "{what}: {found}");
    }
}

#[test]
fn a_forged_refusal_is_found() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(
        |entry| entry.decision.refusal() == Some(Refusal::AccountFrozen),
        |entry| entry.decision.outcome = Outcome::Refused(Refusal::TerminalFrozen),
    );
    forge.write(&store);
    let found = first_finding(&store, "another refusal");
    assert_eq!((found.class, found.position), (FindingClass::Decision, position), "{found}");
    assert!(found.sentence.contains("Refused(TerminalFrozen), and should be Refused(AccountFrozen)"), "{found}");
}
