//! Own, another store's, another partner's, at length: what a stolen till key can do, terminals, streams and lists. That every
//! method is tried for every role is for [`crate::generated`] to see to.

use std::sync::Arc;

use prost::Message;
use tallystick::access::grant::{Grant, Role};
use tallystick::access::table::TABLE;
use tallystick::config::{ClockMode, Config};
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tallystick::store::memory::MemoryStore;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::shop::{accrual, basket, now_seconds, refusal, reversal, time};
use crate::support::{House, assert_forbidden, assert_refused, call, config, grant, with_key};

const QUOTE: &str = "/tallystick.v1.LedgerService/Quote";
const QUOTE_BATCH: &str = "/tallystick.v1.LedgerService/QuoteBatch";
const ACCRUE: &str = "/tallystick.v1.LedgerService/Accrue";
const ACCRUE_BATCH: &str = "/tallystick.v1.LedgerService/AccrueBatch";
const STREAM: &str = "/tallystick.v1.LedgerService/CommandStream";

fn at(request: wire::AccrueRequest, store: &str, terminal: &str) -> wire::AccrueRequest {
    let mut request = request;
    let basket = request.basket.as_mut().unwrap();
    (basket.store_id, basket.terminal_id) = (store.to_owned(), terminal.to_owned());
    request
}

fn quote(store: &str) -> wire::QuoteRequest {
    let basket = wire::Basket { store_id: store.to_owned(), ..basket("", 500) };
    wire::QuoteRequest { account_id: String::new(), basket: Some(basket), ..Default::default() }
}

fn command(request: wire::AccrueRequest) -> wire::Command {
    wire::Command { command: Some(wire::command::Command::Accrue(request)) }
}

fn stream(commands: Vec<wire::Command>) -> Vec<u8> {
    wire::CommandStreamRequest { commands }.encode_to_vec()
}

struct Callers {
    house: House,
    ledger: LedgerServiceClient<Channel>,
    channel: Channel,
}

impl Callers {
    async fn open() -> Self {
        Self::of(House::open().await).await
    }

    async fn of(house: House) -> Self {
        let channel = house.channel().await;
        Self { house, ledger: LedgerServiceClient::new(channel.clone()), channel }
    }

    async fn try_call(&self, path: &str, key: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        call(&self.channel, path, Some(key), message).await.map(|answer| answer.to_vec())
    }

    async fn accrue(&mut self, key: &str, request: wire::AccrueRequest) -> wire::Decision {
        let answer = self.ledger.accrue(with_key(key, request)).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn reverse(&mut self, key: &str, own: &str, original: &str) -> wire::Decision {
        let answer = self.ledger.reverse(with_key(key, reversal(own, original))).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn get(&mut self, key: &str, id: &str) -> Result<wire::Transaction, Status> {
        let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
        let answer = self.ledger.get_transaction(with_key(key, request)).await?;
        Ok(answer.into_inner().transaction.unwrap())
    }

    /// What else happened to a transaction: the ids.
    async fn related(&mut self, key: &str, id: &str) -> Result<Vec<String>, Status> {
        let request = wire::ListRelatedTransactionsRequest { transaction_id: id.to_owned(), ..<_>::default() };
        let answer = self.ledger.list_related_transactions(with_key(key, request)).await?.into_inner();
        Ok(answer.related.into_iter().map(|one| one.transaction.unwrap().transaction_id).collect())
    }

    async fn explain(&mut self, key: &str, id: &str) -> Result<Vec<String>, Status> {
        let request = wire::ExplainTransactionRequest { transaction_id: id.to_owned(), ..<_>::default() };
        Ok(self.ledger.explain_transaction(with_key(key, request)).await?.into_inner().sentences)
    }

    async fn list(&mut self, key: &str) -> Vec<String> {
        let request = wire::ListTransactionsRequest { account_id: "m1".to_owned(), ..<_>::default() };
        let answer = self.ledger.list_transactions(with_key(key, request)).await.unwrap().into_inner();
        answer.transactions.into_iter().map(|transaction| transaction.transaction_id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_till_key_quotes_accrues_and_reverses_in_its_own_store_and_nothing_else() {
    let mut callers = Callers::open().await;
    let till = callers.house.key(grant(Role::Till, "north", &["store-1"])).await;
    let office = callers.house.key(grant(Role::BackOffice, "north", &[])).await;
    let other = callers.house.key(grant(Role::BackOffice, "south", &[])).await;
    callers.accrue(&office, at(accrual("elsewhere", "m1", 900), "store-2", "t")).await;
    callers.accrue(&other, at(accrual("foreign", "m1", 900), "store-1", "t")).await;

    // What it is for.
    callers.ledger.quote(with_key(&till, quote("store-1"))).await.unwrap();
    let earned = callers.accrue(&till, at(accrual("own", "m1", 700), "store-1", "t")).await;
    assert_eq!(earned.granted_points, 7);
    let undone = callers.reverse(&till, "undo-own", "own").await;
    assert!(undone.refusal.is_none(), "{undone:?}");

    // What it is not for: other stores, others' transactions, other methods.
    assert_forbidden(callers.ledger.quote(with_key(&till, quote("store-2"))).await);
    assert_forbidden(callers.ledger.accrue(with_key(&till, at(accrual("t2", "m1", 700), "store-2", "t"))).await);
    for original in ["elsewhere", "foreign", "nowhere"] {
        let refused = callers.reverse(&till, &format!("undo-{original}"), original).await;
        assert_eq!(refusal(&refused), RefusalCode::OriginalUnknown, "{original}");
    }
    for row in TABLE.iter().filter(|row| !row.is_public() && !row.roles.contains(&Role::Till)) {
        assert_forbidden(callers.try_call(row.path, &till, Vec::new()).await);
    }
    // And nothing came of it.
    let balance = wire::GetBalanceRequest { account_id: "m1".to_owned(), ..<_>::default() };
    let balance = callers.ledger.get_balance(with_key(&office, balance)).await.unwrap().into_inner();
    assert_eq!(balance.wallets[0].balance_points, 18, "the two baskets of others");
}

#[tokio::test(flavor = "multi_thread")]
async fn baskets_of_other_stores_and_terminals_are_not_permitted_however_they_come() {
    let callers = Callers::open().await;
    let held = Grant { terminals: vec!["t1".into()], ..grant(Role::Gateway, "north", &["store-1"]) };
    let key = callers.house.key(held).await;
    let own = |id: &str| at(accrual(id, "m1", 500), "store-1", "t1");
    for (store, terminal) in [("store-2", "t1"), ("store-1", "t2"), ("store-1", "")] {
        let other = |id: &str| at(accrual(id, "m1", 500), store, terminal);
        let mut asked = quote(store);
        asked.basket.as_mut().unwrap().terminal_id = terminal.to_owned();
        let requests = vec![own("b1"), other("b2")];
        let calls = [
            (QUOTE, asked.encode_to_vec()),
            (ACCRUE, other("u1").encode_to_vec()),
            (ACCRUE_BATCH, wire::AccrueBatchRequest { requests }.encode_to_vec()),
            (STREAM, stream(vec![command(own("s1")), command(other("s2"))])),
        ];
        for (path, message) in calls {
            assert_forbidden(callers.try_call(path, &key, message).await);
        }
    }
    // Nothing of what came with them was started.
    for id in ["b1", "s1"] {
        let answer = callers.try_call(ACCRUE, &key, own(id).encode_to_vec()).await.unwrap();
        let decision = wire::AccrueResponse::decode(&*answer).unwrap().decision.unwrap();
        assert!(!decision.replayed && decision.refusal.is_none(), "{id}: {decision:?}");
    }
}

/// Where callers say when something counts as posted, whoever imports does. A till with a clock that is wrong could have
/// everybody post after it for ever.
#[tokio::test(flavor = "multi_thread")]
async fn no_till_says_when_something_counts_as_posted() {
    let config = Config { clock: Some(ClockMode::Input), ..config() };
    let mut callers = Callers::of(House::open_on(Arc::new(MemoryStore::new()), config).await).await;
    let till = callers.house.key(grant(Role::Till, "north", &["store-1"])).await;
    let now = time(now_seconds());
    let sale = |id: &str| wire::AccrueRequest { posting_time: now, ..at(accrual(id, "m1", 700), "store-1", "t") };
    let many = wire::AccrueBatchRequest { requests: vec![sale("t1"), sale("t2")] };
    let undo = |own: &str| wire::ReverseRequest { posting_time: now, ..reversal(own, "t1") };
    let paid = wire::TopUpRequest {
        transaction_id: "p1".to_owned(),
        account_id: "m1".to_owned(),
        amount_minor: 500,
        source: "psp-1".to_owned(),
        store_id: "store-1".to_owned(),
        posting_time: now,
        ..<_>::default()
    };
    assert_forbidden(callers.ledger.accrue(with_key(&till, sale("t1"))).await);
    assert_forbidden(callers.ledger.accrue_batch(with_key(&till, many)).await);
    assert_forbidden(callers.ledger.top_up(with_key(&till, paid)).await);
    // Nothing of that was done, and others may.
    for (role, id) in [(Role::Gateway, "t1"), (Role::BackOffice, "t2")] {
        let key = callers.house.key(grant(role, "north", &["store-1"])).await;
        let decision = callers.accrue(&key, sale(id)).await;
        assert_eq!((decision.granted_points, decision.replayed, decision.posting_time), (7, false, now), "{id}");
    }
    assert_forbidden(callers.ledger.reverse(with_key(&till, undo("v1"))).await);
    let office = callers.house.key(grant(Role::BackOffice, "north", &[])).await;
    let undone = callers.ledger.reverse(with_key(&office, undo("v1"))).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((undone.reversed_points, undone.replayed), (7, false));
    // What a till leaves open is a field that is missing, as everybody's is.
    let open = wire::AccrueRequest { posting_time: None, ..sale("t3") };
    assert_refused(callers.ledger.accrue(with_key(&till, open)).await, Code::InvalidArgument, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_of_another_store_among_many_fails_the_call() {
    let callers = Callers::open().await;
    let key = callers.house.key(grant(Role::Gateway, "north", &["store-1"])).await;
    let ask = |stores: &[&str]| {
        let requests = stores.iter().map(|store| quote(store)).collect();
        wire::QuoteBatchRequest { requests }.encode_to_vec()
    };
    callers.try_call(QUOTE_BATCH, &key, ask(&["store-1", "store-1"])).await.unwrap();
    assert_forbidden(callers.try_call(QUOTE_BATCH, &key, ask(&["store-1", "store-2"])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_judges_each_command_by_its_own_method() {
    let callers = Callers::open().await;
    let gateway = callers.house.key(grant(Role::Gateway, "north", &[])).await;
    let held = callers.house.key(grant(Role::Gateway, "north", &["store-1"])).await;
    let office = callers.house.key(grant(Role::BackOffice, "north", &[])).await;
    let redeem = || wire::Command {
        command: Some(wire::command::Command::Redeem(wire::RedeemRequest {
            transaction_id: "r1".to_owned(),
            account_id: "m1".to_owned(),
            ..<_>::default()
        })),
    };
    let set_aside = [
        wire::command::Command::Authorize(<_>::default()),
        wire::command::Command::Capture(<_>::default()),
        wire::command::Command::VoidAuthorization(<_>::default()),
        wire::command::Command::TopUp(<_>::default()),
    ]
    .map(|command| wire::Command { command: Some(command) });
    for command in set_aside {
        callers.try_call(STREAM, &gateway, stream(vec![command.clone()])).await.unwrap();
        assert_forbidden(callers.try_call(STREAM, &held, stream(vec![command])).await);
    }
    let load = || wire::Command { command: Some(wire::command::Command::LoadOpeningBalance(<_>::default())) };
    callers.try_call(STREAM, &gateway, stream(vec![redeem()])).await.unwrap();
    callers.try_call(STREAM, &office, stream(vec![load()])).await.unwrap();
    assert_forbidden(callers.try_call(STREAM, &gateway, stream(vec![load()])).await);
    assert_forbidden(callers.try_call(STREAM, &held, stream(vec![redeem()])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_see_looks_like_what_does_not_exist() {
    let mut callers = Callers::open().await;
    let office = callers.house.key(grant(Role::BackOffice, "north", &[])).await;
    let here = callers.house.key(grant(Role::BackOffice, "north", &["store-1"])).await;
    let there = callers.house.key(grant(Role::BackOffice, "north", &["store-2"])).await;
    let south = callers.house.key(grant(Role::BackOffice, "south", &[])).await;
    let southern = callers.house.key(grant(Role::Gateway, "south", &[])).await;
    callers.accrue(&here, at(accrual("a1", "m1", 500), "store-1", "t")).await;
    callers.accrue(&there, at(accrual("a2", "m1", 500), "store-2", "t")).await;
    callers.reverse(&here, "v1", "a1").await;

    for (key, id) in [(&here, "a1"), (&here, "v1"), (&office, "a2"), (&there, "a2")] {
        assert_eq!(callers.get(key, id).await.unwrap().transaction_id, id);
    }
    let unknown = callers.get(&office, "never").await.unwrap_err();
    for (key, id) in [(&here, "a2"), (&there, "a1"), (&there, "v1"), (&south, "a1"), (&south, "never")] {
        let hidden = callers.get(key, id).await;
        let same = |status: &Status| (status.code(), status.message().to_owned(), status.details().to_vec());
        assert_eq!(same(hidden.as_ref().unwrap_err()), same(&unknown), "{id}");
        assert_refused(hidden, Code::NotFound, "TRANSACTION_UNKNOWN");
        assert_eq!(same(&callers.explain(key, id).await.unwrap_err()), same(&unknown), "{id}");
        assert_eq!(same(&callers.related(key, id).await.unwrap_err()), same(&unknown), "{id}");
    }
    // What the two baskets of one partner earned lies in one lot; of what moved it, each sees what it may see.
    callers.accrue(&south, accrual("b1", "m1", 500)).await;
    let spent = wire::RedeemRequest {
        transaction_id: "s1".to_owned(),
        account_id: "m1".to_owned(),
        points: 10,
        ..<_>::default()
    };
    let spent = callers.ledger.redeem(with_key(&southern, spent)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(spent.redeemed_points, 10, "points of both partners");
    assert_eq!(callers.related(&southern, "b1").await.unwrap(), ["s1"]);
    assert_eq!(callers.related(&office, "a1").await.unwrap(), ["v1", "a2"]);
    assert_eq!(callers.related(&here, "a1").await.unwrap(), ["v1"]);
    assert!(callers.related(&there, "a2").await.unwrap().is_empty());
    assert!(!callers.explain(&here, "a1").await.unwrap().is_empty());
    assert_eq!(callers.list(&office).await, ["v1", "a2", "a1"]);
    assert_eq!(callers.list(&here).await, ["v1", "a1"]);
    assert_eq!(callers.list(&there).await, ["a2"]);
    assert_eq!(callers.list(&south).await, ["s1", "b1"]);
    let auditor = callers.house.key(Grant::of_role(Role::Auditor)).await;
    assert_eq!(callers.list(&auditor).await, ["s1", "b1", "v1", "a2", "a1"], "an auditor sees all partners");

    // Reversals: those of others are unknown, in the same words, also when the reversal was made before.
    let nothing = callers.reverse(&there, "w0", "never").await;
    for (key, own, original) in [(&there, "w1", "a1"), (&south, "w2", "a2"), (&south, "w3", "v1"), (&there, "v1", "a1")]
    {
        assert_eq!(callers.reverse(key, own, original).await, nothing, "{own} of {original}");
    }
    let again = callers.reverse(&here, "v1", "a1").await;
    assert!(again.replayed, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ids_of_two_partners_are_two_transactions() {
    let mut callers = Callers::open().await;
    for partner in ["north", "south"] {
        let key = callers.house.key(grant(Role::Gateway, partner, &[])).await;
        let decision = callers.accrue(&key, accrual("t1", "m1", 500)).await;
        assert!(!decision.replayed && decision.refusal.is_none(), "{partner}: {decision:?}");
        assert_eq!(callers.get(&key, "t1").await.unwrap().partner, partner);
    }
}
