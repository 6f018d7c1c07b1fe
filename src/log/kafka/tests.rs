//! The log on the real Kafka, as `cargo xtask stack up` starts it.

mod broker;
pub(in crate::log) mod rig;
