//! The wire: answers in one piece and in many, and answers that are none.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn head(text: &str) -> Result<Option<Head>, WireError> {
    Head::parse(text.as_bytes())
}

#[test]
fn a_head_is_read_at_every_split() {
    let text = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nRetry-After: 3\r\n\
                Connection: Close\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(head(&text[..end]).unwrap(), None, "{end}");
    }
    let expected = Head {
        status: 503,
        retry_after_s: Some(3),
        close: true,
        body_at: text.len(),
        body_bytes: 12,
    };
    assert_eq!(head(text).unwrap(), Some(expected));
}

#[test]
fn what_this_client_does_not_speak_is_an_error() {
    for bad in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        assert!(matches!(head(bad), Err(WireError::Malformed(_))), "{bad:?}");
    }
    assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().body_bytes, 0);
}

/// Serves one connection: reads a request, writes the next of `answers` in pieces of `piece` bytes.
async fn serve(listener: TcpListener, answers: Vec<Vec<u8>>, piece: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut request = [0; 1_024];
    for answer in answers {
        let _ = stream.read(&mut request).await.unwrap();
        for piece in answer.chunks(piece) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

async fn with_server<R>(
    answers: Vec<Vec<u8>>,
    piece: usize,
    client: impl AsyncFnOnce(Connection) -> R,
) -> R {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::plain(listener.local_addr().unwrap());
    let server = serve(listener, answers, piece);
    let client = async { client(Connection::open(&target, None).await.unwrap()).await };
    let (result, ()) = tokio::join!(client, server);
    result
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn one_connection_carries_many_answers_of_all_sizes() {
    let large = "x".repeat(50_000);
    let answers = vec![answer(200, "one"), answer(409, &large), answer(503, "")];
    with_server(answers, 7_001, async |mut connection| {
        assert_eq!(connection.exchange(b"a").await.unwrap().body, b"one");
        assert_eq!(connection.exchange(b"b").await.unwrap().body.len(), 50_000);
        assert_eq!(connection.exchange(b"c").await.unwrap().status, 503);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_whole_in_the_end() {
    with_server(vec![answer(200, r#"{"status":"success"}"#)], 1, async |mut connection| {
        assert_eq!(connection.exchange(b"a").await.unwrap().body, br#"{"status":"success"}"#);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_ends_too_early_is_an_error() {
    let mut half = answer(200, "half of it");
    half.truncate(half.len() - 5);
    with_server(vec![half], 100, async |mut connection| {
        assert!(connection.exchange(b"a").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_second_answer_that_nobody_asked_for_is_an_error() {
    let two = [answer(200, "one"), answer(200, "two")].concat();
    with_server(vec![two], 10_000, async |mut connection| {
        assert!(matches!(connection.exchange(b"a").await, Err(WireError::Malformed(_))));
    })
    .await;
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_file_says_and_with_nobody_else() {
    let mine = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let key = rustls::pki_types::PrivateKeyDer::try_from(mine.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![mine.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let server = async {
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            // The one that trusts somebody else hangs up in the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 16];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(&answer(200, "in private")).await.unwrap();
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let target = |name: &str, pem: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Target::parse(&url, Some(&path)).unwrap()
    };
    let client = async {
        let wrong = target("other.pem", other.cert.pem());
        assert!(Connection::open(&wrong, None).await.is_err());
        let right = target("mine.pem", mine.cert.pem());
        let mut connection = Connection::open(&right, None).await.unwrap();
        assert_eq!(connection.exchange(b"a").await.unwrap().body, b"in private");
    };
    tokio::join!(client, server);
}
