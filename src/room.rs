//! Waiting rooms: an honest place in a queue for those who come early or in a crowd.
//!
//! - [`ticket`]: what a shopper holds: signed, bound to buyer and product;
//! - [`draw`]: the order of those who came before the opening, which anyone can check; [`permutation`] is a part of it;
//! - [`queue`]: the state machine of one product's room;
//! - [`rooms`]: the rooms of a node that is alone, and [`Doors`]: which products can be bought by way of a room alone.
//!   Those of many nodes are in [`crate::lobby`], with the same tickets and the same draw.
//!
//! Pure: time and randomness are arguments, and nothing here waits. A room decides who may try to buy and when;
//! what is sold is the log's business, as without one.

pub mod credit;
pub mod doors;
pub mod draw;
pub mod permutation;
pub mod queue;
pub mod rooms;
pub mod speed;
pub mod ticket;

pub use doors::Doors;
pub use queue::{Queue, Standing, Supply, Terms};
pub use rooms::Rooms;
pub use ticket::{Ticket, TicketKey};
