//! Waiting rooms over two nodes: one queue, one draw, one rate, and no way around it on either.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, wait_for};
use super::sale::{product, shop};
use crate::crash::books::call;
use crate::crash::crowd::unix_ms;
use crate::support::draft::{Draft, Signer};
use crate::support::server::{ADMIN_TOKEN, Server};
use crate::support::wire::{Answer, exchange};

/// Admissions a second, over all nodes.
const RATE: u32 = 20;

fn room(more: &str) -> String {
    format!(
        "\n[room]\nproducts = [\"*\"]\nadmit_per_second = {RATE}\nadmission_seconds = 60\npoll_seconds = 1\n{more}"
    )
}

fn send(to: SocketAddr, draft: &Draft) -> Answer {
    exchange(to, None, &draft.bytes()).expect("an answer").expect("not closed without an answer")
}

fn get(to: SocketAddr, target: &str) -> Answer {
    send(to, &Draft::new("GET", target, ""))
}

/// A shopper with a session, who goes to whichever node they like.
struct Shopper {
    name: String,
    session: Signer,
}

fn signer(answer: &Answer) -> Signer {
    Signer::Shopper { pass: answer.member("pass"), session_key: answer.member("sessionKey") }
}

impl Shopper {
    fn new(at: &Server, name: &str) -> Self {
        let session = shop(at.public, "POST", "/session", &format!(r#"{{"userId":"{name}"}}"#));
        assert_eq!(session.status, 200, "{}", session.text());
        Self { name: name.to_owned(), session: signer(&session) }
    }

    fn signed(&self, at: &Server, target: &str, body: &str) -> Answer {
        let draft = Draft::new("POST", target, body).set("content-type", "application/json");
        send(at.public, &draft.sign(&self.session, unix_ms()))
    }

    fn ask(&self, at: &Server, product: &str) -> Answer {
        self.signed(at, "/waiting-room/ticket", &format!(r#"{{"productId":"{product}"}}"#))
    }

    fn ticket(&self, at: &Server, product: &str) -> String {
        let answer = self.ask(at, product);
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), at.log());
        answer.member("ticket")
    }

    fn admission(&self, at: &Server, ticket: &str) -> Answer {
        self.signed(at, "/waiting-room/admission", &format!(r#"{{"ticket":"{ticket}"}}"#))
    }

    fn admitted(&self, at: &Server, ticket: &str) -> Signer {
        let mut by = None;
        wait_for("an admission", || {
            let answer = self.admission(at, ticket);
            by = (answer.status == 200).then(|| signer(&answer));
            by.is_some()
        });
        by.unwrap()
    }

    fn buy(&self, at: &Server, by: &Signer, product: &str, key: &str) -> Answer {
        let draft = Draft::order(product, &self.name, key).set("content-type", "application/json");
        send(at.public, &draft.sign(by, unix_ms()))
    }
}

fn state(at: &Server, product: &str, ticket: &str) -> serde_json::Value {
    let draft = Draft::new("GET", &format!("/waiting-room/state?product={product}"), "");
    let answer = send(at.public, &draft.set("x-queue-ticket", ticket));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A sale that opens later, known to all nodes.
fn create(nodes: &[&Server], product: &str, quantity: u32) {
    let opens_at = unix_ms() + 3_600_000;
    let body = format!(r#"{{"productId":"{product}","quantity":{quantity},"opensAt":{opens_at}}}"#);
    let made = call(nodes[0].operator, "POST", "/admin/products", &body);
    assert!(made.status < 300, "{}", made.text());
    for node in nodes {
        let path = format!("/admin/products/{product}");
        wait_for("a node knows the sale", || call(node.operator, "GET", &path, "").status == 200);
    }
}

fn open_at(node: &Server, product: &str) {
    let draft = Draft::new("POST", &format!("/admin/products/{product}/open"), "{}")
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("content-type", "application/json")
        .set("idempotency-key", "open");
    let opened = send(node.operator, &draft);
    assert_eq!(opened.status, 200, "{}", opened.text());
}

fn open(nodes: &[&Server], product: &str) {
    open_at(nodes[0], product);
    for node in nodes {
        let path = format!("/waiting-room/state?product={product}");
        wait_for("a node serves", || get(node.public, &path).json()["phase"] == "serving");
    }
}

fn cluster() -> (Cluster, super::worker::Worker) {
    let cluster = Cluster::new();
    let worker = cluster.worker("worker-1");
    (cluster, worker)
}

/// Deletes what Redis holds of a room, as a Redis does that was restarted.
fn flush(cluster: &Cluster, product: &str) {
    for key in ["book", "cards", "states", "buyers", "admitted"] {
        cluster
            .stack
            .redis("STACK_REDIS_ADMIN_URL", &["DEL", &format!("room:{{{product}}}:{key}")]);
    }
}

/// `flux-gate draw verify` on what this node publishes.
fn verify(cluster: &Cluster, at: &Server, product: &str, number: u64, ticket: &str) -> String {
    let file = |name: &str, text: &[u8]| {
        let path = cluster.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let draw = get(at.public, &format!("/waiting-room/draw?product={product}&number={number}"));
    let list = get(at.public, &format!("/waiting-room/entrants?product={product}"));
    assert_eq!((draw.status, list.status), (200, 200), "{}\n{}", list.text(), at.log());
    let [draw, list, ticket] = [
        file("draw.json", &draw.body),
        file("list.txt", &list.body),
        file("ticket.txt", ticket.as_bytes()),
    ];
    let mut command = std::process::Command::new(crate::crash::program());
    command.args(["draw", "verify", &draw, "--ticket", &ticket, "--entrants", &list]);
    let output = command.output().expect("the program can be run");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn the_early_at_two_nodes_are_drawn_once_and_buy_at_either() {
    let (cluster, _worker) = cluster();
    let (one, two) =
        (cluster.node_with("node-1", &room("")), cluster.node_with("node-2", &room("")));
    let nodes = [&one, &two];
    let lamp = product("lamp");
    create(&nodes, lamp, 30);
    let shoppers: Vec<_> = (0..12).map(|n| Shopper::new(nodes[n % 2], &format!("u-{n}"))).collect();
    let mut tickets = Vec::new();
    for (n, shopper) in shoppers.iter().enumerate() {
        let ticket = shopper.ticket(nodes[n % 2], lamp);
        // The other node gives no second place, and hears of the first.
        let again = shopper.ask(nodes[(n + 1) % 2], lamp);
        assert_eq!((again.status, again.member("ticket")), (200, ticket.clone()));
        assert_eq!(state(nodes[(n + 1) % 2], lamp, &ticket)["ticket"], "early");
        assert_eq!(shopper.admission(nodes[n % 2], &ticket).summary(), "409 not_your_turn");
        tickets.push(ticket);
    }
    open(&nodes, lamp);
    let draws =
        nodes.map(|node| get(node.public, &format!("/waiting-room/draw?product={lamp}")).json());
    assert_eq!(draws[0], draws[1], "one draw");
    assert_eq!(draws[0]["entrants"], 12);
    assert!(!draws[0]["seed"].is_null());
    for (n, node) in [(3, &one), (8, &two)] {
        wait_for("the node has the list", || {
            get(node.public, &format!("/waiting-room/entrants?product={lamp}")).status == 200
        });
        assert!(verify(&cluster, node, lamp, n, &tickets[n as usize]).contains("among 12"));
    }
    for (n, (shopper, ticket)) in shoppers.iter().zip(&tickets).enumerate() {
        let (here, there) = (nodes[n % 2], nodes[(n + 1) % 2]);
        let by = shopper.admitted(there, ticket);
        let bought = shopper.buy(there, &by, lamp, "key-1");
        assert_eq!(bought.summary(), "200 success", "{}", bought.text());
        // Spent: on the node where it was not.
        assert_eq!(
            shopper.admission(here, ticket).summary(),
            "409 ticket_spent",
            "used on the other node"
        );
        assert_eq!(state(here, lamp, ticket)["ticket"], "spent");
    }
}

#[test]
fn there_is_no_way_around_the_room_on_either_node() {
    let (cluster, _worker) = cluster();
    let (one, two) =
        (cluster.node_with("node-1", &room("")), cluster.node_with("node-2", &room("")));
    let nodes = [&one, &two];
    let (lamp, chair) = (product("lamp"), product("chair"));
    create(&nodes, lamp, 5);
    create(&nodes, chair, 5);
    let (alice, eve) = (Shopper::new(&one, "alice-in-the-room"), Shopper::new(&two, "eve"));
    let ticket = alice.ticket(&one, lamp);
    let kept = super::secrets::redis(&cluster);
    let kept = String::from_utf8_lossy(&kept);
    assert!(kept.contains(&format!("room:{{{lamp}}}:cards=")), "the room is looked into");
    assert!(!kept.contains("alice-in-the-room"), "rule 7");
    open(&nodes, lamp);
    let by = alice.admitted(&two, &ticket);
    for node in nodes {
        let refused = alice.buy(node, &alice.session, lamp, "key-1");
        assert_eq!(refused.summary(), "403 not_admitted", "without an admission");
        assert_eq!(refused.json()["waitingRoom"], format!("/waiting-room?product={lamp}"));
        assert_eq!(alice.buy(node, &by, chair, "key-1").summary(), "403 not_admitted");
        assert_eq!(eve.buy(node, &by, lamp, "key-1").summary(), "403 user_mismatch");
        assert_eq!(eve.admission(node, &ticket).summary(), "403 ticket_invalid", "shared");
        // One operator cannot switch the room off on one node alone.
        let path = format!("/admin/products/{lamp}/waiting-room");
        assert_eq!(call(node.operator, "POST", &path, r#"{"active":false}"#).status, 409);
    }
    assert_eq!(alice.buy(&one, &by, lamp, "key-1").summary(), "200 success");
}

#[test]
fn admissions_of_both_nodes_together_keep_the_rate_and_the_units() {
    const CROWD: usize = 90;
    const UNITS: u32 = 60;
    let (cluster, _worker) = cluster();
    let (one, two) =
        (cluster.node_with("node-1", &room("")), cluster.node_with("node-2", &room("")));
    let nodes = [&one, &two];
    let lamp = product("lamp");
    create(&nodes, lamp, UNITS);
    for n in 0..CROWD {
        Shopper::new(nodes[n % 2], &format!("u-{n}")).ticket(nodes[n % 2], lamp);
    }
    let begun = Instant::now();
    open_at(&one, lamp);
    let path = format!("/admin/products/{lamp}/waiting-room");
    let look = |node: &Server| call(node.operator, "GET", &path, "").json();
    let mut last = 0;
    let mut seen = Vec::new();
    // What one second gives may have been saved up; then the rate.
    while last < u64::from(UNITS) {
        for node in nodes {
            let total = look(node)["admittedTotal"].as_u64().unwrap();
            let most = u64::from(RATE) * (begun.elapsed().as_millis() as u64 + 1_000) / 1_000 + 1;
            assert!(total <= most, "{total} admitted after {:?}", begun.elapsed());
            last = last.max(total);
        }
        seen.push((begun.elapsed().as_millis(), last));
        assert!(begun.elapsed() < Duration::from_secs(120), "{seen:?}\n{}", one.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let least = Duration::from_millis(u64::from(UNITS / RATE - 1) * 1_000);
    assert!(begun.elapsed() >= least, "{seen:?}");
    // Nobody has bought: no more than there are units.
    for node in nodes {
        wait_for("both know of all admissions", || {
            let room = look(node);
            let known = ["admitted", "head"].map(|name| room[name].as_u64().unwrap());
            assert!(known.iter().all(|known| *known <= u64::from(UNITS)), "{room}");
            known == [u64::from(UNITS); 2]
        });
    }
    std::thread::sleep(Duration::from_secs(1));
    for node in nodes {
        let room = look(node);
        assert_eq!((&room["admitted"], &room["head"]), (&UNITS.into(), &UNITS.into()), "{room}");
    }
}

#[test]
fn a_restart_of_all_nodes_and_an_emptied_redis_keep_places_and_spent_tickets() {
    let (cluster, _worker) = cluster();
    let slow = room("absent_seconds = 30\n").replace("= 20", "= 1");
    let (one, two) = (cluster.node_with("node-1", &slow), cluster.node_with("node-2", &slow));
    let lamp = product("lamp");
    create(&[&one, &two], lamp, 60);
    // One is admitted a second: so many that some still wait in the middle of a slow machine's test.
    const EARLY: usize = 30;
    // So many of those are waited for at the end.
    const BUY: usize = 5;
    let shoppers: Vec<_> = (0..EARLY).map(|n| Shopper::new(&one, &format!("u-{n}"))).collect();
    let tickets: Vec<_> = shoppers.iter().map(|shopper| shopper.ticket(&one, lamp)).collect();
    // One node after the other.
    one.stop().expect("it stops");
    let one = cluster.node_with("node-1", &slow);
    two.kill();
    let two = cluster.node_with("node-2", &slow);
    wait_for("the queue is there", || {
        get(two.public, &format!("/waiting-room/state?product={lamp}")).json()["places"] == EARLY
    });
    assert_eq!(shoppers[2].ticket(&two, lamp), tickets[2], "the place is kept");
    // Both, and Redis is emptied before the draw: whoever waits takes up their place again.
    flush(&cluster, lamp);
    for (n, ticket) in tickets.iter().enumerate() {
        assert_eq!(state([&one, &two][n % 2], lamp, ticket)["ticket"], "early");
    }
    assert_eq!(shoppers[5].ticket(&one, lamp), tickets[5], "the place is kept");
    let late = Shopper::new(&two, "late");
    let late_ticket = late.ask(&two, lamp);
    assert_eq!(late_ticket.json()["number"], EARLY, "{}", late_ticket.text());
    open(&[&one, &two], lamp);
    let draw = get(one.public, &format!("/waiting-room/draw?product={lamp}")).json();
    assert_eq!(draw["entrants"], EARLY + 1);
    // The first buys; then Redis is emptied again, in the middle of the sale.
    let first = (0..EARLY)
        .min_by_key(|n| state(&one, lamp, &tickets[*n])["ahead"].as_u64().unwrap_or_default())
        .unwrap();
    let by = shoppers[first].admitted(&two, &tickets[first]);
    assert_eq!(shoppers[first].buy(&one, &by, lamp, "key-1").summary(), "200 success");
    let head = |at: &Server| {
        let state = get(at.public, &format!("/waiting-room/state?product={lamp}")).json();
        state["head"].as_u64().unwrap()
    };
    let before = head(&one).max(head(&two));
    flush(&cluster, lamp);
    let waiting: Vec<_> =
        (0..EARLY).filter(|n| state(&one, lamp, &tickets[*n])["ticket"] == "waiting").collect();
    assert!(!waiting.is_empty());
    assert!(head(&one) >= before && head(&two) >= before, "no place is served twice");
    let spent = shoppers[first].admission(&two, &tickets[first]);
    assert_eq!(spent.summary(), "409 ticket_spent", "{}", spent.text());
    assert_eq!(get(two.public, &format!("/waiting-room/draw?product={lamp}")).json(), draw);
    // The first of them go on as if nothing had been; the others' places are behind theirs.
    let place = |n: &usize| state(&one, lamp, &tickets[*n])["place"].as_u64().unwrap();
    let mut left = waiting;
    left.sort_by_cached_key(place);
    left.truncate(BUY);
    wait_for("those who waited have bought", || {
        left.retain(|n| {
            let admission = shoppers[*n].admission([&one, &two][n % 2], &tickets[*n]);
            if admission.status != 200 {
                assert_eq!(admission.summary(), "409 not_your_turn", "{}", admission.text());
                return true;
            }
            let bought = shoppers[*n].buy(&two, &signer(&admission), lamp, "key-1");
            assert_eq!(bought.summary(), "200 success", "{}", bought.text());
            false
        });
        left.is_empty()
    });
}

#[test]
fn what_an_intruder_writes_to_redis_lets_nobody_in_and_changes_no_draw() {
    let (cluster, _worker) = cluster();
    let slow = room("").replace("= 20", "= 1");
    let one = cluster.node_with("node-1", &slow);
    let lamp = product("lamp");
    // So few that the others wait for as long as this takes.
    create(&[&one], lamp, 2);
    let shoppers: Vec<_> = (0..8).map(|n| Shopper::new(&one, &format!("u-{n}"))).collect();
    let tickets: Vec<_> = shoppers.iter().map(|shopper| shopper.ticket(&one, lamp)).collect();
    open(&[&one], lamp);
    let key = |name: &str| format!("room:{{{lamp}}}:{name}");
    let write = |words: &[&str]| {
        let answer = cluster.stack.redis("REDIS_URL", words);
        assert!(!answer.contains("NOPERM"), "{words:?}: {answer}");
        answer
    };
    // Who is last says that they are admitted, and that all have had their turn.
    let last =
        (0..8).find(|n| state(&one, lamp, &tickets[*n])["place"] == 7).expect("somebody is last");
    let number = last.to_string();
    write(&["HSET", &key("states"), &number, "a9999999999999"]);
    assert_eq!(shoppers[last].admission(&one, &tickets[last]).summary(), "409 not_your_turn");
    write(&["HSET", &key("book"), "head", "8:00112233445566778899aabbccddeeff"]);
    for _ in 0..5 {
        assert_eq!(shoppers[last].admission(&one, &tickets[last]).summary(), "409 not_your_turn");
    }
    wait_for("the forged head is put right", || {
        !write(&["HGET", &key("book"), "head"]).starts_with("8:0011")
    });
    // A list that was changed is not shown by a node that was not there.
    write(&["HSET", &key("cards"), "3", "0123456789012345678901234567890123456789"]);
    let two = cluster.node_with("node-2", &slow);
    wait_for("the other node has looked", || {
        two.log().contains("not the one behind the published root")
    });
    let list = get(two.public, &format!("/waiting-room/entrants?product={lamp}"));
    assert_eq!(list.summary(), "503 room_unavailable");
    assert!(verify(&cluster, &one, lamp, 3, &tickets[3]).contains("among 8"));
    // Keys of another kind are put right too; places are honoured.
    for name in ["book", "cards", "states", "buyers", "admitted"] {
        cluster.stack.redis("STACK_REDIS_ADMIN_URL", &["SET", &key(name), "x"]);
    }
    wait_for("the room is there again", || {
        let draft = Draft::new("GET", &format!("/waiting-room/state?product={lamp}"), "");
        let answer = send(one.public, &draft.set("x-queue-ticket", &tickets[last]));
        answer.status == 200 && answer.json()["ticket"] == "waiting"
    });
}
