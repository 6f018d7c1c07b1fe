//! Rules 1 to 6 while connections to the stores are slow, hang or break: two nodes, two workers and a crowd
//! throughout, all by way of proxies.

use std::time::Duration;

use super::cluster::Cluster;
use super::proxy::Proxy;
use super::world::{Fault, World};

/// How long the crowd orders before and after a fault.
const SPELL: Duration = Duration::from_millis(600);
/// How long a connection is slow.
const SLOW_SPELL: Duration = Duration::from_millis(2_000);
/// How often connections are cut, and the time between.
const CUTS: u32 = 3;
const CUT_EVERY: Duration = Duration::from_millis(400);
/// Each way. An attempt waits for Redis for 50 ms.
const REDIS_DELAY: Duration = Duration::from_millis(60);
const POSTGRES_DELAY: Duration = Duration::from_millis(60);
const KAFKA_DELAY: Duration = Duration::from_millis(150);
/// Longer than a client waits for its decision, shorter than the producer tries.
const HELD: Duration = Duration::from_millis(3_000);

const FAULTS: &[Fault] = &[
    ("Redis: slow", |world| slow(&world.cluster.proxies().redis, REDIS_DELAY)),
    ("Redis: connections cut", |world| cut(&world.cluster.proxies().redis)),
    ("PostgreSQL: slow", |world| slow(&world.cluster.proxies().postgres, POSTGRES_DELAY)),
    ("PostgreSQL: connections cut", |world| cut(&world.cluster.proxies().postgres)),
    ("Kafka: slow", |world| slow(&world.cluster.proxies().kafka, KAFKA_DELAY)),
    ("Kafka: connections cut in the middle of a record", |world| {
        for records in 0..u64::from(CUTS) {
            // Between a few more each time: of one node's, then the other's, of a worker's.
            world.cluster.proxies().kafka.cut_within(5 + 2 * records);
            std::thread::sleep(CUT_EVERY);
        }
    }),
    ("Kafka: what is sent hangs, and arrives after all (late appends)", |world| {
        world.cluster.proxies().kafka.hold_up();
        std::thread::sleep(HELD);
        world.cluster.proxies().kafka.pass();
    }),
    ("Kafka: what it answers hangs", |world| {
        world.cluster.proxies().kafka.hold_down();
        std::thread::sleep(HELD);
        world.cluster.proxies().kafka.pass();
    }),
];

fn slow(proxy: &Proxy, delay: Duration) {
    proxy.slow(delay);
    std::thread::sleep(SLOW_SPELL);
    proxy.pass();
}

fn cut(proxy: &Proxy) {
    for _ in 0..CUTS {
        proxy.cut();
        std::thread::sleep(CUT_EVERY);
    }
}

#[test]
fn rules_1_to_6_hold_on_whatever_connections() {
    let cluster = Cluster::with_proxies();
    let workers = vec![cluster.proxied_worker("worker-1"), cluster.proxied_worker("worker-2")];
    let servers = vec![cluster.proxied_node("node-1"), cluster.proxied_node("node-2")];
    World::new(cluster, servers, workers).endure(FAULTS, SPELL);
}
