//! The ledger against a naive model: random programmes and histories, judged by `ShardState` and, a second time, by
//! adding up the whole history from the words of the programme.
//!
//! What must stay true: the model shares no code with the ledger but the types of its results; each step is compared
//! with its reasons, and the units that are left lot by lot.

#[path = "../support/mod.rs"]
mod support;

mod asides;
mod late;
mod lots;
mod model;
mod real;
mod returns;
mod rules;
mod stamps;
mod unburns;
mod whole;

use lots::Chunk;
use model::{LineWords, Model, Outcome};
use proptest::prelude::*;
use real::Real;
use rules::{
    ACCOUNTS, ACTIVITIES, BRANDS, BonusRule, CapWords, Counts, DEPARTMENTS, Lives, PARTNERS, Rules, SEGMENTS, When,
    Whose, any_rules,
};
use support::{NOON, NS_PER_DAY, NS_PER_SECOND};
use tallystick::ledger::account::Counter;
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::program::{CalendarWindow, OwnAverage};
use tallystick::ledger::types::{CellId, TimestampNs};

const NS_PER_HOUR: i64 = 3_600 * NS_PER_SECOND;

/// What is asked at one step.
#[derive(Clone, Debug)]
enum Ask {
    Accrue {
        partner: usize,
        age_hours: i64,
        lines: Vec<LineWords>,
    },
    /// Reverses the accrual that came so many steps before, if there is one: some lines, or all that is left.
    Reverse {
        steps_back: usize,
        lines: Vec<(usize, i64)>,
    },
    Redeem {
        units: i64,
    },
    /// Sets units aside, for so many minutes if it says so.
    Authorize {
        units: i64,
        minutes: Option<i64>,
    },
    /// Burns of what was set aside so many steps before, if anything was.
    Capture {
        steps_back: usize,
        units: i64,
        is_last: bool,
    },
    /// Gives back what was set aside so many steps before, if anything was.
    Void {
        steps_back: usize,
    },
    Act {
        partner: usize,
        kind: usize,
        age_hours: i64,
    },
    Enrol {
        joins: Vec<usize>,
        leaves: Vec<usize>,
    },
    /// Issuer, hours until death if there is to be one, units.
    Load {
        lots: Vec<(usize, Option<i64>, i64)>,
    },
    Expire,
}

/// One step of a history.
#[derive(Clone, Debug)]
struct Step {
    account: usize,
    wait_minutes: i64,
    ask: Ask,
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let amount = prop_oneof![0..3_000_i64, Just(50), Just(250)];
    let line = (0..DEPARTMENTS.len(), 0..BRANDS.len(), amount, 0..4_i64);
    let age_hours = || prop_oneof![3 => 0..30_i64, 1 => 0..1_600_i64];
    let accrue = (0..PARTNERS.len(), age_hours(), prop::collection::vec(line, 1..5))
        .prop_map(|(partner, age_hours, lines)| Ask::Accrue { partner, age_hours, lines });
    let act = (0..PARTNERS.len(), 0..ACTIVITIES.len(), age_hours()).prop_map(|(partner, kind, age_hours)| Ask::Act {
        partner,
        kind,
        age_hours,
    });
    let enrol = prop::collection::vec(prop::option::weighted(0.6, any::<bool>()), SEGMENTS.len()).prop_map(|told| {
        let of = |wanted| told.iter().enumerate().filter(move |(_, told)| **told == Some(wanted)).map(|(at, _)| at);
        Ask::Enrol { joins: of(true).collect(), leaves: of(false).collect() }
    });
    let lot = (0..PARTNERS.len(), prop::option::of(-5..200_i64), 1..50_i64);
    let load = prop::collection::vec(lot, 1..4).prop_map(|mut lots| {
        lots.sort_unstable();
        lots.dedup_by_key(|(issuer, hours, _)| (*issuer, *hours));
        Ask::Load { lots }
    });
    prop_oneof![
        10 => accrue,
        4 => (1..12_usize, any_returned()).prop_map(|(steps_back, lines)| Ask::Reverse { steps_back, lines }),
        3 => prop_oneof![1..30_i64, 1..400_i64].prop_map(|units| Ask::Redeem { units }),
        4 => act,
        2 => enrol,
        1 => load,
        1 => Just(Ask::Expire),
        2 => (1..60_i64, prop::option::of(1..3_000_i64)).prop_map(|(units, minutes)| Ask::Authorize { units, minutes }),
        3 => (1..9_usize, 1..30_i64, prop::bool::weighted(0.3))
            .prop_map(|(steps_back, units, is_last)| Ask::Capture { steps_back, units, is_last }),
        1 => (1..9_usize).prop_map(|steps_back| Ask::Void { steps_back }),
    ]
}

/// Lines by their place, ascending, each with a number of which how many come back follows; or all that is left.
fn any_returned() -> impl Strategy<Value = Vec<(usize, i64)>> {
    let lines = prop::collection::btree_map(0..5_usize, prop_oneof![0..3_i64, 0..2_000_i64], 1..4);
    prop_oneof![1 => Just(Vec::new()), 2 => lines.prop_map(|lines| lines.into_iter().collect())]
}

fn any_step() -> impl Strategy<Value = Step> {
    let wait_minutes = prop_oneof![Just(0_i64), 0..120_i64, 0..2_000_i64];
    (0..ACCOUNTS.len(), wait_minutes, any_ask()).prop_map(|(account, wait_minutes, ask)| Step {
        account,
        wait_minutes,
        ask,
    })
}

/// Does a step on the ledger; `None` where there is nothing to ask about.
fn really(real: &mut Real, index: usize, step: &Step, now: TimestampNs) -> Option<Outcome> {
    let account = step.account;
    let before = |age_hours: i64| TimestampNs(now.0 - age_hours * NS_PER_HOUR);
    match &step.ask {
        Ask::Accrue { partner, age_hours, lines } => {
            Some(real.accrue(index, account, *partner, lines, before(*age_hours), now))
        }
        Ask::Reverse { steps_back, lines } => real.reverse(index.checked_sub(*steps_back)?, lines, now),
        Ask::Redeem { units } => Some(real.redeem(account, *units, now)),
        Ask::Authorize { units, minutes } => Some(real.authorize((index, account), *units, *minutes, now)),
        Ask::Capture { steps_back, units, is_last } => {
            real.end(index.checked_sub(*steps_back)?, Some((*units, *is_last)), now)
        }
        Ask::Void { steps_back } => real.end(index.checked_sub(*steps_back)?, None, now),
        Ask::Act { partner, kind, age_hours } => Some(real.act(account, *partner, *kind, before(*age_hours), now)),
        Ask::Enrol { joins, leaves } => Some(real.enrol(account, joins, leaves, now)),
        Ask::Load { lots } => Some(real.load(account, &dated(lots, now), now)),
        Ask::Expire => Some(real.expire(account, now)),
    }
}

/// What the step comes to.
fn naively(model: &mut Model<'_>, index: usize, step: &Step, now: TimestampNs) -> Option<Outcome> {
    let account = step.account;
    let before = |age_hours: i64| TimestampNs(now.0 - age_hours * NS_PER_HOUR);
    match &step.ask {
        Ask::Accrue { partner, age_hours, lines } => {
            Some(model.accrue(index, account, *partner, lines, before(*age_hours), now))
        }
        Ask::Reverse { steps_back, lines } => {
            let original = index.checked_sub(*steps_back)?;
            let bought = model.lines_of(original)?;
            let number = |line: usize, drawn| bought.get(line).map_or(1, |line| returns::number_of(*line, drawn));
            let lines: Vec<_> = lines.iter().map(|(line, drawn)| (*line, number(*line, *drawn))).collect();
            model.reverse(original, &lines, now)
        }
        Ask::Redeem { units } => Some(model.redeem(account, *units, now)),
        Ask::Authorize { units, minutes } => Some(model.authorize((index, account), *units, *minutes, now)),
        Ask::Capture { steps_back, units, is_last } => {
            model.end(index.checked_sub(*steps_back)?, Some((*units, *is_last)), now)
        }
        Ask::Void { steps_back } => model.end(index.checked_sub(*steps_back)?, None, now),
        Ask::Act { partner, kind, age_hours } => {
            Some(model.act(index, account, *partner, *kind, before(*age_hours), now))
        }
        Ask::Enrol { joins, leaves } => Some(model.enrol(account, joins, leaves)),
        Ask::Load { lots } => Some(model.load(account, &dated(lots, now), now)),
        Ask::Expire if !model.knows(account) => Some(Outcome::Refused(Refusal::AccountUnknown)),
        Ask::Expire => Some(Outcome::Moved { units: 0, balance: model.shown(account, now) }),
    }
}

/// Lots with the instants at which they die.
fn dated(lots: &[(usize, Option<i64>, i64)], now: TimestampNs) -> Vec<(usize, i64, i64)> {
    let dies = |hours: &Option<i64>| hours.map_or(i64::MAX, |hours| now.0 + hours * NS_PER_HOUR);
    lots.iter().map(|(issuer, hours, units)| (*issuer, dies(hours), *units)).collect()
}

/// The units of the model, lot by lot.
fn alive(model: &Model<'_>, account: usize, now: TimestampNs) -> Vec<Chunk> {
    let mut lots: Vec<Chunk> = Vec::new();
    let mut chunks: Vec<Chunk> = model.chunks.iter().filter(|chunk| chunk.account == account).copied().collect();
    chunks.sort_unstable();
    for chunk in chunks.into_iter().filter(|chunk| chunk.expires_at > now.0 && chunk.units > 0) {
        match lots.last_mut() {
            Some(lot) if (Chunk { units: chunk.units, ..*lot }) == chunk => lot.units += chunk.units,
            _ => lots.push(chunk),
        }
    }
    lots
}

/// Plays a history through both and compares every step.
fn compare(rules: &Rules, steps: &[Step]) {
    let (mut model, mut real) = (Model::new(rules), Real::new(rules));
    let mut now = NOON;
    for (index, step) in steps.iter().enumerate() {
        now = TimestampNs(now.0 + step.wait_minutes * 60 * NS_PER_SECOND);
        model.settle(now);
        let expected = naively(&mut model, index, step, now);
        let got = really(&mut real, index, step, now);
        assert_eq!(expected, got, "step {index}: {step:?}\n{rules:#?}");
        for account in 0..ACCOUNTS.len() {
            assert_eq!(alive(&model, account, now), real.chunks(account, now), "step {index}: {step:?}\n{rules:#?}");
            assert_eq!(model.asides_of(account), real.asides_of(account, now), "step {index}: {step:?}");
            let refused = model.refused_redemptions.iter().filter(|of| **of == account).count();
            let expected = (model.segments(account), i64::try_from(refused).expect("few"));
            assert_eq!(expected, real.profile(account), "step {index}: {step:?}");
        }
    }
    if rules.has_metric && rules.late_limit_days > 0 {
        let metric = real.program.metrics[0].symbol;
        // Counters of this year and the last are kept for as long as these histories last.
        let counters = real.state.accounts().flat_map(|account| account.counters);
        let is_own = |counter: &Counter| {
            let of_average = [OwnAverage::SPENT, OwnAverage::BASKETS].contains(&counter.period);
            counter.counter == metric && !of_average
        };
        let counted: i64 = counters.filter(is_own).map(|counter| counter.value).sum();
        assert!(counted <= model.eligible(), "a metric counts what stands");
    }
    for (index, (limit, _)) in rules.budgets.iter().enumerate() {
        let cell = CellId::whole(real.program.budgets[index].symbol);
        let used = real.cells.copy().get(&cell).map_or(0, |cell| cell.used);
        assert_eq!(used, model.drawn(index), "a cell is the sum of what stands");
        assert!(used <= *limit, "a budget is never exceeded");
    }
}

/// Without the places of rules and bonuses in the file.
fn essence(outcome: Option<Outcome>) -> Option<Outcome> {
    outcome.map(|outcome| match outcome {
        Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level, balance } => {
            let bonuses = vec![bonuses.len()];
            Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level, balance }
        }
        other => other,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_decides_as_the_naive_model(rules in any_rules(), steps in prop::collection::vec(any_step(), 1..60)) {
        compare(&rules, &steps);
    }

    #[test]
    fn the_order_of_rules_and_bonuses_in_the_file_changes_nothing(
        rules in any_rules(), mut steps in prop::collection::vec(any_step(), 1..30),
    ) {
        // Of rules that give the same, the first is on record; another threshold than its own is not asked for when parts
        // come back.
        let is_part = |ask: &Ask| matches!(ask, Ask::Reverse { lines, .. } if !lines.is_empty());
        steps.retain(|step| !is_part(&step.ask));
        let (mut one, mut other) = (Real::new(&rules), Real::new(&rules.turned()));
        let mut now = NOON;
        for (index, step) in steps.iter().enumerate() {
            now = TimestampNs(now.0 + step.wait_minutes * 60 * NS_PER_SECOND);
            let outcomes = [&mut one, &mut other].map(|real| essence(really(real, index, step, now)));
            prop_assert_eq!(&outcomes[0], &outcomes[1], "step {}: {:?}\n{:#?}", index, step, rules);
        }
    }
}

fn plain() -> Rules {
    Rules {
        zone: "UTC",
        units: 1,
        per_minor: 100,
        rounding: "floor",
        per_line: false,
        excluded_department: None,
        lines: vec![],
        caps: vec![CapWords {
            counts: Counts::Units,
            whose: Whose::Account,
            window: CalendarWindow::Day,
            rolling: 1,
            limit: 20,
            declines: false,
        }],
        has_metric: true,
        tiers: vec![],
        bonuses: vec![],
        cards: vec![],
        lives: Lives::Ever,
        pending_days: 0,
        budgets: vec![(25, true)],
        when_spent: "refuse",
        balance_max: 1_000,
        late_limit_days: 30,
    }
}

/// What a person would say, so that the model is not only compared with what it is to judge.
#[test]
fn the_model_knows_what_a_person_would_say() {
    let rules = plain();
    let mut model = Model::new(&rules);
    assert_eq!(model.local(NOON).date(), jiff::civil::date(2017, 3, 1));
    let expected = |earned, granted, clips, balance| {
        let (over_velocity, bonuses, level) = (false, vec![], None);
        Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level, balance }
    };
    assert_eq!(model.accrue(0, 0, 0, &[(0, 0, 1_599, 1)], NOON, NOON), expected(15, 15, vec![], 15));
    assert_eq!(model.accrue(1, 0, 0, &[(0, 0, 900, 1)], NOON, NOON), expected(9, 5, vec![4], 20));

    let bonus = BonusRule {
        activity: None,
        units: 7,
        limit: Some((CalendarWindow::Lifetime, 1)),
        places: None,
        when: When::default(),
    };
    let rules = Rules {
        lives: Lives::Days(1),
        tiers: vec![(1_000, 20_000)],
        bonuses: vec![bonus],
        caps: vec![],
        budgets: vec![],
        ..plain()
    };
    let mut model = Model::new(&rules);
    let expected = |earned, bonuses, level, balance| {
        let (granted, over_velocity, clips) = (earned, false, vec![]);
        Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level: Some(level), balance }
    };
    assert_eq!(model.accrue(0, 0, 0, &[(0, 0, 1_000, 1)], NOON, NOON), expected(17, vec![0], (0, 1_000), 17));
    assert_eq!(model.accrue(1, 0, 0, &[(0, 0, 300, 1)], NOON, NOON), expected(6, vec![], (1, 1_300), 23));
    // Units of 1 March live through 2 March.
    let last = TimestampNs(NOON.0 + NS_PER_DAY + 12 * NS_PER_HOUR - 1);
    assert_eq!(model.balance(0, last), 23);
    assert_eq!(model.redeem(0, 24, last), Outcome::Refused(Refusal::InsufficientBalance));
    assert_eq!(model.redeem(0, 3, last), Outcome::Moved { units: -3, balance: 20 });
    assert_eq!(model.balance(0, TimestampNs(last.0 + 1)), 0);
}

/// The same of what came to the language later: pending units, a death that is put off, what is carried, places, and a
/// cap of a store.
#[test]
fn the_model_knows_what_a_person_would_say_of_terms_and_of_what_is_shared() {
    let bonus = BonusRule { activity: Some(0), units: 7, limit: None, places: Some(1), when: When::default() };
    let rules = Rules {
        rounding: "carry",
        lives: Lives::SinceLast(2),
        pending_days: 1,
        bonuses: vec![bonus],
        caps: vec![CapWords { whose: Whose::Store, ..plain().caps[0] }],
        budgets: vec![],
        ..plain()
    };
    let mut model = Model::new(&rules);
    let units = |outcome: Outcome| match outcome {
        Outcome::Granted { granted, .. } => granted,
        other => panic!("{other:?}"),
    };
    // 10.50 leaves a half, for the next basket of the same account.
    assert_eq!(units(model.accrue(0, 0, 0, &[(0, 0, 1_050, 1)], NOON, NOON)), 10);
    assert_eq!(units(model.accrue(1, 1, 0, &[(0, 0, 50, 1)], NOON, NOON)), 0);
    assert_eq!(units(model.accrue(2, 0, 0, &[(0, 0, 50, 1)], NOON, NOON)), 1);
    // The store has 20 a day for all, another store has its own.
    assert_eq!(units(model.accrue(3, 1, 0, &[(0, 0, 2_000, 1)], NOON, NOON)), 9);
    assert_eq!(units(model.accrue(4, 1, 0, &[(0, 0, 1_000, 1), (0, 0, 0, 1)], NOON, NOON)), 10);
    assert_eq!([0, 1].map(|account| units(model.act(5, account, 0, 0, NOON, NOON))), [7, 0], "one place");
    // Units of 1 March can be spent from 3 March on, and live through that day, or through two more after the last visit.
    let at = |days: i64| TimestampNs(NOON.0 + days * NS_PER_DAY);
    assert_eq!((model.spendable(0, at(1)), model.balance(0, at(1))), (0, 18));
    assert_eq!(model.redeem(0, 1, at(1)), Outcome::Refused(Refusal::InsufficientBalance));
    assert_eq!(units(model.act(6, 0, 0, 0, at(1), at(1))), 0);
    assert_eq!((model.spendable(0, at(2)), model.balance(0, at(3)), model.balance(0, at(4))), (18, 18, 0));
    assert_eq!(model.balance(1, at(3)), 0, "nobody kept these alive");
}
