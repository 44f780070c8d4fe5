//! Reversals of parts.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::samples::{counter, full_accrual, lot_key, one_line_accrual, refused, reversal_of};
use proptest::prelude::*;
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::account::{Account, Profile};
use tallystick::ledger::authorization::AuthorizationChanges;
use tallystick::ledger::command::{CommandKind, Granted, Part, ReturnedLine, Reversal};
use tallystick::ledger::decision::{LotChange, Movement};
use tallystick::ledger::held::HeldName;
use tallystick::ledger::packed::Packed;
use tallystick::ledger::types::{AccountNumber, Position, ProgramVersion, Seq, ShardId, SymbolId, WalletId};
use tallystick::snapshot::entity::Entity;

use crate::support::NOON;

fn returned(line: u32, quantity: i64, amount_minor: i64) -> ReturnedLine {
    ReturnedLine { line, quantity, amount_minor }
}

/// Makes a reversal of the whole one of a part, by which so many units are taken back.
fn of_part(mut entry: Entry, units: i64, part: Part) -> Entry {
    let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
    reversal.part = Some(Box::new(part));
    let Granted { lot, units: undone, counters, cells, .. } = &mut reversal.original;
    (*undone, *lot) = (units, (units > 0).then(lot_key));
    counters.iter_mut().filter(|change| change.delta > units).for_each(|change| change.delta = units.max(1));
    cells.retain_mut(|cell| {
        cell.used = units;
        units > 0
    });
    let decision = &mut entry.decision;
    decision.granted = -units;
    decision.cells.retain(|_| units > 0);
    decision.cells.iter_mut().for_each(|cell| cell.used = -units);
    decision.effects.lots.retain(|_| units > 0);
    decision.effects.lots.iter_mut().for_each(|lot| lot.delta = -units);
    decision.effects.counters.clone_from(counters);
    decision.effects.counters.iter_mut().for_each(|change| change.delta = -change.delta);
    entry
}

/// Two pieces of one line, and an amount of another.
fn first_part() -> Part {
    Part { lines: vec![returned(1, 2, 333), returned(2, 0, 1_000)], ..Part::default() }
}

/// Whatever was left after two earlier parts.
fn last_part() -> Part {
    Part {
        earlier: Some(Position(1_000_000_030)),
        lines: vec![returned(0, 1, 12_999)],
        is_rest: true,
        is_last: true,
        carried: None,
    }
}

/// A whole basket at once that carried something: what it left over is settled.
fn settling() -> Entry {
    let carried = Some((ProgramVersion(12), -4_200));
    let lines = vec![returned(0, 1, 12_999)];
    let part = Part { earlier: None, lines, is_rest: true, is_last: true, carried };
    let mut entry = of_part(reversal_of(&one_line_accrual()), 150, part);
    entry.decision.effects.remainder = Some(-1_100);
    entry
}

/// All pieces are named, so that it is the last part though the first; nothing had been granted for them.
fn worthless() -> Entry {
    let part = Part { is_last: true, ..first_part() };
    let mut entry = of_part(reversal_of(&full_accrual()), 0, part);
    let CommandKind::Reverse(Reversal { original, .. }) = &mut entry.command.kind else { unreachable!("it is one") };
    original.counters = vec![counter(9, 2017, 1_333, 17_563)];
    entry.decision.effects.counters = vec![counter(9, 2017, -1_333, 17_563)];
    entry
}

/// Of 40 units 25 could be taken; the rest is owed.
fn owing() -> Entry {
    let mut entry = of_part(reversal_of(&full_accrual()), 40, first_part());
    entry.decision.granted = -25;
    entry.decision.effects.lots[0].delta = -25;
    entry.decision.effects.owed = Some((WalletId(0), 15));
    entry
}

/// An accrual of 150 units, of which 15 were owed.
fn collecting() -> Entry {
    let mut entry = one_line_accrual();
    entry.decision.effects.lots.push(LotChange { key: lot_key(), delta: -15, movement: Movement::Reverse });
    entry.decision.effects.owed = Some((WalletId(0), -15));
    entry
}

/// An account that owes units of two wallets.
pub fn entities() -> Vec<(&'static str, Entity)> {
    let account = Account {
        id: "member-9".into(),
        seq: Seq(81),
        position: Some(Position(1_000_000_021)),
        opened_at: NOON,
        profile: Some(Box::new(Profile { owed: vec![(WalletId(0), 15), (WalletId(2), 1_000)], ..Profile::default() })),
        ..Account::default()
    };
    let mut let_off = account.clone();
    let gone = vec![(WalletId(0), 6), (WalletId(2), 70_000)];
    let_off.profile = Some(Box::new(Profile { gone, ..Profile::default() }));
    vec![
        ("entity-account-owing", Entity::Account(ShardId(7), AccountNumber(11_721), Packed::new(&account))),
        ("entity-account-gone", Entity::Account(ShardId(7), AccountNumber(11_745), Packed::new(&let_off))),
    ]
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let mut not_taken = of_part(reversal_of(&full_accrual()), 40, first_part());
    not_taken.decision = refused(&not_taken.decision);
    vec![
        ("record-return", record(of_part(reversal_of(&full_accrual()), 40, first_part()))),
        ("record-return-last", record(of_part(reversal_of(&full_accrual()), 110, last_part()))),
        ("record-return-settling", record(settling())),
        ("record-return-worthless", record(worthless())),
        ("record-return-refused", record(not_taken)),
        ("record-return-owing", record(owing())),
        ("record-accrual-collecting", record(collecting())),
    ]
}

/// A reversal of any part, perhaps after the end of authorizations, and with some of it owed.
pub fn any_return() -> impl Strategy<Value = Entry> {
    let line = (0..1_024_u32, 0..1_000_i64, 0..1_000_000_i64);
    let lines = prop::collection::btree_map(0..1_024_u32, line, 1..20);
    let carried = prop::option::of((1..u32::MAX, any::<i64>()));
    let shape = (prop::option::of(0..1_u64 << 40), any::<bool>(), any::<bool>(), carried);
    let beside = (prop::option::of(any::<i64>()), 0..3_u8, prop::option::of(1..1_000_i64), 0..3_i64);
    (lines, shape, 0..150_i64, beside).prop_map(|(lines, shape, units, (remainder, ended_count, owed, gone))| {
        let (earlier, is_rest, is_last, carried) = shape;
        let lines = lines.into_iter().map(|(line, (_, quantity, amount))| returned(line, quantity, amount.max(1)));
        // A reversal that names no lines leaves nothing, and one that says no more than that has no part.
        let is_rest = is_rest && is_last && earlier.is_some();
        let carried = carried.filter(|(_, by)| *by != 0).map(|(version, by)| (ProgramVersion(version), by));
        let earlier = earlier.map(Position);
        let part = Part { earlier, lines: lines.collect(), is_rest, is_last, carried };
        let mut entry = of_part(reversal_of(&full_accrual()), units, part);
        entry.decision.effects.remainder = remainder;
        entry.decision.effects.owed = owed.map(|units| (entry.decision.wallet, units));
        entry.decision.effects.gone = gone;
        let not_taken = owed.unwrap_or(0) + gone;
        if let CommandKind::Reverse(reversal) = &mut entry.command.kind
            && not_taken > 0
        {
            reversal.original.units += not_taken;
            reversal.original.lot = Some(lot_key());
        }
        let name = |number: u8| HeldName { partner: SymbolId(3), transaction_id: number.to_string().into() };
        let ended: Vec<_> = (0..ended_count).map(name).collect();
        if !ended.is_empty() {
            entry.decision.effects.authorizations = Some(Box::new(AuthorizationChanges { ended, own: None }));
        }
        entry
    })
}
