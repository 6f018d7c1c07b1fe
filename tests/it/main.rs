//! The one integration test binary: one link, many modules.

mod crash;
mod program;
mod support;
mod tidy;
