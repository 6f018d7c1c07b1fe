//! The one integration test binary: one link, many modules.

mod bad_input;
mod contract;
mod crash;
mod faults;
mod fuzz_replay;
mod program;
mod simulation;
mod support;
mod tidy;
