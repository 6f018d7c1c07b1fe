//! Each command against a listener that records what it was sent.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::cli::tests::{Called, NOW_MS, call};

const TOKEN: &str = "token-of-the-test-0123";

/// Calls the program against a server that gives `status` and `body`; and what the server was sent.
fn against(status: &str, body: &str, arguments: &[&str]) -> (Called, String) {
    against_command("sale", status, body, arguments)
}

/// The same for any command that goes through the operator's listener.
pub(in crate::cli) fn against_command(
    command: &str,
    status: &str,
    body: &str,
    arguments: &[&str],
) -> (Called, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_request(&mut stream);
        stream.write_all(reply.as_bytes()).unwrap();
        request
    });
    let arguments: Vec<_> = [command].iter().chain(arguments).copied().collect();
    let arguments: Vec<_> = arguments.into_iter().chain(["--url", url.as_str()]).collect();
    let called = call(&arguments, &[("FLUX_GATE__ADMIN__TOKEN", TOKEN)]);
    (called, server.join().unwrap())
}

/// Head and body: they may come in two segments.
fn read_request(stream: &mut impl Read) -> String {
    let mut request = String::new();
    loop {
        let mut bytes = [0; 4_096];
        let length = stream.read(&mut bytes).unwrap();
        request += std::str::from_utf8(&bytes[..length]).unwrap();
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let wanted = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length == 0 || body.len() >= wanted.map_or(0, |length| length.parse().unwrap()) {
            return request;
        }
    }
}

const PRODUCT: &str = r#"{"productId":"p","status":"open","capacity":100,"sold":40,"remaining":60,
    "pending":0,"paused":false,"archived":false,"opensAt":1796115600000,"closesAt":null,
    "perBuyerLimit":1,"repeatWindowSeconds":60,"generation":3,"offset":44}"#;

#[test]
fn create_sends_what_was_given_and_nothing_else() {
    let arguments = ["create", "p", "--quantity", "100", "--opens-at", "+10m"];
    let (called, request) = against("201 Created", PRODUCT, &arguments);
    assert_eq!(called.exit, Exit::Done, "{called:?}");
    assert!(request.starts_with("POST /admin/products HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {TOKEN}\r\n")));
    assert!(request.contains(&format!("idempotency-key: {}\r\n", "07".repeat(16))));
    let opens = NOW_MS + 600_000;
    let body = format!(r#"{{"opensAt":{opens},"productId":"p","quantity":100}}"#);
    assert!(request.ends_with(&body), "{request}");
    assert!(called.out.starts_with("p\n  status            open\n  capacity          100\n"));
    assert!(called.out.contains("opens             2026-12-01T09:00:00Z\n"), "{}", called.out);
    assert!(
        called.out.contains("paused            no\n") && called.out.contains("closes            -")
    );
}

#[test]
fn every_change_goes_to_its_own_path_under_the_given_operation() {
    let reply = format!(r#"{{"status":"applied","product":{PRODUCT}}}"#);
    for verb in ["open", "close", "pause", "resume", "archive"] {
        let (called, request) = against("200 OK", &reply, &[verb, "p", "--operation", "op-1"]);
        assert!(request.starts_with(&format!("POST /admin/products/p/{verb} HTTP/1.1\r\n")));
        assert!(request.contains("idempotency-key: op-1\r\n") && request.ends_with("\r\n\r\n{}"));
        assert!(called.out.starts_with("applied\np\n"), "{}", called.out);
    }
    let (_, request) = against("200 OK", &reply, &["restock", "p", "--quantity", "7"]);
    assert!(request.starts_with("POST /admin/products/p/restock "), "{request}");
    assert!(request.ends_with(r#"{"quantity":7}"#));
}

#[test]
fn a_look_carries_no_operation() {
    let (called, request) = against("200 OK", PRODUCT, &["show", "p", "--json"]);
    assert!(request.starts_with("GET /admin/products/p HTTP/1.1\r\n"), "{request}");
    assert!(!request.contains("idempotency-key"));
    let shown: Value = serde_json::from_str(&called.out).unwrap();
    assert_eq!(shown, serde_json::from_str::<Value>(PRODUCT).unwrap());

    let list = format!(r#"{{"products":[{PRODUCT}]}}"#);
    let (called, request) = against("200 OK", &list, &["list"]);
    assert!(request.starts_with("GET /admin/products HTTP/1.1\r\n"), "{request}");
    let expected = "PRODUCT  STATUS  CAPACITY  SOLD  REMAINING\n\
                    p        open         100    40         60\n";
    assert_eq!(called.out, expected);
    let (called, _) = against("200 OK", r#"{"products":[]}"#, &["list"]);
    assert!(called.out.starts_with("no sales"));
}

#[test]
fn an_ignored_change_fails_unless_it_is_settled() {
    for (reason, exit) in [
        ("already_applied", Exit::Done),
        ("no_change", Exit::Done),
        ("archived", Exit::Failed),
        ("unknown_product", Exit::Failed),
    ] {
        let reply = format!(r#"{{"status":"ignored","reason":"{reason}","product":{PRODUCT}}}"#);
        let (called, _) = against("200 OK", &reply, &["pause", "p"]);
        assert_eq!(called.exit, exit, "{reason}");
        assert!(called.out.starts_with(&format!("ignored: {}\n", reason.replace('_', " "))));
    }
}

#[test]
fn a_refusal_is_told_with_its_reason_and_without_control_characters() {
    let problem =
        r#"{"title":"Unauthorized","error":"Unauthorized","detail":"no \u001b[31m token"}"#;
    let (called, _) = against("401 Unauthorized", problem, &["show", "p"]);
    assert_eq!(called.exit, Exit::Failed);
    assert_eq!(
        called.message,
        "the server refused (401): Unauthorized; no ?[31m token\nis this the token of that server?"
    );
    let (called, _) = against("502 Bad Gateway", "<html>", &["show", "p"]);
    assert_eq!(called.message, "the server refused (502): no reason");
    let (called, _) = against("200 OK", "<html>", &["show", "p"]);
    assert!(called.message.contains("is this a Flux-Gate?"), "{called:?}");
}

#[test]
fn without_a_server_or_a_token_it_says_what_to_do() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let environment =
        [("FLUX_GATE__ADMIN__TOKEN", TOKEN), ("FLUX_GATE__ADMIN__LISTEN", listen.as_str())];
    let called = call(&["sale", "list"], &environment);
    assert!(called.message.contains(&listen) && called.message.contains("is the server running"));

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let called = call(&["sale", "list", "--data", data], &[]);
    assert!(called.message.contains("FLUX_GATE__ADMIN__TOKEN"), "{called:?}");
}

#[test]
fn an_unknown_outcome_names_the_operation_to_repeat() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
    });
    let called =
        call(&["sale", "pause", "p", "--url", &url], &[("FLUX_GATE__ADMIN__TOKEN", TOKEN)]);
    server.join().unwrap();
    assert!(called.message.contains(&format!("--operation {}", "07".repeat(16))), "{called:?}");
}
