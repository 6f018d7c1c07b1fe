//! Throughput and processor time, two servers in turn under the same client.

use std::net::SocketAddr;
use std::time::Duration;

use flux_gate::clock::Clock;
use flux_gate::load::spread::{Spread, in_turn};
use serde::Serialize;

use super::client::{self, Shape};
use super::requests::{Recipe, Requests};
use super::servers::CpuTime;

/// More than any server here answers a second: the size of the first set of requests.
const PER_SECOND_FIRST: f64 = 60_000.0;
/// Requests are signed for so many times the rate of the fastest run so far.
const RESERVE: f64 = 2.5;

/// A server under the client.
#[derive(Clone, Copy)]
pub struct Side {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// The status of its answers.
    pub status: u16,
}

/// How long and how often.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Pairs of runs.
    pub pairs: u32,
    /// Length of a run without its warm-up.
    pub window: Duration,
    /// Its warm-up.
    pub warm_up: Duration,
    /// Connections.
    pub connections: usize,
    /// Statuses of answers that are counted apart instead of failing a run.
    pub excused: &'static [u16],
}

/// One run of one side.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Answers a second.
    pub per_second: f64,
    /// Processor time of the server for one request, in microseconds.
    pub cpu_us: f64,
    /// 99th percentile of the latency, in microseconds.
    pub p99_us: u64,
    /// Answers with an excused status.
    pub excused: u64,
}

/// Two sides in turn.
#[derive(Debug, Serialize)]
pub struct Pairs {
    /// The runs of the side under test.
    pub tested: Vec<Measured>,
    /// The runs of the side that it is compared with.
    pub compared: Vec<Measured>,
    /// Throughput of the tested side over that of the other, pair by pair.
    pub throughput_ratio: Spread,
    /// Processor time of the tested side over that of the other, pair by pair.
    pub cpu_ratio: Spread,
}

impl Pairs {
    /// A figure of the tested side over its runs.
    pub fn tested(&self, figure: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(self.tested.iter().map(figure))
    }

    /// The same of the other side.
    pub fn compared(&self, figure: impl Fn(&Measured) -> f64) -> Spread {
        Spread::of(self.compared.iter().map(figure))
    }
}

/// Makes the requests of the runs; every run has its own keys.
pub struct Source<'a> {
    recipe: &'a dyn Fn(u32) -> Recipe<'a>,
    clock: Clock,
    run: u32,
    per_second_max: f64,
}

impl<'a> Source<'a> {
    /// By a recipe, which is told the number of the run; the time is filled in.
    pub fn new(recipe: &'a dyn Fn(u32) -> Recipe<'a>, clock: &Clock, first_run: u32) -> Self {
        Self { recipe, clock: clock.clone(), run: first_run, per_second_max: PER_SECOND_FIRST }
    }

    #[cfg(feature = "distributed")]
    /// Signs the next requests for this rate, or for that of the fastest run from now on.
    pub fn expect(&mut self, per_second: f64) {
        self.per_second_max = per_second;
    }

    /// Signs the requests of the next run.
    pub fn next(&mut self, time: Duration, per_second: Option<f64>) -> Requests {
        self.run += 1;
        let rate = per_second.unwrap_or(self.per_second_max) * RESERVE;
        let mut recipe = (self.recipe)(self.run);
        recipe.now_ms = self.clock.unix_ms();
        Requests::sign(&recipe, (rate * time.as_secs_f64()) as usize)
    }

    /// One run against one side.
    ///
    /// # Errors
    /// See [`client::closed`].
    pub fn measure(&mut self, side: Side, effort: Effort) -> anyhow::Result<Measured> {
        let requests = self.next(effort.warm_up + effort.window, None);
        let shape = Shape {
            connections: effort.connections,
            warm_up: effort.warm_up,
            window: effort.window,
            status: side.status,
            excused: effort.excused,
        };
        let mut cpu = CpuTime::of(side.pid);
        let run = client::closed(side.address, &requests, shape, &mut cpu)?;
        self.per_second_max = self.per_second_max.max(run.per_second());
        Ok(Measured {
            per_second: run.per_second(),
            cpu_us: cpu.used_s * 1e6 / run.answers as f64,
            p99_us: run.latency_us.value_at_quantile(0.99),
            excused: run.excused,
        })
    }
}

/// Runs pairs; which side goes first changes from pair to pair.
///
/// # Errors
/// See [`client::closed`].
pub fn run(
    tested: (Side, &mut Source<'_>),
    compared: (Side, &mut Source<'_>),
    effort: Effort,
    mut progress: impl FnMut(u32, &Measured, &Measured),
) -> anyhow::Result<Pairs> {
    let pairs = in_turn(
        effort.pairs,
        &mut (),
        |()| tested.1.measure(tested.0, effort),
        |()| compared.1.measure(compared.0, effort),
        &mut progress,
    )?;
    let throughput_ratio = Spread::of_ratios(&pairs, |measured| measured.per_second);
    let cpu_ratio = Spread::of_ratios(&pairs, |measured| measured.cpu_us);
    let (tested, compared) = pairs.into_iter().unzip();
    Ok(Pairs { tested, compared, throughput_ratio, cpu_ratio })
}
