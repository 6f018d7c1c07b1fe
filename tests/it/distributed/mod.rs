//! Many nodes on the real Redis, Kafka and PostgreSQL, hardened as they are shipped.
//!
//! The services run already (`cargo xtask test` starts them, or `cargo xtask stack up`) and are shared; each
//! test has its own topic, group, database and products. A service that is missing fails the tests.
//!
//! [`faults`] breaks one thing after the other under load and checks rules 1 to 6 by the contract alone.

mod cluster;
mod crowd;
mod faults;
mod other_keys;
mod sale;
mod stack;
