//! What operators say about the whole gate while it runs: who is blocked or excused, which limits hold, who
//! may operate, who has approved what.
//!
//! These records lie in the log under a key of their own ([`ProductId::CONTROL`]), and [`ControlState`] is
//! what they come to: pure, the same on every node and in every worker. A block never holds an address, a
//! fingerprint or a user, but a pseudonym of it ([`BlockTarget`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{InvalidId, OperationId, OperatorName, OrderId, ProductId, serde_as_text};
use super::record::{CapacityTarget, Record};

mod state;

pub use state::{
    ALLOWS_MAX, APPROVALS_MAX, Approval, BLOCKS_MAX, BadControl, Block, ControlState, Done,
    LiveLimit, OPERATIONS_KEPT_MS, OPERATIONS_MAX, ScoreOff, TOKENS_MAX, Token,
};

/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 200;

/// One thing that an operator says about the whole gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRecord {
    /// Applied once under this id.
    pub operation: OperationId,
    /// Who says it.
    pub by: OperatorName,
    /// What.
    pub change: ControlChange,
}

/// What is said. Times are log time, Unix milliseconds; from `until_ms` on an entry counts no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlChange {
    /// Refuses somebody at the door. A standing block of the same target is replaced.
    BlockSet {
        /// Whom.
        target: BlockTarget,
        /// Until when; absent is until it is lifted.
        until_ms: Option<u64>,
        /// Why.
        reason: String,
    },
    /// Takes a block away.
    BlockLifted {
        /// Of whom.
        target: BlockTarget,
    },
    /// Lets somebody's orders pass without a bot score. A standing one of the same target is replaced. (From
    /// format 3 on, as the next three.)
    AllowSet {
        /// Whom.
        target: BlockTarget,
        /// Until when.
        until_ms: u64,
        /// Why.
        reason: String,
    },
    /// Scores them again.
    AllowLifted {
        /// Whom.
        target: BlockTarget,
    },
    /// Turns the bot score off, on all nodes.
    ScoreOff {
        /// Until when.
        until_ms: u64,
        /// Why.
        reason: String,
    },
    /// Goes back to what is configured.
    ScoreOn {},
    /// Puts a limit in the place of the configured one, on all nodes.
    LimitSet {
        /// Which.
        limit: Limit,
        /// In the unit of the limit; at least 1.
        value: u32,
        /// How many may come at once; absent: as many as come in a second.
        burst: Option<u32>,
        /// Until when.
        until_ms: u64,
        /// Why.
        reason: String,
    },
    /// Goes back to the configured limit.
    LimitCleared {
        /// Which.
        limit: Limit,
    },
    /// Lets somebody operate.
    TokenAdded {
        /// Who.
        name: OperatorName,
        /// What they may do.
        role: OperatorRole,
        /// The SHA-256 of the token.
        sha256: TokenHash,
        /// Until when; absent is until it is revoked.
        until_ms: Option<u64>,
    },
    /// Takes a token back.
    TokenRevoked {
        /// Whose.
        name: OperatorName,
    },
    /// Asks a second operator. The operation id names the approval.
    ApprovalAsked {
        /// For a change of this product.
        product: ProductId,
        /// The change.
        change: UnitsChange,
        /// Until when it can be given.
        until_ms: u64,
    },
    /// Gives an approval.
    ApprovalGiven {
        /// Which.
        approval: OperationId,
    },
    /// Refuses or withdraws one.
    ApprovalRejected {
        /// Which.
        approval: OperationId,
    },
}

impl ControlChange {
    /// The oldest record format that says it.
    pub fn format(&self) -> u16 {
        match self {
            Self::AllowSet { .. }
            | Self::AllowLifted { .. }
            | Self::ScoreOff { .. }
            | Self::ScoreOn {} => 3,
            _ => 2,
        }
    }

    /// The stable word, as in the JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BlockSet { .. } => "block_set",
            Self::BlockLifted { .. } => "block_lifted",
            Self::AllowSet { .. } => "allow_set",
            Self::AllowLifted { .. } => "allow_lifted",
            Self::ScoreOff { .. } => "score_off",
            Self::ScoreOn {} => "score_on",
            Self::LimitSet { .. } => "limit_set",
            Self::LimitCleared { .. } => "limit_cleared",
            Self::TokenAdded { .. } => "token_added",
            Self::TokenRevoked { .. } => "token_revoked",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::ApprovalGiven { .. } => "approval_given",
            Self::ApprovalRejected { .. } => "approval_rejected",
        }
    }
}

/// A change that raises what a running sale can still sell, and so may need a second operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum UnitsChange {
    /// Sets the number of units.
    Capacity {
        /// To what.
        to: CapacityTarget,
    },
    /// Takes an order back and puts its unit on sale again.
    Reversal {
        /// Which order.
        order_id: OrderId,
        /// Whether the buyer may buy again.
        frees_limit: bool,
        /// Why.
        reason: String,
    },
}

impl UnitsChange {
    /// The record that makes the change, applied once under `operation`.
    pub fn record(&self, operation: OperationId) -> Record {
        match self {
            Self::Capacity { to } => Record::CapacityChanged { to: *to, operation },
            Self::Reversal { order_id, frees_limit, reason } => Record::OrderReversed {
                order_id: *order_id,
                restock: true,
                frees_limit: *frees_limit,
                reason: reason.clone(),
            },
        }
    }
}

/// What an operator may do; each role includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRole {
    /// Read.
    Viewer,
    /// Read, and change a sale.
    Operator,
    /// Everything.
    Admin,
}

/// A limit that can be changed while the gate runs: those of the configuration's section `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// All requests of a node.
    NodePerSecond,
    /// Attempts of one product that may win.
    ProductPerSecond,
    /// Requests of one address.
    IpPerSecond,
    /// Requests that carry one device fingerprint.
    FingerprintPerSecond,
    /// Requests of one buyer.
    BuyerPerSecond,
    /// Requests of one API client.
    ClientPerSecond,
    /// Time between two requests of one buyer with different keys, in milliseconds.
    MinIntervalMs,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NodePerSecond,
        Self::ProductPerSecond,
        Self::IpPerSecond,
        Self::FingerprintPerSecond,
        Self::BuyerPerSecond,
        Self::ClientPerSecond,
        Self::MinIntervalMs,
    ];

    /// Its name in the configuration's section `limits`.
    pub fn word(self) -> &'static str {
        match self {
            Self::NodePerSecond => "node_per_second",
            Self::ProductPerSecond => "product_per_second",
            Self::IpPerSecond => "ip_per_second",
            Self::FingerprintPerSecond => "fingerprint_per_second",
            Self::BuyerPerSecond => "buyer_per_second",
            Self::ClientPerSecond => "client_per_second",
            Self::MinIntervalMs => "min_interval_ms",
        }
    }
}

impl FromStr for Limit {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let found = Self::ALL.into_iter().find(|limit| limit.word() == text);
        found.ok_or(InvalidId::BadCharacter("the name of a limit, such as ip_per_second"))
    }
}

/// Who is refused at the door, as a pseudonym: 64 bits of a keyed hash, of an address's first bits, a
/// device fingerprint or a user id. As text `v4-24-<hex>`, `v6-48-<hex>`, `fp-<hex>`, `user-<hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockTarget {
    /// An IPv4 network.
    V4 {
        /// Bits of its prefix, at most 32.
        bits: u8,
        /// Its pseudonym.
        tag: u64,
    },
    /// An IPv6 network.
    V6 {
        /// Bits of its prefix, at most 128.
        bits: u8,
        /// Its pseudonym.
        tag: u64,
    },
    /// A device fingerprint.
    Fingerprint(u64),
    /// A user, of whatever shop.
    User(u64),
}

impl fmt::Display for BlockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4 { bits, tag } => write!(f, "v4-{bits}-{tag:016x}"),
            Self::V6 { bits, tag } => write!(f, "v6-{bits}-{tag:016x}"),
            Self::Fingerprint(tag) => write!(f, "fp-{tag:016x}"),
            Self::User(tag) => write!(f, "user-{tag:016x}"),
        }
    }
}

impl FromStr for BlockTarget {
    type Err = InvalidId;
    /// Only the one form that `Display` writes.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const PATTERN: &str = "v4-<bits>-<hex>, v6-<bits>-<hex>, fp-<hex> or user-<hex>";
        let parse = || {
            let tag = |hex: &str| u64::from_str_radix(hex, 16).ok();
            let network = |rest: &str, most: u8| {
                let (bits, hex) = rest.split_once('-')?;
                let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
                Some((bits, tag(hex)?))
            };
            let (kind, rest) = text.split_once('-')?;
            let target = match kind {
                "v4" => network(rest, 32).map(|(bits, tag)| Self::V4 { bits, tag }),
                "v6" => network(rest, 128).map(|(bits, tag)| Self::V6 { bits, tag }),
                "fp" => tag(rest).map(Self::Fingerprint),
                "user" => tag(rest).map(Self::User),
                _ => None,
            };
            target.filter(|target| target.to_string() == text)
        };
        parse().ok_or(InvalidId::BadCharacter(PATTERN))
    }
}

/// The SHA-256 of a token, 64 hex digits as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for TokenHash {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| InvalidId::BadCharacter("64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

serde_as_text!(BlockTarget, TokenHash);

#[cfg(test)]
mod tests;
