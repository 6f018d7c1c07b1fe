//! What Redis and Kafka answer, and what came through Kafka.

use std::sync::{Arc, OnceLock};

use flux_gate::config::room::Room;
use flux_gate::gate::redis::is_ours;
use flux_gate::keys::IdentityKeys;
use flux_gate::keys::records::{Author, Nonce, RecordKeys};
use flux_gate::keys::seal::Opener;
use flux_gate::lobby::RedisRooms;
use flux_gate::log::kafka::message::{
    Incoming, NONCE_HEADER, Read, RecordHeaders, VOUCHER_HEADER, author_of, partition_of, read,
    trace_place,
};
use flux_gate::room::Doors;
use flux_gate::sale::{OrderId, ProductId};
use rdkafka::message::OwnedHeaders;
use rdkafka::{Message, Timestamp};
use redis::Value;

use super::{NOW_MS, Target};

/// The targets of this file.
pub const TARGETS: &[Target] = &[
    ("kafka_message", kafka_message),
    ("kafka_voucher", kafka_voucher),
    ("sealed_user", sealed_user),
    ("redis_reply", redis_reply),
    ("room_answer", room_answer),
];

/// Partitions of the topic that messages seem to come from.
const PARTITIONS: u32 = 6;
/// The nonce of the records in the corpus.
const NONCE: Nonce = [9; 16];
/// Their key, and the operators' one.
const RECORD_KEYS: &str = "r1:fuzz-record-key-0123456789abcdef0123456789abcdef";
const OPERATOR_SEED: &str = "0909090909090909090909090909090909090909090909090909090909090909";
/// What user ids in the corpus are sealed to.
pub const SEAL_KEYS: &str = "s1:0505050505050505050505050505050505050505050505050505050505050505";

/// What is published of the room in the corpus.
pub const ROOM_ENTRANTS: u32 = 3;
pub const ROOM_VALUE: &str = "45c48cce2e2d7fbd";

/// The keys behind the marks of rooms in the corpus.
pub fn identity() -> Arc<IdentityKeys> {
    static KEYS: OnceLock<Arc<IdentityKeys>> = OnceLock::new();
    KEYS.get_or_init(|| Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]))).clone()
}

/// The keys of a node that also holds the operators'.
pub fn keys() -> &'static RecordKeys {
    static KEYS: OnceLock<RecordKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let operator = flux_gate::keys::signer::Signer::from_seed(&OPERATOR_SEED.into());
        let public = hex::encode(operator.expect("a good seed").public().bytes());
        RecordKeys::new(&RECORD_KEYS.into(), Some(&OPERATOR_SEED.into()), &public)
            .expect("good keys")
    })
}

/// A message whose parts are given.
struct Given<'a> {
    key: &'a [u8],
    value: &'a [u8],
    nonce: &'a [u8],
    voucher: &'a [u8],
    third: Option<(&'a [u8], Option<&'a [u8]>)>,
    partition: i32,
}

impl Message for Given<'_> {
    type Headers = OwnedHeaders;
    fn key(&self) -> Option<&[u8]> {
        Some(self.key)
    }
    fn payload(&self) -> Option<&[u8]> {
        Some(self.value)
    }
    unsafe fn payload_mut(&mut self) -> Option<&mut [u8]> {
        None
    }
    fn topic(&self) -> &'static str {
        "orders"
    }
    fn partition(&self) -> i32 {
        self.partition
    }
    fn offset(&self) -> i64 {
        7
    }
    fn timestamp(&self) -> Timestamp {
        Timestamp::LogAppendTime(NOW_MS.cast_signed())
    }
    fn headers(&self) -> Option<&OwnedHeaders> {
        None
    }
}

impl Incoming for Given<'_> {
    fn record_headers(&self) -> Option<RecordHeaders<'_>> {
        Some(RecordHeaders {
            nonce: (NONCE_HEADER.as_bytes(), self.nonce),
            voucher: (VOUCHER_HEADER.as_bytes(), self.voucher),
            third: self.third,
        })
    }
}

/// Messages of the topic. The first line is the key, the rest the record, which gets the voucher that it should have,
/// behind a first byte `o` the other author's: a record is read only from him who may make it.
pub fn kafka_message(bytes: &[u8]) -> bool {
    let (swapped, bytes) = match bytes.split_first() {
        Some((b'o', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (key, value) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let text = std::str::from_utf8(key).unwrap_or_default();
    let record = flux_gate::sale::Record::decode(value);
    let right = record.as_ref().map_or(Author::Operator, author_of);
    let author = match (right, swapped) {
        (Author::Node, false) | (Author::Operator, true) => Author::Node,
        _ => Author::Operator,
    };
    let mut voucher = Vec::new();
    keys().vouch(author, text, &NONCE, value, &mut voucher).expect("all keys are there");
    let partition = text.parse().map_or(0, |product: ProductId| partition_of(&product, PARTITIONS));
    let message = Given { key, value, nonce: &NONCE, voucher: &voucher, third: None, partition };
    match read(&message, keys(), PARTITIONS) {
        Read::Record { entry, .. } => {
            assert!(!swapped, "another author's record was taken");
            assert_eq!(Some(entry.record), record.ok());
            true
        }
        _ => false,
    }
}

/// Vouchers and the third header: nobody vouches but the keys.
pub fn kafka_voucher(bytes: &[u8]) -> bool {
    let value: &[u8] = br#"{"v":1,"record":{"sale_paused":{"operation":"op-1"}}}"#;
    let third = Some((b"traceparent".as_slice(), Some(bytes)));
    let partition = partition_of(&"shoe".parse().expect("a product"), PARTITIONS);
    let message = Given { key: b"shoe", value, nonce: &NONCE, voucher: bytes, third, partition };
    let _ = trace_place(&message);
    let vouched = keys().verify(bytes, "shoe", &NONCE, value);
    let taken = matches!(read(&message, keys(), PARTITIONS), Read::Record { .. });
    assert_eq!(taken, matches!(vouched, Ok(Author::Operator)));
    if let Ok(author) = vouched {
        let mut right = Vec::new();
        keys().vouch(author, "shoe", &NONCE, value, &mut right).expect("all keys are there");
        assert_eq!(right, bytes, "a voucher that was not made");
    }
    taken
}

/// Sealed user ids: none opens but for the order that it was sealed to.
pub fn sealed_user(bytes: &[u8]) -> bool {
    static OPENER: OnceLock<Opener> = OnceLock::new();
    let opener = OPENER.get_or_init(|| Opener::new(&SEAL_KEYS.into()).expect("a good key"));
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let product: ProductId = "shoe".parse().expect("a product");
    let open = |n: u8| opener.open(text, &product, &OrderId::from_random_bytes([n; 16]));
    assert!(open(2).is_err(), "it opens for another order");
    match open(1) {
        Ok(user) => {
            assert_eq!(user.as_str(), "alice-7");
            true
        }
        Err(_) => false,
    }
}

/// Replies of Redis: whatever it says, it is one of our answers or none.
pub fn redis_reply(bytes: &[u8]) -> bool {
    redis::parse_redis_value(bytes).is_ok_and(|value| is_ours(&value))
}

/// Answers of Redis's of one waiting room, in an array: places and head only go forward, and of head, draw and public
/// value nothing is taken over but what a node has marked.
pub fn room_answer(bytes: &[u8]) -> bool {
    let Ok(Value::Array(answers)) = redis::parse_redis_value(bytes) else { return false };
    let product: ProductId = "shoe".parse().expect("a product");
    let config = Room { public_value_source: "drand".to_owned(), ..Room::default() };
    let rooms = RedisRooms::new(&config, identity(), Arc::new(Doors::new(&["*".to_owned()])));
    let (mut head, mut places, mut marked) = (0, 0, false);
    for (answer, now_ms) in answers.into_iter().zip(NOW_MS..) {
        rooms.hear(product, answer, now_ms);
        let (view, draw) = (rooms.view(&product, true), rooms.draw(&product));
        assert!(view.head >= head && view.places >= places, "a room went back");
        (head, places) = (view.head, view.places);
        // What the corpus marks.
        assert!([0, 2, 3].contains(&head), "a head that no node has marked");
        assert!(draw.entrants.is_none_or(|entrants| entrants == ROOM_ENTRANTS));
        assert!(draw.public_value.as_deref().is_none_or(|value| value == ROOM_VALUE));
        assert_eq!(draw.seed.is_some(), draw.entrants.is_some() && draw.public_value.is_some());
        marked |= head > 0 || draw.entrants.is_some() || draw.public_value.is_some();
    }
    marked
}
