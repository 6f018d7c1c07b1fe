//! The function library in Redis, and the worker's care for it.
//!
//! Nodes call the functions and cannot load them: whoever holds a node's password cannot change what a call
//! does. The worker holds the user `loader`, looks every two seconds, and loads what is missing.

use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use secrecy::SecretString;

use super::connect::{ConnectError, Endpoint, EndpointError};

/// The library's name.
pub const NAME: &str = "flux_gate";
/// Its text.
pub const SOURCE: &str = concat!(include_str!("flux_gate.lua"), include_str!("room.lua"));
/// Its version: raised with every change, which a test holds it to. Nodes call a library of this version or
/// a later one; a worker never replaces a later one by its own, so that old and new can run side by side.
pub const VERSION: u64 = 2;
/// How often the worker looks. Half of the five seconds within which the library must be back, and room.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long one look or one loading may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the library could not be looked after this time.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The URL or the certificates.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Redis was not reached.
    #[error("no connection to Redis: {0}")]
    Connect(String),
    /// Redis refused.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Redis did not answer in time.
    #[error("Redis did not answer within {} ms", CALL_TIMEOUT.as_millis())]
    TimedOut,
}

impl From<ConnectError> for LibraryError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error.to_string())
    }
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// The library is there.
    Present,
    /// A later version is there; it serves us as well.
    Later,
    /// It was missing, older, or another text under this version; now it is there.
    Loaded,
}

/// Loads the library if it is not there, once. Must be called inside a `LocalSet`.
///
/// # Errors
/// See [`LibraryError`].
pub async fn load_library(
    url: &SecretString,
    ca_file: Option<&Path>,
) -> Result<Looked, LibraryError> {
    LibraryKeeper::new(url, ca_file)?.look().await
}

/// Keeps the library in Redis: for the worker.
pub struct LibraryKeeper {
    endpoint: Endpoint,
    connection: Option<MultiplexedConnection>,
}

impl LibraryKeeper {
    /// `url` names the user `loader`.
    ///
    /// # Errors
    /// The URL or the certificates cannot be used. A Redis that cannot be reached is no error.
    pub fn new(url: &SecretString, ca_file: Option<&Path>) -> Result<Self, EndpointError> {
        Ok(Self { endpoint: Endpoint::new(url, ca_file)?, connection: None })
    }

    /// Looks every [`CHECK_INTERVAL`], for ever: drop the future to end it. Must be polled inside a
    /// `LocalSet`. Says what changes, and a failure once until it is over.
    pub async fn run(mut self) {
        let mut failing = false;
        loop {
            let looked = self.look().await;
            match &looked {
                Ok(Looked::Loaded) => tracing::info!(version = VERSION, "loaded Redis's functions"),
                Ok(_) if failing => tracing::info!("Redis's functions are in place"),
                Err(error) if !failing => {
                    tracing::warn!(%error, "Redis's functions cannot be looked after; trying on");
                }
                _ => {}
            }
            failing = looked.is_err();
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Looks once, and loads the library if need be. Must be called inside a `LocalSet`.
    ///
    /// # Errors
    /// See [`LibraryError`]; the next look makes a new connection.
    pub async fn look(&mut self) -> Result<Looked, LibraryError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.endpoint.connect().await?,
        };
        let looked = tokio::time::timeout(CALL_TIMEOUT, look(&mut connection))
            .await
            .map_err(|_| LibraryError::TimedOut)??;
        self.connection = Some(connection);
        Ok(looked)
    }
}

async fn look(connection: &mut MultiplexedConnection) -> Result<Looked, RedisError> {
    let mut list = redis::cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(NAME).arg("WITHCODE");
    let listed: Value = list.query_async(connection).await?;
    match loaded_code(&listed) {
        Some(code) if code == SOURCE => return Ok(Looked::Present),
        Some(code) if version_of(code).is_some_and(|version| version > VERSION) => {
            return Ok(Looked::Later);
        }
        _ => {}
    }
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(SOURCE);
    load.exec_async(connection).await?;
    Ok(Looked::Loaded)
}

/// The text of the one library that `FUNCTION LIST` found.
fn loaded_code(listed: &Value) -> Option<&str> {
    let Value::Array(libraries) = listed else {
        return None;
    };
    let [Value::Array(fields)] = libraries.as_slice() else {
        return None;
    };
    let code = fields
        .chunks_exact(2)
        .find(|pair| matches!(&pair[0], Value::BulkString(name) if name == b"library_code"))?;
    match &code[1] {
        Value::BulkString(code) => std::str::from_utf8(code).ok(),
        _ => None,
    }
}

/// The version that a library's text says.
fn version_of(code: &str) -> Option<u64> {
    code.lines().find_map(|line| line.strip_prefix("local VERSION = ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Change the library, and you change these two and the number in it.
    #[test]
    fn a_changed_library_has_a_higher_version() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SOURCE.as_bytes());
        assert_eq!(version_of(SOURCE), Some(VERSION));
        assert_eq!((VERSION, &*hex::encode(&digest.as_ref()[..8])), (2, "ce1f92fa845d9b14"));
    }

    #[test]
    fn the_library_bears_its_name() {
        assert!(SOURCE.starts_with(&format!("#!lua name={NAME}\n")));
        assert_eq!(version_of("#!lua name=x\n"), None);
    }
}
