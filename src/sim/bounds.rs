//! Caps of a simulated programme: as plain data, as the file says them, and what they leave of a grant.
//!
//! What must stay true: as in [`super::rules`]: one function writes what the model reads. What a cap of a name counts, of
//! whom and over how many windows is the same in all versions, so that a counter that one version keeps is there for the
//! next; its name ends in its window.

use std::fmt::Write as _;

use super::dice::Dice;
use super::facts::{Name, Purchase, Verdict};
use super::judge::{Event, Rooms, look};
use super::model::Broken;
use super::rules::{Measure, Window};

/// Whose counter a cap bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Each account's own.
    Account,
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
            Self::Store => "store",
            Self::Terminal => "terminal",
            Self::Cashier => "cashier",
            Self::Partner => "partner",
            Self::Programme => "programme",
        }
    }
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
    /// What would exceed it is granted nothing; else it is clipped.
    pub declines: bool,
}

/// A cap without its limit: that is drawn from a range.
type Candidate = (&'static str, Measure, Subject, Window, i32, std::ops::Range<i64>);

/// All caps there are.
const CANDIDATES: [Candidate; 13] = {
    use Measure::{EarningBaskets, EligibleAmount, Units};
    use Subject::{Account, Cashier, Partner, Programme, Store, Terminal};
    use Window::{Day, Hour, Week, Year};
    [
        ("baskets-a-day", EarningBaskets, Account, Day, 1, 2..6),
        ("units-a-day", Units, Account, Day, 1, 0..120),
        ("units-a-year", Units, Account, Year, 1, 100..3_000),
        ("baskets-a-year", EarningBaskets, Account, Year, 1, 5..60),
        ("units-in-3-day", Units, Account, Day, 3, 20..400),
        ("amount-in-24-hour", EligibleAmount, Account, Hour, 24, 1_000..60_000),
        ("baskets-in-2-week", EarningBaskets, Account, Week, 2, 3..40),
        ("store-units-a-day", Units, Store, Day, 1, 0..300),
        ("all-units-a-day", Units, Programme, Day, 1, 50..2_000),
        ("till-units-a-hour", Units, Terminal, Hour, 1, 10..200),
        ("cashier-baskets-a-day", EarningBaskets, Cashier, Day, 1, 1..60),
        ("cashier-amount-a-hour", EligibleAmount, Cashier, Hour, 1, 500..90_000),
        ("partner-units-a-week", Units, Partner, Week, 1, 100..3_000),
    ]
};

/// Some caps.
pub fn draw_caps(dice: &mut Dice) -> Vec<CapRule> {
    let mut caps = Vec::new();
    for (name, measure, subject, window, rolling, limits) in CANDIDATES {
        if dice.percent(22) {
            let declines = measure != Measure::Units || dice.percent(25);
            caps.push(CapRule { name, measure, subject, window, rolling, limit: dice.number(limits), declines });
        }
    }
    if dice.percent(50) {
        caps.reverse();
    }
    caps
}

/// How many windows after its own a counter is looked at.
#[must_use]
pub fn windows_ahead(name: &str) -> i32 {
    CANDIDATES.iter().find(|(of, ..)| *of == name).map_or(0, |(_, _, _, _, rolling, _)| rolling - 1)
}

/// Writes a cap.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_cap(out: &mut String, cap: &CapRule) -> std::fmt::Result {
    let CapRule { name, measure, subject, window, rolling, limit, declines } = cap;
    writeln!(out, "[[caps]]\nname = \"{name}\"\nmeasure = \"{}\"\nwindow = \"{}\"", measure.name(), window.name())?;
    writeln!(out, "subject = \"{}\"\nlimit = {limit}", subject.name())?;
    if *rolling > 1 {
        writeln!(out, "rolling = {rolling}")?;
    }
    writeln!(out, "over = \"{}\"", if *declines { "decline" } else { "clip" })
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

    /// The name of the counter that is shared; `None` where the event does not say whose it is.
    fn cell(&self, event: &Event<'_>, basket: Option<Bought<'_>>) -> Option<Name> {
        let said = |text: &Name| (!text.is_empty()).then(|| text.clone());
        let partner = event.partner;
        let subject = match self.subject {
            Subject::Account => return None,
            Subject::Store => format!("{partner}|{}|", said(&basket?.purchase.store)?),
            Subject::Terminal => {
                let purchase = basket?.purchase;
                format!("{partner}|{}|{}", purchase.store, said(&purchase.terminal)?)
            }
            Subject::Cashier => format!("{partner}||{}", said(&basket?.purchase.cashier)?),
            Subject::Partner => format!("{partner}||"),
            Subject::Programme => "||".to_owned(),
        };
        Some(format!("{}|{subject}|{}", self.name, event.local(self.window)).into())
    }

    /// What the account's own counter leaves: of all runs of windows that contain the present one, the fullest counts.
    fn own_room(&self, event: &Event<'_>) -> i64 {
        let (now, step) = (event.local(self.window), self.window.step());
        let count = |period: i32| event.account.counter(self.name, period);
        let run = |first: i32| (0..self.rolling).map(|index| count(now + (first + index) * step)).sum::<i64>();
        let fullest = (1 - self.rolling..=0).map(run).max().unwrap_or(0);
        (self.limit - fullest).max(0)
    }

    /// What there is room for; `None` where nothing is bounded, or nobody has looked.
    fn room(
        &self,
        event: &Event<'_>,
        basket: Option<Bought<'_>>,
        rooms: Option<&mut Rooms<'_>>,
        verdict: &mut Verdict,
    ) -> Result<Option<i64>, Broken> {
        if self.subject == Subject::Account {
            return Ok(Some(self.own_room(event)));
        }
        let (Some(cell), Some(rooms)) = (self.cell(event, basket), rooms) else { return Ok(None) };
        Ok(Some(look(cell, rooms, verdict)?.max(0)))
    }
}

/// Caps that decline, then those that clip. Without rooms the shared ones are not looked at.
///
/// # Errors
/// When the rooms are not those of the cells that caps look into.
pub fn bound(
    event: &Event<'_>,
    basket: Option<Bought<'_>>,
    mut rooms: Option<&mut Rooms<'_>>,
    verdict: &mut Verdict,
) -> Result<(), Broken> {
    let caps = &event.rules.caps;
    verdict.granted = verdict.earned;
    for cap in caps.iter().filter(|cap| cap.declines) {
        let wanted = cap.counts(verdict.earned, basket);
        if wanted == 0 {
            continue;
        }
        let room = cap.room(event, basket, rooms.as_deref_mut(), verdict)?;
        if room.is_some_and(|room| wanted > room) {
            verdict.over_velocity = Some(cap.name.into());
            verdict.granted = 0;
            verdict.bonuses.clear();
            break;
        }
    }
    for cap in caps.iter().filter(|cap| !cap.declines) {
        let is_looked_at = cap.subject == Subject::Account || verdict.granted > 0;
        if !is_looked_at {
            continue;
        }
        if let Some(left) = cap.room(event, basket, rooms.as_deref_mut(), verdict)? {
            clip(verdict, cap.name, false, left);
        }
    }
    Ok(())
}

/// Takes away what there is no room for.
pub fn clip(verdict: &mut Verdict, name: &str, is_budget: bool, left: i64) {
    if verdict.granted > left {
        verdict.clips.push((name.into(), is_budget, verdict.granted - left));
        verdict.granted = left;
    }
}
