//! What a request's span says, and the request's id in its answer.

use http::header::HeaderValue;
use http::{Method, Request, Response};

use super::code::Code;
use crate::telemetry::request;
use crate::trace::{self, REQUEST_ID};

/// The name of the span of a call of the public listener: its method and its route, never what a caller put
/// into the path.
pub fn name<B>(request: &Request<B>) -> &'static str {
    let path = request.uri().path();
    let mut segments = path.split('/').skip(1);
    let segments = [segments.next(), segments.next(), segments.next(), segments.next()];
    match (request.method().as_str(), segments) {
        ("POST", [Some("order"), None, ..]) => "POST /order",
        ("POST", [Some("session"), None, ..]) => "POST /session",
        ("GET", [Some("orders"), None, ..]) => "GET /orders",
        ("GET", [Some("orders"), Some(_), None, _]) => "GET /orders/{orderId}",
        ("POST", [Some("orders"), Some(_), Some("cancel"), None]) => {
            "POST /orders/{orderId}/cancel"
        }
        ("GET", [Some("products"), Some(_), None, _]) => "GET /products/{productId}",
        ("GET", [Some("challenge"), None, ..]) => "GET /challenge",
        ("GET", [Some("challenge.js"), None, ..]) => "GET /challenge.js",
        ("GET", [Some(".well-known"), Some("flux-gate-keys.json"), None, _]) => {
            "GET /.well-known/flux-gate-keys.json"
        }
        (method, [Some("waiting-room"), call, None, _]) => of_room(method, call),
        ("GET", [Some("livez"), None, ..]) => "GET /livez",
        ("GET", [Some("readyz"), None, ..]) => "GET /readyz",
        ("GET", [Some("openapi.json"), None, ..]) => "GET /openapi.json",
        ("GET", [Some("docs"), None, ..]) => "GET /docs",
        _ => "other",
    }
}

/// The same of a call of the waiting room; its files are all one.
fn of_room(method: &str, call: Option<&str>) -> &'static str {
    match (method, call) {
        ("GET", None) => "GET /waiting-room",
        ("POST", Some("ticket")) => "POST /waiting-room/ticket",
        ("GET", Some("state")) => "GET /waiting-room/state",
        ("POST", Some("admission")) => "POST /waiting-room/admission",
        ("GET", Some("events")) => "GET /waiting-room/events",
        ("GET", Some("draw")) => "GET /waiting-room/draw",
        ("GET", Some("entrants")) => "GET /waiting-room/entrants",
        ("POST", Some("enter")) => "POST /waiting-room/enter",
        ("POST", Some("buy")) => "POST /waiting-room/buy",
        ("GET", Some(_)) => "GET /waiting-room/{file}",
        _ => "other",
    }
}

/// The name of the span of an operator's call.
pub fn operator_name() -> &'static str {
    "operator"
}

/// Notes what was answered, and says in the answer which request it answers.
pub fn answered<B>(method: &Method, reply: &mut Response<B>, code: Option<Code>) {
    let status = reply.status();
    trace::note("http.request.method", || word(method));
    trace::note("http.response.status_code", || u64::from(status.as_u16()));
    if let Some(code) = code {
        trace::note("flux_gate.outcome", || code.meaning().word);
    }
    if status.is_server_error() {
        trace::failed();
    }
    let id = request::current().map(|ids| HeaderValue::from_bytes(ids.request.as_bytes()));
    if let Some(Ok(id)) = id {
        reply.headers_mut().insert(&REQUEST_ID, id);
    }
}

/// The method as a word; those that callers make up are all one.
fn word(method: &Method) -> &'static str {
    let known = [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT];
    match known.iter().position(|known| known == method) {
        Some(0) => "GET",
        Some(1) => "POST",
        Some(2) => "HEAD",
        Some(3) => "OPTIONS",
        Some(4) => "PUT",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_nothing_of_the_callers() {
        for (method, target, expected) in [
            ("POST", "/order", "POST /order"),
            ("GET", "/orders?after=3", "GET /orders"),
            ("GET", "/orders/alice", "GET /orders/{orderId}"),
            ("POST", "/orders/alice/cancel", "POST /orders/{orderId}/cancel"),
            ("GET", "/products/alice", "GET /products/{productId}"),
            ("GET", "/waiting-room?product=alice", "GET /waiting-room"),
            ("GET", "/waiting-room/alice", "GET /waiting-room/{file}"),
            ("POST", "/waiting-room/alice", "other"),
            ("GET", "/waiting-room/alice/alice", "other"),
            ("GET", "/.well-known/alice", "other"),
            ("GET", "/orders/alice/cancel/alice", "other"),
            ("GET", "/alice", "other"),
            ("ALICE", "/order", "other"),
        ] {
            let request = Request::builder().method(method).uri(target).body(()).unwrap();
            assert_eq!(name(&request), expected, "{method} {target}");
        }
        assert_eq!(word(&Method::from_bytes(b"ALICE").unwrap()), "_OTHER");
    }
}
