//! One run of load: threads with a runtime each connect, begin together, and are added up.
//!
//! What must stay true: nothing is measured before every connection stands and the warm-up is over; a thread that fails
//! ends the run with its error; a thread beside them that only sleeps tells what the machine did meanwhile.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::channel::{Connection, Target, connect};
use super::error::BenchError;
use super::recorder::{Control, Measured, Pulse, Recorder, Window, control};
use crate::clock::{Clock, SystemClock};

/// How a run of load is divided.
#[derive(Clone, Debug)]
pub struct Division {
    /// The server.
    pub target: Target,
    /// Its process.
    pub server_id: u32,
    /// Threads that send, at least 1.
    pub thread_count: usize,
    /// Connections, divided among the threads, at least 1.
    pub connection_count: usize,
    /// How long is sent before the measurement.
    pub warm_up: Duration,
    /// How long is measured.
    pub measure: Duration,
}

/// What a connection's work is given.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Number of the connection among all.
    pub index: usize,
    /// The connection.
    pub channel: Connection,
    /// The clock of the run.
    pub clock: Arc<SystemClock>,
    /// When it measures.
    pub window: Window,
    /// To be told of every answer.
    pub pulse: Arc<Pulse>,
}

impl Lane {
    /// The time on the clock of the run.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.clock.monotonic_ns()
    }
}

/// Sends from several threads at once and adds up what they saw. `work` is called once for each connection, on its
/// thread, and must return soon after the end of the window.
///
/// # Errors
/// When a connection cannot be made, or the work fails.
pub fn run<W, F>(division: &Division, work: W) -> Result<Measured, BenchError>
where
    W: Fn(Lane) -> F + Sync,
    F: Future<Output = Result<Recorder, BenchError>> + 'static,
{
    let clock = Arc::new(SystemClock::new());
    let (ready_sender, ready) = mpsc::channel();
    std::thread::scope(|scope| {
        let thread_count = division.thread_count.clamp(1, division.connection_count.max(1));
        let mut begins = Vec::new();
        let mut threads = Vec::new();
        for thread in 0..thread_count {
            let (begin_sender, begin) = mpsc::channel::<Begin>();
            begins.push(begin_sender);
            let (ready_sender, work) = (ready_sender.clone(), &work);
            let lanes: Vec<usize> = (thread..division.connection_count).step_by(thread_count).collect();
            threads.push(scope.spawn(move || send(division, &lanes, &ready_sender, &begin, work)));
        }
        drop(ready_sender);
        let is_ready = (0..thread_count).all(|_| ready.recv() == Ok(true));
        let begin_ns = clock.monotonic_ns() + nanoseconds(division.warm_up);
        let window = Window { begin_ns, end_ns: begin_ns + nanoseconds(division.measure) };
        let pulse = Arc::new(Pulse::new(window));
        let stop = Arc::new(AtomicBool::new(false));
        let sleeper = {
            let (stop, clock) = (stop.clone(), clock.clone());
            is_ready.then(|| scope.spawn(move || control(&clock, window, division.server_id, &stop)))
        };
        for begin in begins {
            if is_ready {
                // A thread that has gone says why below.
                let _ = begin.send(Begin { clock: clock.clone(), window, pulse: pulse.clone() });
            }
        }
        let mut all = Recorder::new(window);
        let mut result = Ok(());
        for thread in threads {
            match thread.join().expect("a thread of the load does not panic") {
                Ok(Some(recorder)) => all.merge(&recorder),
                Ok(None) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        stop.store(true, Ordering::Relaxed);
        pulse.beat(window.end_ns);
        let control = sleeper.map(|sleeper| sleeper.join().expect("sleeping does not panic"));
        result?;
        let control = control.unwrap_or_else(Control::new);
        let window_ns = window.end_ns - window.begin_ns;
        Ok(Measured { window_ns, all, longest_pause_ns: pulse.longest_ns(), control })
    })
}

/// What every thread is told when all connections stand.
struct Begin {
    clock: Arc<SystemClock>,
    window: Window,
    pulse: Arc<Pulse>,
}

/// The life of one thread. `None` when another one could not connect.
fn send<W, F>(
    division: &Division,
    lanes: &[usize],
    ready: &mpsc::Sender<bool>,
    begin: &mpsc::Receiver<Begin>,
    work: &W,
) -> Result<Option<Recorder>, BenchError>
where
    W: Fn(Lane) -> F,
    F: Future<Output = Result<Recorder, BenchError>> + 'static,
{
    let runtime = runtime()?;
    let connected = runtime.block_on(async {
        let mut channels = Vec::new();
        for index in lanes {
            channels.push((*index, connect(&division.target).await?));
        }
        Ok::<_, BenchError>(channels)
    });
    // Whoever starts us waits for this.
    let _ = ready.send(connected.is_ok());
    let channels = connected?;
    let Ok(Begin { clock, window, pulse }) = begin.recv() else { return Ok(None) };
    let local = LocalSet::new();
    let all = local.run_until(async {
        let mut tasks = Vec::new();
        for (index, channel) in channels {
            let lane = Lane { index, channel, clock: clock.clone(), window, pulse: pulse.clone() };
            tasks.push(tokio::task::spawn_local(work(lane)));
        }
        let mut all = Recorder::new(window);
        for task in tasks {
            all.merge(&task.await.map_err(|error| BenchError::Call(error.to_string()))??);
        }
        Ok(Some(all))
    });
    runtime.block_on(all)
}

/// A runtime on this thread.
///
/// # Errors
/// When the operating system gives none.
pub fn runtime() -> Result<Runtime, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| BenchError::Resource { what: "event loop", source })
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
