//! How long it takes to be told that there is nothing: of every call that hides what is another's, what is hidden takes as
//! long as what does not exist. On the store that servers have, with accounts that have a lot in them.
//!
//! The two are asked for in turn, each first as often as the other, so that whatever else the machine does is shared. What is
//! judged is in how many of the pairs the hidden one took longer, which noise does not shift however large it is, and how
//! far the middles lie apart; and only what is seen three times running is found.

use std::collections::BTreeSet;
use std::sync::Arc;

use tallystick::clock::{Clock, SystemClock};
use tallystick::store::rocks::{RocksOptions, RocksStore};

use crate::generated::{Case, Cell, Contract, Trial, keys};
use crate::support::config;
use crate::world::{Names, World};

const PAIRS: usize = 120;
/// With nothing between the two, so far from a half lies one round in a billion.
const SHARE_OFF_MAX: f64 = 0.28;
/// Middles that lie closer together than this tell nothing over a network.
const RATIO_MAX: f64 = 1.15;
const ROUNDS: usize = 3;

/// What was measured of one call.
#[derive(Debug)]
struct Measured {
    /// In this share of the pairs the hidden one took longer.
    hidden_longer: f64,
    hidden_ns: i64,
    absent_ns: i64,
}

impl Measured {
    fn of(pairs: &[[i64; 2]]) -> Self {
        let longer = pairs.iter().filter(|[hidden, absent]| hidden > absent).count();
        let equal = pairs.iter().filter(|[hidden, absent]| hidden == absent).count();
        let middle = |kind: usize| {
            let mut all: Vec<i64> = pairs.iter().map(|pair| pair[kind]).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        let hidden_longer = (longer as f64 + equal as f64 / 2.0) / pairs.len() as f64;
        Self { hidden_longer, hidden_ns: middle(0), absent_ns: middle(1) }
    }

    /// 0 where nothing can be told, otherwise the direction.
    fn tells(&self) -> i8 {
        let ratio = self.hidden_ns as f64 / self.absent_ns as f64;
        match self.hidden_longer - 0.5 {
            off if off > SHARE_OFF_MAX && ratio > RATIO_MAX => 1,
            off if off < -SHARE_OFF_MAX && ratio < 1.0 / RATIO_MAX => -1,
            _ => 0,
        }
    }
}

#[test]
fn a_difference_that_is_there_is_found_and_noise_is_not() {
    let mut state = 7_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Mostly small, now and then very large.
        i64::try_from(state % 40_000 + if state.is_multiple_of(50) { 3_000_000 } else { 0 }).unwrap()
    };
    let mut measured = |more: i64| {
        let pairs: Vec<_> = (0..PAIRS).map(|_| [100_000 + more + noise(), 100_000 + noise()]).collect();
        Measured::of(&pairs).tells()
    };
    assert_eq!([measured(0), measured(30_000), measured(-30_000)], [0, 1, -1]);
}

struct Stopwatch<'t> {
    trial: Trial<'t>,
    clock: SystemClock,
}

impl Stopwatch<'_> {
    async fn time(&self, case: &Case<'_>, key: &str, names: &Names) -> i64 {
        let message = case.request(names);
        let began = self.clock.monotonic_ns();
        // What is told is the other test's matter.
        drop(self.trial.world.tell(case.method, key, message).await);
        self.clock.monotonic_ns() - began
    }

    async fn round(&self, case: &Case<'_>, cell: &Cell, key: &str) -> Measured {
        let world = self.trial.world;
        let mut hidden = world.make(case.row.of, cell.whose).await;
        world.fill(&hidden).await;
        let mut pairs = Vec::with_capacity(PAIRS);
        for number in 0..PAIRS + 4 {
            hidden.fresh = world.fresh();
            let absent = hidden.without(case.row.of, world.fresh());
            let mut pair = [0; 2];
            for kind in if number % 2 == 0 { [0, 1] } else { [1, 0] } {
                pair[kind] = self.time(case, key, [&hidden, &absent][kind]).await;
            }
            pairs.push(pair);
        }
        // The first are slow for reasons of their own.
        Measured::of(&pairs[4..])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_see_takes_as_long_as_what_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path(), &RocksOptions::default()).unwrap();
    let (world, contract) = (World::open_on(Arc::new(store), config()).await, Contract::read());
    let keys = keys(&world).await;
    let watch = Stopwatch { trial: Trial { world: &world, contract: &contract }, clock: SystemClock::new() };
    let (mut timed, mut told) = (0, Vec::new());
    // What is in a batch or on a stream goes the way of what comes alone.
    for case in contract.cases().iter().filter(|case| case.method == case.of) {
        let mut seen = BTreeSet::new();
        for cell in case.cells().iter().filter(|cell| matches!(cell.letter, '?' | '0')) {
            // Roles are judged before anything is looked for.
            if !seen.insert((cell.caller, cell.whose)) {
                continue;
            }
            timed += 1;
            let mut rounds = Vec::new();
            while rounds.len() < ROUNDS {
                rounds.push(watch.round(case, cell, &keys[&(cell.role, cell.caller)]).await);
                if rounds.last().is_some_and(|last: &Measured| last.tells() == 0) {
                    break;
                }
            }
            let directions: BTreeSet<i8> = rounds.iter().map(Measured::tells).collect();
            let what = format!("{} of {:?} by {:?} about {:?}", case.method, case.row.of, cell.caller, cell.whose);
            println!("{what}: {:?}", rounds.last());
            if directions.len() == 1 && !directions.contains(&0) {
                told.push(format!("{what}: {rounds:?}"));
            }
        }
        world.clear().await;
    }
    world.house.close().await;
    assert!(timed > 50, "{timed} kinds of calls hide something");
    assert!(told.is_empty(), "the time tells what is hidden:\n{}", told.join("\n"));
}
