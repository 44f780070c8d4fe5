//! Callers that keep a server busy until it goes away, and note everything in the oracle.
//!
//! What must stay true: before the test says that the server may go, a call fails only because the server is full;
//! after that it fails only in ways that ask for a retry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prost_types::Timestamp;
use tallystick::service::wire;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::calls::{
    accrual, accrue, asks_for_a_retry, authorize, capture, id_of, redeem, reversal, reversal_of_a_piece, reverse, void,
};
use super::oracle::{Oracle, send};
use super::{Clients, Random, Server};

/// Commands that a caller of batches or streams sends in bulk before it goes on one by one.
const BULK_COMMANDS_MAX: u64 = 200;
/// Commands in one batch, and in one message of a stream.
const BULK_COMMANDS: u64 = 20;

/// What the callers of one round share.
pub struct Load {
    oracle: Arc<Oracle>,
    round: u64,
    receipt_time: Timestamp,
    account_count: u64,
    next_number: AtomicU64,
    may_go: AtomicBool,
    in_order: AtomicBool,
}

/// How a caller sends.
#[derive(Clone, Copy, Debug)]
enum Manner {
    OneByOne,
    Batches,
    Streams,
}

impl Load {
    /// A round of load on so many accounts; every basket is of the same day.
    pub fn new(oracle: Arc<Oracle>, round: u64, receipt_time: Timestamp, account_count: u64) -> Arc<Self> {
        let (next_number, may_go, in_order) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { oracle, round, receipt_time, account_count, next_number, may_go, in_order })
    }

    /// Sends so many callers off, each with a connection of its own: one with batches, one with streams.
    pub async fn begin(self: &Arc<Self>, server: &Server, caller_count: u64, random: &mut Random) -> JoinSet<()> {
        // All connect before the first sends: with a plan of faults the server may be gone soon after.
        let mut connections = Vec::new();
        for _ in 0..caller_count {
            connections.push(server.connect().await);
        }
        let mut callers = JoinSet::new();
        for (index, clients) in connections.into_iter().enumerate() {
            let manner = match index {
                0 => Manner::Batches,
                1 => Manner::Streams,
                _ => Manner::OneByOne,
            };
            let caller = Caller { load: self.clone(), clients, random: random.split() };
            callers.spawn(caller.run(manner));
        }
        callers
    }

    /// From now on the server may go away.
    pub fn let_go(&self) {
        self.may_go.store(true, Ordering::SeqCst);
    }

    /// From now on the server may stop, but in order: it has to say so, or to close its door.
    pub fn let_stop(&self) {
        self.in_order.store(true, Ordering::SeqCst);
        self.let_go();
    }

    fn may_go(&self) -> bool {
        self.may_go.load(Ordering::SeqCst)
    }

    /// Judges a failure: to be called only with one that asks for a retry.
    fn judge(&self, status: &Status) {
        assert!(asks_for_a_retry(status), "a call ended with {status:?}");
        let is_full = status.code() == Code::ResourceExhausted;
        assert!(is_full || self.may_go(), "a call to a healthy server ended with {status:?}");
        let is_told = matches!(status.code(), Code::Unavailable | Code::Cancelled);
        let in_order = self.in_order.load(Ordering::SeqCst);
        assert!(is_full || !in_order || is_told, "a call to a server that stops in order ended with {status:?}");
    }
}

struct Caller {
    load: Arc<Load>,
    clients: Clients,
    random: Random,
}

impl Caller {
    async fn run(mut self, manner: Manner) {
        let mut bulk_left = BULK_COMMANDS_MAX;
        loop {
            let sent = match manner {
                Manner::Batches if bulk_left > 0 => self.batch().await,
                Manner::Streams if bulk_left > 0 => self.stream().await,
                _ => self.one().await,
            };
            bulk_left = bulk_left.saturating_sub(BULK_COMMANDS);
            match sent {
                Ok(()) => {}
                Err(status) => {
                    self.load.judge(&status);
                    if status.code() != Code::ResourceExhausted {
                        return;
                    }
                }
            }
        }
    }

    /// One command at a time; now and then the same one twice at once, or the reversal of another caller's.
    async fn one(&mut self) -> Result<(), Status> {
        let command = match self.random.below(16) {
            0 | 1 => self.new_reversal(),
            2 => Some(self.new_spending()),
            3 | 4 => self.new_end(),
            _ => None,
        };
        let command = command.unwrap_or_else(|| self.new_accrual());
        if self.random.one_in(8) {
            let mut other = self.clients.clone();
            let (first, second) = tokio::join!(
                send(&self.load.oracle, &mut self.clients, &command),
                send(&self.load.oracle, &mut other, &command)
            );
            return first.and(second);
        }
        send(&self.load.oracle, &mut self.clients, &command).await
    }

    async fn batch(&mut self) -> Result<(), Status> {
        let commands: Vec<wire::Command> = (0..BULK_COMMANDS).map(|_| self.new_accrual()).collect();
        let requests = commands.iter().filter_map(|command| match &command.command {
            Some(wire::command::Command::Accrue(request)) => Some(request.clone()),
            _ => None,
        });
        let request = wire::AccrueBatchRequest { requests: requests.collect() };
        let decisions = self.clients.ledger.accrue_batch(request).await?.into_inner().decisions;
        assert_eq!(decisions.len(), commands.len(), "a batch is answered one by one");
        for (command, decision) in commands.iter().zip(decisions) {
            self.load.oracle.answered(id_of(command), decision);
        }
        Ok(())
    }

    /// Commands of both kinds in two messages; a reversal may take back what stands before it in the stream.
    async fn stream(&mut self) -> Result<(), Status> {
        let mut commands: Vec<wire::Command> = Vec::new();
        for _ in 0..BULK_COMMANDS {
            let command = self.new_accrual();
            let reversed = self.random.one_in(6).then(|| self.new_reversal_of(id_of(&command), &account_of(&command)));
            commands.push(command);
            commands.extend(reversed);
        }
        let messages: Vec<wire::CommandStreamRequest> = commands
            .chunks(BULK_COMMANDS as usize / 2)
            .map(|commands| wire::CommandStreamRequest { commands: commands.to_vec() })
            .collect();
        let call = self.clients.ledger.command_stream(tokio_stream::iter(messages)).await?;
        let mut results = call.into_inner();
        let mut ids = commands.iter().map(id_of);
        while let Some(message) = results.message().await? {
            for result in message.results {
                let id = ids.next().expect("there are no more results than commands");
                self.load.oracle.answered(id, result.decision.expect("every result has a decision"));
            }
        }
        assert_eq!(ids.next(), None, "a stream that ends well has answered everything");
        Ok(())
    }

    fn new_id(&self, kind: &str) -> String {
        let number = self.load.next_number.fetch_add(1, Ordering::Relaxed);
        format!("{kind}-{}-{number}", self.load.round)
    }

    fn new_accrual(&mut self) -> wire::Command {
        let account_id = format!("member-{}", self.random.below(self.load.account_count));
        let amount_minor = self.random.below(2_000) as i64;
        let mut request = accrual(&self.new_id("basket"), &account_id, self.load.receipt_time, amount_minor);
        // Names that are new keep the table of names growing under commits and snapshots.
        if let Some(basket) = request.basket.as_mut().filter(|_| self.random.one_in(3)) {
            basket.lines[0].sku = format!("goods-of-{}", request.transaction_id);
        }
        let command = accrue(request);
        self.load.oracle.ask(self.load.round, &account_id, &command);
        command
    }

    /// Spends points at once, or sets them aside.
    fn new_spending(&mut self) -> wire::Command {
        let account_id = format!("member-{}", self.random.below(self.load.account_count));
        let points = 1 + self.random.below(40) as i64;
        let id = self.new_id("payment");
        let command =
            if self.random.one_in(3) { redeem(&id, &account_id, points) } else { authorize(&id, &account_id, points) };
        self.load.oracle.ask(self.load.round, &account_id, &command);
        command
    }

    /// Captures or voids something that was set aside, be it by us or by another caller, be it ended already or not.
    fn new_end(&mut self) -> Option<wire::Command> {
        let (authorization, account_id) = self.load.oracle.authorization(self.random.next())?;
        let id = self.new_id("end");
        let command = match self.random.below(3) {
            0 => void(&id, &authorization),
            choice => capture(&id, &authorization, 1 + self.random.below(25) as i64, choice == 1),
        };
        self.load.oracle.ask(self.load.round, &account_id, &command);
        Some(command)
    }

    /// Takes back something that was answered, be it ours or another caller's, be it taken back already or not.
    fn new_reversal(&mut self) -> Option<wire::Command> {
        let (original_id, account_id) = self.load.oracle.reversible(self.random.next())?;
        Some(self.new_reversal_of(&original_id, &account_id))
    }

    fn new_reversal_of(&self, original_id: &str, account_id: &str) -> wire::Command {
        let id = self.new_id("return");
        // Baskets are of two pieces: half of the returns are of one of them.
        let is_part = id.bytes().last().is_some_and(|last| last % 2 == 0);
        let request = if is_part { reversal_of_a_piece(&id, original_id) } else { reversal(&id, original_id) };
        let command = reverse(request);
        self.load.oracle.ask(self.load.round, account_id, &command);
        command
    }
}

fn account_of(command: &wire::Command) -> String {
    match &command.command {
        Some(wire::command::Command::Accrue(request)) => request.account_id.clone(),
        _ => String::new(),
    }
}
