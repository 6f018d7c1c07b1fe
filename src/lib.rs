//! Flux-Gate: a flash-sale gate that sells exactly its stock.
//!
//! The map is `docs/ARCHITECTURE.md`. A module may use what stands below it, never its own row or above:
//!
//! ```text
//! cli/                            the command line
//! load/                           the load generator, a client of the contract alone
//! app                             chooses the parts and starts them
//! http/                           the way in
//! place_order                     an attempt's way: state, gate, log, answer
//! guard/                          who, intact, not too fast, not a bot
//! gate/  log/  ledger/            each a closed enum over its leaves
//! config  keys  signing  gcra  telemetry  clock
//! sale/                           the domain; uses nothing
//! ```

pub mod clock;
pub mod config;
pub mod keys;
pub mod load;
pub mod sale;
pub mod signing;
