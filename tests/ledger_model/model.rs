//! The naive model: for each question it adds up the whole history once more.
//!
//! What must stay true: it shares no code with the ledger but the types of its results. It keeps no counters, classifies
//! lines by comparing strings, finds days with another time-zone library, and adds in fractions.

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use jiff::tz::TimeZone;
use jiff::{Span, Zoned, civil};
use siphasher::sip::SipHasher13;
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::program::CalendarWindow;
use tallystick::ledger::types::TimestampNs;

use crate::asides::Aside;
use crate::lots::Chunk;
use crate::returns::Bought;
use crate::rules::{ACCOUNTS, CapWords, Counts, DEPARTMENTS, Rules, SEGMENTS, TRIAL, VARIANTS, When, Whose};
use crate::stamps::Stamped;
use crate::support::NS_PER_DAY;

/// What became of a step, in the model's words and in the ledger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Granted {
        earned: i64,
        granted: i64,
        over_velocity: bool,
        clips: Vec<i64>,
        /// Places of the bonuses in the file.
        bonuses: Vec<usize>,
        /// The level that judged, and the metric afterwards.
        level: Option<(u8, i64)>,
        balance: i64,
    },
    Moved {
        units: i64,
        balance: i64,
    },
    /// Segments that changed.
    Enrolled {
        changes: Vec<(usize, bool)>,
    },
    Refused(Refusal),
}

/// A purchase or an activity that was accepted, as far as it stands.
#[derive(Clone, Debug)]
pub struct Past {
    pub account: usize,
    pub is_basket: bool,
    pub at: Zoned,
    pub granted: i64,
    pub eligible: i64,
    /// Which budgets were in force.
    drew_on: Vec<bool>,
    pub bonuses: Vec<usize>,
    issuer: usize,
    /// The store of a basket.
    store: Option<usize>,
    pub lot: Chunk,
    pub taken_back: bool,
    /// The lines of a basket, and how they were judged.
    pub bought: Option<Bought>,
    /// What it counts on cards, as far as it stands.
    pub stamped: Vec<Stamped>,
}

/// A whole number of parts, of which so many make one.
#[derive(Clone, Copy, Debug)]
pub struct Fraction(pub i128, pub i128);

impl Fraction {
    pub const ZERO: Self = Self(0, 1);

    pub fn whole(number: i64) -> Self {
        Self(i128::from(number), 1)
    }

    /// So many ten-thousandths.
    pub fn bps(number: i64) -> Self {
        Self(i128::from(number), 10_000).reduced()
    }

    fn reduced(self) -> Self {
        let (mut a, mut b) = (self.0.abs(), self.1);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        if a == 0 { self } else { Self(self.0 / a, self.1 / a) }
    }

    pub fn times(self, other: Self) -> Self {
        Self(self.0 * other.0, self.1 * other.1).reduced()
    }

    pub fn plus(self, other: Self) -> Self {
        Self(self.0 * other.1 + other.0 * self.1, self.1 * other.1).reduced()
    }
}

/// One line: department, brand, amount, quantity.
pub type LineWords = (usize, usize, i64, i64);

pub struct Model<'a> {
    pub rules: &'a Rules,
    pub zone: TimeZone,
    pub past: Vec<(usize, Past)>,
    pub chunks: Vec<Chunk>,
    /// Joined or left, in the order in which it happened.
    enrolled: Vec<(usize, usize, bool)>,
    known: Vec<usize>,
    /// Accounts of redemptions that were refused.
    pub refused_redemptions: Vec<usize>,
    /// What is set aside.
    pub asides: Vec<Aside>,
    /// Steps at which something was set aside, and until when.
    pub begun: Vec<(usize, i64)>,
    /// What rounding left over of each account's last basket.
    pub left: BTreeMap<usize, Fraction>,
    /// What accounts owe to what they earn later.
    pub owed: BTreeMap<usize, i64>,
    /// Dead units that returns were let off for.
    pub gone: BTreeMap<usize, i64>,
}

impl<'a> Model<'a> {
    pub fn new(rules: &'a Rules) -> Self {
        let zone = TimeZone::get(rules.zone).expect("the zone exists");
        Self {
            rules,
            zone,
            past: Vec::new(),
            chunks: Vec::new(),
            enrolled: Vec::new(),
            known: Vec::new(),
            refused_redemptions: Vec::new(),
            asides: Vec::new(),
            begun: Vec::new(),
            left: BTreeMap::new(),
            owed: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    pub fn local(&self, at: TimestampNs) -> Zoned {
        jiff::Timestamp::from_nanosecond(i128::from(at.0)).expect("in range").to_zoned(self.zone.clone())
    }

    /// Names the window that contains a local time.
    pub fn window(window: CalendarWindow, at: civil::DateTime) -> String {
        let monday = at.date().checked_sub(Span::new().days(at.date().weekday().to_monday_zero_offset()));
        match window {
            CalendarWindow::Hour => format!("{} {}", at.date(), at.hour()),
            CalendarWindow::Day => at.date().to_string(),
            CalendarWindow::Week => monday.expect("in range").to_string(),
            CalendarWindow::Month => format!("{}-{}", at.year(), at.month()),
            CalendarWindow::Year => at.year().to_string(),
            CalendarWindow::Anniversary => unreachable!("no drawn metric counts by it"),
            CalendarWindow::Lifetime => String::new(),
        }
    }

    /// A local time so many windows later.
    fn later(window: CalendarWindow, at: civil::DateTime, count: i32) -> civil::DateTime {
        let span = Span::new();
        let span = match window {
            CalendarWindow::Hour => span.hours(count),
            CalendarWindow::Day => span.days(count),
            CalendarWindow::Week => span.weeks(count),
            CalendarWindow::Month => span.months(count),
            CalendarWindow::Year => span.years(count),
            CalendarWindow::Anniversary | CalendarWindow::Lifetime => unreachable!("nothing rolls by it"),
        };
        at.checked_add(span).expect("in range")
    }

    fn in_segment(&self, account: usize, segment: usize) -> bool {
        let told = self.enrolled.iter().rev().find(|(of, about, _)| (*of, *about) == (account, segment));
        told.is_some_and(|(_, _, joined)| *joined)
    }

    fn holds(&self, when: &When, account: usize, partner: usize, at: &Zoned, eligible: i64) -> bool {
        self.holds_at(when, account, partner, at, (eligible, true))
    }

    /// The same for what is perhaps no basket.
    fn holds_at(
        &self,
        when: &When,
        account: usize,
        partner: usize,
        at: &Zoned,
        (eligible, is_basket): (i64, bool),
    ) -> bool {
        let weekday = at.date().weekday().to_monday_zero_offset();
        let in_hours = when.from_hour.is_none_or(|from| {
            let until = if from < 12 { 12 } else { 24 };
            (i16::try_from(from).expect("small")..until).contains(&i16::from(at.hour()))
        });
        let baskets = self.past.iter().filter(|(_, past)| past.account == account && past.is_basket).count();
        let number = i64::try_from(baskets).expect("few") + i64::from(is_basket);
        (when.weekdays.is_empty() || when.weekdays.iter().any(|day| i16::from(*day) == i16::from(weekday)))
            && in_hours
            && when.segment.is_none_or(|segment| self.in_segment(account, segment))
            && !when.not_segment.is_some_and(|segment| self.in_segment(account, segment))
            && self.level(account, at) >= when.level_min
            && eligible >= when.eligible_min
            && (when.every_nth == 0 || (number > 0 && number % when.every_nth == 0))
            && when.partner.is_none_or(|wanted| wanted == partner)
            && self.is_days_since(when.days_since, account, at)
            && when.own_average.is_none_or(|percent| self.reaches_average(percent, account, eligible))
            && when.variant.is_none_or(|variant| variant_of(account) == variant)
    }

    /// Whether the day lies so far behind the last of the days of the account's baskets.
    fn is_days_since(&self, (least, most): (Option<i32>, Option<i32>), account: usize, at: &Zoned) -> bool {
        let baskets = self.past.iter().map(|(_, past)| past).filter(|past| past.account == account && past.is_basket);
        let last = baskets.map(|past| past.at.date()).max();
        let days = last.map(|last| last.until(at.date()).expect("in range").get_days());
        // A basket that lies behind a late receipt's day is not before it.
        let days = days.filter(|days| *days >= 0);
        least.is_none_or(|least| days.is_some_and(|days| days >= least))
            && most.is_none_or(|most| days.is_some_and(|days| days <= most))
    }

    /// Whether an amount is so many percent of what the account's baskets came to on average: those that have not come
    /// back whole.
    fn reaches_average(&self, percent: i64, account: usize, eligible: i64) -> bool {
        let baskets = self.standing(|past| past.account == account && past.is_basket).count();
        let spent: i64 = self.standing(|past| past.account == account).map(|past| past.eligible).sum();
        let count = i64::try_from(baskets).expect("few");
        count > 0 && eligible * 100 * count >= spent * percent
    }

    /// What the account has spent in the year.
    fn spent(&self, account: usize, at: &Zoned) -> i64 {
        let same = |past: &Past| past.account == account && past.at.year() == at.year();
        self.standing(same).map(|past| past.eligible).sum()
    }

    fn level(&self, account: usize, at: &Zoned) -> u8 {
        let spent = self.spent(account, at);
        u8::try_from(self.rules.tiers.iter().filter(|(threshold, _)| spent >= *threshold).count()).expect("few")
    }

    pub fn rounded(&self, exact: Fraction) -> i64 {
        let Fraction(parts, one) = exact;
        if parts < 0 {
            // What came back took more along than rounding had left over.
            return 0;
        }
        let (whole, rest) = (parts / one, parts % one);
        let up = match self.rules.rounding {
            "floor" | "carry" => false,
            "half-up" => rest * 2 >= one,
            _ => rest * 2 > one || (rest * 2 == one && whole % 2 != 0),
        };
        i64::try_from(whole + i128::from(up)).expect("small")
    }

    pub fn standing(&self, of: impl Fn(&Past) -> bool) -> impl Iterator<Item = &Past> {
        self.past.iter().map(|(_, past)| past).filter(move |past| !past.taken_back && of(past))
    }

    fn meet(&mut self, account: usize) {
        if !self.known.contains(&account) {
            self.known.push(account);
        }
    }

    fn used(&self, account: usize, bonus: usize, window: CalendarWindow, at: &Zoned) -> i64 {
        let wanted = Self::window(window, at.datetime());
        let same = |past: &Past| past.account == account && Self::window(window, past.at.datetime()) == wanted;
        let times = self.standing(same).filter(|past| past.bonuses.contains(&bonus)).count();
        i64::try_from(times).expect("few")
    }

    /// The bonuses of a basket or of an activity.
    fn bonuses(
        &self,
        activity: Option<usize>,
        account: usize,
        partner: usize,
        at: &Zoned,
        eligible: i64,
    ) -> Vec<usize> {
        let earns = |(index, bonus): (usize, &crate::rules::BonusRule)| {
            let left = bonus.limit.is_none_or(|(window, times)| self.used(account, index, window, at) < times);
            let taken = self.standing(|past| past.bonuses.contains(&index)).count();
            let left = left && bonus.places.is_none_or(|places| i64::try_from(taken).expect("few") < places);
            let of = (eligible, activity.is_none());
            let counts = bonus.activity == activity && left && self.holds_at(&bonus.when, account, partner, at, of);
            counts.then_some(index)
        };
        self.rules.bonuses.iter().enumerate().filter_map(earns).collect()
    }

    pub fn accrue(
        &mut self,
        step: usize,
        account: usize,
        partner: usize,
        lines: &[LineWords],
        at: TimestampNs,
        now: TimestampNs,
    ) -> Outcome {
        let eligible_line = |line: &&LineWords| self.rules.excluded_department != Some(DEPARTMENTS[line.0]);
        let eligible: i64 = lines.iter().filter(eligible_line).map(|line| line.2).sum();
        let local = self.local(at);
        let level = self.level(account, &local);
        let multiplier = level.checked_sub(1).map(|index| self.rules.tiers[usize::from(index)].1);
        let tier = Fraction::bps(multiplier.unwrap_or(10_000));
        let holds = |when: &When| self.holds(when, account, partner, &local, eligible);
        let judged = lines.iter().map(|line| self.judge_line(*line, &holds)).collect();
        let carries = self.rules.rounding == "carry";
        let before = self.left.get(&account).filter(|_| carries).copied().unwrap_or(Fraction::ZERO);
        let bought = Bought::new(lines, judged, tier, before);
        let (by_lines, left) = self.units_of(&bought, eligible);
        let bonuses = self.bonuses(None, account, partner, &local, eligible);
        let stamped = self.stamped(account, &bought, &local, &holds);
        let of_cards = self.units_of_cards(&stamped);
        let earned = by_lines + bonuses.iter().map(|index| self.rules.bonuses[*index].units).sum::<i64>() + of_cards;
        let store = Some(store_of(lines));
        let asked = Asked { earned, eligible, bonuses, bought: Some(bought), stamped };
        let outcome = self.accept(step, account, partner, store, at, now, asked);
        if let (true, Outcome::Granted { over_velocity: false, .. }) = (carries, &outcome) {
            self.left.insert(account, left);
            self.note_left(left);
        }
        outcome
    }

    pub fn act(
        &mut self,
        step: usize,
        account: usize,
        partner: usize,
        kind: usize,
        at: TimestampNs,
        now: TimestampNs,
    ) -> Outcome {
        let bonuses = self.bonuses(Some(kind), account, partner, &self.local(at), 0);
        let earned = bonuses.iter().map(|index| self.rules.bonuses[*index].units).sum();
        let asked = Asked { earned, eligible: 0, bonuses, bought: None, stamped: Vec::new() };
        self.accept(step, account, partner, None, at, now, asked)
    }

    /// What a cap has counted in the fullest of all runs of windows that contain the present one.
    fn in_cap(&self, cap: &CapWords, of: Whom, at: &Zoned) -> i64 {
        let past = self.standing(|past| match cap.whose {
            Whose::Account => past.account == of.account,
            Whose::Store => past.issuer == of.partner && past.store == of.store,
            Whose::Partner => past.issuer == of.partner,
            Whose::Everybody => true,
        });
        let counted: Vec<(String, i64)> = past
            .map(|past| {
                let granted = (past.is_basket, past.granted, past.eligible);
                (Self::window(cap.window, past.at.datetime()), counts_for(cap, granted))
            })
            .collect();
        let run = |first: i32| -> i64 {
            let windows = (first..first + cap.rolling).map(|ahead| Self::later(cap.window, at.datetime(), ahead));
            let names: Vec<String> = windows.map(|at| Self::window(cap.window, at)).collect();
            counted.iter().filter(|(name, _)| names.contains(name)).map(|(_, value)| value).sum()
        };
        (1 - cap.rolling..=0).map(run).max().expect("there is one run at least")
    }

    #[expect(clippy::too_many_arguments, reason = "a step's words")]
    fn accept(
        &mut self,
        step: usize,
        account: usize,
        partner: usize,
        store: Option<usize>,
        at: TimestampNs,
        now: TimestampNs,
        asked: Asked,
    ) -> Outcome {
        if now.0 - at.0 > self.rules.late_limit_days * NS_PER_DAY {
            return Outcome::Refused(Refusal::ReceiptTooOld);
        }
        let local = self.local(at);
        let Asked { earned, eligible, mut bonuses, mut bought, mut stamped } = asked;
        let (is_basket, of) = (store.is_some(), Whom { account, partner, store });
        // What happened in no store is no store's.
        let bounding = |declines: bool| {
            let caps = self.rules.caps.iter().filter(move |cap| cap.declines == declines);
            caps.filter(move |cap| is_basket || cap.whose != Whose::Store)
        };
        let over_velocity = bounding(true).any(|cap| {
            let wanted = counts_for(cap, (is_basket, earned, eligible));
            wanted > 0 && self.in_cap(cap, of, &local) + wanted > cap.limit
        });
        if over_velocity {
            bonuses.clear();
            stamped.clear();
        }
        let mut granted = if over_velocity { 0 } else { earned };
        let (mut clips, mut rooms) = (Vec::new(), Vec::new());
        let mut bound = |granted: &mut i64, room: i64| {
            assert!(room >= 0, "no cap and no budget is ever exceeded");
            if *granted > room {
                clips.push(*granted - room);
                rooms.push(room);
                *granted = room;
            }
        };
        for cap in bounding(false) {
            bound(&mut granted, cap.limit - self.in_cap(cap, of, &local));
        }
        let posted_on = self.local(now).date();
        let first = jiff::civil::date(2017, 3, 1);
        let in_force = |briefly: bool| !briefly || posted_on == first || posted_on == first.tomorrow().expect("near");
        let drew_on: Vec<bool> = self.rules.budgets.iter().map(|(_, briefly)| in_force(*briefly)).collect();
        for (index, (limit, _)) in self.rules.budgets.iter().enumerate().filter(|(index, _)| drew_on[*index]) {
            bound(&mut granted, limit - self.drawn(index));
        }
        let lot = self.granted(account, partner, &local, granted);
        let gained = if lot.expires_at > now.0 { granted } else { 0 };
        let collected = gained.min(self.owed_by(account));
        if self.balance(account, now) + gained - collected > self.rules.balance_max {
            return Outcome::Refused(Refusal::BalanceLimitExceeded);
        }
        let level = (!self.rules.tiers.is_empty())
            .then(|| (self.level(account, &local), self.spent(account, &local) + eligible));
        self.meet(account);
        if granted > collected {
            self.chunks.push(Chunk { units: granted - collected, ..lot });
        }
        if collected > 0 {
            *self.owed.entry(account).or_default() -= collected;
        }
        self.keep_alive(account, &local, now);
        if let Some(bought) = &mut bought {
            (bought.rooms, bought.is_denied) = (rooms, over_velocity);
        }
        let past = Past {
            account,
            is_basket,
            at: local,
            granted,
            eligible,
            drew_on,
            bonuses: bonuses.clone(),
            issuer: partner,
            store,
            lot,
            taken_back: false,
            bought,
            stamped,
        };
        self.past.push((step, past));
        let balance = self.shown(account, now);
        Outcome::Granted { earned, granted, over_velocity, clips, bonuses, level, balance }
    }

    /// What a budget has given.
    pub fn drawn(&self, budget: usize) -> i64 {
        self.standing(|past| past.drew_on[budget]).map(|past| past.granted).sum()
    }

    /// What accounts have spent on what stands.
    pub fn eligible(&self) -> i64 {
        self.standing(|_| true).map(|past| past.eligible).sum()
    }

    pub fn redeem(&mut self, account: usize, units: i64, now: TimestampNs) -> Outcome {
        if !self.known.contains(&account) {
            return Outcome::Refused(Refusal::AccountUnknown);
        }
        if self.spendable(account, now) < units {
            self.refused_redemptions.push(account);
            return Outcome::Refused(Refusal::InsufficientBalance);
        }
        self.take(account, units, now, true);
        self.keep_alive(account, &self.local(now), now);
        Outcome::Moved { units: -units, balance: self.shown(account, now) }
    }

    /// Joins and leaves, each list ascending.
    pub fn enrol(&mut self, account: usize, joins: &[usize], leaves: &[usize]) -> Outcome {
        self.meet(account);
        let mut changes = Vec::new();
        for segment in joins.iter().filter(|segment| !self.in_segment(account, **segment)) {
            changes.push((*segment, true));
        }
        for segment in leaves.iter().filter(|segment| self.in_segment(account, **segment)) {
            changes.push((*segment, false));
        }
        self.enrolled.extend(changes.iter().map(|(segment, joined)| (account, *segment, *joined)));
        Outcome::Enrolled { changes }
    }

    /// The segments of an account.
    pub fn segments(&self, account: usize) -> Vec<usize> {
        (0..SEGMENTS.len()).filter(|segment| self.in_segment(account, *segment)).collect()
    }

    pub fn load(&mut self, account: usize, lots: &[(usize, i64, i64)], now: TimestampNs) -> Outcome {
        let alive = lots.iter().filter(|(_, expires_at, _)| *expires_at > now.0).map(|(_, _, units)| units);
        if self.balance(account, now) + alive.sum::<i64>() > self.rules.balance_max {
            return Outcome::Refused(Refusal::BalanceLimitExceeded);
        }
        self.meet(account);
        let chunk = |(issuer, expires_at, units): &(usize, i64, i64)| Chunk {
            account,
            expires_at: *expires_at,
            issuer: *issuer,
            from_minute: 0,
            put_off: false,
            units: *units,
        };
        self.chunks.extend(lots.iter().map(chunk));
        let balance = self.shown(account, now);
        Outcome::Moved { units: lots.iter().map(|(_, _, units)| units).sum(), balance }
    }

    pub fn knows(&self, account: usize) -> bool {
        self.known.contains(&account)
    }
}

/// Whose counters an event can move.
#[derive(Clone, Copy)]
struct Whom {
    account: usize,
    partner: usize,
    store: Option<usize>,
}

/// The store in which a basket was bought: it follows from the basket.
pub fn store_of(lines: &[LineWords]) -> usize {
    lines.len() % 2
}

/// The account's variant, as the reference of the language says that it is drawn.
fn variant_of(account: usize) -> usize {
    let mut hasher = SipHasher13::new();
    hasher.write(format!("{TRIAL}\0{}", ACCOUNTS[account]).as_bytes());
    let share = hasher.finish() % 100;
    let below = |index: usize| VARIANTS[..=index].iter().map(|(_, percent)| percent).sum::<u64>();
    (0..VARIANTS.len()).find(|index| share < below(*index)).expect("the shares come to a hundred")
}

/// What is to be granted before caps and budgets.
struct Asked {
    earned: i64,
    eligible: i64,
    bonuses: Vec<usize>,
    bought: Option<Bought>,
    stamped: Vec<Stamped>,
}

/// What something counts for in a cap: whether it is a basket, units, and the eligible amount.
fn counts_for(cap: &CapWords, (is_basket, units, eligible): (bool, i64, i64)) -> i64 {
    match cap.counts {
        Counts::Units => units,
        _ if units == 0 || !is_basket => 0,
        Counts::Baskets => 1,
        Counts::Amounts => eligible,
    }
}
