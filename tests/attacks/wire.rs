//! HTTP/2 by hand: frames with any content over a plain socket, so that a caller can say what no library would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How long anything may take that is waited for. Only a server that hangs would miss it.
pub const SOON: Duration = Duration::from_secs(60);

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A setting by its number (RFC 9113, section 6.5.2).
pub fn setting(number: u16, value: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// Headers as literals without a table (RFC 7541, section 6.2.2).
pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        // Lengths have a prefix of seven bits.
        match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
            Some(length) => bytes.push(length),
            None => {
                bytes.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
        }
        bytes.extend(text.as_bytes());
    };
    for (name, value) in headers {
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// The headers of a call.
pub fn call(path: &str) -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

/// One message of a call with its head.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A connection.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects and says nothing.
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(from: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        Self { stream: socket.connect(address).await.unwrap(), unread: Vec::new() }
    }

    /// Connects with little room for what is not read.
    pub async fn connect_tightly(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        Self { stream: socket.connect(address).await.unwrap(), unread: Vec::new() }
    }

    /// The preface and the settings that HTTP/2 begins with.
    pub async fn begin(&mut self, settings: &[u8]) {
        let bytes = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// A connection that has begun.
    pub async fn open(address: SocketAddr) -> Self {
        let mut wire = Self::connect(address).await;
        wire.begin(&[]).await;
        wire
    }

    /// Sends bytes; false when the server takes no more.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends bytes unless the server takes none for so long.
    pub async fn send_within(&mut self, bytes: &[u8], within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next frame; `None` when the server has closed the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(SOON, self.next_ever()).await.expect("the server says something or closes the connection")
    }

    async fn next_ever(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.unread.split_at_checked(9) {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if rest.len() >= length {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let frame = Frame { kind: head[3], flags: head[4], stream, payload: rest[..length].to_vec() };
                    self.unread.drain(..9 + length);
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
        self.unread.extend(&bytes[..count]);
        count > 0
    }

    /// Reads until the server closes the connection; everything it said until then.
    pub async fn until_closed(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Waits until the server has done everything that was asked before; what it said meanwhile, or `None` when it has
    /// closed the connection.
    pub async fn settle(&mut self) -> Option<Vec<Frame>> {
        if !self.send(&frame(PING, 0, 0, b"settled?")).await {
            return None;
        }
        let mut said = Vec::new();
        loop {
            let next = self.next().await?;
            if (next.kind, next.flags, next.payload.as_slice()) == (PING, ACK, b"settled?") {
                return Some(said);
            }
            said.push(next);
        }
    }

    /// Sends a piece so many times, reading what comes, until the server takes no more. Fails unless the server ends the
    /// connection, however much of it is on its way by then.
    pub async fn flood(self, count: usize, mut piece: impl FnMut(usize) -> Vec<u8>) {
        let (mut from, mut to) = self.stream.into_split();
        let drained = tokio::spawn(async move {
            let mut bytes = vec![0; 64 << 10];
            while from.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
        });
        for number in 0..count {
            let sent = tokio::time::timeout(SOON, to.write_all(&piece(number))).await;
            if sent.expect("the server takes it or closes the connection").is_err() || drained.is_finished() {
                break;
            }
        }
        tokio::time::timeout(SOON, drained).await.expect("the server ends the connection").unwrap();
    }
}
