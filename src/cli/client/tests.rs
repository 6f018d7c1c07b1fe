//! Targets, replies over TCP and TLS, and what is said when there is none.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Answers one connection with `reply` and gives back what it was sent.
fn answer_once(reply: &'static str) -> (Target, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_and_answer(&mut stream, reply)
    });
    (Target { tls: false, host: "127.0.0.1".to_owned(), port }, server)
}

fn read_and_answer(stream: &mut (impl Read + Write), reply: &str) -> String {
    let mut request = [0; 4_096];
    let length = stream.read(&mut request).unwrap();
    stream.write_all(reply.as_bytes()).unwrap();
    stream.flush().unwrap();
    String::from_utf8_lossy(&request[..length]).into_owned()
}

/// How long a reply that comes may take.
const PATIENCE: Duration = Duration::from_secs(20);
const REPLY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello";

#[test]
fn a_target_is_scheme_host_and_port() {
    let shown = |text: &str| text.parse::<Target>().map(|target| target.to_string());
    assert_eq!(shown("http://127.0.0.1:3001"), Ok("http://127.0.0.1:3001".to_owned()));
    assert_eq!(shown("https://[::1]:3001/"), Ok("https://[::1]:3001".to_owned()));
    assert_eq!(shown("https://shop.example"), Ok("https://shop.example:443".to_owned()));
    for bad in
        ["", "127.0.0.1:3001", "ftp://a", "http://", "http://a/b", "http://u:p@a", "http://a:0"]
    {
        assert_eq!(bad.parse::<Target>(), Err(NotATarget), "{bad}");
    }
    let loopback = |text: &str| text.parse::<Target>().unwrap().is_loopback();
    assert!(loopback("http://localhost:1") && loopback("http://[::1]:1"));
    assert!(!loopback("http://10.0.0.1:1"));
}

#[test]
fn a_request_gets_its_reply() {
    let (target, server) = answer_once(REPLY);
    let host = format!("host: {target}").replace("http://", "");
    let client = Client::new(target, &[], PATIENCE).unwrap();
    let reply = run(client.send(get("/admin/products"))).unwrap();
    assert_eq!((reply.status, reply.body.as_ref()), (StatusCode::OK, &b"hello"[..]));
    assert_eq!(reply.headers["x-a"], "b");
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /admin/products HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&host), "{request}");
}

#[test]
fn a_failure_says_whether_the_request_may_have_taken_effect() {
    // Bound and kept, and nobody listens.
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = bound.local_addr().unwrap().as_socket().unwrap().port();
    let target = Target { tls: false, host: "127.0.0.1".to_owned(), port };
    let error = run(Client::new(target, &[], PATIENCE).unwrap().send(get("/"))).unwrap_err();
    assert!(!error.outcome_unknown() && error.to_string().contains("is the server running"));

    let (target, _server) = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello");
    let error = run(Client::new(target, &[], PATIENCE).unwrap().send(get("/"))).unwrap_err();
    assert!(error.outcome_unknown(), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target { tls: false, host: "127.0.0.1".to_owned(), port };
    let client = Client::new(target, &[], Duration::from_millis(50)).unwrap();
    let error = run(client.send(get("/"))).unwrap_err();
    assert!(error.outcome_unknown() && error.to_string().contains("did not reply within 0.05 s"));
}

/// A server with a certificate of its own for `localhost`, and the file that holds the certificate.
fn tls_server(dir: &Path) -> (Target, PathBuf, JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = dir.join("cert.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        if connection.complete_io(&mut stream).is_ok() {
            read_and_answer(&mut rustls::Stream::new(&mut connection, &mut stream), REPLY);
        }
    });
    (Target { tls: true, host: "localhost".to_owned(), port }, file, server)
}

#[test]
fn tls_trusts_the_named_certificate_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (target, file, server) = tls_server(dir.path());
    let client = Client::new(target, &[&file], PATIENCE).unwrap();
    assert_eq!(run(client.send(get("/"))).unwrap().body.as_ref(), b"hello");
    server.join().unwrap();

    let (target, _file, server) = tls_server(dir.path());
    let error = run(Client::new(target, &[], PATIENCE).unwrap().send(get("/"))).unwrap_err();
    assert!(error.to_string().contains("--ca FILE") && !error.outcome_unknown(), "{error}");
    server.join().unwrap();
}

#[test]
fn a_file_without_certificates_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.pem");
    std::fs::write(&file, "nothing").unwrap();
    let target: Target = "https://localhost:1".parse().unwrap();
    for path in [file.as_path(), Path::new("/nowhere.pem")] {
        assert!(Client::new(target.clone(), &[path], PATIENCE).is_err());
    }
}
