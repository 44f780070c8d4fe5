//! How the caller of one connection behaves, and when that is the end of the connection.
//!
//! What must stay true: whoever sends and reads as HTTP/2 means it is never cut off; a limit of time is never cut short,
//! and is reached at most half of it, and a few ticks, late; nothing here is counted with more than a few words of memory
//! for a connection, and no clock is read for a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::config::Bounds;
use crate::limits;
use crate::metrics::{CUT_OFFS, CutOff};
use crate::service::turns::Turns;

/// The length of a tick is a fraction of the shortest limit, and within these.
const TICKS_PER_LIMIT: u64 = 4;
const TICK_MS_MIN: u64 = 10;
const TICK_MS_MAX: u64 = 1_000;
/// Stands for an instant that has not been.
const NEVER: u32 = u32::MAX;
/// Stands for no frame that has begun.
const NO_FRAME: u64 = u64::MAX;
/// Answers are told apart by the half of their limit in which they were given: this one, the last two, and older ones.
const GENERATIONS: usize = 4;

/// The limits of time, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    tick_ms: u64,
    preface_ticks: u32,
    request_ticks: u32,
    half_answer_ticks: u32,
    answer_ticks: u32,
    idle_ticks: u32,
}

impl Pace {
    pub(super) fn of(bounds: &Bounds) -> Self {
        let limits_ms = [limits::PREFACE_MS_MAX, bounds.request_ms_max, bounds.answer_ms_max, bounds.idle_ms_max];
        let shortest_ms = limits_ms.into_iter().min().unwrap_or(TICK_MS_MAX);
        let tick_ms = (shortest_ms / TICKS_PER_LIMIT).clamp(TICK_MS_MIN, TICK_MS_MAX);
        // One more, since the tick in which something began was under way by then.
        let ticks = |ms: u64| u32::try_from(ms.div_ceil(tick_ms)).unwrap_or(NEVER - 1).saturating_add(1);
        let answer_ticks = ticks(bounds.answer_ms_max);
        Self {
            tick_ms,
            preface_ticks: ticks(limits::PREFACE_MS_MAX),
            request_ticks: ticks(bounds.request_ms_max),
            half_answer_ticks: answer_ticks.div_ceil(2),
            answer_ticks,
            idle_ticks: ticks(bounds.idle_ms_max),
        }
    }

    /// How many frames that ask for nothing a tick makes up for.
    pub(super) fn credits_per_tick(&self) -> i64 {
        let credits = limits::FRAME_CREDITS_PER_SECOND.saturating_mul(self.tick_ms).div_ceil(1_000);
        i64::try_from(credits).unwrap_or(i64::MAX)
    }
}

/// What is known of one connection. Its parts all run on one thread; numbers that several of them change are atomic only
/// because tasks could move.
#[derive(Debug)]
pub(super) struct Conduct {
    pub(super) pace: Pace,
    tick: AtomicU32,
    has_begun: AtomicBool,
    /// The frame that has begun and is not whole, and since which tick.
    midst: AtomicU64,
    /// Since when the caller takes no byte of what waits for it.
    blocked_since: AtomicU32,
    /// Parts of answers that have not left, by the generation in which they were given.
    unsent: [AtomicU32; GENERATIONS],
    calls_open: AtomicU32,
    gave_sign: AtomicBool,
    idle_since: AtomicU32,
    /// By how many the calls that were given up are ahead of those that were answered.
    given_up: AtomicU32,
    /// Bytes of large parts of answers that wait on this connection, and on all of them.
    large_bytes: AtomicUsize,
    /// Turns of calls with large answers.
    pub(super) turns: Turns,
    all_large_bytes: Arc<AtomicUsize>,
    /// One more than the place of the reason for the end among all.
    cut_off: AtomicU8,
}

impl Conduct {
    pub(super) fn new(pace: Pace, all_large_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            pace,
            large_bytes: AtomicUsize::new(0),
            turns: Turns::new(limits::CONNECTION_LARGE_CALLS_MAX),
            all_large_bytes,
            tick: AtomicU32::new(0),
            has_begun: AtomicBool::new(false),
            midst: AtomicU64::new(NO_FRAME),
            blocked_since: AtomicU32::new(NEVER),
            unsent: Default::default(),
            calls_open: AtomicU32::new(0),
            gave_sign: AtomicBool::new(false),
            idle_since: AtomicU32::new(0),
            given_up: AtomicU32::new(0),
            cut_off: AtomicU8::new(0),
        }
    }

    /// Returns when the connection is to end, with the reason.
    pub(super) async fn watch(&self) -> CutOff {
        let mut ticks = tokio::time::interval(Duration::from_millis(self.pace.tick_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is now.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Some(reason) = self.pass() {
                return reason;
            }
        }
    }

    /// A tick has passed; gives the reason why the connection is to end, if there is one.
    fn pass(&self) -> Option<CutOff> {
        let now = self.tick.load(Ordering::Relaxed).saturating_add(1);
        self.tick.store(now, Ordering::Relaxed);
        let pace = &self.pace;
        let has_lasted = |since: u32, ticks: u32| since != NEVER && now.saturating_sub(since) >= ticks;
        let midst = self.midst.load(Ordering::Relaxed);
        let midst_since = if midst == NO_FRAME { NEVER } else { u32::try_from(midst & 0xffff_ffff).unwrap_or(NEVER) };
        let reason = if !self.has_begun.load(Ordering::Relaxed) && now >= pace.preface_ticks {
            CutOff::Handshake
        } else if has_lasted(midst_since, pace.request_ticks) {
            CutOff::StalledFrame
        } else if has_lasted(self.blocked_since.load(Ordering::Relaxed), pace.answer_ticks) || self.keeps_waiting() {
            CutOff::UnreadAnswer
        } else if self.calls_open.load(Ordering::Relaxed) == 0
            && has_lasted(self.idle_since.load(Ordering::Relaxed), pace.idle_ticks)
        {
            // It ends in good order: nothing is cut.
            return Some(CutOff::Idle);
        } else {
            return self.cut_off();
        };
        self.cut(reason);
        Some(reason)
    }

    pub(super) fn tick(&self) -> u32 {
        self.tick.load(Ordering::Relaxed)
    }

    /// The connection is to end.
    pub(super) fn cut(&self, reason: CutOff) {
        let place = CutOff::ALL.iter().position(|known| *known == reason).unwrap_or_default();
        self.cut_off.store(u8::try_from(place + 1).unwrap_or(u8::MAX), Ordering::Relaxed);
    }

    /// Why the connection is to end, if it is.
    pub(super) fn cut_off(&self) -> Option<CutOff> {
        let place = usize::from(self.cut_off.load(Ordering::Relaxed)).checked_sub(1)?;
        CutOff::ALL.get(place).copied()
    }

    /// The preface and the first frame have come.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Which frame has begun and is not whole.
    pub(super) fn stand(&self, midst: Option<u32>) {
        let known = self.midst.load(Ordering::Relaxed);
        match midst.map(u64::from) {
            None if known != NO_FRAME => self.midst.store(NO_FRAME, Ordering::Relaxed),
            Some(frame) if known == NO_FRAME || known >> 32 != frame => {
                self.midst.store(frame << 32 | u64::from(self.tick()), Ordering::Relaxed);
            }
            None | Some(_) => {}
        }
    }

    /// Whether the caller takes what waits for it.
    pub(super) fn takes(&self, takes: bool) {
        let since = self.blocked_since.load(Ordering::Relaxed);
        match (takes, since == NEVER) {
            (true, false) => self.blocked_since.store(NEVER, Ordering::Relaxed),
            (false, true) => self.blocked_since.store(self.tick(), Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
    }

    /// A part of an answer waits until the caller takes it. Gives the place that it is to leave again.
    pub(super) fn wait(&self, bytes: usize) -> usize {
        if bytes > limits::SMALL_ANSWER_BYTES_MAX {
            self.large_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.all_large_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let place = self.generation() % GENERATIONS;
        self.unsent[place].fetch_add(1, Ordering::Relaxed);
        place
    }

    /// It has left.
    pub(super) fn leave(&self, place: usize, bytes: usize) {
        if bytes > limits::SMALL_ANSWER_BYTES_MAX {
            self.large_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.all_large_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.unsent[place].fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a further call may be begun: not while so much of the answers to others waits to be taken.
    pub(super) fn has_room(&self) -> bool {
        let large_bytes = self.large_bytes.load(Ordering::Relaxed);
        large_bytes == 0
            || (large_bytes < limits::CONNECTION_LARGE_ANSWERS_BYTES_MAX
                && self.all_large_bytes.load(Ordering::Relaxed) < limits::LARGE_ANSWERS_BYTES_MAX)
    }

    fn generation(&self) -> usize {
        usize::try_from(self.tick() / self.pace.half_answer_ticks).unwrap_or_default()
    }

    /// Whether a part of an answer has waited since the generation before the last two.
    fn keeps_waiting(&self) -> bool {
        self.unsent[(self.generation() + 1) % GENERATIONS].load(Ordering::Relaxed) > 0
    }

    /// A call begins.
    pub(super) fn open_call(&self) {
        self.calls_open.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that have not ended.
    pub(super) fn calls_open(&self) -> u32 {
        self.calls_open.load(Ordering::Relaxed)
    }

    /// Something has come.
    pub(super) fn has_come(&self) {
        self.gave_sign.store(true, Ordering::Relaxed);
    }

    /// Whether anything has come since this was last asked.
    pub(super) fn take_sign(&self) -> bool {
        self.gave_sign.swap(false, Ordering::Relaxed)
    }

    /// A call has ended in a way that says nothing of how the caller behaves.
    pub(super) fn leave_call(&self) {
        self.calls_open.fetch_sub(1, Ordering::Relaxed);
        self.idle_since.store(self.tick(), Ordering::Relaxed);
    }

    /// A call has ended, with its answer or without.
    pub(super) fn close_call(&self, is_answered: bool) {
        self.leave_call();
        if is_answered {
            let given_up = self.given_up.load(Ordering::Relaxed);
            self.given_up.store(given_up.saturating_sub(1), Ordering::Relaxed);
        } else {
            self.give_up(1);
        }
    }

    /// Calls were answered before anybody saw them; some of them had been given up.
    pub(super) fn refuse_calls(&self, count: u32, given_up_count: u32) {
        if count > 0 {
            self.idle_since.store(self.tick(), Ordering::Relaxed);
        }
        if given_up_count > 0 {
            self.give_up(given_up_count);
        }
    }

    /// The request of a call was reset before it was whole. The call may go on to an answer that nobody takes, which
    /// therefore counts for nothing.
    pub(super) fn break_off(&self) {
        self.give_up(2);
    }

    fn give_up(&self, count: u32) {
        let given_up = self.given_up.load(Ordering::Relaxed).saturating_add(count);
        self.given_up.store(given_up, Ordering::Relaxed);
        if given_up > limits::CALLS_GIVEN_UP_MAX {
            self.cut(CutOff::GivenUpCalls);
        }
    }
}

const _: () = assert!(CUT_OFFS.len() < 255, "the place of a reason is a byte");

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits of ten ticks for requests, twenty for answers, forty for idleness.
    fn conduct() -> Conduct {
        let bounds = Bounds { request_ms_max: 100, answer_ms_max: 200, idle_ms_max: 400, ..Bounds::default() };
        let pace = Pace::of(&bounds);
        assert_eq!((pace.tick_ms, pace.request_ticks, pace.answer_ticks, pace.idle_ticks), (25, 5, 9, 17));
        Conduct::new(pace, Arc::default())
    }

    fn begun() -> Conduct {
        let conduct = conduct();
        conduct.begin();
        // A call that is not over keeps it from being idle.
        conduct.open_call();
        conduct
    }

    /// The tick at which it is cut off, and why.
    fn end_of(conduct: &Conduct, within: u32) -> Option<(u32, CutOff)> {
        (0..within).find_map(|_| conduct.pass().map(|reason| (conduct.tick(), reason)))
    }

    #[test]
    fn who_never_begins_is_cut_off_and_who_has_begun_is_not() {
        assert_eq!(end_of(&begun(), 1_000), None);
        let conduct = conduct();
        conduct.open_call();
        assert_eq!(end_of(&conduct, 1_000), Some((401, CutOff::Handshake)));
    }

    #[test]
    fn a_frame_that_is_not_ended_ends_the_connection_and_others_after_it_do_not() {
        let conduct = begun();
        for frame in 0..100 {
            conduct.stand(Some(frame));
            assert_eq!(end_of(&conduct, 4), None, "frame {frame}");
        }
        conduct.stand(None);
        assert_eq!(end_of(&conduct, 100), None);
        conduct.stand(Some(7));
        assert_eq!(end_of(&conduct, 4), None);
        conduct.stand(Some(7));
        let (_, reason) = end_of(&conduct, 1).unwrap();
        assert_eq!((reason, conduct.cut_off()), (CutOff::StalledFrame, Some(CutOff::StalledFrame)));
    }

    #[test]
    fn an_answer_that_is_not_taken_ends_the_connection_in_time_whatever_else_is_taken() {
        for begins_at in 0..12 {
            let conduct = begun();
            assert_eq!(end_of(&conduct, begins_at), None);
            conduct.wait(1);
            let mut passed = 0;
            while conduct.pass().is_none() {
                passed += 1;
                assert!(passed < 40, "it is never cut off");
                let taken = conduct.wait(1);
                conduct.leave(taken, 1);
            }
            assert_eq!(conduct.cut_off(), Some(CutOff::UnreadAnswer));
            // Not sooner than the limit of eight ticks, and not half of it later.
            assert!((8..=15).contains(&passed), "begun at {begins_at}, cut off after {passed} ticks");
        }
    }

    #[test]
    fn answers_that_are_taken_in_time_end_nothing() {
        let conduct = begun();
        let mut waiting = std::collections::VecDeque::new();
        for _ in 0..200 {
            waiting.push_back(conduct.wait(1));
            if waiting.len() > 8 {
                conduct.leave(waiting.pop_front().unwrap(), 1);
            }
            assert_eq!(conduct.pass(), None);
        }
    }

    #[test]
    fn whoever_has_much_waiting_begins_nothing_more() {
        let all = Arc::new(AtomicUsize::new(0));
        let [one, other] = [0, 1].map(|_| Conduct::new(conduct().pace, all.clone()));
        let large = limits::SMALL_ANSWER_BYTES_MAX + 1;
        for _ in 0..10_000 {
            one.wait(limits::SMALL_ANSWER_BYTES_MAX);
        }
        assert!(one.has_room(), "small ones are bounded by streams");
        let most = limits::CONNECTION_LARGE_ANSWERS_BYTES_MAX.div_ceil(large);
        let places: Vec<usize> = (0..most).map(|_| one.wait(large)).collect();
        assert!(!one.has_room() && other.has_room());
        one.leave(places[0], large);
        assert!(one.has_room());
        // When all have too much waiting, only those who have none go on.
        all.fetch_add(limits::LARGE_ANSWERS_BYTES_MAX, Ordering::Relaxed);
        assert!(!one.has_room() && other.has_room());
        places[1..].iter().for_each(|place| one.leave(*place, large));
        assert!(one.has_room());
    }

    #[test]
    fn a_caller_that_takes_no_byte_is_cut_off_and_one_that_takes_some_is_not() {
        let conduct = begun();
        for _ in 0..10 {
            conduct.takes(false);
            assert_eq!(end_of(&conduct, 8), None);
            conduct.takes(true);
        }
        conduct.takes(false);
        assert_eq!(end_of(&conduct, 8), None);
        conduct.takes(false);
        assert_eq!(end_of(&conduct, 1).map(|end| end.1), Some(CutOff::UnreadAnswer));
    }

    #[test]
    fn a_connection_without_calls_ends_after_a_while() {
        let conduct = begun();
        conduct.close_call(true);
        assert_eq!(end_of(&conduct, 16), None);
        conduct.open_call();
        assert_eq!(end_of(&conduct, 100), None);
        conduct.close_call(true);
        assert_eq!(end_of(&conduct, 17).map(|end| end.1), Some(CutOff::Idle));
    }

    #[test]
    fn calls_may_be_given_up_as_far_as_others_are_answered() {
        let conduct = begun();
        let many = |count: u32, is_answered| {
            for _ in 0..count {
                conduct.open_call();
                conduct.close_call(is_answered);
            }
        };
        many(limits::CALLS_GIVEN_UP_MAX, false);
        assert_eq!(conduct.cut_off(), None);
        many(10, true);
        many(10, false);
        assert_eq!(conduct.cut_off(), None);
        many(11, true);
        for _ in 0..10 {
            conduct.open_call();
            conduct.break_off();
            conduct.close_call(true);
        }
        assert_eq!(conduct.cut_off(), None);
        many(2, false);
        assert_eq!(conduct.cut_off(), Some(CutOff::GivenUpCalls));
        assert_eq!(conduct.pass(), Some(CutOff::GivenUpCalls));
    }
}
