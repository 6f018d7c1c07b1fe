//! How fast places are served, as it was of late: what an estimate of one's waiting time is made of.

/// Over how long it is measured, in milliseconds.
const WINDOW_MS: u64 = 2_000;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    since_ms: u64,
    head: u32,
    /// Places of 1,000 seconds; absent before the first window is over.
    per_1000_s: Option<u64>,
}

impl Speed {
    /// Nothing is known; places are served from now on.
    pub fn since(now_ms: u64) -> Self {
        Self { since_ms: now_ms, ..Self::default() }
    }

    /// Learns from how far the queue is. `head` is the next place to serve of `places`.
    pub fn measure(&mut self, now_ms: u64, head: u32, places: u32) {
        let elapsed_ms = now_ms.saturating_sub(self.since_ms);
        if elapsed_ms < WINDOW_MS {
            return;
        }
        let now = u64::from(head.saturating_sub(self.head)) * 1_000_000 / elapsed_ms;
        // An average that forgets: a window counts for a quarter.
        let per_1000_s = self.per_1000_s.map_or(now, |before| (3 * before + now) / 4);
        // While nobody waits nothing is learnt.
        let idle = head == places && head == self.head;
        let per_1000_s = if idle { self.per_1000_s } else { Some(per_1000_s) };
        *self = Self { since_ms: now_ms, head, per_1000_s };
    }

    /// About how long somebody waits who has that many places before them, in seconds; `None` while nothing moves.
    /// Before anything was measured the configured rate counts.
    pub fn wait_seconds(&self, ahead: u32, rate_per_second: u32) -> Option<u64> {
        match self.per_1000_s.unwrap_or(u64::from(rate_per_second) * 1_000) {
            0 => None,
            speed => Some((u64::from(ahead) * 1_000).div_ceil(speed)),
        }
    }
}
