//! Clients that order without pause, go to another node when theirs is gone, and remember what they were
//! told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::crash::Attempt;
use crate::crash::crowd::{Client, Told};

/// Buyers of a crowd.
const BUYERS: u32 = 20_000;
/// One in so many requests is a repetition of an earlier one.
const REPEATS_ONE_IN: u32 = 8;
/// How long a client waits after an answer that tells it to come again.
const COME_AGAIN_DELAY: Duration = Duration::from_millis(20);
/// How long a client waits before it tries another node.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// Where nodes are at the moment.
pub type Nodes = Arc<Mutex<Vec<SocketAddr>>>;

/// A crowd at work.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Told>>,
}

impl Crowd {
    /// So many clients who want one of `products`.
    pub fn start(
        clients: u64,
        nodes: &Nodes,
        products: &'static [&'static str],
        seed: u64,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|number| {
            let (stop, nodes) = (stop.clone(), nodes.clone());
            let seed = seed * 1_000 + number;
            std::thread::spawn(move || order_until(&stop, &nodes, products, seed))
        });
        Self { clients: clients.collect(), stop }
    }

    /// Ends it and takes what it was told.
    pub fn stop(self, told: &mut Told) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            told.add(client.join().expect("a client found a rule broken; see above"));
        }
    }
}

fn order_until(
    stop: &AtomicBool,
    nodes: &Nodes,
    products: &'static [&'static str],
    seed: u64,
) -> Told {
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = Told::default();
    let mut sent: Vec<Attempt> = Vec::new();
    let mut number = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        let nodes = nodes.lock().expect("no client panics with it").clone();
        let node = nodes.get(random.random_range(0..nodes.len().max(1))).copied();
        let Some(mut client) = node.and_then(|node| Client::new(node).ok()) else {
            std::thread::sleep(RECONNECT_DELAY);
            continue;
        };
        client.told = told;
        loop {
            let attempt = if !sent.is_empty() && random.random_ratio(1, REPEATS_ONE_IN) {
                sent[random.random_range(0..sent.len())].clone()
            } else {
                number += 1;
                let product = products[random.random_range(0..products.len())];
                let user = format!("u-{}", random.random_range(0..BUYERS));
                Attempt { product, user, key: format!("{seed:x}-{number}") }
            };
            sent.push(attempt.clone());
            let unknown_before = client.told.unknown.len();
            let answered = client.attempt(attempt);
            if client.told.unknown.len() > unknown_before {
                std::thread::sleep(COME_AGAIN_DELAY);
            }
            // A crowd spreads over the nodes in time.
            if !answered || stop.load(Ordering::SeqCst) || random.random_ratio(1, 200) {
                break;
            }
        }
        told = client.told;
    }
    told
}
