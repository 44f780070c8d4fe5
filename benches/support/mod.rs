//! What the benches share: a programme, a dictionary, baskets, a worker over a store in memory.
#![allow(dead_code, reason = "each bench uses a part")]

use std::sync::Arc;

use tallystick::cells::Cells;
use tallystick::ids::{IdHasher, IdIndex, IdOptions};
use tallystick::journal::dictionary::{Definitions, Dictionary};
use tallystick::journal::record::Record;
use tallystick::ledger::command::{Basket, Command, CommandKind, Line};
use tallystick::ledger::decision::Decision;
use tallystick::ledger::freeze::Freezes;
use tallystick::ledger::program::Program;
use tallystick::ledger::state::{ShardState, account_hash};
use tallystick::ledger::types::{Day, Item, ProgramVersion, Seq, ShardId, SymbolId, TimestampNs};
use tallystick::limits::SNAPSHOT_SLICE_ENTITIES;
use tallystick::program::registry::Programs;
use tallystick::program::{Symbols, SymbolsFull, compile};
use tallystick::shard::freezing::FreezeLog;
use tallystick::shard::job::{ClaimedIds, CommandJob, CommandOutcome};
use tallystick::shard::tickets::Tickets;
use tallystick::shard::worker::{Shared, Worker};
use tallystick::store::memory::MemoryStore;

/// 2026-01-01T00:00:00Z.
pub const NOW: TimestampNs = TimestampNs(1_767_225_600_000_000_000);

/// A programme with 20 rules, both kinds of caps and a metric; with a budget when asked.
#[must_use]
pub fn program_source(budget: bool) -> String {
    let mut source = String::from(
        "[program]\nname = \"bench\"\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n\n[[wallets]]\nname = \"points\"\n\n\
         [earn]\nwallet = \"points\"\nunits = 1\nper_minor = 100\nrounding = \"floor\"\n\
         exclude = { department = [\"FUEL\", \"GIFT\"] }\nstacking = \"best-of\"\n\n",
    );
    for rule in 0..20 {
        source += &format!(
            "[[rules]]\nname = \"rule-{rule}\"\nmatch = {{ brand = [\"brand-{rule}\"] }}\nmultiplier_bps = {}\n\n",
            12_000 + rule * 100
        );
    }
    source += "[[caps]]\nname = \"day-units\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 1000000000\n\n\
               [[caps]]\nname = \"day-baskets\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 1000000000\n\n\
               [[metrics]]\nname = \"spend\"\nmeasure = \"eligible-amount\"\nwindow = \"year\"\n\n";
    if budget {
        source += "[[budgets]]\nname = \"campaign\"\nunits = 1000000000000\n\n";
    }
    source
}

/// Gives numbers without journaling them.
pub struct Unjournaled;

impl Definitions for Unjournaled {
    fn define(&self, _: Record) {}
}

struct Interning<'a>(&'a Dictionary);

impl Symbols for Interning<'_> {
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
        self.0.intern(text, &Unjournaled).map_err(|_| SymbolsFull)
    }
}

/// The compiled programme.
#[must_use]
pub fn program(dictionary: &Dictionary, budget: bool) -> Arc<Program> {
    let source = program_source(budget);
    let compiled = compile(&source, ProgramVersion(1), TimestampNs(i64::MIN), &mut Interning(dictionary));
    Arc::new(compiled.expect("the bench programme compiles"))
}

/// A command with so many lines for one of the accounts.
#[must_use]
pub fn accrual(dictionary: &Dictionary, number: u64, account: u64, line_count: usize) -> Command {
    let symbol = |text: &str| dictionary.intern(text, &Unjournaled).expect("the dictionary has room");
    let lines = (0..line_count)
        .map(|index| {
            let item = Item {
                sku: symbol(&format!("sku-{}", (number + index as u64) % 1_000)),
                category: symbol("DRY GOODS"),
                department: symbol("GROCERY"),
                brand: symbol(&format!("brand-{}", (number + index as u64) % 40)),
                margin_class: SymbolId::EMPTY,
            };
            let item_id = dictionary.intern_item(&item, &Unjournaled).expect("the dictionary has room");
            Line { item_id, item, quantity: 1, amount_minor: 1_299 }
        })
        .collect();
    Command {
        account_id: format!("member-{account}"),
        transaction_id: format!("6f1c2e7a-93b0-4d5e-8a11-{number:012x}"),
        partner: symbol("default"),
        kind: CommandKind::Accrue(Basket {
            store: symbol("store-330"),
            terminal: symbol("till-4"),
            cashier: symbol("cashier-17"),
            receipt_number: format!("{number}"),
            business_day: Day(20_454),
            receipt_at: NOW,
            lines,
            ..Basket::default()
        }),
        ..Command::default()
    }
}

/// A job around a command, with ids derived from its number, and memory reserved as the edge does.
#[must_use]
pub fn job(command: Command, number: u64) -> Box<CommandJob> {
    let hasher = IdHasher::new(&[7; 16]);
    let transaction = hasher.transaction("bench", &number.to_string());
    let subject = hasher.receipt("bench", "store-330", "till-4", 20_454, &number.to_string());
    let mut decision = Decision::default();
    decision.lines.reserve(16);
    decision.effects.counters.reserve(8);
    decision.clips.reserve(4);
    decision.cells.reserve(4);
    Box::new(CommandJob {
        ticket: number,
        account_hash: account_hash(&command.account_id),
        command,
        stamp: NOW,
        ids: ClaimedIds { transaction, subject, freed: None },
        day_by: None,
        deadline_ns: None,
        outcome: CommandOutcome { decision, ..CommandOutcome::default() },
    })
}

/// One worker that owns 16 shards over a store in memory.
#[must_use]
pub fn worker(program: Arc<Program>) -> (Worker, Arc<Shared>) {
    let store = Arc::new(MemoryStore::new());
    let (ids, _) = IdIndex::open(store, &IdOptions::default()).expect("an empty index opens");
    let shared = Arc::new(Shared {
        cells: Cells::default(),
        ids,
        keys: Arc::default(),
        freezes: FreezeLog::new(Freezes::default(), false),
        proposals: <_>::default(),
        tickets: Tickets::new(1),
        shard_count: 16,
        clock_is_input: false,
        slice_entities: SNAPSHOT_SLICE_ENTITIES,
    });
    let mut programs = Programs::default();
    programs.append(program).expect("the first version");
    let shards = (0..16).map(|number| ShardState::new(ShardId(number))).collect();
    (Worker::new(0, 1, shared.clone(), programs, shards, vec![Seq(0); 16]), shared)
}
