//! Connections that all of a crowd share, as behind a load balancer: who somebody is stands in the forwarding
//! header, which the server believes of this machine.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use flux_gate::load::target::Target;
use flux_gate::load::wire::{Connection, WireError};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::support::draft::Draft;

/// Open connections at most.
const CONNECTIONS_MAX: usize = 400;
/// How long an answer may take, in seconds.
const ANSWER_SECONDS_MAX: u64 = 20;
/// The least time before a request is sent again that was refused for now, in milliseconds.
const RETRY_MS_MIN: u64 = 110;

/// The connections to one server.
pub struct Lines {
    target: Target,
    free: RefCell<Vec<Connection>>,
    slots: Semaphore,
}

/// An answer.
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// When to come again, in milliseconds.
    pub retry_ms: u64,
    /// Its body.
    pub body: Value,
}

impl Reply {
    /// `code` of a problem, else `status` of a plain answer.
    pub fn word(&self) -> &str {
        self.body["code"].as_str().or_else(|| self.body["status"].as_str()).unwrap_or_default()
    }

    /// A member that is text, or nothing.
    pub fn member(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

impl Lines {
    /// None is open yet.
    pub fn new(server: SocketAddr) -> Self {
        let free = RefCell::default();
        Self { target: Target::plain(server), free, slots: Semaphore::new(CONNECTIONS_MAX) }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&self, draft: &Draft) -> anyhow::Result<Reply> {
        let _slot = self.slots.acquire().await?;
        let bytes = draft.bytes();
        let known = self.free.borrow_mut().pop();
        let is_new = known.is_none();
        match self.exchange(known, &bytes).await {
            // The server closes one that was idle; what it never read can be sent again.
            Err(_) if !is_new => Ok(self.exchange(None, &bytes).await?),
            sent => Ok(sent?),
        }
    }

    async fn exchange(&self, known: Option<Connection>, bytes: &[u8]) -> Result<Reply, WireError> {
        let mut connection = match known {
            Some(connection) => connection,
            None => Connection::open(&self.target, None).await?,
        };
        let limit = Duration::from_secs(ANSWER_SECONDS_MAX);
        let answer = tokio::time::timeout(limit, connection.exchange(bytes)).await;
        let answer = answer.unwrap_or(Err(WireError::TimedOut))?;
        let reply = Reply {
            status: answer.status,
            retry_ms: answer.retry_after_s.map_or(0, |s| s * 1_000).max(RETRY_MS_MIN),
            body: serde_json::from_slice(answer.body).unwrap_or_default(),
        };
        if !answer.close {
            self.free.borrow_mut().push(connection);
        }
        Ok(reply)
    }
}
