//! What a node writes, over a connection of its own, on the thread that writes the evidence.

use std::time::Duration;

use tokio_postgres::Client;

use crate::evidence::writer::{NotWritten, Sink};
use crate::evidence::{Mark, MinuteCount, Sighting};
use crate::ledger::postgres::PostgresError;
use crate::ledger::postgres::connect::Connector;
use crate::ledger::postgres::types::{Sixteen, int};
use crate::sale::ProductId;

/// How long a batch may take, with the connecting.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// See the module.
pub(in crate::evidence) struct Connection {
    connector: Connector,
    runtime: tokio::runtime::Runtime,
    client: Option<Client>,
}

impl Connection {
    /// Nothing is connected yet.
    pub(super) fn new(connector: Connector) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { connector, runtime, client: None })
    }
}

impl Sink for Connection {
    /// Each time adds a row a product and outcome.
    const COUNTS_EVERY_US: u64 = 5_000_000;

    fn write(&mut self, rows: &[Sighting], counts: &[MinuteCount]) -> Result<(), NotWritten> {
        let Self { connector, runtime, client } = self;
        let mut committing = false;
        let written = runtime.block_on(async {
            let writing = write(connector, client, rows, counts, &mut committing);
            tokio::time::timeout(WRITE_MAX, writing).await
        });
        let error = match written {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => PostgresError::TimedOut(WRITE_MAX.as_secs()),
        };
        self.client = None;
        let why = error.to_string();
        Err(if committing || !is_worth_a_try(&error) {
            NotWritten::Ever(why)
        } else {
            NotWritten::Yet(why)
        })
    }

    /// Workers do.
    fn keep_house(&mut self, _now_ms: u64) -> bool {
        false
    }
}

/// Whether it may go better later. What the server says of the rows themselves does not change.
fn is_worth_a_try(error: &PostgresError) -> bool {
    match error {
        PostgresError::Server(error) => !error.is_about_rows(),
        _ => true,
    }
}

async fn write(
    connector: &Connector,
    client: &mut Option<Client>,
    rows: &[Sighting],
    counts: &[MinuteCount],
    committing: &mut bool,
) -> Result<(), PostgresError> {
    let client = match client {
        Some(client) if !client.is_closed() => client,
        gone => gone.insert(connector.connect().await?),
    };
    // The login of nodes only reads unless a transaction says otherwise.
    let transaction = client.build_transaction().read_only(false).start().await?;
    if !rows.is_empty() {
        let column = |of: fn(&Sighting) -> i64| rows.iter().map(of).collect::<Vec<_>>();
        let maybe = |of: fn(&Sighting) -> Option<i64>| rows.iter().map(of).collect::<Vec<_>>();
        let words: Vec<&str> = rows.iter().map(|row| row.what.word()).collect();
        let weights: Vec<i32> = rows.iter().map(|row| row.weight as i32).collect();
        let products: Vec<Option<&str>> =
            rows.iter().map(|row| row.product.as_ref().map(ProductId::as_str)).collect();
        let orders: Vec<Option<Sixteen>> =
            rows.iter().map(|row| row.order_id.map(|id| Sixteen(*id.as_bytes()))).collect();
        let buyers: Vec<Option<Sixteen>> =
            rows.iter().map(|row| row.buyer.map(|buyer| Sixteen(*buyer.as_bytes()))).collect();
        let insert = include_str!("sql/insert_sightings.sql");
        transaction
            .execute(
                insert,
                &[
                    &column(|row| int(row.at_ms)),
                    &words,
                    &weights,
                    &products,
                    &orders,
                    &buyers,
                    &maybe(|row| row.series.map(|series| series.stem.0 as i64)),
                    &maybe(|row| row.series.map(|series| series.number as i64)),
                    &column(|row| row.address.0 as i64),
                    &column(|row| row.network.0 as i64),
                    &maybe(|row| row.fingerprint.map(|Mark(mark)| mark as i64)),
                ],
            )
            .await?;
    }
    if !counts.is_empty() {
        let minutes: Vec<i64> = counts.iter().map(|count| int(count.minute_ms)).collect();
        let products: Vec<&str> = counts
            .iter()
            .map(|count| count.product.as_ref().map_or("", ProductId::as_str))
            .collect();
        let words: Vec<&str> = counts.iter().map(|count| count.what.word()).collect();
        let numbers: Vec<i64> = counts.iter().map(|count| int(count.count)).collect();
        let insert = include_str!("sql/insert_counts.sql");
        transaction.execute(insert, &[&minutes, &products, &words, &numbers]).await?;
    }
    *committing = true;
    Ok(transaction.commit().await?)
}
