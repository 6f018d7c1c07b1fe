//! Messages whose end a proxy in front and the server behind it might see at different places.
//!
//! Each carries a second request in what one of the two takes for the body. It must not be answered: the
//! whole is refused and the connection closed, or it is read as the standard (RFC 9112) says and closed.

use super::{Attack, Draft, Got, Target};
use crate::attack::support::wire::{Answer, Connection};

/// The request that must not be seen.
const HIDDEN: &str = "GET /livez HTTP/1.1\r\nhost: gate.test\r\n\r\n";

pub const ATTACKS: &[Attack] = &[
    Attack::new("Content-Length and Transfer-Encoding", "API8", "one answer, then closed", |t| {
        let hidden = HIDDEN.len();
        smuggled(
            t,
            &[
                &format!(
                    "content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                    5 + hidden
                ),
                &format!(
                    "transfer-encoding: chunked\r\ncontent-length: {}\r\n\r\n0\r\n\r\n",
                    5 + hidden
                ),
                "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                "content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ],
        )
    }),
    Attack::new("two Content-Lengths", "API8", "400, closed", |t| {
        let hidden = HIDDEN.len();
        smuggled(
            t,
            &[
                &format!("content-length: 0\r\ncontent-length: {hidden}\r\n\r\n"),
                &format!("content-length: {hidden}\r\ncontent-length: 0\r\n\r\n"),
                &format!("content-length: 0, {hidden}\r\n\r\n"),
                &format!("content-length: {hidden},0\r\n\r\n"),
            ],
        )
    }),
    Attack::new("Content-Length that is no number", "API8", "400, closed", |t| {
        smuggled(
            t,
            &[
                "content-length: +0\r\n\r\n",
                "content-length: -1\r\n\r\n",
                "content-length: 0x0\r\n\r\n",
                "content-length: 0 0\r\n\r\n",
                "content-length: 18446744073709551616\r\n\r\n",
                "content-length: zero\r\n\r\n",
                "content-length: \r\n\r\n",
                "content-length: 0;\r\n\r\n",
            ],
        )
    }),
    Attack::new("Transfer-Encoding in disguise", "API8", "400, 501, closed", |t| {
        smuggled(
            t,
            &[
                "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
                "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
                "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
                "transfer-encoding: identity\r\n\r\n0\r\n\r\n",
                "transfer-encoding: gzip\r\n\r\n0\r\n\r\n",
                "transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
                "transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
                "x: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
            ],
        )
    }),
    Attack::new("chunk sizes that overflow or lie", "API8", "400, closed", |t| {
        smuggled(
            t,
            &[
                "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
                "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
                "transfer-encoding: chunked\r\n\r\n-1\r\n",
                "transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n",
                "transfer-encoding: chunked\r\n\r\n+0\r\n\r\n",
                "transfer-encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
                "transfer-encoding: chunked\r\n\r\n1\r\nAA\r\n0\r\n\r\n",
                "transfer-encoding: chunked\r\n\r\n1\nA\n0\n\n",
            ],
        )
    }),
    Attack::new(
        "line ends and spaces that not all accept",
        "API8",
        "400, or as one request",
        |t| {
            let heads = [
                "POST /session HTTP/1.1\r\nhost: gate.test\r\ncontent-length : 0\r\n\r\n",
                "POST /session HTTP/1.1\r\nhost: gate.test\r\n content-length: 0\r\n\r\n",
                "POST /session HTTP/1.1\r\nhost: gate.test\r\nx: a\0b\r\n\r\n",
                "POST /session HTTP/1.1\r\nhost: gate.test\r\nx: a\rb: c\r\n\r\n",
                "POST /session HTTP/1.1\r\n: empty\r\n\r\n",
                "POST /session HTTP/1.1\r\nno colon\r\n\r\n",
                "POST /session HTTP/1.1 \r\nhost: gate.test\r\n\r\n",
                "POST  /session HTTP/1.1\r\nhost: gate.test\r\n\r\n",
                "POST /session HTTP/1.2\r\nhost: gate.test\r\n\r\n",
                "POST /session\tHTTP/1.1\r\nhost: gate.test\r\n\r\n",
                "POST /session a HTTP/1.1\r\nhost: gate.test\r\n\r\n",
            ];
            let mut all = Vec::new();
            for head in heads {
                all.push(hidden_unanswered(t, head)?);
            }
            Ok(Got::all(all))
        },
    ),
    Attack::new("order hidden in the body of another request", "API8", "nothing sold", |t| {
        let product = t.sale(5)?;
        let order = Draft::order(&product, &t.unique("u"), &t.unique("k"));
        let order = order.sign(&t.client, t.now_ms()).bytes();
        let mut bytes = format!(
            "POST /session HTTP/1.1\r\nhost: gate.test\r\ncontent-length: {}\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            order.len() + 5
        )
        .into_bytes();
        bytes.extend_from_slice(&order);
        let answers = answers(t, &bytes)?;
        Ok(Got::of(answers.len() <= 1, said(&answers)).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("refused body read as the next request", "API8", "413, closed", |t| {
        // The body is too large to be read; what follows must not be taken for a request.
        let body = HIDDEN.repeat(100);
        let head = format!(
            "POST /order HTTP/1.1\r\nhost: gate.test\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answers = answers(t, head.as_bytes())?;
        let refused = answers.iter().all(|answer| answer.status == 413);
        Ok(Got::of(refused && answers.len() <= 1, said(&answers)))
    }),
    Attack::new("HTTP/2 preface on a plain connection", "API8", "refused, closed", |t| {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let answers = answers(t, preface)?;
        Ok(Got::of(answers.iter().all(|answer| answer.status >= 400), said(&answers)))
    }),
    Attack::new("upgrade to h2c or a websocket", "API8", "not upgraded", |t| {
        let mut all = Vec::new();
        for protocol in ["h2c", "websocket", "TLS/1.0"] {
            let draft = Draft::new("GET", "/livez", "")
                .set("connection", "Upgrade, HTTP2-Settings")
                .set("upgrade", protocol)
                .set("http2-settings", "AAMAAABkAAQAAP__");
            let answer = t.send(&draft)?;
            all.push(Got::of(answer.status != 101, answer.summary()));
        }
        Ok(Got::all(all))
    }),
    Attack::new("Host that is another's, or two of them", "API8", "as for any host, or 400", |t| {
        let mut all = Vec::new();
        for host in ["evil.test", "127.0.0.1:3001", "gate.test\r\nhost: evil.test", "a b", "@"] {
            let answer = t.send(&Draft::new("GET", "/livez", "").set("host", host))?;
            let echoed = format!("{:?}{}", answer.headers, answer.text()).contains("evil");
            all.push(Got::status(&answer, &[200, 400]).and(Got::of(!echoed, "")));
        }
        let absolute = format!("http://{}/admin/products", t.operator);
        let answer = t.send(&Draft::new("GET", &absolute, ""))?;
        all.push(Got::status(&answer, &[400, 404]));
        let connect = t.operator.to_string();
        if let Some(answer) = t.send_raw(&Draft::new("CONNECT", &connect, "").bytes())? {
            all.push(Got::status(&answer, &[400, 404, 405]));
        }
        Ok(Got::all(all))
    }),
];

/// A request with each of these framings, followed by the hidden one.
fn smuggled(target: &Target, framings: &[&str]) -> anyhow::Result<Got> {
    let mut all = Vec::new();
    for framing in framings {
        let head = format!("POST /session HTTP/1.1\r\nhost: gate.test\r\n{framing}");
        all.push(hidden_unanswered(target, &head)?);
    }
    Ok(Got::all(all))
}

fn hidden_unanswered(target: &Target, head: &str) -> anyhow::Result<Got> {
    let answers = answers(target, format!("{head}{HIDDEN}").as_bytes())?;
    let seen = answers.iter().any(|answer| answer.status == 200);
    let failed = answers.iter().any(|answer| answer.status == 500);
    let what =
        if seen { format!("hidden request answered after {head:?}") } else { said(&answers) };
    Ok(Got::of(!seen && !failed, what))
}

/// All answers until the server closes, or is silent.
fn answers(target: &Target, bytes: &[u8]) -> anyhow::Result<Vec<Answer>> {
    let mut connection = Connection::open(target.public, target.address())?;
    connection.patience(std::time::Duration::from_millis(700))?;
    connection.write_what_it_takes(bytes);
    connection.finish();
    let mut answers = Vec::new();
    // Silence is an end too: the server waits for more of a message that it cannot take.
    while let Ok(Some(answer)) = connection.read() {
        answers.push(answer);
    }
    Ok(answers)
}

fn said(answers: &[Answer]) -> String {
    if answers.is_empty() {
        return "closed".to_owned();
    }
    answers.iter().map(Answer::summary).collect::<Vec<_>>().join(", then ")
}
