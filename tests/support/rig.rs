//! One worker and one committer driven by hand, without threads: for tests in which the order of steps matters.

use std::sync::{Arc, RwLock};

use tallystick::ids::IdKey;
use tallystick::journal::dictionary::Dictionary;
use tallystick::journal::frame::Chain;
use tallystick::journal::log::StoreJournal;
use tallystick::journal::record::{Opening, Publication, Record};
use tallystick::journal::{Journal, chunk::Chunk};
use tallystick::ledger::command::{Basket, Command, CommandKind, Line};
use tallystick::ledger::program::Program;
use tallystick::ledger::state::account_hash;
use tallystick::ledger::types::{Item, Position, ProgramVersion, SymbolId, TimestampNs};
use tallystick::ledger::zone::utc_day;
use tallystick::limits;
use tallystick::program::{Symbols, SymbolsFull, compile};
use tallystick::recovery::ids_of;
use tallystick::shard::committer::{Committed, Committer, Defined, Progress, Submitted};
use tallystick::shard::control::Control;
use tallystick::shard::freezing::FreezeLog;
use tallystick::shard::job::{CommandBatch, CommandJob, CommandOutcome, Job};
use tallystick::shard::snapshotter::{Publications, RunState, SnapshotRun};
use tallystick::shard::tickets::Tickets;
use tallystick::shard::worker::{Shared, Worker};
use tallystick::snapshot::{Marker, Saved};
use tallystick::store::Store;

use super::{NOON, Setup, recover_store};

pub struct Rig {
    pub store: Arc<dyn Store>,
    pub shared: Arc<Shared>,
    pub control: Arc<Control>,
    pub dictionary: Arc<Dictionary>,
    pub progress: Arc<Progress>,
    pub worker: Worker,
    pub committer: Committer,
    pub setup: Setup,
    pub publications: Publications,
    submitted: Vec<Submitted>,
    committed: Vec<Committed>,
    next_id: u64,
}

struct Interning<'a>(&'a Dictionary, &'a Control);

impl Symbols for Interning<'_> {
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
        self.0.intern(text, self.1).map_err(|_| SymbolsFull)
    }
}

impl Rig {
    /// Recovers the store and opens an epoch, with one worker for all shards.
    pub fn new(store: Arc<dyn Store>, setup: Setup) -> Self {
        let recovered = recover_store(&store, &setup).expect("the store can be recovered");
        let world = recovered.world;
        let epoch = world.epoch + 1;
        let journal: Arc<StoreJournal> = recovered.journal;
        journal.fence(epoch).expect("nobody else has the journal");
        let defined = Defined::recovered(&world);
        let control = Arc::new(Control::new(defined));
        let progress = Arc::new(Progress::new(world.end, defined));
        let dictionary = Arc::new(world.dictionary);
        let shared = Arc::new(Shared {
            cells: world.cells,
            ids: recovered.ids,
            keys: Arc::new(tallystick::access::keys::KeyLog::new(world.keys)),
            freezes: FreezeLog::new(world.freezes, setup.clock_is_input),
            proposals: tallystick::shard::proposing::ProposalLog::new(world.proposals),
            tickets: Tickets::new(1),
            shard_count: setup.shard_count,
            clock_is_input: setup.clock_is_input,
            slice_entities: limits::SNAPSHOT_SLICE_ENTITIES,
        });
        let worker = Worker::new(0, 1, shared.clone(), world.programs, world.shards, recovered.snapshot_seqs);
        let chain = Chain { epoch, next: world.end, hash: world.hash };
        let committer = Committer::new(journal, control.clone(), progress.clone(), chain);
        let opening = Opening {
            epoch,
            at: NOON,
            time_zone_release: "none".into(),
            shard_count: setup.shard_count,
            clock_is_input: setup.clock_is_input,
        };
        control.push(&Record::Opening(opening), None);
        let mut rig = Self {
            store,
            shared,
            control,
            dictionary,
            progress,
            worker,
            committer,
            setup,
            publications: Arc::new(RwLock::new(world.publications)),
            submitted: Vec::new(),
            committed: Vec::new(),
            next_id: epoch << 32,
        };
        rig.commit();
        rig
    }

    /// Publishes a version that judges from `effective_at` on.
    pub fn publish(&mut self, source: &str, effective_at: TimestampNs) -> Arc<Program> {
        let published = self.publications.read().expect("no holder panics").len();
        let version = ProgramVersion(u32::try_from(published).expect("few versions") + 1);
        let symbols = &mut Interning(&self.dictionary, &self.control);
        let program = compile(source, version, effective_at, symbols).expect("the programme has no errors");
        let publication = Publication {
            version,
            effective_at,
            posted_at: NOON,
            partner: SymbolId::EMPTY,
            transaction_id: Box::default(),
            source: source.into(),
            actor: Box::default(),
        };
        let program = Arc::new(program);
        self.control.push(&Record::Program(publication.clone()), None);
        let position = Position(self.committer.chain().next.0 + self.queued_before_publication());
        self.commit();
        self.publications.write().expect("no holder panics").push((position, publication));
        self.worker.execute(Job::Publish(program.clone(), Box::new(|()| {})), 0);
        program
    }

    /// Records of the control shard in front of the one that was queued last.
    fn queued_before_publication(&self) -> u64 {
        self.control.seq().0 - self.progress.defined().seq.0 - 1
    }

    pub fn symbol(&self, text: &str) -> SymbolId {
        self.dictionary.intern(text, &*self.control).expect("there is room")
    }

    /// A line of a department and a brand.
    pub fn line(&self, department: &str, brand: &str, amount_minor: i64) -> Line {
        let item = Item { department: self.symbol(department), brand: self.symbol(brand), ..Item::default() };
        let item_id = self.dictionary.intern_item(&item, &*self.control).expect("there is room");
        Line { item_id, item, quantity: 1, amount_minor }
    }

    /// A claimed job with a transaction id and receipt of its own.
    pub fn job(&mut self, account: &str, lines: &[Line], at: TimestampNs) -> CommandJob {
        self.next_id += 1;
        let id = format!("rig-{:x}", self.next_id);
        let basket = Basket {
            store: self.symbol("s1"),
            terminal: self.symbol("t1"),
            cashier: self.symbol("c1"),
            receipt_number: id.as_str().into(),
            business_day: utc_day(at),
            receipt_at: at,
            lines: lines.to_vec(),
            ..Basket::default()
        };
        let command = Command {
            account_id: account.into(),
            transaction_id: id,
            partner: self.symbol("north"),
            kind: CommandKind::Accrue(basket),
            ..Command::default()
        };
        let ids = ids_of(&self.hasher(), &self.dictionary, &command);
        self.claim(ids.transaction);
        self.claim(ids.subject);
        let outcome = CommandOutcome::default();
        CommandJob {
            ticket: self.next_id,
            account_hash: account_hash(account),
            command,
            stamp: at,
            ids,
            day_by: None,
            deadline_ns: None,
            outcome,
        }
    }

    fn hasher(&self) -> tallystick::ids::IdHasher {
        self.setup.identity().id_hasher()
    }

    fn claim(&self, key: IdKey) {
        let claim = self.shared.ids.claim(key).expect("the index can be read");
        assert_eq!(claim, tallystick::ids::Claim::Granted, "the ids of a test are its own");
    }

    /// Decides an accrual of one line; the record waits in the open chunk.
    pub fn accrue(&mut self, account: &str, amount_minor: i64, at: TimestampNs) {
        let line = self.line("", "", amount_minor);
        let job = self.job(account, &[line], at);
        self.worker.execute(Job::Commands(CommandBatch::new(vec![Box::new(job)], Arc::new(drop::<CommandBatch>))), 0);
    }

    /// Hands the open chunk over and makes it durable; the worker is told.
    pub fn commit(&mut self) {
        let chunk = self.worker.seal();
        self.commit_chunk(chunk);
    }

    pub fn commit_chunk(&mut self, chunk: Option<Chunk>) {
        self.submitted.push(Submitted { worker: Some(0), chunk });
        self.committer.commit(&mut self.submitted, NOON, &mut self.committed).expect("the store takes the frames");
        for one in self.committed.drain(..) {
            if let Some((chunk, base)) = one.chunk {
                self.worker.committed(chunk, base);
                self.progress.processed(base);
            } else {
                self.worker.open_gates();
            }
        }
    }

    /// Makes a copy of a chunk durable without telling the worker; `base` becomes the position of its first record.
    pub fn make_durable(&mut self, chunk: &Chunk, base: &mut Position) {
        self.submitted.push(Submitted { worker: Some(0), chunk: Some(chunk.clone()) });
        self.committer.commit(&mut self.submitted, NOON, &mut self.committed).expect("the store takes the frames");
        let told = self.committed.pop().expect("one worker is told");
        (_, *base) = told.chunk.expect("its chunk comes back");
        assert!(self.committed.is_empty(), "one worker is told once");
    }

    /// Begins a snapshot after the one that is in force: the worker hands out slices from its next step on.
    pub fn begin_snapshot(&mut self) -> SnapshotRun {
        let in_force = Marker::read(&*self.store).expect("the marker can be read");
        let saved = in_force.map_or_else(Saved::default, |marker| marker.saved);
        let (run, sinks) =
            SnapshotRun::begin(&self.shared, &self.progress, &self.dictionary, &self.publications, saved, 1, NOON);
        for sink in sinks {
            self.worker.execute(Job::Snapshot(sink), 0);
        }
        run
    }

    /// Takes a whole snapshot.
    pub fn snapshot(&mut self) {
        let mut run = self.begin_snapshot();
        self.finish_snapshot(&mut run);
    }

    pub fn finish_snapshot(&mut self, run: &mut SnapshotRun) {
        while self.worker.is_taking_snapshot() {
            self.worker.snapshot_step();
            self.write_slices(run);
        }
        // Each step writes so many and no more.
        let mut steps = (0..10_000).map(|_| self.write_slices(run));
        assert!(steps.any(|state| matches!(state, RunState::Finished(_))), "everything is durable");
    }

    pub fn write_slices(&self, run: &mut SnapshotRun) -> RunState {
        run.step(&*self.store, NOON).expect("the store takes the slices")
    }
}
