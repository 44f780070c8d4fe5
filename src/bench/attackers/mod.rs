//! Callers who misbehave, beside a load: a few of each kind, over plain TCP to the server that the benchmark started.
//!
//! [`wire`] is how they speak and [`works`] what they do.
//!
//! What must stay true: they call this machine and no other; they are bounded in number, in pace and in time, and fewer
//! than one address may have connections; that the server ends a connection is what is counted, never an error; when
//! [`beside`] returns, every one of them has closed its connection and the server has been given time to do so too.

pub(super) mod wire;
mod works;

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::LocalSet;

use self::wire::Wire;
use self::works::Attack;
use super::error::BenchError;
use super::run::runtime;
use crate::limits;

/// Attackers of each kind, with a connection each.
const ATTACKERS_OF_A_KIND: usize = 4;
/// How long an attacker rests before it connects again.
const CONNECT_PAUSE: Duration = Duration::from_millis(25);
/// Bytes that may wait for who never reads.
const UNREAD_BYTES: u32 = 4_096;

const _: () = assert!(
    Kind::ALL.len() * ATTACKERS_OF_A_KIND < limits::CONNECTIONS_PER_ADDRESS_DEFAULT / 2,
    "attackers leave room for the tills, which call from the same address"
);

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sends noise, instead of the preface or behind it.
    Garbage,
    /// Ends its call in the middle of a frame.
    CutShort,
    /// Sends SETTINGS without end.
    Settings,
    /// Sends PINGs without end.
    Pings,
    /// Opens streams and resets them at once.
    Resets,
    /// Begins calls and never finishes them.
    Slow,
    /// Asks and does not take the answers.
    Unread,
    /// Sends messages that are larger than any may be.
    TooLarge,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Garbage,
        Self::CutShort,
        Self::Settings,
        Self::Pings,
        Self::Resets,
        Self::Slow,
        Self::Unread,
        Self::TooLarge,
    ];

    /// Its name in reports: part of the contract with whoever reads them.
    const fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::CutShort => "cut short",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::Resets => "resets",
            Self::Slow => "slow",
            Self::Unread => "unread",
            Self::TooLarge => "too large",
        }
    }
}

/// What became of the attackers of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attackers {
    /// What they did.
    pub kind: &'static str,
    /// Connections that they made.
    pub connections: u64,
    /// Those that the server ended.
    pub cut_off: u64,
    /// Those that they held until their time was over.
    pub held: u64,
    /// Calls that the server ended without an answer, where this is what it does instead of ending the connection.
    pub calls_refused: u64,
    /// Times that they could not connect.
    pub not_connected: u64,
    /// Connections that the server had not closed long after they had.
    pub not_closed: u64,
}

impl Attackers {
    /// Adds what became of further ones to those of their kind.
    pub fn add_to(self, all: &mut Vec<Self>) {
        match all.iter_mut().find(|known| known.kind == self.kind) {
            Some(known) => known.add(&self),
            None => all.push(self),
        }
    }

    fn add(&mut self, more: &Self) {
        self.connections += more.connections;
        self.cut_off += more.cut_off;
        self.held += more.held;
        self.calls_refused += more.calls_refused;
        self.not_connected += more.not_connected;
        self.not_closed += more.not_closed;
    }
}

/// Does the work while attackers of every kind call the address, on a thread of their own. They go when the work is
/// done, or after the limit.
///
/// # Errors
/// When the operating system gives no event loop.
///
/// # Panics
/// When the address is not on this machine.
pub fn beside<T>(
    address: SocketAddr,
    limit: Duration,
    seed: u64,
    work: impl FnOnce() -> T,
) -> Result<(T, Vec<Attackers>), BenchError> {
    assert!(address.ip().is_loopback(), "attackers call the server that the benchmark started, and nobody else");
    let (stop, stopped) = watch::channel(false);
    std::thread::scope(|scope| {
        let attacking = scope.spawn(|| {
            let attackers = all(address, limit, seed, stopped);
            Ok(runtime()?.block_on(LocalSet::new().run_until(attackers)))
        });
        let done = work();
        // Attackers whose time was over before have gone.
        let _ = stop.send(true);
        let attackers = attacking.join().expect("attackers do not panic");
        attackers.map(|attackers| (done, attackers))
    })
}

async fn all(address: SocketAddr, limit: Duration, seed: u64, stopped: watch::Receiver<bool>) -> Vec<Attackers> {
    let mut attacking = Vec::new();
    for kind in Kind::ALL {
        for number in 0..ATTACKERS_OF_A_KIND {
            let random = fastrand::Rng::with_seed(seed ^ (kind as u64) << 32 ^ number as u64);
            let attacker = attacker(kind, number, address, random, limit, stopped.clone());
            attacking.push(tokio::task::spawn_local(attacker));
        }
    }
    let mut attackers = Vec::new();
    for one in attacking {
        one.await.expect("attackers do not panic, and nobody ends their tasks").add_to(&mut attackers);
    }
    attackers
}

/// The life of one attacker: connection after connection until its time is over.
async fn attacker(
    kind: Kind,
    number: usize,
    address: SocketAddr,
    mut random: fastrand::Rng,
    limit: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Attackers {
    let mut seen = Attackers { kind: kind.name(), ..Attackers::default() };
    // That nobody is left to say so means the same.
    let mut over = pin!(tokio::time::timeout(limit, stopped.wait_for(|is_stopped| *is_stopped)));
    let receive_bytes = (kind == Kind::Unread).then_some(UNREAD_BYTES);
    for round in number.. {
        let connected = tokio::select! {
            _ = &mut over => break,
            connected = Wire::connect(address, receive_bytes) => connected,
        };
        if let Ok(mut wire) = connected {
            seen.connections += 1;
            let attack = Attack { wire: &mut wire, round, random: &mut random, calls_refused: &mut seen.calls_refused };
            let is_over = tokio::select! {
                _ = &mut over => true,
                () = attack.run(kind) => false,
            };
            if is_over {
                seen.held += 1;
                seen.not_closed += u64::from(!wire.leave().await);
                break;
            }
            seen.cut_off += 1;
        } else {
            seen.not_connected += 1;
        }
        tokio::select! {
            _ = &mut over => break,
            () = tokio::time::sleep(CONNECT_PAUSE) => {}
        }
    }
    seen
}
