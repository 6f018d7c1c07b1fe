//! What a node knows of one product's gate: its level, what Redis has yet to be told, its rate in memory.

use parking_lot::Mutex;

use super::calls::{Keys, Levelled};
use crate::gate::Verdict;
use crate::gcra::{self, Rate};
use crate::sale::{BuyerRef, ProductId};

/// Decided attempts of one product that wait to be told. Beyond it they are left to expire in Redis.
const SETTLES_MAX: usize = 100_000;
/// Decided attempts that one call tells.
const SETTLES_OF_CALL_MAX: usize = 1_000;
/// How long a changed level may wait for the next change, in microseconds.
const CHANGED_AGE_US_MAX: u64 = 100_000;
/// After so long every level is told again, changed or not, in microseconds: within the second that is
/// promised, with room for a slow answer.
const AGE_US_MAX: u64 = 800_000;
/// A product that has had nothing left for so long, in microseconds, is told ...
const QUIET_AFTER_US: u64 = 600_000_000;
/// ... only so often, in microseconds: most products of a shop are over.
const QUIET_AGE_US_MAX: u64 = 30_000_000;
/// An attempt that finds no unit in Redis asks for a level if the last one is older, in microseconds.
const DOUBT_AGE_US_MIN: u64 = 20_000;
/// With no more units free than this, what is settled is told at once: somebody waits for it.
const SCARCE_UNITS: u32 = 256;

#[derive(Debug)]
pub(super) struct Product {
    pub(super) keys: Keys,
    state: Mutex<State>,
    /// The product's theoretical arrival time by this node's clock, for when Redis is away.
    tat_us: Mutex<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is told of a product before its first level.
    levelled: bool,
    offset: u64,
    remaining: u32,
    changed_us: u64,
    settles: Vec<BuyerRef>,
    told: Option<Told>,
    /// Somebody has doubts about the hint.
    doubted: bool,
    /// It is on the keeper's list already.
    listed: bool,
}

/// What Redis was last told and answered.
#[derive(Debug, Clone, Copy)]
struct Told {
    offset: u64,
    at_us: u64,
    hint: u32,
}

/// What Redis is to be told of a product.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) offset: u64,
    pub(super) remaining: u32,
    pub(super) settles: Vec<BuyerRef>,
}

impl Due {
    /// As many as one call tells: there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.settles.len() == SETTLES_OF_CALL_MAX
    }
}

/// Whether and how fast the keeper is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    No,
    Soon,
    Now,
}

impl Product {
    /// Not levelled yet.
    pub(super) fn new(product: &ProductId) -> Self {
        Self { keys: Keys::new(product), state: Mutex::default(), tat_us: Mutex::default() }
    }

    /// The level as of the highest offset.
    pub(super) fn level(&self) -> (u64, u32) {
        let state = self.state.lock();
        (state.offset, state.remaining)
    }

    /// Takes a new level.
    pub(super) fn set_level(&self, offset: u64, remaining: u32, now_us: u64) -> Wake {
        let state = &mut *self.state.lock();
        if offset < state.offset {
            return Wake::No;
        }
        let first = !std::mem::replace(&mut state.levelled, true);
        let turned = (state.remaining == 0) != (remaining == 0);
        if first || state.remaining != remaining {
            state.changed_us = now_us;
        }
        (state.offset, state.remaining) = (offset, remaining);
        if !first && !turned {
            // The keeper comes by anyway.
            return Wake::No;
        }
        state.doubted = true;
        state.wake(Wake::Now)
    }

    /// Takes a buyer whose attempt is decided. `None`: too many wait.
    pub(super) fn settle(&self, buyer: &BuyerRef) -> Option<Wake> {
        let state = &mut *self.state.lock();
        if state.settles.len() >= SETTLES_MAX {
            return None;
        }
        state.settles.push(*buyer);
        let wake = if state.is_scarce() { Wake::Now } else { Wake::Soon };
        Some(state.wake(wake))
    }

    /// Whether somebody may be waiting for one of the last units.
    pub(super) fn is_scarce(&self) -> bool {
        self.state.lock().is_scarce()
    }

    /// Redis says that there is no unit though the applied state has some.
    pub(super) fn doubt(&self, now_us: u64) -> Wake {
        let state = &mut *self.state.lock();
        let fresh =
            state.told.is_some_and(|told| now_us.saturating_sub(told.at_us) < DOUBT_AGE_US_MIN);
        if state.remaining == 0 || fresh || state.doubted {
            return Wake::No;
        }
        state.doubted = true;
        state.wake(Wake::Now)
    }

    /// What Redis is to be told now, if anything.
    pub(super) fn take_due(&self, now_us: u64) -> Option<Due> {
        let state = &mut *self.state.lock();
        state.listed = false;
        if !state.levelled {
            return None;
        }
        if state.settles.is_empty() && !state.doubted && !state.level_due(now_us) {
            return None;
        }
        state.doubted = false;
        let rest = state.settles.len().saturating_sub(SETTLES_OF_CALL_MAX);
        let settles = state.settles.split_off(rest);
        Some(Due { offset: state.offset, remaining: state.remaining, settles })
    }

    /// Makes it due, whatever was told: Redis may have lost it.
    pub(super) fn make_due(&self) {
        self.state.lock().doubted = true;
    }

    /// Redis was told.
    pub(super) fn told(&self, due: &Due, levelled: &Levelled, now_us: u64) {
        self.state.lock().told =
            Some(Told { offset: due.offset, at_us: now_us, hint: levelled.hint });
    }

    /// Redis was not told; it is due again.
    pub(super) fn not_told(&self, due: Due) {
        let state = &mut *self.state.lock();
        state.told = None;
        let room = SETTLES_MAX.saturating_sub(state.settles.len());
        state.settles.extend(due.settles.into_iter().take(room));
    }

    /// What waited has expired in Redis by now.
    pub(super) fn forget_settles(&self) {
        self.state.lock().settles.clear();
    }

    /// The product's rate by this node's clock.
    pub(super) fn screen_here(&self, rate: Option<&Rate>, now_us: u64) -> Verdict {
        let Some(rate) = rate else {
            return Verdict::Go;
        };
        let tat = &mut *self.tat_us.lock();
        match gcra::check(rate, *tat, now_us) {
            gcra::Check::Conforms { tat_us, .. } => {
                *tat = tat_us;
                Verdict::Go
            }
            gcra::Check::Exceeds { retry_after_us } => Verdict::OverRate { retry_after_us },
        }
    }
}

impl State {
    fn is_scarce(&self) -> bool {
        self.remaining > 0 && self.told.is_some_and(|told| told.hint <= SCARCE_UNITS)
    }

    fn level_due(&self, now_us: u64) -> bool {
        let Some(told) = self.told else {
            return true;
        };
        let quiet = self.remaining == 0 && now_us.saturating_sub(self.changed_us) >= QUIET_AFTER_US;
        let age_us_max = match (told.offset == self.offset, quiet) {
            (false, _) => CHANGED_AGE_US_MAX,
            (true, false) => AGE_US_MAX,
            (true, true) => QUIET_AGE_US_MAX,
        };
        now_us.saturating_sub(told.at_us) >= age_us_max
    }

    /// One listing is enough; a more pressing one is said again.
    fn wake(&mut self, wake: Wake) -> Wake {
        let listed = std::mem::replace(&mut self.listed, true);
        if listed && wake == Wake::Soon { Wake::No } else { wake }
    }
}
