//! What the configured user may do in PostgreSQL, as the server's catalogue says.

use tokio_postgres::Client;

use super::error::PostgresError;

/// Rights of the user of `postgres.url`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// A superuser may do everything.
    pub superuser: bool,
    /// Read orders.
    pub reads_orders: bool,
    /// Write orders and progress.
    pub writes_orders: bool,
    /// Delete orders.
    pub deletes_orders: bool,
    /// Read user ids.
    pub reads_user_ids: bool,
    /// Add to the evidence.
    pub adds_evidence: bool,
    /// Read all of the evidence.
    pub reads_evidence: bool,
    /// Delete evidence.
    pub deletes_evidence: bool,
    /// Change evidence.
    pub changes_evidence: bool,
    /// Make tables in the schema.
    pub makes_tables: bool,
}

pub(super) async fn rights(client: &Client) -> Result<Rights, PostgresError> {
    let row = client.query_one(include_str!("sql/rights.sql"), &[]).await?;
    Ok(Rights {
        superuser: row.try_get(0)?,
        reads_orders: row.try_get(1)?,
        writes_orders: row.try_get(2)?,
        deletes_orders: row.try_get(3)?,
        reads_user_ids: row.try_get(4)?,
        makes_tables: row.try_get(5)?,
        adds_evidence: row.try_get(6)?,
        reads_evidence: row.try_get(7)?,
        deletes_evidence: row.try_get(8)?,
        changes_evidence: row.try_get(9)?,
    })
}
