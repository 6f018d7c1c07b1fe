//! The statements of a batch. Each takes its rows as arrays, so that a batch of any size is a dozen
//! messages, and all of them are on their way before the first is answered.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::Written;
use crate::ledger::postgres::PostgresError;
use crate::ledger::postgres::rows::*;
use crate::ledger::postgres::types::{Sixteen, int, unreadable};
use crate::snapshot::{CHECKPOINT_OFFSETS, CHECKPOINTS_KEPT};

macro_rules! prepared {
    ($($name:ident),* $(,)?) => {
        /// A connection with its prepared statements.
        pub(super) struct Session {
            pub(super) client: Client,
            $($name: Statement),*
        }

        impl Session {
            pub(super) async fn prepare(client: Client) -> Result<Self, PostgresError> {
                $(
                    let sql = include_str!(concat!("../sql/", stringify!($name), ".sql"));
                    let $name = client.prepare(sql).await?;
                )*
                Ok(Self { client, $($name),* })
            }
        }
    };
}

prepared!(
    advance,
    insert_orders,
    insert_subjects,
    insert_reversals,
    upsert_products,
    upsert_control,
    insert_operations,
    insert_checkpoints,
    forget_checkpoints,
    insert_erased,
    delete_subjects,
    delete_evidence,
    index_archived,
    number_events,
);

/// While subjects are inserted nobody may be erased: the one who erases would not see them. And the other
/// way round.
fn begin(batch: &Batch) -> String {
    let lock = match (batch.erased.is_empty(), batch.subjects.is_empty()) {
        (false, _) => "LOCK TABLE flux_gate.erased IN SHARE ROW EXCLUSIVE MODE;",
        (true, false) => "LOCK TABLE flux_gate.erased IN SHARE MODE;",
        (true, true) => "",
    };
    // These two look at all orders, or at all of a product.
    let patience = if batch.erased.is_empty() && batch.archived.is_empty() {
        ""
    } else {
        "SET LOCAL statement_timeout = '10min';"
    };
    format!("BEGIN;{patience}{lock}")
}

/// One column of a batch, for `unnest`.
fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn column_of<'a, R, T: ?Sized>(rows: &'a [R], of: impl Fn(&'a R) -> &'a T) -> Vec<&'a T> {
    rows.iter().map(of).collect()
}

impl Session {
    pub(super) async fn write(&self, batch: &Batch) -> Result<Written, PostgresError> {
        let begin = begin(batch);
        // Only the commit waits for answers.
        let (begun, advanced, added, changed, numbered) = tokio::join!(
            biased;
            self.client.batch_execute(&begin),
            self.advance(&batch.advances),
            self.add(batch),
            self.change(batch),
            self.number(&batch.advances, batch.events()),
        );
        begun?;
        if advanced? != batch.advances.len() as u64 {
            self.client.batch_execute("ROLLBACK").await?;
            return Ok(Written::Stale);
        }
        added?;
        changed?;
        numbered?;
        self.client.batch_execute("COMMIT").await?;
        Ok(Written::Done)
    }

    /// The rows that are never changed again.
    async fn add(&self, batch: &Batch) -> Result<(), PostgresError> {
        let (orders, subjects, reversals, operations, checkpoints) = tokio::join!(
            biased;
            self.orders(&batch.orders),
            self.subjects(&batch.subjects),
            self.reversals(&batch.reversals),
            self.operations(&batch.operations),
            self.checkpoints(&batch.checkpoints),
        );
        orders?;
        subjects?;
        operations?;
        checkpoints?;
        // The database joins them to their orders.
        if reversals? != batch.reversals.len() as u64 {
            return Err(unreadable("an order that was reversed is not there"));
        }
        Ok(())
    }

    /// What changes or goes; after the rows that were added.
    async fn change(&self, batch: &Batch) -> Result<(), PostgresError> {
        let archived = column_of(&batch.archived, |product| product.as_str());
        let newest: Vec<_> = newest_checkpoints(&batch.checkpoints).collect();
        let partitions = column(&newest, |checkpoint| checkpoint.partition);
        let kept_after = column(&newest, |row| {
            int(row.next_offset) - (CHECKPOINTS_KEPT * CHECKPOINT_OFFSETS) as i64
        });
        let (archived_columns, kept_columns): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 2]) =
            ([&archived], [&partitions, &kept_after]);
        let (products, control, indexed, forgotten, erased) = tokio::join!(
            biased;
            self.products(&batch.products),
            self.control(batch.control.as_deref()),
            self.execute(archived.len(), &self.index_archived, &archived_columns),
            self.execute(newest.len(), &self.forget_checkpoints, &kept_columns),
            self.erase(&batch.erased),
        );
        indexed?;
        forgotten?;
        erased?;
        if control? != u64::from(batch.control.is_some()) {
            return Err(unreadable("the control state is in two partitions"));
        }
        if products? != batch.products.len() as u64 {
            return Err(unreadable("a product is in two partitions"));
        }
        Ok(())
    }

    /// Runs a statement on so many rows, if there are any.
    async fn execute(
        &self,
        rows: usize,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, PostgresError> {
        if rows == 0 {
            return Ok(0);
        }
        Ok(self.client.execute(statement, parameters).await?)
    }

    async fn advance(&self, rows: &[Advance]) -> Result<u64, PostgresError> {
        let partition = column(rows, |row| row.head.partition);
        let from = column(rows, |row| int(row.from));
        let next = column(rows, |row| int(row.head.next_offset));
        let digest = column_of(rows, |row| row.head.digest.as_slice());
        let previous = column_of(rows, |row| row.head.previous.as_slice());
        let outcome = column_of(rows, |row| &*row.head.last_outcome);
        let columns: [&(dyn ToSql + Sync); 6] =
            [&partition, &from, &next, &digest, &previous, &outcome];
        self.execute(rows.len(), &self.advance, &columns).await
    }

    async fn orders(&self, rows: &[OrderInsert]) -> Result<u64, PostgresError> {
        let partition = column(rows, |row| row.partition);
        let place = column(rows, |row| row.place as i32);
        let offset = column(rows, |row| int(row.offset));
        let confirmed_at = column(rows, |row| int(row.confirmed_at_ms));
        let order_id = column(rows, |row| Sixteen(*row.order_id.as_bytes()));
        let buyer = column(rows, |row| Sixteen(*row.buyer.as_bytes()));
        let product = column_of(rows, |row| row.product.as_str());
        let columns: [&(dyn ToSql + Sync); 7] =
            [&partition, &place, &offset, &confirmed_at, &order_id, &buyer, &product];
        self.execute(rows.len(), &self.insert_orders, &columns).await
    }

    async fn subjects(&self, rows: &[SubjectInsert]) -> Result<u64, PostgresError> {
        let partition = column(rows, |row| row.partition);
        let offset = column(rows, |row| int(row.offset));
        let user = column_of(rows, |row| row.user_id.as_str());
        let buyer = column(rows, |row| Sixteen(*row.buyer.as_bytes()));
        let confirmed_at = column(rows, |row| int(row.confirmed_at_ms));
        let columns: [&(dyn ToSql + Sync); 5] = [&partition, &offset, &user, &buyer, &confirmed_at];
        self.execute(rows.len(), &self.insert_subjects, &columns).await
    }

    async fn reversals(&self, rows: &[ReversalInsert]) -> Result<u64, PostgresError> {
        let partition = column(rows, |row| row.partition);
        let order = column(rows, |row| int(row.order_offset));
        let offset = column(rows, |row| int(row.offset));
        let place = column(rows, |row| row.place as i32);
        let reversed_at = column(rows, |row| int(row.reversed_at_ms));
        let frees_limit = column(rows, |row| row.frees_limit);
        let columns: [&(dyn ToSql + Sync); 6] =
            [&partition, &order, &offset, &place, &reversed_at, &frees_limit];
        self.execute(rows.len(), &self.insert_reversals, &columns).await
    }

    async fn operations(&self, rows: &[OperationInsert]) -> Result<u64, PostgresError> {
        let product = column_of(rows, |row| row.product.as_str());
        let operation = column_of(rows, |row| row.operation.as_str());
        let offset = column(rows, |row| int(row.offset));
        self.execute(rows.len(), &self.insert_operations, &[&product, &operation, &offset]).await
    }

    async fn checkpoints(&self, rows: &[Checkpoint]) -> Result<u64, PostgresError> {
        let partition = column(rows, |row| row.partition);
        let offset = column(rows, |row| int(row.next_offset));
        let digest = column_of(rows, |row| row.digest.as_slice());
        self.execute(rows.len(), &self.insert_checkpoints, &[&partition, &offset, &digest]).await
    }

    async fn products(&self, rows: &[ProductRow]) -> Result<u64, PostgresError> {
        let product = column_of(rows, |row| row.product.as_str());
        let partition = column(rows, |row| row.partition);
        let opened = column(rows, |row| int(row.opened_offset));
        let terms = column(rows, |row| {
            serde_json::to_string(&row.terms).expect("terms have only string keys")
        });
        let sold = column(rows, |row| i64::from(row.sold));
        let paused = column(rows, |row| row.paused);
        let archived = column(rows, |row| row.archived);
        let generation = column(rows, |row| int(row.generation));
        let log_time = column(rows, |row| int(row.log_time_ms));
        let applied = column(rows, |row| int(row.applied_offset));
        let columns: [&(dyn ToSql + Sync); 10] = [
            &product,
            &partition,
            &opened,
            &terms,
            &sold,
            &paused,
            &archived,
            &generation,
            &log_time,
            &applied,
        ];
        self.execute(rows.len(), &self.upsert_products, &columns).await
    }

    async fn control(&self, row: Option<&ControlRow>) -> Result<u64, PostgresError> {
        let Some(ControlRow { partition, state }) = row else { return Ok(0) };
        let json = serde_json::to_string(state).expect("the state has only string keys");
        let (log_time, applied) = (int(state.log_time_ms()), int(state.applied_offset()));
        let columns: [&(dyn ToSql + Sync); 4] = [partition, &json, &log_time, &applied];
        self.execute(1, &self.upsert_control, &columns).await
    }

    /// Remembers who is forgotten, and forgets.
    async fn erase(&self, rows: &[Erased]) -> Result<(), PostgresError> {
        let buyer = column(rows, |row| Sixteen(*row.buyer.as_bytes()));
        let at = column(rows, |row| int(row.at_ms));
        let columns: [&(dyn ToSql + Sync); 2] = [&buyer, &at];
        let (remembered, forgotten, unseen) = tokio::join!(
            biased;
            self.execute(rows.len(), &self.insert_erased, &columns),
            self.execute(rows.len(), &self.delete_subjects, &columns),
            self.execute(rows.len(), &self.delete_evidence, &columns),
        );
        remembered?;
        forgotten?;
        unseen?;
        Ok(())
    }

    async fn number(&self, rows: &[Advance], events: u64) -> Result<u64, PostgresError> {
        let rows: Vec<_> = rows.iter().filter(|row| row.events > 0).collect();
        let partition = column(&rows, |row| row.head.partition);
        let from = column(&rows, |row| int(row.from));
        let to = column(&rows, |row| int(row.head.next_offset) - 1);
        let count = column(&rows, |row| i64::from(row.events));
        let before: Vec<i64> = count
            .iter()
            .scan(0, |sum, count| {
                let before = *sum;
                *sum += count;
                Some(before)
            })
            .collect();
        let columns: [&(dyn ToSql + Sync); 6] =
            [&int(events), &partition, &from, &to, &before, &count];
        self.execute(rows.len(), &self.number_events, &columns).await
    }
}

/// The last checkpoint of each partition.
fn newest_checkpoints(checkpoints: &[Checkpoint]) -> impl Iterator<Item = &Checkpoint> {
    checkpoints.iter().enumerate().filter_map(|(index, checkpoint)| {
        let later = &checkpoints[index + 1..];
        let newest = later.iter().all(|later| later.partition != checkpoint.partition);
        newest.then_some(checkpoint)
    })
}
