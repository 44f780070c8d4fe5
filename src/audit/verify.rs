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
//! What must stay true: nothing is written; memory is bounded by the state and by [`VerifyOptions::ids_max`].

use std::ops::ControlFlow;
use std::sync::Arc;

use super::judge::Judge;
use super::once::{Once, part_count};
use super::report::Place;
pub use super::report::{Finding, FindingClass, KindCounts, SnapshotCheck, TimeZoneRelease, VerifyReport, WalletSum};
use crate::journal::log::StoreJournal;
use crate::journal::record::{Record, decode};
use crate::journal::{Journal, JournalError};
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
    /// Ids kept in memory at once, about 40 bytes each; a history with more is read several times.
    pub ids_max: u64,
    /// Whether the state recovered over the snapshot is compared.
    pub check_snapshot: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { ids_max: 4 << 20, check_snapshot: true }
    }
}

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
    on_progress: &mut OnProgress<'_>,
) -> Result<VerifyReport, VerifyError> {
    let identity = Identity::read(&**store)?.ok_or(VerifyError::NoIdentity)?;
    let journal = StoreJournal::new(store.clone());
    let mut report = VerifyReport::default();
    let end = known_end(&journal)?;
    let parts = part_count(end.0, options.ids_max);
    let goal = Position(end.0.saturating_mul(parts));

    let mut judge = Judge::new(&journal, &identity, Once::new(identity.id_hasher(), 0, parts));
    let read = read_frames(&journal, &mut |frame| {
        judge.frame(frame)?;
        on_progress(judge.world.end, goal);
        Ok(())
    })?;
    let outcome = read.map_or_else(|| judge.finish(), Err);
    state_figures(&mut report, &judge);
    let is_whole = outcome.is_ok();
    if let Err(finding) = outcome {
        report.note(finding);
    }
    let Judge { world, .. } = judge;
    if is_whole {
        report.digest = Some(world.digest().to_string());
        for part in 1..parts {
            let once = Once::new(identity.id_hasher(), part, parts);
            check_once(&journal, &world, once, &mut report, &mut |reached| {
                on_progress(Position(end.0.saturating_mul(part).saturating_add(reached.0)), goal);
            })?;
        }
    }
    check_mark(&journal, &world, &mut report)?;
    if is_whole && options.check_snapshot && report.findings.is_empty() {
        check_snapshot(store, &identity, world.digest(), world.end, &mut report)?;
    }
    report.intact = report.findings.is_empty();
    Ok(report)
}

/// Where the journal seems to end: for progress and for dividing the ids.
fn known_end(journal: &StoreJournal) -> Result<Position, JournalError> {
    match journal.end() {
        Ok((end, _)) => Ok(end),
        // The reading comes to it and says what is wrong.
        Err(JournalError::Frame(error)) => Ok(error.position),
        Err(JournalError::Store(StoreError::Damaged { .. })) => Ok(Position(0)),
        Err(error) => Err(error),
    }
}

/// Visits every frame until the visitor finds something or the journal cannot be read further.
fn read_frames(
    journal: &StoreJournal,
    visit: &mut dyn FnMut(&crate::journal::frame::FrameView<'_>) -> Result<(), Finding>,
) -> Result<Option<Finding>, JournalError> {
    let mut found = None;
    let mut read_to = Position(0);
    let read = journal.read(Position(0), &mut |frame| {
        read_to = frame.end();
        Ok(match visit(frame) {
            Ok(()) => ControlFlow::Continue(()),
            Err(finding) => {
                found = Some(finding);
                ControlFlow::Break(())
            }
        })
    });
    match read {
        Ok(()) => Ok(found),
        Err(error) => Finding::of_journal(error, read_to).map(Some),
    }
}

/// Reads the history once more, for another part of the ids. It has been judged: only ids are looked at.
fn check_once(
    journal: &StoreJournal,
    world: &World,
    mut once: Once,
    report: &mut VerifyReport,
    on_progress: &mut dyn FnMut(Position),
) -> Result<(), JournalError> {
    let found = read_frames(journal, &mut |frame| {
        frame.for_each(|view| {
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
        Ok(())
    })?;
    if let Some(finding) = found {
        report.note(finding);
    }
    Ok(())
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
