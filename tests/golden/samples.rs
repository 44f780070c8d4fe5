//! One of every kind of record, each with everything that is optional present in one and absent in another.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::support::{NOON, NS_PER_DAY, NS_PER_SECOND};
use tallystick::access::grant::{Grant, Role};
use tallystick::access::keys::{KeyChange, KeyId, KeyIssue, Proof};
use tallystick::journal::dictionary::Dictionary;
use tallystick::journal::record::{
    Entry, EntryHeader, Opening, PreviousRecord, Publication, Record, encode_control, encode_entry,
};
use tallystick::ledger::command::{Basket, Command, CommandKind, Line, Reversal};
use tallystick::ledger::decision::{
    CellUse, Clip, CounterChange, Decision, Effects, LineOutcome, LotChange, LotKey, Movement, Outcome, Refusal,
    TotalsChange,
};
use tallystick::ledger::program::{LineClass, RuleIndex};
use tallystick::ledger::types::{
    AccountNumber, CellId, Day, Item, ItemId, MemberKey, Position, ProgramVersion, SymbolId, TimestampNs, WalletId,
};

/// The names that the records below use: one item of all attributes and one of a few.
pub fn dictionary() -> Dictionary {
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

pub fn line(item: u32, quantity: i64, amount_minor: i64) -> Line {
    let item_id = ItemId(item);
    Line { item_id, item: dictionary().item(item_id).expect("the item is known"), quantity, amount_minor }
}

pub fn basket(lines: Vec<Line>) -> Basket {
    Basket {
        store: SymbolId(3),
        terminal: SymbolId(4),
        cashier: SymbolId(5),
        receipt_number: "4711000000000042".into(),
        business_day: Day(17_225),
        receipt_at: TimestampNs(NOON.0 - 90 * NS_PER_SECOND),
        lines,
        ..Basket::default()
    }
}

/// A grant, or what a reversal takes back.
pub fn lot_change(key: LotKey, delta: i64) -> LotChange {
    LotChange { key, delta, movement: if delta > 0 { Movement::Grant } else { Movement::Reverse } }
}

pub fn counter(counter: u32, period: i32, delta: i64, retain_until: i32) -> CounterChange {
    CounterChange {
        counter: SymbolId(counter),
        member: MemberKey::NONE,
        period,
        delta,
        retain_until: Day(retain_until),
    }
}

pub fn lot_key() -> LotKey {
    LotKey {
        wallet: WalletId(0),
        issuer: SymbolId(2),
        funding_rate_bps: 0,
        available_from_minute: 0,
        inactive_days: 0,
        expires_at: LotKey::NEVER,
    }
}

pub const TRANSACTION: &str = "018f3c5e-7a10-7000-8000-0000000004d2";

/// An accrual with every optional part: opens its account, two lines, a clip by a cap and one by a budget.
pub fn full_accrual() -> Entry {
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
        cells: vec![CellUse {
            cell: CellId::whole(SymbolId(10)),
            version: 8_000_001,
            room_before: 150,
            used: 150,
            retain_until: CellUse::FOR_EVER,
        }],
        effects: Effects {
            opens_account: true,
            lots: vec![lot_change(lot_key(), 150)],
            counters: vec![
                counter(6, 17_226, 1, 17_258),
                counter(7, 17_226, 150, 17_258),
                counter(8, 2017, 150, 17_563),
                counter(9, 2017, 12_999, 17_563),
            ],
            totals: TotalsChange::default(),
            ..Effects::default()
        },
        balance_after: 150,
        ..Decision::default()
    };
    let totals = TotalsChange::of_basket(&decision.clips, false);
    Entry {
        previous: PreviousRecord::None,
        account: AccountNumber(11_718),
        posted_at: NOON,
        command: Command {
            account_id: "household-000000001234".into(),
            transaction_id: TRANSACTION.into(),
            partner: SymbolId(2),
            kind: CommandKind::Accrue(basket(vec![line(1, 1, 12_999), line(2, 3, 500), line(0, 0, 0)])),
            ..Command::default()
        },
        decision: Decision { effects: Effects { totals, ..decision.effects }, ..decision },
    }
}

/// What `docs/format.md` gives the size of: one line, UUID, store, terminal, cashier, receipt, three caps, a metric, a
/// budget, on an account with a long history.
pub fn one_line_accrual() -> Entry {
    let mut entry = full_accrual();
    entry.previous = PreviousRecord::At(Position(1_000_000_000));
    entry.command.account_id = String::new();
    entry.command.kind = CommandKind::Accrue(basket(vec![line(1, 1, 12_999)]));
    entry.decision.lines.truncate(1);
    entry.decision.clips.clear();
    entry.decision.earned = 150;
    entry.decision.effects.opens_account = false;
    entry.decision.effects.totals = TotalsChange::of_basket(&[], false);
    entry.decision.balance_after = 1_234_567;
    entry
}

pub fn minimal_accrual() -> Entry {
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
        effects: Effects { totals: TotalsChange::of_basket(&[], false), ..Effects::default() },
        ..Decision::default()
    };
    entry
}

pub fn accrual_over_velocity() -> Entry {
    let mut entry = one_line_accrual();
    entry.command.transaction_id = "order 7/2017-ä".into();
    let decision = &mut entry.decision;
    (decision.granted, decision.over_velocity) = (0, Some(SymbolId(6)));
    decision.cells.clear();
    decision.effects.lots.clear();
    decision.effects.counters = vec![counter(9, 2017, 12_999, 17_563)];
    decision.effects.totals = TotalsChange::of_basket(&[], true);
    entry
}

pub fn refused_accrual() -> Entry {
    let mut entry = one_line_accrual();
    entry.decision = refused(&entry.decision);
    entry
}

pub fn refused(decision: &Decision) -> Decision {
    Decision {
        outcome: Outcome::Refused(Refusal::BalanceLimitExceeded),
        account_known: true,
        program: decision.program,
        balance_after: 999_999_999_999,
        ..Decision::default()
    }
}

pub fn reversal_of(original: &Entry) -> Entry {
    let granted = original.granted().expect("it was granted");
    let decision = Decision {
        account_known: true,
        program: ProgramVersion(12),
        granted: -granted.units,
        cells: granted
            .cells
            .iter()
            .map(|taken| CellUse { version: 8_000_009, room_before: 0, used: -taken.used, ..*taken })
            .collect(),
        effects: Effects {
            opens_account: false,
            lots: granted.lot.map(|key| lot_change(key, -granted.units)).into_iter().collect(),
            counters: granted.counters.iter().map(|change| CounterChange { delta: -change.delta, ..*change }).collect(),
            totals: TotalsChange::of_reversal(),
            ..Effects::default()
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
                part: None,
            }),
            ..Command::default()
        },
        decision,
    }
}

pub fn refused_reversal() -> Entry {
    let mut entry = reversal_of(&one_line_accrual());
    entry.decision = refused(&entry.decision);
    entry
}

pub fn publication() -> Publication {
    Publication {
        version: ProgramVersion(2),
        effective_at: TimestampNs(NOON.0 + NS_PER_DAY),
        posted_at: NOON,
        partner: SymbolId(2),
        transaction_id: "publish-2".into(),
        source: "[program]\nname = \"corner\"\n".into(),
        actor: Box::default(),
    }
}

pub fn opening() -> Opening {
    Opening { epoch: 3, at: NOON, time_zone_release: "2025b".into(), shard_count: 256, clock_is_input: false }
}

pub fn item() -> Item {
    dictionary().item(ItemId(1)).expect("the item is known")
}

/// Every kind of record, each with everything that is optional present in one of its rows and absent in another.
pub fn records() -> Vec<(&'static str, Record)> {
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
        ("record-key-issued", Record::Key(key_issued())),
        ("record-key-certificate", Record::Key(key_of_certificate())),
        ("record-key-revoked", Record::Key(key_revoked())),
    ]
    .into_iter()
    .chain(crate::movements::records())
    .chain(crate::profiles::records())
    .chain(crate::operator::records())
    .chain(crate::freezes::records())
    .chain(crate::partners::records())
    .chain(crate::holds::records())
    .chain(crate::unburns::records())
    .chain(crate::money::records())
    .chain(crate::returns::records())
    .chain(crate::vouchers::records())
    .chain(crate::stamps::records())
    .collect()
}

/// A key of a gateway that is held to stores and a terminal, in the place of another.
pub fn key_issued() -> KeyChange {
    KeyChange::Issued(Box::new(KeyIssue {
        id: KeyId([1, 2, 3, 4, 5, 6, 7, 8]),
        proof: Proof::Secret([0xab; 32]),
        name: "gate 7".into(),
        grant: Grant {
            role: Role::Gateway,
            partner: "north".into(),
            stores: vec!["store-0330".into(), "store-0331".into()],
            terminals: vec!["till-12".into()],
        },
        issued_at: NOON,
        expires_at: TimestampNs(NOON.0 + 365 * NS_PER_DAY),
        issued_by: "key:ffffffffffffffff".into(),
        replaces: Some((KeyId([8; 8]), TimestampNs(NOON.0 + NS_PER_DAY))),
    }))
}

/// A key of an auditor who shows a certificate.
pub fn key_of_certificate() -> KeyChange {
    KeyChange::Issued(Box::new(KeyIssue {
        id: KeyId([9; 8]),
        proof: Proof::Certificate("auditor.example".into()),
        name: "audit".into(),
        grant: Grant::of_role(Role::Auditor),
        issued_at: NOON,
        expires_at: KeyIssue::NEVER,
        issued_by: "offline".into(),
        replaces: None,
    }))
}

pub fn key_revoked() -> KeyChange {
    KeyChange::Revoked { id: KeyId([9; 8]), at: NOON, by: "key:0102030405060708".into() }
}

pub fn encode(record: &Record) -> Vec<u8> {
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
