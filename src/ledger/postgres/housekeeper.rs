//! What goes from the ledger because its time is over, and the notes of it.
//!
//! Each call connects anew: there is one an hour. Blocking; not for a thread that has other work.

use tokio_postgres::Client;

use super::connect::Connector;
use super::error::PostgresError;
use super::types::{int, uint};
use super::{migrations, snapshot};
use crate::config::Config;
use crate::ledger::person::Deleted;

/// User ids of one transaction.
const PIECE_ROWS: i64 = 5_000;

/// What is noted when a private key that opened user ids was destroyed.
pub const SEAL_KEY: &str = "seal_key";
/// What is noted when user ids went with their time.
pub const SUBJECTS: &str = "subjects";
/// What is noted when the files were rewritten.
pub const REWRITTEN: &str = "subjects_rewritten";

/// The way to the ledger of whoever keeps house.
pub struct Housekeeper {
    connector: Connector,
    runtime: tokio::runtime::Runtime,
}

/// What rewriting the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// User ids that are left.
    pub subjects: u64,
    /// Whether the write-ahead log was told to begin anew: the user has the rights for it.
    pub log_switched: bool,
}

impl Housekeeper {
    /// As the user of `postgres.url`; nothing is connected yet.
    ///
    /// # Errors
    /// The address or the certificates cannot be used.
    pub fn new(config: &Config) -> Result<Self, PostgresError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { connector: Connector::main(config)?, runtime })
    }

    fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        self.runtime.block_on(async {
            let client = self.connector.connect().await?;
            migrations::check(&client).await?;
            work(&client).await
        })
    }

    /// The server's clock, Unix milliseconds.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing.
    pub fn now_ms(&self) -> Result<u64, PostgresError> {
        self.with(async |client| {
            let sql = "SELECT (extract(epoch FROM now()) * 1000)::bigint";
            uint(&client.query_one(sql, &[]).await?, 0)
        })
    }

    /// How far each partition is in the ledger: the offset that comes next.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing.
    pub fn progress(&self) -> Result<Vec<(i32, u64)>, PostgresError> {
        self.with(async |client| snapshot::progress(client).await)
    }

    /// Deletes the user ids of sales that were archived before `before_ms` (log time), and notes how many.
    ///
    /// # Errors
    /// [`PostgresError`]; a retry is safe.
    pub fn expire_subjects(&self, before_ms: u64) -> Result<u64, PostgresError> {
        self.with(async |client| {
            let before_ms = int(before_ms);
            let sql = include_str!("sql/archived_before.sql");
            if !client.query_one(sql, &[&before_ms]).await?.try_get::<_, bool>(0)? {
                return Ok(0);
            }
            let sql = include_str!("sql/expire_subjects.sql");
            let mut deleted = 0;
            loop {
                let piece = client.execute(sql, &[&before_ms, &PIECE_ROWS]).await?;
                if piece == 0 {
                    return Ok(deleted);
                }
                deleted += piece;
                note(client, SUBJECTS, "", piece).await?;
            }
        })
    }

    /// Notes a deletion.
    ///
    /// # Errors
    /// [`PostgresError`]; it may be noted twice after a retry.
    pub fn note(&self, what: &str, detail: &str, count: u64) -> Result<(), PostgresError> {
        self.with(async |client| note(client, what, detail, count).await)
    }

    /// The latest deletion of each thing.
    ///
    /// # Errors
    /// [`PostgresError`]: reads change nothing.
    pub fn deletions(&self) -> Result<Vec<Deleted>, PostgresError> {
        self.with(super::person::deletions)
    }

    /// Rewrites the table of user ids, so that its file does not hold what was deleted, and lets the write-ahead
    /// log begin anew. As a member of `flux_gate_owner`. Workers and the feed wait meanwhile.
    ///
    /// # Errors
    /// [`PostgresError`]; a retry is safe.
    pub fn rewrite(&self) -> Result<Rewritten, PostgresError> {
        self.with(async |client| {
            let as_owner = client.query_one(include_str!("sql/become_owner.sql"), &[]).await?;
            // Of anybody else PostgreSQL would only say that it passed the table over.
            if !as_owner.try_get(0)? {
                return Err(PostgresError::NotOwner);
            }
            client.batch_execute("SET ROLE flux_gate_owner").await?;
            // What is deleted while it is rewritten is not counted as gone.
            let begun: std::time::SystemTime =
                client.query_one("SELECT now()", &[]).await?.try_get(0)?;
            client.batch_execute("SET statement_timeout = 0").await?;
            client.batch_execute("VACUUM (FULL, ANALYZE) flux_gate.subjects").await?;
            let insert = "INSERT INTO flux_gate.deletions (at, what, count) VALUES ($1, $2, $3)";
            let count = "SELECT count(*) FROM flux_gate.subjects";
            let subjects: i64 = client.query_one(count, &[]).await?.try_get(0)?;
            client.execute(insert, &[&begun, &REWRITTEN, &subjects]).await?;
            client.batch_execute("RESET ROLE").await?;
            // Twice: a segment goes with the second checkpoint after it.
            let mut log_switched = true;
            for sql in
                ["SELECT pg_switch_wal()", "CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT"]
            {
                log_switched &= client.batch_execute(sql).await.is_ok();
            }
            Ok(Rewritten { subjects: subjects.max(0) as u64, log_switched })
        })
    }
}

async fn note(client: &Client, what: &str, detail: &str, count: u64) -> Result<(), PostgresError> {
    let sql = include_str!("sql/insert_deletion.sql");
    client.execute(sql, &[&what, &detail, &int(count)]).await?;
    Ok(())
}
