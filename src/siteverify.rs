//! Asks a service whether a challenge of its own was solved: the one call `siteverify` that Turnstile, hCaptcha
//! and reCAPTCHA share. A form of `secret` and `response` goes there, JSON comes back.
//!
//! The service sees to it that a solution is used once. Nothing of the shopper is sent but the solution: no
//! address. A call has a time-out, calls under way are bounded, an answer is bounded, and what is logged of a
//! failure names neither secret nor solution.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::challenge::{Challenge, OnFailure, Provider};

/// Calls under way at once; a further one counts as failed.
pub const CALLS_MAX: usize = 256;
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1_024;

/// Why the service cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum SiteverifyError {
    /// A setting; `config check` would have said so.
    #[error("{0} cannot be used; see `flux-gate config check`")]
    Setting(&'static str),
    /// The certificates of its authority.
    #[error("challenge.ca_file: {0}")]
    Certificates(String),
    /// TLS.
    #[error("TLS to the service of challenges: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the service says of a solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// It is one, for this site and action.
    Solved,
    /// It is none.
    Refused,
    /// It could not be asked, and the configuration lets the order go on.
    Excused,
    /// It could not be asked, and the order may not go on.
    Failed,
}

/// The service.
pub struct Siteverify {
    target: Uri,
    address: (String, u16),
    tls: Option<(TlsConnector, ServerName<'static>)>,
    secret: SecretString,
    hostname: String,
    action: String,
    timeout: Duration,
    on_failure: OnFailure,
    under_way: AtomicUsize,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is too large, broke off, or is no JSON of such a service")]
    Answer,
    #[error("it did not answer in time")]
    TimedOut,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("too many calls are under way")]
    Busy,
    #[error("it refused this server: {0}")]
    Server(&'static str),
}

/// What the three say alike. Other members are passed over.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Whether it was solved.
    pub success: bool,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

impl Answer {
    /// Reads the body of an answer; `None` if it is no JSON of such a service.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

impl Siteverify {
    /// The service of the configuration; `None` where challenges are our own.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn new(config: &Challenge) -> Result<Option<Self>, SiteverifyError> {
        if config.provider == Provider::Altcha {
            return Ok(None);
        }
        let unusable = || SiteverifyError::Setting("challenge.siteverify_url");
        let target = config.target().ok_or_else(unusable)?;
        let host = target.host().ok_or_else(unusable)?.trim_matches(['[', ']']).to_owned();
        let is_tls = target.scheme_str() == Some("https");
        let port = target.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone()).map_err(|_| unusable())?;
                Some((connector(config)?, name))
            }
        };
        let secret = config.secret.clone();
        let secret = secret.ok_or(SiteverifyError::Setting("challenge.secret"))?;
        Ok(Some(Self {
            target,
            address: (host, port),
            tls,
            secret,
            hostname: config.hostname.clone(),
            action: config.action.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            on_failure: config.on_failure,
            under_way: AtomicUsize::new(0),
        }))
    }

    /// Asks whether this is a solution.
    pub async fn verify(&self, solution: &[u8]) -> Verified {
        match self.call(solution).await {
            Ok(answer) if self.takes(&answer) => Verified::Solved,
            Ok(_) => Verified::Refused,
            Err(error) => {
                tracing::warn!(%error, "a challenge could not be verified by its service");
                match self.on_failure {
                    OnFailure::Open => Verified::Excused,
                    OnFailure::Closed => Verified::Failed,
                }
            }
        }
    }

    /// Whether it was solved, on this site and for this action.
    fn takes(&self, answer: &Answer) -> bool {
        let fits = |wanted: &str, said: &Option<String>| {
            wanted.is_empty() || said.as_deref() == Some(wanted)
        };
        answer.success
            && fits(&self.hostname, &answer.hostname)
            && fits(&self.action, &answer.action)
    }

    async fn call(&self, solution: &[u8]) -> Result<Answer, CallError> {
        let _under_way = UnderWay::enter(&self.under_way).ok_or(CallError::Busy)?;
        let called = tokio::time::timeout(self.timeout, self.connect_and_send(solution)).await;
        let answer = called.unwrap_or(Err(CallError::TimedOut))?;
        // What speaks against our own setting is no word on the solution.
        const OURS: [&str; 3] = ["missing-input-secret", "invalid-input-secret", "internal-error"];
        match OURS.into_iter().find(|code| answer.error_codes.iter().any(|said| said == code)) {
            Some(code) if !answer.success => Err(CallError::Server(code)),
            _ => Ok(answer),
        }
    }

    async fn connect_and_send(&self, solution: &[u8]) -> Result<Answer, CallError> {
        let (host, port) = &self.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        match &self.tls {
            None => self.send(stream, solution).await,
            Some((connector, name)) => {
                self.send(connector.connect(name.clone(), stream).await?, solution).await
            }
        }
    }

    async fn send<S>(&self, stream: S, solution: &[u8]) -> Result<Answer, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(self.request(solution)).await?;
            let status = answer.status();
            // hCaptcha says 200 of all, Turnstile 400 of some that it does not take.
            if !status.is_success() && status != StatusCode::BAD_REQUEST {
                return Err(CallError::Status(status));
            }
            let limited = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = limited.map_err(|_| CallError::Answer)?.to_bytes();
            Answer::read(&body).ok_or(CallError::Answer)
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            // The connection is done when it has read the answer, which may still have to be taken in.
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.into()),
            },
        }
    }

    fn request(&self, solution: &[u8]) -> Request<Full<Bytes>> {
        let solution = String::from_utf8_lossy(solution);
        let form = [("secret", self.secret.expose_secret()), ("response", &solution)];
        let body = serde_urlencoded::to_string(form).unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        if let Some(path) = self.target.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        let agent = concat!("flux-gate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(host) = self.target.authority().and_then(|host| host.as_str().parse().ok()) {
            headers.insert(HOST, host);
        }
        request
    }
}

/// A call's place among those under way.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let entered = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < CALLS_MAX).then_some(entered)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn connector(config: &Challenge) -> Result<TlsConnector, SiteverifyError> {
    let mut roots = rustls::RootCertStore::empty();
    match &config.ca_file {
        Some(path) => {
            let unusable = |error: &dyn std::fmt::Display| {
                SiteverifyError::Certificates(format!("{} cannot be used: {error}", path.display()))
            };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(&error))?;
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
        }
        // One of the system's many that cannot be read is no reason to do without the others.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests;
