//! `audit verify`: the whole log is read again, independently of what the running server remembers.
//!
//! Checked, row by row: no gap; the digest chain; the outcome by the rules; the kind and the reversed
//! order that are stored beside the record; then the head that the last batch noted, and that every
//! subject belongs to an order. It reads in short transactions, so it works beside a running server
//! without holding up its upkeep, up to the end that the log had when it began.
//!
//! The chain shows any change to whoever knows an earlier digest; someone who may write the file could
//! compute it anew from the changed row on. So the report names the last digest: note it somewhere else,
//! and give it to a later run ([`Verify::known`]).

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;

use super::error::StartError;
use super::replay::{self, Head, LogRow, Products};
use super::{migrations, store};
use crate::chain::{self, Digest};
use crate::sale::{Book, LogEntry, Outcome, Record};

/// Rows that are read in one transaction.
const CHUNK_ROWS: i64 = 10_000;
/// Findings that a report holds; the rest is only counted.
const FINDINGS_MAX: usize = 100;

/// What to verify against.
#[derive(Debug, Clone, Default)]
pub struct Verify {
    /// Offsets and digests (hex) that were noted from earlier reports.
    pub known: Vec<(u64, String)>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rows that were read.
    pub rows: u64,
    /// The last offset.
    pub last_offset: u64,
    /// The digest of the last row, hex.
    pub last_digest: String,
    /// What is wrong, the first ones in log order.
    pub findings: Vec<Finding>,
    /// How many things are wrong in all.
    pub findings_count: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings_count == 0
    }
}

/// Something that is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: {what}")]
pub struct Finding {
    /// Where.
    pub offset: u64,
    /// What.
    pub what: What,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// Rows from here up to the next are missing.
    #[error("{0} rows are missing")]
    Missing(u64),
    /// The row, or one before it, is not what was written.
    #[error("the digest does not follow from the row and the one before it")]
    Digest,
    /// The record is none that this program knows.
    #[error("the record cannot be read: {0}")]
    Undecodable(String),
    /// The rules come to another outcome.
    #[error("stored as {stored}, comes to {computed}")]
    Outcome {
        /// In the log.
        stored: String,
        /// By the rules.
        computed: &'static str,
    },
    /// The log time, the kind or the reversed order beside the record is not that of the record.
    #[error("the column {0} is not what the record says")]
    Column(&'static str),
    /// The last row is not the one that the head notes: rows were cut off, or added by something else.
    #[error("the log ends here, but its head notes offset {0}")]
    Head(u64),
    /// The digest is not the one that was noted earlier.
    #[error("the digest is not the one that was noted")]
    Known,
    /// A subject's row belongs to no confirmed order.
    #[error("a subject without an order")]
    Subject,
}

/// Verifies the store in `dir`. `progress` is told rows done and rows in all, now and then.
///
/// # Errors
/// The store cannot be read, or its schema is not this program's. What is wrong with its content is in
/// the report.
pub fn verify(
    dir: &Path,
    against: &Verify,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, StartError> {
    let sqlite = |source| StartError::Sqlite { dir: dir.into(), source };
    let connection = store::open_read_only(dir).map_err(sqlite)?;
    if !migrations::is_current(dir, &connection)? {
        return Err(StartError::OlderSchema { dir: dir.into() });
    }
    let mut verifier = Verifier::begin(&connection, against).map_err(sqlite)?;
    verifier.read_all(&connection, progress).map_err(sqlite)?;
    verifier.check_subjects(&connection).map_err(sqlite)?;
    Ok(verifier.report())
}

struct Verifier {
    /// Digests that were noted, by offset.
    known: HashMap<u64, Vec<String>>,
    /// As it was at the start.
    head: Head,
    /// The last offset of the table, which is the head's if all is well.
    end: i64,
    products: Products,
    book: Book,
    last: u64,
    digest: Digest,
    rows: u64,
    findings: Vec<Finding>,
    findings_count: u64,
    buffer: Vec<u8>,
}

impl Verifier {
    fn begin(connection: &Connection, against: &Verify) -> Result<Self, rusqlite::Error> {
        // One transaction: the head and the last row must be of the same moment.
        let transaction = connection.unchecked_transaction()?;
        let head = replay::read_head(connection)?;
        let end =
            connection.query_row(include_str!("sql/last_offset.sql"), [], |row| row.get(0))?;
        let products = replay::read_products(connection)?;
        transaction.finish()?;
        let mut known: HashMap<u64, Vec<String>> = HashMap::new();
        for (offset, digest) in &against.known {
            known.entry(*offset).or_default().push(digest.to_ascii_lowercase());
        }
        Ok(Self {
            known,
            head,
            end,
            products,
            book: Book::default(),
            last: 0,
            digest: chain::genesis(),
            rows: 0,
            findings: Vec::new(),
            findings_count: 0,
            buffer: Vec::new(),
        })
    }

    fn found(&mut self, offset: u64, what: What) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { offset, what });
        }
    }

    fn read_all(
        &mut self,
        connection: &Connection,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), rusqlite::Error> {
        let mut statement = connection.prepare(include_str!("sql/read_log.sql"))?;
        let mut from = i64::MIN;
        while from < self.end {
            let mut rows = statement.query((from, self.end, CHUNK_ROWS))?;
            // Should the table have shrunk meanwhile, there is nothing more to read.
            let mut to = self.end;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let row = LogRow::read(row)?;
                count += 1;
                if count == CHUNK_ROWS {
                    to = row.offset as i64;
                }
                self.check_row(&row);
            }
            progress(self.rows, self.head.offset);
            from = to;
        }
        if self.last != self.head.offset || self.digest != self.head.digest {
            self.found(self.last, What::Head(self.head.offset));
        }
        let mut beyond: Vec<u64> =
            self.known.keys().copied().filter(|offset| *offset > self.last).collect();
        beyond.sort_unstable();
        beyond.into_iter().for_each(|offset| self.found(offset, What::Known));
        Ok(())
    }

    fn check_row(&mut self, row: &LogRow) {
        let offset = row.offset;
        self.rows += 1;
        if offset as i64 <= 0 {
            return self.found(offset, What::Column("offset"));
        }
        if offset != self.last + 1 {
            self.found(self.last + 1, What::Missing(offset - self.last - 1));
        }
        let computed = row.next_digest(&self.digest, &self.products, &mut self.buffer);
        if computed != row.digest {
            self.found(offset, What::Digest);
        }
        if let Some(noted) = self.known.get(&offset) {
            let digest = hex::encode(row.digest);
            if noted.iter().any(|noted| *noted != digest) {
                self.found(offset, What::Known);
            }
        }
        // On from the stored digest, so that one altered row is one finding and not a thousand.
        self.digest = row.digest;
        self.last = offset;
        match Record::decode(row.record.as_bytes()) {
            Ok(record) => self.check_record(row, record),
            Err(error) => self.found(offset, What::Undecodable(error.to_string())),
        }
    }

    fn check_record(&mut self, row: &LogRow, record: Record) {
        let offset = row.offset;
        let Some(&product) = self.products.by_number.get(&row.product) else {
            return self.found(offset, What::Column("product"));
        };
        let entry = LogEntry { offset, appended_at_ms: row.log_time_ms, product, record };
        let outcome = self.book.apply(&entry);
        if outcome.name() != row.outcome {
            let (stored, computed) = (row.outcome.clone(), outcome.name());
            self.found(offset, What::Outcome { stored, computed });
        }
        if entry.record.kind() != row.kind {
            self.found(offset, What::Column("kind"));
        }
        if self.reversed_by(&entry, &outcome) != row.reverses {
            self.found(offset, What::Column("reverses"));
        }
        let log_time = self.book.log_time_ms(&product);
        if log_time.is_some_and(|time| time != row.log_time_ms) {
            self.found(offset, What::Column("log_time_ms"));
        }
    }

    fn reversed_by(&self, entry: &LogEntry, outcome: &Outcome) -> Option<u64> {
        let Record::OrderReversed { order_id, .. } = &entry.record else { return None };
        let state = self.book.get(&entry.product).filter(|_| *outcome == Outcome::Applied)?;
        state.order(order_id).map(|order| order.offset)
    }

    fn check_subjects(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let mut statement = connection.prepare(include_str!("sql/stray_subjects.sql"))?;
        let mut from = i64::MIN;
        loop {
            let mut rows = statement.query((from, CHUNK_ROWS))?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                from = row.get(0)?;
                count += 1;
                if row.get(1)? {
                    self.found(from as u64, What::Subject);
                }
            }
            if count < CHUNK_ROWS {
                return Ok(());
            }
        }
    }

    fn report(self) -> Report {
        Report {
            rows: self.rows,
            last_offset: self.last,
            last_digest: hex::encode(self.digest),
            findings: self.findings,
            findings_count: self.findings_count,
        }
    }
}
