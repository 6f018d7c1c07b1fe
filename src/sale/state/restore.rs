//! A state out of a snapshot, and a snapshot of a state.

use super::SaleState;
use crate::sale::snapshot::{BadSnapshot, OrderSnapshot, SaleSnapshot};

impl SaleState {
    /// The state that a snapshot describes.
    ///
    /// # Errors
    /// [`BadSnapshot`]: whoever kept it has lost or altered rows.
    pub fn restore(snapshot: SaleSnapshot) -> Result<Self, BadSnapshot> {
        let SaleSnapshot { terms, sold, orders, .. } = snapshot;
        if sold > terms.capacity {
            return Err(BadSnapshot::Oversold { sold, capacity: terms.capacity });
        }
        let mut state = Self::open(terms, snapshot.applied_offset, snapshot.log_time_ms);
        let mut last_offset = None;
        let mut standing = 0;
        for order in &orders {
            if last_offset.is_some_and(|last| order.offset <= last) {
                return Err(BadSnapshot::OutOfOrder(order.offset));
            }
            if state.find_order(&order.id).is_some() {
                return Err(BadSnapshot::OrderTwice(order.id));
            }
            last_offset = Some(order.offset);
            standing += u32::from(!order.reversed);
            state.add_order(order);
        }
        if snapshot.archived {
            state.archive();
        } else if standing != sold {
            return Err(BadSnapshot::Miscounted { standing, sold });
        }
        state.sold = sold;
        state.paused = snapshot.paused;
        state.generation = snapshot.generation;
        state.operations = snapshot.operations.into_iter().collect();
        Ok(state)
    }

    /// All that is needed to restore it.
    pub fn snapshot(&self) -> SaleSnapshot {
        let mut operations: Vec<_> = self.operations.iter().map(|(id, at)| (*id, *at)).collect();
        operations.sort_by_key(|(_, offset)| *offset);
        let orders = self.orders.iter().map(|order| OrderSnapshot {
            id: order.id,
            buyer: self.buyers[order.buyer as usize].reference,
            offset: order.offset,
            confirmed_at_ms: order.confirmed_at_ms,
            reversed: order.reversed,
            counts: order.counts,
        });
        SaleSnapshot {
            terms: self.terms.clone(),
            sold: self.sold,
            paused: self.paused,
            archived: self.archived,
            generation: self.generation,
            log_time_ms: self.log_time_ms,
            applied_offset: self.applied_offset,
            orders: orders.collect(),
            operations,
        }
    }
}
