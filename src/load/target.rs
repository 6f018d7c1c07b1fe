//! Where requests go: an `http://` or `https://` address, resolved once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not `http://host:port` or `https://host:port`.
    #[error("`{0}` is not an address such as http://127.0.0.1:3000")]
    Malformed(String),
    /// The name has no address.
    #[error("cannot resolve {host}: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not on this machine, and nobody has said that it may be.
    #[error(
        "{0} is not on this machine; say --i-own-this-server to send load to a server that is yours"
    )]
    NotLoopback(SocketAddr),
    /// `https://` needs the certificates to trust.
    #[error("an https address needs --ca-file: the certificates (PEM) to trust")]
    NoAuthority,
    /// The certificates cannot be read.
    #[error("cannot read certificates from {path}: {why}")]
    Authority {
        /// Which file.
        path: String,
        /// What is wrong.
        why: String,
    },
}

/// A server's address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    /// Value of the `Host` header.
    authority: Arc<str>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Target {
    /// Plain HTTP to an address.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, authority: address.to_string().into(), tls: None }
    }

    /// Reads a URL and resolves its host. A path is refused: the contract's calls are at the root.
    ///
    /// # Errors
    /// When it is no such URL, has no address, or is `https` without certificates to trust.
    pub fn parse(url: &str, ca_file: Option<&Path>) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed(url.to_owned());
        let uri: ::http::Uri = url.parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(malformed());
        }
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(malformed()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let address = resolve(host, port)?;
        let tls = match (secure, ca_file) {
            (false, _) => None,
            (true, None) => return Err(TargetError::NoAuthority),
            (true, Some(path)) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| malformed())?;
                Some((trust(path)?, name))
            }
        };
        Ok(Self { address, authority: authority.as_str().into(), tls })
    }

    /// Refuses a server elsewhere, unless its owner is at the keyboard.
    ///
    /// # Errors
    /// When the address is not a loopback address and `owned` is false.
    pub fn only_loopback_unless(self, owned: bool) -> Result<Self, TargetError> {
        if owned || self.address.ip().is_loopback() {
            Ok(self)
        } else {
            Err(TargetError::NotLoopback(self.address))
        }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Value of the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `http://…` or `https://…`, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// How to speak TLS, if it is spoken.
    pub(super) fn tls(&self) -> Option<&(Arc<ClientConfig>, ServerName<'static>)> {
        self.tls.as_ref()
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, TargetError> {
    use std::net::ToSocketAddrs;
    let unresolved = |source| TargetError::Unresolved { host: host.to_owned(), source };
    let mut addresses: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(unresolved)?.collect();
    // The server listens on 127.0.0.1 unless configured, so that is tried before ::1.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let nothing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
    addresses.first().copied().ok_or_else(|| unresolved(nothing()))
}

fn trust(path: &Path) -> Result<Arc<ClientConfig>, TargetError> {
    let unreadable = |why: String| TargetError::Authority { path: path.display().to_string(), why };
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there are none in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unreadable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_others_refused() {
        let target = Target::parse("http://127.0.0.1:3000", None).unwrap();
        assert_eq!(target.address(), ([127, 0, 0, 1], 3000).into());
        assert_eq!(target.url(), "http://127.0.0.1:3000");
        assert!(Target::parse("http://[::1]:3000/", None).unwrap().address().is_ipv6());
        for bad in ["", "127.0.0.1:3000", "ftp://127.0.0.1", "http://127.0.0.1/order", "http://"] {
            assert!(Target::parse(bad, None).is_err(), "{bad:?}");
        }
        assert!(matches!(
            Target::parse("https://127.0.0.1:3000", None),
            Err(TargetError::NoAuthority)
        ));
    }

    #[test]
    fn a_server_elsewhere_needs_its_owner_s_word() {
        let elsewhere = || Target::plain(([192, 0, 2, 1], 80).into());
        assert!(matches!(
            elsewhere().only_loopback_unless(false),
            Err(TargetError::NotLoopback(_))
        ));
        assert!(elsewhere().only_loopback_unless(true).is_ok());
        assert!(Target::plain(([127, 9, 9, 9], 80).into()).only_loopback_unless(false).is_ok());
    }
}
