//! Waiting rooms and challenges: the calls of the page, its forms, and what operators say of both.

use super::{Case, Expect, Kit};
use crate::support::draft::Draft;

mod operators;

const INVALID: Expect = Expect::Word(400, "invalid_request");
const UNKNOWN_PRODUCT: Expect = Expect::Word(404, "unknown_product");
const NO_ROOM: Expect = Expect::Word(404, "no_room");
const BAD_TICKET: Expect = Expect::Word(403, "ticket_invalid");
const UNAUTHORIZED: Expect = Expect::Word(401, "unauthorized");
const OTHER_METHOD: Expect = Expect::Word(405, "method_not_allowed");
const MEDIA: Expect = Expect::Word(415, "unsupported_media_type");
/// Below the largest body of a public call.
const BODY_BYTES: usize = 900;
/// A page that says what is wrong.
const PAGE: Expect = Expect::Status(&[401, 403, 404]);

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = methods();
    cases.extend(queries());
    cases.extend(shown_tickets(kit));
    cases.extend(bodies(kit));
    cases.extend(callers(kit));
    cases.extend(forms(kit));
    cases.extend(challenges(kit));
    cases.extend(operators::cases().into_iter().map(Case::for_operator));
    cases
}

fn get(target: &str) -> Draft {
    Draft::new("GET", target, "")
}

/// What comes of it, where a body with this text in it is not too large.
fn fits(text: &str, expect: Expect) -> Expect {
    if text.len() < BODY_BYTES { expect } else { Expect::Word(413, "body_too_large") }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn methods() -> Vec<Case> {
    let mut cases = Vec::new();
    let by_get = ["", "/state", "/events", "/draw", "/entrants"];
    let by_post = ["/ticket", "/admission", "/enter", "/buy"];
    let others = |own: &'static str| {
        ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"]
            .into_iter()
            .filter(move |method| *method != own)
    };
    let all = by_get.map(|call| (call, "GET")).into_iter().chain(by_post.map(|c| (c, "POST")));
    for (call, own) in all {
        for method in others(own) {
            let target = format!("/waiting-room{call}?product=roomy");
            let draft = Draft::new(method, &target, "");
            cases.push(Case::new(format!("{method} {call}"), draft.bytes(), OTHER_METHOD));
        }
    }
    for path in
        ["/x", "/state/x", "/room.JS", "/..%2froom.js", "/logo", "/%00", "/ticket/", "/zqmarkqz"]
    {
        let draft = get(&format!("/waiting-room{path}"));
        cases.push(Case::new(
            format!("no file {path}"),
            draft.bytes(),
            Expect::Status(&[404, 405]),
        ));
    }
    cases
}

fn queries() -> Vec<Case> {
    let long = format!("product={}", "a".repeat(51));
    let longer = format!("product={}", "a".repeat(8_000));
    let bad = [
        "",
        "product=roomy&product=roomy",
        "product=roomy&zqmarkqz=1",
        "PRODUCT=roomy",
        "product[]=roomy",
        "product=roomy&number=",
        "product=roomy&number=-1",
        "product=roomy&number=1.5",
        "product=roomy&number=1e3",
        "product=roomy&number=0x1",
        "product=roomy&number=4294967296",
        "product=roomy&number=zqmarkqz",
        "product=roomy&number=1&number=2",
        "product=roomy;number=1",
    ];
    let nowhere = [
        "product",
        "product=",
        "product=none",
        "product=ROOMY",
        "product=zqmarkqz",
        "product=roomy%00",
        "product=roomy%0d%0a",
        "product=r%C3%B6omy",
        "product=%ff",
        "product=%zz",
        "product=..",
        "product=*",
        "product=%3Cb%3E",
        "product=roomy'--",
        &long,
        &longer,
    ];
    let mut cases = Vec::new();
    for call in ["state", "draw", "entrants"] {
        let case = |query: &str, expect| {
            let draft = get(&format!("/waiting-room/{call}?{query}"));
            Case::new(format!("{call} {} of {}", short(query), query.len()), draft.bytes(), expect)
        };
        // What follows a semicolon is part of the name.
        let of = |query: &str| if query.contains(';') { UNKNOWN_PRODUCT } else { INVALID };
        cases.extend(bad.iter().map(|query| case(query, of(query))));
        cases.extend(nowhere.iter().map(|query| case(query, Expect::Status(&[400, 404]))));
        cases.push(case("product=good", NO_ROOM));
        cases.push(case("product=roomy&number=4294967295", Expect::Status(&[200])));
    }
    // The page is for people, and says in words that there is no such room; a stream does not begin.
    for query in nowhere.into_iter().chain(["", "product=good"]) {
        for (call, expect) in [("", PAGE), ("/events", Expect::Status(&[400, 404]))] {
            let draft = get(&format!("/waiting-room{call}?{query}"));
            let name = format!("page{call} {} of {}", short(query), query.len());
            cases.push(Case::new(name, draft.bytes(), expect));
        }
    }
    for id in ["x", "-1", "18446744073709551616", "zqmarkqz", "", "\u{e9}", &"9".repeat(5_000)] {
        let draft = get("/waiting-room/events?product=none").set("last-event-id", id);
        let expect = Expect::Status(&[400, 404]);
        cases.push(Case::new(
            format!("event {} of {}", short(id), id.len()),
            draft.bytes(),
            expect,
        ));
    }
    for lang in
        ["xx", "zqmarkqz", "de-zqmarkqz", "%00", "%3Cscript%3E", "../de", &"d".repeat(3_000)]
    {
        let draft = get(&format!("/waiting-room?product=roomy&lang={lang}"));
        let expect = Expect::Status(&[200]);
        cases.push(Case::new(format!("lang {}", short(lang)), draft.bytes(), expect));
        let draft = get("/waiting-room?product=roomy").set("accept-language", lang);
        cases.push(Case::new(format!("speaks {}", short(lang)), draft.bytes(), expect));
    }
    cases
}

/// Texts that are no ticket of this server.
fn tickets() -> Vec<String> {
    let mut tickets: Vec<String> = [
        "",
        "t1",
        "t1.",
        "t1..",
        "t1.A.A",
        "t1.AAAA.AAAA",
        "t2.AAAA.AAAA",
        "T1.AAAA.AAAA",
        "null",
        "zqmarkqz",
        "t1.zqmarkqz.zqmarkqz",
        "t1.====.====",
        "t1.AA AA.AAAA",
        "\u{e9}",
    ]
    .map(str::to_owned)
    .into();
    tickets.push(format!("t1.{}.{}", "A".repeat(60), "A".repeat(22)));
    tickets.push("t1.".repeat(1_000));
    tickets.push("A".repeat(12_000));
    tickets
}

fn shown_tickets(kit: &Kit) -> Vec<Case> {
    let mut cases = Vec::new();
    for ticket in tickets() {
        let name = format!("{} of {}", short(&ticket), ticket.len());
        let state = get("/waiting-room/state?product=roomy").set("x-queue-ticket", &ticket);
        cases.push(Case::new(format!("shows {name}"), state.bytes(), BAD_TICKET));
        if ticket.is_ascii() && ticket.len() < BODY_BYTES {
            let body = format!(r#"{{"ticket":"{ticket}"}}"#);
            let ask = kit.by_shopper(Draft::new("POST", "/waiting-room/admission", body));
            cases.push(Case::new(format!("admits {name}"), ask.bytes(), BAD_TICKET));
        }
    }
    cases
}

fn bodies(kit: &Kit) -> Vec<Case> {
    let mut cases = Vec::new();
    for (call, member) in [("ticket", "productId"), ("admission", "ticket")] {
        let values =
            ["null", "1", "true", "[]", "{}", "[\"roomy\"]", "\"\\ud800\"", "\"roomy", "\"\\x\""];
        let mut all: Vec<Vec<u8>> =
            values.iter().map(|value| format!(r#"{{"{member}":{value}}}"#).into_bytes()).collect();
        let shapes = [
            "",
            " ",
            "{",
            "{}",
            "[]",
            "null",
            "\"roomy\"",
            "{\"zqmarkqz\":\"roomy\"}",
            "member=roomy",
        ];
        all.extend(shapes.map(|shape| shape.as_bytes().to_vec()));
        all.push(format!(r#"{{"{member}":"roomy","{member}":"roomy"}}"#).into());
        all.push(format!(r#"{{"{member}":"roomy","zqmarkqz":1}}"#).into());
        all.push(format!(r#"{{"{member}":"roomy"}}x"#).into());
        all.push([&b"{\""[..], member.as_bytes(), b"\":\"r\xff\"}"].concat());
        all.push([&b"\xef\xbb\xbf{\""[..], member.as_bytes(), b"\":\"roomy\"}"].concat());
        all.push("[".repeat(1_000).into());
        for body in all {
            let name = format!("{call} {}", short(&String::from_utf8_lossy(&body)));
            let draft = kit.by_shopper(Draft::new("POST", &format!("/waiting-room/{call}"), body));
            cases.push(Case::new(name, draft.bytes(), INVALID));
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "", "zqmarkqz"] {
            let draft = Draft::new("POST", &format!("/waiting-room/{call}"), "{}");
            let draft = kit.by_shopper(draft.set("content-type", kind));
            cases.push(Case::new(format!("{call} as {kind:?}"), draft.bytes(), MEDIA));
        }
        let large = Draft::new("POST", &format!("/waiting-room/{call}"), vec![b' '; 100_000]);
        let expect = Expect::StatusOrNone(&[413]);
        cases.push(Case::new(format!("large {call}"), large.bytes(), expect));
    }
    let long = "a".repeat(51);
    for product in ["none", "", "ROOMY", "ro omy", "zqmarkqz", "\\u0000", "..", "*", long.as_str()]
    {
        let body = format!(r#"{{"productId":"{product}"}}"#);
        let draft = kit.by_shopper(Draft::new("POST", "/waiting-room/ticket", body));
        cases.push(Case::new(format!("ticket for {product}"), draft.bytes(), UNKNOWN_PRODUCT));
    }
    let body = r#"{"productId":"good"}"#;
    let draft = kit.by_shopper(Draft::new("POST", "/waiting-room/ticket", body));
    cases.push(Case::new("ticket for no room", draft.bytes(), NO_ROOM));
    // A ticket that is none is no reason to give no place to whoever has a pass.
    let body = r#"{"productId":"roomy","ticket":"zqmarkqz"}"#;
    let draft = kit.by_shopper(Draft::new("POST", "/waiting-room/ticket", body));
    cases.push(Case::new("ticket with another", draft.bytes(), Expect::Status(&[200])));
    cases
}

/// Who calls, and how it is signed.
fn callers(kit: &Kit) -> Vec<Case> {
    let mut cases = Vec::new();
    for (call, body) in
        [("ticket", r#"{"productId":"roomy"}"#), ("admission", r#"{"ticket":"t1.A.A"}"#)]
    {
        let draft = || Draft::new("POST", &format!("/waiting-room/{call}"), body);
        let signed = || kit.by_shopper(draft());
        let mut case = |name: &str, draft: Draft, expect| {
            cases.push(Case::new(format!("{call} {name}"), draft.bytes(), expect));
        };
        case("by nobody", draft(), UNAUTHORIZED);
        case("by a backend", kit.sign(draft()), UNAUTHORIZED);
        case("by no pass", signed().set("authorization", "Bearer zqmarkqz"), UNAUTHORIZED);
        case("by Basic", signed().set("authorization", "Basic eDp5"), UNAUTHORIZED);
        case("by both", signed().set("x-api-key", "shop"), Expect::Status(&[400, 401]));
        let wrong = Expect::Word(401, "invalid_signature");
        case("of another signature", signed().set("x-signature", "00".repeat(32)), wrong);
        case("of no signature", signed().without("x-signature"), wrong);
        case("of a short signature", signed().set("x-signature", "00"), wrong);
        case("of another body", signed().body(body.replace(':', ": ")), wrong);
        let expired = Expect::Word(400, "request_expired");
        case("of no time", signed().without("x-request-time"), expired);
        case("of yesterday", kit.by_shopper(draft().set("x-request-time", "1")), expired);
        case("of a text", kit.by_shopper(draft().set("x-request-time", "zqmarkqz")), expired);
    }
    cases
}

fn forms(kit: &Kit) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: String, draft: Draft, expect| {
        cases.push(Case::new(name, draft.bytes(), expect));
    };
    let pass = match &kit.shopper {
        crate::support::draft::Signer::Shopper { pass, .. } => pass.clone(),
        crate::support::draft::Signer::Client { .. } => String::new(),
    };
    let form = |call: &str, body: &[u8]| {
        Draft::new("POST", &format!("/waiting-room/{call}"), body)
            .set("content-type", "application/x-www-form-urlencoded")
    };
    let bodies: [&[u8]; 9] = [
        b"",
        b"pass=x",
        b"product=roomy&product=roomy&token=x",
        b"product=roomy&token=x&zqmarkqz=1",
        b"{\"product\":\"roomy\"}",
        b"\xff\xfe",
        b"%",
        b"token=x",
        b"product[]=roomy&token=x",
    ];
    for call in ["enter", "buy"] {
        for body in bodies {
            let name = format!("{call} {}", String::from_utf8_lossy(body));
            case(name, form(call, body), INVALID);
        }
        for kind in ["text/plain", "application/json", "multipart/form-data", "", "zqmarkqz"] {
            let draft = form(call, b"product=roomy&token=x").set("content-type", kind);
            case(format!("form {call} as {kind:?}"), draft, INVALID);
        }
        let large = form(call, &vec![b'a'; 100_000]);
        case(format!("large form {call}"), large, Expect::StatusOrNone(&[413]));
        for product in ["none", "", "ROOMY", "zqmarkqz", "%00", "good"] {
            let body =
                format!("product={product}{}", if call == "buy" { "&token=x" } else { "&pass=x" });
            case(format!("{call} of {product}"), form(call, body.as_bytes()), PAGE);
        }
    }
    for wrong in [
        "",
        "zqmarkqz",
        "v1",
        "v1..",
        "v1.zqmarkqz.zqmarkqz",
        &"v1.".repeat(400),
        &"A".repeat(9_000),
    ] {
        let name = format!("{} of {}", short(wrong), wrong.len());
        let body = format!("product=roomy&pass={wrong}");
        case(format!("enters by {name}"), form("enter", body.as_bytes()), fits(wrong, PAGE));
        let cookie = format!("__Host-flux-room={wrong}");
        let draft = form("buy", b"product=roomy&token=x").set("cookie", &cookie);
        case(format!("buys by {name}"), draft, PAGE);
        let page = get("/waiting-room?product=roomy").set("cookie", &cookie);
        case(format!("looks by {name}"), page, Expect::Status(&[200]));
    }
    let cookie = format!("__Host-flux-room={pass}");
    for token in ["", "x", "zqmarkqz", &"0".repeat(63), &"0".repeat(65), &"0".repeat(6_000)] {
        let body = format!("product=roomy&token={token}");
        let draft = form("buy", body.as_bytes()).set("cookie", &cookie);
        let name = format!("token of {}: {}", token.len(), short(token));
        case(name, draft, fits(token, BAD_TICKET));
    }
    for site in ["cross-site", "same-site", "none", "zqmarkqz", ""] {
        let draft = form("buy", b"product=roomy&token=x").set("cookie", &cookie);
        let draft = draft.set("sec-fetch-site", site);
        case(format!("form from {site:?}"), draft, Expect::Word(403, "forbidden"));
    }
    cases
}

fn challenges(kit: &Kit) -> Vec<Case> {
    let crate::support::draft::Signer::Shopper { pass, .. } = &kit.shopper else {
        return Vec::new();
    };
    let ask = |query: &str| {
        get(&format!("/challenge?{query}")).set("authorization", format!("Bearer {pass}"))
    };
    let (long_product, long_key) = (
        format!("product={}&key=k", "a".repeat(51)),
        format!("product=good&key={}", "k".repeat(65)),
    );
    let huge = format!("product=good&key={}", "k".repeat(8_000));
    let bad = [
        "",
        "product=good",
        "key=k",
        "product=&key=k",
        "product=good&key=",
        "product=GOOD&key=k",
        "product=good&key=k%00",
        "product=good&key=%22k%22",
        "product=good&key=a.b",
        "product=good&key=a b",
        "product=good&key=%ff",
        "product=good&key=%C3%A9",
        "product=good&key=zqmarkqz!",
        "product=good&key=k&key=k",
        "product=good&product=good&key=k",
        "product=good&key=k&zqmarkqz=1",
        "PRODUCT=good&key=k",
        "product[]=good&key=k",
        "product=good;key=k",
        &long_product,
        &long_key,
        &huge,
    ];
    let mut cases: Vec<Case> = bad
        .iter()
        .filter(|query| !query.contains(' '))
        .map(|query| {
            let name = format!("challenge {} of {}", short(query), query.len());
            Case::new(name, ask(query).bytes(), INVALID)
        })
        .collect();
    let longest = format!("product={}&key={}", "a".repeat(50), "k".repeat(64));
    for query in ["product=good&key=k", "product=none&key=k", &longest] {
        let draft = ask(query);
        cases.push(Case::new(
            format!("good {}", short(query)),
            draft.bytes(),
            Expect::Status(&[200]),
        ));
    }
    for token in
        ["", "Bearer", "Bearer ", "Bearer x", "Basic x", "Bearer zqmarkqz", "Bearer \u{e9}"]
    {
        let draft = ask("product=good&key=k").set("authorization", token);
        cases.push(Case::new(format!("challenge by {token:?}"), draft.bytes(), UNAUTHORIZED));
    }
    let long = format!("Bearer {}", "A".repeat(9_000));
    let draft = ask("product=good&key=k").set("authorization", long);
    cases.push(Case::new("challenge by a long pass", draft.bytes(), UNAUTHORIZED));
    let draft = kit.sign(get("/challenge?product=good&key=k"));
    cases.push(Case::new("challenge by a backend", draft.bytes(), UNAUTHORIZED));
    cases
}
