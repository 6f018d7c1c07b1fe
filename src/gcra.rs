//! Rates as GCRA, the generic cell rate algorithm: pure arithmetic in whole microseconds.
//!
//! The virtual-scheduling form of ITU-T I.371, annex A, as explained in "Rate limiting, cells, and GCRA"
//! (Brandur Leach, 2015). All that is kept of a key is its theoretical arrival time (TAT): when its bucket
//! will be full again. A TAT that is not after now is the same as none, so a key that is forgotten at rest
//! loses nothing. The same lines are written in Lua for a gate that nodes share: whole numbers only, no
//! division on the way to the verdict.
//!
//! Invariant: after every charge `now < TAT <= now + interval * burst`.

/// Microseconds of a second.
const SECOND_US: u64 = 1_000_000;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time that one request pays for, in microseconds; at least 1.
    pub interval_us: u64,
    /// How many may come at once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// So many a second, `burst` at once (at least 1). Zero a second is off: `None`.
    ///
    /// The interval is rounded up to a whole microsecond, so the true rate is never above the one that was
    /// asked for: exact for divisors of a million, within 1 % up to 10,000 a second, at most 1,000,000.
    pub fn per_second(rate: u32, burst: u32) -> Option<Self> {
        let interval_us = SECOND_US.checked_div(u64::from(rate))?;
        let rounded_up = interval_us + u64::from(!SECOND_US.is_multiple_of(u64::from(rate)));
        Some(Self { interval_us: rounded_up.max(1), burst: burst.max(1) })
    }

    /// The same interval divided and the same burst multiplied by `factor`: for a prefix that holds many.
    pub fn times(self, factor: u32) -> Self {
        let factor = factor.max(1);
        let interval_us = self.interval_us.div_ceil(u64::from(factor)).max(1);
        Self { interval_us, burst: self.burst.saturating_mul(factor) }
    }

    /// How long an empty bucket takes to fill: `interval * burst`, in microseconds.
    pub fn window_us(&self) -> u64 {
        self.interval_us.saturating_mul(u64::from(self.burst))
    }
}

/// What [`check`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The request is within the rate. Store `tat_us` to charge it.
    Conforms {
        /// The new theoretical arrival time, in microseconds.
        tat_us: u64,
        /// How many more may come at this same moment.
        remaining: u32,
        /// Time until the whole burst is free again, in microseconds.
        reset_us: u64,
    },
    /// The request is over the rate; nothing is charged.
    Exceeds {
        /// Time after which the same request conforms, in microseconds; at least 1.
        retry_after_us: u64,
    },
}

/// Whether a request at `now_us` conforms, for a key whose theoretical arrival time is `tat_us` (0 for a
/// key that is not known).
///
/// A TAT further ahead than any charge can put it comes from a clock that was set back; it is cut to the
/// furthest, so a key is never shut out for longer than one window.
pub fn check(rate: &Rate, tat_us: u64, now_us: u64) -> Check {
    let furthest_us = now_us.saturating_add(rate.window_us());
    let charged_us = tat_us.clamp(now_us, furthest_us).saturating_add(rate.interval_us);
    if charged_us > furthest_us {
        return Check::Exceeds { retry_after_us: charged_us - furthest_us };
    }
    let remaining = (furthest_us - charged_us) / rate.interval_us;
    Check::Conforms {
        tat_us: charged_us,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        reset_us: charged_us - now_us,
    }
}

/// The TAT with one request taken back.
pub fn refund(rate: &Rate, tat_us: u64) -> u64 {
    tat_us.saturating_sub(rate.interval_us)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    /// A key with its TAT, charged where it conforms.
    struct Key {
        rate: Rate,
        tat_us: u64,
    }

    impl Key {
        fn new(rate: Rate) -> Self {
            Self { rate, tat_us: 0 }
        }

        fn request(&mut self, now_us: u64) -> bool {
            match check(&self.rate, self.tat_us, now_us) {
                Check::Conforms { tat_us, .. } => {
                    self.tat_us = tat_us;
                    true
                }
                Check::Exceeds { .. } => false,
            }
        }
    }

    fn ten_a_second() -> Rate {
        Rate::per_second(10, 20).unwrap()
    }

    #[test]
    fn zero_is_off_and_the_interval_is_rounded_up() {
        assert_eq!(Rate::per_second(0, 5), None);
        assert_eq!(Rate::per_second(10, 0), Some(Rate { interval_us: 100_000, burst: 1 }));
        assert_eq!(Rate::per_second(3, 3).unwrap().interval_us, 333_334);
        assert_eq!(Rate::per_second(u32::MAX, 1).unwrap().interval_us, 1);
        assert_eq!(ten_a_second().times(16), Rate { interval_us: 6_250, burst: 320 });
    }

    #[test]
    fn a_burst_and_then_one_an_interval_at_its_exact_edge() {
        let mut key = Key::new(ten_a_second());
        let start = 7_000_000;
        assert_eq!((0..30).filter(|_| key.request(start)).count(), 20);
        assert_eq!(
            check(&key.rate, key.tat_us, start + 1),
            Check::Exceeds { retry_after_us: 99_999 }
        );
        assert!(!key.request(start + 99_999));
        assert!(key.request(start + 100_000));
        assert!(!key.request(start + 100_000));
    }

    #[test]
    fn no_window_has_an_edge_at_which_a_second_burst_passes() {
        // A fixed window of 2 s would let 20 pass at its end and 20 more just after it.
        let mut key = Key::new(ten_a_second());
        let end_of_window = 2_000_000 - 1;
        assert_eq!((0..40).filter(|_| key.request(end_of_window)).count(), 20);
        assert_eq!((0..40).filter(|_| key.request(end_of_window + 2)).count(), 0);
    }

    #[test]
    fn remaining_and_reset_count_down_and_a_refund_takes_one_back() {
        let rate = Rate::per_second(5, 2).unwrap();
        let Check::Conforms { tat_us, remaining, reset_us } = check(&rate, 0, 1_000) else {
            panic!("the first request conforms");
        };
        assert_eq!((tat_us, remaining, reset_us), (201_000, 1, 200_000));
        assert_eq!(
            check(&rate, tat_us, 1_000),
            Check::Conforms { tat_us: 401_000, remaining: 0, reset_us: 400_000 }
        );
        assert_eq!(refund(&rate, 401_000), tat_us);
        assert_eq!(refund(&rate, 5), 0);
    }

    #[test]
    fn a_clock_set_back_or_at_its_end_shuts_nobody_out() {
        let rate = ten_a_second();
        assert_eq!(
            check(&rate, 9_000_000_000, 5),
            Check::Exceeds { retry_after_us: rate.interval_us }
        );
        assert!(matches!(check(&rate, 0, u64::MAX), Check::Conforms { .. }));
        let widest = Rate { interval_us: u64::MAX, burst: u32::MAX };
        assert!(matches!(check(&widest, 0, 0), Check::Conforms { .. }));
    }

    proptest! {
        /// The oracle: governor says the same of every request in any sequence of arrivals.
        #[test]
        fn agrees_with_governor(
            per_second in prop::sample::select(vec![1u32, 2, 5, 10, 20, 100, 1_000, 5_000, 10_000]),
            burst in 1u32..50,
            steps in prop::collection::vec((0u64..400_000, 1usize..8), 1..60),
        ) {
            let clock = FakeRelativeClock::default();
            let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap())
                .allow_burst(NonZeroU32::new(burst).unwrap());
            let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
            let mut key = Key::new(Rate::per_second(per_second, burst).unwrap());
            let mut now_us = 0;
            for (pause_us, requests) in steps {
                now_us += pause_us;
                clock.advance(Duration::from_micros(pause_us));
                for _ in 0..requests {
                    prop_assert_eq!(key.request(now_us), oracle.check().is_ok());
                }
            }
        }

        #[test]
        fn what_a_refusal_asks_to_wait_is_enough_and_no_more(
            burst in 1u32..50, tat_us in 0u64..10_000_000, now_us in 0u64..10_000_000,
        ) {
            let rate = Rate::per_second(10, burst).unwrap();
            if let Check::Exceeds { retry_after_us } = check(&rate, tat_us, now_us) {
                let tat_us = tat_us.min(now_us + rate.window_us());
                let at = |wait_us: u64| check(&rate, tat_us, now_us + wait_us);
                let conforms = matches!(at(retry_after_us), Check::Conforms { .. });
                prop_assert!(conforms);
                let too_early = matches!(at(retry_after_us - 1), Check::Exceeds { .. });
                prop_assert!(too_early);
            }
        }
    }
}
