//! Refusals as sold out: from memory, whatever the log is.

use super::cluster::{Cluster, Flush};
use super::{Many, fill, recipe};
use crate::bench::pairs::{self, Side, Source};
use crate::bench::report::Target;
use crate::bench::requests::Crowd;
use crate::bench::scenarios::{REFUSED_BUYERS, SOLD_OUT_UNITS, show, spread};
use crate::bench::servers;

/// A node of many beside the embedded one.
pub fn sold_out(many: &mut Many<'_>) -> anyhow::Result<()> {
    let effort = many.effort();
    let cluster = Cluster::new(&many.stack, many.bench.dir, Flush::EveryRecord)?;
    let _worker = cluster.worker()?;
    let node = cluster.node()?;
    let embedded = servers::start(&many.bench.dir.join("sold-out"), servers::MIN_INTERVAL_MS)?;
    let product = cluster.product("sold-out");
    for server in [&node, &embedded] {
        fill::sell_out(many, server, &product, SOLD_OUT_UNITS)?;
    }
    let (product, clock) = (product.as_str(), many.bench.clock.clone());
    let recipe = |run| recipe(product, Crowd::Users(REFUSED_BUYERS), run);
    let side = |server: &crate::support::server::Server| Side {
        address: server.public,
        pid: server.pid(),
        status: 409,
    };
    let mut to_node = Source::new(&recipe, &clock, 1_000);
    let mut to_embedded = Source::new(&recipe, &clock, 1_000);
    let pairs =
        pairs::run((side(&node), &mut to_node), (side(&embedded), &mut to_embedded), effort, show)?;
    let report = &mut many.bench.report;
    let (ours, theirs) = (pairs.tested(|m| m.per_second), pairs.compared(|m| m.per_second));
    report.line(
        "refused as sold out by a node of many, a second",
        ours.median,
        spread(ours, 0),
        Target::Told,
    );
    report.line(
        "refused by the embedded node beside it, a second",
        theirs.median,
        spread(theirs, 0),
        Target::Told,
    );
    let ratio = pairs.throughput_ratio;
    let what = "refused as sold out: throughput over the embedded node's";
    report.line(what, ratio.median, spread(ratio, 3), Target::AtLeast(0.95));
    let (ours, theirs) = (pairs.tested(|m| m.cpu_us).median, pairs.compared(|m| m.cpu_us).median);
    let shown = format!("{} · {ours:.1} and {theirs:.1} µs", spread(pairs.cpu_ratio, 2));
    let what = "refused as sold out: processor time over the embedded node's";
    report.line(what, pairs.cpu_ratio.median, shown, Target::Told);
    report.figure("sold_out", &pairs)
}
