//! What `ledger/tests.rs` asks of the embedded ledger, asked of the one that workers fill.

use super::*;
use crate::ledger::{EventKind, LedgerError, Lookup};
use crate::sale::record::{KeyFingerprints, RULES_VERSION};
use crate::sale::{OrderStatus, SaleOpened};

const START_MS: u64 = 1_700_000_000_000;

/// A log that is written as a shop goes on.
struct Shop {
    database: Database,
    log: Log,
    seals: Seals,
    worker: Worker,
    node: Node,
}

impl Shop {
    fn open() -> Self {
        let database = Database::migrated();
        let (worker, node) = (Worker::new(&database), Node::new(&database));
        Self { log: Log::new(), seals: Seals::new(), worker, node, database }
    }

    fn push(&mut self, product: &str, record: Record) {
        let product = product.parse().unwrap();
        self.log.push(Message { time_ms: START_MS, product, record: Some(record) });
    }

    fn opened(&mut self, product: &str, capacity: u32) {
        let terms = SaleOpened {
            capacity,
            per_buyer_limit: 1,
            repeat_window_ms: 0,
            opens_at_ms: 0,
            closes_at_ms: None,
            key_fingerprints: KeyFingerprints::default(),
            rules_version: RULES_VERSION,
            operation: Some("open".parse().unwrap()),
        };
        self.push(product, Record::SaleOpened(terms));
    }

    fn proposed(&mut self, product: &str, n: u32, generation: u64) {
        let proposal = OrderProposed {
            order_id: order_id(n),
            buyer: buyer(n),
            sealed_user: None,
            at_ms: START_MS,
            generation,
        };
        let record = self.seals.seal(&product.parse().unwrap(), proposal, n);
        self.push(product, record);
    }

    fn reversed(&mut self, product: &str, n: u32) {
        let record = Record::OrderReversed {
            order_id: order_id(n),
            restock: true,
            frees_limit: true,
            reason: "payment failed".into(),
        };
        self.push(product, record);
    }

    async fn fill(&mut self) {
        self.worker.load(&self.log).await;
        self.worker.catch_up(&self.log, 3).await;
    }
}

#[test]
fn orders_come_in_pages_in_the_order_of_commits() {
    on_a_runtime(async {
        let mut shop = Shop::open();
        shop.opened("shoe-0", 100);
        shop.opened("hat-0", 100);
        for n in 1..=10 {
            shop.proposed(if n % 2 == 0 { "shoe-0" } else { "hat-0" }, n, 0);
        }
        shop.proposed("hat-0", 1, 0);
        shop.reversed("shoe-0", 4);
        shop.fill().await;

        let ledger = &shop.node.ledger;
        let all = ledger.orders_page(None, 0, 1_000).await.unwrap();
        assert_eq!(all.rows.len(), 10);
        assert_eq!((all.next, all.at_end), (11, true));
        let row = &all.rows[3];
        assert_eq!((row.order_id, row.buyer), (order_id(4), buyer(4)));
        // The offset is the log's, which begins at 0.
        assert_eq!((row.offset, row.created_at_ms), (5, START_MS));
        let reversed = all.rows.iter().filter(|row| row.status == OrderStatus::Reversed);
        assert_eq!(reversed.map(|row| row.order_id).collect::<Vec<_>>(), [order_id(4)]);

        let shoe: ProductId = "shoe-0".parse().unwrap();
        let mut pages = Vec::new();
        let (mut after, mut at_end) = (0, false);
        while !at_end {
            let page = ledger.orders_page(Some(shoe), after, 2).await.unwrap();
            (after, at_end) = (page.next, page.at_end);
            pages.push(page.rows.iter().map(|row| row.order_id).collect::<Vec<_>>());
        }
        let ids = |numbers: [u32; 2]| numbers.map(order_id).to_vec();
        assert_eq!(pages, [ids([2, 4]), ids([6, 8]), vec![order_id(10)]]);
    });
}

#[test]
fn the_feed_has_acceptances_and_reversals_with_the_user() {
    on_a_runtime(async {
        let mut shop = Shop::open();
        shop.opened("shoe-0", 1);
        shop.proposed("shoe-0", 1, 0);
        shop.proposed("shoe-0", 2, 0);
        shop.reversed("shoe-0", 1);
        shop.reversed("shoe-0", 1);
        shop.proposed("shoe-0", 3, 1);
        shop.fill().await;
        let ledger = &shop.node.ledger;
        let feed = ledger.feed(0, 100).await.unwrap();
        let seen: Vec<_> = feed.rows.iter().map(|e| (e.kind, e.order_id, e.offset)).collect();
        let expected = [
            (EventKind::Accepted, order_id(1), 1),
            (EventKind::Reversed, order_id(1), 2),
            (EventKind::Accepted, order_id(3), 3),
        ];
        assert_eq!(seen, expected);
        let users: Vec<_> = feed.rows.iter().map(|e| e.user_id.unwrap().to_string()).collect();
        assert_eq!(users, ["user-1", "user-1", "user-3"]);
        let rest = ledger.feed(feed.next, 100).await.unwrap();
        assert!(rest.rows.is_empty() && rest.at_end && rest.next == 3);
        let beyond = ledger.feed(u64::MAX, 100).await.unwrap();
        assert!(beyond.rows.is_empty() && beyond.next == u64::MAX);

        let mut config = shop.database.config(User::Node);
        config.postgres.fulfilment_url = None;
        let blind = Ledger::Postgres(PostgresLedger::new(&config).unwrap());
        assert!(matches!(blind.feed(0, 1).await, Err(LedgerError::NoUserIds)));
    });
}

#[test]
fn orders_of_an_archived_product_are_found_by_id() {
    on_a_runtime(async {
        let mut shop = Shop::open();
        shop.opened("shoe-0", 100);
        shop.opened("hat-0", 100);
        for n in 1..=20 {
            shop.proposed("shoe-0", n, 0);
        }
        shop.proposed("hat-0", 50, 0);
        shop.reversed("shoe-0", 3);
        shop.fill().await;
        let found = |shop: &Shop, n| {
            let ledger = shop.node.ledger.clone();
            async move { ledger.archived_order(order_id(n)).await.unwrap() }
        };
        assert_eq!(found(&shop, 3).await, Lookup::Absent);
        shop.push("shoe-0", Record::SaleArchived { operation: "end".parse().unwrap() });
        shop.fill().await;
        let Lookup::Found(row) = found(&shop, 3).await else { panic!("it was confirmed") };
        assert_eq!(row.product.as_str(), "shoe-0");
        assert_eq!(row.status, OrderStatus::Reversed);
        assert_eq!(found(&shop, 50).await, Lookup::Absent);
        let snapshot = shop.node.snapshot().await;
        let sale = &snapshot.sales.iter().find(|(id, _)| id.as_str() == "shoe-0").unwrap().1;
        assert!(sale.archived && sale.orders.is_empty());
        assert_eq!(sale.sold, 19);
    });
}

/// Rule 7 and the right to be forgotten.
#[test]
fn an_erased_person_is_a_pseudonym_from_then_on() {
    on_a_runtime(async {
        let mut shop = Shop::open();
        for product in ["shoe-0", "hat-1"] {
            shop.opened(product, 100);
            for n in 1..=5 {
                shop.proposed(product, n, 0);
            }
        }
        shop.push("shoe-0", Record::SubjectErased { buyer: buyer(2), operation: None });
        shop.fill().await;
        let events = shop.node.feed(100).await;
        assert_eq!(events.len(), 10);
        let nameless: Vec<_> = events.iter().filter(|event| event.user_id.is_none()).collect();
        assert!(nameless.iter().all(|event| event.order_id == order_id(2)), "{nameless:?}");
        assert_eq!(nameless.len(), 2, "of both products");
        let left = "SELECT count(*) FROM flux_gate.subjects WHERE user_id = 'user-2'";
        assert_eq!(shop.database.number(User::Fulfilment, left), 0);
    });
}

/// What is kept of a person, and that it goes: by an erasure, or with the time of the sale.
#[test]
fn user_ids_of_an_archived_sale_go_with_their_time_and_a_person_is_found() {
    use crate::ledger::postgres::housekeeper::{Housekeeper, SEAL_KEY};
    let mut database = None;
    on_a_runtime(async {
        let mut shop = Shop::open();
        for product in ["shoe-0", "hat-1"] {
            shop.opened(product, 100);
            for n in 1..=5 {
                shop.proposed(product, n, 0);
            }
        }
        shop.reversed("hat-1", 2);
        shop.push("shoe-0", Record::SaleArchived { operation: "end".parse().unwrap() });
        shop.fill().await;
        // Later records about it do not lengthen its time.
        let erased =
            Record::SubjectErased { buyer: buyer(3), operation: Some("e".parse().unwrap()) };
        let product = "shoe-0".parse().unwrap();
        shop.log.push(Message { time_ms: START_MS + 1_000_000, product, record: Some(erased) });
        shop.fill().await;
        let ledger = &shop.node.ledger;
        let orders = ledger.orders_of(buyer(2)).await.unwrap();
        let told: Vec<_> =
            orders.iter().map(|o| (o.row.product.as_str().to_owned(), o.row.status)).collect();
        assert!(told.contains(&("shoe-0".to_owned(), OrderStatus::Confirmed)), "{told:?}");
        assert!(told.contains(&("hat-1".to_owned(), OrderStatus::Reversed)), "{told:?}");
        assert!(orders.iter().all(|o| o.user_id.as_ref().is_some_and(|u| u.as_str() == "user-2")));
        assert_eq!(ledger.erased(buyer(2)).await.unwrap(), None);
        let erased = ledger.erased(buyer(3)).await.unwrap().unwrap();
        assert_eq!((erased.at_ms, erased.done), (START_MS + 1_000_000, true));
        let orders = ledger.orders_of(buyer(3)).await.unwrap();
        assert!(orders.len() == 2 && orders.iter().all(|order| order.user_id.is_none()));
        database = Some(shop.database);
    });
    let database = database.unwrap();
    let housekeeper = Housekeeper::new(&database.config(User::Worker)).unwrap();
    assert_eq!(housekeeper.expire_subjects(START_MS).unwrap(), 0, "not before its time");
    assert_eq!(housekeeper.expire_subjects(START_MS + 1).unwrap(), 4);
    let left = "SELECT count(*) FROM flux_gate.subjects";
    assert_eq!(database.number(User::Fulfilment, left), 4, "the other sale goes on");
    housekeeper.note(SEAL_KEY, "s1", 1).unwrap();
    assert!(housekeeper.rewrite().is_err(), "a worker is not the owner");
    let owner = Housekeeper::new(&database.config(User::Owner)).unwrap();
    assert_eq!(owner.rewrite().unwrap().subjects, 4);
    let deletions = housekeeper.deletions().unwrap();
    let whats: Vec<_> = deletions.iter().map(|d| (d.what.as_str(), d.detail.as_str())).collect();
    for what in [("subjects", ""), ("seal_key", "s1"), ("subjects_rewritten", "")] {
        assert!(whats.contains(&what), "{whats:?}");
    }
    // No sample of the planner's holds a user id.
    database.execute(User::Owner, "ANALYZE flux_gate.subjects");
    let samples =
        "SELECT count(*) FROM pg_stats WHERE tablename = 'subjects' AND attname = 'user_id'";
    assert_eq!(database.number(User::Owner, samples), 0);
}
