//! The schema's versions.
//!
//! The table `flux_gate.migrations` keeps the number and a checksum of each applied migration's text. Nodes
//! and workers work with just their own schema: an older or a newer one, or one whose migrations had
//! another text, is refused. Each migration is one transaction.

use aws_lc_rs::digest::{SHA256, digest};
use tokio_postgres::{Client, GenericClient};

use super::connect::Connector;
use super::error::PostgresError;
use crate::config::Config;

/// A step of the schema. Texts never change once released; a new step is a new entry.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { name: "ledger", sql: include_str!("migrations/0001_ledger.sql") },
    Migration { name: "control", sql: include_str!("migrations/0002_control.sql") },
    Migration { name: "evidence", sql: include_str!("migrations/0003_evidence.sql") },
    Migration { name: "privacy", sql: include_str!("migrations/0004_privacy.sql") },
];

/// The roles that the migrations give rights to; `deploy/postgres/roles.sql` makes them.
const ROLES: [&str; 5] = [
    "flux_gate_auditor",
    "flux_gate_fulfilment",
    "flux_gate_ingestion",
    "flux_gate_owner",
    "flux_gate_worker",
];

/// Who migrates at the same time waits: the key of an advisory lock.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7163393190218)";

/// What `flux-gate migrate` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; 0 is none.
    pub from: usize,
    /// The schema's version now.
    pub to: usize,
}

/// Brings the ledger to this program's schema, as the user of `postgres.url`, who must be a member of
/// `flux_gate_owner`.
///
/// # Errors
/// [`PostgresError`]: it cannot be reached, roles are missing, or the schema is newer or not ours. Safe to
/// repeat.
pub fn migrate(config: &Config) -> Result<Migrated, PostgresError> {
    let connector = Connector::main(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { apply(&mut connector.connect().await?).await })
}

/// Checks what is applied and applies the rest.
async fn apply(client: &mut Client) -> Result<Migrated, PostgresError> {
    let missing = client.query(include_str!("sql/missing_roles.sql"), &[&ROLES.as_slice()]).await?;
    if let Some(role) = missing.first() {
        return Err(PostgresError::NoRole(role.try_get(0)?));
    }
    let as_owner = client.query_one(include_str!("sql/become_owner.sql"), &[]).await?;
    if as_owner.try_get(0)? {
        client.batch_execute("SET ROLE flux_gate_owner").await?;
    }
    let from = applied(client).await?;
    for version in from + 1..=MIGRATIONS.len() {
        apply_one(client, version).await?;
    }
    Ok(Migrated { from, to: MIGRATIONS.len() })
}

async fn apply_one(client: &mut Client, version: usize) -> Result<(), PostgresError> {
    let migration = &MIGRATIONS[version - 1];
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        .await?;
    transaction.batch_execute(LOCK).await?;
    transaction.batch_execute(include_str!("sql/create_migrations.sql")).await?;
    // Another one may have been faster.
    if read(&transaction).await?.len() >= version {
        return Ok(transaction.rollback().await?);
    }
    transaction.batch_execute(migration.sql).await?;
    let insert = include_str!("sql/insert_migration.sql");
    let version = i32::try_from(version).expect("a handful of migrations");
    transaction.execute(insert, &[&version, &migration.name, &checksum(migration)]).await?;
    Ok(transaction.commit().await?)
}

/// How many migrations are applied, which are the first of ours; 0 where there is no schema.
async fn applied(client: &impl GenericClient) -> Result<usize, PostgresError> {
    let checksums = match read(client).await {
        Ok(checksums) => checksums,
        Err(error) if error.is_missing_table() => return Ok(0),
        Err(error) => return Err(error),
    };
    let (found, known) = (checksums.len(), MIGRATIONS.len());
    if found > known {
        return Err(PostgresError::NewerSchema { found, known });
    }
    let changed = MIGRATIONS.iter().zip(&checksums).position(|(ours, sum)| checksum(ours) != *sum);
    match changed {
        Some(index) => Err(PostgresError::ChangedMigration { version: index + 1 }),
        None => Ok(found),
    }
}

/// Refuses any schema but this program's.
pub(super) async fn check(client: &impl GenericClient) -> Result<(), PostgresError> {
    match applied(client).await? {
        0 => Err(PostgresError::NoSchema),
        found if found < MIGRATIONS.len() => {
            Err(PostgresError::OlderSchema { found, known: MIGRATIONS.len() })
        }
        _ => Ok(()),
    }
}

async fn read(client: &impl GenericClient) -> Result<Vec<String>, PostgresError> {
    let rows = client.query(include_str!("sql/read_migrations.sql"), &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn checksum(migration: &Migration) -> String {
    hex::encode(digest(&SHA256, migration.sql.as_bytes()))
}
