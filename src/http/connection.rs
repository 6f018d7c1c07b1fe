//! One connection: its TLS, its protocol and its deadlines.
//!
//! Deadlines are kept without a timer a request: the connection notes what it is doing in a [`Watch`], and
//! a sweep a few times a second ends those that have been at it for too long. So an idle connection, one
//! that sends its headers a byte at a time and one that never reads its answers each cost only memory, and
//! that not for long.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::config;

/// Time between two sweeps over a thread's connections, in milliseconds.
const SWEEP_INTERVAL_MS: u64 = 250;
/// What a client that is too slow with its headers is told.
const HEADER_TIMEOUT_ANSWER: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// What a connection beyond the limit is told.
pub const SHED_ANSWER: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// What a connection is doing, since when (monotonic microseconds, to the last sweep).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Handshake,
    Idle,
    Headers,
    Request,
}

/// Why a connection is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    AfterRequest,
    Now,
}

/// What is known of one connection.
#[derive(Debug)]
pub struct Watch {
    doing: Cell<Doing>,
    since_us: Cell<u64>,
    requests: Cell<u32>,
    ending: Cell<Ending>,
    changed: Notify,
    now_us: Rc<Cell<u64>>,
}

impl Watch {
    fn set(&self, doing: Doing) {
        self.doing.set(doing);
        self.since_us.set(self.now_us.get());
    }

    fn end(&self, ending: Ending) {
        if self.ending.get() != Ending::Now {
            self.ending.set(ending);
            self.changed.notify_one();
        }
    }

    /// Marks a request as under way until the guard is dropped.
    pub fn request(self: &Rc<Self>) -> RequestUnderWay {
        self.requests.set(self.requests.get() + 1);
        self.set(Doing::Request);
        RequestUnderWay(self.clone())
    }
}

/// See [`Watch::request`].
pub struct RequestUnderWay(Rc<Watch>);

impl RequestUnderWay {
    /// Lets a streamed answer go on while its client takes it: each piece counts as a sign of life. Of an
    /// answer that is not streamed this is the end.
    pub fn through<B>(self, reply: Response<B>) -> Response<Streamed<B>> {
        let watch = self.0.clone();
        reply.map(|body| Streamed { body, watch })
    }
}

/// A body whose pieces put off the end of an idle connection.
pub struct Streamed<B> {
    body: B,
    watch: Rc<Watch>,
}

impl<B: Body + Unpin> Body for Streamed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() && self.watch.requests.get() == 0 {
            self.watch.since_us.set(self.watch.now_us.get());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        let left = self.0.requests.get() - 1;
        self.0.requests.set(left);
        if left == 0 {
            self.0.set(Doing::Idle);
        }
    }
}

/// The connections of one thread.
#[derive(Debug)]
pub struct Connections {
    open: RefCell<Slab<Rc<Watch>>>,
    now_us: Rc<Cell<u64>>,
    draining: Cell<bool>,
    header_timeout_us: u64,
    idle_timeout_us: u64,
}

impl Connections {
    /// None yet; the deadlines come from `limits`.
    pub fn new(limits: &config::Http) -> Rc<Self> {
        Rc::new(Self {
            open: RefCell::default(),
            now_us: Rc::default(),
            draining: Cell::new(false),
            header_timeout_us: limits.header_timeout_ms * 1_000,
            idle_timeout_us: limits.idle_timeout_ms * 1_000,
        })
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends connections past their deadline, for ever.
    pub async fn sweep(self: Rc<Self>, clock: Clock) {
        let mut interval = tokio::time::interval(Duration::from_millis(SWEEP_INTERVAL_MS));
        loop {
            interval.tick().await;
            self.now_us.set(clock.monotonic_us());
            for (_, watch) in self.open.borrow().iter() {
                let limit_us = match watch.doing.get() {
                    Doing::Handshake | Doing::Headers => self.header_timeout_us,
                    Doing::Idle => self.idle_timeout_us,
                    // A request has its own deadlines.
                    Doing::Request => continue,
                };
                if self.now_us.get().saturating_sub(watch.since_us.get()) > limit_us {
                    watch.end(Ending::Now);
                }
            }
        }
    }

    /// Lets requests under way end and takes no more on any connection.
    pub fn drain(&self) {
        self.draining.set(true);
        for (_, watch) in self.open.borrow().iter() {
            watch.end(Ending::AfterRequest);
        }
    }

    fn enter(self: &Rc<Self>) -> Entered {
        let watch = Rc::new(Watch {
            doing: Cell::new(Doing::Handshake),
            since_us: Cell::new(self.now_us.get()),
            requests: Cell::new(0),
            ending: Cell::new(Ending::No),
            changed: Notify::new(),
            now_us: self.now_us.clone(),
        });
        if self.draining.get() {
            watch.end(Ending::AfterRequest);
        }
        let key = self.open.borrow_mut().insert(watch.clone());
        Entered { watch, key, connections: self.clone() }
    }
}

struct Entered {
    watch: Rc<Watch>,
    key: usize,
    connections: Rc<Connections>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(self.key);
    }
}

/// Serves one connection to its end. `make` is handed the connection's watch and gives its service.
pub async fn serve<S, B, F>(
    connections: Rc<Connections>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    limits: &config::Http,
    make: F,
) where
    F: FnOnce(Rc<Watch>) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let entered = connections.enter();
    let watch = &entered.watch;
    // Answers are small and complete: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let service = make(watch.clone());
    match tls {
        None => {
            watch.set(Doing::Headers);
            serve_http1(watch, Watched::new(stream, watch), limits, service).await;
        }
        Some(acceptor) => {
            let handshake = tokio::select! {
                done = acceptor.accept(stream) => done,
                () = watch.changed.notified() => return,
            };
            let Ok(stream) = handshake else { return };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            watch.set(Doing::Headers);
            if http2 {
                serve_http2(watch, Watched::of_http2(stream, watch), limits, service).await;
            } else {
                serve_http1(watch, Watched::new(stream, watch), limits, service).await;
            }
        }
    }
}

async fn serve_http1<T, S, B>(
    watch: &Rc<Watch>,
    stream: Watched<T>,
    limits: &config::Http,
    service: S,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None) // the sweep's business
        .max_buf_size(limits.header_bytes_max)
        .writev(false) // answers are small: one copy costs less than a second piece
        .serve_connection(TokioIo::new(stream), service);
    loop {
        tokio::select! {
            biased;
            _ended = &mut connection => return,
            () = watch.changed.notified() => {}
        }
        match watch.ending.get() {
            Ending::No => {}
            Ending::AfterRequest => Pin::new(&mut connection).graceful_shutdown(),
            Ending::Now => break,
        }
    }
    if watch.doing.get() == Doing::Headers {
        let mut stream = connection.into_parts().io.into_inner();
        let goodbye = stream.write_all(HEADER_TIMEOUT_ANSWER);
        let _ = tokio::time::timeout(Duration::from_millis(SWEEP_INTERVAL_MS), goodbye).await;
    }
}

async fn serve_http2<T, S, B>(
    watch: &Rc<Watch>,
    stream: Watched<T>,
    limits: &config::Http,
    service: S,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_millis(limits.idle_timeout_ms))
        .keep_alive_timeout(Duration::from_millis(limits.header_timeout_ms));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            biased;
            _ended = connection.as_mut() => return,
            () = watch.changed.notified() => {}
        }
        match watch.ending.get() {
            Ending::No => {}
            Ending::AfterRequest => connection.as_mut().graceful_shutdown(),
            Ending::Now => return,
        }
    }
}

/// Runs the tasks of HTTP/2 streams on the thread of their connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// A stream that notes the first bytes of a request.
///
/// Bytes of HTTP/2 need not be a request's: settings, windows and pings come on a connection that is idle, and it
/// stays so. Headers that trickle in there do not put off the end of an idle connection, so they have that long.
struct Watched<T> {
    inner: T,
    watch: Rc<Watch>,
    notes_headers: bool,
}

impl<T> Watched<T> {
    fn new(inner: T, watch: &Rc<Watch>) -> Self {
        Self { inner, watch: watch.clone(), notes_headers: true }
    }

    fn of_http2(inner: T, watch: &Rc<Watch>) -> Self {
        Self { notes_headers: false, ..Self::new(inner, watch) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let idle = self.notes_headers && self.watch.doing.get() == Doing::Idle;
        if result.is_ready() && idle && !buf.filled().is_empty() {
            self.watch.set(Doing::Headers);
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
