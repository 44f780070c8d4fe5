//! Rewards of a simulated programme, naively: who may have one for what, and how many are left.
//!
//! What must stay true: nothing of `ledger` is called but for the price that the edge looks up; a reward is found by
//! looking at all of them. A reward's wallet and level are the same in all versions.

use std::fmt::Write as _;

use super::asked::intern;
use super::dice::Dice;
use super::facts::{Action, Name, Posting, Verdict};
use super::judge::{Event, period};
use super::ladder::LEVELS;
use super::machine::Machine;
use super::model::{Broken, Model, must};
use super::rooms::Rooms;
use super::rules::{Rules, Window, date_of};
use crate::ledger::command::{CommandKind, Redemption, RewardAsked};
use crate::ledger::decision::Refusal;
use crate::ledger::program::Reward;
use crate::ledger::types::{SymbolId, TimestampNs, WalletId};

/// Rewards, with their wallets and the least level that may have them.
pub const REWARDS: [(&str, usize, usize); 4] = [("mug", 0, 0), ("cake", 0, 0), ("gem", 0, 1), ("hat", 1, 0)];

/// A reward of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewardRule {
    /// Its name.
    pub name: &'static str,
    /// The wallet.
    pub wallet: usize,
    /// What one costs.
    pub price: i64,
    /// How many there are in all.
    pub stock: Option<i64>,
    /// The least level.
    pub level: usize,
    /// The first and the last local day.
    pub days: Option<(i32, i32)>,
}

/// Some rewards. What costs units of a level is there only where there are levels.
pub fn draw_rewards(dice: &mut Dice, has_levels: bool, today: i32) -> Vec<RewardRule> {
    let mut rewards = Vec::new();
    for (name, wallet, level) in REWARDS {
        if dice.percent(if level > 0 && !has_levels { 0 } else { 60 }) {
            let first = today + i32::try_from(dice.number(-2..3)).expect("a small number");
            rewards.push(RewardRule {
                name,
                wallet,
                price: *dice.pick(&[2, 5, 20]),
                stock: dice.percent(75).then(|| dice.number(0..9)),
                level,
                days: dice.percent(20).then_some((first, first + 3)),
            });
        }
    }
    rewards
}

/// The sections of the file.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_catalogue(out: &mut String, rules: &Rules) -> std::fmt::Result {
    for reward in &rules.rewards {
        let (wallet, _) = rules.wallets[reward.wallet];
        writeln!(out, "[[rewards]]\nname = \"{}\"\nwallet = \"{wallet}\"\nprice = {}", reward.name, reward.price)?;
        if let Some(stock) = reward.stock {
            writeln!(out, "stock = {stock}")?;
        }
        if let Some(level) = reward.level.checked_sub(1) {
            writeln!(out, "tier = \"{}\"", LEVELS[level])?;
        }
        if let Some((from, until)) = reward.days {
            writeln!(out, "from = {}\nuntil = {}", date_of(from), date_of(until))?;
        }
    }
    Ok(())
}

/// A reward that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The account.
    pub account: Name,
    /// The reward's name.
    pub reward: Name,
    /// How many.
    pub quantity: i64,
    /// What they are said to cost, if it is said.
    pub stated: Option<i64>,
}

impl Wanted {
    /// Some reward, mostly one and one that there is.
    pub fn draw(dice: &mut Dice, account: Name) -> Self {
        let reward = if dice.percent(4) { "moon" } else { dice.pick(&REWARDS).0 };
        let quantity = if dice.percent(70) { 1 } else { dice.number(1..5) };
        let stated = dice.percent(15).then(|| quantity * *dice.pick(&[2, 5, 20]));
        Self { account, reward: reward.into(), quantity, stated }
    }

    /// The same, but for one field.
    pub fn change(&mut self, dice: &mut Dice, account: Name) {
        match dice.below(4) {
            0 => self.account = account,
            1 => self.reward = if *self.reward == *"mug" { "cake" } else { "mug" }.into(),
            2 => self.quantity += 1,
            _ => self.stated = Some(self.stated.unwrap_or(0) + 1),
        }
    }

    /// The wallet that pays.
    #[must_use]
    pub fn wallet(&self) -> usize {
        REWARDS.iter().find(|(name, ..)| **name == *self.reward).map_or(0, |(_, wallet, _)| *wallet)
    }

    /// The field in which two differ.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        let fields = [
            ("reward", self.reward == other.reward),
            ("quantity", self.quantity == other.quantity),
            ("points", self.stated == other.stated),
        ];
        fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field.to_owned())
    }
}

/// A reward as the edge finds it: in the version that is in force at the stamp, or in the first that will be.
fn found_by_edge(machine: &Machine, name: SymbolId, stamp: i64) -> Option<Reward> {
    let program = machine.programs.in_force(TimestampNs(stamp)).or_else(|| machine.programs.latest())?;
    program.reward(name).cloned()
}

/// Whether the edge knows a reward.
pub(super) fn is_known(machine: &Machine, wanted: &Wanted, stamp: i64) -> bool {
    found_by_edge(machine, intern(machine, &wanted.reward), stamp).is_some()
}

/// What is asked, at the price of the version that is in force at the stamp unless it is stated.
pub(super) fn taking(machine: &Machine, wanted: &Wanted, stamp: i64) -> CommandKind {
    let reward = intern(machine, &wanted.reward);
    let found = found_by_edge(machine, reward, stamp);
    let cost = found.as_ref().map_or(0, |found| found.cost(wanted.quantity).expect("simulated rewards are cheap"));
    CommandKind::Redeem(Redemption {
        wallet: found.map_or(WalletId(0), |found| found.wallet),
        units: wanted.stated.unwrap_or(cost),
        reward: Some(RewardAsked { reward, quantity: wanted.quantity, states_units: wanted.stated.is_some() }),
    })
}

impl Rules {
    /// The reward of a name.
    #[must_use]
    pub fn reward(&self, name: &str) -> Option<&RewardRule> {
        self.rewards.iter().find(|reward| reward.name == name)
    }

    fn is_offered(&self, reward: &RewardRule, at: i64) -> bool {
        let day = period(Window::Day, self.time_zone, at);
        reward.days.is_none_or(|(from, until)| from <= day && day <= until)
    }
}

/// How many rewards a burn was for, and what each cost; `None` where it was for none.
#[must_use]
pub fn rewards_of(burn: &Posting) -> Option<(i64, i64)> {
    let Action::Take(wanted) = &burn.action else { return None };
    Some((wanted.quantity, -burn.verdict.granted / wanted.quantity))
}

impl Model {
    /// What a redemption for a reward comes to.
    pub(super) fn expect_take(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        plain: Verdict,
        wanted: &Wanted,
    ) -> Result<Verdict, Broken> {
        let Event { rules, account, posted_at, .. } = *event;
        let place = posting.position;
        let Some(reward) = rules.reward(&wanted.reward) else {
            return Err(format!("there is a reward {} at {place}", wanted.reward));
        };
        must!(rules.is_offered(reward, posted_at), "reward {} is offered at {place}", reward.name);
        let wallet = reward.wallet;
        if event.standing().0 < reward.level {
            let refusal = Some(Refusal::RewardTierRequired);
            let balance_after = account.balance(wallet, posted_at);
            return Ok(Verdict { refusal, wallet, balance_after, lots: Vec::new(), totals: [0, 0, 0, 1, 0], ..plain });
        }
        let cost = reward.price * wanted.quantity;
        must!(wanted.stated.is_none_or(|stated| stated == cost), "{wanted:?} costs {cost} at {place}");
        let mut verdict = self.redeem(plain, rules, account, wallet, cost, posted_at);
        let mut rooms = Rooms::new(&posting.uses);
        if reward.stock.is_some() && verdict.refusal.is_none() {
            let room = rooms.look(reward.name.into(), &mut verdict)?;
            must!(room >= wanted.quantity, "of {wanted:?} there are {room} left at {place}");
            verdict.taken = vec![(reward.name.into(), wanted.quantity)];
        }
        rooms.end()?;
        Ok(verdict)
    }

    /// Whether a reward can be refused like this without a record. `taken` is what of its stock could not be taken when it
    /// was decided, as far as that was seen.
    pub(super) fn may_refuse_reward(
        &self,
        wanted: &Wanted,
        refusal: Refusal,
        (stamp, posted_at): (i64, Option<i64>),
        taken: Option<i64>,
    ) -> bool {
        let found = |(_, rules): (u32, &Rules)| rules.reward(&wanted.reward).cloned();
        let lacks = |(_, rules): &(u64, Rules)| rules.reward(&wanted.reward).is_none();
        let at_stamp = self.version_at(stamp);
        let Some(posted_at) = posted_at else {
            // The edge refuses what is not there when it looks, or in the latest version where none is in force.
            let is_missing =
                at_stamp.map_or_else(|| self.versions.iter().any(lacks), |version| found(version).is_none());
            return refusal == Refusal::RewardUnknown && is_missing;
        };
        let Some((version, rules)) = self.version_at(posted_at) else { return false };
        let Some(reward) = found((version, rules)) else { return refusal == Refusal::RewardUnknown };
        let priced = at_stamp.and_then(found).map(|reward| reward.price * wanted.quantity);
        match refusal {
            Refusal::RewardNotOffered => !rules.is_offered(&reward, posted_at),
            Refusal::RewardPriceDiffers => wanted.stated.or(priced) != Some(reward.price * wanted.quantity),
            Refusal::RewardOutOfStock => {
                let left = |stock: i64| taken.is_none_or(|taken| stock - taken < wanted.quantity);
                reward.stock.is_some_and(left)
            }
            _ => false,
        }
    }
}

/// What a record shows of a stock.
pub fn situation_of(used: i64, room: i64) -> &'static str {
    match used {
        ..0 => "a reward went back to its stock",
        _ if used == room => "the last of a reward was taken",
        _ => "a reward was taken from its stock",
    }
}
