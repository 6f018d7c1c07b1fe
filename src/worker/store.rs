//! The thread "worker-ledger": puts dead letters aside, writes batches, reads snapshots.
//!
//! It has a runtime of its own, so that the next batch is read and applied while the database works on the
//! one before. One job at a time; the follower waits for its answer before it gives the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::apply::Filled;
use super::dead_letters::{DeadLetters, Letter, Undelivered};
use crate::config::Config;
use crate::ledger::postgres::writer::Written;
use crate::ledger::postgres::{PostgresError, Writer};
use crate::log::kafka::client;
use crate::snapshot::{PartitionHead, Snapshot};

/// How long Kafka may take to say where a partition begins and ends.
const BOUNDS_MAX: Duration = Duration::from_secs(5);
/// Between two tries to load: at first, and at most.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// What the thread is asked to do.
pub(super) enum Job {
    /// Read the ledger, until it answers.
    Load {
        /// The partitions that are ours.
        partitions: Vec<i32>,
        /// Those whose state is here still, and how far.
        held: Vec<PartitionHead>,
        /// How long to wait first.
        delay: Duration,
    },
    /// Put these aside, then write this.
    Write { filled: Filled, letters: Vec<Letter> },
}

/// What became of a job.
pub(super) enum Done {
    /// The heads of all partitions, the sales of those that are not held, and where the partitions that
    /// are ours begin and end in the log.
    Loaded { snapshot: Snapshot, bounds: Vec<Bounds> },
    /// Nobody wants it any more.
    Abandoned,
    /// It will never load.
    Unloadable(PostgresError),
    /// The batch is in the ledger.
    Written { filled: Filled, letters: usize },
    /// Another worker was ahead: nothing is in the ledger.
    Stale,
    /// Whether the batch is in the ledger is not known.
    Failed(NotWritten),
}

/// Why a batch was not written, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    #[error(transparent)]
    Ledger(#[from] PostgresError),
    #[error(transparent)]
    DeadLetters(#[from] Undelivered),
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) partition: i32,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// The way to the thread.
pub(super) struct Store {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    abandon: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    writer: Writer,
    dead_letters: DeadLetters,
    asker: BaseConsumer<client::Context>,
    topic: String,
    runtime: tokio::runtime::Runtime,
    abandon: Arc<AtomicBool>,
}

impl Store {
    /// Starts the thread; nothing is connected yet.
    pub(super) fn start(config: &Config) -> Result<Self, super::WorkerError> {
        let abandon = Arc::new(AtomicBool::new(false));
        let work = Work {
            writer: Writer::new(config)?,
            dead_letters: DeadLetters::new(config)?,
            asker: client::client_config(config).create_with_context(client::Context)?,
            topic: config.kafka.topic.clone(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            abandon: Arc::clone(&abandon),
        };
        let (jobs, queue) = bounded(1);
        let (answer, done) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("worker-ledger".to_owned())
            .spawn(move || work.run(&queue, &answer))?;
        Ok(Self { jobs: Some(jobs), done, abandon, thread: Some(thread) })
    }

    /// Gives the thread a job; there is none under way.
    pub(super) fn begin(&self, job: Job) {
        self.abandon.store(false, Ordering::Relaxed);
        if let Some(jobs) = &self.jobs {
            // An ended thread is noticed when its answer is waited for.
            let _ = jobs.send(job);
        }
    }

    /// The answer, if it comes in time.
    ///
    /// # Errors
    /// The thread has ended.
    pub(super) fn done_within(&self, limit: Duration) -> Result<Option<Done>, super::WorkerError> {
        // Even a wait of no time gives the processor away.
        let answer = match limit {
            Duration::ZERO => self.done.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            }),
            limit => self.done.recv_timeout(limit),
        };
        match answer {
            Ok(done) => Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(super::WorkerError::Ended),
        }
    }

    /// Gives up a load that is under way: its answer comes soon, whatever it is.
    pub(super) fn abandon(&self) {
        self.abandon.store(true, Ordering::Relaxed);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.abandon();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been told.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(mut self, queue: &Receiver<Job>, answer: &Sender<Done>) {
        for job in queue {
            let done = match job {
                Job::Load { partitions, held, delay } => {
                    self.wait(delay);
                    self.load(&partitions, &held)
                }
                Job::Write { filled, letters } => self.write(filled, &letters),
            };
            if answer.send(done).is_err() {
                return;
            }
        }
    }

    fn load(&mut self, partitions: &[i32], held: &[PartitionHead]) -> Done {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            if self.abandon.load(Ordering::Relaxed) {
                return Done::Abandoned;
            }
            let snapshot = self.runtime.block_on(self.writer.snapshot_of(partitions, held));
            match snapshot {
                Ok(snapshot) => match self.bounds(partitions) {
                    Ok(bounds) => return Done::Loaded { snapshot, bounds },
                    Err(error) => tracing::warn!(%error, "waiting for Kafka"),
                },
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "waiting for the ledger");
                }
                Err(error) => return Done::Unloadable(error),
            }
            self.wait(delay);
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    /// Waits, unless what it waits for is given up.
    fn wait(&self, delay: Duration) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while waited < delay && !self.abandon.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK_EVERY.min(delay - waited));
            waited += LOOK_EVERY;
        }
    }

    fn bounds(&self, partitions: &[i32]) -> Result<Vec<Bounds>, KafkaError> {
        let bounds = partitions.iter().map(|&partition| {
            let (begin, end) = self.asker.fetch_watermarks(&self.topic, partition, BOUNDS_MAX)?;
            Ok(Bounds { partition, begin: begin.max(0) as u64, end: end.max(0) as u64 })
        });
        bounds.collect()
    }

    fn write(&mut self, filled: Filled, letters: &[Letter]) -> Done {
        if let Err(error) = self.dead_letters.deliver(letters) {
            return Done::Failed(error.into());
        }
        match self.runtime.block_on(self.writer.write(&filled.batch)) {
            Ok(Written::Done) => Done::Written { filled, letters: letters.len() },
            Ok(Written::Stale) => Done::Stale,
            Err(error) => Done::Failed(error.into()),
        }
    }
}
