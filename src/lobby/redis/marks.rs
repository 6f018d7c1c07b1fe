//! The marks by which a node knows its own, and other nodes', hand in what Redis holds.
//!
//! | what | text | MAC over |
//! |---|---|---|
//! | card | when it was given (8 bytes), buyer (16), MAC (16) | product, number, the bytes before |
//! | head | `<next place to serve>:<MAC>` | product, place |
//! | draw | `<drawn>:<root>:<MAC>` | product, drawn, root |
//! | value | `<public value>:<MAC>` | product, value |
//!
//! A MAC is the first 16 bytes of HMAC-SHA256 under the key of the tickets, which signs nothing else under these
//! purposes; in hex where it stands in text. An older head can be put back, so nodes never go back; nothing else
//! that is true at one time is false at another.

use aws_lc_rs::{constant_time, hmac};

use crate::chain::Digest;
use crate::keys::tag;
use crate::sale::{BuyerRef, ProductId};

const MAC_BYTES: usize = 16;
/// Bytes of a card before its MAC.
pub(super) const SHORT_CARD_BYTES: usize = 8 + 16;
/// Bytes of a card.
pub(super) const CARD_BYTES: usize = SHORT_CARD_BYTES + MAC_BYTES;

const CARD: &str = "waiting-room-card";
const HEAD: &str = "waiting-room-head";
const DRAW: &str = "waiting-room-draw";
const VALUE: &str = "waiting-room-value";

/// The marks of one product.
pub(super) struct Marks {
    key: hmac::Key,
    product: ProductId,
}

impl Marks {
    pub(super) fn new(key: hmac::Key, product: ProductId) -> Self {
        Self { key, product }
    }

    fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut all = vec![self.product.as_bytes()];
        all.extend_from_slice(parts);
        let tag = tag(&self.key, purpose, &all);
        tag.as_ref()[..MAC_BYTES].try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    fn is_mac(&self, purpose: &str, parts: &[&[u8]], mac: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.mac(purpose, parts), mac).is_ok()
    }

    fn is_hex_mac(&self, purpose: &str, parts: &[&[u8]], text: &str) -> bool {
        hex::decode(text).is_ok_and(|mac| self.is_mac(purpose, parts, &mac))
    }

    /// A card.
    pub(super) fn card(&self, number: u32, issued_ms: u64, buyer: &BuyerRef) -> [u8; CARD_BYTES] {
        let mut card = [0; CARD_BYTES];
        card[..SHORT_CARD_BYTES].copy_from_slice(&short_card(issued_ms, buyer));
        let mac = self.mac(CARD, &[&number.to_be_bytes(), &card[..SHORT_CARD_BYTES]]);
        card[SHORT_CARD_BYTES..].copy_from_slice(&mac);
        card
    }

    /// Whose card with this number it is, and when it was given; `None` for one that no node has made.
    pub(super) fn read_card(&self, number: u32, card: &[u8]) -> Option<(BuyerRef, u64)> {
        let (short, mac) = card.split_first_chunk::<SHORT_CARD_BYTES>()?;
        if !self.is_mac(CARD, &[&number.to_be_bytes(), short], mac) {
            return None;
        }
        let (issued, buyer) = short.split_first_chunk::<8>()?;
        Some((BuyerRef::from_bytes(buyer.try_into().ok()?), u64::from_be_bytes(*issued)))
    }

    pub(super) fn head(&self, head: u32) -> String {
        format!("{head}:{}", hex::encode(self.mac(HEAD, &[&head.to_be_bytes()])))
    }

    pub(super) fn read_head(&self, text: &[u8]) -> Option<u32> {
        let (head, mac) = str::from_utf8(text).ok()?.split_once(':')?;
        let head = head.parse::<u32>().ok()?;
        self.is_hex_mac(HEAD, &[&head.to_be_bytes()], mac).then_some(head)
    }

    pub(super) fn draw(&self, drawn: u32, root: &Digest) -> String {
        let mac = self.mac(DRAW, &[&drawn.to_be_bytes(), root]);
        format!("{drawn}:{}:{}", hex::encode(root), hex::encode(mac))
    }

    pub(super) fn read_draw(&self, text: &[u8]) -> Option<(u32, Digest)> {
        let (drawn, rest) = str::from_utf8(text).ok()?.split_once(':')?;
        let (root_text, mac) = rest.split_once(':')?;
        let drawn = drawn.parse::<u32>().ok()?;
        let mut root = Digest::default();
        hex::decode_to_slice(root_text, &mut root).ok()?;
        self.is_hex_mac(DRAW, &[&drawn.to_be_bytes(), &root], mac).then_some((drawn, root))
    }

    pub(super) fn value(&self, value: &str) -> String {
        format!("{value}:{}", hex::encode(self.mac(VALUE, &[value.as_bytes()])))
    }

    pub(super) fn read_value(&self, text: &[u8]) -> Option<String> {
        let (value, mac) = str::from_utf8(text).ok()?.rsplit_once(':')?;
        self.is_hex_mac(VALUE, &[value.as_bytes()], mac).then(|| value.to_owned())
    }
}

/// A card whose number is not known yet.
pub(super) fn short_card(issued_ms: u64, buyer: &BuyerRef) -> [u8; SHORT_CARD_BYTES] {
    let mut card = [0; SHORT_CARD_BYTES];
    card[..8].copy_from_slice(&issued_ms.to_be_bytes());
    card[8..].copy_from_slice(buyer.as_bytes());
    card
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(product: &str) -> Marks {
        Marks::new(hmac::Key::new(hmac::HMAC_SHA256, b"key"), product.parse().unwrap())
    }

    #[test]
    fn what_a_node_has_marked_is_read_and_nothing_else() {
        let (lamp, chair) = (marks("lamp"), marks("chair"));
        let buyer = BuyerRef::from_bytes([7; 16]);
        let card = lamp.card(3, 1_000, &buyer);
        assert_eq!(lamp.read_card(3, &card), Some((buyer, 1_000)));
        assert_eq!(lamp.read_card(4, &card), None, "another number");
        assert_eq!(chair.read_card(3, &card), None, "another product");
        assert_eq!(lamp.read_card(3, &card[..SHORT_CARD_BYTES]), None);
        let mut other = card;
        other[9] ^= 1;
        assert_eq!(lamp.read_card(3, &other), None);

        let (head, draw, value) = (lamp.head(12), lamp.draw(5, &[9; 32]), lamp.value("a:b"));
        assert_eq!(lamp.read_head(head.as_bytes()), Some(12));
        assert_eq!(lamp.read_draw(draw.as_bytes()), Some((5, [9; 32])));
        assert_eq!(lamp.read_value(value.as_bytes()).as_deref(), Some("a:b"));
        assert_eq!(lamp.read_head(head.replace("12:", "13:").as_bytes()), None);
        assert_eq!(lamp.read_draw(draw.replace("5:", "6:").as_bytes()), None);
        assert_eq!(lamp.read_value(value.replace("a:b", "a:c").as_bytes()), None);
        assert_eq!(chair.read_head(head.as_bytes()), None);
        for text in ["", ":", "12", "12:", "x:y:z", "99999999999:00"] {
            assert!(
                lamp.read_head(text.as_bytes()).is_none()
                    && lamp.read_draw(text.as_bytes()).is_none()
            );
            assert!(lamp.read_value(text.as_bytes()).is_none());
        }
    }
}
