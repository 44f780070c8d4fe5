//! Until when a caller is waited for: each message of a call arrives within a time, and is not larger than any may be.
//!
//! What must stay true: a call whose message is there when it is asked for has no timer; between the messages of a stream
//! its caller may be silent; messages that are large find room before their bytes are taken, and the room of all that are
//! on their way is bounded; what is refused here was not read, and nothing of it was decided; a message that waits for the
//! turn of its call keeps its room, and its caller is not the one who is late.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use super::status::Failure;
use super::turns::{Queued, Turn};
use crate::limits;

/// What may go wrong with a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of what comes before each message: whether it is compressed, and how long it is.
pub(super) const HEAD_BYTES: usize = 5;
/// Room for large messages is given in pieces of so many bytes.
const ROOM_PIECE_BYTES: usize = 1 << 10;
/// Methods whose callers send more than one message.
const STREAMS: [&str; 3] = [
    "/tallystick.v1.LedgerService/CommandStream",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Methods whose single answers may be large: batches and lists.
const LARGE_ANSWERS: [&str; 14] = [
    "/tallystick.v1.LedgerService/AccrueBatch",
    "/tallystick.v1.LedgerService/QuoteBatch",
    "/tallystick.v1.LedgerService/ListRewards",
    "/tallystick.v1.LedgerService/ListTransactions",
    "/tallystick.v1.LedgerService/ListRelatedTransactions",
    "/tallystick.v1.OperatorService/ListHeld",
    "/tallystick.v1.ProgramService/GetProgram",
    "/tallystick.v1.ProgramService/ListPrograms",
    "/tallystick.v1.AccessService/ListKeys",
    "/tallystick.v1.FraudService/ListFreezes",
    "/tallystick.v1.FraudService/ListReceiptClaims",
    "/tallystick.v1.FraudService/ListVelocityDenials",
    "/tallystick.v1.ApprovalService/ListProposals",
    "/tallystick.v1.SettlementService/ListBudgets",
];

/// Whether the answer to a call of this method may be large.
#[must_use]
pub fn has_large_answer(path: &str) -> bool {
    LARGE_ANSWERS.contains(&path)
}

/// Whether the callers of this method send more than one message.
pub(super) fn is_stream(path: &str) -> bool {
    STREAMS.contains(&path)
}

/// Waits for the messages of calls, for so long and no longer.
#[derive(Clone, Debug)]
pub struct PatienceLayer {
    limit: Duration,
    room: Arc<Semaphore>,
}

impl PatienceLayer {
    /// Waits for so long. Its clones share the room for large messages.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, room: Arc::new(Semaphore::new(limits::LARGE_MESSAGES_BYTES_MAX / ROOM_PIECE_BYTES)) }
    }
}

impl<S> Layer<S> for PatienceLayer {
    type Service = Patient<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Patient { inner, layer: self.clone() }
    }
}

/// A service whose callers are waited for.
#[derive(Clone, Debug)]
pub struct Patient<S> {
    inner: S,
    layer: PatienceLayer,
}

impl<S: Service<Request<Awaited<B>>>, B> Service<Request<B>> for Patient<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_stream = is_stream(request.uri().path());
        let layer = self.layer.clone();
        let turn = request.extensions_mut().remove::<Arc<Turn>>().map(Queued::new);
        self.inner.call(request.map(|inner| Awaited {
            inner,
            is_stream,
            message: Message::default(),
            layer,
            room: None,
            deadline: None,
            failure: None,
            turn,
            held: None,
        }))
    }
}

/// How far the message that is arriving has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Message {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    bytes_left: usize,
    /// One has come whole, this one or one before.
    has_come: bool,
}

impl Message {
    fn is_midst(&self) -> bool {
        self.head_bytes > 0 || self.bytes_left > 0
    }

    /// Goes over the next bytes; tells of the length of each message that begins with them. One that is refused fails with
    /// the place where it begins: what lies before is whole.
    fn pass(
        &mut self,
        bytes: &[u8],
        mut begins: impl FnMut(usize) -> Result<(), Failure>,
    ) -> Result<(), (usize, Failure)> {
        let (mut at, mut begins_at) = (0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.bytes_left > 0 {
                let taken = self.bytes_left.min(rest.len());
                self.bytes_left -= taken;
                self.has_come |= self.bytes_left == 0;
                at += taken;
                begins_at = at;
                continue;
            }
            let taken = (HEAD_BYTES - self.head_bytes).min(rest.len());
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&rest[..taken]);
            self.head_bytes += taken;
            at += taken;
            if self.head_bytes == HEAD_BYTES {
                let [_, length @ ..] = self.head;
                self.head_bytes = 0;
                self.bytes_left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                begins(self.bytes_left).map_err(|failure| (begins_at, failure))?;
                self.has_come |= self.bytes_left == 0;
                begins_at = if self.bytes_left == 0 { at } else { begins_at };
            }
        }
        Ok(())
    }
}

pin_project! {
    /// The body of a request that is waited for.
    pub struct Awaited<B> {
        #[pin]
        inner: B,
        is_stream: bool,
        message: Message,
        layer: PatienceLayer,
        // Of the large message that is arriving; of a call that is no stream, until all of its request has been read.
        room: Option<OwnedSemaphorePermit>,
        deadline: Option<Pin<Box<Sleep>>>,
        // Of what comes next, once what lies before it has been given.
        failure: Option<Failure>,
        // Until it comes.
        turn: Option<Queued>,
        // What makes the message whole, until it is the turn of the call.
        held: Option<Bytes>,
    }
}

/// The answer to a call of somebody who does not take the answers to others.
#[must_use]
pub fn overloaded() -> Response<tonic::body::Body> {
    Status::from(Failure::Overloaded).into_http()
}

/// Room for a message of this length, if it asks for any.
fn room_for(length: usize, room: &Arc<Semaphore>) -> Result<Option<OwnedSemaphorePermit>, Failure> {
    if length > limits::MESSAGE_BYTES_MAX {
        return Err(Failure::MessageTooLarge);
    }
    if length <= limits::SMALL_MESSAGE_BYTES_MAX {
        return Ok(None);
    }
    let pieces = u32::try_from(length.div_ceil(ROOM_PIECE_BYTES)).unwrap_or(u32::MAX);
    room.clone().try_acquire_many_owned(pieces).map(Some).map_err(|_| Failure::Overloaded)
}

/// Adds room to what there is.
fn add_room(room: &mut Option<OwnedSemaphorePermit>, more: Option<OwnedSemaphorePermit>) {
    let Some(more) = more else { return };
    match room {
        Some(room) => room.merge(more),
        None => *room = Some(more),
    }
}

/// What a body gives next.
type Given = Option<Result<Frame<Bytes>, BoxError>>;

/// Gives what was held back, once it is the turn of the call.
fn poll_held(held: &mut Option<Bytes>, turn: &mut Option<Queued>, cx: &mut Context<'_>) -> Poll<Given> {
    if let Some(queued) = turn {
        ready!(queued.poll_turn(cx));
    }
    *turn = None;
    Poll::Ready(held.take().map(|bytes| Ok(Frame::data(bytes))))
}

impl<B: Body<Data = Bytes>> Body for Awaited<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Given> {
        let this = self.project();
        if this.held.is_some() {
            return poll_held(this.held, this.turn, cx);
        }
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Some(Err(Status::from(failure).into())));
        }
        let is_stream = *this.is_stream;
        let Poll::Ready(frame) = this.inner.poll_frame(cx) else {
            if is_stream && !this.message.is_midst() {
                return Poll::Pending;
            }
            let limit = this.layer.limit;
            let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Status::from(Failure::RequestTooSlow).into())));
        };
        let bytes = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) => bytes,
            Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let (room, all, turn) = (&mut *this.room, &this.layer.room, &*this.turn);
        let passed = this.message.pass(&bytes, |length| {
            if is_stream {
                // The one before has arrived: its room is free again.
                *room = None;
            }
            let found = room_for(length, all)?;
            if found.is_some() && !turn.as_ref().is_none_or(|queued| queued.takes_room(length)) {
                return Err(Failure::Overloaded);
            }
            add_room(room, found);
            Ok(())
        });
        let bytes = match passed {
            Ok(()) => bytes,
            Err((place, failure)) => {
                *this.failure = Some(failure);
                bytes.slice(..place)
            }
        };
        if is_stream && !this.message.is_midst() {
            *this.room = None;
            *this.deadline = None;
        }
        if this.turn.is_some() && this.message.has_come {
            *this.held = Some(bytes);
            // From here on it is not the caller who is waited for.
            *this.deadline = None;
            return poll_held(this.held, this.turn, cx);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        // What is refused comes behind what lies before it.
        self.failure.is_none() && self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};
    use std::convert::Infallible;
    use std::future::{Ready, poll_fn};

    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use tonic_types::StatusExt;

    use super::super::turns::Turns;
    use super::*;
    use crate::service::wire;

    /// A body that brings these bytes and then nothing more, or ends.
    struct Brings {
        bytes: VecDeque<Bytes>,
        ends: bool,
    }

    impl Body for Brings {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.bytes.pop_front() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }

        fn is_end_stream(&self) -> bool {
            self.ends && self.bytes.is_empty()
        }
    }

    struct Inner;

    impl Service<Request<Awaited<Brings>>> for Inner {
        type Response = Awaited<Brings>;
        type Error = Infallible;
        type Future = Ready<Result<Awaited<Brings>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Awaited<Brings>>) -> Self::Future {
            std::future::ready(Ok(request.into_body()))
        }
    }

    const UNARY: &str = "/tallystick.v1.LedgerService/Accrue";
    const LIMIT: Duration = Duration::from_millis(50);
    /// Longer than anything that ends takes.
    const LONG: Duration = Duration::from_millis(500);

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(HEAD_BYTES + length, 7);
        bytes
    }

    fn request(path: &str, parts: Vec<Vec<u8>>, ends: bool) -> Request<Brings> {
        let brings = Brings { bytes: parts.into_iter().map(Bytes::from).collect(), ends };
        Request::post(path).body(brings).unwrap()
    }

    fn body(layer: &PatienceLayer, path: &str, parts: Vec<Vec<u8>>, ends: bool) -> Awaited<Brings> {
        let Ok(body) = layer.layer(Inner).call(request(path, parts, ends)).into_inner();
        body
    }

    /// The body of a call that needs one of these turns, and what holds its turn.
    fn body_in_turn(
        layer: &PatienceLayer,
        turns: &Turns,
        parts: Vec<Vec<u8>>,
        ends: bool,
    ) -> (Awaited<Brings>, Arc<Turn>) {
        let turn = Arc::new(Turn::new(turns.clone()));
        let mut request = request(LARGE_ANSWERS[0], parts, ends);
        request.extensions_mut().insert(turn.clone());
        let Ok(body) = layer.layer(Inner).call(request).into_inner();
        (body, turn)
    }

    /// How many bytes it brings before somebody has to be waited for, or it ends.
    async fn given_at_once(body: &mut Awaited<Brings>) -> usize {
        let mut count = 0;
        while let Poll::Ready(Some(Ok(frame))) = poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await {
            count += frame.data_ref().map_or(0, Bytes::len);
        }
        count
    }

    /// The reason for which the body ends, "" if it ends by itself, and how many bytes it brought.
    async fn end_of(body: &mut Awaited<Brings>) -> (String, usize) {
        let mut count = 0;
        loop {
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
                None => return (String::new(), count),
                Some(Ok(frame)) => count += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(error)) => {
                    let status = error.downcast::<Status>().expect("what is refused is a status");
                    return (status.get_details_error_info().expect("it has a reason").reason, count);
                }
            }
        }
    }

    fn layer() -> PatienceLayer {
        PatienceLayer::new(LIMIT)
    }

    #[test]
    fn the_methods_that_take_streams_are_those_of_the_contract() {
        let sets = [wire::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
        let mut found = BTreeSet::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in service.method.iter().filter(|method| method.client_streaming()) {
                        found.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                    }
                }
            }
        }
        let alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo".to_owned();
        found.insert(alpha);
        assert_eq!(found, STREAMS.map(str::to_owned).into());
    }

    #[test]
    fn batches_and_lists_are_those_of_the_contract() {
        let set = FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
        let mut found = BTreeSet::from(["/tallystick.v1.ProgramService/GetProgram".to_owned()]);
        for file in &set.file {
            for service in &file.service {
                let methods = service.method.iter().map(|method| method.name());
                let large = methods.filter(|name| name.starts_with("List") || name.ends_with("Batch"));
                found.extend(large.map(|name| format!("/{}.{}/{name}", file.package(), service.name())));
            }
        }
        found.retain(|path| path.starts_with("/tallystick.v1."));
        assert_eq!(found, LARGE_ANSWERS.map(str::to_owned).into());
    }

    #[tokio::test]
    async fn what_is_there_passes_whole_and_without_a_timer() {
        for parts in [vec![message(9)], vec![message(9)[..3].to_vec(), message(9)[3..].to_vec()], vec![Vec::new()]] {
            let length = parts.iter().map(Vec::len).sum();
            let mut body = body(&layer(), UNARY, parts, true);
            assert_eq!(end_of(&mut body).await, (String::new(), length));
            assert!(body.deadline.is_none());
        }
    }

    #[tokio::test]
    async fn a_unary_call_that_does_not_come_to_its_end_fails_when_its_time_is_up() {
        let whole = message(9);
        for parts in [vec![], vec![whole[..4].to_vec()], vec![whole[..8].to_vec()], vec![whole.clone()]] {
            let length: usize = parts.iter().map(Vec::len).sum();
            let mut body = body(&layer(), UNARY, parts, false);
            assert!(tokio::time::timeout(Duration::ZERO, end_of(&mut body)).await.is_err(), "it is waited for");
            assert_eq!(end_of(&mut body).await, ("REQUEST_TOO_SLOW".to_owned(), 0), "after {length} bytes");
        }
    }

    #[tokio::test]
    async fn a_stream_may_be_silent_between_messages_and_not_within_one() {
        for parts in [vec![], vec![message(9)], vec![message(9), message(0)]] {
            let mut body = body(&layer(), STREAMS[0], parts, false);
            assert!(tokio::time::timeout(LONG, end_of(&mut body)).await.is_err(), "it goes on");
        }
        let parts = vec![message(9), message(9)[..7].to_vec()];
        let end = end_of(&mut body(&layer(), STREAMS[0], parts, false)).await;
        assert_eq!(end, ("REQUEST_TOO_SLOW".to_owned(), 21));
    }

    #[tokio::test]
    async fn a_message_that_is_too_large_is_refused_by_its_head() {
        let rows = [(limits::MESSAGE_BYTES_MAX, ""), (limits::MESSAGE_BYTES_MAX + 1, "MESSAGE_TOO_LARGE")];
        for (length, reason) in rows {
            let head = message(length)[..HEAD_BYTES].to_vec();
            assert_eq!(end_of(&mut body(&layer(), UNARY, vec![head], true)).await.0, reason, "{length} bytes");
        }
        assert_eq!(end_of(&mut body(&layer(), UNARY, vec![vec![0xff; 9]], true)).await.0, "MESSAGE_TOO_LARGE");
    }

    #[tokio::test]
    async fn what_comes_before_a_message_that_is_too_large_is_given() {
        let large = message(limits::MESSAGE_BYTES_MAX + 1)[..HEAD_BYTES].to_vec();
        let whole = [message(9), message(0), large].concat();
        let before = whole.len() - HEAD_BYTES;
        for cut in 0..whole.len() {
            let parts = vec![whole[..cut].to_vec(), whole[cut..].to_vec()];
            let (reason, count) = end_of(&mut body(&layer(), STREAMS[0], parts, true)).await;
            assert_eq!((reason.as_str(), count), ("MESSAGE_TOO_LARGE", before.max(cut)), "cut at {cut}");
        }
    }

    /// As long as it is not whole nobody can decode it: what waits is bytes.
    #[tokio::test]
    async fn a_message_comes_whole_when_it_is_the_turn_of_its_call_however_late_that_is() {
        for (cut, ends) in [(0, true), (3, true), (HEAD_BYTES, true), (13, true), (13, false)] {
            let turns = Turns::new(1);
            let others = turns.take();
            // With a byte of what comes behind it, so that it is not the end of a piece that counts.
            let whole = [message(9), vec![0]].concat();
            let parts = vec![whole[..cut].to_vec(), whole[cut..].to_vec()];
            let (mut body, turn) = body_in_turn(&layer(), &turns, parts, ends);
            assert_eq!(given_at_once(&mut body).await, cut);
            assert!(!body.is_end_stream(), "what is held back is to come");
            // Longer than its caller would be waited for.
            assert!(tokio::time::timeout(2 * LIMIT, end_of(&mut body)).await.is_err(), "it waits, cut at {cut}");
            drop(others);
            let reason = if ends { "" } else { "REQUEST_TOO_SLOW" };
            assert_eq!(end_of(&mut body).await, (reason.to_owned(), whole.len() - cut), "cut at {cut}");
            drop(body);
            assert_eq!(turns.left(), 0, "the turn lasts until the answer has left");
            drop(turn);
            assert_eq!(turns.left(), 1);
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_not_needed_is_not_taken() {
        let turns = Turns::new(1);
        let large = message(limits::MESSAGE_BYTES_MAX + 1)[..HEAD_BYTES].to_vec();
        for (parts, reason) in [
            (vec![], "REQUEST_TOO_SLOW"),
            (vec![message(9)[..13].to_vec()], "REQUEST_TOO_SLOW"),
            (vec![large.clone()], "MESSAGE_TOO_LARGE"),
        ] {
            let (mut body, _turn) = body_in_turn(&layer(), &turns, parts, false);
            assert_eq!(end_of(&mut body).await.0, reason);
            assert_eq!(turns.left(), 1, "{reason}");
        }
        let (mut first, first_turn) = body_in_turn(&layer(), &turns, vec![[message(9), large].concat()], true);
        assert_eq!(end_of(&mut first).await, ("MESSAGE_TOO_LARGE".to_owned(), 14), "what lies before it is given");
        assert_eq!(turns.left(), 0);
        // Whoever waits and is given up takes none.
        let (mut second, second_turn) = body_in_turn(&layer(), &turns, vec![message(9)], true);
        assert_eq!(given_at_once(&mut second).await, 0);
        drop((second, second_turn));
        drop((first, first_turn));
        assert_eq!(turns.left(), 1);
    }

    #[tokio::test]
    async fn a_large_message_keeps_its_room_until_its_call_has_been_read() {
        let (layer, turns) = (layer(), Turns::new(1));
        let all = layer.room.available_permits();
        let large = || message(limits::SMALL_MESSAGE_BYTES_MAX + 1);
        // It has come; the end of the call has not, and what else comes takes nothing from it.
        let mut unary = body(&layer, UNARY, vec![large(), message(9), large()], false);
        assert!(given_at_once(&mut unary).await > 0);
        let taken = all - layer.room.available_permits();
        assert!(taken * ROOM_PIECE_BYTES >= 2 * limits::SMALL_MESSAGE_BYTES_MAX, "{taken} pieces are taken");
        drop(unary);
        assert_eq!(layer.room.available_permits(), all);
        let others = turns.take();
        let (mut waits, _turn) = body_in_turn(&layer, &turns, vec![large()], true);
        assert_eq!(given_at_once(&mut waits).await, 0);
        assert!(layer.room.available_permits() < all, "it waits for its turn");
        drop(others);
        assert_eq!(end_of(&mut waits).await.0, "");
        drop(waits);
        assert_eq!(layer.room.available_permits(), all);
    }

    /// However many a caller has wait, others find room.
    #[tokio::test]
    async fn the_messages_of_a_connection_wait_in_as_much_room_as_its_turns_could_take() {
        let (layer, turns) = (layer(), Turns::new(1));
        let others = turns.take();
        let small = || message(limits::SMALL_MESSAGE_BYTES_MAX);
        let large = || message(limits::MESSAGE_BYTES_MAX / 2);
        let (mut first, first_turn) = body_in_turn(&layer, &turns, vec![large()], true);
        let (mut second, _second_turn) = body_in_turn(&layer, &turns, vec![large()], true);
        let (mut third, _third_turn) = body_in_turn(&layer, &turns, vec![small()], true);
        for waits in [&mut first, &mut second, &mut third] {
            assert_eq!(given_at_once(waits).await, 0);
        }
        let left = layer.room.available_permits();
        let (mut fourth, _fourth_turn) = body_in_turn(&layer, &turns, vec![large()], true);
        assert_eq!(end_of(&mut fourth).await.0, "OVERLOADED");
        assert_eq!(layer.room.available_permits(), left, "it has no room of the others either");
        drop((first, first_turn));
        let (mut fifth, _fifth_turn) = body_in_turn(&layer, &turns, vec![large()], true);
        assert_eq!(given_at_once(&mut fifth).await, 0);
        drop((second, others));
    }

    #[tokio::test]
    async fn large_messages_find_room_or_are_refused_and_small_ones_always_find_it() {
        let layer = layer();
        let head = |length| vec![message(length)[..HEAD_BYTES].to_vec()];
        let mut arriving = Vec::new();
        for _ in 0..limits::LARGE_MESSAGES_BYTES_MAX / limits::MESSAGE_BYTES_MAX {
            let mut body = body(&layer, UNARY, head(limits::MESSAGE_BYTES_MAX), false);
            assert!(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().is_ok());
            arriving.push(body);
        }
        let small = limits::SMALL_MESSAGE_BYTES_MAX;
        assert_eq!(end_of(&mut body(&layer, UNARY, vec![message(small)], true)).await.0, "");
        assert_eq!(end_of(&mut body(&layer, UNARY, head(small + 1), true)).await.0, "OVERLOADED");
        // Whoever gives up makes room, and so does a message that has arrived.
        arriving.pop();
        for _ in 0..3 {
            let mut stream =
                body(&layer, STREAMS[0], vec![message(limits::MESSAGE_BYTES_MAX), message(small + 1)], true);
            assert_eq!(end_of(&mut stream).await.0, "");
        }
    }
}
