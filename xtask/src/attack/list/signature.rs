//! Time and signature: checks 5 and 6.

use super::{Attack, Draft, Got, Target, as_it_is, refused_order};
use crate::attack::support::draft::Signer;

const EXPIRED: (u16, &str) = (400, "request_expired");
const INVALID: (u16, &str) = (401, "invalid_signature");

pub const ATTACKS: &[Attack] = &[
    Attack::new("request 31 s old", "API2", "400 request_expired", |t| {
        timed(t, &[(t.now_ms() - 31_000).to_string()])
    }),
    Attack::new("request 31 s ahead", "API2", "400 request_expired", |t| {
        // A second more: the server's clock goes on until it looks.
        timed(t, &[(t.now_ms() + 32_000).to_string()])
    }),
    Attack::new("request time that is no number", "API2", "400 request_expired", |t| {
        let now = t.now_ms();
        timed(
            t,
            &[
                "now".to_owned(),
                "NaN".to_owned(),
                "Infinity".to_owned(),
                "2026-01-01T00:00:00Z".to_owned(),
                format!("0x{now:x}"),
                format!("+{now}"),
                format!("-{now}"),
                format!("{now}.0"),
                format!("{now}e0"),
                format!("{now} {now}"),
                format!("{now},{now}"),
                format!("{now}:"),
                format!("00{now}"),
                "9".repeat(400),
                "18446744073709551616".to_owned(),
                (now / 1_000).to_string(),
            ],
        )
    }),
    Attack::new("request without its time", "API2", "400 request_expired", |t| {
        refused_order(t, EXPIRED, same, |draft, _| draft.without("x-request-time"))
    }),
    Attack::new("request with two times", "API2", "400 request_expired", |t| {
        let late = (t.now_ms() + 1).to_string();
        refused_order(t, EXPIRED, same, |draft, _| draft.add("x-request-time", &late))
    }),
    Attack::new("method changed", "API2", "401 invalid_signature", |t| {
        refused_order(t, INVALID, |draft| draft.method("PUT"), |draft, _| draft.method("POST"))
    }),
    Attack::new("path changed", "API2", "401 invalid_signature", |t| {
        let sign = |draft: Draft| draft.target("/session");
        refused_order(t, INVALID, sign, |draft, _| draft.target("/order"))
    }),
    Attack::new("query added", "API2", "401 invalid_signature", |t| {
        refused_order(t, INVALID, same, |draft, _| draft.target("/order?product=other"))
    }),
    Attack::new("query removed", "API2", "401 invalid_signature", |t| {
        let sign = |draft: Draft| draft.target("/order?a=b");
        refused_order(t, INVALID, sign, |draft, _| draft.target("/order"))
    }),
    Attack::new("body changed: another product", "API2", "401 invalid_signature", |t| {
        let other = t.sale(5)?;
        let changed = refused_order(t, INVALID, same, |draft, shopper| {
            let user = &shopper.user;
            draft.body(format!(r#"{{"productId":"{other}","userId":"{user}"}}"#))
        })?;
        Ok(changed.and(t.must_have_sold(&other, 0)?))
    }),
    Attack::new("body changed: one space", "API2", "401 invalid_signature", |t| {
        refused_order(t, INVALID, same, |mut draft, _| {
            draft.body.push(b' ');
            draft
        })
    }),
    Attack::new("body changed: emptied", "API2", "401 invalid_signature", |t| {
        refused_order(t, INVALID, same, |draft, _| draft.body(""))
    }),
    Attack::new("time changed by 1 ms", "API2", "401 invalid_signature", |t| {
        let later = (t.now_ms() + 1_000).to_string();
        refused_order(t, INVALID, same, |draft, _| draft.set("x-request-time", &later))
    }),
    Attack::new("idempotency key changed", "API2", "401 invalid_signature", |t| {
        let key = t.unique("k");
        refused_order(t, INVALID, same, |draft, _| draft.set("x-idempotency-key", &key))
    }),
    Attack::new("idempotency key removed", "API2", "401 invalid_signature", |t| {
        refused_order(t, INVALID, same, |draft, _| draft.without("x-idempotency-key"))
    }),
    Attack::new("second idempotency key beside the signed one", "API2", "400, 401", |t| {
        let key = t.unique("k");
        let one = refused_order(t, (400, "missing_idempotency_key"), same, |draft, _| {
            draft.add("x-idempotency-key", &key)
        })?;
        let other = refused_order(t, (400, "missing_idempotency_key"), same, |draft, _| {
            draft.add("idempotency-key", &key)
        })?;
        Ok(one.and(other))
    }),
    Attack::new("boundary between path and body moved", "API2", "not accepted", |t| {
        // `POST:/order:{"a":…` is the same text whether the colon ends the path or is part of it.
        let product = t.sale(5)?;
        let shopper = t.shopper()?;
        let draft = t.order(&product, &shopper);
        let body = String::from_utf8(draft.body.clone())?;
        let (head, tail) = body.split_once(':').unwrap_or_default();
        let moved = draft.target(&format!("/order:{head}")).body(tail);
        let answer = t.send(&moved)?;
        Ok(Got::status(&answer, &[400, 401, 404]).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("signature missing", "API2", "401 invalid_signature", |t| {
        refused_order(t, INVALID, same, |draft, _| draft.without("x-signature"))
    }),
    Attack::new("signature of another form", "API2", "401 invalid_signature", |t| {
        signed_as(
            t,
            &[
                |_: &str| String::new(),
                |good| good[..32].to_owned(),
                |good| good[..63].to_owned(),
                |good| format!("{good}00"),
                |good| format!("sha256={good}"),
                |good| format!("0x{good}"),
                |good| good.chars().rev().collect(),
                |_| "0".repeat(64),
                |_| "f".repeat(64),
                |_| "null".to_owned(),
                |_| "true".to_owned(),
                |_| "z".repeat(64),
            ],
        )
    }),
    Attack::new("two signatures, one of them good", "API2", "401 invalid_signature", |t| {
        let zeros = "0".repeat(64);
        refused_order(t, INVALID, same, |draft, _| draft.add("x-signature", &zeros))
    }),
    Attack::new("signed with the pass, or with nothing", "API2", "401 invalid_signature", |t| {
        let by_pass = refused_order(t, INVALID, same, |draft, shopper| {
            let signature = draft.signature(shopper.pass());
            draft.set("x-signature", signature)
        })?;
        let by_nothing = refused_order(t, INVALID, same, |draft, _| {
            let signature = draft.signature("");
            draft.set("x-signature", signature)
        })?;
        Ok(by_pass.and(by_nothing))
    }),
    Attack::new("API client signed with its id", "API2", "401 invalid_signature", |t| {
        let Signer::Client { id, .. } = &t.client else { return Ok(Got::of(false, "no client")) };
        by_client(t, id, id)
    }),
    Attack::new("API client that does not exist", "API2", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for id in ["nobody", "", "Shop", "shop,shop", "*", "shop\u{e9}"] {
            let signer = Signer::Client { id: id.to_owned(), secret: "guess".repeat(8) };
            let order = Draft::order(&product, &t.unique("u"), &t.unique("k"));
            let answer = t.send(&order.sign(&signer, t.now_ms()))?;
            all.push(Got::refused(&answer, 401, "unauthorized"));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("credentials in the query", "API2", "401 unauthorized", |t| {
        let query = |shopper: &super::Shopper| {
            format!("/order?access_token={0}&authorization=Bearer%20{0}", shopper.pass())
        };
        refused_order(t, (401, "unauthorized"), same, |draft, shopper| {
            draft.target(&query(shopper)).without("authorization")
        })
    }),
    Attack::new("credentials in a cookie", "API2", "401 unauthorized", |t| {
        refused_order(t, (401, "unauthorized"), same, |draft, shopper| {
            let cookie = format!("authorization={0}; pass={0}", shopper.pass());
            draft.without("authorization").set("cookie", cookie)
        })
    }),
];

fn same(draft: Draft) -> Draft {
    draft
}

/// Each of these times, well signed.
fn timed(target: &Target, times: &[String]) -> anyhow::Result<Got> {
    let mut all = Vec::new();
    for time in times {
        let sign = |draft: Draft| draft.set("x-request-time", time);
        all.push(refused_order(target, EXPIRED, sign, as_it_is)?);
    }
    Ok(Got::all(all))
}

/// The good signature, changed in each of these ways.
fn signed_as(target: &Target, changes: &[fn(&str) -> String]) -> anyhow::Result<Got> {
    let mut all = Vec::new();
    for change in changes {
        all.push(refused_order(target, INVALID, same, |draft, _| {
            let good = String::from_utf8_lossy(draft.header("x-signature")).into_owned();
            draft.set("x-signature", change(&good))
        })?);
    }
    Ok(Got::all(all))
}

fn by_client(target: &Target, id: &str, secret: &str) -> anyhow::Result<Got> {
    let product = target.sale(5)?;
    let signer = Signer::Client { id: id.to_owned(), secret: secret.to_owned() };
    let draft = Draft::order(&product, &target.unique("u"), &target.unique("k"));
    let answer = target.send(&draft.sign(&signer, target.now_ms()))?;
    Ok(Got::refused(&answer, 401, "invalid_signature").and(target.must_have_sold(&product, 0)?))
}
