//! SIGTERM under load: readiness fails first, what is in flight is answered, the exit code is 0.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::books::{self, Books};
use super::crowd::{Client, MANY, Told};
use super::{Attempt, config, keys, kill, program};
use crate::support::draft::Draft;
use crate::support::server::Server;
use crate::support::wire::exchange;

const CLIENTS: usize = 6;
const UNITS: u32 = 10_000_000;
/// Time under load before SIGTERM.
const LOAD: Duration = Duration::from_millis(700);

/// What one client saw.
#[derive(Default)]
struct Seen {
    told: Told,
    /// When its last order was accepted.
    accepted_last: Option<Instant>,
    /// How often it was told to go elsewhere, and was answered all the same.
    told_to_go: u32,
    /// Attempts that the server closed the connection on without a byte of an answer.
    unanswered: HashSet<String>,
}

#[test]
fn a_drain_under_load_loses_nothing_in_flight_and_readiness_fails_first() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = dir.path().join("store");
    let start = || Server::start(program(), &store, &config()).expect("the server starts");
    let mut server = start();
    books::create(server.operator, MANY, UNITS, 1, 0);

    let stopping = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (to, stopping) = (server.public, stopping.clone());
            std::thread::spawn(move || order_until_closed(to, &stopping, client))
        })
        .collect();
    std::thread::sleep(LOAD);
    let probe = std::thread::spawn({
        let operator = server.operator;
        move || first_unready(operator)
    });
    stopping.store(true, Ordering::SeqCst);
    kill::terminate(server.pid());
    let unready = probe.join().expect("the probe ends");
    let status = server.ended().expect("it ends");
    let log = server.log();
    assert_eq!(status.code(), Some(0), "{log}");

    let (mut told, mut unanswered, mut accepted_last) = (Told::default(), HashSet::new(), None);
    let mut told_to_go = 0;
    for client in clients {
        let seen = client.join().expect("a client found a fault; see above");
        accepted_last = accepted_last.max(seen.accepted_last);
        unanswered.extend(seen.unanswered);
        told_to_go += seen.told_to_go;
        told.add(seen.told);
    }
    let unready = unready.expect("readiness failed before the listener closed");
    assert!(told_to_go >= CLIENTS as u32, "each client is told to go before it is cut off");
    assert!(accepted_last > Some(unready), "orders go on being accepted while it is unready");

    let server = start();
    let mut books = Books::new(MANY, UNITS.into(), 1);
    books.check(server.operator, &told);
    // Closed before it was sent, then: no order may be behind it. And none behind a 503.
    books.check_nothing_unasked(&told);
    println!("{} accepted, {} closed before sent", told.accepted.len(), unanswered.len());
}

/// Orders until the server closes the connection. Before `stopping` it must not.
fn order_until_closed(to: SocketAddr, stopping: &AtomicBool, client: usize) -> Seen {
    let keys = keys();
    let mut seen = Seen::default();
    let mut sender = Client::new(to).expect("the server takes connections");
    for number in 0_u64.. {
        let user = format!("u-{client}-{number}");
        let attempt = Attempt { product: MANY, user, key: format!("{client}-{number}") };
        let Some(answer) = sender.send(&attempt) else {
            assert!(stopping.load(Ordering::SeqCst), "closed without a reason");
            seen.unanswered.insert(attempt.order_id(&keys));
            break;
        };
        match answer.status {
            200 => {
                seen.told.accepted.insert(answer.member("orderId"), attempt);
                seen.accepted_last = Some(now());
            }
            503 => assert!(stopping.load(Ordering::SeqCst), "{}", answer.text()),
            status => panic!("{attempt:?} was answered {status} {}", answer.text()),
        }
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            assert!(stopping.load(Ordering::SeqCst), "told to go without a reason");
            seen.told_to_go += 1;
            // As long as it listens, a client may come again.
            match Client::new(to) {
                Ok(client) => sender = client,
                Err(_) => break,
            }
        }
    }
    seen
}

/// When readiness was first refused; `None` if the listener closed before.
fn first_unready(operator: SocketAddr) -> Option<Instant> {
    loop {
        let draft = Draft::new("GET", "/readyz", "").set("connection", "close");
        match exchange(operator, None, &draft.bytes()) {
            Ok(Some(answer)) if answer.status == 503 => return Some(now()),
            Ok(Some(_)) => std::thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the order of two events in a real process")]
fn now() -> Instant {
    Instant::now()
}
