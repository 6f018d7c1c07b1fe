//! The order log on Kafka: a topic whose partitions nodes follow and apply.
//!
//! A record is sent, and answered when it is *read back* and applied: an acknowledgement alone does not say
//! what it came to, and a lost one does no harm. All nodes and workers read the same records in the same
//! order, so they come to the same states.
//!
//! Three threads:
//! - `log-follower` reads, verifies, applies, answers and keeps the digest chains;
//! - `log-producer` takes in the producer's events;
//! - `log-end` asks for the log's end, by which nodes know how fresh their state is, and watches over the
//!   topic.
//!
//! An error or panic of any of them ends the log for good and is told to the `fatal` callback, which is
//! expected to end the process. Brokers that cannot be reached are no error: attempts are answered 503 until
//! they are back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::delivery::Ports;
use super::{Applied, LogClock, Observer, panic_text};
use crate::chain::Digest;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::records::RecordKeys;
use crate::keys::seal::Sealer;
use crate::receipt::Issuer;
use crate::sale::record::KeyFingerprints;
use crate::sale::{ControlState, ProductId};
use crate::snapshot::{PartitionHead, Snapshot};

pub mod client;
mod end;
mod error;
mod follower;
mod heads;
mod lanes;
pub mod message;
pub(crate) mod native;
mod pace;
mod pipe;
mod sender;
mod start;
mod topic;
mod waiting;

pub use error::{FatalError, StartError, TopicFault, topic_faults};
pub(super) use sender::Sender;
pub use topic::{check_topic, may_make_topics};

use end::EndWatch;
use follower::{Counts, Follower, FollowerParts};
use heads::Heads;
use sender::{Outbox, OutboxParts};

/// How long the end waits for decisions on what has been sent.
const DECISIONS_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether they are there.
const DECISIONS_LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the log needs beside the configuration's sections `kafka` and `stores`.
pub struct Parts {
    /// MACs and signatures of records.
    pub keys: RecordKeys,
    /// Seals user ids; without it they go nowhere.
    pub sealer: Option<Sealer>,
    /// From where the node starts.
    pub snapshot: Snapshot,
    /// The keys that open sales must have been opened under.
    pub key_fingerprints: KeyFingerprints,
    /// Makes the receipts of this node's confirmed orders.
    pub receipts: Option<Arc<Issuer>>,
}

/// Told once why the log has ended, on one of its threads. The process must end then.
pub type Fatal = Box<dyn FnOnce(FatalError) + Send>;

/// What has gone through the log since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Records applied.
    pub records: u64,
    /// Messages that were no records.
    pub undecodable: u64,
    /// Records that the producer gave up on. They may be in the log all the same.
    pub not_sent: u64,
    /// Records that wait for their decision now.
    pub waiting: usize,
}

/// The running log. Cheap to clone; the last clone to go stops it.
#[derive(Clone)]
pub struct KafkaLog(Arc<Running>);

/// A log that is looked at and not kept running.
#[derive(Clone)]
pub struct WeakKafkaLog(std::sync::Weak<Running>);

impl WeakKafkaLog {
    /// The log, if it still runs.
    pub fn upgrade(&self) -> Option<KafkaLog> {
        self.0.upgrade().map(KafkaLog)
    }
}

struct Running {
    applied: Arc<Applied>,
    heads: Arc<Heads>,
    counts: Arc<Counts>,
    outbox: Arc<Outbox>,
    ports: Ports,
    stop_follower: Arc<AtomicBool>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    producer: JoinHandle<()>,
    follower: JoinHandle<()>,
    end: JoinHandle<()>,
    /// Ends `end` by being dropped.
    end_stop: crossbeam_channel::Sender<()>,
}

impl KafkaLog {
    /// Checks the topic and the snapshot against it, then follows the log; returns when its end, as it was
    /// at the call, has been applied. Waits for brokers that cannot be reached, and says so.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way and what to do.
    pub fn start(
        config: &Config,
        parts: Parts,
        clock: Clock,
        observer: Observer,
        fatal: Fatal,
    ) -> Result<Self, StartError> {
        let Parts { keys, sealer, snapshot, key_fingerprints, receipts } = parts;
        let (topic, partitions) = (config.kafka.topic.clone(), config.kafka.partitions);
        let asker = start::asker(config)?;
        let heads = start::heads(&snapshot, partitions)?;
        let topic_id = start::checked_topic(&asker, config)?;
        let asked_us = clock.monotonic_us();
        let bounds = start::bounds(&asker, config)?;
        start::check_bounds(&heads, &bounds)?;

        let log_clock = LogClock::default();
        let of_sales = snapshot.sales.iter().map(|(_, sale)| sale.log_time_ms);
        let of_control = snapshot.control.iter().map(ControlState::log_time_ms);
        if let Some(latest_ms) = of_sales.chain(of_control).max() {
            log_clock.read(latest_ms, asked_us);
        }
        let states = start::restored(snapshot)?;
        let applied = Arc::new(Applied::following(&states, log_clock, observer));
        let heads = Arc::new(Heads::new(&heads));
        let outbox_parts = OutboxParts {
            topic: topic.clone(),
            partitions,
            keys,
            sealer,
            clock: clock.clone(),
            waiting_max: config.data.queue_records_max.max(1),
            nonce_prefix: start::nonce_prefix(),
        };
        let outbox = Outbox::new(client::producer_config(config), outbox_parts);
        let outbox = Arc::new(outbox.map_err(StartError::Client)?);
        let ports = Ports::default();
        let counts = Arc::<Counts>::default();
        let follower_parts = FollowerParts {
            key_fingerprints,
            applied: Arc::clone(&applied),
            heads: Arc::clone(&heads),
            outbox: Arc::clone(&outbox),
            ports: ports.clone(),
            receipts,
        };
        let mut follower = Follower::new(follower_parts, Arc::clone(&counts));
        let consumer = start::consumer(config, &follower.begin_offsets())?;
        follower.catch_up(&consumer, &bounds.ends)?;
        applied.mark_end_seen(asked_us);

        let guard = Guard::new(fatal, &outbox, &ports);
        let stop_follower = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&stop_follower);
        let (end_stop, end_stopped) = crossbeam_channel::bounded(0);
        let end = EndWatch {
            consumer: asker,
            topic,
            topic_id,
            partitions,
            applied: Arc::clone(&applied),
            heads: Arc::clone(&heads),
            clock,
            stop: end_stopped,
        };
        let sending = Arc::clone(&outbox);
        let producer = guard.spawn("log-producer", move || {
            sending.run();
            Ok(())
        })?;
        let follower = guard.spawn("log-follower", move || follower.run(&consumer, &stop))?;
        let end = guard.spawn("log-end", move || end.run())?;
        let threads = Mutex::new(Some(Threads { producer, follower, end, end_stop }));
        Ok(Self(Arc::new(Running {
            applied,
            heads,
            counts,
            outbox,
            ports,
            stop_follower,
            threads,
        })))
    }

    /// The applied state.
    pub fn applied(&self) -> &Arc<Applied> {
        &self.0.applied
    }

    /// How far each partition has been applied, in their order.
    pub fn heads(&self) -> Vec<PartitionHead> {
        self.0.heads.snapshot()
    }

    /// The head of a product's partition, if readers see everything up to it.
    pub fn settled_head(&self, product: &ProductId) -> Option<PartitionHead> {
        let heads = self.0.heads.snapshot();
        let partition = message::partition_of(product, heads.len() as u32) as usize;
        let head = heads.into_iter().nth(partition)?;
        (self.0.heads.applied()[partition] >= head.next_offset).then_some(head)
    }

    /// The digest of a partition when `next_offset` was the next one to be applied, to be compared with
    /// others who follow the log. Known for the present head, and for the last 64 offsets that are divisible
    /// by [`CHECKPOINT_OFFSETS`](crate::snapshot::CHECKPOINT_OFFSETS).
    pub fn digest_at(&self, partition: i32, next_offset: u64) -> Option<Digest> {
        self.0.heads.digest_at(partition, next_offset)
    }

    /// To look at it without keeping it running.
    pub fn downgrade(&self) -> WeakKafkaLog {
        WeakKafkaLog(Arc::downgrade(&self.0))
    }

    /// What has gone through the log.
    pub fn counters(&self) -> Counters {
        let Running { counts, outbox, .. } = &*self.0;
        Counters {
            records: counts.records.load(Ordering::Relaxed),
            undecodable: counts.undecodable.load(Ordering::Relaxed),
            not_sent: outbox.not_sent(),
            waiting: outbox.waiting.len(),
        }
    }

    /// Takes in nothing more, waits a few seconds at most for what is on its way, and ends the threads.
    /// What is undecided then is lost to whoever waits for it. Safe to repeat.
    pub fn stop(&self) {
        self.0.stop();
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    pub(super) fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.0.outbox))
    }
}

impl Running {
    fn stop(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        let Threads { producer, follower, end, end_stop } = threads;
        self.outbox.stop();
        // A panic has been told to `fatal`.
        let _ = producer.join();
        let mut looks = DECISIONS_WAIT.as_millis() / DECISIONS_LOOK_EVERY.as_millis();
        while looks > 0 && self.outbox.waiting.len() > 0 && !follower.is_finished() {
            std::thread::sleep(DECISIONS_LOOK_EVERY);
            looks -= 1;
        }
        self.stop_follower.store(true, Ordering::Release);
        drop(end_stop);
        for thread in [follower, end] {
            let _ = thread.join();
        }
        self.ports.close();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sees to it that the end of a thread by an error or panic ends the log, and is told once.
#[derive(Clone)]
struct Guard {
    fatal: Arc<Mutex<Option<Fatal>>>,
    outbox: Arc<Outbox>,
    ports: Ports,
}

impl Guard {
    fn new(fatal: Fatal, outbox: &Arc<Outbox>, ports: &Ports) -> Self {
        let fatal = Arc::new(Mutex::new(Some(fatal)));
        Self { fatal, outbox: Arc::clone(outbox), ports: ports.clone() }
    }

    fn spawn(
        &self,
        name: &str,
        body: impl FnOnce() -> Result<(), FatalError> + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let guard = self.clone();
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread
            .spawn(move || {
                // The body owns all that it breaks: nothing of it is seen after a panic but `Applied`, and
                // the process ends.
                let ended = catch_unwind(AssertUnwindSafe(body));
                let result = ended
                    .unwrap_or_else(|panic| Err(FatalError::Panicked(panic_text(panic.as_ref()))));
                if let Err(error) = result {
                    guard.fail(error);
                }
            })
            .map_err(StartError::Thread)
    }

    fn fail(&self, error: FatalError) {
        self.outbox.stop();
        self.ports.close();
        if let Some(fatal) = self.fatal.lock().take() {
            fatal(error);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
