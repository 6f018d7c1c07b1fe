//! With the API's password to Redis, in the middle of a sale: hints, levels and undecided attempts forged, keys
//! deleted. The gate proposes and never decides.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Attack, Got, Target};
use crate::attack::stores::scene::in_mid_sale;

const API: &str = "REDIS_URL";
const EXACT: &str = "just the stock is sold, no false order id";

pub const ATTACKS: &[Attack] = &[
    Attack::on_stores("stock hint forged up", "API10", EXACT, |t| {
        forged(t, &[&["SET", "{}:stock", "1000000"]])
    }),
    Attack::on_stores("stock hint forged down to nothing", "API10", EXACT, |t| {
        forged(t, &[&["SET", "{}:stock", "0"]])
    }),
    Attack::on_stores("stock hint that is no number", "API10", EXACT, |t| {
        forged(t, &[&["SET", "{}:stock", "many"], &["SET", "{}:stock", "99999999999999999999"]])
    }),
    Attack::on_stores("level of a huge offset", "API10", EXACT, |t| {
        let huge = "9007199254740991:1000000";
        forged(t, &[&["SET", "{}:level", huge], &["SET", "{}:level", huge, "PX", "1900"]])
    }),
    Attack::on_stores("level of a huge offset that says sold out", "API10", EXACT, |t| {
        forged(t, &[&["SET", "{}:level", "9007199254740991:0", "PX", "1900"]])
    }),
    Attack::on_stores("undecided attempts forged", "API10", EXACT, |t| {
        let buyer = |digit: &str| digit.repeat(32);
        let (a, b) = (buyer("a"), buyer("b"));
        forged(t, &[&["ZADD", "{}:pending", "9e15", &a, "inf", &b]])
    }),
    Attack::on_stores("undecided attempts of another type", "API10", EXACT, |t| {
        forged(t, &[&["SET", "{}:pending", "x"]])
    }),
    Attack::on_stores("keys deleted in mid-sale", "API10", EXACT, |t| {
        let control = t.stores()?.redis(API, &["DEL", "product:{x}:stock"])?;
        let refused = control.is_err_and(|word| word.starts_with("NOPERM"));
        // What may write a key may let it expire.
        let gone = forged(
            t,
            &[
                &["SET", "{}:stock", "", "PXAT", "1"],
                &["SET", "{}:level", "", "PXAT", "1"],
                &["ZREMRANGEBYSCORE", "{}:pending", "-inf", "+inf"],
            ],
        )?;
        Ok(Got::of(refused, "DEL refused").and(gone))
    }),
    Attack::on_stores("rates forged so that nobody may buy", "API4", EXACT, |t| {
        forged(t, &[&["ZADD", "rate:{…}:tat", "9e15", "p"]])
    }),
];

/// Runs these commands again and again; `{}` stands for the product's keys.
fn forged(t: &Target, commands: &[&[&str]]) -> anyhow::Result<Got> {
    let stores = t.stores()?;
    // The control: the password is good, and the nodes did put a hint there.
    let hint_seen = AtomicBool::new(false);
    let connection = Mutex::new(stores.redis_connection(API)?);
    let sold = in_mid_sale(stores, |product| {
        let mut redis = connection.lock().expect("no panic");
        let keys = format!("product:{{{product}}}");
        if redis.ask(&["GET", &format!("{keys}:stock")])?.is_ok_and(|hint| hint != "nothing") {
            hint_seen.store(true, Ordering::Relaxed);
        }
        for command in commands {
            let filled: Vec<String> = command
                .iter()
                .map(|word| word.replace("{}", &keys).replace("{…}", &format!("{{{product}}}")))
                .collect();
            let words: Vec<&str> = filled.iter().map(String::as_str).collect();
            // A key of another type is refused by Redis itself.
            if let Err(word) = redis.ask(&words)?
                && !word.starts_with("WRONGTYPE")
            {
                anyhow::bail!("{words:?}: {word}");
            }
        }
        Ok(())
    })?;
    let hint_seen = hint_seen.into_inner();
    let control = Got::of(hint_seen, if hint_seen { "" } else { "there never was a hint" });
    Ok(sold.and(control))
}
