//! Forgeries of vouchers, and every hash recomputed.
//!
//! What must stay true: deciding again finds it (invariant 7), or at the latest what came of the voucher afterwards does.

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::{Accrue, Edge};
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{Basket, CommandKind};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::operator::OperatorOrder;
use tallystick::ledger::types::SymbolId;
use tallystick::ledger::voucher::{VoucherChange, VoucherCode, VoucherTerms};
use tallystick::store::memory::MemoryStore;

const VOUCHERS: &str = "[[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nvalid_days = 14\nbasket_minor_min = 200\n\n\
                        [[bonuses]]\nname = \"next\"\nvoucher = \"coffee\"\nwhen = { eligible_minor_min = 1_000 }\n";

/// The journal that every row forges: two vouchers of baskets and one by hand; one is used, used again and kept, one is
/// cancelled with its basket, and one by hand.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn code(edge: &Edge<'_>, id: &str) -> VoucherCode {
    VoucherCode::of(edge.partner, id, 0)
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", VOUCHERS));
    let edge = ledger.edge();
    for id in ["a", "b"] {
        assert_eq!(edge.accrue(&Accrue::simple("m1", id, 1_000)).decision.effects.vouchers.len(), 1);
    }
    let kind = edge.symbol("coffee").expect("there is room");
    assert_eq!(edge.operate("i", "m1", OperatorOrder::IssueVoucher(kind)).refusal(), None);
    let uses = |id: &str| {
        let mut basket: Basket = edge.basket(&Accrue::simple("m1", id, 300)).expect("a basket");
        basket.vouchers = vec![code(&edge, "a")];
        edge.send_basket("m1", id, basket)
    };
    assert_eq!(uses("u").refusal(), None);
    assert_eq!(uses("v").refusal(), Some(Refusal::VoucherUsed));
    for (reversal, original) in [("ru", "u"), ("rb", "b")] {
        assert_eq!(edge.reverse(reversal, original).decision.effects.vouchers.len(), 1, "{original}");
    }
    assert_eq!(uses("w").refusal(), None);
    assert_eq!(edge.reverse("ra", "a").decision.effects.vouchers.len(), 1);
    assert_eq!(edge.operate("c", "m1", OperatorOrder::CancelVoucher(code(&edge, "i"))).refusal(), None);
    assert_intact(&store, ledger.stop().digest);
    store
}

fn is(entry: &Entry, id: &str) -> bool {
    *entry.command.transaction_id == *id
}

fn change(entry: &mut Entry) -> &mut VoucherChange {
    &mut entry.decision.effects.vouchers[0].1
}

fn terms(entry: &mut Entry) -> &mut VoucherTerms {
    match change(entry) {
        VoucherChange::Given(terms) => terms,
        other => panic!("{other:?}"),
    }
}

/// Has the basket name another voucher, and use it.
fn uses_instead(entry: &mut Entry, code: VoucherCode) {
    let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is a basket") };
    basket.vouchers = vec![code];
    entry.decision.effects.vouchers[0].0 = code;
}

/// What is forged, of which transaction.
type Row = (&'static str, &'static str, fn(&mut Entry));

const ROWS: [Row; 10] = [
    ("a voucher that is good for longer", "a", |entry| terms(entry).ends_at.0 += 1),
    ("a voucher that is good earlier", "b", |entry| terms(entry).starts_at.0 -= 1),
    ("a voucher for small baskets", "a", |entry| terms(entry).minor_min = 0),
    ("another voucher", "i", |entry| terms(entry).kind = SymbolId(1)),
    ("a second voucher", "a", |entry| {
        let mut second = entry.decision.effects.vouchers[0];
        second.0 = VoucherCode::of(entry.command.partner, "a", 1);
        entry.decision.effects.vouchers.push(second);
    }),
    ("a voucher that was not given", "b", |entry| entry.decision.effects.vouchers.clear()),
    ("a voucher is used that nobody has", "u", |entry| uses_instead(entry, VoucherCode([7; 10]))),
    ("a voucher of another hour is used", "w", |entry| {
        uses_instead(entry, VoucherCode::of(entry.command.partner, "b", 0));
    }),
    ("what gave one came back, and it is left open", "rb", |entry| entry.decision.effects.vouchers.clear()),
    ("what used one came back, and it stays used", "ru", |entry| entry.decision.effects.vouchers.clear()),
];

#[test]
fn a_voucher_that_was_not_given_or_used_like_this_is_found() {
    for (what, id, change) in ROWS {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(|entry| is(entry, id), change);
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.position, found.class), (position, FindingClass::Decision), "{what}: {found}");
    }
}

/// A basket that says nothing of the voucher that it used is a basket like any other: it is found by its reversal, which
/// gives the voucher back.
#[test]
fn a_use_that_is_hidden_is_found_by_what_came_of_it() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(
        |entry| is(entry, "u"),
        |entry| {
            let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is a basket") };
            basket.vouchers.clear();
            entry.decision.effects.vouchers.clear();
        },
    );
    forge.write(&store);
    let found = first_finding(&store, "a hidden use");
    assert!(found.position > position, "{found}");
    assert_eq!(found.class, FindingClass::Decision, "{found}");
}

#[test]
fn a_cancellation_of_what_was_not_cancelled_is_found() {
    let store = original();
    let mut forge = Forge::open(&store);
    let position = forge.alter(
        |entry| is(entry, "c"),
        |entry| {
            let used = VoucherCode::of(entry.command.partner, "a", 0);
            let CommandKind::Operate(operation) = &mut entry.command.kind else { unreachable!("it is one") };
            operation.order = OperatorOrder::CancelVoucher(used);
            entry.decision.effects.vouchers[0].0 = used;
        },
    );
    forge.write(&store);
    let found = first_finding(&store, "a cancellation");
    assert_eq!((found.position, found.class), (position, FindingClass::Decision), "{found}");
}
