//! The one integration test binary: one link, many modules.

mod bad_input;
mod program;
mod support;
mod tidy;
