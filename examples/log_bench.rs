//! The embedded log alone: accepted records a second, and the time to start with them.
//!
//! `cargo run --release --example log_bench -- [orders] [records of a batch] [directory]`; the store is a
//! temporary one in the directory, which says what disk is measured.

use std::collections::VecDeque;

use flux_gate::clock::Clock;
use flux_gate::config::Data;
use flux_gate::keys::IdentityKeys;
use flux_gate::log::sqlite::Options;
use flux_gate::log::{Append, LogHandle, OrderLog, SqliteLog};
use flux_gate::sale::record::{OrderProposed, Record, SaleOpened};
use flux_gate::sale::{IdempotencyKey, ProductId, UserId};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |n: String| n.parse().unwrap());
    let (orders, batch) = (number(1_000_000), number(500));
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(parent).unwrap();
    let data = Data { dir: dir.path().into(), batch_records_max: batch, ..Data::default() };
    let keys = IdentityKeys::new(&[1; 32], &[2; 32]);
    let clock = Clock::system();

    let mut appends = prepare(&keys, &clock, orders);
    let log = start(&data, &keys, &clock);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let handle = OrderLog::Sqlite(log.clone()).handle();
        let began = clock.monotonic_us();
        sell(&handle, &mut appends, batch * 4).await;
        let seconds = (clock.monotonic_us() - began) as f64 / 1e6;
        println!("{orders} accepted records in {seconds:.2} s: {:.0}/s", orders as f64 / seconds);
    });
    let began = clock.monotonic_us();
    log.stop();
    println!("stop: {} ms", (clock.monotonic_us() - began) / 1_000);
    drop(log);
    let before = resident_bytes();
    let began = clock.monotonic_us();
    let log = start(&data, &keys, &clock);
    println!("start with {orders} orders: {} ms", (clock.monotonic_us() - began) / 1_000);
    println!("memory: {} bytes an order", (resident_bytes() - before) / orders as i64);
    log.stop();
}

fn start(data: &Data, keys: &IdentityKeys, clock: &Clock) -> SqliteLog {
    let fatal = Box::new(|error| panic!("{error}"));
    SqliteLog::start(&Options::new(data, keys), clock.clone(), Box::new(|_| {}), fatal).unwrap()
}

fn prepare(keys: &IdentityKeys, clock: &Clock, orders: usize) -> VecDeque<Append> {
    let product: ProductId = "shoe".parse().unwrap();
    let now_ms = clock.unix_ms();
    let opened = Record::SaleOpened(SaleOpened {
        capacity: u32::MAX,
        per_buyer_limit: 1,
        repeat_window_ms: 60_000,
        opens_at_ms: 0,
        closes_at_ms: None,
        key_fingerprints: keys.fingerprints().clone(),
        rules_version: 1,
        operation: None,
    });
    let mut appends = VecDeque::from([Append { product, record: opened, subject: None, by: None }]);
    for n in 0..orders {
        let user: UserId = format!("user-{n}").parse().unwrap();
        let key: IdempotencyKey = format!("key-{n}").parse().unwrap();
        let buyer = keys.buyer("shop", &user);
        let order_id = keys.order_id(&product, &buyer, &key);
        // The whole run takes less than a minute of log time at a guess of the future.
        let at_ms = now_ms + 60_000;
        let proposed = OrderProposed { order_id, buyer, sealed_user: None, at_ms, generation: 0 };
        let record = Record::OrderProposed(proposed);
        appends.push_back(Append { product, record, subject: Some(user), by: None });
    }
    appends
}

async fn sell(handle: &LogHandle, appends: &mut VecDeque<Append>, in_flight: usize) {
    let mut waiting = VecDeque::new();
    while let Some(append) = appends.pop_front() {
        waiting.push_back(handle.append(append).unwrap());
        if waiting.len() >= in_flight {
            waiting.pop_front().unwrap().await.unwrap();
        }
    }
    for undecided in waiting {
        undecided.await.unwrap();
    }
}

fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4_096
}
