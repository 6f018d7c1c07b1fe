//! The worker: fills a ledger from the log, each offset once, whatever crashes in between.
//!
//! Its store is a fake with transactions: rows and progress are committed together or not at all.

use std::collections::BTreeMap;

use flux_gate::sale::{Book, LogEntry, OrderId, Outcome, Record};

use super::rules::RULE_2;
use super::world::{Event, Phase, Sim};

#[derive(Default)]
pub struct Worker {
    committed: Ledger,
    /// The worker's own state, as of its progress; gone with a crash.
    book: Book,
}

#[derive(Default, Clone)]
pub struct Ledger {
    pub progress: usize,
    /// Orders, with the offset that made them and whether they were reversed.
    pub orders: BTreeMap<OrderId, (u64, bool)>,
    /// Orders that were to be inserted a second time.
    pub repeated: u64,
}

impl Ledger {
    fn take(&mut self, entry: &LogEntry, outcome: Outcome) {
        self.progress = entry.offset as usize;
        match (&entry.record, outcome) {
            (Record::OrderProposed(proposal), Outcome::Confirmed) => {
                let before = self.orders.insert(proposal.order_id, (entry.offset, false));
                self.repeated += u64::from(before.is_some());
            }
            (Record::OrderReversed { order_id, .. }, Outcome::Applied) => {
                if let Some(order) = self.orders.get_mut(order_id) {
                    order.1 = true;
                }
            }
            _ => {}
        }
    }
}

impl Sim {
    /// The worker takes the next records in one transaction, or crashes in it.
    pub fn work(&self) {
        let log = self.log.borrow();
        let mut worker = self.worker.borrow_mut();
        let waiting = &log.entries[worker.committed.progress..];
        if !waiting.is_empty() {
            let count = self.rng.between(1, waiting.len() as u64) as usize;
            let mut transaction = worker.committed.clone();
            for entry in &waiting[..count] {
                let outcome = worker.book.apply(entry);
                transaction.take(entry, outcome);
            }
            if self.phase() == Phase::Faulty
                && self.rng.per_mille(self.faults.borrow().worker_crashes)
            {
                self.count("fault: worker crashed");
                worker.restart(&log.entries);
            } else {
                worker.committed = transaction;
            }
            let once = worker.committed.repeated == 0;
            self.rules.borrow_mut().demand(once, RULE_2, || "in the ledger twice".to_owned());
        }
        self.schedule(self.rng.between(50_000, 900_000), Event::Work);
    }

    pub fn ledger(&self) -> Ledger {
        self.worker.borrow().committed.clone()
    }
}

impl Worker {
    fn restart(&mut self, log: &[LogEntry]) {
        self.book = Book::default();
        for entry in &log[..self.committed.progress] {
            self.book.apply(entry);
        }
    }
}
