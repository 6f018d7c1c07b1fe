//! What the crowd has shown: for people, for programs, and for `docs/FAIRNESS.md`.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use serde::Serialize;

use super::bots::Strategy;
use super::flood::{Found, Kind};
use super::plot::{self, Point};
use super::sale::{Defence, Sold};
use super::share::Gain;
use super::solver::Cost;
use crate::bench::report::{Line, Target, write_between};
use crate::bench::scenarios::spread;
use crate::workspace;

/// A script that is merely faster gets at most so many times its fair share of a drawn sale.
pub const GAIN_MAX: f64 = 1.05;
/// Under the flood honest orders succeed at least so often as without it.
const SUCCESS_RATIO_MIN: f64 = 0.99;
/// And their 99th percentile is at most so many times as long.
const P99_RATIO_MAX: f64 = 2.0;

/// One cell of the table: the same crowd under the same defence, several times.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// What the bots did, in a word.
    pub strategy: &'static str,
    /// What stood against them, in a word.
    pub defence: &'static str,
    /// Of a hundred accounts so many were bots'.
    pub bots_percent: u32,
    /// The sales.
    pub sales: Vec<Sold>,
    #[serde(skip)]
    of: (Strategy, Defence),
}

impl Cell {
    /// Of these sales.
    pub fn new(strategy: Strategy, defence: Defence, bots_percent: u32, sales: Vec<Sold>) -> Self {
        let of = (strategy, defence);
        Self { strategy: strategy.word(), defence: defence.word(), bots_percent, sales, of }
    }

    fn sum(&self, count: fn(&Sold) -> u32) -> u32 {
        self.sales.iter().map(count).sum()
    }

    /// The bots' part of the stock, in percent.
    pub fn stock_percent(&self) -> f64 {
        100.0 * f64::from(self.sum(|sale| sale.by_bots)) / f64::from(self.sum(|sale| sale.units))
    }

    fn text(&self) -> String {
        let (bots, people) = (self.sum(|sale| sale.by_bots), self.sum(|sale| sale.by_people));
        let mut text = format!("{:.0} % · {bots} + {people}", self.stock_percent());
        let unsold = self.sum(|sale| sale.units - sale.sold);
        if unsold > 0 {
            write!(text, ", {unsold} unsold").expect("a string takes every character");
        }
        text
    }
}

/// Drawn sales of one crowd.
#[derive(Debug, Serialize)]
pub struct Drawn {
    /// Of a hundred accounts so many were bots'.
    pub bots_percent: u32,
    /// What these gained.
    pub gain: Gain,
    /// The sales.
    pub sales: Vec<Sold>,
}

/// Everything of one run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Drawn sales.
    pub drawn: Vec<Drawn>,
    /// The table.
    pub cells: Vec<Cell>,
    /// The floods.
    pub floods: Vec<Found>,
    /// What solving challenges has cost the bots, by defence.
    pub solved: BTreeMap<&'static str, String>,
}

impl Report {
    /// Notes what solving has cost.
    pub fn cost(&mut self, defence: Defence, cost: Cost) {
        let Cost { solved, hashes, busy } = cost;
        if solved > 0 {
            let each = busy.as_secs_f64() * 1e3 / solved as f64;
            let mean = hashes / solved;
            let speed = hashes as f64 / busy.as_secs_f64() / 1e6;
            let text = format!(
                "{solved} challenges, {mean} hashes and {each:.0} ms of one core each ({speed:.1} million hashes a second)"
            );
            self.solved.insert(defence.word(), text);
        }
    }

    /// Writes the file in `target/crowd`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> anyhow::Result<()> {
        let dir = workspace::target().join("crowd");
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        let picture = dir.join("fairness.svg");
        std::fs::write(&picture, plot::svg(&self.points()))?;
        println!("written: {}", picture.with_file_name("report.json").display());
        Ok(())
    }

    /// Rewrites the tables of `docs/FAIRNESS.md` and its picture.
    ///
    /// # Errors
    /// A file cannot be written, or a marker is missing.
    pub fn write_docs(&self, machine: &str) -> anyhow::Result<()> {
        let docs = workspace::root().join("docs");
        let document = docs.join("FAIRNESS.md");
        let targets = format!("{machine}\n\n{}", self.targets());
        write_between(&document, "targets", &targets)?;
        write_between(&document, "crowd", &self.table())?;
        let picture = docs.join("plots/fairness.svg");
        std::fs::write(&picture, plot::svg(&self.points()))
            .with_context(|| format!("cannot write {}", picture.display()))?;
        println!("written: {}", document.display());
        Ok(())
    }

    fn points(&self) -> Vec<Point> {
        let point = |cell: &Cell| Point {
            strategy: cell.of.0,
            defence: cell.of.1,
            bots_percent: f64::from(cell.bots_percent),
            stock_percent: cell.stock_percent(),
        };
        self.cells.iter().map(point).collect()
    }

    /// What is aimed at, in Markdown.
    pub fn targets(&self) -> String {
        let mut text = "| what | measured | target | met |\n|---|---|---|---|\n".to_owned();
        let mut line = |what: String, shown: String, value: f64, target: Target| {
            text.push_str(&Line::new("", what, value, shown, target).row());
            text.push('\n');
        };
        for Drawn { bots_percent: percent, gain, .. } in &self.drawn {
            let Gain { mean, half, sales } = gain;
            let what = format!(
                "bots that are merely faster, {percent} % of the accounts of a drawn sale: part of the stock over the fair part"
            );
            let shown = format!("{mean:.3} ± {half:.3} ({sales} sales)");
            line(what, shown, gain.upper(), Target::AtMost(GAIN_MAX));
        }
        for found in &self.floods {
            let kind = match found.kind {
                Kind::Forged => "without accounts",
                Kind::Accounts => "with accounts",
            };
            let load = format!(
                "{:.0} honest orders a second, flood of {:.0}, {:.0} % of the traffic",
                found.honest_per_second,
                found.flood_per_second.median,
                100.0 * found.flood_share.median
            );
            let told = found.kind == Kind::Accounts;
            let target = |target| if told { Target::Told } else { target };
            let success = found.success_ratio;
            let what = format!("flood of one /48 {kind}: honest successes over those without it");
            let shown = format!("{} · {load}", spread(success, 4));
            line(what, shown, success.median, target(Target::AtLeast(SUCCESS_RATIO_MIN)));
            let p99 = found.p99_ratio;
            let what = format!("flood of one /48 {kind}: honest p99 over that without it");
            let shown = format!(
                "{} · {} and {} ms",
                spread(p99, 2),
                spread(found.p99_ms_with, 2),
                spread(found.p99_ms_without, 2)
            );
            line(what, shown, p99.median, target(Target::AtMost(P99_RATIO_MAX)));
        }
        text
    }

    /// Who got the stock, in Markdown.
    pub fn table(&self) -> String {
        let mut text =
            "| bots | of the accounts | defence off | on | strict |\n|---|---|---|---|---|\n"
                .to_owned();
        let mut rows: Vec<(Strategy, u32)> = Vec::new();
        for cell in &self.cells {
            if !rows.contains(&(cell.of.0, cell.bots_percent)) {
                rows.push((cell.of.0, cell.bots_percent));
            }
        }
        for (strategy, percent) in rows {
            let of = |defence| {
                let is =
                    |cell: &&Cell| cell.of == (strategy, defence) && cell.bots_percent == percent;
                self.cells.iter().find(is).map(Cell::text).unwrap_or_default()
            };
            let [off, on, strict] = Defence::ALL.map(of);
            writeln!(text, "| {} | {percent} % | {off} | {on} | {strict} |", strategy.word())
                .expect("a string takes every character");
        }
        for (defence, what) in &self.solved {
            writeln!(text, "\nSolved by bots, defence {defence}: {what}.")
                .expect("a string takes every character");
        }
        text
    }
}
