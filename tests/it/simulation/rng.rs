//! The one source of chance of a run: splitmix64 (Steele, Lea, Flood, 2014). Everything that happens in a
//! run follows from its seed.

use std::cell::Cell;

/// A small generator that is shared by reference: a run has one thread.
pub struct Rng(Cell<u64>);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of `low..=high`.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// An index into something that is `len` long.
    pub fn index(&self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in so many of a thousand cases. Draws nothing for 0, so that a fault that is off costs nothing.
    pub fn per_mille(&self, chance: u32) -> bool {
        chance > 0 && self.below(1_000) < u64::from(chance)
    }

    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// 16 bytes, such as an HMAC would give.
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes());
        bytes
    }
}
