//! The simulator passes on the ledger as it is, shows the same twice, and finds each of the deliberately broken
//! variants of the write path.
//!
//! The variants are compiled with a feature of their own:
//! `cargo test --release --no-default-features --features broken-variants --test simulation`

use tallystick::ledger::decision::Refusal;
use tallystick::sim::{SimOptions, run};

#[test]
fn ten_seeds_pass() {
    for seed in 1..=10 {
        let report = run(seed, &SimOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.step_count >= 20_000, "{report:?}");
        assert!(report.crash_count >= 3, "{report:?}");
    }
}

#[test]
fn a_seed_shows_the_same_again() {
    for seed in [3, 4] {
        let once = run(seed, &SimOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
        let again = run(seed, &SimOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(once, again);
    }
}

#[test]
fn what_the_simulation_is_meant_to_reach_is_reached() {
    let mut reached = std::collections::BTreeMap::new();
    let mut counts = [0; 3];
    for seed in 1..=100 {
        let report = run(seed, &SimOptions::default()).unwrap_or_else(|failure| panic!("{failure}"));
        let of_seed = [report.snapshot_start_count, report.disk_fault_count, report.failed_start_count];
        counts.iter_mut().zip(of_seed).for_each(|(sum, count)| *sum += count);
        for (what, count) in report.reached {
            *reached.entry(what).or_insert(0) += count;
        }
    }
    let situations = [
        "a basket left something over",
        "a budget clipped",
        "a call waited for a claim",
        "a basket earned a bonus",
        "a cap clipped",
        "a cap declined what it could have clipped",
        "a cap of the whole programme struck",
        "a cap on amounts struck",
        "a cashier's cap struck",
        "a late receipt was judged by an earlier version",
        "a level was kept that was not reached again",
        "a partner's cap struck",
        "a receipt came later than the version in force lets in",
        "a redemption was refused for what is pending",
        "a refusal had looked into shared cells",
        "a return found units dead",
        "a return found units dead, and took others",
        "a reversal took units whose death was put off",
        "a rolling cap struck",
        "a store's cap struck",
        "a till's cap struck",
        "a place was free again",
        "a place was taken",
        "a shared cap clipped",
        "a command posted what had died",
        "a commit had several frames",
        "a commit of unknown outcome had survived",
        "a level above the first judged",
        "a receipt earned again after a reversal",
        "a redemption burned several lots",
        "a refusal was journaled",
        "a reversal took from other lots",
        "a reversal took nothing for what had died",
        "a start found ids on the disk",
        "a sweep posted what had died",
        "a velocity cap struck",
        "an account left a segment",
        "all places were taken",
        "an accrual was reversed",
        "an account was in a variant",
        "an activity earned a bonus",
        "an answer was lost",
        "an opening balance was loaded",
        "pending units were granted",
        "a proposal was confirmed",
        "something was frozen",
        "something was thawed",
        "rules went together on a line",
        "the death of units was put off",
        "a purchase earned or was judged",
        "units were redeemed",
        "an activity was judged",
        "an account was enrolled",
        "held units were released",
        "held units were rejected",
        "dead units came back",
        "an operator granted units",
        "an operator took units",
        "an identifier was linked",
        "an identifier was unlinked",
        "an account was named by an identifier",
        "an activity was held",
        "a basket was held",
        "a reversal ended a hold",
        "what was released was reversed",
        "a release came when the units had died",
        "a line was returned",
        "everything came back in pieces",
        "a basket was returned in part",
        "a clipped basket was returned in part",
        "a denied basket was returned in part",
        "what was carried came back",
        "a return left a debt",
        "a debt was collected",
        "a balance below zero was shown",
        "a rule's cap of an account struck",
        "a rule's cap of a member struck",
        "a rule's cap of a store struck",
        "a rule's cap of the whole programme struck",
        "a rule did not count for its cap",
        "a rule's cap clipped",
        "a budget in all clipped",
        "a budget of a window clipped",
        "a rolling budget clipped",
        "a shared cap saw other windows",
        "a rule or budget saw other windows",
        "an account's cap struck",
        "a member's cap struck",
        "a rolling cap of members struck",
        "a rolling cap of a store struck",
        "a rolling cap of a till struck",
        "a rolling cap of a partner struck",
        "a rolling cap of the whole programme struck",
        "a cap on units clipped",
        "a cap on units held",
        "a cap on baskets held",
        "a cap on baskets struck",
        "a cap on amounts held",
        "a shared cap held",
        "units went back to a budget",
        "units went back to a shared cap",
        "units were set aside",
        "units that were set aside were captured",
        "an authorization was captured in part",
        "an authorization was captured to its end",
        "a final capture gave units back",
        "an authorization was voided",
        "a void gave back what captures had left",
        "the time of an authorization ran out",
        "what was given back died at once",
        "a sweep posted the end of an authorization",
        "a redemption was reversed",
        "a capture was reversed",
        "a burn was reversed in part",
        "a burn came back whole in pieces",
        "several lots came back",
        "burned units died when they came back",
        "burned units lived on when they came back",
        "units were redeemed for a reward",
        "a reward was taken from its stock",
        "the last of a reward was taken",
        "a reward came back",
        "a reward went back to its stock",
        "money was paid in",
        "vouchers were given or cancelled by hand",
        "an operator gave a voucher",
        "an operator cancelled a voucher",
        "a bonus gave a voucher",
        "a voucher was used",
        "a voucher could be used again",
        "a return cancelled a voucher",
        "a return left a voucher used",
        "a purchase counted on a card",
        "a card was full",
        "a purchase filled a card more than once",
        "a part took stamps back",
        "a return took what a card had given",
        "a return left the vouchers of a card",
        "money was spent",
        "a part of what was paid in went back",
        "what was left of a top-up went back",
        "what was spent could not go back",
        "several commands were decided in one batch",
    ];
    for situation in situations {
        assert!(reached.contains_key(situation), "{situation} is missing from {reached:?}");
    }
    let names = ["starts from a snapshot", "failures of the disk", "starts that a failure of the disk ended"];
    for (name, count) in names.into_iter().zip(counts) {
        assert!(count > 0, "there are no {name}");
    }
    // What no simulated call can bring about: the edge's own refusals, and a limit that few accounts ever see.
    let elsewhere = [
        Refusal::InvalidCommand,
        Refusal::ShuttingDown,
        Refusal::NameLimitReached,
        Refusal::NameRateExceeded,
        Refusal::AccountLimitReached,
        Refusal::ReturnLimitReached,
    ];
    for refusal in Refusal::ALL.into_iter().filter(|refusal| !elsewhere.contains(refusal)) {
        assert!(reached.contains_key(refusal.sentence()), "{refusal:?} is missing from {reached:?}");
    }
}

#[cfg(feature = "broken-variants")]
mod broken {
    use tallystick::sim::broken::{Variant, is, with};
    use tallystick::sim::{SimFailure, SimOptions, run};

    /// The first seed that finds the variant.
    fn find(variant: Variant, options: &SimOptions) -> (u64, Box<SimFailure>) {
        let found = with(variant, || (1..=1_000).find_map(|seed| Some((seed, run(seed, options).err()?))));
        let (seed, failure) = found.unwrap_or_else(|| panic!("1,000 seeds do not find {variant:?}"));
        println!("{variant:?} is found by seed {seed}, at step {}: {}", failure.step, failure.expected);
        (seed, failure)
    }

    fn check(variant: Variant, options: &SimOptions) {
        let (seed, failure) = find(variant, options);
        let again = with(variant, || run(seed, options)).expect_err("a failing seed fails again");
        assert_eq!(again, failure, "a failure is replayed exactly");
        assert!(!is(variant), "the variant ends with its test");
        let whole = run(seed, options);
        assert!(whole.is_ok(), "the ledger as it is passes the seed that finds {variant:?}: {whole:?}");
    }

    /// What clients see in the end must be enough: no look inside, no look at the moment of the answer.
    fn check_from_outside(variant: Variant) {
        check(variant, &SimOptions { outside_only: true, ..SimOptions::default() });
    }

    #[test]
    fn answers_before_the_sync_are_found() {
        check(Variant::AcknowledgeBeforeSync, &SimOptions::default());
        check_from_outside(Variant::AcknowledgeBeforeSync);
    }

    #[test]
    fn ids_that_a_restart_forgets_are_found() {
        check(Variant::SkipIdCheckAfterRestart, &SimOptions::default());
        check_from_outside(Variant::SkipIdCheckAfterRestart);
    }

    #[test]
    fn room_that_is_given_back_too_early_is_found() {
        check(Variant::RoomBeforeDurable, &SimOptions::default());
        check_from_outside(Variant::RoomBeforeDurable);
    }

    #[test]
    fn a_freeze_that_a_clock_undoes_is_found() {
        check(Variant::FreezeUndoneByClock, &SimOptions::default());
        check_from_outside(Variant::FreezeUndoneByClock);
    }

    #[test]
    fn slices_of_what_is_not_durable_are_found() {
        check(Variant::SliceBeforeDurable, &SimOptions::default());
    }
}
