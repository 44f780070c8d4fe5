//! Whatever the pieces in which burned units come back, together they are what was burned; and with nothing in between the
//! account, its totals and the partners' side are as if nothing had been burned.
//!
//! What must stay true: what is compared is the whole state of the shard, as a digest, but for the numbers of records.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tallystick::ledger::account::Account;
use tallystick::ledger::command::{CommandKind, Unburn};
use tallystick::ledger::decision::{LotKey, Movement};
use tallystick::ledger::digest::{Digest, shard_digest};
use tallystick::ledger::partner::{BurnAccount, PartnerAccount};
use tallystick::ledger::state::ShardState;
use tallystick::ledger::types::{Position, Seq, ShardId, TimestampNs, Units};

use crate::model::Outcome;
use crate::real::Real;
use crate::rules::{ACCOUNTS, Lives, Rules, any_rules};
use crate::support::{NOON, NS_PER_SECOND};
use crate::{Step, any_step, really};

/// All of the shard but the numbers of records. What is zero is as if it had never been.
fn digest_of(real: &Real) -> Digest {
    let mut state = ShardState::new(ShardId(0));
    for (account, number) in real.state.accounts().zip(0..) {
        let account = Account { seq: Seq(1), position: None, ..account };
        state.place(tallystick::ledger::types::AccountNumber(number), &account);
    }
    for ((issuer, wallet), account) in real.state.partners.issuers() {
        state.partners.place_issuer(*issuer, *wallet, PartnerAccount { seq: Seq(1), ..*account });
    }
    for (key, account) in real.state.partners.burns().filter(|(_, account)| account.units != 0) {
        state.partners.place_burn(*key, BurnAccount { seq: Seq(1), ..*account });
    }
    shard_digest(&state)
}

/// What a decision burned, by lot.
fn burned(real: &Real) -> Vec<(LotKey, Units)> {
    let lots = real.decided().0.effects.lots.iter().filter(|lot| lot.movement == Movement::Burn);
    lots.map(|lot| (lot.key, -lot.delta)).collect()
}

/// How often a case was worth something.
#[derive(Default)]
struct Seen {
    in_pieces: Cell<u32>,
    of_several_lots: Cell<u32>,
    of_captures: Cell<u32>,
    of_several_issuers: Cell<u32>,
}

struct Case {
    rules: Rules,
    before: Vec<Step>,
    account: usize,
    /// Lots that the account has besides: whose, for how many hours, how many units.
    lots: BTreeMap<(usize, i64), i64>,
    per_mille: i64,
    captures: bool,
    pieces: Vec<i64>,
}

fn play(case: &Case, seen: &Seen) -> Result<(), TestCaseError> {
    let Case { rules, before, account, lots, per_mille, captures, pieces } = case;
    let mut real = Real::new(rules);
    let mut now = NOON;
    for (index, step) in before.iter().enumerate() {
        now = TimestampNs(now.0 + step.wait_minutes * 60 * NS_PER_SECOND);
        really(&mut real, index, step, now);
    }
    let dated =
        |((issuer, hours), units): (&(usize, i64), &i64)| (*issuer, now.0 + hours * 3_600 * NS_PER_SECOND, *units);
    let dated: Vec<_> = lots.iter().map(dated).collect();
    let _ = real.load(*account, &dated, now);
    // What has died and what has run out by now is posted with any record.
    let _ = real.expire(*account, now);
    let held = real.state.find(ACCOUNTS[*account]).and_then(|number| real.state.account(number));
    let available = held.map_or(0, |held| held.available(tallystick::ledger::types::WalletId(0), now));
    let units = available * per_mille / 1_000;
    if units == 0 {
        return Ok(());
    }
    let state = digest_of(&real);
    let balance = real.decided().0.balance_after;
    if *captures {
        let set_aside = real.authorize((before.len(), *account), units, None, now);
        if matches!(set_aside, Outcome::Refused(_)) {
            return Ok(());
        }
        real.end(before.len(), Some((units, true)), now);
    } else {
        real.redeem(*account, units, now);
    }
    let burned = burned(&real);
    prop_assert_eq!(burned.iter().map(|(_, units)| units).sum::<i64>(), units);
    let redemption_rate_bps = real.decided().0.effects.redemption_rate_bps;
    let (mut returned, mut count_of_pieces) = (0, 0);
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(i64::MAX));
    while returned < units {
        let piece = sizes.next().expect("it never ends").min(units - returned);
        let unburn = Unburn {
            original_transaction_id: "burn".into(),
            original_position: Position(7),
            earlier: (returned > 0).then_some((Position(8), returned)),
            lots: Unburn::piece(&burned, returned, piece),
            redemption_rate_bps,
            reward: None,
            is_rest: false,
            is_last: returned + piece == units,
        };
        prop_assert_eq!(unburn.units(), piece);
        real.run_as("piece", *account, now, real.partners[1], CommandKind::Unburn(unburn));
        let granted = real.decided().0.granted;
        prop_assert_eq!((real.decided().0.refusal(), granted), (None, piece));
        (returned, count_of_pieces) = (returned + piece, count_of_pieces + 1);
        let accounts = real.state.accounts().collect::<Vec<_>>();
        for totals in accounts.iter().flat_map(|account| &account.wallets) {
            prop_assert!(totals.redeemed >= 0, "no more comes back than was burned: {:?}", totals);
        }
    }
    prop_assert_eq!(real.decided().0.balance_after, balance, "all units are there again");
    prop_assert_eq!(digest_of(&real), state, "all is as it was\n{:#?}", rules);
    let count = |counter: &Cell<u32>, is_so: bool| counter.set(counter.get() + u32::from(is_so));
    count(&seen.in_pieces, count_of_pieces > 1);
    count(&seen.of_several_lots, count_of_pieces > 1 && burned.len() > 1);
    count(&seen.of_captures, *captures);
    count(&seen.of_several_issuers, burned.iter().any(|(key, _)| key.issuer != burned[0].0.issuer));
    Ok(())
}

#[test]
fn pieces_are_the_whole_and_leave_nothing_behind() {
    const CASES: u32 = 2_000;
    let strategy = (
        any_rules(),
        prop::collection::vec(any_step(), 0..12),
        0..ACCOUNTS.len(),
        prop::collection::btree_map((0..2_usize, 1..100_i64), 1..60_i64, 1..5),
        1..=1_000_i64,
        any::<bool>(),
        prop::collection::vec(1..60_i64, 0..6),
    );
    let seen = Seen::default();
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let outcome =
        TestRunner::new(config).run(&strategy, |(mut rules, before, account, lots, per_mille, captures, pieces)| {
            // Spending puts death off, and that the member was there is not taken back.
            if let Lives::SinceLast(days) = rules.lives {
                rules.lives = Lives::Days(days);
            }
            play(&Case { rules, before, account, lots, per_mille, captures, pieces }, &seen)
        });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let Seen { in_pieces, of_several_lots, of_captures, of_several_issuers } = seen;
    let counts = [in_pieces, of_several_lots, of_captures, of_several_issuers].map(|count| count.get());
    println!("in pieces, of several lots, of captures, of several issuers: {counts:?}");
    assert!(counts.iter().all(|count| count * 10 >= CASES), "each is reached in one of ten cases: {counts:?}");
}
