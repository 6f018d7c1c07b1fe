//! A worker that is killed, or hangs, at each step of its batch: the ledger is the log, each record once.
//!
//! What a worker sends to PostgreSQL goes through a proxy that stops it after so many TLS records: before a
//! transaction begins, with a part of its statements sent, before its commit, and with its commit sent but not
//! answered.

use std::time::{Duration, Instant};

use super::cluster::{Cluster, wait_for};
use super::sale::{product, shop};
use super::worker::Worker;
use crate::crash::Attempt;
use crate::crash::books::{call, create};
use crate::crash::crowd::{Client, Told};
use crate::support::server::Server;

const UNITS: u32 = 100_000;
/// Orders of one round, some of which are cancelled: several batches.
const ORDERS: usize = 40;
const CANCELLED: usize = 4;
/// Records after which a worker is stopped, at most: several transactions.
const STEPS_MAX: u64 = 7;
/// How long a worker that was stopped by the proxy stays so.
const HUNG: Duration = Duration::from_millis(1_500);
/// Longer than PostgreSQL lets a transaction stand idle.
const HUNG_FOR_LONG: Duration = Duration::from_millis(11_000);

/// A node that sells two products, whose ledger lies behind proxies.
struct Shop {
    cluster: Cluster,
    node: Server,
    products: [&'static str; 2],
    told: Told,
    sold: usize,
    cancelled: usize,
}

impl Shop {
    fn open() -> Self {
        let cluster = Cluster::with_proxies();
        let node = cluster.node("node-1");
        let products = ["one", "two"].map(product);
        for product in products {
            create(node.operator, product, UNITS, 1, 0);
        }
        Self { cluster, node, products, told: Told::default(), sold: 0, cancelled: 0 }
    }

    /// Orders, and takes some of them back.
    fn sell(&mut self) {
        let mut client = Client::new(self.node.public).expect("a connection");
        client.told = std::mem::take(&mut self.told);
        let mut ids = Vec::new();
        for number in 0..ORDERS {
            let attempt = Attempt {
                product: self.products[number % 2],
                user: format!("u-{}", self.sold),
                key: "a".to_owned(),
            };
            ids.push(attempt.order_id(&crate::crash::keys()));
            self.sold += 1;
            client.settle(attempt);
        }
        self.told = client.told;
        for id in &ids[..CANCELLED] {
            let target = format!("/orders/{id}/cancel");
            let answer = shop(self.node.public, "POST", &target, r#"{"restock":true}"#);
            assert_eq!(answer.summary(), "200 reversed", "{}", answer.text());
            self.cancelled += 1;
        }
    }

    fn number(&self, sql: &str) -> usize {
        let said = self.cluster.stack.sql(&self.cluster.database, sql);
        said.parse().unwrap_or_else(|_| panic!("{sql}: {said}"))
    }

    /// Whether the ledger has all that was sold and taken back.
    fn caught_up(&self) -> bool {
        let sql = "SELECT last_seq FROM flux_gate.counter";
        self.number(sql) == self.sold + self.cancelled
    }

    fn wait_until_caught_up(&self) {
        wait_for("rule 5: the ledger is the log", || self.caught_up());
    }

    /// Every order once, every event once, without gaps; each partition just as far as the log.
    fn check(&self) {
        self.wait_until_caught_up();
        let (sold, cancelled) = (self.sold, self.cancelled);
        let orders = "SELECT count(*) FROM flux_gate.order_list";
        assert_eq!(self.number(orders), sold, "rule 2");
        let ids = "SELECT count(DISTINCT order_id) FROM flux_gate.order_list";
        assert_eq!(self.number(ids), sold, "rule 3");
        let reversed = format!("{orders} WHERE status = 'reversed'");
        assert_eq!(self.number(&reversed), cancelled);
        let progress = "SELECT coalesce(sum(next_offset), 0) FROM flux_gate.progress";
        assert_eq!(self.number(progress), self.cluster.records_written());
        let mut after = 0;
        let mut events = 0;
        loop {
            let feed =
                shop(self.node.public, "GET", &format!("/orders?after={after}&limit=500"), "");
            let page = feed.json();
            let page = page["events"].as_array().expect("a list of events");
            for event in page {
                after += 1;
                assert_eq!(event["offset"], after, "the feed has a gap or a repetition");
            }
            events += page.len();
            if page.is_empty() {
                break;
            }
        }
        assert_eq!(events, sold + cancelled);
        for product in self.products {
            let shown = call(self.node.operator, "GET", &format!("/admin/products/{product}"), "");
            assert_eq!(shown.json()["sold"], (sold - cancelled) / 2, "{}", shown.text());
        }
    }

    /// What PostgreSQL says of the worker's sessions, once it has done all that has come in: whether one is in the
    /// middle of a transaction. (Those of the worker's housekeeping idle beside it.)
    fn state_of_the_session(&self) -> String {
        let sql = format!(
            "SELECT CASE WHEN bool_or(state = 'active') THEN 'active' \
             WHEN bool_or(state LIKE 'idle in transaction%') THEN 'idle in transaction' \
             ELSE 'idle' END FROM pg_stat_activity WHERE datname = '{}' \
             AND usename LIKE '%worker%'",
            self.cluster.database
        );
        let mut state = String::new();
        wait_for("PostgreSQL has done what it was told", || {
            state = self.cluster.stack.sql_as("STACK_DATABASE_SUPERUSER_URL", "flux_gate", &sql);
            state != "active"
        });
        state
    }

    /// Sells while the worker's way to PostgreSQL ends after so many records. Whether it was stopped so.
    fn sell_frozen_after(&mut self, records: u64) -> bool {
        let postgres = &self.cluster.proxies().postgres;
        postgres.freeze_after(records);
        self.sell();
        let begun = Instant::now();
        let frozen = || self.cluster.proxies().postgres.is_frozen();
        wait_for("the worker is stopped, or writes less than that", || {
            frozen() || (self.caught_up() && begun.elapsed() > Duration::from_millis(300))
        });
        frozen()
    }
}

#[test]
fn rule_5_a_worker_killed_at_each_step_of_its_batch_loses_and_doubles_nothing() {
    let mut shop = Shop::open();
    let mut stopped = Vec::new();
    for records in 0..=STEPS_MAX {
        // Killed ones are missed by their group only after 10 s, so each has a group of its own.
        let worker = shop.cluster.worker_apart(&format!("step-{records}"), true);
        shop.sell();
        shop.wait_until_caught_up();
        if shop.sell_frozen_after(records) {
            stopped.push((records, shop.state_of_the_session()));
        }
        worker.kill();
        shop.cluster.proxies().postgres.cut();
        shop.cluster.proxies().postgres.pass();
    }
    println!("killed after so many records, with a session that was: {stopped:?}");
    let while_it = |state: &str| stopped.iter().any(|(records, s)| *records > 0 && s == state);
    assert!(while_it("idle in transaction"), "with statements sent and no commit");
    assert!(while_it("idle"), "with its commit sent and not answered");
    let _last = shop.cluster.worker_apart("last", false);
    shop.check();
}

#[test]
fn rule_5_a_worker_that_hangs_in_its_batch_and_goes_on_finds_another_ahead() {
    let mut shop = Shop::open();
    let stale = shop.cluster.worker_apart("stale", true);
    shop.sell();
    shop.wait_until_caught_up();

    // Before its transaction: another one takes over at once.
    assert!(shop.sell_frozen_after(0));
    let other = shop.cluster.worker_apart("other", false);
    shop.wait_until_caught_up();
    shop.cluster.proxies().postgres.pass();
    wait_for("it finds that another was ahead", || stale.logged().contains("was ahead"));
    shop.sell();
    shop.wait_until_caught_up();

    // With its statements sent, so that the other has to wait for it; it goes on.
    assert!(shop.sell_frozen_after(1));
    std::thread::sleep(HUNG);
    shop.cluster.proxies().postgres.pass();
    shop.wait_until_caught_up();

    // It does not go on in time: the database ends its transaction, and it finds so.
    assert!(shop.sell_frozen_after(1));
    let begun = Instant::now();
    shop.wait_until_caught_up();
    std::thread::sleep(HUNG_FOR_LONG.saturating_sub(begun.elapsed()));
    shop.cluster.proxies().postgres.pass();
    shop.sell();
    shop.check();
    for worker in [stale, other] {
        no_errors(worker);
    }
}

/// It still runs: nothing of this is a reason to end.
fn no_errors(mut worker: Worker) {
    assert!(!worker.ended(), "{}", worker.logged());
}
