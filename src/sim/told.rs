//! What the ledger says that clients ask, in plain words: names in the place of numbers.
//!
//! What must stay true: nothing is decided here; a field that a record states is copied as it is.

use super::catalogue::Wanted;
use super::facts::{Action, Name, Purchase, PurchaseLine, lot_name_of, name_of};
use super::money::{GoneBack, PaidIn};
use super::ring::Ring;
use super::vouchers::ByHand;
use crate::journal::dictionary::Dictionary;
use crate::ledger::command::{CommandKind, Redemption};
use crate::ledger::operator::OperatorOrder;
use crate::ledger::types::SymbolId;

/// What a command of the ledger asks, in plain words.
pub(super) fn action_of(kind: &CommandKind, account: &Name, dictionary: &Dictionary, ring: &Ring) -> Action {
    let account = account.clone();
    match kind {
        CommandKind::Accrue(basket) => {
            Action::Accrue { account: account.clone(), purchase: purchase_of(basket, dictionary) }
        }
        CommandKind::Reverse(reversal) => Action::Reverse {
            original: reversal.original_transaction_id.clone(),
            lines: reversal.asked_lines().map(|line| (line.line, line.quantity, line.amount_minor)).collect(),
            units: None,
            rewards: None,
        },
        CommandKind::Unburn(unburn) => Action::Reverse {
            original: unburn.original_transaction_id.clone(),
            lines: Vec::new(),
            units: unburn.asked_units(),
            rewards: unburn.asked_quantity(),
        },
        CommandKind::Redeem(Redemption { units, reward: Some(asked), .. }) => Action::Take(Wanted {
            account,
            reward: name_of(dictionary, asked.reward),
            quantity: asked.quantity,
            stated: asked.states_units.then_some(*units),
        }),
        CommandKind::Redeem(redemption) => Action::Redeem {
            account: account.clone(),
            wallet: usize::from(redemption.wallet.0),
            units: redemption.units,
        },
        CommandKind::Act(activity) => Action::Act {
            account: account.clone(),
            kind: name_of(dictionary, activity.kind),
            happened_at: activity.happened_at.0,
            channel: name_of(dictionary, activity.channel),
        },
        CommandKind::Enrol(enrolment) => Action::Enrol {
            account: account.clone(),
            joins: names_of(dictionary, &enrolment.joins),
            leaves: names_of(dictionary, &enrolment.leaves),
        },
        CommandKind::Authorize(asked) => Action::Authorize {
            account,
            wallet: usize::from(asked.wallet.0),
            units: asked.units,
            hold_seconds: asked.hold_seconds,
        },
        CommandKind::Capture(capture) => Action::Capture {
            original: capture.of.transaction_id.clone(),
            wallet: usize::from(capture.of.wallet.0),
            units: capture.units,
            is_last: capture.is_final,
        },
        CommandKind::Void(of) => Action::Void { original: of.transaction_id.clone() },
        CommandKind::TopUp(top_up) => Action::TopUp(PaidIn {
            account,
            wallet: usize::from(top_up.wallet.0),
            units: top_up.units,
            source: top_up.source.clone(),
            place: [top_up.store, top_up.terminal].map(|symbol| name_of(dictionary, symbol)),
        }),
        CommandKind::Refund(refund) => {
            Action::Refund(GoneBack { original: refund.original_transaction_id.clone(), units: refund.asked() })
        }
        CommandKind::Expire => Action::Expire,
        CommandKind::Load(loading) => Action::Load {
            account: account.clone(),
            lots: loading.lots.iter().map(|(key, units)| (lot_name_of(dictionary, key), *units)).collect(),
        },
        CommandKind::Operate(operation) => {
            let note = operation.remark.note.clone();
            match &operation.order {
                OperatorOrder::Release(held) | OperatorOrder::Reject(held) => {
                    let releases = matches!(operation.order, OperatorOrder::Release(_));
                    Action::Review { original: held.transaction_id.clone(), releases, note }
                }
                OperatorOrder::Restore(restoration) => {
                    let (expiry, dies) = (restoration.expiry.0, restoration.expires_at.0);
                    Action::Restore { account, expiry, dies, note }
                }
                OperatorOrder::IssueVoucher(kind) => {
                    Action::Voucher(ByHand { account, what: Ok(name_of(dictionary, *kind)), note })
                }
                OperatorOrder::CancelVoucher(code) => {
                    Action::Voucher(ByHand { account, what: Err(code.to_string().into()), note })
                }
                OperatorOrder::Adjust(adjustment) => Action::Adjust {
                    account,
                    wallet: usize::from(adjustment.wallet.0),
                    units: adjustment.units,
                    dies: adjustment.expires_at.map(|at| at.0),
                    note,
                },
            }
        }
        CommandKind::Link(linking) => {
            Action::Link { account, identifier: ring.identifier(linking.key), links: linking.links }
        }
    }
}

/// The texts of numbers, ascending.
fn names_of(dictionary: &Dictionary, symbols: &[SymbolId]) -> Vec<Name> {
    let mut names: Vec<Name> = symbols.iter().map(|symbol| name_of(dictionary, *symbol)).collect();
    names.sort();
    names
}

fn purchase_of(basket: &crate::ledger::command::Basket, dictionary: &Dictionary) -> Purchase {
    let name = |symbol| name_of(dictionary, symbol);
    let lines = basket.lines.iter().map(|line| {
        let item = &line.item;
        PurchaseLine {
            attributes: [item.sku, item.category, item.department, item.brand, item.margin_class].map(name),
            quantity: line.quantity,
            amount_minor: line.amount_minor,
        }
    });
    Purchase {
        store: name(basket.store),
        terminal: name(basket.terminal),
        cashier: name(basket.cashier),
        receipt_number: basket.receipt_number.as_str().into(),
        business_day: basket.business_day.0,
        receipt_at: basket.receipt_at.0,
        lines: lines.collect(),
        vouchers: basket.vouchers.iter().map(|code| code.to_string().into()).collect(),
    }
}
