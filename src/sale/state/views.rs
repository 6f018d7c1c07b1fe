//! How a sale stands: its orders, terms, counts and switches.

use super::{Order, OrderStatus, OrderView, SaleState, SaleStatus};
use crate::sale::ids::{BuyerRef, OperationId, OrderId};
use crate::sale::record::SaleOpened;

impl SaleState {
    /// An order, if the state holds it (an archived sale's orders are in the ledger alone).
    pub fn order(&self, id: &OrderId) -> Option<OrderView> {
        self.find_order(id).map(|order| self.view(order))
    }

    /// At most `limit` orders that were confirmed from `since_ms` on and before `until_ms` (log time, Unix
    /// milliseconds), after the offset `after`, in log order. Costs two binary searches and what it gives.
    pub fn orders_between(
        &self,
        since_ms: u64,
        until_ms: u64,
        after: u64,
        limit: usize,
    ) -> Vec<OrderView> {
        // Log time never goes back, so the orders are in the order of both.
        let begin = self
            .orders
            .partition_point(|order| order.confirmed_at_ms < since_ms || order.offset <= after);
        let end = self.orders.partition_point(|order| order.confirmed_at_ms < until_ms);
        let span = self.orders.get(begin..end).unwrap_or_default();
        span.iter().take(limit).map(|order| self.view(order)).collect()
    }

    /// Whether a buyer has ever had an order here; not known of an archived sale.
    pub fn has_buyer(&self, buyer: &BuyerRef) -> bool {
        self.find_buyer(buyer).is_some()
    }

    fn view(&self, order: &Order) -> OrderView {
        OrderView {
            id: order.id,
            buyer: self.buyers[order.buyer as usize].reference,
            offset: order.offset,
            confirmed_at_ms: order.confirmed_at_ms,
            status: if order.reversed { OrderStatus::Reversed } else { OrderStatus::Confirmed },
        }
    }

    /// The offset at which an operation took effect, if it did.
    pub fn operation_offset(&self, operation: &OperationId) -> Option<u64> {
        self.operations.get(operation).copied()
    }

    /// The terms that hold now: those of the opening with all later changes of capacity and schedule.
    pub fn terms(&self) -> &SaleOpened {
        &self.terms
    }

    /// Orders confirmed and not reversed.
    pub fn sold(&self) -> u32 {
        self.sold
    }

    /// Units left: capacity − sold.
    pub fn remaining(&self) -> u32 {
        self.terms.capacity - self.sold
    }

    /// Whether a pause record stands.
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// Whether the sale has been ended for ever.
    pub fn archived(&self) -> bool {
        self.archived
    }

    /// Whether the sale is over at this log time, by its closing or for ever.
    pub fn closed(&self, log_time_ms: u64) -> bool {
        self.archived || self.terms.closes_at_ms.is_some_and(|at_ms| log_time_ms >= at_ms)
    }

    /// How the sale stands when the clock says `now_ms`: the order of the checks in [`Self::refusal`].
    pub fn status(&self, now_ms: u64) -> SaleStatus {
        let log_time_ms = self.log_time_at(now_ms);
        if self.archived {
            SaleStatus::Archived
        } else if self.terms.closes_at_ms.is_some_and(|at_ms| log_time_ms >= at_ms) {
            SaleStatus::Closed
        } else if log_time_ms < self.terms.opens_at_ms {
            SaleStatus::NotOpen
        } else if self.paused {
            SaleStatus::Paused
        } else if self.remaining() == 0 {
            SaleStatus::SoldOut
        } else {
            SaleStatus::Open
        }
    }

    /// How many changes there were that can turn a refusal into an acceptance.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The latest log time, Unix milliseconds.
    pub fn log_time_ms(&self) -> u64 {
        self.log_time_ms
    }

    /// The estimate of log time for a record that is written when the clock says `now_ms`.
    pub fn log_time_at(&self, now_ms: u64) -> u64 {
        self.log_time_ms.max(now_ms)
    }

    /// The offset of the last applied record of this product.
    pub fn applied_offset(&self) -> u64 {
        self.applied_offset
    }

    /// The orders that stand, in log order; none of an archived sale.
    pub fn standing_orders(&self) -> impl Iterator<Item = OrderId> {
        self.orders.iter().filter(|order| !order.reversed).map(|order| order.id)
    }

    /// How many orders were taken back; 0 of an archived sale.
    pub fn reversed(&self) -> u32 {
        self.orders.iter().filter(|order| order.reversed).count() as u32
    }
}
