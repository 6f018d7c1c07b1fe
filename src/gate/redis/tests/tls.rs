//! Over TLS: only to a server whose certificate descends from the given ones and bears the name we called.

use std::path::Path;

use super::server::free_port;
use super::*;

/// A server with a certificate for "localhost", and the port on which it speaks TLS.
fn server(directory: tempfile::TempDir) -> (Server, u16) {
    let path = |name: &str| directory.path().join(name);
    for name in ["own", "other"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(path(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let port = free_port();
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let settings = [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", text("own.pem")),
        ("--tls-key-file", text("own.key")),
        ("--tls-auth-clients", "no".to_owned()),
    ];
    let words = settings.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect();
    let server = Server::with(directory, words);
    server.load(library::SOURCE);
    (server, port)
}

fn node(url: &str, ca_file: &Path) -> Node {
    let node = Node::start(Options { ca_file: Some(ca_file.to_owned()), ..options(url, PATIENT) });
    node.decide(1, 5, []);
    node
}

#[test]
fn only_the_server_that_was_meant_is_asked() {
    on_a_serving_thread(|| async {
        let directory = tempfile::tempdir().unwrap();
        let (own, other) = (directory.path().join("own.pem"), directory.path().join("other.pem"));
        let (server, port) = server(directory);
        let right = node(&format!("rediss://localhost:{port}"), &own);
        let stranger = node(&format!("rediss://localhost:{port}"), &other);
        let misnamed = node(&format!("rediss://127.0.0.1:{port}"), &own);
        let plain = node(&format!("rediss://localhost:{}", server.port), &own);
        right.wait_up().await;
        assert_eq!(right.admit(1).await, Verdict::Go);
        assert_eq!(right.gate.counts().went, 1);
        tokio::time::sleep(Duration::from_millis(500)).await;
        for (n, refused) in [stranger, misnamed, plain].iter().enumerate() {
            assert!(!refused.gate.is_up() && !refused.handle.is_connected(), "{n}");
            assert_eq!(refused.admit(2).await, Verdict::Go, "screened in memory");
        }
    });
}
