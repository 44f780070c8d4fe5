//! A second person: acts that wait, who confirms them, what becomes of them over a restart, and what the journal says.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tallystick::access::grant::{Grant, Role};
use tallystick::access::keys::KeyIssue;
use tallystick::access::proposals::{Act, SecondPerson};
use tallystick::audit::verify::{VerifyOptions, verify};
use tallystick::clock::{Clock, SystemClock};
use tallystick::config::Config;
use tallystick::ledger::types::TimestampNs;
use tallystick::service::wire;
use tallystick::service::wire::access_service_client::AccessServiceClient;
use tallystick::service::wire::approval_service_client::ApprovalServiceClient;
use tallystick::service::wire::confirm_proposal_response::Outcome;
use tallystick::service::wire::fraud_service_client::FraudServiceClient;
use tallystick::service::wire::freeze_subject::Subject;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::program_service_client::ProgramServiceClient;
use tallystick::service::wire::proposal;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::shop::{accrual, plain_program, program_file, refusal};
use crate::support::{House, assert_forbidden, assert_refused, call, config, grant, usual, with_key};

const HOUR_NS: i64 = 3_600_000_000_000;
const STATUS: &str = "/tallystick.v1.AdminService/GetStatus";

/// Everything waits.
pub fn careful() -> Config {
    Config { second_person: SecondPerson { acts: Act::ALL.to_vec(), wait_ns: HOUR_NS }, ..config() }
}

async fn house() -> House {
    House::open_on(std::sync::Arc::new(tallystick::store::memory::MemoryStore::new()), careful()).await
}

/// Somebody with a key, and what the key is called in the journal.
struct Person {
    key: String,
    name: String,
    approval: ApprovalServiceClient<Channel>,
}

impl Person {
    async fn of(house: &House, role: Role) -> Self {
        Self::with(house, usual(role)).await
    }

    /// Somebody at the service desk of a partner.
    async fn at_the_desk(house: &House, partner: &str) -> Self {
        Self::with(house, grant(Role::Operator, partner, &[])).await
    }

    async fn with(house: &House, grant: Grant) -> Self {
        let (id, key) = house.key_until(grant, KeyIssue::NEVER).await;
        let approval = ApprovalServiceClient::new(house.channel().await);
        Self { key, name: format!("key:{id}"), approval }
    }

    async fn confirm(&mut self, proposal_id: i64) -> Result<Outcome, Status> {
        let request = wire::ConfirmProposalRequest { proposal_id, note: "seen".to_owned() };
        let answer = self.approval.confirm_proposal(with_key(&self.key, request)).await?;
        Ok(answer.into_inner().outcome.unwrap())
    }

    async fn reject(&mut self, proposal_id: i64) -> Result<(), Status> {
        let request = wire::RejectProposalRequest { proposal_id, ..<_>::default() };
        self.approval.reject_proposal(with_key(&self.key, request)).await.map(drop)
    }

    async fn proposals(&mut self) -> Vec<wire::Proposal> {
        let request = with_key(&self.key, wire::ListProposalsRequest::default());
        self.approval.list_proposals(request).await.unwrap().into_inner().proposals
    }
}

fn adjustment(id: &str, points: i64) -> wire::AdjustBalanceRequest {
    let remark = wire::Remark {
        reason_code: "goodwill".to_owned(),
        operator: "ada".to_owned(),
        // What a caller claims to be is not what is on record.
        actor: "key:ffffffffffffffff".to_owned(),
        confirmer: "nobody".to_owned(),
        ..<_>::default()
    };
    wire::AdjustBalanceRequest {
        transaction_id: id.to_owned(),
        account_id: "m1".to_owned(),
        points,
        remark: Some(remark),
        ..<_>::default()
    }
}

/// An account that can be adjusted.
pub async fn open_account(house: &House) {
    let channel = house.channel().await;
    let gateway = house.key(usual(Role::Gateway)).await;
    let mut ledger = tallystick::service::wire::ledger_service_client::LedgerServiceClient::new(channel);
    let answer = ledger.accrue(with_key(&gateway, accrual("a", "m1", 1_000))).await.unwrap().into_inner();
    assert_eq!(answer.decision.unwrap().granted_points, 10);
}

async fn adjust(
    house: &House,
    person: &Person,
    request: wire::AdjustBalanceRequest,
) -> Result<wire::AdjustBalanceResponse, Status> {
    let mut operator = OperatorServiceClient::new(house.channel().await);
    operator.adjust_balance(with_key(&person.key, request)).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adjustment_waits_over_a_restart_and_is_done_by_two() {
    let house = house().await;
    open_account(&house).await;
    let mut anna = Person::at_the_desk(&house, "north").await;
    let asked = adjust(&house, &anna, adjustment("x", 7)).await.unwrap();
    let pending = asked.pending.unwrap();
    assert_eq!((asked.decision, pending.proposal_id), (None, 1));
    // Asked again it is the same proposal; with other content it is refused.
    assert_eq!(adjust(&house, &anna, adjustment("x", 7)).await.unwrap().pending, Some(pending));
    assert_refused(adjust(&house, &anna, adjustment("x", 8)).await, Code::AlreadyExists, "TRANSACTION_ID_REUSED");
    assert_refused(anna.confirm(1).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    let mut owner = Person::of(&house, Role::ProgramOwner).await;
    assert_eq!(owner.proposals().await, [], "it is not for this role");
    assert_refused(owner.confirm(1).await, Code::NotFound, "PROPOSAL_UNKNOWN");
    // Nor for another partner's desk; and who acts for no partner has nothing to adjust with.
    let mut south = Person::at_the_desk(&house, "south").await;
    assert_eq!(south.proposals().await, []);
    assert_refused(south.confirm(1).await, Code::NotFound, "PROPOSAL_UNKNOWN");
    let nobodys = Person::of(&house, Role::Operator).await;
    assert_forbidden(adjust(&house, &nobodys, adjustment("y", 7)).await);
    let auditor = Person::of(&house, Role::Auditor).await;
    let request = with_key(&auditor.key, wire::ConfirmProposalRequest { proposal_id: 1, ..<_>::default() });
    assert_forbidden(auditor.approval.clone().confirm_proposal(request).await);

    // A restart, once from the journal alone and once over a snapshot.
    drop((anna, owner, auditor, south, nobodys));
    let house = house.reopen_with(careful()).await;
    let engine = house.running.engine().clone();
    tokio::task::spawn_blocking(move || engine.snapshot().unwrap()).await.unwrap();
    let house = house.reopen_with(careful()).await;
    let mut ben = Person::at_the_desk(&house, "north").await;
    let waiting = ben.proposals().await;
    assert_eq!(waiting.len(), 1);
    let Some(proposal::Act::Adjustment(shown)) = &waiting[0].act else { panic!("{waiting:?}") };
    assert_eq!((shown.points, &*shown.account_id, waiting[0].expire_time), (7, "m1", pending.expire_time));
    let anna_is = waiting[0].actor.clone();

    let Outcome::Decision(decision) = ben.confirm(1).await.unwrap() else { panic!("it was an adjustment") };
    assert_eq!((decision.granted_points, decision.refusal), (7, None));
    assert_eq!(ben.proposals().await, []);
    assert_refused(ben.confirm(1).await, Code::NotFound, "PROPOSAL_UNKNOWN");
    // Whoever proposed it asks again, and gets the answer.
    let again = adjust(&house, &ben, adjustment("x", 7)).await.unwrap().decision.unwrap();
    assert!(again.replayed && again.granted_points == 7);

    // The record names both, whatever the caller claimed.
    let back_office = house.key(grant(Role::Auditor, "", &[])).await;
    let mut ledger = tallystick::service::wire::ledger_service_client::LedgerServiceClient::new(house.channel().await);
    let request = wire::ListTransactionsRequest { account_id: "m1".to_owned(), ..<_>::default() };
    let listed = ledger.list_transactions(with_key(&back_office, request)).await.unwrap().into_inner().transactions;
    let remark = listed.iter().find_map(|one| one.remark.clone()).expect("the adjustment is listed");
    assert_eq!((remark.actor, remark.confirmer, &*remark.operator), (anna_is, ben.name.clone(), "ada"));

    let store = house.store.clone();
    drop((ben, ledger));
    house.running.shutdown().await.unwrap();
    let report = verify(&store, &VerifyOptions::default(), &mut |_, _| ()).unwrap();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.records.proposals, report.records.operations), (2, 1));
    assert_eq!(report.record_count, report.end_position, "each record is counted once");
}

/// What is given by hand is given by two, be it points or a voucher.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_by_hand_waits_as_an_adjustment_does() {
    let voucher = "\n[[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nvalid_days = 14\n";
    let program = crate::shop::program_file(&format!("{}{voucher}", plain_program(&[])));
    let store = std::sync::Arc::new(tallystick::store::memory::MemoryStore::new());
    let house = House::open_on(store, Config { program: Some(program), ..careful() }).await;
    open_account(&house).await;
    let mut anna = Person::at_the_desk(&house, "north").await;
    let mut ben = Person::at_the_desk(&house, "north").await;
    let mut south = Person::at_the_desk(&house, "south").await;
    let mut desk = OperatorServiceClient::new(house.channel().await);
    let issue = |voucher: &str| wire::IssueVoucherRequest {
        transaction_id: "v".to_owned(),
        account_id: "m1".to_owned(),
        voucher: voucher.to_owned(),
        remark: adjustment("v", 1).remark,
        posting_time: None,
    };
    let unknown = desk.issue_voucher(with_key(&anna.key, issue("tea"))).await;
    assert_refused(unknown, Code::InvalidArgument, "INVALID_REQUEST");
    let asked = desk.issue_voucher(with_key(&anna.key, issue("coffee"))).await.unwrap().into_inner();
    let number = asked.pending.unwrap().proposal_id;
    assert_eq!(asked.decision, None);
    let waiting = ben.proposals().await;
    let Some(proposal::Act::Voucher(shown)) = &waiting[0].act else { panic!("{waiting:?}") };
    assert_eq!((&*shown.account_id, &*shown.voucher, &*waiting[0].partner), ("m1", "coffee", "north"));
    assert_refused(anna.confirm(number).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    assert_refused(south.confirm(number).await, Code::NotFound, "PROPOSAL_UNKNOWN");
    let Outcome::Decision(decision) = ben.confirm(number).await.unwrap() else { panic!("it was a voucher") };
    assert_eq!((decision.vouchers.len(), decision.refusal), (1, None));
    let again = desk.issue_voucher(with_key(&anna.key, issue("coffee"))).await.unwrap().into_inner();
    let again = again.decision.unwrap();
    assert_eq!((again.replayed, &again.vouchers), (true, &decision.vouchers));
    let auditor = house.key(Grant::of_role(Role::Auditor)).await;
    let mut ledger = tallystick::service::wire::ledger_service_client::LedgerServiceClient::new(house.channel().await);
    let request = wire::ListTransactionsRequest { account_id: "m1".to_owned(), ..<_>::default() };
    let listed = ledger.list_transactions(with_key(&auditor, request)).await.unwrap().into_inner().transactions;
    let remark = listed.iter().find_map(|one| one.remark.clone()).expect("the voucher is listed");
    assert_eq!((remark.actor, remark.confirmer), (anna.name.clone(), ben.name.clone()));

    let store = house.store.clone();
    drop((anna, ben, south, desk, ledger));
    house.running.shutdown().await.unwrap();
    let report = verify(&store, &VerifyOptions::default(), &mut |_, _| ()).unwrap();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.records.proposals, report.records.operations), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_not_done() {
    let house = house().await;
    open_account(&house).await;
    let mut anna = Person::at_the_desk(&house, "north").await;
    // Who runs the server is a second person for every desk.
    let mut ben = Person::of(&house, Role::Operator).await;
    for (number, who) in [(1, "somebody else"), (2, "who proposed it")] {
        let pending = adjust(&house, &anna, adjustment(who, 7)).await.unwrap().pending.unwrap();
        assert_eq!(pending.proposal_id, number);
        if number == 1 {
            ben.reject(number).await.unwrap()
        } else {
            anna.reject(number).await.unwrap()
        }
        assert_refused(ben.confirm(number).await, Code::NotFound, "PROPOSAL_UNKNOWN");
    }
    assert_refused(ben.reject(3).await, Code::NotFound, "PROPOSAL_UNKNOWN");
    // What a thief has proposed is not done once the key is revoked.
    let pending = adjust(&house, &anna, adjustment("stolen", 7)).await.unwrap().pending.unwrap();
    let (engine, id) = (house.running.engine().clone(), anna.name.trim_start_matches("key:").to_owned());
    let id = tallystick::access::keys::KeyId::parse(&id).unwrap();
    let revoked = tokio::task::spawn_blocking(move || tallystick::service::revoke_key(&engine, id, "test"));
    revoked.await.unwrap().unwrap();
    assert_refused(ben.confirm(pending.proposal_id).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    ben.reject(pending.proposal_id).await.unwrap();
}

/// A server that ends between an act and its verdict leaves the proposal behind, as one does that asks for no second person
/// meanwhile. What is done cannot be rejected; confirmed, it is settled.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_without_its_verdict_is_settled_and_not_rejected() {
    let house = house().await;
    open_account(&house).await;
    let (anna, ben) = (Person::at_the_desk(&house, "north").await, Person::of(&house, Role::Operator).await);
    let (owner, other) = (Person::of(&house, Role::ProgramOwner).await, Person::of(&house, Role::ProgramOwner).await);
    let source = plain_program(&[("units = 1\n", "units = 2\n")]);
    let request = wire::PublishProgramRequest { transaction_id: "v2".to_owned(), source, effective_time: None };
    let publish = async |house: &House| {
        let mut program = ProgramServiceClient::new(house.channel().await);
        program.publish_program(with_key(&owner.key, request.clone())).await.unwrap().into_inner()
    };
    assert_eq!(adjust(&house, &anna, adjustment("x", 7)).await.unwrap().pending.unwrap().proposal_id, 1);
    assert_eq!(publish(&house).await.pending.unwrap().proposal_id, 2);

    let house = house.reopen_with(config()).await;
    assert!(adjust(&house, &anna, adjustment("x", 7)).await.unwrap().decision.is_some());
    assert!(publish(&house).await.program.is_some());

    let house = house.reopen_with(careful()).await;
    let here = async |person: Person| Person { approval: ApprovalServiceClient::new(house.channel().await), ..person };
    let (mut ben, mut other) = (here(ben).await, here(other).await);
    assert_refused(ben.reject(1).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    let Outcome::Decision(decision) = ben.confirm(1).await.unwrap() else { panic!("it was an adjustment") };
    assert!(decision.replayed);
    let Outcome::Program(published) = other.confirm(2).await.unwrap() else { panic!("it was a programme") };
    assert_eq!(published.version, 2);
    assert_eq!((ben.proposals().await, other.proposals().await), (vec![], vec![]));
    assert_refused(other.reject(2).await, Code::NotFound, "PROPOSAL_UNKNOWN");
}

/// A proposal does not keep its transaction id for itself. Where another command has used it the proposal can only be
/// rejected, and where the very same is on record only confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_whose_id_another_command_has_used_is_rejected() {
    let voucher = "\n[[vouchers]]\nname = \"coffee\"\ntext = \"a free coffee\"\nvalid_days = 14\n";
    let source = format!("{}{voucher}", plain_program(&[]));
    let only = |act| Config {
        program: Some(program_file(&source)),
        second_person: SecondPerson { acts: vec![act], wait_ns: HOUR_NS },
        ..config()
    };
    let house = House::open_on(Arc::new(tallystick::store::memory::MemoryStore::new()), only(Act::Adjust)).await;
    open_account(&house).await;
    let anna = Person::at_the_desk(&house, "north").await;
    let mut ben = Person::at_the_desk(&house, "north").await;
    let give = async |house: &House, id: &str| {
        let request = wire::IssueVoucherRequest {
            transaction_id: id.to_owned(),
            account_id: "m1".to_owned(),
            voucher: "coffee".to_owned(),
            remark: adjustment(id, 1).remark,
            posting_time: None,
        };
        let mut desk = OperatorServiceClient::new(house.channel().await);
        desk.issue_voucher(with_key(&anna.key, request)).await.unwrap().into_inner()
    };
    for (number, id) in [(1, "given"), (2, "same"), (3, "more")] {
        let pending = adjust(&house, &anna, adjustment(id, 5)).await.unwrap().pending.unwrap();
        assert_eq!(pending.proposal_id, number);
    }
    assert_eq!(give(&house, "given").await.decision.unwrap().refusal, None);
    let Outcome::Decision(decision) = ben.confirm(1).await.unwrap() else { panic!("it was an adjustment") };
    assert_eq!(refusal(&decision), wire::RefusalCode::TransactionIdReused);
    assert_eq!(ben.proposals().await.len(), 3, "it waits still");
    ben.reject(1).await.unwrap();

    // Adjustments wait no longer, and vouchers do.
    let house = house.reopen_with(only(Act::Voucher)).await;
    let mut ben = Person { approval: ApprovalServiceClient::new(house.channel().await), ..ben };
    assert_eq!(give(&house, "taken").await.pending.unwrap().proposal_id, 4);
    for (id, points) in [("same", 5), ("more", 6), ("taken", 5)] {
        let decision = adjust(&house, &anna, adjustment(id, points)).await.unwrap().decision.unwrap();
        assert_eq!((decision.granted_points, decision.refusal), (points, None), "{id}");
    }
    assert_refused(ben.reject(2).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    for number in [3, 4] {
        ben.reject(number).await.unwrap();
    }
    let Outcome::Decision(decision) = ben.confirm(2).await.unwrap() else { panic!("it was an adjustment") };
    assert!(decision.replayed && decision.granted_points == 5, "{decision:?}");
    assert_eq!(ben.proposals().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_waits_with_its_secret_told_to_whoever_proposed_it() {
    let house = house().await;
    let mut anna = Person::of(&house, Role::Administrator).await;
    let mut ben = Person::of(&house, Role::Administrator).await;
    let channel = house.channel().await;
    let mut access = AccessServiceClient::new(channel.clone());
    let grant = Some(wire::Grant { role: wire::Role::Operator.into(), ..<_>::default() });
    let create = wire::CreateKeyRequest { name: "desk".to_owned(), grant, ..<_>::default() };
    let made = access.create_key(with_key(&anna.key, create)).await.unwrap().into_inner();
    let pending = made.pending.unwrap();
    let status = call(&channel, STATUS, Some(&made.api_key), Vec::new()).await;
    assert_refused(status, Code::Unauthenticated, "CREDENTIAL_INVALID");
    assert_refused(anna.confirm(pending.proposal_id).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    let Outcome::Key(key) = ben.confirm(pending.proposal_id).await.unwrap() else { panic!("it was a key") };
    assert_eq!((key.live, &key.creator), (true, &anna.name));
    assert!(call(&channel, STATUS, Some(&made.api_key), Vec::new()).await.is_ok());

    // Anna's next key is Anna still.
    let old = anna.name.trim_start_matches("key:").to_owned();
    let rotate = wire::RotateKeyRequest { key_id: old, overlap: None, expire_time: None };
    let rotated = access.rotate_key(with_key(&anna.key, rotate)).await.unwrap().into_inner();
    let create = wire::CreateKeyRequest {
        name: "another".to_owned(),
        grant: Some(wire::Grant { role: wire::Role::Auditor.into(), ..<_>::default() }),
        ..<_>::default()
    };
    let waits = access.create_key(with_key(&anna.key, create)).await.unwrap().into_inner().pending.unwrap();
    ben.confirm(rotated.pending.unwrap().proposal_id).await.unwrap();
    let mut anna_again = Person { key: rotated.api_key, ..anna };
    let refused = anna_again.confirm(waits.proposal_id).await;
    assert_refused(refused, Code::FailedPrecondition, "PROPOSAL_REFUSED");

    // Taking power away never waits.
    let revoke = wire::RevokeKeyRequest { key_id: key.key_id };
    let revoked = access.revoke_key(with_key(&ben.key, revoke)).await.unwrap().into_inner().key.unwrap();
    assert!(!revoked.live);
}

#[tokio::test(flavor = "multi_thread")]
async fn programmes_and_freezes_wait_too() {
    let house = house().await;
    let mut anna = Person::of(&house, Role::ProgramOwner).await;
    let mut ben = Person::of(&house, Role::ProgramOwner).await;
    let mut program = ProgramServiceClient::new(house.channel().await);
    let source = plain_program(&[("units = 1\n", "units = 2\n")]);
    let publish = |source: &str| wire::PublishProgramRequest {
        transaction_id: "v2".to_owned(),
        source: source.to_owned(),
        effective_time: None,
    };
    let broken = program.publish_program(with_key(&anna.key, publish("[program"))).await;
    assert_refused(broken, Code::InvalidArgument, "PROGRAM_INVALID");
    let asked = program.publish_program(with_key(&anna.key, publish(&source))).await.unwrap().into_inner();
    assert_eq!(asked.program, None);
    let number = asked.pending.unwrap().proposal_id;
    assert_refused(anna.confirm(number).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    let Outcome::Program(published) = ben.confirm(number).await.unwrap() else { panic!("it was a programme") };
    assert_eq!(published.version, 2);
    let again = program.publish_program(with_key(&anna.key, publish(&source))).await.unwrap().into_inner();
    assert_eq!((again.program, again.replayed), (Some(published), true));

    let mut carl = Person::of(&house, Role::Operator).await;
    let mut dora = Person::of(&house, Role::Operator).await;
    let mut fraud = FraudServiceClient::new(house.channel().await);
    let subject = Some(wire::FreezeSubject { subject: Some(Subject::AccountId("m1".to_owned())) });
    let freeze = wire::FreezeRequest { subject: subject.clone(), reason_code: "r".to_owned(), ..<_>::default() };
    let asked = fraud.freeze(with_key(&carl.key, freeze)).await.unwrap().into_inner();
    let number = asked.pending.unwrap().proposal_id;
    assert_refused(carl.confirm(number).await, Code::FailedPrecondition, "PROPOSAL_REFUSED");
    let Outcome::Freeze(frozen) = dora.confirm(number).await.unwrap() else { panic!("it was a freeze") };
    assert_eq!((frozen.live, &frozen.actor), (true, &carl.name));
    let thaw = wire::ThawRequest { subject, reason_code: "r".to_owned(), ..<_>::default() };
    let asked = fraud.thaw(with_key(&dora.key, thaw)).await.unwrap().into_inner();
    let Outcome::Freeze(thawed) = carl.confirm(asked.pending.unwrap().proposal_id).await.unwrap() else {
        panic!("it was a thaw")
    };
    assert_eq!((thawed.live, &thawed.end_actor), (false, &dora.name));

    let store = house.store.clone();
    drop((anna, ben, carl, dora, program, fraud));
    house.running.shutdown().await.unwrap();
    let report = verify(&store, &VerifyOptions::default(), &mut |_, _| ()).unwrap();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.records.proposals, report.records.freezes, report.records.programs), (6, 2, 2));
}

/// A clock whose time of day stands until it is put forward.
struct Standing {
    machine: SystemClock,
    now_ns: AtomicI64,
}

impl Standing {
    fn new() -> Arc<Self> {
        let machine = SystemClock::new();
        let now_ns = AtomicI64::new(machine.now().0);
        Arc::new(Self { machine, now_ns })
    }
}

impl Clock for Standing {
    fn now(&self) -> TimestampNs {
        TimestampNs(self.now_ns.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> i64 {
        self.machine.monotonic_ns()
    }
}

/// A version that is to take effect as soon as can be is there a moment before: whoever confirmed it waits for the clock, and
/// keeps nobody else's proposals and verdicts waiting.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_confirmed_version_waits_for_its_time_others_propose_and_settle() {
    let clock = Standing::new();
    let store = Arc::new(tallystick::store::memory::MemoryStore::new());
    let house = House::open_by(store, careful(), clock.clone()).await;
    open_account(&house).await;
    let (owner, mut other) =
        (Person::of(&house, Role::ProgramOwner).await, Person::of(&house, Role::ProgramOwner).await);
    let anna = Person::at_the_desk(&house, "north").await;
    let mut ben = Person::at_the_desk(&house, "north").await;
    let mut program = ProgramServiceClient::new(house.channel().await);
    let source = plain_program(&[("units = 1\n", "units = 2\n")]);
    let request = wire::PublishProgramRequest { transaction_id: "v2".to_owned(), source, effective_time: None };
    let asked = program.publish_program(with_key(&owner.key, request)).await.unwrap().into_inner();
    let number = asked.pending.unwrap().proposal_id;
    let confirming = tokio::spawn(async move { other.confirm(number).await });
    let is_there = || house.running.engine().with_programs(|programs| programs.iter().len() == 2);
    for _ in 0..30_000 {
        if is_there() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(is_there(), "the version is published");

    let others = async {
        let pending = adjust(&house, &anna, adjustment("x", 7)).await.unwrap().pending.unwrap();
        ben.confirm(pending.proposal_id).await.unwrap()
    };
    let outcome = tokio::time::timeout(Duration::from_secs(30), others).await.expect("nobody waits for the clock");
    assert!(matches!(outcome, Outcome::Decision(decision) if decision.granted_points == 7));
    assert!(!confirming.is_finished(), "the clock stands");
    clock.now_ns.fetch_add(20_000_000_000, Ordering::SeqCst);
    let Outcome::Program(published) = confirming.await.unwrap().unwrap() else { panic!("it was a programme") };
    assert_eq!(published.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_there_is_no_second_person() {
    let config = Config { authentication: tallystick::config::Authentication::Off, ..careful() };
    let listener = tallystick::server::listen(&config).unwrap();
    let store = std::sync::Arc::new(tallystick::store::memory::MemoryStore::new());
    let opened = tallystick::server::OpenedStore::in_memory(store);
    let error = tallystick::server::start_on(&config, opened, listener).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("second_person has a meaning only with"), "{error}");
}
