//! Connections to Redis.
//!
//! Made here and not by redis-rs itself, which reads the system's certificates anew for each connection: on
//! a serving thread that would hold up all its requests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError,
};
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::outgoing::{TlsError, client_config};

/// How long making a connection may take, all steps together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Commands that wait inside a connection for their turn to be written.
const QUEUE_DEPTH_MAX: usize = 1_024;

/// Why there cannot be connections. (A Redis that cannot be reached is no error here.)
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The URL. It is not shown: it holds the password.
    #[error("the URL of Redis is not of the form rediss://user:password@host:port")]
    Url,
    /// TLS, or the certificates of its authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("no connection within {} ms", CONNECT_TIMEOUT.as_millis())]
    TimedOut,
}

/// Where Redis is and who we are there. Cheap to clone.
#[derive(Clone)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    login: RedisConnectionInfo,
}

impl Endpoint {
    pub(super) fn new(url: &SecretString, ca_file: Option<&Path>) -> Result<Self, EndpointError> {
        let info = url.expose_secret().into_connection_info().map_err(|_| EndpointError::Url)?;
        // Redis before 7.2 does not know the command by which a client names its library, and our users
        // may not call it.
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, None),
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(|_| EndpointError::Url)?;
                (
                    host.clone(),
                    *port,
                    Some((TlsConnector::from(Arc::new(client_config(ca_file)?)), name)),
                )
            }
            _ => return Err(EndpointError::Url),
        };
        Ok(Self { host, port, tls, login })
    }

    /// Makes a connection. Must be called inside a `LocalSet`.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, ConnectError> {
        Ok(self.connect_and_watch().await?.0)
    }

    /// Makes a connection, with the task on the calling thread that drives it: it ends when the server
    /// closes the connection. Must be called inside a `LocalSet`.
    pub(super) async fn connect_and_watch(&self) -> Result<Watched, ConnectError> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect_slowly())
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    async fn connect_slowly(&self) -> Result<Watched, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        // Whoever calls has a time of his own.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(QUEUE_DEPTH_MAX);
        match &self.tls {
            None => Ok(drive(
                MultiplexedConnection::new_with_config(&self.login, stream, config).await?,
            )),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Ok(drive(
                    MultiplexedConnection::new_with_config(&self.login, stream, config).await?,
                ))
            }
        }
    }
}

/// A connection and its driver.
pub(super) type Watched = (MultiplexedConnection, JoinHandle<()>);

fn drive(
    (connection, driver): (MultiplexedConnection, impl Future<Output = ()> + 'static),
) -> Watched {
    (connection, tokio::task::spawn_local(driver))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, ca_file: Option<&Path>) -> Result<Endpoint, EndpointError> {
        Endpoint::new(&SecretString::from(url), ca_file)
    }

    #[test]
    fn a_bad_url_is_said_without_its_password() {
        for bad in ["", "redis", "http://h:1", "redis://:secret@", "unix:///tmp/secret"] {
            let error = endpoint(bad, None).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| !error.contains("secret")), "{bad}");
        }
        let endpoint = endpoint("redis://api:s%40cret@127.0.0.1:7001", None).unwrap();
        assert_eq!(endpoint.login.password(), Some("s@cret"));
        assert!(endpoint.tls.is_none());
    }

    #[test]
    fn a_certificate_file_that_is_missing_or_none_is_said_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        for text in [None, Some("-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let error = endpoint("rediss://u:p@localhost:1", Some(&file)).err().unwrap();
            assert!(error.to_string().contains("ca.pem"), "{error}");
        }
    }
}
