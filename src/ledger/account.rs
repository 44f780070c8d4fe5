//! An account: its lots, counters and totals, and the checked changes to them.
//!
//! What must stay true: no lot is negative (invariant 4); a counter is never negative; the account's `seq` is the
//! number of the last record that changed it, so that replay over a snapshot skips what the account already has.

use super::authorization::Authorization;
use super::decision::{CounterChange, Effects, LotChange, LotKey, Movement, TotalsChange};
use super::held::HeldTransaction;
use super::types::{
    Day, IdentifierKey, MemberKey, MonthDay, Position, ProgramVersion, Seq, SymbolId, TimestampNs, Units, WalletId,
};
use super::voucher::Voucher;
use super::zone::utc_day;
use crate::limits;

/// Units earned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Wallet, issuer, funding rate and expiry.
    pub key: LotKey,
    /// Units left, more than 0.
    pub remaining: Units,
}

/// The value of a cap or metric in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The name of the cap or metric.
    pub counter: SymbolId,
    /// The day number or the year.
    pub period: i32,
    /// Not negative.
    pub value: i64,
    /// A record posted after this UTC day forgets the counter.
    pub retain_until: Day,
}

/// A counter of one member of an account that several share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberCounter {
    /// Whose.
    pub member: MemberKey,
    /// What is counted.
    pub counted: Counter,
}

impl Counter {
    /// A number by which counters are ordered: by their names, and then by their periods.
    fn order(counter: SymbolId, period: i32) -> u64 {
        const SIGN: u32 = 1 << 31;
        u64::from(counter.0) << 32 | u64::from(period.cast_unsigned() ^ SIGN)
    }
}

/// So few counters are all looked at: that is sooner done than a search, which has to guess.
const COUNTERS_LOOKED_AT: usize = 16;

impl MemberCounter {
    fn key(&self) -> (MemberKey, SymbolId, i32) {
        (self.member, self.counted.counter, self.counted.period)
    }
}

/// Lifetime totals of an account. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Baskets seen: all of them, those that earned nothing included.
    pub baskets: i64,
    /// Baskets that a velocity cap turned to nothing.
    pub refused_baskets: i64,
    /// Accruals taken back.
    pub reversals: i64,
    /// Redemptions refused.
    pub refused_redemptions: i64,
}

/// Lifetime totals of one wallet of an account. They only grow, but for what expired or was burned and came back; granted −
/// reversed is what was earned for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalletTotals {
    /// The wallet.
    pub wallet: WalletId,
    /// Units granted.
    pub granted: Units,
    /// Units taken back by reversals.
    pub reversed: Units,
    /// Units withheld by caps and budgets.
    pub clipped: Units,
    /// Units burned by redemptions, less those that came back.
    pub redeemed: Units,
    /// Units whose expiry was posted, less those that came back.
    pub expired: Units,
}

/// What only few accounts have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Segments that the account is in, ascending.
    pub segments: Vec<SymbolId>,
    /// The birthday, if it is known.
    pub birthday: Option<MonthDay>,
    /// The local day of the last basket, if a programme wanted it kept.
    pub last_basket_on: Option<Day>,
    /// Identifiers that point to the account, each with its kind, ascending.
    pub identifiers: Vec<(IdentifierKey, SymbolId)>,
    /// What caps count of single members, ascending by (member, counter, period). At most
    /// [`limits::MEMBER_COUNTERS_MAX`].
    pub members: Vec<MemberCounter>,
    /// What rounding left over from the last basket, in the parts in which this version adds up lines.
    pub remainder: Option<(ProgramVersion, i64)>,
    /// Transactions whose units a cap holds back, ascending by partner and id.
    pub held: Vec<HeldTransaction>,
    /// What partners have set aside, ascending by partner and id. At most [`limits::AUTHORIZATIONS_MAX`].
    pub authorizations: Vec<Authorization>,
    /// Units that were spent before they were taken back, and are owed to later earnings: more than 0, ascending by wallet.
    pub owed: Vec<(WalletId, Units)>,
    /// Units of which a return found that they had died before: more than 0, ascending by wallet. They excuse no other.
    pub gone: Vec<(WalletId, Units)>,
    /// Vouchers, those that ended lately included, ascending by code. At most [`limits::VOUCHERS_MAX`].
    pub vouchers: Vec<Voucher>,
}

/// The holder of balances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The id that callers use. Empty while a snapshot has not delivered the account yet.
    pub id: String,
    /// The last record that changed the account; 0 before its first.
    pub seq: Seq,
    /// Where that record lies, once its commit has been given a position.
    pub position: Option<Position>,
    /// When the account was opened.
    pub opened_at: TimestampNs,
    /// Lots with something left, ascending by key.
    pub lots: Vec<Lot>,
    /// Counters, ascending by (counter, period).
    pub counters: Vec<Counter>,
    /// Lifetime totals.
    pub totals: Totals,
    /// Lifetime totals per wallet that ever moved, ascending by wallet.
    pub wallets: Vec<WalletTotals>,
    /// What only few accounts have; `None` where there is nothing of it.
    pub profile: Option<Box<Profile>>,
}

impl Account {
    /// Units of a wallet that are alive at the instant, those that are set aside included.
    #[must_use]
    pub fn balance(&self, wallet: WalletId, at: TimestampNs) -> Units {
        let in_lots: Units = self.alive(wallet, at).map(|lot| lot.remaining).sum();
        if self.authorizations().is_empty() {
            return in_lots;
        }
        let back = self.given_back(wallet, at).filter(|(key, _)| key.is_alive(at));
        in_lots + self.set_aside(wallet, at) + back.map(|(_, units)| *units).sum::<Units>()
    }

    /// The segments that the account is in, ascending.
    #[must_use]
    pub fn segments(&self) -> &[SymbolId] {
        self.profile.as_ref().map_or(&[], |profile| &profile.segments)
    }

    /// Units of a wallet that the account owes to what it earns later.
    #[must_use]
    pub fn owed(&self, wallet: WalletId) -> Units {
        let owed = self.profile.as_ref().map_or(&[][..], |profile| &profile.owed);
        owed.iter().find(|(of, _)| *of == wallet).map_or(0, |(_, units)| *units)
    }

    /// Changes what the account owes.
    ///
    /// # Panics
    /// When it would owe less than nothing: the decision promised that it does not.
    pub fn change_owed(&mut self, wallet: WalletId, delta: Units) {
        let owed = &mut self.profile.get_or_insert_default().owed;
        match owed.binary_search_by_key(&wallet, |(of, _)| *of) {
            Ok(index) => {
                let (_, units) = owed.get_mut(index).expect("the search returned its index");
                *units += delta;
                assert!((0..=limits::UNITS_MAX).contains(units), "what is owed is neither negative nor too large");
                if *units == 0 {
                    owed.remove(index);
                }
            }
            Err(index) => {
                assert!((0..=limits::UNITS_MAX).contains(&delta), "a debt begins with something owed");
                if delta > 0 {
                    owed.insert(index, (wallet, delta));
                }
            }
        }
        self.forget_empty_profile();
    }

    /// Units of a wallet that have died, and for which no return was let off yet: what is set aside can be captured, whatever
    /// its death, and has not died. What died while it waited for a review is that transaction's, and excuses no other.
    /// `left` is what the changes of a decision leave in a lot, and `dies` what dies with it.
    #[must_use]
    pub fn dead(&self, wallet: WalletId, at: TimestampNs, left: impl Fn(&Lot) -> Units, dies: Units) -> Units {
        let is_dead = |key: &LotKey| key.wallet == wallet && !key.is_alive(at);
        let unposted = self.lots.iter().filter(|lot| is_dead(&lot.key)).map(left);
        let dead = unposted.fold(self.wallet_totals(wallet).expired, Units::saturating_add);
        let gone = self.profile.as_ref().map_or(&[][..], |profile| &profile.gone);
        let gone = gone.iter().find(|(of, _)| *of == wallet).map_or(0, |(_, units)| *units);
        let under_review = self.held().iter().filter(|one| is_dead(&one.lot)).map(|one| one.units);
        let others = under_review.fold(gone, Units::saturating_add);
        dead.saturating_add(dies).saturating_sub(others).max(0)
    }

    /// Notes that a return found these units dead.
    pub fn note_gone(&mut self, wallet: WalletId, units: Units) {
        let gone = &mut self.profile.get_or_insert_default().gone;
        match gone.binary_search_by_key(&wallet, |(of, _)| *of) {
            Ok(index) => {
                let (_, sum) = gone.get_mut(index).expect("the search returned its index");
                *sum = sum.saturating_add(units);
            }
            Err(index) => gone.insert(index, (wallet, units)),
        }
    }

    /// Identifiers that point to the account, each with its kind, ascending.
    #[must_use]
    pub fn identifiers(&self) -> &[(IdentifierKey, SymbolId)] {
        self.profile.as_ref().map_or(&[], |profile| &profile.identifiers)
    }

    /// Lots of a wallet that are alive at the instant. What is set aside lies in none.
    pub fn alive(&self, wallet: WalletId, at: TimestampNs) -> impl Iterator<Item = &Lot> {
        self.lots.iter().filter(move |lot| lot.key.wallet == wallet && lot.key.is_alive(at))
    }

    /// Units of a wallet that can be spent at the instant: alive and not pending.
    #[must_use]
    pub fn available(&self, wallet: WalletId, at: TimestampNs) -> Units {
        let in_lots = self.alive(wallet, at).filter(|lot| lot.key.is_available(at)).map(|lot| lot.remaining);
        let back = self.given_back(wallet, at).filter(|(key, _)| key.is_available(at)).map(|(_, units)| *units);
        in_lots.chain(back).sum()
    }

    /// Units of a wallet that are dead at the instant though their expiry is not posted.
    #[must_use]
    pub fn unposted_expiry(&self, wallet: WalletId, at: TimestampNs) -> Units {
        let dead = self.lots.iter().filter(|lot| lot.key.wallet == wallet && !lot.key.is_alive(at));
        let back = self.given_back(wallet, at).filter(|(key, _)| !key.is_alive(at)).map(|(_, units)| *units);
        dead.map(|lot| lot.remaining).chain(back).sum()
    }

    /// The value of a counter; 0 when it was never moved.
    #[must_use]
    pub fn counter(&self, counter: SymbolId, period: i32) -> i64 {
        self.find_counter(counter, period)
            .ok()
            .and_then(|index| self.counters.get(index))
            .map_or(0, |found| found.value)
    }

    /// The sum of a member's counter over so many periods that follow each other, as [`Account::rolling`].
    #[must_use]
    pub fn member_rolling(&self, member: MemberKey, counter: SymbolId, end: i32, step: i32, count: u16) -> i64 {
        let first = end.saturating_sub((i32::from(count) - 1) * step);
        let members = self.members();
        let from = members.partition_point(|kept| kept.key() < (member, counter, first));
        let counted = members.iter().skip(from).take_while(|kept| {
            let (of, name, period) = kept.key();
            (of, name) == (member, counter) && period <= end
        });
        counted.fold(0, |sum: i64, kept| sum.saturating_add(kept.counted.value))
    }

    /// Whether a counter would become too large by a change.
    #[must_use]
    pub fn overflows(&self, changes: &[CounterChange]) -> bool {
        // Hardly ever: the largest of all tells of each that there is room.
        let most = self.counters.iter().map(|counter| counter.value).max().unwrap_or(0);
        let may_not_fit = |held: i64, change: &CounterChange| held.saturating_add(change.delta) > limits::UNITS_MAX;
        let is_own = |change: &CounterChange| change.member == MemberKey::NONE;
        let suspects = changes.iter().filter(|change| !is_own(change) || may_not_fit(most, change));
        suspects.into_iter().any(|change| may_not_fit(self.counted(change), change))
    }

    /// The value of the counter that a change moves.
    #[must_use]
    pub fn counted(&self, change: &CounterChange) -> i64 {
        self.find(change).map_or(0, |found| found.value)
    }

    /// Whether the account can keep the counters of members that a record posted at the instant begins.
    #[must_use]
    pub fn has_room_for_members(&self, effects: &Effects, posted_at: TimestampNs) -> bool {
        let today = utc_day(posted_at);
        let kept = self.members().iter().filter(|kept| kept.counted.retain_until >= today).count();
        let of_members = effects.counters.iter().filter(|change| change.member != MemberKey::NONE && change.delta > 0);
        let begun = of_members.filter(|change| self.find(change).is_none_or(|found| found.retain_until < today));
        kept + begun.count() <= limits::MEMBER_COUNTERS_MAX
    }

    fn members(&self) -> &[MemberCounter] {
        self.profile.as_ref().map_or(&[], |profile| &profile.members)
    }

    fn find_member(&self, member: MemberKey, counter: SymbolId, period: i32) -> Option<&MemberCounter> {
        let members = self.members();
        let found = members.binary_search_by_key(&(member, counter, period), MemberCounter::key).ok()?;
        members.get(found)
    }

    fn find(&self, change: &CounterChange) -> Option<&Counter> {
        if change.member != MemberKey::NONE {
            return self.find_member(change.member, change.counter, change.period).map(|found| &found.counted);
        }
        self.find_counter(change.counter, change.period).ok().and_then(|index| self.counters.get(index))
    }

    /// The sum of a counter over so many periods that follow each other, `step` apart, the last of them `end`.
    #[must_use]
    pub fn rolling(&self, counter: SymbolId, end: i32, step: i32, count: u16) -> i64 {
        let first = end.saturating_sub((i32::from(count) - 1) * step);
        let from = self.counters.partition_point(|entry| (entry.counter, entry.period) < (counter, first));
        let counted = self.counters.iter().skip(from);
        let counted = counted.take_while(|entry| entry.counter == counter && entry.period <= end);
        counted.fold(0, |sum: i64, entry| sum.saturating_add(entry.value))
    }

    /// Whether the effects of a record posted at the instant leave no lot and no counter negative or too large.
    #[must_use]
    pub fn accepts(&self, effects: &Effects, posted_at: TimestampNs) -> bool {
        let in_range =
            |held: i64, delta: i64| held.checked_add(delta).is_some_and(|sum| (0..=limits::UNITS_MAX).contains(&sum));
        let lot_fits = |(index, change): (usize, &LotChange)| {
            let found = self.lots.binary_search_by_key(&change.key, |lot| lot.key).ok();
            let mut held = found.and_then(|index| self.lots.get(index)).map_or(0, |lot| lot.remaining);
            for earlier in effects.lots.iter().take(index).filter(|earlier| earlier.key == change.key) {
                held = held.saturating_add(earlier.delta);
            }
            let is_gain = change.delta > 0;
            in_range(held, change.delta) && (change.movement.stays() || is_gain == change.movement.adds())
        };
        let today = utc_day(posted_at);
        let counter_fits = |(index, change): (usize, &CounterChange)| {
            let held = self.find(change);
            let held = held.filter(|held| held.retain_until >= today).map_or(0, |held| held.value);
            let key = |change: &CounterChange| (change.member, change.counter, change.period);
            let same = |other: &CounterChange| key(other) == key(change);
            let is_first = !effects.counters.iter().take(index).any(same);
            // What a very late reversal takes off stops at zero.
            let is_late = change.retain_until < today;
            let sum = held.checked_add(change.delta).filter(|sum| *sum <= limits::UNITS_MAX);
            is_first && sum.is_some_and(|sum| sum >= 0 || is_late)
        };
        // A forged record must not ask for the square of a long list either.
        let count_max = limits::PROGRAM_CAPS_MAX
            + 3 * limits::PROGRAM_METRICS_MAX
            + limits::PROGRAM_BONUSES_MAX
            + 2 * limits::PROGRAM_STAMPS_MAX;
        effects.lots.len() <= limits::LOT_CHANGES_MAX
            && effects.lots.iter().enumerate().all(lot_fits)
            && effects.counters.len() <= count_max
            && effects.counters.iter().enumerate().all(counter_fits)
            && effects.segments.len() <= 2 * limits::SEGMENT_CHANGES_MAX
            && effects.held.as_deref().is_none_or(|change| self.accepts_held(change, effects))
            && self.accepts_authorizations(effects)
            && effects.gone >= 0
            && effects.owed.is_none_or(|(wallet, delta)| in_range(self.owed(wallet), delta))
            && self.accepts_vouchers(effects, posted_at)
    }

    fn find_counter(&self, counter: SymbolId, period: i32) -> Result<usize, usize> {
        let wanted = Counter::order(counter, period);
        let order = |entry: &Counter| Counter::order(entry.counter, entry.period);
        let place = if self.counters.len() <= COUNTERS_LOOKED_AT {
            self.counters.iter().map(|entry| usize::from(order(entry) < wanted)).sum()
        } else {
            self.counters.partition_point(|entry| order(entry) < wanted)
        };
        let is_there = self.counters.get(place).is_some_and(|entry| order(entry) == wanted);
        if is_there { Ok(place) } else { Err(place) }
    }

    /// Adds to (or takes from) a lot, and to the totals of its wallet.
    ///
    /// # Panics
    /// When the lot would become negative: the decision promised that it does not.
    pub fn change_lot(&mut self, change: &LotChange) {
        let LotChange { key, delta, movement } = *change;
        let totals = self.wallet_totals_mut(key.wallet);
        let (total, units) = match movement {
            Movement::Grant => (&mut totals.granted, delta),
            Movement::Burn | Movement::Unburn => (&mut totals.redeemed, -delta),
            Movement::Expire => (&mut totals.expired, -delta),
            Movement::Reverse => (&mut totals.reversed, -delta),
            Movement::Extend | Movement::Release | Movement::SetAside | Movement::GiveBack => (&mut totals.granted, 0),
            Movement::Restore => (&mut totals.expired, -delta),
        };
        *total = total.saturating_add(units);
        match self.lots.binary_search_by_key(&key, |lot| lot.key) {
            Ok(index) => {
                let lot = self.lots.get_mut(index).expect("the search returned its index");
                lot.remaining += delta;
                assert!((0..=limits::UNITS_MAX).contains(&lot.remaining), "a lot is neither negative nor too large");
                if lot.remaining == 0 {
                    self.lots.remove(index);
                }
            }
            Err(index) => {
                assert!((0..=limits::UNITS_MAX).contains(&delta), "a lot is neither negative nor too large");
                if delta > 0 {
                    self.lots.insert(index, Lot { key, remaining: delta });
                }
            }
        }
    }

    /// Moves counters. A very late reversal takes off what has not been forgotten: later accruals may have kept the
    /// counter, or it is gone.
    ///
    /// # Panics
    /// When a counter would become negative: the decision promised that it does not.
    pub fn change_counters(&mut self, changes: &[CounterChange], posted_at: TimestampNs) {
        let today = utc_day(posted_at);
        // Changes mostly come in the order in which the counters are kept.
        let mut next = 0;
        for change in changes {
            let is_late = change.retain_until < today;
            if change.member == MemberKey::NONE {
                next = self.change_counter(change, is_late, next) + 1;
            } else {
                self.change_member(change, is_late);
            }
        }
    }

    /// Moves a counter of the whole account, which is likely to lie at a place; where it does.
    fn change_counter(&mut self, change: &CounterChange, is_late: bool, likely: usize) -> usize {
        let is_it = |entry: &Counter| (entry.counter, entry.period) == (change.counter, change.period);
        let found = match self.counters.get(likely).is_some_and(is_it) {
            true => Ok(likely),
            false => self.find_counter(change.counter, change.period),
        };
        match found {
            Ok(index) => {
                let entry = self.counters.get_mut(index).expect("the search returned its index");
                entry.value += change.delta;
                if is_late {
                    entry.value = entry.value.max(0);
                }
                entry.retain_until = entry.retain_until.max(change.retain_until);
                assert!((0..=limits::UNITS_MAX).contains(&entry.value), "a counter is neither negative nor too large");
                if entry.value == 0 {
                    self.counters.remove(index);
                }
            }
            Err(_) if is_late => {}
            Err(index) => {
                assert!((0..=limits::UNITS_MAX).contains(&change.delta), "a counter begins with a gain");
                if change.delta > 0 {
                    let CounterChange { counter, period, delta, retain_until, .. } = *change;
                    self.counters.insert(index, Counter { counter, period, value: delta, retain_until });
                }
            }
        }
        found.unwrap_or_else(|index| index)
    }

    fn change_member(&mut self, change: &CounterChange, is_late: bool) {
        let CounterChange { counter, member, period, delta, retain_until } = *change;
        let members = &mut self.profile.get_or_insert_default().members;
        match members.binary_search_by_key(&(member, counter, period), MemberCounter::key) {
            Ok(index) => {
                let Counter { value, retain_until: kept_until, .. } =
                    &mut members.get_mut(index).expect("the search returned its index").counted;
                *value += delta;
                if is_late {
                    *value = (*value).max(0);
                }
                *kept_until = (*kept_until).max(retain_until);
                assert!((0..=limits::UNITS_MAX).contains(value), "a counter is neither negative nor too large");
                if *value == 0 {
                    members.remove(index);
                }
            }
            Err(_) if is_late => {}
            Err(index) => {
                assert!((0..=limits::UNITS_MAX).contains(&delta), "a counter begins with a gain");
                if delta > 0 {
                    let counted = Counter { counter, period, value: delta, retain_until };
                    members.insert(index, MemberCounter { member, counted });
                }
            }
        }
        self.forget_empty_profile();
    }

    /// Forgets the counters that no receipt may touch any more.
    pub fn forget_counters(&mut self, posted_at: TimestampNs) {
        let today = utc_day(posted_at);
        self.counters.retain(|entry| entry.retain_until >= today);
        if let Some(profile) = self.profile.as_deref_mut().filter(|profile| !profile.members.is_empty()) {
            profile.members.retain(|entry| entry.counted.retain_until >= today);
            self.forget_empty_profile();
        }
    }

    /// An account of which nothing is known has no profile.
    pub(super) fn forget_empty_profile(&mut self) {
        if self.profile.as_deref().is_some_and(|profile| *profile == Profile::default()) {
            self.profile = None;
        }
    }

    /// Moves the totals. They are for people, not for decisions, and saturate.
    pub fn change_totals(&mut self, wallet: WalletId, change: &TotalsChange) {
        let totals = &mut self.totals;
        totals.baskets = totals.baskets.saturating_add(change.baskets);
        totals.refused_baskets = totals.refused_baskets.saturating_add(change.refused_baskets);
        totals.reversals = totals.reversals.saturating_add(change.reversals);
        totals.refused_redemptions = totals.refused_redemptions.saturating_add(change.refused_redemptions);
        if change.clipped != 0 {
            let totals = self.wallet_totals_mut(wallet);
            totals.clipped = totals.clipped.saturating_add(change.clipped);
        }
    }

    /// Changes what is known of the account; joining or leaving what is so already changes nothing.
    pub fn change_profile(&mut self, effects: &Effects, version: ProgramVersion) {
        let Effects { segments, identifier, birthday, last_basket_on, remainder, .. } = effects;
        if segments.is_empty() && identifier.is_none() && (birthday, last_basket_on, remainder) == (&None, &None, &None)
        {
            return;
        }
        let profile = self.profile.get_or_insert_default();
        for (segment, joins) in segments {
            match (profile.segments.binary_search(segment), joins) {
                (Err(index), true) => profile.segments.insert(index, *segment),
                (Ok(index), false) => {
                    profile.segments.remove(index);
                }
                _ => {}
            }
        }
        if let Some(change) = identifier.as_deref() {
            match (profile.identifiers.binary_search_by_key(&change.key, |(key, _)| *key), change.links) {
                (Err(index), true) => profile.identifiers.insert(index, (change.key, change.kind)),
                (Ok(index), false) => {
                    profile.identifiers.remove(index);
                }
                _ => {}
            }
        }
        profile.birthday = birthday.unwrap_or(profile.birthday);
        profile.last_basket_on = last_basket_on.or(profile.last_basket_on);
        if let Some(left) = remainder {
            profile.remainder = (*left != 0).then_some((version, *left));
        }
        self.forget_empty_profile();
    }

    fn wallet_totals_mut(&mut self, wallet: WalletId) -> &mut WalletTotals {
        let index = match self.wallets.binary_search_by_key(&wallet, |totals| totals.wallet) {
            Ok(index) => index,
            Err(index) => {
                self.wallets.insert(index, WalletTotals { wallet, ..WalletTotals::default() });
                index
            }
        };
        self.wallets.get_mut(index).expect("the search returned its index")
    }

    /// The totals of a wallet; zeros when it never moved.
    #[must_use]
    pub fn wallet_totals(&self, wallet: WalletId) -> WalletTotals {
        let found = self.wallets.iter().find(|totals| totals.wallet == wallet);
        found.copied().unwrap_or(WalletTotals { wallet, ..WalletTotals::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS_PER_DAY: i64 = 86_400_000_000_000;
    const SPENT: SymbolId = SymbolId(7);

    fn change(delta: i64, retain_until: i32) -> CounterChange {
        CounterChange { counter: SPENT, member: MemberKey::NONE, period: 0, delta, retain_until: Day(retain_until) }
    }

    #[test]
    fn a_late_reversal_takes_off_a_counter_that_a_later_accrual_kept() {
        let mut account = Account::default();
        account.change_counters(&[change(10, 3)], TimestampNs(0));
        account.change_counters(&[change(5, 5)], TimestampNs(2 * NS_PER_DAY));
        account.change_counters(&[change(-10, 3)], TimestampNs(4 * NS_PER_DAY));
        assert_eq!(account.counter(SPENT, 0), 5);
    }

    #[test]
    fn a_late_reversal_of_a_forgotten_counter_changes_nothing() {
        let mut account = Account::default();
        let of_member = CounterChange { member: MemberKey(1), ..change(10, 3) };
        account.change_counters(&[change(10, 3), of_member], TimestampNs(0));
        account.forget_counters(TimestampNs(4 * NS_PER_DAY - 1));
        assert_eq!((account.counters.len(), account.members().len()), (1, 1), "they are kept on their last day");
        account.forget_counters(TimestampNs(4 * NS_PER_DAY));
        assert_eq!((account.counters.len(), account.members().len()), (0, 0));
        account.change_counters(&[change(-10, 3)], TimestampNs(4 * NS_PER_DAY));
        assert_eq!(account.counters, []);
        account.change_counters(&[change(5, 9)], TimestampNs(4 * NS_PER_DAY));
        account.change_counters(&[change(-10, 3)], TimestampNs(4 * NS_PER_DAY));
        assert_eq!(account.counters, []);
    }
}
