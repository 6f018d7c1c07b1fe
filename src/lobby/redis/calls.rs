//! What is said to Redis of a room and what it answers. The functions are in `room.lua`, beside the gate's.

use redis::{Cmd, Value};

use super::marks::{CARD_BYTES, SHORT_CARD_BYTES};
use crate::lobby::Stock;
use crate::room::Terms;
use crate::sale::{BuyerRef, ProductId};

/// `room:{id}:book`, a hash: how far the queue is.
const BOOK: &str = "book";
/// `room:{id}:cards`, a hash: number → when, to whom, MAC.
const CARDS: &str = "cards";
/// `room:{id}:states`, a hash: number → how it stands.
const STATES: &str = "states";
/// `room:{id}:buyers`, a hash: buyer → number.
const BUYERS: &str = "buyers";
/// `room:{id}:admitted`, a sorted set: numbers that are admitted, by when that ends.
const ADMITTED: &str = "admitted";

/// Cards that are asked for with one call.
pub(super) const CARDS_MAX: u32 = 1_000;

/// The keys of one product, all in one hash slot.
#[derive(Debug)]
pub(super) struct Keys([String; 5]);

impl Keys {
    pub(super) fn new(product: &ProductId) -> Self {
        Self([BOOK, CARDS, STATES, BUYERS, ADMITTED].map(|key| format!("room:{{{product}}}:{key}")))
    }
}

/// What a node knows of a room, with which it puts right what Redis has lost; and the texts in Redis that no node
/// has written.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The number of the next ticket, at least.
    pub next: u32,
    pub head: String,
    pub draw: String,
    pub value: String,
    pub forged_head: Vec<u8>,
    pub forged_draw: Vec<u8>,
    pub forged_value: Vec<u8>,
}

/// What Redis holds of a room, as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Book {
    pub next: u32,
    pub drawn: Option<u32>,
    pub head: Vec<u8>,
    pub draw: Vec<u8>,
    pub value: Vec<u8>,
    pub total: u64,
}

fn call(function: &str, keys: &Keys, known: &Known) -> Cmd {
    let mut call = Cmd::with_capacity(24, 768);
    call.arg("FCALL").arg(function).arg(keys.0.len()).arg(&keys.0[..]);
    call.arg(known.next).arg(&known.head).arg(&known.draw).arg(&known.value);
    call.arg(&known.forged_head[..]).arg(&known.forged_draw[..]).arg(&known.forged_value[..]);
    call
}

pub(super) fn take(
    keys: &Keys,
    known: &Known,
    opened: bool,
    card: &[u8; SHORT_CARD_BYTES],
    waiting_max: usize,
) -> Cmd {
    let mut call = call("fg_room_take", keys, known);
    call.arg(u8::from(opened)).arg(&card[..]).arg(waiting_max);
    call
}

pub(super) fn bind(keys: &Keys, known: &Known, number: u32, card: &[u8; CARD_BYTES]) -> Cmd {
    let mut call = call("fg_room_bind", keys, known);
    call.arg(number).arg(&card[..]);
    call
}

pub(super) fn poll(
    keys: &Keys,
    known: &Known,
    number: u32,
    card: &[u8; CARD_BYTES],
    place: Option<u32>,
) -> Cmd {
    let mut call = call("fg_room_poll", keys, known);
    call.arg(number).arg(&card[..]).arg(place.map_or(-1, i64::from));
    call
}

pub(super) fn find(keys: &Keys, known: &Known, buyer: &BuyerRef) -> Cmd {
    let mut call = call("fg_room_find", keys, known);
    call.arg(&buyer.as_bytes()[..]);
    call
}

pub(super) fn spend(keys: &Keys, known: &Known, buyer: &BuyerRef, stock: Stock) -> Cmd {
    let mut call = call("fg_room_spend", keys, known);
    call.arg(&buyer.as_bytes()[..]).arg(stock.offset).arg(stock.supply.units_left);
    call
}

pub(super) fn look(
    keys: &Keys,
    known: &Known,
    opened: bool,
    rate_per_second: u32,
    numbers: &[u32],
) -> Cmd {
    let mut call = call("fg_room_look", keys, known);
    call.arg(u8::from(opened)).arg(rate_per_second).arg(numbers);
    call
}

/// Whom a node lets in and passes over, and the head before and after it.
pub(super) struct Turn {
    pub seen: String,
    pub head: String,
    pub admitted: Vec<u32>,
    pub passed: Vec<u32>,
}

pub(super) fn admit(keys: &Keys, known: &Known, turn: &Turn, terms: &Terms, stock: Stock) -> Cmd {
    let mut call = call("fg_room_admit", keys, known);
    call.arg(&turn.seen).arg(&turn.head).arg(terms.rate_per_second);
    call.arg(stock.offset).arg(stock.supply.units_left).arg(terms.surplus).arg(terms.admission_ms);
    call.arg(turn.admitted.len()).arg(&turn.admitted).arg(&turn.passed);
    call
}

pub(super) fn cards(keys: &Keys, known: &Known, first: u32, count: u32) -> Cmd {
    let mut call = call("fg_room_cards", keys, known);
    call.arg(first).arg(count);
    call
}

pub(super) fn draw(
    keys: &Keys,
    known: &Known,
    (drawn, bound): (u32, u64),
    draw: &str,
    left_out: &[u32],
) -> Cmd {
    let mut call = call("fg_room_draw", keys, known);
    call.arg(drawn).arg(bound).arg(draw).arg(left_out);
    call
}

pub(super) fn value(keys: &Keys, known: &Known, value: &str) -> Cmd {
    let mut call = call("fg_room_value", keys, known);
    call.arg(value);
    call
}

/// Takes away keys of another kind.
pub(super) fn mend(keys: &Keys) -> Cmd {
    let mut call = Cmd::new();
    call.arg("FCALL").arg("fg_room_mend").arg(keys.0.len()).arg(&keys.0[..]);
    call
}

/// An answer: what the function says, and the book. `None`: it is none of ours.
pub(super) fn answer(value: Value) -> Option<(Vec<Value>, Book)> {
    let Value::Array(mut parts) = value else { return None };
    let at = parts.len().checked_sub(6)?;
    let mut book = parts.split_off(at).into_iter();
    let book = Book {
        next: u32::try_from(integer(&book.next()?)?).unwrap_or(u32::MAX),
        drawn: u32::try_from(integer(&book.next()?)?).ok(),
        head: text(book.next()?)?,
        draw: text(book.next()?)?,
        value: text(book.next()?)?,
        total: u64::try_from(integer(&book.next()?)?).ok()?,
    };
    Some((parts, book))
}

/// An integer of an answer.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(integer) => Some(*integer),
        _ => None,
    }
}

/// Bytes of an answer.
pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}
