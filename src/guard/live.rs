//! What operators change while the gate runs: blocks, limits and who is not scored, from the control records
//! of the log.
//!
//! The log's thread hands each new control state in ([`LiveControls::take`]); [`LiveControls::tick`] lets go
//! of what has ended by its time. Requests read the result without a lock.
//!
//! A block is a pseudonym: 64 bits of SipHash-2-4 under a key that is derived from the buyer key, so it is
//! the same on all nodes and stays for as long as sales do. A request costs one such hash (tens of
//! nanoseconds) for each prefix length that occurs among the blocks of its address family, one if any
//! fingerprint is blocked and it carries one, one if any user is blocked, and nothing where nothing is. An
//! innocent one is taken for a blocked one once in 2^64 / 4,096.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashSet;
use ipnet::IpNet;
use parking_lot::Mutex;

use super::Guard;
use super::blocks::{left_aligned, mask};
use super::client_ip::canonical_net;
use super::table::KeyedHash;
use crate::config;
use crate::gate::{self, Gate};
use crate::gcra::Rate;
use crate::sale::control::{BlockTarget, Limit};
use crate::sale::{ControlState, UserId};

/// Attempts that travel are those of people whom the guard knows, and many people share a carrier's address:
/// over all nodes it has so many times the rate that strangers have at each.
const CARRIER_FACTOR: u32 = 16;

/// Domains of the keyed hash.
const DOMAIN_V4: u8 = 1;
const DOMAIN_V6: u8 = 2;
const DOMAIN_FINGERPRINT: u8 = 3;
const DOMAIN_USER: u8 = 4;

/// The limits that hold: the live ones in the place of the configured ones. `None` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effective {
    /// All requests of a node.
    pub node: Option<Rate>,
    /// Attempts of one product.
    pub product: Option<Rate>,
    /// Requests of one address.
    pub address: Option<Rate>,
    /// Requests that carry one fingerprint.
    pub fingerprint: Option<Rate>,
    /// Requests of one buyer.
    pub buyer: Option<Rate>,
    /// Requests of one API client.
    pub client: Option<Rate>,
    /// Between two requests of one buyer with different keys, in milliseconds; 0 is off.
    pub min_interval_ms: u64,
}

impl Effective {
    /// The configured limits alone.
    pub fn configured(limits: &config::Limits) -> Self {
        Self::new(limits, &ControlState::default(), 0)
    }

    /// The limits when log time is `now_ms` (Unix milliseconds).
    pub fn new(limits: &config::Limits, control: &ControlState, now_ms: u64) -> Self {
        // Where no burst is given it is what comes in a second.
        let rate = |limit, configured, burst| match control.limit(limit, now_ms) {
            Some(live) => Rate::per_second(live.value, live.burst.unwrap_or(live.value)),
            None => Rate::per_second(configured, burst),
        };
        let same = |limit, configured| rate(limit, configured, configured);
        let interval = control.limit(Limit::MinIntervalMs, now_ms);
        Self {
            node: same(Limit::NodePerSecond, limits.node_per_second),
            product: same(Limit::ProductPerSecond, limits.product_per_second),
            address: rate(Limit::IpPerSecond, limits.ip_per_second, limits.ip_burst),
            fingerprint: same(Limit::FingerprintPerSecond, limits.fingerprint_per_second),
            buyer: same(Limit::BuyerPerSecond, limits.buyer_per_second),
            client: same(Limit::ClientPerSecond, limits.client_per_second),
            min_interval_ms: interval.map_or(limits.min_interval_ms, |live| live.value.into()),
        }
    }

    /// The rates of attempts that may win, over all nodes.
    pub fn gate_rates(&self) -> gate::Rates {
        gate::Rates {
            product: self.product,
            address: self.address.map(|rate| rate.times(CARRIER_FACTOR)),
            fingerprint: self.fingerprint,
            buyer: self.buyer,
        }
    }
}

/// Makes pseudonyms of those who are blocked.
pub struct BlockKey(KeyedHash);

impl BlockKey {
    /// Takes the seed of [`IdentityKeys::block_seed`](crate::keys::IdentityKeys::block_seed).
    pub fn new(seed: [u8; 16]) -> Self {
        Self(KeyedHash::new(seed))
    }

    /// The pseudonym of a network; an IPv4-mapped one is the IPv4 one.
    pub fn network(&self, network: IpNet) -> BlockTarget {
        let network = canonical_net(network);
        let bits = network.prefix_len();
        let masked = left_aligned(network.addr()) & mask(bits);
        match network {
            IpNet::V4(_) => BlockTarget::V4 { bits, tag: self.prefix(DOMAIN_V4, bits, masked) },
            IpNet::V6(_) => BlockTarget::V6 { bits, tag: self.prefix(DOMAIN_V6, bits, masked) },
        }
    }

    /// The pseudonym of a device fingerprint.
    pub fn fingerprint(&self, fingerprint: &[u8]) -> BlockTarget {
        BlockTarget::Fingerprint(self.0.tag(DOMAIN_FINGERPRINT, fingerprint))
    }

    /// The pseudonym of a user id, of whatever shop.
    pub fn user(&self, user: &UserId) -> BlockTarget {
        BlockTarget::User(self.0.tag(DOMAIN_USER, user.as_bytes()))
    }

    fn prefix(&self, domain: u8, bits: u8, masked: u128) -> u64 {
        let mut bytes = [0; 17];
        bytes[0] = bits;
        bytes[1..].copy_from_slice(&masked.to_be_bytes());
        self.0.tag(domain, &bytes)
    }
}

/// Those who are blocked now.
#[derive(Default)]
pub struct LiveBlocks {
    /// The prefix lengths that occur.
    v4_bits: Vec<u8>,
    v6_bits: Vec<u8>,
    networks: HashSet<u64>,
    fingerprints: HashSet<u64>,
    users: HashSet<u64>,
}

impl LiveBlocks {
    /// The blocks that stand when log time is `now_ms` (Unix milliseconds).
    pub fn new(control: &ControlState, now_ms: u64) -> Self {
        Self::of(control.blocks(now_ms).map(|block| block.target))
    }

    /// Those of these pseudonyms.
    fn of(targets: impl Iterator<Item = BlockTarget>) -> Self {
        let mut blocks = Self::default();
        for target in targets {
            match target {
                BlockTarget::V4 { bits, tag } => blocks.network(true, bits, tag),
                BlockTarget::V6 { bits, tag } => blocks.network(false, bits, tag),
                BlockTarget::Fingerprint(tag) => _ = blocks.fingerprints.insert(tag),
                BlockTarget::User(tag) => _ = blocks.users.insert(tag),
            }
        }
        blocks
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.fingerprints.is_empty() && self.users.is_empty()
    }

    fn network(&mut self, v4: bool, bits: u8, tag: u64) {
        let lengths = if v4 { &mut self.v4_bits } else { &mut self.v6_bits };
        if !lengths.contains(&bits) {
            lengths.push(bits);
        }
        self.networks.insert(tag);
    }

    /// Whether the address (in its canonical form) or a prefix of it is blocked.
    pub fn address(&self, key: &BlockKey, ip: IpAddr) -> bool {
        let (domain, lengths) =
            if ip.is_ipv4() { (DOMAIN_V4, &self.v4_bits) } else { (DOMAIN_V6, &self.v6_bits) };
        let address = left_aligned(ip);
        lengths
            .iter()
            .any(|&bits| self.networks.contains(&key.prefix(domain, bits, address & mask(bits))))
    }

    /// Whether the fingerprint is blocked.
    pub fn fingerprint(&self, key: &BlockKey, fingerprint: &[u8]) -> bool {
        !self.fingerprints.is_empty()
            && self.fingerprints.contains(&key.0.tag(DOMAIN_FINGERPRINT, fingerprint))
    }

    /// Whether the user is blocked.
    pub fn user(&self, key: &BlockKey, user: &UserId) -> bool {
        !self.users.is_empty() && self.users.contains(&key.0.tag(DOMAIN_USER, user.as_bytes()))
    }
}

/// Who is not scored now.
#[derive(Default)]
pub struct LiveAllows {
    /// Those whom an operator has excused, by the same pseudonyms as blocks.
    pub allowed: LiveBlocks,
    /// Nobody is scored.
    pub score_is_off: bool,
}

impl LiveAllows {
    /// Who is excused when log time is `now_ms` (Unix milliseconds).
    pub fn new(control: &ControlState, now_ms: u64) -> Self {
        Self {
            allowed: LiveBlocks::of(control.allows(now_ms).map(|allow| allow.target)),
            score_is_off: control.score_off(now_ms).is_some(),
        }
    }
}

/// Keeps guard and gate as the control records say.
pub struct LiveControls {
    guard: Arc<Guard>,
    gate: Gate,
    limits: config::Limits,
    held: Mutex<Held>,
}

struct Held {
    control: Arc<ControlState>,
    /// When something ends next (log time, Unix milliseconds).
    next_end_ms: Option<u64>,
}

impl LiveControls {
    /// Nothing is said yet; `limits` are the configured ones.
    pub fn new(guard: Arc<Guard>, gate: Gate, limits: config::Limits) -> Self {
        let held = Mutex::new(Held { control: Arc::default(), next_end_ms: None });
        Self { guard, gate, limits, held }
    }

    /// Takes a new control state; it holds when this returns. `now_ms` is the log's time, as far as it is
    /// known: what has ended since is let go by the next tick.
    pub fn take(&self, control: &Arc<ControlState>, now_ms: u64) {
        let held = &mut *self.held.lock();
        held.control = Arc::clone(control);
        self.put(held, now_ms);
    }

    /// Lets go of what has ended when the log's time is `now_ms`. To be called a few times a second.
    pub fn tick(&self, now_ms: u64) {
        let held = &mut *self.held.lock();
        let now_ms = held.control.log_time_at(now_ms);
        if held.next_end_ms.is_some_and(|end_ms| end_ms <= now_ms) {
            self.put(held, now_ms);
        }
    }

    fn put(&self, held: &mut Held, now_ms: u64) {
        let control = &held.control;
        let now_ms = control.log_time_at(now_ms);
        let effective = Effective::new(&self.limits, control, now_ms);
        let allows = LiveAllows::new(control, now_ms);
        self.guard.set_live(&effective, LiveBlocks::new(control, now_ms), allows);
        self.gate.set_rates(effective.gate_rates());
        held.next_end_ms = control.next_end_ms(now_ms);
    }
}

#[cfg(test)]
mod tests;
