//! Two nodes, two workers and a crowd, and the rules that must hold whatever is done to them.
//!
//! After each fault the crowd pauses, every unknown attempt is settled by a retry, the ledger catches up, and
//! the books of both nodes are held against what the crowd was told.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, wait_for};
use super::crowd::{Crowd, Nodes};
use super::sale::product;
use super::worker::Worker;
use crate::crash::Attempt;
use crate::crash::books::{Books, call, create};
use crate::crash::crowd::{Client, Told};
use crate::support::server::Server;

const CLIENTS: u64 = 6;
const FEW_UNITS: u32 = 400;
const MANY_UNITS: u32 = 10_000_000;
/// Orders between two looks at the time.
const SOLD_AT_A_TIME: u32 = 50;

/// What is broken, and how. The crowd is at work meanwhile.
pub type Fault = (&'static str, fn(&mut World));

/// The nodes, their workers and their books.
pub struct World {
    pub cluster: Cluster,
    pub servers: Vec<Option<Server>>,
    pub workers: Vec<Option<Worker>>,
    /// What the crowd knows of the nodes.
    pub nodes: Nodes,
    /// A product that does not sell out.
    pub many: &'static str,
    /// One that everybody wants and few get.
    pub few: &'static str,
    books: [Books; 2],
    told: Told,
    rounds: u64,
}

impl World {
    /// Opens two sales on nodes that run.
    pub fn new(cluster: Cluster, servers: Vec<Server>, workers: Vec<Worker>) -> Self {
        let (many, few) = (product("many"), product("few"));
        let world = Self {
            cluster,
            servers: servers.into_iter().map(Some).collect(),
            workers: workers.into_iter().map(Some).collect(),
            nodes: Arc::new(Mutex::new(Vec::new())),
            many,
            few,
            books: [Books::new(many, MANY_UNITS.into(), 2), Books::new(few, FEW_UNITS.into(), 1)],
            told: Told::default(),
            rounds: 0,
        };
        world.tell_nodes();
        let operator = world.servers[0].as_ref().expect("it runs").operator;
        create(operator, many, MANY_UNITS, 2, 0);
        create(operator, few, FEW_UNITS, 1, 60);
        for server in world.servers.iter().flatten() {
            wait_for("the node knows the products", || {
                let known = |p| call(server.operator, "GET", &format!("/admin/products/{p}"), "");
                known(many).status == 200 && known(few).status == 200
            });
        }
        world
    }

    /// Does one thing after the other to the services and processes, and checks the rules after each. The
    /// crowd orders for `spell` before and after. `FAULT=word` leaves out those whose names lack the word.
    pub fn endure(&mut self, faults: &[Fault], spell: Duration) {
        let only = std::env::var("FAULT").unwrap_or_default();
        let chosen: Vec<_> = faults.iter().filter(|(name, _)| name.contains(&only)).collect();
        for (name, fault) in &chosen {
            self.endure_one(name, *fault, spell);
        }
        if chosen.is_empty() {
            return;
        }
        self.sell_out();
        for books in &mut self.books {
            books.check_nothing_unasked(&self.told);
        }
    }

    /// Rule 5: no unit was lost, so whoever still comes gets what is left, and then nobody.
    fn sell_out(&mut self) {
        let node = self.servers.iter().flatten().next().expect("a node runs");
        let mut client = Client::new(node.public).expect("the node takes connections");
        client.told = std::mem::take(&mut self.told);
        let mut number = 0;
        wait_for("rule 5: all units are sold", || {
            (0..SOLD_AT_A_TIME).any(|_| {
                number += 1;
                let attempt = Attempt {
                    product: self.few,
                    user: format!("last-{number}"),
                    key: "a".to_owned(),
                };
                let refused_before = client.told.refused.len();
                client.settle(attempt);
                client.told.refused.len() > refused_before
            })
        });
        self.told = client.told;
        self.catch_up();
        let node = self.servers.iter().flatten().next().expect("a node runs");
        let books = &mut self.books[1];
        books.check_from_the_start(node.operator, &self.told);
        assert_eq!(books.sold(), u64::from(FEW_UNITS), "rule 5: it was said to be sold out");
    }

    fn endure_one(&mut self, name: &str, fault: fn(&mut World), spell: Duration) {
        let begun = Instant::now();
        let before = self.told.accepted.len();
        self.rounds += 1;
        let products: &'static [&'static str] = Box::leak(Box::new([self.many, self.few]));
        let crowd = Crowd::start(CLIENTS, &self.nodes, products, self.rounds);
        std::thread::sleep(spell);
        fault(self);
        std::thread::sleep(spell);
        let over = begun.elapsed();
        self.wait_until_ready();
        let ready = begun.elapsed();
        crowd.stop(&mut self.told);
        self.settle();
        let settled = begun.elapsed();
        self.catch_up();
        let caught_up = begun.elapsed();
        for server in self.servers.iter().flatten() {
            for books in &mut self.books {
                books.check_from_the_start(server.operator, &self.told);
            }
        }
        let accepted = self.told.accepted.len() - before;
        let [over, ready, settled, caught_up, all] =
            [over, ready, settled, caught_up, begun.elapsed()].map(|time| time.as_secs_f64());
        println!(
            "{name:62} {accepted:6} accepted, {all:5.1} s: over {over:.1}, ready {ready:.1}, \
             settled {settled:.1}, ledger {caught_up:.1}"
        );
        assert!(accepted > 0, "the load was no load");
    }

    /// Tells the crowd which nodes there are.
    pub fn tell_nodes(&self) {
        let addresses = self.servers.iter().flatten().map(|server| server.public).collect();
        *self.nodes.lock().expect("no client panics with it") = addresses;
    }

    fn wait_until_ready(&self) {
        for server in self.servers.iter().flatten() {
            wait_for("the node is ready again", || {
                call(server.operator, "GET", "/readyz", "").status == 200
            });
        }
    }

    /// What is unknown is settled on any node by a retry under the same key. A long outage leaves thousands,
    /// so all clients do it together; the same attempt is always the same one's.
    fn settle(&mut self) {
        let mut unknown: Vec<Vec<Attempt>> = vec![Vec::new(); CLIENTS as usize];
        for attempt in std::mem::take(&mut self.told.unknown) {
            let mut hasher = DefaultHasher::new();
            attempt.hash(&mut hasher);
            unknown[(hasher.finish() % CLIENTS) as usize].push(attempt);
        }
        let nodes: Vec<_> = self.servers.iter().flatten().map(|server| server.public).collect();
        let clients: Vec<_> = unknown
            .into_iter()
            .zip(nodes.into_iter().cycle())
            .map(|(unknown, node)| std::thread::spawn(move || settle(node, unknown)))
            .collect();
        for client in clients {
            self.told.add(client.join().expect("an attempt does not settle; see above"));
        }
        let both = self.told.refused.iter().find(|id| self.told.accepted.contains_key(*id));
        assert!(both.is_none(), "rules 2 and 4: {both:?} was accepted and refused");
    }

    /// Waits until every worker's transaction for what the log holds is through.
    fn catch_up(&self) {
        for product in [self.many, self.few] {
            for server in self.servers.iter().flatten() {
                wait_for("rule 5: the ledger is the log", || {
                    let target = format!("/admin/products/{product}");
                    let sold = call(server.operator, "GET", &target, "").json()["sold"].as_u64();
                    let sql = format!(
                        "SELECT count(*) FROM flux_gate.order_list \
                         WHERE product = '{product}' AND status = 'confirmed'"
                    );
                    let standing = self.cluster.stack.sql(&self.cluster.database, &sql);
                    sold.is_some() && standing.parse().ok() == sold
                });
            }
        }
    }
}

fn settle(node: SocketAddr, unknown: Vec<Attempt>) -> Told {
    let mut client = Client::new(node).expect("the node takes connections");
    for attempt in unknown {
        client.settle(attempt);
    }
    client.told
}
