//! Reads of a SQLite file: on the runtime's blocking threads, a few at once, each with a connection of its own.
//!
//! A read is carried to its end even if nobody waits for it any more, and holds its place until then: who hangs
//! up and asks again gets no second one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

/// How long a read waits for SQLite's short internal locks.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How many may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Reads at once.
    pub readers_max: usize,
    /// Reads that wait or run; a further one is [`NotRead::Busy`].
    pub waiting_max: usize,
}

/// Why a read did not come to its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// As many wait as may wait.
    Busy,
    /// The thread ended.
    Ended,
}

/// Those who read one file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Readers(Arc<Shared>);

struct Shared {
    file: PathBuf,
    /// Which file it is: another one may have taken its name.
    files: Arc<AtomicU64>,
    idle: Mutex<Vec<(u64, Connection)>>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// Readers of this file. Whoever puts another file in its place counts `files` up.
    pub(crate) fn new(file: PathBuf, files: Arc<AtomicU64>, bounds: Bounds) -> Self {
        Self(Arc::new(Shared {
            file,
            files,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(bounds.waiting_max)),
            turns: Arc::new(Semaphore::new(bounds.readers_max)),
        }))
    }

    /// Fails where the file cannot be opened.
    pub(crate) fn check(&self) -> Result<(), rusqlite::Error> {
        let connection = self.0.connection()?;
        self.0.idle.lock().push(connection);
        Ok(())
    }

    /// Runs a read.
    pub(crate) async fn read<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<NotRead> + From<rusqlite::Error> + Send + 'static,
    {
        let shared = &self.0;
        let place = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| NotRead::Busy)?;
        let turn = Arc::clone(&shared.turns).acquire_owned().await.map_err(|_| NotRead::Ended)?;
        let shared = Arc::clone(shared);
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            let (files, connection) = shared.connection()?;
            let answer = read(&connection);
            // After an error the connection is not trusted again.
            if answer.is_ok() {
                shared.idle.lock().push((files, connection));
            }
            answer
        });
        done.await.map_err(|_| NotRead::Ended)?
    }
}

impl Shared {
    fn connection(&self) -> Result<(u64, Connection), rusqlite::Error> {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::ledger::LedgerError;

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_keeps_its_place_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file.db");
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let bounds = Bounds { readers_max: 1, waiting_max: 2 };
        let readers = Readers::new(file, Arc::default(), bounds);
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let slow = readers.read(move |_| {
            begun.send(()).unwrap();
            may_end.recv().unwrap();
            Ok::<_, LedgerError>(())
        });
        // Whoever asked hangs up in the middle of it.
        tokio::select! {
            biased;
            _ = slow => panic!("it cannot have ended"),
            () = async {
                while has_begun.try_recv().is_err() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        let quick = || readers.read(|_| Ok::<_, LedgerError>(()));
        let mut waits = Box::pin(quick());
        tokio::select! {
            biased;
            _ = &mut waits => panic!("the turn is not over"),
            () = std::future::ready(()) => {}
        }
        assert!(matches!(quick().await, Err(LedgerError::Busy)), "and neither is its place");
        end.send(()).unwrap();
        waits.await.unwrap();
        quick().await.unwrap();
    }
}
