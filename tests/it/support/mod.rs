//! What the integration tests and `cargo xtask attack` share: a real server, and a client that sends
//! whatever bytes it is told to. Both compile these files; neither depends on the other.

#![allow(dead_code, reason = "each user needs only a part")]

pub mod documents;
pub mod draft;
pub mod many_nodes;
pub mod server;
pub mod wait;
pub mod wire;
