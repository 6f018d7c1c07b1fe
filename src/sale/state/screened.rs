//! By which time a node screens that does not know the log's for certain.

use super::SaleState;

impl SaleState {
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
