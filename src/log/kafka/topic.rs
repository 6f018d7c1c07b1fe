//! Whether the topic is set so that nothing which has been confirmed can get lost.
//!
//! The broker's defaults are not good enough for an order log: they delete records after a week, take the
//! producer's word for the time, and let one broker alone confirm.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::client::{Context, client_config};
use super::end::{Asker, is_unknown_topic, take_in_events, topic_error};
use super::error::TopicFault;
use crate::config::Config;

/// Where the settings are written down.
const SCRIPT: &str = "deploy/kafka/topics.sh";

/// Looks at the order topic as the configured user sees it. Blocks for up to a few times `timeout`.
///
/// # Errors
/// If the cluster cannot be asked. What is wrong with the topic is in the answer, which is empty for a topic
/// that is as it should be.
pub fn check_topic(config: &Config, timeout: Duration) -> Result<Vec<TopicFault>, KafkaError> {
    let asker: Asker = client_config(config).create_with_context(Context)?;
    let checked = check(&asker, config, timeout);
    take_in_events(&asker);
    match checked {
        Err(error) if is_unknown_topic(&error) => Ok(vec![missing()]),
        Err(error) if is_refused(&error) => Ok(vec![refused(config)]),
        checked => checked,
    }
}

/// Whether the configured user may make topics, which neither nodes nor workers should. None is made: the
/// brokers only check whether they would.
///
/// # Errors
/// If the cluster cannot be asked.
pub fn may_make_topics(config: &Config, timeout: Duration) -> Result<bool, KafkaError> {
    let admin: AdminClient<Context> = client_config(config).create_with_context(Context)?;
    let options = AdminOptions::new().request_timeout(Some(timeout)).validate_only(true);
    let name = format!("{}.flux-gate-doctor", config.kafka.topic);
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    let answer = admin.create_topics([&topic], &options);
    let waited = std::thread::scope(|scope| scope.spawn(|| wait_for(answer)).join());
    let results = waited.unwrap_or(Err(KafkaError::Canceled))?;
    match results.into_iter().next() {
        Some(Err((_, code))) if is_lack_of_rights(code) => Ok(false),
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(true),
        Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
        None => Err(KafkaError::Canceled),
    }
}

fn is_lack_of_rights(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{ClusterAuthorizationFailed, TopicAuthorizationFailed};
    matches!(code, ClusterAuthorizationFailed | TopicAuthorizationFailed)
}

/// The same as [`check_topic`], where an unknown topic and missing rights are errors.
pub(super) fn check(
    asker: &Asker,
    config: &Config,
    timeout: Duration,
) -> Result<Vec<TopicFault>, KafkaError> {
    let topic = config.kafka.topic.as_str();
    let metadata = asker.fetch_metadata(Some(topic), timeout)?;
    if let Some(error) = topic_error(&metadata, topic) {
        return Err(error);
    }
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.map_or(&[][..], |found| found.partitions());
    let mut faults = Vec::new();
    let (partitions, expected) = (found.len(), config.kafka.partitions);
    if partitions != expected as usize {
        faults.push(fault(
            format!("it has {partitions} partitions, kafka.partitions is {expected}"),
            "set kafka.partitions to the number that the topic was made with, on all nodes and workers; \
             never add partitions"
                .to_owned(),
        ));
    }
    let replicas = found.iter().map(|partition| partition.replicas().len()).min();
    let settings = describe(config, topic, timeout)?;
    faults.extend(setting_faults(&settings, replicas.unwrap_or(0)));
    Ok(faults)
}

/// Reads the topic's settings: name and value.
fn describe(
    config: &Config,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<(String, String)>, KafkaError> {
    let admin: AdminClient<Context> = client_config(config).create_with_context(Context)?;
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let asked = [ResourceSpecifier::Topic(topic)];
    let answer = admin.describe_configs(&asked, &options);
    // On a thread of its own: the caller's may be running a runtime already.
    let waited = std::thread::scope(|scope| scope.spawn(|| wait_for(answer)).join());
    let resources = waited.unwrap_or(Err(KafkaError::Canceled))?;
    let mut settings = Vec::new();
    for resource in resources {
        let ConfigResource { entries, .. } = resource.map_err(KafkaError::AdminOp)?;
        settings.extend(entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(settings)
}

fn wait_for<T>(answer: impl Future<Output = KafkaResult<T>>) -> KafkaResult<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|error| KafkaError::ClientCreation(error.to_string()))?.block_on(answer)
}

/// What is wrong with the settings of a topic whose partitions have at least so many replicas.
fn setting_faults(settings: &[(String, String)], replicas: usize) -> Vec<TopicFault> {
    let value = |name: &str| {
        settings.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    };
    if settings.is_empty() {
        return vec![fault(
            "its settings cannot be read".to_owned(),
            "grant this user DescribeConfigs on the topic (deploy/kafka/acls.sh)".to_owned(),
        )];
    }
    let mut faults = Vec::new();
    for (name, needed) in [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("message.timestamp.type", "LogAppendTime"),
        ("unclean.leader.election.enable", "false"),
    ] {
        if value(name) != Some(needed) {
            faults.push(setting(name, value(name), needed));
        }
    }
    if replicas >= 2 {
        let in_sync = value("min.insync.replicas");
        let enough = in_sync.and_then(|text| text.parse::<u32>().ok()).is_some_and(|n| n >= 2);
        if !enough {
            faults.push(setting("min.insync.replicas", in_sync, "2"));
        }
    } else if value("flush.messages") != Some("1") {
        let mut warning = setting("flush.messages", value("flush.messages"), "1");
        warning.what =
            "with one replica and without flush.messages=1 it is not safe against power cuts: \
             a confirmed order may be lost"
                .to_owned();
        warning.mend += ", or replicate it three times";
        warning.warning = true;
        faults.push(warning);
    }
    faults
}

fn setting(name: &str, value: Option<&str>, needed: &str) -> TopicFault {
    fault(
        format!("{name} is {}", value.unwrap_or("not set")),
        format!("set it to {needed} with kafka-configs.sh --alter, as in {SCRIPT}"),
    )
}

fn fault(what: String, mend: String) -> TopicFault {
    TopicFault { what, mend, warning: false }
}

/// There is no such topic.
pub(super) fn missing() -> TopicFault {
    fault("it does not exist".to_owned(), format!("make it as in {SCRIPT}"))
}

/// The user has no rights on it.
pub(super) fn refused(config: &Config) -> TopicFault {
    fault(
        format!("the user {:?} may not use it", config.kafka.username),
        "grant its rights as in deploy/kafka/acls.sh".to_owned(),
    )
}

/// Whether brokers refuse the topic to this user.
pub(super) fn is_refused(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(is_lack_of_rights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<(String, String)> {
        let settings = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("message.timestamp.type", "LogAppendTime"),
            ("unclean.leader.election.enable", "false"),
            ("min.insync.replicas", "2"),
            ("flush.messages", "9223372036854775807"),
        ];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    fn with(name: &str, value: &str) -> Vec<(String, String)> {
        let mut settings = good();
        settings.iter_mut().filter(|(found, _)| found == name).for_each(|(_, v)| *v = value.into());
        settings
    }

    #[test]
    fn a_topic_that_is_as_it_should_be_has_no_fault() {
        assert_eq!(setting_faults(&good(), 3), []);
        assert_eq!(setting_faults(&with("flush.messages", "1"), 1), []);
    }

    #[test]
    fn each_setting_that_could_lose_orders_is_a_fault_that_says_how_to_mend_it() {
        for (name, bad) in [
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "1000000"),
            ("message.timestamp.type", "CreateTime"),
            ("unclean.leader.election.enable", "true"),
            ("min.insync.replicas", "1"),
        ] {
            let faults = setting_faults(&with(name, bad), 3);
            assert_eq!(faults.len(), 1, "{name}={bad}");
            assert!(!faults[0].warning && faults[0].what.contains(name), "{}", faults[0]);
            assert!(faults[0].mend.contains("kafka-configs.sh"), "{}", faults[0]);
        }
    }

    #[test]
    fn one_replica_without_a_flush_for_each_record_is_a_warning() {
        let faults = setting_faults(&with("min.insync.replicas", "1"), 1);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].warning && faults[0].what.contains("power cuts"), "{}", faults[0]);
    }

    #[test]
    fn settings_that_cannot_be_read_are_a_fault() {
        assert!(setting_faults(&[], 3)[0].mend.contains("DescribeConfigs"));
    }
}
