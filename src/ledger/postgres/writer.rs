//! Writes batches: each one transaction, exactly once.
//!
//! The transaction moves `progress` on from just where the batch begins. Of two workers that hold the same
//! partition only one can; the other's transaction writes nothing at all. After an error nobody knows
//! whether the transaction was committed: whoever wrote forgets what it holds of these partitions and reads
//! it from the ledger again.
//!
//! Locks are taken in one order (the table of the erased, progress, products, counter), so that writers of
//! different partitions wait for each other but never in a circle.

use tokio_postgres::Client;

use super::connect::Connector;
use super::error::PostgresError;
use super::migrations;
use super::rows::{Batch, EVENTS_MAX};
use super::snapshot::{self, Held, Source};
use super::types::unreadable;
use crate::chain;
use crate::config::Config;
use crate::snapshot::{PartitionHead, Snapshot};

mod statements;

use statements::Session;

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is in the ledger.
    Done,
    /// Another worker has moved a partition on (or the ledger was restored): nothing was written.
    Stale,
}

/// A worker's connection to the ledger. It connects when it is first used and after every error.
pub struct Writer {
    connector: Connector,
    source: Source,
    session: Option<Session>,
}

impl Writer {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The address or the certificates cannot be used.
    pub fn new(config: &Config) -> Result<Self, PostgresError> {
        let (connector, source) = (Connector::main(config)?, Source::new(config));
        Ok(Self { connector, source, session: None })
    }

    /// The heads of all partitions, and the sales of those in `partitions` that are not `held` at just the
    /// ledger's head. The first call ties an empty ledger to this log.
    ///
    /// # Errors
    /// [`PostgresError`]: nothing was changed; ask it whether to try again.
    pub async fn snapshot_of(
        &mut self,
        partitions: &[i32],
        held: &[PartitionHead],
    ) -> Result<Snapshot, PostgresError> {
        let held: Held = held.iter().map(|head| (head.partition, head.clone())).collect();
        let mut session = self.session().await?;
        let read = snapshot::read(&mut session.client, &self.source, Some(partitions), &held).await;
        if read.is_ok() {
            self.session = Some(session);
        }
        read
    }

    /// Writes a batch in one transaction.
    ///
    /// # Errors
    /// [`PostgresError`]: whether the batch was written is not known. Read the ledger before going on.
    pub async fn write(&mut self, batch: &Batch) -> Result<Written, PostgresError> {
        if batch.is_empty() {
            return Ok(Written::Done);
        }
        if batch.events() > EVENTS_MAX {
            return Err(unreadable("a batch that is too large"));
        }
        let session = self.session().await?;
        let written = session.write(batch).await;
        if written.is_ok() {
            self.session = Some(session);
        }
        written
    }

    /// Takes the session; it is put back where nothing failed.
    async fn session(&mut self) -> Result<Session, PostgresError> {
        match self.session.take() {
            Some(session) if !session.client.is_closed() => Ok(session),
            _ => {
                let mut client = self.connector.connect().await?;
                migrations::check(&client).await?;
                pin(&mut client, &self.source).await?;
                Session::prepare(client).await
            }
        }
    }
}

/// Ties an empty ledger to this log, each partition at its beginning.
async fn pin(client: &mut Client, source: &Source) -> Result<(), PostgresError> {
    let transaction = client.transaction().await?;
    let pinned = transaction
        .execute(include_str!("sql/pin_ledger.sql"), &[&source.topic, &source.partitions])
        .await?;
    if pinned == 1 {
        let begin = include_str!("sql/begin_progress.sql");
        transaction.execute(begin, &[&source.partitions, &chain::genesis().as_slice()]).await?;
    }
    source.check(&transaction).await?;
    Ok(transaction.commit().await?)
}
