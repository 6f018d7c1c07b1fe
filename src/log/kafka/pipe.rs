//! The producer and what goes through it, a batch a partition at a time.
//!
//! - A record is handed to the client library once. An acknowledgement says only that it is in the log, not
//!   what it came to, and a missing one does not say that it is not: reports count and free the way, no more.
//! - What has waited for as long as the library would try to send it is not sent any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::client::{Context, MESSAGE_TIMEOUT_MS};
use super::lanes::{Entered, Lanes};
use super::message::{NONCE_HEADER, VOUCHER_HEADER};
use crate::clock::Clock;
use crate::keys::records::Nonce;
use crate::log::NotAppended;
use crate::sale::ProductId;
use crate::trace::{TRACEPARENT, TraceContext};

/// How long the end waits for records that are on their way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the producer's thread looks up from its events.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often records that were not sent are told at most, in rounds of [`POLL_INTERVAL`].
const TELL_EVERY_ROUNDS: u32 = 50;

/// A record that is ready to be sent.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub product: ProductId,
    pub partition: i32,
    pub value: &'a [u8],
    pub nonce: &'a Nonce,
    pub voucher: &'a [u8],
    /// Where its request is in a trace that is sampled.
    pub trace: Option<TraceContext>,
    /// When it was made, by the process's monotonic clock.
    pub now_us: u64,
}

/// One that waits for its turn.
pub(super) struct Kept {
    product: ProductId,
    nonce: Nonce,
    /// The value, and behind it the voucher.
    bytes: Box<[u8]>,
    value_bytes: usize,
    trace: Option<TraceContext>,
    made_us: u64,
}

/// The way to the brokers.
pub(super) struct Pipe {
    topic: String,
    config: ClientConfig,
    lanes: Lanes<Kept>,
    clock: Clock,
    /// Empty before the first and after the last one.
    producer: ArcSwapOption<BaseProducer<Reports>>,
    /// Counts the producers.
    generation: AtomicU64,
    not_sent: AtomicU64,
    last_error: Mutex<Option<RDKafkaErrorCode>>,
    stopping: AtomicBool,
}

impl Pipe {
    /// Makes the first producer; it connects by itself.
    pub(super) fn new(
        config: ClientConfig,
        topic: String,
        lanes: Lanes<Kept>,
        clock: Clock,
    ) -> Result<Arc<Self>, KafkaError> {
        let pipe = Arc::new(Self {
            topic,
            config,
            lanes,
            clock,
            producer: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            not_sent: AtomicU64::new(0),
            last_error: Mutex::new(None),
            stopping: AtomicBool::new(false),
        });
        pipe.renew()?;
        Ok(pipe)
    }

    /// Sends a record now or with the next batch of its partition. On an error it was not sent, and will
    /// not be.
    pub(super) fn send(&self, message: &Message<'_>) -> Result<(), NotAppended> {
        match self.lanes.enter(message.partition, || Kept::new(message)) {
            Entered::Waits => Ok(()),
            Entered::Full => Err(NotAppended::QueueFull),
            Entered::Now => self.produce(message).inspect_err(|_| self.free(message.partition)),
        }
    }

    /// Records that the producer gave up on. They may be in the log all the same.
    pub(super) fn not_sent(&self) -> u64 {
        self.not_sent.load(Ordering::Relaxed)
    }

    /// The producer's own thread: takes in its events until it is told to stop, then waits a little for
    /// what is on its way.
    pub(super) fn run(self: &Arc<Self>) {
        let mut rounds = 0;
        let mut told = 0;
        while !self.stopping.load(Ordering::Acquire) {
            let Some(producer) = self.producer.load_full() else { return };
            producer.poll(POLL_INTERVAL);
            rounds += 1;
            let count = self.not_sent();
            if count > told && rounds >= TELL_EVERY_ROUNDS {
                let last = self.last_error.lock().take().map(|code| code.to_string());
                tracing::warn!(records = count - told, last, "records could not be sent to Kafka");
                (told, rounds) = (count, 0);
            }
            self.replace_if_failed(&producer);
        }
        if let Some(producer) = self.producer.load_full() {
            // An error says that the time was up; whoever waited is told that the outcome is unknown.
            let _ = producer.flush(FLUSH_TIMEOUT);
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// An idempotent producer that cannot keep its promise any more refuses everything from then on. Its
    /// records that were lost are given up by those who wait for them; a new one takes over.
    fn replace_if_failed(self: &Arc<Self>, producer: &BaseProducer<Reports>) {
        let Some((code, reason)) = producer.client().fatal_error() else { return };
        tracing::warn!(%code, reason, "the Kafka producer failed and is made anew");
        if let Err(error) = self.renew() {
            tracing::error!(%error, "no new Kafka producer can be made");
        }
    }

    fn renew(self: &Arc<Self>) -> Result<(), KafkaError> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let reports = Reports { pipe: Arc::downgrade(self), generation };
        let producer = Arc::new(self.config.create_with_context(reports)?);
        let before = self.producer.swap(Some(producer));
        for (partition, batch) in self.lanes.replaced(generation) {
            self.hand_over(partition, batch);
        }
        // Not earlier: as it goes it reports all that it still holds, which must not count any more.
        drop(before);
        Ok(())
    }

    /// A record that counted as under way was not taken by the producer.
    fn free(&self, partition: i32) {
        self.reported(partition, self.generation.load(Ordering::Relaxed));
    }

    fn reported(&self, partition: i32, generation: u64) {
        let batch = self.lanes.reported(partition, generation);
        self.hand_over(partition, batch);
    }

    fn hand_over(&self, partition: i32, mut batch: Vec<Kept>) {
        while !batch.is_empty() {
            let mut next = Vec::new();
            let now_us = self.clock.monotonic_us();
            for kept in batch {
                let late = now_us.saturating_sub(kept.made_us) > MESSAGE_TIMEOUT_MS * 1_000;
                if late || self.produce(&kept.message(partition)).is_err() {
                    self.not_sent.fetch_add(1, Ordering::Relaxed);
                    let generation = self.generation.load(Ordering::Relaxed);
                    // Only for the last one of a batch there is a next.
                    next = self.lanes.reported(partition, generation);
                }
            }
            batch = next;
        }
    }

    fn produce(&self, message: &Message<'_>) -> Result<(), NotAppended> {
        let Message { product, partition, value, nonce, voucher, trace, .. } = message;
        let mut headers = OwnedHeaders::new_with_capacity(2 + usize::from(trace.is_some()))
            .insert(Header { key: NONCE_HEADER, value: Some(&nonce[..]) })
            .insert(Header { key: VOUCHER_HEADER, value: Some(*voucher) });
        if let Some(place) = trace {
            headers = headers.insert(Header { key: TRACEPARENT, value: Some(&place.write()) });
        }
        let record = BaseRecord::to(&self.topic)
            .partition(*partition)
            .key(product.as_str())
            .payload(*value)
            .headers(headers);
        let producer = self.producer.load();
        let Some(producer) = producer.as_ref() else { return Err(NotAppended::Stopped) };
        producer.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
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

impl Kept {
    fn new(message: &Message<'_>) -> Self {
        let Message { product, value, nonce, voucher, trace, now_us, .. } = *message;
        let bytes = [value, voucher].concat().into_boxed_slice();
        Self { product, nonce: *nonce, bytes, value_bytes: value.len(), trace, made_us: now_us }
    }

    fn message(&self, partition: i32) -> Message<'_> {
        let (value, voucher) = self.bytes.split_at(self.value_bytes);
        let Self { product, nonce, trace, made_us, .. } = self;
        let (product, trace, now_us) = (*product, *trace, *made_us);
        Message { product, partition, value, nonce, voucher, trace, now_us }
    }
}

/// What a producer reports, and to whom.
struct Reports {
    pipe: Weak<Pipe>,
    /// Which producer this is.
    generation: u64,
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
        let Some(pipe) = self.pipe.upgrade() else { return };
        let message = match result {
            Ok(message) => message,
            Err((error, message)) => {
                pipe.not_sent.fetch_add(1, Ordering::Relaxed);
                *pipe.last_error.lock() = error.rdkafka_error_code();
                message
            }
        };
        pipe.reported(message.partition(), self.generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: TraceContext = TraceContext { trace_id: 1, span_id: 2, sampled: true };

    fn message<'a>(now_us: u64, nonce: &'a Nonce) -> Message<'a> {
        let product = "phone".parse().expect("a product id");
        let (value, voucher) = (b"value", b"voucher");
        Message { product, partition: 0, value, nonce, voucher, trace: Some(PLACE), now_us }
    }

    /// A pipe to brokers that are not there.
    fn pipe(clock: &Clock) -> Arc<Pipe> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("enable.idempotence", "true");
        Pipe::new(config, "orders".to_owned(), Lanes::new(1, 1), clock.clone()).expect("a pipe")
    }

    #[test]
    fn what_is_kept_is_what_was_to_be_sent() {
        let nonce = [7; 16];
        let kept = Kept::new(&message(3, &nonce));
        let Message { product, partition, value, nonce: same, voucher, trace, now_us } =
            kept.message(0);
        assert_eq!((product.as_str(), partition, now_us), ("phone", 0, 3));
        assert_eq!(trace, Some(PLACE));
        assert_eq!((value, voucher, same), (&b"value"[..], &b"voucher"[..], &nonce));
    }

    #[test]
    fn what_has_waited_too_long_is_not_sent_any_more() {
        let clock = Clock::manual(0);
        let pipe = pipe(&clock);
        let nonce = [0; 16];
        assert_eq!(pipe.send(&message(0, &nonce)), Ok(()), "goes to the producer");
        assert_eq!(pipe.send(&message(0, &nonce)), Ok(()), "waits");
        assert_eq!(pipe.send(&message(0, &nonce)), Err(NotAppended::QueueFull));
        clock.set_ms(MESSAGE_TIMEOUT_MS as i64 + 1);
        pipe.free(0);
        assert_eq!(pipe.not_sent(), 1, "the one that waited");
        let later = message(clock.monotonic_us(), &nonce);
        assert_eq!(pipe.send(&later), Ok(()), "the way is free again");
    }

    #[test]
    fn a_new_producer_takes_over_what_waits() {
        let clock = Clock::manual(0);
        let pipe = pipe(&clock);
        let nonce = [0; 16];
        for _ in 0..2 {
            assert_eq!(pipe.send(&message(0, &nonce)), Ok(()));
        }
        pipe.renew().expect("another producer");
        assert_eq!(pipe.send(&message(0, &nonce)), Ok(()), "there is room: that one has gone");
        assert_eq!(pipe.send(&message(0, &nonce)), Err(NotAppended::QueueFull));
    }
}
