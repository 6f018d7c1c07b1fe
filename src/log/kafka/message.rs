//! From a Kafka message to a record: the one function by which nodes and workers decide what is a record.
//!
//! A message that is none is *undecodable*: it has its place in the chain, changes no state, and goes to the
//! dead-letter topic. Nodes and workers must agree on that for every possible message, whoever wrote it, so
//! nothing here depends on configuration beyond the keys and the number of partitions.
//!
//! Order of the checks: place and form first, then who vouches for it, and only then its content, so that
//! nothing is parsed that nobody vouches for.

use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Message};

use super::native;
use crate::chain::{Link, sha256};
use crate::keys::records::{Author, BadVoucher, NONCE_BYTES, Nonce, RecordKeys};
use crate::sale::record::RECORD_BYTES_MAX;
use crate::sale::{DecodeError, LogEntry, ProductId, Record};
use crate::trace::{TRACEPARENT, TraceContext};

/// The header with the record's nonce: [`NONCE_BYTES`] bytes, never used again.
pub const NONCE_HEADER: &str = "fg-n";
/// The header with the record's voucher (see [`RecordKeys`]).
pub const VOUCHER_HEADER: &str = "fg-a";
/// What an undecodable message comes to, where a record comes to an
/// [`Outcome::name`](crate::sale::Outcome::name).
pub const UNDECODABLE: &str = "undecodable";

/// What a message is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "almost all messages are records")]
pub enum Read {
    /// A record that somebody vouches for.
    Record {
        /// With its offset and the broker's time.
        entry: LogEntry,
        /// What it was sent under.
        nonce: Nonce,
    },
    /// Nothing that may change a state.
    Undecodable {
        /// Why.
        reason: Undecodable,
    },
    /// A sale that the operators opened under rules that this build does not know: whoever reads this must
    /// stop before it.
    NewerRules {
        /// Their version.
        rules_version: u16,
    },
}

/// Why a message is not a record.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// The key.
    #[error("its key is neither a product id nor the reserved key")]
    Key,
    /// The partition is not the product's.
    #[error("it lies in a partition that is not its product's")]
    Partition,
    /// The time is not the broker's own.
    #[error("its time is not the time at which the broker appended it")]
    Time,
    /// The headers.
    #[error("its headers are not a nonce and a voucher, and perhaps a place in a trace")]
    Headers,
    /// Nobody vouches for it.
    #[error("nobody vouches for it: {0}")]
    Voucher(#[from] BadVoucher),
    /// A node vouches for an operator's record, or operators for a proposal.
    #[error("whoever vouches for it may not make a record of this kind")]
    Author,
    /// The content.
    #[error("{0}")]
    Record(#[from] DecodeError),
}

impl Undecodable {
    /// The stable word for metrics and for the dead-letter topic.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Partition => "partition",
            Self::Time => "time",
            Self::Headers => "headers",
            Self::Voucher(_) => "voucher",
            Self::Author => "author",
            Self::Record(DecodeError::NewerFormat(_)) => "newer_format",
            Self::Record(DecodeError::TooLarge(_)) => "too_large",
            Self::Record(_) => "malformed",
        }
    }
}

/// The headers of a message, by name and value, whatever their bytes are.
#[derive(Debug, Clone, Copy)]
pub struct RecordHeaders<'m> {
    /// The first.
    pub nonce: (&'m [u8], &'m [u8]),
    /// The second.
    pub voucher: (&'m [u8], &'m [u8]),
    /// Perhaps a third, perhaps without a value.
    pub third: Option<(&'m [u8], Option<&'m [u8]>)>,
}

impl<'m> RecordHeaders<'m> {
    /// Reads them if there are two, or two and one more.
    fn read(mut headers: impl ExactSizeIterator<Item = native::Header<'m>>) -> Option<Self> {
        let count = headers.len();
        if !(2..=3).contains(&count) {
            return None;
        }
        let mut with_value = || {
            let (name, value) = headers.next()?;
            Some((name, value?))
        };
        let (nonce, voucher) = (with_value()?, with_value()?);
        let third = if count == 3 { Some(headers.next()?) } else { None };
        Some(Self { nonce, voucher, third })
    }
}

/// A message as it comes from the topic.
pub trait Incoming: Message {
    /// Its headers if there are two, or two and one more.
    fn record_headers(&self) -> Option<RecordHeaders<'_>>;
}

impl Incoming for BorrowedMessage<'_> {
    fn record_headers(&self) -> Option<RecordHeaders<'_>> {
        RecordHeaders::read(native::headers(self))
    }
}

/// Where its writer was in a trace, as the third header says. Nobody vouches for it: whoever may write to the
/// topic may have put it there, so it is for traces alone.
pub fn trace_place<M: Incoming>(message: &M) -> Option<TraceContext> {
    let (_, value) = message.record_headers()?.third?;
    TraceContext::parse(value?).filter(|place| place.sampled)
}

/// Reads a message of a topic with so many partitions.
pub fn read<M: Incoming>(message: &M, keys: &RecordKeys, partitions: u32) -> Read {
    match try_read(message, keys, partitions) {
        Ok(read) => read,
        Err(reason) => Read::Undecodable { reason },
    }
}

fn try_read<M: Incoming>(
    message: &M,
    keys: &RecordKeys,
    partitions: u32,
) -> Result<Read, Undecodable> {
    let key = std::str::from_utf8(message.key().unwrap_or_default());
    let product: ProductId =
        key.ok().and_then(|key| ProductId::from_log_key(key).ok()).ok_or(Undecodable::Key)?;
    if message.partition() != partition_of(&product, partitions) {
        return Err(Undecodable::Partition);
    }
    let Timestamp::LogAppendTime(time_ms @ 0..) = message.timestamp() else {
        return Err(Undecodable::Time);
    };
    let value = message.payload().unwrap_or_default();
    if value.len() > RECORD_BYTES_MAX {
        return Err(DecodeError::TooLarge(value.len()).into());
    }
    let (nonce, voucher) = nonce_and_voucher(message).ok_or(Undecodable::Headers)?;
    let author = keys.verify(voucher, product.as_str(), &nonce, value)?;
    let record = match Record::decode(value) {
        // Only operators may open a sale, so only they can stop a program that is too old.
        Err(DecodeError::NewerRules(rules_version)) if author == Author::Operator => {
            return Ok(Read::NewerRules { rules_version });
        }
        decoded => decoded?,
    };
    if author != author_of(&record) {
        return Err(Undecodable::Author);
    }
    let offset = message.offset() as u64;
    let entry = LogEntry { offset, appended_at_ms: time_ms as u64, product, record };
    Ok(Read::Record { entry, nonce })
}

/// Who must vouch for a record of this kind.
pub fn author_of(record: &Record) -> Author {
    match record {
        Record::OrderProposed(_) => Author::Node,
        _ => Author::Operator,
    }
}

/// The partition that all records of a product lie in: the first 8 bytes (big endian) of the SHA-256 of its
/// id, modulo the number of partitions.
pub fn partition_of(product: &ProductId, partitions: u32) -> i32 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(product.as_bytes());
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) % u64::from(partitions.max(1))) as i32
}

/// What the chain of its partition digests of a message that came to `outcome`.
pub fn link<'m, M: Message>(message: &'m M, outcome: &'m str) -> Link<'m> {
    Link {
        offset: message.offset() as u64,
        log_time_ms: message.timestamp().to_millis().unwrap_or(0) as u64,
        product: std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default(),
        record: message.payload().unwrap_or_default(),
        outcome,
    }
}

/// The two headers, if there are just these two, in this order; behind them there may be [`TRACEPARENT`],
/// whatever its value is.
fn nonce_and_voucher(message: &impl Incoming) -> Option<(Nonce, &[u8])> {
    let RecordHeaders { nonce: (first, nonce), voucher: (second, voucher), third } =
        message.record_headers()?;
    if first != NONCE_HEADER.as_bytes() || second != VOUCHER_HEADER.as_bytes() {
        return None;
    }
    if third.is_some_and(|(name, _)| name != TRACEPARENT.as_bytes()) {
        return None;
    }
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    Some((nonce, voucher))
}

#[cfg(test)]
mod tests;
