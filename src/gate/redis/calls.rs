//! What is said to Redis and what it answers: keys, arguments, integers. The functions themselves are in
//! `flux_gate.lua`.

use redis::{Cmd, ToRedisArgs, Value};

use crate::gate::{Origin, Rates};
use crate::gcra::Rate;
use crate::sale::{BuyerRef, ProductId};

/// `product:{id}:stock`, a string: the hint, units free now.
const STOCK: (&str, &str) = ("product:{", "}:stock");
/// `product:{id}:pending`, a sorted set: buyers with an undecided attempt, by when it stops counting.
const PENDING: (&str, &str) = ("product:{", "}:pending");
/// `product:{id}:level`, a string: offset and units of the last level; it expires by itself.
const LEVEL: (&str, &str) = ("product:{", "}:level");
/// `rate:{id}:tat`, a sorted set: theoretical arrival times (see [`crate::gcra`]) of the product, and of
/// addresses, fingerprints and buyers in it.
const TATS: (&str, &str) = ("rate:{", "}:tat");

/// Most arguments of `fg_admit`: name, count, keys, buyer, and three of each rate.
const ADMIT_ARGUMENTS_MAX: usize = 7 + 4 * 3;
/// What these take together, for a product id of usual length.
const ADMIT_BYTES: usize = 384;

/// The keys of one product, all in one hash slot.
#[derive(Debug)]
pub(super) struct Keys {
    stock: String,
    pending: String,
    tats: String,
    level: String,
}

impl Keys {
    pub(super) fn new(product: &ProductId) -> Self {
        let key = |(before, after): (&str, &str)| format!("{before}{product}{after}");
        Self { stock: key(STOCK), pending: key(PENDING), tats: key(TATS), level: key(LEVEL) }
    }
}

/// Asks for a unit.
pub(super) fn admit(keys: &Keys, rates: &Rates, buyer: &BuyerRef, origin: Origin) -> Cmd {
    let mut call = Cmd::with_capacity(ADMIT_ARGUMENTS_MAX, ADMIT_BYTES);
    call.arg("FCALL").arg("fg_admit").arg(3);
    call.arg(&keys.stock).arg(&keys.pending).arg(&keys.tats);
    let member = Member::new(b'b', buyer.as_bytes());
    call.arg(member.hex());
    charge(&mut call, rates.product, || "p");
    if let Some(address) = origin.address {
        charge(&mut call, rates.address, || Member::new(b'a', &address.to_be_bytes()));
    }
    if let Some(fingerprint) = origin.fingerprint {
        charge(&mut call, rates.fingerprint, || Member::new(b'f', &fingerprint.to_be_bytes()));
    }
    charge(&mut call, rates.buyer, || member);
    call
}

fn charge<M: ToRedisArgs>(call: &mut Cmd, rate: Option<Rate>, member: impl FnOnce() -> M) {
    if let Some(rate) = rate {
        call.arg(member()).arg(rate.interval_us).arg(rate.window_us());
    }
}

/// Levels the hint and takes out the attempts of `decided` buyers. No time of arrival lies further ahead than
/// `longest_window_us`, unless it was forged.
pub(super) fn level(
    keys: &Keys,
    longest_window_us: u64,
    offset: u64,
    remaining: u32,
    decided: &[BuyerRef],
) -> Cmd {
    let mut call = Cmd::with_capacity(10 + decided.len(), 256 + 32 * decided.len());
    call.arg("FCALL").arg("fg_level").arg(4);
    call.arg(&keys.stock).arg(&keys.pending).arg(&keys.tats).arg(&keys.level);
    call.arg(offset).arg(remaining).arg(longest_window_us);
    for buyer in decided {
        call.arg(Member::new(b'b', buyer.as_bytes()).hex());
    }
    call
}

/// Asks which library is loaded.
pub(super) fn version() -> Cmd {
    let mut call = Cmd::new();
    call.arg("FCALL").arg("fg_version").arg(0);
    call
}

/// A member of a sorted set, written in place: a letter, a colon, hex digits.
#[derive(Clone, Copy)]
struct Member {
    text: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Member {
    const BYTES_MAX: usize = 2 + 2 * 16;

    fn new(kind: u8, bytes: &[u8]) -> Self {
        let mut text = [0; Self::BYTES_MAX];
        let len = 2 + 2 * bytes.len();
        text[0] = kind;
        text[1] = b':';
        hex::encode_to_slice(bytes, &mut text[2..len]).expect("two digits for each byte");
        Self { text, len }
    }

    /// Without the letter.
    fn hex(&self) -> &[u8] {
        &self.text[2..self.len]
    }
}

impl ToRedisArgs for Member {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg(&self.text[..self.len]);
    }
}

/// What `fg_admit` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// A unit is held for this buyer.
    Go,
    /// No unit is free over all nodes.
    NoUnit,
    /// This buyer has an undecided attempt, on whatever node.
    Undecided,
    /// There is no hint: level it and ask again.
    Unlevelled,
    /// Over a rate.
    OverRate {
        /// Over which.
        of: RateOf,
        /// When it would conform, in microseconds from now.
        retry_after_us: u64,
    },
}

/// Whose rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RateOf {
    Product,
    Address,
    Fingerprint,
    Buyer,
}

impl Answer {
    /// `None`: no answer of ours.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let Value::Int(answer) = value else {
            return None;
        };
        let answer = u64::try_from(*answer).ok()?;
        let over = |of| Self::OverRate { of, retry_after_us: answer >> 3 };
        Some(match answer & 7 {
            0 => Self::Go,
            1 => Self::NoUnit,
            2 => Self::Undecided,
            3 => Self::Unlevelled,
            4 => over(RateOf::Product),
            5 => over(RateOf::Address),
            6 => over(RateOf::Fingerprint),
            _ => over(RateOf::Buyer),
        })
    }
}

/// What `fg_level` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Levelled {
    /// The hint now.
    pub hint: u32,
    /// The hint before; `None`: there was none.
    pub before: Option<u32>,
    /// Whether this level's offset was the highest known.
    pub counted: bool,
}

impl Levelled {
    /// `None`: no answer of ours.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let Value::Array(parts) = value else {
            return None;
        };
        let [Value::Int(hint), Value::Int(before), Value::Int(counted)] = parts.as_slice() else {
            return None;
        };
        Some(Self {
            hint: u32::try_from(*hint).ok()?,
            before: u32::try_from(*before).ok(),
            counted: *counted == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_only_the_rates_that_hold() {
        let keys = Keys::new(&"phone".parse().unwrap());
        let rates = Rates { buyer: Rate::per_second(5, 2), ..Rates::default() };
        let origin = Origin { address: Some(1), fingerprint: None };
        let call = admit(&keys, &rates, &BuyerRef::from_bytes([0xab; 16]), origin);
        let packed = String::from_utf8(call.get_packed_command()).unwrap();
        let words: Vec<&str> =
            packed.split("\r\n").filter(|word| !word.starts_with(['$', '*'])).collect();
        let buyer = "ab".repeat(16);
        assert_eq!(
            words,
            [
                "FCALL",
                "fg_admit",
                "3",
                "product:{phone}:stock",
                "product:{phone}:pending",
                "rate:{phone}:tat",
                &buyer,
                &format!("b:{buyer}"),
                "200000",
                "400000",
                ""
            ]
        );
    }

    #[test]
    fn answers_are_integers_and_anything_else_is_none_of_ours() {
        assert_eq!(Answer::parse(&Value::Int(0)), Some(Answer::Go));
        assert_eq!(
            Answer::parse(&Value::Int(5 + 8 * 123)),
            Some(Answer::OverRate { of: RateOf::Address, retry_after_us: 123 })
        );
        for other in [Value::Int(-1), Value::Nil, Value::Okay, Value::Array(vec![])] {
            assert_eq!(Answer::parse(&other), None);
            assert_eq!(Levelled::parse(&other), None);
        }
    }
}
