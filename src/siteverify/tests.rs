//! The call against a fake of such a service on this machine.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rstest::rstest;

use super::*;

mod tls;

/// A request to its end, or as far as it came.
fn heard(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    while !ends(&text) {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => text.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8(text).unwrap()
}

/// A fake that answers each call with this, after a while; what it was sent comes out of the channel.
fn fake(answer: &'static str, after: Duration) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/siteverify", listener.local_addr().unwrap());
    let (told, sent) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = told.send(heard(&mut stream));
            std::thread::sleep(after);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, sent)
}

/// Whether the head and its body are there.
fn ends(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

fn config(url: &str) -> Challenge {
    Challenge {
        provider: Provider::Turnstile,
        site_key: "site".to_owned(),
        secret: Some("the&secret".into()),
        siteverify_url: url.to_owned(),
        hostname: "shop.test".to_owned(),
        action: "order".to_owned(),
        timeout_ms: 2_000,
        ..Challenge::default()
    }
}

fn verify(config: &Challenge, solution: &str) -> Verified {
    let service = Siteverify::new(config).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(service.verify(solution.as_bytes()))
}

fn says(body: &str) -> &'static str {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").leak()
}

const GOOD: &str =
    r#"{"success":true,"hostname":"shop.test","action":"order","challenge_ts":"2026-11-27"}"#;

#[test]
fn secret_and_solution_go_as_a_form_and_nothing_else() {
    let (url, sent) = fake(says(GOOD), Duration::ZERO);
    assert_eq!(verify(&config(&url), "a token+1"), Verified::Solved);
    let text = sent.recv().unwrap();
    assert!(text.starts_with("POST /siteverify HTTP/1.1\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nsecret=the%26secret&response=a+token%2B1"), "{text}");
    assert!(text.contains("content-type: application/x-www-form-urlencoded\r\n"), "{text}");
}

#[rstest]
#[case::no(r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#, Verified::Refused)]
#[case::other_site(
    r#"{"success":true,"hostname":"evil.test","action":"order"}"#,
    Verified::Refused
)]
#[case::other_action(
    r#"{"success":true,"hostname":"shop.test","action":"login"}"#,
    Verified::Refused
)]
#[case::no_site(r#"{"success":true,"action":"order"}"#, Verified::Refused)]
#[case::our_secret(r#"{"success":false,"error-codes":["invalid-input-secret"]}"#, Verified::Failed)]
#[case::text(r#"{"success":"true"}"#, Verified::Failed)]
#[case::no_json("<html>", Verified::Failed)]
#[case::empty("", Verified::Failed)]
fn only_a_yes_for_this_site_and_action_is_one(#[case] body: &str, #[case] expected: Verified) {
    let (url, _sent) = fake(says(body), Duration::ZERO);
    assert_eq!(verify(&config(&url), "token"), expected);
}

#[test]
fn site_and_action_do_not_matter_where_they_are_not_set() {
    let (url, _sent) = fake(says(r#"{"success":true,"hostname":"x"}"#), Duration::ZERO);
    let any = Challenge { hostname: String::new(), action: String::new(), ..config(&url) };
    assert_eq!(verify(&any, "token"), Verified::Solved);
}

#[test]
fn a_service_that_is_slow_gone_or_broken_fails_as_configured() {
    let (slow, _sent) = fake(says(GOOD), Duration::from_secs(5));
    let gone = "http://127.0.0.1:1/siteverify".to_owned();
    let broken = fake("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).0;
    let endless = fake(says(&"x".repeat(20_000)), Duration::ZERO).0;
    for url in [slow, gone, broken, endless] {
        let closed = Challenge { timeout_ms: 300, ..config(&url) };
        assert_eq!(verify(&closed, "token"), Verified::Failed, "{url}");
        let open = Challenge { on_failure: OnFailure::Open, ..closed };
        assert_eq!(verify(&open, "token"), Verified::Excused, "{url}");
    }
}

#[test]
fn calls_under_way_are_bounded() {
    let count = AtomicUsize::new(0);
    let places: Vec<_> = (0..CALLS_MAX).map(|_| UnderWay::enter(&count).unwrap()).collect();
    assert!(UnderWay::enter(&count).is_none());
    drop(places);
    assert_eq!(count.into_inner(), 0);
}

#[test]
fn our_own_challenges_need_no_service() {
    assert!(Siteverify::new(&Challenge::default()).unwrap().is_none());
}
