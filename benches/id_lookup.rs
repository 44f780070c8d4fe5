//! Asking the id index: an id that memory has, one that only a run on disk has, and one that nobody used. The store is
//! in memory, so that the index itself is seen and not the disk.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallystick::ids::{Claim, IdEntry, IdHasher, IdIndex, IdKey, IdOptions};
use tallystick::ledger::types::Position;
use tallystick::store::memory::MemoryStore;

const IDS: u64 = 2_000_000;
/// Asked in an order that no cache foresees.
const STRIDE: u64 = 1_000_003;

fn keys(hasher: &IdHasher, kind: &str) -> Vec<IdKey> {
    (0..IDS).map(|number| hasher.transaction(kind, &number.to_string())).collect()
}

fn index(keys: &[IdKey], options: &IdOptions) -> IdIndex {
    let (ids, _) = IdIndex::open(Arc::new(MemoryStore::new()), options).expect("an empty index opens");
    for (number, key) in (0..).zip(keys) {
        ids.insert(*key, IdEntry { position: Position(number), freed: false });
        if number % 4_096 == 0 {
            while ids.maintain(Position(number)).expect("memory can be written").more_waits() {}
        }
    }
    while ids.maintain(Position(IDS)).expect("memory can be written").more_waits() {}
    ids
}

fn lookups(criterion: &mut Criterion) {
    let hasher = IdHasher::new(&[7; 16]);
    let (known, unknown) = (keys(&hasher, "known"), keys(&hasher, "unknown"));
    let in_memory = index(&known, &IdOptions::default());
    let small = IdOptions { memory_ids_max: 65_536, segment_ids: 65_536, ..IdOptions::default() };
    let on_disk = index(&known, &small);
    let mut group = criterion.benchmark_group("one of 2,000,000 ids");
    group.throughput(Throughput::Elements(1));
    let mut number = 0_u64;
    let mut next = move || {
        number = (number + STRIDE) % IDS;
        usize::try_from(number).expect("a small number")
    };
    group.bench_function("known, in memory", |bencher| {
        bencher.iter(|| in_memory.lookup(black_box(known[next()])).expect("memory can be read").is_some());
    });
    group.bench_function("known, in runs", |bencher| {
        bencher.iter(|| on_disk.lookup(black_box(known[next()])).expect("memory can be read").is_some());
    });
    for (name, ids) in [("new, all in memory", &in_memory), ("new, most in runs", &on_disk)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let key = unknown[next()];
                assert_eq!(ids.claim(black_box(key)).expect("memory can be read"), Claim::Granted);
                ids.release(key);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
