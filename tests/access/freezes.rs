//! The fraud desk: freezes over the wire, who may make them, what they stop, and what the lists show; over a restart and
//! an audit.

use tallystick::access::grant::Role;
use tallystick::audit::verify::{VerifyOptions, verify};
use tallystick::service::wire;
use tallystick::service::wire::fraud_service_client::FraudServiceClient;
use tallystick::service::wire::freeze_subject::Subject;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{Decision, RefusalCode};
use tonic::Code;
use tonic::transport::Channel;

use crate::shop::{accrual, refusal, reversal, wrong_fields};
use crate::support::{House, config, usual, with_key};

pub fn account(id: &str) -> Option<wire::FreezeSubject> {
    Some(wire::FreezeSubject { subject: Some(Subject::AccountId(id.to_owned())) })
}

pub fn till_of(partner: &str) -> Option<wire::FreezeSubject> {
    let (store_id, terminal_id) = ("store-1".to_owned(), "till-1".to_owned());
    let terminal = wire::FreezableTerminal { partner: partner.to_owned(), store_id, terminal_id };
    Some(wire::FreezeSubject { subject: Some(Subject::Terminal(terminal)) })
}

pub fn freeze(subject: Option<wire::FreezeSubject>) -> wire::FreezeRequest {
    wire::FreezeRequest { subject, reason_code: "shared-card".to_owned(), note: "seen in two towns".to_owned() }
}

pub fn thaw(subject: Option<wire::FreezeSubject>) -> wire::ThawRequest {
    wire::ThawRequest { subject, reason_code: "cleared".to_owned(), note: String::new() }
}

/// A desk with an operator's key, and a till.
pub struct Desk {
    pub fraud: FraudServiceClient<Channel>,
    pub ledger: LedgerServiceClient<Channel>,
    operator_id: String,
    pub operator: String,
    pub till: String,
}

impl Desk {
    pub async fn at(house: &House) -> Self {
        let channel = house.channel().await;
        let (operator_id, operator) =
            house.key_until(usual(Role::Operator), tallystick::access::keys::KeyIssue::NEVER).await;
        let till = house.key(usual(Role::Gateway)).await;
        let operator_id = format!("key:{operator_id}");
        Self {
            fraud: FraudServiceClient::new(channel.clone()),
            ledger: LedgerServiceClient::new(channel),
            operator_id,
            operator,
            till,
        }
    }

    pub async fn accrue(&mut self, request: wire::AccrueRequest) -> Decision {
        let answer = self.ledger.accrue(with_key(&self.till, request)).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn redeem(&mut self, id: &str, account_id: &str) -> Decision {
        let (transaction_id, account_id) = (id.to_owned(), account_id.to_owned());
        let request = wire::RedeemRequest { transaction_id, account_id, points: 1, ..<_>::default() };
        let answer = self.ledger.redeem(with_key(&self.till, request)).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn freezes(&mut self, ended: bool) -> Vec<wire::Freeze> {
        let request = wire::ListFreezesRequest { ended, page_size: 1, ..<_>::default() };
        let mut freezes = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = wire::ListFreezesRequest { page_token, ..request.clone() };
            let page = self.fraud.list_freezes(with_key(&self.operator, request)).await.unwrap().into_inner();
            freezes.extend(page.freezes);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return freezes;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_is_honoured_at_once_and_outlives_a_restart() {
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    assert_eq!(desk.accrue(accrual("a", "m1", 1_000)).await.granted_points, 10);

    let request = with_key(&desk.operator, freeze(account("m1")));
    let answer = desk.fraud.freeze(request).await.unwrap().into_inner();
    let frozen = answer.freeze.unwrap();
    assert!(answer.changed && frozen.live && frozen.begin_time.is_some() && frozen.end_time.is_none());
    assert_eq!((&frozen.actor, &*frozen.reason_code), (&desk.operator_id, "shared-card"));
    let request = with_key(&desk.operator, freeze(account("m1")));
    let again = desk.fraud.freeze(request).await.unwrap().into_inner();
    assert_eq!((again.changed, again.freeze), (false, Some(frozen.clone())), "it is frozen once");

    // The answer to the freeze was the last moment at which anything could be earned.
    let refused = desk.accrue(accrual("b", "m1", 1_000)).await;
    assert_eq!(refusal(&refused), RefusalCode::AccountFrozen);
    assert!(refused.refusal.unwrap().journaled && refused.position.is_some());
    assert_eq!(refusal(&desk.redeem("r", "m1").await), RefusalCode::AccountFrozen);
    let first = desk.accrue(accrual("a", "m1", 1_000)).await;
    assert!(first.replayed && first.granted_points == 10, "what was answered before is answered the same");

    let channel = house.channel().await;
    drop((desk, channel));
    let house = house.reopen().await;
    let mut desk = Desk::at(&house).await;
    assert_eq!(refusal(&desk.accrue(accrual("c", "m1", 1_000)).await), RefusalCode::AccountFrozen);
    let replayed = desk.accrue(accrual("b", "m1", 1_000)).await;
    assert_eq!((refusal(&replayed), replayed.replayed), (RefusalCode::AccountFrozen, true));
    let reverse = with_key(&desk.till, reversal("v", "a"));
    let reversed = desk.ledger.reverse(reverse).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(reversed.reversed_points, 10, "what only takes back goes on");

    // Over a snapshot, and thawed.
    let engine = house.running.engine().clone();
    tokio::task::spawn_blocking(move || engine.snapshot().unwrap()).await.unwrap();
    drop(desk);
    let house = house.reopen().await;
    let mut desk = Desk::at(&house).await;
    let listed = desk.freezes(false).await;
    assert_eq!(listed, std::slice::from_ref(&frozen));
    let request = with_key(&desk.operator, thaw(account("m1")));
    let ended = desk.fraud.thaw(request).await.unwrap().into_inner().freeze.unwrap();
    assert_eq!((ended.live, &ended.end_actor, &*ended.end_reason_code), (false, &desk.operator_id, "cleared"));
    assert_eq!((ended.position, ended.begin_time), (frozen.position, frozen.begin_time));
    let request = with_key(&desk.operator, thaw(account("m1")));
    let again = desk.fraud.thaw(request).await.unwrap().into_inner();
    assert_eq!((again.changed, again.freeze), (false, None));
    // Who thaws what nobody has named gives it no names.
    let names = house.running.engine().dictionary.counts();
    let terminal = wire::FreezableTerminal {
        partner: "nobody".to_owned(),
        store_id: "nowhere".to_owned(),
        terminal_id: "nothing".to_owned(),
    };
    let subject = wire::FreezeSubject { subject: Some(wire::freeze_subject::Subject::Terminal(terminal)) };
    let request = with_key(&desk.operator, thaw(Some(subject)));
    let unknown = desk.fraud.thaw(request).await.unwrap().into_inner();
    assert_eq!((unknown.changed, house.running.engine().dictionary.counts()), (false, names));
    assert_eq!(desk.accrue(accrual("d", "m1", 1_000)).await.granted_points, 10);
    assert_eq!(desk.freezes(false).await, []);
    assert_eq!(desk.freezes(true).await, [ended]);

    let store = house.store.clone();
    drop(desk);
    house.running.shutdown().await.unwrap();
    let report = verify(&store, &VerifyOptions::default(), &mut |_, _| ()).unwrap();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.records.freezes, report.records.refused_accruals), (2, 2));
    assert_eq!(report.record_count, report.end_position, "each record is counted once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_terminal_earns_nothing_and_that_of_another_partner_does() {
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    for (partner, expected) in [("south", None), ("north", Some(RefusalCode::TerminalFrozen))] {
        let request = with_key(&desk.operator, freeze(till_of(partner)));
        assert!(desk.fraud.freeze(request).await.unwrap().into_inner().changed);
        let decision = desk.accrue(accrual(partner, "m1", 1_000)).await;
        assert_eq!(decision.refusal.map(|refusal| refusal.code()), expected, "{partner}");
    }
    assert_eq!(desk.freezes(false).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_an_account_that_is_not_there_is_told_so() {
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    assert_eq!(desk.accrue(accrual("a", "m1", 1_000)).await.granted_points, 10);
    for (subject, account_unknown) in [(account("m1"), false), (account("m-l"), true), (till_of("north"), false)] {
        let request = with_key(&desk.operator, freeze(subject.clone()));
        let answer = desk.fraud.freeze(request).await.unwrap().into_inner();
        assert_eq!((answer.changed, answer.account_unknown), (true, account_unknown), "{subject:?}");
    }
    let again = with_key(&desk.operator, freeze(account("m-l")));
    let again = desk.fraud.freeze(again).await.unwrap().into_inner();
    assert_eq!((again.changed, again.account_unknown), (false, true));
    assert!(desk.accrue(accrual("b", "m-l", 1_000)).await.refusal.is_some(), "it was frozen ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_says_what_and_why() {
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    let nothing = with_key(&desk.operator, wire::FreezeRequest::default());
    let status = desk.fraud.freeze(nothing).await.unwrap_err();
    assert_eq!(
        (status.code(), wrong_fields(&status)),
        (Code::InvalidArgument, vec!["subject".into(), "reason_code".into()])
    );
    let nameless = with_key(&desk.operator, freeze(till_of("")));
    assert_eq!(wrong_fields(&desk.fraud.freeze(nameless).await.unwrap_err()), ["subject.terminal.partner"]);
    let auditor = house.key(usual(Role::Auditor)).await;
    let status = desk.fraud.freeze(with_key(&auditor, freeze(account("m1")))).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_one_receipt_twice_are_listed_with_who_and_when() {
    let house = House::open().await;
    let mut desk = Desk::at(&house).await;
    assert_eq!(desk.accrue(accrual("a", "m1", 1_000)).await.granted_points, 10);
    for thief in ["m2", "m3"] {
        let mut stolen = accrual(&format!("steal-{thief}"), thief, 1_000);
        stolen.basket.as_mut().unwrap().receipt_number = "a".to_owned();
        stolen.basket.as_mut().unwrap().cashier_id = "kim".to_owned();
        assert_eq!(refusal(&desk.accrue(stolen).await), RefusalCode::ReceiptAlreadyEarned);
    }
    let auditor = house.key(usual(Role::Auditor)).await;
    let request = wire::ListReceiptClaimsRequest { page_size: 1, ..<_>::default() };
    let page = desk.fraud.list_receipt_claims(with_key(&auditor, request.clone())).await.unwrap().into_inner();
    assert_eq!((page.claims.len(), page.claim_count, page.since_time.is_some()), (1, 2, true));
    let latest = &page.claims[0];
    let names = [&latest.partner, &latest.store_id, &latest.terminal_id, &latest.cashier_id, &latest.receipt_number];
    assert_eq!(names, ["north", "store-1", "till-1", "kim", "a"]);
    assert_eq!((&*latest.account_id, &*latest.transaction_id), ("m3", "steal-m3"));
    assert_eq!((&*latest.original_account_id, &*latest.original_transaction_id), ("m1", "a"));
    assert!(latest.actor.starts_with("key:") && latest.claim_time.is_some() && latest.original_posting_time.is_some());
    let request = wire::ListReceiptClaimsRequest { page_token: page.next_page_token, ..request };
    let page = desk.fraud.list_receipt_claims(with_key(&auditor, request)).await.unwrap().into_inner();
    assert_eq!((&*page.claims[0].account_id, &*page.next_page_token), ("m2", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn velocity_denials_are_read_from_the_journal_whenever_they_were() {
    let program = crate::shop::plain_program(&[]);
    let cap = "[[caps]]\nname = \"visits\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 1\n";
    let file = crate::shop::program_file(&format!("{program}\n{cap}"));
    let config = tallystick::config::Config { program: Some(file), ..config() };
    let house = House::open_on(std::sync::Arc::new(tallystick::store::memory::MemoryStore::new()), config).await;
    let mut desk = Desk::at(&house).await;
    for (id, expected) in [("a", 10), ("b", 0), ("c", 0), ("d", 0)] {
        assert_eq!(desk.accrue(accrual(id, "m1", 1_000)).await.granted_points, expected, "{id}");
    }
    drop(desk);
    let store = house.store.clone();
    house.running.shutdown().await.unwrap();
    let house = House::open_on(store, crate::support::config()).await;
    let mut desk = Desk::at(&house).await;
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListVelocityDenialsRequest { page_size: 2, page_token, ..<_>::default() };
        let page = desk.fraud.list_velocity_denials(with_key(&desk.operator, request)).await.unwrap().into_inner();
        for denied in &page.denials {
            assert_eq!((&*denied.account_id, &*denied.partner, &*denied.cap), ("m1", "north", "visits"));
            assert_eq!((&*denied.store_id, denied.earned_points), ("store-1", 10));
        }
        ids.extend(page.denials.into_iter().map(|denied| denied.transaction_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["b", "c", "d"]);
    let later = wire::ListVelocityDenialsRequest {
        start_time: crate::shop::time(crate::shop::now_seconds() + 60),
        ..<_>::default()
    };
    let page = desk.fraud.list_velocity_denials(with_key(&desk.operator, later)).await.unwrap().into_inner();
    assert_eq!((page.denials.len(), &*page.next_page_token), (0, ""));
}
