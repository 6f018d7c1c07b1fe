//! Random records through the book and through an oracle beside it, which is written from the words of
//! the protocol: lists, scans, no tables, nothing shared with the code under test but the types.
//!
//! Checked after each record: the same outcome, and rules 1, 3, 4 and 6 by the outcomes alone.

use std::collections::HashMap;

use proptest::prelude::*;

use super::record::{KeyFingerprints, RULES_VERSION};
use super::*;

const BUYERS: u8 = 4;

/// What may happen next; times in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) product: u8,
    /// The log's clock moves by so much, also backwards.
    pub(crate) clock_moves: i64,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Open { capacity: u32, limit: u32, window: u64, opens_in: u64, closes_in: Option<u64> },
    Propose { order: u8, generations_ago: u64, seconds_ago: u64 },
    Reverse { order: u8, restock: bool, frees_limit: bool },
    Capacity { to: CapacityTarget, operation: u8 },
    Schedule { opens_in: u64, closes_in: Option<u64>, operation: u8 },
    Pause { operation: u8 },
    Resume { operation: u8 },
    Archive { operation: u8 },
    Erase { buyer: u8, operation: Option<u8> },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let closes = || proptest::option::weighted(0.3, 1..100_u64);
    let target = prop_oneof![
        (0..8_u32).prop_map(CapacityTarget::Total),
        (0..4_u32).prop_map(CapacityTarget::Remaining),
    ];
    let what = prop_oneof![
        2 => (0..6_u32, 1..4_u32, 0..30_u64, 0..5_u64, closes()).prop_map(
            |(capacity, limit, window, opens_in, closes_in)| What::Open {
                capacity, limit, window, opens_in, closes_in
            }
        ),
        20 => (0..24_u8, 0..3_u64, 0..12_u64).prop_map(|(order, generations_ago, seconds_ago)| {
            // Most proposals are fresh.
            let generations_ago = generations_ago.saturating_sub(1);
            What::Propose { order, generations_ago, seconds_ago }
        }),
        4 => (0..24_u8, any::<bool>(), any::<bool>()).prop_map(|(order, restock, frees_limit)| {
            What::Reverse { order, restock, frees_limit }
        }),
        2 => (target, 0..12_u8).prop_map(|(to, operation)| What::Capacity { to, operation }),
        1 => (0..5_u64, closes(), 0..12_u8).prop_map(|(opens_in, closes_in, operation)| {
            What::Schedule { opens_in, closes_in, operation }
        }),
        1 => (0..12_u8).prop_map(|operation| What::Pause { operation }),
        2 => (0..12_u8).prop_map(|operation| What::Resume { operation }),
        1 => (0..60_u8).prop_map(|operation| What::Archive { operation }),
        1 => (0..BUYERS, proptest::option::of(0..12_u8))
            .prop_map(|(buyer, operation)| What::Erase { buyer, operation }),
    ];
    (0..2_u8, -2..6_i64, what).prop_map(|(product, clock_moves, what)| Step {
        product,
        clock_moves,
        what,
    })
}

fn order_id(n: u8) -> OrderId {
    OrderId::from_random_bytes([n; 16])
}

/// An order id is derived from its buyer, so each has one buyer.
fn buyer_of(order: u8) -> BuyerRef {
    BuyerRef::from_bytes([order % BUYERS; 16])
}

fn operation(n: u8) -> OperationId {
    format!("op-{n}").parse().unwrap()
}

impl What {
    pub(crate) fn record(&self, now_ms: u64, log_time_ms: u64, generation: u64) -> Record {
        let at = |seconds: u64| now_ms + seconds * 1_000;
        match *self {
            Self::Open { capacity, limit, window, opens_in, closes_in } => {
                Record::SaleOpened(SaleOpened {
                    capacity,
                    per_buyer_limit: limit,
                    repeat_window_ms: window * 1_000,
                    opens_at_ms: at(opens_in),
                    closes_at_ms: closes_in.map(at),
                    key_fingerprints: KeyFingerprints::default(),
                    rules_version: RULES_VERSION,
                    operation: None,
                })
            }
            Self::Propose { order, generations_ago, seconds_ago } => {
                Record::OrderProposed(OrderProposed {
                    order_id: order_id(order),
                    buyer: buyer_of(order),
                    sealed_user: None,
                    at_ms: log_time_ms - seconds_ago * 1_000,
                    generation: generation.saturating_sub(generations_ago),
                })
            }
            Self::Reverse { order, restock, frees_limit } => Record::OrderReversed {
                order_id: order_id(order),
                restock,
                frees_limit,
                reason: String::new(),
            },
            Self::Capacity { to, operation: n } => {
                Record::CapacityChanged { to, operation: operation(n) }
            }
            Self::Schedule { opens_in, closes_in, operation: n } => Record::ScheduleChanged {
                opens_at_ms: at(opens_in),
                closes_at_ms: closes_in.map(at),
                operation: operation(n),
            },
            Self::Pause { operation: n } => Record::SalePaused { operation: operation(n) },
            Self::Resume { operation: n } => Record::SaleResumed { operation: operation(n) },
            Self::Archive { operation: n } => Record::SaleArchived { operation: operation(n) },
            Self::Erase { buyer, operation: n } => {
                Record::SubjectErased { buyer: buyer_of(buyer), operation: n.map(operation) }
            }
        }
    }
}

/// One product as the protocol's words have it.
#[derive(Default)]
struct Oracle {
    terms: Option<SaleOpened>,
    time: u64,
    capacity: u32,
    opens: u64,
    closes: Option<u64>,
    paused: bool,
    archived: bool,
    generation: u64,
    orders: Vec<OracleOrder>,
    operations: Vec<OperationId>,
}

struct OracleOrder {
    id: OrderId,
    buyer: BuyerRef,
    at: u64,
    reversed: bool,
    counts: bool,
}

impl Oracle {
    fn sold(&self) -> u32 {
        self.orders.iter().filter(|order| !order.reversed).count() as u32
    }

    /// The name of the outcome.
    fn apply(&mut self, appended_at_ms: u64, record: &Record) -> &'static str {
        let Some(terms) = self.terms.clone() else {
            return match record {
                Record::SaleOpened(terms) => {
                    self.time = appended_at_ms;
                    (self.capacity, self.opens) = (terms.capacity, terms.opens_at_ms);
                    self.closes = terms.closes_at_ms;
                    self.terms = Some(terms.clone());
                    "applied"
                }
                Record::OrderProposed(_) => "closed",
                Record::Control(_) => "ignored_other_key",
                _ => "ignored_unknown_product",
            };
        };
        self.time = self.time.max(appended_at_ms);
        match record {
            Record::SaleOpened(_) => "ignored_already_opened",
            Record::Control(_) => "ignored_other_key",
            Record::SubjectErased { operation: None, .. } => "applied",
            Record::SubjectErased { operation: Some(operation), .. } => {
                if self.operations.contains(operation) {
                    "ignored_already_applied"
                } else {
                    self.operations.push(*operation);
                    "applied"
                }
            }
            Record::OrderProposed(proposal) => self.propose(&terms, proposal),
            Record::OrderReversed { order_id, restock, frees_limit, .. } => {
                self.reverse(order_id, *restock, *frees_limit)
            }
            Record::CapacityChanged { operation, .. }
            | Record::ScheduleChanged { operation, .. }
            | Record::SalePaused { operation }
            | Record::SaleResumed { operation }
            | Record::SaleArchived { operation } => {
                if self.operations.contains(operation) {
                    "ignored_already_applied"
                } else if self.archived {
                    "ignored_archived"
                } else if self.change(record) {
                    self.operations.push(*operation);
                    "applied"
                } else {
                    "ignored_no_change"
                }
            }
        }
    }

    fn propose(&mut self, terms: &SaleOpened, proposal: &OrderProposed) -> &'static str {
        let in_memory = !self.archived;
        let by_buyer = || self.orders.iter().filter(|order| order.buyer == proposal.buyer);
        if in_memory && self.orders.iter().any(|order| order.id == proposal.order_id) {
            "duplicate_same_key"
        } else if self.archived || self.closes.is_some_and(|closes| self.time >= closes) {
            "closed"
        } else if self.time < self.opens {
            "not_open"
        } else if self.paused {
            "paused"
        } else if by_buyer()
            .any(|order| !order.reversed && self.time < order.at + terms.repeat_window_ms)
        {
            "duplicate_repeat_window"
        } else if by_buyer().filter(|order| order.counts).count() as u32 >= terms.per_buyer_limit {
            "limit_reached"
        } else if self.sold() >= self.capacity {
            "sold_out"
        } else if proposal.generation != self.generation
            || self.time > proposal.at_ms + 10_000
            || by_buyer().any(|order| {
                !order.reversed && proposal.at_ms.saturating_sub(order.at) < terms.repeat_window_ms
            })
        {
            "stale"
        } else {
            self.orders.push(OracleOrder {
                id: proposal.order_id,
                buyer: proposal.buyer,
                at: self.time,
                reversed: false,
                counts: true,
            });
            "confirmed"
        }
    }

    fn reverse(&mut self, id: &OrderId, restock: bool, frees_limit: bool) -> &'static str {
        if self.archived {
            return "ignored_archived";
        }
        let Some(order) = self.orders.iter_mut().find(|order| order.id == *id) else {
            return "ignored_unknown_order";
        };
        if order.reversed {
            return "ignored_already_reversed";
        }
        order.reversed = true;
        order.counts = !frees_limit;
        self.capacity -= u32::from(!restock);
        self.generation += 1;
        "applied"
    }

    /// Returns whether it is a change.
    fn change(&mut self, record: &Record) -> bool {
        match record {
            Record::CapacityChanged { to, .. } => {
                let before = self.capacity;
                self.capacity = match to {
                    CapacityTarget::Total(units) => self.sold().max(*units),
                    CapacityTarget::Remaining(units) => self.sold() + units,
                };
                self.generation += u64::from(self.capacity > before);
                true
            }
            Record::ScheduleChanged { opens_at_ms, closes_at_ms, .. } => {
                (self.opens, self.closes) = (*opens_at_ms, *closes_at_ms);
                self.generation += 1;
                true
            }
            Record::SalePaused { .. } => !std::mem::replace(&mut self.paused, true),
            Record::SaleResumed { .. } => {
                let changed = std::mem::replace(&mut self.paused, false);
                self.generation += u64::from(changed);
                changed
            }
            _ => {
                self.archived = true;
                true
            }
        }
    }
}

/// The rules, by what was said of each record.
#[derive(Default)]
struct Rules {
    paused: bool,
    confirmed: Vec<OrderId>,
    /// The generation as of the last refusal of each order id that a later change must outdate.
    refused: HashMap<OrderId, u64>,
}

impl Rules {
    fn check(&mut self, record: &Record, outcome: Outcome, state: &SaleState) {
        assert!(state.sold() <= state.terms().capacity, "rule 1");
        match (record, outcome) {
            (Record::SalePaused { .. }, Outcome::Applied) => self.paused = true,
            (Record::SaleResumed { .. }, Outcome::Applied) => self.paused = false,
            (Record::OrderProposed(proposal), Outcome::Confirmed) => {
                assert!(!self.paused, "rule 6");
                assert!(!self.confirmed.contains(&proposal.order_id), "rule 3");
                self.confirmed.push(proposal.order_id);
                let refused = self.refused.get(&proposal.order_id);
                assert!(refused.is_none_or(|at| proposal.generation > *at), "rule 4");
                self.check_limit(&proposal.buyer, state);
            }
            (
                Record::OrderProposed(proposal),
                Outcome::SoldOut | Outcome::LimitReached | Outcome::Paused,
            ) => {
                self.refused.insert(proposal.order_id, state.generation());
            }
            _ => {}
        }
    }

    fn check_limit(&self, buyer: &BuyerRef, state: &SaleState) {
        let standing = self.confirmed.iter().filter_map(|id| state.order(id));
        let standing = standing
            .filter(|order| order.buyer == *buyer && order.status == OrderStatus::Confirmed)
            .count();
        assert!(standing as u32 <= state.terms().per_buyer_limit, "rule 1, per buyer");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_book_agrees_with_the_words_of_the_protocol(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        let mut book = Book::default();
        let mut oracles: [Oracle; 2] = Default::default();
        let mut rules: [Rules; 2] = Default::default();
        let mut now_ms = 1_000_000_u64;
        for (index, step) in steps.iter().enumerate() {
            now_ms = now_ms.saturating_add_signed(step.clock_moves * 1_000);
            let oracle = &mut oracles[usize::from(step.product)];
            let log_time_ms = oracle.time.max(now_ms);
            let record = step.what.record(now_ms, log_time_ms, oracle.generation);
            let product: ProductId = format!("p-{}", step.product).parse().unwrap();
            let offset = index as u64 + 1;
            let entry = LogEntry { offset, appended_at_ms: now_ms, product, record };
            let outcome = book.apply(&entry);
            prop_assert_eq!(outcome.name(), oracle.apply(now_ms, &entry.record), "step {}", index);
            if let Some(state) = book.get(&product) {
                // A state that was kept and restored is the state: it goes on in its place.
                let restored = SaleState::restore(state.snapshot()).unwrap();
                prop_assert_eq!(restored.snapshot(), state.snapshot());
                book.insert(product, restored);
            }
            if let Some(state) = book.get(&product) {
                prop_assert_eq!(state.sold(), oracle.sold());
                prop_assert_eq!(state.terms().capacity, oracle.capacity);
                prop_assert_eq!(state.generation(), oracle.generation);
                prop_assert_eq!(state.log_time_ms(), oracle.time);
                rules[usize::from(step.product)].check(&entry.record, outcome, state);
            }
        }
    }
}
