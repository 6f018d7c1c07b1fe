//! A topic, a group and a database of their own on the shared stores, and the processes that use them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::stack::{Psql, Stack, with_database};
use crate::bench::servers::{self, Echo};
use crate::support::many_nodes::{self, Stores};
use crate::support::server::Server;

/// Partitions of the topic.
const PARTITIONS: i32 = 6;
/// How long Kafka may take to answer an administrator.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the worker may take to catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
/// How often progress is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Where the numbers of a part's runs begin: anywhere, with room for many.
const RUNS_FROM_MASK: u32 = 0x7fff_0000;

/// When Kafka's single broker syncs a topic's records to the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Before it acknowledges them (`flush.messages=1`): as durable as the embedded store.
    EveryRecord,
    /// When the system likes (the topic's default): what brokers do that are copies of each other.
    Whenever,
}

impl Flush {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::EveryRecord => "flush.messages=1",
            Self::Whenever => "no flush.messages",
        }
    }
}

/// What one part of the bench has for itself. Made away with at its end.
pub struct Cluster<'a> {
    stack: &'a Stack,
    name: String,
    database: String,
    dir: PathBuf,
    runs_from: u32,
}

impl<'a> Cluster<'a> {
    /// Makes topics, database and tables.
    ///
    /// # Errors
    /// The stores refuse.
    pub fn new(stack: &'a Stack, dir: &Path, flush: Flush) -> anyhow::Result<Self> {
        let mut random = [0; 4];
        SystemRandom::new().fill(&mut random).context("no randomness")?;
        let runs_from = u32::from_be_bytes(random) & RUNS_FROM_MASK;
        let random = hex::encode(random);
        let dir = dir.join(&random);
        std::fs::create_dir_all(&dir)?;
        let (name, database) = (format!("it-{random}"), format!("it_{random}"));
        let cluster = Self { stack, name, database, dir, runs_from };
        cluster.make_topics(flush)?;
        stack.psql("flux_gate")?.execute(&format!("CREATE DATABASE {}", cluster.database))?;
        let owner = cluster.database_url("STACK_DATABASE_OWNER_URL")?;
        let file = cluster.write("migrate", &cluster.config(&owner, "", None)?)?;
        let mut migrate = cluster.command("migrate", &file)?;
        let output = migrate.output().context("cannot run the program")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`migrate` failed: {said}");
        Ok(cluster)
    }

    /// The topic of the node's orders.
    pub fn topic(&self) -> &str {
        &self.name
    }

    /// The topic of the ordinary design's orders.
    pub fn ordinary_topic(&self) -> String {
        format!("{}-ordinary", self.name)
    }

    /// A product id that nobody else has: Redis is shared.
    pub fn product(&self, word: &str) -> String {
        format!("{word}-{}", self.name)
    }

    /// The number of a run that nobody else has: the ordinary design remembers keys of other parts.
    pub fn run(&self, number: u32) -> u32 {
        self.runs_from + number
    }

    /// Starts a node.
    ///
    /// # Errors
    /// It does not start to serve.
    pub fn node(&self) -> anyhow::Result<Server> {
        self.start_node(None)
    }

    /// Starts a node whose records gather for so long before they are sent.
    ///
    /// # Errors
    /// It does not start to serve.
    pub fn node_with_linger(&self, linger_us: u64) -> anyhow::Result<Server> {
        self.start_node(Some(linger_us))
    }

    fn start_node(&self, linger_us: Option<u64>) -> anyhow::Result<Server> {
        let url = self.database_url("DATABASE_URL")?;
        let config = self.config(&url, "FLUX_GATE__KAFKA_", linger_us)?;
        Server::start(&servers::program()?, &self.dir.join("node"), &config)
    }

    /// Starts a worker.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn worker(&self) -> anyhow::Result<Worker> {
        let url = self.database_url("STACK_DATABASE_WORKER_URL")?;
        let file = self.write("worker", &self.config(&url, "STACK_KAFKA_WORKER", None)?)?;
        let log = self.dir.join("worker.log");
        let mut command = self.command("worker", &file)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        Ok(Worker { child: command.spawn().context("cannot start the worker")?, log })
    }

    /// Starts the ordinary design.
    ///
    /// # Errors
    /// It does not start to serve.
    pub fn ordinary(&self, linger_ms: u32) -> anyhow::Result<Echo> {
        let file = self.stack.file().to_str().context("a path that is not UTF-8")?;
        let (topic, linger) = (self.ordinary_topic(), linger_ms.to_string());
        Echo::start_as(&["ordinary", "--stack", file, "--topic", &topic, "--linger-ms", &linger])
    }

    /// How far log and ledger are.
    ///
    /// # Errors
    /// The stores refuse.
    pub fn books(&self) -> anyhow::Result<Books> {
        let consumer = self.stack.kafka_admin()?.create()?;
        let psql = self.stack.psql(&self.database)?;
        Ok(Books { consumer, psql, topic: self.name.clone() })
    }

    fn make_topics(&self, flush: Flush) -> anyhow::Result<()> {
        let (dlq, ordinary) = (self.dlq(), self.ordinary_topic());
        let topics = [self.topic(), &dlq, &ordinary].map(|name| {
            let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("message.timestamp.type", "LogAppendTime")
                .set("min.insync.replicas", "1");
            match flush {
                Flush::EveryRecord => topic.set("flush.messages", "1"),
                Flush::Whenever => topic,
            }
        });
        let options = AdminOptions::new().operation_timeout(Some(KAFKA_TIMEOUT));
        let admin = self.admin()?;
        for made in runtime()?.block_on(admin.create_topics(&topics, &options))? {
            made.map_err(|(topic, code)| anyhow::anyhow!("{topic} cannot be made: {code}"))?;
        }
        Ok(())
    }

    fn remove(&self) -> anyhow::Result<()> {
        let (dlq, ordinary) = (self.dlq(), self.ordinary_topic());
        let topics = [self.topic(), &dlq, &ordinary];
        runtime()?.block_on(self.admin()?.delete_topics(&topics, &AdminOptions::new()))?;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        self.stack.psql("flux_gate")?.execute(&sql)
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.stack.kafka_admin()?.create()?)
    }

    fn dlq(&self) -> String {
        many_nodes::dead_letters(&self.name)
    }

    fn database_url(&self, variable: &str) -> anyhow::Result<String> {
        with_database(self.stack.get(variable)?, &self.database)
    }

    /// The configuration of all of them; who it is says the prefix of the variables with the Kafka user. The
    /// limits are those of the embedded node: on and charged.
    fn config(
        &self,
        url: &str,
        kafka_user: &str,
        linger_us: Option<u64>,
    ) -> anyhow::Result<String> {
        let value = |name: &str| Ok(self.stack.get(name)?.to_owned());
        let stores = Stores {
            topic: self.topic(),
            partitions: PARTITIONS,
            group: self.topic(),
            kafka_user: (!kafka_user.is_empty()).then_some(kafka_user),
            linger_us,
            brokers: self.stack.get("KAFKA_BROKERS")?,
            redis_url: self.stack.get("REDIS_URL")?,
            database_url: url,
            fulfilment_url: None,
        };
        let secrets = many_nodes::secrets(&value)?;
        let stores = stores.sections(&value)?;
        Ok(servers::config_with(servers::MIN_INTERVAL_MS, &secrets) + &stores)
    }

    fn write(&self, name: &str, config: &str) -> anyhow::Result<PathBuf> {
        let file = self.dir.join(format!("{name}.toml"));
        let whole =
            format!("{config}\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n");
        std::fs::write(&file, whole).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    fn command(&self, verb: &str, config: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(servers::program()?);
        command.arg(verb).arg("--config").arg(config);
        Ok(command)
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("{} stays in Kafka or PostgreSQL: {error:#}", self.name);
        }
    }
}

/// The worker; it ends when this is dropped.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            anyhow::bail!("the worker ended with {status}:\n{log}");
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How far the log is, and how far the ledger. Each thread has its own.
pub struct Books {
    consumer: BaseConsumer,
    psql: Psql,
    topic: String,
}

impl Books {
    /// Records in the log.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn written(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            let (_, end) = self.consumer.fetch_watermarks(&self.topic, partition, KAFKA_TIMEOUT)?;
            sum += u64::try_from(end)?;
        }
        Ok(sum)
    }

    /// Records that the ledger has taken in.
    ///
    /// # Errors
    /// PostgreSQL does not answer.
    pub fn kept(&mut self) -> anyhow::Result<u64> {
        let sql = "SELECT coalesce(sum(next_offset), 0)::bigint FROM flux_gate.progress";
        Ok(self.psql.ask(sql)?.parse()?)
    }

    /// Records in the log that the ledger has not taken in.
    ///
    /// # Errors
    /// A store does not answer.
    pub fn lag(&mut self) -> anyhow::Result<u64> {
        let written = self.written()?;
        Ok(written.saturating_sub(self.kept()?))
    }

    /// Waits until the ledger has taken in all; tells how long that took.
    ///
    /// # Errors
    /// It takes too long, or the worker has ended.
    pub fn catch_up(&mut self, worker: &mut Worker) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let written = self.written()?;
        while self.kept()? < written {
            worker.check()?;
            ensure!(begun.elapsed() < CATCH_UP_MAX, "the worker lags for {CATCH_UP_MAX:?}");
            std::thread::sleep(POLL);
        }
        Ok(begun.elapsed())
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
