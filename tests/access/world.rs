//! Two partners with all that calls can name: accounts, transactions of every kind, vouchers, freezes, proposals, keys.
//! Each is made afresh for the call that names it, for many calls use up what they name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;
use tallystick::access::grant::{Grant, Role};
use tallystick::access::keys::KeyIssue;
use tallystick::access::proposals::{Act, SecondPerson};
use tallystick::config::Config;
use tallystick::service::wire::freeze_subject::Subject;
use tallystick::service::wire::{self, TransactionKind};
use tallystick::store::Store;
use tallystick::store::memory::MemoryStore;
use tonic::Status;
use tonic::transport::Channel;

use crate::shop::{accrual, basket, now_seconds, plain_program, program_file, time};
use crate::support::{House, call, config, grant};

const HOUR_NS: i64 = 3_600_000_000_000;

/// Whose something is, as seen by a caller of the partner north that is held to the first store, or by none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Own,
    OtherStore,
    OtherPartner,
}

/// What a call names, and what therefore has to be there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An account with a card, whose basket the partner brought at the store.
    Account,
    /// The basket.
    Accrual,
    Burn,
    TopUp,
    Authorization,
    /// A basket that a cap holds.
    Held,
    /// Points that died.
    Expiry,
    Voucher,
    FrozenAccount,
    FrozenTerminal,
    FrozenCashier,
    Adjustment,
    Publication,
    ProposedKey,
    Key,
}

/// The names that a request can have.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub partner: String,
    pub store_id: String,
    pub terminal_id: String,
    pub cashier_id: String,
    pub account_id: String,
    pub card: String,
    /// The transaction that the call is about.
    pub transaction_id: String,
    pub voucher_code: String,
    pub key_id: String,
    pub proposal_id: i64,
    pub position: i64,
    /// An id that nobody has used.
    pub fresh: String,
}

impl Names {
    /// The same, but for the thing, which nobody has.
    pub fn without(&self, thing: Thing, fresh: String) -> Self {
        let none = format!("none-{fresh}");
        let absent = Self { fresh, ..self.clone() };
        match thing {
            Thing::Account => Self {
                partner: none.clone(),
                store_id: none.clone(),
                account_id: none.clone(),
                card: none.clone(),
                transaction_id: none,
                ..absent
            },
            Thing::Accrual | Thing::Burn | Thing::TopUp | Thing::Authorization | Thing::Held => {
                Self { transaction_id: none, ..absent }
            }
            Thing::Expiry => Self { position: i64::MAX, transaction_id: none, ..absent },
            Thing::Voucher => Self { voucher_code: "A".repeat(16), ..absent },
            Thing::FrozenAccount | Thing::FrozenTerminal | Thing::FrozenCashier => absent,
            Thing::Adjustment | Thing::Publication | Thing::ProposedKey => Self { proposal_id: 1_000_000, ..absent },
            Thing::Key => Self { key_id: "0".repeat(16), ..absent },
        }
    }

    pub fn basket(&self) -> wire::Basket {
        wire::Basket {
            terminal_id: self.terminal_id.clone(),
            cashier_id: self.cashier_id.clone(),
            member_id: "ann".to_owned(),
            ..self.basket_at(&self.store_id)
        }
    }

    /// A basket of 5.00 at a store.
    pub fn basket_at(&self, store: &str) -> wire::Basket {
        wire::Basket { store_id: store.to_owned(), ..basket(&self.fresh, 500) }
    }

    pub fn identifier(&self) -> Option<wire::AccountIdentifier> {
        Some(wire::AccountIdentifier { kind: "card".to_owned(), value: self.card.clone() })
    }

    fn subject(&self, thing: Thing) -> Option<wire::FreezeSubject> {
        let (partner, store_id) = (self.partner.clone(), self.store_id.clone());
        let (terminal_id, cashier_id) = (self.terminal_id.clone(), self.cashier_id.clone());
        let subject = match thing {
            Thing::FrozenTerminal => Subject::Terminal(wire::FreezableTerminal { partner, store_id, terminal_id }),
            Thing::FrozenCashier => Subject::Cashier(wire::FreezableCashier { partner, cashier_id }),
            _ => Subject::AccountId(self.account_id.clone()),
        };
        Some(wire::FreezeSubject { subject: Some(subject) })
    }

    pub fn freeze(&self, thing: Thing) -> wire::FreezeRequest {
        wire::FreezeRequest { subject: self.subject(thing), reason_code: "shared".to_owned(), note: String::new() }
    }

    pub fn thaw(&self, thing: Thing) -> wire::ThawRequest {
        wire::ThawRequest { subject: self.subject(thing), reason_code: "cleared".to_owned(), note: String::new() }
    }
}

pub fn remark() -> Option<wire::Remark> {
    Some(wire::Remark { reason_code: "cleared".to_owned(), operator: "ada".to_owned(), ..<_>::default() })
}

/// North has two stores and south one; east is nobody that the programme names.
pub fn program() -> String {
    let partner = |name: &str, stores: &str| {
        let rights = "[{ wallet = \"points\" }, { wallet = \"money\" }]";
        format!(
            "\n[[partners]]\nname = \"{name}\"\nstores = [{stores}]\nearns = {rights}\nburns = {rights}\n\
             funding_rate_bps = 5_000\nredemption_rate_bps = 4_000\n\n\
             [[budgets]]\nname = \"of-{name}\"\npartner = \"{name}\"\nunits = 90_000\n"
        )
    };
    let money = "[[wallets]]\nname = \"money\"\nkind = \"money\"\nscale = 2\n\n[earn]";
    let rest = "\n[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 60\nover = \"hold\"\n\n\
                [[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nvalid_days = 14\n";
    let partners = partner("north", "{ name = \"store-1\" }, { name = \"store-2\" }")
        + &partner("south", "{ name = \"store-9\" }");
    plain_program(&[("[earn]", money)]) + &partners + rest
}

/// The keys of those who make things.
struct Makers {
    gateway: String,
    office: String,
    desk: String,
}

pub struct World {
    pub house: House,
    channel: Channel,
    made: AtomicU64,
    north: Makers,
    south: Makers,
    operator: String,
    owner: String,
    admin: String,
}

impl World {
    pub async fn open() -> Self {
        Self::open_on(Arc::new(MemoryStore::new()), config()).await
    }

    pub async fn open_on(store: Arc<dyn Store>, config: Config) -> Self {
        let file = program_file(&program());
        // Freezes do not wait, so that one person makes them.
        let second_person = SecondPerson { acts: vec![Act::Adjust, Act::Publish, Act::Keys], wait_ns: HOUR_NS };
        let config = Config { program: Some(file.clone()), second_person, ..config };
        let house = House::open_on(store, config).await;
        std::fs::remove_file(file).unwrap();
        let makers = async |partner: &str| Makers {
            gateway: house.key(grant(Role::Gateway, partner, &[])).await,
            office: house.key(grant(Role::BackOffice, partner, &[])).await,
            desk: house.key(grant(Role::Operator, partner, &[])).await,
        };
        let (north, south) = (makers("north").await, makers("south").await);
        let of_role = async |role| house.key(Grant::of_role(role)).await;
        let (operator, owner) = (of_role(Role::Operator).await, of_role(Role::ProgramOwner).await);
        let admin = of_role(Role::Administrator).await;
        let channel = house.channel().await;
        Self { channel, made: AtomicU64::new(0), north, south, operator, owner, admin, house }
    }

    /// An id that nobody has used.
    pub fn fresh(&self) -> String {
        format!("{:05}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a call; the first message of the answer.
    pub async fn tell(&self, method: &str, key: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path = format!("/tallystick.v1.{method}");
        call(&self.channel, &path, Some(key), message).await.map(Vec::from)
    }

    /// Makes a call that is answered.
    async fn done<A: Message + Default>(&self, method: &str, key: &str, message: &impl Message) -> A {
        let answer = self.tell(method, key, message.encode_to_vec()).await;
        A::decode(&*answer.unwrap_or_else(|status| panic!("{method}: {status:?}"))).unwrap()
    }

    /// A thing, and everything else that may be named with it.
    pub async fn make(&self, thing: Thing, whose: Whose) -> Names {
        let (makers, partner, store) = match whose {
            Whose::Own => (&self.north, "north", "store-1"),
            Whose::OtherStore => (&self.north, "north", "store-2"),
            Whose::OtherPartner => (&self.south, "south", "store-9"),
        };
        let number = self.fresh();
        let mut names = Names {
            partner: partner.to_owned(),
            store_id: store.to_owned(),
            terminal_id: format!("till-{number}"),
            cashier_id: format!("kim-{number}"),
            account_id: format!("account-{number}"),
            card: format!("card-{number}"),
            transaction_id: format!("sale-{number}"),
            voucher_code: "A".repeat(16),
            key_id: "0".repeat(16),
            fresh: self.fresh(),
            ..Names::default()
        };
        let mut sale = accrual(&names.transaction_id, &names.account_id, 500);
        sale.basket.as_mut().unwrap().store_id = store.to_owned();
        let sold: wire::AccrueResponse = self.done("LedgerService/Accrue", &makers.gateway, &sale).await;
        let sold = sold.decision.unwrap();
        assert_eq!(sold.granted_points, 5, "{sold:?}");
        names.position = sold.position.unwrap();
        let link = wire::LinkIdentifierRequest {
            transaction_id: format!("link-{number}"),
            account_id: names.account_id.clone(),
            identifier: names.identifier(),
            posting_time: None,
        };
        let linked: wire::LinkIdentifierResponse =
            self.done("AccountService/LinkIdentifier", &makers.gateway, &link).await;
        assert_eq!(linked.decision.unwrap().refusal, None);
        self.add(thing, makers, &mut names).await;
        names
    }

    async fn add(&self, thing: Thing, makers: &Makers, names: &mut Names) {
        let (transaction_id, account_id) = (format!("of-{}", names.account_id), names.account_id.clone());
        match thing {
            Thing::Account | Thing::Accrual => return,
            Thing::Burn => {
                let request = wire::RedeemRequest {
                    transaction_id: transaction_id.clone(),
                    account_id,
                    points: 2,
                    ..<_>::default()
                };
                let answer: wire::RedeemResponse = self.done("LedgerService/Redeem", &makers.gateway, &request).await;
                assert_eq!(answer.decision.unwrap().redeemed_points, 2);
            }
            Thing::TopUp => {
                let request = wire::TopUpRequest {
                    transaction_id: transaction_id.clone(),
                    account_id,
                    wallet: "money".to_owned(),
                    amount_minor: 1_000,
                    source: format!("psp-{}", names.fresh),
                    store_id: names.store_id.clone(),
                    ..<_>::default()
                };
                let answer: wire::TopUpResponse = self.done("LedgerService/TopUp", &makers.gateway, &request).await;
                assert_eq!(answer.decision.unwrap().granted_points, 1_000);
            }
            Thing::Authorization => {
                let request = wire::AuthorizeRequest {
                    transaction_id: transaction_id.clone(),
                    account_id,
                    points: 2,
                    ..<_>::default()
                };
                let answer: wire::AuthorizeResponse =
                    self.done("LedgerService/Authorize", &makers.gateway, &request).await;
                assert_eq!(answer.decision.unwrap().authorized_points, 2);
            }
            Thing::Held => {
                let mut request = accrual(&transaction_id, &account_id, 7_000);
                request.basket.as_mut().unwrap().store_id = names.store_id.clone();
                let answer: wire::AccrueResponse = self.done("LedgerService/Accrue", &makers.gateway, &request).await;
                assert!(answer.decision.unwrap().held_for_review.is_some());
            }
            Thing::Expiry => {
                names.position = self.expiry(makers, &account_id, &transaction_id).await;
                return;
            }
            Thing::Voucher => {
                let request = wire::IssueVoucherRequest {
                    transaction_id,
                    account_id,
                    voucher: "coffee".to_owned(),
                    remark: remark(),
                    posting_time: None,
                };
                let answer: wire::IssueVoucherResponse =
                    self.done("OperatorService/IssueVoucher", &makers.desk, &request).await;
                names.voucher_code = answer.decision.unwrap().vouchers.remove(0).voucher_code;
                return;
            }
            Thing::FrozenAccount | Thing::FrozenTerminal | Thing::FrozenCashier => {
                let freeze = names.freeze(thing);
                let answer: wire::FreezeResponse = self.done("FraudService/Freeze", &self.operator, &freeze).await;
                assert!(answer.changed);
                return;
            }
            Thing::Adjustment | Thing::Publication | Thing::ProposedKey => {
                names.proposal_id = self.proposal(thing, makers, &account_id, &transaction_id).await.proposal_id;
            }
            Thing::Key => {
                let (id, _) = self.house.key_until(grant(Role::Gateway, &names.partner, &[]), KeyIssue::NEVER).await;
                names.key_id = id.to_string();
                return;
            }
        }
        names.transaction_id = transaction_id;
    }

    /// Where points of an account died.
    async fn expiry(&self, makers: &Makers, account_id: &str, transaction_id: &str) -> i64 {
        let lot = wire::OpeningLot { points: 7, expire_time: time(1_700_000_000), ..<_>::default() };
        let load = wire::LoadOpeningBalanceRequest {
            transaction_id: transaction_id.to_owned(),
            account_id: account_id.to_owned(),
            lots: vec![lot],
            ..<_>::default()
        };
        let loaded: wire::LoadOpeningBalanceResponse =
            self.done("AccountService/LoadOpeningBalance", &makers.office, &load).await;
        assert_eq!(loaded.decision.unwrap().refusal, None);
        // The ledger posts the death of what was dead when it came, once it has nothing else to do.
        let list = wire::ListTransactionsRequest { account_id: account_id.to_owned(), ..<_>::default() };
        loop {
            let listed: wire::ListTransactionsResponse =
                self.done("LedgerService/ListTransactions", &makers.office, &list).await;
            let mut expiries = listed.transactions.into_iter().filter(|one| one.kind() == TransactionKind::Expiry);
            if let Some(expiry) = expiries.next() {
                return expiry.decision.unwrap().position.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn proposal(&self, thing: Thing, makers: &Makers, account_id: &str, id: &str) -> wire::PendingProposal {
        let pending = match thing {
            Thing::Publication => {
                let request = wire::PublishProgramRequest {
                    transaction_id: id.to_owned(),
                    source: program(),
                    effective_time: None,
                };
                self.done::<wire::PublishProgramResponse>("ProgramService/PublishProgram", &self.owner, &request)
                    .await
                    .pending
            }
            Thing::ProposedKey => {
                let grant = Some(wire::Grant { role: wire::Role::Auditor.into(), ..<_>::default() });
                let request = wire::CreateKeyRequest { name: id.to_owned(), grant, ..<_>::default() };
                self.done::<wire::CreateKeyResponse>("AccessService/CreateKey", &self.admin, &request).await.pending
            }
            _ => {
                let request = wire::AdjustBalanceRequest {
                    transaction_id: id.to_owned(),
                    account_id: account_id.to_owned(),
                    points: 1,
                    remark: remark(),
                    ..<_>::default()
                };
                self.done::<wire::AdjustBalanceResponse>("OperatorService/AdjustBalance", &makers.desk, &request)
                    .await
                    .pending
            }
        };
        pending.expect("it waits for a second person")
    }

    /// Puts many lots into an account, so that it takes its time to look at.
    pub async fn fill(&self, names: &Names) {
        let makers = if names.partner == "south" { &self.south } else { &self.north };
        let lot = |days: i64| wire::OpeningLot {
            points: 1,
            expire_time: time(now_seconds() + 86_400 * (10 + days)),
            ..<_>::default()
        };
        let load = wire::LoadOpeningBalanceRequest {
            transaction_id: self.fresh(),
            account_id: names.account_id.clone(),
            lots: (0..100).map(lot).collect(),
            ..<_>::default()
        };
        let loaded: wire::LoadOpeningBalanceResponse =
            self.done("AccountService/LoadOpeningBalance", &makers.office, &load).await;
        assert_eq!(loaded.decision.unwrap().refusal, None);
    }

    /// Rejects all that waits, so that there is room for more.
    pub async fn clear(&self) {
        for key in [&self.operator, &self.owner, &self.admin] {
            let list = wire::ListProposalsRequest { page_size: 500, ..<_>::default() };
            let listed: wire::ListProposalsResponse = self.done("ApprovalService/ListProposals", key, &list).await;
            for one in listed.proposals {
                let reject = wire::RejectProposalRequest { proposal_id: one.proposal_id, ..<_>::default() };
                let _: wire::RejectProposalResponse = self.done("ApprovalService/RejectProposal", key, &reject).await;
            }
        }
    }
}
