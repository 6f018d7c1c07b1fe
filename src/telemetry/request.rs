//! Whose request this thread works on, so that a line of the log says it.
//!
//! A request's future is entered when it is polled and left when it yields ([`swap`]), so whatever is logged
//! in between belongs to it. Nothing is allocated, and no span of `tracing` is made.

use std::cell::Cell;
use std::fmt;
use std::num::{NonZeroU8, NonZeroU128};

/// Longest request id that is taken from a caller, in characters.
pub const REQUEST_ID_CHARS_MAX: usize = 64;

/// The id of one request: a caller's own, or one that was made here.
#[derive(Clone, Copy)]
pub struct RequestId {
    bytes: [u8; REQUEST_ID_CHARS_MAX],
    length: NonZeroU8,
}

impl RequestId {
    /// A caller's id: 1 to [`REQUEST_ID_CHARS_MAX`] letters, digits, `.`, `_`, `:` and `-`. Nothing that
    /// could end a line or a text of the log.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        if text.len() > REQUEST_ID_CHARS_MAX || !text.iter().all(allowed) {
            return None;
        }
        let length = NonZeroU8::new(text.len() as u8)?;
        let mut bytes = [0; REQUEST_ID_CHARS_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self { bytes, length })
    }

    /// A new id, 32 hex digits of this number.
    pub fn of(random: u128) -> Self {
        const LENGTH: NonZeroU8 = NonZeroU8::new(32).expect("not zero");
        let mut bytes = [0; REQUEST_ID_CHARS_MAX];
        write_hex(random, &mut bytes[..32]);
        Self { bytes, length: LENGTH }
    }

    /// Its text, all ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length.get())]
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// The two digits of each byte.
const DIGITS: [[u8; 2]; 256] = {
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        let hex = b"0123456789abcdef";
        digits[byte] = [hex[byte >> 4], hex[byte & 15]];
        byte += 1;
    }
    digits
};

/// Writes the last digits of `number` in hex, as many pairs as there is room for.
pub fn write_hex(number: u128, digits: &mut [u8]) {
    let bytes = number.to_le_bytes();
    for (pair, byte) in digits.rchunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&DIGITS[usize::from(byte)]);
    }
}

/// What a line of the log says of its request.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    /// The request.
    pub request: RequestId,
    /// Its trace, if there are traces.
    pub trace: Option<NonZeroU128>,
}

thread_local! {
    static CURRENT: Cell<Option<Ids>> = const { Cell::new(None) };
}

/// Exchanges what this thread works on with `ids`.
pub fn swap(ids: &mut Option<Ids>) {
    *ids = CURRENT.replace(*ids);
}

/// The request that this thread works on.
pub fn current() -> Option<Ids> {
    CURRENT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_bounded_and_cannot_break_out_of_a_line() {
        let most = "a".repeat(REQUEST_ID_CHARS_MAX);
        for good in ["a", "0B9f1a34-6c1f:4f0a.9d2b_1", most.as_str()] {
            assert_eq!(RequestId::parse(good.as_bytes()).unwrap().to_string(), good);
        }
        let long = "a".repeat(REQUEST_ID_CHARS_MAX + 1);
        for bad in ["", "a b", "a\nb", "a\"b", "é", "a=b", "someone@example.org", long.as_str()] {
            assert!(RequestId::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
        let made = RequestId::of(0xab).to_string();
        assert_eq!(made, format!("{:032x}", 0xab));
        assert_eq!(RequestId::of(u128::MAX).to_string(), "f".repeat(32));
    }
}
