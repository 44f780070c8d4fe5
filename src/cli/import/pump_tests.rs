//! The pump against a server that misbehaves on purpose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::pump::{Effort, Ends, Outgoing, Pump, PumpOptions, asks_for_patience};
use crate::cli::client::{Server, ServerArgs};
use crate::cli::error::{CliError, Exit};
use crate::ledger::decision;
use crate::service::wire::ledger_service_server::{LedgerService, LedgerServiceServer};
use crate::service::wire::*;

/// What the server does with the n-th command that reaches it, over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whim {
    /// Break the connection before its answer.
    Break,
    /// Ask for it again, because there is no room now.
    PutOff,
    /// Refuse it for a reason that lies in the command, whose id stays free.
    Refuse,
    /// End the stream with a status that no repeating helps.
    Forbid,
}

/// Decides everything once, as a ledger does: a repeated id is answered as replayed.
struct Moody {
    whims: Vec<(usize, Whim)>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    reached_count: usize,
    /// Ids in the order in which they were decided.
    decided: Vec<String>,
    /// Unlinkings that something came behind before they were answered.
    hurried_count: usize,
}

/// How long an unlinking takes, so that whoever does not wait for its answer is caught.
const UNLINKING_TAKES: Duration = Duration::from_millis(20);

impl Moody {
    fn judge(&self, command: Command) -> Result<Decision, Option<Status>> {
        let transaction_id = match command.command {
            Some(command::Command::Accrue(accrue)) => accrue.transaction_id,
            Some(command::Command::UnlinkIdentifier(unlink)) => unlink.transaction_id,
            other => panic!("{other:?} is not sent"),
        };
        let mut seen = self.seen.lock().unwrap();
        let index = seen.reached_count;
        seen.reached_count += 1;
        let replayed = seen.decided.contains(&transaction_id);
        let whim = self.whims.iter().find(|(at, _)| *at == index).map(|(_, whim)| *whim);
        match whim {
            Some(Whim::Break) => {
                // Decided, and the answer is lost: the hard case.
                if !replayed {
                    seen.decided.push(transaction_id);
                }
                return Err(None);
            }
            Some(Whim::Forbid) => return Err(Some(Status::permission_denied("no"))),
            Some(Whim::PutOff) => return Ok(refused(RefusalCode::Overloaded)),
            Some(Whim::Refuse) => return Ok(refused(RefusalCode::AccountUnknown)),
            None => {}
        }
        if !replayed {
            seen.decided.push(transaction_id);
        }
        Ok(Decision { replayed, ..Decision::default() })
    }
}

/// A refusal after which the same id may be sent again.
fn refused(code: RefusalCode) -> Decision {
    let retry_advice = RetryAdvice::SameId.into();
    let refusal = Refusal { code: code.into(), message: "No.".to_owned(), retry_advice, ..Refusal::default() };
    Decision { refusal: Some(refusal), ..Decision::default() }
}

#[tonic::async_trait]
impl LedgerService for Moody {
    type CommandStreamStream = ReceiverStream<Result<CommandStreamResponse, Status>>;

    async fn command_stream(
        &self,
        request: Request<Streaming<CommandStreamRequest>>,
    ) -> Result<Response<Self::CommandStreamStream>, Status> {
        let mut messages = request.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let this = Self { whims: self.whims.clone(), seen: self.seen.clone() };
        tokio::spawn(async move {
            let mut early = None;
            loop {
                let next = match early.take() {
                    Some(next) => Some(next),
                    None => messages.next().await,
                };
                let Some(Ok(message)) = next else { return };
                let count = message.commands.len();
                for (index, command) in message.commands.into_iter().enumerate() {
                    if matches!(command.command, Some(command::Command::UnlinkIdentifier(_))) {
                        if early.is_none() {
                            early = tokio::time::timeout(UNLINKING_TAKES, messages.next()).await.ok().flatten();
                        }
                        if index + 1 < count || matches!(early, Some(Ok(_))) {
                            this.seen.lock().unwrap().hurried_count += 1;
                        }
                    }
                    let answer = match this.judge(command) {
                        Ok(decision) => {
                            Ok(CommandStreamResponse { results: vec![CommandResult { decision: Some(decision) }] })
                        }
                        Err(status) => Err(status.unwrap_or_else(|| Status::unavailable("gone"))),
                    };
                    let ends = answer.is_err();
                    if sender.send(answer).await.is_err() || ends {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn quote(&self, _: Request<QuoteRequest>) -> Result<Response<QuoteResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn accrue(&self, _: Request<AccrueRequest>) -> Result<Response<AccrueResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn accrue_batch(&self, _: Request<AccrueBatchRequest>) -> Result<Response<AccrueBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn reverse(&self, _: Request<ReverseRequest>) -> Result<Response<ReverseResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn quote_batch(&self, _: Request<QuoteBatchRequest>) -> Result<Response<QuoteBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn redeem(&self, _: Request<RedeemRequest>) -> Result<Response<RedeemResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn authorize(&self, _: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn top_up(&self, _: Request<TopUpRequest>) -> Result<Response<TopUpResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn capture(&self, _: Request<CaptureRequest>) -> Result<Response<CaptureResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn void(&self, _: Request<VoidRequest>) -> Result<Response<VoidResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn record_activity(
        &self,
        _: Request<RecordActivityRequest>,
    ) -> Result<Response<RecordActivityResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_balance(&self, _: Request<GetBalanceRequest>) -> Result<Response<GetBalanceResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_transaction(
        &self,
        _: Request<GetTransactionRequest>,
    ) -> Result<Response<GetTransactionResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_transactions(
        &self,
        _: Request<ListTransactionsRequest>,
    ) -> Result<Response<ListTransactionsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_rewards(&self, _: Request<ListRewardsRequest>) -> Result<Response<ListRewardsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_related_transactions(
        &self,
        _: Request<ListRelatedTransactionsRequest>,
    ) -> Result<Response<ListRelatedTransactionsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn explain_transaction(
        &self,
        _: Request<ExplainTransactionRequest>,
    ) -> Result<Response<ExplainTransactionResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A source of numbered commands that remembers its answers.
struct Numbers {
    next: u64,
    count: u64,
    /// The numbers of those that are unlinkings; the others are accruals.
    unlinkings: &'static [u64],
    /// The number at which the source fails.
    fails_at: Option<u64>,
    answered: Vec<(u64, bool)>,
}

impl Ends for Numbers {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        if self.fails_at == Some(self.next) {
            return Err(CliError::new(Exit::BadData, "line 9 is wrong"));
        }
        if self.next == self.count {
            return Ok(None);
        }
        let number = self.next;
        self.next += 1;
        let transaction_id = number.to_string();
        let command = if self.unlinkings.contains(&number) {
            command::Command::UnlinkIdentifier(UnlinkIdentifierRequest { transaction_id, ..<_>::default() })
        } else {
            command::Command::Accrue(AccrueRequest { transaction_id, ..<_>::default() })
        };
        let command = Command { command: Some(command) };
        Ok(Some(Outgoing { line: number, row_count: 1, command }))
    }

    fn answered(&mut self, sent: &Outgoing, decision: &Decision) -> Result<(), CliError> {
        self.answered.push((sent.line, decision.replayed));
        Ok(())
    }

    fn interrupted(&mut self, _why: &str) {}
}

struct Outcome {
    effort: Effort,
    result: Result<(), CliError>,
    answered: Vec<(u64, bool)>,
    decided: Vec<String>,
    hurried_count: usize,
}

/// Sends 1,000 accruals through a window of 300.
fn pump(whims: &[(usize, Whim)], fails_at: Option<u64>) -> Outcome {
    pump_with(&[], whims, fails_at)
}

/// Sends 1,000 commands, some of them unlinkings, through a window of 300.
fn pump_with(unlinkings: &'static [u64], whims: &[(usize, Whim)], fails_at: Option<u64>) -> Outcome {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let moody = Moody { whims: whims.to_vec(), seen: seen.clone() };
    let runtime = crate::cli::client::runtime().unwrap();
    let (effort, result, answered) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = tonic::transport::Server::builder()
            .add_service(LedgerServiceServer::new(moody))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(serve);
        let server = Server::new(&ServerArgs::plain(url)).unwrap();
        let mut numbers = Numbers { next: 0, count: 1_000, unlinkings, fails_at, answered: Vec::new() };
        let options = PumpOptions { window_max: 300, patience: Duration::from_secs(20) };
        let (effort, result) = Pump::new(&server, options, &mut numbers).run().await;
        serving.abort();
        (effort, result, numbers.answered)
    });
    let Seen { decided, hurried_count, .. } = std::mem::take(&mut *seen.lock().unwrap());
    Outcome { effort, result, answered, decided, hurried_count }
}

fn in_order(count: u64) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn every_command_is_answered_once_and_in_order() {
    let outcome = pump(&[], None);
    outcome.result.unwrap();
    assert_eq!(outcome.decided, in_order(1_000));
    assert_eq!(outcome.answered, (0..1_000).map(|number| (number, false)).collect::<Vec<_>>());
    assert_eq!(outcome.effort, Effort { sent_count: 1_000, broken_count: 0, put_off_count: 0 });
}

#[test]
fn what_a_broken_connection_left_unanswered_is_sent_again_in_order() {
    let outcome = pump(&[(0, Whim::Break), (417, Whim::Break), (418, Whim::Break)], None);
    outcome.result.unwrap();
    assert_eq!(outcome.decided, in_order(1_000), "each is decided once, in order");
    let numbers: Vec<u64> = outcome.answered.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    assert_eq!(outcome.effort.broken_count, 3);
    assert!(outcome.answered[0].1, "its first answer was lost, so it is answered as replayed");
    assert!(outcome.effort.sent_count > 1_000);
}

#[test]
fn what_the_server_puts_off_is_sent_again_after_what_was_sent_before() {
    let outcome = pump(&[(5, Whim::PutOff), (9, Whim::PutOff)], None);
    outcome.result.unwrap();
    assert_eq!(outcome.effort.put_off_count, 2);
    assert_eq!(outcome.effort.broken_count, 0);
    let mut numbers: Vec<u64> = outcome.answered.iter().map(|(number, _)| *number).collect();
    let again = numbers.windows(2).position(|pair| pair == [5, 9]).expect("sent again together, in order");
    assert!(numbers[again + 2..].iter().all(|number| *number > 9), "before anything that was not sent yet");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn nothing_is_sent_behind_an_unlinking_before_its_answer() {
    const UNLINKINGS: &[u64] = &[0, 3, 4, 200, 999];
    let outcome = pump_with(UNLINKINGS, &[], None);
    outcome.result.unwrap();
    assert_eq!((outcome.hurried_count, outcome.decided), (0, in_order(1_000)));
    assert_eq!(outcome.effort, Effort { sent_count: 1_000, broken_count: 0, put_off_count: 0 });

    // The fourth command is put off, comes again as the fifth, and the answer to the one behind it is lost.
    let whims = [(3, Whim::PutOff), (5, Whim::Break), (100, Whim::PutOff)];
    let outcome = pump_with(UNLINKINGS, &whims, None);
    outcome.result.unwrap();
    assert_eq!(outcome.hurried_count, 0);
    assert_eq!((outcome.effort.broken_count, outcome.effort.put_off_count), (1, 2));
    assert_eq!(outcome.answered[3..5], [(3, false), (4, true)]);
    let mut numbers: Vec<u64> = outcome.answered.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn a_refusal_that_waiting_does_not_lift_is_an_answer() {
    let outcome = pump(&[(5, Whim::Refuse)], None);
    outcome.result.unwrap();
    assert_eq!(outcome.effort, Effort { sent_count: 1_000, broken_count: 0, put_off_count: 0 });
    assert_eq!(outcome.answered.len(), 1_000);
}

#[test]
fn what_is_sent_again_is_what_the_ledger_calls_transient() {
    for refusal in decision::Refusal::ALL {
        let advised = Refusal {
            code: i32::from(refusal.number()),
            retry_advice: RetryAdvice::SameId.into(),
            ..Refusal::default()
        };
        assert_eq!(asks_for_patience(&advised), refusal.is_transient(), "{refusal:?}");
    }
    // A server may know refusals that this program does not.
    for (advice, expected) in [(RetryAdvice::SameId, true), (RetryAdvice::NewId, false), (RetryAdvice::Never, false)] {
        let unknown = Refusal { code: 4_711, retry_advice: advice.into(), ..Refusal::default() };
        assert_eq!(asks_for_patience(&unknown), expected, "{advice:?}");
    }
}

#[test]
fn a_failing_source_still_gets_its_answers() {
    let outcome = pump(&[(100, Whim::Break)], Some(700));
    assert_eq!(outcome.result.unwrap_err().exit(), Exit::BadData);
    assert_eq!(outcome.answered.len(), 700);
    assert_eq!(outcome.decided, in_order(700));
}

#[test]
fn a_refusal_of_the_stream_itself_ends_it() {
    let outcome = pump(&[(10, Whim::Forbid)], None);
    assert_eq!(outcome.result.unwrap_err().exit(), Exit::Configuration);
    assert_eq!(outcome.answered.len(), 10);
}

#[test]
fn patience_ends() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = Server::new(&ServerArgs::plain(url)).unwrap();
    let mut numbers = Numbers { next: 0, count: 1, unlinkings: &[], fails_at: None, answered: Vec::new() };
    let options = PumpOptions { window_max: 300, patience: Duration::from_millis(200) };
    let pump = Pump::new(&server, options, &mut numbers);
    let (effort, result) = crate::cli::client::runtime().unwrap().block_on(pump.run());
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Unavailable);
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(effort.broken_count > 1);
}
