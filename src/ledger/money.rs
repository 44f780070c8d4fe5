//! Stored value: money that an account holds, paid in under a name of the means of payment, and given back to it.
//!
//! What must stay true: money never dies and is never pending; of what was paid in no more goes back than was paid in, and no
//! more than is there; nobody owes money.

use super::decision::LotKey;
use super::program::Program;
use super::types::{Position, SymbolId, Units, WalletId};

/// What a wallet of money allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoneyTerms {
    /// The least that is paid in at once. At least 1.
    pub top_up_min: Units,
    /// The most. At most [`crate::limits::UNITS_MAX`].
    pub top_up_max: Units,
}

/// A unit of money is worth itself, whoever issued it and whoever takes it: in basis points of a minor unit.
pub const FACE_VALUE_BPS: u32 = 10_000;

/// Money that was paid in and is to be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopUp {
    /// The wallet.
    pub wallet: WalletId,
    /// 1 to [`crate::limits::UNITS_MAX`].
    pub units: Units,
    /// What the partner calls the payment that it came from. 1 to [`crate::limits::TOP_UP_SOURCE_BYTES_MAX`] bytes.
    pub source: Box<str>,
    /// The store, or [`SymbolId::EMPTY`].
    pub store: SymbolId,
    /// The terminal, or [`SymbolId::EMPTY`].
    pub terminal: SymbolId,
}

/// A request to give money that was paid in back to where it came from, all that is left of one top-up or a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The caller's id of the top-up.
    pub original_transaction_id: Box<str>,
    /// The position of its record.
    pub original_position: Position,
    /// The record of the refund of the same top-up before this one, if there is one.
    pub earlier: Option<Position>,
    /// The caller named no amount: whatever was left goes back.
    pub is_rest: bool,
    /// What goes back now, more than 0.
    pub units: Units,
    /// What is left of the top-up afterwards; from 0.
    pub left: Units,
    /// The lot to which it was granted.
    pub lot: LotKey,
    /// What the partner called the payment.
    pub source: Box<str>,
}

impl Refund {
    /// A refund as a caller asks for it, before it is known what it is of; `None` for whatever is left.
    #[must_use]
    pub fn asked_of(original_transaction_id: Box<str>, asked: Option<Units>) -> Self {
        Self {
            original_transaction_id,
            original_position: Position(0),
            earlier: None,
            is_rest: asked.is_none(),
            units: asked.unwrap_or(0),
            left: 0,
            lot: LotKey {
                wallet: WalletId(0),
                issuer: SymbolId::EMPTY,
                funding_rate_bps: 0,
                available_from_minute: 0,
                inactive_days: 0,
                expires_at: LotKey::NEVER,
            },
            source: Box::default(),
        }
    }

    /// How much the caller asks for; `None` for whatever is left.
    #[must_use]
    pub fn asked(&self) -> Option<Units> {
        (!self.is_rest).then_some(self.units)
    }

    /// Whether nothing is left of the top-up afterwards.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.left == 0
    }
}

impl Program {
    /// What a wallet allows, if it is one of money.
    #[must_use]
    pub fn money(&self, wallet: WalletId) -> Option<MoneyTerms> {
        self.wallets.get(usize::from(wallet.0)).and_then(|wallet| wallet.money)
    }

    /// The lot of money that a partner takes in: at once there, and for ever.
    #[must_use]
    pub fn money_lot(&self, wallet: WalletId, issuer: SymbolId) -> LotKey {
        LotKey {
            wallet,
            issuer,
            funding_rate_bps: self.funding_rate_bps(issuer, wallet),
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: LotKey::NEVER,
        }
    }
}
