//! Why PostgreSQL gave no answer, and whether to ask again.
//!
//! A message of the server can quote a row ("Key (…) already exists"), and rows hold user ids. So only its
//! code and its primary message are ever shown (rule 7).

use std::error::Error;
use std::fmt;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::outgoing::TlsError;

/// Why PostgreSQL gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// An address that cannot be used.
    #[error("{key}: {why}")]
    Address {
        /// The key of the configuration.
        key: &'static str,
        /// Why, without the address itself: it holds a password.
        why: String,
    },
    /// TLS cannot be had.
    #[error("{0}: see postgres.ca_file")]
    Tls(TlsError),
    /// The server refused or failed, or cannot be reached.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// As many reads wait as may wait.
    #[error("too many reads of PostgreSQL at once")]
    Busy,
    /// No connection came free, or none was made, in time.
    #[error("no connection to PostgreSQL within {0} s")]
    TimedOut(u64),
    /// The ledger's tables are not there.
    #[error("the ledger has no schema: run `flux-gate migrate` as a member of flux_gate_owner")]
    NoSchema,
    /// The tables are those of an older program.
    #[error("the ledger has schema {found}, this program needs {known}: run `flux-gate migrate`")]
    OlderSchema {
        /// The version that is there.
        found: usize,
        /// The version of this program.
        known: usize,
    },
    /// The tables are those of a newer program.
    #[error("the ledger has schema {found}, this program knows {known}: it is too old for it")]
    NewerSchema {
        /// The version that is there.
        found: usize,
        /// The version of this program.
        known: usize,
    },
    /// A migration was applied with another text.
    #[error("migration {version} of the ledger was not the one of this program")]
    ChangedMigration {
        /// Which.
        version: usize,
    },
    /// The roles that rights are given to are missing.
    #[error("PostgreSQL has no role {0}: apply deploy/postgres/roles.sql first")]
    NoRole(String),
    /// Only the owner's files are rewritten.
    #[error(
        "this user of postgres.url is no member of flux_gate_owner, who alone may rewrite the files"
    )]
    NotOwner,
    /// The ledger is filled from another log.
    #[error(
        "the ledger is filled from the topic {topic:?} with {partitions} partitions, not from \
         {configured_topic:?} with {configured_partitions}"
    )]
    OtherLog {
        /// The ledger's topic.
        topic: String,
        /// Its partitions.
        partitions: i32,
        /// The configured topic.
        configured_topic: String,
        /// The configured partitions.
        configured_partitions: i32,
    },
    /// A row is not what this program writes.
    #[error("the ledger holds what this program does not write: {0}")]
    Unreadable(String),
    /// A thread or a runtime could not be started.
    #[error("the ledger's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread that reads the ledger ended.
    #[error("the ledger's thread has ended")]
    Ended,
}

/// What the server or the way to it answered, without the details.
pub struct ServerError(tokio_postgres::Error);

impl From<tokio_postgres::Error> for ServerError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(error)
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(ServerError(error))
    }
}

impl PostgresError {
    /// Whether to try again: it cannot be reached, is starting, or is too busy. A wrong password, missing
    /// rights, another schema or a certificate that does not fit are not.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Server(error) => error.is_transient(),
            Self::TimedOut(_) | Self::Busy => true,
            _ => false,
        }
    }

    pub(super) fn of_pool(error: PoolError, timeout_s: u64) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::TimedOut(timeout_s),
            _ => Self::Ended,
        }
    }

    /// Whether a table or the schema does not exist.
    pub(super) fn is_missing_table(&self) -> bool {
        let Self::Server(ServerError(error)) = self else { return false };
        matches!(error.code(), Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME))
    }
}

impl ServerError {
    /// Whether the server found fault with the rows themselves: classes 22 (data) and 23 (constraints).
    pub(crate) fn is_about_rows(&self) -> bool {
        let class = self.0.code().and_then(|code| code.code().get(..2));
        matches!(class, Some("22" | "23"))
    }

    fn is_transient(&self) -> bool {
        match self.0.code() {
            Some(code) => is_transient_state(code),
            // No answer of the server: the way to it failed, unless its certificate was refused.
            None => {
                let causes: Vec<_> = causes(&self.0).collect();
                let tls = causes.iter().any(|cause| holds_tls_error(*cause));
                let io = causes.iter().any(|cause| cause.is::<std::io::Error>());
                !tls && (io || self.0.is_closed() || self.0.source().is_none())
            }
        }
    }
}

/// Classes 08 (connection), 53 (resources), 57 (stopped, cancelled), 58 (its system), and lost races.
fn is_transient_state(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "53" | "57" | "58")
        || [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

fn holds_tls_error(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.0.as_db_error() {
            return write!(f, "PostgreSQL: {} ({})", error.message(), error.code().code());
        }
        write!(f, "PostgreSQL: {}", self.0)?;
        causes(&self.0).skip(1).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerError({self})")
    }
}

impl Error for ServerError {}
