//! What an embedded store keeps of one person, and its erasures.

use rusqlite::types::ValueRef;

use super::{SqliteLedger, order_row, parse, text, uint};
use crate::erasures::Erasure;
use crate::ledger::LedgerError;
use crate::ledger::person::{Erased, ORDERS_OF_PERSON_MAX, PersonOrder};
use crate::sale::{BuyerRef, Record};

impl SqliteLedger {
    pub(in crate::ledger) async fn orders_of(
        &self,
        buyer: BuyerRef,
    ) -> Result<Vec<PersonOrder>, LedgerError> {
        self.0
            .read(move |connection| {
                let sql = include_str!("../sql/person_orders.sql");
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query((buyer.to_string(), ORDERS_OF_PERSON_MAX as i64))?;
                let mut orders = Vec::new();
                while let Some(row) = rows.next()? {
                    let order = order_row(row)?;
                    let erased = row.get_ref(6)? == ValueRef::Null;
                    let user_id = if erased { None } else { Some(parse(row, 6, order.offset)?) };
                    orders.push(PersonOrder { row: order, user_id });
                }
                Ok(orders)
            })
            .await
    }

    pub(in crate::ledger) async fn erased(
        &self,
        buyer: BuyerRef,
    ) -> Result<Option<Erased>, LedgerError> {
        self.0
            .read(move |connection| {
                let sql = include_str!("../sql/person_erased.sql");
                let mut statement = connection.prepare_cached(sql)?;
                statement.query_row([buyer.to_string()], |row| {
                    if row.get_ref(0)? == ValueRef::Null {
                        return Ok(Ok(None));
                    }
                    Ok(Ok(Some(Erased { at_ms: uint(row, 0)?, done: row.get(1)? })))
                })?
            })
            .await
    }

    /// All erasures that the log holds, in its order: each is in the journal of erasures, too.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn erasures(&self) -> Result<Vec<Erasure>, LedgerError> {
        self.0
            .read(|connection| {
                let mut statement = connection.prepare(include_str!("../sql/erasures.sql"))?;
                let mut rows = statement.query([])?;
                let mut erasures = Vec::new();
                while let Some(row) = rows.next()? {
                    // Records of before there was an operation cannot be told from a repetition.
                    if let Ok(Record::SubjectErased { buyer, operation: Some(operation) }) =
                        Record::decode(text(row, 0)?.as_bytes())
                    {
                        erasures.push(Erasure { buyer, operation, at_ms: uint(row, 1)? });
                    }
                }
                Ok(erasures)
            })
            .await
    }

    /// Erasures that the store has not done yet.
    ///
    /// # Errors
    /// [`LedgerError`]; safe to retry.
    pub async fn erasures_open(&self) -> Result<u64, LedgerError> {
        self.0
            .read(|connection| {
                let sql = include_str!("../sql/erasures_open.sql");
                Ok(connection.query_row(sql, [], |row| uint(row, 0))?)
            })
            .await
    }
}
