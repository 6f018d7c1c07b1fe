//! What the guard says no with. Status codes and problem documents are made of these in `http/`.
//!
//! No refusal holds anything that the client sent but a valid product id: nothing else can be echoed.

use std::borrow::Cow;

use crate::config::ClientRole;
use crate::guard::challenge::{Challenge, Fault};
use crate::guard::limits::RateStatus;
use crate::guard::score::Score;
use crate::sale::ProductId;

/// A refusal, with the rate to tell the client of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The rate that the request counted against last; absent where none is on, or before check 3.
    pub rate: Option<RateStatus>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, rate: None }
    }
}

/// Why a request is refused, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Check 2: the address, its prefix or the fingerprint is blocked.
    Blocked,
    /// Check 3: over the rate of the node, the address or the fingerprint.
    TooManyRequests {
        /// When a retry may pass, in milliseconds; at least 1.
        retry_after_ms: u64,
    },
    /// Check 4: nobody known. The text is for the client's developer.
    Unauthenticated(&'static str),
    /// Check 5: `x-request-time` is missing, no number, or too far from this node's clock.
    RequestExpired {
        /// This node's clock, in Unix milliseconds.
        server_time_ms: u64,
    },
    /// Check 6: `x-signature` is missing or wrong.
    InvalidSignature,
    /// Check 7: no valid idempotency key. The text is for the client's developer.
    MissingIdempotencyKey(&'static str),
    /// Check 8: a content type other than JSON, or a content coding.
    UnsupportedMediaType,
    /// Check 8: the body is not what the call takes.
    InvalidRequest(Vec<FieldError>),
    /// Check 9: known, but not allowed.
    Forbidden(Forbidden),
    /// Check 9: this product is bought by way of its waiting room, and the pass does not admit to it.
    NotAdmitted(ProductId),
    /// Check 10: over the buyer's or the API client's rate, or too soon after the buyer's last request.
    SlowDown {
        /// When a retry may pass, in milliseconds; at least 1.
        retry_after_ms: u64,
    },
    /// Check 11: a script, as it seems; it passes with a solved challenge.
    ChallengeRequired(Box<Asked>),
    /// Check 11: a script, in all likelihood.
    ScoreRefused(Score),
}

/// A challenge that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Why.
    pub score: Score,
    /// What is wrong with the solution that was sent.
    pub fault: Fault,
    /// One of our own; absent where a service makes them.
    pub challenge: Option<Challenge>,
}

/// What is wrong with a part of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Which member; `body` is the whole.
    pub field: &'static str,
    /// What it must be; never what it was.
    pub message: Cow<'static, str>,
}

/// Why somebody who is known may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// The body's `userId` is not the pass's user.
    OtherUser,
    /// The user is blocked.
    UserBlocked,
    /// The API client lacks this role.
    MissingRole(ClientRole),
}
