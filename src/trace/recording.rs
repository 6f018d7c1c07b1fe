//! The spans of one sampled request while it is under way.
//!
//! A recording belongs to a request's future, and is this thread's while the future is polled ([`swap`]).
//! Steps find theirs by its number, so one that ends while another request is polled touches nothing.

use std::cell::Cell;

use rand::Rng;
use rand::rngs::SmallRng;

use super::context::TraceContext;
use super::span::{Kind, Span, Value};
use super::{Ends, Tracer};

/// Most spans of one request; further steps have none.
const SPANS_MAX: usize = 32;

/// The spans of a request, the first one being its own. They are handed over when it is dropped.
pub struct Recording {
    tracer: Tracer,
    begun: Ends,
    spans: Vec<Span>,
    /// Places of the steps under way, the innermost last.
    open: Vec<usize>,
    random: SmallRng,
}

thread_local! {
    static CURRENT: Cell<Option<Box<Recording>>> = const { Cell::new(None) };
}

/// Exchanges what this thread records into.
pub(super) fn swap(recording: &mut Option<Box<Recording>>) {
    *recording = CURRENT.replace(recording.take());
}

fn with<R>(act: impl FnOnce(&mut Recording) -> R) -> Option<R> {
    let mut recording = CURRENT.take()?;
    let done = act(&mut recording);
    CURRENT.set(Some(recording));
    Some(done)
}

impl Recording {
    /// Begins with the span of the request itself.
    pub(super) fn begin(
        tracer: Tracer,
        trace_id: u128,
        parent: Option<&TraceContext>,
        name: &'static str,
        mut random: SmallRng,
    ) -> Self {
        let begun = tracer.begin();
        let root = Span {
            trace_id,
            span_id: span_id(&mut random),
            parent_id: parent.map_or(0, |parent| parent.span_id),
            parent_is_remote: parent.is_some(),
            link: None,
            name,
            kind: Kind::Server,
            start_ns: begun.start_ns(),
            end_ns: 0,
            attributes: Vec::with_capacity(8),
            failed: false,
        };
        Self { tracer, begun, spans: vec![root], open: Vec::new(), random }
    }

    fn now_ns(&self) -> u64 {
        self.tracer.now_ns(&self.begun)
    }

    fn innermost(&self) -> &Span {
        // The first span is always there.
        &self.spans[self.open.last().copied().unwrap_or(0)]
    }

    fn step(&mut self, name: &'static str, kind: Kind) -> u64 {
        if self.spans.len() >= SPANS_MAX {
            return 0;
        }
        let span_id = span_id(&mut self.random);
        let around = self.innermost();
        let span = Span {
            trace_id: around.trace_id,
            span_id,
            parent_id: around.span_id,
            parent_is_remote: false,
            link: None,
            name,
            kind,
            start_ns: self.now_ns(),
            end_ns: 0,
            attributes: Vec::with_capacity(3),
            failed: false,
        };
        self.open.push(self.spans.len());
        self.spans.push(span);
        span_id
    }

    fn find(&mut self, span_id: u64) -> Option<&mut Span> {
        self.spans.iter_mut().find(|span| span.span_id == span_id)
    }

    fn end(&mut self, span_id: u64) {
        let now_ns = self.now_ns();
        let Some(span) = self.find(span_id) else { return };
        span.end_ns = now_ns;
        let Self { open, spans, .. } = self;
        open.retain(|place| spans[*place].span_id != span_id);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let now_ns = self.now_ns();
        for span in self.spans.iter_mut().filter(|span| span.end_ns == 0) {
            span.end_ns = now_ns;
        }
        self.tracer.hand_over(std::mem::take(&mut self.spans));
    }
}

fn span_id(random: &mut SmallRng) -> u64 {
    random.next_u64().max(1)
}

/// A step of the request that this thread works on. Ends when it is dropped. Costs a look at the thread
/// where nothing is recorded.
#[must_use = "a step ends when it is dropped"]
pub struct Step {
    /// 0: not recorded.
    span_id: u64,
}

/// Begins a step.
pub fn step(name: &'static str) -> Step {
    Step { span_id: with(|recording| recording.step(name, Kind::Internal)).unwrap_or(0) }
}

/// Begins the step in which a record is written: [`place`] gives its place to whoever reads the record.
pub fn writing(name: &'static str) -> Step {
    Step { span_id: with(|recording| recording.step(name, Kind::Producer)).unwrap_or(0) }
}

impl Step {
    /// Notes what came of it.
    pub fn note(&self, key: &'static str, value: impl Into<Value>) {
        if self.span_id != 0 {
            let value = value.into();
            with(|recording| {
                recording.find(self.span_id).map(|span| span.attributes.push((key, value)))
            });
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.span_id != 0 {
            with(|recording| recording.end(self.span_id));
        }
    }
}

/// Notes something of the request itself; `value` is not made where nothing is recorded.
pub fn note<V: Into<Value>>(key: &'static str, value: impl FnOnce() -> V) {
    with(|recording| recording.spans[0].attributes.push((key, value().into())));
}

/// Marks the request as one in which something broke.
pub fn failed() {
    with(|recording| recording.spans[0].failed = true);
}

/// The place of the step that is under way, for whoever carries the trace on. `None` where nothing is
/// recorded.
pub fn place() -> Option<TraceContext> {
    with(|recording| {
        let Span { trace_id, span_id, .. } = *recording.innermost();
        TraceContext { trace_id, span_id, sampled: true }
    })
}
