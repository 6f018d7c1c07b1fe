//! The waiting rooms of a node: in its own memory, or with the other nodes in Redis.
//!
//! Both keep the same tickets, draw and rules ([`crate::room`]) and pass one contract test. What the memory of one
//! process answers is never [`Unavailable`]; Redis may be, and then nobody is let in: who was admitted buys, for
//! that the gate and this are not asked.

use std::sync::Arc;

use crate::chain::Digest;
use crate::config;
use crate::gate::GateHandle;
use crate::keys::IdentityKeys;
use crate::room::draw::{Draw, Proof};
use crate::room::queue::Full;
use crate::room::rooms::{NotTaken, Seen, View};
use crate::room::{Doors, Rooms, Supply, Ticket, TicketKey};
use crate::sale::{BuyerRef, ProductId};

#[cfg(feature = "distributed")]
pub mod redis;
#[cfg(test)]
mod tests;

#[cfg(feature = "distributed")]
pub use redis::RedisRooms;

/// The rooms of a node: a closed set of backends.
pub enum Lobby {
    /// Of one node: in its memory.
    Memory(Rooms),
    /// Of many nodes: in Redis.
    #[cfg(feature = "distributed")]
    Redis(RedisRooms),
}

/// How a sale stands, as of an offset of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// How.
    pub supply: Supply,
    /// As of it.
    pub offset: u64,
}

/// The queue cannot be asked at this moment; nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the waiting room cannot be asked at this moment")]
pub struct Unavailable;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEntered {
    /// There is no room for one more.
    #[error(transparent)]
    Full(#[from] Full),
    /// The queue cannot be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a public value is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// It is not taken.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The queue cannot be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Lobby {
    /// No room is open yet.
    pub fn new(config: &config::Config, identity: Arc<IdentityKeys>, doors: Arc<Doors>) -> Self {
        #[cfg(feature = "distributed")]
        if config.is_distributed() {
            return Self::Redis(RedisRooms::new(&config.room, identity, doors));
        }
        Self::Memory(Rooms::new(&config.room, identity, doors))
    }

    /// Which products have a room.
    pub fn doors(&self) -> &Doors {
        match self {
            Self::Memory(rooms) => rooms.doors(),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.doors(),
        }
    }

    /// The key of the tickets.
    pub fn key(&self) -> &TicketKey {
        match self {
            Self::Memory(rooms) => rooms.key(),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.key(),
        }
    }

    /// The products whose rooms somebody has entered.
    pub fn entered(&self) -> Vec<ProductId> {
        match self {
            Self::Memory(rooms) => rooms.entered(),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.entered(),
        }
    }

    /// A place for this buyer: the one they have, or the next. The product must be one that there is.
    ///
    /// # Errors
    /// There is no room for one more, or the queue cannot be asked.
    pub async fn enter(
        &self,
        gate: &GateHandle,
        (product, buyer, pass_id): (ProductId, BuyerRef, [u8; 16]),
        now_ms: u64,
        supply: Supply,
    ) -> Result<Ticket, NotEntered> {
        match self {
            Self::Memory(rooms) => {
                let _ = gate;
                Ok(rooms.enter(product, buyer, pass_id, now_ms, supply)?)
            }
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => {
                rooms.enter(gate, (product, buyer, pass_id), now_ms, supply).await
            }
        }
    }

    /// How it stands with a ticket, whose holder is heard of by it.
    ///
    /// # Errors
    /// The queue cannot be asked.
    pub async fn poll(
        &self,
        gate: &GateHandle,
        ticket: &Ticket,
        now_ms: u64,
    ) -> Result<Seen, Unavailable> {
        match self {
            Self::Memory(rooms) => {
                let _ = gate;
                Ok(rooms.poll(ticket, now_ms))
            }
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.poll(gate, ticket, now_ms).await,
        }
    }

    /// This buyer's latest ticket.
    ///
    /// # Errors
    /// The queue cannot be asked.
    pub async fn of_buyer(
        &self,
        gate: &GateHandle,
        product: &ProductId,
        buyer: &BuyerRef,
        pass_id: [u8; 16],
    ) -> Result<Option<Ticket>, Unavailable> {
        match self {
            Self::Memory(rooms) => {
                let _ = gate;
                Ok(rooms.of_buyer(product, buyer, pass_id))
            }
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.of_buyer(gate, product, buyer, pass_id).await,
        }
    }

    /// The buyer has bought, or cannot any more: their admission is used. What cannot be told now is told later.
    pub async fn spend(
        &self,
        gate: &GateHandle,
        product: &ProductId,
        buyer: &BuyerRef,
        stock: Stock,
    ) {
        match self {
            Self::Memory(rooms) => {
                let _ = (gate, stock);
                rooms.spend(product, buyer);
            }
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.spend(gate, product, buyer, stock).await,
        }
    }

    /// Lets in whose turn it is, in every room. `stock` says how a sale stands; of one that is not there any more
    /// nobody is let in. `all`: rooms that nobody is known to have entered are looked into as well.
    pub async fn tick(
        &self,
        gate: &GateHandle,
        now_ms: u64,
        all: impl Iterator<Item = ProductId>,
        stock: impl Fn(&ProductId) -> Option<Stock>,
    ) {
        match self {
            Self::Memory(rooms) => {
                let _ = (gate, all);
                rooms.tick(now_ms, |product| stock(product).map(|stock| stock.supply));
            }
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.tick(gate, now_ms, all, stock).await,
        }
    }

    /// How a room stands; one that nobody has entered yet is empty.
    pub fn view(&self, product: &ProductId, opened: bool) -> View {
        match self {
            Self::Memory(rooms) => rooms.view(product, opened),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.view(product, opened),
        }
    }

    /// What is published of a product's draw.
    pub fn draw(&self, product: &ProductId) -> Draw {
        match self {
            Self::Memory(rooms) => rooms.draw(product),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.draw(product),
        }
    }

    /// That a number is among the entrants; `None` before they are fixed, or if it is not.
    ///
    /// # Errors
    /// This node does not have the list that was drawn.
    pub fn proof(&self, product: &ProductId, number: u32) -> Result<Option<Proof>, Unavailable> {
        match self {
            Self::Memory(rooms) => Ok(rooms.proof(product, number)),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.proof(product, number),
        }
    }

    /// The leaves of all entrants; none before they are fixed.
    ///
    /// # Errors
    /// This node does not have the list that was drawn.
    pub fn entrants(&self, product: &ProductId) -> Result<Vec<Digest>, Unavailable> {
        match self {
            Self::Memory(rooms) => Ok(rooms.entrants(product)),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.entrants(product),
        }
    }

    /// Takes the public value of a draw whose root is published.
    ///
    /// # Errors
    /// See [`NotGiven`].
    pub async fn set_public_value(
        &self,
        product: &ProductId,
        value: String,
    ) -> Result<(), NotGiven> {
        match self {
            Self::Memory(rooms) => Ok(rooms.set_public_value(product, value)?),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.set_public_value(product, value).await,
        }
    }

    /// Of many nodes: texts that were found in Redis and that no node has written; and draws whose list there is not
    /// the one behind the published root.
    pub fn faults(&self) -> Option<(u64, usize)> {
        match self {
            Self::Memory(_) => None,
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => Some(rooms.faults()),
        }
    }

    /// Bytes that all rooms take in this process.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Memory(rooms) => rooms.bytes(),
            #[cfg(feature = "distributed")]
            Self::Redis(rooms) => rooms.bytes(),
        }
    }
}
