//! Forgeries of what partners pay, receive and may do, and every hash recomputed.
//!
//! What must stay true: deciding again finds it (invariant 7).

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{CommandKind, Redemption};
use tallystick::ledger::types::WalletId;
use tallystick::store::memory::MemoryStore;

const COALITION: &str = r#"
[[partners]]
name = "north"
stores = [{ name = "s1" }]
earns = [{ wallet = "points" }]
burns = [{ wallet = "points" }]
funding_rate_bps = 5_000
redemption_rate_bps = 4_000

[[partners]]
name = "south"
stores = [{ name = "s2" }]
"#;

/// The journal that every row forges.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&programs::program("", "", COALITION));
    let edge = ledger.edge();
    assert_eq!(edge.accrue(&Accrue::simple("m1", "a", 1_000)).granted(), 10);
    // A name that is known by now, so that a forged basket can have it.
    let elsewhere = Accrue { store: "s2".to_owned(), ..Accrue::simple("m1", "b", 1_000) };
    assert!(edge.accrue(&elsewhere).refusal().is_some());
    let redemption = CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 4, reward: None });
    assert_eq!(edge.send("m1", "c", redemption).granted(), -4);
    assert_intact(&store, ledger.stop().digest);
    store
}

fn is_accrual(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Accrue(_))
}

fn is_redemption(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Redeem(_))
}

#[track_caller]
fn check(what: &str, fits: fn(&Entry) -> bool, change: impl FnOnce(&mut Entry)) {
    let store = original();
    let mut forge = Forge::open(&store);
    forge.alter(fits, change);
    forge.write(&store);
    let found = first_finding(&store, what);
    assert_eq!(found.class, FindingClass::Decision, "{what}: {}", found.sentence);
    assert!(found.sentence.starts_with("deciding it again gives another decision"), "{what}: {}", found.sentence);
}

#[test]
fn forged_rates_and_rights_are_found_by_deciding_again() {
    check("what the partner is paid for what it took", is_redemption, |entry| {
        entry.decision.effects.redemption_rate_bps = 9_000;
    });
    check("what the issuer pays for what it issued", is_accrual, |entry| {
        entry.decision.effects.lots[0].key.funding_rate_bps = 1;
    });
    check("whose units were taken", is_redemption, |entry| {
        let acceptor = entry.command.partner;
        entry.decision.effects.lots[0].key.issuer.0 = acceptor.0 - 1;
    });
    check("a store that is not the partner's", is_accrual, |entry| {
        let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is an accrual") };
        // The symbols of a programme's stores follow each other's.
        basket.store.0 += 2;
    });
}
