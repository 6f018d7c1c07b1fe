//! Prometheus text for `/metrics`. Made when it is asked for; the hot path only counts.

use http::header::{CONTENT_TYPE, HeaderValue};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::code::Code;
use super::reply::{self, Coded};
use super::shared::Shared;

#[cfg(feature = "distributed")]
mod stores;

const TEXT: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabel {
    code: &'static str,
}

#[cfg(feature = "distributed")]
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WordLabel {
    word: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProductLabel {
    product: String,
}

/// The metrics of this node at this moment.
pub fn render(shared: &Shared) -> Coded {
    let mut registry = Registry::with_prefix("flux_gate");
    answers(shared, &mut registry);
    stock(shared, &mut registry);
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
