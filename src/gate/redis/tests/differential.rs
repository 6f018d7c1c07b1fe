//! The Lua functions and the memory gate with its rates say the same over random sequences.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::{Connection, Value};

use super::super::calls::{self, Answer, Keys, Levelled, RateOf};
use super::library::SOURCE;
use super::*;
use crate::gate::memory::{MemoryGate, PENDING_LIFETIME_US};
use crate::gcra;

/// A time like today's, in microseconds: the arithmetic must be exact there.
const START_US: u64 = 1_790_000_000_000_000;

/// The library, but its time is the last argument, and levels do not expire while a test runs.
pub(super) fn source_with_given_time() -> String {
    let replaced = |source: String, line: &str, by: &str| {
        assert_eq!(source.matches(line).count(), 1, "{line}");
        source.replace(line, by)
    };
    let source = SOURCE.to_owned();
    let source = replaced(
        source,
        "local time = redis.call('TIME')",
        "local time = { 0, table.remove(args) }",
    );
    replaced(source, "local LEVEL_TTL_MS = 2000", "local LEVEL_TTL_MS = 3600000")
}

#[derive(Debug, Clone)]
enum Step {
    Admit {
        buyer: u32,
        address: Option<u64>,
        fingerprint: Option<u64>,
    },
    /// A level, older or newer than the last, and the buyers who are decided.
    Level {
        offset: u64,
        remaining: u32,
        decided: Vec<u32>,
    },
    /// Time passes; nodes level within a second of whatever happens.
    Pass {
        us: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let source = || prop::option::of(0u64..3);
    let admit = (0u32..6, source(), source())
        .prop_map(|(buyer, address, fingerprint)| Step::Admit { buyer, address, fingerprint });
    let level = (0u64..8, 0u32..5, prop::collection::vec(0u32..6, 0..4))
        .prop_map(|(offset, remaining, decided)| Step::Level { offset, remaining, decided });
    let pass = prop_oneof![
        Just(1),
        0u64..300_000,
        Just(100_000),
        Just(PENDING_LIFETIME_US - 1),
        Just(PENDING_LIFETIME_US),
        0u64..40_000_000,
    ]
    .prop_map(|us| Step::Pass { us });
    prop_oneof![6 => admit, 2 => level, 2 => pass]
}

fn rate() -> impl Strategy<Value = Option<Rate>> {
    let some = (prop::sample::select(vec![3, 10, 1_000, 10_000]), 1u32..4)
        .prop_map(|(per_second, burst)| Rate::per_second(per_second, burst));
    prop_oneof![1 => Just(None), 3 => some]
}

fn rates() -> impl Strategy<Value = Rates> {
    (rate(), rate(), rate(), rate()).prop_map(|(product, address, fingerprint, buyer)| Rates {
        product,
        address,
        fingerprint,
        buyer,
    })
}

/// What the design says, with the code that one node runs alone.
struct Model {
    rates: Rates,
    gate: MemoryGate,
    level: Option<(u64, u32)>,
    tats: HashMap<(char, u64), u64>,
    /// When undecided attempts stop counting: says which of its reasons the gate has for "busy".
    undecided: HashMap<u32, u64>,
}

impl Model {
    fn admit(&mut self, n: u32, origin: Origin, now_us: u64) -> Answer {
        self.undecided.retain(|_, expires_us| *expires_us > now_us);
        let here = self.gate.admit(&phone(), &buyer(n), now_us);
        let Some((_, remaining)) = self.level else {
            assert_eq!(here, Verdict::Busy);
            return Answer::Unlevelled;
        };
        if self.undecided.len() >= remaining as usize {
            assert_eq!(here, Verdict::Busy);
            return Answer::NoUnit;
        }
        let (over, charges) = self.check(n, origin, now_us);
        if let Some((of, retry_after_us)) = over {
            if here == Verdict::Go {
                self.gate.give_back(&phone(), &buyer(n));
            }
            return Answer::OverRate { of, retry_after_us };
        }
        if self.undecided.contains_key(&n) {
            assert_eq!(here, Verdict::Busy);
            return Answer::Undecided;
        }
        assert_eq!(here, Verdict::Go);
        self.tats.extend(charges);
        self.undecided.insert(n, now_us + PENDING_LIFETIME_US);
        Answer::Go
    }

    /// The rate that asks for the longest wait, if any; and what to charge if there is none.
    #[allow(clippy::type_complexity)]
    fn check(
        &self,
        n: u32,
        origin: Origin,
        now_us: u64,
    ) -> (Option<(RateOf, u64)>, Vec<((char, u64), u64)>) {
        let who = [
            (RateOf::Product, self.rates.product, Some(('p', 0))),
            (RateOf::Address, self.rates.address, origin.address.map(|n| ('a', n))),
            (RateOf::Fingerprint, self.rates.fingerprint, origin.fingerprint.map(|n| ('f', n))),
            (RateOf::Buyer, self.rates.buyer, Some(('b', u64::from(n)))),
        ];
        let mut over = None;
        let mut charges = Vec::new();
        for (of, rate, key) in who {
            let (Some(rate), Some(key)) = (rate, key) else {
                continue;
            };
            match gcra::check(&rate, self.tats.get(&key).copied().unwrap_or(0), now_us) {
                gcra::Check::Conforms { tat_us, .. } => charges.push((key, tat_us)),
                gcra::Check::Exceeds { retry_after_us } => {
                    if over.is_none_or(|(_, longest_us)| retry_after_us > longest_us) {
                        over = Some((of, retry_after_us));
                    }
                }
            }
        }
        (over, charges)
    }

    fn level(&mut self, offset: u64, remaining: u32, decided: &[u32], now_us: u64) -> Levelled {
        self.gate.level(&phone(), offset, remaining);
        let before = self.level.map(|_| self.hint());
        let counted = self.level.is_none_or(|(highest, _)| offset >= highest);
        if counted {
            self.level = Some((offset, remaining));
        }
        for n in decided {
            self.gate.settled(&[(phone(), buyer(*n))]);
            self.undecided.remove(n);
        }
        self.undecided.retain(|_, expires_us| *expires_us > now_us);
        Levelled { hint: self.hint(), before, counted }
    }

    fn hint(&self) -> u32 {
        self.level.map_or(0, |(_, left)| left.saturating_sub(self.undecided.len() as u32))
    }
}

/// The functions in Redis, at a time that is given.
pub(super) struct Lua {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    pub(super) rates: Rates,
}

impl Lua {
    pub(super) fn admit(&mut self, n: u32, origin: Origin, now_us: u64) -> Answer {
        let mut call = calls::admit(&self.keys, &self.rates, &buyer(n), origin);
        let value: Value = call.arg(now_us).query(&mut self.connection).unwrap();
        Answer::parse(&value).unwrap()
    }

    pub(super) fn level(
        &mut self,
        (offset, remaining): (u64, u32),
        decided: &[u32],
        now_us: u64,
    ) -> Levelled {
        let decided: Vec<_> = decided.iter().map(|n| buyer(*n)).collect();
        let mut call =
            calls::level(&self.keys, self.rates.longest_window_us(), offset, remaining, &decided);
        let value: Value = call.arg(now_us).query(&mut self.connection).unwrap();
        Levelled::parse(&value).unwrap()
    }
}

fn run(lua: &mut Lua, rates: Rates, steps: &[Step]) -> Result<(), TestCaseError> {
    redis::cmd("FLUSHALL").exec(&mut lua.connection).unwrap();
    lua.rates = rates;
    let mut model = Model {
        rates,
        gate: MemoryGate::new(None),
        level: None,
        tats: HashMap::new(),
        undecided: HashMap::new(),
    };
    let mut now_us = START_US;
    for step in steps {
        match step {
            Step::Admit { buyer, address, fingerprint } => {
                let origin = Origin { address: *address, fingerprint: *fingerprint };
                let expected = model.admit(*buyer, origin, now_us);
                prop_assert_eq!(lua.admit(*buyer, origin, now_us), expected, "{:?}", step);
            }
            Step::Level { offset, remaining, decided } => {
                let expected = model.level(*offset, *remaining, decided, now_us);
                let level = lua.level((*offset, *remaining), decided, now_us);
                prop_assert_eq!(level, expected, "{:?}", step);
            }
            Step::Pass { us } => {
                now_us += us;
                if let Some((offset, remaining)) = model.level {
                    let expected = model.level(offset, remaining, &[], now_us);
                    let level = lua.level((offset, remaining), &[], now_us);
                    prop_assert_eq!(level, expected, "{:?}", step);
                }
            }
        }
        let hint: Option<u32> =
            redis::cmd("GET").arg("product:{phone}:stock").query(&mut lua.connection).unwrap();
        prop_assert_eq!(hint, model.level.map(|_| model.hint()), "after {:?}", step);
    }
    Ok(())
}

#[test]
fn lua_and_memory_say_the_same() {
    let server = Server::bare();
    server.load(&source_with_given_time());
    let lua =
        Lua { connection: server.connection(), keys: Keys::new(&phone()), rates: Rates::default() };
    let lua = std::cell::RefCell::new(lua);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let sequences = (rates(), prop::collection::vec(step(), 1..60));
    runner
        .run(&sequences, |(rates, steps)| run(&mut lua.borrow_mut(), rates, &steps))
        .unwrap_or_else(|error| panic!("{error}"));
}
