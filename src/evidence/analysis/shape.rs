//! Attempts over time: how many came to what, a second or a minute at a time.

use std::collections::BTreeMap;

use super::super::{Sighting, What};
use super::patterns::{Order, Pattern};

/// Longest span that is told second by second, in milliseconds: a quarter of an hour.
pub const BY_SECOND_MS_MAX: u64 = 900_000;

/// A second or a minute that has attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Its begin, Unix milliseconds.
    pub at_ms: u64,
    /// Accepted orders that are suspicious.
    pub suspicious: u64,
    /// Attempts by what came of them, those that there are.
    pub came_to: BTreeMap<What, u64>,
}

/// The steps of a span, and how long each is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// In milliseconds.
    pub step_ms: u64,
    /// The oldest first.
    pub steps: Vec<Step>,
}

/// How long the steps of a span are, in milliseconds.
pub fn step_ms(span_ms: u64) -> u64 {
    if span_ms <= BY_SECOND_MS_MAX { 1_000 } else { 60_000 }
}

/// Counts of kept sightings, each for as many attempts as it stands for.
pub fn counts(sightings: &[Sighting]) -> impl Iterator<Item = (u64, What, u64)> {
    sightings.iter().map(|sighting| (sighting.at_ms, sighting.what, u64::from(sighting.weight)))
}

/// Puts counts (time, what, how many) and the suspicious orders into steps of so many milliseconds.
pub fn shape(
    step_ms: u64,
    counts: impl Iterator<Item = (u64, What, u64)>,
    orders: &[Order<'_>],
    pattern: Option<Pattern>,
) -> Shape {
    let step_ms = step_ms.max(1);
    let begin = |at_ms: u64| at_ms - at_ms % step_ms;
    let mut steps: BTreeMap<u64, Step> = BTreeMap::new();
    for (at_ms, what, count) in counts {
        let all = steps.entry(begin(at_ms)).or_default().came_to.entry(what).or_default();
        *all = all.saturating_add(count);
    }
    for order in orders.iter().filter(|order| order.shows(pattern)) {
        steps.entry(begin(order.sighting.at_ms)).or_default().suspicious += 1;
    }
    let steps = steps.into_iter().map(|(at_ms, step)| Step { at_ms, ..step });
    Shape { step_ms, steps: steps.collect() }
}
