//! What receipts and evidence cost: the program with both beside the same program without, in turn.
//!
//! The audit trail and the metrics cannot be turned off; what they cost is told in instructions.

use super::Bench;
use super::pairs::{self, Side, Source};
use super::report::Target;
use super::requests::{Crowd, Recipe};
use super::scenarios::{ENDLESS_UNITS, REFUSED_BUYERS, recipe, sell_out, show, spread};
use super::servers;
use crate::support::server::Server;

const WITHOUT: &str = "\n[receipts]\nenabled = false\n\n[evidence]\nenabled = false\n";
/// The first numbers of runs, which no other part has.
const RUNS: [u32; 2] = [8_000, 9_000];

/// Accepted orders and refusals.
pub fn extras(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let start = |name: &str, more: &str| {
        let config = servers::config(100) + more;
        Server::start(&servers::program()?, &bench.dir.join(name), &config)
    };
    let (with, without) = (start("extras", "")?, start("no-extras", WITHOUT)?);
    for server in [&with, &without] {
        servers::create(server, "endless", ENDLESS_UNITS)?;
        sell_out(bench, server, "sold-out")?;
    }
    let accepted = |run| recipe("endless", Crowd::Users(0), run);
    let what = "accepted, with receipts and evidence over without";
    in_turn(bench, (&with, &without), 200, RUNS[0], &accepted, what)?;
    let refused = |run| recipe("sold-out", Crowd::Users(REFUSED_BUYERS), run);
    let what = "refused as sold out, with receipts and evidence over without";
    in_turn(bench, (&with, &without), 409, RUNS[1], &refused, what)
}

fn in_turn<'a>(
    bench: &mut Bench<'_>,
    (with, without): (&Server, &Server),
    status: u16,
    first_run: u32,
    recipe: &'a dyn Fn(u32) -> Recipe<'a>,
    what: &str,
) -> anyhow::Result<()> {
    let side = |server: &Server| Side { address: server.public, pid: server.pid(), status };
    let mut sources = [0, 1].map(|_| Source::new(recipe, &bench.clock, first_run));
    let [to_with, to_without] = &mut sources;
    let effort = bench.scale.effort;
    let pairs = pairs::run((side(with), to_with), (side(without), to_without), effort, show)?;
    let report = &mut bench.report;
    let ratio = pairs.throughput_ratio;
    report.line(format!("{what}: throughput"), ratio.median, spread(ratio, 2), Target::Told);
    let (ours, theirs) = (pairs.tested(|m| m.cpu_us).median, pairs.compared(|m| m.cpu_us).median);
    let ratio = pairs.cpu_ratio;
    let shown = format!("{} · {ours:.1} and {theirs:.1} µs", spread(ratio, 2));
    report.line(format!("{what}: processor time"), ratio.median, shown, Target::Told);
    report.figure(if status == 200 { "extras_accepted" } else { "extras_refused" }, &pairs)
}
