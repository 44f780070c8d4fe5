//! SIGTERM under load: what was answered is durable, what was not is told so, and every command is there once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tallystick::service::wire;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::blackbox::calls::{accrual, accrue, id_of, now, reason_of};
use crate::blackbox::oracle::Oracle;
use crate::blackbox::{Clients, END_WITHIN, Site, verify_directory, wait_for, within_time};

/// Connections of each manner.
const CONNECTIONS: usize = 12;
/// Calls at a time on a connection that sends many.
const ABREAST: usize = 8;

/// How calls ended.
#[derive(Debug, Default)]
struct Ends {
    /// With UNAVAILABLE and the reason.
    told: AtomicUsize,
    /// Found the connection closed: nothing of the call reached the server, or its answer had no way back.
    closed: AtomicUsize,
}

impl Ends {
    fn note(&self, status: &Status) {
        match (status.code(), reason_of(status).as_str()) {
            (Code::Unavailable, "SHUTTING_DOWN") => self.told.fetch_add(1, Ordering::SeqCst),
            // The client's own words for a connection that has gone; the server has no part in them.
            (Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal, "") => {
                self.closed.fetch_add(1, Ordering::SeqCst)
            }
            other => panic!("a call ended with {other:?}: {status:?}"),
        };
    }
}

struct Caller {
    oracle: Arc<Oracle>,
    ends: Arc<Ends>,
    clients: Clients,
    name: String,
}

impl Caller {
    fn command(&self, number: usize) -> wire::Command {
        let id = format!("{}-{number}", self.name);
        let account_id = format!("member-{}", number % 16);
        let command = accrue(accrual(&id, &account_id, now(), 300));
        self.oracle.ask(0, &account_id, &command);
        command
    }

    /// One call after the other.
    async fn one_by_one(self) {
        for number in 0.. {
            let command = self.command(number);
            let Some(wire::command::Command::Accrue(request)) = command.command.clone() else { unreachable!() };
            match self.clients.ledger.clone().accrue(request).await {
                Ok(response) => self.oracle.answered(id_of(&command), response.into_inner().decision.unwrap()),
                Err(status) => return self.ends.note(&status),
            }
        }
    }

    async fn batches(self) {
        for number in 0.. {
            let commands: Vec<_> = (0..20).map(|item| self.command(number * 20 + item)).collect();
            let requests = commands.iter().map(|command| match command.command.clone() {
                Some(wire::command::Command::Accrue(request)) => request,
                _ => unreachable!("these are accruals"),
            });
            let request = wire::AccrueBatchRequest { requests: requests.collect() };
            match self.clients.ledger.clone().accrue_batch(request).await {
                Ok(response) => {
                    for (command, decision) in commands.iter().zip(response.into_inner().decisions) {
                        self.oracle.answered(id_of(command), decision);
                    }
                }
                Err(status) => return self.ends.note(&status),
            }
        }
    }

    /// A stream that its caller would never end: a message for each that was answered.
    async fn stream(self) {
        let (messages, sent) = tokio::sync::mpsc::channel(4);
        let requests = tokio_stream::wrappers::ReceiverStream::new(sent);
        let mut results = match self.clients.ledger.clone().command_stream(requests).await {
            Ok(response) => response.into_inner(),
            Err(status) => return self.ends.note(&status),
        };
        let mut asked = std::collections::VecDeque::new();
        for number in 0.. {
            let commands: Vec<_> = (0..10).map(|item| self.command(number * 10 + item)).collect();
            asked.extend(commands.iter().map(|command| id_of(command).to_owned()));
            // The server may have ended the stream meanwhile: then its word is in the results.
            let _ = messages.send(wire::CommandStreamRequest { commands }).await;
            while asked.len() > 40 || messages.is_closed() {
                match results.message().await {
                    Ok(Some(message)) => {
                        for result in message.results {
                            let id = asked.pop_front().expect("results come in order, one for each command");
                            self.oracle.answered(&id, result.decision.unwrap());
                        }
                    }
                    Ok(None) => panic!("a stream that its caller did not end has ended well"),
                    Err(status) => return self.ends.note(&status),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_keeps_every_answer_and_tells_everyone_else() {
    let site = Site::new();
    let server = site.start().await;
    let (oracle, ends) = (Arc::new(Oracle::default()), Arc::new(Ends::default()));
    let mut callers = JoinSet::new();
    let mut call_count = 0;
    for index in 0..CONNECTIONS {
        for manner in ["one", "abreast", "batch", "stream"] {
            let clients = server.connect().await;
            for place in 0..if manner == "abreast" { ABREAST } else { 1 } {
                let name = format!("{manner}-{index}-{place}");
                let caller = Caller { oracle: oracle.clone(), ends: ends.clone(), clients: clients.clone(), name };
                call_count += 1;
                match manner {
                    "batch" => callers.spawn(caller.batches()),
                    "stream" => callers.spawn(caller.stream()),
                    _ => callers.spawn(caller.one_by_one()),
                };
            }
        }
    }
    wait_for("answers", END_WITHIN, async || (oracle.counts().1 >= 3_000).then_some(())).await;
    let end = server.terminate().await;
    assert_eq!(end.code, Some(0), "{}", end.errors);
    within_time("the callers to learn of it", END_WITHIN, async {
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    })
    .await;
    let (told, closed) = (ends.told.load(Ordering::SeqCst), ends.closed.load(Ordering::SeqCst));
    let (asked, answered) = oracle.counts();
    println!(
        "{asked} asked, {answered} answered; of {call_count} last calls {told} were told, {closed} found no server"
    );
    assert_eq!(told + closed, call_count, "every caller learns of the end once");
    // Whoever calls is told before the connections are closed. On a machine with much else to do a caller may be too
    // slow for that.
    assert!(told * 10 >= call_count * 9, "{closed} of {call_count} were not told");

    verify_directory(site.data());
    let server = site.start().await;
    let clients = server.connect().await;
    // Every answer stands, and what had none takes effect once.
    oracle.check_after_restart(&clients, 0).await;
    oracle.check_history(&clients).await;
    assert_eq!(server.terminate().await.code, Some(0));
}
