//! The way of a record into Kafka: sealed, encoded, vouched for, entered as waiting, handed to the producer.
//!
//! Nothing is answered from here. An acknowledgement says only that the record is in the log, not what it
//! came to, and a missing one does not say that it is not: decisions come from the follower alone. Delivery
//! reports are counted.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::client::Context;
use super::message::{NONCE_HEADER, VOUCHER_HEADER, author_of, partition_of};
use super::waiting::{NoRoom, Waiting};
use crate::clock::Clock;
use crate::keys::records::{NONCE_BYTES, NoOperatorKey, Nonce, RecordKeys, VOUCHER_BYTES_MAX};
use crate::keys::seal::Sealer;
use crate::log::delivery::Ticket;
use crate::log::{NotAppended, Queued};
use crate::sale::Record;
use crate::sale::record::RECORD_BYTES_MAX;

/// How long the end waits for records that are on their way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the producer's thread looks up from its events.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often records that were not sent are told at most, in rounds of [`POLL_INTERVAL`].
const TELL_EVERY_ROUNDS: u32 = 50;

/// The first bytes of all nonces of this process.
pub(super) type NoncePrefix = [u8; 8];

/// What all threads that send share.
pub(super) struct Outbox {
    pub topic: String,
    pub partitions: u32,
    pub keys: RecordKeys,
    pub sealer: Option<Sealer>,
    pub clock: Clock,
    pub waiting: Waiting<Ticket>,
    pub nonce_prefix: NoncePrefix,
    config: ClientConfig,
    producer: ArcSwap<BaseProducer<Reports>>,
    failures: Arc<Failures>,
    stopping: AtomicBool,
}

/// The parts of an [`Outbox`] that come from elsewhere.
pub(super) struct OutboxParts {
    pub topic: String,
    pub partitions: u32,
    pub keys: RecordKeys,
    pub sealer: Option<Sealer>,
    pub clock: Clock,
    pub waiting_max: usize,
    pub nonce_prefix: NoncePrefix,
}

impl Outbox {
    /// Makes the producer; it connects by itself, whenever brokers can be reached.
    pub(super) fn new(config: ClientConfig, parts: OutboxParts) -> Result<Self, KafkaError> {
        let failures = Arc::<Failures>::default();
        let producer = producer(&config, &failures)?;
        let OutboxParts { topic, partitions, keys, sealer, clock, waiting_max, nonce_prefix } =
            parts;
        Ok(Self {
            topic,
            partitions,
            keys,
            sealer,
            clock,
            waiting: Waiting::new(waiting_max),
            nonce_prefix,
            config,
            producer: ArcSwap::from_pointee(producer),
            failures,
            stopping: AtomicBool::new(false),
        })
    }

    /// Records that the producer gave up on. They may be in the log all the same.
    pub(super) fn not_sent(&self) -> u64 {
        self.failures.count.load(Ordering::Relaxed)
    }

    /// The producer's own thread: takes in its events until it is told to stop, then waits a little for
    /// what is on its way.
    pub(super) fn run(&self) {
        let mut rounds = 0;
        let mut told = 0;
        while !self.stopping.load(Ordering::Acquire) {
            self.producer.load().poll(POLL_INTERVAL);
            rounds += 1;
            let count = self.not_sent();
            if count > told && rounds >= TELL_EVERY_ROUNDS {
                let last = self.failures.last.lock().take().map(|code| code.to_string());
                tracing::warn!(records = count - told, last, "records could not be sent to Kafka");
                (told, rounds) = (count, 0);
            }
            self.replace_failed_producer();
        }
        // An error says that the time was up; whoever waited is told that the outcome is unknown.
        let _ = self.producer.load().flush(FLUSH_TIMEOUT);
    }

    /// An idempotent producer that cannot keep its promise any more refuses everything from then on. Its
    /// records that were lost are given up by those who wait for them; a new one takes over.
    fn replace_failed_producer(&self) {
        let Some((code, reason)) = self.producer.load().client().fatal_error() else { return };
        tracing::warn!(%code, reason, "the Kafka producer failed and is made anew");
        match producer(&self.config, &self.failures) {
            Ok(producer) => self.producer.store(Arc::new(producer)),
            Err(error) => tracing::error!(%error, "no new Kafka producer can be made"),
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.waiting.close();
        self.stopping.store(true, Ordering::Release);
    }
}

fn producer(
    config: &ClientConfig,
    failures: &Arc<Failures>,
) -> Result<BaseProducer<Reports>, KafkaError> {
    config.create_with_context(Reports(Arc::clone(failures)))
}

/// What the producer reports.
struct Reports(Arc<Failures>);

#[derive(Default)]
struct Failures {
    count: AtomicU64,
    last: Mutex<Option<RDKafkaErrorCode>>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Context.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.count.fetch_add(1, Ordering::Relaxed);
            *self.0.last.lock() = error.rdkafka_error_code();
        }
    }
}

/// One thread's way to send.
pub(in crate::log) struct Sender {
    outbox: Arc<Outbox>,
    buffers: RefCell<Buffers>,
}

/// Used again for every record.
struct Buffers {
    value: Vec<u8>,
    voucher: Vec<u8>,
}

impl Sender {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        let value = Vec::with_capacity(RECORD_BYTES_MAX);
        let voucher = Vec::with_capacity(VOUCHER_BYTES_MAX);
        Self { outbox, buffers: RefCell::new(Buffers { value, voucher }) }
    }

    /// Hands a record to the producer. On an error it was not, and will not be.
    pub(in crate::log) fn try_send(&self, queued: Queued) -> Result<(), NotAppended> {
        let Queued { append, ticket } = queued;
        let outbox = &*self.outbox;
        let now_us = outbox.clock.monotonic_us();
        let mut record = append.record;
        if let (Record::OrderProposed(proposal), Some(user), Some(sealer)) =
            (&mut record, &append.subject, &outbox.sealer)
        {
            let sealed = sealer.seal(user, &append.product, &proposal.order_id, now_us);
            proposal.sealed_user = Some(sealed);
        }
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { value, voucher } = &mut *buffers;
        value.clear();
        record.encode_into(value);
        if value.len() > RECORD_BYTES_MAX {
            return Err(NotAppended::Invalid);
        }
        let counter = outbox.waiting.enter(ticket, now_us).map_err(|no_room| match no_room {
            NoRoom::Full => NotAppended::QueueFull,
            NoRoom::Closed => NotAppended::Stopped,
        })?;
        let nonce = nonce(outbox.nonce_prefix, counter);
        voucher.clear();
        let product = append.product.as_str();
        let sent = outbox
            .keys
            .vouch(author_of(&record), product, &nonce, value, voucher)
            .map_err(|NoOperatorKey| NotAppended::NoOperatorKey)
            .and_then(|()| {
                let partition = partition_of(&append.product, outbox.partitions);
                outbox.produce(product, partition, value, &nonce, voucher)
            });
        if sent.is_err() {
            outbox.waiting.withdraw(counter);
        }
        sent
    }
}

impl Outbox {
    fn produce(
        &self,
        key: &str,
        partition: i32,
        value: &[u8],
        nonce: &Nonce,
        voucher: &[u8],
    ) -> Result<(), NotAppended> {
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: NONCE_HEADER, value: Some(&nonce[..]) })
            .insert(Header { key: VOUCHER_HEADER, value: Some(voucher) });
        let record = BaseRecord::to(&self.topic)
            .partition(partition)
            .key(key)
            .payload(value)
            .headers(headers);
        self.producer.load().send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => NotAppended::QueueFull,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => NotAppended::Invalid,
            // The producer has failed and is being replaced, or the topic is not known: come again.
            code => {
                tracing::debug!(?code, "a record was not taken by the Kafka producer");
                NotAppended::QueueFull
            }
        })
    }
}

/// The nonce of the `counter`-th record of a process.
fn nonce(prefix: NoncePrefix, counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&prefix);
    nonce[8..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

/// The counter in a nonce of this process.
pub(super) fn counter_of(nonce: &Nonce, prefix: &NoncePrefix) -> Option<u64> {
    let counter = nonce.strip_prefix(prefix)?.try_into().ok()?;
    Some(u64::from_be_bytes(counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nonces_of_this_process_have_a_counter() {
        let sent = nonce([1; 8], 77);
        assert_eq!(counter_of(&sent, &[1; 8]), Some(77));
        assert_eq!(counter_of(&sent, &[2; 8]), None);
    }
}
