//! The simulated disk: what is settled, what is still in the air, and what a loss of power makes of it.
//!
//! What must stay true:
//! - per space, `settled` followed by all of `pending` in order is what a disk with perfect luck would hold, and a crash
//!   is `settled` followed by a subset of `pending` in the same order: every operation whose fate is
//!   [`Fate::Kept`] is in the subset;
//! - `pending` never begins with a kept operation (it would be settled), so a store that is only ever written with
//!   sync holds everything once;
//! - views are shared, not copied: a scan keeps its own while later writes make a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::Arc;

use crate::store::{Batch, Direction, Op, Space, StoreError};

/// The contents of one space.
pub type View = BTreeMap<Arc<[u8]>, Arc<[u8]>>;

/// Keys whose reading fails.
pub type Unreadable = BTreeSet<(Space, Vec<u8>)>;

/// What a loss of power does with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Keeps it.
    Kept,
    /// Keeps or loses it, whatever happens to its batch.
    Open,
    /// Keeps or loses it together with everything of the same attempt; reads do not see it before.
    AsAWhole {
        /// Tells attempts apart.
        attempt: u64,
    },
}

#[derive(Clone, Debug)]
struct Pending {
    change: Change,
    fate: Fate,
    /// Which batch it came with, so that one way to lose power can keep batches whole.
    batch: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Put { key: Arc<[u8]>, value: Arc<[u8]> },
    Delete { key: Arc<[u8]> },
    DeleteRange { from: Arc<[u8]>, to: Arc<[u8]> },
}

#[derive(Clone, Debug, Default)]
struct SpaceDisk {
    settled: Arc<View>,
    pending: Vec<Pending>,
    /// What reads see; nothing while it is the same as `settled`, that is while `pending` is empty.
    seen: Option<Arc<View>>,
}

/// All spaces and the mark.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    spaces: [SpaceDisk; Space::ALL.len()],
    batch_count: u64,
    mark: Option<Vec<u8>>,
    /// The mark whose write failed: a crash may turn out to have kept it.
    pub mark_in_flight: Option<Vec<u8>>,
    /// Reading the mark fails.
    pub is_mark_damaged: bool,
    /// Keys whose reading fails.
    pub unreadable: Unreadable,
}

impl Disk {
    /// Applies a batch, all of it with the same fate.
    pub fn apply_batch(&mut self, batch: &Batch, fate: Fate) {
        self.batch_count += 1;
        for op in &batch.ops {
            self.apply(op, fate);
        }
    }

    /// Applies one operation as a part of the current batch.
    pub fn apply(&mut self, op: &Op, fate: Fate) {
        let (space, change) = match op {
            Op::Put { space, key, value } => {
                (*space, Change::Put { key: key.as_slice().into(), value: value.as_slice().into() })
            }
            Op::Delete { space, key } => (*space, Change::Delete { key: key.as_slice().into() }),
            Op::DeleteRange { space, from, to } => {
                (*space, Change::DeleteRange { from: from.as_slice().into(), to: to.as_slice().into() })
            }
        };
        let batch = self.batch_count;
        self.spaces[space as usize].log(Pending { change, fate, batch });
    }

    /// What is in a space, as reads see it.
    pub fn view(&self, space: Space) -> Arc<View> {
        let disk = &self.spaces[space as usize];
        Arc::clone(disk.seen.as_ref().unwrap_or(&disk.settled))
    }

    /// Makes the open operations of a space kept.
    pub fn flush(&mut self, space: Space) {
        let disk = &mut self.spaces[space as usize];
        for pending in &mut disk.pending {
            if pending.fate == Fate::Open {
                pending.fate = Fate::Kept;
            }
        }
        disk.settle();
    }

    /// Replaces the mark; nothing is left in the air.
    pub fn set_mark(&mut self, mark: Option<Vec<u8>>) {
        self.mark = mark;
        self.mark_in_flight = None;
        self.is_mark_damaged = false;
    }

    /// The mark, unless it is damaged.
    pub fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.is_mark_damaged {
            return Err(damaged(None, "the mark cannot be read"));
        }
        Ok(self.mark.clone())
    }

    /// Refuses a key that was made unreadable.
    pub fn check_readable(&self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        check_readable(&self.unreadable, space, key)
    }

    /// What is left when the power goes now.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let luck = Luck::draw(&mut dice);
        let mut attempts = BTreeMap::new();
        let mut left = self.clone();
        for disk in &mut left.spaces {
            disk.lose_power(&luck, &mut attempts, &mut dice);
        }
        if let Some(mark) = left.mark_in_flight.take()
            && dice.coin()
        {
            left.mark = Some(mark);
        }
        left
    }

    /// What is left after everything was flushed. A failed attempt leaves nothing.
    pub fn after_clean_stop(&self) -> Self {
        let mut left = self.clone();
        for space in Space::ALL {
            let view = self.view(space);
            left.spaces[space as usize] = SpaceDisk { settled: view, ..SpaceDisk::default() };
        }
        left.mark_in_flight = None;
        left
    }
}

impl SpaceDisk {
    fn log(&mut self, pending: Pending) {
        if self.pending.is_empty() && pending.fate == Fate::Kept {
            pending.change.apply(Arc::make_mut(&mut self.settled));
            return;
        }
        let seen = self.seen.get_or_insert_with(|| Arc::clone(&self.settled));
        match pending.fate {
            Fate::Kept | Fate::Open => pending.change.apply(Arc::make_mut(seen)),
            Fate::AsAWhole { .. } => {}
        }
        self.pending.push(pending);
    }

    /// Moves the kept operations at the beginning of `pending` to where they cannot be lost.
    fn settle(&mut self) {
        let kept_count = self.pending.iter().take_while(|pending| pending.fate == Fate::Kept).count();
        if kept_count == self.pending.len() {
            // All that is seen is kept: the views meet again and one of the copies goes.
            self.pending.clear();
            if let Some(seen) = self.seen.take() {
                self.settled = seen;
            }
            return;
        }
        let settled = Arc::make_mut(&mut self.settled);
        for pending in self.pending.drain(..kept_count) {
            pending.change.apply(settled);
        }
    }

    /// Keeps what must be kept and of the rest what the luck says.
    fn lose_power(&mut self, luck: &Luck, attempts: &mut BTreeMap<u64, bool>, dice: &mut Dice) {
        self.seen = None;
        let pending = mem::take(&mut self.pending);
        let mut open = luck.for_space(pending.len(), dice);
        let settled = Arc::make_mut(&mut self.settled);
        for (index, pending) in pending.into_iter().enumerate() {
            let is_kept = match pending.fate {
                Fate::Kept => true,
                Fate::Open => open.keeps(index, pending.batch, dice),
                Fate::AsAWhole { attempt } => *attempts.entry(attempt).or_insert_with(|| dice.coin()),
            };
            if is_kept {
                pending.change.apply(settled);
            }
        }
    }
}

impl Change {
    fn apply(&self, view: &mut View) {
        match self {
            Self::Put { key, value } => {
                view.insert(Arc::clone(key), Arc::clone(value));
            }
            Self::Delete { key } => {
                view.remove(key);
            }
            Self::DeleteRange { from, to } if from < to => {
                let bounds = (Bound::Included(&**from), Bound::Excluded(&**to));
                let keys: Vec<Arc<[u8]>> = view.range::<[u8], _>(bounds).map(|(key, _)| Arc::clone(key)).collect();
                for key in keys {
                    view.remove(&key);
                }
            }
            // A range that ends where or before it begins holds nothing.
            Self::DeleteRange { .. } => {}
        }
    }
}

/// Which open operations survive. Several ways, because a coin for each operation would almost never show the plain
/// cases: everything lost, everything kept, a clean cut.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Nothing,
    Everything,
    /// Each space up to a point of its own.
    Prefixes,
    /// Each batch, within a space, whole or not at all.
    WholeBatches,
    /// Each operation with this many chances in eight.
    EachAlone {
        chances_in_eight: u64,
    },
}

/// The luck of one space.
enum SpaceLuck {
    Upto(usize),
    Batches(BTreeMap<u64, bool>),
    Alone(u64),
}

impl Luck {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Prefixes,
            4 => Self::WholeBatches,
            _ => Self::EachAlone { chances_in_eight: 1 + dice.below(7) },
        }
    }

    fn for_space(&self, pending_count: usize, dice: &mut Dice) -> SpaceLuck {
        match self {
            Self::Nothing => SpaceLuck::Upto(0),
            Self::Everything => SpaceLuck::Upto(pending_count),
            Self::Prefixes => SpaceLuck::Upto(dice.below(pending_count as u64 + 1) as usize),
            Self::WholeBatches => SpaceLuck::Batches(BTreeMap::new()),
            Self::EachAlone { chances_in_eight } => SpaceLuck::Alone(*chances_in_eight),
        }
    }
}

impl SpaceLuck {
    fn keeps(&mut self, index: usize, batch: u64, dice: &mut Dice) -> bool {
        match self {
            Self::Upto(count) => index < *count,
            Self::Batches(known) => *known.entry(batch).or_insert_with(|| dice.coin()),
            Self::Alone(chances_in_eight) => dice.below(8) < *chances_in_eight,
        }
    }
}

/// SplitMix64: small, seeded by any number, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// Sees one key and value; stops the walk by breaking or failing.
pub type Examine<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Shows the rows of a view in order, until the visitor breaks or fails.
pub fn walk(view: &View, from: &[u8], direction: Direction, visit: &mut Examine<'_>) -> Result<(), StoreError> {
    let bounds = match direction {
        Direction::Forward => (Bound::Included(from), Bound::Unbounded),
        Direction::Backward => (Bound::Unbounded, Bound::Included(from)),
    };
    let mut rows = view.range::<[u8], _>(bounds);
    while let Some((key, value)) = match direction {
        Direction::Forward => rows.next(),
        Direction::Backward => rows.next_back(),
    } {
        if visit(key, value)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Refuses a key that was made unreadable.
pub fn check_readable(unreadable: &Unreadable, space: Space, key: &[u8]) -> Result<(), StoreError> {
    if !unreadable.is_empty() && unreadable.contains(&(space, key.to_vec())) {
        return Err(damaged(Some(space), "a value cannot be read"));
    }
    Ok(())
}

fn damaged(space: Option<Space>, reason: &str) -> StoreError {
    StoreError::Damaged { path: PathBuf::from("(memory)"), space, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_are_the_published_splitmix64() {
        let mut dice = Dice(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([dice.next(), dice.next(), dice.next()], expected);
    }

    #[test]
    fn what_is_only_synced_is_held_once() {
        let mut disk = Disk::default();
        let mut batch = Batch::default();
        batch.put(Space::Journal, b"key", b"value");
        disk.apply_batch(&batch, Fate::Kept);
        let space = &disk.spaces[Space::Journal as usize];
        assert!(space.pending.is_empty() && space.seen.is_none());
    }

    #[test]
    fn a_flush_brings_the_views_together_again() {
        let mut disk = Disk::default();
        let mut batch = Batch::default();
        batch.put(Space::State, b"key", b"value");
        disk.apply_batch(&batch, Fate::Open);
        disk.apply_batch(&batch, Fate::Kept);
        assert_eq!(disk.spaces[Space::State as usize].pending.len(), 2);
        disk.flush(Space::State);
        let space = &disk.spaces[Space::State as usize];
        assert!(space.pending.is_empty() && space.seen.is_none());
        assert_eq!(space.settled.len(), 1);
    }
}
