//! Chores: begun by a record, done piece by piece, done again after a restore.

use std::time::Duration;

use super::*;
use crate::log::tests::buyer;

fn count(dir: &Path, sql: &str) -> i64 {
    outsider(dir).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn wait_for_chores(dir: &Path) {
    for _ in 0..1_000 {
        if count(dir, "SELECT count(*) FROM chores WHERE done = 0") == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the chores are not done");
}

fn erase(dir: &Path, by: u32) {
    let log = start(dir);
    on_a_thread(async {
        let record = Record::SubjectErased { buyer: buyer(by), operation: None };
        decide(&OrderLog::Sqlite(log.clone()).handle(), about("shoe", record)).await;
    });
    wait_for_chores(dir);
    log.stop();
}

#[test]
fn an_erasure_takes_the_persons_rows_alone_and_the_chain_stands() {
    let dir = sold_store();
    erase(dir.path(), 5);
    let left = "SELECT count(*) FROM subjects WHERE user_id = 'user-5'";
    assert_eq!(count(dir.path(), left), 0);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM subjects"), 10);
    assert!(verify(dir.path(), &Verify::default(), &mut |_, _| {}).unwrap().is_sound());
}

#[test]
fn what_a_crash_left_undone_is_done_after_the_next_start() {
    let dir = sold_store();
    erase(dir.path(), 5);
    outsider(dir.path())
        .execute_batch(
            "INSERT INTO subjects VALUES (6, 'user-5'); UPDATE chores SET done = 0, scanned_to = 0",
        )
        .unwrap();
    let log = start(dir.path());
    wait_for_chores(dir.path());
    log.stop();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM subjects WHERE offset = 6"), 0);
}

#[test]
fn an_archived_products_orders_are_indexed_once() {
    let dir = sold_store();
    let log = start(dir.path());
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, archived("shoe")).await;
        decide(&handle, archived("shoe")).await;
    });
    wait_for_chores(dir.path());
    log.stop();
    assert_eq!(count(dir.path(), "SELECT count(*) FROM archived_orders"), 11);
    assert_eq!(count(dir.path(), "SELECT count(*) FROM chores"), 1);
}

/// A reader holds old pages: the erasure waits for it, the sale does not.
#[test]
fn a_reader_in_the_way_of_an_erasure_does_not_stop_the_sale() {
    let dir = sold_store();
    let log = start(dir.path());
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, proposed_in("shoe", 50, 50, 1)).await;
        let reader = outsider(dir.path());
        reader.execute_batch("BEGIN").unwrap();
        let _: i64 = reader.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
        let record = Record::SubjectErased { buyer: buyer(5), operation: None };
        decide(&handle, about("shoe", record)).await;
        for n in 60..80 {
            decide(&handle, proposed_in("shoe", n, n, 1)).await;
        }
        assert_eq!(count(dir.path(), "SELECT count(*) FROM chores WHERE done = 0"), 1);
        reader.execute_batch("COMMIT").unwrap();
    });
    wait_for_chores(dir.path());
    log.stop();
}

/// The time of user ids begins with the archiving of their sale, and then they are in no file.
#[test]
fn user_ids_of_a_sale_that_was_archived_long_ago_go() {
    let dir = sold_store();
    let log = start(dir.path());
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("hat", 10)).await;
        decide(&handle, proposed("hat", 40, 40)).await;
        decide(&handle, archived("shoe")).await;
    });
    wait_for_chores(dir.path());
    let archived_ms = START_MS as u64;
    assert_eq!(log.expire_subjects(archived_ms).unwrap(), 0, "not before its time");
    assert_eq!(log.expire_subjects(archived_ms + 1).unwrap(), 11);
    assert_eq!(log.expire_subjects(archived_ms + 1).unwrap(), 0);
    let left = "SELECT count(*) FROM subjects";
    assert_eq!(count(dir.path(), left), 1, "the other sale goes on");
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for (user, is_there) in [("user-5", false), ("user-12", false), ("user-40", true)] {
            let found = bytes.windows(user.len()).any(|window| window == user.as_bytes());
            assert!(!found || is_there, "{user}");
        }
    }
    log.stop();
    assert_eq!(log.expire_subjects(u64::MAX).unwrap(), 0, "the directory may be another's now");
    assert!(verify(dir.path(), &Verify::default(), &mut |_, _| {}).unwrap().is_sound());
}
