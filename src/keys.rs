//! The secrets of a deployment and what is derived from them.
//!
//! Every HMAC is HMAC-SHA256 (RFC 2104) over inputs that carry their purpose and are length-prefixed, so
//! that no two different inputs give the same bytes. The order key and the buyer key stay for the life of
//! a sale; a sale pins their fingerprints.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::sale::record::KeyFingerprints;
use crate::sale::{BuyerRef, IdempotencyKey, OrderId, ProductId, UserId};

#[cfg(feature = "distributed")]
pub mod records;
#[cfg(feature = "distributed")]
pub mod seal;
pub mod signer;
pub mod stored;

/// Bytes of every secret key.
pub const SECRET_BYTES: usize = 32;

/// The key behind order ids and the key behind buyer references.
#[derive(Debug)]
pub struct IdentityKeys {
    order: hmac::Key,
    buyer: hmac::Key,
    fingerprints: KeyFingerprints,
}

impl IdentityKeys {
    /// Takes the two secrets.
    pub fn new(order_secret: &[u8], buyer_secret: &[u8]) -> Self {
        let order = hmac::Key::new(hmac::HMAC_SHA256, order_secret);
        let buyer = hmac::Key::new(hmac::HMAC_SHA256, buyer_secret);
        let fingerprints =
            KeyFingerprints { order: fingerprint(&order), buyer: fingerprint(&buyer) };
        Self { order, buyer, fingerprints }
    }

    /// The id of the order that this attempt is or becomes. The same attempt always has the same id.
    pub fn order_id(&self, product: &ProductId, buyer: &BuyerRef, key: &IdempotencyKey) -> OrderId {
        let parts = [product.as_bytes(), buyer.as_bytes(), key.as_bytes()];
        OrderId::from_random_bytes(first_16_bytes(&tag(&self.order, "order-id", &parts)))
    }

    /// The pseudonym of a user within a shop's name space.
    pub fn buyer(&self, name_space: &str, user: &UserId) -> BuyerRef {
        let parts = [name_space.as_bytes(), user.as_bytes()];
        BuyerRef::from_bytes(first_16_bytes(&tag(&self.buyer, "buyer", &parts)))
    }

    /// A seed for keyed hash tables that is the same on all nodes.
    pub fn table_seed(&self) -> [u8; 16] {
        first_16_bytes(&tag(&self.buyer, "table-seed", &[]))
    }

    /// A seed for the pseudonyms of those who are blocked: the same on all nodes, and for as long as the buyer
    /// key stays, which is longer than any block.
    pub fn block_seed(&self) -> [u8; 16] {
        first_16_bytes(&tag(&self.buyer, "block-seed", &[]))
    }

    /// The key of a day's pseudonyms in the evidence: the same on all nodes, and after a restart.
    pub fn evidence_key(&self, day: u64) -> hmac::Key {
        let derived = tag(&self.buyer, "evidence-day", &[&day.to_be_bytes()]);
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }

    /// The key that vouches for the journal of erasures: it stays for as long as the buyer key.
    pub fn erasures_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, tag(&self.buyer, "erasures", &[]).as_ref())
    }

    /// The key of challenges: the same on all nodes, so that each takes what another has asked.
    pub fn challenge_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, tag(&self.order, "challenge-key", &[]).as_ref())
    }

    /// The key behind the tickets of waiting rooms. It is derived, so it stays for the life of a sale.
    pub fn ticket_key(&self) -> hmac::Key {
        let secret = tag(&self.order, "waiting-room-ticket", &[]);
        hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref())
    }

    /// The seed of a product's draw: the same after any restart, so that what was committed to holds. It is
    /// disclosed once the draw is made; the order key is not to be found from it.
    pub fn draw_seed(&self, product: &ProductId) -> [u8; 32] {
        let seed = tag(&self.order, "draw-seed", &[product.as_bytes()]);
        seed.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    /// What a sale pins of the two keys.
    pub fn fingerprints(&self) -> &KeyFingerprints {
        &self.fingerprints
    }
}

/// HMAC-SHA256 over `purpose` and `parts`, each prefixed with its length (32 bits, big endian).
pub fn tag(key: &hmac::Key, purpose: &str, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        context.update(&(part.len() as u32).to_be_bytes());
        context.update(part);
    }
    context.sign()
}

/// A public fingerprint of a key: 64 bits of an HMAC under it, in hex.
pub fn fingerprint(key: &hmac::Key) -> String {
    hex::encode(&tag(key, "fingerprint", &[]).as_ref()[..8])
}

/// 32 bytes out of 64 hexadecimal digits, wiped when they go.
fn hex_32(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *bytes).ok()?;
    Some(bytes)
}

fn first_16_bytes(tag: &hmac::Tag) -> [u8; 16] {
    tag.as_ref()[..16].try_into().expect("HMAC-SHA256 has 32 bytes")
}
