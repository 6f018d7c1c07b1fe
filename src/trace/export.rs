//! The thread that sends spans to the collector: OTLP over HTTP, protobuf.
//!
//! - Its queue is bounded. Whoever hands spans over never waits: what does not fit is dropped and counted.
//! - A call has a time-out and is tried twice. Then its spans are counted as failed and forgotten, so that a
//!   collector that is gone costs no memory.
//! - At the end what is waiting is sent, for [`FLUSH_MAX`] at most.
//! - What the collector says is bounded, and what it is told of a failure names neither headers nor spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use prost::Message;

use super::Counts;
use super::otlp::{self, ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue};
use super::span::Span;
use crate::clock::Clock;
use crate::config::traces::Traces;
use crate::outgoing::{CallError, Post, Service, ServiceError, TlsError};

/// Most spans of one call.
const CALL_SPANS_MAX: usize = 512;
/// How long spans gather before they are sent, unless there is a whole call of them, in looks at the queue.
const GATHER_LOOKS: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it is waited before the second try.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the end waits for what is still to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// Largest answer of the collector that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How often a failure is told at most, in microseconds.
const TELL_EVERY_US: u64 = 60_000_000;

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A setting; `config check` would have said so.
    #[error("{0} cannot be used; see `flux-gate config check`")]
    Setting(&'static str),
    /// TLS, or the certificates of the collector's authority.
    #[error("traces.ca_file: {0}")]
    Tls(TlsError),
    /// No thread or no runtime.
    #[error("the thread that sends traces could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl From<ServiceError> for TracesError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Address => Self::Setting("traces.endpoint"),
            ServiceError::Tls(error) => Self::Tls(error),
        }
    }
}

/// The way to the thread.
pub(super) struct Exporter {
    sender: Sender<Vec<Span>>,
    /// Spans in the queue.
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    counts: Arc<Counts>,
    /// Ends the thread by being dropped.
    stop: Mutex<Option<Sender<()>>>,
    ended: Receiver<()>,
}

impl Exporter {
    /// Starts the thread.
    pub(super) fn start(
        config: &Traces,
        role: &'static str,
        counts: Arc<Counts>,
        clock: Clock,
    ) -> Result<Self, TracesError> {
        let collector = Collector::new(config)?;
        let (sender, spans) = bounded(config.queue_spans_max);
        let (stop, stopped) = bounded(0);
        let (end, ended) = bounded(1);
        let waiting = Arc::<AtomicUsize>::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut thread = Thread {
            collector,
            resource: resource(config, role),
            spans,
            stopped,
            waiting: Arc::clone(&waiting),
            counts: Arc::clone(&counts),
            clock,
            runtime,
            told_us: None,
        };
        std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
            thread.run();
            // Nobody may wait for it.
            let _ = end.send(());
        })?;
        let waiting_max = config.queue_spans_max;
        Ok(Self { sender, waiting, waiting_max, counts, stop: Mutex::new(Some(stop)), ended })
    }

    /// Queues spans, or drops and counts them.
    pub(super) fn hand_over(&self, spans: Vec<Span>) {
        let count = spans.len();
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        let taken = before + count <= self.waiting_max
            && match self.sender.try_send(spans) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !taken {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.counts.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Sends what is waiting and ends the thread, within [`FLUSH_MAX`].
    pub(super) fn stop(&self) {
        if self.stop.lock().take().is_some() {
            // A collector that hangs is left; the thread ends with the process.
            let _ = self.ended.recv_timeout(FLUSH_MAX);
        }
    }
}

/// What all spans of this process have in common.
fn resource(config: &Traces, role: &'static str) -> otlp::Resource {
    let mut instance = [0; 8];
    // Without randomness the processes of one service cannot be told apart, and that is all.
    let _ = aws_lc_rs::rand::fill(&mut instance);
    otlp::Resource {
        attributes: vec![
            KeyValue::text("service.name", config.service_name.as_str()),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::text("service.instance.id", hex::encode(instance)),
            KeyValue::text("flux_gate.role", role),
        ],
    }
}

struct Thread {
    collector: Collector,
    resource: otlp::Resource,
    spans: Receiver<Vec<Span>>,
    stopped: Receiver<()>,
    waiting: Arc<AtomicUsize>,
    counts: Arc<Counts>,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
    told_us: Option<u64>,
}

impl Thread {
    fn run(&mut self) {
        loop {
            let ends = self.gather();
            loop {
                let batch = self.take();
                if batch.is_empty() {
                    break;
                }
                self.export(batch);
            }
            if ends {
                return;
            }
        }
    }

    /// Waits until spans should be sent. `true`: for the last time, since it was told to end or nobody is
    /// left who could hand anything over.
    fn gather(&self) -> bool {
        for _ in 0..GATHER_LOOKS {
            if self.stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected) {
                return true;
            }
            if self.waiting.load(Ordering::Relaxed) >= CALL_SPANS_MAX {
                return false;
            }
        }
        false
    }

    /// The spans of one call.
    fn take(&self) -> Vec<Span> {
        let mut batch = Vec::new();
        while batch.len() < CALL_SPANS_MAX {
            let Ok(spans) = self.spans.try_recv() else { break };
            batch.extend(spans);
        }
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        batch
    }

    fn export(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = Bytes::from(self.encode(batch));
        let sent = self.runtime.block_on(async {
            let first = self.collector.call(body.clone()).await;
            match first {
                Err(error) if may_pass(&error) => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    self.collector.call(body).await
                }
                first => first,
            }
        });
        let add = |counter: &std::sync::atomic::AtomicU64, more| {
            counter.fetch_add(more, Ordering::Relaxed);
        };
        match sent {
            Ok(refused) => {
                let refused = refused.min(count);
                add(&self.counts.exported, count - refused);
                add(&self.counts.refused, refused);
            }
            Err(error) => {
                let counter = match error {
                    CallError::Status(_) if !may_pass(&error) => &self.counts.refused,
                    _ => &self.counts.failed,
                };
                add(counter, count);
                self.tell(&error);
            }
        }
    }

    fn encode(&self, batch: Vec<Span>) -> Vec<u8> {
        let scope = otlp::InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let spans = batch.into_iter().map(otlp::Span::from).collect();
        let request = ExportTraceServiceRequest {
            resource_spans: vec![otlp::ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![otlp::ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        request.encode_to_vec()
    }

    fn tell(&mut self, error: &CallError) {
        let now_us = self.clock.monotonic_us();
        if self.told_us.is_none_or(|told_us| now_us.saturating_sub(told_us) > TELL_EVERY_US) {
            self.told_us = Some(now_us);
            tracing::warn!(%error, "traces do not reach the collector");
        }
    }
}

/// Whether another try may go well, as OTLP has it.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Status(status) => matches!(status.as_u16(), 429 | 502..=504),
        _ => true,
    }
}

/// The collector.
struct Collector {
    service: Service,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Collector {
    fn new(config: &Traces) -> Result<Self, TracesError> {
        let headers = config.header_pairs().ok_or(TracesError::Setting("traces.headers"))?;
        let ca_file = config.ca_file.as_deref();
        let service = Service::new(config.target(), ca_file, config.timeout_ms, ANSWER_BYTES_MAX)?;
        Ok(Self { service, headers })
    }

    /// Sends one call; how many of its spans were refused.
    async fn call(&self, body: Bytes) -> Result<u64, CallError> {
        let content_type = "application/x-protobuf";
        let post = Post { content_type, headers: &self.headers, body };
        let answer = self.service.post(post, |status| status.is_success()).await?;
        // An answer that cannot be read is that of a collector that took them.
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or(0))
    }
}
