//! The ledger on a real PostgreSQL: schema, rights, pages. What fills it is tested with the worker.

use super::rows::*;
use super::writer::Written;
use super::*;
use crate::sale::record::{KeyFingerprints, RULES_VERSION};
use crate::sale::{BuyerRef, SaleOpened};
use crate::snapshot::PartitionHead;

pub(crate) mod support;

use support::{Database, PARTITIONS, User};

fn on_a_runtime<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn terms() -> SaleOpened {
    SaleOpened {
        capacity: 1_000,
        per_buyer_limit: 1,
        repeat_window_ms: 0,
        opens_at_ms: 0,
        closes_at_ms: None,
        key_fingerprints: KeyFingerprints::default(),
        rules_version: RULES_VERSION,
        operation: None,
    }
}

/// A batch that opens a sale at `from` of a partition and sells so many units.
fn batch(partition: i32, from: u64, orders: u64) -> Batch {
    let product = format!("shoe-{partition}").parse().unwrap();
    let head = PartitionHead {
        partition,
        next_offset: from + 1 + orders,
        digest: [1; 32],
        previous: [2; 32],
        last_outcome: "confirmed".into(),
    };
    let orders: Vec<_> = (0..orders)
        .map(|n| {
            let mut bytes = [partition as u8; 16];
            bytes[8..].copy_from_slice(&(from + n).to_be_bytes());
            OrderInsert {
                partition,
                offset: from + 1 + n,
                place: n as u32,
                product,
                order_id: OrderId::from_random_bytes(bytes),
                buyer: BuyerRef::from_bytes(bytes),
                confirmed_at_ms: 1_000 + n,
            }
        })
        .collect();
    Batch {
        advances: vec![Advance { from, head, events: orders.len() as u32 }],
        subjects: orders
            .iter()
            .map(|order| SubjectInsert {
                partition,
                offset: order.offset,
                user_id: format!("user-{}", order.offset).parse().unwrap(),
                buyer: order.buyer,
                confirmed_at_ms: order.confirmed_at_ms,
            })
            .collect(),
        products: vec![ProductRow {
            product,
            partition,
            opened_offset: from,
            terms: terms(),
            sold: orders.len() as u32,
            paused: false,
            archived: false,
            generation: 0,
            log_time_ms: 1_000 + orders.len() as u64,
            applied_offset: from + orders.len() as u64,
        }],
        orders,
        ..Batch::default()
    }
}

#[test]
fn the_schema_is_made_once_and_another_one_is_refused() {
    let database = Database::empty();
    let node = database.config(User::Node);
    let snapshot = || on_a_runtime(PostgresLedger::new(&node).unwrap().snapshot());
    assert!(matches!(snapshot(), Err(PostgresError::NoSchema)));

    let owner = database.config(User::Owner);
    assert_eq!(migrations::migrate(&owner).unwrap(), migrations::Migrated { from: 0, to: 4 });
    assert_eq!(migrations::migrate(&owner).unwrap(), migrations::Migrated { from: 4, to: 4 });
    let empty = snapshot().unwrap();
    let beginnings: Vec<_> = (0..PARTITIONS as i32).map(PartitionHead::beginning).collect();
    assert_eq!(empty.heads, beginnings);
    assert!(empty.sales.is_empty());

    database.execute(User::Owner, "UPDATE flux_gate.migrations SET checksum = 'other'");
    assert!(matches!(snapshot(), Err(PostgresError::ChangedMigration { version: 1 })));
    database.execute(User::Owner, "INSERT INTO flux_gate.migrations VALUES (5, 'later', 'x')");
    let newer = PostgresError::NewerSchema { found: 5, known: 4 };
    assert_eq!(snapshot().unwrap_err().to_string(), newer.to_string());
    assert!(!newer.is_transient());
}

#[test]
fn a_ledger_belongs_to_one_log() {
    let database = Database::migrated();
    let config = database.config(User::Worker);
    let load = |config| on_a_runtime(async { Writer::new(&config)?.snapshot_of(&[0], &[]).await });
    assert_eq!(load(config.clone()).unwrap().heads.len(), PARTITIONS as usize);
    let mut other = config.clone();
    other.kafka.partitions += 1;
    assert!(matches!(load(other), Err(PostgresError::OtherLog { .. })));
    let mut other = config;
    other.kafka.topic = "hats".to_owned();
    assert!(matches!(load(other), Err(PostgresError::OtherLog { .. })));
    let mut node = database.config(User::Node);
    node.kafka.topic = "hats".to_owned();
    let snapshot = on_a_runtime(PostgresLedger::new(&node).unwrap().snapshot());
    assert!(matches!(snapshot, Err(PostgresError::OtherLog { .. })));
}

/// Of two who hold the same partition one alone writes, and the other changes nothing at all.
#[test]
fn a_stale_writer_writes_nothing() {
    let database = Database::migrated();
    let config = database.config(User::Worker);
    on_a_runtime(async {
        let (mut first, mut second) =
            (Writer::new(&config).unwrap(), Writer::new(&config).unwrap());
        assert_eq!(first.write(&batch(0, 0, 10)).await.unwrap(), Written::Done);
        assert_eq!(first.write(&batch(0, 0, 10)).await.unwrap(), Written::Stale);
        assert_eq!(second.write(&batch(0, 0, 3)).await.unwrap(), Written::Stale);
        // A batch of two partitions of which one is stale.
        let mut both = batch(1, 0, 5);
        both.advances.extend(batch(0, 3, 1).advances);
        assert_eq!(second.write(&both).await.unwrap(), Written::Stale);
        assert_eq!(second.write(&batch(0, 11, 0)).await.unwrap(), Written::Done);
    });
    let count =
        |table: &str| database.number(User::Auditor, &format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("flux_gate.orders"), 10);
    assert_eq!(count("flux_gate.event_list"), 10);
    assert_eq!(count("flux_gate.sale_list WHERE counted = 10"), 1);
    assert_eq!(database.number(User::Auditor, "SELECT last_seq FROM flux_gate.counter"), 10);
}

/// Each role can do what it is for, and not more.
#[test]
fn roles_have_their_rights_and_no_others() {
    let database = Database::migrated();
    let config = database.config(User::Worker);
    on_a_runtime(async { Writer::new(&config).unwrap().write(&batch(0, 0, 3)).await.unwrap() });
    let may = |user, sql: &str| database.try_execute(user, sql).is_ok();
    let orders = "SELECT * FROM flux_gate.orders";
    let subjects = "SELECT * FROM flux_gate.subjects";
    for user in [User::Node, User::Worker, User::Auditor, User::Fulfilment] {
        assert!(may(user, orders), "{user:?}");
        assert_eq!(may(user, subjects), user == User::Fulfilment, "{user:?}");
        for forbidden in [
            "DELETE FROM flux_gate.orders",
            "UPDATE flux_gate.orders SET product = 'x'",
            "TRUNCATE flux_gate.orders",
            "UPDATE flux_gate.subjects SET user_id = 'x'",
            "DELETE FROM flux_gate.erased",
            "DELETE FROM flux_gate.batches",
            "UPDATE flux_gate.ledger SET partitions = 9",
            "INSERT INTO flux_gate.migrations VALUES (9, 'x', 'x')",
            "CREATE TABLE flux_gate.mine ()",
            "DROP TABLE flux_gate.orders",
            "CREATE TABLE public.mine ()",
        ] {
            assert!(!may(user, forbidden), "{user:?}: {forbidden}");
        }
        let writes = "UPDATE flux_gate.progress SET updated_at = now()";
        assert_eq!(may(user, writes), user == User::Worker, "{user:?}");
    }
    // A transaction of its own says that it writes: some logins only read by themselves.
    let evidence = |user, sql: &str| may(user, &format!("BEGIN READ WRITE; {sql}; COMMIT"));
    for user in [User::Node, User::Worker, User::Auditor, User::Fulfilment] {
        let (node, worker) = (user == User::Node, user == User::Worker);
        let add = "INSERT INTO flux_gate.evidence (at_ms, what, weight, address, network)
            VALUES (1, 'blocked', 1, 1, 1)";
        assert_eq!(evidence(user, add), node, "{user:?}");
        let count = "INSERT INTO flux_gate.evidence_minutes VALUES (0, '', 'blocked', 1)";
        assert_eq!(evidence(user, count), node, "{user:?}");
        let reads = node || user == User::Auditor;
        assert_eq!(evidence(user, "SELECT * FROM flux_gate.evidence"), reads, "{user:?}");
        assert_eq!(evidence(user, "SELECT * FROM flux_gate.evidence_minutes"), reads, "{user:?}");
        let some = "SELECT id, at_ms, buyer FROM flux_gate.evidence";
        assert_eq!(evidence(user, some), reads || worker, "{user:?}");
        assert_eq!(evidence(user, "DELETE FROM flux_gate.evidence WHERE at_ms < 0"), worker);
        let minutes = "DELETE FROM flux_gate.evidence_minutes WHERE minute_ms < 0";
        assert_eq!(evidence(user, minutes), worker, "{user:?}");
        for forbidden in [
            "UPDATE flux_gate.evidence SET address = 0",
            "UPDATE flux_gate.evidence_minutes SET count = 1",
            "TRUNCATE flux_gate.evidence",
        ] {
            assert!(!evidence(user, forbidden), "{user:?}: {forbidden}");
        }
    }
    assert!(may(User::Auditor, "SELECT * FROM flux_gate.order_list"));
    assert!(may(User::Auditor, "SELECT * FROM flux_gate.erased"));
}

/// Rule 7: a row that the server quotes does not reach a log line.
#[test]
fn an_error_of_the_server_does_not_show_its_rows() {
    let database = Database::migrated();
    let config = database.config(User::Worker);
    let mut twice = batch(0, 0, 2);
    twice.subjects[1] = twice.subjects[0].clone();
    let error = on_a_runtime(async { Writer::new(&config).unwrap().write(&twice).await });
    let error = error.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("user-1"), "{error:?}");
    assert!(error.to_string().contains("23505"), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn a_server_that_is_not_there_is_worth_another_try_and_a_wrong_password_is_not() {
    let database = Database::migrated();
    let mut away = database.config(User::Node);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    away.postgres.url = Some(format!("postgresql://a@127.0.0.1:{port}/d").into());
    away.stores.plaintext = crate::config::stores::Plaintext::Allow;
    let error = on_a_runtime(PostgresLedger::new(&away).unwrap().snapshot()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    let mut nobody = database.config(User::Node);
    let url = secrecy::ExposeSecret::expose_secret(nobody.postgres.url.as_ref().unwrap());
    let (_, server) = url.split_once('@').unwrap();
    nobody.postgres.url = Some(format!("postgresql://nobody-known:x@{server}").into());
    let error = on_a_runtime(PostgresLedger::new(&nobody).unwrap().snapshot()).unwrap_err();
    assert!(!error.is_transient(), "{error}");
}
