//! Whatever the parts in which a basket comes back, together they are the basket; and with nothing in between the account
//! and the cells are as if it had never been bought.
//!
//! What must stay true: what is compared is all that decisions depend on, as a digest; lifetime totals, which only grow,
//! the day of the last basket, on which the member was there, and until when a counter is kept, are not.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tallystick::ledger::account::{Account, Profile, Totals};
use tallystick::ledger::digest::{Digest, shard_digest};
use tallystick::ledger::state::ShardState;
use tallystick::ledger::types::{AccountNumber, CellId, Day, Seq, ShardId, TimestampNs};

use crate::model::{LineWords, Outcome};
use crate::real::Real;
use crate::rules::{ACCOUNTS, Lives, Rules, any_rules};
use crate::support::{NOON, NS_PER_SECOND};
use crate::{Step, any_returned, any_step, really};

/// All of an account that a decision can depend on.
fn digest_of(real: &Real, account: usize) -> Digest {
    let found = real.state.find(ACCOUNTS[account]).and_then(|number| real.state.account(number));
    let mut found = found.unwrap_or_default();
    found.counters.iter_mut().for_each(|counter| counter.retain_until = Day(0));
    let mut profile = found.profile.clone();
    if let Some(profile) = profile.as_deref_mut() {
        profile.last_basket_on = None;
    }
    let bare = Account {
        id: ACCOUNTS[account].to_owned(),
        seq: Seq(1),
        opened_at: NOON,
        totals: Totals::default(),
        wallets: Vec::new(),
        profile: profile.filter(|profile| **profile != Profile::default()),
        ..found
    };
    let mut state = ShardState::new(ShardId(0));
    state.place(AccountNumber(0), &bare);
    shard_digest(&state)
}

/// What is taken of every cell.
fn used(real: &Real) -> BTreeMap<CellId, i64> {
    let cells = real.cells.copy().into_iter().map(|(id, cell)| (id, cell.used));
    cells.filter(|(_, used)| *used != 0).collect()
}

/// How often a case was worth something.
#[derive(Default)]
struct Seen {
    in_parts: Cell<u32>,
    clipped: Cell<u32>,
    denied: Cell<u32>,
    with_bonuses: Cell<u32>,
}

fn count(counter: &Cell<u32>, is_so: bool) {
    counter.set(counter.get() + u32::from(is_so));
}

struct Case {
    rules: Rules,
    before: Vec<Step>,
    account: usize,
    lines: Vec<LineWords>,
    parts: Vec<Vec<(usize, i64)>>,
}

fn play(case: &Case, seen: &Seen) -> Result<(), TestCaseError> {
    let Case { rules, before, account, lines, parts } = case;
    let mut real = Real::new(rules);
    let mut now = NOON;
    for (index, step) in before.iter().enumerate() {
        now = TimestampNs(now.0 + step.wait_minutes * 60 * NS_PER_SECOND);
        really(&mut real, index, step, now);
    }
    // What has died and what is forgotten by now is posted with any record.
    let _ = real.expire(*account, now);
    let (state, cells) = (digest_of(&real, *account), used(&real));
    if real.owes(*account) {
        // What is collected of a grant comes back as a debt, or out of units that the account was given meanwhile.
        return Ok(());
    }
    let bought = real.accrue(before.len(), *account, 0, lines, now, now);
    let Outcome::Granted { granted, over_velocity, clips, bonuses, .. } = bought else { return Ok(()) };
    let mut taken = Vec::new();
    let mut left = real.left_of(before.len());
    for part in parts.iter().filter(|part| !part.is_empty()) {
        match real.reverse(before.len(), part, now) {
            Some(Outcome::Moved { units, .. }) => {
                prop_assert!(units <= 0, "a part grants nothing");
                taken.push(-units);
                let after = real.left_of(before.len());
                prop_assert!(after.is_empty() || after.iter().zip(&left).all(|(after, before)| after <= before));
                left = after;
            }
            // There is no such line, or not so much of it.
            Some(Outcome::Refused(_)) => prop_assert_eq!(&real.left_of(before.len()), &left),
            None => break,
            Some(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }
    if let Some(rest) = real.reverse(before.len(), &[], now) {
        let Outcome::Moved { units, .. } = rest else { return Err(TestCaseError::fail(format!("{rest:?}"))) };
        taken.push(-units);
    }
    prop_assert_eq!(taken.iter().sum::<i64>(), granted, "{:?}\n{:#?}", &taken, rules);
    prop_assert_eq!(digest_of(&real, *account), state, "the account is as it was\n{:#?}", rules);
    prop_assert_eq!(used(&real), cells, "the cells are as they were\n{:#?}", rules);
    prop_assert_eq!(real.reverse(before.len(), &[], now), None, "nothing is left");
    let in_parts = taken.len() > 1;
    count(&seen.in_parts, in_parts && taken.iter().filter(|units| **units > 0).count() > 1);
    count(&seen.clipped, in_parts && !clips.is_empty());
    count(&seen.denied, in_parts && over_velocity);
    count(&seen.with_bonuses, in_parts && !bonuses.is_empty());
    Ok(())
}

#[test]
fn parts_are_the_whole_and_leave_nothing_behind() {
    const CASES: u32 = 3_000;
    let line = (0..3_usize, 0..3_usize, 0..4_000_i64, 0..5_i64);
    let strategy = (
        any_rules(),
        prop::collection::vec(any_step(), 0..8),
        0..ACCOUNTS.len(),
        prop::collection::vec(line, 1..5),
        prop::collection::vec(any_returned(), 0..8),
    );
    let seen = Seen::default();
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&strategy, |(mut rules, before, account, lines, parts)| {
        // A visit puts death off, and that the member was there is not taken back.
        if let Lives::SinceLast(days) = rules.lives {
            rules.lives = Lives::Days(days);
        }
        play(&Case { rules, before, account, lines, parts }, &seen)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let Seen { in_parts, clipped, denied, with_bonuses } = seen;
    let counts = [in_parts, clipped, denied, with_bonuses].map(|count| count.get());
    println!("in parts, clipped, denied, with bonuses: {counts:?}");
    assert!(counts.iter().all(|count| count * 100 >= CASES), "each is reached in one of a hundred cases: {counts:?}");
}
