//! Who sends what next: the choices of a thread's senders, all from one seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::plan::Kind;
use super::shot::{Shot, Trick};

/// Buyers of a thread that are set apart for its attackers: one floods, one forges.
const ATTACKERS: u64 = 2;

/// The choices of one thread.
#[derive(Debug)]
pub struct Senders {
    rng: StdRng,
    place: Place,
    tricks: &'static [Trick],
    honest_sent: u64,
    turn: u64,
    keys: u64,
    overheard: Option<Shot>,
}

/// Which thread of how many, and which buyers there are.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The thread, from 0.
    pub thread: u64,
    /// How many threads there are.
    pub threads: u64,
    /// How many buyers there are; `None` when there is always one more.
    pub buyers: Option<u64>,
    /// Whether buyers carry passes, which can be mixed up.
    pub passes: bool,
    /// Whether some of the buyers attack.
    pub attacked: bool,
}

impl Place {
    /// Honest buyers of all threads, if their number is limited.
    fn honest(&self) -> Option<u64> {
        let reserved = if self.attacked { ATTACKERS * self.threads } else { 0 };
        self.buyers.map(|buyers| if buyers > 2 * reserved { buyers - reserved } else { buyers })
    }

    /// How many distinct honest buyers have tried after `attempts` honest attempts.
    pub fn honest_buyers_after(&self, attempts: u64) -> u64 {
        self.honest().map_or(attempts, |honest| honest.min(attempts))
    }

    fn attacker(&self, number: u64) -> u64 {
        let from_the_end = 1 + ATTACKERS * self.thread + number;
        self.buyers.map_or(u64::MAX - from_the_end, |buyers| buyers.saturating_sub(from_the_end))
    }
}

const WITH_PASSES: &[Trick] = &[
    Trick::WrongSignature,
    Trick::TamperedBody,
    Trick::ForeignPass,
    Trick::ForeignUser,
    Trick::StaleTime,
];
const WITHOUT_PASSES: &[Trick] = &[Trick::WrongSignature, Trick::TamperedBody, Trick::StaleTime];

impl Senders {
    /// The senders of a thread.
    pub fn new(place: Place, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed.wrapping_add(place.thread));
        let tricks = if place.passes { WITH_PASSES } else { WITHOUT_PASSES };
        Self { rng, place, tricks, honest_sent: 0, turn: 0, keys: 0, overheard: None }
    }

    /// What a sender of this kind sends next.
    pub fn next(&mut self, kind: Kind) -> Shot {
        match kind {
            Kind::Honest => {
                let buyer = self.honest_buyer();
                self.fresh(Trick::Order, buyer)
            }
            Kind::Flood => self.fresh(Trick::Flood, self.place.attacker(0)),
            Kind::Forge => {
                self.turn += 1;
                let trick = self.tricks[(self.turn % self.tricks.len() as u64) as usize];
                self.fresh(trick, self.place.attacker(1))
            }
            Kind::Replay => self.replay(),
        }
    }

    /// An honest request was answered, and replaying senders have listened. Its time must be set.
    pub fn overhear(&mut self, shot: Shot) {
        self.overheard = Some(shot);
    }

    /// A number from 0 to `end` (not included), for choices and jitter.
    pub fn below(&mut self, end: u64) -> u64 {
        self.rng.random_range(0..end.max(1))
    }

    fn replay(&mut self) -> Shot {
        self.turn += 1;
        let Some(overheard) = self.overheard else {
            // Nobody was overheard yet: it begins with a request of its own.
            return self.fresh(Trick::ReplayVerbatim, self.place.attacker(1));
        };
        if self.turn.is_multiple_of(2) {
            Shot { trick: Trick::ReplayVerbatim, ..overheard }
        } else {
            let key_sent = self.fresh_key();
            Shot { trick: Trick::ReplayFreshKey, key_sent, ..overheard }
        }
    }

    /// Each buyer in turn, the threads side by side.
    fn honest_buyer(&mut self) -> u64 {
        let number = self.honest_sent * self.place.threads + self.place.thread;
        self.honest_sent += 1;
        self.place.honest().map_or(number, |honest| number % honest)
    }

    fn fresh(&mut self, trick: Trick, buyer: u64) -> Shot {
        let key = self.fresh_key();
        let honest = self.place.honest().unwrap_or(1_000_000);
        let victim = match self.below(honest) {
            same if same == buyer => same + 1,
            other => other,
        };
        Shot { trick, buyer, victim, key, key_sent: key, time_ms: None }
    }

    fn fresh_key(&mut self) -> u64 {
        self.keys += 1;
        (self.place.thread << 48) | self.keys
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn place(thread: u64, buyers: Option<u64>) -> Place {
        Place { thread, threads: 2, buyers, passes: true, attacked: true }
    }

    #[test]
    fn threads_share_the_buyers_and_never_a_key() {
        let mut senders = [0, 1].map(|thread| Senders::new(place(thread, Some(100)), 7));
        let mut buyers = HashSet::new();
        let mut keys = HashSet::new();
        for _ in 0..48 {
            for sender in &mut senders {
                let shot = sender.next(Kind::Honest);
                assert!(buyers.insert(shot.buyer), "each once before anyone a second time");
                assert!(keys.insert(shot.key));
                assert!(keys.insert(sender.next(Kind::Flood).key), "floods come with fresh keys");
            }
        }
        assert_eq!(buyers.len(), 96, "four are set apart for the attackers");
        assert!(!buyers.contains(&senders[0].next(Kind::Flood).buyer));
    }

    #[test]
    fn replays_repeat_what_was_overheard() {
        let mut senders = Senders::new(place(0, None), 7);
        let heard = Shot { time_ms: Some(5), ..senders.next(Kind::Honest) };
        senders.overhear(heard);
        let (one, two) = (senders.next(Kind::Replay), senders.next(Kind::Replay));
        let (fresh, verbatim) =
            if one.trick == Trick::ReplayFreshKey { (one, two) } else { (two, one) };
        assert_eq!(verbatim, Shot { trick: Trick::ReplayVerbatim, ..heard });
        assert_eq!(fresh.key, heard.key);
        assert_ne!(fresh.key_sent, heard.key);
    }

    #[test]
    fn forgers_use_every_trick_and_only_those_that_their_identity_allows() {
        let tricks = |passes| {
            let mut senders = Senders::new(Place { passes, ..place(0, Some(100)) }, 7);
            (0..20).map(|_| senders.next(Kind::Forge).trick).collect::<HashSet<_>>()
        };
        assert_eq!(tricks(true).len(), 5);
        assert_eq!(tricks(false).len(), 3);
        assert!(tricks(true).iter().all(|trick| trick.must_fail()));
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let run = || {
            let mut senders = Senders::new(place(1, Some(50)), 9);
            (0..30).map(|n| senders.next(Kind::ALL[n % 4])).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}
