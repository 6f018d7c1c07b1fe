//! What all threads of a node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::Config;
use crate::erasures::Erasures;
use crate::evidence::Evidence;
use crate::gate::Gate;
use crate::guard::Guard;
use crate::guard::live::LiveControls;
use crate::keys::IdentityKeys;
use crate::ledger::Ledger;
use crate::log::{Applied, LogTime, OrderLog};
use crate::place_order::END_SEEN_AGE_US_MAX;
use crate::receipt::Issuer;
use crate::sale::ProductId;
use crate::siteverify::Siteverify;
use crate::trace::Tracer;

use super::counters::Counters;

/// The parts of a node.
pub struct Shared {
    /// The configuration, for good.
    pub config: Config,
    /// The clock.
    pub clock: Clock,
    /// The keys behind order ids and buyer references.
    pub identity: Arc<IdentityKeys>,
    /// Checks 2 to 11.
    pub guard: Arc<Guard>,
    /// The gate.
    pub gate: Gate,
    /// The order log.
    pub log: OrderLog,
    /// The ledger.
    pub ledger: Ledger,
    /// Keeps guard and gate as operators say while the gate runs.
    pub live: Arc<LiveControls>,
    /// The audit trail.
    pub audit: Trail,
    /// Who did what lately, unless that is off.
    pub evidence: Option<Evidence>,
    /// The journal of erasures, of an embedded store.
    pub erasures: Option<Arc<Erasures>>,
    /// Receipts of the last orders, if they are given.
    pub receipts: Option<Arc<Issuer>>,
    /// The service that is asked about challenges that are not our own.
    pub siteverify: Option<Siteverify>,
    /// One block of counts for each public thread.
    pub counters: Vec<Arc<Counters>>,
    /// Until when the listeners' certificates are good, see [`super::tls::expiries`].
    pub certificates: Vec<(&'static str, u64)>,
    /// Waiting rooms.
    pub room: Arc<super::room::Service>,
    /// Fills a buffer with random bytes.
    pub random: fn(&mut [u8]),
    /// The way of spans to the collector.
    pub tracer: Tracer,
    /// Set when the program begins to stop.
    pub stopping: AtomicBool,
}

impl Shared {
    /// The applied state.
    pub fn applied(&self) -> &Arc<Applied> {
        self.log.applied()
    }

    /// Whether this node knows a sale's orders and buyers; it does of one that is not there.
    pub fn has_keys_of(&self, product: &ProductId) -> bool {
        let keys = self.identity.fingerprints();
        self.applied().with_state(product, |state| state.is_under(keys)).unwrap_or(true)
    }

    /// The time that the log has now.
    pub fn log_time(&self) -> LogTime {
        self.applied().log_time(&self.clock)
    }

    /// Whether the log's end was seen lately.
    pub fn log_in_sight(&self) -> bool {
        let age_us = self.clock.monotonic_us().saturating_sub(self.applied().end_seen_us());
        age_us <= END_SEEN_AGE_US_MAX
    }

    /// Whether the program has begun to stop: whoever is answered is told to go elsewhere.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Whether new requests should be sent here, and if not, why.
    pub fn readiness(&self) -> Result<(), &'static str> {
        if self.is_stopping() {
            return Err("stopping");
        }
        if !self.log_in_sight() {
            return Err("the end of the order log is out of sight");
        }
        Ok(())
    }

    /// 16 random bytes.
    pub fn random_16(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        (self.random)(&mut bytes);
        bytes
    }
}
