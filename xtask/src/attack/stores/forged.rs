//! Messages for Kafka, as somebody writes them who has credentials and perhaps a key.

use std::sync::Mutex;

use anyhow::Context;
use flux_gate::keys::records::{Author, NONCE_BYTES, RecordKeys};
use flux_gate::log::kafka::message::{NONCE_HEADER, VOUCHER_HEADER, partition_of};
use flux_gate::sale::{ProductId, Record};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{PARTITIONS, READER_GROUP, STORE_TIMEOUT};

/// A message.
#[derive(Debug, Clone)]
pub struct Forged {
    /// Where it goes.
    pub partition: i32,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Forged {
    /// A record as it should look, vouched for with these bytes.
    ///
    /// # Errors
    /// The product's name, or no randomness.
    pub fn new(product: &str, record: &Record, voucher: &[u8]) -> anyhow::Result<Self> {
        let id: ProductId = product.parse().ok().context("not a product id")?;
        Ok(Self {
            partition: partition_of(&id, PARTITIONS as u32),
            key: product.into(),
            value: Some(record.encode()),
            headers: vec![
                (NONCE_HEADER.to_owned(), random::<NONCE_BYTES>()?.to_vec()),
                (VOUCHER_HEADER.to_owned(), voucher.to_vec()),
            ],
        })
    }

    /// The same, vouched for with these keys.
    ///
    /// # Errors
    /// The keys are not there.
    pub fn vouched(
        keys: &RecordKeys,
        author: Author,
        product: &str,
        record: &Record,
    ) -> anyhow::Result<Self> {
        let mut forged = Self::new(product, record, b"")?;
        let nonce = forged.headers[0].1.as_slice().try_into().context("a nonce of another size")?;
        keys.vouch(author, product, &nonce, &record.encode(), &mut forged.headers[1].1)?;
        Ok(forged)
    }

    /// A message that lies in the topic, to be written again.
    pub fn copy(message: &OwnedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers = headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()));
        Self {
            partition: message.partition(),
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    /// The same with another value.
    #[must_use]
    pub fn saying(self, value: &[u8]) -> Self {
        Self { value: Some(value.to_vec()), ..self }
    }

    /// The same under another key, in the same partition.
    #[must_use]
    pub fn about(self, key: &[u8]) -> Self {
        Self { key: key.to_vec(), ..self }
    }
}

/// Writes as somebody.
pub struct Writer(BaseProducer<Reports>);

impl Writer {
    /// With these credentials.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(client: &ClientConfig) -> anyhow::Result<Self> {
        let mut client = client.clone();
        client.set("acks", "all").set("message.timeout.ms", "10000");
        // What the client would not send is for the broker to refuse.
        client.set("message.max.bytes", "10000000");
        Ok(Self(client.create_with_context(Reports::default())?))
    }

    /// Writes a message so many times.
    ///
    /// # Errors
    /// The broker does not take them.
    pub fn flood(&self, topic: &str, forged: &Forged, messages: usize) -> anyhow::Result<()> {
        let value = forged.value.as_deref().unwrap_or_default();
        for _ in 0..messages {
            let record =
                BaseRecord::to(topic).partition(forged.partition).key(&forged.key).payload(value);
            self.0.send(record).map_err(|(error, _)| error)?;
            self.0.poll(std::time::Duration::ZERO);
        }
        Ok(self.0.flush(STORE_TIMEOUT)?)
    }

    /// Writes a message and says what the broker said.
    pub fn send(&self, topic: &str, forged: &Forged) -> Result<(), String> {
        let none = OwnedHeaders::new();
        let headers = forged
            .headers
            .iter()
            .fold(none, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let record = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(forged.partition)
            .key(&forged.key)
            .headers(headers);
        let record = match &forged.value {
            Some(value) => record.payload(value),
            None => record,
        };
        self.0.send(record).map_err(|(error, _)| error.to_string())?;
        self.0.flush(STORE_TIMEOUT).map_err(|error| error.to_string())?;
        let said = self.0.context().said.lock().expect("nobody panics with it").take();
        said.unwrap_or_else(|| Err("no report".to_owned()))
    }
}

/// Takes what the broker said of the last message.
#[derive(Default)]
struct Reports {
    said: Mutex<Option<Result<(), String>>>,
}

impl rdkafka::ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let said = result.as_ref().map(drop).map_err(|(error, _)| error.to_string());
        *self.said.lock().expect("nobody panics with it") = Some(said);
    }
}

/// All that lies in a topic, by partition.
///
/// # Errors
/// Kafka does not let it be read.
pub fn read(client: &ClientConfig, topic: &str) -> anyhow::Result<Vec<OwnedMessage>> {
    let mut client = client.clone();
    client.set("group.id", READER_GROUP).set("enable.partition.eof", "true");
    let consumer: BaseConsumer = client.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut found, mut ends) = (Vec::new(), 0);
    while ends < PARTITIONS {
        match consumer.poll(STORE_TIMEOUT).context("Kafka does not answer")? {
            Ok(message) => found.push(message.detach()),
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            // The library asks for the coordinator of a group that we never join.
            Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Random bytes.
///
/// # Errors
/// The system has none.
pub fn random<const BYTES: usize>() -> anyhow::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).context("no randomness")?;
    Ok(bytes)
}
