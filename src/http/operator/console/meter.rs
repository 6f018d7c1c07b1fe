//! Rates and latencies from the counters: the node's counts of now are laid beside those of some seconds ago.
//! Pure; whoever calls says what time it is.

use std::collections::VecDeque;

use crate::http::code::Code;
use crate::http::counters::{Counters, LATENCY_BOUNDS_US};

/// Buckets of a histogram.
const BUCKETS: usize = LATENCY_BOUNDS_US.len() + 1;
/// Readings that are kept, one a second.
const READINGS_MAX: usize = 11;

/// The counts at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// When, monotonic microseconds.
    pub at_us: u64,
    /// Answers of the public listener, by code.
    pub answers: [u64; Code::COUNT],
    /// How long accepted orders took.
    pub accepted: [u64; BUCKETS],
    /// Units sold of all products: falls when orders are reversed or a sale is archived.
    pub sold: u64,
}

impl Reading {
    /// Adds up what all threads have counted.
    pub fn of<'a>(
        at_us: u64,
        sold: u64,
        threads: impl Iterator<Item = &'a Counters> + Clone,
    ) -> Self {
        let mut accepted = [0; BUCKETS];
        for thread in threads.clone() {
            for (all, count) in accepted.iter_mut().zip(thread.accepted.buckets()) {
                *all += count;
            }
        }
        let answers = Code::ALL.map(|code| threads.clone().map(|thread| thread.get(code)).sum());
        Self { at_us, answers, accepted, sold }
    }
}

/// The last readings.
#[derive(Debug, Default)]
pub struct Meter(VecDeque<Reading>);

/// What happened between two readings.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its length.
    pub seconds: f64,
    /// Answers, by code.
    answers: [u64; Code::COUNT],
    accepted: [u64; BUCKETS],
    sold: u64,
}

impl Meter {
    /// Adds the reading of this second.
    pub fn push(&mut self, reading: Reading) {
        if self.0.len() >= READINGS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(reading);
    }

    /// The last reading.
    pub fn last(&self) -> Option<&Reading> {
        self.0.back()
    }

    /// The last `readings` seconds, or what there is; `None` before the second reading.
    pub fn window(&self, readings: usize) -> Option<Window> {
        let last = self.0.back()?;
        let first = &self.0[self.0.len().saturating_sub(readings + 1)];
        let seconds = last.at_us.saturating_sub(first.at_us) as f64 / 1e6;
        (seconds > 0.0).then(|| Window {
            seconds,
            answers: std::array::from_fn(|n| last.answers[n].saturating_sub(first.answers[n])),
            accepted: std::array::from_fn(|n| last.accepted[n].saturating_sub(first.accepted[n])),
            sold: last.sold.saturating_sub(first.sold),
        })
    }
}

impl Window {
    /// Answers of this code, a second.
    pub fn answers(&self, code: Code) -> f64 {
        self.answers[code as usize] as f64 / self.seconds
    }

    /// All refusals, a second.
    pub fn refused(&self) -> f64 {
        let all = Code::ALL.into_iter().filter(|code| is_refusal(*code));
        all.map(|code| self.answers(code)).sum()
    }

    /// Units sold, a second.
    pub fn sold(&self) -> f64 {
        self.sold as f64 / self.seconds
    }

    /// How many orders were accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.iter().sum()
    }

    /// The time within which this part of the accepted orders was answered, see [`quantile_us`].
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        quantile_us(&self.accepted, part)
    }
}

/// Whether an answer says no to somebody who wanted to buy.
pub fn is_refusal(code: Code) -> bool {
    use Code as C;
    !matches!(code, C::Ok | C::Created | C::Accepted | C::Duplicate | C::Pending)
}

/// An estimate from a histogram: within a bucket all values are taken to lie evenly. In the last bucket, which
/// has no upper bound, it is the lower one. `None` if there are no values.
pub fn quantile_us(buckets: &[u64; BUCKETS], part: f64) -> Option<u64> {
    let all: u64 = buckets.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = part * all as f64;
    let mut before = 0;
    for (index, count) in buckets.iter().enumerate() {
        if (before + count) as f64 >= wanted && *count > 0 {
            let lower = index.checked_sub(1).map_or(0, |below| LATENCY_BOUNDS_US[below]);
            let Some(upper) = LATENCY_BOUNDS_US.get(index) else { return Some(lower) };
            let share = ((wanted - before as f64) / *count as f64).clamp(0.0, 1.0);
            return Some(lower + ((upper - lower) as f64 * share) as u64);
        }
        before += count;
    }
    LATENCY_BOUNDS_US.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seconds: u64, accepted: u64, sold_out: u64, sold: u64) -> Reading {
        let mut answers = [0; Code::COUNT];
        answers[Code::Accepted as usize] = accepted;
        answers[Code::SoldOut as usize] = sold_out;
        let mut buckets = [0; BUCKETS];
        buckets[3] = accepted;
        Reading { at_us: seconds * 1_000_000, answers, accepted: buckets, sold }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let mut meter = Meter::default();
        assert!(meter.window(1).is_none());
        meter.push(reading(10, 100, 0, 100));
        assert!(meter.window(1).is_none());
        meter.push(reading(12, 140, 10, 140));
        meter.push(reading(13, 150, 50, 145));
        let last = meter.window(1).unwrap();
        assert_eq!((last.sold(), last.refused(), last.answers(Code::Accepted)), (5.0, 40.0, 10.0));
        let all = meter.window(10).unwrap();
        assert_eq!((all.seconds, all.accepted()), (3.0, 50));
        meter.push(reading(14, 150, 50, 100));
        assert_eq!(meter.window(1).unwrap().sold(), 0.0, "a reversal sells nothing");
    }

    #[test]
    fn readings_are_bounded() {
        let mut meter = Meter::default();
        for second in 0..100 {
            meter.push(reading(second, second, 0, 0));
        }
        assert_eq!(meter.window(1_000).unwrap().seconds, (READINGS_MAX - 1) as f64);
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_value() {
        let mut buckets = [0; BUCKETS];
        assert_eq!(quantile_us(&buckets, 0.5), None);
        buckets[4] = 100; // above 1 ms, up to 2.5 ms
        assert_eq!(quantile_us(&buckets, 0.5), Some(1_750));
        assert_eq!(quantile_us(&buckets, 1.0), Some(2_500));
        buckets[BUCKETS - 1] = 100;
        assert_eq!(quantile_us(&buckets, 0.99), Some(2_500_000), "at least");
        assert_eq!(quantile_us(&buckets, 0.25), Some(1_750));
    }
}
