//! How long it takes to be told that there is nothing, and how that looks: what one may not see takes as long as what does
//! not exist, and is told in the same shape. Against the shipped server on its disk, beside a till.
//!
//! `tests/access/timing.rs` does the same for every method that hides anything, in one process.

use prost::Message;
use prost::bytes::Bytes;
use tallystick::bench::raw::RawCodec;
use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::blackbox::clock;
use crate::scene::{Scene, issue, with_key};
use crate::shop::{accrual, reversal};

/// Samples of each kind. Those of all kinds are taken in turn, so that whatever else the machine does is shared.
const SAMPLES: usize = 200;
/// A middle that is so many times another's tells something. The work is the same; what is between them is noise.
const RATIO_MAX: i64 = 3;

/// A method, and its request about a transaction, under an id of its own where it is a command.
type Asking = (&'static str, fn(about: &str, own: String) -> Vec<u8>);

/// Reads are told NOT_FOUND, and commands are refused.
const ASKING: [Asking; 7] = [
    ("LedgerService/GetTransaction", |about, _| {
        api::GetTransactionRequest { transaction_id: about.to_owned() }.encode_to_vec()
    }),
    ("LedgerService/ExplainTransaction", |about, _| {
        api::ExplainTransactionRequest { transaction_id: about.to_owned(), ..<_>::default() }.encode_to_vec()
    }),
    ("LedgerService/ListRelatedTransactions", |about, _| {
        api::ListRelatedTransactionsRequest { transaction_id: about.to_owned(), ..<_>::default() }.encode_to_vec()
    }),
    ("LedgerService/Reverse", |about, own| reversal(&own, about).encode_to_vec()),
    ("LedgerService/Capture", |about, own| {
        let (transaction_id, authorization_transaction_id) = (own, about.to_owned());
        api::CaptureRequest { transaction_id, authorization_transaction_id, points: 1, ..<_>::default() }
            .encode_to_vec()
    }),
    ("LedgerService/Void", |about, own| {
        let (transaction_id, authorization_transaction_id) = (own, about.to_owned());
        api::VoidRequest { transaction_id, authorization_transaction_id, ..<_>::default() }.encode_to_vec()
    }),
    ("LedgerService/CommandStream", |about, own| {
        let commands = vec![api::Command { command: Some(api::command::Command::Reverse(reversal(&own, about))) }];
        api::CommandStreamRequest { commands }.encode_to_vec()
    }),
];

/// All that is told, with the names of what comes beside a status.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Answer(Vec<u8>),
    Status(Code, String, Vec<u8>, Vec<String>),
}

async fn tell(channel: &Channel, method: &str, key: &str, message: Vec<u8>) -> Told {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = format!("/tallystick.v1.{method}").parse().unwrap();
    let request = with_key(Some(key), tokio_stream::once(Bytes::from(message)));
    let answer = async {
        let mut answers = grpc.streaming(request, path, RawCodec::default()).await?.into_inner();
        Ok::<_, Status>(answers.message().await?.unwrap_or_default())
    };
    match answer.await {
        Ok(answer) => Told::Answer(answer.to_vec()),
        Err(status) => {
            let mut names: Vec<String> = status.metadata().keys().map(|key| format!("{key:?}")).collect();
            names.sort();
            Told::Status(status.code(), status.message().to_owned(), status.details().to_vec(), names)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_see_takes_as_long_as_what_is_not_there_and_looks_the_same() {
    let scene = Scene::open_guarded(&[]).await;
    let admin = scene.admin.clone().unwrap();
    let channel = scene.channel().await;
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let north = issue(&channel, &admin, api::Role::Gateway, "north", None).await;
    let south = issue(&channel, &admin, api::Role::Gateway, "south", None).await;
    for number in 0..SAMPLES {
        let request = with_key(Some(&north), accrual(&format!("hidden-{number}"), "anna", 100));
        ledger.accrue(request).await.unwrap();
    }
    let clock = clock();
    for (method, ask) in ASKING {
        let mut samples = [Vec::new(), Vec::new()];
        let mut own = 0..;
        for number in 0..SAMPLES {
            let mut told = Vec::new();
            // Neither is always first.
            for kind in if number % 2 == 0 { [0, 1] } else { [1, 0] } {
                let about = format!("{}-{number}", ["hidden", "absent"][kind]);
                let message = ask(&about, format!("{method}-{:04}", own.next().unwrap()));
                let began = clock.monotonic_ns();
                told.push(tell(&channel, method, &south, message).await);
                samples[kind].push(clock.monotonic_ns() - began);
            }
            assert_eq!(told[0], told[1], "{method}");
            match &told[0] {
                Told::Status(code, ..) => assert_eq!(*code, Code::NotFound, "{method}"),
                Told::Answer(answer) => assert!(!answer.is_empty(), "{method} says that it refuses"),
            }
        }
        let [hidden, absent] = samples.map(|mut samples| {
            samples.sort_unstable();
            samples[samples.len() / 2]
        });
        println!("{method}: half of what is hidden within {hidden} ns, of what is absent {absent} ns");
        let is_alike = hidden < absent * RATIO_MAX && absent < hidden * RATIO_MAX;
        assert!(is_alike, "{method}: half of what is hidden took {hidden} ns, half of what is absent {absent} ns");
    }
    scene.close().await;
}
