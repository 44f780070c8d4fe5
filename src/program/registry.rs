//! The versions of the programme in one data directory, and which of them judges an event.
//!
//! What must stay true: versions are numbered from 1 without gaps, and their effective times ascend strictly; nothing
//! is ever taken out; a later version never changes what an earlier one's balances and counters mean.

use std::sync::Arc;

use super::counters::Counters;
use crate::ledger::program::{EarlierLimit, Program};
use crate::ledger::types::{ProgramVersion, TimestampNs};
use crate::limits::PROGRAM_VERSIONS_MAX;

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// The versions of one data directory, ascending. A rollback is a new version with an older text.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    versions: Vec<Arc<Program>>,
    /// What all of them count together: what the next is held against, so that it costs no more the more there are.
    counters: Counters,
}

/// Why a version cannot follow those that are there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// [`PROGRAM_VERSIONS_MAX`] is reached.
    #[error("the programme has {PROGRAM_VERSIONS_MAX} versions already, which is the limit")]
    Full,
    /// The version's number is not the next.
    #[error("the next version of the programme is {expected}, not {got}")]
    NotNext {
        /// The number that would be right.
        expected: ProgramVersion,
        /// The number that was given.
        got: ProgramVersion,
    },
    /// The version would take effect no later than the one before.
    #[error(
        "the new version would take effect at {}, no later than the version before at {}",
        .got.shown(),
        .latest.shown()
    )]
    NotLater {
        /// When the latest version takes effect.
        latest: TimestampNs,
        /// When the new one would.
        got: TimestampNs,
    },
    /// Amounts would be in another currency.
    #[error("the currency of a programme stays {old:?}; the new version states {new:?}")]
    CurrencyChanged {
        /// The currency of all versions so far.
        old: String,
        /// The currency of the new version.
        new: String,
    },
    /// A wallet is gone, moved, renamed or shown with other decimals.
    #[error("wallet number {number} stays {name:?} with scale {scale}; new wallets go to the end of the list")]
    WalletChanged {
        /// The wallet's place in the file, from 1.
        number: usize,
        /// Its name so far.
        name: String,
        /// Its scale so far.
        scale: u8,
    },
    /// A wallet of points would hold money, or the other way round.
    #[error("wallet number {number}, {name:?}, stays one of {kind}")]
    WalletKindChanged {
        /// The wallet's place in the file, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What it holds so far.
        kind: &'static str,
    },
    /// Receipts would be let in for windows of which counters are forgotten already.
    #[error(
        "`late_limit_days` is {got}, but may not be raised above the {latest} of version {version}: counters of caps \
         are kept no longer"
    )]
    LateLimitRaised {
        /// The version before.
        version: ProgramVersion,
        /// Its late limit, in days.
        latest: i64,
        /// The new version's, in days.
        got: i64,
    },
    /// A cap, a metric or a bonus would go on counting something else under the same name.
    #[error("{name:?} counts something else in version {version}; give the new counter another name")]
    CounterChanged {
        /// The counter's name.
        name: String,
        /// The version that gave the name its meaning.
        version: ProgramVersion,
    },
}

impl Programs {
    /// No versions yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next version.
    ///
    /// # Errors
    /// When the version cannot follow those that are there; nothing is changed then.
    pub fn append(&mut self, mut program: Arc<Program>) -> Result<(), AppendError> {
        self.check_next(&program)?;
        if let Some(latest) = self.latest() {
            let mut following = Program::clone(&program);
            following.earlier = earlier_limit(latest, &program);
            self.counters.lengthen(&mut following);
            if following != *program {
                program = Arc::new(following);
            }
        }
        self.counters.take_in(&program);
        self.versions.push(program);
        Ok(())
    }

    /// Whether [`Programs::append`] would take this version.
    ///
    /// # Errors
    /// What [`Programs::append`] would answer.
    pub fn check_next(&self, program: &Program) -> Result<(), AppendError> {
        let count = u32::try_from(self.versions.len()).unwrap_or(u32::MAX);
        if count >= PROGRAM_VERSIONS_MAX {
            return Err(AppendError::Full);
        }
        let expected = ProgramVersion(count + 1);
        if program.version != expected {
            return Err(AppendError::NotNext { expected, got: program.version });
        }
        let Some(latest) = self.latest() else { return Ok(()) };
        if program.effective_at <= latest.effective_at {
            return Err(AppendError::NotLater { latest: latest.effective_at, got: program.effective_at });
        }
        check_same_units(latest, program)?;
        check_late_limit(latest, program)?;
        self.check_same_counters(program)
    }

    /// Counters keep their meaning: a name that any earlier version gave to a cap, a metric or a bonus counts the same in the
    /// same window. So do the cells that accounts share. Earlier versions matter even when a later one lacks the name, for
    /// their counters are kept.
    fn check_same_counters(&self, program: &Program) -> Result<(), AppendError> {
        match self.counters.contradicted(program) {
            None => Ok(()),
            Some((name, version)) => Err(AppendError::CounterChanged { name: name.to_owned(), version }),
        }
    }

    /// The version that judges an event at this instant: the latest that is in effect; `None` before the first.
    #[must_use]
    pub fn in_force(&self, at: TimestampNs) -> Option<&Arc<Program>> {
        let count = self.versions.partition_point(|program| program.effective_at <= at);
        self.versions.get(count.checked_sub(1)?)
    }

    /// The version with this number.
    #[must_use]
    pub fn get(&self, version: ProgramVersion) -> Option<&Arc<Program>> {
        self.versions.get(usize::try_from(version.0).ok()?.checked_sub(1)?)
    }

    /// The version published last, whether or not it is in effect yet.
    #[must_use]
    pub fn latest(&self) -> Option<&Arc<Program>> {
        self.versions.last()
    }

    /// The number of the version published last; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> ProgramVersion {
        self.latest().map_or(ProgramVersion(0), |latest| latest.version)
    }

    /// For how long the next version has to be known before it takes effect, where it has another time zone than the one before.
    ///
    /// A receipt is named by its business day in the zone of the version in force at its date, and earns once under that name. It
    /// may be dated ahead of its posting, so far as versions let that in. Announced for longer, no version comes to be in force at
    /// a date at which receipts have earned already: it would give them another day, and another name.
    #[must_use]
    pub fn notice_ns(&self, program: &Program) -> Option<i64> {
        if self.latest()?.zone.name() == program.zone.name() {
            return None;
        }
        self.versions.iter().map(|version| version.future_skew_ns).max()
    }

    /// All versions, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Program>> + ExactSizeIterator {
        self.versions.iter()
    }
}

/// Balances keep their meaning: the currency stays, and wallets are only ever appended.
fn check_same_units(earlier: &Program, program: &Program) -> Result<(), AppendError> {
    if earlier.currency != program.currency {
        return Err(AppendError::CurrencyChanged { old: earlier.currency.clone(), new: program.currency.clone() });
    }
    for (index, old) in earlier.wallets.iter().enumerate() {
        let new = program.wallets.get(index);
        if new.is_none_or(|new| (&new.name, new.scale) != (&old.name, old.scale)) {
            return Err(AppendError::WalletChanged { number: index + 1, name: old.name.clone(), scale: old.scale });
        }
        if new.is_some_and(|new| new.money.is_some() != old.money.is_some()) {
            let kind = if old.money.is_some() { "money" } else { "points" };
            return Err(AppendError::WalletKindChanged { number: index + 1, name: old.name.clone(), kind });
        }
    }
    Ok(())
}

/// Counters are kept for as long as the version that counted, and those before it, let receipts in, and a window may reach
/// over from one version into the next. A longer limit would let a receipt in after its window's counter is forgotten, and
/// what the cap granted in that window would be granted again (invariant 6). Limits never grow, so the latest is the smallest.
fn check_late_limit(latest: &Program, program: &Program) -> Result<(), AppendError> {
    if program.late_limit_ns <= latest.late_limit_ns {
        return Ok(());
    }
    let days = |program: &Program| program.late_limit_ns / NS_PER_DAY;
    Err(AppendError::LateLimitRaised { version: latest.version, latest: days(latest), got: days(program) })
}

/// What the versions before a new one let in for longer than it does: receipts from before its effective time, which they
/// judge. A window may hold such receipts and later ones, and whatever version counts in it keeps its counter for all of them.
fn earlier_limit(latest: &Program, program: &Program) -> Option<EarlierLimit> {
    let late_limit_ns = latest.counters_kept_ns(program.effective_at);
    if late_limit_ns <= program.late_limit_ns {
        return None;
    }
    let of_latest = TimestampNs(program.effective_at.0.saturating_add(latest.late_limit_ns));
    let until = latest.earlier.map_or(of_latest, |earlier| earlier.until.max(of_latest));
    Some(EarlierLimit { late_limit_ns, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{SymbolTable, Symbols, compile};
    use proptest::prelude::*;

    const SOURCE: &str = r#"
        [program]
        name = "corner"
        currency = "USD"
        time_zone = "UTC"
        [[wallets]]
        name = "points"
        [earn]
        wallet = "points"
        units = 1
        per_minor = 100
        rounding = "floor"
        stacking = "best-of"
        [[caps]]
        name = "daily"
        measure = "units"
        window = "day"
        limit = 200
        [[metrics]]
        name = "spent"
        measure = "eligible-amount"
        window = "year"
        [[bonuses]]
        name = "gift"
        units = 5
        limit = { times = 1, per = "week" }
        [[budgets]]
        name = "pot"
        units = 500
        [tiers]
        metric = "spent"
        levels = [{ name = "top", threshold = 50 }]
    "#;

    fn version_of(source: &str, version: u32, effective_at: i64) -> Arc<Program> {
        let (version, effective_at) = (ProgramVersion(version), TimestampNs(effective_at));
        Arc::new(compile(source, version, effective_at, &mut SymbolTable::new()).unwrap())
    }

    fn version(version: u32, effective_at: i64) -> Arc<Program> {
        version_of(SOURCE, version, effective_at)
    }

    #[test]
    fn the_latest_version_in_effect_judges() {
        let mut programs = Programs::new();
        assert_eq!(programs.in_force(TimestampNs(i64::MAX)), None);
        assert_eq!(programs.latest(), None);
        for (number, effective_at) in [(1, 100), (2, 200), (3, 300)] {
            programs.append(version(number, effective_at)).unwrap();
        }
        for (at, expected) in [(99, None), (100, Some(1)), (199, Some(1)), (200, Some(2)), (i64::MAX, Some(3))] {
            let got = programs.in_force(TimestampNs(at)).map(|program| program.version.0);
            assert_eq!(got, expected, "at {at}");
        }
        assert_eq!(programs.latest().unwrap().version, ProgramVersion(3));
        assert_eq!(programs.get(ProgramVersion(2)).unwrap().effective_at, TimestampNs(200));
        assert_eq!(programs.get(ProgramVersion(0)), None);
        assert_eq!(programs.get(ProgramVersion(4)), None);
        assert_eq!(programs.iter().map(|program| program.version.0).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn numbers_and_times_ascend() {
        let mut programs = Programs::new();
        let not_next =
            |expected, got| Err(AppendError::NotNext { expected: ProgramVersion(expected), got: ProgramVersion(got) });
        assert_eq!(programs.append(version(2, 100)), not_next(1, 2));
        programs.append(version(1, 100)).unwrap();
        assert_eq!(programs.append(version(1, 200)), not_next(2, 1));
        for got in [99, 100] {
            let expected = Err(AppendError::NotLater { latest: TimestampNs(100), got: TimestampNs(got) });
            assert_eq!(programs.append(version(2, got)), expected);
        }
        assert_eq!(programs.iter().len(), 1);
        programs.append(version(2, 101)).unwrap();
    }

    #[test]
    fn a_later_version_keeps_the_meaning_of_what_is_there() {
        let rows = [
            ("limit = 200", "limit = 300", None),
            ("UTC", "Europe/Berlin", None),
            ("[earn]", "[[wallets]]\nname = \"stars\"\n[earn]", None),
            ("name = \"daily\"", "name = \"per-day\"", None),
            ("USD", "EUR", Some("the currency of a programme stays \"USD\"; the new version states \"EUR\"")),
            ("\"UTC\"", "\"UTC\"\nlate_limit_days = 29", None),
            (
                "\"UTC\"",
                "\"UTC\"\nlate_limit_days = 31",
                Some(
                    "`late_limit_days` is 31, but may not be raised above the 30 of version 1: counters of caps are \
                     kept no longer",
                ),
            ),
            (
                "points\"\n        [earn]",
                "points\"\n        scale = 2\n        [earn]",
                Some("wallet number 1 stays \"points\" with scale 0; new wallets go to the end of the list"),
            ),
            (
                "[[wallets]]",
                "[[wallets]]\nname = \"stars\"\n[[wallets]]",
                Some("wallet number 1 stays \"points\" with scale 0; new wallets go to the end of the list"),
            ),
            (
                "window = \"day\"",
                "window = \"year\"",
                Some("\"daily\" counts something else in version 1; give the new counter another name"),
            ),
            (
                "measure = \"units\"",
                "measure = \"earning-baskets\"",
                Some("\"daily\" counts something else in version 1; give the new counter another name"),
            ),
            (
                "measure = \"units\"",
                "measure = \"units\"\nsubject = \"store\"",
                Some("\"daily\" counts something else in version 1; give the new counter another name"),
            ),
            ("window = \"day\"", "window = \"day\"\nrolling = 7\nover = \"decline\"", None),
            (
                "units = 500",
                "units = 500\nwindow = \"day\"",
                Some("\"pot\" counts something else in version 1; give the new counter another name"),
            ),
            ("times = 1, per = \"week\"", "times = 5, per = \"week\"", None),
            ("limit = { times = 1, per = \"week\" }\n", "", None),
            (
                "per = \"week\"",
                "per = \"month\"",
                Some("\"gift\" counts something else in version 1; give the new counter another name"),
            ),
            (
                "[[budgets]]\n        name = \"pot\"\n        units = 500",
                "[[bonuses]]\n        name = \"pot\"\n        units = 500\n        places = 9",
                Some("\"pot\" counts something else in version 1; give the new counter another name"),
            ),
            ("threshold = 50", "threshold = 40, multiplier = \"3\"", None),
            ("name = \"top\"", "name = \"summit\"", None),
        ];
        for (old, new, expected) in rows {
            let source = SOURCE.replacen(old, new, 1);
            assert_ne!(source, SOURCE, "{old}");
            let mut programs = Programs::new();
            programs.append(version(1, 100)).unwrap();
            let got = programs.append(version_of(&source, 2, 200)).err().map(|error| error.to_string());
            assert_eq!(got.as_deref(), expected, "{old} -> {new}");
        }
    }

    /// A file that is only checked is compiled by itself, so that its strings have other numbers.
    #[test]
    fn the_partner_of_a_budget_is_told_by_its_name() {
        let of = |partner: &str| SOURCE.replacen("units = 500", &format!("units = 500\npartner = \"{partner}\""), 1);
        let rows = [
            (of("books"), None),
            (of("market"), Some("\"pot\" counts something else in version 1; give the new counter another name")),
            (SOURCE.to_owned(), Some("\"pot\" counts something else in version 1; give the new counter another name")),
        ];
        for (source, expected) in rows {
            let mut programs = Programs::new();
            programs.append(version_of(&of("books"), 1, 100)).unwrap();
            let mut symbols = SymbolTable::new();
            for known in ["market", "corner-shop", "till-1"] {
                symbols.intern(known).unwrap();
            }
            let checked = compile(&source, ProgramVersion(2), TimestampNs(200), &mut symbols).unwrap();
            let got = programs.check_next(&checked).err().map(|error| error.to_string());
            assert_eq!(got.as_deref(), expected, "{source}");
        }
    }

    #[test]
    fn a_version_with_another_time_zone_needs_notice_of_the_longest_skew_so_far() {
        let in_zone = |zone: &str, skew_seconds: u32| {
            SOURCE.replacen("\"UTC\"", &format!("\"{zone}\"\nfuture_skew_seconds = {skew_seconds}"), 1)
        };
        let notice_seconds = |programs: &Programs, zone: &str| {
            let notice_ns = programs.notice_ns(&version_of(&in_zone(zone, 9_000), 9, 900));
            notice_ns.map(|notice_ns| notice_ns / 1_000_000_000)
        };
        let mut programs = Programs::new();
        assert_eq!(notice_seconds(&programs, "Asia/Tokyo"), None, "nothing has earned");
        let rows = [
            // The zone and the skew of the next version, then the notices for UTC and for Tokyo.
            ("UTC", 60, None, Some(60)),
            ("UTC", 600, None, Some(600)),
            ("UTC", 30, None, Some(600)),
            ("Asia/Tokyo", 0, Some(600), None),
        ];
        for ((zone, skew_seconds, utc, tokyo), number) in rows.into_iter().zip(1..) {
            programs.append(version_of(&in_zone(zone, skew_seconds), number, i64::from(number) * 100)).unwrap();
            let notices = (notice_seconds(&programs, "UTC"), notice_seconds(&programs, "Asia/Tokyo"));
            assert_eq!(notices, (utc, tokyo), "version {number}");
            assert_eq!(programs.newest(), ProgramVersion(number));
        }
    }

    #[test]
    fn a_late_limit_that_was_lowered_stays_low() {
        let lower = SOURCE.replacen("\"UTC\"", "\"UTC\"\nlate_limit_days = 3", 1);
        let mut programs = Programs::new();
        programs.append(version(1, 100)).unwrap();
        programs.append(version_of(&lower, 2, 200)).unwrap();
        // Windows of version 2 are forgotten after three days, whatever version 1 allowed.
        let error = programs.append(version(3, 300)).unwrap_err();
        assert_eq!(error, AppendError::LateLimitRaised { version: ProgramVersion(2), latest: 3, got: 30 });
        programs.append(version_of(&lower, 3, 300)).unwrap();
    }

    #[test]
    fn counters_are_kept_for_receipts_of_earlier_versions() {
        const DAY: i64 = NS_PER_DAY;
        let lasting = |days: i64| SOURCE.replacen("\"UTC\"", &format!("\"UTC\"\nlate_limit_days = {days}"), 1);
        let mut programs = Programs::new();
        // 30 days, again 30, then 3 from the 10th day on, and 1 from the 11th on.
        for (days, number, from) in [(30, 1, 0), (30, 2, 5), (3, 3, 10), (1, 4, 11)] {
            programs.append(version_of(&lasting(days), number, from * DAY)).unwrap();
        }
        let rows = [
            (1, 0, 30),
            (1, 99, 30),
            (2, 34, 30),
            (3, 39, 30),
            (3, 40, 3),
            (4, 39, 30),
            // The 11th day's receipts of version 3 were all in by the 14th.
            (4, 40, 1),
        ];
        for (number, day, expected) in rows {
            let program = programs.get(ProgramVersion(number)).unwrap();
            let got = program.counters_kept_ns(TimestampNs(day * DAY)) / DAY;
            assert_eq!(got, expected, "version {number} on day {day}");
        }
    }

    #[test]
    fn counters_are_kept_for_the_furthest_look_back_of_any_version() {
        let looking = |rolling: u16, more: &str| {
            let wide = |source: String, section: &str| {
                source.replacen(section, &format!("{section}\n        rolling = {rolling}"), 1)
            };
            let source = wide(SOURCE.to_owned(), "window = \"day\"");
            let source = wide(source, "metric = \"spent\"");
            let budget = "units = 500\nwindow = \"day\"";
            source.replacen("units = 500", &format!("{budget}\nrolling = {rolling}"), 1).replacen(
                "levels =",
                &format!("{more}\nlevels ="),
                1,
            )
        };
        let mut programs = Programs::new();
        let sources = [looking(3, "keep = 2\nsoft_landing = true"), looking(1, ""), looking(2, "keep = 1")];
        for (source, number) in sources.iter().zip(1..) {
            programs.append(version_of(source, number, i64::from(number) * 100)).unwrap();
        }
        let kept = programs.iter().map(|program| {
            let (cap, budget) = (&program.caps[0], &program.budgets[0]);
            (cap.rolling, cap.kept, budget.run.rolling, budget.run.kept, program.metrics[0].kept_ahead)
        });
        assert_eq!(kept.collect::<Vec<_>>(), [(3, 3, 3, 3, 5), (1, 3, 1, 3, 5), (2, 3, 2, 3, 5)]);
    }

    /// A version that does not ask for them is followed by one that does.
    #[test]
    fn last_baskets_and_averages_are_kept_from_the_first_version_on_that_asks_for_them() {
        let ever = "[[metrics]]\nname = \"ever\"\nmeasure = \"eligible-amount\"\nwindow = \"lifetime\"\n";
        let asking = |when: &str| {
            let bonus = format!("[[bonuses]]\nname = \"more\"\nunits = 1\nwhen = {{ {when} }}\n");
            SOURCE.replacen("[[budgets]]", &format!("{ever}{bonus}[[budgets]]"), 1)
        };
        let plain = SOURCE.replacen("[[budgets]]", &format!("{ever}[[budgets]]"), 1);
        let plain = plain.as_str();
        let (away, average) =
            (asking("days_since_last_basket_min = 60"), asking("own_average = { metric = \"ever\", percent = 120 }"));
        let sources = [SOURCE, plain, away.as_str(), plain, average.as_str(), SOURCE, plain];
        let mut programs = Programs::new();
        for (source, number) in sources.iter().zip(1..) {
            programs.append(version_of(source, number, i64::from(number) * 100)).unwrap();
        }
        let kept = programs.iter().map(|program| {
            let metric = program.metrics.iter().find(|metric| metric.name == "ever");
            (program.keeps_last_basket, metric.map(|metric| metric.is_averaged))
        });
        let expected = [
            (false, None),
            (false, Some(false)),
            (true, Some(false)),
            (true, Some(false)),
            (true, Some(true)),
            (true, None),
            (true, Some(true)),
        ];
        assert_eq!(kept.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_counter_that_was_dropped_keeps_its_meaning() {
        let without = SOURCE.replacen("name = \"daily\"", "name = \"other\"", 1);
        let other_meaning = SOURCE.replacen("window = \"day\"", "window = \"year\"", 1);
        let mut programs = Programs::new();
        programs.append(version(1, 100)).unwrap();
        programs.append(version_of(&without, 2, 200)).unwrap();
        let error = programs.append(version_of(&other_meaning, 3, 300)).unwrap_err();
        assert_eq!(error, AppendError::CounterChanged { name: "daily".to_owned(), version: ProgramVersion(1) });
    }

    proptest! {
        #[test]
        fn in_force_is_the_last_that_is_not_later(
            gaps in prop::collection::vec(1..50_i64, 1..12), at in 0..600_i64,
        ) {
            let mut programs = Programs::new();
            let (first, mut effective_at) = (version(1, 0), 0);
            for (gap, number) in gaps.iter().zip(1..) {
                effective_at += gap;
                let mut program = Program::clone(&first);
                (program.version, program.effective_at) = (ProgramVersion(number), TimestampNs(effective_at));
                programs.append(Arc::new(program)).unwrap();
            }
            let at = TimestampNs(at);
            let expected = programs.iter().rfind(|program| program.effective_at <= at);
            prop_assert_eq!(programs.in_force(at), expected);
        }
    }
}
