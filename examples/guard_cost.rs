//! What one guarded order costs, in nanoseconds of one core: `cargo run --release --example guard_cost`.
//!
//! Each case is run in rounds; printed are the processor time of an order over all rounds (Linux; it does
//! not count the time that other programs take) and the median and least wall-clock time. The clock that the guard sees
//! moves on by the buyer's interval with every order, so that all pass and every limit is charged.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::hmac;
use flux_gate::config::{self, Config};
use flux_gate::guard::{Guard, Now, PassKeys, Request};
use flux_gate::keys::IdentityKeys;
use flux_gate::signing::SignedParts;
use http::{HeaderMap, HeaderValue, Method};

const SECRET: &str = "client-secret-0123456789";
const START_MS: u64 = 1_800_000_000_000;
const ROUNDS: usize = 15;
const ORDERS: usize = 20_000;

struct Order {
    headers: HeaderMap,
    body: String,
}

fn sign(headers: &mut HeaderMap, target: &str, body: &str, secret: &str, key: &str) {
    let time = START_MS.to_string();
    let parts = SignedParts {
        method: b"POST",
        path: target.as_bytes(),
        body: body.as_bytes(),
        request_time: time.as_bytes(),
        idempotency_key: key.as_bytes(),
    };
    let tag = parts.sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    let mut insert = |name: &'static str, value: &str| {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    };
    insert("x-request-time", &time);
    insert("x-signature", &hex::encode(tag));
    if !key.is_empty() {
        insert("x-idempotency-key", key);
    }
    // What a browser sends besides, so that lookups have something to miss.
    insert("host", "shop.example");
    insert("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)");
    insert("accept", "application/json, text/plain, */*");
    insert("content-type", "application/json");
    insert("content-length", &body.len().to_string());
}

fn as_client() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", HeaderValue::from_static("shop"));
    headers
}

fn order_body(user: &str) -> String {
    format!(r#"{{"productId":"limited-sneaker-42","userId":"{user}"}}"#)
}

fn by_client(user: &str, key: &str) -> Order {
    let (mut headers, body) = (as_client(), order_body(user));
    sign(&mut headers, "/order", &body, SECRET, key);
    Order { headers, body }
}

fn by_shopper(guard: &Guard, user: &str, key: &str) -> Order {
    let body = format!(r#"{{"userId":"{user}"}}"#);
    let mut headers = as_client();
    sign(&mut headers, "/session", &body, SECRET, "");
    let request = Request {
        method: &Method::POST,
        target: "/session",
        headers: &headers,
        body: body.as_bytes(),
        peer: [127, 0, 0, 1].into(),
    };
    let now = Now { unix_ms: START_MS, monotonic_us: 0 };
    let session = guard.session(&request, now, [1; 16]).expect("a session");
    let (mut headers, body) = (HeaderMap::new(), order_body(user));
    let bearer = format!("Bearer {}", session.pass);
    headers.insert("authorization", HeaderValue::from_str(&bearer).unwrap());
    headers.insert("x-device-fingerprint", HeaderValue::from_static("0123456789abcdef01234567"));
    sign(&mut headers, "/order", &body, &session.session_key, key);
    Order { headers, body }
}

fn measure(name: &str, guard: &Guard, orders: &[Order], now: &mut Now) {
    let mut cache = guard.cache();
    let mut run = |order: &Order| {
        let request = Request {
            method: &Method::POST,
            target: "/order",
            headers: &order.headers,
            body: order.body.as_bytes(),
            peer: [203, 0, 113, 7].into(),
        };
        // A fifth of a second: the buyer's interval at the default rate.
        now.monotonic_us += 200_000;
        guard.order(&mut cache, black_box(&request), *now).is_ok()
    };
    let before_ns = processor_ns();
    let mut rounds: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            let passed = (0..ORDERS).filter(|n| run(&orders[n % orders.len()])).count();
            assert_eq!(passed, ORDERS, "{name}: all orders pass");
            started.elapsed().as_nanos() / ORDERS as u128
        })
        .collect();
    let processor_ns = processor_ns().saturating_sub(before_ns) / (ROUNDS * ORDERS) as u64;
    rounds.sort_unstable();
    let (median, least) = (rounds[ROUNDS / 2], rounds[0]);
    println!("{name:<46} {processor_ns:>6} ns, wall-clock {median:>6} ns (least {least})");
}

/// Time that this thread had a processor, in nanoseconds; 0 where the system does not say.
fn processor_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut config = Config {
        clients: vec![config::ApiClient {
            id: "shop".to_owned(),
            secrets: vec![SECRET.into()],
            roles: config::default_roles(),
            name_space: "shop".to_owned(),
        }],
        ..Config::default()
    };
    // On, but never reached: all the sessions are opened in no time.
    config.limits.client_per_second = 1_000_000;
    let identity = Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]));
    let keys = PassKeys::parse("k:0123456789abcdef0123456789abcdef").expect("a key");
    let guard = Guard::new(&config, identity, keys, [5; 16]).expect("a guard");
    let key = "0b9f1a34-6c1f-4f0a-9d2b-3f6f4a1c2d3e";
    let users = |n: usize| (0..n).map(|n| format!("user-{n}"));
    let clients = |n| users(n).map(|user| by_client(&user, key)).collect::<Vec<_>>();
    let shoppers = |n| users(n).map(|user| by_shopper(&guard, &user, key)).collect::<Vec<_>>();
    let [few, some, many] = [10, 2_000, 20_000].map(shoppers);
    // One clock for all cases: they share the guard and so its rates.
    let now = &mut Now { unix_ms: START_MS, monotonic_us: 1_000_000 };
    measure("API client, 10 users", &guard, &clients(10), now);
    measure("API client, 20,000 users", &guard, &clients(20_000), now);
    measure("shopper, 10 passes", &guard, &few, now);
    measure("shopper, 2,000 passes", &guard, &some, now);
    measure("shopper, 20,000 passes in turn (overflowing)", &guard, &many, now);
}
