//! Accepted orders: a node of many, the ordinary design on the same stores, and the embedded node, in turn.

use anyhow::Context;
use flux_gate::load::spread::Spread;
use serde::Serialize;

use super::cluster::{Cluster, Flush, Worker};
use super::lag::Lag;
use super::turns::{self, Runs, Turn};
use super::{ENDLESS_UNITS, EXCUSED, Many, recipe};
use crate::bench::client::{self, Shape};
use crate::bench::pairs::{Effort, Side, Source};
use crate::bench::report::Target;
use crate::bench::requests::Crowd;
use crate::bench::scenarios::spread;
use crate::bench::servers::{self, Echo};
use crate::bench::{Bench, ordinary};
use crate::support::server::Server;

/// What the ordinary design's producer is tried with, in milliseconds: none, and its library's default.
const ORDINARY_LINGERS_MS: [u32; 2] = [0, 5];
/// What ours is compared with, in microseconds.
const LINGERS_US: [u64; 4] = [0, 200, 500, 1_000];
/// Runs of different servers have different keys.
const RUNS_OF_A_SERVER: u32 = 1_000;

/// What a comparison has shown.
#[derive(Serialize)]
struct Found {
    flush: &'static str,
    /// Node, ordinary design, embedded node.
    runs: Vec<Runs>,
    /// The same.
    latencies: Vec<Latency>,
    lag_records_max: u64,
    catch_up_s_max: f64,
}

/// From when a request was due until its answer, in milliseconds.
#[derive(Serialize)]
struct Latency {
    per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    excused: u64,
}

/// Compares the three on a topic that is flushed like this.
pub fn compare(many: &mut Many<'_>, flush: Flush) -> anyhow::Result<()> {
    let effort = many.effort();
    let rounds = match flush {
        Flush::EveryRecord => many.scale.rounds,
        Flush::Whenever => many.scale.unflushed_rounds,
    };
    let cluster = Cluster::new(&many.stack, many.bench.dir, flush)?;
    set_stock(many, &cluster)?;
    let found = contest(&many.bench, &cluster, flush, rounds, effort)?;
    tell(&mut many.bench, &found)
}

fn contest(
    bench: &Bench<'_>,
    cluster: &Cluster<'_>,
    flush: Flush,
    rounds: u32,
    effort: Effort,
) -> anyhow::Result<Found> {
    let product = cluster.product("endless");
    let product = product.as_str();
    let recipe = |run| recipe(product, Crowd::Users(0), run);
    let source =
        |place: u32| Source::new(&recipe, &bench.clock, cluster.run(place * RUNS_OF_A_SERVER));

    let mut worker = cluster.worker()?;
    let node = cluster.node()?;
    let embedded_dir = bench.dir.join(cluster.product("embedded"));
    let embedded = servers::start(&embedded_dir, servers::MIN_INTERVAL_MS)?;
    for server in [&node, &embedded] {
        servers::create(server, product, ENDLESS_UNITS)?;
    }
    let (linger_ms, ordinary) = better_ordinary(cluster, source(1), effort)?;

    let side = |server: &Server| Side { address: server.public, pid: server.pid(), status: 200 };
    let ordinary_side = Side { address: ordinary.address, pid: ordinary.pid(), status: 200 };
    let turn = |name: &str, side, source| Turn { name: name.to_owned(), side, source };
    let mut turns = [
        turn("node of many", side(&node), source(2)),
        turn(&format!("ordinary design (linger.ms={linger_ms})"), ordinary_side, source(3)),
        turn("embedded node", side(&embedded), source(4)),
    ];
    let lag = Lag::watch(cluster)?;
    let mut settling = Settling { books: cluster.books()?, worker: &mut worker, longest_s: 0.0 };
    let runs = turns::in_turn(&mut turns, rounds, effort, || settling.settle())?;
    let mut latencies = Vec::new();
    for (turn, runs) in turns.iter_mut().zip(&runs) {
        settling.settle()?;
        let latency =
            half_peak(turn, runs.per_second().median / 2.0, bench.scale.latency_window, effort)?;
        println!("    {}: {}", turn.name, latency.text());
        latencies.push(latency);
    }
    settling.settle()?;
    let catch_up_s_max = settling.longest_s;
    Ok(Found { flush: flush.name(), runs, latencies, lag_records_max: lag.stop()?, catch_up_s_max })
}

/// Waits for the worker between runs, and remembers the longest wait.
struct Settling<'a> {
    books: super::cluster::Books,
    worker: &'a mut Worker,
    longest_s: f64,
}

impl Settling<'_> {
    fn settle(&mut self) -> anyhow::Result<()> {
        let took = self.books.catch_up(self.worker)?;
        self.longest_s = self.longest_s.max(took.as_secs_f64());
        Ok(())
    }
}

/// The ordinary design with the linger that gives it more; a run warms each up before the one that counts.
fn better_ordinary(
    cluster: &Cluster<'_>,
    mut source: Source<'_>,
    effort: Effort,
) -> anyhow::Result<(u32, Echo)> {
    let mut best: Option<(f64, u32)> = None;
    for linger_ms in ORDINARY_LINGERS_MS {
        let ordinary = cluster.ordinary(linger_ms)?;
        let side = Side { address: ordinary.address, pid: ordinary.pid(), status: 200 };
        source.measure(side, effort)?;
        let per_second = source.measure(side, effort)?.per_second;
        println!("    ordinary design, linger.ms={linger_ms}: {per_second:.0}/s");
        if best.is_none_or(|(most, _)| per_second > most) {
            best = Some((per_second, linger_ms));
        }
    }
    let (_, linger_ms) = best.context("no linger was tried")?;
    Ok((linger_ms, cluster.ordinary(linger_ms)?))
}

/// What the ordinary design sells.
fn set_stock(many: &Many<'_>, cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let key = ordinary::stock_key(&cluster.product("endless"));
    let mut redis = many.stack.redis()?.get_connection()?;
    () = redis::cmd("SET").arg(key).arg(ENDLESS_UNITS).query(&mut redis)?;
    Ok(())
}

fn half_peak(
    turn: &mut Turn<'_>,
    per_second: f64,
    window: std::time::Duration,
    effort: Effort,
) -> anyhow::Result<Latency> {
    let Effort { warm_up, connections, excused, .. } = effort;
    let shape = Shape { connections, warm_up, window, status: turn.side.status, excused };
    let requests = turn.source.next(warm_up + window, Some(per_second));
    let run = client::open(turn.side.address, &requests, shape, per_second)?;
    let at = |quantile| run.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Latency {
        per_second: run.per_second(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        excused: run.excused,
    })
}

impl Latency {
    fn text(&self) -> String {
        let Self { per_second, p50, p99, p999, .. } = self;
        format!("p50 {p50:.2} ms, p99 {p99:.2}, p99.9 {p999:.2} at {per_second:.0}/s")
    }
}

fn tell(bench: &mut Bench<'_>, found: &Found) -> anyhow::Result<()> {
    let (report, flush) = (&mut bench.report, found.flush);
    for runs in &found.runs {
        let rate = runs.per_second();
        let what = format!("{flush}: accepted by the {}, a second", runs.name);
        report.line(what, rate.median, spread(rate, 0), Target::Told);
    }
    let [node, ordinary, embedded] = &found.runs[..] else {
        anyhow::bail!("three servers were to take part");
    };
    for (other, least) in [(ordinary, 1.0), (embedded, 0.4)] {
        let ratio = node.over(other);
        let what = format!("{flush}: accepted over those of the {}", other.name);
        report.line(what, ratio.median, spread(ratio, 2), Target::AtLeast(least));
    }
    for (runs, latency) in found.runs.iter().zip(&found.latencies) {
        let what = format!("{flush}: request to 200 at half its peak, {}", runs.name);
        report.line(what, latency.p99, latency.text(), Target::Told);
    }
    let lag = found.lag_records_max as f64;
    let shown = format!("{lag:.0} records; caught up within {:.2} s", found.catch_up_s_max);
    report.line(format!("{flush}: most that the worker lagged"), lag, shown, Target::Told);
    let excused: u64 = found.runs.iter().map(Runs::excused).sum::<u64>()
        + found.latencies.iter().map(|latency| latency.excused).sum::<u64>();
    let shown = format!("{excused} (statuses {EXCUSED:?})");
    report.line(format!("{flush}: answers not counted"), excused as f64, shown, Target::Told);
    let name = if report.part == "accepted" { "accepted" } else { "accepted_unflushed" };
    report.figure(name, found)
}

/// How long records gather beside the time that the batch before them is on its way.
pub fn linger(many: &mut Many<'_>) -> anyhow::Result<()> {
    let effort = many.effort();
    let cluster = Cluster::new(&many.stack, many.bench.dir, Flush::EveryRecord)?;
    let product = cluster.product("endless");
    let product = product.as_str();
    let recipe = |run| recipe(product, Crowd::Users(0), run);
    let clock = many.bench.clock.clone();
    let mut worker = cluster.worker()?;
    servers::create(&cluster.node()?, product, ENDLESS_UNITS)?;
    let mut settling = Settling { books: cluster.books()?, worker: &mut worker, longest_s: 0.0 };
    let mut found: Vec<(u64, Vec<f64>, Vec<Latency>)> =
        LINGERS_US.map(|linger_us| (linger_us, Vec::new(), Vec::new())).into();
    for round in 0..many.scale.linger_rounds {
        for place in 0..LINGERS_US.len() {
            // Who begins changes from round to round.
            let place = (place + round as usize) % LINGERS_US.len();
            let (linger_us, rates, latencies) = &mut found[place];
            settling.settle()?;
            let node = cluster.node_with_linger(*linger_us)?;
            let side = Side { address: node.public, pid: node.pid(), status: 200 };
            let first_run = (round * LINGERS_US.len() as u32 + place as u32) * 10;
            let source = Source::new(&recipe, &clock, cluster.run(first_run));
            let mut turn = Turn { name: format!("linger {linger_us} µs"), side, source };
            let run = turn.source.measure(side, effort)?;
            settling.settle()?;
            let latency = half_peak(&mut turn, run.per_second / 2.0, effort.window, effort)?;
            println!("    {}: {:.0}/s; {}", turn.name, run.per_second, latency.text());
            rates.push(run.per_second);
            latencies.push(latency);
        }
    }
    let report = &mut many.bench.report;
    for (linger_us, rates, latencies) in &found {
        let rate = Spread::of(rates.iter().copied());
        let of = |figure: fn(&Latency) -> f64| Spread::of(latencies.iter().map(figure)).median;
        let (p50, p99) = (of(|latency| latency.p50), of(|latency| latency.p99));
        let shown = format!("{}; p50 {p50:.2} ms, p99 {p99:.2} at half of it", spread(rate, 0));
        let what = format!("accepted a second with a linger of {linger_us} µs");
        report.line(what, rate.median, shown, Target::Told);
    }
    report.figure("linger", &found)
}
