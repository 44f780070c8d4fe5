//! How many new names a credential may bring: what is known goes on, what is new waits, and nobody else is held up.

use std::time::Duration;

use tallystick::access::grant::Role;
use tallystick::access::naming::NameLimits;
use tallystick::config::Config;
use tallystick::service::wire;
use tallystick::service::wire::RefusalCode;
use tallystick::service::wire::account_service_client::AccountServiceClient;
use tallystick::service::wire::command::Command as Kind;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::shop::{accrual, line, reason, refusal};
use crate::support::{House, config, usual, with_key};

async fn house(limits: &str) -> House {
    let name_limits = NameLimits::parse(limits).unwrap();
    let store = std::sync::Arc::new(tallystick::store::memory::MemoryStore::new());
    House::open_on(store, Config { name_limits, ..config() }).await
}

/// A basket with goods of so many names: each SKU is a string and, with the other attributes, an item.
fn of_goods(id: &str, skus: &[String]) -> wire::AccrueRequest {
    let mut request = accrual(id, "m1", 100);
    let one = |sku: &String| wire::Line { sku: sku.clone(), ..line("", 100) };
    request.basket.as_mut().unwrap().lines = skus.iter().map(one).collect();
    request
}

fn skus(of: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{of}-{number}")).collect()
}

struct Caller {
    ledger: LedgerServiceClient<Channel>,
    key: String,
}

impl Caller {
    async fn of(house: &House, role: Role) -> Self {
        let key = house.key(usual(role)).await;
        Self { ledger: LedgerServiceClient::new(house.channel().await), key }
    }

    async fn accrue(&mut self, request: wire::AccrueRequest) -> Result<wire::Decision, Status> {
        let answer = self.ledger.accrue(with_key(&self.key, request)).await?;
        Ok(answer.into_inner().decision.unwrap())
    }

    async fn batch(&mut self, requests: Vec<wire::AccrueRequest>) -> Vec<wire::Decision> {
        let request = with_key(&self.key, wire::AccrueBatchRequest { requests });
        self.ledger.accrue_batch(request).await.unwrap().into_inner().decisions
    }
}

fn counts(house: &House) -> u32 {
    let (strings, items) = house.running.engine().dictionary.counts();
    strings + items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_till_cannot_fill_the_table_of_names() {
    let house = house("till=1/40").await;
    let mut till = Caller::of(&house, Role::Till).await;
    // What every basket of this till names: its store, its terminal, its cashier.
    till.accrue(of_goods("first", &skus("known", 0..5))).await.unwrap();
    let before = counts(&house);
    let status = till.accrue(of_goods("many", &skus("new", 0..900))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"), "{status:?}");
    assert!(status.message().contains("names"), "{status:?}");
    let wait = status.get_error_details().retry_info().and_then(|info| info.retry_delay).unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(60), "{wait:?}");
    let after = counts(&house);
    assert!(after - before <= 40, "{before} {after}");
    // Nothing of it is on record; what is known goes on, quotes of what is not go on, and so does the same till with the
    // names that there was room for.
    let known = till.accrue(of_goods("known", &skus("known", 0..5))).await.unwrap();
    assert_eq!(known.refusal, None);
    let quote = wire::QuoteRequest {
        account_id: "m1".to_owned(),
        basket: of_goods("", &skus("new", 0..900)).basket,
        ..<_>::default()
    };
    let quoted = till.ledger.quote(with_key(&till.key, quote)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(quoted.refusal, None);
    let some = till.accrue(of_goods("many", &skus("new", 0..3))).await.unwrap();
    assert_eq!(some.refusal, None, "the id was not used");
    // In a batch it concerns the items that bring something new.
    let batch = vec![
        of_goods("b0", &skus("known", 1..3)),
        of_goods("b1", &skus("newer", 0..50)),
        of_goods("b2", &skus("known", 3..4)),
    ];
    let decisions = till.batch(batch).await;
    assert_eq!(refusal(&decisions[1]), RefusalCode::NameRateExceeded);
    assert_eq!((&decisions[0].refusal, &decisions[2].refusal), (&None, &None));
    assert!(house.running.engine().metrics.limited_names.get() >= 2);
    // Another till has an allowance of its own, and who is not named any number.
    let mut other = Caller::of(&house, Role::Till).await;
    assert_eq!(other.accrue(of_goods("other", &skus("other", 0..10))).await.unwrap().refusal, None);
    let mut gateway = Caller::of(&house, Role::Gateway).await;
    assert_eq!(gateway.accrue(of_goods("all", &skus("new", 0..900))).await.unwrap().refusal, None);
    assert_eq!(till.accrue(of_goods("again", &skus("new", 0..900))).await.unwrap().refusal, None, "they are known now");
}

/// Were the basket put off, its return would be refused for good before it is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_for_room_for_names_and_nothing_overtakes() {
    let house = house("gateway=6000/4").await;
    let mut gateway = Caller::of(&house, Role::Gateway).await;
    let returned = wire::ReverseRequest {
        transaction_id: "back".to_owned(),
        original_transaction_id: "sale".to_owned(),
        ..<_>::default()
    };
    let kinds = [
        Kind::Accrue(of_goods("sale", &skus("new", 0..20))),
        Kind::Reverse(returned),
        Kind::Accrue(of_goods("next", &skus("newer", 0..3))),
    ];
    let commands =
        kinds.map(|kind| wire::CommandStreamRequest { commands: vec![wire::Command { command: Some(kind) }] });
    let request = with_key(&gateway.key, tokio_stream::iter(commands));
    let mut results = gateway.ledger.command_stream(request).await.unwrap().into_inner();
    let mut refusals = Vec::new();
    while let Some(message) = results.message().await.unwrap() {
        refusals.extend(message.results.into_iter().map(|one| one.decision.unwrap().refusal));
    }
    assert_eq!(refusals, [None, None, None]);
    assert!(house.running.engine().metrics.limited_names.get() > 0, "it was slowed down");
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_and_segments_are_names_too() {
    let house = house("gateway=1/6").await;
    let mut gateway = Caller::of(&house, Role::Gateway).await;
    gateway.accrue(accrual("a", "m1", 100)).await.unwrap();
    let mut failed = None;
    for number in 0..20 {
        let activity = wire::Activity { kind: format!("kind-{number}"), ..<_>::default() };
        let request = wire::RecordActivityRequest {
            transaction_id: format!("k{number}"),
            account_id: "m1".to_owned(),
            activity: Some(activity),
            ..<_>::default()
        };
        if let Err(status) = gateway.ledger.record_activity(with_key(&gateway.key, request)).await {
            failed = Some((number, status));
            break;
        }
    }
    let (number, status) = failed.expect("kinds count");
    assert!(number <= 6 && reason(&status) == "RATE_LIMITED", "{number} {status:?}");
    let mut accounts = AccountServiceClient::new(house.channel().await);
    let request = wire::EnrolRequest {
        transaction_id: "e".to_owned(),
        account_id: "m2".to_owned(),
        join_segments: vec!["of-a-new-name".to_owned()],
        ..<_>::default()
    };
    let status = accounts.enrol(with_key(&gateway.key, request)).await.unwrap_err();
    assert_eq!(reason(&status), "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_told_a_server_allows_a_till_the_goods_of_a_shop() {
    let house = House::open().await;
    let mut till = Caller::of(&house, Role::Till).await;
    let mut sent = 0;
    let status = loop {
        match till.accrue(of_goods(&format!("t{sent}"), &skus("sku", sent..sent + 1_000))).await {
            Ok(decision) => assert_eq!(decision.refusal, None),
            Err(status) => break status,
        }
        sent += 1_000;
        assert!(sent < 20_000, "it is held");
    };
    assert!(sent >= 9_000 && reason(&status) == "RATE_LIMITED", "{sent} {status:?}");
}
