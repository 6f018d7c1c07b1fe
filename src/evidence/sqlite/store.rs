//! The file, as the thread that writes has it.
//!
//! What is deleted is overwritten in the file, and the write-ahead log is cut to nothing afterwards: a mark that is gone
//! is in no file. A file that is no database of ours is put aside under another name, for as long as its rows could have
//! stood, and a new one is begun.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::int;
use crate::clock::Clock;
use crate::config::evidence::Evidence as Settings;
use crate::evidence::writer::{NotWritten, Sink};
use crate::evidence::{EvidenceError, Mark, MinuteCount, Sighting};
use crate::sale::{BuyerRef, ProductId};

/// The file in the data directory.
pub const EVIDENCE_FILE: &str = "evidence.db";
/// What a file that could not be read is called: this, the time in Unix milliseconds, `.db`.
const ASIDE: &str = "evidence-unreadable-";
/// What SQLite keeps beside it.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// The schema's version.
const VERSION: i64 = 1;
/// Rows that are deleted in one transaction.
const PIECE_ROWS: u64 = 20_000;
/// Gives freed pages back, at most 40 MiB at once.
const VACUUM: &str = "PRAGMA incremental_vacuum(10000)";
/// How long a write waits for somebody else's lock, such as the `sqlite3` shell's, and how long readers are waited for
/// to cut the write-ahead log.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const READERS_WAIT: Duration = Duration::from_millis(100);
/// How often it is tried to cut the write-ahead log after an erasure; afterwards it is tried each minute.
const CUT_TRIES: u32 = 20;

/// See the module.
pub(in crate::evidence) struct Store {
    dir: PathBuf,
    settings: Settings,
    clock: Clock,
    connection: Option<Connection>,
    /// Rows in the file.
    rows: u64,
    /// Whether deleted rows may still be in the write-ahead log.
    uncut: bool,
    /// Counts the files that were begun, so that nobody reads an old one.
    files: Arc<AtomicU64>,
}

impl Store {
    /// Opens or begins the file. One that cannot be opened now is tried again with each write.
    pub(super) fn open(dir: &Path, settings: Settings, clock: Clock) -> Self {
        let mut store = Self {
            dir: dir.into(),
            settings,
            clock,
            connection: None,
            rows: 0,
            // The last run may have ended before it was cut.
            uncut: true,
            files: Arc::default(),
        };
        if let Err(error) = store.connect() {
            tracing::warn!(%error, "the evidence cannot be opened; selling goes on without it");
        }
        store
    }

    /// The number of files that were begun.
    pub(super) fn files(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.files)
    }

    fn file(&self) -> PathBuf {
        self.dir.join(EVIDENCE_FILE)
    }

    fn connect(&mut self) -> Result<&mut Connection, rusqlite::Error> {
        if self.connection.is_none() {
            let opened = match open(&self.file()) {
                Err(error) if is_unreadable(&error) => {
                    self.put_aside(&error);
                    open(&self.file())
                }
                opened => opened,
            };
            let (connection, rows) = opened?;
            self.rows = rows;
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or(rusqlite::Error::InvalidQuery)
    }

    /// Gives the file another name. Of several the newest alone is kept, and that no longer than its rows might.
    fn put_aside(&mut self, why: &rusqlite::Error) {
        self.connection = None;
        self.files.fetch_add(1, Ordering::Release);
        self.remove_aside(u64::MAX);
        let (file, aside) =
            (self.file(), self.dir.join(format!("{ASIDE}{}.db", self.clock.unix_ms())));
        for end in BESIDE {
            // Pages that were not in the file yet; without it nobody can make anything of them.
            let _ = fs::remove_file(with(&file, end));
        }
        match fs::rename(&file, &aside) {
            Ok(()) => {
                let aside = aside.display();
                tracing::error!(%why, %aside, "the evidence could not be read; it is put aside, a new file is begun");
            }
            Err(error) => {
                tracing::error!(%why, %error, "the evidence could not be read, nor put aside");
            }
        }
    }

    /// Removes files that were put aside before this time.
    fn remove_aside(&self, before_ms: u64) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let at_ms = name.to_str().and_then(|name| {
                name.strip_prefix(ASIDE)?.strip_suffix(".db")?.parse::<u64>().ok()
            });
            if at_ms.is_some_and(|at_ms| at_ms < before_ms)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(%error, "a file of evidence that was put aside cannot be removed");
            }
        }
    }

    /// Does something with the connection. A file that turns out to be damaged is put aside.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        let done = work(self.connect()?);
        match &done {
            Err(error) if is_damaged(error) => self.put_aside(error),
            // Whatever it was, a connection of which nobody knows how it stands is not gone on with.
            Err(_) => self.connection = None,
            Ok(_) => {}
        }
        done
    }

    /// Deletes all rows before this time; returns how many.
    pub(super) fn forget_before(&mut self, at_ms: u64) -> Result<u64, EvidenceError> {
        let mut gone = 0;
        loop {
            let piece = self.delete_old(at_ms, PIECE_ROWS)?;
            gone += piece;
            if piece < PIECE_ROWS {
                break;
            }
        }
        self.with(|connection| {
            connection.execute(include_str!("sql/delete_old_minutes.sql"), [int(at_ms)])
        })?;
        self.remove_aside(at_ms);
        self.cut_soon()?;
        Ok(gone)
    }

    /// Deletes a person's rows; returns how many. What was put aside goes as well: nobody can look into it.
    pub(super) fn forget_buyer(&mut self, buyer: BuyerRef) -> Result<u64, EvidenceError> {
        let gone = self.with(|connection| {
            connection.execute(include_str!("sql/delete_buyer.sql"), [buyer.as_bytes()])
        })? as u64;
        self.rows = self.rows.saturating_sub(gone);
        self.remove_aside(u64::MAX);
        self.uncut = true;
        self.cut_soon()?;
        Ok(gone)
    }

    fn delete_old(&mut self, before_ms: u64, rows_max: u64) -> Result<u64, rusqlite::Error> {
        let gone = self.with(|connection| {
            let mut delete = connection.prepare_cached(include_str!("sql/delete_old.sql"))?;
            delete.execute((int(before_ms), int(rows_max)))
        })? as u64;
        self.rows = self.rows.saturating_sub(gone);
        self.uncut |= gone > 0;
        Ok(gone)
    }

    /// Cuts the write-ahead log, waiting a little for readers. If they do not end, it is done later.
    fn cut_soon(&mut self) -> Result<(), rusqlite::Error> {
        for _ in 0..CUT_TRIES {
            if !self.uncut || self.cut()? {
                return Ok(());
            }
        }
        tracing::warn!(
            "readers hold deleted evidence in the write-ahead log; it is cut within a minute or so"
        );
        Ok(())
    }

    /// Gives freed pages back and cuts the write-ahead log; says whether no reader was in the way.
    fn cut(&mut self) -> Result<bool, rusqlite::Error> {
        let done = self.with(|connection| {
            let mut vacuum = connection.prepare_cached(VACUUM)?;
            let mut pages = vacuum.query([])?;
            // Each step gives one page back.
            while pages.next()?.is_some() {}
            drop(pages);
            drop(vacuum);
            connection.busy_timeout(READERS_WAIT)?;
            let busy: bool =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            connection.busy_timeout(LOCK_WAIT)?;
            Ok(!busy)
        })?;
        self.uncut = !done;
        Ok(done)
    }

    /// A piece of what is due; says whether there is more.
    fn house(&mut self, now_ms: u64) -> Result<bool, rusqlite::Error> {
        let before_ms = now_ms.saturating_sub(self.settings.retention_ms());
        if self.delete_old(before_ms, PIECE_ROWS)? == PIECE_ROWS {
            return Ok(true);
        }
        let excess = self.rows.saturating_sub(self.settings.rows_max);
        if excess > 0 {
            let piece = self.delete_old(u64::MAX, excess.min(PIECE_ROWS))?;
            if piece == PIECE_ROWS {
                return Ok(true);
            }
        }
        self.with(|connection| {
            connection.execute(include_str!("sql/delete_old_minutes.sql"), [int(before_ms)])
        })?;
        self.remove_aside(before_ms);
        if self.uncut {
            self.cut()?;
        }
        Ok(false)
    }
}

impl Sink for Store {
    const COUNTS_EVERY_US: u64 = 1_000_000;

    fn write(&mut self, rows: &[Sighting], counts: &[MinuteCount]) -> Result<(), NotWritten> {
        self.with(|connection| write(connection, rows, counts))
            .map_err(|error| NotWritten::Yet(error.to_string()))?;
        self.rows += rows.len() as u64;
        Ok(())
    }

    fn keep_house(&mut self, now_ms: u64) -> bool {
        self.house(now_ms).unwrap_or_else(|error| {
            tracing::warn!(%error, "old evidence could not be deleted; it is tried again in a minute");
            false
        })
    }
}

fn write(
    connection: &mut Connection,
    rows: &[Sighting],
    counts: &[MinuteCount],
) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached(include_str!("sql/insert_sighting.sql"))?;
        for row in rows {
            insert.execute((
                int(row.at_ms),
                row.what.word(),
                row.weight,
                row.product.as_ref().map(ProductId::as_str),
                row.order_id.as_ref().map(crate::sale::OrderId::as_bytes),
                row.buyer.as_ref().map(BuyerRef::as_bytes),
                row.series.map(|series| series.stem.0 as i64),
                row.series.map(|series| series.number as i64),
                row.address.0 as i64,
                row.network.0 as i64,
                row.fingerprint.map(|Mark(mark)| mark as i64),
            ))?;
        }
        let mut add = transaction.prepare_cached(include_str!("sql/add_count.sql"))?;
        for count in counts {
            let product = count.product.as_ref().map_or("", ProductId::as_str);
            add.execute((int(count.minute_ms), product, count.what.word(), int(count.count)))?;
        }
    }
    transaction.commit()
}

/// The connection and how many rows there are.
fn open(file: &Path) -> Result<(Connection, u64), rusqlite::Error> {
    make_private(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    // Heeded as long as there are no tables.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        if mode == "wal" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
    })?;
    // A crash of the machine may cost the last moments; it does not damage the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => connection.execute_batch(&format!("BEGIN; {} COMMIT;", include_str!("schema.sql")))?,
        VERSION => {}
        _ => return Err(rusqlite::Error::InvalidQuery),
    }
    let count = "SELECT count(*) FROM sightings";
    let rows: i64 = connection.query_row(count, [], |row| row.get(0))?;
    Ok((connection, rows.max(0) as u64))
}

/// Makes the file readable by its owner alone; SQLite gives those beside it the same rights.
fn make_private(file: &Path) {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // If it is there already it has its rights; if it cannot be made, SQLite says so.
    let _ = options.open(file);
}

fn with(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Whether a file that cannot be opened is one that never will be: everything but what the machine lacks for now.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::OutOfMemory
                | ErrorCode::SystemIoFailure
        )
    )
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
