//! Statements between two times, and what else happened to a transaction and to its points.

use tallystick::config::{ClockMode, Config};
use tallystick::service::wire::{self, PointsMovementKind, TransactionRelation};

use crate::support::*;

const DAY: i64 = 86_400;

async fn shop_of_history() -> Shop {
    let config = Config { clock: Some(ClockMode::Input), program: Some(program_file(&plain_program(&[]))), ..config() };
    Shop::open_with(config).await
}

/// Buys for so many points, so many days after 1970.
async fn buy(shop: &mut Shop, id: &str, points: i64, day: i64) {
    let mut request = accrual(id, "anna", points * 100);
    request.posting_time = time(day * DAY);
    request.basket.as_mut().unwrap().receipt_time = None;
    assert_eq!(shop.accrue(request).await.granted_points, points);
}

async fn listed(shop: &mut Shop, start: Option<i64>, end: Option<i64>, page_size: i32) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListTransactionsRequest {
            account_id: "anna".to_owned(),
            page_size,
            page_token,
            start_time: start.and_then(|day| time(day * DAY)),
            end_time: end.and_then(|day| time(day * DAY)),
            ..<_>::default()
        };
        let page = shop.ledger.list_transactions(request).await.unwrap().into_inner();
        pages.push(page.transactions.into_iter().map(|one| one.transaction_id).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_covers_what_was_posted_between_two_times() {
    let mut shop = shop_of_history().await;
    for day in 1..=6 {
        buy(&mut shop, &format!("t{day}"), 1, day).await;
    }
    let rows: [(Option<i64>, Option<i64>, &[&str]); 6] = [
        (None, None, &["t6", "t5", "t4", "t3", "t2", "t1"]),
        (Some(3), None, &["t6", "t5", "t4", "t3"]),
        (None, Some(3), &["t2", "t1"]),
        (Some(2), Some(5), &["t4", "t3", "t2"]),
        (Some(7), None, &[]),
        (None, Some(1), &[]),
    ];
    for (start, end, expected) in rows {
        for page_size in [1, 2, 500] {
            let pages = listed(&mut shop, start, end, page_size).await;
            let within = usize::try_from(page_size).unwrap();
            assert!(pages.iter().all(|page| page.len() <= within), "{pages:?}");
            assert_eq!(pages.concat(), expected, "{start:?} to {end:?} by {page_size}");
        }
    }
    let wrong =
        [(Some(2), Some(2), "end_time"), (Some(3), Some(2), "end_time"), (Some(i64::MAX / DAY), None, "start_time")];
    for (start, end, field) in wrong {
        let request = wire::ListTransactionsRequest {
            account_id: "anna".to_owned(),
            start_time: start.and_then(|day| time(day * DAY)),
            end_time: end.and_then(|day| time(day * DAY)),
            ..<_>::default()
        };
        let status = shop.ledger.list_transactions(request).await.unwrap_err();
        assert_eq!(wrong_fields(&status), [field]);
    }
}

async fn related(shop: &mut Shop, id: &str, page_size: i32) -> Vec<wire::RelatedTransaction> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListRelatedTransactionsRequest { transaction_id: id.to_owned(), page_size, page_token };
        let page = shop.ledger.list_related_transactions(request).await.unwrap().into_inner();
        let within = usize::try_from(page_size).unwrap();
        assert!(within == 0 || page.related.len() <= within, "{} on a page of {within}", page.related.len());
        all.extend(page.related);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// An id, what it is to the one that was asked about, and what it moved.
type Told = (String, TransactionRelation, Vec<(PointsMovementKind, i64)>);

/// What was found: id, relation and movements, the newest first.
fn told(related: &[wire::RelatedTransaction]) -> Vec<Told> {
    let one = |one: &wire::RelatedTransaction| {
        let moved = one.movements.iter().map(|moved| {
            assert_eq!(moved.wallet, "points");
            (moved.kind(), moved.points)
        });
        (one.transaction.as_ref().unwrap().transaction_id.clone(), one.relation(), moved.collect())
    };
    related.iter().map(one).collect()
}

/// Two baskets whose points lie in one lot, of which some are spent, some are paid in two steps, and one basket comes
/// back; and what has nothing to do with them: points of another lot of the same wallet, and a refusal.
async fn shop_with_a_history() -> Shop {
    let mut shop = shop_of_history().await;
    let redeem = |day: i64| wire::RedeemRequest {
        transaction_id: "spent".to_owned(),
        account_id: "anna".to_owned(),
        points: 3,
        posting_time: time(day * DAY),
        ..<_>::default()
    };
    buy(&mut shop, "first", 10, 1).await;
    buy(&mut shop, "second", 5, 1).await;
    shop.ledger.redeem(redeem(1)).await.unwrap();
    let authorize = wire::AuthorizeRequest {
        transaction_id: "aside".to_owned(),
        account_id: "anna".to_owned(),
        points: 4,
        posting_time: time(DAY),
        ..<_>::default()
    };
    shop.ledger.authorize(authorize).await.unwrap();
    for (id, points, final_capture) in [("paid-1", 1, false), ("paid-2", 2, true)] {
        let request = wire::CaptureRequest {
            transaction_id: id.to_owned(),
            authorization_transaction_id: "aside".to_owned(),
            points,
            final_capture,
            posting_time: time(DAY),
        };
        let decision = shop.ledger.capture(request).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(decision.redeemed_points, points);
    }
    let request = wire::ReverseRequest { posting_time: time(DAY), ..reversal("back", "second") };
    shop.ledger.reverse(request).await.unwrap();
    let refused = wire::RedeemRequest { transaction_id: "too-much".to_owned(), points: 1_000, ..redeem(1) };
    shop.ledger.redeem(refused).await.unwrap();
    let other = wire::LoadOpeningBalanceRequest {
        transaction_id: "other".to_owned(),
        account_id: "anna".to_owned(),
        lots: vec![wire::OpeningLot { points: 9, expire_time: time(90 * DAY), ..<_>::default() }],
        posting_time: time(DAY),
        ..<_>::default()
    };
    let other = shop.account.load_opening_balance(other).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(other.granted_points, 9);
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_to_a_transaction_is_told_with_its_points() {
    use PointsMovementKind::{Burned, GivenBack, Granted, Reversed, SetAside};
    use TransactionRelation::{FollowUp, Original, SameLots, Sibling};

    let mut shop = shop_with_a_history().await;
    let entry = |id: &str, relation, moved: &[(PointsMovementKind, i64)]| (id.to_owned(), relation, moved.to_vec());
    let aside = entry("aside", SameLots, &[(SetAside, -4)]);
    let paid = |relation| {
        [
            entry("paid-2", relation, &[(GivenBack, 3), (Burned, -2)]),
            entry("paid-1", relation, &[(GivenBack, 1), (Burned, -1)]),
        ]
    };
    let back = |relation| entry("back", relation, &[(Reversed, -5)]);
    let spent = entry("spent", SameLots, &[(Burned, -3)]);
    let [first, second] = [("first", 10), ("second", 5)].map(|(id, points)| entry(id, SameLots, &[(Granted, points)]));

    let [paid_2, paid_1] = paid(SameLots);
    let expected = vec![back(SameLots), paid_2.clone(), paid_1.clone(), aside.clone(), spent.clone(), second.clone()];
    assert_eq!(told(&related(&mut shop, "first", 0).await), expected);
    let expected = vec![back(FollowUp), paid_2, paid_1, aside.clone(), spent.clone(), first.clone()];
    assert_eq!(told(&related(&mut shop, "second", 2).await), expected, "in pages");

    let [paid_2, paid_1] = paid(FollowUp);
    let expected = vec![back(SameLots), paid_2, paid_1.clone(), spent.clone(), second.clone(), first.clone()];
    assert_eq!(told(&related(&mut shop, "aside", 1).await), expected);
    let authorization = (aside.0, Original, aside.2);
    let sibling = (paid_1.0, Sibling, paid_1.2);
    let expected = vec![back(SameLots), sibling, authorization, spent, second.clone(), first];
    assert_eq!(told(&related(&mut shop, "paid-2", 0).await), expected);
    let of_the_return = told(&related(&mut shop, "back", 0).await);
    assert_eq!(of_the_return.iter().find(|one| one.0 == "second"), Some(&(second.0, Original, second.2)));
    assert_eq!(related(&mut shop, "too-much", 0).await, [], "a refusal moves nothing");
    assert_eq!(related(&mut shop, "other", 0).await, [], "nothing else moved its lot");
}

/// However long a history is, a page looks at a bounded part of it, and goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_finds_nothing_ends_and_goes_on() {
    const BASKETS: i64 = 2_500;
    let mut shop = shop_of_history().await;
    buy(&mut shop, "old", 1, 1).await;
    let lots = vec![wire::OpeningLot { points: 9, expire_time: time(90 * DAY), ..<_>::default() }];
    let apart = wire::LoadOpeningBalanceRequest {
        transaction_id: "apart".to_owned(),
        account_id: "anna".to_owned(),
        lots,
        posting_time: time(2 * DAY),
        ..<_>::default()
    };
    shop.account.load_opening_balance(apart).await.unwrap();
    let later = |number: i64| {
        let mut request = accrual(&format!("later-{number}"), "anna", 100);
        request.posting_time = time(3 * DAY);
        request.basket.as_mut().unwrap().receipt_time = None;
        request
    };
    let requests = (0..BASKETS).map(later).collect();
    let answer = shop.ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap().into_inner();
    assert!(answer.decisions.iter().all(|decision| decision.granted_points == 1));

    // A statement of the time before: two thousand are passed over, then the rest, and what was asked for.
    assert_eq!(listed(&mut shop, None, Some(3), 0).await, [vec![], vec!["apart".to_owned(), "old".to_owned()]]);
    // Nothing is related to the loading, and it takes two pages to say so.
    let mut request = wire::ListRelatedTransactionsRequest { transaction_id: "apart".to_owned(), ..<_>::default() };
    let first = shop.ledger.list_related_transactions(request.clone()).await.unwrap().into_inner();
    assert!(first.related.is_empty() && !first.next_page_token.is_empty(), "{first:?}");
    request.page_token = first.next_page_token;
    let second = shop.ledger.list_related_transactions(request).await.unwrap().into_inner();
    assert!(second.related.is_empty() && second.next_page_token.is_empty(), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_are_asked_for_by_an_id_that_there_is_and_a_token_of_its_own() {
    let mut shop = shop_with_a_history().await;
    let request = wire::ListRelatedTransactionsRequest { transaction_id: "first".to_owned(), ..<_>::default() };
    let wrong = [
        (wire::ListRelatedTransactionsRequest { page_size: -1, ..request.clone() }, "page_size"),
        (wire::ListRelatedTransactionsRequest { page_token: "7".to_owned(), ..request.clone() }, "page_token"),
        (wire::ListRelatedTransactionsRequest { page_token: "f".repeat(16), ..request.clone() }, "page_token"),
        (wire::ListRelatedTransactionsRequest::default(), "transaction_id"),
    ];
    for (request, field) in wrong {
        let status = shop.ledger.list_related_transactions(request).await.unwrap_err();
        assert_eq!(wrong_fields(&status), [field]);
    }
    let unknown = wire::ListRelatedTransactionsRequest { transaction_id: "nobody".to_owned(), ..request };
    let status = shop.ledger.list_related_transactions(unknown).await.unwrap_err();
    assert_eq!(reason(&status), "TRANSACTION_UNKNOWN");
}

/// The ledger posts what died in all wallets at once, whichever wallet its record is about.
#[tokio::test(flavor = "multi_thread")]
async fn what_died_in_another_wallet_is_told_with_its_name() {
    let program = plain_program(&[("[earn]", "[[wallets]]\nname = \"stars\"\n\n[earn]")]);
    let config = Config { clock: Some(ClockMode::Input), program: Some(program_file(&program)), ..config() };
    let mut shop = Shop::open_with(config).await;
    for (id, wallet, points) in [("l1", "points", 5), ("l2", "stars", 7), ("l3", "stars", 2)] {
        let lots = vec![wire::OpeningLot { points, expire_time: time(2 * DAY + points), ..<_>::default() }];
        let load = wire::LoadOpeningBalanceRequest {
            transaction_id: id.to_owned(),
            account_id: "anna".to_owned(),
            wallet: wallet.to_owned(),
            lots,
            posting_time: time(DAY),
            ..<_>::default()
        };
        shop.account.load_opening_balance(load).await.unwrap();
    }
    let mut request = accrual("t1", "anna", 100);
    request.posting_time = time(3 * DAY);
    request.basket.as_mut().unwrap().receipt_time = None;
    let sold = shop.accrue(request).await;
    let elsewhere = vec![wire::ExpiredPoints { wallet: "stars".to_owned(), points: 9 }];
    assert_eq!((sold.expired_points, &*sold.expired_in_other_wallets), (5, &[][..]), "it is about its wallet");
    let asked = wire::GetTransactionRequest { transaction_id: "t1".to_owned() };
    let found = shop.ledger.get_transaction(asked).await.unwrap().into_inner().transaction.unwrap();
    assert_eq!(found.decision.unwrap().expired_in_other_wallets, elsewhere);
    let why = wire::ExplainTransactionRequest { transaction_id: "t1".to_owned(), ..<_>::default() };
    let sentences = shop.ledger.explain_transaction(why).await.unwrap().into_inner().sentences;
    for expected in ["5 points had expired before.", "9 stars had expired before."] {
        assert!(sentences.iter().any(|sentence| sentence == expected), "{expected}: {sentences:?}");
    }
}
