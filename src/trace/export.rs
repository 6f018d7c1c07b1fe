//! The thread that sends spans to the collector: OTLP over HTTP, protobuf.
//!
//! - Its queue is bounded. Whoever hands spans over never waits: what does not fit is dropped and counted.
//! - A call has a time-out and is tried twice. Then its spans are counted as failed and forgotten, so that a
//!   collector that is gone costs no memory.
//! - At the end what is waiting is sent, for [`FLUSH_MAX`] at most.
//! - What the collector says is bounded, and what it is told of a failure names neither headers nor spans.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Counts;
use super::otlp::{self, ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue};
use super::span::Span;
use crate::clock::Clock;
use crate::config::traces::Traces;

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
    /// The certificates of the collector's authority.
    #[error("traces.ca_file: {path} cannot be used: {reason}")]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS.
    #[error("TLS to the collector: {0}")]
    Tls(#[from] rustls::Error),
    /// No thread or no runtime.
    #[error("the thread that sends traces could not be started: {0}")]
    Thread(#[from] std::io::Error),
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
                Err(error) if error.may_pass() => {
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
                    CallError::Status(_) if !error.may_pass() => &self.counts.refused,
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

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is too large or broke off")]
    Answer,
    #[error("it did not answer in time")]
    TimedOut,
    #[error("it answered {0}")]
    Status(StatusCode),
}

impl CallError {
    /// Whether another try may go well, as OTLP has it.
    fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.as_u16(), 429 | 502..=504),
            _ => true,
        }
    }
}

/// The collector.
struct Collector {
    target: Uri,
    /// Host and port.
    address: (String, u16),
    tls: Option<(TlsConnector, ServerName<'static>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
}

impl Collector {
    fn new(config: &Traces) -> Result<Self, TracesError> {
        let unusable = || TracesError::Setting("traces.endpoint");
        let target = config.target().ok_or_else(unusable)?;
        let host = target.host().ok_or_else(unusable)?.trim_matches(['[', ']']).to_owned();
        let is_tls = target.scheme_str() == Some("https");
        let port = target.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone()).map_err(|_| unusable())?;
                Some((connector(config)?, name))
            }
        };
        let headers = config.header_pairs().ok_or(TracesError::Setting("traces.headers"))?;
        let timeout = Duration::from_millis(config.timeout_ms);
        Ok(Self { target, address: (host, port), tls, headers, timeout })
    }

    /// Sends one call; how many of its spans were refused.
    async fn call(&self, body: Bytes) -> Result<u64, CallError> {
        let called = tokio::time::timeout(self.timeout, self.connect_and_send(body)).await;
        called.unwrap_or(Err(CallError::TimedOut))
    }

    async fn connect_and_send(&self, body: Bytes) -> Result<u64, CallError> {
        let (host, port) = &self.address;
        let stream =
            TcpStream::connect((host.as_str(), *port)).await.map_err(CallError::Connect)?;
        match &self.tls {
            None => self.send(stream, body).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                self.send(stream.map_err(CallError::Connect)?, body).await
            }
        }
    }

    async fn send<S>(&self, stream: S, body: Bytes) -> Result<u64, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(self.request(body)).await?;
            let status = answer.status();
            if !status.is_success() {
                return Err(CallError::Status(status));
            }
            let limited = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = limited.map_err(|_| CallError::Answer)?.to_bytes();
            // An answer that cannot be read is that of a collector that took them.
            let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
            let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
            Ok(u64::try_from(refused).unwrap_or(0))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            // The connection is done when it has read the answer, which may still have to be taken in.
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.into()),
            },
        }
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        if let Some(path) = self.target.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("flux-gate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(host) = self.target.authority().and_then(|host| host.as_str().parse().ok()) {
            headers.insert(HOST, host);
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        request
    }
}

fn connector(config: &Traces) -> Result<TlsConnector, TracesError> {
    let mut roots = rustls::RootCertStore::empty();
    match &config.ca_file {
        Some(path) => {
            let unusable =
                |reason: String| TracesError::Certificates { path: path.clone(), reason };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
        }
        // One of the system's many that cannot be read is no reason to do without the others.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
