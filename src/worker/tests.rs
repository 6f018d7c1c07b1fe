//! The worker without Kafka: records out of a list, through the states, into a real PostgreSQL.

mod contract;
mod exactly_once;
mod restored;
mod whole;

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::apply::{Content, Filled, Filling, Partition, restore};
use crate::chain::Link;
use crate::config::Config;
use crate::keys::seal::{Opener, Sealer};
use crate::ledger::postgres::tests::support::{Database, PARTITIONS, User};
use crate::ledger::postgres::{PostgresError, PostgresLedger, Writer, writer::Written};
use crate::ledger::{Event, Ledger};
use crate::sale::{
    BuyerRef, LogEntry, OrderId, OrderProposed, ProductId, Record, SaleState, UserId,
};
use crate::snapshot::Snapshot;

/// A message of a log that is a list.
#[derive(Debug, Clone)]
struct Message {
    time_ms: u64,
    product: ProductId,
    /// `None` is what nobody vouches for.
    record: Option<Record>,
}

/// A log: messages by partition.
#[derive(Debug, Clone, Default)]
struct Log(Vec<Vec<Message>>);

impl Log {
    fn new() -> Self {
        Self(vec![Vec::new(); PARTITIONS as usize])
    }

    fn push(&mut self, message: Message) {
        self.0[partition_of(&message.product) as usize].push(message);
    }

    fn end(&self, partition: i32) -> u64 {
        self.0[partition as usize].len() as u64
    }

    fn partitions(&self) -> Vec<i32> {
        (0..self.0.len() as i32).collect()
    }
}

/// Products of tests say their partition themselves: `shoe-2` lies in 2.
fn partition_of(product: &ProductId) -> i32 {
    product.as_str().rsplit('-').next().unwrap().parse().unwrap()
}

fn opener() -> Opener {
    Opener::new(&SecretString::from(format!("k:{}", "41".repeat(32)))).unwrap()
}

fn order_id(n: u32) -> OrderId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    OrderId::from_random_bytes(bytes)
}

fn buyer(n: u32) -> BuyerRef {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    BuyerRef::from_bytes(bytes)
}

fn user(n: u32) -> UserId {
    format!("user-{n}").parse().unwrap()
}

/// Seals user ids as nodes do.
struct Seals(Sealer);

impl Seals {
    fn new() -> Self {
        Self(Sealer::new(&opener().public_key()).unwrap())
    }

    /// The proposal with the id of its user, which is `user-<of>`.
    fn seal(&self, product: &ProductId, proposal: OrderProposed, of: u32) -> Record {
        let sealed = self.0.seal(&user(of), product, &proposal.order_id, (0, 0));
        Record::OrderProposed(OrderProposed { sealed_user: Some(sealed), ..proposal })
    }
}

/// A worker that holds all partitions.
struct Worker {
    writer: Writer,
    opener: Opener,
    partitions: BTreeMap<i32, Partition>,
}

impl Worker {
    fn new(database: &Database) -> Self {
        let writer = Writer::new(&database.config(User::Worker)).unwrap();
        Self { writer, opener: opener(), partitions: BTreeMap::new() }
    }

    /// Forgets everything and reads the ledger.
    async fn load(&mut self, log: &Log) {
        let snapshot = self.writer.snapshot_of(&log.partitions(), &[]).await.unwrap();
        self.partitions = restore(snapshot, &log.partitions(), partition_of).unwrap();
    }

    /// Applies at most so many messages of each partition, from where it is.
    fn fill(&mut self, log: &Log, counts: &[u64]) -> Filled {
        let mut filling = Filling::new(Some(&self.opener));
        for ((number, partition), count) in self.partitions.iter_mut().zip(counts) {
            for _ in 0..*count {
                let offset = partition.head.next_offset;
                let Some(message) = log.0[*number as usize].get(offset as usize) else { break };
                apply(&mut filling, partition, offset, message);
            }
        }
        filling.finish(&self.partitions)
    }

    async fn write(&mut self, filled: &Filled) -> Result<Written, PostgresError> {
        self.writer.write(&filled.batch).await
    }

    /// Applies and writes all that is left, in batches of so many messages of a partition.
    async fn catch_up(&mut self, log: &Log, batch: u64) {
        loop {
            let filled = self.fill(log, &vec![batch; log.0.len()]);
            if filled.records == 0 {
                return;
            }
            assert_eq!(self.write(&filled).await.unwrap(), Written::Done);
        }
    }
}

fn apply(filling: &mut Filling<'_>, partition: &mut Partition, offset: u64, message: &Message) {
    let Message { time_ms, product, record } = message;
    let bytes = record.as_ref().map_or(b"garbage".to_vec(), Record::encode);
    let link = Link {
        offset,
        log_time_ms: *time_ms,
        product: product.as_str(),
        record: &bytes,
        outcome: "",
    };
    let content = match record {
        Some(record) => Content::Record(Box::new(LogEntry {
            offset,
            appended_at_ms: *time_ms,
            product: *product,
            record: record.clone(),
        })),
        None => Content::Undecodable,
    };
    filling.apply(partition, &link, content);
}

/// All partitions as they are when each message has been applied once, and the events of each.
fn applied(log: &Log) -> (Snapshot, Vec<Filled>) {
    let mut snapshot = Snapshot::default();
    let mut each = Vec::new();
    for number in log.partitions() {
        let beginning = crate::snapshot::PartitionHead::beginning(number);
        let mut partitions = BTreeMap::from([(number, Partition::restore(&beginning))]);
        let opener = opener();
        let mut filling = Filling::new(Some(&opener));
        for (offset, message) in (0..).zip(&log.0[number as usize]) {
            let partition = partitions.get_mut(&number).unwrap();
            apply(&mut filling, partition, offset, message);
        }
        let partition = &partitions[&number];
        snapshot.heads.push(partition.head.clone());
        let sales = partition.sales().map(|(product, state)| (*product, state.snapshot()));
        snapshot.sales.extend(sales);
        each.push(filling.finish(&partitions));
    }
    snapshot.sales.sort_by_key(|(product, _)| *product);
    (snapshot, each)
}

/// The ledger as a node sees it.
struct Node {
    postgres: PostgresLedger,
    ledger: Ledger,
}

impl Node {
    fn new(database: &Database) -> Self {
        Self::of(&database.config(User::Node))
    }

    fn of(config: &Config) -> Self {
        let postgres = PostgresLedger::new(config).unwrap();
        Self { ledger: Ledger::Postgres(postgres.clone()), postgres }
    }

    /// The snapshot, in the order of products; each sale has been a state on the way.
    async fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.postgres.snapshot().await.unwrap();
        for (_, sale) in &mut snapshot.sales {
            *sale = SaleState::restore(sale.clone()).unwrap().snapshot();
        }
        snapshot.sales.sort_by_key(|(product, _)| *product);
        snapshot
    }

    /// The whole feed, in pages of so many.
    async fn feed(&self, limit: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let (mut after, mut at_end) = (0, false);
        while !at_end {
            let page = self.ledger.feed(after, limit).await.unwrap();
            (after, at_end) = (page.next, page.at_end);
            events.extend(page.rows);
        }
        events
    }
}

fn on_a_runtime<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
