//! What one credential may ask for: its rate and its calls at a time, refused at once, item by item, and nobody else's
//! business.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tallystick::access::grant::Role;
use tallystick::access::keys::KeyIssue;
use tallystick::access::meter::RateLimits;
use tallystick::clock::{Clock, SystemClock};
use tallystick::config::Config;
use tallystick::ledger::types::TimestampNs;
use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::store::memory::MemoryStore;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::shop::{accrual, wrong_fields};
use crate::signer::{Signer, claims};
use crate::support::{House, assert_refused, call, config, usual, with_key};
use crate::tokens::accepting;

async fn house(limits: &str) -> House {
    let rate_limits = RateLimits::parse(limits).unwrap();
    House::open_on(Arc::new(MemoryStore::new()), Config { rate_limits, ..config() }).await
}

/// The machine's clock, for whose durations nobody has to wait.
struct Ahead {
    machine: SystemClock,
    ahead_ns: AtomicI64,
}

impl Ahead {
    fn new() -> Arc<Self> {
        Arc::new(Self { machine: SystemClock::new(), ahead_ns: AtomicI64::new(0) })
    }

    fn pass(&self, time: Duration) {
        self.ahead_ns.fetch_add(i64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> TimestampNs {
        self.machine.now()
    }

    fn monotonic_ns(&self) -> i64 {
        self.machine.monotonic_ns() + self.ahead_ns.load(Ordering::SeqCst)
    }
}

/// A client of its own connection, with a key.
struct Caller {
    ledger: LedgerServiceClient<Channel>,
    key: String,
}

impl Caller {
    async fn of(house: &House, key: &str) -> Self {
        Self { ledger: LedgerServiceClient::new(house.channel().await), key: key.to_owned() }
    }

    async fn accrue(&mut self, id: &str) -> Result<(), Status> {
        let answer = self.ledger.accrue(with_key(&self.key, accrual(id, "m1", 100))).await?;
        assert!(answer.into_inner().decision.is_some());
        Ok(())
    }

    async fn batch(&mut self, count: usize) -> Result<usize, Status> {
        let requests = (0..count).map(|number| accrual(&format!("b{number}"), "m1", 100)).collect();
        let answer = self.ledger.accrue_batch(with_key(&self.key, wire::AccrueBatchRequest { requests })).await?;
        Ok(answer.into_inner().decisions.len())
    }

    async fn quotes(&mut self, count: usize) -> Result<usize, Status> {
        let basket = accrual("q", "m1", 100).basket;
        let quote = wire::QuoteRequest { account_id: "m1".to_owned(), basket, ..Default::default() };
        let requests = vec![quote; count];
        let answer = self.ledger.quote_batch(with_key(&self.key, wire::QuoteBatchRequest { requests })).await?;
        Ok(answer.into_inner().decisions.len())
    }
}

/// A refusal for the rate says when to come again.
fn wait_of(status: &Status) -> Duration {
    let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    delay.expect("it says when to come again")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_one_credential_s_over_all_its_connections() {
    let house = house("till=1/3/64").await;
    let key = house.key(usual(Role::Till)).await;
    let (mut one, mut other) = (Caller::of(&house, &key).await, Caller::of(&house, &key).await);
    let mut refused = None;
    for number in 0..40 {
        let caller = if number % 2 == 0 { &mut one } else { &mut other };
        if let Err(status) = caller.accrue(&format!("t{number}")).await {
            refused = Some((number, status));
            break;
        }
    }
    let (number, status) = refused.expect("a rate of one a second is used up");
    assert!(number >= 3, "the burst comes through, not {number}");
    let wait = wait_of(&status);
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    assert_refused::<()>(Err(status), Code::ResourceExhausted, "RATE_LIMITED");
    // What is denied counts as well.
    let channel = house.channel().await;
    let mut codes = Vec::new();
    while codes.len() < 40 && !codes.contains(&Code::ResourceExhausted) {
        let status = call(&channel, "/tallystick.v1.AdminService/GetStatus", Some(&key), Vec::new()).await;
        codes.push(status.unwrap_err().code());
    }
    assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
    // Another till has a rate of its own, and a gateway none.
    let mut till = Caller::of(&house, &house.key(usual(Role::Till)).await).await;
    till.accrue("another-till").await.unwrap();
    let mut gateway = Caller::of(&house, &house.key(usual(Role::Gateway)).await).await;
    for number in 0..20 {
        gateway.accrue(&format!("g{number}")).await.unwrap();
    }
    assert!(house.running.engine().metrics.limited_rate.get() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_of_a_batch_count_one_by_one() {
    let house = house("till=1/50/64").await;
    let mut till = Caller::of(&house, &house.key(usual(Role::Till)).await).await;
    assert_eq!(till.batch(40).await.unwrap(), 40);
    let status = till.batch(40).await.unwrap_err();
    assert!(wait_of(&status) > Duration::from_secs(10));
    assert_refused::<()>(Err(status), Code::ResourceExhausted, "RATE_LIMITED");
    // What can never pass is told so, from the first item on that is too many.
    for count in [51, 60] {
        let status = till.batch(count).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{count}");
        assert_eq!(wrong_fields(&status), ["requests"], "{count}");
    }
}

/// What a call began with is used up when the rest of it is refused: it passes all the same when it comes again at the time
/// that it was told.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_when_it_was_told_to_passes() {
    let clock = Ahead::new();
    let limited = Config { rate_limits: RateLimits::parse("till=1/50/64").unwrap(), ..config() };
    let house = House::open_by(Arc::new(MemoryStore::new()), limited, clock.clone()).await;
    let mut till = Caller::of(&house, &house.key(usual(Role::Till)).await).await;
    assert_eq!(till.batch(40).await.unwrap(), 40);
    let wait = wait_of(&till.batch(40).await.unwrap_err());
    assert!(wait > Duration::from_secs(10) && wait <= Duration::from_secs(31), "{wait:?}");
    clock.pass(wait);
    assert_eq!(till.batch(40).await.unwrap(), 40);
    // Not even the first of these is left: it is told so, and then how long it takes for all.
    let mut refused_count = 0;
    let quoted = loop {
        match till.quotes(40).await {
            Ok(count) => break count,
            Err(status) => clock.pass(wait_of(&status)),
        }
        refused_count += 1;
        assert!(refused_count <= 2, "it comes again for ever");
    };
    assert_eq!((quoted, refused_count > 0), (40, true));
}

/// Each connection judges the tokens anew, and what counts for them is the same all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_comes_in_two_roles_by_turns_is_limited_in_each() {
    let signer = Signer::edwards();
    let (accepts, _folder) = accepting(&[signer.public("e")], 30);
    let rate_limits = RateLimits::parse("gateway=1/3/64, back-office=1/2/64").unwrap();
    let house = House::open_on(Arc::new(MemoryStore::new()), Config { rate_limits, ..accepts }).await;
    let tokens = ["gateway", "back-office"].map(|role| {
        let mut claims = claims();
        claims["tallystick"]["role"] = role.into();
        signer.token(&signer.header("e"), &claims)
    });
    let began = tokio::time::Instant::now();
    let mut granted_counts = [0; 2];
    for _ in 0..40 {
        let channel = house.channel().await;
        for (token, granted_count) in tokens.iter().zip(&mut granted_counts) {
            let status = call(&channel, "/tallystick.v1.LedgerService/GetBalance", Some(token), Vec::new()).await;
            *granted_count += u64::from(status.unwrap_err().code() == Code::InvalidArgument);
        }
    }
    // The larger burst, and one a second.
    let most = 3 + began.elapsed().as_secs() + 1;
    assert!(granted_counts.iter().all(|count| (2..=most).contains(count)), "{granted_counts:?}, at most {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_take_a_place_each_and_give_it_back() {
    let house = house("gateway=100000/100000/2").await;
    let key = house.key(usual(Role::Gateway)).await;
    let mut caller = Caller::of(&house, &key).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = tokio::sync::mpsc::channel::<wire::CommandStreamRequest>(1);
        let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        streams.push((sender, caller.ledger.command_stream(request).await.unwrap().into_inner()));
    }
    assert_refused(caller.accrue("a").await, Code::ResourceExhausted, "RATE_LIMITED");
    let (sender, mut results) = streams.pop().unwrap();
    drop(sender);
    assert!(results.message().await.unwrap().is_none());
    // The place is given back when the stream has ended on the server's side too, a moment later.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while caller.accrue("a").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the place is given back");
        tokio::task::yield_now().await;
    }
    assert!(house.running.engine().metrics.limited_concurrency.get() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_slowed_down_and_refused_nothing() {
    let house = house("gateway=200/50/4").await;
    let key = house.key(usual(Role::Gateway)).await;
    let mut caller = Caller::of(&house, &key).await;
    let commands = (0..150).map(|number| {
        let accrue = accrual(&format!("s{number}"), "m1", 100);
        wire::Command { command: Some(wire::command::Command::Accrue(accrue)) }
    });
    let message = wire::CommandStreamRequest { commands: commands.collect() };
    let mut request = Request::new(tokio_stream::once(message));
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    let began = tokio::time::Instant::now();
    let mut results = caller.ledger.command_stream(request).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(answer) = results.message().await.unwrap() {
        for result in answer.results {
            assert_eq!(result.decision.unwrap().refusal, None);
            count += 1;
        }
    }
    assert_eq!(count, 150);
    // Fifty at once, and a hundred more at two hundred a second.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

/// A message of so many accruals that a rate of one a second holds up.
fn slow_message(count: usize) -> wire::CommandStreamRequest {
    let command = |number| wire::Command {
        command: Some(wire::command::Command::Accrue(accrual(&format!("s{number}"), "m1", 100))),
    };
    wire::CommandStreamRequest { commands: (0..count).map(command).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_waits_for_its_rate_ends_with_its_caller() {
    let house = house("gateway=1/2/1").await;
    let key = house.key(usual(Role::Gateway)).await;
    let mut caller = Caller::of(&house, &key).await;
    let request = with_key(&key, tokio_stream::iter([slow_message(1_000)]));
    let results = caller.ledger.command_stream(request).await.unwrap();
    drop(results);
    // Its place is free long before the quarter of an hour that its commands would take.
    let freed = async {
        loop {
            let answer = caller.ledger.command_stream(with_key(&key, tokio_stream::empty())).await;
            match answer {
                Ok(_) => return,
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), freed).await.expect("the place of a stream that is gone is free");
    let mut teller = LedgerServiceClient::new(house.channel().await);
    let till = house.key(usual(Role::Till)).await;
    let first = teller.accrue(with_key(&till, accrual("s0", "m1", 100))).await.unwrap().into_inner();
    assert!(!first.decision.unwrap().replayed, "nothing of it was decided");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_rate_when_its_key_is_revoked_is_not_decided() {
    let house = house("gateway=1/2/8").await;
    let (key_id, key) = house.key_until(usual(Role::Gateway), KeyIssue::NEVER).await;
    let mut caller = Caller::of(&house, &key).await;
    // The burst is two: the third has to wait for a second.
    let request = with_key(&key, tokio_stream::iter([slow_message(3)]));
    let mut results = caller.ledger.command_stream(request).await.unwrap().into_inner();
    let engine = house.running.engine().clone();
    let revoked = tokio::task::spawn_blocking(move || tallystick::service::revoke_key(&engine, key_id, "test"));
    revoked.await.unwrap().unwrap();
    let ended = results.message().await;
    assert_refused(ended, Code::Unauthenticated, "CREDENTIAL_INVALID");
    let till = house.key(usual(Role::Till)).await;
    let mut teller = Caller::of(&house, &till).await;
    let first = teller.ledger.accrue(with_key(&till, accrual("s0", "m1", 100))).await.unwrap().into_inner();
    assert!(!first.decision.unwrap().replayed, "nothing of it was decided");
}
