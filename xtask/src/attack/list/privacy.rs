//! What is kept of people: who may be told, who may erase, and whom a repeated or forged erasure hits.
//!
//! Each attack has a control beside it that must succeed: everything is "blocked" by a server that refuses all.

use anyhow::ensure;

use super::console::{change, cookie_of, login_draft};
use super::{Attack, Draft, Got, Target};
use crate::attack::client::OPERATORS;
use crate::attack::support::wire::Answer;

/// The calls, with the least that each takes.
const CALLS: [(&str, &str); 3] = [
    ("/admin/privacy/export", r#"{"userId":"{}"}"#),
    ("/admin/privacy/status", r#"{"userId":"{}"}"#),
    ("/admin/privacy/erase", r#"{"userId":"{}","reason":"an attack"}"#),
];

pub const ATTACKS: &[Attack] = &[
    Attack::new("person exported or erased without a token", "API2", "401 unauthorized", |t| {
        let person = buyer(t)?;
        let mut all = Vec::new();
        for (path, body) in CALLS {
            for token in ["", "Bearer", "Bearer admin", "Basic x"] {
                let draft = draft(t, path, body, &person).set("authorization", token);
                all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
            }
            let bare = draft(t, path, body, &person).without("authorization");
            all.push(Got::refused(&t.to_operator(&bare)?, 401, "unauthorized"));
        }
        Ok(Got::all(all).and(must_be_kept(t, &person)?))
    }),
    Attack::new("person exported or erased over the public listener", "API5", "404", |t| {
        let person = buyer(t)?;
        let mut all = Vec::new();
        for (path, body) in CALLS {
            let call = draft(t, path, body, &person);
            all.push(Got::refused(&t.send(&call)?, 404, "not_found"));
            let as_operator = call.clone().set("host", t.operator.to_string());
            all.push(Got::refused(&t.send(&as_operator)?, 404, "not_found"));
            let signed = call.sign(&t.client, t.now_ms());
            all.push(Got::refused(&t.send(&signed)?, 404, "not_found"));
        }
        Ok(Got::all(all).and(must_be_kept(t, &person)?))
    }),
    Attack::on_ours("person exported or erased by an operator", "API5", "403 forbidden", |t| {
        let person = buyer(t)?;
        let mut all = Vec::new();
        for (_, token) in OPERATORS {
            for (path, body) in CALLS {
                let draft = draft(t, path, body, &person);
                let draft = draft.set("authorization", format!("Bearer {token}"));
                all.push(Got::refused(&t.to_operator(&draft)?, 403, "forbidden"));
            }
        }
        Ok(Got::all(all).and(must_be_kept(t, &person)?))
    }),
    Attack::on_ours("person exported or erased by another site", "API8", "403 forbidden", |t| {
        let person = buyer(t)?;
        let cookie = cookie_of(&t.to_operator(&login_draft(t, &t.admin_token))?)?;
        let mut all = Vec::new();
        for (path, body) in CALLS {
            let own = || change(t, path, &cookie).body(body.replace("{}", &person));
            for origin in ["https://evil.test", "null", ""] {
                let other = own().set("origin", origin);
                all.push(Got::refused(&t.to_operator(&other)?, 403, "forbidden"));
            }
            let site = own().set("sec-fetch-site", "cross-site");
            all.push(Got::refused(&t.to_operator(&site)?, 403, "forbidden"));
            let form = own().set("content-type", "text/plain");
            all.push(Got::refused(&t.to_operator(&form)?, 403, "forbidden"));
        }
        let kept = must_be_kept(t, &person)?;
        let (path, body) = CALLS[2];
        let done = t.to_operator(&change(t, path, &cookie).body(body.replace("{}", &person)))?;
        ensure!(done.word() == "erased", "the console's own page may not: {}", done.text());
        Ok(Got::all(all).and(kept))
    }),
    Attack::new("erasure sent again after the person came back", "API6", "applied once", |t| {
        let person = buyer(t)?;
        let erase = draft(t, CALLS[2].0, CALLS[2].1, &person);
        let first = t.to_operator(&erase)?;
        ensure!(first.word() == "erased", "an erasure fails: {}", first.text());
        order(t, &person)?;
        let again = t.to_operator(&erase)?;
        let replayed = again.header("idempotency-replayed") == Some("true");
        Ok(Got::of(replayed, again.summary()).and(must_be_kept(t, &person)?))
    }),
    Attack::new("person named in the reason of their erasure", "API3", "400", |t| {
        let person = buyer(t)?;
        let mut all = Vec::new();
        for reason in [person.clone(), format!("about {}", person.to_uppercase())] {
            let body = format!(r#"{{"userId":"{person}","reason":"{reason}"}}"#);
            let answer = t.admin("POST", CALLS[2].0, &body)?;
            let echoed = answer.text().contains(&person);
            all.push(Got::refused(&answer, 400, "invalid_request").and(Got::of(!echoed, "")));
        }
        Ok(Got::all(all).and(must_be_kept(t, &person)?))
    }),
];

/// Somebody with an order.
fn buyer(target: &Target) -> anyhow::Result<String> {
    let person = target.unique("person");
    order(target, &person)?;
    Ok(person)
}

fn order(target: &Target, person: &str) -> anyhow::Result<()> {
    // Two requests of one buyer within 100 ms are a bot's.
    std::thread::sleep(std::time::Duration::from_millis(150));
    let product = target.sale(5)?;
    let draft = Draft::order(&product, person, &target.unique("k"));
    let answer = target.send(&draft.sign(&target.client, target.now_ms()))?;
    ensure!(answer.word() == "success", "an order is not accepted: {}", answer.text());
    Ok(())
}

fn draft(target: &Target, path: &str, body: &str, person: &str) -> Draft {
    Draft::new("POST", path, body.replace("{}", person))
        .set("authorization", format!("Bearer {}", target.admin_token))
        .set("idempotency-key", target.unique("op"))
}

/// The person's last order still has its user id.
fn must_be_kept(target: &Target, person: &str) -> anyhow::Result<Got> {
    let body = format!(r#"{{"userId":"{person}"}}"#);
    let mut answer: Answer = target.admin("POST", "/admin/privacy/status", &body)?;
    // The ledger of many nodes lags.
    for _ in 0..50 {
        if answer.word() == "kept" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        answer = target.admin("POST", "/admin/privacy/status", &body)?;
    }
    Ok(Got::of(answer.word() == "kept", answer.summary()))
}
