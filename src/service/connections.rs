//! Connections: accepted one by one, no more than a limit at a time, and dealt to the threads that serve them.
//!
//! What must stay true: at the limit nothing is accepted until a connection has ended, so that callers wait in the
//! operating system's queue instead of in our memory; an address that has its share gets no further one, so that it
//! cannot use up the places of all; an accept that fails (no file descriptors) is tried again; a new connection goes to
//! the thread that has the fewest, the first of equals.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::metrics::ConnectionMeter;

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

/// How many connections there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Of all callers.
    pub in_all: usize,
    /// Of one address; a network of 64 bits, as one customer has, counts as one address of IPv6.
    pub of_address: usize,
}

/// The connections of each address that has any.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// Whom a connection counts for.
fn counted_for(peer: Peer) -> IpAddr {
    match peer.0.ip().to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl Addresses {
    /// Counts a connection, unless its address has so many.
    fn enter(&self, address: IpAddr, most: usize) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        let has_room = *count < most;
        *count += usize::from(has_room);
        has_room
    }

    fn leave(&self, address: IpAddr) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

/// The place that a connection takes up until this is dropped.
pub struct Counted {
    of_thread: Arc<AtomicUsize>,
    meter: Arc<ConnectionMeter>,
    addresses: Arc<Addresses>,
    address: IpAddr,
    _room: OwnedSemaphorePermit,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of_thread.fetch_sub(1, Ordering::Relaxed);
        self.addresses.leave(self.address);
        self.meter.open.add(-1);
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

/// Deals the connections of a listener to so many threads, as many at a time as there is room for, while the returned
/// future is polled.
pub fn deal(
    listener: TcpListener,
    room: Room,
    thread_count: usize,
    meter: Arc<ConnectionMeter>,
) -> (impl Future<Output = ()> + Send, Vec<Incoming>) {
    let (seats, incoming): (Vec<_>, Vec<_>) = (0..thread_count)
        .map(|_| {
            let (sender, dealt) = mpsc::channel(DEALT_MAX);
            (Seat { sender, count: Arc::default() }, Incoming(dealt))
        })
        .unzip();
    let dealer =
        Dealer { seats, places: Arc::new(Semaphore::new(room.in_all)), room, addresses: Arc::default(), meter };
    (async move { dealer.accept_all(&listener).await }, incoming)
}

struct Dealer {
    seats: Vec<Seat>,
    places: Arc<Semaphore>,
    room: Room,
    addresses: Arc<Addresses>,
    meter: Arc<ConnectionMeter>,
}

impl Dealer {
    async fn accept_all(&self, listener: &TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match accept(listener).await {
                Ok((stream, peer)) => self.deal(stream, peer, place).await,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    async fn deal(&self, stream: std::net::TcpStream, peer: Peer, place: OwnedSemaphorePermit) {
        let address = counted_for(peer);
        if !self.addresses.enter(address, self.room.of_address) {
            self.meter.refused.add(1);
            tracing::debug!(peer = %peer.0, "an address has as many connections as it may have");
            return;
        }
        let seat = self.seats.iter().min_by_key(|seat| seat.count.load(Ordering::Relaxed));
        let seat = seat.expect("there is at least one thread");
        seat.count.fetch_add(1, Ordering::Relaxed);
        self.meter.open.add(1);
        let (addresses, meter) = (self.addresses.clone(), self.meter.clone());
        let counted = Counted { of_thread: seat.count.clone(), meter, addresses, address, _room: place };
        // A thread that is gone serves nobody: the connection is closed.
        let _ = seat.sender.send(Dealt { stream, peer, counted }).await;
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

    fn ample(in_all: usize) -> Room {
        Room { in_all, of_address: in_all }
    }

    /// What comes on a connection that a caller opens, or that it is closed at once.
    async fn is_closed(caller: &mut TcpStream) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(30), tokio::io::AsyncReadExt::read(caller, &mut byte));
        matches!(read.await, Ok(Ok(0) | Err(_)))
    }

    #[tokio::test]
    async fn an_address_that_has_its_share_is_turned_away_until_it_lets_one_go() {
        let (listener, address) = listener().await;
        let meter = Arc::new(ConnectionMeter::default());
        let (accepting, mut incoming) = deal(listener, Room { in_all: 9, of_address: 2 }, 1, meter.clone());
        let accepting = tokio::spawn(accepting);
        let mut connections = incoming.pop().unwrap();
        let mut callers = Vec::new();
        let mut held = Vec::new();
        for _ in 0..2 {
            callers.push(TcpStream::connect(address).await.unwrap());
            held.push(connections.next().await.unwrap());
        }
        for turned_away in 1..=3 {
            assert!(is_closed(&mut TcpStream::connect(address).await.unwrap()).await);
            assert_eq!((meter.open.get(), meter.refused.get()), (2, turned_away));
        }
        held.pop();
        let _third = TcpStream::connect(address).await.unwrap();
        held.push(connections.next().await.unwrap());
        held.clear();
        assert_eq!(meter.open.get(), 0);
        accepting.abort();
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let of = |text: &str| counted_for(Peer(text.parse().unwrap()));
        assert_eq!(of("[2001:db8:1:2::7]:1"), of("[2001:db8:1:2:ffff::9]:2"));
        assert_ne!(of("[2001:db8:1:2::7]:1"), of("[2001:db8:1:3::7]:1"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
        assert_eq!(of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:1"), "an address in the clothes of the other family");
    }

    #[tokio::test]
    async fn at_the_limit_a_further_caller_waits_until_one_has_gone() {
        let (listener, address) = listener().await;
        let (accepting, mut incoming) = deal(listener, ample(2), 1, Arc::default());
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
        let (accepting, mut threads) = deal(listener, ample(9), 2, Arc::default());
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
        let (accepting, _incoming) = deal(listener, ample(2), 1, Arc::default());
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
