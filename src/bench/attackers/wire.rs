//! HTTP/2 by hand: frames with any content over a plain socket, so that a caller can say what no library would.
//!
//! What must stay true: that the server ends a connection is no error here, but what its other end waits for.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What every connection begins with (RFC 9113, section 3.4).
pub(in crate::bench) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(in crate::bench) const DATA: u8 = 0;
pub(in crate::bench) const HEADERS: u8 = 1;
pub(in crate::bench) const RST_STREAM: u8 = 3;
pub(in crate::bench) const SETTINGS: u8 = 4;
pub(in crate::bench) const PING: u8 = 6;
pub(in crate::bench) const WINDOW_UPDATE: u8 = 8;

pub(in crate::bench) const END_STREAM: u8 = 1;
pub(in crate::bench) const END_HEADERS: u8 = 4;

/// The setting with the window of streams.
const INITIAL_WINDOW: u16 = 4;
/// Bytes of the head of a frame.
const HEAD_BYTES: usize = 9;
/// How long the server may take to close a connection that its caller has closed.
const FAREWELL: Duration = Duration::from_secs(10);

/// A frame that has come, as far as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    /// The stream that ends with this frame, if one does.
    pub(super) fn ended_stream(self) -> Option<u32> {
        let is_end = self.kind == RST_STREAM || (self.kind == HEADERS && self.flags & END_STREAM != 0);
        is_end.then_some(self.stream)
    }
}

/// The bytes of a frame. The payload is shorter than 16 MiB.
pub(in crate::bench) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The preface and the settings that a connection begins with: a window for each stream, and as much for all.
pub(super) fn beginning(window_bytes: u32) -> Vec<u8> {
    let setting = [&INITIAL_WINDOW.to_be_bytes()[..], &window_bytes.to_be_bytes()].concat();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat();
    if window_bytes > 0 {
        bytes.extend(frame(WINDOW_UPDATE, 0, 0, &window_bytes.to_be_bytes()));
    }
    bytes
}

/// The headers of a call, as literals without a table (RFC 7541, section 6.2.2).
pub(super) fn call(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        for text in [name, value] {
            // Lengths below 127 are one byte, and these all are.
            bytes.push(u8::try_from(text.len()).unwrap_or(0));
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// The head of a message that says it has so many bytes.
pub(super) fn message_head(length: u32) -> Vec<u8> {
    [&[0][..], &length.to_be_bytes()].concat()
}

/// One message of a call with its head.
pub(super) fn message(bytes: &[u8]) -> Vec<u8> {
    [&message_head(u32::try_from(bytes.len()).unwrap_or(u32::MAX))[..], bytes].concat()
}

/// The number of a stream by its place among those of a caller.
pub(super) fn stream_number(index: u32) -> u32 {
    index.saturating_mul(2).saturating_add(1)
}

/// A connection.
pub(super) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects, with so much room for what is not read if it is stated, and says nothing.
    pub(super) async fn connect(address: SocketAddr, receive_bytes: Option<u32>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(Self { stream: socket.connect(address).await?, unread: Vec::new() })
    }

    /// Sends bytes; false when the server takes no more.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Says that nothing more will come.
    pub(super) async fn end_sending(&mut self) {
        // Whoever has gone need not be told.
        let _ = self.stream.shutdown().await;
    }

    /// The next frame; `None` when the server has closed the connection.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(([a, b, c, kind, flags, stream @ ..], rest)) = self.unread.split_first_chunk::<HEAD_BYTES>() {
                let frame = Frame { kind: *kind, flags: *flags, stream: u32::from_be_bytes(*stream) };
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if rest.len() >= length {
                    self.unread.drain(..HEAD_BYTES + length);
                    return Some(frame);
                }
            }
            if !self.read().await {
                return None;
            }
        }
    }

    async fn read(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let count = self.stream.read(&mut bytes).await.unwrap_or(0);
        self.unread.extend(bytes.iter().take(count));
        count > 0
    }

    /// Takes what comes until the server closes the connection.
    pub(super) async fn until_closed(&mut self) {
        while self.read().await {
            self.unread.clear();
        }
    }

    /// Sends burst after burst, with a pause behind each, and takes what comes, until the server ends the connection.
    pub(super) async fn flood(&mut self, pause: Duration, mut burst: impl FnMut() -> Vec<u8>) {
        let (mut from, mut to) = self.stream.split();
        let taking = async {
            let mut bytes = [0; 16 << 10];
            while from.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
        };
        let sending = async {
            while to.write_all(&burst()).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = taking => {}
            () = sending => {}
        }
    }

    /// Closes the connection and waits until the server has done so too. False when it does not in a reasonable time.
    pub(super) async fn leave(mut self) -> bool {
        self.end_sending().await;
        tokio::time::timeout(FAREWELL, self.until_closed()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_length_its_kind_its_flags_its_stream_and_its_payload() {
        assert_eq!(frame(HEADERS, END_HEADERS, 0x102, b"ab"), [0, 0, 2, 1, 4, 0, 0, 1, 2, b'a', b'b']);
        assert_eq!(beginning(0), [PREFACE, &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]].concat());
        assert_eq!(message(b"abc"), [0, 0, 0, 0, 3, b'a', b'b', b'c']);
        assert_eq!([0, 1, 2].map(stream_number), [1, 3, 5]);
        let headers = call("/a");
        assert_eq!(headers.get(..13), Some(&b"\0\x07:method\x04POS"[..]).map(|head| &head[..13]));
    }

    #[test]
    fn a_stream_ends_with_a_reset_or_with_trailers() {
        let frame = |kind, flags| Frame { kind, flags, stream: 5 };
        let rows = [
            (frame(RST_STREAM, 0), Some(5)),
            (frame(HEADERS, END_HEADERS | END_STREAM), Some(5)),
            (frame(HEADERS, END_HEADERS), None),
            (frame(DATA, END_STREAM), None),
            (frame(PING, END_STREAM), None),
        ];
        for (frame, ended) in rows {
            assert_eq!(frame.ended_stream(), ended, "{frame:?}");
        }
    }
}
