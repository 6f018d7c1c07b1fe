//! Cross-origin calls (the Fetch standard's CORS protocol), for the origins in `http.cors_origins`.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, StatusCode};

use super::code::Code;
use super::reply::{self, Coded, Reply};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, x-challenge, x-device-fingerprint, \
     x-idempotency-key, x-page-signals, x-request-id, x-request-time, x-signature, traceparent, tracestate",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "idempotency-replayed, location, ratelimit, ratelimit-policy, retry-after, x-request-id",
);
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// The origins that browsers may call from.
#[derive(Debug)]
pub struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    /// Takes the configured origins; `*` is any.
    pub fn new(origins: &[String]) -> Self {
        Self { any: origins.iter().any(|origin| origin == "*"), origins: origins.to_vec() }
    }

    /// The value of `Access-Control-Allow-Origin` for a request, if its origin may call.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if !self.any && self.origins.is_empty() {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let listed = self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        listed.then(|| origin.clone())
    }

    /// Whether a request is a preflight.
    pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a preflight; whether the origin may call is in its headers.
    pub fn preflight() -> Coded {
        reply::empty(Code::Ok, StatusCode::NO_CONTENT)
            .with(ACCESS_CONTROL_ALLOW_METHODS, METHODS)
            .with(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
            .with(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS)
    }

    /// Lets the origin read the answer.
    pub fn open(reply: &mut Reply, origin: HeaderValue) {
        let headers = reply.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}
