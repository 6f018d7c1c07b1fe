//! Where in a trace something stands: W3C `traceparent`, read and written.
//!
//! It comes from strangers, by HTTP as by Kafka, so it is a hint: what is malformed counts as absent, and
//! what is well-formed decides nothing but which trace a span belongs to.

use http::{HeaderMap, HeaderName};

/// The header, of HTTP and of records on Kafka.
pub const TRACEPARENT: &str = "traceparent";
/// The same, ready to be looked up.
static TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
/// Length of version 00, the one that is written.
pub const TRACEPARENT_BYTES: usize = 55;
/// Longest that is read: a later version may have more fields.
const READ_BYTES_MAX: usize = 256;

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; not 0.
    pub trace_id: u128,
    /// The span; not 0.
    pub span_id: u64,
    /// Whether whoever wrote it samples the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() < TRACEPARENT_BYTES || text.len() > READ_BYTES_MAX {
            return None;
        }
        let (known, more) = text.split_at(TRACEPARENT_BYTES);
        let dashes = [known[2], known[35], known[52]];
        let version = hex(&known[..2])?;
        let ends = match version {
            0 => more.is_empty(),
            // 255 is forbidden; a later version begins like this one.
            255 => false,
            _ => more.first().is_none_or(|byte| *byte == b'-'),
        };
        if dashes != *b"---" || !ends {
            return None;
        }
        let trace_id = u128::from(hex(&known[3..19])?) << 64 | u128::from(hex(&known[19..35])?);
        let span_id = hex(&known[36..52])?;
        let sampled = hex(&known[53..])? & 1 == 1;
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled })
    }

    /// The `traceparent` of a request. Two of them are none.
    pub fn of_request(headers: &HeaderMap) -> Option<Self> {
        let first = headers.get(&TRACEPARENT_NAME)?;
        let alone = headers.get_all(&TRACEPARENT_NAME).iter().nth(1).is_none();
        alone.then(|| Self::parse(first.as_bytes())).flatten()
    }

    /// Its text.
    pub fn write(&self) -> [u8; TRACEPARENT_BYTES] {
        use crate::telemetry::request::write_hex;
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(self.trace_id, &mut text[3..35]);
        write_hex(self.span_id.into(), &mut text[36..52]);
        write_hex(self.sampled.into(), &mut text[53..]);
        text
    }
}

/// Lower-case hex digits, at most 16.
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_standard_is_read_and_written() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.span_id, context.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(&context.write()[..], GOOD.as_bytes());
        let later = format!("cc{}-what-the-future-will-be-like", &GOOD[2..]);
        assert_eq!(TraceContext::parse(later.as_bytes()), Some(context));
    }

    #[test]
    fn what_is_malformed_is_none() {
        let replaced = |from: &str, to: &str| GOOD.replacen(from, to, 1);
        for bad in [
            String::new(),
            replaced("00-", "ff-"),
            replaced("00-", "0G-"),
            replaced("4bf9", "4BF9"),
            replaced("-01", "-0"),
            replaced("-01", "-01-"),
            replaced("-01", ".01"),
            replaced("-00f0", "000f0"),
            replaced("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            replaced("00f067aa0ba902b7", &"0".repeat(16)),
            format!("cc{}x", &GOOD[2..]),
            format!("cc{}-{}", &GOOD[2..], "x".repeat(300)),
            format!(" {GOOD}"),
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert!(TraceContext::of_request(&headers).is_some());
        headers.append(TRACEPARENT, GOOD.parse().unwrap());
        assert_eq!(TraceContext::of_request(&headers), None, "two are none");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace_id in 1_u128.., span_id in 1_u64.., sampled: bool) {
            let context = TraceContext { trace_id, span_id, sampled };
            prop_assert_eq!(TraceContext::parse(&context.write()), Some(context));
        }

        #[test]
        fn whatever_comes_is_no_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            TraceContext::parse(&text);
        }
    }
}
