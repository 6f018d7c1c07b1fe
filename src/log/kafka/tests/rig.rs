//! A topic of one's own on the cluster of the stack, and nodes on it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use secrecy::SecretString;

use crate::clock::Clock;
use crate::config::Config;
use crate::keys::records::tests::test_keys;
use crate::keys::seal::tests::test_pair;
use crate::log::kafka::client::{Context, client_config};
use crate::log::kafka::{FatalError, KafkaLog, Parts, StartError};
use crate::log::tests::{buyer, keys, order_id, product};
use crate::log::{Append, Decided, LogHandle, Observer, OrderLog};
use crate::sale::record::KeyFingerprints;
use crate::sale::{OrderProposed, Record};
use crate::snapshot::Snapshot;

pub(in crate::log) const PARTITIONS: u32 = 3;
pub(in crate::log) const TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that a topic must have on the one broker of the stack.
pub(in crate::log) const SETTINGS: [(&str, &str); 6] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "LogAppendTime"),
    ("unclean.leader.election.enable", "false"),
    ("flush.messages", "1"),
];

/// The environment that the stack wrote down.
fn stack() -> HashMap<String, String> {
    let file = std::env::var_os("FLUX_GATE_STACK").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/stack/env"),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; start the services with `cargo xtask stack up`, or name their environment's \
             file in FLUX_GATE_STACK",
            file.display()
        )
    });
    let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.into(), value.into()));
    text.lines().filter_map(pair).collect()
}

fn config(username: &str, password: &str) -> Config {
    let stack = stack();
    let mut config = Config::default();
    config.kafka.brokers = stack["KAFKA_BROKERS"].clone();
    config.kafka.username = username.to_owned();
    config.kafka.password = Some(SecretString::from(stack[password].clone()));
    config.kafka.ca_file = Some(stack["FLUX_GATE__KAFKA__CA_FILE"].clone().into());
    config.kafka.partitions = PARTITIONS;
    config
}

/// What administrators do, in a blocking way.
pub(in crate::log) struct Admin {
    client: AdminClient<Context>,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    fn new() -> Self {
        let config = config("admin", "STACK_KAFKA_ADMIN_PASSWORD");
        let client = client_config(&config).create_with_context(Context).unwrap();
        Self { client, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap() }
    }

    pub(in crate::log) fn create(&self, topic: &str, settings: &[(&str, &str)]) {
        let replication = TopicReplication::Fixed(1);
        let mut new = NewTopic::new(topic, PARTITIONS as i32, replication);
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let created = self.client.create_topics([&new], &options());
        self.runtime.block_on(created).unwrap()[0].as_ref().unwrap();
    }

    pub(in crate::log) fn delete(&self, topic: &str) {
        let deleted = self.client.delete_topics(&[topic], &options());
        self.runtime.block_on(deleted).unwrap()[0].as_ref().unwrap();
    }

    pub(in crate::log) fn add_partitions(&self, topic: &str, count: usize) {
        let more = NewPartitions::new(topic, count);
        let added = self.client.create_partitions([&more], &options());
        self.runtime.block_on(added).unwrap()[0].as_ref().unwrap();
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

/// A topic that goes when this goes.
pub(in crate::log) struct Rig {
    pub config: Config,
    pub admin: Admin,
    pub clock: Clock,
}

impl Rig {
    pub(in crate::log) fn new() -> Self {
        Self::with_settings(&SETTINGS)
    }

    pub(in crate::log) fn with_settings(settings: &[(&str, &str)]) -> Self {
        let rig = Self::without_topic();
        rig.admin.create(&rig.config.kafka.topic, settings);
        rig
    }

    pub(in crate::log) fn without_topic() -> Self {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let mut config = config("ingestion-api", "FLUX_GATE__KAFKA__PASSWORD");
        config.kafka.topic = format!("it-{}", hex::encode(random));
        Self { config, admin: Admin::new(), clock: Clock::system() }
    }

    /// A node that starts from nothing.
    pub(in crate::log) fn node(&self) -> Node {
        self.node_from(Snapshot::default()).unwrap()
    }

    pub(in crate::log) fn node_from(&self, snapshot: Snapshot) -> Result<Node, StartError> {
        self.start(snapshot, keys(), true)
    }

    pub(in crate::log) fn start(
        &self,
        snapshot: Snapshot,
        key_fingerprints: KeyFingerprints,
        operator: bool,
    ) -> Result<Node, StartError> {
        let sealer = Some(test_pair().0);
        let parts =
            Parts { keys: test_keys(operator), sealer, snapshot, key_fingerprints, receipts: None };
        let fatal = Arc::<Mutex<Option<FatalError>>>::default();
        let told = Arc::clone(&fatal);
        let fatal_callback = Box::new(move |error| *told.lock() = Some(error));
        let clock = self.clock.clone();
        let log = KafkaLog::start(&self.config, parts, clock, Box::new(|_| {}), fatal_callback)?;
        Ok(Node { log, fatal })
    }

    /// The log of a node that serves operators, for the tests of the contract.
    pub(in crate::log) fn log(
        &self,
        queue_records_max: usize,
        clock: Clock,
        observer: Observer,
    ) -> KafkaLog {
        let mut config = self.config.clone();
        config.data.queue_records_max = queue_records_max;
        let parts = Parts {
            keys: test_keys(true),
            sealer: Some(test_pair().0),
            snapshot: Snapshot::default(),
            key_fingerprints: keys(),
            receipts: None,
        };
        let fatal = Box::new(|error| panic!("the log failed: {error}"));
        KafkaLog::start(&config, parts, clock, observer, fatal).unwrap()
    }

    /// Buyer `by` proposes order `n` now; the buyer's user id is `user-<by>`.
    pub(in crate::log) fn proposed(&self, name: &str, n: u32, by: u32) -> Append {
        let record = Record::OrderProposed(OrderProposed {
            order_id: order_id(n),
            buyer: buyer(by),
            sealed_user: None,
            at_ms: self.clock.unix_ms(),
            generation: 0,
        });
        let subject = Some(format!("user-{by}").parse().unwrap());
        Append { product: product(name), record, subject, by: None }
    }

    /// Whatever somebody with a node's rights on Kafka, but without its keys, can send.
    pub(in crate::log) fn send_raw(&self, raw: &[Raw<'_>]) {
        let producer: BaseProducer = client_config(&self.config).create().unwrap();
        for raw in raw {
            let mut headers = OwnedHeaders::new();
            for (key, value) in raw.headers {
                headers = headers.insert(Header { key, value: Some(*value) });
            }
            let record = BaseRecord::to(&self.config.kafka.topic)
                .partition(raw.partition)
                .key(raw.key)
                .payload(raw.value)
                .headers(headers);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    }
}

impl Rig {
    /// The values of all messages, by partition.
    pub(in crate::log) fn read_all(&self) -> Vec<Vec<u8>> {
        let consumer =
            super::super::start::consumer(&self.config, &[0; PARTITIONS as usize]).unwrap();
        let mut values = Vec::new();
        while let Some(message) = consumer.poll(Duration::from_secs(2)) {
            values.extend(message.ok().and_then(|message| message.payload().map(<[u8]>::to_vec)));
        }
        values
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let deleted = self.admin.client.delete_topics(&[&self.config.kafka.topic], &options());
        let _ = self.admin.runtime.block_on(deleted);
    }
}

/// A message as it comes.
#[derive(Clone, Copy)]
pub(in crate::log) struct Raw<'a> {
    pub partition: i32,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A running log, and why it ended if it did.
pub(in crate::log) struct Node {
    pub log: KafkaLog,
    pub fatal: Arc<Mutex<Option<FatalError>>>,
}

impl Node {
    pub(in crate::log) fn handle(&self) -> LogHandle {
        OrderLog::Kafka(self.log.clone()).handle()
    }

    /// What the ledger would hold, had a worker come as far as this node.
    pub(in crate::log) fn snapshot(&self) -> Snapshot {
        let applied = self.log.applied();
        let sales = applied.products().into_iter().map(|product| {
            let sale = applied.with_state(&product, |state| state.snapshot());
            (product, sale.unwrap())
        });
        Snapshot {
            heads: self.log.heads(),
            sales: sales.collect(),
            control: Some(self.log.applied().control().as_ref().clone()),
        }
    }

    /// Waits until this holds.
    pub(in crate::log) fn wait_until(&self, what: &str, holds: impl Fn(&KafkaLog) -> bool) {
        for _ in 0..1_000 {
            if holds(&self.log) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{what} did not come about");
    }

    /// Waits for the end by an error, and returns its words.
    pub(in crate::log) fn wait_for_fatal(&self) -> String {
        self.wait_until("the end of the log", |_| self.fatal.lock().is_some());
        self.fatal.lock().as_ref().unwrap().to_string()
    }
}

pub(in crate::log) async fn decide(handle: &LogHandle, append: Append) -> Decided {
    let decided = tokio::time::timeout(TIMEOUT, handle.append(append).unwrap()).await;
    decided.expect("a decision comes within the time").unwrap()
}
