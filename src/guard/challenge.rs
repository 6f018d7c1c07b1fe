//! A proof of work in the open protocol of ALTCHA (version 1): find the number whose hash after the salt is the
//! challenge. The public widget `altcha` (2.x) solves what is issued here.
//!
//! A challenge is for one attempt: its salt carries the order id, which is the HMAC of product, buyer and
//! idempotency key. So a solution serves no other buyer, no other product and no other attempt, on any node
//! and without a table of those that are spent: sent again with the same key it is the same attempt, of which
//! the log makes one order at most.
//!
//! Nothing is kept of a challenge. Its nonce and its number come from an HMAC under the challenge key, which
//! nobody outside knows; its signature covers the whole salt and the challenge, so no field of it can be
//! changed, and the salt ends in `&`, so no digit of the number can pass for one of the salt.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::guard::mac::Mac;
use crate::keys;
use crate::sale::OrderId;

pub mod work;

use work::Work;

/// A challenge's solution.
pub static X_CHALLENGE: HeaderName = HeaderName::from_static("x-challenge");

/// The one algorithm.
pub const ALGORITHM: &str = "SHA-256";
/// Longest solution as it is sent, in bytes: of ours, and of those of services (Turnstile says 2,048).
pub const SOLUTION_BYTES_MAX: usize = 2_048;
/// Longest solution of ours, decoded, in bytes. Ours have some 350.
const PAYLOAD_BYTES_MAX: usize = 768;
/// Longest salt of ours, in bytes.
const SALT_BYTES_MAX: usize = 160;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;
/// Hexadecimal digits of a SHA-256.
const HEX_DIGITS: usize = 64;

/// What is asked, as the widget takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Challenge {
    algorithm: &'static str,
    challenge: String,
    maxnumber: u32,
    salt: String,
    signature: String,
}

/// Why a solution is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// There is none.
    Absent,
    /// Too long, no base64, no JSON of a solution, or sent twice.
    Malformed,
    /// We did not ask this.
    Forged,
    /// It is for another buyer, product or attempt.
    OtherAttempt,
    /// Its time is over.
    Expired,
    /// The number is larger than was said.
    OutOfRange,
    /// The number is not the one.
    Unsolved,
    /// It was easier than what must be asked by now.
    TooEasy,
    /// The service says no, or it is for another site or action.
    RefusedByService,
    /// The service does not answer.
    ServiceFailed,
}

impl Fault {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Absent,
        Self::Malformed,
        Self::Forged,
        Self::OtherAttempt,
        Self::Expired,
        Self::OutOfRange,
        Self::Unsolved,
        Self::TooEasy,
        Self::RefusedByService,
        Self::ServiceFailed,
    ];

    /// The word in the audit trail and the metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::OtherAttempt => "other_attempt",
            Self::Expired => "expired",
            Self::OutOfRange => "out_of_range",
            Self::Unsolved => "unsolved",
            Self::TooEasy => "too_easy",
            Self::RefusedByService => "refused_by_service",
            Self::ServiceFailed => "service_failed",
        }
    }

    /// A sentence for the client's developer.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Absent => "solve the challenge and send the same request with its solution",
            Self::Malformed => "x-challenge must be one solution, as the widget makes it",
            Self::Forged => "the challenge was not made here",
            Self::OtherAttempt => "the challenge was for another buyer, product or idempotency key",
            Self::Expired => "the challenge has expired",
            Self::OutOfRange | Self::Unsolved => "the number does not solve the challenge",
            Self::TooEasy => "the challenge was too easy; solve this one",
            Self::RefusedByService => "the service does not take the solution",
            Self::ServiceFailed => "the solution could not be checked; try again",
        }
    }

    /// Whether it speaks against whoever sent it. A clock may be late, and a service may be gone.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Absent | Self::Expired | Self::TooEasy | Self::ServiceFailed => false,
            Self::Malformed
            | Self::Forged
            | Self::OtherAttempt
            | Self::OutOfRange
            | Self::Unsolved
            | Self::RefusedByService => true,
        }
    }
}

/// What a client sends: the challenge back, with its number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    algorithm: &'a str,
    challenge: &'a str,
    number: u64,
    salt: &'a str,
    signature: &'a str,
    /// How long it took, says the widget.
    #[serde(default, rename = "took")]
    _took: Option<serde::de::IgnoredAny>,
}

/// What a salt of ours says.
#[derive(Debug, PartialEq, Eq)]
struct Salt<'a> {
    nonce: &'a str,
    expires_s: u64,
    order_id: OrderId,
    work: Work,
}

/// Issues challenges and checks solutions.
pub struct Challenges {
    key: hmac::Key,
    expires_seconds: u64,
}

impl Challenges {
    /// Takes the key of [`IdentityKeys::challenge_key`](crate::keys::IdentityKeys::challenge_key).
    pub fn new(key: hmac::Key, expires_seconds: u64) -> Self {
        Self { key, expires_seconds }
    }

    /// A challenge for this attempt, of so much work.
    pub fn issue(&self, order_id: &OrderId, work: Work, now_ms: u64) -> Challenge {
        let expires_s = (now_ms / 1_000).saturating_add(self.expires_seconds);
        let (time, most) = (now_ms.to_be_bytes(), work.number_max().to_be_bytes());
        let secret = keys::tag(&self.key, "challenge-secret", &[order_id.as_bytes(), &time, &most]);
        let (nonce, rest) = secret.as_ref().split_at(NONCE_BYTES);
        let drawn = u64::from_be_bytes(rest[..8].try_into().expect("8 of 20 bytes"));
        // Off from even by 2^-44 at most.
        let number = drawn % (u64::from(work.number_max()) + 1);
        let nonce = &hex::encode(nonce);
        let salt = Salt { nonce, expires_s, order_id: *order_id, work }.text();
        let challenge = hex::encode(solved(&salt, number));
        let signature = hex::encode(self.sign(&salt, &challenge));
        Challenge { algorithm: ALGORITHM, challenge, maxnumber: work.number_max(), salt, signature }
    }

    /// Checks what came as [`X_CHALLENGE`], for this attempt.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, solution: &[u8], order_id: &OrderId, now_ms: u64) -> Result<Work, Fault> {
        let mut buffer = [0; PAYLOAD_BYTES_MAX];
        let payload = Payload::read(solution, &mut buffer).ok_or(Fault::Malformed)?;
        let (salt, challenge) = (payload.salt, payload.challenge);
        if salt.len() > SALT_BYTES_MAX || challenge.len() != HEX_DIGITS {
            return Err(Fault::Malformed);
        }
        let mac = Mac::from_hex(payload.signature.as_bytes()).ok_or(Fault::Malformed)?;
        if payload.algorithm != ALGORITHM || !mac.is(&self.sign(salt, challenge)) {
            return Err(Fault::Forged);
        }
        // From here on it is what we said; still each field is read as if it were not.
        let salt_says = Salt::parse(salt).ok_or(Fault::Forged)?;
        if salt_says.order_id != *order_id {
            return Err(Fault::OtherAttempt);
        }
        if now_ms >= salt_says.expires_s.saturating_mul(1_000) {
            return Err(Fault::Expired);
        }
        if payload.number > salt_says.work.number_max().into() {
            return Err(Fault::OutOfRange);
        }
        let mut expected = [0; HEX_DIGITS];
        let hash = solved(salt, payload.number);
        hex::encode_to_slice(hash, &mut expected).expect("32 bytes are 64 digits");
        if verify_slices_are_equal(&expected, challenge.as_bytes()).is_err() {
            return Err(Fault::Unsolved);
        }
        Ok(salt_says.work)
    }

    fn sign(&self, salt: &str, challenge: &str) -> hmac::Tag {
        keys::tag(&self.key, "challenge", &[salt.as_bytes(), challenge.as_bytes()])
    }
}

/// The hash of a number after its salt.
fn solved(salt: &str, number: u64) -> aws_lc_rs::digest::Digest {
    use std::io::Write;
    let mut text = [0; SALT_BYTES_MAX + 20];
    let mut rest = &mut text[..];
    // The salt's length is checked, and no number has more than 20 digits.
    let written = write!(rest, "{salt}{number}").map(|()| rest.len());
    let left = written.expect("it fits");
    digest(&SHA256, &text[..SALT_BYTES_MAX + 20 - left])
}

impl<'a> Payload<'a> {
    /// Reads base64 of JSON; allocates nothing.
    fn read(solution: &[u8], buffer: &'a mut [u8; PAYLOAD_BYTES_MAX]) -> Option<Self> {
        // A larger one does not fit the buffer, and is not looked at.
        let bytes = STANDARD.decode_slice(solution, buffer).ok()?;
        serde_json::from_slice(&buffer[..bytes]).ok()
    }
}

/// Whether these bytes read as a solution of ours, for whoever tests the parser.
pub fn reads(solution: &[u8]) -> bool {
    Payload::read(solution, &mut [0; PAYLOAD_BYTES_MAX]).is_some()
}

impl<'a> Salt<'a> {
    /// The parameter that the widget knows comes first, and the last one ends in `&`.
    fn text(&self) -> String {
        let Self { nonce, expires_s, order_id, work } = self;
        format!("{nonce}?expires={expires_s}&order={order_id}&max={}&", work.number_max())
    }

    /// Only the one form that [`Salt::text`] writes.
    fn parse(text: &'a str) -> Option<Self> {
        let (nonce, rest) = text.split_once("?expires=")?;
        let (expires_s, rest) = rest.split_once("&order=")?;
        let (order_id, rest) = rest.split_once("&max=")?;
        let number_max = rest.strip_suffix('&')?;
        let salt = Self {
            nonce,
            expires_s: expires_s.parse().ok()?,
            order_id: order_id.parse().ok()?,
            work: Work::of_number(number_max.parse().ok()?)?,
        };
        (salt.text() == text).then_some(salt)
    }
}

#[cfg(test)]
pub(in crate::guard) mod tests;
