//! The language of the tables: what a command says, how it is run, and how its outcome is shown.
//!
//! What must stay true: a line is judged by its whole outcome; whatever a table ran on is verified from empty when it
//! ends.

use std::collections::{BTreeMap, BTreeSet};

use tallystick::clock::Clock;
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::{CellId, SymbolId, TimestampNs, WalletId};

use crate::support::edge::{Accrue, Answer, Edge, LineText};
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs};

pub type Reached = BTreeSet<Refusal>;

/// A table: programmes by name, the first of which is in force since ever, and lines.
pub struct Table {
    pub programs: Vec<(&'static str, String)>,
    pub setup: Setup,
    pub lines: &'static str,
}

/// Runs a table and compares every line; gives the refusals that were met.
#[track_caller]
pub fn check(table: &Table) -> Reached {
    let (ledger, store) = Ledger::new(table.setup.clone());
    let ledger = match table.programs.first() {
        Some((_, source)) => ledger.with_program(source),
        None => ledger,
    };
    let mut runner = Runner { ledger: &ledger, table, row: 0, reached: Reached::new() };
    let mut wrong = Vec::new();
    for line in table.lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once("->").unwrap_or_else(|| panic!("no outcome in {line:?}"));
        let (command, expected) = (command.trim(), expected.trim());
        let got = runner.run(command);
        if got != expected {
            wrong.push(format!("{command:<60} -> {got}\n{:<60} -> {expected} was expected", ""));
        }
    }
    let reached = runner.reached;
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert_intact(&store, ledger.stop().digest);
    reached
}

struct Runner<'a> {
    ledger: &'a Ledger,
    table: &'a Table,
    row: usize,
    reached: Reached,
}

impl Runner<'_> {
    fn run(&mut self, command: &str) -> String {
        self.row += 1;
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["accrue", account, rest @ ..] => {
                let (accrue, partner) = self.accrue(account, rest);
                let answer = self.edge(&partner).accrue(&accrue);
                self.show(&answer)
            }
            ["quote", account, rest @ ..] => {
                let (accrue, partner) = self.accrue(account, rest);
                let answer = self.edge(&partner).quote(&accrue);
                self.show(&answer)
            }
            ["reverse", original, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let stamp = self.stamp(&options);
                let answer = edge.reverse_at(&id, original, stamp);
                self.show(&answer)
            }
            ["balance", account] => self.account(account, |account, at| account.balance(WalletId(0), at).to_string()),
            ["totals", account] => self.account(account, |account, _| {
                let (totals, wallet) = (account.totals, account.wallet_totals(WalletId(0)));
                format!(
                    "baskets {} refused {} reversals {} granted {} reversed {} clipped {}",
                    totals.baskets,
                    totals.refused_baskets,
                    totals.reversals,
                    wallet.granted,
                    wallet.reversed,
                    wallet.clipped
                )
            }),
            ["counter", account, name, rest @ ..] => self.counter(account, name, rest),
            ["used", budget] => {
                let cell = CellId::whole(self.ledger.engine.dictionary.find(budget).expect("the budget has a number"));
                self.ledger.engine.shared.cells.copy().get(&cell).map_or(0, |cell| cell.used).to_string()
            }
            ["clock", by] => {
                self.ledger.clock.advance(duration_ns(by));
                "moved".to_owned()
            }
            ["publish", name, "in", after] => {
                let (_, source) = self.table.programs.iter().find(|(known, _)| known == name).expect("a programme");
                self.ledger.publish(source, TimestampNs(self.ledger.clock.now().0 + duration_ns(after)));
                "published".to_owned()
            }
            _ => panic!("no such command: {command:?}"),
        }
    }

    fn edge(&self, partner: &str) -> Edge<'_> {
        Edge::new(&self.ledger.engine, partner)
    }

    fn stamp(&self, options: &BTreeMap<&str, &str>) -> Option<TimestampNs> {
        let now = self.ledger.clock.now();
        let stamped = options.get("stamped").map(|by| TimestampNs(now.0 + duration_ns(by)));
        stamped.or(self.table.setup.clock_is_input.then_some(now))
    }

    fn accrue(&self, account: &str, words: &[&str]) -> (Accrue, String) {
        let options = options(words);
        let text = |key: &str, otherwise: String| options.get(key).map_or(otherwise, |text| (*text).to_owned());
        let id = text("id", format!("row-{}", self.row));
        let now = self.ledger.clock.now();
        let accrue = Accrue {
            account: account.to_owned(),
            receipt: text("receipt", id.clone()),
            transaction_id: id,
            store: text("store", "s1".to_owned()),
            terminal: text("terminal", String::new()),
            cashier: String::new(),
            receipt_at: Some(TimestampNs(now.0 + options.get("printed").map_or(0, |by| duration_ns(by)))),
            lines: words.iter().filter(|word| !word.contains('=')).map(|word| line(word)).collect(),
            stamp: self.stamp(&options),
            deadline_ns: options.get("deadline").map(|by| self.ledger.clock.monotonic_ns() + duration_ns(by)),
        };
        (accrue, text("by", "north".to_owned()))
    }

    fn account(
        &self,
        account: &str,
        show: impl FnOnce(&tallystick::ledger::account::Account, TimestampNs) -> String,
    ) -> String {
        self.edge("north").account(account).map_or("unknown".to_owned(), |view| show(&view.account, view.read_at))
    }

    fn counter(&self, account: &str, name: &str, words: &[&str]) -> String {
        let at = TimestampNs(self.ledger.clock.now().0 + options(words).get("printed").map_or(0, |by| duration_ns(by)));
        let engine = &self.ledger.engine;
        let program = engine.programs().latest().expect("there is a programme").clone();
        let symbol = engine.dictionary.find(name).expect("the counter has a number");
        let cap = program.caps.iter().find(|cap| cap.symbol == symbol).map(|cap| cap.window);
        let metric = program.metrics.iter().find(|metric| metric.symbol == symbol).map(|metric| metric.window);
        let period = cap.or(metric).expect("a cap or a metric").period(&program.zone, at);
        self.account(account, |account, _| account.counter(symbol, period).to_string())
    }

    /// `12`, `12 of 20: daily -8`, `0 of 5: over visits`, `refused X: field`; with `again` in front when repeated.
    fn show(&mut self, answer: &Answer) -> String {
        let again = if answer.replayed { "again " } else { "" };
        let decision = &answer.decision;
        if let Some(refusal) = answer.refusal() {
            self.reached.insert(refusal);
            assert_eq!(answer.position.is_some(), refusal.is_journaled() && decision.account_known, "{refusal:?}");
            let differs = answer.differs.as_ref().map_or(String::new(), |field| format!(": {field}"));
            return format!("{again}refused {refusal:?}{differs}");
        }
        if decision.granted < 0 || decision.granted == decision.earned {
            return format!("{again}{}", decision.granted);
        }
        let name = |symbol: SymbolId| self.ledger.engine.dictionary.text(symbol).expect("a name has a text");
        let over = decision.over_velocity.map(|cap| format!("over {}", name(cap)));
        let clips = decision.clips.iter().map(|clip| format!("{} -{}", name(clip.source), clip.units));
        let reasons: Vec<_> = over.into_iter().chain(clips).collect();
        format!("{again}{} of {}: {}", decision.granted, decision.earned, reasons.join(", "))
    }
}

fn options<'a>(words: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
    words.iter().filter_map(|word| word.split_once('=')).collect()
}

fn line(word: &str) -> LineText {
    let (what, amount) = word.rsplit_once(':').unwrap_or(("", word));
    let (department, brand) = what.split_once('/').unwrap_or((what, ""));
    let amount_minor = amount.parse().unwrap_or_else(|_| panic!("not an amount: {word:?}"));
    LineText { department: department.to_owned(), brand: brand.to_owned(), ..LineText::of(amount_minor) }
}

/// `+1d`, `-30m`, `2h`, `-5s`, `-1ns`.
fn duration_ns(text: &str) -> i64 {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or_else(|| panic!("no unit in {text:?}"));
    let (number, unit) = text.split_at(unit_at);
    let unit_ns = match unit {
        "d" => NS_PER_DAY,
        "h" => 3_600 * NS_PER_SECOND,
        "m" => 60 * NS_PER_SECOND,
        "s" => NS_PER_SECOND,
        "ns" => 1,
        _ => panic!("no such unit: {unit:?}"),
    };
    number.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {text:?}")) * unit_ns
}

/// Makes a test of each table, and a list of all for the last test.
macro_rules! tables {
    ($($name:ident($setup:expr, [$($program:expr),*]) $lines:literal)*) => {
        $(
            #[test]
            fn $name() {
                check(&tables::$name());
            }
        )*
        mod tables {
            use super::*;
            $(
                pub fn $name() -> Table {
                    let programs = vec![$($program),*];
                    Table { programs, setup: $setup, lines: $lines }
                }
            )*
        }
        pub fn all_tables() -> Vec<Table> {
            vec![$(tables::$name()),*]
        }
    };
}

pub(crate) use tables;

pub fn plain() -> (&'static str, String) {
    ("plain", programs::program("", "", ""))
}

pub fn with(earn: &str, more: &str) -> (&'static str, String) {
    ("first", programs::program("", earn, more))
}

pub fn earning(old: &str, new: &str) -> (&'static str, String) {
    ("first", programs::program("", "", "").replacen(old, new, 1))
}

pub fn holding_at_most(balance_max: &str, more: &str) -> String {
    with("", more).1.replacen("[earn]", &format!("balance_max = {balance_max}\n[earn]"), 1)
}

pub const VISITS: &str = "[[caps]]\nname = \"visits\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 2\n";
pub const DAILY: &str = "[[caps]]\nname = \"daily\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\n";
pub const YEARLY: &str = "[[caps]]\nname = \"yearly\"\nmeasure = \"units\"\nwindow = \"year\"\nlimit = 30\n";
pub const OPENING: &str = "[[budgets]]\nname = \"opening\"\nunits = 25\n";
pub const SECOND: &str = "[[budgets]]\nname = \"second\"\nunits = 12\n";
pub const FEBRUARY: &str = "[[budgets]]\nname = \"february\"\nunits = 5\nfrom = 2017-02-01\nuntil = 2017-02-28\n";
