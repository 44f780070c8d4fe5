//! Statements of an account in which several partners deal: each finds its own, in full pages, and nothing that tells of
//! the others.

use tallystick::access::grant::{Grant, Role};
use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::shop::{accrual, reversal, wrong_fields};
use crate::support::{House, grant, with_key};

struct Statements {
    ledger: LedgerServiceClient<Channel>,
}

type Page = (Vec<String>, String);

impl Statements {
    async fn page(&mut self, key: &str, account: &str, page_token: &str) -> Result<Page, Status> {
        let request = wire::ListTransactionsRequest {
            account_id: account.to_owned(),
            page_size: 2,
            page_token: page_token.to_owned(),
            ..<_>::default()
        };
        let page = self.ledger.list_transactions(with_key(key, request)).await?.into_inner();
        Ok((page.transactions.into_iter().map(|one| one.transaction_id).collect(), page.next_page_token))
    }

    async fn related(&mut self, key: &str, id: &str, page_token: &str) -> Result<Page, Status> {
        let request = wire::ListRelatedTransactionsRequest {
            transaction_id: id.to_owned(),
            page_size: 2,
            page_token: page_token.to_owned(),
        };
        let page = self.ledger.list_related_transactions(with_key(key, request)).await?.into_inner();
        let ids = page.related.into_iter().map(|one| one.transaction.unwrap().transaction_id).collect();
        Ok((ids, page.next_page_token))
    }

    async fn all(&mut self, key: &str, account: &str) -> Vec<Vec<String>> {
        let (mut pages, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = self.page(key, account, &token).await.unwrap();
            pages.push(page);
            if next.is_empty() {
                return pages;
            }
            token = next;
        }
    }

    async fn accrue(&mut self, key: &str, id: &str, account: &str) {
        let answer = self.ledger.accrue(with_key(key, accrual(id, account, 100))).await.unwrap();
        assert_eq!(answer.into_inner().decision.unwrap().refusal, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_take_no_place_in_a_statement() {
    let house = House::open().await;
    let mut statements = Statements { ledger: LedgerServiceClient::new(house.channel().await) };
    let north = house.key(grant(Role::Gateway, "north", &[])).await;
    let south = house.key(grant(Role::Gateway, "south", &[])).await;
    let auditor = house.key(Grant::of_role(Role::Auditor)).await;
    // North's three lie between forty of south's; in the other account south has none.
    for number in 0..40 {
        statements.accrue(&south, &format!("s-{number}"), "shared").await;
        if number % 13 == 5 {
            statements.accrue(&north, &format!("n-{number}"), "shared").await;
            statements.accrue(&north, &format!("o-{number}"), "alone").await;
        }
    }
    assert_eq!(statements.all(&north, "shared").await, [vec!["n-31", "n-18"], vec!["n-5"]]);
    assert_eq!(statements.all(&north, "alone").await, [vec!["o-31", "o-18"], vec!["o-5"]]);
    // No page begins because of somebody else's: the last one is the last.
    statements.accrue(&north, "n-40", "shared").await;
    assert_eq!(statements.all(&north, "shared").await, [vec!["n-40", "n-31"], vec!["n-18", "n-5"]]);
    assert_eq!(statements.all(&auditor, "shared").await.concat().len(), 44);

    // A token is of one partner, one account and one list, and nobody makes one.
    let (_, token) = statements.page(&north, "shared", "").await.unwrap();
    let (_, of_auditor) = statements.page(&auditor, "shared", "").await.unwrap();
    let mut forged = token.clone();
    forged.replace_range(..1, if token.starts_with('0') { "1" } else { "0" });
    for (key, account, token) in [
        (&north, "alone", &*token),
        (&south, "shared", &*token),
        (&north, "shared", &*of_auditor),
        (&north, "shared", &*forged),
        (&north, "shared", "0000000000000001"),
    ] {
        let status = statements.page(key, account, token).await.unwrap_err();
        assert_eq!(wrong_fields(&status), ["page_token"], "{account} {token}");
    }
    assert_eq!(statements.page(&north, "shared", &token).await.unwrap().0, ["n-18", "n-5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_among_what_else_happened_to_a_transaction() {
    let house = House::open().await;
    let mut statements = Statements { ledger: LedgerServiceClient::new(house.channel().await) };
    let north = house.key(grant(Role::Gateway, "north", &[])).await;
    let south = house.key(grant(Role::Gateway, "south", &[])).await;
    statements.accrue(&north, "bought", "m1").await;
    for number in 0..30 {
        statements.accrue(&south, &format!("s-{number}"), "m1").await;
    }
    let answer = statements.ledger.reverse(with_key(&north, reversal("back", "bought"))).await.unwrap();
    assert_eq!(answer.into_inner().decision.unwrap().refusal, None);
    let (ids, next) = statements.related(&north, "bought", "").await.unwrap();
    assert_eq!((ids, &*next), (vec!["back".to_owned()], ""));
    let (_, token) = statements.page(&south, "m1", "").await.unwrap();
    let status = statements.related(&north, "bought", &token).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["page_token"]);
}
