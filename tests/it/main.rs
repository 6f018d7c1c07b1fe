//! The one integration test binary: one link, many modules.

mod bad_input;
mod crash;
mod faults;
mod program;
mod simulation;
mod support;
mod tidy;
