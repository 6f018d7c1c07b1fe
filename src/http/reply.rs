//! Answers on the wire: JSON bodies and `application/problem+json` (RFC 9457).
//!
//! What does not differ from request to request is built once: the bodies of refusals without particulars
//! and the values of headers.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;
use tokio::sync::mpsc;

use super::code::{Code, Meaning};
use crate::guard::RateStatus;
use crate::guard::challenge::Challenge;

/// An answer of the public listener.
pub type Reply = Response<Payload>;

/// The body of an answer: whole, but for a stream of events.
#[derive(Debug)]
pub enum Payload {
    /// All of it.
    Whole(Full<Bytes>),
    /// One frame after the other.
    Events(Frames),
}

impl Default for Payload {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Self::Events(frames) => {
                frames.0.poll_recv(cx).map(|frame| frame.map(|frame| Ok(Frame::data(frame))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// The frames of one who looks, as they come; whatever is kept for them is let go when they hang up.
#[derive(Debug)]
pub struct Frames(pub mpsc::Receiver<Bytes>, pub Box<dyn Kept>);

/// What is kept for as long as somebody looks.
pub trait Kept: std::fmt::Debug + Send {}

/// Nothing.
impl Kept for () {}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// `RateLimit` of draft-ietf-httpapi-ratelimit-headers.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy` of the same draft.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// An answer with its code, so that whoever sends it can count it.
#[derive(Debug)]
pub struct Coded {
    /// Its code.
    pub code: Code,
    /// What is sent.
    pub reply: Reply,
}

impl Coded {
    /// Sets a header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.reply.headers_mut().insert(name, value);
        self
    }

    /// Says that this answers a repetition (`Idempotency-Replayed: true`).
    #[must_use]
    pub fn replayed(self) -> Self {
        self.with(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"))
    }

    /// Says that no cache may keep it: it is one person's, or holds a secret.
    #[must_use]
    pub fn not_stored(self) -> Self {
        self.with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Sets `Retry-After` to whole seconds, at least 1.
    #[must_use]
    pub fn retry_after_us(self, after_us: u64) -> Self {
        let seconds = after_us.div_ceil(1_000_000).max(1);
        self.with(RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl axum::response::IntoResponse for Coded {
    fn into_response(self) -> axum::response::Response {
        self.reply.map(axum::body::Body::new)
    }
}

/// A JSON answer with the status of its code.
pub fn json(code: Code, body: impl Into<Bytes>) -> Coded {
    respond(code, code.meaning().status, JSON, body.into())
}

/// A JSON answer of a value.
pub fn json_value(code: Code, value: &impl Serialize) -> Coded {
    json(code, serde_json::to_vec(value).unwrap_or_default())
}

/// An answer without a body.
pub fn empty(code: Code, status: StatusCode) -> Coded {
    let mut reply = Response::new(Payload::default());
    *reply.status_mut() = status;
    Coded { code, reply }
}

/// An answer of any kind.
pub fn respond(code: Code, status: StatusCode, content_type: HeaderValue, body: Bytes) -> Coded {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CONTENT_TYPE, content_type);
    let mut reply = Response::new(Payload::from(body));
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    Coded { code, reply }
}

/// What a problem says beyond its code.
#[derive(Debug, Default, Serialize)]
pub struct Particulars<'a> {
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub details: &'a [FieldProblem<'a>],
    /// The server's time, Unix milliseconds.
    #[serde(rename = "serverTime", skip_serializing_if = "Option::is_none")]
    pub server_time_ms: Option<u64>,
    /// The order in question.
    #[serde(rename = "orderId", skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Where to wait.
    #[serde(rename = "waitingRoom", skip_serializing_if = "Option::is_none")]
    pub waiting_room: Option<String>,
    /// Who makes challenges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'static str>,
    /// The key of the page at a service of challenges.
    #[serde(rename = "siteKey", skip_serializing_if = "Option::is_none")]
    pub site_key: Option<&'a str>,
    /// A challenge of our own, as the widget takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<&'a Challenge>,
}

/// What is wrong with one field. Never holds the value that was sent.
#[derive(Debug, Clone, Serialize)]
pub struct FieldProblem<'a> {
    /// Its name.
    pub field: &'a str,
    /// What is wrong.
    pub message: &'a str,
}

/// A problem, as it is written.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    retry: &'a str,
    error: &'a str,
    #[serde(flatten)]
    particulars: &'a Particulars<'a>,
}

/// The body of a problem.
pub fn problem_body(code: Code, particulars: &Particulars<'_>) -> Bytes {
    let Meaning { status, word, phrase, retry } = code.meaning();
    let kind = format!("urn:flux-gate:problem:{word}");
    let problem = Problem {
        kind: &kind,
        title: phrase,
        status: status.as_u16(),
        code: word,
        retry: retry.word(),
        error: phrase,
        particulars,
    };
    serde_json::to_vec(&problem).unwrap_or_default().into()
}

/// A problem with particulars of its own.
pub fn problem(code: Code, particulars: &Particulars<'_>) -> Coded {
    respond(code, code.meaning().status, PROBLEM_JSON, problem_body(code, particulars))
}

/// A problem with a sentence on what is wrong.
pub fn problem_because(code: Code, detail: &str) -> Coded {
    problem(code, &Particulars { detail: Some(detail), ..Particulars::default() })
}

/// What is always the same, built once a thread.
#[derive(Debug)]
pub struct Prepared {
    problems: Vec<Bytes>,
    /// The policies seen lately, at most [`POLICIES_MAX`].
    policies: RefCell<Vec<(Policy, HeaderValue)>>,
}

/// A policy's name, quota and window in seconds.
type Policy = (&'static str, u32, u64);

/// Policies whose header is kept: the kinds of limits, each with room for some live changes.
const POLICIES_MAX: usize = 64;

impl Default for Prepared {
    fn default() -> Self {
        let problems = Code::ALL.map(|code| problem_body(code, &Particulars::default())).into();
        Self { problems, policies: RefCell::default() }
    }
}

impl Prepared {
    /// A problem without particulars.
    pub fn problem(&self, code: Code) -> Coded {
        respond(code, code.meaning().status, PROBLEM_JSON, self.problems[code as usize].clone())
    }

    /// Adds `RateLimit` and `RateLimit-Policy`.
    pub fn with_rate(&self, coded: Coded, rate: Option<&RateStatus>) -> Coded {
        let Some(rate) = rate else { return coded };
        coded.with(RATE_LIMIT_POLICY, self.policy(rate)).with(RATE_LIMIT, limit(rate))
    }

    fn policy(&self, rate: &RateStatus) -> HeaderValue {
        let key = (rate.policy, rate.quota, rate.window_seconds);
        let mut policies = self.policies.borrow_mut();
        if let Some((_, value)) = policies.iter().find(|(known, _)| *known == key) {
            return value.clone();
        }
        let (policy, quota, window_seconds) = key;
        let value = text(format_args!("\"{policy}\";q={quota};w={window_seconds}"));
        if policies.len() >= POLICIES_MAX {
            policies.clear();
        }
        policies.push((key, value.clone()));
        value
    }
}

fn limit(rate: &RateStatus) -> HeaderValue {
    let RateStatus { policy, remaining, reset_seconds, .. } = rate;
    text(format_args!("\"{policy}\";r={remaining};t={reset_seconds}"))
}

fn text(arguments: std::fmt::Arguments<'_>) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(arguments.to_string()))
        .expect("names of policies and numbers are visible ASCII")
}
