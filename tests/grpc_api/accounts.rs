//! What is known of an account beside its points: when it was opened, its segments, its level, what it had elsewhere.

use tallystick::config::{ClockMode, Config};
use tallystick::service::wire::{self, RefusalCode};
use tonic::Code;

use crate::support::*;

fn enrolment(transaction_id: &str, joins: &[&str], leaves: &[&str]) -> wire::EnrolRequest {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    wire::EnrolRequest {
        transaction_id: transaction_id.to_owned(),
        account_id: "anna".to_owned(),
        join_segments: list(joins),
        leave_segments: list(leaves),
        ..wire::EnrolRequest::default()
    }
}

async fn enrolled(shop: &mut Shop, request: wire::EnrolRequest) -> wire::Decision {
    shop.account.enrol(request).await.unwrap().into_inner().decision.unwrap()
}

async fn account(shop: &mut Shop) -> wire::GetAccountResponse {
    let request = wire::GetAccountRequest { account_identifier: None, account_id: "anna".to_owned() };
    shop.account.get_account(request).await.unwrap().into_inner()
}

async fn updated(shop: &mut Shop, request: wire::EnrolRequest) -> wire::Decision {
    let request = wire::UpdateAccountRequest {
        account_identifier: None,
        transaction_id: request.transaction_id,
        account_id: request.account_id,
        join_segments: request.join_segments,
        leave_segments: request.leave_segments,
        posting_time: request.posting_time,
        birthday: request.birthday,
        clear_birthday: request.clear_birthday,
    };
    shop.account.update_account(request).await.unwrap().into_inner().decision.unwrap()
}

/// A ladder by the year's purchases, points that live for 60 days, and a bonus for members of a campaign.
fn ladder() -> String {
    plain_program(&[("rounded_per = \"basket\"", "rounded_per = \"basket\"\nexpiry = { after_days = 60 }")])
        + r#"
[[metrics]]
name = "yearly-spend"
measure = "eligible-amount"
window = "year"

[tiers]
metric = "yearly-spend"

[[tiers.levels]]
name = "silver"
threshold = 10_000
multiplier = "1.5"

[[tiers.levels]]
name = "gold"
threshold = 50_000
multiplier = "2"

[[bonuses]]
name = "welcome"
units = 40
limit = { times = 1, per = "lifetime" }
when = { segments = ["new"] }
"#
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_opened_and_joins_and_leaves_segments() {
    let program = PROGRAM.replace("accounts = \"implicit\"", "accounts = \"enrolled\"");
    let mut shop = Shop::open_under(&program).await;
    assert_eq!(refusal(&shop.accrue(accrual("t1", "anna", 900)).await), RefusalCode::AccountUnknown);
    let request = wire::GetAccountRequest { account_identifier: None, account_id: "anna".to_owned() };
    assert_eq!(shop.account.get_account(request).await.unwrap_err().code(), Code::NotFound);
    let unknown = updated(&mut shop, enrolment("u1", &["new"], &[])).await;
    assert_eq!(refusal(&unknown), RefusalCode::AccountUnknown);
    assert!(unknown.position.is_none(), "it opens no account, and its id is free");

    let first = enrolled(&mut shop, enrolment("e1", &["new", "vienna"], &[])).await;
    assert!(first.refusal.is_none() && first.position.is_some());
    let again = enrolled(&mut shop, enrolment("e1", &["vienna", "new", "new"], &[])).await;
    assert_eq!(again, wire::Decision { replayed: true, ..first.clone() }, "the order says nothing");
    let other = enrolled(&mut shop, enrolment("e1", &["new"], &[])).await;
    assert_eq!(other.refusal.unwrap().field, "join_segments");
    let state = account(&mut shop).await;
    assert_eq!((state.segments, Some(state.position)), (vec!["new".to_owned(), "vienna".to_owned()], first.position));
    assert_eq!((state.open_time, state.program_version), (first.posting_time, 1));
    assert_eq!(state.tiers, [], "the programme has no ladder");

    let changed = updated(&mut shop, enrolment("u1", &["regulars", "vienna"], &["new", "never-in"])).await;
    assert!(changed.refusal.is_none());
    let state = account(&mut shop).await;
    assert_eq!(state.segments, ["regulars", "vienna"]);
    assert_eq!((state.open_time, Some(state.position)), (first.posting_time, changed.position));
    assert_eq!(shop.accrue(accrual("t1", "anna", 900)).await.granted_points, 9);

    assert!(!state.birthday_known);
    let born = wire::EnrolRequest { birthday: Some(wire::Birthday { month: 2, day: 29 }), ..enrolment("u2", &[], &[]) };
    updated(&mut shop, born.clone()).await;
    assert!(account(&mut shop).await.birthday_known);
    let other = wire::EnrolRequest { birthday: Some(wire::Birthday { month: 3, day: 1 }), ..born };
    assert_eq!(updated(&mut shop, other).await.refusal.unwrap().field, "birthday");
    updated(&mut shop, wire::EnrolRequest { clear_birthday: true, ..enrolment("u3", &[], &[]) }).await;
    assert!(!account(&mut shop).await.birthday_known);

    let status = shop.account.enrol(enrolment("e2", &["a", ""], &["a"])).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["join_segments[1]", "leave_segments[0]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_says_how_far_the_next_level_is() {
    let mut shop = Shop::open_under(&ladder()).await;
    enrolled(&mut shop, enrolment("e1", &["new"], &[])).await;
    let standing = |level: &str, reached: &str, value, next: &str, missing| wire::TierStanding {
        level: level.to_owned(),
        reached_level: reached.to_owned(),
        qualifying_value: value,
        next_level: next.to_owned(),
        missing_value: missing,
    };
    let rows = [
        ("t1", 9_000, 130, standing("", "", 9_000, "silver", 1_000)),
        ("t2", 1_000, 10, standing("", "silver", 10_000, "gold", 40_000)),
        ("t3", 40_000, 600, standing("silver", "gold", 50_000, "", 0)),
        ("t4", 150, 3, standing("gold", "gold", 50_150, "", 0)),
    ];
    for (id, amount_minor, granted, expected) in rows {
        let decision = shop.accrue(accrual(id, "anna", amount_minor)).await;
        assert_eq!((decision.granted_points, decision.tier.as_ref()), (granted, Some(&expected)), "{id}");
        let bonuses: Vec<&str> = decision.bonuses.iter().map(|award| award.name.as_str()).collect();
        assert_eq!(bonuses, if id == "t1" { vec!["welcome"] } else { vec![] });
        // What the journal tells later is what was told first.
        let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
        let stored = shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap();
        assert_eq!(stored.decision, Some(decision));
    }
    let exact = shop.accrue(accrual("t5", "anna", 150)).await.line_decisions[0].exact_micropoints;
    assert_eq!(exact, 3_000_000, "the level is part of the line's share");
    let tiers = account(&mut shop).await.tiers;
    let [tier] = tiers.as_slice() else { panic!("{tiers:?}") };
    assert_eq!((tier.wallet.as_str(), tier.metric.as_str()), ("points", "yearly-spend"));
    assert_eq!(tier.standing, Some(standing("gold", "gold", 50_300, "", 0)));
}

/// What a read shows is what the next basket is judged by: a level that is kept, and years that begin when the account was
/// opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_tells_the_level_and_the_years_that_judge() {
    const DAY: i64 = 86_400;
    let source = plain_program(&[])
        + r#"
[[metrics]]
name = "spent-a-day"
measure = "eligible-amount"
window = "day"

[[metrics]]
name = "spent-since-joining"
measure = "eligible-amount"
window = "anniversary"

[tiers]
metric = "spent-a-day"
keep = 1

[[tiers.levels]]
name = "gold"
threshold = 10_000

[[tiers.levels]]
name = "platinum"
threshold = 20_000
"#;
    let config = Config { clock: Some(ClockMode::Input), program: Some(program_file(&source)), ..config() };
    let mut shop = Shop::open_with(config).await;
    // Day, amount, the level that judges, the one reached, what is missing to the next; what counts of the own year.
    let rows = [
        (10, 10_000, ["", "gold", "platinum"], 10_000, "year 1", 10_000),
        (11, 100, ["gold", "gold", "platinum"], 19_900, "year 1", 10_100),
        (12, 100, ["", "", "gold"], 9_900, "year 1", 10_200),
        (374, 10_000, ["", "gold", "platinum"], 10_000, "year 1", 20_200),
        (375, 700, ["gold", "gold", "platinum"], 19_300, "year 2", 700),
    ];
    for (day, amount_minor, levels, missing, year, value) in rows {
        let mut request = accrual(&format!("t{day}"), "anna", amount_minor);
        request.posting_time = time(day * DAY + 43_200);
        request.basket.as_mut().unwrap().receipt_time = None;
        let decision = shop.accrue(request).await;
        let tier = decision.tier.unwrap();
        let told = [tier.level.as_str(), &tier.reached_level, &tier.next_level];
        assert_eq!((told, tier.missing_value), (levels, missing), "day {day}");
        let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..Default::default() };
        let counters = shop.ledger.get_balance(request).await.unwrap().into_inner().counters;
        let own = counters.iter().find(|counter| counter.name == "spent-since-joining").unwrap();
        assert_eq!((own.period.as_str(), own.value), (year, value), "day {day}");
    }
    // Today's 700 are no gold; yesterday's are, and they are kept for a day.
    let tier = account(&mut shop).await.tiers.remove(0).standing.unwrap();
    assert_eq!((tier.level.as_str(), tier.qualifying_value), ("gold", 700));
    assert_eq!((&*tier.reached_level, &*tier.next_level, tier.missing_value), ("gold", "platinum", 19_300));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_balance_is_loaded_once_and_dies_as_it_says() {
    let mut shop = Shop::open_under(&ladder()).await;
    let soon = now_seconds() + 86_400;
    let lot = |points, issuer: &str, end| wire::OpeningLot { points, issuer: issuer.to_owned(), expire_time: end };
    let lots = vec![lot(5, "", None), lot(7, "north", time(soon)), lot(2, "", None), lot(1, "", time(soon + 9))];
    let request = wire::LoadOpeningBalanceRequest {
        account_identifier: None,
        transaction_id: "o1".to_owned(),
        account_id: "anna".to_owned(),
        wallet: "points".to_owned(),
        lots,
        posting_time: None,
    };
    let loaded = shop.account.load_opening_balance(request.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((loaded.granted_points, loaded.balance_points), (15, 15));
    let again = shop.account.load_opening_balance(request.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(again, wire::Decision { replayed: true, ..loaded });
    let mut other = request;
    other.lots[0].points = 6;
    let other = shop.account.load_opening_balance(other).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(other.refusal.unwrap().field, "lots");

    let request = wire::GetBalanceRequest {
        account_identifier: None,
        account_id: "anna".to_owned(),
        wallet: String::new(),
        lots: true,
    };
    let wallet = shop.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0);
    assert_eq!((wallet.expiring_points, wallet.expiring_time), (7, time(soon)));
    assert_eq!((wallet.available_points, wallet.pending_points), (15, 0));
    let lots: Vec<_> = wallet.lots.iter().map(|lot| (lot.points, lot.issuer.as_str(), lot.expire_time)).collect();
    assert_eq!(lots, [(7, "north", time(soon)), (1, "default", time(soon + 9)), (7, "default", None)]);

    // What dies first is burned first.
    let redeem = wire::RedeemRequest {
        transaction_id: "b1".to_owned(),
        account_id: "anna".to_owned(),
        points: 8,
        ..wire::RedeemRequest::default()
    };
    shop.ledger.redeem(redeem).await.unwrap();
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let wallet = shop.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0);
    assert_eq!((wallet.balance_points, wallet.expiring_points, wallet.expiring_time), (7, 0, None));
    assert!(wallet.lots.is_empty(), "they were not asked for");

    // A lot that is dead when it is loaded counts for nothing, and the next record posts its expiry.
    let dead = wire::LoadOpeningBalanceRequest {
        transaction_id: "o2".to_owned(),
        account_id: "anna".to_owned(),
        lots: vec![lot(9, "", time(now_seconds() - 60))],
        ..wire::LoadOpeningBalanceRequest::default()
    };
    let dead = shop.account.load_opening_balance(dead).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((dead.granted_points, dead.balance_points), (9, 7));
    let request = wire::GetBalanceRequest { account_id: "anna".to_owned(), ..<_>::default() };
    let wallet = shop.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0);
    assert_eq!((wallet.granted_points, wallet.redeemed_points, wallet.expired_points), (24, 8, 9));
    assert_eq!(wallet.balance_points, 24 - 8 - 9);
}
