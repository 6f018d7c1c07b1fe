//! What sightings tell: which orders look like a bot's, whom they come from, how the attack went, and what each rule
//! would have caught.
//!
//! - [`patterns`]: the accepted orders that show one of five patterns, and why;
//! - [`filter`]: of those, the ones of a buyer, an address, a network or a fingerprint;
//! - [`offenders`]: who stands behind most orders and refusals;
//! - [`shape`]: attempts over time, by what came of them;
//! - [`rules`]: what a limit or a block would have caught, and whom else it would have hit.
//!
//! Everything here is a pure function of its arguments, which are bounded by whoever asks the store
//! ([`super::SIGHTINGS_MAX`]), and takes n log n steps. It judges attempts, not people: each of its findings is a reason to
//! look, and names the mark and the count that it rests on.

use std::fmt;

use super::{Mark, Sighting};
use crate::sale::BuyerRef;

pub mod filter;
pub mod offenders;
pub mod patterns;
pub mod rules;
pub mod shape;

#[cfg(test)]
pub(crate) mod tests;

/// By what attempts are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An IPv4 address or an IPv6 /64.
    Address,
    /// An IPv4 /24 or an IPv6 /48.
    Network,
    /// A fingerprint.
    Fingerprint,
    /// A buyer.
    Buyer,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Address, Self::Network, Self::Fingerprint, Self::Buyer];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Network => "network",
            Self::Fingerprint => "fingerprint",
            Self::Buyer => "buyer",
        }
    }

    /// From whom of this kind a sighting is, where that is known.
    pub fn of(self, sighting: &Sighting) -> Option<Source> {
        match self {
            Self::Address => known(sighting.address).map(Source::Address),
            Self::Network => known(sighting.network).map(Source::Network),
            Self::Fingerprint => sighting.fingerprint.map(Source::Fingerprint),
            Self::Buyer => sighting.buyer.map(Source::Buyer),
        }
    }
}

/// A shop's backend orders for many from one address, which therefore says nothing.
fn known(mark: Mark) -> Option<Mark> {
    (mark != Mark::NONE).then_some(mark)
}

/// From whom attempts come, as a pseudonym. Its text says of what kind it is, such as `network-0f1e2d3c4b5a6978`; a
/// buyer's is the one that the ledger has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// An IPv4 address or an IPv6 /64.
    Address(Mark),
    /// An IPv4 /24 or an IPv6 /48.
    Network(Mark),
    /// A fingerprint.
    Fingerprint(Mark),
    /// A row of user ids that differ in their last digits alone.
    Series(Mark),
    /// A buyer.
    Buyer(BuyerRef),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, Mark(bits)) = match self {
            Self::Address(mark) => ("address", mark),
            Self::Network(mark) => ("network", mark),
            Self::Fingerprint(mark) => ("fingerprint", mark),
            Self::Series(mark) => ("series", mark),
            Self::Buyer(buyer) => return buyer.fmt(f),
        };
        write!(f, "{kind}-{bits:016x}")
    }
}

impl Source {
    /// The source of this kind that a text is; `None` if it is none as [`Source`] writes them.
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        if kind == Kind::Buyer {
            return text.parse().ok().map(Self::Buyer);
        }
        let digits = text.strip_prefix(kind.word())?.strip_prefix('-')?;
        let is_written_so = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 16 || !digits.bytes().all(is_written_so) {
            return None;
        }
        let mark = Mark(u64::from_str_radix(digits, 16).ok()?);
        match kind {
            Kind::Address => Some(Self::Address(mark)),
            Kind::Network => Some(Self::Network(mark)),
            Kind::Fingerprint => Some(Self::Fingerprint(mark)),
            Kind::Buyer => None,
        }
    }
}

/// The indices of `items` by their key, those with the same one together and in their order; those without a key are
/// left out.
fn groups<T, K: Ord + Copy>(items: &[T], key: impl Fn(&T) -> Option<K>) -> Vec<(K, Vec<usize>)> {
    let mut keyed: Vec<(K, usize)> = Vec::with_capacity(items.len());
    keyed.extend(items.iter().enumerate().filter_map(|(index, item)| Some((key(item)?, index))));
    keyed.sort_unstable();
    let same = keyed.chunk_by(|one, other| one.0 == other.0);
    same.map(|group| (group[0].0, group.iter().map(|(_, index)| *index).collect())).collect()
}

/// How many different buyers there are.
fn distinct(buyers: impl Iterator<Item = BuyerRef>) -> usize {
    let mut buyers: Vec<_> = buyers.collect();
    buyers.sort_unstable();
    buyers.dedup();
    buyers.len()
}
