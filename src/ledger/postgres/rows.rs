//! What a worker writes: the rows that one batch of records comes to.
//!
//! Rules: the rows of a partition follow from its records from `Advance::from` up to the head, all of them;
//! events of a partition have the places 0, 1, 2, … in log order.

use crate::chain::Digest;
use crate::config::stores::BATCH_RECORDS_MAX;
use crate::sale::{BuyerRef, ControlState, OperationId, OrderId, ProductId, SaleOpened, UserId};
use crate::snapshot::PartitionHead;

/// Most events of one transaction: a record comes to at most one.
pub(super) const EVENTS_MAX: u64 = BATCH_RECORDS_MAX;

/// The rows of one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// How far each partition gets; in the order of partitions, each once.
    pub advances: Vec<Advance>,
    /// Confirmed orders.
    pub orders: Vec<OrderInsert>,
    /// Who bought.
    pub subjects: Vec<SubjectInsert>,
    /// Orders taken back.
    pub reversals: Vec<ReversalInsert>,
    /// The sales that records were about, as they stand after the batch; each once.
    pub products: Vec<ProductRow>,
    /// Operations that took effect.
    pub operations: Vec<OperationInsert>,
    /// Digests where `next_offset` is a multiple of [`CHECKPOINT_OFFSETS`](crate::snapshot::CHECKPOINT_OFFSETS).
    pub checkpoints: Vec<Checkpoint>,
    /// Who is forgotten.
    pub erased: Vec<Erased>,
    /// Products whose orders leave the memory of nodes.
    pub archived: Vec<ProductId>,
    /// What operators have said about the whole gate, as it stands after the batch, if a record was about
    /// it.
    pub control: Option<Box<ControlRow>>,
}

/// The control state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRow {
    /// The partition that its records lie in.
    pub partition: i32,
    /// As it stands.
    pub state: ControlState,
}

/// The way of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The `next_offset` that the ledger must have: else another worker has been here.
    pub from: u64,
    /// Where the partition stands after the batch.
    pub head: PartitionHead,
    /// How many orders and reversals there are.
    pub events: u32,
}

/// A confirmed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderInsert {
    /// Its partition.
    pub partition: i32,
    /// The offset of its proposal.
    pub offset: u64,
    /// Its place among the partition's events of the batch.
    pub place: u32,
    /// What was bought.
    pub product: ProductId,
    /// Its id.
    pub order_id: OrderId,
    /// Who bought, as a pseudonym.
    pub buyer: BuyerRef,
    /// Log time, Unix milliseconds.
    pub confirmed_at_ms: u64,
}

/// Who placed an order, in the shop's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectInsert {
    /// The order's partition.
    pub partition: i32,
    /// The order's offset.
    pub offset: u64,
    /// Who.
    pub user_id: UserId,
    /// The same as a pseudonym.
    pub buyer: BuyerRef,
    /// When the order was confirmed (log time, Unix milliseconds).
    pub confirmed_at_ms: u64,
}

/// An order that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReversalInsert {
    /// Its partition.
    pub partition: i32,
    /// The offset of the order.
    pub order_offset: u64,
    /// The offset of the reversal.
    pub offset: u64,
    /// Its place among the partition's events of the batch.
    pub place: u32,
    /// Log time, Unix milliseconds.
    pub reversed_at_ms: u64,
    /// Whether the buyer may buy again.
    pub frees_limit: bool,
}

/// A sale as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductRow {
    /// The product.
    pub product: ProductId,
    /// Its partition.
    pub partition: i32,
    /// The offset of the opening; only looked at when the row is new.
    pub opened_offset: u64,
    /// The terms that hold now.
    pub terms: SaleOpened,
    /// Orders that stand.
    pub sold: u32,
    /// Whether a pause record stands.
    pub paused: bool,
    /// Whether it was ended for ever.
    pub archived: bool,
    /// See [`SaleState::generation`](crate::sale::SaleState::generation).
    pub generation: u64,
    /// The latest log time, Unix milliseconds.
    pub log_time_ms: u64,
    /// The offset of the last record about it.
    pub applied_offset: u64,
}

/// An operation that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationInsert {
    /// On which product.
    pub product: ProductId,
    /// Its id.
    pub operation: OperationId,
    /// The offset of its record.
    pub offset: u64,
}

/// A digest that others can compare theirs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The partition.
    pub partition: i32,
    /// The offset that comes next, a multiple of [`CHECKPOINT_OFFSETS`](crate::snapshot::CHECKPOINT_OFFSETS).
    pub next_offset: u64,
    /// The digest after the record before it.
    pub digest: Digest,
}

/// A person who asked to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased {
    /// Who, as a pseudonym.
    pub buyer: BuyerRef,
    /// When (log time, Unix milliseconds): no subject is kept for orders up to then.
    pub at_ms: u64,
}

impl Batch {
    /// How many events the batch has over all partitions.
    pub fn events(&self) -> u64 {
        self.advances.iter().map(|advance| u64::from(advance.events)).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.advances.is_empty()
    }
}
