//! What recovery does with each entity of a snapshot: decode an account with four lots and six windows, and put it in
//! its place. Reading the store comes on top.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tallystick::ledger::account::{Account, Counter, Lot, Totals, WalletTotals};
use tallystick::ledger::decision::LotKey;
use tallystick::ledger::packed::{Packed, Unpacked};
use tallystick::ledger::state::ShardState;
use tallystick::ledger::types::{AccountNumber, Day, Position, Seq, ShardId, SymbolId, TimestampNs, WalletId};
use tallystick::snapshot::entity::{Entity, encode_account};

const ACCOUNTS: u32 = 100_000;
const SHARD: ShardId = ShardId(3);

fn account(number: u32) -> Account {
    let lot = |issuer| Lot {
        key: LotKey {
            wallet: WalletId(0),
            issuer: SymbolId(issuer),
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: TimestampNs(i64::MAX),
        },
        remaining: i64::from(number % 1_000 + 1),
    };
    let counter = |name, period| Counter {
        counter: SymbolId(name),
        period,
        value: i64::from(number % 500 + 1),
        retain_until: Day(30_000),
    };
    Account {
        id: format!("member-{number:08}"),
        seq: Seq(u64::from(number) + 1),
        position: Some(Position(u64::from(number))),
        opened_at: TimestampNs(1_767_225_600_000_000_000),
        lots: (1..=4).map(lot).collect(),
        counters: (10..16).map(|name| counter(name, if name % 2 == 0 { 20_454 } else { 2_026 })).collect(),
        totals: Totals { baskets: 4, ..Totals::default() },
        wallets: vec![WalletTotals { granted: 400, ..WalletTotals::default() }],
        profile: None,
    }
}

fn restore(criterion: &mut Criterion) {
    let entities: Vec<_> = (0..ACCOUNTS)
        .map(|number| encode_account(SHARD, AccountNumber(number), &Packed::new(&account(number))))
        .collect();
    let bytes: usize = entities.iter().map(|(key, value)| key.len() + value.len()).sum();
    println!("an account with 4 lots and 6 windows: {} bytes in a snapshot", bytes / entities.len());
    let mut group = criterion.benchmark_group("snapshot of 100,000 accounts");
    group.throughput(Throughput::Elements(u64::from(ACCOUNTS))).sample_size(20);
    group.bench_function("decode and place", |bencher| {
        let mut unpacked = Unpacked::default();
        let into_place = |mut shard: ShardState| {
            for (key, value) in &entities {
                match Entity::decode_with(key, value, &mut unpacked).expect("what was encoded decodes") {
                    Entity::Account(_, number, account) => shard.place_packed(number, account, &unpacked.account),
                    _ => unreachable!("only accounts were encoded"),
                }
            }
            shard
        };
        bencher.iter_batched(|| ShardState::new(SHARD), into_place, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, restore);
criterion_main!(benches);
