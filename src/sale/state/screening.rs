//! What a node has to look at before it screens an attempt by a sale's state: whether its keys are the sale's,
//! and by which time, if it does not know the log's for certain.

use super::SaleState;
use crate::sale::record::KeyFingerprints;

impl SaleState {
    /// Whether whoever has these keys knows this sale's orders and buyers. An archived sale, which knows none
    /// any more, outlives its keys.
    pub fn is_under(&self, keys: &KeyFingerprints) -> bool {
        self.archived || self.terms.key_fingerprints == *keys
    }

    /// The log time to screen by where it is `likely_ms`, and certainly `reached_ms`: not after the close unless
    /// that is certain, since nobody who is refused for it would ever find out.
    pub fn screened_at(&self, likely_ms: u64, reached_ms: u64) -> u64 {
        let likely_ms = self.log_time_at(likely_ms);
        match self.terms.closes_at_ms {
            Some(closes_at_ms)
                if likely_ms >= closes_at_ms && !self.closed(self.log_time_at(reached_ms)) =>
            {
                closes_at_ms.saturating_sub(1)
            }
            _ => likely_ms,
        }
    }
}
