//! The console of one of many nodes: what it sees of the stores, the workers and the other nodes.

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use crate::crash::books::{call, create};
use crate::support::server::Server;

#[test]
fn a_nodes_console_shows_stores_workers_and_the_other_nodes() {
    let cluster = Cluster::new();
    let two = cluster.node("node-2");
    let mut one = cluster.node_command("node-1");
    one.env("FLUX_GATE__ADMIN__PEERS", format!("http://{}", two.public));
    let one = Server::start_by(one).expect("it starts");
    let phone = product("shown");
    create(two.operator, phone, 100, 1, 0);
    let overview = || call(one.operator, "GET", "/admin/overview", "").json();
    let state = |of: &str, name: &str| {
        let all = overview()[of].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|one| one["name"].as_str().is_some_and(|it| it.contains(name)));
        found.and_then(|one| one["state"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    wait_for("the sale of the other node is shown", || {
        overview()["products"].as_array().is_some_and(|all| {
            all.iter().any(|one| one["productId"] == phone && one["remaining"] == 100)
        })
    });
    for store in ["redis", "kafka", "postgresql"] {
        wait_for("the store is up", || state("stores", store) == "up");
    }
    wait_for("the other node is up", || state("nodes", &two.public.to_string()) == "up");
    // Nobody writes the ledger yet: what has been applied waits.
    wait_for("the lag is seen", || overview()["workerLag"].as_u64() > Some(0));
    let _worker = cluster.worker("worker-1");
    wait_for("the worker has caught up", || overview()["workerLag"] == 0);
    let gone = two.public.to_string();
    two.kill();
    wait_for("the other node is down", || state("nodes", &gone) == "down");
}
