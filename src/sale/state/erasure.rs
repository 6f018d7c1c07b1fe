//! A person asks to be forgotten.
//!
//! The state itself holds pseudonyms only, and counts stand. What it has to say is whether the record takes
//! effect: once under its operation id, or whoever copies the record erases the person again who came back.

use super::SaleState;
use crate::sale::ids::OperationId;
use crate::sale::outcome::{Ignored, Outcome};

impl SaleState {
    /// Unlike other changes it also holds for an archived sale.
    pub(super) fn erase(&mut self, offset: u64, operation: Option<OperationId>) -> Outcome {
        let Some(operation) = operation else { return Outcome::Applied };
        if self.operations.contains_key(&operation) {
            return Outcome::Ignored(Ignored::AlreadyApplied);
        }
        self.operations.insert(operation, offset);
        Outcome::Applied
    }
}
