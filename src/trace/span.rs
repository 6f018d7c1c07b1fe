//! A span, as it is kept until it is sent.
//!
//! Its name and the names of its attributes are words of the program's own. Values are order ids, product
//! ids, places in the log and words for what came of it; never a user, an address, a fingerprint or a secret.

use super::context::TraceContext;
use super::otlp;

/// What side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A step within the process.
    Internal = 1,
    /// A request from outside.
    Server = 2,
    /// A record that is written.
    Producer = 4,
    /// A record that is read.
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word of the program's own.
    Word(&'static str),
    /// An order id or a product id.
    Id(String),
    /// A number.
    Number(u64),
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// A span.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// The span that it is a part of; 0 is none.
    pub parent_id: u64,
    /// Whether the parent is another process's.
    pub parent_is_remote: bool,
    /// A span that it follows from.
    pub link: Option<TraceContext>,
    /// What was done.
    pub name: &'static str,
    /// Which side of a call.
    pub kind: Kind,
    /// Unix nanoseconds.
    pub start_ns: u64,
    /// Unix nanoseconds; 0 while it is open.
    pub end_ns: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether something broke.
    pub failed: bool,
}

/// The flags of a sampled span whose parent's place is known (bits 8 and 9 of OTLP's flags).
fn flags(parent_is_remote: bool) -> u32 {
    0x101 | u32::from(parent_is_remote) << 9
}

impl From<Span> for otlp::Span {
    fn from(span: Span) -> Self {
        let attributes = span.attributes.into_iter().map(|(key, value)| match value {
            Value::Word(word) => otlp::KeyValue::text(key, word),
            Value::Id(id) => otlp::KeyValue::text(key, id),
            Value::Number(number) => {
                otlp::KeyValue::number(key, i64::try_from(number).unwrap_or(i64::MAX))
            }
        });
        let link = |link: TraceContext| otlp::Link {
            trace_id: link.trace_id.to_be_bytes().into(),
            span_id: link.span_id.to_be_bytes().into(),
            flags: flags(true),
        };
        Self {
            trace_id: span.trace_id.to_be_bytes().into(),
            span_id: span.span_id.to_be_bytes().into(),
            parent_span_id: match span.parent_id {
                0 => Vec::new(),
                parent => parent.to_be_bytes().into(),
            },
            name: span.name.to_owned(),
            kind: span.kind as i32,
            start_time_unix_nano: span.start_ns,
            end_time_unix_nano: span.end_ns,
            attributes: attributes.collect(),
            links: span.link.into_iter().map(link).collect(),
            status: span.failed.then_some(otlp::Status { code: 2 }),
            flags: flags(span.parent_is_remote),
        }
    }
}
