//! The ledger against a naive model: random programmes, baskets and reversals, judged by [`ShardState`] and, a second
//! time, by adding up the whole history from the words of the programme.
//!
//! What must stay true: the model shares no code with the ledger but the types of its results. It keeps no counters,
//! classifies lines by comparing strings, finds days with another time-zone library, and adds in fractions.

mod support;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use support::{NOON, NS_PER_DAY, NS_PER_SECOND};
use tallystick::cells::Cells;
use tallystick::ledger::command::{Basket, Command, CommandKind, Granted, Line, Reversal};
use tallystick::ledger::decision::{CellUse, Decision, Refusal};
use tallystick::ledger::digest::shard_digest;
use tallystick::ledger::draws;
use tallystick::ledger::program::Program;
use tallystick::ledger::state::{CellRoom, Change, Context, ShardState};
use tallystick::ledger::types::{
    AccountNumber, Item, ItemId, Position, ProgramVersion, ShardId, SymbolId, TimestampNs,
};
use tallystick::ledger::zone::utc_day;
use tallystick::program::{SymbolTable, Symbols, compile};

const DEPARTMENTS: [&str; 3] = ["", "GROCERY", "FRESH"];
const BRANDS: [&str; 3] = ["", "Own", "Other"];
const ACCOUNTS: [&str; 3] = ["m1", "m2", "m3"];

/// A programme in words.
#[derive(Clone, Debug)]
struct Rules {
    zone: &'static str,
    units: i64,
    per_minor: i64,
    rounding: &'static str,
    per_line: bool,
    excluded_department: Option<&'static str>,
    /// Department rules and brand rules, each with its multiplier in ten-thousandths.
    multipliers: Vec<(bool, &'static str, i64)>,
    /// In the order of the file: whether it counts baskets, whether its window is the year, its limit.
    caps: Vec<(bool, bool, i64)>,
    has_metric: bool,
    /// Limits, and whether the budget is in force only on the first two days.
    budgets: Vec<(i64, bool)>,
    balance_max: i64,
    late_limit_days: i64,
}

impl Rules {
    fn source(&self) -> String {
        let mut text = format!(
            "[program]\nname = \"model\"\ncurrency = \"EUR\"\ntime_zone = \"{}\"\nlate_limit_days = {}\n\
             [[wallets]]\nname = \"points\"\nbalance_max = {}\n\
             [earn]\nwallet = \"points\"\nunits = {}\nper_minor = {}\nrounding = \"{}\"\nrounded_per = \"{}\"\n\
             stacking = \"best-of\"\n",
            self.zone,
            self.late_limit_days,
            self.balance_max,
            self.units,
            self.per_minor,
            self.rounding,
            if self.per_line { "line" } else { "basket" }
        );
        let mut add = |more: String| text.push_str(&more);
        if let Some(department) = self.excluded_department {
            add(format!("exclude = {{ department = [\"{department}\"] }}\n"));
        }
        for (index, (by_brand, value, multiplier)) in self.multipliers.iter().enumerate() {
            let attribute = if *by_brand { "brand" } else { "department" };
            add(format!("[[rules]]\nname = \"rule-{index}\"\nmatch = {{ {attribute} = [\"{value}\"] }}\n"));
            add(format!("multiplier = \"{}.{:04}\"\n", multiplier / 10_000, multiplier % 10_000));
        }
        for (index, (baskets, yearly, limit)) in self.caps.iter().enumerate() {
            let measure = if *baskets { "earning-baskets" } else { "units" };
            let window = if *yearly { "year" } else { "day" };
            add(format!("[[caps]]\nname = \"cap-{index}\"\nmeasure = \"{measure}\"\nwindow = \"{window}\"\n"));
            add(format!("limit = {limit}\n"));
        }
        if self.has_metric {
            add("[[metrics]]\nname = \"spent\"\nmeasure = \"eligible-amount\"\nwindow = \"year\"\n".to_owned());
        }
        for (index, (limit, briefly)) in self.budgets.iter().enumerate() {
            add(format!("[[budgets]]\nname = \"budget-{index}\"\nunits = {limit}\n"));
            if *briefly {
                add("from = 2017-03-01\nuntil = 2017-03-02\n".to_owned());
            }
        }
        text
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let earn = (
        prop_oneof![Just("UTC"), Just("America/New_York"), Just("Pacific/Kiritimati")],
        1..4_i64,
        prop_oneof![Just(1_i64), Just(7), Just(100), Just(1_000)],
        prop_oneof![Just("floor"), Just("half-up"), Just("half-even")],
        any::<bool>(),
        prop::option::of(Just("FRESH")),
    );
    let multiplier = prop_oneof![Just(0_i64), Just(5_000), Just(12_500), Just(20_000), Just(33_333)];
    let rule = (any::<bool>(), 1..3_usize, multiplier).prop_map(|(by_brand, value, multiplier)| {
        (by_brand, if by_brand { BRANDS[value] } else { DEPARTMENTS[value] }, multiplier)
    });
    let bounds = (
        prop::collection::vec(rule, 0..4),
        prop::collection::vec((any::<bool>(), any::<bool>(), 1..60_i64), 0..4),
        any::<bool>(),
        prop::collection::vec((1..200_i64, any::<bool>()), 0..3),
        prop_oneof![Just(1_000_000_i64), Just(80)],
        prop_oneof![Just(0_i64), Just(3), Just(30)],
    );
    (earn, bounds).prop_map(|(earn, bounds)| {
        let (zone, units, per_minor, rounding, per_line, excluded_department) = earn;
        let (mut multipliers, caps, has_metric, budgets, balance_max, late_limit_days) = bounds;
        // A rule that can have no effect is an error of the file.
        multipliers.retain(|(by_brand, value, _)| *by_brand || Some(*value) != excluded_department);
        Rules {
            zone,
            units,
            per_minor,
            rounding,
            per_line,
            excluded_department,
            multipliers,
            caps,
            has_metric,
            budgets,
            balance_max,
            late_limit_days,
        }
    })
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Accrue {
        account: usize,
        age_hours: i64,
        lines: Vec<(usize, usize, i64)>,
        wait_minutes: i64,
    },
    /// Reverses the accrual that came so many steps before, if there is one.
    Reverse {
        steps_back: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let line = (0..DEPARTMENTS.len(), 0..BRANDS.len(), prop_oneof![0..3_000_i64, Just(50), Just(250)]);
    let age_hours = prop_oneof![3 => 0..30_i64, 1 => 0..1_600_i64];
    let accrue = (0..ACCOUNTS.len(), age_hours, prop::collection::vec(line, 1..5), 0..2_000_i64)
        .prop_map(|(account, age_hours, lines, wait_minutes)| Step::Accrue { account, age_hours, lines, wait_minutes });
    prop_oneof![5 => accrue, 1 => (1..12_usize).prop_map(|steps_back| Step::Reverse { steps_back })]
}

/// What became of a step, in the model's words and in the ledger's.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Granted { earned: i64, granted: i64, over_velocity: bool, clips: Vec<i64>, balance: i64 },
    Reversed { units: i64, balance: i64 },
    Refused(Refusal),
}

/// A granted accrual in the model's history.
#[derive(Clone, Debug)]
struct Past {
    account: usize,
    day: i64,
    year: i16,
    granted: i64,
    eligible: i64,
    /// Which budgets were in force.
    drew_on: Vec<bool>,
    taken_back: bool,
}

/// Adds everything up again for each question.
struct Model<'a> {
    rules: &'a Rules,
    zone: TimeZone,
    past: Vec<(usize, Past)>,
}

impl<'a> Model<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self { rules, zone: TimeZone::get(rules.zone).expect("the zone exists"), past: Vec::new() }
    }

    fn local(&self, at: TimestampNs) -> (i64, i16) {
        let at = jiff::Timestamp::from_nanosecond(i128::from(at.0)).expect("in range").to_zoned(self.zone.clone());
        let epoch = jiff::civil::date(1970, 1, 1);
        let days = at.date().since((jiff::Unit::Day, epoch)).expect("in range").get_days();
        (i64::from(days), at.year())
    }

    fn multiplier(&self, department: &str, brand: &str) -> Option<i64> {
        if self.rules.excluded_department == Some(department) {
            return None;
        }
        let matching = self
            .rules
            .multipliers
            .iter()
            .filter(|(by_brand, value, _)| if *by_brand { *value == brand } else { *value == department });
        Some(matching.map(|(_, _, multiplier)| *multiplier).max().unwrap_or(10_000))
    }

    /// Units of an exact fraction of minor units times ten-thousandths.
    fn rounded(&self, numerator: i128) -> i64 {
        let exact = numerator * i128::from(self.rules.units);
        let one = i128::from(self.rules.per_minor) * 10_000;
        let (whole, rest) = (exact / one, exact % one);
        let up = match self.rules.rounding {
            "floor" => false,
            "half-up" => rest * 2 >= one,
            _ => rest * 2 > one || (rest * 2 == one && whole % 2 != 0),
        };
        i64::try_from(whole + i128::from(up)).expect("small")
    }

    fn balance(&self, account: usize) -> i64 {
        self.standing(|past| past.account == account).map(|past| past.granted).sum()
    }

    fn standing(&self, of: impl Fn(&Past) -> bool) -> impl Iterator<Item = &Past> {
        self.past.iter().map(|(_, past)| past).filter(move |past| !past.taken_back && of(past))
    }

    fn accrue(
        &mut self,
        step: usize,
        account: usize,
        lines: &[(usize, usize, i64)],
        at: TimestampNs,
        now: TimestampNs,
    ) -> Outcome {
        if now.0 - at.0 > self.rules.late_limit_days * NS_PER_DAY {
            return Outcome::Refused(Refusal::ReceiptTooOld);
        }
        let (day, year) = self.local(at);
        let parts: Vec<(i128, i64)> = lines
            .iter()
            .filter_map(|(department, brand, amount)| {
                let multiplier = self.multiplier(DEPARTMENTS[*department], BRANDS[*brand])?;
                Some((i128::from(*amount) * i128::from(multiplier), *amount))
            })
            .collect();
        let earned = if self.rules.per_line {
            parts.iter().map(|(exact, _)| self.rounded(*exact)).sum()
        } else {
            self.rounded(parts.iter().map(|(exact, _)| exact).sum())
        };
        let same_window = |yearly: bool, past: &Past| {
            past.account == account && if yearly { past.year == year } else { past.day == day }
        };
        let over_velocity = earned > 0
            && self.rules.caps.iter().filter(|(baskets, ..)| *baskets).any(|(_, yearly, limit)| {
                let seen = self.standing(|past| same_window(*yearly, past) && past.granted > 0).count();
                i64::try_from(seen).expect("few") >= *limit
            });
        let mut granted = if over_velocity { 0 } else { earned };
        let mut clips = Vec::new();
        let mut bound = |granted: &mut i64, room: i64| {
            if *granted > room {
                clips.push(*granted - room);
                *granted = room;
            }
        };
        for (_, yearly, limit) in self.rules.caps.iter().filter(|(baskets, ..)| !*baskets) {
            let taken: i64 = self.standing(|past| same_window(*yearly, past)).map(|past| past.granted).sum();
            bound(&mut granted, (limit - taken).max(0));
        }
        let posted_day = self.local(now).0;
        let in_force = |briefly: bool| !briefly || (17_226..=17_227).contains(&posted_day);
        let drew_on: Vec<bool> = self.rules.budgets.iter().map(|(_, briefly)| in_force(*briefly)).collect();
        for (index, (limit, _)) in self.rules.budgets.iter().enumerate().filter(|(index, _)| drew_on[*index]) {
            let taken: i64 = self.standing(|past| past.drew_on[index]).map(|past| past.granted).sum();
            bound(&mut granted, (limit - taken).max(0));
        }
        let balance = self.balance(account) + granted;
        if balance > self.rules.balance_max {
            return Outcome::Refused(Refusal::BalanceLimitExceeded);
        }
        let eligible = parts.iter().map(|(_, amount)| amount).sum();
        self.past.push((step, Past { account, day, year, granted, eligible, drew_on, taken_back: false }));
        Outcome::Granted { earned, granted, over_velocity, clips, balance }
    }

    fn reverse(&mut self, original: usize) -> Option<Outcome> {
        let (_, past) = self.past.iter_mut().find(|(step, past)| *step == original && !past.taken_back)?;
        past.taken_back = true;
        let (account, units) = (past.account, past.granted);
        Some(Outcome::Reversed { units, balance: self.balance(account) })
    }
}

/// The ledger's own code, without journal and threads.
struct Real {
    program: Program,
    symbols: SymbolTable,
    cells: Cells,
    state: ShardState,
    decision: Decision,
    /// Per step: what a reversal of it needs.
    granted: Vec<Option<(usize, Granted)>>,
}

impl Real {
    fn new(rules: &Rules) -> Self {
        let mut symbols = SymbolTable::new();
        let program = compile(&rules.source(), ProgramVersion(1), TimestampNs(i64::MIN), &mut symbols)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{}", rules.source()));
        Self {
            program,
            symbols,
            cells: Cells::default(),
            state: ShardState::new(ShardId(0)),
            decision: Decision::default(),
            granted: Vec::new(),
        }
    }

    fn accrue(
        &mut self,
        step: usize,
        account: usize,
        lines: &[(usize, usize, i64)],
        at: TimestampNs,
        now: TimestampNs,
    ) -> Outcome {
        let mut symbol = |text: &str| self.symbols.intern(text).expect("there is room");
        let lines = lines.iter().map(|(department, brand, amount_minor)| Line {
            item_id: ItemId(0),
            item: Item {
                department: symbol(DEPARTMENTS[*department]),
                brand: symbol(BRANDS[*brand]),
                ..Item::default()
            },
            quantity: 1,
            amount_minor: *amount_minor,
        });
        let basket = Basket {
            lines: lines.collect(),
            store: symbol("s1"),
            terminal: SymbolId::EMPTY,
            cashier: SymbolId::EMPTY,
            receipt_number: step.to_string(),
            business_day: utc_day(at),
            receipt_at: at,
            ..Basket::default()
        };
        let partner = symbol("north");
        self.run(account, now, partner, CommandKind::Accrue(basket.clone()));
        if let Some(refusal) = self.decision.refusal() {
            self.granted.push(None);
            return Outcome::Refused(refusal);
        }
        let decision = &self.decision;
        let undo = Granted {
            receipt: basket.receipt(),
            lot: decision.granted_lot(),
            units: decision.granted,
            counters: decision.effects.counters.clone(),
            cells: decision.cells.iter().filter(|cell| cell.used != 0).copied().collect(),
        };
        self.granted.push(Some((account, undo)));
        Outcome::Granted {
            earned: decision.earned,
            granted: decision.granted,
            over_velocity: decision.over_velocity.is_some(),
            clips: decision.clips.iter().map(|clip| clip.units).collect(),
            balance: decision.balance_after,
        }
    }

    fn reverse(&mut self, original: usize, now: TimestampNs) -> Option<Outcome> {
        let (account, undo) = self.granted.get_mut(original)?.take()?;
        let partner = self.symbols.symbol("north").expect("it was interned");
        let cells = undo.cells.clone();
        let reversal = Reversal {
            original_transaction_id: original.to_string().into(),
            original_position: Position(0),
            original: undo,
        };
        self.run(account, now, partner, CommandKind::Reverse(reversal));
        for taken in cells {
            self.cells.release(taken.cell, taken.used);
        }
        Some(Outcome::Reversed { units: -self.decision.granted, balance: self.decision.balance_after })
    }

    /// Decides and applies, as a worker does.
    fn run(&mut self, account: usize, now: TimestampNs, partner: SymbolId, kind: CommandKind) {
        let command = Command { account_id: ACCOUNTS[account].into(), transaction_id: "model".into(), partner, kind };
        let mut wanted = Vec::new();
        draws::list(&self.program, &command, now, &mut wanted);
        let returned: &[CellUse] = match &command.kind {
            CommandKind::Reverse(reversal) => &reversal.original.cells,
            _ => &[],
        };
        let all = wanted.iter().map(|draw| draw.cell).chain(returned.iter().map(|taken| taken.cell));
        let mut held = self.cells.hold(all);
        let mut rooms: Vec<CellRoom> = wanted.iter().map(|draw| held.room(draw)).collect();
        rooms.extend(returned.iter().map(|taken| held.return_to(taken)));
        let context = Context { program: &self.program, posted_at: now, rooms: &rooms };
        let before = shard_digest(&self.state);
        self.state.decide(&command, &context, &mut self.decision);
        assert_eq!(shard_digest(&self.state), before, "deciding changes nothing");
        if !self.decision.is_journaled() {
            return;
        }
        held.take(&self.decision.cells, 1);
        drop(held);
        let number = self.state.find(ACCOUNTS[account]).unwrap_or_else(|| self.state.next_account());
        let change = Change {
            seq: self.state.seq.next(),
            position: Some(Position(self.state.seq.0)),
            posted_at: now,
            account: number,
            account_id: ACCOUNTS[account],
            decision: &self.decision,
        };
        assert!(self.state.accepts(&change), "what was decided can be applied");
        self.state.apply(&change);
        self.check_balanced(number);
    }

    /// Accounts and partner add up to zero after every record, and nothing is negative.
    fn check_balanced(&self, changed: AccountNumber) {
        let held: i128 =
            self.state.accounts().iter().flat_map(|account| &account.lots).map(|lot| i128::from(lot.remaining)).sum();
        let owed: i128 = self.state.partners().map(|(_, partner)| partner.balance).sum();
        assert_eq!(held + owed, 0, "the shard balances");
        let account = self.state.account(changed).expect("it was opened");
        assert!(account.lots.iter().all(|lot| lot.remaining > 0) && account.counters.iter().all(|c| c.value > 0));
    }
}

/// Plays a history through both and compares every step.
fn compare(rules: &Rules, steps: &[Step]) {
    let (mut model, mut real) = (Model::new(rules), Real::new(rules));
    let mut now = NOON;
    for (index, step) in steps.iter().enumerate() {
        let (expected, got) = match step {
            Step::Accrue { account, age_hours, lines, wait_minutes } => {
                now = TimestampNs(now.0 + wait_minutes * 60 * NS_PER_SECOND);
                let at = TimestampNs(now.0 - age_hours * 3_600 * NS_PER_SECOND);
                (
                    Some(model.accrue(index, *account, lines, at, now)),
                    Some(real.accrue(index, *account, lines, at, now)),
                )
            }
            Step::Reverse { steps_back } => {
                real.granted.push(None);
                let original = index.checked_sub(*steps_back).unwrap_or(usize::MAX);
                (model.reverse(original), real.reverse(original, now))
            }
        };
        assert_eq!(expected, got, "step {index}: {step:?}\n{}", rules.source());
    }
    let spent: i64 = model.standing(|_| true).map(|past| past.eligible).sum();
    if rules.has_metric && rules.late_limit_days > 0 {
        let metric = real.program.metrics[0].symbol;
        // Counters of this year and the last are kept for as long as these histories last.
        let counted: i64 = real
            .state
            .accounts()
            .iter()
            .flat_map(|a| &a.counters)
            .filter(|c| c.counter == metric)
            .map(|c| c.value)
            .sum();
        assert!(counted <= spent, "a metric counts what stands");
    }
    let per_budget =
        |index: usize| -> i64 { model.standing(|past| past.drew_on[index]).map(|past| past.granted).sum() };
    for (index, (limit, _)) in rules.budgets.iter().enumerate() {
        let cell = real.program.budgets[index].cell;
        let used = real.cells.copy().get(&cell).map_or(0, |cell| cell.used);
        assert_eq!(used, per_budget(index), "a cell is the sum of what stands");
        assert!(used <= *limit, "a budget is never exceeded");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_decides_as_the_naive_model(rules in any_rules(), steps in prop::collection::vec(any_step(), 1..60)) {
        compare(&rules, &steps);
    }
}

#[test]
fn the_model_knows_the_days_of_the_test() {
    let rules = Rules {
        zone: "UTC",
        units: 1,
        per_minor: 100,
        rounding: "floor",
        per_line: false,
        excluded_department: None,
        multipliers: vec![],
        caps: vec![(false, false, 20)],
        has_metric: true,
        budgets: vec![(25, true)],
        balance_max: 1_000,
        late_limit_days: 30,
    };
    let mut model = Model::new(&rules);
    assert_eq!(model.local(NOON), (17_226, 2017));
    let mut accrue = |step, amount| model.accrue(step, 0, &[(0, 0, amount)], NOON, NOON);
    let expected =
        |earned, granted, clips, balance| Outcome::Granted { earned, granted, over_velocity: false, clips, balance };
    assert_eq!(accrue(0, 1_599), expected(15, 15, vec![], 15));
    assert_eq!(accrue(1, 900), expected(9, 5, vec![4], 20));
}
