//! Quotes, balances, transactions and pages.

use tallystick::service::wire::{self, CounterUnit, RefusalCode, TransactionKind};
use tonic::Code;

use crate::support::*;

fn quote(account_id: &str, amount_minor: i64) -> wire::QuoteRequest {
    let basket = Some(basket("", amount_minor));
    wire::QuoteRequest { account_id: account_id.to_owned(), basket, ..<_>::default() }
}

async fn quoted(shop: &mut Shop, request: wire::QuoteRequest) -> wire::Decision {
    shop.ledger.quote(request).await.unwrap().into_inner().decision.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_foretells_the_accrual_and_changes_nothing() {
    let mut shop = Shop::open().await;
    for (account, amount_minor) in [("anna", 5_000), ("anna", 2_000), ("ben", 90)] {
        let mut request = quote(account, amount_minor);
        request.basket.as_mut().unwrap().lines.push(line("a-name-never-seen", 150));
        let quoted = quoted(&mut shop, request).await;
        assert!(quoted.position.is_none() && quoted.shard.is_none() && quoted.sequence.is_none());
        assert!(quoted.posting_time.is_some());
        let mut request = accrual(&format!("{account}-{amount_minor}"), account, amount_minor);
        request.basket.as_mut().unwrap().lines.push(line("a-name-never-seen", 150));
        let decided = shop.accrue(request).await;
        assert_eq!(
            (quoted.earned_points, quoted.granted_points, quoted.balance_points, &quoted.clips),
            (decided.earned_points, decided.granted_points, decided.balance_points, &decided.clips)
        );
        assert_eq!(quoted.line_decisions, decided.line_decisions);
    }
    quoted(&mut shop, quote("carl", 500)).await;
    let request = wire::GetBalanceRequest { account_id: "carl".to_owned(), ..<_>::default() };
    assert_eq!(shop.ledger.get_balance(request).await.unwrap_err().code(), Code::NotFound);
    let mut old = quote("anna", 500);
    old.basket.as_mut().unwrap().receipt_time = time(now_seconds() - 31 * 86_400);
    assert_eq!(refusal(&quoted(&mut shop, old).await), RefusalCode::ReceiptTooOld);
    let status = shop.ledger.quote(wire::QuoteRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["basket"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_of_an_activity_foretells_what_it_earns_and_changes_nothing() {
    let review = "\n[[bonuses]]\nname = \"review\"\nunits = 40\non = { activity = \"review\" }\nlimit = { times = 1, per = \"day\" }\n";
    let mut shop = Shop::open_under(&format!("{PROGRAM}{review}")).await;
    let activity = |kind: &str| Some(wire::Activity { kind: kind.to_owned(), ..<_>::default() });
    let asked = |account: &str, kind: &str| wire::QuoteRequest {
        account_id: account.to_owned(),
        activity: activity(kind),
        ..<_>::default()
    };
    let foretold = quoted(&mut shop, asked("anna", "review")).await;
    assert_eq!((foretold.earned_points, foretold.granted_points, foretold.position), (40, 40, None));
    let request = wire::RecordActivityRequest {
        transaction_id: "a1".to_owned(),
        account_id: "anna".to_owned(),
        activity: activity("review"),
        ..<_>::default()
    };
    let decided = shop.ledger.record_activity(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((decided.granted_points, decided.bonuses.len()), (40, 1));
    assert_eq!((&decided.bonuses, decided.balance_points), (&foretold.bonuses, foretold.balance_points));
    // The next comes on the same day; another kind nobody has ever named.
    assert_eq!(quoted(&mut shop, asked("anna", "review")).await.granted_points, 0);
    assert_eq!(quoted(&mut shop, asked("anna", "never-named")).await.granted_points, 0);
    let requests = vec![asked("", "review"), quote("", 4_000), asked("anna", "")];
    let answer = shop.ledger.quote_batch(wire::QuoteBatchRequest { requests }).await.unwrap().into_inner();
    let [nobody, basket, nameless] = answer.decisions.as_slice() else { panic!("{answer:?}") };
    assert_eq!((nobody.granted_points, basket.granted_points), (40, 40));
    assert_eq!(nameless.refusal.as_ref().unwrap().field_violations[0].field, "activity.kind");
    let both = wire::QuoteRequest { activity: activity("review"), ..quote("anna", 100) };
    assert_eq!(wrong_fields(&shop.ledger.quote(both).await.unwrap_err()), ["activity"]);
}

/// What a till names for the first time is not what it leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn a_quote_of_names_never_seen_foretells_what_they_will_earn() {
    let more = r#"
[[rules]]
name = "no-brand"
match = { brand = [""] }
multiplier = "2"

[[bonuses]]
name = "no-channel"
units = 7
when = { channels = [""] }

[[bonuses]]
name = "review-anywhere"
units = 3
on = { activity = "review" }
when = { channels = [""] }

[[caps]]
name = "of-a-store"
measure = "units"
subject = "store"
window = "day"
limit = 10

[[caps]]
name = "of-a-cashier"
measure = "units"
subject = "cashier"
window = "day"
limit = 4
"#;
    let program = plain_program(&[("category = [\"deposit\"]", "department = [\"\"]")]);
    let mut shop = Shop::open_under(&format!("{program}{more}")).await;
    let mut new = basket("", 2_000);
    (new.store_id, new.channel, new.cashier_id) = ("store-9".to_owned(), "app".to_owned(), "cashier-9".to_owned());
    (new.lines[0].brand, new.lines[0].department) = ("Nova".to_owned(), "garden".to_owned());
    let request = |basket: &wire::Basket| wire::QuoteRequest {
        account_id: "anna".to_owned(),
        basket: Some(basket.clone()),
        ..<_>::default()
    };
    let quoted = quoted(&mut shop, request(&new)).await;
    assert_eq!((quoted.earned_points, quoted.granted_points), (20, 4));
    let clipped: Vec<&str> = quoted.clips.iter().map(|clip| clip.name.as_str()).collect();
    assert_eq!(clipped, ["of-a-store", "of-a-cashier"]);
    new.receipt_number = "t1".to_owned();
    let decided = shop.accrue(wire::AccrueRequest { basket: Some(new), ..accrual("t1", "anna", 0) }).await;
    assert_eq!((&decided.clips, decided.earned_points, decided.granted_points), (&quoted.clips, 20, 4));
    // What is left out is what the programme names.
    let mut bare = basket("", 2_000);
    bare.lines[0].department = "garden".to_owned();
    let quoted = shop.ledger.quote(request(&bare)).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(quoted.earned_points, 47);
    let review = |channel: &str| wire::QuoteRequest {
        account_id: "anna".to_owned(),
        activity: Some(wire::Activity { kind: "review".to_owned(), channel: channel.to_owned(), ..<_>::default() }),
        ..<_>::default()
    };
    for (channel, earned) in [("web", 0), ("", 3)] {
        let quoted = shop.ledger.quote(review(channel)).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(quoted.earned_points, earned, "{channel}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_particular_is_quoted_as_an_account_without_history() {
    for policy in ["implicit", "enrolled"] {
        let asked = format!("accounts = \"{policy}\"");
        let program = PROGRAM.replace("accounts = \"implicit\"", &asked);
        let mut shop = Shop::open_under(&program).await;
        let decision = quoted(&mut shop, quote("", 5_000)).await;
        assert_eq!((decision.refusal.as_ref(), decision.granted_points), (None, 50), "{policy}");
        assert_eq!(decision.balance_points, 50);
        let named = quoted(&mut shop, quote("zoe", 5_000)).await;
        assert_eq!(named.refusal.is_some(), policy == "enrolled");
        assert_eq!(shop.balance("zoe").await, 0, "nothing was opened");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_quotes_are_judged_each_by_itself() {
    let mut shop = Shop::open().await;
    let spoiled = wire::QuoteRequest { basket: None, ..quote("anna", 1) };
    let requests = vec![quote("anna", 5_000), spoiled, quote("", 4_000), quote("anna", 5_000)];
    let answer = shop.ledger.quote_batch(wire::QuoteBatchRequest { requests }).await.unwrap().into_inner();
    let [first, second, third, fourth] = answer.decisions.as_slice() else { panic!("{answer:?}") };
    assert_eq!((first.granted_points, third.granted_points), (50, 40));
    assert_eq!(refusal(second), RefusalCode::InvalidCommand);
    assert_eq!(second.refusal.as_ref().unwrap().field_violations[0].field, "basket");
    assert_eq!(fourth.granted_points, 50, "the cap of 60 a day has not been drawn on by the first");
    for count in [0, 257] {
        let requests = vec![quote("anna", 1); count];
        let status = shop.ledger.quote_batch(wire::QuoteBatchRequest { requests }).await.unwrap_err();
        assert_eq!((status.code(), wrong_fields(&status)), (Code::InvalidArgument, vec!["requests".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_states_wallets_totals_and_counters() {
    let mut shop = Shop::open().await;
    shop.accrue(accrual("t1", "anna", 7_000)).await;
    let mut today = accrual("t2", "anna", 300);
    today.basket.as_mut().unwrap().receipt_time = None;
    shop.accrue(today).await;
    let last = shop.reverse("r1", "t1").await;
    let request = wire::GetBalanceRequest {
        account_identifier: None,
        account_id: "anna".to_owned(),
        wallet: "points".to_owned(),
        lots: false,
    };
    let balance = shop.ledger.get_balance(request.clone()).await.unwrap().into_inner();
    assert_eq!(balance.account_id, "anna");
    assert_eq!(Some(balance.position), last.position);
    assert_eq!(balance.program_version, 1);
    assert!((balance.read_time.unwrap().seconds - now_seconds()).abs() < 10);
    let wallet = &balance.wallets[0];
    assert_eq!((balance.wallets.len(), wallet.wallet.as_str()), (1, "points"));
    assert_eq!(wallet.balance_points, wallet.granted_points - wallet.reversed_points);
    assert_eq!((wallet.reversed_points, wallet.redeemed_points, wallet.expired_points), (60, 0, 0));
    assert_eq!(wallet.clipped_points, 70 + 3 - wallet.granted_points);
    let totals = balance.totals.unwrap();
    assert_eq!((totals.basket_count, totals.refused_basket_count, totals.reversal_count), (2, 0, 1));
    let names: Vec<&str> = balance.counters.iter().map(|counter| counter.name.as_str()).collect();
    assert_eq!(names, ["daily-visits", "daily-points", "yearly-spend"]);
    let units: Vec<CounterUnit> = balance.counters.iter().map(wire::CounterState::unit).collect();
    assert_eq!(units, [CounterUnit::Baskets, CounterUnit::Points, CounterUnit::AmountMinor]);
    let limits: Vec<Option<i64>> = balance.counters.iter().map(|counter| counter.limit).collect();
    assert_eq!(limits, [Some(5), Some(60), None]);
    assert_eq!(balance.counters[2].value, 300, "what was reversed does not count");
    assert_eq!((balance.counters[0].period.len(), balance.counters[2].period.len()), (10, 4));

    let status = shop.ledger.get_balance(wire::GetBalanceRequest { wallet: "stars".to_owned(), ..request.clone() });
    assert_eq!(wrong_fields(&status.await.unwrap_err()), ["wallet"]);
    let status = shop.ledger.get_balance(wire::GetBalanceRequest { account_id: "zoe".to_owned(), ..request });
    let status = status.await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "ACCOUNT_UNKNOWN"));
    let status = shop.ledger.get_balance(wire::GetBalanceRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["account_id"]);
}

async fn transaction(shop: &mut Shop, id: &str) -> wire::Transaction {
    let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
    shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_read_as_it_was_sent_and_decided() {
    let mut shop = Shop::open().await;
    let mut request = accrual("t1", "anna", 700);
    let line = &mut request.basket.as_mut().unwrap().lines[0];
    (line.department, line.brand, line.margin_class) = ("bar".to_owned(), "own".to_owned(), "high".to_owned());
    request.basket.as_mut().unwrap().cashier_id = "carl".to_owned();
    shop.accrue(accrual("t0", "anna", 100)).await;
    let decision = shop.accrue(request.clone()).await;
    let found = transaction(&mut shop, "t1").await;
    assert_eq!((found.transaction_id.as_str(), found.account_id.as_str()), ("t1", "anna"));
    assert_eq!((found.partner.as_str(), found.kind()), ("default", TransactionKind::Accrual));
    assert_eq!(found.decision.as_ref(), Some(&decision));
    let stored = found.basket.unwrap();
    assert!(stored.business_date.is_some(), "defaults are filled in");
    assert_eq!(wire::Basket { business_date: None, ..stored }, request.basket.unwrap());
    assert_eq!((found.original_transaction_id.as_str(), found.reversal_transaction_id.as_str()), ("", ""));

    let reversed = shop.reverse("r1", "t1").await;
    assert_eq!(transaction(&mut shop, "t1").await.reversal_transaction_id, "r1");
    let found = transaction(&mut shop, "r1").await;
    assert_eq!((found.kind(), found.original_transaction_id.as_str()), (TransactionKind::Reversal, "t1"));
    assert_eq!((found.decision, found.basket, found.account_id.as_str()), (Some(reversed), None, "anna"));

    for id in ["t9", "refused"] {
        let mut refused = accrual("refused", "anna", 700);
        refused.basket.as_mut().unwrap().receipt_time = time(0);
        shop.accrue(refused).await;
        let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
        let status = shop.ledger.get_transaction(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "TRANSACTION_UNKNOWN"));
    }
    let status = shop.ledger.get_transaction(wire::GetTransactionRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["transaction_id"]);
}

async fn pages(shop: &mut Shop, account_id: &str, page_size: i32) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListTransactionsRequest {
            account_id: account_id.to_owned(),
            page_size,
            page_token,
            ..<_>::default()
        };
        let page = shop.ledger.list_transactions(request).await.unwrap().into_inner();
        pages.push(page.transactions.iter().map(|one| one.transaction_id.clone()).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
        // What is posted meanwhile does not shift the pages.
        let id = format!("later-{account_id}-{page_size}-{}", pages.len());
        shop.accrue(accrual(&id, account_id, 100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_transactions_are_listed_newest_first() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    // A batch puts several records of one account into one commit.
    let requests: Vec<_> = (0..10)
        .flat_map(|number| [("anna", number), ("ben", number)])
        .map(|(account, number)| accrual(&format!("{account}-{number}"), account, 100))
        .collect();
    shop.ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap();
    shop.reverse("anna-r", "anna-3").await;
    let mut expected: Vec<String> = (0..10).rev().map(|number| format!("anna-{number}")).collect();
    expected.insert(0, "anna-r".to_owned());
    assert_eq!(pages(&mut shop, "anna", 4).await, expected.chunks(4).map(<[_]>::to_vec).collect::<Vec<_>>());
    assert_eq!(pages(&mut shop, "ben", 0).await[0].len(), 10);
    assert_eq!(pages(&mut shop, "ben", i32::MAX).await.len(), 1);

    let request = wire::ListTransactionsRequest { account_id: "anna".to_owned(), page_size: 1, ..<_>::default() };
    let page = shop.ledger.list_transactions(request.clone()).await.unwrap().into_inner();
    let others = wire::ListTransactionsRequest {
        account_id: "ben".to_owned(),
        page_token: page.next_page_token.clone(),
        ..request.clone()
    };
    let rows = [
        (others, "page_token"),
        (wire::ListTransactionsRequest { page_token: "7".to_owned(), ..request.clone() }, "page_token"),
        (wire::ListTransactionsRequest { page_token: "f".repeat(16), ..request.clone() }, "page_token"),
        (wire::ListTransactionsRequest { page_token: "0".repeat(16), ..request.clone() }, "page_token"),
        (wire::ListTransactionsRequest { page_size: -1, ..request.clone() }, "page_size"),
        (wire::ListTransactionsRequest::default(), "account_id"),
    ];
    for (request, field) in rows {
        let status = shop.ledger.list_transactions(request.clone()).await.unwrap_err();
        assert_eq!(wrong_fields(&status), [field], "{request:?}");
    }
    let status =
        shop.ledger.list_transactions(wire::ListTransactionsRequest { account_id: "zoe".to_owned(), ..<_>::default() });
    assert_eq!(reason(&status.await.unwrap_err()), "ACCOUNT_UNKNOWN");
}
