//! The rules of `apply`, one by one.

use super::*;
use crate::sale::record::{KeyFingerprints, RULES_VERSION};

fn id(n: u8) -> OrderId {
    OrderId::from_random_bytes([n; 16])
}

fn buyer(n: u8) -> BuyerRef {
    BuyerRef::from_bytes([n; 16])
}

fn operation(name: &str) -> OperationId {
    name.parse().unwrap()
}

fn terms(capacity: u32) -> SaleOpened {
    SaleOpened {
        capacity,
        per_buyer_limit: 1,
        repeat_window_ms: 60_000,
        opens_at_ms: 1_000,
        closes_at_ms: Some(1_000_000),
        key_fingerprints: KeyFingerprints::default(),
        rules_version: RULES_VERSION,
        operation: Some(operation("opening")),
    }
}

/// A state with a running offset, so that a test reads as a list of records.
struct Sale {
    state: SaleState,
    offset: u64,
    now_ms: u64,
}

impl Sale {
    fn open(terms: SaleOpened) -> Self {
        Self { state: SaleState::open(terms, 1, 0), offset: 1, now_ms: 1_000 }
    }

    fn apply(&mut self, record: Record) -> Outcome {
        self.offset += 1;
        self.state.apply(self.offset, self.now_ms, &record)
    }

    fn propose(&mut self, order: u8, by: u8) -> Outcome {
        let (at_ms, generation) = (self.state.log_time_at(self.now_ms), self.state.generation());
        self.propose_as_of(order, by, at_ms, generation)
    }

    fn propose_as_of(&mut self, order: u8, by: u8, at_ms: u64, generation: u64) -> Outcome {
        self.apply(Record::OrderProposed(OrderProposed {
            order_id: id(order),
            buyer: buyer(by),
            sealed_user: None,
            at_ms,
            generation,
        }))
    }

    fn reverse(&mut self, order: u8, restock: bool, frees_limit: bool) -> Outcome {
        let reason = "payment failed".to_owned();
        self.apply(Record::OrderReversed { order_id: id(order), restock, frees_limit, reason })
    }
}

fn same_key(order: u8, reversed: bool) -> Outcome {
    let reason = DuplicateReason::SameKey;
    Outcome::Duplicate(Duplicate { order_id: id(order), reason, reversed })
}

fn repeat(order: u8) -> Outcome {
    let reason = DuplicateReason::RepeatWindow;
    Outcome::Duplicate(Duplicate { order_id: id(order), reason, reversed: false })
}

#[test]
fn rule_1_sells_exactly_the_capacity() {
    let mut sale = Sale::open(terms(2));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    assert_eq!(sale.propose(2, 2), Outcome::Confirmed);
    assert_eq!(sale.propose(3, 3), Outcome::SoldOut);
    assert_eq!((sale.state.sold(), sale.state.remaining()), (2, 0));
}

#[test]
fn rule_3_the_same_order_id_is_one_order_for_ever() {
    let mut sale = Sale::open(terms(2));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    assert_eq!(sale.propose(1, 1), same_key(1, false));
    sale.now_ms = 2_000_000; // long after the close
    assert_eq!(sale.propose(1, 1), same_key(1, false));
    assert_eq!(sale.state.sold(), 1);
}

#[test]
fn the_repeat_window_slides_and_ends_at_its_edge() {
    let mut sale = Sale::open(SaleOpened { per_buyer_limit: 2, ..terms(9) });
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    sale.now_ms += 59_999;
    assert_eq!(sale.propose(2, 1), repeat(1));
    sale.now_ms += 1;
    assert_eq!(sale.propose(2, 1), Outcome::Confirmed);
    sale.now_ms += 60_000;
    assert_eq!(sale.propose(3, 1), Outcome::LimitReached);
}

#[test]
fn rule_4_a_repeat_that_outlasts_its_window_on_the_way_is_stale() {
    let mut sale = Sale::open(SaleOpened { per_buyer_limit: 2, repeat_window_ms: 500, ..terms(9) });
    let sent_ms = sale.now_ms;
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    // Sent under another key before order 1 was known; a retry was answered "duplicate" meanwhile.
    assert_eq!(sale.state.refusal(id(2), buyer(1), sale.now_ms + 1), Some(repeat(1)));
    sale.now_ms += 500;
    assert_eq!(sale.propose_as_of(2, 1, sent_ms, 0), Outcome::Stale);
    assert_eq!(sale.propose(2, 1), Outcome::Confirmed);
}

#[test]
fn opening_and_closing_go_by_log_time_at_their_edges() {
    let mut sale = Sale::open(terms(9));
    sale.now_ms = 999;
    assert_eq!(sale.propose(1, 1), Outcome::NotOpen { opens_at_ms: 1_000 });
    sale.now_ms = 1_000;
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    sale.now_ms = 999_999;
    assert_eq!(sale.propose(2, 2), Outcome::Confirmed);
    sale.now_ms = 1_000_000;
    assert_eq!(sale.propose(3, 3), Outcome::Closed);
    sale.now_ms = 5; // the log's clock was set back: log time does not follow
    assert_eq!(sale.propose(4, 4), Outcome::Closed);
    assert_eq!(sale.state.log_time_ms(), 1_000_000);
}

#[test]
fn rule_6_a_pause_confirms_nothing_and_keeps_the_count() {
    let mut sale = Sale::open(terms(2));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    let before = sale.state.generation();
    assert_eq!(sale.apply(Record::SalePaused { operation: operation("p") }), Outcome::Applied);
    assert_eq!(sale.propose(2, 2), Outcome::Paused);
    assert_eq!(sale.state.sold(), 1);
    assert_eq!(
        sale.apply(Record::SalePaused { operation: operation("p2") }),
        Outcome::Ignored(Ignored::NoChange)
    );
    assert_eq!(sale.apply(Record::SaleResumed { operation: operation("r") }), Outcome::Applied);
    // Proposed before the resume, so its sender may have been told "paused" since.
    assert_eq!(sale.propose_as_of(2, 2, 1_000, before), Outcome::Stale);
    assert_eq!(sale.propose(2, 2), Outcome::Confirmed);
}

#[test]
fn rule_4_a_proposal_is_stale_after_ten_seconds_of_log_time() {
    let mut sale = Sale::open(terms(2));
    sale.now_ms = 21_000;
    assert_eq!(sale.propose_as_of(1, 1, 10_999, 0), Outcome::Stale);
    assert_eq!(sale.propose_as_of(1, 1, 11_000, 0), Outcome::Confirmed);
}

#[test]
fn refusals_keep_their_order() {
    let mut sale = Sale::open(terms(1));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    // Same buyer, sold out, stale at once: the repeat window speaks first.
    assert_eq!(sale.propose_as_of(2, 1, 0, 7), repeat(1));
    sale.now_ms += 60_000;
    assert_eq!(sale.propose_as_of(2, 1, 0, 7), Outcome::LimitReached);
    assert_eq!(sale.propose_as_of(2, 2, 0, 7), Outcome::SoldOut);
    sale.apply(Record::SalePaused { operation: operation("p") });
    assert_eq!(sale.propose_as_of(2, 1, 0, 7), Outcome::Paused);
    sale.now_ms = 1_000_000;
    assert_eq!(sale.propose_as_of(2, 1, 0, 7), Outcome::Closed);
    assert_eq!(sale.propose_as_of(1, 1, 0, 7), same_key(1, false));
}

#[test]
fn a_reversal_with_restock_gives_the_unit_back_once() {
    let mut sale = Sale::open(terms(1));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    assert_eq!(sale.reverse(1, true, true), Outcome::Applied);
    assert_eq!(sale.reverse(1, true, true), Outcome::Ignored(Ignored::AlreadyReversed));
    assert_eq!(sale.reverse(9, true, true), Outcome::Ignored(Ignored::UnknownOrder));
    assert_eq!((sale.state.sold(), sale.state.remaining()), (0, 1));
    assert_eq!(sale.propose(1, 1), same_key(1, true));
    assert_eq!(sale.propose(2, 1), Outcome::Confirmed, "out of the window and of the limit");
}

#[test]
fn a_reversal_without_restock_takes_the_capacity_down() {
    let mut sale = Sale::open(terms(2));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    assert_eq!(sale.propose(2, 2), Outcome::Confirmed);
    assert_eq!(sale.reverse(1, false, false), Outcome::Applied);
    assert_eq!((sale.state.sold(), sale.state.terms().capacity), (1, 1));
    assert_eq!(sale.propose(3, 3), Outcome::SoldOut);
    assert_eq!(sale.propose(4, 1), Outcome::LimitReached, "the limit was not freed");
}

#[test]
fn a_reversed_order_in_between_does_not_hide_the_one_before() {
    let mut sale = Sale::open(SaleOpened { per_buyer_limit: 9, repeat_window_ms: 100, ..terms(9) });
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    sale.now_ms += 100;
    assert_eq!(sale.propose(2, 1), Outcome::Confirmed);
    assert_eq!(sale.reverse(2, true, true), Outcome::Applied);
    assert_eq!(sale.propose(3, 1), Outcome::Confirmed, "order 1 is out of the window");
    assert_eq!(sale.reverse(3, true, true), Outcome::Applied);
    sale.now_ms -= 1;
    assert_eq!(sale.propose(4, 1), Outcome::Confirmed, "log time did not go back");
    assert_eq!(sale.propose(5, 1), repeat(4));
}

#[test]
fn a_capacity_below_sold_is_clamped_and_an_operation_applies_once() {
    let mut sale = Sale::open(terms(5));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    assert_eq!(sale.propose(2, 2), Outcome::Confirmed);
    let change = |to, name| Record::CapacityChanged { to, operation: operation(name) };
    assert_eq!(sale.apply(change(CapacityTarget::Total(1), "a")), Outcome::Applied);
    assert_eq!(sale.state.terms().capacity, 2);
    assert_eq!(sale.state.generation(), 0, "a lower capacity accepts nobody");
    assert_eq!(sale.apply(change(CapacityTarget::Remaining(3), "b")), Outcome::Applied);
    assert_eq!((sale.state.terms().capacity, sale.state.generation()), (5, 1));
    assert_eq!(sale.propose(3, 3), Outcome::Confirmed);
    assert_eq!(
        sale.apply(change(CapacityTarget::Remaining(3), "b")),
        Outcome::Ignored(Ignored::AlreadyApplied)
    );
    assert_eq!(sale.state.terms().capacity, 5);
    assert_eq!(
        sale.apply(change(CapacityTarget::Remaining(9), "opening")),
        Outcome::Ignored(Ignored::AlreadyApplied),
        "a repeated opening is no change of stock"
    );
    assert_eq!(sale.apply(change(CapacityTarget::Remaining(u32::MAX), "c")), Outcome::Applied);
    assert_eq!(sale.state.terms().capacity, u32::MAX);
}

#[test]
fn a_second_opening_is_ignored_and_an_archived_sale_is_closed() {
    let mut sale = Sale::open(terms(5));
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
    assert_eq!(
        sale.apply(Record::SaleOpened(terms(500))),
        Outcome::Ignored(Ignored::AlreadyOpened)
    );
    assert_eq!(sale.apply(Record::SaleArchived { operation: operation("a") }), Outcome::Applied);
    assert_eq!(sale.propose(2, 2), Outcome::Closed);
    assert_eq!(sale.propose(1, 1), Outcome::Closed, "its repeats are answered from the ledger");
    assert_eq!(sale.reverse(1, true, true), Outcome::Ignored(Ignored::Archived));
    assert_eq!(
        sale.apply(Record::SaleResumed { operation: operation("r") }),
        Outcome::Ignored(Ignored::Archived)
    );
    assert_eq!((sale.state.sold(), sale.state.terms().capacity), (1, 5), "the counts stay");
    assert!(sale.state.order(&id(1)).is_none());
}

#[test]
fn an_erasure_takes_effect_once_also_after_the_end_of_the_sale() {
    let mut sale = Sale::open(terms(5));
    let erasure = |name: Option<&str>| Record::SubjectErased {
        buyer: buyer(1),
        operation: name.map(operation),
    };
    assert_eq!(sale.apply(erasure(Some("a"))), Outcome::Applied);
    assert_eq!(sale.apply(erasure(Some("a"))), Outcome::Ignored(Ignored::AlreadyApplied));
    assert_eq!(sale.apply(Record::SaleArchived { operation: operation("end") }), Outcome::Applied);
    assert_eq!(sale.apply(erasure(Some("a"))), Outcome::Ignored(Ignored::AlreadyApplied));
    assert_eq!(sale.apply(erasure(Some("b"))), Outcome::Applied);
    assert_eq!(sale.apply(erasure(None)), Outcome::Applied, "as records of before say it");
    let again = SaleState::restore(sale.state.snapshot()).unwrap();
    assert!(again.operation_offset(&operation("a")).is_some());
}

#[test]
fn a_changed_schedule_opens_earlier_and_raises_the_generation() {
    let mut sale = Sale::open(SaleOpened { opens_at_ms: 500_000, ..terms(5) });
    assert_eq!(sale.propose(1, 1), Outcome::NotOpen { opens_at_ms: 500_000 });
    let change = Record::ScheduleChanged {
        opens_at_ms: 1_000,
        closes_at_ms: None,
        operation: operation("open"),
    };
    assert_eq!(sale.apply(change), Outcome::Applied);
    assert_eq!(sale.state.generation(), 1);
    assert_eq!(sale.propose(1, 1), Outcome::Confirmed);
}

#[test]
fn a_sale_is_not_closed_by_a_time_that_is_only_likely() {
    let sale = Sale::open(terms(1));
    let screened = |likely_ms, reached_ms| {
        let at_ms = sale.state.screened_at(likely_ms, reached_ms);
        sale.state.refusal(id(1), buyer(1), at_ms)
    };
    assert_eq!(screened(2_000, 0), None);
    assert_eq!(screened(1_000_000, 999_999), None);
    assert_eq!(screened(1_000_000, 1_000_000), Some(Outcome::Closed));
    assert_eq!(screened(999, 0), Some(Outcome::NotOpen { opens_at_ms: 1_000 }));
}
