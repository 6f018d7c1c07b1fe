//! Methods, paths and queries.

use super::{Case, Expect, Kit, MARK};
use crate::support::draft::Draft;

const NOT_FOUND: Expect = Expect::Word(404, "not_found");
const OTHER_METHOD: Expect = Expect::Word(405, "method_not_allowed");
const INVALID: Expect = Expect::Word(400, "invalid_request");

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = methods(kit);
    cases.extend(paths());
    cases.extend(ids(kit));
    cases.extend(queries(kit));
    cases
}

fn methods(kit: &Kit) -> Vec<Case> {
    let mut cases = Vec::new();
    for method in
        ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post", "Post", "X"]
    {
        let draft = kit.sign(kit.order().method(method));
        cases.push(Case::new(format!("{method} /order"), draft.bytes(), OTHER_METHOD));
        let draft = Draft::new(method, "/session", "");
        cases.push(Case::new(format!("{method} /session"), draft.bytes(), OTHER_METHOD));
    }
    for path in [
        "/livez",
        "/readyz",
        "/openapi.json",
        "/products/good",
        "/orders",
        "/orders/x",
        "/challenge",
    ] {
        for method in ["POST", "PUT", "DELETE", "get", "TRACE"] {
            let draft = Draft::new(method, path, "");
            cases.push(Case::new(format!("{method} {path}"), draft.bytes(), OTHER_METHOD));
        }
    }
    let long = "X".repeat(10_000);
    let refused = Expect::StatusOrNone(&[400, 405, 431]);
    cases.push(Case::new("method of 10,000", Draft::new(&long, "/order", "").bytes(), refused));
    let connect = Draft::new("CONNECT", "127.0.0.1:1", "").bytes();
    cases.push(Case::new("CONNECT", connect, Expect::Status(&[400, 404, 405])));
    cases
}

fn paths() -> Vec<Case> {
    let unknown = [
        "/",
        "//",
        "/order/",
        "/Order",
        "/ORDER",
        "//order",
        "/order/x",
        "/order;x",
        "/%6frder",
        "/order%00",
        "/order%20",
        "/session/",
        "/sessions",
        "/admin/products",
        "/init",
        "/metrics",
        "/products",
        "/products/",
        "/products/a/b",
        "/orders/a/b",
        "/orders/a/cancel/b",
        "/../order",
        "/./order",
        "/order/..",
        "/.well-known/x",
        "/favicon.ico",
        "/robots.txt",
        "/.env",
        "/a%0d%0ab",
        "/%",
        "/%zz",
        "/%c0%af",
        "/\u{7e}",
        "/zqmarkqz",
        "/?zqmarkqz",
        "/:",
        "/@",
        "/!",
        "/$&'()*+,=",
        "/livez/",
        "/livez/x",
        "/LIVEZ",
        "/openapi.json/",
        "/openapi",
        "/index.html",
        "/..%2f..%2fetc",
    ];
    let mut cases: Vec<Case> = unknown
        .into_iter()
        .map(|path| {
            // An empty id is an id that nobody has.
            let expect = if path == "/products/" { Expect::Status(&[404]) } else { NOT_FOUND };
            Case::new(format!("GET {path}"), Draft::new("GET", path, "").bytes(), expect)
        })
        .collect();
    let odd: [(&str, Expect); 14] = [
        ("*", Expect::Status(&[400, 404])),
        ("livez", Expect::Status(&[400, 404])),
        ("?", Expect::Status(&[400, 404])),
        ("#", Expect::Status(&[400, 404])),
        ("/livez#x", Expect::Status(&[200, 400])),
        ("/livez?", Expect::Status(&[200])),
        ("/livez??x", Expect::Status(&[200])),
        ("/livez?%zz&&==&x", Expect::Status(&[200])),
        ("http://evil.test/livez", Expect::Status(&[200, 400])),
        ("http://", Expect::Status(&[400, 404])),
        ("http://[::1/livez", Expect::Status(&[400])),
        ("ftp://x/livez", Expect::Status(&[200, 400, 404])),
        ("//evil.test/livez", Expect::Status(&[400, 404])),
        ("\\livez", Expect::Status(&[400, 404])),
    ];
    for (target, expect) in odd {
        let draft = Draft::new("GET", target, "");
        cases.push(Case::new(format!("target {target:?}"), draft.bytes(), expect));
    }
    for raw in ["/<x>", "/\"", "/{x}", "/|", "/^", "/`", "/\u{e9}", "/\u{1f600}", "/\u{202e}"] {
        let expect = Expect::Status(&[400, 404]);
        cases.push(Case::new(format!("raw {raw:?}"), Draft::new("GET", raw, "").bytes(), expect));
    }
    for length in [1_000, 8_000] {
        let path = format!("/{}", "a".repeat(length));
        let draft = Draft::new("GET", &path, "");
        cases.push(Case::new(format!("path of {length}"), draft.bytes(), NOT_FOUND));
    }
    for length in [17_000, 65_535, 70_000, 300_000] {
        let path = format!("/{}", "a".repeat(length));
        let expect = Expect::StatusOrNone(&[414, 431]);
        let draft = Draft::new("GET", &path, "");
        cases.push(Case::new(format!("path of {length}"), draft.bytes(), expect));
    }
    cases
}

fn ids(kit: &Kit) -> Vec<Case> {
    let ids = [
        "x",
        "0",
        "-1",
        "null",
        "undefined",
        "%00",
        "%0a",
        "%ff",
        "..",
        "%2e%2e",
        "%2f",
        "*",
        "'",
        "%27--",
        "a%20b",
        "G",
        "00000000-0000-8000-8000-00000000000",
        "00000000-0000-8000-8000-0000000000000",
        "00000000-0000-4000-8000-000000000000",
        "00000000000080008000000000000000",
        "{00000000-0000-8000-8000-000000000000}",
        "00000000-0000-8000-8000-00000000000g",
        "urn:uuid:00000000-0000-8000-8000-000000000000",
        "ZQMARKQZ",
        MARK,
    ];
    let mut cases = Vec::new();
    for id in ids {
        if id != MARK {
            // A product may be named so, and then its answer would not be a refusal.
            let product = Draft::new("GET", &format!("/products/{id}"), "");
            cases.push(Case::new(format!("product {id}"), product.bytes(), Expect::Status(&[404])));
        }
        let order = kit.sign(Draft::new("GET", &format!("/orders/{id}"), ""));
        cases.push(Case::new(format!("order {id}"), order.bytes(), Expect::Word(404, "unknown")));
        let path = format!("/orders/{id}/cancel");
        let cancel = kit.sign(Draft::new("POST", &path, r#"{"restock":true}"#));
        cases.push(Case::new(format!("cancel {id}"), cancel.bytes(), Expect::Word(404, "unknown")));
    }
    cases
}

fn queries(kit: &Kit) -> Vec<Case> {
    let bad = [
        "after=",
        "after=x",
        "after=-1",
        "after=1.5",
        "after=1e3",
        "after=18446744073709551616",
        "after=0x1",
        "after=%00",
        "after=1&after=2",
        "after[]=1",
        "after=null",
        "wait=x",
        "wait=-1",
        "wait=",
        "wait=1.5",
        "limit=x",
        "limit=-1",
        "limit=",
        "limit=1e9",
        "limit=0x1",
        "other=1",
        "zqmarkqz=zqmarkqz",
        "after=zqmarkqz",
        "AFTER=1",
        "after=1;limit=2",
        "%61fter=x",
        "limit=99999999999999999999999",
    ];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|query| {
            let draft = kit.sign(Draft::new("GET", &format!("/orders?{query}"), ""));
            Case::new(format!("feed {query}"), draft.bytes(), INVALID)
        })
        .collect();
    for query in ["", "after=0", "after=18446744073709551615", "limit=0", "limit=4294967295", "&&"]
    {
        let draft = kit.sign(Draft::new("GET", &format!("/orders?{query}"), ""));
        cases.push(Case::new(format!("good feed {query}"), draft.bytes(), Expect::Status(&[200])));
    }
    cases
}
