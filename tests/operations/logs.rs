//! Log lines: one object each for collectors, and nothing in them that is nobody's business.

use serde_json::Value;

use crate::blackbox::{Site, calls};

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_objects_refusals_are_no_errors_and_customers_are_not_named() {
    let site = Site::new().with("log_format", "json").with("log", "debug,h2=info,hyper=info,tower=info");
    let server = site.start().await;
    let mut clients = server.connect().await;
    let (account, receipt) = ("account-that-nobody-reads", "receipt-that-nobody-reads");
    let request = calls::accrual(receipt, account, calls::now(), 500);
    clients.ledger.accrue(request.clone()).await.unwrap();
    // A refusal that the rules ask for, one that the caller's mistake asks for, and one for want of an account.
    let again = tallystick::service::wire::AccrueRequest { transaction_id: "another".to_owned(), ..request.clone() };
    let refused = clients.ledger.accrue(again).await.unwrap().into_inner().decision.unwrap();
    assert!(refused.refusal.is_some());
    let mistaken = tallystick::service::wire::AccrueRequest { basket: None, ..request };
    clients.ledger.accrue(mistaken).await.unwrap_err();
    let nobody = tallystick::service::wire::GetBalanceRequest {
        account_id: "nobody-that-nobody-reads".to_owned(),
        ..Default::default()
    };
    clients.ledger.get_balance(nobody).await.unwrap_err();
    let end = server.terminate().await;
    assert_eq!(end.code, Some(0));

    let lines: Vec<Value> = end
        .errors
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{line} has no {field}");
        }
        assert!(["INFO", "DEBUG", "TRACE"].contains(&line["level"].as_str().unwrap()), "nothing is wrong: {line}");
    }
    assert!(!end.errors.contains("that-nobody-reads"), "{}", end.errors);
    let refused = |code: &str, method: &str| {
        lines.iter().filter(|line| line["code"] == code && line["method"] == method && line["level"] == "DEBUG").count()
    };
    assert_eq!(refused("invalid_argument", "Accrue"), 1, "{}", end.errors);
    assert_eq!(refused("not_found", "GetBalance"), 1);
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().starts_with("stopped;")));
}
