//! From the ledger's snapshot to a log that is followed to its end.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{self, Context};
use super::end::{Asker, is_unknown_topic, take_in_events};
use super::error::StartError;
use super::follower::Consumer;
use super::native;
use super::topic;
use crate::config::Config;
use crate::sale::{Book, SaleState};
use crate::snapshot::{PartitionHead, Snapshot};

/// How long one question to the cluster waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a node that starts asks again.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// After so many tries it says again that it waits.
const TELL_EVERY_TRIES: u32 = 20;
/// A topic that is unknown, or refused, for so many tries is so: a cluster that has just started may not
/// know better at first.
const TRIES_MAX: u32 = 20;

/// Waits for the brokers, and refuses a topic that is not fit to be the log. Returns its id.
pub(super) fn checked_topic(asker: &Asker, config: &Config) -> Result<u128, StartError> {
    let name = config.kafka.topic.as_str();
    let checked = wait_for(asker, || {
        // First, as only this one is told of a topic that is not there.
        let faults = topic::check(asker, config, ANSWER_TIMEOUT)?;
        Ok((native::describe_topic(asker.client(), name, ANSWER_TIMEOUT)?.id, faults))
    });
    let (id, faults) = match checked {
        Ok(checked) => checked,
        Err(error) if is_unknown_topic(&error) => (0, vec![topic::missing()]),
        Err(_) => (0, vec![topic::refused(config)]),
    };
    let (warnings, faults): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.warning);
    for warning in warnings {
        tracing::warn!(topic = name, "{warning}");
    }
    if faults.is_empty() {
        return Ok(id);
    }
    Err(StartError::Topic { topic: name.to_owned(), faults })
}

/// The heads to start from: the snapshot's, or the beginning where nothing has been applied yet.
pub(super) fn heads(
    snapshot: &Snapshot,
    partitions: u32,
) -> Result<Vec<PartitionHead>, StartError> {
    let heads = &snapshot.heads;
    if heads.is_empty() {
        return Ok((0..partitions as i32).map(PartitionHead::beginning).collect());
    }
    let in_order = heads.iter().zip(0..).all(|(head, number)| head.partition == number);
    if heads.len() != partitions as usize || !in_order {
        let found = heads.len();
        return Err(StartError::SnapshotPartitions { found, configured: partitions });
    }
    Ok(heads.clone())
}

/// The states that the snapshot holds.
pub(super) fn restored(snapshot: Snapshot) -> Result<Book, StartError> {
    let mut book = Book::default();
    book.set_control(snapshot.control.unwrap_or_default());
    for (product, sale) in snapshot.sales {
        let state = SaleState::restore(sale)
            .map_err(|source| StartError::BadSnapshot { product, source })?;
        book.insert(product, state);
    }
    Ok(book)
}

/// Where the log begins and ends.
pub(super) struct Bounds {
    pub begins: Vec<u64>,
    pub ends: Vec<u64>,
}

/// Asks for the bounds of all partitions, waiting for the brokers.
pub(super) fn bounds(asker: &Asker, config: &Config) -> Result<Bounds, StartError> {
    let kafka = &config.kafka;
    let ask = || {
        let mut bounds = Bounds { begins: Vec::new(), ends: Vec::new() };
        for partition in 0..kafka.partitions as i32 {
            let (begin, end) = asker.fetch_watermarks(&kafka.topic, partition, ANSWER_TIMEOUT)?;
            bounds.begins.push(begin.max(0) as u64);
            bounds.ends.push(end.max(0) as u64);
        }
        Ok(bounds)
    };
    wait_for(asker, ask).map_err(|_| StartError::Topic {
        topic: kafka.topic.clone(),
        faults: vec![topic::refused(config)],
    })
}

/// Whether the log holds everything that is needed after the snapshot, and the record that it ends with.
pub(super) fn check_bounds(heads: &[PartitionHead], bounds: &Bounds) -> Result<(), StartError> {
    for (head, (&begin, &end)) in heads.iter().zip(bounds.begins.iter().zip(&bounds.ends)) {
        let (partition, next_offset) = (head.partition, head.next_offset);
        if end < next_offset {
            return Err(StartError::EndsBeforeSnapshot { partition, end, next_offset });
        }
        let needed = next_offset.saturating_sub(1);
        if begin > needed {
            return Err(StartError::BeginsAfterSnapshot { partition, begin, needed });
        }
    }
    Ok(())
}

/// A consumer that reads all partitions from these offsets on.
pub(super) fn consumer(config: &Config, begin_offsets: &[u64]) -> Result<Consumer, StartError> {
    let consumer: Consumer =
        client::follower_config(config).create_with_context(Context).map_err(StartError::Client)?;
    let mut assignment = TopicPartitionList::with_capacity(begin_offsets.len());
    for (partition, offset) in (0..).zip(begin_offsets) {
        assignment
            .add_partition_offset(&config.kafka.topic, partition, Offset::Offset(*offset as i64))
            .map_err(StartError::Client)?;
    }
    consumer.assign(&assignment).map_err(StartError::Client)?;
    Ok(consumer)
}

/// A client that only asks.
pub(super) fn asker(config: &Config) -> Result<Asker, StartError> {
    client::client_config(config).create_with_context(Context).map_err(StartError::Client)
}

/// Asks until there is an answer, and says that it waits. Only a topic that is unknown or refused time and
/// again is an error: everything else may pass.
fn wait_for<T>(
    asker: &Asker,
    mut ask: impl FnMut() -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let mut tries = 0;
    loop {
        let answer = ask();
        take_in_events(asker);
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if tries % TELL_EVERY_TRIES == 0 {
            tracing::warn!(%error, "waiting for Kafka");
        }
        tries += 1;
        let settled = is_unknown_topic(&error) || topic::is_refused(&error);
        if settled && tries >= TRIES_MAX {
            return Err(error);
        }
        std::thread::sleep(RETRY_DELAY);
    }
}

/// The prefix of this process's nonces.
pub(super) fn nonce_prefix() -> super::sender::NoncePrefix {
    let mut prefix = [0; 8];
    aws_lc_rs::rand::fill(&mut prefix).expect("the operating system gives random bytes");
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(partition: i32, next_offset: u64) -> PartitionHead {
        PartitionHead { next_offset, ..PartitionHead::beginning(partition) }
    }

    fn check(next_offset: u64, begin: u64, end: u64) -> Result<(), StartError> {
        let bounds = Bounds { begins: vec![begin], ends: vec![end] };
        check_bounds(&[head(0, next_offset)], &bounds)
    }

    #[test]
    fn the_log_must_hold_the_record_that_the_snapshot_ends_with_and_all_after_it() {
        assert!(check(0, 0, 0).is_ok());
        assert!(check(5, 0, 5).is_ok());
        assert!(check(5, 4, 9).is_ok());
        assert!(matches!(check(5, 5, 9), Err(StartError::BeginsAfterSnapshot { needed: 4, .. })));
        assert!(matches!(check(0, 1, 9), Err(StartError::BeginsAfterSnapshot { needed: 0, .. })));
        assert!(matches!(check(5, 0, 4), Err(StartError::EndsBeforeSnapshot { end: 4, .. })));
    }

    #[test]
    fn a_snapshot_of_another_number_of_partitions_is_refused() {
        let snapshot = |heads: Vec<PartitionHead>| Snapshot { heads, ..Snapshot::default() };
        assert_eq!(heads(&snapshot(Vec::new()), 2).unwrap().len(), 2);
        assert!(heads(&snapshot(vec![head(0, 1), head(1, 0)]), 2).is_ok());
        for bad in [vec![head(0, 1)], vec![head(1, 0), head(0, 1)]] {
            let refused = heads(&snapshot(bad), 2);
            assert!(matches!(refused, Err(StartError::SnapshotPartitions { configured: 2, .. })));
        }
    }
}
