//! The size that refusals say, against the transport as the standard has it and a caller that is strict.

use proptest::prelude::*;

use super::*;
use crate::server::hpack::Rest;

/// What one side keeps: entries by their numbers and sizes, the newest first.
struct Kept {
    entries: VecDeque<(usize, u32)>,
    bytes_max: u32,
}

impl Kept {
    fn new() -> Self {
        Self { entries: VecDeque::new(), bytes_max: TABLE_BYTES }
    }

    fn resize(&mut self, bytes_max: u32) {
        self.bytes_max = bytes_max;
        self.shrink(bytes_max);
    }

    fn enter(&mut self, number: usize, bytes: u32) {
        self.shrink(self.bytes_max.saturating_sub(bytes));
        if bytes <= self.bytes_max {
            self.entries.push_front((number, bytes));
        }
    }

    fn shrink(&mut self, bytes_max: u32) {
        while self.entries.iter().map(|(_, bytes)| bytes).sum::<u32>() > bytes_max {
            self.entries.pop_back();
        }
    }
}

/// The transport: what it says with its next headers is the smallest size since the last ones, and the one that holds.
struct Transport {
    kept: Kept,
    owed: Option<[u32; 2]>,
}

impl Transport {
    fn acknowledge(&mut self, bytes: u32) {
        let bytes = bytes.min(TABLE_BYTES);
        self.owed = match self.owed {
            Some([smallest, _]) => Some([smallest.min(bytes), bytes]),
            None => (bytes != self.kept.bytes_max).then_some([bytes; 2]),
        };
    }

    fn begin_headers(&mut self) -> Vec<u32> {
        let sizes: Vec<u32> = self.owed.take().into_iter().flatten().collect();
        sizes.iter().for_each(|bytes| self.kept.resize(*bytes));
        sizes
    }
}

/// A caller that must be told a smaller size, and takes none that is larger than it allows.
struct Caller {
    kept: Kept,
    allowed_bytes: u32,
    must_be_told: Option<u32>,
}

impl Caller {
    fn has_acknowledgement(&mut self, bytes: u32) {
        self.allowed_bytes = bytes;
        if bytes < self.kept.bytes_max {
            self.must_be_told = Some(self.must_be_told.map_or(bytes, |smallest| smallest.min(bytes)));
        }
    }

    /// Reads the sizes at the beginning of headers; whether they are right.
    fn read(&mut self, sizes: &[u32]) -> bool {
        sizes.iter().for_each(|bytes| self.kept.resize(*bytes));
        let is_told = |smallest: u32| sizes.first().is_some_and(|bytes| *bytes <= smallest);
        self.must_be_told.take().is_none_or(is_told) && sizes.iter().all(|bytes| *bytes <= self.allowed_bytes)
    }
}

#[derive(Clone, Debug)]
enum Event {
    Settings(Option<u32>),
    Acknowledgement,
    /// Headers of the transport, with entries of these sizes.
    Headers(Vec<u32>),
    Refusal,
}

fn event() -> impl Strategy<Value = Event> {
    let bytes = prop::sample::select(vec![0_u32, 40, 100, 200, 4_095, 4_096, 10_000]);
    prop_oneof![
        prop::option::weighted(0.9, bytes).prop_map(Event::Settings),
        Just(Event::Acknowledgement),
        prop::collection::vec(33_u32..110, 0..4).prop_map(Event::Headers),
        Just(Event::Refusal),
    ]
}

fn setting(number: u16, value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u16(number);
    bytes.put_u32(value);
    bytes
}

proptest! {
    /// Whatever is stated, acknowledged and written, in any order: a strict caller can read all headers, and behind those of
    /// the transport it keeps the entries that the transport keeps.
    #[test]
    fn callers_are_told_what_they_must_be_and_keep_what_the_transport_keeps(
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut table = Table::new();
        let mut transport = Transport { kept: Kept::new(), owed: None };
        let mut caller = Caller { kept: Kept::new(), allowed_bytes: TABLE_BYTES, must_be_told: None };
        let mut awaited = VecDeque::new();
        for (number, event) in events.into_iter().enumerate() {
            match event {
                Event::Settings(stated) => {
                    let settings = stated.map_or_else(Vec::new, |bytes| setting(HEADER_TABLE_SIZE, bytes));
                    table.await_acknowledgement(&settings);
                    awaited.push_back(stated);
                }
                Event::Acknowledgement => {
                    let Some(stated) = awaited.pop_front() else { continue };
                    table.acknowledge();
                    if let Some(bytes) = stated {
                        transport.acknowledge(bytes);
                        caller.has_acknowledgement(bytes);
                    }
                }
                Event::Headers(entries) => {
                    table.begin_headers();
                    let sizes = transport.begin_headers();
                    prop_assert!(caller.read(&sizes), "the transport is right: {sizes:?}");
                    for bytes in entries {
                        transport.kept.enter(number, bytes);
                        caller.kept.enter(number, bytes);
                    }
                    prop_assert_eq!(&caller.kept.entries, &transport.kept.entries);
                }
                Event::Refusal => {
                    let mut block: Vec<u8> = Vec::new();
                    if table.owes_size() {
                        table.put_size(&mut block);
                    }
                    prop_assert!(block.first().is_none_or(|first| first & 0xe0 == SIZE_UPDATE), "it is a size");
                    let sizes: Vec<u32> =
                        Rest(&block).integer(SIZE_PREFIX).into_iter().map(|bytes| bytes as u32).collect();
                    prop_assert!(caller.read(&sizes), "{sizes:?}");
                }
            }
        }
    }
}

#[test]
fn the_size_is_found_among_settings() {
    let others = [setting(2, 0), setting(4, 1), setting(0x100, 7), setting(0x101, 9)].concat();
    assert_eq!(table_bytes(&others), None);
    let (none, all) = (setting(HEADER_TABLE_SIZE, 0), setting(HEADER_TABLE_SIZE, u32::MAX));
    assert_eq!(table_bytes(&[others.as_slice(), &all, &others].concat()), Some(u32::MAX));
    assert_eq!(table_bytes(&[all.as_slice(), &none].concat()), Some(0), "the last counts");
    assert_eq!(table_bytes(&none[..5]), None, "it is cut short");
}

#[test]
fn nothing_is_said_of_a_table_that_nobody_made_smaller() {
    let mut table = Table::new();
    for settings in [vec![], setting(HEADER_TABLE_SIZE, TABLE_BYTES), setting(HEADER_TABLE_SIZE, 65_536)] {
        table.await_acknowledgement(&settings);
        table.acknowledge();
        assert!(!table.owes_size(), "{settings:?}");
    }
    // An acknowledgement of nothing means nothing.
    table.acknowledge();
    assert!(!table.owes_size());
}
