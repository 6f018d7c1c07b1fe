//! The states of all products of one log.

use std::collections::HashMap;

use super::ids::ProductId;
use super::outcome::{Ignored, Outcome};
use super::record::{LogEntry, Record};
use super::state::SaleState;

/// Every product's state, as of the last applied record.
#[derive(Debug, Default, Clone)]
pub struct Book {
    products: HashMap<ProductId, SaleState>,
}

impl Book {
    /// Applies one record. Only `SaleOpened` makes a product; anything else about an unknown one is
    /// `Closed` (a proposal) or ignored.
    pub fn apply(&mut self, entry: &LogEntry) -> Outcome {
        if let Some(state) = self.products.get_mut(&entry.product) {
            return state.apply(entry.offset, entry.appended_at_ms, &entry.record);
        }
        match &entry.record {
            Record::SaleOpened(terms) => {
                let state = SaleState::open(terms.clone(), entry.offset, entry.appended_at_ms);
                self.products.insert(entry.product, state);
                Outcome::Applied
            }
            Record::OrderProposed(_) => Outcome::Closed,
            _ => Outcome::Ignored(Ignored::UnknownProduct),
        }
    }

    /// Takes in a product's state, as from a snapshot. One that is there already is replaced.
    pub fn insert(&mut self, product: ProductId, state: SaleState) {
        self.products.insert(product, state);
    }

    /// Gives up one product's state.
    pub fn take(&mut self, product: &ProductId) -> Option<SaleState> {
        self.products.remove(product)
    }

    /// One product's state.
    pub fn get(&self, product: &ProductId) -> Option<&SaleState> {
        self.products.get(product)
    }

    /// All products, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ProductId, &SaleState)> {
        self.products.iter()
    }
}
