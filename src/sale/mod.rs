//! The domain: products, records, outcomes and the one function that decides.
//!
//! Everything here is pure: no clock, no randomness, no I/O. Whoever follows the log applies the same
//! records in the same order and so holds the same state.
//!
//! - [`ids`]: the words of the domain, each of which can only hold a valid value;
//! - [`record`]: what a log holds, and its versioned JSON;
//! - [`outcome`]: what a record came to;
//! - [`state`]: one product's state and [`SaleState::apply`];
//! - [`snapshot`]: a state as rows, to be kept elsewhere and restored;
//! - [`control`]: what operators say about the whole gate: blocks, live limits, tokens, approvals;
//! - [`book`]: the states of all products of a log.

pub mod book;
pub mod control;
pub mod ids;
pub mod outcome;
pub mod record;
pub mod snapshot;
pub mod state;

pub use book::Book;
pub use control::{ControlChange, ControlRecord, ControlState, OperatorRole};
pub use ids::{
    BuyerRef, IdempotencyKey, InvalidId, OperationId, OperatorName, OrderId, ProductId, UserId,
};
pub use outcome::{Duplicate, DuplicateReason, Ignored, Outcome};
pub use record::{CapacityTarget, DecodeError, LogEntry, OrderProposed, Record, SaleOpened};
pub use snapshot::{BadSnapshot, OrderSnapshot, SaleSnapshot};
pub use state::{OrderStatus, OrderView, SaleState, SaleStatus};

#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod oracle;
