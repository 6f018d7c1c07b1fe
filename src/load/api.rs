//! Single calls: the operator's, a shop's, a shopper's. For setting up and looking up, not for load.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::target::Target;
use super::wire::{Connection, WireError};

/// Time for one call, connecting included, in milliseconds.
pub const CALL_TIMEOUT_MS: u64 = 30_000;
/// How much of an unexpected answer's body is shown, in characters.
const SHOWN_CHARS: usize = 300;

/// Why a call did not give what it was to give.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no answer.
    #[error("{url}: {source}")]
    Unanswered {
        /// Which server.
        url: String,
        /// What went wrong.
        source: WireError,
    },
    /// The answer is another one than was hoped for.
    #[error("{call} was answered {status}: {body}")]
    Unexpected {
        /// Method and path.
        call: String,
        /// Status code.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// The answer is not of the contract.
    #[error("{call}: the answer is not understood: {source}")]
    Undecodable {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// An answer with its own copy of the body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Method and path of the call.
    pub call: String,
    /// Status code.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON, if the status is the one that was hoped for.
    ///
    /// # Errors
    /// When it is another status or another shape.
    pub fn expect_json<T: DeserializeOwned>(&self, status: u16) -> Result<T, ApiError> {
        if self.status != status {
            return Err(ApiError::Unexpected {
                call: self.call.clone(),
                status: self.status,
                body: self.text().chars().take(SHOWN_CHARS).collect(),
            });
        }
        serde_json::from_slice(&self.body)
            .map_err(|source| ApiError::Undecodable { call: self.call.clone(), source })
    }

    /// The body as text.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The server's clock (Unix milliseconds), where the answer says it.
    pub fn server_time_ms(&self) -> Option<u64> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get("serverTime")?.as_u64()
    }
}

/// A caller with one keep-alive connection.
pub struct Api {
    target: Target,
    token: Option<SecretString>,
    connection: Option<Connection>,
}

impl Api {
    /// A caller without a token.
    pub fn new(target: Target) -> Self {
        Self { target, token: None, connection: None }
    }

    /// A caller with the operator's bearer token.
    pub fn operator(target: Target, token: SecretString) -> Self {
        Self { target, token: Some(token), connection: None }
    }

    /// The request as bytes.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Vec<u8> {
        let authority = self.target.authority();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n");
        if let Some(token) = &self.token {
            head += &format!("authorization: Bearer {}\r\n", token.expose_secret());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            let length = body.len();
            head += &format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        }
        head += "\r\n";
        let mut request = head.into_bytes();
        request.extend_from_slice(body.unwrap_or_default());
        request
    }

    /// One call. A connection that the server closed between two calls is opened anew.
    ///
    /// # Errors
    /// When there is no answer; a refusal is an answer.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Reply, ApiError> {
        let request = self.request(method, path, headers, body);
        let exchange = self.exchange(&request, format!("{method} {path}"));
        let limit = Duration::from_millis(CALL_TIMEOUT_MS);
        let outcome = tokio::time::timeout(limit, exchange).await;
        outcome
            .unwrap_or(Err(WireError::TimedOut))
            .map_err(|source| ApiError::Unanswered { url: self.target.url(), source })
    }

    async fn exchange(&mut self, request: &[u8], call: String) -> Result<Reply, WireError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.target, None).await?,
        };
        let response = connection.exchange(request).await?;
        let reply = Reply {
            call,
            status: response.status,
            retry_after_s: response.retry_after_s,
            body: response.body.to_vec(),
        };
        if !response.close {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    /// `GET`, hoping for a 200 with JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ApiError> {
        self.call("GET", path, &[], None).await?.expect_json(200)
    }
}
