//! Pages of orders and of the fulfilment feed.
//!
//! Events are numbered without gaps in the order of commits (`seq`), and the counter's row is written in the
//! transaction of the events: what is not after the counter can be read, so a page can say where the next
//! one starts and nothing is ever passed over.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::error::PostgresError;
use super::rows::EVENTS_MAX;
use super::types::{Sixteen, buyer, int, order_id, parse, uint, unreadable};
use crate::ledger::{Event, EventKind, Lookup, OrderRow, PAGE_ROWS_MAX, Page};
use crate::sale::{OrderId, OrderStatus, ProductId};

/// Events that one page of a product's orders looks at.
const SCAN_EVENTS_MAX: u64 = 20_000;

/// The stretch of events that a page is about: after the first, up to and including the second.
struct Stretch {
    after: u64,
    to: u64,
    end: u64,
}

impl Stretch {
    async fn after(
        client: &ClientWrapper,
        after: u64,
        events_max: u64,
    ) -> Result<Self, PostgresError> {
        let statement = client.prepare_cached(include_str!("sql/end.sql")).await?;
        let end = uint(&client.query_one(&statement, &[]).await?, 0)?;
        Ok(Self { after, to: end.min(after.saturating_add(events_max)), end })
    }

    fn is_empty(&self) -> bool {
        self.to <= self.after
    }

    fn page<T>(&self, rows: Vec<T>, next: u64) -> Page<T> {
        Page { rows, next, at_end: next >= self.end }
    }
}

pub(super) async fn orders(
    client: &ClientWrapper,
    product: Option<ProductId>,
    after: u64,
    limit: usize,
) -> Result<Page<OrderRow>, PostgresError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let events_max = if product.is_some() { SCAN_EVENTS_MAX } else { limit as u64 };
    let stretch = Stretch::after(client, after, events_max).await?;
    if stretch.is_empty() {
        return Ok(stretch.page(Vec::new(), after));
    }
    let statement = client.prepare_cached(include_str!("sql/orders_page.sql")).await?;
    let (from, to) = (int(stretch.after), int(stretch.to));
    let product = product.as_ref().map(ProductId::as_str);
    let rows = client
        .query(&statement, &[&from, &to, &product, &(limit as i64), &(EVENTS_MAX as i64)])
        .await?;
    let next = match rows.last() {
        Some(last) if rows.len() == limit => uint(last, 0)?,
        _ => stretch.to,
    };
    let rows = rows.iter().map(|row| order(row, 1)).collect::<Result<_, _>>()?;
    Ok(stretch.page(rows, next))
}

pub(super) async fn feed(
    client: &ClientWrapper,
    after: u64,
    limit: usize,
) -> Result<Page<Event>, PostgresError> {
    let limit = limit.clamp(1, PAGE_ROWS_MAX);
    let stretch = Stretch::after(client, after, limit as u64).await?;
    if stretch.is_empty() {
        return Ok(stretch.page(Vec::new(), after));
    }
    let statement = client.prepare_cached(include_str!("sql/feed.sql")).await?;
    let (from, to) = (int(stretch.after), int(stretch.to));
    let rows = client.query(&statement, &[&from, &to, &(EVENTS_MAX as i64)]).await?;
    // A shop must never miss an order without a word.
    if rows.len() as u64 != stretch.to - stretch.after {
        return Err(unreadable(&format!("events after {} are missing", stretch.after)));
    }
    let rows = rows.iter().map(event).collect::<Result<_, _>>()?;
    Ok(stretch.page(rows, stretch.to))
}

pub(super) async fn archived_order(
    client: &ClientWrapper,
    id: OrderId,
) -> Result<Lookup, PostgresError> {
    let statement = client.prepare_cached(include_str!("sql/archived_order.sql")).await?;
    let row = client.query_opt(&statement, &[&Sixteen(*id.as_bytes())]).await?;
    Ok(match row {
        Some(row) => Lookup::Found(order(&row, 0)?),
        None => Lookup::Absent,
    })
}

pub(super) fn order(row: &Row, first: usize) -> Result<OrderRow, PostgresError> {
    let reversed: bool = row.try_get(first + 3)?;
    Ok(OrderRow {
        order_id: order_id(row, first)?,
        product: parse(row, first + 1, "a product")?,
        buyer: buyer(row, first + 2)?,
        status: if reversed { OrderStatus::Reversed } else { OrderStatus::Confirmed },
        created_at_ms: uint(row, first + 4)?,
        offset: uint(row, first + 5)?,
    })
}

fn event(row: &Row) -> Result<Event, PostgresError> {
    let reversed: bool = row.try_get(1)?;
    let user_id: Option<&str> = row.try_get(4)?;
    Ok(Event {
        kind: if reversed { EventKind::Reversed } else { EventKind::Accepted },
        order_id: order_id(row, 2)?,
        product: parse(row, 3, "a product")?,
        user_id: if user_id.is_some() { Some(parse(row, 4, "a user id")?) } else { None },
        offset: uint(row, 0)?,
        at_ms: uint(row, 5)?,
    })
}
