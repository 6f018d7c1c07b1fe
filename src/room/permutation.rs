//! A keyed permutation of 0..n: whoever knows key and n computes any place in either direction, without a table.
//!
//! A Feistel network (as in NIST SP 800-38G's FF1: ten rounds over two halves) permutes the numbers of
//! 2·h bits, where h is the least number, 4 at least, for which 2^(2h) ≥ n. What comes out at n or above is
//! put in again until it is below n ("cycle walking"), which makes it a permutation of 0..n: the inverse walks
//! the same cycle backwards. With a half of 4 bits at least, small draws walk far and are well mixed.
//!
//! Round r replaces (L, R) by (R, L xor F(r, R)), with F(r, R) = the low h bits of the first 4 bytes (big endian) of
//! SHA-256(key (32 bytes) ‖ r (1 byte) ‖ n (4 bytes, big endian) ‖ R (4 bytes, big endian)).
//! A number x is L·2^h + R. Anybody can write this anew from these lines.

use crate::chain::sha256;

const ROUNDS: u8 = 10;
const HALF_BITS_MIN: u32 = 4;

/// A permutation of `0..n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    key: [u8; 32],
    n: u32,
    half_bits: u32,
}

impl Permutation {
    /// That of this key over `0..n`.
    pub fn new(key: [u8; 32], n: u32) -> Self {
        let bits = u32::BITS - n.saturating_sub(1).leading_zeros();
        Self { key, n, half_bits: bits.div_ceil(2).max(HALF_BITS_MIN) }
    }

    /// The place of a number; `None` at n or above. Walks fewer than four times on average (256/n times for n
    /// below 64), some 300 ns each.
    pub fn place(&self, number: u32) -> Option<u32> {
        self.walk(number, |x| (0..ROUNDS).fold(x, |x, round| self.forward(x, round)))
    }

    /// The number at a place: the inverse.
    pub fn number(&self, place: u32) -> Option<u32> {
        self.walk(place, |x| (0..ROUNDS).rev().fold(x, |x, round| self.backward(x, round)))
    }

    fn walk(&self, from: u32, step: impl Fn(u64) -> u64) -> Option<u32> {
        if from >= self.n {
            return None;
        }
        let mut x = u64::from(from);
        loop {
            x = step(x);
            if x < u64::from(self.n) {
                return u32::try_from(x).ok();
            }
        }
    }

    fn forward(&self, x: u64, round: u8) -> u64 {
        let (left, right) = self.halves(x);
        self.join(right, left ^ self.round(round, right))
    }

    fn backward(&self, x: u64, round: u8) -> u64 {
        let (left, right) = self.halves(x);
        self.join(right ^ self.round(round, left), left)
    }

    fn halves(&self, x: u64) -> (u32, u32) {
        ((x >> self.half_bits) as u32, (x & ((1 << self.half_bits) - 1)) as u32)
    }

    fn join(&self, left: u32, right: u32) -> u64 {
        u64::from(left) << self.half_bits | u64::from(right)
    }

    fn round(&self, round: u8, half: u32) -> u32 {
        let mut input = [0; 32 + 1 + 4 + 4];
        input[..32].copy_from_slice(&self.key);
        input[32] = round;
        input[33..37].copy_from_slice(&self.n.to_be_bytes());
        input[37..].copy_from_slice(&half.to_be_bytes());
        let [a, b, c, d, ..] = sha256(&input);
        u32::from_be_bytes([a, b, c, d]) & ((1 << self.half_bits) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> [u8; 32] {
        sha256(&number.to_be_bytes())
    }

    proptest::proptest! {
        #[test]
        fn every_place_is_had_by_one_number_and_found_back(seed: u64, n in 0_u32..2_000) {
            let permutation = Permutation::new(key(seed), n);
            let mut had = vec![false; n as usize];
            for number in 0..n {
                let place = permutation.place(number).unwrap();
                proptest::prop_assert!(!std::mem::replace(&mut had[place as usize], true));
                proptest::prop_assert_eq!(permutation.number(place), Some(number));
            }
            proptest::prop_assert_eq!(permutation.place(n), None);
        }

        #[test]
        fn the_largest_can_be_permuted(seed: u64, number: u32) {
            let permutation = Permutation::new(key(seed), u32::MAX);
            let place = permutation.place(number.min(u32::MAX - 1)).unwrap();
            proptest::prop_assert_eq!(permutation.number(place), Some(number.min(u32::MAX - 1)));
        }
    }

    /// Over fixed keys, so it either always passes or never does. 99.9 % quantiles of the chi-square
    /// distribution.
    #[test]
    fn places_are_uniform() {
        const KEYS: u64 = 4_000;
        for (n, quantile) in [(2_u32, 10.83), (3, 13.82), (10, 27.88), (50, 85.35), (300, 381.4)] {
            for number in [0, n / 2, n - 1] {
                let mut counts = vec![0_u64; n as usize];
                for seed in 0..KEYS {
                    counts[Permutation::new(key(seed), n).place(number).unwrap() as usize] += 1;
                }
                let expected = KEYS as f64 / f64::from(n);
                let chi: f64 =
                    counts.iter().map(|c| (*c as f64 - expected).powi(2) / expected).sum();
                assert!(chi < quantile, "number {number} of {n}: chi-square {chi:.1}");
            }
        }
    }

    /// Two numbers must not keep their distance or their order: all 6 orders of 3, and all ordered pairs of
    /// places of 2 of 5, are as frequent.
    #[test]
    fn orders_are_uniform() {
        let mut orders = std::collections::HashMap::<[u32; 3], u64>::new();
        let mut pairs = std::collections::HashMap::<[u32; 2], u64>::new();
        for seed in 0..6_000 {
            let (three, five) = (Permutation::new(key(seed), 3), Permutation::new(key(seed), 5));
            *orders.entry([0, 1, 2].map(|n| three.place(n).unwrap())).or_default() += 1;
            *pairs.entry([1, 2].map(|n| five.place(n).unwrap())).or_default() += 1;
        }
        let chi = |counts: Vec<u64>, cells: f64| -> f64 {
            assert_eq!(counts.len() as f64, cells);
            let expected = 6_000.0 / cells;
            counts.into_iter().map(|c| (c as f64 - expected).powi(2) / expected).sum()
        };
        let (of_orders, of_pairs) =
            (chi(orders.into_values().collect(), 6.0), chi(pairs.into_values().collect(), 20.0));
        assert!(of_orders < 20.52 && of_pairs < 43.82, "{of_orders:.1} {of_pairs:.1}");
    }

    /// Pinned, and the same as a program in another language has made of the description above: a draw that was
    /// made once must verify for ever.
    #[test]
    fn it_stays_as_it_is() {
        let places = |n: u32| -> Vec<u32> {
            let permutation = Permutation::new(key(1), n);
            (0..n.min(10)).map(|number| permutation.place(number).unwrap()).collect()
        };
        assert_eq!(
            (places(1), places(10), places(100_000)),
            (vec![0], PINNED_10.into(), PINNED_100_000.into())
        );
    }

    const PINNED_10: [u32; 10] = [5, 9, 6, 7, 4, 1, 0, 8, 2, 3];
    const PINNED_100_000: [u32; 10] =
        [58995, 73908, 54265, 81762, 52626, 34666, 27139, 55241, 51256, 95391];
}
