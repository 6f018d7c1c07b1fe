//! The public listener: its routes, on one page, and the way of every request.
//!
//! `POST /order` is matched before anything else. The order of the checks is the contract, so there are no
//! layers here: [`respond`] reads the request, a handler answers, the answer is counted and sent.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{ALLOW, CONNECTION, HeaderValue};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::code::Code;
use super::cors::Cors;
use super::counters::Counters;
use super::reply::{self, Coded, Prepared, Reply};
use super::shared::Shared;
use super::{challenge, docs, health, keys, orders, products, refused, room, session, spans};
use crate::audit::Recorder;
use crate::evidence::{self, Evidence};
use crate::guard::{Now, PassCache, Request};
use crate::place_order::Node;
use crate::trace::Requests;

/// What the requests of one thread share.
pub struct PublicThread {
    /// The parts of the node.
    pub shared: Arc<Shared>,
    /// This thread's way to gate and log.
    pub node: Node,
    /// Passes that were verified on this thread.
    pub passes: RefCell<PassCache>,
    /// Answers built once.
    pub prepared: Prepared,
    /// The ids and traces of this thread's requests.
    pub requests: Requests,
    /// What this thread counts.
    pub counters: Arc<Counters>,
    /// This thread's way to the audit trail.
    pub recorder: Recorder,
    /// This thread's way to the evidence, unless that is off.
    pub evidence: Option<evidence::Recorder>,
    cors: Cors,
    under_way: Cell<usize>,
    under_way_max: usize,
}

/// One request, read to its end within the limits. Borrows its head: on the hot path nothing is copied.
pub struct Received<'a> {
    head: &'a Parts,
    body: Bytes,
    peer: IpAddr,
}

impl Received<'_> {
    /// What the guard looks at.
    pub fn view(&self) -> Request<'_> {
        Request {
            method: &self.head.method,
            target: self.target(),
            headers: &self.head.headers,
            body: &self.body,
            peer: self.peer,
        }
    }

    /// The path with its query, as sent.
    fn target(&self) -> &str {
        self.head.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// What is called.
    pub fn uri(&self) -> &http::Uri {
        &self.head.uri
    }

    /// The query, without its question mark.
    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The headers.
    pub fn headers(&self) -> &http::HeaderMap {
        &self.head.headers
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl PublicThread {
    /// Joins what a thread needs; `index` is its number.
    pub fn new(shared: Arc<Shared>, node: Node, passes: PassCache, index: usize) -> Self {
        let http = &shared.config.http;
        Self {
            counters: shared.counters[index].clone(),
            cors: Cors::new(&http.cors_origins),
            under_way: Cell::new(0),
            under_way_max: http.attempts_max.div_ceil(shared.counters.len()).max(1),
            prepared: Prepared::default(),
            recorder: shared.audit.recorder(),
            evidence: shared.evidence.as_ref().and_then(Evidence::recorder),
            requests: Requests::new(shared.tracer.clone(), shared.random_16()),
            passes: RefCell::new(passes),
            shared,
            node,
        }
    }

    /// The time, by both clocks.
    pub fn now(&self) -> Now {
        let clock = self.node.clock();
        Now { unix_ms: clock.unix_ms(), monotonic_us: clock.monotonic_us() }
    }
}

/// Answers one request of `peer`.
pub fn respond(
    thread: Rc<PublicThread>,
    peer: IpAddr,
    request: http::Request<Incoming>,
) -> impl Future<Output = Reply> {
    let scope = thread.requests.begin(request.headers(), || spans::name(&request));
    // Boxed: the future would be moved as a whole into each one around it, which costs more than this allocation.
    scope.run(Box::pin(answer(thread, peer, request)))
}

async fn answer(thread: Rc<PublicThread>, peer: IpAddr, request: http::Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let Coded { code, mut reply } = handle(&thread, peer, &head, body).await;
    thread.counters.count(code);
    spans::answered(&head.method, &mut reply, Some(code));
    if let Some(origin) = thread.cors.allowed(&head.headers) {
        Cors::open(&mut reply, origin);
    }
    // HTTP/2 has a message of its own for this.
    if thread.shared.is_stopping() && head.version < http::Version::HTTP_2 {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

async fn handle(thread: &Rc<PublicThread>, peer: IpAddr, head: &Parts, body: Incoming) -> Coded {
    if Cors::is_preflight(&head.method, &head.headers) {
        return Cors::preflight();
    }
    let body = match receive(thread, head, body).await {
        Ok(body) => body,
        Err(code) => return thread.prepared.problem(code),
    };
    // Only now: a body that trickles in holds its connection, not a place that others wait for.
    let Some(_under_way) = UnderWay::enter(thread) else {
        return thread.prepared.problem(Code::Overloaded).retry_after_us(1_000_000);
    };
    let received = Received { head, body, peer };
    if head.method == Method::POST && received.target() == "/order" {
        return orders::place(thread, &received).await;
    }
    // Apart from orders: a request's future is moved as a whole, so the path of an order stays small.
    Box::pin(route(thread, &received)).await
}

/// The whole route table of the public listener.
async fn route(thread: &Rc<PublicThread>, received: &Received<'_>) -> Coded {
    let path = received.head.uri.path();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (received.head.method.as_str(), segments.as_slice()) {
        ("POST", ["order"]) => orders::place(thread, received).await,
        ("POST", ["session"]) => session::open(thread, received).not_stored(),
        ("GET", ["orders"]) => orders::feed(thread, received).await.not_stored(),
        ("GET", ["orders", id]) => orders::show(thread, received, id).await.not_stored(),
        ("POST", ["orders", id, "cancel"]) => orders::cancel(thread, received, id).await,
        ("GET", ["products", id]) => products::show(thread, received, id),
        ("GET", ["challenge"]) => challenge::show(thread, received).not_stored(),
        ("GET", ["challenge.js"]) => challenge::script(),
        ("GET", ["livez"]) => health::livez(),
        ("GET", ["readyz"]) => health::readyz(&thread.shared),
        ("GET", ["openapi.json"]) => {
            description(thread, received, || reply::json(Code::Ok, super::openapi::json()))
        }
        ("GET", ["docs"]) => description(thread, received, docs::page),
        ("GET", [".well-known", "flux-gate-keys.json"]) => keys::show(thread, received),
        (method, ["waiting-room", rest @ ..]) => room::route(thread, received, method, rest).await,
        (_, ["order" | "session"]) | (_, ["orders", _, "cancel"]) => other_method(thread, "POST"),
        (_, ["orders" | "challenge" | "challenge.js"])
        | (_, ["livez" | "readyz" | "openapi.json" | "docs"])
        | (_, ["orders" | "products", _])
        | (_, [".well-known", "flux-gate-keys.json"]) => other_method(thread, "GET"),
        _ => thread.prepared.problem(Code::NotFound),
    }
}

/// The documents are large, so who asks for them again and again is limited like everybody else.
fn description(
    thread: &PublicThread,
    received: &Received<'_>,
    document: impl FnOnce() -> Coded,
) -> Coded {
    refused::anyone(thread, received).map_or_else(|refusal| refusal, |()| document())
}

pub(super) fn other_method(thread: &PublicThread, allowed: &'static str) -> Coded {
    let problem = thread.prepared.problem(Code::MethodNotAllowed);
    problem.with(ALLOW, HeaderValue::from_static(allowed))
}

/// Check 1: reads the body within the limits of headers, body and time.
async fn receive(thread: &PublicThread, head: &Parts, body: Incoming) -> Result<Bytes, Code> {
    let limits = &thread.shared.config.http;
    if head.headers.len() > limits.headers_max {
        return Err(Code::HeadersTooLarge);
    }
    let mut body = pin!(read_body(body, limits.body_bytes_max));
    // A body mostly comes in one piece with its headers; only one that does not needs a timer.
    match poll_once(body.as_mut()).await {
        Some(body) => body,
        None => {
            let timeout = Duration::from_millis(limits.body_timeout_ms);
            tokio::time::timeout(timeout, body).await.unwrap_or(Err(Code::BodyTimeout))
        }
    }
}

/// What is read and thrown away of a body that is too large, in bytes: to close with bytes unread resets the
/// connection, and the client may never see why it was refused.
const DISCARDED_BYTES_MAX: u64 = 64 * 1_024;

async fn read_body(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Code> {
    let read = collect(&mut body, bytes_max).await;
    if let Err(Code::BodyTooLarge) = read {
        discard(&mut body).await;
    }
    read
}

async fn discard(body: &mut Incoming) {
    let mut discarded_bytes = 0;
    while body.size_hint().lower().saturating_add(discarded_bytes) <= DISCARDED_BYTES_MAX {
        let Some(Ok(frame)) = body.frame().await else { break };
        discarded_bytes += frame.data_ref().map_or(1, |data| data.len() as u64);
    }
}

async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Code> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Code::BodyTooLarge);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Code::BodyBroken)?.into_data() else {
            continue; // trailers
        };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(Code::BodyTooLarge);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first.as_ref());
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// A request's place among those under way on its thread.
struct UnderWay(Rc<PublicThread>);

impl UnderWay {
    fn enter(thread: &Rc<PublicThread>) -> Option<Self> {
        let now = thread.under_way.get();
        if now >= thread.under_way_max {
            return None;
        }
        thread.under_way.set(now + 1);
        Some(Self(thread.clone()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request's future is moved as a whole into its box: at 17 KiB its moves were a tenth of a refusal's time.
    const FUTURE_BYTES_MAX: usize = 2_304;

    fn bytes_of<F: Future>(
        _: impl FnOnce(Rc<PublicThread>, IpAddr, http::Request<Incoming>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_request_is_small() {
        let bytes = bytes_of(answer);
        assert!(bytes <= FUTURE_BYTES_MAX, "{bytes} bytes: box what an order rarely waits for");
    }
}
