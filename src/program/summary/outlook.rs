//! What an ordinary basket earns, and how many of them the first reward takes.
//!
//! What must stay true: units come from the code that decides; no condition is taken to hold, neither one that gives
//! nor one that takes; what caps leave of many baskets is what they leave of each, one after the other.

use serde::Serialize;

use super::{currency_decimals, earning_wallet, money, units_in};
use crate::ledger::earn::LineSums;
use crate::ledger::program::{BPS_ONE, CalendarWindow, Cap, CapMeasure, Conditions, LineClass, Program, Trigger};
use crate::ledger::types::{Item, Units};
use crate::program::table::{decimal, grouped};

/// What a file's ordinary basket means to a member who meets no condition and has no level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// The ordinary basket, in minor units: one line that carries no attribute.
    pub typical_basket_minor: i64,
    /// What the first earns, as the caps leave it.
    pub basket_units: Units,
    /// What the cheapest reward costs, where the file says.
    pub first_reward_units: Option<Units>,
    /// Baskets to the first reward; `None` where the file names none, or it is never reached.
    pub baskets_to_first_reward: Option<i64>,
    /// The rate that this comes to, with what one leaves over for the next: units for a million minor units, rounded down.
    pub units_per_million_minor: i64,
    /// The same in words.
    pub words: String,
}

impl Outlook {
    pub(in crate::program) fn new(
        program: &Program,
        typical_basket_minor: i64,
        first_reward_units: Option<Units>,
    ) -> Self {
        let ordinary = Ordinary::of(program, typical_basket_minor);
        let [first, _] = ordinary.granted;
        let basket_units = first.unwrap_or(0);
        let baskets = first_reward_units.and_then(|reward| ordinary.baskets(program, reward));
        let wallet = earning_wallet(program);
        let reward = match (first_reward_units, baskets) {
            (None, _) => String::new(),
            (Some(_), None) => "; the first reward is never reached".to_owned(),
            (Some(_), Some(1)) => "; first reward after 1 basket".to_owned(),
            (Some(_), Some(count)) => format!("; first reward after {} baskets", grouped(count, ',')),
        };
        let (amount, earned) = (money(typical_basket_minor, program), units_in(wallet, basket_units));
        let carried = if ordinary.left > 0 { " and a rest for the next" } else { "" };
        let (scale, decimals) = (u32::from(wallet.scale), currency_decimals(&program.currency));
        let shown = decimal(ordinary.rate(10_i128.pow(decimals + 2)), scale + 2, scale);
        let one = money(10_i64.pow(decimals), program);
        let words = format!("a basket of {amount} earns {earned}{carried}, {shown} for each {one}{reward}");
        Self {
            typical_basket_minor,
            basket_units,
            first_reward_units,
            baskets_to_first_reward: baskets,
            units_per_million_minor: i64::try_from(ordinary.rate(1_000_000)).unwrap_or(i64::MAX),
            words,
        }
    }
}

/// Baskets like this one after the other, each in windows of its own but for a lifetime's. There are two kinds of them:
/// those to which no whole unit is carried, as to the first, and those to which one is.
struct Ordinary {
    amount_minor: i64,
    /// What counts for caps on amounts.
    eligible_minor: i64,
    /// What each kind earns.
    earned: [Units; 2],
    /// What caps leave of it; `None` where they deny it.
    granted: [Option<Units>; 2],
    /// What one leaves over for the next, in parts of which so many make a unit; nothing where nothing is carried.
    left: i128,
    one: i128,
}

impl Ordinary {
    fn of(program: &Program, amount_minor: i64) -> Self {
        let mut beside = Vec::new();
        let class = program.lines.judge(&Item::default(), |_| false, |rule| beside.push(rule));
        let mut sums = LineSums::new(program, BPS_ONE, 0);
        sums.add(class, beside.into_iter(), amount_minor, 1);
        let eligible_minor = if class == LineClass::Ineligible { 0 } else { amount_minor };
        let none = Conditions::default();
        let always = program.bonuses.iter().filter(|bonus| bonus.trigger == Trigger::Basket && bonus.when == none);
        let bonuses: Units =
            always.filter(|bonus| bonus.limit.is_none() && bonus.places.is_none()).map(|bonus| bonus.units).sum();
        let (units, left) = sums.units();
        let units = units.saturating_add(bonuses);
        let earned = [units, units.saturating_add(1)];
        let granted = earned.map(|units| bounded(program, units, eligible_minor));
        Self { amount_minor, eligible_minor, earned, granted, left: i128::from(left), one: sums.denominator() }
    }

    /// Units for so many minor units, as many such baskets come to them. Rounded down.
    fn rate(&self, minor: i128) -> i128 {
        let [Some(plain), raised] = self.granted else { return 0 };
        let carried = raised.map_or(0, |raised| i128::from(raised - plain));
        (i128::from(plain) * minor + carried * minor * self.left / self.one) / i128::from(self.amount_minor)
    }

    /// To how many of the first so many a unit is carried.
    fn raised(&self, count: i128) -> i128 {
        count * self.left / self.one
    }

    /// How many of them the first reward takes; `None` where it is never reached.
    fn baskets(&self, program: &Program, reward: Units) -> Option<i64> {
        let [plain, raised] = self.granted;
        // What is denied leaves everything as it is, so that all that follow are denied.
        let (plain, reward) = (i128::from(plain?), i128::from(reward));
        let total = |count: i128| {
            let of_raised = self.raised(count);
            (count - of_raised) * plain + of_raised * i128::from(raised.unwrap_or(0))
        };
        let (mut below, mut count) = (0, i128::from(i64::MAX));
        if total(count) < reward {
            return None;
        }
        while below + 1 < count {
            let middle = below + (count - below) / 2;
            if total(middle) < reward {
                below = middle;
            } else {
                count = middle;
            }
        }
        let of_raised = self.raised(count);
        let [earned, earned_raised] = self.earned.map(i128::from);
        let last = if of_raised > self.raised(below) { earned_raised } else { earned };
        let earning = if plain > 0 { count } else { of_raised };
        let is_within = |cap: &Cap| {
            let counted = match cap.measure {
                // What clips lets through all that there is room for.
                CapMeasure::Units if cap.clips() => reward,
                CapMeasure::Units => total(below) + last,
                CapMeasure::EarningBaskets => earning,
                CapMeasure::EligibleAmount => earning * i128::from(self.eligible_minor),
            };
            counted <= i128::from(cap.limit)
        };
        // What is held is granted all the same.
        let bounds = program.caps.iter().filter(|cap| cap.clips() || cap.declines());
        let are_all_granted = raised.is_some() || of_raised == 0;
        let is_reached = are_all_granted && bounds.filter(|cap| cap.window == CalendarWindow::Lifetime).all(is_within);
        i64::try_from(count).ok().filter(|_| is_reached)
    }
}

/// What caps leave of so many units in windows in which there was nothing else; `None` where they deny the basket.
fn bounded(program: &Program, units: Units, eligible_minor: i64) -> Option<Units> {
    let wanted = |cap: &Cap| match cap.measure {
        CapMeasure::Units => units,
        CapMeasure::EarningBaskets => i64::from(units > 0),
        CapMeasure::EligibleAmount if units > 0 => eligible_minor,
        CapMeasure::EligibleAmount => 0,
    };
    // Those that decline come first, as in a decision.
    if program.caps.iter().any(|cap| cap.declines() && wanted(cap) > cap.limit) {
        return None;
    }
    let clipping = program.caps.iter().filter(|cap| cap.clips());
    Some(clipping.fold(units, |left, cap| left.min(cap.limit)))
}
