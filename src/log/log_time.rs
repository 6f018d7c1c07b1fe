//! What time the log has.
//!
//! Opening, closing and windows go by the log's clock, which is not the node's where brokers keep the log:
//! a node whose own clock is wrong by minutes must neither refuse nor propose by it. No broker tells the
//! time, so it is learnt from records, by the monotonic clock, which nobody sets:
//!
//! - a record that is read at `r` and has the time `a` says that the log's clock was at `a` or later by
//!   then;
//! - one that this node sent at `s` says besides that it was at `a` or earlier by then.
//!
//! The estimate begins at the wall clock and is moved no further than each record of this node's demands. So
//! with clocks that agree it is exact, with a wrong one it is out by a part of the time that the last record
//! was under way. Until the first one there are two answers: the time that records say was reached, and the
//! wall clock's.

use std::sync::atomic::{AtomicI64, Ordering};

/// Nothing is known.
const UNKNOWN: i64 = i64::MIN;
/// Microseconds of the millisecond that a record's time is cut to.
const CUT_US: i64 = 999;

/// The time that the log's clock has now, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTime {
    /// What it most likely is.
    pub likely_ms: u64,
    /// What it is at least: the same once the node has read a record of its own; 0 if nothing is known.
    pub reached_ms: u64,
}

impl LogTime {
    /// A time that is known.
    pub fn known(ms: u64) -> Self {
        Self { likely_ms: ms, reached_ms: ms }
    }

    /// A time that is not to come any more when it gets to the log, for what is to be so from now on; the
    /// likely one if nothing is known.
    pub fn past_ms(self) -> u64 {
        if self.reached_ms == 0 { self.likely_ms } else { self.reached_ms }
    }
}

/// The log's clock, as records tell it. One thread writes, all read.
#[derive(Debug)]
pub struct LogClock {
    /// How far it is ahead of the monotonic clock, in microseconds.
    ahead_us: AtomicI64,
    /// How far at least.
    ahead_us_min: AtomicI64,
}

impl Default for LogClock {
    fn default() -> Self {
        Self { ahead_us: AtomicI64::new(UNKNOWN), ahead_us_min: AtomicI64::new(UNKNOWN) }
    }
}

impl LogClock {
    /// The log's time when the monotonic clock is at `now_us` and the wall clock at `wall_ms`.
    pub fn now(&self, now_us: u64, wall_ms: u64) -> LogTime {
        let ms = |ahead_us: i64| (ahead_us.saturating_add_unsigned(now_us) / 1_000).max(0) as u64;
        match (self.ahead_us.load(Ordering::Relaxed), self.ahead_us_min.load(Ordering::Relaxed)) {
            (UNKNOWN, UNKNOWN) => LogTime { likely_ms: wall_ms, reached_ms: 0 },
            (UNKNOWN, ahead_us) => {
                let reached_ms = ms(ahead_us);
                LogTime { likely_ms: wall_ms.max(reached_ms), reached_ms }
            }
            (ahead_us, _) => LogTime::known(ms(ahead_us)),
        }
    }

    /// Whether the node has read a record of its own, so that its wall clock does not count any more.
    pub fn is_known(&self) -> bool {
        self.ahead_us.load(Ordering::Relaxed) != UNKNOWN
    }

    /// Takes in that a record of the time `appended_at_ms` was there at `read_us`.
    pub fn read(&self, appended_at_ms: u64, read_us: u64) {
        let least_us = us(appended_at_ms).saturating_sub_unsigned(read_us);
        self.ahead_us_min.fetch_max(least_us, Ordering::Relaxed);
        if self.ahead_us.load(Ordering::Relaxed) != UNKNOWN {
            self.ahead_us.fetch_max(least_us, Ordering::Relaxed);
        }
    }

    /// The same of a record that this node handed out at `sent_us`, when its wall clock is at `wall_us` (Unix
    /// microseconds) now that it is read.
    pub fn read_back(&self, appended_at_ms: u64, sent_us: u64, read_us: u64, wall_us: u64) {
        let least_us = us(appended_at_ms).saturating_sub_unsigned(read_us);
        let most_us = us(appended_at_ms).saturating_add(CUT_US).saturating_sub_unsigned(sent_us);
        let before_us = match self.ahead_us.load(Ordering::Relaxed) {
            UNKNOWN => i64::try_from(wall_us).unwrap_or(i64::MAX).saturating_sub_unsigned(read_us),
            ahead_us => ahead_us,
        };
        // The log's clock may have been set, so the newest record counts and not the tightest.
        let ahead_us = before_us.min(most_us).max(least_us);
        self.ahead_us.store(ahead_us, Ordering::Relaxed);
    }
}

fn us(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES_3_US: u64 = 180_000_000;
    /// What the log's clock shows when the monotonic one is at 0, in microseconds.
    const EPOCH_US: u64 = 1_700_000_000_000_000;

    /// The log's clock at `now_us`, as a record shows it.
    fn appended_ms(now_us: u64) -> u64 {
        (EPOCH_US + now_us) / 1_000
    }

    fn known(clock: &LogClock, now_us: u64) -> u64 {
        assert!(clock.is_known());
        let LogTime { likely_ms, reached_ms } = clock.now(now_us, 77);
        assert_eq!(likely_ms, reached_ms);
        likely_ms
    }

    #[test]
    fn before_a_record_of_its_own_a_node_knows_only_what_is_past() {
        let clock = LogClock::default();
        assert_eq!(clock.now(5, 77), LogTime { likely_ms: 77, reached_ms: 0 });
        assert_eq!(clock.now(5, 77).past_ms(), 77);
        clock.read(appended_ms(1_000_000), 3_000_000);
        let reached_ms = appended_ms(2_000_000);
        assert_eq!(clock.now(4_000_000, 77), LogTime::known(reached_ms));
        let ahead_ms = reached_ms + 180_000;
        let time = clock.now(4_000_000, ahead_ms);
        assert_eq!(time, LogTime { likely_ms: ahead_ms, reached_ms });
        assert_eq!(time.past_ms(), reached_ms);
        // An old record says nothing new.
        clock.read(appended_ms(0), 4_000_000);
        assert_eq!(clock.now(4_000_000, 77), LogTime::known(reached_ms));
        assert!(!clock.is_known());
    }

    #[test]
    fn with_clocks_that_agree_it_is_exact_however_long_a_record_took() {
        let clock = LogClock::default();
        let (sent_us, appended_us, read_us) = (1_000_000, 7_000_333, 9_000_000);
        clock.read_back(appended_ms(appended_us), sent_us, read_us, EPOCH_US + read_us);
        for now_us in [9_000_000, 9_000_999, 86_400_000_000] {
            assert_eq!(known(&clock, now_us), appended_ms(now_us));
        }
    }

    #[test]
    fn a_wall_clock_that_is_minutes_out_puts_it_out_by_no_more_than_the_way_of_a_record() {
        for wall_us in [EPOCH_US + MINUTES_3_US, EPOCH_US - MINUTES_3_US] {
            let clock = LogClock::default();
            for (sent_us, appended_us, read_us) in
                [(1_000, 4_000, 9_000), (20_000, 20_500, 22_000), (30_000, 90_000, 92_000)]
            {
                clock.read_back(appended_ms(appended_us), sent_us, read_us, wall_us + read_us);
                let out_ms = known(&clock, read_us).abs_diff(appended_ms(read_us));
                assert!(out_ms <= 6, "{out_ms} ms out");
            }
            // An hour without a record, and a wall clock that jumps meanwhile, change nothing.
            let later_us = 3_600_000_000;
            assert!(known(&clock, later_us).abs_diff(appended_ms(later_us)) <= 2);
        }
    }

    #[test]
    fn a_log_whose_clock_was_set_is_followed() {
        for (wrong_us, then_us) in [(MINUTES_3_US, 0), (0, MINUTES_3_US)] {
            let clock = LogClock::default();
            let (before, after) = (appended_ms(wrong_us), appended_ms(then_us + 1_000_000));
            clock.read_back(before, 0, 1_000, EPOCH_US);
            clock.read_back(after, 1_000_000, 1_001_000, EPOCH_US);
            assert!(known(&clock, 1_000_000).abs_diff(after) <= 1);
        }
    }

    #[test]
    fn what_others_write_moves_it_forward() {
        let clock = LogClock::default();
        clock.read_back(appended_ms(0), 0, 1_000, EPOCH_US);
        clock.read(appended_ms(50_000), 10_000);
        assert_eq!(known(&clock, 10_000), appended_ms(50_000));
    }
}
