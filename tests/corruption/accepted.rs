//! Commands that no edge lets in, with decisions that fit them, and every hash recomputed.
//!
//! What must stay true: nothing but what the edge promises of commands gives these away. With the most that it lets in the
//! same forgery is a journal that is whole: what nobody can tell from another history.

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs, verify_store};
use tallystick::audit::verify::FindingClass;
use tallystick::clock::Clock;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{
    Activity, Basket, CommandKind, Enrolment, Line, Linking, Loading, Redemption, RewardAsked, SettingAside, Unburn,
};
use tallystick::ledger::decision::LotKey;
use tallystick::ledger::money::TopUp;
use tallystick::ledger::operator::{Adjustment, OperatorOrder, Remark};
use tallystick::ledger::state::shard_of;
use tallystick::ledger::types::{SymbolId, WalletId};
use tallystick::limits;
use tallystick::store::memory::MemoryStore;

const CASH: &str = "[[wallets]]\nname = \"cash\"\nkind = \"money\"\ntop_up_max = 5_000\n\n[earn]";

/// The journal that every row forges: commands of all kinds, each named by its id. Of `lone` and `loading` each has an account
/// for itself, so that no later record tells of them.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", "").replacen("[earn]", CASH, 1));
    let edge = ledger.edge();
    // Every string has its number before the first command.
    let names = ["staff", "review", "south", "s1", "card", "last"];
    let [staff, review, south, ..] = names.map(|name| edge.symbol(name).expect("there is room"));
    assert_eq!(edge.accrue(&Accrue::simple("m1", "basket", 3_000)).granted(), 30);
    assert_eq!(edge.accrue(&Accrue::simple("m2", "lone", 1_000)).granted(), 10);
    let loaded = LotKey {
        wallet: WalletId(0),
        issuer: south,
        funding_rate_bps: 0,
        available_from_minute: 0,
        inactive_days: 0,
        expires_at: LotKey::NEVER,
    };
    let happened_at = ledger.clock.now();
    let commands = [
        ("m1", "activity", CommandKind::Act(Activity { kind: review, happened_at, channel: SymbolId::EMPTY })),
        ("m1", "enrolment", CommandKind::Enrol(Enrolment { joins: vec![staff], ..Enrolment::default() })),
        ("m3", "loading", CommandKind::Load(Loading { lots: vec![(loaded, 100)] })),
        ("m1", "redemption", CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 20, reward: None })),
    ];
    for (account, id, kind) in commands {
        assert_eq!(edge.send(account, id, kind).refusal(), None, "{id}");
    }
    assert_eq!(edge.unburn("return", "redemption", Some(5)).granted(), 5);
    let asked = SettingAside { wallet: WalletId(0), units: 10, hold_seconds: None };
    assert_eq!(edge.send("m1", "authorization", CommandKind::Authorize(asked)).refusal(), None);
    assert_eq!(edge.end("capture", "authorization", Some((4, false))).granted(), -4);
    assert_eq!(edge.end("void", "authorization", None).refusal(), None);
    assert_eq!(edge.top_up("m1", "top-up", 1, 1_000).granted(), 1_000);
    let granting = Adjustment { wallet: WalletId(0), units: 4, expires_at: None };
    assert_eq!(edge.operate("adjustment", "m1", OperatorOrder::Adjust(granting)).granted(), 4);
    assert_eq!(edge.link("m1", "card:1", true, "linking").refusal(), None);
    assert_intact(&store, ledger.stop().digest);
    store
}

fn basket(entry: &mut Entry) -> &mut Basket {
    match &mut entry.command.kind {
        CommandKind::Accrue(basket) => basket,
        other => panic!("{other:?}"),
    }
}

fn activity(entry: &mut Entry) -> &mut Activity {
    match &mut entry.command.kind {
        CommandKind::Act(activity) => activity,
        other => panic!("{other:?}"),
    }
}

fn enrolment(entry: &mut Entry) -> &mut Enrolment {
    match &mut entry.command.kind {
        CommandKind::Enrol(enrolment) => enrolment,
        other => panic!("{other:?}"),
    }
}

fn loading(entry: &mut Entry) -> &mut Loading {
    match &mut entry.command.kind {
        CommandKind::Load(loading) => loading,
        other => panic!("{other:?}"),
    }
}

fn linking(entry: &mut Entry) -> &mut Linking {
    match &mut entry.command.kind {
        CommandKind::Link(linking) => linking,
        other => panic!("{other:?}"),
    }
}

fn top_up(entry: &mut Entry) -> &mut TopUp {
    match &mut entry.command.kind {
        CommandKind::TopUp(top_up) => top_up,
        other => panic!("{other:?}"),
    }
}

fn unburn(entry: &mut Entry) -> &mut Unburn {
    match &mut entry.command.kind {
        CommandKind::Unburn(unburn) => unburn,
        other => panic!("{other:?}"),
    }
}

fn remark(entry: &mut Entry) -> &mut Remark {
    match &mut entry.command.kind {
        CommandKind::Operate(operation) => &mut operation.remark,
        other => panic!("{other:?}"),
    }
}

fn text(length: i64) -> String {
    "x".repeat(usize::try_from(length).expect("it is short"))
}

/// Has the only line of a basket be of this amount, and earn for it.
fn buy_for(entry: &mut Entry, amount_minor: i64) {
    basket(entry).lines[0].amount_minor = amount_minor;
    let (units, decision) = (amount_minor / 100, &mut entry.decision);
    (decision.earned, decision.granted, decision.balance_after) = (units, units, units);
    decision.effects.lots[0].delta = units;
}

/// Has a basket of one line have more, for which nothing was paid.
fn buy_lines(entry: &mut Entry, count: i64) {
    let count = usize::try_from(count).expect("they are few");
    let lines = &mut basket(entry).lines;
    let free = Line { amount_minor: 0, ..lines[0] };
    lines.resize(count, free);
    let judged = entry.decision.lines[0];
    entry.decision.lines.resize(count, judged);
}

const NEVER_ACCEPTED: &str = "the command is not one that is ever accepted";
const UNREADABLE: &str = "the record is damaged: a number is out of range";

/// Alters one record, named by its transaction id. It is found there, and so is what is said; or nothing is, where nothing is to
/// be said.
#[track_caller]
fn check(what: &str, id: &str, change: impl FnOnce(&mut Entry), says: Option<&str>) {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(|entry| entry.command.transaction_id == id, change);
    forge.write(&store);
    match says {
        None => {
            let report = verify_store(&store);
            assert!(report.intact, "{what}: {:#?}", report.findings);
        }
        Some(says) => {
            let found = first_finding(&store, what);
            assert_eq!((found.class, found.position), (FindingClass::Record, position), "{what}: {found}");
            assert!(found.sentence.contains(says), "{what}: {found}");
        }
    }
}

/// What has a size, of which transaction, the largest, how it is made so large, and what is said of a larger one.
type Measured = (&'static str, &'static str, i64, fn(&mut Entry, i64), &'static str);

const SIZES: [Measured; 10] = [
    (
        "an id",
        "activity",
        limits::TRANSACTION_ID_BYTES_MAX as i64,
        |entry, length| entry.command.transaction_id = text(length),
        NEVER_ACCEPTED,
    ),
    (
        "a receipt",
        "lone",
        limits::RECEIPT_NUMBER_BYTES_MAX as i64,
        |entry, length| basket(entry).receipt_number = text(length),
        NEVER_ACCEPTED,
    ),
    ("an amount", "lone", limits::LINE_AMOUNT_MINOR_MAX, buy_for, NEVER_ACCEPTED),
    (
        "a quantity",
        "lone",
        limits::LINE_QUANTITY_MAX,
        |entry, quantity| basket(entry).lines[0].quantity = quantity,
        NEVER_ACCEPTED,
    ),
    ("a basket", "lone", limits::BASKET_LINES_MAX as i64, buy_lines, UNREADABLE),
    (
        "a reason",
        "adjustment",
        limits::REASON_CODE_BYTES_MAX as i64,
        |entry, length| remark(entry).reason_code = text(length).into(),
        UNREADABLE,
    ),
    (
        "a note",
        "adjustment",
        limits::NOTE_BYTES_MAX as i64,
        |entry, length| remark(entry).note = text(length).into(),
        UNREADABLE,
    ),
    (
        "an operator's name",
        "adjustment",
        limits::OPERATOR_BYTES_MAX as i64,
        |entry, length| remark(entry).operator = text(length).into(),
        UNREADABLE,
    ),
    (
        "the credential of who asked",
        "adjustment",
        limits::ACTOR_BYTES_MAX as i64,
        |entry, length| remark(entry).actor = text(length).into(),
        NEVER_ACCEPTED,
    ),
    (
        "the credential of who confirmed",
        "adjustment",
        limits::ACTOR_BYTES_MAX as i64,
        |entry, length| {
            remark(entry).actor = "anna".into();
            remark(entry).confirmer = text(length).into();
        },
        NEVER_ACCEPTED,
    ),
];

#[test]
fn what_is_larger_than_the_edge_lets_in_is_found() {
    for (what, id, most, change, says) in SIZES {
        check(what, id, |entry| change(entry, most), None);
        check(what, id, |entry| change(entry, most + 1), Some(says));
    }
}

#[test]
fn an_account_with_a_longer_id_than_the_edge_lets_in_is_found() {
    let outside = "the id of the account that is opened does not belong in this shard";
    let most = limits::ACCOUNT_ID_BYTES_MAX;
    for (length, says) in [(most, None), (most + 1, Some(outside))] {
        let opens = |entry: &mut Entry| {
            let shard = |id: &str| shard_of(id, Setup::default().shard_count);
            let home = shard(&entry.command.account_id);
            let mut ids = (0..1_000).map(|number| format!("{number:0>length$}"));
            entry.command.account_id = ids.find(|id| shard(id) == home).expect("a shard in sixteen");
        };
        check("an account's id", "lone", opens, says);
    }
}

/// What has a name, of which transaction, and how it gets another one, of which nothing depends.
type Named = (&'static str, &'static str, fn(&mut Entry, SymbolId));

const NAMES: [Named; 14] = [
    ("the partner", "enrolment", |entry, name| entry.command.partner = name),
    ("a store", "lone", |entry, name| basket(entry).store = name),
    ("a terminal", "lone", |entry, name| basket(entry).terminal = name),
    ("a cashier", "lone", |entry, name| basket(entry).cashier = name),
    ("a channel", "lone", |entry, name| basket(entry).channel = name),
    ("a payment method", "lone", |entry, name| basket(entry).payment_method = name),
    ("the kind of an activity", "activity", |entry, name| activity(entry).kind = name),
    ("the channel of an activity", "activity", |entry, name| activity(entry).channel = name),
    ("a segment that is joined", "enrolment", |entry, name| {
        enrolment(entry).joins = vec![name];
        entry.decision.effects.segments = vec![(name, true)];
    }),
    ("a segment that is left", "enrolment", |entry, name| enrolment(entry).leaves = vec![name]),
    ("who owes an opening balance", "loading", |entry, name| {
        loading(entry).lots[0].0.issuer = name;
        entry.decision.effects.lots[0].key.issuer = name;
    }),
    ("the kind of an identifier", "linking", |entry, name| linking(entry).kind = name),
    ("the store of a top-up", "top-up", |entry, name| top_up(entry).store = name),
    ("the terminal of a top-up", "top-up", |entry, name| top_up(entry).terminal = name),
];

#[test]
fn what_has_a_name_that_was_never_defined_is_found() {
    let next = Forge::open(&original()).dictionary.counts().0;
    for (what, id, change) in NAMES {
        check(what, id, |entry| change(entry, SymbolId(next - 1)), None);
        check(what, id, |entry| change(entry, SymbolId(next)), Some(NEVER_ACCEPTED));
    }
}

/// What is said, of which transaction, what may be said instead, and what may not.
type Said = (&'static str, &'static str, fn(&mut Entry), fn(&mut Entry));

const SAID: [Said; 6] = [
    (
        "who confirms what they asked for",
        "adjustment",
        |entry| (remark(entry).actor, remark(entry).confirmer) = ("anna".into(), "ben".into()),
        |entry| (remark(entry).actor, remark(entry).confirmer) = ("anna".into(), "anna".into()),
    ),
    (
        "no reason",
        "adjustment",
        |entry| remark(entry).reason_code = "x".into(),
        |entry| remark(entry).reason_code = "".into(),
    ),
    (
        "nobody who asked",
        "adjustment",
        |entry| (remark(entry).operator, remark(entry).actor) = ("".into(), "anna".into()),
        |entry| (remark(entry).operator, remark(entry).actor) = ("".into(), "".into()),
    ),
    (
        "a segment that is joined and left",
        "enrolment",
        |entry| enrolment(entry).leaves = vec![entry.command.partner],
        |entry| enrolment(entry).leaves = enrolment(entry).joins.clone(),
    ),
    ("an identifier of somebody else", "linking", |_| {}, |entry| linking(entry).account_id = "m2".into()),
    (
        "an opening balance that is held",
        "loading",
        |_| {},
        |entry| {
            let held = loading(entry).lots[0].0.held();
            loading(entry).lots[0].0 = held;
            entry.decision.effects.lots[0].key = held;
        },
    ),
];

#[test]
fn what_the_edge_never_says_is_found() {
    for (what, id, may, may_not) in SAID {
        check(what, id, may, None);
        check(what, id, may_not, Some(NEVER_ACCEPTED));
    }
}

/// What names something of another record, which would be found to be another: the command itself is looked at first.
#[test]
fn what_a_command_cannot_be_about_is_found() {
    type Row = (&'static str, &'static str, fn(&mut Entry));
    let rows: [Row; 5] = [
        ("a capture of too long an id", "capture", |entry| match &mut entry.command.kind {
            CommandKind::Capture(capture) => capture.of.transaction_id = text(65).into(),
            other => panic!("{other:?}"),
        }),
        ("a void of too long an id", "void", |entry| match &mut entry.command.kind {
            CommandKind::Void(of) => of.transaction_id = text(65).into(),
            other => panic!("{other:?}"),
        }),
        ("the return of a burn of too long an id", "return", |entry| {
            unburn(entry).original_transaction_id = text(65).into();
        }),
        ("the return of what nobody issued", "return", |entry| {
            unburn(entry).lots[0].0.issuer = SymbolId(1_000);
            entry.decision.effects.lots[0].key.issuer = SymbolId(1_000);
        }),
        ("a reward without a name", "redemption", |entry| match &mut entry.command.kind {
            CommandKind::Redeem(redemption) => {
                redemption.reward = Some(RewardAsked { reward: SymbolId(1_000), quantity: 1, states_units: true });
            }
            other => panic!("{other:?}"),
        }),
    ];
    for (what, id, change) in rows {
        check(what, id, change, Some(NEVER_ACCEPTED));
    }
}
