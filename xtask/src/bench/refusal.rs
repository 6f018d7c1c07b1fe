//! The instructions of one refusal as sold out, guard and state together, counted by callgrind; and the same
//! with what goes with a request: its id, and the traces that it might have been in; and for shoppers with a
//! browser's headers, with the bot score and without.
//!
//! The count of a program that does it once a thousand times and once three thousand times differs by two
//! thousand refusals: what they share (start, signing) falls out. So it is the same on a busy machine.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
use aws_lc_rs::hmac;
use flux_gate::clock::Clock;
use flux_gate::config::traces::Traces;
use flux_gate::config::{self, Config};
use flux_gate::evidence::{Evidence, Recorder, Seen, SqliteEvidence, What};
use flux_gate::guard::pass::Pass;
use flux_gate::guard::{Guard, Now, PassId, PassKeys, Request};
use flux_gate::http::code::Code;
use flux_gate::http::spans;
use flux_gate::keys::IdentityKeys;
use flux_gate::log::Applied;
use flux_gate::sale::record::RULES_VERSION;
use flux_gate::sale::{Book, LogEntry, OrderProposed, Outcome, ProductId, Record, SaleOpened};
use flux_gate::signing::SignedParts;
use flux_gate::trace::{self, Requests, Tracer};
use http::{HeaderMap, HeaderValue, Method};

const SECRET: &str = "client-secret-of-the-bench-0123456789abcdef";
const PRODUCT: &str = "bench";
const NOW_MS: u64 = 1_800_000_000_000;
/// Times of the shorter run.
pub const FEW: usize = 1_000;
/// Times of the longer run.
pub const MANY: usize = 3_000;
/// Units of the sold-out product.
const UNITS: u32 = 1_000;

#[derive(clap::Args)]
pub struct Options {
    /// How many refusals.
    #[arg(long)]
    count: usize,
    /// Send all for a few known users, instead of each for a new one.
    #[arg(long)]
    known: bool,
    /// What goes with a request.
    #[arg(long, value_enum, default_value_t = Around::Nothing)]
    around: Around,
    /// Who sends them.
    #[arg(long, value_enum, default_value_t = Sender::Client)]
    sender: Sender,
}

/// Who sends the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sender {
    /// A shop's API client.
    Client,
    /// Shoppers with passes and a browser's headers, whose orders are scored.
    Shopper,
    /// The same, and the score is off.
    Unscored,
}

impl Sender {
    fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Shopper => "shopper",
            Self::Unscored => "unscored",
        }
    }
}

/// What goes with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Around {
    /// Nothing.
    Nothing,
    /// Its id, in the answer too. There is no collector of traces.
    Id,
    /// The same with a collector, and the request is not sampled.
    Unsampled,
    /// The same, and its caller names a trace that it does not sample.
    Parent,
    /// Its place in the evidence, as the thread that serves leaves it there: 1 in 64 is kept, all are counted.
    Evidence,
}

impl Around {
    fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Id => "id",
            Self::Unsampled => "unsampled",
            Self::Parent => "parent",
            Self::Evidence => "evidence",
        }
    }
}

struct Prepared {
    headers: HeaderMap,
    body: String,
}

/// Refuses `count` orders. What is prepared does not depend on it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.count <= MANY, "at most {MANY}");
    let identity = Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]));
    let keys = PassKeys::parse("k:0123456789abcdef0123456789abcdef")?;
    let mut config = configuration();
    config.score.enabled = options.sender != Sender::Unscored;
    let guard = Guard::new(&config, identity.clone(), keys, [5; 16])?;
    let applied = sold_out(&identity)?;
    let users = if options.known { 10 } else { MANY };
    let passes = PassKeys::parse("k:0123456789abcdef0123456789abcdef")?;
    let orders: Vec<Prepared> = (0..MANY)
        .map(|n| match options.sender {
            Sender::Client => prepare(n, n % users),
            Sender::Shopper | Sender::Unscored => by_shopper(&passes, n, n % users),
        })
        .collect();
    let orders = orders.into_iter().map(|order| order.within(options.around)).collect::<Vec<_>>();
    let requests = requests(options.around)?;
    let seen_by = evidence(&identity)?;
    let product: ProductId = PRODUCT.parse()?;
    let mut cache = guard.cache();
    // The map of an answer's headers is made in any case.
    let mut reply = http::Response::new(());
    for (number, order) in orders.iter().take(options.count).enumerate() {
        let request = Request {
            method: &Method::POST,
            target: "/order",
            headers: &order.headers,
            body: order.body.as_bytes(),
            peer: [203, 0, 113, 7].into(),
        };
        let monotonic_us = 1_000_000 + number as u64 * 1_000_000;
        let now = Now { unix_ms: NOW_MS, monotonic_us };
        let mut refuse = || {
            let step = (options.around != Around::Nothing).then(|| trace::step("guard"));
            let passed = guard.order(&mut cache, black_box(&request), now);
            drop(step);
            let passed =
                passed.map_err(|refused| anyhow::anyhow!("refused: {:?}", refused.refusal))?;
            let refusal = applied.with_state(&passed.product, |state| {
                let at_ms = state.log_time_at(NOW_MS);
                state.refusal(passed.order_id, passed.buyer, at_ms)
            });
            anyhow::Ok(refusal)
        };
        let refusal = match options.around {
            Around::Nothing => refuse()?,
            Around::Evidence => {
                let refusal = refuse()?;
                seen_by.note(NOW_MS, What::SoldOut, Some(&product), || Seen {
                    order_id: None,
                    buyer: None,
                    user: None,
                    address: Some(guard.client_ip(&request)),
                    fingerprint: Some(Seen::fingerprint(b"0123456789abcdef01234567")),
                });
                refusal
            }
            _ => {
                let scope = requests.begin(&order.headers, || "POST /order");
                let refusal = finished(scope.run(async {
                    let refusal = refuse();
                    spans::answered(&Method::POST, &mut reply, Some(Code::SoldOut));
                    refusal
                }))?;
                ensure!(black_box(&reply).headers().len() == 1, "an answer has an id");
                refusal
            }
        };
        ensure!(black_box(refusal) == Some(Some(Outcome::SoldOut)), "not sold out");
    }
    Ok(())
}

/// What a future gives that never waits.
fn finished<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("nothing in it waits"),
    }
}

/// Those that the thread of a server has. The collector is not there, and nothing is sent.
fn requests(around: Around) -> anyhow::Result<Requests> {
    let tracer = match around {
        Around::Nothing | Around::Id | Around::Evidence => Tracer::default(),
        Around::Unsampled | Around::Parent => {
            let traces = Traces {
                endpoint: "http://127.0.0.1:1".to_owned(),
                ratio: "0".to_owned(),
                ..Traces::default()
            };
            Tracer::start(&traces, "node", &Clock::system())?
        }
    };
    Ok(Requests::new(tracer, [9; 16]))
}

/// The way to an evidence whose thread has ended: what that does is done on another core, and is not counted here.
fn evidence(identity: &Arc<IdentityKeys>) -> anyhow::Result<Recorder> {
    let dir = tempfile::tempdir()?;
    let (clock, identity) = (Clock::system(), Arc::clone(identity));
    let settings = config::evidence::Evidence::default();
    let evidence = SqliteEvidence::start(dir.path(), settings, clock, identity)?;
    let evidence = Evidence::Sqlite(evidence);
    let recorder = evidence.recorder().context("a node notes what it sees")?;
    evidence.stop();
    Ok(recorder)
}

fn configuration() -> Config {
    let mut config = Config {
        clients: vec![config::ApiClient {
            id: "bench".to_owned(),
            secrets: vec![SECRET.into()],
            roles: config::default_roles(),
            name_space: "shop".to_owned(),
        }],
        ..Config::default()
    };
    config.limits.node_per_second = 1_000_000;
    config
}

fn sold_out(identity: &IdentityKeys) -> anyhow::Result<Applied> {
    let product: ProductId = PRODUCT.parse()?;
    let mut book = Book::default();
    let mut entry = |offset: u64, record: Record| {
        book.apply(&LogEntry { product, offset, appended_at_ms: NOW_MS, record })
    };
    entry(1, Record::SaleOpened(terms(identity, UNITS)));
    for number in 0..UNITS {
        let buyer = identity.buyer("shop", &format!("early-{number}").parse()?);
        let order_id = identity.order_id(&product, &buyer, &"key".parse()?);
        let proposal =
            OrderProposed { order_id, buyer, sealed_user: None, at_ms: NOW_MS, generation: 0 };
        let outcome = entry(u64::from(number) + 2, Record::OrderProposed(proposal));
        ensure!(outcome == Outcome::Confirmed, "{outcome:?}");
    }
    Ok(Applied::new(&book, Box::new(|_| {})))
}

/// A sale without a repeat window.
pub fn terms(identity: &IdentityKeys, capacity: u32) -> SaleOpened {
    SaleOpened {
        capacity,
        per_buyer_limit: 1,
        repeat_window_ms: 0,
        opens_at_ms: 0,
        closes_at_ms: None,
        key_fingerprints: identity.fingerprints().clone(),
        rules_version: RULES_VERSION,
        operation: None,
    }
}

fn prepare(number: usize, user: usize) -> Prepared {
    let body = format!(r#"{{"productId":"{PRODUCT}","userId":"buyer-{user:x}"}}"#);
    let (time, key) = (NOW_MS.to_string(), format!("k-{number:x}"));
    let parts = SignedParts {
        method: b"POST",
        path: b"/order",
        body: body.as_bytes(),
        request_time: time.as_bytes(),
        idempotency_key: key.as_bytes(),
    };
    let tag = parts.sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()));
    let length = body.len().to_string();
    let signature = hex::encode(tag);
    let headers = [
        ("host", "127.0.0.1"),
        ("content-type", "application/json"),
        ("x-api-key", "bench"),
        ("x-request-time", &time),
        ("x-idempotency-key", &key),
        ("x-signature", &signature),
        ("content-length", &length),
    ];
    let value = |text: &str| HeaderValue::from_str(text).expect("printable text");
    let headers =
        headers.into_iter().map(|(name, text)| (http::HeaderName::from_static(name), value(text)));
    Prepared { headers: headers.collect(), body }
}

/// As a browser sends it, whose page was used.
fn by_shopper(passes: &PassKeys, number: usize, user: usize) -> Prepared {
    let pass = Pass {
        user: format!("buyer-{user:x}").parse().expect("a user id"),
        name_space: "shop".into(),
        issued_ms: NOW_MS,
        expires_ms: NOW_MS + 900_000,
        id: PassId([7; 16]),
        admission: None,
    };
    let (text, session_key) = passes.issue(&pass);
    let body = format!(r#"{{"productId":"{PRODUCT}","userId":"buyer-{user:x}"}}"#);
    let (time, key) = (NOW_MS.to_string(), format!("k-{number:x}"));
    let parts = SignedParts {
        method: b"POST",
        path: b"/order",
        body: body.as_bytes(),
        request_time: time.as_bytes(),
        idempotency_key: key.as_bytes(),
    };
    let signature = hex::encode(parts.sign(&session_key.signing_key()));
    let (bearer, length) = (format!("Bearer {text}"), body.len().to_string());
    // Of few users many kinds of devices, so that none of them is taken for a farm.
    let agent = format!(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/{}.0.0.0 Safari/537.36",
        100 + user % 40
    );
    let fingerprint = format!("{user:032x}");
    let headers = [
        ("host", "shop.example"),
        ("connection", "keep-alive"),
        ("content-type", "application/json"),
        ("authorization", &bearer),
        ("x-request-time", &time),
        ("x-idempotency-key", &key),
        ("x-signature", &signature),
        ("x-device-fingerprint", &fingerprint),
        ("x-page-signals", "t=5170;p=41;k=0;s=2"),
        ("content-length", &length),
        ("user-agent", &agent),
        ("accept", "*/*"),
        ("accept-language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("sec-ch-ua", "\"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\""),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", "\"Windows\""),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
        ("origin", "https://shop.example"),
        ("referer", "https://shop.example/phone"),
    ];
    let value = |text: &str| HeaderValue::from_str(text).expect("printable text");
    let headers =
        headers.into_iter().map(|(name, text)| (http::HeaderName::from_static(name), value(text)));
    Prepared { headers: headers.collect(), body }
}

impl Prepared {
    fn within(mut self, around: Around) -> Self {
        const PLACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        if around == Around::Parent {
            self.headers.insert(trace::TRACEPARENT, HeaderValue::from_static(PLACE));
        }
        self
    }
}

/// Instructions of one refusal; `None` where valgrind is not installed.
///
/// # Errors
/// Valgrind fails.
pub fn instructions(known: bool, around: Around, sender: Sender) -> anyhow::Result<Option<f64>> {
    let count = |refusals: usize| {
        let number = refusals.to_string();
        let known: &[&str] = if known { &["--known"] } else { &[] };
        let what = ["refusal", "--around", around.word(), "--sender", sender.word()];
        collected(&[&what, &["--count", &number][..], known].concat())
    };
    let (Some(few), Some(many)) = (count(FEW)?, count(MANY)?) else { return Ok(None) };
    Ok(Some((many - few) as f64 / (MANY - FEW) as f64))
}

/// The instructions of this program with these arguments; `None` where valgrind is not installed.
///
/// # Errors
/// Valgrind fails.
pub fn collected(arguments: &[&str]) -> anyhow::Result<Option<u64>> {
    let installed = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe()?).args(arguments);
    let output = command.output().context("cannot run valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.split_once("Collected : "));
    let (_, number) = line.with_context(|| format!("no count in:\n{text}"))?;
    Ok(Some(number.trim().parse()?))
}
