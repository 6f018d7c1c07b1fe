//! Live controls over two nodes: what an operator says on one holds on the other.

use std::time::Instant;

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use crate::crash::Attempt;
use crate::crash::books::create;
use crate::crash::crowd::{Client, unix_ms};
use crate::support::draft::Draft;
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::{Answer, exchange};

/// How soon the other node must follow, in milliseconds, on a machine that does much else too. A second is what is
/// printed on one that does not.
const FOLLOW_MS_MAX: u128 = 30_000;

fn say(to: &Server, token: &str, method: &str, path: &str, body: &str, key: &str) -> Answer {
    let draft = Draft::new(method, path, body)
        .set("authorization", format!("Bearer {token}"))
        .set("content-type", "application/json")
        .set("idempotency-key", key);
    exchange(to.operator, None, &draft.bytes()).unwrap().expect("an answer")
}

#[test]
fn a_block_a_limit_and_a_token_of_one_node_hold_on_the_other_within_a_second_and_after_a_restart() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    let (one, two) = (cluster.node("node-1"), cluster.node("node-2"));
    let phone = product("control");
    create(one.operator, phone, 10_000, 1_000, 0);
    let mut attempts = 0;
    let mut order = |client: &mut Client, user: &str| {
        attempts += 1;
        let (user, key) = (user.to_owned(), format!("k-{attempts}"));
        client.send(&Attempt { product: phone, user, key }).expect("an answer").summary()
    };
    let mut at_two = Client::new(two.public).expect("a connection");
    wait_for("the other node sells", || order(&mut at_two, "u-1") == "200 success");

    // A user is blocked on one node: from the answer on it is a matter of milliseconds on the other.
    let until = unix_ms() + 3_600_000;
    let body = format!(r#"{{"user":"mallory-99","until":{until},"reason":"a test"}}"#);
    let set = say(&one, ADMIN_TOKEN, "POST", "/admin/blocks", &body, "b-1");
    assert_eq!(set.summary(), "200 applied", "{}", set.text());
    let since = Instant::now();
    wait_for("the other node blocks", || order(&mut at_two, "mallory-99") == "403 user_blocked");
    let block_ms = since.elapsed().as_millis();

    // A limit, and back; it reaches the Redis gate's rate of the product too.
    let body =
        format!(r#"{{"limit":"product_per_second","value":1,"until":{until},"reason":"a test"}}"#);
    let set = say(&one, ADMIN_TOKEN, "POST", "/admin/limits", &body, "t-1");
    assert_eq!(set.summary(), "200 applied", "{}", set.text());
    let since = Instant::now();
    let mut user = 0;
    // Four at once: one after the other may take longer than the second that lets in one.
    wait_for("the other node is tight", || {
        let told = std::thread::scope(|scope| {
            let at_once = [(); 4].map(|()| {
                user += 1;
                let attempt =
                    Attempt { product: phone, user: format!("t-{user}"), key: "k".to_owned() };
                let to = two.public;
                scope.spawn(move || {
                    let mut client = Client::new(to).expect("a connection");
                    client.send(&attempt).expect("an answer").summary()
                })
            });
            at_once.map(|order| order.join().expect("an answer"))
        });
        told.contains(&"429 over_rate".to_owned())
    });
    let limit_ms = since.elapsed().as_millis();
    let path = "/admin/limits/product_per_second";
    assert_eq!(say(&two, ADMIN_TOKEN, "DELETE", path, "", "t-2").summary(), "200 applied");
    let mut at_one = Client::new(one.public).expect("a connection");
    wait_for("the first node is loose again", || {
        user += 1;
        let burst: Vec<_> = (0..5).map(|n| order(&mut at_one, &format!("l-{user}-{n}"))).collect();
        burst.iter().all(|summary| summary == "200 success")
    });

    // A token of one node opens the other, and is revoked there.
    let body = r#"{"name":"alice","role":"viewer"}"#;
    let made = say(&one, ADMIN_TOKEN, "POST", "/admin/tokens", body, "a-1");
    let token = made.member("token");
    let look = |node: &Server| say(node, &token, "GET", "/admin/blocks", "", "x").status;
    wait_for("the token is good on the other node", || look(&two) == 200);
    let revoked = say(&two, ADMIN_TOKEN, "DELETE", "/admin/tokens/alice", "", "a-2");
    assert_eq!(revoked.summary(), "200 applied", "{}", revoked.text());
    let since = Instant::now();
    wait_for("it is revoked on the first one", || look(&one) == 401);
    let revoke_ms = since.elapsed().as_millis();
    println!("block {block_ms} ms, limit {limit_ms} ms, revocation {revoke_ms} ms");
    assert!(block_ms.max(limit_ms).max(revoke_ms) < FOLLOW_MS_MAX);

    // A node that starts from the ledger's snapshot knows it too.
    let listed = say(&one, ADMIN_TOKEN, "GET", "/admin/blocks", "", "x").json();
    assert_eq!(listed["blocks"].as_array().map(Vec::len), Some(1), "{listed}");
    drop(at_two);
    two.kill();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let two = cluster.node("node-2b");
    let again = say(&two, ADMIN_TOKEN, "GET", "/admin/blocks", "", "x").json();
    assert_eq!(again, listed);
    let mut at_two = Client::new(two.public).expect("a connection");
    assert_eq!(order(&mut at_two, "mallory-99"), "403 user_blocked");
}
