//! A power cut may lose what was not synced: the end of the write-ahead log, at any byte.
//!
//! Rule 2: an order whose commit had returned is there whatever follows its commit is lost or torn.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Orders that were answered, with the length of the WAL (bytes) when they were.
struct Answered {
    wal_bytes: usize,
    orders: std::ops::RangeInclusive<u32>,
}

/// Sells in batches of changing size without a checkpoint in between.
fn sell(dir: &Path) -> (Vec<u8>, Vec<u8>, Vec<Answered>) {
    let log = start(dir);
    // Nothing of the sale is in the database file yet, and nothing will be: no checkpoint is due.
    let database = std::fs::read(store_file(dir)).unwrap();
    let mut answered = Vec::new();
    on_a_thread(async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        decide(&handle, opened("shoe", 1_000)).await;
        let mut first = 1;
        for size in [1, 1, 7, 2, 30, 1, 60, 3] {
            let orders = first..=first + size - 1;
            first += size;
            let waiting: Vec<_> =
                orders.clone().map(|n| handle.append(proposed("shoe", n, n)).unwrap()).collect();
            for undecided in waiting {
                assert_eq!(undecided.await.unwrap().outcome, Outcome::Confirmed);
            }
            let wal_bytes = std::fs::read(wal_file(dir)).unwrap().len();
            answered.push(Answered { wal_bytes, orders });
        }
    });
    let wal = std::fs::read(wal_file(dir)).unwrap();
    assert_eq!(std::fs::read(store_file(dir)).unwrap(), database, "a checkpoint came in between");
    (database, wal, answered)
}

fn wal_file(dir: &Path) -> PathBuf {
    dir.join(format!("{STORE_FILE}-wal"))
}

fn check_after_cut(database: &[u8], wal: &[u8], synced: usize, answered: &[Answered]) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(store_file(dir.path()), database).unwrap();
    std::fs::write(wal_file(dir.path()), wal).unwrap();
    let log = start(dir.path());
    for batch in answered.iter().filter(|batch| batch.wal_bytes <= synced) {
        for n in batch.orders.clone() {
            let found = log.applied().find_order(&order_id(n));
            assert!(found.is_some(), "order {n} was answered before byte {synced}");
        }
    }
    let report = verify(dir.path(), &Verify::default(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "cut at {synced}: {:?}", report.findings);
}

#[test]
fn a_power_cut_at_any_byte_loses_no_answered_order() {
    let dir = tempfile::tempdir().unwrap();
    let (database, wal, answered) = sell(dir.path());
    let mut cuts: Vec<usize> = answered
        .iter()
        .flat_map(|batch| [batch.wal_bytes - 1, batch.wal_bytes, batch.wal_bytes + 1])
        .filter(|cut| *cut <= wal.len())
        .collect();
    let mut random = SmallRng::seed_from_u64(20_261_124);
    cuts.extend((0..60).map(|_| random.random_range(0..=wal.len())));
    for cut in cuts {
        check_after_cut(&database, &wal[..cut], cut, &answered);
        // The file's length may be on the disk before its content: zeroes, or old bytes, follow.
        let mut torn = wal.clone();
        if cut % 2 == 0 {
            torn[cut..].fill(0);
        } else {
            random.fill(&mut torn[cut..]);
        }
        check_after_cut(&database, &torn, cut, &answered);
    }
}
