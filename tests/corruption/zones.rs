//! A version with another time zone that takes effect at the date of a receipt that has earned: that receipt would have another
//! day, and could earn again. No server publishes such a version.

use crate::first_finding;
use crate::support::edge::Accrue;
use crate::support::forge::Forge;
use crate::support::{Ledger, NOON, NS_PER_SECOND, Setup, assert_intact, programs, verify_store};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Record;
use tallystick::ledger::types::{ProgramVersion, TimestampNs};

#[test]
fn a_time_zone_that_changes_at_the_date_of_a_receipt_that_has_earned_is_found() {
    let (ledger, store) = Ledger::new(Setup::default());
    let source = programs::program("", "", "");
    let ledger = ledger.with_program(&source);
    let dated = TimestampNs(NOON.0 + 200 * NS_PER_SECOND);
    let accrue = Accrue { receipt_at: Some(dated), ..Accrue::simple("m-1", "t-1", 1_000) };
    assert_eq!(ledger.edge().accrue(&accrue).granted(), 10);
    ledger.publish(&source.replacen("units = 1", "units = 2", 1), TimestampNs(NOON.0 + 3_600 * NS_PER_SECOND));
    assert_intact(&store, ledger.stop().digest);

    // Of another zone, and in effect from so many nanoseconds after that date on.
    let rows = [(0, true), (1, false)];
    for (after_ns, is_found) in rows {
        let store = store.stop_cleanly();
        let mut forge = Forge::open(&store);
        let position = forge.alter_control(|record| {
            let Record::Program(publication) = record else { return false };
            publication.source = publication.source.replacen("\"UTC\"", "\"Asia/Tokyo\"", 1).into();
            publication.effective_at = TimestampNs(dated.0 + after_ns);
            publication.version == ProgramVersion(2)
        });
        forge.write(&store);
        if is_found {
            let found = first_finding(&store, "the change of the time zone");
            assert_eq!((found.class, found.position), (FindingClass::Program, position), "{found}");
            assert!(found.sentence.contains("changes the time zone"), "{found}");
        } else {
            let report = verify_store(&store);
            assert!(report.intact, "{:#?}", report.findings);
        }
    }
}
