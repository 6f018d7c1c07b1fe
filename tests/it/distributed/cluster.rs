//! Two nodes and two workers with a topic, a group and a database of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use tempfile::TempDir;

use super::stack::{Stack, succeed, with_database};
use crate::crash::{BUYER_KEY, CLIENT_ID, CLIENT_SECRET, ORDER_KEY, program};
use crate::support::server::{Server, clean};

/// Partitions of the topic.
pub const PARTITIONS: i32 = 6;
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
    dir: TempDir,
}

impl Cluster {
    /// Makes topic and database.
    pub fn new() -> Self {
        let stack = Stack::load();
        let name = format!("{:08x}", rand::random::<u32>());
        let cluster = Self {
            topic: format!("it-{name}"),
            database: format!("it_{name}"),
            dir: tempfile::tempdir().expect("a temporary directory"),
            stack,
        };
        cluster.make_topics(&[&cluster.topic, &cluster.dlq()]);
        cluster.stack.sql("flux_gate", &format!("CREATE DATABASE {}", cluster.database));
        let owner = with_database(cluster.stack.get("STACK_DATABASE_OWNER_URL"), &cluster.database);
        let file = cluster.write_config("migrate", &cluster.config(&owner, "", ""));
        succeed(&mut cluster.command("migrate", &file));
        cluster
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

    /// The topic of undecodable records.
    pub fn dlq(&self) -> String {
        format!("{}.dlq", self.topic)
    }

    /// Starts a node.
    pub fn node(&self, name: &str) -> Server {
        self.node_with(name, "")
    }

    /// Starts a node with more lines in its configuration.
    pub fn node_with(&self, name: &str, more: &str) -> Server {
        let config = self.node_config(more);
        Server::start(program(), &self.dir.path().join(name), &config)
            .unwrap_or_else(|error| panic!("{name}: {error:#}"))
    }

    /// The configuration of a node.
    pub fn node_config(&self, more: &str) -> String {
        let stack = &self.stack;
        let url = with_database(stack.get("DATABASE_URL"), &self.database);
        let fulfilment = with_database(stack.get("STACK_DATABASE_FULFILMENT_URL"), &self.database);
        let config = self.config(&url, "FLUX_GATE__KAFKA__USERNAME", "FLUX_GATE__KAFKA__PASSWORD");
        let postgres = format!("fulfilment_url = \"{fulfilment}\"");
        config.replace("# more of postgres", &postgres) + more
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
        let file = self.write_config(name, &self.worker_config());
        Worker::start(self.command("worker", &file), self.dir.path().join(format!("{name}.log")))
    }

    fn worker_config(&self) -> String {
        let url = with_database(self.stack.get("STACK_DATABASE_WORKER_URL"), &self.database);
        self.config(&url, "STACK_KAFKA_WORKER_USERNAME", "STACK_KAFKA_WORKER_PASSWORD")
    }

    fn config(&self, database_url: &str, username: &str, password: &str) -> String {
        let get = |name: &str| if name.is_empty() { "-" } else { self.stack.get(name) };
        let secret = |name: &str| self.stack.get(&format!("FLUX_GATE__SECRETS__{name}"));
        let (topic, dlq) = (&self.topic, self.dlq());
        format!(
            r#"
[admin]
listen = "127.0.0.1:0"

[redis]
url = "{redis}"
loader_url = "{loader}"
ca_file = "{redis_ca}"

[kafka]
brokers = "{brokers}"
username = "{username}"
password = "{password}"
ca_file = "{kafka_ca}"
topic = "{topic}"
dlq_topic = "{dlq}"
group = "{topic}"
partitions = {PARTITIONS}

[postgres]
url = "{database_url}"
ca_file = "{postgres_ca}"
# more of postgres

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
record_keys = "{record_keys}"
operator_key = "{operator_key}"
operator_public_key = "{operator_public_key}"
seal_public_key = "{seal_public_key}"
seal_private_keys = "{seal_private_keys}"

[[clients]]
id = "{CLIENT_ID}"
secrets = ["{CLIENT_SECRET}"]
roles = ["order", "session", "fulfilment"]
"#,
            redis = get("REDIS_URL"),
            loader = get("FLUX_GATE__REDIS__LOADER_URL"),
            redis_ca = get("FLUX_GATE__REDIS__CA_FILE"),
            brokers = get("KAFKA_BROKERS"),
            username = get(username),
            password = get(password),
            kafka_ca = get("FLUX_GATE__KAFKA__CA_FILE"),
            postgres_ca = get("FLUX_GATE__POSTGRES__CA_FILE"),
            record_keys = secret("RECORD_KEYS"),
            operator_key = secret("OPERATOR_KEY"),
            operator_public_key = secret("OPERATOR_PUBLIC_KEY"),
            seal_public_key = secret("SEAL_PUBLIC_KEY"),
            seal_private_keys = secret("SEAL_PRIVATE_KEYS"),
        )
    }

    fn write_config(&self, name: &str, config: &str) -> PathBuf {
        let file = self.dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, format!("{config}\n[log]\nformat = \"json\"\n")).expect("a file");
        file
    }

    fn command(&self, verb: &str, config: &Path) -> Command {
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

/// A worker.
pub struct Worker {
    child: std::process::Child,
    log: PathBuf,
}

impl Worker {
    fn start(mut command: Command, log: PathBuf) -> Self {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Self { child: command.spawn().expect("the program can be started"), log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("a process of ours").is_some()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
