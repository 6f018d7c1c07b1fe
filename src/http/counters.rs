//! How often each answer was given, and how long orders took. A thread counts in a block of its own; a scrape
//! adds the blocks up.

use std::sync::atomic::{AtomicU64, Ordering};

use super::code::Code;
use crate::guard::challenge::Fault;
use crate::guard::score::{Reason, Reasons};

/// The upper bounds of the buckets of [`Latencies`], in microseconds; one more holds what is above.
pub const LATENCY_BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];

/// The counts of one thread.
#[derive(Debug)]
#[repr(align(128))] // no two threads share a cache line
pub struct Counters {
    answers: [AtomicU64; Code::COUNT],
    /// Of `POST /order` that was accepted, from the request's end to its answer.
    pub accepted: Latencies,
    /// Of `POST /order` that was answered otherwise.
    pub not_accepted: Latencies,
    /// Challenges, and why they were asked.
    pub challenges: Challenges,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            answers: std::array::from_fn(|_| AtomicU64::new(0)),
            accepted: Latencies::default(),
            not_accepted: Latencies::default(),
            challenges: Challenges::default(),
        }
    }
}

/// What became of challenges, and the reasons of those scores that cost one or more.
#[derive(Debug, Default)]
pub struct Challenges {
    offered: AtomicU64,
    solved: AtomicU64,
    faults: [AtomicU64; Fault::COUNT],
    reasons: [AtomicU64; Reason::COUNT],
}

impl Challenges {
    /// Counts one that was asked for before the order.
    pub fn offered(&self) {
        self.offered.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that was solved.
    pub fn solved(&self) {
        self.solved.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an order without a solution, or with one that is none.
    pub fn fault(&self, fault: Fault) {
        self.faults[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the reasons of a score above a threshold.
    pub fn reasons(&self, reasons: Reasons) {
        for reason in reasons.iter() {
            self.reasons[reason as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of the first kind, by word.
    pub fn words(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let own = [("offered", &self.offered), ("solved", &self.solved)];
        let faults = Fault::ALL.into_iter().map(Fault::word).zip(&self.faults);
        own.into_iter().chain(faults).map(|(word, count)| (word, count.load(Ordering::Relaxed)))
    }

    /// All reasons, by word.
    pub fn reason_words(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = Reason::ALL.into_iter().map(Reason::word).zip(&self.reasons);
        reasons.map(|(word, count)| (word, count.load(Ordering::Relaxed)))
    }
}

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Latencies {
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Latencies {
    /// Counts one.
    pub fn count(&self, took_us: u64) {
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound_us| *bound_us < took_us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// How many are in each bucket.
    pub fn buckets(&self) -> [u64; LATENCY_BOUNDS_US.len() + 1] {
        std::array::from_fn(|index| self.buckets[index].load(Ordering::Relaxed))
    }

    /// All of them together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Counts one answer.
    pub fn count(&self, code: Code) {
        self.answers[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how long an attempt took.
    pub fn order(&self, code: Code, took_us: u64) {
        match code {
            Code::Accepted => self.accepted.count(took_us),
            _ => self.not_accepted.count(took_us),
        }
    }

    /// How often `code` was given.
    pub fn get(&self, code: Code) -> u64 {
        self.answers[code as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let latencies = Latencies::default();
        let last = LATENCY_BOUNDS_US[LATENCY_BOUNDS_US.len() - 1];
        for took_us in [0, 100, 101, last, last + 1, u64::MAX / 2] {
            latencies.count(took_us);
        }
        let buckets = latencies.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[11], buckets[12]), (2, 1, 1, 2));
    }
}
