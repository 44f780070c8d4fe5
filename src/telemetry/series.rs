//! Every series that is shown: its name, type, unit, label, meaning, and how it is read. `docs/metrics.md` is the same
//! list for people.
//!
//! What must stay true: a series is there from the start, at zero, with every value of its label; reading takes no lock
//! that a command waits for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::calls::{CODES, METHODS};
use super::{Sources, Standing, Telemetry};
use crate::ledger::decision::Refusal;
use crate::ledger::freeze::Freezes;
use crate::ledger::program::{Budget, Periods};
use crate::metrics::{CUT_OFFS, Counter, Histogram, Metrics, OUTCOMES, REVIEWS};
use crate::shard::engine::Engine;

/// What all names begin with.
const PREFIX: &str = "tallystick";

/// A unit that values are shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A count, or no unit.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Measure {
    fn unit(self) -> Option<Unit> {
        match self {
            Self::None => None,
            Self::Seconds => Some(Unit::Seconds),
            Self::Bytes => Some(Unit::Bytes),
        }
    }
}

/// One series.
pub struct Series {
    /// Its name, without prefix and unit.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// Its unit.
    pub measure: Measure,
    /// Its label, if it has one.
    pub label: Option<&'static str>,
    /// What it means, as a sentence.
    pub meaning: &'static str,
    read: fn(&View<'_>) -> Values,
}

/// Values as they are shown, with the value of the label where there is one.
enum Values {
    Info(Vec<(&'static str, String)>),
    Gauge(i64),
    Seconds(f64),
    Gauges(Vec<(String, i64)>),
    Counter(u64),
    Counters(Vec<(String, u64)>),
    Histogram(Shown),
    Histograms(Vec<(String, Shown)>),
}

/// A histogram as it is shown.
struct Shown {
    sum: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
}

const NS_PER_SECOND: f64 = 1e9;

impl Shown {
    fn seconds(histogram: &Histogram) -> Self {
        Self::scaled(histogram, NS_PER_SECOND)
    }

    #[expect(clippy::as_conversions, reason = "figures for people may be rounded")]
    fn scaled(histogram: &Histogram, scale: f64) -> Self {
        let bounds = histogram.bounds().map(|bound| bound as f64 / scale).chain([f64::INFINITY]);
        let counts = histogram.counts();
        let count = counts.iter().sum();
        Self { sum: histogram.sum() as f64 / scale, count, buckets: bounds.zip(counts).collect() }
    }
}

/// What is looked at for one answer.
struct View<'a> {
    telemetry: &'a Telemetry,
    metrics: &'a Metrics,
    engine: Option<Arc<Engine>>,
    sources: Option<&'a Sources>,
}

impl View<'_> {
    fn of_engine(&self, read: impl FnOnce(&Engine) -> i64) -> Values {
        Values::Gauge(self.engine.as_deref().map_or(0, read))
    }

    fn of_sources(&self, read: impl FnOnce(&Sources) -> i64) -> Values {
        Values::Gauge(self.sources.map_or(0, read))
    }

    /// What the budgets of the programme in force say, each with its label. Budgets are few.
    fn of_budgets(&self, read: impl Fn(&Engine, &Budget, Periods) -> Vec<(String, i64)>) -> Values {
        let Some(engine) = self.engine.as_deref() else { return Values::Gauges(Vec::new()) };
        let now = self.telemetry.clock.now();
        // Where the input is the clock, the latest version stands for what is in force.
        let program = engine.with_programs(|programs| programs.in_force(now).or_else(|| programs.latest()).cloned());
        let Some(program) = program else { return Values::Gauges(Vec::new()) };
        let posted = Periods::at(&program.zone, now);
        Values::Gauges(program.budgets.iter().flat_map(|budget| read(engine, budget, posted)).collect())
    }

    fn snapshot_age_ns(&self) -> i64 {
        let marker = self.engine.as_deref().and_then(Engine::last_snapshot);
        marker.map_or(0, |marker| (self.telemetry.clock.now().0 - marker.finished_at.0).max(0))
    }
}

#[expect(clippy::as_conversions, reason = "figures for people may be rounded")]
fn seconds(duration_ns: i64) -> Values {
    Values::Seconds(duration_ns as f64 / NS_PER_SECOND)
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

const fn gauge(name: &'static str, measure: Measure, meaning: &'static str, read: fn(&View<'_>) -> Values) -> Series {
    Series { name, kind: MetricType::Gauge, measure, label: None, meaning, read }
}

const fn labelled(
    name: &'static str,
    kind: MetricType,
    label: &'static str,
    meaning: &'static str,
    read: fn(&View<'_>) -> Values,
) -> Series {
    Series { name, kind, measure: Measure::None, label: Some(label), meaning, read }
}

const fn histogram(
    name: &'static str,
    measure: Measure,
    label: Option<&'static str>,
    meaning: &'static str,
    read: fn(&View<'_>) -> Values,
) -> Series {
    Series { name, kind: MetricType::Histogram, measure, label, meaning, read }
}

/// The server as a whole.
const SERVER: [Series; 6] = [
    Series {
        name: "build",
        kind: MetricType::Info,
        measure: Measure::None,
        label: Some("version"),
        meaning: "The running program; the value is always 1.",
        read: |_| Values::Info(vec![("version", env!("CARGO_PKG_VERSION").to_owned())]),
    },
    gauge("ready", Measure::None, "1 while calls are served, 0 while recovering, stopping or failed.", |view| {
        Values::Gauge(i64::from(view.telemetry.standing() == Standing::Serving))
    }),
    gauge("start_time", Measure::Seconds, "When the process started, since the Unix epoch.", |view| {
        seconds(view.telemetry.started_at.0)
    }),
    gauge("resident_memory", Measure::Bytes, "Memory of the process that is in RAM.", |_| {
        Values::Gauge(resident_memory_bytes())
    }),
    gauge("recovery", Measure::Seconds, "How long the last start took to open and recover.", |view| {
        seconds(view.sources.map_or(0, |sources| sources.recovery_ms * 1_000_000))
    }),
    gauge("recovery_records", Measure::None, "Records that the last start replayed.", |view| {
        view.of_sources(|sources| signed(sources.replayed_count))
    }),
];

/// Calls and commands.
const CALLS: [Series; 10] = [
    gauge("connections", Measure::None, "Connections that are open.", |view| {
        Values::Gauge(view.metrics.connections.open.get())
    }),
    Series {
        name: "connections_refused",
        kind: MetricType::Counter,
        measure: Measure::None,
        label: None,
        meaning: "Connections that were closed at once, for their address had as many as it may have.",
        read: |view| Values::Counter(view.metrics.connections.refused.get()),
    },
    gauge("large_answers", Measure::Bytes, "Bytes of large answers that wait for their callers.", |view| {
        Values::Gauge(signed(view.metrics.connections.large_answers_bytes.load(Ordering::Relaxed)))
    }),
    labelled(
        "connections_cut_off",
        MetricType::Counter,
        "reason",
        "Connections that the server has ended, for the caller did not behave or was silent.",
        |view| {
            let counts = CUT_OFFS.iter().zip(view.metrics.connections.cut_offs());
            Values::Counters(counts.map(|(reason, count)| ((*reason).to_owned(), count)).collect())
        },
    ),
    gauge("calls_in_flight", Measure::None, "Calls under way, streams included.", |view| {
        view.of_sources(|sources| signed((sources.calls_under_way)()))
    }),
    labelled("calls", MetricType::Counter, "method", "Calls that have begun.", |view| {
        let count = |(index, method): (usize, &&str)| ((*method).to_owned(), view.telemetry.calls.calls(index));
        Values::Counters(METHODS.iter().enumerate().map(count).collect())
    }),
    labelled("call_failures", MetricType::Counter, "code", "Calls that ended with this status.", |view| {
        let count = |(index, code): (usize, &&str)| ((*code).to_owned(), view.telemetry.calls.failures(index));
        Values::Counters(CODES.iter().enumerate().map(count).collect())
    }),
    histogram(
        "call",
        Measure::Seconds,
        Some("method"),
        "From the request's head to the answer's head; one call in eight is timed.",
        |view| {
            let shown = |(index, method): (usize, &&str)| {
                ((*method).to_owned(), Shown::seconds(view.telemetry.calls.durations(index)))
            };
            Values::Histograms(METHODS.iter().enumerate().map(shown).collect())
        },
    ),
    labelled(
        "commands",
        MetricType::Counter,
        "outcome",
        "Commands answered, items of batches and streams too.",
        |view| {
            let counts = OUTCOMES.iter().zip(view.metrics.outcomes());
            Values::Counters(counts.map(|(outcome, count)| ((*outcome).to_owned(), count)).collect())
        },
    ),
    labelled("refusals", MetricType::Counter, "refusal", "Commands refused on this ground.", |view| {
        let count = |refusal: Refusal| (refusal_label(refusal), view.metrics.refusals(refusal));
        Values::Counters(Refusal::ALL.into_iter().map(count).collect())
    }),
];

/// The way of a command.
const STAGES: [Series; 4] = [
    labelled("queue_length", MetricType::Gauge, "worker", "Jobs that wait for a worker.", |view| {
        let lengths = view.engine.as_deref().map_or_else(|| vec![0; view.metrics.workers.len()], Engine::queue_lengths);
        let shown = lengths.into_iter().enumerate().map(|(worker, length)| (worker.to_string(), signed(length)));
        Values::Gauges(shown.collect())
    }),
    gauge("queue_length_max", Measure::None, "Jobs that may wait for one worker.", |view| {
        view.of_sources(|sources| signed(sources.queue_depth))
    }),
    labelled(
        "jobs",
        MetricType::Counter,
        "worker",
        "Jobs that a worker has done, reads and quotes included.",
        |view| {
            let count = |(worker, meter): (usize, &crate::metrics::WorkerMeter)| (worker.to_string(), meter.jobs.get());
            Values::Counters(view.metrics.workers.iter().enumerate().map(count).collect())
        },
    ),
    histogram("stage", Measure::Seconds, Some("stage"), "How long a command spends in each stage.", |view| {
        let stages = &view.metrics.stages;
        let all = [
            ("queue", &stages.queue),
            ("decide", &stages.decide),
            ("encode", &stages.encode),
            ("commit_wait", &stages.commit_wait),
            ("sync", &stages.sync),
            ("reply", &stages.reply),
        ];
        Values::Histograms(all.map(|(stage, histogram)| (stage.to_owned(), Shown::seconds(histogram))).into())
    }),
];

/// Budgets of the programme in force.
const BUDGETS: [Series; 3] = [
    labelled("budget_used", MetricType::Gauge, "budget", "Units granted out of a budget in force.", |view| {
        view.of_budgets(|engine, budget, posted| {
            let used = budget.present_cells(posted).map(|cell| engine.shared.cells.used(cell)).sum();
            vec![(budget.name.clone(), used)]
        })
    }),
    labelled("budget_limit", MetricType::Gauge, "budget", "Units that may be granted out of a budget.", |view| {
        view.of_budgets(|_, budget, _| vec![(budget.name.clone(), budget.limit)])
    }),
    labelled(
        "budget_crossings",
        MetricType::Counter,
        "level",
        "Grants that crossed a warning level of a budget, as NAME:PERCENT.",
        |view| {
            let Values::Gauges(counts) = view.of_budgets(|engine, budget, _| {
                let crossings = &engine.shared.cells.crossings;
                let count = |percent: &u8| {
                    (format!("{}:{percent}", budget.name), signed(crossings.count(budget.symbol, *percent)))
                };
                budget.warnings.iter().map(count).collect()
            }) else {
                return Values::Counters(Vec::new());
            };
            let count = |(level, count): (String, i64)| (level, u64::try_from(count).unwrap_or(0));
            Values::Counters(counts.into_iter().map(count).collect())
        },
    ),
];

/// The journal, snapshots, ids.
const JOURNAL: [Series; 21] = [
    histogram("commit_records", Measure::None, None, "Records of each commit.", |view| {
        Values::Histogram(Shown::scaled(&view.metrics.commit_records, 1.0))
    }),
    histogram("commit_frames", Measure::None, None, "Frames of each commit.", |view| {
        Values::Histogram(Shown::scaled(&view.metrics.commit_frames, 1.0))
    }),
    histogram("commit", Measure::Bytes, None, "Bytes of the frames of each commit.", |view| {
        Values::Histogram(Shown::scaled(&view.metrics.commit_bytes, 1.0))
    }),
    gauge("journal_end_position", Measure::None, "One past the last durable record, which is their number.", |view| {
        view.of_engine(|engine| signed(engine.progress.durable_end().0))
    }),
    gauge("journal", Measure::Bytes, "Bytes of the journal's frames.", |view| {
        view.of_sources(|sources| signed((sources.journal_bytes)()))
    }),
    gauge("durable_lag", Measure::Seconds, "How long the commit under way has taken so far, 0 when none is.", |view| {
        seconds(view.metrics.commit_age_ns(view.telemetry.clock.monotonic_ns()))
    }),
    gauge("unsettled_records", Measure::None, "Durable records whose answers are still being handed over.", |view| {
        view.of_engine(|engine| signed(engine.progress.durable_end().0 - engine.progress.settled().0))
    }),
    histogram("snapshot", Measure::Seconds, None, "How long snapshots took.", |view| {
        Values::Histogram(Shown::seconds(&view.metrics.snapshots))
    }),
    gauge("snapshot_age", Measure::Seconds, "Since the last snapshot was finished, 0 before the first.", |view| {
        seconds(view.snapshot_age_ns())
    }),
    gauge("snapshot_position", Measure::None, "Every change before this position is in the last snapshot.", |view| {
        view.of_engine(|engine| engine.last_snapshot().map_or(0, |marker| signed(marker.start.0)))
    }),
    gauge(
        "replay_position",
        Measure::None,
        "Where a recovery would begin to replay: at the snapshot, or where the ids on disk end if that is earlier.",
        |view| view.of_engine(|engine| signed(engine.replay_start().0)),
    ),
    gauge("expected_recovery", Measure::Seconds, "How long a recovery would take now.", |view| {
        seconds(view.sources.map_or(0, |sources| (sources.expected_recovery_ms)() * 1_000_000))
    }),
    labelled("ids", MetricType::Gauge, "place", "Ids in the index; one may be in memory and on disk.", |view| {
        let stats = view.engine.as_deref().map(|engine| engine.shared.ids.stats());
        let [memory, disk] = stats.map_or([0, 0], |stats| [stats.memory_id_count, stats.disk_id_count]);
        Values::Gauges(vec![("memory".to_owned(), signed(memory)), ("disk".to_owned(), signed(disk))])
    }),
    gauge("id_runs", Measure::None, "Sorted runs of ids on disk.", |view| {
        view.of_engine(|engine| signed(engine.shared.ids.stats().run_count))
    }),
    gauge("id_generations_unwritten", Measure::None, "Sealed generations of ids that are not on disk yet.", |view| {
        view.of_engine(|engine| signed(engine.shared.ids.stats().unwritten_generation_count))
    }),
    gauge("id_claims", Measure::None, "Ids claimed by commands under way.", |view| {
        view.of_engine(|engine| signed(engine.shared.ids.stats().claim_count))
    }),
    gauge("id_claim_waiters", Measure::None, "Callers that wait for a command with the same id.", |view| {
        view.of_engine(|engine| signed(engine.shared.ids.stats().waiter_count))
    }),
    labelled("names", MetricType::Gauge, "kind", "Strings and items that have a number, which they keep.", |view| {
        let (strings, items) = view.engine.as_deref().map_or((0, 0), |engine| engine.dictionary.counts());
        Values::Gauges(vec![("strings".to_owned(), strings.into()), ("items".to_owned(), items.into())])
    }),
    gauge("names_max", Measure::None, "Strings that can have a number, and items.", |view| {
        view.of_engine(|engine| engine.dictionary.count_max().into())
    }),
    gauge("keys", Measure::None, "Keys that were ever issued: those that have ended keep their places.", |view| {
        view.of_engine(|engine| signed(engine.shared.keys.look(|keys| keys.iter().len())))
    }),
    gauge("freezes", Measure::None, "Freezes that have ever begun: those that have ended keep their places.", |view| {
        view.of_engine(|engine| signed(engine.shared.freezes.look(Freezes::begun_count)))
    }),
];

/// What looks like fraud, and what is done about it.
const FRAUD: [Series; 6] = [
    labelled(
        "fraud_signals",
        MetricType::Counter,
        "signal",
        "Commands that look like fraud, by what they show.",
        |view| {
            let refusals = |refusal| view.metrics.refusals(refusal);
            let frozen = [Refusal::AccountFrozen, Refusal::TerminalFrozen, Refusal::CashierFrozen];
            let signals = [
                ("velocity_denied", view.metrics.velocity_denials.get()),
                ("receipt_already_earned", refusals(Refusal::ReceiptAlreadyEarned)),
                ("frozen", frozen.into_iter().map(refusals).sum()),
            ];
            Values::Counters(signals.map(|(signal, count)| (signal.to_owned(), count)).into())
        },
    ),
    labelled(
        "reviews",
        MetricType::Counter,
        "review",
        "Transactions that a cap held for review, and what became of them.",
        |view| reviews(&view.metrics.reviews),
    ),
    labelled(
        "review_units",
        MetricType::Counter,
        "review",
        "Units of transactions that a cap held for review, and what became of them.",
        |view| reviews(&view.metrics.review_units),
    ),
    labelled("limited", MetricType::Counter, "limit", "Times that a credential met a limit of its own.", |view| {
        let metrics = view.metrics;
        let limits = [
            ("rate", &metrics.limited_rate),
            ("concurrency", &metrics.limited_concurrency),
            ("names", &metrics.limited_names),
        ];
        Values::Counters(limits.map(|(limit, counter)| (limit.to_owned(), counter.get())).into())
    }),
    gauge(
        "proposals_waiting",
        Measure::None,
        "Acts that wait for a second person, or did when their time ran out.",
        |view| view.of_engine(|engine| signed(engine.shared.proposals.look(|proposals| proposals.iter().count()))),
    ),
    gauge("frozen_subjects", Measure::None, "Accounts, terminals and cashiers that are frozen.", |view| {
        view.of_engine(|engine| signed(engine.shared.freezes.look(Freezes::live_count)))
    }),
];

fn reviews(counters: &[Counter; REVIEWS.len()]) -> Values {
    Values::Counters(
        REVIEWS.iter().zip(counters).map(|(review, counter)| ((*review).to_owned(), counter.get())).collect(),
    )
}

/// All series, in the order in which they are shown.
pub fn all() -> impl Iterator<Item = &'static Series> {
    SERVER.iter().chain(&CALLS).chain(&STAGES).chain(&BUDGETS).chain(&JOURNAL).chain(&FRAUD)
}

/// The label of a refusal: its name in the ledger, as names of labels are written.
fn refusal_label(refusal: Refusal) -> String {
    let mut label = String::new();
    for letter in format!("{refusal:?}").chars() {
        if letter.is_uppercase() && !label.is_empty() {
            label.push('_');
        }
        label.push(letter.to_ascii_lowercase());
    }
    label
}

/// From the kernel's own account; 0 where it keeps none.
fn resident_memory_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1_024)
}

/// Collects all series of a server at the moment of asking.
#[derive(Debug)]
struct AllSeries(Arc<Telemetry>);

impl Collector for AllSeries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let telemetry = &*self.0;
        let sources = telemetry.sources.get();
        let engine = sources.and_then(|sources| sources.engine.upgrade());
        let metrics = engine.as_ref().map(|engine| engine.metrics.clone());
        let metrics = metrics.as_deref().unwrap_or(&telemetry.none_yet);
        let view = View { telemetry, metrics, engine, sources };
        for series in all() {
            let unit = series.measure.unit();
            let encoder = encoder.encode_descriptor(series.name, series.meaning, unit.as_ref(), series.kind)?;
            show(encoder, series.label.unwrap_or_default(), (series.read)(&view))?;
        }
        Ok(())
    }
}

fn show(mut encoder: MetricEncoder<'_>, label: &'static str, values: Values) -> fmt::Result {
    match values {
        Values::Info(labels) => encoder.encode_info(&labels),
        Values::Gauge(value) => encoder.encode_gauge(&value),
        Values::Seconds(value) => encoder.encode_gauge(&value),
        Values::Gauges(values) => values.into_iter().try_for_each(|(of, value)| {
            let labels = [(label, of)];
            encoder.encode_family(&labels)?.encode_gauge(&value)
        }),
        Values::Counter(value) => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
        Values::Counters(values) => values.into_iter().try_for_each(|(of, value)| {
            let labels = [(label, of)];
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        }),
        Values::Histogram(Shown { sum, count, buckets }) => {
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
        Values::Histograms(values) => values.into_iter().try_for_each(|(of, Shown { sum, count, buckets })| {
            let labels = [(label, of)];
            encoder.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }),
    }
}

/// All series in the text format of OpenMetrics.
///
/// # Errors
/// Never in practice: text can always be appended to a string.
pub fn in_text(telemetry: &Arc<Telemetry>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(AllSeries(telemetry.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_refusals_are_their_names() {
        assert_eq!(refusal_label(Refusal::AccountUnknown), "account_unknown");
        assert_eq!(refusal_label(Refusal::ReceiptInFuture), "receipt_in_future");
    }

    #[test]
    fn a_process_has_some_memory() {
        assert!(resident_memory_bytes() > 1 << 20);
    }

    #[test]
    fn meanings_are_sentences_and_names_occur_once() {
        let mut names = std::collections::BTreeSet::new();
        for series in all() {
            assert!(series.meaning.ends_with('.') && !series.meaning.contains('\n'), "{}", series.name);
            assert!(names.insert((series.name, format!("{:?}", series.measure))), "{} occurs twice", series.name);
        }
    }
}
