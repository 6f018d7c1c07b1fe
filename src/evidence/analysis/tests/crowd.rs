//! A crowd that is made up: honest shoppers, and bots of each pattern, always the same ones.

use crate::evidence::analysis::patterns::Pattern;
use crate::evidence::{Mark, Series, Sighting, What};
use crate::sale::{BuyerRef, OrderId};

/// When the crowd's ten minutes begin, Unix milliseconds.
pub const BEGIN_MS: u64 = 1_764_000_000_000;
/// Honest shoppers.
pub const HONEST: usize = 200;
/// Bots of each pattern.
pub const BOTS: usize = 40;

/// Numbers that look random and are the same each time (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// The next one.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below this.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// A mark that nobody else has.
    pub fn mark(&mut self) -> Mark {
        Mark(self.roll())
    }
}

/// An accepted order of somebody, somewhere, at this time, with nothing in common with any other.
pub fn order(dice: &mut Dice, at_ms: u64) -> Sighting {
    let mut bytes = |purpose: u8| {
        let mut bytes = [purpose; 16];
        bytes[..8].copy_from_slice(&dice.roll().to_be_bytes());
        bytes
    };
    let (order_id, buyer) = (bytes(1), bytes(2));
    Sighting {
        at_ms,
        what: What::Accepted,
        weight: 1,
        product: Some("phone".parse().expect("a product id")),
        order_id: Some(OrderId::from_random_bytes(order_id)),
        buyer: Some(BuyerRef::from_bytes(buyer)),
        series: None,
        address: dice.mark(),
        network: dice.mark(),
        fingerprint: Some(dice.mark()),
    }
}

/// Shoppers over ten minutes: some households of two share an address, some neighbours a network, some send no
/// fingerprint, all have a number in a million, as a shop might count them.
pub fn honest(dice: &mut Dice) -> Vec<Sighting> {
    let stem = Mark(7);
    let mut all: Vec<Sighting> = Vec::new();
    for number in 0..HONEST {
        let at_ms = BEGIN_MS + dice.below(600_000);
        let mut one = order(dice, at_ms);
        one.series = Some(Series { stem, number: dice.below(1_000_000) });
        if number % 10 == 1 {
            let mate = &all[number - 1];
            (one.address, one.network) = (mate.address, mate.network);
        }
        if number % 15 >= 12 {
            one.network = all[number - number % 15].network;
        }
        if number % 20 == 3 {
            one.fingerprint = None;
        }
        all.push(one);
    }
    all
}

/// Bots that have what makes this pattern in common, and nothing else.
pub fn bots(dice: &mut Dice, pattern: Pattern) -> Vec<Sighting> {
    let (shared, at_ms) = (dice.mark(), BEGIN_MS + dice.below(500_000));
    let bot = |number: usize| {
        let later_ms = match pattern {
            // 40 orders, one each 50 ms.
            Pattern::Bursts => 50 * number as u64,
            _ => dice.below(90_000),
        };
        let mut bot = order(dice, at_ms + later_ms);
        match pattern {
            Pattern::Bursts | Pattern::OneNetwork => bot.network = shared,
            Pattern::SharedFingerprint => bot.fingerprint = Some(shared),
            Pattern::SharedAddress => bot.address = shared,
            Pattern::SequentialUsers => {
                let number = 5_000_000 + 3 * number as u64;
                bot.series = Some(Series { stem: shared, number });
            }
        }
        bot
    };
    (0..BOTS).map(bot).collect()
}
