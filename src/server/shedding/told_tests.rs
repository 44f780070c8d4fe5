//! Callers who make the table smaller with which they read answers: they are refused as all others are, and told its size
//! before.

use std::future::poll_fn;
use std::task::Waker;

use tokio::io::DuplexStream;

use super::heads::Heads;
use super::*;

const ACK: u8 = 1;
const HEADER_TABLE_SIZE: u16 = 1;

/// Settings, each by its number.
fn settings(settings: &[(u16, u32)]) -> Frame {
    let mut payload = Vec::new();
    for (number, value) in settings {
        payload.put_u16(*number);
        payload.put_u32(*value);
    }
    frame(SETTINGS, 0, 0, &payload)
}

fn table_of(bytes: u32) -> Frame {
    settings(&[(HEADER_TABLE_SIZE, bytes)])
}

fn acknowledgement() -> Frame {
    frame(SETTINGS, ACK, 0, &[])
}

/// Headers of the transport.
fn answer(stream: u32) -> Frame {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &[0x88])
}

/// The headers of a refusal.
fn plain() -> Vec<u8> {
    crowd(true).refusal().to_vec()
}

/// The same, with a size before them.
fn told(size: &[u8]) -> Vec<u8> {
    [size, &plain()].concat()
}

impl Side {
    fn transport_writes(&mut self, frames: &[Frame]) {
        self.outbound.has_passed(&written(frames));
    }

    /// The headers of refusals that can be written.
    async fn blocks(&mut self) -> Vec<Vec<u8>> {
        self.own().await.into_iter().filter(|frame| frame.kind == HEADERS).map(|frame| frame.payload).collect()
    }

    /// The headers with which further calls are refused.
    async fn refused(&mut self, streams: &[u32]) -> Vec<Vec<u8>> {
        let full = crowd(true);
        for stream in streams {
            assert_eq!(self.frames(&full, &[accrual(*stream), message(*stream)]), []);
        }
        self.blocks().await
    }
}

#[tokio::test]
async fn who_keeps_a_smaller_table_is_refused_from_the_first_bytes_and_told_its_size_before() {
    let full = crowd(true);
    let sizes: [(u32, Vec<u8>); 5] = [
        (0, vec![0x20]),
        (30, vec![0x3e]),
        (31, vec![0x3f, 0]),
        (100, vec![0x3f, 69]),
        (4_095, vec![0x3f, 0xe0, 0x1f]),
    ];
    for (bytes, size) in sizes {
        for cut in [1, 5, 9, 14, 1_000] {
            let mut side = Side::begun();
            let came = [table_of(bytes), accrual(1), message(1), accrual(3), message(3)];
            let mut passed = Vec::new();
            for piece in written(&came).chunks(cut) {
                passed.extend(side.passed(&full, piece));
            }
            assert_eq!(read(&passed), came[..1], "{bytes} in pieces of {cut}");
            side.transport_writes(&[settings(&[]), acknowledgement()]);
            assert_eq!(side.blocks().await, [told(&size), plain()], "{bytes} in pieces of {cut}");
            assert_eq!(side.refused(&[5, 7]).await, [plain(), plain()], "it was said");
        }
    }
}

#[tokio::test]
async fn who_keeps_the_table_that_there_is_is_told_nothing_of_it() {
    let stated = [
        settings(&[]),
        table_of(4_096),
        table_of(65_536),
        settings(&[(2, 0), (3, 1), (4, 1), (0x101, 0), (0x100, 1)]),
        // The last counts, as with the transport.
        settings(&[(HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 4_096)]),
    ];
    for stated in stated {
        let mut side = Side::begun();
        assert_eq!(side.frames(&crowd(true), std::slice::from_ref(&stated)), std::slice::from_ref(&stated));
        side.transport_writes(&[settings(&[]), acknowledgement()]);
        assert_eq!(side.refused(&[1, 3]).await, [plain(), plain()], "{stated:?}");
    }
}

#[tokio::test]
async fn a_size_is_said_behind_its_acknowledgement_unless_the_transport_has_said_it() {
    let full = crowd(true);
    let mut side = Side::begun();
    // What the caller acknowledges is another matter.
    side.frames(&full, &[acknowledgement(), settings(&[]), table_of(100)]);
    assert_eq!(side.refused(&[1]).await, [plain()], "the transport may still name what would be gone");
    side.transport_writes(&[acknowledgement()]);
    assert_eq!(side.refused(&[3]).await, [plain()], "that was of other settings");
    side.transport_writes(&[acknowledgement()]);
    assert_eq!(side.refused(&[5, 7]).await, [told(&[0x3f, 69]), plain()]);
    // The smallest since is what must be said.
    side.frames(&full, &[table_of(0), table_of(200)]);
    side.transport_writes(&[acknowledgement(), acknowledgement()]);
    assert_eq!(side.refused(&[9, 11]).await, [told(&[0x20]), plain()]);
    // With its headers the transport goes back to a larger one.
    side.transport_writes(&[answer(21)]);
    assert_eq!(side.refused(&[13]).await, [plain()]);
    side.frames(&full, &[table_of(50)]);
    side.transport_writes(&[acknowledgement(), answer(23)]);
    assert_eq!(side.refused(&[15]).await, [plain()], "the transport has said it");
    side.frames(&full, &[table_of(20)]);
    side.transport_writes(&[acknowledgement()]);
    assert_eq!(side.refused(&[17, 19]).await, [told(&[0x34]), plain()]);
}

/// What waits while the transport is within a frame says what holds once it can leave, and not what held when it was made.
#[tokio::test]
async fn refusals_that_wait_say_what_holds_where_they_stand() {
    let full = crowd(true);
    for (behind, first) in [
        (vec![acknowledgement()], told(&[0x20])),
        (vec![answer(9), acknowledgement()], told(&[0x20])),
        (vec![acknowledgement(), answer(9)], plain()),
        (vec![answer(9)], plain()),
    ] {
        let mut side = Side::begun();
        let begun = written(&[frame(DATA, 0, 9, &[0; 20])]);
        side.outbound.has_passed(&begun[..12]);
        // Room that is given back waits before them.
        side.outbound.give_room(16 << 10);
        side.frames(&full, &[accrual(1), message(1), table_of(0), accrual(3), message(3)]);
        assert_eq!(side.own().await, []);
        side.outbound.has_passed(&begun[12..]);
        side.transport_writes(&behind);
        assert_eq!(side.blocks().await, [first, plain()], "behind {behind:?}");
    }
}

#[tokio::test]
async fn what_is_refused_while_room_is_being_given_back_says_the_size() {
    let full = crowd(true);
    let mut side = Side::begun();
    side.frames(&full, &[table_of(0)]);
    side.transport_writes(&[acknowledgement()]);
    side.outbound.give_room(16 << 10);
    // A part of that leaves.
    let (mut caller, mut ours) = tokio::io::duplex(5);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(side.outbound.poll_own(Pin::new(&mut ours), &mut cx).is_pending());
    side.frames(&full, &[accrual(1), message(1), accrual(3), message(3)]);
    let mut seen = Vec::new();
    let writing = async {
        poll_fn(|cx| side.outbound.poll_own(Pin::new(&mut ours), cx)).await.unwrap();
        drop(ours);
    };
    tokio::join!(writing, async { caller.read_to_end(&mut seen).await.unwrap() });
    let seen: Vec<(u8, Vec<u8>)> = read(&seen).into_iter().map(|frame| (frame.kind, frame.payload)).collect();
    let room = (16_u32 << 10).to_be_bytes().to_vec();
    assert_eq!(seen, [(WINDOW_UPDATE, room), (HEADERS, told(&[0x20])), (HEADERS, plain())]);
}

#[test]
fn settings_that_are_too_many_to_be_held_pass_and_end_the_refusals() {
    let full = crowd(true);
    let mut side = Side::begun();
    let came = [settings(&[(0x100, 1); 200]), accrual(1), message(1)];
    let mut passed = Vec::new();
    for piece in written(&came).chunks(500) {
        passed.extend(side.passed(&full, piece));
    }
    assert_eq!(read(&passed), came);
}

/// A call of something else, which is whole.
fn other(stream: u32, path: &str) -> Frame {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &headers(path, false))
}

/// The transport itself. It answers calls with their paths, which enter the table.
async fn serve(stream: Shedding<DuplexStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let answer = hyper::Response::builder().header("answer", request.uri().path()).body(()).unwrap();
        respond.send_response(answer, true).unwrap();
    }
}

/// Who calls a transport, and reads all headers with a table.
struct Caller {
    stream: DuplexStream,
    heads: Heads,
}

impl Caller {
    /// Calls a server that is full.
    async fn begin() -> (Self, tokio::task::JoinHandle<()>) {
        let (mut stream, ours) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(serve(Shedding::new(ours, Some(crowd(true)), conduct())));
        stream.write_all(PREFACE).await.unwrap();
        (Self { stream, heads: Heads::new("/") }, serving)
    }

    async fn send(&mut self, frames: &[Frame]) {
        self.stream.write_all(&written(frames)).await.unwrap();
    }

    async fn next(&mut self) -> Frame {
        let mut bytes = vec![0; 9];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes.resize(9 + (usize::from(bytes[1]) << 8 | usize::from(bytes[2])), 0);
        self.stream.read_exact(&mut bytes[9..]).await.unwrap();
        let frame = read(&bytes).remove(0);
        assert!(frame.kind != HEADERS || self.heads.read(&frame.payload).is_some(), "its table has it: {frame:?}");
        frame
    }

    /// Calls, and gives the headers of the answer.
    async fn call(&mut self, frames: &[Frame]) -> Vec<u8> {
        self.send(frames).await;
        loop {
            let frame = self.next().await;
            if frame.kind == HEADERS {
                return frame.payload;
            }
        }
    }

    async fn settle(&mut self, settings: Frame) {
        self.send(&[settings]).await;
        while self.next().await != acknowledgement() {}
    }
}

#[tokio::test]
async fn the_transport_says_a_size_again_and_knows_what_is_left_of_the_table() {
    // What is stated; the size in a refusal, and in the headers of the transport; and how these go on. Answers take up 40 bytes
    // each: all of them go, or the oldest of three.
    type Row = (Vec<Frame>, Vec<u8>, Vec<u8>, [u8; 2]);
    let rows: [Row; 4] = [
        (vec![table_of(0)], vec![0x20], vec![0x20], [0x88, 0]),
        (vec![table_of(100)], vec![0x3f, 69], vec![0x3f, 69], [0x88, 0xbf]),
        // The smallest, and then the one that holds.
        (vec![table_of(100), table_of(4_096)], vec![0x3f, 69], vec![0x3f, 69, 0x3f, 0xe1, 0x1f], [0x88, 0xbf]),
        // The last of two.
        (vec![settings(&[(HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 4_096)])], vec![], vec![], [0x88, 0xbf]),
    ];
    for (stated, size, said, known) in rows {
        let (mut caller, serving) = Caller::begin().await;
        caller.settle(settings(&[])).await;
        for (stream, path) in [(1, "/a"), (3, "/b"), (5, "/c")] {
            caller.call(&[other(stream, path)]).await;
        }
        assert_eq!(caller.call(&[other(7, "/b")]).await, [0x88, 0xbf], "it is the newest but one");
        for settings in stated {
            caller.settle(settings).await;
        }
        assert_eq!(caller.call(&[accrual(9), message(9)]).await, told(&size));
        assert_eq!(caller.call(&[accrual(11), message(11)]).await, plain());
        let answer = caller.call(&[other(13, "/b")]).await;
        assert!(answer.starts_with(&[said.as_slice(), &known].concat()), "{answer:x?}");
        assert_eq!(caller.call(&[accrual(15), message(15)]).await, plain());
        assert!(caller.call(&[other(17, "/b")]).await.starts_with(&known), "nothing more is said of it");
        drop(caller);
        serving.await.unwrap();
    }
}

/// The first headers behind the acknowledgement begin with the size, whichever of the refusals they are.
#[tokio::test]
async fn a_flood_from_the_first_bytes_is_refused_where_it_comes_in_and_told_the_size() {
    let (mut caller, serving) = Caller::begin().await;
    let calls: Vec<Frame> = (0..50).flat_map(|number| [accrual(2 * number + 1), message(2 * number + 1)]).collect();
    caller.send(&[&[table_of(0)][..], &calls].concat()).await;
    let mut seen = Vec::new();
    let blocks = |frames: &[Frame]| frames.iter().filter(|frame| frame.kind == HEADERS).cloned().collect::<Vec<_>>();
    while blocks(&seen).len() < 50 || !seen.contains(&acknowledgement()) {
        seen.push(caller.next().await);
    }
    let place = seen.iter().position(|frame| *frame == acknowledgement()).unwrap();
    let mut behind: Vec<Vec<u8>> = blocks(&seen[place..]).into_iter().map(|frame| frame.payload).collect();
    for stream in [101, 103] {
        behind.push(caller.call(&[accrual(stream), message(stream)]).await);
    }
    assert_eq!(behind[0], told(&[0x20]));
    assert!(behind[1..].iter().all(|block| *block == plain()));
    drop(caller);
    serving.await.unwrap();
}
