//! What of many attempts is kept, and the counts of all of them; one for each thread that serves.
//!
//! Accepted orders are kept one by one. Of every other outcome the first [`KEPT_A_SECOND`] of a second are kept, then
//! each [`SAMPLED_OF`]th, which stands for so many. So a flood of one kind at 100,000 a second adds some 1,600 rows a
//! second and thread, and one that lasts a day is bounded by `evidence.rows_max`.

use super::{MinuteCount, What};
use crate::sale::ProductId;

/// Attempts of one kind that are kept in full, a second and thread.
pub const KEPT_A_SECOND: u32 = 32;
/// Of those beyond, one of so many is kept, and stands for all of them.
pub const SAMPLED_OF: u32 = 64;
/// Products that are told apart, a thread and minute; further ones are counted as none.
const PRODUCTS_MAX: usize = 256;
/// Counts of past minutes that wait to be taken, a thread; without anybody who takes them, the oldest go.
const CLOSED_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tally {
    second: u64,
    seen: [u32; What::COUNT],
    minute: u64,
    of_none: [u64; What::COUNT],
    of_products: Vec<(ProductId, [u64; What::COUNT])>,
    /// Where in `of_products` the last one was: mostly the next one is the same.
    last: usize,
    /// What was counted in minutes that are over, since it was taken the last time.
    closed: Vec<MinuteCount>,
}

impl Tally {
    /// Counts one attempt, and says for how many it is to be kept, if it is.
    pub(super) fn note(
        &mut self,
        at_ms: u64,
        what: What,
        product: Option<&ProductId>,
    ) -> Option<u32> {
        self.count(at_ms, what, product);
        if what == What::Accepted {
            return Some(1);
        }
        let seen = &mut self.seen[what as usize];
        *seen = seen.saturating_add(1);
        match seen.checked_sub(KEPT_A_SECOND) {
            None | Some(0) => Some(1),
            Some(beyond) => beyond.is_multiple_of(SAMPLED_OF).then_some(SAMPLED_OF),
        }
    }

    /// Counts one attempt.
    pub(super) fn count(&mut self, at_ms: u64, what: What, product: Option<&ProductId>) {
        let second = at_ms / 1_000;
        if second != self.second {
            self.turn(second);
        }
        let counts = match product {
            None => &mut self.of_none,
            Some(product) => self.of(product),
        };
        counts[what as usize] += 1;
    }

    /// Another second has begun; a clock that was set back makes one, too.
    #[cold]
    fn turn(&mut self, second: u64) {
        self.second = second;
        self.seen = [0; What::COUNT];
        if second / 60 != self.minute {
            self.close();
            self.minute = second / 60;
        }
    }

    /// The counts of a product.
    fn of(&mut self, product: &ProductId) -> &mut [u64; What::COUNT] {
        let known = match self.of_products.get(self.last) {
            Some((last, _)) if last == product => Some(self.last),
            _ => self.of_products.iter().position(|(known, _)| known == product),
        };
        match known {
            Some(index) => self.last = index,
            None if self.of_products.len() == PRODUCTS_MAX => return &mut self.of_none,
            None => {
                self.last = self.of_products.len();
                self.of_products.push((*product, [0; What::COUNT]));
            }
        }
        &mut self.of_products[self.last].1
    }

    /// Puts the counts of the minute aside.
    fn close(&mut self) {
        let minute_ms = self.minute * 60_000;
        let none = std::mem::take(&mut self.of_none);
        let all = std::iter::once((None, none))
            .chain(self.of_products.drain(..).map(|(product, counts)| (Some(product), counts)));
        for (product, counts) in all {
            for (what, count) in What::ALL.into_iter().zip(counts) {
                if count > 0 {
                    self.closed.push(MinuteCount { minute_ms, product, what, count });
                }
            }
        }
        let excess = self.closed.len().saturating_sub(CLOSED_MAX);
        self.closed.drain(..excess);
        self.last = 0;
    }

    /// All that was counted since the last time.
    pub(super) fn take(&mut self) -> Vec<MinuteCount> {
        self.close();
        std::mem::take(&mut self.closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(name: &str) -> ProductId {
        name.parse().unwrap()
    }

    /// Notes so many; the weights of those that are kept.
    fn kept(tally: &mut Tally, at_ms: u64, what: What, count: u32) -> Vec<u32> {
        (0..count).filter_map(|_| tally.note(at_ms, what, None)).collect()
    }

    #[test]
    fn every_accepted_order_is_kept_for_itself() {
        let mut tally = Tally::default();
        assert_eq!(kept(&mut tally, 1_000, What::Accepted, 10_000), vec![1; 10_000]);
    }

    #[test]
    fn of_others_the_first_of_a_second_are_kept_and_then_each_sixty_fourth() {
        let mut tally = Tally::default();
        assert_eq!(kept(&mut tally, 5_000, What::SoldOut, KEPT_A_SECOND), [1; 32]);
        assert!(kept(&mut tally, 5_500, What::SoldOut, SAMPLED_OF - 1).is_empty());
        assert_eq!(kept(&mut tally, 5_999, What::SoldOut, 1), [SAMPLED_OF]);
        assert!(kept(&mut tally, 5_999, What::SoldOut, SAMPLED_OF - 1).is_empty());
        assert_eq!(kept(&mut tally, 5_999, What::SoldOut, 1), [SAMPLED_OF]);
        // Another kind and another second have places of their own.
        assert_eq!(kept(&mut tally, 5_999, What::Busy, 40).len(), 32);
        assert_eq!(kept(&mut tally, 6_000, What::SoldOut, 40).len(), 32);
        // So has a second that comes again because the clock was set back.
        assert_eq!(kept(&mut tally, 5_000, What::SoldOut, 40).len(), 32);
        let all: u64 = tally.take().iter().map(|count| count.count).sum();
        assert_eq!(all, 32 + 2 * 64 + 3 * 40);
    }

    /// What is kept stands for what there was, but for less than [`SAMPLED_OF`] a second.
    #[test]
    fn the_weights_come_to_the_number() {
        for count in [0, 1, 31, 32, 33, 95, 96, 97, 1_000, 100_000] {
            let mut tally = Tally::default();
            let weight: u32 = kept(&mut tally, 1_000, What::Blocked, count).iter().sum();
            assert!(weight <= count && count - weight < SAMPLED_OF, "{count}: {weight}");
        }
    }

    #[test]
    fn all_are_counted_by_minute_product_and_outcome() {
        let mut tally = Tally::default();
        let (shoe, hat) = (product("shoe"), product("hat"));
        for (at_ms, of) in [(59_999, &shoe), (60_000, &shoe), (60_001, &hat), (119_999, &shoe)] {
            for _ in 0..100 {
                tally.note(at_ms, What::SoldOut, Some(of));
            }
        }
        tally.note(120_000, What::Blocked, None);
        let count =
            |minute_ms, product, what, count| MinuteCount { minute_ms, product, what, count };
        let expected = [
            count(0, Some(shoe), What::SoldOut, 100),
            count(60_000, Some(shoe), What::SoldOut, 200),
            count(60_000, Some(hat), What::SoldOut, 100),
            count(120_000, None, What::Blocked, 1),
        ];
        assert_eq!(tally.take(), expected);
        assert_eq!(tally.take(), []);
        tally.note(120_001, What::Blocked, None);
        assert_eq!(tally.take(), [count(120_000, None, What::Blocked, 1)]);
    }

    #[test]
    fn neither_products_nor_minutes_make_it_grow() {
        let mut tally = Tally::default();
        for n in 0..PRODUCTS_MAX + 10 {
            tally.note(0, What::SoldOut, Some(&product(&format!("p-{n}"))));
        }
        assert_eq!(tally.of_products.len(), PRODUCTS_MAX);
        assert_eq!(tally.of_none[What::SoldOut as usize], 10);
        for minute in 1..CLOSED_MAX as u64 + 100 {
            tally.note(minute * 60_000, What::Blocked, None);
        }
        let taken = tally.take();
        assert!(taken.len() <= CLOSED_MAX, "{}", taken.len());
        assert_eq!(taken.last().unwrap().minute_ms, (CLOSED_MAX as u64 + 99) * 60_000);
    }
}
