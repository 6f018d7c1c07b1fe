//! Requests that are signed before a run, so that the client costs little and the same for every server.
//!
//! Each has an idempotency key of its own. A signature is good for 30 s, so they are made right before.

use std::fmt::Write;

use aws_lc_rs::hmac;
use flux_gate::load::sessions::Shopper;
use flux_gate::signing::SignedParts;

use super::servers::{CLIENT_ID, CLIENT_SECRET};

/// Under whose name they go.
pub enum Crowd<'a> {
    /// An API client orders for this many users in turn; `0` is a new one for each request.
    Users(u64),
    /// An API client orders for the users from this one on, each once.
    Range {
        /// The first.
        first: u64,
    },
    /// An API client orders for users drawn evenly from this many.
    Drawn(u64),
    /// These shoppers in turn.
    Shoppers(&'a [Shopper]),
    /// These shoppers in turn, by way of a trusted proxy.
    Proxied {
        /// The shoppers.
        shoppers: &'a [Shopper],
        /// From where each request comes, by its number.
        address: fn(u64) -> String,
    },
}

/// Signed requests, one behind the other.
pub struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// What a set of requests is made of.
pub struct Recipe<'a> {
    /// What is bought.
    pub product: &'a str,
    /// By whom.
    pub crowd: Crowd<'a>,
    /// Part of every key, and of the users of `Users(0)`: another one for each run.
    pub run: u32,
    /// The time that they are signed with, in Unix milliseconds.
    pub now_ms: u64,
}

impl Requests {
    /// Signs `count` requests.
    pub fn sign(recipe: &Recipe<'_>, count: usize) -> Self {
        let client_key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
        let mut requests = Self { bytes: Vec::with_capacity(count * 420), ends: Vec::new() };
        requests.ends.reserve(count);
        let time = recipe.now_ms.to_string();
        let who = format!("x-api-key: {CLIENT_ID}\r\n");
        for number in 0..count as u64 {
            let key = format!("k{:x}-{number:x}", recipe.run);
            let user = match &recipe.crowd {
                Crowd::Users(0) => format!("buyer-{:x}-{number:x}", recipe.run),
                Crowd::Users(users) => format!("buyer-{:x}", number % users),
                Crowd::Range { first } => format!("buyer-{:x}", first + number),
                Crowd::Drawn(users) => format!("buyer-{:x}", drawn(number, recipe.run) % users),
                Crowd::Shoppers(shoppers) => {
                    requests.push_of_shopper(recipe, shoppers, "", (&time, &key), number);
                    continue;
                }
                Crowd::Proxied { shoppers, address } => {
                    let from = format!("x-forwarded-for: {}\r\n", address(number));
                    requests.push_of_shopper(recipe, shoppers, &from, (&time, &key), number);
                    continue;
                }
            };
            requests.push(recipe.product, &user, &who, &time, &key, &client_key);
        }
        requests
    }

    fn push_of_shopper(
        &mut self,
        recipe: &Recipe<'_>,
        shoppers: &[Shopper],
        from: &str,
        (time, key): (&str, &str),
        number: u64,
    ) {
        let place = number % shoppers.len() as u64;
        let shopper = &shoppers[place as usize];
        let who = format!(
            "authorization: Bearer {}\r\nx-device-fingerprint: {place:032x}\r\n{from}",
            shopper.pass()
        );
        let session_key = hmac::Key::new(hmac::HMAC_SHA256, shopper.session_key().as_bytes());
        self.push(recipe.product, shopper.user().as_str(), &who, time, key, &session_key);
    }

    fn push(
        &mut self,
        product: &str,
        user: &str,
        who: &str,
        time: &str,
        key: &str,
        secret: &hmac::Key,
    ) {
        let body = format!(r#"{{"productId":"{product}","userId":"{user}"}}"#);
        let parts = SignedParts {
            method: b"POST",
            path: b"/order",
            body: body.as_bytes(),
            request_time: time.as_bytes(),
            idempotency_key: key.as_bytes(),
        };
        let mut signature = [0; 64];
        hex::encode_to_slice(parts.sign(secret), &mut signature).expect("32 bytes are 64 digits");
        let signature = std::str::from_utf8(&signature).expect("digits are text");
        let length = body.len();
        let mut text = String::with_capacity(512);
        write!(
            text,
            "POST /order HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             {who}x-request-time: {time}\r\nx-idempotency-key: {key}\r\n\
             x-signature: {signature}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("a string takes every character");
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of them.
    pub fn get(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }
}

/// Evenly spread, and the same each time.
fn drawn(number: u64, run: u32) -> u64 {
    let mixed = (number ^ (u64::from(run) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 20
}
