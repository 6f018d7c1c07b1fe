//! What the gate in Redis counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What was counted since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Attempts that asked Redis.
    calls,
    /// Attempts that Redis let pass.
    went,
    /// Attempts that this node refused itself: no unit by its own count, or the buyer has one undecided.
    refused_here,
    /// Refused by Redis: no unit free over all nodes.
    no_unit,
    /// Refused by Redis: the buyer has an undecided attempt.
    undecided,
    /// Refused by Redis: over the product's rate.
    over_product_rate,
    /// Refused by Redis: over the address's rate.
    over_address_rate,
    /// Refused by Redis: over the fingerprint's rate.
    over_fingerprint_rate,
    /// Refused by Redis: over the buyer's rate.
    over_buyer_rate,
    /// Attempts that found no hint, and levelled it.
    unlevelled,
    /// Attempts that Redis did not answer in time.
    timeouts,
    /// Attempts that Redis answered with an error, or whose connection broke.
    errors,
    /// Attempts that were screened in memory, for whatever reason.
    screened_here,
    /// How often the gate went on without Redis.
    outages,
    /// For how long together, in microseconds, with the one that lasts.
    outages_us,
    /// Levels that Redis took.
    levels,
    /// Levels that found no hint.
    hints_missing,
    /// By how many units hints were off when they were levelled, all together.
    drift_units,
    /// Buyers whose decided attempt was taken out of Redis.
    settled,
    /// Decided attempts that were forgotten because too many waited; Redis forgets them after 30 s.
    settles_dropped,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
