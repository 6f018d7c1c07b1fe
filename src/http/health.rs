//! Health: `livez` says that the process runs, `readyz` whether to send requests here.

use super::code::Code;
use super::reply::{self, Coded};
use super::shared::Shared;

/// The process runs.
pub fn livez() -> Coded {
    reply::json(Code::Ok, &br#"{"status":"ok"}"#[..])
}

/// Ready, or why not.
pub fn readyz(shared: &Shared) -> Coded {
    match shared.readiness() {
        Ok(()) => reply::json(Code::Ok, &br#"{"status":"ready"}"#[..]),
        Err(why) => reply::problem_because(Code::NotReady, why),
    }
}
