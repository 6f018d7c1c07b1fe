//! The audit trail: security events and operators' actions of this node, append-only and chained.
//!
//! Invariants:
//! - a line carries its number, the digest of the line before and its own, over segments as over one file:
//!   no byte can be changed, no line taken out, put in or moved without [`verify`] finding it;
//! - every minute, at a rotation and at the stop a *head* vouches for all lines before it, and for the heads
//!   of the order log, by an Ed25519 signature; whoever keeps a head elsewhere finds a cut, too;
//! - a request never waits for the trail: refusals go through a bounded queue, and what has no place in it
//!   is counted; an operator's change waits, and is refused if it cannot be written;
//! - a flood cannot fill the disk: see [`flood`] and [`store`];
//! - no address, user id or fingerprint is in it, only pseudonyms under a key that is forgotten after a day:
//!   see [`pseudonym`].
//!
//! One thread writes. Where the files are and what they hold is in `docs/DATA_MODEL.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

pub use crate::chain::LogHead;
use crate::clock::Clock;
use crate::keys::signer::Signer;

pub mod event;
pub mod flood;
pub mod head;
pub mod line;
pub mod pseudonym;
pub mod read;
pub mod segments;
pub mod store;
pub mod verify;
mod writer;

pub use event::{Kind, Noted, RefusalKind, Scored};
pub use store::{DIRECTORY, Limits, StoreError};

use flood::{Source, Tally};
use writer::{Message, Writer};

/// Messages that wait for the writer.
const QUEUE_MAX: usize = 4_096;

/// Says where the order log is. Called by the trail's own thread.
pub type LogHeads = Box<dyn Fn() -> Vec<LogHead> + Send>;

/// How a trail starts.
pub struct Options {
    /// The data directory; the trail is in a directory beneath.
    pub data_dir: PathBuf,
    /// How much is kept for how long.
    pub limits: Limits,
    /// Signs the heads.
    pub signer: Signer,
    /// Fills a buffer with random bytes.
    pub random: fn(&mut [u8]),
    /// The version of the program, for the event of the start.
    pub version: &'static str,
}

/// The event is not known to be in the trail: the disk is full, say, or too much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail cannot be written")]
pub struct NotRecorded;

/// The running trail. Cheap to clone.
#[derive(Clone)]
pub struct Trail(Arc<Running>);

struct Running {
    sender: Sender<Message>,
    tallies: Tallies,
    files: PathBuf,
    not_recorded: Arc<AtomicU64>,
    signer: Arc<Signer>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One for each thread that records; the writer empties them every minute.
type Tallies = Arc<Mutex<Vec<Arc<Mutex<Tally>>>>>;

impl Trail {
    /// Opens (or begins) the trail, writes the event of the start, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError`] says what is in the way.
    pub fn start(options: Options, clock: Clock, log_heads: LogHeads) -> Result<Self, StoreError> {
        let (sender, queue) = bounded(QUEUE_MAX);
        let tallies = Tallies::default();
        let not_recorded = Arc::<AtomicU64>::default();
        let signer = Arc::new(options.signer);
        let files = options.data_dir.join(DIRECTORY);
        let writer = Writer::open(writer::Parts {
            dir: files.clone(),
            limits: options.limits,
            signer: Arc::clone(&signer),
            random: options.random,
            version: options.version,
            clock,
            log_heads,
            queue,
            tallies: Arc::clone(&tallies),
            not_recorded: Arc::clone(&not_recorded),
        })?;
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        let thread = Mutex::new(Some(thread));
        Ok(Self(Arc::new(Running { sender, tallies, files, not_recorded, signer, thread })))
    }

    /// A thread's own way to note refusals.
    pub fn recorder(&self) -> Recorder {
        let tally = Arc::<Mutex<Tally>>::default();
        self.0.tallies.lock().push(Arc::clone(&tally));
        Recorder { tally, sender: self.0.sender.clone() }
    }

    /// Writes an event and returns when it is on the disk.
    ///
    /// # Errors
    /// [`NotRecorded`]: then what it speaks of must not be done.
    pub async fn record(&self, kind: Kind, fields: Value) -> Result<(), NotRecorded> {
        let (done, written) = oneshot::channel();
        let message = Message::Event { kind, fields, done };
        self.0.sender.try_send(message).map_err(|_| NotRecorded)?;
        written.await.unwrap_or(Err(NotRecorded))
    }

    /// A signed head of the trail as it is now: a line of JSON, to be kept elsewhere.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn head(&self) -> Result<String, NotRecorded> {
        let (done, written) = oneshot::channel();
        self.0.sender.try_send(Message::Head { done }).map_err(|_| NotRecorded)?;
        written.await.unwrap_or(Err(NotRecorded))
    }

    /// Where its files are.
    pub fn files(&self) -> &std::path::Path {
        &self.0.files
    }

    /// The key that signs its heads.
    pub fn signer(&self) -> &Signer {
        &self.0.signer
    }

    /// Events that could not be written since the start, because the disk failed.
    pub fn not_recorded(&self) -> u64 {
        self.0.not_recorded.load(Ordering::Relaxed)
    }

    /// Writes what waits, the event of the stop and a last head. Blocks until it is done; safe to repeat.
    pub fn stop(&self) {
        let Some(thread) = self.0.thread.lock().take() else { return };
        // An error says that the writer has ended already.
        let _ = self.0.sender.send(Message::Stop);
        if thread.join().is_err() {
            tracing::error!("the writer of the audit trail panicked");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever forgets to stop loses the last head, not what is queued: the writer ends with its queue.
        drop(self.thread.lock().take());
    }
}

/// One thread's way to note refusals: never blocks for long, and never allocates once a flood is counted.
pub struct Recorder {
    tally: Arc<Mutex<Tally>>,
    sender: Sender<Message>,
}

impl Recorder {
    /// Notes a refusal. `noted` is called only if it is to be kept in full.
    pub fn refusal(
        &self,
        kind: RefusalKind,
        source: Option<std::net::IpAddr>,
        noted: impl FnOnce() -> Noted,
    ) {
        let source = source.map(Source::of);
        if !self.tally.lock().note(kind, source) {
            return;
        }
        let message = Message::Refusal { kind, source, noted: noted() };
        if self.sender.try_send(message).is_err() {
            self.tally.lock().was_not_kept(kind, source);
        }
    }
}

#[cfg(test)]
mod tests;
