//! One of every record of freezes and proposals, what of them snapshots keep, a basket that a freeze refused, and
//! records that say whose credentials they bear.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::samples::{publication, refused_accrual};
use crate::support::{NOON, NS_PER_DAY};
use tallystick::access::proposals::{Act, Proposal, ProposalChange, Proposals, Verdict};
use tallystick::journal::record::{Entry, Publication, Record};
use tallystick::ledger::decision::{Outcome, Refusal};
use tallystick::ledger::freeze::{FreezeChange, Subject};
use tallystick::ledger::types::{Position, SymbolId, TimestampNs};
use tallystick::snapshot::entity::Entity;

fn change(subject: Subject, freezes: bool, note: &str) -> FreezeChange {
    FreezeChange {
        subject,
        freezes,
        at: if freezes { NOON } else { TimestampNs(NOON.0 + NS_PER_DAY) },
        by: "key:0102030405060708".into(),
        reason_code: "shared-card".into(),
        note: note.into(),
    }
}

fn of_account(freezes: bool) -> FreezeChange {
    change(Subject::Account("household-000000001234".into()), freezes, "seen in two towns at once")
}

fn of_terminal() -> FreezeChange {
    let subject = Subject::Terminal { partner: SymbolId(2), store: SymbolId(3), terminal: SymbolId(300) };
    change(subject, true, "")
}

fn of_cashier() -> FreezeChange {
    change(Subject::Cashier { partner: SymbolId(2), cashier: SymbolId(5) }, true, "")
}

fn published() -> Publication {
    Publication { actor: "key:0102030405060708".into(), ..publication() }
}

fn frozen_accrual() -> Entry {
    let mut entry = refused_accrual();
    entry.decision.outcome = Outcome::Refused(Refusal::TerminalFrozen);
    entry
}

fn proposal() -> Proposal {
    Proposal {
        number: 3,
        act: Act::Adjust,
        partner: SymbolId(2),
        transaction_id: "adjust-7".into(),
        by: "key:0102030405060708".into(),
        at: NOON,
        expires_at: TimestampNs(NOON.0 + NS_PER_DAY),
        content: b"content".as_slice().into(),
    }
}

fn verdict() -> Verdict {
    let at = TimestampNs(NOON.0 + 1);
    Verdict { number: 3, confirms: true, by: "key:1112131415161718".into(), at, note: "seen".into() }
}

pub fn records() -> Vec<(&'static str, Record)> {
    vec![
        ("record-proposal", Record::Proposal(ProposalChange::Proposed(Box::new(proposal())))),
        ("record-verdict", Record::Proposal(ProposalChange::Settled(verdict()))),
        ("record-program-by", Record::Program(published())),
        ("record-adjustment-signed", Record::Entry(Box::new(crate::operator::signed_adjustment()))),
        ("record-freeze-account", Record::Freeze(of_account(true))),
        ("record-freeze-terminal", Record::Freeze(of_terminal())),
        ("record-freeze-cashier", Record::Freeze(of_cashier())),
        ("record-thaw", Record::Freeze(of_account(false))),
        ("record-accrual-frozen", Record::Entry(Box::new(frozen_accrual()))),
    ]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    let waiting = vec![(Position(1_000_000_000), proposal())];
    let proposals = Proposals::restored(waiting, 3, 5, Some(Position(1_000_000_001)));
    vec![
        ("entity-freeze", Entity::FreezeChange(7, Position(1_000_000_000), of_terminal())),
        ("entity-proposals", Entity::Proposals(Box::new(proposals))),
        ("entity-program-by", Entity::Program(Position(1_000_000_000), Box::new(published()))),
    ]
}
