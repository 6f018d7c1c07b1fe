//! The ledger in PostgreSQL, filled by the workers.

use super::{Counts, Event, LedgerError, Lookup, OrderRow, Page};
use crate::config::Config;
use crate::sale::{OrderId, ProductId};
use crate::snapshot::Snapshot;

/// Why PostgreSQL gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {}

impl PostgresError {
    /// Whether to try again: it cannot be reached, or is starting.
    pub fn is_transient(&self) -> bool {
        unimplemented!()
    }
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct PostgresLedger;

impl PostgresLedger {
    /// Prepares the pools; nothing is connected yet.
    pub fn new(_config: &Config) -> Result<Self, PostgresError> {
        unimplemented!()
    }
    /// Everything as of one moment, in one REPEATABLE READ transaction.
    pub async fn snapshot(&self) -> Result<Snapshot, PostgresError> {
        unimplemented!()
    }
    pub async fn orders_page(
        &self,
        _product: Option<ProductId>,
        _after: u64,
        _limit: usize,
    ) -> Result<Page<OrderRow>, LedgerError> {
        unimplemented!()
    }
    pub async fn feed(&self, _after: u64, _limit: usize) -> Result<Page<Event>, LedgerError> {
        unimplemented!()
    }
    pub async fn archived_order(&self, _id: OrderId) -> Result<Lookup, LedgerError> {
        unimplemented!()
    }
    pub async fn counts(&self, _product: ProductId) -> Result<Counts, LedgerError> {
        unimplemented!()
    }
}
