//! What must hold for a rule or a bonus to count, and the facts by which that is judged.
//!
//! What must stay true: a condition looks at facts alone, which are the command's, the account's and the clock's of the
//! decision; lists are sorted, so that a look takes no longer for a long list than for a short one.

use crate::ledger::account::Counter;
use crate::ledger::types::{Day, MonthDay, SymbolId};
use crate::ledger::zone::{day_in_year, month_of_day, weekday, year_of_day};

/// Days of the week as a set; the empty set means every day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weekdays(pub u8);

impl Weekdays {
    /// Whether the day, 0 for Monday to 6 for Sunday, is in the set.
    #[must_use]
    pub fn contains(self, weekday: u8) -> bool {
        self.0 == 0 || self.0 & (1 << weekday) != 0
    }
}

/// What must hold, all of it. A part that is empty or `None` always holds. Lists are ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// First local day of the event.
    pub from: Option<Day>,
    /// Last local day of the event, inclusive.
    pub until: Option<Day>,
    /// Local days of the week of the event.
    pub weekdays: Weekdays,
    /// Local minutes of the day of the event, each from its first to before its second: 0 to 1,440.
    pub minutes: Vec<(u16, u16)>,
    /// The basket's store is one of these.
    pub stores: Vec<SymbolId>,
    /// The channel is one of these.
    pub channels: Vec<SymbolId>,
    /// The payment method is one of these.
    pub payment_methods: Vec<SymbolId>,
    /// The partner is one of these.
    pub partners: Vec<SymbolId>,
    /// The account is in one of these segments.
    pub segments: Vec<SymbolId>,
    /// The account is in none of these segments.
    pub not_segments: Vec<SymbolId>,
    /// The account's level is one of these, as a set of bits; the lowest bit is for accounts below the first level.
    pub levels: u64,
    /// The basket's eligible amount reaches this, in minor units.
    pub eligible_minor_min: i64,
    /// The basket is this one of the account's baskets, counted from 1; 0 for any.
    pub nth_basket: i64,
    /// The basket's number is a multiple of this, and not 0; 0 for any.
    pub every_nth_basket: i64,
    /// The account's birthday is this near.
    pub birthday: Option<BirthdayWithin>,
    /// At least so many days have passed since the account's last basket; an account without one does not meet it.
    pub days_since_last_basket_min: Option<i32>,
    /// At most so many days have passed since the account's last basket; an account without one does not meet it.
    pub days_since_last_basket_max: Option<i32>,
    /// The eligible amount reaches so many percent of the account's own average over its baskets so far; an account
    /// of which no basket was counted does not meet it.
    pub own_average: Option<OwnAverage>,
    /// The account is in one of these variants of experiments: their places in the programme.
    pub variants: Vec<(u8, u8)>,
}

/// How near a birthday is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BirthdayWithin {
    /// The same local day.
    Day,
    /// The same week, from Monday to Sunday.
    Week,
    /// The same month.
    Month,
}

impl BirthdayWithin {
    /// Whether the birthday is this near to a day.
    #[must_use]
    pub fn holds(self, birthday: MonthDay, day: Day) -> bool {
        let is_on = |day: Day| day_in_year(birthday, year_of_day(day)) == day;
        match self {
            Self::Day => is_on(day),
            Self::Week => {
                let monday = day.0 - i32::from(weekday(day));
                (monday..monday + 7).any(|day| is_on(Day(day)))
            }
            Self::Month => month_of_day(day) == birthday.month,
        }
    }
}

/// A threshold by the account's own baskets: by those that were counted since a version first asked for their average,
/// and have not come back whole. The metric itself may be younger than the account, or older than the question, so that
/// amounts and baskets are counted together, in two counters of the metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAverage {
    /// The metric of eligible amounts over all time.
    pub metric: SymbolId,
    /// Percent of the average.
    pub percent: i64,
}

impl OwnAverage {
    /// The period under which the eligible amounts of these baskets are counted. The metric's own is that of all time, 0.
    pub const SPENT: i32 = 1;
    /// The period under which it is counted how many they are.
    pub const BASKETS: i32 = 2;

    fn holds(&self, facts: &Facts<'_>) -> bool {
        let counted = |period: i32| {
            let key = (self.metric, period);
            let place = facts.counters.binary_search_by_key(&key, |entry| (entry.counter, entry.period));
            place.ok().and_then(|index| facts.counters.get(index)).map_or(0, |entry| i128::from(entry.value))
        };
        let baskets = counted(Self::BASKETS);
        let threshold = counted(Self::SPENT) * i128::from(self.percent);
        baskets > 0 && i128::from(facts.eligible_minor) * 100 * baskets >= threshold
    }
}

/// What is known when conditions are judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The local day of the event.
    pub day: Day,
    /// Its day of the week, 0 for Monday.
    pub weekday: u8,
    /// Its local minute of the day.
    pub minute: u16,
    /// The store, or [`SymbolId::EMPTY`].
    pub store: SymbolId,
    /// The channel, or [`SymbolId::EMPTY`].
    pub channel: SymbolId,
    /// The payment method, or [`SymbolId::EMPTY`].
    pub payment_method: SymbolId,
    /// The partner.
    pub partner: SymbolId,
    /// The account's segments, ascending.
    pub segments: &'a [SymbolId],
    /// The account's level before the command; 0 below the first.
    pub level: u8,
    /// The basket's eligible amount in minor units.
    pub eligible_minor: i64,
    /// The basket's number among those of the account, from 1; of an activity how many baskets there were.
    pub basket_number: i64,
    /// The account's birthday, if it is known.
    pub birthday: Option<MonthDay>,
    /// Days since the account's last basket, if there is one that is not of a later day.
    pub days_since_last_basket: Option<i32>,
    /// The account's counters, ascending.
    pub counters: &'a [Counter],
    /// The account's variant in each experiment of the programme.
    pub variants: &'a [u8],
}

impl Conditions {
    /// Whether all of it holds.
    #[must_use]
    pub fn hold(&self, facts: &Facts<'_>) -> bool {
        let listed = |list: &[SymbolId], value: SymbolId| list.is_empty() || list.binary_search(&value).is_ok();
        let in_any = |list: &[SymbolId]| facts.segments.iter().any(|segment| list.binary_search(segment).is_ok());
        self.from.is_none_or(|from| from <= facts.day)
            && self.until.is_none_or(|until| facts.day <= until)
            && self.weekdays.contains(facts.weekday)
            && (self.minutes.is_empty()
                || self.minutes.iter().any(|(from, until)| (*from..*until).contains(&facts.minute)))
            && facts.eligible_minor >= self.eligible_minor_min
            && (self.levels == 0 || self.levels & (1 << facts.level) != 0)
            && listed(&self.stores, facts.store)
            && listed(&self.channels, facts.channel)
            && listed(&self.payment_methods, facts.payment_method)
            && listed(&self.partners, facts.partner)
            && (self.segments.is_empty() || in_any(&self.segments))
            && !in_any(&self.not_segments)
            && (self.nth_basket == 0 || self.nth_basket == facts.basket_number)
            && (self.every_nth_basket == 0
                || (facts.basket_number > 0 && facts.basket_number % self.every_nth_basket == 0))
            && self.birthday.is_none_or(|near| facts.birthday.is_some_and(|day| near.holds(day, facts.day)))
            && self
                .days_since_last_basket_min
                .is_none_or(|min| facts.days_since_last_basket.is_some_and(|days| days >= min))
            && self
                .days_since_last_basket_max
                .is_none_or(|max| facts.days_since_last_basket.is_some_and(|days| days <= max))
            && self.own_average.is_none_or(|average| average.holds(facts))
            && (self.variants.is_empty()
                || self
                    .variants
                    .iter()
                    .any(|(experiment, variant)| facts.variants.get(usize::from(*experiment)) == Some(variant)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counter(name: u32, period: i32, value: i64) -> Counter {
        Counter { counter: SymbolId(name), period, value, retain_until: Day(0) }
    }

    #[test]
    fn each_condition_holds_where_it_says() {
        let facts = Facts {
            day: Day(100),
            weekday: 2,
            minute: 600,
            store: SymbolId(5),
            channel: SymbolId(11),
            payment_method: SymbolId(12),
            partner: SymbolId(6),
            segments: &[SymbolId(7), SymbolId(9)],
            level: 1,
            eligible_minor: 2_500,
            basket_number: 10,
            // Day 100 is 11 April 1970.
            birthday: Some(MonthDay { month: 4, day: 30 }),
            days_since_last_basket: Some(30),
            counters: &[counter(3, 0, 90_000), counter(3, 1, 22_500), counter(3, 2, 9), counter(4, 1, 22_500)],
            variants: &[1, 2],
        };
        let none = Conditions::default;
        let rows = [
            (none(), true),
            (Conditions { from: Some(Day(100)), until: Some(Day(100)), ..none() }, true),
            (Conditions { from: Some(Day(101)), ..none() }, false),
            (Conditions { until: Some(Day(99)), ..none() }, false),
            (Conditions { weekdays: Weekdays(0b100), ..none() }, true),
            (Conditions { weekdays: Weekdays(0b011), ..none() }, false),
            (Conditions { minutes: vec![(0, 60), (600, 601)], ..none() }, true),
            (Conditions { minutes: vec![(599, 600)], ..none() }, false),
            (Conditions { stores: vec![SymbolId(4), SymbolId(5)], ..none() }, true),
            (Conditions { stores: vec![SymbolId(4)], ..none() }, false),
            (Conditions { channels: vec![SymbolId(4), SymbolId(11)], ..none() }, true),
            (Conditions { channels: vec![SymbolId(4)], ..none() }, false),
            (Conditions { payment_methods: vec![SymbolId(12)], ..none() }, true),
            (Conditions { payment_methods: vec![SymbolId(11)], ..none() }, false),
            (Conditions { partners: vec![SymbolId(6)], ..none() }, true),
            (Conditions { partners: vec![SymbolId(5)], ..none() }, false),
            (Conditions { segments: vec![SymbolId(8), SymbolId(9)], ..none() }, true),
            (Conditions { segments: vec![SymbolId(8)], ..none() }, false),
            (Conditions { not_segments: vec![SymbolId(8)], ..none() }, true),
            (Conditions { not_segments: vec![SymbolId(7)], ..none() }, false),
            (Conditions { levels: 0b010, ..none() }, true),
            (Conditions { levels: 0b101, ..none() }, false),
            (Conditions { eligible_minor_min: 2_500, ..none() }, true),
            (Conditions { eligible_minor_min: 2_501, ..none() }, false),
            (Conditions { nth_basket: 10, ..none() }, true),
            (Conditions { nth_basket: 9, ..none() }, false),
            (Conditions { every_nth_basket: 5, ..none() }, true),
            (Conditions { every_nth_basket: 3, ..none() }, false),
            (Conditions { days_since_last_basket_min: Some(30), ..none() }, true),
            (Conditions { days_since_last_basket_min: Some(31), ..none() }, false),
            (Conditions { days_since_last_basket_max: Some(30), ..none() }, true),
            (Conditions { days_since_last_basket_max: Some(29), ..none() }, false),
            // Nine baskets of 22,500 in all are 2,500 on average, whatever the metric had counted before.
            (Conditions { own_average: Some(OwnAverage { metric: SymbolId(3), percent: 100 }), ..none() }, true),
            (Conditions { own_average: Some(OwnAverage { metric: SymbolId(3), percent: 101 }), ..none() }, false),
            // No basket was counted.
            (Conditions { own_average: Some(OwnAverage { metric: SymbolId(4), percent: 1 }), ..none() }, false),
            (Conditions { variants: vec![(0, 0), (1, 2)], ..none() }, true),
            (Conditions { variants: vec![(1, 1)], ..none() }, false),
            (Conditions { birthday: Some(BirthdayWithin::Month), ..none() }, true),
            (Conditions { birthday: Some(BirthdayWithin::Day), ..none() }, false),
        ];
        for (conditions, expected) in rows {
            assert_eq!(conditions.hold(&facts), expected, "{conditions:?}");
        }
    }

    #[test]
    fn no_basket_is_none_of_every_so_many() {
        let every = |every_nth_basket| Conditions { every_nth_basket, ..Conditions::default() };
        let rows = [(0, 2, false), (1, 2, false), (2, 2, true), (4, 2, true), (0, 0, true)];
        for (basket_number, nth, expected) in rows {
            let facts = Facts { basket_number, ..Facts::default() };
            assert_eq!(every(nth).hold(&facts), expected, "{basket_number} of {nth}");
        }
    }

    #[test]
    fn a_birthday_is_near_by_day_week_and_month() {
        // 2017-03-01, day 17,226, was a Wednesday; 2016-02-29 is day 16,860.
        let [leap, second, sunday] = [(2, 29), (3, 2), (3, 5)].map(|(month, day)| MonthDay { month, day });
        use BirthdayWithin::{Day as On, Month, Week};
        let rows = [
            (On, leap, 17_226, true),
            (On, leap, 16_860, true),
            (On, second, 17_226, false),
            (Week, second, 17_226, true),
            (Week, sunday, 17_226, true),
            (Week, sunday, 17_231, false),
            (Month, sunday, 17_226, true),
            (Month, leap, 17_226, false),
        ];
        for (near, birthday, day, expected) in rows {
            assert_eq!(near.holds(birthday, Day(day)), expected, "{near:?} {birthday:?} {day}");
        }
    }
}
