//! The thread that asks where the log ends, so that nodes know how fresh their state is.
//!
//! Rule: the moment that is noted is the one *before* the question. Whatever was decided by then lies before
//! the end in the answer, so once the follower has applied up to there, the state holds all of it. While
//! brokers cannot be reached nothing is noted, and after a second nodes stop answering from memory.
//!
//! The same client watches over what is pinned: that the topic is still the same one, which the library that
//! reads it does not look at, its number of partitions, and that it never ends before what has been applied.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Context;
use super::error::FatalError;
use super::heads::Heads;
use super::native::{self, Topic};
use super::pace::Pace;
use crate::clock::Clock;
use crate::log::Applied;

/// How often the end is asked for.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long an answer is waited for. An older one would be of no use.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(900);
/// How long the follower is waited for, in microseconds.
const FOLLOWER_WAIT_US_MAX: u64 = 500_000;
/// How often it is looked whether it has arrived.
const FOLLOWER_LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a look at the topic may take: the next question for the end waits behind it.
const LOOK_TIMEOUT: Duration = Duration::from_millis(300);
/// How often the topic is looked at, in microseconds.
const TOPIC_EVERY_US: u64 = 1_000_000;
/// How long the follower may stand still while brokers tell of records to read, in microseconds.
const STANDSTILL_US_MAX: u64 = 60_000_000;
/// So many answers in a row must say that the log ends too early or has other partitions before that is
/// believed: a broker that has just started may not know better.
const BAD_ANSWERS_MAX: u32 = 5;
/// The same for a topic that is not there.
const GONE_ANSWERS_MAX: u32 = 25;

/// The thread's state.
pub(super) struct EndWatch {
    pub consumer: Asker,
    pub topic: String,
    pub topic_id: u128,
    pub partitions: u32,
    pub applied: Arc<Applied>,
    pub heads: Arc<Heads>,
    pub clock: Clock,
    /// Says that it is time to end, by its other side being dropped.
    pub stop: Receiver<()>,
}

/// A client that only asks.
pub(super) type Asker = BaseConsumer<Context>;

impl EndWatch {
    /// Asks until it is told to stop.
    pub(super) fn run(self) -> Result<(), FatalError> {
        let mut trouble = Pace::every_10_seconds();
        let mut look = Pace::new(TOPIC_EVERY_US);
        let mut progress = Progress::default();
        let mut early_ends = InARow::new(BAD_ANSWERS_MAX);
        let mut other_topics = InARow::new(BAD_ANSWERS_MAX);
        let mut gone = InARow::new(GONE_ANSWERS_MAX);
        while self.stop.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
            take_in_events(&self.consumer);
            let asked_us = self.clock.monotonic_us();
            let applied = self.heads.applied();
            match ends(&self.consumer, &self.topic, self.partitions, ANSWER_TIMEOUT) {
                Ok(ends) => match went_back(&applied, &ends) {
                    None => {
                        early_ends.good();
                        let reached = self.mark_when_reached(&ends, asked_us);
                        let standstill_us = progress.standstill_us(reached, applied, asked_us);
                        if standstill_us > STANDSTILL_US_MAX {
                            let seconds = standstill_us / 1_000_000;
                            return Err(FatalError::Standstill { seconds });
                        }
                    }
                    Some(back) => early_ends.bad(back)?,
                },
                Err(error) if trouble.due(asked_us) => {
                    tracing::warn!(%error, "the end of the order log is out of sight");
                }
                Err(_) => {}
            }
            if look.due(asked_us) || other_topics.count > 0 || gone.count > 0 {
                match self.wrong_topic() {
                    None => {
                        other_topics.good();
                        gone.good();
                    }
                    Some(error @ FatalError::TopicGone { .. }) => gone.bad(error)?,
                    Some(error) => other_topics.bad(error)?,
                }
            }
        }
        Ok(())
    }

    /// Waits a while for the follower to get to `ends`, then notes when they were asked for. Returns
    /// whether it got there.
    fn mark_when_reached(&self, ends: &[u64], asked_us: u64) -> bool {
        while !self.heads.reached(ends) {
            if self.clock.monotonic_us().saturating_sub(asked_us) > FOLLOWER_WAIT_US_MAX {
                return false;
            }
            std::thread::sleep(FOLLOWER_LOOK_EVERY);
        }
        self.applied.mark_end_seen(asked_us);
        true
    }

    /// What is wrong with the topic, as far as brokers can be reached.
    fn wrong_topic(&self) -> Option<FatalError> {
        let topic = self.topic.clone();
        match native::describe_topic(self.consumer.client(), &self.topic, LOOK_TIMEOUT) {
            Ok(found) if found.id != self.topic_id => Some(FatalError::MadeAnew { topic }),
            Ok(Topic { partitions: found, .. }) if found != self.partitions as usize => {
                Some(FatalError::Partitions { topic, found, expected: self.partitions })
            }
            Ok(_) => None,
            // For the library a topic that is not there is one that it goes on looking for.
            Err(_) => match self.consumer.fetch_metadata(Some(&self.topic), LOOK_TIMEOUT) {
                Ok(found) if topic_error(&found, &topic).is_some_and(|e| is_unknown_topic(&e)) => {
                    Some(FatalError::TopicGone { topic })
                }
                _ => None,
            },
        }
    }
}

/// Since when the follower has stood still before an end that brokers tell.
#[derive(Default)]
struct Progress {
    since: Option<(u64, Vec<u64>)>,
}

impl Progress {
    /// How long it has stood still, in microseconds, when it has `applied` so much.
    fn standstill_us(&mut self, reached: bool, applied: Vec<u64>, now_us: u64) -> u64 {
        match &self.since {
            _ if reached => self.since = None,
            Some((since_us, then)) if *then == applied => return now_us.saturating_sub(*since_us),
            _ => self.since = Some((now_us, applied)),
        }
        0
    }
}

/// Bad answers that follow each other.
struct InARow {
    count: u32,
    count_max: u32,
}

impl InARow {
    fn new(count_max: u32) -> Self {
        Self { count: 0, count_max }
    }

    fn good(&mut self) {
        self.count = 0;
    }

    fn bad(&mut self, error: FatalError) -> Result<(), FatalError> {
        self.count += 1;
        if self.count < self.count_max { Ok(()) } else { Err(error) }
    }
}

/// The first partition that ends before what has been applied of it.
fn went_back(applied: &[u64], ends: &[u64]) -> Option<FatalError> {
    let mut partitions = applied.iter().zip(ends).zip(0..);
    partitions.find(|((applied, end), _)| end < applied).map(|((applied, end), partition)| {
        FatalError::WentBack { partition, end: *end, applied: *applied }
    })
}

/// Takes in the library's log lines and errors, which wait in the client's queue.
pub(super) fn take_in_events(client: &Asker) {
    while client.poll(Duration::ZERO).is_some() {}
}

/// The high watermark of each partition, asked for in one call.
pub(super) fn ends(
    client: &Asker,
    topic: &str,
    partitions: u32,
    timeout: Duration,
) -> Result<Vec<u64>, KafkaError> {
    let mut question = TopicPartitionList::with_capacity(partitions as usize);
    for partition in 0..partitions as i32 {
        // In this question the offset stands for a time, and the end is a time of its own (-1).
        question.add_partition_offset(topic, partition, Offset::End)?;
    }
    let answer = client.offsets_for_times(question, timeout)?;
    let end = |partition| {
        let element = answer
            .find_partition(topic, partition)
            .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
        element.error()?;
        match element.offset() {
            Offset::Offset(end) => Ok(end as u64),
            _ => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
        }
    };
    (0..partitions as i32).map(end).collect()
}

/// What brokers say is wrong with the topic.
pub(super) fn topic_error(metadata: &Metadata, topic: &str) -> Option<KafkaError> {
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found {
        Some(found) => found.error().map(|code| KafkaError::MetadataFetch(code.into())),
        None => Some(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)),
    }
}

/// Whether brokers say that there is no such topic.
pub(super) fn is_unknown_topic(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(
        error.rdkafka_error_code(),
        Some(UnknownTopic | UnknownPartition | UnknownTopicOrPartition)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_before_what_is_applied_is_found() {
        assert!(went_back(&[5, 0], &[5, 0]).is_none());
        assert!(went_back(&[5, 0], &[9, 1]).is_none());
        let back = went_back(&[5, 3], &[9, 2]);
        assert!(matches!(back, Some(FatalError::WentBack { partition: 1, end: 2, applied: 3 })));
    }

    #[test]
    fn a_follower_stands_still_when_it_neither_reaches_the_end_nor_moves() {
        let mut progress = Progress::default();
        assert_eq!(progress.standstill_us(false, vec![1], 10), 0);
        assert_eq!(progress.standstill_us(false, vec![1], 15), 5);
        assert_eq!(progress.standstill_us(false, vec![2], 20), 0);
        assert_eq!(progress.standstill_us(true, vec![2], 25), 0);
        assert_eq!(progress.standstill_us(false, vec![2], 30), 0);
        assert_eq!(progress.standstill_us(false, vec![2], 37), 7);
    }

    #[test]
    fn one_odd_answer_is_not_believed_but_many_in_a_row_are() {
        let gone = || FatalError::TopicGone { topic: "orders".to_owned() };
        let mut in_a_row = InARow::new(3);
        for _ in 0..2 {
            assert!(in_a_row.bad(gone()).is_ok());
            assert!(in_a_row.bad(gone()).is_ok());
            in_a_row.good();
        }
        assert!(in_a_row.bad(gone()).is_ok());
        assert!(in_a_row.bad(gone()).is_ok());
        assert!(in_a_row.bad(gone()).is_err());
    }
}
