//! Stored value through the wire: what is told of what is paid in, spent and given back, and that nothing goes back twice
//! however many ask.

use tallystick::config::Config;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::{self, RefusalCode, TransactionKind};
use tonic::Code;

use crate::support::*;

/// The plain programme with a wallet of money: 5.00 to 200.00 at once, 500.00 at most. Paid from it, baskets earn twice.
fn program() -> String {
    let wallet = "[[wallets]]\nname = \"card\"\nkind = \"money\"\nscale = 2\nbalance_max = 50_000\ntop_up_min = 500\n\
                  top_up_max = 20_000\n\n[[rules]]\nname = \"stored\"\nmultiplier = \"3\"\n\
                  when = { payment_methods = [\"stored-value\"] }\n\n[earn]";
    plain_program(&[("[earn]", wallet)])
}

fn top_up(id: &str, amount_minor: i64) -> wire::TopUpRequest {
    wire::TopUpRequest {
        transaction_id: id.to_owned(),
        account_id: "anna".to_owned(),
        wallet: "card".to_owned(),
        amount_minor,
        source: "psp-4711".to_owned(),
        store_id: "store-1".to_owned(),
        terminal_id: "till-1".to_owned(),
        ..wire::TopUpRequest::default()
    }
}

fn refund(own: &str, original: &str, points: i64) -> wire::ReverseRequest {
    wire::ReverseRequest { points, ..reversal(own, original) }
}

struct Cafe(Shop);

impl Cafe {
    async fn open() -> Self {
        Self(Shop::open_under(&program()).await)
    }

    async fn top_up(&mut self, request: wire::TopUpRequest) -> wire::Decision {
        self.0.ledger.top_up(request).await.unwrap().into_inner().decision.unwrap()
    }

    async fn refund(&mut self, own: &str, original: &str, points: i64) -> wire::Decision {
        self.0.ledger.reverse(refund(own, original, points)).await.unwrap().into_inner().decision.unwrap()
    }

    async fn pay(&mut self, id: &str, points: i64) -> wire::Decision {
        let request = wire::RedeemRequest {
            transaction_id: id.to_owned(),
            account_id: "anna".to_owned(),
            wallet: "card".to_owned(),
            points,
            ..wire::RedeemRequest::default()
        };
        self.0.ledger.redeem(request).await.unwrap().into_inner().decision.unwrap()
    }

    async fn money(&mut self) -> wire::WalletBalance {
        let request = wire::GetBalanceRequest {
            account_id: "anna".to_owned(),
            wallet: "card".to_owned(),
            lots: true,
            ..wire::GetBalanceRequest::default()
        };
        self.0.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0)
    }

    async fn transaction(&mut self, id: &str) -> wire::Transaction {
        let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
        self.0.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
    }

    async fn told(&mut self, id: &str) -> Vec<String> {
        let request = wire::ExplainTransactionRequest { transaction_id: id.to_owned(), ..<_>::default() };
        self.0.ledger.explain_transaction(request).await.unwrap().into_inner().sentences
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_paid_in_spent_and_given_back_to_where_it_came_from() {
    let mut cafe = Cafe::open().await;
    let paid = cafe.top_up(top_up("t1", 2_000)).await;
    assert_eq!((paid.granted_points, paid.earned_points, paid.balance_points), (2_000, 0, 2_000));
    assert_eq!((&*paid.wallet, paid.program_version, paid.line_decisions.len()), ("card", 1, 0));
    assert!(cafe.top_up(top_up("t1", 2_000)).await.replayed);
    let reused = cafe.top_up(wire::TopUpRequest { source: "psp-1".to_owned(), ..top_up("t1", 2_000) }).await;
    assert_eq!((refusal(&reused), &*reused.refusal.unwrap().field), (RefusalCode::TransactionIdReused, "source"));
    for (amount, code) in [(499, RefusalCode::TopUpTooSmall), (20_001, RefusalCode::TopUpTooLarge)] {
        let refused = cafe.top_up(top_up("t2", amount)).await;
        assert_eq!((refusal(&refused), &*refused.wallet), (code, "card"));
        assert!(!refused.refusal.unwrap().journaled);
    }
    let points = cafe.top_up(wire::TopUpRequest { wallet: String::new(), ..top_up("t2", 500) }).await;
    assert_eq!(refusal(&points), RefusalCode::WalletNotMoney);

    let spent = cafe.pay("p1", 450).await;
    assert_eq!((spent.redeemed_points, spent.balance_points), (450, 1_550));
    let mut basket = accrual("b1", "anna", 450);
    basket.basket.as_mut().unwrap().payment_method = "stored-value".to_owned();
    assert_eq!(cafe.0.accrue(basket).await.granted_points, 13, "three for each euro, and none for the top-up");

    let back = cafe.refund("r1", "t1", 1_000).await;
    assert_eq!((back.reversed_points, &*back.refund_source, back.refundable_points), (1_000, "psp-4711", 550));
    assert_eq!((back.balance_points, back.program_version), (550, 1));
    let too_much = cafe.refund("r2", "t1", 1_001).await;
    assert_eq!(refusal(&too_much), RefusalCode::RefundTooLarge);
    let gone = cafe.refund("r3", "t1", 0).await;
    assert_eq!(refusal(&gone), RefusalCode::InsufficientBalance);
    assert_eq!((gone.refundable_points, gone.balance_points, &*gone.refund_source), (550, 550, ""));
    let again = cafe.refund("r3", "t1", 0).await;
    assert!(again.replayed && again.refundable_points == 550 && again.refusal == gone.refusal);
    assert_eq!(cafe.refund("r4", "t1", 550).await.refundable_points, 0);
    let empty = cafe.money().await;
    assert_eq!((empty.granted_points, empty.reversed_points, empty.redeemed_points), (2_000, 1_550, 450));
    assert_eq!((empty.balance_points, empty.lots.len(), empty.owed_points), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_in_and_went_back_is_told_and_outlives_a_restart() {
    let mut cafe = Cafe::open().await;
    cafe.top_up(top_up("t1", 2_000)).await;
    cafe.refund("r1", "t1", 500).await;
    cafe.refund("r2", "t1", 0).await;
    let mut cafe = Cafe(cafe.0.reopen(Config { program: Some(program_file(&program())), ..config() }).await);
    let paid = cafe.transaction("t1").await;
    assert_eq!(
        (paid.kind(), paid.top_up_amount_minor, &*paid.top_up_source),
        (TransactionKind::TopUp, 2_000, "psp-4711")
    );
    assert_eq!((&*paid.top_up_store_id, &*paid.top_up_terminal_id), ("store-1", "till-1"));
    assert_eq!((&*paid.reversal_transaction_id, paid.fully_reversed), ("r2", true));
    let back = cafe.transaction("r2").await;
    assert_eq!((back.kind(), &*back.original_transaction_id), (TransactionKind::Reversal, "t1"));
    assert_eq!((&*back.earlier_reversal_transaction_id, &*back.top_up_source), ("r1", "psp-4711"));
    assert_eq!(back.decision.as_ref().unwrap().reversed_points, 1_500);
    assert_eq!(refusal(&cafe.refund("r3", "t1", 1).await), RefusalCode::AlreadyReversed);
    assert_eq!(cafe.told("t1").await, ["20.00 card were paid in by psp-4711.", "The balance was 20.00 card then."]);
    assert_eq!(
        cafe.told("r1").await,
        ["5.00 card of the top-up t1 went back to psp-4711.", "The balance was 15.00 card then."]
    );
    let request = wire::ListTransactionsRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let listed = cafe.0.ledger.list_transactions(request).await.unwrap().into_inner().transactions;
    let ids: Vec<&str> = listed.iter().map(|one| one.transaction_id.as_str()).collect();
    assert_eq!(ids, ["r2", "r1", "t1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_names_lines_or_an_amount_as_its_original_has_them() {
    let mut cafe = Cafe::open().await;
    cafe.top_up(top_up("t1", 2_000)).await;
    cafe.0.accrue(accrual("b1", "anna", 900)).await;
    let line = || wire::ReturnedLine { line_index: 0, quantity: 1, amount_minor: 0 };
    let lines = wire::ReverseRequest { lines: vec![line()], ..reversal("r1", "t1") };
    let answer = cafe.0.ledger.reverse(lines.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(refusal(&answer), RefusalCode::LineUnknown);
    let answer = cafe.refund("r1", "b1", 5).await;
    assert_eq!((refusal(&answer), &*answer.refusal.unwrap().field), (RefusalCode::LineUnknown, "points"));
    // Only rewards are counted, and a top-up has none: asked for again, that is no other question.
    for original in ["t1", "t1", "b1"] {
        let counted = wire::ReverseRequest { quantity: 2, ..reversal("r1", original) };
        let answer = cafe.0.ledger.reverse(counted).await.unwrap().into_inner().decision.unwrap();
        let why = answer.refusal.as_ref().map(|refusal| (refusal.field.as_str(), refusal.journaled));
        assert_eq!((refusal(&answer), why), (RefusalCode::LineUnknown, Some(("quantity", false))), "{original}");
    }
    for request in [wire::ReverseRequest { points: 5, ..lines }, refund("r1", "t1", -1)] {
        let status = cafe.0.ledger.reverse(request).await.unwrap_err();
        assert_eq!((status.code(), wrong_fields(&status)), (Code::InvalidArgument, vec!["points".to_owned()]));
    }
    // What was refused has consumed nothing, and a reversal stays what it was.
    assert_eq!(cafe.refund("r1", "t1", 700).await.reversed_points, 700);
    for (request, field) in [
        (refund("r1", "t1", 0), "points"),
        (refund("r1", "b1", 700), "original_transaction_id"),
        (wire::ReverseRequest { lines: vec![line()], ..reversal("r1", "t1") }, "lines"),
    ] {
        let answer = cafe.0.ledger.reverse(request).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((refusal(&answer), &*answer.refusal.unwrap().field), (RefusalCode::TransactionIdReused, field));
    }
}

/// Money that is paid in earns nothing, whatever the rules; the activity that the till records beside it earns by its bonus,
/// and stays when the money goes back, until an operator takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_top_up_earns_nothing_and_the_activity_beside_it_earns_by_its_bonus() {
    let bonuses = "\n[[bonuses]]\nname = \"thanks\"\nunits = 25\non = { activity = \"top-up\" }\n\
                   limit = { times = 1, per = \"month\" }\n\n[[bonuses]]\nname = \"thanks-50\"\nunits = 60\n\
                   on = { activity = \"top-up-50\" }\n\n[[bonuses]]\nname = \"first-basket\"\nunits = 7\n\
                   when = { nth_basket = 1 }\n\n[[metrics]]\nname = \"yearly-spend\"\n\
                   measure = \"eligible-amount\"\nwindow = \"year\"\n";
    let mut cafe = Cafe(Shop::open_under(&(program() + bonuses)).await);
    let points = async |cafe: &mut Cafe| {
        let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
        let answer = cafe.0.ledger.get_balance(request).await.unwrap().into_inner();
        let moved = answer.counters.iter().map(|counter| counter.value).sum::<i64>();
        let counted = (&*answer.wallets[0].wallet, answer.counters.len(), moved);
        assert_eq!(counted, ("points", 1, 0), "no metric counts money");
        (answer.wallets[0].granted_points, answer.wallets[0].balance_points, answer.totals.unwrap().basket_count)
    };
    let activity = |id: &str, kind: &str| wire::RecordActivityRequest {
        transaction_id: id.to_owned(),
        account_id: "anna".to_owned(),
        activity: Some(wire::Activity { kind: kind.to_owned(), ..<_>::default() }),
        ..<_>::default()
    };
    let act = async |cafe: &mut Cafe, id: &str, kind: &str| {
        cafe.0.ledger.record_activity(activity(id, kind)).await.unwrap().into_inner().decision.unwrap()
    };
    for id in ["t1", "t2"] {
        assert_eq!(cafe.top_up(top_up(id, 5_000)).await.granted_points, 5_000);
    }
    assert_eq!(points(&mut cafe).await, (0, 0, 0));
    let earned = act(&mut cafe, "a1", "top-up").await;
    assert_eq!((earned.granted_points, &*earned.wallet, earned.balance_points), (25, "points", 25));
    assert_eq!(earned.line_decisions.len(), 0);
    assert!(act(&mut cafe, "a1", "top-up").await.replayed);
    assert_eq!(act(&mut cafe, "a2", "top-up").await.granted_points, 0, "once a month");
    assert_eq!(act(&mut cafe, "a3", "top-up-50").await.granted_points, 60);
    assert_eq!(act(&mut cafe, "a4", "top-up-70").await.granted_points, 0, "the programme knows no such step");
    assert_eq!(points(&mut cafe).await, (85, 85, 0));
    // What goes back leaves what the activity earned.
    assert_eq!(cafe.refund("r1", "t1", 0).await.reversed_points, 5_000);
    assert_eq!(points(&mut cafe).await, (85, 85, 0));
    assert_eq!(refusal(&cafe.refund("r3", "a3", 0).await), RefusalCode::NotReversible);
    let correction = wire::AdjustBalanceRequest {
        transaction_id: "d1".to_owned(),
        account_id: "anna".to_owned(),
        points: -60,
        remark: Some(wire::Remark { reason_code: "top-up-went-back".to_owned(), ..<_>::default() }),
        ..<_>::default()
    };
    let mut desk = OperatorServiceClient::new(connect(&cafe.0.running).await);
    desk.adjust_balance(correction).await.unwrap();
    assert_eq!(points(&mut cafe).await, (85, 25, 0));
    assert_eq!(cafe.money().await.balance_points, 5_000);
    // The first basket is still to come.
    assert_eq!(cafe.0.accrue(accrual("b1", "anna", 300)).await.granted_points, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_states_an_end_for_money() {
    let cafe = Cafe::open().await;
    let remark = Some(wire::Remark { reason_code: "goodwill".to_owned(), ..<_>::default() });
    let adjustment = wire::AdjustBalanceRequest {
        transaction_id: "d1".to_owned(),
        account_id: "anna".to_owned(),
        wallet: "card".to_owned(),
        points: 5,
        expire_time: time(now_seconds() + 86_400),
        remark,
        ..<_>::default()
    };
    let mut desk = OperatorServiceClient::new(connect(&cafe.0.running).await);
    let status = desk.adjust_balance(adjustment.clone()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["expire_time"]);
    let lot = wire::OpeningLot { points: 5, expire_time: time(now_seconds() + 86_400), ..<_>::default() };
    let loading = wire::LoadOpeningBalanceRequest {
        transaction_id: "l1".to_owned(),
        account_id: "anna".to_owned(),
        wallet: "card".to_owned(),
        lots: vec![wire::OpeningLot { points: 7, ..<_>::default() }, lot],
        ..<_>::default()
    };
    let mut cafe = cafe;
    let status = cafe.0.account.load_opening_balance(loading.clone()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["lots[1].expire_time"]);
    let endless = wire::LoadOpeningBalanceRequest { lots: loading.lots[..1].to_vec(), ..loading };
    cafe.0.account.load_opening_balance(endless.clone()).await.unwrap();
    let elsewhere = wire::LoadOpeningBalanceRequest { wallet: "points".to_owned(), ..endless };
    let other = cafe.0.account.load_opening_balance(elsewhere).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((refusal(&other), &*other.refusal.unwrap().field), (RefusalCode::TransactionIdReused, "wallet"));
    desk.adjust_balance(wire::AdjustBalanceRequest { expire_time: None, ..adjustment }).await.unwrap();
    let money = cafe.money().await;
    assert_eq!((money.balance_points, money.expiring_points, money.lots.len()), (12, 0, 1));
}

/// From four connections at once, each asks for 3.00 of one top-up again and again, another spends: what was paid in is spent
/// or goes back, never both.
#[tokio::test(flavor = "multi_thread")]
async fn refunds_and_redemptions_at_once_never_take_the_same_money() {
    let mut cafe = Cafe::open().await;
    cafe.top_up(top_up("t1", 5_000)).await;
    let mut calls = tokio::task::JoinSet::new();
    for till in 0..4 {
        let mut ledger = LedgerServiceClient::new(connect(&cafe.0.running).await);
        calls.spawn(async move {
            let (mut back, mut spent) = (0, 0);
            for turn in 0..12 {
                let id = format!("x-{till}-{turn}");
                if till == 3 {
                    let request = wire::RedeemRequest {
                        transaction_id: id,
                        account_id: "anna".to_owned(),
                        wallet: "card".to_owned(),
                        points: 250,
                        ..wire::RedeemRequest::default()
                    };
                    let decision = ledger.redeem(request).await.unwrap().into_inner().decision.unwrap();
                    spent += decision.redeemed_points;
                } else {
                    let answered = ledger.reverse(refund(&id, "t1", 300)).await.unwrap();
                    back += answered.into_inner().decision.unwrap().reversed_points;
                }
            }
            (back, spent)
        });
    }
    let taken = calls.join_all().await;
    let sum: i64 = taken.iter().map(|(back, spent)| back + spent).sum();
    let money = cafe.money().await;
    assert_eq!(money.balance_points, 5_000 - sum, "{taken:?}");
    assert!((0..300).contains(&money.balance_points), "all that could go was taken: {money:?}");
}

/// One refund under one id from four connections at once takes effect once, and all are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_refund_asked_for_at_once_takes_effect_once() {
    let mut cafe = Cafe::open().await;
    cafe.top_up(top_up("t1", 5_000)).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut ledger = LedgerServiceClient::new(connect(&cafe.0.running).await);
        calls.spawn(
            async move { ledger.reverse(refund("r1", "t1", 700)).await.unwrap().into_inner().decision.unwrap() },
        );
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|one| !one.replayed).count(), 1);
    assert!(answers.iter().all(|one| one.reversed_points == 700 && one.position == answers[0].position));
    assert_eq!(cafe.money().await.balance_points, 4_300);
}

/// The mix of a stream: what is paid in can be spent by the next command of the same message.
#[tokio::test(flavor = "multi_thread")]
async fn top_ups_come_on_streams_too() {
    let mut cafe = Cafe::open().await;
    let command = |command| wire::Command { command: Some(command) };
    let pay = wire::RedeemRequest {
        transaction_id: "p1".to_owned(),
        account_id: "anna".to_owned(),
        wallet: "card".to_owned(),
        points: 450,
        ..wire::RedeemRequest::default()
    };
    let commands = vec![
        command(wire::command::Command::TopUp(top_up("t1", 2_000))),
        command(wire::command::Command::Redeem(pay)),
        command(wire::command::Command::Reverse(refund("r1", "t1", 0))),
    ];
    let requests = tokio_stream::once(wire::CommandStreamRequest { commands });
    let mut answers = cafe.0.ledger.command_stream(requests).await.unwrap().into_inner();
    let mut decisions = Vec::new();
    while let Some(message) = answers.message().await.unwrap() {
        decisions.extend(message.results.into_iter().map(|result| result.decision.unwrap()));
    }
    assert_eq!((decisions[0].granted_points, decisions[1].redeemed_points), (2_000, 450));
    assert_eq!((refusal(&decisions[2]), decisions[2].refundable_points), (RefusalCode::InsufficientBalance, 1_550));
}
