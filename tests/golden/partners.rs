//! What partners brought: rates in lots, redemptions and sub-accounts, and who burned whose units.

use crate::movements::{change, mortal, rated_redemption};
use tallystick::journal::record::Record;
use tallystick::ledger::decision::{LotKey, Movement};
use tallystick::ledger::partner::{BurnAccount, BurnKey, Funding, PartnerAccount};
use tallystick::ledger::types::{Seq, ShardId, SymbolId, WalletId};
use tallystick::snapshot::entity::Entity;

pub fn records() -> Vec<(&'static str, Record)> {
    let funded = |issuer, days, funding_rate_bps| LotKey { funding_rate_bps, ..mortal(issuer, days) };
    let lots =
        vec![change(funded(3, 1, 5_000), -20, Movement::Burn), change(funded(2, 30, 12_345), -70, Movement::Burn)];
    vec![("record-redemption-rated", Record::Entry(Box::new(rated_redemption(lots, 4_500))))]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    let partner = PartnerAccount {
        balance: -1_234_567,
        issued: 1_300_000,
        reversed: 10_000,
        redeemed: 50_000,
        expired: 5_433,
        funding: Funding { issued: 6_500_000_000, reversed: 50_000_000, redeemed: 250_000_000, expired: 27_165_000 },
        seq: Seq(82),
    };
    let burn = BurnKey { acceptor: SymbolId(300), issuer: SymbolId(2), wallet: WalletId(1) };
    let burned = BurnAccount { units: 50_000, redemption: 225_000_000, seq: Seq(82) };
    vec![
        ("entity-partner-funded", Entity::Partner(ShardId(7), SymbolId(2), WalletId(2), partner)),
        ("entity-burn", Entity::Burn(ShardId(7), burn, burned)),
    ]
}
