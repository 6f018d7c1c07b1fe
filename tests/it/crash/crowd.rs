//! Client threads that order without pause until the server is gone, and remember what they were told.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flux_gate::keys::IdentityKeys;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Attempt, keys, signer};
use crate::support::draft::Draft;
use crate::support::wire::{Answer, Connection};

/// How long a retry may go on being answered "unknown".
const SETTLE_SECONDS_MAX: u64 = 60;
/// Buyers that share the large product: few enough that many reach their limit.
const BUYERS: u32 = 40_000;
/// One in so many requests is a repetition of an accepted one.
const REPEATS_ONE_IN: u32 = 8;

/// The product that never sells out here.
pub const MANY: &str = "many";
/// The product that everybody wants and few get.
pub const FEW: &str = "few";

/// What clients were told, by order id.
#[derive(Debug, Default)]
pub struct Told {
    /// Answered 200 with this id: it is an order.
    pub accepted: HashMap<String, Attempt>,
    /// Refused by their outcome: they must never become orders.
    pub refused: HashSet<String>,
    /// Nobody knows yet: no answer, or one that says so.
    pub unknown: Vec<Attempt>,
    /// How many requests were answered.
    pub answers: u64,
}

impl Told {
    /// Takes what another client was told.
    pub fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
        self.answers += other.answers;
    }
}

/// One client with one connection.
pub struct Client {
    connection: Connection,
    keys: IdentityKeys,
    /// How far the server's clock is ahead of ours, as far as it has said.
    ahead_ms: i64,
    /// What it was told so far.
    pub told: Told,
}

impl Client {
    /// Connects.
    pub fn new(server: SocketAddr) -> std::io::Result<Self> {
        let connection = Connection::open(server, None)?;
        Ok(Self { connection, keys: keys(), ahead_ms: 0, told: Told::default() })
    }

    /// Sends an attempt; `None` if no whole answer came. A server that goes by another clock says so, and is
    /// sent it by that.
    pub fn send(&mut self, attempt: &Attempt) -> Option<Answer> {
        let answer = self.send_once(attempt)?;
        if answer.word() != "request_expired" {
            return Some(answer);
        }
        let server_ms = answer.json()["serverTime"].as_i64()?;
        self.ahead_ms = server_ms - unix_ms() as i64;
        self.send_once(attempt)
    }

    fn send_once(&mut self, attempt: &Attempt) -> Option<Answer> {
        let draft = Draft::order(attempt.product, &attempt.user, &attempt.key)
            .set("content-type", "application/json")
            .sign(&signer(), unix_ms().saturating_add_signed(self.ahead_ms));
        self.connection.write(&draft.bytes()).ok()?;
        let answer = self.connection.read().ok()??;
        self.told.answers += 1;
        Some(answer)
    }

    /// Sends an attempt and notes what was said. `false`: there was no answer.
    pub fn attempt(&mut self, attempt: Attempt) -> bool {
        let answer = self.send(&attempt);
        self.note(attempt, answer.as_ref());
        answer.is_some()
    }

    fn note(&mut self, attempt: Attempt, answer: Option<&Answer>) {
        let id = attempt.order_id(&self.keys);
        let Some(answer) = answer else {
            return self.told.unknown.push(attempt);
        };
        let reason = answer.member("reason");
        match (answer.status, answer.word().as_str()) {
            (200, "success") => self.accepted(id, attempt, answer),
            (200, "ignored") if reason == "same_key" => self.accepted(id, attempt, answer),
            (200, "ignored") if reason == "repeat_window" => self.refused(id),
            (409, "sold_out" | "limit_reached") => self.refused(id),
            (202, "pending") | (503, _) => self.told.unknown.push(attempt),
            _ => panic!("{attempt:?} was answered {} {}", answer.status, answer.text()),
        }
    }

    /// Rule 3: the id is the same whatever happened between two tries.
    fn accepted(&mut self, id: String, attempt: Attempt, answer: &Answer) {
        assert_eq!(answer.member("orderId"), id, "rule 3: {attempt:?} has another id");
        assert!(!self.told.refused.contains(&id), "rule 4: {attempt:?} was refused before");
        self.told.accepted.insert(id, attempt);
    }

    fn refused(&mut self, id: String) {
        assert!(!self.told.accepted.contains_key(&id), "rule 2: {id} was accepted before");
        self.told.refused.insert(id);
    }

    /// Retries an attempt under its key until it is settled.
    pub fn settle(&mut self, attempt: Attempt) {
        let begun = Instant::now();
        loop {
            assert!(self.attempt(attempt.clone()), "the server was not killed: {attempt:?}");
            if self.told.unknown.pop().is_none() {
                return;
            }
            assert!(
                begun.elapsed().as_secs() < SETTLE_SECONDS_MAX,
                "rule 4: {attempt:?} does not settle"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Orders until the server does not answer any more. `dying` is set before the server is killed: until then
/// it has to answer.
pub fn order_until_gone(server: SocketAddr, dying: &AtomicBool, seed: u64, round: u32) -> Told {
    let mut random = StdRng::seed_from_u64(seed);
    let Ok(mut client) = Client::new(server) else {
        assert!(dying.load(Ordering::SeqCst), "the server takes no connection");
        return Told::default();
    };
    let mut sent: Vec<Attempt> = Vec::new();
    for number in 0_u64.. {
        let repeat = !sent.is_empty() && random.random_ratio(1, REPEATS_ONE_IN);
        let attempt = if repeat {
            sent[random.random_range(0..sent.len())].clone()
        } else {
            let few = random.random_ratio(1, 10);
            let user = format!("u-{}", random.random_range(0..BUYERS));
            let key = format!("{round}-{seed:x}-{number}");
            Attempt { product: if few { FEW } else { MANY }, user, key }
        };
        if !client.attempt(attempt.clone()) {
            assert!(dying.load(Ordering::SeqCst), "the server lives and does not answer");
            break;
        }
        sent.push(attempt);
    }
    client.told
}

/// The wall clock in Unix milliseconds.
#[allow(clippy::disallowed_methods, reason = "a client of a real server signs with the real time")]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis() as u64
}
