//! The embedded log: an append-only SQLite table, one writer thread, group commit.
//!
//! One process a data directory (an exclusive lock file). Two threads: the writer, and the upkeep that
//! checkpoints and does chores beside it. An error or panic of either ends the log for good and is told
//! to the `fatal` callback, which is expected to end the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::delivery::Ports;
use super::{Applied, NotAppended, Observer, Queued, panic_text};
use crate::chain::LogHead;
use crate::clock::Clock;
use crate::config;
use crate::keys::IdentityKeys;
use crate::receipt::Issuer;
use crate::sale::record::KeyFingerprints;

mod error;
pub mod excerpt;
mod migrations;
pub mod proof;
mod replay;
mod retention;
mod store;
mod upkeep;
pub mod verify;
mod writer;

pub use error::{FatalError, StartError};
pub use migrations::{Migrated, migrate};
pub use store::{STORE_FILE, store_file};

use replay::{Head, Replayed};
use store::DirLock;
use upkeep::Upkeep;
use writer::{Message, Writer};

/// Told once why the log has ended, on one of its threads. The process must end then.
pub type Fatal = Box<dyn FnOnce(FatalError) + Send>;

/// How the log starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if there is none.
    pub dir: PathBuf,
    /// Records of one transaction.
    pub batch_records_max: usize,
    /// Records that wait for the writer.
    pub queue_records_max: usize,
    /// The keys that open sales must have been opened under.
    pub key_fingerprints: KeyFingerprints,
    /// Makes the receipts of confirmed orders.
    pub receipts: Option<Arc<Issuer>>,
    /// Stands in for a disk that is full after so many pages.
    #[cfg(test)]
    pub(crate) page_count_max: Option<u32>,
}

impl Options {
    /// As configured, for a node with these keys.
    pub fn new(data: &config::Data, keys: &IdentityKeys) -> Self {
        Self {
            dir: data.dir.clone(),
            batch_records_max: data.batch_records_max.max(1),
            queue_records_max: data.queue_records_max.max(1),
            key_fingerprints: keys.fingerprints().clone(),
            receipts: None,
            #[cfg(test)]
            page_count_max: None,
        }
    }
}

/// The running log. Cheap to clone; the last clone to go stops it.
#[derive(Clone)]
pub struct SqliteLog(Arc<Running>);

struct Running {
    applied: Arc<Applied>,
    ports: Ports,
    queue: Sender<Message>,
    store_file: PathBuf,
    head: Arc<Mutex<Head>>,
    /// Held during a transaction by whoever writes.
    turn: Arc<Mutex<()>>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    /// Given back after the threads have ended.
    _lock: DirLock,
}

impl SqliteLog {
    /// Opens (or makes) the store, applies what is in it, and starts to write. `observer` is told of
    /// every batch, `fatal` of the end by an error.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way and what to do.
    pub fn start(
        options: &Options,
        clock: Clock,
        observer: Observer,
        fatal: Fatal,
    ) -> Result<Self, StartError> {
        let dir = options.dir.as_path();
        let sqlite = |source| StartError::Sqlite { dir: dir.into(), source };
        let lock = DirLock::take(dir)?;
        let mut connection = store::open_writable(dir).map_err(sqlite)?;
        migrations::apply(dir, &mut connection, clock.unix_ms())?;
        let Replayed { book, products, head } =
            replay::replay(dir, &connection, &options.key_fingerprints)?;
        #[cfg(test)]
        if let Some(pages) = options.page_count_max {
            connection.pragma_update(None, "max_page_count", pages).map_err(sqlite)?;
        }
        let applied = Arc::new(Applied::new(&book, observer));
        applied.mark_end_seen(clock.monotonic_us());
        let (queue, receiver) = bounded(options.queue_records_max);
        let turn = Arc::new(Mutex::new(()));
        let upkeep_connection = store::open_writable(dir).map_err(sqlite)?;
        let (upkeep, signals) = Upkeep::new(dir.into(), upkeep_connection, Arc::clone(&turn));
        let guard = Guard::new(fatal);
        let ports = Ports::default();
        let published = Arc::new(Mutex::new(head));
        let writer = Writer {
            dir: dir.into(),
            connection,
            queue: receiver,
            clock,
            book,
            applied: Arc::clone(&applied),
            ports: ports.clone(),
            head,
            published: Arc::clone(&published),
            receipts: options.receipts.clone(),
            products,
            batch_records_max: options.batch_records_max,
            upkeep: signals,
            turn: Arc::clone(&turn),
            failed: Arc::clone(&guard.failed),
        };
        let upkeep = guard.clone().spawn("log-upkeep", None, move || upkeep.run())?;
        let writer = guard.spawn("log-writer", Some(ports.clone()), move || writer.run())?;
        let threads = Mutex::new(Some(Threads { writer, upkeep, _lock: lock }));
        let store_file = store_file(dir);
        let head = published;
        Ok(Self(Arc::new(Running { applied, ports, queue, store_file, head, turn, threads })))
    }

    /// The applied state.
    pub fn applied(&self) -> &Arc<Applied> {
        &self.0.applied
    }

    /// The last row whose decision was handed out.
    pub fn head(&self) -> Option<LogHead> {
        let Head { offset, digest } = *self.0.head.lock();
        (offset > 0).then_some(LogHead { partition: 0, offset, digest })
    }

    /// The store's file, for the ledger to read.
    pub fn store_file(&self) -> &Path {
        &self.0.store_file
    }

    /// Writes what is queued, then ends the log and gives the directory back. Blocks until it is done;
    /// safe to repeat.
    pub fn stop(&self) {
        self.0.stop();
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    pub(super) fn queue(&self) -> Queue {
        Queue(self.0.queue.clone())
    }
}

impl Running {
    fn stop(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        // An error says that the writer has ended already.
        let _ = self.queue.send(Message::Stop);
        for thread in [threads.writer, threads.upkeep] {
            // A panic has been told to `fatal`.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The way into the writer's queue.
pub(super) struct Queue(Sender<Message>);

impl Queue {
    pub(super) fn try_send(&self, queued: Queued) -> Result<(), NotAppended> {
        self.0.try_send(Message::Append(queued)).map_err(|error| match error {
            TrySendError::Full(_) => NotAppended::QueueFull,
            TrySendError::Disconnected(_) => NotAppended::Stopped,
        })
    }
}

/// Sees to it that the end of either thread by an error or panic ends the log, and is told once.
#[derive(Clone)]
struct Guard {
    fatal: Arc<Mutex<Option<Fatal>>>,
    failed: Arc<AtomicBool>,
}

impl Guard {
    fn new(fatal: Fatal) -> Self {
        Self { fatal: Arc::new(Mutex::new(Some(fatal))), failed: Arc::default() }
    }

    /// Starts a thread of the log; `ports` are closed at its end, whatever ends it.
    fn spawn(
        self,
        name: &str,
        ports: Option<Ports>,
        body: impl FnOnce() -> Result<(), FatalError> + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread
            .spawn(move || {
                // The body owns all that it breaks: nothing of it is seen after a panic but `Applied`,
                // and the process ends.
                let ended = catch_unwind(AssertUnwindSafe(body));
                let result = ended
                    .unwrap_or_else(|panic| Err(FatalError::Panicked(panic_text(panic.as_ref()))));
                if let Err(error) = result {
                    self.fail(error);
                }
                if let Some(ports) = ports {
                    ports.close();
                }
            })
            .map_err(StartError::Thread)
    }

    fn fail(&self, error: FatalError) {
        self.failed.store(true, Ordering::Release);
        if let Some(fatal) = self.fatal.lock().take() {
            fatal(error);
        }
    }
}

#[cfg(test)]
mod tests;
