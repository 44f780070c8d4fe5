//! Once warm, a worker allocates nothing for an accrual on an account that exists: neither when it decides, applies,
//! encodes and hands over, nor when the commit comes back and the answer leaves.
//!
//! A counting allocator watches this thread. What the edge brings along (the command, vectors with room) is made before
//! the counting begins.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use support::rig::Rig;
use support::{NOON, NS_PER_SECOND, Setup, programs, verify_store};
use tallystick::journal::chunk::Chunk;
use tallystick::ledger::types::{Position, TimestampNs};
use tallystick::shard::job::{CommandBatch, Job};
use tallystick::store::memory::MemoryStore;

/// Counts what the current thread asks for while it is told to.
struct Counting;

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Whether the first allocation counted prints where it came from.
    static IS_TELLING: Cell<bool> = const { Cell::new(false) };
}

fn count_one() {
    if IS_COUNTING.get() {
        COUNT.set(COUNT.get() + 1);
        if IS_TELLING.replace(false) {
            IS_COUNTING.set(false);
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
            IS_COUNTING.set(true);
        }
    }
}

// A global allocator cannot be written without `unsafe`: the trait promises the compiler what it cannot check. Every
// call is passed on unchanged to the system's allocator, which keeps that promise.
#[allow(unsafe_code, reason = "the trait of global allocators is unsafe to implement")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promises are the system allocator's requirements.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, that is from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the pointer came from `alloc` above, that is from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during `work`.
fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    COUNT.set(0);
    IS_TELLING.set(std::env::var_os("TALLYSTICK_ALLOCATIONS").is_some());
    IS_COUNTING.set(true);
    let result = work();
    IS_COUNTING.set(false);
    (COUNT.get(), result)
}

const ACCOUNTS: usize = 50;
const PER_ROUND: usize = 400;

/// Jobs as the edge makes them: decisions with room, and an answer that goes into a queue with room.
fn batch(rig: &mut Rig, at: TimestampNs, answers: &SyncSender<CommandBatch>) -> Job {
    let lines = [rig.line("GROCERY", "Own", 260), rig.line("TOBACCO", "", 900), rig.line("FRESH", "Other", 1_499)];
    let jobs = (0..PER_ROUND)
        .map(|index| {
            let mut job = rig.job(&format!("member-{}", index % ACCOUNTS), &lines, at);
            let decision = &mut job.outcome.decision;
            decision.lines.reserve(lines.len());
            decision.effects.counters.reserve(8);
            decision.clips.reserve(4);
            decision.cells.reserve(4);
            Box::new(job)
        })
        .collect();
    let answers = answers.clone();
    let reply = move |batch| answers.try_send(batch).expect("the queue of answers has room");
    Job::Commands(CommandBatch::new(jobs, Arc::new(reply)))
}

fn decide(rig: &mut Rig, batch: Job) -> Option<Chunk> {
    rig.worker.execute(batch, 0);
    rig.worker.seal()
}

#[test]
fn an_accrual_on_an_account_that_exists_allocates_nothing() {
    let disk = MemoryStore::new();
    let setup = Setup { worker_count: 1, ..Setup::default() };
    let mut rig = Rig::new(Arc::new(disk.clone()), setup);
    // Everything at once, with room for many baskets a day.
    let source = programs::everything().replacen("limit = 3", "limit = 1_000", 1);
    rig.publish(&source, TimestampNs(i64::MIN));
    let (answers, answered) = sync_channel(1);
    let mut granted = 0;
    for round in 0..6 {
        let at = TimestampNs(NOON.0 + round * NS_PER_SECOND);
        let batch = batch(&mut rig, at, &answers);
        let mut base = Position(0);
        let (deciding, chunk) = allocations(|| decide(&mut rig, batch));
        // The committer, its frames and its store have memory of their own: they run outside the count.
        let chunk = chunk.expect("there are records");
        rig.make_durable(&chunk, &mut base);
        let (committing, ()) = allocations(|| rig.worker.committed(chunk, base));
        rig.progress.processed(base);
        let mut back = answered.try_iter().next().expect("the batch is answered");
        let jobs_back = std::mem::take(&mut back.jobs);
        assert_eq!(jobs_back.len(), PER_ROUND);
        granted += jobs_back.iter().map(|job| job.outcome.decision.granted).sum::<i64>();
        assert!(jobs_back.iter().all(|job| job.outcome.refusal().is_none() && job.outcome.position.is_some()));
        if round >= 2 {
            assert_eq!((deciding, committing), (0, 0), "round {round}, for {PER_ROUND} accruals");
        }
    }
    assert!(granted > 0);
    let report = verify_store(&disk);
    assert!(report.intact && report.records.accruals == 6 * PER_ROUND as u64, "{:#?}", report.findings);
}

#[test]
fn the_count_can_fail() {
    let (count, text) = allocations(|| String::from("an allocation"));
    assert_eq!((count, text.len()), (1, 13));
    assert_eq!(allocations(|| ()).0, 0);
}
