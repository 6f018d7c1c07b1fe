//! The real [`World`]: one thread of a node, with its clock, its gate and its way to the log.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::{Proposed, World};
use crate::clock::Clock;
use crate::gate::{GateHandle, Origin, Verdict};
use crate::keys::IdentityKeys;
use crate::log::{Append, Applied, LogHandle, LogTime};
use crate::sale::record::KeyFingerprints;
use crate::sale::{BuyerRef, ProductId, SaleState};
use crate::trace;

/// The attribute with the word for what came of a step.
const OUTCOME: &str = "flux_gate.outcome";

/// Attempts of one thread that wait for a unit; a further one is answered "busy" at once.
pub const UNIT_WAITERS_MAX: usize = 10_000;

/// What the attempts of one thread share. Neither `Send` nor `Sync`: each thread has its own.
pub struct Node {
    clock: Clock,
    gate: GateHandle,
    log: LogHandle,
    applied: Arc<Applied>,
    identity: Arc<IdentityKeys>,
    unit_waiters: Cell<usize>,
}

impl Node {
    /// Joins the parts; `gate` and `log` belong to the calling thread.
    pub fn new(
        clock: Clock,
        gate: GateHandle,
        log: LogHandle,
        applied: Arc<Applied>,
        identity: Arc<IdentityKeys>,
    ) -> Self {
        Self { clock, gate, log, applied, identity, unit_waiters: Cell::new(0) }
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The applied state.
    pub fn applied(&self) -> &Arc<Applied> {
        &self.applied
    }

    /// The way to the gate.
    pub fn gate(&self) -> &GateHandle {
        &self.gate
    }

    /// The way to the log.
    pub fn log(&self) -> &LogHandle {
        &self.log
    }
}

impl World for Node {
    fn log_time(&self) -> LogTime {
        self.applied.log_time(&self.clock)
    }

    fn monotonic_us(&self) -> u64 {
        self.clock.monotonic_us()
    }

    fn end_seen_us(&self) -> u64 {
        self.applied.end_seen_us()
    }

    fn keys(&self) -> &KeyFingerprints {
        self.identity.fingerprints()
    }

    fn with_state<R>(&self, product: &ProductId, read: impl FnOnce(&SaleState) -> R) -> Option<R> {
        self.applied.with_state(product, read)
    }

    async fn admit(&self, product: &ProductId, buyer: &BuyerRef, origin: Origin) -> Verdict {
        let step = trace::step("gate");
        let verdict = self.gate.admit(product, buyer, origin, self.clock.monotonic_us()).await;
        step.note(OUTCOME, verdict.word());
        verdict
    }

    fn release(&self, product: &ProductId, buyer: &BuyerRef) {
        self.gate.release(product, buyer);
    }

    async fn propose(&self, append: Append, wait_us: u64) -> Proposed {
        let step = trace::writing("log");
        let proposed = match self.log.append(append) {
            Err(_not_appended) => Proposed::NotSent,
            Ok(undecided) => {
                match tokio::time::timeout(Duration::from_micros(wait_us), undecided).await {
                    Ok(Ok(decided)) => Proposed::Decided(decided),
                    Ok(Err(_lost)) => Proposed::Lost,
                    Err(_elapsed) => Proposed::TimedOut,
                }
            }
        };
        step.note(OUTCOME, proposed.word());
        if let Proposed::Decided(decided) = &proposed {
            step.note("flux_gate.offset", decided.offset);
        }
        proposed
    }

    async fn next_batch(&self, wait_us: u64) -> bool {
        if self.unit_waiters.get() >= UNIT_WAITERS_MAX {
            return false;
        }
        let _place = Place::take(&self.unit_waiters);
        let _step = trace::step("wait for a unit");
        tokio::time::timeout(Duration::from_micros(wait_us), self.log.next_batch()).await.is_ok()
    }
}

/// A place among the waiters, given back when its attempt goes on or hangs up.
struct Place<'a>(&'a Cell<usize>);

impl<'a> Place<'a> {
    fn take(waiters: &'a Cell<usize>) -> Self {
        waiters.set(waiters.get() + 1);
        Self(waiters)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
