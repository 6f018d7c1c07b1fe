//! The shapes of an open loop: how the rate goes over the time of a run, and when each attempt is due.
//!
//! A schedule is a few stretches in which the rate goes evenly from one value to another; attempts lie as
//! evenly as the rate allows. Pure: the same plan gives the same times.

use serde::Serialize;

/// How the rate goes over the time of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The same rate throughout.
    Steady,
    /// From one rate evenly up (or down) to the rate of the plan, which it reaches at the end.
    Ramp {
        /// Attempts a second at the beginning.
        from_per_second: u32,
    },
    /// The rate of the plan, and for the middle fifth of the time another: the moment at which a sale opens.
    Spike {
        /// Attempts a second in the middle fifth.
        peak_per_second: u32,
    },
    /// The same rate for a long time, to find what grows.
    Soak,
}

impl Profile {
    /// A stable word for tables and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Ramp { .. } => "ramp",
            Self::Spike { .. } => "spike",
            Self::Soak => "soak",
        }
    }

    /// Length of a run for which none is given, in milliseconds.
    pub fn usual_ms(self) -> u64 {
        match self {
            Self::Steady => 10_000,
            Self::Ramp { .. } | Self::Spike { .. } => 30_000,
            Self::Soak => 600_000,
        }
    }

    /// Whether the shape fills the time of the run, so that it must have one.
    pub fn has_shape(self) -> bool {
        matches!(self, Self::Ramp { .. } | Self::Spike { .. })
    }

    /// The highest rate beside that of the plan, where there is another.
    pub fn other_per_second(self) -> Option<u32> {
        match self {
            Self::Ramp { from_per_second } => Some(from_per_second),
            Self::Spike { peak_per_second } => Some(peak_per_second),
            Self::Steady | Self::Soak => None,
        }
    }
}

/// A stretch of time in which the rate (attempts a second) goes evenly from one value to another.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    length_us: f64,
    from: f64,
    to: f64,
}

impl Stretch {
    fn new(length_us: f64, from_per_second: u32, to_per_second: u32) -> Self {
        Self { length_us, from: from_per_second.into(), to: to_per_second.into() }
    }

    fn attempts(&self) -> f64 {
        self.length_us * f64::midpoint(self.from, self.to) / 1e6
    }

    /// The time within it at which so many attempts have fallen due, in microseconds.
    fn time_of(&self, attempts: f64) -> f64 {
        // from·t + slope·t²/2 = attempts, solved so that a slope of 0 needs no case of its own.
        let slope = (self.to - self.from) / self.length_us * 1e6;
        let root = (self.from * self.from + 2.0 * slope * attempts).max(0.0).sqrt();
        2.0 * attempts * 1e6 / (self.from + root)
    }
}

/// When each attempt of a run is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    stretches: Vec<Stretch>,
    length_us: u64,
}

impl Schedule {
    /// Of a profile at `per_second` over `length_us` (microseconds). Rates and length must not be 0.
    pub fn new(profile: Profile, per_second: u32, length_us: u64) -> Self {
        let length = length_us as f64;
        let flat = |share: f64, rate| Stretch::new(length * share, rate, rate);
        let stretches = match profile {
            Profile::Steady | Profile::Soak => vec![flat(1.0, per_second)],
            Profile::Ramp { from_per_second } => {
                vec![Stretch::new(length, from_per_second, per_second)]
            }
            Profile::Spike { peak_per_second } => {
                vec![flat(0.4, per_second), flat(0.2, peak_per_second), flat(0.4, per_second)]
            }
        };
        Self { stretches, length_us }
    }

    /// Microseconds from the start until attempt `number` (the first is 0) is due; `None` if that is after
    /// the end.
    pub fn due_us(&self, number: u64) -> Option<u64> {
        let (mut left, mut begin_us) = (number as f64, 0.0);
        for stretch in &self.stretches {
            let attempts = stretch.attempts();
            if left < attempts {
                let due_us = (begin_us + stretch.time_of(left)).round() as u64;
                return Some(due_us.min(self.length_us - 1));
            }
            left -= attempts;
            begin_us += stretch.length_us;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts fall due in each second.
    fn by_second(profile: Profile, per_second: u32, seconds: u64) -> Vec<u64> {
        let schedule = Schedule::new(profile, per_second, seconds * 1_000_000);
        let mut counts = vec![0; seconds as usize];
        let mut earlier = 0;
        for due_us in (0..).map_while(|number| schedule.due_us(number)) {
            assert!(due_us >= earlier, "attempts are in the order of their times");
            earlier = due_us;
            counts[(due_us / 1_000_000) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_steady_rate_is_the_same_in_every_second() {
        assert_eq!(by_second(Profile::Steady, 500, 4), [500; 4]);
        assert_eq!(by_second(Profile::Soak, 7, 3), [7; 3]);
        let schedule = Schedule::new(Profile::Steady, 1_000, 1_000_000);
        assert_eq!((schedule.due_us(0), schedule.due_us(250)), (Some(0), Some(250_000)));
        assert_eq!(schedule.due_us(1_000), None, "nothing is due after the end");
    }

    #[test]
    fn a_ramp_goes_evenly_from_one_rate_to_the_other() {
        let counts = by_second(Profile::Ramp { from_per_second: 100 }, 1_100, 10);
        for (second, count) in counts.iter().enumerate() {
            let middle = 100 + 100 * second as u64 + 50;
            assert!(count.abs_diff(middle) <= 1, "{counts:?}");
        }
        let down = by_second(Profile::Ramp { from_per_second: 1_100 }, 100, 10);
        assert!(down.is_sorted_by(|a, b| a > b), "{down:?}");
    }

    #[test]
    fn a_spike_is_the_middle_fifth() {
        let counts = by_second(Profile::Spike { peak_per_second: 1_000 }, 100, 10);
        assert_eq!(counts, [100, 100, 100, 100, 1_000, 1_000, 100, 100, 100, 100]);
    }

    #[test]
    fn times_are_exact_for_as_many_attempts_as_a_run_may_have() {
        let schedule = Schedule::new(Profile::Soak, 1_000_000, 100_000_000);
        assert_eq!(schedule.due_us(99_999_999), Some(99_999_999));
    }
}
