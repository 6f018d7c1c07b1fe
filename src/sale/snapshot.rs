//! A sale's state as plain rows, to be kept in a ledger and restored from it.
//!
//! Rule: a state and its restored snapshot come to the same outcome for every further record.

use super::ids::{BuyerRef, OperationId, OrderId};
use super::record::SaleOpened;

/// One product's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleSnapshot {
    /// The terms that hold now, with all changes of capacity and schedule.
    pub terms: SaleOpened,
    /// Orders confirmed and not reversed.
    pub sold: u32,
    /// Whether a pause record stands.
    pub paused: bool,
    /// Whether it has been ended for ever; then there are no orders here.
    pub archived: bool,
    /// See [`SaleState::generation`](super::SaleState::generation).
    pub generation: u64,
    /// The latest log time, Unix milliseconds.
    pub log_time_ms: u64,
    /// The offset of the product's last applied record.
    pub applied_offset: u64,
    /// Its orders, in log order.
    pub orders: Vec<OrderSnapshot>,
    /// The operations that took effect, with the offset of their record.
    pub operations: Vec<(OperationId, u64)>,
}

/// One order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderSnapshot {
    /// Its id.
    pub id: OrderId,
    /// Who bought.
    pub buyer: BuyerRef,
    /// The offset of the record that made it.
    pub offset: u64,
    /// Log time of that record, Unix milliseconds.
    pub confirmed_at_ms: u64,
    /// Whether it was taken back.
    pub reversed: bool,
    /// Whether it counts towards the buyer's limit: it stands, or its reversal did not free the limit.
    pub counts: bool,
}

/// Why a snapshot is no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// The same order twice.
    #[error("the order {0} is there twice")]
    OrderTwice(OrderId),
    /// Orders are not in log order.
    #[error("the order at offset {0} is out of order")]
    OutOfOrder(u64),
    /// The number of standing orders is not the number sold.
    #[error("{standing} orders stand, but {sold} are said to be sold")]
    Miscounted {
        /// Orders that stand.
        standing: u32,
        /// What the snapshot says.
        sold: u32,
    },
    /// More is sold than there is.
    #[error("{sold} are sold of {capacity}")]
    Oversold {
        /// Orders that stand.
        sold: u32,
        /// Units.
        capacity: u32,
    },
}
