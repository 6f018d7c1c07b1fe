//! Whether Redis is asked at all.
//!
//! It opens at the first failure of whatever thread, so that an outage costs the attempts under way one
//! timeout each and the others nothing. Only the keeper closes it, after Redis has answered and has been
//! levelled.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use super::counters::Counters;

/// Closed.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct Breaker {
    /// When it opened, monotonic.
    opened_us: AtomicU64,
}

impl Breaker {
    /// Open, until Redis has been levelled for the first time.
    pub(super) fn new(now_us: u64) -> Self {
        Self { opened_us: AtomicU64::new(now_us) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened_us.load(Ordering::Acquire) != NEVER
    }

    /// How long it has been open, in microseconds.
    pub(super) fn open_us(&self, now_us: u64) -> u64 {
        match self.opened_us.load(Ordering::Acquire) {
            NEVER => 0,
            opened_us => now_us.saturating_sub(opened_us),
        }
    }

    /// Opens it; `why` is said once.
    pub(super) fn open(&self, why: &dyn Display, now_us: u64, counters: &Counters) {
        let opened =
            self.opened_us.compare_exchange(NEVER, now_us, Ordering::AcqRel, Ordering::Acquire);
        if opened.is_ok() {
            counters.outages.add(1);
            tracing::warn!(error = %why, "attempts are screened in memory until Redis is back");
        }
    }

    /// Opens it for good, at the end.
    pub(super) fn shut(&self, now_us: u64) {
        self.opened_us.fetch_min(now_us, Ordering::AcqRel);
    }

    /// Closes it.
    pub(super) fn close(&self, now_us: u64, counters: &Counters) {
        let opened_us = self.opened_us.swap(NEVER, Ordering::AcqRel);
        if opened_us != NEVER {
            let open_us = now_us.saturating_sub(opened_us);
            counters.outages_us.add(open_us);
            tracing::info!(after_ms = open_us / 1_000, "Redis is levelled and screens attempts");
        }
    }
}
