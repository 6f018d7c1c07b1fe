//! The rooms of a node, each with its queue and its draw.
//!
//! A room begins with its first shopper. Its seed follows from the order key and the product, so that a restart
//! commits to the same one; its queue is in memory. One short lock a room; the map of rooms is read without one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::doors::Doors;
use super::draw::{self, Draw, Proof};
use super::queue::{Full, Phase, Queue, Standing, Supply, Terms};
use super::ticket::{Ticket, TicketKey};
use crate::chain::Digest;
use crate::config;
use crate::keys::IdentityKeys;
use crate::merkle::Tree;
use crate::sale::{BuyerRef, ProductId};

type Map = HashMap<ProductId, Arc<Mutex<Room>>>;

/// The rooms of a node.
pub struct Rooms {
    doors: Arc<Doors>,
    terms: Terms,
    source: String,
    key: TicketKey,
    identity: Arc<IdentityKeys>,
    rooms: ArcSwap<Map>,
}

/// One product's room.
#[derive(Debug)]
struct Room {
    product: ProductId,
    queue: Queue,
    source: String,
    seed: [u8; 32],
    /// Over the early, once they are fixed.
    tree: Tree,
    public_value: Option<String>,
}

/// How a room stands, for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// `arriving`, `drawing` or `serving`.
    pub phase: &'static str,
    /// The next place to serve.
    pub head: u32,
    /// Places that were given out.
    pub places: u32,
    /// Admitted, and neither bought nor over.
    pub admitted: u32,
    /// Admissions since the beginning.
    pub admitted_total: u64,
    /// About how long somebody waits who comes now, in seconds.
    pub wait_seconds: Option<u64>,
}

impl View {
    /// That of a room which nobody has entered.
    pub fn empty(opened: bool) -> Self {
        Self {
            phase: if opened { "serving" } else { "arriving" },
            head: 0,
            places: 0,
            admitted: 0,
            admitted_total: 0,
            wait_seconds: Some(0),
        }
    }
}

/// How it stands with one ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its standing.
    pub standing: Standing,
    /// About how long it waits, in seconds.
    pub wait_seconds: Option<u64>,
}

/// Why a public value is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// No source was announced.
    #[error("no source of a public value was announced (room.public_value_source)")]
    NoSource,
    /// The root is not fixed yet, or nobody has entered.
    #[error("the draw has not begun: the value is given after the root is published")]
    TooEarly,
    /// It was given already.
    #[error("the public value was given already, and stays")]
    Already,
}

impl Room {
    fn new(rooms: &Rooms, product: ProductId, now_ms: u64) -> Self {
        Self {
            product,
            queue: Queue::new(rooms.terms, now_ms),
            source: rooms.source.clone(),
            seed: rooms.identity.draw_seed(&product),
            tree: Tree::default(),
            public_value: None,
        }
    }

    /// Notes the opening, at once when it has come.
    fn observe(&mut self, now_ms: u64, supply: Supply) {
        if supply.opened && *self.queue.phase() == Phase::Arriving {
            let product = self.product;
            let leaf = |(number, (buyer, issued_ms)): (u32, (BuyerRef, u64))| {
                Ticket { product, number, issued_ms, buyer, pass_id: [0; 16] }.leaf()
            };
            self.tree = Tree::over((0..).zip(self.queue.early()).map(leaf).collect());
            self.queue.seal();
        }
        if *self.queue.phase() == Phase::Sealed
            && (self.source.is_empty() || self.public_value.is_some())
        {
            let value = self.public_value.as_deref().unwrap_or_default();
            let entrants = self.tree.leaves().len() as u32;
            let permutation =
                draw::permutation(&self.product, &self.seed, entrants, &self.tree.root(), value);
            self.queue.serve(permutation, now_ms);
        }
    }

    fn draw(&self) -> Draw {
        let fixed = *self.queue.phase() != Phase::Arriving;
        let drawn = matches!(self.queue.phase(), Phase::Serving(_));
        let fixed = fixed.then(|| (self.tree.leaves().len() as u32, self.tree.root()));
        let value = self.public_value.clone();
        Draw::published(&self.product, &self.seed, &self.source, fixed, value, drawn)
    }

    fn view(&self) -> View {
        let queue = &self.queue;
        View {
            phase: match queue.phase() {
                Phase::Arriving => "arriving",
                Phase::Sealed => "drawing",
                Phase::Serving(_) => "serving",
            },
            head: queue.head(),
            places: queue.places(),
            admitted: queue.admitted(),
            admitted_total: queue.admitted_total(),
            wait_seconds: queue.wait_seconds(queue.places().saturating_sub(queue.head())),
        }
    }
}

impl Rooms {
    /// No rooms yet.
    pub fn new(
        config: &config::room::Room,
        identity: Arc<IdentityKeys>,
        doors: Arc<Doors>,
    ) -> Self {
        Self {
            doors,
            terms: Terms::of(config),
            source: config.public_value_source.clone(),
            key: TicketKey::new(identity.ticket_key()),
            identity,
            rooms: ArcSwap::default(),
        }
    }

    /// Which products have a room.
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// The key of the tickets.
    pub fn key(&self) -> &TicketKey {
        &self.key
    }

    /// The products whose rooms somebody has entered.
    pub fn entered(&self) -> Vec<ProductId> {
        self.rooms.load().keys().copied().collect()
    }

    /// A place for this buyer: the one they have, or the next. The product must be one that there is.
    ///
    /// # Errors
    /// If there is no room for one more.
    pub fn enter(
        &self,
        product: ProductId,
        buyer: BuyerRef,
        pass_id: [u8; 16],
        now_ms: u64,
        supply: Supply,
    ) -> Result<Ticket, Full> {
        let room = self.room(product, now_ms);
        let mut room = room.lock();
        // Before anybody enters: who comes after the opening is not drawn.
        room.observe(now_ms, supply);
        let (number, issued_ms) = room.queue.enter(buyer, now_ms)?;
        Ok(Ticket { product, number, issued_ms, buyer, pass_id })
    }

    /// How it stands with a ticket, whose holder is heard of by it.
    pub fn poll(&self, ticket: &Ticket, now_ms: u64) -> Seen {
        let Some(room) = self.find(&ticket.product) else {
            return Seen { standing: Standing::Unknown, wait_seconds: None };
        };
        let queue = &mut room.lock().queue;
        let standing = queue.poll(ticket.number, ticket.issued_ms, &ticket.buyer, now_ms);
        let wait_seconds = match standing {
            Standing::Waiting { ahead, .. } => queue.wait_seconds(ahead),
            _ => None,
        };
        Seen { standing, wait_seconds }
    }

    /// This buyer's latest ticket.
    pub fn of_buyer(
        &self,
        product: &ProductId,
        buyer: &BuyerRef,
        pass_id: [u8; 16],
    ) -> Option<Ticket> {
        let (number, issued_ms) = self.find(product)?.lock().queue.of_buyer(buyer)?;
        Some(Ticket { product: *product, number, issued_ms, buyer: *buyer, pass_id })
    }

    /// The buyer has bought, or cannot any more: their admission is used.
    pub fn spend(&self, product: &ProductId, buyer: &BuyerRef) {
        if let Some(room) = self.find(product) {
            room.lock().queue.spend(buyer);
        }
    }

    /// Lets in whose turn it is, in every room. `supply` says how a sale stands; of one that is not there any more
    /// nobody is let in.
    pub fn tick(&self, now_ms: u64, supply: impl Fn(&ProductId) -> Option<Supply>) {
        for (product, room) in self.rooms.load().iter() {
            let Some(supply) = supply(product) else { continue };
            let mut room = room.lock();
            room.observe(now_ms, supply);
            room.queue.tick(now_ms, supply);
        }
    }

    /// How a room stands; one that nobody has entered yet is empty.
    pub fn view(&self, product: &ProductId, opened: bool) -> View {
        match self.find(product) {
            Some(room) => room.lock().view(),
            None => View::empty(opened),
        }
    }

    /// What is published of a product's draw.
    pub fn draw(&self, product: &ProductId) -> Draw {
        match self.find(product) {
            Some(room) => room.lock().draw(),
            // Nobody has entered: all that there is to say is the commitment.
            None => Room::new(self, *product, 0).draw(),
        }
    }

    /// That a number is among the entrants; `None` before they are fixed, or if it is not.
    pub fn proof(&self, product: &ProductId, number: u32) -> Option<Proof> {
        let room = self.find(product)?;
        let room = room.lock();
        Proof::of(&room.tree, number)
    }

    /// The leaves of all entrants; none before they are fixed.
    pub fn entrants(&self, product: &ProductId) -> Vec<Digest> {
        self.find(product).map(|room| room.lock().tree.leaves().to_vec()).unwrap_or_default()
    }

    /// Takes the public value of a draw whose root is published.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn set_public_value(&self, product: &ProductId, value: String) -> Result<(), NotTaken> {
        if self.source.is_empty() {
            return Err(NotTaken::NoSource);
        }
        let room = self.find(product).ok_or(NotTaken::TooEarly)?;
        let mut room = room.lock();
        match room.queue.phase() {
            Phase::Arriving => Err(NotTaken::TooEarly),
            Phase::Serving(_) => Err(NotTaken::Already),
            Phase::Sealed if room.public_value.is_some() => Err(NotTaken::Already),
            Phase::Sealed => {
                room.public_value = Some(value);
                Ok(())
            }
        }
    }

    /// Bytes that all rooms take.
    pub fn bytes(&self) -> usize {
        self.rooms
            .load()
            .values()
            .map(|room| {
                let room = room.lock();
                room.queue.bytes() + room.tree.bytes()
            })
            .sum()
    }

    fn find(&self, product: &ProductId) -> Option<Arc<Mutex<Room>>> {
        self.rooms.load().get(product).cloned()
    }

    fn room(&self, product: ProductId, now_ms: u64) -> Arc<Mutex<Room>> {
        if let Some(room) = self.find(&product) {
            return room;
        }
        let new = Arc::new(Mutex::new(Room::new(self, product, now_ms)));
        // Of two who come first at once one makes the room; both get that one.
        self.rooms.rcu(|rooms| {
            let mut rooms = Map::clone(rooms);
            rooms.entry(product).or_insert_with(|| new.clone());
            rooms
        });
        self.find(&product).unwrap_or(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::draw::{Evidence, verify};

    const T0: u64 = 1_800_000_000_000;

    fn rooms(source: &str) -> Rooms {
        let config = config::room::Room {
            public_value_source: source.to_owned(),
            admit_per_second: 1_000,
            ..config::room::Room::default()
        };
        let identity = Arc::new(IdentityKeys::new(&[1; 32], &[2; 32]));
        Rooms::new(&config, identity, Arc::default())
    }

    fn lamp() -> ProductId {
        "lamp".parse().unwrap()
    }

    fn supply(opened: bool) -> Supply {
        Supply { opened, selling: opened, units_left: 1_000 }
    }

    fn enter(rooms: &Rooms, number: u8, opened: bool) -> Ticket {
        let buyer = BuyerRef::from_bytes([number; 16]);
        rooms.enter(lamp(), buyer, [0; 16], T0 + u64::from(number), supply(opened)).unwrap()
    }

    #[test]
    fn what_was_published_before_and_after_verifies_for_every_ticket() {
        let rooms = rooms("");
        let unborn = rooms.draw(&lamp());
        let tickets: Vec<Ticket> = (0..40).map(|number| enter(&rooms, number, false)).collect();
        let before = rooms.draw(&lamp());
        assert_eq!(unborn, before);
        assert_eq!((before.entrants, &before.root, &before.seed), (None, &None, &None));
        assert!(rooms.proof(&lamp(), 3).is_none());
        let late = enter(&rooms, 77, true);
        let draw = rooms.draw(&lamp());
        assert_eq!(draw.entrants, Some(40));
        for ticket in tickets.into_iter().chain([late]) {
            let Standing::Waiting { place, .. } = rooms.poll(&ticket, T0 + 100).standing else {
                panic!("{ticket:?}")
            };
            let evidence = Evidence {
                before: Some(before.clone()),
                entrants: Some(rooms.entrants(&lamp())),
                ticket: Some(ticket),
                proof: rooms.proof(&lamp(), ticket.number),
                place: Some(place),
            };
            assert_eq!(verify(&draw, &evidence).unwrap().place, Some(place));
        }
    }

    #[test]
    fn the_seed_stays_closed_until_the_public_value_is_there() {
        let rooms = rooms("drand round 1");
        let ticket = enter(&rooms, 1, false);
        assert_eq!(rooms.set_public_value(&lamp(), "x".into()), Err(NotTaken::TooEarly));
        rooms.tick(T0 + 1_000, |_| Some(supply(true)));
        let sealed = rooms.draw(&lamp());
        assert_eq!((sealed.entrants, &sealed.seed), (Some(1), &None));
        assert_eq!(rooms.poll(&ticket, T0 + 1_000).standing, Standing::Early);
        assert_eq!(rooms.view(&lamp(), true).phase, "drawing");
        assert_eq!(rooms.set_public_value(&lamp(), "x".into()), Ok(()));
        assert_eq!(rooms.set_public_value(&lamp(), "y".into()), Err(NotTaken::Already));
        rooms.tick(T0 + 2_000, |_| Some(supply(true)));
        let draw = rooms.draw(&lamp());
        assert!(verify(&draw, &Evidence { before: Some(sealed), ..Evidence::default() }).is_ok());
    }

    #[test]
    fn a_restart_commits_to_the_same_seed() {
        assert_eq!(rooms("").draw(&lamp()).commitment, rooms("").draw(&lamp()).commitment);
        assert_ne!(rooms("").draw(&lamp()).commitment, rooms("x").draw(&lamp()).commitment);
    }
}
