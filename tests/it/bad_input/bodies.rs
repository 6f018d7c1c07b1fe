//! Bodies of the public calls: schema, encodings, keys, numbers, nesting, types of content.

use super::{Case, Expect, Kit, MARK};
use crate::support::draft::Draft;

const INVALID: Expect = Expect::Word(400, "invalid_request");
const MEDIA: Expect = Expect::Word(415, "unsupported_media_type");

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, body) in not_json().into_iter().chain(encodings()).chain(shapes()) {
        cases.push(order(kit, &name, body));
    }
    for (name, value) in values() {
        let [product, user] = ["product", "user"].map(|member| format!("{name} as {member}"));
        let good = kit.user();
        cases.push(order(kit, &product, format!(r#"{{"productId":{value},"userId":"{good}"}}"#)));
        cases.push(order(kit, &user, format!(r#"{{"productId":"good","userId":{value}}}"#)));
    }
    cases.extend(media_types(kit));
    cases.extend(sessions(kit));
    cases.extend(cancels(kit));
    cases
}

fn order(kit: &Kit, name: &str, body: impl Into<Vec<u8>>) -> Case {
    let draft = kit.sign(kit.order().body(body));
    Case::new(name, draft.bytes(), INVALID)
}

type Named = (String, Vec<u8>);

fn named<const N: usize>(bodies: [(&str, &[u8]); N]) -> Vec<Named> {
    bodies.map(|(name, body)| (name.to_owned(), body.to_vec())).into()
}

fn not_json() -> Vec<Named> {
    let mut bodies = named([
        ("empty body", b""),
        ("white space", b" \r\n\t "),
        ("one brace", b"{"),
        ("closing brace", b"}"),
        ("null", b"null"),
        ("true", b"true"),
        ("number", b"1"),
        ("text", b"\"good\""),
        ("list", b"[]"),
        ("list of two", b"[\"good\",\"u\"]"),
        ("list of the object", br#"[{"productId":"good","userId":"u"}]"#),
        ("cut in a key", br#"{"productId":"good","use"#),
        ("cut in a value", br#"{"productId":"good","userId":"u"#),
        ("cut before the end", br#"{"productId":"good","userId":"u""#),
        ("trailing comma", br#"{"productId":"good","userId":"u",}"#),
        ("leading comma", br#"{,"productId":"good","userId":"u"}"#),
        ("two commas", br#"{"productId":"good",,"userId":"u"}"#),
        ("no comma", br#"{"productId":"good" "userId":"u"}"#),
        ("no colon", br#"{"productId" "good","userId":"u"}"#),
        ("two colons", br#"{"productId"::"good","userId":"u"}"#),
        ("equals sign", br#"{"productId"="good","userId":"u"}"#),
        ("bare keys", br#"{productId:"good",userId:"u"}"#),
        ("single quotes", br#"{'productId':'good','userId':'u'}"#),
        ("line comment", b"{\"productId\":\"good\",//x\n\"userId\":\"u\"}"),
        ("block comment", br#"{"productId":"good",/*x*/"userId":"u"}"#),
        ("text after", br#"{"productId":"good","userId":"u"}x"#),
        ("object after", br#"{"productId":"good","userId":"u"}{}"#),
        ("NUL after", b"{\"productId\":\"good\",\"userId\":\"u\"}\0"),
        ("NUL before", b"\0{\"productId\":\"good\",\"userId\":\"u\"}"),
        ("vertical tab between", b"{\"productId\":\"good\",\x0b\"userId\":\"u\"}"),
        ("form feed between", b"{\"productId\":\"good\",\x0c\"userId\":\"u\"}"),
        ("no-break space between", "{\"productId\":\"good\",\u{a0}\"userId\":\"u\"}".as_bytes()),
        ("raw line feed in a text", b"{\"productId\":\"go\nod\",\"userId\":\"u\"}"),
        ("raw tab in a text", b"{\"productId\":\"go\tod\",\"userId\":\"u\"}"),
        ("raw NUL in a text", b"{\"productId\":\"go\0od\",\"userId\":\"u\"}"),
        ("raw escape in a text", b"{\"productId\":\"go\x1bod\",\"userId\":\"u\"}"),
        ("form", b"productId=good&userId=u"),
        ("XML", b"<order><productId>good</productId></order>"),
        ("XML entity", b"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"),
        ("YAML", b"productId: good\nuserId: u\n"),
        ("CBOR", b"\xa2\x69productId\x64good\x66userId\x61u"),
        ("MessagePack", b"\x82\xa9productId\xa4good\xa6userId\xa1u"),
        ("JSON lines", b"{\"productId\":\"good\",\"userId\":\"u\"}\n{}\n"),
        ("record separator", b"\x1e{\"productId\":\"good\",\"userId\":\"u\"}\n"),
        ("XSSI prefix", b")]}',\n{\"productId\":\"good\",\"userId\":\"u\"}"),
        ("gzip magic", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
    ]);
    for byte in [0x00, 0x01, 0x7f, 0x80, 0xc0, 0xf5, 0xfe, 0xff] {
        bodies.push((format!("bytes {byte:02x}"), vec![byte; 40]));
    }
    for (name, open, close) in [("lists", "[", "]"), ("objects", "{\"a\":", "}")] {
        for levels in [2, 64, 127, 128, 129, 170] {
            let body = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            bodies.push((format!("{levels} {name} deep"), body.into()));
        }
        bodies.push((format!("500 {name} open"), open.repeat(1_000 / open.len()).into()));
    }
    bodies
}

fn encodings() -> Vec<Named> {
    let good = r#"{"productId":"good","userId":"u"}"#;
    let mut bodies = named([
        ("byte order mark", b"\xef\xbb\xbf{\"productId\":\"good\",\"userId\":\"u\"}"),
        ("Latin-1", b"{\"productId\":\"good\",\"userId\":\"m\xfcller\"}"),
        ("lone continuation byte", b"{\"productId\":\"good\",\"userId\":\"u\x80\"}"),
        ("cut UTF-8", b"{\"productId\":\"good\",\"userId\":\"u\xe2\x82\"}"),
        ("overlong slash", b"{\"productId\":\"good\",\"userId\":\"u\xc0\xaf\"}"),
        ("overlong NUL", b"{\"productId\":\"good\",\"userId\":\"u\xc0\x80\"}"),
        ("surrogate in UTF-8", b"{\"productId\":\"good\",\"userId\":\"u\xed\xa0\x80\"}"),
        ("beyond Unicode", b"{\"productId\":\"good\",\"userId\":\"u\xf4\x90\x80\x80\"}"),
        ("five byte UTF-8", b"{\"productId\":\"good\",\"userId\":\"u\xf8\x88\x80\x80\x80\"}"),
        ("invalid UTF-8 in a key", b"{\"productId\":\"good\",\"userId\xff\":\"u\"}"),
        ("high surrogate half", br#"{"productId":"good","userId":"\ud800"}"#),
        ("low surrogate half", br#"{"productId":"good","userId":"\udc00"}"#),
        ("surrogates in reverse", br#"{"productId":"good","userId":"\udc00\ud800"}"#),
        ("half a surrogate pair", br#"{"productId":"good","userId":"\ud83d\u"}"#),
        ("surrogate half in a key", br#"{"productId":"good","\ud800userId":"u"}"#),
        ("escaped NUL", br#"{"productId":"good","userId":"u\u0000"}"#),
        ("short escape", br#"{"productId":"good","userId":"\u12"}"#),
        ("escape without digits", br#"{"productId":"good","userId":"\uzzzz"}"#),
        ("unknown escape", br#"{"productId":"good","userId":"\x41"}"#),
        ("escaped apostrophe", br#"{"productId":"good","userId":"\'"}"#),
        ("backslash at the end", br#"{"productId":"good","userId":"u\"}"#),
        ("escaped key with another name", br#"{"productId":"good","\u0055serId":"u"}"#),
    ]);
    let wide = |bytes: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(good.encode_utf16()).flat_map(bytes).collect()
    };
    bodies.push(("UTF-16 little endian".to_owned(), wide(u16::to_le_bytes, false)));
    bodies.push(("UTF-16 big endian".to_owned(), wide(u16::to_be_bytes, false)));
    bodies.push(("UTF-16 with its mark".to_owned(), wide(u16::to_le_bytes, true)));
    let utf32: Vec<u8> = good.chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    bodies.push(("UTF-32".to_owned(), utf32));
    let ebcdic: Vec<u8> = good.bytes().map(|byte| byte.wrapping_add(0x40)).collect();
    bodies.push(("shifted bytes".to_owned(), ebcdic));
    bodies
}

fn shapes() -> Vec<Named> {
    let mut bodies = named([
        ("no members", b"{}"),
        ("no user", br#"{"productId":"good"}"#),
        ("no product", br#"{"userId":"u"}"#),
        ("product twice", br#"{"productId":"good","productId":"good","userId":"u"}"#),
        ("user twice", br#"{"productId":"good","userId":"u","userId":"u"}"#),
        ("user twice, once escaped", br#"{"productId":"good","userId":"u","\u0075serId":"v"}"#),
        ("all twice", br#"{"productId":"good","userId":"u","productId":"good","userId":"u"}"#),
        ("lower case keys", br#"{"productid":"good","userid":"u"}"#),
        ("upper case keys", br#"{"PRODUCTID":"good","USERID":"u"}"#),
        ("snake case keys", br#"{"product_id":"good","user_id":"u"}"#),
        ("keys with spaces", br#"{" productId":"good","userId ":"u"}"#),
        ("key with a NUL", br#"{"productId\u0000":"good","userId":"u"}"#),
        ("nested", br#"{"order":{"productId":"good","userId":"u"}}"#),
        ("empty key", br#"{"productId":"good","userId":"u","":""}"#),
        ("list of products", br#"{"productId":["good"],"userId":"u"}"#),
    ]);
    let extras = [
        "price",
        "quantity",
        "orderId",
        "status",
        "__proto__",
        "constructor",
        "prototype",
        "role",
        "admin",
        "buyer",
        "id",
        "_id",
        "$where",
        "generation",
        "at",
        "sealed_user",
        "msg",
        "error",
    ];
    for extra in extras {
        for value in ["1", "null", "{}", "\"x\""] {
            let body = format!(r#"{{"productId":"good","userId":"u","{extra}":{value}}}"#);
            bodies.push((format!("extra {extra} {value}"), body.into()));
        }
    }
    let marked = format!(r#"{{"productId":"good","userId":"u","{MARK}":"{MARK}"}}"#);
    bodies.push(("marked extra member".to_owned(), marked.into()));
    let many: Vec<String> = (0..100).map(|n| format!("\"a{n}\":1")).collect();
    bodies.push(("hundred members".to_owned(), format!("{{{}}}", many.join(",")).into()));
    bodies
}

/// Values that are no valid id, as JSON.
fn values() -> Vec<(String, String)> {
    let mut values: Vec<(String, String)> = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "1.5",
        "1e400",
        "-0",
        "[]",
        "{}",
        "[\"good\"]",
        "{\"$ne\":null}",
        "18446744073709551616",
        "123456789012345678901234567890",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        "undefined",
        "1e999999999",
    ]
    .map(|value| (value.to_owned(), value.to_owned()))
    .into();
    let texts = [
        ("empty text", String::new()),
        ("space", " ".to_owned()),
        ("capital", "Good".to_owned()),
        ("underscore", "go_od".to_owned()),
        ("point", "go.od".to_owned()),
        ("slash", "go/od".to_owned()),
        ("colon", "go:od".to_owned()),
        ("percent", "%67ood".to_owned()),
        ("plus", "go+od".to_owned()),
        ("marked", format!("{MARK}!")),
        ("SQL", format!("{MARK}' OR '1'='1")),
        ("script", format!("<script>{MARK}</script>")),
        ("template", "{{7*7}}".to_owned()),
        ("path", "../../etc/passwd".to_owned()),
        ("51 letters", "a".repeat(51)),
        ("500 letters", "a".repeat(500)),
        ("e with accent", "g\u{e9}".to_owned()),
        ("combining accent", "ge\u{301}".to_owned()),
        ("full width", "\u{ff47}ood".to_owned()),
        ("Cyrillic", "g\u{43e}\u{43e}d".to_owned()),
        ("zero width", "go\u{200b}od".to_owned()),
        ("right to left", "\u{202e}good".to_owned()),
        ("emoji", "\u{1f600}".to_owned()),
        ("long dash", "go\u{2014}od".to_owned()),
        ("non-character", "\u{ffff}".to_owned()),
        ("replacement", "\u{fffd}".to_owned()),
        ("delete", "good\u{7f}".to_owned()),
        ("next line", "good\u{85}".to_owned()),
    ];
    for (name, text) in texts {
        values.push((name.to_owned(), format!("\"{text}\"")));
    }
    for escape in ["\\n", "\\r\\n", "\\t", "\\u0000", "\\u0008", "\\\"", "\\\\", "\\/", "\\u0020"] {
        values.push((format!("escape {escape}"), format!("\"good{escape}\"")));
    }
    values
}

fn media_types(kit: &Kit) -> Vec<Case> {
    let types = [
        "text/plain",
        "text/json",
        "application/xml",
        "application/jsonx",
        "application/x-ndjson",
        "application/json-patch+json",
        "application/vnd.api+json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "*/*",
        "json",
        "",
        "application",
        "application/",
        "/json",
        ";charset=utf-8",
        "text/html;application/json",
        "application/json,text/plain",
        "\"application/json\"",
        "application /json",
    ];
    let mut cases = Vec::new();
    for kind in types {
        let draft = kit.sign(kit.order().set("content-type", kind));
        cases.push(Case::new(format!("content type {kind}"), draft.bytes(), MEDIA));
    }
    let twice =
        kit.order().set("content-type", "application/json").add("content-type", "text/plain");
    cases.push(Case::new("content type twice", kit.sign(twice).bytes(), MEDIA));
    for coding in
        ["gzip", "deflate", "br", "zstd", "compress", "x-gzip", "gzip, identity", "", MARK]
    {
        let draft = kit.sign(kit.order().set("content-encoding", coding));
        cases.push(Case::new(format!("content coding {coding}"), draft.bytes(), MEDIA));
    }
    cases
}

fn sessions(kit: &Kit) -> Vec<Case> {
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "\"u\"",
        "{\"userId\":1}",
        "{\"userId\":null}",
        "{\"userId\":\"\"}",
        "{\"userId\":\"U\"}",
        "{\"userId\":[\"u\"]}",
        "{\"userId\":{\"id\":\"u\"}}",
        "{\"userId\":\"u\",\"userId\":\"v\"}",
        "{\"userId\":\"u\",\"role\":\"admin\"}",
        "{\"user\":\"u\"}",
        "{\"userId\":\"u\"}x",
        "{\"userId\":\"\\ud800\"}",
        "{\"userId\":\"zqmarkqz!\"}",
        "{\"userId\":\"u",
        "{\"userId\":\"\u{e9}\"}",
        "{\"productId\":\"good\",\"userId\":\"u\"}",
    ];
    bodies
        .into_iter()
        .map(|body| {
            let draft = kit.sign(Draft::new("POST", "/session", body));
            Case::new(format!("session {body}"), draft.bytes(), INVALID)
        })
        .collect()
}

fn cancels(kit: &Kit) -> Vec<Case> {
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "true",
        "{\"restock\":1}",
        "{\"restock\":null}",
        "{\"restock\":\"true\"}",
        "{\"restock\":true,\"restock\":false}",
        "{\"restock\":true,\"reason\":\"zqmarkqz\"}",
        "{\"Restock\":true}",
        "{\"restock\":true",
        "\0",
    ];
    bodies
        .into_iter()
        .map(|body| {
            let path = "/orders/00000000-0000-8000-8000-000000000000/cancel";
            let draft = kit.sign(Draft::new("POST", path, body));
            Case::new(format!("cancel {body}"), draft.bytes(), INVALID)
        })
        .collect()
}
