//! Slow, full, taken, broken: what was decided stands, what was not is unknown, nothing is half done.

use std::time::Duration;

use super::*;

/// A log whose end by an error can be awaited.
fn start_to_fail(options: &Options, observer: Observer) -> (SqliteLog, mpsc::Receiver<FatalError>) {
    let (told, fatal) = mpsc::channel();
    let fatal_callback: Fatal = Box::new(move |error| told.send(error).unwrap());
    let clock = Clock::manual(START_MS);
    (SqliteLog::start(options, clock, observer, fatal_callback).unwrap(), fatal)
}

/// Rule 2: nobody sees an order, and nobody is told of one, before its commit has returned.
#[test]
fn nothing_is_seen_or_said_before_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(START_MS);
    let batches = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&batches);
    let observer: Observer = Box::new(move |batch| told.lock().push(batch.decided.len()));
    let log =
        SqliteLog::start(&options(dir.path()), clock.clone(), observer, must_not_fail()).unwrap();
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 1_000)).await;
        let outsider = outsider(dir.path());
        outsider.execute_batch("BEGIN IMMEDIATE").unwrap();

        let first = handle.append(proposed("shoe", 1, 1)).unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        let rest: Vec<_> =
            (2..=100).map(|n| handle.append(proposed("shoe", n, n)).unwrap()).collect();
        clock.set_ms(START_MS + 5_000);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(log.applied().with_state(&product("shoe"), |s| s.sold()), Some(0));
        // The end of a log that hangs is not seen: nodes stop to answer from memory.
        assert_eq!(log.applied().end_seen_us(), START_MS as u64 * 1_000);
        assert_eq!(*batches.lock(), [0]);

        outsider.execute_batch("COMMIT").unwrap();
        assert_eq!(first.await.unwrap().offset, 2);
        for (undecided, offset) in rest.into_iter().zip(3..) {
            assert_eq!(undecided.await.unwrap().offset, offset);
        }
        assert_eq!(*batches.lock(), [0, 1, 99], "what had gathered is one transaction");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(log.applied().end_seen_us(), (START_MS as u64 + 5_000) * 1_000);
    });
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue_records_max: 5, ..options(dir.path()) };
    let clock = Clock::manual(START_MS);
    let log = SqliteLog::start(&options, clock, Box::new(|_| {}), must_not_fail()).unwrap();
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 1_000)).await;
        let outsider = outsider(dir.path());
        outsider.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut taken = vec![handle.append(proposed("shoe", 1, 1)).unwrap()];
        tokio::time::sleep(Duration::from_millis(150)).await;
        let refused = loop {
            let n = taken.len() as u32 + 1;
            match handle.append(proposed("shoe", n, n)) {
                Ok(undecided) => taken.push(undecided),
                Err(why) => break why,
            }
        };
        assert_eq!(refused, NotAppended::QueueFull);
        assert_eq!(taken.len(), 1 + 5);
        outsider.execute_batch("COMMIT").unwrap();
        for undecided in taken {
            assert_eq!(undecided.await.unwrap().outcome, Outcome::Confirmed);
        }
        assert_eq!(decide(&handle, proposed("shoe", 7, 7)).await.offset, 8);
    });
}

/// A full disk ends the log with a clear message; all that was decided is there after the restart, and
/// the log goes on when there is room again.
#[test]
fn a_full_disk_ends_the_log_and_loses_nothing_that_was_decided() {
    let dir = tempfile::tempdir().unwrap();
    let full = Options { page_count_max: Some(60), batch_records_max: 50, ..options(dir.path()) };
    let (log, fatal) = start_to_fail(&full, Box::new(|_| {}));
    let mut confirmed = Vec::new();
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 100_000)).await;
        let all: Vec<_> =
            (1..=5_000).map(|n| (n, handle.append(proposed("shoe", n, n)).unwrap())).collect();
        let mut lost = 0;
        for (n, undecided) in all {
            match undecided.await {
                Ok(decided) => {
                    assert_eq!((decided.outcome, lost), (Outcome::Confirmed, 0));
                    confirmed.push(n);
                }
                Err(Lost) => lost += 1,
            }
        }
        assert!(lost > 0 && !confirmed.is_empty());
        let refused = handle.append(proposed("shoe", 9_000, 9_000)).err();
        assert_eq!(refused, Some(NotAppended::Stopped));
        assert_eq!(
            log.applied().with_state(&product("shoe"), |s| s.sold() as usize),
            Some(confirmed.len())
        );
    });
    let text = fatal.recv_timeout(Duration::from_secs(5)).unwrap().to_string();
    assert!(text.contains("disk is full") && text.contains("make room"), "{text}");
    log.stop();

    let log = start(dir.path());
    for n in &confirmed {
        assert!(log.applied().find_order(&order_id(*n)).is_some(), "order {n} was answered");
    }
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        let decided = decide(&handle, proposed("shoe", 9_000, 9_000)).await;
        assert_eq!(decided.outcome, Outcome::Confirmed);
    });
    assert!(verify(dir.path(), &Verify::default(), &mut |_, _| {}).unwrap().is_sound());
}

#[test]
fn another_writer_in_the_log_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fatal) = start_to_fail(&options(dir.path()), Box::new(|_| {}));
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 10)).await;
        outsider(dir.path())
            .execute_batch("INSERT INTO log VALUES (2, 1, 0, NULL, 'x', 'x', '{}', x'')")
            .unwrap();
        assert_eq!(handle.append(proposed("shoe", 1, 1)).unwrap().await, Err(Lost));
        assert!(log.applied().find_order(&order_id(1)).is_none());
    });
    let text = fatal.recv_timeout(Duration::from_secs(5)).unwrap().to_string();
    assert!(text.contains("another program has written"), "{text}");
}

#[test]
fn a_panic_on_the_writers_thread_ends_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let observer: Observer = Box::new(|batch| assert!(batch.decided.is_empty(), "planted"));
    let (log, fatal) = start_to_fail(&options(dir.path()), observer);
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        let next = handle.next_batch();
        decide(&handle, opened("shoe", 10)).await;
        next.await;
        let next = handle.next_batch();
        assert_eq!(handle.append(proposed("shoe", 1, 1)).unwrap().await, Err(Lost));
        next.await;
        assert_eq!(handle.append(proposed("shoe", 2, 2)).err(), Some(NotAppended::Stopped));
        let late = OrderLog::Sqlite(log.clone()).handle();
        late.next_batch().await;
        assert_eq!(late.append(proposed("shoe", 2, 2)).err(), Some(NotAppended::Stopped));
    });
    let error = fatal.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(matches!(&error, FatalError::Panicked(text) if text.contains("planted")), "{error}");
    log.stop();
    // The commit had returned before the panic: the outcome was unknown to the caller, and is known now.
    assert!(start(dir.path()).applied().find_order(&order_id(1)).is_some());
}

#[test]
fn upkeep_that_fails_ends_the_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fatal) = start_to_fail(&options(dir.path()), Box::new(|_| {}));
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 10)).await;
        decide(&handle, proposed("shoe", 1, 1)).await;
        outsider(dir.path()).execute_batch("DROP TABLE archived_orders").unwrap();
        decide(&handle, archived("shoe")).await;
        let mut n = 2;
        let ended = loop {
            match handle.append(opened("hat", n)) {
                Ok(undecided) => drop(undecided.await),
                Err(why) => break why,
            }
            n += 1;
        };
        assert_eq!(ended, NotAppended::Stopped);
    });
    let error = fatal.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(matches!(error, FatalError::Upkeep { .. }), "{error}");
}
