//! One request to `POST /order`, honest or crooked, and the bytes that it is on the wire.
//!
//! The writer signs what the trick says and sends what the trick says, which for an honest request is the
//! same. The same shot at the same time always gives the same bytes, so a replay needs no recording.

use std::io::Write;

use aws_lc_rs::hmac;

use super::plan::{Identity, Kind};
use super::sessions::Shopper;
use crate::sale::ProductId;
use crate::signing::SignedParts;

/// What is sent, beside whose name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trick {
    /// Nothing wrong with it.
    Order,
    /// An overheard request, byte for byte.
    ReplayVerbatim,
    /// An overheard request under another key, without the means to sign it again.
    ReplayFreshKey,
    /// A signature that was made up.
    WrongSignature,
    /// A body that was changed after signing.
    TamperedBody,
    /// Another's pass, signed with one's own session key.
    ForeignPass,
    /// One's own pass, correctly signed, for another user.
    ForeignUser,
    /// A request of two minutes ago, correctly signed.
    StaleTime,
    /// Nothing wrong with it, but for the many others from the same buyer.
    Flood,
}

impl Trick {
    /// Who does such a thing.
    pub fn kind(self) -> Kind {
        match self {
            Self::Order => Kind::Honest,
            Self::ReplayVerbatim | Self::ReplayFreshKey => Kind::Replay,
            Self::Flood => Kind::Flood,
            _ => Kind::Forge,
        }
    }

    /// A stable word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::ReplayVerbatim => "replay_verbatim",
            Self::ReplayFreshKey => "replay_fresh_key",
            Self::WrongSignature => "wrong_signature",
            Self::TamperedBody => "tampered_body",
            Self::ForeignPass => "foreign_pass",
            Self::ForeignUser => "foreign_user",
            Self::StaleTime => "stale_time",
            Self::Flood => "flood",
        }
    }

    /// Whether any "accepted" in answer to it breaks the contract.
    pub fn must_fail(self) -> bool {
        self == Self::ReplayFreshKey || self.kind() == Kind::Forge
    }
}

/// A request before it is bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shot {
    /// What is sent.
    pub trick: Trick,
    /// Whose name, as a number: a place among the shoppers, or a client's user.
    pub buyer: u64,
    /// Another buyer, for tricks that need one.
    pub victim: u64,
    /// The idempotency key that is signed, as a number.
    pub key: u64,
    /// The idempotency key that is sent.
    pub key_sent: u64,
    /// The time that is signed (Unix milliseconds); `None` is the time of sending.
    pub time_ms: Option<u64>,
}

/// How old the request of [`Trick::StaleTime`] is, in milliseconds.
const STALE_MS: u64 = 120_000;
const PATH: &str = "/order";

/// Writes shots. One a thread.
#[derive(Debug)]
pub struct OrderWriter {
    /// Request line and the headers that all requests share.
    head: String,
    product: ProductId,
    identity: Identity,
    /// Prefix of the idempotency keys.
    run: u64,
    body: Vec<u8>,
    key_text: Vec<u8>,
    time_text: Vec<u8>,
}

impl OrderWriter {
    /// For one run (its number tells its keys from another run's).
    pub fn new(authority: &str, product: ProductId, identity: Identity, run: u64) -> Self {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n"
        );
        let (body, key_text, time_text) = (Vec::new(), Vec::new(), Vec::new());
        Self { head, product, identity, run, body, key_text, time_text }
    }

    /// How many buyers there are; `None` when there is always one more.
    pub fn buyers(&self) -> Option<u64> {
        match &self.identity {
            Identity::Client { users: 0, .. } | Identity::Unsigned { users: 0 } => None,
            Identity::Client { users, .. } | Identity::Unsigned { users } => Some(*users),
            Identity::Shoppers(shoppers) => Some(shoppers.len() as u64),
        }
    }

    /// Appends the request to `out`. `now_ms` is the server's time as far as it is known.
    pub fn write(&mut self, shot: &Shot, now_ms: u64, out: &mut Vec<u8>) {
        let time_ms = match shot.trick {
            Trick::StaleTime => now_ms.saturating_sub(STALE_MS),
            _ => shot.time_ms.unwrap_or(now_ms),
        };
        self.time_text.clear();
        put(&mut self.time_text, format_args!("{time_ms}"));
        self.set_key(shot.key);
        let owner = if shot.trick == Trick::ForeignUser { shot.victim } else { shot.buyer };
        self.set_body(owner);
        let Some(signature) = self.signature(shot) else { return self.write_unsigned(out) };
        if shot.trick == Trick::TamperedBody {
            self.set_body(shot.victim);
        }
        self.set_key(shot.key_sent);

        out.extend_from_slice(self.head.as_bytes());
        let carrier = if shot.trick == Trick::ForeignPass { shot.victim } else { shot.buyer };
        match &self.identity {
            Identity::Unsigned { .. } => {}
            Identity::Client { credentials, .. } => {
                put(out, format_args!("x-api-key: {}", credentials.id()));
            }
            Identity::Shoppers(shoppers) => {
                let shopper = shopper(shoppers, carrier);
                out.extend_from_slice(b"authorization: Bearer ");
                out.extend_from_slice(shopper.pass().as_bytes());
            }
        }
        for (name, value) in [
            (&b"\r\nx-request-time: "[..], &self.time_text[..]),
            (b"\r\nx-idempotency-key: ", &self.key_text),
            (b"\r\nx-signature: ", &signature),
        ] {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
        self.write_body(out);
    }

    /// The key goes with it even so: a retry is told by it.
    fn write_unsigned(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(b"x-idempotency-key: ");
        out.extend_from_slice(&self.key_text);
        self.write_body(out);
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        put(out, format_args!("\r\ncontent-length: {}\r\n\r\n", self.body.len()));
        out.extend_from_slice(&self.body);
    }

    /// `None` for those who do not sign.
    fn signature(&self, shot: &Shot) -> Option<[u8; 64]> {
        let key = match &self.identity {
            Identity::Client { credentials, .. } => credentials.key(),
            Identity::Shoppers(shoppers) => shopper(shoppers, shot.buyer).key(),
            Identity::Unsigned { .. } => return None,
        };
        if shot.trick == Trick::WrongSignature {
            return Some([b'a'; 64]);
        }
        Some(sign("POST", PATH, &self.body, &self.time_text, &self.key_text, key))
    }

    fn set_key(&mut self, key: u64) {
        self.key_text.clear();
        put(&mut self.key_text, format_args!("{:x}-{key:x}", self.run));
    }

    fn set_body(&mut self, buyer: u64) {
        self.body.clear();
        let product = self.product.as_str();
        put(&mut self.body, format_args!("{{\"productId\":\"{product}\",\"userId\":\""));
        match &self.identity {
            Identity::Client { .. } | Identity::Unsigned { .. } => {
                put(&mut self.body, format_args!("load-{:x}-{buyer}", self.run));
            }
            Identity::Shoppers(shoppers) => {
                self.body.extend_from_slice(shopper(shoppers, buyer).user().as_str().as_bytes());
            }
        }
        self.body.extend_from_slice(b"\"}");
    }
}

/// The value of `x-signature`.
pub fn sign(
    method: &str,
    path: &str,
    body: &[u8],
    request_time: &[u8],
    idempotency_key: &[u8],
    key: &hmac::Key,
) -> [u8; 64] {
    let parts = SignedParts {
        method: method.as_bytes(),
        path: path.as_bytes(),
        body,
        request_time,
        idempotency_key,
    };
    let mut text = [0; 64];
    hex::encode_to_slice(parts.sign(key), &mut text).expect("64 hex digits for HMAC-SHA256");
    text
}

fn shopper(shoppers: &[Shopper], place: u64) -> &Shopper {
    &shoppers[(place % shoppers.len() as u64) as usize]
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a vector takes every byte");
}

#[cfg(test)]
mod tests;
