//! Nodes and workers are restarted one after the other under load, and nobody notices: no request fails but by a
//! clean 503, and none is cut off.
//!
//! Clients do what a load balancer does for them: they keep their connections, ask a node's readiness, and go
//! to the other node when it is not ready, says that it ends the connection, or answers 503. A request that was
//! sent must be answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cluster::{Cluster, wait_for};
use super::sale::product;
use super::worker::Worker;
use crate::crash::Attempt;
use crate::crash::books::{Books, call, create};
use crate::crash::crowd::{Client, Told};
use crate::support::draft::Draft;
use crate::support::server::Server;
use crate::support::wire::exchange;

const CLIENTS: usize = 6;
const UNITS: u32 = 10_000_000;
/// How long the crowd orders between two restarts.
const SPELL: Duration = Duration::from_millis(700);
/// What a client needs between two orders, or twice that, or nothing.
const THINKING: Duration = Duration::from_millis(20);
/// How often a load balancer asks whether a node is ready.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The nodes that are ready, as the load balancer knows them.
type Ready = Arc<Mutex<Vec<SocketAddr>>>;

/// Asks all nodes again and again.
struct Balancer {
    /// Where requests and questions for readiness go, of each node.
    nodes: Arc<Mutex<Vec<(SocketAddr, SocketAddr)>>>,
    ready: Ready,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    fn start(servers: &[&Server]) -> Self {
        let nodes: Vec<_> = servers.iter().map(|server| (server.public, server.operator)).collect();
        let (nodes, ready) = (Arc::new(Mutex::new(nodes)), Ready::default());
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::spawn({
            let (nodes, ready, stop) = (Arc::clone(&nodes), ready.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::SeqCst) {
                    let known: Vec<_> = nodes.lock().expect("no panic").clone();
                    let now = known.iter().filter(|(_, operator)| is_ready(*operator));
                    let now = now.map(|(public, _)| *public).collect();
                    *ready.lock().expect("no panic") = now;
                    std::thread::sleep(ASK_EVERY);
                }
            }
        });
        Self { nodes, ready, stop, thread: Some(thread) }
    }

    fn replace(&self, old: SocketAddr, new: &Server) {
        let mut nodes = self.nodes.lock().expect("no panic");
        nodes.retain(|(public, _)| *public != old);
        nodes.push((new.public, new.operator));
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_ready(operator: SocketAddr) -> bool {
    let draft = Draft::new("GET", "/readyz", "").set("connection", "close");
    exchange(operator, None, &draft.bytes())
        .is_ok_and(|answer| answer.is_some_and(|a| a.status == 200))
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    told: Told,
    words: BTreeMap<String, u64>,
}

/// Orders until it is told to stop. A request without an answer, or with one that is neither a decision nor a
/// clean 503, is a failure.
fn order_until(stop: &AtomicBool, ready: &Ready, product: &'static str, number: usize) -> Seen {
    let mut seen = Seen::default();
    let mut next = number;
    let mut order = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        let nodes = ready.lock().expect("no panic").clone();
        next += 1;
        let node = nodes.get(next % nodes.len().max(1)).copied();
        // One that refuses a connection was not sent anything: the next one is tried.
        let Some((node, mut client)) = node.and_then(|node| Some((node, Client::new(node).ok()?)))
        else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        loop {
            order += 1;
            let user = format!("u-{number}-{order}");
            let attempt = Attempt { product, user, key: "a".to_owned() };
            let answer = client.send(&attempt);
            let answer = answer.unwrap_or_else(|| panic!("{node} cut {attempt:?} off"));
            *seen.words.entry(answer.summary()).or_default() += 1;
            match answer.status {
                200 => drop(seen.told.accepted.insert(answer.member("orderId"), attempt)),
                // A slow commit: it is asked again under its key, at the end.
                202 => seen.told.unknown.push(attempt),
                503 if answer.member("retry") == "same_key" => seen.told.unknown.push(attempt),
                // Nothing was proposed: it may be asked again anywhere.
                503 => assert_eq!(answer.member("retry"), "after", "{}", answer.text()),
                _ => panic!("{attempt:?} was answered {} {}", answer.status, answer.text()),
            }
            // So that connections stand idle when their node stops.
            std::thread::sleep(THINKING * (number % 3) as u32);
            let closes =
                answer.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
            let gone = !ready.lock().expect("no panic").contains(&node);
            if closes || gone || answer.status == 503 || stop.load(Ordering::SeqCst) {
                break;
            }
        }
    }
    seen
}

#[test]
fn nodes_and_workers_are_restarted_one_by_one_and_nobody_notices() {
    let cluster = Cluster::new();
    let mut workers = vec![cluster.worker("worker-1"), cluster.worker("worker-2")];
    let mut servers = vec![cluster.node("node-1"), cluster.node("node-2")];
    let phone = product("rolling");
    create(servers[0].operator, phone, UNITS, 1, 0);
    wait_for("the other node knows the product", || {
        call(servers[1].operator, "GET", &format!("/admin/products/{phone}"), "").status == 200
    });
    let balancer = Balancer::start(&servers.iter().collect::<Vec<_>>());
    wait_for("both are ready", || balancer.ready.lock().expect("no panic").len() == 2);
    let stop = Arc::<AtomicBool>::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (stop, ready) = (stop.clone(), balancer.ready.clone());
            std::thread::spawn(move || order_until(&stop, &ready, phone, number))
        })
        .collect();
    for round in 0..2 {
        std::thread::sleep(SPELL);
        let old = servers.remove(0);
        let address = old.public;
        let (status, log) = old.stop().expect("it stops");
        assert!(status.success(), "{status}\n{log}");
        assert!(!log.contains("still open when time was up"), "{log}");
        let new = cluster.node(&format!("node-{round}-new"));
        balancer.replace(address, &new);
        servers.push(new);
        wait_for("it is ready", || balancer.ready.lock().expect("no panic").len() == 2);

        std::thread::sleep(SPELL);
        let old = workers.remove(0);
        stop_worker(old);
        workers.push(cluster.worker(&format!("worker-{round}-new")));
    }
    std::thread::sleep(SPELL);
    stop.store(true, Ordering::SeqCst);
    let (mut told, mut words) = (Told::default(), BTreeMap::<String, u64>::new());
    for client in clients {
        let seen = client.join().expect("a request failed; see above");
        told.add(seen.told);
        for (word, count) in seen.words {
            *words.entry(word).or_default() += count;
        }
    }
    println!("rolling restart: {words:?}");
    let mut client = Client::new(servers[0].public).expect("a connection");
    for attempt in std::mem::take(&mut told.unknown) {
        client.settle(attempt);
    }
    told.add(client.told);
    let accepted = told.accepted.len() as u64;
    wait_for("rule 2: the ledger has every order", || {
        let sql = format!("SELECT count(*) FROM flux_gate.order_list WHERE product = '{phone}'");
        cluster.stack.sql(&cluster.database, &sql) == accepted.to_string()
    });
    for server in &servers {
        let mut books = Books::new(phone, UNITS.into(), 1);
        books.check(server.operator, &told);
        books.check_nothing_unasked(&told);
    }
    assert!(accepted > 50, "the load was no load: {words:?}");
}

fn stop_worker(mut worker: Worker) {
    let status = std::process::Command::new("kill").arg(worker.pid().to_string()).status();
    assert!(status.expect("`kill` can be run").success());
    wait_for("the worker ends", || worker.ended());
    assert!(worker.logged().contains("stopped"), "{}", worker.logged());
}
