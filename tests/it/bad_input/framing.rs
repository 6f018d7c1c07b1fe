//! Messages as such: first lines, line ends, lengths, chunks, pipelines, versions.

use super::{Case, Expect, Kit};
use crate::support::draft::Draft;

/// Refused by the HTTP library, which closes; or it waits for the rest of a message that never ends.
const REFUSED: Expect = Expect::StatusOrNone(&[400, 408, 413, 431, 501, 505]);
const ACCEPTED: Expect = Expect::Word(200, "success");

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = first_lines();
    cases.extend(header_lines());
    cases.extend(lengths(kit));
    cases.extend(chunks(kit));
    cases.extend(good_oddities(kit));
    cases.extend(other_protocols());
    cases
}

fn first_lines() -> Vec<Case> {
    let lines: [&[u8]; 34] = [
        b"",
        b" ",
        b"\0",
        b"GET",
        b"GET ",
        b"GET /",
        b"GET /livez",
        b"GET /livez HTTP",
        b"GET /livez HTTP/",
        b"GET /livez HTTP/1",
        b"GET /livez HTTP/1.",
        b"GET /livez HTTP/0.9",
        b"GET /livez HTTP/1.2",
        b"GET /livez HTTP/2.0",
        b"GET /livez HTTP/3",
        b"GET /livez HTTP/9.9",
        b"GET /livez http/1.1",
        b"GET /livez HTTPS/1.1",
        b"GET /livez HTTP/1.1x",
        b"GET /livez HTTP/01.1",
        b"GET /livez HTTP/1.1 ",
        b"GET  /livez HTTP/1.1",
        b"GET /livez  HTTP/1.1",
        b"GET\t/livez\tHTTP/1.1",
        b" GET /livez HTTP/1.1",
        b"/livez GET HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"G\0T /livez HTTP/1.1",
        b"G\xffT /livez HTTP/1.1",
        b"(GET) /livez HTTP/1.1",
        b"GET /liv\0ez HTTP/1.1",
        b"GET /liv ez HTTP/1.1",
        b"GET \xff HTTP/1.1",
        b"\xff\xff\xff\xff",
    ];
    lines
        .into_iter()
        .map(|line| {
            let name = format!("first line {:?}", String::from_utf8_lossy(line));
            Case::new(name, [line, b"\r\nhost: gate.test\r\n\r\n"].concat(), REFUSED)
        })
        .collect()
}

fn header_lines() -> Vec<Case> {
    let refused: [&[u8]; 22] = [
        b"x",
        b":",
        b": x",
        b" : x",
        b"x : y",
        b"x\t: y",
        b" x: y",
        b"x y: z",
        b"x\0: y",
        b"x: a\0b",
        b"x: a\rb",
        b"x: \x01",
        b"x: \x7f",
        b"\xff: x",
        b"(x): y",
        b"x[]: y",
        b"x@y: z",
        b"x: a\r\n folded",
        b"x: a\r\n\tfolded",
        b"content-length: 0\r\n folded",
        b"\"x\": y",
        b"{x}: y",
    ];
    let mut cases: Vec<Case> = refused
        .into_iter()
        .map(|line| {
            let name = format!("header line {:?}", String::from_utf8_lossy(line));
            let bytes = [b"GET /livez HTTP/1.1\r\nhost: g\r\n", line, b"\r\n\r\n"].concat();
            Case::new(name, bytes, REFUSED)
        })
        .collect();
    let either = Expect::StatusOrNone(&[200, 400]);
    let lenient: [(&str, &[u8]); 9] = [
        ("bare line feeds", b"GET /livez HTTP/1.1\nhost: g\n\n"),
        ("bare carriage returns", b"GET /livez HTTP/1.1\rhost: g\r\r"),
        ("empty lines before", b"\r\n\r\nGET /livez HTTP/1.1\r\nhost: g\r\n\r\n"),
        ("no host", b"GET /livez HTTP/1.1\r\n\r\n"),
        ("two hosts", b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("empty host", b"GET /livez HTTP/1.1\r\nhost:\r\n\r\n"),
        (
            "bytes above 127 in a value",
            b"GET /livez HTTP/1.1\r\nhost: g\r\nx: \xc3\xa9\xff\r\n\r\n",
        ),
        ("tab in a value", b"GET /livez HTTP/1.1\r\nhost: g\r\nx: a\tb\r\n\r\n"),
        ("no space after the colon", b"GET /livez HTTP/1.1\r\nhost:g\r\nx:y\r\n\r\n"),
    ];
    for (name, bytes) in lenient {
        cases.push(Case::new(name, bytes, either));
    }
    cases
}

fn lengths(kit: &Kit) -> Vec<Case> {
    let values = [
        "",
        " ",
        "-1",
        "+1",
        "1.0",
        "1e1",
        "0x1",
        "1 1",
        "1,1",
        "1, 2",
        "one",
        "\"1\"",
        "1;",
        "_1",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "\u{661}",
    ];
    let mut cases: Vec<Case> = values
        .into_iter()
        .map(|value| {
            let draft = kit.signed().set("content-length", value);
            Case::new(format!("content-length {value:?}"), draft.bytes(), REFUSED)
        })
        .collect();
    let length = kit.signed().body.len();
    let shorter = kit.signed().set("content-length", (length - 1).to_string());
    let shorter_expect = Expect::Status(&[400, 401]);
    cases.push(Case::new("length too short by one", shorter.bytes(), shorter_expect));
    let longer = kit.signed().set("content-length", (length + 1).to_string());
    cases.push(Case::new("length too long by one", longer.bytes(), Expect::StatusOrNone(&[408])));
    let twice = kit.signed();
    let right = twice.body.len().to_string();
    let same = twice.clone().add("content-length", &right).add("content-length", &right);
    cases.push(Case::new(
        "length twice, the same",
        same.bytes(),
        Expect::StatusOrNone(&[200, 400]),
    ));
    let differ = twice.add("content-length", &right).add("content-length", "0");
    cases.push(Case::new("length twice, differing", differ.bytes(), REFUSED));
    for size in [1_025, 2_000, 10_000, 200_000] {
        let draft = kit.sign(kit.order().body(vec![b' '; size]));
        // The server reads some of what it refuses, so that the refusal is seen.
        let seen = size <= 10_000;
        let refused = Expect::Word(413, "body_too_large");
        let expect = if seen { refused } else { Expect::StatusOrNone(&[413]) };
        cases.push(Case::new(format!("body of {size}"), draft.bytes(), expect));
    }
    let claimed = kit.signed().set("content-length", "1000000000000");
    cases.push(Case::new(
        "body said to be huge",
        claimed.bytes(),
        Expect::Word(413, "body_too_large"),
    ));
    cases
}

fn chunks(kit: &Kit) -> Vec<Case> {
    let chunked = |body: &[u8]| {
        let draft = kit.signed().set("transfer-encoding", "chunked");
        [draft.head(" HTTP/1.1"), body.to_vec()].concat()
    };
    let bad: [&[u8]; 22] = [
        b"",
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhel",
        b"5\nhello\n0\n\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"ffffffffffffffff\r\nx",
        b"7fffffffffffffff\r\nx",
        b"5;\0\r\nhello",
        b"5\rhello\r\n0\r\n\r\n",
        b"\xff\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"1e3\r\nhello",
    ];
    let mut cases: Vec<Case> = bad
        .into_iter()
        .map(|body| {
            let name = format!("chunks {:?}", String::from_utf8_lossy(body));
            // What is read as a whole body is not the one that was signed.
            Case::new(name, chunked(body), Expect::StatusOrNone(&[400, 401, 408, 413]))
        })
        .collect();
    let large = format!("{:x}\r\n{}\r\n0\r\n\r\n", 5_000, "x".repeat(5_000));
    cases.push(Case::new("chunk of 5,000", chunked(large.as_bytes()), Expect::Status(&[413])));
    let tiny = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(2_000));
    cases.push(Case::new(
        "2,000 chunks of one",
        chunked(tiny.as_bytes()),
        Expect::StatusOrNone(&[413]),
    ));
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(20_000));
    let expect = Expect::StatusOrNone(&[400, 401]);
    cases.push(Case::new("chunk extension of 20,000", chunked(extension.as_bytes()), expect));
    let trailers = format!("0\r\n{}\r\n", "x-t: v\r\n".repeat(2_000));
    let expect = Expect::StatusOrNone(&[400, 401, 431]);
    cases.push(Case::new("2,000 trailers", chunked(trailers.as_bytes()), expect));
    for coding in
        ["gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "", "x"]
    {
        let draft = kit.signed().set("transfer-encoding", coding);
        let bytes = [draft.head(" HTTP/1.1"), b"0\r\n\r\n".to_vec()].concat();
        let expect = Expect::StatusOrNone(&[400, 401, 501]);
        cases.push(Case::new(format!("transfer coding {coding:?}"), bytes, expect));
    }
    cases
}

/// What is odd but right is served.
fn good_oddities(kit: &Kit) -> Vec<Case> {
    let chunked = |sizes: &[usize], end: &str| {
        let draft = kit.signed().set("transfer-encoding", "chunked");
        let mut bytes = draft.head(" HTTP/1.1");
        let mut rest = &draft.body[..];
        for size in sizes.iter().copied().chain([usize::MAX]) {
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            if !chunk.is_empty() {
                bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.extend_from_slice(end.as_bytes());
        bytes
    };
    let upper = kit.signed();
    let shouting = String::from_utf8_lossy(upper.header("x-signature")).to_uppercase();
    let spaced = kit.order();
    let body = String::from_utf8_lossy(&spaced.body).replace(':', " : ").replace(',', "\r\n,\t");
    let spaced = spaced.body(format!("\n {body} \n"));
    let swapped = format!(r#"{{"userId":"{}","productId":"good"}}"#, kit.user());
    let escaped = format!(r#"{{"\u0070roductId":"g\u006fod","userId":"{}"}}"#, kit.user());
    let expect_continue = kit.signed().set("expect", "100-continue");
    let named = kit.signed();
    let loud = Draft {
        headers: named.headers.iter().map(|(n, v)| (n.to_uppercase(), v.clone())).collect(),
        ..named.clone()
    };
    let upgrade = kit.signed().set("connection", "upgrade").set("upgrade", "websocket");
    let bytes: [(&str, Vec<u8>); 14] = [
        ("one chunk", chunked(&[], "0\r\n\r\n")),
        ("chunks of one", chunked(&[1; 20], "0\r\n\r\n")),
        ("last chunk with extension", chunked(&[7], "0;x=y\r\n\r\n")),
        ("zeros as the last chunk", chunked(&[7], "000\r\n\r\n")),
        ("trailers", chunked(&[7], "0\r\nx-signature: forged\r\n\r\n")),
        ("signature in capitals", upper.set("x-signature", shouting).bytes()),
        ("white space in the body", kit.sign(spaced).bytes()),
        ("members swapped", kit.sign(kit.order().body(swapped)).bytes()),
        ("escaped members", kit.sign(kit.order().body(escaped)).bytes()),
        ("expect 100-continue", expect_continue.bytes()),
        ("header names in capitals", loud.bytes()),
        ("upgrade offered", upgrade.bytes()),
        ("HTTP/1.0", [kit.signed().head(" HTTP/1.0"), Vec::new()].concat()),
        ("empty lines before it", [b"\r\n\r\n".to_vec(), kit.signed().bytes()].concat()),
    ];
    let mut cases: Vec<Case> = bytes
        .into_iter()
        .filter(|(name, _)| *name != "HTTP/1.0")
        .map(|(name, bytes)| Case::new(name, bytes, ACCEPTED))
        .collect();
    let old = kit.signed();
    let bytes = [old.head(" HTTP/1.0"), old.body].concat();
    cases.push(Case::new("HTTP/1.0", bytes, ACCEPTED));
    let pipeline: Vec<u8> = (0..20).flat_map(|_| kit.signed().bytes()).collect();
    cases.push(Case::new("pipeline of 20", pipeline, ACCEPTED));
    let followed = [kit.signed().bytes(), b"garbage\0\r\n\r\n".to_vec()].concat();
    cases.push(Case::new("garbage after a good request", followed, ACCEPTED));
    let unmet = kit.signed().set("expect", "200-ok");
    cases.push(Case::new("expectation unknown", unmet.bytes(), Expect::Status(&[200, 417])));
    cases
}

fn other_protocols() -> Vec<Case> {
    let none = Expect::StatusOrNone(&[400, 408, 431, 501, 505]);
    let tls = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec();
    let protocols: [(&str, Vec<u8>); 9] = [
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("TLS hello", tls),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        ("SMTP", b"EHLO zqmarkqz\r\nMAIL FROM:<a@b>\r\n".to_vec()),
        ("Redis", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("proxy protocol 1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n".to_vec()),
        ("proxy protocol 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec()),
        ("HTTP/0.9", b"GET /livez\r\n".to_vec()),
        (
            "random bytes",
            (0u32..2_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        ),
    ];
    protocols.into_iter().map(|(name, bytes)| Case::new(name, bytes, none)).collect()
}
