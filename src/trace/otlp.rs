//! Spans as OTLP has them: the messages of `opentelemetry/proto` that are sent, and no more.
//!
//! The numbers of the fields are those of opentelemetry-proto 1.x, whose traces are stable.

use prost::Message;

/// A call of the collector.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceRequest {
    /// One for this process.
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// What the collector says.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTraceServiceResponse {
    /// Present if it did not take all.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<ExportTracePartialSuccess>,
}

/// What the collector did not take.
#[derive(Clone, PartialEq, Message)]
pub struct ExportTracePartialSuccess {
    /// How many spans.
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// The spans of one process.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    /// The process.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One.
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// A process.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// Its name and version.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// The spans of one library.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    /// The library.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<InstrumentationScope>,
    /// Its spans.
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// A library.
#[derive(Clone, PartialEq, Message)]
pub struct InstrumentationScope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// 8 bytes, or none.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// What was done.
    #[prost(string, tag = "5")]
    pub name: String,
    /// 1 internal, 2 server, 4 producer, 5 consumer.
    #[prost(int32, tag = "6")]
    pub kind: i32,
    /// Unix nanoseconds.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// Unix nanoseconds.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    /// What is known of it.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// Other spans that it belongs to.
    #[prost(message, repeated, tag = "13")]
    pub links: Vec<Link>,
    /// Whether it failed.
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    /// The flags of `traceparent`; bits 8 and 9 say whether the parent is elsewhere.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

/// Another span.
#[derive(Clone, PartialEq, Message)]
pub struct Link {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// 8 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// As a span's.
    #[prost(fixed32, tag = "6")]
    pub flags: u32,
}

/// Whether a span failed.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// 0 unset, 1 well, 2 failed.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// Which kind.
    #[prost(oneof = "Value", tags = "1, 3")]
    pub value: Option<Value>,
}

/// A text or a number.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// A text.
    #[prost(string, tag = "1")]
    Text(String),
    /// A number.
    #[prost(int64, tag = "3")]
    Number(i64),
}

impl KeyValue {
    /// An attribute that is a text.
    pub fn text(key: &str, value: impl Into<String>) -> Self {
        let value = AnyValue { value: Some(Value::Text(value.into())) };
        Self { key: key.to_owned(), value: Some(value) }
    }

    /// An attribute that is a number.
    pub fn number(key: &str, value: i64) -> Self {
        let value = AnyValue { value: Some(Value::Number(value)) };
        Self { key: key.to_owned(), value: Some(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::context::TraceContext;
    use crate::trace::span;

    /// What the messages of opentelemetry-proto 1.x have read as the span below: its reader is another
    /// program, so that a wrong number of a field here would show.
    const READ_ELSEWHERE: &str = "\
        0ada010a180a160a0c736572766963652e6e616d6512060a0473686f7012bd010a0e0a09666c75782d67617465\
        12013112aa010a100102030405060708090a0b0c0d0e0f1012081112131415161718220821222324252627282a\
        066c656467657230053901002a36fe9c97174102002a36fe9c97174a200a11666c75785f676174652e6f757463\
        6f6d65120b0a09636f6e6669726d65644a170a10666c75785f676174652e6f6666736574120318ac026a210a10\
        000000000000000000000000000000aa120800000000000000bb35010300007a021802850101030000";

    fn request() -> ExportTraceServiceRequest {
        let place = TraceContext { trace_id: 0xaa, span_id: 0xbb, sampled: true };
        let span = span::Span {
            trace_id: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            span_id: 0x1112_1314_1516_1718,
            parent_id: 0x2122_2324_2526_2728,
            parent_is_remote: true,
            link: Some(place),
            name: "ledger",
            kind: span::Kind::Consumer,
            start_ns: 1_700_000_000_000_000_001,
            end_ns: 1_700_000_000_000_000_002,
            attributes: vec![
                ("flux_gate.outcome", "confirmed".into()),
                ("flux_gate.offset", 300.into()),
            ],
            failed: true,
        };
        let scope = InstrumentationScope { name: "flux-gate".into(), version: "1".into() };
        let resource = Resource { attributes: vec![KeyValue::text("service.name", "shop")] };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: vec![span.into()] }];
        let resource = Some(resource);
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }

    #[test]
    fn the_wire_is_that_of_opentelemetry() {
        assert_eq!(hex::encode(request().encode_to_vec()), READ_ELSEWHERE);
    }
}
