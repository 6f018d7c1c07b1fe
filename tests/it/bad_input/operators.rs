//! The operator's calls.

use super::{Case, Expect, MARK};
use crate::support::draft::Draft;
use crate::support::server::ADMIN_TOKEN;

const INVALID: Expect = Expect::Word(400, "invalid_request");
const UNKNOWN: Expect = Expect::Word(401, "unauthorized");
const NO_KEY: Expect = Expect::Word(400, "missing_idempotency_key");

pub fn cases() -> Vec<Case> {
    let mut cases = bodies();
    cases.extend(paths());
    cases.extend(heads());
    cases.extend(privacy());
    cases.into_iter().map(Case::for_operator).collect()
}

fn call(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Draft {
    Draft::new(method, path, body).set("authorization", format!("Bearer {ADMIN_TOKEN}"))
}

fn bodies() -> Vec<Case> {
    let inits = [
        "",
        " ",
        "{",
        "{}",
        "[]",
        "null",
        "1",
        "\"x\"",
        "\0",
        "{\"productId\":\"x\"}",
        "{\"quantity\":1}",
        "{\"productId\":1,\"quantity\":1}",
        "{\"productId\":null,\"quantity\":1}",
        "{\"productId\":\"\",\"quantity\":1}",
        "{\"productId\":\"X\",\"quantity\":1}",
        "{\"productId\":\"x\",\"quantity\":\"1\"}",
        "{\"productId\":\"x\",\"quantity\":-1}",
        "{\"productId\":\"x\",\"quantity\":1.5}",
        "{\"productId\":\"x\",\"quantity\":1e3}",
        "{\"productId\":\"x\",\"quantity\":4294967296}",
        "{\"productId\":\"x\",\"quantity\":1e999}",
        "{\"productId\":\"x\",\"quantity\":1000000001}",
        "{\"productId\":\"x\",\"quantity\":null}",
        "{\"productId\":\"x\",\"quantity\":[1]}",
        "{\"productId\":\"x\",\"quantity\":true}",
        "{\"productId\":\"x\",\"quantity\":1,\"quantity\":2}",
        "{\"productId\":\"x\",\"quantity\":01}",
        "{\"productId\":\"x\",\"quantity\":1,\"sold\":0}",
        "{\"productId\":\"x\",\"quantity\":1}x",
        "{\"product_id\":\"x\",\"quantity\":1}",
        "{\"productId\":\"\\ud800\",\"quantity\":1}",
        "{\"productId\":\"zqmarkqz!\",\"quantity\":1}",
        "{\"productId\":\"x\",\"quantity\":\"zqmarkqz\"}",
        "{\"zqmarkqz\":1}",
        "zqmarkqz",
        "\u{feff}{\"productId\":\"x\",\"quantity\":1}",
    ];
    let mut cases = Vec::new();
    for body in inits {
        for path in ["/init", "/admin/products"] {
            let draft = call("POST", path, body);
            cases.push(Case::new(format!("{path} {body}"), draft.bytes(), INVALID));
        }
    }
    let deep = "[".repeat(16_000);
    cases.push(Case::new("deep body", call("POST", "/init", deep).bytes(), INVALID));
    let members = [
        "\"opensAt\":-1",
        "\"opensAt\":\"now\"",
        "\"opensAt\":1.5",
        "\"closesAt\":1,\"opensAt\":2",
        "\"opensAt\":2,\"closesAt\":2",
        "\"perBuyerLimit\":0",
        "\"perBuyerLimit\":-1",
        "\"perBuyerLimit\":1000001",
        "\"perBuyerLimit\":4294967296",
        "\"repeatWindowSeconds\":-1",
        "\"repeatWindowSeconds\":31622401",
        "\"repeatWindowSeconds\":18446744073709551615",
        "\"repeatWindowSeconds\":18446744073709551616",
        "\"opensAt\":18446744073709551616",
        "\"opensAt\":253402300800000",
        "\"closesAt\":253402300800000",
        "\"zqmarkqz\":1",
        "\"perBuyerLimit\":\"zqmarkqz\"",
    ];
    for member in members {
        let body = format!(r#"{{"productId":"never","quantity":1,{member}}}"#);
        let draft = call("POST", "/admin/products", body);
        cases.push(Case::new(format!("create {member}"), draft.bytes(), INVALID));
    }
    for body in [
        "",
        "{}",
        "{\"quantity\":-1}",
        "{\"quantity\":1,\"x\":1}",
        "{\"quantity\":1000000001}",
        "[]",
    ] {
        let draft = call("POST", "/admin/products/good/restock", body).set("idempotency-key", "r");
        cases.push(Case::new(format!("restock {body}"), draft.bytes(), INVALID));
    }
    let reversals = [
        "",
        "{}",
        "{\"restock\":true}",
        "{\"reason\":\"x\"}",
        "{\"restock\":1,\"reason\":\"x\"}",
        "{\"restock\":true,\"reason\":\"\"}",
        "{\"restock\":true,\"reason\":1}",
    ];
    for body in reversals {
        let draft = call("POST", "/admin/orders/x/reverse", body);
        cases.push(Case::new(format!("reverse {body}"), draft.bytes(), INVALID));
    }
    let long = format!(r#"{{"restock":true,"reason":"{}"}}"#, MARK.repeat(30));
    let draft = call("POST", "/admin/orders/x/reverse", long);
    cases.push(Case::new("reverse for a long reason", draft.bytes(), INVALID));
    let huge = call("POST", "/init", vec![b' '; 100_000]);
    cases.push(Case::new("huge body", huge.bytes(), Expect::StatusOrNone(&[413])));
    cases
}

fn privacy() -> Vec<Case> {
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "\"zqmarkqz\"",
        "{\"userId\":null}",
        "{\"userId\":1}",
        "{\"userId\":\"\"}",
        "{\"userId\":\"zqmarkqz ZQ\"}",
        "{\"userId\":\"\\u0000\"}",
        "{\"userId\":\"\\ud800\"}",
        "{\"userId\":\"zqmarkqz\\n\"}",
        "{\"userId\":[\"zqmarkqz\"]}",
        "{\"userId\":\"a\",\"userId\":\"b\"}",
        "{\"userId\":\"a\",\"nameSpace\":\"zqmarkqz zq\"}",
        "{\"userId\":\"a\",\"nameSpace\":\"\"}",
        "{\"userId\":\"a\",\"nameSpace\":1}",
        "{\"userId\":\"a\",\"zqmarkqz\":1}",
        "{\"user_id\":\"a\"}",
    ];
    let mut cases = Vec::new();
    for what in ["export", "status", "erase"] {
        for body in bodies {
            // What is refused is refused with a reason and a key as well.
            let body = match (what, body.strip_suffix('}')) {
                ("erase", Some(rest)) if rest.len() > 1 => format!("{rest},\"reason\":\"x\"}}"),
                _ => body.to_owned(),
            };
            let path = format!("/admin/privacy/{what}");
            let draft = call("POST", &path, body.as_str()).set("idempotency-key", "e");
            cases.push(Case::new(format!("{path} {body}"), draft.bytes(), INVALID));
        }
        let long = format!(r#"{{"userId":"{}"}}"#, MARK.repeat(40));
        let draft = call("POST", &format!("/admin/privacy/{what}"), long);
        cases.push(Case::new(format!("{what} of a long name"), draft.bytes(), INVALID));
        let draft = call("GET", &format!("/admin/privacy/{what}"), "");
        cases.push(Case::new(format!("GET {what}"), draft.bytes(), Expect::Status(&[405])));
    }
    for reason in ["", " ", "a\\nb", "about zqmarkqz"] {
        let body = format!(r#"{{"userId":"zqmarkqz","reason":"{reason}"}}"#);
        let draft = call("POST", "/admin/privacy/erase", body).set("idempotency-key", "e");
        cases.push(Case::new(format!("erase for {reason:?}"), draft.bytes(), INVALID));
    }
    let draft = call("POST", "/admin/privacy/erase", r#"{"userId":"zqmarkqz","reason":"x"}"#);
    cases.push(Case::new("erase without a key", draft.bytes(), NO_KEY));
    cases
}

fn paths() -> Vec<Case> {
    let mut cases = Vec::new();
    for path in
        ["/admin", "/admin/", "/order", "/session", "/init/", "/admin/products/", "/zqmarkqz"]
    {
        let expect = Expect::Status(&[404, 405]);
        cases.push(Case::new(format!("GET {path}"), call("GET", path, "").bytes(), expect));
    }
    for id in ["X", "%00", "%ff", "a%2fb", "a%20b", "none", "%c0%80", "..", "'", "%F0%9F%98%80"] {
        let expect = Expect::Status(&[400, 404]);
        let show = call("GET", &format!("/admin/products/{id}"), "");
        cases.push(Case::new(format!("show {id}"), show.bytes(), expect));
        let pause = call("POST", &format!("/admin/products/{id}/pause"), "{}");
        let pause = pause.set("idempotency-key", "p");
        cases.push(Case::new(format!("pause {id}"), pause.bytes(), expect));
        let reverse = call(
            "POST",
            &format!("/admin/orders/{id}/reverse"),
            r#"{"restock":true,"reason":"x"}"#,
        );
        cases.push(Case::new(format!("reverse {id}"), reverse.bytes(), expect));
    }
    let queries = [
        "product=X",
        "product=",
        "product=a&product=b",
        "after=x",
        "after=-1",
        "limit=x",
        "limit=-1",
        "other=1",
        "product=%00",
        "product=%ff",
        "product=zqmarkqz!",
        "after=zqmarkqz",
        "zqmarkqz=1",
        "after=18446744073709551616",
    ];
    for query in queries {
        let draft = call("GET", &format!("/admin/orders?{query}"), "");
        cases.push(Case::new(format!("orders {query}"), draft.bytes(), INVALID));
    }
    for method in ["PUT", "DELETE", "PATCH", "GET", "TRACE", "OPTIONS", "post"] {
        let draft = call(method, "/init", "");
        cases.push(Case::new(format!("{method} /init"), draft.bytes(), Expect::Status(&[405])));
    }
    cases
}

fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    let tokens = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic x",
        "Bearer zqmarkqz",
        "Bearer \u{e9}",
        ADMIN_TOKEN,
        "Bearer  test",
        "Bearer admin",
        "Bearer null",
    ];
    for token in tokens {
        for path in ["/init", "/admin/products/good/pause"] {
            let draft = Draft::new("POST", path, "{}").set("authorization", token);
            cases.push(Case::new(format!("{path} by {token:?}"), draft.bytes(), UNKNOWN));
        }
    }
    let keys = [
        "",
        "\"\"",
        "a b",
        "a.b",
        "zqmarkqz!",
        "\u{e9}",
        "a,b",
        "\"a",
        &"k".repeat(65),
        &"k".repeat(5_000),
    ];
    for key in keys {
        let draft = call("POST", "/admin/products/good/pause", "{}").set("idempotency-key", key);
        let name: String = key.chars().take(20).collect();
        cases.push(Case::new(
            format!("pause under {name:?} of {}", key.len()),
            draft.bytes(),
            NO_KEY,
        ));
    }
    let twice = call("POST", "/admin/products/good/pause", "{}")
        .set("idempotency-key", "a")
        .add("x-idempotency-key", "a");
    cases.push(Case::new("pause under two keys", twice.bytes(), NO_KEY));
    let none = call("POST", "/admin/products/good/pause", "{}");
    cases.push(Case::new("pause under no key", none.bytes(), NO_KEY));
    cases
}
