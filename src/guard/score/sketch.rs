//! How many different ones: linear counting in a few bits of a word.
//!
//! Each one sets the bit that its hash chooses; of `m` bits with `z` still unset about `m·ln(m/z)` different
//! ones came. The standard error of 40 bits is 12 % at 16, 13 % at 32 and 23 % at 100, and 148 is the most
//! that they can tell from "all"; 32 bits: 14 % at 16; 16 bits: 19 % at 8, and 44 is the most; 8 bits: of up to
//! 3 mostly exact, and 17 the most. Nobody who does not know the key of the hash can choose their bit; the
//! kinds of headers have no key, and whoever makes two kinds share a bit could as well send one kind.

/// A field of a word that counts different ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sketch {
    /// Its lowest bit.
    pub shift: u32,
    /// Its bits: 8, 16, 32 or 40.
    pub bits: u32,
}

impl Sketch {
    /// The word with this one counted.
    pub fn with(self, word: u64, hash: u64) -> u64 {
        // The hash's share of the bits.
        let bit = ((hash >> 32) * u64::from(self.bits)) >> 32;
        word | (1 << (self.shift + bit as u32))
    }

    /// How many different ones were counted, about.
    pub fn count(self, word: u64) -> u16 {
        let mask = (1 << self.bits) - 1;
        let set = ((word >> self.shift) & mask).count_ones() as usize;
        match self.bits {
            8 => OF_8[set],
            16 => OF_16[set],
            32 => OF_32[set],
            _ => OF_40[set.min(40)],
        }
    }
}

// For all bits set, half a bit is taken to be left.
const OF_8: [u16; 9] = [0, 1, 2, 4, 6, 8, 11, 17, 22];
const OF_16: [u16; 17] = [0, 1, 2, 3, 5, 6, 8, 9, 11, 13, 16, 19, 22, 27, 33, 44, 55];
const OF_32: [u16; 33] = [
    0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 17, 18, 20, 22, 24, 26, 29, 31, 34, 37, 41, 44, 49,
    54, 59, 67, 76, 89, 111, 133,
];
const OF_40: [u16; 41] = [
    0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 16, 17, 19, 20, 22, 24, 26, 28, 30, 32, 34, 37, 39,
    42, 45, 48, 52, 55, 60, 64, 70, 76, 83, 92, 104, 120, 148, 175,
];

/// Spreads the bits of a number that is not random.
pub(super) fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ (number >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_linear_counting() {
        let tables: [&[u16]; 4] = [&OF_8, &OF_16, &OF_32, &OF_40];
        for table in tables {
            let bits = (table.len() - 1) as f64;
            for (set, count) in table.iter().enumerate() {
                let unset = (bits - set as f64).max(0.5);
                let expected = (bits * (bits / unset).ln()).round();
                assert_eq!(f64::from(*count), expected, "{set} of {bits}");
            }
        }
    }

    #[test]
    fn the_error_is_what_is_said() {
        for (bits, count, error_max) in
            [(40, 16, 0.13), (40, 32, 0.14), (40, 100, 0.24), (32, 16, 0.15), (16, 8, 0.21)]
        {
            let sketch = Sketch { shift: 3, bits };
            let mut squares = 0.0;
            for run in 0..1_000u64 {
                let word =
                    (0..count).fold(0, |word, n| sketch.with(word, mixed((run << 32) | (n + 1))));
                let told = f64::from(sketch.count(word));
                squares += ((told - count as f64) / count as f64).powi(2);
                assert_eq!(word & 7, 0, "nothing beside the field is touched");
                assert_eq!(word >> (3 + bits), 0, "nothing beside the field is touched");
            }
            let error = (squares / 1_000.0).sqrt();
            assert!(error <= error_max, "{bits} bits at {count}: {error}");
        }
    }

    #[test]
    fn the_same_one_again_is_no_other_one() {
        let sketch = Sketch { shift: 24, bits: 40 };
        let word = (0..1_000).fold(0, |word, _| sketch.with(word, mixed(7)));
        assert_eq!(sketch.count(word), 1);
        assert_eq!(sketch.count(u64::MAX), 175);
        assert_eq!(sketch.with(0, u64::MAX), 1 << 63, "the last bit is of the field");
    }
}
