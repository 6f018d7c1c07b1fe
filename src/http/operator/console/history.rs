//! The last hour in samples of five seconds: what the console's charts show, kept by the node so that a page
//! that is loaded anew shows it too.
//!
//! Bounded: [`SAMPLES_MAX`] samples of a fixed size. Each has a number, so that whoever has seen some asks for
//! those that came after.

use std::collections::VecDeque;

use serde::Serialize;

/// Between two samples, in seconds.
pub const SAMPLE_SECONDS: usize = 5;
/// Samples that are kept: an hour.
pub const SAMPLES_MAX: usize = 3_600 / SAMPLE_SECONDS;

/// What was seen in [`SAMPLE_SECONDS`]. Rates are a second; latencies are estimates from a histogram.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Its number, from 1 on since the node's start.
    pub seq: u64,
    /// Its end, Unix milliseconds.
    pub at: u64,
    /// Units sold a second, over all products and nodes.
    pub sold: f64,
    /// Refusals a second of this node.
    pub refused: f64,
    /// Units left of all products at its end.
    pub remaining: u64,
    /// Attempts that wait for the log at its end.
    pub queue: u64,
    /// Half of the accepted orders took at most this long; `null` if there were none. Microseconds.
    pub p50_us: Option<u64>,
    /// Of a hundred accepted orders 99 took at most this long. Microseconds.
    pub p99_us: Option<u64>,
    /// Records that the workers have not written yet; `null` where there are no workers, or it is not known.
    pub lag: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    last_seq: u64,
}

impl History {
    /// Adds a sample and gives it its number.
    pub fn push(&mut self, sample: Sample) -> &Sample {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.last_seq += 1;
        self.samples.push_back(Sample { seq: self.last_seq, ..sample });
        &self.samples[self.samples.len() - 1]
    }

    /// The samples after this number. A number that was never given is of an earlier start: then all.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = &Sample> {
        let after = if seq > self.last_seq { 0 } else { seq };
        let from = self.samples.partition_point(|sample| sample.seq <= after);
        self.samples.range(from..)
    }

    /// The number of the last sample; 0 if there is none.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut history = History::default();
        for at in 0..2 * SAMPLES_MAX as u64 {
            history.push(Sample { at, ..Sample::default() });
        }
        let kept: Vec<_> = history.after(0).collect();
        assert_eq!(kept.len(), SAMPLES_MAX);
        assert_eq!((kept[0].seq, kept[0].at), (SAMPLES_MAX as u64 + 1, SAMPLES_MAX as u64));
    }

    #[test]
    fn whoever_comes_back_gets_what_came_meanwhile() {
        let mut history = History::default();
        for _ in 0..10 {
            history.push(Sample::default());
        }
        let seqs = |after| history.after(after).map(|sample| sample.seq).collect::<Vec<_>>();
        assert_eq!(seqs(8), [9, 10]);
        assert_eq!(seqs(10), [0_u64; 0]);
        assert_eq!(seqs(11).len(), 10, "a number of an earlier start");
    }
}
