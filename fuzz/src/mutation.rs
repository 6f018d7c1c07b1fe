//! Changes of seeds by a number: the same number is the same bytes in every run.

/// A seed with a few changes; the same number is the same bytes in every run.
pub fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    const DICTIONARY: [&[u8]; 24] = [
        b"\0",
        b"\n",
        b"\r\n",
        b"\"",
        b"\\u0000",
        b"\\ud800",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b".",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"4294967296",
        b"null",
        b"\xff",
        b"\xc0\x80",
        b"%00",
        b"\xe2\x80\x8b",
        b"=",
        b"::ffff:",
    ];
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => bytes.truncate(at),
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = DICTIONARY[random.below(DICTIONARY.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
    bytes
}

/// SplitMix64: small, seeded, good enough to choose bytes.
pub struct Random(pub u64);

impl Random {
    /// The next number below the limit, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
