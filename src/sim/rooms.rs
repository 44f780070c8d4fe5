//! What a command found in shared cells, taken from its record in the order in which the ledger looked.
//!
//! What must stay true: a cell is looked into once; which cells must be looked into, and which may be left out because
//! nothing is used of them, the rules say and not the record.

use std::collections::{BTreeMap, VecDeque};

use super::facts::{Name, Use, Verdict};
use super::model::{Broken, must};

/// Windows that follow each other and are bounded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// So many.
    pub count: i32,
    /// What the numbers of two that follow each other differ by.
    pub step: i32,
}

/// The cells that a record names, with the room in each.
#[derive(Debug)]
pub struct Rooms<'a> {
    left: VecDeque<(&'a str, i64)>,
    known: BTreeMap<Name, i64>,
}

impl<'a> Rooms<'a> {
    /// What a record says.
    #[must_use]
    pub fn new(uses: &'a [Use]) -> Self {
        Self { left: uses.iter().map(|taken| (&*taken.cell, taken.room)).collect(), known: BTreeMap::new() }
    }

    /// The room in a cell, which has to be the next one that the ledger looked into, or one that is known.
    ///
    /// # Errors
    /// When it is not.
    pub fn look(&mut self, name: Name, verdict: &mut Verdict) -> Result<i64, Broken> {
        if let Some(room) = self.known.get(&name) {
            return Ok(*room);
        }
        let Some((cell, room)) = self.left.pop_front() else { return Err(format!("cell {name} is looked into")) };
        must!(*cell == *name, "cell {name} is looked into before {cell}");
        verdict.taken.push((name.clone(), 0));
        self.known.insert(name, room);
        Ok(room)
    }

    /// The room that windows which are bounded together leave in the present one; `name` is that of the cell of a window
    /// so many after it. Of all runs that contain the present one the fullest counts.
    ///
    /// # Errors
    /// When the ledger has not looked into what it had to.
    pub fn look_around(
        &mut self,
        together: Windows,
        limit: i64,
        name: impl Fn(i32) -> Name,
        verdict: &mut Verdict,
    ) -> Result<i64, Broken> {
        let ahead = together.count - 1;
        let is_known = self.known.contains_key(&name(0));
        let mut used = BTreeMap::new();
        for later in -ahead..=ahead {
            let cell = name(later * together.step);
            let is_next = self.left.front().is_some_and(|(next, _)| **next == *cell) && !is_known;
            if later == 0 || is_next || self.known.contains_key(&cell) {
                let room = self.look(cell.clone(), verdict)?;
                must!(later == 0 || is_known || room < limit, "cell {cell} is named only when something is used of it");
                used.insert(later, (limit - room).max(0));
            }
        }
        let run = |first: i32| used.range(first..=first + ahead).map(|(_, used)| used).sum::<i64>();
        Ok((limit - (-ahead..=0).map(run).max().unwrap_or(0)).max(0))
    }

    /// Whether the record names no other cell.
    ///
    /// # Errors
    /// When it does.
    pub fn end(&mut self) -> Result<(), Broken> {
        self.left.pop_front().map_or(Ok(()), |(cell, _)| Err(format!("cell {cell} is not looked into")))
    }
}
