//! The worker's consumer: the group says which partitions are ours, the ledger says where in them to read.
//!
//! The group's protocol is the eager one: a rebalance takes all partitions away and then gives some back.
//! Both are only noted here; the main loop finishes its batch or asks the ledger first, and then answers,
//! which is what the group waits for. Offsets are committed to the group for display alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::Config;
use crate::log::kafka::client;

/// A worker that has not been heard of for so long is out of the group, in milliseconds.
const SESSION_TIMEOUT_MS: &str = "10000";
/// So is one that does not ask for records for so long: a transaction hangs, in milliseconds.
const POLL_INTERVAL_MS_MAX: &str = "120000";
/// The broker answers a worker when it has so much for it, in bytes, or the time below is up: nobody waits for
/// the ledger, and a few hundred records at a time cost broker, worker and PostgreSQL far less than a few.
const FETCH_BYTES_MIN: &str = "131072";
/// How long a record waits at the broker for others at most, in milliseconds.
const FETCH_WAIT_MS_MAX: &str = "50";

/// What the group says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rebalance {
    /// These partitions are ours, and no others.
    Assigned(Vec<i32>),
    /// None is ours any more.
    Revoked,
}

/// The consumer, and the topic that it reads.
pub(super) struct Consumer {
    inner: BaseConsumer<Context>,
    topic: String,
}

#[derive(Default)]
struct Context {
    client: client::Context,
    noted: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Relaxed) {
            // Nobody is left who would answer.
            let _ = consumer.unassign();
            return;
        }
        self.noted.lock().push_back(match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let mut numbers: Vec<_> =
                    partitions.elements().iter().map(|element| element.partition()).collect();
                numbers.sort_unstable();
                Rebalance::Assigned(numbers)
            }
            _ => Rebalance::Revoked,
        });
    }

    fn main_queue_min_poll_interval(&self) -> Timeout {
        Timeout::After(Duration::from_millis(100))
    }
}

impl Consumer {
    /// Joins the group.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub(super) fn join(config: &Config) -> Result<Self, KafkaError> {
        let inner: BaseConsumer<Context> = client::consumer_config(config)
            .set("group.id", &config.kafka.group)
            .set("fetch.min.bytes", FETCH_BYTES_MIN)
            .set("fetch.wait.max.ms", FETCH_WAIT_MS_MAX)
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS)
            .set("max.poll.interval.ms", POLL_INTERVAL_MS_MAX)
            .create_with_context(Context::default())?;
        let topic = config.kafka.topic.clone();
        inner.subscribe(&[&topic])?;
        Ok(Self { inner, topic })
    }

    /// The next message, or an error of the client; `None` if nothing came in time. Rebalances are noted on
    /// the way.
    pub(super) fn poll(&self, limit: Duration) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        self.inner.poll(limit)
    }

    /// What the group said and nobody has answered yet.
    pub(super) fn take_rebalance(&self) -> Option<Rebalance> {
        self.inner.context().noted.lock().pop_front()
    }

    /// Whether the group waits for an answer.
    pub(super) fn has_rebalance(&self) -> bool {
        !self.inner.context().noted.lock().is_empty()
    }

    /// Reads just these partitions, from these offsets on. What was fetched before is dropped.
    pub(super) fn read_from(
        &self,
        places: impl Iterator<Item = (i32, u64)>,
    ) -> Result<(), KafkaError> {
        self.inner.assign(&self.list(places)?)
    }

    /// Reads nothing for now; the membership of the group stays.
    pub(super) fn read_nothing(&self) -> Result<(), KafkaError> {
        self.inner.unassign()
    }

    /// Tells the group how far the ledger is, for those who look at its lag. Nothing waits for it.
    pub(super) fn show(&self, next_offsets: impl Iterator<Item = (i32, u64)>) {
        let shown = self.list(next_offsets);
        if let Err(error) = shown.and_then(|list| self.inner.commit(&list, CommitMode::Async)) {
            tracing::debug!(%error, "the group was not told the offsets");
        }
    }

    fn list(
        &self,
        places: impl Iterator<Item = (i32, u64)>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in places {
            let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        Ok(list)
    }

    /// Leaves the group, so that the others need not wait for it to be missed.
    pub(super) fn leave(self) {
        self.inner.context().closing.store(true, Ordering::Relaxed);
        // A rebalance that nobody has answered would keep the group waiting.
        let _ = self.inner.unassign();
        self.inner.unsubscribe();
    }
}
