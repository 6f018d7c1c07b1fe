//! The one integration test binary: one link, many modules.

mod program;
mod simulation;
mod tidy;
