//! Statements of an account in which several partners deal: each finds its own, in full pages, and nothing that tells of
//! the others.

use std::sync::Arc;

use tallystick::access::grant::{Grant, Role};
use tallystick::config::{ClockMode, Config};
use tallystick::service::wire;
use tallystick::service::wire::account_service_client::AccountServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::store::memory::MemoryStore;
use tonic::Status;
use tonic::transport::Channel;

use crate::shop::{accrual, plain_program, program_file, reversal, time, wrong_fields};
use crate::support::{House, config, grant, with_key};

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

const DAY: i64 = 86_400;

/// North deals in points and stars, south in points only.
async fn of_two_wallets() -> House {
    let partner = |name: &str, wallets: &[&str]| {
        let earns: Vec<_> = wallets.iter().map(|wallet| format!("{{ wallet = \"{wallet}\" }}")).collect();
        format!(
            "[[partners]]\nname = \"{name}\"\nstores = [{{ name = \"store-1\" }}]\nearns = [{}]\n\
             funding_rate_bps = 5_000\n\n",
            earns.join(", ")
        )
    };
    let program = plain_program(&[("[earn]", "[[wallets]]\nname = \"stars\"\n\n[earn]")])
        + &partner("north", &["points", "stars"])
        + &partner("south", &["points"]);
    let config = Config { clock: Some(ClockMode::Input), program: Some(program_file(&program)), ..config() };
    House::open_on(Arc::new(MemoryStore::new()), config).await
}

/// What died with a command in other wallets than its own is told to whoever deals in them.
#[tokio::test(flavor = "multi_thread")]
async fn what_died_in_a_wallet_is_told_to_those_who_deal_in_it() {
    let house = of_two_wallets().await;
    let mut ledger = LedgerServiceClient::new(house.channel().await);
    let mut account = AccountServiceClient::new(house.channel().await);
    let north = house.key(grant(Role::BackOffice, "north", &[])).await;
    let south = house.key(grant(Role::BackOffice, "south", &[])).await;
    for (member, partner) in [("m-north", &north), ("m-south", &south)] {
        for (wallet, points) in [("points", 5), ("stars", 7)] {
            let lots = vec![wire::OpeningLot { points, expire_time: time(2 * DAY), ..<_>::default() }];
            let load = wire::LoadOpeningBalanceRequest {
                transaction_id: format!("{wallet}-{member}"),
                account_id: member.to_owned(),
                wallet: wallet.to_owned(),
                lots,
                posting_time: time(DAY),
                ..<_>::default()
            };
            account.load_opening_balance(with_key(&north, load)).await.unwrap();
        }
        let mut request = accrual(&format!("sold-{member}"), member, 100);
        request.posting_time = time(3 * DAY);
        request.basket.as_mut().unwrap().receipt_time = None;
        let sold = ledger.accrue(with_key(partner, request)).await.unwrap().into_inner().decision.unwrap();
        assert_eq!((sold.expired_points, &*sold.expired_in_other_wallets), (5, &[][..]), "{member}");
    }
    let auditor = house.key(Grant::of_role(Role::Auditor)).await;
    let stars = vec![wire::ExpiredPoints { wallet: "stars".to_owned(), points: 7 }];
    let rows = [
        ("m-north", &north, Some(&stars)),
        ("m-south", &south, Some(&Vec::new())),
        ("m-south", &auditor, Some(&stars)),
        ("m-south", &north, None),
    ];
    for (member, key, expected) in rows {
        let request = wire::ListTransactionsRequest { account_id: member.to_owned(), ..<_>::default() };
        let listed = ledger.list_transactions(with_key(key, request)).await.unwrap().into_inner().transactions;
        let sold = listed.into_iter().find(|one| one.transaction_id == format!("sold-{member}"));
        let told = sold.map(|one| one.decision.unwrap().expired_in_other_wallets);
        assert_eq!(told.as_ref(), expected, "{member}");
    }
}
