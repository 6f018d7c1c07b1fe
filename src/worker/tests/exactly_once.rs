//! Rule 5: each record takes effect once, whatever is cut off and whoever else writes.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::ledger::EventKind;
use crate::sale::Book;
use crate::sale::oracle::step;

/// A random log: what nodes and operators might write, and garbage among it.
pub(super) fn random_log(runner: &mut TestRunner, steps: usize) -> Log {
    let mut log = Log::new();
    let seals = Seals::new();
    let mut now_ms = 1_700_000_000_000_u64;
    let mut book = Book::default();
    for offset in 1..=steps as u64 {
        let step = step().new_tree(runner).unwrap().current();
        now_ms = now_ms.saturating_add_signed(step.clock_moves * 1_000);
        let name = ["shoe-0", "hat-0", "sock-2"][usize::from(step.product) % 3];
        let product: ProductId = name.parse().unwrap();
        let state = book.get(&product);
        let (log_time_ms, generation) =
            state.map_or((now_ms, 0), |state| (state.log_time_at(now_ms), state.generation()));
        let mut record = step.what.record(now_ms, log_time_ms, generation);
        if let Record::OrderProposed(proposal) = record {
            let of = u32::from(proposal.buyer.as_bytes()[0]);
            record = seals.seal(&product, proposal, of);
        }
        book.apply(&LogEntry { offset, appended_at_ms: now_ms, product, record: record.clone() });
        let garbage = step.clock_moves == 5;
        log.push(Message { time_ms: now_ms, product, record: (!garbage).then_some(record) });
    }
    log
}

/// Polls a future so often and no more: the connection is cut in the middle of the work.
async fn cut_off<F: Future>(work: F, polls: usize) -> Option<F::Output> {
    let mut work = Box::pin(work);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        let Some(rest) = left.checked_sub(1) else { return std::task::Poll::Ready(None) };
        left = rest;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// The ledger holds what the log comes to, and each event once.
async fn must_agree(database: &Database, log: &Log) {
    let node = Node::new(database);
    let (expected, each) = applied(log);
    let snapshot = node.snapshot().await;
    assert_eq!(snapshot.heads, expected.heads);
    assert_eq!(snapshot.sales, expected.sales);

    let events = node.feed(7).await;
    let numbers: Vec<_> = events.iter().map(|event| event.offset).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "no gaps");
    for (partition, filled) in (0..).zip(&each) {
        let mut wanted: Vec<_> = filled
            .batch
            .orders
            .iter()
            .map(|order| (order.offset, EventKind::Accepted, order.order_id, order.confirmed_at_ms))
            .collect();
        wanted.extend(filled.batch.reversals.iter().map(|reversal| {
            let order = filled.batch.orders.iter().find(|o| o.offset == reversal.order_offset);
            let (id, at_ms) = (order.unwrap().order_id, reversal.reversed_at_ms);
            (reversal.offset, EventKind::Reversed, id, at_ms)
        }));
        wanted.sort_by_key(|(offset, ..)| *offset);
        let wanted: Vec<_> = wanted.into_iter().map(|(_, kind, id, at)| (kind, id, at)).collect();
        let found: Vec<_> = events
            .iter()
            .filter(|event| partition_of(&event.product) == partition)
            .map(|event| (event.kind, event.order_id, event.at_ms))
            .collect();
        assert_eq!(found, wanted, "the events of partition {partition}");
    }
    let miscounted = "SELECT count(*) FROM flux_gate.sale_list WHERE counted <> sold";
    assert_eq!(database.number(User::Auditor, miscounted), 0);
}

/// Whose user ids are left: of those who bought after they were erased, if at all.
async fn must_know_just_who_was_not_erased(database: &Database, log: &Log) {
    let (_, each) = applied(log);
    let erased: Vec<_> = each.iter().flat_map(|filled| &filled.batch.erased).collect();
    let subjects = each.iter().flat_map(|filled| &filled.batch.subjects);
    let left = subjects.filter(|subject| {
        !erased.iter().any(|e| e.buyer == subject.buyer && e.at_ms >= subject.confirmed_at_ms)
    });
    let count = "SELECT count(*) FROM flux_gate.subjects";
    assert_eq!(database.number(User::Fulfilment, count), left.count() as i64);
}

#[test]
fn batches_that_are_cut_off_repeated_or_too_late_change_nothing() {
    let mut runner = TestRunner::deterministic();
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let log = random_log(&mut runner, 120);
        let database = Database::migrated();
        on_a_runtime(async {
            let mut workers = [Worker::new(&database), Worker::new(&database)];
            for worker in &mut workers {
                worker.load(&log).await;
            }
            for _ in 0..40 {
                let worker = &mut workers[rng.random_range(0..2)];
                let counts: Vec<_> = (0..PARTITIONS).map(|_| rng.random_range(0..8)).collect();
                let filled = worker.fill(&log, &counts);
                let written = match rng.random_range(0..4) {
                    0 => cut_off(worker.write(&filled), rng.random_range(0..12)).await,
                    _ => Some(worker.write(&filled).await),
                };
                match written {
                    Some(Ok(Written::Done)) => {
                        let again = worker.write(&filled).await.unwrap();
                        let nothing = filled.records == 0;
                        assert_eq!(again == Written::Done, nothing, "the same batch again");
                    }
                    // The other worker was ahead, or nobody knows.
                    Some(Ok(Written::Stale)) | None => worker.load(&log).await,
                    Some(Err(error)) => panic!("{error}"),
                }
            }
            let [mut last, _] = workers;
            last.load(&log).await;
            last.catch_up(&log, 50).await;
            must_agree(&database, &log).await;
            must_know_just_who_was_not_erased(&database, &log).await;
        });
    }
}

/// Workers of different partitions write side by side, and readers see every event once, in order.
#[test]
fn workers_side_by_side_number_events_without_gaps() {
    let mut runner = TestRunner::deterministic();
    let log = random_log(&mut runner, 400);
    let database = Database::migrated();
    std::thread::scope(|scope| {
        for partition in log.partitions() {
            let (log, database) = (&log, &database);
            scope.spawn(move || {
                on_a_runtime(async {
                    let mut worker = Worker::new(database);
                    worker.load(log).await;
                    worker.partitions.retain(|number, _| *number == partition);
                    worker.catch_up(log, 2).await;
                    assert_eq!(worker.partitions[&partition].head.next_offset, log.end(partition));
                });
            });
        }
        scope.spawn(|| {
            on_a_runtime(async {
                let node = Node::new(&database);
                let end = applied(&log).1.iter().map(|filled| filled.batch.events()).sum();
                let mut after = 0;
                while after < end {
                    let page = node.ledger.feed(after, 5).await.unwrap();
                    let numbers: Vec<_> = page.rows.iter().map(|event| event.offset).collect();
                    assert_eq!(numbers, (after + 1..=page.next).collect::<Vec<_>>());
                    after = page.next;
                }
            });
        });
    });
    on_a_runtime(must_agree(&database, &log));
}
