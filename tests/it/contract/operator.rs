//! The operator's calls.

use aws_lc_rs::digest;

use super::*;
use crate::support::wait::until;

fn create(gate: &Gate, id: &str, more: &str) -> Answer {
    let body = format!(r#"{{"productId":"{id}","quantity":3{more}}}"#);
    gate.operator("POST", "/admin/products", &body, Some(&format!("create-{id}")))
}

#[test]
fn init_opens_a_new_sale_and_sets_the_units_left_of_a_running_one_once() {
    let gate = Gate::start("");
    let init = |quantity: u32, key: Option<&str>| {
        let body = format!(r#"{{"productId":"phone","quantity":{quantity}}}"#);
        gate.operator("POST", "/init", &body, key)
    };
    let opened = init(2, Some("open-1"));
    assert_eq!(opened.json()["msg"], "Stock initialized for phone to 2");
    assert_eq!(gate.order("phone", "alice", "key-1").summary(), "200 success");
    let replayed = init(2, Some("open-1"));
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!(gate.product("phone")["remaining"], 1, "a repeated opening is no restock");
    assert_eq!(init(2, None).summary(), "400 missing_idempotency_key");
    assert_eq!(init(5, Some("more-1")).status, 200);
    assert_eq!(gate.product("phone")["capacity"], 6, "capacity = sold + quantity");
    assert_eq!(init(5, Some("more-1")).header("idempotency-replayed"), Some("true"));
    assert_eq!(gate.product("phone")["capacity"], 6);
    assert_eq!(init(u32::MAX, Some("more-2")).summary(), "400 invalid_request");
}

#[test]
fn a_sale_is_created_opened_paused_resumed_closed_and_archived() {
    let gate = Gate::start("");
    let later = gate.clock.unix_ms() + 3_600_000;
    let created = create(&gate, "phone", &format!(r#","opensAt":{later}"#));
    assert_eq!((created.status, created.member("status").as_str()), (201, "not_open"));
    assert_eq!(create(&gate, "phone", "").header("idempotency-replayed"), Some("true"));
    let body = r#"{"productId":"phone","quantity":9}"#;
    let second = gate.operator("POST", "/admin/products", body, Some("other"));
    assert_eq!(second.summary(), "409 conflict");

    let order = |user: &str| gate.order("phone", user, "key-1");
    let change = |what: &str, key: &str| {
        gate.operator("POST", &format!("/admin/products/phone/{what}"), "{}", Some(key))
    };
    let early = order("alice");
    assert_eq!(
        (early.summary().as_str(), early.json()["opensAt"].as_u64()),
        ("403 not_open", Some(later))
    );
    assert_eq!(change("open", "o-1").summary(), "200 applied");
    assert_eq!(order("alice").summary(), "200 success");
    assert_eq!(change("pause", "p-1").summary(), "200 applied");
    assert_eq!(order("bob").summary(), "403 paused", "rule 6");
    assert_eq!(gate.product("phone")["sold"], 1, "rule 6: the true count is kept");
    let again = change("pause", "p-2");
    assert_eq!(
        (again.summary().as_str(), again.member("reason").as_str()),
        ("200 ignored", "no_change")
    );
    assert_eq!(change("resume", "r-1").summary(), "200 applied");
    assert_eq!(change("pause", "p-1").member("reason"), "already_applied");
    assert_eq!(order("bob").summary(), "200 success");
    assert_eq!(change("close", "c-1").summary(), "200 applied");
    assert_eq!(order("carol").summary(), "403 closed");
    assert_eq!(order("alice").summary(), "200 ignored", "a repeat is told even then");
    assert_eq!(change("archive", "a-1").summary(), "200 applied");
    // The archive is indexed beside the sale; meanwhile it is not known who asks again.
    let settled = |user: &str| {
        until("it is indexed", || {
            let once = gate.signed(&shop(), Draft::order("phone", user, "key-1"));
            Some(once.summary()).filter(|summary| !summary.starts_with("503"))
        })
    };
    assert_eq!(settled("alice"), "200 ignored", "from the ledger");
    assert_eq!(settled("carol"), "403 closed");
    assert_eq!(change("nonsense", "n-1").summary(), "404 not_found");
    assert_eq!(
        gate.operator("POST", "/admin/products/phone/pause", "{}", None).summary(),
        "400 missing_idempotency_key"
    );
}

#[test]
fn orders_are_paged_from_the_ledger_and_reversed_once() {
    let gate = Gate::start("");
    gate.init("phone", 3);
    gate.init("tablet", 3);
    let mut ids = Vec::new();
    for (product, user) in [("phone", "a"), ("tablet", "b"), ("phone", "c"), ("phone", "d")] {
        ids.push(gate.order(product, user, "key").member("orderId"));
    }
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let target = format!("/admin/orders?product=phone&limit=1&after={after}");
        let page = gate.operator("GET", &target, "", None).json();
        for order in page["orders"].as_array().expect("orders") {
            assert_eq!(order["productId"], "phone");
            seen.push(order["orderId"].as_str().expect("an id").to_owned());
        }
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, [&ids[0], &ids[2], &ids[3]].map(String::clone));

    let reverse = |id: &str, body: &str| {
        gate.operator("POST", &format!("/admin/orders/{id}/reverse"), body, None)
    };
    let body = r#"{"restock":false,"reason":"fraud"}"#;
    assert_eq!(reverse(&ids[0], body).summary(), "200 reversed");
    assert_eq!(reverse(&ids[0], body).summary(), "200 ignored");
    assert_eq!(
        reverse(&ids[0], r#"{"restock":false,"reason":""}"#).summary(),
        "400 invalid_request"
    );
    let product = gate.product("phone");
    assert_eq!((&product["capacity"], &product["sold"]), (&Value::from(2), &Value::from(2)));
    let orders = gate.operator("GET", "/admin/orders", "", None).json();
    assert_eq!(orders["orders"][0]["status"], "reversed");
    assert_eq!(
        gate.operator("GET", "/admin/orders?limit=x", "", None).summary(),
        "400 invalid_request"
    );
}

#[test]
fn each_role_may_do_its_own_and_no_more() {
    let hash = |token: &str| hex::encode(digest::digest(&digest::SHA256, token.as_bytes()));
    let gate = Gate::start(&format!(
        "[admin]\ntokens = [\n\
         {{ name = \"watch\", role = \"viewer\", token_sha256 = \"{}\" }},\n\
         {{ name = \"duty\", role = \"operator\", token_sha256 = \"{}\" }},\n]",
        hash("viewer-token"),
        hash("operator-token"),
    ));
    gate.init("phone", 1);
    let call = |token: &str, method: &str, path: &str| {
        let draft = Draft::new(method, path, if method == "POST" { "{}" } else { "" })
            .set("authorization", format!("Bearer {token}"))
            .set("idempotency-key", format!("{}-{}", token, path.len()));
        exchange(gate.server.operator, None, &draft.bytes()).unwrap().unwrap().status
    };
    let (show, pause, archive) =
        ("/admin/products/phone", "/admin/products/phone/pause", "/admin/products/phone/archive");
    let allowed = |token: &str| {
        [("GET", show), ("GET", "/metrics"), ("POST", pause), ("POST", archive)]
            .map(|(method, path)| call(token, method, path))
    };
    assert_eq!(allowed("nobody"), [401, 401, 401, 401]);
    assert_eq!(allowed("viewer-token"), [200, 200, 403, 403]);
    assert_eq!(allowed("operator-token"), [200, 200, 200, 403]);
    assert_eq!(allowed(ADMIN_TOKEN), [200, 200, 200, 200]);
}

#[test]
fn metrics_count_answers_and_name_nobody() {
    let gate = Gate::start("");
    gate.init("phone", 1);
    gate.order("phone", "alice-the-shopper", "key-1");
    gate.order("phone", "bob-the-shopper", "key-1");
    let metrics = gate.operator("GET", "/metrics", "", None).text();
    assert!(metrics.contains("flux_gate_answers_total{code=\"accepted\"} 1"), "{metrics}");
    assert!(metrics.contains("flux_gate_answers_total{code=\"sold_out\"} 1"), "{metrics}");
    assert!(metrics.contains("flux_gate_product_sold_units{product=\"phone\"} 1"), "{metrics}");
    assert!(metrics.contains("flux_gate_order_accepted_seconds_count 1"), "{metrics}");
    let undocumented = crate::documents::undocumented_metrics(&metrics);
    assert!(undocumented.is_empty(), "not in docs/METRICS.md: {undocumented:?}");
    let everything = format!("{metrics}{}", gate.server.log());
    for secret in ["the-shopper", "shop-secret", ADMIN_TOKEN, "127.0.0.1:5"] {
        assert!(!everything.contains(secret), "rule 7: {secret}");
    }
}
