//! Caps of a simulated programme: as plain data, as the file says them, and what they leave of a grant.
//!
//! What must stay true: as in [`super::rules`]: one function writes what the model reads. What a cap of a name counts, of
//! whom and over how many windows is the same in all versions, so that a counter that one version keeps is there for
//! the next; its name ends in its window. The caps of rules have names of their own, for they count what is a rule's.

use std::fmt::Write as _;

use super::dice::Dice;
use super::facts::{Name, Purchase, Verdict};
use super::judge::Event;
use super::model::Broken;
use super::ring::counter_name;
use super::rooms::{Rooms, Windows};
use super::rules::{BUDGETS, Measure, Window};
use super::shares::Share;

/// Whose counter a cap bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Each account's own.
    Account,
    /// Each member's of an account.
    Member,
    /// A store's, over all accounts.
    Store,
    /// A till's, in its store.
    Terminal,
    /// A cashier's.
    Cashier,
    /// A partner's.
    Partner,
    /// One for all.
    Programme,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Member => "member",
            Self::Store => "store",
            Self::Terminal => "terminal",
            Self::Cashier => "cashier",
            Self::Partner => "partner",
            Self::Programme => "programme",
        }
    }

    /// Whether the account keeps the counter.
    #[must_use]
    pub fn is_own(self) -> bool {
        matches!(self, Self::Account | Self::Member)
    }
}

/// What becomes of what would exceed a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// What there is no room for is clipped.
    Clip,
    /// It is granted nothing.
    Decline,
    /// It is held until an operator decides.
    Hold,
}

/// A bound per subject and window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapRule {
    /// Its name in the file.
    pub name: &'static str,
    /// What it counts.
    pub measure: Measure,
    /// Whose.
    pub subject: Subject,
    /// Per which window.
    pub window: Window,
    /// So many windows that follow each other are bounded together.
    pub rolling: i32,
    /// The most that may be reached.
    pub limit: i64,
    /// What becomes of what would exceed it.
    pub over: Over,
}

/// A cap without its limit: that is drawn from a range.
type Candidate = (&'static str, Measure, Subject, Window, i32, std::ops::Range<i64>);

/// All caps of the programme there are.
const CANDIDATES: [Candidate; 20] = {
    use Measure::{EarningBaskets, EligibleAmount, Units};
    use Subject::{Account, Cashier, Member, Partner, Programme, Store, Terminal};
    use Window::{Day, Hour, Week, Year};
    [
        ("baskets-a-day", EarningBaskets, Account, Day, 1, 2..6),
        ("units-a-day", Units, Account, Day, 1, 0..120),
        ("units-a-year", Units, Account, Year, 1, 100..3_000),
        ("baskets-a-year", EarningBaskets, Account, Year, 1, 5..60),
        ("units-in-3-day", Units, Account, Day, 3, 20..400),
        ("amount-in-24-hour", EligibleAmount, Account, Hour, 24, 1_000..60_000),
        ("baskets-in-2-week", EarningBaskets, Account, Week, 2, 3..40),
        ("member-units-a-day", Units, Member, Day, 1, 5..120),
        ("member-baskets-in-2-day", EarningBaskets, Member, Day, 2, 1..3),
        ("member-amount-a-week", EligibleAmount, Member, Week, 1, 500..60_000),
        ("store-units-a-day", Units, Store, Day, 1, 0..300),
        ("store-units-in-3-day", Units, Store, Day, 3, 20..600),
        ("all-units-a-day", Units, Programme, Day, 1, 50..2_000),
        ("all-units-in-6-hour", Units, Programme, Hour, 6, 20..1_500),
        ("till-units-a-hour", Units, Terminal, Hour, 1, 10..200),
        ("till-baskets-in-2-hour", EarningBaskets, Terminal, Hour, 2, 1..5),
        ("cashier-baskets-a-day", EarningBaskets, Cashier, Day, 1, 1..60),
        ("cashier-amount-a-hour", EligibleAmount, Cashier, Hour, 1, 500..90_000),
        ("partner-units-a-week", Units, Partner, Week, 1, 100..3_000),
        ("partner-amount-in-2-week", EligibleAmount, Partner, Week, 2, 5_000..400_000),
    ]
};

/// All caps of rules there are.
const RULE_CANDIDATES: [Candidate; 6] = {
    use Measure::{EarningBaskets, EligibleAmount, Units};
    use Subject::{Account, Member, Programme, Store};
    use Window::{Day, Hour, Week};
    [
        ("rule-units-a-day", Units, Account, Day, 1, 1..60),
        ("rule-baskets-in-2-day", EarningBaskets, Account, Day, 2, 1..5),
        ("rule-member-units-a-week", Units, Member, Week, 1, 1..80),
        ("rule-store-units-in-2-day", Units, Store, Day, 2, 5..200),
        ("rule-units-of-all-a-day", Units, Programme, Day, 1, 10..600),
        ("rule-amount-in-3-hour", EligibleAmount, Programme, Hour, 3, 500..60_000),
    ]
};

/// Some caps.
pub fn draw_caps(dice: &mut Dice) -> Vec<CapRule> {
    let mut caps = Vec::new();
    for (name, measure, subject, window, rolling, limits) in CANDIDATES {
        if dice.percent(18) {
            let over = match dice.below(100) {
                0..55 if measure == Measure::Units => Over::Clip,
                // Few caps on baskets strike, and fewer of these hold.
                50..75 if measure == Measure::EarningBaskets => Over::Hold,
                0..75 => Over::Decline,
                _ => Over::Hold,
            };
            caps.push(CapRule { name, measure, subject, window, rolling, limit: dice.number(limits), over });
        }
    }
    if dice.percent(50) {
        caps.reverse();
    }
    caps
}

/// Caps of one rule, of those that are not `taken` by another. What a rule gives beside what is carried over is nobody's,
/// so that it cannot be counted.
pub fn draw_rule_caps(dice: &mut Dice, taken: &mut Vec<&'static str>, carries: bool) -> Vec<CapRule> {
    let mut caps = Vec::new();
    for (name, measure, subject, window, rolling, limits) in RULE_CANDIDATES {
        if taken.contains(&name) || (carries && measure == Measure::Units) || !dice.percent(25) {
            continue;
        }
        taken.push(name);
        let over = if measure == Measure::Units && dice.percent(70) { Over::Clip } else { Over::Decline };
        caps.push(CapRule { name, measure, subject, window, rolling, limit: dice.number(limits), over });
    }
    caps
}

/// How many windows after its own a counter is looked at.
#[must_use]
pub fn windows_ahead(name: &str) -> i32 {
    let caps = CANDIDATES.iter().chain(&RULE_CANDIDATES).map(|(of, _, _, _, rolling, _)| (*of, *rolling));
    let budgets = BUDGETS.into_iter().map(|(of, _, rolling)| (of, rolling));
    caps.chain(budgets).find(|(of, _)| *of == name).map_or(0, |(_, rolling)| rolling - 1)
}

/// Writes a cap under the head of its table.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_cap(out: &mut String, table: &str, cap: &CapRule) -> std::fmt::Result {
    let CapRule { name, measure, subject, window, rolling, limit, over } = cap;
    writeln!(out, "[[{table}]]\nname = \"{name}\"\nmeasure = \"{}\"", measure.name())?;
    writeln!(out, "window = \"{}\"\nsubject = \"{}\"\nlimit = {limit}", window.name(), subject.name())?;
    if *rolling > 1 {
        writeln!(out, "rolling = {rolling}")?;
    }
    let over = match over {
        Over::Clip => "clip",
        Over::Decline => "decline",
        Over::Hold => "hold",
    };
    writeln!(out, "over = \"{over}\"")
}

/// A basket as far as caps look at it.
#[derive(Clone, Copy)]
pub struct Bought<'a> {
    /// The purchase.
    pub purchase: &'a Purchase,
    /// Its eligible amount.
    pub spent: i64,
}

impl CapRule {
    /// What a grant of so many units counts for.
    #[must_use]
    pub fn counts(&self, units: i64, basket: Option<Bought<'_>>) -> i64 {
        match (self.measure, basket) {
            (Measure::Units, _) => units,
            (Measure::EarningBaskets, Some(_)) if units > 0 => 1,
            (Measure::EligibleAmount, Some(basket)) if units > 0 => basket.spent,
            _ => 0,
        }
    }

    /// The counter that the account keeps; `None` for a shared cap, and where no member is named.
    #[must_use]
    pub fn counter(&self, event: &Event<'_>) -> Option<Name> {
        match self.subject {
            Subject::Account => Some(self.name.into()),
            Subject::Member if !event.member.is_empty() => Some(counter_name(self.name, event.member)),
            _ => None,
        }
    }

    /// Whose shared counter it is; `None` where the event does not say.
    fn shared(&self, event: &Event<'_>, basket: Option<Bought<'_>>) -> Option<String> {
        let said = |text: &Name| (!text.is_empty()).then(|| text.clone());
        let partner = event.partner;
        Some(match self.subject {
            Subject::Account | Subject::Member => return None,
            Subject::Store => format!("{partner}|{}|", said(&basket?.purchase.store)?),
            Subject::Terminal => {
                let purchase = basket?.purchase;
                format!("{partner}|{}|{}", purchase.store, said(&purchase.terminal)?)
            }
            Subject::Cashier => format!("{partner}||{}", said(&basket?.purchase.cashier)?),
            Subject::Partner => format!("{partner}||"),
            Subject::Programme => "||".to_owned(),
        })
    }

    /// The cell of the present window.
    #[must_use]
    pub fn cell(&self, event: &Event<'_>, basket: Option<Bought<'_>>) -> Option<Name> {
        let subject = self.shared(event, basket)?;
        Some(format!("{}|{subject}|{}", self.name, event.local(self.window)).into())
    }

    /// The windows that are bounded together.
    #[must_use]
    pub fn together(&self) -> Windows {
        Windows { count: self.rolling, step: self.window.step() }
    }

    /// What the account's own counter leaves: of all runs of windows that contain the present one, the fullest counts.
    fn own_room(&self, event: &Event<'_>, counter: &str) -> i64 {
        let (now, step) = (event.local(self.window), self.window.step());
        let count = |period: i32| event.account.counter(counter, period);
        let run = |first: i32| (0..self.rolling).map(|index| count(now + (first + index) * step)).sum::<i64>();
        let fullest = (1 - self.rolling..=0).map(run).max().unwrap_or(0);
        (self.limit - fullest).max(0)
    }

    /// What there is room for; `None` where nothing is bounded, or nobody has looked.
    ///
    /// # Errors
    /// When the ledger has not looked into what it had to.
    pub fn room(
        &self,
        event: &Event<'_>,
        basket: Option<Bought<'_>>,
        rooms: Option<&mut Rooms<'_>>,
        verdict: &mut Verdict,
    ) -> Result<Option<i64>, Broken> {
        if self.subject.is_own() {
            return Ok(self.counter(event).map(|counter| self.own_room(event, &counter)));
        }
        let (Some(subject), Some(rooms)) = (self.shared(event, basket), rooms) else { return Ok(None) };
        let now = event.local(self.window);
        let cell = |later: i32| Name::from(format!("{}|{subject}|{}", self.name, now + later));
        rooms.look_around(self.together(), self.limit, cell, verdict).map(Some)
    }
}

/// What the caps of rules leave, then caps that decline, then those that clip. Without rooms the shared ones are not
/// looked at.
///
/// # Errors
/// When the rooms are not those of the cells that caps look into.
pub fn bound(
    event: &Event<'_>,
    basket: Option<Bought<'_>>,
    mut rooms: Option<&mut Rooms<'_>>,
    shares: &mut [Share],
    verdict: &mut Verdict,
) -> Result<(), Broken> {
    let caps = &event.rules.caps;
    verdict.granted = verdict.earned;
    super::shares::clip_shares(event, basket, rooms.as_deref_mut(), shares, verdict)?;
    if verdict.granted > 0 {
        for cap in caps.iter().filter(|cap| cap.over == Over::Decline) {
            let wanted = cap.counts(verdict.granted, basket);
            if wanted == 0 {
                continue;
            }
            let room = cap.room(event, basket, rooms.as_deref_mut(), verdict)?;
            if room.is_some_and(|room| wanted > room) {
                verdict.over_velocity = Some(cap.name.into());
                verdict.granted = 0;
                verdict.bonuses.clear();
                verdict.stamps.clear();
                verdict.clips.clear();
                break;
            }
        }
    }
    for cap in caps.iter().filter(|cap| cap.over == Over::Clip) {
        let is_looked_at = cap.subject.is_own() || verdict.granted > 0;
        if !is_looked_at {
            continue;
        }
        if let Some(left) = cap.room(event, basket, rooms.as_deref_mut(), verdict)? {
            clip(verdict, cap.name, false, left);
        }
    }
    Ok(())
}

/// The cap that holds what is granted, if one does: the first that has no room for it. All that can are looked at.
///
/// # Errors
/// As [`bound`].
pub fn holding_cap(
    event: &Event<'_>,
    basket: Option<Bought<'_>>,
    mut rooms: Option<&mut Rooms<'_>>,
    verdict: &mut Verdict,
) -> Result<Option<Name>, Broken> {
    let mut holds = None;
    if verdict.granted == 0 {
        return Ok(None);
    }
    for cap in event.rules.caps.iter().filter(|cap| cap.over == Over::Hold) {
        let wanted = cap.counts(verdict.granted, basket);
        if wanted == 0 && !cap.subject.is_own() {
            continue;
        }
        let room = cap.room(event, basket, rooms.as_deref_mut(), verdict)?;
        if room.is_some_and(|room| wanted > room) {
            holds.get_or_insert(Name::from(cap.name));
        }
    }
    Ok(holds)
}

/// Takes away what there is no room for.
pub fn clip(verdict: &mut Verdict, name: &str, is_budget: bool, left: i64) {
    if verdict.granted > left {
        verdict.clips.push((name.into(), is_budget, verdict.granted - left));
        verdict.granted = left;
    }
}
