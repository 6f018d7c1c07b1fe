//! Texts that another layer might take for its own language.

use super::{Attack, Draft, Got};
use crate::attack::support::wire::Answer;

/// Ids that SQL, a shell, a template, a path or a key-value store might read.
const HOSTILE: [&str; 20] = [
    "' OR '1'='1",
    "x'; DROP TABLE log; --",
    "1 UNION SELECT 1",
    "x\\\" OR 1=1",
    "$(id)",
    "`id`",
    "; ls",
    "| cat",
    "${7*7}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "..%2f..%2f",
    "x\\r\\nSET product:stock 999",
    "product:*",
    "%00",
    "${jndi:ldap://127.0.0.1/a}",
    "*",
    "a\\u0000b",
    "constructor",
];

pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "hostile text as product or user",
        "API8",
        "400 invalid_request, not echoed",
        |t| {
            let product = t.sale(50)?;
            let mut all = Vec::new();
            for hostile in HOSTILE.into_iter().filter(|text| *text != "constructor") {
                for (product, user) in [(hostile, "u"), (product.as_str(), hostile)] {
                    let draft = Draft::order(product, user, &t.unique("k"));
                    let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
                    all.push(
                        Got::refused(&answer, 400, "invalid_request")
                            .and(no_echo(&answer, hostile)),
                    );
                }
            }
            Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
        },
    ),
    Attack::new("hostile text as idempotency key", "API8", "400, not echoed", |t| {
        let product = t.sale(50)?;
        let mut all = Vec::new();
        for hostile in HOSTILE.into_iter().filter(|text| *text != "constructor") {
            let draft = Draft::order(&product, &t.unique("u"), hostile);
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            let refused = Got::refused(&answer, 400, "missing_idempotency_key");
            all.push(refused.and(no_echo(&answer, hostile)));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("hostile text in a path", "API8", "404, 400; not echoed", |t| {
        let mut all = Vec::new();
        for hostile in HOSTILE {
            let coded: String = hostile.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for path in [format!("/products/{coded}"), format!("/orders/{coded}")] {
                let shopper = t.shopper()?;
                let draft = Draft::new("GET", &path, "").sign(&shopper.signer, t.now_ms());
                let answer = t.send(&draft)?;
                all.push(Got::status(&answer, &[400, 404]).and(no_echo(&answer, hostile)));
            }
        }
        Ok(Got::all(all))
    }),
    Attack::new("hostile text in the operator's calls", "API8", "400, 404", |t| {
        let mut all = Vec::new();
        for hostile in HOSTILE.into_iter().filter(|text| *text != "constructor") {
            let coded: String = hostile.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let body = format!(r#"{{"productId":"{hostile}","quantity":5}}"#);
            all.push(Got::status(&t.admin("POST", "/init", &body)?, &[400]));
            let orders = t.admin("GET", &format!("/admin/orders?product={coded}"), "")?;
            all.push(Got::status(&orders, &[400]));
            all.push(Got::status(
                &t.admin("GET", &format!("/admin/products/{coded}"), "")?,
                &[404],
            ));
        }
        Ok(Got::all(all))
    }),
    Attack::new("members twice, the good one last", "API8", "400 invalid_request", |t| {
        let product = t.sale(50)?;
        let (user, other) = (t.unique("u"), t.unique("u"));
        let bodies = [
            format!(r#"{{"productId":"{product}","userId":"{other}","userId":"{user}"}}"#),
            format!(r#"{{"userId":"{other}","productId":"{product}","\u0075serId":"{user}"}}"#),
            format!(r#"{{"productId":"x","productId":"{product}","userId":"{user}"}}"#),
            format!(r#"{{"productId":"{product}","userId":"{user}"}}{{"userId":"{other}"}}"#),
            format!(r#"[{{"productId":"{product}","userId":"{user}"}}]"#),
            format!(r#"{{"productId":["{product}"],"userId":"{user}"}}"#),
            format!(r#"{{"productId":{{"$ne":null}},"userId":"{user}"}}"#),
        ];
        let mut all = Vec::new();
        for body in bodies {
            let draft = Draft::order(&product, &user, &t.unique("k")).body(body);
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            all.push(Got::refused(&answer, 400, "invalid_request"));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("header injected by way of a value", "API8", "no header of theirs", |t| {
        let coded = "%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0aevil";
        let mut all = Vec::new();
        for path in [format!("/products/{coded}"), format!("/orders/{coded}"), format!("/{coded}")]
        {
            let answer = t.send(&Draft::new("GET", &path, ""))?;
            all.push(Got::of(answer.header("set-cookie").is_none(), answer.summary()));
        }
        let draft = Draft::new("GET", "/livez", "").set("origin", "https://a.test\r\nx-evil: 1");
        let answer = t.send(&draft)?;
        all.push(Got::of(answer.header("x-evil").is_none(), answer.summary()));
        Ok(Got::all(all))
    }),
    Attack::new("path that leads elsewhere", "API8", "404, 400, 401; never the operator's", |t| {
        let paths = [
            "/../admin/products",
            "/products/../admin/products",
            "/products/..%2f..%2fadmin%2fproducts",
            "/%2e%2e/admin/products",
            "/products/%2e%2e/%2e%2e/init",
            "//admin/products",
            "/./admin/products",
            "/admin/products;/livez",
            "/livez/../metrics",
            "/livez%2f..%2fmetrics",
            "/orders/../orders?after=0",
            "/static/../../../../etc/passwd",
            "/..\\..\\etc\\passwd",
            "/%c0%ae%c0%ae/etc/passwd",
            "/.env",
            "/.git/config",
            "/metrics",
            "/debug/pprof",
        ];
        let mut all = Vec::new();
        for path in paths {
            all.push(Got::status(&t.send(&Draft::new("GET", path, ""))?, &[400, 401, 404]));
            let answer = t.to_operator(&Draft::new("GET", path, ""))?;
            all.push(Got::status(&answer, &[400, 401, 404]));
        }
        Ok(Got::all(all))
    }),
    Attack::new("another method by header", "API5", "405 method_not_allowed", |t| {
        let names = ["x-http-method-override", "x-http-method", "x-method-override", "_method"];
        let product = t.sale(5)?;
        let shopper = t.shopper()?;
        let mut all = Vec::new();
        for name in names {
            let draft = t.order(&product, &shopper).method("GET").set(name, "POST");
            all.push(Got::refused(&t.send(&draft)?, 405, "method_not_allowed"));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("other methods", "API8", "405, nothing done or echoed", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for method in
            ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post", "POSTX"]
        {
            let draft = Draft::order(&product, &t.unique("u"), &t.unique("k")).method(method);
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            let echo = answer.text().contains(&product);
            all.push(Got::status(&answer, &[400, 405]).and(Got::of(!echo, "")));
            let bearer = format!("Bearer {}", t.admin_token);
            let path = format!("/admin/products/{product}/pause");
            if method != "OPTIONS" {
                let draft = Draft::new(method, &path, "").set("authorization", bearer);
                all.push(Got::status(&t.to_operator(&draft)?, &[400, 405]));
            }
        }
        let shown = t.admin("GET", &format!("/admin/products/{product}"), "")?;
        let untouched = Got::of(shown.member("status") == "open", "");
        Ok(Got::all(all).and(untouched).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("order as a form, so that no preflight is asked", "API8", "415", |t| {
        let product = t.sale(50)?;
        let mut all = Vec::new();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
            let draft = Draft::order(&product, &t.unique("u"), &t.unique("k"));
            let draft = draft.set("content-type", kind).sign(&t.client, t.now_ms());
            all.push(Got::refused(&t.send(&draft)?, 415, "unsupported_media_type"));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
];

/// What was sent may not come back.
fn no_echo(answer: &Answer, sent: &str) -> Got {
    let text = answer.text();
    // A text of one or two characters may be part of any answer.
    let echoed = sent.len() > 4 && text.contains(sent);
    Got::of(!echoed, if echoed { "echoed" } else { "" })
}
