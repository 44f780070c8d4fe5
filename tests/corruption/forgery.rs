//! One entry forged, and every hash recomputed: what an intruder with time does.
//!
//! What must stay true: deciding again finds it, whatever the hashes say (invariant 7).

use crate::support::forge::Forge;
use crate::support::{NOON, NS_PER_DAY, NS_PER_SECOND};
use crate::{Damage, Expected, check, expect};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::{Entry, PreviousRecord, Record, decode};
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::decision::{Outcome, Refusal, TotalsChange};
use tallystick::ledger::program::LineClass;
use tallystick::ledger::types::{Position, ProgramVersion, TimestampNs};
use tallystick::store::memory::MemoryStore;

pub fn is_grant(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Accrue(_)) && entry.decision.granted > 5
}

fn is_reversal(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Reverse(_))
}

/// Forges the first entry that fits, and states what is found at it.
fn forged(
    store: &MemoryStore,
    fits: impl Fn(&Entry) -> bool,
    change: impl FnOnce(&mut Entry),
    class: FindingClass,
    says: &'static str,
) -> Expected {
    let mut forge = Forge::open(store);
    let position = forge.alter(fits, change);
    forge.write(store);
    expect(class, position, says, None)
}

/// A grant of so many units more, consistent in itself.
fn grant_more(entry: &mut Entry, more: i64) {
    let decision = &mut entry.decision;
    decision.granted += more;
    decision.earned += more;
    decision.balance_after += more;
    decision.effects.lots.first_mut().expect("it granted something").delta += more;
    decision.cells.iter_mut().for_each(|cell| cell.used += more);
    decision.effects.totals = TotalsChange::of_basket(&decision.clips, false);
}

pub const FORGERIES: [(&str, Damage); 21] = [
    ("one grant is a unit larger", |store| {
        forged(store, is_grant, |entry| grant_more(entry, 1), FindingClass::Decision, "what is granted is recorded as")
    }),
    ("the balance in a receipt is another", |store| {
        let change = |entry: &mut Entry| entry.decision.balance_after += 1;
        forged(store, is_grant, change, FindingClass::Decision, "the balance is recorded as")
    }),
    ("a line was judged by another rule", |store| {
        let change = |entry: &mut Entry| entry.decision.lines[0].class = LineClass::Base;
        forged(store, is_grant, change, FindingClass::Decision, "the rules of the lines")
    }),
    ("a counter moved less", |store| {
        let change = |entry: &mut Entry| entry.decision.effects.counters[0].delta -= 1;
        forged(
            store,
            |entry| is_grant(entry) && entry.decision.effects.counters.len() > 3,
            change,
            FindingClass::Decision,
            "the counters",
        )
    }),
    ("a basket holds another amount", |store| {
        let change = |entry: &mut Entry| {
            if let CommandKind::Accrue(basket) = &mut entry.command.kind {
                basket.lines[0].amount_minor += 50_000;
            }
        };
        forged(store, is_grant, change, FindingClass::Decision, "what is granted is recorded as")
    }),
    ("a refusal is made of a grant", |store| {
        let change = |entry: &mut Entry| {
            entry.decision = tallystick::ledger::decision::Decision {
                outcome: Outcome::Refused(Refusal::BalanceLimitExceeded),
                account_known: true,
                program: entry.decision.program,
                balance_after: 0,
                ..Default::default()
            };
        };
        let fits = |entry: &Entry| is_grant(entry) && entry.previous != PreviousRecord::None;
        forged(store, fits, change, FindingClass::Decision, "the outcome is recorded as")
    }),
    ("a budget's room is larger than it was", |store| {
        let change = |entry: &mut Entry| entry.decision.cells[0].room_before += 1;
        forged(
            store,
            |entry| entry.decision.cells.first().is_some_and(|c| c.version == 4),
            change,
            FindingClass::Budget,
            "found room for",
        )
    }),
    ("a use of a budget has the number of another", |store| {
        let change = |entry: &mut Entry| entry.decision.cells[0].version = 3;
        forged(
            store,
            |entry| entry.decision.cells.first().is_some_and(|c| c.version == 4),
            change,
            FindingClass::Budget,
            "a second time",
        )
    }),
    ("a use of a budget is left out", |store| {
        let change = |entry: &mut Entry| entry.decision.cells.clear();
        forged(store, is_grant, change, FindingClass::Decision, "the uses of budgets")
    }),
    ("another version of the programme judged", |store| {
        let change = |entry: &mut Entry| entry.decision.program = ProgramVersion(2);
        forged(store, is_grant, change, FindingClass::Program, "but version 1 was in force")
    }),
    ("a record is posted before the one in front of it", |store| {
        let fits = |entry: &Entry| is_grant(entry) && entry.previous != PreviousRecord::None;
        let change = |entry: &mut Entry| entry.posted_at.0 -= 1_000 * NS_PER_DAY;
        let expected = forged(store, fits, change, FindingClass::Time, "before");
        // A replay sees it too, for a shard's time never goes back.
        Expected { refuses: Some("its fields contradict each other"), ..expected }
    }),
    ("a record names a wrong previous one", |store| {
        let fits = |entry: &Entry| entry.previous != PreviousRecord::None;
        let change = |entry: &mut Entry| entry.previous = PreviousRecord::At(Position(2));
        forged(store, fits, change, FindingClass::BackLink, "it names a wrong previous record")
    }),
    ("a record hides what came before it", |store| {
        let change = |entry: &mut Entry| entry.previous = PreviousRecord::None;
        forged(store, |entry| entry.previous != PreviousRecord::None, change, FindingClass::BackLink, "wrong previous")
    }),
    ("a transaction id is used a second time", |store| {
        let mut first = None;
        let forge = Forge::open(store);
        let (f, s, r) = forge.find(is_grant);
        if let Ok(Record::Entry(entry)) = decode(&forge.frames[f].sections[s].2[r], &forge.dictionary) {
            first = Some(entry.command.transaction_id);
        }
        let first = first.expect("it is an entry");
        let again = first.clone();
        let change = move |entry: &mut Entry| entry.command.transaction_id = again;
        forged(
            store,
            move |entry| is_grant(entry) && entry.command.transaction_id != first,
            change,
            FindingClass::Once,
            "was used before",
        )
    }),
    ("a receipt earns a second time", |store| {
        let mut receipt = None;
        let forge = Forge::open(store);
        let (f, s, r) = forge.find(is_grant);
        if let Ok(Record::Entry(entry)) = decode(&forge.frames[f].sections[s].2[r], &forge.dictionary)
            && let CommandKind::Accrue(basket) = entry.command.kind
        {
            receipt = Some((basket.receipt_number, basket.business_day));
        }
        let (number, day) = receipt.expect("it is an accrual");
        let taken = number.clone();
        let change = move |entry: &mut Entry| {
            if let CommandKind::Accrue(basket) = &mut entry.command.kind {
                (basket.receipt_number, basket.business_day) = (taken, day);
            }
        };
        let fits = move |entry: &Entry| match &entry.command.kind {
            CommandKind::Accrue(basket) => is_grant(entry) && basket.receipt_number != number,
            _ => false,
        };
        forged(store, fits, change, FindingClass::Once, "the receipt was used before")
    }),
    ("a reversal takes back less than was granted", |store| {
        let change = |entry: &mut Entry| {
            let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
            reversal.original.units -= 1;
        };
        forged(store, is_reversal, change, FindingClass::Reversal, "is not what the accrual at position")
    }),
    ("a reversal names another accrual", |store| {
        let change = |entry: &mut Entry| {
            let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
            reversal.original_position.0 -= 1;
        };
        forged(store, is_reversal, change, FindingClass::Reversal, "it reverses")
    }),
    ("a reversal names a record that comes later", |store| {
        let change = |entry: &mut Entry| {
            let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
            reversal.original_position.0 += 10_000;
        };
        forged(store, is_reversal, change, FindingClass::Reversal, "does not lie before it")
    }),
    ("an account is opened under another id", |store| {
        let fits = |entry: &Entry| entry.decision.effects.opens_account;
        let change = |entry: &mut Entry| entry.command.account_id = "a-forger".into();
        forged(store, fits, change, FindingClass::Record, "does not belong in this shard")
    }),
    ("a programme was published with other rules", |store| {
        let mut forge = Forge::open(store);
        forge.alter_control(|record| match record {
            Record::Program(publication) if publication.version == ProgramVersion(1) => {
                publication.source = publication.source.replacen("per_minor = 100", "per_minor = 101", 1).into();
                true
            }
            _ => false,
        });
        forge.write(store);
        let position = forge.position_of(forge.find(|entry| entry.decision.effects.opens_account));
        expect(FindingClass::Decision, position, "what is granted is recorded as", None)
    }),
    ("a later version of the programme claims to have been in force before", |store| {
        let mut forge = Forge::open(store);
        let position = forge.alter_control(|record| match record {
            Record::Program(publication) if publication.version == ProgramVersion(2) => {
                publication.effective_at = TimestampNs(NOON.0 + NS_PER_SECOND);
                true
            }
            _ => false,
        });
        forge.write(store);
        expect(FindingClass::Program, position, "takes effect before a command that was decided already", None)
    }),
];

#[test]
fn an_altered_decision_is_found_by_deciding_again_although_every_hash_fits() {
    for (name, damage) in FORGERIES {
        check(name, damage);
    }
}
