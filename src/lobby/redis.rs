//! The waiting rooms of many nodes, in Redis.
//!
//! Redis counts, nodes decide, and what decides about a place bears a node's mark ([`marks`]). Invariants:
//! - A ticket's number is given to nobody else, and a ticket is given only for a card that this node has marked.
//! - Whoever is admitted has a place before the head, whose mark only nodes make: no writing to Redis lets anybody in
//!   before their turn.
//! - A turn counts only if nobody has taken one since, and within rate and units, counted in Redis over all nodes;
//!   no node lets in more than the rate by itself, whatever Redis says.
//! - What a node knows goes with each of its calls, so a Redis that was emptied goes on where the nodes are; those who
//!   wait take up their places with their tickets (`mirror.rs`, `room.lua`).
//! - Without Redis nobody comes in and nobody is let in. Who is admitted buys: their pass says so.
//!
//! The draw is made in `drawing.rs`, turns are taken in `serving.rs`.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;

use self::calls::{Keys, Known, bytes, integer};
use self::marks::{CARD_BYTES, short_card};
use self::mirror::{List, Mirror};
use super::{NotEntered, NotGiven, Stock, Unavailable};
use crate::chain::Digest;
use crate::config;
use crate::gate::GateHandle;
use crate::gate::redis::NotCalled;
use crate::keys::IdentityKeys;
use crate::room::draw::{Draw, Proof};
use crate::room::queue::Full;
use crate::room::rooms::{NotTaken, Seen, View};
use crate::room::{Doors, Standing, Supply, Terms, Ticket, TicketKey};
use crate::sale::{BuyerRef, ProductId};

mod calls;
mod drawing;
mod marks;
mod mirror;
mod serving;

/// How often one who wants a place tries, when another call of theirs is being served.
const TRIES_MAX: u32 = 10;
/// How long they wait in between.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// How long an operator waits for the public value to be taken.
const VALUE_TIMEOUT: Duration = Duration::from_secs(3);
/// Admissions whose use could not be told yet, at most; what is beyond ends by itself.
const UNTOLD_MAX: usize = 10_000;

type Map = HashMap<ProductId, Arc<Mutex<Mirror>>>;

/// The rooms.
pub struct RedisRooms {
    doors: Arc<Doors>,
    terms: Terms,
    source: Arc<str>,
    key: TicketKey,
    identity: Arc<IdentityKeys>,
    mirrors: ArcSwap<Map>,
    untold: Mutex<Vec<(ProductId, BuyerRef)>>,
}

impl RedisRooms {
    /// Nothing is known of any room.
    pub fn new(
        config: &config::room::Room,
        identity: Arc<IdentityKeys>,
        doors: Arc<Doors>,
    ) -> Self {
        Self {
            doors,
            terms: Terms::of(config),
            source: config.public_value_source.as_str().into(),
            key: TicketKey::new(identity.ticket_key()),
            identity,
            mirrors: ArcSwap::default(),
            untold: Mutex::default(),
        }
    }

    pub(super) fn doors(&self) -> &Doors {
        &self.doors
    }

    pub(super) fn key(&self) -> &TicketKey {
        &self.key
    }

    pub(super) fn entered(&self) -> Vec<ProductId> {
        let mirrors = self.mirrors.load();
        let entered = mirrors.iter().filter(|(_, mirror)| mirror.lock().is_entered());
        entered.map(|(product, _)| *product).collect()
    }

    pub(super) async fn enter(
        &self,
        gate: &GateHandle,
        (product, buyer, pass_id): (ProductId, BuyerRef, [u8; 16]),
        now_ms: u64,
        supply: Supply,
    ) -> Result<Ticket, NotEntered> {
        let mirror = self.mirror(product);
        let short = short_card(now_ms, &buyer);
        let most = self.terms.waiting_max;
        for _ in 0..TRIES_MAX {
            let take =
                |keys: &Keys, known: &Known| calls::take(keys, known, supply.opened, &short, most);
            let answer = ask(gate, &mirror, now_ms, take).await?;
            let [kind, number, card] = answer.as_slice() else { return Err(Unavailable.into()) };
            let number = u32_of(number)?;
            let issued_ms = match integer(kind) {
                Some(0) => {
                    let card = mirror.lock().marks.card(number, now_ms, &buyer);
                    self.bind(gate, &mirror, now_ms, number, &card).await?.then_some(now_ms)
                }
                Some(1) => Some(read_card(&mirror, number, card, &buyer).ok_or(Unavailable)?),
                Some(2) => return Err(Full.into()),
                _ => None,
            };
            if let Some(issued_ms) = issued_ms {
                return Ok(Ticket { product, number, issued_ms, buyer, pass_id });
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        Err(Unavailable.into())
    }

    /// Marks a place that was just taken. `false`: it came too late for the draw, or another one was taken.
    async fn bind(
        &self,
        gate: &GateHandle,
        mirror: &Mutex<Mirror>,
        now_ms: u64,
        number: u32,
        card: &[u8; CARD_BYTES],
    ) -> Result<bool, Unavailable> {
        let bind = |keys: &Keys, known: &Known| calls::bind(keys, known, number, card);
        let answer = ask(gate, mirror, now_ms, bind).await?;
        Ok(answer.first().and_then(integer) == Some(1))
    }

    pub(super) async fn poll(
        &self,
        gate: &GateHandle,
        ticket: &Ticket,
        now_ms: u64,
    ) -> Result<Seen, Unavailable> {
        let mirror = self.mirror(ticket.product);
        let number = ticket.number;
        let (card, place) = {
            let mirror = mirror.lock();
            if let (List::Held(tree), Some((drawn, _))) = (&mirror.list, mirror.published())
                && number < drawn
                && tree.leaves().get(number as usize) != Some(&ticket.leaf())
            {
                // It was not drawn: this number was another's, or nobody's.
                return Ok(Seen { standing: Standing::Unknown, wait_seconds: None });
            }
            let card = mirror.marks.card(number, ticket.issued_ms, &ticket.buyer);
            (card, mirror.place(number))
        };
        let poll = |keys: &Keys, known: &Known| calls::poll(keys, known, number, &card, place);
        let answer = ask(gate, &mirror, now_ms, poll).await?;
        let [code, lasts_ms] = answer.as_slice() else { return Err(Unavailable) };
        let lasts_ms = integer(lasts_ms).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        let mirror = mirror.lock();
        let waits = |place: Option<u32>| match place {
            None => Standing::Early,
            // Its turn has been, whatever Redis says now.
            Some(place) if place < mirror.head() => Standing::Passed,
            Some(place) => Standing::Waiting { place, ahead: place - mirror.head() },
        };
        let place = mirror.place(number);
        let turn_has_come = place.is_some_and(|place| place < mirror.head());
        let standing = match integer(code) {
            Some(1) if turn_has_come => Standing::Admitted { until_ms: now_ms + lasts_ms },
            Some(2) => Standing::Spent,
            Some(3) => Standing::Lapsed,
            Some(4) => Standing::Passed,
            Some(0 | 1) => waits(place),
            _ => Standing::Unknown,
        };
        let wait_seconds = match standing {
            Standing::Waiting { ahead, .. } => {
                mirror.speed.wait_seconds(ahead, self.terms.rate_per_second)
            }
            _ => None,
        };
        Ok(Seen { standing, wait_seconds })
    }

    pub(super) async fn of_buyer(
        &self,
        gate: &GateHandle,
        product: &ProductId,
        buyer: &BuyerRef,
        pass_id: [u8; 16],
    ) -> Result<Option<Ticket>, Unavailable> {
        let mirror = self.mirror(*product);
        let find = |keys: &Keys, known: &Known| calls::find(keys, known, buyer);
        // The book alone is taken over; no time is needed for it.
        let answer = ask(gate, &mirror, 0, find).await?;
        let [number, card] = answer.as_slice() else { return Err(Unavailable) };
        let Ok(number) = u32_of(number) else { return Ok(None) };
        let issued_ms = read_card(&mirror, number, card, buyer);
        let ticket =
            |issued_ms| Ticket { product: *product, number, issued_ms, buyer: *buyer, pass_id };
        Ok(issued_ms.map(ticket))
    }

    pub(super) async fn spend(
        &self,
        gate: &GateHandle,
        product: &ProductId,
        buyer: &BuyerRef,
        stock: Stock,
    ) {
        if self.try_spend(gate, product, buyer, stock).await.is_err() {
            let mut untold = self.untold.lock();
            if untold.len() < UNTOLD_MAX {
                untold.push((*product, *buyer));
            }
        }
    }

    /// Whether there was an admission that is used now.
    async fn try_spend(
        &self,
        gate: &GateHandle,
        product: &ProductId,
        buyer: &BuyerRef,
        stock: Stock,
    ) -> Result<bool, Unavailable> {
        let mirror = self.mirror(*product);
        let spend = |keys: &Keys, known: &Known| calls::spend(keys, known, buyer, stock);
        let answer = ask(gate, &mirror, 0, spend).await?;
        Ok(answer.first().and_then(integer) == Some(1))
    }

    /// Takes over what an answer of Redis's says of a room, as every call does; `false` if it is none of our functions'.
    pub fn hear(&self, product: ProductId, answer: Value, now_ms: u64) -> bool {
        take_over(&self.mirror(product), answer, now_ms).is_some()
    }

    /// How a room stands, as far as this node has heard.
    pub fn view(&self, product: &ProductId, opened: bool) -> View {
        match self.find(product) {
            Some(mirror) if mirror.lock().is_entered() => mirror.lock().view(&self.terms),
            _ => View::empty(opened),
        }
    }

    /// What is published of a draw, as far as this node has heard.
    pub fn draw(&self, product: &ProductId) -> Draw {
        match self.find(product) {
            Some(mirror) => mirror.lock().published_draw(),
            None => {
                let seed = self.identity.draw_seed(product);
                Draw::published(product, &seed, &self.source, None, None, false)
            }
        }
    }

    pub(super) fn proof(
        &self,
        product: &ProductId,
        number: u32,
    ) -> Result<Option<Proof>, Unavailable> {
        Ok(self.list(product)?.and_then(|tree| Proof::of(&tree, number)))
    }

    pub(super) fn entrants(&self, product: &ProductId) -> Result<Vec<Digest>, Unavailable> {
        Ok(self.list(product)?.map(|tree| tree.leaves().to_vec()).unwrap_or_default())
    }

    /// The list behind the root; `None` before there is one.
    fn list(&self, product: &ProductId) -> Result<Option<Arc<crate::merkle::Tree>>, Unavailable> {
        let Some(mirror) = self.find(product) else { return Ok(None) };
        let mirror = mirror.lock();
        match (&mirror.list, mirror.published()) {
            (_, None) => Ok(None),
            (List::Held(tree), _) => Ok(Some(tree.clone())),
            (List::Unread | List::Differs, Some(_)) => Err(Unavailable),
        }
    }

    pub(super) async fn set_public_value(
        &self,
        product: &ProductId,
        value: String,
    ) -> Result<(), NotGiven> {
        if self.source.is_empty() {
            return Err(NotTaken::NoSource.into());
        }
        let mirror = self.find(product).ok_or(NotTaken::TooEarly)?;
        {
            let mut mirror = mirror.lock();
            if mirror.published().is_none() {
                return Err(NotTaken::TooEarly.into());
            }
            if mirror.public_value().is_some() || mirror.value_given.is_some() {
                return Err(NotTaken::Already.into());
            }
            mirror.value_given = Some(value.clone());
        }
        // The next turn tells Redis.
        let taken = async {
            loop {
                if let Some(taken) = mirror.lock().public_value() {
                    return taken == value;
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
        };
        let taken = tokio::time::timeout(VALUE_TIMEOUT, taken).await;
        mirror.lock().value_given = None;
        match taken {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotTaken::Already.into()),
            Err(_elapsed) => Err(Unavailable.into()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.mirrors.load().values().map(|mirror| mirror.lock().bytes()).sum()
    }

    /// Texts that were found in Redis and that no node has written; and products whose list is not the one that was
    /// drawn.
    pub fn faults(&self) -> (u64, usize) {
        let mirrors = self.mirrors.load();
        let differs = |mirror: &Mirror| matches!(mirror.list, List::Differs);
        let forged = mirrors.values().map(|mirror| mirror.lock().forged).sum();
        (forged, mirrors.values().filter(|mirror| differs(&mirror.lock())).count())
    }

    fn find(&self, product: &ProductId) -> Option<Arc<Mutex<Mirror>>> {
        self.mirrors.load().get(product).cloned()
    }

    fn mirror(&self, product: ProductId) -> Arc<Mutex<Mirror>> {
        if let Some(mirror) = self.find(&product) {
            return mirror;
        }
        let seed = self.identity.draw_seed(&product);
        let key = self.identity.ticket_key();
        let new = Arc::new(Mutex::new(Mirror::new(product, seed, self.source.clone(), key)));
        self.mirrors.rcu(|mirrors| {
            let mut mirrors = Map::clone(mirrors);
            mirrors.entry(product).or_insert_with(|| new.clone());
            mirrors
        });
        self.find(&product).unwrap_or(new)
    }
}

/// Calls a function and takes over the book; what the function itself says.
async fn ask(
    gate: &GateHandle,
    mirror: &Mutex<Mirror>,
    now_ms: u64,
    call: impl FnOnce(&Keys, &Known) -> Cmd,
) -> Result<Vec<Value>, Unavailable> {
    let handle = gate.redis().ok_or(Unavailable)?;
    let call = {
        let mirror = mirror.lock();
        call(&mirror.keys, &mirror.known)
    };
    let value = match handle.call(&call).await {
        Ok(value) => value,
        Err(error) => {
            let (mend, product) = {
                let mirror = mirror.lock();
                (calls::mend(&mirror.keys), mirror.product)
            };
            tracing::debug!(%error, %product, "a waiting room could not be asked");
            if matches!(&error, NotCalled::Redis(error) if error.code().is_some()) {
                let _ = handle.call(&mend).await;
            }
            return Err(Unavailable);
        }
    };
    take_over(mirror, value, now_ms).ok_or(Unavailable)
}

/// Takes over what an answer says of the room; what it says beside that. `None`: it is none of our functions'.
fn take_over(mirror: &Mutex<Mirror>, answer: Value, now_ms: u64) -> Option<Vec<Value>> {
    let (said, book) = calls::answer(answer)?;
    mirror.lock().take(book, now_ms);
    Some(said)
}

fn u32_of(value: &Value) -> Result<u32, Unavailable> {
    integer(value).and_then(|number| u32::try_from(number).ok()).ok_or(Unavailable)
}

/// When a card was given; `None` for one that is not this buyer's, or that no node has made.
fn read_card(mirror: &Mutex<Mirror>, number: u32, card: &Value, buyer: &BuyerRef) -> Option<u64> {
    let mirror = mirror.lock();
    let (of, issued_ms) = mirror.marks.read_card(number, bytes(card)?)?;
    (of == *buyer).then_some(issued_ms)
}
