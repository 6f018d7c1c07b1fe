//! The draw of many nodes: one publishes number and root of those who were drawn, the others check it.
//!
//! Whoever finds no draw after the opening reads all cards and publishes a root over those that bear a node's mark, if
//! no card came meanwhile. A number whose card is not there, was forged, or is a buyer's second has the leaf of nobody:
//! the numbers of those behind it stay. All others read the cards too and hold the root against theirs. One that comes to another
//! root shows no list; it goes on serving, for the order follows from the published root and the seed alone, and no
//! writing to the cards moves anybody any more.

use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::Mutex;

use super::calls::{self, CARDS_MAX, Keys, Known, bytes, integer};
use super::marks::Marks;
use super::mirror::{List, Mirror, nobodys_leaf};
use super::{RedisRooms, ask};
use crate::chain::Digest;
use crate::gate::GateHandle;
use crate::lobby::Unavailable;
use crate::merkle::Tree;
use crate::room::Ticket;
use crate::sale::{BuyerRef, ProductId};

/// Cards that do not count and are marked so; what is beyond is passed over when its turn comes.
const LEFT_OUT_MAX: usize = 10_000;

/// The cards as they were, and how many were bound then.
#[derive(Default)]
struct Cards {
    leaves: Vec<Digest>,
    bound: u64,
    buyers: HashSet<BuyerRef>,
    /// Numbers with a card that does not count: it was forged, or its buyer has another.
    left_out: Vec<u32>,
}

impl Cards {
    fn add(&mut self, marks: &Marks, product: ProductId, number: u32, card: Option<&[u8]>) {
        let read = card.and_then(|card| marks.read_card(number, card));
        let counts = read.filter(|(buyer, _)| self.buyers.insert(*buyer));
        let is_there = card.is_some_and(|card| !card.is_empty());
        if counts.is_none() && is_there && self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(number);
        }
        self.leaves.push(leaf(product, number, counts));
    }

    /// Numbers that nobody has.
    fn nobody(&self) -> usize {
        self.leaves.len() - self.buyers.len()
    }
}

impl RedisRooms {
    /// Publishes the draw if it is not, reads the list if this node does not have it, and gives the public value that
    /// an operator has given here.
    pub(super) async fn draw_if_due(
        &self,
        gate: &GateHandle,
        mirror: &Mutex<Mirror>,
        now_ms: u64,
    ) -> Result<(), Unavailable> {
        let (drawn, published, unread, product) = {
            let mirror = mirror.lock();
            let unread = matches!(mirror.list, List::Unread);
            (mirror.drawn(), mirror.published(), unread, mirror.product)
        };
        let Some(drawn) = drawn else { return Ok(()) };
        if unread {
            let cards = read(gate, mirror, now_ms, drawn).await?;
            let (nobody, bound, left_out) = (cards.nobody(), cards.bound, cards.left_out);
            let tree = Tree::over(cards.leaves);
            let root = tree.root();
            if published.is_none() {
                let text = mirror.lock().marks.draw(drawn, &root);
                let draw = |keys: &Keys, known: &Known| {
                    calls::draw(keys, known, (drawn, bound), &text, &left_out)
                };
                ask(gate, mirror, now_ms, draw).await?;
            }
            let mirror = &mut *mirror.lock();
            match mirror.published() {
                // A card came meanwhile.
                None => {}
                Some((_, is)) if is == root => {
                    tracing::info!(%product, drawn, nobody, "a draw holds");
                    mirror.list = List::Held(Arc::new(tree));
                }
                // Read before another node's draw counted a card more.
                Some(_) if published.is_none() => {}
                Some(_) => {
                    tracing::error!(
                        %product,
                        drawn,
                        nobody,
                        "the list in Redis is not the one behind the published root: this node does not show it"
                    );
                    mirror.list = List::Differs;
                }
            }
        }
        let text = {
            let mirror = mirror.lock();
            let given = mirror.value_given.as_ref().filter(|_| mirror.public_value().is_none());
            given.map(|value| mirror.marks.value(value))
        };
        if let Some(text) = text {
            ask(gate, mirror, now_ms, |keys, known| calls::value(keys, known, &text)).await?;
        }
        Ok(())
    }
}

/// Reads the cards of all who were drawn.
async fn read(
    gate: &GateHandle,
    mirror: &Mutex<Mirror>,
    now_ms: u64,
    drawn: u32,
) -> Result<Cards, Unavailable> {
    let mut read = Cards::default();
    let product = mirror.lock().product;
    let mut first = 0;
    loop {
        let count = (drawn - first).min(CARDS_MAX);
        let cards = |keys: &Keys, known: &Known| calls::cards(keys, known, first, count);
        let answer = ask(gate, mirror, now_ms, cards).await?;
        let [bound, ::redis::Value::Array(cards)] = answer.as_slice() else {
            return Err(Unavailable);
        };
        if cards.len() != count as usize {
            return Err(Unavailable);
        }
        if first == 0 {
            read.bound = integer(bound).and_then(|bound| u64::try_from(bound).ok()).unwrap_or(0);
        }
        let mirror = mirror.lock();
        for (number, card) in (first..).zip(cards) {
            read.add(&mirror.marks, product, number, bytes(card));
        }
        first += count;
        if first >= drawn {
            return Ok(read);
        }
    }
}

fn leaf(product: ProductId, number: u32, card: Option<(BuyerRef, u64)>) -> Digest {
    match card {
        Some((buyer, issued_ms)) => {
            Ticket { product, number, issued_ms, buyer, pass_id: [0; 16] }.leaf()
        }
        None => nobodys_leaf(product, number),
    }
}
