//! An incident over two nodes: a stop measured to the last confirmation on either, and the whole of it.

use std::collections::BTreeSet;

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use crate::crash::books::{call, create};
use crate::incident::whole::{Site, play};
use crate::incident::{load, order_from};

const PROXIED: &str = "\n[http]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";

#[test]
fn rule_6_a_stop_under_load_holds_on_both_nodes_within_a_second() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    let (one, two) = (cluster.node("node-1"), cluster.node("node-2"));
    let phone = product("stopped");
    create(one.operator, phone, 1_000_000, 1, 0);
    let path = format!("/admin/products/{phone}");
    wait_for("the other node knows it", || call(two.operator, "GET", &path, "").status == 200);
    let figures = load::stop(&[one.public, two.public], one.operator, phone);
    for node in [&one, &two] {
        let now = call(node.operator, "GET", &path, "").json();
        assert_eq!(now["paused"], true, "{now}");
        load::check(&figures, now["sold"].as_u64().expect("a count"), 2);
    }
}

#[test]
fn what_one_node_sold_to_bots_another_finds_by_evidence() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    let (one, two) = (cluster.node_with("node-1", PROXIED), cluster.node_with("node-2", PROXIED));
    let phone = product("farmed");
    create(one.operator, phone, 1_000, 1, 0);
    let order = |number: u32, device: &str| {
        let (user, address) = (format!("u-{number}"), format!("198.51.{number}.1"));
        let answer = order_from(one.public, phone, &user, "k", &address, device);
        assert_eq!(answer.summary(), "200 success", "{}", answer.text());
        answer.member("orderId")
    };
    let farm: BTreeSet<_> = (0..20).map(|number| order(10 * number, "farm")).collect();
    for number in 0..20 {
        order(10 * number + 5, &format!("device-{number}"));
    }
    let path = format!("/admin/incident/orders?product={phone}&pattern=shared_fingerprint");
    let found = || {
        let page = call(two.operator, "GET", &path, "").json();
        let orders = page["orders"].as_array().expect("a list of orders").clone();
        let id = |order: &serde_json::Value| order["orderId"].as_str().map(str::to_owned);
        orders.iter().filter_map(id).collect::<BTreeSet<_>>()
    };
    wait_for("the other node finds them", || found() == farm);
    // The first one's devices are the same ones to the second.
    let by_device = format!("/admin/incident/orders?product={phone}&fingerprint=farm");
    assert_eq!(call(two.operator, "GET", &by_device, "").json()["matched"], 20);
}

#[test]
fn the_whole_incident_from_attack_to_report_over_two_nodes() {
    let cluster = Cluster::new();
    let _workers = [cluster.worker("worker-1"), cluster.worker("worker-2")];
    let (one, two) = (cluster.node_with("node-1", PROXIED), cluster.node_with("node-2", PROXIED));
    let phone = product("attacked");
    create(one.operator, phone, 100_000, 1, 0);
    let path = format!("/admin/products/{phone}");
    wait_for("the other node knows it", || call(two.operator, "GET", &path, "").status == 200);
    let dir = tempfile::tempdir().expect("a temporary directory");
    play(&Site {
        public: vec![one.public, two.public],
        operator: vec![one.operator, two.operator],
        product: phone,
        dir: dir.path(),
    });
}
