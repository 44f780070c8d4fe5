//! Why a transaction was decided as it was, in words: over the wire, and by the command line.

use std::process::Command;

use tallystick::config::Config;
use tallystick::service::wire;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tonic::Code;

use crate::support::*;

const BEAUTY: &str = include_str!("../../deploy/programs/beauty.toml");

async fn explained(shop: &mut Shop, transaction_id: &str, language: &str) -> (String, Vec<String>) {
    let request =
        wire::ExplainTransactionRequest { transaction_id: transaction_id.to_owned(), language: language.to_owned() };
    let answer = shop.ledger.explain_transaction(request).await.unwrap().into_inner();
    assert_eq!(answer.transaction_id, transaction_id);
    (answer.language, answer.sentences)
}

/// A basket in the currency of the programme.
fn bought(id: &str, lines: Vec<wire::Line>) -> wire::AccrueRequest {
    let mut request = accrual(id, "mia", 0);
    let basket = request.basket.as_mut().unwrap();
    (basket.currency_code, basket.lines) = ("USD".to_owned(), lines);
    request
}

/// A shop in which the app was used, a level reached, something shared, points spent, and too many wanted.
async fn beauty() -> Shop {
    let mut shop = Shop::open_with(Config { program: Some(program_file(BEAUTY)), ..config() }).await;
    let mut first = bought("b-1", vec![line("lipstick", 2_450), line("gift-card", 5_000), line("brush", 8_125)]);
    first.basket.as_mut().unwrap().channel = "app".to_owned();
    shop.accrue(first).await;
    shop.accrue(bought("b-2", vec![line("brush", 1_000)])).await;
    let activity = wire::Activity { kind: "answer".to_owned(), ..<_>::default() };
    let request = wire::RecordActivityRequest {
        transaction_id: "a-1".to_owned(),
        account_id: "mia".to_owned(),
        activity: Some(activity),
        ..<_>::default()
    };
    shop.ledger.record_activity(request).await.unwrap();
    for (transaction_id, points) in [("r-1", 100), ("r-2", 100)] {
        let (transaction_id, account_id) = (transaction_id.to_owned(), "mia".to_owned());
        let request = wire::RedeemRequest { transaction_id, account_id, points, ..<_>::default() };
        shop.ledger.redeem(request).await.unwrap();
    }
    shop.reverse("u-2", "b-2").await;
    let remark = wire::Remark { reason_code: "goodwill".to_owned(), ..<_>::default() };
    let request = wire::AdjustBalanceRequest {
        transaction_id: "d-1".to_owned(),
        account_id: "mia".to_owned(),
        points: 5,
        remark: Some(remark),
        ..<_>::default()
    };
    OperatorServiceClient::new(connect(&shop.running).await).adjust_balance(request).await.unwrap();
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_transaction_is_told() {
    let mut shop = beauty().await;
    let rows: [(&str, &[&str]); 7] = [
        (
            "b-1",
            &[
                "beauty, version 1, granted 126 Beauty Points.",
                "Line 1: 29.4 by ordering in the app.",
                "Line 2 is not eligible.",
                "Line 3: 97.5 by ordering in the app.",
                "24425 more of dollars and cents this year until the level vip.",
                "The balance was 126 Beauty Points then.",
            ],
        ),
        (
            "b-2",
            &[
                "beauty, version 1, granted 10 Beauty Points.",
                "Line 1: 10 at the base rate.",
                "It was judged at the level insider.",
                "23425 more of dollars and cents this year until the level vip.",
                "The balance was 136 Beauty Points then.",
            ],
        ),
        (
            "a-1",
            &[
                "beauty, version 1, granted 3 Beauty Points.",
                "3 of it for community-answer.",
                "23425 more of dollars and cents this year until the level vip.",
                "The balance was 139 Beauty Points then.",
            ],
        ),
        ("r-1", &["100 Beauty Points were spent.", "The balance was 39 Beauty Points then."]),
        ("r-2", &["It was refused: The account has fewer units than are to be taken."]),
        (
            "u-2",
            &["10 Beauty Points were taken back with the transaction b-2.", "The balance was 29 Beauty Points then."],
        ),
        ("d-1", &["A correction of 5 Beauty Points: goodwill.", "The balance was 34 Beauty Points then."]),
    ];
    for (id, expected) in rows {
        let (language, sentences) = explained(&mut shop, id, "").await;
        assert_eq!((language.as_str(), sentences), ("en", expected.iter().map(|s| (*s).to_owned()).collect()), "{id}");
    }
    let (language, sentences) = explained(&mut shop, "b-2", "de-AT").await;
    let expected = [
        "beauty, Fassung 1: 10 Punkte gutgeschrieben.",
        "Zeile 1: 10 zum Grundsatz.",
        "Es galt die Stufe insider.",
        "Noch 23425 Cent Jahresumsatz bis zur Stufe vip.",
        "Der Stand war danach 136 Punkte.",
    ];
    assert_eq!((language.as_str(), sentences), ("de", expected.map(str::to_owned).to_vec()));
    let (_, sentences) = explained(&mut shop, "r-2", "de").await;
    assert_eq!(sentences, ["Abgelehnt: So viele Punkte sind nicht auf dem Konto."]);

    let unknown = wire::ExplainTransactionRequest { transaction_id: "nothing".to_owned(), ..<_>::default() };
    let status = shop.ledger.explain_transaction(unknown).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::NotFound, "TRANSACTION_UNKNOWN".to_owned()));
    let wrong = wire::ExplainTransactionRequest { language: "x".repeat(36), ..<_>::default() };
    let status = shop.ledger.explain_transaction(wrong).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["transaction_id", "language"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_in_the_words_of_the_version_that_judged_it() {
    let mut shop = Shop::open_with(Config { program: Some(program_file(BEAUTY)), ..config() }).await;
    shop.accrue(bought("old", vec![line("brush", 1_000)])).await;
    let source = BEAUTY.replace("points = \"Beauty Points\"", "points = \"Stars\"");
    assert_ne!(source, BEAUTY);
    let mut program = wire::program_service_client::ProgramServiceClient::new(connect(&shop.running).await);
    let publish = wire::PublishProgramRequest { transaction_id: "v2".to_owned(), source, ..<_>::default() };
    program.publish_program(publish).await.unwrap();
    let mut later = bought("new", vec![line("brush", 1_000)]);
    later.basket.as_mut().unwrap().receipt_time = time(now_seconds() + 2);
    shop.accrue(later).await;
    let mut first = Vec::new();
    for id in ["old", "new"] {
        first.push(explained(&mut shop, id, "").await.1.remove(0));
    }
    assert_eq!(first, ["beauty, version 1, granted 10 Beauty Points.", "beauty, version 2, granted 10 Stars."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_why() {
    let shop = beauty().await;
    let server = format!("http://{}", shop.running.address());
    let why = move |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TALLYSTICK_")) {
            command.env_remove(name);
        }
        let output = command.args(["why", "--server", &server]).args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let told = tokio::task::spawn_blocking(move || {
        [
            why(&["r-1"]),
            why(&["r-1", "--language", "de", "--json"]),
            why(&["nothing"]),
            why(&["r-1", "--language", "d e"]),
        ]
    });
    let [plain, german, unknown, wrong] = told.await.unwrap();
    assert_eq!(plain, (0, "100 Beauty Points were spent.\nThe balance was 39 Beauty Points then.\n".to_owned()));
    let object: serde_json::Value = serde_json::from_str(&german.1).unwrap();
    assert_eq!((german.0, &object["language"]), (0, &"de".into()));
    assert_eq!(object["sentences"][0], "100 Punkte eingelöst.");
    assert!(unknown.0 != 0 && unknown.1.is_empty());
    assert_eq!(wrong.0, 2);
}
