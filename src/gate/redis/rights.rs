//! What the configured user may do in Redis: tried, not asked, and harmless even where it is allowed.

use std::path::Path;

use redis::{RedisError, Value};
use secrecy::SecretString;

use super::calls;
use super::connect::{Endpoint, EndpointError};

/// Commands that only administrators need. Each is harmless: it reads, or its arguments make it fail, and the
/// server checks rights before arguments.
const FORBIDDEN: [&[&str]; 8] = [
    &["FLUSHALL", "NOT-A-MODE"],
    &["FLUSHDB", "NOT-A-MODE"],
    &["DEBUG", "HELP"],
    &["CONFIG", "GET", "maxmemory"],
    &["EVAL", "return 1", "0"],
    &["KEYS", "flux-gate-doctor-*"],
    &["FUNCTION", "LOAD", "not a library"],
    &["GET", "flux-gate-doctor"],
];

/// What was found out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The version of the function library; `None`: it is not loaded, or may not be called.
    pub library: Option<u64>,
    /// Why not.
    pub library_error: Option<String>,
    /// Commands that the user may run and should not.
    pub too_much: Vec<&'static str>,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The URL or the certificates.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No connection, or it broke.
    #[error("Redis cannot be asked: {0}")]
    Unreachable(String),
}

/// Tries what a node needs and what it must not be able to do. Must be called inside a `LocalSet`.
///
/// # Errors
/// [`RightsError`]; nothing was changed.
pub async fn rights(url: &SecretString, ca_file: Option<&Path>) -> Result<Rights, RightsError> {
    let unreachable = |error: String| RightsError::Unreachable(error);
    let endpoint = Endpoint::new(url, ca_file)?;
    let connected = endpoint.connect().await;
    let mut connection = connected.map_err(|error| unreachable(error.to_string()))?;
    let mut rights = Rights::default();
    let version = calls::version().query_async(&mut connection).await;
    match version {
        Ok(version) => rights.library = Some(version),
        Err(error) if is_answer(&error) => rights.library_error = Some(error.to_string()),
        Err(error) => return Err(unreachable(error.to_string())),
    }
    for words in FORBIDDEN {
        let mut command = redis::cmd(words[0]);
        for argument in &words[1..] {
            command.arg(argument);
        }
        match command.query_async::<Value>(&mut connection).await {
            Err(error) if is_refusal(&error) => {}
            Err(error) if !is_answer(&error) => return Err(unreachable(error.to_string())),
            Ok(_) | Err(_) => rights.too_much.push(words[0]),
        }
    }
    Ok(rights)
}

/// Whether the server itself said so.
fn is_answer(error: &RedisError) -> bool {
    error.code().is_some()
}

fn is_refusal(error: &RedisError) -> bool {
    // DEBUG may also be off for everybody.
    error.code() == Some("NOPERM") || error.to_string().contains("command not allowed")
}
