//! The thread "worker-follower": reads the partitions that are ours, applies them, and hands batches to the
//! thread that writes them.
//!
//! Invariants:
//! - where to read is taken from the ledger, never from the group;
//! - a partition is applied without gaps, and nothing of it before the record that the ledger ends with has
//!   been seen in the log and found to be that very record;
//! - the next batch is applied while the one before is written. So after a batch that failed, or that
//!   another worker was ahead of, all that is held here is forgotten and read from the ledger again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use super::apply::{Content, Filled, Filling, Partition, restore};
use super::consumer::{Consumer, Rebalance};
use super::dead_letters::Letter;
use super::error::WorkerError;
use super::metrics::Metrics;
use super::store::{Bounds, Done, Job, Store};
use super::traced::{Order, Traced};
use crate::clock::Clock;
use crate::keys::records::RecordKeys;
use crate::keys::seal::Opener;
use crate::log::kafka::message::{self, Read};
use crate::snapshot::Snapshot;
use crate::trace::Tracer;

/// How long a batch gathers that is not full, in microseconds: a transaction for each order would cost more
/// than the orders.
const GATHER_US_MAX: u64 = 20_000;
/// How long the thread waits for a record: while a batch is written, and while there is nothing to do.
const POLL_BUSY: Duration = Duration::from_millis(5);
const POLL_IDLE: Duration = Duration::from_millis(100);
/// Records that are taken in before it is looked what else there is.
const BURST_RECORDS: usize = 64;
/// How much longer it is waited after each further batch in a row that fails, and how often it is so.
const FAILURE_DELAY: Duration = Duration::from_millis(250);
const FAILURE_DELAYS_MAX: u32 = 20;
/// How often is told what lasts, such as an error of the client, in microseconds.
const TELL_EVERY_US: u64 = 10_000_000;

/// What the follower is made of.
pub(super) struct Parts {
    pub(super) consumer: Consumer,
    pub(super) store: Store,
    pub(super) keys: RecordKeys,
    pub(super) opener: Arc<Opener>,
    pub(super) partitions: u32,
    pub(super) batch_records_max: usize,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) tracer: Tracer,
}

/// Runs until it is told to stop, then finishes its batch and leaves the group.
///
/// # Errors
/// [`WorkerError`]: going on would be wrong or is impossible. The group is left in this case too.
pub(super) fn run(parts: &Parts) -> Result<(), WorkerError> {
    let mut follower = Follower::new(parts);
    let ended = follower.follow().and_then(|()| follower.flush());
    parts.metrics.set_ready(false);
    ended.map(drop)
}

struct Follower<'p> {
    parts: &'p Parts,
    assigned: Vec<i32>,
    /// The states, of assigned partitions and perhaps of some that were ours until just now.
    held: BTreeMap<i32, Partition>,
    /// Those whose last record has not been seen in the log yet.
    unproven: BTreeSet<i32>,
    batch: Gathering<'p>,
    /// Whether a batch is with the store.
    writing: bool,
    /// Its records that are traced, and those of the batch that is being filled.
    traced: Traced,
    /// Whether the log did not go on as it should since the last batch that was written: a second time is
    /// an error.
    stumbled: bool,
    /// Batches that failed since the last one that was written.
    failures: u32,
    told_us: Option<u64>,
    buffer: Vec<u8>,
}

/// The batch that is being filled.
struct Gathering<'p> {
    filling: Filling<'p>,
    letters: Vec<Letter>,
    since_us: u64,
}

impl<'p> Gathering<'p> {
    fn new(parts: &'p Parts) -> Self {
        Self { filling: Filling::new(Some(&parts.opener)), letters: Vec::new(), since_us: 0 }
    }
}

impl<'p> Follower<'p> {
    fn new(parts: &'p Parts) -> Self {
        Self {
            parts,
            assigned: Vec::new(),
            held: BTreeMap::new(),
            unproven: BTreeSet::new(),
            batch: Gathering::new(parts),
            writing: false,
            traced: Traced::new(parts.tracer.clone(), parts.clock.clone()),
            stumbled: false,
            failures: 0,
            told_us: None,
            buffer: Vec::new(),
        }
    }

    fn follow(&mut self) -> Result<(), WorkerError> {
        while !self.parts.stopping.load(Ordering::Relaxed) {
            match self.parts.consumer.take_rebalance() {
                Some(rebalance) => self.rebalance(rebalance)?,
                None => self.step()?,
            }
        }
        Ok(())
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), WorkerError> {
        match rebalance {
            Rebalance::Revoked => {
                // The states stay: what comes back need not be read again.
                self.flush()?;
                self.parts.metrics.set_ready(false);
                self.parts.metrics.assign(&[]);
                self.assigned.clear();
                self.parts.consumer.read_nothing()?;
                Ok(())
            }
            Rebalance::Assigned(partitions) => {
                tracing::info!(?partitions, "assigned");
                self.parts.metrics.assign(&partitions);
                self.assigned = partitions;
                self.load()
            }
        }
    }

    /// What the store answered, then what has come in meanwhile.
    fn step(&mut self) -> Result<(), WorkerError> {
        if self.writing {
            let wait = if self.is_full() { POLL_IDLE } else { Duration::ZERO };
            if let Some(done) = self.parts.store.done_within(wait)? {
                return self.written(done);
            }
            if self.is_full() {
                return Ok(());
            }
        } else if self.due_in() == Some(Duration::ZERO) {
            self.write();
        }
        let mut limit = if self.writing { POLL_BUSY } else { self.due_in().unwrap_or(POLL_IDLE) };
        for _ in 0..BURST_RECORDS {
            match self.parts.consumer.poll(limit) {
                Some(Ok(message)) => self.take(&message)?,
                Some(Err(error)) => return self.trouble(error),
                None => return Ok(()),
            }
            if self.is_full() || self.parts.consumer.has_rebalance() {
                return Ok(());
            }
            limit = Duration::ZERO;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.batch.filling.records() >= self.parts.batch_records_max
    }

    /// How long the batch may still gather; `None` while it is empty.
    fn due_in(&self) -> Option<Duration> {
        if self.batch.filling.records() == 0 {
            return None;
        }
        let age_us = self.parts.clock.monotonic_us().saturating_sub(self.batch.since_us);
        let left_us = if self.is_full() { 0 } else { GATHER_US_MAX.saturating_sub(age_us) };
        Some(Duration::from_micros(left_us))
    }

    /// Applies a message, if it is the one that comes next.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), WorkerError> {
        let (number, offset) = (message.partition(), message.offset() as u64);
        let Some(partition) = self.held.get_mut(&number) else { return Ok(()) };
        let expected = partition.head.next_offset;
        let link = message::link(message, "");
        if self.unproven.contains(&number) {
            if offset + 1 == expected {
                if !partition.head.ends_with(&link, &mut self.buffer) {
                    return Err(WorkerError::OtherRecord { partition: number, offset });
                }
                self.unproven.remove(&number);
                return Ok(());
            }
            return self.gap(number, expected.saturating_sub(1), offset);
        }
        if offset != expected {
            return self.gap(number, expected, offset);
        }
        let read_at = self.traced.begin(message);
        let content = match message::read(message, &self.parts.keys, self.parts.partitions) {
            Read::Record { entry, .. } => Content::Record(entry.into()),
            Read::Undecodable { reason } => {
                tracing::debug!(%reason, partition = number, offset, "not a record");
                self.batch.letters.push(Letter::copy(message, &reason));
                Content::Undecodable
            }
            Read::NewerRules { rules_version } => {
                return Err(WorkerError::NewerRules { partition: number, offset, rules_version });
            }
        };
        if self.batch.filling.records() == 0 {
            self.batch.since_us = self.parts.clock.monotonic_us();
        }
        let order = read_at.and_then(|_| Order::of(&content));
        let outcome = self.batch.filling.apply(partition, &link, content);
        if let (Some(read_at), Some(order)) = (read_at, order) {
            self.traced.applied(read_at, &order, (number, offset), outcome);
        }
        Ok(())
    }

    /// Another offset than the one that comes next: a lower one is passed over, after a higher one the
    /// partition is read again, once.
    fn gap(&mut self, partition: i32, expected: u64, found: u64) -> Result<(), WorkerError> {
        if found < expected {
            return Ok(());
        }
        if std::mem::replace(&mut self.stumbled, true) {
            return Err(WorkerError::Gap { partition, expected, found });
        }
        tracing::warn!(partition, expected, found, "a gap in the log: reading again");
        self.start_over()
    }

    /// An error of the client. Almost all of them pass by themselves.
    fn trouble(&mut self, error: KafkaError) -> Result<(), WorkerError> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => return Err(error.into()),
            // The log does not hold the offset that was asked for: loading says which way.
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset,
            ) => {
                if std::mem::replace(&mut self.stumbled, true) {
                    return Err(error.into());
                }
                return self.start_over();
            }
            _ => {}
        }
        if self.may_tell() {
            tracing::warn!(%error, "Kafka");
        }
        Ok(())
    }

    /// Whether it is time to tell of something that lasts.
    fn may_tell(&mut self) -> bool {
        let now_us = self.parts.clock.monotonic_us();
        let due = self.told_us.is_none_or(|told_us| now_us.saturating_sub(told_us) > TELL_EVERY_US);
        if due {
            self.told_us = Some(now_us);
        }
        due
    }

    /// Gives the batch to the store. None is with it.
    fn write(&mut self) {
        let Gathering { filling, letters, .. } =
            std::mem::replace(&mut self.batch, Gathering::new(self.parts));
        let filled = filling.finish(&self.held);
        self.parts.store.begin(Job::Write { filled, letters });
        self.traced.write();
        self.writing = true;
    }

    /// Takes in what became of a batch.
    fn written(&mut self, done: Done) -> Result<(), WorkerError> {
        self.writing = false;
        match done {
            Done::Written { filled, letters } => {
                self.count(&filled, letters);
                Ok(())
            }
            done => {
                self.failed(&done);
                self.start_over()
            }
        }
    }

    fn failed(&mut self, done: &Done) {
        match done {
            Done::Failed(error) => {
                tracing::error!(%error, "a batch failed: the ledger is read again")
            }
            _ => tracing::warn!("another worker was ahead: the ledger is read again"),
        }
        self.failures = self.failures.saturating_add(1);
        self.parts.metrics.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&mut self, filled: &Filled, letters: usize) {
        self.traced.written();
        (self.stumbled, self.failures) = (false, 0);
        let metrics = &self.parts.metrics;
        let add = |counter: &std::sync::atomic::AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        add(&metrics.batches, 1);
        add(&metrics.records, filled.records);
        add(&metrics.orders, filled.batch.orders.len());
        add(&metrics.dead_letters, letters);
        add(&metrics.unopened, filled.unopened);
        metrics.set_ready(true);
        metrics.committed_at_ms.store(self.parts.clock.unix_ms(), Ordering::Relaxed);
        let heads = filled.batch.advances.iter().map(|advance| &advance.head);
        for head in heads.clone() {
            metrics.advance(head.partition, head.next_offset);
        }
        let ours = heads.filter(|head| self.assigned.contains(&head.partition));
        self.parts.consumer.show(ours.map(|head| (head.partition, head.next_offset)));
        if letters > 0 && self.may_tell() {
            let total = metrics.dead_letters.load(Ordering::Relaxed);
            tracing::warn!(total, "messages that are no records are in the dead-letter topic");
        }
        if filled.unopened > 0 && self.may_tell() {
            let total = metrics.unopened.load(Ordering::Relaxed);
            tracing::warn!(total, "user ids do not open: orders stand without");
        }
    }

    /// Writes what there is and waits for it. `false`: it failed, and nothing is held any more.
    fn flush(&mut self) -> Result<bool, WorkerError> {
        loop {
            if self.writing {
                let Some(done) = self.parts.store.done_within(POLL_IDLE)? else { continue };
                self.writing = false;
                if let Done::Written { filled, letters } = done {
                    self.count(&filled, letters);
                } else {
                    self.failed(&done);
                    self.forget();
                    return Ok(false);
                }
            } else if self.batch.filling.records() > 0 {
                self.write();
            } else {
                return Ok(true);
            }
        }
    }

    /// Forgets all states and the batch that was made of them.
    fn forget(&mut self) {
        self.traced.forget();
        self.held.clear();
        self.unproven.clear();
        self.batch = Gathering::new(self.parts);
    }

    fn start_over(&mut self) -> Result<(), WorkerError> {
        // A batch that is with the store is written or not: the ledger will say.
        while self.writing {
            self.writing = self.parts.store.done_within(POLL_IDLE)?.is_none();
        }
        self.forget();
        self.load()
    }

    /// Reads from the ledger what is not held, and goes on in the log from there. Nothing is gathered and
    /// nothing is with the store.
    fn load(&mut self) -> Result<(), WorkerError> {
        let Parts { consumer, store, metrics, stopping, .. } = self.parts;
        metrics.set_ready(false);
        // The group is polled meanwhile, or it would take the worker for dead.
        consumer.read_nothing()?;
        self.held.retain(|partition, _| self.assigned.contains(partition));
        let held = self.held.values().map(|partition| partition.head.clone()).collect();
        // The first failure is most likely a server that was restarted; a row of them is something else.
        let delay = FAILURE_DELAY * self.failures.saturating_sub(1).min(FAILURE_DELAYS_MAX);
        store.begin(Job::Load { partitions: self.assigned.clone(), held, delay });
        let done = loop {
            if let Some(done) = store.done_within(POLL_BUSY)? {
                break done;
            }
            if let Some(Err(error)) = consumer.poll(POLL_BUSY) {
                tracing::debug!(%error, "Kafka");
            }
            if consumer.has_rebalance() || stopping.load(Ordering::Relaxed) {
                store.abandon();
            }
        };
        match done {
            Done::Loaded { snapshot, bounds } => self.go_on(snapshot, &bounds),
            Done::Unloadable(error) => Err(error.into()),
            // What came in between is answered by the main loop. What is held may be old: forget it.
            _ => {
                self.forget();
                Ok(())
            }
        }
    }

    fn go_on(&mut self, snapshot: Snapshot, bounds: &[Bounds]) -> Result<(), WorkerError> {
        let to_load: Vec<_> = snapshot
            .heads
            .iter()
            .filter(|head| self.assigned.contains(&head.partition))
            .filter(|head| {
                self.held.get(&head.partition).map(|partition| &partition.head) != Some(head)
            })
            .map(|head| head.partition)
            .collect();
        let partitions = self.parts.partitions;
        let loaded =
            restore(snapshot, &to_load, |product| message::partition_of(product, partitions))
                .map_err(|(product, source)| WorkerError::BadSale { product, source })?;
        for (number, partition) in loaded {
            self.unproven.remove(&number);
            if partition.head.next_offset > 0 {
                self.unproven.insert(number);
            }
            self.held.insert(number, partition);
        }
        for bounds in bounds {
            self.check(bounds)?;
        }
        let Parts { consumer, metrics, .. } = self.parts;
        for (number, partition) in &self.held {
            metrics.advance(*number, partition.head.next_offset);
        }
        let places = self.held.iter().map(|(number, partition)| {
            let proof = u64::from(self.unproven.contains(number));
            (*number, partition.head.next_offset - proof)
        });
        consumer.read_from(places)?;
        metrics.set_ready(self.failures <= 1);
        Ok(())
    }

    /// Whether the log holds all that is needed of a partition.
    fn check(&self, bounds: &Bounds) -> Result<(), WorkerError> {
        let Bounds { partition, begin, end } = *bounds;
        let Some(held) = self.held.get(&partition) else { return Ok(()) };
        let next_offset = held.head.next_offset;
        let needed = next_offset.saturating_sub(1);
        if end < next_offset {
            return Err(WorkerError::EndsBefore { partition, end, next_offset });
        }
        if begin > needed {
            return Err(WorkerError::BeginsAfter { partition, begin, needed });
        }
        Ok(())
    }
}
