//! Flux-Gate: a flash-sale gate that sells exactly its stock.
//!
//! The map is `docs/ARCHITECTURE.md`. A module may use what stands below it, never its own row or above:
//!
//! ```text
//! cli/                            the command line
//! load/                           the load generator, a client of the contract alone
//! app                             chooses the parts and starts them
//! http/  worker                   the two ways in: requests, and the log
//! place_order                     an attempt's way: state, gate, log, answer
//! guard/  incident                who, intact, not too fast, not a bot; reports that prove themselves
//! evidence/                       who did what at `POST /order` lately, for a day
//! lobby/                          the waiting rooms of a node: in its memory, or in Redis
//! audit/  gate/  log/  ledger/    the trail of what was refused and changed; each a closed enum over its leaves
//! room/                           waiting rooms: tickets, a draw that can be checked, queues
//! receipt  trace                  signed receipts and proofs; a request's id, and the spans of the few sampled
//! erasures  siteverify            the journal of erasures; services of challenges
//! config  keys  signing  gcra  telemetry  clock  snapshot
//! chain  outgoing  escape         the digest chain of a log; calls of services of others; texts made safe to show
//! sale/                           the domain; uses nothing
//! ```

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
