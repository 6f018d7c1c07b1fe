//! The schema's versions.
//!
//! `PRAGMA user_version` is the number of applied migrations; the table `migrations` keeps a checksum of
//! each one's text. A store that a newer program has migrated, or whose migrations had another text, is
//! refused. Each migration is one transaction.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::StartError;
use super::store::{self, DirLock};
use crate::chain::sha256;

/// A step of the schema. Texts never change once released; a new step is a new entry.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { name: "log", sql: include_str!("migrations/0001_log.sql") },
    Migration { name: "ledger", sql: include_str!("migrations/0002_ledger.sql") },
];

const CREATE_TABLE: &str = include_str!("sql/create_migrations.sql");
const INSERT: &str = include_str!("sql/insert_migration.sql");

/// What `flux-gate migrate` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before.
    pub from: u32,
    /// The schema's version now.
    pub to: u32,
}

/// Brings the store in `dir` to this program's schema; a running server must be stopped first. `now_ms`
/// (Unix milliseconds) is noted beside each migration.
///
/// # Errors
/// [`StartError`]: the directory is in use, or the store is newer or not ours. Safe to repeat.
pub fn migrate(dir: &Path, now_ms: u64) -> Result<Migrated, StartError> {
    let _lock = DirLock::take(dir)?;
    let mut connection = store::open_writable(dir).map_err(|source| sqlite(dir, source))?;
    apply(dir, &mut connection, now_ms)
}

fn sqlite(dir: &Path, source: rusqlite::Error) -> StartError {
    StartError::Sqlite { dir: dir.into(), source }
}

/// Checks what is applied and applies the rest.
pub(super) fn apply(
    dir: &Path,
    connection: &mut Connection,
    now_ms: u64,
) -> Result<Migrated, StartError> {
    let from = check(dir, connection)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        let version = index as u32 + 1;
        apply_one(connection, version, migration, now_ms).map_err(|source| sqlite(dir, source))?;
    }
    Ok(Migrated { from, to: MIGRATIONS.len() as u32 })
}

/// Checks that the applied migrations are the first of ours; returns how many there are.
fn check(dir: &Path, connection: &Connection) -> Result<u32, StartError> {
    let known = MIGRATIONS.len() as u32;
    let found = version(connection).map_err(|source| sqlite(dir, source))?;
    if found > known {
        return Err(StartError::NewerSchema { dir: dir.into(), found, known });
    }
    let applied = checksums(connection).map_err(|source| sqlite(dir, source))?;
    if applied.len() != found as usize {
        return Err(StartError::NotAStore { dir: dir.into() });
    }
    for (index, (migration, applied)) in MIGRATIONS.iter().zip(&applied).enumerate() {
        if checksum(migration) != *applied {
            let version = index as u32 + 1;
            return Err(StartError::ChangedMigration { dir: dir.into(), version });
        }
    }
    Ok(found)
}

/// Whether all of our migrations are applied.
pub(super) fn is_current(dir: &Path, connection: &Connection) -> Result<bool, StartError> {
    Ok(check(dir, connection)? == MIGRATIONS.len() as u32)
}

fn version(connection: &Connection) -> Result<u32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The checksums of the applied migrations in order; none in a fresh file, and as many as tables of
/// somebody else's cannot be.
fn checksums(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    if !connection.table_exists(None, "migrations")? {
        return Ok(Vec::new());
    }
    connection
        .prepare(include_str!("sql/read_migrations.sql"))?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn apply_one(
    connection: &mut Connection,
    version: u32,
    migration: &Migration,
    now_ms: u64,
) -> Result<(), rusqlite::Error> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    transaction.execute_batch(CREATE_TABLE)?;
    transaction.execute_batch(migration.sql)?;
    transaction.execute(INSERT, (version, migration.name, checksum(migration), now_ms as i64))?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

fn checksum(migration: &Migration) -> String {
    hex::encode(sha256(migration.sql.as_bytes()))
}
