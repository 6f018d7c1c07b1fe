//! The gate in the memory of one process.
//!
//! Invariant: a product's undecided attempts never outnumber its remaining units as last levelled, nor
//! [`PENDING_MAX`]; a buyer has at most one. So memory is bounded by what can still be sold.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::Verdict;
use crate::gcra::{self, Rate};
use crate::sale::{BuyerRef, ProductId};

/// Undecided attempts of one product.
pub const PENDING_MAX: usize = 100_000;
/// After this an undecided attempt no longer holds a unit: its decision was lost on the way here, or its node is
/// dead. A proposal that reaches the log after 10 s is stale, so it cannot take the unit any more.
pub const PENDING_LIFETIME_US: u64 = 12_000_000;

/// Stock hints and product rates.
#[derive(Debug)]
pub struct MemoryGate {
    rate: ArcSwap<Option<Rate>>,
    products: RwLock<HashMap<ProductId, Mutex<Cell>>>,
}

#[derive(Debug, Default)]
struct Cell {
    tat_us: u64,
    level_offset: u64,
    remaining: u32,
    /// Buyers with an undecided attempt, and when it stops counting.
    pending: HashMap<BuyerRef, u64>,
}

impl MemoryGate {
    /// A gate without products; `rate` limits the attempts of each product, `None` is off.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate: ArcSwap::from_pointee(rate), products: RwLock::default() }
    }

    /// Another rate of products; what has been counted stays.
    pub fn set_rate(&self, rate: Option<Rate>) {
        self.rate.store(rate.into());
    }

    /// Everything is checked before anything is written.
    pub fn admit(&self, product: &ProductId, buyer: &BuyerRef, now_us: u64) -> Verdict {
        let products = self.products.read();
        let Some(cell) = products.get(product) else {
            return Verdict::Busy;
        };
        let cell = &mut *cell.lock();
        if cell.pending.len() >= cell.pending_max() {
            cell.pending.retain(|_, expires_us| *expires_us > now_us);
        }
        if cell.pending.len() >= cell.pending_max()
            || cell.pending.get(buyer).is_some_and(|expires_us| *expires_us > now_us)
        {
            return Verdict::Busy;
        }
        if let Some(rate) = &**self.rate.load() {
            match gcra::check(rate, cell.tat_us, now_us) {
                gcra::Check::Conforms { tat_us, .. } => cell.tat_us = tat_us,
                gcra::Check::Exceeds { retry_after_us } => {
                    return Verdict::OverRate { retry_after_us };
                }
            }
        }
        cell.pending.insert(*buyer, now_us + PENDING_LIFETIME_US);
        Verdict::Go
    }

    /// See [`super::Gate::settled`].
    pub fn settled(&self, decided: &[(ProductId, BuyerRef)]) {
        let products = self.products.read();
        for (product, buyer) in decided {
            if let Some(cell) = products.get(product) {
                cell.lock().pending.remove(buyer);
            }
        }
    }

    /// Gives one place back. Whether it was held.
    #[cfg(feature = "distributed")]
    pub(super) fn give_back(&self, product: &ProductId, buyer: &BuyerRef) -> bool {
        let products = self.products.read();
        products.get(product).is_some_and(|cell| cell.lock().pending.remove(buyer).is_some())
    }

    /// Whether a buyer has an undecided attempt at a product.
    #[cfg(feature = "distributed")]
    pub(super) fn holds(&self, product: &ProductId, buyer: &BuyerRef) -> bool {
        let products = self.products.read();
        products.get(product).is_some_and(|cell| cell.lock().pending.contains_key(buyer))
    }

    /// See [`super::Gate::level`].
    pub fn level(&self, product: &ProductId, offset: u64, remaining: u32) {
        if let Some(cell) = self.products.read().get(product) {
            cell.lock().level(offset, remaining);
            return;
        }
        self.products.write().entry(*product).or_default().lock().level(offset, remaining);
    }

    /// See [`super::Gate::pending`].
    pub fn pending(&self, product: &ProductId) -> usize {
        self.products.read().get(product).map_or(0, |cell| cell.lock().pending.len())
    }

    /// See [`super::Gate::is_pending`].
    pub fn is_pending(&self, buyer: &BuyerRef) -> bool {
        self.products.read().values().any(|cell| cell.lock().pending.contains_key(buyer))
    }
}

impl Cell {
    fn pending_max(&self) -> usize {
        PENDING_MAX.min(self.remaining as usize)
    }

    fn level(&mut self, offset: u64, remaining: u32) {
        if offset >= self.level_offset {
            self.level_offset = offset;
            self.remaining = remaining;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyer(n: u8) -> BuyerRef {
        BuyerRef::from_bytes([n; 16])
    }

    fn gate(rate: Option<Rate>, remaining: u32) -> (MemoryGate, ProductId) {
        let product = "phone".parse().unwrap();
        let gate = MemoryGate::new(rate);
        gate.level(&product, 1, remaining);
        (gate, product)
    }

    #[test]
    fn holds_no_more_attempts_than_units_and_one_a_buyer() {
        let (gate, product) = gate(None, 2);
        assert_eq!(gate.admit(&product, &buyer(1), 0), Verdict::Go);
        assert_eq!(gate.admit(&product, &buyer(1), 0), Verdict::Busy);
        assert_eq!(gate.admit(&product, &buyer(2), 0), Verdict::Go);
        assert_eq!(gate.admit(&product, &buyer(3), 0), Verdict::Busy);
        gate.settled(&[(product, buyer(1))]);
        assert_eq!(gate.admit(&product, &buyer(3), 0), Verdict::Go);
        assert_eq!(gate.pending(&product), 2);
    }

    #[test]
    fn a_lower_offset_does_not_level() {
        let (gate, product) = gate(None, 0);
        gate.level(&product, 9, 1);
        gate.level(&product, 8, 5);
        assert_eq!(gate.admit(&product, &buyer(1), 0), Verdict::Go);
        assert_eq!(gate.admit(&product, &buyer(2), 0), Verdict::Busy);
    }

    #[test]
    fn a_lost_decision_frees_its_unit_after_a_while() {
        let (gate, product) = gate(None, 1);
        assert_eq!(gate.admit(&product, &buyer(1), 0), Verdict::Go);
        assert_eq!(gate.admit(&product, &buyer(2), PENDING_LIFETIME_US - 1), Verdict::Busy);
        assert_eq!(gate.admit(&product, &buyer(2), PENDING_LIFETIME_US), Verdict::Go);
    }

    #[test]
    fn an_unknown_product_is_busy_and_takes_no_memory() {
        let (gate, _) = gate(None, 1);
        assert_eq!(gate.admit(&"other".parse().unwrap(), &buyer(1), 0), Verdict::Busy);
        assert_eq!(gate.products.read().len(), 1);
    }

    #[test]
    fn another_rate_does_not_fill_an_empty_bucket() {
        let (gate, product) = gate(Rate::per_second(10, 2), 9);
        assert_eq!(gate.admit(&product, &buyer(1), 0), Verdict::Go);
        assert_eq!(gate.admit(&product, &buyer(2), 0), Verdict::Go);
        gate.set_rate(Rate::per_second(5, 1));
        let over = gate.admit(&product, &buyer(3), 0);
        assert_eq!(over, Verdict::OverRate { retry_after_us: 200_000 });
        gate.set_rate(None);
        assert_eq!(gate.admit(&product, &buyer(3), 0), Verdict::Go);
        gate.set_rate(Rate::per_second(10, 2));
        assert!(matches!(gate.admit(&product, &buyer(4), 0), Verdict::OverRate { .. }));
    }

    #[test]
    fn the_product_rate_refuses_without_taking_a_unit() {
        let (gate, product) = gate(Rate::per_second(10, 1), 5);
        assert_eq!(gate.admit(&product, &buyer(1), 0), Verdict::Go);
        assert_eq!(
            gate.admit(&product, &buyer(2), 0),
            Verdict::OverRate { retry_after_us: 100_000 }
        );
        assert_eq!(gate.pending(&product), 1);
        assert_eq!(gate.admit(&product, &buyer(2), 100_000), Verdict::Go);
    }
}
