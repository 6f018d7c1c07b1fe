//! With the passwords to Redis: commands that no function of ours calls, keys that are not ours.

use anyhow::ensure;

use super::{Attack, Got, Stores, Target};
use crate::attack::stores::scene::Scene;

/// Those of nodes, and of the workers that load the functions.
const USERS: [&str; 2] = ["REDIS_URL", "FLUX_GATE__REDIS__LOADER_URL"];
const REFUSED: &str = "refused to every user of ours";
const LIBRARY: &str =
    "#!lua name=flux_gate\nredis.register_function('fg_admit', function() return 0 end)";

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("FLUSHALL", "API8", REFUSED, |t| {
        refused(t, &[&["FLUSHALL"], &["FLUSHALL", "ASYNC"]])
    }),
    Attack::on_stores("FLUSHDB", "API8", REFUSED, |t| {
        refused(t, &[&["FLUSHDB"], &["FLUSHDB", "SYNC"], &["SWAPDB", "0", "1"]])
    }),
    Attack::on_stores("DEBUG", "API8", REFUSED, |t| {
        refused(t, &[&["DEBUG", "SLEEP", "0"], &["DEBUG", "RELOAD"], &["DEBUG", "SEGFAULT"]])
    }),
    Attack::on_stores("CONFIG", "API8", REFUSED, |t| {
        refused(
            t,
            &[
                &["CONFIG", "GET", "*"],
                &["CONFIG", "SET", "dir", "/tmp"],
                &["CONFIG", "SET", "requirepass", "x"],
                &["CONFIG", "REWRITE"],
            ],
        )
    }),
    Attack::on_stores("EVAL and other scripts", "API8", REFUSED, |t| {
        refused(
            t,
            &[
                &["EVAL", "return 1", "0"],
                &["EVAL_RO", "return 1", "0"],
                &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
                &["SCRIPT", "LOAD", "return 1"],
                &["SCRIPT", "FLUSH"],
            ],
        )
    }),
    Attack::on_stores("KEYS, SCAN and other ways to look around", "API3", REFUSED, |t| {
        refused(
            t,
            &[
                &["KEYS", "*"],
                &["SCAN", "0"],
                &["RANDOMKEY"],
                &["DBSIZE"],
                &["MONITOR"],
                &["CLIENT", "LIST"],
                &["INFO"],
                &["SLOWLOG", "GET"],
            ],
        )
    }),
    Attack::on_stores(
        "functions replaced or deleted",
        "API8",
        "NOPERM; the loader may load",
        |t| {
            // To load is what the loader is for; it may neither delete, nor call, nor read a key.
            let stores = t.stores()?;
            reachable(stores)?;
            let api = is_refused(stores, USERS[0], &["FUNCTION", "LOAD", "REPLACE", LIBRARY])?;
            let all = refused(
                t,
                &[
                    &["FUNCTION", "DELETE", "flux_gate"],
                    &["FUNCTION", "FLUSH"],
                    &["FUNCTION", "RESTORE", "x"],
                    &["FUNCTION", "KILL"],
                    &["FUNCTION", "DUMP"],
                ],
            )?;
            let called = is_refused(stores, USERS[1], &["FCALL", "fg_version", "0"])?;
            Ok(Got::all([api, all, called]))
        },
    ),
    Attack::on_stores("users and passwords", "API5", REFUSED, |t| {
        refused(
            t,
            &[
                &["ACL", "LIST"],
                &["ACL", "SETUSER", "api", "+@all", "~*"],
                &["ACL", "SETUSER", "default", "on", "nopass", "+@all", "~*"],
                &["ACL", "SAVE"],
            ],
        )
    }),
    Attack::on_stores("server taken over or taken down", "API8", REFUSED, |t| {
        refused(
            t,
            &[
                &["SHUTDOWN", "NOSAVE"],
                &["REPLICAOF", "127.0.0.1", "1"],
                &["MODULE", "LOAD", "/tmp/x.so"],
                &["SAVE"],
                &["BGREWRITEAOF"],
                &["MIGRATE", "127.0.0.1", "1", "k", "0", "1"],
                &["CLIENT", "KILL", "TYPE", "normal"],
                &["CLUSTER", "RESET"],
            ],
        )
    }),
    Attack::on_stores("keys that are not ours", "API1", REFUSED, |t| {
        refused(
            t,
            &[
                &["SET", "other", "1"],
                &["GET", "session:1"],
                &["ZADD", "other", "1", "a"],
                &["SET", "PRODUCT:{x}:stock", "1"],
            ],
        )
    }),
    Attack::on_stores("commands on our keys that no function calls", "API8", REFUSED, |t| {
        refused(
            t,
            &[
                &["DEL", "product:{x}:stock"],
                &["UNLINK", "product:{x}:stock"],
                &["RENAME", "product:{x}:stock", "product:{y}:stock"],
                &["INCRBY", "product:{x}:stock", "5"],
                &["EXPIRE", "product:{x}:stock", "1"],
                &["RESTORE", "product:{x}:stock", "0", "x"],
                &["SUBSCRIBE", "product:x"],
                &["PUBLISH", "product:x", "1"],
            ],
        )
    }),
    Attack::on_stores(
        "Redis without a password, or a wrong one",
        "API2",
        "NOAUTH, WRONGPASS",
        |t| {
            let stores = t.stores()?;
            reachable(stores)?;
            let url = stores.stack.get(USERS[0])?;
            let (_, server) = url.rsplit_once('@').unwrap_or(("", url));
            let mut all = Vec::new();
            for user in ["", "default:@", "api:wrong@", "api:@", "root:root@"] {
                let tried = stores.redis_at(&format!("rediss://{user}{server}"), &["PING"]);
                let said = match tried {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(word)) => word,
                    Err(error) => format!("{error:#}"),
                };
                let word =
                    ["NOAUTH", "WRONGPASS", "Password authentication failed", "authentication"];
                let refused = word.iter().any(|word| said.contains(word));
                all.push(Got::of(refused, said));
            }
            Ok(Got::all(all))
        },
    ),
];

/// The control: the passwords are good.
fn reachable(stores: &Stores) -> anyhow::Result<()> {
    for user in USERS {
        let answer = stores.redis(user, &["PING"])?;
        ensure!(answer.as_deref() == Ok("PONG"), "{user}: {answer:?}");
    }
    Ok(())
}

fn is_refused(stores: &Stores, user: &str, command: &[&str]) -> anyhow::Result<Got> {
    let (refused, what) = match stores.redis(user, command)? {
        Err(word) if word.starts_with("NOPERM") => (true, "NOPERM".to_owned()),
        // Switched off for everybody, whatever his rights.
        Err(word) if word.contains("command not allowed") => (true, "not allowed".to_owned()),
        Err(word) => (false, format!("{user}: {}: {word}", command.join(" "))),
        Ok(answer) => (false, format!("{user}: {}: {answer}", command.join(" "))),
    };
    Ok(Got::of(refused, what))
}

/// All of these must be refused to everybody, and the sale goes on.
fn refused(t: &Target, commands: &[&[&str]]) -> anyhow::Result<Got> {
    let stores = t.stores()?;
    reachable(stores)?;
    let scene = Scene::open(stores, 5)?;
    let mut all = Vec::new();
    for command in commands {
        for user in USERS {
            all.push(is_refused(stores, user, command)?);
        }
    }
    all.push(Got::of(scene.goes_on()?.blocked, all[0].what.clone()));
    Ok(Got::all(all))
}
