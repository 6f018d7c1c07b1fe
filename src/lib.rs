//! Flux-Gate: a flash-sale gate that sells exactly its stock.
//!
//! `docs/ARCHITECTURE.md` is the map: what each module is for, and which may know which.

// What cannot fail says why: `expect`, not `unwrap`.
#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![warn(missing_docs)]

pub mod app;
pub mod audit;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod erasures;
pub mod escape;
pub mod evidence;
pub mod gate;
pub mod gcra;
pub mod guard;
pub mod http;
pub mod incident;
pub mod keys;
pub mod ledger;
pub mod load;
pub mod lobby;
pub mod log;
pub mod merkle;
pub mod outgoing;
pub mod place_order;
pub mod receipt;
pub mod room;
pub mod sale;
pub mod signing;
pub mod siteverify;
pub mod snapshot;
pub mod telemetry;
pub mod trace;
#[cfg(feature = "distributed")]
pub mod worker;
