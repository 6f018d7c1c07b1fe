//! The one integration test binary: one link, many modules.

#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait: the ban on clocks is for what they test"
)]

mod audit;
mod bad_input;
mod challenge;
mod contract;
mod crash;
mod deploy;
#[cfg(feature = "distributed")]
mod distributed;
mod documents;
mod evidence;
mod faults;
mod fuzz_replay;
mod incident;
mod load;
mod privacy;
mod program;
#[cfg(feature = "distributed")]
mod seal_keys;
mod secrets;
mod simulation;
mod snippets;
mod support;
mod tidy;
mod traces;
