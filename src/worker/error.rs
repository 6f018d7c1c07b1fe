//! Why a worker does not start, or ends.

use std::net::SocketAddr;

use rdkafka::error::KafkaError;

use crate::gate::redis::EndpointError;
use crate::keys::records::RecordKeysError;
use crate::keys::seal::SealKeyError;
use crate::keys::seal::kept::KeptError;
use crate::ledger::postgres::PostgresError;
use crate::log::kafka::{TopicFault, topic_faults};
use crate::sale::{BadSnapshot, ProductId};

/// Why a worker does not start, or ends. What is in the ledger stands; another worker, or this one started
/// again, goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is no log to work on.
    #[error("a worker needs Kafka and PostgreSQL: set KAFKA_BROKERS and DATABASE_URL")]
    NotDistributed,
    /// A setting is missing.
    #[error("{key} is missing; {mend}")]
    Missing {
        /// Which.
        key: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// The way to the collector of traces.
    #[error(transparent)]
    Traces(#[from] crate::trace::TracesError),
    /// The address of Redis, or its certificates.
    #[error("redis.loader_url: {0}")]
    Redis(#[from] EndpointError),
    /// The keys of records.
    #[error("the keys of records: {0}")]
    RecordKeys(#[from] RecordKeysError),
    /// The keys that user ids are opened with.
    #[error(transparent)]
    SealKeys(#[from] KeptError),
    /// The keys that user ids are sealed to.
    #[error("secrets.seal_public_key {0}")]
    SealPublicKey(#[from] SealKeyError),
    /// The ledger cannot be used, and trying again does not help.
    #[error(transparent)]
    Ledger(#[from] PostgresError),
    /// A client of Kafka cannot be made, or has failed for good.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The topic is set so that orders could be lost, or is not there.
    #[error("the topic {topic} cannot be the order log: {}", topic_faults(faults))]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        faults: Vec<TopicFault>,
    },
    /// The log has lost what the ledger holds.
    #[error(
        "partition {partition} of the order log ends at offset {end}, but the ledger has applied it up to \
         {next_offset}: this topic does not belong to this ledger"
    )]
    EndsBefore {
        /// The partition.
        partition: i32,
        /// Its end.
        end: u64,
        /// The ledger's `next_offset`.
        next_offset: u64,
    },
    /// The log begins after what the ledger needs.
    #[error(
        "partition {partition} of the order log begins at offset {begin}, after {needed}, the first record \
         that is needed: records were deleted"
    )]
    BeginsAfter {
        /// The partition.
        partition: i32,
        /// Its first offset.
        begin: u64,
        /// The first one needed.
        needed: u64,
    },
    /// The log holds another record where the ledger ends.
    #[error(
        "partition {partition} of the order log holds another record at offset {offset} than the one that \
         the ledger has applied: this topic does not belong to this ledger, or one was altered"
    )]
    OtherRecord {
        /// The partition.
        partition: i32,
        /// Where.
        offset: u64,
    },
    /// An offset is missing.
    #[error(
        "partition {partition} of the order log goes on at offset {found} instead of {expected}"
    )]
    Gap {
        /// The partition.
        partition: i32,
        /// What comes next.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A sale was opened under newer rules.
    #[error(
        "the sale at offset {offset} of partition {partition} was opened under rules {rules_version}, which \
         this program does not know: upgrade it"
    )]
    NewerRules {
        /// The partition.
        partition: i32,
        /// Where.
        offset: u64,
        /// The version.
        rules_version: u16,
    },
    /// A sale in the ledger is not a state.
    #[error("the ledger's rows of product {product} are not the state of a sale: {source}")]
    BadSale {
        /// The product.
        product: ProductId,
        /// Why.
        source: BadSnapshot,
    },
    /// The operators' listener.
    #[error("cannot listen on {address} (admin.listen): {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("a thread of the worker could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A thread of the worker ended by a panic, which is told where it happened.
    #[error("a thread of the worker has ended")]
    Ended,
}
