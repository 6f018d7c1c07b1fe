//! The operator's live controls: whoever is blocked, limited, revoked or must ask, tries to get around it.
//!
//! Each attack has a control beside it: what the control does not forbid must go on to work, since everything is
//! "blocked" by a server that refuses all.

use std::net::Ipv4Addr;

use super::{Attack, Draft, Got, Target};
use crate::attack::support::wire::Answer;

/// How long a block or limit of an attack lasts, in milliseconds: should it not be lifted it is soon over.
const LASTS_MS: u64 = 60_000;

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("live block of an address evaded", "OAT-020", "403 blocked", |t| {
        let product = t.sale(20)?;
        let (blocked, beside) = (Ipv4Addr::new(127, 77, 1, 1), Ipv4Addr::new(127, 78, 1, 1));
        // A pass of before does not help.
        let shopper = t.shopper()?;
        block(t, r#""address":"127.77.0.0/16""#)?;
        let order = || t.order(&product, &shopper);
        let tricks: [(&str, &str); 9] = [
            ("x-none", "x"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "127.78.1.1, 198.51.100.1"),
            ("x-real-ip", "198.51.100.1"),
            ("forwarded", "for=198.51.100.1"),
            ("true-client-ip", "198.51.100.1"),
            ("cf-connecting-ip", "198.51.100.1"),
            ("host", "localhost"),
            ("x-original-url", "/livez"),
        ];
        let mut all = Vec::new();
        for (name, value) in tricks {
            let answer = t.send_from(Some(blocked), &order().set(name, value))?;
            all.push(Got::refused(&answer, 403, "blocked"));
        }
        // By way of a trusted proxy its address counts, in whatever spelling.
        let proxy = Some(Ipv4Addr::new(127, 9, 1, 1));
        for spelling in
            ["127.77.1.1", "::ffff:127.77.1.1", "::ffff:7f4d:101", "[::ffff:127.77.1.1]:80"]
        {
            let answer = t.send_from(proxy, &order().set("x-forwarded-for", spelling))?;
            all.push(Got::refused(&answer, 403, "blocked"));
        }
        let session = t.session_draft(&t.unique("u")).sign(&t.client, t.now_ms());
        all.push(Got::refused(&t.send_from(Some(blocked), &session)?, 403, "blocked"));
        let neighbour = t.send_from(Some(beside), &order())?;
        lift(t, r#"{"address":"127.77.0.0/16"}"#)?;
        Ok(Got::all(all).and(control(&neighbour, "success")))
    }),
    Attack::on_ours("live block of a user evaded", "OAT-020", "403 user_blocked", |t| {
        let product = t.sale(20)?;
        let user = t.unique("u");
        let shopper = t.session_of(&user)?;
        block(t, &format!(r#""user":"{user}""#))?;
        let mut all = Vec::new();
        // By a pass of before, by the shop, under other keys, and by a new session.
        all.push(Got::refused(&t.send(&t.order(&product, &shopper))?, 403, "user_blocked"));
        for _ in 0..2 {
            let draft = Draft::order(&product, &user, &t.unique("k"));
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            all.push(Got::refused(&answer, 403, "user_blocked"));
        }
        let session = t.session_draft(&user).sign(&t.client, t.now_ms());
        all.push(Got::refused(&t.send(&session)?, 403, "user_blocked"));
        let other = t.send(&t.order(&product, &t.shopper()?))?;
        lift(t, &format!(r#"{{"user":"{user}"}}"#))?;
        let freed =
            t.send(&Draft::order(&product, &user, &t.unique("k")).sign(&t.client, t.now_ms()))?;
        let sold = t.must_have_sold(&product, 2)?;
        Ok(Got::all(all).and(control(&other, "success")).and(control(&freed, "success")).and(sold))
    }),
    Attack::on_ours("live block of a device evaded", "OAT-020", "403 blocked", |t| {
        let product = t.sale(20)?;
        let device = t.unique("device");
        block(t, &format!(r#""fingerprint":"{device}""#))?;
        let mut all = Vec::new();
        for name in ["x-device-fingerprint", "X-DEVICE-FINGERPRINT"] {
            for value in [device.clone(), format!(" {device} ")] {
                let draft = Draft::order(&product, &t.unique("u"), &t.unique("k")).set(name, value);
                let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
                all.push(Got::refused(&answer, 403, "blocked"));
            }
        }
        let other = Draft::order(&product, &t.unique("u"), &t.unique("k"))
            .set("x-device-fingerprint", t.unique("device"));
        let other = t.send(&other.sign(&t.client, t.now_ms()))?;
        lift(t, &format!(r#"{{"fingerprint":"{device}"}}"#))?;
        Ok(Got::all(all).and(control(&other, "success")).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("live limit outrun", "OAT-006", "429 slow_down beyond it", |t| {
        // The server without limits: what is limited here is limited live.
        let t = &*t.ours()?.open;
        let product = t.sale(50)?;
        let shopper = t.shopper()?;
        let body = format!(
            r#"{{"limit":"buyer_per_second","value":1,"burst":2,"until":{},"reason":"attack"}}"#,
            t.now_ms() + LASTS_MS
        );
        let set = t.admin("POST", "/admin/limits", &body)?;
        // From many addresses, under many keys, by several sessions and by the shop: it is one buyer.
        let again = t.session_of(&shopper.user);
        let (mut passed, mut slowed) = (0, 0);
        let started = t.seconds();
        for n in 0..60 {
            if slowed >= 8 {
                break;
            }
            let by = again.as_ref().ok().filter(|_| n % 2 == 0).unwrap_or(&shopper);
            let answer = t.send(&t.order(&product, by))?;
            match answer.word().as_str() {
                "slow_down" => slowed += 1,
                _ => passed += 1,
            }
        }
        let allowed = 2.0 + (t.seconds() - started) + 1.0;
        let held = f64::from(passed) <= allowed && slowed >= 8;
        let other = t.send(&t.order(&product, &t.shopper()?))?;
        let cleared = t.admin("DELETE", "/admin/limits/buyer_per_second", "")?;
        let free = t.send(&t.order(&product, &t.shopper()?))?;
        Ok(Got::status(&set, &[200])
            .and(Got::of(held, format!("{passed} passed, {slowed} slowed")))
            .and(control(&other, "success"))
            .and(Got::status(&cleared, &[200]))
            .and(control(&free, "success")))
    }),
    Attack::on_ours("limit loosened or set to nonsense", "API6", "400 invalid_request", |t| {
        let until = t.now_ms() + LASTS_MS;
        let mut all = Vec::new();
        for (limit, value) in [
            ("ip_per_second", "0"),
            ("ip_per_second", "-1"),
            ("ip_per_second", "4294967296"),
            ("ip_per_second", "1000001"),
            ("min_interval_ms", "60001"),
            ("tracked_keys_max", "1"),
            ("../ip_per_second", "1"),
        ] {
            let body = format!(
                r#"{{"limit":"{limit}","value":{value},"until":{until},"reason":"attack"}}"#
            );
            let answer = t.admin("POST", "/admin/limits", &body)?;
            all.push(Got::refused(&answer, 400, "invalid_request"));
        }
        let listed = t.admin("GET", "/admin/limits", "")?;
        Ok(Got::all(all).and(control(&listed, "")))
    }),
    Attack::on_ours("token used after it was revoked", "API2", "401 unauthorized", |t| {
        let name = token_name(t);
        let token = make(t, &t.admin_token, &name, "admin")?;
        let look = |token: &str| by(t, token, "GET", "/admin/products", "");
        let before = look(&token)?;
        t.admin("DELETE", &format!("/admin/tokens/{name}"), "")?;
        let mut all = vec![Got::refused(&look(&token)?, 401, "unauthorized")];
        for (path, body) in [
            ("/admin/tokens", r#"{"name":"back","role":"admin"}"#),
            ("/admin/incident/stop", r#"{"product":null,"reason":"x"}"#),
        ] {
            all.push(Got::refused(&by(t, &token, "POST", path, body)?, 401, "unauthorized"));
        }
        // The same name anew is another token.
        let anew = make(t, &t.admin_token, &name, "viewer")?;
        all.push(Got::refused(&look(&token)?, 401, "unauthorized"));
        let works = look(&anew)?;
        t.admin("DELETE", &format!("/admin/tokens/{name}"), "")?;
        Ok(Got::all(all).and(control(&before, "")).and(control(&works, "")))
    }),
    Attack::on_ours("operator makes itself an admin", "API5", "403, 409", |t| {
        let name = token_name(t);
        let operator = make(t, &t.admin_token, &name, "operator")?;
        let mut all = Vec::new();
        for body in [r#"{"name":"me","role":"admin"}"#, r#"{"name":"me","role":"operator"}"#] {
            let answer = by(t, &operator, "POST", "/admin/tokens", body)?;
            all.push(Got::refused(&answer, 403, "forbidden"));
        }
        let path = format!("/admin/tokens/{name}");
        all.push(Got::refused(&by(t, &operator, "DELETE", &path, "")?, 403, "forbidden"));
        // Nor is a name taken over: not of the configuration, not one that stands.
        for name in ["admin", name.as_str()] {
            let body = format!(r#"{{"name":"{name}","role":"admin"}}"#);
            all.push(Got::refused(&t.admin("POST", "/admin/tokens", &body)?, 409, "conflict"));
        }
        let works = by(t, &operator, "GET", "/admin/products", "")?;
        t.admin("DELETE", &path, "")?;
        Ok(Got::all(all).and(control(&works, "")))
    }),
    Attack::on_ours("units approved by who asked", "API5", "403 forbidden; no unit more", |t| {
        // The server whose policy asks for a second operator.
        let t = &*t.ours()?.hasty;
        let product = t.sale(5)?;
        let (asker, puppet, far) = (token_name(t), token_name(t), token_name(t));
        let asker_token = make(t, &t.admin_token, &asker, "admin")?;
        let puppet_token = make(t, &asker_token, &puppet, "admin")?;
        let far_token = make(t, &puppet_token, &far, "operator")?;
        let path = format!("/admin/products/{product}/restock");
        let mut all = Vec::new();
        for (who, others) in [
            (&asker_token, [&asker_token, &puppet_token, &far_token]),
            (&puppet_token, [&puppet_token, &asker_token, &far_token]),
            (&far_token, [&far_token, &asker_token, &t.admin_token]),
        ] {
            let asked = by(t, who, "POST", &path, r#"{"quantity":50}"#)?;
            all.push(Got::refused(&asked, 202, "approval_required"));
            let approval = asked.member("approval");
            for other in others {
                let path = format!("/admin/approvals/{approval}/approve");
                all.push(Got::refused(&by(t, other, "POST", &path, "{}")?, 403, "forbidden"));
            }
        }
        // Nor by another way to the same units.
        let init = format!(r#"{{"productId":"{product}","quantity":50}}"#);
        let init = by(t, &asker_token, "POST", "/init", &init)?;
        all.push(Got::refused(&init, 202, "approval_required"));
        let unchanged = capacity(t, &product)? == Some(5);
        // What is needed is somebody else.
        let asked = by(t, &far_token, "POST", &path, r#"{"quantity":6}"#)?.member("approval");
        let path = format!("/admin/approvals/{asked}/approve");
        let (_, second) = crate::attack::client::OPERATORS[1];
        let approved = by(t, second, "POST", &path, "{}")?;
        for name in [asker, puppet, far] {
            t.admin("DELETE", &format!("/admin/tokens/{name}"), "")?;
        }
        Ok(Got::all(all)
            .and(Got::of(unchanged, ""))
            .and(control(&approved, "applied"))
            .and(Got::of(capacity(t, &product)? == Some(6), "")))
    }),
    Attack::on_ours("units of a reversal without approval", "API6", "202; no unit more", |t| {
        let t = &*t.ours()?.hasty;
        let product = t.sale(5)?;
        let (order, ..) = t.accepted(&product)?;
        let (_, operator) = crate::attack::client::OPERATORS[1];
        let body = format!(
            r#"{{"product":"{product}","orders":["{order}"],"restock":true,"reason":"attack"}}"#
        );
        let first = by(t, operator, "POST", "/admin/incident/reverse", &body)?;
        let again = by(t, operator, "POST", "/admin/incident/reverse", &body)?;
        let approval = first.member("approval");
        let path = format!("/admin/approvals/{approval}/approve");
        let own = by(t, operator, "POST", &path, "{}")?;
        let fewer = capacity(t, &product)? == Some(4);
        let approved = t.admin("POST", &path, "{}")?;
        let once = t.admin("POST", &path, "{}")?;
        Ok(Got::refused(&first, 202, "approval_required")
            .and(Got::of(again.json()["reversed"] == 0, ""))
            .and(Got::refused(&own, 403, "forbidden"))
            .and(Got::of(fewer, if fewer { "" } else { "units without approval" }))
            .and(control(&approved, "applied"))
            .and(Got::of(once.member("reason") == "already_applied", ""))
            .and(Got::of(capacity(t, &product)? == Some(5), "")))
    }),
];

/// What the attack does not concern must go on to work.
fn control(answer: &Answer, word: &str) -> Got {
    let works = matches!(answer.status, 200..300) && (word.is_empty() || answer.word() == word);
    let what = if works { String::new() } else { format!("control failed: {}", answer.summary()) };
    Got::of(works, what)
}

fn block(t: &Target, target: &str) -> anyhow::Result<()> {
    let until = t.now_ms() + LASTS_MS;
    let body = format!(r#"{{{target},"until":{until},"reason":"attack"}}"#);
    let answer = t.admin("POST", "/admin/blocks", &body)?;
    anyhow::ensure!(answer.word() == "applied", "no block: {}", answer.text());
    Ok(())
}

fn lift(t: &Target, target: &str) -> anyhow::Result<()> {
    let answer = t.admin("DELETE", "/admin/blocks", target)?;
    anyhow::ensure!(answer.word() == "applied", "not lifted: {}", answer.text());
    Ok(())
}

/// A name that was not used before and that operators may have.
fn token_name(t: &Target) -> String {
    t.unique("op")
}

fn make(t: &Target, maker: &str, name: &str, role: &str) -> anyhow::Result<String> {
    let body = format!(r#"{{"name":"{name}","role":"{role}"}}"#);
    let made = by(t, maker, "POST", "/admin/tokens", &body)?;
    anyhow::ensure!(made.status == 201, "no token: {}", made.text());
    Ok(made.member("token"))
}

/// An operator's call by this token.
pub(super) fn by(
    t: &Target,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> anyhow::Result<Answer> {
    let draft = Draft::new(method, path, body)
        .set("authorization", format!("Bearer {token}"))
        .set("content-type", "application/json")
        .set("idempotency-key", t.unique("op"));
    t.to_operator(&draft)
}

fn capacity(t: &Target, product: &str) -> anyhow::Result<Option<u64>> {
    let shown = t.admin("GET", &format!("/admin/products/{product}"), "")?;
    Ok(shown.json()["capacity"].as_u64())
}
