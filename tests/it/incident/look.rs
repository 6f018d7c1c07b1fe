//! Looking: pages, thresholds, names in clear, roles, and a node that keeps no evidence.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::support::wait::{PATIENCE, until};

const LOOKS: [&str; 3] =
    ["/admin/incident/orders", "/admin/incident/offenders", "/admin/incident/analysis"];

impl Rig {
    fn look(&self, path: &str) -> Answer {
        operator(self.server.operator, ADMIN_TOKEN, "GET", path, "", None)
    }

    /// Looks until so many accepted orders have been seen.
    fn seen(&self, product: &str, orders: usize) {
        let path = format!("/admin/incident/analysis?product={product}");
        until("the evidence is seen", || {
            (self.look(&path).json()["orders"] == orders).then_some(())
        });
    }

    /// Accepted orders of so many users with one device.
    fn farm(&self, product: &str, users: std::ops::Range<u32>, device: &str) -> BTreeSet<String> {
        let one = |user| {
            let name = format!("farm{user}x");
            let answer =
                order_from(self.server.public, product, &name, "k", "198.51.100.1", device);
            assert_eq!(answer.summary(), "200 success", "{}", answer.text());
            answer.member("orderId")
        };
        users.map(one).collect()
    }
}

#[test]
fn pages_of_suspicious_orders_are_all_of_them_once() {
    let rig = Rig::start("");
    rig.sale("phone", 1_000);
    rig.sale("shoe", 1_000);
    let farm = rig.farm("phone", 0..60, "one-device");
    for user in 60..80 {
        rig.farm("phone", user..user + 1, &format!("device-{user}"));
    }
    let other = rig.farm("shoe", 0..4, "shoe-device");
    rig.seen("phone", 80);
    rig.seen("shoe", 4);
    let base = "/admin/incident/orders?product=phone&pattern=shared_fingerprint&burst_orders=1000&limit=25";
    let mut found = Vec::new();
    let mut after = String::new();
    let mut pages = 0;
    loop {
        let page = rig.look(&format!("{base}{after}")).json();
        let counts = ["matched", "lookedAt", "complete"].map(|name| page[name].clone());
        assert_eq!(counts, [json!(60), json!(80), json!(true)], "{page}");
        pages += 1;
        for order in page["orders"].as_array().unwrap() {
            found.push(order["orderId"].as_str().unwrap().to_owned());
            assert_eq!(order["status"], "confirmed");
            assert_eq!(order["shows"][0]["pattern"], "shared_fingerprint", "{order}");
            assert_eq!(order["shows"][0]["count"], 60);
            assert_eq!(order["shows"][0]["mark"], order["fingerprint"]);
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((pages, found.len()), (3, 60));
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), farm);
    // Reversed ones are still what they were.
    let first = farm.first().unwrap();
    let body = json!({"product": "phone", "orders": [first], "restock": true, "reason": "fraud"});
    rig.post("/admin/incident/reverse", &body);
    let page = rig.look("/admin/incident/orders?product=phone&fingerprint=one-device").json();
    let reversed = page["orders"].as_array().unwrap().iter().filter(|o| o["status"] == "reversed");
    assert_eq!((reversed.count(), &page["matched"]), (1, &json!(60)));
    // Thresholds.
    let at = |query: &str| rig.look(&format!("/admin/incident/orders?{query}")).json();
    assert_eq!(at("product=phone&fingerprint_buyers=61&burst_orders=100000")["matched"], 0);
    assert_eq!(at("product=phone&fingerprint_buyers=60&burst_orders=100000")["matched"], 60);
    assert_eq!(at("product=shoe&burst_orders=100000")["matched"], 0, "four buyers");
    assert_eq!(at("product=shoe&fingerprint_buyers=4")["matched"], other.len());
    let all = at("fingerprint_buyers=4&limit=10000");
    assert_eq!(all["matched"], 64, "of all products");
    // What a shop ordered has no address of its users.
    assert!(all["orders"].as_array().unwrap().iter().all(|order| order["address"].is_null()));
}

#[test]
fn what_a_query_finds_is_taken_back_and_what_came_after_the_look_is_not() {
    let rig = Rig::start("");
    rig.sale("phone", 1_000);
    let farm = rig.farm("phone", 0..40, "one-device");
    rig.farm("phone", 40..41, "a-device");
    rig.seen("phone", 41);
    let ask = |query: &str, dry_run: bool| {
        let body = json!({
            "product": "phone", "query": query, "restock": false, "reason": "fraud", "dryRun": dry_run,
        });
        rig.post("/admin/incident/reverse", &body)
    };
    let query = "fingerprint=one-device&burst_orders=1000";
    let would = ask(query, true).json();
    assert_eq!((&would["matched"], &would["reversed"]), (&json!(40), &json!(40)), "{would}");
    assert_eq!(rig.product("phone")["sold"], 41, "a look changes nothing");
    let fixed = would["query"].as_str().unwrap();
    // The farm goes on after the look.
    let later = rig.farm("phone", 50..60, "one-device");
    rig.seen("phone", 51);
    let refused = ask(query, false);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("until"), "{}", refused.text());
    let done = ask(fixed, false).json();
    assert_eq!((&done["status"], &done["reversed"]), (&json!("done"), &json!(40)), "{done}");
    let reversed: BTreeSet<String> = rig.reversed().into_keys().collect();
    assert_eq!(reversed, farm);
    assert!(reversed.is_disjoint(&later));
    let again = ask(fixed, false).json();
    assert_eq!((&again["reversed"], &again["already"]), (&json!(0), &json!(40)), "{again}");
    // What a query may not say, and what it may not be sent with.
    for wrong in ["product=shoe", "limit=5", "pattern=all", "since=9&until=5"] {
        assert_ne!(ask(wrong, true).status, 200, "{wrong}");
    }
    let none = "fingerprint=nobody-has-this";
    assert_eq!(ask(none, true).json()["matched"], 0);
    for both in [json!({"orders": [], "query": none}), json!({})] {
        let mut body = json!({"product": "phone", "restock": false, "reason": "x", "dryRun": true});
        body.as_object_mut().unwrap().extend(both.as_object().unwrap().clone());
        let answer = rig.post("/admin/incident/reverse", &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("exactly one"), "{}", answer.text());
    }
}

#[test]
fn bots_that_hang_up_before_the_answer_are_found_all_the_same() {
    use std::io::Write;
    let rig = Rig::start("");
    rig.sale("phone", 1_000);
    for number in 0..60_u64 {
        let draft = Draft::order("phone", &format!("hasty{number}x"), "k")
            .set("content-type", "application/json")
            .set("x-device-fingerprint", "hasty-device")
            .sign(&signer(), unix_ms());
        let mut bot = std::net::TcpStream::connect(rig.server.public).unwrap();
        bot.write_all(&draft.bytes()).unwrap();
        // Some before the log has the attempt, some while it decides, some after.
        std::thread::sleep(Duration::from_micros(500 * (number % 12)));
    }
    let begun = Instant::now();
    let path = "/admin/incident/orders?product=phone&pattern=shared_fingerprint&limit=1000";
    loop {
        let (sold, found) = (rig.product("phone")["sold"].clone(), rig.look(path).json());
        // What the log has not decided yet is sold a moment later.
        if sold != 0 && found["matched"] == sold && begun.elapsed() > Duration::from_secs(2) {
            println!("{sold} sold to bots that hung up, all of them found");
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{sold} sold: {found}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_viewer_looks_and_nobody_without_a_token() {
    let hash = hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        b"viewer-token-0123456789",
    ));
    let tokens = format!(
        "[admin]\ntokens = [{{ name = \"vera\", role = \"viewer\", token_sha256 = \"{hash}\" }}]\n"
    );
    let rig = Rig::start(&tokens);
    for path in LOOKS {
        let by = |token: &str| operator(rig.server.operator, token, "GET", path, "", None).status;
        assert_eq!(
            (by("viewer-token-0123456789"), by("no-token-0123456789")),
            (200, 401),
            "{path}"
        );
        assert_eq!(rig.look(&format!("{path}?product=nothing")).summary(), "404 unknown_product");
        assert_eq!(rig.look(&format!("{path}?colour=red")).summary(), "400 invalid_request");
        assert_eq!(rig.look(&format!("{path}?since=5&until=5")).summary(), "400 invalid_request");
    }
}

#[test]
fn a_node_without_evidence_says_so() {
    let rig = Rig::start("[evidence]\nenabled = false\n");
    rig.sale("phone", 10);
    rig.orders("phone", 0..3);
    for path in LOOKS {
        let answer = rig.look(path);
        assert_eq!(answer.summary(), "409 conflict", "{path}");
        assert!(answer.text().contains("evidence.enabled"), "{}", answer.text());
    }
    for command in ["investigate", "offenders", "analyse"] {
        let (done, said) = says(rig.server.operator, rig.dir.path(), &[command]);
        assert!(!done && said.contains("evidence.enabled"), "{said}");
    }
    let query = ["--product", "phone", "--query", "since=-10m", "--reason", "x", "--yes"];
    let arguments = [&["reverse"], &query[..]].concat();
    let (done, said) = says(rig.server.operator, rig.dir.path(), &arguments);
    assert!(!done && said.contains("evidence.enabled"), "{said}");
    assert_eq!(rig.product("phone")["sold"], 3);
    let report = rig.look("/admin/incident/report").json();
    assert!(report["markdown"].as_str().unwrap().contains("No evidence of attempts"), "{report}");
    let overview = rig.look("/admin/overview").json();
    assert!(overview["offenders"].is_null(), "{overview}");
}
