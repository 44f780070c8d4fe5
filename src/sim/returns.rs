//! What comes back of a purchase, naively: line by line, and what of it stands afterwards.
//!
//! What must stay true: nothing of `ledger` is called. The rest of a purchase is judged with what its record says: rules
//! that counted for a line count still, unless they ask for an amount that the rest does not reach, and then the line earns
//! the base rate in their place; bonuses likewise; what clipped leaves what it left then; what was denied stays denied.
//! What stands never grows, and after the last part nothing does.

use super::bounds::CapRule;
use super::facts::{Action, Earning, Name, Posting, Purchase, PurchaseLine, Verdict};
use super::judge::{Event, Lines, basket_units};
use super::lots::{LotMove, dead, expired, take, take_alike, take_own};
use super::model::{Broken, Model, must};
use super::orders::give_back;
use super::rules::{Measure, RoundingRule, Rules, SpentRule};
use super::unburns::burned_by;
use crate::ledger::decision::{Movement, Refusal};

/// Lines that are asked for: the place, the quantity, and the amount of a line without one.
pub type Asked = (u32, i64, i64);

/// What still stands of a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// Quantity and amount of each line.
    pub left: Vec<(i64, i64)>,
    /// Units.
    pub units: i64,
    /// Of each counter that moved, in the order of the record.
    counters: Vec<i64>,
    /// Of each cell that was drawn on.
    taken: Vec<i64>,
    /// What its parts have changed the remainder by.
    carried: i128,
    /// Nothing is left.
    pub is_gone: bool,
}

/// A part of a purchase that comes back.
pub struct Part {
    /// What of the purchase's units, counters and cells it takes back, in the form of the purchase's own verdict.
    undone: Verdict,
    units: i64,
    /// What the account's remainder changes by.
    carried: i128,
    /// What stands afterwards.
    pub after: Stands,
}

/// The rest of a purchase, judged.
struct Rest {
    eligible: i64,
    units: i64,
    /// What the rules with caps give, in the order of the file: the rule, its units, the amount of its lines.
    shares: Vec<(u32, i64, i64)>,
    /// What stands on cards, and of what they gave.
    cards: Vec<(Name, i64)>,
}

impl Stands {
    fn of(posting: &Posting) -> Self {
        let Action::Accrue { purchase, .. } = &posting.action else { unreachable!("only purchases come back") };
        let verdict = &posting.verdict;
        let granted = verdict.lots.iter().find(|change| change.is(Movement::Grant));
        Self {
            left: purchase.lines.iter().map(|line| (line.quantity, line.amount_minor)).collect(),
            units: granted.map_or(0, |change| change.units),
            counters: verdict.counters.iter().map(|(_, _, delta)| *delta).collect(),
            taken: drawn(verdict).map(|(_, used)| *used).collect(),
            carried: 0,
            is_gone: false,
        }
    }
}

fn drawn(verdict: &Verdict) -> impl Iterator<Item = &(Name, i64)> {
    verdict.taken.iter().filter(|(_, used)| *used != 0)
}

/// Why these lines cannot come back of a purchase of which this is left.
#[must_use]
pub fn unreturnable(purchase: &Purchase, left: &[(i64, i64)], asked: &[Asked]) -> Option<Refusal> {
    let wrong = |(line, quantity, amount): &Asked| {
        let place = *line as usize;
        let (Some(bought), Some((pieces, worth))) = (purchase.lines.get(place), left.get(place)) else {
            return Some(Refusal::LineUnknown);
        };
        if (bought.quantity > 0) != (*quantity > 0) {
            return Some(Refusal::LineUnknown);
        }
        let is_there = if bought.quantity > 0 { quantity <= pieces } else { amount <= worth };
        (!is_there).then_some(Refusal::ReturnTooLarge)
    };
    asked.iter().find_map(wrong)
}

impl Model {
    /// What stands of a purchase.
    #[must_use]
    pub fn stands(&self, posting: &Posting) -> Stands {
        let key = (posting.partner.clone(), posting.transaction_id.clone());
        self.returned.get(&key).cloned().unwrap_or_else(|| Stands::of(posting))
    }

    /// What these lines of a purchase take back, or all that is left where there are none.
    ///
    /// # Errors
    /// When so much is not left.
    pub fn part_of(&self, bought: &Posting, asked: &[Asked]) -> Result<Part, Broken> {
        let Action::Accrue { purchase, .. } = &bought.action else { return Err("only purchases come back".to_owned()) };
        let before = self.stands(bought);
        let refusal = unreturnable(purchase, &before.left, asked);
        must!(refusal.is_none(), "{asked:?} is left of {}: {refusal:?}", bought.transaction_id);
        let mut after = before.clone();
        for (line, quantity, amount) in asked {
            let line = *line as usize;
            let PurchaseLine { quantity: all, amount_minor, .. } = purchase.lines[line];
            let left = &mut after.left[line];
            left.0 -= quantity;
            // What has come back in all is its share of the amount, rounded down.
            left.1 = if all > 0 { amount_minor - amount_minor * (all - left.0) / all } else { left.1 - amount };
        }
        after.is_gone = asked.is_empty() || after.left.iter().all(|left| *left == (0, 0));
        let Some((_, rules)) = self.versions.get(bought.verdict.program as usize - 1) else {
            return Err("a version judged the purchase".to_owned());
        };
        let (remainder, left_over) = self.remainders(rules, bought);
        if after.is_gone {
            after = Stands {
                units: 0,
                counters: vec![0; after.counters.len()],
                taken: vec![0; after.taken.len()],
                carried: remainder - left_over,
                ..after
            };
        } else {
            let (rest, carried) = judge_rest(rules, bought, purchase, &after.left, remainder);
            after.carried = carried - left_over;
            after.units = after.units.min(rest.units);
            for (left, (name, ..)) in after.counters.iter_mut().zip(&bought.verdict.counters) {
                *left = (*left).min(counts(rules, bought, &rest, name.split('@').next().unwrap_or_default()));
            }
            for (left, (name, _)) in after.taken.iter_mut().zip(drawn(&bought.verdict)) {
                *left = (*left).min(counts(rules, bought, &rest, name.split('|').next().unwrap_or_default()));
            }
        }
        let carries = rules.rounding == RoundingRule::Carry && bought.verdict.over_velocity.is_none();
        if !carries {
            after.carried = 0;
        }
        let counters = bought.verdict.counters.iter().zip(before.counters.iter().zip(&after.counters));
        let taken = drawn(&bought.verdict).zip(before.taken.iter().zip(&after.taken));
        let undone = Verdict {
            counters: counters
                .map(|((name, period, _), (before, after))| (name.clone(), *period, before - after))
                .filter(|(_, _, delta)| *delta != 0)
                .collect(),
            taken: taken.map(|((name, _), (before, after))| (name.clone(), before - after)).collect(),
            ..Verdict::default()
        };
        Ok(Part { undone, units: before.units - after.units, carried: after.carried - before.carried, after })
    }

    /// What earlier purchases had left over for a purchase, and what that left over. Where nothing changed, both count as
    /// nothing.
    fn remainders(&self, rules: &Rules, bought: &Posting) -> (i128, i128) {
        let at = |seq: u64| {
            let account = self.account_at(&bought.account, seq);
            let left = account.and_then(|account| account.remainder);
            left.filter(|(version, _)| *version == bought.verdict.program).map_or(0, |(_, left)| left)
        };
        if rules.rounding != RoundingRule::Carry || bought.decision.effects.remainder.is_none() {
            return (0, 0);
        }
        (at(bought.seq - 1), at(bought.seq))
    }

    /// A reversal gives back what of its part has not died.
    pub(super) fn expect_reversal(
        &self,
        posting: &Posting,
        event: &Event<'_>,
        (original, asked): (&Name, &[Asked]),
    ) -> Result<Verdict, Broken> {
        let Some(bought) = self.posted(&posting.partner, original) else {
            return Err(format!("the original of position {} was posted before", posting.position));
        };
        must!(
            matches!(bought.action, Action::Accrue { .. }) && bought.verdict.refusal.is_none(),
            "the original of position {} is a granted accrual",
            posting.position
        );
        let key = (posting.partner.clone(), original.clone());
        must!(!self.is_gone(&key), "something is left of {original} of {} to be taken back", posting.partner);
        must!(bought.account == posting.account, "the reversal at {} is of the same account", posting.position);
        let last = self.reversed.get(&key).and_then(|index| self.postings.get(*index));
        must!(
            [Some(bought), last].into_iter().flatten().all(|before| before.frame < posting.frame),
            "an accrual and what was taken back of it are durable before more is taken back"
        );
        let part = self.part_of(bought, asked)?;
        let Event { rules, version, account, posted_at, .. } = *event;
        let is_held = account.held.contains_key(&key);
        must!(!is_held || part.after.is_gone, "what is held at {} comes back whole", posting.position);
        let granted = bought.verdict.lots.iter().find(|change| change.is(Movement::Grant)).filter(|_| part.units > 0);
        let granted = granted.cloned().map(|mut granted| {
            granted.lot.is_held &= is_held;
            LotMove { units: part.units, ..granted }
        });
        let wallet = granted.as_ref().map_or(rules.earn_wallet, |change| change.lot.wallet);
        let balance = account.balance(wallet, posted_at);
        let mut verdict = Verdict { program: version, wallet, balance_after: balance, ..Verdict::default() };
        let mut lots = expired(account, posted_at, &self.issuers);
        if let Some(granted) = &granted {
            let is_dead = !granted.lot.is_alive(posted_at);
            if is_dead {
                // What has died of it is gone already: all that was held.
                let most = if granted.lot.is_held { granted.units } else { dead(account, &lots, wallet, posted_at) };
                verdict.gone = granted.units.min(most);
            }
            let rest = LotMove { units: granted.units - verdict.gone, ..granted.clone() };
            let mut missing = take_own(account, &mut lots, &rest, posted_at);
            if is_dead {
                missing = take_alike(account, &mut lots, &granted.lot, missing, posted_at);
            }
            let lacking = take(account, &mut lots, wallet, missing, Movement::Reverse, posted_at, &self.issuers);
            if lacking > 0 && rules.when_spent == SpentRule::Refuse {
                return Ok(Verdict { refusal: Some(Refusal::InsufficientBalance), gone: 0, ..verdict });
            }
            verdict.granted = verdict.gone + lacking - granted.units;
            verdict.owed = lacking;
        }
        give_back(&part.undone, &mut verdict);
        if part.carried != 0 && bought.verdict.program == version {
            verdict.left = Some(event.remainder() + part.carried);
        }
        verdict.held = is_held.then_some((key.0, key.1, None));
        verdict.balance_after += verdict.granted;
        verdict.lots = lots;
        Ok(verdict)
    }

    /// Remembers what stands after a reversal.
    pub(super) fn note_part(&mut self, posting: &Posting) -> Result<(), Broken> {
        let (Action::Reverse { original, lines, .. }, None) = (&posting.action, posting.verdict.refusal) else {
            return Ok(());
        };
        let bought = self.posted(&posting.partner, original);
        let Some(bought) = bought.filter(|bought| burned_by(bought).is_empty()) else { return Ok(()) };
        let after = self.part_of(bought, lines)?.after;
        self.returned.insert((posting.partner.clone(), original.clone()), after);
        Ok(())
    }

    /// Whether nothing is left of a transaction that could come back.
    #[must_use]
    pub fn is_gone(&self, of: &(Name, Name)) -> bool {
        match self.returned.get(of) {
            Some(stands) => stands.is_gone,
            None => match self.posted(&of.0, &of.1).map(burned_by) {
                Some(burned) if !burned.is_empty() => self.left_of_burn(of) == 0,
                // Rejected.
                _ => self.reversed.contains_key(of),
            },
        }
    }
}

/// Judges what is left of a purchase: what it is granted, and what it leaves over.
fn judge_rest(
    rules: &Rules,
    bought: &Posting,
    purchase: &Purchase,
    left: &[(i64, i64)],
    remainder: i128,
) -> (Rest, i128) {
    let verdict = &bought.verdict;
    let whole: Vec<(i64, i64)> = purchase.lines.iter().map(|line| (line.quantity, line.amount_minor)).collect();
    let (eligible, units, left_over) = lines_of(rules, bought, purchase, left, remainder, &[]);
    let bonuses = verdict.bonuses.iter().filter(|(place, _)| stands(rules, *place, eligible));
    let (cards, of_cards) = super::stamps::rest(rules, bought, purchase, left, eligible);
    let mut granted = units + bonuses.map(|(_, units)| units).sum::<i64>() + of_cards;
    let mut shares = shares_of(rules, bought, purchase, left, remainder);
    let mut rooms: Vec<(u32, i64)> =
        shares_of(rules, bought, purchase, &whole, remainder).iter().map(|(rule, units, _)| (*rule, *units)).collect();
    let mut was_granted = verdict.earned;
    for (name, is_budget, withheld) in &verdict.clips {
        was_granted -= withheld;
        let of_rule = |rule: u32| rules.line_rules[rule as usize].caps.iter().any(|cap| *cap.name == **name);
        match rooms.iter_mut().find(|(rule, _)| !is_budget && of_rule(*rule)) {
            None => granted = granted.min(was_granted),
            Some((rule, room)) => {
                *room -= withheld;
                let share = shares.iter_mut().find(|(of, ..)| of == rule).expect("both are of the same rules");
                let over = (share.1 - (*room).max(0)).max(0);
                share.1 -= over;
                granted -= over;
            }
        }
    }
    granted = if verdict.over_velocity.is_some() { 0 } else { granted.max(0) };
    let mut undivided = granted;
    for (_, units, _) in &mut shares {
        *units = (*units).min(undivided);
        undivided -= *units;
    }
    (Rest { eligible, units: granted, shares, cards }, left_over)
}

/// The eligible amount of what is left, its units without the rules that are away, and what is left over.
fn lines_of(
    rules: &Rules,
    bought: &Posting,
    purchase: &Purchase,
    left: &[(i64, i64)],
    remainder: i128,
    away: &[u32],
) -> (i64, i64, i128) {
    let verdict = &bought.verdict;
    let lines = verdict.lines.iter().zip(left);
    let eligible: i64 = lines.filter(|(line, _)| **line != Earning::Nothing).map(|(_, (_, amount))| amount).sum();
    let counts =
        |rule: &u32| !away.contains(rule) && eligible >= rules.line_rules[*rule as usize].when.eligible_minor_min;
    let mut rest = purchase.clone();
    let mut judged: Lines = Vec::new();
    for (place, bought) in rest.lines.iter_mut().enumerate() {
        let is_gone = left[place] == (0, 0) && (bought.quantity, bought.amount_minor) != (0, 0);
        (bought.quantity, bought.amount_minor) = left[place];
        let earning = match verdict.lines[place] {
            _ if is_gone => Earning::Nothing,
            Earning::Rule(rule) if !counts(&rule) => Earning::Base,
            earning => earning,
        };
        let beside = verdict.stacked.iter().filter(|(line, rule)| *line as usize == place && counts(rule));
        judged.push((earning, beside.map(|(_, rule)| *rule).collect()));
    }
    let level = verdict.level.map_or(0, |(level, _)| usize::from(level));
    let (units, left_over) = basket_units(rules, &rest, &judged, level, remainder);
    (eligible, units, left_over)
}

/// What each rule with caps gives to what is left: one after the other is taken away.
fn shares_of(
    rules: &Rules,
    bought: &Posting,
    purchase: &Purchase,
    left: &[(i64, i64)],
    remainder: i128,
) -> Vec<(u32, i64, i64)> {
    let (eligible, mut with, _) = lines_of(rules, bought, purchase, left, remainder, &[]);
    let mut undivided = with;
    let (mut away, mut shares) = (Vec::new(), Vec::new());
    for (rule, index) in rules.line_rules.iter().zip(0..) {
        if rule.caps.is_empty() {
            continue;
        }
        away.push(index);
        let verdict = &bought.verdict;
        let counts = |place: usize| {
            let is_beside = verdict.stacked.iter().any(|of| *of == (u32::try_from(place).unwrap_or(u32::MAX), index));
            let line = &purchase.lines[place];
            let is_there = left[place] != (0, 0) || (line.quantity, line.amount_minor) == (0, 0);
            is_there
                && eligible >= rule.when.eligible_minor_min
                && (verdict.lines[place] == Earning::Rule(index) || is_beside)
        };
        let own: Vec<usize> = (0..left.len()).filter(|place| counts(*place)).collect();
        let mut share = (index, 0, own.iter().map(|place| left[*place].1).sum());
        if !own.is_empty() {
            let (_, without, _) = lines_of(rules, bought, purchase, left, remainder, &away);
            share.1 = (with - without).clamp(0, undivided);
            undivided -= share.1;
            with = without;
        }
        shares.push(share);
    }
    shares
}

fn stands(rules: &Rules, bonus: usize, eligible: i64) -> bool {
    eligible >= rules.bonuses[bonus].when.eligible_minor_min
}

/// What the rest counts for under a name of the file.
fn counts(rules: &Rules, bought: &Posting, rest: &Rest, name: &str) -> i64 {
    let measured = |cap: &CapRule, units: i64, amount: i64| match cap.measure {
        Measure::Units => units,
        Measure::EarningBaskets => i64::from(units > 0),
        Measure::EligibleAmount if units > 0 => amount,
        Measure::EligibleAmount => 0,
    };
    if let Some((_, left)) = rest.cards.iter().find(|(card, _)| **card == *name) {
        return *left;
    }
    if let Some(metric) = rules.metrics.iter().find(|metric| metric.name == name) {
        return match metric.measure {
            Measure::EligibleAmount => rest.eligible,
            _ => rest.units,
        };
    }
    if let Some(cap) = rules.caps.iter().find(|cap| cap.name == name) {
        return measured(cap, rest.units, rest.eligible);
    }
    if let Some(place) = rules.bonuses.iter().position(|bonus| bonus.name == name) {
        if super::stamps::giving_bonuses(rules, bought).iter().any(|(of, _)| *of == place) {
            // It was had as long as its voucher is there.
            return 1;
        }
        let is_earned = bought.verdict.bonuses.iter().any(|(of, _)| *of == place);
        return i64::from(is_earned && stands(rules, place, rest.eligible));
    }
    for (rule, units, amount) in &rest.shares {
        if let Some(cap) = rules.line_rules[*rule as usize].caps.iter().find(|cap| cap.name == name) {
            return measured(cap, *units, *amount);
        }
    }
    rest.units
}
