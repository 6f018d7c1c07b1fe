//! Those who read the file: on the runtime's blocking threads, a few at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::evidence::EvidenceError;

/// Reads at once.
const READERS_MAX: usize = 2;
/// Reads that wait or run; a further one is [`EvidenceError::Busy`].
const WAITING_MAX: usize = 64;
/// How long a read waits for SQLite's short internal locks.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Readers {
    file: PathBuf,
    /// Which file it is: another one may have taken its name.
    files: Arc<AtomicU64>,
    idle: Mutex<Vec<(u64, Connection)>>,
    permits: Semaphore,
    waiting: AtomicUsize,
}

impl Readers {
    pub(super) fn new(file: PathBuf, files: Arc<AtomicU64>) -> Self {
        Self {
            file,
            files,
            idle: Mutex::default(),
            permits: Semaphore::new(READERS_MAX),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Runs a read on a blocking thread with a connection of its own.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, EvidenceError> + Send + 'static,
    ) -> Result<T, EvidenceError> {
        let _place = Place::take(self)?;
        let _permit = self.permits.acquire().await.map_err(|_| EvidenceError::CutOff)?;
        let readers = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let (files, connection) = readers.connection()?;
            let answer = read(&connection);
            // After an error the connection is not trusted again.
            if answer.is_ok() {
                readers.idle.lock().push((files, connection));
            }
            answer
        });
        done.await.map_err(|_| EvidenceError::CutOff)?
    }

    fn connection(&self) -> Result<(u64, Connection), EvidenceError> {
        let files = self.files.load(Ordering::Acquire);
        let mut idle = self.idle.lock();
        idle.retain(|(of, _)| *of == files);
        if let Some(known) = idle.pop() {
            return Ok(known);
        }
        drop(idle);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.file, flags)?;
        connection.busy_timeout(LOCK_WAIT)?;
        Ok((files, connection))
    }
}

/// A place among those that wait or read.
struct Place<'r>(&'r Readers);

impl<'r> Place<'r> {
    fn take(readers: &'r Readers) -> Result<Self, EvidenceError> {
        let place = Self(readers);
        if readers.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            return Err(EvidenceError::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
