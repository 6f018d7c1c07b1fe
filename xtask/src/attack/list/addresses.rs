//! Whose address a request counts against, and blocks.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use anyhow::Context;

use super::{Attack, Draft, Got, Target};
use crate::attack::servers::BLOCKED_DEVICE;
use crate::attack::support::wire::Connection;

/// The rate of an address and its burst, as they are unless configured.
const RATE: f64 = 10.0;
const BURST: usize = 20;
/// Networks of 64 bits in one of 48.
const NETWORKS: u32 = 65_536;

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours(
        "X-Forwarded-For of an untrusted peer",
        "OAT-021",
        "429 after the burst",
        |t| spoofed(t, |n| vec![("x-forwarded-for", format!("198.51.100.{n}"))]),
    ),
    Attack::on_ours("Forwarded of an untrusted peer", "OAT-021", "429 after the burst", |t| {
        spoofed(t, |n| vec![("forwarded", format!("for=198.51.100.{n}"))])
    }),
    Attack::on_ours("other headers that name an address", "OAT-021", "429 after the burst", |t| {
        spoofed(t, |n| {
            ["x-real-ip", "true-client-ip", "cf-connecting-ip", "x-client-ip", "fastly-client-ip"]
                .map(|name| (name, format!("198.51.100.{n}")))
                .into()
        })
    }),
    Attack::on_ours("trusted proxy, but the client wrote a hop itself", "OAT-021", "429", |t| {
        // The proxy adds the true address at the right; what stands left of it is the client's word.
        let client = fresh_v4(t);
        limited(t, 60, |n| proxied(t).set("x-forwarded-for", format!("198.51.100.{n}, {client}")))
    }),
    Attack::on_ours("one IPv4 address in many spellings", "OAT-021", "429 after the burst", |t| {
        let client = fresh_v4(t);
        let [a, b, c, d] = client.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let spellings = [
            client.to_string(),
            format!("::ffff:{client}"),
            format!("::FFFF:{client}"),
            format!("::ffff:{high:x}:{low:x}"),
            format!("0:0:0:0:0:ffff:{high:x}:{low:x}"),
            format!("0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}"),
            format!("[::ffff:{client}]"),
            format!("[::ffff:{client}]:443"),
            format!("{client}:80"),
        ];
        limited(t, 60, |n| proxied(t).set("x-forwarded-for", &spellings[n % spellings.len()]))
    }),
    Attack::on_ours("65,536 networks of one /48", "OAT-021", "429 beyond 16 times the rate", |t| {
        let third = t.unique("").len() as u32 + t.now_ms() as u32 % 60_000;
        let draft =
            |n: u32| proxied(t).set("x-forwarded-for", format!("2001:db8:{third:x}:{n:x}::1"));
        let (passed, seconds) = flood(t, NETWORKS, draft)?;
        let allowed = 16.0 * (BURST as f64 + RATE * seconds) + 16.0;
        let what = format!("{passed} of {NETWORKS} passed in {seconds:.1} s, {allowed:.0} may");
        Ok(Got::of((passed as f64) <= allowed, what))
    }),
    Attack::on_ours("65,536 addresses of one /64", "OAT-021", "429 after the burst", |t| {
        let third = t.now_ms() as u32 % 60_000;
        let draft =
            |n: u32| proxied(t).set("x-forwarded-for", format!("2001:db9:{third:x}:1::{n:x}"));
        let (passed, seconds) = flood(t, NETWORKS, draft)?;
        let allowed = BURST as f64 + RATE * seconds + 1.0;
        let what = format!("{passed} of {NETWORKS} passed in {seconds:.1} s, {allowed:.0} may");
        Ok(Got::of((passed as f64) <= allowed, what))
    }),
    Attack::on_ours("burst at the edge of a window", "OAT-021", "no second burst", |t| {
        let from = t.address();
        let started = t.seconds();
        let to_edge_ms = 1_000 - t.now_ms() % 1_000;
        std::thread::sleep(std::time::Duration::from_millis(to_edge_ms.saturating_sub(40)));
        let mut passed = 0;
        let mut sent = 0;
        // From just before a full second to just after it.
        let first = t.seconds();
        while t.seconds() - first < 0.3 || sent < 3 * BURST {
            passed += usize::from(t.send_from(from, &forged())?.status != 429);
            sent += 1;
        }
        let allowed = BURST as f64 + RATE * (t.seconds() - first) + 1.0;
        let what = format!("{passed} of {sent} passed, {allowed:.0} may");
        Ok(Got::of(sent > 2 * BURST && passed as f64 <= allowed && started > 0.0, what))
    }),
    Attack::on_ours("flood of fingerprints from one address", "OAT-021", "429", |t| {
        let from = t.address();
        limited_from(t, 60, from, |n| forged().set("x-device-fingerprint", format!("device-{n}")))
    }),
    Attack::on_ours("one fingerprint from many addresses", "OAT-021", "429 beyond 20/s", |t| {
        let device = t.unique("device");
        let started = t.seconds();
        let mut passed = 0;
        for _ in 0..100 {
            let draft = forged().set("x-device-fingerprint", &device);
            passed += usize::from(t.send(&draft)?.status != 429);
        }
        let allowed = 20.0 + 20.0 * (t.seconds() - started) + 1.0;
        Ok(Got::of(
            passed as f64 <= allowed && (passed < 100 || allowed >= 100.0),
            format!("{passed} passed, {allowed:.0} may"),
        ))
    }),
    Attack::on_ours("one buyer from many addresses", "OAT-005", "429 slow_down", |t| {
        let product = t.sale(5)?;
        let shopper = t.shopper()?;
        let started = t.seconds();
        let mut passed = 0;
        for _ in 0..40 {
            passed += usize::from(t.send(&t.order(&product, &shopper))?.status != 429);
        }
        let allowed = 5.0 + 5.0 * (t.seconds() - started) + 1.0;
        let what = format!("{passed} of 40 passed, {allowed:.0} may");
        Ok(Got::of(passed as f64 <= allowed, what).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("people behind one address are locked out", "OAT-021", "all are served", |t| {
        let product = t.sale(100)?;
        let from = t.address();
        let mut served = 0;
        for _ in 0..60 {
            let draft = Draft::order(&product, &t.unique("u"), &t.unique("k"));
            let answer = t.send_from(from, &draft.sign(&t.client, t.now_ms()))?;
            served += usize::from(answer.word() == "success");
        }
        Ok(Got::of(served == 60, format!("{served} of 60 served")))
    }),
    Attack::on_ours("blocked address", "OAT-020", "403 blocked", |t| {
        let product = t.sale(5)?;
        let draft = |name: &str, value: &str| {
            let order = Draft::order(&product, &t.unique("u"), &t.unique("k"));
            order.sign(&t.client, t.now_ms()).set(name, value)
        };
        let blocked = Some(Ipv4Addr::new(127, 66, 1, 1));
        let proxy = Some(Ipv4Addr::new(127, 9, 0, 1));
        let answers = [
            t.send_from(blocked, &draft("x-none", "x"))?,
            t.send_from(blocked, &draft("x-forwarded-for", "198.51.100.1"))?,
            t.send_from(proxy, &draft("x-forwarded-for", "127.66.1.1"))?,
            t.send_from(proxy, &draft("x-forwarded-for", "::ffff:127.66.1.1"))?,
            t.send_from(proxy, &draft("x-forwarded-for", "198.51.100.1, [::ffff:7f42:101]:9"))?,
            t.send_from(proxy, &draft("forwarded", "for=\"[::ffff:127.66.1.1]\""))?,
        ];
        let all = Got::all(answers.iter().map(|answer| Got::refused(answer, 403, "blocked")));
        Ok(all.and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("blocked fingerprint", "OAT-020", "403 blocked", |t| {
        let product = t.sale(5)?;
        let draft = Draft::order(&product, &t.unique("u"), &t.unique("k"))
            .set("x-device-fingerprint", BLOCKED_DEVICE)
            .sign(&t.client, t.now_ms());
        Ok(Got::refused(&t.send(&draft)?, 403, "blocked").and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours(
        "forwarding header that is garbage",
        "API8",
        "the proxy's address counts",
        |t| {
            let values = [
                "",
                ",",
                ",,,,",
                "unknown",
                "_hidden",
                "999.1.1.1",
                "1.2.3",
                "::g",
                "[::1",
                "a\u{e9}",
                "1.2.3.4,",
                "<script>",
                "127.9.0.1",
                "0x7f.1",
                "1.2.3.4.5",
                "::ffff:1.2.3.4%eth0",
            ];
            let proxy = Some(Ipv4Addr::new(127, 9, 7, 7));
            let mut all = Vec::new();
            for value in values {
                let draft = Draft::new("GET", "/products/none", "").set("x-forwarded-for", value);
                all.push(Got::status(&t.send_from(proxy, &draft)?, &[404, 429]));
            }
            let long = "1.2.3.4, ".repeat(1_000) + "127.9.0.1";
            let draft = Draft::new("GET", "/products/none", "").set("x-forwarded-for", long);
            all.push(Got::status(&t.send_from(proxy, &draft)?, &[404, 429]));
            Ok(Got::all(all))
        },
    ),
];

/// A request that is refused at the signature, and so stays charged to its address.
fn forged() -> Draft {
    Draft::new("POST", "/order", r#"{"productId":"p","userId":"u"}"#)
        .set("x-api-key", "shop")
        .set("x-request-time", "1")
        .set("x-signature", "0")
}

/// The same, to be sent by a trusted proxy.
fn proxied(_: &Target) -> Draft {
    forged()
}

/// An address of a documentation network that no other attack uses.
fn fresh_v4(target: &Target) -> Ipv4Addr {
    let [_, _, high, low] = (target.now_ms() as u32).to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// Requests from one untrusted peer, each with other headers.
fn spoofed(
    target: &Target,
    headers: fn(usize) -> Vec<(&'static str, String)>,
) -> anyhow::Result<Got> {
    limited_from(target, 60, target.address(), |n| {
        headers(n).iter().fold(forged(), |draft, (name, value)| draft.set(name, value))
    })
}

/// Requests by one trusted proxy.
fn limited(target: &Target, count: usize, draft: impl Fn(usize) -> Draft) -> anyhow::Result<Got> {
    limited_from(target, count, Some(Ipv4Addr::new(127, 9, 0, 1)), draft)
}

/// No more of them may pass than the rate of one address lets.
fn limited_from(
    target: &Target,
    count: usize,
    from: Option<Ipv4Addr>,
    draft: impl Fn(usize) -> Draft,
) -> anyhow::Result<Got> {
    let started = target.seconds();
    let mut passed = 0;
    let mut statuses = HashSet::new();
    for n in 0..count {
        let answer = target.send_from(from, &draft(n))?;
        passed += usize::from(answer.status != 429);
        statuses.insert(answer.status);
    }
    let allowed = BURST as f64 + RATE * (target.seconds() - started) + 1.0;
    // On a machine so slow that all of them may pass, none need be refused.
    let refused = statuses.contains(&429) || allowed >= count as f64;
    let limited = passed as f64 <= allowed && refused;
    Ok(Got::of(limited, format!("{passed} of {count} passed, {allowed:.0} may")))
}

/// Sends so many requests by a trusted proxy on one connection; how many passed, in how many seconds.
fn flood(
    target: &Target,
    count: u32,
    draft: impl Fn(u32) -> Draft,
) -> anyhow::Result<(usize, f64)> {
    /// Requests that are under way on the connection.
    const WINDOW: u32 = 64;
    let started = target.seconds();
    let mut connection = Connection::open(target.public, Some(Ipv4Addr::new(127, 9, 0, 1)))?;
    let mut passed = 0;
    let mut sent = 0;
    while sent < count {
        let window = WINDOW.min(count - sent);
        let bytes: Vec<u8> = (sent..sent + window).flat_map(|n| draft(n).bytes()).collect();
        connection.write(&bytes)?;
        for _ in 0..window {
            let answer = connection.read()?.context("closed without an answer")?;
            passed += usize::from(answer.status != 429);
        }
        sent += window;
    }
    Ok((passed, target.seconds() - started))
}
