//! Copies what is no record to the dead-letter topic, before the ledger goes on: at least once, never not
//! at all.
//!
//! Whoever may write to the topic of orders can write anything of any size there, so a copy is bounded: it
//! always fits, and a partition cannot be stopped by a message that is too large to be put aside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::config::Config;
use crate::log::kafka::message::Undecodable;
use crate::log::kafka::{client, native};

/// Bytes of a message's value that are kept.
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of its key that are kept, and of each header's name and value.
const FIELD_BYTES_MAX: usize = 1024;
/// Headers that are kept.
const HEADERS_MAX: usize = 16;
/// How long all letters of a batch may take.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

/// A message that is no record, to be put aside.
pub(super) struct Letter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

/// Why letters were not delivered. Some may have been; all are to be sent again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    /// The client refused or timed out.
    #[error("the dead-letter topic: {0}")]
    Kafka(#[from] KafkaError),
    /// The brokers refused so many.
    #[error("{0} messages were refused by the dead-letter topic, such as: {1}")]
    Refused(usize, KafkaError),
}

impl Letter {
    /// Copies a message.
    pub(super) fn copy(message: &BorrowedMessage<'_>, reason: &Undecodable) -> Self {
        let cut = |bytes: &[u8], max: usize| bytes[..bytes.len().min(max)].to_vec();
        let mut headers = OwnedHeaders::new();
        for (name, value) in native::headers(message).take(HEADERS_MAX) {
            let key = String::from_utf8_lossy(&name[..name.len().min(FIELD_BYTES_MAX)]);
            let value = value.map(|value| cut(value, FIELD_BYTES_MAX));
            headers = headers.insert(Header { key: &key, value: value.as_ref() });
        }
        let told = [
            ("fg-topic", message.topic().to_owned()),
            ("fg-partition", message.partition().to_string()),
            ("fg-offset", message.offset().to_string()),
            ("fg-bytes", message.payload_len().to_string()),
            ("fg-reason", format!("{}: {reason}", reason.word())),
        ];
        for (key, value) in &told {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        Self {
            key: message.key().map(|key| cut(key, FIELD_BYTES_MAX)),
            value: message.payload().map(|value| cut(value, VALUE_BYTES_MAX)),
            headers,
        }
    }
}

/// The producer of letters.
pub(super) struct DeadLetters {
    producer: BaseProducer<Context>,
    topic: String,
}

#[derive(Default)]
struct Context {
    client: client::Context,
    refused: AtomicUsize,
    last: parking_lot::Mutex<Option<KafkaError>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.refused.fetch_add(1, Ordering::Relaxed);
            *self.last.lock() = Some(error.clone());
        }
    }
}

impl DeadLetters {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub(super) fn new(config: &Config) -> Result<Self, KafkaError> {
        let producer = client::producer_config(config).create_with_context(Context::default())?;
        Ok(Self { producer, topic: config.kafka.dlq_topic.clone() })
    }

    /// Returns when all letters are acknowledged by all in-sync replicas.
    ///
    /// # Errors
    /// [`Undelivered`]; all are to be sent again.
    pub(super) fn deliver(&self, letters: &[Letter]) -> Result<(), Undelivered> {
        if letters.is_empty() {
            return Ok(());
        }
        let context = self.producer.context();
        context.refused.store(0, Ordering::Relaxed);
        for letter in letters {
            self.send(letter)?;
        }
        self.producer.flush(DELIVERY_MAX)?;
        match (context.refused.load(Ordering::Relaxed), context.last.lock().take()) {
            (refused @ 1.., Some(error)) => Err(Undelivered::Refused(refused, error)),
            _ => Ok(()),
        }
    }

    fn send(&self, letter: &Letter) -> Result<(), KafkaError> {
        loop {
            let mut record =
                BaseRecord::<[u8], [u8]>::to(&self.topic).headers(letter.headers.clone());
            record.key = letter.key.as_deref();
            record.payload = letter.value.as_deref();
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.flush(DELIVERY_MAX)?;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}
