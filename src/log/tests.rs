//! What every backend of the log must do: one function a promise, one case a backend. A backend exists when it
//! keeps them all.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::sqlite::Options;
use super::*;
use crate::clock::Clock;
use crate::sale::record::{CapacityTarget, KeyFingerprints, RULES_VERSION};
use crate::sale::{BuyerRef, DuplicateReason, Ignored, OrderId, OrderProposed, SaleOpened};

mod rig;

use rig::{Backend, Rig};

pub(crate) fn product(name: &str) -> ProductId {
    name.parse().unwrap()
}

pub(crate) fn order_id(n: u32) -> OrderId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    OrderId::from_random_bytes(bytes)
}

pub(crate) fn buyer(n: u32) -> BuyerRef {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.wrapping_mul(0x85eb_ca6b).to_be_bytes());
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    BuyerRef::from_bytes(bytes)
}

pub(crate) fn keys() -> KeyFingerprints {
    KeyFingerprints { order: "0011223344556677".into(), buyer: "8899aabbccddeeff".into() }
}

pub(crate) fn opened(name: &str, capacity: u32) -> Append {
    let terms = SaleOpened {
        capacity,
        per_buyer_limit: 1,
        repeat_window_ms: 0,
        opens_at_ms: 0,
        closes_at_ms: None,
        key_fingerprints: keys(),
        rules_version: RULES_VERSION,
        operation: None,
    };
    Append { product: product(name), record: Record::SaleOpened(terms), subject: None, by: None }
}

pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// Buyer `by` of `name` proposes order `n`; the buyer's user id is `user-<by>`.
pub(crate) fn proposed(name: &str, n: u32, by: u32) -> Append {
    proposed_in(name, n, by, 0)
}

pub(crate) fn proposed_in(name: &str, n: u32, by: u32, generation: u64) -> Append {
    let record = Record::OrderProposed(OrderProposed {
        order_id: order_id(n),
        buyer: buyer(by),
        sealed_user: None,
        at_ms: START_MS as u64,
        generation,
    });
    let subject = Some(format!("user-{by}").parse().unwrap());
    Append { product: product(name), record, subject, by: None }
}

pub(crate) fn reversed(name: &str, n: u32) -> Append {
    let record = Record::OrderReversed {
        order_id: order_id(n),
        restock: true,
        frees_limit: true,
        reason: "payment failed".into(),
    };
    Append { product: product(name), record, subject: None, by: None }
}

pub(crate) fn about(name: &str, record: Record) -> Append {
    Append { product: product(name), record, subject: None, by: None }
}

fn erased(name: &str, by: u32, operation: &str) -> Append {
    let operation = Some(operation.parse().unwrap());
    about(name, Record::SubjectErased { buyer: buyer(by), operation })
}

/// Runs a test body as a node's thread runs: current-thread runtime, `LocalSet`.
pub(crate) fn on_a_thread<F: Future>(body: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), body).await.expect("no test takes so long")
    })
}

pub(crate) fn options(dir: &std::path::Path) -> Options {
    Options {
        receipts: None,
        dir: dir.into(),
        batch_records_max: 1_000,
        queue_records_max: 10_000,
        key_fingerprints: keys(),
        page_count_max: None,
    }
}

pub(crate) fn must_not_fail() -> sqlite::Fatal {
    Box::new(|error| panic!("the log failed: {error}"))
}

fn outcomes_come_back_in_log_order_and_the_state_has_them(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async {
        let handle = rig.log.handle();
        let first = rig.decide(&handle, opened("shoe", 2)).await;
        assert_eq!((first.outcome, first.offset), (Outcome::Applied, rig.offset(1)));
        let waiting: Vec<_> =
            (1..=100).map(|n| handle.append(rig.proposed("shoe", n, n)).unwrap()).collect();
        rig.turn_over();
        let mut offsets = Vec::new();
        for (index, undecided) in waiting.into_iter().enumerate() {
            let decided = undecided.await.unwrap();
            let expected = if index < 2 { Outcome::Confirmed } else { Outcome::SoldOut };
            assert_eq!(decided.outcome, expected);
            assert!(decided.log_time_ms.abs_diff(rig.clock.unix_ms()) < 60_000);
            offsets.push(decided.offset);
        }
        assert_eq!(offsets, (2..=101).map(|n| rig.offset(n)).collect::<Vec<u64>>());
        let applied = rig.log.applied();
        let seen = applied.with_state(&product("shoe"), |s| (s.sold(), s.applied_offset()));
        assert_eq!(seen, Some((2, rig.offset(101))));
        let (of, order) = applied.find_order(&order_id(1)).unwrap();
        assert_eq!((of, order.offset), (product("shoe"), rig.offset(2)));
        assert_eq!(applied.products(), [product("shoe")]);
    });
}

/// Rule 3, and refusals that the log alone can know.
fn every_kind_of_record_is_decided_as_the_domain_says(backend: Backend) {
    let rig = Rig::plain(backend);
    let operation = |name: &str| name.parse().unwrap();
    on_a_thread(async {
        let handle = rig.log.handle();
        let cases = [
            (rig.proposed("shoe", 1, 1), Outcome::Closed),
            (reversed("shoe", 1), Outcome::Ignored(Ignored::UnknownProduct)),
            (opened("shoe", 1), Outcome::Applied),
            (opened("shoe", 9), Outcome::Ignored(Ignored::AlreadyOpened)),
            (rig.proposed("shoe", 1, 1), Outcome::Confirmed),
            (rig.proposed("shoe", 2, 2), Outcome::SoldOut),
            (reversed("shoe", 1), Outcome::Applied),
            (reversed("shoe", 1), Outcome::Ignored(Ignored::AlreadyReversed)),
            (rig.proposed("shoe", 3, 3), Outcome::Stale),
            (rig.proposed_in("shoe", 4, 4, 1), Outcome::Confirmed),
            (
                about(
                    "shoe",
                    Record::CapacityChanged {
                        to: CapacityTarget::Remaining(3),
                        operation: operation("a"),
                    },
                ),
                Outcome::Applied,
            ),
            (about("shoe", Record::SalePaused { operation: operation("b") }), Outcome::Applied),
            (rig.proposed_in("shoe", 5, 5, 2), Outcome::Paused),
            (erased("shoe", 4, "d"), Outcome::Applied),
            (erased("shoe", 4, "d"), Outcome::Ignored(Ignored::AlreadyApplied)),
            (about("shoe", Record::SaleArchived { operation: operation("c") }), Outcome::Applied),
            (rig.proposed_in("shoe", 4, 4, 2), Outcome::Closed),
        ];
        for (index, (append, expected)) in cases.into_iter().enumerate() {
            let decided = rig.decide(&handle, append).await;
            assert_eq!(decided.outcome, expected, "case {index}");
            assert_eq!(decided.offset, rig.offset(index as u64 + 1));
        }
    });
}

/// Rule 3.
fn the_same_attempt_from_many_threads_is_one_order(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async { rig.decide(&rig.log.handle(), opened("shoe", 1_000)).await });
    let (confirmed, repeated) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (log, rig) = (rig.log.clone(), &rig);
            let (confirmed, repeated) = (&confirmed, &repeated);
            scope.spawn(move || {
                on_a_thread(async {
                    let handle = log.handle();
                    let all: Vec<_> = (0..250)
                        .map(|_| handle.append(rig.proposed("shoe", 1, 1)).unwrap())
                        .collect();
                    rig.turn_over();
                    for undecided in all {
                        match undecided.await.unwrap().outcome {
                            Outcome::Confirmed => confirmed.fetch_add(1, Ordering::Relaxed),
                            Outcome::Duplicate(of) => {
                                assert_eq!(of.reason, DuplicateReason::SameKey);
                                repeated.fetch_add(1, Ordering::Relaxed)
                            }
                            other => panic!("{other:?}"),
                        };
                    }
                });
            });
        }
    });
    assert_eq!((confirmed.into_inner(), repeated.into_inner()), (1, 999));
}

fn the_observer_hears_of_levels_and_decided_proposals(backend: Backend) {
    let heard = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let told = Arc::clone(&heard);
    let observer: Observer = Box::new(move |batch| {
        let mut heard = told.lock();
        heard.0.extend_from_slice(batch.levels);
        heard.1.extend_from_slice(batch.decided);
    });
    let rig = Rig::start(backend, 100, observer);
    on_a_thread(async {
        let handle = rig.log.handle();
        rig.decide(&handle, opened("shoe", 5)).await;
        rig.decide(&handle, rig.proposed("shoe", 1, 1)).await;
        rig.decide(&handle, rig.proposed("hat", 1, 2)).await;
    });
    let (levels, decided) = heard.lock().clone();
    let level = |offset, remaining| Level { product: product("shoe"), offset, remaining };
    assert_eq!(levels, [level(rig.offset(1), 5), level(rig.offset(2), 4)]);
    assert_eq!(decided, [(product("shoe"), buyer(1)), (product("hat"), buyer(2))]);
}

fn whoever_waits_for_a_batch_is_woken_by_it(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async {
        let (writes, waits) = (rig.log.handle(), rig.log.handle());
        let woken = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let (batch, woken) = (waits.next_batch(), Arc::clone(&woken));
                tokio::task::spawn_local(async move {
                    batch.await;
                    woken.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        rig.decide(&writes, opened("shoe", 5)).await;
        for waiter in waiters {
            waiter.await.unwrap();
        }
        drop(waits.next_batch());
        let next = waits.next_batch();
        rig.decide(&writes, rig.proposed("shoe", 1, 1)).await;
        next.await;
    });
}

fn a_caller_that_goes_away_does_not_take_its_record_back(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async {
        let handle = rig.log.handle();
        rig.decide(&handle, opened("shoe", 5)).await;
        drop(handle.append(rig.proposed("shoe", 1, 1)).unwrap());
        let second = rig.decide(&handle, rig.proposed("shoe", 2, 2)).await;
        assert_eq!(second.offset, rig.offset(3));
        assert!(rig.log.applied().find_order(&order_id(1)).is_some());
    });
}

fn log_time_never_goes_backwards_though_the_clock_does(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async {
        let handle = rig.log.handle();
        let first = rig.decide(&handle, opened("shoe", 5)).await.log_time_ms;
        rig.set_clock(-5_000);
        let second = rig.decide(&handle, rig.proposed("shoe", 1, 1)).await.log_time_ms;
        assert!(second >= first, "{second} after {first}");
        rig.set_clock(7);
        let third = rig.decide(&handle, rig.proposed("shoe", 2, 2)).await.log_time_ms;
        assert!(third >= second, "{third} after {second}");
        if !rig.stamps_its_own_time() {
            assert_eq!([first, second, third], [0, 0, 7].map(|ms| START_MS as u64 + ms));
        }
    });
}

fn what_could_not_be_read_back_is_not_appended(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async {
        let handle = rig.log.handle();
        let record = Record::OrderReversed {
            order_id: order_id(1),
            restock: true,
            frees_limit: true,
            reason: "x".repeat(1_000),
        };
        let refused = handle.append(about("shoe", record)).err();
        assert_eq!(refused, Some(NotAppended::Invalid));
    });
}

fn a_log_that_has_stopped_takes_nothing_and_leaves_nobody_waiting(backend: Backend) {
    let rig = Rig::plain(backend);
    on_a_thread(async {
        let handle = rig.log.handle();
        rig.decide(&handle, opened("shoe", 100)).await;
        let waiting: Vec<_> =
            (1..=50).map(|n| handle.append(rig.proposed("shoe", n, n)).unwrap()).collect();
        rig.stop();
        for undecided in waiting {
            // Or it is lost, and nobody knows.
            if let Ok(decided) = undecided.await {
                assert_eq!(decided.outcome, Outcome::Confirmed);
            }
        }
        let refused = handle.append(rig.proposed("shoe", 51, 51)).err();
        assert_eq!(refused, Some(NotAppended::Stopped));
    });
}

/// Each promise, kept by each backend.
macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        contract!(embedded: Sqlite, $($promise),+);
        contract!(memory_log: Memory, $($promise),+);
        #[cfg(feature = "distributed")]
        contract!(broker: Kafka, $($promise),+);
    };
    ($name:ident: $backend:ident, $($promise:ident),+) => {
        mod $name {
            use super::rig::Backend;

            $(
                #[test]
                fn $promise() {
                    super::$promise(Backend::$backend);
                }
            )+
        }
    };
}

contract!(
    outcomes_come_back_in_log_order_and_the_state_has_them,
    every_kind_of_record_is_decided_as_the_domain_says,
    the_same_attempt_from_many_threads_is_one_order,
    the_observer_hears_of_levels_and_decided_proposals,
    whoever_waits_for_a_batch_is_woken_by_it,
    a_caller_that_goes_away_does_not_take_its_record_back,
    log_time_never_goes_backwards_though_the_clock_does,
    what_could_not_be_read_back_is_not_appended,
    a_log_that_has_stopped_takes_nothing_and_leaves_nobody_waiting,
);

/// What the simulation needs of the log in memory beyond the contract.
#[test]
fn the_log_in_memory_loses_delays_injects_and_crashes_when_told() {
    let rig = Rig::plain(Backend::Memory);
    let OrderLog::Memory(log) = rig.log.clone() else { unreachable!("it was just made") };
    on_a_thread(async {
        let handle = rig.log.handle();
        rig.decide(&handle, opened("shoe", 2)).await;
        let lost = handle.append(proposed("shoe", 1, 1)).unwrap();
        log.lose_first();
        let late = handle.append(proposed("shoe", 2, 2)).unwrap();
        let early = handle.append(proposed("shoe", 3, 3)).unwrap();
        log.delay_first();
        let forged = log.inject(product("shoe"), proposed("shoe", 4, 4).record);
        assert_eq!(forged, Outcome::Confirmed);
        assert_eq!(log.commit(1), 1);
        assert_eq!(early.await.unwrap().outcome, Outcome::Confirmed);
        assert_eq!(log.queued(), 1);
        log.stop();
        assert_eq!((lost.await, late.await), (Err(Lost), Err(Lost)));
        assert_eq!(handle.append(proposed("shoe", 5, 5)).err(), Some(NotAppended::Stopped));
        let again = MemoryLog::start(log.entries(), 10, rig.clock.clone(), Box::new(|_| {}));
        assert_eq!(again.applied().with_state(&product("shoe"), |state| state.sold()), Some(2));
    });
}
