//! Records of baskets that counted on stamp cards, and of what came back of such.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::samples::{TRANSACTION, counter, full_accrual, one_line_accrual, refused, reversal_of};
use crate::support::{NOON, NS_PER_DAY};
use proptest::prelude::*;
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::command::{CommandKind, Granted};
use tallystick::ledger::program::StampIndex;
use tallystick::ledger::stamps::{StampOutcome, keep_given};
use tallystick::ledger::types::{Day, MemberKey, SymbolId, TimestampNs};
use tallystick::ledger::voucher::{VoucherChange, VoucherCode, VoucherTerms};
use tallystick::limits::UNITS_MAX;

/// Has a basket count on cards: their counters, and the vouchers that they gave, behind so many of bonuses.
fn counting(mut entry: Entry, bonus_count: u8, outcomes: &[StampOutcome]) -> Entry {
    let partner = entry.command.partner;
    let terms = VoucherTerms {
        issuer: partner,
        kind: SymbolId(44),
        starts_at: NOON,
        ends_at: TimestampNs(NOON.0 + 14 * NS_PER_DAY),
        minor_min: 0,
    };
    let mut given = i64::from(bonus_count);
    for (outcome, place) in outcomes.iter().zip(0..) {
        let counters = &mut entry.decision.effects.counters;
        counters.push(counter(60 + 2 * place, 2017, outcome.counted, 17_563));
        if outcome.rewards > 0 {
            counters.push(counter(61 + 2 * place, 2017, outcome.rewards, 17_563));
        }
        given += if outcome.are_vouchers { outcome.rewards } else { 0 };
    }
    let given = (0..given).map(|number| {
        let number = u8::try_from(number).expect("there are few");
        (VoucherCode::of(partner, &entry.command.transaction_id, number), VoucherChange::Given(terms))
    });
    entry.decision.effects.vouchers = given.collect();
    entry.decision.stamps = outcomes.to_vec();
    entry
}

fn outcome(card: u8, before: (i64, i64), counted: i64, rewards: i64, are_vouchers: bool) -> StampOutcome {
    let (stamps_before, given_before) = before;
    StampOutcome { card: StampIndex(card), stamps_before, given_before, counted, rewards, are_vouchers }
}

/// A card of units that was full, one of vouchers that was full twice, and one that is not full yet; a bonus gave a voucher
/// besides.
fn counted() -> Entry {
    let outcomes =
        [outcome(0, (9, 0), 2, 1, false), outcome(2, (130, 12), 10, 2, true), outcome(15, (1_000, 99), 4, 0, true)];
    counting(one_line_accrual(), 1, &outcomes)
}

/// What came back whole of a basket, with what became of its vouchers by their numbers.
fn reversed(original: &Entry, changes: &[(u8, VoucherChange)]) -> Entry {
    let mut entry = reversal_of(original);
    let (partner, original_id) = (original.command.partner, original.command.transaction_id.as_str());
    let change = |(number, change): &(u8, VoucherChange)| (VoucherCode::of(partner, original_id, *number), *change);
    entry.decision.effects.vouchers = changes.iter().map(change).collect();
    let CommandKind::Reverse(reversal) = &entry.command.kind else { unreachable!("it is a reversal") };
    let effects = &mut entry.decision.effects;
    keep_given(&reversal.original, (partner, original_id), &effects.vouchers, &mut effects.counters, &mut []);
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let only_counted = counting(one_line_accrual(), 0, &[outcome(0, (0, 0), 1, 0, false)]);
    let back = [(0, VoucherChange::Cancelled), (1, VoucherChange::Kept), (2, VoucherChange::Cancelled)];
    let mut not_taken = reversal_of(&counted());
    not_taken.decision = refused(&not_taken.decision);
    vec![
        ("record-accrual-stamps", record(counted())),
        ("record-accrual-one-stamp", record(only_counted)),
        ("record-reversal-stamps", record(reversed(&counted(), &back))),
        ("record-reversal-stamps-refused", record(not_taken)),
    ]
}

/// What a reversal says of the vouchers of cards: of the third card none, for it gave none.
#[test]
fn the_vouchers_of_cards_follow_those_of_bonuses() {
    let Granted { stamps, .. } = counted().granted().expect("it was granted");
    let told: Vec<_> = stamps.iter().map(|card| (card.given.0, card.first, card.count)).collect();
    assert_eq!(told, [(63, 1, 2)]);
    let taken = reversed(&counted(), &[(1, VoucherChange::Cancelled), (2, VoucherChange::Kept)]);
    let counters = taken.decision.effects.counters.iter().rev().take(5);
    let told: Vec<_> = counters.map(|change| (change.counter.0, change.delta)).collect();
    assert_eq!(told, [(64, -4), (63, -1), (62, -10), (61, -1), (60, -2)]);
    // Where all were used, nothing is taken off.
    let kept = reversed(&counted(), &[(1, VoucherChange::Kept), (2, VoucherChange::Kept)]);
    assert!(kept.decision.effects.counters.iter().all(|change| change.counter.0 != 63), "{kept:?}");
    assert_eq!(counted().command.transaction_id, TRANSACTION);
}

/// A basket that counted on any cards, or what came back of it.
pub fn any_stamped() -> impl Strategy<Value = Entry> {
    let numbers = (0..=UNITS_MAX, 0..=UNITS_MAX, 1..=UNITS_MAX, 0..=2_i64, any::<bool>());
    let cards = prop::collection::btree_map(0..=255_u8, numbers, 1..5);
    let base = prop_oneof![Just(full_accrual()), Just(one_line_accrual())];
    let becomes = prop::collection::vec(0..3_u8, 8);
    (base, cards, 0..=2_u8, any::<bool>(), becomes, any::<i32>()).prop_map(
        |(base, cards, bonus_count, comes_back, becomes, day)| {
            let mut left = i64::from(8 - bonus_count);
            let outcomes = cards.into_iter().map(|(card, (stamps, given, counted, rewards, are_vouchers))| {
                let rewards = if are_vouchers { rewards.min(left) } else { rewards };
                left -= if are_vouchers { rewards } else { 0 };
                outcome(card, (stamps, given), counted, rewards, are_vouchers)
            });
            let outcomes: Vec<_> = outcomes.collect();
            let mut entry = counting(base, bonus_count, &outcomes);
            for change in entry.decision.effects.counters.iter_mut().filter(|change| change.counter.0 >= 60) {
                assert_eq!(change.member, MemberKey::NONE);
                change.retain_until = Day(day / 2);
            }
            if !comes_back {
                return entry;
            }
            let given = entry.decision.effects.vouchers.len();
            let changes = (0..).zip(becomes).take(given).filter_map(|(number, becomes)| match becomes {
                0 => Some((number, VoucherChange::Cancelled)),
                1 => Some((number, VoucherChange::Kept)),
                _ => None,
            });
            reversed(&entry, &changes.collect::<Vec<_>>())
        },
    )
}
