//! The worker's spans: for each record whose writer was sampled one, from when it is read until it is in the
//! ledger.
//!
//! A record's place in its trace is a hint that anybody with rights on the topic can write, so it decides
//! nothing, and how many spans follow from it is bounded: a second, and a batch.

use rdkafka::message::BorrowedMessage;

use super::apply::Content;
use crate::clock::Clock;
use crate::log::kafka::message;
use crate::sale::{OrderId, ProductId, Record};
use crate::trace::span::{Kind, Span, Value};
use crate::trace::{Budget, TraceContext, Tracer};

/// Most traced records of one batch.
const BATCH_SPANS_MAX: usize = 256;
/// Most traced records of a second.
const PER_SECOND_MAX: u32 = 1_000;

/// The spans of the batch that is being filled, and of the one that is with the store.
pub(super) struct Traced {
    tracer: Tracer,
    clock: Clock,
    budget: Budget,
    filling: Vec<Span>,
    writing: Vec<Span>,
}

/// Where and when a traced record was read.
#[derive(Clone, Copy)]
pub(super) struct ReadAt {
    place: TraceContext,
    start_ns: u64,
}

/// What a span says of a record.
pub(super) struct Order {
    product: ProductId,
    order_id: OrderId,
}

impl Order {
    /// Of a proposal; other records are operators' and have no spans.
    pub(super) fn of(content: &Content) -> Option<Self> {
        let Content::Record(entry) = content else { return None };
        let Record::OrderProposed(proposal) = &entry.record else { return None };
        Some(Self { product: entry.product, order_id: proposal.order_id })
    }
}

impl Traced {
    pub(super) fn new(tracer: Tracer, clock: Clock) -> Self {
        let budget = Budget::new(PER_SECOND_MAX);
        Self { tracer, clock, budget, filling: Vec::new(), writing: Vec::new() }
    }

    /// Whether a message is traced.
    pub(super) fn begin(&self, message: &BorrowedMessage<'_>) -> Option<ReadAt> {
        if !self.tracer.is_on() || self.filling.len() >= BATCH_SPANS_MAX {
            return None;
        }
        let place = message::trace_place(message)?;
        let within = self.budget.charge(self.clock.monotonic_us());
        within.then(|| ReadAt { place, start_ns: self.now_ns() })
    }

    /// A record has been applied.
    pub(super) fn applied(
        &mut self,
        read_at: ReadAt,
        order: &Order,
        (partition, offset): (i32, u64),
        outcome: &'static str,
    ) {
        let ReadAt { place, start_ns } = read_at;
        self.filling.push(Span {
            trace_id: place.trace_id,
            span_id: span_id(place, partition, offset),
            parent_id: place.span_id,
            parent_is_remote: true,
            link: Some(place),
            name: "ledger",
            kind: Kind::Consumer,
            start_ns,
            end_ns: 0,
            attributes: vec![
                ("flux_gate.product", Value::Id(order.product.to_string())),
                ("flux_gate.order_id", Value::Id(order.order_id.to_string())),
                ("flux_gate.outcome", outcome.into()),
                ("flux_gate.partition", u64::from(partition.unsigned_abs()).into()),
                ("flux_gate.offset", offset.into()),
            ],
            failed: false,
        });
    }

    /// The batch has gone to the store.
    pub(super) fn write(&mut self) {
        self.writing = std::mem::take(&mut self.filling);
    }

    /// The batch is in the ledger.
    pub(super) fn written(&mut self) {
        if self.writing.is_empty() {
            return;
        }
        let now_ns = self.now_ns();
        let mut spans = std::mem::take(&mut self.writing);
        spans.iter_mut().for_each(|span| span.end_ns = now_ns);
        self.tracer.hand_over(spans);
    }

    /// Whatever was read will be read again.
    pub(super) fn forget(&mut self) {
        self.filling.clear();
        self.writing.clear();
    }

    fn now_ns(&self) -> u64 {
        self.clock.unix_ms().saturating_mul(1_000_000)
    }
}

/// The same for the same record, so that one that is read twice is no second span; different for two records
/// that carry the same place.
fn span_id(place: TraceContext, partition: i32, offset: u64) -> u64 {
    let record = offset.rotate_left(9) ^ u64::from(partition.unsigned_abs());
    let mixed = (place.span_id ^ record).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).max(1)
}
