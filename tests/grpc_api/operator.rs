//! What a service desk sees and decides: what caps hold, points that died, corrections; over the wire, and by the
//! command line as the guide shows it.
//!
//! What must stay true: every example of the guide does what the guide says.

use std::process::Command;
use std::time::Duration;

use prost_types::Timestamp;
use tallystick::config::{ClockMode, Config};
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::{self, RefusalCode, RetryAdvice, TransactionKind};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

/// Holds what goes beyond 60 points a day, and a third basket.
fn watchful() -> String {
    let caps = "\n[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 60\nover = \"hold\"\n";
    let voucher = "\n[[vouchers]]\nname = \"five-off\"\nvalue_minor = 500\nvalid_days = 30\n";
    format!("{}{caps}{voucher}", plain_program(&[]))
}

async fn desk(shop: &Shop) -> OperatorServiceClient<Channel> {
    OperatorServiceClient::new(connect(&shop.running).await)
}

fn remark() -> Option<wire::Remark> {
    Some(wire::Remark {
        reason_code: "cleared".to_owned(),
        note: "The manager called.".to_owned(),
        operator: "ada".to_owned(),
        ..<_>::default()
    })
}

fn release(own: &str, original: &str) -> wire::ReleaseHeldRequest {
    wire::ReleaseHeldRequest {
        transaction_id: own.to_owned(),
        original_transaction_id: original.to_owned(),
        remark: remark(),
        posting_time: None,
    }
}

fn rejection(own: &str, original: &str) -> wire::RejectHeldRequest {
    let wire::ReleaseHeldRequest { transaction_id, original_transaction_id, remark, posting_time } =
        release(own, original);
    wire::RejectHeldRequest { transaction_id, original_transaction_id, remark, posting_time }
}

async fn released(shop: &Shop, own: &str, original: &str) -> wire::Decision {
    desk(shop).await.release_held(release(own, original)).await.unwrap().into_inner().decision.unwrap()
}

async fn rejected(shop: &Shop, own: &str, original: &str) -> wire::Decision {
    desk(shop).await.reject_held(rejection(own, original)).await.unwrap().into_inner().decision.unwrap()
}

async fn held(shop: &Shop, account_id: &str, page_size: i32) -> Vec<wire::HeldTransaction> {
    let mut desk = desk(shop).await;
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListHeldRequest { account_id: account_id.to_owned(), page_size, page_token };
        let page = desk.list_held(request).await.unwrap().into_inner();
        assert!(page.held.len() <= usize::try_from(page_size.max(1)).unwrap() || page_size == 0);
        all.extend(page.held);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn wallet(shop: &mut Shop, account_id: &str) -> wire::WalletBalance {
    let request = wire::GetBalanceRequest { account_id: account_id.to_owned(), lots: true, ..<_>::default() };
    shop.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0)
}

async fn transaction(shop: &mut Shop, transaction_id: &str) -> wire::Transaction {
    let request = wire::GetTransactionRequest { transaction_id: transaction_id.to_owned() };
    shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_basket_beyond_the_cap_waits_for_an_operator() {
    let mut shop = Shop::open_under(&watchful()).await;
    assert_eq!(shop.accrue(accrual("t1", "anna", 5_000)).await.held_for_review, None);
    let quote =
        wire::QuoteRequest { account_id: "anna".to_owned(), basket: Some(basket("q", 2_000)), ..Default::default() };
    let quoted = shop.ledger.quote(quote).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(quoted.held_for_review.unwrap().cap, "watch");
    let decision = shop.accrue(accrual("t2", "anna", 2_000)).await;
    assert_eq!((decision.granted_points, decision.balance_points), (20, 70));
    assert_eq!(decision.held_for_review.as_ref().unwrap().cap, "watch");

    let anna = wallet(&mut shop, "anna").await;
    assert_eq!((anna.balance_points, anna.available_points, anna.pending_points, anna.held_points), (70, 50, 20, 20));
    assert_eq!(anna.lots.iter().map(|lot| (lot.points, lot.held)).collect::<Vec<_>>(), [(50, false), (20, true)]);
    let stored = transaction(&mut shop, "t2").await;
    assert_eq!(stored.decision.as_ref(), Some(&decision));
    assert_eq!((stored.release_transaction_id.as_str(), stored.reversal_transaction_id.as_str()), ("", ""));
    let listed = held(&shop, "", 0).await;
    assert_eq!(listed.len(), 1);
    let one = &listed[0];
    let said = (one.transaction_id.as_str(), one.account_id.as_str(), one.wallet.as_str(), one.cap.as_str());
    assert_eq!((said, one.points), (("t2", "anna", "points", "watch"), 20));
    assert_eq!(one.hold_time, decision.posting_time);

    let first = released(&shop, "r1", "t2").await;
    assert_eq!((first.released_points, first.granted_points, first.balance_points), (20, 0, 70));
    assert_eq!(released(&shop, "r1", "t2").await, wire::Decision { replayed: true, ..first });
    assert_eq!(wallet(&mut shop, "anna").await.available_points, 70);
    assert_eq!(held(&shop, "", 0).await, []);
    for decision in [released(&shop, "r2", "t2").await, rejected(&shop, "r2", "t2").await] {
        let refused = decision.refusal.unwrap();
        assert_eq!((refused.code(), refused.journaled), (RefusalCode::AlreadyReviewed, false));
        assert_eq!(refused.retry_advice(), RetryAdvice::Never);
    }
    assert_eq!(refusal(&released(&shop, "r2", "t1").await), RefusalCode::NotHeld);
    assert_eq!(refusal(&released(&shop, "r2", "zzz").await), RefusalCode::OriginalUnknown);
    // Nothing of these used up the id.
    let stored = transaction(&mut shop, "r1").await;
    // Whose credential it was is the server's to say: here it asks for none.
    let signed = remark().map(|remark| wire::Remark { actor: "anyone".to_owned(), ..remark });
    assert_eq!((stored.kind(), stored.remark), (TransactionKind::Release, signed));
    assert_eq!((stored.account_id.as_str(), stored.original_transaction_id.as_str()), ("anna", "t2"));
    assert_eq!(transaction(&mut shop, "t2").await.release_transaction_id, "r1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_survives_a_restart_and_is_rejected_once() {
    let mut shop = Shop::open_under(&watchful()).await;
    shop.accrue(accrual("t1", "anna", 9_000)).await;
    shop.accrue(accrual("t2", "ben", 8_000)).await;
    shop.admin.take_snapshot(wire::TakeSnapshotRequest {}).await.unwrap();
    shop.accrue(accrual("t3", "anna", 100)).await;
    let before = held(&shop, "", 0).await;
    assert_eq!(before.len(), 3);
    let mut shop = shop.reopen(Config { program: Some(program_file(&watchful())), ..config() }).await;
    assert_eq!(held(&shop, "", 1).await, before, "one by one");
    let of_anna = held(&shop, "anna", 1).await;
    assert_eq!(of_anna.iter().map(|one| one.transaction_id.as_str()).collect::<Vec<_>>(), ["t1", "t3"]);

    let taken = rejected(&shop, "j1", "t1").await;
    assert_eq!((taken.reversed_points, taken.balance_points), (90, 1));
    assert_eq!(refusal(&shop.reverse("v1", "t1").await), RefusalCode::AlreadyReversed);
    let again = wire::AccrueRequest { transaction_id: "t4".to_owned(), ..accrual("t1", "ben", 100) };
    assert_eq!(refusal(&shop.accrue(again).await), RefusalCode::ReceiptAlreadyEarned);
    assert_eq!(transaction(&mut shop, "t1").await.reversal_transaction_id, "j1");
    // A reversal ends a hold too, and frees the receipt.
    assert_eq!(shop.reverse("v2", "t2").await.reversed_points, 80);
    assert_eq!(refusal(&rejected(&shop, "j2", "t2").await), RefusalCode::AlreadyReviewed);
    let again = wire::AccrueRequest { transaction_id: "t5".to_owned(), ..accrual("t2", "ben", 100) };
    assert_eq!(shop.accrue(again).await.granted_points, 1);
    let shop = shop.reopen(Config { program: Some(program_file(&watchful())), ..config() }).await;
    assert_eq!(held(&shop, "", 0).await.iter().map(|one| one.points).collect::<Vec<_>>(), [1], "t3");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partner_sees_and_decides_nothing() {
    let mut shop = Shop::open_under(&watchful()).await;
    shop.accrue(accrual("t1", "anna", 9_000)).await;
    let program = Some(program_file(&watchful()));
    let shop = shop.reopen(Config { partner: "other".to_owned(), program, ..config() }).await;
    assert_eq!(held(&shop, "", 0).await, []);
    assert_eq!(held(&shop, "anna", 0).await, []);
    assert_eq!(refusal(&released(&shop, "r1", "t1").await), RefusalCode::OriginalUnknown);
    assert_eq!(refusal(&rejected(&shop, "r1", "t1").await), RefusalCode::OriginalUnknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_by_itself_comes_back_by_its_position() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    shop.accrue(accrual("t1", "anna", 100)).await;
    let lot = |points, seconds| wire::OpeningLot { points, expire_time: time(seconds), ..<_>::default() };
    let load = wire::LoadOpeningBalanceRequest {
        transaction_id: "l1".to_owned(),
        account_id: "anna".to_owned(),
        lots: vec![lot(7, now_seconds() - 100), lot(5, now_seconds() - 50)],
        ..<_>::default()
    };
    shop.account.load_opening_balance(load).await.unwrap();
    // The ledger posts the death of what was dead when it came, once it has nothing else to do.
    let expiry = loop {
        let request = wire::ListTransactionsRequest { account_id: "anna".to_owned(), ..<_>::default() };
        let listed = shop.ledger.list_transactions(request).await.unwrap().into_inner().transactions;
        if let Some(expiry) = listed.into_iter().find(|one| one.kind() == TransactionKind::Expiry) {
            break expiry.decision.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(expiry.expired_points, 12);
    let request = |own: &str, account_id: &str, position| wire::RestoreExpiredRequest {
        transaction_id: own.to_owned(),
        account_id: account_id.to_owned(),
        expired_position: position,
        expire_time: time(now_seconds() + 1_000_000),
        remark: remark(),
        ..<_>::default()
    };
    let mut desk = desk(&shop).await;
    let mut restored = async |request| desk.restore_expired(request).await.unwrap().into_inner().decision.unwrap();
    for (account_id, position) in [("ben", expiry.position), ("anna", Some(i64::MAX)), ("anna", Some(0))] {
        let decision = restored(request("u1", account_id, position)).await;
        assert_eq!(refusal(&decision), RefusalCode::OriginalUnknown, "{account_id} {position:?}");
    }
    let asked = request("u1", "anna", expiry.position);
    let first = restored(asked.clone()).await;
    assert_eq!((first.restored_points, first.granted_points, first.balance_points), (12, 0, 13));
    assert_eq!(restored(asked.clone()).await, wire::Decision { replayed: true, ..first });
    let later = wire::RestoreExpiredRequest { transaction_id: "u2".to_owned(), ..asked.clone() };
    assert_eq!(refusal(&restored(later).await), RefusalCode::AlreadyRestored);
    let other = wire::RestoreExpiredRequest { expire_time: time(now_seconds() + 9), ..asked };
    assert_eq!(restored(other).await.refusal.unwrap().field, "expire_time");
    let anna = wallet(&mut shop, "anna").await;
    assert_eq!((anna.balance_points, anna.expired_points, anna.available_points), (13, 0, 13));
    let stored = transaction(&mut shop, "u1").await;
    assert_eq!((stored.kind(), stored.expired_position), (TransactionKind::Restoration, expiry.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_corrected_and_never_below_zero() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    shop.accrue(accrual("t1", "anna", 1_000)).await;
    let mut desk = desk(&shop).await;
    let request = |own: &str, account_id: &str, points| wire::AdjustBalanceRequest {
        transaction_id: own.to_owned(),
        account_id: account_id.to_owned(),
        points,
        remark: remark(),
        ..<_>::default()
    };
    let mut adjusted = async |request| desk.adjust_balance(request).await.unwrap().into_inner().decision.unwrap();
    let granted = adjusted(request("a1", "anna", 25)).await;
    assert_eq!((granted.granted_points, granted.reversed_points, granted.balance_points), (25, 0, 35));
    let below = adjusted(request("a2", "anna", -36)).await.refusal.unwrap();
    assert_eq!((below.code(), below.journaled), (RefusalCode::InsufficientBalance, true));
    let taken = adjusted(request("a3", "anna", -35)).await;
    assert_eq!((taken.granted_points, taken.reversed_points, taken.balance_points), (0, 35, 0));
    assert_eq!(refusal(&adjusted(request("a4", "zoe", 1)).await), RefusalCode::AccountUnknown);
    assert_eq!(adjusted(request("a1", "anna", 26)).await.refusal.unwrap().field, "points");
    let stored = transaction(&mut shop, "a3").await;
    assert_eq!((stored.kind(), stored.adjustment_points), (TransactionKind::Adjustment, -35));
}

/// A command whose answer was lost is sent again when its end has passed, and its voucher is not in the programme any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_did_is_answered_again_although_it_could_not_be_done_now() {
    let clock = Hands::new();
    let begin_s = 1_898_596_800;
    let with_voucher = plain_program(&[]) + "\n[[vouchers]]\nname = \"coffee\"\ntext = \"a coffee\"\nvalid_days = 14\n";
    let config = Config { program: Some(program_file(&with_voucher)), ..config() };
    let store = std::sync::Arc::new(tallystick::store::memory::MemoryStore::new());
    let mut shop = Shop::open_by(store, config, clock.clone()).await;
    let sale = accrual("sale", "anna", 500);
    let mut sale = wire::AccrueRequest { account_id: "anna".to_owned(), ..sale };
    sale.basket.as_mut().unwrap().receipt_time = time(begin_s - 60);
    assert_eq!(shop.accrue(sale).await.granted_points, 5);
    let mut desk = desk(&shop).await;
    let adjust = wire::AdjustBalanceRequest {
        transaction_id: "more".to_owned(),
        account_id: "anna".to_owned(),
        points: 3,
        expire_time: time(begin_s + 3_600),
        remark: remark(),
        ..<_>::default()
    };
    let issue = wire::IssueVoucherRequest {
        transaction_id: "gift".to_owned(),
        account_id: "anna".to_owned(),
        voucher: "coffee".to_owned(),
        remark: remark(),
        posting_time: None,
    };
    let adjusted = desk.adjust_balance(adjust.clone()).await.unwrap().into_inner().decision.unwrap();
    let issued = desk.issue_voucher(issue.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((adjusted.refusal, issued.vouchers.len()), (None, 1));
    clock.set((begin_s + 7_200) * 1_000_000_000);
    let without = wire::PublishProgramRequest {
        transaction_id: "without".to_owned(),
        source: plain_program(&[]),
        effective_time: None,
    };
    shop.program.publish_program(without).await.unwrap();
    let again = desk.adjust_balance(adjust.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((again.replayed, again.position), (true, adjusted.position));
    let again = desk.issue_voucher(issue.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((again.replayed, again.vouchers), (true, issued.vouchers));
    // With another content, or for the first time, it is refused as ever.
    let other = wire::IssueVoucherRequest { voucher: "tea".to_owned(), ..issue };
    let other = desk.issue_voucher(other).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(refusal(&other), RefusalCode::TransactionIdReused);
    let late = wire::AdjustBalanceRequest { transaction_id: "late".to_owned(), ..adjust };
    assert_eq!(wrong_fields(&desk.adjust_balance(late).await.unwrap_err()), ["expire_time"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_asks_is_checked_before_anything_else() {
    let shop = Shop::open().await;
    let mut desk = desk(&shop).await;
    let bare = wire::AdjustBalanceRequest { points: -1, expire_time: time(1), ..<_>::default() };
    let status = desk.adjust_balance(bare).await.unwrap_err();
    let fields = ["expire_time", "transaction_id", "account_id", "remark.reason_code"];
    assert_eq!(wrong_fields(&status), fields);
    let past = wire::AdjustBalanceRequest {
        transaction_id: "a".to_owned(),
        account_id: "anna".to_owned(),
        points: 1,
        expire_time: time(1_000),
        remark: remark(),
        ..<_>::default()
    };
    assert_eq!(wrong_fields(&desk.adjust_balance(past).await.unwrap_err()), ["expire_time"]);
    let request = wire::ListHeldRequest { page_token: "x".to_owned(), page_size: -1, ..<_>::default() };
    assert_eq!(wrong_fields(&desk.list_held(request).await.unwrap_err()), ["page_size"]);
    let request = wire::ListHeldRequest { account_id: "zoe".to_owned(), ..<_>::default() };
    assert_eq!(desk.list_held(request).await.unwrap_err().code(), Code::NotFound);
}

/// Whether a command line is one of the fraud desk's, which knows no posting time.
fn is_of_fraud_desk(line: &str) -> bool {
    ["freeze", "freezes", "thaw", "receipts", "velocity"]
        .into_iter()
        .any(|verb| line.split(' ').any(|word| word == verb))
}

/// Runs a command of the guide against the shop; gives its exit status and what it printed.
fn run(shop: &Shop, words: &[String], posting_time: i64) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLYSTICK_") {
            command.env_remove(name);
        }
    }
    command.args(words).args(["--server", &format!("http://{}", shop.running.address()), "--json"]);
    if words[1] != "list" && !is_of_fraud_desk(&words.join(" ")) {
        let time = jiff::Timestamp::from_second(posting_time).unwrap();
        command.args(["--posting-time", &time.to_string()]);
    }
    let output = command.output().expect("the program can be started");
    let printed = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), printed + &String::from_utf8_lossy(&output.stderr))
}

/// The words of a command line, as a shell splits them.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    quoted
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_guide_works() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    // The service desk has a test of its own.
    let sections = guide.split("\n## ").filter(|section| !section.starts_with("The service desk\n"));
    let (lines, of_fraud): (Vec<_>, Vec<_>) = sections
        .flat_map(str::lines)
        .filter(|line| line.starts_with("tallystick operator "))
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .partition(|line| !is_of_fraud_desk(line));
    assert_eq!((lines.len(), of_fraud.len()), (10, 7), "{lines:#?} {of_fraud:#?}");

    let config = Config { clock: Some(ClockMode::Input), program: Some(program_file(&watchful())), ..config() };
    let mut shop = Shop::open_with(config).await;
    let begin = now_seconds();
    let posted = |after: i64| Some(Timestamp { seconds: begin + after, nanos: 0 });
    let sale = |id: &str, amount_minor, after| wire::AccrueRequest {
        posting_time: posted(after),
        ..accrual(id, "member-7", amount_minor)
    };
    shop.accrue(sale("sale-17", 7_000, 0)).await;
    shop.accrue(sale("sale-18", 3_000, 1)).await;
    let mut expired = Vec::new();
    for (id, after) in [("load-1", 2), ("load-2", 4)] {
        let lot = wire::OpeningLot { points: 9, expire_time: time(begin - 100), ..<_>::default() };
        let load = wire::LoadOpeningBalanceRequest {
            transaction_id: id.to_owned(),
            account_id: "member-7".to_owned(),
            lots: vec![lot],
            posting_time: posted(after),
            ..<_>::default()
        };
        shop.account.load_opening_balance(load).await.unwrap();
        let id = if expired.is_empty() { "sale-20" } else { "sale-19" };
        let decision = shop.accrue(sale(id, 0, after + 1)).await;
        assert_eq!(decision.expired_points, 9);
        expired.push(decision.position.unwrap());
    }
    let (mut said, mut code) = (Vec::new(), String::new());
    for (line, after) in lines.iter().zip(10..) {
        let words: Vec<String> = words(line)
            .into_iter()
            .skip(1)
            .map(|word| match word.as_str() {
                "41" => expired[0].to_string(),
                "7K3M9QX2B5DFG8HJ" => code.clone(),
                _ => word,
            })
            .collect();
        let (status, printed) = run(&shop, &words, begin + after);
        assert_eq!(status, 0, "{line}\n{printed}");
        let answer: serde_json::Value = serde_json::from_str(&printed).unwrap();
        if let Some(voucher) = answer["vouchers"].as_array().and_then(|vouchers| vouchers.first()) {
            code = voucher["voucher_code"].as_str().unwrap().to_owned();
            said.push(format!("voucher {}", voucher["event"]));
            continue;
        }
        said.push(match answer["held"].as_array() {
            Some(held) => format!("{} held", held.len()),
            None => format!("balance {}", answer["balance_points"]),
        });
    }
    let balances = ["balance 100", "balance 70", "balance 79", "balance 88", "balance 138", "balance 118"];
    let vouchers = ["voucher \"given\"", "voucher \"cancelled\""];
    assert_eq!(said, [&["2 held", "2 held"], &balances[..], &vouchers].concat());
    // Again: as before, and a review of what is reviewed is refused.
    let words_of = |line: &str| words(line).into_iter().skip(1).collect::<Vec<_>>();
    let (status, printed) = run(&shop, &words_of(lines[2]), begin + 30);
    assert!(status == 0 && printed.contains("\"replayed\": true"), "{printed}");
    let (status, printed) = run(&shop, &words_of(&lines[2].replace("release", "reject")), begin + 31);
    assert!(status == 65 && printed.contains("tallystick errors show 20"), "{printed}");
    assert_eq!(shop.balance("member-7").await, 118);
    for line in of_fraud {
        let (status, printed) = run(&shop, &words_of(line), begin + 40);
        assert_eq!(status, 0, "{line}\n{printed}");
        let answer: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert!(answer["changed"] == true || answer.as_object().is_some_and(|fields| fields.len() < 4), "{printed}");
    }
}
