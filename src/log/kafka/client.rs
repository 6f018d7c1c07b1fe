//! How this program connects to Kafka: the settings of its clients, and where their words go.
//!
//! Connections are SASL/SCRAM-SHA-512 over TLS. Only with `stores.plaintext = "allow"` are others made, and
//! then as much is used as is configured: a user name, a certificate authority.
//!
//! A broker answers the requests of one connection one after the other, and a read that waits for records
//! keeps its connection busy for up to half a second. So whoever must not wait behind it has a client of its
//! own: the producer, and the one that asks for the log's end.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use secrecy::ExposeSecret;

use crate::config::Config;
use crate::config::stores::Plaintext;

/// How long a record waits for its turn at most, and how long the producer then tries to send it, in
/// milliseconds: together not longer than the 10 s after which a proposal would be stale.
pub const MESSAGE_TIMEOUT_MS: u64 = 5_000;
/// Requests of a producer under way at a time, over all partitions of a broker: the most that it may have and
/// still be idempotent. Of one partition there is one, see [`super::lanes`].
const REQUESTS_IN_FLIGHT_MAX: u32 = 5;
/// What a consumer keeps of records that were fetched and not read yet, in KiB.
const FETCHED_KIB_MAX: u32 = 32 * 1_024;
/// The largest answer that is read, in bytes.
const RESPONSE_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// What a consumer asks for of one partition at a time, in bytes.
const FETCH_PARTITION_BYTES: u32 = 1024 * 1024;
/// The group that nodes name. They never join it: the client library wants a name to read at all.
const NODE_GROUP: &str = "flux-gate-node";

/// The settings of any client.
pub fn client_config(config: &Config) -> ClientConfig {
    let kafka = &config.kafka;
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "flux-gate")
        .set("statistics.interval.ms", "0")
        .set("enable.metrics.push", "false")
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false")
        .set("socket.keepalive.enable", "true")
        .set("socket.timeout.ms", "5000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "200")
        .set("receive.message.max.bytes", RESPONSE_BYTES_MAX.to_string());
    let encrypted = config.stores.plaintext == Plaintext::Refuse || kafka.ca_file.is_some();
    let authenticated = config.stores.plaintext == Plaintext::Refuse || !kafka.username.is_empty();
    client.set(
        "security.protocol",
        match (authenticated, encrypted) {
            (true, true) => "SASL_SSL",
            (true, false) => "SASL_PLAINTEXT",
            (false, true) => "SSL",
            (false, false) => "PLAINTEXT",
        },
    );
    if let Some(ca_file) = &kafka.ca_file {
        client.set("ssl.ca.location", ca_file.to_string_lossy());
    }
    if authenticated {
        let password = kafka.password.as_ref().map_or("", |password| password.expose_secret());
        client
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", &kafka.username)
            .set("sasl.password", password);
    }
    // What the library has to say below that is of use to its developers.
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

/// The settings of a producer: idempotent, acknowledged by all in-sync replicas.
pub fn producer_config(config: &Config) -> ClientConfig {
    let mut client = client_config(config);
    let linger_ms = config.kafka.linger_us as f64 / 1_000.0;
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight", REQUESTS_IN_FLIGHT_MAX.to_string())
        .set("linger.ms", linger_ms.to_string())
        .set("message.timeout.ms", MESSAGE_TIMEOUT_MS.to_string())
        .set("request.timeout.ms", MESSAGE_TIMEOUT_MS.to_string())
        .set("queue.buffering.max.messages", config.data.queue_records_max.max(1).to_string());
    client
}

/// The settings of a consumer that knows its offsets itself: for a worker, which sets `group.id`, or for a
/// node, see [`follower_config`].
pub fn consumer_config(config: &Config) -> ClientConfig {
    let mut client = client_config(config);
    client
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_uncommitted")
        .set("check.crcs", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.error.backoff.ms", "20")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.message.max.bytes", FETCH_PARTITION_BYTES.to_string())
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX.to_string());
    client
}

/// The settings of a node's consumer, which is assigned its partitions and joins no group.
pub(super) fn follower_config(config: &Config) -> ClientConfig {
    let mut client = consumer_config(config);
    client.set("group.id", NODE_GROUP);
    client
}

/// Takes the client library's log lines into ours. They name brokers and topics, no secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka: {message}"),
            _ => tracing::debug!(facility, "kafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error {
            KafkaError::Global(RDKafkaErrorCode::Fatal) => tracing::warn!(%error, reason, "kafka"),
            // The library says the same in a log line, which it does not repeat each time.
            _ => tracing::debug!(%error, reason, "kafka"),
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(plaintext: Plaintext, username: &str, ca_file: Option<&str>) -> ClientConfig {
        let mut config = Config::default();
        config.stores.plaintext = plaintext;
        config.kafka.brokers = "localhost:1".to_owned();
        config.kafka.username = username.to_owned();
        config.kafka.ca_file = ca_file.map(Into::into);
        producer_config(&config)
    }

    #[test]
    fn without_leave_there_is_no_connection_but_by_tls_and_password() {
        let protocol = |plaintext, username, ca_file| {
            config(plaintext, username, ca_file).get("security.protocol").map(str::to_owned)
        };
        assert_eq!(protocol(Plaintext::Refuse, "", None).as_deref(), Some("SASL_SSL"));
        assert_eq!(protocol(Plaintext::Allow, "", None).as_deref(), Some("PLAINTEXT"));
        assert_eq!(protocol(Plaintext::Allow, "a", None).as_deref(), Some("SASL_PLAINTEXT"));
        assert_eq!(protocol(Plaintext::Allow, "a", Some("ca.pem")).as_deref(), Some("SASL_SSL"));
        assert_eq!(protocol(Plaintext::Allow, "", Some("ca.pem")).as_deref(), Some("SSL"));
    }

    #[test]
    fn the_client_library_knows_every_setting() {
        let client = config(Plaintext::Allow, "", None);
        assert!(client.create_native_config().is_ok());
        let mut config = Config::default();
        config.kafka.linger_us = 500;
        assert_eq!(producer_config(&config).get("linger.ms"), Some("0.5"));
        assert!(follower_config(&config).create_native_config().is_ok());
    }
}
