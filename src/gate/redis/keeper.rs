//! The thread "redis-gate": tells Redis what is decided and how many units are left, and finds out when
//! Redis is back.
//!
//! One pipeline is on its way at a time; what comes meanwhile goes with the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{RedisError, Value};
use tokio::sync::Notify;

use super::calls::{self, Levelled};
use super::connect::ConnectError;
use super::product::{Due, Product, Wake};
use super::{Shared, library};
use crate::gate::memory::PENDING_LIFETIME_US;

/// How often all products are looked through.
const TICK: Duration = Duration::from_millis(100);
/// What does not press gathers for so long.
const GATHER: Duration = Duration::from_millis(10);
/// How long a Redis that is away is left alone.
const PROBE_DELAY: Duration = Duration::from_millis(100);
/// A Redis that fails again within this time after it came back ...
const RELAPSE: Duration = Duration::from_secs(5);
/// ... is left alone for twice as long each time, up to this: it may answer the keeper and fail every
/// attempt, as it does with its memory full.
const PROBE_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long the answers to one pipeline may take: it is no attempt, and nobody waits for it.
const PIPELINE_TIMEOUT: Duration = Duration::from_millis(500);
/// Calls of one pipeline.
const PIPELINE_CALLS_MAX: usize = 64;

/// What waits for the keeper.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Products with something to tell; the others are found by the tick.
    listed: Mutex<Vec<Arc<Product>>>,
    some: Notify,
    pressing: Notify,
    stopping: AtomicBool,
}

impl Inbox {
    pub(super) fn wake(&self, product: &Arc<Product>, wake: Wake) {
        match wake {
            Wake::No => {}
            Wake::Soon => {
                self.listed.lock().push(product.clone());
                self.some.notify_one();
            }
            Wake::Now => {
                self.listed.lock().push(product.clone());
                self.pressing.notify_one();
            }
        }
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.pressing.notify_one();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits until something is to be told. `true`: it is time to look at all products.
    async fn wait(&self, tick: &mut tokio::time::Interval) -> bool {
        tokio::select! {
            _ = tick.tick() => return true,
            () = self.pressing.notified() => return false,
            () = self.some.notified() => {}
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = self.pressing.notified() => {}
        }
        false
    }
}

/// Why Redis could not be told.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("Redis did not answer in time")]
    TimedOut,
    #[error("Redis gave an answer that is none of ours")]
    Nonsense,
    #[error("Redis holds version {loaded} of the functions, older than {}", library::VERSION)]
    Version { loaded: u64 },
}

/// Runs until the gate stops. Must be called inside a `LocalSet`.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut keeper = Keeper { shared: shared.clone(), connection: None };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut relapses = Relapses::default();
    while !shared.inbox.is_stopping() {
        if shared.breaker.is_open() {
            shared.inbox.pause(relapses.delay(shared.clock.monotonic_us())).await;
            keeper.until_recovered().await;
            relapses.recovered_us = Some(shared.clock.monotonic_us());
            continue;
        }
        let all = shared.inbox.wait(&mut tick).await;
        keeper.tell(all).await;
    }
    // What this node holds is given back, if Redis can be told in time; else it expires.
    if !shared.breaker.is_open() {
        keeper.tell(true).await;
    }
}

/// How often in a row Redis came back and failed again soon.
#[derive(Default)]
struct Relapses {
    recovered_us: Option<u64>,
    in_a_row: u32,
}

impl Relapses {
    /// How long to wait before Redis, which has just failed, is tried again.
    fn delay(&mut self, now_us: u64) -> Duration {
        let relapse_us = RELAPSE.as_micros() as u64;
        match self.recovered_us {
            Some(recovered_us) if now_us.saturating_sub(recovered_us) < relapse_us => {
                self.in_a_row += 1;
            }
            _ => self.in_a_row = 0,
        }
        match self.in_a_row {
            0 => Duration::ZERO,
            n => (PROBE_DELAY * 2u32.saturating_pow(n - 1)).min(PROBE_DELAY_MAX),
        }
    }
}

impl Inbox {
    async fn pause(&self, delay: Duration) {
        let stopped = async {
            while !self.is_stopping() {
                self.pressing.notified().await;
            }
        };
        let _ = tokio::time::timeout(delay, stopped).await;
    }
}

struct Keeper {
    shared: Arc<Shared>,
    connection: Option<MultiplexedConnection>,
}

impl Keeper {
    /// Tells what is due; a failure opens the breaker.
    async fn tell(&mut self, all: bool) {
        if let Err(error) = self.tell_due(all).await {
            self.connection = None;
            self.shared.open_breaker(&error);
        }
    }

    /// Tries until Redis is back or the gate stops.
    async fn until_recovered(&mut self) {
        let mut told = false;
        while !self.shared.inbox.is_stopping() {
            let Err(error) = self.recover().await else {
                return;
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "Redis cannot be used yet");
            }
            self.shared.inbox.pause(PROBE_DELAY).await;
        }
    }

    /// Closes the breaker if Redis answers as quickly as an attempt needs it, holds the right functions, and
    /// has been levelled.
    async fn recover(&mut self) -> Result<(), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.shared.endpoint.connect().await?,
        };
        let version = calls::version();
        let asked = connection.req_packed_command(&version);
        let answer = tokio::time::timeout(self.shared.timeout, asked)
            .await
            .map_err(|_| Failure::TimedOut)??;
        self.connection = Some(connection);
        match answer.extract_error()? {
            Value::Int(version) if version >= library::VERSION as i64 => {}
            Value::Int(version) => return Err(Failure::Version { loaded: version.max(0) as u64 }),
            _ => return Err(Failure::Nonsense),
        }
        let away_us = self.shared.breaker.open_us(self.shared.clock.monotonic_us());
        for product in self.shared.all_products() {
            product.make_due();
            if away_us > PENDING_LIFETIME_US {
                product.forget_settles();
            }
        }
        self.tell_due(true).await?;
        self.shared.breaker.close(self.shared.clock.monotonic_us(), &self.shared.counters);
        Ok(())
    }

    async fn tell_due(&mut self, all: bool) -> Result<(), Failure> {
        let listed = std::mem::take(&mut *self.shared.inbox.listed.lock());
        let mut products = if all { self.shared.all_products() } else { listed };
        while !products.is_empty() {
            let now_us = self.shared.clock.monotonic_us();
            let due: Vec<(Arc<Product>, Due)> = products
                .drain(..)
                .filter_map(|product| Some((product.clone(), product.take_due(now_us)?)))
                .collect();
            let mut due = due.into_iter();
            loop {
                let part: Vec<_> = due.by_ref().take(PIPELINE_CALLS_MAX).collect();
                if part.is_empty() {
                    break;
                }
                if let Err(error) = self.tell_part(&part).await {
                    part.into_iter().chain(due).for_each(|(product, due)| product.not_told(due));
                    return Err(error);
                }
                // More than one call could carry.
                products.extend(
                    part.into_iter().filter(|(_, due)| due.is_full()).map(|(product, _)| product),
                );
            }
        }
        Ok(())
    }

    async fn tell_part(&mut self, part: &[(Arc<Product>, Due)]) -> Result<(), Failure> {
        let shared = &*self.shared;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => shared.endpoint.connect().await?,
        };
        let mut pipeline = redis::Pipeline::with_capacity(part.len());
        for (product, due) in part {
            pipeline.add_command(calls::level(
                &product.keys,
                shared.longest_window_us.load(Ordering::Relaxed),
                due.offset,
                due.remaining,
                &due.settles,
            ));
        }
        let asked = connection.req_packed_commands(&pipeline, 0, part.len());
        let answers = tokio::time::timeout(PIPELINE_TIMEOUT, asked)
            .await
            .map_err(|_| Failure::TimedOut)??;
        let now_us = shared.clock.monotonic_us();
        for ((product, due), answer) in part.iter().zip(answers) {
            let levelled = Levelled::parse(&answer.extract_error()?).ok_or(Failure::Nonsense)?;
            product.told(due, &levelled, now_us);
            self.count(due, &levelled);
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn count(&self, due: &Due, levelled: &Levelled) {
        let counters = &self.shared.counters;
        counters.levels.add(1);
        counters.settled.add(due.settles.len() as u64);
        match levelled.before {
            Some(before) => counters.drift_units.add(u64::from(before.abs_diff(levelled.hint))),
            None => counters.hints_missing.add(1),
        }
    }
}
