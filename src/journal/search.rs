//! Searching the journal for what looks like fraud, a bounded piece at a time.
//!
//! What must stay true: a search looks at a bounded number of records and says where it goes on; it leaves out nothing
//! in between.

use std::ops::ControlFlow;

use super::dictionary::Dictionary;
use super::frame::RecordView;
use super::record::{decode, is_over_velocity};
use super::walk::{Located, damaged};
use super::{Journal, JournalError};
use crate::ledger::types::{Position, TimestampNs};

/// Records that a search looks at before it says where it goes on, the frame that it is in apart.
pub const RECORDS_LOOKED_AT_MAX: usize = 65_536;

/// What a search found, in the order of the journal, and where it goes on; `None` at the end of the journal.
#[derive(Debug, Default)]
pub struct Found {
    /// The records.
    pub records: Vec<Located>,
    /// Where it goes on.
    pub next: Option<Position>,
}

/// Baskets and activities that a velocity cap denied their units, from a position on.
///
/// # Errors
/// When a frame cannot be read or is damaged.
pub fn over_velocity(
    journal: &dyn Journal,
    dictionary: &Dictionary,
    from: Position,
    count_max: usize,
) -> Result<Found, JournalError> {
    let mut found = Found::default();
    let mut looked_at = 0;
    let (end, _) = journal.end()?;
    if from >= end {
        return Ok(found);
    }
    journal.read(from, &mut |frame| {
        frame.for_each(|view| -> Result<(), JournalError> {
            looked_at += 1;
            let is_wanted = view.position >= from && is_over_velocity(view.bytes);
            if !is_wanted || found.next.is_some() {
                return Ok(());
            }
            if found.records.len() == count_max {
                found.next = Some(view.position);
                return Ok(());
            }
            let RecordView { position, shard, seq, .. } = *view;
            let record = decode(view.bytes, dictionary).map_err(|fault| damaged(view, fault))?;
            found.records.push(Located { position, shard, seq, record });
            Ok(())
        })?;
        if found.next.is_none() && looked_at >= RECORDS_LOOKED_AT_MAX && frame.end() < end {
            found.next = Some(frame.end());
        }
        Ok(if found.next.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// The first record that was committed at a time or later, as the machine's clock told it then; the end of the journal if
/// there is none.
///
/// # Errors
/// When a frame cannot be read or is damaged.
pub fn first_committed_at(journal: &dyn Journal, at: TimestampNs) -> Result<Position, JournalError> {
    let (end, _) = journal.end()?;
    let (mut low, mut high) = (Position(0), end);
    while low < high {
        let middle = Position(low.0 + (high.0 - low.0) / 2);
        let mut looked = None;
        journal.read(middle, &mut |frame| {
            looked = Some((frame.header.position, frame.end(), frame.header.committed_at));
            Ok(ControlFlow::Break(()))
        })?;
        let Some((begins, ends, committed_at)) = looked else { return Ok(high) };
        if committed_at < at {
            low = ends;
        } else {
            high = begins.min(middle);
        }
    }
    Ok(low)
}
