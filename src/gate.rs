//! The gate: a fast screen in front of the log, for attempts that may win.
//!
//! It proposes and never decides. It may be wrong, stale, wiped or forged: the worst that follows is a
//! proposal that the log refuses, or a buyer who is asked to try again.

use crate::sale::{BuyerRef, ProductId};

pub mod memory;

pub use memory::MemoryGate;

/// What the gate says of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A unit is held for this buyer until the log decides; propose the order.
    Go,
    /// No unit is free at this moment, or this buyer has an undecided attempt.
    Busy,
    /// Over the product's rate.
    OverRate {
        /// When an attempt would conform again, in microseconds from now.
        retry_after_us: u64,
    },
}

/// The gate of a node: a closed set of backends.
#[derive(Debug)]
pub enum Gate {
    /// In the memory of this process: the embedded profile.
    Memory(MemoryGate),
}

impl Gate {
    /// Asks for a place in front of the log. `now_us` is monotonic.
    pub async fn admit(&self, product: &ProductId, buyer: &BuyerRef, now_us: u64) -> Verdict {
        match self {
            Self::Memory(gate) => gate.admit(product, buyer, now_us),
        }
    }

    /// Gives places back whose proposals have been decided, or were never sent.
    pub fn settled(&self, decided: &[(ProductId, BuyerRef)]) {
        match self {
            Self::Memory(gate) => gate.settled(decided),
        }
    }

    /// Levels the stock hint from the applied state. A lower offset never overwrites a higher one.
    pub fn level(&self, product: &ProductId, offset: u64, remaining: u32) {
        match self {
            Self::Memory(gate) => gate.level(product, offset, remaining),
        }
    }

    /// Attempts of a product that are undecided.
    pub fn pending(&self, product: &ProductId) -> usize {
        match self {
            Self::Memory(gate) => gate.pending(product),
        }
    }

    /// Whether a buyer has an undecided attempt, of whatever product.
    pub fn is_pending(&self, buyer: &BuyerRef) -> bool {
        match self {
            Self::Memory(gate) => gate.is_pending(buyer),
        }
    }
}
