//! Recovery: from what a crash left to the state that was acknowledged.
//!
//! The order: identity → high-water mark → snapshot → replay from the marker (or from where the id index is complete,
//! whichever is earlier) → checks. What is read is judged by this table, from the first row that fits:
//!
//! | identity | mark | chain up to the mark | chain after the mark | outcome |
//! |---|---|---|---|---|
//! | absent, store empty | absent | – | – | a new directory |
//! | newer | any | any | any | refused: use a newer version |
//! | damaged | any | any | any | refused: damaged |
//! | fits | beyond the journal's end | – | – | refused: acknowledged records are missing |
//! | fits | names another frame | – | – | refused: replaced |
//! | fits | fits or absent | damaged | any | refused: damaged, with position and bytes |
//! | fits | fits or absent | whole | damaged | refused: damaged, with position and bytes |
//! | fits | fits or absent | whole | whole | recovered |
//!
//! A write that a crash tore never reaches this table: the store drops an incomplete tail of its log as a whole, and
//! with it only frames that were not acknowledged.
//!
//! What must stay true: recovery changes nothing in the journal; it never skips damage; the recovered state has the
//! digest of a replay from empty.

pub mod identity;
pub mod speed;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::ids::{IdEntry, IdError, IdHasher, IdIndex, IdOptions};
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::{FrameError, FrameFault};
use crate::journal::log::StoreJournal;
use crate::journal::record::{Entry, Publication, Record};
use crate::journal::{Journal, JournalError};
use crate::ledger::command::{CommandKind, Receipt};
use crate::ledger::operator::OperatorOrder;
use crate::ledger::state::account_hash;
use crate::ledger::types::{Position, Seq, ShardId, SymbolId};
use crate::replay::World;
use crate::shard::job::ClaimedIds;
use crate::snapshot::entity::Entity;
use crate::snapshot::{Marker, Saved, SnapshotError};
use crate::store::{Direction, Space, Store, StoreError};
use identity::{Identity, IdentityError};

/// Why a data directory cannot be opened. `Display` is a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The identity cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The id index cannot be read.
    #[error(transparent)]
    Ids(#[from] IdError),
    /// There are frames but no identity.
    #[error("the data directory has a journal but no identity: it is damaged")]
    NoIdentity,
    /// The snapshot knows what the journal does not.
    #[error(
        "the snapshot holds {what} that the journal does not have: it is damaged; remove the state space to replay"
    )]
    SnapshotAhead {
        /// What.
        what: String,
    },
    /// An account that others were numbered after is nowhere.
    #[error("account {number} of shard {shard} is neither in the snapshot nor in the journal after it")]
    AccountMissing {
        /// The shard.
        shard: ShardId,
        /// The account's number.
        number: usize,
    },
}

/// What recovery found.
pub struct Recovered {
    /// The state.
    pub world: World,
    /// The identity of the directory.
    pub identity: Identity,
    /// Transaction ids, receipts, reversals.
    pub ids: IdIndex,
    /// The journal, not fenced yet.
    pub journal: Arc<StoreJournal>,
    /// The snapshot that was used.
    pub marker: Option<Marker>,
    /// Per shard: a record up to which the snapshot is known to have everything.
    pub snapshot_seqs: Vec<Seq>,
    /// Records replayed.
    pub replayed_count: u64,
}

/// Told the position reached and the position to reach.
pub type OnProgress<'a> = dyn FnMut(Position, Position) + 'a;

/// Recovers the state of a directory that has an identity.
///
/// # Errors
/// As the table of this module says.
pub fn recover(
    store: &Arc<dyn Store>,
    identity: Identity,
    id_options: &IdOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<Recovered, RecoveryError> {
    let journal = Arc::new(StoreJournal::new(store.clone()));
    journal.check_high_water()?;
    let (ids, covered) = open_ids(store, id_options)?;
    let hasher = identity.id_hasher();
    let loaded = Loaded::open(&**store, identity.shard_count)?;
    let marker = loaded.marker;
    let replayed = loaded.replay(&*journal, Some((&ids, &hasher, covered)), on_progress)?;
    let Replay { world, since, replayed_count, .. } = replayed;
    world.shards.iter().for_each(|shard| world.cells.note_posted(shard.posted_at));
    Ok(Recovered { world, identity, ids, journal, marker, snapshot_seqs: since, replayed_count })
}

/// Recovers the state without the index of ids, and writes nothing: for audits.
///
/// # Errors
/// As the table of this module says.
pub fn recover_state(
    store: &Arc<dyn Store>,
    identity: &Identity,
    on_progress: &mut OnProgress<'_>,
) -> Result<(World, Option<Marker>), RecoveryError> {
    let journal = StoreJournal::new(store.clone());
    journal.check_high_water()?;
    let loaded = Loaded::open(&**store, identity.shard_count)?;
    let marker = loaded.marker;
    Ok((loaded.replay(&journal, None, on_progress)?.world, marker))
}

/// What the snapshot gives, before the replay.
struct Loaded {
    world: World,
    marker: Option<Marker>,
}

impl Loaded {
    fn open(store: &dyn Store, shard_count: u16) -> Result<Self, RecoveryError> {
        let marker = Marker::read(store)?;
        let mut world = World::new(shard_count);
        if let Some(marker) = &marker {
            load_snapshot(store, marker, &mut world)?;
            if !world.shards.iter().all(|shard| shard.partners.is_whole()) {
                // Of a version that did not keep who burned what: the journal tells it from the beginning.
                return Ok(Self { world: World::new(shard_count), marker: None });
            }
        }
        Ok(Self { world, marker })
    }

    /// Replays what the snapshot does not have and, where ids are given, what the index of ids does not have.
    fn replay<'a>(
        self,
        journal: &dyn Journal,
        ids: Option<(&'a IdIndex, &'a IdHasher, Position)>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<Replay<'a>, RecoveryError> {
        let snapshot_start = self.marker.map_or(Position(0), |marker| marker.start);
        let (end, end_hash) = journal.end()?;
        let since = self.world.shards.iter().map(|shard| shard.seq).collect();
        let start = ids.map_or(snapshot_start, |(_, _, covered)| covered.min(snapshot_start));
        let ids = ids.map(|(ids, hasher, _)| (ids, hasher));
        let mut replay = Replay { world: self.world, ids, snapshot_start, since, replayed_count: 0 };
        let mut next = start;
        while next < end {
            replay.some_frames(journal, next)?;
            next = replay.world.end;
            if let Some((ids, _)) = ids {
                // Between the frames, so that the ids of a long journal do not all stay in memory.
                while ids.maintain(next)?.more_waits() {}
            }
            on_progress(next, end);
        }
        if replay.replayed_count == 0 {
            // The snapshot has everything; the chain goes on after the last frame.
            (replay.world.end, replay.world.hash) = (end, end_hash);
            replay.world.epoch = last_epoch(journal, end)?;
        }
        check_accounts(&replay.world)?;
        Ok(replay)
    }
}

/// A snapshot never knows more than the journal: every account is opened, and its last record lies in the journal.
fn check_accounts(world: &World) -> Result<(), RecoveryError> {
    for shard in &world.shards {
        if let Some(number) = shard.first_vacant() {
            return Err(RecoveryError::AccountMissing { shard: shard.id, number });
        }
        for account in shard.all_packed() {
            if account.position().is_none_or(|position| position >= world.end) {
                let what = format!("record {} of shard {}", account.seq, shard.id);
                return Err(RecoveryError::SnapshotAhead { what });
            }
        }
    }
    Ok(())
}

/// Frames that are replayed before memory is tidied.
const FRAMES_AT_ONCE: usize = 256;

fn last_epoch(journal: &dyn Journal, end: Position) -> Result<u64, JournalError> {
    let mut epoch = 0;
    if end > Position(0) {
        journal.read(Position(end.0 - 1), &mut |frame| {
            epoch = frame.header.epoch;
            Ok(ControlFlow::Break(()))
        })?;
    }
    Ok(epoch)
}

struct Replay<'a> {
    world: World,
    ids: Option<(&'a IdIndex, &'a IdHasher)>,
    snapshot_start: Position,
    /// Per shard: the last record before the snapshot's start. The snapshot has everything up to it; of what came later
    /// it may have parts, whatever the shard's own entity says, for accounts are copied before it.
    since: Vec<Seq>,
    replayed_count: u64,
}

impl Replay<'_> {
    fn some_frames(&mut self, journal: &dyn Journal, from: Position) -> Result<(), JournalError> {
        let Self { world, ids, snapshot_start, since, replayed_count } = self;
        let mut frame_count = 0;
        journal.read(from, &mut |frame| {
            if *replayed_count == 0 {
                let position = frame.header.position;
                if position > from {
                    let fault = FrameFault::Gap { expected: from };
                    return Err(FrameError { position, from: 16, to: 24, fault }.into());
                }
                // Everything before this frame is in the snapshot; the chain up to it is for verification to check.
                (world.end, world.hash) = (position, frame.header.previous_hash);
            }
            world.apply_frame(frame, |world, view, record| {
                *replayed_count += 1;
                if view.position >= *snapshot_start
                    && let Some(since) = since.get_mut(usize::from(view.shard.0))
                {
                    *since = (*since).min(Seq(view.seq.0 - 1));
                }
                let Some((ids, hasher)) = *ids else { return Ok(()) };
                match record {
                    Record::Entry(entry) => enter_ids(ids, hasher, &world.dictionary, view.position, entry),
                    Record::Program(publication) => {
                        enter_publication(ids, hasher, &world.dictionary, view.position, publication);
                    }
                    Record::Opening(_)
                    | Record::Symbol(..)
                    | Record::Item(..)
                    | Record::Key(_)
                    | Record::Freeze(_)
                    | Record::Proposal(_) => {}
                }
                Ok(())
            })?;
            frame_count += 1;
            Ok(if frame_count < FRAMES_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })
    }
}

/// Opens the id index; one that is damaged is wiped, to be rebuilt from the journal.
fn open_ids(store: &Arc<dyn Store>, options: &IdOptions) -> Result<(IdIndex, Position), RecoveryError> {
    match IdIndex::open(store.clone(), options) {
        Ok(opened) => Ok(opened),
        Err(error) if error.is_rebuildable() => {
            IdIndex::wipe(&**store)?;
            Ok(IdIndex::open(store.clone(), options)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn load_snapshot(store: &dyn Store, marker: &Marker, world: &mut World) -> Result<(), RecoveryError> {
    let mut failed = None;
    store.scan(Space::State, &[], Direction::Forward, &mut |key, value| {
        let loaded = Entity::decode(key, value).and_then(|entity| place_entity(world, &marker.saved, entity));
        match loaded {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => {
                let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
                failed = Some(SnapshotError::Entity { key, fault });
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let (symbol_count, item_count) = world.dictionary.counts();
    let version_count = u32::try_from(world.publications.len()).unwrap_or(u32::MAX);
    let key_change_count = u32::try_from(world.keys.changes().len()).unwrap_or(u32::MAX);
    let freeze_change_count = u32::try_from(world.freezes.changes().len()).unwrap_or(u32::MAX);
    let proposal_change_count = world.proposals.change_count();
    let found =
        Saved { symbol_count, item_count, version_count, key_change_count, freeze_change_count, proposal_change_count };
    let Saved { symbol_count, item_count, version_count, key_change_count, .. } = marker.saved;
    let Saved { freeze_change_count, proposal_change_count, .. } = marker.saved;
    let lacks_names = found.symbol_count < symbol_count || found.item_count < item_count;
    let lacks_changes = found.key_change_count < key_change_count
        || found.freeze_change_count < freeze_change_count
        || found.proposal_change_count < proposal_change_count;
    if lacks_names || lacks_changes || found.version_count < version_count {
        return Err(SnapshotError::Incomplete { promised: marker.saved, found }.into());
    }
    Ok(())
}

/// Beyond what the marker promises there may be gaps, and what lies behind one does not fit: replay brings it again.
fn unless_beyond(promised: bool, placed: Result<(), DecodeError>) -> Result<(), DecodeError> {
    if promised { placed } else { Ok(()) }
}

fn place_entity(world: &mut World, saved: &Saved, entity: Entity) -> Result<(), DecodeError> {
    let shard_of = |world: &World, shard: ShardId| {
        if usize::from(shard.0) < world.shards.len() {
            Ok(usize::from(shard.0))
        } else {
            Err(DecodeError::Contradiction)
        }
    };
    match entity {
        Entity::Symbol(id, text) => {
            unless_beyond(id.0 < saved.symbol_count, world.dictionary.restore_symbol(id, &text))?;
        }
        Entity::Item(id, item) => unless_beyond(id.0 < saved.item_count, world.dictionary.restore_item(id, &item))?,
        Entity::Program(position, publication) => {
            let promised = publication.version.0 <= saved.version_count;
            unless_beyond(promised, world.restore_publication(position, *publication))?;
        }
        Entity::KeyChange(number, position, change) => {
            let is_next = world.keys.changes().len() as u64 == u64::from(number);
            let placed = if is_next {
                world.keys.apply(position, change).map_err(|_| DecodeError::Contradiction)
            } else {
                Err(DecodeError::Contradiction)
            };
            unless_beyond(number < saved.key_change_count, placed)?;
        }
        Entity::FreezeChange(number, position, change) => {
            let is_next = world.freezes.changes().len() as u64 == u64::from(number);
            let placed = if is_next {
                world.freezes.apply(position, change).map_err(|_| DecodeError::Contradiction)
            } else {
                Err(DecodeError::Contradiction)
            };
            unless_beyond(number < saved.freeze_change_count, placed)?;
        }
        Entity::Proposals(proposals) => world.proposals = *proposals,
        Entity::Cell(id, version, used, retain_until) => world.cells.restore(id, version, used, retain_until),
        Entity::Shard(ShardId::CONTROL, seq, _) => world.control_seq = seq,
        Entity::Shard(shard, seq, posted_at) => {
            let place = shard_of(world, shard)?;
            (world.shards[place].seq, world.shards[place].posted_at) = (seq, posted_at);
        }
        Entity::Account(shard, number, account) => {
            let place = shard_of(world, shard)?;
            world.shards[place].place_packed(number, account_hash(&account.id()), account);
        }
        Entity::Partner(shard, partner, wallet, account) => {
            let place = shard_of(world, shard)?;
            world.shards[place].partners.place_issuer(partner, wallet, account);
        }
        Entity::Burn(shard, burn, account) => {
            let place = shard_of(world, shard)?;
            world.shards[place].partners.place_burn(burn, account);
        }
    }
    Ok(())
}

fn text(dictionary: &Dictionary, symbol: SymbolId) -> Box<str> {
    dictionary.text(symbol).unwrap_or_default()
}

/// The key of a receipt in the id index.
#[must_use]
pub fn receipt_key(hasher: &IdHasher, dictionary: &Dictionary, partner: &str, receipt: &Receipt) -> crate::ids::IdKey {
    let (store, terminal) = (text(dictionary, receipt.store), text(dictionary, receipt.terminal));
    hasher.receipt(partner, &store, &terminal, receipt.business_day.0, &receipt.number)
}

/// The ids of a command: what it claims before it is decided, and what is entered when it is durable.
#[must_use]
pub fn ids_of(hasher: &IdHasher, dictionary: &Dictionary, command: &crate::ledger::command::Command) -> ClaimedIds {
    let partner = text(dictionary, command.partner);
    let transaction = hasher.transaction(&partner, &command.transaction_id);
    match &command.kind {
        CommandKind::Accrue(basket) => {
            let subject = receipt_key(hasher, dictionary, &partner, &basket.receipt());
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Reverse(reversal) => {
            let receipt = || receipt_key(hasher, dictionary, &partner, &reversal.original.receipt);
            ClaimedIds {
                transaction,
                subject: hasher.reversal(&partner, &reversal.original_transaction_id),
                freed: reversal.is_last().then(receipt),
            }
        }
        CommandKind::Unburn(unburn) => {
            let subject = hasher.reversal(&partner, &unburn.original_transaction_id);
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        // As a reversal: what is left follows from the last of them.
        CommandKind::Refund(refund) => {
            let subject = hasher.reversal(&partner, &refund.original_transaction_id);
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Operate(operation) => {
            let subject = match &operation.order {
                OperatorOrder::Release(original) => hasher.release(&partner, &original.transaction_id),
                // Whoever rejects takes back whole, as a reversal does: one excludes the other.
                OperatorOrder::Reject(original) => hasher.reversal(&partner, &original.transaction_id),
                OperatorOrder::Restore(restoration) => hasher.restoration(&partner, restoration.expiry),
                OperatorOrder::Adjust(_) | OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => {
                    transaction
                }
            };
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Link(linking) if linking.links => {
            ClaimedIds { subject: linking.key.into(), ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Link(linking) => ClaimedIds { freed: Some(linking.key.into()), ..ClaimedIds::alone(transaction) },
        // Of all that capture or void one authorization, the last is found.
        CommandKind::Capture(_) | CommandKind::Void(_) => {
            let latest = command.kind.authorization().map(|of| hasher.capture(&partner, &of.transaction_id));
            ClaimedIds { freed: latest, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Redeem(_)
        | CommandKind::Authorize(_)
        | CommandKind::TopUp(_)
        | CommandKind::Act(_)
        | CommandKind::Enrol(_)
        | CommandKind::Load(_)
        | CommandKind::Expire => ClaimedIds::alone(transaction),
    }
}

/// Enters the ids of a record that is durable. The live path does the same when a commit is processed.
fn enter_ids(ids: &IdIndex, hasher: &IdHasher, dictionary: &Dictionary, position: Position, entry: &Entry) {
    #[cfg(feature = "broken-variants")]
    if crate::sim::broken::is(crate::sim::broken::Variant::SkipIdCheckAfterRestart) {
        return;
    }
    if matches!(entry.command.kind, CommandKind::Expire) {
        return;
    }
    let keys = ids_of(hasher, dictionary, &entry.command);
    let taken = IdEntry { position, freed: false };
    ids.insert(keys.transaction, taken);
    if entry.decision.refusal().is_none() {
        ids.insert(keys.subject, taken);
        if let Some(receipt) = keys.freed {
            ids.insert(receipt, IdEntry { position, freed: entry.command.kind.frees() });
        }
    }
}

/// Enters the id of a publication that came through the wire.
pub fn enter_publication(
    ids: &IdIndex,
    hasher: &IdHasher,
    dictionary: &Dictionary,
    position: Position,
    publication: &Publication,
) {
    if !publication.transaction_id.is_empty() {
        let partner = text(dictionary, publication.partner);
        let key = hasher.transaction(&partner, &publication.transaction_id);
        ids.insert(key, IdEntry { position, freed: false });
    }
}
