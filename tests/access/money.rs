//! Who may take money in, where, and give it back; and that between partners it is worth itself.

use tallystick::access::grant::{Grant, Role};
use tallystick::config::Config;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::settlement_service_client::SettlementServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tonic::Status;
use tonic::transport::Channel;

use crate::shop::{plain_program, program_file, refusal, reversal};
use crate::support::{House, assert_forbidden, config, grant, with_key};

/// A wallet of money that north and south take in, and both take as payment.
fn program() -> String {
    let partner = |name: &str, store: &str| {
        format!(
            "[[partners]]\nname = \"{name}\"\nstores = [{{ name = \"{store}\" }}, {{ name = \"store-2\" }}]\n\
             earns = [{{ wallet = \"points\" }}, {{ wallet = \"card\" }}]\nburns = [{{ wallet = \"card\" }}]\n\
             funding_rate_bps = 5_000\nredemption_rate_bps = 4_000\n\n"
        )
    };
    let money = "[[wallets]]\nname = \"card\"\nkind = \"money\"\nscale = 2\n\n[earn]";
    plain_program(&[("[earn]", money)]) + &partner("north", "store-1") + &partner("south", "store-9")
}

struct Cafe {
    house: House,
    ledger: LedgerServiceClient<Channel>,
}

impl Cafe {
    async fn open() -> Self {
        let config = Config { program: Some(program_file(&program())), ..config() };
        let house = House::open_on(std::sync::Arc::new(tallystick::store::memory::MemoryStore::new()), config).await;
        let ledger = LedgerServiceClient::new(house.channel().await);
        Self { house, ledger }
    }

    async fn top_up(&mut self, key: &str, id: &str, store: &str, terminal: &str) -> Result<wire::Decision, Status> {
        let request = wire::TopUpRequest {
            transaction_id: id.to_owned(),
            account_id: "m1".to_owned(),
            wallet: "card".to_owned(),
            amount_minor: 1_000,
            source: "psp-1".to_owned(),
            store_id: store.to_owned(),
            terminal_id: terminal.to_owned(),
            ..wire::TopUpRequest::default()
        };
        Ok(self.ledger.top_up(with_key(key, request)).await?.into_inner().decision.unwrap())
    }

    async fn refund(&mut self, key: &str, own: &str, original: &str) -> wire::Decision {
        let answer = self.ledger.reverse(with_key(key, reversal(own, original))).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn get(&mut self, key: &str, id: &str) -> Result<String, Status> {
        let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
        let answer = self.ledger.get_transaction(with_key(key, request)).await?.into_inner();
        Ok(answer.transaction.unwrap().transaction_id)
    }

    async fn list(&mut self, key: &str) -> Vec<String> {
        let request = wire::ListTransactionsRequest { account_id: "m1".to_owned(), ..<_>::default() };
        let answer = self.ledger.list_transactions(with_key(key, request)).await.unwrap().into_inner();
        answer.transactions.into_iter().map(|transaction| transaction.transaction_id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_till_key_takes_money_in_at_its_own_till_and_gives_back_what_its_store_took() {
    let mut cafe = Cafe::open().await;
    let held = Grant { terminals: vec!["t1".into()], ..grant(Role::Till, "north", &["store-1"]) };
    let till = cafe.house.key(held).await;
    let office = cafe.house.key(grant(Role::BackOffice, "north", &[])).await;
    let other = cafe.house.key(grant(Role::BackOffice, "south", &[])).await;
    cafe.top_up(&office, "elsewhere", "store-2", "").await.unwrap();
    cafe.top_up(&office, "online", "", "").await.unwrap();
    cafe.top_up(&other, "foreign", "store-9", "").await.unwrap();

    let paid = cafe.top_up(&till, "own", "store-1", "t1").await.unwrap();
    assert_eq!((paid.granted_points, paid.balance_points), (1_000, 4_000));
    for (store, terminal) in [("store-2", "t1"), ("store-1", "t2"), ("store-1", ""), ("", "")] {
        assert_forbidden(cafe.top_up(&till, "t2", store, terminal).await);
    }
    for original in ["elsewhere", "online", "foreign", "nowhere"] {
        let refused = cafe.refund(&till, &format!("back-{original}"), original).await;
        assert_eq!(refusal(&refused), RefusalCode::OriginalUnknown, "{original}");
    }
    assert_eq!(cafe.refund(&till, "back-own", "own").await.reversed_points, 1_000);
    // What another store's credential asks for again is unknown to it.
    let there = cafe.house.key(grant(Role::BackOffice, "north", &["store-2"])).await;
    assert_eq!(refusal(&cafe.refund(&there, "back-own", "own").await), RefusalCode::OriginalUnknown);
    assert!(cafe.get(&there, "own").await.is_err() && cafe.get(&there, "back-own").await.is_err());
    assert_eq!(cafe.get(&there, "elsewhere").await.unwrap(), "elsewhere");
    assert_eq!(cafe.list(&there).await, ["elsewhere"]);
    let here = cafe.house.key(grant(Role::BackOffice, "north", &["store-1"])).await;
    assert_eq!(cafe.list(&here).await, ["back-own", "own"]);
    assert_eq!(cafe.list(&office).await, ["back-own", "own", "online", "elsewhere"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_money_in_where_its_credential_may() {
    let cafe = Cafe::open().await;
    let held = cafe.house.key(grant(Role::Gateway, "north", &["store-1"])).await;
    for (store, is_permitted) in [("store-1", true), ("store-2", false)] {
        let request = wire::TopUpRequest {
            transaction_id: format!("t-{store}"),
            account_id: "m1".to_owned(),
            wallet: "card".to_owned(),
            amount_minor: 1_000,
            source: "psp-1".to_owned(),
            store_id: store.to_owned(),
            ..wire::TopUpRequest::default()
        };
        let commands = vec![wire::Command { command: Some(wire::command::Command::TopUp(request)) }];
        let requests = tokio_stream::once(wire::CommandStreamRequest { commands });
        let mut ledger = cafe.ledger.clone();
        let answered = async {
            let mut answers = ledger.command_stream(with_key(&held, requests)).await?.into_inner();
            answers.message().await
        };
        match answered.await {
            Ok(message) => {
                let decision = message.unwrap().results.remove(0).decision.unwrap();
                assert!(is_permitted && decision.granted_points == 1_000, "{store}: {decision:?}");
            }
            refused => {
                assert!(!is_permitted, "{store}");
                assert_forbidden(refused);
            }
        }
    }
}

/// Whoever took money in owes its face value to whoever takes it as payment, and what went back is taken off.
#[tokio::test(flavor = "multi_thread")]
async fn money_is_settled_at_its_face_value() {
    let mut cafe = Cafe::open().await;
    let north = cafe.house.key(grant(Role::Gateway, "north", &[])).await;
    let south = cafe.house.key(grant(Role::Gateway, "south", &[])).await;
    let auditor = cafe.house.key(Grant::of_role(Role::Auditor)).await;
    cafe.top_up(&north, "n1", "store-1", "").await.unwrap();
    cafe.top_up(&north, "n2", "store-1", "").await.unwrap();
    let pay = wire::RedeemRequest {
        transaction_id: "s1".to_owned(),
        account_id: "m1".to_owned(),
        wallet: "card".to_owned(),
        points: 700,
        ..wire::RedeemRequest::default()
    };
    cafe.ledger.redeem(with_key(&south, pay)).await.unwrap();
    assert_eq!(cafe.refund(&north, "r1", "n1").await.reversed_points, 1_000);
    let mut settlement = SettlementServiceClient::new(cafe.house.channel().await);
    let request = wire::GetSettlementReportRequest { position: None };
    let report = settlement.get_settlement_report(with_key(&auditor, request)).await.unwrap().into_inner();
    let [standing] = &report.standings[..] else { panic!("one partner issued: {report:?}") };
    assert_eq!((&*standing.partner, &*standing.wallet), ("north", "card"));
    assert_eq!((standing.issued_points, standing.reversed_points), (2_000, 1_000));
    assert_eq!((standing.burned_points, standing.outstanding_points), (700, 300));
    assert_eq!((standing.issued_amount_bps, standing.burned_amount_bps), (2_000 * 10_000, 700 * 10_000));
    let [burned] = &report.burns[..] else { panic!("one partner took it: {report:?}") };
    assert_eq!((&*burned.acceptor, &*burned.issuer, &*burned.wallet), ("south", "north", "card"));
    assert_eq!((burned.burned_points, burned.redemption_amount_bps), (700, 700 * 10_000));
}
