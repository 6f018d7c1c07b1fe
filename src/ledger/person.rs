//! What the ledger keeps of one person.

use super::OrderRow;
use crate::sale::UserId;

/// Most orders that are read of one person.
pub const ORDERS_OF_PERSON_MAX: usize = 10_000;

/// An order of a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonOrder {
    /// The order.
    pub row: OrderRow,
    /// Who bought, in the shop's words, as long as that is kept.
    pub user_id: Option<UserId>,
}

/// How far the erasure of a person has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Log time of the record, Unix milliseconds.
    pub at_ms: u64,
    /// Whether the store has done it.
    pub done: bool,
}

/// A row of what was deleted because of its age or an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// What kind of data.
    pub what: String,
    /// Of which one: the id of a key.
    pub detail: String,
}
