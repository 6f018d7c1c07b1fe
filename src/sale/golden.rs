//! Golden replays: what a format and rules 1 made of these records, they make of them for ever. The files
//! are never rewritten; a new format or new rules get a file of their own.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;

const V1: &str = include_str!("../../tests/golden/records-v1.jsonl");

const V2: &str = include_str!("../../tests/golden/records-v2.jsonl");

const V3: &str = include_str!("../../tests/golden/records-v3.jsonl");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    offset: u64,
    appended_at_ms: u64,
    product: &'a str,
    #[serde(borrow)]
    record: &'a RawValue,
    outcome: &'a str,
    duplicate_of: Option<OrderId>,
}

fn lines() -> impl Iterator<Item = Line<'static>> {
    lines_of(V1)
}

fn lines_of(text: &'static str) -> impl Iterator<Item = Line<'static>> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn the_records_of_format_1_come_to_the_same_outcomes() {
    let mut book = Book::default();
    for line in lines() {
        let record = Record::decode(line.record.get().as_bytes()).unwrap();
        let (offset, appended_at_ms) = (line.offset, line.appended_at_ms);
        let product = line.product.parse().unwrap();
        let outcome = book.apply(&LogEntry { offset, appended_at_ms, product, record });
        assert_eq!(outcome.name(), line.outcome, "offset {offset}");
        if let Outcome::Duplicate(duplicate) = outcome {
            assert_eq!(Some(duplicate.order_id), line.duplicate_of, "offset {offset}");
        }
    }
    let summary = |name: &str| {
        let state = book.get(&name.parse().unwrap()).unwrap();
        (state.sold(), state.terms().capacity, state.generation(), state.log_time_ms())
    };
    assert_eq!(summary("shoe"), (4, 4, 5, 1_800_000_900_007));
    assert_eq!(summary("hat"), (1, u32::MAX, 0, 1_800_000_190_005));
}

#[test]
fn format_1_is_written_byte_for_byte() {
    for line in lines() {
        let bytes = line.record.get().as_bytes();
        let again = Record::decode(bytes).unwrap().encode();
        assert_eq!(String::from_utf8(again).unwrap(), line.record.get(), "offset {}", line.offset);
    }
}

#[test]
fn the_records_of_format_2_come_to_the_same_outcomes_and_are_written_byte_for_byte() {
    let mut book = Book::default();
    let (mut kinds, mut outcomes) = (BTreeSet::new(), BTreeSet::new());
    for line in lines_of(V2) {
        let bytes = line.record.get().as_bytes();
        let (record, by) = Record::decode_by(bytes).unwrap();
        let again = String::from_utf8(record.encode_by(by)).unwrap();
        assert_eq!(again, line.record.get(), "offset {}", line.offset);
        kinds.insert(record.kind());
        outcomes.insert(line.outcome);
        let (offset, appended_at_ms) = (line.offset, line.appended_at_ms);
        let product = ProductId::from_log_key(line.product).unwrap();
        let outcome = book.apply(&LogEntry { offset, appended_at_ms, product, record });
        assert_eq!(outcome.name(), line.outcome, "offset {offset}");
    }
    // The nine of control, and two of a sale with who wrote them; all ignored ones but "full".
    assert_eq!(kinds.len(), 9 + 2, "{kinds:?}");
    assert_eq!(outcomes.len(), 1 + 5 + 2, "{outcomes:?}");
    let digest = serde_json::to_string(book.control()).unwrap();
    assert!(digest.contains("v6-48-0123456789abcdef") && !digest.contains("user-"), "{digest}");
}

#[test]
fn the_records_of_format_3_come_to_the_same_outcomes_and_are_written_byte_for_byte() {
    let mut book = Book::default();
    let mut kinds = BTreeSet::new();
    for line in lines_of(V3) {
        let bytes = line.record.get().as_bytes();
        let (record, by) = Record::decode_by(bytes).unwrap();
        let again = String::from_utf8(record.encode_by(by)).unwrap();
        assert_eq!(again, line.record.get(), "offset {}", line.offset);
        // What format 3 adds is said in format 3 alone, and it alone.
        let other = if again.starts_with(r#"{"v":3"#) { r#"{"v":2"# } else { r#"{"v":3"# };
        let other = format!("{other}{}", &again[6..]);
        assert!(
            matches!(Record::decode(other.as_bytes()), Err(DecodeError::Malformed(_))),
            "{other}"
        );
        kinds.insert(record.kind());
        let (offset, appended_at_ms) = (line.offset, line.appended_at_ms);
        let product = ProductId::from_log_key(line.product).unwrap();
        let outcome = book.apply(&LogEntry { offset, appended_at_ms, product, record });
        assert_eq!(outcome.name(), line.outcome, "offset {offset}");
    }
    assert_eq!(kinds.len(), 4 + 1, "{kinds:?}");
    let state = serde_json::to_string(book.control()).unwrap();
    assert!(state.ends_with(r#""reason":"again","by":"bob","at_ms":1800000000003}}"#), "{state}");
    assert!(!state.contains("allows"), "what was not used has no place: {state}");
}

#[test]
fn a_state_that_used_nothing_of_format_3_has_the_form_that_it_had() {
    let mut book = Book::default();
    for line in lines_of(V2) {
        let record = Record::decode(line.record.get().as_bytes()).unwrap();
        let product = ProductId::from_log_key(line.product).unwrap();
        let (offset, appended_at_ms) = (line.offset, line.appended_at_ms);
        book.apply(&LogEntry { offset, appended_at_ms, product, record });
    }
    let state = serde_json::to_string(book.control()).unwrap();
    assert!(!state.contains("allow") && !state.contains("score"), "{state}");
}

#[test]
fn every_kind_and_every_outcome_is_pinned() {
    let kinds: BTreeSet<_> =
        lines().map(|line| Record::decode(line.record.get().as_bytes()).unwrap().kind()).collect();
    assert_eq!(kinds.len(), 9, "{kinds:?}");
    let outcomes: BTreeSet<_> = lines().map(|line| line.outcome).collect();
    // Ten outcomes, of which a duplicate has two names and an ignored record seven.
    assert_eq!(outcomes.len(), 8 + 2 + 7, "{outcomes:?}");
}

#[test]
fn a_newer_format_is_named_and_anything_else_refused() {
    let newer = br#"{"v":4,"record":{"order_proposed":{"new_field":1}}}"#;
    assert!(matches!(Record::decode(newer), Err(DecodeError::NewerFormat(4))));
    let rules =
        lines().nth(2).unwrap().record.get().replace("\"rules_version\":1", "\"rules_version\":2");
    assert!(matches!(Record::decode(rules.as_bytes()), Err(DecodeError::NewerRules(2))));
    let long = vec![b' '; record::RECORD_BYTES_MAX + 1];
    assert!(matches!(Record::decode(&long), Err(DecodeError::TooLarge(_))));
    for bad in [
        "",
        "{}",
        "[1]",
        r#"{"v":1}"#,
        r#"{"v":1,"record":{}}"#,
        r#"{"v":1,"record":{"unheard_of":{}}}"#,
        r#"{"v":1,"record":{"sale_paused":{"operation":""}}}"#,
        r#"{"v":1,"record":{"subject_erased":{"buyer":"00"}},"more":1}"#,
        // What format 1 can say is not said in format 2, and the other way round.
        r#"{"v":2,"record":{"sale_paused":{"operation":"p"}}}"#,
        r#"{"v":1,"by":"alice","record":{"sale_paused":{"operation":"p"}}}"#,
        r#"{"v":0,"record":{"sale_paused":{"operation":"p"}}}"#,
    ] {
        assert!(matches!(Record::decode(bad.as_bytes()), Err(DecodeError::Malformed(_))), "{bad}");
    }
}
