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
//! Accounts are loaded and records of accounts replayed by several threads, each with shards of its own: see `parallel`.
//!
//! An index of ids that cannot be opened is emptied and made anew, which takes the whole journal. Damage in it that opening
//! does not come upon is for an operator to have mended: see [`empty_ids`].
//!
//! What must stay true: recovery changes nothing in the journal; it never skips damage; the recovered state has the
//! digest of a replay from empty; neither it nor what is said of damage depends on the number of threads; where there is no
//! marker, it leaves no entities for the first snapshot to take over.

mod entering;
mod hands;
pub mod identity;
mod loading;
mod parallel;
mod progress;
mod replaying;
pub mod speed;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::ids::{IdError, IdIndex, IdOptions};
use crate::journal::log::StoreJournal;
use crate::journal::{Journal, JournalError};
use crate::ledger::types::{Position, Seq, ShardId, WalletId};
use crate::replay::{Difference, Tally, World};
use crate::snapshot::{self, Marker, SnapshotError};
use crate::store::{Store, StoreError};
use entering::IdsToEnter;
use identity::{Identity, IdentityError};
use replaying::{Plan, Replayed, replay};

pub use entering::{enter_publication, ids_of};
pub use progress::{OnProgress, Progress};

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
    #[error("the snapshot holds {what} that the journal does not have: it is damaged")]
    SnapshotAhead {
        /// What.
        what: String,
    },
    /// An account is nowhere, though others were numbered after it or the snapshot counted it.
    #[error("account {number} of shard {shard} is neither in the snapshot nor in the journal after it")]
    AccountMissing {
        /// The shard.
        shard: ShardId,
        /// The account's number.
        number: usize,
    },
    /// The accounts of a shard were not changed by its last record.
    #[error(
        "the last record of shard {shard} is number {seq}, and the last that any of its accounts has is number {latest}: \
         the snapshot lacks an account, or how one was left"
    )]
    RecordMissing {
        /// The shard.
        shard: ShardId,
        /// Its last record.
        seq: Seq,
        /// The last record of its accounts.
        latest: Seq,
    },
    /// The accounts of a shard hold other units than their issuers have outstanding.
    #[error(
        "the accounts of shard {shard} hold {held} units of wallet {wallet} that partner {issuer:?} issued, where \
         {outstanding} are outstanding: the snapshot lacks an account, or how one was left"
    )]
    UnitsMissing {
        /// The shard.
        shard: ShardId,
        /// The issuer's name.
        issuer: Box<str>,
        /// The wallet.
        wallet: WalletId,
        /// Units that the accounts hold.
        held: i128,
        /// Units that are outstanding.
        outstanding: i128,
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

/// Whether recovery begins with the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// With the snapshot, if there is one, and the journal after it.
    #[default]
    Snapshot,
    /// With nothing: the whole journal is replayed, and the snapshot is discarded when that has given everything.
    Journal,
}

/// Recovers the state of a directory that has an identity, with so many threads. With one nothing is done on any other, and
/// the store is called in the same order every time.
///
/// # Errors
/// As the table of this module says.
pub fn recover(
    store: &Arc<dyn Store>,
    identity: Identity,
    id_options: &IdOptions,
    thread_count: usize,
    on_progress: &mut OnProgress<'_>,
) -> Result<Recovered, RecoveryError> {
    recover_from(Source::Snapshot, store, identity, id_options, thread_count, on_progress)
}

/// As [`recover`], from a source that is stated.
///
/// # Errors
/// As the table of this module says.
pub fn recover_from(
    source: Source,
    store: &Arc<dyn Store>,
    identity: Identity,
    id_options: &IdOptions,
    thread_count: usize,
    on_progress: &mut OnProgress<'_>,
) -> Result<Recovered, RecoveryError> {
    let journal = Arc::new(StoreJournal::new(store.clone()));
    journal.check_high_water()?;
    let (ids, covered) = open_ids(store, id_options, on_progress)?;
    let to_enter = IdsToEnter { ids: &ids, hasher: &identity.id_hasher(), covered };
    let (mut world, marker) = match source {
        Source::Snapshot => load(&**store, identity.shard_count, thread_count, on_progress)?,
        Source::Journal => (World::new(identity.shard_count), None),
    };
    let plan = Plan { journal: &journal, marker, ids: Some(to_enter), thread_count };
    let Replayed { since, count } = replay(&mut world, &plan, on_progress)?;
    check_accounts(&world, &accounts_saved(&**store, marker)?)?;
    if source == Source::Journal {
        // Now, and not before, the journal has shown that it replaces it.
        snapshot::discard(&**store)?;
    } else if marker.is_none() {
        snapshot::clear_leftovers(&**store)?;
    }
    world.shards.iter().for_each(|shard| world.cells.note_posted(shard.posted_at));
    if let Some(day) = snapshot::forgotten::read(&**store)? {
        world.cells.raise_floor(day);
    }
    Ok(Recovered { world, identity, ids, journal, marker, snapshot_seqs: since, replayed_count: count })
}

/// Recovers the state without the index of ids, on one thread, and writes nothing: for audits.
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
    let (mut world, marker) = load(&**store, identity.shard_count, 1, on_progress)?;
    replay(&mut world, &Plan { journal: &journal, marker, ids: None, thread_count: 1 }, on_progress)?;
    check_accounts(&world, &accounts_saved(&**store, marker)?)?;
    Ok((world, marker))
}

/// What the snapshot gives, before the replay.
fn load(
    store: &dyn Store,
    shard_count: u16,
    thread_count: usize,
    on_progress: &mut OnProgress<'_>,
) -> Result<(World, Option<Marker>), RecoveryError> {
    let mut world = World::new(shard_count);
    let marker = Marker::read(store)?;
    if let Some(marker) = &marker {
        world.tallies.resize_with(world.shards.len(), Tally::default);
        loading::load_snapshot(store, marker, &mut world, thread_count, on_progress)?;
        if !world.shards.iter().all(|shard| shard.partners.is_whole()) {
            // Of a version that did not keep who burned what: the journal tells it from the beginning.
            return Ok((World::new(shard_count), None));
        }
    }
    Ok((world, marker))
}

/// How many accounts of each shard the snapshot has, if one was used that says so.
fn accounts_saved(store: &dyn Store, marker: Option<Marker>) -> Result<Vec<u32>, RecoveryError> {
    Ok(if marker.is_some() { snapshot::accounts::read(store)? } else { Vec::new() })
}

/// A snapshot never knows more than the journal, and lacks nothing that lies before it: every account is opened, and its last
/// record lies in the journal; a shard's last record is one of its accounts'; and what accounts hold is what is outstanding.
fn check_accounts(world: &World, saved: &[u32]) -> Result<(), RecoveryError> {
    for (index, shard) in world.shards.iter().enumerate() {
        let count = shard.all_packed().len();
        let is_short = saved.get(index).is_some_and(|saved| count < *saved as usize);
        if let Some(number) = shard.first_vacant().or(is_short.then_some(count)) {
            return Err(RecoveryError::AccountMissing { shard: shard.id, number });
        }
        let mut latest = Seq(0);
        for account in shard.all_packed() {
            if account.position().is_none_or(|position| position >= world.end) {
                let what = format!("record {} of shard {}", account.seq, shard.id);
                return Err(RecoveryError::SnapshotAhead { what });
            }
            latest = latest.max(account.seq);
        }
        if latest != shard.seq {
            return Err(RecoveryError::RecordMissing { shard: shard.id, seq: shard.seq, latest });
        }
        // Added up over a snapshot only: a journal that is replayed from its beginning gives both sides.
        let difference = world.tallies.get(index).and_then(|tally| tally.difference(&shard.partners));
        if let Some(Difference { issuer, wallet, held, outstanding }) = difference {
            let issuer = world.dictionary.text(issuer).unwrap_or_default();
            return Err(RecoveryError::UnitsMissing { shard: shard.id, issuer, wallet, held, outstanding });
        }
    }
    Ok(())
}

/// Opens the id index; one that is damaged is emptied, to be made anew from the journal.
fn open_ids(
    store: &Arc<dyn Store>,
    options: &IdOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<(IdIndex, Position), RecoveryError> {
    let mut read_bytes = 0;
    let opened = IdIndex::open_telling(store.clone(), options, &mut |bytes| {
        read_bytes += bytes;
        on_progress(Progress::Ids { read_bytes });
    });
    let damage = match opened {
        Ok(opened) => return Ok(opened),
        Err(error) if error.is_rebuildable() => error,
        Err(error) => return Err(error.into()),
    };
    tracing::error!(error = %damage, "the index of ids is damaged: it is emptied, and made anew from the whole journal");
    if let Err(error) = IdIndex::wipe(&**store) {
        // What is wrong is what was found first.
        tracing::error!(%error, "the index of ids cannot be emptied");
        return Err(damage.into());
    }
    Ok(IdIndex::open(store.clone(), options)?)
}

/// Empties the index of ids, so that the next recovery makes it anew: for damage that opening does not come upon, since blocks
/// are read when ids are looked up. The journal is read through before: where its beginning is damaged, a ledger with a
/// snapshot and an index goes on without it, and one without an index does not.
///
/// # Errors
/// When the journal is damaged, and then nothing was done; or when the store fails.
pub fn empty_ids(store: &Arc<dyn Store>, on_progress: &mut OnProgress<'_>) -> Result<(), RecoveryError> {
    let journal = StoreJournal::new(store.clone());
    journal.check_high_water()?;
    let (end, _) = journal.end()?;
    let (mut next, mut hash) = (Position(0), [0; 32]);
    journal.sweep(Position(0), &mut |frame| {
        frame.check_follows(next, &hash)?;
        (next, hash) = (frame.end(), frame.hash);
        on_progress(Progress::Journal { reached: next, end });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(IdIndex::wipe(&**store)?)
}
