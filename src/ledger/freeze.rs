//! Freezes: accounts, terminals and cashiers that neither earn nor burn for a time.
//!
//! A freeze begins and ends at an instant of the posting time. Whoever journals one sees to it that nothing posted at or
//! after that instant is decided before the freeze is known (as with versions of the programme); so whether something
//! was frozen follows from the posting time alone, and a command is decided again as it was the first time.
//!
//! What is refused: of a frozen account baskets, activities, redemptions, authorizations, captures, top-ups and their
//! refunds, which pay money out; of a frozen terminal baskets and top-ups; of a frozen cashier baskets. All else goes on:
//! returns and voids, because they only take back; what operators ask; opening balances, identifiers and what is known of
//! the account; expiry.
//!
//! What must stay true: the changes are in the order of their instants, which ascend; a subject is not frozen twice nor
//! thawed twice; nothing is taken out, so that the past can be decided again.

use std::collections::BTreeMap;

use super::command::{Command, CommandKind};
use super::decision::Refusal;
use super::digest::Digester;
use super::types::{Position, SymbolId, TimestampNs};
use crate::limits;

/// What can be frozen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An account, whether or not it is there yet. 1 to [`limits::ACCOUNT_ID_BYTES_MAX`] bytes.
    Account(Box<str>),
    /// A terminal of a partner's store.
    Terminal {
        /// The partner.
        partner: SymbolId,
        /// The store.
        store: SymbolId,
        /// The terminal.
        terminal: SymbolId,
    },
    /// A cashier of a partner, in whichever store.
    Cashier {
        /// The partner.
        partner: SymbolId,
        /// The cashier.
        cashier: SymbolId,
    },
}

/// A freeze that begins, or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeChange {
    /// What is frozen, or thawed.
    pub subject: Subject,
    /// Whether it is frozen from now on.
    pub freezes: bool,
    /// From which posting time on.
    pub at: TimestampNs,
    /// Who did it, as the credential says.
    pub by: Box<str>,
    /// A code of the operators' own list. 1 to [`limits::REASON_CODE_BYTES_MAX`] bytes.
    pub reason_code: Box<str>,
    /// A sentence. At most [`limits::NOTE_BYTES_MAX`] bytes.
    pub note: Box<str>,
}

/// Why a freeze cannot begin or end. `Display` is a sentence without its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    /// It is frozen.
    #[error("it is frozen already")]
    Frozen,
    /// It is not.
    #[error("it is not frozen")]
    NotFrozen,
    /// A name is missing or too long.
    #[error("an account, partner, store, terminal or cashier is named by 1 to {} bytes", limits::SYMBOL_BYTES_MAX)]
    BadName,
    /// The reason is missing, or one of the texts is too long.
    #[error("a reason has 1 to {} bytes, a note at most {}", limits::REASON_CODE_BYTES_MAX, limits::NOTE_BYTES_MAX)]
    BadReason,
    /// The instant does not follow the one before.
    #[error("freezes begin and end one after the other")]
    NotLater,
    /// No further change fits.
    #[error("the data directory holds {} freezes already, which is the limit", limits::FREEZES_MAX)]
    Full,
}

/// The freezes of a data directory, since ever.
#[derive(Debug)]
pub struct Freezes {
    /// How many there may have been.
    most: usize,
    /// How many have begun.
    begun_count: usize,
    changes: Vec<(Position, FreezeChange)>,
    /// Per subject the places of its changes: begin, end, begin, and so on.
    accounts: BTreeMap<Box<str>, Vec<usize>>,
    terminals: BTreeMap<[SymbolId; 3], Vec<usize>>,
    cashiers: BTreeMap<[SymbolId; 2], Vec<usize>>,
    /// Subjects that are frozen.
    live_count: usize,
}

impl Default for Freezes {
    fn default() -> Self {
        Self::bounded(limits::FREEZES_MAX)
    }
}

impl Freezes {
    /// Nothing is frozen, and at most so many times something can be.
    fn bounded(most: usize) -> Self {
        Self {
            most,
            begun_count: 0,
            changes: Vec::new(),
            accounts: BTreeMap::new(),
            terminals: BTreeMap::new(),
            cashiers: BTreeMap::new(),
            live_count: 0,
        }
    }

    /// The changes, in their order.
    #[must_use]
    pub fn changes(&self) -> &[(Position, FreezeChange)] {
        &self.changes
    }

    /// How many subjects are frozen after the last change.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.live_count
    }

    /// How many freezes have begun, those that have ended included.
    #[must_use]
    pub fn begun_count(&self) -> usize {
        self.begun_count
    }

    /// When the last change took effect; `None` before the first.
    #[must_use]
    pub fn latest(&self) -> Option<TimestampNs> {
        self.changes.last().map(|(_, change)| change.at)
    }

    /// The change by which a subject is frozen after the last change; `None` if it is not.
    #[must_use]
    pub fn live(&self, subject: &Subject) -> Option<&(Position, FreezeChange)> {
        let last = self.changes.get(*self.places(subject)?.last()?)?;
        last.1.freezes.then_some(last)
    }

    /// The freezes of a subject, each with the thaw that ended it, in their order.
    pub fn of(
        &self,
        subject: &Subject,
    ) -> impl DoubleEndedIterator<Item = (&(Position, FreezeChange), Option<&(Position, FreezeChange)>)> {
        let places = self.places(subject).map_or(&[][..], Vec::as_slice);
        // One begins, the next ends it.
        places.chunks(2).filter_map(|pair| {
            let mut changes = pair.iter().filter_map(|place| self.changes.get(*place));
            Some((changes.next()?, changes.next()))
        })
    }

    /// The freezes from a number on, with their numbers, each with the thaw that ended it.
    pub fn list(
        &self,
        from: usize,
    ) -> impl Iterator<Item = (usize, &(Position, FreezeChange), Option<&(Position, FreezeChange)>)> {
        let begun = self.changes.iter().enumerate().skip(from).filter(|(_, (_, change))| change.freezes);
        begun.map(|(number, begun)| {
            let places = self.places(&begun.1.subject).map_or(&[][..], Vec::as_slice);
            let next = places.iter().find(|place| **place > number);
            (number, begun, next.and_then(|place| self.changes.get(*place)))
        })
    }

    /// Why a command is refused for a freeze at a posting time, the account's first.
    #[must_use]
    pub fn refusal(&self, command: &Command, at: TimestampNs) -> Option<Refusal> {
        let place = match &command.kind {
            CommandKind::Accrue(basket) => Some((basket.store, basket.terminal, basket.cashier)),
            CommandKind::TopUp(top_up) => Some((top_up.store, top_up.terminal, SymbolId::EMPTY)),
            CommandKind::Act(_)
            | CommandKind::Redeem(_)
            | CommandKind::Authorize(_)
            | CommandKind::Capture(_)
            | CommandKind::Refund(_) => None,
            CommandKind::Reverse(_)
            | CommandKind::Unburn(_)
            | CommandKind::Enrol(_)
            | CommandKind::Load(_)
            | CommandKind::Operate(_)
            | CommandKind::Link(_)
            | CommandKind::Void(_)
            | CommandKind::Expire => return None,
        };
        if self.holds_at(self.accounts.get(command.account_id.as_str()), at) {
            return Some(Refusal::AccountFrozen);
        }
        let (store, terminal, cashier) = place?;
        if self.holds_at(self.terminals.get(&[command.partner, store, terminal]), at) {
            return Some(Refusal::TerminalFrozen);
        }
        let is_frozen = self.holds_at(self.cashiers.get(&[command.partner, cashier]), at);
        is_frozen.then_some(Refusal::CashierFrozen)
    }

    fn holds_at(&self, places: Option<&Vec<usize>>, at: TimestampNs) -> bool {
        let changes = places.into_iter().flatten().rev().filter_map(|place| self.changes.get(*place));
        let mut since = changes.map(|(_, change)| change).skip_while(|change| change.at > at);
        since.next().is_some_and(|change| change.freezes)
    }

    fn places(&self, subject: &Subject) -> Option<&Vec<usize>> {
        match subject {
            Subject::Account(id) => self.accounts.get(id),
            Subject::Terminal { partner, store, terminal } => self.terminals.get(&[*partner, *store, *terminal]),
            Subject::Cashier { partner, cashier } => self.cashiers.get(&[*partner, *cashier]),
        }
    }

    /// Whether a change fits what there is.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, change: &FreezeChange) -> Result<(), FreezeError> {
        let is_named = match &change.subject {
            Subject::Account(id) => (1..=limits::ACCOUNT_ID_BYTES_MAX).contains(&id.len()),
            Subject::Terminal { partner, store, terminal } => {
                [partner, store, terminal].iter().all(|name| **name != SymbolId::EMPTY)
            }
            Subject::Cashier { partner, cashier } => *partner != SymbolId::EMPTY && *cashier != SymbolId::EMPTY,
        };
        if !is_named {
            return Err(FreezeError::BadName);
        }
        let has_reason = (1..=limits::REASON_CODE_BYTES_MAX).contains(&change.reason_code.len());
        if !has_reason || change.note.len() > limits::NOTE_BYTES_MAX {
            return Err(FreezeError::BadReason);
        }
        match (self.live(&change.subject), change.freezes) {
            (Some(_), true) => return Err(FreezeError::Frozen),
            (None, false) => return Err(FreezeError::NotFrozen),
            // Whatever is full: what is frozen can be thawed.
            (None, true) if self.begun_count >= self.most => return Err(FreezeError::Full),
            _ => {}
        }
        if self.latest().is_some_and(|latest| change.at <= latest) {
            return Err(FreezeError::NotLater);
        }
        Ok(())
    }

    /// Takes over a change that is journaled at a position; one that is known already is skipped.
    ///
    /// # Errors
    /// When it does not fit: the journal was altered.
    pub fn apply(&mut self, position: Position, change: FreezeChange) -> Result<(), FreezeError> {
        if self.changes.last().is_some_and(|(last, _)| position <= *last) {
            return Ok(());
        }
        self.check(&change)?;
        let place = self.changes.len();
        let places = match &change.subject {
            Subject::Account(id) => self.accounts.entry(id.clone()).or_default(),
            Subject::Terminal { partner, store, terminal } => {
                self.terminals.entry([*partner, *store, *terminal]).or_default()
            }
            Subject::Cashier { partner, cashier } => self.cashiers.entry([*partner, *cashier]).or_default(),
        };
        places.push(place);
        self.live_count = if change.freezes { self.live_count + 1 } else { self.live_count.saturating_sub(1) };
        self.begun_count += usize::from(change.freezes);
        self.changes.push((position, change));
        Ok(())
    }

    /// Feeds what decisions depend on; nothing where nothing was ever frozen.
    pub fn feed(&self, digester: &mut Digester) {
        if self.changes.is_empty() {
            return;
        }
        digester.count(self.changes.len());
        for (_, change) in &self.changes {
            match &change.subject {
                Subject::Account(id) => digester.number(1_u32).text(id),
                Subject::Terminal { partner, store, terminal } => {
                    digester.number(2_u32).number(partner.0).number(store.0).number(terminal.0)
                }
                Subject::Cashier { partner, cashier } => digester.number(3_u32).number(partner.0).number(cashier.0),
            };
            digester.number(u32::from(change.freezes)).number(change.at.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Activity, AuthorizationOf, Basket, Capture, Redemption, Reversal, SettingAside};
    use super::super::money::{Refund, TopUp};
    use super::super::unburn::Unburn;
    use super::*;

    const SHOP: SymbolId = SymbolId(1);
    const STORE: SymbolId = SymbolId(2);
    const TILL: SymbolId = SymbolId(3);
    const ANNA: SymbolId = SymbolId(4);

    fn change(subject: Subject, freezes: bool, at: i64) -> FreezeChange {
        FreezeChange {
            subject,
            freezes,
            at: TimestampNs(at),
            by: "key:1".into(),
            reason_code: "r".into(),
            note: "".into(),
        }
    }

    fn account(id: &str) -> Subject {
        Subject::Account(id.into())
    }

    fn till() -> Subject {
        Subject::Terminal { partner: SHOP, store: STORE, terminal: TILL }
    }

    fn cashier() -> Subject {
        Subject::Cashier { partner: SHOP, cashier: ANNA }
    }

    fn freezes(changes: &[(Subject, bool, i64)]) -> Freezes {
        let mut freezes = Freezes::default();
        for (position, (subject, is_frozen, at)) in (1..).zip(changes) {
            freezes.apply(Position(position), change(subject.clone(), *is_frozen, *at)).expect("it fits");
        }
        freezes
    }

    fn command(account: &str, kind: CommandKind) -> Command {
        Command { account_id: account.into(), partner: SHOP, kind, ..Command::default() }
    }

    fn basket(store: SymbolId, terminal: SymbolId, cashier: SymbolId) -> CommandKind {
        CommandKind::Accrue(Basket { store, terminal, cashier, ..Basket::default() })
    }

    #[test]
    fn a_freeze_holds_from_its_instant_to_that_of_its_end() {
        let freezes = freezes(&[(account("m1"), true, 10), (account("m1"), false, 20), (account("m1"), true, 30)]);
        for (at, is_frozen) in [(9, false), (10, true), (19, true), (20, false), (29, false), (30, true), (99, true)] {
            let refusal = freezes.refusal(&command("m1", CommandKind::Redeem(Redemption::default())), TimestampNs(at));
            assert_eq!(refusal, is_frozen.then_some(Refusal::AccountFrozen), "at {at}");
        }
        assert_eq!((freezes.live_count(), freezes.latest()), (1, Some(TimestampNs(30))));
        let list: Vec<_> =
            freezes.list(0).map(|(number, begun, ended)| (number, begun.0, ended.map(|end| end.0))).collect();
        assert_eq!(list, [(0, Position(1), Some(Position(2))), (2, Position(3), None)]);
        let of: Vec<_> = freezes.of(&account("m1")).map(|(begun, ended)| (begun.0, ended.map(|end| end.0))).collect();
        assert_eq!(of, [(Position(1), Some(Position(2))), (Position(3), None)]);
        assert_eq!(freezes.of(&account("m2")).count(), 0);
    }

    #[test]
    fn what_earns_or_burns_is_refused_and_nothing_else() {
        let all = freezes(&[(account("m1"), true, 1), (till(), true, 2), (cashier(), true, 3)]);
        let none = SymbolId::EMPTY;
        let elsewhere = SymbolId(9);
        let reversal = Reversal {
            original_transaction_id: "t".into(),
            original_position: Position(0),
            original: super::super::command::Granted::default(),
            part: None,
        };
        let top_up = |store, terminal| CommandKind::TopUp(TopUp { store, terminal, ..TopUp::default() });
        let refund = || CommandKind::Refund(Box::new(Refund::asked_of("t".into(), None)));
        let rows = [
            ("m1", top_up(none, none), Some(Refusal::AccountFrozen)),
            ("m1", refund(), Some(Refusal::AccountFrozen)),
            ("m1", CommandKind::Unburn(Unburn::default()), None),
            ("m2", top_up(STORE, TILL), Some(Refusal::TerminalFrozen)),
            ("m2", top_up(elsewhere, TILL), None),
            ("m2", refund(), None),
            ("m1", basket(STORE, TILL, ANNA), Some(Refusal::AccountFrozen)),
            ("m1", CommandKind::Act(Activity::default()), Some(Refusal::AccountFrozen)),
            ("m1", CommandKind::Redeem(Redemption::default()), Some(Refusal::AccountFrozen)),
            ("m1", CommandKind::Reverse(reversal), None),
            ("m1", CommandKind::Enrol(super::super::command::Enrolment::default()), None),
            ("m1", CommandKind::Authorize(SettingAside::default()), Some(Refusal::AccountFrozen)),
            ("m1", CommandKind::Capture(Capture::default()), Some(Refusal::AccountFrozen)),
            ("m1", CommandKind::Void(AuthorizationOf::default()), None),
            ("m1", CommandKind::Expire, None),
            ("m2", basket(STORE, TILL, ANNA), Some(Refusal::TerminalFrozen)),
            ("m2", basket(STORE, none, ANNA), Some(Refusal::CashierFrozen)),
            ("m2", basket(elsewhere, TILL, none), None),
            ("m2", basket(elsewhere, none, ANNA), Some(Refusal::CashierFrozen)),
            ("m2", CommandKind::Act(Activity::default()), None),
            ("", basket(STORE, none, none), None),
        ];
        for (account, kind, expected) in rows {
            let command = command(account, kind);
            assert_eq!(all.refusal(&command, TimestampNs(3)), expected, "{command:?}");
            let other = Command { partner: elsewhere, ..command };
            let of_account = expected.filter(|refusal| *refusal == Refusal::AccountFrozen);
            assert_eq!(all.refusal(&other, TimestampNs(3)), of_account, "of another partner: {other:?}");
        }
    }

    #[test]
    fn where_no_further_freeze_fits_those_that_are_there_can_end() {
        let mut freezes = Freezes::bounded(2);
        for (position, (subject, begins)) in
            (1..).zip([(account("m1"), true), (account("m1"), false), (account("m2"), true)])
        {
            let at = i64::try_from(position).unwrap();
            freezes.apply(Position(position), change(subject, begins, at)).unwrap();
        }
        assert_eq!(freezes.check(&change(till(), true, 9)), Err(FreezeError::Full));
        freezes.apply(Position(9), change(account("m2"), false, 9)).unwrap();
        assert_eq!((freezes.live_count(), freezes.check(&change(till(), true, 10))), (0, Err(FreezeError::Full)));
    }

    #[test]
    fn changes_that_do_not_fit_are_refused() {
        let known = freezes(&[(account("m1"), true, 10)]);
        let nameless = Subject::Terminal { partner: SHOP, store: STORE, terminal: SymbolId::EMPTY };
        let unreasoned = FreezeChange { reason_code: "".into(), ..change(till(), true, 11) };
        let long = FreezeChange { note: "n".repeat(limits::NOTE_BYTES_MAX + 1).into(), ..change(till(), true, 11) };
        let rows = [
            (change(account("m1"), true, 11), Err(FreezeError::Frozen)),
            (change(account("m2"), false, 11), Err(FreezeError::NotFrozen)),
            (change(account("m2"), true, 10), Err(FreezeError::NotLater)),
            (change(account(""), true, 11), Err(FreezeError::BadName)),
            (change(nameless, true, 11), Err(FreezeError::BadName)),
            (change(Subject::Cashier { partner: SymbolId::EMPTY, cashier: ANNA }, true, 11), Err(FreezeError::BadName)),
            (unreasoned, Err(FreezeError::BadReason)),
            (long, Err(FreezeError::BadReason)),
            (change(account("m1"), false, 11), Ok(())),
            (change(cashier(), true, 11), Ok(())),
        ];
        for (change, expected) in rows {
            assert_eq!(known.check(&change), expected, "{change:?}");
        }
    }

    #[test]
    fn the_digest_is_of_the_changes_and_of_nothing_where_there_are_none() {
        let digest = |freezes: &Freezes| {
            let mut digester = Digester::new("test");
            freezes.feed(&mut digester);
            digester.finish()
        };
        let rows = [
            freezes(&[]),
            freezes(&[(account("m1"), true, 10)]),
            freezes(&[(account("m1"), true, 11)]),
            freezes(&[(account("m1"), true, 10), (account("m1"), false, 12)]),
            freezes(&[(till(), true, 10)]),
            freezes(&[(cashier(), true, 10)]),
        ];
        let digests: Vec<_> = rows.iter().map(digest).collect();
        for (index, one) in digests.iter().enumerate() {
            assert_eq!(digests.iter().position(|other| other == one), Some(index));
        }
        assert_eq!(digests[0], Digester::new("test").finish());
    }
}
