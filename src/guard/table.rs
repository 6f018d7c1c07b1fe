//! A table of rates by key that never grows: whoever sends random keys or addresses cannot fill memory.
//!
//! A key is a 64-bit tag, the output of a keyed hash ([`KeyedHash`]), so nobody can aim at a bucket. A
//! bucket has 8 ways; a new key takes the place of the one whose theoretical arrival time is least, which
//! is the one that loses least by being forgotten: a TAT that is not after now is the same as none. So a
//! key that is over its rate stays, whatever floods by.
//!
//! All memory is asked for at the start, zeroed by the system page by page as it is touched; afterwards
//! nothing is allocated. Two keys share a tag once in 2^64: they would share their rate, no more.
//!
//! Invariants: a tag is in the bucket that it maps to or nowhere, at most once; tag 0 is a free way.

use std::hash::Hasher;

use parking_lot::Mutex;

/// Ways of a bucket.
const WAYS: usize = 8;
/// Locks of a table. Far more than threads, so that two seldom meet.
const SHARDS_MAX: usize = 64;

/// A keyed hash for table keys (SipHash-2-4): without the seed nobody can find keys that collide.
#[derive(Clone, Copy)]
pub struct KeyedHash {
    seed: [u64; 2],
}

impl KeyedHash {
    /// Takes 128 random bits, drawn once a process.
    pub fn new(seed: [u8; 16]) -> Self {
        let (low, high) = seed.split_at(8);
        let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("8 of 16 bytes"));
        Self { seed: [word(low), word(high)] }
    }

    /// The tag of `bytes` under `domain`; equal bytes of two domains have unrelated tags.
    #[allow(
        deprecated,
        reason = "the one keyed SipHash of the standard library; not to be removed"
    )]
    pub fn tag(&self, domain: u8, bytes: &[u8]) -> u64 {
        let mut hasher = std::hash::SipHasher::new_with_keys(self.seed[0], self.seed[1]);
        hasher.write(bytes);
        hasher.write_u8(domain);
        hasher.finish()
    }
}

/// One way of a bucket, while its lock is held.
pub struct Slot<'a> {
    /// The theoretical arrival time in microseconds; 0 for a key that was not known.
    pub tat_us: &'a mut u64,
    /// A word of the table's user; 0 for a key that was not known.
    pub note: &'a mut u64,
}

/// Tags, TATs and notes of a bucket. Plain arrays of integers, because those the allocator zeroes lazily.
type Bucket = [[u64; WAYS]; 3];
const TAGS: usize = 0;
const TATS: usize = 1;
const NOTES: usize = 2;

#[repr(align(64))]
struct Shard(Mutex<Vec<Bucket>>);

/// The bounded table.
pub struct Table {
    shards: Box<[Shard]>,
    buckets: usize,
}

impl Table {
    /// A table of at most `keys_max` keys, rounded down to whole buckets; at least one bucket.
    pub fn new(keys_max: usize) -> Self {
        let buckets = (keys_max / WAYS).max(1);
        let shards = buckets.min(SHARDS_MAX);
        let shard = |index: usize| {
            let len = (buckets - index).div_ceil(shards);
            Shard(Mutex::new(vec![[[0; WAYS]; 3]; len]))
        };
        Self { shards: (0..shards).map(shard).collect(), buckets }
    }

    /// How many keys fit: for tests.
    #[cfg(test)]
    pub fn keys_max(&self) -> usize {
        self.buckets * WAYS
    }

    /// Shows `change` the key's slot, free or taken over if the key was not known.
    pub fn with<R>(&self, tag: u64, change: impl FnOnce(Slot<'_>) -> R) -> R {
        let tag = tag.max(1);
        self.bucket(tag, |bucket| {
            let way = find(bucket, tag).unwrap_or_else(|| take_over(bucket, tag));
            change(slot(bucket, way))
        })
    }

    /// Shows `change` the key's slot if the key is known.
    pub fn with_known<R>(&self, tag: u64, change: impl FnOnce(Slot<'_>) -> R) -> Option<R> {
        let tag = tag.max(1);
        self.bucket(tag, |bucket| {
            let way = find(bucket, tag)?;
            Some(change(slot(bucket, way)))
        })
    }

    fn bucket<R>(&self, tag: u64, visit: impl FnOnce(&mut Bucket) -> R) -> R {
        // The tag's share of the buckets; the product's high half is below their number.
        let index = ((u128::from(tag) * self.buckets as u128) >> 64) as usize;
        let shard = &self.shards[index % self.shards.len()];
        visit(&mut shard.0.lock()[index / self.shards.len()])
    }

    /// How many ways are taken, counted one by one: for tests.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let taken = |shard: &Shard| {
            shard.0.lock().iter().flat_map(|bucket| bucket[TAGS]).filter(|tag| *tag != 0).count()
        };
        self.shards.iter().map(taken).sum()
    }

    /// Bytes that the table asked for: for tests.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let bytes = |shard: &Shard| shard.0.lock().capacity() * size_of::<Bucket>();
        self.shards.iter().map(bytes).sum()
    }
}

fn find(bucket: &Bucket, tag: u64) -> Option<usize> {
    bucket[TAGS].iter().position(|taken| *taken == tag)
}

fn take_over(bucket: &mut Bucket, tag: u64) -> usize {
    let mut least = 0;
    for way in 1..WAYS {
        // A free way has TAT 0 and so is taken first.
        if bucket[TATS][way] < bucket[TATS][least] {
            least = way;
        }
    }
    bucket[TAGS][least] = tag;
    bucket[TATS][least] = 0;
    bucket[NOTES][least] = 0;
    least
}

fn slot(bucket: &mut Bucket, way: usize) -> Slot<'_> {
    let [_, tats, notes] = bucket;
    Slot { tat_us: &mut tats[way], note: &mut notes[way] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gcra::{self, Check, Rate};

    fn hash() -> KeyedHash {
        KeyedHash::new([7; 16])
    }

    fn request(table: &Table, rate: &Rate, tag: u64, now_us: u64) -> bool {
        table.with(tag, |slot| match gcra::check(rate, *slot.tat_us, now_us) {
            Check::Conforms { tat_us, .. } => {
                *slot.tat_us = tat_us;
                true
            }
            Check::Exceeds { .. } => false,
        })
    }

    #[test]
    fn the_hash_depends_on_seed_domain_and_bytes() {
        let tags = [
            hash().tag(0, b"a"),
            hash().tag(1, b"a"),
            hash().tag(0, b"b"),
            KeyedHash::new([8; 16]).tag(0, b"a"),
        ];
        for (index, tag) in tags.iter().enumerate() {
            assert!(!tags[..index].contains(tag));
        }
        assert_eq!(hash().tag(0, b"a"), tags[0]);
    }

    #[test]
    fn a_key_keeps_its_words_and_an_unknown_one_has_none() {
        let table = Table::new(64);
        table.with(5, |slot| (*slot.tat_us, *slot.note) = (10, 11));
        assert_eq!(table.with_known(5, |slot| (*slot.tat_us, *slot.note)), Some((10, 11)));
        assert_eq!(table.with_known(6, |_| ()), None);
        assert_eq!(table.len(), 1);
        // Tag 0 marks a free way; the key that hashes to it shares tag 1.
        table.with(0, |slot| *slot.note = 3);
        assert_eq!(table.with_known(1, |slot| *slot.note), Some(3));
    }

    #[test]
    fn the_least_active_key_of_a_full_bucket_is_forgotten_first() {
        let table = Table::new(8);
        for tag in 1..=8 {
            table.with(tag, |slot| (*slot.tat_us, *slot.note) = (100 * tag, tag));
        }
        table.with(9, |slot| {
            assert_eq!((*slot.tat_us, *slot.note), (0, 0));
            *slot.tat_us = 900;
        });
        assert_eq!(table.with_known(1, |_| ()), None);
        assert!((2..=9).all(|tag| table.with_known(tag, |_| ()).is_some()));
    }

    #[test]
    fn every_size_has_its_buckets_and_none_is_out_of_reach() {
        for keys_max in [0, 1, 8, 15, 16, 511, 512, 520, 1_000, 65_536] {
            let table = Table::new(keys_max);
            assert_eq!(table.keys_max(), (keys_max / 8).max(1) * 8);
            for tag in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                table.with(tag, |slot| *slot.tat_us = 1);
            }
        }
    }

    #[test]
    fn ten_million_random_keys_take_no_more_memory_and_a_heavy_key_stays_limited() {
        let rate = Rate::per_second(10, 20).unwrap();
        let table = Table::new(100_000);
        let bytes = table.bytes();
        let heavy = hash().tag(1, b"heavy");
        let (mut passed, mut now_us) = (0u32, 0u64);
        for n in 0..10_000_000u64 {
            // A cheap stand-in for a keyed hash: an odd multiplier permutes all 64-bit numbers.
            let tag = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            request(&table, &rate, tag, now_us);
            now_us += 1;
            if n % 1_000 == 0 {
                passed += u32::from(request(&table, &rate, heavy, now_us));
            }
        }
        // In 10 s: the burst of 20 and 10 a second after it.
        assert!((119..=121).contains(&passed), "{passed}");
        assert_eq!(table.bytes(), bytes);
        assert!(table.len() <= table.keys_max());
    }
}
