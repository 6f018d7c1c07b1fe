//! What a shopper meets: a session, one's own order, a product, health, CORS.

use super::*;
use crate::support::wait::until;
use crate::support::wire::Connection;

fn session(gate: &Gate, user: &str) -> Signer {
    let body = format!(r#"{{"userId":"{user}"}}"#);
    let answer = gate.signed(&shop(), Draft::new("POST", "/session", body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.member("userId"), user);
    let session = answer.json();
    assert!(session["expiresAt"].as_u64() > session["serverTime"].as_u64());
    Signer::Shopper { pass: answer.member("pass"), session_key: answer.member("sessionKey") }
}

#[test]
fn a_shopper_buys_with_a_pass_and_sees_the_own_order_alone() {
    let gate = Gate::start("");
    gate.init("phone", 5);
    let (alice, bob) = (session(&gate, "alice"), session(&gate, "bob"));
    let bought = gate.signed(&alice, Draft::order("phone", "alice", "key-1"));
    assert_eq!(bought.summary(), "200 success");
    let target = format!("/orders/{}", bought.member("orderId"));
    let look = |who: &Signer| gate.signed(who, Draft::new("GET", &target, ""));
    assert_eq!(look(&alice).summary(), "200 confirmed");
    assert_eq!(look(&bob).summary(), "404 unknown");
    assert_eq!(look(&shop()).summary(), "200 confirmed");
    let others = gate.signed(&bob, Draft::order("phone", "alice", "key-9"));
    assert_eq!(others.summary(), "403 user_mismatch");
    let unsigned = gate.send(&Draft::new("GET", &target, ""));
    assert_eq!(unsigned.summary(), "401 unauthorized");
}

#[test]
fn what_somebody_known_is_answered_says_how_much_of_their_rate_is_left() {
    let gate = Gate::start("");
    gate.init("phone", 5);
    let alice = session(&gate, "alice");
    let bought = gate.signed(&alice, Draft::order("phone", "alice", "key-1"));
    let order = format!("/orders/{}", bought.member("orderId"));
    let opens = || Draft::new("POST", "/session", r#"{"userId":"bob"}"#);
    let cancels = Draft::new("POST", &format!("{order}/cancel"), r#"{"restock":true}"#);
    for (who, draft, status, policy) in [
        (&shop(), opens(), 200, "client"),
        (&alice, Draft::new("GET", &order, ""), 200, "buyer"),
        (&alice, Draft::new("GET", "/orders/none", ""), 404, "buyer"),
        (&warehouse(), Draft::new("GET", "/orders?limit=5", ""), 200, "client"),
        (&alice, Draft::new("GET", "/orders?limit=5", ""), 403, "buyer"),
        (&warehouse(), cancels, 200, "client"),
    ] {
        let target = draft.target.clone();
        let answer = gate.signed(who, draft);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        let rate = answer.header("ratelimit").unwrap_or_default();
        assert!(rate.starts_with(&format!("\"{policy}\";r=")), "{target}: {rate}");
        assert!(answer.header("ratelimit-policy").is_some(), "{target}");
    }
}

#[test]
fn a_product_shows_its_status_and_not_its_stock() {
    let gate = Gate::start("");
    let status = |id: &str| gate.send(&Draft::new("GET", &format!("/products/{id}"), ""));
    assert_eq!(status("phone").summary(), "404 unknown_product");
    gate.init("phone", 10);
    assert_eq!(status("phone").summary(), "200 open");
    for field in ["capacity", "sold", "remaining"] {
        assert!(status("phone").json()[field].is_null(), "{field}");
    }
    gate.init("rare", 1);
    assert_eq!(gate.order("rare", "alice", "key-1").summary(), "200 success");
    assert_eq!(status("rare").summary(), "200 sold_out");
    for n in 0..9 {
        assert_eq!(gate.order("phone", &format!("user-{n}"), "key").summary(), "200 success");
    }
    assert_eq!(status("phone").summary(), "200 low");
}

#[test]
fn health_description_and_unknown_paths() {
    let gate = Gate::start("");
    let get = |target: &str| gate.send(&Draft::new("GET", target, ""));
    assert_eq!(get("/livez").summary(), "200 ok");
    assert_eq!(get("/readyz").summary(), "200 ready");
    let description = get("/openapi.json").json();
    assert_eq!(description["openapi"], "3.1.0");
    let page = get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(page.text().contains("placeOrder"));
    for path in description["paths"].as_object().expect("paths").keys() {
        // Whatever is described exists on one of the listeners.
        let mut path = path.replace(['{', '}'], "");
        if path == "/admin/events" {
            // Its answer has no end, unless it is asked for what cannot be.
            path.push_str("?after=nothing");
        }
        let public = get(&path).summary();
        let operator = gate.operator("GET", &path, "", None).summary();
        assert!(
            !(public.starts_with("404 not_found") && operator.starts_with("404 not_found")),
            "{path}: {public}, {operator}"
        );
    }
    assert_eq!(get("/admin/products").summary(), "404 not_found", "operators' calls are not here");
    assert_eq!(get("/order").summary(), "405 method_not_allowed");
    assert_eq!(get("/order").header("allow"), Some("POST"));
}

#[test]
fn only_listed_origins_may_call_from_a_browser() {
    let gate = Gate::start("[http]\ncors_origins = [\"https://shop.example\"]");
    let from = |origin: &str| {
        let preflight = Draft::new("OPTIONS", "/order", "")
            .set("origin", origin)
            .set("access-control-request-method", "POST");
        gate.send(&preflight)
    };
    let listed = from("https://shop.example");
    assert_eq!(listed.status, 204);
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://shop.example"));
    assert!(
        listed.header("access-control-allow-headers").is_some_and(|h| h.contains("x-signature"))
    );
    assert_eq!(from("https://evil.example").header("access-control-allow-origin"), None);
}

/// A connection that the server has taken in.
fn served(mut connection: Connection) -> Connection {
    connection.write(&Draft::new("GET", "/livez", "").bytes()).unwrap();
    assert_eq!(connection.read().unwrap().unwrap().status, 200);
    connection
}

#[test]
fn connections_beyond_the_limit_are_shed_with_503() {
    let gate = Gate::start("[http]\nconnections_max = 4");
    let open = || Connection::open(gate.server.public, None).expect("a connection");
    let held: Vec<_> = (0..4).map(|_| served(open())).collect();
    let shed = open().read().expect("an answer").expect("an answer");
    assert_eq!((shed.status, shed.header("connection")), (503, Some("close")));
    drop(held);
    until("room again", || {
        let answer = exchange(gate.server.public, None, &Draft::new("GET", "/livez", "").bytes());
        answer.ok().flatten().filter(|answer| answer.status == 200)
    });
}

#[test]
fn one_address_holds_no_more_connections_than_it_may() {
    let gate = Gate::start("[http]\nconnections_per_ip_max = 2");
    let open = |from: [u8; 4]| Connection::open(gate.server.public, Some(from.into())).unwrap();
    let _held = [(); 2].map(|()| served(open([127, 0, 0, 7])));
    let third = open([127, 0, 0, 7]).read().expect("an answer").expect("an answer");
    assert_eq!(third.status, 503);
    served(open([127, 0, 0, 8])); // another address is not touched
}
