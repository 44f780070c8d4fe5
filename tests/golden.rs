//! The bytes of every format that was ever written: they may grow new kinds, but what is there never changes.
//!
//! Each file of `tests/golden` holds one thing in hexadecimal digits. A test encodes what it describes, compares, and
//! decodes the file again. `TALLYSTICK_BLESS=1 cargo test --test golden` writes the files anew; do that for a new kind,
//! never to make a failing comparison pass: a directory of an earlier release would no longer open.
//! `docs/format.md` gives the layouts.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use support::edge::{Accrue, LineText};
use support::{Ledger, ManualClock, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs, verify_store};
use tallystick::journal::chunk::Chunk;
use tallystick::journal::dictionary::Dictionary;
use tallystick::journal::frame::{Chain, Frame, FrameView};
use tallystick::journal::leaf::{leaf, salt};
use tallystick::journal::log::{HighWater, StoreJournal};
use tallystick::journal::record::{
    Entry, EntryHeader, Opening, PreviousRecord, Publication, Record, decode, encode_control, encode_entry,
};
use tallystick::ledger::account::{Account, Counter, Lot, PartnerAccount, Totals, WalletTotals};
use tallystick::ledger::command::{Basket, Command, CommandKind, Granted, Line, Receipt, Reversal};
use tallystick::ledger::decision::{
    CellUse, Clip, CounterChange, Decision, Effects, LineOutcome, LotKey, Outcome, Refusal, TotalsChange,
};
use tallystick::ledger::program::{LineClass, RuleIndex};
use tallystick::ledger::types::{
    AccountNumber, CellId, Day, Item, ItemId, Position, ProgramVersion, Seq, ShardId, SymbolId, TimestampNs, WalletId,
};
use tallystick::limits::ONE_LINE_RECORD_BYTES_MAX;
use tallystick::recovery::identity::Identity;
use tallystick::snapshot::entity::Entity;
use tallystick::snapshot::{Marker, Saved};
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Batch, Durability, Space, Store};

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

fn is_blessing() -> bool {
    std::env::var_os("TALLYSTICK_BLESS").is_some_and(|value| value == "1")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits");
    digits.chunks_exact(2).map(byte).collect()
}

/// Compares with the file, or writes it; gives the file's bytes.
#[track_caller]
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = path(&format!("{name}.hex"));
    if is_blessing() {
        let lines: Vec<String> = bytes.chunks(32).map(hex).collect();
        std::fs::write(&path, lines.join("\n") + "\n").expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(hex(bytes), hex(&unhex(&kept)), "{name} is not encoded as it always was");
    unhex(&kept)
}

/// The names that the records below use: one item of all attributes and one of a few.
fn dictionary() -> Dictionary {
    let dictionary = Dictionary::new();
    for (number, text) in (1..).zip([
        "points",
        "north",
        "store-0330",
        "till-12",
        "cashier-0042",
        "visits",
        "daily",
        "yearly",
        "spent",
        "opening",
        "0009878513",
        "FACIAL TISS/DNR NAPKIN",
        "GROCERY",
        "Private",
        "standard",
    ]) {
        dictionary.restore_symbol(SymbolId(number), text).expect("numbers ascend");
    }
    let [sku, category, department, brand, margin_class] = [11, 12, 13, 14, 15].map(SymbolId);
    let full = Item { sku, category, department, brand, margin_class };
    dictionary.restore_item(ItemId(1), &full).expect("its strings are known");
    dictionary.restore_item(ItemId(2), &Item { department, ..Item::default() }).expect("its strings are known");
    dictionary
}

fn line(item: u32, quantity: i64, amount_minor: i64) -> Line {
    let item_id = ItemId(item);
    Line { item_id, item: dictionary().item(item_id).expect("the item is known"), quantity, amount_minor }
}

fn basket(lines: Vec<Line>) -> Basket {
    Basket {
        store: SymbolId(3),
        terminal: SymbolId(4),
        cashier: SymbolId(5),
        receipt_number: "4711000000000042".into(),
        business_day: Day(17_225),
        receipt_at: TimestampNs(NOON.0 - 90 * NS_PER_SECOND),
        lines,
    }
}

fn counter(counter: u32, period: i32, delta: i64, retain_until: i32) -> CounterChange {
    CounterChange { counter: SymbolId(counter), period, delta, retain_until: Day(retain_until) }
}

fn lot_key() -> LotKey {
    LotKey { wallet: WalletId(0), issuer: SymbolId(2), funding_rate_bps: 0, expires_at: LotKey::NEVER }
}

const TRANSACTION: &str = "018f3c5e-7a10-7000-8000-0000000004d2";

/// An accrual with every optional part: opens its account, two lines, a clip by a cap and one by a budget.
fn full_accrual() -> Entry {
    let decision = Decision {
        outcome: Outcome::Granted,
        account_known: true,
        program: ProgramVersion(12),
        wallet: WalletId(0),
        lines: vec![
            LineOutcome { class: LineClass::Rule(RuleIndex(3)) },
            LineOutcome { class: LineClass::Ineligible },
            LineOutcome { class: LineClass::Base },
        ],
        earned: 259,
        granted: 150,
        over_velocity: None,
        clips: vec![
            Clip { source: SymbolId(7), is_budget: false, units: 59 },
            Clip { source: SymbolId(10), is_budget: true, units: 50 },
        ],
        cells: vec![CellUse { cell: CellId(10), version: 8_000_001, room_before: 150, used: 150 }],
        effects: Effects {
            opens_account: true,
            lot: Some((lot_key(), 150)),
            counters: vec![
                counter(6, 17_226, 1, 17_258),
                counter(7, 17_226, 150, 17_258),
                counter(8, 2017, 150, 17_563),
                counter(9, 2017, 12_999, 17_563),
            ],
            totals: TotalsChange::default(),
        },
        balance_after: 150,
    };
    let totals = TotalsChange::of_accrual(decision.granted, &decision.clips, false);
    Entry {
        previous: PreviousRecord::None,
        account: AccountNumber(11_718),
        posted_at: NOON,
        command: Command {
            account_id: "household-000000001234".into(),
            transaction_id: TRANSACTION.into(),
            partner: SymbolId(2),
            kind: CommandKind::Accrue(basket(vec![line(1, 1, 12_999), line(2, 3, 500), line(0, 0, 0)])),
        },
        decision: Decision { effects: Effects { totals, ..decision.effects }, ..decision },
    }
}

/// What `docs/format.md` gives the size of: one line, UUID, store, terminal, cashier, receipt, three caps, a metric, a
/// budget, on an account with a long history.
fn one_line_accrual() -> Entry {
    let mut entry = full_accrual();
    entry.previous = PreviousRecord::At(Position(1_000_000_000));
    entry.command.account_id = String::new();
    entry.command.kind = CommandKind::Accrue(basket(vec![line(1, 1, 12_999)]));
    entry.decision.lines.truncate(1);
    entry.decision.clips.clear();
    entry.decision.earned = 150;
    entry.decision.effects.opens_account = false;
    entry.decision.effects.totals = TotalsChange::of_accrual(150, &[], false);
    entry.decision.balance_after = 1_234_567;
    entry
}

fn minimal_accrual() -> Entry {
    let mut entry = one_line_accrual();
    let bare = Basket {
        terminal: SymbolId::EMPTY,
        cashier: SymbolId::EMPTY,
        receipt_number: "R-1".into(),
        business_day: Day(17_226),
        receipt_at: NOON,
        ..basket(vec![line(0, 0, 0)])
    };
    entry.previous = PreviousRecord::Back(1);
    entry.account = AccountNumber(0);
    entry.command.transaction_id = "0".into();
    entry.command.kind = CommandKind::Accrue(bare);
    entry.decision = Decision {
        account_known: true,
        program: ProgramVersion(1),
        lines: vec![LineOutcome { class: LineClass::Base }],
        effects: Effects { totals: TotalsChange::of_accrual(0, &[], false), ..Effects::default() },
        ..Decision::default()
    };
    entry
}

fn accrual_over_velocity() -> Entry {
    let mut entry = one_line_accrual();
    entry.command.transaction_id = "order 7/2017-ä".into();
    let decision = &mut entry.decision;
    (decision.granted, decision.over_velocity) = (0, Some(SymbolId(6)));
    decision.cells.clear();
    decision.effects.lot = None;
    decision.effects.counters = vec![counter(9, 2017, 12_999, 17_563)];
    decision.effects.totals = TotalsChange::of_accrual(0, &[], true);
    entry
}

fn refused_accrual() -> Entry {
    let mut entry = one_line_accrual();
    entry.decision = refused(&entry.decision);
    entry
}

fn refused(decision: &Decision) -> Decision {
    Decision {
        outcome: Outcome::Refused(Refusal::BalanceLimitExceeded),
        account_known: true,
        program: decision.program,
        balance_after: 999_999_999_999,
        ..Decision::default()
    }
}

fn reversal_of(original: &Entry) -> Entry {
    let granted = original.granted().expect("it was granted");
    let decision = Decision {
        account_known: true,
        program: ProgramVersion(12),
        granted: -granted.units,
        cells: granted
            .cells
            .iter()
            .map(|taken| CellUse { cell: taken.cell, version: 8_000_009, room_before: 0, used: -taken.used })
            .collect(),
        effects: Effects {
            opens_account: false,
            lot: granted.lot.map(|key| (key, -granted.units)),
            counters: granted.counters.iter().map(|change| CounterChange { delta: -change.delta, ..*change }).collect(),
            totals: TotalsChange::of_reversal(granted.units),
        },
        balance_after: 12,
        ..Decision::default()
    };
    Entry {
        previous: PreviousRecord::At(Position(1_000_000_007)),
        account: original.account,
        posted_at: TimestampNs(NOON.0 + 40 * NS_PER_DAY),
        command: Command {
            account_id: String::new(),
            transaction_id: "018f3c5e-7a10-7000-8000-0000000004d3".into(),
            partner: SymbolId(2),
            kind: CommandKind::Reverse(Reversal {
                original_transaction_id: original.command.transaction_id.as_str().into(),
                original_position: Position(1_000_000_000),
                original: granted,
            }),
        },
        decision,
    }
}

fn refused_reversal() -> Entry {
    let mut entry = reversal_of(&one_line_accrual());
    entry.decision = refused(&entry.decision);
    entry
}

fn publication() -> Publication {
    Publication {
        version: ProgramVersion(2),
        effective_at: TimestampNs(NOON.0 + NS_PER_DAY),
        posted_at: NOON,
        partner: SymbolId(2),
        transaction_id: "publish-2".into(),
        source: "[program]\nname = \"corner\"\n".into(),
    }
}

fn opening() -> Opening {
    Opening { epoch: 3, at: NOON, time_zone_release: "2025b".into(), shard_count: 256, clock_is_input: false }
}

fn item() -> Item {
    dictionary().item(ItemId(1)).expect("the item is known")
}

/// Every kind of record, each with everything that is optional present in one of its rows and absent in another.
fn records() -> Vec<(&'static str, Record)> {
    let entry = |entry: Entry| Record::Entry(Box::new(entry));
    vec![
        ("record-accrual-full", entry(full_accrual())),
        ("record-accrual-one-line", entry(one_line_accrual())),
        ("record-accrual-minimal", entry(minimal_accrual())),
        ("record-accrual-over-velocity", entry(accrual_over_velocity())),
        ("record-accrual-refused", entry(refused_accrual())),
        ("record-reversal-full", entry(reversal_of(&full_accrual()))),
        ("record-reversal-minimal", entry(reversal_of(&minimal_accrual()))),
        ("record-reversal-refused", entry(refused_reversal())),
        ("record-opening", Record::Opening(opening())),
        ("record-symbol", Record::Symbol(SymbolId(300), "FACIAL TISS/DNR NAPKIN".into())),
        ("record-item", Record::Item(ItemId(70_000), item())),
        ("record-program", Record::Program(publication())),
    ]
}

fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    match record {
        Record::Entry(entry) => {
            let header = EntryHeader { previous: entry.previous, account: entry.account, posted_at: entry.posted_at };
            encode_entry(&mut out, &header, &entry.command, &entry.decision);
        }
        record => encode_control(&mut out, record),
    }
    out
}

#[test]
fn every_kind_of_record_keeps_its_bytes() {
    for (name, record) in records() {
        let kept = golden(name, &encode(&record));
        let decoded = decode(&kept, &dictionary()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(decoded, record, "{name}");
        assert_eq!(encode(&decoded), kept, "{name}");
        for length in 0..kept.len() {
            assert!(decode(&kept[..length], &dictionary()).is_err(), "{name} cut to {length} bytes is no record");
        }
        let longer = [kept.as_slice(), &[0]].concat();
        assert!(decode(&longer, &dictionary()).is_err(), "{name} with a byte more is no record");
    }
}

#[test]
fn a_record_that_decodes_has_one_form_only() {
    // A changed byte gives another record or none, but never the same record in other bytes.
    for (name, record) in records() {
        let bytes = encode(&record);
        for index in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[index] ^= flip;
                if let Ok(decoded) = decode(&changed, &dictionary()) {
                    assert_ne!(decoded, record, "{name}, byte {index} changed by {flip:#x}");
                }
            }
        }
    }
}

#[test]
fn a_record_has_no_flags_but_those_of_its_kind() {
    const LOT: u8 = 8;
    const TERMINAL: u8 = 2;
    let rows = [
        ("record-accrual-refused", LOT),
        ("record-accrual-refused", 1),
        ("record-reversal-full", LOT),
        ("record-reversal-full", TERMINAL),
        ("record-reversal-refused", TERMINAL),
        ("record-accrual-full", 32),
    ];
    for (name, flag) in rows {
        let (_, record) = records().into_iter().find(|(known, _)| *known == name).expect("a record of this test");
        let mut bytes = encode(&record);
        assert_eq!(bytes[1] & flag, 0, "{name}");
        bytes[1] |= flag;
        assert!(decode(&bytes, &dictionary()).is_err(), "{name} with flag {flag}");
    }
    // A terminal that is the empty string is left out, not written as number 0.
    let mut bytes = encode(&Record::Entry(Box::new(one_line_accrual())));
    let at = bytes.windows(3).position(|window| window == [3, 4, 5]).expect("store, terminal, cashier");
    bytes[at + 1] = 0;
    assert!(decode(&bytes, &dictionary()).is_err());
}

#[test]
fn an_accrual_of_one_line_stays_within_its_bound() {
    let one_line = encode(&Record::Entry(Box::new(one_line_accrual()))).len();
    let late = {
        let mut entry = one_line_accrual();
        let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is an accrual") };
        // Thirty days late, by the nanosecond, and clipped by a cap and by the budget.
        basket.receipt_at = TimestampNs(NOON.0 - 30 * NS_PER_DAY + 123_456_789);
        entry.decision.clips = full_accrual().decision.clips;
        encode(&Record::Entry(Box::new(entry))).len()
    };
    println!("one line: {one_line} bytes; thirty days late and clipped twice: {late} bytes");
    assert!(one_line <= ONE_LINE_RECORD_BYTES_MAX, "{one_line} bytes");
    assert!(late <= ONE_LINE_RECORD_BYTES_MAX, "{late} bytes");
}

#[test]
fn the_sizes_that_the_documentation_states_are_those_of_the_golden_bytes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/format.md")).expect("the page is there");
    let rows: Vec<(&str, usize)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(name, rest)| Some((name, rest.split(' ').next()?.parse().ok()?)))
        .collect();
    assert!(rows.len() > 12, "{rows:?}");
    for (name, stated) in rows {
        let kept =
            std::fs::read_to_string(path(&format!("{name}.hex"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(unhex(&kept).len(), stated, "{name}");
    }
    for (name, _) in records() {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing from the page");
    }
}

/// One chunk of the control shard and one of a worker: three shards, in two frames.
fn frames() -> Vec<Frame> {
    let mut control = Chunk::default();
    control.push(ShardId::CONTROL, Seq(9), |out| encode_control(out, &Record::Opening(opening())));
    control.push(ShardId::CONTROL, Seq(10), |out| {
        encode_control(out, &Record::Symbol(SymbolId(300), "FACIAL TISS/DNR NAPKIN".into()));
    });
    let mut worker = Chunk::default();
    for (shard, seq, entry) in [(201, 5, full_accrual()), (7, 80, one_line_accrual()), (7, 81, refused_accrual())] {
        worker.push(ShardId(shard), Seq(seq), |out| out.extend(encode(&Record::Entry(Box::new(entry)))));
    }
    worker.close();
    let mut chain = Chain { epoch: 3, next: Position(1_000_000_000), hash: [0xab; 32] };
    let mut frames = Vec::new();
    let bases = chain.assemble([&control, &worker].into_iter(), NOON, &mut frames);
    assert_eq!(bases, [Position(1_000_000_000), Position(1_000_000_002)]);
    let mut later = Chunk::default();
    later.push(ShardId(7), Seq(82), |out| out.extend(encode(&Record::Entry(Box::new(minimal_accrual())))));
    chain.assemble(std::iter::once(&later), TimestampNs(NOON.0 + 1), &mut frames);
    frames
}

#[test]
fn frames_keep_their_bytes() {
    let frames = frames();
    assert_eq!(frames.len(), 2);
    for (frame, name) in frames.iter().zip(["frame-1", "frame-2"]) {
        let kept = golden(name, &frame.bytes);
        let view = FrameView::decode(frame.position, &kept).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((view.hash, view.end()), (frame.hash, frame.position.plus(u64::from(frame.record_count))));
    }
    let second = FrameView::decode(frames[1].position, &frames[1].bytes).expect("it is whole");
    second.check_follows(Position(1_000_000_005), &frames[0].hash).expect("it follows the first");
    let mut seen = Vec::new();
    let first = FrameView::decode(frames[0].position, &frames[0].bytes).expect("it is whole");
    let read = first.for_each(|record| -> Result<(), tallystick::journal::frame::FrameError> {
        seen.push((record.position.0 - 1_000_000_000, record.shard.0, record.seq.0));
        Ok(())
    });
    read.expect("the sections are whole");
    assert_eq!(seen, [(0, u16::MAX, 9), (1, u16::MAX, 10), (2, 7, 80), (3, 7, 81), (4, 201, 5)]);
}

#[test]
fn salts_and_leaves_keep_their_bytes() {
    let record = encode(&Record::Entry(Box::new(one_line_accrual())));
    let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).expect("small"));
    let salt = salt(&key, ShardId(7), Seq(80));
    golden("leaf-salt", &salt);
    golden("leaf", &leaf(&salt, ShardId(7), Seq(80), &record));
    assert_ne!(leaf(&salt, ShardId(7), Seq(81), &record), leaf(&salt, ShardId(7), Seq(80), &record));
}

/// Every kind of entity of the state space.
fn entities() -> Vec<(&'static str, Entity)> {
    let account = Account {
        id: "household-000000001234".into(),
        seq: Seq(80),
        position: Some(Position(1_000_000_002)),
        opened_at: TimestampNs(NOON.0 - NS_PER_DAY),
        lots: vec![
            Lot { key: lot_key(), remaining: 1_234_567 },
            Lot {
                key: LotKey {
                    wallet: WalletId(1),
                    issuer: SymbolId(2),
                    funding_rate_bps: 250,
                    expires_at: TimestampNs(NOON.0 + NS_PER_DAY),
                },
                remaining: 5,
            },
        ],
        counters: vec![
            Counter { counter: SymbolId(6), period: 17_226, value: 2, retain_until: Day(17_258) },
            Counter { counter: SymbolId(9), period: 2017, value: 55_752, retain_until: Day(17_563) },
        ],
        totals: Totals { baskets: 8, refused_baskets: 1, reversals: 2 },
        wallets: vec![WalletTotals { wallet: WalletId(0), granted: 600, reversed: 15, clipped: 126 }],
    };
    let fresh = Account { id: "7".into(), seq: Seq(1), position: None, opened_at: NOON, ..Account::default() };
    let partner = PartnerAccount { balance: -1_234_567, issued: 1_300_000, reversed: 65_433, seq: Seq(80) };
    vec![
        ("entity-symbol", Entity::Symbol(SymbolId(300), "FACIAL TISS/DNR NAPKIN".into())),
        ("entity-item", Entity::Item(ItemId(70_000), item())),
        ("entity-program", Entity::Program(Position(1_000_000_000), Box::new(publication()))),
        ("entity-cell", Entity::Cell(CellId(10), 8_000_001, 999_850)),
        ("entity-shard", Entity::Shard(ShardId(7), Seq(81), NOON)),
        ("entity-shard-control", Entity::Shard(ShardId::CONTROL, Seq(10), TimestampNs(0))),
        ("entity-account", Entity::Account(ShardId(7), AccountNumber(11_718), Box::new(account))),
        ("entity-account-fresh", Entity::Account(ShardId(7), AccountNumber(11_719), Box::new(fresh))),
        ("entity-partner", Entity::Partner(ShardId(7), SymbolId(2), WalletId(1), partner)),
    ]
}

#[test]
fn every_kind_of_entity_keeps_its_bytes() {
    for (name, entity) in entities() {
        let (key, value) = entity.encode();
        // The key has a fixed length, so that both can be told apart in one file.
        assert_eq!(key.len(), 11, "{name}");
        let kept = golden(name, &[key, value].concat());
        let (key, value) = kept.split_at(11);
        let decoded = Entity::decode(key, value).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(decoded, entity, "{name}");
        assert_eq!(decoded.encode(), (key.to_vec(), value.to_vec()), "{name}");
    }
}

#[test]
fn the_identity_the_marker_and_the_high_water_mark_keep_their_bytes() {
    let store = MemoryStore::new();
    let identity = Identity {
        directory_id: *b"sixteen bytes id",
        shard_count: 256,
        clock_is_input: true,
        created_at: NOON,
        leaf_key: [1; 32],
        id_key: [2; 16],
    };
    identity.write(&store).expect("memory takes it");
    let saved = Saved { symbol_count: 301, item_count: 70_001, version_count: 2 };
    let marker = Marker { start: Position(1_000_000_000), finished_at: NOON, entity_count: 70_000, saved };
    marker.write(&store).expect("memory takes it");
    let mark = HighWater { end: Position(1_000_000_005), hash: [0xcd; 32] };
    let journal = StoreJournal::new(Arc::new(store.clone()));
    journal.write_high_water(&mark).expect("memory takes it");

    let value = |key: &[u8]| store.get(Space::Meta, key).expect("memory gives it").expect("it was written");
    let kept = [
        ("meta-identity", value(b"identity")),
        ("meta-snapshot-marker", value(b"snapshot-marker")),
        ("high-water-mark", store.read_mark().expect("memory gives it").expect("it was written")),
    ]
    .map(|(name, bytes)| golden(name, &bytes));

    let read = MemoryStore::new();
    read.overwrite(Space::Meta, b"identity", &kept[0]);
    read.overwrite(Space::Meta, b"snapshot-marker", &kept[1]);
    read.set_mark(Some(&kept[2]));
    assert!(Identity::read(&read).expect("it is whole") == Some(identity));
    assert_eq!(Marker::read(&read).expect("it is whole"), Some(marker));
    let journal = StoreJournal::new(Arc::new(read));
    assert_eq!(journal.read_high_water().expect("it is whole"), Some(mark));
}

#[test]
fn a_newer_layout_is_refused_by_its_name() {
    let store = MemoryStore::new();
    Setup::default().identity().write(&store).expect("memory takes it");
    store.alter(Space::Meta, b"identity", |bytes| bytes[0] = 2);
    let error = Identity::read(&store).expect_err("it is newer");
    assert!(error.to_string().contains("layout 2, newer than 1"), "{error}");
}

/// A small directory, as this release leaves it: a snapshot in the middle, two epochs, two versions, every kind of
/// decision.
fn play_directory() -> (MemoryStore, String) {
    let (ledger, store) = Ledger::new(Setup::default());
    let source = programs::everything().replacen("[earn]", "balance_max = 1_000\n[earn]", 1);
    let ledger = ledger.with_program(&source);
    let edge = ledger.edge();
    for index in 0..12 {
        let lines = vec![
            LineText { brand: "Own".to_owned(), department: "GROCERY".to_owned(), ..LineText::of(1_000 + index) },
            LineText { department: "TOBACCO".to_owned(), sku: format!("sku-{}", index % 3), ..LineText::of(700) },
        ];
        let account = format!("member-{}", index % 2);
        let id = format!("018f3c5e-7a10-7000-8000-00000000{index:04}");
        let accrue = Accrue { lines, terminal: "t1".to_owned(), ..Accrue::simple(&account, &id, 0) };
        assert_eq!(edge.accrue(&accrue).refusal(), None);
    }
    assert_eq!(edge.reverse("back-1", "018f3c5e-7a10-7000-8000-000000000001").refusal(), None);
    ledger.engine.snapshot().expect("a snapshot can be taken");
    ledger.publish(&source.replacen("units = 1", "units = 2", 1), TimestampNs(NOON.0 + NS_PER_DAY));
    ledger.stop();
    let ledger = Ledger::start(
        Arc::new(store.clone()),
        Setup::default(),
        ManualClock::new(TimestampNs(NOON.0 + 2 * NS_PER_DAY)),
    );
    let edge = ledger.edge();
    for index in 0..14 {
        edge.accrue(&Accrue::simple("member-1", &format!("later-{index}"), 9_000));
        ledger.clock.advance(NS_PER_DAY / 2);
    }
    edge.reverse("back-2", "018f3c5e-7a10-7000-8000-000000000000");
    let stopped = ledger.stop();
    let report = assert_intact(&store, stopped.digest);
    let kinds = report.records;
    assert!(kinds.refused_accruals > 0 && kinds.reversals == 2 && kinds.programs == 2, "{kinds:?}");
    (store, stopped.digest.to_string())
}

/// Writes what a store holds, a key and its value a line; the mark and the digest come first.
fn dump(store: &MemoryStore, digest: &str) -> String {
    let mark = store.read_mark().expect("memory gives it").expect("an orderly stop leaves a mark");
    let mut lines = vec![format!("digest {digest}"), format!("mark {}", hex(&mark))];
    for space in [Space::Meta, Space::Journal, Space::State] {
        let contents = store.contents(space);
        lines.extend(contents.iter().map(|(key, value)| format!("{} {} {}", space.name(), hex(key), hex(value))));
    }
    lines.join("\n") + "\n"
}

/// Reads a dump: the store and its digest.
fn load(text: &str) -> (MemoryStore, String) {
    let store = MemoryStore::new();
    let mut digest = String::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["digest", kept] => (*kept).clone_into(&mut digest),
            ["mark", mark] => store.set_mark(Some(&unhex(mark))),
            [space, key, value] => {
                let space = Space::ALL.into_iter().find(|known| known.name() == *space).expect("a known space");
                let mut batch = Batch::default();
                batch.put(space, unhex(key), unhex(value));
                store.write(&batch, Durability::Synced).expect("memory takes it");
            }
            _ => panic!("not a line of a dump: {line:?}"),
        }
    }
    (store, digest)
}

#[test]
fn a_directory_of_the_first_release_opens_verifies_and_goes_on() {
    let path = path("directory-1.txt");
    if is_blessing() {
        let (store, digest) = play_directory();
        std::fs::write(&path, dump(&store, &digest)).expect("the file can be written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (store, digest) = load(&text);
    let report = verify_store(&store);
    assert!(report.intact, "{:#?}", report.findings);
    assert_eq!(report.digest, Some(digest.clone()), "the journal gives the state that it gave then");
    let snapshot = report.snapshot.expect("it holds a snapshot");
    assert!(snapshot.start > 0 && snapshot.digest == digest);

    let later = ManualClock::new(TimestampNs(NOON.0 + 30 * NS_PER_DAY));
    let ledger = Ledger::start(Arc::new(store.clone()), Setup::default(), later);
    let edge = ledger.edge();
    assert_eq!(ledger.engine.epoch, 3);
    let used = edge.accrue(&Accrue::simple("member-0", "back-1", 100));
    assert_eq!(used.refusal(), Some(Refusal::TransactionIdReused), "its ids are known");
    assert_eq!(edge.accrue(&Accrue::simple("member-0", "new", 700)).granted(), 14, "its second version judges");
    assert_intact(&store, ledger.stop().digest);
}

#[test]
fn what_a_directory_holds_today_is_what_the_first_release_wrote() {
    // Not the bytes, for the order of commits is the machine's: the state and what the records say.
    let (_, digest) = play_directory();
    let kept = std::fs::read_to_string(path("directory-1.txt")).expect("the file is there");
    assert_eq!(load(&kept).1, digest, "the same commands lead to the same state");
}

#[test]
fn granted_parts_of_an_accrual_are_what_its_reversal_undoes() {
    let Granted { receipt, units, lot, counters, cells } = full_accrual().granted().expect("it was granted");
    let number = "4711000000000042".into();
    let day = Day(17_225);
    assert_eq!(receipt, Receipt { store: SymbolId(3), terminal: SymbolId(4), business_day: day, number });
    assert_eq!((units, lot, counters.len(), cells.len()), (150, Some(lot_key()), 4, 1));
    assert_eq!(refused_accrual().granted(), None);
    assert_eq!(reversal_of(&full_accrual()).granted(), None);
}
