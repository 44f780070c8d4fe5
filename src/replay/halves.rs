//! The two halves of a replayed state: what records of the control shard change, and what the records of other shards
//! do. Recovery gives the second to several threads, each with shards of its own.
//!
//! What must stay true: a record of one half neither reads nor changes what is the other's, but for the dictionary, which
//! only grows; what records leave in shared cells is a sum and two largest values, so it is the same in any order.

use std::sync::Arc;

use super::tally::Tally;
use crate::access::keys::Keys;
use crate::access::proposals::Proposals;
use crate::cells::Cells;
use crate::codec::DecodeError;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::RecordView;
use crate::journal::record::{Entry, Opening, Publication, Record};
use crate::ledger::freeze::Freezes;
use crate::ledger::packed::Unpacked;
use crate::ledger::program::Program;
use crate::ledger::state::{Change, ShardState};
use crate::ledger::types::{Position, Seq, ShardId, SymbolId};
use crate::program::registry::Programs;
use crate::program::{self, Symbols, SymbolsFull};

/// Finds the numbers of strings that the journal must have defined; never gives new ones.
pub struct KnownSymbols<'a>(pub &'a Dictionary);

impl Symbols for KnownSymbols<'_> {
    fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
        self.0.find(text).ok_or(SymbolsFull)
    }
}

/// Compiles a version that was published before, with the numbers it had then.
///
/// # Errors
/// When the source does not compile or names strings that the journal has not defined.
pub fn compile_published(publication: &Publication, dictionary: &Dictionary) -> Result<Arc<Program>, DecodeError> {
    let symbols = &mut KnownSymbols(dictionary);
    program::compile_published(&publication.source, publication.version, publication.effective_at, symbols)
        .map(Arc::new)
        .map_err(|_| DecodeError::Contradiction)
}

/// What a world falls into: see [`super::World::halves`].
pub struct Halves<'a> {
    /// What records of the control shard change.
    pub common: Common<'a>,
    /// All shards, with the cells.
    pub lane: Lane<'a>,
    /// Memory to unpack accounts in.
    pub unpacked: &'a mut Unpacked,
}

/// What all shards share, but for the cells.
pub struct Common<'a> {
    /// Strings and items.
    pub dictionary: &'a Dictionary,
    pub(super) programs: &'a mut Programs,
    pub(super) publications: &'a mut Vec<(Position, Publication)>,
    pub(super) keys: &'a mut Keys,
    pub(super) freezes: &'a mut Freezes,
    pub(super) proposals: &'a mut Proposals,
    pub(super) control_seq: &'a mut Seq,
    pub(super) opening: &'a mut Option<Opening>,
}

impl Common<'_> {
    /// Applies a record of the control shard.
    ///
    /// # Errors
    /// When it is none, or does not fit the state: the journal is damaged or was altered.
    pub fn apply(&mut self, view: &RecordView<'_>, record: Record) -> Result<(), DecodeError> {
        if view.shard != ShardId::CONTROL || matches!(record, Record::Entry(_)) {
            return Err(DecodeError::Contradiction);
        }
        if view.seq > *self.control_seq {
            if view.seq != self.control_seq.next() {
                return Err(DecodeError::Contradiction);
            }
            *self.control_seq = view.seq;
        }
        match record {
            Record::Entry(_) => unreachable!("refused above"),
            Record::Opening(opening) => {
                *self.opening = Some(opening);
                Ok(())
            }
            Record::Symbol(id, text) => self.dictionary.restore_symbol(id, &text),
            Record::Item(id, item) => self.dictionary.restore_item(id, &item),
            Record::Program(publication) => self.restore_publication(view.position, publication),
            Record::Key(change) => self.keys.apply(view.position, change).map_err(|_| DecodeError::Contradiction),
            Record::Proposal(change) => {
                self.proposals.apply(view.position, change).map_err(|_| DecodeError::Contradiction)
            }
            Record::Freeze(change) => self.freezes.apply(view.position, change).map_err(|_| DecodeError::Contradiction),
        }
    }

    /// See [`super::World::restore_publication`].
    ///
    /// # Errors
    /// When versions are missing or the source does not compile.
    pub fn restore_publication(&mut self, position: Position, publication: Publication) -> Result<(), DecodeError> {
        let known = self.publications.len() as u64;
        if u64::from(publication.version.0) <= known {
            return Ok(());
        }
        if u64::from(publication.version.0) != known + 1 {
            return Err(DecodeError::Contradiction);
        }
        let program = compile_published(&publication, self.dictionary)?;
        self.programs.append(program).map_err(|_| DecodeError::Contradiction)?;
        self.publications.push((position, publication));
        Ok(())
    }
}

/// Shards that follow each other, and the cells that all share.
pub struct Lane<'a> {
    /// The number of the first shard.
    pub first: usize,
    /// The shards.
    pub shards: &'a mut [ShardState],
    /// What their accounts hold; empty where nobody adds that up.
    pub tallies: &'a mut [Tally],
    /// Counters that many accounts share.
    pub cells: &'a Cells,
}

impl<'a> Lane<'a> {
    /// Divides the shards into so many lanes of about the same length, in their order; fewer where there are fewer shards.
    #[must_use]
    pub fn divide(self, lane_count: usize) -> Vec<Self> {
        let Self { first, shards, tallies, cells } = self;
        let length = shards.len().div_ceil(lane_count.max(1)).max(1);
        let mut tallies = tallies.chunks_mut(length);
        let part = |(index, shards)| {
            let tallies = tallies.next().unwrap_or_default();
            Lane { first: first + index * length, shards, tallies, cells }
        };
        shards.chunks_mut(length).enumerate().map(part).collect()
    }

    /// The shard with this number.
    pub fn shard(&mut self, id: ShardId) -> Option<&mut ShardState> {
        self.shards.get_mut(usize::from(id.0).checked_sub(self.first)?)
    }

    /// What the accounts of the shard with this number hold, where somebody adds that up.
    pub fn tally(&mut self, id: ShardId) -> Option<&mut Tally> {
        self.tallies.get_mut(usize::from(id.0).checked_sub(self.first)?)
    }

    /// Applies the record of an account. `unpacked` is memory to unpack it in, and may hold it.
    ///
    /// # Errors
    /// When it does not fit the state: the journal is damaged or was altered.
    pub fn apply(&mut self, view: &RecordView<'_>, entry: &Entry, unpacked: &mut Unpacked) -> Result<(), DecodeError> {
        let shard = self.shard(view.shard).ok_or(DecodeError::Contradiction)?;
        let change = Change {
            seq: view.seq,
            position: Some(view.position),
            posted_at: entry.posted_at,
            account: entry.account,
            account_id: &entry.command.account_id,
            partner: entry.command.partner,
            decision: &entry.decision,
        };
        if !shard.accepts(&change, unpacked) {
            return Err(DecodeError::Contradiction);
        }
        let is_news = shard.packed(entry.account).is_none_or(|account| view.seq > account.seq);
        shard.apply_unpacked(&change, unpacked);
        if is_news && let Some(tally) = self.tally(view.shard) {
            tally.change(&entry.decision.effects.lots);
        }
        for taken in entry.decision.uses() {
            self.cells.restore_use(taken);
        }
        Ok(())
    }
}
