//! The evidence of one node: a file of its own, `evidence.db` in the data directory, which one thread writes.
//!
//! Nothing that goes wrong with it is an error of the node: a file that cannot be read is put aside, one that cannot be
//! written is tried again, and what finds no place meanwhile is counted.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::intake::{Counts, Intake, Recorder};
use super::{
    EvidenceError, Found, Mark, MinuteCount, Query, SIGHTINGS_MAX, Series, Sighting, What,
};
use crate::clock::Clock;
use crate::config::evidence::Evidence as Settings;
use crate::keys::IdentityKeys;
use crate::ledger::readers::{Bounds, Readers};
use crate::sale::{BuyerRef, OrderId, ProductId};

mod store;

pub use store::EVIDENCE_FILE;

use store::Store;

const READERS: Bounds = Bounds { readers_max: 2, waiting_max: 64 };

/// The evidence in a file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteEvidence(Arc<Running>);

struct Running {
    intake: Intake<Store>,
    readers: Readers,
}

impl SqliteEvidence {
    /// Opens or begins the file in this directory, which nobody else may use, and starts the thread that writes.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        dir: &Path,
        settings: Settings,
        clock: Clock,
        identity: Arc<IdentityKeys>,
    ) -> std::io::Result<Self> {
        let store = Store::open(dir, settings, clock.clone());
        let readers = Readers::new(dir.join(EVIDENCE_FILE), store.files(), READERS);
        let intake = Intake::start(store, clock, identity)?;
        Ok(Self(Arc::new(Running { intake, readers })))
    }

    pub(super) fn recorder(&self) -> Recorder {
        self.0.intake.recorder()
    }

    pub(super) fn counts(&self) -> &Counts {
        self.0.intake.counts()
    }

    pub(super) async fn flush(&self) -> Result<(), EvidenceError> {
        self.0.intake.flush().await
    }

    pub(super) fn stop(&self) {
        self.0.intake.stop();
    }

    pub(super) async fn sightings(&self, query: Query) -> Result<Found, EvidenceError> {
        let limit = query.limit.min(SIGHTINGS_MAX);
        let read = move |connection: &rusqlite::Connection| {
            let mut statement =
                connection.prepare_cached(include_str!("sqlite/sql/sightings.sql"))?;
            let mut rows = statement.query((
                int(query.since_ms),
                int(query.until_ms),
                query.product.as_ref().map(ProductId::as_str),
                query.accepted_only,
                // One more, to know whether there is one.
                limit as i64 + 1,
            ))?;
            let mut sightings = Vec::new();
            while let Some(row) = rows.next()? {
                sightings.push(sighting(row)?);
            }
            Ok(Found::newest_first(sightings, limit))
        };
        self.0.readers.read(read).await
    }

    pub(super) async fn minutes(
        &self,
        since_ms: u64,
        until_ms: u64,
        product: Option<ProductId>,
    ) -> Result<Vec<MinuteCount>, EvidenceError> {
        let read = move |connection: &rusqlite::Connection| {
            let mut statement =
                connection.prepare_cached(include_str!("sqlite/sql/minutes.sql"))?;
            let product = product.as_ref().map(ProductId::as_str);
            let mut rows = statement.query((int(since_ms), int(until_ms), product))?;
            let mut minutes = Vec::new();
            while let Some(row) = rows.next()? {
                minutes.push(minute(row)?);
            }
            Ok(minutes)
        };
        self.0.readers.read(read).await
    }

    pub(super) async fn forget_before(&self, at_ms: u64) -> Result<u64, EvidenceError> {
        self.0.intake.ask(move |store| store.forget_before(at_ms)).await
    }

    pub(super) async fn forget_buyer(&self, buyer: BuyerRef) -> Result<u64, EvidenceError> {
        self.0.intake.ask(move |store| store.forget_buyer(buyer)).await
    }
}

fn sighting(row: &Row<'_>) -> Result<Sighting, EvidenceError> {
    let mark = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(as_mark));
    let series = match (mark(6)?, row.get::<_, Option<i64>>(7)?) {
        (Some(stem), Some(number)) => Some(Series { stem, number: number as u64 }),
        _ => None,
    };
    Ok(Sighting {
        at_ms: uint(row, 0)?,
        what: what(row, 1)?,
        weight: row.get(2)?,
        product: product(row, 3)?,
        order_id: sixteen(row, 4)?.map(OrderId::from_random_bytes),
        buyer: sixteen(row, 5)?.map(BuyerRef::from_bytes),
        series,
        address: as_mark(row.get(8)?),
        network: as_mark(row.get(9)?),
        fingerprint: mark(10)?,
    })
}

fn minute(row: &Row<'_>) -> Result<MinuteCount, EvidenceError> {
    Ok(MinuteCount {
        minute_ms: uint(row, 0)?,
        product: product(row, 1)?,
        what: what(row, 2)?,
        count: uint(row, 3)?,
    })
}

fn as_mark(value: i64) -> Mark {
    Mark(value as u64)
}

fn what(row: &Row<'_>, column: usize) -> Result<What, EvidenceError> {
    let word = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    What::of(word).ok_or(EvidenceError::Unreadable("an outcome"))
}

/// Null and the empty text are none.
fn product(row: &Row<'_>, column: usize) -> Result<Option<ProductId>, EvidenceError> {
    match row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)? {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| EvidenceError::Unreadable("a product")),
    }
}

fn sixteen(row: &Row<'_>, column: usize) -> Result<Option<[u8; 16]>, EvidenceError> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => {
            bytes.try_into().map(Some).map_err(|_| EvidenceError::Unreadable("16 bytes"))
        }
        _ => Err(EvidenceError::Unreadable("16 bytes")),
    }
}

/// SQLite's integers are signed; times and counts stay far below the limit. A time from outside may not, and is then
/// later than all.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn uint(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    row.get::<_, i64>(column).map(|value| value.max(0) as u64)
}

#[cfg(test)]
mod tests;
