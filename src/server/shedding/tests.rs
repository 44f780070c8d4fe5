//! Calls by hand: what of them passes, what is refused, and where refusals stand in what goes out.

use std::collections::BTreeMap;

use bytes::BufMut;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::conduct::Pace;
use super::super::frames::PREFACE;
use super::*;
use crate::config::Bounds;
use crate::limits;
use crate::service::express::ACCRUE;

#[path = "told_tests.rs"]
mod told;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    Frame { kind, flags, stream, payload: payload.to_vec() }
}

fn written(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.put_uint(frame.payload.len() as u64, 3);
        bytes.put_slice(&[frame.kind, frame.flags]);
        bytes.put_u32(frame.stream);
        bytes.put_slice(&frame.payload);
    }
    bytes
}

fn read(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        frames.push(frame(bytes[3], bytes[4], stream, &bytes[9..9 + length]));
        bytes = &bytes[9 + length..];
    }
    frames
}

/// The headers of a call as literals; of a path that enters the table if asked.
fn headers(path: &str, enters: bool) -> Vec<u8> {
    let mut block = vec![0x83, 0x86, if enters { 0x44 } else { 4 }, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    block
}

fn accrual(stream: u32) -> Frame {
    frame(HEADERS, END_HEADERS, stream, &headers(ACCRUE, false))
}

fn message(stream: u32) -> Frame {
    frame(DATA, END_STREAM, stream, &[7; 40])
}

/// A thread that carries as many calls as it can but so many.
fn crowd_with_room(room: usize) -> Arc<Crowd> {
    Crowd::new(false, Box::new(move || limits::LANE_CALLS_MAX - room), Box::new(|| {}))
}

/// A thread with as many calls as it carries, or none.
fn crowd(is_full: bool) -> Arc<Crowd> {
    crowd_with_room(if is_full { 0 } else { limits::LANE_CALLS_MAX })
}

fn conduct() -> Arc<Conduct> {
    Arc::new(Conduct::new(Pace::of(&Bounds::default()), Arc::default()))
}

/// One side of a connection.
struct Side {
    inbound: Inbound,
    outbound: Outbound,
}

impl Side {
    /// The preface has come.
    fn begun() -> Self {
        let mut side = Self { inbound: Inbound::new(), outbound: Outbound::new() };
        assert_eq!(side.passed(&crowd(false), PREFACE), PREFACE);
        side
    }

    /// What passes of bytes that come.
    fn passed(&mut self, crowd: &Crowd, bytes: &[u8]) -> Vec<u8> {
        let mut room = vec![0; bytes.len() + inbound::HELD_BYTES_MAX];
        let mut buf = ReadBuf::new(&mut room);
        self.inbound.give_back(&mut buf);
        buf.put_slice(bytes);
        let kept = self.inbound.pass(buf.filled_mut(), crowd, &mut self.outbound).unwrap();
        buf.filled()[..kept].to_vec()
    }

    fn frames(&mut self, crowd: &Crowd, frames: &[Frame]) -> Vec<Frame> {
        read(&self.passed(crowd, &written(frames)))
    }

    /// What waits to be written.
    async fn own(&mut self) -> Vec<Frame> {
        let mut out = Vec::new();
        std::future::poll_fn(|cx| self.outbound.poll_own(Pin::new(&mut out), cx)).await.unwrap();
        read(&out)
    }
}

#[tokio::test]
async fn a_call_that_is_too_much_is_refused_whole_and_others_pass() {
    let full = crowd(true);
    let mut side = Side::begun();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let quote = frame(HEADERS, END_HEADERS, 5, &headers("/tallystick.v1.LedgerService/Quote", false));
    let came = [
        settings.clone(),
        accrual(1),
        accrual(3),
        message(1),
        quote.clone(),
        frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0]),
        frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]),
        message(5),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]),
    ];
    let passed = side.frames(&full, &came);
    assert_eq!(passed, [settings, quote, message(5), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])]);
    let refusals = side.own().await;
    assert_eq!(refusals.iter().map(|refusal| refusal.stream).collect::<Vec<_>>(), [1, 3]);
    for refusal in refusals {
        assert_eq!((refusal.kind, refusal.flags), (HEADERS, END_STREAM | END_HEADERS));
        let fields = crate::server::hpack::fields_without_table(&refusal.payload).unwrap();
        assert!(fields.contains(&(b"grpc-status".to_vec(), b"8".to_vec())), "{fields:?}");
    }
    // Late words about a call that is over reach nobody who does not know it.
    let late = [accrual(7), message(7), frame(RST_STREAM, 0, 7, &[0; 4])];
    assert_eq!(side.frames(&full, &late), []);
    // Whoever never began a call is judged by the transport.
    let unknown = [frame(RST_STREAM, 0, 9, &[0; 4])];
    assert_eq!(side.frames(&full, &unknown), unknown);
}

#[tokio::test]
async fn headers_that_change_the_table_pass_and_those_that_use_it_are_known() {
    let full = crowd(true);
    let mut side = Side::begun();
    let first = frame(HEADERS, END_HEADERS, 1, &headers(ACCRUE, true));
    assert_eq!(side.frames(&full, &[first.clone(), message(1)]), [first, message(1)]);
    // Later ones name the path by its place.
    let by_place = |stream| frame(HEADERS, END_HEADERS, stream, &[0x83, 0x86, 0xbe]);
    assert_eq!(side.frames(&full, &[by_place(3), message(3)]), []);
    // In two parts, with padding and a priority it passes, and the table is known none the less.
    let mut padded = vec![2, 0, 0, 0, 0, 9];
    padded.extend(headers("/other", true));
    padded.extend([0, 0]);
    let parts = [
        frame(HEADERS, END_HEADERS | 0x28, 5, &padded),
        message(5),
        frame(HEADERS, 0, 7, &headers("/x", true)[..4]),
        frame(CONTINUATION, END_HEADERS, 7, &headers("/x", true)[4..]),
        message(7),
    ];
    assert_eq!(side.frames(&full, &parts), parts);
    let stays = |stream, index| [frame(HEADERS, END_HEADERS, stream, &[0x83, 0x86, index]), message(stream)];
    assert_eq!(side.frames(&full, &stays(9, 0xbe)), stays(9, 0xbe));
    assert_eq!(side.frames(&full, &stays(11, 0xc0)), [], "it is the third newest now");
    assert_eq!(side.own().await.len(), 2);
}

#[test]
fn what_cannot_be_read_ends_the_refusals_and_passes() {
    let full = crowd(true);
    let mut side = Side::begun();
    assert_eq!(side.frames(&full, &[accrual(1)]), []);
    let came = [frame(HEADERS, END_HEADERS, 3, &[0x80]), accrual(5), message(5)];
    assert_eq!(side.frames(&full, &came), came);
    assert_eq!(side.frames(&full, &[message(1)]), [], "what was refused before stays out");
}

#[test]
fn a_refused_call_that_goes_on_with_headers_ends_the_connection() {
    let full = crowd(true);
    let mut side = Side::begun();
    assert_eq!(side.frames(&full, &[accrual(1)]), []);
    let mut bytes = written(&[accrual(1)]);
    assert!(side.inbound.pass(&mut bytes, &full, &mut side.outbound).is_err());
}

#[test]
fn a_refused_call_that_goes_on_with_too_much_ends_the_connection() {
    let full = crowd(true);
    let mut side = Side::begun();
    assert_eq!(side.frames(&full, &[accrual(1)]), []);
    let piece = frame(DATA, 0, 1, &[0; 16 << 10]);
    for _ in 0..limits::MESSAGE_BYTES_MAX / (16 << 10) {
        assert_eq!(side.frames(&full, std::slice::from_ref(&piece)), []);
    }
    let mut bytes = written(&[piece]);
    assert!(side.inbound.pass(&mut bytes, &full, &mut side.outbound).is_err(), "no message is as long");
}

/// A frame of so much data, and so much padding.
fn padded(stream: u32, data_bytes: usize, padding_bytes: u8) -> Frame {
    let mut payload = vec![padding_bytes];
    payload.resize(1 + data_bytes + usize::from(padding_bytes), 0);
    frame(DATA, PADDED, stream, &payload)
}

#[test]
fn a_refused_call_may_bring_the_largest_message_there_is_and_padding() {
    let full = crowd(true);
    let mut side = Side::begun();
    assert_eq!(side.frames(&full, &[accrual(1)]), []);
    // With what comes before it.
    let mut left = limits::MESSAGE_BYTES_MAX + 5;
    while left > 0 {
        let data_bytes = left.min(16_000);
        assert_eq!(side.frames(&full, &[padded(1, data_bytes, 255)]), []);
        left -= data_bytes;
    }
    assert_eq!(side.frames(&full, &[padded(1, 0, 0), padded(1, 0, 200), frame(DATA, 0, 1, &[])]), []);
    let mut bytes = written(&[padded(1, 1, 255)]);
    assert!(side.inbound.pass(&mut bytes, &full, &mut side.outbound).is_err(), "it is one byte more");
}

#[test]
fn frames_with_padding_pass_or_are_taken_out_in_pieces_of_any_size() {
    for is_full in [false, true] {
        let crowd = crowd(is_full);
        let came =
            [accrual(1), padded(1, 9, 3), padded(1, 0, 0), frame(DATA, PADDED, 1, &[]), message(1), padded(5, 1, 1)];
        for cut in 1..30 {
            let mut side = Side::begun();
            let mut passed = Vec::new();
            for piece in written(&came).chunks(cut) {
                passed.extend(side.passed(&crowd, piece));
            }
            // The last is of no call that was refused.
            assert_eq!(read(&passed), came[if is_full { 5 } else { 0 }..], "in pieces of {cut}");
        }
    }
}

#[test]
fn refused_calls_that_are_given_up_are_told() {
    let full = crowd(true);
    let mut side = Side::begun();
    side.frames(&full, &[accrual(1), frame(RST_STREAM, 0, 1, &[0; 4]), accrual(3), message(3)]);
    assert_eq!((side.outbound.take_refused(), side.inbound.take_given_up()), (2, 1));
    assert_eq!((side.outbound.take_refused(), side.inbound.take_given_up()), (0, 0));
}

#[tokio::test]
async fn who_takes_no_refusals_is_not_refused_here() {
    let full = crowd(true);
    let mut side = Side::begun();
    let mut passed_count = 0;
    for number in 0..1_000 {
        passed_count += side.frames(&full, &[accrual(2 * number + 1), message(2 * number + 1)]).len() / 2;
    }
    assert!(passed_count > 0, "what waits is bounded");
    let own = side.own().await;
    let refused_count = own.iter().filter(|frame| frame.kind == HEADERS).count();
    assert_eq!(passed_count + refused_count, 1_000);
    // The room of what was taken out is given back.
    let given: u32 = own
        .iter()
        .filter(|frame| frame.kind == WINDOW_UPDATE)
        .map(|frame| u32::from_be_bytes(frame.payload[..].try_into().unwrap()))
        .sum();
    let taken = u32::try_from(40 * refused_count).unwrap();
    assert!(given <= taken && taken - given < 16 << 10, "{given} of {taken}");
}

#[test]
fn calls_on_their_way_to_the_services_count() {
    let room_for_two = crowd_with_room(2);
    let mut side = Side::begun();
    let came = [accrual(1), accrual(3), accrual(5)];
    assert_eq!(side.frames(&room_for_two, &came), came[..2]);
    side.inbound.begin_turn();
    assert_eq!(side.frames(&room_for_two, &[accrual(7)]), [accrual(7)], "whoever did not come is not waited for");
}

/// What a caller sends for one call: an accrual or another; its headers in one part or two; how it goes on.
#[derive(Clone, Debug)]
struct Call {
    is_accrual: bool,
    enters: bool,
    is_split: bool,
    data: Vec<u8>,
    is_given_up: bool,
}

fn call() -> impl Strategy<Value = Call> {
    let data = prop::collection::vec(0_u8..50, 1..3);
    (any::<bool>(), any::<bool>(), prop::bool::weighted(0.1), data, prop::bool::weighted(0.1)).prop_map(
        |(is_accrual, enters, is_split, data, is_given_up)| Call { is_accrual, enters, is_split, data, is_given_up },
    )
}

impl Call {
    fn frames(&self, stream: u32) -> Vec<Frame> {
        let block = headers(if self.is_accrual { ACCRUE } else { "/other" }, self.enters);
        let mut frames = if self.is_split {
            vec![frame(HEADERS, 0, stream, &block[..3]), frame(CONTINUATION, END_HEADERS, stream, &block[3..])]
        } else {
            vec![frame(HEADERS, END_HEADERS, stream, &block)]
        };
        let last = self.data.len() - 1;
        for (place, length) in self.data.iter().enumerate() {
            let flags = if place == last && !self.is_given_up { END_STREAM } else { 0 };
            frames.push(frame(DATA, flags, stream, &vec![1; usize::from(*length)]));
        }
        if self.is_given_up {
            frames.push(frame(RST_STREAM, 0, stream, &[0; 4]));
        }
        frames
    }
}

proptest! {
    /// Whatever comes, in pieces of any size: each call passes with all its frames, in order, or is refused with all of them.
    #[test]
    fn calls_pass_whole_or_are_refused_whole(
        calls in prop::collection::vec(call(), 1..30), order in prop::collection::vec(any::<prop::sample::Index>(), 60),
        cuts in prop::collection::vec(1_usize..90, 1..9), is_full: bool,
    ) {
        // The parts of calls lie between each other, but the calls begin in their order, and headers stay together.
        let mut waiting: Vec<(u32, Vec<Frame>)> = Vec::new();
        let mut came = Vec::new();
        let mut order = order.iter().cycle();
        for (number, call) in (0_u32..).zip(&calls) {
            let mut frames = call.frames(2 * number + 1);
            let rest = frames.split_off(1 + usize::from(call.is_split));
            came.extend(frames);
            waiting.push((number, rest));
            while waiting.len() > 3 {
                let place = order.next().unwrap().index(waiting.len());
                came.push(waiting[place].1.remove(0));
                waiting.retain(|(_, rest)| !rest.is_empty());
            }
        }
        came.extend(waiting.into_iter().flat_map(|(_, rest)| rest));
        let crowd = crowd(is_full);
        let mut side = Side::begun();
        let (bytes, mut passed) = (written(&came), Vec::new());
        let mut rest = bytes.as_slice();
        for length in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, next) = rest.split_at((*length).min(rest.len()));
            passed.extend(side.passed(&crowd, piece));
            rest = next;
        }
        let passed = read(&passed);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let own = runtime.block_on(side.own());
        let mut refused: BTreeMap<u32, usize> = BTreeMap::new();
        own.iter().filter(|frame| frame.kind == HEADERS).for_each(|frame| *refused.entry(frame.stream).or_default() += 1);
        prop_assert!(refused.values().all(|count| *count == 1), "nobody is refused twice");
        for stream in refused.keys() {
            let call = &calls[*stream as usize / 2];
            prop_assert!(is_full && call.is_accrual && !call.enters && !call.is_split);
        }
        let expected: Vec<Frame> = came.into_iter().filter(|frame| !refused.contains_key(&frame.stream)).collect();
        prop_assert_eq!(passed, expected);
    }
}

#[tokio::test]
async fn refusals_stand_between_the_frames_that_the_transport_writes() {
    let full = crowd(true);
    let (mut caller, ours) = tokio::io::duplex(1 << 20);
    let mut shedding = Shedding::new(ours, Some(full), conduct());
    let answers =
        [frame(SETTINGS, 0, 0, &[]), frame(HEADERS, 0, 9, &[0x88]), frame(CONTINUATION, END_HEADERS, 9, &[0x88])];
    let bytes = written(&answers);
    // In the middle of a frame, and between the parts of a block, a refusal waits.
    let mut begun_count = 0;
    for (number, end) in (0..).zip([12, 19, 21]) {
        let stream = 2 * number + 1;
        let came = written(&[accrual(stream), message(stream), frame(SETTINGS, 0, 0, &[])]);
        let came = if number == 0 { [PREFACE, &came].concat() } else { came };
        caller.write_all(&came).await.unwrap();
        let mut passed = vec![0; 9 + if number == 0 { PREFACE.len() } else { 0 }];
        // Small pieces, smaller than the head of a frame.
        for piece in passed.chunks_mut(5) {
            shedding.read_exact(piece).await.unwrap();
        }
        assert_eq!(read(&passed[passed.len() - 9..]), [frame(SETTINGS, 0, 0, &[])]);
        shedding.write_all(&bytes[begun_count..end]).await.unwrap();
        shedding.flush().await.unwrap();
        begun_count = end;
    }
    shedding.write_all(&bytes[begun_count..]).await.unwrap();
    shedding.shutdown().await.unwrap();
    drop(shedding);
    let mut seen = Vec::new();
    caller.read_to_end(&mut seen).await.unwrap();
    let seen = read(&seen);
    let (own, others): (Vec<Frame>, Vec<Frame>) =
        seen.iter().cloned().partition(|frame| frame.stream < 9 && frame.stream > 0);
    assert_eq!(others, answers);
    assert_eq!(own.iter().map(|refusal| refusal.stream).collect::<Vec<_>>(), [1, 3, 5]);
    let places: Vec<usize> = (0..seen.len()).filter(|place| seen[*place].stream == 9).collect();
    assert_eq!(places[1], places[0] + 1, "nothing stands between the parts of a block: {seen:?}");
}

#[tokio::test]
async fn the_end_is_the_end_whatever_is_held() {
    let empty = crowd(false);
    let (mut caller, ours) = tokio::io::duplex(1 << 10);
    let mut shedding = Shedding::new(ours, Some(empty), conduct());
    caller.write_all(PREFACE).await.unwrap();
    caller.write_all(&[0, 0, 5]).await.unwrap();
    drop(caller);
    let mut seen = Vec::new();
    shedding.read_to_end(&mut seen).await.unwrap();
    assert!(seen.starts_with(PREFACE));
}

/// Callers who take no refusals are not read, and what waits for them stays bounded; once they take them they are read on.
#[tokio::test]
async fn who_takes_no_refusals_is_not_read() {
    let full = crowd(true);
    // Little room both ways.
    let (caller, ours) = tokio::io::duplex(4 << 10);
    let mut shedding = Shedding::new(ours, Some(full), conduct());
    let (mut from_us, mut to_us) = tokio::io::split(caller);
    let count = 3_000;
    let calling = tokio::spawn(async move {
        to_us.write_all(PREFACE).await.unwrap();
        for number in 0..count {
            to_us.write_all(&written(&[accrual(2 * number + 1), message(2 * number + 1)])).await.unwrap();
        }
        to_us.write_all(&written(&[frame(SETTINGS, 0, 0, &[])])).await.unwrap();
        to_us
    });
    let serving = tokio::spawn(async move {
        let mut passed = vec![0; PREFACE.len() + 9];
        shedding.read_exact(&mut passed).await.unwrap();
        assert_eq!(read(&passed[PREFACE.len()..]), [frame(SETTINGS, 0, 0, &[])], "every call was taken out");
        shedding.shutdown().await.unwrap();
    });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!calling.is_finished(), "nobody reads on while nobody takes the refusals");
    let mut seen = Vec::new();
    let _open = calling;
    from_us.read_to_end(&mut seen).await.unwrap();
    serving.await.unwrap();
    assert_eq!(read(&seen).iter().filter(|frame| frame.kind == HEADERS).count(), count as usize);
}

/// A head that comes in two parts, with nothing between them.
#[tokio::test]
async fn a_head_that_comes_in_parts_passes_once_it_is_whole() {
    let (mut caller, ours) = tokio::io::duplex(1 << 10);
    let mut shedding = Shedding::new(ours, Some(crowd(false)), conduct());
    let bytes = [PREFACE, &written(&[accrual(1), message(1)])].concat();
    let reading = tokio::spawn(async move {
        let mut passed = vec![0; PREFACE.len() + written(&[accrual(1), message(1)]).len()];
        shedding.read_exact(&mut passed).await.unwrap();
        passed
    });
    for piece in bytes.chunks(7) {
        caller.write_all(piece).await.unwrap();
        // Until the reader has nothing more to read.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    let read = tokio::time::timeout(std::time::Duration::from_secs(30), reading).await.expect("all of it is read");
    assert_eq!(read.unwrap(), bytes);
}

#[tokio::test]
async fn the_room_of_what_was_taken_out_is_given_back() {
    let full = crowd(true);
    let mut side = Side::begun();
    for number in 0..20 {
        let message = frame(DATA, END_STREAM, 2 * number + 1, &[7; 5_000]);
        assert_eq!(side.frames(&full, &[accrual(2 * number + 1), message]), []);
    }
    let given: Vec<u32> = side.own().await.iter().filter(|frame| frame.kind == WINDOW_UPDATE).map(room).collect();
    assert_eq!(given, [20_000; 5], "whenever it is 16 KiB and more");
}

fn room(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.payload[..].try_into().unwrap())
}

/// While the transport is within a frame, refusals wait, and nothing is read when many do; with its end both go on.
#[tokio::test]
async fn reading_goes_on_once_the_transport_has_ended_its_frame() {
    let (mut caller, ours) = tokio::io::duplex(1 << 20);
    let mut shedding = Shedding::new(ours, Some(crowd(true)), conduct());
    let answer = written(&[frame(SETTINGS, 0, 0, &[0; 12])]);
    shedding.write_all(&answer[..5]).await.unwrap();
    let calls: Vec<Frame> = (0..500).flat_map(|number| [accrual(2 * number + 1), message(2 * number + 1)]).collect();
    let last = frame(SETTINGS, 0, 0, &[]);
    caller.write_all(&[PREFACE, &written(&calls), &written(std::slice::from_ref(&last))].concat()).await.unwrap();
    let mut preface = vec![0; PREFACE.len()];
    shedding.read_exact(&mut preface).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(shedding);
    let mut passed = [0; 9];
    let nothing = tokio::select! {
        biased;
        _ = reading.read(&mut passed) => false,
        () = tokio::task::yield_now() => true,
    };
    assert!(nothing, "more waits to be written than may");
    // On one task, as a transport reads and writes.
    let ending = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        writing.write_all(&answer[5..]).await.unwrap();
        writing.flush().await.unwrap();
    };
    let both = async { tokio::join!(reading.read_exact(&mut passed), ending) };
    let (all, ()) = tokio::time::timeout(std::time::Duration::from_secs(30), both).await.expect("it is read on");
    assert_eq!(all.unwrap(), 9);
    assert_eq!(read(&passed), [last]);
}
