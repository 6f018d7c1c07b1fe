//! A report as JSON, for programs. Fields are added, never changed or removed.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Report;
use crate::load::plan::{Kind, Pace};
use crate::load::profile::Profile;
use crate::load::timeline::{Outcome, Slot};
use crate::load::verify::Check;

/// A report as JSON: times in microseconds, rates in requests a second.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary<'a> {
    product: &'a str,
    pace: Pace,
    profile: Profile,
    url: &'a str,
    started_at_ms: u64,
    connections: usize,
    elapsed_us: u64,
    own_cpu_us: u64,
    own_cpu_us_per_request: f64,
    requests: u64,
    requests_per_second: f64,
    accepted: u64,
    accepted_per_second: f64,
    refused: u64,
    unanswered: u64,
    retries: u64,
    given_up: u64,
    unsent: u64,
    honest_buyers: u64,
    server_lost: bool,
    answers: Vec<AnswerCount<'a>>,
    latency_us: Latencies,
    lateness_us: Quantiles,
    timeline: Timeline,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a [Check]>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerCount<'a> {
    kind: Kind,
    trick: &'static str,
    status: u16,
    word: &'a str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Latencies {
    accepted: Quantiles,
    refused: Quantiles,
    all: Quantiles,
}

/// What happened when.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timeline {
    /// Length of a slot; the first begins with the run.
    slot_us: u64,
    slots: Vec<SlotCounts>,
}

/// A slot: counts, and latencies in microseconds.
#[derive(Debug, Serialize)]
struct SlotCounts {
    due: u64,
    accepted: u64,
    refused: u64,
    later: u64,
    unanswered: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl SlotCounts {
    fn of(slot: &Slot) -> Self {
        let of = |outcome: Outcome| slot.counts[outcome as usize];
        let at = |quantile| slot.latency.value_at_quantile(quantile);
        Self {
            due: slot.due,
            accepted: of(Outcome::Accepted),
            refused: of(Outcome::Refused),
            later: of(Outcome::Later),
            unanswered: of(Outcome::Unanswered),
            p50: at(0.50),
            p90: at(0.90),
            p99: at(0.99),
            max: slot.latency.max(),
        }
    }
}

/// Latencies at the usual quantiles, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Half were at most this.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Quantiles {
    /// Of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.50),
            p90: histogram.value_at_quantile(0.90),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

impl Report {
    /// The report as JSON, with the rules that were checked.
    pub fn summary<'a>(&'a self, rules: Option<&'a [Check]>) -> Summary<'a> {
        let tally = &self.tally;
        let counts = tally.counts;
        let answers = tally.rows.iter().map(|row| AnswerCount {
            kind: row.trick.kind(),
            trick: row.trick.name(),
            status: row.status,
            word: &row.word,
            count: row.count,
        });
        Summary {
            product: &self.product,
            pace: self.pace,
            profile: self.profile,
            url: &self.url,
            started_at_ms: self.started_ms,
            connections: self.connections,
            own_cpu_us: tally.cpu_us,
            own_cpu_us_per_request: self.own_cpu_us_per_request(),
            elapsed_us: tally.elapsed_us,
            requests: counts.ended(),
            requests_per_second: self.per_second(counts.ended()),
            accepted: counts.accepted,
            accepted_per_second: self.per_second(counts.accepted),
            refused: counts.refused,
            unanswered: counts.unanswered,
            retries: tally.retries,
            given_up: tally.given_up,
            unsent: tally.unsent,
            honest_buyers: tally.honest_buyers,
            server_lost: tally.server_lost,
            answers: answers.collect(),
            latency_us: Latencies {
                accepted: Quantiles::of(&tally.accepted_latency),
                refused: Quantiles::of(&tally.refused_latency),
                all: Quantiles::of(&tally.all_latency),
            },
            lateness_us: Quantiles::of(&tally.lateness),
            timeline: Timeline {
                slot_us: tally.timeline.slot_us(),
                slots: tally.timeline.slots().iter().map(SlotCounts::of).collect(),
            },
            rules,
        }
    }
}
