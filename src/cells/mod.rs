//! Counters that many accounts share: budgets of the whole programme.
//!
//! A command takes the cells it touches together, is decided with the room it found, and leaves its use behind before
//! it lets go; nothing is read or written to disk meanwhile.
//!
//! What must stay true:
//! - the value of a cell is the sum of journaled use: replay adds it up (invariant 5);
//! - room that is used counts at once; room that is given back becomes usable only when the record that gives it back
//!   is durable, or a crash could take the return back after the room was granted again (invariant 6);
//! - nothing is posted at a time at which a command could fall under a cell that was forgotten, in whichever shard and
//!   whatever the clock says: it would find the cell full again;
//! - a cell hands out ascending versions, each once. A crash can leave a gap: a later use may have been durable when
//!   an earlier one, in another worker's chunk, was not yet;
//! - a cell whose version is the one that the state space has is there as it is: all that a snapshot writes of it changes
//!   with its version alone.

mod crossings;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};

use smallvec::SmallVec;

use crate::ledger::decision::CellUse;
use crate::ledger::digest::Digester;
use crate::ledger::draws::Draw;
use crate::ledger::state::CellRoom;
use crate::ledger::types::{CellId, Day, TimestampNs, Units};
use crate::ledger::zone::begin_of_utc_day;

pub use crossings::Crossings;

/// Locks over which the cells are spread; several are always taken in ascending order.
const STRIPE_COUNT: usize = 16;

/// Cells that have not changed which one step of a walk passes at most, for each that it may hand out.
const LOOKED_AT_FACTOR: usize = 16;

/// A moment in the life of the workers' chunks: see [`crate::shard::tickets`].
pub type Ticket = u64;

/// One shared counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Uses so far.
    pub version: u64,
    /// Units taken, net of what was given back.
    pub used: Units,
    /// Units given back whose record is not durable yet: not usable.
    pub withheld: Units,
    /// The version up to which a snapshot brought the uses; replay skips them.
    pub base: u64,
    /// The version that the state space has, or gets from the snapshot that is being taken; 0 for none.
    pub saved: u64,
    /// The chunk of the last change; a read that shows the cell waits for it.
    pub changed: Ticket,
    /// No command can fall under the cell after this UTC day; 0 days since the epoch while nothing was taken.
    pub retain_until: Day,
}

impl Cell {
    /// Units that may be taken under a limit; negative when a later version of the programme lowered it.
    #[must_use]
    pub fn room(&self, limit: Units) -> Units {
        limit - self.used - self.withheld
    }

    fn take(&mut self, taken: &CellUse, ticket: Ticket) {
        assert_eq!(taken.version, self.version + 1, "a use has the version that was handed out");
        self.version = taken.version;
        // What would lift it too far is refused when it is decided, also where a cap holds what goes beyond it.
        self.used += taken.used;
        if taken.used < 0 {
            self.withheld -= taken.used;
        }
        self.changed = self.changed.max(ticket);
        self.retain_until = self.retain_until.max(taken.retain_until);
    }
}

type Stripe = BTreeMap<CellId, Cell>;

/// All cells.
#[derive(Debug)]
pub struct Cells {
    stripes: [Mutex<Stripe>; STRIPE_COUNT],
    /// The latest time of a posting that is durable: see [`Cells::note_posted`]. The smallest before the first.
    posted_ns: AtomicI64,
    /// Where the first UTC day begins under whose commands no forgotten cell can fall: see [`Cells::floor`].
    floor_ns: AtomicI64,
    /// Warning levels of budgets that were crossed.
    pub crossings: Crossings,
}

/// Where a walk over the cells is: see [`Cells::next_changed`].
#[derive(Debug, Default)]
pub struct CellWalk {
    stripe: usize,
    /// The last cell of the stripe that was looked at.
    after: Option<CellId>,
}

impl CellWalk {
    /// Whether all cells were looked at.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stripe >= STRIPE_COUNT
    }
}

/// Cells held by one command: nobody else sees or changes them until this is dropped.
pub struct Held<'a> {
    /// The stripes that are locked, ascending. Most commands need one.
    stripes: SmallVec<[(usize, MutexGuard<'a, Stripe>); 2]>,
}

thread_local! {
    static HOLDS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// To be called by whoever is about to wait for something that somebody may have who waits for cells.
///
/// # Panics
/// When this thread holds cells: it could wait for ever.
pub fn assert_none_held() {
    assert!(!HOLDS.get(), "nothing is waited for while cells are held");
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.stripes.is_empty() {
            HOLDS.set(false);
        }
    }
}

fn stripe_of(cell: CellId) -> usize {
    let [partner, store, place] = cell.subject;
    (cell.name.0 ^ partner.0 ^ store.0 ^ place.0) as usize % STRIPE_COUNT
}

impl Default for Cells {
    fn default() -> Self {
        Self {
            stripes: Default::default(),
            posted_ns: AtomicI64::new(i64::MIN),
            floor_ns: AtomicI64::new(i64::MIN),
            crossings: Crossings::default(),
        }
    }
}

impl Cells {
    /// Takes hold of the cells, in an order that excludes deadlock.
    ///
    /// # Panics
    /// When another holder panicked, or this thread holds cells already.
    pub fn hold(&self, cells: impl Iterator<Item = CellId>) -> Held<'_> {
        assert_none_held();
        let needed = cells.fold(0_u32, |needed, cell| needed | 1 << stripe_of(cell));
        let mut stripes = SmallVec::new();
        for (index, stripe) in self.stripes.iter().enumerate() {
            if needed & 1 << index != 0 {
                stripes.push((index, stripe.lock().expect("no holder panics")));
            }
        }
        HOLDS.set(!stripes.is_empty());
        Held { stripes }
    }

    /// The record that gave this room back is durable: it can be used.
    pub fn release(&self, cell: CellId, units: Units) {
        self.hold(std::iter::once(cell)).release(cell, units);
    }

    /// Units taken from a cell, net of what was given back.
    ///
    /// # Panics
    /// As [`Cells::hold`].
    #[must_use]
    pub fn used(&self, cell: CellId) -> Units {
        self.seen(cell).0
    }

    /// As [`Cells::used`], with the cell's last change; 0 for none.
    ///
    /// # Panics
    /// As [`Cells::hold`].
    #[must_use]
    pub fn seen(&self, cell: CellId) -> (Units, Ticket) {
        assert_none_held();
        let stripe = self.stripes[stripe_of(cell)].lock().expect("no holder panics");
        stripe.get(&cell).map_or((0, 0), |found| (found.used, found.changed))
    }

    /// Takes a use from the journal: durable already. Skips what a snapshot brought.
    pub fn restore_use(&self, taken: &CellUse) {
        let mut held = self.hold(std::iter::once(taken.cell));
        let found = held.get_mut(taken.cell);
        if taken.version > found.base {
            found.version = found.version.max(taken.version);
            // Wraps only where the journal was forged: verification names the place, replay must not fall over it, nor
            // depend on an order among shards.
            found.used = found.used.wrapping_add(taken.used);
            found.retain_until = found.retain_until.max(taken.retain_until);
        }
    }

    /// Takes a whole cell from a snapshot. A snapshot is durable before it is read, so nothing is withheld.
    pub fn restore(&self, id: CellId, version: u64, used: Units, retain_until: Day) {
        let cell = Cell { version, used, withheld: 0, base: version, saved: version, changed: 0, retain_until };
        *self.hold(std::iter::once(id)).get_mut(id) = cell;
    }

    /// What was posted until this time is durable.
    pub fn note_posted(&self, at: TimestampNs) {
        self.posted_ns.fetch_max(at.0, Ordering::SeqCst);
    }

    /// The latest time of a posting that is durable; the smallest before the first. What may be forgotten is judged by it, as
    /// digests do: a clock can run ahead, and goes on while nothing is posted.
    #[must_use]
    pub fn latest_posted(&self) -> TimestampNs {
        TimestampNs(self.posted_ns.load(Ordering::SeqCst))
    }

    /// The earliest posting time of what is decided now. It rises before cells are forgotten; so whoever has computed a
    /// posting time looks again once they hold their cells.
    #[must_use]
    pub fn floor(&self) -> TimestampNs {
        TimestampNs(self.floor_ns.load(Ordering::SeqCst))
    }

    /// Lets nothing be posted before this UTC day any more: cells under which it could fall are forgotten.
    pub fn raise_floor(&self, today: Day) {
        self.floor_ns.fetch_max(begin_of_utc_day(today).0, Ordering::SeqCst);
    }

    /// Forgets the cells under which no command posted on this UTC day or later can fall, and lets nothing be posted before
    /// it; which they were.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn forget(&self, today: Day) -> Vec<CellId> {
        assert_none_held();
        let is_over = |cell: &Cell| cell.version > 0 && cell.retain_until < today && cell.withheld == 0;
        let has_one = |stripe: &Mutex<Stripe>| stripe.lock().expect("no holder panics").values().any(is_over);
        if !self.stripes.iter().any(has_one) {
            return Vec::new();
        }
        self.raise_floor(today);
        let mut forgotten = Vec::new();
        for stripe in &self.stripes {
            let mut stripe = stripe.lock().expect("no holder panics");
            forgotten.extend(stripe.extract_if(.., |_, cell| is_over(cell)).map(|(id, _)| id));
        }
        forgotten
    }

    /// A copy of all cells that were ever used, each as it was at some instant during the call, in order. One that was
    /// only looked at, for a quote or in vain, is not part of the state: no record tells of it.
    #[must_use]
    pub fn copy(&self) -> BTreeMap<CellId, Cell> {
        assert_none_held();
        let mut all = BTreeMap::new();
        for stripe in &self.stripes {
            let stripe = stripe.lock().expect("no holder panics");
            all.extend(stripe.iter().filter(|(_, cell)| cell.version > 0).map(|(id, cell)| (*id, *cell)));
        }
        all
    }

    /// The next cells of a walk that the state space does not have as they are, at most so many, each as it is now. They count
    /// as saved from here on: whoever takes them writes them, or ends. A walk comes to every cell that was there when it began,
    /// and holds up a command for a bounded number of them at a time.
    ///
    /// # Panics
    /// When another holder panicked.
    pub fn next_changed(&self, walk: &mut CellWalk, count_max: usize) -> Vec<(CellId, Cell)> {
        assert_none_held();
        let mut changed = Vec::new();
        let Some(stripe) = self.stripes.get(walk.stripe) else { return changed };
        let mut stripe = stripe.lock().expect("no holder panics");
        let from = walk.after.map_or(Bound::Unbounded, Bound::Excluded);
        for (looked_at, (id, cell)) in stripe.range_mut((from, Bound::Unbounded)).enumerate() {
            if changed.len() >= count_max || looked_at >= count_max * LOOKED_AT_FACTOR {
                return changed;
            }
            walk.after = Some(*id);
            if cell.version != cell.saved {
                cell.saved = cell.version;
                changed.push((*id, *cell));
            }
        }
        (walk.stripe, walk.after) = (walk.stripe + 1, None);
        changed
    }

    /// Feeds the cells to a digest of state: those under which a command posted on this UTC day or later can fall,
    /// whether or not the others are forgotten.
    pub fn feed(&self, digester: &mut Digester, today: Day) {
        let mut all = self.copy();
        all.retain(|_, cell| cell.retain_until >= today);
        digester.count(all.len());
        for (id, cell) in all {
            digester.number(id.name.0).number(cell.version).number(cell.used);
            if !id.is_whole() {
                let [partner, store, place] = id.subject;
                // No number that follows a cell is negative.
                digester.number(-1_i8).number(partner.0).number(store.0).number(place.0).number(id.period);
            }
        }
    }
}

impl Held<'_> {
    fn get_mut(&mut self, cell: CellId) -> &mut Cell {
        let wanted = stripe_of(cell);
        let held = self.stripes.iter_mut().find(|(index, _)| *index == wanted);
        let (_, stripe) = held.expect("only cells that were taken hold of are used");
        stripe.entry(cell).or_default()
    }

    /// A cell as it is. One that nobody has drawn on takes no memory: whoever only asks leaves nothing behind.
    fn look(&self, cell: CellId) -> Cell {
        let wanted = stripe_of(cell);
        let held = self.stripes.iter().find(|(index, _)| *index == wanted);
        let (_, stripe) = held.expect("only cells that were taken hold of are used");
        stripe.get(&cell).copied().unwrap_or_default()
    }

    /// What a command finds in a cell, given the limit that the programme sets.
    #[must_use]
    pub fn room(&self, draw: &Draw) -> CellRoom {
        let Draw { cell, limit, retain_until, .. } = *draw;
        let found = self.look(cell);
        CellRoom { cell, version: found.version + 1, room: found.room(limit), retain_until }
    }

    /// What a command that gives back finds in a cell.
    #[must_use]
    pub fn return_to(&self, taken: &CellUse) -> CellRoom {
        let CellUse { cell, retain_until, .. } = *taken;
        CellRoom { cell, version: self.look(cell).version + 1, room: 0, retain_until }
    }

    /// As [`Cells::release`], of a cell that is held.
    pub fn release(&mut self, cell: CellId, units: Units) {
        let found = self.get_mut(cell);
        assert!(units >= 0 && found.withheld >= units, "only what was given back is released");
        found.withheld -= units;
    }

    /// The last change of a cell.
    #[must_use]
    pub fn changed(&self, cell: CellId) -> Ticket {
        self.look(cell).changed
    }

    /// Leaves the use of a decision behind.
    ///
    /// # Panics
    /// When a use does not have the version that [`Held::room`] handed out.
    pub fn take(&mut self, uses: &[CellUse], ticket: Ticket) {
        for taken in uses {
            self.get_mut(taken.cell).take(taken, ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::program::{CalendarWindow, Run};
    use crate::ledger::types::SymbolId;

    const BUDGET: CellId = CellId { name: SymbolId(5), subject: [SymbolId::EMPTY; 3], period: 0 };
    const TODAY: Day = Day(100);

    fn draw(limit: Units) -> Draw {
        let run = Run { window: CalendarWindow::Day, rolling: 1, kept: 1 };
        Draw { cell: BUDGET, limit, retain_until: TODAY, run }
    }

    fn take(cells: &Cells, wanted: Units, limit: Units) -> Units {
        let mut held = cells.hold(std::iter::once(BUDGET));
        let room = held.room(&draw(limit));
        let used = wanted.min(room.room);
        let (version, room_before) = (room.version, room.room);
        held.take(&[CellUse { cell: BUDGET, version, room_before, used, retain_until: TODAY }], 1);
        used
    }

    #[test]
    fn the_last_unit_is_granted_and_not_one_more() {
        let cells = Cells::default();
        assert_eq!(take(&cells, 7, 10), 7);
        assert_eq!(take(&cells, 7, 10), 3);
        assert_eq!(take(&cells, 7, 10), 0);
    }

    #[test]
    fn room_given_back_is_usable_only_once_durable() {
        let cells = Cells::default();
        assert_eq!(take(&cells, 10, 10), 10);
        assert_eq!(take(&cells, -4, 10), -4);
        assert_eq!(take(&cells, 4, 10), 0, "the return is not durable yet");
        cells.release(BUDGET, 4);
        assert_eq!(take(&cells, 9, 10), 4);
    }

    #[test]
    fn whoever_only_asks_leaves_nothing_behind() {
        let cells = Cells::default();
        for period in 0..1_000 {
            let cell = CellId { period, ..BUDGET };
            let held = cells.hold(std::iter::once(cell));
            let room = held.room(&Draw { cell, ..draw(10) });
            assert_eq!((room.version, room.room, held.changed(cell)), (1, 10, 0));
        }
        let kept: usize = cells.stripes.iter().map(|stripe| stripe.lock().unwrap().len()).sum();
        assert_eq!(kept, 0, "callers choose the times of their receipts, and with them the cells");
    }

    #[test]
    fn a_cell_that_was_only_looked_at_is_no_part_of_the_state() {
        let digest_of = |cells: &Cells| {
            let mut digester = Digester::new("test");
            cells.feed(&mut digester, TODAY);
            digester.finish()
        };
        let cells = Cells::default();
        let _ = cells.hold(std::iter::once(BUDGET)).room(&draw(10));
        assert_eq!(
            digest_of(&cells),
            digest_of(&Cells::default()),
            "no record tells of it, so replay has no such cell"
        );
        assert_eq!(take(&cells, 1, 10), 1);
        assert_ne!(digest_of(&cells), digest_of(&Cells::default()));
    }

    #[test]
    fn a_cell_is_forgotten_when_no_command_can_fall_under_it() {
        let cells = Cells::default();
        assert_eq!(take(&cells, 7, 10), 7);
        assert_eq!(cells.forget(TODAY), []);
        let digest = |today| {
            let mut digester = Digester::new("test");
            cells.feed(&mut digester, today);
            digester.finish()
        };
        let (while_needed, later) = (digest(TODAY), digest(Day(TODAY.0 + 1)));
        assert_ne!(while_needed, later);
        assert_eq!(cells.forget(Day(TODAY.0 + 1)), [BUDGET]);
        assert_eq!(digest(Day(TODAY.0 + 1)), later, "a digest does not tell whether it was forgotten yet");
    }

    /// A whole walk, so many cells at a time: the periods that were handed out, and how often it was asked.
    fn walk(cells: &Cells, count_max: usize) -> (Vec<i32>, usize) {
        let (mut walk, mut periods, mut step_count) = (CellWalk::default(), Vec::new(), 0);
        while !walk.is_over() {
            let changed = cells.next_changed(&mut walk, count_max);
            assert!(changed.len() <= count_max);
            periods.extend(changed.into_iter().map(|(id, _)| id.period));
            step_count += 1;
        }
        periods.sort_unstable();
        (periods, step_count)
    }

    fn use_once(cells: &Cells, period: i32) {
        let cell = CellId { period, ..BUDGET };
        let mut held = cells.hold(std::iter::once(cell));
        let version = held.look(cell).version + 1;
        held.take(&[CellUse { cell, version, room_before: 9, used: 1, retain_until: TODAY }], 1);
    }

    #[test]
    fn a_walk_hands_out_what_has_changed_since_the_one_before() {
        let cells = Cells::default();
        (0..1_000).for_each(|period| use_once(&cells, period));
        let _ = cells.hold(std::iter::once(CellId { period: 1_000, ..BUDGET })).room(&draw(10));
        let (all, step_count) = walk(&cells, 7);
        assert_eq!(all, (0..1_000).collect::<Vec<_>>(), "each once");
        assert!(step_count >= STRIPE_COUNT + 1_000 / 7);
        assert!(walk(&cells, 7).0.is_empty(), "nothing has changed since");
        for period in [3, 999, 3, 1_001] {
            use_once(&cells, period);
        }
        let (changed, step_count) = walk(&cells, 7);
        assert_eq!(changed, [3, 999, 1_001]);
        let expected = STRIPE_COUNT + 1_000 / (7 * LOOKED_AT_FACTOR);
        assert!(step_count >= expected, "what it passes is bounded too: {step_count}");
        // One that came with a snapshot is there as it is, until it is used again.
        let cells = Cells::default();
        for period in 0..5 {
            cells.restore(CellId { period, ..BUDGET }, 8, 1, TODAY);
        }
        let again = CellUse { cell: BUDGET, version: 9, room_before: 9, used: 1, retain_until: TODAY };
        // The snapshot has what came before; replay skips it.
        cells.restore_use(&CellUse { version: 8, cell: CellId { period: 4, ..BUDGET }, ..again });
        cells.restore_use(&again);
        assert_eq!(walk(&cells, 7).0, [0]);
    }

    #[test]
    fn a_cell_that_comes_back_after_it_was_forgotten_is_handed_out_again() {
        let cells = Cells::default();
        use_once(&cells, 0);
        assert_eq!(walk(&cells, 7).0, [0]);
        assert_eq!(cells.forget(Day(TODAY.0 + 1)), [BUDGET]);
        // It counts from one, as it did.
        use_once(&cells, 0);
        assert_eq!(walk(&cells, 7).0, [0]);
    }

    #[test]
    fn many_threads_never_take_more_than_there_is() {
        let cells = Cells::default();
        let granted: Units = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..1_000).map(|_| take(&cells, 3, 10_000)).sum::<Units>())).collect();
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
        });
        assert_eq!(granted, 10_000);
    }
}
