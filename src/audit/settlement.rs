//! What partners have issued and taken, at one position of the journal, added up over all shards.
//!
//! Two ways lead there, and to the same sums. From empty, each record is added up, without any account. Or each shard
//! tells how it stands, at whatever record it is, and the records that the journal has up to the position are added to
//! that; a shard skips what it has.
//!
//! What must stay true: exactly the records up to the position count, of all shards; memory holds the partners'
//! sub-accounts and no account.

use std::ops::ControlFlow;

use crate::codec::DecodeError;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::RecordView;
use crate::journal::record::{Record, decode};
use crate::journal::{Journal, JournalError};
use crate::ledger::partner::Standing;
use crate::ledger::types::Position;
use crate::replay::{World, record_error};

/// The partners at one position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The last record that counts; `None` if there is none.
    pub position: Option<Position>,
    /// All shards together.
    pub sum: Standing,
}

impl Settlement {
    /// Adds up shards of which every record before `end` counts, and none after it.
    #[must_use]
    pub fn at(end: Position, shards: &[Standing]) -> Self {
        let mut sum = Standing::default();
        shards.iter().for_each(|shard| sum.add(shard));
        Self { position: end.0.checked_sub(1).map(Position), sum }
    }

    /// Whether the sub-accounts agree: what is outstanding is what was issued less what became of it, and what acceptors
    /// burned is what issuers lost.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let mut issuers = self.sum.accounts.issuers();
        issuers.all(|(_, issuer)| issuer.outstanding() == -issuer.balance) && self.sum.accounts.is_whole()
    }
}

/// Adds the records from one position to before another to shards that may have some of them.
///
/// # Errors
/// When the journal cannot be read or is damaged.
pub fn advance(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    shards: &mut [Standing],
    from: Position,
    end: Position,
) -> Result<(), JournalError> {
    if from >= end {
        return Ok(());
    }
    journal.read(from, &mut |frame| {
        frame.for_each(|view| {
            if view.position >= end {
                return Ok(());
            }
            let record = decode(view.bytes, dictionary).map_err(|fault| record_error(view, fault))?;
            add(shards, view, &record).map_err(|fault| record_error(view, fault))
        })?;
        Ok(if frame.end() < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })
}

/// Adds up the journal from its beginning to before a position, or to its end where that is earlier. `progress` is told,
/// frame by frame, the position reached and the one to reach, and can break it off; then there is no settlement. Also
/// tells what the control shard says, for names.
///
/// # Errors
/// When the journal cannot be read or is damaged.
pub fn settle(
    journal: &dyn Journal,
    shard_count: u16,
    end: Option<Position>,
    progress: &mut dyn FnMut(Position, Position) -> ControlFlow<()>,
) -> Result<Option<(Settlement, World)>, JournalError> {
    let (durable, _) = journal.end()?;
    let end = end.map_or(durable, |end| end.min(durable));
    let mut world = World::new(shard_count);
    let mut shards = vec![Standing::default(); usize::from(shard_count)];
    let mut is_broken_off = false;
    if end > Position(0) {
        journal.read(Position(0), &mut |frame| {
            frame.check_follows(world.end, &world.hash)?;
            frame.for_each(|view| {
                let record = decode(view.bytes, &world.dictionary).map_err(|fault| record_error(view, fault))?;
                // Names are needed whenever they are used, and say nothing about partners' units.
                let applied = match &record {
                    Record::Entry(_) if view.position >= end => Ok(()),
                    Record::Entry(_) => add(&mut shards, view, &record),
                    _ => world.apply(view, record),
                };
                applied.map_err(|fault| record_error(view, fault))
            })?;
            (world.end, world.hash) = (frame.end(), frame.hash);
            is_broken_off = progress(world.end.min(end), end).is_break();
            let goes_on = !is_broken_off && world.end < end;
            Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    Ok((!is_broken_off).then(|| (Settlement::at(end, &shards), world)))
}

fn add(shards: &mut [Standing], view: &RecordView<'_>, record: &Record) -> Result<(), DecodeError> {
    let Record::Entry(entry) = record else { return Ok(()) };
    let shard = shards.get_mut(usize::from(view.shard.0)).ok_or(DecodeError::Contradiction)?;
    shard.apply(view.seq, entry.posted_at, entry.command.partner, &entry.decision.effects);
    Ok(())
}
