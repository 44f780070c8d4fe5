//! Forgeries of what a basket that was refused found in a budget, and every hash recomputed.
//!
//! What must stay true: deciding again from what a refusal says that it found gives the same refusal, so what it found is held
//! to what had been taken before. That it found less nobody can tell from a return that was not durable yet.

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, Setup, assert_intact, programs, verify_store};
use tallystick::audit::verify::FindingClass;
use tallystick::ledger::decision::Refusal;

#[test]
fn a_refusal_cannot_have_found_more_than_there_was() {
    let (ledger, store) = Ledger::new(Setup::default());
    let source = programs::program("", "", "[[budgets]]\nname = \"opening\"\nunits = 100\n");
    let ledger = ledger.with_program(&source.replacen("[earn]", "balance_max = 30\n[earn]", 1));
    let accrue = |id: &str, amount_minor| ledger.edge().accrue(&Accrue::simple("m1", id, amount_minor));
    assert_eq!(accrue("a", 1_000).granted(), 10);
    let refused = accrue("b", 2_500);
    assert_eq!(refused.refusal(), Some(Refusal::BalanceLimitExceeded));
    let seen = &refused.decision.cells;
    assert_eq!((seen.len(), seen[0].room_before, seen[0].version), (1, 90, 2), "{seen:?}");
    assert_eq!(accrue("c", 500).granted(), 5);
    assert_intact(&store, ledger.stop().digest);
    for (more, is_found) in [(1, true), (-1, false)] {
        let store = store.stop_cleanly();
        let mut forge = Forge::open(&store);
        let position = forge
            .alter(|entry| entry.command.transaction_id == "b", |entry| entry.decision.cells[0].room_before += more);
        forge.write(&store);
        if is_found {
            let found = first_finding(&store, "more room");
            assert_eq!((found.class, found.position), (FindingClass::Budget, position), "{found}");
            assert!(found.sentence.starts_with("a refusal saw room for 91 in cell"), "{found}");
            assert!(found.sentence.ends_with("but 10 of 100 had been taken"), "{found}");
        } else {
            let report = verify_store(&store);
            assert!(report.intact, "{:#?}", report.findings);
        }
    }
}
