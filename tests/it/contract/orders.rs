//! `POST /order`, the feed, and cancelling.

use serde_json::json;

use super::*;

#[test]
fn an_order_is_accepted_once_and_repeats_say_which() {
    let gate = Gate::start("");
    gate.init("phone", 2);
    let first = gate.order("phone", "alice", "key-1");
    assert_eq!((first.status, first.member("status").as_str()), (200, "success"));
    assert_eq!(first.member("msg"), "Order accepted");
    assert_eq!(first.header("content-type"), Some("application/json"));
    let id = first.member("orderId");

    let again = gate.order("phone", "alice", "key-1");
    assert_eq!((again.status, again.member("status").as_str()), (200, "ignored"));
    assert_eq!(again.member("reason"), "same_key");
    assert_eq!(again.member("orderId"), id);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));

    std::thread::sleep(std::time::Duration::from_millis(120)); // the buyer's least interval
    let other_key = gate.order("phone", "alice", "key-2");
    assert_eq!((other_key.status, other_key.member("reason").as_str()), (200, "repeat_window"));
    assert_eq!(other_key.member("orderId"), id);

    assert_eq!(gate.order("phone", "bob", "key-1").summary(), "200 success");
    assert_eq!(gate.order("phone", "carol", "key-1").summary(), "409 sold_out");
    assert_eq!(gate.order("nothing", "dave", "key-1").summary(), "404 unknown_product");
    let product = gate.product("phone");
    assert_eq!((&product["sold"], &product["pending"]), (&json!(2), &json!(0)), "rules 1 and 5");
}

#[test]
fn a_buyer_at_the_limit_is_told_so_once_the_repeat_window_is_over() {
    let gate = Gate::start("[orders]\nrepeat_window_seconds = 0");
    gate.init("phone", 5);
    assert_eq!(gate.order("phone", "alice", "key-1").summary(), "200 success");
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert_eq!(gate.order("phone", "alice", "key-2").summary(), "409 limit_reached");
}

#[test]
fn a_second_key_within_the_least_interval_is_too_fast_and_the_same_key_is_not() {
    let gate = Gate::limited("", "min_interval_ms = 10000");
    gate.init("phone", 5);
    assert_eq!(gate.order("phone", "alice", "key-1").summary(), "200 success");
    assert_eq!(gate.order("phone", "alice", "key-1").summary(), "200 ignored");
    let other = gate.order("phone", "alice", "key-2");
    assert_eq!(other.summary(), "429 slow_down");
    assert!(other.header("retry-after").is_some());
    assert_eq!(other.json()["error"], "Slow down");
}

#[test]
fn over_the_products_rate_is_429_and_takes_no_unit() {
    let gate = Gate::limited("", "product_per_second = 1");
    gate.init("phone", 50);
    assert_eq!(gate.order("phone", "alice", "key-1").summary(), "200 success");
    // As many as it takes to be quicker than one a second.
    let mut sold = 1;
    let over = (0..20).find_map(|n| {
        let answer = gate.order("phone", &format!("bob-{n}"), "key-1");
        sold += u32::from(answer.summary() == "200 success");
        (answer.status == 429).then_some(answer)
    });
    let over = over.expect("one of twenty is over the rate");
    assert_eq!(over.summary(), "429 over_rate");
    assert!(over.header("retry-after").is_some());
    assert_eq!(gate.product("phone")["sold"], sold);
}

#[test]
fn the_feed_tells_the_warehouse_in_log_order_and_waits_for_more() {
    let gate = Gate::start("");
    gate.init("phone", 5);
    let id = gate.order("phone", "alice", "key-1").member("orderId");
    let read = |target: &str| gate.signed(&warehouse(), Draft::new("GET", target, ""));
    let feed = read("/orders?after=0").json();
    assert_eq!(feed["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(feed["events"][0]["type"], "accepted");
    assert_eq!(feed["events"][0]["orderId"], id.as_str());
    assert_eq!(feed["events"][0]["userId"], "alice");
    let next = feed["next"].as_u64().expect("an offset");

    let later = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read(&format!("/orders?after={next}&wait=10")).json());
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(gate.order("phone", "bob", "key-1").summary(), "200 success");
        waiting.join().expect("the feed answers")
    });
    assert_eq!(later["events"][0]["userId"], "bob");
    let empty = read(&format!("/orders?after={}&wait=0", later["next"])).json();
    assert_eq!(empty["events"], json!([]));
    assert_eq!(empty["next"], later["next"]);

    assert_eq!(gate.signed(&shop(), Draft::new("GET", "/orders", "")).summary(), "403 forbidden");
    assert_eq!(read("/orders?after=x").summary(), "400 invalid_request");
}

#[test]
fn a_cancelled_order_gives_its_unit_back_once() {
    let gate = Gate::start("");
    gate.init("phone", 1);
    let id = gate.order("phone", "alice", "key-1").member("orderId");
    let cancel = |signer: &Signer, id: &str, body: &str| {
        gate.signed(signer, Draft::new("POST", &format!("/orders/{id}/cancel"), body))
    };
    assert_eq!(cancel(&shop(), &id, r#"{"restock":true}"#).summary(), "403 forbidden");
    assert_eq!(cancel(&warehouse(), &id, "{}").summary(), "400 invalid_request");
    assert_eq!(cancel(&warehouse(), &id, r#"{"restock":true}"#).summary(), "200 reversed");
    let again = cancel(&warehouse(), &id, r#"{"restock":true}"#);
    assert_eq!(
        (again.summary().as_str(), again.member("reason").as_str()),
        ("200 ignored", "already_reversed")
    );
    assert_eq!(cancel(&warehouse(), "no-id", r#"{"restock":true}"#).summary(), "404 unknown");

    let repeated = gate.order("phone", "alice", "key-1");
    assert_eq!(repeated.member("orderStatus"), "reversed", "its key stays used");
    assert_eq!(gate.order("phone", "bob", "key-1").summary(), "200 success", "the unit is back");
    let feed = gate.signed(&warehouse(), Draft::new("GET", "/orders", "")).json();
    let kinds: Vec<_> = feed["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["type"].as_str().expect("a word").to_owned())
        .collect();
    assert_eq!(kinds, ["accepted", "reversed", "accepted"]);
}
