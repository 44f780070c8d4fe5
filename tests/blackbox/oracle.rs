//! The outside oracle: it knows every command that was sent and every answer that came, and nothing else.
//!
//! What must stay true:
//! - a command is noted before it is sent, so that nothing the server did can be unknown here;
//! - the first definite answer stands: every later one must be the same, and at most one of all is not a replay;
//! - what it concludes at the end comes from the answers alone: sums over decisions are balances, and every decision
//!   fits the one before it on its account.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use tallystick::service::wire;
use tonic::Code;

use super::Clients;
use super::calls::{asks_for_a_retry, id_of, is_put_off, reason_of};

/// Commands in one message when many are asked again.
const COMMANDS_PER_MESSAGE: usize = 256;

/// A command and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What was sent.
    pub command: wire::Command,
    /// The account that it concerns.
    pub account_id: String,
    /// In which round it was sent first.
    pub round: u64,
    /// The first definite answer, without its mark of a replay; `None` while the outcome is unknown.
    pub answer: Option<wire::Decision>,
    /// Whether an answer came that is no replay. Of two calls at once the replay may be answered first.
    pub was_original: bool,
}

impl Asked {
    /// The answer, if the command had an effect.
    pub fn effect(&self) -> Option<&wire::Decision> {
        self.answer.as_ref().filter(|decision| decision.refusal.is_none())
    }
}

/// Everything that was asked and answered.
#[derive(Debug, Default)]
pub struct Oracle {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    asked: BTreeMap<String, Asked>,
    /// Accruals that had an effect, each with its account; some may be reversed by now.
    reversible: Vec<(String, String)>,
    /// Authorizations that had an effect, each with its account; some may have ended by now.
    set_aside: Vec<(String, String)>,
}

impl Oracle {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // A client that failed has its own message; the others' tables are whole.
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes a command that is about to be sent for the first time.
    pub fn ask(&self, round: u64, account_id: &str, command: &wire::Command) {
        let (command, account_id) = (command.clone(), account_id.to_owned());
        let id = id_of(&command).to_owned();
        let asked = Asked { command, account_id, round, answer: None, was_original: false };
        let earlier = self.lock().asked.insert(id.clone(), asked);
        assert!(earlier.is_none(), "the test uses {id} twice");
    }

    /// Notes an answer and judges it by the first one. One that puts the caller off is no answer.
    pub fn answered(&self, transaction_id: &str, decision: wire::Decision) {
        if is_put_off(&decision) {
            return;
        }
        let mut known = self.lock();
        let Known { asked, reversible, set_aside } = &mut *known;
        let asked = asked.get_mut(transaction_id).expect("every command is noted before it is sent");
        let is_original = !decision.replayed && decision.position.is_some();
        assert!(
            !(is_original && asked.was_original),
            "{transaction_id} took effect twice: {asked:?}, then {decision:?}"
        );
        asked.was_original |= is_original;
        let decision = wire::Decision { replayed: false, ..decision };
        match &asked.answer {
            Some(first) if first.position.is_some() => {
                assert_eq!(*first, decision, "{transaction_id} was answered differently the second time");
            }
            Some(first) if !may_change(first) => {
                // It left nothing behind, so it was judged anew.
                let code = |decision: &wire::Decision| decision.refusal.as_ref().map(wire::Refusal::code);
                assert_eq!(
                    code(first),
                    code(&decision),
                    "{transaction_id} was refused, and now on another ground: {:?}",
                    asked.command
                );
            }
            _ => {
                let found = (transaction_id.to_owned(), asked.account_id.clone());
                match &asked.command.command {
                    Some(wire::command::Command::Accrue(_)) if decision.refusal.is_none() => reversible.push(found),
                    Some(wire::command::Command::Authorize(_)) if decision.refusal.is_none() => set_aside.push(found),
                    _ => {}
                }
                asked.answer = Some(decision);
            }
        }
    }

    /// Commands of these rounds without an answer.
    pub fn unanswered(&self) -> Vec<wire::Command> {
        self.select(|asked| asked.answer.is_none())
    }

    /// Commands that were answered and sent first in this round or later.
    pub fn answered_since(&self, round: u64) -> Vec<wire::Command> {
        self.select(|asked| asked.round >= round && asked.answer.is_some())
    }

    fn select(&self, wanted: impl Fn(&Asked) -> bool) -> Vec<wire::Command> {
        self.lock().asked.values().filter(|asked| wanted(asked)).map(|asked| asked.command.clone()).collect()
    }

    /// Everything, in the order of the ids.
    pub fn all(&self) -> Vec<Asked> {
        self.lock().asked.values().cloned().collect()
    }

    /// How many commands there are, and how many of them are answered.
    pub fn counts(&self) -> (usize, usize) {
        let asked = &self.lock().asked;
        (asked.len(), asked.values().filter(|asked| asked.answer.is_some()).count())
    }

    /// One of the accruals that had an effect, with its account; it may be reversed already.
    pub fn reversible(&self, any: u64) -> Option<(String, String)> {
        one_of(&self.lock().reversible, any)
    }

    /// One of the authorizations that had an effect, with its account; it may have ended already.
    pub fn authorization(&self, any: u64) -> Option<(String, String)> {
        one_of(&self.lock().set_aside, any)
    }

    /// Whether an answer said that the command is on record.
    fn is_journaled(&self, transaction_id: &str) -> bool {
        let known = self.lock();
        let answer = known.asked.get(transaction_id).and_then(|asked| asked.answer.as_ref());
        answer.is_some_and(|decision| decision.position.is_some())
    }

    /// Sends commands again, many at a time, and judges every answer. All must be answered.
    pub async fn ask_again(&self, clients: &Clients, commands: Vec<wire::Command>) {
        let ids: Vec<String> = commands.iter().map(|command| id_of(command).to_owned()).collect();
        let messages: Vec<wire::CommandStreamRequest> = commands
            .chunks(COMMANDS_PER_MESSAGE)
            .map(|commands| wire::CommandStreamRequest { commands: commands.to_vec() })
            .collect();
        let call = clients.ledger.clone().command_stream(tokio_stream::iter(messages)).await;
        let mut results = call.expect("a healthy server takes a stream").into_inner();
        let mut ids = ids.iter();
        while let Some(message) = results.message().await.expect("a healthy server answers a whole stream") {
            for result in message.results {
                let id = ids.next().expect("there are no more results than commands");
                let decision = result.decision.expect("every result has a decision");
                assert!(!is_put_off(&decision), "{id} was put off by a server at rest: {decision:?}");
                assert!(decision.replayed || !self.is_journaled(id), "{id} is not known any more: {decision:?}");
                self.answered(id, decision);
            }
        }
        assert_eq!(ids.next(), None, "every command of a stream gets a result");
    }

    /// After a restart: what was answered since `round` is answered again, and what has no answer gets one, once.
    pub async fn check_after_restart(&self, clients: &Clients, round: u64) {
        self.ask_again(clients, self.answered_since(round)).await;
        let open = self.unanswered();
        self.ask_again(clients, open.clone()).await;
        // Now that they are answered, the same again must be replayed.
        self.ask_again(clients, open).await;
    }

    /// At the end, with every command answered: the whole history, as the answers tell it and as the server does.
    pub async fn check_history(&self, clients: &Clients) {
        let all = self.all();
        let open = all.iter().filter(|asked| asked.answer.is_none()).count();
        assert_eq!(open, 0, "every command has an answer by now");
        check_places(&all);
        let mut accounts: BTreeMap<&str, Vec<&Asked>> = BTreeMap::new();
        for asked in &all {
            accounts.entry(&asked.account_id).or_default().push(asked);
        }
        for (account_id, asked) in accounts {
            let mut history: Vec<&Asked> =
                asked.iter().copied().filter(|asked| decision_of(asked).position.is_some()).collect();
            history.sort_by_key(|asked| decision_of(asked).position);
            if history.is_empty() {
                continue;
            }
            let balance = check_continuity(account_id, &history);
            check_balance(clients, account_id, &history, balance).await;
            check_statement(clients, account_id, &history).await;
        }
        check_that_refusals_left_nothing(clients, &all).await;
    }

    /// The points that an accrual was granted; `None` while it has no answer.
    pub fn granted(&self, transaction_id: &str) -> Option<i64> {
        let known = self.lock();
        let answer = known.asked.get(transaction_id).and_then(|asked| asked.answer.as_ref());
        answer.map(|decision| decision.granted_points)
    }

    /// Points granted less points taken back, over everything.
    pub fn net_points(&self) -> i64 {
        let known = self.lock();
        let effects = known.asked.values().filter_map(Asked::effect);
        effects.map(|decision| decision.granted_points - decision.reversed_points).sum()
    }
}

fn one_of(all: &[(String, String)], any: u64) -> Option<(String, String)> {
    let place = usize::try_from(any).unwrap_or(0).checked_rem(all.len())?;
    all.get(place).cloned()
}

/// Whether a refusal that left nothing behind rests on something that other commands change.
fn may_change(refused: &wire::Decision) -> bool {
    use wire::RefusalCode::{AccountLimitReached, AccountUnknown, CaptureExceedsAuthorization, InsufficientBalance};
    let code = refused.refusal.as_ref().map(wire::Refusal::code);
    [AccountLimitReached, AccountUnknown, CaptureExceedsAuthorization, InsufficientBalance]
        .into_iter()
        .any(|passing| code == Some(passing))
}

fn decision_of(asked: &Asked) -> &wire::Decision {
    asked.answer.as_ref().expect("only answered commands are looked at here")
}

/// No two decisions share a place in the journal or in their shard.
fn check_places(all: &[Asked]) {
    let mut positions = HashSet::new();
    let mut sequences = HashSet::new();
    for asked in all {
        let decision = decision_of(asked);
        let Some(position) = decision.position else { continue };
        assert!(positions.insert(position), "position {position} was given twice");
        let place = (decision.shard, decision.sequence);
        assert!(place.0.is_some() && sequences.insert(place), "{place:?} was given twice");
    }
}

/// Every decision of an account fits the one before it. Returns the last balance.
fn check_continuity(account_id: &str, history: &[&Asked]) -> i64 {
    let mut balance = 0;
    for asked in history {
        let decision = decision_of(asked);
        balance += decision.granted_points - decision.reversed_points - decision.redeemed_points;
        let id = id_of(&asked.command);
        assert_eq!(decision.balance_points, balance, "{id} does not follow from what came before on {account_id}");
    }
    balance
}

/// The balance that the server states is the sum of the decisions.
async fn check_balance(clients: &Clients, account_id: &str, history: &[&Asked], balance: i64) {
    let request = wire::GetBalanceRequest { account_id: account_id.to_owned(), ..<_>::default() };
    let response = clients.ledger.clone().get_balance(request).await;
    let stated = response.expect("an account with a history has a balance").into_inner();
    let sum = |of: fn(&wire::Decision) -> i64| history.iter().map(|asked| of(decision_of(asked))).sum::<i64>();
    let wallet = &stated.wallets[0];
    assert_eq!(wallet.balance_points, balance, "balance of {account_id}");
    assert_eq!(wallet.granted_points, sum(|decision| decision.granted_points), "points granted to {account_id}");
    assert_eq!(wallet.reversed_points, sum(|decision| decision.reversed_points), "points taken from {account_id}");
    assert_eq!(wallet.redeemed_points, sum(|decision| decision.redeemed_points), "points spent of {account_id}");
    let set_aside: i64 = history.iter().map(|asked| set_aside_by(asked)).sum();
    let seen = (wallet.set_aside_points, wallet.available_points);
    assert_eq!(seen, (set_aside, balance - set_aside), "what {account_id} has set aside, and what it can spend");
    let accruals = history.iter().filter(|asked| {
        matches!(asked.command.command, Some(wire::command::Command::Accrue(_))) && asked.effect().is_some()
    });
    let totals = stated.totals.unwrap_or_default();
    assert_eq!(totals.basket_count, accruals.count() as i64, "baskets of {account_id}");
    let last = decision_of(history[history.len() - 1]).position;
    assert_eq!(Some(stated.position), last, "position of the last change of {account_id}");
}

/// Points that a command set aside, or below 0 took from what was.
fn set_aside_by(asked: &Asked) -> i64 {
    let decision = decision_of(asked);
    match asked.command.command {
        Some(wire::command::Command::Capture(_)) => -decision.redeemed_points - decision.returned_points,
        Some(wire::command::Command::VoidAuthorization(_)) => -decision.returned_points,
        _ => decision.authorized_points,
    }
}

/// The statement lists exactly the commands that were answered, newest first.
async fn check_statement(clients: &Clients, account_id: &str, history: &[&Asked]) {
    let mut page_token = String::new();
    let mut listed = Vec::new();
    loop {
        let account_id = account_id.to_owned();
        let request = wire::ListTransactionsRequest { account_id, page_size: 500, page_token, ..<_>::default() };
        let response = clients.ledger.clone().list_transactions(request).await;
        let page = response.expect("an account with a history has a statement").into_inner();
        listed.extend(page.transactions.into_iter().map(|transaction| transaction.transaction_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<&str> = history.iter().rev().map(|asked| id_of(&asked.command)).collect();
    assert!(
        listed == expected,
        "the statement of {account_id} has {} entries, not the {} answered ones in their order: {}",
        listed.len(),
        expected.len(),
        first_difference(&listed, &expected)
    );
}

fn first_difference(listed: &[String], expected: &[&str]) -> String {
    let place = (0..listed.len().max(expected.len()))
        .find(|&place| listed.get(place).map(String::as_str) != expected.get(place).copied());
    place.map_or_else(String::new, |place| {
        format!("entry {place} is {:?}, not {:?}", listed.get(place), expected.get(place))
    })
}

/// What was refused without a record is not to be found. A few are enough: each costs a call.
async fn check_that_refusals_left_nothing(clients: &Clients, all: &[Asked]) {
    for asked in all.iter().filter(|asked| decision_of(asked).position.is_none()).take(100) {
        let transaction_id = id_of(&asked.command).to_owned();
        let request = wire::GetTransactionRequest { transaction_id: transaction_id.clone() };
        let status = clients.ledger.clone().get_transaction(request).await.expect_err("it was never journaled");
        let found = (status.code(), reason_of(&status));
        assert_eq!(found, (Code::NotFound, "TRANSACTION_UNKNOWN".to_owned()), "{transaction_id}");
    }
}

/// Sends one command as a till does, and notes the answer. The error is a call that may be tried again.
pub async fn send(oracle: &Oracle, clients: &mut Clients, command: &wire::Command) -> Result<(), tonic::Status> {
    let answered = match command.command.clone().expect("every command of these tests says what to do") {
        wire::command::Command::Accrue(request) => {
            clients.ledger.accrue(request).await.map(|response| response.into_inner().decision)
        }
        wire::command::Command::Reverse(request) => {
            clients.ledger.reverse(request).await.map(|response| response.into_inner().decision)
        }
        wire::command::Command::Redeem(request) => {
            clients.ledger.redeem(request).await.map(|response| response.into_inner().decision)
        }
        wire::command::Command::Authorize(request) => {
            clients.ledger.authorize(request).await.map(|response| response.into_inner().decision)
        }
        wire::command::Command::Capture(request) => {
            clients.ledger.capture(request).await.map(|response| response.into_inner().decision)
        }
        wire::command::Command::VoidAuthorization(request) => {
            clients.ledger.void(request).await.map(|response| response.into_inner().decision)
        }
        other => panic!("the oracle keeps no account of {other:?}"),
    };
    match answered {
        Ok(decision) => {
            oracle.answered(id_of(command), decision.expect("every response has a decision"));
            Ok(())
        }
        Err(status) => {
            assert!(asks_for_a_retry(&status), "{} ended with {status:?}", id_of(command));
            Err(status)
        }
    }
}
