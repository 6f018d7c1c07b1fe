//! The bot score and its challenges over HTTP: on one node here, on two in `distributed/challenge.rs`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flux_gate::clock::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::{Answer, exchange};

/// Thresholds that a plain script (30 points) is between, and a script that failed (45) too.
pub const STRICT: &str = "
[score]
challenge_above = 20
refuse_above = 60
";
const REST: &str = r#"
[http]
trusted_proxies = ["127.0.0.0/8"]
[limits]
ip_per_second = 0
buyer_per_second = 0
min_interval_ms = 0
[[clients]]
id = "shop"
secrets = ["shop-secret-0123456789abcdef"]
roles = ["order", "session"]
"#;

/// A node that is called.
#[derive(Clone, Copy)]
pub struct Node {
    pub public: SocketAddr,
    pub operator: SocketAddr,
    /// Id and secret of its API client.
    pub client: (&'static str, &'static str),
}

/// A shopper with a session.
pub struct Shopper {
    user: String,
    pass: String,
    signer: Signer,
}

fn unix_ms() -> u64 {
    Clock::system().unix_ms()
}

fn send(to: SocketAddr, draft: &Draft) -> Answer {
    exchange(to, None, &draft.bytes()).expect("an answer").expect("not closed without an answer")
}

impl Node {
    pub fn operator(&self, method: &str, path: &str, body: &str, key: &str) -> Answer {
        let draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .set("content-type", "application/json")
            .set("idempotency-key", key);
        send(self.operator, &draft)
    }

    pub fn sale(&self, product: &str) {
        let body = format!(r#"{{"productId":"{product}","quantity":100}}"#);
        let answer = self.operator("POST", "/init", &body, "sale");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    pub fn shopper(&self, user: &str) -> Shopper {
        let (id, secret) = (self.client.0.to_owned(), self.client.1.to_owned());
        let draft = Draft::new("POST", "/session", format!(r#"{{"userId":"{user}"}}"#))
            .set("content-type", "application/json")
            .sign(&Signer::Client { id, secret }, unix_ms());
        let session = send(self.public, &draft);
        assert_eq!(session.status, 200, "{}", session.text());
        let (pass, session_key) = (session.member("pass"), session.member("sessionKey"));
        let signer = Signer::Shopper { pass: pass.clone(), session_key };
        Shopper { user: user.to_owned(), pass, signer }
    }

    /// A script's order, 30 points, with a solution if there is one.
    pub fn order(&self, who: &Shopper, product: &str, key: &str, solution: Option<&str>) -> Answer {
        self.ordered(who, product, key, |draft| match solution {
            Some(solution) => draft.set("x-challenge", solution),
            None => draft,
        })
    }

    pub fn ordered(
        &self,
        who: &Shopper,
        product: &str,
        key: &str,
        change: impl Fn(Draft) -> Draft,
    ) -> Answer {
        let draft = Draft::order(product, &who.user, key).set("content-type", "application/json");
        send(self.public, &change(draft).sign(&who.signer, unix_ms()))
    }

    /// `GET /challenge`.
    pub fn challenge(&self, pass: &str, query: &str) -> Answer {
        let draft = Draft::new("GET", &format!("/challenge{query}"), "");
        send(self.public, &draft.set("authorization", format!("Bearer {pass}")))
    }
}

/// As the widget does.
pub fn solve(challenge: &Value) -> Value {
    let text = |name: &str| challenge[name].as_str().unwrap().to_owned();
    let (salt, wanted) = (text("salt"), text("challenge"));
    let number = (0..=challenge["maxnumber"].as_u64().unwrap())
        .find(|number| {
            let hash = aws_lc_rs::digest::digest(
                &aws_lc_rs::digest::SHA256,
                format!("{salt}{number}").as_bytes(),
            );
            hex::encode(hash) == wanted
        })
        .expect("there is a number");
    json!({
        "algorithm": text("algorithm"), "challenge": wanted, "number": number, "salt": salt,
        "signature": text("signature"), "took": 12,
    })
}

pub fn encode(payload: &Value) -> String {
    STANDARD.encode(payload.to_string())
}

struct Gate {
    server: Server,
    dir: TempDir,
}

fn node_of(server: &Server) -> Node {
    let client = ("shop", "shop-secret-0123456789abcdef");
    Node { public: server.public, operator: server.operator, client }
}

impl Gate {
    fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let program = crate::crash::program();
        let config = format!("{config}\n{REST}");
        let server = Server::start(program, &dir.path().join("store"), &config);
        let gate = Self { server: server.expect("it starts"), dir };
        gate.node().sale("phone");
        gate
    }

    fn node(&self) -> Node {
        node_of(&self.server)
    }

    /// The lines of the trail of these kinds, once the node has stopped.
    fn trail(self, kinds: &[&str]) -> Vec<Value> {
        let Self { server, dir } = self;
        server.stop().unwrap();
        let mut lines = Vec::new();
        let mut files: Vec<_> = std::fs::read_dir(dir.path().join("store/audit"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let Ok(text) = std::fs::read_to_string(file) else { continue };
            let values = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.extend(values.filter(|line| kinds.iter().any(|kind| line["kind"] == **kind)));
        }
        lines
    }
}

/// The counts of `flux_gate_challenges_total` that are not 0.
fn counted(node: Node, name: &str) -> BTreeMap<String, u64> {
    let text = node.operator("GET", "/metrics", "", "m").text();
    let start = format!("flux_gate_{name}_total{{word=\"");
    let of_line = |line: &str| {
        let (word, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
        Some((word.to_owned(), count.parse::<u64>().ok()?))
    };
    text.lines().filter_map(of_line).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_script_solves_its_challenge_and_orders_and_the_trail_says_why() {
    let gate = Gate::start(STRICT);
    let node = gate.node();
    let bob = node.shopper("bob");
    let asked = node.order(&bob, "phone", "k-1", None);
    assert_eq!(asked.summary(), "403 challenge_required", "{}", asked.text());
    let problem = asked.json();
    assert_eq!((&problem["provider"], &problem["retry"]), (&json!("altcha"), &json!("same_key")));
    assert_eq!(asked.header("content-type"), Some("application/problem+json"));
    assert_eq!(asked.header("cache-control"), Some("no-store"));
    let solution = encode(&solve(&problem["challenge"]));
    assert_eq!(node.order(&bob, "phone", "k-1", Some(&solution)).summary(), "200 success");
    // A retry of the same attempt; and a second attempt with the same solution.
    let again = node.order(&bob, "phone", "k-1", Some(&solution));
    assert_eq!(again.summary(), "200 ignored");
    assert_eq!(
        node.order(&bob, "phone", "k-2", Some(&solution)).summary(),
        "403 challenge_required"
    );
    // Beforehand, and an honest browser needs none.
    let before = node.challenge(&bob.pass, "?product=phone&key=k-3");
    assert_eq!(before.status, 200, "{}", before.text());
    assert_eq!(before.header("cache-control"), Some("no-store"));
    let solution = encode(&solve(&before.json()));
    assert_eq!(node.order(&bob, "phone", "k-3", Some(&solution)).summary(), "200 ignored");
    let alice = node.shopper("alice");
    let browser = node.ordered(&alice, "phone", "k", |draft| {
        draft
            .set(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .set("accept-language", "de")
            .set("accept", "*/*")
            .set("x-device-fingerprint", "of-alice")
            .set("x-page-signals", "t=4000;p=12;k=0;s=1")
    });
    assert_eq!(browser.summary(), "200 success");
    let counts = counted(node, "challenges");
    let expected = [("absent", 1), ("offered", 1), ("other_attempt", 1), ("solved", 3)];
    assert_eq!(counts, expected.map(|(word, count)| (word.to_owned(), count)).into());
    assert_eq!(counted(node, "score_reasons")["no_user_agent"], 5);

    let lines = gate.trail(&["challenge_required", "challenge_solved"]);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (line["kind"].as_str().unwrap(), line["fields"]["detail"].as_str().unwrap_or(""))
        })
        .collect();
    let solved = ("challenge_solved", "");
    let expected = [
        ("challenge_required", "absent"),
        solved,
        solved,
        ("challenge_required", "other_attempt"),
        solved,
    ];
    assert_eq!(told, expected);
    for line in &lines {
        let fields = &line["fields"];
        assert_eq!((&fields["points"], &fields["call"]), (&json!(30), &json!("/order")));
        let reasons = ["no_user_agent", "no_accept_language", "no_fingerprint", "page_unused"];
        assert_eq!(fields["reasons"], json!(reasons));
    }
}

#[test]
fn no_other_solution_passes() {
    let gate = Gate::start(STRICT);
    let node = gate.node();
    node.sale("shoe");
    let bob = node.shopper("bob");
    let challenge = node.order(&bob, "phone", "k-1", None).json()["challenge"].clone();
    let good = solve(&challenge);
    let with = |name: &str, value: Value| {
        let mut payload = good.clone();
        payload[name] = value;
        encode(&payload)
    };
    let salt = good["salt"].as_str().unwrap();
    let number = good["number"].as_u64().unwrap();
    let bad = [
        ("forged", with("signature", "00".repeat(32).into())),
        ("later", with("salt", salt.replace("expires=1", "expires=2").into())),
        ("spliced", {
            let mut payload = good.clone();
            payload["salt"] = format!("{salt}{}", number / 10).into();
            payload["number"] = (number % 10).into();
            encode(&payload)
        }),
        ("next", with("number", (number + 1).into())),
        ("out of range", with("number", u64::MAX.into())),
        ("negative", with("number", json!(-1))),
        ("other algorithm", with("algorithm", "SHA-1".into())),
        ("no base64", "?".to_owned()),
        ("too long", "A".repeat(2_049)),
        ("nothing", String::new()),
    ];
    for (what, solution) in bad {
        // All of one user: failures add up, and none of them changes the answer.
        let answer = node.order(&bob, "phone", "k-1", Some(&solution));
        assert_eq!(answer.summary(), "403 challenge_required", "{what}");
        assert!(!answer.text().contains(&solution) || solution.len() < 2, "{what} is not echoed");
    }
    let good = encode(&good);
    assert_eq!(node.order(&bob, "shoe", "k-1", Some(&good)).summary(), "403 challenge_required");
    let eve = node.shopper("eve");
    assert_eq!(node.order(&eve, "phone", "k-1", Some(&good)).summary(), "403 challenge_required");
    let twice = node
        .ordered(&bob, "phone", "k-1", |d| d.add("x-challenge", &good).add("x-challenge", &good));
    assert_eq!(twice.summary(), "403 challenge_required");
    assert_eq!(node.order(&bob, "phone", "k-1", Some(&good)).summary(), "200 success");
}

#[test]
fn a_challenge_expires() {
    let gate = Gate::start(&format!("{STRICT}[challenge]\nexpires_seconds = 10\n"));
    let node = gate.node();
    let bob = node.shopper("bob");
    let solution = encode(&solve(&node.order(&bob, "phone", "k-1", None).json()["challenge"]));
    std::thread::sleep(Duration::from_millis(10_100));
    let late = node.order(&bob, "phone", "k-1", Some(&solution));
    assert_eq!(late.summary(), "403 challenge_required");
    assert_eq!(late.member("detail"), "the challenge has expired");
}

#[test]
fn a_challenge_is_for_whoever_holds_a_pass_and_names_an_order() {
    let gate = Gate::start(STRICT);
    let node = gate.node();
    let pass = node.shopper("bob").pass;
    for query in
        ["", "?product=phone", "?key=k", "?product=phone&key=k&x=1", "?product=PHONE&key=k"]
    {
        assert_eq!(node.challenge(&pass, query).summary(), "400 invalid_request", "{query}");
    }
    let tail = &pass[..pass.len() - 1];
    assert_eq!(node.challenge(tail, "?product=phone&key=k").summary(), "401 unauthorized");
    let anyone = send(node.public, &Draft::new("GET", "/challenge?product=phone&key=k", ""));
    assert_eq!(anyone.summary(), "401 unauthorized");
    let script = send(node.public, &Draft::new("GET", "/challenge.js", ""));
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(script.text().contains("fluxChallenge"));
    let post = Draft::new("POST", "/challenge?product=phone&key=k", "{}");
    assert_eq!(send(node.public, &post).summary(), "405 method_not_allowed");
}

#[test]
fn what_is_very_likely_a_script_is_refused_and_the_trail_says_why() {
    let gate = Gate::start("[score]\nchallenge_above = 10\nrefuse_above = 20\n");
    let node = gate.node();
    let bob = node.shopper("bob");
    let refused = node.order(&bob, "phone", "k-1", None);
    assert_eq!(refused.summary(), "403 score_refused");
    assert_eq!(refused.member("retry"), "never");
    assert_eq!(refused.member("error"), "Blocked");
    let lines = gate.trail(&["score_refused"]);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["fields"]["points"], 30);
}

#[test]
fn an_operator_lifts_a_false_positive_at_once_and_turns_the_score_off() {
    let gate = Gate::start("[score]\nchallenge_above = 10\nrefuse_above = 20\n");
    let node = gate.node();
    let until = unix_ms() + 3_600_000;
    let [bob, eve, kim] = ["bob-marked-31", "eve", "kim"].map(|user| node.shopper(user));
    let summary = |who: &Shopper| node.order(who, "phone", "k-1", None).summary();
    assert_eq!(summary(&bob), "403 score_refused");
    let body = format!(r#"{{"user":"bob-marked-31","until":{until},"reason":"a false positive"}}"#);
    let set = node.operator("POST", "/admin/allows", &body, "a-1");
    assert_eq!(set.summary(), "200 applied", "{}", set.text());
    assert!(set.member("id").starts_with("user-"), "{}", set.text());
    assert_eq!(summary(&bob), "200 success");
    assert_eq!(summary(&eve), "403 score_refused");
    let listed = node.operator("GET", "/admin/allows", "", "x").text();
    assert!(listed.contains("a false positive") && !listed.contains("marked"), "rule 7: {listed}");
    let named = format!(r#"{{"user":"eve","until":{until},"reason":"eve x","id":"fp-00"}}"#);
    assert_eq!(
        node.operator("POST", "/admin/allows", &named, "a-2").summary(),
        "400 invalid_request"
    );
    let lifted = node.operator("DELETE", "/admin/allows", r#"{"user":"bob-marked-31"}"#, "a-3");
    assert_eq!(lifted.summary(), "200 applied");
    assert_eq!(lifted.json()["allow"], Value::Null);
    assert_eq!(summary(&bob), "403 score_refused");

    assert_eq!(node.operator("GET", "/admin/score", "", "x").json()["enabled"], true);
    let body = format!(r#"{{"until":{until},"reason":"too many"}}"#);
    let off = node.operator("POST", "/admin/score/off", &body, "s-1");
    assert_eq!(off.summary(), "200 applied", "{}", off.text());
    assert_eq!(off.json()["enabled"], false);
    assert_eq!(summary(&eve), "200 success");
    assert_eq!(node.operator("DELETE", "/admin/score/off", "", "s-2").summary(), "200 applied");
    assert_eq!(summary(&kim), "403 score_refused");
    let gone = node.operator("DELETE", "/admin/score/off", "", "s-3");
    assert_eq!(gone.summary(), "404 unknown_entry");
    assert_eq!(node.operator("POST", "/admin/score/off", &body, "s-4").summary(), "200 applied");

    // It is in the log: a restart comes to the same.
    let Gate { server, dir } = gate;
    server.stop().unwrap();
    let config = format!("[score]\nchallenge_above = 10\nrefuse_above = 20\n{REST}");
    let program = env!("CARGO_BIN_EXE_flux-gate").as_ref();
    let server = Server::start(program, &dir.path().join("store"), &config).unwrap();
    let node = node_of(&server);
    assert_eq!(node.operator("GET", "/admin/score", "", "x").json()["enabled"], false);
}

#[test]
fn a_flood_of_page_signals_is_worth_no_more_than_one() {
    let gate = Gate::start(STRICT);
    let node = gate.node();
    let bob = node.shopper("bob");
    for signals in
        ["t=5000;p=9", "t=999999999;p=999999999;k=999999999;s=999999999", &"t=9;".repeat(2_000)]
    {
        let answer = node.ordered(&bob, "phone", "k", |draft| draft.set("x-page-signals", signals));
        assert_eq!(answer.summary(), "403 challenge_required", "{}", &signals[..10]);
    }
}

/// A fake of a service: a solution `good` is one.
pub fn fake_service(after: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            let mut buffer = [0; 4_096];
            while !text.contains("response=") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => text += &String::from_utf8_lossy(&buffer[..read]),
                    _ => break,
                }
            }
            std::thread::sleep(after);
            let good = text.contains("secret=service-secret&response=good");
            let body = format!(r#"{{"success":{good},"hostname":"shop.test"}}"#);
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    address
}

/// Configured to ask it; it is waited for so long.
pub fn service(address: SocketAddr, on_failure: &str, timeout_ms: u32) -> String {
    format!(
        r#"{STRICT}[challenge]
provider = "turnstile"
site_key = "page-key"
secret = "service-secret"
siteverify_url = "http://{address}/siteverify"
hostname = "shop.test"
timeout_ms = {timeout_ms}
on_failure = "{on_failure}"
"#
    )
}

#[test]
fn a_service_of_challenges_is_asked_and_its_word_holds() {
    let gate = Gate::start(&service(fake_service(Duration::ZERO), "closed", 20_000));
    let node = gate.node();
    let bob = node.shopper("bob");
    let asked = node.order(&bob, "phone", "k-1", None);
    assert_eq!(asked.summary(), "403 challenge_required");
    assert_eq!(
        (asked.member("provider"), asked.member("siteKey")),
        ("turnstile".into(), "page-key".into())
    );
    assert_eq!(asked.json()["challenge"], Value::Null);
    assert!(!asked.text().contains("service-secret"));
    assert_eq!(node.order(&bob, "phone", "k-1", Some("bad")).summary(), "403 challenge_required");
    assert_eq!(node.order(&bob, "phone", "k-1", Some("good")).summary(), "200 success");
    assert_eq!(node.challenge(&bob.pass, "?product=phone&key=k").summary(), "404 not_found");
    assert_eq!(counted(node, "challenges")["refused_by_service"], 1);
    assert!(!gate.server.log().contains("service-secret"), "rule 7");
}

#[test]
fn a_service_that_is_slow_or_gone_fails_closed_or_open_as_configured() {
    let slow = fake_service(Duration::from_secs(3));
    let gone = SocketAddr::from(([127, 0, 0, 1], 1));
    for (address, on_failure, expected) in [
        (slow, "closed", "403 challenge_required"),
        (slow, "open", "200 success"),
        (gone, "closed", "403 challenge_required"),
        (gone, "open", "200 success"),
    ] {
        let gate = Gate::start(&service(address, on_failure, 500));
        let bob = gate.node().shopper("bob");
        // Without a solution there is nothing to ask about.
        assert_eq!(gate.node().order(&bob, "phone", "k", None).summary(), "403 challenge_required");
        let answer = gate.node().order(&bob, "phone", "k", Some("good"));
        assert_eq!(answer.summary(), expected, "{address} {on_failure}");
        assert_eq!(counted(gate.node(), "challenges")["service_failed"], 1);
    }
}
