//! The way in: the public listener and the operator's.
//!
//! - [`server`]: accepting, the threads, draining; [`connection`]: one connection; [`tls`];
//! - [`public`]: the public route table, `POST /order` first; [`orders`], [`products`], [`session`]: its
//!   other calls; [`health`]; [`cors`]; [`origin`];
//! - [`room`]: waiting rooms: their page, its calls and its events;
//! - [`operator`]: the operator's route table;
//! - [`code`]: every answer and its status; [`reply`]: how answers are written; [`events`]: those that go on; [`refused`]: the guard's
//!   refusals as answers; [`counters`], [`metrics`]: how often each was given;
//! - [`trail`]: what goes into the audit trail; [`keys`]: the public keys;
//! - [`shared`]: what all threads share; [`spans`]: what traces say of a request.

pub mod challenge;
pub mod code;
pub mod connection;
pub mod cors;
pub mod counters;
pub mod docs;
pub mod events;
pub mod health;
pub mod keys;
pub mod metrics;
pub mod openapi;
pub mod operator;
pub mod orders;
pub mod origin;
pub mod products;
pub mod public;
pub mod refused;
pub mod reply;
pub mod room;
pub mod server;
pub mod session;
pub mod shared;
mod sighting;
pub mod spans;
pub mod tls;
pub mod trail;
pub mod x509;

pub use server::{BACKLOG_MAX, Listeners, Running, ServeError};
pub use shared::Shared;
