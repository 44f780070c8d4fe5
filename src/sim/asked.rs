//! What clients ask, as the ledger takes it: numbers in the place of names.
//!
//! What must stay true: nothing is decided here; a field that a client states is passed on as it is.

use super::catalogue::taking;
use super::facts::{Action, Name, Purchase};
use super::lots::LotName;
use super::machine::Machine;
use super::returns::Asked;
use super::vouchers::ByHand;
use crate::ledger::command::{
    Activity, AuthorizationOf, Basket, Capture, CommandKind, Enrolment, Granted, Line, Linking, Loading, Part,
    Redemption, ReturnedLine, Reversal, SettingAside,
};
use crate::ledger::decision::LotKey;
use crate::ledger::money::{Refund, TopUp};
use crate::ledger::operator::{Adjustment, HeldOriginal, Operation, OperatorOrder, Remark, Restoration};
use crate::ledger::types::{Day, Item, MemberKey, Position, SymbolId, TimestampNs, WalletId};
use crate::ledger::voucher::VoucherCode;

/// A member, as the ledger names it.
pub(super) fn member_of(machine: &Machine, member: &str) -> MemberKey {
    if member.is_empty() { MemberKey::NONE } else { machine.hasher.member(member) }
}

/// The number of a string, given now if it has none.
///
/// # Panics
/// When the dictionary is full, which a simulation is far from.
pub(super) fn intern(machine: &Machine, text: &str) -> SymbolId {
    machine.dictionary.intern(text, &*machine.control).expect("a simulation has few strings")
}

/// Lines that come back.
pub(super) fn lines_of(asked: &[Asked]) -> Vec<ReturnedLine> {
    let line = |(line, quantity, amount_minor): &Asked| ReturnedLine {
        line: *line,
        quantity: *quantity,
        amount_minor: *amount_minor,
    };
    asked.iter().map(line).collect()
}

/// What an action asks, as far as the client says it, and what the edge knows at its stamp.
pub(super) fn kind_of(machine: &Machine, action: &Action, stamp: i64) -> CommandKind {
    match action {
        Action::Accrue { purchase, .. } => CommandKind::Accrue(basket_of(machine, purchase)),
        Action::Reverse { original, lines, .. } => CommandKind::Reverse(Reversal {
            original_transaction_id: original.clone(),
            original_position: Position(0),
            original: Granted::default(),
            part: Part::asked(lines_of(lines)),
        }),
        Action::Redeem { wallet, units, .. } => {
            let wallet = WalletId(u8::try_from(*wallet).expect("a simulation has few wallets"));
            CommandKind::Redeem(Redemption { wallet, units: *units, reward: None })
        }
        Action::Take(wanted) => taking(machine, wanted, stamp),
        Action::Act { kind, happened_at, channel, .. } => CommandKind::Act(Activity {
            kind: intern(machine, kind),
            happened_at: TimestampNs(*happened_at),
            channel: intern(machine, channel),
        }),
        Action::Enrol { joins, leaves, .. } => {
            let listed = |names: &[Name]| {
                let mut symbols: Vec<SymbolId> = names.iter().map(|name| intern(machine, name)).collect();
                symbols.sort_unstable();
                symbols
            };
            CommandKind::Enrol(Enrolment { joins: listed(joins), leaves: listed(leaves), ..Enrolment::default() })
        }
        Action::Load { lots, .. } => CommandKind::Load(loading_of(machine, lots)),
        Action::Review { original, releases, note } => {
            let held = HeldOriginal { transaction_id: original.clone(), ..HeldOriginal::default() };
            operation_of(note, if *releases { OperatorOrder::Release(held) } else { OperatorOrder::Reject(held) })
        }
        Action::Restore { expiry, dies, note, .. } => {
            let (expiry, expires_at) = (Position(*expiry), TimestampNs(*dies));
            operation_of(note, OperatorOrder::Restore(Restoration { expiry, expires_at, lots: Vec::new() }))
        }
        Action::Adjust { wallet, units, dies, note, .. } => {
            let wallet = WalletId(u8::try_from(*wallet).expect("a simulation has few wallets"));
            let expires_at = dies.map(TimestampNs);
            operation_of(note, OperatorOrder::Adjust(Adjustment { wallet, units: *units, expires_at }))
        }
        Action::Link { account, identifier, links } => CommandKind::Link(Linking {
            links: *links,
            kind: intern(machine, &identifier.kind),
            key: machine.hasher.identifier(&identifier.kind, &identifier.value),
            account_id: account.clone(),
        }),
        Action::Authorize { wallet, units, hold_seconds, .. } => {
            let wallet = WalletId(u8::try_from(*wallet).expect("a simulation has few wallets"));
            CommandKind::Authorize(SettingAside { wallet, units: *units, hold_seconds: *hold_seconds })
        }
        Action::Capture { original, units, is_last, .. } => {
            let of = AuthorizationOf { transaction_id: original.clone(), ..AuthorizationOf::default() };
            CommandKind::Capture(Capture { of, units: *units, is_final: *is_last })
        }
        Action::Void { original } => {
            CommandKind::Void(AuthorizationOf { transaction_id: original.clone(), ..AuthorizationOf::default() })
        }
        Action::TopUp(paid) => CommandKind::TopUp(TopUp {
            wallet: WalletId(u8::try_from(paid.wallet).expect("a simulation has few wallets")),
            units: paid.units,
            source: paid.source.clone(),
            store: intern(machine, &paid.place[0]),
            terminal: intern(machine, &paid.place[1]),
        }),
        Action::Refund(asked) => CommandKind::Refund(Box::new(Refund::asked_of(asked.original.clone(), asked.units))),
        Action::Voucher(ByHand { what, note, .. }) => operation_of(
            note,
            match what {
                Ok(name) => OperatorOrder::IssueVoucher(intern(machine, name)),
                Err(code) => OperatorOrder::CancelVoucher(code_of(code)),
            },
        ),
        Action::Expire => CommandKind::Expire,
    }
}

/// A code as the ledger has it.
///
/// # Panics
/// When it is none: clients state codes alone.
fn code_of(code: &str) -> VoucherCode {
    VoucherCode::parse(code).expect("clients state codes")
}

/// What an operator asks, with the remark that a record needs.
pub(super) fn operation_of(note: &Name, order: OperatorOrder) -> CommandKind {
    let remark = Remark { reason_code: "desk".into(), note: note.clone(), operator: "kim".into(), ..Remark::default() };
    CommandKind::Operate(Box::new(Operation { remark, order }))
}

fn loading_of(machine: &Machine, lots: &[(LotName, i64)]) -> Loading {
    let lot = |(lot, units): &(LotName, i64)| {
        let key = LotKey {
            wallet: WalletId(u8::try_from(lot.wallet).expect("a simulation has few wallets")),
            issuer: intern(machine, &lot.issuer),
            funding_rate_bps: 0,
            available_from_minute: u32::try_from(lot.available_from).expect("a simulated minute is near"),
            inactive_days: lot.inactive_days,
            expires_at: TimestampNs(lot.dies),
        };
        (key, *units)
    };
    Loading { lots: lots.iter().map(lot).collect() }
}

pub(super) fn basket_of(machine: &Machine, purchase: &Purchase) -> Basket {
    let lines = purchase.lines.iter().map(|line| {
        let [sku, category, department, brand, margin_class] =
            [0, 1, 2, 3, 4].map(|n| intern(machine, &line.attributes[n]));
        let item = Item { sku, category, department, brand, margin_class };
        let item_id = machine.dictionary.intern_item(&item, &*machine.control).expect("a simulation has few items");
        Line { item_id, item, quantity: line.quantity, amount_minor: line.amount_minor }
    });
    Basket {
        store: intern(machine, &purchase.store),
        terminal: intern(machine, &purchase.terminal),
        cashier: intern(machine, &purchase.cashier),
        receipt_number: purchase.receipt_number.clone().into(),
        business_day: Day(purchase.business_day),
        receipt_at: TimestampNs(purchase.receipt_at),
        channel: SymbolId::EMPTY,
        payment_method: SymbolId::EMPTY,
        lines: lines.collect(),
        vouchers: purchase.vouchers.iter().map(|code| code_of(code)).collect(),
    }
}
