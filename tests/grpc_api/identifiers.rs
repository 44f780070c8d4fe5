//! Accounts by their cards, and members of an account, as callers see them.

use tallystick::service::wire::{self, RefusalCode, TransactionKind, command};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::support::*;

fn card(value: &str) -> wire::AccountIdentifier {
    wire::AccountIdentifier { kind: "card".to_owned(), value: value.to_owned() }
}

async fn linked(shop: &mut Shop, transaction_id: &str, account_id: &str, value: &str) -> wire::Decision {
    let request = wire::LinkIdentifierRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        identifier: Some(card(value)),
        posting_time: None,
    };
    shop.account.link_identifier(request).await.unwrap().into_inner().decision.unwrap()
}

async fn unlinked(shop: &mut Shop, transaction_id: &str, account_id: &str, value: &str) -> wire::Decision {
    let request = wire::UnlinkIdentifierRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: account_id.to_owned(),
        identifier: Some(card(value)),
        posting_time: None,
    };
    shop.account.unlink_identifier(request).await.unwrap().into_inner().decision.unwrap()
}

/// A basket of whoever shows the card.
fn by_card(transaction_id: &str, value: &str, amount_minor: i64) -> wire::AccrueRequest {
    wire::AccrueRequest { account_identifier: Some(card(value)), ..accrual(transaction_id, "", amount_minor) }
}

async fn whose(shop: &mut Shop, value: &str) -> Result<wire::GetAccountResponse, tonic::Status> {
    let request = wire::GetAccountRequest { account_identifier: Some(card(value)), ..<_>::default() };
    shop.account.get_account(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_can_name_an_account_by_its_card() {
    let mut shop = Shop::open().await;
    assert_eq!(refusal(&shop.accrue(by_card("t0", "1", 900)).await), RefusalCode::IdentifierUnknown);
    assert_eq!(whose(&mut shop, "1").await.unwrap_err().code(), Code::NotFound);
    assert!(linked(&mut shop, "l1", "anna", "1").await.refusal.is_none());
    assert_eq!(refusal(&linked(&mut shop, "l2", "ben", "1").await), RefusalCode::IdentifierTaken);

    // What was refused consumed nothing.
    assert_eq!(shop.accrue(by_card("t0", "1", 900)).await.granted_points, 9);
    let quote =
        wire::QuoteRequest { account_identifier: Some(card("1")), basket: Some(basket("", 300)), ..<_>::default() };
    assert_eq!(shop.ledger.quote(quote).await.unwrap().into_inner().decision.unwrap().granted_points, 3);
    let redeem = wire::RedeemRequest {
        transaction_id: "b1".to_owned(),
        account_identifier: Some(card("1")),
        points: 4,
        ..<_>::default()
    };
    assert_eq!(shop.ledger.redeem(redeem).await.unwrap().into_inner().decision.unwrap().balance_points, 5);
    let record = wire::RecordActivityRequest {
        transaction_id: "a1".to_owned(),
        account_identifier: Some(card("1")),
        activity: Some(wire::Activity { kind: "review".to_owned(), ..<_>::default() }),
        ..<_>::default()
    };
    assert!(shop.ledger.record_activity(record).await.unwrap().into_inner().decision.unwrap().refusal.is_none());
    let update = wire::UpdateAccountRequest {
        transaction_id: "u1".to_owned(),
        account_identifier: Some(card("1")),
        join_segments: vec!["regulars".to_owned()],
        ..<_>::default()
    };
    assert!(shop.account.update_account(update).await.unwrap().into_inner().decision.unwrap().refusal.is_none());
    let state = whose(&mut shop, "1").await.unwrap();
    assert_eq!(
        (state.account_id.as_str(), &state.segments[0][..], &state.identifier_kinds[0][..]),
        ("anna", "regulars", "card")
    );
    let balance = wire::GetBalanceRequest { account_identifier: Some(card("1")), ..<_>::default() };
    assert_eq!(shop.ledger.get_balance(balance).await.unwrap().into_inner().wallets[0].balance_points, 5);
    let list = wire::ListTransactionsRequest { account_identifier: Some(card("1")), ..<_>::default() };
    let listed = shop.ledger.list_transactions(list).await.unwrap().into_inner().transactions;
    let oldest = listed.last().unwrap();
    assert_eq!(
        (oldest.kind(), oldest.identifier_linked, &oldest.identifier_kind[..]),
        (TransactionKind::Identifier, true, "card")
    );
    assert_eq!(listed.len(), 5);

    let both = wire::AccrueRequest { account_id: "anna".to_owned(), ..by_card("t9", "1", 1) };
    let status = shop.ledger.accrue(both).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["account_identifier"]);
    let empty = wire::AccrueRequest { account_identifier: Some(<_>::default()), ..by_card("t9", "1", 1) };
    let status = shop.ledger.accrue(empty).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["account_identifier.kind", "account_identifier.value"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_its_first_answer_whatever_its_card_points_to() {
    let mut shop = Shop::open().await;
    linked(&mut shop, "l1", "anna", "1").await;
    let first = shop.accrue(by_card("t1", "1", 900)).await;
    assert_eq!(first.granted_points, 9);
    let again = wire::Decision { replayed: true, ..first };
    assert_eq!(shop.accrue(by_card("t1", "1", 900)).await, again);
    // Another card is other content, and so is the account by its id.
    linked(&mut shop, "l2", "anna", "2").await;
    for other in [by_card("t1", "2", 900), accrual("t1", "anna", 900), by_card("t1", "unknown", 900)] {
        assert_eq!(shop.accrue(other).await.refusal.unwrap().field, "account_identifier");
    }
    assert!(unlinked(&mut shop, "u1", "", "1").await.refusal.is_none(), "whosever it is");
    assert_eq!(shop.accrue(by_card("t1", "1", 900)).await, again, "it points to nobody");
    assert_eq!(shop.accrue(by_card("t1", "1", 800)).await.refusal.unwrap().field, "basket.lines[0].amount_minor");
    assert_eq!(refusal(&shop.accrue(by_card("t2", "1", 100)).await), RefusalCode::IdentifierUnknown);
    assert!(unlinked(&mut shop, "u1", "", "1").await.replayed);

    linked(&mut shop, "l3", "ben", "1").await;
    assert_eq!(shop.accrue(by_card("t1", "1", 900)).await, again, "it points to somebody else");
    assert_eq!(shop.accrue(by_card("t2", "1", 100)).await.granted_points, 1);
    assert_eq!((shop.balance("anna").await, shop.balance("ben").await), (9, 1));

    // The same after a restart, from the journal and the index alone.
    let config = config();
    let mut shop = shop.reopen(config).await;
    assert_eq!(shop.accrue(by_card("t1", "1", 900)).await, again);
    assert_eq!(whose(&mut shop, "1").await.unwrap().account_id, "ben");
    assert_eq!(refusal(&linked(&mut shop, "l4", "carla", "2").await), RefusalCode::IdentifierTaken);
}

/// An unlinking has no second identifier: what is wrong or differs is told of the one that it is about.
#[tokio::test(flavor = "multi_thread")]
async fn an_unlinking_is_told_of_the_fields_that_it_has() {
    let mut shop = Shop::open().await;
    linked(&mut shop, "l1", "anna", "1").await;
    linked(&mut shop, "l2", "anna", "2").await;
    assert!(unlinked(&mut shop, "u1", "", "1").await.refusal.is_none());
    let rows = [
        ("u1", "", "2", "identifier"),
        ("u1", "", "nobody's", "identifier"),
        ("u1", "anna", "2", "identifier"),
        ("u1", "anna", "1", "account_id"),
        ("l1", "", "1", "command"),
    ];
    for (id, account_id, value, field) in rows {
        let other = unlinked(&mut shop, id, account_id, value).await;
        assert_eq!(refusal(&other), RefusalCode::TransactionIdReused, "{id} {account_id} {value}");
        assert_eq!(other.refusal.unwrap().field, field, "{id} {account_id} {value}");
    }
    let empty = wire::UnlinkIdentifierRequest {
        transaction_id: "u2".to_owned(),
        identifier: Some(<_>::default()),
        ..<_>::default()
    };
    let status = shop.account.unlink_identifier(empty).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["identifier.kind", "identifier.value"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_are_named_in_batches_and_on_streams_in_their_order() {
    let mut shop = Shop::open().await;
    let link = wire::LinkIdentifierRequest {
        transaction_id: "l1".to_owned(),
        account_id: "anna".to_owned(),
        identifier: Some(card("1")),
        posting_time: None,
    };
    let unlink = wire::UnlinkIdentifierRequest {
        transaction_id: "u1".to_owned(),
        account_id: "anna".to_owned(),
        identifier: Some(card("1")),
        posting_time: None,
    };
    let commands = [
        command::Command::Accrue(by_card("t1", "1", 100)),
        command::Command::LinkIdentifier(link),
        command::Command::Accrue(by_card("t2", "1", 200)),
        command::Command::Accrue(accrual("t3", "anna", 300)),
        command::Command::UnlinkIdentifier(unlink),
    ];
    let commands = commands.into_iter().map(|command| wire::Command { command: Some(command) }).collect();
    let requests = tokio_stream::iter([wire::CommandStreamRequest { commands }]);
    let mut results = shop.ledger.command_stream(requests).await.unwrap().into_inner();
    let mut decisions = Vec::new();
    while let Some(message) = results.next().await {
        decisions.extend(message.unwrap().results.into_iter().map(|result| result.decision.unwrap()));
    }
    let granted: Vec<_> = decisions.iter().map(|decision| decision.granted_points).collect();
    assert_eq!(granted, [0, 0, 2, 3, 0]);
    let refused: Vec<bool> = decisions.iter().map(|decision| decision.refusal.is_some()).collect();
    assert_eq!(refused, [true, false, false, false, false]);
    assert_eq!(refusal(&shop.accrue(by_card("t4", "1", 400)).await), RefusalCode::IdentifierUnknown);

    linked(&mut shop, "l2", "ben", "2").await;
    let requests = vec![accrual("t5", "anna", 500), by_card("t6", "2", 600), by_card("t7", "nobody's", 700)];
    let batch = shop.ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap().into_inner();
    let granted: Vec<_> = batch.decisions.iter().map(|decision| decision.granted_points).collect();
    assert_eq!(granted, [5, 6, 0]);
    assert_eq!(refusal(&batch.decisions[2]), RefusalCode::IdentifierUnknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tills_that_link_one_card_at_once_do_not_both_get_it() {
    let mut shop = Shop::open().await;
    for round in 0..20 {
        let link = |account: &str| {
            let mut client = shop.account.clone();
            let request = wire::LinkIdentifierRequest {
                transaction_id: format!("{account}-{round}"),
                account_id: account.to_owned(),
                identifier: Some(card(&round.to_string())),
                posting_time: None,
            };
            tokio::spawn(async move { client.link_identifier(request).await.unwrap().into_inner().decision.unwrap() })
        };
        let (anna, ben) = (link("anna"), link("ben"));
        let decisions = [anna.await.unwrap(), ben.await.unwrap()];
        let refused: Vec<_> = decisions.iter().filter(|decision| decision.refusal.is_some()).collect();
        assert_eq!(refused.len(), 1, "{decisions:?}");
        assert_eq!(refusal(refused[0]), RefusalCode::IdentifierTaken);
        let owner = if decisions[0].refusal.is_none() { "anna" } else { "ben" };
        assert_eq!(whose(&mut shop, &round.to_string()).await.unwrap().account_id, owner);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_an_account_keeps_to_a_cap_and_a_rule_names_its_own() {
    let program = format!(
        "{PROGRAM}\n[[rules]]\nname = \"tea-double\"\nmatch = {{ category = [\"tea\"] }}\nmultiplier = \"2\"\n\
         [[rules.caps]]\nname = \"tea-a-day\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 5\n\
         [[caps]]\nname = \"each-a-day\"\nmeasure = \"units\"\nsubject = \"member\"\nwindow = \"day\"\nlimit = 10\n"
    );
    let mut shop = Shop::open_under(&program).await;
    let of = |id: &str, member: &str, category: &str, amount_minor| {
        let mut request = accrual(id, "anna", amount_minor);
        let basket = request.basket.as_mut().unwrap();
        basket.member_id = member.to_owned();
        basket.lines = vec![line(category, amount_minor)];
        request
    };
    let first = shop.accrue(of("t1", "ann", "tea", 800)).await;
    let clips: Vec<_> = first.clips.iter().map(|clip| (&clip.name[..], &clip.rule[..], clip.clipped_points)).collect();
    assert_eq!(clips, [("tea-a-day", "tea-double", 3), ("each-a-day", "", 3)]);
    assert_eq!((first.earned_points, first.granted_points), (16, 10));
    let second = shop.accrue(of("t2", "ann", "tea", 800)).await;
    let clips: Vec<_> = second.clips.iter().map(|clip| (&clip.name[..], &clip.rule[..], clip.clipped_points)).collect();
    assert_eq!(clips, [("tea-a-day", "tea-double", 0), ("each-a-day", "", 8)]);
    assert_eq!(shop.accrue(of("t3", "bob", "tea", 800)).await.granted_points, 8);
    assert_eq!(shop.accrue(of("t2", "bob", "tea", 800)).await.refusal.unwrap().field, "basket.member_id");
    let request = wire::GetTransactionRequest { transaction_id: "t1".to_owned() };
    let stored = shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap();
    assert_eq!(stored.decision, Some(first));
    assert_eq!(stored.basket.unwrap().member_id, "", "of a member only a hash is kept");
}
