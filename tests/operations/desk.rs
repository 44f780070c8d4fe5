//! The service desk: the commands that the documentation gives for what customers ask, run as they stand there.

use std::fs;

use prost_types::Timestamp;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, account_service_client::AccountServiceClient};
use tonic::transport::Channel;

use crate::harness::{Server, text, wait_for};
use crate::support::{basket, line, now_seconds};
use crate::{harness, read};

const PROGRAM: &str = r#"
[program]
name = "shirts"
currency = "EUR"
time_zone = "Europe/Vienna"

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
rounded_per = "basket"
stacking = "best-of"

[[rules]]
name = "silk-triple"
match = { category = ["silk"] }
multiplier = "3"

[[rewards]]
name = "cotton-bag"
price = 150
stock = 20

[[rewards]]
name = "silk-scarf"
price = 900

[redemption]
hold_minutes = 60

[[caps]]
name = "large-days"
measure = "units"
window = "day"
limit = 300
over = "hold"
"#;

/// The commands of the section, in its order.
fn documented() -> Vec<Vec<String>> {
    let page = read("docs/operations.md");
    let section = page.split("\n## ").find(|section| section.starts_with("The service desk\n")).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("tallystick "));
    lines.map(|line| words(line).split_off(1)).collect()
}

/// A command line's words; double quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

struct History {
    ledger: LedgerServiceClient<Channel>,
    account: AccountServiceClient<Channel>,
}

impl History {
    async fn buy(&mut self, id: &str, lines: Vec<wire::Line>) -> wire::Decision {
        let request = wire::AccrueRequest {
            transaction_id: id.to_owned(),
            account_id: "member-7".to_owned(),
            basket: Some(wire::Basket { lines, ..basket(id, 100) }),
            ..<_>::default()
        };
        self.ledger.accrue(request).await.unwrap().into_inner().decision.unwrap()
    }

    /// A shirt and two of silk, a payment that broke off, one at once, a purchase that is held for review, and a card.
    async fn make(&mut self) {
        let two = wire::Line { quantity: 2, ..line("silk", 9_000) };
        let sale = self.buy("sale-17", vec![line("cotton", 3_000), two]).await;
        assert_eq!(sale.granted_points, 300);
        let payment = wire::AuthorizeRequest {
            transaction_id: "payment-18".to_owned(),
            account_id: "member-7".to_owned(),
            points: 20,
            ..<_>::default()
        };
        self.ledger.authorize(payment).await.unwrap();
        let redemption = wire::RedeemRequest {
            transaction_id: "redemption-21".to_owned(),
            account_id: "member-7".to_owned(),
            points: 15,
            ..<_>::default()
        };
        self.ledger.redeem(redemption).await.unwrap();
        let held = self.buy("sale-19", vec![line("cotton", 1_000)]).await;
        assert_eq!(held.held_for_review.unwrap().cap, "large-days");
        let card = wire::LinkIdentifierRequest {
            transaction_id: "card-1".to_owned(),
            account_id: "member-7".to_owned(),
            identifier: Some(wire::AccountIdentifier { kind: "card".to_owned(), value: "4711".to_owned() }),
            ..<_>::default()
        };
        self.account.link_identifier(card).await.unwrap();
    }

    /// Points that die soon.
    async fn give_old_points(&mut self) {
        let soon = Timestamp { seconds: now_seconds() + 2, nanos: 0 };
        let opening = wire::LoadOpeningBalanceRequest {
            transaction_id: "opening".to_owned(),
            account_id: "member-7".to_owned(),
            lots: vec![wire::OpeningLot { points: 33, expire_time: Some(soon), ..<_>::default() }],
            ..<_>::default()
        };
        let opening = self.account.load_opening_balance(opening).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(opening.granted_points, 33, "{opening:?}");
    }
}

#[test]
fn every_question_of_the_documentation_is_answered_by_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shirts.toml");
    fs::write(&file, PROGRAM).unwrap();
    let server = Server::start(folder.path(), &["--program", text(&file)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut history = runtime.block_on(async {
        let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
        let mut history =
            History { ledger: LedgerServiceClient::new(channel.clone()), account: AccountServiceClient::new(channel) };
        history.make().await;
        history
    });
    let expected: [&[&str]; 14] = [
        &[
            "295 points, of which 265 can be spent now",
            "10 held for review",
            "20 set aside for payments",
            "lot of 265 by",
        ],
        &["295 points, of which 265 can be spent now"],
        &["cotton-bag: 150 points, 20 left\n", "silk-scarf: 900 points; 635 points are missing\n"],
        &[
            "accrual  sale-17  300 points granted",
            "authorization  payment-18  20 points set aside",
            "identifier  card-1",
        ],
        &["silk-triple", "Line 2"],
        &["granted 300 points"],
        &["line 2: 2 × silk-1 for 9,000", "same lots: ", "payment-18"],
        &["135 points taken"],
        &["20 points given back"],
        &["15 points given back"],
        &["sale-19", "held by large-days"],
        &["10 points released"],
        &["33 points brought back"],
        &["50 points granted"],
    ];
    let commands = documented();
    assert_eq!(commands.len(), expected.len(), "{commands:?}");
    for (mut command, said) in commands.into_iter().zip(expected) {
        if command.iter().any(|word| word == "unexpire") {
            runtime.block_on(history.give_old_points());
            wait_for("points to die", || {
                let balance = server.run(&["desk", "balance", "member-7", "--json"]).expect(0).object();
                (balance["wallets"][0]["expired_points"] == 33).then_some(())
            });
            // It is posted with the next record, unless the ledger did so by itself.
            runtime.block_on(history.buy("sale-20", vec![line("cotton", 100)]));
            let statement = server.run(&["desk", "statement", "member-7", "--json"]).expect(0).object();
            let posted = statement["transactions"].as_array().unwrap().iter().map(|one| &one["decision"]);
            let posted = posted.into_iter().find(|decision| decision["expired_points"] == 33).unwrap();
            let posted_at = posted["position"].to_string();
            let place = command.iter().position(|word| word == "--position").unwrap() + 1;
            command[place] = posted_at;
        }
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let ran = server.run(&words).expect(0);
        for part in said {
            assert!(ran.stdout.contains(part), "{command:?} does not say {part:?}:\n{}", ran.stdout);
        }
        // Sent again it is answered again, and with one object if that is wanted.
        let object = harness::run(words.iter().chain(&["--json", "--server", server.url.as_str()])).expect(0).object();
        if let Some(replayed) = object.get("replayed") {
            assert_eq!(replayed, true, "{command:?}");
        }
    }
    server.stop();
}

/// Twelve coffees make one card full and begin the next.
#[test]
fn the_desk_sees_stamp_cards_and_vouchers() {
    let folder = tempfile::tempdir().unwrap();
    let file = harness::repository("deploy/programs/stamp-card.toml");
    let server = Server::start(folder.path(), &["--program", text(&file)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let given = runtime.block_on(async {
        let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
        let mut history =
            History { ledger: LedgerServiceClient::new(channel.clone()), account: AccountServiceClient::new(channel) };
        history.buy("sale-1", vec![wire::Line { quantity: 12, ..line("coffee", 3_600) }]).await
    });
    let code = given.vouchers[0].voucher_code.as_str();
    let said = server.run(&["desk", "balance", "member-7"]).expect(0).stdout;
    let voucher = format!("voucher free-coffee {code}: a coffee of your choice; good from 2");
    for part in ["36 beans", "card ten-coffees: 2 of 10 stamps\n", "card eight-mornings: ", &voucher, " until 2"] {
        assert!(said.contains(part), "it does not say {part:?}:\n{said}");
    }
    let balance = server.run(&["desk", "balance", "member-7", "--json"]).expect(0).object();
    assert_eq!(balance["stamps"][0], serde_json::json!({ "name": "ten-coffees", "on_card": 2, "card_size": 10 }));
    let voucher = &balance["vouchers"][0];
    assert_eq!((&voucher["voucher_code"], &voucher["state"]), (&code.into(), &"open".into()), "{balance}");
    assert_eq!((&voucher["voucher"], &voucher["text"]), (&"free-coffee".into(), &"a coffee of your choice".into()));
    // A wallet is asked for by itself.
    let beans = ["desk", "balance", "member-7", "--wallet", "beans"];
    assert!(!server.run(&beans).expect(0).stdout.contains("ten-coffees"));
    let beans = server.run(&[&beans[..], &["--json"]].concat()).expect(0).object();
    assert!(beans.get("stamps").is_none() && beans.get("vouchers").is_none(), "{beans}");
    server.stop();
}

/// What an option says reaches the server: each of these would tell something else without it.
#[test]
fn every_option_of_the_desk_has_its_effect() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shirts.toml");
    let card = "[[wallets]]\nname = \"card\"\nkind = \"money\"\n\n[earn]";
    fs::write(&file, PROGRAM.replacen("[earn]", card, 1)).unwrap();
    let server = Server::start(folder.path(), &["--clock", "input", "--program", text(&file)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A line without a quantity for 30 points, and what a cap holds.
    runtime.block_on(async {
        let channel = Channel::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
        let mut ledger = LedgerServiceClient::new(channel);
        for (id, amount_minor) in [("b1", 3_000), ("b2", 40_000)] {
            let lines = vec![wire::Line { quantity: 0, ..line("cotton", amount_minor) }];
            let request = wire::AccrueRequest {
                transaction_id: id.to_owned(),
                account_id: "member-7".to_owned(),
                basket: Some(wire::Basket { lines, receipt_time: None, ..basket(id, 100) }),
                posting_time: Some(Timestamp { seconds: 1_767_261_600, nanos: 0 }),
                ..<_>::default()
            };
            let earned = ledger.accrue(request).await.unwrap().into_inner().decision.unwrap();
            assert_eq!(earned.granted_points, amount_minor / 100, "{earned:?}");
        }
    });
    let ran = |arguments: &str, day: u8| {
        let time = format!("2026-01-0{day}T10:00:00Z");
        let arguments: Vec<&str> = std::iter::once("desk").chain(arguments.split(' ')).collect();
        let posted = ["--posting-time", &time, "--json"];
        server.run(&[&arguments[..], &posted].concat()).expect(0).object()
    };
    let points = |answer: &serde_json::Value, name: &str| answer[name].as_i64().unwrap();

    let said = server.run(&["desk", "balance", "member-7"]).expect(0).stdout;
    assert!(said.contains("400 held for review") && !said.contains("cannot be spent yet"), "{said}");
    // Without an id of their own, returns of two redemptions are two.
    for id in ["r1", "r2"] {
        ran(&format!("redeem member-7 5 --transaction-id {id}"), 2);
    }
    for id in ["r1", "r2"] {
        assert_eq!(points(&ran(&format!("reverse {id}"), 3), "returned_points"), 5);
    }
    ran("redeem member-7 6 --transaction-id r3", 3);
    assert_eq!(points(&ran("reverse r3 --points 4 --transaction-id v3", 3), "returned_points"), 4);
    assert_eq!(points(&ran("reverse b1 --line-amount 1=1000 --transaction-id v1", 3), "reversed_points"), 10);
    let held = ran("authorize member-7 8 --seconds 90 --transaction-id a1", 4);
    assert_eq!(held["hold_expire_time"], "2026-01-04T10:01:30Z", "{held}");
    assert_eq!(points(&ran("capture a1 3 --final --transaction-id c1", 4), "remaining_points"), 0);
    ran("top-up member-7 500 --source psp-9 --wallet card --transaction-id m1", 5);
    let why = server.run(&["why", "m1"]).expect(0).stdout;
    assert!(why.contains("500 card were paid in by psp-9"), "{why}");

    let statement = |options: &[&str]| {
        let answer = server.run(&[&["desk", "statement", "member-7", "--json"], options].concat()).expect(0).object();
        let listed = answer["transactions"].as_array().unwrap().iter();
        let ids: Vec<String> = listed.map(|one| one["transaction_id"].as_str().unwrap().to_owned()).collect();
        (ids.join(" "), answer["complete"].as_bool().unwrap())
    };
    let second = ["--from", "2026-01-02T00:00:00Z", "--until", "2026-01-03T00:00:00Z"];
    assert_eq!(statement(&second), ("r2 r1".to_owned(), true));
    assert_eq!(statement(&second[2..]), ("r2 r1 b2 b1".to_owned(), true));
    assert_eq!(statement(&["--from", "2026-01-04T00:00:00Z"]), ("m1 c1 a1".to_owned(), true));
    assert_eq!(statement(&["--limit", "2"]), ("m1 c1".to_owned(), false));
    assert_eq!(statement(&["--limit", "0", "--from", "2026-01-05T00:00:00Z"]), (String::new(), false));
    server.stop();
}
