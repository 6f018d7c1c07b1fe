//! The configuration of nodes and workers on the shared services of `cargo xtask stack`.

use std::fmt::Write;

/// A value of the stack's environment.
pub type Value<'a> = &'a dyn Fn(&str) -> anyhow::Result<String>;

/// What differs between the processes of one cluster, and between clusters.
pub struct Stores<'a> {
    /// Topic of the order log, and what the others are named after.
    pub topic: &'a str,
    /// Partitions of the topic.
    pub partitions: i32,
    /// The group of the workers.
    pub group: &'a str,
    /// What the names of the variables with the Kafka user begin with; `None` for who never speaks to it.
    pub kafka_user: Option<&'a str>,
    /// How long records gather before they are sent, in microseconds, if not as is the default.
    pub linger_us: Option<u64>,
    /// Where Kafka is.
    pub brokers: &'a str,
    /// Where Redis is, for nodes.
    pub redis_url: &'a str,
    /// Where PostgreSQL is, with the user.
    pub database_url: &'a str,
    /// The same for the shop's feed, on the nodes that serve it.
    pub fulfilment_url: Option<&'a str>,
}

/// The topic of what is no record.
pub fn dead_letters(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// The lines of `[secrets]` that the stack has made.
///
/// # Errors
/// The stack has no such value.
pub fn secrets(value: Value<'_>) -> anyhow::Result<String> {
    let mut text = String::new();
    for (key, variable) in [
        ("record_keys", "RECORD_KEYS"),
        ("operator_key", "OPERATOR_KEY"),
        ("operator_public_key", "OPERATOR_PUBLIC_KEY"),
        ("seal_public_key", "SEAL_PUBLIC_KEY"),
        ("seal_private_keys", "SEAL_PRIVATE_KEYS"),
    ] {
        let value = value(&format!("FLUX_GATE__SECRETS__{variable}"))?;
        writeln!(text, "{key} = \"{value}\"")?;
    }
    Ok(text)
}

impl Stores<'_> {
    /// The sections `redis`, `kafka` and `postgres`.
    ///
    /// # Errors
    /// The stack has no such value.
    pub fn sections(&self, value: Value<'_>) -> anyhow::Result<String> {
        let (username, password) = match self.kafka_user {
            None => ("-".to_owned(), "-".to_owned()),
            Some(user) => {
                (value(&format!("{user}_USERNAME"))?, value(&format!("{user}_PASSWORD"))?)
            }
        };
        let Self { topic, partitions, group, linger_us, brokers, redis_url, database_url, .. } =
            self;
        let linger = linger_us.map(|us| format!("linger_us = {us}"));
        let fulfilment = self.fulfilment_url.map(|url| format!("fulfilment_url = \"{url}\""));
        Ok(format!(
            r#"
[redis]
url = "{redis_url}"
loader_url = "{loader}"
ca_file = "{redis_ca}"

[kafka]
brokers = "{brokers}"
username = "{username}"
password = "{password}"
ca_file = "{kafka_ca}"
topic = "{topic}"
dlq_topic = "{dlq}"
group = "{group}"
partitions = {partitions}
{linger}

[postgres]
url = "{database_url}"
ca_file = "{postgres_ca}"
{fulfilment}
"#,
            loader = value("FLUX_GATE__REDIS__LOADER_URL")?,
            redis_ca = value("FLUX_GATE__REDIS__CA_FILE")?,
            kafka_ca = value("FLUX_GATE__KAFKA__CA_FILE")?,
            dlq = dead_letters(topic),
            postgres_ca = value("FLUX_GATE__POSTGRES__CA_FILE")?,
            linger = linger.unwrap_or_default(),
            fulfilment = fulfilment.unwrap_or_default(),
        ))
    }
}
