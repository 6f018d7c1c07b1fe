//! What the stores do: their share of an order, the worker by itself, and a start from ledger and log.

use flux_gate::load::spread::Spread;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::cluster::{Cluster, Flush};
use super::fill::{self, Fill};
use super::meter::{Meter, PerOrder};
use super::{ENDLESS_UNITS, Many};
use crate::bench::ordinary;
use crate::bench::report::Target;
use crate::bench::scenarios::spread;
use crate::bench::servers;
use crate::support::server::Server;

/// How often the ledger's progress is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long the worker may take for a filled topic.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// How long a node may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// The default of its producer's library, which does better than none wherever a broker syncs.
const ORDINARY_LINGER_MS: u32 = 5;
/// Orders before those that count: connections are made, code is compiled.
const WARM_UP_ORDERS: u64 = 20_000;

/// Calls, bytes and processor time of an order.
pub fn cost(many: &mut Many<'_>) -> anyhow::Result<()> {
    let cluster = Cluster::new(&many.stack, many.bench.dir, Flush::EveryRecord)?;
    let (node, whole_s) = cost_of_node(many, &cluster)?;
    let ordinary = cost_of_ordinary(many, &cluster)?;
    let report = &mut many.bench.report;
    let per_second = node.orders as f64 / whole_s;
    let what = "orders a second from the first request until the ledger has all";
    report.line(what, per_second, format!("{per_second:.0}"), Target::Told);
    for (who, cost) in [("a node of many", &node), ("the ordinary design", &ordinary)] {
        let what = format!("processor time of one order, {who}");
        report.line(what, cost.cpu_us_sum(), cost.cpu_text(), Target::Told);
    }
    let what = "calls of Redis for one order, a node of many: FCALL";
    let shown = format!("{:.2} (with those inside: {})", node.calls_of("fcall"), node.calls_text());
    report.line(what, node.calls_of("fcall"), shown, Target::Told);
    let what = "calls of Redis for one order, the ordinary design";
    report.line(what, ordinary.calls_of("incr"), ordinary.calls_text(), Target::Told);
    for (who, cost) in [("a node of many", &node), ("the ordinary design", &ordinary)] {
        let what = format!("bytes in Kafka of one order, {who}");
        report.line(what, cost.kafka_bytes, format!("{:.0}", cost.kafka_bytes), Target::Told);
    }
    let figures = serde_json::json!({
        "node": node, "ordinary": ordinary, "node_until_kept_per_second": per_second,
    });
    report.figure("cost", &figures)
}

/// Also the time from the first request until the ledger has all, in seconds.
fn cost_of_node(many: &Many<'_>, cluster: &Cluster<'_>) -> anyhow::Result<(PerOrder, f64)> {
    let mut worker = cluster.worker()?;
    let node = cluster.node()?;
    let product = cluster.product("cost");
    servers::create(&node, &product, ENDLESS_UNITS)?;
    let own = [("node", node.pid()), ("worker", worker.pid())];
    let mut meter = Meter::new(&many.stack, cluster.topic(), &own)?;
    let mut books = cluster.books()?;
    place(many, node.public, &product, WARM_UP_ORDERS, cluster.run(0))?;
    books.catch_up(&mut worker)?;
    let (before, begun) = (meter.read()?, Instant::now());
    let orders = place(many, node.public, &product, many.scale.cost_orders, cluster.run(1_000))?;
    books.catch_up(&mut worker)?;
    let whole_s = begun.elapsed().as_secs_f64();
    Ok((meter.read()?.since(&before, orders), whole_s))
}

fn cost_of_ordinary(many: &Many<'_>, cluster: &Cluster<'_>) -> anyhow::Result<PerOrder> {
    let ordinary = cluster.ordinary(ORDINARY_LINGER_MS)?;
    let product = cluster.product("cost");
    let mut redis = many.stack.redis()?.get_connection()?;
    let key = ordinary::stock_key(&product);
    () = redis::cmd("SET").arg(key).arg(ENDLESS_UNITS).query(&mut redis)?;
    let own = [("program", ordinary.pid())];
    let mut meter = Meter::new(&many.stack, &cluster.ordinary_topic(), &own)?;
    place(many, ordinary.address, &product, WARM_UP_ORDERS, cluster.run(2_000))?;
    let before = meter.read()?;
    let orders =
        place(many, ordinary.address, &product, many.scale.cost_orders, cluster.run(3_000))?;
    Ok(meter.read()?.since(&before, orders))
}

fn place(
    many: &Many<'_>,
    address: SocketAddr,
    product: &str,
    orders: u64,
    first_run: u32,
) -> anyhow::Result<u64> {
    fill::place(many, address, Fill { product, orders, first_run })
}

/// The worker from a filled topic.
pub fn worker(many: &mut Many<'_>) -> anyhow::Result<()> {
    let cluster = Cluster::new(&many.stack, many.bench.dir, Flush::EveryRecord)?;
    let node = cluster.node()?;
    let product = cluster.product("filled");
    servers::create(&node, &product, ENDLESS_UNITS)?;
    println!("    filling the topic with {} orders", many.scale.worker_orders);
    let filled = Instant::now();
    place(many, node.public, &product, many.scale.worker_orders, cluster.run(0))?;
    println!("    filled within {:.1} s", filled.elapsed().as_secs_f64());
    node.kill();

    let mut books = cluster.books()?;
    let written = books.written()?;
    let begun = Instant::now();
    let worker = cluster.worker()?;
    let mut meter = Meter::new(&many.stack, cluster.topic(), &[("worker", worker.pid())])?;
    let before = meter.read()?;
    let mut first = None;
    loop {
        let kept = books.kept()?;
        if kept >= written {
            break;
        }
        if kept > 0 && first.is_none() {
            first = Some((Instant::now(), kept));
        }
        ensure!(begun.elapsed() < DRAIN_MAX, "the worker has taken in {kept} of {written}");
        std::thread::sleep(POLL);
    }
    let ended = Instant::now();
    let cost = meter.read()?.since(&before, written);
    let whole_s = (ended - begun).as_secs_f64();
    // What a start takes, until the group has given out its partitions, is not the worker's rate.
    let (since, already) = first.unwrap_or((begun, 0));
    let per_second = (written - already) as f64 / (ended - since).as_secs_f64();

    let report = &mut many.bench.report;
    let what = format!("worker: records a second from a topic with {written}");
    let shown = format!("{per_second:.0}");
    report.line(what, per_second, shown, Target::AtLeast(50_000.0));
    let with_start = written as f64 / whole_s;
    let shown =
        format!("{with_start:.0} (first batch after {:.2} s)", (since - begun).as_secs_f64());
    report.line("worker: the same from the start of its process", with_start, shown, Target::Told);
    let what = "worker: processor time of one order";
    report.line(what, cost.cpu_us_sum(), cost.cpu_text(), Target::Told);
    let figures = serde_json::json!({
        "records": written, "per_second": per_second, "with_start": with_start, "cost": cost,
    });
    report.figure("worker", &figures)
}

/// A start with orders in ledger and log.
pub fn start(many: &mut Many<'_>) -> anyhow::Result<()> {
    let cluster = Cluster::new(&many.stack, many.bench.dir, Flush::EveryRecord)?;
    let mut worker = cluster.worker()?;
    let node = cluster.node()?;
    let product = cluster.product("start");
    servers::create(&node, &product, ENDLESS_UNITS)?;
    let orders = place(many, node.public, &product, many.scale.start_orders, cluster.run(0))?;
    cluster.books()?.catch_up(&mut worker)?;
    node.stop()?;
    let mut ready_s = Vec::new();
    for _ in 0..many.scale.starts {
        let begun = Instant::now();
        let node = cluster.node()?;
        wait_until_ready(&node)?;
        ready_s.push(begun.elapsed().as_secs_f64());
        println!("    ready after {:.2} s", begun.elapsed().as_secs_f64());
        node.stop()?;
    }
    let ready = Spread::of(ready_s.iter().copied());
    let report = &mut many.bench.report;
    let what = format!("a node is ready with {orders} orders in ledger and log, in seconds");
    report.line(what, ready.median, spread(ready, 2), Target::AtMost(2.0));
    report.figure("start", &serde_json::json!({ "orders": orders, "ready_s": ready_s }))
}

fn wait_until_ready(node: &Server) -> anyhow::Result<()> {
    let begun = Instant::now();
    while let Err(error) = servers::operate(node, "GET", "/readyz", "") {
        ensure!(begun.elapsed() < READY_MAX, "the node is not ready: {error:#}");
        std::thread::sleep(POLL);
    }
    Ok(())
}
