//! The tables: the contract on a real server, two nodes, and a server that goes away.

use super::*;
use crate::config::stores::Plaintext;
use crate::evidence::tests::{NOON_MS, Rig, contract, everything, identity, product, run, seen};
use crate::evidence::{Evidence, Recorder};
use crate::ledger::postgres::tests::support::{Database, User};

fn node(database: &Database) -> (Evidence, Recorder) {
    let (config, clock) = (database.config(User::Node), Clock::manual(NOON_MS as i64));
    let evidence = Evidence::Postgres(PostgresEvidence::start(&config, clock, identity()).unwrap());
    let recorder = evidence.recorder().unwrap();
    (evidence, recorder)
}

fn worker(database: &Database) -> PostgresEvidence {
    PostgresEvidence::for_worker(&database.config(User::Worker)).unwrap()
}

#[test]
fn the_tables_keep_the_contract() {
    contract(|| {
        let database = Database::migrated();
        let (evidence, recorder) = node(&database);
        let keeper = Evidence::Postgres(worker(&database));
        assert!(keeper.recorder().is_none() && keeper.counts().is_none());
        Rig { evidence, keeper, recorder, _hold: Box::new(database) }
    });
}

#[test]
fn two_nodes_make_the_same_marks_and_their_counts_add_up() {
    let database = Database::migrated();
    let nodes = [node(&database), node(&database)];
    run(async {
        for (evidence, recorder) in &nodes {
            for _ in 0..3 {
                recorder.note(NOON_MS, What::Accepted, Some(&product("shoe")), || seen(7));
            }
            evidence.flush().await.unwrap();
        }
        for (evidence, _) in &nodes {
            let found = evidence.sightings(&everything()).await.unwrap().sightings;
            assert_eq!(found.len(), 6);
            assert!(found.iter().all(|seen| *seen == found[0]), "the same marks");
            let minutes = evidence.minutes(0, u64::MAX, None).await.unwrap();
            assert_eq!((minutes.len(), minutes[0].count), (1, 6));
        }
    });
    for secret in ["bot-7", "a fingerprint"] {
        let found =
            format!("SELECT count(*) FROM flux_gate.evidence AS e WHERE e::text LIKE '%{secret}%'");
        assert_eq!(database.number(User::Auditor, &found), 0);
    }
}

#[test]
fn of_too_many_rows_the_oldest_go() {
    let database = Database::migrated();
    let (evidence, recorder) = node(&database);
    run(async {
        for n in 0..2_500 {
            recorder.note(NOON_MS + n, What::Accepted, None, || seen(1));
        }
        evidence.flush().await.unwrap();
        let worker = worker(&database);
        assert_eq!(worker.keep_within(NOON_MS + 100, 1_000).await.unwrap(), 1_500);
        let found = evidence.sightings(&everything()).await.unwrap().sightings;
        assert_eq!((found.len(), found[0].at_ms), (1_000, NOON_MS + 1_500));
        assert_eq!(worker.keep_within(NOON_MS, 1_000).await.unwrap(), 0);
        assert_eq!(worker.keep_within(NOON_MS + 1_501, 1_000).await.unwrap(), 1);
    });
}

/// Who only adds cannot take away what was seen, nor a worker look at it.
#[test]
fn a_node_cannot_delete_and_a_worker_cannot_read() {
    let database = Database::migrated();
    let (evidence, recorder) = node(&database);
    recorder.note(NOON_MS, What::Accepted, None, || seen(1));
    run(async {
        evidence.flush().await.unwrap();
        assert!(evidence.forget_before(u64::MAX).await.is_err());
        assert!(evidence.forget_buyer(crate::evidence::tests::buyer(1)).await.is_err());
        let worker = Evidence::Postgres(worker(&database));
        assert!(worker.sightings(&everything()).await.is_err());
        assert!(worker.minutes(0, u64::MAX, None).await.is_err());
        assert_eq!(evidence.sightings(&everything()).await.unwrap().sightings.len(), 1);
    });
}

/// Marks must not get into the write-ahead log, which is archived.
#[test]
fn nothing_of_it_is_logged() {
    let database = Database::migrated();
    let logged =
        "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'flux_gate' AND c.relname LIKE 'evidence%' AND c.relpersistence";
    assert_eq!(database.number(User::Owner, &format!("{logged} <> 'u'")), 0);
    assert!(database.number(User::Owner, &format!("{logged} = 'u'")) >= 6);
}

#[test]
fn connections_that_are_cut_cost_nothing() {
    let database = Database::migrated();
    let (evidence, recorder) = node(&database);
    run(async {
        for n in 0..3 {
            recorder.note(NOON_MS + n, What::Accepted, None, || seen(1));
            evidence.flush().await.unwrap();
            database.cut_connections();
        }
        evidence.flush().await.unwrap();
        let counts = evidence.counts().unwrap();
        assert_eq!((counts.rows(), counts.dropped()), (3, 0));
        // The first read may find a connection that is dead.
        let _ = evidence.sightings(&everything()).await;
        let found = evidence.sightings(&everything()).await.unwrap();
        assert_eq!(found.sightings.len(), 3);
        let minutes = evidence.minutes(0, u64::MAX, None).await.unwrap();
        assert_eq!(minutes[0].count, 3);
    });
}

#[test]
fn without_a_server_a_node_starts_and_what_it_saw_is_counted_as_lost() {
    let mut config = Config::default();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.postgres.url = Some(format!("postgresql://a@127.0.0.1:{port}/d").into());
    config.stores.plaintext = Plaintext::Allow;
    let evidence = PostgresEvidence::start(&config, Clock::manual(NOON_MS as i64), identity());
    let evidence = Evidence::Postgres(evidence.unwrap());
    let recorder = evidence.recorder().unwrap();
    for _ in 0..10 {
        recorder.note(NOON_MS, What::Accepted, None, || seen(1));
    }
    run(async {
        evidence.flush().await.unwrap();
        let counts = evidence.counts().unwrap();
        assert_eq!((counts.rows(), counts.dropped()), (0, 0), "it may come back");
        assert!(counts.failures() > 0);
        assert!(evidence.sightings(&everything()).await.is_err());
    });
    evidence.stop();
    assert_eq!(evidence.counts().unwrap().dropped(), 10);
}
