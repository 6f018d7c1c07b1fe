//! The configuration of nodes and workers on the stores of the stack.

use crate::attack::servers::{OPEN_KEYS, people};
use crate::bench::distributed::stack::{Stack, with_database};
use crate::support::many_nodes;

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

/// The whole file.
pub fn of(stack: &Stack, topic: &str, database: &str, who: Who) -> anyhow::Result<String> {
    let value: many_nodes::Value<'_> = &|name| Ok(stack.get(name)?.to_owned());
    let (variable, kafka_user) = match who {
        Who::Node => ("DATABASE_URL", Some("FLUX_GATE__KAFKA_")),
        Who::Worker => ("STACK_DATABASE_WORKER_URL", Some("STACK_KAFKA_WORKER")),
        Who::Owner => ("STACK_DATABASE_OWNER_URL", None),
    };
    let fulfilment = stack.get("STACK_DATABASE_FULFILMENT_URL")?;
    let fulfilment = with_database(fulfilment, database)?;
    let stores = many_nodes::Stores {
        topic,
        partitions: PARTITIONS,
        group: topic,
        kafka_user,
        linger_us: None,
        brokers: stack.get("KAFKA_BROKERS")?,
        redis_url: stack.get("REDIS_URL")?,
        database_url: &with_database(stack.get(variable)?, database)?,
        fulfilment_url: (who == Who::Node).then_some(fulfilment.as_str()),
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
{secrets}{sections}
{people}
"#,
        secrets = many_nodes::secrets(value)?,
        sections = stores.sections(value)?,
        people = people(),
    ))
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
