//! The simulator passes on the ledger as it is, shows the same twice, and finds each of the deliberately broken
//! variants of the write path.
//!
//! The variants are compiled with a feature of their own:
//! `cargo test --release --no-default-features --features broken-variants --test simulation`

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

#[cfg(feature = "broken-variants")]
mod broken {
    use tallystick::sim::broken::{Variant, is, with};
    use tallystick::sim::{SimFailure, SimOptions, run};

    /// Seeds until the variant is found.
    fn find(variant: Variant) -> (u64, Box<SimFailure>) {
        let found =
            with(variant, || (1..=1_000).find_map(|seed| Some((seed, run(seed, &SimOptions::default()).err()?))));
        let (seeds, failure) = found.unwrap_or_else(|| panic!("1,000 seeds do not find {variant:?}"));
        println!("{variant:?} is found by seed {seeds}, at step {}: {}", failure.step, failure.expected);
        (seeds, failure)
    }

    fn check(variant: Variant) {
        let (seed, failure) = find(variant);
        let again = with(variant, || run(seed, &failure.options)).expect_err("a failing seed fails again");
        assert_eq!(again, failure, "a failure is replayed exactly");
        assert!(!is(variant), "the variant ends with its test");
        let whole = run(seed, &failure.options);
        assert!(whole.is_ok(), "the ledger as it is passes the seed that finds {variant:?}: {whole:?}");
    }

    #[test]
    fn answers_before_the_sync_are_found() {
        check(Variant::AcknowledgeBeforeSync);
    }

    #[test]
    fn ids_that_a_restart_forgets_are_found() {
        check(Variant::SkipIdCheckAfterRestart);
    }

    #[test]
    fn slices_of_what_is_not_durable_are_found() {
        check(Variant::SliceBeforeDurable);
    }
}
