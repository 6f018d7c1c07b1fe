//! The gate in Redis, for many nodes.
//!
//! An attempt first takes a place in this node's own memory and then, with one call, in Redis, which counts
//! over all nodes. Invariants:
//! - A node's own undecided proposals never exceed the units that are left as of its applied state, and a
//!   buyer has at most one, whatever Redis says.
//! - No attempt waits for Redis longer than [`Options::timeout`]. Without Redis it is screened in memory, and
//!   the next ones do not ask (`breaker.rs`).
//! - Redis learns the units left from the applied state at least once a second, and at once when it has lost
//!   them (`keeper.rs`). A lower offset never overwrites a higher.
//! - What is forged, stale or lost in Redis costs proposals that the log refuses, or asks buyers to try again.
//!
//! Each serving thread has a connection of its own (`handle.rs`). The keys are in `calls.rs`, the functions
//! in `flux_gate.lua` and, for waiting rooms, `room.lua`, their loading, which is the worker's alone, in `library.rs`.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use secrecy::SecretString;

use super::memory::MemoryGate;
use super::{Rates, Verdict};
use crate::clock::Clock;
use crate::gcra::Rate;
use crate::sale::{BuyerRef, ProductId};
use breaker::Breaker;
use connect::Endpoint;
use counters::Counters;
use keeper::Inbox;
use product::Product;

mod breaker;
mod calls;
mod connect;
mod counters;
mod handle;
mod keeper;
pub mod library;
mod product;
pub mod rights;
#[cfg(test)]
pub(crate) mod tests;

pub use connect::EndpointError;
pub use counters::Counts;
pub use handle::{NotCalled, RedisHandle};
pub use library::{LibraryKeeper, load_library};

/// Whether a reply of Redis's is an answer of our functions. Whatever else it is, the gate takes it for a failed call.
pub fn is_ours(reply: &::redis::Value) -> bool {
    calls::Answer::parse(reply).is_some() || calls::Levelled::parse(reply).is_some()
}

/// How to reach Redis, and the rates that hold over all nodes.
pub struct Options {
    /// `rediss://user:password@host:port`.
    pub url: SecretString,
    /// Certificates (PEM) that the server's must descend from; the system's if not given.
    pub ca_file: Option<PathBuf>,
    /// How long an attempt waits before it is screened in memory.
    pub timeout: Duration,
    /// The rates at first.
    pub rates: Rates,
}

/// Why the gate could not be made. (A Redis that cannot be reached is no error: nodes screen in memory.)
#[derive(Debug, thiserror::Error)]
pub enum RedisGateError {
    /// The URL or the certificates.
    #[error("redis: {0}")]
    Endpoint(#[from] EndpointError),
    /// The keeper's thread or its runtime.
    #[error("the thread \"redis-gate\" could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The gate. Cheap to clone.
#[derive(Clone)]
pub struct RedisGate {
    shared: Arc<Shared>,
    keeper: Arc<KeeperThread>,
}

/// Ends the keeper when the last clone of the gate is gone.
struct KeeperThread {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What all threads of a node share.
struct Shared {
    endpoint: Endpoint,
    timeout: Duration,
    rates: ArcSwap<Rates>,
    /// Of all rates since the start: a time of arrival that an earlier rate has put far ahead is no forgery
    /// and stays.
    longest_window_us: AtomicU64,
    clock: Clock,
    /// This node's own count.
    local: MemoryGate,
    products: RwLock<HashMap<ProductId, Arc<Product>>>,
    breaker: Breaker,
    inbox: Inbox,
    counters: Counters,
}

impl RedisGate {
    /// Starts the keeper's thread. Attempts are screened in memory until Redis has been reached.
    ///
    /// # Errors
    /// See [`RedisGateError`].
    pub fn start(options: Options, clock: Clock) -> Result<Self, RedisGateError> {
        let shared = Arc::new(Shared {
            endpoint: Endpoint::new(&options.url, options.ca_file.as_deref())?,
            timeout: options.timeout,
            rates: ArcSwap::from_pointee(options.rates),
            longest_window_us: AtomicU64::new(options.rates.longest_window_us()),
            breaker: Breaker::new(clock.monotonic_us()),
            clock,
            local: MemoryGate::new(None),
            products: RwLock::default(),
            inbox: Inbox::default(),
            counters: Counters::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kept = shared.clone();
        let thread =
            std::thread::Builder::new().name("redis-gate".to_owned()).spawn(move || {
                tokio::task::LocalSet::new().block_on(&runtime, keeper::run(kept));
            })?;
        let keeper = KeeperThread { shared: shared.clone(), thread: Mutex::new(Some(thread)) };
        Ok(Self { shared, keeper: Arc::new(keeper) })
    }

    /// Ends the keeper, after Redis has been told what is known, if it can be within half a second.
    /// Attempts are screened in memory from then on.
    pub fn stop(&self) {
        self.keeper.stop();
    }

    /// This thread's way to it. Must be called inside a `LocalSet`.
    pub fn handle(&self) -> RedisHandle {
        RedisHandle::new(self.shared.clone())
    }

    /// See [`Gate::settled`](super::Gate::settled). Does not block.
    pub fn settled(&self, decided: &[(ProductId, BuyerRef)]) {
        self.shared.settled(decided);
    }

    /// See [`Gate::level`](super::Gate::level). Does not block.
    pub fn level(&self, product: &ProductId, offset: u64, remaining: u32) {
        self.shared.level(product, offset, remaining);
    }

    /// See [`Gate::set_rates`](super::Gate::set_rates).
    pub fn set_rates(&self, rates: Rates) {
        let longest_us = rates.longest_window_us();
        self.shared.longest_window_us.fetch_max(longest_us, Ordering::Relaxed);
        self.shared.rates.store(Arc::new(rates));
    }

    /// See [`Gate::pending`](super::Gate::pending): of this node.
    pub fn pending(&self, product: &ProductId) -> usize {
        self.shared.local.pending(product)
    }

    /// See [`Gate::is_pending`](super::Gate::is_pending): on this node.
    pub fn is_pending(&self, buyer: &BuyerRef) -> bool {
        self.shared.local.is_pending(buyer)
    }

    /// Whether attempts ask Redis at this moment.
    pub fn is_up(&self) -> bool {
        !self.shared.breaker.is_open()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        let lasting_us = self.shared.breaker.open_us(self.shared.clock.monotonic_us());
        let mut counts = self.shared.counters.read();
        counts.outages_us += lasting_us;
        counts
    }
}

impl KeeperThread {
    fn stop(&self) {
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        self.shared.inbox.stop();
        if thread.join().is_err() {
            tracing::error!("the thread \"redis-gate\" panicked");
        }
        self.shared.breaker.shut(self.shared.clock.monotonic_us());
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn product(&self, product: &ProductId) -> Option<Arc<Product>> {
        self.products.read().get(product).cloned()
    }

    fn all_products(&self) -> Vec<Arc<Product>> {
        self.products.read().values().cloned().collect()
    }

    fn open_breaker(&self, why: &dyn Display) {
        self.breaker.open(why, self.clock.monotonic_us(), &self.counters);
    }

    /// The verdict without Redis, for an attempt that holds a place on this node.
    fn screen_here(&self, product: &Product, now_us: u64) -> Verdict {
        self.counters.screened_here.add(1);
        product.screen_here(self.rates.load().product.as_ref(), now_us)
    }

    fn settled(&self, decided: &[(ProductId, BuyerRef)]) {
        for run in decided.chunk_by(|one, next| one.0 == next.0) {
            let Some(product) = self.product(&run[0].0) else {
                continue;
            };
            for (id, buyer) in run {
                // What another node let pass is for that one to settle. With few units left nobody waits
                // for it: it may have been killed.
                if self.local.give_back(id, buyer) || product.is_scarce() {
                    self.settle(&product, buyer);
                }
            }
        }
    }

    /// Has Redis forget an attempt that it may hold.
    fn settle(&self, product: &Arc<Product>, buyer: &BuyerRef) {
        match product.settle(buyer) {
            Some(wake) => self.inbox.wake(product, wake),
            None => self.counters.settles_dropped.add(1),
        }
    }

    fn level(&self, id: &ProductId, offset: u64, remaining: u32) {
        // Before the local gate knows the product, so that whoever passes there finds it here.
        let product = self.product(id).unwrap_or_else(|| {
            self.products.write().entry(*id).or_insert_with(|| Arc::new(Product::new(id))).clone()
        });
        self.local.level(id, offset, remaining);
        let wake = product.set_level(offset, remaining, self.clock.monotonic_us());
        self.inbox.wake(&product, wake);
    }
}

impl Rates {
    /// How long the slowest bucket takes to fill, in microseconds: no time of arrival lies further ahead.
    fn longest_window_us(&self) -> u64 {
        [self.product, self.address, self.fingerprint, self.buyer]
            .iter()
            .flatten()
            .map(Rate::window_us)
            .max()
            .unwrap_or(0)
    }
}
