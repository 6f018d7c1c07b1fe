//! `cargo xtask crowd`: honest shoppers and bots in the same sales of a real server, and who got the stock.
//!
//! Everything goes over real HTTP: sessions, tickets, polls, admissions, orders, challenges, which are solved. Who
//! somebody is stands in the forwarding header of a trusted proxy, since a machine has not so many addresses. All of it
//! is bounded: so many accounts, and a time at which everybody goes home.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use flux_gate::clock::Clock;

use crate::bench::pairs::Effort;
use crate::bench::{self, servers};
use crate::workspace;

mod bots;
mod flood;
mod lines;
mod people;
mod plot;
mod report;
mod sale;
mod share;
mod solver;
mod visit;

use bots::Strategy;
use report::{Cell, Drawn, Report};
use sale::{Defence, Plan, Scene};
use share::Gain;
use solver::Cost;

#[derive(clap::Args)]
pub struct Options {
    /// Small crowds against the programs that are there, in less than a minute: fails if a fast script gains much,
    /// or if the sums disagree.
    #[arg(long)]
    quick: bool,
    /// Rewrite the tables of docs/FAIRNESS.md, and its picture.
    #[arg(long, conflicts_with = "quick")]
    write_docs: bool,
    /// What is left to chance follows from it, beside the draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the parts whose names contain this: drawn, table, flood.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

/// The configuration of a server for a crowd: who somebody is stands in a forwarding header, and the shop's backend,
/// which opens the sessions, has no limit. `own` goes on in `[limits]`.
fn config(own: &str) -> String {
    let (id, secret) = (servers::CLIENT_ID, servers::CLIENT_SECRET);
    format!(
        r#"
[http]
trusted_proxies = ["127.0.0.1/32"]
[limits]
client_per_second = 0
{own}
[[clients]]
id = "{id}"
secrets = ["{secret}"]
"#
    )
}

/// How much is done.
struct Scale {
    /// Drawn sales: bots' percent of the accounts, sales.
    drawn: &'static [(u32, u32)],
    /// Accounts and units of one of them.
    drawn_size: (u32, u32),
    /// Of them at the same time.
    drawn_at_once: usize,
    /// Bots' percents in the table.
    percents: &'static [u32],
    /// Accounts and units of a sale of the table.
    size: (u32, u32),
    /// Sales of a cell.
    repeats: u32,
    /// How long before the opening the pages are there, in milliseconds.
    lead_ms: u32,
    /// How long a sale goes on under each defence, in milliseconds.
    run_ms: [u32; 3],
    /// Whether all defences are tried at the same time, each on its own server.
    at_once: bool,
    /// How the flood is measured, if it is.
    flood: Option<Effort>,
}

const FULL: Scale = Scale {
    drawn: &[(10, 100), (50, 25), (90, 25)],
    drawn_size: (400, 200),
    drawn_at_once: 25,
    percents: &[10, 50, 90],
    size: (200, 20),
    repeats: 4,
    lead_ms: 3_000,
    run_ms: [8_000, 25_000, 40_000],
    at_once: false,
    flood: Some(Effort {
        pairs: 5,
        window: Duration::from_secs(4),
        warm_up: Duration::from_secs(1),
        connections: 256,
        excused: &[],
    }),
};

const QUICK: Scale = Scale {
    drawn: &[(50, 20)],
    drawn_size: (80, 40),
    drawn_at_once: 20,
    percents: &[50],
    size: (40, 8),
    repeats: 1,
    // On a slow machine too all are there before the opening, and all is sold before the end, which visits do not
    // wait for.
    lead_ms: 8_000,
    run_ms: [60_000; 3],
    at_once: true,
    flood: None,
};

/// A quick run has few sales: a fair draw deviates from the fair part by less than this.
const QUICK_GAIN: std::ops::RangeInclusive<f64> = 0.8..=1.2;
/// Of a hundred people so many come after the opening, in the sales of the table.
const LATE_PERCENT: u32 = 10;

/// Runs the crowd and tells what came of it.
///
/// # Errors
/// A server fails, what must hold of every sale does not, or a quick run misses its target.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !options.quick
        && let Some(code) = bench::by_dist(false)?
    {
        return Ok(code);
    }
    let begun = Instant::now();
    let machine = bench::report::machine();
    println!("{machine}");
    let dir = tempfile::tempdir_in(workspace::target())?;
    let scale = if options.quick { &QUICK } else { &FULL };
    let run = Run { scale, dir: dir.path(), clock: Clock::system(), seed: options.seed, begun };
    let mut report = Report::default();
    for part in Part::ALL {
        let name = part.name();
        if options.only.as_ref().is_none_or(|word| name.contains(word.as_str())) {
            println!("{name} ({} s)", begun.elapsed().as_secs());
            run.part(part, &mut report).with_context(|| format!("the part {name} failed"))?;
        }
    }
    println!("\n{}\n{}", report.targets(), report.table());
    if !options.quick {
        report.write()?;
    }
    if options.write_docs {
        report.write_docs(&machine)?;
    }
    println!("{} s", begun.elapsed().as_secs());
    if options.quick {
        check(&report)?;
        println!("the quick crowd holds");
    }
    Ok(ExitCode::SUCCESS)
}

/// What a quick run must show, beside the sums that every sale is held to.
fn check(report: &Report) -> anyhow::Result<()> {
    for Drawn { bots_percent: percent, gain, .. } in &report.drawn {
        let Gain { mean, half, .. } = gain;
        ensure!(
            QUICK_GAIN.contains(mean),
            "fast bots, {percent} % of the accounts, got {mean:.3} ± {half:.3} times their fair part of drawn sales"
        );
    }
    for cell in &report.cells {
        let sells_all = cell.strategy == Strategy::Fast.word();
        for sale in cell.sales.iter().filter(|_| sells_all) {
            ensure!(sale.sold == sale.units, "{} units of {} are sold", sale.sold, sale.units);
        }
    }
    Ok(())
}

/// What can be run by itself.
#[derive(Debug, Clone, Copy)]
enum Part {
    Drawn,
    Table,
    Flood,
}

impl Part {
    const ALL: [Self; 3] = [Self::Drawn, Self::Table, Self::Flood];

    fn name(self) -> &'static str {
        match self {
            Self::Drawn => "drawn",
            Self::Table => "table",
            Self::Flood => "flood",
        }
    }
}

/// What the parts share.
struct Run<'a> {
    scale: &'a Scale,
    dir: &'a Path,
    clock: Clock,
    seed: u64,
    begun: Instant,
}

impl Run<'_> {
    fn part(&self, part: Part, report: &mut Report) -> anyhow::Result<()> {
        match part {
            Part::Drawn => self.drawn(report),
            Part::Table => self.table(report),
            Part::Flood => self.flood(report),
        }
    }

    fn scene(&self, part: &str, defence: Defence) -> anyhow::Result<Scene> {
        let dir = self.dir.join(part);
        std::fs::create_dir_all(&dir)?;
        Scene::start(&servers::program()?, &dir, defence, &self.clock, self.seed)
    }

    /// Sales whose entrants are all there before the opening.
    fn drawn(&self, report: &mut Report) -> anyhow::Result<()> {
        let mut scene = self.scene("drawn", Defence::Default)?;
        let (accounts, units) = self.scale.drawn_size;
        for (bots_percent, sales) in self.scale.drawn {
            let plan = Plan {
                strategy: Strategy::Fast,
                bots_percent: *bots_percent,
                accounts,
                units,
                late_percent: 0,
                lead_ms: self.scale.lead_ms,
                run_ms: self.scale.run_ms[Defence::Default as usize],
            };
            let plans = vec![plan; *sales as usize];
            let mut sold = Vec::new();
            for batch in plans.chunks(self.scale.drawn_at_once) {
                sold.extend(scene.run(batch)?);
            }
            let all = sold.iter().all(|sale| sale.sold == sale.units);
            ensure!(all, "a drawn sale was not sold out: {sold:?}");
            let gain = Gain::of(&sold);
            println!(
                "  {bots_percent} %: {:.3} ± {:.3}, {} requests ({} s)",
                gain.mean,
                gain.half,
                scene.requests,
                self.begun.elapsed().as_secs()
            );
            report.drawn.push(Drawn { bots_percent: *bots_percent, gain, sales: sold });
        }
        Ok(())
    }

    /// Every strategy at every share under every defence.
    fn table(&self, report: &mut Report) -> anyhow::Result<()> {
        let all: Vec<anyhow::Result<_>> = if self.scale.at_once {
            std::thread::scope(|scope| {
                let begun = Defence::ALL.map(|defence| scope.spawn(move || self.under(defence)));
                let ended = begun.into_iter().map(std::thread::ScopedJoinHandle::join);
                ended.map(|run| run.unwrap_or_else(|_| bail!("a crowd has panicked"))).collect()
            })
        } else {
            Defence::ALL.into_iter().map(|defence| self.under(defence)).collect()
        };
        for (defence, found) in Defence::ALL.into_iter().zip(all) {
            let (cells, cost) = found?;
            report.cells.extend(cells);
            report.cost(defence, cost);
        }
        Ok(())
    }

    /// A column of the table.
    fn under(&self, defence: Defence) -> anyhow::Result<(Vec<Cell>, Cost)> {
        let mut scene = self.scene("table", defence)?;
        let (accounts, units) = self.scale.size;
        let mut plans = Vec::new();
        for strategy in Strategy::ALL {
            for bots_percent in self.scale.percents {
                let plan = Plan {
                    strategy,
                    bots_percent: *bots_percent,
                    accounts,
                    units,
                    late_percent: LATE_PERCENT,
                    lead_ms: self.scale.lead_ms,
                    run_ms: self.scale.run_ms[defence as usize],
                };
                plans.extend(std::iter::repeat_n(plan, self.scale.repeats as usize));
            }
        }
        let sold = scene.run(&plans)?;
        println!(
            "  {}: {} sales, {} requests ({} s)",
            defence.word(),
            sold.len(),
            scene.requests,
            self.begun.elapsed().as_secs()
        );
        let repeats = self.scale.repeats as usize;
        let cells = plans.chunks(repeats).zip(sold.chunks(repeats)).map(|(plans, sales)| {
            Cell::new(plans[0].strategy, defence, plans[0].bots_percent, sales.to_vec())
        });
        Ok((cells.collect(), scene.cost))
    }

    /// Honest load beside a flood.
    fn flood(&self, report: &mut Report) -> anyhow::Result<()> {
        let Some(effort) = self.scale.flood else { return Ok(()) };
        report.floods = flood::measure(&servers::program()?, self.dir, effort, &self.clock)?;
        Ok(())
    }
}
