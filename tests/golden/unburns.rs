//! One of every record about burned units that come back.

use proptest::prelude::*;

use crate::movements::{change, entry, mortal};
use crate::samples::lot_key;
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::command::{CommandKind, Redemption, RewardAsked, RewardsBack, Unburn};
use tallystick::ledger::decision::{CellUse, Decision, Effects, LotKey, Movement, Outcome, Refusal};
use tallystick::ledger::types::{CellId, Position, SymbolId, WalletId};
use tallystick::limits::{REWARD_QUANTITY_MAX, UNITS_MAX};

const REDEMPTION: &str = "018f3c5e-7a10-7000-8000-0000000005d1";

/// Ninety units at once, all of one lot.
const MUG: SymbolId = SymbolId(19);

fn whole() -> Unburn {
    Unburn {
        original_transaction_id: REDEMPTION.into(),
        original_position: Position(1_000_000_001),
        earlier: None,
        lots: vec![(lot_key(), 90)],
        redemption_rate_bps: 0,
        reward: None,
        is_rest: true,
        is_last: true,
    }
}

/// Twenty-five units after others: of two lots, one of which has died.
fn piece() -> Unburn {
    Unburn {
        earlier: Some((Position(1_000_000_007), 60)),
        lots: vec![(lot_key(), 10), (mortal(3, -1), 15)],
        redemption_rate_bps: 4_500,
        is_rest: false,
        is_last: false,
        ..whole()
    }
}

fn returned(unburn: Unburn) -> Entry {
    let mut lots = Vec::new();
    for (key, units) in &unburn.lots {
        lots.push(change(*key, *units, Movement::Unburn));
        if key.expires_at != LotKey::NEVER && *key == mortal(3, -1) {
            lots.push(change(*key, -units, Movement::Expire));
        }
    }
    let effects = Effects { lots, redemption_rate_bps: unburn.redemption_rate_bps, ..Effects::default() };
    let decision = Decision { granted: unburn.units(), effects, balance_after: 1_234, ..Decision::default() };
    entry(CommandKind::Unburn(unburn), decision)
}

/// The same, where the account owed as many units as come back dead.
fn owed() -> Entry {
    let mut entry = returned(piece());
    (entry.decision.effects.owed, entry.decision.effects.gone) = (Some((WalletId(0), -15)), 15);
    entry
}

/// So many of a reward's stock.
pub fn of_stock(reward: SymbolId, used: i64) -> CellUse {
    CellUse { cell: CellId::whole(reward), version: 7, room_before: 12, used, retain_until: CellUse::FOR_EVER }
}

/// Two of a reward with a stock.
fn rewarded() -> Entry {
    let asked = RewardAsked { reward: MUG, quantity: 2, states_units: false };
    let redemption = Redemption { wallet: WalletId(0), units: 90, reward: Some(asked) };
    let effects = Effects { lots: vec![change(lot_key(), -90, Movement::Burn)], ..Effects::default() };
    let cells = vec![of_stock(MUG, 2)];
    let decision = Decision { granted: -90, effects, cells, balance_after: 1_234, ..Decision::default() };
    entry(CommandKind::Redeem(redemption), decision)
}

/// One of them comes back.
fn reward_back() -> Entry {
    let reward = Some(RewardsBack { quantity: 1, cells: vec![of_stock(MUG, 1)] });
    let unburn = Unburn { lots: vec![(lot_key(), 45)], reward, is_rest: false, is_last: false, ..whole() };
    let mut entry = returned(unburn);
    entry.decision.cells = vec![CellUse { version: 9, room_before: 3, ..of_stock(MUG, -1) }];
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let refused =
        Decision { outcome: Outcome::Refused(Refusal::BalanceLimitExceeded), balance_after: 70, ..Decision::default() };
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    vec![
        ("record-unburn", record(returned(whole()))),
        ("record-unburn-piece", record(returned(piece()))),
        ("record-unburn-owed", record(owed())),
        ("record-redemption-reward", record(rewarded())),
        ("record-unburn-reward", record(reward_back())),
        ("record-unburn-refused", record(entry(CommandKind::Unburn(piece()), refused))),
    ]
}

/// Any reward that is asked for.
pub fn any_reward() -> impl Strategy<Value = RewardAsked> {
    (1..=u32::MAX, 1..=REWARD_QUANTITY_MAX, any::<bool>()).prop_map(|(reward, quantity, states_units)| RewardAsked {
        reward: SymbolId(reward),
        quantity,
        states_units,
    })
}

/// Any request to give burned units back.
pub fn any_unburn(key: impl Strategy<Value = LotKey>) -> impl Strategy<Value = CommandKind> {
    let earlier = prop::option::of((any::<u64>(), 1..UNITS_MAX / 8));
    let lots = prop::collection::vec((key, 1..UNITS_MAX / 8), 1..5);
    let back = (any_reward(), any::<bool>()).prop_map(|(asked, has_stock)| RewardsBack {
        quantity: asked.quantity,
        cells: has_stock.then(|| of_stock(asked.reward, asked.quantity)).into_iter().collect(),
    });
    let reward = prop::option::of(back);
    ("[a-z0-9-]{1,64}", any::<u64>(), earlier, lots, any::<u32>(), reward, 0..3_u8).prop_map(
        |(id, position, earlier, lots, redemption_rate_bps, reward, end)| {
            let unheld = |(key, units): (LotKey, i64)| (LotKey { wallet: WalletId(1), ..key.released() }, units);
            CommandKind::Unburn(Unburn {
                original_transaction_id: id.into(),
                original_position: Position(position),
                earlier: earlier.map(|(position, units)| (Position(position >> 1), units)),
                lots: lots.into_iter().map(unheld).collect(),
                redemption_rate_bps,
                reward,
                is_rest: end == 2,
                is_last: end > 0,
            })
        },
    )
}
