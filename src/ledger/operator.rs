//! What an operator asks of the ledger: to decide on units that a cap holds back, to bring back units that died, to
//! correct a balance.
//!
//! What must stay true: each says who asked and why; what it is about is stated in it as the journal has it, so that it
//! can be decided again without reading further back.

use super::command::Granted;
use super::decision::LotKey;
use super::types::{Position, SymbolId, TimestampNs, Units, WalletId};
use super::voucher::VoucherCode;

/// Something that an operator asks, in the name of a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asks, and why.
    pub remark: Remark,
    /// What is asked.
    pub order: OperatorOrder,
}

/// Who asks, and why. It is kept on record for people; nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remark {
    /// A code of the operator's own list. 1 to [`crate::limits::REASON_CODE_BYTES_MAX`] bytes.
    pub reason_code: Box<str>,
    /// A sentence. At most [`crate::limits::NOTE_BYTES_MAX`] bytes.
    pub note: Box<str>,
    /// The operator's name, as the caller states it; proved by nothing. At most [`crate::limits::OPERATOR_BYTES_MAX`]
    /// bytes, and not empty where nothing is known of the credential.
    pub operator: Box<str>,
    /// Who asks, as the credential says; empty where that was not recorded yet. At most
    /// [`crate::limits::ACTOR_BYTES_MAX`] bytes.
    pub actor: Box<str>,
    /// The second person, as the credential says; empty where none was asked. As long at most.
    pub confirmer: Box<str>,
}

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorOrder {
    /// The units that are held can be spent from now on, or from the end of their pending period.
    Release(HeldOriginal),
    /// The units that are held are taken back, and the room that they took with them.
    Reject(HeldOriginal),
    /// Units whose expiry is posted come back.
    Restore(Restoration),
    /// Units are granted or taken.
    Adjust(Adjustment),
    /// A voucher of this name in the programme is given.
    IssueVoucher(SymbolId),
    /// A voucher can be used no longer.
    CancelVoucher(VoucherCode),
}

/// A transaction whose units a cap holds back, as its record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldOriginal {
    /// The caller's id of the transaction.
    pub transaction_id: Box<str>,
    /// The position of its record.
    pub position: Position,
    /// What it changed: to release it, only its lot and its units; to reject it, its counters and cells too. Its receipt
    /// stays used, and is not part of it.
    pub granted: Granted,
}

/// A request to bring back the units of a partner whose expiry one record posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restoration {
    /// The position of the record that posted the expiry.
    pub expiry: Position,
    /// When the units die instead.
    pub expires_at: TimestampNs,
    /// The lots that died, in the order of the record: of those that the partner issued, each that was not held.
    /// 1 to [`crate::limits::RESTORED_LOTS_MAX`]. A lot that died in two parts is named twice.
    pub lots: Vec<(LotKey, Units)>,
}

/// A request to grant units without a purchase, or to take some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// The wallet.
    pub wallet: WalletId,
    /// More than 0 to grant, less to take; not 0. Within [`crate::limits::UNITS_MAX`] either way.
    pub units: Units,
    /// When granted units die; `None` stands for the terms of the programme in force, and where units are taken.
    pub expires_at: Option<TimestampNs>,
}

impl OperatorOrder {
    /// The transaction that is released or rejected.
    #[must_use]
    pub fn held(&self) -> Option<&HeldOriginal> {
        match self {
            Self::Release(original) | Self::Reject(original) => Some(original),
            Self::Restore(_) | Self::Adjust(_) | Self::IssueVoucher(_) | Self::CancelVoucher(_) => None,
        }
    }
}

impl Operation {
    /// The first field, as the wire names it, in which another operation differs from this one.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let field = match (&self.order, &other.order) {
            (OperatorOrder::Release(ours), OperatorOrder::Release(theirs))
            | (OperatorOrder::Reject(ours), OperatorOrder::Reject(theirs)) => {
                (ours.transaction_id != theirs.transaction_id).then_some("original_transaction_id")
            }
            (OperatorOrder::Restore(ours), OperatorOrder::Restore(theirs)) => {
                let expiry = (ours.expiry != theirs.expiry).then_some("expiry");
                expiry.or((ours.expires_at != theirs.expires_at).then_some("expire_time"))
            }
            (OperatorOrder::Adjust(ours), OperatorOrder::Adjust(theirs)) => {
                let wallet = (ours.wallet != theirs.wallet).then_some("wallet");
                let points = (ours.units != theirs.units).then_some("points");
                wallet.or(points).or((ours.expires_at != theirs.expires_at).then_some("expire_time"))
            }
            (OperatorOrder::IssueVoucher(ours), OperatorOrder::IssueVoucher(theirs)) => {
                (ours != theirs).then_some("voucher")
            }
            (OperatorOrder::CancelVoucher(ours), OperatorOrder::CancelVoucher(theirs)) => {
                (ours != theirs).then_some("voucher_code")
            }
            _ => Some("command"),
        };
        field.or_else(|| self.remark.first_difference(&other.remark))
    }
}

impl Remark {
    /// Whether it says whose credential asked.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        !self.actor.is_empty()
    }

    /// Who asks again may do so with another credential.
    fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("remark.reason_code", self.reason_code == other.reason_code),
            ("remark.note", self.note == other.note),
            ("remark.operator", self.operator == other.operator),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }
}
