//! `cargo xtask bench --distributed`: a node on Redis, Kafka and PostgreSQL beside one on the embedded store, and
//! beside the ordinary design on the same three; all on the same cores, with a worker that keeps up.
//!
//! The stores are those of `cargo xtask stack`, hardened as they are shipped: TLS and passwords for all.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use super::pairs::Effort;
use super::requests::{Crowd, Recipe};
use super::{Bench, Options, report};

mod accepted;
mod cluster;
mod fill;
mod lag;
mod meter;
mod refused;
pub mod stack;
mod stores;
mod turns;

use cluster::Flush;
use stack::Stack;

/// Answers that a node may give while it is busy; they are counted apart and told. "Pending" is one, too: what
/// was not answered within the contract's two seconds is not counted as accepted.
const EXCUSED: &[u16] = &[202, 503];
/// Units of a product that never sells out.
const ENDLESS_UNITS: u32 = 1_000_000_000;

/// What the parts share.
struct Many<'a> {
    bench: Bench<'a>,
    stack: Stack,
    scale: Scale,
}

/// How much is measured, beside the embedded bench's scale.
struct Scale {
    /// Rounds of accepted orders with each record synced.
    rounds: u32,
    /// The same without.
    unflushed_rounds: u32,
    /// Records of the filled topic.
    worker_orders: u64,
    /// Orders in ledger and log at a start.
    start_orders: u64,
    /// Starts.
    starts: u32,
    /// Orders of which the costs are told.
    cost_orders: u64,
    /// Rounds of each linger.
    linger_rounds: u32,
}

impl Scale {
    fn of(options: &Options) -> Self {
        let usual = Self {
            rounds: 9,
            unflushed_rounds: 5,
            worker_orders: 300_000,
            start_orders: 100_000,
            starts: 5,
            cost_orders: 100_000,
            linger_rounds: 2,
        };
        match (options.full, options.smoke) {
            (true, _) => Self {
                rounds: 15,
                unflushed_rounds: 15,
                worker_orders: 1_000_000,
                starts: 9,
                linger_rounds: 9,
                ..usual
            },
            (_, true) => Self {
                rounds: 1,
                unflushed_rounds: 1,
                worker_orders: 20_000,
                start_orders: 5_000,
                starts: 1,
                cost_orders: 5_000,
                linger_rounds: 1,
            },
            _ => usual,
        }
    }
}

struct Part {
    name: &'static str,
    run: fn(&mut Many<'_>) -> anyhow::Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "sold-out", run: refused::sold_out },
    Part { name: "accepted", run: |many| accepted::compare(many, Flush::EveryRecord) },
    Part { name: "unflushed", run: |many| accepted::compare(many, Flush::Whenever) },
    Part { name: "cost", run: stores::cost },
    Part { name: "worker", run: stores::worker },
    Part { name: "start", run: stores::start },
    Part { name: "linger", run: accepted::linger },
];

/// Measures, and writes what it found.
pub fn measure(bench: Bench<'_>, options: &Options, machine: &str) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut many = Many { bench, stack: Stack::up()?, scale: Scale::of(options) };
    let wanted = |part: &&Part| options.only.as_ref().is_none_or(|word| part.name.contains(word));
    for part in PARTS.iter().filter(wanted) {
        println!("{} ({} s)", part.name, begun.elapsed().as_secs());
        many.bench.report.part = part.name;
        (part.run)(&mut many).with_context(|| format!("the part {} failed", part.name))?;
        // What was measured stays, whatever the next part comes to.
        many.bench.report.write(report::DISTRIBUTED)?;
    }
    let report = &many.bench.report;
    if options.write_docs {
        report.write_docs(report::DISTRIBUTED, machine)?;
    }
    println!("{} targets missed, {} s", report.missed(), begun.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

impl Many<'_> {
    /// That of the bench, with what a node may answer while it is busy.
    fn effort(&self) -> Effort {
        Effort { excused: EXCUSED, ..self.bench.scale.effort }
    }
}

fn recipe<'a>(product: &'a str, crowd: Crowd<'a>, run: u32) -> Recipe<'a> {
    Recipe { product, crowd, run, now_ms: 0 }
}
