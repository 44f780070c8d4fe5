//! Replay: the journal's records turned back into state. Recovery, verification, export and the simulator's checks all
//! go through [`World::apply`], so that there is one meaning of a record.
//!
//! What must stay true: replay needs no rules, only the explicit effects; from empty it gives the digest that the live
//! ledger had, with any number of workers (invariant 5); over a snapshot it skips per entity what the entity has.

mod halves;
mod tally;

use crate::access::keys::Keys;
use crate::access::proposals::Proposals;
use crate::cells::Cells;
use crate::codec::DecodeError;
use crate::journal::JournalError;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::{FrameHash, FrameView, RecordView};
use crate::journal::record::{Opening, Publication, Record, decode};
use crate::ledger::digest::{Digest, Digester, shard_digest};
use crate::ledger::freeze::Freezes;
use crate::ledger::packed::Unpacked;
use crate::ledger::state::ShardState;
use crate::ledger::types::{Position, Seq, ShardId, TimestampNs};
use crate::ledger::zone::utc_day;
use crate::program::registry::Programs;

pub use halves::{Common, Halves, KnownSymbols, Lane, compile_published};
pub use tally::{Difference, Tally};

/// All state that the journal determines.
#[derive(Debug)]
pub struct World {
    /// The virtual shards, in order.
    pub shards: Vec<ShardState>,
    /// The shared cells.
    pub cells: Cells,
    /// Strings and items.
    pub dictionary: Dictionary,
    /// Versions of the programme.
    pub programs: Programs,
    /// The publications, in the order of their versions.
    pub publications: Vec<(Position, Publication)>,
    /// The keys that were issued, and what became of them. No decision depends on them, so they are not in the digest.
    pub keys: Keys,
    /// What was frozen when.
    pub freezes: Freezes,
    /// What waits for a second person. No decision depends on it, so it is not in the digest.
    pub proposals: Proposals,
    /// The last record of the control shard.
    pub control_seq: Seq,
    /// The last opening replayed; `None` when replay began after it.
    pub opening: Option<Opening>,
    /// The epoch of the last frame applied; 0 in an empty journal.
    pub epoch: u64,
    /// One past the last record applied.
    pub end: Position,
    /// The hash of the last frame applied.
    pub hash: FrameHash,
    /// Memory to unpack accounts in.
    pub unpacked: Unpacked,
    /// Per shard: what its accounts hold, where that is to be compared; else empty.
    pub tallies: Vec<Tally>,
}

/// The release of the time-zone database by whose rules versions are compiled here: the one in this binary.
#[must_use]
pub fn time_zone_release() -> &'static str {
    crate::program::time_zone_release()
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(shard_count: u16) -> Self {
        Self {
            shards: (0..shard_count).map(|number| ShardState::new(ShardId(number))).collect(),
            cells: Cells::default(),
            dictionary: Dictionary::new(),
            programs: Programs::default(),
            publications: Vec::new(),
            keys: Keys::default(),
            freezes: Freezes::default(),
            proposals: Proposals::default(),
            control_seq: Seq(0),
            opening: None,
            epoch: 0,
            end: Position(0),
            hash: [0; 32],
            unpacked: Unpacked::default(),
            tallies: Vec::new(),
        }
    }

    /// Applies the records of the next frame. `see` is shown each record before it is applied.
    ///
    /// # Errors
    /// When the frame does not follow the one before, a record cannot be decoded, or `see` fails.
    pub fn apply_frame(
        &mut self,
        frame: &FrameView<'_>,
        mut see: impl FnMut(&Self, &RecordView<'_>, &Record) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        frame.check_follows(self.end, &self.hash)?;
        frame.for_each(|view| -> Result<(), JournalError> {
            let record = decode(view.bytes, &self.dictionary).map_err(|fault| record_error(view, fault))?;
            see(self, view, &record)?;
            self.apply(view, record).map_err(|fault| record_error(view, fault))
        })?;
        self.end = frame.end();
        self.hash = frame.hash;
        self.epoch = frame.header.epoch;
        Ok(())
    }

    /// Applies one record.
    ///
    /// # Errors
    /// When it does not fit the state: the journal is damaged or was altered.
    pub fn apply(&mut self, view: &RecordView<'_>, record: Record) -> Result<(), DecodeError> {
        let Halves { mut common, mut lane, unpacked } = self.halves();
        match record {
            Record::Entry(entry) => lane.apply(view, &entry, unpacked),
            record => common.apply(view, record),
        }
    }

    /// The state in two halves, which may be in the hands of different threads.
    pub fn halves(&mut self) -> Halves<'_> {
        let common = Common {
            dictionary: &self.dictionary,
            programs: &mut self.programs,
            publications: &mut self.publications,
            keys: &mut self.keys,
            freezes: &mut self.freezes,
            proposals: &mut self.proposals,
            control_seq: &mut self.control_seq,
            opening: &mut self.opening,
        };
        let lane = Lane { first: 0, shards: &mut self.shards, tallies: &mut self.tallies, cells: &self.cells };
        Halves { common, lane, unpacked: &mut self.unpacked }
    }

    /// Takes a version of the programme from the journal or a snapshot; one that is known already is skipped.
    ///
    /// # Errors
    /// When versions are missing or the source does not compile.
    pub fn restore_publication(&mut self, position: Position, publication: Publication) -> Result<(), DecodeError> {
        self.halves().common.restore_publication(position, publication)
    }

    /// The latest time at which anything was posted, or was frozen or thawed, in nanoseconds; the smallest before the
    /// first.
    #[must_use]
    pub fn latest_stamp(&self) -> i64 {
        let posted = self.shards.iter().map(|shard| shard.posted_at).max();
        posted.max(self.freezes.latest()).map_or(i64::MIN, |latest| latest.0)
    }

    /// The digest of everything that decisions depend on.
    #[must_use]
    pub fn digest(&self) -> Digest {
        world_digest(&self.shards, &self.cells, &self.dictionary, &self.programs, &self.freezes)
    }
}

/// The digest of a whole state: shards in order, cells, the size of the dictionary, the programmes' sources and what was
/// frozen when.
#[must_use]
pub fn world_digest(
    shards: &[ShardState],
    cells: &Cells,
    dictionary: &Dictionary,
    programs: &Programs,
    freezes: &Freezes,
) -> Digest {
    let latest = shards.iter().map(|shard| shard.posted_at).max().unwrap_or(TimestampNs(i64::MIN));
    digest_of_shards(shards.iter().map(shard_digest), latest, cells, dictionary, programs, freezes)
}

/// The digest of a whole state whose shards were digested where they live, given in the order of the shards, with the
/// latest posting time of any.
#[must_use]
pub fn digest_of_shards(
    shards: impl ExactSizeIterator<Item = Digest>,
    latest: TimestampNs,
    cells: &Cells,
    dictionary: &Dictionary,
    programs: &Programs,
    freezes: &Freezes,
) -> Digest {
    let mut digester = Digester::new("tallystick 2026 state v1");
    digester.count(shards.len());
    for shard in shards {
        digester.digest(&shard);
    }
    cells.feed(&mut digester, utc_day(latest));
    let (symbol_count, item_count) = dictionary.counts();
    digester.number(symbol_count).number(item_count);
    for program in programs.iter() {
        digester.number(program.version.0).number(program.effective_at.0).digest(&Digest(program.source_hash));
    }
    freezes.feed(&mut digester);
    digester.finish()
}

/// Names the place of a record that cannot be right.
#[must_use]
pub fn record_error(view: &RecordView<'_>, fault: DecodeError) -> JournalError {
    JournalError::Record { position: view.position, from: view.offset, to: view.offset + view.bytes.len(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::{ProgramVersion, SymbolId};
    use crate::program::{self, SymbolTable};

    /// The file lacks sentences that no file could have when it was published.
    #[test]
    fn a_version_that_was_published_before_more_was_asked_of_files_opens() {
        let source = include_str!("../../tests/golden/program-before-stamps.toml");
        let (version, effective_at, mut symbols) = (ProgramVersion(1), TimestampNs(5), SymbolTable::new());
        program::compile_published(source, version, effective_at, &mut symbols).unwrap();
        let mut world = World::new(1);
        for (number, text) in (1..).map_while(|number| Some((number, symbols.text(SymbolId(number))?))) {
            world.dictionary.restore_symbol(SymbolId(number), text).unwrap();
        }
        let publication = Publication {
            version,
            effective_at,
            posted_at: TimestampNs(4),
            partner: SymbolId::EMPTY,
            transaction_id: Box::default(),
            source: source.into(),
            actor: Box::default(),
        };
        world.restore_publication(Position(0), publication).unwrap();
        assert_eq!(world.programs.in_force(effective_at).unwrap().stamps.len(), 0);
    }
}
