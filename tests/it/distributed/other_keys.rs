//! A node with other keys (`secrets.order_key`, `secrets.buyer_key`) and operators: what it opens, the others
//! cannot serve, and what they opened, it cannot.

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use crate::crash::Attempt;
use crate::crash::books::{call, create};
use crate::crash::crowd::Client;
use crate::crash::{ORDER_KEY, program};
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::exchange;

fn order(node: &Server, product: &'static str, user: &str) -> String {
    let mut client = Client::new(node.public).expect("a connection");
    let attempt = Attempt { product, user: user.to_owned(), key: "a".to_owned() };
    client.send(&attempt).expect("an answer").summary()
}

fn knows(node: &Server, product: &str) -> bool {
    call(node.operator, "GET", &format!("/admin/products/{product}"), "").status == 200
}

/// Sales that this node says it does not serve.
fn not_served(node: &Server) -> u64 {
    let metrics = call(node.operator, "GET", "/metrics", "").text();
    let line = metrics.lines().find_map(|l| l.strip_prefix("flux_gate_sales_under_other_keys "));
    line.expect("the metric").parse().expect("a number")
}

#[test]
fn a_node_with_other_keys_serves_its_own_sales_alone_and_stops_nobody() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    let mut good = cluster.node("node-1");
    let other_key = "another-order-key-0123456789abcdef0123456789";
    let config = cluster.node_config("").replace(ORDER_KEY, other_key);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut odd = Server::start(program(), &dir.path().join("odd"), &config).expect("it starts");
    let (phone, boot) = (product("phone"), product("boot"));
    create(good.operator, phone, 10, 1, 0);
    create(odd.operator, boot, 10, 1, 0);
    for node in [&good, &odd] {
        wait_for("both nodes know both sales", || knows(node, phone) && knows(node, boot));
    }
    for (node, own, foreign) in [(&good, phone, boot), (&odd, boot, phone)] {
        wait_for("its own sale is served", || order(node, own, "u-1") != "503 log_behind");
        assert_eq!(order(node, own, "u-2"), "200 success");
        assert_eq!(order(node, foreign, "u-2"), "503 other_keys", "{}", node.log());
        assert_eq!(not_served(node), 1);
        assert!(node.log().contains("opened under other keys"), "{}", node.log());
    }
    for (node, foreign) in [(&good, boot), (&odd, phone)] {
        wait_for("it follows the sale that it does not serve", || {
            let path = format!("/admin/products/{foreign}");
            call(node.operator, "GET", &path, "").json()["sold"] == 2
        });
    }
    assert!(good.runs() && odd.runs());
    // A rolling restart meanwhile comes to its end.
    drop(good);
    let good = cluster.node("node-1");
    assert_eq!(order(&good, boot, "u-3"), "503 other_keys");
    assert_eq!(order(&good, phone, "u-3"), "200 success");
    // The way out: whoever has operators' rights ends the sale.
    let draft = Draft::new("POST", &format!("/admin/products/{boot}/archive"), "")
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("idempotency-key", "end");
    let answer = exchange(good.operator, None, &draft.bytes()).unwrap().expect("an answer");
    assert_eq!(answer.member("status"), "applied", "{}", answer.text());
    wait_for("an ended sale is closed to everybody", || order(&good, boot, "u-4") == "403 closed");
    assert_eq!(not_served(&good), 0);
}
