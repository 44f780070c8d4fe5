//! What each kind of attacker does on one connection, until the server ends it.
//!
//! What must stay true: nothing that an attacker sends can change the ledger: accruals are never whole, and what is whole
//! only reads; everything is bounded in count and in pace, so that it is the server that is judged and not who has more
//! processors.

use std::time::Duration;

use prost::Message;

use super::Kind;
use super::wire::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, Wire, beginning, call, frame, message,
    message_head, stream_number,
};
use crate::bench::baskets::Source;
use crate::limits;
use crate::service::wire;

const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";
const BALANCE: &str = "/tallystick.v1.LedgerService/GetBalance";
const LIST: &str = "/tallystick.v1.LedgerService/ListTransactions";

/// Bytes of noise.
const NOISE_BYTES: usize = 4_096;
/// The window of who takes what comes.
const WINDOW_BYTES: u32 = 1 << 20;
/// The window of who asks for much and reads nothing.
const WIDE_BYTES: u32 = 1 << 30;
/// Frames of one burst of a flood.
const BURST_FRAMES: usize = 250;
/// Streams that are opened and reset in one burst.
const BURST_RESETS: u32 = 25;
/// How long a flood rests behind a burst.
const BURST_PAUSE: Duration = Duration::from_millis(5);
/// Calls that a slow sender begins on one connection.
const SLOW_CALLS: u32 = 32;
/// How often a slow sender sends a byte.
const SLOW_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that a slow sender says its message has: at its pace hours of them, and zeros are no message.
const SLOW_MESSAGE_BYTES: u32 = 60_000;
/// Questions of one burst of who reads nothing.
const BURST_QUESTIONS: u32 = 16;
/// How long it rests behind one.
const QUESTION_PAUSE: Duration = Duration::from_millis(20);
/// How often it gives a sign of life.
const SIGN_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of a message that is too large that are really sent.
const LARGE_SENT_BYTES: usize = 16 << 10;
/// How long its sender rests behind it.
const LARGE_PAUSE: Duration = Duration::from_millis(20);

/// One connection of an attacker.
pub(super) struct Attack<'a> {
    /// The connection.
    pub(super) wire: &'a mut Wire,
    /// Its number among those of the attacker, which its variants go by.
    pub(super) round: usize,
    /// What is random in it.
    pub(super) random: &'a mut fastrand::Rng,
    /// Calls that the server has ended without having done what they asked for.
    pub(super) calls_refused: &'a mut u64,
}

impl Attack<'_> {
    /// Does what a kind does. Returns when the server has ended the connection.
    pub(super) async fn run(mut self, kind: Kind) {
        match kind {
            Kind::Garbage => self.garbage().await,
            Kind::CutShort => self.cut_short().await,
            Kind::Settings => self.flood(&frame(SETTINGS, 0, 0, &[])).await,
            Kind::Pings => self.flood(&frame(PING, 0, 0, &[7; 8])).await,
            Kind::Resets => self.resets().await,
            Kind::Slow => self.slow().await,
            Kind::Unread => self.unread().await,
            Kind::TooLarge => self.too_large().await,
        }
    }

    /// Noise instead of the preface, or behind it.
    async fn garbage(&mut self) {
        let mut noise: Vec<u8> = std::iter::repeat_with(|| self.random.u8(..)).take(NOISE_BYTES).collect();
        // Read as a frame it is larger than any may be.
        noise.insert(0, 0xff);
        let bytes = if self.round.is_multiple_of(2) { noise } else { [PREFACE, &noise].concat() };
        self.wire.send(&bytes).await;
        self.wire.until_closed().await;
    }

    /// A call that ends at any byte before its last.
    async fn cut_short(&mut self) {
        let request = wire::AccrueRequest {
            transaction_id: "attacker".to_owned(),
            account_id: "attacker".to_owned(),
            ..<_>::default()
        };
        let parts = [
            beginning(WINDOW_BYTES),
            frame(HEADERS, END_HEADERS, 1, &call(ACCRUE)),
            frame(DATA, END_STREAM, 1, &message(&request.encode_to_vec())),
        ];
        let mut whole = parts.concat();
        whole.truncate(self.random.usize(1..whole.len()));
        self.wire.send(&whole).await;
        self.wire.end_sending().await;
        self.wire.until_closed().await;
    }

    async fn flood(&mut self, piece: &[u8]) {
        if self.wire.send(&beginning(WINDOW_BYTES)).await {
            self.wire.flood(BURST_PAUSE, || piece.repeat(BURST_FRAMES)).await;
        }
    }

    /// Streams that are opened and reset at once.
    async fn resets(&mut self) {
        let (headers, cancel) = (call(BALANCE), 8_u32.to_be_bytes());
        let mut next = 0;
        let burst = || {
            let indices = next..next + BURST_RESETS;
            next = indices.end;
            let pair = |number| [frame(HEADERS, END_HEADERS, number, &headers), frame(RST_STREAM, 0, number, &cancel)];
            indices.flat_map(|index| pair(stream_number(index)).concat()).collect()
        };
        if self.wire.send(&beginning(WINDOW_BYTES)).await {
            self.wire.flood(BURST_PAUSE, burst).await;
        }
    }

    /// Accruals that are begun, and go on a byte at a time. One that the server ends is followed by another.
    async fn slow(&mut self) {
        let headers = call(ACCRUE);
        let begun = |index: u32| {
            let number = stream_number(index);
            let head = frame(DATA, 0, number, &message_head(SLOW_MESSAGE_BYTES));
            [frame(HEADERS, END_HEADERS, number, &headers), head].concat()
        };
        let mut bytes = beginning(WINDOW_BYTES);
        bytes.extend((0..SLOW_CALLS).flat_map(begun));
        let mut streams: Vec<u32> = (0..SLOW_CALLS).map(stream_number).collect();
        let mut next = SLOW_CALLS;
        let mut pause = tokio::time::interval(SLOW_PAUSE);
        loop {
            if !self.wire.send(&bytes).await {
                return;
            }
            bytes = tokio::select! {
                came = self.wire.next() => {
                    let Some(came) = came else { return };
                    let ended = came.ended_stream();
                    match streams.iter_mut().find(|stream| Some(**stream) == ended) {
                        None => Vec::new(),
                        Some(place) => {
                            *self.calls_refused += 1;
                            *place = stream_number(next);
                            next += 1;
                            begun(next - 1)
                        }
                    }
                }
                _ = pause.tick() => {
                    let choice = self.random.usize(0..streams.len());
                    streams.get(choice).map_or_else(Vec::new, |stream| frame(DATA, 0, *stream, &[0]))
                }
            };
        }
    }

    /// Questions whose answers nobody takes: there is no window for them, or all of it and nobody who reads.
    async fn unread(&mut self) {
        let account_id = Source::account_id(self.random.u64(0..100));
        let balance = wire::GetBalanceRequest { account_id: account_id.clone(), ..<_>::default() };
        let page_size = i32::try_from(limits::PAGE_SIZE_MAX).unwrap_or(i32::MAX);
        let list = wire::ListTransactionsRequest { account_id, page_size, ..<_>::default() };
        let (window_bytes, path, body) = if self.round.is_multiple_of(2) {
            (0, BALANCE, message(&balance.encode_to_vec()))
        } else {
            (WIDE_BYTES, LIST, message(&list.encode_to_vec()))
        };
        let headers = call(path);
        if !self.wire.send(&beginning(window_bytes)).await {
            return;
        }
        // No more than may be open at once: what is beyond would be refused, and this is about what is not.
        for first in (0..limits::CONNECTION_STREAMS_MAX).step_by(BURST_QUESTIONS as usize) {
            let question = |index| {
                let number = stream_number(index);
                [frame(HEADERS, END_HEADERS, number, &headers), frame(DATA, END_STREAM, number, &body)].concat()
            };
            let burst: Vec<u8> = (first..first + BURST_QUESTIONS).flat_map(question).collect();
            if !self.wire.send(&burst).await {
                return;
            }
            tokio::time::sleep(QUESTION_PAUSE).await;
        }
        // Who does not read learns only by sending that the connection is over.
        while self.wire.send(&frame(PING, 0, 0, &[7; 8])).await {
            tokio::time::sleep(SIGN_PAUSE).await;
        }
    }

    /// Messages that say they are larger than any may be, and begin.
    async fn too_large(&mut self) {
        let headers = call(ACCRUE);
        let most = u32::try_from(limits::MESSAGE_BYTES_MAX).unwrap_or(u32::MAX);
        if !self.wire.send(&beginning(WINDOW_BYTES)).await {
            return;
        }
        for index in 0.. {
            let length = if index % 2 == 0 { most + 1 } else { u32::MAX };
            let mut body = message_head(length);
            body.resize(LARGE_SENT_BYTES, 0);
            let number = stream_number(index);
            let bytes = [frame(HEADERS, END_HEADERS, number, &headers), frame(DATA, 0, number, &body)].concat();
            if !self.wire.send(&bytes).await {
                return;
            }
            loop {
                let Some(came) = self.wire.next().await else { return };
                if came.ended_stream() == Some(number) {
                    *self.calls_refused += 1;
                    break;
                }
            }
            tokio::time::sleep(LARGE_PAUSE).await;
        }
    }
}
