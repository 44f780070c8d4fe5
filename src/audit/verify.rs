//! Verification: the whole journal, replayed from empty and judged record by record.
//!
//! What is checked, in this order for each frame and record; the first problem ends the reading:
//!
//! 1. *Frame*: magic, format, length, hash; it lies under its own position, follows the one before without a gap, and
//!    holds that one's hash; its engine is known; epochs ascend, and each begins with the record that opens it.
//! 2. *Record*: it can be read, has the one form that its content has, names only strings, items and accounts that were
//!    defined before it, and lies within the limits that the edge keeps.
//! 3. *Order*: in every shard the numbers follow each other, posting times never go back, accounts are numbered as they
//!    are opened and live in the shard that their id hashes to, and each record names its account's previous record.
//! 4. *Programme*: versions are published in order, none takes effect before something that was decided already, none
//!    with another time zone before the date of a receipt that has earned, and the version that judged a command was the one in
//!    force at its event time.
//! 5. *Decision*: every command is decided again, with the room in budgets that its record says it found, and the whole
//!    decision is compared: outcome, rules of the lines, clips, uses, counters, lot, balance.
//! 6. *Reversals*: the original lies before, is a granted accrual of the same account, partner and transaction id, and
//!    did what the reversal undoes. So of a review, what was held; of a restoration, what died; and of a capture or a
//!    void, the authorization.
//! 7. *Once*: no transaction id of a partner occurs twice; no accrual is reversed twice, nothing held is
//!    released twice, no expiry comes back twice; a receipt earns again only after
//!    it was reversed.
//! 8. *Budgets*: each use of a cell occurs once, but for what is given back to one that may have been forgotten; in the
//!    order of the uses, none found more room than the limit in force for it minus what was taken before, and the sum never
//!    exceeds that limit, but for what a cap holds.
//! 9. *Balance*: what the account of a record gains, a partner's sub-account loses; in the end what
//!    accounts hold of each partner's units is what it issued less what became of that, and what partners burned of
//!    each other's units is what was burned.
//!
//! Days and windows are those of the time-zone rules in this binary. Each epoch states by which it was decided: where that is
//! another release, the report says so, which may explain a decision that differs, and is no finding.
//!
//! Then, of the whole: the high-water mark fits, and the state recovered over the snapshot has the same digest.
//!
//! What is not checked: that a budget's room was not understated (a return that was not durable yet looks the same);
//! that a name means what the caller meant; the index of ids on disk, which the journal can rebuild; and what lies
//! behind the high-water mark can have been cut off unseen.
//!
//! Where there is no memory for all ids, the history is read again for the seventh of these: see `once`. What is found is the
//! same as if there were.
//!
//! What must stay true: nothing is written; memory is bounded by the state and by [`VerifyOptions::memory_bytes`].

use std::ops::ControlFlow;
use std::sync::Arc;

use super::judge::Judge;
use super::once::Once;
use super::report::Place;
pub use super::report::{Finding, FindingClass, KindCounts, SnapshotCheck, TimeZoneRelease, VerifyReport, WalletSum};
use crate::journal::frame::FrameView;
use crate::journal::log::StoreJournal;
use crate::journal::record::{Record, decode};
use crate::journal::{Journal, JournalError, VisitFrame};
use crate::ledger::account::Account;
use crate::ledger::digest::Digest;
use crate::ledger::types::{Position, WalletId};
use crate::recovery::identity::{Identity, IdentityError};
use crate::recovery::{RecoveryError, recover_state};
use crate::replay::{World, time_zone_release};
use crate::store::{Store, StoreError};

/// How to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Memory for the ids that are looked for a second time. A history whose ids all have room, 31 to 62 bytes each, is read
    /// once; one with about a byte of memory for each, or more, twice; beyond that it is read several times.
    pub memory_bytes: u64,
    /// Whether the state recovered over the snapshot is compared.
    pub check_snapshot: bool,
}

impl VerifyOptions {
    /// [`VerifyOptions::memory_bytes`] when nothing else is said.
    pub const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { memory_bytes: Self::MEMORY_BYTES_DEFAULT, check_snapshot: true }
    }
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which reading of the journal this is, from 1.
    pub number: u64,
    /// How many there are. During the first it is known only where that is the only one.
    pub count: Option<u64>,
    /// One past the last record that this reading has read.
    pub reached: Position,
}

/// Told how far a verification has come, and where its readings end.
pub type OnReading<'a> = dyn FnMut(Reading, Position) + 'a;

/// Why nothing can be said about a data directory. `Display` is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no identity, so nothing says how many shards there are and how ids are hashed.
    #[error("this is not a data directory: it has no identity")]
    NoIdentity,
}

/// Told the position reached and the position to reach.
pub type OnProgress<'a> = dyn FnMut(Position, Position) + 'a;

/// Verifies a data directory. Damage and forgery are findings of the report, not errors.
///
/// # Errors
/// When the store cannot be read for a reason that is not the damage of what it holds, or there is no identity.
pub fn verify(
    store: &Arc<dyn Store>,
    options: &VerifyOptions,
    on_reading: &mut OnReading<'_>,
) -> Result<VerifyReport, VerifyError> {
    let identity = Identity::read(&**store)?.ok_or(VerifyError::NoIdentity)?;
    let journal = StoreJournal::new(store.clone());
    let mut report = VerifyReport::default();
    let known_end = known_end(&journal)?;
    // For progress, which can do without.
    let end = known_end.unwrap_or(Position(0));

    let once = Once::new(identity.id_hasher(), known_end, options.memory_bytes);
    let count = once.is_whole().then_some(1);
    let mut judge = Judge::new(&journal, &identity, once);
    let read = read_frames(|visit| journal.read(Position(0), visit), &mut |frame| {
        judge.frame(frame)?;
        on_reading(Reading { number: 1, count, reached: judge.world.end }, end);
        Ok(ControlFlow::Continue(()))
    })?;
    let judged = read.map_or_else(|| judge.finish(), Err);
    state_figures(&mut report, &judge);
    let Judge { world, once, .. } = judge;
    // Of what was shown it would have been the first.
    let used_again = find_second_use(&journal, &world, once, end, on_reading)?;
    let is_whole = match used_again.or(judged.err()) {
        Some(finding) => {
            report.note(finding);
            false
        }
        None => {
            report.digest = Some(world.digest().to_string());
            true
        }
    };
    check_mark(&journal, &world, &mut report)?;
    if is_whole && options.check_snapshot && report.findings.is_empty() {
        check_snapshot(store, &identity, world.digest(), world.end, &mut report)?;
    }
    report.intact = report.findings.is_empty();
    Ok(report)
}

/// Where the journal seems to end: for progress, and for how much memory is worth having. `None` where nothing says it.
fn known_end(journal: &StoreJournal) -> Result<Option<Position>, JournalError> {
    match journal.end() {
        Ok((end, _)) => Ok(Some(end)),
        // The reading comes to it and says what is wrong.
        Err(JournalError::Frame(error)) if error.position > Position(0) => Ok(Some(error.position)),
        // A key that is none stands for no position. Much may lie before it, and the mark knows how much.
        Err(JournalError::Frame(_) | JournalError::Store(StoreError::Damaged { .. })) => {
            match journal.read_high_water() {
                Ok(mark) => Ok(mark.map(|mark| mark.end)),
                Err(JournalError::Store(StoreError::Damaged { .. })) => Ok(None),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Has a reading show frames to the visitor until that finds something or has enough, or the journal cannot be read further.
fn read_frames(
    read: impl FnOnce(&mut VisitFrame<'_>) -> Result<(), JournalError>,
    visit: &mut dyn FnMut(&FrameView<'_>) -> Result<ControlFlow<()>, Finding>,
) -> Result<Option<Finding>, JournalError> {
    let mut found = None;
    let mut read_to = Position(0);
    let outcome = read(&mut |frame| {
        read_to = frame.end();
        Ok(visit(frame).unwrap_or_else(|finding| {
            found = Some(finding);
            ControlFlow::Break(())
        }))
    });
    match outcome {
        Ok(()) => Ok(found),
        Err(error) => Finding::of_journal(error, read_to).map(Some),
    }
}

/// Reads again what was shown of the history, for the ids that the first reading could not remember: the first that was used
/// again, as if it could.
fn find_second_use(
    journal: &StoreJournal,
    world: &World,
    mut once: Once,
    end: Position,
    on_reading: &mut OnReading<'_>,
) -> Result<Option<Finding>, JournalError> {
    let Some((mut until, _)) = once.shown() else { return Ok(None) };
    let part_count = once.end_first();
    let mut first: Option<((u64, u8), Finding)> = None;
    for part in 0..part_count {
        once.begin_part(part, part_count);
        let found = read_ids(journal, world, &mut once, until, &mut |reached| {
            on_reading(Reading { number: part + 2, count: Some(part_count + 1), reached }, end);
        })?;
        let Some(finding) = found else { continue };
        // Two ids of one record can be in different parts.
        let place = (finding.position, once.shown().map_or(0, |(_, looked_at)| looked_at));
        if first.as_ref().is_none_or(|(earlier, _)| place < *earlier) {
            until = Position(finding.position);
            first = Some((place, finding));
        }
    }
    Ok(first.map(|(_, finding)| finding))
}

/// Reads the history once more, up to a record, for a part of the ids. It has been judged: only ids are looked at, and what is
/// wrong behind that record is for the first reading to say.
fn read_ids(
    journal: &StoreJournal,
    world: &World,
    once: &mut Once,
    until: Position,
    on_progress: &mut dyn FnMut(Position),
) -> Result<Option<Finding>, JournalError> {
    let mut is_there = false;
    let found = read_frames(|visit| journal.sweep(Position(0), visit), &mut |frame| {
        frame.for_each(|view| {
            if view.position > until {
                return Ok(());
            }
            is_there |= view.position == until;
            let place = Place::of(frame.header.position, view);
            match decode(view.bytes, &world.dictionary) {
                Ok(Record::Entry(entry)) => once.entry(&world.dictionary, &entry, place),
                Ok(Record::Program(publication)) => once.publication(&world.dictionary, &publication, place),
                Ok(
                    Record::Opening(_)
                    | Record::Symbol(..)
                    | Record::Item(..)
                    | Record::Key(_)
                    | Record::Freeze(_)
                    | Record::Proposal(_),
                ) => Ok(()),
                Err(fault) => Err(place.finding(FindingClass::Record, fault.to_string())),
            }
        })?;
        on_progress(frame.end());
        // The frame behind it is not so much as looked at: it need not be whole.
        Ok(if frame.end() > until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found.filter(|found| found.class == FindingClass::Once || !is_there))
}

fn state_figures(report: &mut VerifyReport, judge: &Judge<'_>) {
    let world = &judge.world;
    let counts = judge.counts;
    report.frame_count = judge.frame_count;
    report.records = counts;
    report.record_count = counts.total();
    report.account_count = world.shards.iter().map(|shard| shard.accounts().len() as u64).sum();
    report.end_position = world.end.0;
    report.epoch_count = judge.epoch_count;
    report.last_epoch = world.epoch;
    report.wallets = wallets(world);
    report.state_time_zones(time_zone_release(), &judge.time_zones);
}

fn wallets(world: &World) -> Vec<WalletSum> {
    let Some(program) = world.programs.latest() else { return Vec::new() };
    let partners: Vec<_> = world.shards.iter().flat_map(|shard| shard.partners.issuers()).collect();
    let sum_of = |(index, wallet): (usize, &crate::ledger::program::Wallet)| {
        let ours = |id: WalletId| usize::from(id.0) == index;
        let accounts = world.shards.iter().flat_map(|shard| shard.accounts());
        let held = |account: Account| -> i128 {
            let ours = account.holdings().filter(|(key, _)| ours(key.wallet));
            ours.map(|(_, units)| i128::from(units)).sum()
        };
        let issuers = || partners.iter().filter(|((_, id), _)| ours(*id)).map(|(_, partner)| partner);
        WalletSum {
            wallet: wallet.name.clone(),
            outstanding_units: accounts.map(held).sum(),
            issued_units: issuers().map(|partner| partner.issued).sum(),
            reversed_units: issuers().map(|partner| partner.reversed).sum(),
            redeemed_units: issuers().map(|partner| partner.redeemed).sum(),
            expired_units: issuers().map(|partner| partner.expired).sum(),
        }
    };
    program.wallets.iter().enumerate().map(sum_of).collect()
}

/// What the mark vouches for is there. Also states how far the promise reaches.
fn check_mark(journal: &StoreJournal, world: &World, report: &mut VerifyReport) -> Result<(), JournalError> {
    let mark = match journal.read_high_water() {
        Ok(mark) => mark,
        Err(error) => {
            report.note(Finding::of_journal(error, world.end)?);
            None
        }
    };
    report.state_promise(mark.map(|mark| mark.end));
    if mark.is_some()
        && let Err(error) = journal.check_high_water()
    {
        report.note(Finding::of_journal(error, world.end)?);
    }
    Ok(())
}

fn check_snapshot(
    store: &Arc<dyn Store>,
    identity: &Identity,
    expected: Digest,
    end: Position,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let place = Place::at(end);
    match recover_state(store, identity, &mut |_| {}) {
        Ok((_, None)) => {}
        Ok((world, Some(marker))) => {
            let digest = world.digest();
            report.snapshot = Some(SnapshotCheck { start: marker.start.0, digest: digest.to_string() });
            if digest != expected {
                let sentence = "the state recovered from the snapshot is not the state that the journal gives";
                report.note(place.finding(FindingClass::Snapshot, sentence));
            }
        }
        Err(RecoveryError::Store(error)) if !matches!(error, StoreError::Damaged { .. }) => return Err(error.into()),
        Err(error) => {
            let sentence = format!("the snapshot cannot be recovered: {error}");
            report.note(place.finding(FindingClass::Snapshot, sentence));
        }
    }
    Ok(())
}
