//! The one integration test binary: one link, many modules.

mod crash;
mod support;
mod tidy;
