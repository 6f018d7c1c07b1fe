//! What happened when: counts and latencies by slots of time.
//!
//! Bounded whatever the length of a run: at most [`SLOTS_MAX`] slots, and when they are full, each two
//! neighbours become one of twice the length. One a thread, merged at the end.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::answer::Answer;
use super::tally::LATENCY_US_MAX;

/// Most slots.
pub const SLOTS_MAX: usize = 120;
/// Length of a slot at first, in microseconds.
pub const SLOT_US_MIN: u64 = 250_000;
/// Digits to which the latencies of a slot are told apart: two take 11 KB a slot.
const DIGITS: u8 = 2;

/// What came of a request, as plots and series tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 200 "success".
    Accepted,
    /// Decided otherwise: sold out, a repeat, a forgery.
    Refused,
    /// To be asked again: busy, too fast, pending, a failure.
    Later,
    /// No answer.
    Unanswered,
}

impl Outcome {
    /// All of them, in the order of the plots.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Refused, Self::Later, Self::Unanswered];

    /// Of an answer.
    pub fn of(answer: &Answer<'_>) -> Self {
        if answer.is_accepted() {
            Self::Accepted
        } else if answer.is_open() {
            Self::Later
        } else {
            Self::Refused
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Later => "try again",
            Self::Unanswered => "no answer",
        }
    }
}

/// One slot.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Attempts that fell due in it (open loop).
    pub due: u64,
    /// Requests that came to an end in it, in the order of [`Outcome::ALL`].
    pub counts: [u64; 4],
    /// Latencies of the answers that came in it, in microseconds.
    pub latency: Histogram<u32>,
}

impl Slot {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        Self { due: 0, counts: [0; 4], latency: latency.expect("the bounds are in order") }
    }

    /// Requests that came to an end in it.
    pub fn ended(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.due += other.due;
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.latency.add(&other.latency).expect("all slots have the same bounds");
    }
}

/// The slots of a run, the first from its start; none is left out.
#[derive(Debug)]
pub struct Timeline {
    slot_us: u64,
    slots: Vec<Slot>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { slot_us: SLOT_US_MIN, slots: Vec::new() }
    }
}

impl Timeline {
    /// Length of a slot, in microseconds.
    pub fn slot_us(&self) -> u64 {
        self.slot_us
    }

    /// The slots.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// An attempt fell due, `at_us` after the start.
    pub fn due(&mut self, at_us: u64) {
        self.slot(at_us).due += 1;
    }

    /// A request was answered, `at_us` after the start.
    pub fn answered(&mut self, at_us: u64, outcome: Outcome, latency_us: u64) {
        let slot = self.slot(at_us);
        slot.counts[outcome as usize] += 1;
        slot.latency.saturating_record(latency_us);
    }

    /// A request came to nothing, `at_us` after the start.
    pub fn unanswered(&mut self, at_us: u64) {
        self.slot(at_us).counts[Outcome::Unanswered as usize] += 1;
    }

    /// Takes in another thread's.
    pub fn merge(&mut self, mut other: Self) {
        while self.slot_us < other.slot_us {
            self.fold();
        }
        while other.slot_us < self.slot_us {
            other.fold();
        }
        for (place, theirs) in other.slots.into_iter().enumerate() {
            match self.slots.get_mut(place) {
                Some(mine) => mine.add(&theirs),
                None => self.slots.push(theirs),
            }
        }
    }

    fn slot(&mut self, at_us: u64) -> &mut Slot {
        while at_us / self.slot_us >= SLOTS_MAX as u64 {
            self.fold();
        }
        let place = (at_us / self.slot_us) as usize;
        while self.slots.len() <= place {
            self.slots.push(Slot::new());
        }
        &mut self.slots[place]
    }

    fn fold(&mut self) {
        self.slot_us *= 2;
        let mut folded: Vec<Slot> = Vec::with_capacity(self.slots.len().div_ceil(2));
        for (place, slot) in self.slots.drain(..).enumerate() {
            match folded.last_mut() {
                Some(last) if place % 2 == 1 => last.add(&slot),
                _ => folded.push(slot),
            }
        }
        self.slots = folded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_become_longer_and_lose_nothing() {
        let mut timeline = Timeline::default();
        let last_us = 10 * SLOTS_MAX as u64 * SLOT_US_MIN;
        for at_us in (0..=last_us).step_by(100_000) {
            timeline.due(at_us);
            timeline.answered(at_us, Outcome::Refused, 1_000 + at_us / 1_000);
        }
        timeline.unanswered(last_us);
        let slots = timeline.slots();
        assert!((SLOTS_MAX / 2..=SLOTS_MAX).contains(&slots.len()), "{}", slots.len());
        assert_eq!(timeline.slot_us(), 16 * SLOT_US_MIN);
        let requests = last_us / 100_000 + 1;
        assert_eq!(slots.iter().map(|slot| slot.due).sum::<u64>(), requests);
        assert_eq!(slots.iter().map(|slot| slot.latency.len()).sum::<u64>(), requests);
        assert_eq!(slots.iter().map(Slot::ended).sum::<u64>(), requests + 1);
        let medians: Vec<_> = slots.iter().map(|s| s.latency.value_at_quantile(0.5)).collect();
        assert!(medians.is_sorted(), "each answer is in the slot of its time: {medians:?}");
    }

    #[test]
    fn threads_that_ended_at_other_times_are_merged() {
        let (mut long, mut short) = (Timeline::default(), Timeline::default());
        long.answered(SLOTS_MAX as u64 * SLOT_US_MIN, Outcome::Accepted, 5);
        short.answered(3 * SLOT_US_MIN, Outcome::Accepted, 7);
        let mut other_way = Timeline::default();
        other_way.answered(3 * SLOT_US_MIN, Outcome::Accepted, 7);
        long.merge(short);
        assert_eq!(long.slot_us(), 2 * SLOT_US_MIN);
        assert_eq!((long.slots()[1].ended(), long.slots()[SLOTS_MAX / 2].ended()), (1, 1));
        other_way.merge(long);
        assert_eq!(other_way.slots()[1].ended(), 2);
        assert_eq!(other_way.slots().len(), SLOTS_MAX / 2 + 1);
    }
}
