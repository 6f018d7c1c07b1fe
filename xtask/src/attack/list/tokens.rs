//! Merchants' JWTs at `POST /session`.

use anyhow::ensure;
use serde_json::{Value, json};

use super::{Attack, Draft, Got, Target};
use crate::attack::jwt::{
    self, AUDIENCE, ES_ISSUER, HS_ISSUER, HS_SECRET, RS_ISSUER, bare, claims, header, hs,
};

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("JWT with alg none", "API2", "401 unauthorized", |t| {
        let claims = claims(HS_ISSUER, "mallory", t.now_ms());
        let names = ["none", "None", "NONE", "nOnE", ""];
        tried(t, names.map(|name| bare(&header(name), &claims)))
    }),
    Attack::on_ours("JWT without its signature", "API2", "401 unauthorized", |t| {
        let claims = claims(HS_ISSUER, "mallory", t.now_ms());
        let token = bare(&header("HS256"), &claims);
        let cut = token.trim_end_matches('.').to_owned();
        tried(t, [token, cut])
    }),
    Attack::on_ours("JWT key confusion: HS256 with the public key", "API2", "401", |t| {
        let issuers = &t.ours()?.issuers;
        let mut tokens = Vec::new();
        for (issuer, pem) in [(ES_ISSUER, issuers.es_pem()?), (RS_ISSUER, issuers.rs_pem()?)] {
            let claims = claims(issuer, "mallory", t.now_ms());
            for secret in [pem.as_str(), pem.trim_end(), ""] {
                tokens.push(hs(secret.as_bytes(), &header("HS256"), &claims));
            }
        }
        tried(t, tokens)
    }),
    Attack::on_ours("JWT of one issuer in another's name", "API2", "401 unauthorized", |t| {
        let issuers = &t.ours()?.issuers;
        let [hs_claims, es_claims, rs_claims] =
            [HS_ISSUER, ES_ISSUER, RS_ISSUER].map(|name| claims(name, "mallory", t.now_ms()));
        tried(
            t,
            [
                issuers.es(&header("ES256"), &hs_claims)?,
                issuers.es(&header("ES256"), &rs_claims)?,
                issuers.rs(&header("RS256"), &es_claims)?,
                hs(HS_SECRET.as_bytes(), &header("HS256"), &es_claims),
                issuers.rs(&header("ES256"), &es_claims)?,
            ],
        )
    }),
    Attack::on_ours("JWT of an unknown issuer", "API2", "401 unauthorized", |t| {
        let names = ["https://evil.test", "", "https://hs.shop.test/", "HTTPS://HS.SHOP.TEST"];
        tried(t, names.map(|name| good(t, |claims| claims["iss"] = name.into())))
    }),
    Attack::on_ours("JWT without issuer, or with a list of them", "API2", "401", |t| {
        tried(
            t,
            [
                good(t, |claims| remove(claims, "iss")),
                good(t, |claims| claims["iss"] = json!([HS_ISSUER])),
                good(t, |claims| claims["iss"] = json!({ "name": HS_ISSUER })),
            ],
        )
    }),
    Attack::on_ours("JWT for another audience", "API2", "401 unauthorized", |t| {
        let audiences = [
            json!("other"),
            json!(""),
            json!(["other"]),
            json!([]),
            json!({}),
            json!(1),
            json!("flux"),
        ];
        let mut tokens: Vec<String> = audiences
            .into_iter()
            .map(|audience| good(t, |claims| claims["aud"] = audience.clone()))
            .collect();
        tokens.push(good(t, |claims| remove(claims, "aud")));
        tried(t, tokens)
    }),
    Attack::on_ours("JWT without exp, or with one that is text", "API2", "401", |t| {
        let later = t.now_ms() / 1_000 + 300;
        let texts = [json!(later.to_string()), json!(null), json!(true), json!([later]), json!(-1)];
        let mut tokens: Vec<String> =
            texts.into_iter().map(|exp| good(t, |claims| claims["exp"] = exp.clone())).collect();
        tokens.push(good(t, |claims| remove(claims, "exp")));
        tried(t, tokens)
    }),
    Attack::on_ours("JWT that has expired", "API2", "401 unauthorized", |t| {
        let now = t.now_ms() / 1_000;
        let times = [json!(now - 40), json!(now - 86_400), json!(0), json!(now as f64 - 31.5)];
        tried(t, times.map(|exp| good(t, |claims| claims["exp"] = exp.clone())))
    }),
    Attack::on_ours("JWT that is not good yet", "API2", "401 unauthorized", |t| {
        let times = [json!(t.now_ms() / 1_000 + 60), json!("0"), json!(null)];
        tried(t, times.map(|nbf| good(t, |claims| claims["nbf"] = nbf.clone())))
    }),
    Attack::on_ours("JWT that brings its own key: jwk, jku, x5u, x5c", "API2, API7", "401", |t| {
        let claims = claims(HS_ISSUER, "mallory", t.now_ms());
        let headers = [
            json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "bXktb3duLWtleQ" } }),
            json!({ "alg": "HS256", "jku": "http://127.0.0.1:1/jwks.json" }),
            json!({ "alg": "HS256", "x5u": "http://127.0.0.1:1/cert.pem" }),
            json!({ "alg": "HS256", "x5c": ["bXktb3duLWtleQ=="] }),
        ];
        tried(t, headers.map(|header| hs(b"my-own-key", &header, &claims)))
    }),
    Attack::on_ours("JWT with a kid that is a path or SQL", "API2", "401 unauthorized", |t| {
        let claims = claims(HS_ISSUER, "mallory", t.now_ms());
        let kids = ["../../../../dev/null", "' UNION SELECT '' --", "http://127.0.0.1:1/", "\0"];
        tried(t, kids.map(|kid| hs(b"", &json!({ "alg": "HS256", "kid": kid }), &claims)))
    }),
    Attack::on_ours("JWT with critical extensions", "API2", "401 unauthorized", |t| {
        let claims = claims(HS_ISSUER, "mallory", t.now_ms());
        let header = json!({ "alg": "HS256", "crit": ["b64"], "b64": false });
        tried(t, [hs(HS_SECRET.as_bytes(), &header, &claims)])
    }),
    Attack::on_ours("JWT whose claims were changed", "API2", "401 unauthorized", |t| {
        let token = good(t, |_| {});
        let other = good(t, |claims| claims["sub"] = "admin".into());
        let parts: Vec<&str> = token.split('.').collect();
        let others: Vec<&str> = other.split('.').collect();
        tried(
            t,
            [
                format!("{}.{}.{}", parts[0], others[1], parts[2]),
                format!("{}.{}.{}A", parts[0], parts[1], parts[2]),
                format!("{token}.{}", parts[2]),
                format!("{}.{}", parts[0], parts[1]),
            ],
        )
    }),
    Attack::on_ours("JWT whose user is not one", "API2", "401 unauthorized", |t| {
        let users = [
            json!(""),
            json!("A B"),
            json!("a'--"),
            json!("u".repeat(51)),
            json!(null),
            json!(["u"]),
            json!({ "id": "u" }),
            json!(-1),
            json!(1.5),
        ];
        tried(t, users.map(|user| good(t, |claims| claims["sub"] = user.clone())))
    }),
    Attack::on_ours("JWT in place of a session pass", "API2", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let token = good(t, |_| {});
        let order = Draft::order(&product, "mallory", &t.unique("k"))
            .set("authorization", format!("Bearer {token}"))
            .set("x-request-time", t.now_ms().to_string());
        let signature = order.signature(HS_SECRET);
        let answer = t.send(&order.set("x-signature", signature))?;
        Ok(Got::refused(&answer, 401, "unauthorized").and(t.must_have_sold(&product, 0)?))
    }),
];

/// Good tokens of every issuer open sessions.
///
/// # Errors
/// One does not.
pub fn controls(target: &Target) -> anyhow::Result<()> {
    let issuers = &target.ours()?.issuers;
    let claims = |issuer| claims(issuer, &target.unique("j"), target.now_ms());
    let tokens = [
        hs(HS_SECRET.as_bytes(), &header("HS256"), &claims(HS_ISSUER)),
        issuers.es(&header("ES256"), &claims(ES_ISSUER))?,
        issuers.rs(&header("RS256"), &claims(RS_ISSUER))?,
    ];
    for token in tokens {
        let answer = ask(target, &token)?;
        ensure!(answer.status == 200, "no session for a good JWT: {}", answer.text());
    }
    ensure!(jwt::AUDIENCE == AUDIENCE, "one audience");
    Ok(())
}

fn ask(target: &Target, token: &str) -> anyhow::Result<crate::attack::support::wire::Answer> {
    let draft = Draft::new("POST", "/session", "{}")
        .set("content-type", "application/json")
        .set("authorization", format!("Bearer {token}"));
    target.send(&draft)
}

/// None of these tokens may open a session.
fn tried(target: &Target, tokens: impl IntoIterator<Item = String>) -> anyhow::Result<Got> {
    let mut all = Vec::new();
    for token in tokens {
        let answer = ask(target, &token)?;
        let got = Got::refused(&answer, 401, "unauthorized");
        // What was wrong with which token is told only where it went wrong.
        all.push(if got.blocked {
            got
        } else {
            Got::of(false, format!("{} for {token}", got.what))
        });
    }
    Ok(Got::all(all))
}

/// A token of the issuer with a shared secret, good but for this change.
fn good(target: &Target, change: impl Fn(&mut Value)) -> String {
    let mut claims = claims(HS_ISSUER, "mallory", target.now_ms());
    change(&mut claims);
    hs(HS_SECRET.as_bytes(), &header("HS256"), &claims)
}

fn remove(claims: &mut Value, name: &str) {
    if let Some(claims) = claims.as_object_mut() {
        claims.remove(name);
    }
}
