//! A simulation from its first day to its last: what outlives a crash, how one life of the ledger ends and the next
//! begins, and the checks at those moments.
//!
//! What must stay true: the model, the shadow (a replay from empty) and the clients' memory are never taken back; what
//! is fed to them is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::clients::Clients;
use super::compare;
use super::dice::Dice;
use super::edge::Edge;
use super::facts::{Action, Name, Posting};
use super::freezes::Frozen;
use super::ladder::Shape;
use super::machine::{Disk, Machine, MachineOptions, Outbox, Trouble};
use super::model::{Broken, Model, must};
use super::questions::Question;
use super::ring::Ring;
use super::rules::Rules;
use super::steps::Weights;
use super::traffic::Traffic;
use super::watch::CellWatch;
use super::{SimOptions, SimReport, reached};
use crate::codec::DecodeError;
use crate::ids::{IdIndex, IdOptions};
use crate::journal::Journal;
use crate::journal::log::StoreJournal;
use crate::journal::record::Record;
use crate::ledger::types::{Position, TimestampNs};
use crate::recovery::Recovered;
use crate::recovery::identity::Identity;
use crate::replay::{World, world_digest};
use crate::store::memory::{FaultScript, MemoryStore, WriteFault};

/// Events that a failure tells.
const EVENTS_MAX: usize = 60;

/// One life of the ledger with what the simulation notes about it.
pub struct Life {
    /// The ledger.
    pub machine: Machine,
    /// The calls.
    pub edge: Edge,
    /// The cells.
    pub watch: CellWatch,
    /// Quotes and reads under way.
    pub questions: BTreeMap<u64, Question>,
    /// Per account, calls in the order in which a worker decided them.
    pub decided: BTreeMap<Name, Vec<u64>>,
    /// Calls that were answered with a record: its number in the shard.
    pub recorded: BTreeMap<u64, u64>,
    /// One past the last record before this life.
    pub began_at: u64,
}

/// Everything of one run.
pub struct Simulation {
    pub(super) options: SimOptions,
    pub(super) dice: Dice,
    pub(super) weights: Weights,
    pub(super) step: u64,
    pub(super) now: i64,
    pub(super) monotonic_ns: i64,
    pub(super) life: Option<Life>,
    pub(super) clients: Clients,
    pub(super) traffic: Traffic,
    pub(super) model: Model,
    pub(super) report: SimReport,
    /// The late limit of the next version: it never rises.
    pub(super) late_limit_days: i64,
    /// What every version's ladder looks at.
    pub(super) ladder: Shape,
    /// Now and then months pass.
    pub(super) has_leaps: bool,
    /// By how much the clock is ahead, if it is.
    pub(super) leapt: i64,
    /// The rules behind each programme file that was ever made.
    pub(super) sources: BTreeMap<String, Rules>,
    pub(super) next_call: u64,
    memory: MemoryStore,
    identity: Identity,
    ids: IdOptions,
    shadow: World,
    crash_steps: BTreeSet<u64>,
    stop_steps: BTreeSet<u64>,
    events: VecDeque<String>,
}

/// What a record means to the model.
enum Fed {
    Posting(Box<Posting>),
    Program { position: u64, source: String, id: Option<(Name, Name)> },
    Freeze(Frozen, bool, i64),
}

impl Simulation {
    /// The world before the first step.
    ///
    /// # Panics
    /// Never: an empty disk in memory takes an identity.
    #[must_use]
    pub fn new(seed: u64, options: &SimOptions) -> Self {
        let mut dice = Dice::new(seed);
        let shard_count = *dice.pick(&[1, 2, 8, 8, 8, 16]);
        let mut leaf_key = [0; 32];
        leaf_key[..8].copy_from_slice(&dice.seed().to_le_bytes());
        let mut id_key = [0; 16];
        id_key[..8].copy_from_slice(&dice.seed().to_le_bytes());
        // Around a change of the clocks, around the end of a year, or on an ordinary day.
        let now = dice.pick(&[1_741_500_000, 1_735_680_000, 1_750_000_000]) * 1_000_000_000;
        let identity = Identity {
            directory_id: [7; 16],
            shard_count,
            clock_is_input: dice.percent(15),
            created_at: TimestampNs(now),
            leaf_key,
            id_key,
        };
        let memory = MemoryStore::new();
        identity.write(&memory).expect("an empty disk in memory takes an identity");
        let late_limit_days = *dice.pick(&[1, 1, 2, 3, 3, 4, 30]);
        let (ladder, has_leaps) = (Shape::draw(&mut dice), dice.percent(25));
        let mut ids = IdOptions {
            memory_ids_max: *dice.pick(&[40, 200, 1_000]),
            segment_ids: *dice.pick(&[16, 32, 64]),
            segment_records: u64::MAX,
            partitions: *dice.pick(&[1, 2, 4]),
            in_flight_max: *dice.pick(&[24, 64, 1_000, 1_000]),
            merge_fan_in: *dice.pick(&[2, 3, 4]),
        };
        if ids.partitions == 1 {
            // Some lives write their ids for the records that have come, and not only when there is no more room.
            ids.segment_records = ids.segment_ids;
        }
        let steps_of = |dice: &mut Dice, count: u64| -> BTreeSet<u64> {
            let latest = options.step_count.max(2);
            let mut steps = BTreeSet::new();
            while (steps.len() as u64) < count.min(latest - 1) {
                steps.insert(1 + dice.below(latest - 1));
            }
            steps
        };
        let crash_count = if options.crash_count_min == 0 { 0 } else { options.crash_count_min + dice.below(5) };
        let crash_steps = steps_of(&mut dice, crash_count);
        let stop_count = if options.crash_count_min == 0 { 0 } else { dice.below(3) };
        let stop_steps = steps_of(&mut dice, stop_count);
        let traffic = Traffic::draw(&mut dice, late_limit_days);
        Self {
            options: options.clone(),
            weights: Weights::draw(&mut dice, traffic.is_heavy()),
            step: 0,
            now,
            monotonic_ns: 0,
            life: None,
            clients: Clients::new(options.outside_only),
            traffic,
            model: Model::new(Ring::new(&identity.id_hasher())),
            report: SimReport { seed, ..SimReport::default() },
            late_limit_days,
            ladder,
            has_leaps,
            leapt: 0,
            sources: BTreeMap::new(),
            next_call: 1,
            memory,
            identity,
            ids,
            shadow: World::new(shard_count),
            crash_steps,
            stop_steps,
            events: VecDeque::new(),
            dice,
        }
    }

    /// What happened, when nothing was wrong.
    #[must_use]
    pub fn into_report(mut self) -> SimReport {
        self.report.step_count = self.step;
        self.report.command_count = self.clients.known.len() as u64;
        self.report.posting_count = self.model.postings.len() as u64;
        self.report.version_count = self.model.versions.len() as u64;
        self.report.end = self.shadow.end.0;
        self.report.digest = self.shadow.digest().to_string();
        self.report
    }

    /// The step and the last events.
    #[must_use]
    pub fn last_events(&self) -> (u64, Vec<String>) {
        (self.step, self.events.iter().cloned().collect())
    }

    /// Notes what happens, for the report of a failure.
    pub(super) fn note(&mut self, event: impl FnOnce() -> String) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(format!("step {}: {}", self.step, event()));
    }

    /// All steps, then the last round.
    ///
    /// # Errors
    /// When something is not as it must be.
    pub fn run(&mut self) -> Result<(), Trouble> {
        self.begin_life()?;
        while self.step < self.options.step_count {
            self.step += 1;
            let outcome = if self.crash_steps.remove(&self.step) {
                self.crash()
            } else if self.stop_steps.remove(&self.step) {
                self.stop_and_start()
            } else {
                self.act()
            };
            self.survive(outcome)?;
        }
        loop {
            let outcome = self.finish();
            if outcome.is_ok() {
                return Ok(());
            }
            self.survive(outcome)?;
        }
    }

    /// After a failure of the disk the process ends, perhaps not at once, and begins again.
    fn survive(&mut self, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        match outcome {
            Err(Trouble::StoreFailed) => {
                self.report.disk_fault_count += 1;
                self.note(|| "the disk failed".to_owned());
                self.last_gasps()?;
                self.crash()
            }
            other => other,
        }
    }

    /// The power goes, and comes back.
    fn crash(&mut self) -> Result<(), Trouble> {
        self.end_of_first_life();
        self.report.crash_count += 1;
        self.life = None;
        self.clients.lose_all();
        let seed = self.dice.seed();
        self.memory = self.memory.crash(seed);
        self.note(|| "the power went".to_owned());
        self.begin_life()
    }

    /// An orderly stop, perhaps of the whole machine, and another start.
    fn stop_and_start(&mut self) -> Result<(), Trouble> {
        self.come_to_rest()?;
        self.stop()?;
        self.memory = if self.dice.percent(50) {
            self.memory.stop_cleanly()
        } else {
            let seed = self.dice.seed();
            self.memory.crash(seed)
        };
        self.begin_life()
    }

    fn end_of_first_life(&mut self) {
        if self.report.first_sync_count == 0 {
            self.report.first_sync_count = self.memory.sync_count();
        }
    }

    /// Stops and checks the state that is left in memory.
    fn stop(&mut self) -> Result<(), Trouble> {
        self.end_of_first_life();
        let Some(life) = self.life.take() else { return Ok(()) };
        self.report.clean_stop_count += 1;
        self.note(|| "stopped in order".to_owned());
        let (shards, shared, dictionary, programs) = life.machine.stop();
        compare::state(shards.iter(), &shared.cells, &dictionary, &self.model)?;
        let digest =
            shared.freezes.look(|freezes| world_digest(&shards, &shared.cells, &dictionary, &programs, freezes));
        let replayed = self.shadow.digest();
        let same = digest == replayed;
        Ok(if same {
            Ok(())
        } else {
            Err(format!("a replay of the journal gives the state {digest}, not {replayed}"))
        }?)
    }

    /// The last round: everything is asked again until it is answered, and all is checked once more.
    fn finish(&mut self) -> Result<(), Trouble> {
        if self.options.with_disk_faults {
            self.memory.set_faults(FaultScript::default());
        }
        self.come_to_rest()?;
        for _ in 0..1_000 {
            let waiting: Vec<usize> = self.clients.unanswered.iter().copied().take(4).collect();
            if waiting.is_empty() {
                break;
            }
            for index in waiting {
                self.send(index, None)?;
            }
            self.come_to_rest()?;
        }
        let rest = self.clients.unanswered.len();
        if rest > 0 {
            return Err(Trouble::Broken(format!(
                "every command has a definite answer in the end, but {rest} have none"
            )));
        }
        self.stop()?;
        self.memory = self.memory.stop_cleanly();
        let disk = Disk::new(&self.memory);
        let recovered = disk.recover(&self.identity, &self.ids)?;
        self.check_recovered(&recovered, usize::MAX)?;
        self.check_replay()
    }

    /// Recovers what is on the disk and starts the ledger; a failure of the disk meanwhile ends this attempt, and the
    /// power goes once more.
    pub(super) fn begin_life(&mut self) -> Result<(), Trouble> {
        for attempt in 0_u32.. {
            if let Some(sync) = self.options.power_loss_at_sync.take() {
                self.memory.set_faults(FaultScript::freeze_at_sync(sync));
            } else if self.options.with_disk_faults {
                let script = self.draw_faults(attempt < 4);
                self.memory.set_faults(script);
            }
            match self.try_begin() {
                Err(Trouble::StoreFailed) => {
                    self.report.failed_start_count += 1;
                    self.note(|| "the disk failed during the start".to_owned());
                    let seed = self.dice.seed();
                    self.memory = self.memory.crash(seed);
                }
                other => return other,
            }
        }
        Ok(())
    }

    fn try_begin(&mut self) -> Result<(), Trouble> {
        let disk = Disk::new(&self.memory);
        let recovered = disk.recover(&self.identity, &self.ids)?;
        let known = self.shadow.end;
        self.feed(None)?;
        if known < self.shadow.end && known > Position(0) {
            self.report.reach("a commit of unknown outcome had survived");
        }
        self.check_recovered(&recovered, 60)?;
        let began_at = self.shadow.end.0;
        self.report.snapshot_start_count += u64::from(recovered.marker.is_some());
        let is_blind = self.options.outside_only;
        let watch = CellWatch::begin(&recovered.world.cells, &recovered.world.dictionary, &self.model, is_blind);
        let options = MachineOptions {
            worker_count: 1 + self.dice.index(self.options.worker_count_max),
            queue_depth: *self.dice.pick(&[4, 32, 256, 256]),
            ids: self.ids.clone(),
            slice_entities: *self.dice.pick(&[1, 2, 5, 512]),
        };
        let workers = options.worker_count;
        let machine = Machine::start(recovered, disk, &options, self.now, Outbox::default())?;
        self.note(|| format!("started with {workers} workers at position {began_at}"));
        let mut life = Life {
            machine,
            edge: Edge::default(),
            watch,
            questions: BTreeMap::new(),
            decided: BTreeMap::new(),
            recorded: BTreeMap::new(),
            began_at,
        };
        self.feed(Some(&mut life))?;
        self.life = Some(life);
        if self.model.versions.is_empty() {
            self.publish_first()?;
        }
        Ok(())
    }

    /// One failure at most in each life, so that lives are long enough to matter.
    fn draw_faults(&mut self, may_strike_early: bool) -> FaultScript {
        let none = FaultScript::default();
        let dice = &mut self.dice;
        let early = may_strike_early && dice.percent(15);
        if !early && dice.percent(55) {
            return none;
        }
        let synced = self.memory.sync_count();
        let syncs = if early { 1 + dice.below(6) } else { 5 + dice.below(600) };
        let fault = *dice.pick(&[WriteFault::Before, WriteFault::After, WriteFault::Unknown]);
        match dice.below(4) {
            0 => FaultScript { fail_write_at: Some((syncs, fault)), ..none },
            1 => FaultScript { fail_flush_at: Some(1 + syncs / 20), ..none },
            2 => FaultScript { fail_mark_at: Some(1 + syncs / 20), ..none },
            _ => FaultScript::freeze_at_sync(synced + syncs),
        }
    }

    /// Tells the model and the shadow what has become durable.
    pub(super) fn feed(&mut self, mut life: Option<&mut Life>) -> Result<(), Broken> {
        let journal = StoreJournal::new(Arc::new(self.memory.clone()));
        let mut fed = Vec::new();
        let mut frame_count = 0;
        let from = self.shadow.end;
        let (shadow, ring) = (&mut self.shadow, &self.model.ring);
        let read = journal.read(from, &mut |frame| {
            if frame.end() <= from {
                return Ok(ControlFlow::Continue(()));
            }
            let begins_at = frame.header.position.0;
            frame_count += 1;
            shadow.apply_frame(frame, |world, view, record| {
                match record {
                    Record::Entry(entry) => {
                        let posting = Posting::of(world, ring, begins_at, view, entry);
                        let posting = posting.map_err(|fault| crate::replay::record_error(view, fault))?;
                        fed.push(Fed::Posting(Box::new(posting)));
                    }
                    Record::Program(publication) => {
                        let partner = super::facts::name_of(&world.dictionary, publication.partner);
                        let id = publication.transaction_id.clone();
                        fed.push(Fed::Program {
                            position: view.position.0,
                            source: publication.source.to_string(),
                            id: (!id.is_empty()).then_some((partner, id)),
                        });
                    }
                    Record::Opening(opening) => {
                        // Of an epoch whose opening was never durable nothing is.
                        if opening.epoch != world.epoch + 1 || frame.header.epoch != opening.epoch {
                            return Err(crate::replay::record_error(view, DecodeError::Contradiction));
                        }
                    }
                    Record::Freeze(change) => {
                        fed.push(Fed::Freeze(Frozen::of(change, &world.dictionary), change.freezes, change.at.0));
                    }
                    Record::Symbol(..) | Record::Item(..) | Record::Key(_) | Record::Proposal(_) => {}
                }
                Ok(())
            })?;
            Ok(ControlFlow::Continue(()))
        });
        read.map_err(|error| format!("the journal can be replayed from empty, but: {error}"))?;
        if frame_count > 1 {
            self.report.reach("a commit had several frames");
        }
        for one in fed {
            match one {
                Fed::Posting(posting) => {
                    reached::note(&mut self.report, &posting, &self.model);
                    if let Some(life) = &mut life {
                        life.watch.durable(&posting, &self.model)?;
                    }
                    self.model.post(*posting)?;
                }
                Fed::Program { position, source, id } => {
                    let Some(rules) = self.sources.get(&source) else {
                        return Err(format!("the programme at position {position} was published"));
                    };
                    self.model.publish(position, rules.clone(), id)?;
                }
                Fed::Freeze(frozen, begins, at) => {
                    self.report.reach(if begins { "something was frozen" } else { "something was thawed" });
                    self.model.freeze(frozen, begins, at)?;
                }
            }
        }
        Ok(())
    }

    /// What was recovered is what was acknowledged.
    fn check_recovered(&mut self, recovered: &Recovered, ids_max: usize) -> Result<(), Trouble> {
        let world = &recovered.world;
        compare::state(world.shards.iter(), &world.cells, &world.dictionary, &self.model)?;
        let same =
            world.digest() == self.shadow.digest() && (world.end, world.hash) == (self.shadow.end, self.shadow.hash);
        if !same {
            let difference = compare::worlds(world, &self.shadow);
            let expected = format!("recovery gives the state of a replay from empty: {difference}");
            return Err(Trouble::Broken(expected));
        }
        if world.proposals != self.shadow.proposals {
            return Err(Trouble::Broken("recovery gives the proposals of a replay from empty".to_owned()));
        }
        for (account, seq) in &self.clients.shown {
            let found = self.model.account(account).map_or(0, |account| account.seq);
            if found < *seq {
                return Err(Trouble::Broken(format!(
                    "account {account} stands at {seq} at least, as shown, not {found}"
                )));
            }
        }
        self.clients.check_acknowledged(&self.model)?;
        if self.options.outside_only {
            return Ok(());
        }
        let sampled = self.sample(ids_max);
        if recovered.ids.stats().run_count > 0 {
            self.report.reach("a start found ids on the disk");
        }
        Ok(check_ids(&recovered.ids, &self.model, &self.identity, &sampled)?)
    }

    /// Some of what was posted.
    fn sample(&mut self, count_max: usize) -> Vec<usize> {
        let count = self.model.postings.len();
        if count <= count_max { (0..count).collect() } else { (0..count_max).map(|_| self.dice.index(count)).collect() }
    }

    /// Replays the journal from empty once more: the chain holds, and the state is that of the shadow.
    fn check_replay(&self) -> Result<(), Trouble> {
        let journal = StoreJournal::new(Arc::new(self.memory.clone()));
        let mut world = World::new(self.identity.shard_count);
        let read = journal.read(Position(0), &mut |frame| {
            world.apply_frame(frame, |_, _, _| Ok(()))?;
            Ok(ControlFlow::Continue(()))
        });
        read.map_err(|error| Trouble::Broken(format!("the journal can be verified, but: {error}")))?;
        let same = world.digest() == self.shadow.digest() && world.hash == self.shadow.hash;
        if same { Ok(()) } else { Err(Trouble::Broken("nothing that was durable has changed".to_owned())) }
    }
}

/// The id index knows what was posted, and that nothing else was.
fn check_ids(ids: &IdIndex, model: &Model, identity: &Identity, sampled: &[usize]) -> Result<(), Broken> {
    let hasher = identity.id_hasher();
    let look = |key, what: &str| ids.lookup(key).map_err(|error| format!("{what} can be looked up, but: {error}"));
    for index in sampled {
        let posting = &model.postings[*index];
        if posting.action == Action::Expire {
            continue;
        }
        let key = hasher.transaction(&posting.partner, &posting.transaction_id);
        let found = look(key, &posting.transaction_id)?.map(|entry| (entry.position.0, entry.freed));
        must!(found == Some((posting.position, false)), "the index knows {posting:?}, not {found:?}");
        let own = (posting.partner.clone(), posting.transaction_id.clone());
        let refunded = model.refunds.get(&own).map(|(index, _)| index);
        let taken_back = model.reversed.get(&own).or(refunded);
        let done = [
            (hasher.reversal(&own.0, &own.1), taken_back, "taken back"),
            (hasher.release(&own.0, &own.1), model.released.get(&own), "released"),
            (
                hasher.restoration(&own.0, Position(posting.position)),
                model.restored.get(&(own.0.clone(), posting.position)),
                "restored",
            ),
        ];
        let ended = model.ended.get(&own);
        let done = done.into_iter().chain([(hasher.capture(&own.0, &own.1), ended, "captured or voided")]);
        for (key, by, what) in done {
            let found = look(key, what)?.map(|entry| entry.position.0);
            let expected = by.map(|index| model.postings[*index].position);
            must!(found == expected, "{} was {what} by {expected:?}, not {found:?}", posting.transaction_id);
        }
        let Action::Accrue { purchase, .. } = &posting.action else { continue };
        let receipt = purchase.receipt(&posting.partner);
        let key =
            hasher.receipt(&receipt.partner, &receipt.store, &receipt.terminal, receipt.business_day, &receipt.number);
        let found = look(key, &receipt.number)?.filter(|entry| !entry.freed).map(|entry| entry.position.0);
        let last = model.receipts.get(&receipt).and_then(|events| events.last());
        let expected = last.filter(|event| event.taken).map(|event| event.position);
        must!(found == expected, "receipt {receipt:?} is taken by {expected:?}, not {found:?}");
    }
    for identifier in super::ring::identifiers() {
        let key = hasher.identifier(&identifier.kind, &identifier.value).into();
        let found = look(key, "an identifier")?.filter(|entry| !entry.freed).map(|entry| entry.position.0);
        let last = model.links.get(&identifier).and_then(|events| events.last());
        let expected = last.filter(|event| event.account.is_some()).map(|event| event.position);
        must!(found == expected, "{identifier:?} was linked at {expected:?}, not at {found:?}");
    }
    Ok(())
}
