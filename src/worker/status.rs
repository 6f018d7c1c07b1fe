//! The worker's own listener (`admin.listen`): `/livez`, `/readyz`, `/metrics`.
//!
//! Metrics are for callers from the same machine, with a token of the operators where one is configured: this
//! listener speaks plain HTTP only, and a token must not cross a network in clear. There is nothing to change
//! here, and `/livez` and `/readyz` tell nobody anything of worth.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, oneshot};

use super::metrics::Metrics;
use crate::chain::sha256;
use crate::clock::Clock;
use crate::config::{Admin, OperatorToken};

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take, and a whole connection.
const HEAD_MAX: Duration = Duration::from_secs(10);
const CONNECTION_MAX: Duration = Duration::from_secs(60);

/// What the listener shows, and to whom.
pub(super) struct Status {
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    /// SHA-256 of the tokens.
    pub(super) tokens: Vec<[u8; 32]>,
}

/// The digests of the operators' tokens.
pub(super) fn tokens(admin: &Admin) -> Vec<[u8; 32]> {
    let own = admin.token.iter().map(|token| sha256(token.expose_secret().as_bytes()));
    let further = admin.tokens.iter().filter_map(|OperatorToken { token_sha256, .. }| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(token_sha256, &mut bytes).ok().map(|()| bytes)
    });
    own.chain(further).collect()
}

/// Serves until `stop` resolves. Called on a thread of its own.
pub(super) fn serve(
    listener: TcpListener,
    status: Status,
    stop: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            () = accept(listener, Arc::new(status)) => {}
            _ = stop => {}
        }
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, status: Arc<Status>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                std::future::ready(Ok::<_, Infallible>(status.answer(&request, peer.ip())))
            });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asked sees for himself when it fails.
            let _ = tokio::time::timeout(CONNECTION_MAX, serving).await;
            drop(place);
        });
    }
}

impl Status {
    fn answer<B>(&self, request: &Request<B>, peer: IpAddr) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.metrics.is_ready() => text(StatusCode::OK, "ok\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" if self.may_see(request, peer) => {
                text(StatusCode::OK, self.metrics.render(self.clock.unix_ms()))
            }
            "/metrics" => {
                let mut refusal = text(
                    StatusCode::UNAUTHORIZED,
                    "for callers on this machine, with an operator's token\n",
                );
                let bearer = HeaderValue::from_static("Bearer");
                refusal.headers_mut().insert(WWW_AUTHENTICATE, bearer);
                refusal
            }
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn may_see<B>(&self, request: &Request<B>, peer: IpAddr) -> bool {
        if !peer.to_canonical().is_loopback() {
            return false;
        }
        if self.tokens.is_empty() {
            return true;
        }
        let header = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let presented = sha256(header.and_then(|h| h.strip_prefix(b"Bearer ")).unwrap_or_default());
        // Looks at every token, whichever matches.
        self.tokens.iter().fold(false, |found, token| found | bool::from(token.ct_eq(&presented)))
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(tokens: &[&str]) -> Status {
        Status {
            metrics: Arc::new(Metrics::new(1, crate::trace::Tracer::default())),
            clock: Clock::manual(0),
            tokens: tokens.iter().map(|token| sha256(token.as_bytes())).collect(),
        }
    }

    fn asked(status: &Status, path: &str, token: Option<&str>, peer: &str) -> u16 {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        status.answer(&request.body(()).unwrap(), peer.parse().unwrap()).status().as_u16()
    }

    #[test]
    fn metrics_are_for_this_machine_and_token_holders() {
        let open = status(&[]);
        assert_eq!(asked(&open, "/metrics", None, "127.0.0.1"), 200);
        assert_eq!(asked(&open, "/metrics", None, "192.0.2.1"), 401);
        let closed = status(&["one", "two"]);
        assert_eq!(asked(&closed, "/metrics", None, "127.0.0.1"), 401);
        assert_eq!(asked(&closed, "/metrics", Some("two"), "::ffff:127.0.0.1"), 200);
        assert_eq!(asked(&closed, "/metrics", Some("three"), "127.0.0.1"), 401);
        assert_eq!(
            asked(&closed, "/metrics", Some("two"), "192.0.2.1"),
            401,
            "in clear over a network"
        );
    }

    #[test]
    fn ready_is_said_only_when_it_is_so() {
        let status = status(&[]);
        assert_eq!(asked(&status, "/livez", None, "192.0.2.1"), 200);
        assert_eq!(asked(&status, "/readyz", None, "192.0.2.1"), 503);
        status.metrics.set_ready(true);
        assert_eq!(asked(&status, "/readyz", None, "192.0.2.1"), 200);
        assert_eq!(asked(&status, "/", None, "127.0.0.1"), 404);
    }
}
