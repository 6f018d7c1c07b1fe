//! The rows of a span of time, as they stand in the log, with the digests that chain them.

use std::path::Path;

use super::error::StartError;
use super::replay::{self, LogRow};
use super::store;
use crate::sale::ProductId;

/// Rows of the log, one after the other without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The row before the span, by which the first one is checked, and those of the span.
    pub rows: Vec<Row>,
    /// Whether there are more than could be taken.
    pub cut: bool,
}

/// One row, as it was digested; in a report a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its place.
    pub offset: u64,
    /// Log time, Unix milliseconds.
    pub log_time_ms: u64,
    /// The key that it is about.
    pub product: String,
    /// What it came to.
    pub outcome: String,
    /// The record, byte for byte as it stands in the log.
    pub record: String,
    /// The digest after it, hex.
    pub digest: String,
}

/// Reads the rows from `since_ms` on and before `until_ms`, of all products, up to `bytes_max` of records. It
/// looks at the whole log, so it is for a thread of its own.
///
/// # Errors
/// The store cannot be read.
pub fn excerpt(
    dir: &Path,
    since_ms: u64,
    until_ms: u64,
    bytes_max: usize,
) -> Result<Excerpt, StartError> {
    let read = || -> Result<Excerpt, rusqlite::Error> {
        let connection = store::open_read_only(dir)?;
        let whole = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let span = (whole(since_ms), whole(until_ms));
        let (first, last): (Option<i64>, Option<i64>) =
            connection.query_row(include_str!("sql/span.sql"), span, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(Excerpt::default()) };
        let products = replay::read_products(&connection)?;
        let mut excerpt = Excerpt::default();
        let mut bytes = 0;
        let mut statement = connection.prepare(include_str!("sql/read_log.sql"))?;
        let mut rows = statement.query((first - 2, last, -1))?;
        while let Some(row) = rows.next()? {
            let row = LogRow::read(row)?;
            bytes += row.record.len();
            if bytes > bytes_max {
                excerpt.cut = true;
                break;
            }
            excerpt.rows.push(Row {
                offset: row.offset,
                log_time_ms: row.log_time_ms,
                product: products
                    .by_number
                    .get(&row.product)
                    .map_or_else(String::new, ProductId::to_string),
                outcome: row.outcome,
                record: row.record,
                digest: hex::encode(row.digest),
            });
        }
        Ok(excerpt)
    };
    read().map_err(|source| StartError::Sqlite { dir: dir.into(), source })
}
