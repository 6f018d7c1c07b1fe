//! The ledger: the system of record that people and shops query. Filled from the log, exactly once.
//!
//! Reads are bounded: a page looks at most at so many rows of the log and says where the next one starts,
//! so nobody can make the ledger scan without end.

use crate::sale::{BuyerRef, OrderId, OrderStatus, ProductId, UserId};
use person::{Deleted, Erased, PersonOrder};
use readers::NotRead;

pub mod person;
#[cfg(feature = "distributed")]
pub mod postgres;
pub(crate) mod readers;
pub mod sqlite;

#[cfg(feature = "distributed")]
pub use postgres::PostgresLedger;
pub use sqlite::SqliteLedger;

/// The largest page, in rows.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// The ledger of this deployment. Cheap to clone.
#[derive(Clone)]
pub enum Ledger {
    /// Views on the embedded log.
    Sqlite(SqliteLedger),
    /// Tables that the workers fill.
    #[cfg(feature = "distributed")]
    Postgres(PostgresLedger),
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub order_id: OrderId,
    /// What was bought.
    pub product: ProductId,
    /// Who bought, as a pseudonym.
    pub buyer: BuyerRef,
    /// Whether it stands.
    pub status: OrderStatus,
    /// Log time of its confirmation, Unix milliseconds.
    pub created_at_ms: u64,
    /// The offset of its record.
    pub offset: u64,
}

/// What a shop has to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// An order was accepted; the offset is that of its proposal.
    Accepted,
    /// An order was reversed; the offset is that of the reversal.
    Reversed,
}

/// An entry of the fulfilment feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which order.
    pub order_id: OrderId,
    /// Of which product.
    pub product: ProductId,
    /// Who bought, in the shop's words; `None` once the person has been erased.
    pub user_id: Option<UserId>,
    /// Its place in the log.
    pub offset: u64,
    /// Log time, Unix milliseconds.
    pub at_ms: u64,
}

/// Rows in log order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows; may be fewer than asked for, even none, though there are more.
    pub rows: Vec<T>,
    /// All that is not after this offset has been looked at: the `after` of the next page.
    pub next: u64,
    /// Whether the end of the log was reached, as it was when the page was read.
    pub at_end: bool,
}

/// What is known of an order id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The order.
    Found(OrderRow),
    /// No archived product has it.
    Absent,
    /// A product's archive is still being indexed: ask again in a few seconds.
    NotYet,
}

/// Why the ledger gave no answer. Reads change nothing, so a retry is always safe.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// As many reads wait as may wait.
    #[error("too many reads of the ledger at once")]
    Busy,
    /// A row is not what this program writes.
    #[error("the ledger's row at offset {offset} cannot be read")]
    Unreadable {
        /// Its offset.
        offset: u64,
    },
    /// The store failed.
    #[error("the ledger could not be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The store failed or cannot be reached.
    #[cfg(feature = "distributed")]
    #[error("the ledger could not be read: {0}")]
    Postgres(#[from] postgres::PostgresError),
    /// The call needs user ids, and this node has no right to read them.
    #[error("this node may not read user ids: set postgres.fulfilment_url")]
    NoUserIds,
    /// The thread that read it ended.
    #[error("a read of the ledger was cut off")]
    CutOff,
}

impl From<NotRead> for LedgerError {
    fn from(why: NotRead) -> Self {
        match why {
            NotRead::Busy => Self::Busy,
            NotRead::Ended => Self::CutOff,
        }
    }
}

impl Ledger {
    /// Whether it is filled some time after the log, by workers.
    pub fn lags(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            #[cfg(feature = "distributed")]
            Self::Postgres(_) => true,
        }
    }

    /// Orders after the offset `after` in log order, of one product or of all.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn orders_page(
        &self,
        product: Option<ProductId>,
        after: u64,
        limit: usize,
    ) -> Result<Page<OrderRow>, LedgerError> {
        match self {
            Self::Sqlite(ledger) => ledger.orders_page(product, after, limit).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(ledger) => ledger.orders_page(product, after, limit).await,
        }
    }

    /// What a shop has to act on after the offset `after`, in log order.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn feed(&self, after: u64, limit: usize) -> Result<Page<Event>, LedgerError> {
        match self {
            Self::Sqlite(ledger) => ledger.feed(after, limit).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(ledger) => ledger.feed(after, limit).await,
        }
    }

    /// An order of an archived product; those of the others are in the applied state.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn archived_order(&self, id: OrderId) -> Result<Lookup, LedgerError> {
        match self {
            Self::Sqlite(ledger) => ledger.archived_order(id).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(ledger) => ledger.archived_order(id).await,
        }
    }

    /// The orders of one person, at most [`person::ORDERS_OF_PERSON_MAX`], with the user ids that are kept. Reads
    /// the whole ledger: for operators.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn orders_of(&self, buyer: BuyerRef) -> Result<Vec<PersonOrder>, LedgerError> {
        match self {
            Self::Sqlite(ledger) => ledger.orders_of(buyer).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(ledger) => ledger.orders_of(buyer).await,
        }
    }

    /// The latest erasure of a person, if the ledger knows of one.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn erased(&self, buyer: BuyerRef) -> Result<Option<Erased>, LedgerError> {
        match self {
            Self::Sqlite(ledger) => ledger.erased(buyer).await,
            #[cfg(feature = "distributed")]
            Self::Postgres(ledger) => ledger.erased(buyer).await,
        }
    }

    /// What workers have deleted, the latest of each thing. Of one node it is in the audit trail.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn deletions(&self) -> Result<Vec<Deleted>, LedgerError> {
        match self {
            Self::Sqlite(_) => Ok(Vec::new()),
            #[cfg(feature = "distributed")]
            Self::Postgres(ledger) => ledger.deletions().await,
        }
    }
}

#[cfg(test)]
mod tests;
