//! One sale over two nodes: the contract is the same, and what one node says the other knows.

use flux_gate::keys::signer::{PublicKey, Signer as KeyPair};
use flux_gate::receipt::Receipt;
use flux_gate::receipt::proof::Statement;

use super::cluster::{Cluster, RECEIPT_KEY, wait_for};
use crate::crash::Attempt;
use crate::crash::books::{call, create};
use crate::crash::crowd::Client;
use crate::crash::signer;
use crate::support::draft::Draft;
use crate::support::wire::{Answer, exchange};

/// A product id that no other test has: Redis is shared.
pub fn product(name: &str) -> &'static str {
    Box::leak(format!("{name}-{:08x}", rand::random::<u32>()).into_boxed_str())
}

/// A signed call of the shop's.
pub fn shop(to: std::net::SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    let draft = Draft::new(method, target, body).set("content-type", "application/json");
    let draft = draft.sign(&signer(), crate::crash::crowd::unix_ms());
    let answer = exchange(to, None, &draft.bytes()).expect("an answer");
    answer.unwrap_or_else(|| panic!("{method} {target} was not answered"))
}

#[test]
fn two_nodes_sell_exactly_the_stock_and_the_shop_learns_of_each_order() {
    let cluster = Cluster::new();
    let _workers = [cluster.worker("worker-1"), cluster.worker("worker-2")];
    let (one, two) = (cluster.node("node-1"), cluster.node("node-2"));
    let phone = product("phone");
    create(one.operator, phone, 3, 1, 60);
    let knows = || call(two.operator, "GET", &format!("/admin/products/{phone}"), "").status == 200;
    wait_for("the other node knows the product", knows);

    let attempt = |user: u32, key: &str| Attempt {
        product: phone,
        user: format!("u-{user}"),
        key: key.to_owned(),
    };
    let mut at_one = Client::new(one.public).expect("a connection");
    let mut at_two = Client::new(two.public).expect("a connection");
    for (user, client) in [(1, &mut at_one), (2, &mut at_two)] {
        let answer = client.send(&attempt(user, "a")).expect("an answer");
        assert_eq!(answer.summary(), "200 success", "{}", answer.text());
        let receipt: Receipt = answer.member("receipt").parse().expect("a receipt");
        assert!(receipt.is_signed_by(KeyPair::from_seed(&RECEIPT_KEY.into()).unwrap().public()));
        assert_eq!(receipt.claim.order_id.to_string(), answer.member("orderId"));
    }
    // The same attempt on the other node, and another of the same buyer.
    wait_for("rule 3: the other node knows the order", || {
        let again = at_two.send(&attempt(1, "a")).expect("an answer");
        again.status == 200 && again.member("reason") == "same_key"
    });
    let repeat = at_two.send(&attempt(1, "b")).expect("an answer");
    assert_eq!(repeat.member("reason"), "repeat_window", "{}", repeat.text());
    let last = at_one.send(&attempt(3, "a")).expect("an answer");
    assert_eq!(last.summary(), "200 success", "{}", last.text());
    wait_for("sold out is known everywhere", || {
        let answer = at_two.send(&attempt(4, "a")).expect("an answer");
        answer.summary() == "409 sold_out"
    });

    // Fulfilment: with user ids, in order, each once; a cancelled one gives its unit back.
    let mut events = serde_json::Value::Null;
    wait_for("the feed has three orders", || {
        let feed = shop(one.public, "GET", "/orders?after=0&wait=1", "");
        assert_eq!(feed.status, 200, "{}\n{}", feed.text(), one.log());
        events = feed.json()["events"].clone();
        events.as_array().is_some_and(|events| events.len() == 3)
    });
    let mut users: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["userId"].to_string()).collect();
    users.sort();
    assert_eq!(users, [r#""u-1""#, r#""u-2""#, r#""u-3""#], "{events}");
    let order = events[0]["orderId"].as_str().unwrap();
    let cancelled =
        shop(two.public, "POST", &format!("/orders/{order}/cancel"), r#"{"restock":true}"#);
    assert_eq!(cancelled.summary(), "200 reversed", "{}", cancelled.text());
    wait_for("the unit is for sale again", || {
        at_two.send(&attempt(5, "a")).expect("an answer").summary() == "200 success"
    });
    wait_for("the feed has the reversal and the new order", || {
        let feed = shop(two.public, "GET", "/orders?after=0&wait=1", "");
        feed.json()["events"].as_array().is_some_and(|events| events.len() == 5)
    });
    let shown = call(one.operator, "GET", &format!("/admin/products/{phone}"), "").json();
    assert_eq!(shown["sold"], 3, "{shown}");

    // Rule 1, for whoever was not there: 3 of 3 were sold, signed by each node.
    for node in [&one, &two] {
        let proof = call(node.operator, "GET", &format!("/admin/products/{phone}/proof"), "");
        let proof: Statement = serde_json::from_slice(&proof.body).expect("a statement");
        let keys = exchange(node.public, None, &Draft::new("GET", KEYS, "").bytes());
        let keys = keys.unwrap().expect("an answer").json();
        let keys = keys["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["signs"] == "audit").expect("the audit key");
        let key: PublicKey = key["hex"].as_str().unwrap().parse().unwrap();
        proof.check(&key).expect("it holds");
        assert_eq!((proof.sold, proof.capacity, proof.reversed), (3, 3, 1));
    }
}

const KEYS: &str = "/.well-known/flux-gate-keys.json";

#[test]
fn doctor_finds_the_hardened_stores_well_and_what_is_wrong_with_them() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    wait_for("the function library is loaded", || {
        let (_, said) = cluster.says(&["doctor"], false);
        said.contains("has the function library")
    });
    for worker in [false, true] {
        let arguments: &[&str] = if worker { &["doctor", "--worker"] } else { &["doctor"] };
        let (well, said) = cluster.says(arguments, worker);
        assert!(well, "worker {worker}: {said}");
        for line in [
            "the order topic is as it must be",
            "does not let this user make topics",
            "gives this user what it needs and no more",
            "refuses commands of administrators",
        ] {
            // One broker that syncs each record is as it must be; the workers' user of Kafka is its own.
            assert!(said.contains(line), "worker {worker}: {line}: {said}");
        }
    }
    // A node with a worker's rights has too many.
    let (well, said) = cluster.says(&["doctor"], true);
    assert!(!well && said.contains("this user may write orders"), "{said}");
}

#[test]
fn rule_6_a_pause_on_one_node_stops_the_other() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.node("node-1"), cluster.node("node-2"));
    let phone = product("paused");
    create(one.operator, phone, 100, 1, 60);
    let mut client = Client::new(two.public).expect("a connection");
    let mut user = 0;
    let mut order = |client: &mut Client| {
        user += 1;
        let attempt = Attempt { product: phone, user: format!("u-{user}"), key: "a".to_owned() };
        client.send(&attempt).expect("an answer").summary()
    };
    wait_for("the other node sells", || order(&mut client) == "200 success");
    let pause = |verb: &str| {
        let draft = Draft::new("POST", &format!("/admin/products/{phone}/{verb}"), "")
            .set("authorization", format!("Bearer {}", crate::support::server::ADMIN_TOKEN))
            .set("idempotency-key", verb);
        let answer = exchange(one.operator, None, &draft.bytes()).unwrap().expect("an answer");
        assert_eq!(answer.member("status"), "applied", "{}", answer.text());
    };
    pause("pause");
    wait_for("the other node knows of the pause", || order(&mut client) == "403 paused");
    for _ in 0..20 {
        assert_eq!(order(&mut client), "403 paused");
    }
    pause("resume");
    wait_for("the other node sells again", || order(&mut client) == "200 success");
}
