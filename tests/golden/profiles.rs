//! One of every part that profiles, shared caps, places and experiments need: birthdays, last baskets, remainders,
//! variants, cells of a subject, and lots that are pending or put off.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::movements::{change, enrolment, entry, mortal};
use crate::samples::{lot_change, one_line_accrual, refused, reversal_of};
use crate::support::NOON;
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::account::{Account, Counter, Lot, MemberCounter, Profile};
use tallystick::ledger::command::{CommandKind, Enrolment, Linking, Redemption};
use tallystick::ledger::decision::{CellUse, Decision, Effects, IdentifierChange, LotKey, Movement};
use tallystick::ledger::packed::Packed;
use tallystick::ledger::types::{
    AccountNumber, CellId, Day, IdentifierKey, MemberKey, MonthDay, Position, ProgramVersion, Seq, ShardId, SymbolId,
    WalletId,
};
use tallystick::snapshot::entity::Entity;

pub const MEMBER: MemberKey = MemberKey(0x0123_4567_89ab_cdef);
const OTHER_MEMBER: MemberKey = MemberKey(u64::MAX);
const LEAP_DAY: MonthDay = MonthDay { month: 2, day: 29 };

/// Of a terminal, in one window.
fn cell() -> CellId {
    CellId { name: SymbolId(7), subject: [2, 3, 4].map(SymbolId), period: 17_226 }
}

/// Pending for a fortnight, then alive as long as the member comes.
fn pending() -> LotKey {
    LotKey { available_from_minute: 24_827_520, inactive_days: LotKey::AS_IN_FORCE, ..mortal(2, 380) }
}

/// Draws on a terminal's cap, on places and on a budget; leaves a remainder.
fn profiled_accrual() -> Entry {
    let mut entry = one_line_accrual();
    let decision = &mut entry.decision;
    let places = CellUse { cell: CellId::whole(SymbolId(300)), version: 3, used: 0, ..decision.cells[0] };
    let shared = CellUse { cell: cell(), version: 70, room_before: 200, used: 150, retain_until: Day(17_258) };
    decision.cells.splice(0..0, [shared, places]);
    decision.variants = vec![1, 0, 99];
    decision.effects.last_basket_on = Some(Day(17_226));
    decision.effects.remainder = Some(990_000);
    decision.effects.lots = vec![lot_change(pending(), decision.granted)];
    entry
}

/// It gives nothing back, and names what it would have given back.
fn refused_reversal() -> Entry {
    let mut entry = reversal_of(&profiled_accrual());
    entry.decision = refused(&entry.decision);
    entry
}

fn birthday(birthday: Option<MonthDay>, effect: Option<Option<MonthDay>>) -> Entry {
    let mut entry = enrolment();
    let CommandKind::Enrol(Enrolment { birthday: asked, .. }) = &mut entry.command.kind else {
        unreachable!("it is an enrolment")
    };
    *asked = Some(birthday);
    entry.decision.effects.birthday = effect;
    entry
}

/// Burned from a lot, of which the rest is put off.
fn redemption_that_puts_off() -> Entry {
    let lot = LotKey { inactive_days: LotKey::AS_IN_FORCE, ..mortal(2, 20) };
    let later = LotKey { inactive_days: LotKey::AS_IN_FORCE, ..mortal(2, 380) };
    let lots =
        vec![change(lot, -90, Movement::Burn), change(lot, -10, Movement::Extend), change(later, 10, Movement::Extend)];
    let decision = Decision {
        granted: -90,
        effects: Effects { lots, ..Effects::default() },
        balance_after: 10,
        ..Decision::default()
    };
    entry(CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 90, reward: None }), decision)
}

/// An accrual of a member, of whom the day's cap and the metric count.
fn member_accrual() -> Entry {
    let mut entry = one_line_accrual();
    entry.command.member = MEMBER;
    let counters = &mut entry.decision.effects.counters;
    let last = counters.len() - 1;
    for place in [0, last] {
        counters[place].member = MEMBER;
    }
    entry
}

/// By a member, whom nothing counts.
fn member_redemption() -> Entry {
    let mut entry = redemption_that_puts_off();
    entry.command.member = MEMBER;
    entry
}

/// A card for an account that it opens, or whose it is no longer.
fn linking(links: bool) -> Entry {
    let (kind, key) = (SymbolId(6), IdentifierKey(*b"sixteen bytes of"));
    let asked = Linking { links, kind, key, account_id: "member-12".into() };
    let identifier = Some(Box::new(IdentifierChange { key, kind, links }));
    let effects = Effects { opens_account: links, identifier, ..Effects::default() };
    let mut entry = entry(CommandKind::Link(asked), Decision { effects, ..Decision::default() });
    if links {
        entry.command.account_id = "member-12".into();
    }
    entry
}

/// One card too many.
fn refused_linking() -> Entry {
    let mut entry = linking(true);
    entry.command.account_id.clear();
    entry.decision = refused(&Decision { effects: Effects::default(), ..entry.decision });
    entry
}

/// A redemption by somebody who showed a card.
fn named_redemption() -> Entry {
    let mut entry = member_redemption();
    entry.command.named_by = Some(IdentifierKey(*b"sixteen bytes of"));
    entry
}

/// Refused for what it would have been granted with the room that it saw in two cells, of which it took nothing.
fn refused_that_saw() -> Entry {
    let mut entry = profiled_accrual();
    let seen = entry.decision.cells.iter().take(2).map(|taken| CellUse { used: 0, ..*taken }).collect();
    entry.decision = Decision { cells: seen, ..refused(&entry.decision) };
    entry
}

/// Units that die after a year without a visit.
fn accrual_that_dies_of_silence() -> Entry {
    let mut entry = one_line_accrual();
    let key = LotKey { inactive_days: 365, ..pending() };
    entry.decision.effects.lots = vec![lot_change(key, entry.decision.granted)];
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    vec![
        ("record-accrual-profiled", record(profiled_accrual())),
        ("record-accrual-refused-seen", record(refused_that_saw())),
        ("record-accrual-silent", record(accrual_that_dies_of_silence())),
        ("record-reversal-profiled", record(reversal_of(&profiled_accrual()))),
        ("record-reversal-profiled-refused", record(refused_reversal())),
        ("record-enrolment-birthday", record(birthday(Some(LEAP_DAY), Some(Some(LEAP_DAY))))),
        ("record-enrolment-birthday-known", record(birthday(Some(LEAP_DAY), None))),
        ("record-enrolment-birthday-forgotten", record(birthday(None, Some(None)))),
        ("record-redemption-extending", record(redemption_that_puts_off())),
        ("record-accrual-member", record(member_accrual())),
        ("record-reversal-member", record(reversal_of(&member_accrual()))),
        ("record-redemption-member", record(member_redemption())),
        ("record-linking", record(linking(true))),
        ("record-unlinking", record(linking(false))),
        ("record-linking-refused", record(refused_linking())),
        ("record-redemption-named", record(named_redemption())),
    ]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    let account = Account {
        id: "member-12".into(),
        seq: Seq(82),
        position: Some(Position(1_000_000_022)),
        opened_at: NOON,
        lots: vec![Lot { key: mortal(2, 60), remaining: 410 }, Lot { key: pending(), remaining: 70 }],
        profile: Some(Box::new(Profile {
            segments: vec![SymbolId(6)],
            birthday: Some(LEAP_DAY),
            last_basket_on: Some(Day(17_226)),
            remainder: Some((ProgramVersion(12), 990_000)),
            ..Profile::default()
        })),
        ..Account::default()
    };
    let counted = Counter { counter: SymbolId(7), period: 17_226, value: 90, retain_until: Day(17_258) };
    let mut shared = account.clone();
    shared.profile = Some(Box::new(Profile {
        members: vec![MemberCounter { member: MEMBER, counted }, MemberCounter { member: OTHER_MEMBER, counted }],
        ..Profile::default()
    }));
    let mut carded = account.clone();
    carded.profile = Some(Box::new(Profile {
        identifiers: vec![(IdentifierKey([1; 16]), SymbolId(6)), (IdentifierKey([2; 16]), SymbolId(300))],
        ..Profile::default()
    }));
    vec![
        ("entity-cell-of-subject", Entity::Cell(cell(), 70, 150, Day(17_258))),
        ("entity-account-profiled", Entity::Account(ShardId(7), AccountNumber(11_721), Packed::new(&account))),
        ("entity-account-members", Entity::Account(ShardId(7), AccountNumber(11_722), Packed::new(&shared))),
        ("entity-account-identifiers", Entity::Account(ShardId(7), AccountNumber(11_723), Packed::new(&carded))),
    ]
}
