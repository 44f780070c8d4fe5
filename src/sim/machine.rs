//! One life of the ledger: the state machines that production puts on threads, here stepped one at a time by a
//! scheduler. What the threads of `shard::engine` and `shard::housekeeper` do around them is mirrored here, without
//! time and without threads.
//!
//! What must stay true: workers, committer, control shard, snapshot runs, id index and recovery are production's own
//! code; a queue hands on in order; whatever leaves the machine goes through the outbox.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, RwLock};

use crate::access::keys::KeyLog;
use crate::access::proposals::{ProposalChange, Verdict};
use crate::cells::Cells;
use crate::ids::{Claim, IdHasher, IdKey, IdOptions};
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::Chain;
use crate::journal::log::StoreJournal;
use crate::journal::record::{Opening, Publication, Record};
use crate::journal::{Journal, JournalError};
use crate::ledger::program::Program;
use crate::ledger::state::ShardState;
use crate::ledger::types::{Position, ShardId, TimestampNs};
use crate::program::registry::Programs;
use crate::recovery::identity::Identity;
use crate::recovery::{Recovered, RecoveryError, recover};
use crate::shard::committer::{Committed, Committer, Defined, Progress, Submitted};
use crate::shard::control::Control;
use crate::shard::freezing::{FreezeDraft, FreezeLog};
use crate::shard::job::{AccountView, ClaimedIds, CommandBatch, CommandJob, Job, Mailbox, QuoteJob};
use crate::shard::proposing::{ProposalLog, record_of};
use crate::shard::publishing::{Draft, Press, PublishError};
use crate::shard::snapshotter::{RunState, SnapshotRun};
use crate::shard::tickets::Tickets;
use crate::shard::worker::{Shared, Worker, worker_of};
use crate::snapshot::Saved;
use crate::store::checked::{CheckedStore, PoisonFlag};
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError};

/// What leaves a worker or the committer, for the edge.
pub enum Message {
    /// A command was decided and is durable, or refused.
    Command(u64, Box<CommandJob>),
    /// A quote.
    Quote(u64, Box<QuoteJob>),
    /// A copy of an account.
    Account(u64, Option<Box<AccountView>>),
    /// The id of an account that was asked for by its number.
    AccountId(u64, Option<Box<str>>),
    /// A claim that a call waited for is over.
    Woken(u64),
    /// The record of a publication is durable.
    Published,
    /// A worker uses the new version.
    Adopted,
    /// The record of a freeze or a thaw is durable, and honoured.
    Froze,
    /// The record of a proposal or a verdict is durable.
    Proposed,
}

/// Where messages lie until the scheduler hands them to the edge.
#[derive(Clone, Default)]
pub struct Outbox(Arc<Mutex<VecDeque<Message>>>);

impl Outbox {
    /// Puts a message at the end.
    ///
    /// # Panics
    /// Never: there is one thread.
    pub fn push(&self, message: Message) {
        self.0.lock().expect("there is one thread").push_back(message);
    }

    /// Takes the oldest message.
    ///
    /// # Panics
    /// Never: there is one thread.
    #[must_use]
    pub fn pop(&self) -> Option<Message> {
        self.0.lock().expect("there is one thread").pop_front()
    }
}

/// Finished commands come out one by one, each under the number of its call.
impl Mailbox for Outbox {
    fn deliver(&self, mut batch: CommandBatch) {
        for job in batch.jobs.drain(..) {
            self.push(Message::Command(job.ticket, job));
        }
    }
}

/// Sizes of one life.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Workers.
    pub worker_count: usize,
    /// Jobs that wait for one worker.
    pub queue_depth: usize,
    /// The id index.
    pub ids: IdOptions,
    /// Entities in one slice of a snapshot.
    pub slice_entities: usize,
}

/// A worker with what waits for it.
pub struct Station {
    worker: Worker,
    jobs: VecDeque<(u64, Job)>,
    notices: VecDeque<Committed>,
    /// A commit of nothing was asked for, to look at gated reads again.
    nudged: bool,
}

/// A publication under way.
struct Publishing {
    program: Arc<Program>,
    /// The claim on its id, until the record is durable.
    id: Option<IdKey>,
    adopted_count: usize,
}

/// Why a life ended or never began.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The store failed, as its script says: the process exits.
    #[error("the store failed")]
    StoreFailed,
    /// Something is not as it must be.
    #[error("{0}")]
    Broken(String),
}

impl From<String> for Trouble {
    fn from(expected: String) -> Self {
        Self::Broken(expected)
    }
}

/// One life of the ledger.
pub struct Machine {
    flag: PoisonFlag,
    store: Arc<dyn Store>,
    /// Cells, ids, tickets.
    pub shared: Arc<Shared>,
    /// Records of the control shard.
    pub control: Arc<Control>,
    /// Strings and items.
    pub dictionary: Arc<Dictionary>,
    /// How far the journal is durable.
    pub progress: Arc<Progress>,
    /// The journal, for reads.
    pub journal: Arc<StoreJournal>,
    /// Names ids.
    pub hasher: IdHasher,
    /// Versions that every worker has.
    pub programs: Programs,
    /// The latest stamp given to a worker.
    pub latest_stamp: i64,
    /// Commands stamped at or after this wait for a publication.
    pub publish_gate: i64,
    /// What was fixed when the directory was made.
    pub identity: Identity,
    publications: Arc<RwLock<Vec<(Position, Publication)>>>,
    publishing: Option<Publishing>,
    /// The instant of a freeze or thaw that is not durable.
    freezing: Option<i64>,
    /// When the latest freeze or thaw took effect that is honoured for certain.
    pub latest_freeze: Option<i64>,
    /// A proposal or a verdict is not durable.
    is_proposing: bool,
    committer: Committer,
    stations: Vec<Station>,
    submitted: Vec<Submitted>,
    run: Option<SnapshotRun>,
    saved: Saved,
    queue_depth: usize,
    outbox: Outbox,
}

/// A store as the production code sees it, and the flag that says whether its script has struck.
pub struct Disk {
    /// Checked, as in production.
    pub store: Arc<dyn Store>,
    /// Whether it failed.
    pub flag: PoisonFlag,
}

impl Disk {
    /// The simulated disk behind the latch that production puts in front of every store.
    #[must_use]
    pub fn new(memory: &MemoryStore) -> Self {
        let checked = CheckedStore::new(Arc::new(memory.clone()));
        let flag = checked.poison_flag();
        Self { store: Arc::new(checked), flag }
    }

    /// An error is what the script asked for, or a fault of the ledger.
    pub fn judge(&self, error: &dyn std::fmt::Display) -> Trouble {
        judge(&self.flag, error)
    }

    /// Recovers what is on the disk.
    ///
    /// # Errors
    /// When the store fails or the ledger refuses.
    pub fn recover(&self, identity: &Identity, ids: &IdOptions) -> Result<Recovered, Trouble> {
        let recovered: Result<Recovered, RecoveryError> = recover(&self.store, identity.clone(), ids, 1, &mut |_| ());
        recovered.map_err(|error| self.judge(&format!("what a crash left can be recovered, but: {error}")))
    }
}

fn judge(flag: &PoisonFlag, error: &dyn std::fmt::Display) -> Trouble {
    if flag.is_poisoned() { Trouble::StoreFailed } else { Trouble::Broken(error.to_string()) }
}

impl Machine {
    /// Begins a life with what was recovered, as `Engine::start` does.
    ///
    /// # Errors
    /// When the opening record cannot be made durable.
    pub fn start(
        recovered: Recovered,
        disk: Disk,
        options: &MachineOptions,
        now: i64,
        outbox: Outbox,
    ) -> Result<Self, Trouble> {
        let Recovered { world, identity, ids, journal, marker, snapshot_seqs, .. } = recovered;
        let epoch = world.epoch + 1;
        journal.fence(epoch).map_err(|error| disk.judge(&error))?;
        let defined = Defined::recovered(&world);
        let control = Arc::new(Control::new(defined));
        let progress = Arc::new(Progress::new(world.end, defined));
        let latest_stamp = world.latest_stamp();
        let latest_freeze = world.freezes.latest().map(|latest| latest.0);
        let dictionary = Arc::new(world.dictionary);
        let shared = Arc::new(Shared {
            cells: world.cells,
            ids,
            keys: Arc::new(KeyLog::new(world.keys)),
            freezes: FreezeLog::new(world.freezes, identity.clock_is_input),
            proposals: ProposalLog::new(world.proposals),
            tickets: Tickets::new(options.worker_count),
            shard_count: identity.shard_count,
            clock_is_input: identity.clock_is_input,
            slice_entities: options.slice_entities,
        });
        control.push(&opening(epoch, &identity, now), None);
        let chain = Chain { epoch, next: world.end, hash: world.hash };
        let mut committer = Committer::new(journal.clone(), control.clone(), progress.clone(), chain);
        let opened = committer.commit(&mut Vec::new(), TimestampNs(now), &mut Vec::new());
        opened.map_err(|error| disk.judge(&error))?;
        let mut dealt: Vec<(Vec<_>, Vec<_>)> = (0..options.worker_count).map(|_| Default::default()).collect();
        for (shard, seq) in world.shards.into_iter().zip(snapshot_seqs) {
            let (shards, seqs) = &mut dealt[worker_of(shard.id, options.worker_count)];
            shards.push(shard);
            seqs.push(seq);
        }
        let station = |(index, (shards, seqs))| Station {
            worker: Worker::new(index, options.worker_count, shared.clone(), world.programs.clone(), shards, seqs),
            jobs: VecDeque::new(),
            notices: VecDeque::new(),
            nudged: false,
        };
        let stations = dealt.into_iter().enumerate().map(station).collect();
        Ok(Self {
            flag: disk.flag,
            store: disk.store,
            shared,
            control,
            dictionary,
            progress,
            journal,
            hasher: identity.id_hasher(),
            programs: world.programs,
            latest_stamp,
            publish_gate: i64::MAX,
            identity,
            publications: Arc::new(RwLock::new(world.publications)),
            publishing: None,
            freezing: None,
            latest_freeze,
            is_proposing: false,
            committer,
            stations,
            submitted: Vec::new(),
            run: None,
            saved: marker.map_or_else(Saved::default, |marker| marker.saved),
            queue_depth: options.queue_depth,
            outbox,
        })
    }

    /// An error is what the script asked for, or a fault of the ledger.
    pub fn judge(&self, error: &dyn std::fmt::Display) -> Trouble {
        judge(&self.flag, error)
    }

    /// Workers.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.stations.len()
    }

    /// Where messages come out.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Hands a job to the worker of a shard, as `Engine::submit` does.
    ///
    /// # Errors
    /// The job, when the queue is full.
    pub fn submit(&mut self, shard: ShardId, call: u64, job: Job) -> Result<(), Job> {
        let worker = worker_of(shard, self.stations.len());
        let jobs = &mut self.stations[worker].jobs;
        if jobs.iter().map(|(_, job)| job.weight()).sum::<usize>() >= self.queue_depth {
            return Err(job);
        }
        jobs.push_back((call, job));
        Ok(())
    }

    /// As [`Machine::submit`], of a command: with the one before it or by itself, as the number of the call says.
    ///
    /// # Errors
    /// The claims of the command, when the queue is full.
    pub fn submit_command(&mut self, shard: ShardId, job: Box<CommandJob>) -> Result<(), ClaimedIds> {
        let call = job.ticket;
        let worker = worker_of(shard, self.stations.len());
        let waiting = self.stations[worker].jobs.iter().map(|(_, job)| job.weight()).sum::<usize>();
        if waiting > 0
            && waiting < self.queue_depth
            && !call.is_multiple_of(3)
            && let Some((_, Job::Commands(batch))) = self.stations[worker].jobs.back_mut()
        {
            batch.jobs.push(job);
            return Ok(());
        }
        let ids = job.ids;
        let batch = CommandBatch::new(vec![job], Arc::new(self.outbox.clone()));
        self.submit(shard, call, Job::Commands(batch)).map_err(|job| {
            if let Job::Commands(batch) = job {
                drop(batch.take_back());
            }
            ids
        })
    }

    /// What the worker would do next: the call and whether it is a command. `None` when it has nothing to do or no room, and
    /// while a freeze or a thaw is made.
    #[must_use]
    pub fn next_job(&self, worker: usize) -> Option<(u64, &Job)> {
        let station = &self.stations[worker];
        let may_decide = self.freezing.is_none() && station.worker.has_room();
        let (call, job) = station.jobs.front().filter(|_| may_decide)?;
        Some((*call, job))
    }

    /// A worker does its next job. `after_each` looks at the cells after each command.
    pub fn execute(&mut self, worker: usize, monotonic_ns: i64, mut after_each: impl FnMut(&Cells)) {
        let station = &mut self.stations[worker];
        if let Some((_, job)) = station.jobs.pop_front() {
            station.worker.execute_watched(job, monotonic_ns, |shared| after_each(&shared.cells));
        }
    }

    /// A worker posts some of what has died, as its thread does between batches.
    pub fn sweep(&mut self, worker: usize, now: TimestampNs) {
        if self.freezing.is_none() {
            self.stations[worker].worker.sweep_step(now);
        }
    }

    /// A worker hands its chunk to the committer, or asks for a commit of nothing if reads wait for other workers.
    pub fn seal(&mut self, worker: usize) -> bool {
        let station = &mut self.stations[worker];
        if let Some(chunk) = station.worker.seal() {
            self.submitted.push(Submitted { worker: Some(worker), chunk: Some(chunk) });
            return true;
        }
        let nudges = station.worker.has_gated_reads() && !station.nudged;
        if nudges {
            station.nudged = true;
            self.submitted.push(Submitted { worker: Some(worker), chunk: None });
        }
        nudges
    }

    /// What waits for the committer.
    #[must_use]
    pub fn submitted_count(&self) -> usize {
        self.submitted.len()
    }

    /// The committer makes the oldest `count` of what was handed over durable, with all that the control shard queues.
    ///
    /// # Errors
    /// When the store fails.
    pub fn commit(&mut self, count: usize, now: i64) -> Result<(), Trouble> {
        let rest = self.submitted.split_off(count.min(self.submitted.len()));
        let mut gathered = std::mem::replace(&mut self.submitted, rest);
        let mut committed = Vec::new();
        let outcome = self.committer.commit(&mut gathered, TimestampNs(now), &mut committed);
        outcome.map_err(|error| self.judge(&error))?;
        for notice in committed {
            self.stations[notice.worker].notices.push_back(notice);
        }
        Ok(())
    }

    /// Notices that a worker has not processed.
    #[must_use]
    pub fn notice_count(&self, worker: usize) -> usize {
        self.stations[worker].notices.len()
    }

    /// A worker processes its oldest notice: the positions of its records, if it had any.
    pub fn process_notice(&mut self, worker: usize) -> Option<std::ops::Range<u64>> {
        let station = &mut self.stations[worker];
        let notice = station.notices.pop_front()?;
        let Some((chunk, base)) = notice.chunk else {
            station.nudged = false;
            station.worker.open_gates();
            return None;
        };
        let count = chunk.records().len() as u64;
        station.worker.committed(chunk, base);
        self.progress.processed(base);
        Some(base.0..base.0 + count)
    }

    /// Begins a snapshot, as the housekeeper does; false when one is under way.
    pub fn begin_snapshot(&mut self, now: TimestampNs) -> bool {
        if self.run.is_some() {
            return false;
        }
        let (run, sinks) = SnapshotRun::begin(
            &self.shared,
            &self.progress,
            &self.dictionary,
            &self.publications,
            self.saved,
            self.stations.len(),
            now,
        );
        for (station, sink) in self.stations.iter_mut().zip(sinks) {
            station.jobs.push_back((0, Job::Snapshot(sink)));
        }
        self.run = Some(run);
        true
    }

    /// Whether a snapshot is under way.
    #[must_use]
    pub fn is_taking_snapshot(&self) -> bool {
        self.run.is_some()
    }

    /// A worker hands out its next slice.
    pub fn snapshot_step(&mut self, worker: usize) {
        self.stations[worker].worker.snapshot_step();
    }

    /// The housekeeper writes the slices that are durable; true when the snapshot is finished.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_slices(&mut self, now: i64) -> Result<bool, Trouble> {
        let Some(run) = &mut self.run else { return Ok(false) };
        let outcome: Result<RunState, StoreError> = run.step(&*self.store, TimestampNs(now));
        match outcome {
            Ok(RunState::Going) => Ok(false),
            Ok(RunState::Finished(marker)) => {
                self.saved = marker.saved;
                self.run = None;
                Ok(true)
            }
            Err(error) => Err(self.judge(&error)),
        }
    }

    /// One step of the id index's background work; true when more waits.
    ///
    /// # Errors
    /// When the store fails.
    pub fn maintain_ids(&mut self) -> Result<bool, Trouble> {
        let step = self.shared.ids.maintain(self.progress.settled());
        Ok(step.map_err(|error| self.judge(&error))?.more_waits())
    }

    /// Renews the high-water mark.
    ///
    /// # Errors
    /// When the store fails.
    pub fn renew_mark(&mut self) -> Result<(), Trouble> {
        let Some(mark) = self.progress.high_water() else { return Ok(()) };
        let written: Result<(), JournalError> = self.journal.write_high_water(&mark);
        written.map_err(|error| self.judge(&error))
    }

    /// Whether nothing waits anywhere: every job is answered and every chunk processed.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let at_rest = |station: &Station| {
            let worker = &station.worker;
            let idle = worker.in_flight_count() == 0 && !worker.has_gated_reads() && !worker.has_open_chunk();
            idle && station.jobs.is_empty() && station.notices.is_empty()
        };
        self.submitted.is_empty() && !self.is_publishing() && self.stations.iter().all(at_rest)
    }

    /// Stops in order: the shards as they are, in order, with the shared cells.
    ///
    /// # Panics
    /// When something is still under way.
    #[must_use]
    pub fn stop(self) -> (Vec<ShardState>, Arc<Shared>, Arc<Dictionary>, Programs) {
        let mut shards: Vec<ShardState> =
            self.stations.into_iter().flat_map(|station| station.worker.into_shards()).collect();
        shards.sort_by_key(|shard| shard.id);
        (shards, self.shared, self.dictionary, self.programs)
    }

    /// The shared cells.
    #[must_use]
    pub fn cells(&self) -> &Cells {
        &self.shared.cells
    }
}

fn opening(epoch: u64, identity: &Identity, now: i64) -> Record {
    Record::Opening(Opening {
        epoch,
        at: TimestampNs(now),
        time_zone_release: crate::program::time_zone_release().into(),
        shard_count: identity.shard_count,
        clock_is_input: identity.clock_is_input,
    })
}

/// Publishing, as `Engine::publish` does it in several steps.
impl Machine {
    /// Whether a publication, a freeze, a thaw or a proposal is under way.
    #[must_use]
    pub fn is_publishing(&self) -> bool {
        self.publishing.is_some() || self.freezing.is_some() || self.is_proposing
    }

    /// Announces the stamp of a command, and looks whether the gate lets it pass, as `Engine::may_stamp` does: a change that
    /// begins while the command waits for a claim lies behind it.
    pub fn may_stamp(&mut self, stamp: i64) -> bool {
        self.latest_stamp = self.latest_stamp.max(stamp);
        stamp < self.publish_gate
    }

    /// Shuts the gate, keeps the workers from deciding and journals a freeze or a thaw, as `Engine::change_freezes` does; it
    /// takes effect a margin later than it could. False when it does not fit; then nothing has happened.
    ///
    /// # Panics
    /// When a publication or another change is under way.
    pub fn freeze(&mut self, draft: FreezeDraft, now: i64, margin_ns: i64, confirmed: Option<Verdict>) -> bool {
        assert!(!self.is_publishing(), "one at a time");
        let posted = self.stations.iter().flat_map(|station| station.worker.posting_times()).max();
        let posted = posted.map_or(i64::MIN, |posted| posted.0.saturating_add(margin_ns));
        let now = TimestampNs(now.saturating_add(margin_ns));
        let at = self.shared.freezes.next_instant(now, TimestampNs(posted));
        let change = draft.at(at);
        if self.shared.freezes.look(|freezes| freezes.check(&change)).is_err() {
            return false;
        }
        let outbox = self.outbox.clone();
        FreezeLog::journal(&self.shared, &self.control, change, confirmed, move |_| outbox.push(Message::Froze));
        self.publish_gate = i64::MIN;
        self.freezing = Some(at.0);
        true
    }

    /// Proposes something, or rejects a proposal, as `Engine::propose` and `Engine::settle` do. False when it does not fit.
    pub fn change_proposals(&mut self, change: ProposalChange) -> bool {
        if self.shared.proposals.look(|proposals| proposals.check(&change)).is_err() {
            return false;
        }
        let outbox = self.outbox.clone();
        self.control.push_all([record_of(&self.shared, change, move || outbox.push(Message::Proposed))]);
        self.is_proposing = true;
        true
    }

    /// The proposal or verdict is durable.
    pub fn proposed(&mut self) {
        self.is_proposing = false;
    }

    /// The change is durable and honoured: the gate opens.
    pub fn froze(&mut self) {
        let Some(at) = self.freezing.take() else { return };
        self.latest_stamp = self.latest_stamp.max(at);
        self.latest_freeze = Some(at);
        self.publish_gate = i64::MAX;
    }

    /// Claims the id, shuts the gate, compiles and journals. False when the effective time is too early or the id is
    /// not free; then nothing has happened.
    ///
    /// # Errors
    /// When the source has problems.
    ///
    /// # Panics
    /// When a publication is under way.
    pub fn publish(&mut self, draft: Draft, now: i64) -> Result<bool, Trouble> {
        assert!(!self.is_publishing(), "one publication at a time");
        let effective_at = draft.effective_at.0;
        let partner = self.dictionary.text(draft.partner).unwrap_or_default();
        let id = (!draft.transaction_id.is_empty()).then(|| self.hasher.transaction(&partner, &draft.transaction_id));
        if let Some(id) = id
            && self.shared.ids.claim(id).map_err(|error| self.judge(&error))? != Claim::Granted
        {
            return Ok(false);
        }
        let press = Press {
            dictionary: &self.dictionary,
            control: &self.control,
            programs: &self.programs,
            publications: &self.publications,
            shared: &self.shared,
            hasher: &self.hasher,
        };
        let (program, publication) = match press.prepare(draft, TimestampNs(now), TimestampNs(self.latest_stamp)) {
            Ok(prepared) => prepared,
            Err(PublishError::TooEarly { .. } | PublishError::ZoneTooSoon { .. }) => {
                id.into_iter().for_each(|id| self.shared.ids.release(id));
                return Ok(false);
            }
            Err(error) => return Err(Trouble::Broken(format!("a simulated programme is fit, but: {error}"))),
        };
        let outbox = self.outbox.clone();
        press.journal(publication, None, move |_| outbox.push(Message::Published));
        self.publish_gate = effective_at.saturating_sub(self.programs.notice_ns(&program).unwrap_or(0));
        self.publishing = Some(Publishing { program, id, adopted_count: 0 });
        Ok(true)
    }

    /// The record is durable: every worker gets the version.
    pub fn published(&mut self) {
        let Some(publishing) = &mut self.publishing else { return };
        publishing.id.take().into_iter().for_each(|id| self.shared.ids.release(id));
        for station in &mut self.stations {
            let outbox = self.outbox.clone();
            let told = Box::new(move |()| outbox.push(Message::Adopted));
            station.jobs.push_back((0, Job::Publish(publishing.program.clone(), told)));
        }
    }

    /// A worker has the version; when all have it the gate opens.
    ///
    /// # Errors
    /// When the version does not follow.
    pub fn adopted(&mut self) -> Result<bool, Trouble> {
        let Some(mut publishing) = self.publishing.take() else { return Ok(false) };
        publishing.adopted_count += 1;
        if publishing.adopted_count < self.stations.len() {
            self.publishing = Some(publishing);
            return Ok(false);
        }
        self.programs.append(publishing.program).map_err(|error| Trouble::Broken(error.to_string()))?;
        self.publish_gate = i64::MAX;
        Ok(true)
    }
}
