//! What the attacks left behind: the logs of our servers, and whether they still run.

use super::{Attack, Done, Got, Servers};
use crate::attack::client::{CLIENTS, OPERATORS};
use crate::attack::jwt::HS_SECRET;
use crate::attack::service;
use crate::attack::support::server::{ADMIN_TOKEN, Server};

/// What is looked at when all attacks are through.
pub(super) const LATER: fn(&super::Target) -> anyhow::Result<Got> =
    |_| Ok(Got::of(false, "looked at later"));

static NO_PANIC: Attack =
    Attack::on_ours("afterwards: nothing panicked", "-", "no panic, no error in the logs", LATER);
static LOG_LINES: Attack =
    Attack::on_ours("afterwards: every log line is the server's", "API8", "JSON lines", LATER);
static NOTHING_PERSONAL: Attack =
    Attack::on_ours("afterwards: no user, address or secret in logs", "API3", "rule 7", LATER);

/// Looks at what the attacks left behind.
pub fn aftermath(servers: &Servers) -> Vec<Done> {
    let Servers { usual, hasty, open, strict, scored, service, .. } = servers;
    let logs = [usual, hasty, open, strict, scored, service].map(Server::log);
    let of = |look: fn(&str) -> Got| Got::all(logs.iter().map(|log| look(log)));
    vec![
        Done { attack: &NO_PANIC, got: of(no_panic) },
        Done { attack: &LOG_LINES, got: of(log_lines) },
        Done { attack: &NOTHING_PERSONAL, got: of(nothing_personal) },
    ]
}

pub(super) fn no_panic(log: &str) -> Got {
    // That a pause did not wait for a disk that is slow just now is as it should be.
    let is_bad = |line: &&str| {
        line.contains("panic")
            || line.contains("\"ERROR\"")
                && !line.contains("a pause is made without the audit trail")
    };
    let bad = log.lines().find(is_bad);
    Got::of(bad.is_none(), bad.unwrap_or("none"))
}

pub(super) fn log_lines(log: &str) -> Got {
    let bad = log.lines().find(|line| serde_json::from_str::<serde_json::Value>(line).is_err());
    Got::of(bad.is_none(), bad.unwrap_or("all are"))
}

pub(super) fn nothing_personal(log: &str) -> Got {
    let secrets = CLIENTS.iter().map(|(_, secret, _)| *secret);
    let tokens = OPERATORS.iter().map(|(_, token)| *token);
    // Users are named u-…, j-… and mallory; clients come from 127.1.… and name 198.….
    let personal = [
        HS_SECRET,
        ADMIN_TOKEN,
        service::SECRET,
        "mallory",
        "\"u-",
        "\"j-",
        "127.1.",
        "127.9.",
        "198.51.",
    ];
    let found = secrets.chain(tokens).chain(personal).find(|word| log.contains(word));
    let what = found.map_or("none".to_owned(), |word| format!("found {word}"));
    Got::of(found.is_none(), what)
}
