//! Identifiers that can only hold valid values: parse once, at the door.
//!
//! The textual ones live inline (no allocation on the hot path); the derived ones are 16 bytes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest product or user id, in bytes.
pub const NAME_BYTES_MAX: usize = 50;
/// Longest idempotency key or operation id, in bytes.
pub const KEY_BYTES_MAX: usize = 64;

/// Why a text is not a valid identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than the limit (in bytes) that is named here.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    /// The text has a character outside the pattern that is named here.
    #[error("must match {0}")]
    BadCharacter(&'static str),
}

/// ASCII text of at most `N` bytes, stored in place.
#[derive(Clone, Copy)]
struct Inline<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Inline<N> {
    fn parse(
        text: &str,
        pattern: &'static str,
        allowed: fn(u8) -> bool,
    ) -> Result<Self, InvalidId> {
        let source = text.as_bytes();
        if source.is_empty() {
            return Err(InvalidId::Empty);
        }
        if source.len() > N {
            return Err(InvalidId::TooLong(N));
        }
        if !source.iter().copied().all(allowed) {
            return Err(InvalidId::BadCharacter(pattern));
        }
        let mut bytes = [0; N];
        bytes[..source.len()].copy_from_slice(source);
        Ok(Self { len: source.len() as u8, bytes })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("only ASCII passes the patterns of `parse`")
    }
}

/// Types that are a JSON string: what `Display` writes and `FromStr` reads.
macro_rules! serde_as_text {
    ($($name:ident),*) => { $(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::sale::ids::ParsedText(std::marker::PhantomData))
            }
        }
    )* };
}
pub(super) use serde_as_text;

/// Parses a JSON string without copying it first.
pub(super) struct ParsedText<T>(pub std::marker::PhantomData<T>);

impl<T: FromStr<Err = InvalidId>> serde::de::Visitor<'_> for ParsedText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a valid identifier")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! textual_id {
    ($(#[$doc:meta])* $name:ident, $max:expr, $pattern:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(Inline<{ $max }>);

        impl $name {
            /// The pattern that every value matches.
            pub const PATTERN: &'static str = $pattern;

            /// The text, as it was given.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The text's bytes, at less cost.
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Inline::parse(text, $pattern, $allowed).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }
        impl Eq for $name {}
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_bytes().cmp(other.as_bytes())
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(ParsedText(std::marker::PhantomData))
            }
        }
    };
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_')
}

textual_id!(
    /// What is sold: `^[a-z0-9-]{1,50}$`.
    ProductId, NAME_BYTES_MAX, "^[a-z0-9-]+$", is_name_byte
);
textual_id!(
    /// Who buys, in the shop's own words: `^[a-z0-9-]{1,50}$`. Personal data: it has no `Debug`, so it
    /// cannot slip into a log line, and goes to the ledger's subjects and to the shop alone.
    UserId, NAME_BYTES_MAX, "^[a-z0-9-]+$", is_name_byte
);
textual_id!(
    /// The client's name for one attempt: `^[A-Za-z0-9_-]{1,64}$`.
    IdempotencyKey, KEY_BYTES_MAX, "^[A-Za-z0-9_-]+$", is_key_byte
);
textual_id!(
    /// The operator's name for one change, so that it is applied once: `^[A-Za-z0-9_-]{1,64}$`.
    OperationId, KEY_BYTES_MAX, "^[A-Za-z0-9_-]+$", is_key_byte
);

textual_id!(
    /// Who operates: the name of a token, `^[A-Za-z0-9_-]{1,64}$`.
    OperatorName, KEY_BYTES_MAX, "^[A-Za-z0-9_-]+$", is_key_byte
);

/// The text of [`ProductId::CONTROL`].
const CONTROL_KEY: &str = "_control";

impl ProductId {
    /// The reserved key under which a log holds its control records: blocks, live limits, tokens, approvals.
    /// No text parses to it, since no product id has an underscore, so nobody can ask for it or sell it.
    pub const CONTROL: Self = {
        let text = CONTROL_KEY.as_bytes();
        let mut bytes = [0; NAME_BYTES_MAX];
        let mut at = 0;
        while at < text.len() {
            bytes[at] = text[at];
            at += 1;
        }
        Self(Inline { len: text.len() as u8, bytes })
    };

    /// What a log's records are kept under: a product id, or the reserved key.
    ///
    /// # Errors
    /// As for a product id.
    pub fn from_log_key(text: &str) -> Result<Self, InvalidId> {
        if text == CONTROL_KEY { Ok(Self::CONTROL) } else { text.parse() }
    }
}

macro_rules! debug_as_text {
    ($($name:ident),*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }
    )* };
}
debug_as_text!(ProductId, IdempotencyKey, OperationId, OperatorName, OrderId, BuyerRef);

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(…)")
    }
}

impl From<IdempotencyKey> for OperationId {
    fn from(key: IdempotencyKey) -> Self {
        Self(key.0)
    }
}

/// An order's name: a UUIDv8 derived by HMAC from product, buyer and idempotency key, so that nobody can
/// guess it and the same attempt always has the same one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId([u8; 16]);

impl OrderId {
    /// Makes a UUIDv8 of 16 pseudo-random bytes (RFC 9562, section 5.8): six bits are overwritten.
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }

    /// The 16 bytes of the UUID.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A hash for tables: the id is itself the output of a keyed hash.
    pub(super) fn table_hash(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("8 of 16 bytes"))
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = uuid::Uuid::encode_buffer();
        f.write_str(uuid::Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut text))
    }
}

impl FromStr for OrderId {
    type Err = InvalidId;
    /// Only the hyphenated form of a UUIDv8 is an order id.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const PATTERN: &str = "a UUIDv8 with hyphens";
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidId::BadCharacter(PATTERN));
        }
        let parsed = uuid::Uuid::try_parse(text).map_err(|_| InvalidId::BadCharacter(PATTERN))?;
        if parsed.get_version_num() != 8 || parsed.get_variant() != uuid::Variant::RFC4122 {
            return Err(InvalidId::BadCharacter(PATTERN));
        }
        Ok(Self(parsed.into_bytes()))
    }
}

/// A buyer's pseudonym: 128 bits of an HMAC over the shop's name space and the user id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuyerRef([u8; 16]);

impl BuyerRef {
    /// Takes the first 16 bytes of an HMAC.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A hash for tables: the reference is itself the output of a keyed hash.
    pub fn table_hash(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("8 of 16 bytes"))
    }
}

impl fmt::Display for BuyerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        hex::encode_to_slice(self.0, &mut text).expect("32 hex digits for 16 bytes");
        f.write_str(std::str::from_utf8(&text).expect("hex digits are ASCII"))
    }
}

impl FromStr for BuyerRef {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| InvalidId::BadCharacter("32 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

serde_as_text!(OrderId, BuyerRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_their_limit_and_keep_to_their_pattern() {
        assert!("a".repeat(50).parse::<ProductId>().is_ok());
        assert_eq!("a".repeat(51).parse::<ProductId>(), Err(InvalidId::TooLong(50)));
        assert_eq!("".parse::<UserId>(), Err(InvalidId::Empty));
        for bad in ["A", "a_b", "a b", "ä", "a\0", "a\n"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
        }
        assert!("Ab_9-".repeat(12).parse::<IdempotencyKey>().is_ok());
        assert!("a".repeat(64).parse::<IdempotencyKey>().is_ok());
        assert_eq!("a".repeat(65).parse::<IdempotencyKey>(), Err(InvalidId::TooLong(64)));
    }

    #[test]
    fn order_ids_are_uuid_version_8_in_both_directions() {
        let id = OrderId::from_random_bytes([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse::<OrderId>(), Ok(id));
        assert!("ffffffff-ffff-4fff-bfff-ffffffffffff".parse::<OrderId>().is_err());
        assert!("ffffffffffff8fffbfffffffffffffff".parse::<OrderId>().is_err());
    }

    #[test]
    fn the_reserved_key_is_no_product_id() {
        assert_eq!(ProductId::CONTROL.as_str(), CONTROL_KEY);
        assert!(CONTROL_KEY.parse::<ProductId>().is_err());
        assert!(serde_json::from_str::<ProductId>("\"_control\"").is_err());
        assert_eq!(ProductId::from_log_key(CONTROL_KEY), Ok(ProductId::CONTROL));
        assert_eq!(ProductId::from_log_key("shoe"), "shoe".parse());
        assert!(ProductId::from_log_key("_other").is_err());
    }

    #[test]
    fn a_user_id_does_not_show_in_debug_output() {
        let user: UserId = "alice".parse().unwrap();
        assert!(!format!("{user:?}").contains("alice"));
    }
}
