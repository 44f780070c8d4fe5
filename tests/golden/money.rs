//! One of every record about money that is paid in and goes back.

use crate::movements::{change, entry};
use crate::samples::lot_key;
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::command::CommandKind;
use tallystick::ledger::decision::{Decision, Effects, LotKey, Movement, Outcome, Refusal, TotalsChange};
use tallystick::ledger::money::{Refund, TopUp};
use tallystick::ledger::types::{Position, SymbolId, WalletId};

const TOP_UP: &str = "018f3c5e-7a10-7000-8000-0000000006a1";

/// Money of the wallet 1 that the partner of the samples took in.
fn lot() -> LotKey {
    LotKey {
        wallet: WalletId(1),
        issuer: SymbolId(2),
        funding_rate_bps: 10_000,
        available_from_minute: 0,
        inactive_days: 0,
        expires_at: LotKey::NEVER,
    }
}

fn top_up() -> TopUp {
    TopUp { wallet: WalletId(1), units: 2_500, source: "psp-7f31".into(), store: SymbolId(40), terminal: SymbolId(41) }
}

fn refund(is_rest: bool) -> Refund {
    Refund {
        original_transaction_id: TOP_UP.into(),
        original_position: Position(1_000_000_001),
        earlier: is_rest.then_some(Position(1_000_000_004)),
        is_rest,
        units: if is_rest { 1_500 } else { 1_000 },
        left: if is_rest { 0 } else { 1_500 },
        lot: lot(),
        source: "psp-7f31".into(),
    }
}

fn decided(delta: i64, movement: Movement) -> Decision {
    let lots = vec![change(lot(), delta, movement)];
    let is_back = movement == Movement::Reverse;
    let totals = if is_back { TotalsChange::of_reversal() } else { TotalsChange::default() };
    let effects = Effects { lots, totals, ..Effects::default() };
    let refundable = if is_back { 1_200 } else { 0 };
    Decision { wallet: WalletId(1), granted: delta, effects, balance_after: 4_200, refundable, ..Decision::default() }
}

fn refused(refusal: Refusal, refundable: i64) -> Decision {
    let outcome = Outcome::Refused(refusal);
    Decision { outcome, wallet: WalletId(1), balance_after: 700, refundable, ..Decision::default() }
}

/// A first top-up, which opens the account, where no store is named.
fn opening() -> Entry {
    let asked = TopUp { store: SymbolId::EMPTY, terminal: SymbolId::EMPTY, ..top_up() };
    let mut entry = entry(CommandKind::TopUp(asked), decided(2_500, Movement::Grant));
    entry.command.account_id = "member-9".into();
    entry.decision.effects.opens_account = true;
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let paid = || CommandKind::TopUp(top_up());
    let back = |is_rest| CommandKind::Refund(Box::new(refund(is_rest)));
    assert_ne!(lot(), lot_key(), "money lies in lots of its own");
    vec![
        ("record-top-up", record(entry(paid(), decided(2_500, Movement::Grant)))),
        ("record-top-up-opening", record(opening())),
        ("record-top-up-refused", record(entry(paid(), refused(Refusal::BalanceLimitExceeded, 0)))),
        ("record-refund", record(entry(back(false), decided(-1_000, Movement::Reverse)))),
        ("record-refund-last", record(entry(back(true), decided(-1_500, Movement::Reverse)))),
        ("record-refund-refused", record(entry(back(true), refused(Refusal::InsufficientBalance, 700)))),
    ]
}
