//! Random records through the whole embedded log, restarted in between, and through a book beside it.
//! Rules 1 to 6 as far as the log goes: what the store says is what `apply` says, also after a restart.

use proptest::prelude::*;

use super::*;
use crate::sale::oracle::{Step, step};
use crate::sale::{Book, LogEntry, ProductId};

fn run(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(1_000_000);
    let mut book = Book::default();
    let mut offset = 0;
    let options = Options { key_fingerprints: KeyFingerprints::default(), ..options(dir.path()) };
    for part in steps.chunks(steps.len().div_ceil(3)) {
        let observer: Observer = Box::new(|_| {});
        let log = SqliteLog::start(&options, clock.clone(), observer, must_not_fail()).unwrap();
        compare(&log, &book);
        on_a_thread(async {
            let handle = OrderLog::Sqlite(log.clone()).handle();
            for step in part {
                offset += 1;
                let entry = next_entry(&book, &clock, offset, step);
                let subject = matches!(entry.record, Record::OrderProposed(_))
                    .then(|| "somebody".parse().unwrap());
                let (product, record) = (entry.product, entry.record.clone());
                let decided = decide(&handle, Append { product, record, subject, by: None }).await;
                assert_eq!((decided.outcome, decided.offset), (book.apply(&entry), offset));
            }
        });
        compare(&log, &book);
        log.stop();
    }
    let report = verify(dir.path(), &Verify::default(), &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.rows, offset);
}

fn next_entry(book: &Book, clock: &Clock, offset: u64, step: &Step) -> LogEntry {
    let now_ms = clock.unix_ms().saturating_add_signed(step.clock_moves * 1_000);
    clock.set_ms(now_ms as i64);
    let product: ProductId = product(&format!("p-{}", step.product));
    let state = book.get(&product);
    let log_time_ms = state.map_or(now_ms, |state| state.log_time_at(now_ms));
    let generation = state.map_or(0, |state| state.generation());
    let record = step.what.record(now_ms, log_time_ms, generation);
    LogEntry { offset, appended_at_ms: now_ms, product, record }
}

fn compare(log: &SqliteLog, book: &Book) {
    let applied = log.applied();
    assert_eq!(applied.products().len(), book.iter().count());
    for (product, expected) in book.iter() {
        let seen = applied.with_state(product, |state| {
            assert_eq!(state.terms(), expected.terms());
            (
                state.sold(),
                state.generation(),
                state.paused(),
                state.archived(),
                state.log_time_ms(),
            )
        });
        let (sold, generation, paused) =
            (expected.sold(), expected.generation(), expected.paused());
        let expected = (sold, generation, paused, expected.archived(), expected.log_time_ms());
        assert_eq!(seen, Some(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_log_agrees_with_the_book(steps in proptest::collection::vec(step(), 3..60)) {
        run(&steps);
    }
}
