//! The stores of many nodes: Redis, Kafka, PostgreSQL, and the checks of what is set for them.
//!
//! `REDIS_URL`, `KAFKA_BROKERS` and `DATABASE_URL` set `redis.url`, `kafka.brokers` and `postgres.url`.
//! With `kafka.brokers` set a node is one of many, and everything that it needs must be there: a node that
//! quietly ran on an embedded store instead would sell the stock a second time.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::check::Found;
use super::{Config, Secrets};

/// Most partitions of the order topic.
pub const PARTITIONS_MAX: u64 = 256;
/// Most records of one transaction of a worker.
pub const BATCH_RECORDS_MAX: u64 = 10_000;

/// Redis, which screens.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `rediss://user:password@host:port`, as the user `api`.
    pub url: Option<SecretString>,
    /// The same as the user `loader`, who may load the function library: for workers alone.
    pub loader_url: Option<SecretString>,
    /// Certificates (PEM) that the server's must descend from; the system's unless set.
    pub ca_file: Option<PathBuf>,
    /// How long an attempt waits for Redis before it is screened in memory, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: None, loader_url: None, ca_file: None, timeout_ms: 50 }
    }
}

/// Kafka, which decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port[,host:port]`.
    pub brokers: String,
    /// The SASL/SCRAM user.
    pub username: String,
    /// Its password.
    pub password: Option<SecretString>,
    /// Certificates (PEM) that the brokers' must descend from; the system's unless set.
    pub ca_file: Option<PathBuf>,
    /// The topic of the order log.
    pub topic: String,
    /// The topic of what is no record.
    pub dlq_topic: String,
    /// The workers' group.
    pub group: String,
    /// Partitions of the topic; pinned for its life.
    pub partitions: u32,
    /// How long the first record of a batch waits for the others, in microseconds. Whatever it is, records
    /// also gather while the batch before them is on its way.
    pub linger_us: u64,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            username: String::new(),
            password: None,
            ca_file: None,
            topic: "orders".to_owned(),
            dlq_topic: "orders.dlq".to_owned(),
            group: "inventory-group".to_owned(),
            partitions: 6,
            linger_us: 500,
        }
    }
}

/// PostgreSQL, which remembers.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// `postgresql://user:password@host:port/database?sslmode=verify-full`: of a node as a member of
    /// `flux_gate_ingestion`, of a worker of `flux_gate_worker`, for `migrate` of `flux_gate_owner`.
    pub url: Option<SecretString>,
    /// The same as a member of `flux_gate_fulfilment`: for the nodes that serve the fulfilment feed.
    pub fulfilment_url: Option<SecretString>,
    /// Certificates (PEM) that the server's must descend from; the system's unless set.
    pub ca_file: Option<PathBuf>,
    /// Records of one transaction of a worker.
    pub batch_records_max: usize,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: None, fulfilment_url: None, ca_file: None, batch_records_max: 2_000 }
    }
}

/// What holds for all stores.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stores {
    /// Whether connections without TLS are made.
    pub plaintext: Plaintext,
}

/// Whether connections without TLS are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plaintext {
    /// No: an address without TLS is a start-up error.
    #[default]
    Refuse,
    /// Yes: for a laptop whose stores are its own.
    Allow,
}

impl Plaintext {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

impl Config {
    /// Whether this is one of many nodes, on Kafka, Redis and PostgreSQL.
    pub fn is_distributed(&self) -> bool {
        !self.kafka.brokers.is_empty()
    }
}

const MISSING: &str = "is missing, while kafka.brokers is set";
const ENCRYPT: &str =
    "use TLS, or set stores.plaintext = \"allow\" where the network is yours alone";

/// The checks that need no connection.
pub(super) fn check(found: &mut Found, config: &Config) {
    let Config { redis, kafka, postgres, secrets, .. } = config;
    if !config.is_distributed() {
        for (key, set) in
            [("redis.url", redis.url.is_some()), ("postgres.url", postgres.url.is_some())]
        {
            if set {
                let mend =
                    "set KAFKA_BROKERS too for many nodes, or unset this for the embedded store";
                found.error(key, "is set, but kafka.brokers is not", mend);
            }
        }
        return;
    }
    if redis.url.is_none() {
        found.error("redis.url", MISSING, "set REDIS_URL");
    }
    ledger(found, config);
    shared_secrets(found, secrets);
    if config.stores.plaintext == Plaintext::Refuse {
        encrypted(found, config);
    }
    if kafka.topic == kafka.dlq_topic {
        found.error("kafka.dlq_topic", "is kafka.topic", "name another topic");
    }
}

/// The checks of the ledger alone: all that whoever migrates it needs.
pub(super) fn ledger(found: &mut Found, config: &Config) {
    let Config { postgres, stores, .. } = config;
    if postgres.url.is_none() {
        found.error("postgres.url", MISSING, "set DATABASE_URL");
    }
    if stores.plaintext == Plaintext::Allow {
        return;
    }
    let urls =
        [("postgres.url", &postgres.url), ("postgres.fulfilment_url", &postgres.fulfilment_url)];
    for (key, url) in urls {
        if url.as_ref().is_some_and(|url| !url.expose_secret().contains("sslmode=verify-full")) {
            found.error(key, "has no sslmode=verify-full", ENCRYPT);
        }
    }
}

/// Each node must have the same keys, so none is made here.
fn shared_secrets(found: &mut Found, secrets: &Secrets) {
    let needed = [
        ("secrets.order_key", secrets.order_key.is_some()),
        ("secrets.buyer_key", secrets.buyer_key.is_some()),
        ("secrets.record_keys", secrets.record_keys.is_some()),
        ("secrets.operator_public_key", secrets.operator_public_key.is_some()),
    ];
    for (key, _) in needed.iter().filter(|(_, set)| !set) {
        let mend = "make it once with `flux-gate keygen` and give all nodes and workers the same";
        found.error(*key, "is missing, and many nodes cannot each make their own", mend);
    }
}

fn encrypted(found: &mut Found, config: &Config) {
    let Config { redis, kafka, .. } = config;
    for (key, url) in [("redis.url", &redis.url), ("redis.loader_url", &redis.loader_url)] {
        if url.as_ref().is_some_and(|url| !url.expose_secret().starts_with("rediss://")) {
            found.error(key, "does not begin with rediss://", ENCRYPT);
        }
    }
    if kafka.username.is_empty() || kafka.password.is_none() {
        let mend = "set kafka.username and kafka.password (SASL/SCRAM over TLS)";
        found.error("kafka.username", "or kafka.password is missing", mend);
    }
}
