//! What a log holds: records, and their versioned JSON.
//!
//! One record is at most [`RECORD_BYTES_MAX`] bytes of `{"v":1,"record":{"<kind>":{…}}}`. A reader knows
//! the formats up to [`FORMAT`]; a newer one is [`DecodeError::NewerFormat`], never a guess.
//!
//! Format 2 adds control records, and to every operator's record who wrote it:
//! `{"v":2,"by":"<name>","record":{…}}`. What format 1 can say is written in format 1.
//! Format 3 adds four control records (who is excused from the bot score, and that it is off): a node that
//! reads no format 3 stops at the first of them and says so.

use serde::{Deserialize, Serialize};

use super::control::ControlRecord;
use super::ids::{BuyerRef, OperationId, OperatorName, OrderId, ProductId};

/// The newest format that this build reads.
pub const FORMAT: u16 = 3;
/// The version of the rules in [`super::SaleState::apply`]; a sale keeps the rules that it opened under.
pub const RULES_VERSION: u16 = 1;
/// The largest encoded record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024;

/// A record with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place: 1 for the first record, without gaps in an embedded log.
    pub offset: u64,
    /// When the log took it (Unix milliseconds by the log's clock). Log time is derived from it.
    pub appended_at_ms: u64,
    /// The product that it is about.
    pub product: ProductId,
    /// What it says.
    pub record: Record,
}

/// What can be said about a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Opens the sale of a new product.
    SaleOpened(SaleOpened),
    /// An attempt that passed the screens.
    OrderProposed(OrderProposed),
    /// Takes an order back: a failed payment, or fraud.
    OrderReversed {
        /// Which order.
        order_id: OrderId,
        /// Whether its unit goes on sale again; else capacity falls with the sold count.
        restock: bool,
        /// Whether the buyer may buy again.
        frees_limit: bool,
        /// Why, in a word or two of the operator's or the shop's.
        reason: String,
    },
    /// Sets the number of units.
    CapacityChanged {
        /// To what.
        to: CapacityTarget,
        /// Applied once under this id.
        operation: OperationId,
    },
    /// Sets when the sale opens and closes (log time, Unix milliseconds).
    ScheduleChanged {
        /// When it opens.
        opens_at_ms: u64,
        /// When it closes; absent is never.
        closes_at_ms: Option<u64>,
        /// Applied once under this id.
        operation: OperationId,
    },
    /// Stops the sale; nothing is confirmed until it is resumed.
    SalePaused {
        /// Applied once under this id.
        operation: OperationId,
    },
    /// Goes on after a pause.
    SaleResumed {
        /// Applied once under this id.
        operation: OperationId,
    },
    /// Ends a sale for ever; its orders leave memory and stay in the ledger.
    SaleArchived {
        /// Applied once under this id.
        operation: OperationId,
    },
    /// A person asked to be forgotten. Counts stand; whoever keeps the person's id destroys it.
    SubjectErased {
        /// The person's pseudonym.
        buyer: BuyerRef,
        /// Applied once under this id, so that a copy of the record does not erase somebody who came back.
        /// Absent in records of before there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<OperationId>,
    },
    /// About the whole gate; lies under [`ProductId::CONTROL`].
    Control(Box<ControlRecord>),
}

/// How a sale opens. The values hold for its whole life, whatever a node is configured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaleOpened {
    /// Units for sale.
    pub capacity: u32,
    /// Orders that one buyer may have at most; at least 1.
    pub per_buyer_limit: u32,
    /// How long a further attempt of the same buyer counts as a repeat, in milliseconds of log time.
    pub repeat_window_ms: u64,
    /// When it opens (log time, Unix milliseconds).
    pub opens_at_ms: u64,
    /// When it closes; absent is never.
    pub closes_at_ms: Option<u64>,
    /// Fingerprints of the order key and the buyer key: a node with other keys does not serve the sale.
    pub key_fingerprints: KeyFingerprints,
    /// The rules of `apply` that hold for this sale.
    pub rules_version: u16,
    /// The operator's name for the opening, so that its repetition is not taken for a change of stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
}

/// Short public fingerprints (hex) of the two keys that stay for the life of a sale.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFingerprints {
    /// Of the key behind order ids.
    pub order: String,
    /// Of the key behind buyer references.
    pub buyer: String,
}

/// An attempt on its way to become an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderProposed {
    /// Derived from product, buyer and idempotency key.
    pub order_id: OrderId,
    /// Who buys, as a pseudonym.
    pub buyer: BuyerRef,
    /// The user id, sealed for the ledger's keeper. Absent in an embedded log, whose `subjects` rows are
    /// written in the same transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_user: Option<String>,
    /// The proposer's estimate of log time (Unix milliseconds).
    pub at_ms: u64,
    /// The generation of the state that the proposer saw.
    pub generation: u64,
}

/// What a capacity change aims at. Resolved when the record is applied, so that orders that arrive
/// meanwhile are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapacityTarget {
    /// So many units in all; clamped to what is sold.
    Total(u32),
    /// So many units left: capacity = sold + this.
    Remaining(u32),
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Larger than [`RECORD_BYTES_MAX`].
    #[error("record of {0} bytes is larger than {RECORD_BYTES_MAX}")]
    TooLarge(usize),
    /// Written in a format that this build does not know.
    #[error(
        "record format {0} is newer than {FORMAT}, the newest that this build reads; upgrade it"
    )]
    NewerFormat(u16),
    /// Opened under rules that this build does not know.
    #[error(
        "sale rules {0} are newer than {RULES_VERSION}, the newest that this build knows; upgrade it"
    )]
    NewerRules(u16),
    /// Not JSON of a known record.
    #[error("malformed record: {0}")]
    Malformed(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct Encoded<'a> {
    v: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<OperatorName>,
    record: &'a Record,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decoded {
    v: u16,
    #[serde(default)]
    by: Option<OperatorName>,
    record: Record,
}

#[derive(Deserialize)]
struct FormatOnly {
    v: u16,
}

/// The format that says a record: the oldest one that can.
fn format_of(record: &Record, by: Option<OperatorName>) -> u16 {
    match record {
        Record::Control(control) => control.change.format(),
        _ if by.is_some() => 2,
        _ => 1,
    }
}

impl Record {
    /// Appends the record's JSON to `buffer`, with the operator who wrote it.
    pub fn encode_into(&self, by: Option<OperatorName>, buffer: &mut Vec<u8>) {
        let encoded = Encoded { v: format_of(self, by), by, record: self };
        serde_json::to_writer(buffer, &encoded)
            .expect("a record has only string keys, and a Vec takes all bytes");
    }

    /// The record's JSON, without who wrote it.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_by(None)
    }

    /// The record's JSON, with the operator who wrote it.
    pub fn encode_by(&self, by: Option<OperatorName>) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(256);
        self.encode_into(by, &mut buffer);
        buffer
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`DecodeError`] says why the bytes are no record that this build knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_by(bytes).map(|(record, _)| record)
    }

    /// Reads a record and the operator who wrote it; `None` for a proposal, a shop's reversal, and in
    /// format 1.
    ///
    /// # Errors
    /// As [`Record::decode`].
    pub fn decode_by(bytes: &[u8]) -> Result<(Self, Option<OperatorName>), DecodeError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        match serde_json::from_slice::<Decoded>(bytes) {
            Ok(Decoded { v, .. }) if v > FORMAT => Err(DecodeError::NewerFormat(v)),
            Ok(Decoded { v, by, record }) if v == format_of(&record, by) => match &record {
                Self::SaleOpened(opened) if opened.rules_version > RULES_VERSION => {
                    Err(DecodeError::NewerRules(opened.rules_version))
                }
                _ => Ok((record, by)),
            },
            // One record has one form, so that nobody can say the same thing in two ways.
            Ok(Decoded { v, .. }) => Err(DecodeError::Malformed(serde::de::Error::custom(
                format_args!("this is not said in format {v}"),
            ))),
            Err(error) => match serde_json::from_slice::<FormatOnly>(bytes) {
                Ok(FormatOnly { v }) if v > FORMAT => Err(DecodeError::NewerFormat(v)),
                _ => Err(DecodeError::Malformed(error)),
            },
        }
    }

    /// The stable word for the kind of record, as in its JSON: of a control record that of its change.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SaleOpened(_) => "sale_opened",
            Self::OrderProposed(_) => "order_proposed",
            Self::OrderReversed { .. } => "order_reversed",
            Self::CapacityChanged { .. } => "capacity_changed",
            Self::ScheduleChanged { .. } => "schedule_changed",
            Self::SalePaused { .. } => "sale_paused",
            Self::SaleResumed { .. } => "sale_resumed",
            Self::SaleArchived { .. } => "sale_archived",
            Self::SubjectErased { .. } => "subject_erased",
            Self::Control(control) => control.change.kind(),
        }
    }
}
