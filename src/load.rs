//! The load generator: a crowd of shoppers and attackers that knows the server by its HTTP contract alone.
//!
//! It sends real, signed requests over keep-alive connections, and remembers every order that was answered
//! "accepted", so that [`verify`] can hold the server's books against it afterwards.
//!
//! Invariants:
//! - a run is bounded in count and in time ([`Plan`]), and only the caller lifts the loopback rule;
//! - open loop: an answer's latency is measured from the time at which the request was due, not from the
//!   time at which it could be sent, so a slow server cannot hide behind its own slowness;
//! - a request is signed just before it is written, with the server's time as far as it is known;
//! - a retry carries the key of its attempt.
//!
//! One OS thread each runs a single-threaded runtime, so a run costs little beside the server under test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::clock::Clock;

pub mod answer;
pub mod api;
pub mod compare;
mod engine;
pub mod live;
pub mod page;
pub mod plan;
pub mod profile;
pub mod report;
mod senders;
pub mod sessions;
pub mod shot;
pub mod spread;
pub mod tally;
pub mod target;
pub mod timeline;
pub mod verify;
pub mod wire;

pub use plan::{Identity, Kind, Mix, Pace, Plan, PlanError};
pub use profile::Profile;
pub use report::Report;
pub use tally::Tally;
pub use target::{Target, TargetError};
pub use wire::WireError;

/// Time between two looks at a run that is under way, in milliseconds.
pub const TICK_MS: u64 = 200;

/// Why a run did not begin. Once it runs, failures are outcomes in its report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan contradicts itself or is beyond a limit.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The server did not take a connection.
    #[error("cannot connect to {address}: {source}; is the server running there?")]
    Unreachable {
        /// Where.
        address: std::net::SocketAddr,
        /// What went wrong.
        source: WireError,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A thread ended by a panic: its counts are lost, so there is no report.
    #[error("a thread of the load generator panicked")]
    Panicked,
}

/// Ends a run from outside: what was sent is still answered and reported.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// No further request is sent.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A look at a run that is under way: sums over its threads, latencies of the last tick alone.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Since the first request, in milliseconds.
    pub elapsed_ms: u64,
    /// Answers so far (and requests that got none).
    pub ended: u64,
    /// Attempts that are due and wait for a free connection (open loop).
    pub waiting: u64,
    /// Counts so far.
    pub counts: tally::Counts,
    /// Median latency of the last tick, in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the last tick, in microseconds.
    pub p99_us: u64,
}

/// Runs a plan to its end; blocks the calling thread, on which `tick` is called every [`TICK_MS`].
///
/// # Errors
/// When the plan is refused or the server takes no connections at the start.
pub fn run(
    plan: &Plan,
    clock: &Clock,
    stop: &Stop,
    mut tick: impl FnMut(&Snapshot),
) -> Result<Report, LoadError> {
    plan.check()?;
    let seats: Vec<Arc<Mutex<engine::Seat>>> = (0..plan.threads).map(|_| Arc::default()).collect();
    let crew = engine::Crew::start(plan, clock, stop, &seats)?;
    let (started_us, started_ms) = (clock.monotonic_us(), clock.unix_ms());
    while !crew.is_finished() {
        std::thread::sleep(std::time::Duration::from_millis(TICK_MS));
        tick(&look(&seats, clock.monotonic_us().saturating_sub(started_us) / 1_000));
    }
    let tally = crew.join()?;
    Ok(Report::new(plan, started_ms, tally))
}

fn look(seats: &[Arc<Mutex<engine::Seat>>], elapsed_ms: u64) -> Snapshot {
    let mut snapshot = Snapshot { elapsed_ms, ..Snapshot::default() };
    let mut recent = tally::histogram();
    for seat in seats {
        let mut seat = seat.lock();
        snapshot.counts.add(&seat.counts);
        snapshot.waiting += seat.waiting;
        if recent.add(&seat.recent).is_ok() {
            seat.recent.reset();
        }
    }
    snapshot.ended = snapshot.counts.ended();
    snapshot.p50_us = recent.value_at_quantile(0.50);
    snapshot.p99_us = recent.value_at_quantile(0.99);
    snapshot
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
