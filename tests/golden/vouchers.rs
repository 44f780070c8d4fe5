//! One of every record about vouchers, and an account that has some.

use crate::movements::entry;
use crate::samples::{full_accrual, one_line_accrual, refused_accrual, reversal_of};
use crate::support::{NOON, NS_PER_DAY};
use proptest::prelude::*;
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::account::{Account, Profile};
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::decision::{Decision, Effects, Outcome, Refusal};
use tallystick::ledger::operator::{Operation, OperatorOrder, Remark};
use tallystick::ledger::packed::Packed;
use tallystick::ledger::types::{AccountNumber, Position, Seq, ShardId, SymbolId, TimestampNs};
use tallystick::ledger::voucher::{Voucher, VoucherChange, VoucherCode, VoucherState, VoucherTerms};
use tallystick::snapshot::entity::Entity;

fn code(first: u8) -> VoucherCode {
    VoucherCode([first, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

/// Of the partner of the samples: from so many days on for two weeks.
fn terms(days: i64) -> VoucherTerms {
    VoucherTerms {
        issuer: SymbolId(2),
        kind: SymbolId(44),
        starts_at: TimestampNs(NOON.0 + days * NS_PER_DAY),
        ends_at: TimestampNs(NOON.0 + (days + 14) * NS_PER_DAY),
        minor_min: 1_000,
    }
}

/// Names these, ascending, and uses them where it is granted.
fn using(mut entry: Entry, codes: &[VoucherCode]) -> Entry {
    let user = VoucherCode::of_user(entry.command.partner, &entry.command.transaction_id);
    let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is an accrual") };
    basket.vouchers = codes.to_vec();
    if entry.decision.refusal().is_none() {
        let used = codes.iter().map(|code| (*code, VoucherChange::Used(user)));
        entry.decision.effects.vouchers.splice(0..0, used);
    }
    entry
}

fn changing(mut entry: Entry, changes: &[(VoucherCode, VoucherChange)]) -> Entry {
    entry.decision.effects.vouchers = changes.to_vec();
    entry
}

fn operated(order: OperatorOrder, decision: Decision) -> Entry {
    let remark = Remark {
        reason_code: "complaint".into(),
        note: "The queue was long.".into(),
        operator: "ada".into(),
        ..Remark::default()
    };
    entry(CommandKind::Operate(Box::new(Operation { remark, order })), decision)
}

fn decided(code: VoucherCode, change: VoucherChange) -> Decision {
    let effects = Effects { vouchers: vec![(code, change)], ..Effects::default() };
    Decision { effects, balance_after: 70, ..Decision::default() }
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let refused =
        Decision { outcome: Outcome::Refused(Refusal::AccountLimitReached), balance_after: 70, ..Decision::default() };
    let issue = || OperatorOrder::IssueVoucher(SymbolId(44));
    let given = VoucherChange::Given(terms(0));
    let back =
        [(code(3), VoucherChange::Cancelled), (code(4), VoucherChange::Kept), (code(1), VoucherChange::GivenBack)];
    vec![
        ("record-accrual-giving", record(changing(one_line_accrual(), &[(code(3), VoucherChange::Given(terms(1)))]))),
        ("record-accrual-using", record(using(changing(full_accrual(), &[(code(9), given)]), &[code(1), code(2)]))),
        ("record-accrual-using-refused", record(using(refused_accrual(), &[code(1)]))),
        ("record-reversal-vouchers", record(changing(reversal_of(&full_accrual()), &back))),
        ("record-voucher", record(operated(issue(), decided(code(5), given)))),
        ("record-voucher-refused", record(operated(issue(), refused))),
        (
            "record-voucher-cancelled",
            record(operated(OperatorOrder::CancelVoucher(code(5)), decided(code(5), VoucherChange::Cancelled))),
        ),
    ]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    let voucher = |first, state| Voucher { code: code(first), terms: terms(i64::from(first)), state };
    let vouchers = vec![
        voucher(1, VoucherState::Open),
        voucher(2, VoucherState::Used(code(200))),
        voucher(3, VoucherState::Cancelled),
    ];
    let account = Account {
        id: "member-000000000044".into(),
        seq: Seq(9),
        position: Some(Position(1_000_000_044)),
        opened_at: NOON,
        profile: Some(Box::new(Profile { vouchers, owed: vec![], ..Profile::default() })),
        ..Account::default()
    };
    vec![("entity-account-vouchers", Entity::Account(ShardId(7), AccountNumber(11_744), Packed::new(&account)))]
}

/// An accrual that names any vouchers and gives any.
pub fn any_accrual() -> impl Strategy<Value = Entry> {
    let code = || any::<[u8; 10]>().prop_map(VoucherCode);
    let named = prop::collection::btree_set(code(), 0..=4);
    let terms = (any::<u32>(), any::<i64>(), any::<i64>(), any::<i64>());
    let given = (code(), terms).prop_map(|(code, (kind, starts_at, ends_at, minor_min))| {
        let (starts_at, ends_at) = (TimestampNs(starts_at), TimestampNs(ends_at));
        let terms = VoucherTerms { issuer: SymbolId(2), kind: SymbolId(kind), starts_at, ends_at, minor_min };
        (code, VoucherChange::Given(terms))
    });
    let base = prop_oneof![Just(full_accrual()), Just(one_line_accrual()), Just(refused_accrual())];
    (base, named, prop::collection::vec(given, 0..8)).prop_map(|(entry, named, mut given)| {
        if entry.decision.refusal().is_some() {
            given.clear();
        }
        // The issuer is the partner of the command.
        for (_, change) in &mut given {
            if let VoucherChange::Given(terms) = change {
                terms.issuer = entry.command.partner;
            }
        }
        using(changing(entry, &given), &named.into_iter().collect::<Vec<_>>())
    })
}
