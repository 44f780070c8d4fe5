//! A basket or an activity that is presented late gets what it would have got in time, where nothing that was decided in
//! between touched what it is judged by.
//!
//! What must stay true: *touched* is said exactly, by [`Reads`]. Both sides are generated, and counted, so that the property
//! says something: many late baskets come behind decisions on the same account and are not touched, and of those that are
//! touched some get something else.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tallystick::ledger::decision::{Decision, Refusal};
use tallystick::ledger::program::{Conditions, OwnAverage, Periods, Rounding};
use tallystick::ledger::types::{CellId, SymbolId, TimestampNs};

use crate::model::{LineWords, Outcome};
use crate::real::Real;
use crate::rules::{Rules, any_rules};
use crate::support::{NOON, NS_PER_SECOND};
use crate::{Step, any_step, really};

/// What an event is judged by beside itself: it is touched by a decision that changes any of it.
struct Reads {
    account: usize,
    /// The account's counters in the windows of the event, and in those that are bounded together with it: of its caps, of
    /// bonuses that have a limit, of the ladder, and of the account's average.
    counters: BTreeSet<(SymbolId, i32)>,
    /// How many baskets the account has had.
    basket_number: bool,
    /// The day of the account's last basket.
    last_basket: bool,
    /// The account's segments.
    segments: bool,
    /// What rounding left over.
    remainder: bool,
    /// Budgets in force at the posting, places and shared caps, which other accounts draw on as well.
    cells: BTreeSet<CellId>,
}

impl Reads {
    fn of(real: &mut Real, account: usize, event: &Event, at: TimestampNs, now: TimestampNs) -> Self {
        let (partner, kind) = match event {
            Event::Basket(partner, lines) => (*partner, real.basket(0, lines, at)),
            Event::Activity(partner, kind) => (*partner, real.activity(*kind, at)),
        };
        let cells = real.cells_of(partner, kind, now);
        let program = &real.program;
        let periods = Periods::at(&program.zone, at);
        let caps = program.caps.iter().flat_map(|cap| {
            let around = 1 - i32::from(cap.rolling)..i32::from(cap.rolling);
            around.map(move |ahead| (cap.symbol, periods.of(cap.window) + ahead * cap.window.step()))
        });
        let limited = program.bonuses.iter().filter_map(|bonus| Some((bonus.symbol, periods.of(bonus.limit?.0))));
        let climbed = program.tiers.iter().map(|ladder| (ladder.metric, periods.of(ladder.window)));
        let cards = program.stamps.iter().flat_map(|card| {
            let period = periods.of(card.window);
            [(card.symbol, period), (card.given, period)]
        });
        let of_rules = program.lines.rules.iter().filter_map(|rule| rule.when.as_deref());
        let conditions: Vec<&Conditions> = of_rules.chain(program.bonuses.iter().map(|bonus| &bonus.when)).collect();
        let of_cards = program.stamps.iter().map(|card| &card.when);
        let conditions: Vec<&Conditions> = conditions.into_iter().chain(of_cards).collect();
        let averaged = conditions.iter().filter_map(|when| Some(when.own_average?.metric));
        let averaged =
            averaged.flat_map(|metric| [OwnAverage::SPENT, OwnAverage::BASKETS].map(|period| (metric, period)));
        Self {
            account,
            counters: caps.chain(limited).chain(climbed).chain(averaged).chain(cards).collect(),
            basket_number: conditions.iter().any(|when| when.every_nth_basket > 0),
            last_basket: program.keeps_last_basket,
            segments: conditions.iter().any(|when| !when.segments.is_empty() || !when.not_segments.is_empty()),
            remainder: program.earn.rounding == Rounding::Carry,
            cells,
        }
    }

    fn are_touched_by(&self, decision: &Decision, account: usize) -> bool {
        if decision.refusal().is_some() {
            return false;
        }
        let effects = &decision.effects;
        let counts = effects.counters.iter().any(|change| self.counters.contains(&(change.counter, change.period)));
        let moves = (self.basket_number && effects.totals.baskets != 0)
            || (self.last_basket && effects.last_basket_on.is_some())
            || (self.segments && !effects.segments.is_empty())
            || (self.remainder && effects.remainder.is_some())
            || counts;
        let draws = decision.cells.iter().any(|taken| taken.used != 0 && self.cells.contains(&taken.cell));
        draws || (account == self.account && moves)
    }
}

/// What is presented in time and late.
#[derive(Clone, Debug)]
enum Event {
    Basket(usize, Vec<LineWords>),
    Activity(usize, usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    let line = (0..3_usize, 0..3_usize, 0..4_000_i64, 0..4_i64);
    prop_oneof![
        3 => (0..2_usize, prop::collection::vec(line, 1..4)).prop_map(|(partner, lines)| Event::Basket(partner, lines)),
        1 => (0..2_usize, 0..2_usize).prop_map(|(partner, kind)| Event::Activity(partner, kind)),
    ]
}

fn present(real: &mut Real, index: usize, account: usize, event: &Event, at: TimestampNs, now: TimestampNs) -> Outcome {
    match event {
        Event::Basket(partner, lines) => real.accrue(index, account, *partner, lines, at, now),
        Event::Activity(partner, kind) => real.act(account, *partner, *kind, at, now),
    }
}

/// Without the balance, which later movements change.
fn units_of(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level, .. } => {
            Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level, balance: 0 }
        }
        other => other,
    }
}

/// What a case came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The wallet could not hold it on one of both occasions.
    NoRoom,
    /// Nothing happened to the account in between, and no budget was drawn on.
    Trivial,
    /// Something happened to the account, but touched nothing that the event is judged by.
    Untouched,
    /// Touched, and the same all the same.
    TouchedTheSame,
    /// Touched, and so it got something else.
    TouchedOther,
}

fn play(rules: &Rules, before: &[Step], account: usize, event: &Event, later: &[Step]) -> Result<Found, TestCaseError> {
    let (mut in_time, mut late) = (Real::new(rules), Real::new(rules));
    let mut now = NOON;
    let pass = |now: TimestampNs, step: &Step| TimestampNs(now.0 + step.wait_minutes * 60 * NS_PER_SECOND);
    for (index, step) in before.iter().enumerate() {
        now = pass(now, step);
        let _ = (really(&mut in_time, index, step, now), really(&mut late, index, step, now));
    }
    let (at, index) = (now, before.len());
    let expected = present(&mut in_time, index, account, event, at, now);
    let reads = Reads::of(&mut late, account, event, at, now);
    let (mut is_touched, mut is_concerned) = (false, false);
    for (step, index) in later.iter().zip(index + 1..) {
        now = pass(now, step);
        if really(&mut late, index, step, now).is_none() {
            continue;
        }
        let (decision, of) = late.decided();
        is_concerned |= of == account;
        is_touched |= reads.are_touched_by(decision, of);
    }
    is_touched |= reads.cells != Reads::of(&mut late, account, event, at, now).cells;
    let got = present(&mut late, index + 1 + later.len(), account, event, at, now);
    let no_room = Outcome::Refused(Refusal::BalanceLimitExceeded);
    if expected == no_room || got == no_room {
        return Ok(Found::NoRoom);
    }
    let (expected, got) = (units_of(expected), units_of(got));
    if is_touched {
        return Ok(if expected == got { Found::TouchedTheSame } else { Found::TouchedOther });
    }
    prop_assert_eq!(expected, got, "{:?} late\n{:#?}", event, rules);
    Ok(if is_concerned { Found::Untouched } else { Found::Trivial })
}

#[test]
fn what_is_late_gets_what_it_would_have_got_in_time_where_nothing_touched_it() {
    const CASES: u32 = 2_000;
    let steps = |count| prop::collection::vec(any_step(), 0..count);
    let strategy = (any_rules(), steps(8), 0..3_usize, any_event(), steps(6));
    let counts: [Cell<u32>; 5] = Default::default();
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&strategy, |(mut rules, before, account, event, later)| {
        // Late, but never too late: six steps are nine days at most.
        rules.late_limit_days = 30;
        let found = play(&rules, &before, account, &event, &later)?;
        let all = [Found::NoRoom, Found::Trivial, Found::Untouched, Found::TouchedTheSame, Found::TouchedOther];
        let place = all.iter().position(|one| *one == found).expect("it is one of them");
        counts[place].set(counts[place].get() + 1);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let counts = counts.map(|count| count.get());
    println!("no room, trivial, untouched, touched and the same, touched and other: {counts:?}");
    let [_, _, untouched, same, other] = counts;
    assert!(untouched * 100 >= CASES * 10, "{counts:?}");
    assert!(same > 0 && other * 100 >= CASES * 5, "{counts:?}");
}
