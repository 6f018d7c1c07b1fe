//! The threads of a run: they connect everything first, and when all have, they begin together.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinSet, LocalSet};

use super::{Sender, closed, open};
use crate::clock::Clock;
use crate::load::plan::{Kind, Pace, Plan};
use crate::load::tally::{Counts, Tally, histogram};
use crate::load::wire::{Connection, WireError};
use crate::load::{LoadError, Stop, TICK_MS};

/// Connections that a thread opens at the same time: more would overrun the listener's backlog.
const CONNECTING_MAX: usize = 128;

/// Where a thread leaves word of its progress.
#[derive(Debug)]
pub struct Seat {
    /// Totals so far.
    pub counts: Counts,
    /// Latencies since somebody looked.
    pub recent: Histogram<u64>,
    /// Attempts that wait for a connection.
    pub waiting: u64,
}

impl Default for Seat {
    fn default() -> Self {
        Self { counts: Counts::default(), recent: histogram(), waiting: 0 }
    }
}

/// The threads of a run.
pub struct Crew(Vec<std::thread::JoinHandle<Tally>>);

impl Crew {
    /// Connects everything, then lets all threads begin.
    pub fn start(
        plan: &Plan,
        clock: &Clock,
        stop: &Stop,
        seats: &[Arc<Mutex<Seat>>],
    ) -> Result<Self, LoadError> {
        let (ready, are_ready) = mpsc::channel();
        let mut threads = Vec::new();
        let mut starters = Vec::new();
        for (number, seat) in seats.iter().enumerate() {
            let (go, start) = oneshot::channel();
            let part = Part {
                plan: plan.clone(),
                clock: clock.clone(),
                stop: stop.clone(),
                seat: seat.clone(),
                number,
            };
            let ready = ready.clone();
            let thread = std::thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || part.run(&ready, start))?;
            threads.push(thread);
            starters.push(go);
        }
        drop(ready);
        // Each speaks once. If one fails, the others end when their starters are dropped.
        for _ in 0..seats.len() {
            are_ready.recv().map_err(|_| LoadError::Panicked)??;
        }
        let start_us = clock.monotonic_us();
        for go in starters {
            go.send(start_us).map_err(|_| LoadError::Panicked)?;
        }
        Ok(Self(threads))
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.0.iter().all(std::thread::JoinHandle::is_finished)
    }

    /// Waits for all threads and adds up what they counted.
    pub fn join(self) -> Result<Tally, LoadError> {
        let mut total = Tally::default();
        for thread in self.0 {
            total.merge(thread.join().map_err(|_| LoadError::Panicked)?);
        }
        Ok(total)
    }
}

/// What a thread is given.
pub(super) struct Part {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    pub(super) stop: Stop,
    pub(super) seat: Arc<Mutex<Seat>>,
    pub(super) number: usize,
}

impl Part {
    fn run(
        self,
        ready: &mpsc::Sender<Result<(), LoadError>>,
        start: oneshot::Receiver<u64>,
    ) -> Tally {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // The receiver waits until all have spoken, so it is there.
                let _ = ready.send(Err(error.into()));
                return Tally::default();
            }
        };
        LocalSet::new().block_on(&runtime, self.work(ready, start))
    }

    async fn work(
        self,
        ready: &mpsc::Sender<Result<(), LoadError>>,
        start: oneshot::Receiver<u64>,
    ) -> Tally {
        let lines = match connect_all(&self.plan, lines_of(&self.plan, self.number)).await {
            Ok(lines) => lines,
            Err(error) => {
                let _ = ready.send(Err(error));
                return Tally::default();
            }
        };
        let _ = ready.send(Ok(()));
        let Ok(start_us) = start.await else { return Tally::default() };
        let (pace, clock) = (self.plan.pace, self.clock.clone());
        let cpu_before_us = clock.thread_cpu_us();
        let sender = Rc::new(Sender::new(self, start_us));
        let reporter = tokio::task::spawn_local(report(sender.clone()));
        match pace {
            Pace::Closed => closed::run(&sender, lines).await,
            Pace::Open { per_second } => open::run(&sender, lines, per_second).await,
        }
        reporter.abort();
        // Cancelled or not, it has let go of the sender when it is joined.
        let _ = reporter.await;
        let cpu_us = clock.thread_cpu_us().saturating_sub(cpu_before_us);
        Tally { cpu_us, ..sender.finish() }
    }
}

/// A connection's place: whose it is, where it comes from, and the connection while there is one.
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) source: Option<Ipv4Addr>,
    pub(super) connection: Option<Connection>,
    pub(super) request: Vec<u8>,
}

/// The lines of a thread, not yet connected.
fn lines_of(plan: &Plan, thread: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (kind, mut count) in Kind::ALL.into_iter().zip(plan.mix.split(plan.connections)) {
        if count > 0 && plan.pace != Pace::Closed {
            // An arrival of any kind may come up in any thread.
            count = count.max(plan.threads);
        }
        for number in (thread..count).step_by(plan.threads) {
            let source = source_of(kind, number as u32, plan.source_addresses);
            lines.push(Line { kind, source, connection: None, request: Vec::new() });
        }
    }
    lines
}

/// The crowd has 127.1.0.0/16, the attackers a few addresses elsewhere, the flood has one.
fn source_of(kind: Kind, number: u32, addresses: u32) -> Option<Ipv4Addr> {
    if addresses == 0 {
        return None;
    }
    let place = match kind {
        Kind::Honest => number % addresses,
        Kind::Replay | Kind::Forge => number % 4,
        Kind::Flood => 0,
    };
    let net = match kind {
        Kind::Honest => 1,
        other => 100 + other.index() as u8,
    };
    let (third, fourth) = (place / 250, place % 250 + 1);
    Some(Ipv4Addr::new(127, net, third as u8, fourth as u8))
}

async fn connect_all(plan: &Plan, lines: Vec<Line>) -> Result<Vec<Line>, LoadError> {
    let permits = Arc::new(Semaphore::new(CONNECTING_MAX));
    let mut tasks = JoinSet::new();
    for mut line in lines {
        let (permits, target) = (permits.clone(), plan.target.clone());
        let limit = Duration::from_millis(plan.answer_timeout_ms);
        tasks.spawn_local(async move {
            let _permit = permits.acquire().await;
            let opened = tokio::time::timeout(limit, Connection::open(&target, line.source)).await;
            line.connection = Some(opened.unwrap_or(Err(WireError::TimedOut))?);
            Ok::<_, WireError>(line)
        });
    }
    let mut connected = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        let line = outcome.map_err(|_| LoadError::Panicked)?;
        connected.push(
            line.map_err(|source| LoadError::Unreachable {
                address: plan.target.address(),
                source,
            })?,
        );
    }
    Ok(connected)
}

async fn report(sender: Rc<Sender>) {
    loop {
        tokio::time::sleep(Duration::from_millis(TICK_MS / 2)).await;
        sender.report();
    }
}
