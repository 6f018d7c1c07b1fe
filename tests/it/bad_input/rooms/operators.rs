//! What operators say of rooms, of who is excused from the score, and of the score.

use super::{Draft, Expect, INVALID, UNAUTHORIZED, short};
use crate::bad_input::Case;
use crate::support::server::ADMIN_TOKEN;

const NO_KEY: Expect = Expect::Word(400, "missing_idempotency_key");

fn call(method: &str, path: &str, body: &str) -> Draft {
    Draft::new(method, path, body)
        .set("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .set("idempotency-key", "rooms")
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: String, draft: Draft, expect| {
        cases.push(Case::new(name, draft.bytes(), expect));
    };
    let shapes = ["", " ", "{", "{}", "[]", "null", "1", "\"x\"", "zqmarkqz", "{\"zqmarkqz\":1}"];
    for (method, path) in [
        ("POST", "/admin/allows"),
        ("DELETE", "/admin/allows"),
        ("POST", "/admin/score/off"),
        ("POST", "/admin/products/roomy/waiting-room"),
        ("POST", "/admin/products/roomy/public-value"),
    ] {
        for shape in shapes {
            case(format!("{method} {path} {shape}"), call(method, path, shape), INVALID);
        }
        let nobody = Draft::new(method, path, "{}");
        case(format!("{method} {path} by nobody"), nobody, UNAUTHORIZED);
    }
    let later = "32503680000000";
    let long = "zq".repeat(5_000);
    let members = [
        "\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":0,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":-1,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":1.5,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":\"LATER\",\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":18446744073709551616,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":LATER".to_owned(),
        "\"user\":\"u\",\"until\":LATER,\"reason\":\"\"".to_owned(),
        "\"user\":\"u\",\"until\":LATER,\"reason\":1".to_owned(),
        format!("\"user\":\"u\",\"until\":LATER,\"reason\":\"{long}\""),
        "\"user\":\"zqmarkqz ZQ\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"user\":1,\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"address\":\"zqmarkqz\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"address\":\"1.2.3.4/33\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"address\":\"1.2.3\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"address\":\"::/129\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"fingerprint\":\"\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"id\":\"zqmarkqz\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"address\":\"1.2.3.4\",\"until\":LATER,\"reason\":\"x\"".to_owned(),
        "\"user\":\"u\",\"until\":LATER,\"reason\":\"x\",\"zqmarkqz\":1".to_owned(),
    ];
    for member in members {
        let body = format!("{{{}}}", member.replace("LATER", later));
        let name = format!("allow {} of {}", short(&member), member.len());
        case(name, call("POST", "/admin/allows", &body), INVALID);
    }
    let offs =
        ["\"until\":0", "\"until\":-1", "\"until\":\"x\"", "\"until\":1e300", "\"until\":null"];
    for off in offs {
        let body = format!(r#"{{{off},"reason":"x"}}"#);
        case(format!("off {off}"), call("POST", "/admin/score/off", &body), INVALID);
    }
    for id in ["x", "user-", "user-zz", "zqmarkqz", "user-00", "fp-%00", &"a".repeat(500)] {
        let draft = call("DELETE", &format!("/admin/allows/{id}"), "");
        case(format!("allow {}", short(id)), draft, Expect::Status(&[400, 404]));
    }
    for active in ["1", "\"true\"", "null", "[]", "\"zqmarkqz\""] {
        let body = format!(r#"{{"active":{active}}}"#);
        let draft = call("POST", "/admin/products/roomy/waiting-room", &body);
        case(format!("active {active}"), draft, INVALID);
    }
    let (most, more) = (format!("\"{}\"", "v".repeat(256)), format!("\"{}\"", "v".repeat(257)));
    for value in ["\"\"", "1", "null", "\"a b\"", "\"\\u0000\"", "\"\\u00e9\"", "\"\\n\"", &more] {
        let draft =
            call("POST", "/admin/products/roomy/public-value", &format!(r#"{{"value":{value}}}"#));
        case(format!("value {}", short(value)), draft, INVALID);
    }
    // No source was announced.
    let draft =
        call("POST", "/admin/products/roomy/public-value", &format!(r#"{{"value":{most}}}"#));
    case("longest value".to_owned(), draft, Expect::Word(409, "conflict"));
    for id in ["none", "ROOMY", "%00", "zqmarkqz", &"a".repeat(51)] {
        let path = format!("/admin/products/{id}/waiting-room");
        let expect = Expect::Status(&[400, 404]);
        case(format!("room of {}", short(id)), call("GET", &path, ""), expect);
        case(format!("switch {}", short(id)), call("POST", &path, r#"{"active":true}"#), expect);
    }
    for path in ["/admin/allows", "/admin/score/off"] {
        let body = format!(r#"{{"user":"u","until":{later},"reason":"x"}}"#);
        for key in ["", "a b", "zqmarkqz!", &"k".repeat(65)] {
            let draft = call("POST", path, &body).set("idempotency-key", key);
            case(format!("{path} under {} of {}", short(key), key.len()), draft, NO_KEY);
        }
        case(
            format!("{path} under no key"),
            call("POST", path, &body).without("idempotency-key"),
            NO_KEY,
        );
    }
    for method in ["PUT", "PATCH", "TRACE"] {
        for path in ["/admin/allows", "/admin/score", "/admin/products/roomy/waiting-room"] {
            case(format!("{method} {path}"), call(method, path, ""), Expect::Status(&[405]));
        }
    }
    cases
}
