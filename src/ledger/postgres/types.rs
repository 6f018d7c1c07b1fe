//! Values on their way into rows and back.
//!
//! PostgreSQL's integers are signed; offsets, times and counts of this program stay far below the limit.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use super::error::PostgresError;
use crate::sale::{BuyerRef, OrderId};

/// 16 bytes: an order id (`uuid`) or a buyer (`bytea`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sixteen(pub(crate) [u8; 16]);

impl ToSql for Sixteen {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID, BYTEA);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Sixteen {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(UUID, BYTEA);
}

/// The value as an integer of PostgreSQL. An `after` from outside may be larger than any: it is then past
/// every end.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn uint(row: &Row, column: usize) -> Result<u64, PostgresError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| unreadable("a negative number"))
}

pub(crate) fn small(row: &Row, column: usize) -> Result<u32, PostgresError> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|_| unreadable("a number out of range"))
}

pub(crate) fn parse<T: std::str::FromStr>(
    row: &Row,
    column: usize,
    what: &str,
) -> Result<T, PostgresError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| unreadable(what))
}

pub(crate) fn order_id(row: &Row, column: usize) -> Result<OrderId, PostgresError> {
    let Sixteen(bytes) = row.try_get(column)?;
    let id = OrderId::from_random_bytes(bytes);
    // The bits of the version are in place already, or it is not one of ours.
    if *id.as_bytes() == bytes { Ok(id) } else { Err(unreadable("an order id")) }
}

pub(crate) fn buyer(row: &Row, column: usize) -> Result<BuyerRef, PostgresError> {
    let Sixteen(bytes) = row.try_get(column)?;
    Ok(BuyerRef::from_bytes(bytes))
}

pub(crate) fn unreadable(what: &str) -> PostgresError {
    PostgresError::Unreadable(what.to_owned())
}
