//! The scenes of the demonstration: a morning in a coffee shop, each with what must come of it.
//!
//! What must stay true: every figure that is printed comes from an answer of the server, and every expected figure from
//! the sample programme by hand: 1 bean a euro, pastry double, cake of the house two and a half times, at most 60 beans
//! and 5 earning baskets a guest and day, 5,000 beans for all guests in the opening week.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::process::{Place, ServerProcess};
use super::script::{Act, Script, reason};
use super::till::{CROISSANT, ESPRESSO, MELANGE, Order, SACHERTORTE, Till, accrual, at, in_words, time_of_day};
use crate::cli::client::{Server, ServerArgs, runtime};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{counted, grouped};
use crate::service::wire::{
    AccrueRequest, Command, CommandStreamRequest, Decision, RefusalCode, TransactionKind, command,
};

const BREAKFAST: &Order = &[(MELANGE, 1), (CROISSANT, 1)];
const CAKES: &Order = &[(SACHERTORTE, 10)];
const COFFEE: &Order = &[(ESPRESSO, 1)];
const CAKES_FOR_FOUR: &Order = &[(SACHERTORTE, 4)];

/// Beans that the opening week's budget holds.
const BUDGET: i64 = 5_000;
/// Guests in the queue when the server is killed.
const QUEUE_GUESTS: usize = 600;
/// Answers after which it is killed.
const ANSWERS_BEFORE_KILL: usize = 200;
/// Commands of the queue that may be unanswered.
const QUEUE_WINDOW: usize = 64;
/// Guests who come for the last beans of the budget, all at once.
const RUSH_GUESTS: usize = 100;

/// The stage: a server, a till, and what is to be remembered from scene to scene.
pub struct Stage<'a> {
    script: &'a mut Script,
    place: &'a Place,
    server: ServerProcess,
    till: Till,
    /// Beans granted and not taken back so far.
    granted: i64,
}

fn refusal_code(decision: &Decision) -> Option<RefusalCode> {
    decision.refusal.as_ref().map(|refusal| refusal.code())
}

/// Plays all scenes that need a server.
///
/// # Errors
/// When a call fails or the server does not run; what is merely not as expected is in the script.
pub fn play(script: &mut Script, place: &Place) -> Result<(), CliError> {
    let runtime = runtime()?;
    let server = ServerProcess::start(place)?;
    let till = runtime.block_on(connect(&server))?;
    let mut stage = Stage { script, place, server, till, granted: 0 };
    runtime.block_on(stage.earn_once())?;
    runtime.block_on(stage.meet_caps())?;
    let answered = runtime.block_on(stage.be_killed())?;
    stage = stage.come_back(&runtime)?;
    runtime.block_on(stage.finish_the_queue(&answered))?;
    runtime.block_on(stage.share_the_budget())?;
    runtime.block_on(stage.take_back())?;
    runtime.block_on(stage.read_the_statement())?;
    stage.stop()
}

async fn connect(server: &ServerProcess) -> Result<Till, CliError> {
    Till::connect(Server::new(&ServerArgs::plain(server.url.clone()))?).await
}

/// The queue's n-th basket: one espresso each, everyone another guest.
fn queue_basket(number: usize) -> AccrueRequest {
    let receipt = format!("queue-{number}");
    accrual(&receipt, &format!("queue-guest-{number}"), &receipt, COFFEE, 1_800)
}

impl Stage<'_> {
    async fn row(&mut self, decision: &Decision, act: Act<'_>) -> Result<(), CliError> {
        let gain = decision.granted_points - decision.reversed_points;
        let is_refused = decision.refusal.is_some();
        let (gain, balance) = ((!is_refused).then_some(gain), (!is_refused).then_some(decision.balance_points));
        self.script.row(act, gain, balance, &reason(decision))
    }

    /// Scenes 1 to 4: a quote, an accrual, its repetition, and two that must not pass.
    async fn earn_once(&mut self) -> Result<(), CliError> {
        let act = |time, guest, what| Act { time, guest, what };
        let breakfast = in_words(BREAKFAST);
        self.script.scene("A quote: what would a breakfast earn? Nothing is changed by asking.")?;
        self.script.headings()?;
        let quote = self.till.quote("anna", BREAKFAST, 0).await?;
        self.script.row(act("08:00", "anna", &breakfast), Some(quote.granted_points), None, "would earn")?;
        self.script.expect("the quote", quote.granted_points, 9)?;

        self.script.scene("Anna pays. The answer comes when her beans are on disk.")?;
        let request = accrual("t-1001", "anna", "1001", BREAKFAST, 60);
        let first = self.till.accrue(request.clone()).await?;
        self.row(&first, act("08:01", "anna", &breakfast)).await?;
        self.script.expect("granted beans", first.granted_points, 9)?;
        self.script.expect("balance", first.balance_points, 9)?;
        self.granted += first.granted_points;

        self.script
            .scene("The till lost the answer and asks again with the same id: the same answer, no second grant.")?;
        let again = self.till.accrue(request).await?;
        self.row(&again, act("08:01", "anna", "the same again")).await?;
        self.script.expect("replayed", again.replayed, true)?;
        self.script.expect("position", again.position, first.position)?;
        self.script.expect("balance", self.till.balance("anna").await?, 9)?;

        self.script.scene("What must not pass: the same id for another basket, the same receipt for another guest.")?;
        let other = accrual("t-1001", "anna", "1001", &[(MELANGE, 1), (CROISSANT, 2)], 60);
        let other = self.till.accrue(other).await?;
        self.row(&other, act("08:02", "anna", "same id, 2 croissant")).await?;
        self.script.expect("refusal", refusal_code(&other), Some(RefusalCode::TransactionIdReused))?;
        let field = other.refusal.as_ref().map_or("", |refusal| &refusal.field);
        self.script.expect("field", field, "basket.lines[1].quantity")?;
        let stolen = self.till.accrue(accrual("t-1002", "ben", "1001", BREAKFAST, 60)).await?;
        self.row(&stolen, act("08:03", "ben", "anna's receipt")).await?;
        self.script.expect("refusal", refusal_code(&stolen), Some(RefusalCode::ReceiptAlreadyEarned))
    }

    /// Scenes 5 and 6: the caps of a guest and day.
    async fn meet_caps(&mut self) -> Result<(), CliError> {
        self.script
            .scene("A cap of 60 beans a day: Anna buys cake for the office, 60.00 EUR at two and a half times.")?;
        let cakes = self.till.accrue(accrual("t-1003", "anna", "1003", CAKES, 600)).await?;
        self.row(&cakes, Act { time: "08:10", guest: "anna", what: &in_words(CAKES) }).await?;
        self.script.expect("earned beans", cakes.earned_points, 150)?;
        self.script.expect("granted beans", cakes.granted_points, 51)?;
        self.script.expect("balance", cakes.balance_points, 60)?;
        self.granted += cakes.granted_points;

        self.script.scene("A velocity cap: the sixth basket of one guest on one day earns nothing.")?;
        for number in 1..=6 {
            let receipt = format!("12{number:02}");
            let seconds = 900 + 60 * number;
            let request = accrual(&format!("t-{receipt}"), "clara", &receipt, COFFEE, seconds);
            let decision = self.till.accrue(request).await?;
            let (time, what) = (time_of_day(&at(seconds)), format!("espresso number {number}"));
            self.row(&decision, Act { time: &time, guest: "clara", what: &what }).await?;
            self.script.expect("granted beans", decision.granted_points, if number <= 5 { 2 } else { 0 })?;
            self.script.expect("denied by the cap", decision.velocity_denial.is_some(), number == 6)?;
            self.granted += decision.granted_points;
        }
        self.script.expect("balance", self.till.balance("clara").await?, 10)
    }

    /// Scene 7: kills the server while a queue of guests is served; returns the answers that came, by number.
    async fn be_killed(&mut self) -> Result<BTreeMap<usize, Decision>, CliError> {
        self.script.scene("kill -9, while 600 guests pay for an espresso each.")?;
        let (sender, receiver) = mpsc::channel(1);
        let mut ledger = self.till.clients.ledger.clone();
        let answers = ledger.command_stream(ReceiverStream::new(receiver)).await;
        let mut answers = answers
            .map_err(|status| CliError::new(Exit::Unavailable, format!("the stream failed: {status}")))?
            .into_inner();
        let mut answered = BTreeMap::new();
        let (mut sent, mut is_killed) = (0, false);
        loop {
            let may_send = !is_killed && sent < QUEUE_GUESTS && sent - answered.len() < QUEUE_WINDOW;
            tokio::select! {
                // Sending comes first, so that as many as the window allows are under way when the server is killed.
                biased;
                permit = sender.reserve(), if may_send => {
                    let Ok(permit) = permit else { break };
                    permit.send(CommandStreamRequest { commands: vec![stream_command(queue_basket(sent))] });
                    sent += 1;
                }
                received = answers.message() => {
                    let Ok(Some(response)) = received else { break };
                    for result in response.results {
                        answered.insert(answered.len(), result.decision.unwrap_or_default());
                    }
                    if answered.len() >= ANSWERS_BEFORE_KILL && !is_killed {
                        self.server.kill_now()?;
                        is_killed = true;
                    }
                }
            }
        }
        self.script.expect("the server was killed", is_killed, true)?;
        self.script.expect("some guests were left unanswered", answered.len() < QUEUE_GUESTS, true)?;
        self.script.say(format!(
            "{} of {QUEUE_GUESTS} guests had their answer, {} were on their way: process {} killed",
            answered.len(),
            sent - answered.len(),
            self.server.id()
        ))?;
        Ok(answered)
    }

    /// Scene 8: the server starts again on what the crash left.
    fn come_back(self, runtime: &tokio::runtime::Runtime) -> Result<Self, CliError> {
        let Self { script, place, server, granted, .. } = self;
        drop(server);
        script.scene("The server starts again on the same directory and recovers.")?;
        let server = ServerProcess::start(place)?;
        let till = runtime.block_on(connect(&server))?;
        let status = runtime.block_on(till.status())?;
        script.say(server.recovery_line()?)?;
        script.expect("times opened", status.epoch, 2)?;
        for (guest, expected) in [("anna", 60), ("clara", 10)] {
            let balance = runtime.block_on(till.balance(guest))?;
            script.row(Act { time: "08:31", guest, what: "balance as before" }, None, Some(balance), "")?;
            script.expect("balance", balance, expected)?;
        }
        Ok(Self { script, place, server, till, granted })
    }

    /// Scene 9: the whole queue is sent again with the same ids.
    async fn finish_the_queue(&mut self, answered: &BTreeMap<usize, Decision>) -> Result<(), CliError> {
        self.script
            .scene("The tills send all 600 baskets again, with the same ids. None is lost, none counts twice.")?;
        let (mut replayed, mut new, mut beans, mut changed) = (0_u64, 0_u64, 0, 0_u64);
        for number in 0..QUEUE_GUESTS {
            let decision = self.till.accrue(queue_basket(number)).await?;
            *(if decision.replayed { &mut replayed } else { &mut new }) += 1;
            beans += decision.granted_points;
            if let Some(first) = answered.get(&number) {
                let is_same = decision.replayed
                    && (decision.granted_points, decision.position) == (first.granted_points, first.position);
                changed += u64::from(!is_same);
            }
        }
        self.script.say(format!(
            "{} answered again as before, {} decided now: {} beans for {QUEUE_GUESTS} guests",
            grouped(replayed),
            grouped(new),
            grouped(beans)
        ))?;
        self.script.expect("acknowledged answers that were lost or changed", changed, 0)?;
        self.script.expect("beans", beans, 1_200)?;
        let (first, last) = (self.till.balance("queue-guest-0").await?, self.till.balance("queue-guest-599").await?);
        self.script.expect("balances", (first, last), (2, 2))?;
        self.granted += beans;
        Ok(())
    }

    /// Scene 10: a hundred guests at once for the rest of the budget.
    async fn share_the_budget(&mut self) -> Result<(), CliError> {
        let room = BUDGET - self.granted;
        self.script
            .scene("A budget that all guests share: 5,000 beans in the opening week, and 100 guests at once.")?;
        let calls: Vec<_> = (0..RUSH_GUESTS)
            .map(|number| {
                let (till, receipt) = (self.till.clone(), format!("rush-{number}"));
                let guest = format!("rush-guest-{number}");
                tokio::spawn(
                    async move { till.accrue(accrual(&receipt, &guest, &receipt, CAKES_FOR_FOUR, 3_600)).await },
                )
            })
            .collect();
        let mut by_grant: BTreeMap<i64, u64> = BTreeMap::new();
        for call in calls {
            let decision = call.await.map_err(|error| {
                CliError::new(Exit::Unavailable, format!("a call did not come to its end: {error}"))
            })??;
            *by_grant.entry(decision.granted_points).or_default() += 1;
        }
        let beans: i64 = by_grant.iter().map(|(grant, count)| grant * i64::try_from(*count).unwrap_or(0)).sum();
        let parts =
            by_grant.iter().rev().map(|(grant, count)| format!("{} {grant}", counted(*count, "guest", "guests")));
        self.script
            .say(format!("each of them could earn 60; granted were: {}", parts.collect::<Vec<_>>().join(", ")))?;
        self.script.say(format!(
            "{} were left, {} were granted: the last bean, and not one more",
            grouped(room),
            grouped(beans)
        ))?;
        self.script.expect("beans granted", beans, room)?;
        self.granted += beans;
        Ok(())
    }

    /// Scene 11: a reversal, and the room that it gives back.
    async fn take_back(&mut self) -> Result<(), CliError> {
        self.script
            .scene("The office returns the cakes: Anna's beans are taken back, and the budget has room again.")?;
        let reversed = self.till.reverse("t-1004", "t-1003", 7_200).await?;
        self.row(&reversed, Act { time: "10:00", guest: "anna", what: "10 sachertorte returned" }).await?;
        self.script.expect("beans taken back", reversed.reversed_points, 51)?;
        self.script.expect("balance", reversed.balance_points, 9)?;
        let dora = self.till.accrue(accrual("t-1005", "dora", "1005", CAKES_FOR_FOUR, 7_260)).await?;
        self.row(&dora, Act { time: "10:01", guest: "dora", what: &in_words(CAKES_FOR_FOUR) }).await?;
        self.script.expect("granted beans", dora.granted_points, 51)?;
        let again = self.till.reverse("t-1006", "t-1003", 7_320).await?;
        self.row(&again, Act { time: "10:02", guest: "anna", what: "returned once more" }).await?;
        self.script.expect("refusal", refusal_code(&again), Some(RefusalCode::AlreadyReversed))
    }

    /// Scene 12: what happened to Anna.
    async fn read_the_statement(&mut self) -> Result<(), CliError> {
        self.script.scene("Anna's statement, from the journal, newest first.")?;
        let statement = self.till.statement("anna").await?;
        for transaction in &statement {
            let decision = transaction.decision.clone().unwrap_or_default();
            let time = decision.posting_time.as_ref().map(time_of_day).unwrap_or_default();
            let what = match transaction.kind() {
                TransactionKind::Reversal => format!("takes back {}", transaction.original_transaction_id),
                _ => format!("receipt {}", transaction.basket.as_ref().map_or("", |basket| &basket.receipt_number)),
            };
            self.row(&decision, Act { time: &time, guest: &transaction.transaction_id, what: &what }).await?;
        }
        let ids: Vec<&str> = statement.iter().map(|transaction| transaction.transaction_id.as_str()).collect();
        self.script.expect("transactions", ids, vec!["t-1004", "t-1003", "t-1001"])
    }

    /// Scene 13: an ordered stop.
    fn stop(self) -> Result<(), CliError> {
        self.script.scene("The server stops in order.")?;
        let status = self.server.stop()?;
        self.script.say(format!("asked to stop, ended with {status}"))?;
        self.script.expect("stopped without a fault", status.success(), true)
    }
}

fn stream_command(request: AccrueRequest) -> Command {
    Command { command: Some(command::Command::Accrue(request)) }
}
