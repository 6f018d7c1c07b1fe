//! What looks into an incident, turned against its users: tricks with its parameters, more work than one call may
//! make, and names in the place of pseudonyms.

use std::time::{Duration, Instant};

use super::exhaustion::comes;
use super::live::by;
use super::{Attack, Draft, Got};
use crate::attack::client::OPERATORS;

/// The calls.
const LOOKS: [&str; 3] =
    ["/admin/incident/orders", "/admin/incident/offenders", "/admin/incident/analysis"];
/// How long a look may take, whatever is asked for.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Looks at once: more than may be under way.
const CROWD: usize = 24;

pub const ATTACKS: &[Attack] = &[
    Attack::new("parameter tricks on a look", "API8", "400; not echoed", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for path in LOOKS {
            for query in [
                "evil=1",
                "limit=5&limit=5",
                "since=1&%73ince=2",
                "since=2&until=1",
                "since=-1",
                "since=1e3",
                "since=evil",
                "since=99999999999999999999",
                "until=253402300800000",
                "product=Evil",
                "product=evil%27%3B%20DROP%20TABLE%20sightings",
                "pattern=evil",
                "pattern=bursts%00",
                "pattern[]=evil",
                "burst_orders=0",
                "burst_orders=1",
                "burst_orders=-5",
                "burst_orders=4294967296",
                "series_gap=0",
                "limit=0",
                "limit=10001",
                "limit=evil",
                "after=evil",
                "after=1.evil",
                "user=Evil%20One",
                "buyer=evil",
                "address=evil",
                "address=evil%0d%0aset-cookie:x",
                "network=0.0.0.0/0",
                "network=evil",
                "fingerprint=",
                "a=1;since=1",
            ] {
                let answer = t.admin("GET", &format!("{path}?{query}"), "")?;
                let echoed = answer.text().to_lowercase().contains("evil");
                let got = Got::refused(&answer, 400, "invalid_request");
                all.push(got.and(Got::of(!echoed, if echoed { "echoed" } else { "" })));
            }
            let fine = t.admin("GET", &format!("{path}?product={product}&since=1"), "")?;
            let is = fine.status == 200;
            all.push(Got::of(is, if is { "" } else { "control failed: no look is answered" }));
        }
        Ok(Got::all(all))
    }),
    Attack::new("text that a store might read as more", "API8", "200 with nothing, or 400", |t| {
        let product = t.sale(5)?;
        let mut all = Vec::new();
        for text in [
            "' OR '1'='1",
            "'; DROP TABLE sightings; --",
            "\\x00",
            "%",
            "_",
            "${jndi:ldap://x}",
            "fingerprint-' OR 1=1",
            "../../../etc/passwd",
        ] {
            let coded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for name in ["fingerprint", "user", "buyer", "address", "network", "after"] {
                let path = format!("/admin/incident/orders?product={product}&{name}={coded}");
                let answer = t.admin("GET", &path, "")?;
                let nothing = answer.status == 200 && answer.json()["matched"] == 0;
                all.push(Got::of(nothing || answer.status == 400, answer.summary()));
            }
        }
        let (order, ..) = t.accepted(&product)?;
        let seen = comes(|| {
            let path = format!("/admin/incident/analysis?product={product}");
            Ok(t.admin("GET", &path, "")?.json()["orders"] == 1)
        })?;
        let control = if seen { "" } else { "control failed: the order is not seen" };
        Ok(Got::all(all).and(Got::of(seen && !order.is_empty(), control)))
    }),
    Attack::new("looks over all time, many at once", "API4", "200 or 503; sales go on", |t| {
        let product = t.sale(50)?;
        let answers = std::thread::scope(|scope| {
            let look = |n: usize| {
                move || {
                    let path = format!("{}?since=0&until=253402300799999", LOOKS[n % LOOKS.len()]);
                    let asked = Instant::now();
                    t.admin("GET", &path, "").map(|answer| (answer, asked.elapsed()))
                }
            };
            let looks: Vec<_> = (0..CROWD).map(|n| scope.spawn(look(n))).collect();
            // Meanwhile a sale goes on.
            for _ in 0..5 {
                t.accepted(&product)?;
            }
            let cut_off = |_| anyhow::anyhow!("a look panicked");
            let answers = looks.into_iter().map(|look| look.join().map_err(cut_off)?);
            answers.collect::<anyhow::Result<Vec<_>>>()
        })?;
        let mut all = Vec::new();
        for (answer, took) in &answers {
            let in_time = Got::of(*took <= LOOK_MAX, format!("{} ms", took.as_millis()));
            let in_time = if in_time.blocked { Got::of(true, "") } else { in_time };
            all.push(Got::status(answer, &[200, 503]).and(in_time));
        }
        let some = answers.iter().any(|(answer, _)| answer.status == 200);
        let control = if some { "" } else { "control failed: no look was answered" };
        Ok(Got::all(all).and(Got::of(some, control)).and(t.must_have_sold(&product, 5)?))
    }),
    Attack::on_ours("a viewer looks for names", "API3", "pseudonyms alone", |t| {
        let product = t.sale(5)?;
        let shopper = t.shopper()?;
        let device = t.unique("device");
        let order = Draft::order(&product, &shopper.user, &t.unique("k"))
            .set("x-device-fingerprint", device.as_str())
            .sign(&shopper.signer, t.now_ms());
        let accepted = t.send(&order)?;
        anyhow::ensure!(accepted.status == 200, "no order: {}", accepted.text());
        let (_, viewer) = OPERATORS[0];
        let by_device = format!("/admin/incident/orders?product={product}&fingerprint={device}");
        let seen = comes(|| Ok(by(t, viewer, "GET", &by_device, "")?.json()["matched"] == 1))?;
        let mut all = Vec::new();
        for path in LOOKS.map(|path| format!("{path}?product={product}")).iter().chain([&by_device])
        {
            let text = by(t, viewer, "GET", path, "")?.text();
            let named = [shopper.user.as_str(), device.as_str(), "127.0."];
            for name in named.into_iter().filter(|name| text.contains(*name)) {
                all.push(Got::of(false, format!("{name} is told")));
            }
        }
        all.push(Got::of(true, "pseudonyms"));
        let control = if seen { "" } else { "control failed: the order is not found" };
        Ok(Got::all(all).and(Got::of(seen, control)))
    }),
];
