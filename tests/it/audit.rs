//! The audit trail and the receipts of the real program: what stands in the files, and what does not.

use std::path::{Path, PathBuf};
use std::process::Command;

use flux_gate::audit::{DIRECTORY, Kind, Limits, Options, Trail};
use flux_gate::clock::Clock;
use flux_gate::keys::signer::{PublicKey, Signer as KeyPair};
use flux_gate::receipt::Receipt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server, clean, command_after};
use crate::support::wire::{Answer, exchange};

const AUDIT_SEED: &str = "4242424242424242424242424242424242424242424242424242424242424242";
const VIEWER: &str = "viewer-token-of-the-tests-marked-5150";
const CONFIG: &str = r#"
[http]
trusted_proxies = ["127.0.0.1/32"]
drain_delay_ms = 0
[limits]
ip_per_second = 0
client_per_second = 0
[secrets]
audit_key = "4242424242424242424242424242424242424242424242424242424242424242"
[[admin.tokens]]
name = "vera"
role = "viewer"
token_sha256 = "VIEWER"
[[clients]]
id = "shop"
secrets = ["shop-secret-marked-5150-0123456789"]
roles = ["order", "session", "fulfilment"]
"#;

struct Rig {
    server: Server,
    dir: TempDir,
    clock: Clock,
}

fn program() -> &'static Path {
    env!("CARGO_BIN_EXE_flux-gate").as_ref()
}

fn config() -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VIEWER.as_bytes());
    CONFIG.replace("VIEWER", &hex::encode(hash))
}

fn shop() -> Signer {
    Signer::Client {
        id: "shop".to_owned(),
        secret: "shop-secret-marked-5150-0123456789".to_owned(),
    }
}

impl Rig {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(program(), &dir.path().join("store"), &config()).unwrap();
        Self { server, dir, clock: Clock::system() }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn send(&self, draft: &Draft) -> Answer {
        exchange(self.server.public, None, &draft.bytes()).unwrap().unwrap()
    }

    fn order(&self, user: &str, key: &str) -> Answer {
        self.send(&Draft::order("phone", user, key).sign(&shop(), self.clock.unix_ms()))
    }

    fn operator(&self, token: &str, method: &str, path: &str, body: &str, key: &str) -> Answer {
        let draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {token}"))
            .set("idempotency-key", key);
        exchange(self.server.operator, None, &draft.bytes()).unwrap().unwrap()
    }

    fn open(&self, quantity: u32) {
        let body = format!(r#"{{"productId":"phone","quantity":{quantity}}}"#);
        let answer = self.operator(ADMIN_TOKEN, "POST", "/init", &body, "open");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn published(&self, signs: &str) -> PublicKey {
        let keys = self.send(&Draft::new("GET", "/.well-known/flux-gate-keys.json", "")).json();
        let keys = keys["keys"].as_array().unwrap().clone();
        let key = keys.iter().find(|key| key["signs"] == signs).unwrap();
        key["hex"].as_str().unwrap().parse().unwrap()
    }

    fn stop(self) -> TempDir {
        self.server.stop().unwrap();
        self.dir
    }
}

/// What the program says to these arguments, and whether it succeeds.
fn says(dir: &TempDir, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(program());
    clean(&mut command);
    let config = dir.path().join("store.toml");
    command.args(arguments).arg("--config").arg(config).arg("--data").arg(dir.path().join("store"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

fn trail(store: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(store.join(DIRECTORY))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

fn events(text: &str, kind: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}

#[test]
fn rule_7_no_user_address_fingerprint_or_secret_is_in_any_file_of_the_trail() {
    let rig = Rig::start();
    rig.open(5);
    let now_ms = rig.clock.unix_ms();
    let marked = || {
        Draft::order("phone", "user-marked-5150", "key-marked-5150")
            .set("x-forwarded-for", "198.51.100.150, 203.0.113.151")
            .set("x-device-fingerprint", "fingerprint-marked-5150")
    };
    let unsigned = marked().set("x-api-key", "client-marked-5150");
    let signed = |draft: Draft| draft.sign(&shop(), now_ms);
    let refused = [
        (unsigned.clone(), "401 unauthorized"),
        (marked().set("authorization", "Bearer pass-marked-5150"), "401 unauthorized"),
        (signed(marked()).set("x-signature", "ab".repeat(32)), "401 invalid_signature"),
        (signed(marked().set("x-request-time", "1764000005150")), "400 request_expired"),
        (signed(marked().body("{\"marked-5150\":1}")), "400 invalid_request"),
        (signed(marked().without("x-idempotency-key")), "400 missing_idempotency_key"),
        (unsigned.target("/orders/marked-5150?marked-5150").method("GET"), "401 unauthorized"),
    ];
    for (draft, summary) in refused {
        assert_eq!(rig.send(&draft).summary(), summary);
    }
    // A double click: the second is told that it is one.
    assert_eq!(rig.send(&signed(marked())).summary(), "200 success");
    assert_eq!(rig.send(&signed(marked())).summary(), "200 ignored");
    let denied = rig.operator("token-marked-5150", "GET", "/admin/products/marked-5150", "", "m");
    assert_eq!(denied.status, 401);
    assert_eq!(rig.operator(VIEWER, "POST", "/init", "{\"marked-5150\":1}", "m-5150").status, 403);
    let dir = rig.stop();
    let text = trail(&dir.path().join("store"));
    for kind in [
        "unauthenticated",
        "invalid_signature",
        "request_expired",
        "bad_request",
        "repeated",
        "bad_token",
        "role_refused",
        "start",
        "stop",
    ] {
        assert!(!events(&text, kind).is_empty(), "{kind} is not there:\n{text}");
    }
    for needle in ["5150", "203.0.113", "198.51.100", "127.0.0.1", "cb007197", ADMIN_TOKEN, VIEWER]
    {
        assert!(!text.contains(needle), "{needle} is in the trail:\n{text}");
    }
    assert_eq!(events(&text, "role_refused")[0]["fields"]["who"], "vera");
    let source = &events(&text, "invalid_signature")[0]["fields"]["source"];
    assert_eq!(*source, events(&text, "request_expired")[0]["fields"]["source"]);
    let (sound, said) = says(&dir, &["audit", "verify"]);
    assert!(sound && said.contains("audit trail sound"), "{said}");
    let (_, exported) = says(&dir, &["audit", "export", "--kind", "bad_token"]);
    assert_eq!(exported.trim_end(), events_text(&text, "bad_token"));
    assert!(exported.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
}

fn events_text(text: &str, kind: &str) -> String {
    let marker = format!("\"kind\":\"{kind}\"");
    text.lines().filter(|line| line.contains(&marker)).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_operators_change_is_written_down_with_who_what_why_before_and_after() {
    let rig = Rig::start();
    rig.open(5);
    let order = rig.order("alice", "key-1").member("orderId");
    let path = format!("/admin/orders/{order}/reverse");
    let odd = r#"{"restock":true,"reason":"card\u202e refused\n=1+1"}"#;
    let refused = rig.operator(ADMIN_TOKEN, "POST", &path, odd, "r");
    assert_eq!(refused.summary(), "400 invalid_request", "nothing that steers a terminal");
    let body = r#"{"restock":true,"reason":"card refused =1+1"}"#;
    assert_eq!(rig.operator(ADMIN_TOKEN, "POST", &path, body, "r").summary(), "200 reversed");
    let all = rig.operator(ADMIN_TOKEN, "GET", "/admin/audit?kind=operator_action", "", "x");
    let all = all.json();
    let actions = all["events"].as_array().unwrap();
    assert_eq!(actions.len(), 2);
    let fields = &actions[1]["fields"];
    assert_eq!(
        (&fields["who"], &fields["what"], &fields["why"]),
        (&json!("admin"), &json!("order_reversed"), &json!("card refused =1+1"))
    );
    assert_eq!((&fields["before"]["sold"], &fields["before"]["remaining"]), (&json!(1), &json!(4)));
    let page = rig.operator(ADMIN_TOKEN, "GET", "/admin/audit?kind=operator_result", "", "x");
    let result = page.json()["events"][1]["fields"].clone();
    assert_eq!((&result["outcome"], &result["after"]["sold"]), (&json!("applied"), &json!(0)));
    let head = rig.operator(VIEWER, "GET", "/admin/audit/head", "", "x");
    assert_eq!(head.json()["kind"], "head");
    assert_eq!(head.json()["fields"]["log"][0]["offset"], 3, "the order log's head is in it");
    assert_eq!(rig.operator(VIEWER, "GET", "/admin/audit", "", "x").status, 403);
    let bad = rig.operator(ADMIN_TOKEN, "GET", "/admin/audit?kind=nonsense", "", "x");
    assert_eq!(bad.summary(), "400 invalid_request");
    let key = rig.published("audit").to_string();
    let dir = rig.stop();
    let (sound, said) = says(&dir, &["audit", "verify", "--head", &head.text(), "--key", &key]);
    assert!(sound, "{said}");
    // The order log is covered by the same claim: another one in its place is found.
    let store = dir.path().join("store");
    for name in ["flux-gate.db", "flux-gate.db-wal", "flux-gate.db-shm"] {
        let _ = std::fs::remove_file(store.join(name));
    }
    let other = Server::start(program(), &store, &config()).unwrap();
    other.stop().unwrap();
    let (sound, said) = says(&dir, &["audit", "verify", "--head", &head.text()]);
    assert!(!sound && said.contains("the digest is not the one that was noted"), "{said}");
}

#[test]
fn a_change_that_cannot_be_written_down_is_refused_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    std::fs::create_dir(&store).unwrap();
    // A trail that is larger than all other files will be.
    let options = Options {
        data_dir: store.clone(),
        limits: Limits { bytes_max: 1 << 30, retention_ms: u64::MAX },
        signer: KeyPair::from_seed(&AUDIT_SEED.into()).unwrap(),
        random: |bytes| bytes.fill(9),
        version: "test",
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let long = Trail::start(options, Clock::system(), Box::new(Vec::new)).unwrap();
    for _ in 0..200 {
        let fields = json!({ "what": "x".repeat(8_000) });
        runtime.block_on(long.record(Kind::OperatorAction, fields)).unwrap();
    }
    long.stop();
    let bytes =
        std::fs::metadata(store.join(DIRECTORY).join("audit-00000001.jsonl")).unwrap().len();
    // No file may grow beyond this; a write that would is an error, as on a full disk.
    let setup = format!("trap '' XFSZ; ulimit -f {}", (bytes + 4_096) / 512);
    let command = command_after(&setup, program(), &store, &config()).unwrap();
    let server = Server::start_by(command).unwrap();
    let rig = Rig { server, dir, clock: Clock::system() };
    let opened = (0..10).map(|n| {
        let body = format!(r#"{{"productId":"phone-{n}","quantity":5}}"#);
        rig.operator(ADMIN_TOKEN, "POST", "/init", &body, &format!("open-{n}")).summary()
    });
    let opened: Vec<String> = opened.collect();
    assert_eq!(opened.last().map(String::as_str), Some("503 audit_unavailable"), "{opened:?}");
    let products = rig.operator(ADMIN_TOKEN, "GET", "/admin/products", "", "x").json();
    let made = products["products"].as_array().unwrap().len();
    assert_eq!(made, opened.iter().filter(|summary| *summary == "200 ok").count());
    let store = rig.store();
    drop(rig.server);
    let server = Server::start(program(), &store, &config()).unwrap();
    server.stop().unwrap();
    let (sound, said) = says(&rig.dir, &["audit", "verify"]);
    assert!(sound, "{said}");
}

#[test]
fn an_accepted_order_carries_a_receipt_that_its_buyer_can_check() {
    let rig = Rig::start();
    rig.open(3);
    let key = rig.published("receipt");
    let accepted = rig.order("alice", "key-1");
    let receipt: Receipt = accepted.member("receipt").parse().unwrap();
    assert!(receipt.is_signed_by(&key));
    assert_eq!(receipt.claim.order_id.to_string(), accepted.member("orderId"));
    assert_eq!((receipt.claim.product.as_str(), receipt.claim.offset), ("phone", 2));
    let offset = receipt.claim.offset;
    let digest = hex::encode(receipt.claim.digest);
    let others: Vec<String> =
        ["bob", "carol"].map(|user| rig.order(user, "key-1").member("receipt")).into();
    assert_eq!(rig.order("dave", "key-1").summary(), "409 sold_out");
    let text = receipt.to_string();
    let audit_key = rig.published("audit").to_string();
    // A running node states the same as the file does later.
    let stated = rig.operator(ADMIN_TOKEN, "GET", "/admin/products/phone/proof", "", "x");
    assert_eq!(rig.operator(VIEWER, "GET", "/admin/products/phone/proof", "", "x").status, 403);
    let none = rig.operator(ADMIN_TOKEN, "GET", "/admin/products/none/proof", "", "x");
    assert_eq!(none.summary(), "404 unknown_product");
    let dir = rig.stop();
    let check = |receipt: &str, key: &str| says(&dir, &["audit", "receipt", receipt, "--key", key]);
    let key = key.to_string();
    assert!(check(&text, &key).0);
    assert!(check(&others[1], &key).0);
    assert!(!check(&text, &audit_key).0, "another key");
    let mut forged = text.clone().into_bytes();
    forged[40] = if forged[40] == b'A' { b'B' } else { b'A' };
    assert!(!check(std::str::from_utf8(&forged).unwrap(), &key).0);
    // What it says of the log is what `audit verify` compares.
    let known = format!("{offset}:{digest}");
    assert!(says(&dir, &["audit", "verify", "--known", &known]).0);
    let wrong = format!("{}:{digest}", offset + 1);
    assert!(!says(&dir, &["audit", "verify", "--known", &wrong]).0);

    let (made, proof) = says(&dir, &["audit", "proof", "--product", "phone"]);
    assert!(made, "{proof}");
    let (live, of_file) = (stated.json(), serde_json::from_str::<Value>(&proof).unwrap());
    for name in ["productId", "capacity", "sold", "reversed", "offset", "digest", "root", "orders"]
    {
        assert_eq!(live[name], of_file[name], "{name}");
    }
    let file = dir.path().join("proof.json");
    std::fs::write(&file, &proof).unwrap();
    let file = file.to_str().unwrap();
    let check = |more: &[&str]| {
        let arguments = [&["audit", "proof", "--check", file, "--key", &audit_key], more].concat();
        says(&dir, &arguments)
    };
    let (holds, said) = check(&["--receipt", &text]);
    assert!(holds && said.contains("holds: 3 of 3 of phone sold"), "{said}");
    let stranger = "7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10";
    assert!(!check(&["--order", stranger]).0);
    for marked in ["alice", "bob", "carol", &accepted.member("orderId")] {
        assert!(!proof.contains(marked), "{marked} is named");
    }
    std::fs::write(file, proof.replace("\"sold\":3", "\"sold\":2")).unwrap();
    assert!(!check(&[]).0);
}

#[test]
fn receipts_can_be_turned_off() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("[receipts]\nenabled = false\n{}", config());
    let server = Server::start(program(), &dir.path().join("store"), &config).unwrap();
    let rig = Rig { server, dir, clock: Clock::system() };
    rig.open(1);
    let accepted = rig.order("alice", "key-1");
    assert_eq!(accepted.summary(), "200 success");
    assert_eq!(accepted.json().as_object().unwrap().len(), 3, "{}", accepted.text());
}

#[test]
fn an_order_that_the_shop_cancels_is_written_down_with_its_client() {
    let rig = Rig::start();
    rig.open(5);
    let order = rig.order("alice", "key-1").member("orderId");
    let cancel = Draft::new("POST", &format!("/orders/{order}/cancel"), r#"{"restock":true}"#)
        .set("content-type", "application/json")
        .sign(&shop(), rig.clock.unix_ms());
    assert_eq!(rig.send(&cancel).summary(), "200 reversed");
    let page = rig.operator(ADMIN_TOKEN, "GET", "/admin/audit?kind=client_reversal", "", "x");
    let fields = page.json()["events"][0]["fields"].clone();
    let expected = json!({"client": "shop", "product": "phone", "order": order, "restock": true,
        "outcome": "applied", "offset": 3});
    assert_eq!(fields, expected);
}
