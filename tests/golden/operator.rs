//! One of every record of what caps hold and operators decide, and an account of which something is held.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::movements::{change, entry, mortal};
use crate::profiles::MEMBER;
use crate::samples::{lot_change, lot_key, one_line_accrual, reversal_of};
use crate::support::{NOON, NS_PER_DAY};
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::account::{Account, Lot, Profile};
use tallystick::ledger::command::{CommandKind, Granted};
use tallystick::ledger::decision::{
    CellUse, CounterChange, Decision, Effects, LotChange, LotKey, Movement, Outcome, Refusal, TotalsChange,
};
use tallystick::ledger::held::{HeldChange, HeldName, HeldTransaction};
use tallystick::ledger::operator::{Adjustment, HeldOriginal, Operation, OperatorOrder, Remark, Restoration};
use tallystick::ledger::packed::Packed;
use tallystick::ledger::types::{AccountNumber, CellId, Day, Position, Seq, ShardId, SymbolId, TimestampNs, WalletId};
use tallystick::snapshot::entity::Entity;

/// Pending until its minute, and held.
fn held_key() -> LotKey {
    LotKey { available_from_minute: 24_827_520, ..mortal(2, 380) }.held()
}

fn name(transaction_id: &str) -> HeldName {
    HeldName { partner: SymbolId(2), transaction_id: transaction_id.into() }
}

fn held(change: HeldChange) -> Option<Box<HeldChange>> {
    Some(Box::new(change))
}

/// Draws on a store's cap, which holds it.
fn held_accrual() -> Entry {
    let mut entry = one_line_accrual();
    let name = name(&entry.command.transaction_id);
    let decision = &mut entry.decision;
    let cell = CellId { name: SymbolId(7), subject: [2, 3, 0].map(SymbolId), period: 17_226 };
    let taken = CellUse { cell, version: 70, room_before: 20, used: 150, retain_until: Day(17_258) };
    decision.cells.push(taken);
    decision.effects.lots = vec![lot_change(held_key(), decision.granted)];
    decision.effects.held = held(HeldChange::Begins(name, SymbolId(7)));
    entry
}

fn held_reversal() -> Entry {
    let original = held_accrual();
    let mut entry = reversal_of(&original);
    entry.decision.effects.held = held(HeldChange::Ends(name(&original.command.transaction_id)));
    entry
}

fn operation(order: OperatorOrder, decision: Decision) -> Entry {
    let remark = Remark {
        reason_code: "staff-party".into(),
        note: "Twelve colleagues on one card; the manager called.".into(),
        operator: "ada".into(),
        ..Remark::default()
    };
    entry(CommandKind::Operate(Box::new(Operation { remark, order })), decision)
}

fn original(granted: Granted) -> HeldOriginal {
    let transaction_id = held_accrual().command.transaction_id.into();
    HeldOriginal { transaction_id, position: Position(1_000_000_000), granted }
}

fn release() -> Entry {
    let granted = held_accrual().held().expect("it is held");
    let (key, units) = (held_key(), granted.units);
    let lots = vec![change(key, -units, Movement::Release), change(key.released(), units, Movement::Release)];
    let original = original(granted);
    let ends = held(HeldChange::Ends(name(&original.transaction_id)));
    let effects = Effects { lots, held: ends, ..Effects::default() };
    let decision = Decision { effects, balance_after: 150, ..Decision::default() };
    operation(OperatorOrder::Release(original), decision)
}

/// The day's counter is a member's.
fn held_accrual_of_member() -> Entry {
    let mut entry = held_accrual();
    entry.command.member = MEMBER;
    entry.decision.effects.counters[0].member = MEMBER;
    entry
}

/// What it drew on is bounded together with two windows that had given something before.
fn accrual_of_windows() -> Entry {
    let mut entry = held_accrual();
    let present = *entry.decision.cells.last().expect("it drew on one");
    let before = |period, version, room_before| CellUse {
        cell: CellId { period, ..present.cell },
        version,
        room_before,
        used: 0,
        retain_until: Day(17_258 - 17_226 + period),
    };
    let at = entry.decision.cells.len() - 1;
    entry.decision.cells.splice(at..at, [before(17_224, 31, 90), before(17_225, 9, 40)]);
    entry
}

fn rejection(of: &Entry) -> Entry {
    let granted = of.rejectable().expect("it is held");
    let returned = granted.cells.iter().map(|taken| CellUse {
        version: taken.version + 9,
        room_before: 0,
        used: -taken.used,
        ..*taken
    });
    let counters = granted.counters.iter().map(|change| CounterChange { delta: -change.delta, ..*change });
    let effects = Effects {
        lots: vec![change(held_key(), -granted.units, Movement::Reverse)],
        counters: counters.collect(),
        totals: TotalsChange::of_reversal(),
        held: held(HeldChange::Ends(name(&held_accrual().command.transaction_id))),
        ..Effects::default()
    };
    let decision = Decision { granted: -granted.units, cells: returned.collect(), effects, ..Decision::default() };
    operation(OperatorOrder::Reject(original(granted)), decision)
}

fn restoration_order() -> OperatorOrder {
    let expires_at = TimestampNs(NOON.0 + 30 * NS_PER_DAY);
    let lots = vec![(mortal(2, -3), 7), (mortal(2, -1), 40)];
    OperatorOrder::Restore(Restoration { expiry: Position(1_000_000_012), expires_at, lots })
}

fn restoration() -> Entry {
    let restored = |units| change(mortal(2, 30), units, Movement::Restore);
    let lots = vec![change(mortal(3, -2), -5, Movement::Expire), restored(7), restored(40)];
    let effects = Effects { lots, ..Effects::default() };
    operation(restoration_order(), Decision { granted: 47, effects, balance_after: 60, ..Decision::default() })
}

fn adjustment(units: i64, expires_at: Option<TimestampNs>, lots: Vec<LotChange>) -> Entry {
    let order = OperatorOrder::Adjust(Adjustment { wallet: WalletId(0), units, expires_at });
    let effects = Effects { lots, ..Effects::default() };
    operation(order, Decision { granted: units, effects, balance_after: 60, ..Decision::default() })
}

fn refused(order: OperatorOrder, refusal: Refusal) -> Entry {
    operation(order, Decision { outcome: Outcome::Refused(refusal), balance_after: 12, ..Decision::default() })
}

/// A correction with whose credentials asked for it and confirmed it, and no name of a person.
pub fn signed_adjustment() -> Entry {
    let mut entry = adjustment(25, None, vec![lot_change(mortal(2, 30), 25)]);
    if let CommandKind::Operate(operation) = &mut entry.command.kind {
        operation.remark.operator = "".into();
        operation.remark.actor = "key:0102030405060708".into();
        operation.remark.confirmer = "key:1112131415161718".into();
    }
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let until = TimestampNs(NOON.0 + 30 * NS_PER_DAY);
    let taking = Adjustment { wallet: WalletId(0), units: -90, expires_at: None };
    let taken = vec![change(mortal(2, 30), -40, Movement::Reverse), change(lot_key(), -50, Movement::Reverse)];
    let below = refused(OperatorOrder::Adjust(taking), Refusal::InsufficientBalance);
    vec![
        ("record-accrual-held", record(held_accrual())),
        ("record-reversal-held", record(held_reversal())),
        ("record-release", record(release())),
        ("record-rejection", record(rejection(&held_accrual()))),
        ("record-rejection-member", record(rejection(&held_accrual_of_member()))),
        ("record-accrual-windows", record(accrual_of_windows())),
        ("record-restoration", record(restoration())),
        ("record-restoration-refused", record(refused(restoration_order(), Refusal::BalanceLimitExceeded))),
        ("record-adjustment", record(adjustment(25, Some(until), vec![lot_change(mortal(2, 30), 25)]))),
        ("record-adjustment-taking", record(adjustment(-90, None, taken))),
        ("record-adjustment-refused", record(below)),
    ]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    let one = |transaction_id: &str, units| HeldTransaction {
        partner: SymbolId(2),
        transaction_id: transaction_id.into(),
        cap: SymbolId(7),
        lot: held_key(),
        units,
        held_at: NOON,
    };
    let account = Account {
        id: "member-13".into(),
        seq: Seq(83),
        position: Some(Position(1_000_000_023)),
        opened_at: NOON,
        lots: vec![Lot { key: held_key(), remaining: 190 }],
        profile: Some(Box::new(Profile { held: vec![one("sale-17", 40), one("sale-18", 150)], ..Profile::default() })),
        ..Account::default()
    };
    vec![("entity-account-held", Entity::Account(ShardId(7), AccountNumber(11_722), Packed::new(&account)))]
}
