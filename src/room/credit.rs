//! What a room may admit by now: its rate, saved up to what one second gives.

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credit {
    since_ms: u64,
    /// Thousandths of an admission.
    milli: u64,
}

impl Credit {
    /// Nothing yet; it grows from now on.
    pub fn since(now_ms: u64) -> Self {
        Self { since_ms: now_ms, milli: 0 }
    }

    /// How many may be admitted now; at least one can be saved up, however low the rate is.
    pub fn admissions(&mut self, rate_per_second: u32, now_ms: u64) -> u64 {
        let rate = u64::from(rate_per_second);
        let grown = now_ms.saturating_sub(self.since_ms).saturating_mul(rate);
        self.since_ms = now_ms;
        self.milli = self.milli.saturating_add(grown).min((rate * 1_000).max(1_000));
        self.milli / 1_000
    }

    /// So many were admitted.
    pub fn spend(&mut self, admissions: u64) {
        self.milli = self.milli.saturating_sub(admissions.saturating_mul(1_000));
    }
}
