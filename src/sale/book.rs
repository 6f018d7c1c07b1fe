//! The states of all products of one log.

use std::collections::HashMap;

use super::control::ControlState;
use super::ids::ProductId;
use super::outcome::{Ignored, Outcome};
use super::record::{LogEntry, Record};
use super::state::SaleState;

/// Every product's state, as of the last applied record.
#[derive(Debug, Default, Clone)]
pub struct Book {
    products: HashMap<ProductId, SaleState>,
    control: ControlState,
}

impl Book {
    /// Applies one record. Only `SaleOpened` makes a product; anything else about an unknown one is
    /// `Closed` (a proposal) or ignored.
    pub fn apply(&mut self, entry: &LogEntry) -> Outcome {
        if entry.product == ProductId::CONTROL {
            return self.control.apply(entry.offset, entry.appended_at_ms, &entry.record);
        }
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
            Record::Control(_) => Outcome::Ignored(Ignored::OtherKey),
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

    /// What operators have said about the whole gate.
    pub fn control(&self) -> &ControlState {
        &self.control
    }

    /// Takes in the control state, as from a snapshot.
    pub fn set_control(&mut self, control: ControlState) {
        self.control = control;
    }

    /// The latest log time under a key (Unix milliseconds), if there is one.
    pub fn log_time_ms(&self, key: &ProductId) -> Option<u64> {
        if *key == ProductId::CONTROL {
            return Some(self.control.log_time_ms());
        }
        self.get(key).map(SaleState::log_time_ms)
    }

    /// All products, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ProductId, &SaleState)> {
        self.products.iter()
    }
}
