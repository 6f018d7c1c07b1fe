//! The workers: they fill a ledger from the log, each offset once, whatever crashes or hangs in between.
//!
//! Their store is a fake with transactions: rows and progress are committed together or not at all, and only
//! on top of the progress that the transaction began at. Two workers believe that the partition is theirs,
//! each with a state of its own, and either may hang in its transaction while the other goes on.

use std::collections::BTreeMap;

use flux_gate::sale::{Book, LogEntry, OrderId, Outcome, Record, SaleState};

use super::rules::RULE_2;
use super::world::{Event, Phase, Sim};

/// Workers of a run.
pub const WORKERS: usize = 2;
/// How long a worker hangs in its transaction, microseconds.
const HANGS_US_MAX: u64 = 3_000_000;

#[derive(Default)]
pub struct Workers {
    ledger: Ledger,
    workers: [Worker; WORKERS],
}

#[derive(Default)]
struct Worker {
    /// Its state, as of `position`; gone with a crash.
    book: Book,
    position: usize,
    /// What it was about to commit when it hung.
    open: Option<Transaction>,
}

struct Transaction {
    from: usize,
    rows: Vec<(LogEntry, Outcome)>,
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
    /// Whether the transaction took effect: another worker may have been ahead.
    fn commit(&mut self, transaction: &Transaction) -> bool {
        if transaction.from != self.progress {
            return false;
        }
        for (entry, outcome) in &transaction.rows {
            self.take(entry, *outcome);
        }
        true
    }

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

impl Worker {
    /// Applies the next records, for a transaction.
    fn fill(&mut self, records: &[LogEntry]) -> Transaction {
        let from = self.position;
        let rows = records.iter().map(|entry| (entry.clone(), self.book.apply(entry))).collect();
        self.position += records.len();
        Transaction { from, rows }
    }

    /// Reads the ledger again: what it held was never written, or written by another.
    fn load(&mut self, ledger: &Ledger, log: &[LogEntry]) {
        *self =
            Self { book: restored(log, ledger.progress), position: ledger.progress, open: None };
    }
}

/// The states as the ledger keeps them, as of the log's first `count` records.
pub fn restored(log: &[LogEntry], count: usize) -> Book {
    let mut applied = Book::default();
    for entry in &log[..count] {
        applied.apply(entry);
    }
    let mut book = Book::default();
    for (product, state) in applied.iter() {
        let state = SaleState::restore(state.snapshot()).expect("a snapshot of a state is one");
        book.insert(*product, state);
    }
    book
}

impl Sim {
    /// A worker takes the next records in one transaction, or crashes or hangs in it.
    pub fn work(&self, number: usize) {
        let log = self.log.borrow();
        let workers = &mut *self.workers.borrow_mut();
        let (ledger, worker) = (&mut workers.ledger, &mut workers.workers[number]);
        let faults = *self.faults.borrow();
        let faulty = self.phase() == Phase::Faulty;
        let mut hangs_us = 0;
        let hung = worker.open.take();
        let transaction = hung.or_else(|| {
            let waiting = &log.entries[worker.position..];
            let count = self.rng.between(1, waiting.len().max(1) as u64) as usize;
            (!waiting.is_empty()).then(|| worker.fill(&waiting[..count]))
        });
        if let Some(transaction) = transaction {
            if faulty && self.rng.per_mille(faults.worker_crashes) {
                self.count("fault: worker crashed");
                worker.load(ledger, &log.entries);
            } else if faulty && self.rng.per_mille(faults.worker_hangs) {
                self.count("fault: worker hung");
                worker.open = Some(transaction);
                hangs_us = self.rng.below(HANGS_US_MAX);
            } else if !ledger.commit(&transaction) {
                self.count("fault: worker was stale");
                worker.load(ledger, &log.entries);
            }
            let once = ledger.repeated == 0;
            self.rules.borrow_mut().demand(once, RULE_2, || "in the ledger twice".to_owned());
        }
        let pause_us = self.rng.between(50_000, 900_000);
        self.schedule(pause_us + hangs_us, Event::Work(number));
    }

    pub fn ledger(&self) -> Ledger {
        self.workers.borrow().ledger.clone()
    }
}
