//! The bytes of frames, salts and leaves.
//!
//! What must stay true: a frame of the first release is read for ever.

use crate::golden;
use crate::samples::{encode, full_accrual, minimal_accrual, one_line_accrual, opening, refused_accrual};
use crate::support::NOON;
use tallystick::journal::chunk::Chunk;
use tallystick::journal::frame::{Chain, Frame, FrameView};
use tallystick::journal::leaf::{leaf, salt};
use tallystick::journal::record::{Record, encode_control};
use tallystick::ledger::types::{Position, Seq, ShardId, SymbolId, TimestampNs};

/// One chunk of the control shard and one of a worker: three shards, in two frames.
fn frames() -> Vec<Frame> {
    let mut control = Chunk::default();
    control.push(ShardId::CONTROL, Seq(9), |out| encode_control(out, &Record::Opening(opening())));
    control.push(ShardId::CONTROL, Seq(10), |out| {
        encode_control(out, &Record::Symbol(SymbolId(300), "FACIAL TISS/DNR NAPKIN".into()));
    });
    let mut worker = Chunk::default();
    for (shard, seq, entry) in [(201, 5, full_accrual()), (7, 80, one_line_accrual()), (7, 81, refused_accrual())] {
        worker.push(ShardId(shard), Seq(seq), |out| out.extend(encode(&Record::Entry(Box::new(entry)))));
    }
    worker.close();
    let mut chain = Chain { epoch: 3, next: Position(1_000_000_000), hash: [0xab; 32] };
    let mut frames = Vec::new();
    let bases = chain.assemble([&control, &worker].into_iter(), NOON, &mut frames);
    assert_eq!(bases, [Position(1_000_000_000), Position(1_000_000_002)]);
    let mut later = Chunk::default();
    later.push(ShardId(7), Seq(82), |out| out.extend(encode(&Record::Entry(Box::new(minimal_accrual())))));
    chain.assemble(std::iter::once(&later), TimestampNs(NOON.0 + 1), &mut frames);
    frames
}

#[test]
fn frames_keep_their_bytes() {
    let frames = frames();
    assert_eq!(frames.len(), 2);
    for (frame, name) in frames.iter().zip(["frame-1", "frame-2"]) {
        let kept = golden(name, &frame.bytes);
        let view = FrameView::decode(frame.position, &kept).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((view.hash, view.end()), (frame.hash, frame.position.plus(u64::from(frame.record_count))));
    }
    let second = FrameView::decode(frames[1].position, &frames[1].bytes).expect("it is whole");
    second.check_follows(Position(1_000_000_005), &frames[0].hash).expect("it follows the first");
    let mut seen = Vec::new();
    let first = FrameView::decode(frames[0].position, &frames[0].bytes).expect("it is whole");
    let read = first.for_each(|record| -> Result<(), tallystick::journal::frame::FrameError> {
        seen.push((record.position.0 - 1_000_000_000, record.shard.0, record.seq.0));
        Ok(())
    });
    read.expect("the sections are whole");
    assert_eq!(seen, [(0, u16::MAX, 9), (1, u16::MAX, 10), (2, 7, 80), (3, 7, 81), (4, 201, 5)]);
}

#[test]
fn salts_and_leaves_keep_their_bytes() {
    let record = encode(&Record::Entry(Box::new(one_line_accrual())));
    let key: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).expect("small"));
    let salt = salt(&key, ShardId(7), Seq(80));
    golden("leaf-salt", &salt);
    golden("leaf", &leaf(&salt, ShardId(7), Seq(80), &record));
    assert_ne!(leaf(&salt, ShardId(7), Seq(81), &record), leaf(&salt, ShardId(7), Seq(80), &record));
}
