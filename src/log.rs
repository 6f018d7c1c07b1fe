//! The order log: the totally ordered records of all products. *The log decides*: an order is accepted
//! when its record is durable here and the state applied through it says `Confirmed`.
//!
//! Invariants, whatever the backend:
//! - a decision is handed out only after its record is durable and applied to [`Applied`];
//! - readers of [`Applied`] never see what is not durable;
//! - once the log has failed it writes nothing more: what was undecided is [`Lost`], and a further append
//!   is [`NotAppended::Stopped`].
//!
//! [`OrderLog`] is shared by all threads; each thread takes one [`LogHandle`], which receives the
//! thread's decisions as one message a batch.

use std::sync::Arc;

use crate::chain::LogHead;
use crate::sale::{OperatorName, Outcome, ProductId, Record, UserId};

pub mod applied;
mod delivery;
#[cfg(feature = "distributed")]
pub mod kafka;
mod log_time;
#[cfg(test)]
pub mod memory;
pub mod sqlite;

pub use applied::{Applied, AppliedBatch, Level, Observer};
pub use delivery::{NextBatch, Undecided};
#[cfg(feature = "distributed")]
pub use kafka::KafkaLog;
pub use log_time::{LogClock, LogTime};
#[cfg(test)]
pub use memory::MemoryLog;
pub use sqlite::SqliteLog;

use delivery::{Inbox, Ticket};

/// The log of this deployment. Cheap to clone.
#[derive(Clone)]
pub enum OrderLog {
    /// An append-only SQLite table with one writer and group commit.
    Sqlite(SqliteLog),
    /// A topic of Kafka.
    #[cfg(feature = "distributed")]
    Kafka(KafkaLog),
    /// Records in memory that are decided when the owner says so: for simulation and tests.
    #[cfg(test)]
    Memory(MemoryLog),
}

/// A record on its way into the log.
#[derive(Debug, Clone)]
pub struct Append {
    /// The product that it is about.
    pub product: ProductId,
    /// What it says.
    pub record: Record,
    /// Who buys, in the shop's words: for `OrderProposed` only. Kept apart from the record, so that it
    /// can be erased, and kept only if the order is confirmed.
    pub subject: Option<UserId>,
    /// The operator who writes it, kept with the record; for operators' records only.
    pub by: Option<OperatorName>,
}

/// What became of a record. It is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// What the state made of it.
    pub outcome: Outcome,
    /// Its place in the log.
    pub offset: u64,
    /// Its log time, Unix milliseconds.
    pub log_time_ms: u64,
}

/// Why nothing was appended. Nothing was written, so a retry is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// As many records wait as may wait (`data.queue_records_max`).
    #[error("the log's queue is full")]
    QueueFull,
    /// The log is stopping or has failed.
    #[error("the log has stopped")]
    Stopped,
    /// The record could not be read back, such as one over
    /// [`RECORD_BYTES_MAX`](crate::sale::record::RECORD_BYTES_MAX). A retry of the same record fails too.
    #[error("the record is too large or in a format that this build does not read")]
    Invalid,
    /// An operator's record, and this node does not hold the operators' key: another node may write it.
    #[error("this node does not hold the key that operators' records are signed with")]
    NoOperatorKey,
}

/// The log stopped before the decision was known: the record may be in it or not. A retry with the same
/// idempotency key settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log stopped before the outcome was known")]
pub struct Lost;

/// A record that waits for its decision, and where the decision goes.
struct Queued {
    append: Append,
    ticket: Ticket,
}

impl OrderLog {
    /// The applied state, which all threads read.
    pub fn applied(&self) -> &Arc<Applied> {
        match self {
            Self::Sqlite(log) => log.applied(),
            #[cfg(feature = "distributed")]
            Self::Kafka(log) => log.applied(),
            #[cfg(test)]
            Self::Memory(log) => log.applied(),
        }
    }

    /// Where each partition's chain stands; those of which nothing is applied are left out.
    pub fn heads(&self) -> Vec<LogHead> {
        match self {
            Self::Sqlite(log) => log.head().into_iter().collect(),
            #[cfg(feature = "distributed")]
            Self::Kafka(log) => log.heads().iter().filter_map(snapshot_head).collect(),
            #[cfg(test)]
            Self::Memory(_) => Vec::new(),
        }
    }

    /// The head of the part of the log that a product's records are in; `None` where readers of the applied
    /// state do not see everything up to it at this moment, or nothing is in it.
    #[cfg_attr(
        not(feature = "distributed"),
        expect(unused_variables, reason = "one log is in one part")
    )]
    pub fn settled_head(&self, product: &ProductId) -> Option<LogHead> {
        match self {
            Self::Sqlite(log) => log.head(),
            #[cfg(feature = "distributed")]
            Self::Kafka(log) => snapshot_head(&log.settled_head(product)?),
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// Writes what is queued, closes the store and ends the log's threads.
    pub fn stop(&self) {
        match self {
            Self::Sqlite(log) => log.stop(),
            #[cfg(feature = "distributed")]
            Self::Kafka(log) => log.stop(),
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    /// This thread's way to append. Must be called inside a `LocalSet`: it spawns a local task that hands
    /// out the decisions.
    pub fn handle(&self) -> LogHandle {
        let (inbox, way) = match self {
            Self::Sqlite(log) => (log.ports().open(), Way::Sqlite(log.queue())),
            #[cfg(feature = "distributed")]
            Self::Kafka(log) => (log.ports().open(), Way::Kafka(log.sender())),
            #[cfg(test)]
            Self::Memory(log) => (log.ports().open(), Way::Memory(log.clone())),
        };
        LogHandle { inbox, way }
    }
}

#[cfg(feature = "distributed")]
fn snapshot_head(head: &crate::snapshot::PartitionHead) -> Option<LogHead> {
    Some(LogHead {
        partition: u32::try_from(head.partition).ok()?,
        offset: head.next_offset.checked_sub(1)?,
        digest: head.digest,
    })
}

/// One thread's way to append records and to learn of decisions.
pub struct LogHandle {
    inbox: Inbox,
    way: Way,
}

enum Way {
    Sqlite(sqlite::Queue),
    #[cfg(feature = "distributed")]
    Kafka(kafka::Sender),
    #[cfg(test)]
    Memory(MemoryLog),
}

impl LogHandle {
    /// Queues a record. Dropping the future does not take the record back.
    ///
    /// # Errors
    /// [`NotAppended`]; nothing was written then.
    pub fn append(&self, append: Append) -> Result<Undecided, NotAppended> {
        if self.inbox.ended() {
            return Err(NotAppended::Stopped);
        }
        if !reads_back(&append) {
            return Err(NotAppended::Invalid);
        }
        let undecided = self.inbox.reserve();
        let queued = Queued { append, ticket: undecided.ticket() };
        let sent = match &self.way {
            Way::Sqlite(queue) => queue.try_send(queued),
            #[cfg(feature = "distributed")]
            Way::Kafka(sender) => sender.try_send(queued),
            #[cfg(test)]
            Way::Memory(log) => log.try_send(queued),
        };
        match sent {
            Ok(()) => Ok(undecided),
            Err(why) => {
                undecided.release();
                Err(why)
            }
        }
    }

    /// Resolves when a batch has been applied after this call (it counts from the call, not from the
    /// first poll, so a caller can take it, look at the state, and then await it). It may resolve once too
    /// often, never too late; also when the log has stopped.
    pub fn next_batch(&self) -> NextBatch {
        self.inbox.next_batch()
    }
}

/// Whether a start could read the record again. A plain proposal has nothing of variable size and is not
/// tried: it is the hot path.
fn reads_back(append: &Append) -> bool {
    match &append.record {
        Record::OrderProposed(proposal) if proposal.sealed_user.is_none() => true,
        record => Record::decode(&record.encode_by(append.by)).is_ok(),
    }
}

/// What a thread of a log said when it panicked.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
