//! The configuration of nodes and workers on the stores of the stack.

use std::fmt::Write;

use crate::attack::servers::{OPEN_KEYS, people};
use crate::bench::distributed::stack::{Stack, with_database};

use super::PARTITIONS;

/// Whose configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A node's.
    Node,
    /// A worker's.
    Worker,
    /// Of whoever makes the tables.
    Owner,
}

/// The topic of what is no record.
pub fn dead_letters(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// The whole file.
pub fn of(stack: &Stack, topic: &str, database: &str, who: Who) -> anyhow::Result<String> {
    let (variable, kafka_user) = match who {
        Who::Node => ("DATABASE_URL", "FLUX_GATE__KAFKA_"),
        Who::Worker => ("STACK_DATABASE_WORKER_URL", "STACK_KAFKA_WORKER"),
        Who::Owner => ("STACK_DATABASE_OWNER_URL", "STACK_KAFKA_ADMIN"),
    };
    let url = with_database(stack.get(variable)?, database)?;
    let fulfilment = match who {
        Who::Node => {
            let url = with_database(stack.get("STACK_DATABASE_FULFILMENT_URL")?, database)?;
            format!("fulfilment_url = \"{url}\"")
        }
        Who::Worker | Who::Owner => String::new(),
    };
    Ok(format!(
        r#"
{OPEN_KEYS}
[admin]
listen = "127.0.0.1:0"

[secrets]
order_key = "order-key-of-the-attacks-0123456789abcdef01"
buyer_key = "buyer-key-of-the-attacks-0123456789abcdef01"
pass_keys = "1:pass-key-of-the-attacks-0123456789abcdef01"
{secrets}
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
url = "{url}"
ca_file = "{postgres_ca}"
{fulfilment}

{people}
"#,
        secrets = secrets(stack)?,
        redis = stack.get("REDIS_URL")?,
        loader = stack.get("FLUX_GATE__REDIS__LOADER_URL")?,
        redis_ca = stack.get("FLUX_GATE__REDIS__CA_FILE")?,
        brokers = stack.get("KAFKA_BROKERS")?,
        username = stack.get(&format!("{kafka_user}_USERNAME"))?,
        password = stack.get(&format!("{kafka_user}_PASSWORD"))?,
        kafka_ca = stack.get("FLUX_GATE__KAFKA__CA_FILE")?,
        dlq = dead_letters(topic),
        postgres_ca = stack.get("FLUX_GATE__POSTGRES__CA_FILE")?,
        people = people(),
    ))
}

fn secrets(stack: &Stack) -> anyhow::Result<String> {
    let mut text = String::new();
    for key in [
        "record_keys",
        "operator_key",
        "operator_public_key",
        "seal_public_key",
        "seal_private_keys",
    ] {
        let value = stack.get(&format!("FLUX_GATE__SECRETS__{}", key.to_uppercase()))?;
        writeln!(text, "{key} = \"{value}\"")?;
    }
    Ok(text)
}

/// The same with another value of a key of one section.
///
/// # Errors
/// There is no such key.
pub fn with(config: &str, section: &str, key: &str, value: &str) -> anyhow::Result<String> {
    let at = |text: &str, from: usize| config[from..].find(text).map(|found| from + found);
    let place = at(&format!("[{section}]\n"), 0)
        .and_then(|begin| at(&format!("\n{key} = "), begin))
        .map(|line| line + 1);
    let Some(begin) = place else { anyhow::bail!("no {section}.{key} in the configuration") };
    let end = at("\n", begin).unwrap_or(config.len());
    Ok(format!("{}{key} = \"{value}\"{}", &config[..begin], &config[end..]))
}
