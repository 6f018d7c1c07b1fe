//! The gate: a fast screen in front of the log, for attempts that may win.
//!
//! It proposes and never decides. It may be wrong, stale, wiped or forged: the worst that follows is a
//! proposal that the log refuses, or a buyer who is asked to try again.

use std::sync::Arc;

use crate::gcra::Rate;
use crate::sale::{BuyerRef, ProductId};

pub mod memory;
#[cfg(feature = "distributed")]
pub mod redis;

pub use memory::MemoryGate;
#[cfg(feature = "distributed")]
pub use redis::RedisGate;

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

impl Verdict {
    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Busy => "busy",
            Self::OverRate { .. } => "over_rate",
        }
    }
}

/// From where an attempt comes: keyed hashes, under a key that all nodes share, of the address (IPv4 /32,
/// IPv6 /64) and of the device fingerprint. Absent where they are not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// The address.
    pub address: Option<u64>,
    /// The device fingerprint.
    pub fingerprint: Option<u64>,
}

/// The rates of attempts that may win; `None` is off. The memory of one process holds that of products
/// alone: its guard has counted the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Attempts of a product.
    pub product: Option<Rate>,
    /// Attempts of an address.
    pub address: Option<Rate>,
    /// Attempts of a fingerprint.
    pub fingerprint: Option<Rate>,
    /// Attempts of a buyer.
    pub buyer: Option<Rate>,
}

/// The gate of a node: a closed set of backends. Cheap to clone.
#[derive(Clone)]
pub enum Gate {
    /// In the memory of this process: the embedded profile.
    Memory(Arc<MemoryGate>),
    /// In Redis, for many nodes.
    #[cfg(feature = "distributed")]
    Redis(RedisGate),
}

/// One thread's way to the gate.
pub enum GateHandle {
    /// In the memory of this process.
    Memory(Arc<MemoryGate>),
    /// In Redis.
    #[cfg(feature = "distributed")]
    Redis(redis::RedisHandle),
}

impl GateHandle {
    /// Asks for a place in front of the log. `now_us` is monotonic.
    pub async fn admit(
        &self,
        product: &ProductId,
        buyer: &BuyerRef,
        origin: Origin,
        now_us: u64,
    ) -> Verdict {
        match self {
            Self::Memory(gate) => {
                // One node's guard has charged address and fingerprint already.
                let _ = origin;
                gate.admit(product, buyer, now_us)
            }
            #[cfg(feature = "distributed")]
            Self::Redis(handle) => Box::pin(handle.admit(product, buyer, origin, now_us)).await,
        }
    }

    /// This thread's way to Redis, if the gate is there.
    #[cfg(feature = "distributed")]
    pub fn redis(&self) -> Option<&redis::RedisHandle> {
        match self {
            Self::Memory(_) => None,
            Self::Redis(handle) => Some(handle),
        }
    }

    /// Gives back a place whose proposal was never sent.
    pub fn release(&self, product: &ProductId, buyer: &BuyerRef) {
        match self {
            Self::Memory(gate) => gate.settled(&[(*product, *buyer)]),
            #[cfg(feature = "distributed")]
            Self::Redis(handle) => handle.release(product, buyer),
        }
    }
}

impl Gate {
    /// This thread's way to it. Must be called inside a `LocalSet`.
    pub fn handle(&self) -> GateHandle {
        match self {
            Self::Memory(gate) => GateHandle::Memory(gate.clone()),
            #[cfg(feature = "distributed")]
            Self::Redis(gate) => GateHandle::Redis(gate.handle()),
        }
    }

    /// Gives places back whose proposals have been decided. Of proposals of other nodes it knows nothing.
    pub fn settled(&self, decided: &[(ProductId, BuyerRef)]) {
        match self {
            Self::Memory(gate) => gate.settled(decided),
            #[cfg(feature = "distributed")]
            Self::Redis(gate) => gate.settled(decided),
        }
    }

    /// Levels the stock hint from the applied state. A lower offset never overwrites a higher one.
    pub fn level(&self, product: &ProductId, offset: u64, remaining: u32) {
        match self {
            Self::Memory(gate) => gate.level(product, offset, remaining),
            #[cfg(feature = "distributed")]
            Self::Redis(gate) => gate.level(product, offset, remaining),
        }
    }

    /// Other rates from now on. What has been counted stays: a bucket that is empty is not filled by it.
    pub fn set_rates(&self, rates: Rates) {
        match self {
            Self::Memory(gate) => gate.set_rate(rates.product),
            #[cfg(feature = "distributed")]
            Self::Redis(gate) => gate.set_rates(rates),
        }
    }

    /// Attempts of a product that are undecided.
    pub fn pending(&self, product: &ProductId) -> usize {
        match self {
            Self::Memory(gate) => gate.pending(product),
            #[cfg(feature = "distributed")]
            Self::Redis(gate) => gate.pending(product),
        }
    }

    /// Whether a buyer has an undecided attempt, of whatever product.
    pub fn is_pending(&self, buyer: &BuyerRef) -> bool {
        match self {
            Self::Memory(gate) => gate.is_pending(buyer),
            #[cfg(feature = "distributed")]
            Self::Redis(gate) => gate.is_pending(buyer),
        }
    }
}
