//! The ledger on the log that fills it. Rule 5: at rest, ledger = log.

use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::log::sqlite::Options;
use crate::log::tests::{
    START_MS, about, buyer, must_not_fail, on_a_thread, opened, options, order_id, product,
    proposed, proposed_in, reversed,
};
use crate::log::{Append, Decided, LogHandle, OrderLog, SqliteLog};
use crate::sale::{Outcome, Record};

struct Shop {
    _dir: tempfile::TempDir,
    sqlite: SqliteLog,
    log: OrderLog,
    ledger: Ledger,
}

impl Shop {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options: Options = options(dir.path());
        let clock = Clock::manual(START_MS);
        let sqlite = SqliteLog::start(&options, clock, Box::new(|_| {}), must_not_fail()).unwrap();
        let ledger = Ledger::Sqlite(SqliteLedger::open(sqlite.store_file()).unwrap());
        Self { _dir: dir, log: OrderLog::Sqlite(sqlite.clone()), sqlite, ledger }
    }
}

async fn decide(handle: &LogHandle, append: Append) -> Decided {
    handle.append(append).unwrap().await.unwrap()
}

fn archived(name: &str) -> Append {
    about(name, Record::SaleArchived { operation: "end".parse().unwrap() })
}

#[test]
fn orders_come_in_pages_in_log_order() {
    let shop = Shop::open();
    on_a_thread(async {
        let handle = shop.log.handle();
        decide(&handle, opened("shoe", 100)).await;
        decide(&handle, opened("hat", 100)).await;
        for n in 1..=10 {
            decide(&handle, proposed(if n % 2 == 0 { "shoe" } else { "hat" }, n, n)).await;
        }
        decide(&handle, proposed("hat", 1, 1)).await;
        decide(&handle, reversed("shoe", 4)).await;

        let all = shop.ledger.orders_page(None, 0, 1_000).await.unwrap();
        assert_eq!(all.rows.len(), 10);
        assert_eq!((all.next, all.at_end), (14, true));
        let row = &all.rows[3];
        assert_eq!((row.order_id, row.buyer), (order_id(4), buyer(4)));
        assert_eq!((row.offset, row.created_at_ms), (6, START_MS as u64));
        let reversed = all.rows.iter().filter(|row| row.status == OrderStatus::Reversed);
        assert_eq!(reversed.map(|row| row.order_id).collect::<Vec<_>>(), [order_id(4)]);

        let mut pages = Vec::new();
        let (mut after, mut at_end) = (0, false);
        while !at_end {
            let page = shop.ledger.orders_page(Some(product("shoe")), after, 2).await.unwrap();
            (after, at_end) = (page.next, page.at_end);
            pages.push(page.rows.iter().map(|row| row.order_id).collect::<Vec<_>>());
        }
        let ids = |numbers: [u32; 2]| numbers.map(order_id).to_vec();
        assert_eq!(pages, [ids([2, 4]), ids([6, 8]), vec![order_id(10)]]);
    });
}

#[test]
fn the_feed_has_acceptances_and_reversals_with_the_user() {
    let shop = Shop::open();
    on_a_thread(async {
        let handle = shop.log.handle();
        decide(&handle, opened("shoe", 1)).await;
        decide(&handle, proposed("shoe", 1, 1)).await;
        decide(&handle, proposed("shoe", 2, 2)).await;
        decide(&handle, reversed("shoe", 1)).await;
        decide(&handle, reversed("shoe", 1)).await;
        decide(&handle, proposed_in("shoe", 3, 3, 1)).await;
        let feed = shop.ledger.feed(0, 100).await.unwrap();
        let seen: Vec<_> = feed.rows.iter().map(|e| (e.kind, e.order_id, e.offset)).collect();
        let expected = [
            (EventKind::Accepted, order_id(1), 2),
            (EventKind::Reversed, order_id(1), 4),
            (EventKind::Accepted, order_id(3), 6),
        ];
        assert_eq!(seen, expected);
        let users: Vec<_> = feed.rows.iter().map(|e| e.user_id.unwrap().to_string()).collect();
        assert_eq!(users, ["user-1", "user-1", "user-3"]);
        let rest = shop.ledger.feed(feed.next, 100).await.unwrap();
        assert!(rest.rows.is_empty() && rest.at_end && rest.next == 6);
        let beyond = shop.ledger.feed(u64::MAX, 100).await.unwrap();
        assert!(beyond.rows.is_empty() && beyond.next == u64::MAX);
    });
}

#[test]
fn orders_of_an_archived_product_are_found_by_id() {
    let shop = Shop::open();
    on_a_thread(async {
        let handle = shop.log.handle();
        decide(&handle, opened("shoe", 100)).await;
        decide(&handle, opened("hat", 100)).await;
        for n in 1..=20 {
            decide(&handle, proposed("shoe", n, n)).await;
        }
        decide(&handle, proposed("hat", 50, 1)).await;
        decide(&handle, reversed("shoe", 3)).await;
        assert_eq!(shop.ledger.archived_order(order_id(3)).await.unwrap(), Lookup::Absent);
        decide(&handle, archived("shoe")).await;
        assert!(shop.log.applied().find_order(&order_id(3)).is_none());
        let row = loop {
            match shop.ledger.archived_order(order_id(3)).await.unwrap() {
                Lookup::Found(row) => break row,
                Lookup::NotYet => tokio::time::sleep(Duration::from_millis(5)).await,
                Lookup::Absent => panic!("it was confirmed"),
            }
        };
        assert_eq!((row.product, row.status), (product("shoe"), OrderStatus::Reversed));
        while shop.ledger.archived_order(order_id(50)).await.unwrap() == Lookup::NotYet {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(shop.ledger.archived_order(order_id(50)).await.unwrap(), Lookup::Absent);
    });
}

/// Rule 7 and the right to be forgotten: nothing of the user id stays in the files.
#[test]
fn an_erased_person_is_in_no_file_of_the_store() {
    let shop = Shop::open();
    let dir = shop.sqlite.store_file().parent().unwrap().to_owned();
    on_a_thread(async {
        let handle = shop.log.handle();
        decide(&handle, opened("shoe", 1_000)).await;
        for n in 1..=300 {
            let mut append = proposed("shoe", n, n);
            append.subject = Some(format!("secret-person-{n}-x").parse().unwrap());
            decide(&handle, append).await;
        }
        let erased = decide(
            &handle,
            about("shoe", Record::SubjectErased { buyer: buyer(77), operation: None }),
        );
        assert_eq!(erased.await.outcome, Outcome::Applied);
        while files_hold(&dir, b"secret-person-77-x") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let feed = shop.ledger.feed(0, 1_000).await.unwrap();
        assert_eq!(feed.rows.len(), 300);
        assert_eq!(feed.rows[76].user_id, None);
        assert_eq!(feed.rows.iter().filter(|event| event.user_id.is_none()).count(), 1);
        assert!(files_hold(&dir, b"secret-person-78-x"));
    });
}

#[test]
fn a_person_is_found_with_all_orders_and_their_erasure() {
    let shop = Shop::open();
    on_a_thread(async {
        let handle = shop.log.handle();
        for name in ["shoe", "hat"] {
            decide(&handle, opened(name, 100)).await;
        }
        for (name, n) in [("shoe", 1), ("hat", 2), ("hat", 3)] {
            decide(&handle, proposed(name, n, if n == 3 { 9 } else { 5 })).await;
        }
        decide(&handle, reversed("hat", 2)).await;
        let orders = shop.ledger.orders_of(buyer(5)).await.unwrap();
        let told: Vec<_> = orders.iter().map(|o| (o.row.product, o.row.status)).collect();
        let expected =
            [(product("shoe"), OrderStatus::Confirmed), (product("hat"), OrderStatus::Reversed)];
        assert_eq!(told, expected);
        assert!(orders.iter().all(|o| o.user_id.is_some_and(|user| user.as_str() == "user-5")));
        assert_eq!(shop.ledger.erased(buyer(5)).await.unwrap(), None);
        let operation = Some("e-1".parse().unwrap());
        let record = Record::SubjectErased { buyer: buyer(5), operation };
        decide(&handle, about("shoe", record)).await;
        while !shop.ledger.erased(buyer(5)).await.unwrap().is_some_and(|erased| erased.done) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let orders = shop.ledger.orders_of(buyer(5)).await.unwrap();
        assert!(orders.len() == 2 && orders.iter().all(|order| order.user_id.is_none()));
        assert!(shop.ledger.orders_of(buyer(9)).await.unwrap()[0].user_id.is_some());
        let ledger = SqliteLedger::open(shop.sqlite.store_file()).unwrap();
        let erasures = ledger.erasures().await.unwrap();
        assert_eq!(erasures.len(), 1);
        assert_eq!((erasures[0].buyer, Some(erasures[0].operation)), (buyer(5), operation));
        assert_eq!(ledger.erasures_open().await.unwrap(), 0);
    });
}

fn files_hold(dir: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}
