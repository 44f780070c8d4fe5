//! The bytes of entities, of the identity, of the marker and of the high-water mark.
//!
//! What must stay true: what a directory holds besides its journal is read for ever.

use std::sync::Arc;

use crate::samples::{item, lot_key, publication};
use crate::support::{NOON, NS_PER_DAY, Setup};
use crate::{golden, kept};
use tallystick::journal::log::{HighWater, StoreJournal};
use tallystick::ledger::account::{Account, Counter, Lot, Totals, WalletTotals};
use tallystick::ledger::decision::{CellUse, LotKey};
use tallystick::ledger::packed::Packed;
use tallystick::ledger::partner::PartnerAccount;
use tallystick::ledger::types::{
    AccountNumber, CellId, Day, ItemId, Position, Seq, ShardId, SymbolId, TimestampNs, WalletId,
};
use tallystick::recovery::identity::Identity;
use tallystick::snapshot::entity::Entity;
use tallystick::snapshot::{Marker, Saved, accounts};
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Space, Store};

/// Every kind of entity of the state space.
fn entities() -> Vec<(&'static str, Entity)> {
    let account = Account {
        id: "household-000000001234".into(),
        seq: Seq(80),
        position: Some(Position(1_000_000_002)),
        opened_at: TimestampNs(NOON.0 - NS_PER_DAY),
        lots: vec![
            Lot { key: lot_key(), remaining: 1_234_567 },
            Lot {
                key: LotKey {
                    wallet: WalletId(1),
                    issuer: SymbolId(2),
                    funding_rate_bps: 250,
                    available_from_minute: 0,
                    inactive_days: 0,
                    expires_at: TimestampNs(NOON.0 + NS_PER_DAY),
                },
                remaining: 5,
            },
        ],
        counters: vec![
            Counter { counter: SymbolId(6), period: 17_226, value: 2, retain_until: Day(17_258) },
            Counter { counter: SymbolId(9), period: 2017, value: 55_752, retain_until: Day(17_563) },
        ],
        totals: Totals { baskets: 8, refused_baskets: 1, reversals: 2, ..Totals::default() },
        wallets: vec![WalletTotals { granted: 600, reversed: 15, clipped: 126, ..WalletTotals::default() }],
        profile: None,
    };
    let fresh = Account { id: "7".into(), seq: Seq(1), position: None, opened_at: NOON, ..Account::default() };
    let partner =
        PartnerAccount { balance: -1_234_567, issued: 1_300_000, reversed: 65_433, seq: Seq(80), ..Default::default() };
    vec![
        ("entity-symbol", Entity::Symbol(SymbolId(300), "FACIAL TISS/DNR NAPKIN".into())),
        ("entity-item", Entity::Item(ItemId(70_000), item())),
        ("entity-program", Entity::Program(Position(1_000_000_000), Box::new(publication()))),
        ("entity-cell", Entity::Cell(CellId::whole(SymbolId(10)), 8_000_001, 999_850, CellUse::FOR_EVER)),
        ("entity-shard", Entity::Shard(ShardId(7), Seq(81), NOON)),
        ("entity-shard-control", Entity::Shard(ShardId::CONTROL, Seq(10), TimestampNs(0))),
        ("entity-account", Entity::Account(ShardId(7), AccountNumber(11_718), Packed::new(&account))),
        ("entity-account-fresh", Entity::Account(ShardId(7), AccountNumber(11_719), Packed::new(&fresh))),
        ("entity-partner", Entity::Partner(ShardId(7), SymbolId(2), WalletId(1), partner)),
    ]
    .into_iter()
    .chain(crate::movements::entities())
    .chain(crate::profiles::entities())
    .chain(crate::operator::entities())
    .chain(crate::returns::entities())
    .chain(crate::freezes::entities())
    .chain(crate::partners::entities())
    .chain(crate::holds::entities())
    .chain(crate::vouchers::entities())
    .collect()
}

#[test]
fn every_kind_of_entity_keeps_its_bytes() {
    for (name, entity) in entities() {
        let (key, value) = entity.encode();
        // The key has the length of its kind, so that both can be told apart in one file.
        let key_bytes = match name {
            "entity-cell-of-subject" => 27,
            "entity-burn" => 15,
            _ => 11,
        };
        assert_eq!(key.len(), key_bytes, "{name}");
        let name = match name.strip_prefix("entity-account") {
            None => name.to_owned(),
            Some(kind) => {
                // What earlier versions wrote of it is read, and packed as this one packs it.
                let kept = kept(name);
                let (key, value) = kept.split_at(key_bytes);
                assert_eq!(Entity::decode(key, value).as_ref(), Ok(&entity), "{name}");
                assert!(matches!(value.first(), Some(1 | 2)), "{name} is of an earlier format");
                format!("entity-grouped-account{kind}")
            }
        };
        let kept = golden(&name, &[key, value].concat());
        let (key, value) = kept.split_at(key_bytes);
        let decoded = Entity::decode(key, value).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(decoded, entity, "{name}");
        assert_eq!(decoded.encode(), (key.to_vec(), value.to_vec()), "{name}");
    }
}

#[test]
fn the_identity_the_marker_and_the_high_water_mark_keep_their_bytes() {
    let store = MemoryStore::new();
    let identity = Identity {
        directory_id: *b"sixteen bytes id",
        shard_count: 256,
        clock_is_input: true,
        created_at: NOON,
        leaf_key: [1; 32],
        id_key: [2; 16],
    };
    identity.write(&store).expect("memory takes it");
    let saved = Saved { symbol_count: 301, item_count: 70_001, version_count: 2, ..Saved::default() };
    let marker = Marker { start: Position(1_000_000_000), finished_at: NOON, entity_count: 70_000, saved };
    marker.write(&store).expect("memory takes it");
    let with_keys = Marker { saved: Saved { key_change_count: 300, ..saved }, ..marker };
    let other = MemoryStore::new();
    with_keys.write(&other).expect("memory takes it");
    let kept = golden("meta-snapshot-marker-keys", &other.get(Space::Meta, b"snapshot-marker").unwrap().unwrap());
    other.overwrite(Space::Meta, b"snapshot-marker", &kept);
    assert_eq!(Marker::read(&other).expect("it is whole"), Some(with_keys));
    let with_freezes = Marker { saved: Saved { freeze_change_count: 4, proposal_change_count: 5, ..saved }, ..marker };
    let other = MemoryStore::new();
    with_freezes.write(&other).expect("memory takes it");
    let kept = golden("meta-snapshot-marker-freezes", &other.get(Space::Meta, b"snapshot-marker").unwrap().unwrap());
    other.overwrite(Space::Meta, b"snapshot-marker", &kept);
    assert_eq!(Marker::read(&other).expect("it is whole"), Some(with_freezes));
    let other = MemoryStore::new();
    let mut batch = Batch::default();
    accounts::put(&mut batch, &[(ShardId(0), 3), (ShardId(1), 70_001), (ShardId(2), 0)]);
    marker.write_with(batch, &other).expect("memory takes it");
    let kept = golden("meta-accounts-saved", &other.get(Space::Meta, b"accounts-saved").unwrap().unwrap());
    other.overwrite(Space::Meta, b"accounts-saved", &kept);
    assert_eq!(accounts::read(&other).expect("it is whole"), [3, 70_001, 0]);
    let mark = HighWater { end: Position(1_000_000_005), hash: [0xcd; 32] };
    let journal = StoreJournal::new(Arc::new(store.clone()));
    journal.write_high_water(&mark).expect("memory takes it");

    let value = |key: &[u8]| store.get(Space::Meta, key).expect("memory gives it").expect("it was written");
    let kept = [
        ("meta-identity", value(b"identity")),
        ("meta-snapshot-marker", value(b"snapshot-marker")),
        ("high-water-mark", store.read_mark().expect("memory gives it").expect("it was written")),
    ]
    .map(|(name, bytes)| golden(name, &bytes));

    let read = MemoryStore::new();
    read.overwrite(Space::Meta, b"identity", &kept[0]);
    read.overwrite(Space::Meta, b"snapshot-marker", &kept[1]);
    read.set_mark(Some(&kept[2]));
    assert!(Identity::read(&read).expect("it is whole") == Some(identity));
    assert_eq!(Marker::read(&read).expect("it is whole"), Some(marker));
    let journal = StoreJournal::new(Arc::new(read));
    assert_eq!(journal.read_high_water().expect("it is whole"), Some(mark));
}

#[test]
fn a_newer_layout_is_refused_by_its_name() {
    let store = MemoryStore::new();
    Setup::default().identity().write(&store).expect("memory takes it");
    store.alter(Space::Meta, b"identity", |bytes| bytes[0] = 2);
    let error = Identity::read(&store).expect_err("it is newer");
    assert!(error.to_string().contains("layout 2, newer than 1"), "{error}");
}
