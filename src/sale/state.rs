//! One product's state, and the function that decides: [`SaleState::apply`].
//!
//! Rules that hold after every record (design.md, "Rules that always hold"):
//! 1. `sold ≤ capacity`, and a buyer's orders that are confirmed and not reversed `≤ per_buyer_limit`;
//! 2. an order id is confirmed at most once;
//! 3. log time never goes backwards.
//!
//! Memory: about 80 bytes an order, in two vectors with index tables of 4-byte entries beside them.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::ids::{BuyerRef, OperationId, OrderId};
use super::outcome::{Duplicate, DuplicateReason, Ignored, Outcome};
use super::record::{CapacityTarget, OrderProposed, Record, SaleOpened};
use super::snapshot::OrderSnapshot;

mod erasure;
mod restore;
mod screening;
mod views;

/// A proposal that reaches the log later than this after its `at_ms` (both log time) is stale.
pub const PROPOSAL_AGE_MS_MAX: u64 = 10_000;

/// Room for so many orders at most is set aside when a sale opens, so that no table grows (which takes tens
/// of milliseconds at half a million orders) in the middle of it. Untouched room costs no memory but 2 bytes
/// an order for each of the two tables.
const RESERVED_ORDERS_MAX: u32 = 1 << 20;

/// "There is none" in an index into `orders`.
const NONE: u32 = u32::MAX;

/// The state of one product's sale.
#[derive(Debug, Clone)]
pub struct SaleState {
    terms: SaleOpened,
    sold: u32,
    paused: bool,
    archived: bool,
    generation: u64,
    log_time_ms: u64,
    applied_offset: u64,
    orders: Vec<Order>,
    orders_by_id: HashTable<u32>,
    buyers: Vec<Buyer>,
    buyers_by_ref: HashTable<u32>,
    /// The operations that took effect, with the offset of their record. A few a sale.
    operations: HashMap<OperationId, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    id: OrderId,
    offset: u64,
    confirmed_at_ms: u64,
    buyer: u32,
    /// The same buyer's order before this one.
    previous: u32,
    reversed: bool,
    /// Whether it counts towards the buyer's limit.
    counts: bool,
}

#[derive(Debug, Clone, Copy)]
struct Buyer {
    reference: BuyerRef,
    /// Orders that count towards the limit.
    counted: u32,
    latest_order: u32,
}

/// Whether an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// It stands.
    Confirmed,
    /// It was taken back.
    Reversed,
}

impl OrderStatus {
    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Reversed => "reversed",
        }
    }
}

/// How a sale stands for somebody who comes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaleStatus {
    /// Before its opening.
    NotOpen,
    /// Units can be bought.
    Open,
    /// A pause record stands.
    Paused,
    /// Every unit is sold.
    SoldOut,
    /// After its closing.
    Closed,
    /// Ended for ever.
    Archived,
}

impl SaleStatus {
    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotOpen => "not_open",
            Self::Open => "open",
            Self::Paused => "paused",
            Self::SoldOut => "sold_out",
            Self::Closed => "closed",
            Self::Archived => "archived",
        }
    }
}

/// An order as the state knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderView {
    /// Its id.
    pub id: OrderId,
    /// Who bought.
    pub buyer: BuyerRef,
    /// The offset of the record that made it.
    pub offset: u64,
    /// Log time of that record, Unix milliseconds.
    pub confirmed_at_ms: u64,
    /// Whether it stands.
    pub status: OrderStatus,
}

impl SaleState {
    /// The state right after `terms` were written at `offset` with the log's clock at `appended_at_ms`.
    pub fn open(terms: SaleOpened, offset: u64, appended_at_ms: u64) -> Self {
        let room = terms.capacity.min(RESERVED_ORDERS_MAX) as usize;
        let operations = terms.operation.map(|operation| (operation, offset)).into_iter().collect();
        Self {
            terms,
            sold: 0,
            paused: false,
            archived: false,
            generation: 0,
            log_time_ms: appended_at_ms,
            applied_offset: offset,
            orders: Vec::with_capacity(room),
            orders_by_id: HashTable::with_capacity(room),
            buyers: Vec::with_capacity(room),
            buyers_by_ref: HashTable::with_capacity(room),
            operations,
        }
    }

    /// Applies the record at `offset` that the log took when its clock said `appended_at_ms`.
    ///
    /// For a proposal the checks are, in this order: same order id → `Duplicate`; not open → `NotOpen` or
    /// `Closed`; `Paused`; confirmed by this buyer within the repeat window → `Duplicate`;
    /// `LimitReached`; `SoldOut`; `Stale`; else `Confirmed`.
    pub fn apply(&mut self, offset: u64, appended_at_ms: u64, record: &Record) -> Outcome {
        self.log_time_ms = self.log_time_ms.max(appended_at_ms);
        self.applied_offset = offset;
        match record {
            Record::OrderProposed(proposal) => self.propose(offset, proposal),
            Record::SaleOpened(_) => Outcome::Ignored(Ignored::AlreadyOpened),
            Record::SubjectErased { operation, .. } => self.erase(offset, *operation),
            Record::Control(_) => Outcome::Ignored(Ignored::OtherKey),
            Record::OrderReversed { order_id, restock, frees_limit, .. } => {
                self.reverse(order_id, *restock, *frees_limit)
            }
            Record::CapacityChanged { to, operation } => {
                self.operate(offset, *operation, |state| state.set_capacity(*to))
            }
            Record::ScheduleChanged { opens_at_ms, closes_at_ms, operation } => {
                self.operate(offset, *operation, |state| {
                    state.set_schedule(*opens_at_ms, *closes_at_ms)
                })
            }
            Record::SalePaused { operation } => {
                self.operate(offset, *operation, |state| state.set_paused(true))
            }
            Record::SaleResumed { operation } => {
                self.operate(offset, *operation, |state| state.set_paused(false))
            }
            Record::SaleArchived { operation } => self.operate(offset, *operation, Self::archive),
        }
    }

    /// What would become of an attempt at this log time, were it proposed now: the refusal, or `None` if
    /// nothing known speaks against it. [`Self::apply`] uses the same function, so a node's answers from
    /// memory agree with the log's.
    pub fn refusal(&self, id: OrderId, buyer: BuyerRef, log_time_ms: u64) -> Option<Outcome> {
        if let Some(order) = self.find_order(&id) {
            return Some(Outcome::Duplicate(Duplicate {
                order_id: id,
                reason: DuplicateReason::SameKey,
                reversed: order.reversed,
            }));
        }
        if self.closed(log_time_ms) {
            return Some(Outcome::Closed);
        }
        if log_time_ms < self.terms.opens_at_ms {
            return Some(Outcome::NotOpen { opens_at_ms: self.terms.opens_at_ms });
        }
        if self.paused {
            return Some(Outcome::Paused);
        }
        if let Some(buyer) = self.find_buyer(&buyer) {
            if let Some(order) = self.within_repeat_window(buyer, log_time_ms) {
                return Some(Outcome::Duplicate(Duplicate {
                    order_id: order.id,
                    reason: DuplicateReason::RepeatWindow,
                    reversed: false,
                }));
            }
            if buyer.counted >= self.terms.per_buyer_limit {
                return Some(Outcome::LimitReached);
            }
        }
        (self.sold >= self.terms.capacity).then_some(Outcome::SoldOut)
    }

    fn propose(&mut self, offset: u64, proposal: &OrderProposed) -> Outcome {
        if let Some(refusal) = self.refusal(proposal.order_id, proposal.buyer, self.log_time_ms) {
            return refusal;
        }
        let too_late = self.log_time_ms > proposal.at_ms.saturating_add(PROPOSAL_AGE_MS_MAX);
        if proposal.generation != self.generation || too_late || self.was_repeat(proposal) {
            return Outcome::Stale;
        }
        self.confirm(offset, proposal);
        Outcome::Confirmed
    }

    /// Whether the buyer's repeat window was open when the proposal was sent and has ended on its way: the
    /// end of a window raises no generation, yet the attempt may have been answered "duplicate" meanwhile.
    fn was_repeat(&self, proposal: &OrderProposed) -> bool {
        self.find_buyer(&proposal.buyer)
            .is_some_and(|buyer| self.within_repeat_window(buyer, proposal.at_ms).is_some())
    }

    fn confirm(&mut self, offset: u64, proposal: &OrderProposed) {
        self.add_order(&OrderSnapshot {
            id: proposal.order_id,
            buyer: proposal.buyer,
            offset,
            confirmed_at_ms: self.log_time_ms,
            reversed: false,
            counts: true,
        });
        self.sold += 1;
    }

    /// Enters an order that is not there yet. The count of sold units is the caller's business.
    fn add_order(&mut self, order: &OrderSnapshot) {
        let buyer = self.buyer_index(order.buyer);
        let index = self.orders.len() as u32;
        self.orders.push(Order {
            id: order.id,
            offset: order.offset,
            confirmed_at_ms: order.confirmed_at_ms,
            buyer,
            previous: self.buyers[buyer as usize].latest_order,
            reversed: order.reversed,
            counts: order.counts,
        });
        let orders = &self.orders;
        self.orders_by_id.insert_unique(order.id.table_hash(), index, |&index| {
            orders[index as usize].id.table_hash()
        });
        let buyer = &mut self.buyers[buyer as usize];
        buyer.latest_order = index;
        buyer.counted += u32::from(order.counts);
    }

    fn reverse(&mut self, id: &OrderId, restock: bool, frees_limit: bool) -> Outcome {
        if self.archived {
            return Outcome::Ignored(Ignored::Archived);
        }
        let Some(index) = self.order_index(id) else {
            return Outcome::Ignored(Ignored::UnknownOrder);
        };
        let order = &mut self.orders[index as usize];
        if order.reversed {
            return Outcome::Ignored(Ignored::AlreadyReversed);
        }
        order.reversed = true;
        let buyer = &mut self.buyers[order.buyer as usize];
        self.sold -= 1;
        if !restock {
            self.terms.capacity -= 1;
        }
        if frees_limit {
            order.counts = false;
            buyer.counted -= 1;
        }
        // A reversed order also leaves the repeat window, so even without stock or limit given back the
        // buyer's next attempt may be accepted where it was refused before.
        self.generation += 1;
        Outcome::Applied
    }

    /// Runs an operator's change once, whatever often its record is repeated.
    fn operate(
        &mut self,
        offset: u64,
        operation: OperationId,
        change: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        if self.operations.contains_key(&operation) {
            return Outcome::Ignored(Ignored::AlreadyApplied);
        }
        if self.archived {
            return Outcome::Ignored(Ignored::Archived);
        }
        let outcome = change(self);
        if outcome == Outcome::Applied {
            self.operations.insert(operation, offset);
        }
        outcome
    }

    fn set_capacity(&mut self, to: CapacityTarget) -> Outcome {
        let capacity = match to {
            CapacityTarget::Total(units) => units.max(self.sold),
            CapacityTarget::Remaining(units) => self.sold.saturating_add(units),
        };
        if capacity > self.terms.capacity {
            self.generation += 1;
        }
        self.terms.capacity = capacity;
        Outcome::Applied
    }

    fn set_schedule(&mut self, opens_at_ms: u64, closes_at_ms: Option<u64>) -> Outcome {
        self.terms.opens_at_ms = opens_at_ms;
        self.terms.closes_at_ms = closes_at_ms;
        self.generation += 1;
        Outcome::Applied
    }

    fn set_paused(&mut self, paused: bool) -> Outcome {
        if self.paused == paused {
            return Outcome::Ignored(Ignored::NoChange);
        }
        self.paused = paused;
        if !paused {
            self.generation += 1;
        }
        Outcome::Applied
    }

    fn archive(&mut self) -> Outcome {
        self.archived = true;
        self.orders = Vec::new();
        self.orders_by_id = HashTable::new();
        self.buyers = Vec::new();
        self.buyers_by_ref = HashTable::new();
        Outcome::Applied
    }

    /// The buyer's youngest standing order, if it is younger than the repeat window.
    fn within_repeat_window(&self, buyer: &Buyer, log_time_ms: u64) -> Option<&Order> {
        let mut index = buyer.latest_order;
        while index != NONE {
            let order = &self.orders[index as usize];
            if log_time_ms.saturating_sub(order.confirmed_at_ms) >= self.terms.repeat_window_ms {
                return None;
            }
            if !order.reversed {
                return Some(order);
            }
            index = order.previous;
        }
        None
    }

    fn order_index(&self, id: &OrderId) -> Option<u32> {
        self.orders_by_id
            .find(id.table_hash(), |&index| self.orders[index as usize].id == *id)
            .copied()
    }

    fn find_order(&self, id: &OrderId) -> Option<&Order> {
        self.order_index(id).map(|index| &self.orders[index as usize])
    }

    fn find_buyer(&self, buyer: &BuyerRef) -> Option<&Buyer> {
        self.buyers_by_ref
            .find(buyer.table_hash(), |&index| self.buyers[index as usize].reference == *buyer)
            .map(|&index| &self.buyers[index as usize])
    }

    fn buyer_index(&mut self, reference: BuyerRef) -> u32 {
        let buyers = &mut self.buyers;
        let found = self
            .buyers_by_ref
            .find(reference.table_hash(), |&index| buyers[index as usize].reference == reference);
        if let Some(&index) = found {
            return index;
        }
        let index = buyers.len() as u32;
        buyers.push(Buyer { reference, counted: 0, latest_order: NONE });
        self.buyers_by_ref.insert_unique(reference.table_hash(), index, |&index| {
            buyers[index as usize].reference.table_hash()
        });
        index
    }
}

#[cfg(test)]
mod tests;
