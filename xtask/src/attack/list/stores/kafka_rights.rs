//! With the credentials of `ingestion-api` and `inventory-worker` at Kafka: what the broker must refuse them. The
//! topics are those that are shipped; in the tests' own a worker may write, since its dead letters lie there.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::admin::{
    AdminClient, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Attack, Got, Stores, Target};
use crate::attack::stores::forged::{Forged, Writer};
use crate::attack::stores::{READER_GROUP, STORE_TIMEOUT, admin_options, runtime};

const ORDERS: &str = "orders";
const DEAD_LETTERS: &str = "orders.dlq";
const REFUSED: &str = "not authorized";
/// How long a group has to be joined, or refused.
const JOIN_MAX: Duration = Duration::from_secs(20);

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("a node writes dead letters", "API5", REFUSED, |t| {
        let stores = t.stores()?;
        writes(&stores.as_node()?, ORDERS, true)?;
        writes(&stores.as_node()?, DEAD_LETTERS, false)
    }),
    Attack::on_stores("a node writes to Kafka's own topics", "API5", REFUSED, |t| {
        let stores = t.stores()?;
        let node = stores.as_node()?;
        Ok(Got::all([
            writes(&node, "__consumer_offsets", false)?,
            writes(&node, "__transaction_state", false)?,
        ]))
    }),
    Attack::on_stores("a worker writes orders", "API5", REFUSED, |t| {
        let stores = t.stores()?;
        writes(&stores.as_worker()?, DEAD_LETTERS, true)?;
        writes(&stores.as_worker()?, ORDERS, false)
    }),
    Attack::on_stores("topic made", "API8", REFUSED, |t| {
        administrate(t, |admin, run| {
            let topic = NewTopic::new("stolen", 1, TopicReplication::Fixed(1));
            let done = run.block_on(admin.create_topics([&topic], &admin_options()));
            first(done.map(|all| all.into_iter().map(said_of)))
        })
    }),
    Attack::on_stores("topic made by asking for it", "API8", "there is none", |t| {
        let stores = t.stores()?;
        let mut all = Vec::new();
        for (client, _) in both(stores)? {
            let name = stores.one.unique("it-asked");
            let mut client = client.clone();
            client.set("allow.auto.create.topics", "true");
            let consumer: BaseConsumer = client.set("group.id", READER_GROUP).create()?;
            let _ = consumer.fetch_metadata(Some(&name), STORE_TIMEOUT);
            let made = stores.topics()?.contains(&name);
            all.push(Got::of(!made, if made { "made" } else { "none" }));
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("topic of orders deleted", "API8", REFUSED, |t| {
        administrate(t, |admin, run| {
            let done = run.block_on(admin.delete_topics(&[ORDERS], &admin_options()));
            first(done.map(|all| all.into_iter().map(said_of)))
        })
    }),
    Attack::on_stores("partitions added to the topic of orders", "API8", REFUSED, |t| {
        administrate(t, |admin, run| {
            let more = NewPartitions::new(ORDERS, 12);
            let done = run.block_on(admin.create_partitions([&more], &admin_options()));
            first(done.map(|all| all.into_iter().map(said_of)))
        })
    }),
    Attack::on_stores("topic of orders made forgetful", "API8", REFUSED, |t| {
        let settings = [("retention.ms", "1000"), ("message.timestamp.type", "CreateTime")];
        settings_stay(t.stores()?, ResourceSpecifier::Topic(ORDERS), &settings)
    }),
    Attack::on_stores("records deleted from the topic of orders", "API8", REFUSED, |t| {
        administrate(t, |admin, run| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(ORDERS, 0, Offset::End)?;
            let done = run.block_on(admin.delete_records(&list, &admin_options()));
            let each = |done: TopicPartitionList| -> Vec<Result<(), RDKafkaErrorCode>> {
                let of = |error: KafkaError| {
                    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
                };
                done.elements().iter().map(|one| one.error().map_err(of)).collect()
            };
            first(done.map(|done| each(done).into_iter()))
        })
    }),
    Attack::on_stores("broker's settings changed", "API8", REFUSED, |t| {
        let settings = [("log.retention.ms", "1000")];
        settings_stay(t.stores()?, ResourceSpecifier::Broker(1), &settings)
    }),
    Attack::on_stores("a node joins the workers' group", "API5", REFUSED, |t| {
        let stores = t.stores()?;
        let worker = joins(&stores.as_worker()?, ORDERS)?;
        ensure!(worker == "joined", "the control: a worker cannot join: {worker}");
        let node = joins(&stores.as_node()?, ORDERS)?;
        Ok(Got::of(node.contains("uthorization"), node))
    }),
    Attack::on_stores("workers' group deleted", "API8", REFUSED, |t| {
        administrate(t, |admin, run| {
            let done = run.block_on(admin.delete_groups(&["inventory-group"], &admin_options()));
            first(done.map(|all| all.into_iter().map(said_of)))
        })
    }),
    Attack::on_stores("transaction that leaves gaps in the log", "API8", REFUSED, |t| {
        let stores = t.stores()?;
        let mut all = Vec::new();
        for (mut client, control) in both(stores)? {
            describes(&client, control)?;
            client.set("transactional.id", "it-gaps");
            let producer: BaseProducer = client.create()?;
            let said = producer.init_transactions(STORE_TIMEOUT);
            let what = said.as_ref().map_or_else(ToString::to_string, |()| "begun".to_owned());
            all.push(Got::of(said.is_err() && what.contains("uthoriz"), what));
        }
        Ok(Got::all(all))
    }),
    Attack::on_stores("dead letters read by a node", "API3", REFUSED, |t| {
        let stores = t.stores()?;
        let read = crate::attack::stores::forged::read(&stores.as_node()?, ORDERS);
        read.context("the control: a node reads orders")?;
        stores.records_in(DEAD_LETTERS).context("the control: an administrator looks at them")?;
        let mut client = stores.as_node()?;
        let consumer: BaseConsumer = client.set("group.id", READER_GROUP).create()?;
        let said = consumer.fetch_watermarks(DEAD_LETTERS, 0, STORE_TIMEOUT);
        let what = said.as_ref().map_or_else(ToString::to_string, |ends| format!("{ends:?}"));
        Ok(Got::of(said.is_err(), what))
    }),
];

/// A node's and a worker's credentials, with a topic that they may look at.
fn both(stores: &Stores) -> anyhow::Result<[(ClientConfig, &'static str); 2]> {
    Ok([(stores.as_node()?, ORDERS), (stores.as_worker()?, ORDERS)])
}

/// The control: the credentials are good.
fn describes(client: &ClientConfig, topic: &str) -> anyhow::Result<usize> {
    let consumer: BaseConsumer = client.clone().set("group.id", READER_GROUP).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), STORE_TIMEOUT)?;
    let partitions = metadata.topics().first().context("no topic")?.partitions().len();
    ensure!(partitions > 0, "{topic} cannot be looked at");
    Ok(partitions)
}

/// Whether somebody may write to a topic; what is written is nothing.
fn writes(client: &ClientConfig, topic: &str, may: bool) -> anyhow::Result<Got> {
    let nothing =
        Forged { partition: 0, key: b"-".to_vec(), value: Some(Vec::new()), headers: Vec::new() };
    let said = Writer::new(client)?.send(topic, &nothing);
    if may {
        said.map_err(|error| anyhow::anyhow!("the control: {topic}: {error}"))?;
        return Ok(Got::of(true, "written"));
    }
    let what = said.as_ref().err().cloned().unwrap_or_else(|| "written".to_owned());
    Ok(Got::of(said.is_err() && what.contains("uthoriz"), what))
}

type Admin = AdminClient<DefaultClientContext>;

/// Something that is for administrators, tried by both; afterwards the topic is as it was.
fn administrate(
    t: &Target,
    attempt: impl Fn(&Admin, &tokio::runtime::Runtime) -> anyhow::Result<Result<(), String>>,
) -> anyhow::Result<Got> {
    let stores = t.stores()?;
    let run = runtime()?;
    let mut all = Vec::new();
    for (client, control) in both(stores)? {
        let before = describes(&client, control)?;
        let said = attempt(&client.create()?, &run)?;
        let what = said.as_ref().err().cloned().unwrap_or_else(|| "done".to_owned());
        all.push(Got::of(said.is_err() && what.contains("uthoriz"), what));
        let after = describes(&client, control)?;
        all.push(Got::of(before == after, all[all.len() - 1].what.clone()));
    }
    Ok(Got::all(all))
}

/// What was said of one thing out of several.
fn said_of<T, N>(one: Result<T, (N, RDKafkaErrorCode)>) -> Result<(), RDKafkaErrorCode> {
    one.map(drop).map_err(|(_, code)| code)
}

/// Settings changed by both. The client library does not hand on what the broker said of it, so the settings
/// are looked at, before and after, as an administrator.
fn settings_stay(
    stores: &Stores,
    of: ResourceSpecifier<'_>,
    settings: &[(&str, &str)],
) -> anyhow::Result<Got> {
    let run = runtime()?;
    let administrator: Admin = stores.stack.kafka_admin()?.create()?;
    let shown = || -> anyhow::Result<Vec<Option<String>>> {
        let asked = administrator.describe_configs([&of], &admin_options());
        let described = run.block_on(asked)?.pop().context("no answer")?;
        let described = described.map_err(|code| anyhow::anyhow!("{code}"))?;
        let value =
            |(name, _): &(&str, &str)| described.get(name).and_then(|entry| entry.value.clone());
        Ok(settings.iter().map(value).collect())
    };
    let before = shown()?;
    for (client, control) in both(stores)? {
        describes(&client, control)?;
        let client: Admin = client.create()?;
        let mut change = AlterConfig::new(of);
        for (name, value) in settings {
            change = change.set(name, value);
        }
        // Refused or not: what counts is what the settings are then.
        let _ = run.block_on(client.alter_configs([&change], &admin_options()));
    }
    let after = shown()?;
    let text = after.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let stay = before == after && after.iter().all(Option::is_some);
    Ok(Got::of(stay, format!("still {text}")))
}

/// What came of the first of several.
fn first(
    done: Result<impl Iterator<Item = Result<(), RDKafkaErrorCode>>, KafkaError>,
) -> anyhow::Result<Result<(), String>> {
    match done {
        Ok(mut all) => {
            let one = all.next().context("no answer")?;
            Ok(one.map_err(|code| code.to_string()))
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// Joins the shipped group: `joined`, or what was said.
fn joins(client: &ClientConfig, topic: &str) -> anyhow::Result<String> {
    let mut client = client.clone();
    client.set("group.id", "inventory-group").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = client.create()?;
    consumer.subscribe(&[topic])?;
    let begun = Instant::now();
    while begun.elapsed() < JOIN_MAX {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Err(error)) => return Ok(error.to_string()),
            _ if consumer.assignment()?.count() > 0 => return Ok("joined".to_owned()),
            _ => {}
        }
    }
    Ok("no answer".to_owned())
}
