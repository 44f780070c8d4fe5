//! New names on their way to the journal.

use super::Engine;
use crate::journal::dictionary::Definitions;
use crate::journal::record::Record;
use crate::shard::committer::Submitted;
use crate::shard::control::FirstToFind;

impl Definitions for Engine {
    fn define(&self, record: Record) {
        self.control.define(record);
    }

    /// As many wait as one commit takes: the committer is told, for whoever brought them may bring no command with them.
    fn has_room(&self) -> bool {
        let room = self.control.has_room();
        if room == Err(FirstToFind(true)) {
            // A committer that is gone has nothing to make durable.
            let _ = self.submit.send(Submitted { worker: None, chunk: None });
        }
        room.is_ok()
    }
}
