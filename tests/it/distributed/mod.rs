//! Many nodes on the real Redis, Kafka and PostgreSQL, hardened as they are shipped.
//!
//! The services run already (`cargo xtask test` starts them, or `cargo xtask stack up`) and are shared; each
//! test has its own topic, group, database and products. A service that is missing fails the tests.
//!
//! What breaks: [`faults`] services and processes, [`connections`] what is between them, [`moments`] nodes just
//! where it matters, [`batches`] workers at each step, [`clocks`] the time, [`rolling`] nothing at all. The rules
//! are checked by the contract alone ([`world`]).

mod batches;
mod challenge;
mod clocks;
mod cluster;
mod connections;
mod console;
mod control;
mod crowd;
mod faults;
mod incident;
mod moments;
mod other_keys;
mod privacy;
mod proxy;
mod rolling;
mod room;
mod sale;
mod secrets;
mod stack;
mod traces;
mod worker;
mod world;
