//! TLS of a listener: rustls, TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN (RFC 7301).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio_rustls::TlsAcceptor;

use super::x509;
use crate::config::Config;

/// Why a listener's TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read as PEM.
    #[error("cannot read {path} as PEM: {source}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not fit, or are of no supported kind.
    #[error("cannot use the certificate {path} with its key: {source}")]
    Unusable {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authority of clients' certificates cannot be used.
    #[error("cannot use {path} as the authority of clients' certificates: {why}")]
    ClientAuthority {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Until when the listeners' certificates are good: the name of each listener that has one, and Unix
/// milliseconds. One whose dates cannot be read is left out; `doctor` tells of it.
pub fn expiries(config: &Config) -> Vec<(&'static str, u64)> {
    let files = [("public", &config.http.tls_cert_file), ("operator", &config.admin.tls_cert_file)];
    let expiry = |(listener, file): (&'static str, &Option<PathBuf>)| {
        let leaf = CertificateDer::pem_file_iter(file.as_ref()?).ok()?.next()?.ok()?;
        Some((listener, x509::validity(&leaf)?.until_ms))
    };
    files.into_iter().filter_map(expiry).collect()
}

/// Reads certificate chain and key. Neither given: no TLS. With an authority of clients' certificates, a
/// client that has none of it gets no connection.
///
/// # Errors
/// A file is missing, is not PEM, or the two do not fit.
pub fn acceptor(
    cert_file: Option<&Path>,
    key_file: Option<&Path>,
    client_ca_file: Option<&Path>,
) -> Result<Option<TlsAcceptor>, TlsError> {
    let (Some(cert_file), Some(key_file)) = (cert_file, key_file) else {
        return Ok(None);
    };
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(cert_file))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(pem(key_file))?;
    let unusable = |source| TlsError::Unusable { path: cert_file.to_owned(), source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match client_ca_file {
        Some(path) => builder.with_client_cert_verifier(client_verifier(path, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Accepts clients whose certificate descends from one of these alone.
fn client_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |why: String| TlsError::ClientAuthority { path: path.to_owned(), why };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| unusable(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(error.to_string()))
}
