//! What the ledger counts and times while it runs: plain numbers that any thread may add to without waiting.
//!
//! Nothing here knows how the numbers are shown; room `telemetry` does that. The handles are registered once, when
//! this is made, so that every number is there from the start, at zero.
//!
//! What must stay true: adding costs a few nanoseconds, takes no lock and allocates nothing; what is known for a whole
//! batch is added once for the batch; a reader may see one number a moment before another that belongs to it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;

use crate::ledger::decision::Refusal;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(CachePadded<AtomicU64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(CachePadded<AtomicI64>);

impl Gauge {
    /// Replaces it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to it, or takes away.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets for each doubling: the bounds are a power of two, and one and a half times it.
const BUCKETS_PER_OCTAVE: usize = 2;

/// How often values of each size occurred. Bounds are inclusive, as the text format wants them.
#[derive(Debug)]
pub struct Histogram {
    /// The first bound is two to the power of this.
    first_log2: u32,
    /// One more than there are bounds: the last is for what is larger than all.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Values from two to the power of `first_log2` to two to the power of `last_log2` are told apart.
    ///
    /// # Panics
    /// When the range is empty or not of 64-bit numbers.
    #[must_use]
    pub fn new(first_log2: u32, last_log2: u32) -> Self {
        assert!(first_log2 >= 1 && first_log2 < last_log2 && last_log2 < 63, "bounds are ascending 64-bit numbers");
        let octaves = usize::try_from(last_log2 - first_log2).expect("at most 63");
        let bound_count = octaves * BUCKETS_PER_OCTAVE + 1;
        let buckets = (0..=bound_count).map(|_| AtomicU64::new(0)).collect();
        Self { first_log2, buckets, sum: AtomicU64::new(0) }
    }

    /// Durations in nanoseconds, from a microsecond to seventeen seconds.
    #[must_use]
    pub fn of_durations() -> Self {
        Self::new(10, 34)
    }

    /// Adds one value.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Adds one duration; one that a clock made negative counts as none.
    pub fn record_ns(&self, duration_ns: i64) {
        self.record(u64::try_from(duration_ns).unwrap_or(0));
    }

    /// Adds `count` values of about this size at once, such as the mean of a batch for all of the batch.
    pub fn record_many(&self, value: u64, count: u64) {
        self.buckets[self.index_of(value)].fetch_add(count, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(count), Ordering::Relaxed);
    }

    /// Adds `count` durations of about this length at once.
    pub fn record_many_ns(&self, duration_ns: i64, count: u64) {
        self.record_many(u64::try_from(duration_ns).unwrap_or(0), count);
    }

    /// Adds what a batch of `count` took in all.
    pub fn record_batch_ns(&self, duration_ns: i64, count: u64) {
        if let Some(mean_ns) = u64::try_from(duration_ns).unwrap_or(0).checked_div(count) {
            self.record_many(mean_ns, count);
        }
    }

    fn index_of(&self, value: u64) -> usize {
        // One less, because a bound belongs to what lies below it.
        let below = value.saturating_sub(1);
        let Some(log2) = below.checked_ilog2().filter(|log2| *log2 >= self.first_log2) else { return 0 };
        let octave = usize::try_from(log2 - self.first_log2).expect("at most 63");
        let half = usize::from((below >> (log2 - 1)) & 1 == 1);
        (1 + octave * BUCKETS_PER_OCTAVE + half).min(self.buckets.len() - 1)
    }

    /// The bounds, ascending, without the one of what is larger than all.
    pub fn bounds(&self) -> impl Iterator<Item = u64> + use<> {
        let first_log2 = self.first_log2;
        (0..self.buckets.len() - 1).map(move |index| {
            let octave = u32::try_from(index / BUCKETS_PER_OCTAVE).expect("at most 63");
            let power = 1u64 << (first_log2 + octave);
            if index % BUCKETS_PER_OCTAVE == 0 { power } else { power + power / 2 }
        })
    }

    /// How many values fell in each bucket: one for each bound, and one for what is larger than all.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect()
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }
}

/// Rows of a tally: threads add to their own as far as there are enough of them.
const TALLY_ROWS: usize = 8;

/// Counters that many threads add to for every command: each thread has a row of its own, so that none waits for
/// another's cache line.
#[derive(Debug)]
pub struct Tally<const N: usize>([CachePadded<[AtomicU64; N]>; TALLY_ROWS]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)))))
    }
}

thread_local! {
    static ROW: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % TALLY_ROWS
    };
    static CALL_NUMBER: Cell<u32> = const { Cell::new(0) };
}

impl<const N: usize> Tally<N> {
    /// Adds one to a counter.
    pub fn add_one(&self, counter: usize) {
        let row = ROW.try_with(|row| *row).unwrap_or(0);
        self.0[row][counter].fetch_add(1, Ordering::Relaxed);
    }

    /// The sum of a counter over all threads.
    #[must_use]
    pub fn get(&self, counter: usize) -> u64 {
        self.0.iter().map(|row| row[counter].load(Ordering::Relaxed)).sum()
    }
}

/// Of the calls that one thread serves, every so many is timed.
pub const CALLS_PER_SAMPLE: u32 = 8;

/// Whether the call that begins now on this thread is one of those that are timed. The first is.
#[must_use]
pub fn is_sampled() -> bool {
    CALL_NUMBER.try_with(|number| number.replace(number.get().wrapping_add(1)) % CALLS_PER_SAMPLE == 0).unwrap_or(true)
}

/// How long a command spends where.
#[derive(Debug)]
pub struct Stages {
    /// From the hand-over to a worker until the worker takes it: the longest wait of each batch.
    pub queue: Histogram,
    /// Deciding, applying and encoding a command: the mean of each batch.
    pub decide: Histogram,
    /// Assembling the frames of a commit, hashes included.
    pub encode: Histogram,
    /// From the end of deciding until the worker learns that it is durable: for each command.
    pub commit_wait: Histogram,
    /// Writing and syncing a commit.
    pub sync: Histogram,
    /// Entering a durable command's ids and handing over its answer: the mean of each chunk.
    pub reply: Histogram,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect now.
    Accepted,
    /// Its first answer was given again.
    Replayed,
    /// It was refused, whether on record or not.
    Refused(Refusal),
}

/// Names of the outcomes, in the order of [`Metrics::outcomes`].
pub const OUTCOMES: [&str; 3] = ["accepted", "replayed", "refused"];

/// What happens to transactions that a cap holds for review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// A cap holds it.
    Held,
    /// An operator gave its units.
    Released,
    /// An operator took them away.
    Rejected,
    /// The basket came back meanwhile.
    Returned,
}

impl Review {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Held, Self::Released, Self::Rejected, Self::Returned];
}

/// Names of what happens, in the order of [`Review::ALL`].
pub const REVIEWS: [&str; Review::ALL.len()] = ["held", "released", "rejected", "returned"];

/// What is counted of a decision beside its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// A velocity cap turned the earnings to nothing.
    pub over_velocity: bool,
    /// A review began or ended, of so many units.
    pub review: Option<(Review, u64)>,
}

/// What one worker says about itself.
#[derive(Debug, Default)]
pub struct WorkerMeter {
    /// Jobs done, reads and quotes included; a command of a batch is one.
    pub jobs: Counter,
    /// Since when something waits in its queue, on the monotonic clock; 0 when nothing is known to wait.
    waiting_since_ns: Gauge,
}

impl WorkerMeter {
    /// Something is about to be put in the queue. The time is read only if nothing is known to wait.
    pub fn comes(&self, now_ns: impl FnOnce() -> i64) {
        if self.waiting_since_ns.get() == 0 {
            self.waiting_since_ns.set(now_ns().max(1));
        }
    }

    /// The worker begins to take what waits: since when the first of it has waited, if that is known.
    pub fn takes(&self) -> Option<i64> {
        match self.waiting_since_ns.0.swap(0, Ordering::Relaxed) {
            0 => None,
            since_ns => Some(since_ns),
        }
    }

    /// The worker leaves something that has waited since then, if that is known.
    pub fn leaves(&self, since_ns: Option<i64>) {
        if let Some(since_ns) = since_ns {
            // Whoever has put something in meanwhile has noted a later time, for something that came later.
            self.waiting_since_ns.set(since_ns.max(1));
        }
    }

    /// The worker has taken so many jobs, and with `is_empty` all that waited: what came meanwhile does not wait.
    pub fn took(&self, count: u64, is_empty: bool) {
        self.jobs.add(count);
        if is_empty {
            self.waiting_since_ns.set(0);
        }
    }
}

/// Why a connection was ended by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOff {
    /// It was opened, and did not begin in time.
    Handshake,
    /// A frame, or the headers of a call, were begun and not ended in time.
    StalledFrame,
    /// An answer, or a part of one, was not taken in time.
    UnreadAnswer,
    /// Too many frames came that ask for nothing.
    FrameFlood,
    /// Too many calls were begun and given up.
    GivenUpCalls,
    /// There was no call for a long time.
    Idle,
}

impl CutOff {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Handshake, Self::StalledFrame, Self::UnreadAnswer, Self::FrameFlood, Self::GivenUpCalls, Self::Idle];
}

/// Names of the reasons, in the order of [`CutOff::ALL`].
pub const CUT_OFFS: [&str; CutOff::ALL.len()] =
    ["handshake", "stalled_frame", "unread_answer", "frame_flood", "given_up_calls", "idle"];

/// What is counted of connections.
#[derive(Debug, Default)]
pub struct ConnectionMeter {
    /// Those that are open.
    pub open: Gauge,
    /// Those that were closed at once, for their address had its share.
    pub refused: Counter,
    /// Bytes of large answers that wait for their callers to take them.
    pub large_answers_bytes: Arc<AtomicUsize>,
    cut_off: [Counter; CutOff::ALL.len()],
}

impl ConnectionMeter {
    /// Counts one that the server has ended.
    pub fn cut_off(&self, reason: CutOff) {
        if let Some(place) = CutOff::ALL.iter().position(|known| *known == reason) {
            self.cut_off[place].add(1);
        }
    }

    /// How many the server has ended, in the order of [`CUT_OFFS`].
    #[must_use]
    pub fn cut_offs(&self) -> [u64; CutOff::ALL.len()] {
        std::array::from_fn(|place| self.cut_off[place].get())
    }
}

/// Everything that is counted and timed.
#[derive(Debug)]
pub struct Metrics {
    /// How long a command spends where.
    pub stages: Stages,
    /// Records of each commit.
    pub commit_records: Histogram,
    /// Frames of each commit.
    pub commit_frames: Histogram,
    /// Bytes of each commit's frames.
    pub commit_bytes: Histogram,
    /// When the commit under way began, on the monotonic clock; 0 when none is.
    pub commit_began_ns: Gauge,
    /// How long snapshots took, from the first copy to the marker.
    pub snapshots: Histogram,
    /// Connections.
    pub connections: Arc<ConnectionMeter>,
    /// Baskets and activities that a velocity cap denied their units.
    pub velocity_denials: Counter,
    /// Reviews that began or ended, in the order of [`REVIEWS`].
    pub reviews: [Counter; REVIEWS.len()],
    /// Units of these.
    pub review_units: [Counter; REVIEWS.len()],
    /// Times that a credential had used up its rate.
    pub limited_rate: Counter,
    /// Calls that a credential had too many of under way.
    pub limited_concurrency: Counter,
    /// New names that a credential's limit refused.
    pub limited_names: Counter,
    /// Each worker's own.
    pub workers: Vec<WorkerMeter>,
    outcomes: Tally<{ OUTCOMES.len() }>,
    refusals: Tally<{ Refusal::ALL.len() }>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new(worker_count: usize) -> Self {
        Self {
            stages: Stages {
                queue: Histogram::of_durations(),
                decide: Histogram::new(7, 24),
                encode: Histogram::of_durations(),
                commit_wait: Histogram::of_durations(),
                sync: Histogram::of_durations(),
                reply: Histogram::new(7, 24),
            },
            commit_records: Histogram::new(1, 16),
            commit_frames: Histogram::new(1, 8),
            commit_bytes: Histogram::new(8, 24),
            commit_began_ns: Gauge::default(),
            snapshots: Histogram::new(20, 40),
            connections: Arc::default(),
            velocity_denials: Counter::default(),
            reviews: Default::default(),
            review_units: Default::default(),
            limited_rate: Counter::default(),
            limited_concurrency: Counter::default(),
            limited_names: Counter::default(),
            workers: (0..worker_count).map(|_| WorkerMeter::default()).collect(),
            outcomes: Tally::default(),
            refusals: Tally::default(),
        }
    }

    /// Counts the answer to one command.
    pub fn answered(&self, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.outcomes.add_one(0),
            Outcome::Replayed => self.outcomes.add_one(1),
            Outcome::Refused(refusal) => {
                self.outcomes.add_one(2);
                self.refusals.add_one(place_of(refusal));
            }
        }
    }

    /// Counts what else there is to a decision.
    pub fn shown(&self, signs: Signs) {
        if signs.over_velocity {
            self.velocity_denials.add(1);
        }
        if let Some((review, units)) = signs.review
            && let Some(place) = Review::ALL.iter().position(|known| *known == review)
        {
            self.reviews[place].add(1);
            self.review_units[place].add(units);
        }
    }

    /// Answers so far, in the order of [`OUTCOMES`].
    #[must_use]
    pub fn outcomes(&self) -> [u64; OUTCOMES.len()] {
        std::array::from_fn(|index| self.outcomes.get(index))
    }

    /// Refusals on this ground so far.
    #[must_use]
    pub fn refusals(&self, refusal: Refusal) -> u64 {
        self.refusals.get(place_of(refusal))
    }

    /// For how long the commit under way has been so; 0 when none is.
    #[must_use]
    pub fn commit_age_ns(&self, monotonic_ns: i64) -> i64 {
        match self.commit_began_ns.get() {
            0 => 0,
            began_ns => monotonic_ns.saturating_sub(began_ns).max(0),
        }
    }
}

/// The place of a refusal among all; numbers may have gaps.
fn place_of(refusal: Refusal) -> usize {
    Refusal::ALL.iter().position(|known| *known == refusal).expect("all refusals are listed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_below_the_first_bound_that_is_not_smaller() {
        let histogram = Histogram::new(3, 5);
        let bounds: Vec<u64> = histogram.bounds().collect();
        assert_eq!(bounds, [8, 12, 16, 24, 32]);
        for value in (0..40).chain([u64::MAX]) {
            let histogram = Histogram::new(3, 5);
            histogram.record(value);
            let expected = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            let found = histogram.counts().iter().position(|count| *count == 1);
            assert_eq!(found, Some(expected), "{value}");
        }
    }

    #[test]
    fn a_batch_counts_each_of_its_members_with_their_mean() {
        let histogram = Histogram::of_durations();
        histogram.record_batch_ns(40_000, 4);
        histogram.record_batch_ns(40_000, 0);
        histogram.record_ns(-5);
        assert_eq!((histogram.count(), histogram.sum()), (5, 40_000));
    }

    #[test]
    fn every_refusal_has_a_counter_of_its_own() {
        let metrics = Metrics::new(1);
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            for _ in 0..=index {
                metrics.answered(Outcome::Refused(refusal));
            }
        }
        metrics.answered(Outcome::Accepted);
        metrics.answered(Outcome::Replayed);
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(metrics.refusals(refusal), index as u64 + 1, "{refusal:?}");
        }
        assert_eq!(metrics.outcomes(), [1, 1, (1..=Refusal::ALL.len() as u64).sum()]);
    }

    #[test]
    fn the_longest_wait_is_that_of_the_first_that_came_and_was_not_taken() {
        let worker = WorkerMeter::default();
        assert_eq!(worker.takes(), None);
        worker.comes(|| 10);
        worker.comes(|| unreachable!("somebody waits already"));
        assert_eq!(worker.takes(), Some(10));
        // Nothing was taken after all: it waits on.
        worker.leaves(Some(10));
        worker.comes(|| unreachable!("somebody waits still"));
        assert_eq!(worker.takes(), Some(10));
        // What comes while the worker takes, and is taken too, has not waited.
        worker.comes(|| 26);
        worker.took(2, true);
        assert_eq!(worker.takes(), None);
        worker.leaves(None);
        worker.comes(|| 100);
        worker.took(1, false);
        assert_eq!(worker.takes(), Some(100));
        assert_eq!(worker.jobs.get(), 3);
    }

    #[test]
    fn threads_add_up() {
        let tally = Tally::<2>::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1_000).for_each(|_| tally.add_one(1)));
            }
        });
        assert_eq!((tally.get(0), tally.get(1)), (0, 20_000));
    }

    #[test]
    fn the_first_call_of_a_thread_is_timed_and_then_every_eighth() {
        let sampled = std::thread::spawn(|| (0..17).map(|_| is_sampled()).collect::<Vec<_>>()).join().unwrap();
        let expected: Vec<bool> = (0..17).map(|number| number % 8 == 0).collect();
        assert_eq!(sampled, expected);
    }
}
