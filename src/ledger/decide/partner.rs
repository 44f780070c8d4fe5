//! What partners may do: only where the programme declares them.
//!
//! What must stay true: a programme without partners costs one look here; what was granted before can be taken back
//! whatever rights have ended since; nobody owes what another says, by whatever command.

use crate::ledger::command::CommandKind;
use crate::ledger::decision::Refusal;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::program::Partner;
use crate::ledger::state::Context;
use crate::ledger::types::{SymbolId, TimestampNs};

/// Why a command of this partner is refused, whatever the account; `None` where it is not.
#[inline]
pub(super) fn refuses(kind: &CommandKind, partner: SymbolId, context: &Context<'_>) -> Option<Refusal> {
    let partners = context.program.partners.as_deref()?;
    let needs_partner = match kind {
        CommandKind::Reverse(_)
        | CommandKind::Unburn(_)
        | CommandKind::Refund(_)
        | CommandKind::Void(_)
        | CommandKind::Expire => false,
        CommandKind::Operate(operation) => makes_owe(&operation.order),
        _ => true,
    };
    match partners.find(partner) {
        Some(partner) => judge(kind, partner, context).err(),
        None => needs_partner.then_some(Refusal::PartnerUnknown),
    }
}

/// Whether an operator asks for something that its partner would owe and did not before, or takes what is owed: by a word, and
/// not for something that was granted, which can be taken back for ever.
fn makes_owe(order: &OperatorOrder) -> bool {
    match order {
        OperatorOrder::Adjust(_) | OperatorOrder::IssueVoucher(_) => true,
        OperatorOrder::Release(_)
        | OperatorOrder::Reject(_)
        | OperatorOrder::Restore(_)
        | OperatorOrder::CancelVoucher(_) => false,
    }
}

/// Earning is judged by the local day of the event, burning by that of the posting.
fn judge(kind: &CommandKind, partner: &Partner, context: &Context<'_>) -> Result<(), Refusal> {
    let program = context.program;
    let day = |at: TimestampNs| program.zone.day(at);
    let permitted = |holds: bool, refusal: Refusal| if holds { Ok(()) } else { Err(refusal) };
    let may_grant = |wallet, at| permitted(partner.may_earn(wallet, day(at)), Refusal::EarnNotPermitted);
    let may_earn = |at| may_grant(program.earn.wallet, at);
    match kind {
        CommandKind::Accrue(basket) => {
            super::check_event_time(basket.receipt_at, context)?;
            permitted(partner.has_place(basket.store, basket.terminal), Refusal::StoreUnknown)?;
            may_earn(basket.receipt_at)
        }
        CommandKind::Act(activity) => {
            super::check_event_time(activity.happened_at, context)?;
            may_earn(activity.happened_at)
        }
        CommandKind::Redeem(redemption) => {
            permitted(partner.may_burn(redemption.wallet, day(context.posted_at)), Refusal::BurnNotPermitted)
        }
        CommandKind::Authorize(asked) => {
            permitted(partner.may_burn(asked.wallet, day(context.posted_at)), Refusal::BurnNotPermitted)
        }
        CommandKind::Capture(capture) => {
            permitted(partner.may_burn(capture.of.wallet, day(context.posted_at)), Refusal::BurnNotPermitted)
        }
        CommandKind::TopUp(asked) => {
            let has_place = asked.store == SymbolId::EMPTY || partner.has_place(asked.store, asked.terminal);
            permitted(has_place, Refusal::StoreUnknown)?;
            may_grant(asked.wallet, context.posted_at)
        }
        CommandKind::Operate(operation) => match &operation.order {
            OperatorOrder::Adjust(adjustment) => may_grant(adjustment.wallet, context.posted_at),
            OperatorOrder::IssueVoucher(_) => may_earn(context.posted_at),
            _ => Ok(()),
        },
        CommandKind::Load(loading) => {
            let is_own = loading.lots.iter().all(|(key, _)| key.issuer == partner.symbol);
            permitted(is_own, Refusal::EarnNotPermitted)
        }
        // Who deals in nothing sees no account, and changes none.
        CommandKind::Enrol(_) | CommandKind::Link(_) => {
            permitted(partner.deals(day(context.posted_at)), Refusal::EarnNotPermitted)
        }
        CommandKind::Reverse(_)
        | CommandKind::Unburn(_)
        | CommandKind::Refund(_)
        | CommandKind::Void(_)
        | CommandKind::Expire => Ok(()),
    }
}
