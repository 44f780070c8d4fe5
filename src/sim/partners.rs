//! Partners, naively: who may do what where, and what each has issued and taken.
//!
//! What must stay true: nothing of `ledger` is called; a right or a store is found by looking at all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::dice::Dice;
use super::facts::{Action, Name, Posting};
use super::judge::{period, refusal_by_time};
use super::money::refusal_of_top_up;
use super::rules::{CASH, Rules, Window, date_of};
use super::vouchers::ByHand;
use crate::ledger::decision::{Movement, Refusal};

/// A right: the wallet, and the first and last local day.
pub type RightRule = (usize, Option<(i32, i32)>);

/// A partner that a version declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerRule {
    /// Its name.
    pub name: &'static str,
    /// Its stores; one with terminals has these and no others.
    pub stores: Vec<(&'static str, Vec<&'static str>)>,
    /// What it may earn.
    pub earns: Vec<RightRule>,
    /// What it may burn.
    pub burns: Vec<RightRule>,
    /// What it pays per unit.
    pub funding: u32,
    /// What it receives per unit.
    pub redemption: u32,
}

/// The partners of a version; mostly it declares none. One of them may lack rights, or be missing; the others have all for
/// ever, so that business goes on.
pub fn draw_partners(dice: &mut Dice, today: i32) -> Vec<PartnerRule> {
    if dice.percent(65) {
        return Vec::new();
    }
    let restricted = *dice.pick(&["south", "east"]);
    let mut partners = Vec::new();
    for name in ["north", "south", "east"] {
        let is_free = name != restricted;
        if !is_free && dice.percent(20) {
            continue;
        }
        let mut stores = Vec::new();
        for store in ["s-0", "s-1", "s-2"] {
            if !dice.percent(10) {
                stores.push((store, if dice.percent(15) { vec!["till-1", "till-2"] } else { Vec::new() }));
            }
        }
        let mut rights = || {
            let mut rights = Vec::new();
            for wallet in 0..=CASH {
                if is_free {
                    rights.push((wallet, None));
                } else if !dice.percent(20) {
                    let from = today - i32::try_from(dice.below(4)).unwrap_or(0);
                    let until = from + i32::try_from(dice.below(6)).unwrap_or(0);
                    rights.push((wallet, dice.percent(40).then_some((from, until))));
                }
            }
            rights
        };
        let (earns, burns) = (rights(), rights());
        let (funding, redemption) = (*dice.pick(&[0, 5_000, 12_345]), *dice.pick(&[0, 4_500]));
        partners.push(PartnerRule { name, stores, earns, burns, funding, redemption });
    }
    partners
}

/// The sections of the file.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_partners(out: &mut String, rules: &Rules) -> std::fmt::Result {
    for partner in &rules.partners {
        writeln!(out, "[[partners]]\nname = \"{}\"", partner.name)?;
        writeln!(out, "funding_rate_bps = {}\nredemption_rate_bps = {}", partner.funding, partner.redemption)?;
        for (key, rights) in [("earns", &partner.earns), ("burns", &partner.burns)] {
            for (wallet, days) in rights {
                writeln!(out, "[[partners.{key}]]\nwallet = \"{}\"", rules.wallets[*wallet].0)?;
                if let Some((from, until)) = days {
                    writeln!(out, "from = {}\nuntil = {}", date_of(*from), date_of(*until))?;
                }
            }
        }
        for (store, terminals) in &partner.stores {
            writeln!(out, "[[partners.stores]]\nname = \"{store}\"")?;
            if !terminals.is_empty() {
                writeln!(out, "terminals = {terminals:?}")?;
            }
        }
    }
    Ok(())
}

impl PartnerRule {
    fn has_place(&self, store: &str, terminal: &str) -> bool {
        let has = |(of, terminals): &(&str, Vec<&str>)| {
            *of == store && (terminals.is_empty() || terminals.contains(&terminal))
        };
        self.stores.iter().any(has)
    }
}

impl Rules {
    fn partner(&self, name: &str) -> Option<&PartnerRule> {
        self.partners.iter().find(|partner| partner.name == name)
    }

    /// What a partner pays for a unit of a wallet that it issues under these rules.
    #[must_use]
    pub fn funding_of(&self, name: &str, wallet: usize) -> u32 {
        self.partner(name).map_or(0, |partner| Self::worth(wallet, partner.funding))
    }

    fn permits(&self, rights: &[RightRule], wallet: usize, at: i64) -> bool {
        let day = period(Window::Day, self.time_zone, at);
        let holds = |days: &Option<(i32, i32)>| days.is_none_or(|(from, until)| from <= day && day <= until);
        rights.iter().any(|(of, days)| *of == wallet && holds(days))
    }
}

/// Why the rules refuse a command of a partner, whatever the account: for who it is, for when it happened, for where, for
/// what it may not do, in this order; and because something is frozen, which comes after what partners may not do.
#[must_use]
pub fn refusal_by_rules(
    rules: &Rules,
    partner: &str,
    action: &Action,
    happened_at: i64,
    posted_at: i64,
    frozen: Option<Refusal>,
) -> Option<Refusal> {
    let by_time = refusal_by_time(rules, happened_at, posted_at);
    let is_exempt = matches!(
        action,
        Action::Reverse { .. }
            | Action::Refund(_)
            | Action::Review { .. }
            | Action::Restore { .. }
            | Action::Voucher(ByHand { what: Err(_), .. })
            | Action::Void { .. }
            | Action::Expire
    );
    if rules.partners.is_empty() || is_exempt {
        return frozen.or(by_time).or_else(|| refusal_of_top_up(rules, action));
    }
    let refusal = refusal_of_partner(rules, partner, action, by_time, (happened_at, posted_at));
    refusal.or(frozen).or_else(|| refusal_of_top_up(rules, action))
}

/// As [`refusal_by_rules`], where the rules declare partners and the action is a partner's.
fn refusal_of_partner(
    rules: &Rules,
    partner: &str,
    action: &Action,
    by_time: Option<Refusal>,
    (happened_at, posted_at): (i64, i64),
) -> Option<Refusal> {
    let Some(found) = rules.partner(partner) else { return Some(Refusal::PartnerUnknown) };
    if by_time.is_some() {
        return by_time;
    }
    let may_earn = rules.permits(&found.earns, rules.earn_wallet, happened_at);
    match action {
        Action::Accrue { purchase, .. } => {
            if !found.has_place(&purchase.store, &purchase.terminal) {
                return Some(Refusal::StoreUnknown);
            }
            (!may_earn).then_some(Refusal::EarnNotPermitted)
        }
        Action::TopUp(paid) => {
            let [store, terminal] = &paid.place;
            if !store.is_empty() && !found.has_place(store, terminal) {
                return Some(Refusal::StoreUnknown);
            }
            (!rules.permits(&found.earns, paid.wallet, posted_at)).then_some(Refusal::EarnNotPermitted)
        }
        Action::Adjust { wallet, .. } => {
            (!rules.permits(&found.earns, *wallet, posted_at)).then_some(Refusal::EarnNotPermitted)
        }
        Action::Enrol { .. } | Action::Link { .. } => {
            let rights = [found.earns.clone(), found.burns.clone()].concat();
            let deals = rights.iter().any(|(wallet, _)| rules.permits(&rights, *wallet, posted_at));
            (!deals).then_some(Refusal::EarnNotPermitted)
        }
        Action::Act { .. } | Action::Voucher(_) => (!may_earn).then_some(Refusal::EarnNotPermitted),
        Action::Take(wanted) => {
            (!rules.permits(&found.burns, wanted.wallet(), posted_at)).then_some(Refusal::BurnNotPermitted)
        }
        Action::Redeem { wallet, .. } | Action::Authorize { wallet, .. } | Action::Capture { wallet, .. } => {
            (!rules.permits(&found.burns, *wallet, posted_at)).then_some(Refusal::BurnNotPermitted)
        }
        Action::Load { lots, .. } => {
            lots.iter().any(|(lot, _)| *lot.issuer != *partner).then_some(Refusal::EarnNotPermitted)
        }
        _ => None,
    }
}

/// What partners have issued and taken, by shard: sums with the rates, and who burned whose units.
#[derive(Debug, Default)]
pub struct SidesModel {
    /// By shard, issuer and wallet: what was issued, taken back, burned and expired, each unit times its lot's rate.
    pub funding: BTreeMap<(u16, Name, usize), [i128; 4]>,
    /// By shard, acceptor, issuer and wallet: units, and units times the acceptor's rate.
    pub burns: BTreeMap<(u16, Name, Name, usize), [i128; 2]>,
}

impl SidesModel {
    /// Adds what a posting moved under these rules: of a reversal, those of its original.
    pub fn add(&mut self, posting: &Posting, rules: Option<&Rules>) {
        let redemption = rules.and_then(|rules| rules.partner(&posting.partner)).map(|partner| partner.redemption);
        for change in &posting.verdict.lots {
            let units = i128::from(change.units.abs());
            let (issuer, wallet) = (&change.lot.issuer, change.lot.wallet);
            let places = [
                (Movement::Grant, 0, 1),
                (Movement::Reverse, 1, 1),
                (Movement::Burn, 2, 1),
                (Movement::Expire, 3, 1),
                (Movement::Restore, 3, -1),
                (Movement::Unburn, 2, -1),
            ];
            let Some((_, place, sign)) = places.iter().find(|(movement, ..)| change.is(*movement)) else { continue };
            let sums = self.funding.entry((posting.shard, issuer.clone(), wallet)).or_default();
            sums[*place] += sign * units * i128::from(change.lot.funding);
            if *place == 2 {
                let key = (posting.shard, posting.partner.clone(), issuer.clone(), wallet);
                let burned = self.burns.entry(key).or_default();
                burned[0] += sign * units;
                burned[1] += sign * units * i128::from(redemption.map_or(0, |rate| Rules::worth(wallet, rate)));
            }
        }
    }
}
