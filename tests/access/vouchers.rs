//! Who may give vouchers and cancel them, and whose they are.

use tallystick::access::grant::{Grant, Role};
use tallystick::config::Config;
use tallystick::service::wire::account_service_client::AccountServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tonic::Status;

use crate::shop::{accrual, plain_program, program_file, refusal};
use crate::support::{House, assert_forbidden, config, grant, with_key};

fn program() -> String {
    let vouchers = "\n[[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nvalid_days = 14\n\n\
                    [[bonuses]]\nname = \"next-time\"\nvoucher = \"coffee\"\n";
    format!("{}{vouchers}", plain_program(&[]))
}

struct Cafe(House);

impl Cafe {
    async fn open() -> Self {
        let config = Config { program: Some(program_file(&program())), ..config() };
        Self(House::open_on(std::sync::Arc::new(tallystick::store::memory::MemoryStore::new()), config).await)
    }

    /// Buys something of 3.00 that may use vouchers.
    async fn accrue(&self, key: &str, id: &str, codes: &[&str]) -> wire::Decision {
        let mut request = accrual(id, "m1", 300);
        let basket = request.basket.as_mut().unwrap();
        basket.voucher_codes = codes.iter().map(|code| (*code).to_owned()).collect();
        let mut ledger = LedgerServiceClient::new(self.0.channel().await);
        ledger.accrue(with_key(key, request)).await.unwrap().into_inner().decision.unwrap()
    }

    async fn issue(&self, key: &str, id: &str) -> Result<wire::Decision, Status> {
        let remark = Some(wire::Remark { reason_code: "complaint".to_owned(), ..<_>::default() });
        let (transaction_id, account_id, voucher) = (id.to_owned(), "m1".to_owned(), "coffee".to_owned());
        let request = wire::IssueVoucherRequest { transaction_id, account_id, voucher, remark, posting_time: None };
        let mut desk = OperatorServiceClient::new(self.0.channel().await);
        Ok(desk.issue_voucher(with_key(key, request)).await?.into_inner().decision.unwrap())
    }

    async fn cancel(&self, key: &str, id: &str, code: &str) -> Result<wire::Decision, Status> {
        let remark = Some(wire::Remark { reason_code: "complaint".to_owned(), ..<_>::default() });
        let (transaction_id, account_id, voucher_code) = (id.to_owned(), "m1".to_owned(), code.to_owned());
        let request =
            wire::CancelVoucherRequest { transaction_id, account_id, voucher_code, remark, posting_time: None };
        let mut desk = OperatorServiceClient::new(self.0.channel().await);
        Ok(desk.cancel_voucher(with_key(key, request)).await?.into_inner().decision.unwrap())
    }

    async fn listed(&self, key: &str) -> usize {
        let request = wire::GetAccountRequest { account_id: "m1".to_owned(), ..<_>::default() };
        let mut accounts = AccountServiceClient::new(self.0.channel().await);
        accounts.get_account(with_key(key, request)).await.unwrap().into_inner().vouchers.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_desk_alone_gives_and_cancels_its_vouchers() {
    let cafe = Cafe::open().await;
    let key = |role, partner: &'static str| cafe.0.key(grant(role, partner, &[]));
    let (till, office) =
        (cafe.0.key(grant(Role::Till, "north", &["store-1"])).await, key(Role::BackOffice, "north").await);
    let (desk, others) = (key(Role::Operator, "north").await, key(Role::Operator, "south").await);
    let runner = cafe.0.key(Grant { partner: "".into(), ..grant(Role::Operator, "", &[]) }).await;
    let abroad = key(Role::BackOffice, "south").await;
    let auditor = cafe.0.key(Grant { partner: "".into(), ..grant(Role::Auditor, "", &[]) }).await;
    let code = cafe.accrue(&till, "t1", &[]).await.vouchers.remove(0).voucher_code;
    for nobody in [&till, &office, &runner, &abroad, &auditor] {
        assert_forbidden(cafe.issue(nobody, "v1").await);
        assert_forbidden(cafe.cancel(nobody, "c1", &code).await);
    }
    // Another partner's voucher looks as if it did not exist, to a desk, a till and whoever reads the account.
    assert_eq!(refusal(&cafe.cancel(&others, "c1", &code).await.unwrap()), RefusalCode::VoucherUnknown);
    assert_eq!(refusal(&cafe.accrue(&abroad, "t2", &[&code]).await), RefusalCode::VoucherUnknown);
    assert_eq!((cafe.listed(&office).await, cafe.listed(&abroad).await, cafe.listed(&auditor).await), (1, 0, 1));
    let theirs = cafe.issue(&others, "v1").await.unwrap().vouchers.remove(0).voucher_code;
    let ours = cafe.issue(&desk, "v1").await.unwrap().vouchers.remove(0).voucher_code;
    assert_ne!(ours, theirs, "one id of two partners");
    assert_eq!((cafe.listed(&office).await, cafe.listed(&abroad).await, cafe.listed(&auditor).await), (2, 1, 3));
    assert_eq!(refusal(&cafe.accrue(&till, "t3", &[&theirs]).await), RefusalCode::VoucherUnknown);
    assert_eq!(cafe.cancel(&desk, "c1", &code).await.unwrap().refusal, None);
    assert_eq!(cafe.accrue(&till, "t4", &[&ours]).await.refusal, None);
    assert_eq!(cafe.accrue(&abroad, "t5", &[&theirs]).await.refusal, None);
}
