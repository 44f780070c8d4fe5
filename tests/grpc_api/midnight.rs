//! Returns that meet the midnight at which the points die, through the wire: whoever comes first, each is answered for good,
//! and every point is still there, spent, dead or taken back, and no two of these.

use std::sync::Arc;
use std::time::Duration;

use tallystick::audit::verify::{VerifyOptions, verify};
use tallystick::clock::Clock;
use tallystick::config::Config;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tallystick::service::wire::{self, RefusalCode};
use tallystick::store::memory::MemoryStore;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::support::*;

type Ledger = LedgerServiceClient<Channel>;

const NS_PER_DAY: i64 = 86_400_000_000_000;
const NS_PER_MS: i64 = 1_000_000;
const ROUNDS: i64 = 14;
const ACCOUNTS: usize = 6;
/// A basket of four pieces, of which a redemption takes less than two.
const GRANTED: i64 = 40;
const SPENT: i64 = 15;
/// Longer than any answer takes, and than the ledger takes to post what has died.
const IN_TIME: Duration = Duration::from_secs(30);

/// What the race came to: returns of each kind that took effect before and after the deaths.
#[derive(Debug, Default)]
struct Reached {
    burned_alive: usize,
    burned_dead: usize,
    basket_alive: usize,
    basket_dead: usize,
}

fn piece_of_basket(own: String, original: String) -> wire::ReverseRequest {
    let lines = vec![wire::ReturnedLine { line_index: 0, quantity: 1, amount_minor: 0 }];
    wire::ReverseRequest { lines, ..reversal(&own, &original) }
}

async fn send(ledger: &mut Ledger, request: wire::ReverseRequest) -> wire::Decision {
    let answered = tokio::time::timeout(IN_TIME, ledger.reverse(request)).await.expect("an answer in time");
    answered.unwrap().into_inner().decision.unwrap()
}

struct Race {
    shop: Shop,
    clock: Arc<Hands>,
    connections: Vec<Ledger>,
    /// Whether what is burned comes back to live on after its death.
    is_extended: bool,
    reached: Reached,
}

impl Race {
    async fn open(is_extended: bool) -> Self {
        let policy = if is_extended { "when_returned = \"extend\"\nextend_days = 400" } else { "hold_minutes = 60" };
        let earn = format!("[redemption]\n{policy}\n\n[earn]\nexpiry = {{ after_days = 1 }}");
        let program = program_file(&plain_program(&[("[earn]", &earn)]));
        let clock = Hands::new();
        let config = Config { program: Some(program), ..config() };
        let shop = Shop::open_by(Arc::new(MemoryStore::new()), config, clock.clone()).await;
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(LedgerServiceClient::new(connect(&shop.running).await));
        }
        Self { shop, clock, connections, is_extended, reached: Reached::default() }
    }

    /// Baskets at noon, and a redemption of each. Returns when their points die.
    async fn buy(&mut self, round: i64) -> i64 {
        let day = self.clock.now().0.div_euclid(NS_PER_DAY);
        for number in 0..ACCOUNTS {
            let (id, account) = (format!("t-{round}-{number}"), format!("a-{round}-{number}"));
            let mut bought = accrual(&id, &account, GRANTED * 100);
            let basket = bought.basket.as_mut().unwrap();
            basket.receipt_time = time(day * 86_400 + 43_200);
            basket.lines[0].quantity = 4;
            assert_eq!(self.shop.accrue(bought).await.granted_points, GRANTED);
            let request = wire::RedeemRequest {
                transaction_id: format!("r-{round}-{number}"),
                account_id: account,
                points: SPENT,
                ..<_>::default()
            };
            let spent = self.shop.ledger.redeem(request).await.unwrap().into_inner().decision.unwrap();
            assert_eq!(spent.redeemed_points, SPENT);
        }
        (day + 2) * NS_PER_DAY
    }

    /// All connections at once, account for account: two give back what was burned in pieces of 5, two bring back pieces of
    /// the basket. Each answer is of one side of the deaths.
    async fn return_all(&mut self, round: i64) -> Vec<Vec<(usize, wire::Decision)>> {
        let mut calls = JoinSet::new();
        for (till, mut ledger) in self.connections.iter().cloned().enumerate() {
            calls.spawn(async move {
                let mut answers = Vec::new();
                for number in 0..ACCOUNTS {
                    for count in 0..3 {
                        let own = format!("v-{round}-{number}-{till}-{count}");
                        let request = if till < 2 {
                            wire::ReverseRequest { points: 5, ..reversal(&own, &format!("r-{round}-{number}")) }
                        } else {
                            piece_of_basket(own, format!("t-{round}-{number}"))
                        };
                        answers.push((number, send(&mut ledger, request).await));
                    }
                }
                (till, answers)
            });
        }
        let mut of_tills = calls.join_all().await;
        of_tills.sort_by_key(|(till, _)| *till);
        of_tills.into_iter().map(|(_, answers)| answers).collect()
    }

    /// What an account got back of what it had spent, and what was taken of its basket, by the answers.
    fn told(&mut self, of: usize, dies_at: i64, answers: &[Vec<(usize, wire::Decision)>]) -> (i64, i64, usize) {
        let (mut returned, mut reversed, mut accepted) = (0, 0, 0);
        for (till, answers) in answers.iter().enumerate() {
            for (_, decision) in answers.iter().filter(|(number, _)| *number == of) {
                if decision.refusal.is_some() {
                    let permitted =
                        [RefusalCode::ReturnTooLarge, RefusalCode::AlreadyReversed, RefusalCode::InsufficientBalance];
                    assert!(permitted.contains(&refusal(decision)), "{decision:?}");
                    continue;
                }
                accepted += 1;
                let posted = decision.posting_time.unwrap();
                let is_dead = posted.seconds * 1_000_000_000 + i64::from(posted.nanos) >= dies_at;
                assert!(self.is_extended || !is_dead || decision.balance_points == 0, "{decision:?}");
                if till < 2 {
                    assert!(!self.is_extended || !is_dead || decision.balance_points >= 5, "{decision:?}");
                    assert_eq!((decision.returned_points, decision.reversed_points), (5, 0), "{decision:?}");
                    returned += 5;
                    self.reached.burned_dead += usize::from(is_dead);
                    self.reached.burned_alive += usize::from(!is_dead);
                } else {
                    // Past their death nothing is taken for those that died; what came back and lives on is.
                    let most = if is_dead && !self.is_extended { 0 } else { 10 };
                    let taken = if is_dead { 0..=most } else { 10..=10 };
                    assert!(taken.contains(&decision.reversed_points), "{decision:?}");
                    assert_eq!(decision.returned_points, 0, "{decision:?}");
                    reversed += decision.reversed_points;
                    self.reached.basket_dead += usize::from(is_dead);
                    self.reached.basket_alive += usize::from(!is_dead);
                }
            }
        }
        (returned, reversed, accepted)
    }

    async fn wallet(&mut self, account_id: &str) -> wire::WalletBalance {
        let request = wire::GetBalanceRequest { account_id: account_id.to_owned(), ..<_>::default() };
        self.shop.ledger.get_balance(request).await.unwrap().into_inner().wallets.remove(0)
    }

    /// Every point of the account is in one place: by its balance at once, and by its statement once the ledger has posted
    /// what died.
    async fn account_for(&mut self, round: i64, number: usize, (returned, reversed, accepted): (i64, i64, usize)) {
        let account = format!("a-{round}-{number}");
        let wallet = self.wallet(&account).await;
        let sum = wallet.balance_points + wallet.redeemed_points + wallet.expired_points + wallet.reversed_points;
        assert_eq!((wallet.granted_points, sum), (GRANTED, GRANTED), "{account}: {wallet:?}");
        assert_eq!((wallet.redeemed_points, wallet.reversed_points), (SPENT - returned, reversed), "{account}");
        assert!(self.is_extended || wallet.balance_points == 0, "{account}: {wallet:?}");
        let posted = async {
            loop {
                let request =
                    wire::ListTransactionsRequest { account_id: account.clone(), page_size: 100, ..<_>::default() };
                let listed = self.shop.ledger.list_transactions(request).await.unwrap().into_inner().transactions;
                let decisions: Vec<_> = listed.into_iter().map(|one| one.decision.unwrap()).collect();
                let moved = |what: fn(&wire::Decision) -> i64| -> i64 { decisions.iter().map(what).sum() };
                assert!(moved(|one| one.expired_points) <= wallet.expired_points, "{account} died twice");
                if moved(|one| one.expired_points) == wallet.expired_points {
                    assert_eq!(moved(|one| one.granted_points), GRANTED);
                    assert_eq!(moved(|one| one.redeemed_points) - moved(|one| one.returned_points), SPENT - returned);
                    assert_eq!(moved(|one| one.reversed_points), reversed);
                    let by_return = |one: &&wire::Decision| one.returned_points + one.reversed_points > 0;
                    assert!(
                        decisions.iter().filter(by_return).count() <= accepted,
                        "{account}: nothing is posted twice"
                    );
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(IN_TIME, posted).await.expect("what died is posted");
    }

    async fn run(mut self) {
        for round in 0..ROUNDS {
            let dies_at = self.buy(round).await;
            // Now and then long before, now and then just before.
            self.clock.set(dies_at - (round % 7) * 4 * NS_PER_MS);
            let answers = self.return_all(round).await;
            self.clock.set(dies_at.max(self.clock.now().0) + NS_PER_DAY / 2);
            // The ledger has no clock: it posts what died once something comes later, here in every shard.
            for other in 0..16 {
                let mut bought = accrual(&format!("o-{round}-{other}"), &format!("other-{other}"), 100);
                bought.basket.as_mut().unwrap().receipt_time = time(self.clock.now().0.div_euclid(1_000 * NS_PER_MS));
                assert_eq!(
                    self.shop.accrue(bought).await.granted_points,
                    1,
                    "it is no late receipt, which moves nothing"
                );
            }
            for number in 0..ACCOUNTS {
                let told = self.told(number, dies_at, &answers);
                self.account_for(round, number, told).await;
            }
        }
        let Reached { burned_alive, burned_dead, basket_alive, basket_dead } = self.reached;
        let reached = [burned_alive, burned_dead, basket_alive, basket_dead];
        assert!(reached.iter().all(|count| *count > 0), "both sides of midnight were met: {reached:?}");
        let Shop { running, store, .. } = self.shop;
        running.shutdown().await.unwrap();
        let verified = verify(&store, &VerifyOptions::default(), &mut |_, _| {}).unwrap();
        assert!(verified.intact, "{:?}", verified.findings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_at_midnight_dies_once() {
    Race::open(false).await.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_at_midnight_lives_on_where_the_programme_says_so() {
    Race::open(true).await.run().await;
}
