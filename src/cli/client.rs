//! A small HTTP/1.1 client for the operator's calls: one request a connection, over TCP or TLS.
//!
//! It says of every failure whether the request may have taken effect, because a change of a running sale
//! is repeated safely only under the same `Idempotency-Key`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest reply that is read, in bytes.
const REPLY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Where a server is: scheme, host and port of a URL without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether to speak TLS.
    pub tls: bool,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The text is no URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write such as http://127.0.0.1:3001 or https://host:3001, without a path")]
pub struct NotATarget;

impl FromStr for Target {
    type Err = NotATarget;
    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let (scheme, rest) = text.split_once("://").ok_or(NotATarget)?;
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(NotATarget),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = authority.parse().map_err(|_| NotATarget)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') => return Err(NotATarget),
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        if host.is_empty() || port == 0 || authority.as_str().contains('@') {
            return Err(NotATarget);
        }
        Ok(Self { tls, host, port })
    }
}

impl Target {
    /// The value of the `Host` header.
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether it is on this machine, so that nobody on the way can listen.
    pub fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http{}://{}", if self.tls { "s" } else { "" }, self.authority())
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection. Nothing was sent: repeat at will.
    #[error("{target} cannot be reached: {source}; is the server running and is this its address?")]
    NotReachable {
        /// Where.
        target: Target,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS handshake failed. Nothing was sent: repeat at will.
    #[error(
        "no TLS with {target}: {source}; name the certificate that signs its own with --ca FILE"
    )]
    Tls {
        /// With whom.
        target: Target,
        /// Why.
        source: std::io::Error,
    },
    /// A file of certificates cannot be used. Nothing was sent.
    #[error("{path}: {why}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The connection broke after the request may have been sent: whether it took effect is unknown.
    #[error("the connection to {target} broke before the reply: {source}")]
    Broken {
        /// With whom.
        target: Target,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No reply in time: whether the request took effect is unknown.
    #[error("{target} did not reply within {} s", .timeout.as_secs_f32())]
    TimedOut {
        /// Who.
        target: Target,
        /// The time.
        timeout: Duration,
    },
    /// The request cannot be built: a value of a header or the path is not valid. Nothing was sent.
    #[error("the request cannot be sent: {0}")]
    Invalid(#[from] http::Error),
}

impl ClientError {
    /// Whether the request may have taken effect.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::TimedOut { .. })
    }
}

/// A reply, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A certificate of one's own.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The chain, PEM.
    pub cert_file: &'a Path,
    /// The private key, PEM.
    pub key_file: &'a Path,
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    target: Target,
    tls: Option<TlsConnector>,
    timeout: Duration,
}

impl Client {
    /// A client of `target`. For TLS it trusts the certificates of `trusted`, and those of the machine.
    /// `timeout` is for a whole request.
    ///
    /// # Errors
    /// If a file of certificates cannot be used.
    pub fn new(target: Target, trusted: &[&Path], timeout: Duration) -> Result<Self, ClientError> {
        Self::with_identity(target, trusted, None, timeout)
    }

    /// The same with a certificate of one's own, for a server that asks for one.
    ///
    /// # Errors
    /// If a file of certificates cannot be used.
    pub fn with_identity(
        target: Target,
        trusted: &[&Path],
        identity: Option<Identity<'_>>,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let tls = if target.tls { Some(connector(trusted, identity)?) } else { None };
        Ok(Self { target, tls, timeout })
    }

    /// Sends a request, whose URI is the path alone, and reads the reply.
    ///
    /// # Errors
    /// If there is none; [`ClientError::outcome_unknown`] says whether it may have taken effect.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Reply, ClientError> {
        let reply = tokio::time::timeout(self.timeout, self.send_now(request)).await;
        reply.unwrap_or_else(|_| {
            Err(ClientError::TimedOut { target: self.target.clone(), timeout: self.timeout })
        })
    }

    async fn send_now(&self, request: Request<Bytes>) -> Result<Reply, ClientError> {
        let target = || self.target.clone();
        let stream = TcpStream::connect((self.target.host.as_str(), self.target.port))
            .await
            .map_err(|source| ClientError::NotReachable { target: target(), source })?;
        let Some(tls) = &self.tls else { return self.exchange(stream, request).await };
        let failed = |source| ClientError::Tls { target: target(), source };
        let name = ServerName::try_from(self.target.host.clone())
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let stream = tls.connect(name, stream).await.map_err(failed)?;
        self.exchange(stream, request).await
    }

    async fn exchange<S>(&self, stream: S, request: Request<Bytes>) -> Result<Reply, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Broken {
            target: self.target.clone(),
            source,
        };
        let (mut parts, body) = request.into_parts();
        let host = HeaderValue::try_from(self.target.authority()).map_err(http::Error::from)?;
        parts.headers.insert(HOST, host);
        let request = Request::from_parts(parts, Full::new(body));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        let reply = async {
            let response = sender.send_request(request).await.map_err(|e| broken(e.into()))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await.map_err(broken)?;
            Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        tokio::pin!(connection);
        tokio::pin!(reply);
        // The connection moves the bytes. It may end, even badly (a peer that closes TLS without saying so),
        // with the whole reply read already: then the reply counts.
        tokio::select! {
            biased;
            reply = &mut reply => reply,
            _ended = &mut connection => reply.await,
        }
    }
}

/// A listener as a client on this machine reaches it: one on every address by loopback.
pub fn reach(listener: SocketAddr, tls: bool) -> Target {
    let host = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Target { tls, host: host.to_string(), port: listener.port() }
}

fn connector(
    trusted: &[&Path],
    identity: Option<Identity<'_>>,
) -> Result<TlsConnector, ClientError> {
    let mut roots = RootCertStore::empty();
    for path in trusted {
        let failed = |why: String| ClientError::Certificates { path: path.to_path_buf(), why };
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(failed("holds no certificate in PEM".to_owned()));
        }
    }
    // Those of the machine are a convenience: what cannot be read is passed over.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider's own cipher suites fit the default versions")
        .with_root_certificates(roots);
    let config = match identity {
        Some(identity) => identity.present(config)?,
        None => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Identity<'_> {
    fn present(
        self,
        config: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, ClientError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |why: String| ClientError::Certificates { path, why }
        };
        let chain = CertificateDer::pem_file_iter(self.cert_file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(self.cert_file)(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_file(self.key_file)
            .map_err(|error| failed(self.key_file)(error.to_string()))?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|error| failed(self.cert_file)(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
