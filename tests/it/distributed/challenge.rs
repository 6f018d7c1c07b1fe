//! Challenges over two nodes: what one asks the other takes, for that attempt alone; and whoever is excused on
//! one is excused on the other.

use super::cluster::{Cluster, wait_for};
use crate::challenge::{Node, STRICT, encode, solve};
use crate::support::server::Server;

fn node(server: &Server) -> Node {
    let client = (crate::crash::CLIENT_ID, crate::crash::CLIENT_SECRET);
    Node { public: server.public, operator: server.operator, client }
}

#[test]
fn a_solution_is_good_on_every_node_for_its_own_attempt_and_an_allow_holds_on_all() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    let (first, second) =
        (cluster.node_with("node-1", STRICT), cluster.node_with("node-2", STRICT));
    let (one, two) = (node(&first), node(&second));
    let phone = super::sale::product("challenge").to_string();
    one.sale(&phone);
    let bob = one.shopper("bob");
    let mut asked = two.order(&bob, &phone, "k-1", None);
    wait_for("the other node knows the sale", || {
        asked = two.order(&bob, &phone, "k-1", None);
        asked.word() == "challenge_required"
    });
    // Asked by the second node, solved at the first; sent again it is the same order on both.
    let solution = encode(&solve(&asked.json()["challenge"]));
    let accepted = one.order(&bob, &phone, "k-1", Some(&solution));
    assert_eq!(accepted.summary(), "200 success", "{}", accepted.text());
    wait_for("the other node has the order", || {
        two.order(&bob, &phone, "k-1", Some(&solution)).summary() == "200 ignored"
    });
    // Reused, for another buyer, another product: on neither node.
    let eve = one.shopper("eve");
    for at in [one, two] {
        for answer in [
            at.order(&bob, &phone, "k-2", Some(&solution)),
            at.order(&eve, &phone, "k-1", Some(&solution)),
            at.order(&bob, "another-phone", "k-1", Some(&solution)),
        ] {
            assert_eq!(answer.summary(), "403 challenge_required");
            assert!(answer.text().contains("another buyer, product or idempotency key"));
        }
    }
    let until = flux_gate::clock::Clock::system().unix_ms() + 3_600_000;
    let body = format!(r#"{{"user":"eve","until":{until},"reason":"a false positive"}}"#);
    let set = one.operator("POST", "/admin/allows", &body, "allow-1");
    assert_eq!(set.summary(), "200 applied", "{}", set.text());
    wait_for("the other node excuses her", || {
        two.order(&eve, &phone, "k-1", None).summary() == "200 success"
    });
    let off = format!(r#"{{"until":{until},"reason":"too many"}}"#);
    assert_eq!(two.operator("POST", "/admin/score/off", &off, "off-1").summary(), "200 applied");
    let kim = one.shopper("kim");
    wait_for("the first node scores nobody", || {
        one.order(&kim, &phone, "k-1", None).summary() == "200 success"
    });
}
