//! The file: the contract, what is deleted, and what is damaged.

use std::path::Path;

use super::*;
use crate::evidence::Evidence;
use crate::evidence::tests::{
    NOON_MS, Rig, buyer, contract, everything, identity, product, run, seen,
};
use crate::evidence::writer::Sink;

/// Eight bytes that are nowhere by chance.
const MARK: Mark = Mark(0x9122_3344_5566_7788);
const HOUR_MS: u64 = 3_600_000;

fn settings(rows_max: u64) -> Settings {
    Settings { enabled: true, retention_hours: 24, rows_max }
}

fn start(dir: &Path) -> SqliteEvidence {
    let clock = Clock::manual(NOON_MS as i64);
    SqliteEvidence::start(dir, settings(1_000_000), clock, identity()).unwrap()
}

fn store(dir: &Path, rows_max: u64) -> Store {
    Store::open(dir, settings(rows_max), Clock::manual(NOON_MS as i64))
}

fn row(at_ms: u64, address: Mark, n: u8) -> Sighting {
    Sighting {
        at_ms,
        what: What::Accepted,
        weight: 1,
        product: Some(product("shoe")),
        order_id: None,
        buyer: Some(buyer(n)),
        series: None,
        address,
        network: Mark(2),
        fingerprint: None,
    }
}

/// Whether any file in the directory has these bytes.
fn files_hold(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let content = std::fs::read(file.unwrap().path()).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn files_hold_mark(dir: &Path, Mark(mark): Mark) -> bool {
    files_hold(dir, &mark.to_be_bytes())
}

/// The times of what is there, by a connection of its own.
fn times(dir: &Path) -> Vec<u64> {
    let connection = rusqlite::Connection::open(dir.join(EVIDENCE_FILE)).unwrap();
    let mut statement = connection.prepare("SELECT at_ms FROM sightings ORDER BY id").unwrap();
    let times = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    times.map(|at| at.unwrap() as u64).collect()
}

fn aside(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.to_string_lossy().contains("unreadable")).collect()
}

#[test]
fn the_file_keeps_the_contract() {
    contract(|| {
        let dir = tempfile::tempdir().unwrap();
        let evidence = Evidence::Sqlite(start(dir.path()));
        let recorder = evidence.recorder().unwrap();
        Rig { keeper: evidence.clone(), evidence, recorder, _hold: Box::new(dir) }
    });
}

#[test]
fn a_restart_goes_on_with_the_file_which_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..=3_u8 {
        let evidence = Evidence::Sqlite(start(dir.path()));
        let recorder = evidence.recorder().unwrap();
        recorder.note(NOON_MS, What::Accepted, Some(&product("shoe")), || seen(7));
        evidence.stop();
        evidence.stop();
        let found = run(evidence.sightings(&everything())).unwrap();
        assert_eq!(found.sightings.len(), usize::from(n));
        let first = &found.sightings[0];
        assert!(found.sightings.iter().all(|sighting| sighting == first), "the same marks");
        let minutes = run(evidence.minutes(0, u64::MAX, None)).unwrap();
        assert_eq!((minutes.len(), minutes[0].count), (1, u64::from(n)));
    }
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
    for secret in [&b"bot-7"[..], b"a fingerprint", &[192, 0, 2, 7], b"192.0.2.7"] {
        assert!(!files_hold(dir.path(), secret), "{secret:?}");
    }
}

#[test]
fn what_is_at_the_limit_stays_and_what_is_older_is_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path(), 1_000_000);
    let (old, kept) = (MARK, Mark(MARK.0 + 1));
    let mut rows = vec![row(NOON_MS - 24 * HOUR_MS - 1, old, 1)];
    rows.extend((0..5_000).map(|n| row(NOON_MS - 24 * HOUR_MS + n, kept, 2)));
    store.write(&rows, &[]).unwrap();
    assert!(files_hold_mark(dir.path(), old));
    assert!(!store.keep_house(NOON_MS));
    assert_eq!(times(dir.path()).len(), 5_000);
    assert_eq!(times(dir.path())[0], NOON_MS - 24 * HOUR_MS);
    assert!(!files_hold_mark(dir.path(), old));
    assert!(files_hold_mark(dir.path(), kept));
    store.keep_house(NOON_MS + HOUR_MS);
    assert!(times(dir.path()).is_empty() && !files_hold_mark(dir.path(), kept));
    let bytes = std::fs::metadata(dir.path().join(EVIDENCE_FILE)).unwrap().len();
    assert!(bytes < 100_000, "freed pages are given back: {bytes}");
}

#[test]
fn of_too_many_rows_the_oldest_go_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path(), 1_000);
    let rows: Vec<_> = (0..45_000).map(|n| row(NOON_MS + n, MARK, 1)).collect();
    for rows in rows.chunks(1_000) {
        store.write(rows, &[]).unwrap();
    }
    let mut pieces = 1;
    while store.keep_house(NOON_MS) {
        pieces += 1;
    }
    assert_eq!(pieces, 3);
    let left = times(dir.path());
    assert_eq!((left.len(), left[0]), (1_000, NOON_MS + 44_000));
    assert!(!store.keep_house(NOON_MS));
    assert_eq!(times(dir.path()).len(), 1_000);
    // How many there are is known after a restart as well.
    drop(store);
    let mut store = super::tests::store(dir.path(), 10);
    store.keep_house(NOON_MS);
    assert_eq!(times(dir.path()).len(), 10);
}

#[test]
fn an_erased_buyers_rows_are_in_no_file_though_somebody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path(), 1_000_000);
    let rows: Vec<_> = (0..500).map(|n| row(NOON_MS + n, Mark(n), (n % 5) as u8)).collect();
    store.write(&rows, &[]).unwrap();
    let reader = rusqlite::Connection::open(dir.path().join(EVIDENCE_FILE)).unwrap();
    let count = "SELECT count(*) FROM sightings";
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(reader.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 500);
    assert_eq!(store.forget_buyer(buyer(3)).unwrap(), 100);
    assert!(files_hold(dir.path(), buyer(3).as_bytes()), "the reader still sees it");
    reader.execute_batch("COMMIT").unwrap();
    store.keep_house(NOON_MS);
    assert!(!files_hold(dir.path(), buyer(3).as_bytes()));
    assert!(files_hold(dir.path(), buyer(4).as_bytes()));
    assert_eq!(times(dir.path()).len(), 400);
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside_and_a_new_one_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(EVIDENCE_FILE);
    let garbage = |file: &Path| {
        std::fs::write(file, format!("no database at all, {MARK:?}").repeat(1_000)).unwrap();
    };
    let whole = |dir: &Path| {
        let mut store = store(dir, 1_000);
        let rows: Vec<_> = (0..2_000).map(|n| row(NOON_MS + n, Mark(n), 1)).collect();
        store.write(&rows, &[]).unwrap();
        store.forget_before(0).unwrap();
    };
    let damaged = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[4_096..].fill(0xa5);
        std::fs::write(file, bytes).unwrap();
    };
    let newer = |file: &Path| {
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.execute_batch("PRAGMA user_version = 77").unwrap();
    };
    for (name, damage) in
        [("garbage", &garbage as &dyn Fn(&Path)), ("damaged", &damaged), ("newer", &newer)]
    {
        whole(dir.path());
        damage(&file);
        let evidence = Evidence::Sqlite(start(dir.path()));
        let recorder = evidence.recorder().unwrap();
        recorder.note(NOON_MS, What::Accepted, None, || seen(7));
        evidence.stop();
        assert_eq!(run(evidence.sightings(&everything())).unwrap().sightings.len(), 1, "{name}");
        assert_eq!(aside(dir.path()).len(), 1, "{name}: one is kept, the newest");
    }
    // It goes when its rows would have gone, and at an erasure: nobody can look into it.
    let mut store = store(dir.path(), 1_000);
    store.keep_house(NOON_MS + 24 * HOUR_MS);
    assert_eq!(aside(dir.path()).len(), 1);
    store.keep_house(NOON_MS + 24 * HOUR_MS + 1);
    assert_eq!(aside(dir.path()).len(), 0);
    drop(store);
    garbage(&file);
    let mut store = super::tests::store(dir.path(), 1_000);
    assert_eq!(aside(dir.path()).len(), 1);
    store.forget_buyer(buyer(1)).unwrap();
    assert_eq!(aside(dir.path()).len(), 0);
}

/// Damage that shows only later: a page that nobody has looked at yet.
#[test]
fn a_file_that_turns_out_to_be_damaged_is_put_aside_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let evidence = Evidence::Sqlite(start(dir.path()));
    let recorder = evidence.recorder().unwrap();
    run(async {
        recorder.note(NOON_MS, What::Accepted, None, || seen(1));
        // Reads with this connection first, so that it is there when the file is another one.
        evidence.flush().await.unwrap();
        assert_eq!(evidence.sightings(&everything()).await.unwrap().sightings.len(), 1);
        let connection = rusqlite::Connection::open(dir.path().join(EVIDENCE_FILE)).unwrap();
        connection
            .execute_batch(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET rootpage = 1000 WHERE name = 'sightings';
                 PRAGMA schema_version = 99;",
            )
            .unwrap();
        drop(connection);
        recorder.note(NOON_MS + 1, What::Accepted, None, || seen(2));
        evidence.flush().await.unwrap();
        evidence.flush().await.unwrap();
        let found = evidence.sightings(&everything()).await.unwrap().sightings;
        let times: Vec<_> = found.iter().map(|seen| seen.at_ms - NOON_MS).collect();
        assert_eq!(times, [1], "the new file, without what was in the old one");
        assert_eq!(aside(dir.path()).len(), 1);
    });
}

#[test]
fn a_directory_that_is_not_there_yet_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let away = dir.path().join("away");
    let evidence = Evidence::Sqlite(start(&away));
    let recorder = evidence.recorder().unwrap();
    recorder.note(NOON_MS, What::Accepted, None, || seen(1));
    run(async {
        evidence.flush().await.unwrap();
        let counts = evidence.counts().unwrap();
        assert_eq!((counts.rows(), counts.dropped()), (0, 0));
        assert!(counts.failures() > 0);
        assert!(evidence.sightings(&everything()).await.is_err());
        std::fs::create_dir(&away).unwrap();
        evidence.flush().await.unwrap();
        assert_eq!(evidence.counts().unwrap().rows(), 1);
        assert_eq!(evidence.sightings(&everything()).await.unwrap().sightings.len(), 1);
    });
}
