//! A log in memory, decided step by step by whoever owns it: for the simulation and for tests.
//!
//! It keeps the promises of the other backends (decided means applied) except durability: what
//! [`MemoryLog::commit`] has taken stays, what is queued can be lost, delayed or decided in another order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::delivery::Ports;
use super::{Applied, Decided, NotAppended, Observer, Queued};
use crate::clock::Clock;
use crate::sale::{Book, LogEntry, Outcome, ProductId, Record};

/// A log in memory. Cheap to clone.
#[derive(Clone)]
pub struct MemoryLog(Arc<Inner>);

struct Inner {
    applied: Arc<Applied>,
    ports: Ports,
    clock: Clock,
    queue_records_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    queue: VecDeque<Queued>,
    log: Vec<LogEntry>,
    stopped: bool,
}

impl MemoryLog {
    /// Starts from the records of `log` (such as those of a node that "crashed").
    pub fn start(
        log: Vec<LogEntry>,
        queue_records_max: usize,
        clock: Clock,
        observer: Observer,
    ) -> Self {
        let mut book = Book::default();
        for entry in &log {
            book.apply(entry);
        }
        let applied = Arc::new(Applied::new(&book, observer));
        applied.mark_end_seen(clock.monotonic_us());
        let held = Mutex::new(Held { log, ..Held::default() });
        Self(Arc::new(Inner { applied, ports: Ports::default(), clock, queue_records_max, held }))
    }

    /// The applied state.
    pub fn applied(&self) -> &Arc<Applied> {
        &self.0.applied
    }

    /// Everything that is durable, in log order.
    pub fn entries(&self) -> Vec<LogEntry> {
        self.0.held.lock().log.clone()
    }

    /// How many records wait.
    pub fn queued(&self) -> usize {
        self.0.held.lock().queue.len()
    }

    /// Takes up to `records_max` queued records into the log as one batch, applies and decides them.
    /// Returns how many; 0 only marks the log's end as seen.
    pub fn commit(&self, records_max: usize) -> usize {
        let mut held = self.0.held.lock();
        let now_ms = self.0.clock.unix_ms();
        let count = records_max.min(held.queue.len());
        let first = held.log.len();
        let batch: Vec<Queued> = held.queue.drain(..count).collect();
        let mut tickets = Vec::with_capacity(count);
        for (index, queued) in batch.into_iter().enumerate() {
            let offset = (first + index + 1) as u64;
            let (product, record) = (queued.append.product, queued.append.record);
            held.log.push(LogEntry { offset, appended_at_ms: now_ms, product, record });
            tickets.push(queued.ticket);
        }
        let entries = held.log[first..].to_vec();
        drop(held);
        self.publish(&entries, tickets);
        count
    }

    fn publish(&self, entries: &[LogEntry], tickets: Vec<super::Ticket>) {
        let applied = &self.0.applied;
        if !entries.is_empty() {
            let outcomes = applied.apply_batch(entries);
            let decided = entries.iter().zip(outcomes).map(|(entry, outcome)| Decided {
                outcome,
                offset: entry.offset,
                log_time_ms: applied
                    .with_state(&entry.product, |state| state.log_time_ms())
                    .unwrap_or(entry.appended_at_ms),
            });
            self.0.ports.deliver(tickets.into_iter().zip(decided));
        }
        applied.mark_end_seen(self.0.clock.monotonic_us());
    }

    /// Moves the first queued record to the end: the log may take records in another order than they
    /// were sent.
    pub fn delay_first(&self) {
        let mut held = self.0.held.lock();
        if let Some(first) = held.queue.pop_front() {
            held.queue.push_back(first);
        }
    }

    /// Loses the first queued record on its way: it never reaches the log, and its caller is never told.
    pub fn lose_first(&self) {
        self.0.held.lock().queue.pop_front();
    }

    /// A durable record that no caller of this node waits for: another node's, a repeat, a forgery.
    /// Applied at once, so queued records come after it.
    pub fn inject(&self, product: ProductId, record: Record) -> Outcome {
        let mut held = self.0.held.lock();
        let offset = held.log.len() as u64 + 1;
        let appended_at_ms = self.0.clock.unix_ms();
        let entry = LogEntry { offset, appended_at_ms, product, record };
        held.log.push(entry.clone());
        // The observer may come back here.
        drop(held);
        let outcomes = self.0.applied.apply_batch(&[entry]);
        self.0.ports.deliver(std::iter::empty());
        outcomes[0]
    }

    /// Ends the log as a crash would: what is queued is lost, what is undecided is `Lost`.
    pub fn stop(&self) {
        let mut held = self.0.held.lock();
        held.stopped = true;
        held.queue.clear();
        self.0.ports.close();
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    pub(super) fn try_send(&self, queued: Queued) -> Result<(), NotAppended> {
        let mut held = self.0.held.lock();
        if held.stopped {
            return Err(NotAppended::Stopped);
        }
        if held.queue.len() >= self.0.queue_records_max {
            return Err(NotAppended::QueueFull);
        }
        held.queue.push_back(queued);
        Ok(())
    }
}
