//! How much work a challenge is: a pure function of the score and of how many are challenged.
//!
//! Solving takes half of [`Work::number_max`] hashes on average, all of them at worst. Checking takes one
//! hash and one HMAC, some microseconds, whatever the work.
//!
//! | number_max | hashes on average | a phone at 25,000 a second | a laptop at 150,000 a second |
//! |---|---|---|---|
//! | 50,000 ([`NUMBER_BASE`]) | 25,000 | 1 s | 0.2 s |
//! | 400,000 ([`NUMBER_MAX`]) | 200,000 | 8 s | 1.3 s |
//!
//! The rates are estimates for one worker of the public widget, which calls Web Crypto for each hash. Our own
//! script (`/challenge.js`) has no such call and made 500,000 a second on a server's core; a native program makes
//! some millions. The work slows a farm, it does not stop one who pays for cores.

/// What a challenge just above the threshold asks, on a quiet node.
pub const NUMBER_BASE: u32 = 50_000;
/// The most that is asked.
pub const NUMBER_MAX: u32 = 400_000;
/// How many times as much is asked at the upper threshold as at the lower one.
pub const SCORE_FACTOR_MAX: u32 = 4;
/// Challenges of a node in a second, for each of which many the work grows by once the base.
pub const LOAD_STEP: u32 = 500;
/// How many times as much is asked under load at most.
pub const LOAD_FACTOR_MAX: u32 = 4;

/// Work, in the largest number to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work(u32);

impl Work {
    /// The work for `points` between these thresholds, while `per_second` challenges a second are asked.
    pub fn new(points: u16, challenge_above: u16, refuse_above: u16, per_second: u32) -> Self {
        let by_score = by_score(points, challenge_above, refuse_above);
        let load = 1 + (per_second / LOAD_STEP).min(LOAD_FACTOR_MAX - 1);
        Self(by_score.saturating_mul(load).min(NUMBER_MAX))
    }

    /// The least that is taken for these points, whatever the load was when the challenge was asked: half, so
    /// that nobody must solve twice because of a few points more.
    pub fn least(points: u16, challenge_above: u16, refuse_above: u16) -> Self {
        Self(by_score(points, challenge_above, refuse_above) / 2)
    }

    /// Work by its largest number, if it can be one of ours.
    pub fn of_number(number_max: u32) -> Option<Self> {
        (1..=NUMBER_MAX).contains(&number_max).then_some(Self(number_max))
    }

    /// The largest number to try.
    pub fn number_max(self) -> u32 {
        self.0
    }
}

/// Grows evenly from the base at the lower threshold to [`SCORE_FACTOR_MAX`] times it at the upper one.
fn by_score(points: u16, challenge_above: u16, refuse_above: u16) -> u32 {
    let span = u32::from(refuse_above.saturating_sub(challenge_above)).max(1);
    let above = u32::from(points.saturating_sub(challenge_above)).min(span);
    NUMBER_BASE + NUMBER_BASE * (SCORE_FACTOR_MAX - 1) * above / span
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_work_at_the_edges() {
        let work = |points, per_second| Work::new(points, 60, 100, per_second).number_max();
        assert_eq!(work(0, 0), NUMBER_BASE);
        assert_eq!(work(60, 0), NUMBER_BASE);
        assert_eq!(work(80, 0), 125_000);
        assert_eq!(work(100, 0), SCORE_FACTOR_MAX * NUMBER_BASE);
        assert_eq!(work(u16::MAX, 0), SCORE_FACTOR_MAX * NUMBER_BASE);
        assert_eq!(work(60, LOAD_STEP - 1), NUMBER_BASE);
        assert_eq!(work(60, LOAD_STEP), 2 * NUMBER_BASE);
        assert_eq!(work(60, u32::MAX), LOAD_FACTOR_MAX * NUMBER_BASE);
        assert_eq!(work(100, u32::MAX), NUMBER_MAX);
        // Thresholds that are the same, or the wrong way round.
        assert_eq!(Work::new(7, 5, 5, 0).number_max(), SCORE_FACTOR_MAX * NUMBER_BASE);
        assert_eq!(Work::new(7, 9, 5, 0).number_max(), NUMBER_BASE);
        assert_eq!(Work::of_number(0), None);
        assert_eq!(Work::of_number(NUMBER_MAX + 1), None);
    }

    proptest! {
        #[test]
        fn more_points_and_more_load_are_never_less_work(
            points in 0..200u16,
            more in 0..200u16,
            load in 0..5_000u32,
            further in 0..5_000u32,
        ) {
            let less = Work::new(points, 60, 100, load);
            let work = Work::new(points + more, 60, 100, load + further);
            prop_assert!(work >= less);
            prop_assert!(Work::of_number(work.number_max()) == Some(work));
            prop_assert!(Work::least(points, 60, 100) < less, "what is asked is taken");
        }
    }
}
