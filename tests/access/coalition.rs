//! A day of five brands that share a currency: who may issue, who may take, what each sees of the others, and that in the
//! evening everything adds up. The programme and the configuration are those of `deploy`.

use std::path::PathBuf;
use std::sync::Arc;

use tallystick::access::grant::{Grant, Role};
use tallystick::audit::verify::{VerifyOptions, verify};
use tallystick::config::Config;
use tallystick::service::wire::account_service_client::AccountServiceClient;
use tallystick::service::wire::admin_service_client::AdminServiceClient;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::operator_service_client::OperatorServiceClient;
use tallystick::service::wire::program_service_client::ProgramServiceClient;
use tallystick::service::wire::settlement_service_client::SettlementServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tallystick::store::memory::MemoryStore;
use tonic::Status;
use tonic::transport::Channel;

use crate::certificates::Root;
use crate::process::{Server, good, path, run};
use crate::shop::{accrual, line, program_file, refusal, reversal};
use crate::support::{House, config, grant, with_key};

const MARKET: &str = "harbour-market";
const PHARMACY: &str = "green-pharmacy";
const BOOKS: &str = "old-town-books";
const CINEMA: &str = "riverside-cinema";
const FUEL: &str = "northern-fuel";

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn of_coalition() -> Config {
    Config { program: Some(repository("deploy/programs/coalition.toml")), ..config() }
}

/// A basket of one line, in a store.
fn bought(id: &str, account: &str, store: &str, category: &str, amount_minor: i64) -> wire::AccrueRequest {
    let mut request = accrual(id, account, amount_minor);
    let basket = request.basket.as_mut().unwrap();
    basket.lines = vec![line(category, amount_minor)];
    (basket.store_id, basket.terminal_id) = (store.to_owned(), "till-2".to_owned());
    request
}

struct Coalition {
    house: House,
    ledger: LedgerServiceClient<Channel>,
    account: AccountServiceClient<Channel>,
    settlement: SettlementServiceClient<Channel>,
}

impl Coalition {
    async fn open(house: House) -> Self {
        let channel = house.channel().await;
        Self {
            house,
            ledger: LedgerServiceClient::new(channel.clone()),
            account: AccountServiceClient::new(channel.clone()),
            settlement: SettlementServiceClient::new(channel),
        }
    }

    async fn gateway(&self, partner: &str) -> String {
        self.house.key(grant(Role::Gateway, partner, &[])).await
    }

    async fn office(&self, partner: &str) -> String {
        self.house.key(grant(Role::BackOffice, partner, &[])).await
    }

    async fn accrue(&mut self, key: &str, request: wire::AccrueRequest) -> wire::Decision {
        let answer = self.ledger.accrue(with_key(key, request)).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn redeem(&mut self, key: &str, id: &str, points: i64) -> wire::Decision {
        let request = wire::RedeemRequest {
            transaction_id: id.to_owned(),
            account_id: "ada".to_owned(),
            points,
            ..wire::RedeemRequest::default()
        };
        let answer = self.ledger.redeem(with_key(key, request)).await.unwrap();
        answer.into_inner().decision.unwrap()
    }

    async fn balance(&mut self, key: &str, account: &str) -> Result<i64, Status> {
        let request = wire::GetBalanceRequest { account_id: account.to_owned(), ..<_>::default() };
        let answer = self.ledger.get_balance(with_key(key, request)).await?.into_inner();
        Ok(answer.wallets[0].balance_points)
    }

    async fn report(&mut self, key: &str, position: Option<i64>) -> wire::GetSettlementReportResponse {
        let request = wire::GetSettlementReportRequest { position };
        self.settlement.get_settlement_report(with_key(key, request)).await.unwrap().into_inner()
    }

    async fn budgets(&mut self, key: &str) -> Vec<wire::BudgetStanding> {
        let request = with_key(key, wire::ListBudgetsRequest {});
        self.settlement.list_budgets(request).await.unwrap().into_inner().budgets
    }

    /// Ada's and Ben's day; gives the position of the record after which half of it was over.
    async fn play(&mut self) -> i64 {
        let till = Grant { terminals: vec!["till-2".into()], ..grant(Role::Till, MARKET, &["harbour-1"]) };
        let till = self.house.key(till).await;
        let [market, pharmacy, books, cinema] = [
            self.gateway(MARKET).await,
            self.gateway(PHARMACY).await,
            self.gateway(BOOKS).await,
            self.gateway(CINEMA).await,
        ];
        // In the morning Ada collects at three brands.
        let groceries = self.accrue(&till, bought("m-1", "ada", "harbour-1", "bread", 12_000)).await;
        assert_eq!(groceries.granted_points, 120);
        let pills = self.accrue(&pharmacy, bought("p-1", "ada", "pharmacy-ring", "care", 1_000)).await;
        assert_eq!((pills.granted_points, pills.balance_points), (20, 140));
        let novel = self.accrue(&books, bought("b-1", "ada", "books-cathedral", "fiction", 2_000)).await;
        assert_eq!(novel.granted_points, 60, "more than half of the bookshop's budget");
        // A second novel takes what is left of the budget, and not a point more.
        let second = self.accrue(&books, bought("b-2", "ada", "books-cathedral", "fiction", 2_000)).await;
        assert_eq!((second.earned_points, second.granted_points, second.balance_points), (60, 40, 240));
        assert_eq!(second.clips[0].name, "books-campaign");
        // Ben's groceries go back.
        self.accrue(&market, bought("m-2", "ben", "harbour-2", "bread", 5_000)).await;
        let returned = self.ledger.reverse(with_key(&market, reversal("m-3", "m-2"))).await.unwrap();
        let noon = returned.into_inner().decision.unwrap().position.unwrap();
        // In the evening she pays at two: first what dies first, and of equals by issuer.
        let film = self.redeem(&cinema, "c-1", 150).await;
        assert_eq!((film.redeemed_points, film.balance_points), (150, 90));
        let bread = self.redeem(&market, "m-4", 30).await;
        assert_eq!((bread.redeemed_points, bread.balance_points), (30, 60));
        noon
    }
}

async fn open() -> Coalition {
    Coalition::open(House::open_on(Arc::new(MemoryStore::new()), of_coalition()).await).await
}

/// Partner, issued, reversed, burned, expired, outstanding.
fn standings(report: &wire::GetSettlementReportResponse) -> Vec<(&str, [i64; 5])> {
    let sums = |s: &wire::PartnerStanding| {
        [s.issued_points, s.reversed_points, s.burned_points, s.expired_points, s.outstanding_points]
    };
    report.standings.iter().map(|standing| (standing.partner.as_str(), sums(standing))).collect()
}

/// Acceptor, issuer, points, and what the acceptor receives for them in basis points of a cent.
fn burns(report: &wire::GetSettlementReportResponse) -> Vec<(&str, &str, i64, i64)> {
    let row = |b: &'_ wire::BurnedPoints| (b.burned_points, b.redemption_amount_bps);
    let rows = report.burns.iter().map(|burned| (burned.acceptor.as_str(), burned.issuer.as_str(), row(burned)));
    rows.map(|(acceptor, issuer, (points, amount))| (acceptor, issuer, points, amount)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_earned_at_one_brand_is_spent_at_another_and_in_the_evening_it_adds_up() {
    let mut coalition = open().await;
    let auditor = coalition.house.key(Grant::of_role(Role::Auditor)).await;
    let noon = coalition.play().await;
    let report = coalition.report(&auditor, None).await;
    assert_eq!(
        standings(&report),
        [(PHARMACY, [20, 0, 20, 0, 0]), (MARKET, [170, 50, 120, 0, 0]), (BOOKS, [100, 0, 40, 0, 60]),]
    );
    assert_eq!(
        burns(&report),
        [
            (MARKET, BOOKS, 30, 30 * 4_500),
            (CINEMA, PHARMACY, 20, 20 * 4_000),
            (CINEMA, MARKET, 120, 120 * 4_000),
            (CINEMA, BOOKS, 10, 10 * 4_000),
        ]
    );
    let amounts: Vec<_> = report.standings.iter().map(|s| (s.issued_amount_bps, s.reversed_amount_bps)).collect();
    assert_eq!(amounts, [(20 * 6_000, 0), (170 * 5_000, 50 * 5_000), (100 * 5_000, 0)]);
    assert_eq!(coalition.balance(&auditor, "ada").await.unwrap(), 60, "what is outstanding is what Ada has");

    // At noon nothing was burned yet.
    let at_noon = coalition.report(&auditor, Some(noon)).await;
    assert_eq!(at_noon.position, Some(noon));
    assert_eq!(
        standings(&at_noon),
        [(PHARMACY, [20, 0, 0, 0, 20]), (MARKET, [170, 50, 0, 0, 120]), (BOOKS, [100, 0, 0, 0, 100]),]
    );
    assert_eq!(burns(&at_noon), []);
    // Whoever adds up from the beginning comes to what the shards say, and so does a server that was started again.
    assert_eq!(coalition.report(&auditor, report.position).await, report);
    let future = wire::GetSettlementReportRequest { position: Some(1_000_000) };
    let answer = coalition.settlement.get_settlement_report(with_key(&auditor, future)).await;
    assert_eq!(crate::shop::wrong_fields(&answer.unwrap_err()), ["position"]);
    let House { running, store } = coalition.house;
    drop((coalition.ledger, coalition.account, coalition.settlement));
    let engine = running.engine().clone();
    tokio::task::spawn_blocking(move || engine.snapshot()).await.unwrap().unwrap();
    running.shutdown().await.unwrap();
    let verified = verify(&store, &VerifyOptions::default(), &mut |_, _| {}).unwrap();
    assert!(verified.intact && verified.snapshot.is_some(), "{:?}", verified.findings);
    let mut again = Coalition::open(House::open_on(store, of_coalition()).await).await;
    let after = again.report(&auditor, None).await;
    assert_eq!((standings(&after), burns(&after)), (standings(&report), burns(&report)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_brand_does_what_the_programme_has_it_do_and_nothing_else() {
    let mut coalition = open().await;
    coalition.play().await;
    let [market, pharmacy, books, cinema, fuel] = [
        coalition.gateway(MARKET).await,
        coalition.gateway(PHARMACY).await,
        coalition.gateway(BOOKS).await,
        coalition.gateway(CINEMA).await,
        coalition.gateway(FUEL).await,
    ];
    let toys = coalition.gateway("eastern-toys").await;
    let rows = [
        (&cinema, "cinema-1", RefusalCode::EarnNotPermitted),
        (&fuel, "fuel-a1", RefusalCode::EarnNotPermitted),
        (&pharmacy, "harbour-2", RefusalCode::StoreUnknown),
        (&market, "harbour-9", RefusalCode::StoreUnknown),
        (&toys, "toys-1", RefusalCode::PartnerUnknown),
    ];
    for (number, (key, store, expected)) in rows.into_iter().enumerate() {
        let refused = coalition.accrue(key, bought(&format!("r-{number}"), "ada", store, "bread", 900)).await;
        assert_eq!(refusal(&refused), expected, "{store}");
        assert!(!refused.refusal.unwrap().journaled);
        let basket = bought("", "ada", store, "bread", 900).basket;
        let quote = wire::QuoteRequest { account_id: "ada".to_owned(), basket, ..<_>::default() };
        let quoted = coalition.ledger.quote(with_key(key, quote)).await.unwrap().into_inner();
        assert_eq!(refusal(&quoted.decision.unwrap()), expected, "a quote says what an accrual would");
    }
    let mut elsewhere = bought("r-9", "ada", "harbour-1", "bread", 900);
    elsewhere.basket.as_mut().unwrap().terminal_id = "till-9".to_owned();
    assert_eq!(refusal(&coalition.accrue(&market, elsewhere).await), RefusalCode::StoreUnknown);
    let rows = [
        (&books, RefusalCode::BurnNotPermitted),
        (&fuel, RefusalCode::BurnNotPermitted),
        (&toys, RefusalCode::PartnerUnknown),
    ];
    for (number, (key, expected)) in rows.into_iter().enumerate() {
        assert_eq!(refusal(&coalition.redeem(key, &format!("x-{number}"), 1).await), expected);
    }
    // Nobody makes another owe.
    let office = coalition.office(MARKET).await;
    let lot = |issuer: &str| wire::OpeningLot { points: 5, issuer: issuer.to_owned(), ..<_>::default() };
    for (issuer, expected) in [(BOOKS, Some(RefusalCode::EarnNotPermitted)), (MARKET, None)] {
        let request = wire::LoadOpeningBalanceRequest {
            transaction_id: format!("load-{issuer}"),
            account_id: "ada".to_owned(),
            lots: vec![lot(issuer)],
            ..<_>::default()
        };
        let loaded = coalition.account.load_opening_balance(with_key(&office, request)).await.unwrap();
        let decision = loaded.into_inner().decision.unwrap();
        assert_eq!(decision.refusal.map(|refusal| refusal.code()), expected, "{issuer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_s_desk_gives_and_takes_what_the_brand_issues() {
    let mut coalition = open().await;
    coalition.play().await;
    let mut desk = OperatorServiceClient::new(coalition.house.channel().await);
    let mut keys = std::collections::BTreeMap::new();
    for brand in [MARKET, CINEMA, FUEL, "eastern-toys"] {
        keys.insert(brand, coalition.house.key(grant(Role::Operator, brand, &[])).await);
    }
    let rows = [
        // Of the sixty units that ada has in the end, books owes all.
        ("market takes nothing of books'", MARKET, -1, Err(RefusalCode::InsufficientBalance)),
        ("market gives its own", MARKET, 7, Ok(7)),
        ("and takes no more than those", MARKET, -8, Err(RefusalCode::InsufficientBalance)),
        ("but those", MARKET, -7, Ok(-7)),
        ("the cinema issues nothing", CINEMA, 7, Err(RefusalCode::EarnNotPermitted)),
        ("so it takes nothing", CINEMA, -1, Err(RefusalCode::EarnNotPermitted)),
        ("its rights have ended", FUEL, 7, Err(RefusalCode::EarnNotPermitted)),
        ("the programme does not name it", "eastern-toys", 7, Err(RefusalCode::PartnerUnknown)),
        ("nor may it take", "eastern-toys", -1, Err(RefusalCode::PartnerUnknown)),
    ];
    for (number, (why, brand, points, expected)) in rows.into_iter().enumerate() {
        let remark = wire::Remark { reason_code: "goodwill".to_owned(), operator: "ada".to_owned(), ..<_>::default() };
        let request = wire::AdjustBalanceRequest {
            transaction_id: format!("desk-{number}"),
            account_id: "ada".to_owned(),
            points,
            remark: Some(remark),
            ..<_>::default()
        };
        let answer = desk.adjust_balance(with_key(&keys[brand], request)).await.unwrap().into_inner();
        let decision = answer.decision.unwrap();
        let told = match &decision.refusal {
            Some(refusal) => Err(refusal.code()),
            None => Ok(decision.granted_points - decision.reversed_points),
        };
        assert_eq!(told, expected, "{why}");
    }
    assert_eq!(coalition.balance(&coalition.office(BOOKS).await, "ada").await.unwrap(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_and_what_died_tells_a_stranger_of_no_account() {
    let mut coalition = open().await;
    coalition.play().await;
    let mut desk = OperatorServiceClient::new(coalition.house.channel().await);
    let ada = coalition.house.key(Grant::of_role(Role::Auditor)).await;
    let request = wire::ListTransactionsRequest { account_id: "ada".to_owned(), ..<_>::default() };
    let statement = coalition.ledger.list_transactions(with_key(&ada, request)).await.unwrap().into_inner();
    let position = |partner: &str| {
        let found = statement.transactions.iter().find(|one| one.partner == partner);
        found.and_then(|one| one.decision.as_ref()?.position).unwrap()
    };
    // Books' own record, one of another brand in the same account, and one of an account that is not there.
    let books = coalition.house.key(grant(Role::Operator, BOOKS, &[])).await;
    for (number, (account_id, expired, expected)) in [
        ("ada", position(BOOKS), RefusalCode::NotRestorable),
        ("ada", position(MARKET), RefusalCode::OriginalUnknown),
        ("nobody", position(MARKET), RefusalCode::OriginalUnknown),
        ("ada", 1 << 40, RefusalCode::OriginalUnknown),
    ]
    .into_iter()
    .enumerate()
    {
        let remark = wire::Remark { reason_code: "goodwill".to_owned(), operator: "eve".to_owned(), ..<_>::default() };
        let request = wire::RestoreExpiredRequest {
            transaction_id: format!("restore-{number}"),
            account_id: account_id.to_owned(),
            expired_position: Some(expired),
            expire_time: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
            remark: Some(remark),
            ..<_>::default()
        };
        let answer = desk.restore_expired(with_key(&books, request)).await.unwrap().into_inner();
        assert_eq!(refusal(&answer.decision.unwrap()), expected, "{account_id} {expired}");
    }
    let card = |value: &str| Some(wire::AccountIdentifier { kind: "card".to_owned(), value: value.to_owned() });
    let office = coalition.office(MARKET).await;
    let link = wire::LinkIdentifierRequest {
        transaction_id: "link".to_owned(),
        account_id: "ada".to_owned(),
        identifier: card("1"),
        ..<_>::default()
    };
    let linked = coalition.account.link_identifier(with_key(&office, link.clone())).await.unwrap().into_inner();
    assert_eq!(linked.decision.unwrap().refusal, None);
    for (brand, is_told) in [(MARKET, true), (FUEL, false), ("eastern-toys", false)] {
        let office = coalition.office(brand).await;
        // Whether a card is somebody's, and whether it is taken.
        for (number, value) in ["1", "2", "3"].into_iter().enumerate() {
            let quote = wire::QuoteRequest {
                account_identifier: card(value),
                basket: bought("", "", "harbour-1", "bread", 900).basket,
                ..<_>::default()
            };
            let quoted = coalition.ledger.quote(with_key(&office, quote)).await.unwrap().into_inner();
            let told = quoted.decision.unwrap().refusal.map(|refusal| refusal.code());
            let expected = match (brand, value) {
                ("eastern-toys", _) => Some(RefusalCode::PartnerUnknown),
                (FUEL, "3") => Some(RefusalCode::IdentifierUnknown),
                (MARKET, "1") => None,
                (MARKET, _) => Some(RefusalCode::IdentifierUnknown),
                // A late receipt is judged by its own day, so the card is looked at.
                _ => Some(RefusalCode::StoreUnknown),
            };
            assert_eq!(told, expected, "{brand} {value}");
            if (brand, value) == (MARKET, "3") {
                // It stays nobody's.
                continue;
            }
            let taken = wire::LinkIdentifierRequest {
                transaction_id: format!("link-{brand}-{number}"),
                account_id: "ben".to_owned(),
                identifier: card(value),
                ..<_>::default()
            };
            let taken = coalition.account.link_identifier(with_key(&office, taken)).await.unwrap().into_inner();
            let told = taken.decision.unwrap().refusal.map(|refusal| refusal.code());
            let expected = match brand {
                MARKET => (value == "1").then_some(RefusalCode::IdentifierTaken),
                FUEL => Some(RefusalCode::EarnNotPermitted),
                _ => Some(RefusalCode::PartnerUnknown),
            };
            assert_eq!(told, expected, "{brand} {value}");
            let update = wire::UpdateAccountRequest {
                transaction_id: format!("update-{brand}-{number}"),
                account_id: ["ada", "nobody", "none"][number].to_owned(),
                ..<_>::default()
            };
            let updated = coalition.account.update_account(with_key(&office, update)).await.unwrap().into_inner();
            let told = updated.decision.unwrap().refusal.map(|refusal| refusal.code());
            let expected = match brand {
                MARKET => (number > 0).then_some(RefusalCode::AccountUnknown),
                FUEL => Some(RefusalCode::EarnNotPermitted),
                _ => Some(RefusalCode::PartnerUnknown),
            };
            assert_eq!(told, expected, "{brand} {number}");
        }
        let mut answers = Vec::new();
        for account_id in ["ada", "nobody"] {
            let request = wire::ListHeldRequest { account_id: account_id.to_owned(), ..<_>::default() };
            answers.push(desk.list_held(with_key(&office, request)).await.map(|page| page.into_inner().held.len()));
        }
        let nobody = answers.pop().unwrap().unwrap_err();
        assert_eq!(crate::shop::reason(&nobody), "ACCOUNT_UNKNOWN");
        match answers.pop().unwrap() {
            Ok(count) => assert!(is_told && count == 0, "{brand}"),
            Err(ada) => {
                assert!(!is_told && (ada.code(), ada.message()) == (nobody.code(), nobody.message()), "{brand}")
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brand_sees_its_own_side_and_of_accounts_what_it_deals_in() {
    let mut coalition = open().await;
    coalition.play().await;
    let [market, books, cinema] =
        [coalition.office(MARKET).await, coalition.office(BOOKS).await, coalition.office(CINEMA).await];
    let operator = coalition.house.key(Grant::of_role(Role::Operator)).await;

    let own = coalition.report(&books, None).await;
    assert_eq!((standings(&own), burns(&own)), (vec![(BOOKS, [100, 0, 40, 0, 60])], vec![]));
    let own = coalition.report(&market, None).await;
    assert_eq!(standings(&own), [(MARKET, [170, 50, 120, 0, 0])]);
    assert_eq!(burns(&own), [(MARKET, BOOKS, 30, 30 * 4_500)]);
    assert_eq!(standings(&coalition.report(&cinema, None).await), []);
    assert_eq!(standings(&coalition.report(&operator, None).await).len(), 3);

    // A budget is told to whom it belongs, with the levels that were crossed.
    let budgets = coalition.budgets(&books).await;
    assert_eq!(budgets, coalition.budgets(&operator).await);
    assert_eq!((budgets[0].used_points, budgets[0].limit_points), (100, 100));
    let warnings: Vec<_> = budgets[0].warnings.iter().map(|w| (w.percent, w.reached, w.crossing_count)).collect();
    assert_eq!(warnings, [(50, true, 1), (80, true, 1), (100, true, 1)]);
    assert_eq!(coalition.budgets(&market).await, []);
    let mut admin = AdminServiceClient::new(coalition.house.channel().await);
    let status = admin.get_status(with_key(&operator, wire::GetStatusRequest::default())).await.unwrap().into_inner();
    assert_eq!(status.budget_warning_count, 3);

    // Whose points it took stands in a redemption, for whoever took them.
    let film = wire::GetTransactionRequest { transaction_id: "c-1".to_owned() };
    let film = coalition.ledger.get_transaction(with_key(&cinema, film)).await.unwrap().into_inner();
    let film = film.transaction.unwrap();
    let shares: Vec<_> = film.burned_shares.iter().map(|s| (s.issuer.as_str(), s.points, s.funding_rate_bps)).collect();
    assert_eq!(shares, [(MARKET, 120, 5_000), (PHARMACY, 20, 6_000), (BOOKS, 10, 5_000)]);
    assert_eq!(film.redemption_rate_bps, 4_000);
    let others = wire::GetTransactionRequest { transaction_id: "c-1".to_owned() };
    let others = coalition.ledger.get_transaction(with_key(&market, others)).await.unwrap_err();

    // A brand whose rights have ended, or that never had any, sees no account: as if there were none.
    assert_eq!(coalition.balance(&cinema, "ada").await.unwrap(), 60);
    assert_eq!(crate::shop::reason(&others), "TRANSACTION_UNKNOWN");
    let unknown = coalition.balance(&market, "nobody").await.unwrap_err();
    for partner in [FUEL, "eastern-toys"] {
        let key = coalition.office(partner).await;
        let hidden = coalition.balance(&key, "ada").await.unwrap_err();
        let account = wire::GetAccountRequest { account_id: "ada".to_owned(), ..<_>::default() };
        let account = coalition.account.get_account(with_key(&key, account)).await.unwrap_err();
        let list = wire::ListTransactionsRequest { account_id: "ada".to_owned(), ..<_>::default() };
        let list = coalition.ledger.list_transactions(with_key(&key, list)).await.unwrap_err();
        for answer in [&hidden, &account, &list] {
            assert_eq!((answer.code(), answer.message()), (unknown.code(), unknown.message()), "{partner}");
            assert_eq!(answer.details(), unknown.details(), "{partner}");
        }
    }
}

/// A version is judged by what it says of partners, whatever numbers their names have in a file that is only checked.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_a_partner_goes_on_in_the_next_version_and_belongs_to_whom_it_belonged() {
    let coalition = open().await;
    let owner = coalition.house.key(Grant::of_role(Role::ProgramOwner)).await;
    let mut programs = ProgramServiceClient::new(coalition.house.channel().await);
    let file = std::fs::read_to_string(repository("deploy/programs/coalition.toml")).unwrap();
    let own = "name = \"books-campaign\"\npartner = \"old-town-books\"";
    let others = "name = \"books-campaign\"\npartner = \"green-pharmacy\"";
    assert!(file.contains(own));
    // A brand that joins gets a number before all that is known.
    let joined = file.replacen(
        "[[partners]]",
        "[[partners]]\nname = \"corner-bakery\"\nstores = [{ name = \"bakery-1\" }]\n\n[[partners]]",
        1,
    );
    for (source, fits) in [(file.clone(), true), (joined.clone(), true), (file.replace(own, others), false)] {
        let request = wire::CheckProgramRequest { source: source.clone() };
        let checked = programs.check_program(with_key(&owner, request)).await.unwrap().into_inner();
        let is_error = |problem: &&wire::ProgramProblem| problem.severity() == wire::ProblemSeverity::Error;
        let errors: Vec<_> = checked.problems.iter().filter(is_error).map(|problem| problem.message.as_str()).collect();
        assert_eq!((errors.is_empty(), checked.summary.is_some()), (fits, fits), "{errors:?}");
        assert!(fits || errors[0].contains("counts something else"), "{errors:?}");
    }
    let transaction_id = "v2".to_owned();
    let publish = wire::PublishProgramRequest { transaction_id, source: joined, effective_time: None };
    let published = programs.publish_program(with_key(&owner, publish)).await.unwrap().into_inner();
    assert_eq!(published.program.unwrap().version, 2);
}

/// How often a member bought at one brand is nothing that another may read.
#[tokio::test(flavor = "multi_thread")]
async fn a_brand_sees_its_own_cards_and_those_of_all() {
    let card = |name: &str, when: &str| {
        format!("\n[[stamps]]\nname = \"{name}\"\ncounts = \"baskets\"\ncount = 10\nunits = 5\n{when}\n")
    };
    let file = std::fs::read_to_string(repository("deploy/programs/coalition.toml")).unwrap();
    let cards = [
        card("everywhere", ""),
        card("market", &format!("when = {{ partners = [\"{MARKET}\"] }}")),
        card("both", &format!("when = {{ partners = [\"{MARKET}\", \"{PHARMACY}\"] }}")),
        card("one-store", "when = { stores = [\"harbour-1\"] }"),
    ];
    let config = Config { program: Some(program_file(&(file + &cards.concat()))), ..config() };
    let mut coalition = Coalition::open(House::open_on(Arc::new(MemoryStore::new()), config).await).await;
    let [market, pharmacy, cinema] =
        [coalition.gateway(MARKET).await, coalition.gateway(PHARMACY).await, coalition.gateway(CINEMA).await];
    let bought = coalition.accrue(&market, bought("m-1", "ada", "harbour-1", "bread", 12_000)).await;
    assert_eq!(bought.stamps.len(), 4);
    let auditor = coalition.house.key(Grant { partner: "".into(), ..grant(Role::Auditor, "", &[]) }).await;
    let rows: [(&str, &[&str]); 4] = [
        (&market, &["everywhere", "market", "both", "one-store"]),
        (&pharmacy, &["everywhere", "both"]),
        (&cinema, &["everywhere"]),
        (&auditor, &["everywhere", "market", "both", "one-store"]),
    ];
    for (key, expected) in rows {
        let request = wire::GetAccountRequest { account_id: "ada".to_owned(), ..<_>::default() };
        let seen = coalition.account.get_account(with_key(key, request)).await.unwrap().into_inner().stamps;
        let names: Vec<_> = seen.iter().map(|card| card.name.as_str()).collect();
        assert_eq!(names, expected);
        assert!(seen.iter().all(|card| card.on_card == 1));
    }
}

/// Whatever happens while a report is made: it is of one position, over all shards.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_made_while_business_goes_on_is_of_one_position() {
    let mut coalition = open().await;
    let auditor = coalition.house.key(Grant::of_role(Role::Auditor)).await;
    let mut business = Vec::new();
    for (partner, store) in [(MARKET, "harbour-2"), (PHARMACY, "pharmacy-ring")] {
        let (key, mut ledger) = (coalition.gateway(partner).await, coalition.ledger.clone());
        business.push(tokio::spawn(async move {
            for number in 0..150 {
                let (id, account) = (format!("{store}-{number}"), format!("member-{}", number % 23));
                let request = bought(&id, &account, store, "bread", 1_000);
                ledger.accrue(with_key(&key, request)).await.unwrap();
                let request = wire::RedeemRequest {
                    transaction_id: format!("{id}-spent"),
                    account_id: account,
                    points: 7,
                    ..wire::RedeemRequest::default()
                };
                ledger.redeem(with_key(&key, request)).await.unwrap();
            }
        }));
    }
    let mut reports = Vec::new();
    while business.iter().any(|task| !task.is_finished()) && reports.len() < 40 {
        reports.push(coalition.report(&auditor, None).await);
    }
    for task in business {
        task.await.unwrap();
    }
    reports.push(coalition.report(&auditor, None).await);
    let positions: std::collections::BTreeSet<_> = reports.iter().map(|report| report.position).collect();
    assert!(positions.len() > 3, "business went on meanwhile: {positions:?}");
    for report in &reports {
        assert_eq!(coalition.report(&auditor, report.position).await, *report);
        let burned: i64 = report.standings.iter().map(|standing| standing.burned_points).sum();
        assert_eq!(burns(report).iter().map(|burn| burn.2).sum::<i64>(), burned);
    }
    let last = reports.last().unwrap();
    assert_eq!(burns(last).iter().map(|burn| burn.2).sum::<i64>(), 2 * 150 * 7);
}

/// The configuration of the example serves the programme of the example, and the keys that it speaks of can be issued.
#[test]
fn the_configuration_of_the_coalition_is_served_and_its_keys_are_issued() {
    let root = Root::new();
    root.write_server(&["localhost"]);
    let (certificate, key) = (root.path("server.pem"), root.path("server.key"));
    let ca = root.write("ca.pem", &root.pem);
    let folder = tempfile::tempdir().unwrap();
    let (first, backups) = (folder.path().join("first"), folder.path().join("backups"));
    let file = repository("deploy/coalition.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let program = repository("deploy/programs/coalition.toml");
    // Paths and addresses of this machine in the place of the example's; all else is as it stands.
    let flags = [
        ("--config", path(&file)),
        ("--metrics-listen", "off"),
        ("--program", path(&program)),
        ("--first-key-file", path(&first)),
        ("--tls-certificate", path(&certificate)),
        ("--tls-key", path(&key)),
        ("--tls-client-ca", path(&ca)),
        ("--backup-root", path(&backups)),
    ];
    let flags: Vec<&str> = flags.into_iter().flat_map(|(flag, value)| [flag, value]).collect();
    let server = Server::start(folder.path(), &flags);
    let port = server.address.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let access = ["--server", &url, "--ca-file", path(&ca), "--api-key-file", path(&first)];
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#   tallystick ")).collect();
    assert!(lines.len() >= 8, "{lines:?}");
    for line in &lines {
        let arguments: Vec<&str> = line.split(' ').chain(access).collect();
        let printed = good(&run(&arguments));
        assert!(printed.contains("tsk_"), "{line}: {printed}");
    }
    let auditor = folder.path().join("auditor");
    let create = ["keys", "create", "--name", "checks", "--role", "auditor", "--out", path(&auditor)];
    good(&run(&create.into_iter().chain(access).collect::<Vec<_>>()));
    let access = ["--server", &url, "--ca-file", path(&ca), "--api-key-file", path(&auditor)];
    let asked = |what: &[&str]| good(&run(&what.iter().copied().chain(access).collect::<Vec<_>>()));
    assert!(asked(&["settlement", "report"]).starts_with("at position "));
    assert!(asked(&["settlement", "budgets"]).contains("books-campaign of old-town-books: 0 of 100 used"));
    server.stop();
    let data = folder.path().join("data");
    let offline: serde_json::Value =
        serde_json::from_str(&good(&run(&["settlement", "report", "--json", "--data", path(&data)]))).unwrap();
    assert_eq!(offline["standings"], serde_json::json!([]));
    assert!(offline["position"].is_number());
}
