//! What the embedded log must do beyond the contract of every log.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::Connection;

use super::verify::{Verify, What, verify};
use super::*;
use crate::log::tests::{
    START_MS, about, must_not_fail, on_a_thread, opened, options, order_id, product, proposed,
    proposed_in, reversed,
};
use crate::log::{Append, Decided, LogHandle, Lost, OrderLog};
use crate::sale::{Outcome, Record};

mod damage;
mod faults;
mod power_cut;
mod random;
mod upkeep;

fn start(dir: &Path) -> SqliteLog {
    try_start(dir).unwrap()
}

fn try_start(dir: &Path) -> Result<SqliteLog, StartError> {
    let clock = Clock::manual(START_MS);
    SqliteLog::start(&options(dir), clock, Box::new(|_| {}), must_not_fail())
}

fn start_error(dir: &Path) -> StartError {
    try_start(dir).err().expect("it must not start")
}

/// Another program's connection to the store.
fn outsider(dir: &Path) -> Connection {
    Connection::open(store_file(dir)).unwrap()
}

async fn decide(handle: &LogHandle, append: Append) -> Decided {
    handle.append(append).unwrap().await.unwrap()
}

fn archived(name: &str) -> Append {
    about(name, Record::SaleArchived { operation: "end".parse().unwrap() })
}

/// A stopped store with a sale of 10 units, 12 proposals and a reversal: 15 rows.
fn sold_store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path());
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 10)).await;
        for n in 1..=12 {
            decide(&handle, proposed("shoe", n, n)).await;
        }
        decide(&handle, reversed("shoe", 3)).await;
        decide(&handle, proposed_in("shoe", 20, 20, 1)).await;
    });
    log.stop();
    dir
}

#[test]
fn a_second_process_is_told_which_directory_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path());
    let text = start_error(dir.path()).to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains("in use") && text.contains("--data"), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    assert!(matches!(migrate(dir.path(), 0), Err(StartError::InUse { .. })));
    log.stop();
    start(dir.path());
}

#[test]
fn what_is_no_directory_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(start_error(&file.join("data")), StartError::Directory { .. }));
    std::fs::write(store_file(dir.path()), "no database at all, but long enough".repeat(40))
        .unwrap();
    assert!(matches!(start_error(dir.path()), StartError::Sqlite { .. }));
}

#[test]
fn a_restart_comes_to_the_same_state() {
    let dir = sold_store();
    let log = start(dir.path());
    let state = log.applied().with_state(&product("shoe"), |state| {
        let orders: Vec<_> = (1..=20).filter_map(|n| state.order(&order_id(n))).collect();
        (state.sold(), state.remaining(), state.generation(), state.applied_offset(), orders)
    });
    let (sold, remaining, generation, offset, orders) = state.unwrap();
    assert_eq!((sold, remaining, generation, offset), (10, 0, 1, 15));
    assert_eq!(orders.len(), 11);
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        let decided = decide(&handle, proposed_in("shoe", 30, 30, 1)).await;
        assert_eq!((decided.outcome, decided.offset), (Outcome::SoldOut, 16));
        let decided = decide(&handle, proposed("shoe", 1, 1)).await;
        assert_eq!(decided.outcome.name(), "duplicate_same_key");
    });
}

#[test]
fn a_stop_writes_what_is_queued_and_leaves_an_empty_wal() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(dir.path());
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        let first = handle.append(opened("shoe", 1_000)).unwrap();
        let waiting: Vec<_> =
            (1..=500).map(|n| handle.append(proposed("shoe", n, n)).unwrap()).collect();
        log.stop();
        log.stop();
        assert_eq!(first.await.unwrap().outcome, Outcome::Applied);
        for undecided in waiting {
            assert_eq!(undecided.await.unwrap().outcome, Outcome::Confirmed);
        }
        let refused = handle.append(proposed("shoe", 501, 501)).err();
        assert_eq!(refused, Some(NotAppended::Stopped));
        handle.next_batch().await;
    });
    let wal = dir.path().join("flux-gate.db-wal");
    assert!(wal.metadata().map_or(0, |file| file.len()) == 0);
    let again = start(dir.path());
    assert_eq!(again.applied().with_state(&product("shoe"), |s| s.sold()), Some(500));
}

#[test]
fn a_sale_under_other_keys_is_not_served_unless_it_is_archived() {
    let dir = sold_store();
    let mut other = options(dir.path());
    other.key_fingerprints.order = "ffffffffffffffff".into();
    let clock = Clock::manual(START_MS);
    let start_other =
        || SqliteLog::start(&other, clock.clone(), Box::new(|_| {}), must_not_fail()).map(drop);
    let error = start_other().unwrap_err();
    assert!(matches!(error, StartError::OtherKeys { product: p } if p == product("shoe")));
    let log = start(dir.path());
    on_a_thread(async {
        decide(&OrderLog::Sqlite(log.clone()).handle(), archived("shoe")).await;
    });
    log.stop();
    start_other().unwrap();
}

#[test]
fn migrations_are_applied_once_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let first = migrate(dir.path(), 5).unwrap();
    assert_eq!((first.from, first.to), (0, 2));
    assert_eq!(migrate(dir.path(), 5).unwrap(), Migrated { from: 2, to: 2 });

    outsider(dir.path())
        .execute_batch("UPDATE migrations SET checksum = 'x' WHERE version = 2")
        .unwrap();
    assert!(matches!(start_error(dir.path()), StartError::ChangedMigration { version: 2, .. }));

    outsider(dir.path()).execute_batch("PRAGMA user_version = 7").unwrap();
    let error = start_error(dir.path());
    assert!(matches!(error, StartError::NewerSchema { found: 7, known: 2, .. }));
    assert!(error.to_string().contains("upgrade"), "{error}");
    assert!(verify(dir.path(), &Verify::default(), &mut |_, _| {}).is_err());

    let other = tempfile::tempdir().unwrap();
    outsider(other.path()).execute_batch("PRAGMA user_version = 1; CREATE TABLE t (x)").unwrap();
    assert!(matches!(start_error(other.path()), StartError::NotAStore { .. }));
}
