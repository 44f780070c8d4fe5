//! The power goes at every single sync of a workload: what was acknowledged is there, once, and the state is what a
//! naive model says.
//!
//! The workload, the model and the checks are the simulator's; here chance only draws the workload, and the moment of
//! the crash goes through all there are. After the crash the clients ask again for what was not answered, and the run
//! goes on to its end under the same checks.

use tallystick::sim::{SimOptions, run};

/// Short, with one life until the power goes, and nothing else that fails.
fn workload(power_loss_at_sync: Option<u64>) -> SimOptions {
    SimOptions {
        step_count: 2_500,
        crash_count_min: 0,
        with_disk_faults: false,
        power_loss_at_sync,
        ..SimOptions::default()
    }
}

/// Crashes at every sync; the number of syncs.
fn crash_at_every_sync(seed: u64) -> u64 {
    let whole = run(seed, &workload(None)).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(whole.crash_count, 0, "without a crash: {whole:?}");
    assert!(whole.posting_count > 20, "the workload does something: {whole:?}");
    // The first sync makes the identity of the directory, before the run.
    for sync in 2..=whole.first_sync_count {
        let crashed = run(seed, &workload(Some(sync)));
        let crashed = crashed.unwrap_or_else(|failure| panic!("the power went at sync {sync}\n{failure}"));
        let lost = crashed.crash_count + crashed.failed_start_count;
        assert_eq!(lost, 1, "the power goes once, at sync {sync}: {crashed:?}");
        assert!(crashed.posting_count > 10, "the ledger goes on after sync {sync}: {crashed:?}");
    }
    whole.first_sync_count
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_sync() {
    let syncs: Vec<u64> = (1..=6).map(crash_at_every_sync).collect();
    println!("crashed at each of {syncs:?} syncs");
    assert!(syncs.iter().sum::<u64>() > 500, "{syncs:?}");
}
