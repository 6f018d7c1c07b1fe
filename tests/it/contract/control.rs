//! The operator's controls while the gate runs: blocks, live limits, tokens, approvals.

use std::time::Instant;

use super::*;
use crate::support::wait::until;

/// How long what ends by itself lasts here: a look before its end is before it on a slow machine too.
const SHORT_MS: u64 = 5_000;
const BEHIND_A_PROXY: &str = "[http]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

impl Gate {
    /// A call of another operator's.
    fn by(&self, token: &str, method: &str, path: &str, body: &str, key: Option<&str>) -> Answer {
        let mut draft = Draft::new(method, path, body)
            .set("authorization", format!("Bearer {token}"))
            .set("content-type", "application/json");
        if let Some(key) = key {
            draft = draft.set("idempotency-key", key);
        }
        let answer = exchange(self.server.operator, None, &draft.bytes());
        answer.expect("an answer").expect("not closed without an answer")
    }

    fn order_from(&self, address: &str, fingerprint: &str, user: &str, key: &str) -> String {
        let draft = Draft::order("phone", user, key)
            .set("x-forwarded-for", address)
            .set("x-device-fingerprint", fingerprint);
        self.signed(&shop(), draft).summary()
    }

    fn block(&self, target: &str, until_ms: u64, key: &str) -> Answer {
        let body = format!(r#"{{{target},"until":{until_ms},"reason":"a test"}}"#);
        self.operator("POST", "/admin/blocks", &body, Some(key))
    }

    fn in_ms(&self, ms: u64) -> u64 {
        self.clock.unix_ms() + ms
    }

    /// Makes a token of this name.
    fn token(&self, name: &str, role: &str) -> String {
        let body = format!(r#"{{"name":"{name}","role":"{role}"}}"#);
        let made = self.operator("POST", "/admin/tokens", &body, Some(&format!("make-{name}")));
        assert_eq!(made.status, 201, "{}", made.text());
        made.member("token")
    }
}

#[test]
fn a_block_refuses_at_once_until_its_time_or_until_it_is_lifted_and_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_flux-gate").as_ref();
    let config = format!("{BEHIND_A_PROXY}[limits]\nip_per_second = 0\n{CLIENTS}");
    let store = dir.path().join("store");
    let start = || Server::start(program, &store, &config).expect("it starts");
    let mut gate =
        Gate { server: start(), _dir: tempfile::tempdir().unwrap(), clock: Clock::system() };
    gate.init("phone", 100);

    assert_eq!(gate.order_from("203.0.113.9", "f-1", "alice", "k1"), "200 success");
    let set = gate.block(r#""address":"203.0.113.0/24""#, gate.in_ms(3_600_000), "b-1");
    assert_eq!(set.summary(), "200 applied", "{}", set.text());
    let id = set.member("id");
    assert!(id.starts_with("v4-24-"), "{id}");
    assert_eq!(gate.order_from("203.0.113.9", "f-1", "bob", "k1"), "403 blocked");
    assert_eq!(gate.order_from("203.0.114.9", "f-1", "bob", "k1"), "200 success");
    let again = gate.block(r#""address":"203.0.113.0/24""#, gate.in_ms(3_600_000), "b-1");
    assert_eq!(again.member("reason"), "already_applied");

    let hour = gate.in_ms(3_600_000);
    assert_eq!(gate.block(r#""fingerprint":"farm-7""#, hour, "b-2").summary(), "200 applied");
    assert_eq!(gate.block(r#""user":"mallory-77""#, hour, "b-3").summary(), "200 applied");
    assert_eq!(gate.block(r#""address":"2001:db8::/48""#, hour, "b-4").summary(), "200 applied");
    assert_eq!(gate.order_from("192.0.2.1", "farm-7", "carol", "k1"), "403 blocked");
    assert_eq!(gate.order_from("192.0.2.1", "f-1", "mallory-77", "k1"), "403 user_blocked");
    assert_eq!(gate.order_from("2001:db8:0:ffff::1", "f-1", "carol", "k1"), "403 blocked");
    assert_eq!(gate.order_from("2001:db8:1::1", "f-1", "carol", "k1"), "200 success");
    let session = Draft::new("POST", "/session", r#"{"userId":"mallory-77"}"#);
    let session = gate.signed(&shop(), session.set("content-type", "application/json"));
    assert_eq!(session.summary(), "403 user_blocked", "check 9 of a session too");

    // The log holds pseudonyms alone, and a start comes to the same blocks.
    let listed = gate.operator("GET", "/admin/blocks", "", None).text();
    let Gate { server, .. } = gate;
    let log = server.log();
    server.stop().unwrap();
    for clear in ["203.0.113", "farm-7", "mallory-77", "2001:db8"] {
        assert!(!log.contains(clear) && !listed.contains(clear), "rule 7: {clear}");
        for file in files(&store) {
            let bytes = std::fs::read(file).unwrap();
            let found = bytes.windows(clear.len()).any(|window| window == clear.as_bytes());
            assert!(!found, "rule 7: {clear} is in the store");
        }
    }
    let verify = std::process::Command::new(env!("CARGO_BIN_EXE_flux-gate"))
        .args(["audit", "verify", "--data"])
        .arg(&store)
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    gate = Gate { server: start(), _dir: tempfile::tempdir().unwrap(), clock: Clock::system() };
    assert_eq!(gate.operator("GET", "/admin/blocks", "", None).text(), listed);
    assert_eq!(gate.order_from("203.0.113.9", "f-1", "dave", "k1"), "403 blocked");

    let lifted = gate.operator("DELETE", &format!("/admin/blocks/{id}"), "", Some("l-1"));
    assert_eq!(lifted.summary(), "200 applied", "{}", lifted.text());
    assert_eq!(gate.order_from("203.0.113.9", "f-1", "dave", "k1"), "200 success");
    let body = r#"{"fingerprint":"farm-7"}"#;
    assert_eq!(gate.operator("DELETE", "/admin/blocks", body, Some("l-2")).status, 200);
    let gone = gate.operator("DELETE", "/admin/blocks", body, Some("l-3"));
    assert_eq!(gone.summary(), "404 unknown_entry");
    // A short one ends by itself.
    let short = gate.block(r#""address":"198.51.100.7""#, gate.in_ms(SHORT_MS), "b-5");
    assert_eq!(short.summary(), "200 applied");
    assert_eq!(gate.order_from("198.51.100.7", "f-1", "erin", "k1"), "403 blocked");
    until("the block ends by itself", || {
        let now = gate.order_from("198.51.100.7", "f-1", "erin", "k1");
        assert!(["403 blocked", "200 success"].contains(&now.as_str()), "{now}");
        (now == "200 success").then_some(())
    });
}

/// How many orders pass until one is too many: of a hundred at most.
fn passes_until_too_many(order: impl Fn(u32) -> String) -> f64 {
    let too_many = (0..100).find(|n| order(*n) == "429 slow_down");
    too_many.expect("a hundred have passed").into()
}

#[test]
fn a_block_that_cannot_be_is_refused_with_what_is_wrong() {
    let gate = Gate::start("");
    let hour = gate.in_ms(3_600_000);
    for (body, detail) in [
        (format!(r#"{{"until":{hour},"reason":"x"}}"#), "exactly one of"),
        (format!(r#"{{"user":"a","fingerprint":"b","until":{hour},"reason":"x"}}"#), "exactly one"),
        (format!(r#"{{"address":"nowhere","until":{hour},"reason":"x"}}"#), "203.0.113.0/24"),
        (format!(r#"{{"address":"10.0.0.0/7","until":{hour},"reason":"x"}}"#), "at least 8 bits"),
        (format!(r#"{{"address":"::/0","until":{hour},"reason":"x"}}"#), "at least 19 bits"),
        (format!(r#"{{"user":"NOT A USER","until":{hour},"reason":"x"}}"#), "user must match"),
        (format!(r#"{{"user":"mallory","until":{hour},"reason":""}}"#), "1 to 200 bytes"),
        (format!(r#"{{"user":"mallory","until":{hour},"reason":"a\nb"}}"#), "one line"),
        (format!(r#"{{"user":"mallory","until":{hour},"reason":"it is Mallory"}}"#), "in clear"),
        (r#"{"user":"mallory","until":5,"reason":"x"}"#.to_owned(), "in the future"),
        (r#"{"user":"mallory","reason":"x"}"#.to_owned(), "missing field"),
    ] {
        let answer = gate.operator("POST", "/admin/blocks", &body, Some("k"));
        assert_eq!(answer.summary(), "400 invalid_request", "{body}");
        assert!(answer.member("detail").contains(detail), "{body}: {}", answer.text());
        for clear in ["nowhere", "NOT A USER", "mallory"] {
            assert!(!answer.text().contains(clear), "{}", answer.text());
        }
    }
    let body = format!(r#"{{"user":"mallory","until":{hour},"reason":"x"}}"#);
    let keyless = gate.operator("POST", "/admin/blocks", &body, None);
    assert_eq!(keyless.summary(), "400 missing_idempotency_key");
    let viewer = gate.token("val", "viewer");
    let refused = gate.by(&viewer, "POST", "/admin/blocks", &body, Some("k"));
    assert_eq!(refused.summary(), "403 forbidden");
    assert_eq!(gate.by(&viewer, "GET", "/admin/blocks", "", None).status, 200);
}

#[test]
fn a_live_limit_holds_at_once_until_its_time_and_fills_no_bucket() {
    let gate = Gate::limited("", "fingerprint_per_second = 0\nmin_interval_ms = 0\n");
    gate.init("phone", 1_000);
    let set = |limit: &str, value: u32, until_ms: u64, key: &str| {
        let body = format!(
            r#"{{"limit":"{limit}","value":{value},"until":{until_ms},"reason":"a test"}}"#
        );
        gate.operator("POST", "/admin/limits", &body, Some(key))
    };
    // Each try is one request: no retry may use up what a limit gives.
    let order =
        |user: &str, key: &str| gate.signed(&shop(), Draft::order("phone", user, key)).summary();
    let lift = |key: &str| gate.operator("DELETE", "/admin/limits/buyer_per_second", "", Some(key));
    let hour = gate.in_ms(3_600_000);
    // Five a second, as configured, and what comes in while they are used up: then one is too many. The bucket is
    // empty then, and a live limit does not fill it. A slow machine does, so another buyer tries until it was quick.
    for round in 0..20 {
        let user = format!("alice-{round}");
        let begun = Instant::now();
        let gained = || 5.0 * begun.elapsed().as_secs_f64();
        let passed = passes_until_too_many(|n| order(&user, &format!("k{n}")));
        assert!(passed >= 5.0 && passed <= 5.0 + gained(), "{passed}, and {} came in", gained());
        let tightened = set("buyer_per_second", 1, hour, &format!("t-1-{round}"));
        assert_eq!(tightened.summary(), "200 applied", "{}", tightened.text());
        let next = order(&user, "next");
        let left = 5.0 + gained() - passed;
        assert!(next == "429 slow_down" || left >= 1.0, "{next}: it is filled, {left} were left");
        if left < 1.0 {
            break;
        }
        println!("too slow: {left} had come in");
        assert_eq!(lift(&format!("l-0-{round}")).summary(), "200 applied");
    }
    let tightened = set("buyer_per_second", 1, hour, "t-1");
    assert_eq!(tightened.status, 200, "{}", tightened.text());
    let begun = Instant::now();
    let passed = passes_until_too_many(|n| order("bob", &format!("k{n}")));
    let most = 1.0 + begun.elapsed().as_secs_f64();
    assert!(passed >= 1.0 && passed <= most, "{passed} of at most {most}");
    let listed = gate.operator("GET", "/admin/limits", "", None).json();
    let buyer = listed["limits"].as_array().unwrap().iter();
    let buyer = buyer.clone().find(|limit| limit["limit"] == "buyer_per_second").unwrap();
    assert_eq!((&buyer["configured"], &buyer["effective"]), (&5.into(), &1.into()));
    assert_eq!(buyer["live"]["by"], "admin");

    assert_eq!(lift("l-1").summary(), "200 applied");
    let passed = passes_until_too_many(|n| order("carol", &format!("k{n}")));
    assert!(passed >= 5.0, "five at once again: {passed}");
    assert_eq!(lift("l-2").summary(), "404 unknown_entry");

    // One that ends by itself.
    let ends_at = gate.in_ms(SHORT_MS);
    assert_eq!(set("node_per_second", 1, ends_at, "t-2").summary(), "200 applied");
    let status = |user: &str| order(user, "k");
    let too_many = (0..).map(|n| status(&format!("d-{n}"))).take_while(|_| gate.in_ms(0) < ends_at);
    let mut too_many = too_many.skip_while(|summary| summary != "429 too_many_requests");
    assert!(too_many.next().is_some(), "the limit of the node does not hold");
    let mut round = 0;
    until("the limit ends by itself", || {
        round += 1;
        let many: Vec<_> = (0..4).map(|n| status(&format!("e-{round}-{n}"))).collect();
        (many == ["200 success"; 4]).then_some(())
    });
    assert!(gate.in_ms(0) + 100 >= ends_at, "it ended early");

    for (limit, value, detail) in [
        ("nonsense", 1, "one of node_per_second"),
        ("ip_per_second", 0, "must be 1 to 1000000"),
        ("min_interval_ms", 60_001, "must be 1 to 60000"),
    ] {
        let refused = set(limit, value, gate.in_ms(1_000), "t-3");
        assert_eq!(refused.summary(), "400 invalid_request");
        assert!(refused.member("detail").contains(detail), "{}", refused.text());
    }
}

#[test]
fn tokens_are_made_shown_once_and_revoked_at_once() {
    let gate = Gate::start("");
    let alice = gate.token("alice", "operator");
    assert_eq!(alice.len(), 64);
    let body = r#"{"name":"alice","role":"operator"}"#;
    let again = gate.operator("POST", "/admin/tokens", body, Some("make-alice"));
    assert_eq!(again.summary(), "409 conflict", "it is shown once");
    let other = gate.operator("POST", "/admin/tokens", body, Some("other"));
    assert!(other.member("detail").contains("revoke it first"), "{}", other.text());
    let taken = r#"{"name":"admin","role":"viewer"}"#;
    assert_eq!(gate.operator("POST", "/admin/tokens", taken, Some("k")).summary(), "409 conflict");

    let init = r#"{"productId":"phone","quantity":1}"#;
    assert_eq!(gate.by(&alice, "POST", "/init", init, Some("i")).status, 200);
    assert_eq!(gate.by(&alice, "GET", "/admin/tokens", "", None).summary(), "403 forbidden");
    let listed = gate.operator("GET", "/admin/tokens", "", None);
    assert!(!listed.text().contains(&alice), "{}", listed.text());
    let names: Vec<_> = listed.json()["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (token["name"].to_string(), token["configured"] == true))
        .collect();
    assert_eq!(names, [("\"admin\"".to_owned(), true), ("\"alice\"".to_owned(), false)]);

    let revoked = gate.operator("DELETE", "/admin/tokens/alice", "", Some("r-1"));
    assert_eq!(revoked.summary(), "200 applied", "{}", revoked.text());
    assert_eq!(gate.by(&alice, "GET", "/admin/products", "", None).summary(), "401 unauthorized");
    let configured = gate.operator("DELETE", "/admin/tokens/admin", "", Some("r-2"));
    assert_eq!(configured.summary(), "409 conflict");
    // One with an end.
    let ends_at = gate.in_ms(SHORT_MS);
    let body = format!(r#"{{"name":"temp","role":"viewer","until":{ends_at}}}"#);
    let temp = gate.operator("POST", "/admin/tokens", &body, Some("t")).member("token");
    assert_eq!(gate.by(&temp, "GET", "/admin/products", "", None).status, 200);
    until("the token ends by itself", || {
        let now = gate.by(&temp, "GET", "/admin/products", "", None).summary();
        assert!(now == "401 unauthorized" || now.starts_with("200"), "{now}");
        (now == "401 unauthorized").then_some(())
    });
}

#[test]
fn more_units_need_a_second_operator() {
    let hash = |token: &str| {
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()))
    };
    let (alice, bob) = ("alice-token-0123456789", "bob-token-0123456789");
    let gate = Gate::start(&format!(
        "[admin]\napprovals = \"units\"\ntokens = [\n\
         {{ name = \"alice\", role = \"operator\", token_sha256 = \"{}\" }},\n\
         {{ name = \"bob\", role = \"operator\", token_sha256 = \"{}\" }},\n]\n",
        hash(alice),
        hash(bob)
    ));
    gate.init("phone", 10);
    assert_eq!(gate.order("phone", "u-1", "k").summary(), "200 success");
    let restock = |token: &str, quantity: u32, key: &str| {
        let body = format!(r#"{{"quantity":{quantity}}}"#);
        gate.by(token, "POST", "/admin/products/phone/restock", &body, Some(key))
    };
    let approve = |token: &str, id: &str| {
        gate.by(token, "POST", &format!("/admin/approvals/{id}/approve"), "", None)
    };
    // Fewer, or as many: at once.
    assert_eq!(restock(alice, 5, "less").summary(), "200 applied");
    assert_eq!(gate.product("phone")["capacity"], 6);
    // More: only asked for.
    let asked = restock(alice, 20, "more");
    assert_eq!(asked.summary(), "202 approval_required", "{}", asked.text());
    assert_eq!(asked.member("approval"), "more");
    let again = restock(alice, 20, "more");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(gate.product("phone")["capacity"], 6);
    let same = approve(alice, "more");
    assert_eq!(same.summary(), "403 forbidden", "{}", same.text());
    assert_eq!(gate.product("phone")["capacity"], 6);
    let listed = gate.operator("GET", "/admin/approvals", "", None).json();
    assert_eq!(listed["approvals"][0]["askedBy"], "alice", "{listed}");
    let approved = approve(bob, "more");
    assert_eq!(approved.summary(), "200 applied", "{}", approved.text());
    assert_eq!(gate.product("phone")["capacity"], 21);
    assert_eq!(approve(bob, "more").member("reason"), "already_applied", "it is made once");
    assert_eq!(restock(alice, 20, "more").member("reason"), "already_applied");
    assert_eq!(gate.product("phone")["capacity"], 21);

    // By /init and by a reversal too; a rejected one is not made.
    let init = r#"{"productId":"phone","quantity":90}"#;
    let asked = gate.by(alice, "POST", "/init", init, Some("init-more"));
    assert_eq!(asked.summary(), "202 approval_required", "{}", asked.text());
    let rejected = gate.by(bob, "POST", "/admin/approvals/init-more/reject", "", None);
    assert_eq!(rejected.summary(), "200 rejected");
    assert_eq!(approve(bob, "init-more").summary(), "404 unknown_entry");
    let order = gate.order("phone", "u-2", "k").member("orderId");
    let reverse = |restock: bool| {
        let body = format!(r#"{{"restock":{restock},"reason":"fraud"}}"#);
        gate.by(alice, "POST", &format!("/admin/orders/{order}/reverse"), &body, Some("rev"))
    };
    assert_eq!(reverse(true).summary(), "202 approval_required");
    assert_eq!(gate.product("phone")["sold"], 2);
    assert_eq!(approve(bob, "rev").summary(), "200 applied");
    let now = gate.product("phone");
    assert_eq!((&now["sold"], &now["capacity"]), (&1.into(), &21.into()), "{now}");
    assert_eq!(reverse(false).summary(), "200 ignored", "it is reversed already");
    // A token that alice made would be alice.
    let carol = gate.token("carol", "admin");
    let body = r#"{"name":"puppet","role":"operator"}"#;
    let puppet = gate.by(&carol, "POST", "/admin/tokens", body, Some("p")).member("token");
    assert_eq!(restock(&carol, 80, "carols").status, 202);
    assert_eq!(approve(&puppet, "carols").summary(), "403 forbidden");
    assert_eq!(approve(alice, "carols").summary(), "200 applied");
}

/// All files beneath a folder.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
