//! The applied state that all threads of a node read.
//!
//! Invariants:
//! - it holds only what is durable in the log, because [`Applied::apply_batch`] is called with durable
//!   records alone, by one thread, in log order;
//! - products come and never go; an archived one keeps its small remainder;
//! - the control state is replaced as a whole, so whoever reads it takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::log_time::{LogClock, LogTime};
use crate::clock::Clock;
use crate::sale::{
    Book, BuyerRef, ControlState, LogEntry, OrderId, OrderView, Outcome, ProductId, Record,
    SaleState,
};

type Products = HashMap<ProductId, Arc<RwLock<SaleState>>>;

/// Told what each batch changed, on the thread that applies: it must be quick and must not block.
pub type Observer = Box<dyn Fn(&AppliedBatch<'_>) + Send + Sync>;

/// What one applied batch changed.
pub struct AppliedBatch<'a> {
    /// The levels of the products that the batch touched, in log order: of several for one product, the
    /// last one counts.
    pub levels: &'a [Level],
    /// The proposals that were decided in this batch, whatever their outcome.
    pub decided: &'a [(ProductId, BuyerRef)],
    /// The control state, if the batch touched it.
    pub control: Option<&'a Arc<ControlState>>,
}

/// How many units a product has left as of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The product.
    pub product: ProductId,
    /// The last record of the product that is counted in.
    pub offset: u64,
    /// Units left: capacity − sold.
    pub remaining: u32,
}

/// The state of every product, as of the last durable record.
pub struct Applied {
    products: ArcSwap<Products>,
    control: ArcSwap<ControlState>,
    end_seen_us: AtomicU64,
    /// Of a log that goes by another clock than the node's.
    log_clock: Option<LogClock>,
    observer: Observer,
}

impl Applied {
    /// Starts from the states of `book`; `observer` is told of every batch from here on. The log goes by
    /// the node's own clock.
    pub fn new(book: &Book, observer: Observer) -> Self {
        let products: Products = book
            .iter()
            .map(|(product, state)| (*product, Arc::new(RwLock::new(state.clone()))))
            .collect();
        Self {
            products: ArcSwap::from_pointee(products),
            control: ArcSwap::from_pointee(book.control().clone()),
            end_seen_us: AtomicU64::new(0),
            log_clock: None,
            observer,
        }
    }

    /// The same for a log that goes by another clock.
    pub fn following(book: &Book, log_clock: LogClock, observer: Observer) -> Self {
        Self { log_clock: Some(log_clock), ..Self::new(book, observer) }
    }

    /// The log's clock, if it is another than the node's.
    pub fn log_clock(&self) -> Option<&LogClock> {
        self.log_clock.as_ref()
    }

    /// The time that the log has now.
    pub fn log_time(&self, clock: &Clock) -> LogTime {
        match &self.log_clock {
            Some(log_clock) => log_clock.now(clock.monotonic_us(), clock.unix_ms()),
            None => LogTime::known(clock.unix_ms()),
        }
    }

    /// Reads a product's state under its read lock; `None` if there is no such product. `f` must be
    /// short, as the next batch waits for it, and must not come back here: with a batch waiting in
    /// between, both would wait for ever.
    pub fn with_state<R>(&self, product: &ProductId, f: impl FnOnce(&SaleState) -> R) -> Option<R> {
        let products = self.products.load();
        let state = products.get(product)?;
        Some(f(&state.read()))
    }

    /// What operators have said about the whole gate.
    pub fn control(&self) -> Arc<ControlState> {
        self.control.load_full()
    }

    /// The latest log time under a key (Unix milliseconds), if there is one.
    pub fn log_time_ms(&self, key: &ProductId) -> Option<u64> {
        if *key == ProductId::CONTROL {
            return Some(self.control.load().log_time_ms());
        }
        self.with_state(key, SaleState::log_time_ms)
    }

    /// All products, sorted.
    pub fn products(&self) -> Vec<ProductId> {
        let mut products: Vec<ProductId> = self.products.load().keys().copied().collect();
        products.sort_unstable();
        products
    }

    /// An order of any product that is not archived.
    pub fn find_order(&self, id: &OrderId) -> Option<(ProductId, OrderView)> {
        self.products
            .load()
            .iter()
            .find_map(|(product, state)| Some((*product, state.read().order(id)?)))
    }

    /// When the end of the log was last seen ([`Clock::monotonic_us`](crate::clock::Clock::monotonic_us)).
    /// A state whose log's end has not been seen for a second must not refuse anybody.
    pub fn end_seen_us(&self) -> u64 {
        self.end_seen_us.load(Ordering::Acquire)
    }

    /// Says that all records up to the log's end at `now_us` are applied.
    pub fn mark_end_seen(&self, now_us: u64) {
        self.end_seen_us.store(now_us, Ordering::Release);
    }

    /// Applies durable records, in log order, and tells the observer. Returns their outcomes, in order.
    /// Only one thread may call it.
    pub fn apply_batch(&self, entries: &[LogEntry]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut levels = Vec::new();
        let mut control = None;
        for run in entries.chunk_by(|one, next| one.product == next.product) {
            if run[0].product == ProductId::CONTROL {
                control = Some(self.apply_control(run, &mut outcomes));
            } else {
                levels.extend(self.apply_run(run, &mut outcomes));
            }
        }
        let decided: Vec<_> = entries.iter().filter_map(decided_proposal).collect();
        let control = control.as_ref();
        (self.observer)(&AppliedBatch { levels: &levels, decided: &decided, control });
        outcomes
    }

    /// Applies successive control records and puts the new state in the place of the old one.
    fn apply_control(&self, run: &[LogEntry], outcomes: &mut Vec<Outcome>) -> Arc<ControlState> {
        let mut control = ControlState::clone(&self.control.load());
        outcomes.extend(run.iter().map(|e| control.apply(e.offset, e.appended_at_ms, &e.record)));
        let control = Arc::new(control);
        self.control.store(Arc::clone(&control));
        control
    }

    /// Applies successive records of one product under one lock.
    fn apply_run(&self, run: &[LogEntry], outcomes: &mut Vec<Outcome>) -> Option<Level> {
        let mut run = run;
        while let [first, rest @ ..] = run {
            if let Some(state) = self.products.load().get(&first.product) {
                let mut state = state.write();
                outcomes
                    .extend(run.iter().map(|e| state.apply(e.offset, e.appended_at_ms, &e.record)));
                return Some(level(first.product, &state));
            }
            outcomes.push(self.apply_to_unknown(first));
            run = rest;
            if run.is_empty() {
                return self.with_state(&first.product, |state| level(first.product, state));
            }
        }
        None
    }

    /// What a record about an unknown product comes to is the book's business.
    fn apply_to_unknown(&self, entry: &LogEntry) -> Outcome {
        let mut book = Book::default();
        let outcome = book.apply(entry);
        if let Some(state) = book.take(&entry.product) {
            let state = Arc::new(RwLock::new(state));
            self.products.rcu(|products| {
                let mut products = Products::clone(products);
                products.insert(entry.product, Arc::clone(&state));
                products
            });
        }
        outcome
    }
}

fn level(product: ProductId, state: &SaleState) -> Level {
    Level { product, offset: state.applied_offset(), remaining: state.remaining() }
}

fn decided_proposal(entry: &LogEntry) -> Option<(ProductId, BuyerRef)> {
    match &entry.record {
        Record::OrderProposed(proposal) => Some((entry.product, proposal.buyer)),
        _ => None,
    }
}
