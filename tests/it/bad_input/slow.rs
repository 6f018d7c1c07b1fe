//! Senders that are slow, stop, or close half of the connection.

use std::time::Duration;

use super::{kit, start, still_well};
use crate::support::draft::Draft;
use crate::support::wire::{Answer, Connection};

/// Longer than a deadline of the test's server and the sweep that enforces it, in milliseconds.
const LATE_MS: u64 = 6_000;

#[test]
fn a_request_in_two_pieces_is_the_same_request_wherever_it_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path());
    let kit = kit(&server);
    let length = kit.signed().bytes().len();
    let mut connection = Connection::open(server.public, None).unwrap();
    for cut in (1..length).step_by(3) {
        let bytes = kit.signed().bytes();
        let (first, second) = bytes.split_at(cut.min(bytes.len() - 1));
        connection.write(first).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        connection.write(second).unwrap();
        let answer = connection.read().unwrap().unwrap();
        assert_eq!(answer.word(), "success", "cut at {cut}");
    }
    still_well(&mut server);
}

#[test]
fn a_request_a_byte_at_a_time_is_a_request() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    let kit = kit(&server);
    let mut connection = Connection::open(server.public, None).unwrap();
    for byte in kit.signed().bytes() {
        connection.write(&[byte]).unwrap();
    }
    assert_eq!(connection.read().unwrap().unwrap().word(), "success");
}

#[test]
fn who_stops_sending_is_told_so_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path());
    let kit = kit(&server);
    let whole = kit.signed().bytes();
    let head = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let chunked = kit.signed().set("transfer-encoding", "chunked").head(" HTTP/1.1");
    let stops: [(&str, Vec<u8>, &[u16]); 7] = [
        ("at once", Vec::new(), &[408]),
        ("in the first line", whole[..7].to_vec(), &[408]),
        ("in the headers", whole[..head - 2].to_vec(), &[408]),
        ("before the body", whole[..head].to_vec(), &[408]),
        ("in the body", whole[..whole.len() - 1].to_vec(), &[408]),
        ("before the chunks", chunked.clone(), &[408]),
        ("in a chunk", [chunked, b"20\r\n{".to_vec()].concat(), &[408]),
    ];
    for (name, bytes, statuses) in stops {
        let mut connection = Connection::open(server.public, None).unwrap();
        connection.patience(Duration::from_millis(LATE_MS)).unwrap();
        connection.write(&bytes).unwrap();
        let answer = connection.read().unwrap();
        let status = answer.as_ref().map(|answer| answer.status);
        assert!(status.is_some_and(|status| statuses.contains(&status)), "{name}: {status:?}");
        assert!(connection.read().unwrap().is_none(), "{name}: it stays open");
    }
    still_well(&mut server);
}

#[test]
fn who_closes_their_half_is_answered_or_ended_and_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(directory.path());
    let kit = kit(&server);
    let whole = kit.signed().bytes();
    for end in (0..=whole.len()).step_by(7) {
        let mut connection = Connection::open(server.public, None).unwrap();
        connection.patience(Duration::from_millis(LATE_MS)).unwrap();
        connection.write(&whole[..end]).unwrap();
        connection.finish();
        let status = connection.read().unwrap().map(|answer| answer.status);
        assert!(matches!(status, None | Some(200 | 400 | 408)), "{end}: {status:?}");
    }
    still_well(&mut server);
}

#[test]
fn an_idle_connection_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    let mut connection = Connection::open(server.public, None).unwrap();
    connection.patience(Duration::from_millis(LATE_MS)).unwrap();
    connection.write(&Draft::new("GET", "/livez", "").bytes()).unwrap();
    assert_eq!(connection.read().unwrap().unwrap().status, 200);
    assert!(connection.read().unwrap().is_none());
}

#[test]
fn a_pipeline_is_answered_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    let kit = kit(&server);
    let drafts = [
        Draft::new("GET", "/livez", ""),
        kit.signed(),
        Draft::new("GET", "/no-such-path", ""),
        kit.signed().without("x-signature"),
        Draft::new("GET", "/products/good", ""),
        kit.signed(),
    ];
    let mut connection = Connection::open(server.public, None).unwrap();
    let bytes: Vec<u8> = drafts.iter().flat_map(Draft::bytes).collect();
    connection.write(&bytes).unwrap();
    let answers: Vec<Answer> = drafts.iter().map(|_| connection.read().unwrap().unwrap()).collect();
    let said: Vec<String> = answers.iter().map(Answer::summary).collect();
    let expected = [
        "200 ok",
        "200 success",
        "404 not_found",
        "401 invalid_signature",
        "200 open",
        "200 success",
    ];
    assert_eq!(said, expected);
}
