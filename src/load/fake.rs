//! A server for the tests of the load generator: it speaks just as much of the contract as they need, and
//! breaks it where a test asks for that. It shares nothing with the real one but the contract.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use ::http::{HeaderMap, Request, Response};
use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::sessions::Credentials;
use super::shot::sign;
use crate::clock::Clock;
use crate::sale::OrderId;

/// How the fake departs from the contract.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Every so many-th order call is answered 503 before anything else; 0 is never.
    pub busy_every: u64,
    /// Sells one unit more than there is.
    pub oversells: bool,
    /// Forgets the first order that it accepted.
    pub loses_one: bool,
    /// Believes every signature.
    pub believes: bool,
    /// Its clock's lead, in milliseconds.
    pub clock_ahead_ms: u64,
}

pub const SECRET: &str = "the secret of the fake's only client";

#[derive(Default)]
struct State {
    capacity: usize,
    calls: u64,
    orders: Vec<(String, String)>,
    by_attempt: HashMap<(String, String), String>,
    peers: HashMap<IpAddr, u64>,
}

/// A running fake; it ends with the test process.
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub fn start(capacity: usize, faults: Faults) -> Self {
        let state = Arc::new(Mutex::new(State { capacity, ..State::default() }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            LocalSet::new().block_on(&runtime.unwrap(), serve(listener, shared, faults));
        });
        Self { address, state }
    }

    pub fn credentials() -> Arc<Credentials> {
        Arc::new(Credentials::new("shop", SECRET))
    }

    /// How many addresses have sent orders.
    pub fn peers(&self) -> Vec<IpAddr> {
        self.state.lock().peers.keys().copied().collect()
    }
}

async fn serve(listener: std::net::TcpListener, state: Arc<Mutex<State>>, faults: Faults) {
    let listener = TcpListener::from_std(listener).unwrap();
    let clock = Rc::new(Clock::system());
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let (state, clock) = (state.clone(), clock.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (state, clock) = (state.clone(), clock.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let now_ms = clock.unix_ms() + faults.clock_ahead_ms;
                let call = Call {
                    path: parts.uri.path().to_owned(),
                    headers: parts.headers,
                    body,
                    now_ms,
                    peer: peer.ip(),
                };
                let (status, body) = call.answer(&mut state.lock(), faults);
                let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
                *response.status_mut() = status.try_into().unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        tokio::task::spawn_local(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Call {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    now_ms: u64,
    peer: IpAddr,
}

fn problem(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"type": "about:blank", "status": status, "code": code}))
}

/// The session key of a pass: the fake derives it as simply as it can.
fn session_key(pass: &str) -> String {
    format!("key-of-{pass}")
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn answer(&self, state: &mut State, faults: Faults) -> (u16, Value) {
        match self.path.as_str() {
            "/order" => self.order(state, faults),
            "/session" => self.session(),
            "/admin/orders" => {
                let kept = state.orders.iter().skip(usize::from(faults.loses_one));
                let orders: Vec<Value> = kept
                    .map(|(id, user)| {
                        let buyer = format!("{:032x}", u128::from(hash(user)));
                        json!({"orderId": id, "buyer": buyer, "status": "confirmed"})
                    })
                    .collect();
                (200, json!({"orders": orders, "next": null}))
            }
            _ => {
                let sold = state.orders.len();
                (
                    200,
                    json!({"capacity": state.capacity, "sold": sold, "pending": 0, "perBuyerLimit": 1}),
                )
            }
        }
    }

    fn session(&self) -> (u16, Value) {
        if !self.is_signed(SECRET) {
            return problem(401, "invalid_signature");
        }
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let pass = format!("pass-{}", body["userId"].as_str().unwrap());
        let (key, now) = (session_key(&pass), self.now_ms);
        (
            200,
            json!({"pass": pass, "sessionKey": key, "serverTime": now, "expiresAt": now + 900_000}),
        )
    }

    fn is_signed(&self, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let (time, id) = (self.header("x-request-time"), self.header("x-idempotency-key"));
        let expected = sign("POST", &self.path, &self.body, time.as_bytes(), id.as_bytes(), &key);
        self.header("x-signature").as_bytes() == expected
    }

    fn order(&self, state: &mut State, faults: Faults) -> (u16, Value) {
        state.calls += 1;
        *state.peers.entry(self.peer).or_default() += 1;
        if faults.busy_every > 0 && state.calls.is_multiple_of(faults.busy_every) {
            return problem(503, "busy");
        }
        let pass = self.header("authorization").strip_prefix("Bearer ");
        let secret = pass.map_or(SECRET.to_owned(), session_key);
        let time_ms: u64 = self.header("x-request-time").parse().unwrap();
        if time_ms.abs_diff(self.now_ms) > 30_000 {
            let (status, mut body) = problem(400, "request_expired");
            body["serverTime"] = self.now_ms.into();
            return (status, body);
        }
        if !self.is_signed(&secret) && !faults.believes {
            return problem(401, "invalid_signature");
        }
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let user = body["userId"].as_str().unwrap().to_owned();
        if pass.is_some_and(|pass| pass != format!("pass-{user}")) {
            return problem(403, "forbidden");
        }
        self.decide(state, faults, user)
    }

    fn decide(&self, state: &mut State, faults: Faults, user: String) -> (u16, Value) {
        let attempt = (user.clone(), self.header("x-idempotency-key").to_owned());
        if let Some(id) = state.by_attempt.get(&attempt) {
            return (200, json!({"status": "ignored", "reason": "same_key", "orderId": id}));
        }
        if state.orders.iter().any(|(_, owner)| *owner == user) {
            return (409, json!({"status": "limit_reached"}));
        }
        if state.orders.len() >= state.capacity + usize::from(faults.oversells) {
            return (409, json!({"status": "sold_out", "msg": "Inventory empty"}));
        }
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&(state.orders.len() as u64).to_be_bytes());
        let id = OrderId::from_random_bytes(bytes).to_string();
        state.orders.push((id.clone(), user));
        state.by_attempt.insert(attempt, id.clone());
        (200, json!({"status": "success", "msg": "Order accepted", "orderId": id}))
    }
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(5_381, |sum, byte| sum.wrapping_mul(33) ^ u64::from(byte))
}
