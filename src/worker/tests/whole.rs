//! The whole worker, on the stack's Kafka and PostgreSQL (`cargo xtask stack up`), beside a node.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::records::{Author, RecordKeys};
use crate::ledger::postgres::tests::support::Stack;
use crate::log::KafkaLog;
use crate::log::kafka::client::{Context, client_config};
use crate::log::kafka::message::{self, NONCE_HEADER, VOUCHER_HEADER};
use crate::log::kafka::{FatalError, Parts};
use crate::sale::record::{KeyFingerprints, RULES_VERSION};
use crate::sale::{OperationId, SaleOpened};
use crate::worker::{Running, WorkerError, start};

const LIMIT: Duration = Duration::from_secs(20);
const PRODUCTS: [&str; 4] = ["shoe", "hat", "sock", "scarf"];

/// A topic, its dead letters and a ledger, all of their own.
struct Plant {
    stack: Stack,
    database: Database,
    topic: String,
    admin: AdminClient<Context>,
    keys: RecordKeys,
    sealer: Sealer,
    nonce: u64,
}

impl Plant {
    fn new() -> Self {
        let stack = Stack::needed();
        let database = Database::migrated();
        let topic = database.name().replace('_', "-");
        let get = |key: &str| stack.get(&format!("FLUX_GATE__SECRETS__{key}"));
        let operator_key = get("OPERATOR_KEY").into();
        let keys = RecordKeys::new(
            &get("RECORD_KEYS").into(),
            Some(&operator_key),
            &get("OPERATOR_PUBLIC_KEY"),
        );
        let sealer = Sealer::new(&get("SEAL_PUBLIC_KEY")).unwrap();
        let admin = {
            let mut config = database.config(User::Node);
            stack.kafka(&mut config, "admin", "STACK_KAFKA_ADMIN_PASSWORD");
            client_config(&config).create_with_context(Context).unwrap()
        };
        let plant = Self { stack, database, topic, admin, keys: keys.unwrap(), sealer, nonce: 0 };
        plant.create_topic();
        plant
    }

    fn create_topic(&self) {
        let new = |name, partitions| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(1))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("message.timestamp.type", "LogAppendTime")
                .set("unclean.leader.election.enable", "false")
        };
        let dlq = format!("{}.dlq", self.topic);
        let topics = [new(&self.topic, PARTITIONS as i32), new(&dlq, 1)];
        for created in on_a_runtime(self.admin.create_topics(&topics, &options())).unwrap() {
            assert!(created.is_ok() || created.as_ref().unwrap_err().0.starts_with(&dlq));
        }
    }

    fn delete_topic(&self, topic: &str) {
        let _ = on_a_runtime(self.admin.delete_topics(&[topic], &options()));
    }

    fn node_config(&self) -> Config {
        let mut config = self.database.config(User::Node);
        self.stack.kafka(&mut config, "ingestion-api", "FLUX_GATE__KAFKA__PASSWORD");
        config.kafka.topic = self.topic.clone();
        config
    }

    fn worker_config(&self) -> Config {
        let mut config = self.database.config(User::Worker);
        self.stack.kafka(&mut config, "inventory-worker", "STACK_KAFKA_WORKER_PASSWORD");
        config.kafka.topic = self.topic.clone();
        config.kafka.dlq_topic = format!("{}.dlq", self.topic);
        config.kafka.group = self.topic.clone();
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config.postgres.batch_records_max = 200;
        let get = |key: &str| self.stack.get(&format!("FLUX_GATE__SECRETS__{key}"));
        config.secrets.record_keys = Some(get("RECORD_KEYS").into());
        config.secrets.operator_public_key = Some(get("OPERATOR_PUBLIC_KEY"));
        config.secrets.seal_private_keys = Some(get("SEAL_PRIVATE_KEYS").into());
        config
    }

    fn work(&self) -> Running {
        start(&self.worker_config(), Clock::system()).unwrap()
    }

    /// A node that starts from the ledger, or from nothing.
    fn node(&self, snapshot: Snapshot) -> KafkaLog {
        let get = |key: &str| self.stack.get(&format!("FLUX_GATE__SECRETS__{key}"));
        let keys = RecordKeys::new(&get("RECORD_KEYS").into(), None, &get("OPERATOR_PUBLIC_KEY"));
        let key_fingerprints = KeyFingerprints::default();
        let parts =
            Parts { keys: keys.unwrap(), sealer: None, snapshot, key_fingerprints, receipts: None };
        let fatal = Box::new(|error: FatalError| panic!("the node ended: {error}"));
        let clock = Clock::system();
        KafkaLog::start(&self.node_config(), parts, clock, Box::new(|_| {}), fatal).unwrap()
    }

    fn producer(&self) -> BaseProducer {
        client_config(&self.node_config()).set("linger.ms", "5").create().unwrap()
    }

    /// Writes a record that somebody vouches for.
    fn send(&mut self, producer: &BaseProducer, product: &str, record: &Record) {
        let product: ProductId = product.parse().unwrap();
        self.nonce += 1;
        let mut nonce = [0; 16];
        nonce[8..].copy_from_slice(&self.nonce.to_be_bytes());
        let (value, mut voucher) = (record.encode(), Vec::new());
        let author: Author = message::author_of(record);
        self.keys.vouch(author, product.as_str(), &nonce, &value, &mut voucher).unwrap();
        let headers = OwnedHeaders::new()
            .insert(Header { key: NONCE_HEADER, value: Some(&nonce) })
            .insert(Header { key: VOUCHER_HEADER, value: Some(&voucher) });
        let record = BaseRecord::to(&self.topic)
            .partition(message::partition_of(&product, PARTITIONS))
            .key(product.as_str())
            .payload(&value)
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn open_all(&mut self, producer: &BaseProducer, capacity: u32) {
        for product in PRODUCTS {
            let operation: Option<OperationId> = Some("open".parse().unwrap());
            let terms = SaleOpened {
                capacity,
                per_buyer_limit: 1,
                repeat_window_ms: 0,
                opens_at_ms: 0,
                closes_at_ms: None,
                key_fingerprints: KeyFingerprints::default(),
                rules_version: RULES_VERSION,
                operation,
            };
            self.send(producer, product, &Record::SaleOpened(terms));
        }
    }

    /// Attempts of these numbers, each of a buyer of its own, in all products in turn.
    fn propose(&mut self, producer: &BaseProducer, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let product = PRODUCTS[n as usize % PRODUCTS.len()];
            let proposal = OrderProposed {
                order_id: order_id(n),
                buyer: buyer(n),
                sealed_user: None,
                at_ms: Clock::system().unix_ms(),
                generation: 0,
            };
            let id: ProductId = product.parse().unwrap();
            let sealed = self.sealer.seal(&user(n), &id, &proposal.order_id, (0, 0));
            let record =
                Record::OrderProposed(OrderProposed { sealed_user: Some(sealed), ..proposal });
            self.send(producer, product, &record);
        }
        producer.flush(LIMIT).unwrap();
    }

    /// Waits until the ledger is where the log ends.
    fn wait_for_the_ledger(&self) {
        let asker = self.producer();
        let ends = (0..PARTITIONS as i32).map(|partition| {
            asker.client().fetch_watermarks(&self.topic, partition, LIMIT).unwrap().1
        });
        let end: i64 = ends.sum();
        let applied = "SELECT coalesce(sum(next_offset), 0)::bigint FROM flux_gate.progress";
        for _ in 0..400 {
            if self.database.number(User::Auditor, applied) == end {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let found = self.database.number(User::Auditor, applied);
        panic!("the ledger is at {found}, the log at {end}");
    }

    /// The ledger holds what a node makes of the same log, and every event once.
    fn must_agree(&self) -> Vec<Event> {
        let fresh = self.node(Snapshot::default());
        let reader = Node::of(&self.node_config());
        let (snapshot, events) =
            on_a_runtime(async { (reader.snapshot().await, reader.feed(1_000).await) });
        assert_eq!(snapshot.heads, fresh.heads(), "digests included");
        for (product, sale) in &snapshot.sales {
            let on_node = fresh.applied().with_state(product, |state| state.snapshot()).unwrap();
            assert_eq!(*sale, on_node);
        }
        let numbers: Vec<_> = events.iter().map(|event| event.offset).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "no gaps");
        let mut ids: Vec<_> =
            events.iter().map(|event| (event.order_id, event.kind as u8)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "nothing twice");
        // A node that starts from it finds its records in the log.
        let again = self.node(snapshot.clone());
        assert_eq!(again.heads(), snapshot.heads);
        events
    }

    fn dead_letters(&self) -> Vec<String> {
        let mut config = self.node_config();
        self.stack.kafka(&mut config, "admin", "STACK_KAFKA_ADMIN_PASSWORD");
        let mut client = client_config(&config);
        let consumer: BaseConsumer = client.set("group.id", "it-nobody").create().unwrap();
        let mut list = TopicPartitionList::new();
        let dlq = format!("{}.dlq", self.topic);
        list.add_partition_offset(&dlq, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut reasons = Vec::new();
        while let Some(letter) = consumer.poll(Duration::from_secs(3)) {
            let letter = letter.unwrap();
            let headers = letter.headers().unwrap();
            let reason = headers.iter().find(|header| header.key == "fg-reason").unwrap();
            reasons.push(String::from_utf8(reason.value.unwrap().to_vec()).unwrap());
        }
        reasons
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.delete_topic(&self.topic);
        self.delete_topic(&format!("{}.dlq", self.topic));
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

fn stop(mut running: Running) {
    on_a_runtime(running.stop()).unwrap();
}

#[test]
fn what_is_in_the_topic_is_in_the_ledger_and_garbage_is_put_aside() {
    let mut plant = Plant::new();
    let producer = plant.producer();
    plant.open_all(&producer, 300);
    plant.propose(&producer, 0..2_000);
    for partition in 0..PARTITIONS as i32 {
        let huge = vec![b'x'; 900_000];
        for (key, value) in [("shoe", b"garbage".as_slice()), ("\u{1}", b"{}"), ("hat", &huge)] {
            let record = BaseRecord::to(&plant.topic).partition(partition).key(key).payload(value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    plant.propose(&producer, 2_000..2_100);
    let reversal = Record::OrderReversed {
        order_id: order_id(5),
        restock: false,
        frees_limit: true,
        reason: "payment failed".into(),
    };
    plant.send(&producer, PRODUCTS[1], &reversal);
    producer.flush(LIMIT).unwrap();

    let running = plant.work();
    plant.wait_for_the_ledger();
    let events = plant.must_agree();
    assert_eq!(events.len(), 4 * 300 + 1);
    for event in &events {
        let n = u32::from_be_bytes(event.order_id.as_bytes()[..4].try_into().unwrap());
        assert_eq!(event.user_id.unwrap().to_string(), format!("user-{n}"));
    }
    assert!(running.metrics().is_ready());
    stop(running);
    assert_eq!(plant.dead_letters().len(), 3 * PARTITIONS as usize);
}

/// Rule 5: workers come and go and lose their connections, under way.
#[test]
fn workers_take_over_from_each_other() {
    let mut plant = Plant::new();
    let producer = plant.producer();
    plant.open_all(&producer, 100_000);
    let mut running = vec![plant.work()];
    for round in 0..12 {
        plant.propose(&producer, round * 1_000..(round + 1) * 1_000);
        match round {
            2 | 5 => running.push(plant.work()),
            4 | 8 => stop(running.remove(0)),
            3 | 7 | 10 => plant.database.cut_connections(),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    plant.wait_for_the_ledger();
    let events = plant.must_agree();
    assert_eq!(events.len(), 12_000);
    running.into_iter().for_each(stop);
}

/// A topic that was made anew under the same name does not continue the ledger.
#[test]
fn another_log_under_the_same_name_is_refused() {
    let mut plant = Plant::new();
    let producer = plant.producer();
    plant.open_all(&producer, 100);
    plant.propose(&producer, 0..100);
    let running = plant.work();
    plant.wait_for_the_ledger();
    stop(running);

    for (orders, word) in [(10, "ends at offset"), (500, "another record")] {
        plant.delete_topic(&plant.topic);
        std::thread::sleep(Duration::from_secs(2));
        plant.create_topic();
        std::thread::sleep(Duration::from_secs(1));
        let producer = plant.producer();
        plant.open_all(&producer, 100);
        plant.propose(&producer, 1_000..1_000 + orders);
        let mut running = plant.work();
        let ended = on_a_runtime(async {
            tokio::time::timeout(LIMIT, running.ended()).await.expect("it ends")
        });
        let error: WorkerError = ended.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(!running.metrics().is_ready());
    }
}
