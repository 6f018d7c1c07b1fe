//! A ledger that is restored from an older backup comes to the same again, and who was erased stays so.

use proptest::test_runner::TestRunner;

use super::exactly_once::random_log;
use super::*;

#[test]
fn a_restored_ledger_is_filled_anew_and_nobody_who_was_erased_comes_back() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..3 {
        let mut log = random_log(&mut runner, 150);
        let database = Database::migrated();
        let backup = on_a_runtime(async {
            let mut worker = Worker::new(&database);
            worker.load(&log).await;
            let filled = worker.fill(&log, &[40, 0, 20]);
            assert_eq!(worker.write(&filled).await.unwrap(), Written::Done);
            drop(worker);
            database.quiet().await;
            let backup = database.copy();
            for number in 0..4 {
                let operation = Some(format!("erase-{number}").parse().unwrap());
                let buyer = BuyerRef::from_bytes([number; 16]);
                let record = Record::SubjectErased { buyer, operation };
                let product = "shoe-0".parse().unwrap();
                let message = Message { time_ms: u64::MAX >> 2, product, record: Some(record) };
                log.push(message);
            }
            let mut worker = Worker::new(&database);
            worker.load(&log).await;
            worker.catch_up(&log, 10).await;
            backup
        });
        on_a_runtime(async {
            // The partitions one after the other: the erasure comes before most of what it is about.
            let mut worker = Worker::new(&backup);
            worker.load(&log).await;
            worker.catch_up(&log, 33).await;
            let (old, new) = (Node::new(&database), Node::new(&backup));
            let (was, is) = (old.snapshot().await, new.snapshot().await);
            assert_eq!(was.heads, is.heads);
            assert_eq!(was.sales, is.sales);
            let count = "SELECT count(*) FROM flux_gate.subjects";
            let of = |database: &Database| database.number(User::Fulfilment, count);
            assert_eq!(of(&database), of(&backup));
            let (was, is) = (old.feed(100).await, new.feed(100).await);
            assert_eq!(was.len(), is.len());
        });
    }
}

/// A worker that is ahead of a ledger that was restored behind its back.
#[test]
fn a_worker_does_not_write_on_top_of_a_ledger_that_went_back() {
    let mut runner = TestRunner::deterministic();
    let log = random_log(&mut runner, 100);
    let database = Database::migrated();
    on_a_runtime(async {
        let mut worker = Worker::new(&database);
        worker.load(&log).await;
        let first = worker.fill(&log, &[10, 0, 0]);
        let second = worker.fill(&log, &[10, 0, 0]);
        let third = worker.fill(&log, &[10, 0, 0]);
        assert_eq!(worker.write(&first).await.unwrap(), Written::Done);
        assert_eq!(worker.write(&third).await.unwrap(), Written::Stale);
        assert_eq!(worker.write(&second).await.unwrap(), Written::Done);
        assert_eq!(worker.write(&third).await.unwrap(), Written::Done);
    });
}

#[test]
fn rows_that_were_lost_are_noticed() {
    let mut runner = TestRunner::deterministic();
    // A random log may end without a sale that runs and has sold something.
    let useful = (0..10).any(|_| {
        let (log, database) = (random_log(&mut runner, 200), Database::migrated());
        on_a_runtime(lost_rows_are_noticed(&log, &database))
    });
    assert!(useful, "the random logs are of no use");
}

/// `false`: there is nothing to lose.
async fn lost_rows_are_noticed(log: &Log, database: &Database) -> bool {
    let mut worker = Worker::new(database);
    worker.load(log).await;
    worker.catch_up(log, 20).await;
    let running =
        "SELECT count(*) FROM flux_gate.sale_list WHERE status <> 'archived' AND sold > 0";
    if database.number(User::Auditor, running) == 0 {
        return false;
    }
    let lose = "DELETE FROM flux_gate.orders AS o USING flux_gate.products AS p
        WHERE o.product = p.product AND NOT p.archived AND NOT EXISTS (
            SELECT FROM flux_gate.reversals AS r
            WHERE r.partition = o.partition AND r.order_offset = o.\"offset\")";
    database.execute(User::Owner, lose);
    let snapshot = worker.writer.snapshot_of(&log.partitions(), &[]).await.unwrap();
    assert!(restore(snapshot, &log.partitions(), partition_of).is_err());
    let feed = Node::new(database).ledger.feed(0, 1_000).await;
    assert!(feed.is_err(), "events are missing");
    true
}
