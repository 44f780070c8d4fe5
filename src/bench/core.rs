//! The path of an accrual without input and output: reading and checking the request, names, ids, decision, record,
//! frame; in processor time of the one thread, so that whoever else uses the machine does not count.
//!
//! What must stay true: what is timed is the code that serves, driven as the engine drives it, by one thread; what a
//! server does in the background (writing ids) or for the transport is not counted, and is said not to be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::baskets::{Assortment, Numbers, Shape, Source, Templates};
use super::error::BenchError;
use super::figures::{Figure, Ledger};
use super::machine::Machine;
use super::process::{own_usage, thread_processor_ns};
use super::recorder::histogram;
use super::world::{Population, Tell};
use crate::cells::Cells;
use crate::clock::{Clock, SystemClock};
use crate::ids::{Claim, Claiming, IdEntry, IdHasher, IdIndex, IdKey, IdOptions};
use crate::journal::dictionary::{Definitions, Dictionary, DictionaryFull};
use crate::journal::frame::{Chain, Frame};
use crate::journal::record::Record;
use crate::ledger::command::{Basket, Command, CommandKind, Line};
use crate::ledger::decision::Decision;
use crate::ledger::draws::{self, Draw};
use crate::ledger::freeze::Freezes;
use crate::ledger::program::Program;
use crate::ledger::state::{CellRoom, Change, Context, ShardState, shard_of};
use crate::ledger::types::{Item, Position, ProgramVersion, ShardId, SymbolId, TimestampNs};
use crate::ledger::zone::utc_day;
use crate::limits::{CLAIM_WINDOW_COMMANDS, SHARD_COUNT_DEFAULT, SNAPSHOT_SLICE_ENTITIES};
use crate::program::registry::Programs;
use crate::program::{Symbols, SymbolsFull, compile};
use crate::service::auth::{Caller, Principal};
use crate::service::intake::{Intake, Moment, prepare_answer};
use crate::service::names::NameCache;
use crate::service::wire;
use crate::shard::freezing::FreezeLog;
use crate::shard::job::{CommandBatch, CommandJob, Decided, Job, Mailbox};
use crate::shard::tickets::Tickets;
use crate::shard::worker::{Shared, Worker};
use crate::store::memory::MemoryStore;

/// Commands that travel together, as on a busy server.
const BATCH: usize = 1_000;
/// What callers act for.
const PARTNER: &str = "issuer-0";
/// Steps of the background between two looks at the progress.
const TELL_EVERY: u64 = 100_000;

/// What to measure the core with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoreOptions {
    /// The accounts.
    pub population: Population,
    /// Ids that are remembered before the measurement.
    pub id_count: u64,
    /// Text of the programme.
    pub program: String,
}

/// Gives numbers without journaling them.
struct Unjournaled;

impl Definitions for Unjournaled {
    fn define(&self, _: Record) {}
}

struct Interning<'a>(&'a Dictionary);

impl Symbols for Interning<'_> {
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
        self.0.intern(text, &Unjournaled).map_err(|_| SymbolsFull)
    }
}

/// Time spent in each part of the path.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Spent {
    names_ns: i64,
    claims_ns: i64,
    worker_ns: i64,
    frames_ns: i64,
    release_ns: i64,
    background_ns: i64,
    accrual_count: u64,
}

/// A ledger in memory.
struct Core {
    worker: Worker,
    shared: Arc<Shared>,
    dictionary: Dictionary,
    hasher: IdHasher,
    chain: Chain,
    frames: Vec<Frame>,
    stamp: TimestampNs,
    caller: Caller,
    moment: Moment,
    names: NameCache,
    keys: Vec<IdKey>,
    claiming: Claiming,
    returned: Arc<Returned>,
}

/// Jobs that were answered.
#[derive(Default)]
struct Returned(Mutex<Vec<Box<CommandJob>>>);

impl Mailbox for Returned {
    fn prepare(&self, decided: &Decided<'_>, out: &mut Vec<u8>) {
        prepare_answer(decided, out);
    }

    fn deliver(&self, mut batch: CommandBatch) {
        *self.0.lock().expect("no holder panics") = std::mem::take(&mut batch.jobs);
    }
}

/// A core that can be measured, again and again.
pub struct Prepared {
    core: Core,
    source: Source,
    memory: BTreeMap<String, f64>,
    ledger: Ledger,
}

impl Prepared {
    /// Makes accounts, and remembers ids.
    ///
    /// # Errors
    /// When the programme cannot be used, or the ids cannot be kept.
    pub fn make(options: &CoreOptions, tell: &mut Tell<'_>) -> Result<Self, BenchError> {
        prepare(options, tell)
    }

    /// Measures the core until the path itself took so long.
    ///
    /// # Errors
    /// When a basket is not taken.
    pub fn measure(&mut self, measure: Duration, tell: &mut Tell<'_>) -> Result<CoreRun, BenchError> {
        let measure_ns = i64::try_from(measure.as_nanos()).unwrap_or(i64::MAX);
        let (spent, latency, record_bytes) = self.core.run(&mut self.source, measure_ns, tell)?;
        let latency_ns = Latency {
            p50: latency.value_at_quantile(0.5),
            p99: latency.value_at_quantile(0.99),
            p999: latency.value_at_quantile(0.999),
            max: latency.max(),
        };
        Ok(CoreRun { spent, latency_ns, record_bytes, memory: self.memory.clone(), ledger: self.ledger.clone() })
    }
}

/// What one measurement of a core found, whichever process it lives in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CoreRun {
    spent: Spent,
    latency_ns: Latency,
    record_bytes: f64,
    memory: BTreeMap<String, f64>,
    ledger: Ledger,
}

/// Times that batches took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Latency {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl CoreRun {
    /// The figure, in random reads of this machine as well.
    #[must_use]
    pub fn figure(&self, machine: &Machine) -> Figure {
        figure(self, machine)
    }
}

fn prepare(options: &CoreOptions, tell: &mut Tell<'_>) -> Result<Prepared, BenchError> {
    let dictionary = Dictionary::new();
    let compiled = compile(&options.program, ProgramVersion(1), TimestampNs(i64::MIN), &mut Interning(&dictionary));
    let program = compiled.map_err(|problems| {
        BenchError::Program(problems.iter().map(|problem| problem.in_file("it")).collect::<Vec<_>>().join("; "))
    })?;
    let program = Arc::new(program);
    let stamp = SystemClock::new().now();
    let mut memory = BTreeMap::new();
    let (ids, hasher) = prefill_ids(options.id_count, &mut memory, tell)?;
    let population = options.population;
    let assortment = Assortment {
        line_count: 1,
        currency: program.currency.clone(),
        receipt_at: stamp,
        seed: population.seed,
        all_eligible: true,
    };
    let mut fill = Fill { dictionary: &dictionary, program: &program, stamp, next: Position(options.id_count) };
    let shards = fill.shards(population, &assortment, &mut memory, tell)?;
    let next = fill.next;
    let shared = Arc::new(Shared {
        cells: Cells::default(),
        ids,
        keys: Arc::default(),
        freezes: FreezeLog::new(Freezes::default(), false),
        proposals: <_>::default(),
        tickets: Tickets::new(1),
        shard_count: SHARD_COUNT_DEFAULT,
        clock_is_input: false,
        slice_entities: SNAPSHOT_SLICE_ENTITIES,
    });
    let mut programs = Programs::default();
    programs.append(program.clone()).map_err(|error| BenchError::Ledger(error.to_string()))?;
    let seqs = shards.iter().map(|shard| shard.seq).collect();
    let moment = Moment { programs: Arc::new(programs.clone()), stamp, monotonic_ns: 0 };
    let worker = Worker::new(0, 1, shared.clone(), programs, shards, seqs);
    let principal = Arc::new(Principal::anyone(PARTNER.into(), intern(&dictionary, PARTNER)?));
    let chain = Chain { epoch: 1, next, hash: [0; 32] };
    let core = Core {
        worker,
        shared,
        dictionary,
        hasher,
        chain,
        frames: Vec::new(),
        stamp,
        caller: Caller { principal, deadline_ns: None, permit: None },
        moment,
        names: NameCache::default(),
        keys: Vec::new(),
        claiming: Claiming::default(),
        returned: Arc::default(),
    };
    let assortment = Assortment { line_count: population.line_count, all_eligible: false, ..assortment };
    let templates = Templates::new(Shape::Unary, &assortment);
    let source = Source::new(templates, Numbers::default(), population.account_count, population.seed ^ 1);
    Ok(Prepared { core, source, memory, ledger: Ledger::of(population, &program) })
}

fn figure(run: &CoreRun, machine: &Machine) -> Figure {
    let CoreRun { spent, latency_ns, record_bytes, memory, ledger } = run;
    let count = spent.accrual_count.max(1) as f64;
    let path_ns = spent.names_ns + spent.claims_ns + spent.worker_ns + spent.frames_ns + spent.release_ns;
    let each = |ns: i64| ns as f64 / count;
    let us = |ns: u64| ns as f64 / 1_000.0;
    let mut more = memory.clone();
    let reads = each(path_ns) / machine.random_read_ns.max(f64::MIN_POSITIVE);
    for (name, value) in [
        ("ns_per_accrual", each(path_ns)),
        ("random_reads_per_accrual", reads),
        ("ns_read_check_name_hash", each(spent.names_ns)),
        ("ns_claims", each(spent.claims_ns)),
        ("ns_decide_encode_apply", each(spent.worker_ns)),
        ("ns_frames_and_hash", each(spent.frames_ns)),
        ("ns_enter_ids_and_answer", each(spent.release_ns)),
        ("ns_background_ids_not_counted", each(spent.background_ns)),
    ] {
        more.insert(name.to_owned(), value);
    }
    Figure {
        name: "core".to_owned(),
        ops_per_second: 1e9 * count / path_ns.max(1) as f64,
        p50_us: us(latency_ns.p50),
        p99_us: us(latency_ns.p99),
        p999_us: us(latency_ns.p999),
        max_us: us(latency_ns.max),
        batch: BATCH,
        seconds: path_ns as f64 / 1e9,
        record_bytes: Some(*record_bytes),
        ledger: Some(ledger.clone()),
        more,
        ..Figure::default()
    }
}

/// Opens an index and enters ids that nobody will ask for.
fn prefill_ids(
    id_count: u64,
    memory: &mut BTreeMap<String, f64>,
    tell: &mut Tell<'_>,
) -> Result<(IdIndex, IdHasher), BenchError> {
    let failed = |error: crate::ids::IdError| BenchError::Ledger(error.to_string());
    let (ids, _) = IdIndex::open(Arc::new(MemoryStore::new()), &IdOptions::default()).map_err(failed)?;
    let hasher = IdHasher::new(&[7; 16]);
    let before_bytes = own_usage().resident_bytes;
    for number in 0..id_count {
        let key = hasher.transaction("earlier", &number.to_string());
        ids.insert(key, IdEntry { position: Position(number), freed: false });
        if number % 4_096 == 0 {
            while ids.maintain(Position(number)).map_err(failed)?.more_waits() {}
        }
        if number % TELL_EVERY == 0 {
            tell("Remembering ids", number, id_count);
        }
    }
    memory.insert("ids_remembered_before".to_owned(), id_count as f64);
    if id_count > 0 {
        let bytes = own_usage().resident_bytes.saturating_sub(before_bytes);
        memory.insert("memory_bytes_per_id".to_owned(), bytes as f64 / id_count as f64);
    }
    Ok((ids, hasher))
}

/// Makes accounts without a journal.
struct Fill<'a> {
    dictionary: &'a Dictionary,
    program: &'a Program,
    stamp: TimestampNs,
    next: Position,
}

impl Fill<'_> {
    /// The shards with all their accounts.
    fn shards(
        &mut self,
        population: Population,
        assortment: &Assortment,
        memory: &mut BTreeMap<String, f64>,
        tell: &mut Tell<'_>,
    ) -> Result<Vec<ShardState>, BenchError> {
        let mut shards: Vec<_> = (0..SHARD_COUNT_DEFAULT).map(|number| ShardState::new(ShardId(number))).collect();
        let templates = Templates::new(Shape::Unary, assortment);
        let total = population.account_count * population.lot_count;
        let held_bytes = |shards: &[ShardState]| shards.iter().map(ShardState::held_bytes).sum::<usize>();
        let mut first_bytes = 0;
        for issuer in 0..population.lot_count {
            let partner = intern(self.dictionary, &format!("issuer-{issuer}"))?;
            let mut source = Source::new(templates.clone(), Numbers::default(), 1, issuer);
            // The same thousand baskets over and over: this is not measured.
            let baskets = self.baskets(&mut source, partner)?;
            let mut decision = Decision::default();
            for account in 0..population.account_count {
                let choice = usize::try_from(account % BATCH as u64).unwrap_or(0);
                let mut command = baskets.get(choice).expect("there is a basket for each choice").clone();
                command.account_id = format!("member-{account:08}");
                self.give(&mut shards, &command, &mut decision);
                if account % TELL_EVERY == 0 {
                    tell("Making accounts", issuer * population.account_count + account, total);
                }
            }
            if issuer == 0 {
                first_bytes = held_bytes(&shards);
            }
        }
        let accounts = population.account_count as f64;
        let end_bytes = held_bytes(&shards);
        let windows = self.program.caps.len() + self.program.metrics.len();
        memory.insert("memory_bytes_per_account".to_owned(), end_bytes as f64 / accounts);
        if population.lot_count > 1 {
            let lots = accounts * (population.lot_count - 1) as f64;
            memory
                .insert("memory_bytes_per_further_lot".to_owned(), end_bytes.saturating_sub(first_bytes) as f64 / lots);
        }
        memory.insert("windows_per_account".to_owned(), windows as f64);
        Ok(shards)
    }

    fn baskets(&self, source: &mut Source, partner: SymbolId) -> Result<Vec<Command>, BenchError> {
        let one = |request| named(self.dictionary, request, partner, self.stamp);
        (0..BATCH).map(|_| one(decoded(source)?)).collect()
    }

    fn give(&mut self, shards: &mut [ShardState], command: &Command, decision: &mut Decision) {
        let shard = shard_of(&command.account_id, SHARD_COUNT_DEFAULT);
        let state = shards.get_mut(usize::from(shard.0)).expect("every shard was made");
        // Cells are not what is filled here: there is always room.
        let room =
            |draw: &Draw| CellRoom { cell: draw.cell, version: 1, room: draw.limit, retain_until: draw.retain_until };
        let mut draws = Vec::new();
        draws::list(self.program, command, self.stamp, &mut draws);
        let rooms: Vec<CellRoom> = draws.iter().map(room).collect();
        let context = Context { program: self.program, posted_at: self.stamp, rooms: &rooms, frozen: None };
        state.decide(command, &context, decision);
        let account = state.find(&command.account_id).unwrap_or_else(|| state.next_account());
        state.apply(&Change {
            seq: state.seq.next(),
            position: Some(self.next),
            posted_at: self.stamp,
            account,
            account_id: &command.account_id,
            partner: command.partner,
            decision,
        });
        self.next = Position(self.next.0 + 1);
    }
}

fn intern(dictionary: &Dictionary, text: &str) -> Result<SymbolId, BenchError> {
    dictionary.intern(text, &Unjournaled).map_err(|error| full(&error))
}

fn full(error: &DictionaryFull) -> BenchError {
    BenchError::Ledger(error.to_string())
}

fn decoded(source: &mut Source) -> Result<wire::AccrueRequest, BenchError> {
    wire::AccrueRequest::decode(source.one()).map_err(|error| BenchError::Ledger(error.to_string()))
}

/// Turns strings into numbers, as the edge does.
fn named(
    dictionary: &Dictionary,
    request: wire::AccrueRequest,
    partner: SymbolId,
    stamp: TimestampNs,
) -> Result<Command, BenchError> {
    let basket = request.basket.ok_or_else(|| BenchError::Ledger("a request has no basket".to_owned()))?;
    let mut lines = Vec::with_capacity(basket.lines.len());
    for line in &basket.lines {
        let item = Item {
            sku: intern(dictionary, &line.sku)?,
            category: intern(dictionary, &line.category)?,
            department: intern(dictionary, &line.department)?,
            brand: intern(dictionary, &line.brand)?,
            margin_class: intern(dictionary, &line.margin_class)?,
        };
        let item_id = dictionary.intern_item(&item, &Unjournaled).map_err(|error| full(&error))?;
        lines.push(Line { item_id, item, quantity: line.quantity, amount_minor: line.amount_minor });
    }
    Ok(Command {
        account_id: request.account_id,
        transaction_id: request.transaction_id,
        partner,
        kind: CommandKind::Accrue(Basket {
            store: intern(dictionary, &basket.store_id)?,
            terminal: intern(dictionary, &basket.terminal_id)?,
            cashier: intern(dictionary, &basket.cashier_id)?,
            receipt_number: basket.receipt_number,
            business_day: utc_day(stamp),
            receipt_at: stamp,
            lines,
            ..Basket::default()
        }),
        ..Command::default()
    })
}

impl Core {
    /// Measures until the path itself took as long as asked.
    fn run(
        &mut self,
        source: &mut Source,
        measure_ns: i64,
        tell: &mut Tell<'_>,
    ) -> Result<(Spent, hdrhistogram::Histogram<u64>, f64), BenchError> {
        let mut latency = histogram();
        let (mut spent, mut path_ns, mut bytes) = (Spent::default(), 0, 0);
        // The first batches warm caches and buffers up.
        for round in 0.. {
            let is_warm = round >= 20;
            if is_warm && path_ns >= measure_ns {
                break;
            }
            let requests: Vec<Vec<u8>> = (0..BATCH).map(|_| source.one().to_vec()).collect();
            let mut batch = Spent::default();
            bytes += self.batch(&requests, &mut batch)?;
            if !is_warm {
                bytes = 0;
                continue;
            }
            let batch_ns = batch.names_ns + batch.claims_ns + batch.worker_ns + batch.frames_ns + batch.release_ns;
            latency.saturating_record(u64::try_from(batch_ns).unwrap_or(0).max(1));
            path_ns += batch_ns;
            spent.add(&batch);
            if round % 16 == 0 {
                tell("Core", u64::try_from(path_ns).unwrap_or(0), u64::try_from(measure_ns).unwrap_or(0));
            }
        }
        Ok((spent, latency, bytes as f64 / spent.accrual_count.max(1) as f64))
    }

    /// Takes one batch through the whole path; returns the bytes of its frames.
    fn batch(&mut self, requests: &[Vec<u8>], spent: &mut Spent) -> Result<u64, BenchError> {
        let failed = |error: crate::ids::IdError| BenchError::Ledger(error.to_string());
        let begin_ns = thread_processor_ns();
        let mut jobs = std::mem::take(&mut *self.returned.0.lock().expect("no holder panics"));
        jobs.resize_with(requests.len(), || Box::new(CommandJob::blank()));
        for (request, job) in requests.iter().zip(&mut jobs) {
            job.reset();
            let intake = Intake {
                hasher: &self.hasher,
                dictionary: &self.dictionary,
                definitions: &Unjournaled,
                clock_is_input: false,
            };
            let prepared = intake.prepare_bytes(&self.caller, request, &self.moment, &mut self.names, job);
            prepared.map_err(BenchError::Ledger)?;
        }
        let named_ns = thread_processor_ns();
        for window in jobs.chunks(CLAIM_WINDOW_COMMANDS) {
            self.keys.clear();
            self.keys.extend(window.iter().flat_map(|job| [job.ids.transaction, job.ids.subject]));
            self.shared.ids.claim_many(&self.keys, &mut self.claiming).map_err(failed)?;
            if self.claiming.claims().iter().any(|claim| *claim != Claim::Granted) {
                return Err(BenchError::Ledger("an id of the load was used before".to_owned()));
            }
        }
        let claimed_ns = thread_processor_ns();
        self.worker.execute(Job::Commands(CommandBatch::new(jobs, self.returned.clone())), 0);
        let executed_ns = thread_processor_ns();
        let chunk = self.worker.seal().ok_or_else(|| BenchError::Ledger("a batch left no records".to_owned()))?;
        self.frames.clear();
        let bases = self.chain.assemble(std::iter::once(&chunk), self.stamp, &mut self.frames);
        let assembled_ns = thread_processor_ns();
        let base = bases.first().ok_or_else(|| BenchError::Ledger("a chunk has no position".to_owned()))?;
        self.worker.committed(chunk, *base);
        let released_ns = thread_processor_ns();
        while self.shared.ids.maintain(self.chain.next).map_err(failed)?.more_waits() {}
        *spent = Spent {
            names_ns: named_ns - begin_ns,
            claims_ns: claimed_ns - named_ns,
            worker_ns: executed_ns - claimed_ns,
            frames_ns: assembled_ns - executed_ns,
            release_ns: released_ns - assembled_ns,
            background_ns: thread_processor_ns() - released_ns,
            accrual_count: BATCH as u64,
        };
        Ok(self.frames.iter().map(|frame| frame.bytes.len() as u64).sum())
    }
}

impl Spent {
    fn add(&mut self, batch: &Self) {
        self.names_ns += batch.names_ns;
        self.claims_ns += batch.claims_ns;
        self.worker_ns += batch.worker_ns;
        self.frames_ns += batch.frames_ns;
        self.release_ns += batch.release_ns;
        self.background_ns += batch.background_ns;
        self.accrual_count += batch.accrual_count;
    }
}
