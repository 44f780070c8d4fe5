//! What is set aside, in the model and of the ledger.
//!
//! What must stay true: as in [`crate::model`]: nothing of the ledger's code is used by the model.

use tallystick::ledger::authorization::AuthorizationChange;
use tallystick::ledger::command::{AuthorizationOf, Capture, CommandKind, SettingAside};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::{Position, TimestampNs, WalletId};

use crate::lots::Chunk;
use crate::model::{Model, Outcome};
use crate::real::Real;
use crate::rules::{ACCOUNTS, HOLD_MINUTES};
use crate::support::NS_PER_SECOND;

/// Units that were set aside at a step, in the order in which they are burned.
#[derive(Clone, Debug)]
pub struct Aside {
    step: usize,
    pub account: usize,
    ends_at: i64,
    captured: i64,
    pub chunks: Vec<Chunk>,
}

impl Aside {
    /// Whether its time has run out.
    pub fn has_ended(&self, now: TimestampNs) -> bool {
        self.ends_at <= now.0
    }

    fn left(&self) -> i64 {
        self.chunks.iter().map(|chunk| chunk.units).sum()
    }
}

/// An authorization as tests compare it: its step, what is left, what was captured.
pub type AsideWords = (usize, i64, i64);

impl Model<'_> {
    /// What has run out goes back to where it came from.
    pub fn settle(&mut self, now: TimestampNs) {
        let (over, open): (Vec<Aside>, Vec<Aside>) =
            std::mem::take(&mut self.asides).into_iter().partition(|aside| aside.ends_at <= now.0);
        self.asides = open;
        self.chunks.extend(over.into_iter().flat_map(|aside| aside.chunks));
    }

    /// Units that are set aside.
    pub fn aside(&self, account: usize) -> i64 {
        self.asides.iter().filter(|aside| aside.account == account).map(Aside::left).sum()
    }

    /// All that is set aside of an account.
    pub fn asides_of(&self, account: usize) -> Vec<AsideWords> {
        let own = self.asides.iter().filter(|aside| aside.account == account);
        own.map(|aside| (aside.step, aside.left(), aside.captured)).collect()
    }

    pub fn authorize(
        &mut self,
        (step, account): (usize, usize),
        units: i64,
        minutes: Option<i64>,
        now: TimestampNs,
    ) -> Outcome {
        if !self.knows(account) {
            return Outcome::Refused(Refusal::AccountUnknown);
        }
        if self.spendable(account, now) < units {
            self.refused_redemptions.push(account);
            return Outcome::Refused(Refusal::InsufficientBalance);
        }
        let chunks = self.cut(account, units, now);
        let minutes = minutes.map_or(HOLD_MINUTES, |minutes| minutes.min(HOLD_MINUTES));
        let ends_at = now.0 + minutes * 60 * NS_PER_SECOND;
        self.asides.push(Aside { step, account, ends_at, captured: 0, chunks });
        self.begun.push((step, ends_at));
        self.keep_alive(account, &self.local(now), now);
        Outcome::Moved { units: 0, balance: self.balance(account, now) }
    }

    /// Burns of what was set aside at a step; `None` where nothing was. Without units it is all given back.
    pub fn end(&mut self, step: usize, burned: Option<(i64, bool)>, now: TimestampNs) -> Option<Outcome> {
        let (_, ends_at) = *self.begun.iter().find(|(of, _)| *of == step)?;
        if ends_at <= now.0 {
            return Some(Outcome::Refused(Refusal::AuthorizationExpired));
        }
        let Some(index) = self.asides.iter().position(|aside| aside.step == step) else {
            return Some(Outcome::Refused(Refusal::AuthorizationClosed));
        };
        let (units, is_last) = burned.unwrap_or((0, true));
        if units > self.asides[index].left() {
            return Some(Outcome::Refused(Refusal::CaptureExceedsAuthorization));
        }
        let account = self.asides[index].account;
        let mut missing = units;
        for chunk in &mut self.asides[index].chunks {
            let taken = missing.min(chunk.units);
            (missing, chunk.units) = (missing - taken, chunk.units - taken);
        }
        self.asides[index].captured += units;
        self.asides[index].chunks.retain(|chunk| chunk.units > 0);
        if burned.is_some() {
            self.keep_alive(account, &self.local(now), now);
        }
        if is_last || self.asides[index].chunks.is_empty() {
            let over = self.asides.remove(index);
            self.chunks.extend(over.chunks);
        }
        Some(Outcome::Moved { units: -units, balance: self.balance(account, now) })
    }
}

impl Real {
    pub fn authorize(
        &mut self,
        (step, account): (usize, usize),
        units: i64,
        minutes: Option<i64>,
        now: TimestampNs,
    ) -> Outcome {
        let hold_seconds = minutes.map(|minutes| u32::try_from(minutes * 60).expect("a short time"));
        let asked = SettingAside { wallet: WalletId(0), units, hold_seconds };
        self.run_as(&step.to_string(), account, now, self.partners[1], CommandKind::Authorize(asked));
        let own = self.decided().0.effects.authorizations.as_deref().and_then(|changes| changes.own.as_ref());
        if let Some(AuthorizationChange::Begins(name, ends_at)) = own {
            let of = AuthorizationOf {
                transaction_id: name.transaction_id.clone(),
                position: Position(0),
                wallet: WalletId(0),
                ends_at: *ends_at,
            };
            self.begun.push((step, account, of));
        }
        self.moved()
    }

    pub fn end(&mut self, step: usize, burned: Option<(i64, bool)>, now: TimestampNs) -> Option<Outcome> {
        let (_, account, of) = self.begun.iter().find(|(of, ..)| *of == step)?.clone();
        let kind = match burned {
            Some((units, is_final)) => CommandKind::Capture(Capture { of, units, is_final }),
            None => CommandKind::Void(of),
        };
        self.run_as("model", account, now, self.partners[1], kind);
        Some(self.moved())
    }

    /// All that is set aside of an account, by step.
    pub fn asides_of(&self, account: usize, now: TimestampNs) -> Vec<AsideWords> {
        let found = self.state.find(ACCOUNTS[account]).and_then(|number| self.state.account(number));
        let Some(found) = found else { return Vec::new() };
        let open = found.authorizations().iter().filter(|one| one.is_open(now));
        let words = open.map(|one| (one.transaction_id.parse().expect("a step"), one.left(), one.captured));
        let mut words: Vec<AsideWords> = words.collect();
        words.sort_unstable();
        words
    }
}
