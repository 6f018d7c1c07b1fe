//! The thread "evidence": makes marks, gathers rows and counts, and gives them to the store.
//!
//! A store that fails is tried again, less and less often. Meanwhile this thread takes no more than one batch out of the
//! queue, so memory stays bounded; what the queue has no place for is counted as dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::intake::{Control, Message, Parts};
use super::mark::Marks;
use super::{Mark, MinuteCount, Sighting, What};
use crate::clock::Clock;
use crate::keys::IdentityKeys;
use crate::sale::ProductId;

/// Rows that are written together at most, and for how long they gather.
pub(super) const BATCH_ROWS_MAX: usize = 1_000;
const BATCH_US_MAX: u64 = 250_000;
/// How often the queue is looked at: nobody wakes the thread.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often old rows are looked for.
const HOUSE_EVERY_US: u64 = 60_000_000;
/// Between two tries of a store that fails: at first, and at most.
const RETRY_US_MIN: u64 = 250_000;
const RETRY_US_MAX: u64 = 4_000_000;
/// Counts that wait for a store that fails; of more the oldest minutes go.
const COUNTS_MAX: usize = 65_536;

/// Where rows go.
pub(super) trait Sink: Send + 'static {
    /// For how long counts are gathered, in microseconds.
    const COUNTS_EVERY_US: u64;

    /// Writes rows and adds counts, all or nothing.
    fn write(&mut self, rows: &[Sighting], counts: &[MinuteCount]) -> Result<(), NotWritten>;

    /// Deletes a piece of what is too old or too much; says whether there is more to do at once.
    fn keep_house(&mut self, now_ms: u64) -> bool;
}

/// Why something was not written.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// It may be later.
    Yet(String),
    /// It will not be, or it was and nobody knows: better a gap than everything twice.
    #[cfg_attr(not(feature = "distributed"), allow(dead_code, reason = "a file knows its rows"))]
    Ever(String),
}

/// See the module.
pub(super) struct Writer<S> {
    parts: Parts<S>,
    sink: S,
    clock: Clock,
    identity: Arc<IdentityKeys>,
    marks: Marks,
    rows: Vec<Sighting>,
    rows_due_us: u64,
    counts: BTreeMap<(u64, Option<ProductId>, What), u64>,
    counts_due_us: u64,
    house_due_us: u64,
    failing: Option<Failing>,
}

/// Since when, so to speak, the store fails.
struct Failing {
    again_us: u64,
    delay_us: u64,
    dropped_before: u64,
}

impl<S: Sink> Writer<S> {
    pub(super) fn new(parts: Parts<S>, sink: S, clock: Clock, identity: Arc<IdentityKeys>) -> Self {
        let now_us = clock.monotonic_us();
        Self {
            marks: Marks::of(&identity, clock.unix_ms()),
            rows: Vec::with_capacity(BATCH_ROWS_MAX),
            rows_due_us: 0,
            counts: BTreeMap::new(),
            counts_due_us: now_us + S::COUNTS_EVERY_US,
            // What grew old while nobody ran goes at once.
            house_due_us: now_us,
            failing: None,
            parts,
            sink,
            clock,
            identity,
        }
    }

    /// Writes until it is told to stop, or nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        loop {
            match self.parts.told.recv_timeout(LOOK_EVERY) {
                Ok(Control::Flush(done)) => {
                    self.flush();
                    // Whoever waits may have gone.
                    let _ = done.send(());
                }
                Ok(Control::Do(job)) => {
                    self.flush();
                    job(&mut self.sink);
                }
                Ok(Control::Stop) | Err(RecvTimeoutError::Disconnected) => return self.end(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.work();
        }
    }

    /// What is due.
    fn work(&mut self) {
        loop {
            self.gather();
            let full = self.rows.len() == BATCH_ROWS_MAX;
            let now_us = self.clock.monotonic_us();
            let due = full || (!self.rows.is_empty() && now_us >= self.rows_due_us);
            if now_us >= self.counts_due_us {
                self.counts_due_us = now_us + S::COUNTS_EVERY_US;
                self.take_counts();
                self.write(true);
            } else if due {
                self.write(false);
            }
            if !(full && self.rows.is_empty()) {
                break;
            }
        }
        if self.clock.monotonic_us() >= self.house_due_us {
            let more = self.sink.keep_house(self.clock.unix_ms());
            let pause_us = if more { 0 } else { HOUSE_EVERY_US };
            self.house_due_us = self.clock.monotonic_us() + pause_us;
        }
    }

    /// Writes all that has been noted, as far as the store takes it.
    fn flush(&mut self) {
        if let Some(failing) = &mut self.failing {
            failing.again_us = 0;
        }
        loop {
            self.gather();
            let full = self.rows.len() == BATCH_ROWS_MAX;
            if !full {
                self.take_counts();
            }
            self.write(!full);
            if !(full && self.rows.is_empty()) {
                return;
            }
        }
    }

    fn end(mut self) {
        self.flush();
        let left = self.rows.len() + self.parts.queue.len();
        if left > 0 {
            self.parts.counts.dropped.fetch_add(left as u64, Ordering::Relaxed);
            tracing::warn!(rows = left, "the evidence was not taken to its end");
        }
    }

    /// Takes what is in the queue, up to a batch.
    fn gather(&mut self) {
        while self.rows.len() < BATCH_ROWS_MAX {
            let Ok(message) = self.parts.queue.try_recv() else { return };
            if self.rows.is_empty() {
                self.rows_due_us = self.clock.monotonic_us() + BATCH_US_MAX;
            }
            let sighting = self.sighting(message);
            self.rows.push(sighting);
        }
    }

    /// Here address, fingerprint and user id end.
    fn sighting(&mut self, message: Message) -> Sighting {
        let Message { at_ms, what, weight, product, seen } = message;
        if !self.marks.hold_at(at_ms) {
            self.marks = Marks::of(&self.identity, at_ms);
        }
        let marks = &self.marks;
        Sighting {
            at_ms,
            what,
            weight,
            product,
            order_id: seen.order_id,
            buyer: seen.buyer,
            series: seen.user.and_then(|user| marks.series(user.as_str())),
            address: seen.address.map_or(Mark::NONE, |ip| marks.address(ip)),
            network: seen.address.map_or(Mark::NONE, |ip| marks.network(ip)),
            fingerprint: seen.fingerprint.map(|fingerprint| marks.fingerprint(&fingerprint)),
        }
    }

    fn take_counts(&mut self) {
        for tally in self.parts.tallies.lock().iter() {
            for MinuteCount { minute_ms, product, what, count } in tally.lock().take() {
                *self.counts.entry((minute_ms, product, what)).or_default() += count;
            }
        }
        while self.counts.len() > COUNTS_MAX {
            self.counts.pop_first();
        }
    }

    /// Gives the store what is here, unless it failed just now.
    fn write(&mut self, with_counts: bool) {
        let now_us = self.clock.monotonic_us();
        if self.failing.as_ref().is_some_and(|failing| now_us < failing.again_us) {
            return;
        }
        let counts = if with_counts { self.counts() } else { Vec::new() };
        if self.rows.is_empty() && counts.is_empty() {
            return;
        }
        match self.sink.write(&self.rows, &counts) {
            Ok(()) => {
                let rows = self.rows.len() as u64;
                self.parts.counts.rows.fetch_add(rows, Ordering::Relaxed);
                self.done_with(with_counts);
                if let Some(failing) = self.failing.take() {
                    let dropped = self.parts.counts.dropped() - failing.dropped_before;
                    tracing::info!(dropped, "the evidence is written again");
                }
            }
            Err(NotWritten::Yet(why)) => self.failed(&why),
            Err(NotWritten::Ever(why)) => {
                self.failed(&why);
                let lost = self.rows.len() as u64;
                self.parts.counts.dropped.fetch_add(lost, Ordering::Relaxed);
                self.done_with(with_counts);
            }
        }
    }

    fn done_with(&mut self, with_counts: bool) {
        self.rows.clear();
        if with_counts {
            self.counts.clear();
        }
    }

    fn counts(&self) -> Vec<MinuteCount> {
        let count =
            |(&(minute_ms, product, what), &count)| MinuteCount { minute_ms, product, what, count };
        self.counts.iter().map(count).collect()
    }

    /// Says it once; how often it fails is in the metrics.
    fn failed(&mut self, why: &str) {
        self.parts.counts.failures.fetch_add(1, Ordering::Relaxed);
        let now_us = self.clock.monotonic_us();
        let (delay_us, dropped_before) = match &self.failing {
            Some(failing) => ((failing.delay_us * 2).min(RETRY_US_MAX), failing.dropped_before),
            None => {
                tracing::warn!(why, "the evidence cannot be written; selling goes on without it");
                (RETRY_US_MIN, self.parts.counts.dropped())
            }
        };
        self.failing = Some(Failing { again_us: now_us + delay_us, delay_us, dropped_before });
    }
}
