//! The integration tests: one binary, which starts the real program as a process.

mod crash;
mod support;
