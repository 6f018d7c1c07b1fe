//! Calls of services of others: one POST a connection, over TCP or TLS, bounded in time and in what is read.
//!
//! What is told of a failure names neither what was sent nor what came back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why a service cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Where it is; `config check` would have said so.
    #[error("its address cannot be used; see `flux-gate config check`")]
    Address,
    /// The certificates of its authority, or TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates of the authority.
    #[error("{} cannot be used: {reason}", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There are no certificates of authorities.
    #[error("no certificate authority is known to check the server's certificate by")]
    NoAuthority,
    /// TLS itself.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or no TLS over it.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// No answer.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// One that cannot be read.
    #[error("the answer is too large or broke off")]
    Answer,
    /// None in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// One that the caller does not take.
    #[error("it answered {0}")]
    Status(StatusCode),
}

/// A service, and the limits of a call.
pub struct Service {
    target: Uri,
    /// Host and port.
    address: (String, u16),
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
    answer_bytes_max: usize,
}

/// What is sent.
pub struct Post<'a> {
    /// Of what kind.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body.
    pub body: Bytes,
}

impl Service {
    /// The service at `target`, whose certificate must descend from those of `ca_file`, or of the system.
    ///
    /// # Errors
    /// It cannot be called.
    pub fn new(
        target: Option<Uri>,
        ca_file: Option<&Path>,
        timeout_ms: u64,
        answer_bytes_max: usize,
    ) -> Result<Self, ServiceError> {
        let target = target.ok_or(ServiceError::Address)?;
        let host = target.host().ok_or(ServiceError::Address)?.trim_matches(['[', ']']).to_owned();
        let is_tls = target.scheme_str() == Some("https");
        let port = target.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = match is_tls {
            false => None,
            true => {
                let name = ServerName::try_from(host.clone()).map_err(|_| ServiceError::Address)?;
                Some((TlsConnector::from(Arc::new(client_config(ca_file)?)), name))
            }
        };
        let timeout = Duration::from_millis(timeout_ms);
        Ok(Self { target, address: (host, port), tls, timeout, answer_bytes_max })
    }

    /// Sends this and reads the body of an answer whose status the caller takes.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn post(
        &self,
        post: Post<'_>,
        takes: fn(StatusCode) -> bool,
    ) -> Result<Bytes, CallError> {
        let called = tokio::time::timeout(self.timeout, self.connect_and_send(post, takes)).await;
        called.unwrap_or(Err(CallError::TimedOut))
    }

    async fn connect_and_send(
        &self,
        post: Post<'_>,
        takes: fn(StatusCode) -> bool,
    ) -> Result<Bytes, CallError> {
        let (host, port) = &self.address;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        match &self.tls {
            None => self.send(stream, post, takes).await,
            Some((connector, name)) => {
                self.send(connector.connect(name.clone(), stream).await?, post, takes).await
            }
        }
    }

    async fn send<S>(
        &self,
        stream: S,
        post: Post<'_>,
        takes: fn(StatusCode) -> bool,
    ) -> Result<Bytes, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let answer = sender.send_request(self.request(post)).await?;
            let status = answer.status();
            if !takes(status) {
                return Err(CallError::Status(status));
            }
            let body = Limited::new(answer.into_body(), self.answer_bytes_max).collect().await;
            Ok(body.map_err(|_| CallError::Answer)?.to_bytes())
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

    fn request(&self, post: Post<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = Method::POST;
        if let Some(path) = self.target.path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(post.content_type));
        let agent = concat!("flux-gate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(host) = self.target.authority().and_then(|host| host.as_str().parse().ok()) {
            headers.insert(HOST, host);
        }
        headers.extend(post.headers.iter().cloned());
        request
    }
}

/// TLS to a server whose certificate must descend from those of `ca_file`, or of the system.
///
/// # Errors
/// They cannot be used.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let unusable = |reason: String| TlsError::Certificates { path: path.into(), reason };
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
        }
        // One of the system's many that cannot be read is no reason to do without the others.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthority);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
