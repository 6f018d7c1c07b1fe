//! What is a record and what is not: every part of a message counts.

use proptest::prelude::*;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};

use super::*;
use crate::keys::records::tests::test_keys;
use crate::log::tests::{keys as fingerprints, opened, proposed};
use crate::sale::record::{FORMAT, RULES_VERSION};

const PARTITIONS: u32 = 6;
const TIME_MS: i64 = 1_700_000_000_000;
const NONCE: Nonce = [9; NONCE_BYTES];

impl Incoming for OwnedMessage {
    fn record_headers(&self) -> Option<RecordHeaders<'_>> {
        let headers = self.headers()?;
        RecordHeaders::read((0..headers.count()).map(|index| {
            let Header { key, value } = headers.get(index);
            (key.as_bytes(), value)
        }))
    }
}

/// The parts of a message, to be altered one by one.
#[derive(Clone)]
struct Parts {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Option<Vec<u8>>)>,
    time: Timestamp,
    partition: i32,
}

impl Parts {
    fn of(product: &str, value: &[u8], author: Author) -> Self {
        let mut voucher = Vec::new();
        test_keys(true).vouch(author, product, &NONCE, value, &mut voucher).unwrap();
        let headers = vec![(NONCE_HEADER, Some(NONCE.to_vec())), (VOUCHER_HEADER, Some(voucher))];
        Self {
            key: Some(product.into()),
            value: Some(value.into()),
            headers,
            time: Timestamp::LogAppendTime(TIME_MS),
            partition: partition_of(&product.parse().unwrap(), PARTITIONS),
        }
    }

    fn record(record: &Record) -> Self {
        Self::of("shoe", &record.encode(), author_of(record))
    }

    fn message(self) -> OwnedMessage {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let (topic, offset) = ("orders".to_owned(), 41);
        let headers = Some(headers);
        OwnedMessage::new(self.value, self.key, topic, self.time, self.partition, offset, headers)
    }

    fn read(self) -> Read {
        read(&self.message(), &test_keys(false), PARTITIONS)
    }

    fn why_not(self) -> &'static str {
        match self.read() {
            Read::Undecodable { reason } => reason.word(),
            Read::Record { .. } => "a record",
            Read::NewerRules { .. } => "newer rules",
        }
    }
}

fn proposal() -> Record {
    proposed("shoe", 1, 1).record
}

fn opening() -> Record {
    opened("shoe", 10).record
}

#[test]
fn a_vouched_record_is_read_with_its_place_time_and_nonce() {
    for record in [proposal(), opening()] {
        let Read::Record { entry, nonce } = Parts::record(&record).read() else {
            panic!("{record:?} is a record");
        };
        assert_eq!(nonce, NONCE);
        let expected = LogEntry {
            offset: 41,
            appended_at_ms: TIME_MS as u64,
            product: "shoe".parse().unwrap(),
            record,
        };
        assert_eq!(entry, expected);
    }
}

#[test]
fn an_altered_part_makes_it_undecodable() {
    let good = Parts::record(&proposal());
    let altered = |alter: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        alter(&mut parts);
        parts.why_not()
    };
    assert_eq!(altered(&|_| {}), "a record");
    assert_eq!(altered(&|parts| parts.key = None), "key");
    assert_eq!(altered(&|parts| parts.key = Some(b"SHOE".to_vec())), "key");
    assert_eq!(altered(&|parts| parts.key = Some(vec![0xff])), "key");
    assert_eq!(altered(&|parts| parts.partition = (parts.partition + 1) % 6), "partition");
    assert_eq!(altered(&|parts| parts.time = Timestamp::CreateTime(TIME_MS)), "time");
    assert_eq!(altered(&|parts| parts.time = Timestamp::NotAvailable), "time");
    assert_eq!(altered(&|parts| parts.time = Timestamp::LogAppendTime(-5)), "time");
    assert_eq!(altered(&|parts| parts.value = None), "voucher");
    assert_eq!(altered(&|parts| parts.value.as_mut().unwrap().push(b' ')), "voucher");
    assert_eq!(altered(&|parts| parts.headers.clear()), "headers");
    assert_eq!(altered(&|parts| parts.headers.reverse()), "headers");
    assert_eq!(altered(&|parts| parts.headers.push(("trace", None))), "headers");
    assert_eq!(altered(&|parts| parts.headers[0].0 = "fg-m"), "headers");
    assert_eq!(altered(&|parts| parts.headers[0].1 = None), "headers");
    assert_eq!(altered(&|parts| parts.headers[0].1.as_mut().unwrap().push(0)), "headers");
    assert_eq!(altered(&|parts| parts.headers[0].1.as_mut().unwrap()[3] ^= 1), "voucher");
    assert_eq!(altered(&|parts| parts.headers[1].1.as_mut().unwrap()[9] ^= 1), "voucher");
}

/// What decides is the same with and without it: whoever can add it to a record changes nothing.
#[test]
fn a_place_in_a_trace_is_a_hint_that_decides_nothing() {
    const PLACE: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let with = |value: Option<&[u8]>| {
        let mut parts = Parts::record(&proposal());
        parts.headers.push((TRACEPARENT, value.map(<[u8]>::to_vec)));
        parts
    };
    let read = |parts: Parts| trace_place(&parts.message());
    let place = read(with(Some(PLACE))).expect("a place");
    assert_eq!((&place.write()[..], place.sampled), (PLACE, true));
    let huge = [PLACE, &[b'x'; 10_000]].concat();
    let unsampled = [&PLACE[..54], b"0"].concat();
    for nothing in [None, Some(&b""[..]), Some(&b"\xff\0"[..]), Some(&huge[..]), Some(&unsampled)] {
        assert_eq!(with(nothing).why_not(), "a record");
        assert_eq!(read(with(nothing)), None);
    }
    assert_eq!(with(Some(PLACE)).why_not(), "a record");
    let two = || {
        let mut parts = with(Some(PLACE));
        parts.headers.push((TRACEPARENT, Some(PLACE.to_vec())));
        parts
    };
    assert_eq!((two().why_not(), read(two())), ("headers", None));
    let mut first = with(Some(PLACE));
    first.headers.rotate_right(1);
    assert_eq!(first.why_not(), "headers");
}

/// Rule 1: whoever may write to Kafka cannot raise a capacity, nor move a record to another product.
#[test]
fn a_vouched_record_holds_for_its_product_alone() {
    let mut parts = Parts::record(&proposal());
    parts.key = Some(b"boot".to_vec());
    parts.partition = partition_of(&"boot".parse().unwrap(), PARTITIONS);
    assert_eq!(parts.why_not(), "voucher");
}

#[test]
fn a_node_cannot_vouch_for_an_operators_record_nor_operators_for_a_proposal() {
    assert_eq!(Parts::of("shoe", &opening().encode(), Author::Node).why_not(), "author");
    assert_eq!(Parts::of("shoe", &proposal().encode(), Author::Operator).why_not(), "author");
}

#[test]
fn content_that_this_build_does_not_know_is_undecodable_even_when_vouched_for() {
    let newer = format!(r#"{{"v":{},"record":{{"order_proposed":{{}}}}}}"#, FORMAT + 1);
    assert_eq!(Parts::of("shoe", newer.as_bytes(), Author::Node).why_not(), "newer_format");
    assert_eq!(Parts::of("shoe", b"{}", Author::Node).why_not(), "malformed");
    assert_eq!(Parts::of("shoe", b"", Author::Operator).why_not(), "malformed");
    let huge = vec![b' '; RECORD_BYTES_MAX + 1];
    assert_eq!(Parts::of("shoe", &huge, Author::Node).why_not(), "too_large");
}

#[test]
fn only_operators_can_stop_a_build_that_is_too_old() {
    let Record::SaleOpened(mut terms) = opening() else { unreachable!("an opening") };
    terms.rules_version = RULES_VERSION + 1;
    terms.key_fingerprints = fingerprints();
    let value = Record::SaleOpened(terms).encode();
    assert_eq!(Parts::of("shoe", &value, Author::Operator).why_not(), "newer rules");
    assert_eq!(Parts::of("shoe", &value, Author::Node).why_not(), "malformed");
}

#[test]
fn a_records_partition_is_pinned() {
    let partition = |product: &str, partitions| partition_of(&product.parse().unwrap(), partitions);
    // Golden: another answer would split the log of a running sale.
    let places = ["shoe", "boot", "a", "summer-sale-2026"].map(|product| partition(product, 6));
    assert_eq!(places, [0, 5, 4, 2]);
    assert_eq!(partition("shoe", 1), 0);
}

#[test]
fn the_link_of_a_message_takes_what_there_is() {
    let message = Parts::record(&proposal()).message();
    let of_record = link(&message, "confirmed");
    assert_eq!((of_record.offset, of_record.log_time_ms), (41, TIME_MS as u64));
    assert_eq!((of_record.product, of_record.outcome), ("shoe", "confirmed"));
    assert_eq!(of_record.record, proposal().encode());
    let time = Timestamp::NotAvailable;
    let empty = OwnedMessage::new(None, Some(vec![0xff]), "orders".into(), time, 0, 7, None);
    let of_empty = link(&empty, UNDECODABLE);
    assert_eq!((of_empty.log_time_ms, of_empty.product, of_empty.record), (0, "", &b""[..]));
}

proptest! {
    #[test]
    fn whatever_comes_is_a_record_or_not_but_never_a_panic(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..1_200)),
        voucher in proptest::collection::vec(any::<u8>(), 0..120),
        partition in 0..6_i32,
    ) {
        let headers = vec![(NONCE_HEADER, Some(NONCE.to_vec())), (VOUCHER_HEADER, Some(voucher))];
        let time = Timestamp::LogAppendTime(TIME_MS);
        let parts = Parts { key, value, headers, time, partition };
        let undecodable = matches!(parts.read(), Read::Undecodable { .. });
        prop_assert!(undecodable);
    }
}
