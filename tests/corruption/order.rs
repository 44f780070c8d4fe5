//! Records dropped, repeated, exchanged, of the wrong epoch, or cut off behind the mark.
//!
//! What must stay true: the order of records cannot be changed unseen; the gap behind the mark is stated.

use std::sync::Arc;

use crate::forgery::is_grant;
use crate::support::forge::Forge;
use crate::support::verify_store;
use crate::{first_finding, keys, original, position_of};
use tallystick::audit::verify::FindingClass;

use tallystick::journal::frame::FrameView;
use tallystick::journal::log::{HighWater, StoreJournal};
use tallystick::journal::record::{Opening, Record, decode};
use tallystick::ledger::types::{Position, ShardId};
use tallystick::store::{Space, Store};

#[test]
fn records_dropped_repeated_or_reordered_within_frames_are_found_although_every_hash_fits() {
    // Every record, dropped alone; the rest closes up, numbers and all.
    let whole = Forge::open(&original());
    let (mut dropped_count, mut unseen_count) = (0, 0);
    for f in 0..whole.frames.len() {
        for s in 0..whole.frames[f].sections.len() {
            for r in 0..whole.frames[f].sections[s].2.len() {
                let mut forge = Forge::open(&original());
                let (shard, _, records) = &mut forge.frames[f].sections[s];
                let shard = *shard;
                records.remove(r);
                forge.close_gap(shard, f, s);
                let what = format!("record {r} of section {s} of frame {f}, dropped");
                let store = original();
                let mark = store.read_mark().expect("memory gives it");
                forge.write(&store);
                let with_new_mark = verify_store(&store);
                store.set_mark(mark.as_deref());
                first_finding(&store, &what);
                if with_new_mark.intact {
                    // Nothing in the content speaks of the last record of an account: that is what the mark is for.
                    assert!(shard != ShardId::CONTROL && whole.is_last_of_account((f, s, r)), "{what} was not found");
                    unseen_count += 1;
                }
                dropped_count += 1;
            }
        }
    }
    assert!(dropped_count > 100 && unseen_count <= 6, "{dropped_count} dropped, {unseen_count} unseen");
}

#[test]
fn records_of_one_account_that_are_exchanged_are_found_although_every_hash_fits() {
    let mut found_count = 0;
    let count = Forge::open(&original()).frames.len();
    for f in 0..count - 1 {
        let mut forge = Forge::open(&original());
        let Some((shard, at)) = forge.frames[f]
            .sections
            .iter()
            .enumerate()
            .find_map(|(s, (shard, ..))| (*shard != ShardId::CONTROL).then_some((*shard, s)))
        else {
            continue;
        };
        // The next record of the same shard, in whatever frame.
        let next = (f + 1..count)
            .find_map(|g| forge.frames[g].sections.iter().position(|(known, ..)| *known == shard).map(|s| (g, s)));
        let Some((g, s)) = next else { continue };
        let one = forge.frames[f].sections[at].2[0].clone();
        let other = std::mem::replace(&mut forge.frames[g].sections[s].2[0], one);
        forge.frames[f].sections[at].2[0] = other;
        let store = original();
        forge.write(&store);
        first_finding(&store, &format!("records exchanged between frames {f} and {g}"));
        found_count += 1;
    }
    assert!(found_count > 20, "{found_count}");
}

#[test]
fn a_repeated_record_is_found_although_every_hash_fits() {
    let mut forge = Forge::open(&original());
    let (f, s, r) = forge.find(is_grant);
    let record = forge.frames[f].sections[s].2[r].clone();
    let (shard, first, _) = forge.frames[f].sections[s];
    // Once more under its own number, which a replay over a snapshot would skip.
    forge.frames[f].sections.push((shard, first, vec![record]));
    let store = original();
    forge.write(&store);
    let found = first_finding(&store, "a repeated record");
    assert_eq!(found.class, FindingClass::Sequence, "{found}");
    assert!(found.sentence.contains("missing, repeated or out of order"), "{found}");
}

#[test]
fn epochs_that_do_not_ascend_or_were_never_opened_are_found() {
    let original_forge = Forge::open(&original());
    let last = original_forge.frames.len() - 1;
    let mut back = Forge::open(&original());
    back.frames[last].header[8..16].copy_from_slice(&1_u64.to_le_bytes());
    let mut ahead = Forge::open(&original());
    ahead.frames[last].header[8..16].copy_from_slice(&7_u64.to_le_bytes());
    let mut engine = Forge::open(&original());
    engine.frames[last].header[6..8].copy_from_slice(&9_u16.to_le_bytes());
    let rows = [
        (back, FindingClass::Epoch, "epoch 1 follows epoch 2"),
        (ahead, FindingClass::Epoch, "epoch 7 begins with a record that does not open it"),
        (engine, FindingClass::Frame, "decided by engine 9"),
    ];
    for (forge, class, says) in rows {
        let store = original();
        forge.write(&store);
        let found = first_finding(&store, says);
        assert_eq!(found.class, class, "{found}");
        assert!(found.sentence.contains(says), "{found}");
    }
}

/// What is forged of the second opening, and what is said.
type Row = (&'static str, fn(&mut Opening), &'static str);

#[test]
fn an_opening_of_another_epoch_or_another_directory_is_found() {
    const ANOTHER: &str = "the shards or the clock are not those of the data directory";
    let rows: [Row; 4] = [
        ("the epoch before", |opening| opening.epoch -= 1, "epoch 1 is opened inside epoch 2"),
        ("the epoch after", |opening| opening.epoch += 1, "epoch 3 is opened inside epoch 2"),
        ("more shards", |opening| opening.shard_count += 1, ANOTHER),
        ("another clock", |opening| opening.clock_is_input = true, ANOTHER),
    ];
    for (what, change, says) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter_control(|record| match record {
            Record::Opening(opening) if opening.epoch == 2 => {
                change(opening);
                true
            }
            _ => false,
        });
        forge.write(&store);
        let found = first_finding(&store, what);
        assert_eq!((found.class, found.position), (FindingClass::Epoch, position), "{what}: {found}");
        assert!(found.sentence.contains(says), "{what}: {found}");
    }
}

#[test]
fn a_second_opening_of_the_same_epoch_is_found() {
    let store = original();
    let mut forge = Forge::open(&store);
    let sections = forge.frames.iter().flat_map(|frame| &frame.sections);
    let control: Vec<_> = sections.filter(|(shard, ..)| *shard == ShardId::CONTROL).collect();
    let next = control.iter().map(|(.., records)| records.len() as u64).sum::<u64>() + 1;
    let is_opening = |bytes: &&Vec<u8>| matches!(decode(bytes, &forge.dictionary), Ok(Record::Opening(_)));
    let mut records = control.iter().flat_map(|(.., records)| records);
    let opening = records.rfind(is_opening).expect("a process took over").clone();
    let last = forge.frames.len() - 1;
    forge.frames[last].sections.push((ShardId::CONTROL, next, vec![opening]));
    let position = forge.position_of((last, forge.frames[last].sections.len() - 1, 0));
    forge.write(&store);
    let found = first_finding(&store, "a second opening");
    assert_eq!((found.class, found.position), (FindingClass::Epoch, position), "{found}");
    assert!(found.sentence.contains("epoch 2 is opened inside epoch 2"), "{found}");
}

#[test]
fn what_lies_behind_the_mark_can_be_cut_and_the_report_says_so() {
    let store = original();
    let keys = keys(&store);
    let (last, before) = (&keys[keys.len() - 1], &keys[keys.len() - 2]);
    // A mark that was renewed one commit ago.
    let frame = store.get(Space::Journal, before).expect("memory gives it").expect("it is there");
    let view = FrameView::decode(Position(position_of(before)), &frame).expect("it is whole");
    let journal = StoreJournal::new(Arc::new(store.clone()));
    journal.write_high_water(&HighWater { end: view.end(), hash: view.hash }).expect("memory takes it");
    let report = verify_store(&store);
    assert!(report.intact, "{:#?}", report.findings);
    let behind = report.end_position - position_of(last);
    assert_eq!(report.records_behind_mark, behind);
    let promise = format!(
        "Detection is promised up to position {}, the last durable high-water mark; {behind} records lie behind it.",
        position_of(last)
    );
    assert_eq!(report.promise, promise);
    store.remove(Space::Journal, last);
    let report = verify_store(&store);
    assert!(report.intact && report.records_behind_mark == 0, "{:#?}", report.findings);
    // With no mark at all the report promises no end.
    store.set_mark(None);
    assert!(verify_store(&store).promise.starts_with("There is no high-water mark"));
}
