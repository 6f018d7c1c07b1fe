//! What a proof of sale states of an embedded log: read from the log itself, not from what a server remembers.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::StartError;
use super::replay::{self, LogRow};
use super::{migrations, store};
use crate::receipt::proof::Facts;
use crate::sale::{Book, LogEntry, OrderId, Outcome, ProductId, Record};

/// The facts of one product, up to the log's present end; `None` if the log has no such product. Whether the
/// log is sound is for [`verify`](super::verify::verify) to say.
///
/// # Errors
/// The store cannot be read, or its schema is not this program's.
pub fn facts(dir: &Path, product: ProductId) -> Result<Option<Facts>, StartError> {
    let sqlite = |source| StartError::Sqlite { dir: dir.into(), source };
    let connection = store::open_read_only(dir).map_err(sqlite)?;
    if !migrations::is_current(dir, &connection)? {
        return Err(StartError::OlderSchema { dir: dir.into() });
    }
    let transaction = connection.unchecked_transaction().map_err(sqlite)?;
    let head = replay::read_head(&connection).map_err(sqlite)?;
    let products = replay::read_products(&connection).map_err(sqlite)?;
    let mut book = Book::default();
    let mut tally = Tally::default();
    let mut statement = connection.prepare(include_str!("sql/read_log.sql")).map_err(sqlite)?;
    let mut rows = statement.query((0, head.offset as i64, -1)).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let row = LogRow::read(row).map_err(sqlite)?;
        let offset = row.offset;
        if products.by_number.get(&row.product) != Some(&product) {
            continue;
        }
        let record = Record::decode(row.record.as_bytes())
            .map_err(|_| StartError::Damaged { offset, what: "its record cannot be read" })?;
        let entry = LogEntry { offset, appended_at_ms: row.log_time_ms, product, record };
        let outcome = book.apply(&entry);
        tally.count(&entry.record, &outcome);
    }
    drop(rows);
    drop(statement);
    transaction.finish().map_err(sqlite)?;
    Ok(book.get(&product).map(|state| Facts {
        product,
        capacity: state.terms().capacity,
        reversed: tally.reversed,
        offset: head.offset,
        digest: head.digest,
        orders: tally.standing.into_iter().map(OrderId::from_random_bytes).collect(),
    }))
}

#[derive(Default)]
struct Tally {
    standing: BTreeSet<[u8; 16]>,
    reversed: u32,
}

impl Tally {
    fn count(&mut self, record: &Record, outcome: &Outcome) {
        match (record, outcome) {
            (Record::OrderProposed(proposal), Outcome::Confirmed) => {
                self.standing.insert(*proposal.order_id.as_bytes());
            }
            (Record::OrderReversed { order_id, .. }, Outcome::Applied) => {
                self.reversed += u32::from(self.standing.remove(order_id.as_bytes()));
            }
            _ => {}
        }
    }
}
