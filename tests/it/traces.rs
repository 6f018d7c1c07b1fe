//! Traces and request ids, over the real program: what a collector gets, and what it costs nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_gate::clock::Clock;
use flux_gate::config::traces::Traces;
use flux_gate::trace::Tracer;
use flux_gate::trace::otlp::Span;
use flux_gate::trace::span::{self, Kind};
use tempfile::TempDir;

use crate::crash::books::{call, create};
use crate::crash::crowd::unix_ms;
use crate::crash::{CLIENT_ID, CLIENT_SECRET, program, signer};
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server, command};
use crate::support::wire::{Answer, Connection, exchange};

pub mod collector;

use collector::{Collector, Manner, attribute, one};

/// A trace, and a span of its caller's.
pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const CALLER: &str = "00f067aa0ba902b7";

/// Attributes that a span may have. No user, no address, no secret: a test that finds another one fails.
const ATTRIBUTES: [&str; 7] = [
    "flux_gate.offset",
    "flux_gate.order_id",
    "flux_gate.outcome",
    "flux_gate.partition",
    "flux_gate.product",
    "http.request.method",
    "http.response.status_code",
];

/// `traceparent` of a trace that is sampled.
pub fn parent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn config() -> String {
    format!(
        "[limits]\nip_per_second = 0\nbuyer_per_second = 0\nclient_per_second = 0\n\
         min_interval_ms = 0\n[[clients]]\nid = \"{CLIENT_ID}\"\nsecrets = [\"{CLIENT_SECRET}\"]\n"
    )
}

fn start(traces: &str) -> (Server, TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(program(), &dir.path().join("store"), &(config() + traces));
    (server.expect("it starts"), dir)
}

fn order(product: &str, user: &str) -> Draft {
    Draft::order(product, user, "key-1").sign(&signer(), unix_ms())
}

fn send(server: &Server, draft: &Draft) -> Answer {
    exchange(server.public, None, &draft.bytes()).unwrap().expect("an answer")
}

fn span_id(span: &Span) -> String {
    hex::encode(&span.span_id)
}

fn parent_id(span: &Span) -> String {
    hex::encode(&span.parent_span_id)
}

/// What every span must be.
pub fn check(spans: &[Span]) {
    for span in spans {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        assert!(span.start_time_unix_nano > 1_700_000_000_000_000_000, "{span:?}");
        for attribute in &span.attributes {
            assert!(ATTRIBUTES.contains(&attribute.key.as_str()), "{}", attribute.key);
        }
    }
}

#[test]
fn a_sampled_order_is_a_trace_from_the_request_to_the_answer() {
    let collector = Collector::start(Manner::Takes);
    let (server, _dir) = start(&collector.config("sampler = \"parentbased_always_off\""));
    create(server.operator, "phone", 1, 1, 0);
    let accepted = send(&server, &order("phone", "alice").set("traceparent", parent()));
    assert_eq!(accepted.summary(), "200 success");
    // Unsampled by its caller, malformed, and without: no spans.
    for other in [parent().replace("-01", "-00"), parent().replace("00-4", "00-X")] {
        assert_eq!(send(&server, &order("phone", "bob").set("traceparent", other)).status, 409);
    }
    assert_eq!(send(&server, &order("phone", "bob")).status, 409);

    let spans = collector.wait_for(TRACE, |spans| spans.len() >= 5);
    check(&spans);
    let root = one(&spans, "POST /order");
    assert_eq!((parent_id(root).as_str(), root.kind), (CALLER, 2));
    for (step, outcome) in [("guard", ""), ("gate", "go"), ("log", "confirmed"), ("answer", "")] {
        let step = one(&spans, step);
        assert_eq!(parent_id(step), span_id(root), "{}", step.name);
        assert_eq!(attribute(step, "flux_gate.outcome"), outcome, "{}", step.name);
        assert!(step.start_time_unix_nano >= root.start_time_unix_nano);
        assert!(step.end_time_unix_nano <= root.end_time_unix_nano);
    }
    for (key, value) in [
        ("flux_gate.outcome", "accepted"),
        ("flux_gate.product", "phone"),
        ("flux_gate.order_id", &accepted.member("orderId")),
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(root, key), value, "{key}");
    }
    let (_, process) = &collector.spans()[0];
    assert!(process.iter().any(|attribute| attribute.key == "service.name"));
    assert_eq!(collector.spans().len(), spans.len(), "nothing of the others");
}

#[test]
fn a_trace_that_begins_here_is_sampled_by_the_ratio_and_refusals_say_why() {
    let collector = Collector::start(Manner::Takes);
    let mut command = {
        let dir = tempfile::tempdir().expect("a temporary directory").keep();
        command(program(), &dir.join("store"), &config()).expect("a command")
    };
    // By OpenTelemetry's own variables.
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    command.env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    command.env("OTEL_TRACES_SAMPLER_ARG", "1.0").env("OTEL_SERVICE_NAME", "shop-gate");
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collectors-token");
    let server = Server::start_by(command).expect("it starts");
    // A product that is not there is what its caller wrote, so it is not told.
    let unknown = send(&server, &order("alice-herself", "alice").set("traceparent", "00-bad"));
    assert_eq!(unknown.summary(), "404 unknown_product");
    let unsigned = Draft::order("phone", "alice", "key-1").set("x-api-key", CLIENT_ID);
    assert_eq!(send(&server, &unsigned).status, 400);
    let (status, _log) = server.stop().expect("it stops");
    assert!(status.success());
    let spans: Vec<Span> = collector.spans().into_iter().map(|(span, _)| span).collect();
    check(&spans);
    let roots: Vec<_> = spans.iter().filter(|span| span.name == "POST /order").collect();
    let outcomes: Vec<_> = roots.iter().map(|root| attribute(root, "flux_gate.outcome")).collect();
    assert_eq!(outcomes, ["unknown_product", "request_expired"], "flushed at the stop");
    for root in &roots {
        assert_eq!(attribute(root, "flux_gate.product"), "");
        assert!(root.parent_span_id.is_empty(), "a bad traceparent is no parent");
    }
    assert_ne!(roots[0].trace_id, roots[1].trace_id);
    let raw = collector.raw();
    assert!(raw[0].0.starts_with("post /v1/traces http/1.1"), "{}", raw[0].0);
    assert!(raw[0].0.contains("authorization: bearer collectors-token"), "{}", raw[0].0);
    assert!(raw[0].1.windows(9).any(|window| window == b"shop-gate"));
}

/// A stranger who asks for every request to be sampled.
#[test]
fn what_is_sampled_in_a_second_is_bounded() {
    let collector = Collector::start(Manner::Takes);
    let (server, _dir) = start(&collector.config("per_second_max = 5"));
    let mut connection = Connection::open(server.public, None).expect("a connection");
    let begun = Instant::now();
    for _ in 0..500 {
        let draft = Draft::new("GET", "/livez", "").set("traceparent", parent());
        connection.write(&draft.bytes()).expect("it takes requests");
        assert_eq!(connection.read().unwrap().expect("an answer").status, 200);
    }
    let seconds = begun.elapsed().as_secs() + 1;
    // What was over it is known at once; all the others come, and no more.
    let metrics = call(server.operator, "GET", "/metrics", "").text();
    let over = metrics.lines().find_map(|line| {
        let count = line.strip_prefix("flux_gate_trace_requests_total{word=\"over_limit\"} ")?;
        count.parse::<usize>().ok()
    });
    let sampled = 500 - over.expect(&metrics);
    assert!(sampled as u64 <= 5 + 5 * seconds, "{sampled} in {seconds} s");
    collector.wait_for(TRACE, |spans| spans.len() >= sampled);
    std::thread::sleep(Duration::from_secs(2));
    let all = collector.wait_for(TRACE, |_| true).len();
    assert_eq!(all, sampled);
    let undocumented = crate::documents::undocumented_metrics(&metrics);
    assert!(undocumented.is_empty(), "not in docs/METRICS.md: {undocumented:?}");
}

#[test]
fn a_collector_that_hangs_holds_up_nobody() {
    let collector = Collector::start(Manner::Hangs);
    let more = "sampler = \"always_on\"\nper_second_max = 10000\nqueue_spans_max = 64\n\
                timeout_ms = 60000";
    let (server, _dir) = start(&collector.config(more));
    create(server.operator, "phone", 1_000, 1, 0);
    let mut connection = Connection::open(server.public, None).expect("a connection");
    let mut slowest = Duration::ZERO;
    for number in 0..300 {
        let begun = Instant::now();
        connection.write(&order("phone", &format!("u-{number}")).bytes()).unwrap();
        assert_eq!(connection.read().unwrap().expect("an answer").status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(30), "{slowest:?}");
    let metrics = call(server.operator, "GET", "/metrics", "").text();
    let dropped = metrics.lines().find_map(|line| {
        line.strip_prefix("flux_gate_trace_spans_total{word=\"dropped\"} ")?.parse::<u64>().ok()
    });
    assert!(dropped.is_some_and(|dropped| dropped > 100), "{metrics}");
    let begun = Instant::now();
    let (status, log) = server.stop().expect("it stops");
    assert!(status.success(), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// What became of 10 spans that were handed over to such a collector.
fn exported(manner: Manner) -> [(&'static str, u64); 4] {
    let collector = Collector::start(manner);
    let timeout_ms = if matches!(manner, Manner::Hangs) { 200 } else { 20_000 };
    let config = Traces { endpoint: collector.endpoint(), timeout_ms, ..Traces::default() };
    let tracer = Tracer::start(&config, "node", &Clock::system()).expect("it starts");
    tracer.hand_over((1..=10).map(some_span).collect());
    let begun = Instant::now();
    while tracer.counts().unwrap().spans().iter().all(|(_, count)| *count == 0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{manner:?}: nothing became of them");
        std::thread::sleep(Duration::from_millis(20));
    }
    tracer.stop();
    tracer.counts().unwrap().spans()
}

fn some_span(number: u64) -> span::Span {
    span::Span {
        trace_id: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        span_id: number,
        parent_id: 0,
        parent_is_remote: false,
        link: None,
        name: "POST /order",
        kind: Kind::Server,
        start_ns: 1_700_000_000_000_000_000,
        end_ns: 1_700_000_000_000_001_000,
        attributes: vec![("flux_gate.outcome", "accepted".into()), ("flux_gate.offset", 7.into())],
        failed: false,
    }
}

#[test]
fn what_becomes_of_spans_is_counted() {
    let counts = |exported, dropped, failed, refused| {
        [("exported", exported), ("dropped", dropped), ("failed", failed), ("refused", refused)]
    };
    assert_eq!(exported(Manner::Takes), counts(10, 0, 0, 0));
    assert_eq!(exported(Manner::Refuses(3)), counts(7, 0, 0, 3));
    assert_eq!(exported(Manner::Answers(400)), counts(0, 0, 0, 10));
    assert_eq!(exported(Manner::Answers(503)), counts(0, 0, 10, 0));
    assert_eq!(exported(Manner::Hangs), counts(0, 0, 10, 0));
}

#[test]
fn a_collector_is_reached_by_tls_if_it_is_whom_the_certificates_vouch_for() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let collector = Collector::start_tls(Arc::new(tls));
    let dir = tempfile::tempdir().unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).unwrap();
    let export = |ca_file: Option<PathBuf>| {
        let endpoint = format!("https://localhost:{}", collector.port());
        let config = Traces { endpoint, ca_file, timeout_ms: 20_000, ..Traces::default() };
        let tracer = Tracer::start(&config, "node", &Clock::system()).expect("it starts");
        tracer.hand_over(vec![some_span(1)]);
        let begun = Instant::now();
        while tracer.counts().unwrap().spans().iter().all(|(_, count)| *count == 0) {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing became of it");
            std::thread::sleep(Duration::from_millis(20));
        }
        tracer.counts().unwrap().spans()
    };
    assert_eq!(export(Some(ca_file))[0], ("exported", 1));
    assert_eq!(export(None)[2], ("failed", 1), "nobody of the system's vouches for it");
    assert_eq!(collector.spans().len(), 1);
}

#[test]
fn a_request_has_an_id_in_its_answer_and_in_its_lines() {
    let (server, _dir) = start("");
    let get = |id: Option<&str>| {
        let draft = Draft::new("GET", "/livez", "");
        let draft = id.into_iter().fold(draft, |draft, id| draft.set("x-request-id", id));
        let answer = send(&server, &draft);
        answer.header("x-request-id").expect("an id").to_owned()
    };
    assert_eq!(get(Some("from-the-proxy-1")), "from-the-proxy-1");
    let long = "a".repeat(65);
    let ids = [None, Some("two words"), Some("a\"b"), Some(&long)].map(get);
    for (at, id) in ids.iter().enumerate() {
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        assert!(!ids[..at].contains(id));
    }
    // An operator's call without a token is told.
    let refused = Draft::new("GET", "/metrics", "")
        .set("authorization", format!("Bearer {ADMIN_TOKEN}x"))
        .set("x-request-id", "by-the-operator");
    let answer = exchange(server.operator, None, &refused.bytes()).unwrap().unwrap();
    assert_eq!((answer.status, answer.header("x-request-id")), (401, Some("by-the-operator")));
    let (_, log) = server.stop().expect("it stops");
    let line = log.lines().find(|line| line.contains("without a valid token")).expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["request_id"], "by-the-operator");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["message"] != "stopped" || line["request_id"].is_null());
    }
}
