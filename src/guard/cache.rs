//! What a thread remembers of passes and users, so that an order costs two HMACs and no more.
//!
//! Only what was verified enters: a forged pass cannot take a place. Bounded: sets of a few ways each,
//! overwritten in turn. A hit allocates nothing. One a thread, so there is no lock.
//!
//! Nothing here is trusted for longer than it is true: a pass's expiry is checked at every use, and what is
//! kept of a user (the buyer reference) never changes for as long as the process runs.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::guard::clients::ApiClient;
use crate::guard::pass::{Pass, PassKeys};
use crate::guard::table::KeyedHash;
use crate::keys::IdentityKeys;
use crate::sale::{BuyerRef, UserId};

/// Passes that a thread remembers, about 1 KiB each.
pub const PASSES_MAX: usize = 16_384;
/// Users of API clients that a thread remembers, about 100 bytes each.
pub const USERS_MAX: usize = 32_768;

/// Domain of the keyed hash.
const DOMAIN_USER: u8 = 32;
/// Bytes at the end of a pass that choose its set: digits of its MAC, which nobody can choose.
const TAIL_BYTES: usize = 8;

/// What one thread remembers. Made by [`super::Guard::cache`].
pub struct PassCache {
    pub(super) passes: Passes,
    pub(super) users: Users,
}

impl PassCache {
    /// An empty one.
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self {
            passes: Passes { sets: Sets::new(PASSES_MAX) },
            users: Users { sets: Sets::new(USERS_MAX), hash },
        }
    }
}

/// A verified pass with what is derived from it.
pub struct KnownPass {
    /// What it says.
    pub pass: Pass,
    /// Whose it is, as a pseudonym.
    pub buyer: BuyerRef,
    /// The key with which its holder signs.
    pub key: hmac::Key,
    text: Box<str>,
}

/// The passes that were verified.
pub struct Passes {
    sets: Sets<KnownPass>,
}

impl Passes {
    /// The pass of this text, verified now or before; `None` for one that none of the keys signed. Its
    /// expiry is for the caller to check.
    pub fn get(
        &mut self,
        text: &str,
        keys: &PassKeys,
        identity: &IdentityKeys,
    ) -> Option<&KnownPass> {
        let (_, tail) = text.as_bytes().split_last_chunk::<TAIL_BYTES>()?;
        let hash = u64::from_le_bytes(*tail).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let same = |known: &KnownPass| {
            verify_slices_are_equal(known.text.as_bytes(), text.as_bytes()).is_ok()
        };
        if let Some(place) = self.sets.find(hash, same) {
            return self.sets.at(place);
        }
        let (pass, session_key) = keys.verify(text)?;
        let buyer = identity.buyer(&pass.name_space, &pass.user);
        let key = session_key.signing_key();
        let place = self.sets.put(hash, KnownPass { pass, buyer, key, text: text.into() });
        self.sets.at(place)
    }
}

struct KnownUser {
    client: u32,
    user: UserId,
    buyer: BuyerRef,
}

/// The buyers behind API clients' users.
pub struct Users {
    sets: Sets<KnownUser>,
    hash: KeyedHash,
}

impl Users {
    /// The buyer that a client's user is.
    pub fn buyer(&mut self, client: &ApiClient, user: &UserId, keys: &IdentityKeys) -> BuyerRef {
        let hash = self.hash.tag(DOMAIN_USER, user.as_bytes());
        let same = |known: &KnownUser| known.client == client.index && known.user == *user;
        let place = self.sets.find(hash, same);
        if let Some(known) = place.and_then(|place| self.sets.at(place)) {
            return known.buyer;
        }
        let buyer = keys.buyer(&client.name_space, user);
        self.sets.put(hash, KnownUser { client: client.index, user: *user, buyer });
        buyer
    }
}

const WAYS: usize = 4;

/// An entry with its whole hash, so that most others are told apart without a look at them.
type Entry<T> = (u64, Box<T>);

/// A bounded table of sets.
struct Sets<T> {
    sets: Vec<[Option<Entry<T>>; WAYS]>,
    turn: usize,
}

#[derive(Clone, Copy)]
struct Place {
    set: usize,
    way: usize,
}

impl<T> Sets<T> {
    fn new(entries_max: usize) -> Self {
        let sets = (entries_max / WAYS).max(1);
        Self { sets: (0..sets).map(|_| Default::default()).collect(), turn: 0 }
    }

    fn set(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.sets.len() as u128) >> 64) as usize
    }

    fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<Place> {
        let set = self.set(hash);
        let is = |entry: &Entry<T>| entry.0 == hash && same(&entry.1);
        let way = self.sets[set].iter().position(|entry| entry.as_ref().is_some_and(is))?;
        Some(Place { set, way })
    }

    fn at(&self, place: Place) -> Option<&T> {
        self.sets[place.set][place.way].as_ref().map(|(_, entry)| &**entry)
    }

    /// Puts an entry into a free way of its set, or into one whose turn it is.
    fn put(&mut self, hash: u64, entry: T) -> Place {
        let set = self.set(hash);
        let free = self.sets[set].iter().position(Option::is_none);
        let way = free.unwrap_or_else(|| {
            self.turn = (self.turn + 1) % WAYS;
            self.turn
        });
        self.sets[set][way] = Some((hash, Box::new(entry)));
        Place { set, way }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pass::PassId;

    fn pass(keys: &PassKeys, n: u8) -> String {
        let pass = Pass {
            user: format!("user-{n}").parse().unwrap(),
            name_space: "shop".into(),
            issued_ms: 0,
            expires_ms: 1_000,
            id: PassId([n; 16]),
            admission: None,
        };
        keys.issue(&pass).0
    }

    #[test]
    fn sets_are_bounded_and_overwritten_in_turn() {
        let mut sets = Sets::new(8);
        for n in 0..1_000u64 {
            let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let place = sets.put(hash, n);
            assert_eq!(sets.at(place), Some(&n));
            assert!(sets.find(hash, |entry| *entry == n).is_some());
        }
        assert_eq!(sets.sets.iter().flatten().flatten().count(), 8);
    }

    #[test]
    fn only_verified_passes_enter() {
        let secret = "0123456789abcdef0123456789abcdef";
        let keys = PassKeys::parse(&format!("k:{secret}")).unwrap();
        let identity = IdentityKeys::new(&[1; 32], &[2; 32]);
        let mut cache = PassCache::new(KeyedHash::new([0; 16]));
        let good = pass(&keys, 1);
        let forged = pass(&PassKeys::parse("k:00000000000000000000000000000000").unwrap(), 1);
        let count = |cache: &PassCache| cache.passes.sets.sets.iter().flatten().flatten().count();
        for bad in ["", "short", &forged, &format!("x{good}"), &good[..good.len() - 1]] {
            assert!(cache.passes.get(bad, &keys, &identity).is_none());
        }
        assert_eq!(count(&cache), 0);
        for _ in 0..3 {
            let known = cache.passes.get(&good, &keys, &identity).unwrap();
            assert_eq!(known.pass.user.as_str(), "user-1");
            assert_eq!(known.buyer, identity.buyer("shop", &known.pass.user));
        }
        assert_eq!(count(&cache), 1);
        // A pass with the tail of a known one is another pass.
        let cut = good.len() - TAIL_BYTES;
        let spliced = format!("{}{}", &pass(&keys, 2)[..cut], &good[cut..]);
        assert!(cache.passes.get(&spliced, &keys, &identity).is_none());
    }
}
