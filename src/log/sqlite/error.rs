//! What can go wrong with the embedded store, in words for whoever runs it.

use std::path::PathBuf;

use crate::sale::{DecodeError, ProductId};

/// Why the store did not start. Nothing was changed, except that migrations may have been applied.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the directory.
    #[error(
        "the data directory {dir} is in use by another flux-gate process{}; stop that one, or choose \
         another directory with --data", process_hint(*process)
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Its process id, as far as it is known.
        process: Option<u32>,
    },
    /// The directory or its lock file cannot be made or opened.
    #[error("the data directory {dir} cannot be used: {source}; check that it is writable")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A newer program has migrated the store.
    #[error(
        "the store in {dir} has schema version {found}, this program knows up to {known}; upgrade it"
    )]
    NewerSchema {
        /// The directory.
        dir: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// An older program has made the store, and only `migrate` or a server's start may change it.
    #[error("the store in {dir} has an older schema; run `flux-gate migrate` first")]
    OlderSchema {
        /// The directory.
        dir: PathBuf,
    },
    /// An applied migration is not the one that this program has.
    #[error(
        "migration {version} of the store in {dir} differs from the one in this program; \
         use the program that made the store"
    )]
    ChangedMigration {
        /// The directory.
        dir: PathBuf,
        /// The migration.
        version: u32,
    },
    /// The file is no store of ours.
    #[error("{dir} holds a database that is not a flux-gate store")]
    NotAStore {
        /// The directory.
        dir: PathBuf,
    },
    /// A row cannot be read. The program stops rather than guess.
    #[error("the record at offset {offset} cannot be read: {source}")]
    Undecodable {
        /// Its offset.
        offset: u64,
        /// Why.
        source: DecodeError,
    },
    /// The rules of this program come to another outcome than the one that was promised.
    #[error(
        "the record at offset {offset} was decided as {stored}, but comes to {computed} now; the log \
         was altered or this program has other rules: run `flux-gate audit verify`"
    )]
    OutcomeDiffers {
        /// Its offset.
        offset: u64,
        /// The outcome in the log.
        stored: String,
        /// The outcome by this program.
        computed: &'static str,
    },
    /// Rows are missing, altered or cut off.
    #[error("the log is damaged at offset {offset}: {what}; run `flux-gate audit verify`")]
    Damaged {
        /// Where.
        offset: u64,
        /// How.
        what: &'static str,
    },
    /// A sale was opened under other keys: its order ids and buyers could not be recognised.
    #[error(
        "product {product} was opened under other keys (secrets.order_key, secrets.buyer_key); \
         give this node the keys of the sale, or archive the sale with them first"
    )]
    OtherKeys {
        /// The product.
        product: ProductId,
    },
    /// SQLite failed.
    #[error("the store in {dir} failed: {source}")]
    Sqlite {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("a thread of the store could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

fn process_hint(process: Option<u32>) -> String {
    process.map(|id| format!(" (process {id})")).unwrap_or_default()
}

/// Why the log ends in mid-run. What was decided before is durable; what was undecided is unknown. The
/// process must end: after a failed write or fsync nobody knows what the disk holds.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    /// A batch could not be written or synced.
    #[error("the order log in {dir} could not be written: {source}{}", hint(source))]
    Write {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The log could not be checkpointed, or an erasure or archive index not be written.
    #[error("the store in {dir} could not be kept up: {source}{}", hint(source))]
    Upkeep {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The state that readers see came to another outcome than the writer's: a bug, or broken memory.
    #[error("the record at offset {offset} came to two outcomes")]
    Diverged {
        /// Its offset.
        offset: u64,
    },
    /// A thread of the log panicked: a bug.
    #[error("a thread of the order log panicked: {0}")]
    Panicked(String),
}

/// What to do about it, where the cause is known.
fn hint(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; the disk is full: make room and start again",
        Some(rusqlite::ErrorCode::ReadOnly) => "; make the directory writable and start again",
        Some(rusqlite::ErrorCode::DatabaseBusy) => {
            "; another program holds the database: end it and start again"
        }
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            "; another program has written to the log: run `flux-gate audit verify`"
        }
        _ => "; check the disk, then start again",
    }
}
