//! Stop and resume on one node.

use serde_json::json;

use super::load;
use super::*;

#[test]
fn rule_6_a_stop_under_load_holds_within_a_second_and_the_count_is_true() {
    let rig = Rig::start("");
    rig.sale("phone", 1_000_000);
    let figures = load::stop(&[rig.server.public], rig.server.operator, "phone");
    let now = rig.product("phone");
    load::check(&figures, now["sold"].as_u64().unwrap(), 1);
    assert_eq!(now["paused"], true);
    // It outlives a crash, and ends by a resume alone.
    let rig = rig.crash();
    assert_eq!(order(rig.server.public, "phone", "later", "k").summary(), "403 paused");
    let resumed = rig.post("/admin/incident/resume", &json!({"product": "phone", "reason": "ok"}));
    assert_eq!(resumed.json()["resumed"][0]["status"], "open", "{}", resumed.text());
    assert_eq!(order(rig.server.public, "phone", "later", "k").summary(), "200 success");
    let told = figures.told.len() as u64;
    assert_eq!(rig.product("phone")["sold"], told + 1, "resume goes on from the true count");
}

#[test]
fn all_sales_stop_at_once_and_a_repetition_changes_nothing() {
    let rig = Rig::start("");
    let names: Vec<_> = (0..70).map(|n| format!("p-{n:02}")).collect();
    names.iter().for_each(|name| rig.sale(name, 5));
    let gone = operator(
        rig.server.operator,
        ADMIN_TOKEN,
        "POST",
        "/admin/products/p-00/archive",
        "{}",
        Some("a"),
    );
    assert_eq!(gone.status, 200);
    rig.orders("p-01", 0..2);
    let all = json!({"product": null, "reason": "attack"});
    let stopped = rig.post("/admin/incident/stop", &all);
    let sales = stopped.json()["stopped"].as_array().unwrap().clone();
    assert_eq!(sales.len(), 69, "all but the archived one: {}", stopped.text());
    assert!(sales.iter().all(|sale| sale["status"] == "stopped"), "{}", stopped.text());
    assert_eq!((&sales[0]["productId"], &sales[0]["sold"]), (&json!("p-01"), &json!(2)));
    for name in &names[1..] {
        assert_eq!(order(rig.server.public, name, "u-9", "k").summary(), "403 paused", "{name}");
    }
    let again = rig.post("/admin/incident/stop", &all).json();
    assert_eq!(again["stopped"].as_array().unwrap().len(), 69);
    let resumed = rig.post("/admin/incident/resume", &all).json();
    assert!(resumed["resumed"].as_array().unwrap().iter().all(|sale| sale["status"] == "open"));
    assert_eq!(order(rig.server.public, "p-01", "u-9", "k").summary(), "200 success");
    // The reason is in the trail, of each.
    let path = "/admin/audit?kind=operator_action";
    let trail = operator(rig.server.operator, ADMIN_TOKEN, "GET", path, "", None).json();
    let pauses = trail["events"].as_array().unwrap().iter();
    let pauses = pauses.filter(|line| line["fields"]["what"] == "sale_paused");
    assert_eq!(pauses.clone().count(), 138);
    assert!(pauses.clone().all(|line| line["fields"]["why"] == "attack"));
}

#[test]
fn a_stop_that_cannot_be_says_why() {
    let rig = Rig::start("");
    rig.sale("phone", 5);
    for (body, summary) in [
        (r#"{"reason":"x"}"#, "400 invalid_request"),
        (r#"{"product":"phone"}"#, "400 invalid_request"),
        (r#"{"product":"phone","reason":""}"#, "400 invalid_request"),
        (r#"{"product":"phone","reason":"a\nb"}"#, "400 invalid_request"),
        (r#"{"product":"PHONE","reason":"x"}"#, "400 invalid_request"),
        (r#"{"product":"shoe","reason":"x"}"#, "404 unknown_product"),
    ] {
        let path = "/admin/incident/stop";
        let answer = operator(rig.server.operator, ADMIN_TOKEN, "POST", path, body, None);
        assert_eq!(answer.summary(), summary, "{body}");
    }
    assert_eq!(rig.product("phone")["paused"], false);
}
