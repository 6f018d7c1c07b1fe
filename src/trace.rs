//! The request's ids, and traces: the spans of the few requests that are sampled, sent to a collector by
//! OTLP.
//!
//! - An unsampled request has ids and no spans: nothing is allocated for it, and a step costs a look at a
//!   thread-local. Without a collector not even `traceparent` is looked at.
//! - Nothing waits for the collector: what does not fit its queue is dropped and counted.
//! - How many requests are sampled in a second is bounded, whatever callers ask for ([`Sampler`]).
//! - On Kafka a record of a sampled attempt carries its place in the trace as a header. It is outside of what
//!   is vouched for, so it is a hint for the worker's own spans and decides nothing.

use std::cell::RefCell;
use std::num::NonZeroU128;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName};
use pin_project_lite::pin_project;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::clock::Clock;
use crate::config::traces::Traces;
use crate::telemetry::request::{self, Ids, RequestId};

pub mod context;
mod export;
pub mod otlp;
mod recording;
mod sampler;
pub mod span;

pub use context::{TRACEPARENT, TraceContext};
pub use export::TracesError;
pub use recording::{Step, failed, note, place, step, writing};
pub use sampler::Budget;

use export::Exporter;
use recording::Recording;
use sampler::{Decision, Sampler};
use span::Span;

/// The header with a request's id, of requests and answers.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The way of spans out of this process. Cheap to clone; without a collector it does nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Active>>);

impl std::fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.is_on() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

struct Active {
    sampler: Sampler,
    exporter: Exporter,
    counts: Arc<Counts>,
    clock: Clock,
}

/// What became of requests and spans.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests that were sampled.
    pub sampled: AtomicU64,
    /// Requests that would have been, but for the limit.
    pub over_limit: AtomicU64,
    /// Spans that the collector took.
    pub exported: AtomicU64,
    /// Spans that found the queue full.
    pub dropped: AtomicU64,
    /// Spans that did not reach the collector.
    pub failed: AtomicU64,
    /// Spans that the collector refused.
    pub refused: AtomicU64,
}

impl Counts {
    /// Requests by what became of them, under stable words.
    pub fn requests(&self) -> [(&'static str, u64); 2] {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("sampled", get(&self.sampled)), ("over_limit", get(&self.over_limit))]
    }

    /// Spans by what became of them, under stable words.
    pub fn spans(&self) -> [(&'static str, u64); 4] {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("exported", get(&self.exported)),
            ("dropped", get(&self.dropped)),
            ("failed", get(&self.failed)),
            ("refused", get(&self.refused)),
        ]
    }
}

/// When something began, by both clocks: its end is told by the one that never goes back.
#[derive(Debug, Clone, Copy)]
struct Ends {
    unix_ms: u64,
    monotonic_us: u64,
}

impl Ends {
    fn start_ns(&self) -> u64 {
        self.unix_ms.saturating_mul(1_000_000)
    }
}

impl Tracer {
    /// Starts the thread that sends spans, if an endpoint is configured. `role` tells nodes from workers.
    ///
    /// # Errors
    /// The configuration cannot be used, or there is no thread.
    pub fn start(config: &Traces, role: &'static str, clock: &Clock) -> Result<Self, TracesError> {
        if !config.is_on() {
            return Ok(Self(None));
        }
        let rule = config.rule().ok_or(TracesError::Setting("traces.sampler"))?;
        let counts = Arc::<Counts>::default();
        let exporter = Exporter::start(config, role, Arc::clone(&counts), clock.clone())?;
        Ok(Self(Some(Arc::new(Active {
            sampler: Sampler::new(rule, config.per_second_max),
            exporter,
            counts,
            clock: clock.clone(),
        }))))
    }

    /// Whether there are traces.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What it counts; `None` without traces.
    pub fn counts(&self) -> Option<&Counts> {
        self.0.as_ref().map(|active| &*active.counts)
    }

    /// Sends what is waiting, for a few seconds at most, and ends the thread.
    pub fn stop(&self) {
        if let Some(active) = &self.0 {
            active.exporter.stop();
        }
    }

    /// Hands spans that have ended to the thread that sends them. Never waits.
    pub fn hand_over(&self, spans: Vec<Span>) {
        if let Some(active) = &self.0 {
            active.exporter.hand_over(spans);
        }
    }

    fn begin(&self) -> Ends {
        let clock = self.0.as_ref().map(|active| &active.clock);
        let read = |clock: &Clock| (clock.unix_ms(), clock.monotonic_us());
        let (unix_ms, monotonic_us) = clock.map(read).unwrap_or_default();
        Ends { unix_ms, monotonic_us }
    }

    fn now_ns(&self, begun: &Ends) -> u64 {
        let now_us = self.0.as_ref().map_or(0, |active| active.clock.monotonic_us());
        let took_us = now_us.saturating_sub(begun.monotonic_us);
        begun.start_ns().saturating_add(took_us.saturating_mul(1_000))
    }
}

/// The requests of one thread.
pub struct Requests {
    tracer: Tracer,
    random: RefCell<SmallRng>,
}

impl Requests {
    /// Makes ids from `seed`, which differs from thread to thread and from start to start.
    pub fn new(tracer: Tracer, seed: [u8; 16]) -> Self {
        let mut whole = [0; 32];
        whole[..16].copy_from_slice(&seed);
        Self { tracer, random: RefCell::new(SmallRng::from_seed(whole)) }
    }

    /// Takes in a request: its own ids if they are good, else new ones. `name` is asked for the span's name
    /// if it is sampled.
    pub fn begin(&self, headers: &HeaderMap, name: impl FnOnce() -> &'static str) -> Scope {
        let given = headers.get(&REQUEST_ID).and_then(|id| RequestId::parse(id.as_bytes()));
        let request = given.unwrap_or_else(|| RequestId::of(self.random_u128()));
        let Some(active) = &self.tracer.0 else {
            return Scope { ids: Some(Ids { request, trace: None }), recording: None };
        };
        let parent = TraceContext::of_request(headers);
        let trace_id = parent.map_or_else(|| self.random_u128().max(1), |parent| parent.trace_id);
        let now_us = active.clock.monotonic_us();
        let recording = match active.sampler.decide(trace_id, parent.as_ref(), now_us) {
            Decision::Unsampled => None,
            Decision::OverLimit => {
                active.counts.over_limit.fetch_add(1, Ordering::Relaxed);
                None
            }
            Decision::Sampled => {
                active.counts.sampled.fetch_add(1, Ordering::Relaxed);
                Some(self.record(trace_id, parent.as_ref(), name()))
            }
        };
        Scope { ids: Some(Ids { request, trace: NonZeroU128::new(trace_id) }), recording }
    }

    fn record(
        &self,
        trace_id: u128,
        parent: Option<&TraceContext>,
        name: &'static str,
    ) -> Box<Recording> {
        let random = SmallRng::seed_from_u64(self.random.borrow_mut().next_u64());
        Box::new(Recording::begin(self.tracer.clone(), trace_id, parent, name, random))
    }

    fn random_u128(&self) -> u128 {
        let mut random = self.random.borrow_mut();
        u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())
    }
}

/// What goes with one request: its ids, and its spans if it is sampled.
#[must_use = "a request is run in it"]
pub struct Scope {
    ids: Option<Ids>,
    recording: Option<Box<Recording>>,
}

impl Scope {
    /// Runs the request's future; whatever it logs, and each of its steps, is the request's.
    pub fn run<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { scope: self, future }
    }
}

pin_project! {
    /// See [`Scope::run`].
    pub struct Scoped<F> {
        scope: Scope,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(this.scope);
        this.future.poll(context)
    }
}

/// A scope that is this thread's until it is dropped, also by a panic.
struct Entered<'a>(&'a mut Scope);

impl<'a> Entered<'a> {
    fn new(scope: &'a mut Scope) -> Self {
        scope.swap();
        Self(scope)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.swap();
    }
}

impl Scope {
    fn swap(&mut self) {
        request::swap(&mut self.ids);
        recording::swap(&mut self.recording);
    }
}

#[cfg(test)]
mod tests;
