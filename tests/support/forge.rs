//! A journal taken apart and put together again: what an intruder with time could do.
//!
//! What must stay true: what is not altered is written back byte for byte; positions, counts, hashes and the high-water
//! mark are recomputed, so that only the content can give a forgery away.

use std::sync::Arc;

use tallystick::codec::put_unsigned;
use tallystick::journal::dictionary::Dictionary;
use tallystick::journal::frame::{FrameError, FrameView, HEADER_BYTES};
use tallystick::journal::log::{HighWater, StoreJournal};
use tallystick::journal::record::{Entry, EntryHeader, Record, decode, encode_control, encode_entry};
use tallystick::ledger::types::{Position, ShardId};
use tallystick::recovery::recover_state;
use tallystick::store::memory::MemoryStore;
use tallystick::store::{Space, Store};

use super::Setup;

/// A journal as a list that can be altered and written back with every hash recomputed.
pub struct Forge {
    pub frames: Vec<ForgedFrame>,
    pub dictionary: Dictionary,
}

#[derive(Clone)]
pub struct ForgedFrame {
    pub header: Vec<u8>,
    /// Shard, first number, records.
    pub sections: Vec<(ShardId, u64, Vec<Vec<u8>>)>,
}

impl Forge {
    pub fn open(store: &MemoryStore) -> Self {
        let mut frames = Vec::new();
        for (key, value) in store.contents(Space::Journal) {
            let position = Position(u64::from_be_bytes(key.try_into().expect("a position")));
            let view = FrameView::decode(position, &value).expect("the journal is whole");
            let mut sections: Vec<(ShardId, u64, Vec<Vec<u8>>)> = Vec::new();
            let read = view.for_each(|record| -> Result<(), FrameError> {
                match sections.last_mut() {
                    Some((shard, first, records))
                        if *shard == record.shard && *first + records.len() as u64 == record.seq.0 =>
                    {
                        records.push(record.bytes.to_vec());
                    }
                    _ => sections.push((record.shard, record.seq.0, vec![record.bytes.to_vec()])),
                }
                Ok(())
            });
            read.expect("the journal is whole");
            frames.push(ForgedFrame { header: value[..HEADER_BYTES].to_vec(), sections });
        }
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let (world, _) = recover_state(&store, &Setup::default().identity(), &mut |_| {}).expect("it is whole");
        Self { frames, dictionary: world.dictionary }
    }

    /// The place of the first entry that fits: frame, section, record.
    pub fn find(&self, fits: impl Fn(&Entry) -> bool) -> (usize, usize, usize) {
        for (f, frame) in self.frames.iter().enumerate() {
            for (s, (_, _, records)) in frame.sections.iter().enumerate() {
                for (r, bytes) in records.iter().enumerate() {
                    if let Ok(Record::Entry(entry)) = decode(bytes, &self.dictionary)
                        && fits(&entry)
                    {
                        return (f, s, r);
                    }
                }
            }
        }
        panic!("no record fits");
    }

    /// Changes the first entry that fits; gives its position.
    pub fn alter(&mut self, fits: impl Fn(&Entry) -> bool, change: impl FnOnce(&mut Entry)) -> u64 {
        let (f, s, r) = self.find(fits);
        let bytes = &mut self.frames[f].sections[s].2[r];
        let Ok(Record::Entry(mut entry)) = decode(bytes, &self.dictionary) else { unreachable!("found above") };
        change(&mut entry);
        bytes.clear();
        let header = EntryHeader { previous: entry.previous, account: entry.account, posted_at: entry.posted_at };
        encode_entry(bytes, &header, &entry.command, &entry.decision);
        self.position_of((f, s, r))
    }

    /// Changes a record of the control shard.
    pub fn alter_control(&mut self, change: impl Fn(&mut Record) -> bool) -> u64 {
        for f in 0..self.frames.len() {
            for s in 0..self.frames[f].sections.len() {
                for r in 0..self.frames[f].sections[s].2.len() {
                    let bytes = &mut self.frames[f].sections[s].2[r];
                    let mut record = decode(bytes, &self.dictionary).expect("the journal is whole");
                    if !matches!(record, Record::Entry(_)) && change(&mut record) {
                        bytes.clear();
                        encode_control(bytes, &record);
                        return self.position_of((f, s, r));
                    }
                }
            }
        }
        panic!("no record fits");
    }

    pub fn position_of(&self, (frame, section, record): (usize, usize, usize)) -> u64 {
        let count = |frame: &ForgedFrame| frame.sections.iter().map(|(.., records)| records.len() as u64).sum::<u64>();
        let before: u64 = self.frames[..frame].iter().map(count).sum();
        let sections = &self.frames[frame].sections[..section];
        before + sections.iter().map(|(.., records)| records.len() as u64).sum::<u64>() + record as u64
    }

    /// Writes the frames back with new counts, positions and hashes, and renews the mark.
    pub fn write(&self, store: &MemoryStore) {
        for (key, _) in store.contents(Space::Journal) {
            store.remove(Space::Journal, &key);
        }
        let (mut position, mut hash) = (0_u64, [0; 32]);
        for frame in self.frames.iter().filter(|frame| !frame.sections.is_empty()) {
            let mut body = Vec::new();
            let mut record_count = 0_u32;
            for (shard, first, records) in &frame.sections {
                for number in [u64::from(shard.0), *first, records.len() as u64] {
                    put_unsigned(&mut body, number);
                }
                for record in records {
                    put_unsigned(&mut body, record.len() as u64);
                    body.extend_from_slice(record);
                    record_count += 1;
                }
            }
            let mut bytes = frame.header.clone();
            bytes[16..24].copy_from_slice(&position.to_le_bytes());
            bytes[24..28].copy_from_slice(&record_count.to_le_bytes());
            bytes[28..32].copy_from_slice(&u32::try_from(frame.sections.len()).expect("few").to_le_bytes());
            bytes[32..36].copy_from_slice(&u32::try_from(body.len()).expect("small").to_le_bytes());
            bytes[44..76].copy_from_slice(&hash);
            bytes.extend_from_slice(&body);
            hash = *blake3::hash(&bytes).as_bytes();
            bytes.extend_from_slice(&hash);
            store.overwrite(Space::Journal, &position.to_be_bytes(), &bytes);
            position += u64::from(record_count);
        }
        let journal = StoreJournal::new(Arc::new(store.clone()));
        journal.write_high_water(&HighWater { end: Position(position), hash }).expect("memory takes it");
    }

    /// Renumbers the later records of a shard as if the missing one had never been.
    pub fn close_gap(&mut self, shard: ShardId, frame: usize, section: usize) {
        if self.frames[frame].sections[section].2.is_empty() {
            self.frames[frame].sections.remove(section);
        }
        for frame in &mut self.frames[frame + 1..] {
            for (_, first, _) in frame.sections.iter_mut().filter(|(known, ..)| *known == shard) {
                *first -= 1;
            }
        }
    }

    pub fn is_last_of_account(&self, (frame, section, record): (usize, usize, usize)) -> bool {
        let account = |bytes: &[u8]| match decode(bytes, &self.dictionary) {
            Ok(Record::Entry(entry)) => Some(entry.account),
            _ => None,
        };
        let (shard, _, records) = &self.frames[frame].sections[section];
        let of = account(&records[record]);
        let in_frame = records[record + 1..].iter().any(|bytes| account(bytes) == of);
        let later = self.frames[frame + 1..].iter().flat_map(|frame| &frame.sections);
        !in_frame && !later.filter(|(known, ..)| known == shard).any(|(.., r)| r.iter().any(|b| account(b) == of))
    }
}
