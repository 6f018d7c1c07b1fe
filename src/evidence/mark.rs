//! Pseudonyms of addresses, networks, fingerprints and rows of user ids, under a key of the day.
//!
//! The key is derived from `secrets.buyer_key` and the Unix day: all nodes make the same marks, a restart goes on with
//! them, and those of two days have nothing in common. Whoever has the buyer key can try addresses against a mark, so
//! what keeps a mark from telling an address for good is that it is deleted with its sighting.

use std::net::IpAddr;

use aws_lc_rs::hmac;

use super::{Mark, Series};
use crate::keys::{IdentityKeys, tag};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;
/// Longest fingerprint that is looked at, in bytes; what follows does not count.
pub const FINGERPRINT_BYTES_MAX: usize = 256;
/// The most digits at the end of a user id that count as a number.
pub const SERIES_DIGITS_MAX: usize = 15;
/// Leading bytes of an IPv6 address that stand for it (/64), and for its network (/48).
const V6_ADDRESS_BYTES: usize = 8;
const V6_NETWORK_BYTES: usize = 6;
/// The same of an IPv4 address: all of it, and /24.
const V4_ADDRESS_BYTES: usize = 4;
const V4_NETWORK_BYTES: usize = 3;

/// Makes the marks of one day.
pub struct Marks {
    day: u64,
    key: hmac::Key,
}

impl Marks {
    /// Those of the day of this time.
    pub fn of(identity: &IdentityKeys, at_ms: u64) -> Self {
        let day = at_ms / DAY_MS;
        Self { day, key: identity.evidence_key(day) }
    }

    /// Whether this time is in their day.
    pub fn hold_at(&self, at_ms: u64) -> bool {
        at_ms / DAY_MS == self.day
    }

    /// Of an IPv4 address, or of the /64 of an IPv6 one. An IPv4 address in IPv6 clothes is that IPv4 address.
    pub fn address(&self, ip: IpAddr) -> Mark {
        self.prefix("evidence-address", ip, V4_ADDRESS_BYTES, V6_ADDRESS_BYTES)
    }

    /// Of its network: IPv4 /24, or IPv6 /48.
    pub fn network(&self, ip: IpAddr) -> Mark {
        self.prefix("evidence-network", ip, V4_NETWORK_BYTES, V6_NETWORK_BYTES)
    }

    /// Of a fingerprint, as it was sent.
    pub fn fingerprint(&self, fingerprint: &[u8]) -> Mark {
        let looked_at = &fingerprint[..fingerprint.len().min(FINGERPRINT_BYTES_MAX)];
        Mark(first_8(&tag(&self.key, "evidence-fingerprint", &[looked_at])))
    }

    /// The place of a user id among those that differ in their last digits; none if it ends in none, or in more than
    /// [`SERIES_DIGITS_MAX`].
    pub fn series(&self, user: &str) -> Option<Series> {
        let stem = user.trim_end_matches(|last: char| last.is_ascii_digit());
        let digits = &user[stem.len()..];
        if !(1..=SERIES_DIGITS_MAX).contains(&digits.len()) {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        let tag = tag(&self.key, "evidence-series", &[stem.as_bytes()]);
        let offset = u64::from_be_bytes(tag.as_ref()[8..16].try_into().ok()?);
        let number = offset.wrapping_add(number) & (u64::MAX >> 1);
        Some(Series { stem: Mark(first_8(&tag)), number })
    }

    fn prefix(&self, purpose: &str, ip: IpAddr, v4_bytes: usize, v6_bytes: usize) -> Mark {
        let tag = match ip.to_canonical() {
            IpAddr::V4(ip) => tag(&self.key, purpose, &[&ip.octets()[..v4_bytes]]),
            IpAddr::V6(ip) => tag(&self.key, purpose, &[&ip.octets()[..v6_bytes]]),
        };
        Mark(first_8(&tag))
    }
}

fn first_8(tag: &hmac::Tag) -> u64 {
    u64::from_be_bytes(tag.as_ref()[..8].try_into().expect("HMAC-SHA256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_MS: u64 = 20_000 * DAY_MS;

    fn identity() -> IdentityKeys {
        IdentityKeys::new(&[1; 32], &[2; 32])
    }

    fn marks(at_ms: u64) -> Marks {
        Marks::of(&identity(), at_ms)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn two_nodes_and_a_restart_make_the_same_marks_and_two_days_others() {
        let (one, other, late) = (marks(AT_MS), marks(AT_MS), marks(AT_MS + DAY_MS - 1));
        let (before, after) = (marks(AT_MS - 1), marks(AT_MS + DAY_MS));
        let all = |marks: &Marks| {
            let series = marks.series("bot-7").unwrap();
            let (address, network) =
                (marks.address(ip("192.0.2.1")), marks.network(ip("192.0.2.1")));
            [address, network, marks.fingerprint(b"f"), series.stem, Mark(series.number)]
        };
        assert_eq!(all(&one), all(&other));
        assert_eq!(all(&one), all(&late));
        for (a, b) in all(&one).iter().zip(all(&before)).chain(all(&one).iter().zip(all(&after))) {
            assert_ne!(*a, b);
        }
        assert!(one.hold_at(AT_MS + DAY_MS - 1) && !one.hold_at(AT_MS + DAY_MS));
        let other_keys = Marks::of(&IdentityKeys::new(&[1; 32], &[3; 32]), AT_MS);
        assert_ne!(all(&one), all(&other_keys));
    }

    #[test]
    fn an_address_ends_at_64_bits_and_a_network_at_24_or_48() {
        let marks = marks(AT_MS);
        let same_address = |a, b| marks.address(ip(a)) == marks.address(ip(b));
        let same_network = |a, b| marks.network(ip(a)) == marks.network(ip(b));
        assert!(same_address("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same_address("192.0.2.1", "192.0.2.2"));
        assert!(same_address("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same_address("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same_network("192.0.2.1", "::ffff:192.0.2.255"));
        assert!(!same_network("192.0.2.1", "192.0.3.1"));
        assert!(same_network("2001:db8::1", "2001:db8:0:ffff::1"));
        assert!(!same_network("2001:db8::1", "2001:db8:1::1"));
        // Neither is the other, though the bytes of 10.0.0 may be those of both.
        assert_ne!(marks.address(ip("10.0.0.0")), marks.network(ip("10.0.0.0")));
    }

    #[test]
    fn neighbours_of_a_row_stay_neighbours_and_the_number_is_not_told() {
        let marks = marks(AT_MS);
        let series = |user| marks.series(user);
        let (first, second) = (series("bot-0041").unwrap(), series("bot-0042").unwrap());
        assert_eq!(first.stem, second.stem);
        assert_eq!(second.number, (first.number + 1) % (1 << 63));
        assert_ne!(first.number, 41);
        assert_ne!(series("bat-0041").unwrap().stem, first.stem);
        assert_ne!(series("bat-0041").unwrap().number, first.number);
        assert_eq!(series("bot-41"), Some(first));
        assert!(series("41").is_some());
        assert_eq!((series("bot"), series("bot-"), series("4b")), (None, None, None));
        assert!(series("u999999999999999").is_some(), "15 digits");
        assert_eq!(series("u1000000000000000"), None, "16 digits");
    }

    #[test]
    fn a_fingerprint_counts_up_to_its_limit() {
        let marks = marks(AT_MS);
        let long = |last: u8| {
            let mut bytes = vec![7; FINGERPRINT_BYTES_MAX];
            bytes.push(last);
            marks.fingerprint(&bytes)
        };
        assert_eq!(long(1), long(2));
        assert_ne!(marks.fingerprint(b"a"), marks.fingerprint(b"b"));
    }
}
