//! The parts of the bench: each sets its servers up, measures, and adds its lines to the report.

use std::time::Duration;

use anyhow::Context;
use flux_gate::load::Target as LoadTarget;
use flux_gate::load::sessions::{Credentials, Crowd as Session, open_crowd};
use flux_gate::load::spread::Spread;
use hdrhistogram::Histogram;

use super::client::{self, Shape};
use super::pairs::{self, Effort, Measured, Pairs, Side, Source};
use super::refusal::{Around, Sender};
use super::report::Target;
use super::requests::{Crowd, Recipe, Requests};
use super::servers::{self, CLIENT_ID, CLIENT_SECRET, Echo};
use super::{Bench, beside as costs, disk, million as store, refusal as counted};
use crate::support::server::Server;

/// Units of a product that is sold out before it is measured.
pub const SOLD_OUT_UNITS: u32 = 1_000;
/// Units of a product that never sells out.
pub const ENDLESS_UNITS: u32 = 1_000_000_000;
/// Buyers of the refusals: each comes again and again, as those do who hope on.
pub const REFUSED_BUYERS: u64 = 100_000;
/// Buyers of the large crowd.
const MANY_BUYERS: u64 = 1_000_000;
/// Runs of different parts have different keys.
const RUNS_OF_A_PART: u32 = 1_000;

/// Instructions of one refusal.
pub fn refusal(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for (known, around, who) in [
        (true, Around::Nothing, "a user it knows"),
        (false, Around::Nothing, "a new user"),
        (true, Around::Evidence, "a user it knows, with its place in the evidence"),
        (true, Around::Id, "a user it knows, with the request's id"),
        (true, Around::Unsampled, "and traces on, unsampled"),
        (true, Around::Parent, "and an unsampled trace of its caller's"),
    ] {
        let what = format!("instructions of one guarded refusal, {who}");
        match counted::instructions(known, around, Sender::Client)? {
            Some(count) => bench.report.line(what, count, format!("{count:.0}"), Target::Told),
            None => println!("  {what}: did not run, valgrind is not installed"),
        }
    }
    score(bench)
}

/// What the bot score adds to the refusal of a shopper with a browser's headers.
fn score(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    for (known, who) in [(true, "a shopper it knows"), (false, "a new shopper")] {
        let of = |sender| counted::instructions(known, Around::Nothing, sender);
        let (Some(without), Some(with)) = (of(Sender::Unscored)?, of(Sender::Shopper)?) else {
            println!("  the bot score: did not run, valgrind is not installed");
            return Ok(());
        };
        let what = format!("instructions of one guarded refusal, {who}, without the bot score");
        bench.report.line(what, without, format!("{without:.0}"), Target::Told);
        let what = format!("the same with the bot score, over it ({who})");
        let ratio = with / without;
        let text = format!("{ratio:.3} ({with:.0})");
        bench.report.line(what, ratio, text, Target::AtMost(1.05));
    }
    Ok(())
}

/// Instructions of what goes beside an order or a refusal.
pub fn beside(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let parts: [(&[&str], &str); 4] = [
        (&["--batch", "1"], "a receipt, its order alone in its batch"),
        (&["--batch", "32"], "a receipt, 32 orders in the batch"),
        (&["--batch", "1000"], "a receipt, 1,000 orders in the batch"),
        (&["--audit"], "a refusal's place in the audit trail, in a flood"),
    ];
    for (what, name) in parts {
        let name = format!("instructions of {name}");
        match costs::instructions(what)? {
            Some(count) => bench.report.line(name, count, format!("{count:.0}"), Target::Told),
            None => println!("  {name}: did not run, valgrind is not installed"),
        }
    }
    Ok(())
}

/// Refused as sold out: an API client.
pub fn sold_out(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let recipe = |run| recipe("sold-out", Crowd::Users(REFUSED_BUYERS), run);
    let server = servers::start(&bench.dir.join("sold-out"), 100)?;
    sell_out(bench, &server, "sold-out")?;
    let echo = Echo::start()?;
    let sides = sides(&server, 409, &echo);
    let pairs = in_turn(bench, sides, &recipe, RUNS_OF_A_PART)?;
    throughput(
        bench,
        "sold_out_client",
        "refused as sold out (API client)",
        &pairs,
        0.90,
        Some(1.25),
    )
}

/// Refused as sold out: shoppers with passes.
pub fn shoppers(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let server = servers::start(&bench.dir.join("shoppers"), 100)?;
    sell_out(bench, &server, "sold-out")?;
    let target = LoadTarget::plain(server.public);
    let credentials = Credentials::new(CLIENT_ID, CLIENT_SECRET);
    let count = bench.scale.shoppers;
    let session: Session =
        open_crowd(&target, &credentials, "shopper", count, &bench.clock, |_| ())?;
    let recipe = |run| recipe("sold-out", Crowd::Shoppers(&session.shoppers), run);
    let echo = Echo::start()?;
    let sides = sides(&server, 409, &echo);
    let pairs = in_turn(bench, sides, &recipe, 2 * RUNS_OF_A_PART)?;
    throughput(
        bench,
        "sold_out_shoppers",
        "refused as sold out (shoppers)",
        &pairs,
        0.90,
        Some(1.25),
    )
}

/// Accepted, which is: synced to the disk.
pub fn accepted(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let recipe = |run| recipe("endless", Crowd::Users(0), run);
    let server = servers::start(&bench.dir.join("accepted"), 100)?;
    servers::create(&server, "endless", ENDLESS_UNITS)?;
    let echo = Echo::start()?;
    let sides = sides(&server, 200, &echo);
    let pairs = in_turn(bench, sides, &recipe, 3 * RUNS_OF_A_PART)?;
    bench.accepted_per_second = Some(pairs.tested(|m| m.per_second).median);
    throughput(bench, "accepted", "accepted and synced", &pairs, 0.60, None)
}

/// The latency of accepted orders at half the peak rate.
pub fn latency(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let server = servers::start(&bench.dir.join("latency"), 100)?;
    servers::create(&server, "endless", ENDLESS_UNITS)?;
    let recipe = |run| recipe("endless", Crowd::Users(0), run);
    let clock = bench.clock.clone();
    let mut source = Source::new(&recipe, &clock, 4 * RUNS_OF_A_PART);
    let peak = match bench.accepted_per_second {
        Some(peak) => peak,
        None => {
            let side = Side { address: server.public, pid: server.pid(), status: 200 };
            source.measure(side, bench.scale.effort)?.per_second
        }
    };
    let mut syncs = Histogram::new(3)?;
    disk::write_and_sync(bench.dir, bench.scale.syncs, &mut syncs)?;
    let shape = Shape {
        connections: bench.scale.effort.connections,
        warm_up: Duration::from_secs(1),
        window: bench.scale.latency_window,
        status: 200,
        excused: bench.scale.effort.excused,
    };
    let requests = source.next(shape.warm_up + shape.window, Some(peak / 2.0));
    let run = client::open(server.public, &requests, shape, peak / 2.0)?;
    disk::write_and_sync(bench.dir, bench.scale.syncs, &mut syncs)?;
    let millis = |us: u64| us as f64 / 1_000.0;
    let at = |quantile| millis(run.latency_us.value_at_quantile(quantile));
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    let sync_p99 = millis(syncs.value_at_quantile(0.99));
    let sync_p50 = millis(syncs.value_at_quantile(0.5));
    let report = &mut bench.report;
    let told = format!("p50 {sync_p50:.2} ms, p99 {sync_p99:.2} ms");
    report.line("a bare write and fdatasync", sync_p99, told, Target::Told);
    let what = format!("p99 of accepted at half the peak rate ({:.0}/s)", run.per_second());
    let shown = format!("{p99:.2} ms (p50 {p50:.2}, p99.9 {p999:.2})");
    report.line(what, p99, shown, Target::AtMost(5.0 + 4.0 * sync_p99));
    report.figure(
        "latency_ms",
        &serde_json::json!({
            "per_second": run.per_second(), "p50": p50, "p99": p99, "p999": p999,
            "sync_p50": sync_p50, "sync_p99": sync_p99,
        }),
    )
}

/// Few buyers against many.
pub fn buyers(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // Ten buyers would do nothing but come again too soon.
    let server = servers::start(&bench.dir.join("buyers"), 0)?;
    sell_out(bench, &server, "sold-out")?;
    let clock = bench.clock.clone();
    let side = Side { address: server.public, pid: server.pid(), status: 409 };
    let effort = Effort { pairs: bench.scale.buyers_pairs, ..bench.scale.effort };
    let many = |run| recipe("sold-out", Crowd::Drawn(MANY_BUYERS), run);
    let few = |run| recipe("sold-out", Crowd::Users(10), run);
    if bench.scale.orders >= 1_000_000 {
        meet_everybody(bench, side)?;
    }
    let mut many = Source::new(&many, &clock, 5 * RUNS_OF_A_PART);
    let mut few = Source::new(&few, &clock, 6 * RUNS_OF_A_PART);
    let pairs = pairs::run((side, &mut many), (side, &mut few), effort, show)?;
    let ratio = pairs.throughput_ratio;
    let what = "throughput with 1,000,000 buyers over that with 10";
    bench.report.line(what, ratio.median, spread(ratio, 2), Target::AtLeast(0.9));
    bench.report.figure("buyers", &pairs)
}

/// Every buyer of the large crowd comes once, so that the server has all of them in mind.
fn meet_everybody(bench: &Bench<'_>, side: Side) -> anyhow::Result<()> {
    const PARTS: u64 = 5;
    let part = MANY_BUYERS / PARTS;
    for number in 0..PARTS {
        let crowd = Crowd::Range { first: number * part };
        let recipe = Recipe { now_ms: bench.clock.unix_ms(), ..recipe("sold-out", crowd, 7_000) };
        let requests = Requests::sign(&recipe, part as usize);
        let connections = bench.scale.effort.connections;
        client::all(side.address, &requests, connections, (side.status, &[]))?;
    }
    Ok(())
}

/// A million orders in the log.
pub fn million(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let found = store::measure(&bench.dir.join("million"), bench.scale.orders, &bench.clock)?;
    let report = &mut bench.report;
    let bytes = found.bytes_per_order();
    let orders = found.orders;
    let what = format!("memory of one order, with {orders} orders, in bytes");
    report.line(what, bytes, format!("{bytes:.0}"), Target::AtMost(250.0));
    let what = format!("start with {orders} orders in the log, in seconds");
    report.line(what, found.start_s, format!("{:.2}", found.start_s), Target::AtMost(3.0));
    let per_second = f64::from(orders) / found.fill_s;
    let what = "orders a second through the log alone, one caller";
    report.line(what, per_second, format!("{per_second:.0}"), Target::Told);
    report.figure("million", &found)
}

/// What a part sends.
pub fn recipe<'a>(product: &'a str, crowd: Crowd<'a>, run: u32) -> Recipe<'a> {
    Recipe { product, crowd, run, now_ms: 0 }
}

/// Opens a sale and sells all of it.
pub fn sell_out(bench: &Bench<'_>, server: &Server, product: &str) -> anyhow::Result<()> {
    servers::create(server, product, SOLD_OUT_UNITS)?;
    let recipe = Recipe { now_ms: bench.clock.unix_ms(), ..recipe(product, Crowd::Users(0), 1) };
    let requests = Requests::sign(&recipe, SOLD_OUT_UNITS as usize);
    client::all(server.public, &requests, 32, (200, &[]))
        .context("the product cannot be sold out")
        .map(drop)
}

fn sides(server: &Server, status: u16, echo: &Echo) -> (Side, Side) {
    let ours = Side { address: server.public, pid: server.pid(), status };
    (ours, Side { address: echo.address, pid: echo.pid(), status: 200 })
}

fn in_turn<'a>(
    bench: &Bench<'_>,
    (ours, echo): (Side, Side),
    recipe: &'a dyn Fn(u32) -> Recipe<'a>,
    first_run: u32,
) -> anyhow::Result<Pairs> {
    let mut to_us = Source::new(recipe, &bench.clock, first_run);
    let mut to_echo = Source::new(recipe, &bench.clock, first_run);
    pairs::run((ours, &mut to_us), (echo, &mut to_echo), bench.scale.effort, show)
}

/// Prints a pair of runs.
pub fn show(pair: u32, tested: &Measured, compared: &Measured) {
    println!(
        "    pair {pair}: {:.0}/s, {:.1} µs; {:.0}/s, {:.1} µs; ratio {:.3}",
        tested.per_second,
        tested.cpu_us,
        compared.per_second,
        compared.cpu_us,
        tested.per_second / compared.per_second
    );
}

fn throughput(
    bench: &mut Bench<'_>,
    name: &str,
    what: &str,
    pairs: &Pairs,
    least: f64,
    most_cpu: Option<f64>,
) -> anyhow::Result<()> {
    let report = &mut bench.report;
    let (ours, theirs) = (pairs.tested(|m| m.per_second), pairs.compared(|m| m.per_second));
    report.line(format!("{what}, a second"), ours.median, spread(ours, 0), Target::Told);
    report.line(
        "the bare echo beside it, a second",
        theirs.median,
        spread(theirs, 0),
        Target::Told,
    );
    let ratio = pairs.throughput_ratio;
    let line = format!("{what}: throughput over the echo's");
    report.line(line, ratio.median, spread(ratio, 2), Target::AtLeast(least));
    let (ours, theirs) = (pairs.tested(|m| m.cpu_us).median, pairs.compared(|m| m.cpu_us).median);
    let ratio = pairs.cpu_ratio;
    let line = format!("{what}: server's processor time over the echo's");
    let shown = format!("{} · {ours:.1} and {theirs:.1} µs", spread(ratio, 2));
    report.line(line, ratio.median, shown, most_cpu.map_or(Target::Told, Target::AtMost));
    report.figure(name, pairs)
}

/// The median and, in brackets, the quartiles.
pub fn spread(spread: Spread, digits: usize) -> String {
    let Spread { lower_quartile, median, upper_quartile, .. } = spread;
    format!("{median:.digits$} ({lower_quartile:.digits$} to {upper_quartile:.digits$})")
}
