//! Who stands behind most orders and refusals: a list for addresses, networks, fingerprints and buyers.

use super::super::{Sighting, What};
use super::patterns::Thresholds;
use super::{Kind, Source, distinct, groups};

/// Refusals from one source with which it stands out, whatever else it did.
pub const REFUSALS_MIN: u64 = 100;
/// Orders of one buyer with which it stands out.
pub const BUYER_ORDERS_MIN: u64 = 5;

/// Somebody, and what came from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offender {
    /// Who.
    pub source: Source,
    /// Accepted orders.
    pub orders: u64,
    /// Different buyers, as far as they are known.
    pub buyers: u64,
    /// All other attempts. Of a flood it is an estimate: each sample counts for as many as it stands for.
    pub refusals: u64,
    /// The first attempt, Unix milliseconds.
    pub first_at_ms: u64,
    /// The last one.
    pub last_at_ms: u64,
    /// Whether it is more than an ordinary shopper's household would be.
    pub stands_out: bool,
}

/// The first `top` of a kind: by orders, then by refusals.
pub fn offenders(
    sightings: &[Sighting],
    kind: Kind,
    thresholds: &Thresholds,
    top: usize,
) -> Vec<Offender> {
    let groups = groups(sightings, |sighting| kind.of(sighting));
    let of_group = |(source, group): (Source, Vec<usize>)| {
        let of = || group.iter().map(|index| &sightings[*index]);
        let is_order = |sighting: &&Sighting| sighting.what == What::Accepted;
        let mut offender = Offender {
            source,
            orders: of().filter(is_order).count() as u64,
            buyers: distinct(of().filter_map(|sighting| sighting.buyer)) as u64,
            refusals: of().filter(|s| !is_order(s)).map(|s| u64::from(s.weight)).sum(),
            first_at_ms: of().map(|sighting| sighting.at_ms).min().unwrap_or_default(),
            last_at_ms: of().map(|sighting| sighting.at_ms).max().unwrap_or_default(),
            stands_out: false,
        };
        offender.stands_out = stands_out(kind, &offender, thresholds);
        offender
    };
    let mut offenders: Vec<_> = groups.into_iter().map(of_group).collect();
    offenders.sort_by_key(|offender| {
        (std::cmp::Reverse((offender.orders, offender.refusals)), offender.source)
    });
    offenders.truncate(top);
    offenders
}

fn stands_out(kind: Kind, offender: &Offender, thresholds: &Thresholds) -> bool {
    let buyers = |min: u32| offender.buyers >= u64::from(min);
    let many = match kind {
        Kind::Address => buyers(thresholds.address_buyers),
        Kind::Network => buyers(thresholds.network_buyers),
        Kind::Fingerprint => buyers(thresholds.fingerprint_buyers),
        Kind::Buyer => offender.orders >= BUYER_ORDERS_MIN,
    };
    many || offender.refusals >= REFUSALS_MIN
}
