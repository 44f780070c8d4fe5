//! How many files the process may have open: each connection is one, and so is each table of the store.
//!
//! What must stay true: connections leave room for the store, whose files are not to be refused.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Tables, journals, listeners, and what the process opens now and then; of few files half.
const OTHER_FILES: u64 = 1_024;

/// Asks the operating system for as many files as so many connections and the store need, as far as it may be had. To be
/// called before the store is opened.
pub(super) fn raise_limit(connections: usize) {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let most = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// For how many of so many connections there is room.
pub(super) fn room_for(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    let limit = getrlimit(Resource::Nofile);
    let fitting = limit.current.map_or(wanted, |current| fitting(wanted, current));
    if fitting < wanted {
        tracing::warn!(
            connections = fitting,
            connections_max = wanted,
            "the process may open too few files (RLIMIT_NOFILE): fewer connections are accepted"
        );
    }
    usize::try_from(fitting).unwrap_or(connections)
}

/// So many of the wanted connections fit into so many files.
fn fitting(wanted: u64, files: u64) -> u64 {
    wanted.min((files - OTHER_FILES.min(files / 2)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_store() {
        for (wanted, files, expected) in [
            (16_384, 65_536, 16_384),
            (16_384, 17_408, 16_384),
            (16_384, 4_096, 3_072),
            (16_384, 1_024, 512),
            (16_384, 256, 128),
            (8, 1_024, 8),
            (8, 0, 1),
            (16_384, u64::MAX, 16_384),
        ] {
            assert_eq!(fitting(wanted, files), expected, "{wanted} of {files}");
        }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20);
        let wanted = usize::try_from(fitting(100_000, most)).unwrap();
        raise_limit(wanted);
        assert_eq!(room_for(wanted), wanted);
        let raised = getrlimit(Resource::Nofile).current;
        let needed = (u64::try_from(wanted).unwrap() + OTHER_FILES).min(most);
        assert!(raised.is_none_or(|raised| raised >= needed), "{raised:?} of {needed}");
    }
}
