//! Unary accruals by hand: frames of HTTP/2 over plain sockets, from bytes that are ready, so that far more calls can be sent
//! than a server can answer and the load generator still takes little of the machine.
//!
//! What must stay true: calls are paced and charged as those of [`super::unary`]; every answer is read and judged; headers
//! have what repeats by its place in the table, as those of a caller whose deadlines are alike. Callers who state what is left
//! of their time change the table with each call, and cannot be refused before they are read: this load is not like theirs.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status};

use super::attackers::wire::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use super::baskets::Source;
use super::channel::{ACCRUE, refusal_kind};
use super::error::BenchError;
use super::raw::accrue_response;
use super::recorder::{Measured, Recorder};
use super::run::{Division, Lane, run};
use super::unary::{OPEN_CALLS_MAX, Pace, first_due};
use crate::server::hpack::fields_without_table;

/// How often is looked at what is due.
const DUE_INTERVAL: Duration = Duration::from_millis(1);
/// How long answers are waited for that are missing in the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Bytes that may be on their way in a connection before anything was said of it (RFC 9113, section 6.9.2).
const WINDOW_BYTES: i64 = 65_535;
/// Room that the server is given, and at which it is given again.
const ROOM_BYTES: u32 = 1 << 30;
/// Bytes of the largest message that fits one frame of data.
const MESSAGE_BYTES_MAX: usize = (16 << 10) - MESSAGE_HEAD_BYTES;
const MESSAGE_HEAD_BYTES: usize = 5;
const FRAME_HEAD_BYTES: usize = 9;
const ACK: u8 = 1;
const GOAWAY: u8 = 7;
/// The reason of a reset by who has no room for a further call, and has not looked at it (RFC 9113, section 8.7).
const REFUSED_STREAM: u32 = 7;
/// The setting with the size of the table for headers, and that with the window of streams.
const HEADER_TABLE: u16 = 1;
const INITIAL_WINDOW: u16 = 4;

/// Runs the load; `source` makes the source of a connection from its number.
///
/// # Errors
/// When a connection ends, or a call ends otherwise than accepted or refused for want of capacity.
pub fn load(
    division: &Division,
    pace: Pace,
    source: &(dyn Fn(usize) -> Source + Sync),
) -> Result<Measured, BenchError> {
    let connection_count = division.connection_count.max(1) as u64;
    let address = division.target.address()?;
    let key = division.target.key.text();
    run(division, |lane| {
        let (source, key) = (source(lane.index), key.clone());
        async move {
            let mut wire = Wire::begin(address, key, pace, lane, source).await?;
            wire.run(pace, connection_count).await?;
            Ok(wire.recorder)
        }
    })
}

/// A call that is under way.
struct Call {
    due_ns: i64,
    request_bytes: usize,
    answer: BytesMut,
    is_over: bool,
}

/// A connection.
struct Wire {
    stream: TcpStream,
    lane: Lane,
    source: Source,
    recorder: Recorder,
    out: BytesMut,
    came: BytesMut,
    /// In the order of their numbers, from the oldest that is not over.
    calls: VecDeque<Call>,
    oldest_stream: u32,
    next_stream: u32,
    open_count: usize,
    /// The headers of every call but the first.
    headers: Vec<u8>,
    /// Bytes that the server still takes, and that it has sent since it was given room.
    window_bytes: i64,
    received_bytes: u32,
    last_answer_ns: i64,
    /// The last refusal that was read, and what it is.
    known: Option<(Bytes, String)>,
    /// The headers at the end of a good answer.
    good: Option<Bytes>,
}

/// The headers of the first call, whose fields enter the table, and of those that follow.
fn headers(key: Option<&str>, deadline: Option<Duration>) -> [Vec<u8>; 2] {
    let deadline = deadline.map(|deadline| format!("{}m", deadline.as_millis()));
    let fields = [
        (":path", Some(ACCRUE)),
        (":authority", Some("localhost")),
        ("content-type", Some("application/grpc")),
        ("te", Some("trailers")),
        ("authorization", key),
        ("grpc-timeout", deadline.as_deref()),
    ];
    // POST and http, of the static table.
    let (mut first, mut further) = (vec![0x83, 0x86], vec![0x83, 0x86]);
    let fields: Vec<(&str, &str)> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    for (place, (name, value)) in fields.iter().enumerate() {
        first.push(0x40);
        for text in [name, value] {
            // Lengths below 127 are one byte, and these all are.
            first.push(u8::try_from(text.len()).unwrap_or(0));
            first.extend_from_slice(text.as_bytes());
        }
        // The newest entry follows the 61 of the static table.
        let index = 62 + fields.len() - 1 - place;
        further.push(0x80 | u8::try_from(index).unwrap_or(0));
    }
    [first, further]
}

impl Wire {
    async fn begin(
        address: SocketAddr,
        key: Option<String>,
        pace: Pace,
        lane: Lane,
        source: Source,
    ) -> Result<Self, BenchError> {
        let failed = |error: std::io::Error| BenchError::Call(format!("a connection cannot be made: {error}"));
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let deadline = match pace {
            Pace::Closed { .. } => None,
            Pace::Open { deadline, .. } => deadline,
        };
        let [first, further] = headers(key.as_deref(), deadline);
        let mut settings = Vec::new();
        for (setting, value) in [(HEADER_TABLE, 0), (INITIAL_WINDOW, ROOM_BYTES)] {
            settings.put_u16(setting);
            settings.put_u32(value);
        }
        let mut wire = Self {
            stream,
            recorder: Recorder::new(lane.window),
            out: BytesMut::from(PREFACE),
            came: BytesMut::new(),
            calls: VecDeque::new(),
            oldest_stream: 1,
            next_stream: 1,
            open_count: 0,
            headers: first,
            window_bytes: WINDOW_BYTES,
            received_bytes: 0,
            last_answer_ns: lane.window.begin_ns,
            known: None,
            good: None,
            lane,
            source,
        };
        wire.put(SETTINGS, 0, 0, &settings);
        wire.put(WINDOW_UPDATE, 0, 0, &ROOM_BYTES.to_be_bytes());
        // One by itself, so that the fields of all others are in the table.
        wire.call(wire.lane.now_ns())?;
        wire.headers = further;
        Ok(wire)
    }

    fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.out.extend_from_slice(&frame(kind, flags, stream, payload));
    }

    /// Makes a call that was due then.
    fn call(&mut self, due_ns: i64) -> Result<(), BenchError> {
        let request = self.source.one();
        if request.len() > MESSAGE_BYTES_MAX {
            return Err(BenchError::Usage("the baskets are too large for this load".to_owned()));
        }
        let stream = self.next_stream;
        self.next_stream += 2;
        self.open_count += 1;
        self.calls.push_back(Call { due_ns, request_bytes: request.len(), answer: BytesMut::new(), is_over: false });
        let length = MESSAGE_HEAD_BYTES + request.len();
        self.window_bytes -= length as i64;
        for (kind, flags, length) in [(HEADERS, END_HEADERS, self.headers.len()), (DATA, END_STREAM, length)] {
            self.out.put_uint(length as u64, 3);
            self.out.put_slice(&[kind, flags]);
            self.out.put_u32(stream);
            if kind == HEADERS {
                self.out.put_slice(&self.headers);
            }
        }
        self.out.put_u8(0);
        self.out.put_u32(u32::try_from(request.len()).unwrap_or(u32::MAX));
        self.out.put_slice(&request);
        Ok(())
    }

    async fn run(&mut self, pace: Pace, connection_count: u64) -> Result<(), BenchError> {
        let end_ns = self.lane.window.end_ns;
        let limit_ns = end_ns + i64::try_from(LAST_ANSWERS.as_nanos()).unwrap_or(i64::MAX);
        let mut due = Due::new(pace, connection_count, &self.lane);
        loop {
            let now_ns = self.lane.now_ns();
            if now_ns < end_ns {
                self.make_due_calls(&mut due, now_ns)?;
            } else if self.open_count == 0 {
                break;
            } else if now_ns > limit_ns {
                return Err(BenchError::Call(format!("{} calls were never answered", self.open_count)));
            }
            self.write()?;
            tokio::select! {
                ready = self.stream.readable() => {
                    ready.map_err(lost)?;
                    self.read()?;
                }
                ready = self.stream.writable(), if !self.out.is_empty() => ready.map_err(lost)?,
                () = tokio::time::sleep(DUE_INTERVAL) => {}
            }
        }
        self.recorder.gap(self.last_answer_ns, end_ns);
        Ok(())
    }

    fn make_due_calls(&mut self, due: &mut Due, now_ns: i64) -> Result<(), BenchError> {
        match due {
            Due::Closed { in_flight } => {
                while self.open_count < *in_flight && self.window_bytes > MESSAGE_BYTES_MAX as i64 {
                    self.call(now_ns)?;
                }
            }
            Due::Open { next_ns, interval_ns } => {
                while *next_ns <= now_ns {
                    if self.open_count < OPEN_CALLS_MAX && self.window_bytes > MESSAGE_BYTES_MAX as i64 {
                        self.call(*next_ns)?;
                    } else {
                        self.recorder.refused(now_ns, "NOT_SENT");
                    }
                    *next_ns += *interval_ns;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), BenchError> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(count) => self.out.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), BenchError> {
        self.came.reserve(64 << 10);
        match self.stream.try_read_buf(&mut self.came) {
            Ok(0) => return Err(BenchError::Call("the server closed a connection".to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(lost(error)),
        }
        let now_ns = self.lane.now_ns();
        self.lane.pulse.beat(now_ns);
        while let Some(head) = self.came.first_chunk::<FRAME_HEAD_BYTES>().copied() {
            let [long, middle, short, kind, flags, stream @ ..] = head;
            let length = usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
            if self.came.len() < FRAME_HEAD_BYTES + length {
                break;
            }
            self.came.advance(FRAME_HEAD_BYTES);
            let payload = self.came.split_to(length);
            self.take(now_ns, kind, flags, u32::from_be_bytes(stream), &payload)?;
        }
        Ok(())
    }

    fn take(&mut self, now_ns: i64, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), BenchError> {
        match kind {
            DATA => {
                self.received_bytes += u32::try_from(payload.len()).unwrap_or(u32::MAX);
                if self.received_bytes > ROOM_BYTES / 2 {
                    let received = std::mem::take(&mut self.received_bytes);
                    self.put(WINDOW_UPDATE, 0, 0, &received.to_be_bytes());
                }
                if let Some(call) = self.call_of(stream) {
                    call.answer.extend_from_slice(payload);
                }
            }
            HEADERS if flags & END_STREAM != 0 => self.answered(now_ns, stream, payload)?,
            SETTINGS if flags & ACK == 0 => self.put(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => self.put(PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.window_bytes += i64::from(more);
            }
            RST_STREAM if self.close(stream).is_some() => self.recorder.refused(now_ns, reset_kind(payload)?),
            GOAWAY => return Err(BenchError::Call("the server ends a connection".to_owned())),
            _ => {}
        }
        Ok(())
    }

    fn call_of(&mut self, stream: u32) -> Option<&mut Call> {
        let place = stream.checked_sub(self.oldest_stream)? / 2;
        self.calls.get_mut(place as usize).filter(|call| !call.is_over)
    }

    /// A call is over: gives when it was due, the bytes of its request, and its answer.
    fn close(&mut self, stream: u32) -> Option<(i64, usize, BytesMut)> {
        let call = self.call_of(stream)?;
        call.is_over = true;
        let closed = (call.due_ns, call.request_bytes, std::mem::take(&mut call.answer));
        self.open_count -= 1;
        while self.calls.front().is_some_and(|call| call.is_over) {
            self.calls.pop_front();
            self.oldest_stream += 2;
        }
        Some(closed)
    }

    fn answered(&mut self, now_ns: i64, stream: u32, block: &[u8]) -> Result<(), BenchError> {
        let Some((due_ns, request_bytes, answer)) = self.close(stream) else { return Ok(()) };
        self.recorder.gap(std::mem::replace(&mut self.last_answer_ns, now_ns), now_ns);
        let message = answer.split_at_checked(MESSAGE_HEAD_BYTES).map(|(_, message)| message);
        let Some(message) = message.filter(|_| self.is_good(block)) else {
            let kind = self.refusal(block)?;
            self.recorder.refused(now_ns, &kind);
            return Ok(());
        };
        let unreadable = || BenchError::Call("an answer cannot be read".to_owned());
        let verdict = accrue_response(message).ok_or_else(unreadable)?;
        self.recorder.message(now_ns, request_bytes, message.len());
        match verdict.counted()? {
            None => {
                self.recorder.accepted(now_ns, 1);
                self.recorder.took(now_ns, now_ns - due_ns);
            }
            Some(kind) => self.recorder.refused(now_ns, kind),
        }
        Ok(())
    }

    /// Whether the headers at the end of an answer say that all is well.
    fn is_good(&mut self, block: &[u8]) -> bool {
        if self.good.as_ref().is_some_and(|good| *good == block) {
            return true;
        }
        let is_good = status_of(block).is_some_and(|status| status.code() == Code::Ok);
        if is_good {
            self.good = Some(Bytes::copy_from_slice(block));
        }
        is_good
    }

    /// The kind of a refusal, from its headers.
    fn refusal(&mut self, block: &[u8]) -> Result<String, BenchError> {
        if let Some((_, kind)) = self.known.as_ref().filter(|(known, _)| *known == block) {
            return Ok(kind.clone());
        }
        let status = status_of(block).ok_or_else(|| BenchError::Call("an answer has no status".to_owned()))?;
        // What is read here the server said itself: no caller of this load gives a call up.
        let kind = refusal_kind(&status, false)?;
        self.known = Some((Bytes::copy_from_slice(block), kind.clone()));
        Ok(kind)
    }
}

/// The kind of a refusal by a reset. With any reason but one the server has failed.
fn reset_kind(payload: &[u8]) -> Result<&'static str, BenchError> {
    match payload.first_chunk().map(|reason| u32::from_be_bytes(*reason)) {
        Some(REFUSED_STREAM) => Ok("REFUSED_STREAM"),
        Some(reason) => Err(BenchError::Call(format!("the server reset a call with the reason {reason}"))),
        None => Err(BenchError::Call("a reset cannot be read".to_owned())),
    }
}

/// The status in headers that are all of an answer. The server was told that it has no table.
fn status_of(block: &[u8]) -> Option<Status> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields_without_table(block)? {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) {
            headers.insert(name, value);
        }
    }
    Status::from_header_map(&headers)
}

fn lost(error: std::io::Error) -> BenchError {
    BenchError::Call(format!("a connection was lost: {error}"))
}

/// When calls are due.
enum Due {
    Closed { in_flight: usize },
    Open { next_ns: i64, interval_ns: i64 },
}

impl Due {
    fn new(pace: Pace, connection_count: u64, lane: &Lane) -> Self {
        match pace {
            Pace::Closed { in_flight } => Self::Closed { in_flight: in_flight.max(1) },
            Pace::Open { per_second, .. } => {
                let (next_ns, interval_ns) = first_due(per_second, connection_count, lane);
                Self::Open { next_ns, interval_ns }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_headers() {
        let status = Status::resource_exhausted("The server is overloaded");
        let mut block = vec![0x88];
        for (name, value) in status.into_http::<()>().headers() {
            block.push(0);
            for text in [name.as_str().as_bytes(), value.as_bytes()] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend_from_slice(text);
            }
        }
        let read = status_of(&block).unwrap();
        assert_eq!((read.code(), read.message()), (tonic::Code::ResourceExhausted, "The server is overloaded"));
        assert!(status_of(&[0x88]).is_none(), "there is no status in it");
    }

    #[test]
    fn a_reset_is_a_refusal_only_where_the_server_has_no_room() {
        assert_eq!(reset_kind(&7_u32.to_be_bytes()).unwrap(), "REFUSED_STREAM");
        // No error, internal error, cancelled, and be calm.
        for reason in [0, 2, 8, 11_u32] {
            let error = reset_kind(&reason.to_be_bytes()).unwrap_err().to_string();
            assert!(error.ends_with(&format!("with the reason {reason}")), "{error}");
        }
        assert!(reset_kind(&[0, 7]).is_err());
    }

    #[test]
    fn later_headers_name_the_fields_of_the_first() {
        let [first, further] = headers(None, Some(Duration::from_secs(1)));
        assert_eq!(further, [0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]);
        let fields = fields_without_table(&first).unwrap();
        assert_eq!(fields.last().unwrap(), &(b"grpc-timeout".to_vec(), b"1000m".to_vec()));
        assert_eq!(fields.len(), further.len());
    }
}
