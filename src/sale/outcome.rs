//! What a record came to. Expected outcomes are values, never errors.

use serde::{Deserialize, Serialize};

use super::ids::OrderId;

/// What [`super::SaleState::apply`] made of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The proposal is an order. Nothing takes that back but a reversal.
    Confirmed,
    /// The attempt repeats a confirmed order.
    Duplicate(Duplicate),
    /// The sale has not opened yet; `opens_at_ms` is log time (Unix milliseconds).
    NotOpen {
        /// When it opens.
        opens_at_ms: u64,
    },
    /// The sale is over: closed by its time, or archived, or there never was one.
    Closed,
    /// A pause record stands. The true count is kept.
    Paused,
    /// The buyer has as many orders as one buyer may have.
    LimitReached,
    /// Every unit is sold.
    SoldOut,
    /// The proposal is from an older generation, came too late, or outlasted its buyer's repeat window on
    /// the way: whoever sent it may have been refused since, so nobody gets an order from it.
    Stale,
    /// An operator's record took effect.
    Applied,
    /// An operator's record had no effect.
    Ignored(Ignored),
}

/// The order that an attempt repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The earlier order. With [`DuplicateReason::SameKey`] it is the attempt's own id.
    pub order_id: OrderId,
    /// Why it counts as a repeat.
    pub reason: DuplicateReason,
    /// Whether that order has been reversed since.
    pub reversed: bool,
}

/// Why an attempt counts as a repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicateReason {
    /// Same product, buyer and idempotency key.
    SameKey,
    /// The same buyer has an order that is younger than the repeat window.
    RepeatWindow,
}

/// Why an operator's record had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// The product has been opened before; a product id is never used again.
    AlreadyOpened,
    /// An operation with this id has been applied.
    AlreadyApplied,
    /// The order has been reversed before.
    AlreadyReversed,
    /// There is no such order.
    UnknownOrder,
    /// There is no such product.
    UnknownProduct,
    /// The product is archived.
    Archived,
    /// It is already so (paused, or not paused).
    NoChange,
    /// A control record under a product's key, or another one under the reserved key.
    OtherKey,
    /// As many entries stand as may stand (see [`super::control`]).
    Full,
    /// There is no such block, live limit, token or approval.
    UnknownEntry,
    /// There is a token of this name.
    NameTaken,
    /// Its time was over when it reached the log.
    Expired,
    /// Whoever asked for an approval may not give it, nor may a token that goes back to the same maker.
    SameOperator,
}

impl Outcome {
    /// The stable word for logs, metrics and the ledger.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Duplicate(Duplicate { reason: DuplicateReason::SameKey, .. }) => {
                "duplicate_same_key"
            }
            Self::Duplicate(_) => "duplicate_repeat_window",
            Self::NotOpen { .. } => "not_open",
            Self::Closed => "closed",
            Self::Paused => "paused",
            Self::LimitReached => "limit_reached",
            Self::SoldOut => "sold_out",
            Self::Stale => "stale",
            Self::Applied => "applied",
            Self::Ignored(why) => match why {
                Ignored::AlreadyOpened => "ignored_already_opened",
                Ignored::AlreadyApplied => "ignored_already_applied",
                Ignored::AlreadyReversed => "ignored_already_reversed",
                Ignored::UnknownOrder => "ignored_unknown_order",
                Ignored::UnknownProduct => "ignored_unknown_product",
                Ignored::Archived => "ignored_archived",
                Ignored::NoChange => "ignored_no_change",
                Ignored::OtherKey => "ignored_other_key",
                Ignored::Full => "ignored_full",
                Ignored::UnknownEntry => "ignored_unknown_entry",
                Ignored::NameTaken => "ignored_name_taken",
                Ignored::Expired => "ignored_expired",
                Ignored::SameOperator => "ignored_same_operator",
            },
        }
    }
}
