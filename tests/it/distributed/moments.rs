//! A node that dies just between gate and log, just after the log, and a record that arrives late: each made to
//! happen by holding what goes between one node and Kafka.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use super::stack::Stack;
use crate::crash::books::{call, create};
use crate::crash::crowd::{Client, unix_ms};
use crate::crash::{Attempt, signer};
use crate::support::draft::Draft;
use crate::support::server::Server;
use crate::support::wire::{Answer, exchange};

/// After this a place that nobody gives back is free (12 s), and some time to notice on a busy machine.
const PLACE_LIFETIME_MAX: Duration = Duration::from_secs(60);
/// Longer than a proposal may be under way: 10 s.
const TOO_LONG: Duration = Duration::from_millis(11_500);

/// A node whose way to Kafka can be held, and one beside it that goes directly.
struct Pair {
    cluster: Cluster,
    held: Server,
    free: Server,
    product: &'static str,
}

impl Pair {
    fn new(name: &str, units: u32) -> Self {
        let cluster = Cluster::with_proxies();
        let (held, free) = (cluster.proxied_node("held"), cluster.node("free"));
        let product = product(name);
        create(free.operator, product, units, 1, 0);
        let pair = Self { cluster, held, free, product };
        // Both have proposed, so that whatever is made for the first time is there.
        for (user, node) in [("first", &pair.held), ("second", &pair.free)] {
            wait_for("the node sells", || pair.order(node, user).summary() == "200 success");
        }
        pair
    }

    fn attempt(&self, user: &str) -> Attempt {
        Attempt { product: self.product, user: user.to_owned(), key: "a".to_owned() }
    }

    fn order(&self, node: &Server, user: &str) -> Answer {
        let mut client = Client::new(node.public).expect("a connection");
        client.send(&self.attempt(user)).expect("an answer")
    }

    /// Orders at the node that is held, in a thread: the answer may never come.
    fn order_there(&self, user: &str) -> std::thread::JoinHandle<Option<Answer>> {
        let (to, attempt) = (self.held.public, self.attempt(user));
        std::thread::spawn(move || Client::new(to).expect("a connection").send(&attempt))
    }

    fn shown(&self, what: &str) -> u64 {
        let answer =
            call(self.free.operator, "GET", &format!("/admin/products/{}", self.product), "");
        answer.json()[what].as_u64().expect("a number")
    }

    /// Orders in the ledger, each counted as often as it is there.
    fn in_ledger(&self) -> u64 {
        let sql =
            format!("SELECT count(*) FROM flux_gate.order_list WHERE product = '{}'", self.product);
        self.cluster.stack.sql(&self.cluster.database, &sql).parse().expect("a number")
    }
}

/// Attempts that Redis holds a unit for.
fn pending(stack: &Stack, product: &str) -> usize {
    let key = format!("product:{{{product}}}:pending");
    stack.redis("STACK_REDIS_ADMIN_URL", &["ZCARD", &key]).parse().expect("a number")
}

fn shown_order(node: &Server, id: &str) -> String {
    let draft = Draft::new("GET", &format!("/orders/{id}"), "").sign(&signer(), unix_ms());
    exchange(node.public, None, &draft.bytes()).unwrap().expect("an answer").member("status")
}

#[test]
fn rule_5_a_node_that_dies_between_gate_and_log_loses_no_unit() {
    let pair = Pair::new("between", 5);
    let _worker = pair.cluster.worker("worker-1");
    pair.cluster.proxies().kafka.hold_up();
    let lost: Vec<_> = ["a", "b", "c"].map(|user| pair.order_there(user)).into();
    // Past the gate, which holds all units that are left, and not in the log.
    wait_for("they are past the gate", || pending(&pair.cluster.stack, pair.product) == 3);
    assert_eq!(pair.order(&pair.free, "d").summary(), "503 busy");
    let Pair { cluster, held, free, product } = pair;
    held.kill();
    let died = Instant::now();
    cluster.proxies().kafka.cut();
    cluster.proxies().kafka.pass();
    for attempt in lost {
        assert!(attempt.join().expect("it ends").is_none(), "nobody was there to answer");
    }
    let held = cluster.proxied_node("held");
    let pair = Pair { cluster, held, free, product };
    let mut user = 0;
    wait_for("all units are sold", || {
        user += 1;
        pair.order(&pair.free, &format!("other-{user}"));
        pair.shown("sold") == 5
    });
    assert!(died.elapsed() < PLACE_LIFETIME_MAX, "after {:?}", died.elapsed());
    for user in ["a", "b", "c"] {
        assert_eq!(pair.order(&pair.held, user).summary(), "409 sold_out", "rule 1: {user}");
    }
    wait_for("rule 2: the ledger has each order once", || pair.in_ledger() == 5);
    wait_for("rule 5: nothing is pending", || pair.shown("pending") == 0);
    assert_eq!((pair.shown("sold"), pair.shown("remaining")), (5, 0));
}

#[test]
fn rule_3_a_node_that_dies_after_the_log_and_before_the_answer_doubles_no_order() {
    let pair = Pair::new("after", 5);
    let _worker = pair.cluster.worker("worker-1");
    pair.cluster.proxies().kafka.hold_down();
    let unanswered = pair.order_there("a");
    wait_for("the order is in the log", || pair.shown("sold") == 3);
    let Pair { cluster, held, free, product } = pair;
    assert!(!unanswered.is_finished(), "it was answered before it was read back");
    held.kill();
    cluster.proxies().kafka.cut();
    cluster.proxies().kafka.pass();
    assert!(unanswered.join().expect("it ends").is_none(), "nobody was there to answer");
    let held = cluster.proxied_node("held");
    let pair = Pair { cluster, held, free, product };
    let id = pair.attempt("a").order_id(&crate::crash::keys());
    for node in [&pair.free, &pair.held] {
        let again = pair.order(node, "a");
        assert_eq!(again.member("reason"), "same_key", "{}", again.text());
        assert_eq!(again.member("orderId"), id, "rule 3");
        assert_eq!(shown_order(node, &id), "confirmed");
    }
    wait_for("rule 2: the ledger has each order once", || pair.in_ledger() == 3);
    assert_eq!(pair.shown("sold"), 3);
    wait_for("rule 5: nothing is pending", || pair.shown("pending") == 0);
}

#[test]
fn rule_4_a_record_that_arrives_late_is_an_order_or_never_becomes_one() {
    let pair = Pair::new("late", 5);
    let kafka = &pair.cluster.proxies().kafka;
    kafka.hold_up();
    let pending = pair.order_there("a").join().expect("it ends").expect("an answer");
    assert_eq!(pending.status, 202, "{}", pending.text());
    kafka.pass();
    wait_for("the record arrives", || pair.shown("sold") == 3);
    let again = pair.order(&pair.free, "a");
    assert_eq!(again.member("reason"), "same_key", "{}", again.text());
    assert_eq!(again.member("orderId"), pending.member("orderId"), "rule 3");

    // So late that nobody waits for it any more: the log does not take it.
    wait_for("the node is ready", || call(pair.held.operator, "GET", "/readyz", "").status == 200);
    kafka.hold_up();
    let begun = Instant::now();
    let pending = pair.order_there("b").join().expect("it ends").expect("an answer");
    assert_eq!(pending.status, 202, "{}", pending.text());
    let id = pending.member("orderId");
    std::thread::sleep(TOO_LONG.saturating_sub(begun.elapsed()));
    let before = pair.shown("offset");
    kafka.pass();
    wait_for("the record arrives", || pair.shown("offset") > before);
    assert_eq!(pair.shown("sold"), 3, "rule 4: it was given up");
    assert_ne!(shown_order(&pair.free, &id), "confirmed");
    wait_for("the attempt is settled by a retry", || {
        let again = pair.order(&pair.free, "b");
        assert!(again.status == 503 || again.summary() == "200 success", "{}", again.text());
        again.status == 200 && again.member("orderId") == id
    });
    assert_eq!(pair.shown("sold"), 4);
}
