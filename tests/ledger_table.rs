//! What the ledger decides, as tables: one command a line, and what comes of it.
//!
//! A table is a programme and lines of the form `COMMAND -> OUTCOME`. Each table runs on an engine of its own, through
//! the ids, the workers, the journal and back; when it ends, its journal is verified from empty. Commands:
//!
//! ```text
//! accrue ACCOUNT [AMOUNT | DEPARTMENT:AMOUNT | DEPARTMENT/BRAND:AMOUNT]... [id=T] [receipt=R] [store=S] [terminal=L]
//!        [by=PARTNER] [printed=-3d]        what was granted, and why not more
//! quote  ...                               as accrue, without a trace
//! reverse ID [id=T] [by=PARTNER]           what was taken back
//! balance ACCOUNT | totals ACCOUNT         what the account holds; its lifetime totals
//! counter ACCOUNT NAME [printed=-3d]       a cap's or metric's counter in the period of that day
//! used BUDGET                              what a budget has granted
//! clock +1d                                moves the clock
//! publish NAME in 2h                       publishes the table's next programme
//! ```
//!
//! What must stay true: every [`Refusal`] is reached by a table or a scenario here; the last test fails if one is not.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};

use support::edge::{Accrue, Answer, Edge, LineText, Pending};
use support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs};
use tallystick::clock::Clock;
use tallystick::ledger::decision::{Refusal, RetryAdvice};
use tallystick::ledger::types::{CellId, SymbolId, TimestampNs, WalletId};
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Direction, Durability, Space, Store, StoreError, Visit};

type Reached = BTreeSet<Refusal>;

/// A table: programmes by name, the first of which is in force since ever, and lines.
struct Table {
    programs: Vec<(&'static str, String)>,
    setup: Setup,
    lines: &'static str,
}

/// Runs a table and compares every line; gives the refusals that were met.
#[track_caller]
fn check(table: &Table) -> Reached {
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
                let cell = CellId(self.ledger.engine.dictionary.find(budget).expect("the budget has a number").0);
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
        fn all_tables() -> Vec<Table> {
            vec![$(tables::$name()),*]
        }
    };
}

fn plain() -> (&'static str, String) {
    ("plain", programs::program("", "", ""))
}

fn with(earn: &str, more: &str) -> (&'static str, String) {
    ("first", programs::program("", earn, more))
}

fn earning(old: &str, new: &str) -> (&'static str, String) {
    ("first", programs::program("", "", "").replacen(old, new, 1))
}

fn holding_at_most(balance_max: &str, more: &str) -> String {
    with("", more).1.replacen("[earn]", &format!("balance_max = {balance_max}\n[earn]"), 1)
}

const VISITS: &str = "[[caps]]\nname = \"visits\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 2\n";
const DAILY: &str = "[[caps]]\nname = \"daily\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\n";
const YEARLY: &str = "[[caps]]\nname = \"yearly\"\nmeasure = \"units\"\nwindow = \"year\"\nlimit = 30\n";
const OPENING: &str = "[[budgets]]\nname = \"opening\"\nunits = 25\n";
const SECOND: &str = "[[budgets]]\nname = \"second\"\nunits = 12\n";
const FEBRUARY: &str = "[[budgets]]\nname = \"february\"\nunits = 5\nfrom = 2017-02-01\nuntil = 2017-02-28\n";

tables! {
    a_basket_earns_what_its_lines_add_up_to(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        accrue m1 99                                    -> 0
        accrue m1 150 149                               -> 2
        accrue m1 0                                     -> 0
        accrue m1 1000000000000                         -> 10000000000
        balance m1                                      -> 10000000003
        totals m1                                       -> baskets 5 refused 0 reversals 0 granted 10000000003 reversed 0 clipped 0
    "

    rounding_down_per_line(Setup::default(), [earning("\"basket\"", "\"line\"")]) "
        accrue m1 150 149                               -> 2
        accrue m1 50 50                                 -> 0
        accrue m1 199 199 199                           -> 3
    "

    halves_up(Setup::default(), [earning("\"floor\"", "\"half-up\"")]) "
        accrue m1 49                                    -> 0
        accrue m1 50                                    -> 1
        accrue m1 149                                   -> 1
        accrue m1 150                                   -> 2
        accrue m1 75 75                                 -> 2
    "

    halves_to_the_even_neighbour(Setup::default(), [earning("\"floor\"", "\"half-even\"")]) "
        accrue m1 50                                    -> 0
        accrue m1 51                                    -> 1
        accrue m1 150                                   -> 2
        accrue m1 250                                   -> 2
        accrue m1 251                                   -> 3
    "

    halves_up_per_line(
        Setup::default(),
        [("first", plain().1.replacen("\"basket\"", "\"line\"", 1).replacen("\"floor\"", "\"half-up\"", 1))]
    ) "
        accrue m1 50 50                                 -> 2
        accrue m1 49 49 49                              -> 0
    "

    of_several_rules_the_best_counts(Setup::default(), [with(programs::EXCLUDE, programs::RULES)]) "
        accrue m1 GROCERY:400                           -> 4
        accrue m1 GROCERY/Own:400                       -> 8
        accrue m1 FRESH:400                             -> 5
        accrue m1 FRESH/Own:400                         -> 8
        accrue m1 TOBACCO:400                           -> 0
        accrue m1 TOBACCO/Own:400                       -> 0
        # 250 twice over and 99 once make 5.99.
        accrue m1 GROCERY/Own:250 GROCERY:99            -> 5
        # 1.25 times 79 and 1.25 times 1 make 1 only together.
        accrue m1 FRESH:79 FRESH:1                      -> 1
    "

    a_day_cap_clips_to_its_last_unit(Setup::default(), [with("", DAILY)]) "
        accrue m1 1500                                  -> 15
        accrue m1 500                                   -> 5
        accrue m1 100                                   -> 0 of 1: daily -1
        counter m1 daily                                -> 20
        accrue m2 2100                                  -> 20 of 21: daily -1
        clock +12h                                      -> moved
        accrue m1 500                                   -> 5
        counter m1 daily                                -> 5
        counter m1 daily printed=-12h                   -> 20
        totals m1                                       -> baskets 4 refused 0 reversals 0 granted 25 reversed 0 clipped 1
    "

    the_day_is_the_receipts_and_the_zones(
        Setup::default(),
        [("first", programs::program("time_zone = \"America/New_York\"", "", DAILY))]
    ) "
        # It is noon in London, and 7 in the morning in New York.
        accrue m1 2000 printed=-7h                      -> 20
        accrue m1 100 printed=-8h                       -> 1
        accrue m1 100 printed=-6h                       -> 0 of 1: daily -1
        accrue m1 100                                   -> 0 of 1: daily -1
        clock +16h                                      -> moved
        accrue m1 100                                   -> 0 of 1: daily -1
        clock +1h                                       -> moved
        accrue m1 100                                   -> 1
    "

    caps_clip_in_their_order(Setup::default(), [with("", &[DAILY, YEARLY].concat())]) "
        accrue m1 2500                                  -> 20 of 25: daily -5
        clock +1d                                       -> moved
        accrue m1 2500                                  -> 10 of 25: daily -5, yearly -10
        clock +1d                                       -> moved
        accrue m1 100                                   -> 0 of 1: yearly -1
        counter m1 yearly                               -> 30
        # The year before has its own room.
        accrue m1 900 printed=-30d                      -> 0 of 9: yearly -9
        accrue m2 900                                   -> 9
    "

    a_late_receipt_of_the_old_year_has_the_old_years_room(
        Setup::default(), [("first", programs::program("late_limit_days = 90", "", YEARLY))]
    ) "
        accrue m1 3000                                  -> 30
        accrue m1 3100 printed=-61d                     -> 30 of 31: yearly -1
        counter m1 yearly printed=-61d                  -> 30
        clock +300d                                     -> moved
        accrue m1 100                                   -> 0 of 1: yearly -1
        clock +10d                                      -> moved
        accrue m1 100                                   -> 1
    "

    velocity_is_judged_before_units(Setup::default(), [with(programs::EXCLUDE, &[DAILY, VISITS].concat())]) "
        accrue m1 1500                                  -> 15
        # A basket that earns nothing is not counted ...
        accrue m1 TOBACCO:1000                          -> 0
        accrue m1 99                                    -> 0
        counter m1 visits                               -> 1
        accrue m1 400                                   -> 4
        counter m1 visits                               -> 2
        # ... and not refused either, while one that would have earned is.
        accrue m1 99                                    -> 0
        accrue m1 500                                   -> 0 of 5: over visits
        totals m1                                       -> baskets 6 refused 1 reversals 0 granted 19 reversed 0 clipped 0
        counter m1 daily                                -> 19
        clock +1d                                       -> moved
        accrue m1 500                                   -> 5
    "

    a_basket_that_a_cap_turned_to_nothing_is_no_visit(Setup::default(), [with("", &[VISITS, DAILY].concat())]) "
        accrue m1 2000                                  -> 20
        accrue m1 100                                   -> 0 of 1: daily -1
        counter m1 visits                               -> 1
        accrue m1 100                                   -> 0 of 1: daily -1
        counter m1 visits                               -> 1
    "

    metrics_count_what_was_spent_whatever_was_clipped(
        Setup::default(), [with(programs::EXCLUDE, &[VISITS, DAILY, programs::METRIC].concat())]
    ) "
        accrue m1 2550                                  -> 20 of 25: daily -5
        accrue m1 TOBACCO:9999 50                       -> 0
        counter m1 spent                                -> 2600
        accrue m1 100                                   -> 0 of 1: daily -1
        clock +1d                                       -> moved
        accrue m1 100 id=a                              -> 1
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 0 of 1: over visits
        counter m1 spent                                -> 3000
        reverse a                                       -> -1
        counter m1 spent                                -> 2900
    "

    the_last_unit_of_a_budget_is_granted(Setup::default(), [with("", OPENING)]) "
        accrue m1 1500                                  -> 15
        accrue m2 900                                   -> 9
        accrue m3 500                                   -> 1 of 5: opening -4
        accrue m4 500                                   -> 0 of 5: opening -5
        accrue m4 50                                    -> 0
        used opening                                    -> 25
    "

    several_budgets_are_drawn_on_by_what_all_of_them_allow(
        Setup::default(), [with("", &[OPENING, SECOND, FEBRUARY].concat())]
    ) "
        accrue m1 1000                                  -> 10
        accrue m2 500                                   -> 2 of 5: second -3
        used opening                                    -> 12
        used second                                     -> 12
        accrue m3 2000                                  -> 0 of 20: opening -7, second -13
        used opening                                    -> 12
        # A budget counts by the day of posting, not by the receipt's.
        accrue m4 100 printed=-2d                       -> 0 of 1: second -1
        used february                                   -> 0
    "

    a_budget_is_in_force_on_its_last_day(
        Setup::default(),
        [with("", "[[budgets]]\nname = \"first-week\"\nunits = 5\nfrom = 2017-03-01\nuntil = 2017-03-02\n")]
    ) "
        accrue m1 400                                   -> 4
        clock +1d                                       -> moved
        accrue m1 400                                   -> 1 of 4: first-week -3
        clock +12h                                      -> moved
        accrue m1 400                                   -> 4
        used first-week                                 -> 5
    "

    caps_come_before_budgets(Setup::default(), [with("", &[DAILY, OPENING].concat())]) "
        accrue m1 3000                                  -> 20 of 30: daily -10
        accrue m2 3000                                  -> 5 of 30: daily -10, opening -15
        accrue m2 3000                                  -> 0 of 30: daily -15, opening -15
        used opening                                    -> 25
    "

    a_receipt_is_late_after_thirty_days_and_early_after_five_minutes(Setup::default(), [plain()]) "
        accrue m1 100 printed=-30d                      -> 1
        accrue m1 100 printed=-2592001s                 -> refused ReceiptTooOld
        accrue m1 100 printed=300s                      -> 1
        accrue m1 100 printed=301s                      -> refused ReceiptInFuture
        balance m1                                      -> 2
    "

    limits_on_time_are_the_programmes(
        Setup::default(),
        [("first", programs::program("late_limit_days = 0\nfuture_skew_seconds = 0", "", ""))]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1ns                      -> refused ReceiptTooOld
        accrue m1 100 printed=1ns                       -> refused ReceiptInFuture
    "

    nothing_is_decided_before_the_first_version(Setup::default(), []) "
        accrue m1 100                                   -> refused ProgramNotInForce
        balance m1                                      -> unknown
    "

    a_version_judges_from_its_time_on(
        Setup::default(),
        [plain(), ("double", plain().1.replacen("units = 1", "units = 2", 1)), ("plain-again", plain().1)]
    ) "
        publish double in 2h                            -> published
        accrue m1 100                                   -> 1
        clock +2h                                       -> moved
        accrue m1 100                                   -> 2
        accrue m1 100 printed=-1ns                      -> 1
        publish plain-again in 1h                       -> published
        accrue m1 100                                   -> 2
        clock +1h                                       -> moved
        accrue m1 100                                   -> 1
        accrue m1 100 printed=-1h                       -> 2
    "

    a_budget_goes_on_counting_in_the_next_version(
        Setup::default(),
        [
            with("", OPENING),
            ("more", with("", &OPENING.replace("25", "30")).1),
            ("less", with("", &OPENING.replace("25", "7")).1)
        ]
    ) "
        accrue m1 2600                                  -> 25 of 26: opening -1
        publish more in 1h                              -> published
        clock +1h                                       -> moved
        accrue m1 600                                   -> 5 of 6: opening -1
        publish less in 1h                              -> published
        clock +1h                                       -> moved
        accrue m1 600                                   -> 0 of 6: opening -6
        # A late receipt is judged by the version of its time, budget included.
        accrue m1 600 printed=-1h                       -> 0 of 6: opening -6
        used opening                                    -> 30
    "

    an_account_is_opened_by_its_first_basket_or_not(
        Setup::default(), [("first", programs::program("accounts = \"enrolled\"", "", ""))]
    ) "
        accrue m1 100                                   -> refused AccountUnknown
        quote m1 100                                    -> refused AccountUnknown
        balance m1                                      -> unknown
    "

    a_refused_first_basket_opens_no_account(
        Setup::default(), [("first", holding_at_most("5", ""))]
    ) "
        accrue m1 600 id=a                              -> refused BalanceLimitExceeded
        balance m1                                      -> unknown
        # Nothing was consumed: neither the id nor the receipt.
        accrue m1 500 id=a                              -> 5
    "

    a_balance_limit_refuses_the_whole_basket(
        Setup::default(),
        [("first", holding_at_most("10", &[DAILY, OPENING, programs::METRIC].concat()))]
    ) "
        accrue m1 800 id=a receipt=r1                   -> 8
        accrue m1 300 id=b receipt=r2                   -> refused BalanceLimitExceeded
        balance m1                                      -> 8
        counter m1 daily                                -> 8
        counter m1 spent                                -> 800
        used opening                                    -> 8
        # It is on record: the id is used, the receipt is not.
        accrue m1 300 id=b receipt=r2                   -> again refused BalanceLimitExceeded
        accrue m1 200 id=b receipt=r2                   -> refused TransactionIdReused: basket.lines[0].amount_minor
        accrue m1 200 id=c receipt=r2                   -> 2
        reverse b                                       -> refused NotReversible
        totals m1                                       -> baskets 2 refused 0 reversals 0 granted 10 reversed 0 clipped 0
    "

    an_id_takes_effect_once(Setup::default(), [plain()]) "
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t1    -> 1
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t1    -> again 1
        accrue m2 GROCERY:100 id=a receipt=r1 terminal=t1    -> refused TransactionIdReused: account_id
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t2    -> refused TransactionIdReused: basket.terminal_id
        accrue m1 GROCERY:100 id=a receipt=r2 terminal=t1    -> refused TransactionIdReused: basket.receipt_number
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t1 store=s2 -> refused TransactionIdReused: basket.store_id
        accrue m1 GROCERY:100 id=a receipt=r1 terminal=t1 printed=-1s -> refused TransactionIdReused: basket.receipt_time
        accrue m1 FRESH:100 id=a receipt=r1 terminal=t1      -> refused TransactionIdReused: basket.lines[0].department
        accrue m1 GROCERY:100 GROCERY:1 id=a receipt=r1 terminal=t1 -> refused TransactionIdReused: basket.lines
        # Ids are the partner's own.
        accrue m1 GROCERY:300 id=a receipt=r1 by=south       -> 3
        balance m1                                           -> 4
    "

    a_receipt_earns_once_whoever_presents_it(Setup::default(), [plain()]) "
        accrue m1 100 id=a receipt=r1                   -> 1
        accrue m2 100 id=b receipt=r1                   -> refused ReceiptAlreadyEarned
        # The refused id is still free.
        accrue m2 100 id=b receipt=r2                   -> 1
        accrue m2 100 id=c receipt=r1 store=s2          -> 1
        accrue m2 100 id=d receipt=r1 terminal=t9       -> 1
        accrue m2 100 id=e receipt=r1 printed=-1d       -> 1
        accrue m2 100 id=e receipt=r1 by=south          -> 1
        # What is taken back whole is free again.
        reverse a                                       -> -1
        accrue m2 100 id=f receipt=r1                   -> 1
        accrue m2 100 id=g receipt=r1                   -> refused ReceiptAlreadyEarned
    "

    a_reversal_gives_everything_back(
        Setup::default(), [with("", &[VISITS, DAILY, YEARLY, programs::METRIC, OPENING].concat())]
    ) "
        accrue m1 1500 id=a                             -> 15
        accrue m1 900 id=b                              -> 5 of 9: daily -4
        reverse a id=v                                  -> -15
        reverse a id=v                                  -> again -15
        reverse a                                       -> refused AlreadyReversed
        balance m1                                      -> 5
        counter m1 visits                               -> 1
        counter m1 daily                                -> 5
        counter m1 yearly                               -> 5
        counter m1 spent                                -> 900
        used opening                                    -> 5
        accrue m1 1600                                  -> 15 of 16: daily -1
        accrue m2 600                                   -> 5 of 6: opening -1
        totals m1                                       -> baskets 3 refused 0 reversals 1 granted 35 reversed 15 clipped 5
    "

    a_reversal_of_an_older_accrual_leaves_later_decisions_alone(
        Setup::default(), [with("", &[DAILY, VISITS].concat())]
    ) "
        accrue m1 1900 id=a                             -> 19
        accrue m1 500 id=b                              -> 1 of 5: daily -4
        accrue m1 500 id=c                              -> 0 of 5: over visits
        clock +20d                                      -> moved
        accrue m1 500 id=d                              -> 5
        reverse a                                       -> -19
        balance m1                                      -> 6
        # The room of that day is free again, for who comes late.
        accrue m1 2500 printed=-20d                     -> 19 of 25: daily -6
        reverse c                                       -> 0
        reverse b                                       -> -1
        counter m1 daily printed=-20d                   -> 19
        # Long after nobody may present a receipt of that day, the counter is forgotten and a reversal still works.
        clock +40d                                      -> moved
        reverse d                                       -> -5
        balance m1                                      -> 19
    "

    what_can_be_reversed(Setup::default(), [plain()]) "
        accrue m1 100 id=a                              -> 1
        accrue m1 50 id=zero                            -> 0
        reverse nothing                                 -> refused OriginalUnknown
        reverse a by=south                              -> refused OriginalUnknown
        reverse a id=v                                  -> -1
        reverse v                                       -> refused NotReversible
        reverse zero                                    -> 0
        reverse zero                                    -> refused AlreadyReversed
        reverse a id=a                                  -> refused TransactionIdReused: command
        accrue m1 100 id=v                              -> refused TransactionIdReused: command
    "

    partners_issue_and_take_back_their_own_units(Setup::default(), [plain()]) "
        accrue m1 1000 id=a                             -> 10
        accrue m1 500 id=a by=south                     -> 5
        balance m1                                      -> 15
        reverse a by=south                              -> -5
        balance m1                                      -> 10
        reverse a                                       -> -10
        balance m1                                      -> 0
    "

    posting_time_comes_from_the_input(
        Setup { clock_is_input: true, shard_count: 1, ..Setup::default() }, [plain()]
    ) "
        accrue m1 100                                   -> 1
        accrue m1 100 stamped=-1s printed=-1s           -> refused PostingTimeRegressed
        accrue m1 100 stamped=+1h printed=+1h           -> 1
        accrue m1 100                                   -> refused PostingTimeRegressed
        clock +2h                                       -> moved
        accrue m1 100                                   -> 1
    "

    a_deadline_that_has_passed_consumes_nothing(Setup::default(), [plain()]) "
        accrue m1 100 id=a deadline=0s                  -> refused DeadlineExpired
        accrue m1 100 id=a deadline=1s                  -> 1
        accrue m1 100 id=a deadline=0s                  -> again 1
    "

    what_is_malformed_consumes_nothing(Setup::default(), [plain()]) "
        accrue m1                                       -> refused InvalidCommand
        accrue m1 -1                                    -> refused InvalidCommand
        accrue m1 1000000000001                         -> refused InvalidCommand
        accrue m1 100 receipt=                          -> refused InvalidCommand
        balance m1                                      -> unknown
    "

    a_full_dictionary_refuses_new_names_and_goes_on_with_known_ones(
        Setup { names_max: Some((6, 3)), ..Setup::default() }, [plain()]
    ) "
        # The empty string, the wallet, the partner, the store and two departments; the plain item and two more.
        accrue m1 100 GROCERY:100                       -> 2
        accrue m1 FRESH:100                             -> 1
        accrue m1 100 BAKERY:100 id=a                   -> refused NameLimitReached
        accrue m1 GROCERY/GROCERY:100                   -> refused NameLimitReached
        accrue m1 100 store=s2                          -> refused NameLimitReached
        accrue m1 FRESH:100 GROCERY:100 id=a            -> 2
    "

    a_quote_is_what_would_be_granted_and_leaves_no_trace(
        Setup::default(), [with("", &[DAILY, OPENING].concat())]
    ) "
        quote m1 3000                                   -> 20 of 30: daily -10
        balance m1                                      -> unknown
        accrue m1 1500                                  -> 15
        quote m1 1500                                   -> 5 of 15: daily -10
        quote m2 1500                                   -> 10 of 15: opening -5
        used opening                                    -> 15
        counter m1 daily                                -> 15
        totals m1                                       -> baskets 1 refused 0 reversals 0 granted 15 reversed 0 clipped 0
    "
}

/// A store whose synced writes wait until the gate is opened.
struct GatedStore {
    inner: MemoryStore,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Store for GatedStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let (open, changed) = &*self.open;
        drop(changed.wait_while(open.lock().expect("no holder panics"), |open| !*open).expect("no holder panics"));
        self.inner.write(batch, durability)
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        self.inner.flush(space)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(space, from, direction, visit)
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.inner.write_mark(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.read_mark()
    }
}

/// While the disk stands still, the queue fills and the ledger refuses; what it took, it answers. Once it stops, it
/// takes nothing more.
fn overload_and_stop() -> Reached {
    let open = Arc::new((Mutex::new(true), Condvar::new()));
    let disk = MemoryStore::new();
    let store = Arc::new(GatedStore { inner: disk.clone(), open: open.clone() });
    let setup = Setup { worker_count: 1, queue_depth: 4, ..Setup::default() };
    let ledger = Ledger::on(store, setup).with_program(&plain().1);
    let edge = ledger.edge();
    *open.0.lock().expect("no holder panics") = false;
    let mut taken = Vec::new();
    let mut reached = Reached::new();
    while reached.is_empty() {
        let id = format!("t-{}", taken.len());
        match edge.begin_accrue(&Accrue::simple("m1", &id, 100)) {
            Pending::Done(answer) => reached.extend(answer.refusal()),
            waiting @ Pending::Waiting(_) => taken.push(waiting),
        }
        assert!(taken.len() < 100_000, "the queue is bounded");
    }
    *open.0.lock().expect("no holder panics") = true;
    open.1.notify_all();
    let taken_count = taken.len() as u64;
    assert!(taken.into_iter().all(|answer| answer.wait().is_some_and(|answer| answer.granted() == 1)));
    // The same command with the same id is welcome again.
    assert_eq!(edge.accrue(&Accrue::simple("m1", &format!("t-{taken_count}"), 100)).granted(), 1);
    let stopped = ledger.stop();
    let refused = edge.accrue(&Accrue::simple("m1", "after", 100));
    reached.extend(refused.refusal());
    let report = assert_intact(&disk, stopped.digest);
    assert_eq!(report.records.accruals, taken_count + 1);
    reached
}

#[test]
fn a_full_queue_refuses_at_once_and_a_stopped_ledger_too() {
    assert_eq!(overload_and_stop(), Reached::from([Refusal::Overloaded, Refusal::ShuttingDown]));
}

#[test]
fn every_refusal_is_reached() {
    let mut reached: Reached = all_tables().iter().flat_map(check).collect();
    reached.extend(overload_and_stop());
    let missing: Vec<_> = Refusal::ALL.into_iter().filter(|refusal| !reached.contains(refusal)).collect();
    assert_eq!(missing, [], "no row reaches these");
}

#[test]
fn what_a_caller_does_about_a_refusal_fits_what_it_consumed() {
    for refusal in Refusal::ALL {
        if refusal.retry() == RetryAdvice::SameId {
            assert!(!refusal.is_journaled(), "{refusal:?}: the same id would get the same refusal for ever");
        }
    }
}
