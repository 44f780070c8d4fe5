//! New names on their way to the journal.

use super::Engine;
use crate::journal::dictionary::Definitions;
use crate::journal::record::Record;
use crate::limits;
use crate::shard::committer::Submitted;

impl Definitions for Engine {
    fn define(&self, record: Record) {
        self.control.define(record);
    }

    /// As many wait as one commit takes: the committer is told, for whoever brought them may bring no command with them.
    fn has_room(&self) -> bool {
        let has_room = self.control.byte_count() < limits::COMMIT_BYTES_MAX;
        if !has_room {
            // A committer that is gone has nothing to make durable.
            let _ = self.submit.send(Submitted { worker: None, chunk: None });
        }
        has_room
    }
}
