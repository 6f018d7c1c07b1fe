//! The operator's calls.

use super::{Attack, Draft, Got, Target};
use crate::attack::client::OPERATORS;
use crate::attack::support::draft::Signer;

/// Calls that change a sale, with a product's id as `{}`: path, body, least role.
const CHANGES: [(&str, &str, &str); 9] = [
    ("/init", r#"{"productId":"{}","quantity":9}"#, "operator"),
    ("/admin/products", r#"{"productId":"{}-new","quantity":9}"#, "operator"),
    ("/admin/products/{}/open", "{}", "operator"),
    ("/admin/products/{}/close", "{}", "operator"),
    ("/admin/products/{}/pause", "{}", "operator"),
    ("/admin/products/{}/resume", "{}", "operator"),
    ("/admin/products/{}/restock", r#"{"quantity":9}"#, "operator"),
    (
        "/admin/orders/00000000-0000-8000-8000-000000000000/reverse",
        r#"{"restock":true,"reason":"x"}"#,
        "operator",
    ),
    ("/admin/products/{}/archive", "{}", "admin"),
];
/// Calls that read.
const READS: [&str; 4] = ["/metrics", "/admin/products", "/admin/products/{}", "/admin/orders"];

pub const ATTACKS: &[Attack] = &[
    Attack::new("/init on the public listener", "API5", "404 not_found", |t| {
        let product = t.unique("p");
        let body = format!(r#"{{"productId":"{product}","quantity":5}}"#);
        let bare = Draft::new("POST", "/init", body);
        let with_token = bare.clone().set("authorization", format!("Bearer {}", t.admin_token));
        let signed = bare.clone().sign(&t.client, t.now_ms());
        let mut all = Vec::new();
        for draft in [bare, with_token, signed] {
            all.push(Got::refused(&t.send(&draft)?, 404, "not_found"));
        }
        let made = t.admin("GET", &format!("/admin/products/{product}"), "")?;
        Ok(Got::all(all).and(Got::refused(&made, 404, "unknown_product")))
    }),
    Attack::new("operator's calls on the public listener", "API5", "404 not_found", |t| {
        let product = t.sale(5)?;
        let bearer = format!("Bearer {}", t.admin_token);
        let mut all = Vec::new();
        for path in READS {
            let draft = Draft::new("GET", &path.replace("{}", &product), "");
            all.push(Got::refused(
                &t.send(&draft.set("authorization", &bearer))?,
                404,
                "not_found",
            ));
        }
        for (path, body, _) in CHANGES {
            let draft = Draft::new("POST", &path.replace("{}", &product), body)
                .set("authorization", &bearer)
                .set("host", t.operator.to_string());
            all.push(Got::refused(&t.send(&draft)?, 404, "not_found"));
        }
        Ok(Got::all(all))
    }),
    Attack::new("/init without the operator's token", "API2", "401 unauthorized", |t| {
        let product = t.unique("p");
        let body = format!(r#"{{"productId":"{product}","quantity":5}}"#);
        let token = &t.admin_token;
        let wrong = [
            None,
            Some(String::new()),
            Some("Bearer".to_owned()),
            Some("Bearer ".to_owned()),
            Some(format!("Bearer {}", &token[..token.len() - 1])),
            Some(format!("Bearer {token}x")),
            Some(format!("Bearer  {token}")),
            Some(format!("Basic {token}")),
            Some(token.clone()),
            Some(format!("Bearer {}", token.to_uppercase())),
            Some("Bearer admin".to_owned()),
            Some("Bearer null".to_owned()),
        ];
        let mut all = Vec::new();
        for value in wrong {
            let draft = Draft::new("POST", "/init", body.clone());
            let draft = match value {
                Some(value) => draft.set("authorization", value),
                None => draft,
            };
            all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
        }
        let in_query =
            Draft::new("POST", &format!("/init?token={token}&access_token={token}"), body);
        all.push(Got::refused(&t.to_operator(&in_query)?, 401, "unauthorized"));
        let made = t.admin("GET", &format!("/admin/products/{product}"), "")?;
        Ok(Got::all(all).and(Got::refused(&made, 404, "unknown_product")))
    }),
    Attack::new("every operator's call without a token", "API2", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for path in READS {
            let draft = Draft::new("GET", &path.replace("{}", &product), "");
            all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
        }
        for (path, body, _) in CHANGES {
            let [path, body] = [path, body].map(|text| text.replace("{}", &product));
            let draft = Draft::new("POST", &path, body).set("idempotency-key", t.unique("op"));
            all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
        }
        Ok(Got::all(all))
    }),
    Attack::new("two tokens, the good one second", "API2", "401 unauthorized", |t| {
        let draft = Draft::new("GET", "/admin/products", "")
            .set("authorization", "Bearer wrong")
            .add("authorization", format!("Bearer {}", t.admin_token));
        Ok(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"))
    }),
    Attack::new("shopper or client as an operator", "API5", "401 unauthorized", |t| {
        let shopper = t.shopper()?;
        let mut all = Vec::new();
        for signer in [&shopper.signer, &t.client] {
            let draft = Draft::new("GET", "/admin/orders", "").sign(signer, t.now_ms());
            all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
        }
        if let Signer::Client { secret, .. } = &t.client {
            let draft = Draft::new("GET", "/admin/orders", "")
                .set("authorization", format!("Bearer {secret}"));
            all.push(Got::refused(&t.to_operator(&draft)?, 401, "unauthorized"));
        }
        Ok(Got::all(all))
    }),
    Attack::new("operator's token on a public call", "API2", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let signer =
            Signer::Shopper { pass: t.admin_token.clone(), session_key: t.admin_token.clone() };
        let draft = Draft::order(&product, "admin", &t.unique("k"));
        let answer = t.send(&draft.sign(&signer, t.now_ms()))?;
        Ok(Got::refused(&answer, 401, "unauthorized").and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("viewer changes a sale", "API5", "403 forbidden", |t| changes_as(t, 0)),
    Attack::on_ours("operator archives a sale", "API5", "403 forbidden", |t| changes_as(t, 1)),
    Attack::new("/init repeated without a key", "API6", "400; the stock stays", |t| {
        let product = t.unique("p");
        let body = format!(r#"{{"productId":"{product}","quantity":5}}"#);
        let init = || {
            Draft::new("POST", "/init", body.clone())
                .set("authorization", format!("Bearer {}", t.admin_token))
        };
        let first = Got::status(&t.to_operator(&init())?, &[200]);
        t.accepted(&product)?;
        let second = Got::refused(&t.to_operator(&init())?, 400, "missing_idempotency_key");
        Ok(first.and(second).and(capacity(t, &product, 5)?))
    }),
    Attack::new("/init repeated with its key", "API6", "applied once", |t| {
        let product = t.sale(5)?;
        t.accepted(&product)?;
        let draft =
            Draft::new("POST", "/init", format!(r#"{{"productId":"{product}","quantity":3}}"#))
                .set("authorization", format!("Bearer {}", t.admin_token))
                .set("idempotency-key", t.unique("op"));
        let first = Got::status(&t.to_operator(&draft)?, &[200]);
        t.accepted(&product)?;
        let second = Got::status(&t.to_operator(&draft)?, &[200]);
        // 1 sold and 3 left when it was applied; the repetition adds nothing, though another was sold.
        Ok(first.and(second).and(capacity(t, &product, 4)?))
    }),
    Attack::new("stock set to nonsense", "API6", "400 invalid_request", |t| {
        let product = t.sale(5)?;
        let quantities =
            ["-1", "1.5", "1e3", "\"5\"", "null", "4294967296", "1000000001", "[]", "true", "NaN"];
        let mut all = Vec::new();
        for quantity in quantities {
            let body = format!(r#"{{"productId":"{product}","quantity":{quantity}}}"#);
            all.push(Got::refused(&t.admin("POST", "/init", &body)?, 400, "invalid_request"));
        }
        Ok(Got::all(all).and(capacity(t, &product, 5)?))
    }),
    Attack::new("extra members in an operator's call", "API3", "400 invalid_request", |t| {
        let product = t.sale(5)?;
        let init = format!(r#"{{"productId":"{product}","quantity":9,"sold":0}}"#);
        let restock = r#"{"quantity":9,"capacity":100}"#;
        let path = format!("/admin/products/{product}/restock");
        Ok(Got::refused(&t.admin("POST", "/init", &init)?, 400, "invalid_request")
            .and(Got::refused(&t.admin("POST", &path, restock)?, 400, "invalid_request"))
            .and(capacity(t, &product, 5)?))
    }),
    Attack::new("a product opened again after it was archived", "API6", "409 conflict", |t| {
        let product = t.sale(1)?;
        t.accepted(&product)?;
        t.admin("POST", &format!("/admin/products/{product}/archive"), "{}")?;
        let body = format!(r#"{{"productId":"{product}","quantity":5}}"#);
        let created = t.admin("POST", "/admin/products", &body)?;
        let initialised = t.admin("POST", "/init", &body)?;
        let shopper = t.shopper()?;
        let draft = t.order(&product, &shopper);
        let mut order = t.send(&draft)?;
        // Its orders move to the ledger first; until then nothing can be said.
        for _ in 0..50 {
            if order.status != 503 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
            order = t.send(&draft)?;
        }
        Ok(Got::refused(&created, 409, "conflict")
            .and(Got::refused(&initialised, 409, "conflict"))
            .and(Got::refused(&order, 403, "closed")))
    }),
    Attack::new("operator's call by a web page", "API8", "no leave to read", |t| {
        let draft = Draft::new("OPTIONS", "/init", "")
            .set("origin", "https://evil.test")
            .set("access-control-request-method", "POST")
            .set("access-control-request-headers", "authorization");
        let answer = t.to_operator(&draft)?;
        let allowed = answer.header("access-control-allow-origin").is_some();
        Ok(Got::of(!allowed, answer.summary()))
    }),
];

fn capacity(target: &Target, product: &str, units: u64) -> anyhow::Result<Got> {
    let answer = target.admin("GET", &format!("/admin/products/{product}"), "")?;
    let capacity = answer.json()["capacity"].as_u64();
    Ok(Got::of(capacity == Some(units), format!("capacity {}", capacity.unwrap_or_default())))
}

/// What this operator's role does not allow must be refused, and nothing may change.
fn changes_as(target: &Target, index: usize) -> anyhow::Result<Got> {
    let (role, token) = OPERATORS[index];
    let product = target.sale(5)?;
    let mut all = Vec::new();
    for (path, body, least) in CHANGES {
        if least == role {
            continue;
        }
        let [path, body] = [path, body].map(|text| text.replace("{}", &product));
        let draft = Draft::new("POST", &path, body)
            .set("authorization", format!("Bearer {token}"))
            .set("idempotency-key", target.unique("op"));
        all.push(Got::refused(&target.to_operator(&draft)?, 403, "forbidden"));
    }
    let shown = target.admin("GET", &format!("/admin/products/{product}"), "")?;
    let untouched = shown.member("status") == "open";
    Ok(Got::all(all).and(Got::of(untouched, "")).and(capacity(target, &product, 5)?))
}
