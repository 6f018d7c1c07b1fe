//! A store of a million orders: how long a start takes, and what an order takes in memory.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use flux_gate::clock::Clock;
use flux_gate::config::Data;
use flux_gate::keys::IdentityKeys;
use flux_gate::log::sqlite::Options;
use flux_gate::log::{Append, LogHandle, OrderLog, SqliteLog, Undecided};
use flux_gate::sale::{OrderProposed, Outcome, ProductId, Record};
use serde::Serialize;

use super::refusal::terms;
use super::servers::{self, BUYER_KEY, ORDER_KEY};

/// Records that are under way at once while the store is filled.
const UNDER_WAY_MAX: usize = 10_000;
/// Starts that are measured.
const STARTS: usize = 3;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Orders in the store.
    pub orders: u32,
    /// Resident memory of a server on an empty store, in bytes.
    pub empty_bytes: u64,
    /// Resident memory of a server on the full one, in bytes.
    pub full_bytes: u64,
    /// From the start of the process until it serves, in seconds: the median.
    pub start_s: f64,
    /// Time to write them, group commits included, in seconds.
    pub fill_s: f64,
}

impl Found {
    /// Memory of one order, in bytes.
    pub fn bytes_per_order(&self) -> f64 {
        self.full_bytes.saturating_sub(self.empty_bytes) as f64 / f64::from(self.orders)
    }
}

/// Fills a store and starts a server on it.
///
/// # Errors
/// The store cannot be written, or the server does not start.
pub fn measure(dir: &Path, orders: u32, clock: &Clock) -> anyhow::Result<Found> {
    let (empty, full) = (dir.join("empty"), dir.join("full"));
    let fill_s = fill(&full, orders, clock)?;
    let server = servers::start(&empty, 0)?;
    let empty_bytes = servers::resident_bytes(server.pid())?;
    server.stop()?;
    let (mut starts_s, mut full_bytes) = (Vec::new(), 0);
    for _ in 0..STARTS {
        let begun = Instant::now();
        let server = servers::start(&full, 0)?;
        starts_s.push(begun.elapsed().as_secs_f64());
        full_bytes = servers::resident_bytes(server.pid())?;
        let shown = servers::operate(&server, "GET", "/admin/products/million", "")?;
        ensure!(shown.contains(&format!(r#""sold":{orders},"#)), "{shown}");
        server.stop()?;
    }
    starts_s.sort_by(f64::total_cmp);
    Ok(Found { orders, empty_bytes, full_bytes, start_s: starts_s[STARTS / 2], fill_s })
}

/// Writes a sale with `orders` orders of as many buyers through the log itself. Returns the seconds.
fn fill(dir: &Path, orders: u32, clock: &Clock) -> anyhow::Result<f64> {
    let keys = IdentityKeys::new(ORDER_KEY.as_bytes(), BUYER_KEY.as_bytes());
    let data = Data { dir: dir.to_owned(), ..Data::default() };
    let options = Options::new(&data, &keys);
    let fatal = Box::new(|error| eprintln!("the store failed: {error}"));
    let log = SqliteLog::start(&options, clock.clone(), Box::new(|_| {}), fatal)?;
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let shared = OrderLog::Sqlite(log.clone());
    runtime.block_on(local.run_until(async {
        let handle = shared.handle();
        propose_all(&handle, &keys, orders, clock).await
    }))?;
    let seconds = begun.elapsed().as_secs_f64();
    log.stop();
    Ok(seconds)
}

async fn propose_all(
    handle: &LogHandle,
    keys: &IdentityKeys,
    orders: u32,
    clock: &Clock,
) -> anyhow::Result<()> {
    let product: ProductId = "million".parse()?;
    let opened = Record::SaleOpened(terms(keys, orders));
    let decided =
        handle.append(Append { product, record: opened, subject: None, by: None })?.await?;
    ensure!(decided.outcome == Outcome::Applied, "{:?}", decided.outcome);
    let mut under_way: Vec<Undecided> = Vec::with_capacity(UNDER_WAY_MAX);
    for number in 0..orders {
        let user = format!("buyer-{number}").parse()?;
        let buyer = keys.buyer("shop", &user);
        let order_id = keys.order_id(&product, &buyer, &"key".parse()?);
        let at_ms = clock.unix_ms();
        let proposal = OrderProposed { order_id, buyer, sealed_user: None, at_ms, generation: 0 };
        let record = Record::OrderProposed(proposal);
        under_way.push(handle.append(Append { product, record, subject: Some(user), by: None })?);
        if under_way.len() == UNDER_WAY_MAX {
            confirmed(&mut under_way).await?;
        }
    }
    confirmed(&mut under_way).await
}

async fn confirmed(under_way: &mut Vec<Undecided>) -> anyhow::Result<()> {
    for undecided in under_way.drain(..) {
        let decided = undecided.await.context("the log stopped")?;
        ensure!(decided.outcome == Outcome::Confirmed, "{:?}", decided.outcome);
    }
    Ok(())
}
