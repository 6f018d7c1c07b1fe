//! What is seen: one attempt, its outcome, and pseudonyms of where it came from.

use crate::sale::{BuyerRef, OrderId, ProductId};

/// What came of an attempt. The words are those of the answers' codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum What {
    /// Sold.
    Accepted,
    /// The same key again, or within the repeat window.
    Duplicate,
    /// The buyer has as many as one may have.
    LimitReached,
    /// Nothing is left.
    SoldOut,
    /// The sale is not open, paused or closed, or its waiting room has not let the shopper in.
    NotSelling,
    /// The gate or the log could not take it, or its outcome is unknown.
    Busy,
    /// A blocked address, fingerprint or user.
    Blocked,
    /// Over the rate of the node, the address or the fingerprint.
    TooManyRequests,
    /// Over the buyer's or the API client's rate, or too fast.
    SlowDown,
    /// Looks too much like a script: a challenge was asked for, or it was refused by its score.
    Challenged,
    /// No valid pass or client, a wrong signature, an expired request, another's user id.
    NotAuthentic,
    /// A body, key or header that is none.
    Invalid,
}

impl What {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Duplicate,
        Self::LimitReached,
        Self::SoldOut,
        Self::NotSelling,
        Self::Busy,
        Self::Blocked,
        Self::TooManyRequests,
        Self::SlowDown,
        Self::Challenged,
        Self::NotAuthentic,
        Self::Invalid,
    ];

    /// The word in the store and in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::LimitReached => "limit_reached",
            Self::SoldOut => "sold_out",
            Self::NotSelling => "not_selling",
            Self::Busy => "busy",
            Self::Blocked => "blocked",
            Self::TooManyRequests => "too_many_requests",
            Self::SlowDown => "slow_down",
            Self::Challenged => "challenged",
            Self::NotAuthentic => "not_authentic",
            Self::Invalid => "invalid",
        }
    }

    /// What has this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.word() == word)
    }
}

/// A pseudonym of an address, a network or a fingerprint: 64 bits of an HMAC under the key of the day. The same on all
/// nodes; those of two days have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(pub u64);

impl Mark {
    /// No mark: of the address of an order that a shop's backend sent for its user. Two that have it have nothing in
    /// common.
    pub const NONE: Self = Self(0);
}

/// Where a user id stands in a row of ids that differ in their last digits alone, such as `bot-0041` and `bot-0042`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// The pseudonym of what stands before the digits.
    pub stem: Mark,
    /// The digits' number plus a secret number of that stem, modulo 2^63: neighbours stay neighbours, and the number
    /// itself is not told.
    pub number: u64,
}

/// One attempt at `POST /order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The node's clock, Unix milliseconds.
    pub at_ms: u64,
    /// What came of it.
    pub what: What,
    /// For how many attempts this one stands; 1 for all accepted orders.
    pub weight: u32,
    /// Of which product, where the request came far enough to say.
    pub product: Option<ProductId>,
    /// The order, of an attempt that passed the guard. Of [`What::Busy`] only where it may have become one: its outcome
    /// was not known in time, or the client did not wait for it.
    pub order_id: Option<OrderId>,
    /// Who, of an attempt whose pass was valid.
    pub buyer: Option<BuyerRef>,
    /// The user id's place in a row of similar ones, if it ends in digits.
    pub series: Option<Series>,
    /// The address: an IPv4, or an IPv6 /64; [`Mark::NONE`] of an order that an API client sent for its user.
    pub address: Mark,
    /// Its network: an IPv4 /24, or an IPv6 /48; or [`Mark::NONE`].
    pub network: Mark,
    /// The fingerprint, if one was sent.
    pub fingerprint: Option<Mark>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_what_stands_at_its_place_and_is_found_by_its_word() {
        for (index, what) in What::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, index);
            assert_eq!(What::of(what.word()), Some(what));
        }
        assert_eq!(What::of(""), None);
    }
}
