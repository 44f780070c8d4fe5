//! What an ordinary basket earns, and how many of them the first reward takes.
//!
//! What must stay true: units come from the code that decides; no condition is taken to hold, neither one that gives
//! nor one that takes.

use serde::Serialize;

use super::{currency_decimals, earning_wallet, money, units_in};
use crate::ledger::earn::LineSums;
use crate::ledger::program::{BPS_ONE, CalendarWindow, Cap, CapMeasure, Conditions, LineClass, Over, Program, Trigger};
use crate::ledger::types::{Item, Units};
use crate::program::table::{decimal, grouped};

/// What a file's ordinary basket means to a member who meets no condition and has no level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// The ordinary basket, in minor units: one line that carries no attribute.
    pub typical_basket_minor: i64,
    /// What it earns, clipped by the caps on units.
    pub basket_units: Units,
    /// What the cheapest reward costs, where the file says.
    pub first_reward_units: Option<Units>,
    /// Baskets to the first reward; `None` where the file names none, or it is never reached.
    pub baskets_to_first_reward: Option<i64>,
    /// The rate that this comes to: units for a million minor units, rounded down.
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
        let basket_units = basket_units(program, typical_basket_minor);
        let baskets = first_reward_units.and_then(|reward| baskets(program, basket_units, reward));
        let wallet = earning_wallet(program);
        let reward = match (first_reward_units, baskets) {
            (None, _) => String::new(),
            (Some(_), None) => "; the first reward is never reached".to_owned(),
            (Some(_), Some(1)) => "; first reward after 1 basket".to_owned(),
            (Some(_), Some(count)) => format!("; first reward after {} baskets", grouped(count, ',')),
        };
        let (amount, earned) = (money(typical_basket_minor, program), units_in(wallet, basket_units));
        let rate = |minor: i128| i128::from(basket_units) * minor / i128::from(typical_basket_minor);
        let (scale, decimals) = (u32::from(wallet.scale), currency_decimals(&program.currency));
        let shown = decimal(rate(10_i128.pow(decimals + 2)), scale + 2, scale);
        let one = money(10_i64.pow(decimals), program);
        let words = format!("a basket of {amount} earns {earned}, {shown} for each {one}{reward}");
        Self {
            typical_basket_minor,
            basket_units,
            first_reward_units,
            baskets_to_first_reward: baskets,
            units_per_million_minor: i64::try_from(rate(1_000_000)).unwrap_or(i64::MAX),
            words,
        }
    }
}

fn basket_units(program: &Program, amount_minor: i64) -> Units {
    let mut beside = Vec::new();
    let class = program.lines.judge(&Item::default(), |_| false, |rule| beside.push(rule));
    let mut sums = LineSums::new(program, BPS_ONE, 0);
    if class != LineClass::Ineligible {
        sums.add(class, beside.into_iter(), amount_minor, 1);
    }
    let none = Conditions::default();
    let always = program.bonuses.iter().filter(|bonus| bonus.trigger == Trigger::Basket && bonus.when == none);
    let bonuses: Units =
        always.filter(|bonus| bonus.limit.is_none() && bonus.places.is_none()).map(|bonus| bonus.units).sum();
    let earned = sums.units().0.saturating_add(bonuses);
    let bounded = |earned: Units, cap: &Cap| match cap.measure {
        // What is held is granted all the same.
        _ if cap.over == Over::Hold => earned,
        CapMeasure::Units if cap.declines() && earned > cap.limit => 0,
        CapMeasure::Units => earned.min(cap.limit),
        CapMeasure::EarningBaskets if cap.limit == 0 => 0,
        CapMeasure::EligibleAmount if amount_minor > cap.limit => 0,
        CapMeasure::EarningBaskets | CapMeasure::EligibleAmount => earned,
    };
    program.caps.iter().fold(earned, bounded)
}

/// Baskets, each in windows of its own but for a lifetime's.
fn baskets(program: &Program, basket_units: Units, reward: Units) -> Option<i64> {
    let lifetime = program.caps.iter().filter(|cap| cap.window == CalendarWindow::Lifetime);
    let is_within = |cap: &Cap| match cap.measure {
        CapMeasure::Units => cap.limit >= reward,
        CapMeasure::EarningBaskets => cap.limit.saturating_mul(basket_units) >= reward,
        CapMeasure::EligibleAmount => true,
    };
    (basket_units > 0 && lifetime.into_iter().all(is_within)).then(|| (reward - 1) / basket_units + 1)
}
