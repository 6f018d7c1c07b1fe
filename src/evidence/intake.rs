//! The way of an attempt from the thread that serves it to the thread that writes it down.
//!
//! A serving thread counts, and for what is kept puts a message into a bounded queue; it never waits, never hashes and
//! wakes nobody: the thread that writes looks by itself, 20 times a second. Addresses, fingerprints and user ids are in
//! the queue alone, until that thread has made marks of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::mark::FINGERPRINT_BYTES_MAX;
use super::tally::Tally;
use super::writer::{Sink, Writer};
use super::{EvidenceError, What};
use crate::clock::Clock;
use crate::keys::IdentityKeys;
use crate::sale::{BuyerRef, OrderId, ProductId, UserId};

/// Attempts that wait to be written; further ones are counted, not kept.
pub const QUEUE_MAX: usize = 16_384;
/// Questions and orders to the thread that wait.
const CONTROL_MAX: usize = 64;

/// What is kept of an attempt beside its time and outcome.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The order, of an attempt that passed the guard.
    pub order_id: Option<OrderId>,
    /// Who, as a pseudonym.
    pub buyer: Option<BuyerRef>,
    /// Who, in the shop's words: only its place among similar ones is kept.
    pub user: Option<UserId>,
    /// From where, if that says anything: only marks are kept.
    pub address: Option<IpAddr>,
    /// The fingerprint: only its mark is kept.
    pub fingerprint: Option<Box<[u8]>>,
}

impl Seen {
    /// As much of a fingerprint as counts.
    pub fn fingerprint(sent: &[u8]) -> Box<[u8]> {
        sent[..sent.len().min(FINGERPRINT_BYTES_MAX)].into()
    }
}

/// An attempt on its way.
pub(super) struct Message {
    pub(super) at_ms: u64,
    pub(super) what: What,
    pub(super) weight: u32,
    pub(super) product: Option<ProductId>,
    pub(super) seen: Seen,
}

/// What the thread is told.
pub(super) enum Control<S> {
    /// Write what waits.
    Flush(oneshot::Sender<()>),
    /// Write what waits, then do this.
    Do(Job<S>),
    /// Write what waits, then end.
    Stop,
}

/// Something that is done with the store itself.
pub(super) type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// One tally for each thread that serves; the thread that writes empties them.
pub(super) type Tallies = Arc<Mutex<Vec<Arc<Mutex<Tally>>>>>;

/// What became of what was to be kept, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) rows: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl Counts {
    /// Rows that were written.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Attempts that were to be kept and were not: the queue was full, or the store failed for too long.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The thread that writes, with what leads to it. The last one to go ends it.
pub(super) struct Intake<S> {
    sender: Sender<Message>,
    control: Sender<Control<S>>,
    tallies: Tallies,
    counts: Arc<Counts>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<S: Sink> Intake<S> {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        sink: S,
        clock: Clock,
        identity: Arc<IdentityKeys>,
    ) -> std::io::Result<Self> {
        let (sender, queue) = bounded(QUEUE_MAX);
        let (control, told) = bounded(CONTROL_MAX);
        let (tallies, counts) = (Tallies::default(), Arc::<Counts>::default());
        let parts = Parts { queue, told, tallies: tallies.clone(), counts: counts.clone() };
        let thread = std::thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || Writer::new(parts, sink, clock, identity).run())?;
        Ok(Self { sender, control, tallies, counts, thread: Mutex::new(Some(thread)) })
    }

    /// A thread's own way to note attempts.
    pub(super) fn recorder(&self) -> Recorder {
        let tally = Arc::<Mutex<Tally>>::default();
        self.tallies.lock().push(Arc::clone(&tally));
        Recorder { tally, sender: self.sender.clone(), counts: Arc::clone(&self.counts) }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns when everything that was noted before is written, or the store does not take it.
    pub(super) async fn flush(&self) -> Result<(), EvidenceError> {
        let (done, flushed) = oneshot::channel();
        self.tell(Control::Flush(done))?;
        flushed.await.map_err(|_| EvidenceError::CutOff)
    }

    /// Has the thread do something with the store.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut S) -> Result<T, EvidenceError> + Send + 'static,
    ) -> Result<T, EvidenceError> {
        let (done, answer) = oneshot::channel();
        self.tell(Control::Do(Box::new(move |store| {
            // Whoever asked may have gone.
            let _ = done.send(ask(store));
        })))?;
        answer.await.map_err(|_| EvidenceError::CutOff)?
    }

    fn tell(&self, control: Control<S>) -> Result<(), EvidenceError> {
        self.control.try_send(control).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(_) => EvidenceError::Busy,
            crossbeam_channel::TrySendError::Disconnected(_) => EvidenceError::CutOff,
        })
    }

    /// Writes what waits and ends the thread. Blocks until it has ended; safe to repeat.
    pub(super) fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else { return };
        // An error says that it has ended already.
        let _ = self.control.send(Control::Stop);
        if thread.join().is_err() {
            tracing::error!("the thread that writes the evidence panicked");
        }
    }
}

/// What the thread is given.
pub(super) struct Parts<S> {
    pub(super) queue: Receiver<Message>,
    pub(super) told: Receiver<Control<S>>,
    pub(super) tallies: Tallies,
    pub(super) counts: Arc<Counts>,
}

/// One thread's way to note attempts. Never blocks; allocates nothing but what the caller does for a row that is kept.
pub struct Recorder {
    tally: Arc<Mutex<Tally>>,
    sender: Sender<Message>,
    counts: Arc<Counts>,
}

impl Recorder {
    /// Notes one attempt. `seen` is called only if it is kept. `product` must be one that there is, never whatever
    /// somebody has written.
    #[inline]
    pub fn note(
        &self,
        at_ms: u64,
        what: What,
        product: Option<&ProductId>,
        seen: impl FnOnce() -> Seen,
    ) {
        let kept = self.tally.lock().note(at_ms, what, product);
        if let Some(weight) = kept {
            self.keep(Message { at_ms, what, weight, product: product.copied(), seen: seen() });
        }
    }

    /// Notes an attempt that may be an order though its outcome is not known; like an order it is always kept.
    pub fn undecided(&self, at_ms: u64, product: Option<&ProductId>, seen: impl FnOnce() -> Seen) {
        let what = What::Busy;
        self.tally.lock().count(at_ms, what, product);
        self.keep(Message { at_ms, what, weight: 1, product: product.copied(), seen: seen() });
    }

    fn keep(&self, message: Message) {
        if self.sender.try_send(message).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
