//! What a run of load observes: latencies, answers over time, refusals, and how long nothing was answered.
//!
//! What must stay true: memory does not grow with the number of answers; what is merged from several threads is what
//! one thread would have recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::process::{own_usage, usage_of};
use crate::clock::{Clock, SystemClock};

/// Answers are counted per slot of this length.
pub const SLOT_NS: i64 = 100_000_000;
/// The longest latency that is told apart from longer ones: ten minutes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// A histogram of nanoseconds, exact to three digits.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds above are valid")
}

/// When a run measures, on the clock of the run.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// From then on answers count.
    pub begin_ns: i64,
    /// From then on they do not.
    pub end_ns: i64,
}

/// What one thread saw.
#[derive(Clone, Debug)]
pub struct Recorder {
    window: Window,
    /// Latency of every accepted call or batch.
    pub latency: Histogram<u64>,
    /// Commands accepted in each slot.
    pub slots: Vec<u64>,
    /// Sum of the latencies in each slot, in nanoseconds, and how many they are.
    pub slot_latency: Vec<(i64, u64)>,
    /// Refusals in each slot.
    pub slot_refusals: Vec<u64>,
    /// Commands accepted.
    pub accepted_count: u64,
    /// What was not accepted, by kind.
    pub refusals: BTreeMap<String, u64>,
    /// Messages that were answered, and their bytes.
    pub message_count: u64,
    /// Bytes of the requests that were answered.
    pub request_bytes: u64,
    /// Bytes of the answers.
    pub response_bytes: u64,
    /// The longest time that one connection went without an answer.
    pub longest_gap_ns: i64,
}

impl Recorder {
    /// A recorder that has seen nothing.
    #[must_use]
    pub fn new(window: Window) -> Self {
        let slot_count = usize::try_from((window.end_ns - window.begin_ns).div_euclid(SLOT_NS)).unwrap_or(0).max(1);
        Self {
            window,
            latency: histogram(),
            slots: vec![0; slot_count],
            slot_latency: vec![(0, 0); slot_count],
            slot_refusals: vec![0; slot_count],
            accepted_count: 0,
            refusals: BTreeMap::new(),
            message_count: 0,
            request_bytes: 0,
            response_bytes: 0,
            longest_gap_ns: 0,
        }
    }

    /// Whether an answer at that time counts.
    #[must_use]
    pub fn counts(&self, at_ns: i64) -> bool {
        (self.window.begin_ns..self.window.end_ns).contains(&at_ns)
    }

    /// Commands were accepted.
    pub fn accepted(&mut self, at_ns: i64, count: u64) {
        if !self.counts(at_ns) {
            return;
        }
        self.accepted_count += count;
        let slot = self.slot(at_ns);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot += count;
        }
    }

    fn slot(&self, at_ns: i64) -> usize {
        usize::try_from((at_ns - self.window.begin_ns) / SLOT_NS).unwrap_or(usize::MAX)
    }

    /// A call or batch was answered that long after it was, or should have been, sent.
    pub fn took(&mut self, at_ns: i64, latency_ns: i64) {
        if self.counts(at_ns) {
            self.latency.saturating_record(u64::try_from(latency_ns).unwrap_or(0).max(1));
            let slot = self.slot(at_ns);
            if let Some((sum_ns, count)) = self.slot_latency.get_mut(slot) {
                *sum_ns += latency_ns;
                *count += 1;
            }
        }
    }

    /// A message of so many bytes was answered by one of so many.
    pub fn message(&mut self, at_ns: i64, request_bytes: usize, response_bytes: usize) {
        if self.counts(at_ns) {
            self.message_count += 1;
            self.request_bytes += request_bytes as u64;
            self.response_bytes += response_bytes as u64;
        }
    }

    /// Something was not accepted.
    pub fn refused(&mut self, at_ns: i64, kind: &str) {
        if !self.counts(at_ns) {
            return;
        }
        let slot = self.slot(at_ns);
        if let Some(count) = self.slot_refusals.get_mut(slot) {
            *count += 1;
        }
        match self.refusals.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.refusals.insert(kind.to_owned(), 1);
            }
        }
    }

    /// A connection had an answer then, and its one before at the other time.
    pub fn gap(&mut self, before_ns: i64, at_ns: i64) {
        let before_ns = before_ns.max(self.window.begin_ns);
        self.longest_gap_ns = self.longest_gap_ns.max(at_ns.min(self.window.end_ns) - before_ns);
    }

    /// Adds what another thread saw in the same window.
    pub fn merge(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        for (slot, more) in self.slots.iter_mut().zip(&other.slots) {
            *slot += more;
        }
        for ((sum_ns, count), (more_ns, more)) in self.slot_latency.iter_mut().zip(&other.slot_latency) {
            *sum_ns += more_ns;
            *count += more;
        }
        for (slot, more) in self.slot_refusals.iter_mut().zip(&other.slot_refusals) {
            *slot += more;
        }
        self.accepted_count += other.accepted_count;
        for (kind, count) in &other.refusals {
            *self.refusals.entry(kind.clone()).or_default() += count;
        }
        self.message_count += other.message_count;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        self.longest_gap_ns = self.longest_gap_ns.max(other.longest_gap_ns);
    }
}

/// The longest time without an answer on any connection. Shared by the threads of a run.
#[derive(Debug)]
pub struct Pulse {
    window: Window,
    last_ns: AtomicI64,
    longest_ns: AtomicI64,
}

impl Pulse {
    /// Nothing was answered yet.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { window, last_ns: AtomicI64::new(window.begin_ns), longest_ns: AtomicI64::new(0) }
    }

    /// Something was answered then. Also called with the end of the window.
    pub fn beat(&self, at_ns: i64) {
        if at_ns < self.window.begin_ns {
            return;
        }
        let at_ns = at_ns.min(self.window.end_ns);
        let gap_ns = at_ns - self.last_ns.fetch_max(at_ns, Ordering::Relaxed);
        if gap_ns > self.longest_ns.load(Ordering::Relaxed) {
            self.longest_ns.fetch_max(gap_ns, Ordering::Relaxed);
        }
    }

    /// The longest time so far.
    #[must_use]
    pub fn longest_ns(&self) -> i64 {
        self.longest_ns.load(Ordering::Relaxed)
    }
}

/// What the machine did to a thread that only slept.
#[derive(Clone, Debug)]
pub struct Control {
    /// By how much sleeps of a millisecond were overslept.
    pub overshoot: Histogram<u64>,
    /// The worst of each slot, from the beginning of the window.
    pub slots_ns: Vec<i64>,
    /// Time of processors that the server took within the window.
    pub server_ns: u64,
    /// Time of processors that this process took, the load generator above all.
    pub load_ns: u64,
}

impl Control {
    /// Nothing was seen.
    #[must_use]
    pub fn new() -> Self {
        Self { overshoot: histogram(), slots_ns: Vec::new(), server_ns: 0, load_ns: 0 }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// Sleeps a millisecond at a time until told to stop, and notes by how much each sleep was too long; and how much time
/// of processors the server and the load took from the first to the last of them.
pub fn control(clock: &SystemClock, window: Window, server_id: u32, stop: &Arc<AtomicBool>) -> Control {
    const SLEEP: Duration = Duration::from_millis(1);
    let mut seen = Control::new();
    let mut before_ns = clock.monotonic_ns();
    let usage = || [usage_of(server_id).processor_ns, own_usage().processor_ns];
    let mut began = None;
    while !stop.load(Ordering::Relaxed) && before_ns < window.end_ns {
        std::thread::sleep(SLEEP);
        let now_ns = clock.monotonic_ns();
        let over_ns = now_ns - before_ns - 1_000_000;
        if before_ns >= window.begin_ns {
            if began.is_none() {
                began = Some(usage());
            }
            seen.overshoot.saturating_record(u64::try_from(over_ns).unwrap_or(0).max(1));
            let slot = usize::try_from((before_ns - window.begin_ns) / SLOT_NS).unwrap_or(0);
            seen.slots_ns.resize(seen.slots_ns.len().max(slot + 1), 0);
            if let Some(worst) = seen.slots_ns.get_mut(slot) {
                *worst = (*worst).max(over_ns);
            }
        }
        before_ns = now_ns;
    }
    if let Some([server_ns, load_ns]) = began {
        let [server_end_ns, load_end_ns] = usage();
        // A server that has gone accounts nothing.
        seen.server_ns = server_end_ns.saturating_sub(server_ns);
        seen.load_ns = load_end_ns.saturating_sub(load_ns);
    }
    seen
}

/// What all threads of a run saw.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How long was measured.
    pub window_ns: i64,
    /// The sum of the threads.
    pub all: Recorder,
    /// The longest time without an answer on any connection.
    pub longest_pause_ns: i64,
    /// What the machine did meanwhile.
    pub control: Control,
}

impl Measured {
    /// Commands accepted in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.all.accepted_count as f64 * 1e9 / self.window_ns.max(1) as f64
    }

    /// Time of processors that server and load generator took for each command accepted, in nanoseconds.
    #[must_use]
    pub fn processor_ns_each(&self) -> f64 {
        (self.control.server_ns + self.control.load_ns) as f64 / self.all.accepted_count.max(1) as f64
    }

    /// Several runs, one after the other, as one.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn joined(runs: Vec<Self>) -> Self {
        let mut runs = runs.into_iter();
        let mut whole = runs.next().expect("at least one run was made");
        for run in runs {
            // Slots follow those of the run before; everything else is added.
            let slots = std::mem::take(&mut whole.all.slots);
            let latency = std::mem::take(&mut whole.all.slot_latency);
            let refusals = std::mem::take(&mut whole.all.slot_refusals);
            whole.all.merge(&run.all);
            whole.all.slots = slots.into_iter().chain(run.all.slots).collect();
            whole.all.slot_latency = latency.into_iter().chain(run.all.slot_latency).collect();
            whole.all.slot_refusals = refusals.into_iter().chain(run.all.slot_refusals).collect();
            whole.window_ns += run.window_ns;
            whole.longest_pause_ns = whole.longest_pause_ns.max(run.longest_pause_ns);
            whole.control.overshoot.add(&run.control.overshoot).expect("all histograms have the same bounds");
            whole.control.slots_ns.extend(run.control.slots_ns);
            whole.control.server_ns += run.control.server_ns;
            whole.control.load_ns += run.control.load_ns;
        }
        whole
    }

    /// A quantile of the latency in nanoseconds.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        self.all.latency.value_at_quantile(quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { begin_ns: 1_000_000_000, end_ns: 2_000_000_000 };

    #[test]
    fn what_comes_before_or_after_the_window_does_not_count() {
        let mut recorder = Recorder::new(WINDOW);
        for at_ns in [999_999_999, 1_000_000_000, 1_250_000_000, 2_000_000_000] {
            recorder.accepted(at_ns, 10);
            recorder.took(at_ns, 5_000);
            recorder.refused(at_ns, "OVERLOADED");
        }
        assert_eq!(recorder.accepted_count, 20);
        assert_eq!((recorder.slots[0], recorder.slots[2]), (10, 10));
        assert_eq!(recorder.latency.len(), 2);
        assert_eq!(recorder.refusals["OVERLOADED"], 2);
    }

    #[test]
    fn a_pause_reaches_from_answer_to_answer_and_to_the_end() {
        let pulse = Pulse::new(WINDOW);
        pulse.beat(500);
        pulse.beat(1_100_000_000);
        assert_eq!(pulse.longest_ns(), 100_000_000);
        pulse.beat(1_050_000_000);
        pulse.beat(1_200_000_000);
        assert_eq!(pulse.longest_ns(), 100_000_000);
        pulse.beat(WINDOW.end_ns);
        assert_eq!(pulse.longest_ns(), 800_000_000);
    }
}
