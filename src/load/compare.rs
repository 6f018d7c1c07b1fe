//! Two servers under the same load in turn, and their figures beside each other.
//!
//! Every pair is a run against each, right after one another, under the same plan but for the server; what is
//! compared is pairs, since a machine changes more over minutes than within a pair.

use std::fmt::Write;

use serde::Serialize;

use super::plan::Kind;
use super::report::{Quantiles, Report, Style, phrase, thousands};
use super::spread::Spread;
use super::tally::Tally;

/// Most pairs of a comparison.
pub const PAIRS_MAX: u32 = 100;
/// Both are warmed up for at most so long, which is not counted, in milliseconds.
pub const WARM_UP_MS_MAX: u64 = 1_000;
/// Sorts of answers of a side that are shown.
const ANSWERS_SHOWN_MAX: usize = 3;

/// A figure of a run: its name for people and for programs, and how it is found.
struct Figure {
    title: &'static str,
    name: &'static str,
    of: fn(&Report) -> f64,
}

const FIGURES: [Figure; 7] = [
    Figure { title: "requests a second", name: "requestsPerSecond", of: requests_per_second },
    Figure { title: "accepted a second", name: "acceptedPerSecond", of: accepted_per_second },
    Figure { title: "p50, ms", name: "p50Ms", of: |report| ms(all(report).p50) },
    Figure { title: "p90, ms", name: "p90Ms", of: |report| ms(all(report).p90) },
    Figure { title: "p99, ms", name: "p99Ms", of: |report| ms(all(report).p99) },
    Figure { title: "p99.9, ms", name: "p999Ms", of: |report| ms(all(report).p999) },
    Figure {
        title: "own processor time, µs",
        name: "ownCpuUsPerRequest",
        of: Report::own_cpu_us_per_request,
    },
];

fn requests_per_second(report: &Report) -> f64 {
    report.per_second(report.tally.counts.ended())
}

fn accepted_per_second(report: &Report) -> f64 {
    report.per_second(report.tally.counts.accepted)
}

fn all(report: &Report) -> Quantiles {
    Quantiles::of(&report.tally.all_latency)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

/// The figures of one run.
#[derive(Debug, Clone, Copy)]
pub struct Measured([f64; FIGURES.len()]);

impl Measured {
    /// Of a report, whose histograms are not needed any more.
    pub fn of(report: &Report) -> Self {
        Self(FIGURES.map(|figure| (figure.of)(report)))
    }

    /// Requests a second.
    pub fn requests_per_second(&self) -> f64 {
        self.0[0]
    }
}

/// What a side answered in all its runs, in words: a fast refusal is no order.
#[derive(Debug, Default)]
pub struct Answers(Vec<(String, u64)>);

impl Answers {
    /// Adds those of a run.
    pub fn add(&mut self, tally: &Tally) {
        for (status, word, count) in Kind::ALL.into_iter().flat_map(|kind| tally.answers(kind)) {
            let phrase = phrase(status, word);
            match self.0.iter_mut().find(|(earlier, _)| *earlier == phrase) {
                Some((_, sum)) => *sum += count,
                None => self.0.push((phrase, count)),
            }
        }
        self.0.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }

    fn in_words(&self) -> String {
        let total = self.0.iter().map(|(_, count)| count).sum::<u64>().max(1) as f64;
        let shares = self.0.iter().take(ANSWERS_SHOWN_MAX);
        let shares = shares
            .map(|(phrase, count)| format!("{:.1} % {phrase}", *count as f64 / total * 100.0));
        shares.collect::<Vec<_>>().join(", ")
    }
}

/// What a comparison has shown.
#[derive(Debug)]
pub struct Comparison {
    /// The two servers.
    pub urls: [String; 2],
    /// What was bought.
    pub product: String,
    /// The pace in words.
    pub pace: String,
    /// Connections of each run.
    pub connections: usize,
    /// Length of each run, in milliseconds.
    pub run_ms: u64,
    /// The pairs; at least one.
    pub pairs: Vec<(Measured, Measured)>,
    /// What each side answered.
    pub answers: [Answers; 2],
}

/// A comparison as JSON. Fields are added, never changed or removed.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    a: &'a str,
    b: &'a str,
    product: &'a str,
    pace: &'a str,
    connections: usize,
    pairs: usize,
    #[serde(rename = "runMs")]
    run_ms: u64,
    /// Answers in words with their counts, the most frequent first.
    answers: [&'a [(String, u64)]; 2],
    figures: Vec<Row>,
}

/// A figure of both, and the first over the second, pair by pair; `null` where there is none.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip)]
    title: &'static str,
    name: &'static str,
    a: Spread,
    b: Spread,
    ratio: Spread,
    /// Each pair by itself, in the order of the runs.
    pairs: Vec<(f64, f64)>,
}

impl Comparison {
    fn rows(&self) -> Vec<Row> {
        let rows = FIGURES.iter().enumerate().map(|(place, figure)| Row {
            title: figure.title,
            name: figure.name,
            a: Spread::of(self.pairs.iter().map(|(a, _)| a.0[place])),
            b: Spread::of(self.pairs.iter().map(|(_, b)| b.0[place])),
            ratio: Spread::of_ratios(&self.pairs, |measured| measured.0[place]),
            pairs: self.pairs.iter().map(|(a, b)| (a.0[place], b.0[place])).collect(),
        });
        rows.collect()
    }

    /// For programs.
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            a: &self.urls[0],
            b: &self.urls[1],
            product: &self.product,
            pace: &self.pace,
            connections: self.connections,
            pairs: self.pairs.len(),
            run_ms: self.run_ms,
            answers: [&self.answers[0].0, &self.answers[1].0],
            figures: self.rows(),
        }
    }

    /// For people: of each figure the median, and in brackets the smallest and the largest.
    pub fn table(&self, style: Style) -> String {
        let mut out = format!(
            "\n  A {}: {}\n  B {}: {}\n  {} · {} · {} connections · {} pairs of {} s in turn\n\n",
            style.bold(&self.urls[0]),
            self.answers[0].in_words(),
            style.bold(&self.urls[1]),
            self.answers[1].in_words(),
            self.product,
            self.pace,
            thousands(self.connections as u64),
            self.pairs.len(),
            self.run_ms as f64 / 1e3,
        );
        let heading = format!("  {:<24}{:<30}{:<30}A over B", "median (min to max)", "A", "B");
        let _ = writeln!(out, "{}", style.dim(&heading));
        for Row { title, a, b, ratio, .. } in self.rows() {
            if a.max == 0.0 && b.max == 0.0 {
                continue;
            }
            let (a, b) = (spread(a, number), spread(b, number));
            let ratio = spread(ratio, |ratio| format!("{ratio:.3}"));
            let _ = writeln!(out, "  {title:<24}{a:<30}{b:<30}{}", style.bold(&ratio));
        }
        out += &style.dim("  Where the range of a ratio holds 1, the pairs show no difference.\n");
        out
    }
}

fn spread(spread: Spread, number: impl Fn(f64) -> String) -> String {
    let Spread { min, median, max, .. } = spread;
    format!("{} ({} to {})", number(median), number(min), number(max))
}

fn number(value: f64) -> String {
    match value {
        ..100.0 => format!("{value:.2}"),
        _ => thousands(value.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rate: f64, p99: f64) -> Measured {
        Measured([rate, 0.0, 1.0, 1.0, p99, p99, 5.0])
    }

    fn comparison() -> Comparison {
        Comparison {
            urls: ["http://127.0.0.1:1".into(), "http://127.0.0.1:2".into()],
            product: "p-1".into(),
            pace: "closed loop".into(),
            connections: 64,
            run_ms: 5_000,
            pairs: vec![
                (measured(2_000.0, 4.0), measured(1_000.0, 2.0)),
                (measured(9_000.0, 3.0), measured(3_000.0, 3.0)),
                (measured(1_000.0, 2.0), measured(1_000.0, 4.0)),
            ],
            answers: [
                Answers(vec![("sold out".into(), 3), ("accepted".into(), 1)]),
                Answers::default(),
            ],
        }
    }

    #[test]
    fn ratios_are_medians_of_pairs_with_their_range() {
        let table = comparison().table(Style::Plain);
        let line = table.lines().find(|line| line.contains("requests a second")).unwrap();
        assert!(line.ends_with("2.000 (1.000 to 3.000)"), "{line}");
        assert!(line.contains("2,000 (1,000 to 9,000)") && line.contains("1,000 (1,000 to 3,000)"));
        let line = table.lines().find(|line| line.contains("p99, ms")).unwrap();
        assert!(line.ends_with("1.000 (0.500 to 2.000)"), "{line}");
        assert!(table.contains("75.0 % sold out, 25.0 % accepted"), "{table}");
        assert!(!table.contains("accepted a second"), "what neither has is not shown: {table}");
    }

    #[test]
    fn programs_get_every_pair() {
        let json = serde_json::to_value(comparison().summary()).unwrap();
        assert_eq!(json["pairs"], 3);
        assert_eq!(json["figures"][0]["name"], "requestsPerSecond");
        assert_eq!(json["figures"][0]["ratio"]["median"], 2.0);
        assert_eq!(json["figures"][0]["pairs"][1], serde_json::json!([9_000.0, 3_000.0]));
        assert!(json["figures"][1]["ratio"]["median"].is_null(), "nothing over nothing is nothing");
    }
}
