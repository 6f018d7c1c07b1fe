//! Rules 1 to 6 while one service or process after the other breaks: two nodes, two workers and a crowd
//! throughout.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use super::stack::succeed;
use super::world::{Fault, World};
use crate::crash::Attempt;
use crate::crash::books::create;
use crate::crash::crowd::Client;
use crate::support::server::Server;

/// How long the crowd orders before, during and after a fault.
const SPELL: Duration = Duration::from_millis(1_200);

/// Every kind once.
const FAULTS: &[Fault] = &[
    ("nothing at all", |_| {}),
    ("Redis: the hint of the large product is set to 1,000,000", |world| {
        world.forge_hint(world.many, "1000000");
        world.forge_hint(world.few, "1000000");
    }),
    ("Redis: the hint is set to 0", |world| world.forge_hint(world.many, "0")),
    ("Redis: all keys are deleted", World::delete_keys),
    ("Redis: wiped by an administrator", |world| {
        world.cluster.stack.redis("STACK_REDIS_ADMIN_URL", &["FLUSHALL"]);
    }),
    ("Redis: SIGKILL, then back and empty", |world| world.kill_and_start("redis")),
    ("Redis: SIGKILL, then back with an old dump", World::restore_dump),
    ("Redis: hangs (SIGSTOP) and goes on", |world| world.hang("redis", 2 * SPELL)),
    ("PostgreSQL: SIGKILL and back", |world| world.kill_and_start("postgres")),
    ("PostgreSQL: restored from an older backup", World::restore_backup),
    ("a node is killed", World::kill_node),
    ("a node is restarted", World::restart_node),
    ("a worker is killed", World::kill_worker),
    ("a worker hangs, another takes over, it comes back", World::hang_worker),
    ("Kafka: hangs for two seconds and goes on (late appends)", |world| {
        world.hang("kafka", Duration::from_secs(2));
    }),
    ("Kafka: SIGKILL and back", |world| world.kill_and_start("kafka")),
];

impl World {
    fn forge_hint(&self, product: &str, units: &str) {
        // With the rights of a node, as an intruder would.
        let key = format!("product:{{{product}}}:stock");
        let said = self.cluster.stack.redis("REDIS_URL", &["SET", &key, units]);
        assert_eq!(
            said, "OK",
            "the node's user may write hints: that is why the gate never decides"
        );
    }

    fn delete_keys(&mut self) {
        for product in [self.many, self.few] {
            for key in ["stock", "pending", "level"] {
                let key = format!("product:{{{product}}}:{key}");
                self.cluster.stack.redis("STACK_REDIS_ADMIN_URL", &["DEL", &key]);
            }
        }
    }

    fn kill_and_start(&mut self, service: &str) {
        self.cluster.stack.does("kill", service);
        std::thread::sleep(SPELL);
        self.cluster.stack.does("start", service);
    }

    fn hang(&mut self, service: &str, time: Duration) {
        self.cluster.stack.does("stop", service);
        std::thread::sleep(time);
        self.cluster.stack.does("cont", service);
    }

    /// A dump that the shipped configuration never writes, some orders, and the server back with the dump.
    fn restore_dump(&mut self) {
        let stack = &self.cluster.stack;
        assert_eq!(stack.redis("STACK_REDIS_ADMIN_URL", &["SAVE"]), "OK");
        let written = Path::new(stack.get("STACK_REDIS_DIR")).join("dump.rdb");
        let kept = tempfile::tempdir().expect("a temporary directory");
        let old = kept.path().join("dump.rdb");
        std::fs::copy(written, &old).expect("the dump is there");
        std::thread::sleep(2 * SPELL);
        stack.does("kill", "redis");
        stack.does_from("start", "redis", &old);
    }

    /// A copy of the data while the server is down, some orders, and the copy in its place.
    fn restore_backup(&mut self) {
        let stack = &self.cluster.stack;
        let backup = tempfile::tempdir().expect("a temporary directory");
        let copy = backup.path().join("data");
        stack.does("kill", "postgres");
        succeed(Command::new("cp").arg("-a").arg(stack.get("STACK_POSTGRES_DATA")).arg(&copy));
        stack.does("start", "postgres");
        std::thread::sleep(2 * SPELL);
        stack.does("kill", "postgres");
        stack.does_from("start", "postgres", &copy);
    }

    fn kill_node(&mut self) {
        let node = self.servers[0].take().expect("it runs");
        node.kill();
        self.tell_nodes();
        std::thread::sleep(SPELL);
        self.servers[0] = Some(self.cluster.node("node-1"));
        self.tell_nodes();
    }

    fn restart_node(&mut self) {
        let node = self.servers[1].take().expect("it runs");
        self.tell_nodes();
        let (status, log) = node.stop().expect("it stops");
        assert!(status.success(), "{status}\n{log}");
        self.servers[1] = Some(self.cluster.node("node-2"));
        self.tell_nodes();
    }

    fn kill_worker(&mut self) {
        self.workers[0].take().expect("it runs").kill();
        std::thread::sleep(SPELL);
        self.workers[0] = Some(self.cluster.worker("worker-1"));
    }

    fn hang_worker(&mut self) {
        let pid = self.workers[1].as_ref().expect("it runs").pid();
        signal(pid, "STOP");
        std::thread::sleep(2 * SPELL);
        let third = self.cluster.worker("worker-3");
        std::thread::sleep(2 * SPELL);
        signal(pid, "CONT");
        third.kill();
    }
}

fn signal(pid: u32, name: &str) {
    let arguments = [format!("-{name}"), pid.to_string()];
    let status = Command::new("kill").args(arguments).status();
    assert!(status.expect("`kill` can be run").success());
}

#[test]
fn rules_1_to_6_hold_whatever_breaks() {
    let cluster = Cluster::new();
    let workers = vec![cluster.worker("worker-1"), cluster.worker("worker-2")];
    let servers = vec![cluster.node("node-1"), cluster.node("node-2")];
    World::new(cluster, servers, workers).endure(FAULTS, SPELL);
}

/// Sells one unit, so that log and ledger hold something, and waits until the ledger has it.
fn sell_one(cluster: &Cluster, node: &Server) {
    let phone = product("gone");
    create(node.operator, phone, 5, 1, 0);
    let mut client = Client::new(node.public).expect("a connection");
    let attempt = Attempt { product: phone, user: "u-1".to_owned(), key: "a".to_owned() };
    wait_for("a unit is sold", || client.send(&attempt).is_some_and(|answer| answer.status == 200));
    wait_for("the ledger has the order", || {
        cluster.stack.sql(&cluster.database, "SELECT count(*) FROM flux_gate.orders") == "1"
    });
}

#[test]
fn a_topic_that_is_made_anew_stops_nodes_and_workers_for_good() {
    let cluster = Cluster::new();
    let mut worker = cluster.worker("worker-1");
    let mut node = cluster.node("node-1");
    sell_one(&cluster, &node);
    cluster.delete_topic();
    cluster.make_order_topic();
    wait_for("the node ends", || !node.runs());
    let log = node.log();
    assert!(log.contains("\"ERROR\"") && log.contains("ending the process"), "{log}");
    wait_for("the worker ends", || worker.ended());
    let said = cluster.refused_node("node-2");
    assert!(said.contains("log") && said.contains("ledger"), "{said}");
    let mut again = cluster.worker("worker-2");
    wait_for("the worker does not start again", || again.ended());
    assert!(again.logged().contains("does not belong to this ledger"), "{}", again.logged());
}

#[test]
fn a_partition_that_is_added_stops_nodes() {
    let cluster = Cluster::new();
    let _worker = cluster.worker("worker-1");
    let mut node = cluster.node("node-1");
    sell_one(&cluster, &node);
    cluster.add_partition();
    wait_for("the node ends", || !node.runs());
    assert!(node.log().contains("partitions"), "{}", node.log());
    let said = cluster.refused_node("node-2");
    assert!(said.contains("7 partitions"), "{said}");
}
