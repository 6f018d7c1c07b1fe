//! What was measured, for people, for programs, and for `docs/BENCHMARKS.md`.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::workspace;

/// Where the figures of one kind of bench go.
#[derive(Clone, Copy)]
pub struct Place {
    /// Name of the file in `target/bench`.
    pub file: &'static str,
    /// Word in the markers of `docs/BENCHMARKS.md`.
    pub marker: &'static str,
}

/// Of one node on the embedded store.
pub const EMBEDDED: Place = Place { file: "report.json", marker: "measured" };
/// Of a node on Redis, Kafka and PostgreSQL.
#[cfg(feature = "distributed")]
pub const DISTRIBUTED: Place = Place { file: "report-distributed.json", marker: "distributed" };

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Line {
    /// The part of the bench that measures it; empty where nobody asks.
    pub part: &'static str,
    /// What was measured.
    pub what: String,
    /// Its value, with its unit and spread.
    pub value: String,
    /// What is aimed at; empty where it is only told.
    pub target: String,
    /// Whether the target is met; `None` where there is none.
    pub met: Option<bool>,
}

/// Everything of one run of the bench.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The part that runs, for the lines to come.
    #[serde(skip)]
    pub part: &'static str,
    /// The lines of the table.
    pub lines: Vec<Line>,
    /// The figures behind the lines, by name.
    pub figures: serde_json::Map<String, serde_json::Value>,
}

/// A target.
#[derive(Clone, Copy)]
pub enum Target {
    /// None.
    Told,
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Report {
    /// Adds a line; `shown` is how `value` is written, and is printed at once.
    pub fn line(&mut self, what: impl Into<String>, value: f64, shown: String, target: Target) {
        let line = Line::new(self.part, what.into(), value, shown, target);
        println!("  {}", line.text());
        self.lines.push(line);
    }

    /// Keeps figures for the JSON file.
    pub fn figure(&mut self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        self.figures.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// How many targets were missed.
    pub fn missed(&self) -> usize {
        self.lines.iter().filter(|line| line.met == Some(false)).count()
    }

    /// Writes the file in `target/bench`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, place: Place) -> anyhow::Result<()> {
        let dir = workspace::target().join("bench");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join(place.file);
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
        Ok(())
    }

    /// The table, in Markdown; with the part that repeats a line, where lines have one.
    pub fn markdown(&self, machine: &str) -> String {
        let parts = self.lines.iter().any(|line| !line.part.is_empty());
        let (head, rule) = if parts { (" repeat with |", "---|") } else { ("", "") };
        let mut text = format!(
            "{machine}\n\n| what | measured | target | met |{head}\n|---|---|---|---|{rule}\n"
        );
        for line in &self.lines {
            let part = if parts { format!(" `--only {}` |", line.part) } else { String::new() };
            writeln!(text, "{}{part}", line.row()).expect("a string takes every character");
        }
        text
    }

    /// Puts the table between the markers of `docs/BENCHMARKS.md`.
    ///
    /// # Errors
    /// The file or its markers are missing.
    pub fn write_docs(&self, place: Place, machine: &str) -> anyhow::Result<()> {
        let path = workspace::root().join("docs/BENCHMARKS.md");
        write_between(&path, place.marker, &self.markdown(machine))?;
        println!("written: {}", path.display());
        Ok(())
    }
}

impl Line {
    /// Of what was measured; `shown` is how `value` is written.
    pub fn new(
        part: &'static str,
        what: String,
        value: f64,
        shown: String,
        target: Target,
    ) -> Self {
        let (text, met) = match target {
            Target::Told => (String::new(), None),
            Target::AtLeast(least) => (format!("at least {least}"), Some(value >= least)),
            Target::AtMost(most) => (format!("at most {most:.4}"), Some(value <= most)),
        };
        let target = match text.split_once('.') {
            Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            None => text,
        };
        Self { part, what, value: shown, target, met }
    }

    /// As a row of a table in Markdown.
    pub fn row(&self) -> String {
        let met = self.met.map_or("", |met| if met { "yes" } else { "**no**" });
        let Self { what, value, target, .. } = self;
        format!("| {what} | {value} | {target} | {met} |")
    }

    fn text(&self) -> String {
        let met = self.met.map_or("", |met| if met { "met" } else { "MISSED" });
        let text = format!("{:<62} {:<44} {:<16} {met}", self.what, self.value, self.target);
        text.trim_end().to_owned()
    }
}

/// Puts a text between two markers of a document.
///
/// # Errors
/// The file or its markers are missing.
pub fn write_between(path: &Path, marker: &str, table: &str) -> anyhow::Result<()> {
    let (begin, end) = (format!("<!-- {marker}: begin -->"), format!("<!-- {marker}: end -->"));
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = text.split_once(&begin).context("the begin marker is missing")?;
    let (_, after) = rest.split_once(&end).context("the end marker is missing")?;
    std::fs::write(path, format!("{before}{begin}\n\n{table}\n{end}{after}"))?;
    Ok(())
}

/// The machine in one sentence.
pub fn machine() -> String {
    machine_with("shared by client and server")
}

/// The same, with the word on who runs on it.
pub fn machine_with(who: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{cores} cores ({model}), {who}; load average {load} before the first run.")
}
