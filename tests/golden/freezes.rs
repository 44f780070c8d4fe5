//! One of every record of freezes, what of them snapshots keep, and a basket that a freeze refused.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::samples::refused_accrual;
use crate::support::{NOON, NS_PER_DAY};
use tallystick::journal::record::{Entry, Record};
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

fn frozen_accrual() -> Entry {
    let mut entry = refused_accrual();
    entry.decision.outcome = Outcome::Refused(Refusal::TerminalFrozen);
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    vec![
        ("record-freeze-account", Record::Freeze(of_account(true))),
        ("record-freeze-terminal", Record::Freeze(of_terminal())),
        ("record-freeze-cashier", Record::Freeze(of_cashier())),
        ("record-thaw", Record::Freeze(of_account(false))),
        ("record-accrual-frozen", Record::Entry(Box::new(frozen_accrual()))),
    ]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    vec![("entity-freeze", Entity::FreezeChange(7, Position(1_000_000_000), of_terminal()))]
}
