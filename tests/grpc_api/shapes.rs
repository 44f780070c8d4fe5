//! One accrual in all the shapes in which a transport may bring it: in one piece, in many, with its end apart, at once or after
//! a while. Whoever calls must not be able to tell by the answer in which shape the server likes it best.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tallystick::access::table::TABLE;
use tallystick::bench::raw::RawCodec;
use tallystick::service::wire;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use crate::support::*;

/// A body that comes in these pieces, after a while; the end comes with the last piece, or apart from it.
struct Pieces {
    late: Option<Pin<Box<Sleep>>>,
    left: VecDeque<Frame<Bytes>>,
    ends_apart: bool,
}

impl Pieces {
    fn of(pieces: &[&[u8]]) -> Self {
        let left = pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
        Self { late: None, left, ends_apart: false }
    }

    fn after(self, wait: Duration) -> Self {
        Self { late: Some(Box::pin(sleep(wait))), ..self }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(late) = &mut self.late {
            ready!(late.as_mut().poll(cx));
            self.late = None;
        }
        Poll::Ready(self.left.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && !self.ends_apart
    }
}

/// Calls whose message comes after so long are waited for where they come in, and after so long elsewhere.
const A_LITTLE: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_millis(20);

/// One message with its head.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// All shapes of one message.
fn shapes(message: &[u8]) -> Vec<(&'static str, Pieces)> {
    let whole = framed(message);
    let (head, rest) = whole.split_at(5);
    let (first, last) = whole.split_at(whole.len() / 2);
    let bytes = whole.chunks(1).collect::<Vec<_>>();
    let mut with_trailers = Pieces::of(&[&whole]);
    with_trailers
        .left
        .push_back(Frame::trailers(HeaderMap::from_iter([("x-till".parse().unwrap(), "7".parse().unwrap())])));
    vec![
        ("in one piece", Pieces::of(&[&whole])),
        ("with its end apart", Pieces { ends_apart: true, ..Pieces::of(&[&whole]) }),
        ("with nothing behind it", Pieces::of(&[&whole, &[]])),
        ("with nothing before it", Pieces::of(&[&[], &whole])),
        ("with trailers", with_trailers),
        ("its head apart", Pieces::of(&[head, rest])),
        ("in two pieces", Pieces::of(&[first, last])),
        ("byte by byte", Pieces::of(&bytes)),
        ("a little after its call", Pieces::of(&[&whole]).after(A_LITTLE)),
        ("long after its call", Pieces::of(&[&whole]).after(LONG)),
        ("long after its call in two pieces", Pieces::of(&[first, last]).after(LONG)),
    ]
}

/// A connection that carries what it is given.
struct Plain(SendRequest<Pieces>);

/// An answer, as far as a caller sees it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    code: Code,
    message: String,
    details: Vec<u8>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    fn decision(&self) -> wire::Decision {
        assert_eq!(self.code, Code::Ok, "{self:?}");
        let (head, message) = self.body.split_first_chunk::<5>().expect("an answer has a head");
        assert_eq!((head[0], u32::from_be_bytes(head[1..].try_into().unwrap()) as usize), (0, message.len()));
        wire::AccrueResponse::decode(message).unwrap().decision.unwrap()
    }
}

impl Plain {
    async fn connect(shop: &Shop) -> Self {
        let stream = tokio::net::TcpStream::connect(shop.running.address()).await.unwrap();
        let (caller, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(caller)
    }

    async fn call(&mut self, headers: &[(&'static str, &'static str)], body: Pieces) -> Seen {
        let request = Request::post("http://localhost/tallystick.v1.LedgerService/Accrue")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = self.0.send_request(request.body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (head, body) = answer.into_parts();
        let in_words = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), format!("{value:?}"));
        let mut headers: Vec<_> = head.headers.iter().map(in_words).collect();
        headers.sort();
        let (bytes, trailers) = read(body).await;
        // A failure has its status in the head, and no body.
        let of_status = if bytes.is_empty() && trailers.is_none() { Some(head.headers) } else { trailers };
        let status = Status::from_header_map(&of_status.expect("every answer ends with a status")).unwrap();
        let (code, message) = (status.code(), status.message().to_owned());
        Seen { code, message, details: status.details().to_vec(), headers, body: bytes }
    }
}

async fn read(mut body: Incoming) -> (Vec<u8>, Option<HeaderMap>) {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match frame.unwrap().into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (bytes, trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accrual_is_granted_in_every_shape() {
    let mut shop = Shop::open().await;
    let mut till = Plain::connect(&shop).await;
    let count = shapes(&[]).len();
    for place in 0..count {
        let request = accrual(&format!("t{place}"), &format!("member-{place}"), 1_200).encode_to_vec();
        let (shape, body) = shapes(&request).remove(place);
        let seen = till.call(&[], body).await;
        let decision = seen.decision();
        assert_eq!((decision.granted_points, decision.replayed), (12, false), "{shape}");
        assert_eq!(seen.headers, [("content-type".to_owned(), "\"application/grpc\"".to_owned())], "{shape}");
        assert_eq!(shop.balance(&format!("member-{place}")).await, 12, "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_does_not_depend_on_the_shape() {
    let shop = Shop::open().await;
    let mut till = Plain::connect(&shop).await;
    let granted = accrual("t1", "anna", 500);
    till.call(&[], Pieces::of(&[&framed(&granted.encode_to_vec())])).await.decision();
    let mut other_amount = granted.clone();
    other_amount.basket.as_mut().unwrap().lines[0].quantity = 3;
    let mut same_receipt = accrual("t2", "ben", 500);
    same_receipt.basket = granted.basket.clone();
    let mut malformed = accrual("t3", "anna", 100);
    malformed.basket.as_mut().unwrap().lines[0].quantity = -1;
    let mut nobody = accrual("t4", "anna", 100);
    nobody.account_id.clear();
    nobody.account_identifier = Some(wire::AccountIdentifier { kind: "card".to_owned(), value: "77".to_owned() });
    let rows = [
        ("repeated", granted.encode_to_vec(), Code::Ok),
        ("its id with another basket", other_amount.encode_to_vec(), Code::Ok),
        ("its receipt again", same_receipt.encode_to_vec(), Code::Ok),
        ("of a card that nobody has", nobody.encode_to_vec(), Code::Ok),
        ("a wrong field", malformed.encode_to_vec(), Code::InvalidArgument),
        ("nothing in it", Vec::new(), Code::InvalidArgument),
        ("no message of ours", vec![0xff; 9], Code::InvalidArgument),
    ];
    for (what, request, code) in rows {
        let mut first: Option<Seen> = None;
        for (shape, body) in shapes(&request) {
            let seen = till.call(&[], body).await;
            assert_eq!(seen.code, code, "{what}, {shape}: {seen:?}");
            assert_eq!(&seen, first.get_or_insert_with(|| seen.clone()), "{what}, {shape}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_single_message_is_refused_and_decides_nothing() {
    let mut shop = Shop::open().await;
    let mut till = Plain::connect(&shop).await;
    let whole = framed(&accrual("t1", "anna", 500).encode_to_vec());
    let half = &whole[..whole.len() / 2];
    let mut compressed = whole.clone();
    compressed[0] = 1;
    let too_large = [&whole[..], &[0, 0xff, 0xff, 0xff, 0xff]].concat();
    let gzip = [("grpc-encoding", "gzip")];
    type Row<'a> = (&'a str, &'a [(&'static str, &'static str)], Pieces, Code);
    let rows: [Row<'_>; 7] = [
        ("no message", &[], Pieces::of(&[]), Code::Internal),
        ("an empty piece", &[], Pieces::of(&[&[]]), Code::Internal),
        ("half a message", &[], Pieces::of(&[half]), Code::Internal),
        ("said to be compressed", &[], Pieces::of(&[&compressed]), Code::Internal),
        ("compressed", &gzip, Pieces::of(&[&compressed]), Code::Unimplemented),
        ("a head that promises more", &[], Pieces::of(&[&whole, half]), Code::Internal),
        ("a head that promises too much behind it", &[], Pieces::of(&[&too_large]), Code::OutOfRange),
    ];
    for (what, headers, body, code) in rows {
        let seen = till.call(headers, body).await;
        assert_eq!(seen.code, code, "{what}: {seen:?}");
        let is_grpc = |(name, value): &(String, String)| name == "content-type" && value == "\"application/grpc\"";
        assert!(seen.headers.iter().any(is_grpc), "{what}: {seen:?}");
    }
    let after = shop.accrue(accrual("t1", "anna", 500)).await;
    assert_eq!((after.replayed, after.balance_points), (false, 5), "nothing was decided before");
}

/// Whichever method is called: bytes that are no message are a malformed request, and no fault of the server.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_says_of_no_message_that_it_is_malformed() {
    let shop = Shop::open().await;
    let channel = connect(&shop.running).await;
    let own = TABLE.iter().filter(|row| row.path.starts_with("/tallystick.v1."));
    for row in own {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let request = tonic::Request::new(Bytes::from_static(&[0xff; 9]));
        let answer: Result<tonic::Response<Bytes>, Status> =
            grpc.unary(request, row.path.parse().unwrap(), RawCodec::default()).await;
        let status = answer.expect_err(row.path);
        assert_eq!((status.code(), &*reason(&status)), (Code::InvalidArgument, "INVALID_REQUEST"), "{}", row.path);
        assert_eq!(wrong_fields(&status), [""], "{}", row.path);
    }
}

/// Of two messages the second counts for nothing, however they come.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_a_message_is_not_taken_for_it() {
    let mut shop = Shop::open().await;
    let mut till = Plain::connect(&shop).await;
    let mut codes = Vec::new();
    for (place, apart) in [false, true].into_iter().enumerate() {
        let [first, second] = ["first", "second"].map(|which| accrual(&format!("{which}-{place}"), "anna", 100));
        let [one, other] = [&first, &second].map(|request| framed(&request.encode_to_vec()));
        let body = if apart { Pieces::of(&[&one, &other]) } else { Pieces::of(&[&[one, other].concat()]) };
        let code = till.call(&[], body).await.code;
        assert!(!shop.accrue(second).await.replayed, "apart: {apart}");
        assert_eq!(shop.accrue(first).await.replayed, code == Code::Ok, "apart: {apart}");
        codes.push(code);
    }
    assert_eq!(codes[0], codes[1]);
}
