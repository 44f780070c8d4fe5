//! Vouchers, naively: what an account was given, and what became of each.
//!
//! What must stay true: nothing of `ledger` is called but for numbers of refusals; what a code is follows from who gave the
//! voucher and with which transaction, as the format says.

use std::fmt::Write as _;

use super::dice::Dice;
use super::facts::{Action, Name, Posting, Purchase, Verdict};
use super::judge::{Event, local_date};
use super::lots::ExpiryRule;
use super::model::{AccountModel, Broken, Model, must};
use super::rules::Rules;
use crate::journal::dictionary::Dictionary;
use crate::ledger::account::Account;
use crate::ledger::decision::{Decision, Refusal};
use crate::ledger::types::TimestampNs;
use crate::ledger::voucher::{VoucherChange, VoucherState};

const NS_PER_HOUR: i64 = 3_600_000_000_000;
const KEPT_HOURS: i64 = 30 * 24;
/// Vouchers that one transaction gives.
pub const MOST_OF_ONE: u8 = 8;
const MOST: usize = 64;
/// What stands for a transaction that used vouchers has this number.
const USER: u8 = 255;

/// Names of vouchers.
const NAMES: [&str; 3] = ["coffee", "three-off", "mug"];

/// A voucher of the programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRule {
    /// Its name in the file.
    pub name: &'static str,
    /// It is good from the next day on.
    pub from_next_day: bool,
    /// Until the end of the day so many days after, or for so many hours.
    pub valid: Result<i64, i64>,
    /// The least amount of a basket.
    pub minor_min: i64,
}

/// Some vouchers.
pub fn draw_vouchers(dice: &mut Dice) -> Vec<VoucherRule> {
    let mut vouchers = Vec::new();
    for name in NAMES {
        if dice.percent(70) {
            let valid = if dice.percent(50) { Ok(dice.number(1..20)) } else { Err(dice.number(1..60)) };
            let minor_min = if dice.percent(60) { 0 } else { dice.number(1..2_000) };
            vouchers.push(VoucherRule { name, from_next_day: dice.percent(25), valid, minor_min });
        }
    }
    vouchers
}

/// Writes them.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn write_vouchers(out: &mut String, vouchers: &[VoucherRule]) -> std::fmt::Result {
    for voucher in vouchers {
        writeln!(out, "[[vouchers]]\nname = \"{}\"\nvalue_minor = 300", voucher.name)?;
        match voucher.valid {
            Ok(days) => writeln!(out, "valid_days = {days}")?,
            Err(hours) => writeln!(out, "valid_hours = {hours}")?,
        }
        if voucher.from_next_day {
            writeln!(out, "starts = \"next-day\"")?;
        }
        if voucher.minor_min > 0 {
            writeln!(out, "basket_minor_min = {}", voucher.minor_min)?;
        }
    }
    Ok(())
}

/// What somebody asks of vouchers by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// The account.
    pub account: Name,
    /// The name of the one that is given, or else the code of the one that is cancelled.
    pub what: Result<Name, Name>,
    /// Why.
    pub note: Name,
}

impl ByHand {
    /// The same, but for one field.
    pub fn change(&mut self, dice: &mut Dice, account: Name) {
        match (dice.below(3), &mut self.what) {
            (0, _) => self.account = account,
            (1, _) => self.note = "on second thoughts".into(),
            (_, Ok(name)) => *name = if &**name == "coffee" { "mug" } else { "coffee" }.into(),
            (_, Err(code)) => *code = "0000000000000000".into(),
        }
    }
}

/// The field in which such actions differ; `None` for other actions.
pub fn first_difference(ours: &Action, theirs: &Action) -> Option<Option<String>> {
    let (Action::Voucher(ours), Action::Voucher(theirs)) = (ours, theirs) else { return None };
    let field = match (&ours.what, &theirs.what) {
        (Ok(ours), Ok(theirs)) => (ours != theirs).then_some("voucher"),
        (Err(ours), Err(theirs)) => (ours != theirs).then_some("voucher_code"),
        _ => Some("command"),
    };
    Some(field.or((ours.note != theirs.note).then_some("remark.note")).map(str::to_owned))
}

/// The code of the voucher with this number among those that a transaction gave.
#[must_use]
pub fn code_of(partner: u32, transaction_id: &str, number: u8) -> Name {
    let content = [&partner.to_le_bytes()[..], &[number], transaction_id.as_bytes()].concat();
    let hash = blake3::derive_key("tallystick 2026 voucher code v1", &content);
    let digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".as_bytes();
    let bit = |at: usize| usize::from(hash[at / 8] >> (7 - at % 8) & 1);
    let digit = |place: usize| (0..5).fold(0, |digit, at| digit << 1 | bit(5 * place + at));
    (0..16).map(|place| char::from(digits[digit(place)])).collect::<String>().into()
}

/// A voucher of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherModel {
    /// Who gave it.
    pub issuer: Name,
    /// Its name in the programme.
    pub name: Name,
    /// From when on it is good.
    pub starts: i64,
    /// From when on no longer.
    pub ends: i64,
    /// The least amount of a basket.
    pub minor_min: i64,
    /// Open, cancelled, or used by the transaction that this stands for.
    pub state: StateModel,
}

/// What became of a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateModel {
    /// Nothing yet.
    Open,
    /// It was cancelled.
    Cancelled,
    /// A transaction used it.
    Used(Name),
}

impl VoucherModel {
    fn is_kept(&self, at: i64) -> bool {
        at < self.ends + KEPT_HOURS * NS_PER_HOUR
    }
}

/// What a decision says of a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherWords {
    /// The account gets it.
    Given(VoucherModel),
    /// The transaction that this stands for uses it.
    Used(Name),
    /// It can be used again.
    GivenBack,
    /// It was cancelled.
    Cancelled,
    /// It stays used.
    Kept,
}

/// What a decision of the ledger says of vouchers, in plain words.
#[must_use]
pub fn words_of(
    decision: &Decision,
    name: impl Fn(crate::ledger::types::SymbolId) -> Name,
) -> Vec<(Name, VoucherWords)> {
    let words = |change: &VoucherChange| match change {
        VoucherChange::Given(terms) => VoucherWords::Given(VoucherModel {
            issuer: name(terms.issuer),
            name: name(terms.kind),
            starts: terms.starts_at.0,
            ends: terms.ends_at.0,
            minor_min: terms.minor_min,
            state: StateModel::Open,
        }),
        VoucherChange::Used(user) => VoucherWords::Used(user.to_string().into()),
        VoucherChange::GivenBack => VoucherWords::GivenBack,
        VoucherChange::Cancelled => VoucherWords::Cancelled,
        VoucherChange::Kept => VoucherWords::Kept,
    };
    decision.effects.vouchers.iter().map(|(code, change)| (code.to_string().into(), words(change))).collect()
}

/// The vouchers of an account are those of the model.
///
/// # Errors
/// What was expected.
pub fn compare(found: &Account, model: &AccountModel, dictionary: &Dictionary) -> Result<(), Broken> {
    let name = |symbol| super::facts::name_of(dictionary, symbol);
    let vouchers = found.vouchers().iter().map(|voucher| {
        let state = match voucher.state {
            VoucherState::Open => StateModel::Open,
            VoucherState::Cancelled => StateModel::Cancelled,
            VoucherState::Used(user) => StateModel::Used(user.to_string().into()),
        };
        let terms = &voucher.terms;
        let (TimestampNs(starts), TimestampNs(ends)) = (terms.starts_at, terms.ends_at);
        let (issuer, name) = (name(terms.issuer), name(terms.kind));
        let words = VoucherModel { issuer, name, starts, ends, minor_min: terms.minor_min, state };
        (Name::from(voucher.code.to_string()), words)
    });
    let vouchers: Vec<_> = vouchers.collect();
    let is_same = vouchers.iter().map(|(code, voucher)| (code, voucher)).eq(&model.vouchers);
    must!(is_same, "account {} has the vouchers {:?}, not {vouchers:?}", found.id, model.vouchers);
    Ok(())
}

/// Drops the bonuses that give nothing but a voucher, and cannot give it: they were not had.
pub fn drop_ungiven(event: &Event<'_>, is_held: bool, verdict: &mut Verdict) {
    let mut given: u8 = 0;
    verdict.bonuses.retain(|(place, units)| {
        let has_voucher = event.rules.bonuses[*place].voucher.is_some();
        let has_room = given < MOST_OF_ONE && event.account.has_room(usize::from(given), event.posted_at);
        let is_given = has_voucher && has_room && !is_held;
        given += u8::from(is_given);
        is_given || !has_voucher || *units > 0
    });
}

impl Rules {
    /// The voucher that a partner gives now.
    fn voucher(&self, rule: &VoucherRule, issuer: &str, at: i64) -> VoucherModel {
        let today = local_date(self.time_zone, at);
        let midnight = |days: i64| ExpiryRule::AfterDays(days - 1).dies(self.time_zone, today);
        let starts = if rule.from_next_day { midnight(1) } else { at };
        let ends = match rule.valid {
            Ok(days) => midnight(days + 1),
            Err(hours) => starts + hours * NS_PER_HOUR,
        };
        let (issuer, name) = (issuer.into(), rule.name.into());
        VoucherModel { issuer, name, starts, ends, minor_min: rule.minor_min, state: StateModel::Open }
    }
}

impl AccountModel {
    /// A voucher that is remembered, of the partner.
    fn found(&self, code: &str, partner: &str, at: i64) -> Option<&VoucherModel> {
        self.vouchers.get(code).filter(|voucher| voucher.is_kept(at) && *voucher.issuer == *partner)
    }

    /// Why a purchase cannot use its vouchers, if it cannot.
    #[must_use]
    pub fn refusal_of_vouchers(&self, partner: &str, purchase: &Purchase, posted_at: i64) -> Option<Refusal> {
        let amount_minor: i64 = purchase.lines.iter().map(|line| line.amount_minor).sum();
        purchase.vouchers.iter().find_map(|code| {
            let Some(voucher) = self.found(code, partner, posted_at) else { return Some(Refusal::VoucherUnknown) };
            match voucher.state {
                StateModel::Used(_) => Some(Refusal::VoucherUsed),
                StateModel::Cancelled => Some(Refusal::VoucherCancelled),
                StateModel::Open if posted_at < voucher.starts => Some(Refusal::VoucherNotYetValid),
                StateModel::Open if purchase.receipt_at.min(posted_at) >= voucher.ends => Some(Refusal::VoucherExpired),
                StateModel::Open if amount_minor < voucher.minor_min => Some(Refusal::VoucherMinimumNotReached),
                StateModel::Open => None,
            }
        })
    }

    /// Why a voucher cannot be cancelled, if it cannot.
    fn refusal_of_cancellation(&self, partner: &str, code: &str, at: i64) -> Option<Refusal> {
        let Some(voucher) = self.found(code, partner, at) else { return Some(Refusal::VoucherUnknown) };
        match voucher.state {
            StateModel::Used(_) => Some(Refusal::VoucherUsed),
            StateModel::Cancelled => Some(Refusal::VoucherCancelled),
            StateModel::Open if at >= voucher.ends => Some(Refusal::VoucherExpired),
            StateModel::Open => None,
        }
    }

    /// Whether there is room for one more after so many.
    #[must_use]
    pub fn has_room(&self, more: usize, at: i64) -> bool {
        self.vouchers.values().filter(|voucher| voucher.is_kept(at)).count() + more < MOST
    }

    /// What becomes of vouchers by a purchase or an activity that was granted: what it uses, and what its bonuses give.
    #[must_use]
    pub fn vouchers_of_grant(
        &self,
        rules: &Rules,
        (partner, number): (&str, u32),
        (transaction_id, action): (&str, &Action),
        posted_at: i64,
        verdict: &Verdict,
    ) -> Vec<(Name, VoucherWords)> {
        let mut changes = Vec::new();
        if let Action::Accrue { purchase, .. } = action {
            let user = code_of(number, transaction_id, USER);
            changes.extend(purchase.vouchers.iter().map(|code| (code.clone(), VoucherWords::Used(user.clone()))));
        }
        if verdict.over_velocity.is_some() || verdict.held.is_some() {
            return changes;
        }
        let mut given = 0;
        for (bonus, _) in &verdict.bonuses {
            let Some(rule) = rules.bonuses[*bonus].voucher.and_then(|place| rules.vouchers.get(place)) else {
                continue;
            };
            let code = code_of(number, transaction_id, given);
            if given < MOST_OF_ONE && self.has_room(usize::from(given), posted_at) {
                changes.push((code, VoucherWords::Given(rules.voucher(rule, partner, posted_at))));
                given += 1;
            }
        }
        for rule in super::stamps::vouchers(rules, verdict) {
            let code = code_of(number, transaction_id, given);
            changes.push((code, VoucherWords::Given(rules.voucher(rule, partner, posted_at))));
            given += 1;
        }
        changes
    }

    /// Changes vouchers as a verdict says, after those are forgotten whose end is long past.
    pub(super) fn change_vouchers(&mut self, verdict: &Verdict, posted_at: i64) {
        self.vouchers.retain(|_, voucher| voucher.is_kept(posted_at));
        for (code, words) in &verdict.vouchers {
            let state = match words {
                VoucherWords::Given(voucher) => {
                    self.vouchers.insert(code.clone(), voucher.clone());
                    continue;
                }
                VoucherWords::Used(user) => StateModel::Used(user.clone()),
                VoucherWords::GivenBack => StateModel::Open,
                VoucherWords::Cancelled => StateModel::Cancelled,
                VoucherWords::Kept => {
                    // What gave it is back: it is for nobody again.
                    if let Some(voucher) = self.vouchers.get_mut(code) {
                        voucher.ends = voucher.ends.min(posted_at);
                    }
                    continue;
                }
            };
            if let Some(voucher) = self.vouchers.get_mut(code) {
                voucher.state = state;
            }
        }
    }
}

impl Model {
    /// The verdict with what becomes of vouchers.
    pub(super) fn with_vouchers(&self, posting: &Posting, mut verdict: Verdict) -> Result<Verdict, Broken> {
        let unopened = AccountModel::default();
        let account = self.account(&posting.account).unwrap_or(&unopened);
        let (partner, posted_at) = (&*posting.partner, posting.posted_at);
        let is_frozen =
            matches!(verdict.refusal, Some(Refusal::AccountFrozen | Refusal::TerminalFrozen | Refusal::CashierFrozen));
        if let (Action::Accrue { purchase, .. }, false) = (&posting.action, is_frozen) {
            let refusal = account.refusal_of_vouchers(partner, purchase, posted_at);
            must!(refusal.is_none(), "the purchase at {} is refused its vouchers: {refusal:?}", posting.position);
        }
        if verdict.refusal.is_some() {
            return Ok(verdict);
        }
        let rules = self.versions.get(verdict.program as usize - 1).map(|(_, rules)| rules);
        verdict.vouchers = match (&posting.action, rules) {
            (Action::Accrue { .. } | Action::Act { .. }, Some(rules)) => {
                let of = (partner, posting.partner_number);
                let asked = (&*posting.transaction_id, &posting.action);
                account.vouchers_of_grant(rules, of, asked, posted_at, &verdict)
            }
            (Action::Voucher(ByHand { what: Ok(name), .. }), Some(rules)) => {
                let rule = rules.vouchers.iter().find(|rule| *rule.name == **name);
                let Some(rule) = rule else {
                    return Err(format!("the programme of position {} has a voucher {name}", posting.position));
                };
                let code = code_of(posting.partner_number, &posting.transaction_id, 0);
                vec![(code, VoucherWords::Given(rules.voucher(rule, partner, posted_at)))]
            }
            (Action::Voucher(ByHand { what: Err(code), .. }), _) => {
                let refusal = account.refusal_of_cancellation(partner, code, posted_at);
                must!(refusal.is_none(), "voucher {code} is not cancelled at {}: {refusal:?}", posting.position);
                vec![(code.clone(), VoucherWords::Cancelled)]
            }
            (Action::Reverse { original, lines, .. }, _) => {
                let bought = self.posted(partner, original).filter(|_| self.burn_of(posting).is_none());
                let part = bought.map(|bought| self.part_of(bought, lines)).transpose()?;
                match bought.zip(part) {
                    Some((bought, part)) if part.after.is_gone => {
                        let changes = take_back(account, posting, original);
                        let judged_by = self.versions.get(bought.verdict.program as usize - 1);
                        if let Some((_, rules)) = judged_by {
                            super::stamps::keep_given(rules, bought, &changes, &mut verdict);
                        }
                        changes
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        };
        Ok(verdict)
    }

    /// What giving one by hand, or cancelling one, comes to beside the voucher itself.
    pub(super) fn expect_by_hand(&self, posting: &Posting, plain: Verdict, asked: &ByHand) -> Result<Verdict, Broken> {
        let Some(account) = self.account(&posting.account) else {
            return Err(format!("only an account that is there has vouchers, at {}", posting.position));
        };
        if asked.what.is_ok() && !account.has_room(0, posting.posted_at) {
            return Ok(Verdict { refusal: Some(Refusal::AccountLimitReached), lots: Vec::new(), ..plain });
        }
        Ok(plain)
    }

    /// Whether a command can be refused like this without a record, by the vouchers that its account had since.
    pub(super) fn may_refuse_vouchers(
        &self,
        (partner, accounts): (&Name, &[Name]),
        action: &Action,
        refusal: Refusal,
        (settled, posted_at): (u64, i64),
    ) -> bool {
        let unopened = [AccountModel::default()];
        let by = |account: &AccountModel| match action {
            Action::Accrue { purchase, .. } => account.refusal_of_vouchers(partner, purchase, posted_at),
            Action::Voucher(ByHand { what: Err(code), .. }) => {
                account.refusal_of_cancellation(partner, code, posted_at)
            }
            Action::Voucher(ByHand { what: Ok(name), .. }) => {
                let rules = self.version_at(posted_at).map(|(_, rules)| rules);
                let is_there = rules.is_some_and(|rules| rules.vouchers.iter().any(|rule| *rule.name == **name));
                (!is_there).then_some(Refusal::VoucherUnknown)
            }
            _ => None,
        };
        accounts.iter().any(|account| {
            let states = self.accounts.get(account).map_or(&[][..], Vec::as_slice);
            let since = states.partition_point(|state| state.position < settled).saturating_sub(1);
            let was_unopened = states.first().is_none_or(|first| first.position >= settled);
            let before = if was_unopened { &unopened[..] } else { &[] };
            before.iter().chain(&states[since..]).any(|account| by(account) == Some(refusal))
        })
    }
}

/// What becomes of the vouchers that a transaction gave and used, when nothing is left of it.
fn take_back(account: &AccountModel, posting: &Posting, original: &str) -> Vec<(Name, VoucherWords)> {
    let (partner, at) = (&*posting.partner, posting.posted_at);
    let mut changes = Vec::new();
    for number in 0..MOST_OF_ONE {
        let code = code_of(posting.partner_number, original, number);
        match account.found(&code, partner, at).map(|voucher| &voucher.state) {
            Some(StateModel::Open) => changes.push((code, VoucherWords::Cancelled)),
            Some(StateModel::Used(_)) => changes.push((code, VoucherWords::Kept)),
            Some(StateModel::Cancelled) | None => {}
        }
    }
    let user = StateModel::Used(code_of(posting.partner_number, original, USER));
    let used = account.vouchers.iter().filter(|(_, voucher)| voucher.state == user && at < voucher.ends);
    changes.extend(used.map(|(code, _)| (code.clone(), VoucherWords::GivenBack)));
    changes
}

/// What a record shows of vouchers.
pub fn situations(posting: &Posting) -> Vec<&'static str> {
    let by_hand = matches!(posting.action, Action::Voucher(_));
    let of = |(_, words): &(Name, VoucherWords)| match words {
        VoucherWords::Given(_) if by_hand => "an operator gave a voucher",
        VoucherWords::Given(_) => "a bonus gave a voucher",
        VoucherWords::Used(_) => "a voucher was used",
        VoucherWords::GivenBack => "a voucher could be used again",
        VoucherWords::Cancelled if by_hand => "an operator cancelled a voucher",
        VoucherWords::Cancelled => "a return cancelled a voucher",
        VoucherWords::Kept => "a return left a voucher used",
    };
    posting.verdict.vouchers.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::SymbolId;
    use crate::ledger::voucher::VoucherCode;

    #[test]
    fn the_naive_code_is_the_one_that_is_written() {
        for (partner, id, number) in [(1, "a", 0), (70_000, "018f3c5e-7a10", 7), (3, "", USER)] {
            let written = VoucherCode::of(SymbolId(partner), id, number).to_string();
            assert_eq!(&*code_of(partner, id, number), written);
        }
    }
}
