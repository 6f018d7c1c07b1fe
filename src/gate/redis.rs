//! The gate in Redis, for many nodes.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::{Origin, Verdict};
use crate::clock::Clock;
use crate::gcra::Rate;
use crate::sale::{BuyerRef, ProductId};

/// How to reach Redis, and the rates that hold over all nodes; `None` is off.
pub struct Options {
    /// `rediss://user:password@host:port`.
    pub url: SecretString,
    /// Certificates (PEM) that the server's must descend from.
    pub ca_file: Option<PathBuf>,
    /// How long an attempt waits before it is screened in memory.
    pub timeout: Duration,
    /// Attempts of a product.
    pub product: Option<Rate>,
    /// Attempts of an address.
    pub address: Option<Rate>,
    /// Attempts of a fingerprint.
    pub fingerprint: Option<Rate>,
    /// Attempts of a buyer.
    pub buyer: Option<Rate>,
}

/// Why the gate could not be made. (A Redis that cannot be reached is no error: nodes screen in memory.)
#[derive(Debug, thiserror::Error)]
pub enum RedisGateError {}

/// The gate. Cheap to clone.
#[derive(Clone)]
pub struct RedisGate;

/// One thread's way to it.
pub struct RedisHandle;

impl RedisGate {
    pub fn start(_options: Options, _clock: Clock) -> Result<Self, RedisGateError> {
        unimplemented!()
    }
    pub fn stop(&self) {}
    pub fn handle(&self) -> RedisHandle {
        unimplemented!()
    }
    pub fn settled(&self, _decided: &[(ProductId, BuyerRef)]) {}
    pub fn level(&self, _product: &ProductId, _offset: u64, _remaining: u32) {}
    pub fn pending(&self, _product: &ProductId) -> usize {
        0
    }
    pub fn is_pending(&self, _buyer: &BuyerRef) -> bool {
        false
    }
}

impl RedisHandle {
    pub async fn admit(&self, _: &ProductId, _: &BuyerRef, _: Origin, _now_us: u64) -> Verdict {
        unimplemented!()
    }
    pub fn release(&self, _: &ProductId, _: &BuyerRef) {}
}
