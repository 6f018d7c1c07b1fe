//! The queue of one product: who came, whose turn it is, who is let in.
//!
//! Before the opening everybody is one of the early ([`Phase::Arriving`]). At the opening they are fixed and drawn
//! ([`Phase::Sealed`], [`Phase::Serving`]); whoever comes later has the place of their number.
//!
//! Invariants:
//! - a buyer has one place at a time, however often they ask;
//! - places are served in order, each once: `head` only grows, and a position is `place − head`, which costs O(1)
//!   however many wait;
//! - those who are admitted and have not bought are at most the units left and the configured surplus, and nobody is
//!   admitted while nothing is left;
//! - whoever has not been heard of for a while at their turn is passed over: what they cost is paid once;
//! - memory is bounded by `waiting_max` and given back as late places are served.
//!
//! Times are Unix milliseconds of one clock; one that goes back delays, and breaks nothing.

use std::collections::VecDeque;

use slots::{Slot, Slots, State};

use super::credit::Credit;
use super::permutation::Permutation;
use super::speed::Speed;
use crate::config;
use crate::sale::BuyerRef;

mod slots;

/// How long an admission is counted after it has ended, in milliseconds: an order that was sent at the last moment
/// is decided by then.
pub const LAPSE_GRACE_MS: u64 = 2_000;
/// Times of a place are kept in steps of this, in milliseconds.
const STEP_MS: u64 = 100;

/// By which rules a queue is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Admissions a second.
    pub rate_per_second: u32,
    /// How many may be admitted beyond the units left.
    pub surplus: u32,
    /// How long an admission is good, in milliseconds.
    pub admission_ms: u64,
    /// After how long without a sign of life one is passed over, in milliseconds.
    pub absent_ms: u64,
    /// Places that are kept at once.
    pub waiting_max: usize,
}

impl Terms {
    /// Those of the configuration.
    pub fn of(config: &config::room::Room) -> Self {
        Self {
            rate_per_second: config.admit_per_second,
            surplus: config.surplus_units,
            admission_ms: config.admission_seconds.saturating_mul(1_000),
            absent_ms: config.absent_seconds.saturating_mul(1_000),
            waiting_max: config.waiting_max,
        }
    }
}

/// How the sale stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// Whether its opening has come.
    pub opened: bool,
    /// Whether orders are taken now: opened, and neither paused nor over.
    pub selling: bool,
    /// Units left.
    pub units_left: u32,
}

impl Supply {
    /// Whether one more may be let in, `admitted` being those who are and have not bought: at most `surplus` more
    /// than there are units.
    pub fn may_admit(&self, surplus: u32, admitted: u64) -> bool {
        let most = u64::from(self.units_left) + u64::from(surplus);
        self.selling && self.units_left > 0 && admitted < most
    }
}

/// How far a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Before the opening.
    Arriving,
    /// The early are fixed, the draw is not made yet.
    Sealed,
    /// Places are served.
    Serving(Permutation),
}

/// How it stands with one ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Waits for the draw.
    Early,
    /// Waits for their turn.
    Waiting {
        /// Their place, from 0.
        place: u32,
        /// Places that are served before.
        ahead: u32,
    },
    /// May buy.
    Admitted {
        /// Until then.
        until_ms: u64,
    },
    /// Has used their admission.
    Spent,
    /// Has let their admission end.
    Lapsed,
    /// Was not there at their turn.
    Passed,
    /// No such ticket, or one whose place was given back.
    Unknown,
}

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the waiting room is full")]
pub struct Full;

/// The queue of one product.
#[derive(Debug)]
pub struct Queue {
    terms: Terms,
    phase: Phase,
    begun_ms: u64,
    slots: Slots,
    /// The next place to serve.
    head: u32,
    admitted: u32,
    admitted_total: u64,
    /// When admissions end, the earliest first; they all last as long.
    ends: VecDeque<(u64, u32)>,
    /// What may be admitted now, in thousandths, and since when that is counted.
    credit: Credit,
    speed: Speed,
}

impl Queue {
    /// An empty one.
    pub fn new(terms: Terms, now_ms: u64) -> Self {
        Self {
            terms,
            phase: Phase::Arriving,
            begun_ms: now_ms,
            slots: Slots::default(),
            head: 0,
            admitted: 0,
            admitted_total: 0,
            ends: VecDeque::new(),
            credit: Credit::since(now_ms),
            speed: Speed::default(),
        }
    }

    /// How far it is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The next place to serve: all before it had their turn.
    pub fn head(&self) -> u32 {
        self.head
    }

    /// Places that were given out.
    pub fn places(&self) -> u32 {
        self.slots.given()
    }

    /// Admitted, and neither bought nor over.
    pub fn admitted(&self) -> u32 {
        self.admitted
    }

    /// Admissions since the beginning.
    pub fn admitted_total(&self) -> u64 {
        self.admitted_total
    }

    /// The early ones by number: buyer, and when they came. Whole until the draw is made.
    pub fn early(&self) -> impl Iterator<Item = (BuyerRef, u64)> {
        self.slots.early().iter().map(|slot| (slot.buyer, slot.issued_ms))
    }

    /// A place for this buyer: the one they have, or the next. Number, and when it was given.
    ///
    /// # Errors
    /// If there is no room for one more.
    pub fn enter(&mut self, buyer: BuyerRef, now_ms: u64) -> Result<(u32, u64), Full> {
        if let Some((number, slot)) = self.slots.find(&buyer)
            && slot.is_live()
        {
            let issued_ms = slot.issued_ms;
            self.seen(number, now_ms);
            return Ok((number, issued_ms));
        }
        if self.slots.kept() >= self.terms.waiting_max || self.places() == u32::MAX {
            return Err(Full);
        }
        let step = self.step(now_ms);
        let slot = Slot { buyer, issued_ms: now_ms, step, state: State::Waiting };
        Ok((self.slots.push(slot), now_ms))
    }

    /// This buyer's latest place: number, and when it was given.
    pub fn of_buyer(&self, buyer: &BuyerRef) -> Option<(u32, u64)> {
        self.slots.find(buyer).map(|(number, slot)| (number, slot.issued_ms))
    }

    /// How it stands with a ticket, whose holder is heard of by it.
    pub fn poll(&mut self, number: u32, issued_ms: u64, buyer: &BuyerRef, now_ms: u64) -> Standing {
        let Some(slot) = self.slots.get(number) else { return Standing::Unknown };
        if slot.buyer != *buyer || slot.issued_ms != issued_ms {
            return Standing::Unknown;
        }
        let (state, step) = (slot.state, slot.step);
        match state {
            State::Waiting => {
                self.seen(number, now_ms);
                match self.place(number) {
                    Some(place) => {
                        Standing::Waiting { place, ahead: place.saturating_sub(self.head) }
                    }
                    None => Standing::Early,
                }
            }
            State::Admitted => {
                let until_ms = self.time(step);
                if now_ms < until_ms { Standing::Admitted { until_ms } } else { Standing::Lapsed }
            }
            State::Spent => Standing::Spent,
            State::Lapsed => Standing::Lapsed,
            State::Passed => Standing::Passed,
        }
    }

    /// About how long somebody waits who has that many places before them, in seconds; `None` while nothing moves.
    pub fn wait_seconds(&self, ahead: u32) -> Option<u64> {
        self.speed.wait_seconds(ahead, self.terms.rate_per_second)
    }

    /// The opening has come: those who are here are the early ones.
    pub fn seal(&mut self) {
        if self.phase == Phase::Arriving {
            self.slots.seal();
            self.phase = Phase::Sealed;
        }
    }

    /// The draw is made: places are served from now on.
    pub fn serve(&mut self, permutation: Permutation, now_ms: u64) {
        if self.phase == Phase::Sealed {
            self.phase = Phase::Serving(permutation);
            self.credit = Credit::since(now_ms);
            self.speed = Speed::since(now_ms);
        }
    }

    /// Ends admissions whose time is over, and lets in whose turn it is. How many were let in.
    pub fn tick(&mut self, now_ms: u64, supply: Supply) -> u32 {
        self.lapse(now_ms);
        if !matches!(self.phase, Phase::Serving(_)) {
            return 0;
        }
        let most = self.credit.admissions(self.terms.rate_per_second, now_ms);
        let mut let_in = 0;
        let last = self.places();
        while self.head < last
            && u64::from(let_in) < most
            && supply.may_admit(self.terms.surplus, self.admitted.into())
        {
            let place = self.head;
            self.head += 1;
            let_in += u32::from(self.serve_place(place, now_ms));
        }
        self.credit.spend(let_in.into());
        self.slots.free(self.head);
        self.speed.measure(now_ms, self.head, self.places());
        let_in
    }

    /// The buyer has bought, or cannot any more: the admission is used. `false` if they had none.
    pub fn spend(&mut self, buyer: &BuyerRef) -> bool {
        let Some((number, slot)) = self.slots.find(buyer) else { return false };
        if slot.state != State::Admitted {
            return false;
        }
        self.finish(number, State::Spent);
        true
    }

    /// Bytes that it takes, by what it has reserved.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.slots.bytes() + self.ends.capacity() * size_of::<(u64, u32)>()
    }

    /// Serves a place: whether somebody was let in.
    fn serve_place(&mut self, place: u32, now_ms: u64) -> bool {
        let number = match &self.phase {
            Phase::Serving(permutation) => permutation.number(place).unwrap_or(place),
            _ => place,
        };
        let (now, absent) = (self.step(now_ms), self.terms.absent_ms.div_ceil(STEP_MS));
        let until = self.step(now_ms + self.terms.admission_ms);
        let Some(slot) = self.slots.get_mut(number) else { return false };
        if slot.state != State::Waiting {
            return false;
        }
        if u64::from(now.saturating_sub(slot.step)) > absent {
            self.finish(number, State::Passed);
            return false;
        }
        (slot.state, slot.step) = (State::Admitted, until);
        self.admitted += 1;
        self.admitted_total += 1;
        self.ends.push_back((self.time(until) + LAPSE_GRACE_MS, number));
        true
    }

    fn lapse(&mut self, now_ms: u64) {
        while let Some((_, number)) = self.ends.pop_front_if(|(ends_ms, _)| *ends_ms <= now_ms) {
            if self.slots.get(number).is_some_and(|slot| slot.state == State::Admitted) {
                self.finish(number, State::Lapsed);
            }
        }
    }

    /// Ends a live place.
    fn finish(&mut self, number: u32, state: State) {
        let before = self.slots.finish(number, state);
        self.admitted -= u32::from(before == Some(State::Admitted));
    }

    fn place(&self, number: u32) -> Option<u32> {
        match &self.phase {
            _ if self.slots.is_late(number) => Some(number),
            Phase::Serving(permutation) => permutation.place(number),
            _ => None,
        }
    }

    fn seen(&mut self, number: u32, now_ms: u64) {
        let step = self.step(now_ms);
        if let Some(slot) = self.slots.get_mut(number)
            && slot.state == State::Waiting
        {
            slot.step = slot.step.max(step);
        }
    }

    fn step(&self, now_ms: u64) -> u32 {
        u32::try_from(now_ms.saturating_sub(self.begun_ms) / STEP_MS).unwrap_or(u32::MAX)
    }

    fn time(&self, step: u32) -> u64 {
        self.begun_ms + u64::from(step) * STEP_MS
    }
}

#[cfg(test)]
mod tests;
