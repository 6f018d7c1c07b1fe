//! What each rule would have caught: of the suspicious orders, and of all others.
//!
//! Each rule is played over the attempts as if it alone had been there. It is played over what was kept: of a flood
//! that is a sample, each of which is charged as many times as it stands for, at one moment. Nobody's answer to the
//! rule is guessed: a bot that is refused would have tried again, or otherwise. So the figures compare rules; they do
//! not foretell a sale.

use std::collections::{HashMap, HashSet};

use super::super::{Mark, Sighting, What};
use super::patterns::{Order, Pattern};
use super::{Kind, Source};
use crate::gcra::{self, Check, Rate};
use crate::sale::{BuyerRef, OrderId};

/// Requests a second that are tried for an address and a fingerprint.
pub const PER_SECOND: [u32; 5] = [1, 2, 5, 10, 20];
/// Orders a second that are tried for a buyer.
pub const BUYER_PER_SECOND: [u32; 3] = [1, 2, 5];
/// Least times between two orders of a buyer that are tried, in milliseconds.
pub const MIN_INTERVAL_MS: [u32; 4] = [500, 1_000, 2_000, 5_000];
/// Users on one fingerprint that are tried.
pub const USERS_PER_FINGERPRINT: [u32; 4] = [1, 2, 5, 10];

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The live limit `ip_per_second`.
    IpPerSecond(u32),
    /// The live limit `fingerprint_per_second`.
    FingerprintPerSecond(u32),
    /// The live limit `buyer_per_second`.
    BuyerPerSecond(u32),
    /// The live limit `min_interval_ms`.
    MinIntervalMs(u32),
    /// A block of this source.
    Block(Source),
    /// Of each fingerprint only the first so many users. No limit of the gate: a shop may have such a rule.
    UsersPerFingerprint(u32),
}

impl Rule {
    /// Its word: of a limit its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::IpPerSecond(_) => "ip_per_second",
            Self::FingerprintPerSecond(_) => "fingerprint_per_second",
            Self::BuyerPerSecond(_) => "buyer_per_second",
            Self::MinIntervalMs(_) => "min_interval_ms",
            Self::Block(_) => "block",
            Self::UsersPerFingerprint(_) => "users_per_fingerprint",
        }
    }

    /// The value that was tried; a block has none.
    pub fn value(self) -> Option<u32> {
        match self {
            Self::IpPerSecond(value)
            | Self::FingerprintPerSecond(value)
            | Self::BuyerPerSecond(value)
            | Self::MinIntervalMs(value)
            | Self::UsersPerFingerprint(value) => Some(value),
            Self::Block(_) => None,
        }
    }
}

/// What a rule would have caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    /// The rule.
    pub rule: Rule,
    /// Suspicious orders that it would have refused.
    pub caught: u64,
    /// Other orders that it would have refused.
    pub collateral: u64,
}

/// Whether an accepted order counts against its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// One node: whoever has signed is given back what the address was charged with.
    IsRefunded,
    /// Many nodes: the gate in Redis counts all attempts that go to the log.
    Counts,
}

/// Plays all rules. `sightings` rise in time; suspicious are the `orders` that show the pattern, or any.
pub fn play(
    sightings: &[Sighting],
    orders: &[Order<'_>],
    pattern: Option<Pattern>,
    signed: Signed,
) -> Vec<Caught> {
    let suspicious = orders.iter().filter(|order| order.shows(pattern)).map(|order| order.id);
    let judge = Judge { suspicious: suspicious.collect(), seen: sightings };
    let mut all = Vec::new();
    all.extend(PER_SECOND.map(|n| judge.rule(Rule::IpPerSecond(n), addresses(n, signed))));
    all.extend(PER_SECOND.map(|n| judge.rule(Rule::FingerprintPerSecond(n), fingerprints(n))));
    all.extend(BUYER_PER_SECOND.map(|n| judge.rule(Rule::BuyerPerSecond(n), buyers(n))));
    all.extend(MIN_INTERVAL_MS.map(|n| judge.rule(Rule::MinIntervalMs(n), intervals(n))));
    let users = USERS_PER_FINGERPRINT;
    all.extend(users.map(|n| judge.rule(Rule::UsersPerFingerprint(n), first_users(n))));
    for kind in [Kind::Address, Kind::Network, Kind::Fingerprint] {
        if let Some(source) = judge.worst(kind) {
            let rule = Rule::Block(source);
            all.push(judge.rule(rule, move |seen| kind.of(seen) == Some(source)));
        }
    }
    all
}

struct Judge<'a> {
    suspicious: HashSet<OrderId>,
    seen: &'a [Sighting],
}

impl Judge<'_> {
    /// What a rule catches that says of each attempt, one after the other, whether it refuses it.
    fn rule(&self, rule: Rule, mut refuses: impl FnMut(&Sighting) -> bool) -> Caught {
        let mut caught = Caught { rule, caught: 0, collateral: 0 };
        // An order that two nodes have seen is one.
        let mut refused = HashSet::new();
        for sighting in self.seen {
            if !refuses(sighting) || sighting.what != What::Accepted {
                continue;
            }
            match sighting.order_id {
                Some(order) if !refused.insert(order) => {}
                Some(order) if self.suspicious.contains(&order) => caught.caught += 1,
                _ => caught.collateral += 1,
            }
        }
        caught
    }

    /// The source of a kind with most suspicious orders.
    fn worst(&self, kind: Kind) -> Option<Source> {
        let mut counts: HashMap<Source, u64> = HashMap::new();
        for sighting in self.seen {
            let suspicious = sighting.order_id.is_some_and(|id| self.suspicious.contains(&id));
            if suspicious && let Some(source) = kind.of(sighting) {
                *counts.entry(source).or_default() += 1;
            }
        }
        // Of two equal ones the same one each time.
        counts.into_iter().max_by_key(|(source, count)| (*count, *source)).map(|(source, _)| source)
    }
}

/// Buckets by who they are of, which begin full.
struct Buckets<K> {
    rate: Option<Rate>,
    arrivals_us: HashMap<K, u64>,
}

impl<K: Eq + std::hash::Hash> Buckets<K> {
    /// So many a second, and as many at once.
    fn new(per_second: u32) -> Self {
        Self { rate: Rate::per_second(per_second, per_second), arrivals_us: HashMap::new() }
    }

    /// Whether one more would conform; it is not charged.
    fn has_room(&self, key: &K, sighting: &Sighting) -> bool {
        let Some(rate) = &self.rate else { return true };
        let arrival_us = self.arrivals_us.get(key).copied().unwrap_or_default();
        matches!(gcra::check(rate, arrival_us, now_us(sighting)), Check::Conforms { .. })
    }

    /// Charges one that stands for `weight` attempts; whether there is not room for even the first.
    fn is_over(&mut self, key: K, sighting: &Sighting, weight: u32) -> bool {
        let Some(rate) = &self.rate else { return false };
        let now_us = now_us(sighting);
        let arrival_us = self.arrivals_us.entry(key).or_default();
        let mut charged = 0;
        // More than a burst conforms to no bucket.
        while charged < weight.min(rate.burst)
            && let Check::Conforms { tat_us, .. } = gcra::check(rate, *arrival_us, now_us)
        {
            *arrival_us = tat_us;
            charged += 1;
        }
        charged == 0 && weight > 0
    }
}

fn now_us(sighting: &Sighting) -> u64 {
    sighting.at_ms.saturating_mul(1_000)
}

/// At the door an address is charged for what does not prove who it is from, and refunded for the rest. What went to
/// the log counts in the gate of many nodes.
fn addresses(per_second: u32, signed: Signed) -> impl FnMut(&Sighting) -> bool {
    let (mut door, mut gate) = (Buckets::<Mark>::new(per_second), Buckets::<Mark>::new(per_second));
    move |seen| match seen.what {
        _ if seen.address == Mark::NONE => false,
        What::NotAuthentic => door.is_over(seen.address, seen, seen.weight),
        What::Accepted => {
            !door.has_room(&seen.address, seen)
                || signed == Signed::Counts && gate.is_over(seen.address, seen, 1)
        }
        _ => false,
    }
}

/// A fingerprint is charged for all that comes past the blocks.
fn fingerprints(per_second: u32) -> impl FnMut(&Sighting) -> bool {
    let mut buckets = Buckets::<Mark>::new(per_second);
    move |seen| match seen.fingerprint {
        Some(mark) if seen.what != What::Blocked => buckets.is_over(mark, seen, seen.weight),
        _ => false,
    }
}

/// A buyer is charged for all that passed the checks before.
fn buyers(per_second: u32) -> impl FnMut(&Sighting) -> bool {
    let mut buckets = Buckets::<BuyerRef>::new(per_second);
    move |seen| seen.buyer.is_some_and(|buyer| buckets.is_over(buyer, seen, seen.weight))
}

/// Since the buyer's last order that passed, if that had another key, so another order id.
fn intervals(min_interval_ms: u32) -> impl FnMut(&Sighting) -> bool {
    let mut last: HashMap<BuyerRef, (u64, OrderId)> = HashMap::new();
    move |seen| {
        let (Some(buyer), Some(order)) = (seen.buyer, seen.order_id) else { return false };
        if let Some((at_ms, other)) = last.get(&buyer)
            && *other != order
            && seen.at_ms.saturating_sub(*at_ms) < u64::from(min_interval_ms)
        {
            return true;
        }
        last.insert(buyer, (seen.at_ms, order));
        false
    }
}

/// Whoever comes after the first users of a fingerprint.
fn first_users(users_max: u32) -> impl FnMut(&Sighting) -> bool {
    let mut users: HashMap<Mark, Vec<BuyerRef>> = HashMap::new();
    move |seen| {
        let (Some(mark), Some(buyer)) = (seen.fingerprint, seen.buyer) else { return false };
        if seen.what != What::Accepted {
            return false;
        }
        let users = users.entry(mark).or_default();
        if users.contains(&buyer) {
            return false;
        }
        if users.len() >= users_max as usize {
            return true;
        }
        users.push(buyer);
        false
    }
}
