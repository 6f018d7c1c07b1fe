//! Many nodes to attack by way of their stores: two nodes and a worker on the real Redis, Kafka and PostgreSQL,
//! with a topic, a group and a database of their own; and what somebody has who got hold of credentials.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use flux_gate::keys::records::RecordKeys;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use secrecy::SecretString;
use tempfile::TempDir;

use super::client::Target;
use super::servers;
use super::support::server::Server;
use crate::bench::distributed::stack::{Psql, Stack, with_database};
use crate::stack::{Services, environment_file};
use crate::support::many_nodes;

pub mod config;
pub mod forged;
mod processes;
mod redis_client;
pub mod scene;

use config::Who;
use processes::Worker;
use redis_client::Redis;

/// Names the file with the environment of stores that run already.
const STACK_VARIABLE: &str = "FLUX_GATE_STACK";
/// Partitions of the topic.
pub const PARTITIONS: i32 = 6;
/// The group that nodes may ask for, though they join none: the library asks even where it only reads, and takes
/// long to end where it is refused.
pub const READER_GROUP: &str = "flux-gate-node";
/// How long a store may take to answer.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long something may take that must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has come.
const POLL: Duration = Duration::from_millis(20);

/// Two nodes, a worker and their stores.
pub struct Stores {
    /// Where the stores are, and everybody's credentials.
    pub stack: Stack,
    /// A node.
    pub one: Target,
    /// Another one.
    pub two: Target,
    /// The topic of their orders.
    pub topic: String,
    /// Their database.
    pub database: String,
    /// For the configurations and logs of further processes.
    pub dir: TempDir,
    /// The program.
    pub program: PathBuf,
    nodes: [Server; 2],
    worker: Worker,
    ledger: Mutex<Psql>,
    log: BaseConsumer,
    /// Dropped last.
    _services: Option<Services>,
}

impl Stores {
    /// Starts the stores, unless they run already, and two nodes and a worker on them.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with("")
    }

    /// The same, with more lines in the nodes' configuration.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn start_with(more: &str) -> anyhow::Result<Self> {
        let (services, file) = match std::env::var_os(STACK_VARIABLE) {
            Some(file) => (None, file.into()),
            None => (Some(Services::start()?), environment_file()),
        };
        let stack = Stack::read(&file)?;
        let program = servers::program()?;
        let dir = TempDir::with_prefix("flux-gate-attack-")?;
        let random = hex::encode(forged::random::<4>()?);
        let (topic, database) = (format!("it-{random}"), format!("it_{random}"));
        make_topics(&stack, &topic)?;
        stack.psql("flux_gate")?.execute(&format!("CREATE DATABASE {database}"))?;
        let write = |name: &str, who: Who| -> anyhow::Result<PathBuf> {
            let file = dir.path().join(format!("{name}.toml"));
            let config = config::of(&stack, &topic, &database, who)?;
            std::fs::write(&file, config + "\n[log]\nformat = \"json\"\n")?;
            Ok(file)
        };
        processes::run(&program, &["migrate"], &write("migrate", Who::Owner)?)?;
        let worker = Worker::start(&program, &write("worker", Who::Worker)?)?;
        let config = config::of(&stack, &topic, &database, Who::Node)? + more;
        let node = |name: &str| Server::start(&program, &dir.path().join(name), &config);
        let nodes = [node("node-1")?, node("node-2")?];
        let one = Target::local(nodes[0].public, nodes[0].operator, None);
        let two = one.beside(nodes[1].public, nodes[1].operator);
        let ledger = Mutex::new(stack.psql(&database)?);
        let log = stack.kafka_admin()?.create()?;
        Ok(Self {
            stack,
            one,
            two,
            topic,
            database,
            dir,
            program,
            nodes,
            worker,
            ledger,
            log,
            _services: services,
        })
    }

    /// The nodes' processes.
    pub fn nodes(&self) -> &[Server; 2] {
        &self.nodes
    }

    /// What the worker has logged.
    pub fn worker_log(&self) -> String {
        self.worker.log()
    }

    /// The configuration of such a process.
    ///
    /// # Errors
    /// The stack has not all of it.
    pub fn config(&self, who: Who) -> anyhow::Result<String> {
        config::of(&self.stack, &self.topic, &self.database, who)
    }

    /// What a command of the program says with this configuration, and whether it succeeds.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn says(&self, arguments: &[&str], config: &str) -> anyhow::Result<(bool, String)> {
        let name = format!("says-{}.toml", self.one.unique("c"));
        let file = self.dir.path().join(name);
        std::fs::write(&file, config)?;
        processes::says(&self.program, arguments, &file)
    }

    /// A node's credentials at Kafka.
    ///
    /// # Errors
    /// The stack has none.
    pub fn as_node(&self) -> anyhow::Result<ClientConfig> {
        self.stack.kafka("FLUX_GATE__KAFKA__USERNAME", "FLUX_GATE__KAFKA__PASSWORD")
    }

    /// A worker's.
    ///
    /// # Errors
    /// The stack has none.
    pub fn as_worker(&self) -> anyhow::Result<ClientConfig> {
        self.stack.kafka("STACK_KAFKA_WORKER_USERNAME", "STACK_KAFKA_WORKER_PASSWORD")
    }

    /// The keys that a node without operators has.
    ///
    /// # Errors
    /// The stack has none.
    pub fn node_keys(&self) -> anyhow::Result<RecordKeys> {
        self.keys(None)
    }

    /// The keys that a node with operators has.
    ///
    /// # Errors
    /// The stack has none.
    pub fn operator_keys(&self) -> anyhow::Result<RecordKeys> {
        let key = self.stack.get("FLUX_GATE__SECRETS__OPERATOR_KEY")?;
        self.keys(Some(&SecretString::from(key)))
    }

    fn keys(&self, operator: Option<&SecretString>) -> anyhow::Result<RecordKeys> {
        let get = |name: &str| self.stack.get(&format!("FLUX_GATE__SECRETS__{name}"));
        let record_keys = SecretString::from(get("RECORD_KEYS")?);
        Ok(RecordKeys::new(&record_keys, operator, get("OPERATOR_PUBLIC_KEY")?)?)
    }

    /// A command to Redis as the user of this URL: its answer, or the word of the refusal.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub fn redis(&self, url: &str, command: &[&str]) -> anyhow::Result<Result<String, String>> {
        self.redis_connection(url)?.ask(command)
    }

    /// The same at another address, or as another user.
    ///
    /// # Errors
    /// Redis cannot be reached, or lets nobody in.
    pub fn redis_at(&self, url: &str, command: &[&str]) -> anyhow::Result<Result<String, String>> {
        self.connect_redis(url)?.ask(command)
    }

    /// A connection to Redis for many commands.
    ///
    /// # Errors
    /// Redis cannot be reached.
    pub fn redis_connection(&self, url: &str) -> anyhow::Result<Redis> {
        self.connect_redis(self.stack.get(url)?)
    }

    fn connect_redis(&self, url: &str) -> anyhow::Result<Redis> {
        Redis::connect(url, self.stack.get("FLUX_GATE__REDIS__CA_FILE")?)
    }

    /// SQL as the user of this URL: whether it was done, and what was said.
    ///
    /// # Errors
    /// `psql` cannot be run.
    pub fn sql_as(&self, url: &str, sql: &str) -> anyhow::Result<(bool, String)> {
        let url = with_database(self.stack.get(url)?, &self.database)?;
        self.sql_at(&url, sql)
    }

    /// The same at another address.
    ///
    /// # Errors
    /// `psql` cannot be run.
    pub fn sql_at(&self, url: &str, sql: &str) -> anyhow::Result<(bool, String)> {
        let output = Command::new("psql")
            .args(["-v", "ON_ERROR_STOP=1", "-AtXqc", sql, url])
            .env("PGSSLROOTCERT", self.stack.get("FLUX_GATE__POSTGRES__CA_FILE")?)
            .env("PGCONNECT_TIMEOUT", "10")
            .output()
            .context("cannot run psql")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
    }

    /// One value of the ledger, as its owner.
    ///
    /// # Errors
    /// The query fails.
    pub fn ledger(&self, sql: &str) -> anyhow::Result<String> {
        self.ledger.lock().expect("nobody panics with it").ask(sql)
    }

    /// Records in a topic.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn records_in(&self, topic: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        let metadata = self.log.fetch_metadata(Some(topic), STORE_TIMEOUT)?;
        let partitions = metadata.topics().first().context("no such topic")?.partitions().len();
        for partition in 0..i32::try_from(partitions)? {
            let (begin, end) = self.log.fetch_watermarks(topic, partition, STORE_TIMEOUT)?;
            sum += u64::try_from(end - begin)?;
        }
        Ok(sum)
    }

    /// The names of all topics.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn topics(&self) -> anyhow::Result<Vec<String>> {
        let metadata = self.log.fetch_metadata(None, STORE_TIMEOUT)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// Records in the topic of what is no record.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn dead_letters(&self) -> anyhow::Result<u64> {
        self.records_in(&many_nodes::dead_letters(&self.topic))
    }

    /// Waits until both nodes and the worker have read all that lies in the topic now.
    ///
    /// # Errors
    /// One of them does not.
    pub fn settled(&self) -> anyhow::Result<()> {
        let written = self.records_in(&self.topic)?;
        let kept = "SELECT coalesce(sum(next_offset), 0) FROM flux_gate.progress";
        wait_for("nodes and worker read the log", || {
            Ok(read_by(&self.one)? >= written
                && read_by(&self.two)? >= written
                && self.ledger(kept)?.parse::<u64>()? >= written)
        })
        .with_context(|| format!("the worker: {}", self.worker.last_words()))
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        // Whoever goes on with the same services finds them as they were.
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        let superuser = self.stack.get("STACK_DATABASE_SUPERUSER_URL");
        let dropped = superuser.and_then(|url| self.sql_at(url, &sql));
        if let Err(error) = dropped.and_then(|_| remove_topics(&self.stack, &self.topic)) {
            eprintln!("{} stays in Kafka or PostgreSQL: {error:#}", self.topic);
        }
    }
}

/// Messages that a node has read since its start, which was before the first one.
fn read_by(node: &Target) -> anyhow::Result<u64> {
    let metrics = node.admin("GET", "/metrics", "")?.text();
    let count = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.trim().parse::<u64>().ok());
        number.with_context(|| format!("the node's metrics have no {name}"))
    };
    Ok(count("flux_gate_log_records_total")? + count("flux_gate_log_undecodable_total")?)
}

/// Waits until something holds.
///
/// # Errors
/// It does not in time.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !holds()? {
        ensure!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// A client of Kafka's administrators'.
fn administrator(stack: &Stack) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(stack.kafka_admin()?.create()?)
}

/// How long administrators' calls may take.
pub fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(STORE_TIMEOUT)).operation_timeout(Some(STORE_TIMEOUT))
}

fn make_topics(stack: &Stack, topic: &str) -> anyhow::Result<()> {
    let dead_letters = many_nodes::dead_letters(topic);
    let topics = [(topic, PARTITIONS), (dead_letters.as_str(), 1)].map(|(name, partitions)| {
        NewTopic::new(name, partitions, TopicReplication::Fixed(1))
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("message.timestamp.type", "LogAppendTime")
            .set("min.insync.replicas", "1")
            .set("flush.messages", "1")
    });
    let made = administrator(stack)?;
    let made = runtime()?.block_on(made.create_topics(&topics, &admin_options()))?;
    for result in made {
        if let Err((topic, code)) = result {
            bail!("{topic} cannot be made: {code}");
        }
    }
    Ok(())
}

fn remove_topics(stack: &Stack, topic: &str) -> anyhow::Result<()> {
    let dead_letters = many_nodes::dead_letters(topic);
    let admin = administrator(stack)?;
    runtime()?.block_on(admin.delete_topics(&[topic, &dead_letters], &admin_options()))?;
    Ok(())
}

/// Runs the calls of Kafka's administrators.
///
/// # Errors
/// The system gives none.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
