//! Session passes: check 4, and 9.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Attack, Draft, Got, Shopper, Target, refused_order};
use crate::attack::client::own_client;
use crate::attack::servers::{BLOCKED_USER, HASTY_PASS_SECONDS};
use crate::attack::support::draft::Signer;

const UNKNOWN: (u16, &str) = (401, "unauthorized");

pub const ATTACKS: &[Attack] = &[
    Attack::new("order for another user", "API1", "403 user_mismatch", |t| {
        let victim = t.shopper()?;
        let product = t.sale(5)?;
        let thief = t.shopper()?;
        let draft = Draft::order(&product, &victim.user, &t.unique("k"));
        let answer = t.send(&draft.sign(&thief.signer, t.now_ms()))?;
        Ok(Got::refused(&answer, 403, "user_mismatch").and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new(
        "another's pass with one's own session key",
        "API2",
        "401 invalid_signature",
        |t| {
            let victim = t.shopper()?;
            refused_order(t, (401, "invalid_signature"), same, |draft, thief| {
                let draft = draft
                    .body(String::from_utf8_lossy(&draft_body(&victim)).into_owned())
                    .set("authorization", format!("Bearer {}", victim.pass()));
                let signature = draft.signature(thief.signer.secret());
                draft.set("x-signature", signature)
            })
        },
    ),
    Attack::on_ours("expired pass", "API2", "401 unauthorized", |t| {
        let hasty = &t.ours()?.hasty;
        let product = hasty.sale(5)?;
        let shopper = hasty.shopper()?;
        // The hasty server's passes are good for some seconds.
        std::thread::sleep(Duration::from_millis(HASTY_PASS_SECONDS * 1_000 + 100));
        let answer = hasty.send(&hasty.order(&product, &shopper))?;
        Ok(Got::refused(&answer, 401, "unauthorized").and(hasty.must_have_sold(&product, 0)?))
    }),
    Attack::new("pass with another user written into it", "API2", "401 unauthorized", |t| {
        with_pass(t, |shopper| forge(shopper.pass(), |text| text.replace(&shopper.user, "admin")))
    }),
    Attack::new("pass with a later expiry written into it", "API2", "401 unauthorized", |t| {
        with_pass(t, |shopper| forge(shopper.pass(), |text| text.replace(r#""e":"#, r#""e":9"#)))
    }),
    Attack::new("pass without its MAC, or cut short", "API2", "401 unauthorized", |t| {
        let cuts: [fn(&str) -> String; 5] = [
            |pass| format!("{}.", pass.rsplit_once('.').unwrap_or_default().0),
            |pass| pass.rsplit_once('.').unwrap_or_default().0.to_owned(),
            |pass| pass[..pass.len() - 1].to_owned(),
            |pass| format!("{pass}A"),
            |pass| pass.replacen("v1.", "v0.", 1),
        ];
        let mut all = Vec::new();
        for cut in cuts {
            all.push(with_pass(t, |shopper| cut(shopper.pass()))?);
        }
        Ok(Got::all(all))
    }),
    Attack::new("pass as the id of an API client", "API2", "401 unauthorized", |t| {
        refused_order(t, UNKNOWN, same, |draft, shopper| {
            draft.without("authorization").set("x-api-key", shopper.pass())
        })
    }),
    Attack::new("pass and API client at once", "API2", "401 unauthorized", |t| {
        refused_order(t, UNKNOWN, same, |draft, _| draft.set("x-api-key", "shop"))
    }),
    Attack::new("session without credentials", "API2", "401 unauthorized", |t| {
        let answer = t.send(&t.session_draft(&t.unique("u")))?;
        Ok(Got::refused(&answer, 401, "unauthorized"))
    }),
    Attack::new("session of another user for a pass", "API1", "401 unauthorized", |t| {
        let shopper = t.shopper()?;
        let draft = t.session_draft("somebody-else").sign(&shopper.signer, t.now_ms());
        Ok(Got::refused(&t.send(&draft)?, 401, "unauthorized"))
    }),
    Attack::new("session with a forged signature", "API2", "401 invalid_signature", |t| {
        let Signer::Client { id, .. } = &t.client else { return Ok(Got::of(false, "no client")) };
        let forger = Signer::Client { id: id.clone(), secret: "a-guess-0123456789".to_owned() };
        let answer = t.send(&t.session_draft(&t.unique("u")).sign(&forger, t.now_ms()))?;
        Ok(Got::refused(&answer, 401, "invalid_signature"))
    }),
    Attack::on_ours("session by a client without the role", "API5", "403 forbidden", |t| {
        let draft = t.session_draft(&t.unique("u"));
        let answer = t.send(&draft.sign(&own_client(2), t.now_ms()))?;
        Ok(Got::refused(&answer, 403, "forbidden"))
    }),
    Attack::on_ours("order by a client without the role", "API5", "403 forbidden", |t| {
        let product = t.sale(5)?;
        let draft = Draft::order(&product, &t.unique("u"), &t.unique("k"));
        let answer = t.send(&draft.sign(&own_client(1), t.now_ms()))?;
        Ok(Got::refused(&answer, 403, "forbidden").and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("session or order of a blocked user", "OAT-005", "403 user_blocked", |t| {
        let product = t.sale(5)?;
        let session = t.session_draft(BLOCKED_USER).sign(&t.client, t.now_ms());
        let order = Draft::order(&product, BLOCKED_USER, &t.unique("k"));
        let order = order.sign(&t.client, t.now_ms());
        let refused =
            |draft| Ok::<_, anyhow::Error>(Got::refused(&t.send(draft)?, 403, "user_blocked"));
        Ok(refused(&session)?.and(refused(&order)?).and(t.must_have_sold(&product, 0)?))
    }),
];

fn same(draft: Draft) -> Draft {
    draft
}

/// The body of an order of the victim; which product does not matter, it must not come so far.
fn draft_body(victim: &Shopper) -> Vec<u8> {
    Draft::order("any", &victim.user, "any").body
}

/// An order with a pass made of a good one; it is signed with the good session key.
fn with_pass(target: &Target, make: impl Fn(&Shopper) -> String) -> anyhow::Result<Got> {
    refused_order(target, UNKNOWN, same, |draft, shopper| {
        draft.set("authorization", format!("Bearer {}", make(shopper)))
    })
}

/// Changes what a pass says and leaves its MAC.
fn forge(pass: &str, change: impl Fn(&str) -> String) -> String {
    let parts: Vec<&str> = pass.split('.').collect();
    let [version, payload, mac] = parts[..] else { return String::new() };
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let changed = change(&String::from_utf8_lossy(&payload));
    format!("{version}.{}.{mac}", URL_SAFE_NO_PAD.encode(changed))
}
