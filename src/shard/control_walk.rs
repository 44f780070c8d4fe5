//! The walk over what belongs to no account, a slice at a time: names that are new, versions of the programme, changes of
//! keys, freezes and proposals, and the shared cells that have changed.
//!
//! What must stay true: whatever of this was settled when the walk began is handed out, unless the state space has it; names
//! come before what refers to them; what is handed out waits until all that it shows is durable; a slice is bounded in number
//! and in bytes, and nobody is held up for more than one.

use std::sync::Arc;

use super::committer::Progress;
use super::job::Slice;
use super::snapshotter::Publications;
use super::worker::Shared;
use crate::access::proposals::Proposals;
use crate::cells::{CellWalk, Ticket};
use crate::journal::dictionary::Dictionary;
use crate::ledger::types::{ItemId, Seq, ShardId, SymbolId, TimestampNs};
use crate::limits;
use crate::snapshot::Saved;
use crate::snapshot::cursor::Entities;
use crate::snapshot::entity::Entity;

/// Where the walk is.
pub(super) struct ControlWalk {
    shared: Arc<Shared>,
    dictionary: Arc<Dictionary>,
    publications: Publications,
    /// What the state space has when everything that was handed out is written.
    saved: Saved,
    /// What there was when the walk began. All of it is durable, and what has a number never changes.
    goal: Saved,
    /// The proposals as they were then, if they had changed.
    proposals: Option<(Vec<u8>, Vec<u8>)>,
    /// The control shard's last record then.
    seq: Seq,
    cells: CellWalk,
    is_over: bool,
}

/// A slice that is being filled.
struct Filling {
    entities: Entities,
    byte_count: usize,
    /// The chunk of the last change of what is in it; 0 where all of it is durable.
    ticket: Ticket,
    entities_max: usize,
}

impl Filling {
    fn has_room(&self) -> bool {
        self.entities.len() < self.entities_max && self.byte_count < limits::SNAPSHOT_SLICE_BYTES
    }

    fn push(&mut self, (key, value): (Vec<u8>, Vec<u8>)) {
        self.byte_count += key.len() + value.len();
        self.entities.push((key, value));
    }
}

fn counted(length: usize) -> u32 {
    u32::try_from(length).expect("versions and changes are bounded")
}

impl ControlWalk {
    /// A walk over what came after `saved`. It begins when the position is fixed from which a recovery will replay: whatever
    /// settled before that is there now.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        progress: &Progress,
        dictionary: &Arc<Dictionary>,
        publications: &Publications,
        saved: Saved,
    ) -> Self {
        let version_count = counted(publications.read().expect("no holder panics").len());
        let key_change_count = shared.keys.look(|keys| counted(keys.changes().len()));
        let freeze_change_count = shared.freezes.look(|freezes| counted(freezes.changes().len()));
        let has_changed = |proposals: &Proposals| proposals.change_count() > saved.proposal_change_count;
        let encoded = |proposals: &Proposals| Entity::Proposals(Box::new(proposals.clone())).encode();
        let (proposal_change_count, proposals) = shared
            .proposals
            .look(|proposals| (proposals.change_count(), has_changed(proposals).then(|| encoded(proposals))));
        // After the versions: one is in the list when the names that it uses are durable.
        let defined = progress.defined();
        let goal = Saved {
            symbol_count: defined.symbol_count,
            item_count: defined.item_count,
            version_count,
            key_change_count,
            freeze_change_count,
            proposal_change_count,
        };
        Self {
            shared: shared.clone(),
            dictionary: dictionary.clone(),
            publications: publications.clone(),
            saved,
            goal,
            proposals,
            seq: defined.seq,
            cells: CellWalk::default(),
            is_over: false,
        }
    }

    /// What the state space has when the walk is over and everything that it handed out is written.
    pub(super) fn goal(&self) -> Saved {
        self.goal
    }

    /// The next slice, which may be empty; `None` when the walk is over.
    pub(super) fn next_slice(&mut self) -> Option<Slice> {
        if self.is_over {
            return None;
        }
        let entities_max = self.shared.slice_entities;
        let mut filling = Filling { entities: Vec::new(), byte_count: 0, ticket: 0, entities_max };
        self.fill_names(&mut filling);
        self.fill_versions(&mut filling);
        self.fill_changes(&mut filling);
        if filling.has_room() {
            self.fill_cells(&mut filling);
        }
        if filling.has_room() && self.cells.is_over() {
            filling.push(Entity::Shard(ShardId::CONTROL, self.seq, TimestampNs(0)).encode());
            self.is_over = true;
        }
        Some(Slice { entities: filling.entities, ticket: filling.ticket })
    }

    fn fill_names(&mut self, filling: &mut Filling) {
        while self.saved.symbol_count < self.goal.symbol_count && filling.has_room() {
            let id = SymbolId(self.saved.symbol_count);
            let text = self.dictionary.text(id).expect("a number that was given has a text");
            filling.push(Entity::Symbol(id, text).encode());
            self.saved.symbol_count += 1;
        }
        while self.saved.item_count < self.goal.item_count && filling.has_room() {
            let id = ItemId(self.saved.item_count);
            let item = self.dictionary.item(id).expect("a number that was given has an item");
            filling.push(Entity::Item(id, item).encode());
            self.saved.item_count += 1;
        }
    }

    fn fill_versions(&mut self, filling: &mut Filling) {
        while self.saved.version_count < self.goal.version_count && filling.has_room() {
            // Held for one version at a time: the committer may wait for it.
            let publications = self.publications.read().expect("no holder panics");
            let (position, publication) = &publications[self.saved.version_count as usize];
            filling.push(Entity::Program(*position, Box::new(publication.clone())).encode());
            self.saved.version_count += 1;
        }
    }

    fn fill_changes(&mut self, filling: &mut Filling) {
        let Self { shared, saved, goal, .. } = self;
        if saved.key_change_count < goal.key_change_count && filling.has_room() {
            shared.keys.look(|keys| {
                while saved.key_change_count < goal.key_change_count && filling.has_room() {
                    let number = saved.key_change_count;
                    let (at, change) = &keys.changes()[number as usize];
                    filling.push(Entity::KeyChange(number, *at, change.clone()).encode());
                    saved.key_change_count += 1;
                }
            });
        }
        if saved.freeze_change_count < goal.freeze_change_count && filling.has_room() {
            shared.freezes.look(|freezes| {
                while saved.freeze_change_count < goal.freeze_change_count && filling.has_room() {
                    let number = saved.freeze_change_count;
                    let (at, change) = &freezes.changes()[number as usize];
                    filling.push(Entity::FreezeChange(number, *at, change.clone()).encode());
                    saved.freeze_change_count += 1;
                }
            });
        }
        if filling.has_room()
            && let Some(proposals) = self.proposals.take()
        {
            filling.push(proposals);
        }
    }

    fn fill_cells(&mut self, filling: &mut Filling) {
        let room = filling.entities_max - filling.entities.len();
        for (id, cell) in self.shared.cells.next_changed(&mut self.cells, room) {
            // A return that is not usable yet is part of `used` already: it is durable when the ticket is.
            filling.ticket = filling.ticket.max(cell.changed);
            filling.push(Entity::Cell(id, cell.version, cell.used, cell.retain_until).encode());
        }
    }
}
