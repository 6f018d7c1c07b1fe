//! The one thread that writes: drains the queue, decides, commits, publishes.
//!
//! Invariants:
//! - a batch is one transaction, and is published (applied state, observer, decisions) only after its
//!   commit has returned, which with `synchronous=FULL` is after its fsync;
//! - offset = last + 1; a conflict is a write error like any other;
//! - after an error nothing more is written.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;
use rusqlite::{Connection, Statement};

use super::error::FatalError;
use super::replay::{Head, Products};
use super::upkeep;
use crate::chain::{self, Link};
use crate::clock::Clock;
use crate::log::delivery::{Ports, Ticket};
use crate::log::{Append, Applied, Decided, Queued};
use crate::receipt::{Claim, Issuer};
use crate::sale::{Book, LogEntry, OperatorName, Outcome, ProductId, Record, UserId};

/// How often an idle log says that its end has been seen, in milliseconds.
const IDLE_TICK_MS: u64 = 100;

/// So many records in one batch are a crowd: more are on their way.
const CROWD_RECORDS: usize = 4;
/// In a crowd, batches begin at least so far apart, in microseconds: a commit costs its sync and at least four
/// pages of 4 KiB whatever it holds, so few large ones leave more of disk and processor to everybody. (The
/// idea of PostgreSQL's `commit_delay` and `commit_siblings`.)
const BATCH_SPACING_US: u64 = 2_000;

/// What the writer's queue holds.
#[expect(clippy::large_enum_variant, reason = "all but the last message are records")]
pub(super) enum Message {
    /// A record.
    Append(Queued),
    /// Ends the writer after the records before it.
    Stop,
}

/// The writer's thread and what it owns.
pub(super) struct Writer {
    pub dir: PathBuf,
    pub connection: Connection,
    pub queue: Receiver<Message>,
    pub clock: Clock,
    /// Runs ahead of `applied` by the batch that is being committed.
    pub book: Book,
    pub applied: Arc<Applied>,
    pub ports: Ports,
    pub head: Head,
    /// The head as of the last published batch.
    pub published: Arc<Mutex<Head>>,
    pub receipts: Option<Arc<Issuer>>,
    pub products: Products,
    pub batch_records_max: usize,
    pub upkeep: upkeep::Signals,
    /// Held during a transaction by whoever writes.
    pub turn: Arc<Mutex<()>>,
    /// Set when another thread of the log has failed.
    pub failed: Arc<AtomicBool>,
}

/// One batch on its way. Parallel vectors: what is applied is a slice of entries.
#[derive(Default)]
struct Batch {
    entries: Vec<LogEntry>,
    subjects: Vec<Option<UserId>>,
    by: Vec<Option<OperatorName>>,
    tickets: Vec<Ticket>,
    decided: Vec<Decided>,
    digests: Vec<chain::Digest>,
    chores: bool,
}

impl Writer {
    /// Writes until it is told to stop. Queued records before the stop are still written.
    pub(super) fn run(mut self) -> Result<(), FatalError> {
        let mut batch = Batch::default();
        loop {
            let going_on = self.fill(&mut batch);
            let begun_us = self.clock.monotonic_us();
            let crowd = batch.entries.len() >= CROWD_RECORDS;
            if self.failed.load(Ordering::Acquire) {
                return Ok(());
            }
            if !batch.entries.is_empty() {
                self.commit(&mut batch)?;
                self.publish(&mut batch)?;
            }
            self.applied.mark_end_seen(self.clock.monotonic_us());
            if !going_on {
                return Ok(());
            }
            if crowd {
                self.wait_for_company(begun_us);
            }
        }
    }

    /// Lets records gather until a batch has its time.
    fn wait_for_company(&self, begun_us: u64) {
        let passed_us = self.clock.monotonic_us().saturating_sub(begun_us);
        if let Some(left_us) = BATCH_SPACING_US.checked_sub(passed_us) {
            std::thread::sleep(Duration::from_micros(left_us));
        }
    }

    /// Takes what is there, waiting for the first record up to a tick. Returns whether to go on.
    fn fill(&self, batch: &mut Batch) -> bool {
        let mut offset = self.head.offset;
        let mut message = match self.queue.recv_timeout(Duration::from_millis(IDLE_TICK_MS)) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let appended_at_ms = self.clock.unix_ms();
        loop {
            let Message::Append(Queued { append, ticket }) = message else { return false };
            let Append { product, record, subject, by } = append;
            offset += 1;
            batch.entries.push(LogEntry { offset, appended_at_ms, product, record });
            batch.subjects.push(subject);
            batch.by.push(by);
            batch.tickets.push(ticket);
            if batch.entries.len() >= self.batch_records_max {
                return true;
            }
            match self.queue.try_recv() {
                Ok(next) => message = next,
                Err(_) => return true,
            }
        }
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), FatalError> {
        let turn = Arc::clone(&self.turn);
        let _turn = turn.lock();
        self.write(batch).map_err(|source| FatalError::Write { dir: self.dir.clone(), source })
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), rusqlite::Error> {
        // `IMMEDIATE`: nobody else may write between our look at the head and our commit.
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut statements = Statements::prepare(&self.connection)?;
        let mut decider = Decider {
            book: &mut self.book,
            products: &mut self.products,
            head: &mut self.head,
            encoded: Vec::with_capacity(512),
            digested: Vec::with_capacity(512),
            written_bytes: 0,
        };
        for ((entry, subject), by) in batch.entries.iter().zip(&batch.subjects).zip(&batch.by) {
            let decided = decider.decide(&mut statements, entry, subject.as_ref(), *by)?;
            batch.chores |= asks_for_chore(&entry.record, &decided.outcome).is_some();
            batch.decided.push(decided);
            batch.digests.push(decider.head.digest);
        }
        let written_bytes = decider.written_bytes;
        statements.head.execute((self.head.offset as i64, &self.head.digest))?;
        drop(statements);
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.upkeep.wrote(written_bytes);
        Ok(())
    }

    /// The batch is durable: applies it to what readers see, then hands out its decisions.
    fn publish(&self, batch: &mut Batch) -> Result<(), FatalError> {
        let outcomes = self.applied.apply_batch(&batch.entries);
        for (outcome, decided) in outcomes.iter().zip(&batch.decided) {
            if *outcome != decided.outcome {
                return Err(FatalError::Diverged { offset: decided.offset });
            }
        }
        *self.published.lock() = self.head;
        self.applied.mark_end_seen(self.clock.monotonic_us());
        if let Some(receipts) = &self.receipts {
            receipts.seal(batch.confirmed());
        }
        self.ports.deliver(batch.tickets.drain(..).zip(batch.decided.drain(..)));
        if std::mem::take(&mut batch.chores) {
            self.upkeep.chores_due();
        }
        batch.entries.clear();
        batch.subjects.clear();
        batch.by.clear();
        batch.digests.clear();
        Ok(())
    }
}

impl Batch {
    /// What receipts say of its confirmed orders.
    fn confirmed(&self) -> impl Iterator<Item = Claim> {
        let rows = self.entries.iter().zip(&self.decided).zip(&self.digests);
        rows.filter_map(|((entry, decided), digest)| match &entry.record {
            Record::OrderProposed(proposal) if decided.outcome == Outcome::Confirmed => {
                Some(Claim {
                    product: entry.product,
                    order_id: proposal.order_id,
                    offset: decided.offset,
                    log_time_ms: decided.log_time_ms,
                    digest: *digest,
                })
            }
            _ => None,
        })
    }
}

/// The work that a record asks for beside the log, as in the table `chores`.
fn asks_for_chore(record: &Record, outcome: &Outcome) -> Option<&'static str> {
    match (record, outcome) {
        (Record::SaleArchived { .. }, Outcome::Applied) => Some("archive"),
        (Record::SubjectErased { .. }, Outcome::Applied) => Some("erase"),
        _ => None,
    }
}

/// The statements of a batch; SQLite keeps them prepared between batches.
struct Statements<'c> {
    connection: &'c Connection,
    log: rusqlite::CachedStatement<'c>,
    subject: rusqlite::CachedStatement<'c>,
    head: rusqlite::CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            connection,
            log: connection.prepare_cached(include_str!("sql/insert_log.sql"))?,
            subject: connection.prepare_cached(include_str!("sql/insert_subject.sql"))?,
            head: connection.prepare_cached(include_str!("sql/set_head.sql"))?,
        })
    }
}

/// Applies the records of a batch to the writer's own book and writes their rows.
struct Decider<'w> {
    book: &'w mut Book,
    products: &'w mut Products,
    head: &'w mut Head,
    encoded: Vec<u8>,
    digested: Vec<u8>,
    written_bytes: usize,
}

impl Decider<'_> {
    fn decide(
        &mut self,
        statements: &mut Statements<'_>,
        entry: &LogEntry,
        subject: Option<&UserId>,
        by: Option<OperatorName>,
    ) -> Result<Decided, rusqlite::Error> {
        let outcome = self.book.apply(entry);
        let log_time_ms = self.book.log_time_ms(&entry.product).unwrap_or(entry.appended_at_ms);
        let number = self.product_number(statements.connection, entry.product)?;
        self.encoded.clear();
        entry.record.encode_into(by, &mut self.encoded);
        let record = std::str::from_utf8(&self.encoded).expect("JSON is UTF-8");
        let link = Link {
            offset: entry.offset,
            log_time_ms,
            product: entry.product.as_str(),
            record: &self.encoded,
            outcome: outcome.name(),
        };
        let digest = chain::next(&self.head.digest, &link, &mut self.digested);
        let reverses = self.reverses(entry, &outcome);
        bind_log(
            &mut statements.log,
            &link,
            number,
            reverses,
            entry.record.kind(),
            record,
            &digest,
        )?;
        statements.log.raw_execute()?;
        if let (Outcome::Confirmed, Some(user)) = (&outcome, subject) {
            statements.subject.execute((entry.offset as i64, user.as_str()))?;
        }
        if let Some(kind) = asks_for_chore(&entry.record, &outcome) {
            let sql = include_str!("sql/insert_chore.sql");
            statements.connection.execute(sql, (entry.offset as i64, kind))?;
        }
        *self.head = Head { offset: entry.offset, digest };
        self.written_bytes += self.digested.len() + 100;
        Ok(Decided { outcome, offset: entry.offset, log_time_ms })
    }

    /// For an applied reversal: the offset of the order that it took back.
    fn reverses(&self, entry: &LogEntry, outcome: &Outcome) -> Option<i64> {
        match (&entry.record, outcome) {
            (Record::OrderReversed { order_id, .. }, Outcome::Applied) => {
                self.book.get(&entry.product)?.order(order_id).map(|order| order.offset as i64)
            }
            _ => None,
        }
    }

    fn product_number(
        &mut self,
        connection: &Connection,
        product: ProductId,
    ) -> Result<i64, rusqlite::Error> {
        if let Some(number) = self.products.numbers.get(&product) {
            return Ok(*number);
        }
        let number = self.products.numbers.len() as i64 + 1;
        connection.execute(include_str!("sql/insert_product.sql"), (number, product.as_str()))?;
        self.products.numbers.insert(product, number);
        self.products.by_number.insert(number, product);
        Ok(number)
    }
}

fn bind_log(
    statement: &mut Statement<'_>,
    link: &Link<'_>,
    number: i64,
    reverses: Option<i64>,
    kind: &str,
    record: &str,
    digest: &chain::Digest,
) -> Result<(), rusqlite::Error> {
    statement.raw_bind_parameter(1, link.offset as i64)?;
    statement.raw_bind_parameter(2, number)?;
    statement.raw_bind_parameter(3, link.log_time_ms as i64)?;
    statement.raw_bind_parameter(4, reverses)?;
    statement.raw_bind_parameter(5, kind)?;
    statement.raw_bind_parameter(6, link.outcome)?;
    statement.raw_bind_parameter(7, record)?;
    statement.raw_bind_parameter(8, digest)
}
