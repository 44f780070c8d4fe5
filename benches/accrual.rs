//! The path of an accrual without input or output: decide, apply, encode, seal, assemble, hash, commit, enter ids.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tallystick::ids::Claim;
use tallystick::journal::dictionary::Dictionary;
use tallystick::journal::frame::Chain;
use tallystick::journal::leaf;
use tallystick::journal::record::{EntryHeader, PreviousRecord, encode_entry};
use tallystick::ledger::decision::Decision;
use tallystick::ledger::state::{Change, Context, ShardState};
use tallystick::ledger::types::{AccountNumber, Position, Seq, ShardId};
use tallystick::shard::job::{CommandBatch, CommandJob, Job};

const BATCH: u64 = 1_000;
const ACCOUNTS: u64 = 10_000;

fn decide_and_encode(criterion: &mut Criterion) {
    let dictionary = Dictionary::new();
    let program = support::program(&dictionary, false);
    let mut group = criterion.benchmark_group("one accrual");
    for line_count in [1, 7] {
        let command = support::accrual(&dictionary, 7, 1, line_count);
        let mut state = ShardState::new(ShardId(0));
        let context = Context { program: &program, posted_at: support::NOW, rooms: &[], frozen: None };
        let mut decision = Decision::default();
        state.decide(&command, &context, &mut decision);
        state.apply(&Change {
            seq: Seq(1),
            position: Some(Position(0)),
            posted_at: support::NOW,
            account: AccountNumber(0),
            account_id: &command.account_id,
            partner: command.partner,
            decision: &decision,
        });
        group.bench_function(format!("decide, {line_count} lines"), |bencher| {
            bencher.iter(|| state.decide(black_box(&command), &context, &mut decision));
        });
        let header = EntryHeader {
            previous: PreviousRecord::At(Position(0)),
            account: AccountNumber(0),
            posted_at: support::NOW,
        };
        let mut out = Vec::new();
        group.bench_function(format!("encode, {line_count} lines"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_entry(&mut out, black_box(&header), &command, &decision);
            });
        });
        println!("record of {line_count} lines: {} bytes", out.len());
        group.bench_function(format!("leaf and salt, {line_count} lines"), |bencher| {
            bencher.iter(|| {
                let salt = leaf::salt(black_box(&[7; 32]), ShardId(3), Seq(9));
                leaf::leaf(&salt, ShardId(3), Seq(9), &out)
            });
        });
    }
    group.finish();
}

/// Everything but input, output and the edge, per batch of 1,000 on accounts that exist.
fn whole_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path of 1,000 accruals");
    group.throughput(Throughput::Elements(BATCH)).sample_size(20);
    for (name, line_count, budget) in
        [("1 line", 1, false), ("1 line, a budget in force", 1, true), ("7 lines", 7, false)]
    {
        let dictionary = Dictionary::new();
        let (mut worker, shared) = support::worker(support::program(&dictionary, budget));
        let mut chain = Chain { epoch: 1, next: Position(0), hash: [0; 32] };
        let mut frames = Vec::new();
        let mut number = 0;
        group.bench_function(name, |bencher| {
            let prepare = || {
                (0..BATCH)
                    .map(|_| {
                        number += 1;
                        let command = support::accrual(&dictionary, number, number % ACCOUNTS, line_count);
                        support::job(command, number)
                    })
                    .collect::<Vec<_>>()
            };
            let path = |jobs: Vec<Box<CommandJob>>| {
                for job in &jobs {
                    for key in [job.ids.transaction, job.ids.subject] {
                        assert_eq!(shared.ids.claim(key).expect("memory can be read"), Claim::Granted);
                    }
                }
                let nobody = Arc::new(drop::<CommandBatch>);
                worker.execute(Job::Commands(CommandBatch::new(jobs, nobody)), 0);
                let chunk = worker.seal().expect("a batch was executed");
                frames.clear();
                let bases = chain.assemble(std::iter::once(&chunk), support::NOW, &mut frames);
                worker.committed(chunk, bases[0]);
                while shared.ids.maintain(chain.next).expect("memory can be written").more_waits() {}
            };
            bencher.iter_batched(prepare, path, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, decide_and_encode, whole_path);
criterion_main!(benches);
