//! Stamp cards, naively: what a purchase counts, what a full card gives, and what of both is left of what comes back.
//!
//! What must stay true: nothing of `ledger` is called. A card's name ends in its window, and what it counts is the same under
//! one name in all versions; the rewards that it gave are counted under its name with `.given` behind it.

use std::fmt::Write as _;

use super::dice::Dice;
use super::facts::{Action, Earning, Name, Posting, Purchase, Verdict};
use super::judge::Event;
use super::returns::Stands;
use super::rewards::WhenRule;
use super::rules::{ATTRIBUTES, Rules, Window};
use super::vouchers::{MOST_OF_ONE, VoucherRule, VoucherWords};
use crate::ledger::decision::Decision;

/// A stamp card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRule {
    /// Its name in the file.
    pub name: &'static str,
    /// Which of [`ATTRIBUTES`] has to have which values; `None` for every eligible line.
    pub of: Option<(usize, Vec<&'static str>)>,
    /// A stamp is for a basket, not for a piece.
    pub by_basket: bool,
    /// How many make it full.
    pub size: i64,
    /// What it gives: units, or the place of a voucher.
    pub gives: Result<i64, usize>,
    /// When it ends.
    pub window: Window,
    /// What must hold.
    pub when: WhenRule,
}

/// What a purchase counted on a card of a programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// The place of the card.
    pub card: usize,
    /// Stamps, and rewards given, before.
    pub before: (i64, i64),
    /// Stamps.
    pub counted: i64,
    /// Rewards.
    pub rewards: i64,
}

/// Some cards.
pub fn draw_cards(dice: &mut Dice, has_levels: bool, experiment_count: usize, voucher_count: usize) -> Vec<CardRule> {
    let candidates = [
        ("pieces-card-lifetime", None, false, Window::Lifetime),
        ("toys-card-week", Some((2, vec!["TOYS", "FUEL"])), false, Window::Week),
        ("visits-card-lifetime", None, true, Window::Lifetime),
        ("own-card-month", Some((3, vec!["Private"])), true, Window::Month),
    ];
    let mut cards = Vec::new();
    for (name, of, by_basket, window) in candidates {
        if dice.percent(60) {
            let gives = match voucher_count > 0 && dice.percent(50) {
                true => Err(dice.index(voucher_count)),
                false => Ok(dice.number(1..40)),
            };
            let when = WhenRule::draw(dice, true, has_levels, experiment_count);
            cards.push(CardRule { name, of, by_basket, size: dice.number(1..7), gives, window, when });
        }
    }
    cards
}

/// Writes them.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_cards(out: &mut String, cards: &[CardRule], vouchers: &[VoucherRule]) -> std::fmt::Result {
    for card in cards {
        writeln!(out, "[[stamps]]\nname = \"{}\"\ncount = {}", card.name, card.size)?;
        if let Some((attribute, values)) = &card.of {
            let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
            writeln!(out, "of = {{ {} = [{}] }}", ATTRIBUTES[*attribute], values.join(", "))?;
        }
        if card.by_basket {
            writeln!(out, "counts = \"baskets\"")?;
        }
        match card.gives {
            Ok(units) => writeln!(out, "units = {units}")?,
            Err(place) => writeln!(out, "voucher = \"{}\"", vouchers[place].name)?,
        }
        if card.window != Window::Lifetime {
            writeln!(out, "window = \"{}\"", card.window.name())?;
        }
        out.push_str(&card.when.written());
    }
    Ok(())
}

impl CardRule {
    fn given(&self) -> Name {
        format!("{}.given", self.name).into()
    }

    /// The stamps of lines of which so many pieces are left; none for one that is gone.
    fn stamps(&self, purchase: &Purchase, lines: &[Earning], left: &[(i64, i64)]) -> i64 {
        let mut stamps = 0;
        for (place, line) in purchase.lines.iter().enumerate() {
            let is_listed = self
                .of
                .as_ref()
                .is_none_or(|(attribute, values)| values.iter().any(|value| **value == *line.attributes[*attribute]));
            let is_free = line.amount_minor == 0;
            if is_listed && !is_free && lines[place] != Earning::Nothing && left[place] != (0, 0) {
                stamps = if self.by_basket { 1 } else { stamps + left[place].0 };
            }
        }
        stamps
    }

    /// Rewards that so many stamps come to beyond those that were given.
    fn due(&self, stamps: i64, given: i64) -> i64 {
        let mut due = 0;
        while (given + due + 1) * self.size <= stamps {
            due += 1;
        }
        due
    }
}

/// Counts a purchase of which the lines are judged, and adds the units of full cards.
pub fn count(event: &Event<'_>, purchase: &Purchase, spent: i64, verdict: &mut Verdict) {
    let all: Vec<(i64, i64)> = purchase.lines.iter().map(|line| (line.quantity, line.amount_minor)).collect();
    for (place, card) in event.rules.cards.iter().enumerate() {
        let counted = card.stamps(purchase, &verdict.lines, &all);
        if counted == 0 || !event.holds(&card.when, spent) {
            continue;
        }
        let window = event.local(card.window);
        let before = (event.account.counter(card.name, window), event.account.counter(&card.given(), window));
        let mut rewards = 0;
        if let Ok(units) = card.gives {
            rewards = card.due(before.0 + counted, before.1);
            verdict.earned += rewards * units;
        }
        verdict.stamps.push(Stamped { card: place, before, counted, rewards });
    }
}

/// Finds how many vouchers full cards give, once it is known whether anything is denied or held.
pub fn give(event: &Event<'_>, is_held: bool, verdict: &mut Verdict) {
    if is_held || verdict.over_velocity.is_some() {
        return;
    }
    let has_room = |given: u8| given < MOST_OF_ONE && event.account.has_room(given.into(), event.posted_at);
    let mut given = 0;
    for (bonus, _) in &verdict.bonuses {
        given += u8::from(event.rules.bonuses[*bonus].voucher.is_some() && has_room(given));
    }
    for stamped in &mut verdict.stamps {
        let card = &event.rules.cards[stamped.card];
        let due = card.due(stamped.before.0 + stamped.counted, stamped.before.1);
        while card.gives.is_err() && stamped.rewards < due && has_room(given) {
            (stamped.rewards, given) = (stamped.rewards + 1, given + 1);
        }
    }
}

/// The counters of the cards, behind all others.
pub fn counted(event: &Event<'_>, verdict: &Verdict) -> Vec<(Name, i32, i64)> {
    let mut counters = Vec::new();
    for stamped in &verdict.stamps {
        let card = &event.rules.cards[stamped.card];
        let window = event.local(card.window);
        counters.push((card.name.into(), window, stamped.counted));
        if stamped.rewards > 0 {
            counters.push((card.given(), window, stamped.rewards));
        }
    }
    counters
}

/// The vouchers that the cards of a verdict gave, each with its rule.
pub fn vouchers<'r>(rules: &'r Rules, verdict: &'r Verdict) -> impl Iterator<Item = &'r VoucherRule> {
    verdict.stamps.iter().flat_map(|stamped| {
        let voucher = rules.cards[stamped.card].gives.err();
        let rule = voucher.and_then(|place| rules.vouchers.get(place)).into_iter();
        rule.flat_map(|rule| std::iter::repeat_n(rule, usize::try_from(stamped.rewards).unwrap_or(0)))
    })
}

/// What is left of the stamps and rewards of a purchase, by the names of the counters; and the units of these rewards.
pub fn rest(
    rules: &Rules,
    bought: &Posting,
    purchase: &Purchase,
    left: &[(i64, i64)],
    eligible: i64,
) -> (Vec<(Name, i64)>, i64) {
    let (mut counters, mut all_units) = (Vec::new(), 0);
    for stamped in &bought.verdict.stamps {
        let card = &rules.cards[stamped.card];
        let is_reached = eligible >= card.when.eligible_minor_min;
        let stamps = if is_reached { card.stamps(purchase, &bought.verdict.lines, left) } else { 0 };
        let rewards = match card.gives {
            // Vouchers go with the last part.
            Err(_) => stamped.rewards,
            Ok(_) if stamps == 0 => 0,
            Ok(units) => {
                let rewards = card.due(stamped.before.0 + stamps, stamped.before.1);
                all_units += rewards * units;
                rewards
            }
        };
        counters.extend([(card.name.into(), stamps), (card.given(), rewards)]);
    }
    (counters, all_units)
}

/// The bonuses that gave vouchers, each with its code: those that the account had room for are the first.
pub fn giving_bonuses<'p>(rules: &Rules, bought: &'p Posting) -> Vec<(usize, &'p Name)> {
    let is_given = |(_, words): &&(Name, VoucherWords)| matches!(words, VoucherWords::Given(_));
    let given: Vec<&Name> = bought.verdict.vouchers.iter().filter(is_given).map(|(code, _)| code).collect();
    let of_bonuses = given.len() - vouchers(rules, &bought.verdict).count();
    let places = bought.verdict.bonuses.iter().map(|(place, _)| *place);
    let giving = places.filter(|place| rules.bonuses[*place].voucher.is_some());
    giving.zip(given).take(of_bonuses).collect()
}

/// Of the rewards that a reversal takes off, only the vouchers that it cancels go: the others were had. So it is with the
/// uses and places of bonuses that gave vouchers.
pub fn keep_given(rules: &Rules, bought: &Posting, changes: &[(Name, VoucherWords)], verdict: &mut Verdict) {
    let is_given = |(_, words): &&(Name, VoucherWords)| matches!(words, VoucherWords::Given(_));
    let given: Vec<&Name> = bought.verdict.vouchers.iter().filter(is_given).map(|(code, _)| code).collect();
    let of_cards = vouchers(rules, &bought.verdict).count();
    let mut codes = given[given.len() - of_cards..].iter();
    for stamped in &bought.verdict.stamps {
        let card = &rules.cards[stamped.card];
        if card.gives.is_ok() {
            continue;
        }
        let own: Vec<_> = codes.by_ref().take(usize::try_from(stamped.rewards).unwrap_or(0)).collect();
        let is_cancelled = |code: &&&&Name| changes.contains(&((***code).clone(), VoucherWords::Cancelled));
        let cancelled = own.iter().filter(is_cancelled).count();
        if let Some((.., delta)) = verdict.counters.iter_mut().find(|(name, ..)| *name == card.given()) {
            *delta = -i64::try_from(cancelled).expect("these are few");
        }
    }
    for (place, code) in giving_bonuses(rules, bought) {
        if changes.contains(&(code.clone(), VoucherWords::Cancelled)) {
            continue;
        }
        let name = rules.bonuses[place].name;
        let counters = verdict.counters.iter_mut().filter(|(of, ..)| **of == *name).map(|(.., delta)| delta);
        let cells = verdict.taken.iter_mut().filter(|(of, _)| of.split('|').next() == Some(name));
        counters.chain(cells.map(|(_, used)| used)).for_each(|had| *had = 0);
    }
    verdict.counters.retain(|(_, _, delta)| *delta != 0);
}

/// What a decision of the ledger says of cards, in plain words.
#[must_use]
pub fn words_of(decision: &Decision) -> Vec<Stamped> {
    let words = decision.stamps.iter().map(|outcome| Stamped {
        card: usize::from(outcome.card.0),
        before: (outcome.stamps_before, outcome.given_before),
        counted: outcome.counted,
        rewards: outcome.rewards,
    });
    words.collect()
}

/// What a record shows of cards.
pub fn situations(posting: &Posting, bought: Option<(&Rules, &Posting, &Stands)>) -> Vec<&'static str> {
    let mut shown = Vec::new();
    let stamps = &posting.verdict.stamps;
    if !stamps.is_empty() {
        shown.push("a purchase counted on a card");
    }
    if stamps.iter().any(|stamped| stamped.rewards > 0) {
        shown.push("a card was full");
    }
    if stamps.iter().any(|stamped| stamped.rewards > 1) {
        shown.push("a purchase filled a card more than once");
    }
    let (Action::Reverse { .. }, Some((rules, bought, after))) = (&posting.action, bought) else { return shown };
    let takes_back = |name: &str| posting.verdict.counters.iter().any(|(of, ..)| **of == *name);
    for stamped in &bought.verdict.stamps {
        let card = &rules.cards[stamped.card];
        let (takes_stamps, takes_rewards) = (takes_back(card.name), takes_back(&card.given()));
        if takes_stamps && !after.is_gone {
            shown.push("a part took stamps back");
        }
        if takes_rewards {
            shown.push("a return took what a card had given");
        }
        if after.is_gone && stamped.rewards > 0 && card.gives.is_err() && !takes_rewards {
            shown.push("a return left the vouchers of a card");
        }
    }
    shown
}
