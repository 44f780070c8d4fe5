//! Connections: accepted one by one, no more than a limit at a time, and dealt to the threads that serve them.
//!
//! What must stay true: at the limit nothing is accepted until a connection has ended, so that callers wait in the
//! operating system's queue instead of in our memory; an accept that fails (no file descriptors) is tried again; a new
//! connection goes to the thread that has the fewest, the first of equals.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::metrics::Gauge;

/// Rest after an accept that failed.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Connections that were dealt to a thread and not yet taken.
const DEALT_MAX: usize = 16;

/// Where a call comes from; every request carries it among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A connection on the thread that serves it. Whoever takes it apart drops the stream before the place that it takes up.
pub struct Connection {
    /// The bytes.
    pub stream: TcpStream,
    /// Where it comes from.
    pub peer: Peer,
    /// The place that it takes up.
    pub counted: Counted,
}

/// The place that a connection takes up until this is dropped.
pub struct Counted {
    of_thread: Arc<AtomicUsize>,
    open: Arc<Gauge>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of_thread.fetch_sub(1, Ordering::Relaxed);
        self.open.add(-1);
    }
}

/// A connection on its way to the thread that is going to serve it.
struct Dealt {
    stream: std::net::TcpStream,
    peer: Peer,
    counted: Counted,
}

/// The connections of one thread.
pub struct Incoming(mpsc::Receiver<Dealt>);

impl Incoming {
    /// The next connection, to be served by the runtime of the caller; `None` once nobody deals any more. Loses nothing
    /// when it is dropped before it has ended.
    pub async fn next(&mut self) -> Option<Connection> {
        while let Some(Dealt { stream, peer, counted }) = self.0.recv().await {
            match TcpStream::from_std(stream) {
                Ok(stream) => return Some(Connection { stream, peer, counted }),
                Err(error) => tracing::warn!(%error, "a connection could not be served"),
            }
        }
        None
    }
}

/// A thread that connections are dealt to.
struct Seat {
    sender: mpsc::Sender<Dealt>,
    count: Arc<AtomicUsize>,
}

/// Deals the connections of a listener to so many threads, at most `connections_max` at a time, while the returned
/// future is polled. `open` counts those that are open.
pub fn deal(
    listener: TcpListener,
    connections_max: usize,
    thread_count: usize,
    open: Arc<Gauge>,
) -> (impl Future<Output = ()> + Send, Vec<Incoming>) {
    let (seats, incoming): (Vec<_>, Vec<_>) = (0..thread_count)
        .map(|_| {
            let (sender, dealt) = mpsc::channel(DEALT_MAX);
            (Seat { sender, count: Arc::default() }, Incoming(dealt))
        })
        .unzip();
    let room = Arc::new(Semaphore::new(connections_max));
    (async move { accept_all(&listener, &room, &seats, &open).await }, incoming)
}

async fn accept_all(listener: &TcpListener, room: &Arc<Semaphore>, seats: &[Seat], open: &Arc<Gauge>) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match accept(listener).await {
            Ok((stream, peer)) => {
                let seat = seats.iter().min_by_key(|seat| seat.count.load(Ordering::Relaxed));
                let seat = seat.expect("there is at least one thread");
                seat.count.fetch_add(1, Ordering::Relaxed);
                open.add(1);
                let counted = Counted { of_thread: seat.count.clone(), open: open.clone(), _room: permit };
                // A thread that is gone serves nobody: the connection is closed.
                let _ = seat.sender.send(Dealt { stream, peer, counted }).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> io::Result<(std::net::TcpStream, Peer)> {
    let (stream, peer) = listener.accept().await?;
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    Ok((stream.into_std()?, Peer(peer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn listener() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn at_the_limit_a_further_caller_waits_until_one_has_gone() {
        let (listener, address) = listener().await;
        let (accepting, mut incoming) = deal(listener, 2, 1, Arc::default());
        let accepting = tokio::spawn(accepting);
        let mut connections = incoming.pop().unwrap();
        let mut callers = Vec::new();
        for _ in 0..3 {
            callers.push(TcpStream::connect(address).await.unwrap());
        }
        let first = connections.next().await.unwrap();
        let _second = connections.next().await.unwrap();
        let third = tokio::time::timeout(Duration::from_millis(100), connections.next()).await;
        assert!(third.is_err(), "there is no room for a third");
        drop(first);
        connections.next().await.unwrap();
        accepting.abort();
    }

    #[tokio::test]
    async fn a_new_connection_goes_to_the_thread_that_has_the_fewest() {
        let (listener, address) = listener().await;
        let (accepting, mut threads) = deal(listener, 9, 2, Arc::default());
        let accepting = tokio::spawn(accepting);
        let mut held = Vec::new();
        for thread in [0, 1, 0, 1] {
            let caller = TcpStream::connect(address).await.unwrap();
            held.push((caller, threads[thread].next().await.unwrap()));
        }
        // The second thread loses both of its connections, and gets the next two.
        held.remove(3);
        held.remove(1);
        for _ in 0..2 {
            let caller = TcpStream::connect(address).await.unwrap();
            held.push((caller, threads[1].next().await.unwrap()));
        }
        accepting.abort();
    }

    #[tokio::test]
    async fn nothing_is_accepted_once_nobody_deals_connections() {
        let (listener, address) = listener().await;
        let (accepting, _incoming) = deal(listener, 2, 1, Arc::default());
        drop(accepting);
        for _ in 0..500 {
            if TcpStream::connect(address).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the listener stays open");
    }
}
