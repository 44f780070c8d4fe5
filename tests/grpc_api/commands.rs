//! Unary commands: what a till sends, and what it is told.

use tallystick::config::{ClockMode, Config};
use tallystick::service::wire::{self, ClipSource, RefusalCode, RetryAdvice};
use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_earns_and_the_balance_shows_it() {
    let mut shop = Shop::open().await;
    let mut request = accrual("t1", "anna", 1_250);
    request.basket.as_mut().unwrap().lines.push(line("pastry", 420));
    request.basket.as_mut().unwrap().lines.push(line("deposit", 10_000));
    let decision = shop.accrue(request).await;
    assert!(decision.refusal.is_none() && !decision.replayed);
    assert_eq!(decision.earned_points, 20, "12.50 once and 4.20 twice, rounded down together");
    assert_eq!((decision.granted_points, decision.balance_points), (20, 20));
    assert_eq!((decision.program_version, decision.wallet.as_str()), (1, "points"));
    let lines: Vec<_> = decision
        .line_decisions
        .iter()
        .map(|line| (line.eligible, line.rule.as_str(), line.multiplier_bps, line.exact_micropoints))
        .collect();
    assert_eq!(lines, [(true, "", 10_000, 12_500_000), (true, "pastry-double", 20_000, 8_400_000), (false, "", 0, 0)]);
    assert!(decision.position.is_some() && decision.shard.is_some());
    assert_eq!(decision.sequence, Some(1));
    assert_eq!(shop.balance("anna").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_gets_the_first_answer_again() {
    let mut shop = Shop::open().await;
    let mut request = accrual("t1", "anna", 7_000);
    request.basket.as_mut().unwrap().lines.push(line("pastry", 420));
    let first = shop.accrue(request.clone()).await;
    assert!(!first.clips.is_empty(), "a cap is part of the answer");
    shop.accrue(accrual("t2", "anna", 300)).await;
    let again = shop.accrue(request).await;
    assert!(again.replayed);
    assert_eq!(wire::Decision { replayed: false, ..again }, first);
    assert_eq!(shop.balance("anna").await, first.balance_points);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_under_a_used_id_is_refused_and_the_field_named() {
    type Change = fn(&mut wire::AccrueRequest);
    let rows: [(&str, Change); 9] = [
        ("account_id", |request| request.account_id = "ben".to_owned()),
        ("basket.store_id", |request| request.basket.as_mut().unwrap().store_id = "store-2".to_owned()),
        ("basket.terminal_id", |request| request.basket.as_mut().unwrap().terminal_id.clear()),
        ("basket.cashier_id", |request| request.basket.as_mut().unwrap().cashier_id = "carl".to_owned()),
        ("basket.receipt_number", |request| request.basket.as_mut().unwrap().receipt_number = "r9".to_owned()),
        ("basket.receipt_time", |request| {
            request.basket.as_mut().unwrap().receipt_time.as_mut().unwrap().nanos = 1;
        }),
        ("basket.lines", |request| request.basket.as_mut().unwrap().lines.push(line("coffee", 1))),
        ("basket.lines[0].sku", |request| request.basket.as_mut().unwrap().lines[0].sku = "latte".to_owned()),
        ("basket.lines[0].amount_minor", |request| request.basket.as_mut().unwrap().lines[0].amount_minor += 1),
    ];
    let mut shop = Shop::open().await;
    let request = accrual("t1", "anna", 1_000);
    shop.accrue(request.clone()).await;
    for (field, change) in rows {
        let mut changed = request.clone();
        change(&mut changed);
        let refused = shop.accrue(changed).await;
        assert_eq!(refusal(&refused), RefusalCode::TransactionIdReused, "{field}");
        let refusal = refused.refusal.unwrap();
        assert_eq!((refusal.field.as_str(), refusal.retry_advice()), (field, RetryAdvice::NewId));
        assert!(!refusal.journaled && refused.position.is_none());
    }
    let refused = shop.reverse("t1", "t0").await;
    assert_eq!(refusal(&refused), RefusalCode::TransactionIdReused);
    assert_eq!(refused.refusal.unwrap().field, "command");
    assert_eq!(shop.balance("anna").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_open_is_filled_in_once() {
    let mut shop = Shop::open().await;
    let mut request = accrual("t1", "anna", 1_000);
    request.basket.as_mut().unwrap().receipt_time = None;
    let first = shop.accrue(request.clone()).await;
    assert_eq!(first.event_time.unwrap().seconds - first.posting_time.unwrap().seconds, 0);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let again = shop.accrue(request).await;
    assert!(again.replayed);
    assert_eq!(again.event_time, first.event_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_earns_once_whoever_presents_it() {
    let mut shop = Shop::open().await;
    let first = accrual("t1", "anna", 1_000);
    shop.accrue(first.clone()).await;
    let by_another =
        wire::AccrueRequest { transaction_id: "t2".to_owned(), account_id: "ben".to_owned(), ..first.clone() };
    let refused = shop.accrue(by_another).await;
    assert_eq!(refusal(&refused), RefusalCode::ReceiptAlreadyEarned);
    let refusal = refused.refusal.unwrap();
    assert_eq!((refusal.journaled, refusal.retry_advice()), (false, RetryAdvice::Never));
    // Of the refused command nothing is left: its id can be used, and its account does not exist.
    let status = shop.ledger.get_balance(wire::GetBalanceRequest { account_id: "ben".to_owned(), ..<_>::default() });
    assert_eq!(status.await.unwrap_err().code(), Code::NotFound);
    let other = shop.accrue(accrual("t2", "ben", 500)).await;
    assert_eq!((other.replayed, other.granted_points), (false, 5));
    // The same number in another store, at another till or on another day is another receipt.
    for (index, change) in [
        (|basket: &mut wire::Basket| basket.store_id = "store-2".to_owned()) as fn(&mut wire::Basket),
        |basket| basket.terminal_id = "till-2".to_owned(),
        |basket| basket.business_date = Some(wire::Date { year: 2020, month: 2, day: 29 }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut basket = first.basket.clone().unwrap();
        change(&mut basket);
        let transaction_id = format!("other-{index}");
        let request = wire::AccrueRequest { transaction_id, basket: Some(basket), ..first.clone() };
        assert!(shop.accrue(request).await.refusal.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_and_budgets_are_named_with_what_they_keep_back() {
    let mut shop = Shop::open().await;
    let clipped = shop.accrue(accrual("t1", "anna", 7_500)).await;
    assert_eq!((clipped.earned_points, clipped.granted_points), (75, 60));
    assert_eq!(clipped.clips.len(), 1);
    assert_eq!((clipped.clips[0].name.as_str(), clipped.clips[0].clipped_points), ("daily-points", 15));
    assert_eq!(clipped.clips[0].source(), ClipSource::Cap);
    for number in 1..=5 {
        shop.accrue(accrual(&format!("ben-{number}"), "ben", 100)).await;
    }
    let denied = shop.accrue(accrual("ben-6", "ben", 100)).await;
    assert!(denied.refusal.is_none());
    assert_eq!((denied.earned_points, denied.granted_points, denied.balance_points), (1, 0, 5));
    let denial = denied.velocity_denial.unwrap();
    assert_eq!((denial.cap.as_str(), denial.limit_count, denial.period.len()), ("daily-visits", 5, 10));
    // The budget holds 1,000: 60 and 5 are gone, 15 accounts take 60 each, and 35 are left for the last.
    for number in 0..15 {
        shop.accrue(accrual(&format!("guest-{number}"), &format!("guest-{number}"), 6_000)).await;
    }
    let last = shop.accrue(accrual("last", "last", 6_000)).await;
    assert_eq!(last.granted_points, 35);
    assert_eq!((last.clips[0].name.as_str(), last.clips[0].source()), ("launch", ClipSource::Budget));
    let after = shop.accrue(accrual("after", "after", 6_000)).await;
    assert_eq!((after.granted_points, after.clips[0].clipped_points), (0, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_from_too_far_away_in_time_is_refused_and_its_id_stays_free() {
    let mut shop = Shop::open().await;
    let rows = [
        (-31 * 86_400, RefusalCode::ReceiptTooOld, RetryAdvice::Never),
        (86_400, RefusalCode::ReceiptInFuture, RetryAdvice::SameId),
    ];
    for (offset_seconds, code, advice) in rows {
        let mut request = accrual("t1", "anna", 1_000);
        request.basket.as_mut().unwrap().receipt_time = time(now_seconds() + offset_seconds);
        let refused = shop.accrue(request).await;
        assert_eq!(refusal(&refused), code);
        assert_eq!((refused.program_version, refused.wallet.as_str(), refused.balance_points), (1, "points", 0));
        assert!(refused.posting_time.is_none() && refused.position.is_none() && refused.shard.is_none());
        let refusal = refused.refusal.unwrap();
        assert_eq!((refusal.journaled, refusal.retry_advice()), (false, advice));
        let waits = refusal.retry_delay.map(|delay| delay.seconds);
        match code {
            RefusalCode::ReceiptInFuture => assert!((86_000..=86_400).contains(&waits.unwrap()), "{waits:?}"),
            _ => assert_eq!(waits, None),
        }
    }
    assert!(!shop.accrue(accrual("t1", "anna", 1_000)).await.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_above_the_limit_is_refused_on_record() {
    let mut shop = Shop::open_under(&plain_program(&[("balance_max = 100_000", "balance_max = 12")])).await;
    let unknown = shop.accrue(accrual("t0", "anna", 1_300)).await;
    assert_eq!(refusal(&unknown), RefusalCode::BalanceLimitExceeded);
    let about = unknown.refusal.unwrap();
    assert_eq!((about.journaled, about.retry_advice()), (false, RetryAdvice::SameId), "there was no account");
    shop.accrue(accrual("t1", "anna", 1_000)).await;
    let request = accrual("t2", "anna", 300);
    let refused = shop.accrue(request.clone()).await;
    assert_eq!(refusal(&refused), RefusalCode::BalanceLimitExceeded);
    assert_eq!((refused.granted_points, refused.balance_points, refused.program_version), (0, 10, 1));
    assert!(refused.position.is_some() && refused.posting_time.is_some());
    let about = refused.refusal.as_ref().unwrap();
    assert_eq!((about.journaled, about.retry_advice()), (true, RetryAdvice::NewId));
    let again = shop.accrue(request.clone()).await;
    assert_eq!(wire::Decision { replayed: false, ..again.clone() }, refused);
    assert!(again.replayed);
    // The id is spent, the receipt is not.
    let smaller = wire::AccrueRequest { transaction_id: "t3".to_owned(), ..request };
    assert_eq!(refusal(&shop.accrue(smaller.clone()).await), RefusalCode::BalanceLimitExceeded);
    let mut smaller = wire::AccrueRequest { transaction_id: "t4".to_owned(), ..smaller };
    smaller.basket.as_mut().unwrap().lines = vec![line("coffee", 200)];
    assert_eq!(shop.accrue(smaller).await.balance_points, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_enrolment_there_is_no_account() {
    let program = plain_program(&[("accounts = \"implicit\"", "accounts = \"enrolled\"")]);
    let mut shop = Shop::open_under(&program).await;
    let refused = shop.accrue(accrual("t1", "anna", 1_000)).await;
    assert_eq!(refusal(&refused), RefusalCode::AccountUnknown);
    assert_eq!(refused.program_version, 1);
    assert_eq!(refused.refusal.unwrap().retry_advice(), RetryAdvice::SameId);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_takes_everything_back_and_frees_the_receipt() {
    let mut shop = Shop::open().await;
    let original = accrual("t1", "anna", 6_500);
    shop.accrue(original.clone()).await;
    shop.accrue(accrual("t2", "anna", 100)).await;
    let reversed = shop.reverse("r1", "t1").await;
    assert!(reversed.refusal.is_none());
    assert_eq!((reversed.reversed_points, reversed.granted_points, reversed.balance_points), (60, 0, 0));
    assert_eq!((reversed.program_version, reversed.wallet.as_str()), (1, "points"));
    assert_eq!(reversed.event_time, reversed.posting_time);
    let again = shop.reverse("r1", "t1").await;
    assert!(again.replayed);
    assert_eq!(wire::Decision { replayed: false, ..again }, reversed);
    // The room in the cap is back, and the receipt earns again under a new id; the old id keeps its answer.
    let anew = shop.accrue(wire::AccrueRequest { transaction_id: "t3".to_owned(), ..original.clone() }).await;
    assert_eq!((anew.replayed, anew.granted_points), (false, 60));
    let old = shop.accrue(original.clone()).await;
    assert_eq!((old.replayed, old.granted_points), (true, 60));
    let used = shop.accrue(wire::AccrueRequest { transaction_id: "t4".to_owned(), ..original }).await;
    assert_eq!(refusal(&used), RefusalCode::ReceiptAlreadyEarned);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reversed_is_refused_with_its_ground() {
    let mut shop = Shop::open_under(&plain_program(&[("balance_max = 100_000", "balance_max = 12")])).await;
    shop.accrue(accrual("t1", "anna", 1_000)).await;
    shop.accrue(accrual("too-much", "anna", 1_000)).await;
    shop.reverse("r1", "t1").await;
    let rows = [
        ("r2", "t1", RefusalCode::AlreadyReversed, ""),
        ("r3", "nothing", RefusalCode::OriginalUnknown, ""),
        ("r4", "r1", RefusalCode::NotReversible, ""),
        ("r5", "too-much", RefusalCode::NotReversible, ""),
        ("r1", "too-much", RefusalCode::TransactionIdReused, "original_transaction_id"),
        ("t1", "r1", RefusalCode::TransactionIdReused, "command"),
    ];
    for (own, original, code, field) in rows {
        let refused = shop.reverse(own, original).await;
        assert_eq!(refusal(&refused), code, "{own} reverses {original}");
        let refusal = refused.refusal.unwrap();
        assert_eq!((refusal.field.as_str(), refusal.journaled), (field, false));
    }
    // A refused reversal leaves its id free.
    shop.accrue(accrual("t2", "anna", 300)).await;
    assert_eq!(shop.reverse("r2", "t2").await.reversed_points, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_names_every_wrong_field_and_consumes_nothing() {
    type Spoil = fn(&mut wire::AccrueRequest);
    let rows: [(&[&str], Spoil); 6] = [
        (&["transaction_id"], |request| request.transaction_id.clear()),
        (&["transaction_id", "account_id", "basket"], |request| *request = wire::AccrueRequest::default()),
        (&["posting_time"], |request| request.posting_time = time(1)),
        (&["basket.currency_code"], |request| {
            request.basket.as_mut().unwrap().currency_code = "USD".to_owned();
        }),
        (&["basket.receipt_time", "basket.lines"], |request| {
            let basket = request.basket.as_mut().unwrap();
            basket.receipt_time = time(i64::MIN);
            basket.lines.clear();
        }),
        (&["basket.lines[0].brand", "basket.lines[0].amount_minor"], |request| {
            let line = &mut request.basket.as_mut().unwrap().lines[0];
            (line.brand, line.amount_minor) = ("b".repeat(129), -5);
        }),
    ];
    let mut shop = Shop::open().await;
    for (fields, spoil) in rows {
        let mut request = accrual("t1", "anna", 1_000);
        spoil(&mut request);
        let status = shop.ledger.accrue(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
        assert_eq!(wrong_fields(&status), fields);
    }
    let status = shop.ledger.reverse(reversal("r1", "r1")).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["original_transaction_id"]);
    assert!(!shop.accrue(accrual("t1", "anna", 1_000)).await.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_clock_takes_posting_times_and_never_goes_back() {
    let mut shop = Shop::open_with(Config { clock: Some(ClockMode::Input), ..config() }).await;
    let at = |id: &str, account: &str, seconds: i64| {
        let mut request = accrual(id, account, 1_000);
        request.posting_time = time(seconds);
        request.basket.as_mut().unwrap().receipt_time = None;
        request
    };
    let status = shop.ledger.accrue(accrual("t0", "anna", 1_000)).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["posting_time"]);
    let first = shop.accrue(at("t1", "anna", 1_490_000_000)).await;
    assert_eq!((first.posting_time, first.event_time), (time(1_490_000_000), time(1_490_000_000)));
    let early = shop.accrue(at("t2", "anna", 1_489_999_999)).await;
    assert_eq!(refusal(&early), RefusalCode::PostingTimeRegressed);
    assert_eq!(early.refusal.unwrap().retry_advice(), RetryAdvice::Never);
    let later = shop.accrue(at("t2", "anna", 1_490_000_000)).await;
    assert_eq!((later.replayed, later.balance_points), (false, 20));
    let request = wire::ReverseRequest { posting_time: time(1_490_000_005), ..reversal("r1", "t1") };
    let reversed = shop.ledger.reverse(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(reversed.event_time, time(1_490_000_005));
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let balance = shop.ledger.get_balance(request.clone()).await.unwrap().into_inner();
    assert_eq!(balance.read_time, time(1_490_000_005), "reads are judged at the latest posting time");
    let far = wire::ReverseRequest { posting_time: time(1_590_000_000), ..reversal("r2", "nothing") };
    let refused = shop.ledger.reverse(far).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(refusal(&refused), RefusalCode::OriginalUnknown);
    let balance = shop.ledger.get_balance(request).await.unwrap().into_inner();
    assert_eq!(balance.read_time, time(1_490_000_005), "what was refused without a record leaves no time behind");
}
