//! What one node knows of one room: its copy of Redis's book, and what follows from it.
//!
//! It only goes forward: the number of the next ticket and the head never fall, a draw and a public value stay. What
//! bears no node's mark is not taken over and is put right by the next call.

use std::sync::Arc;

use super::calls::{Book, Keys, Known};
use super::marks::Marks;
use crate::chain::Digest;
use crate::merkle::Tree;
use crate::room::credit::Credit;
use crate::room::draw::{self, Draw};
use crate::room::permutation::Permutation;
use crate::room::rooms::View;
use crate::room::speed::Speed;
use crate::room::{Terms, Ticket};
use crate::sale::{BuyerRef, ProductId};

/// The list of those who were drawn.
#[derive(Debug, Clone, Default)]
pub(super) enum List {
    /// Not looked at yet.
    #[default]
    Unread,
    /// The list behind the published root.
    Held(Arc<Tree>),
    /// What Redis holds is not what was drawn.
    Differs,
}

/// See the module.
pub(super) struct Mirror {
    pub product: ProductId,
    pub keys: Keys,
    pub marks: Marks,
    pub known: Known,
    seed: [u8; 32],
    source: Arc<str>,
    head: u32,
    /// How many were here before the opening, at least.
    early: u32,
    /// How many were here at the opening, as Redis says; with the draw as a node says.
    drawn: Option<u32>,
    draw: Option<(u32, Digest)>,
    value: Option<String>,
    /// Once places are served.
    permutation: Option<Arc<Permutation>>,
    pub list: List,
    pub admitted: u32,
    total: u64,
    pub speed: Speed,
    /// Thousandths of admissions that this node may make, whatever Redis says, and since when that is counted.
    /// What this node may admit, as if it were alone.
    own_credit: Credit,
    /// What an operator has given here.
    pub value_given: Option<String>,
    /// Texts in Redis that no node has written.
    pub forged: u64,
}

impl Mirror {
    pub(super) fn new(
        product: ProductId,
        seed: [u8; 32],
        source: Arc<str>,
        key: aws_lc_rs::hmac::Key,
    ) -> Self {
        Self {
            product,
            keys: Keys::new(&product),
            marks: Marks::new(key, product),
            known: Known::default(),
            seed,
            source,
            head: 0,
            early: 0,
            drawn: None,
            draw: None,
            value: None,
            permutation: None,
            list: List::Unread,
            admitted: 0,
            total: 0,
            speed: Speed::default(),
            own_credit: Credit::default(),
            value_given: None,
            forged: 0,
        }
    }

    /// Takes over what Redis says, as far as it can be trusted.
    pub(super) fn take(&mut self, book: Book, now_ms: u64) {
        self.known.next = self.known.next.max(book.next);
        self.total = self.total.max(book.total);
        self.take_head(book.head);
        self.take_draw(book.draw);
        self.take_value(book.value);
        self.drawn = match (self.draw, book.drawn) {
            (Some((drawn, _)), _) => Some(drawn),
            // Whoever was here before the opening is not left out.
            (None, Some(drawn)) => Some(drawn.max(self.early)),
            (None, None) => {
                self.early = self.known.next;
                None
            }
        };
        if self.permutation.is_none()
            && let Some((drawn, root)) = self.draw
            && (self.source.is_empty() || self.value.is_some())
        {
            let value = self.value.as_deref().unwrap_or_default();
            let permutation = draw::permutation(&self.product, &self.seed, drawn, &root, value);
            self.permutation = Some(Arc::new(permutation));
            self.speed = Speed::since(now_ms);
            self.own_credit = Credit::since(now_ms);
        }
    }

    fn take_head(&mut self, text: Vec<u8>) {
        if text == self.known.head.as_bytes() || text.is_empty() {
            return;
        }
        match (self.marks.read_head(&text), String::from_utf8(text)) {
            (Some(head), Ok(text)) if head >= self.head => {
                self.head = head;
                self.known.head = text;
            }
            // An older one: the next call puts it right.
            (Some(_), _) => {}
            (None, text) => {
                let text = bytes_of(text);
                if self.known.forged_head != text {
                    self.known.forged_head = text;
                    self.found_forged("the head of a waiting room");
                }
            }
        }
    }

    fn take_draw(&mut self, text: Vec<u8>) {
        if text == self.known.draw.as_bytes() || text.is_empty() {
            return;
        }
        match (self.marks.read_draw(&text), String::from_utf8(text)) {
            (Some(draw), Ok(text)) => {
                if self.draw.is_some() {
                    // Both by a node: Redis was emptied just when the draw was made. All follow the later one.
                    tracing::error!(product = %self.product, "a draw was published anew");
                    self.permutation = None;
                }
                self.draw = Some(draw);
                self.known.draw = text;
                self.list = List::Unread;
            }
            (_, text) => {
                let text = bytes_of(text);
                if self.known.forged_draw != text {
                    self.known.forged_draw = text;
                    self.found_forged("the draw of a waiting room");
                }
            }
        }
    }

    fn take_value(&mut self, text: Vec<u8>) {
        if text == self.known.value.as_bytes() || text.is_empty() {
            return;
        }
        match (self.marks.read_value(&text), String::from_utf8(text)) {
            (Some(value), Ok(text)) if self.value.is_none() => {
                self.value = Some(value);
                self.known.value = text;
            }
            (Some(_), _) => {}
            (None, text) => {
                let text = bytes_of(text);
                if self.known.forged_value != text {
                    self.known.forged_value = text;
                    self.found_forged("the public value of a draw");
                }
            }
        }
    }

    fn found_forged(&mut self, what: &'static str) {
        self.forged += 1;
        tracing::error!(product = %self.product, what, "Redis holds what no node has written");
    }

    pub(super) fn head(&self) -> u32 {
        self.head
    }

    pub(super) fn drawn(&self) -> Option<u32> {
        self.drawn
    }

    pub(super) fn published(&self) -> Option<(u32, Digest)> {
        self.draw
    }

    pub(super) fn public_value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    pub(super) fn is_serving(&self) -> bool {
        self.permutation.is_some()
    }

    /// The place of a ticket's number; `None` before the draw.
    pub(super) fn place(&self, number: u32) -> Option<u32> {
        if self.drawn.is_some_and(|drawn| number >= drawn) {
            return Some(number);
        }
        self.permutation.as_ref()?.place(number)
    }

    /// Whether a number was drawn that nobody has: no ticket is good for it.
    pub(super) fn is_nobodys(&self, number: u32) -> bool {
        let List::Held(tree) = &self.list else { return false };
        let nobodys = nobodys_leaf(self.product, number);
        tree.leaves().get(number as usize) == Some(&nobodys)
    }

    /// The numbers of the next places, in their order.
    pub(super) fn next_numbers(&self, most: u32) -> Vec<u32> {
        let Some(permutation) = &self.permutation else { return Vec::new() };
        let last = self.head.saturating_add(most).min(self.known.next);
        (self.head..last).map(|place| permutation.number(place).unwrap_or(place)).collect()
    }

    /// How many this node may let in now, as if it were alone.
    pub(super) fn own_credit(&mut self, terms: &Terms, now_ms: u64) -> u64 {
        self.own_credit.admissions(terms.rate_per_second, now_ms)
    }

    /// So many were let in by this node.
    pub(super) fn let_in(&mut self, count: usize) {
        self.admitted = self.admitted.saturating_add(count as u32);
        self.own_credit.spend(count as u64);
    }

    pub(super) fn published_draw(&self) -> Draw {
        Draw::published(
            &self.product,
            &self.seed,
            &self.source,
            self.draw,
            self.value.clone(),
            self.is_serving(),
        )
    }

    pub(super) fn view(&self, terms: &Terms) -> View {
        View {
            phase: match (self.drawn, &self.permutation) {
                (None, _) => "arriving",
                (Some(_), None) => "drawing",
                (Some(_), Some(_)) => "serving",
            },
            head: self.head,
            places: self.known.next,
            admitted: self.admitted,
            admitted_total: self.total,
            wait_seconds: self
                .speed
                .wait_seconds(self.known.next.saturating_sub(self.head), terms.rate_per_second),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let tree = match &self.list {
            List::Held(tree) => tree.bytes(),
            List::Unread | List::Differs => 0,
        };
        size_of::<Self>() + tree
    }

    /// Whether anybody has ever come.
    pub(super) fn is_entered(&self) -> bool {
        self.known.next > 0 || self.drawn.is_some()
    }
}

/// The leaf of a number that nobody has: that of a ticket given to nobody at no time.
pub(super) fn nobodys_leaf(product: ProductId, number: u32) -> Digest {
    let buyer = BuyerRef::from_bytes([0; 16]);
    Ticket { product, number, issued_ms: 0, buyer, pass_id: [0; 16] }.leaf()
}

fn bytes_of(text: Result<String, std::string::FromUtf8Error>) -> Vec<u8> {
    match text {
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}
