//! Headers: credentials, time, signature, idempotency key; and those that the server does not read.

use super::{Case, Expect, Kit, MARK};
use crate::support::draft::Draft;

const UNKNOWN: Expect = Expect::Word(401, "unauthorized");
const EXPIRED: Expect = Expect::Word(400, "request_expired");
const FORGED: Expect = Expect::Word(401, "invalid_signature");
const NO_KEY: Expect = Expect::Word(400, "missing_idempotency_key");
const ACCEPTED: Expect = Expect::Word(200, "success");

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = credentials(kit);
    cases.extend(times(kit));
    cases.extend(signatures(kit));
    cases.extend(keys(kit));
    cases.extend(ignored(kit));
    cases.extend(sizes(kit));
    cases
}

fn credentials(kit: &Kit) -> Vec<Case> {
    let order = || kit.signed().without("x-api-key");
    let mut cases = vec![
        Case::new("no credentials", order().bytes(), UNKNOWN),
        Case::new("client twice", kit.signed().add("x-api-key", "shop").bytes(), UNKNOWN),
        Case::new(
            "client and pass",
            kit.signed().set("authorization", "Bearer x").bytes(),
            UNKNOWN,
        ),
    ];
    for id in ["", "SHOP", "shop,shop", "sh op", MARK, "shop\0", "*", "../shop", "\u{e9}"] {
        // A NUL never is part of a header.
        let expect = if id.contains('\0') { Expect::Status(&[400]) } else { UNKNOWN };
        cases.push(Case::new(
            format!("client {id:?}"),
            order().set("x-api-key", id).bytes(),
            expect,
        ));
    }
    let long = "a".repeat(3_000);
    let tokens = [
        "",
        "Bearer",
        "Bearer ",
        "bearer",
        "Bearer  x",
        "Basic c2hvcDpzZWNyZXQ=",
        "Digest x",
        "x",
        "Bearer v1",
        "Bearer v1.",
        "Bearer v1..",
        "Bearer v1.a.b",
        "Bearer v2.e30.AAAA",
        "Bearer v1.e30.AAAA",
        "Bearer ....",
        "Bearer a.b.c",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer \u{e9}",
        "Bearer zqmarkqz",
        "Bearer v1.zqmarkqz.zqmarkqz",
        "Negotiate x",
        ",",
        "Bearer x, Bearer y",
        "Token x",
        &long,
        "Bearer \"x\"",
        "Bearer x\ty",
    ];
    for token in tokens {
        let draft = order().set("authorization", token);
        let name: String = token.chars().take(40).collect();
        cases.push(Case::new(format!("authorization {name:?}"), draft.bytes(), UNKNOWN));
        let session = Draft::new("POST", "/session", "{}").set("authorization", token);
        cases.push(Case::new(format!("session by {name:?}"), session.bytes(), UNKNOWN));
    }
    cases
}

fn times(kit: &Kit) -> Vec<Case> {
    let now = kit.clock.unix_ms();
    let values = [
        String::new(),
        "0".to_owned(),
        "-1".to_owned(),
        format!("+{now}"),
        format!("-{now}"),
        format!("{now}.5"),
        format!("{now}e0"),
        format!("{now}ms"),
        format!("{now}, {now}"),
        format!("0x{now:x}"),
        format!("\"{now}\""),
        format!("00{now}"),
        (now / 1_000).to_string(),
        (now * 1_000).to_string(),
        (now - 3_600_000).to_string(),
        (now + 3_600_000).to_string(),
        "9".repeat(14),
        "9".repeat(20),
        "9".repeat(1_000),
        "18446744073709551615".to_owned(),
        "9223372036854775807".to_owned(),
        "now".to_owned(),
        "null".to_owned(),
        "NaN".to_owned(),
        "Tue, 24 Nov 2026 08:00:00 GMT".to_owned(),
        "2026-11-24T08:00:00Z".to_owned(),
        "\u{661}\u{662}\u{663}".to_owned(),
        MARK.to_owned(),
    ];
    let mut cases: Vec<Case> = values
        .into_iter()
        .map(|value| {
            // Set after signing where signing would fill it in.
            let draft = if value.is_empty() {
                kit.signed().set("x-request-time", "")
            } else {
                kit.sign(kit.order().set("x-request-time", &value))
            };
            let name: String = value.chars().take(40).collect();
            Case::new(format!("time {name:?} of {}", value.len()), draft.bytes(), EXPIRED)
        })
        .collect();
    cases.push(Case::new("no time", kit.signed().without("x-request-time").bytes(), EXPIRED));
    let twice = kit.signed().add("x-request-time", now.to_string());
    cases.push(Case::new("time twice", twice.bytes(), EXPIRED));
    cases
}

fn signatures(kit: &Kit) -> Vec<Case> {
    let values: Vec<Vec<u8>> =
        ["", "zz", "null", "{}", MARK, "0x00", "sha256=00", "a b", "\t", "=", "%00", "\u{e9}"]
            .map(|text| text.as_bytes().to_vec())
            .into_iter()
            .chain([1, 31, 32, 62, 63, 64, 65, 66, 128, 4_000].map(|length| vec![b'0'; length]))
            .chain([vec![0xff; 64], vec![0x80; 32]])
            .collect();
    let mut cases: Vec<Case> = values
        .into_iter()
        .map(|value| {
            let name: String = String::from_utf8_lossy(&value).chars().take(20).collect();
            let draft = kit.signed().set("x-signature", &value);
            Case::new(format!("signature {name:?} of {}", value.len()), draft.bytes(), FORGED)
        })
        .collect();
    cases.push(Case::new("no signature", kit.signed().without("x-signature").bytes(), FORGED));
    let twice = kit.signed();
    let signature = twice.header("x-signature").to_vec();
    cases.push(Case::new("signature twice", twice.add("x-signature", &signature).bytes(), FORGED));
    let upper = String::from_utf8_lossy(&signature).to_uppercase();
    let mixed = kit.signed();
    let other = mixed.clone().set("x-signature", upper);
    cases.push(Case::new("signature of another order", other.bytes(), FORGED));
    cases
}

fn keys(kit: &Kit) -> Vec<Case> {
    let with = |key: &[u8]| kit.sign(kit.order().set("x-idempotency-key", key));
    let values: [&str; 30] = [
        "",
        "\"\"",
        "\"",
        " ",
        "a b",
        "a\tb",
        "a.b",
        "a:b",
        "a/b",
        "a,b",
        "a;b",
        "a=b",
        "a+b",
        "'a'",
        "\"a",
        "a\"",
        "\"\"a\"\"",
        "{a}",
        "%61",
        "\\u0061",
        "$(id)",
        "../a",
        "zqmarkqz!",
        "\u{e9}",
        "<a>",
        "a|b",
        "a*",
        "?",
        "#",
        "~",
    ];
    let mut cases: Vec<Case> = values
        .into_iter()
        .map(|key| Case::new(format!("key {key:?}"), with(key.as_bytes()).bytes(), NO_KEY))
        .collect();
    for length in [65, 66, 128, 1_000, 8_000] {
        let key = "k".repeat(length);
        cases.push(Case::new(format!("key of {length}"), with(key.as_bytes()).bytes(), NO_KEY));
    }
    let bare = kit.order().without("x-idempotency-key");
    cases.push(Case::new("no key", kit.sign(bare).bytes(), NO_KEY));
    let twice = |name: &str, value: &str| {
        kit.sign(kit.order().set("x-idempotency-key", "same").add(name, value)).bytes()
    };
    cases.push(Case::new("key twice", twice("x-idempotency-key", "same"), NO_KEY));
    cases.push(Case::new("two keys", twice("x-idempotency-key", "other"), NO_KEY));
    cases.push(Case::new("key by both names", twice("idempotency-key", "same"), NO_KEY));
    cases.push(Case::new("two keys by both names", twice("idempotency-key", "other"), NO_KEY));
    for length in [1, 2, 63, 64] {
        let key = format!("{}{length:02}", "k".repeat(64));
        let key = &key[key.len() - length..];
        cases.push(Case::new(
            format!("good key of {length}"),
            with(key.as_bytes()).bytes(),
            ACCEPTED,
        ));
    }
    cases
}

/// Headers that the server does not read must not change anything.
fn ignored(kit: &Kit) -> Vec<Case> {
    let headers = [
        ("cookie", "a=b; zqmarkqz"),
        ("accept", "text/html"),
        ("accept", "*/*;q=zqmarkqz"),
        ("accept-encoding", "gzip, br, zstd"),
        ("accept-language", "zqmarkqz"),
        ("range", "bytes=0-0,-1"),
        ("if-none-match", "*"),
        ("if-modified-since", "never"),
        ("referer", "http://zqmarkqz"),
        ("user-agent", ""),
        ("x-forwarded-for", "zqmarkqz"),
        ("x-forwarded-host", "zqmarkqz"),
        ("x-forwarded-proto", "zqmarkqz"),
        ("x-original-url", "/admin/products"),
        ("x-rewrite-url", "/admin/products"),
        ("forwarded", "for=zqmarkqz"),
        ("x-http-method-override", "DELETE"),
        ("te", "trailers"),
        ("trailer", "x-signature"),
        ("keep-alive", "timeout=0"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("x-device-fingerprint", ""),
        ("x-device-fingerprint", "zqmarkqz"),
        // Nobody is asked: what these say is of no account.
        ("x-challenge", "zqmarkqz"),
        ("x-challenge", ""),
        ("x-page-signals", "t=zqmarkqz;p=-1"),
        ("x-page-signals", ""),
        ("sec-ch-ua-platform", "zqmarkqz"),
        ("traceparent", "zqmarkqz"),
        ("priority", "u=9"),
        ("max-forwards", "0"),
        ("via", "1.1 zqmarkqz"),
        ("date", "zqmarkqz"),
        ("from", "zqmarkqz"),
        ("early-data", "1"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("upgrade", "zqmarkqz/9"),
        ("x-\u{7e}", "~"),
        ("a", ""),
    ];
    headers
        .into_iter()
        .map(|(name, value)| {
            let draft = kit.signed().add(name, value);
            Case::new(format!("{name}: {value}"), draft.bytes(), ACCEPTED)
        })
        .collect()
}

fn sizes(kit: &Kit) -> Vec<Case> {
    const TOO_LARGE: Expect = Expect::StatusOrNone(&[431]);
    let mut cases = Vec::new();
    for length in [100, 4_000, 8_000] {
        let draft = kit.signed().set("x-large", "x".repeat(length));
        cases.push(Case::new(format!("header of {length}"), draft.bytes(), ACCEPTED));
    }
    for length in [17_000, 40_000, 100_000, 1_000_000] {
        let draft = kit.signed().set("x-large", "x".repeat(length));
        cases.push(Case::new(format!("header of {length}"), draft.bytes(), TOO_LARGE));
        let draft = kit.signed().set(&"x".repeat(length), "x");
        cases.push(Case::new(format!("name of {length}"), draft.bytes(), TOO_LARGE));
    }
    for count in [10, 40] {
        cases.push(Case::new(format!("{count} headers"), many(kit, count).bytes(), ACCEPTED));
    }
    for count in [65, 99, 101, 500, 2_000] {
        cases.push(Case::new(format!("{count} headers"), many(kit, count).bytes(), TOO_LARGE));
    }
    let mut same = kit.signed();
    for _ in 0..80 {
        same = same.add("x-same", "x");
    }
    cases.push(Case::new("one header 80 times", same.bytes(), TOO_LARGE));
    cases
}

fn many(kit: &Kit, count: usize) -> Draft {
    (0..count).fold(kit.signed(), |draft, n| draft.set(&format!("x-{n}"), "x"))
}
