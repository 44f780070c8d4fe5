//! The snapshot's entities brought to their places: what all shards need first, then the accounts, by several threads
//! over ranges of shards, then what else belongs to shards.
//!
//! What must stay true: of several entities that cannot be read, the one with the smallest key is named, however many
//! threads read.

use std::ops::ControlFlow;

use super::{OnProgress, Progress, RecoveryError, parallel};
use crate::codec::DecodeError;
use crate::ledger::packed::Unpacked;
use crate::ledger::types::ShardId;
use crate::replay::{Lane, World};
use crate::snapshot::entity::{ACCOUNT_KEYS, Entity, account_keys_from, account_of_key};
use crate::snapshot::{Marker, Saved, SnapshotError};
use crate::store::{Direction, Space, Store};

/// Entities that are told of together.
const ENTITIES_TOLD: u64 = 4_096;

/// Of more accounts in one shard a damaged key is the likelier reason, and memory comes as they do.
const ACCOUNTS_EXPECTED_MAX: u32 = 1 << 22;

/// Loads everything that the state space holds.
pub(super) fn load_snapshot(
    store: &dyn Store,
    marker: &Marker,
    world: &mut World,
    thread_count: usize,
    on_progress: &mut OnProgress<'_>,
) -> Result<(), RecoveryError> {
    let mut entity_count = 0;
    let on_more = &mut |count: u64| {
        entity_count += count;
        on_progress(Progress::Snapshot { entity_count });
    };
    let (accounts, behind) = ACCOUNT_KEYS;
    let place = &mut |world: &mut World, entity| place_entity(world, &marker.saved, entity);
    sweep(store, &[], Some(&accounts), on_more, &mut |entity, _| place(world, entity))?;
    let lanes = world.halves().lane.divide(thread_count);
    let starts: Vec<_> = lanes.iter().skip(1).map(|lane| account_keys_from(shard_id(lane.first))).collect();
    let froms = std::iter::once(&accounts[..]).chain(starts.iter().map(Vec::as_slice));
    let tos = starts.iter().map(Vec::as_slice).chain(std::iter::once(&behind[..]));
    let parts: Vec<_> = lanes.into_iter().zip(froms.zip(tos)).collect();
    let loaded = parallel::each(
        parts,
        |(mut lane, (from, to)), on_more| {
            make_room(store, &mut lane, on_more)?;
            sweep(store, from, Some(to), on_more, &mut |entity, unpacked| place_account(&mut lane, entity, unpacked))
        },
        on_more,
    );
    loaded.into_iter().collect::<Result<(), _>>()?;
    sweep(store, &behind, None, on_more, &mut |entity, _| place(world, entity))?;
    check_complete(marker, world)
}

fn shard_id(number: usize) -> ShardId {
    ShardId(u16::try_from(number).expect("a shard's number fits u16"))
}

/// Decodes the entities from one key on and before another. `on_more` is told how many came to their places since it was
/// told last.
fn sweep(
    store: &dyn Store,
    from: &[u8],
    to: Option<&[u8]>,
    on_more: &mut dyn FnMut(u64),
    place: &mut dyn FnMut(Entity, &Unpacked) -> Result<(), DecodeError>,
) -> Result<(), RecoveryError> {
    let (mut failed, mut untold) = (None, 0);
    let mut unpacked = Unpacked::default();
    store.sweep(Space::State, from, to, &mut |key, value| {
        let decoded = Entity::decode_with(key, value, &mut unpacked);
        // To compile a version takes as long as thousands of others.
        let is_long = matches!(decoded, Ok(Entity::Program(..)));
        match decoded.and_then(|entity| place(entity, &unpacked)) {
            Ok(()) => {
                untold += 1;
                if is_long || untold == ENTITIES_TOLD {
                    on_more(std::mem::take(&mut untold));
                }
                ControlFlow::Continue(())
            }
            Err(fault) => {
                let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
                failed = Some(SnapshotError::Entity { key, fault });
                ControlFlow::Break(())
            }
        }
    })?;
    on_more(untold);
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Asks for the memory of all accounts that are to come: the last key of a shard tells how many there are. Nothing rests on it.
fn make_room(store: &dyn Store, lane: &mut Lane<'_>, on_more: &mut dyn FnMut(u64)) -> Result<(), RecoveryError> {
    for (index, shard) in lane.shards.iter_mut().enumerate() {
        let behind = account_keys_from(shard_id(lane.first + index + 1));
        let mut last = None;
        store.scan(Space::State, &behind, Direction::Backward, &mut |key, _| {
            let is_behind = key == behind;
            last = account_of_key(key);
            if is_behind { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some((_, number)) = last.filter(|(of, number)| *of == shard.id && number.0 < ACCOUNTS_EXPECTED_MAX) {
            shard.make_room(number.0 as usize + 1);
        }
        // There is none yet, but there can be thousands of shards.
        on_more(0);
    }
    Ok(())
}

fn place_account(lane: &mut Lane<'_>, entity: Entity, unpacked: &Unpacked) -> Result<(), DecodeError> {
    let Entity::Account(shard, number, account) = entity else { return Err(DecodeError::UnknownTag) };
    let place = lane.shard(shard).ok_or(DecodeError::Contradiction)?;
    place.place_packed(number, account, &unpacked.account);
    if let Some(tally) = lane.tally(shard) {
        tally.add(&unpacked.account);
    }
    Ok(())
}

/// Checks that everything is there that the marker promises.
fn check_complete(marker: &Marker, world: &World) -> Result<(), RecoveryError> {
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
        Entity::Account(..) => return Err(DecodeError::UnknownTag),
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
