//! `cargo xtask bench`: what Flux-Gate costs beside a bare server, and what its promises cost.
//!
//! Both servers and the client are built with the profile `dist` and the same allocator, and share the
//! machine: the client's share of the processor is the same for both, so ratios of throughput lie nearer to 1
//! than the servers' own costs; the processor time of a request is told beside them.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flux_gate::clock::Clock;

use crate::workspace;

pub mod beside;
mod client;
mod disk;
#[cfg(feature = "distributed")]
pub mod distributed;
pub mod echo;
mod million;
#[cfg(feature = "distributed")]
pub mod ordinary;
mod pairs;
pub mod refusal;
pub mod report;
mod requests;
mod scenarios;
mod servers;
mod stats;

use report::Report;

#[derive(clap::Args)]
pub struct Options {
    /// Longer runs and more of them (about half an hour).
    #[arg(long)]
    full: bool,
    /// One pair of short runs by the programs that are there: to see that it works, not to measure.
    #[arg(long, conflicts_with = "full")]
    smoke: bool,
    /// A node on Redis, Kafka and PostgreSQL: beside one on the embedded store, and beside the ordinary
    /// design on the same three.
    #[arg(long)]
    distributed: bool,
    /// Length of a run in seconds, for those who look at a profile meanwhile.
    #[arg(long)]
    seconds: Option<u64>,
    /// Only the parts whose names contain this: sold-out, shoppers, accepted, latency, buyers, refusal, beside,
    /// million; with --distributed: sold-out, accepted, unflushed, cost, worker, start, linger.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Rewrite the tables of docs/BENCHMARKS.md.
    #[arg(long)]
    write_docs: bool,
}

/// How much is measured.
pub struct Scale {
    effort: pairs::Effort,
    buyers_pairs: u32,
    latency_window: Duration,
    syncs: u32,
    orders: u32,
    shoppers: usize,
}

impl Scale {
    fn of(options: &Options) -> Self {
        let effort = |pairs, window_ms, warm_up_ms| pairs::Effort {
            pairs,
            window: Duration::from_millis(window_ms),
            warm_up: Duration::from_millis(warm_up_ms),
            connections: 256,
            excused: &[],
        };
        let usual = Self {
            effort: effort(9, 4_000, 1_000),
            buyers_pairs: 5,
            latency_window: Duration::from_secs(10),
            syncs: 1_000,
            orders: 1_000_000,
            shoppers: 14_000,
        };
        let mut scale = match (options.full, options.smoke) {
            (true, _) => Self {
                effort: effort(15, 15_000, 2_000),
                buyers_pairs: 9,
                latency_window: Duration::from_secs(60),
                syncs: 5_000,
                ..usual
            },
            (_, true) => Self {
                effort: effort(1, 1_000, 300),
                buyers_pairs: 1,
                latency_window: Duration::from_secs(2),
                syncs: 100,
                orders: 50_000,
                shoppers: 5_000,
            },
            _ => usual,
        };
        if let Some(seconds) = options.seconds {
            scale.effort.window = Duration::from_secs(seconds);
        }
        scale
    }
}

/// What the parts share.
pub struct Bench<'a> {
    scale: Scale,
    clock: Clock,
    dir: &'a Path,
    report: Report,
    /// Accepted orders a second, once measured.
    accepted_per_second: Option<f64>,
}

struct Part {
    name: &'static str,
    run: fn(&mut Bench<'_>) -> anyhow::Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "refusal", run: scenarios::refusal },
    Part { name: "beside", run: scenarios::beside },
    Part { name: "sold-out", run: scenarios::sold_out },
    Part { name: "shoppers", run: scenarios::shoppers },
    Part { name: "accepted", run: scenarios::accepted },
    Part { name: "latency", run: scenarios::latency },
    Part { name: "buyers", run: scenarios::buyers },
    Part { name: "million", run: scenarios::million },
];

/// Measures, with programs of the profile `dist`: builds them and hands over to the one of them that is this
/// command.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let here = std::env::current_exe()?;
    let dist = workspace::target().join("dist").join("xtask");
    if here != dist && !options.smoke {
        build(options.distributed)?;
        let status = Command::new(&dist).args(std::env::args_os().skip(1)).status();
        let status = status.with_context(|| format!("cannot run {}", dist.display()))?;
        return Ok(ExitCode::from(status.code().unwrap_or(1).clamp(0, 255) as u8));
    }
    measure(options)
}

/// Each by itself: built together, the program would get features that only these commands need.
fn build(distributed: bool) -> anyhow::Result<()> {
    let features: &[&str] = if distributed { &["--features", "distributed"] } else { &[] };
    for package in ["flux-gate", "xtask"] {
        println!("building {package} with the profile dist");
        let arguments = ["build", "--profile", "dist", "--package", package];
        let status = workspace::cargo().args(arguments).args(features).status()?;
        ensure!(status.success(), "{package} does not build");
    }
    Ok(())
}

fn measure(options: &Options) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let machine = report::machine();
    println!("{machine}");
    // On the disk of the build, not in memory: a write that is synced is what is measured.
    let dir = tempfile::tempdir_in(workspace::target())?;
    let mut bench = Bench {
        scale: Scale::of(options),
        clock: Clock::system(),
        dir: dir.path(),
        report: Report::default(),
        accepted_per_second: None,
    };
    if options.distributed {
        return measure_distributed(bench, options, &machine);
    }
    let wanted = |part: &&Part| options.only.as_ref().is_none_or(|word| part.name.contains(word));
    for part in PARTS.iter().filter(wanted) {
        println!("{} ({} s)", part.name, begun.elapsed().as_secs());
        (part.run)(&mut bench).with_context(|| format!("the part {} failed", part.name))?;
    }
    bench.report.write(report::EMBEDDED)?;
    if options.write_docs {
        bench.report.write_docs(report::EMBEDDED, &machine)?;
    }
    let missed = bench.report.missed();
    println!("{missed} targets missed, {} s", begun.elapsed().as_secs());
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "distributed")]
fn measure_distributed(
    bench: Bench<'_>,
    options: &Options,
    machine: &str,
) -> anyhow::Result<ExitCode> {
    distributed::measure(bench, options, machine)
}

#[cfg(not(feature = "distributed"))]
fn measure_distributed(_: Bench<'_>, _: &Options, _: &str) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this program is built without the feature `distributed`")
}
