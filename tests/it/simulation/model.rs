//! One product's sale told once more, in the plainest words: what the protocol says of each record.
//!
//! It shares no code with `SaleState`: rows in a list, looked through from the start each time.

use flux_gate::sale::record::CapacityTarget;
use flux_gate::sale::{
    BuyerRef, Duplicate, DuplicateReason, Ignored, LogEntry, OperationId, OrderId, OrderProposed,
    Outcome, Record,
};

/// How late a proposal may reach the log, milliseconds of log time (protocol.md).
const AGE_MS_MAX: u64 = 10_000;

/// The sale, recounted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub opened: bool,
    pub capacity: u32,
    pub limit: u32,
    pub window_ms: u64,
    pub opens_at_ms: u64,
    pub closes_at_ms: Option<u64>,
    pub paused: bool,
    pub archived: bool,
    pub generation: u64,
    pub log_time_ms: u64,
    pub orders: Vec<Row>,
    operations: Vec<OperationId>,
}

/// An order.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub id: OrderId,
    pub buyer: BuyerRef,
    pub offset: u64,
    pub at_ms: u64,
    pub reversed: bool,
    /// Whether it counts towards its buyer's limit.
    pub counts: bool,
}

impl Tally {
    /// Orders that stand.
    pub fn sold(&self) -> u32 {
        self.orders.iter().filter(|row| !row.reversed).count() as u32
    }

    /// A buyer's orders that count towards the limit.
    pub fn counted(&self, buyer: BuyerRef) -> u32 {
        self.orders.iter().filter(|row| row.buyer == buyer && row.counts).count() as u32
    }

    /// What the next record comes to.
    pub fn take(&mut self, entry: &LogEntry) -> Outcome {
        if !self.opened && !matches!(entry.record, Record::SaleOpened(_)) {
            return match entry.record {
                Record::OrderProposed(_) => Outcome::Closed,
                _ => Outcome::Ignored(Ignored::UnknownProduct),
            };
        }
        if entry.appended_at_ms > self.log_time_ms {
            self.log_time_ms = entry.appended_at_ms;
        }
        match &entry.record {
            Record::SaleOpened(terms) if !self.opened => {
                self.opened = true;
                self.capacity = terms.capacity;
                self.limit = terms.per_buyer_limit;
                self.window_ms = terms.repeat_window_ms;
                self.opens_at_ms = terms.opens_at_ms;
                self.closes_at_ms = terms.closes_at_ms;
                self.operations.extend(terms.operation);
                Outcome::Applied
            }
            Record::SaleOpened(_) => Outcome::Ignored(Ignored::AlreadyOpened),
            Record::Control(_) => Outcome::Ignored(Ignored::OtherKey),
            Record::OrderProposed(proposal) => self.propose(entry.offset, proposal),
            Record::OrderReversed { order_id, restock, frees_limit, .. } => {
                self.reverse(*order_id, *restock, *frees_limit)
            }
            Record::SubjectErased { operation: None, .. } => Outcome::Applied,
            Record::SubjectErased { operation: Some(operation), .. } => {
                if self.operations.contains(operation) {
                    return Outcome::Ignored(Ignored::AlreadyApplied);
                }
                self.operations.extend([*operation]);
                Outcome::Applied
            }
            Record::CapacityChanged { operation, .. }
            | Record::ScheduleChanged { operation, .. }
            | Record::SalePaused { operation }
            | Record::SaleResumed { operation }
            | Record::SaleArchived { operation } => self.operate(*operation, &entry.record),
        }
    }

    /// Takes over what became an order in fact, if the recount would have it otherwise: what is checked
    /// after that is not to suffer from it.
    pub fn follow(&mut self, entry: &LogEntry, claim: Outcome, expected: Outcome) {
        match &entry.record {
            Record::OrderProposed(proposal) if claim != expected => {
                self.orders.retain(|row| row.offset != entry.offset);
                if claim == Outcome::Confirmed {
                    self.confirm(entry.offset, proposal);
                }
            }
            _ => {}
        }
    }

    fn propose(&mut self, offset: u64, proposal: &OrderProposed) -> Outcome {
        if let Some(refusal) = self.refusal(proposal, self.log_time_ms) {
            return refusal;
        }
        let late = self.log_time_ms > proposal.at_ms + AGE_MS_MAX;
        let was_repeat = self.recent(proposal.buyer, proposal.at_ms).is_some();
        if proposal.generation != self.generation || late || was_repeat {
            return Outcome::Stale;
        }
        self.confirm(offset, proposal);
        Outcome::Confirmed
    }

    fn confirm(&mut self, offset: u64, proposal: &OrderProposed) {
        self.orders.push(Row {
            id: proposal.order_id,
            buyer: proposal.buyer,
            offset,
            at_ms: self.log_time_ms,
            reversed: false,
            counts: true,
        });
    }

    fn refusal(&self, proposal: &OrderProposed, time_ms: u64) -> Option<Outcome> {
        let duplicate = |row: &Row, reason| {
            let reversed = row.reversed;
            Some(Outcome::Duplicate(Duplicate { order_id: row.id, reason, reversed }))
        };
        if !self.archived
            && let Some(row) = self.orders.iter().find(|row| row.id == proposal.order_id)
        {
            return duplicate(row, DuplicateReason::SameKey);
        }
        if self.archived || self.closes_at_ms.is_some_and(|closes| time_ms >= closes) {
            return Some(Outcome::Closed);
        }
        if time_ms < self.opens_at_ms {
            return Some(Outcome::NotOpen { opens_at_ms: self.opens_at_ms });
        }
        if self.paused {
            return Some(Outcome::Paused);
        }
        let recent = self.recent(proposal.buyer, time_ms);
        if let Some(row) = recent {
            return duplicate(row, DuplicateReason::RepeatWindow);
        }
        if self.counted(proposal.buyer) >= self.limit {
            return Some(Outcome::LimitReached);
        }
        (self.sold() >= self.capacity).then_some(Outcome::SoldOut)
    }

    /// The buyer's youngest standing order that is within the repeat window.
    fn recent(&self, buyer: BuyerRef, time_ms: u64) -> Option<&Row> {
        self.orders.iter().rev().find(|row| {
            row.buyer == buyer
                && !row.reversed
                && time_ms.saturating_sub(row.at_ms) < self.window_ms
        })
    }

    fn reverse(&mut self, id: OrderId, restock: bool, frees_limit: bool) -> Outcome {
        if self.archived {
            return Outcome::Ignored(Ignored::Archived);
        }
        let Some(row) = self.orders.iter_mut().find(|row| row.id == id) else {
            return Outcome::Ignored(Ignored::UnknownOrder);
        };
        if row.reversed {
            return Outcome::Ignored(Ignored::AlreadyReversed);
        }
        row.reversed = true;
        row.counts = !frees_limit;
        self.capacity -= u32::from(!restock);
        self.generation += 1;
        Outcome::Applied
    }

    fn operate(&mut self, operation: OperationId, record: &Record) -> Outcome {
        if self.operations.contains(&operation) {
            return Outcome::Ignored(Ignored::AlreadyApplied);
        }
        if self.archived {
            return Outcome::Ignored(Ignored::Archived);
        }
        match record {
            Record::CapacityChanged { to, .. } => {
                let before = self.capacity;
                self.capacity = match to {
                    CapacityTarget::Total(units) => (*units).max(self.sold()),
                    CapacityTarget::Remaining(units) => self.sold() + units,
                };
                self.generation += u64::from(self.capacity > before);
            }
            Record::ScheduleChanged { opens_at_ms, closes_at_ms, .. } => {
                self.opens_at_ms = *opens_at_ms;
                self.closes_at_ms = *closes_at_ms;
                self.generation += 1;
            }
            Record::SalePaused { .. } if !self.paused => self.paused = true,
            Record::SaleResumed { .. } if self.paused => {
                self.paused = false;
                self.generation += 1;
            }
            Record::SaleArchived { .. } => self.archived = true,
            _ => return Outcome::Ignored(Ignored::NoChange),
        }
        self.operations.push(operation);
        Outcome::Applied
    }
}
