//! TLS: HTTP/1.1 and HTTP/2 by ALPN, and nothing in clear on a listener that speaks TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

struct Certificate {
    config: String,
    der: CertificateDer<'static>,
    _dir: TempDir,
}

fn certificate() -> Certificate {
    certificate_and("")
}

/// With further lines of `[http]`.
fn certificate_and(http: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let pair = format!("tls_cert_file = {cert:?}\ntls_key_file = {key:?}\n");
    let config = format!("[http]\nhttp2_streams_max = 8\n{http}{pair}[admin]\n{pair}");
    Certificate { config, der: made.cert.der().clone(), _dir: dir }
}

async fn connect(
    to: std::net::SocketAddr,
    certificate: &Certificate,
    alpn: &[u8],
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

fn get(path: &str) -> http::Request<Empty<Bytes>> {
    let uri = format!("https://localhost{path}");
    http::Request::get(uri).header("host", "localhost").body(Empty::new()).unwrap()
}

#[test]
fn both_protocols_on_both_listeners_and_nothing_in_clear() {
    let certificate = certificate();
    let gate = Gate::start(&certificate.config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for listener in [gate.server.public, gate.server.operator] {
            let stream = connect(listener, &certificate, b"http/1.1").await;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);

            let stream = connect(listener, &certificate, b"h2").await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            // The first answer comes after the server's settings. From then on more at once than it
            // lets a connection have queue at the client, and none fails.
            assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);
            let answers: Vec<_> = (0..40).map(|_| sender.send_request(get("/livez"))).collect();
            for answer in answers {
                assert_eq!(answer.await.unwrap().status(), 200);
            }
        }
    });
    let clear = exchange(gate.server.public, None, &Draft::new("GET", "/livez", "").bytes());
    assert!(!matches!(clear, Ok(Some(answer)) if answer.status == 200), "HTTP in clear is refused");
}

#[test]
fn the_operators_listener_asks_for_a_certificate_of_its_authority() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        (cert.pem(), Issuer::new(params, key))
    };
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let person = |name: &str, issuer: &Issuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = cert.signed_by(&key, issuer).unwrap();
        (
            write(&format!("{name}.pem"), &cert.pem()),
            write(&format!("{name}.key"), &key.serialize_pem()),
        )
    };
    let (ours_pem, ours) = authority("ours");
    let (_, others) = authority("others");
    let (alice, mallory) = (person("alice", &ours), person("mallory", &others));
    let ca_file = write("ours-ca.pem", &ours_pem);
    let certificate = certificate();
    let config = format!("{}tls_client_ca_file = {ca_file:?}\n", certificate.config);
    let gate = Gate::start(&config);
    let list = |identity: Option<&(std::path::PathBuf, std::path::PathBuf)>| {
        let server_cert = certificate._dir.path().join("cert.pem");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flux-gate"));
        command
            .env("FLUX_GATE__ADMIN__TOKEN", ADMIN_TOKEN)
            .args(["sale", "list", "--url"])
            .arg(format!("https://localhost:{}", gate.server.operator.port()))
            .arg("--ca")
            .arg(server_cert);
        if let Some((cert, key)) = identity {
            command.arg("--client-cert").arg(cert).arg("--client-key").arg(key);
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (well, said) = list(Some(&alice));
    assert!(well, "{said}");
    for refused in [None, Some(&mallory)] {
        let (well, said) = list(refused);
        assert!(!well && !said.contains("refused (4"), "no connection, so no answer: {said}");
    }
    // The public listener asks nobody for one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { connect(gate.server.public, &certificate, b"h2").await });
}

const DEADLINES: &str = "header_timeout_ms = 500\nidle_timeout_ms = 2500\n";

#[test]
fn an_idle_connection_of_http2_has_the_time_of_an_idle_one_whatever_its_client_sends_beside_requests()
 {
    let certificate = certificate_and(DEADLINES);
    let gate = Gate::start(&certificate.config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = connect(gate.server.public, &certificate, b"h2").await;
        let (mut sender, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(Duration::from_millis(100))
                .keep_alive_while_idle(true)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
        let connection = tokio::spawn(connection);
        assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);
        let ended = tokio::time::timeout(Duration::from_secs(20), connection).await;
        assert!(ended.is_ok(), "pings do not keep a connection that nobody uses");
    });
}

#[test]
fn headers_of_http2_that_trickle_in_end_with_the_time_of_an_idle_connection() {
    let certificate = certificate_and(DEADLINES);
    let gate = Gate::start(&certificate.config);
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head[..], payload].concat()
    };
    let (headers, continuation, settings) = (1, 9, 4);
    let (end_stream, end_headers) = (1, 4);
    // GET, https, and path and host as literals (RFC 7541).
    let block = b"\x82\x87\x04\x06/livez\x01\x09localhost";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = connect(gate.server.public, &certificate, b"h2").await;
        let mut begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        begin.extend(frame(settings, 0, 0, b""));
        begin.extend(frame(headers, end_stream | end_headers, 1, block));
        begin.extend(frame(settings, 1, 0, b""));
        stream.write_all(&begin).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = std::time::Instant::now();
        stream.write_all(&frame(headers, end_stream, 3, &block[..1])).await.unwrap();
        // The others are of no length: a block is as slow as its sender likes.
        let (mut reads, mut writes) = tokio::io::split(stream);
        let ended = tokio::spawn(async move {
            let mut buffer = [0; 1_024];
            let mut read = 0;
            while let Ok(bytes @ 1..) = reads.read(&mut buffer).await {
                read += bytes;
            }
            read
        });
        while !ended.is_finished() {
            assert!(began.elapsed() < Duration::from_secs(20), "it is cut");
            let _ = writes.write_all(&frame(continuation, 0, 3, b"")).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(ended.await.unwrap() > 0, "the first request was answered");
        assert!(began.elapsed() > Duration::from_millis(1_000), "by its time, not by a fault");
    });
}
