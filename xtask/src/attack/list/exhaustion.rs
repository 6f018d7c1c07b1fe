//! Too much, too large, too slow. Everything here is bounded in count and time.

use std::time::{Duration, Instant};

use super::{Attack, Draft, Got, Target};
use crate::attack::servers::{
    HASTY_ATTEMPTS, HASTY_CONNECTIONS, HASTY_CONNECTIONS_PER_IP, HASTY_TIMEOUT_MS,
};
use crate::attack::support::wire::{Answer, Connection};

/// How much later than its time limit a slow sender may be ended, in seconds: the sweep, and a busy machine.
const LATE_SECONDS: f64 = 20.0;
/// How long a client that reads nothing may hold its connection, in seconds: the idle time and more.
const SILENT_SECONDS: f64 = 40.0;

/// How long something may take that must come.
const COMES_MAX: Duration = Duration::from_secs(20);

pub const ATTACKS: &[Attack] = &[
    Attack::new("oversized body", "API4", "413 body_too_large", |t| {
        let order = Draft::order("p", "u", &t.unique("k"));
        let large = order.clone().body(vec![b' '; 2_000]).sign(&t.client, t.now_ms());
        let huge = order.clone().body(vec![b'{'; 1 << 20]).sign(&t.client, t.now_ms());
        let claimed = order.clone().set("content-length", "1099511627776");
        let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 5_000, "x".repeat(5_000));
        let chunked = order.set("transfer-encoding", "chunked").body(chunk);
        let mut all = Vec::new();
        for draft in [large, huge, claimed, chunked] {
            all.push(refused_or_closed(t, &draft.bytes(), &[413])?);
        }
        Ok(Got::all(all))
    }),
    Attack::new("oversized or countless headers", "API4", "431", |t| {
        let large = Draft::new("GET", "/livez", "").set("x-large", "x".repeat(40_000));
        let mut many = Draft::new("GET", "/livez", "");
        for n in 0..99 {
            many = many.set(&format!("x-{n}"), "x");
        }
        let mut countless = Draft::new("GET", "/livez", "");
        for n in 0..1_000 {
            countless = countless.set(&format!("x-{n}"), "x");
        }
        let name = Draft::new("GET", "/livez", "").set(&"n".repeat(70_000), "x");
        let mut all = Vec::new();
        for draft in [large, many, countless, name] {
            all.push(refused_or_closed(t, &draft.bytes(), &[431])?);
        }
        Ok(Got::all(all))
    }),
    Attack::new("oversized target", "API4", "414, 431", |t| {
        let mut all = Vec::new();
        for length in [20_000, 70_000, 1 << 20] {
            let draft = Draft::new("GET", &format!("/{}", "a".repeat(length)), "");
            all.push(refused_or_closed(t, &draft.bytes(), &[414, 431])?);
        }
        Ok(Got::all(all))
    }),
    Attack::new("body nested as deep as it can be", "API4", "400 invalid_request", |t| {
        let mut all = Vec::new();
        for (open, close) in [("[", "]"), (r#"{"productId":"#, "}")] {
            let levels = 1_000 / (open.len() + close.len());
            let body = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let draft = Draft::order("p", "u", &t.unique("k")).body(body);
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            all.push(Got::refused(&answer, 400, "invalid_request"));
        }
        Ok(Got::all(all))
    }),
    Attack::new("compressed body", "API4", "415 unsupported_media_type", |t| {
        let mut all = Vec::new();
        for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"] {
            let draft = Draft::order("p", "u", &t.unique("k")).set("content-encoding", coding);
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            all.push(Got::refused(&answer, 415, "unsupported_media_type"));
        }
        Ok(Got::all(all))
    }),
    Attack::new("chunk extensions and trailers without end", "API4", "4xx, closed", |t| {
        let head = "POST /order HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n";
        let extension = format!("{head}1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(200_000));
        let trailers = format!("{head}0\r\n{}\r\n", "t: x\r\n".repeat(50_000));
        let tiny = format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(5_000));
        let mut all = Vec::new();
        for bytes in [extension, trailers, tiny] {
            all.push(refused_or_closed(t, bytes.as_bytes(), &[400, 401, 413, 429, 431])?);
        }
        Ok(Got::all(all))
    }),
    Attack::on_ours("headers sent a byte at a time", "OAT-015", "408 within the time limit", |t| {
        slow(t, b"POST /order HTTP/1.1\r\nhost: gate.test\r\nx-slow: ")
    }),
    Attack::on_ours("nothing sent at all", "OAT-015", "closed within the time limit", |t| {
        slow(t, b"")
    }),
    Attack::on_ours("body sent a byte at a time", "OAT-015", "408 within the time limit", |t| {
        slow(t, b"POST /order HTTP/1.1\r\nhost: gate.test\r\ncontent-length: 1000\r\n\r\n")
    }),
    Attack::on_ours("chunks sent a byte at a time", "OAT-015", "408 within the time limit", |t| {
        slow(
            t,
            b"POST /order HTTP/1.1\r\nhost: gate.test\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n",
        )
    }),
    Attack::on_ours("slow second request on a good connection", "OAT-015", "ended", |t| {
        slow(t, b"GET /livez HTTP/1.1\r\nhost: g\r\n\r\nGET /livez HTTP/1.1\r\nx-slow: ")
    }),
    Attack::on_ours("connections of one address", "OAT-015", "503 beyond its share", |t| {
        let hasty = &t.ours()?.hasty;
        let from = hasty.address();
        let mut held = Vec::new();
        // Until those are taken in, one more may be; and they are ended if they do nothing for long.
        let refused = comes(|| {
            held.clear();
            for _ in 0..HASTY_CONNECTIONS_PER_IP {
                held.push(Connection::open(hasty.public, from)?);
            }
            std::thread::sleep(Duration::from_millis(100));
            let mut beyond = Connection::open(hasty.public, from)?;
            beyond.write_what_it_takes(&Draft::new("GET", "/livez", "").bytes());
            Ok(said(&mut beyond).is_none_or(|answer| answer.status == 503))
        })?;
        let other = hasty.send(&Draft::new("GET", "/livez", ""))?;
        drop(held);
        Ok(Got::of(refused, "refused beyond it").and(Got::status(&other, &[200])))
    }),
    Attack::on_ours("flood of connections", "OAT-015", "503 beyond the limit; then served", |t| {
        let hasty = &t.ours()?.hasty;
        let mut held = Vec::new();
        for _ in 0..HASTY_CONNECTIONS + 40 {
            held.push(Connection::open(hasty.public, hasty.address())?);
        }
        std::thread::sleep(Duration::from_millis(100));
        let shed = held
            .iter_mut()
            .skip(HASTY_CONNECTIONS)
            .filter_map(said)
            .filter(|answer| answer.status == 503)
            .count();
        drop(held);
        let served = comes(|| {
            let after = hasty.send(&Draft::new("GET", "/livez", ""));
            Ok(after.is_ok_and(|after| after.status == 200))
        })?;
        let after = Got::of(served, if served { "" } else { "nobody is served after it" });
        Ok(Got::of(shed > 0, format!("{shed} shed")).and(after))
    }),
    Attack::new(
        "500 idle connections, and an honest one",
        "OAT-015",
        "the honest one is served",
        |t| {
            let mut held = Vec::new();
            for _ in 0..500 {
                held.push(Connection::open(t.public, t.address())?);
            }
            let product = t.sale(5)?;
            t.accepted(&product)?;
            drop(held);
            t.must_have_sold(&product, 1)
        },
    ),
    Attack::new(
        "200 half-sent orders, and an honest one",
        "OAT-015",
        "the honest one is served",
        |t| {
            let product = t.sale(5)?;
            let shopper = t.shopper()?;
            let whole = t.order(&product, &shopper).bytes();
            let mut held = Vec::new();
            for _ in 0..200 {
                let mut connection = Connection::open(t.public, t.address())?;
                connection.write(&whole[..whole.len() - 1])?;
                held.push(connection);
            }
            t.accepted(&product)?;
            drop(held);
            t.must_have_sold(&product, 1)
        },
    ),
    Attack::on_ours(
        "half-sent orders as many as may be under way",
        "OAT-015",
        "others are served",
        |t| {
            let hasty = &t.ours()?.hasty;
            let head = b"POST /order HTTP/1.1\r\nhost: gate.test\r\ncontent-length: 100\r\n\r\n{";
            let mut held = Vec::new();
            for _ in 0..3 * HASTY_ATTEMPTS {
                let mut connection = Connection::open(hasty.public, hasty.address())?;
                connection.write(head)?;
                held.push(connection);
            }
            std::thread::sleep(Duration::from_millis(100));
            let product = hasty.unique("p");
            let order = Draft::order(&product, &hasty.unique("u"), &hasty.unique("k"));
            let answer = hasty.send(&order.sign(&hasty.client, hasty.now_ms()))?;
            drop(held);
            // There is no such product; that is an answer all the same.
            Ok(Got::refused(&answer, 404, "unknown_product"))
        },
    ),
    Attack::on_ours("flood of calls that are open to all", "API4", "429 after the burst", |t| {
        let from = t.address();
        let mut all = Vec::new();
        for path in ["/products/none", "/openapi.json"] {
            let started = t.seconds();
            let mut limited = 0;
            for _ in 0..40 {
                let answer = t.send_from(from, &Draft::new("GET", path, ""))?;
                limited += usize::from(answer.status == 429);
            }
            // The burst and two seconds' worth: so many may pass.
            let slow = t.seconds() - started > 2.0;
            all.push(Got::of(limited > 0 || slow, format!("{limited} of 40 refused: {path}")));
        }
        Ok(Got::all(all))
    }),
    Attack::on_ours("answers that are never read", "OAT-015", "no more is read; ended", |t| {
        let hasty = &t.ours()?.hasty;
        let mut connection = Connection::open(hasty.public, hasty.address())?;
        let request = Draft::new("GET", "/openapi.json", "").bytes();
        let many: Vec<u8> = request.iter().copied().cycle().take(request.len() * 10_000).collect();
        // The server stops reading once its answers are not taken; then nothing more can be written.
        let started = hasty.seconds();
        let mut written = 0;
        let mut stopped = false;
        while hasty.seconds() - started < SILENT_SECONDS && written < 100 {
            match connection.write_some(&many, Duration::from_millis(200)) {
                Ok(()) => written += 1,
                Err(error) if is_silence(&error) => stopped = true,
                Err(_) => return Ok(Got::of(true, format!("ended after {written} times 10,000"))),
            }
        }
        let what = format!("{written} times 10,000 taken; stopped: {stopped}; never ended");
        Ok(Got::of(false, what))
    }),
    Attack::on_ours(
        "flood of refused orders while others buy",
        "OAT-015",
        "the others are served",
        // Whoever shares the flood's address shares its rate, and elsewhere we have one address.
        |t| {
            let product = t.sale(30)?;
            let public = t.public;
            let from = t.address();
            let served = std::thread::scope(|scope| {
                let flood = scope.spawn(move || {
                    let forged = Draft::new("POST", "/order", "{}").bytes();
                    let many: Vec<u8> =
                        forged.iter().copied().cycle().take(forged.len() * 50).collect();
                    let mut connection = Connection::open(public, from)?;
                    for _ in 0..100 {
                        connection.write(&many)?;
                        for _ in 0..50 {
                            connection.read()?;
                        }
                    }
                    Ok::<_, std::io::Error>(())
                });
                let served = (0..30).filter(|_| t.accepted(&product).is_ok()).count();
                let _ = flood.join();
                served
            });
            Ok(Got::of(served == 30, format!("{served} of 30 served"))
                .and(t.must_have_sold(&product, 30)?))
        },
    ),
    Attack::new("oversized body to the operator", "API4", "413", |t| {
        let body = format!(r#"{{"productId":"{}","quantity":1}}"#, "p".repeat(100_000));
        let answer = t.admin("POST", "/init", &body)?;
        Ok(Got::status(&answer, &[413]))
    }),
    Attack::new("oversized credentials", "API4", "401", |t| {
        let bearer = Draft::new("POST", "/order", "{}")
            .set("authorization", format!("Bearer {}", "a.".repeat(5_000)));
        let jwt = Draft::new("POST", "/session", "{}")
            .set("authorization", format!("Bearer {}", "a.".repeat(5_000)));
        let key = Draft::new("POST", "/order", "{}").set("x-api-key", "k".repeat(10_000));
        let mut all = Vec::new();
        for draft in [bearer, jwt, key] {
            all.push(Got::status(&t.send(&draft)?, &[400, 401]));
        }
        Ok(Got::all(all))
    }),
];

/// The answer, if the server gives one.
fn said(connection: &mut Connection) -> Option<Answer> {
    let _ = connection.patience(Duration::from_millis(300));
    connection.read().ok().flatten()
}

/// Whether it comes to hold.
pub(super) fn comes(mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let begun = Instant::now();
    loop {
        if holds()? {
            return Ok(true);
        }
        if begun.elapsed() > COMES_MAX {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// One of these statuses, or closed before all was sent.
fn refused_or_closed(target: &Target, bytes: &[u8], statuses: &[u16]) -> anyhow::Result<Got> {
    Ok(match target.send_raw(bytes)? {
        Some(answer) => Got::status(&answer, statuses),
        None => Got::of(true, "closed"),
    })
}

/// A beginning, then a byte every 50 ms: the hasty server must end it in its time.
fn slow(target: &Target, beginning: &[u8]) -> anyhow::Result<Got> {
    let hasty = &target.ours()?.hasty;
    let mut connection = Connection::open(hasty.public, hasty.address())?;
    let started = hasty.seconds();
    connection.write(beginning)?;
    connection.patience(Duration::from_millis(50))?;
    let limit = HASTY_TIMEOUT_MS as f64 / 1_000.0 + LATE_SECONDS;
    let mut last = "closed".to_owned();
    while hasty.seconds() - started < limit {
        match connection.read() {
            Ok(None) => return Ok(Got::of(true, last)),
            Ok(Some(answer)) => last = answer.status.to_string(),
            Err(error) if is_silence(&error) => {
                if !beginning.is_empty() {
                    connection.write_what_it_takes(b"x");
                }
            }
            Err(_) => return Ok(Got::of(true, last)),
        }
    }
    Ok(Got::of(false, format!("still open after {limit:.1} s")))
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
