//! The five patterns: which accepted orders show them, and why.
//!
//! A pattern is looked for over all accepted orders of the span together, before anything is left out. A threshold is
//! the least number that counts, so the edge itself is found.

use std::collections::VecDeque;

use super::super::{Series, Sighting, What};
use super::{Kind, Source, distinct, groups};
use crate::sale::OrderId;

/// Within what time orders are a burst, in milliseconds.
pub const BURST_MS: u64 = 1_000;
/// Orders within [`BURST_MS`] from one network or fingerprint.
pub const BURST_ORDERS: u32 = 10;
/// Different buyers on one fingerprint.
pub const FINGERPRINT_BUYERS: u32 = 5;
/// Different buyers in one /24 or /48.
pub const NETWORK_BUYERS: u32 = 10;
/// Different buyers at one address or in one /64.
pub const ADDRESS_BUYERS: u32 = 5;
/// User ids in a row.
pub const SERIES_IDS: u32 = 5;
/// How far one id in a row is from the next.
pub const SERIES_GAP: u32 = 3;
/// Numbers of a series go round at this one.
const SERIES_MODULUS: u64 = 1 << 63;

/// What makes an order suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Many orders within a second from one network or fingerprint.
    Bursts,
    /// Many buyers on one fingerprint.
    SharedFingerprint,
    /// Many buyers in one IPv4 /24 or IPv6 /48.
    OneNetwork,
    /// User ids that differ in their last digits alone, one close to the next.
    SequentialUsers,
    /// Many buyers at one IPv4 address or in one IPv6 /64.
    SharedAddress,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Bursts,
        Self::SharedFingerprint,
        Self::OneNetwork,
        Self::SequentialUsers,
        Self::SharedAddress,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bursts => "bursts",
            Self::SharedFingerprint => "shared_fingerprint",
            Self::OneNetwork => "one_network",
            Self::SequentialUsers => "sequential_users",
            Self::SharedAddress => "shared_address",
        }
    }

    /// The pattern of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pattern| pattern.word() == word)
    }
}

/// From where on it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Orders within a second from one network or fingerprint.
    pub burst_orders: u32,
    /// Different buyers on one fingerprint.
    pub fingerprint_buyers: u32,
    /// Different buyers in one network.
    pub network_buyers: u32,
    /// Different buyers at one address.
    pub address_buyers: u32,
    /// User ids in a row.
    pub series_ids: u32,
    /// How far one id in a row may be from the next.
    pub series_gap: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            burst_orders: BURST_ORDERS,
            fingerprint_buyers: FINGERPRINT_BUYERS,
            network_buyers: NETWORK_BUYERS,
            address_buyers: ADDRESS_BUYERS,
            series_ids: SERIES_IDS,
            series_gap: SERIES_GAP,
        }
    }
}

/// Why an order is suspicious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The pattern.
    pub pattern: Pattern,
    /// What its orders have in common.
    pub source: Source,
    /// How many there are of what the pattern counts: orders, buyers or ids.
    pub count: u32,
}

/// An accepted order, and what it shows.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Its attempt.
    pub sighting: &'a Sighting,
    /// Its id.
    pub id: OrderId,
    /// What it shows, in the order of the patterns, each at most once; nothing if it is not suspicious.
    pub findings: Vec<Finding>,
}

impl Order<'_> {
    /// Whether it shows this pattern, or any.
    pub fn shows(&self, pattern: Option<Pattern>) -> bool {
        match pattern {
            Some(pattern) => self.findings.iter().any(|finding| finding.pattern == pattern),
            None => !self.findings.is_empty(),
        }
    }

    /// Where it stands among the orders: the first one is the oldest.
    pub fn place(&self) -> (u64, OrderId) {
        (self.sighting.at_ms, self.id)
    }

    fn found(&mut self, finding: Finding) {
        match self.findings.iter_mut().find(|known| known.pattern == finding.pattern) {
            // Of two reasons for one pattern the stronger one is told.
            Some(known) if known.count < finding.count => *known = finding,
            Some(_) => {}
            None => self.findings.push(finding),
        }
    }
}

/// All accepted orders, the oldest first, each once and with what it shows.
pub fn orders<'a>(sightings: &'a [Sighting], thresholds: &Thresholds) -> Vec<Order<'a>> {
    let accepted = sightings.iter().filter(|sighting| sighting.what == What::Accepted);
    let order = |sighting: &'a Sighting| {
        Some(Order { sighting, id: sighting.order_id?, findings: Vec::new() })
    };
    let mut orders: Vec<_> = accepted.filter_map(order).collect();
    // Two nodes may have seen one order: its first sighting counts.
    orders.sort_by_key(|order| (order.id, order.sighting.at_ms));
    orders.dedup_by_key(|order| order.id);
    orders.sort_by_key(Order::place);
    for kind in [Kind::Network, Kind::Fingerprint] {
        bursts(&mut orders, kind, thresholds.burst_orders);
    }
    for (pattern, kind, buyers_min) in [
        (Pattern::SharedFingerprint, Kind::Fingerprint, thresholds.fingerprint_buyers),
        (Pattern::OneNetwork, Kind::Network, thresholds.network_buyers),
        (Pattern::SharedAddress, Kind::Address, thresholds.address_buyers),
    ] {
        shared(&mut orders, pattern, kind, buyers_min);
    }
    sequential_users(&mut orders, thresholds);
    for order in &mut orders {
        order.findings.sort_unstable();
    }
    orders
}

/// Orders that are one of many within [`BURST_MS`]. Each is told the largest such window that it lies in.
fn bursts(orders: &mut [Order<'_>], kind: Kind, orders_min: u32) {
    for (source, group) in groups(orders, |order| kind.of(order.sighting)) {
        if count(group.len()) < orders_min {
            continue;
        }
        let times: Vec<u64> = group.iter().map(|index| orders[*index].sighting.at_ms).collect();
        for (index, count) in group.iter().zip(windows(&times)) {
            if count >= orders_min {
                orders[*index].found(Finding { pattern: Pattern::Bursts, source, count });
            }
        }
    }
}

/// For each of these times, which rise, the most of them that lie within one window of [`BURST_MS`] with it.
fn windows(times: &[u64]) -> Vec<u32> {
    // The window that ends with each time.
    let mut first = 0;
    let ending = times.iter().enumerate().map(|(last, at)| {
        while at - times[first] >= BURST_MS {
            first += 1;
        }
        count(last + 1 - first)
    });
    let ending: Vec<u32> = ending.collect();
    // A time lies in the windows that end with it or soon after it: the largest of these, by a queue whose counts
    // fall, so that each enters and leaves it once.
    let mut largest = VecDeque::new();
    let mut next = 0;
    let most = times.iter().enumerate().map(|(index, at)| {
        while next < times.len() && times[next] - at < BURST_MS {
            while largest.back().is_some_and(|last: &usize| ending[*last] <= ending[next]) {
                largest.pop_back();
            }
            largest.push_back(next);
            next += 1;
        }
        while largest.front().is_some_and(|first| *first < index) {
            largest.pop_front();
        }
        largest.front().map_or(0, |front| ending[*front])
    });
    most.collect()
}

/// Orders of many buyers who have this in common.
fn shared(orders: &mut [Order<'_>], pattern: Pattern, kind: Kind, buyers_min: u32) {
    for (source, group) in groups(orders, |order| kind.of(order.sighting)) {
        let buyers = group.iter().filter_map(|index| orders[*index].sighting.buyer);
        let count = count(distinct(buyers));
        if count < buyers_min {
            continue;
        }
        for index in group {
            orders[index].found(Finding { pattern, source, count });
        }
    }
}

/// Orders of users whose ids stand in a row.
fn sequential_users(orders: &mut [Order<'_>], thresholds: &Thresholds) {
    let numbered = |order: &Order<'_>| {
        let Series { stem, number } = order.sighting.series?;
        // Their order is that of their numbers.
        Some((stem, number % SERIES_MODULUS))
    };
    let by_number = groups(orders, numbered);
    for stem in by_number.chunk_by(|one, other| one.0.0 == other.0.0) {
        for row in rows(stem, u64::from(thresholds.series_gap)) {
            let count = count(row.len());
            if count < thresholds.series_ids {
                continue;
            }
            for ((stem, _), group) in row {
                let source = Source::Series(*stem);
                let pattern = Pattern::SequentialUsers;
                for index in group {
                    orders[*index].found(Finding { pattern, source, count });
                }
            }
        }
    }
}

/// What a number belongs to, with the orders that have it.
type Numbered<M> = ((M, u64), Vec<usize>);

/// Cuts rising numbers wherever two neighbours are further from each other than `gap`. The last number is a neighbour
/// of the first one, since they go round.
fn rows<M>(numbers: &[Numbered<M>], gap: u64) -> Vec<Vec<&Numbered<M>>> {
    let near = |one: &Numbered<M>, other: &Numbered<M>| other.0.1 - one.0.1 <= gap;
    let mut rows: Vec<Vec<_>> = numbers.chunk_by(near).map(|row| row.iter().collect()).collect();
    if let [first, .., last] = numbers
        && rows.len() > 1
        && first.0.1 + SERIES_MODULUS - last.0.1 <= gap
        && let Some(tail) = rows.pop()
    {
        rows[0].extend(tail);
    }
    rows
}

/// As a count, which no span of sightings exceeds.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
