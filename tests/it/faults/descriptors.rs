//! Few file descriptors.

use std::time::{Duration, Instant};

use super::{CONFIG, Shop, program};
use crate::support::draft::Draft;
use crate::support::server::{Server, command_after, run_to_end};
use crate::support::wait::until;
use crate::support::wire::Connection;

/// Descriptors of the server; about 30 of them it needs for itself.
const FILES: usize = 64;
/// Who accepts connections: one for the public, one for operators.
const ACCEPTORS: usize = 2;

#[test]
fn out_of_file_descriptors_is_said_and_it_goes_on_when_there_are_some_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let setup = format!("ulimit -n {FILES}");
    let command = command_after(&setup, &program(), &store, CONFIG).unwrap();
    let mut server = Server::start_by(command).unwrap();
    let shop = Shop::of(&server);
    shop.open(100);
    let mut accepted = vec![shop.order("before").unwrap().member("orderId")];

    let mut kept = Connection::open(server.public, None).unwrap();
    kept.write(&Draft::new("GET", "/livez", "").bytes()).unwrap();
    assert_eq!(kept.read().unwrap().unwrap().status, 200);
    let begun = Instant::now();
    let flood: Vec<Connection> =
        (0..2 * FILES).map(|_| Connection::open(server.public, None).unwrap()).collect();
    let lines = || server.log().matches("cannot accept a connection").count();
    until("it is said", || (lines() > 0).then_some(()));
    std::thread::sleep(Duration::from_millis(500));
    // Each acceptor waits a tenth of a second.
    let most = ACCEPTORS * (begun.elapsed().as_millis() as usize / 100 + 1);
    let lines = lines();
    assert!(lines <= most, "it is said {lines} times in {:?}", begun.elapsed());
    assert!(server.runs());
    // Whoever has a connection is served.
    let order = shop.sign(Draft::order("p", "meanwhile", "key-meanwhile"));
    kept.write(&order.bytes()).unwrap();
    let answer = kept.read().unwrap().unwrap();
    assert_eq!(answer.word(), "success", "{}", answer.text());
    accepted.push(answer.member("orderId"));

    drop(flood);
    let after = until("it goes on", || {
        let answer = shop.order("after").ok()?;
        (answer.status == 200).then(|| answer.member("orderId"))
    });
    accepted.push(after);
    shop.has_all(&accepted);
    let (status, log) = server.stop().unwrap();
    assert!(status.success() && !log.contains("panic"), "{status}: {log}");
}

#[test]
fn too_few_file_descriptors_to_start_is_a_clear_error() {
    for files in [5, 8, 12, 16, 20] {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let setup = format!("ulimit -n {files}");
        let command = command_after(&setup, &program(), &store, CONFIG).unwrap();
        let (status, log) = run_to_end(command).unwrap();
        assert!(matches!(status.code(), Some(1 | 70)), "{files}: {status}: {log}");
        assert!(!log.contains("panic"), "{files}: {log}");
        assert!(!log.trim().is_empty(), "{files}: it says nothing");
    }
}
