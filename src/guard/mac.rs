//! A message authentication code that was received: it can be checked, never compared with `==`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// Bytes of an HMAC-SHA256.
pub const MAC_BYTES: usize = 32;

/// A received MAC. It has no `PartialEq`, so that no comparison can end at the first wrong byte and tell
/// by its time how many were right.
pub struct Mac([u8; MAC_BYTES]);

impl Mac {
    /// Takes the raw bytes.
    pub fn from_bytes(bytes: [u8; MAC_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAC_BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Whether this is the tag, in a time that does not depend on where they differ.
    pub fn is(&self, tag: &hmac::Tag) -> bool {
        verify_slices_are_equal(&self.0, tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_tag_in_hex_of_either_case_is_the_tag() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let tag = hmac::sign(&key, b"message");
        let text = hex::encode(tag.as_ref());
        for good in [text.clone(), text.to_uppercase()] {
            assert!(Mac::from_hex(good.as_bytes()).is_some_and(|mac| mac.is(&tag)));
        }
        for position in 0..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[position] = if bad[position] == b'0' { b'1' } else { b'0' };
            assert!(!Mac::from_hex(&bad).is_some_and(|mac| mac.is(&tag)));
        }
        for garbage in ["", &text[..62], &format!("{text}00"), &text.replacen('a', "g", 1), "0x"] {
            assert!(Mac::from_hex(garbage.as_bytes()).is_none_or(|mac| !mac.is(&tag)));
        }
    }
}
