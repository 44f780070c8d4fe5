//! Acts that wait for a second person: what was proposed, by whom, until when, and what became of it.
//!
//! Every proposal and every verdict is a record of the journal; what is kept here is what still waits.
//!
//! What must stay true: whoever proposed something does not confirm it; a verdict comes before the proposal's end, and
//! there is one; what waits is bounded, in number and in bytes; a change that [`Proposals::check`] does not let pass is
//! never journaled, and replay refuses it.

use std::collections::BTreeMap;

use crate::ledger::types::{Position, SymbolId, TimestampNs};
use crate::limits;

/// What can be made to wait for a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Granting or taking points by hand.
    Adjust = 1,
    /// Publishing a version of the programme.
    Publish = 2,
    /// Issuing and replacing keys. Revoking one never waits.
    Keys = 3,
    /// Freezing.
    Freeze = 4,
    /// Ending a freeze.
    Thaw = 5,
    /// Giving a voucher by hand.
    Voucher = 6,
}

impl Act {
    /// All acts, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Adjust, Self::Publish, Self::Keys, Self::Freeze, Self::Thaw, Self::Voucher];

    /// The permanent number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The act with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.number() == number)
    }

    /// The permanent name, as the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adjust => "adjust",
            Self::Publish => "publish",
            Self::Keys => "keys",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Voucher => "voucher",
        }
    }

    /// The act with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.name() == name)
    }
}

/// Which acts wait for a second person, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondPerson {
    /// The acts.
    pub acts: Vec<Act>,
    /// How long a proposal waits, in nanoseconds.
    pub wait_ns: i64,
}

impl SecondPerson {
    /// Whether an act waits.
    #[must_use]
    pub fn asks(&self, act: Act) -> bool {
        self.acts.contains(&act)
    }
}

/// An act that is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// From 1, without gaps.
    pub number: u32,
    /// What kind of act.
    pub act: Act,
    /// The partner that the act is in the name of, or [`SymbolId::EMPTY`].
    pub partner: SymbolId,
    /// The caller's id of the act; empty where it has none.
    pub transaction_id: Box<str>,
    /// Who proposes it, as the credential says.
    pub by: Box<str>,
    /// When.
    pub at: TimestampNs,
    /// From when on it cannot be confirmed.
    pub expires_at: TimestampNs,
    /// The act: the request as the wire has it, or the change of keys as the journal has it. At most
    /// [`limits::PROPOSAL_BYTES_MAX`].
    pub content: Box<[u8]>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub number: u32,
    /// Whether the act is done.
    pub confirms: bool,
    /// Who says so, as the credential says.
    pub by: Box<str>,
    /// When.
    pub at: TimestampNs,
    /// A sentence. At most [`limits::NOTE_BYTES_MAX`] bytes.
    pub note: Box<str>,
}

/// A change of what waits, as it is journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposalChange {
    /// Something was proposed.
    Proposed(Box<Proposal>),
    /// It was confirmed or rejected.
    Settled(Verdict),
}

/// Why a change cannot be. `Display` is a sentence without its full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// It is not there, or does not wait any more.
    #[error("no proposal {0} waits for a second person")]
    Unknown(u32),
    /// Whoever proposed it confirms it.
    #[error("a proposal is confirmed by somebody else than who made it")]
    SamePerson,
    /// Its number is not the next.
    #[error("proposals are numbered without gaps")]
    NotNext,
    /// It ends before it begins, or is empty or too large.
    #[error("a proposal has 1 to {} bytes and ends after it is made", limits::PROPOSAL_BYTES_MAX)]
    Unfit,
    /// Too many wait.
    #[error(
        "at most {} proposals wait at a time, {} of one person, and of programme files {} bytes, {} of one person",
        limits::PROPOSALS_PENDING_MAX,
        limits::PROPOSALS_OF_ONE_MAX,
        limits::LARGE_PROPOSALS_BYTES_MAX,
        limits::LARGE_PROPOSALS_OF_ONE_BYTES_MAX
    )]
    Full,
}

/// What waits for a second person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposals {
    pending: BTreeMap<u32, (Position, Proposal)>,
    /// Proposals that were ever made.
    count: u32,
    /// Changes that were ever made.
    change_count: u32,
    /// Where the last change lies.
    last: Option<Position>,
}

impl Proposal {
    /// Its bytes, if it is one of the large ones.
    fn large_bytes(&self) -> usize {
        let bytes = self.content.len();
        if bytes > limits::SMALL_PROPOSAL_BYTES_MAX { bytes } else { 0 }
    }
}

impl Proposals {
    /// What a snapshot kept.
    #[must_use]
    pub fn restored(pending: Vec<(Position, Proposal)>, count: u32, change_count: u32, last: Option<Position>) -> Self {
        let pending = pending.into_iter().map(|one| (one.1.number, one)).collect();
        Self { pending, count, change_count, last }
    }

    /// What waits, or waited when its time ran out, in the order of the numbers, with the positions of the records.
    pub fn iter(&self) -> impl Iterator<Item = &(Position, Proposal)> {
        self.pending.values()
    }

    /// A proposal that waits at a time.
    #[must_use]
    pub fn get(&self, number: u32, now: TimestampNs) -> Option<&(Position, Proposal)> {
        self.pending.get(&number).filter(|(_, proposal)| now < proposal.expires_at)
    }

    /// Proposals that were ever made.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Proposals and verdicts that were ever made.
    #[must_use]
    pub fn change_count(&self) -> u32 {
        self.change_count
    }

    /// Where the last change lies.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        self.last
    }

    /// Whether a change fits what there is.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, change: &ProposalChange) -> Result<(), ProposalError> {
        match change {
            ProposalChange::Proposed(proposal) => self.check_proposal(proposal),
            ProposalChange::Settled(verdict) => {
                let waiting = self.get(verdict.number, verdict.at).ok_or(ProposalError::Unknown(verdict.number))?;
                if verdict.note.len() > limits::NOTE_BYTES_MAX {
                    return Err(ProposalError::Unfit);
                }
                let is_same = verdict.confirms && waiting.1.by == verdict.by;
                if is_same { Err(ProposalError::SamePerson) } else { Ok(()) }
            }
        }
    }

    fn check_proposal(&self, proposal: &Proposal) -> Result<(), ProposalError> {
        if self.count.checked_add(1) != Some(proposal.number) {
            return Err(ProposalError::NotNext);
        }
        let fits = (1..=limits::PROPOSAL_BYTES_MAX).contains(&proposal.content.len());
        if !fits
            || proposal.expires_at <= proposal.at
            || proposal.transaction_id.len() > limits::TRANSACTION_ID_BYTES_MAX
        {
            return Err(ProposalError::Unfit);
        }
        let live = || self.iter().map(|(_, other)| other).filter(|other| proposal.at < other.expires_at);
        let own = || live().filter(|other| other.by == proposal.by);
        let is_full = live().count() >= limits::PROPOSALS_PENDING_MAX || own().count() >= limits::PROPOSALS_OF_ONE_MAX;
        // Programme files wait beside the rest, and nobody's beside nobody else's.
        let size = proposal.large_bytes();
        let is_full = is_full
            || size > 0
                && (live().map(Proposal::large_bytes).sum::<usize>() + size > limits::LARGE_PROPOSALS_BYTES_MAX
                    || own().map(Proposal::large_bytes).sum::<usize>() + size
                        > limits::LARGE_PROPOSALS_OF_ONE_BYTES_MAX);
        if is_full { Err(ProposalError::Full) } else { Ok(()) }
    }

    /// Takes over a change that is journaled at a position; one that is known already is skipped.
    ///
    /// # Errors
    /// When it does not fit: the journal was altered.
    pub fn apply(&mut self, position: Position, change: ProposalChange) -> Result<(), ProposalError> {
        if self.last.is_some_and(|last| position <= last) {
            return Ok(());
        }
        self.check(&change)?;
        match change {
            ProposalChange::Proposed(proposal) => {
                // What has run out makes room.
                self.pending.retain(|_, (_, other)| proposal.at < other.expires_at);
                self.count = proposal.number;
                self.pending.insert(proposal.number, (position, *proposal));
            }
            ProposalChange::Settled(verdict) => drop(self.pending.remove(&verdict.number)),
        }
        self.change_count = self.change_count.saturating_add(1);
        self.last = Some(position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(number: u32, by: &str) -> Proposal {
        Proposal {
            number,
            act: Act::Adjust,
            partner: SymbolId(1),
            transaction_id: "t".into(),
            by: by.into(),
            at: TimestampNs(100),
            expires_at: TimestampNs(200),
            content: Box::new([7]),
        }
    }

    fn proposed(proposal: Proposal) -> ProposalChange {
        ProposalChange::Proposed(Box::new(proposal))
    }

    fn settled(number: u32, confirms: bool, by: &str, at: i64) -> ProposalChange {
        ProposalChange::Settled(Verdict { number, confirms, by: by.into(), at: TimestampNs(at), note: Box::default() })
    }

    #[test]
    fn acts_keep_their_numbers_and_names() {
        for ((number, name), act) in (1..).zip(["adjust", "publish", "keys", "freeze", "thaw", "voucher"]).zip(Act::ALL)
        {
            assert_eq!((act.number(), act.name()), (number, name));
            assert_eq!((Act::from_number(number), Act::from_name(name)), (Some(act), Some(act)));
        }
        assert_eq!((Act::from_number(0), Act::from_number(7), Act::from_name("redeem")), (None, None, None));
    }

    #[test]
    fn a_proposal_is_confirmed_by_somebody_else_once_and_in_time() {
        let mut proposals = Proposals::default();
        proposals.apply(Position(1), proposed(proposal(1, "anna"))).unwrap();
        let rows = [
            (settled(1, true, "anna", 150), Err(ProposalError::SamePerson)),
            // What one has proposed one may take back.
            (settled(1, false, "anna", 150), Ok(())),
            (settled(1, true, "ben", 150), Ok(())),
            (settled(1, true, "ben", 200), Err(ProposalError::Unknown(1))),
            (settled(2, true, "ben", 150), Err(ProposalError::Unknown(2))),
            (proposed(proposal(1, "anna")), Err(ProposalError::NotNext)),
            (proposed(proposal(3, "anna")), Err(ProposalError::NotNext)),
            (proposed(Proposal { content: Box::default(), ..proposal(2, "anna") }), Err(ProposalError::Unfit)),
            (proposed(Proposal { expires_at: TimestampNs(100), ..proposal(2, "anna") }), Err(ProposalError::Unfit)),
            (proposed(proposal(2, "anna")), Ok(())),
        ];
        for (change, expected) in rows {
            assert_eq!(proposals.check(&change), expected, "{change:?}");
        }
        proposals.apply(Position(2), settled(1, true, "ben", 150)).unwrap();
        assert_eq!(proposals.apply(Position(3), settled(1, true, "eve", 150)), Err(ProposalError::Unknown(1)));
        // What is known already is skipped.
        assert_eq!(proposals.apply(Position(2), settled(1, true, "ben", 150)), Ok(()));
        assert_eq!((proposals.count(), proposals.change_count(), proposals.iter().count()), (1, 2, 0));
    }

    #[test]
    fn so_many_wait_of_all_people_together() {
        let mut proposals = Proposals::default();
        let most = u32::try_from(limits::PROPOSALS_PENDING_MAX).unwrap();
        // One person more than it takes, so that nobody has as many as one may have.
        let people = most / u32::try_from(limits::PROPOSALS_OF_ONE_MAX).unwrap() + 1;
        let by = |number: u32| format!("person {}", number % people);
        for number in 1..=most {
            let applied = proposals.apply(Position(u64::from(number)), proposed(proposal(number, &by(number))));
            assert_eq!(applied, Ok(()), "{number}");
        }
        let more = proposed(proposal(most + 1, "somebody else"));
        assert_eq!(proposals.check(&more), Err(ProposalError::Full));
        proposals.apply(Position(u64::from(most) + 1), settled(7, false, "ben", 150)).unwrap();
        assert_eq!(proposals.check(&more), Ok(()), "one waits no more");
    }

    #[test]
    fn what_waits_is_bounded_and_what_has_run_out_makes_room() {
        let mut proposals = Proposals::default();
        let most = u32::try_from(limits::PROPOSALS_OF_ONE_MAX).unwrap();
        for number in 1..=most {
            proposals.apply(Position(u64::from(number)), proposed(proposal(number, "anna"))).unwrap();
        }
        assert_eq!(proposals.check(&proposed(proposal(most + 1, "anna"))), Err(ProposalError::Full));
        assert_eq!(proposals.check(&proposed(proposal(most + 1, "ben"))), Ok(()));
        let (at, expires_at) = (TimestampNs(200), TimestampNs(300));
        let later = Proposal { at, expires_at, ..proposal(most + 1, "anna") };
        proposals.apply(Position(1_000), proposed(later)).unwrap();
        assert_eq!(proposals.iter().count(), 1);
        // Of what is large one person has so much waiting, and all together so much; what is small goes on.
        let large = Proposal { content: vec![0; limits::PROPOSAL_BYTES_MAX].into(), ..proposal(most + 2, "ben") };
        let large = Proposal { at, expires_at, ..large };
        let mut number = most + 2;
        for by in ["ben", "cora", "dan", "eve"] {
            for _ in 0..3 {
                let change = proposed(Proposal { number, by: by.into(), ..large.clone() });
                proposals.apply(Position(1_001 + u64::from(number)), change).unwrap();
                number += 1;
            }
            let fourth = Proposal { number, by: by.into(), ..large.clone() };
            assert_eq!(proposals.check(&proposed(fourth)), Err(ProposalError::Full), "{by}");
        }
        let next = Proposal { number, by: "fay".into(), ..large };
        assert_eq!(proposals.check(&proposed(next.clone())), Err(ProposalError::Full));
        let small = Proposal { content: vec![0; limits::SMALL_PROPOSAL_BYTES_MAX].into(), ..next };
        assert_eq!(proposals.check(&proposed(small)), Ok(()));
    }
}
