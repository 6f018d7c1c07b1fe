//! What is done beside the log, on a thread and a connection of its own: checkpoints, the index of
//! archived orders, the erasure of people.
//!
//! Checkpoints move committed pages from the WAL into the database file. A passive one disturbs nobody;
//! while records stream in it cannot catch up, so above [`WAL_PAGES_MAX`] one is done during the writer's
//! turn, after which the WAL starts over. Chores are done in pieces of [`CHORE_ROWS`] rows, each with its
//! progress in the same transaction, so a crash repeats at most one piece.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row};

use super::error::FatalError;
use super::store;
use crate::sale::{BuyerRef, OrderProposed, Record};

/// A passive checkpoint is done when about so many bytes of records have been written since the last one, or
/// when nothing was written for [`IDLE_CHECKPOINT_MS`]. It syncs, and the writer's own sync waits for the disk
/// meanwhile: seldom is better than often.
const CHECKPOINT_BYTES: usize = 256 << 20;
/// Above so many pages (of 4 KiB: 512 MiB) the WAL is made to start over. That syncs the database file and
/// holds the writer up, so it is put off until long after a crowd's first minute; in a lull the WAL starts
/// over by itself.
const WAL_PAGES_MAX: i64 = 131_072;
/// How long a checkpoint waits for readers while the writer waits for it, in milliseconds.
const READERS_WAIT_MS: u64 = 20;
/// Without signals: how often it is looked whether the writer is idle, in milliseconds.
const IDLE_CHECKPOINT_MS: u64 = 5_000;
/// When a chore that a reader was in the way of is tried again, in milliseconds.
const CHORE_RETRY_MS: u64 = 250;
/// Rows of the log that one piece of a chore looks at.
const CHORE_ROWS: u64 = 10_000;

/// The writer's way to tell of work.
pub(super) struct Signals {
    sender: Sender<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    unchecked_bytes: AtomicUsize,
    chores_due: AtomicBool,
}

impl Signals {
    /// A batch of about this size has been committed.
    pub(super) fn wrote(&self, bytes: usize) {
        let before = self.shared.unchecked_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before < CHECKPOINT_BYTES && before + bytes >= CHECKPOINT_BYTES {
            self.wake();
        }
    }

    /// A committed record asks for a chore.
    pub(super) fn chores_due(&self) {
        self.shared.chores_due.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        // A full channel is a wake-up that is already on its way.
        let _ = self.sender.try_send(());
    }
}

/// The upkeep thread and what it owns.
pub(super) struct Upkeep {
    dir: PathBuf,
    connection: Connection,
    wake: Receiver<()>,
    shared: Arc<Shared>,
    turn: Arc<Mutex<()>>,
}

impl Upkeep {
    /// `turn` is held by whoever writes.
    pub(super) fn new(
        dir: PathBuf,
        connection: Connection,
        turn: Arc<Mutex<()>>,
    ) -> (Self, Signals) {
        let (sender, wake) = bounded(1);
        let shared = Arc::new(Shared::default());
        // Chores of an earlier run may be open.
        shared.chores_due.store(true, Ordering::Release);
        let signals = Signals { sender, shared: Arc::clone(&shared) };
        (Self { dir, connection, wake, shared, turn }, signals)
    }

    /// Works until the writer has ended, then leaves an empty WAL.
    pub(super) fn run(self) -> Result<(), FatalError> {
        self.work().map_err(|source| FatalError::Upkeep { dir: self.dir.clone(), source })
    }

    fn work(&self) -> Result<(), rusqlite::Error> {
        let mut seen_bytes = 0;
        loop {
            if !self.do_chores()? {
                return self.leave();
            }
            let open = self.shared.chores_due.load(Ordering::Acquire);
            let wait_ms = if open { CHORE_RETRY_MS } else { IDLE_CHECKPOINT_MS };
            match self.wake.recv_timeout(Duration::from_millis(wait_ms)) {
                Ok(()) => self.checkpoint_if_written()?,
                Err(RecvTimeoutError::Timeout) => {
                    let unchecked_bytes = self.shared.unchecked_bytes.load(Ordering::Relaxed);
                    let idle = unchecked_bytes == seen_bytes;
                    seen_bytes = unchecked_bytes;
                    if idle {
                        self.checkpoint_if_written()?;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return self.leave(),
            }
        }
    }

    fn leave(&self) -> Result<(), rusqlite::Error> {
        let _turn = self.turn.lock();
        self.checkpoint("TRUNCATE").map(drop)
    }

    fn checkpoint_if_written(&self) -> Result<(), rusqlite::Error> {
        if self.shared.unchecked_bytes.swap(0, Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let wal_pages = self.checkpoint("PASSIVE")?.wal_pages;
        if wal_pages > WAL_PAGES_MAX {
            let _turn = self.turn.lock();
            self.checkpoint("RESTART")?;
        }
        Ok(())
    }

    /// Busy is no error: a reader holds old pages, the next checkpoint gets further.
    fn checkpoint(&self, mode: &str) -> Result<Checkpointed, rusqlite::Error> {
        self.connection.busy_timeout(Duration::from_millis(READERS_WAIT_MS))?;
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let done = self.connection.query_row(&sql, [], |row| {
            Ok(Checkpointed { busy: row.get(0)?, wal_pages: row.get(1)? })
        });
        self.connection.busy_timeout(Duration::from_millis(store::FOREIGN_LOCK_WAIT_MS))?;
        done
    }

    /// Does what is to do, oldest first. Returns false when it was interrupted by the writer's end; the
    /// rest is done after the next start.
    fn do_chores(&self) -> Result<bool, rusqlite::Error> {
        if !self.shared.chores_due.swap(false, Ordering::AcqRel) {
            return Ok(true);
        }
        while let Some(chore) = self.next_chore()? {
            if !self.do_piece(&chore)? {
                // Tried again with the next wake-up.
                self.shared.chores_due.store(true, Ordering::Release);
                return Ok(true);
            }
            match self.wake.try_recv() {
                Ok(()) => self.checkpoint_if_written()?,
                Err(crossbeam_channel::TryRecvError::Empty) => {}
                Err(crossbeam_channel::TryRecvError::Disconnected) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn next_chore(&self) -> Result<Option<Chore>, rusqlite::Error> {
        self.connection
            .prepare_cached(include_str!("sql/next_chore.sql"))?
            .query_row([], Chore::read)
            .optional()
    }

    /// Returns false if a reader is in the way.
    fn do_piece(&self, chore: &Chore) -> Result<bool, rusqlite::Error> {
        let end = chore.offset.min(chore.scanned_to + CHORE_ROWS);
        let last = end == chore.offset;
        // Reading needs no turn: these rows never change.
        let orders = self.orders_of(chore, end)?;
        let _turn = self.turn.lock();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for (offset, order) in &orders {
            self.do_order(chore, *offset, order)?;
        }
        self.note_progress(chore, end, last && !chore.erases())?;
        self.connection.execute_batch("COMMIT")?;
        self.shared.unchecked_bytes.fetch_add(CHORE_ROWS as usize, Ordering::Relaxed);
        if !(last && chore.erases()) {
            return Ok(true);
        }
        // The rows are overwritten in the newest pages; older copies of these are in the WAL until it is
        // truncated. Only then the person is forgotten.
        let truncated = !self.checkpoint("TRUNCATE")?.busy;
        if truncated {
            self.note_progress(chore, end, true)?;
        }
        Ok(truncated)
    }

    fn do_order(
        &self,
        chore: &Chore,
        offset: i64,
        order: &OrderProposed,
    ) -> Result<(), rusqlite::Error> {
        let connection = &self.connection;
        match &chore.work {
            Work::Archive { .. } => connection
                .prepare_cached(include_str!("sql/insert_archived.sql"))?
                .execute((order.order_id.as_bytes(), offset))?,
            Work::Erase { .. } => connection
                .prepare_cached(include_str!("sql/delete_subject.sql"))?
                .execute([offset])?,
        };
        Ok(())
    }

    fn note_progress(&self, chore: &Chore, end: u64, done: bool) -> Result<(), rusqlite::Error> {
        let progress = (chore.offset as i64, end as i64, done);
        self.connection.execute(include_str!("sql/set_chore.sql"), progress).map(drop)
    }

    /// The orders that a piece of a chore is about.
    fn orders_of(
        &self,
        chore: &Chore,
        end: u64,
    ) -> Result<Vec<(i64, OrderProposed)>, rusqlite::Error> {
        let mut found = Vec::new();
        let mut statement =
            self.connection.prepare_cached(include_str!("sql/confirmed_orders.sql"))?;
        let mut rows = statement.query((chore.scanned_to as i64, end as i64))?;
        while let Some(row) = rows.next()? {
            if let Some(order) = chore.concerns(row)? {
                found.push((row.get(0)?, order));
            }
        }
        Ok(found)
    }
}

struct Checkpointed {
    busy: bool,
    wal_pages: i64,
}

/// A row of the table `chores` that is not done.
struct Chore {
    offset: u64,
    scanned_to: u64,
    work: Work,
}

enum Work {
    /// Index the orders of this product.
    Archive { product: i64 },
    /// Delete the subjects of this buyer's orders, of all products.
    Erase { buyer: BuyerRef },
}

impl Chore {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let work = match Record::decode(row.get_ref(4)?.as_str()?.as_bytes()) {
            Ok(Record::SubjectErased { buyer, .. }) => Work::Erase { buyer },
            _ => Work::Archive { product: row.get(3)? },
        };
        Ok(Self {
            offset: row.get::<_, i64>(0)? as u64,
            scanned_to: row.get::<_, i64>(2)? as u64,
            work,
        })
    }

    fn erases(&self) -> bool {
        matches!(self.work, Work::Erase { .. })
    }

    /// The order of a row of `sql/confirmed_orders.sql`, if the chore is about it.
    fn concerns(&self, row: &Row<'_>) -> Result<Option<OrderProposed>, rusqlite::Error> {
        if let Work::Archive { product } = self.work
            && row.get::<_, i64>(1)? != product
        {
            return Ok(None);
        }
        let Ok(Record::OrderProposed(order)) = Record::decode(row.get_ref(2)?.as_str()?.as_bytes())
        else {
            return Ok(None);
        };
        Ok(match &self.work {
            Work::Erase { buyer } if order.buyer != *buyer => None,
            _ => Some(order),
        })
    }
}
