//! How often: the rates of the node, of addresses, fingerprints, buyers and API clients.
//!
//! A request is charged to its address before anything costly. One whose signature is good is refunded and
//! counts against its buyer or API client instead, so that people behind one carrier's address do not lock
//! each other out. Whoever is refused by one rate is charged to none: what was charged before it is taken
//! back.
//!
//! The rates can be changed while requests pass ([`Limits::set`]). What has been counted stays: all that is
//! kept of a key is when its bucket will be full again, so a bucket that is empty is not filled by another
//! rate. The tables are there from the start, whatever is off: untouched they take no memory.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::gate::Origin;
use crate::gcra::{self, Check, Rate};
use crate::guard::live::Effective;
use crate::guard::table::{KeyedHash, Slot, Table};
use crate::sale::{BuyerRef, IdempotencyKey};

/// How many times an address's rate the networks around it have.
const FACTOR_56: u32 = 4;
const FACTOR_48: u32 = 16;
/// Bytes of a fingerprint that are looked at, beside its length.
const FINGERPRINT_BYTES_MAX: usize = 128;

/// Domains of the keyed hash.
const DOMAIN_V4: u8 = 1;
const DOMAIN_V6_64: u8 = 2;
const DOMAIN_V6_56: u8 = 3;
const DOMAIN_V6_48: u8 = 4;
const DOMAIN_FINGERPRINT: u8 = 5;
const DOMAIN_KEY: u8 = 6;

/// A rate as it stands, for the headers `RateLimit-Policy: "<policy>";q=<quota>;w=<window>` and
/// `RateLimit: "<policy>";r=<remaining>;t=<reset>` (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStatus {
    /// Which rate: `node`, `address`, `fingerprint`, `buyer` or `client`.
    pub policy: &'static str,
    /// Requests that may come at once.
    pub quota: u32,
    /// Time in which so many become free again, in seconds, rounded up.
    pub window_seconds: u64,
    /// Requests that may come now.
    pub remaining: u32,
    /// Time until the quota is whole again, or for a refusal until one request may pass, in seconds,
    /// rounded up.
    pub reset_seconds: u64,
}

/// Over a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// When a retry may pass, in milliseconds; at least 1.
    pub retry_after_ms: u64,
    /// The rate that it is over; absent for the least time between two requests.
    pub status: Option<RateStatus>,
}

/// A theoretical arrival time that threads share, for the few keys that are known beforehand.
#[derive(Debug, Default)]
pub struct SharedTat(AtomicU64);

impl SharedTat {
    /// Charges one request, or says when it may come again.
    fn charge(&self, policy: &'static str, rate: &Rate, now_us: u64) -> Result<RateStatus, Over> {
        let mut tat_us = self.0.load(Ordering::Relaxed);
        loop {
            let check = gcra::check(rate, tat_us, now_us);
            let Check::Conforms { tat_us: charged_us, .. } = check else {
                return outcome(policy, rate, check);
            };
            let order = Ordering::Relaxed;
            match self.0.compare_exchange_weak(tat_us, charged_us, order, order) {
                Ok(_) => return outcome(policy, rate, check),
                Err(current_us) => tat_us = current_us,
            }
        }
    }
}

/// The rates that hold now.
struct Rates {
    node: Option<Rate>,
    address: Option<AddressRates>,
    fingerprint: Option<Rate>,
    buyer: Option<Rate>,
    client: Option<Rate>,
    min_interval_ms: u64,
}

/// The rate of addresses, and of the networks around IPv6 ones.
#[derive(Clone, Copy)]
struct AddressRates {
    single: Rate,
    by_56: Rate,
    by_48: Rate,
}

impl Rates {
    fn new(effective: &Effective) -> Self {
        let address = |single: Rate| AddressRates {
            single,
            by_56: single.times(FACTOR_56),
            by_48: single.times(FACTOR_48),
        };
        Self {
            node: effective.node,
            address: effective.address.map(address),
            fingerprint: effective.fingerprint,
            buyer: effective.buyer,
            client: effective.client,
            min_interval_ms: effective.min_interval_ms,
        }
    }
}

/// What a request was charged with at the door; given back by [`Limits::refund`].
#[must_use]
pub struct Entered {
    /// The address's rate; absent where it is off.
    pub status: Option<RateStatus>,
    /// From where, as far as these are limited.
    pub origin: Origin,
    /// From where, whatever is limited.
    pub place: Place,
    address: Option<ChargedAddress>,
}

/// An address that was charged, with the rates that it was charged by: they may be others by now.
type ChargedAddress = (AddressTags, AddressRates);

/// From where a request comes, by tags of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The address (IPv4 /32, IPv6 /64). Absent for the machine itself: whoever has its address comes through
    /// something on this machine, and so says nothing of who they are.
    pub address: Option<u64>,
    /// The fingerprint; absent where there is none, or an empty one.
    pub fingerprint: Option<u64>,
}

#[derive(Clone, Copy)]
struct AddressTags {
    single: u64,
    /// Of the /56 and the /48 of an IPv6 address.
    networks: Option<[u64; 2]>,
}

/// All rates of a node, shared by its threads.
pub struct Limits {
    hash: KeyedHash,
    rates: ArcSwap<Rates>,
    node: SharedTat,
    addresses: Table,
    networks: Table,
    fingerprints: Table,
    buyers: Table,
}

impl Limits {
    /// Limits that hold at first, with tables of at most `tracked_keys_max` keys each.
    pub fn new(effective: &Effective, tracked_keys_max: usize, hash: KeyedHash) -> Self {
        let table = || Table::new(tracked_keys_max);
        Self {
            hash,
            rates: ArcSwap::from_pointee(Rates::new(effective)),
            node: SharedTat::default(),
            addresses: table(),
            networks: table(),
            fingerprints: table(),
            buyers: table(),
        }
    }

    /// Other limits from now on; what has been counted stays.
    pub fn set(&self, effective: &Effective) {
        self.rates.store(Rates::new(effective).into());
    }

    /// Check 3: charges the address, its networks, the fingerprint and the node, or none of them.
    ///
    /// # Errors
    /// The first of them that the request is over.
    pub fn enter(
        &self,
        ip: IpAddr,
        fingerprint: Option<&[u8]>,
        now_us: u64,
    ) -> Result<Entered, Over> {
        let rates = self.rates.load();
        let ip = ip.to_canonical();
        let tags = self.address_tags(ip);
        let (status, address) = self.charge_address(rates.address, tags, now_us)?;
        let tag = fingerprint.filter(|bytes| !bytes.is_empty());
        let tag = tag.map(|bytes| self.fingerprint_tag(bytes));
        let place = Place { address: (!ip.is_loopback()).then_some(tags.single), fingerprint: tag };
        let fingerprint = rates.fingerprint.zip(tag);
        if let Some((rate, tag)) = &fingerprint
            && let Err(over) = charge_in(&self.fingerprints, "fingerprint", rate, *tag, now_us)
        {
            self.refund_address(address.as_ref());
            return Err(over);
        }
        // The node comes last: a request that an address's rate refuses takes nothing from all others.
        if let Some(rate) = &rates.node
            && let Err(over) = self.node.charge("node", rate, now_us)
        {
            fingerprint.inspect(|(rate, tag)| refund_in(&self.fingerprints, rate, *tag));
            self.refund_address(address.as_ref());
            return Err(over);
        }
        let origin = Origin {
            address: address.as_ref().map(|(tags, _)| tags.single),
            fingerprint: fingerprint.map(|(_, tag)| tag),
        };
        Ok(Entered { status, origin, place, address })
    }

    /// Takes the charge of the address and its networks back: the request counts against somebody known.
    pub fn refund(&self, entered: &Entered) {
        self.refund_address(entered.address.as_ref());
    }

    fn refund_address(&self, charged: Option<&ChargedAddress>) {
        let Some((tags, rates)) = charged else { return };
        refund_in(&self.addresses, &rates.single, tags.single);
        if let Some([tag_56, tag_48]) = tags.networks {
            refund_in(&self.networks, &rates.by_56, tag_56);
            refund_in(&self.networks, &rates.by_48, tag_48);
        }
    }

    fn charge_address(
        &self,
        rates: Option<AddressRates>,
        tags: AddressTags,
        now_us: u64,
    ) -> Result<(Option<RateStatus>, Option<ChargedAddress>), Over> {
        const POLICY: &str = "address";
        let Some(rates) = rates else { return Ok((None, None)) };
        let status = charge_in(&self.addresses, POLICY, &rates.single, tags.single, now_us)?;
        let give_back = || refund_in(&self.addresses, &rates.single, tags.single);
        if let Some([tag_56, tag_48]) = tags.networks {
            let by_56 = charge_in(&self.networks, POLICY, &rates.by_56, tag_56, now_us);
            by_56.inspect_err(|_| give_back())?;
            let by_48 = charge_in(&self.networks, POLICY, &rates.by_48, tag_48, now_us);
            by_48.inspect_err(|_| {
                refund_in(&self.networks, &rates.by_56, tag_56);
                give_back();
            })?;
        }
        Ok((Some(status), Some((tags, rates))))
    }

    /// Of an address in its canonical form.
    fn address_tags(&self, ip: IpAddr) -> AddressTags {
        match ip {
            IpAddr::V4(ip) => {
                AddressTags { single: self.hash.tag(DOMAIN_V4, &ip.octets()), networks: None }
            }
            IpAddr::V6(ip) => {
                let octets = ip.octets();
                let tag = |domain, bytes| self.hash.tag(domain, &octets[..bytes]);
                AddressTags {
                    single: tag(DOMAIN_V6_64, 8),
                    networks: Some([tag(DOMAIN_V6_56, 7), tag(DOMAIN_V6_48, 6)]),
                }
            }
        }
    }

    fn fingerprint_tag(&self, bytes: &[u8]) -> u64 {
        let head = &bytes[..bytes.len().min(FINGERPRINT_BYTES_MAX)];
        self.hash.tag(DOMAIN_FINGERPRINT, head).wrapping_add(bytes.len() as u64)
    }

    /// Check 10 for an API client.
    ///
    /// # Errors
    /// The client is over its rate.
    pub fn client(&self, tat: &SharedTat, now_us: u64) -> Result<Option<RateStatus>, Over> {
        self.rates.load().client.map(|rate| tat.charge("client", &rate, now_us)).transpose()
    }

    /// Counts a call other than an order against a buyer's rate.
    ///
    /// # Errors
    /// The buyer is over its rate.
    pub fn buyer(&self, buyer: &BuyerRef, now_us: u64) -> Result<Option<RateStatus>, Over> {
        let rates = self.rates.load();
        let Some(rate) = &rates.buyer else { return Ok(None) };
        charge_in(&self.buyers, "buyer", rate, buyer.table_hash(), now_us).map(Some)
    }

    /// Check 10 for an order: the buyer's rate, and the least time since the buyer's last order that passed
    /// here with another key. The same key again is a double click or a retry, no bot.
    ///
    /// # Errors
    /// Too soon, or over the rate; nothing is charged then.
    pub fn order(
        &self,
        buyer: &BuyerRef,
        key: &IdempotencyKey,
        now_us: u64,
    ) -> Result<Option<RateStatus>, Over> {
        let rates = self.rates.load();
        if rates.buyer.is_none() && rates.min_interval_ms == 0 {
            return Ok(None);
        }
        let now =
            LastOrder { at_ms: now_us / 1_000, key: self.hash.tag(DOMAIN_KEY, key.as_bytes()) };
        self.buyers.with(buyer.table_hash(), |slot: Slot<'_>| {
            if let Some(retry_after_ms) = now.too_soon_after(*slot.note, rates.min_interval_ms) {
                return Err(Over { retry_after_ms, status: None });
            }
            let Some(rate) = &rates.buyer else {
                // Without a rate the slot is kept for as long as its note matters.
                *slot.tat_us = now_us.saturating_add(rates.min_interval_ms.saturating_mul(1_000));
                *slot.note = now.note();
                return Ok(None);
            };
            let status = charge_slot(slot.tat_us, "buyer", rate, now_us)?;
            *slot.note = now.note();
            Ok(Some(status))
        })
    }
}

/// A buyer's last order, as a table's note: 40 bits of time and 24 of the key's hash, the last of them 1,
/// so that no note is 0.
struct LastOrder {
    at_ms: u64,
    key: u64,
}

impl LastOrder {
    const KEY_BITS: u32 = 24;
    const KEY_MASK: u64 = (1 << Self::KEY_BITS) - 1;

    fn note(&self) -> u64 {
        (self.at_ms << Self::KEY_BITS) | (self.key & Self::KEY_MASK) | 1
    }

    /// How much too soon this order comes after the noted one, in milliseconds, if it has another key.
    fn too_soon_after(&self, note: u64, min_interval_ms: u64) -> Option<u64> {
        let same_key = note & Self::KEY_MASK == self.note() & Self::KEY_MASK;
        if note == 0 || same_key {
            return None;
        }
        // Both ways: threads read the clock a moment apart, and a clock set back shuts nobody out.
        let since_ms = self.at_ms.abs_diff(note >> Self::KEY_BITS);
        min_interval_ms.checked_sub(since_ms).filter(|left_ms| *left_ms > 0)
    }
}

fn charge_in(
    table: &Table,
    policy: &'static str,
    rate: &Rate,
    tag: u64,
    now_us: u64,
) -> Result<RateStatus, Over> {
    table.with(tag, |slot| charge_slot(slot.tat_us, policy, rate, now_us))
}

fn charge_slot(
    slot: &mut u64,
    policy: &'static str,
    rate: &Rate,
    now_us: u64,
) -> Result<RateStatus, Over> {
    let check = gcra::check(rate, *slot, now_us);
    if let Check::Conforms { tat_us, .. } = check {
        *slot = tat_us;
    }
    outcome(policy, rate, check)
}

fn refund_in(table: &Table, rate: &Rate, tag: u64) {
    // A key that was forgotten meanwhile has nothing to give back.
    table.with_known(tag, |slot| *slot.tat_us = gcra::refund(rate, *slot.tat_us));
}

fn outcome(policy: &'static str, rate: &Rate, check: Check) -> Result<RateStatus, Over> {
    let status = |remaining, reset_us: u64| RateStatus {
        policy,
        quota: rate.burst,
        window_seconds: rate.window_us().div_ceil(1_000_000),
        remaining,
        reset_seconds: reset_us.div_ceil(1_000_000),
    };
    match check {
        Check::Conforms { remaining, reset_us, .. } => Ok(status(remaining, reset_us)),
        Check::Exceeds { retry_after_us } => Err(Over {
            retry_after_ms: retry_after_us.div_ceil(1_000),
            status: Some(status(0, retry_after_us)),
        }),
    }
}

#[cfg(test)]
mod tests;
