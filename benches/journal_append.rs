//! Assembling and hashing frames, and appending them to a store in memory; with the store on disk the sync dominates
//! and `tallystick bench` is the place to look.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tallystick::journal::chunk::Chunk;
use tallystick::journal::frame::{Chain, FrameView};
use tallystick::ledger::types::{Position, Seq, ShardId};

const RECORDS: u64 = 1_000;
const RECORD_BYTES: usize = 110;

fn chunk(first: u64) -> Chunk {
    let mut chunk = Chunk::default();
    for number in 0..RECORDS {
        let shard = ShardId(u16::try_from(number % 128).expect("small"));
        chunk.push(shard, Seq(first + number / 128 + 1), |out| out.extend_from_slice(&[7; RECORD_BYTES]));
    }
    chunk.close();
    chunk
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1,000 records of 110 bytes over 128 shards");
    group.throughput(Throughput::Elements(RECORDS));
    let chunk = chunk(0);
    let mut frames = Vec::new();
    group.bench_function("assemble and hash", |bencher| {
        bencher.iter(|| {
            let mut chain = Chain { epoch: 1, next: Position(0), hash: [0; 32] };
            frames.clear();
            chain.assemble(std::iter::once(&chunk), support::NOW, &mut frames)
        });
    });
    let overhead: usize = frames.iter().map(|frame| frame.bytes.len()).sum::<usize>() - chunk.byte_count();
    println!("frames: {}, bytes beside the records: {overhead}", frames.len());
    group.bench_function("check the hash and walk", |bencher| {
        bencher.iter(|| {
            let mut count = 0;
            for frame in &frames {
                let view = FrameView::decode(frame.position, &frame.bytes).expect("a whole frame");
                view.for_each(|_| -> Result<(), tallystick::journal::frame::FrameError> {
                    count += 1;
                    Ok(())
                })
                .expect("whole sections");
            }
            assert_eq!(count, RECORDS);
        });
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
