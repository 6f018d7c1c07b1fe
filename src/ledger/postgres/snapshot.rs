//! The states of all products as of one moment: one REPEATABLE READ transaction.
//!
//! Orders are read in stretches of the primary key, so that no answer grows with the ledger.

use std::collections::HashMap;

use deadpool_postgres::tokio_postgres::IsolationLevel;
use tokio_postgres::{Client, Row, Transaction};

use super::error::PostgresError;
use super::migrations;
use super::rows::Checkpoint;
use super::types::{buyer, int, order_id, parse, small, uint, unreadable};
use crate::chain::Digest;
use crate::config::Config;
use crate::sale::{ControlState, OrderSnapshot, ProductId, SaleSnapshot};
use crate::snapshot::{PartitionHead, Snapshot};

/// Orders of one statement.
const STRETCH_ROWS: i64 = 25_000;

/// The log that the ledger is filled from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) topic: String,
    pub(super) partitions: i32,
}

/// What a reader holds already, with the place up to which it holds it.
pub(super) type Held = HashMap<i32, PartitionHead>;

impl Source {
    pub(super) fn new(config: &Config) -> Self {
        let partitions = i32::try_from(config.kafka.partitions).unwrap_or(i32::MAX);
        Self { topic: config.kafka.topic.clone(), partitions }
    }

    /// Whether the ledger is filled from this log; `false` if it has not been begun.
    ///
    /// # Errors
    /// It is filled from another log.
    pub(super) async fn check(&self, transaction: &Transaction<'_>) -> Result<bool, PostgresError> {
        let ledger = transaction.query_opt(include_str!("sql/read_ledger.sql"), &[]).await?;
        let Some(ledger) = ledger else { return Ok(false) };
        let (topic, partitions): (String, i32) = (ledger.try_get(0)?, ledger.try_get(1)?);
        if topic == self.topic && partitions == self.partitions {
            return Ok(true);
        }
        Err(PostgresError::OtherLog {
            topic,
            partitions,
            configured_topic: self.topic.clone(),
            configured_partitions: self.partitions,
        })
    }
}

/// Reads the heads of all partitions, and the sales of those in `wanted` (`None` is all) that are not
/// `held` at just their head.
pub(super) async fn read(
    client: &mut Client,
    source: &Source,
    wanted: Option<&[i32]>,
    held: &Held,
) -> Result<Snapshot, PostgresError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    migrations::check(&transaction).await?;
    if !source.check(&transaction).await? {
        let heads = (0..source.partitions).map(PartitionHead::beginning).collect();
        return Ok(Snapshot { heads, ..Snapshot::default() });
    }
    let heads = heads(&transaction, source).await?;
    let to_read: Vec<i32> = heads
        .iter()
        .filter(|head| held.get(&head.partition) != Some(head))
        .map(|head| head.partition)
        .filter(|partition| wanted.is_none_or(|wanted| wanted.contains(partition)))
        .collect();
    let sales = sales(&transaction, &to_read).await?;
    let control = control(&transaction, &to_read).await?;
    transaction.commit().await?;
    Ok(Snapshot { heads, sales, control })
}

/// The control state, if its records lie in one of these partitions and there are any.
async fn control(
    transaction: &Transaction<'_>,
    partitions: &[i32],
) -> Result<Option<ControlState>, PostgresError> {
    let row = transaction.query_opt(include_str!("sql/read_control.sql"), &[&partitions]).await?;
    let Some(row) = row else { return Ok(None) };
    let state: &str = row.try_get(0)?;
    serde_json::from_str(state).map(Some).map_err(|_| unreadable("the control state"))
}

async fn heads(
    transaction: &Transaction<'_>,
    source: &Source,
) -> Result<Vec<PartitionHead>, PostgresError> {
    let rows = transaction.query(include_str!("sql/read_progress.sql"), &[]).await?;
    let heads = rows.iter().map(head).collect::<Result<Vec<_>, _>>()?;
    let complete = heads.iter().map(|head| head.partition).eq(0..source.partitions);
    if complete { Ok(heads) } else { Err(unreadable("progress does not hold every partition")) }
}

/// The digests that the workers noted lately.
pub(super) async fn checkpoints(client: &Client) -> Result<Vec<Checkpoint>, PostgresError> {
    let rows = client.query(include_str!("sql/read_checkpoints.sql"), &[]).await?;
    let checkpoint = |row: &Row| {
        let (partition, next_offset) = (row.try_get(0)?, uint(row, 1)?);
        Ok(Checkpoint { partition, next_offset, digest: digest(row, 2)? })
    };
    rows.iter().map(checkpoint).collect()
}

/// How far each partition is written.
pub(super) async fn progress(client: &Client) -> Result<Vec<(i32, u64)>, PostgresError> {
    let rows = client.query(include_str!("sql/read_progress.sql"), &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, uint(row, 1)?))).collect()
}

fn digest(row: &Row, column: usize) -> Result<Digest, PostgresError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| unreadable("a digest"))
}

fn head(row: &Row) -> Result<PartitionHead, PostgresError> {
    Ok(PartitionHead {
        partition: row.try_get(0)?,
        next_offset: uint(row, 1)?,
        digest: digest(row, 2)?,
        previous: digest(row, 3)?,
        last_outcome: row.try_get::<_, String>(4)?.into(),
    })
}

/// A sale that is being read.
struct Reading {
    partition: i32,
    opened_offset: u64,
    sale: SaleSnapshot,
}

async fn sales(
    transaction: &Transaction<'_>,
    partitions: &[i32],
) -> Result<Vec<(ProductId, SaleSnapshot)>, PostgresError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut sales = HashMap::new();
    for row in transaction.query(include_str!("sql/read_products.sql"), &[&partitions]).await? {
        sales.insert(parse::<ProductId>(&row, 0, "a product")?, product(&row)?);
    }
    for row in transaction.query(include_str!("sql/read_operations.sql"), &[&partitions]).await? {
        let sale = of_product(&mut sales, &row, 0)?;
        sale.operations.push((parse(&row, 1, "an operation")?, uint(&row, 2)?));
    }
    for partition in partitions {
        orders(transaction, *partition, &mut sales).await?;
    }
    Ok(sales.into_iter().map(|(product, reading)| (product, reading.sale)).collect())
}

fn product(row: &Row) -> Result<Reading, PostgresError> {
    let terms: &str = row.try_get(3)?;
    let terms = serde_json::from_str(terms).map_err(|_| unreadable("the terms of a sale"))?;
    let sale = SaleSnapshot {
        terms,
        sold: small(row, 4)?,
        paused: row.try_get(5)?,
        archived: row.try_get(6)?,
        generation: uint(row, 7)?,
        log_time_ms: uint(row, 8)?,
        applied_offset: uint(row, 9)?,
        orders: Vec::new(),
        operations: Vec::new(),
    };
    Ok(Reading { partition: row.try_get(1)?, opened_offset: uint(row, 2)?, sale })
}

fn of_product<'a>(
    sales: &'a mut HashMap<ProductId, Reading>,
    row: &Row,
    column: usize,
) -> Result<&'a mut SaleSnapshot, PostgresError> {
    let name: &str = row.try_get(column)?;
    let reading = sales.get_mut(name).ok_or_else(|| unreadable("a row of no product"))?;
    Ok(&mut reading.sale)
}

/// Reads the orders of a partition's sales that are not archived.
async fn orders(
    transaction: &Transaction<'_>,
    partition: i32,
    sales: &mut HashMap<ProductId, Reading>,
) -> Result<(), PostgresError> {
    let running: Vec<_> = sales
        .iter_mut()
        .filter(|(_, reading)| reading.partition == partition && !reading.sale.archived)
        .map(|(product, reading)| {
            reading.sale.orders.reserve(reading.sale.sold as usize);
            (product.to_string(), reading.opened_offset)
        })
        .collect();
    let Some(first) = running.iter().map(|(_, opened_offset)| *opened_offset).min() else {
        return Ok(());
    };
    let products: Vec<_> = running.iter().map(|(product, _)| product.as_str()).collect();
    let statement = transaction.prepare(include_str!("sql/read_orders.sql")).await?;
    let mut from = first;
    loop {
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&partition, &int(from), &products, &STRETCH_ROWS];
        let rows = transaction.query(&statement, &parameters).await?;
        for row in &rows {
            let order = order(row)?;
            from = order.offset + 1;
            of_product(sales, row, 1)?.orders.push(order);
        }
        if (rows.len() as i64) < STRETCH_ROWS {
            return Ok(());
        }
    }
}

fn order(row: &Row) -> Result<OrderSnapshot, PostgresError> {
    // Of its reversal, if there is one.
    let frees_limit: Option<bool> = row.try_get(5)?;
    Ok(OrderSnapshot {
        id: order_id(row, 2)?,
        buyer: buyer(row, 3)?,
        offset: uint(row, 0)?,
        confirmed_at_ms: uint(row, 4)?,
        reversed: frees_limit.is_some(),
        counts: frees_limit != Some(true),
    })
}
