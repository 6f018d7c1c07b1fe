//! Two nodes and two workers with a topic, a group and a database of their own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use super::proxy::Proxy;
use super::stack::{Stack, server_of, succeed, with_database, with_port};
use super::worker::Worker;
use crate::crash::{BUYER_KEY, CLIENT_ID, CLIENT_SECRET, ORDER_KEY, program};
use crate::support::many_nodes::{self, Stores};
use crate::support::server::{self, Server, clean};

/// The seed of the key that signs receipts, on all nodes.
pub const RECEIPT_KEY: &str = "5151515151515151515151515151515151515151515151515151515151515151";
/// Partitions of the topic.
pub const PARTITIONS: i32 = 6;
/// How long Kafka may take for an answer.
const KAFKA_PATIENCE: Duration = Duration::from_secs(15);
/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(180);

/// The stores of one test.
pub struct Cluster {
    /// The services.
    pub stack: Stack,
    /// The topic of the order log.
    pub topic: String,
    /// The database.
    pub database: String,
    /// The way to the stores for those who do not go directly.
    proxies: Option<Proxies>,
    dir: TempDir,
}

/// One proxy for each store.
pub struct Proxies {
    /// Before Redis.
    pub redis: Proxy,
    /// Before Kafka's brokers; they tell their clients to go on to it.
    pub kafka: Proxy,
    /// Before PostgreSQL.
    pub postgres: Proxy,
}

impl Proxies {
    fn start(stack: &Stack) -> Self {
        let address = |text: &str| text.parse().expect("an address and a port");
        let kafka: SocketAddr = address(stack.get("STACK_KAFKA_PROXIED_BROKERS"));
        Self {
            redis: Proxy::start(0, address(server_of(stack.get("REDIS_URL")))),
            kafka: Proxy::start(kafka.port(), address(stack.get("STACK_KAFKA_PROXY_TARGETS"))),
            postgres: Proxy::start(0, address(server_of(stack.get("DATABASE_URL")))),
        }
    }
}

/// Whose configuration.
struct Who<'a> {
    /// The variable with the address of the database.
    database_url: &'a str,
    /// Whether it serves the shop's feed.
    fulfilment: bool,
    /// See [`Stores::kafka_user`].
    kafka_user: Option<&'a str>,
    /// The group of the workers.
    group: &'a str,
    /// How it reaches the stores, if not directly.
    proxies: Option<&'a Proxies>,
}

impl Cluster {
    /// Makes topic and database.
    pub fn new() -> Self {
        Self::on(Stack::load(), None)
    }

    /// The same, with proxies before the stores. One at a time: Kafka knows one port.
    pub fn with_proxies() -> Self {
        let stack = Stack::load();
        let proxies = Proxies::start(&stack);
        Self::on(stack, Some(proxies))
    }

    /// The proxies.
    pub fn proxies(&self) -> &Proxies {
        self.proxies.as_ref().expect("the cluster was made with proxies")
    }

    fn on(stack: Stack, proxies: Option<Proxies>) -> Self {
        let name = format!("{:08x}", rand::random::<u32>());
        let cluster = Self {
            topic: format!("it-{name}"),
            database: format!("it_{name}"),
            dir: tempfile::tempdir().expect("a temporary directory"),
            proxies,
            stack,
        };
        cluster.make_topics(&[&cluster.topic, &cluster.dlq()]);
        cluster.stack.sql("flux_gate", &format!("CREATE DATABASE {}", cluster.database));
        let file = cluster.write_config("migrate", &cluster.config_of_owner());
        succeed(&mut cluster.command("migrate", &file));
        cluster
    }

    /// The configuration of whoever owns the ledger.
    pub fn config_of_owner(&self) -> String {
        self.config(&Who {
            database_url: "STACK_DATABASE_OWNER_URL",
            fulfilment: false,
            kafka_user: None,
            group: &self.topic,
            proxies: None,
        })
    }

    /// Where its configurations, logs and the nodes' directories are.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A client of Kafka's with all rights.
    pub fn kafka_admin(&self) -> ClientConfig {
        self.kafka_as("STACK_KAFKA_ADMIN_USERNAME", "STACK_KAFKA_ADMIN_PASSWORD")
    }

    /// A client of Kafka's as the user in these variables.
    pub fn kafka_as(&self, username: &str, password: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.stack.get("KAFKA_BROKERS"))
            .set("security.protocol", "SASL_SSL")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", self.stack.get(username))
            .set("sasl.password", self.stack.get(password))
            .set("ssl.ca.location", self.stack.get("FLUX_GATE__KAFKA__CA_FILE"));
        config
    }

    /// Makes the topic of the order log.
    pub fn make_order_topic(&self) {
        self.make_topics(&[&self.topic]);
    }

    fn make_topics(&self, names: &[&str]) {
        let admin: AdminClient<DefaultClientContext> =
            self.kafka_admin().create().expect("a client of Kafka's");
        let topic = |name| {
            NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("message.timestamp.type", "LogAppendTime")
                .set("min.insync.replicas", "1")
                .set("flush.messages", "1")
        };
        for name in names {
            // One that was deleted goes some time later.
            wait_for("a topic is made", || {
                let topics = [topic(name)];
                let made = runtime().block_on(admin.create_topics(&topics, &AdminOptions::new()));
                made.expect("Kafka answers").into_iter().all(|result| result.is_ok())
            });
        }
    }

    /// Adds a partition to the topic.
    pub fn add_partition(&self) {
        let admin: AdminClient<DefaultClientContext> =
            self.kafka_admin().create().expect("a client of Kafka's");
        let wanted = NewPartitions::new(&self.topic, PARTITIONS as usize + 1);
        let added = runtime().block_on(admin.create_partitions([&wanted], &AdminOptions::new()));
        for result in added.expect("Kafka answers") {
            result.expect("a partition is added");
        }
    }

    /// Takes the topic away.
    pub fn delete_topic(&self) {
        let admin: AdminClient<DefaultClientContext> =
            self.kafka_admin().create().expect("a client of Kafka's");
        let runtime = runtime();
        let deleted = runtime.block_on(admin.delete_topics(&[&self.topic], &AdminOptions::new()));
        for result in deleted.expect("Kafka answers") {
            result.expect("a topic is deleted");
        }
    }

    /// How many records the order log holds.
    pub fn records_written(&self) -> usize {
        let consumer: BaseConsumer =
            self.kafka_admin().set("group.id", "reader").create().expect("a consumer");
        let end = |partition| {
            let marks = consumer.fetch_watermarks(&self.topic, partition, KAFKA_PATIENCE);
            marks.expect("Kafka answers").1 as usize
        };
        (0..PARTITIONS).map(end).sum()
    }

    /// Everything in these topics, up to their ends as they are now.
    pub fn read_all(&self, topics: &[&str]) -> Vec<OwnedMessage> {
        let mut config = self.kafka_admin();
        config.set("group.id", "reader").set("enable.partition.eof", "true");
        let mut all = Vec::new();
        for topic in topics {
            let consumer: BaseConsumer = config.create().expect("a consumer");
            let mut list = TopicPartitionList::new();
            for partition in 0..PARTITIONS {
                let from = Offset::Beginning;
                list.add_partition_offset(topic, partition, from).expect("an offset");
            }
            consumer.assign(&list).expect("Kafka takes it");
            // A partition that goes on has its end more than once.
            let mut left: BTreeSet<_> = (0..PARTITIONS).collect();
            while !left.is_empty() {
                match consumer.poll(PATIENCE).expect("Kafka answers") {
                    Ok(message) => all.push(message.detach()),
                    Err(KafkaError::PartitionEOF(partition)) => {
                        left.remove(&partition);
                    }
                    // The library asks for the coordinator of a group that we never join.
                    Err(_) => {}
                }
            }
        }
        all
    }

    /// The topic of undecodable records.
    pub fn dlq(&self) -> String {
        many_nodes::dead_letters(&self.topic)
    }

    /// Starts a node.
    pub fn node(&self, name: &str) -> Server {
        self.node_with(name, "")
    }

    /// Starts a node with more lines in its configuration.
    pub fn node_with(&self, name: &str, more: &str) -> Server {
        self.start_node(name, &self.node_config(more))
    }

    /// Starts a node that reaches its stores by way of the proxies.
    pub fn proxied_node(&self, name: &str) -> Server {
        self.start_node(name, &self.node_config_by("", Some(self.proxies())))
    }

    /// The command that starts a node with this configuration; its output is the caller's business.
    pub fn command_of_node(&self, name: &str, config: &str) -> Command {
        let dir = self.dir.path().join(name);
        server::command(program(), &dir, config).expect("a configuration")
    }

    /// The command that starts a node.
    pub fn node_command(&self, name: &str) -> Command {
        let dir = self.dir.path().join(name);
        server::command(program(), &dir, &self.node_config("")).expect("a configuration")
    }

    fn start_node(&self, name: &str, config: &str) -> Server {
        Server::start(program(), &self.dir.path().join(name), config)
            .unwrap_or_else(|error| panic!("{name}: {error:#}"))
    }

    /// The configuration of a node.
    pub fn node_config(&self, more: &str) -> String {
        self.node_config_by(more, None)
    }

    fn node_config_by(&self, more: &str, proxies: Option<&Proxies>) -> String {
        let config = self.config(&Who {
            database_url: "DATABASE_URL",
            fulfilment: true,
            kafka_user: Some("FLUX_GATE__KAFKA_"),
            group: &self.topic,
            proxies,
        });
        config + more
    }

    /// What a command of the program says with a node's or a worker's configuration, and whether it succeeds.
    pub fn says(&self, arguments: &[&str], worker: bool) -> (bool, String) {
        let config = if worker { self.worker_config() } else { self.node_config("") };
        let file = self.write_config("says", &config);
        let mut command = Command::new(program());
        clean(&mut command);
        let output = command.args(arguments).arg("--config").arg(file).output();
        let output = output.expect("the program can be run");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Tries to start a node; what is in the way.
    pub fn refused_node(&self, name: &str) -> String {
        let started = Server::start(program(), &self.dir.path().join(name), &self.node_config(""));
        started.err().map(|error| format!("{error:#}")).expect("it must not start")
    }

    /// Starts a worker; its log goes to a file.
    pub fn worker(&self, name: &str) -> Worker {
        self.start_worker(name, &self.worker_config())
    }

    /// Starts a worker with more lines in its configuration.
    pub fn worker_with(&self, name: &str, more: &str) -> Worker {
        self.start_worker(name, &(self.worker_config() + more))
    }

    /// Starts a worker that reaches its stores by way of the proxies.
    pub fn proxied_worker(&self, name: &str) -> Worker {
        self.start_worker(name, &self.worker_config_by(&self.topic, Some(self.proxies())))
    }

    /// Starts a worker in a group of its own: it has all partitions, whoever else believes to have them. It
    /// reaches its stores by way of the proxies or directly.
    pub fn worker_apart(&self, name: &str, proxied: bool) -> Worker {
        let group = format!("{}-{name}", self.topic);
        let proxies = proxied.then(|| self.proxies());
        self.start_worker(name, &self.worker_config_by(&group, proxies))
    }

    /// Starts a worker with this configuration.
    pub fn start_worker(&self, name: &str, config: &str) -> Worker {
        let file = self.write_config(name, config);
        Worker::start(self.command("worker", &file), self.dir.path().join(format!("{name}.log")))
    }

    /// The configuration of a worker.
    pub fn worker_config(&self) -> String {
        self.worker_config_by(&self.topic, None)
    }

    fn worker_config_by(&self, group: &str, proxies: Option<&Proxies>) -> String {
        self.config(&Who {
            database_url: "STACK_DATABASE_WORKER_URL",
            fulfilment: false,
            kafka_user: Some("STACK_KAFKA_WORKER"),
            group,
            proxies,
        })
    }

    fn config(&self, who: &Who<'_>) -> String {
        let stack = &self.stack;
        let value = |name: &str| Ok(stack.get(name).to_owned());
        let database = |variable: &str| {
            let url = with_database(stack.get(variable), &self.database);
            who.proxies
                .map_or_else(|| url.clone(), |proxies| with_port(&url, proxies.postgres.port()))
        };
        let fulfilment = database("STACK_DATABASE_FULFILMENT_URL");
        let redis_url = stack.get("REDIS_URL");
        let (redis_url, brokers) = match who.proxies {
            None => (redis_url.to_owned(), "KAFKA_BROKERS"),
            Some(proxies) => {
                (with_port(redis_url, proxies.redis.port()), "STACK_KAFKA_PROXIED_BROKERS")
            }
        };
        let stores = Stores {
            topic: &self.topic,
            partitions: PARTITIONS,
            group: who.group,
            kafka_user: who.kafka_user,
            linger_us: None,
            brokers: stack.get(brokers),
            redis_url: &redis_url,
            database_url: &database(who.database_url),
            fulfilment_url: who.fulfilment.then_some(&fulfilment),
        };
        let secrets = many_nodes::secrets(&value).expect("the stack's secrets");
        let stores = stores.sections(&value).expect("the stack's values");
        format!(
            r#"
[admin]
listen = "127.0.0.1:0"

[limits]
node_per_second = 0
product_per_second = 0
ip_per_second = 0
fingerprint_per_second = 0
buyer_per_second = 0
client_per_second = 0
min_interval_ms = 0

[secrets]
order_key = "{ORDER_KEY}"
buyer_key = "{BUYER_KEY}"
pass_keys = "1:pass-key-of-the-tests-0123456789abcdef0123"
{secrets}
receipt_key = "{RECEIPT_KEY}"
[[clients]]
id = "{CLIENT_ID}"
secrets = ["{CLIENT_SECRET}"]
roles = ["order", "session", "fulfilment"]
{stores}"#
        )
    }

    /// Writes a configuration.
    pub fn write_config(&self, name: &str, config: &str) -> PathBuf {
        let file = self.dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, format!("{config}\n[log]\nformat = \"json\"\n")).expect("a file");
        file
    }

    /// The command of this name.
    pub fn command(&self, verb: &str, config: &Path) -> Command {
        let mut command = Command::new(program());
        clean(&mut command);
        command.arg(verb).arg("--config").arg(config);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Each one lengthens the recovery of the next test that kills the server.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        let _ = std::panic::catch_unwind(|| {
            self.stack.sql_as("STACK_DATABASE_SUPERUSER_URL", "flux_gate", &sql)
        });
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "log") {
                    let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                    let last = text.lines().rev().take(15).collect::<Vec<_>>();
                    eprintln!("{}:", entry.path().display());
                    last.iter().rev().for_each(|line| eprintln!("  {line}"));
                }
            }
        }
    }
}

/// Waits until something holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
