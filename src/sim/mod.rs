//! The simulator: the whole ledger below the wire under clients, crashes and failing disks, decided by one number.
//!
//! [`run`] lets clients work on the production state machines of `shard` over a simulated disk. A scheduler that is
//! seeded chooses every step: a client asks or asks again, a worker decides or hands over, the committer commits, a
//! notice is processed late, a snapshot or the id index goes on, a version of the programme is published, the process
//! stops or the power goes. Outside stand the clients' memory (`clients`) and a naive model of the rules (`model`), and
//! every answer, record and recovered state is held to them.
//!
//! [`machine`] is the ledger, [`edge`] the service's protocol in small, [`traffic`] what clients ask, [`clients`] what
//! they hold the ledger to, [`model`], [`orders`], [`judge`], [`bounds`], [`catalogue`], [`rooms`], [`shares`], [`ladder`],
//! [`lots`], [`freezes`], [`money`], [`stamps`], [`returns`], [`times`] and [`compare`] what must come out, [`watch`] the shared
//! cells, [`life`] and [`steps`] the scheduler.
//!
//! What must stay true: a run depends on its seed and options alone: no clock, thread, address or hash order; a failure
//! names the seed that shows it again.

pub mod asked;
pub mod bounds;
#[cfg(feature = "broken-variants")]
pub mod broken;
pub mod catalogue;
pub mod clients;
pub mod compare;
pub mod dice;
pub mod edge;
pub mod facts;
pub mod freezes;
pub mod holds;
pub mod judge;
pub mod ladder;
pub mod life;
pub mod lots;
pub mod machine;
pub mod model;
pub mod money;
pub mod orders;
pub mod partners;
pub mod questions;
pub mod reached;
pub mod returns;
pub mod rewards;
pub mod ring;
pub mod rooms;
pub mod rules;
pub mod shares;
pub mod stamps;
pub mod steps;
pub mod times;
mod told;
pub mod traffic;
pub mod unburns;
mod undo;
pub mod vouchers;
pub mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use life::Simulation;
use machine::Trouble;

/// How much is simulated.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SimOptions {
    /// Steps of the scheduler before the last round, in which everything is answered.
    pub step_count: u64,
    /// Losses of power that come whatever else happens.
    pub crash_count_min: u64,
    /// Worker counts are drawn from 1 to this.
    pub worker_count_max: usize,
    /// The disk fails now and then, apart from losses of power.
    pub with_disk_faults: bool,
    /// The power goes during this sync of the first life, the first being 1.
    pub power_loss_at_sync: Option<u64>,
    /// Leaves out the checks that look inside at once: that a record is durable when its answer leaves, what the shared
    /// cells hold after each command, and what the id index knows after a start. Then only what clients see in the end speaks against the ledger.
    pub outside_only: bool,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            step_count: 20_000,
            crash_count_min: 3,
            worker_count_max: 8,
            with_disk_faults: true,
            power_loss_at_sync: None,
            outside_only: false,
        }
    }
}

/// What happened in a run that found nothing wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SimReport {
    /// The seed.
    pub seed: u64,
    /// Steps of the scheduler.
    pub step_count: u64,
    /// Different commands that clients sent.
    pub command_count: u64,
    /// Calls with commands, repetitions included.
    pub call_count: u64,
    /// Answers that told a new record.
    pub answer_count: u64,
    /// Answers that told a record again.
    pub repeated_answer_count: u64,
    /// Answers that refused without a record.
    pub refusal_count: u64,
    /// Answers that asked to try again.
    pub busy_count: u64,
    /// Quotes checked.
    pub quote_count: u64,
    /// Reads of accounts checked.
    pub read_count: u64,
    /// Records of commands in the journal.
    pub posting_count: u64,
    /// One past the last record of the journal.
    pub end: u64,
    /// Commits.
    pub commit_count: u64,
    /// Losses of power, those after a failure of the disk included.
    pub crash_count: u64,
    /// Failures of the disk that struck.
    pub disk_fault_count: u64,
    /// Recoveries that a failure of the disk ended.
    pub failed_start_count: u64,
    /// Stops in order.
    pub clean_stop_count: u64,
    /// Snapshots that were finished.
    pub snapshot_count: u64,
    /// Recoveries that began with a snapshot.
    pub snapshot_start_count: u64,
    /// Versions of the programme.
    pub version_count: u64,
    /// Syncs of the first life.
    pub first_sync_count: u64,
    /// How often situations came up that the simulation is meant to reach.
    pub reached: BTreeMap<&'static str, u64>,
    /// The digest of the last state.
    pub digest: String,
}

impl SimReport {
    pub(crate) fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }
}

impl fmt::Display for SimReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step_count, command_count, call_count, posting_count, end, .. } = self;
        writeln!(f, "The simulation with seed {seed} found nothing wrong in {step_count} steps.")?;
        writeln!(
            f,
            "  {command_count} commands in {call_count} calls left {posting_count} records; the journal has {end}."
        )?;
        let Self { crash_count, disk_fault_count, failed_start_count, clean_stop_count, .. } = self;
        writeln!(
            f,
            "  The power went {crash_count} times, {disk_fault_count} of them after a failure of the disk and \
             {failed_start_count} more during a start; {clean_stop_count} stops were orderly."
        )?;
        let Self { snapshot_count, snapshot_start_count, version_count, quote_count, read_count, .. } = self;
        writeln!(f, "  {snapshot_count} snapshots were finished, {snapshot_start_count} starts used one.")?;
        writeln!(f, "  {version_count} versions, {quote_count} quotes and {read_count} reads were checked.")?;
        write!(f, "  The digest of the last state is {}.", self.digest)
    }
}

/// What was found wrong, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SimFailure {
    /// The seed.
    pub seed: u64,
    /// The options.
    pub options: SimOptions,
    /// The step.
    pub step: u64,
    /// What was expected and is not so.
    pub expected: String,
    /// What happened last, the newest at the end.
    pub events: Vec<String>,
}

impl fmt::Display for SimFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The simulation with seed {} failed at step {}. Expected:", self.seed, self.step)?;
        writeln!(f, "  {}", self.expected)?;
        writeln!(f, "The last events:")?;
        for event in &self.events {
            writeln!(f, "  {event}")?;
        }
        write!(f, "It is replayed by: tallystick sim --seed {} --steps {}", self.seed, self.options.step_count)
    }
}

impl std::error::Error for SimFailure {}

/// Simulates what the seed says.
///
/// # Errors
/// When the ledger breaks a promise or panics.
pub fn run(seed: u64, options: &SimOptions) -> Result<SimReport, Box<SimFailure>> {
    let mut simulation = Simulation::new(seed, options);
    let outcome = catch_unwind(AssertUnwindSafe(|| simulation.run()));
    let expected = match outcome {
        Ok(Ok(())) => return Ok(simulation.into_report()),
        Ok(Err(Trouble::Broken(expected))) => expected,
        Ok(Err(Trouble::StoreFailed)) => "the simulation goes on after a failure of the disk".to_owned(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("no panic, but there was one: {}", text.unwrap_or("without a text"))
        }
    };
    let (step, events) = simulation.last_events();
    Err(Box::new(SimFailure { seed, options: options.clone(), step, expected, events }))
}
