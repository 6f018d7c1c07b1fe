//! The evidence of many nodes: tables beside the ledger, which every node adds to and reads, and which the workers keep
//! within their bounds.
//!
//! Without PostgreSQL nodes sell on: what they see waits in the bounded queue, then it is dropped and counted.

use std::rc::Rc;
use std::sync::Arc;

use tokio_postgres::Row;

use super::intake::{Counts, Intake, Recorder};
use super::{
    EvidenceError, Found, Mark, MinuteCount, Query, SIGHTINGS_MAX, Series, Sighting, What,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::IdentityKeys;
use crate::ledger::postgres::PostgresError;
use crate::ledger::postgres::connect::Connector;
use crate::ledger::postgres::reader::{Pools, Reader};
use crate::ledger::postgres::types::{Sixteen, buyer, int, order_id, uint};
use crate::sale::{BuyerRef, ProductId};

mod sink;

use sink::Connection;

/// The evidence in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct PostgresEvidence {
    reader: Reader,
    /// Nodes alone have it.
    intake: Option<Arc<Intake<Connection>>>,
}

impl PostgresEvidence {
    /// For a node: writes and reads as the user of `postgres.url`. Nothing is connected yet.
    ///
    /// # Errors
    /// An address or the certificates cannot be used, or a thread cannot be started.
    pub fn start(
        config: &Config,
        clock: Clock,
        identity: Arc<IdentityKeys>,
    ) -> Result<Self, PostgresError> {
        let mut evidence = Self::for_worker(config)?;
        let connection = Connection::new(Connector::main(config)?)?;
        evidence.intake = Some(Arc::new(Intake::start(connection, clock, identity)?));
        Ok(evidence)
    }

    /// For a worker: forgets, as the user of `postgres.url`, and notes nothing. Nothing is connected yet.
    ///
    /// # Errors
    /// As [`PostgresEvidence::start`].
    pub fn for_worker(config: &Config) -> Result<Self, PostgresError> {
        let reader = Reader::start("evidence-read", Connector::main(config)?, None)?;
        Ok(Self { reader, intake: None })
    }

    /// Deletes what was seen before `before_ms`, and then the oldest rows until at most `rows_max` are left; returns how
    /// many went. For workers.
    ///
    /// # Errors
    /// [`EvidenceError`]; safe to repeat.
    pub async fn keep_within(&self, before_ms: u64, rows_max: u64) -> Result<u64, EvidenceError> {
        let old = self.forget_before(before_ms).await?;
        let excess = include_str!("postgres/sql/delete_excess.sql");
        Ok(old + self.delete(excess, Value::Number(int(rows_max))).await?)
    }

    pub(super) fn recorder(&self) -> Option<Recorder> {
        self.intake.as_ref().map(|intake| intake.recorder())
    }

    pub(super) fn counts(&self) -> Option<&Counts> {
        self.intake.as_ref().map(|intake| intake.counts())
    }

    pub(super) async fn flush(&self) -> Result<(), EvidenceError> {
        match &self.intake {
            Some(intake) => intake.flush().await,
            None => Ok(()),
        }
    }

    pub(super) fn stop(&self) {
        if let Some(intake) = &self.intake {
            intake.stop();
        }
    }

    pub(super) async fn sightings(&self, query: Query) -> Result<Found, EvidenceError> {
        let limit = query.limit.min(SIGHTINGS_MAX);
        let read = move |pools: Rc<Pools>| async move {
            let client = pools.main().await?;
            let product = query.product.as_ref().map(ProductId::as_str);
            // One more, to know whether there is one.
            let rows_max = limit as i64 + 1;
            let rows = client
                .query(
                    include_str!("postgres/sql/sightings.sql"),
                    &[
                        &int(query.since_ms),
                        &int(query.until_ms),
                        &product,
                        &query.accepted_only,
                        &rows_max,
                    ],
                )
                .await
                .map_err(PostgresError::from)?;
            let sightings = rows.iter().map(sighting).collect::<Result<_, _>>()?;
            Ok(Found::newest_first(sightings, limit))
        };
        self.reader.read(read).await
    }

    pub(super) async fn minutes(
        &self,
        since_ms: u64,
        until_ms: u64,
        product: Option<ProductId>,
    ) -> Result<Vec<MinuteCount>, EvidenceError> {
        let read = move |pools: Rc<Pools>| async move {
            let client = pools.main().await?;
            let product = product.as_ref().map(ProductId::as_str);
            let sql = include_str!("postgres/sql/minutes.sql");
            let rows = client
                .query(sql, &[&int(since_ms), &int(until_ms), &product])
                .await
                .map_err(PostgresError::from)?;
            rows.iter().map(minute).collect()
        };
        self.reader.read(read).await
    }

    pub(super) async fn forget_before(&self, at_ms: u64) -> Result<u64, EvidenceError> {
        let before = int(at_ms);
        let gone = self.delete(include_str!("postgres/sql/delete_old.sql"), Value::Number(before));
        let gone = gone.await?;
        let minutes = include_str!("postgres/sql/delete_old_minutes.sql");
        self.delete(minutes, Value::Number(before)).await?;
        Ok(gone)
    }

    pub(super) async fn forget_buyer(&self, buyer: BuyerRef) -> Result<u64, EvidenceError> {
        let sql = include_str!("postgres/sql/delete_buyer.sql");
        self.delete(sql, Value::Buyer(Sixteen(*buyer.as_bytes()))).await
    }

    async fn delete(&self, sql: &'static str, value: Value) -> Result<u64, EvidenceError> {
        let read = move |pools: Rc<Pools>| async move {
            let client = pools.main().await?;
            let deleted = match &value {
                Value::Number(number) => client.execute(sql, &[number]).await,
                Value::Buyer(buyer) => client.execute(sql, &[buyer]).await,
            };
            Ok(deleted.map_err(PostgresError::from)?)
        };
        self.reader.read(read).await
    }
}

/// What a deletion is about.
enum Value {
    Number(i64),
    Buyer(Sixteen),
}

impl From<tokio_postgres::Error> for EvidenceError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}

fn sighting(row: &Row) -> Result<Sighting, EvidenceError> {
    let mark = |column| Ok::<_, EvidenceError>(row.try_get::<_, Option<i64>>(column)?.map(as_mark));
    let is_there =
        |column| Ok::<_, EvidenceError>(row.try_get::<_, Option<Sixteen>>(column)?.is_some());
    let series = match (mark(6)?, row.try_get::<_, Option<i64>>(7)?) {
        (Some(stem), Some(number)) => Some(Series { stem, number: number as u64 }),
        _ => None,
    };
    Ok(Sighting {
        at_ms: uint(row, 0)?,
        what: what(row, 1)?,
        weight: row.try_get::<_, i32>(2)?.unsigned_abs(),
        product: product(row.try_get(3)?)?,
        order_id: if is_there(4)? { Some(order_id(row, 4)?) } else { None },
        buyer: if is_there(5)? { Some(buyer(row, 5)?) } else { None },
        series,
        address: as_mark(row.try_get(8)?),
        network: as_mark(row.try_get(9)?),
        fingerprint: mark(10)?,
    })
}

fn minute(row: &Row) -> Result<MinuteCount, EvidenceError> {
    Ok(MinuteCount {
        minute_ms: uint(row, 0)?,
        product: product(row.try_get(1)?)?,
        what: what(row, 2)?,
        count: uint(row, 3)?,
    })
}

fn as_mark(value: i64) -> Mark {
    Mark(value as u64)
}

fn what(row: &Row, column: usize) -> Result<What, EvidenceError> {
    What::of(row.try_get(column)?).ok_or(EvidenceError::Unreadable("an outcome"))
}

/// Null and the empty text are none.
fn product(text: Option<&str>) -> Result<Option<ProductId>, EvidenceError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| EvidenceError::Unreadable("a product")),
    }
}

#[cfg(test)]
mod tests;
