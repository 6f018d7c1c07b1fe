//! Tickets: what a shopper holds while waiting.
//!
//! A ticket is `t1.<payload>.<MAC>`, both parts base64url without padding. The payload has fixed places:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the number, from 0 in the order of arrival |
//! | 8 | when it was given, Unix milliseconds |
//! | 16 | the buyer, as a pseudonym |
//! | 16 | the random name of the session pass with which it was asked for |
//! | 1 to 50 | the product |
//!
//! Numbers are big endian. A ticket proves a place in the queue and nothing else: the admission is given to
//! whoever signs with the session of that very buyer, so a ticket that was shared or sold is worth nothing to
//! another. That it is used once is the queue's business: it knows each ticket's number, time and buyer.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::chain::{Digest, sha256};
use crate::keys::tag;
use crate::sale::ids::NAME_BYTES_MAX;
use crate::sale::{BuyerRef, ProductId};

/// Length of a ticket in bytes; the largest that is issued is below it.
pub const TICKET_BYTES_MAX: usize = 192;

const VERSION: &str = "t1.";
const PURPOSE: &str = "waiting-room-ticket";
const FORM_PURPOSE: &str = "waiting-room-form";
const LEAF_PURPOSE: &[u8] = b"flux-gate ticket 1";
/// Bytes of a payload before the product.
const FIXED_BYTES: usize = 4 + 8 + 16 + 16;
const MAC_BYTES: usize = 32;

/// What a ticket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Of which product's room.
    pub product: ProductId,
    /// Its number, from 0 in the order of arrival.
    pub number: u32,
    /// When it was given, Unix milliseconds.
    pub issued_ms: u64,
    /// To whom, as a pseudonym.
    pub buyer: BuyerRef,
    /// The name of the pass with which it was asked for: that pass may outlive its time for this ticket alone.
    pub pass_id: [u8; 16],
}

impl Ticket {
    /// What the Merkle tree of a draw holds of it: nobody can tell the buyer from it. The pass is left out, so a
    /// ticket that is given again for a newer pass is the same entrant.
    pub fn leaf(&self) -> Digest {
        let mut bytes = Vec::with_capacity(1 + LEAF_PURPOSE.len() + FIXED_BYTES + NAME_BYTES_MAX);
        bytes.push(0);
        bytes.extend_from_slice(LEAF_PURPOSE);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.issued_ms.to_be_bytes());
        bytes.extend_from_slice(self.buyer.as_bytes());
        bytes.extend_from_slice(self.product.as_bytes());
        sha256(&bytes)
    }

    /// Reads a ticket without its key: what it says, not whether it is true. For whoever checks a draw.
    pub fn read_unverified(text: &str) -> Option<Self> {
        parse(text).map(|(ticket, _, _)| ticket)
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + NAME_BYTES_MAX);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.issued_ms.to_be_bytes());
        bytes.extend_from_slice(self.buyer.as_bytes());
        bytes.extend_from_slice(&self.pass_id);
        bytes.extend_from_slice(self.product.as_bytes());
        bytes
    }
}

/// The key of tickets.
pub struct TicketKey(hmac::Key);

impl TicketKey {
    /// Takes the key, which signs nothing else.
    pub fn new(key: hmac::Key) -> Self {
        Self(key)
    }

    /// Writes a ticket.
    pub fn issue(&self, ticket: &Ticket) -> String {
        let mut text = VERSION.to_owned();
        URL_SAFE_NO_PAD.encode_string(ticket.payload(), &mut text);
        let mac = tag(&self.0, PURPOSE, &[text.as_bytes()]);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(mac.as_ref(), &mut text);
        text
    }

    /// Reads and verifies a ticket; `None` for one that this key has not signed.
    pub fn verify(&self, text: &str) -> Option<Ticket> {
        let (ticket, signed, mac) = parse(text)?;
        let expected = tag(&self.0, PURPOSE, &[signed.as_bytes()]);
        constant_time::verify_slices_are_equal(expected.as_ref(), &mac).ok()?;
        Some(ticket)
    }

    /// The token of a form that spends this ticket's admission. It does not hold the pass: another tab's form is
    /// as good.
    pub fn form_token(&self, ticket: &Ticket) -> String {
        hex::encode(tag(&self.0, FORM_PURPOSE, &[&ticket.leaf()]))
    }

    /// Whether this is the token of that ticket's form.
    pub fn is_form_token(&self, ticket: &Ticket, token: &str) -> bool {
        let expected = self.form_token(ticket);
        constant_time::verify_slices_are_equal(expected.as_bytes(), token.as_bytes()).is_ok()
    }
}

/// What a text says, the part of it that is signed, and its MAC.
fn parse(text: &str) -> Option<(Ticket, &str, [u8; MAC_BYTES])> {
    if text.len() > TICKET_BYTES_MAX {
        return None;
    }
    let (signed, mac_text) = text.rsplit_once('.')?;
    let payload = signed.strip_prefix(VERSION)?;
    // The decoder asks for room for whole groups of four digits.
    let mut bytes = [0; TICKET_BYTES_MAX];
    let length = URL_SAFE_NO_PAD.decode_slice(payload, &mut bytes).ok()?;
    let mut mac = [0; MAC_BYTES + 4];
    let mac_length = URL_SAFE_NO_PAD.decode_slice(mac_text, &mut mac).ok()?;
    let mac = mac[..mac_length].try_into().ok()?;

    let (number, rest) = bytes[..length].split_first_chunk::<4>()?;
    let (issued, rest) = rest.split_first_chunk::<8>()?;
    let (buyer, rest) = rest.split_first_chunk::<16>()?;
    let (pass_id, product) = rest.split_first_chunk::<16>()?;
    let ticket = Ticket {
        product: std::str::from_utf8(product).ok()?.parse().ok()?,
        number: u32::from_be_bytes(*number),
        issued_ms: u64::from_be_bytes(*issued),
        buyer: BuyerRef::from_bytes(*buyer),
        pass_id: *pass_id,
    };
    Some((ticket, signed, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> TicketKey {
        TicketKey::new(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn ticket() -> Ticket {
        Ticket {
            product: "iphone-15".parse().unwrap(),
            number: 17,
            issued_ms: 1_800_000_000_000,
            buyer: BuyerRef::from_bytes([7; 16]),
            pass_id: [9; 16],
        }
    }

    #[test]
    fn a_ticket_says_what_was_issued() {
        let key = key(b"one");
        let text = key.issue(&ticket());
        assert_eq!(key.verify(&text), Some(ticket()));
        assert_eq!(Ticket::read_unverified(&text), Some(ticket()));
    }

    #[test]
    fn no_changed_byte_of_a_ticket_verifies() {
        let key = key(b"one");
        let text = key.issue(&ticket());
        for position in 0..text.len() {
            for byte in [b'A', b'B', b'.', b'='] {
                let mut changed = text.clone().into_bytes();
                if changed[position] != byte {
                    changed[position] = byte;
                    assert!(key.verify(std::str::from_utf8(&changed).unwrap()).is_none());
                }
            }
        }
        for length in 0..text.len() {
            assert!(key.verify(&text[..length]).is_none());
        }
        assert!(key.verify(&format!("{text}A")).is_none());
        assert!(key.verify(&"t1.".repeat(100)).is_none());
        assert!(key.verify("").is_none());
    }

    #[test]
    fn another_keys_ticket_does_not_verify() {
        assert!(key(b"one").verify(&key(b"two").issue(&ticket())).is_none());
    }

    #[test]
    fn the_largest_ticket_fits() {
        let key = key(b"one");
        let product = "p".repeat(NAME_BYTES_MAX).parse().unwrap();
        let largest = Ticket { product, number: u32::MAX, issued_ms: u64::MAX, ..ticket() };
        assert_eq!(key.verify(&key.issue(&largest)), Some(largest));
    }

    #[test]
    fn a_leaf_is_of_number_time_buyer_and_product_and_not_of_the_pass() {
        let one = ticket();
        assert_eq!(one.leaf(), Ticket { pass_id: [1; 16], ..one }.leaf());
        assert_ne!(one.leaf(), Ticket { number: 18, ..one }.leaf());
        assert_ne!(one.leaf(), Ticket { issued_ms: 1, ..one }.leaf());
        assert_ne!(one.leaf(), Ticket { buyer: BuyerRef::from_bytes([8; 16]), ..one }.leaf());
        assert_ne!(one.leaf(), Ticket { product: "other".parse().unwrap(), ..one }.leaf());
    }

    #[test]
    fn a_form_token_is_of_one_ticket() {
        let key = key(b"one");
        let token = key.form_token(&ticket());
        assert!(key.is_form_token(&ticket(), &token));
        assert!(!key.is_form_token(&Ticket { number: 18, ..ticket() }, &token));
        assert!(!key.is_form_token(&ticket(), ""));
    }
}
