//! The ledger in PostgreSQL, filled by the workers.
//!
//! - [`migrations`]: the schema `flux_gate` and its versions; `docs/DATA_MODEL.md` tells its tables;
//! - [`rows`], [`writer`]: what a worker writes, in one transaction a batch;
//! - here: what nodes read, which is never more than one bounded page or the snapshot of their start.

use std::collections::HashMap;
use std::sync::Arc;

use super::person::{Deleted, Erased, PersonOrder};
use super::{Event, LedgerError, Lookup, OrderRow, Page};
use crate::config::Config;
use crate::sale::{BuyerRef, OrderId, ProductId};
use crate::snapshot::Snapshot;
use rows::Checkpoint;

pub(crate) mod connect;
mod error;
pub mod housekeeper;
pub mod migrations;
mod pages;
mod person;
pub(crate) mod reader;
pub mod rights;
pub mod rows;
mod snapshot;
pub(crate) mod types;
pub mod writer;

pub use error::{PostgresError, ServerError};
pub use writer::Writer;

use connect::Connector;
use reader::Reader;
use snapshot::{Held, Source};

/// The ledger, as nodes read it. Cheap to clone; usable from every runtime.
#[derive(Clone)]
pub struct PostgresLedger {
    reader: Reader,
    source: Arc<Source>,
}

impl PostgresLedger {
    /// Starts the thread that reads; nothing is connected yet.
    ///
    /// # Errors
    /// An address or the certificates cannot be used, or the thread cannot be started.
    pub fn new(config: &Config) -> Result<Self, PostgresError> {
        let reader =
            Reader::start("ledger", Connector::main(config)?, Connector::fulfilment(config)?)?;
        Ok(Self { reader, source: Arc::new(Source::new(config)) })
    }

    /// Everything as of one moment, in one REPEATABLE READ transaction.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing; ask it whether to try again.
    pub async fn snapshot(&self) -> Result<Snapshot, PostgresError> {
        let source = Arc::clone(&self.source);
        let read = |pools: std::rc::Rc<reader::Pools>| async move {
            let mut connection = pools.main().await?;
            let held: Held = HashMap::new();
            snapshot::read(&mut connection, &source, None, &held).await
        };
        self.reader.read(read).await
    }

    /// The digests that the workers noted lately, to be compared with a node's own.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, PostgresError> {
        let read = |pools: std::rc::Rc<reader::Pools>| async move {
            snapshot::checkpoints(&*pools.main().await?).await
        };
        self.reader.read(read).await
    }

    /// How far the workers have written: partition and the offset that comes next.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing.
    pub async fn progress(&self) -> Result<Vec<(i32, u64)>, PostgresError> {
        let read = |pools: std::rc::Rc<reader::Pools>| async move {
            snapshot::progress(&*pools.main().await?).await
        };
        self.reader.read(read).await
    }

    /// What the user of `postgres.url` may do.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing.
    pub async fn rights(&self) -> Result<rights::Rights, PostgresError> {
        let read = |pools: std::rc::Rc<reader::Pools>| async move {
            rights::rights(&*pools.main().await?).await
        };
        self.reader.read(read).await
    }

    /// See [`Ledger::orders_page`](super::Ledger::orders_page): `after` and `next` count events.
    pub(super) async fn orders_page(
        &self,
        product: Option<ProductId>,
        after: u64,
        limit: usize,
    ) -> Result<Page<OrderRow>, LedgerError> {
        let read = move |pools: std::rc::Rc<reader::Pools>| async move {
            Ok(pages::orders(&*pools.main().await?, product, after, limit).await?)
        };
        self.reader.read(read).await
    }

    /// See [`Ledger::feed`](super::Ledger::feed).
    pub(super) async fn feed(&self, after: u64, limit: usize) -> Result<Page<Event>, LedgerError> {
        let read = move |pools: std::rc::Rc<reader::Pools>| async move {
            Ok(pages::feed(&*pools.fulfilment().await?, after, limit).await?)
        };
        self.reader.read(read).await
    }

    /// See [`Ledger::archived_order`](super::Ledger::archived_order).
    pub(super) async fn archived_order(&self, id: OrderId) -> Result<Lookup, LedgerError> {
        let read = move |pools: std::rc::Rc<reader::Pools>| async move {
            Ok(pages::archived_order(&*pools.main().await?, id).await?)
        };
        self.reader.read(read).await
    }

    /// See [`Ledger::orders_of`](super::Ledger::orders_of).
    pub(super) async fn orders_of(&self, buyer: BuyerRef) -> Result<Vec<PersonOrder>, LedgerError> {
        let read = move |pools: std::rc::Rc<reader::Pools>| async move {
            Ok(person::orders(&*pools.fulfilment().await?, buyer).await?)
        };
        self.reader.read(read).await
    }

    /// See [`Ledger::erased`](super::Ledger::erased).
    pub(super) async fn erased(&self, buyer: BuyerRef) -> Result<Option<Erased>, LedgerError> {
        let read = move |pools: std::rc::Rc<reader::Pools>| async move {
            Ok(person::erased(&*pools.fulfilment().await?, buyer).await?)
        };
        self.reader.read(read).await
    }

    /// See [`Ledger::deletions`](super::Ledger::deletions).
    pub(super) async fn deletions(&self) -> Result<Vec<Deleted>, LedgerError> {
        let read = move |pools: std::rc::Rc<reader::Pools>| async move {
            Ok(person::deletions(&*pools.main().await?).await?)
        };
        self.reader.read(read).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
