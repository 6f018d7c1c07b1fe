//! What the ledger keeps of one person, and what was deleted.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Client, Row};

use super::error::PostgresError;
use super::pages::order;
use super::types::{Sixteen, parse, uint};
use crate::ledger::person::{Deleted, Erased, ORDERS_OF_PERSON_MAX, PersonOrder};
use crate::sale::BuyerRef;

pub(super) async fn orders(
    client: &ClientWrapper,
    buyer: BuyerRef,
) -> Result<Vec<PersonOrder>, PostgresError> {
    let sql = include_str!("sql/person_orders.sql");
    let (buyer, most) = (Sixteen(*buyer.as_bytes()), ORDERS_OF_PERSON_MAX as i64);
    let rows = client.query(sql, &[&buyer, &most]).await?;
    let of = |row: &Row| {
        let user_id: Option<&str> = row.try_get(6)?;
        let user_id = if user_id.is_some() { Some(parse(row, 6, "a user id")?) } else { None };
        Ok(PersonOrder { row: order(row, 0)?, user_id })
    };
    rows.iter().map(of).collect()
}

pub(super) async fn erased(
    client: &ClientWrapper,
    buyer: BuyerRef,
) -> Result<Option<Erased>, PostgresError> {
    let sql = include_str!("sql/person_erased.sql");
    let row = client.query_opt(sql, &[&Sixteen(*buyer.as_bytes())]).await?;
    // Written in the transaction that deletes the user ids.
    row.map(|row| Ok(Erased { at_ms: uint(&row, 0)?, done: true })).transpose()
}

pub(super) async fn deletions(client: &Client) -> Result<Vec<Deleted>, PostgresError> {
    let rows = client.query(include_str!("sql/read_deletions.sql"), &[]).await?;
    rows.iter().map(deleted).collect()
}

fn deleted(row: &Row) -> Result<Deleted, PostgresError> {
    Ok(Deleted { at_ms: uint(row, 0)?, what: row.try_get(1)?, detail: row.try_get(2)? })
}
