//! Prometheus text for `/metrics`. Made when it is asked for; the hot path only counts.
//!
//! No label holds a user or an address: labels are words of ours, and product ids, of which an operator makes
//! few. What each metric means is in `docs/METRICS.md`.

use http::header::{CONTENT_TYPE, HeaderValue};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::code::Code;
use super::counters::{Counters, LATENCY_BOUNDS_US, Latencies};
use super::reply::{self, Coded};
use super::shared::Shared;
use crate::evidence::Evidence;

mod room;
#[cfg(feature = "distributed")]
mod stores;

const TEXT: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabel {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WordLabel {
    word: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProductLabel {
    product: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ListenerLabel {
    listener: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabel {
    version: &'static str,
}

/// The metrics of this node at this moment.
pub fn render(shared: &Shared) -> Coded {
    let mut registry = Registry::with_prefix("flux_gate");
    build(&mut registry);
    answers(shared, &mut registry);
    latencies(shared, &mut registry);
    certificates(shared, &mut registry);
    stock(shared, &mut registry);
    audit(shared, &mut registry);
    challenges(shared, &mut registry);
    traces(shared, &mut registry);
    evidence(shared, &mut registry);
    log(shared, &mut registry);
    room::register(shared, &mut registry);
    #[cfg(feature = "distributed")]
    stores::register(shared, &mut registry);
    let ready = Gauge::<i64>::default();
    ready.set(i64::from(shared.readiness().is_ok()));
    registry.register("ready", "1 if new requests should be sent here", ready);
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return reply::problem_because(Code::Internal, "the metrics cannot be written");
    }
    reply::json(Code::Ok, text).with(CONTENT_TYPE, TEXT)
}

fn answers(shared: &Shared, registry: &mut Registry) {
    let answers = Family::<AnswerLabel, Counter>::default();
    for code in Code::ALL {
        let count = shared.counters.iter().map(|counters| counters.get(code)).sum();
        answers.get_or_create(&AnswerLabel { code: code.meaning().word }).inc_by(count);
    }
    registry.register("answers", "Answers of the public listener, by code", answers);
}

fn build(registry: &mut Registry) {
    let build = Family::<BuildLabel, Gauge>::default();
    build.get_or_create(&BuildLabel { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("build", "1, with the version of the program", build);
}

fn latencies(shared: &Shared, registry: &mut Registry) {
    type Of = fn(&Counters) -> &Latencies;
    let all: [(&str, &str, Of); 2] = [
        (
            "order_accepted",
            "From an order's last byte to the answer that it is accepted",
            |counters| &counters.accepted,
        ),
        ("order_not_accepted", "The same for attempts that were answered otherwise", |counters| {
            &counters.not_accepted
        }),
    ];
    for (name, help, of) in all {
        let histogram = Histogram::of(shared.counters.iter().map(|counters| of(counters)));
        registry.register_with_unit(name, help, Unit::Seconds, histogram);
    }
}

/// What all threads have counted, for the encoder.
#[derive(Debug)]
struct Histogram {
    buckets: Vec<(f64, u64)>,
    sum_seconds: f64,
}

impl Histogram {
    fn of<'a>(threads: impl Iterator<Item = &'a Latencies>) -> Self {
        let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::MAX]);
        let mut buckets: Vec<_> = bounds.map(|bound| (bound, 0)).collect();
        let mut sum_us = 0;
        for latencies in threads {
            sum_us += latencies.sum_us();
            for ((_, all), count) in buckets.iter_mut().zip(latencies.buckets()) {
                *all += count;
            }
        }
        Self { buckets, sum_seconds: sum_us as f64 / 1e6 }
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum_seconds, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn certificates(shared: &Shared, registry: &mut Registry) {
    let expiry = Family::<ListenerLabel, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for (listener, until_ms) in &shared.certificates {
        expiry.get_or_create(&ListenerLabel { listener }).set(*until_ms as f64 / 1e3);
    }
    let help = "Until when the listener's certificate is good, in seconds since 1970";
    registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, expiry);
}

fn audit(shared: &Shared, registry: &mut Registry) {
    let not_recorded = Counter::<u64>::default();
    not_recorded.inc_by(shared.audit.not_recorded());
    let help = "Events that the disk did not take into the audit trail";
    registry.register("audit_not_recorded", help, not_recorded);
}

/// How well this node sees the log, and what of it it cannot serve.
fn log(shared: &Shared, registry: &mut Registry) {
    let foreign = shared.applied().products();
    let foreign = foreign.iter().filter(|product| !shared.has_keys_of(product)).count();
    let sales = Gauge::<i64>::default();
    sales.set(foreign as i64);
    let help = "Sales that were opened under other keys than this node's; it does not serve them";
    registry.register("sales_under_other_keys", help, sales);
    let age_us = shared.clock.monotonic_us().saturating_sub(shared.applied().end_seen_us());
    let age = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    age.set(age_us as f64 / 1e6);
    let help =
        "Since when the end of the log was seen last; above 1 the node refuses to say anything";
    registry.register_with_unit("log_end_age", help, Unit::Seconds, age);
}

fn challenges(shared: &Shared, registry: &mut Registry) {
    let words = Family::<WordLabel, Counter>::default();
    let reasons = Family::<WordLabel, Counter>::default();
    for counters in &shared.counters {
        for (word, count) in counters.challenges.words() {
            words.get_or_create(&WordLabel { word }).inc_by(count);
        }
        for (word, count) in counters.challenges.reason_words() {
            reasons.get_or_create(&WordLabel { word }).inc_by(count);
        }
    }
    registry.register("challenges", "Challenges, by what became of them", words);
    registry.register("score_reasons", "Reasons of bot scores above a threshold", reasons);
}

/// Only where there are traces.
fn traces(shared: &Shared, registry: &mut Registry) {
    let Some(counts) = shared.tracer.counts() else { return };
    let words = |counted: &[(&'static str, u64)]| {
        let family = Family::<WordLabel, Counter>::default();
        for (word, count) in counted {
            family.get_or_create(&WordLabel { word }).inc_by(*count);
        }
        family
    };
    let spans = words(&counts.spans());
    registry.register("trace_spans", "Spans, by what became of them", spans);
    let requests = words(&counts.requests());
    registry.register("trace_requests", "Requests that were sampled or over the limit", requests);
}

/// Only where attempts are noted.
fn evidence(shared: &Shared, registry: &mut Registry) {
    let Some(counts) = shared.evidence.as_ref().and_then(Evidence::counts) else { return };
    let mut counter = |name: &str, help: &str, value| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    };
    counter("evidence_rows", "Attempts that were written to the evidence", counts.rows());
    let help = "Attempts that were to be kept as evidence and were not";
    counter("evidence_dropped", help, counts.dropped());
    counter("evidence_failures", "Writes of the evidence that failed", counts.failures());
}

fn stock(shared: &Shared, registry: &mut Registry) {
    let family = Family::<ProductLabel, Gauge>::default;
    let (capacity, sold, pending, paused) = (family(), family(), family(), family());
    for product in shared.applied().products() {
        let label = ProductLabel { product: product.to_string() };
        let in_gate = shared.gate.pending(&product) as i64;
        shared.applied().with_state(&product, |state| {
            capacity.get_or_create(&label).set(i64::from(state.terms().capacity));
            sold.get_or_create(&label).set(i64::from(state.sold()));
            pending.get_or_create(&label).set(in_gate);
            paused.get_or_create(&label).set(i64::from(state.paused()));
        });
    }
    registry.register("product_capacity_units", "Units for sale in all", capacity);
    registry.register("product_sold_units", "Orders confirmed and not reversed", sold);
    registry.register("product_pending_attempts", "Attempts not decided yet", pending);
    registry.register("product_paused", "1 while a pause record stands", paused);
}
