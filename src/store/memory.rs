//! A store in memory on a simulated disk: it fails where a script says, and it can lose power.
//!
//! What must stay true:
//! - reads see every write that has returned, as on a real store;
//! - [`MemoryStore::crash`] keeps every synced batch that returned `Ok`, and every deferred operation whose space was
//!   flushed since with `Ok`. Of the rest it keeps what the seed says: a synced batch that failed or was in flight
//!   whole or not at all, a deferred operation on its own, so that batches tear and spaces drift apart;
//! - the same script, calls and seed give the same disk: nothing here reads a clock or draws from elsewhere.
//!
//! The disk itself, without scripts and locks, is in `memory/disk.rs`.

mod disk;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use self::disk::{Disk, Fate};
use super::faults::FaultKind;
use super::{Batch, Direction, Durability, Op, Space, Store, StoreError, Visit, delete_all};
use crate::limits::MARK_BYTES_MAX;

/// What becomes of the synced batch whose write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// It never reaches the disk: reads do not see it, no crash keeps it.
    Before,
    /// It is on the disk although the caller was told otherwise: reads see it, every crash keeps it.
    After,
    /// Reads do not see it; a crash keeps it whole or not at all, as its seed says.
    Unknown,
}

/// Where a store fails. Counts start at 1; each failure strikes once, except the freeze, which lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultScript {
    /// The write with [`Durability::Synced`] that fails, and what becomes of it.
    pub fail_write_at: Option<(u64, WriteFault)>,
    /// The flush that fails; what it should have kept stays as uncertain as before.
    pub fail_flush_at: Option<u64>,
    /// The renewal of the mark that fails; a crash keeps the old or the new one.
    pub fail_mark_at: Option<u64>,
    /// The sync (see [`MemoryStore::sync_count`]) during which the power goes: its own outcome is left to the seed of
    /// the crash, and it and every later call, reads too, fail.
    pub freeze_at_sync: Option<u64>,
    /// What failures look like, the loss of power aside.
    pub kind: FaultKind,
}

impl FaultScript {
    /// The power goes during sync number `sync`, the first being 1.
    #[must_use]
    pub fn freeze_at_sync(sync: u64) -> Self {
        Self { freeze_at_sync: Some(sync), ..Self::default() }
    }
}

/// The simulated store. Clones are handles on the same disk.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    machine: Arc<Mutex<Machine>>,
}

/// The disk and what happens to it.
#[derive(Debug, Default)]
struct Machine {
    disk: Disk,
    script: FaultScript,
    sync_count: u64,
    synced_write_count: u64,
    flush_count: u64,
    mark_count: u64,
    is_without_power: bool,
}

/// How a sync ends, apart from scripted failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    LostDuringThis,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store that never fails.
    #[must_use]
    pub fn new() -> Self {
        Self::with_faults(FaultScript::default())
    }

    /// An empty store that fails where the script says.
    #[must_use]
    pub fn with_faults(script: FaultScript) -> Self {
        Self::on(Disk::default(), script)
    }

    fn on(disk: Disk, script: FaultScript) -> Self {
        Self { machine: Arc::new(Mutex::new(Machine { disk, script, ..Machine::default() })) }
    }

    /// Replaces the script. Counts go on from where they are; a store that has lost its power stays without.
    pub fn set_faults(&self, script: FaultScript) {
        self.lock().script = script;
    }

    /// Synced writes, flushes and renewals of the mark begun so far, failed ones included: the moments at which a crash
    /// is worth trying. Run a workload once to count them, then once per number with [`FaultScript::freeze_at_sync`].
    #[must_use]
    pub fn sync_count(&self) -> u64 {
        self.lock().sync_count
    }

    /// What a loss of power now leaves, as a store of its own that never fails. This store stays as it is.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.crash_with_faults(seed, FaultScript::default())
    }

    /// As [`MemoryStore::crash`], with a script for the time afterwards; its counts start anew.
    #[must_use]
    pub fn crash_with_faults(&self, seed: u64, script: FaultScript) -> Self {
        let left = self.lock().disk.after_power_loss(seed);
        Self::on(left, script)
    }

    /// An orderly stop: another store with all that was ever written.
    #[must_use]
    pub fn stop_cleanly(&self) -> Self {
        let left = self.lock().disk.after_clean_stop();
        Self::on(left, FaultScript::default())
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("no code panics while it holds the simulated disk")
    }
}

/// Damage, as a failing disk or an intruder would do it: behind the store's back, durable at once, uncounted.
impl MemoryStore {
    /// Everything in a space, as reads see it.
    #[must_use]
    pub fn contents(&self, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.lock().disk.view(space).iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// Sets a value behind the store's back.
    pub fn overwrite(&self, space: Space, key: &[u8], value: &[u8]) {
        self.lock().disk.apply(&Op::Put { space, key: key.to_vec(), value: value.to_vec() }, Fate::Kept);
    }

    /// Changes a value in place. False when there is none.
    pub fn alter(&self, space: Space, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let found = self.lock().disk.view(space).get(key).map(|value| value.to_vec());
        let Some(mut value) = found else { return false };
        change(&mut value);
        self.overwrite(space, key, &value);
        true
    }

    /// Removes a key. False when there is none.
    pub fn remove(&self, space: Space, key: &[u8]) -> bool {
        let mut machine = self.lock();
        let was_there = machine.disk.view(space).contains_key(key);
        machine.disk.apply(&Op::Delete { space, key: key.to_vec() }, Fate::Kept);
        was_there
    }

    /// Exchanges the values of two keys. False, and nothing done, when either is missing.
    pub fn swap(&self, space: Space, one: &[u8], other: &[u8]) -> bool {
        let view = self.lock().disk.view(space);
        let (Some(first), Some(second)) = (view.get(one), view.get(other)) else { return false };
        self.overwrite(space, one, second);
        self.overwrite(space, other, first);
        true
    }

    /// From now on reading this key, by itself or in a scan, fails as damaged. It survives crashes, and the key's removal, but
    /// not the emptying of its space.
    pub fn make_unreadable(&self, space: Space, key: &[u8]) {
        self.lock().disk.unreadable.insert((space, key.to_vec()));
    }

    /// Sets or removes the mark behind the store's back.
    pub fn set_mark(&self, mark: Option<&[u8]>) {
        self.lock().disk.set_mark(mark.map(<[u8]>::to_vec));
    }

    /// From now on reading the mark fails as damaged, until it is written or set.
    pub fn damage_mark(&self) {
        self.lock().disk.is_mark_damaged = true;
    }
}

impl Machine {
    /// Nothing works without power.
    fn check_power(&self) -> Result<(), StoreError> {
        if self.is_without_power { Err(power_lost()) } else { Ok(()) }
    }

    /// Counts a sync and says whether it is the one during which the power goes.
    fn begin_sync(&mut self) -> Power {
        self.sync_count += 1;
        if self.script.freeze_at_sync == Some(self.sync_count) {
            self.is_without_power = true;
            return Power::LostDuringThis;
        }
        Power::On
    }

    fn write_synced(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.synced_write_count += 1;
        let (fault, error) = match self.begin_sync() {
            Power::LostDuringThis => (WriteFault::Unknown, power_lost()),
            Power::On => match self.script.fail_write_at {
                Some((number, fault)) if number == self.synced_write_count => {
                    (fault, self.script.kind.error("a synced write"))
                }
                _ => {
                    self.disk.apply_batch(batch, Fate::Kept);
                    return Ok(());
                }
            },
        };
        match fault {
            WriteFault::Before => {}
            WriteFault::After => self.disk.apply_batch(batch, Fate::Kept),
            WriteFault::Unknown => {
                // A number that no other synced batch has, so that the whole batch shares one outcome.
                let attempt = self.synced_write_count;
                self.disk.apply_batch(batch, Fate::AsAWhole { attempt });
            }
        }
        Err(error)
    }
}

impl Store for MemoryStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut machine = self.lock();
        machine.check_power()?;
        match durability {
            Durability::Synced => machine.write_synced(batch),
            Durability::Deferred => {
                machine.disk.apply_batch(batch, Fate::Open);
                Ok(())
            }
        }
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        let mut machine = self.lock();
        machine.check_power()?;
        machine.flush_count += 1;
        if machine.begin_sync() == Power::LostDuringThis {
            return Err(power_lost());
        }
        if machine.script.fail_flush_at == Some(machine.flush_count) {
            return Err(machine.script.kind.error("a flush"));
        }
        machine.disk.flush(space);
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let machine = self.lock();
        machine.check_power()?;
        machine.disk.check_readable(space, key)?;
        Ok(machine.disk.view(space).get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        // The view is taken under the lock and walked without it, so that the visitor may use the store.
        let (view, unreadable) = {
            let machine = self.lock();
            machine.check_power()?;
            (machine.disk.view(space), machine.disk.unreadable.clone())
        };
        disk::walk(&view, from, direction, &mut |key, value| {
            disk::check_readable(&unreadable, space, key)?;
            Ok(visit(key, value))
        })
    }

    fn empty(&self, space: Space) -> Result<(), StoreError> {
        delete_all(self, space)?;
        // Damage goes with the bytes that it was in.
        self.lock().disk.unreadable.retain(|(of, _)| *of != space);
        Ok(())
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        assert!(mark.len() <= MARK_BYTES_MAX, "a mark has at most {MARK_BYTES_MAX} bytes");
        let mut machine = self.lock();
        machine.check_power()?;
        machine.mark_count += 1;
        let is_power_lost = machine.begin_sync() == Power::LostDuringThis;
        if is_power_lost || machine.script.fail_mark_at == Some(machine.mark_count) {
            machine.disk.mark_in_flight = Some(mark.to_vec());
            return Err(if is_power_lost { power_lost() } else { machine.script.kind.error("a renewal of the mark") });
        }
        machine.disk.set_mark(Some(mark.to_vec()));
        Ok(())
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let machine = self.lock();
        machine.check_power()?;
        machine.disk.read_mark()
    }
}

fn power_lost() -> StoreError {
    StoreError::Io {
        path: PathBuf::from("(memory)"),
        operation: "a call",
        reason: "the simulated machine has lost its power".to_owned(),
    }
}

#[cfg(test)]
mod tests;
