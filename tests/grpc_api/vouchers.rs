//! Vouchers through the wire: what is told of one from the basket that gives it to the one that uses it, and that of all who
//! try at once one uses it.

use tallystick::config::Config;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::{self, RefusalCode, RetryAdvice, TransactionKind, VoucherEvent, VoucherState};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

/// The plain programme with a voucher for each basket of 10.00, and one for the next day.
fn program() -> String {
    let vouchers = "\n[[vouchers]]\nname = \"three-off\"\nvalue_minor = 300\nvalid_days = 14\nbasket_minor_min = 500\n\n\
                    [[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nstarts = \"next-day\"\nvalid_hours = 48\n\n\
                    [[bonuses]]\nname = \"next-time\"\nvoucher = \"three-off\"\nwhen = { eligible_minor_min = 1_000 }\n";
    format!("{}{vouchers}", plain_program(&[]))
}

/// A basket that uses vouchers.
fn using(id: &str, account_id: &str, amount_minor: i64, codes: &[&str]) -> wire::AccrueRequest {
    let mut request = accrual(id, account_id, amount_minor);
    let basket = request.basket.as_mut().unwrap();
    basket.voucher_codes = codes.iter().map(|code| (*code).to_owned()).collect();
    request
}

fn remark() -> Option<wire::Remark> {
    Some(wire::Remark { reason_code: "complaint".to_owned(), operator: "ada".to_owned(), ..<_>::default() })
}

fn issue(id: &str, account_id: &str, voucher: &str) -> wire::IssueVoucherRequest {
    let (transaction_id, account_id, voucher) = (id.to_owned(), account_id.to_owned(), voucher.to_owned());
    wire::IssueVoucherRequest { transaction_id, account_id, voucher, remark: remark(), posting_time: None }
}

fn cancel(id: &str, account_id: &str, code: &str) -> wire::CancelVoucherRequest {
    let (transaction_id, account_id, voucher_code) = (id.to_owned(), account_id.to_owned(), code.to_owned());
    wire::CancelVoucherRequest { transaction_id, account_id, voucher_code, remark: remark(), posting_time: None }
}

struct Cafe {
    shop: Shop,
    desk: OperatorServiceClient<Channel>,
}

impl Cafe {
    async fn open() -> Self {
        let shop = Shop::open_under(&program()).await;
        let desk = OperatorServiceClient::new(connect(&shop.running).await);
        Self { shop, desk }
    }

    /// Buys enough for a voucher; its code.
    async fn earn(&mut self, id: &str, account_id: &str) -> String {
        let decision = self.shop.accrue(accrual(id, account_id, 1_000)).await;
        let [note] = decision.vouchers.as_slice() else { panic!("{decision:?}") };
        assert_eq!(note.event(), VoucherEvent::Given);
        note.voucher_code.clone()
    }

    async fn issue(&mut self, request: wire::IssueVoucherRequest) -> wire::Decision {
        self.desk.issue_voucher(request).await.unwrap().into_inner().decision.unwrap()
    }

    async fn cancel(&mut self, request: wire::CancelVoucherRequest) -> wire::Decision {
        self.desk.cancel_voucher(request).await.unwrap().into_inner().decision.unwrap()
    }

    async fn quote(&mut self, account_id: &str, amount_minor: i64, code: &str) -> wire::Decision {
        let basket = using("", account_id, amount_minor, &[code]).basket;
        let request = wire::QuoteRequest { account_id: account_id.to_owned(), basket, ..<_>::default() };
        self.shop.ledger.quote(request).await.unwrap().into_inner().decision.unwrap()
    }

    async fn vouchers(&mut self, account_id: &str) -> Vec<wire::AccountVoucher> {
        let request = wire::GetAccountRequest { account_id: account_id.to_owned(), ..<_>::default() };
        self.shop.account.get_account(request).await.unwrap().into_inner().vouchers
    }

    async fn states(&mut self, account_id: &str) -> Vec<VoucherState> {
        self.vouchers(account_id).await.iter().map(wire::AccountVoucher::state).collect()
    }

    async fn transaction(&mut self, id: &str) -> wire::Transaction {
        let request = wire::GetTransactionRequest { transaction_id: id.to_owned() };
        self.shop.ledger.get_transaction(request).await.unwrap().into_inner().transaction.unwrap()
    }

    async fn told(&mut self, id: &str) -> Vec<String> {
        let request = wire::ExplainTransactionRequest { transaction_id: id.to_owned(), ..<_>::default() };
        self.shop.ledger.explain_transaction(request).await.unwrap().into_inner().sentences
    }
}

fn events(decision: &wire::Decision) -> Vec<(VoucherEvent, &str)> {
    decision.vouchers.iter().map(|note| (note.event(), note.voucher_code.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_comes_with_a_purchase_and_is_used_with_a_later_one() {
    let mut cafe = Cafe::open().await;
    let request = wire::QuoteRequest { basket: Some(basket("", 1_000)), ..<_>::default() };
    let quoted = cafe.shop.ledger.quote(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(events(&quoted), [(VoucherEvent::Given, "")], "what would be given has no code");
    let decision = cafe.shop.accrue(accrual("t1", "anna", 1_000)).await;
    let note = decision.vouchers[0].clone();
    assert_eq!((note.event(), &*note.voucher, note.basket_minor_min), (VoucherEvent::Given, "three-off", 500));
    assert_eq!(note.start_time, decision.posting_time);
    let again = cafe.shop.accrue(accrual("t1", "anna", 1_000)).await;
    assert!(again.replayed && again.vouchers == decision.vouchers, "{again:?}");
    let code = note.voucher_code.as_str();
    assert!(code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{code}");
    let [voucher] = cafe.vouchers("anna").await.try_into().unwrap();
    let told = (voucher.voucher_code.as_str(), voucher.voucher.as_str(), voucher.state(), voucher.basket_minor_min);
    assert_eq!(told, (code, "three-off", VoucherState::Open, 500));
    assert_eq!((voucher.start_time, voucher.expire_time), (note.start_time, note.expire_time));
    assert_eq!(voucher.worth, Some(wire::account_voucher::Worth::ValueMinor(300)));

    assert_eq!(events(&cafe.quote("anna", 700, code).await), [(VoucherEvent::Used, code)]);
    assert_eq!(refusal(&cafe.quote("anna", 499, code).await), RefusalCode::VoucherMinimumNotReached);
    assert_eq!(refusal(&cafe.quote("ben", 700, code).await), RefusalCode::VoucherUnknown);
    assert_eq!(cafe.states("anna").await, [VoucherState::Open], "a quote uses none");
    let lower = code.to_lowercase();
    let used = cafe.shop.accrue(using("t2", "anna", 700, &[&lower])).await;
    assert_eq!((used.granted_points, events(&used)), (7, vec![(VoucherEvent::Used, code)]));
    let same = cafe.shop.accrue(using("t2", "anna", 700, &[code])).await;
    assert!(same.replayed && same.vouchers == used.vouchers, "{same:?}");
    let other = cafe.shop.accrue(accrual("t2", "anna", 700)).await.refusal.unwrap();
    assert_eq!((other.code(), &*other.field), (RefusalCode::TransactionIdReused, "basket.voucher_codes"));
    let refused = cafe.shop.accrue(using("t3", "anna", 700, &[code])).await.refusal.unwrap();
    assert_eq!((refused.code(), refused.journaled), (RefusalCode::VoucherUsed, false));
    assert_eq!(refused.retry_advice(), RetryAdvice::Never);
    // It used up neither the id nor the receipt.
    assert_eq!(cafe.shop.accrue(accrual("t3", "anna", 700)).await.granted_points, 7);

    let stored = cafe.transaction("t2").await;
    assert_eq!(
        (stored.kind(), stored.basket.unwrap().voucher_codes),
        (TransactionKind::Accrual, vec![code.to_owned()])
    );
    assert_eq!(stored.decision.unwrap().vouchers, used.vouchers);
    let given = format!("The voucher three-off was given, with the code {code}.");
    assert!(cafe.told("t1").await.contains(&given), "{:?}", cafe.told("t1").await);
    assert!(cafe.told("t2").await.contains(&format!("The voucher {code} was used.")), "{:?}", cafe.told("t2").await);

    let back = cafe.shop.reverse("r2", "t2").await;
    assert_eq!(events(&back), [(VoucherEvent::GivenBack, code)]);
    assert!(cafe.told("r2").await.contains(&format!("The voucher {code} can be used again.")));
    assert_eq!(events(&cafe.shop.accrue(using("t4", "anna", 700, &[code])).await), [(VoucherEvent::Used, code)]);
    assert_eq!(events(&cafe.shop.reverse("r1", "t1").await), [(VoucherEvent::Kept, code)]);
    assert_eq!(cafe.states("anna").await, [VoucherState::Used]);
    let second = cafe.earn("t5", "anna").await;
    assert_eq!(events(&cafe.shop.reverse("r5", "t5").await), [(VoucherEvent::Cancelled, second.as_str())]);
    assert_eq!(refusal(&cafe.shop.accrue(using("t6", "anna", 700, &[&second])).await), RefusalCode::VoucherCancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_a_voucher_and_cancels_it() {
    let mut cafe = Cafe::open().await;
    assert_eq!(refusal(&cafe.issue(issue("v0", "anna", "coffee")).await), RefusalCode::AccountUnknown);
    cafe.shop.accrue(accrual("t1", "anna", 100)).await;
    let given = cafe.issue(issue("v1", "anna", "coffee")).await;
    let code = given.vouchers[0].voucher_code.clone();
    assert_eq!((events(&given), given.balance_points), (vec![(VoucherEvent::Given, code.as_str())], 1));
    assert!(cafe.issue(issue("v1", "anna", "coffee")).await.replayed);
    let reused = cafe.issue(issue("v1", "anna", "three-off")).await.refusal.unwrap();
    assert_eq!((reused.code(), &*reused.field), (RefusalCode::TransactionIdReused, "voucher"));
    let early = cafe.shop.accrue(using("t2", "anna", 100, &[&code])).await.refusal.unwrap();
    assert_eq!((early.code(), early.retry_advice()), (RefusalCode::VoucherNotYetValid, RetryAdvice::SameId));
    let stored = cafe.transaction("v1").await;
    assert_eq!((stored.kind(), stored.account_id.as_str()), (TransactionKind::Voucher, "anna"));
    assert_eq!(stored.remark.unwrap().reason_code, "complaint");

    let cancelled = cafe.cancel(cancel("c1", "anna", &code)).await;
    assert_eq!(events(&cancelled), [(VoucherEvent::Cancelled, code.as_str())]);
    assert!(cafe.cancel(cancel("c1", "anna", &code)).await.replayed);
    assert_eq!(cafe.transaction("c1").await.kind(), TransactionKind::VoucherCancellation);
    assert!(cafe.told("c1").await.contains(&format!("The voucher {code} was cancelled.")));
    assert_eq!(refusal(&cafe.cancel(cancel("c2", "anna", &code)).await), RefusalCode::VoucherCancelled);
    assert_eq!(refusal(&cafe.cancel(cancel("c2", "ben", &code)).await), RefusalCode::VoucherUnknown);
    assert_eq!(refusal(&cafe.cancel(cancel("c2", "anna", "0000000000000000")).await), RefusalCode::VoucherUnknown);
    assert_eq!(cafe.states("anna").await, [VoucherState::Cancelled]);

    let unknown = cafe.desk.issue_voucher(issue("v2", "anna", "cake")).await.unwrap_err();
    assert_eq!((unknown.code(), wrong_fields(&unknown)), (Code::InvalidArgument, vec!["voucher".to_owned()]));
    let wrong = cafe.desk.cancel_voucher(cancel("", "", "short")).await.unwrap_err();
    assert_eq!(wrong_fields(&wrong), ["voucher_code", "transaction_id", "account_id"]);
    let bare = wire::IssueVoucherRequest { remark: None, ..issue("v3", "anna", "") };
    assert_eq!(wrong_fields(&cafe.desk.issue_voucher(bare).await.unwrap_err()), ["voucher", "remark.reason_code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_checked_before_anything_else() {
    let mut cafe = Cafe::open().await;
    let code = "0123456789ABCDEF";
    let rows: [(&[&str], &[&str]); 3] = [
        (&["x", code], &["basket.voucher_codes[0]"]),
        (&[code, "0123456789abcdef"], &["basket.voucher_codes[1]"]),
        (&[code, "1", "2", "3", "4"], &["basket.voucher_codes"]),
    ];
    for (codes, fields) in rows {
        let status = cafe.shop.ledger.accrue(using("t1", "anna", 700, codes)).await.unwrap_err();
        assert_eq!(wrong_fields(&status), fields, "{codes:?}");
    }
    assert_eq!(refusal(&cafe.shop.accrue(using("t1", "anna", 700, &[code])).await), RefusalCode::VoucherUnknown);
}

/// Four tills present one voucher at once, each with a basket of its own: one of them uses it, whichever way it asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_tills_at_once_one_uses_a_voucher() {
    let mut cafe = Cafe::open().await;
    for round in 0..20 {
        let code = cafe.earn(&format!("g{round}"), "anna").await;
        let mut tills = tokio::task::JoinSet::new();
        for till in 0..4 {
            let mut ledger = LedgerServiceClient::new(connect(&cafe.shop.running).await);
            let request = using(&format!("u{round}-{till}"), "anna", 500, &[&code]);
            tills.spawn(async move {
                if till % 2 == 0 {
                    return ledger.accrue(request).await.unwrap().into_inner().decision.unwrap();
                }
                let requests = vec![request];
                let batch = ledger.accrue_batch(wire::AccrueBatchRequest { requests }).await.unwrap().into_inner();
                batch.decisions.into_iter().next().unwrap()
            });
        }
        let decisions = tills.join_all().await;
        let (used, refused): (Vec<_>, Vec<_>) = decisions.iter().partition(|decision| decision.refusal.is_none());
        assert_eq!(used.len(), 1, "{decisions:?}");
        assert_eq!(events(used[0]), [(VoucherEvent::Used, code.as_str())]);
        assert!(refused.iter().all(|decision| refusal(decision) == RefusalCode::VoucherUsed), "{decisions:?}");
    }
    assert_eq!(cafe.states("anna").await, [VoucherState::Used; 20]);
}

/// Vouchers are there after a restart, and so is who used them.
#[tokio::test(flavor = "multi_thread")]
async fn vouchers_survive_a_restart() {
    let mut cafe = Cafe::open().await;
    let codes = [cafe.earn("t1", "anna").await, cafe.earn("t2", "anna").await];
    cafe.shop.admin.take_snapshot(wire::TakeSnapshotRequest {}).await.unwrap();
    cafe.shop.accrue(using("u1", "anna", 500, &[&codes[0]])).await;
    let before = cafe.vouchers("anna").await;
    let shop = cafe.shop.reopen(Config { program: Some(program_file(&program())), ..config() }).await;
    let desk = OperatorServiceClient::new(connect(&shop.running).await);
    let mut cafe = Cafe { shop, desk };
    assert_eq!(cafe.vouchers("anna").await, before);
    assert_eq!(refusal(&cafe.shop.accrue(using("u2", "anna", 500, &[&codes[0]])).await), RefusalCode::VoucherUsed);
    assert_eq!(cafe.shop.accrue(using("u2", "anna", 500, &[&codes[1]])).await.refusal, None);
}
