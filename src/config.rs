//! The configuration: what can be set, its defaults and its limits.
//!
//! Precedence: flag, environment, file, default. The file is TOML; a key that is not known is refused with
//! its line. A key `a.b` is `FLUX_GATE__A__B` in the environment. Loading is in [`load`].

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

pub use self::admin::{Admin, Approvals, OperatorToken};
use self::callers::shop;
pub use self::callers::{
    ApiClient, ClientRole, DEFAULT_NAME_SPACE, JwtAlgorithm, JwtIssuer, default_roles,
};
pub use crate::sale::OperatorRole;

mod admin;
mod callers;
pub mod challenge;
pub mod check;
mod entry;
pub mod env;
pub mod evidence;
mod file;
pub mod load;
pub mod print;
pub mod privacy;
pub mod problem;
pub mod room;
pub mod schema;
pub mod score;
pub mod stores;
pub mod traces;

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The public listener.
    pub http: Http,
    /// The operator's listener.
    pub admin: Admin,
    /// The embedded store.
    pub data: Data,
    /// Redis, of many nodes.
    pub redis: stores::Redis,
    /// Kafka, of many nodes.
    pub kafka: stores::Kafka,
    /// PostgreSQL, of many nodes.
    pub postgres: stores::Postgres,
    /// What holds for all three.
    pub stores: stores::Stores,
    /// Rates and other limits on who asks how often.
    pub limits: Limits,
    /// Defaults that `SaleOpened` writes down.
    pub orders: Orders,
    /// The secrets of the deployment; made in the data directory where absent.
    pub secrets: Secrets,
    /// Session passes.
    pub session: Session,
    /// Who may issue JWTs for shoppers.
    pub jwt: Vec<JwtIssuer>,
    /// API clients: a shop's own backends.
    pub clients: Vec<ApiClient>,
    /// Who is refused at the door.
    pub blocks: Blocks,
    /// The audit trail.
    pub audit: Audit,
    /// Who did what lately.
    pub evidence: evidence::Evidence,
    /// Signed receipts.
    pub receipts: Receipts,
    /// What is kept of people.
    pub privacy: privacy::Privacy,
    /// Log output.
    pub log: LogOutput,
    /// Traces.
    pub traces: traces::Traces,
    /// The bot score.
    pub score: score::Score,
    /// Challenges.
    pub challenge: challenge::Challenge,
    /// Waiting rooms.
    pub room: room::Room,
}

/// The public listener and the limits of its connections.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// Certificate chain (PEM). With `tls_key_file` the listener speaks TLS alone.
    pub tls_cert_file: Option<PathBuf>,
    /// Private key (PEM).
    pub tls_key_file: Option<PathBuf>,
    /// Worker threads, each with a runtime of its own; 0 is one a core.
    pub threads: usize,
    /// Open connections; a further one is answered 503 and closed.
    pub connections_max: usize,
    /// Open connections of one address (IPv4 /32, IPv6 /64), trusted proxies excepted; 0 is off.
    pub connections_per_ip_max: usize,
    /// Attempts that are under way at once on this node; a further one is answered 503.
    pub attempts_max: usize,
    /// Size of a request's body in bytes.
    pub body_bytes_max: usize,
    /// Size of a request's headers in bytes.
    pub header_bytes_max: usize,
    /// Number of headers of a request.
    pub headers_max: usize,
    /// Time for a request's headers to arrive, in milliseconds.
    pub header_timeout_ms: u64,
    /// Time for a request's body to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// Time that a connection may be idle between requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// Streams of one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// Time that requests in flight have to end when the program stops, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Time between failing readiness and closing the listener, in milliseconds.
    pub drain_delay_ms: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 3000).into(),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            tls_cert_file: None,
            tls_key_file: None,
            threads: 0,
            connections_max: 20_000,
            connections_per_ip_max: 2_000,
            attempts_max: 10_000,
            body_bytes_max: 1_024,
            header_bytes_max: 16_384,
            headers_max: 64,
            header_timeout_ms: 5_000,
            body_timeout_ms: 5_000,
            idle_timeout_ms: 60_000,
            http2_streams_max: 64,
            drain_timeout_ms: 10_000,
            drain_delay_ms: 500,
        }
    }
}

/// The embedded store.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// The directory that holds the store, its lock and the secrets that were made.
    pub dir: PathBuf,
    /// Records of one transaction.
    pub batch_records_max: usize,
    /// Records that wait for the writer; a further attempt is answered 503.
    pub queue_records_max: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: "flux-gate-data".into(), batch_records_max: 1_000, queue_records_max: 20_000 }
    }
}

/// Rates (GCRA), a second; 0 is off. Bursts are how many may come at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// All requests of this node.
    pub node_per_second: u32,
    /// Attempts of one product that may win.
    pub product_per_second: u32,
    /// Requests of one address: IPv4 /32, IPv6 /64; /56 and /48 at 4 and 16 times this.
    pub ip_per_second: u32,
    /// Burst of one address.
    pub ip_burst: u32,
    /// Requests that carry one device fingerprint.
    pub fingerprint_per_second: u32,
    /// Requests of one buyer.
    pub buyer_per_second: u32,
    /// Requests of one API client.
    pub client_per_second: u32,
    /// Time between two requests of one buyer with different keys, in milliseconds.
    pub min_interval_ms: u64,
    /// Addresses, fingerprints, buyers and clients that are kept in mind, each; the least active are
    /// forgotten first.
    pub tracked_keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            node_per_second: 0,
            product_per_second: 10_000,
            ip_per_second: 10,
            ip_burst: 20,
            fingerprint_per_second: 20,
            buyer_per_second: 5,
            client_per_second: 5_000,
            min_interval_ms: 100,
            tracked_keys_max: 1_000_000,
        }
    }
}

/// Defaults of a new sale.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orders {
    /// Orders that one buyer may have.
    pub per_buyer_limit: u32,
    /// How long a further attempt of the same buyer counts as a repeat, in seconds.
    pub repeat_window_seconds: u64,
}

impl Default for Orders {
    fn default() -> Self {
        Self { per_buyer_limit: 1, repeat_window_seconds: 60 }
    }
}

/// The secrets of a deployment, each at least 32 bytes of text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// Behind order ids. Stays for the life of a sale.
    pub order_key: Option<SecretString>,
    /// Behind buyer references. Stays for the life of a sale.
    pub buyer_key: Option<SecretString>,
    /// Behind session passes: `id:secret[,id:secret]`, the first one signs, all verify.
    pub pass_keys: Option<SecretString>,
    /// Behind the MACs of proposals on Kafka: `id:secret[,id:secret]`, the first one signs, all verify. The
    /// same on all nodes and workers.
    pub record_keys: Option<SecretString>,
    /// The seed of the key that signs operators' records (Ed25519, 64 hex digits): only on the nodes that
    /// serve operators.
    pub operator_key: Option<SecretString>,
    /// The public half (64 hex digits), on all nodes and workers.
    pub operator_public_key: Option<String>,
    /// To whom user ids are sealed: a list of `id[@seconds]:` and an X25519 public key (64 hex digits),
    /// each from its time on. Without it no user id reaches the ledger.
    pub seal_public_key: Option<String>,
    /// The private halves, `id:hex[,id:hex]`: on the workers alone.
    pub seal_private_keys: Option<SecretString>,
    /// The seed of the key that signs heads of the audit trail and proofs (Ed25519, 64 hex digits); made in
    /// the data directory where absent, on many nodes as well.
    pub audit_key: Option<SecretString>,
    /// The seed of the key that signs receipts (Ed25519, 64 hex digits). One node makes it where absent; of
    /// many nodes those without it give no receipts.
    pub receipt_key: Option<SecretString>,
}

/// Session passes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// How long a pass is good, in seconds.
    pub pass_lifetime_seconds: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self { pass_lifetime_seconds: 900 }
    }
}

/// Who is refused at the door. Blocks with an expiry are an operator's, and live in the log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blocks {
    /// Addresses and prefixes.
    pub addresses: Vec<IpNet>,
    /// Device fingerprints.
    pub fingerprints: Vec<String>,
    /// User ids.
    pub users: Vec<String>,
}

/// The audit trail: how much of it is kept.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// How long, in days.
    pub retention_days: u64,
    /// All files together, in bytes; beyond it the oldest go first.
    pub bytes_max: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_days: 90, bytes_max: 256 * 1_024 * 1_024 }
    }
}

/// Signed receipts for accepted orders.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receipts {
    /// Whether an accepted order carries one.
    pub enabled: bool,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Log output.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOutput {
    /// Text on a terminal and JSON elsewhere, unless set.
    pub format: LogFormat,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
