//! The ledger of the embedded profile: views on the log, read by read-only connections of its own.
//!
//! A read transaction is short: a long one would keep the log's upkeep from starting its write-ahead log over.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::readers::{Bounds, Readers};
use super::{Event, EventKind, LedgerError, Lookup, OrderRow, PAGE_ROWS_MAX, Page};
use crate::sale::{OrderId, OrderStatus, ProductId};

mod person;

const BOUNDS: Bounds = Bounds { readers_max: 4, waiting_max: 256 };
/// Rows of the log that one page looks at.
const SCAN_ROWS_MAX: u64 = 50_000;

/// The ledger in the log's own store. Cheap to clone.
#[derive(Clone)]
pub struct SqliteLedger(Readers);

impl SqliteLedger {
    /// Opens the log's store (`SqliteLog::store_file`) for reading.
    ///
    /// # Errors
    /// The file is missing or no store.
    pub fn open(store_file: &Path) -> Result<Self, LedgerError> {
        let readers = Readers::new(store_file.into(), Arc::default(), BOUNDS);
        readers.check()?;
        Ok(Self(readers))
    }

    pub(super) async fn orders_page(
        &self,
        product: Option<ProductId>,
        after: u64,
        limit: usize,
    ) -> Result<Page<OrderRow>, LedgerError> {
        self.0
            .read(move |connection| {
                read_page(connection, after, limit, |to, limit| {
                    let mut statement =
                        connection.prepare_cached(include_str!("sql/orders_page.sql"))?;
                    let product = product.as_ref().map(ProductId::as_str);
                    let rows = statement.query((int(after), int(to), product, limit))?;
                    collect(rows, order_row)
                })
            })
            .await
    }

    pub(super) async fn feed(&self, after: u64, limit: usize) -> Result<Page<Event>, LedgerError> {
        self.0
            .read(move |connection| {
                read_page(connection, after, limit, |to, limit| {
                    let mut statement = connection.prepare_cached(include_str!("sql/feed.sql"))?;
                    collect(statement.query((int(after), int(to), limit))?, event)
                })
            })
            .await
    }

    pub(super) async fn archived_order(&self, id: OrderId) -> Result<Lookup, LedgerError> {
        self.0
            .read(move |connection| {
                // Before the look-up: an index that is completed in between must not make it `Absent`.
                let archiving: bool =
                    connection
                        .query_row(include_str!("sql/archiving.sql"), [], |row| row.get(0))?;
                let mut statement =
                    connection.prepare_cached(include_str!("sql/archived_order.sql"))?;
                match statement.query_row([id.as_bytes()], |row| Ok(order_row(row))).optional()? {
                    Some(row) => Ok(Lookup::Found(row?)),
                    None if archiving => Ok(Lookup::NotYet),
                    None => Ok(Lookup::Absent),
                }
            })
            .await
    }
}

/// Reads one page of at most `limit` rows out of a bounded stretch of the log.
fn read_page<T: HasOffset>(
    connection: &Connection,
    after: u64,
    limit: usize,
    read: impl FnOnce(u64, i64) -> Result<Vec<T>, LedgerError>,
) -> Result<Page<T>, LedgerError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let end = connection
        .prepare_cached(include_str!("sql/end.sql"))?
        .query_row([], |row| uint(row, 0))?;
    let to = end.min(after.saturating_add(SCAN_ROWS_MAX));
    if to <= after {
        return Ok(Page { rows: Vec::new(), next: after, at_end: true });
    }
    let rows = read(to, limit as i64)?;
    let next = match rows.last() {
        Some(last) if rows.len() == limit => last.offset(),
        _ => to,
    };
    Ok(Page { rows, next, at_end: next == end })
}

trait HasOffset {
    fn offset(&self) -> u64;
}

impl HasOffset for OrderRow {
    fn offset(&self) -> u64 {
        self.offset
    }
}

impl HasOffset for Event {
    fn offset(&self) -> u64 {
        self.offset
    }
}

fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    read: fn(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut collected = Vec::new();
    while let Some(row) = rows.next()? {
        collected.push(read(row)?);
    }
    Ok(collected)
}

fn order_row(row: &Row<'_>) -> Result<OrderRow, LedgerError> {
    let offset = uint(row, 0)?;
    Ok(OrderRow {
        order_id: parse(row, 1, offset)?,
        product: parse(row, 2, offset)?,
        buyer: parse(row, 3, offset)?,
        status: match text(row, 4)? {
            "reversed" => OrderStatus::Reversed,
            _ => OrderStatus::Confirmed,
        },
        created_at_ms: uint(row, 5)?,
        offset,
    })
}

fn event(row: &Row<'_>) -> Result<Event, LedgerError> {
    let offset = uint(row, 0)?;
    let erased = row.get_ref(4)? == rusqlite::types::ValueRef::Null;
    Ok(Event {
        kind: match text(row, 1)? {
            "reversed" => EventKind::Reversed,
            _ => EventKind::Accepted,
        },
        order_id: parse(row, 2, offset)?,
        product: parse(row, 3, offset)?,
        user_id: if erased { None } else { Some(parse(row, 4, offset)?) },
        offset,
        at_ms: uint(row, 5)?,
    })
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, rusqlite::Error> {
    Ok(row.get_ref(column)?.as_str()?)
}

fn parse<T: std::str::FromStr>(
    row: &Row<'_>,
    column: usize,
    offset: u64,
) -> Result<T, LedgerError> {
    text(row, column)?.parse().map_err(|_| LedgerError::Unreadable { offset })
}

/// SQLite's integers are signed; offsets and times stay far below the limit. An `after` from outside may
/// not, and is then past every end.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn uint(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    row.get::<_, i64>(column).map(|value| value.max(0) as u64)
}
