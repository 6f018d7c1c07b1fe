//! The other nodes and workers (`admin.peers`): each is asked for `/readyz`, as a load balancer would ask. So
//! no token goes from node to node, and what is shown is what the load balancer sees.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stores::{Node, State};
use crate::clock::Clock;
use crate::outgoing;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_millis(1_000);

/// See the module.
pub struct Peers {
    urls: Vec<Uri>,
    tls: Option<TlsConnector>,
}

impl Peers {
    /// Those of the configuration, which has been checked.
    pub fn new(urls: &[String]) -> Self {
        let urls: Vec<Uri> = urls.iter().filter_map(|url| url.parse().ok()).collect();
        let tls = urls.iter().any(|url| url.scheme_str() == Some("https"));
        Self { urls, tls: tls.then(connector).flatten() }
    }

    /// Asks all at once.
    pub async fn ask(&self, clock: &Clock) -> Vec<Node> {
        let mut asked = Vec::new();
        for url in &self.urls {
            let (url, tls, clock) = (url.clone(), self.tls.clone(), clock.clone());
            asked.push(tokio::task::spawn_local(async move {
                let begun_us = clock.monotonic_us();
                let answer = tokio::time::timeout(ANSWER_MAX, status(&url, tls)).await;
                let answered_ms = clock.monotonic_us().saturating_sub(begun_us) / 1_000;
                node(&url, answer.unwrap_or(None), answered_ms)
            }));
        }
        let mut nodes = Vec::new();
        for node in asked {
            nodes.extend(node.await);
        }
        nodes
    }
}

fn node(url: &Uri, status: Option<u16>, answered_ms: u64) -> Node {
    let (state, why) = match status {
        Some(200) => (State::Up, None),
        Some(503) => (State::Down, Some("not ready")),
        Some(_) => (State::Down, Some("does not answer as a node does")),
        None => (State::Down, Some("cannot be reached")),
    };
    let name = url.to_string().trim_end_matches('/').to_owned();
    Node { name, state, why, answered_ms: status.map(|_| answered_ms) }
}

/// Trusts what the machine trusts.
fn connector() -> Option<TlsConnector> {
    match outgoing::client_config(None) {
        Ok(config) => Some(TlsConnector::from(Arc::new(config))),
        Err(error) => {
            tracing::error!(%error, "peers with TLS cannot be asked");
            None
        }
    }
}

/// The status of `/readyz`; `None` without an answer.
async fn status(url: &Uri, tls: Option<TlsConnector>) -> Option<u16> {
    let authority = url.authority()?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let https = url.scheme_str() == Some("https");
    let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.ok()?;
    if !https {
        return ask(stream, authority.as_str()).await;
    }
    let name = ServerName::try_from(host.to_owned()).ok()?;
    ask(tls?.connect(name, stream).await.ok()?, authority.as_str()).await
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    authority: &str,
) -> Option<u16> {
    let stream = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.ok()?;
    let request = Request::get("/readyz").header(HOST, authority).body(Empty::<Bytes>::new());
    tokio::select! {
        answer = sender.send_request(request.ok()?) => Some(answer.ok()?.status().as_u16()),
        _ = connection => None,
    }
}
