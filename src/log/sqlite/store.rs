//! The data directory and its SQLite file: the lock, the connections, the errors.
//!
//! Files: `flux-gate.lock` (held exclusively by the one process that writes), `flux-gate.db` and
//! SQLite's `-wal` and `-shm` beside it. The file holds user ids, so a directory that is made here is
//! readable by its owner alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::StartError;

/// The store's file in the data directory.
pub const STORE_FILE: &str = "flux-gate.db";
const LOCK_FILE: &str = "flux-gate.lock";

/// How long a statement waits for a lock of another program, such as the `sqlite3` shell, in
/// milliseconds. Our own threads take turns and do not wait here.
pub(super) const FOREIGN_LOCK_WAIT_MS: u64 = 30_000;

/// The directory's exclusive lock; given back when dropped, also by a crash.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Makes the directory if there is none, and takes its lock.
    pub(super) fn take(dir: &Path) -> Result<Self, StartError> {
        make_dir(dir).map_err(|source| StartError::Directory { dir: dir.into(), source })?;
        Self::take_file(dir)
    }

    fn take_file(dir: &Path) -> Result<Self, StartError> {
        let directory = |source| StartError::Directory { dir: dir.into(), source };
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(directory)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(dir, &mut file)),
            Err(TryLockError::Error(source)) => return Err(directory(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(directory)?;
        // Only for people: the lock is the file lock, not this number.
        write!(file, "{}", std::process::id()).map_err(directory)?;
        Ok(Self { _file: file })
    }
}

fn in_use(dir: &Path, file: &mut File) -> StartError {
    let mut text = String::new();
    let process = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    StartError::InUse { dir: dir.into(), process }
}

fn make_dir(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    // The new name must survive a power cut as the store's content does.
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Where the store of a data directory is.
pub fn store_file(dir: &Path) -> PathBuf {
    dir.join(STORE_FILE)
}

/// A connection that may write.
pub(super) fn open_writable(dir: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store_file(dir), flags)?;
    connection.busy_timeout(Duration::from_millis(FOREIGN_LOCK_WAIT_MS))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        // Where the file system cannot do it, SQLite stays in its old mode without an error.
        if mode == "wal" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
    })?;
    // A commit returns when its bytes are on the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The upkeep thread checkpoints, so that no commit ever does.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // What is deleted is overwritten: an erased person's id does not linger in free pages.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// A connection that only reads; works beside a running server and on a copy.
pub(super) fn open_read_only(dir: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store_file(dir), flags)?;
    connection.busy_timeout(Duration::from_millis(FOREIGN_LOCK_WAIT_MS))?;
    Ok(connection)
}
