//! Evidence: who did what at `POST /order` lately, so that fraud can be found, shown and taken back.
//!
//! Invariants:
//! - no address, fingerprint or user id is in it: only keyed pseudonyms ([`Mark`]), whose key changes each day, and the
//!   buyer's pseudonym that the ledger has too;
//! - nothing is older than `evidence.retention_hours`;
//! - a request never waits for it: sightings go through a bounded queue, and what has no place in it is counted;
//! - a flood cannot fill the store: accepted orders are kept one by one, of everything else the first few of each kind
//!   and second, then a sample that says for how many it stands ([`Sighting::weight`]).

//!
//! The parts: [`sighting`], [`mark`] (the pseudonyms), `tally` (what is kept), `intake` (the way to the thread that
//! writes), and a leaf for each profile. `docs/DATA_MODEL.md` tells where it lies and for how long.

use crate::ledger::readers::NotRead;
use crate::sale::{BuyerRef, ProductId};

pub mod analysis;
mod intake;
pub mod mark;
#[cfg(feature = "distributed")]
pub mod postgres;
pub mod sighting;
pub mod sqlite;
mod tally;
mod writer;

pub use intake::{Counts, QUEUE_MAX, Recorder, Seen};
#[cfg(feature = "distributed")]
pub use postgres::PostgresEvidence;
pub use sighting::{Mark, Series, Sighting, What};
pub use sqlite::SqliteEvidence;
pub use tally::{KEPT_A_SECOND, SAMPLED_OF};

/// The most sightings of one answer, whatever is asked for.
pub const SIGHTINGS_MAX: usize = 200_000;

/// The evidence of this deployment. Cheap to clone.
#[derive(Clone)]
pub enum Evidence {
    /// A file of one node.
    Sqlite(SqliteEvidence),
    /// A table of many.
    #[cfg(feature = "distributed")]
    Postgres(PostgresEvidence),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// From this time on, Unix milliseconds.
    pub since_ms: u64,
    /// Up to this time, which is not included.
    pub until_ms: u64,
    /// Of this product alone. Attempts that did not come far enough to say of which they were are then left out.
    pub product: Option<ProductId>,
    /// Accepted orders alone, and attempts that may have become one: [`What::Busy`] with an order id.
    pub accepted_only: bool,
    /// At most so many, and never more than [`SIGHTINGS_MAX`].
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest of those that were asked for, in the order of time.
    pub sightings: Vec<Sighting>,
    /// Whether there are older ones that had no place.
    pub cut: bool,
}

impl Found {
    /// Of the newest `limit + 1`, the newest first.
    fn newest_first(mut sightings: Vec<Sighting>, limit: usize) -> Self {
        let cut = sightings.len() > limit;
        sightings.truncate(limit);
        sightings.reverse();
        Self { sightings, cut }
    }
}

/// How many attempts there were in a minute: all of them, also those of which nothing else is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinuteCount {
    /// When the minute begins, Unix milliseconds.
    pub minute_ms: u64,
    /// Of which product, where the attempts came far enough to say.
    pub product: Option<ProductId>,
    /// What came of them.
    pub what: What,
    /// How many.
    pub count: u64,
}

/// Why there was no answer. Asking again does no harm.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// As many questions wait as may wait.
    #[error("too many reads of the evidence at once")]
    Busy,
    /// The file cannot be read or written.
    #[error("the evidence could not be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL failed, cannot be reached, or gives this login no right to it.
    #[cfg(feature = "distributed")]
    #[error("the evidence could not be read: {0}")]
    Postgres(#[from] crate::ledger::postgres::PostgresError),
    /// A row is not what this program writes.
    #[error("a row of the evidence cannot be read: {0}")]
    Unreadable(&'static str),
    /// The thread that was to answer has ended.
    #[error("a read of the evidence was cut off")]
    CutOff,
}

impl From<NotRead> for EvidenceError {
    fn from(why: NotRead) -> Self {
        match why {
            NotRead::Busy => Self::Busy,
            NotRead::Ended => Self::CutOff,
        }
    }
}

impl Evidence {
    /// A thread's own way to note attempts; none where attempts are not noted, as in a worker.
    pub fn recorder(&self) -> Option<Recorder> {
        match self {
            Self::Sqlite(evidence) => Some(evidence.recorder()),
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.recorder(),
        }
    }

    /// What became of what was to be kept.
    pub fn counts(&self) -> Option<&Counts> {
        match self {
            Self::Sqlite(evidence) => Some(evidence.counts()),
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.counts(),
        }
    }

    /// Returns when what this node has noted is written, or cannot be.
    ///
    /// # Errors
    /// [`EvidenceError`]: nobody writes any more, or too many wait for it.
    pub async fn flush(&self) -> Result<(), EvidenceError> {
        match self {
            Self::Sqlite(evidence) => evidence.flush().await,
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.flush().await,
        }
    }

    /// Writes what waits and ends the thread that writes. Blocks until it is done; safe to repeat.
    pub fn stop(&self) {
        match self {
            Self::Sqlite(evidence) => evidence.stop(),
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.stop(),
        }
    }

    /// The sightings that are asked for. Those of the last quarter of a second may still be on their way.
    ///
    /// # Errors
    /// [`EvidenceError`]; safe to retry.
    pub async fn sightings(&self, query: &Query) -> Result<Found, EvidenceError> {
        match self {
            Self::Sqlite(evidence) => evidence.sightings(*query).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.sightings(*query).await,
        }
    }

    /// Counts by minute, product and outcome, in the order of time, of the minutes that touch the span. Each stands
    /// once, over all nodes.
    ///
    /// # Errors
    /// [`EvidenceError`]; safe to retry.
    pub async fn minutes(
        &self,
        since_ms: u64,
        until_ms: u64,
        product: Option<ProductId>,
    ) -> Result<Vec<MinuteCount>, EvidenceError> {
        match self {
            Self::Sqlite(evidence) => evidence.minutes(since_ms, until_ms, product).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.minutes(since_ms, until_ms, product).await,
        }
    }

    /// Forgets what was seen before this time; returns how many rows went.
    ///
    /// # Errors
    /// [`EvidenceError`]; safe to retry. In PostgreSQL the worker's login alone may.
    pub async fn forget_before(&self, at_ms: u64) -> Result<u64, EvidenceError> {
        match self {
            Self::Sqlite(evidence) => evidence.forget_before(at_ms).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.forget_before(at_ms).await,
        }
    }

    /// Forgets all sightings of a person; returns how many rows went. Counts stay: they name nobody.
    ///
    /// # Errors
    /// [`EvidenceError`]; safe to retry. In PostgreSQL the worker's login alone may.
    pub async fn forget_buyer(&self, buyer: BuyerRef) -> Result<u64, EvidenceError> {
        match self {
            Self::Sqlite(evidence) => evidence.forget_buyer(buyer).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(evidence) => evidence.forget_buyer(buyer).await,
        }
    }
}

#[cfg(test)]
mod tests;
