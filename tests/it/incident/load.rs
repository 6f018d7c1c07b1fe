//! A stop under load, measured: from the command to the last confirmation that anybody is told, on any node.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::says;
use crate::crash::Attempt;
use crate::crash::crowd::Client;
use crate::support::wait::{settled, until};

/// Clients of each node.
const CLIENTS: usize = 3;
/// Orders with which there is a load, and refusals with which it goes on.
const LOAD: usize = 100;
/// How long it is watched afterwards whether anything is confirmed.
const WATCH: Duration = Duration::from_millis(2_500);
/// How long the last answer may be on its way after the command, on a machine that does much else too. The promise
/// is a second; what it was is printed.
const LATE_MAX: Duration = Duration::from_secs(10);

/// What was measured.
pub struct Figures {
    /// From the command's start to its reply, the start of the program included.
    pub command: Duration,
    /// From the command's start to the last answer "accepted".
    pub last: Duration,
    /// Orders that were asked for after the command had ended and were accepted.
    pub later: usize,
    /// Different orders that clients were told of.
    pub told: BTreeSet<String>,
    /// Requests that were answered after the command had ended.
    pub refused_later: usize,
}

struct Accepted {
    id: String,
    sent: Instant,
    answered: Instant,
}

/// Orders on all nodes without pause, stops the sale by the command at one of them, and goes on ordering.
pub fn stop(nodes: &[SocketAddr], operator: SocketAddr, product: &'static str) -> Figures {
    let (accepted, end) = (Mutex::new(Vec::<Accepted>::new()), AtomicBool::new(false));
    let unknown = Mutex::new(Vec::<(Attempt, Instant)>::new());
    let (refused, users) = (AtomicU64::new(0), AtomicU64::new(0));
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::thread::scope(|scope| {
        for node in nodes.iter().flat_map(|node| std::iter::repeat_n(*node, CLIENTS)) {
            let (accepted, end, refused, users) = (&accepted, &end, &refused, &users);
            let unknown = &unknown;
            scope.spawn(move || {
                let mut client = Client::new(node).expect("a connection");
                while !end.load(Ordering::Relaxed) {
                    let user = format!("s-{}", users.fetch_add(1, Ordering::Relaxed));
                    let attempt = Attempt { product, user, key: "k".to_owned() };
                    let sent = Instant::now();
                    let answer = client.send(&attempt).expect("the node answers");
                    if answer.summary() == "200 success" {
                        let (id, answered) = (answer.member("orderId"), Instant::now());
                        accepted.lock().unwrap().push(Accepted { id, sent, answered });
                    } else if matches!(answer.status, 202 | 503) {
                        unknown.lock().unwrap().push((attempt, sent));
                    } else {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let enough = |what: &str, count: &dyn Fn() -> usize| {
            until(what, || (count() >= LOAD).then_some(()));
        };
        enough("a load of orders", &|| accepted.lock().unwrap().len());
        let began = Instant::now();
        let (done, said) = says(operator, dir.path(), &["stop", product, "--reason", "measured"]);
        let ended = Instant::now();
        assert!(done && said.contains("stopped in"), "{said}");
        refused.store(0, Ordering::Relaxed);
        std::thread::sleep(WATCH);
        enough("the load goes on", &|| refused.load(Ordering::Relaxed) as usize);
        end.store(true, Ordering::Relaxed);
        // Whoever was told that nobody knows asks again under the same key.
        let mut client = Client::new(nodes[0]).expect("a connection");
        for (attempt, sent) in std::mem::take(&mut *unknown.lock().unwrap()) {
            let answer = settled(|| client.send(&attempt).expect("the node answers"));
            let id = answer.member("orderId");
            if answer.status == 200 {
                accepted.lock().unwrap().push(Accepted { id, sent, answered: sent });
            }
        }
        let accepted = accepted.lock().unwrap();
        let last = accepted.iter().map(|order| order.answered).max().expect("some are accepted");
        Figures {
            command: ended - began,
            last: last.saturating_duration_since(began),
            later: accepted.iter().filter(|order| order.sent > ended).count(),
            told: accepted.iter().map(|order| order.id.clone()).collect(),
            refused_later: refused.load(Ordering::Relaxed) as usize,
        }
    })
}

/// Holds the figures against the promise, and prints them.
pub fn check(figures: &Figures, sold: u64, nodes: usize) {
    let Figures { command, last, later, told, refused_later } = figures;
    println!(
        "stop, {nodes} node(s) under load: the command took {command:?}, the last order was answered \
         {last:?} after it began; {} orders before, {later} after, {refused_later} refused after",
        told.len()
    );
    assert!(told.len() >= LOAD && *refused_later >= LOAD, "under load, which goes on");
    assert_eq!(*later, 0, "rule 6: an order was confirmed after the stop");
    assert!(*last <= *command + LATE_MAX, "rule 6: {last:?} after the command");
    assert_eq!(sold, told.len() as u64, "rule 6: the true count is kept");
}
