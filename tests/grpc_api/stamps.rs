//! Stamp cards through the wire: what a basket counts, what is on the cards of an account, and what is told of it.

use tallystick::service::wire::{self, VoucherEvent};

use crate::support::*;

/// The plain programme with every third basket of 5.00 for 20 points, and a coffee for every second one of 10.00.
fn program() -> String {
    let cards = "\n[[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nvalid_days = 14\n\n\
                 [[stamps]]\nname = \"visits\"\ncounts = \"baskets\"\ncount = 3\nunits = 20\n\
                 when = { eligible_minor_min = 500 }\n\n\
                 [[stamps]]\nname = \"large\"\ncounts = \"baskets\"\ncount = 2\nvoucher = \"coffee\"\n\
                 when = { eligible_minor_min = 1_000 }\n";
    format!("{}{cards}", plain_program(&[]))
}

async fn cards(shop: &mut Shop, account_id: &str) -> Vec<(String, i64, i32)> {
    let request = wire::GetAccountRequest { account_id: account_id.to_owned(), ..<_>::default() };
    let cards = shop.account.get_account(request).await.unwrap().into_inner().stamps;
    cards.into_iter().map(|card| (card.name, card.on_card, card.card_size)).collect()
}

fn told(decision: &wire::Decision) -> Vec<(&str, i64, i64, i32, i64)> {
    let told = decision.stamps.iter();
    told.map(|card| (&*card.name, card.counted, card.on_card, card.card_size, card.rewards)).collect()
}

fn on_cards(visits: i64, large: i64) -> Vec<(String, i64, i32)> {
    vec![("visits".to_owned(), visits, 3), ("large".to_owned(), large, 2)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_fills_with_purchases_and_empties_with_returns() {
    let mut shop = Shop::open_under(&program()).await;
    let first = shop.accrue(accrual("t1", "anna", 400)).await;
    assert_eq!((first.granted_points, told(&first)), (4, vec![]));
    assert_eq!(cards(&mut shop, "anna").await, on_cards(0, 0));
    let second = shop.accrue(accrual("t2", "anna", 1_000)).await;
    assert_eq!(told(&second), [("visits", 1, 1, 3, 0), ("large", 1, 1, 2, 0)]);
    let third = shop.accrue(accrual("t3", "anna", 600)).await;
    assert_eq!(told(&third), [("visits", 1, 2, 3, 0)]);

    // What a quote says comes true, and the quote itself counts nothing.
    let request =
        wire::QuoteRequest { account_id: "anna".to_owned(), basket: Some(basket("", 1_000)), ..<_>::default() };
    let quoted = shop.ledger.quote(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((quoted.earned_points, told(&quoted)), (30, vec![("visits", 1, 0, 3, 1), ("large", 1, 0, 2, 1)]));
    assert_eq!(cards(&mut shop, "anna").await, on_cards(2, 1));
    let full = shop.accrue(accrual("t4", "anna", 1_000)).await;
    assert_eq!((full.granted_points, told(&full)), (30, told(&quoted)));
    assert_eq!(full.vouchers[0].event(), VoucherEvent::Given);
    assert_eq!(cards(&mut shop, "anna").await, on_cards(0, 0));
    let again = shop.accrue(accrual("t4", "anna", 1_000)).await;
    assert!(again.replayed && again.stamps == full.stamps, "{again:?}");

    let request = wire::GetTransactionRequest { transaction_id: "t4".to_owned() };
    let stored = shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap();
    assert_eq!(stored.decision.unwrap().stamps, full.stamps);
    let request = wire::ExplainTransactionRequest { transaction_id: "t4".to_owned(), ..<_>::default() };
    let sentences = shop.ledger.explain_transaction(request).await.unwrap().into_inner().sentences;
    for sentence in
        ["Stamps for visits: 1; on the card now: 0 of 3.", "Full cards of visits: 1.", "Full cards of large: 1."]
    {
        assert!(sentences.iter().any(|told| told == sentence), "{sentence} is missing from {sentences:?}");
    }

    let back = shop.reverse("r4", "t4").await;
    assert_eq!((back.reversed_points, back.vouchers[0].event(), told(&back)), (30, VoucherEvent::Cancelled, vec![]));
    assert_eq!(cards(&mut shop, "anna").await, on_cards(2, 1));
    let next = shop.accrue(accrual("t5", "anna", 500)).await;
    assert_eq!((next.granted_points, told(&next)), (25, vec![("visits", 1, 0, 3, 1)]));
}
