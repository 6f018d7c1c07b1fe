//! Pseudonyms of addresses and fingerprints: HMACs under a key that lives in memory alone and for a day.
//!
//! Within a day the same source has the same pseudonym, so an attack can be followed. Afterwards, and after
//! a restart, the key is gone: nobody, not even with all our files, can say which address it was. A pseudonym
//! names its key, so that nobody takes those of two days for two sources.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::flood::Source;
use crate::keys::tag;

/// How long a key lives, in milliseconds.
pub const KEY_LIFETIME_MS: u64 = 24 * 3_600 * 1_000;
/// Bytes of a pseudonym that are shown.
const SHOWN_BYTES: usize = 8;

/// The pseudonyms of a day.
pub struct Pseudonyms {
    key: hmac::Key,
    name: String,
    since_ms: u64,
    random: fn(&mut [u8]),
}

impl Pseudonyms {
    /// Begins with a new key.
    pub fn new(random: fn(&mut [u8]), now_ms: u64) -> Self {
        let (key, name) = draw(random);
        Self { key, name, since_ms: now_ms, random }
    }

    /// Forgets a key whose day is over and draws another; says whether it did. A clock that was set back
    /// also ends the day: else it could last for ever.
    pub fn renew(&mut self, now_ms: u64) -> bool {
        let age_ms = now_ms.checked_sub(self.since_ms);
        if age_ms.is_some_and(|age_ms| age_ms < KEY_LIFETIME_MS) {
            return false;
        }
        *self = Self::new(self.random, now_ms);
        true
    }

    /// The name of the key.
    pub fn key_name(&self) -> &str {
        &self.name
    }

    /// The pseudonym of a source.
    pub fn source(&self, source: Source) -> String {
        self.of("audit-source", &source.to_bytes())
    }

    /// The pseudonym of a fingerprint.
    pub fn fingerprint(&self, fingerprint: &[u8]) -> String {
        self.of("audit-fingerprint", fingerprint)
    }

    fn of(&self, purpose: &str, bytes: &[u8]) -> String {
        let tag = tag(&self.key, purpose, &[bytes]);
        format!("{}:{}", self.name, hex::encode(&tag.as_ref()[..SHOWN_BYTES]))
    }
}

fn draw(random: fn(&mut [u8])) -> (hmac::Key, String) {
    let mut secret = Zeroizing::new([0; 32]);
    random(&mut *secret);
    let mut name = [0; 2];
    random(&mut name);
    (hmac::Key::new(hmac::HMAC_SHA256, &*secret), hex::encode(name))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn random(bytes: &mut [u8]) {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        bytes.fill(NEXT.fetch_add(1, Ordering::Relaxed));
    }

    #[test]
    fn a_pseudonym_lasts_for_a_day_and_not_longer() {
        let source = Source::of([192, 0, 2, 1].into());
        let mut pseudonyms = Pseudonyms::new(random, 1_000);
        let first = pseudonyms.source(source);
        assert_eq!(pseudonyms.source(source), first);
        assert_ne!(pseudonyms.source(Source::of([192, 0, 2, 2].into())), first);
        assert_ne!(pseudonyms.fingerprint(&source.to_bytes()), first);
        assert!(!pseudonyms.renew(1_000 + KEY_LIFETIME_MS - 1));
        assert_eq!(pseudonyms.source(source), first);
        assert!(pseudonyms.renew(1_000 + KEY_LIFETIME_MS));
        let second = pseudonyms.source(source);
        assert!(second != first && second.split_once(':').unwrap().0 == pseudonyms.key_name());
        assert!(pseudonyms.renew(999), "a clock set back ends the day");
    }
}
