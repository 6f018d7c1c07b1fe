//! The table of every key: its name, how its value is read, its range and what it is for.
//!
//! Loading, checking and printing all go by this table, so a key that is missing here does not exist; a
//! test compares it with the structs. A secret has no way to be read from here, only whether it is set.

use std::path::Path;

use super::env::PREFIX;
use super::privacy::SEAL_KEY_DAYS_MAX;
use super::{Config, LogFormat, score, stores};

mod rows;

pub use rows::{Field, FieldKind, ROWS, Rows, rows};

/// One key that holds a single value or a list of texts.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.name`.
    pub name: &'static str,
    /// How its value is read, and its kind.
    pub read: Read,
    /// What it is for, in a line.
    pub about: &'static str,
}

/// How a value is read from a configuration.
#[derive(Debug, Clone, Copy)]
pub enum Read {
    /// One text.
    Text(fn(&Config) -> String),
    /// Texts; comma separated in the environment.
    List(fn(&Config) -> Vec<String>),
    /// A path that may be absent.
    Path(fn(&Config) -> Option<&Path>),
    /// A number within `min..=max`.
    Number {
        /// Reads it.
        get: fn(&Config) -> u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// Yes or no.
    Switch(fn(&Config) -> bool),
    /// A secret: whether it is set.
    Secret(fn(&Config) -> bool),
}

impl Key {
    /// Its name as an environment variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// Whether it holds a secret.
    pub fn is_secret(&self) -> bool {
        matches!(self.read, Read::Secret(_))
    }
}

/// The environment variable of a key: `http.listen` is `FLUX_GATE__HTTP__LISTEN`.
pub fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('.', "__").to_ascii_uppercase())
}

/// The key of that name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

macro_rules! number {
    ($section:ident . $field:ident, $min:expr, $max:expr, $about:literal) => {
        Key {
            name: concat!(stringify!($section), ".", stringify!($field)),
            read: Read::Number {
                #[allow(clippy::unnecessary_cast, reason = "one macro for all widths")]
                get: |config| config.$section.$field as u64,
                min: $min,
                max: $max,
            },
            about: $about,
        }
    };
}

macro_rules! key {
    ($kind:ident, $section:ident . $field:ident, $read:expr, $about:literal) => {
        Key {
            name: concat!(stringify!($section), ".", stringify!($field)),
            read: Read::$kind($read),
            about: $about,
        }
    };
}

/// Largest rate that can be configured, a second.
pub const RATE_PER_SECOND_MAX: u64 = 1_000_000;
const HOUR_MS: u64 = 3_600_000;
const TEN_MINUTES_MS: u64 = 600_000;
const YEAR_SECONDS: u64 = 366 * 24 * 3_600;

/// Every key, in the order in which it is printed.
pub static KEYS: &[Key] = &[
    key!(Text, http.listen, |c| c.http.listen.to_string(), "the public listener"),
    key!(
        List,
        http.trusted_proxies,
        |c| texts(&c.http.trusted_proxies),
        "peers whose forwarding headers are believed"
    ),
    key!(
        List,
        http.cors_origins,
        |c| texts(&c.http.cors_origins),
        "origins that browsers may call from; * is any"
    ),
    key!(Path, http.tls_cert_file, |c| c.http.tls_cert_file.as_deref(), "certificate chain, PEM"),
    key!(Path, http.tls_key_file, |c| c.http.tls_key_file.as_deref(), "private key, PEM"),
    number!(http.threads, 0, 1_024, "worker threads; 0 is one a core"),
    number!(http.connections_max, 1, 1_000_000, "open connections"),
    number!(
        http.connections_per_ip_max,
        0,
        1_000_000,
        "open connections of one address, trusted proxies excepted; 0 is off"
    ),
    number!(http.attempts_max, 1, 1_000_000, "attempts under way at once"),
    number!(http.body_bytes_max, 256, 65_536, "size of a body, bytes"),
    // 8 KiB is the least that the HTTP library takes.
    number!(http.header_bytes_max, 8_192, 1_048_576, "size of all headers, bytes"),
    number!(http.headers_max, 16, 1_024, "number of headers"),
    number!(http.header_timeout_ms, 100, TEN_MINUTES_MS, "time for the headers to arrive"),
    number!(http.body_timeout_ms, 100, TEN_MINUTES_MS, "time for the body to arrive"),
    number!(http.idle_timeout_ms, 1_000, HOUR_MS, "idle time of a connection"),
    number!(http.http2_streams_max, 1, 10_000, "streams of an HTTP/2 connection"),
    number!(http.drain_timeout_ms, 0, TEN_MINUTES_MS, "time to end what is in flight at a stop"),
    number!(http.drain_delay_ms, 0, TEN_MINUTES_MS, "time between not ready and closing"),
    key!(Text, admin.listen, |c| c.admin.listen.to_string(), "the operator's listener"),
    key!(Secret, admin.token, |c| c.admin.token.is_some(), "the admin's bearer token"),
    key!(Path, admin.tls_cert_file, |c| c.admin.tls_cert_file.as_deref(), "certificate chain, PEM"),
    key!(Path, admin.tls_key_file, |c| c.admin.tls_key_file.as_deref(), "private key, PEM"),
    key!(
        Path,
        admin.tls_client_ca_file,
        |c| c.admin.tls_client_ca_file.as_deref(),
        "authority of the operators' own certificates, PEM; set: no connection without one"
    ),
    key!(
        Text,
        admin.approvals,
        |c| c.admin.approvals.word().to_owned(),
        "off, or units: a second operator approves what raises a running sale's units"
    ),
    key!(
        List,
        admin.peers,
        |c| texts(&c.admin.peers),
        "listeners of the other nodes and workers, for the console: each is asked for /readyz"
    ),
    key!(Text, data.dir, |c| c.data.dir.display().to_string(), "the embedded store"),
    number!(data.batch_records_max, 1, 100_000, "records of one transaction"),
    number!(data.queue_records_max, 1, 10_000_000, "records that wait for the writer"),
    key!(Secret, redis.url, |c| c.redis.url.is_some(), "Redis, as the user api (REDIS_URL)"),
    key!(Secret, redis.loader_url, |c| c.redis.loader_url.is_some(), "as the user loader; workers"),
    key!(Path, redis.ca_file, |c| c.redis.ca_file.as_deref(), "certificates of its authority, PEM"),
    number!(redis.timeout_ms, 1, 10_000, "wait before an attempt is screened in memory"),
    key!(Text, kafka.brokers, |c| c.kafka.brokers.clone(), "host:port[,host:port] (KAFKA_BROKERS)"),
    key!(Text, kafka.username, |c| c.kafka.username.clone(), "the SASL/SCRAM user"),
    key!(Secret, kafka.password, |c| c.kafka.password.is_some(), "its password"),
    key!(Path, kafka.ca_file, |c| c.kafka.ca_file.as_deref(), "certificates of its authority, PEM"),
    key!(Text, kafka.topic, |c| c.kafka.topic.clone(), "topic of the order log"),
    key!(Text, kafka.dlq_topic, |c| c.kafka.dlq_topic.clone(), "topic of what is no record"),
    key!(Text, kafka.group, |c| c.kafka.group.clone(), "group of the workers"),
    number!(kafka.partitions, 1, stores::PARTITIONS_MAX, "partitions of the topic, for its life"),
    number!(kafka.linger_us, 0, 100_000, "how long records gather before they are sent"),
    key!(Secret, postgres.url, |c| c.postgres.url.is_some(), "PostgreSQL (DATABASE_URL)"),
    key!(
        Secret,
        postgres.fulfilment_url,
        |c| c.postgres.fulfilment_url.is_some(),
        "as a reader of user ids, for the fulfilment feed"
    ),
    key!(Path, postgres.ca_file, |c| c.postgres.ca_file.as_deref(), "certificates, PEM"),
    number!(
        postgres.batch_records_max,
        1,
        stores::BATCH_RECORDS_MAX,
        "records of one transaction of a worker"
    ),
    key!(
        Text,
        stores.plaintext,
        |c| c.stores.plaintext.word().to_owned(),
        "refuse or allow connections without TLS"
    ),
    number!(limits.node_per_second, 0, RATE_PER_SECOND_MAX, "all requests; 0 is off"),
    number!(limits.product_per_second, 0, RATE_PER_SECOND_MAX, "attempts of a product; 0 is off"),
    number!(limits.ip_per_second, 0, RATE_PER_SECOND_MAX, "requests of an address; 0 is off"),
    number!(limits.ip_burst, 1, RATE_PER_SECOND_MAX, "burst of an address"),
    number!(limits.fingerprint_per_second, 0, RATE_PER_SECOND_MAX, "of a fingerprint; 0 is off"),
    number!(limits.buyer_per_second, 0, RATE_PER_SECOND_MAX, "requests of a buyer; 0 is off"),
    number!(limits.client_per_second, 0, RATE_PER_SECOND_MAX, "of an API client; 0 is off"),
    number!(
        limits.min_interval_ms,
        0,
        60_000,
        "least time between two attempts of a buyer; 0 is off"
    ),
    number!(limits.tracked_keys_max, 1_000, 100_000_000, "addresses, buyers, … kept in mind, each"),
    number!(orders.per_buyer_limit, 1, 1_000_000, "orders of one buyer"),
    number!(
        orders.repeat_window_seconds,
        0,
        YEAR_SECONDS,
        "how long an attempt counts as a repeat"
    ),
    key!(Secret, secrets.order_key, |c| c.secrets.order_key.is_some(), "behind order ids"),
    key!(Secret, secrets.buyer_key, |c| c.secrets.buyer_key.is_some(), "behind buyer references"),
    key!(Secret, secrets.pass_keys, |c| c.secrets.pass_keys.is_some(), "behind session passes"),
    key!(
        Secret,
        secrets.record_keys,
        |c| c.secrets.record_keys.is_some(),
        "behind proposals' MACs"
    ),
    key!(
        Secret,
        secrets.operator_key,
        |c| c.secrets.operator_key.is_some(),
        "signs operators' records"
    ),
    key!(
        Text,
        secrets.operator_public_key,
        |c| c.secrets.operator_public_key.clone().unwrap_or_default(),
        "its public half"
    ),
    key!(
        Text,
        secrets.seal_public_key,
        |c| c.secrets.seal_public_key.clone().unwrap_or_default(),
        "to whom user ids are sealed"
    ),
    key!(
        Secret,
        secrets.seal_private_keys,
        |c| c.secrets.seal_private_keys.is_some(),
        "opens them; workers alone"
    ),
    key!(Secret, secrets.audit_key, |c| c.secrets.audit_key.is_some(), "signs the audit trail"),
    key!(Secret, secrets.receipt_key, |c| c.secrets.receipt_key.is_some(), "signs receipts"),
    number!(session.pass_lifetime_seconds, 1, 86_400, "how long a pass is good"),
    key!(List, blocks.addresses, |c| texts(&c.blocks.addresses), "blocked addresses and prefixes"),
    key!(List, blocks.fingerprints, |c| texts(&c.blocks.fingerprints), "blocked fingerprints"),
    key!(List, blocks.users, |c| texts(&c.blocks.users), "blocked user ids"),
    number!(audit.retention_days, 1, 3_650, "how long the audit trail is kept"),
    number!(audit.bytes_max, 1_048_576, 1 << 40, "size of the audit trail; the oldest goes first"),
    key!(Switch, evidence.enabled, |c| c.evidence.enabled, "who did what at POST /order is kept"),
    number!(
        evidence.retention_hours,
        1,
        168,
        "how long, and so how long pseudonyms of addresses stand"
    ),
    number!(evidence.rows_max, 1_000, 100_000_000, "rows of it; the oldest go first"),
    key!(Switch, receipts.enabled, |c| c.receipts.enabled, "accepted orders carry a receipt"),
    number!(privacy.subjects_days, 1, 3_650, "how long user ids stay after a sale is archived"),
    number!(
        privacy.seal_key_days,
        0,
        SEAL_KEY_DAYS_MAX,
        "how long a key that opens user ids on Kafka stays after its period"
    ),
    key!(
        Path,
        privacy.seal_keys_dir,
        |c| c.privacy.seal_keys_dir.as_deref(),
        "private keys that open user ids, a file each; workers alone"
    ),
    key!(
        Path,
        privacy.erasures_file,
        |c| c.privacy.erasures_file.as_deref(),
        "journal of erasures of an embedded store; unset: beside data.dir"
    ),
    number!(privacy.retention_minutes, 1, 1_440, "how often what is too old is looked for"),
    key!(Text, log.format, |c| log_format(c.log.format).to_owned(), "auto, text or json"),
    key!(
        Text,
        traces.endpoint,
        |c| c.traces.endpoint.clone(),
        "collector, http(s)://host:4318 (OTEL_EXPORTER_OTLP_ENDPOINT); empty is off"
    ),
    key!(Text, traces.protocol, |c| c.traces.protocol.clone(), "http/protobuf alone"),
    key!(
        Secret,
        traces.headers,
        |c| c.traces.headers.is_some(),
        "sent to the collector: name=value[,name=value]"
    ),
    key!(Path, traces.ca_file, |c| c.traces.ca_file.as_deref(), "certificates, PEM"),
    number!(traces.timeout_ms, 1, 60_000, "time that a call of the collector may take"),
    key!(Text, traces.service_name, |c| c.traces.service_name.clone(), "name of this service"),
    key!(
        Text,
        traces.sampler,
        |c| c.traces.sampler.clone(),
        "always_on, always_off or traceidratio, each also after parentbased_"
    ),
    key!(Text, traces.ratio, |c| c.traces.ratio.clone(), "share that is sampled, 0 to 1"),
    number!(
        traces.per_second_max,
        1,
        10_000,
        "sampled requests begun here, and as many of those that callers ask for"
    ),
    number!(traces.queue_spans_max, 64, 1_000_000, "spans that wait for the collector"),
    key!(Switch, score.enabled, |c| c.score.enabled, "orders of shoppers are scored"),
    number!(score.challenge_above, 0, score::POINTS_MAX, "above it a challenge is asked"),
    number!(score.refuse_above, 0, score::POINTS_MAX, "above it an order is refused"),
    number!(score.no_user_agent, 0, score::POINTS_MAX, "no user-agent"),
    number!(score.no_accept_language, 0, score::POINTS_MAX, "no accept-language"),
    number!(score.odd_headers, 0, score::POINTS_MAX, "headers that no browser sends so"),
    number!(score.no_fingerprint, 0, score::POINTS_MAX, "no fingerprint"),
    number!(
        score.fingerprint_contradicted,
        0,
        score::POINTS_MAX,
        "a fingerprint under headers of several devices"
    ),
    number!(
        score.users_on_fingerprint,
        0,
        score::POINTS_MAX,
        "many users on a fingerprint; twice for very many"
    ),
    number!(
        score.users_on_address,
        0,
        score::POINTS_MAX,
        "many users on an address; twice for very many"
    ),
    number!(
        score.alike_on_address,
        0,
        score::POINTS_MAX,
        "many users on an address, headers alike; twice for very many"
    ),
    number!(
        score.fingerprints_of_user,
        0,
        score::POINTS_MAX,
        "many fingerprints of a user; twice for very many"
    ),
    number!(score.too_regular, 0, score::POINTS_MAX, "intervals that no hand keeps"),
    number!(score.before_opening, 0, score::POINTS_MAX, "orders before the opening"),
    number!(score.failed_before, 0, score::POINTS_MAX, "failures before"),
    number!(score.page_unused, 0, score::POINTS_MAX, "nothing says that a page was used"),
    key!(
        Text,
        challenge.provider,
        |c| c.challenge.provider.word().to_owned(),
        "altcha (our own), turnstile, hcaptcha or recaptcha"
    ),
    number!(challenge.expires_seconds, 10, 3_600, "how long one of ours is good"),
    key!(
        Text,
        challenge.site_key,
        |c| c.challenge.site_key.clone(),
        "the service's key, for pages"
    ),
    key!(Secret, challenge.secret, |c| c.challenge.secret.is_some(), "the service's secret"),
    key!(
        Text,
        challenge.siteverify_url,
        |c| c.challenge.siteverify_url.clone(),
        "where the service is asked; empty is its own address"
    ),
    key!(
        Text,
        challenge.hostname,
        |c| c.challenge.hostname.clone(),
        "site of a solution; empty is any"
    ),
    key!(Text, challenge.action, |c| c.challenge.action.clone(), "its action; empty is any"),
    key!(Path, challenge.ca_file, |c| c.challenge.ca_file.as_deref(), "certificates, PEM"),
    number!(challenge.timeout_ms, 1, 30_000, "time that the service may take"),
    key!(
        Text,
        challenge.on_failure,
        |c| c.challenge.on_failure.word().to_owned(),
        "closed, or open: what holds if the service does not answer"
    ),
    key!(
        List,
        room.products,
        |c| texts(&c.room.products),
        "products that are bought by way of a waiting room alone; * is every one"
    ),
    number!(room.admit_per_second, 0, RATE_PER_SECOND_MAX, "let in, a second; 0 is nobody"),
    number!(room.surplus_units, 0, 1_000_000, "let in beyond the units left"),
    number!(room.admission_seconds, 10, 3_600, "how long an admission is good"),
    number!(room.absent_seconds, 2, 3_600, "without a sign of life for so long: passed over"),
    number!(room.poll_seconds, 1, 600, "how often the page gives a sign of life"),
    number!(room.waiting_max, 1_000, 10_000_000, "places that a room keeps at once"),
    number!(room.viewers_max, 0, 1_000_000, "event streams that are open at once"),
    number!(room.viewers_per_ip_max, 1, 1_000_000, "event streams of one address"),
    key!(
        Text,
        room.public_value_source,
        |c| c.room.public_value_source.clone(),
        "from where a draw's public value will come; empty is none"
    ),
    key!(Text, room.brand_name, |c| c.room.brand_name.clone(), "the name on the page"),
    key!(
        Path,
        room.brand_logo_file,
        |c| c.room.brand_logo_file.as_deref(),
        "the picture on the page: SVG, PNG, JPEG or WebP"
    ),
    key!(Text, room.brand_colour, |c| c.room.brand_colour.clone(), "of the page, #rrggbb"),
    key!(List, room.languages, |c| texts(&c.room.languages), "of the page, the default first"),
    key!(
        Path,
        room.texts_file,
        |c| c.room.texts_file.as_deref(),
        "other texts of the page, TOML: a table a language"
    ),
];

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Auto => "auto",
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

#[cfg(test)]
mod tests;
