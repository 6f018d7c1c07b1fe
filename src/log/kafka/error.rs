//! What can go wrong with the log on Kafka, in words for whoever runs it.

use rdkafka::error::KafkaError;

use crate::sale::{BadSnapshot, ProductId};

/// Why the log did not start. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A client could not be made: a setting or a file.
    #[error("a Kafka client cannot be made: {0}; check kafka.* and its files")]
    Client(#[source] KafkaError),
    /// The topic is not there, or is set in a way under which orders could be lost.
    #[error("the topic {topic} cannot be the order log: {}", topic_faults(faults))]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong, each with how to mend it.
        faults: Vec<TopicFault>,
    },
    /// The ledger's snapshot has another number of partitions.
    #[error(
        "the ledger's snapshot has {found} partitions, kafka.partitions is {configured}; the number is \
         pinned for the topic's life: set it back"
    )]
    SnapshotPartitions {
        /// In the snapshot.
        found: usize,
        /// As configured.
        configured: u32,
    },
    /// The log has lost what the snapshot holds.
    #[error(
        "partition {partition} of the order log ends at offset {end}, but the ledger has applied it up to \
         {next_offset}: the topic was made anew or cut off; give the node the topic that belongs to this \
         ledger"
    )]
    EndsBeforeSnapshot {
        /// The partition.
        partition: i32,
        /// Its end.
        end: u64,
        /// The snapshot's.
        next_offset: u64,
    },
    /// The log begins after the snapshot.
    #[error(
        "partition {partition} of the order log begins at offset {begin}, after {needed}, the first record \
         that is needed: records were deleted; restore the topic, and keep retention.ms and retention.bytes \
         at -1"
    )]
    BeginsAfterSnapshot {
        /// The partition.
        partition: i32,
        /// Its first offset.
        begin: u64,
        /// The first one needed.
        needed: u64,
    },
    /// A sale of the snapshot is no state.
    #[error("the ledger's snapshot of product {product} is not a state of a sale: {source}")]
    BadSnapshot {
        /// The product.
        product: ProductId,
        /// Why.
        source: BadSnapshot,
    },
    /// Following the log failed before its end was reached.
    #[error(transparent)]
    Follow(#[from] FatalError),
    /// A thread could not be started.
    #[error("a thread of the order log could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// Something about the topic that speaks against it, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFault {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub mend: String,
    /// Whether a node starts all the same and warns.
    pub warning: bool,
}

impl std::fmt::Display for TopicFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.mend)
    }
}

/// Faults in one line.
pub fn topic_faults(faults: &[TopicFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

/// Why the log ends in mid-run. What was decided before stands; what was undecided is unknown. The process
/// must end: what it would apply from here on could differ from what others apply.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    /// An offset is missing, or comes again.
    #[error(
        "partition {partition} of the order log goes on at offset {found} instead of {expected}: records \
         were deleted, or the topic was written to in transactions or made anew"
    )]
    Gap {
        /// The partition.
        partition: i32,
        /// The offset that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The log holds another record where the ledger's snapshot ends.
    #[error(
        "partition {partition} of the order log holds another record at offset {offset} than the one that \
         the ledger has applied: this topic and this ledger do not belong together, or one was altered"
    )]
    OtherRecord {
        /// The partition.
        partition: i32,
        /// Where.
        offset: u64,
    },
    /// The log ends before what has been applied.
    #[error(
        "partition {partition} of the order log ends at offset {end}, but this node has applied it up to \
         {applied}: the topic was made anew, or its leader lost records that it had confirmed"
    )]
    WentBack {
        /// The partition.
        partition: i32,
        /// Its end.
        end: u64,
        /// What has been applied.
        applied: u64,
    },
    /// The broker does not have the next record any more.
    #[error(
        "the order log cannot be read on ({0}): the topic was made anew, cut off, or records were deleted"
    )]
    CutOff(#[source] KafkaError),
    /// Another number of partitions.
    #[error(
        "the topic {topic} has {found} partitions instead of {expected} (kafka.partitions): the number is \
         pinned, as it says where a product's records lie; give the node a topic with {expected}"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// In the cluster.
        found: usize,
        /// As configured.
        expected: u32,
    },
    /// Another topic of the same name.
    #[error(
        "the topic {topic} was deleted and made anew: it is not the log that this node has followed; \
         restore the topic that belongs to the ledger"
    )]
    MadeAnew {
        /// The topic.
        topic: String,
    },
    /// The topic is gone.
    #[error("the topic {topic} is gone from the cluster")]
    TopicGone {
        /// The topic.
        topic: String,
    },
    /// A sale under rules that this build does not know.
    #[error(
        "the sale at offset {offset} of partition {partition} was opened under rules {rules_version}, \
         which this build does not know; upgrade it"
    )]
    NewerRules {
        /// The partition.
        partition: i32,
        /// Where.
        offset: u64,
        /// The version of the rules.
        rules_version: u16,
    },
    /// Nothing comes, though brokers say that there is something to read.
    #[error(
        "brokers tell of records in the order log, but none has been read for {seconds} s: the client \
         hangs; start again"
    )]
    Standstill {
        /// For how long.
        seconds: u64,
    },
    /// The client library gave up.
    #[error("the Kafka client failed for good: {0}")]
    Client(#[source] KafkaError),
    /// A thread of the log panicked: a bug.
    #[error("a thread of the order log panicked: {0}")]
    Panicked(String),
}
