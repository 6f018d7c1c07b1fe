//! The start: the log is read once and applied, and must come to what it came to when it was written.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};

use super::error::StartError;
use crate::chain::{self, Digest, Link};
use crate::sale::record::KeyFingerprints;
use crate::sale::{Book, InvalidId, LogEntry, ProductId, Record};

/// Rows whose digests are checked at each start; `audit verify` checks them all.
const TAIL_ROWS: u64 = 1_000;

/// Product numbers in the store.
#[derive(Debug, Default)]
pub(super) struct Products {
    pub by_number: HashMap<i64, ProductId>,
    pub numbers: HashMap<ProductId, i64>,
}

/// The last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Its offset; 0 before the first.
    pub offset: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What the log comes to.
pub(super) struct Replayed {
    pub book: Book,
    pub products: Products,
    pub head: Head,
}

/// Reads and applies the whole log.
///
/// # Errors
/// A gap, a record that cannot be read, an outcome that differs, a damaged tail, a sale under other keys.
pub(super) fn replay(
    dir: &Path,
    connection: &Connection,
    keys: &KeyFingerprints,
) -> Result<Replayed, StartError> {
    let sqlite = |source| StartError::Sqlite { dir: dir.into(), source };
    let products = read_products(connection).map_err(sqlite)?;
    let head = read_head(connection).map_err(sqlite)?;
    let mut book = Book::default();
    let mut last = 0;
    let mut statement = connection.prepare(include_str!("sql/replay.sql")).map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        last = replay_row(&mut book, &products, last, row, &sqlite)?;
    }
    if last != head.offset {
        return Err(StartError::Damaged { offset: last, what: "rows after it were cut off" });
    }
    check_tail(connection, &products, &head, &sqlite)?;
    check_keys(&book, keys)?;
    Ok(Replayed { book, products, head })
}

fn replay_row(
    book: &mut Book,
    products: &Products,
    last: u64,
    row: &Row<'_>,
    sqlite: &impl Fn(rusqlite::Error) -> StartError,
) -> Result<u64, StartError> {
    let offset = row.get::<_, i64>(0).map_err(sqlite)? as u64;
    if offset != last + 1 {
        return Err(StartError::Damaged { offset: last + 1, what: "the row is missing" });
    }
    let product = products.by_number.get(&row.get(1).map_err(sqlite)?);
    let product = *product.ok_or(StartError::Damaged { offset, what: "its product is unknown" })?;
    let appended_at_ms = row.get::<_, i64>(2).map_err(sqlite)? as u64;
    let text = |column| row.get_ref(column).and_then(|value| Ok(value.as_str()?));
    let record = Record::decode(text(4).map_err(sqlite)?.as_bytes())
        .map_err(|source| StartError::Undecodable { offset, source })?;
    let outcome = book.apply(&LogEntry { offset, appended_at_ms, product, record });
    let stored = text(3).map_err(sqlite)?;
    if stored != outcome.name() {
        let (stored, computed) = (stored.to_owned(), outcome.name());
        return Err(StartError::OutcomeDiffers { offset, stored, computed });
    }
    Ok(offset)
}

fn check_keys(book: &Book, keys: &KeyFingerprints) -> Result<(), StartError> {
    match book.iter().find(|(_, state)| !state.is_under(keys)) {
        Some((product, _)) => Err(StartError::OtherKeys { product: *product }),
        None => Ok(()),
    }
}

/// Checks the digests of the last rows up to the head.
fn check_tail(
    connection: &Connection,
    products: &Products,
    head: &Head,
    sqlite: &impl Fn(rusqlite::Error) -> StartError,
) -> Result<(), StartError> {
    let before = head.offset.saturating_sub(TAIL_ROWS);
    let mut digest = digest_at(connection, before).map_err(sqlite)?;
    let mut buffer = Vec::new();
    let mut statement = connection.prepare(include_str!("sql/read_log.sql")).map_err(sqlite)?;
    let mut rows = statement.query((before as i64, head.offset as i64, -1)).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let row = LogRow::read(row).map_err(sqlite)?;
        digest = row.next_digest(&digest, products, &mut buffer);
        if digest != row.digest {
            return Err(StartError::Damaged { offset: row.offset, what: "its digest is wrong" });
        }
    }
    if digest != head.digest {
        let what = "its digest is not the one that the head notes";
        return Err(StartError::Damaged { offset: head.offset, what });
    }
    Ok(())
}

/// The digest of the row at `offset`; all zero if there is none, which matches nothing.
pub(super) fn digest_at(connection: &Connection, offset: u64) -> Result<Digest, rusqlite::Error> {
    if offset == 0 {
        return Ok(chain::genesis());
    }
    let digest = connection
        .query_row(include_str!("sql/digest_at.sql"), [offset as i64], |row| row.get(0))
        .optional()?;
    Ok(digest.unwrap_or_default())
}

pub(super) fn read_head(connection: &Connection) -> Result<Head, rusqlite::Error> {
    let head = connection
        .query_row(include_str!("sql/read_head.sql"), [], |row| {
            Ok(Head { offset: row.get::<_, i64>(0)? as u64, digest: row.get(1)? })
        })
        .optional()?;
    Ok(head.unwrap_or(Head { offset: 0, digest: chain::genesis() }))
}

pub(super) fn read_products(connection: &Connection) -> Result<Products, rusqlite::Error> {
    let mut products = Products::default();
    let mut statement = connection.prepare(include_str!("sql/read_products.sql"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        let name = ProductId::from_log_key(row.get_ref(1)?.as_str()?).map_err(unreadable(1))?;
        products.by_number.insert(number, name);
        products.numbers.insert(name, number);
    }
    Ok(products)
}

/// The error of a column whose text is none of the domain's identifiers.
fn unreadable(column: usize) -> impl FnOnce(InvalidId) -> rusqlite::Error {
    move |error| {
        let text = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, text, Box::new(error))
    }
}

/// A row of the log, whole.
pub(super) struct LogRow {
    pub offset: u64,
    pub product: i64,
    pub log_time_ms: u64,
    pub reverses: Option<u64>,
    pub kind: String,
    pub outcome: String,
    pub record: String,
    pub digest: Digest,
}

impl LogRow {
    /// Reads a row of `sql/read_log.sql`.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            offset: row.get::<_, i64>(0)? as u64,
            product: row.get(1)?,
            log_time_ms: row.get::<_, i64>(2)? as u64,
            reverses: row.get::<_, Option<i64>>(3)?.map(|offset| offset as u64),
            kind: row.get(4)?,
            outcome: row.get(5)?,
            record: row.get(6)?,
            // A digest of another length is a wrong one.
            digest: row.get_ref(7)?.as_blob()?.try_into().unwrap_or_default(),
        })
    }

    /// The digest that this row should carry.
    pub(super) fn next_digest(
        &self,
        before: &Digest,
        products: &Products,
        buffer: &mut Vec<u8>,
    ) -> Digest {
        let link = Link {
            offset: self.offset,
            log_time_ms: self.log_time_ms,
            product: products.by_number.get(&self.product).map_or("", ProductId::as_str),
            record: self.record.as_bytes(),
            outcome: &self.outcome,
        };
        chain::next(before, &link, buffer)
    }
}
