//! The units of the model: until when they live, from when they can be spent, and which are taken first.
//!
//! What must stay true: as in [`crate::model`]: nothing of the ledger's code is used.

use jiff::{Span, Zoned, civil};
use tallystick::ledger::types::TimestampNs;

use crate::model::Model;
use crate::rules::Lives;

/// Units that were granted together, as far as they are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chunk {
    pub account: usize,
    /// The instant of death; the largest one for never.
    pub expires_at: i64,
    pub issuer: usize,
    /// The minute from which they can be spent.
    pub from_minute: i64,
    /// Whatever the member does puts their death off.
    pub put_off: bool,
    pub units: i64,
}

impl Chunk {
    fn is_alive(&self, now: TimestampNs) -> bool {
        self.expires_at > now.0
    }

    fn is_spendable(&self, now: TimestampNs) -> bool {
        self.is_alive(now) && self.from_minute <= now.0.div_euclid(60_000_000_000)
    }

    /// Whether two differ in nothing but how many units they have, and perhaps when these die.
    fn is_like(&self, other: &Self) -> bool {
        (self.account, self.issuer, self.from_minute, self.put_off)
            == (other.account, other.issuer, other.from_minute, other.put_off)
    }
}

impl Model<'_> {
    /// The instant at which the day after a local day, and so many more, begins.
    fn midnight_after(&self, day: civil::Date, full_days: u16) -> i64 {
        let day = day.checked_add(Span::new().days(i64::from(full_days) + 1)).expect("in range");
        let start = day.to_zoned(self.zone.clone()).expect("in range").start_of_day().expect("in range");
        i64::try_from(start.timestamp().as_nanosecond()).expect("in range")
    }

    /// The instant from which units that are earned, or kept alive, at a local time are dead.
    fn death(&self, at: &Zoned) -> i64 {
        match self.rules.lives {
            Lives::Ever => i64::MAX,
            Lives::Days(days) | Lives::SinceLast(days) => self.midnight_after(at.date(), days),
            Lives::UntilEach(month, day) => {
                let (month, day) = (i8::try_from(month).expect("small"), i8::try_from(day).expect("small"));
                let of_year = |year| civil::date(year, month, day);
                let this = of_year(at.year());
                self.midnight_after(if this > at.date() { this } else { of_year(at.year() + 1) }, 0)
            }
        }
    }

    /// What is granted at a local time.
    pub fn granted(&self, account: usize, issuer: usize, at: &Zoned, units: i64) -> Chunk {
        let from_minute = match self.rules.pending_days {
            0 => 0,
            days => {
                let from = self.midnight_after(at.date(), days);
                from.div_euclid(60_000_000_000) + i64::from(from.rem_euclid(60_000_000_000) > 0)
            }
        };
        let put_off = matches!(self.rules.lives, Lives::SinceLast(_));
        Chunk { account, expires_at: self.death(at), issuer, from_minute, put_off, units }
    }

    /// Units that are alive, and those that are set aside.
    pub fn balance(&self, account: usize, now: TimestampNs) -> i64 {
        let alive = self.chunks.iter().filter(|chunk| chunk.account == account && chunk.is_alive(now));
        alive.map(|chunk| chunk.units).sum::<i64>() + self.aside(account)
    }

    /// Units that can be spent.
    pub fn spendable(&self, account: usize, now: TimestampNs) -> i64 {
        let own = self.chunks.iter().filter(|chunk| chunk.account == account && chunk.is_spendable(now));
        own.map(|chunk| chunk.units).sum()
    }

    /// The member does something at a local time: what dies by inactivity lives on.
    pub fn keep_alive(&mut self, account: usize, at: &Zoned, now: TimestampNs) {
        let Lives::SinceLast(_) = self.rules.lives else { return };
        let dies = self.death(at);
        let own = self.chunks.iter_mut().filter(|chunk| chunk.account == account && chunk.put_off);
        for chunk in own.filter(|chunk| chunk.is_alive(now) && chunk.expires_at < dies) {
            chunk.expires_at = dies;
        }
    }

    /// Takes units that are alive, and for spending those that can be spent: the first to die first, of those that die
    /// together the first issuer's, then those that can be spent first.
    pub fn take(&mut self, account: usize, units: i64, now: TimestampNs, is_spent: bool) {
        self.take_chunks(account, units, now, is_spent);
    }

    /// Takes units that can be spent, and gives them.
    pub fn cut(&mut self, account: usize, units: i64, now: TimestampNs) -> Vec<Chunk> {
        self.take_chunks(account, units, now, true)
    }

    fn take_chunks(&mut self, account: usize, units: i64, now: TimestampNs, is_spent: bool) -> Vec<Chunk> {
        let mut missing = units;
        let mut cut = Vec::new();
        self.chunks.sort_by_key(|chunk| (chunk.expires_at, chunk.issuer, chunk.from_minute, chunk.put_off));
        let fits = |chunk: &&mut Chunk| if is_spent { chunk.is_spendable(now) } else { chunk.is_alive(now) };
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.account == account).filter(fits) {
            let taken = chunk.units.min(missing);
            chunk.units -= taken;
            missing -= taken;
            cut.push(Chunk { units: taken, ..*chunk });
        }
        assert_eq!(missing, 0, "only what is there is taken");
        self.chunks.retain(|chunk| chunk.units > 0);
        cut.retain(|chunk| chunk.units > 0);
        cut
    }

    /// Units that have died, and for which no return was let off: what is set aside can be captured, and has not died.
    pub fn dead(&self, account: usize, now: TimestampNs) -> i64 {
        let ended = self.asides.iter().filter(|aside| aside.account == account && aside.has_ended(now));
        let aside = ended.flat_map(|aside| &aside.chunks);
        let own = self.chunks.iter().filter(|chunk| chunk.account == account).chain(aside);
        let dead: i64 = own.filter(|chunk| !chunk.is_alive(now)).map(|chunk| chunk.units).sum();
        (dead - self.gone.get(&account).copied().unwrap_or(0)).max(0)
    }

    /// Takes units that differ from a grant in nothing but their death; gives what could not be taken.
    pub fn take_alike(&mut self, grant: &Chunk, units: i64, now: TimestampNs) -> i64 {
        let mut missing = units;
        self.chunks.sort_by_key(|chunk| chunk.expires_at);
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.is_like(grant) && chunk.is_alive(now)) {
            let taken = chunk.units.min(missing);
            chunk.units -= taken;
            missing -= taken;
        }
        self.chunks.retain(|chunk| chunk.units > 0);
        missing
    }

    /// Takes a grant back from what is left of it, wherever its death was put off to; gives what could not be taken.
    pub fn take_own(&mut self, grant: &Chunk, now: TimestampNs) -> i64 {
        let mut missing = grant.units;
        self.chunks.sort_by_key(|chunk| chunk.expires_at);
        let is_own = |chunk: &&mut Chunk| {
            let may_hold =
                chunk.expires_at == grant.expires_at || (grant.put_off && chunk.expires_at > grant.expires_at);
            chunk.is_like(grant) && may_hold && chunk.is_alive(now)
        };
        for chunk in self.chunks.iter_mut().filter(is_own) {
            let taken = chunk.units.min(missing);
            chunk.units -= taken;
            missing -= taken;
        }
        self.chunks.retain(|chunk| chunk.units > 0);
        missing
    }
}
