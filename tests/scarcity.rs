//! What is scarce, under many threads and a loss of power: caps that accounts share, of one day and of several together,
//! and an account's own over several days are granted to the last unit, and not one more.
//!
//! What must stay true: what is summed up here are answers that clients got, after a crash and after everything was asked
//! again; nothing is read from the ledger's own counters.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use support::edge::Accrue;
use support::{Ledger, NOON, NS_PER_DAY, Setup, assert_intact, programs};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::TimestampNs;
use tallystick::store::memory::{FaultScript, MemoryStore};

const LIMIT: i64 = 211;
const THREADS: i64 = 8;
const BASKETS: i64 = 24;

/// A cap, and whose room a basket takes: what names the counter.
struct Scarce {
    subject: &'static str,
    rolling: i64,
    of: fn(&Accrue) -> String,
}

const ALL: [Scarce; 9] = [
    Scarce { subject: "terminal", rolling: 1, of: |basket| format!("{} {}", basket.store, basket.terminal) },
    Scarce { subject: "cashier", rolling: 1, of: |basket| basket.cashier.clone() },
    Scarce { subject: "partner", rolling: 1, of: |_| String::new() },
    Scarce { subject: "programme", rolling: 1, of: |_| String::new() },
    Scarce { subject: "account", rolling: 3, of: |basket| basket.account.clone() },
    Scarce { subject: "terminal", rolling: 2, of: |basket| format!("{} {}", basket.store, basket.terminal) },
    Scarce { subject: "cashier", rolling: 4, of: |basket| basket.cashier.clone() },
    Scarce { subject: "partner", rolling: 60, of: |_| String::new() },
    Scarce { subject: "programme", rolling: 3, of: |_| String::new() },
];

impl Scarce {
    fn source(&self) -> String {
        let rolling = if self.rolling > 1 { format!("rolling = {}", self.rolling) } else { String::new() };
        let cap = format!(
            "[[caps]]\nname = \"scarce\"\nmeasure = \"units\"\nsubject = \"{}\"\nwindow = \"day\"\n{rolling}\nlimit = {LIMIT}",
            self.subject
        );
        programs::program("", "", &cap)
    }

    /// The fullest run of days that contains the day.
    fn fullest(&self, days: &BTreeMap<i64, i64>, day: i64) -> i64 {
        let run = |first: i64| days.range(first..first + self.rolling).map(|(_, units)| units).sum::<i64>();
        (day - self.rolling + 1..=day).map(run).max().expect("a day is in one run of days at least")
    }
}

/// How many days before the last one a basket was bought.
fn age_of(thread: i64, index: i64) -> i64 {
    (thread * 7 + index * 3) % 5
}

fn basket(thread: i64, index: i64) -> Accrue {
    let at = TimestampNs(NOON.0 - age_of(thread, index) * NS_PER_DAY);
    Accrue {
        store: format!("s{}", (thread + index) % 2),
        terminal: format!("till-{}", index % 2),
        cashier: format!("kim-{}", (thread + index) % 3),
        receipt_at: Some(at),
        ..Accrue::simple(
            &format!("m-{}", (thread + index) % 3),
            &format!("t-{thread}-{index}"),
            5_000 + 100 * (index % 7),
        )
    }
}

fn is_reversed(index: i64) -> bool {
    index % 5 == 4
}

/// Threads ask until the power goes.
fn run_until_the_power_goes(source: &str, sync: u64) -> MemoryStore {
    let store = MemoryStore::with_faults(FaultScript::freeze_at_sync(sync));
    let setup = Setup { worker_count: 4, ..Setup::default() };
    let ledger = Ledger::on(Arc::new(store.clone()), setup).with_program(source);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ledger = &ledger;
            scope.spawn(move || {
                let edge = ledger.edge();
                for index in 0..BASKETS {
                    let accrue = basket(thread, index);
                    let answer = edge.begin_accrue(&accrue).wait();
                    if answer.is_none_or(|answer| answer.refusal() == Some(Refusal::ShuttingDown)) {
                        return;
                    }
                }
            });
        }
    });
    // Where the power went there is no state to hand back.
    let _ = ledger.engine.stop();
    store
}

#[test]
fn what_is_scarce_is_granted_to_the_last_unit_whoever_shares_it_and_whenever_the_power_goes() {
    for scarce in &ALL {
        for sync in [9, 31, 10_000] {
            check(scarce, sync);
        }
    }
}

fn check(scarce: &Scarce, sync: u64) {
    let what = format!("{} over {} days with the power lost in sync {sync}", scarce.subject, scarce.rolling);
    let left = run_until_the_power_goes(&scarce.source(), sync).crash(sync);
    let ledger = Ledger::on(Arc::new(left.clone()), Setup { worker_count: 3, ..Setup::default() });
    // All is asked again, by several threads, and some of it taken back.
    let answers = std::thread::scope(|scope| {
        let asked = (0..THREADS).map(|thread| {
            let ledger = &ledger;
            scope.spawn(move || {
                let edge = ledger.edge();
                let mut standing = Vec::new();
                for index in 0..BASKETS {
                    let accrue = basket(thread, index);
                    let answer = edge.accrue(&accrue);
                    assert_eq!(answer.refusal(), None);
                    let is_clipped = !answer.decision.clips.is_empty();
                    let mut units = answer.granted();
                    if is_reversed(index) {
                        let id = &accrue.transaction_id;
                        units += edge.reverse(&format!("v-{id}"), id).granted();
                        assert_eq!(units, 0, "a reversal gives everything back");
                    }
                    standing.push((accrue, NOON.0 / NS_PER_DAY - age_of(thread, index), units, is_clipped));
                }
                standing
            })
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().flat_map(|thread| thread.join().expect("the thread ends")).collect::<Vec<_>>()
    });
    let mut granted: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    for (accrue, day, units, _) in &answers {
        *granted.entry((scarce.of)(accrue)).or_default().entry(*day).or_default() += units;
    }
    assert!(answers.iter().any(|(.., is_clipped)| *is_clipped), "{what}: somebody was clipped");
    let edge = ledger.edge();
    for (number, (accrue, day, ..)) in answers.iter().enumerate() {
        let whose = (scarce.of)(accrue);
        let days = granted.get_mut(&whose).expect("it was summed up");
        let room = LIMIT - scarce.fullest(days, *day);
        assert!(room >= 0, "{what}: {whose:?} has {days:?} on day {day}");
        // Nothing is left unspent: whoever comes now gets all that there is room for.
        let last = Accrue { lines: vec![support::edge::LineText::of(10_000_000)], ..accrue.clone() };
        let id = format!("last-{number}");
        let got = edge.accrue(&Accrue { transaction_id: id.clone(), receipt: id, ..last }).granted();
        assert_eq!(got, room, "{what}: {whose:?} has {days:?} on day {day}");
        *days.entry(*day).or_default() += got;
    }
    assert_intact(&left, ledger.stop().digest);
}
