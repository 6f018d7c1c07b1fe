//! Who is refused at the door by the configuration: addresses and prefixes, device fingerprints, users.
//! (Those whom operators block while the gate runs: `live.rs`.)
//!
//! A lookup costs one hash for each prefix length that occurs, and nothing where nothing is blocked.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config;
use crate::guard::client_ip::canonical_net;
use crate::sale::{InvalidId, UserId};

/// Bits by which an IPv4 address is shorter than an IPv6 one.
const V4_SHIFT: u8 = 96;

/// The blocked ones.
#[derive(Default)]
pub struct Blocks {
    v4: Vec<Prefixes>,
    v6: Vec<Prefixes>,
    fingerprints: HashSet<Vec<u8>>,
    users: HashSet<UserId>,
}

/// All blocked networks of one prefix length.
struct Prefixes {
    /// Selects the bits of the network, left-aligned in 128.
    mask: u128,
    networks: HashSet<u128>,
}

impl Blocks {
    /// Takes the configured blocks.
    ///
    /// # Errors
    /// A user id that no user can have.
    pub fn new(config: &config::Blocks) -> Result<Self, InvalidId> {
        let mut blocks = Self {
            fingerprints: config.fingerprints.iter().map(|text| text.clone().into()).collect(),
            users: config.users.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            ..Self::default()
        };
        for network in config.addresses.iter().copied().map(canonical_net) {
            let family =
                if matches!(network, IpNet::V4(_)) { &mut blocks.v4 } else { &mut blocks.v6 };
            let mask = mask(network.prefix_len());
            let bits = left_aligned(network.addr()) & mask;
            match family.iter_mut().find(|prefixes| prefixes.mask == mask) {
                Some(prefixes) => _ = prefixes.networks.insert(bits),
                None => family.push(Prefixes { mask, networks: HashSet::from([bits]) }),
            }
        }
        Ok(blocks)
    }

    /// Whether the address (in its canonical form) or a prefix of it is blocked.
    pub fn address(&self, ip: IpAddr) -> bool {
        let family = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        let bits = left_aligned(ip);
        family.iter().any(|prefixes| prefixes.networks.contains(&(bits & prefixes.mask)))
    }

    /// Whether the fingerprint is blocked.
    pub fn fingerprint(&self, fingerprint: &[u8]) -> bool {
        !self.fingerprints.is_empty() && self.fingerprints.contains(fingerprint)
    }

    /// Whether the user is blocked.
    pub fn user(&self, user: &UserId) -> bool {
        !self.users.is_empty() && self.users.contains(user)
    }
}

/// The address's bits, left-aligned in 128.
pub(super) fn left_aligned(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << V4_SHIFT,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The first `bits` of an address that is left-aligned in 128.
pub(super) fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(addresses: &[&str]) -> Blocks {
        let addresses = addresses.iter().map(|network| network.parse().unwrap()).collect();
        let (fingerprints, users) = (vec!["bad".to_owned()], vec!["mallory".to_owned()]);
        Blocks::new(&config::Blocks { addresses, fingerprints, users }).unwrap()
    }

    fn blocked(blocks: &Blocks, ip: &str) -> bool {
        blocks.address(ip.parse::<IpAddr>().unwrap().to_canonical())
    }

    #[test]
    fn addresses_are_blocked_by_every_prefix_and_by_alias() {
        let list = ["192.0.2.0/24", "203.0.113.7/32", "2001:db8::/32", "::ffff:198.51.100.0/120"];
        let blocks = blocks(&list);
        let bad = ["192.0.2.0", "192.0.2.255", "203.0.113.7", "2001:db8:ffff::1", "198.51.100.9"];
        for ip in bad {
            assert!(blocked(&blocks, ip), "{ip}");
        }
        assert!(blocked(&blocks, "::ffff:192.0.2.1"));
        for ip in ["192.0.3.0", "203.0.113.8", "2001:db9::1", "198.51.101.9", "::1", "::c000:201"] {
            assert!(!blocked(&blocks, ip), "{ip}");
        }
    }

    #[test]
    fn a_prefix_of_no_bits_blocks_its_family_alone() {
        assert!(blocked(&blocks(&["0.0.0.0/0"]), "8.8.8.8"));
        assert!(!blocked(&blocks(&["0.0.0.0/0"]), "2001:db8::1"));
        assert!(blocked(&blocks(&["::/0"]), "2001:db8::1"));
        assert!(!blocked(&blocks(&["::/0"]), "8.8.8.8"));
    }

    #[test]
    fn fingerprints_and_users_are_blocked_by_name() {
        let blocks = blocks(&[]);
        assert!(blocks.fingerprint(b"bad") && !blocks.fingerprint(b"good"));
        assert!(blocks.user(&"mallory".parse().unwrap()));
        assert!(!blocks.user(&"alice".parse().unwrap()));
        assert!(!blocked(&blocks, "192.0.2.0"));
        let users = vec!["NOT A USER".to_owned()];
        assert!(Blocks::new(&config::Blocks { users, ..Default::default() }).is_err());
    }
}
