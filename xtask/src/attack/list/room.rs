//! The waiting room: its tickets, its draw, its streams, and the ways around it. On the server without limits on
//! rates, whose rooms are switched on for a product at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flux_gate::room::draw::{Draw, Evidence, Fault, verify};

use super::{Attack, Draft, Got, Shopper, Target};
use crate::attack::servers::{ROOM_ADMISSION_SECONDS, ROOM_VIEWERS_PER_IP};
use crate::attack::support::draft::Signer;
use crate::attack::support::wire::Answer;

/// How often a stream is opened.
const STREAMS: u32 = 10_000;
const NOT_ADMITTED: (u16, &str) = (403, "not_admitted");
const INVALID: (u16, &str) = (403, "ticket_invalid");

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("the waiting room walked around", "API6", "403 not_admitted", |t| {
        let t = &*t.ours()?.open;
        let (product, other) = (room(t, 5)?, room(t, 5)?);
        let shopper = t.shopper()?;
        let mut all = vec![refused(&t.send(&t.order(&product, &shopper))?, NOT_ADMITTED)];
        // With a place, but before one's turn is taken; with an admission to another sale.
        ticket(t, &shopper, &product)?;
        all.push(refused(&t.send(&t.order(&product, &shopper))?, NOT_ADMITTED));
        let elsewhere = admitted(t, &shopper, &ticket(t, &shopper, &other)?)?;
        all.push(refused(&t.send(&t.order(&product, &elsewhere))?, NOT_ADMITTED));
        // With an admission written into one's own pass.
        let forged = with_admission(&shopper, &product)?;
        all.push(refused(&t.send(&t.order(&product, &forged))?, (401, "unauthorized")));
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("ticket forged", "API2", "403 ticket_invalid", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        let own = ticket(t, &shopper, &product)?;
        let (signed, mac) = own.rsplit_once('.').context("a ticket has a MAC")?;
        let mut first = URL_SAFE_NO_PAD.decode(&signed["t1.".len()..])?;
        first[3] = first[3].wrapping_sub(1);
        let forged = [
            format!("t1.{}.{mac}", URL_SAFE_NO_PAD.encode(first)),
            format!("{signed}.{}", "A".repeat(mac.len())),
            format!("{signed}."),
            format!("t0{}", &own[2..]),
            String::new(),
            "t1.".repeat(60),
        ];
        let mut all = Vec::new();
        for ticket in forged {
            all.push(refused(&admission(t, &shopper, &ticket)?, INVALID));
            all.push(refused(&state(t, &product, &ticket)?, INVALID));
        }
        Ok(Got::all(all))
    }),
    Attack::on_ours("ticket shared or sold", "API1", "403 ticket_invalid", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let (seller, buyer) = (t.shopper()?, t.shopper()?);
        let ticket = ticket(t, &seller, &product)?;
        let answer = admission(t, &buyer, &ticket)?;
        Ok(refused(&answer, INVALID).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("ticket of another product", "API1", "403 ticket_invalid, not_admitted", |t| {
        let t = &*t.ours()?.open;
        let (product, other) = (room(t, 5)?, room(t, 5)?);
        let shopper = t.shopper()?;
        let ticket = ticket(t, &shopper, &other)?;
        let shown = refused(&state(t, &product, &ticket)?, INVALID);
        let by = admitted(t, &shopper, &ticket)?;
        let ordered = refused(&t.send(&t.order(&product, &by))?, NOT_ADMITTED);
        Ok(shown.and(ordered).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("ticket used twice", "API6", "409 ticket_spent", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        let ticket = ticket(t, &shopper, &product)?;
        let by = admitted(t, &shopper, &ticket)?;
        let bought = t.send(&t.order(&product, &by))?;
        ensure!(bought.word() == "success", "an admitted shopper cannot buy: {}", bought.text());
        let again = admission(t, &shopper, &ticket)?;
        Ok(refused(&again, (409, "ticket_spent")).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("ticket and admission from the past", "API2", "409 ticket_spent, 401", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        let ticket = ticket(t, &shopper, &product)?;
        let by = admitted(t, &shopper, &ticket)?;
        std::thread::sleep(Duration::from_millis(ROOM_ADMISSION_SECONDS * 1_000 + 500));
        let order = t.send(&t.order(&product, &by))?;
        let again = admission(t, &shopper, &ticket)?;
        let both =
            refused(&order, (401, "unauthorized")).and(refused(&again, (409, "ticket_spent")));
        Ok(both.and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("a shopper who asks for many places", "API4", "one place", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        let first = ticket(t, &shopper, &product)?;
        for _ in 0..50 {
            ensure!(ticket(t, &shopper, &product)? == first, "another ticket");
        }
        let view = t.admin("GET", &format!("/admin/products/{product}/waiting-room"), "")?;
        let places = view.json()["places"].as_u64();
        Ok(Got::of(places == Some(1), format!("{places:?} places")))
    }),
    Attack::on_ours("seed changed after its commitment", "API6", "found offline", |t| {
        let t = &*t.ours()?.open;
        let product = room_to_come(t, 5)?;
        let shopper = t.shopper()?;
        ticket(t, &shopper, &product)?;
        let before = draw(t, &product)?;
        ensure!(before.seed.is_none(), "the seed is known before the opening");
        t.admin("POST", &format!("/admin/products/{product}/open"), "{}")?;
        let mut after = draw(t, &product)?;
        for _ in 0..50 {
            if after.seed.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            after = draw(t, &product)?;
        }
        let evidence = Evidence { before: Some(before), ..Evidence::default() };
        ensure!(verify(&after, &evidence).is_ok(), "an honest draw does not hold");
        let other = hex::encode([7; 32]);
        let changed = verify(&Draw { seed: Some(other), ..after }, &evidence);
        Ok(Got::of(changed == Err(Fault::Seed), format!("{:?}", changed.err())))
    }),
    Attack::on_ours(
        "event stream opened ten thousand times",
        "API4",
        "503 beyond the bound",
        |t| {
            let t = &*t.ours()?.open;
            let product = room(t, 5)?;
            let mut held = Vec::new();
            let mut shed = 0;
            for _ in 0..STREAMS {
                let (stream, status) = open_stream(t, &product)?;
                match status {
                    200 => held.push(stream),
                    503 => shed += 1,
                    other => return Ok(Got::of(false, format!("status {other}"))),
                }
            }
            // The others are served meanwhile, and streams that end give their places back.
            let shopper = t.shopper()?;
            let by = admitted(t, &shopper, &ticket(t, &shopper, &product)?)?;
            let bought = t.send(&t.order(&product, &by))?;
            let most = held.len();
            drop(held);
            std::thread::sleep(Duration::from_secs(3));
            let (_again, status) = open_stream(t, &product)?;
            let ok = most <= ROOM_VIEWERS_PER_IP && bought.word() == "success" && status == 200;
            Ok(Got::of(ok, format!("{most} open, {shed} refused, then {status}")))
        },
    ),
    Attack::on_ours("the form that buys, from another site", "API5", "403", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        ticket(t, &shopper, &product)?;
        let form = |token: &str, more: &[(&str, &str)]| {
            let body = format!("product={product}&token={token}");
            let cookie = format!("__Host-flux-room={}", shopper.pass());
            let mut draft = Draft::new("POST", "/waiting-room/buy", body)
                .set("content-type", "application/x-www-form-urlencoded")
                .set("cookie", cookie);
            for (name, value) in more {
                draft = draft.set(name, value);
            }
            t.send(&draft)
        };
        let none = "0".repeat(64);
        let all = [
            form(&none, &[("sec-fetch-site", "cross-site")])?,
            form(&none, &[("origin", "https://evil.test")])?,
            form(&none, &[("sec-fetch-site", "same-origin")])?,
            form("", &[])?,
        ];
        let all = all.iter().map(|answer| Got::status(answer, &[403]));
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
];

fn refused(answer: &Answer, (status, word): (u16, &str)) -> Got {
    Got::refused(answer, status, word)
}

/// A sale with a room.
fn room(t: &Target, units: u32) -> anyhow::Result<String> {
    let product = t.sale(units)?;
    switch_on(t, &product)?;
    Ok(product)
}

/// The same before its opening.
fn room_to_come(t: &Target, units: u32) -> anyhow::Result<String> {
    let product = t.unique("p");
    let opens_at = t.now_ms() + 3_600_000;
    let body = format!(r#"{{"productId":"{product}","quantity":{units},"opensAt":{opens_at}}}"#);
    let made = t.admin("POST", "/admin/products", &body)?;
    ensure!(made.status < 300, "no sale: {}", made.text());
    switch_on(t, &product)?;
    Ok(product)
}

fn switch_on(t: &Target, product: &str) -> anyhow::Result<()> {
    let path = format!("/admin/products/{product}/waiting-room");
    let answer = t.admin("POST", &path, r#"{"active":true}"#)?;
    ensure!(answer.status == 200, "the room is not switched on: {}", answer.text());
    Ok(())
}

fn call(t: &Target, shopper: &Shopper, path: &str, body: &str) -> anyhow::Result<Answer> {
    let draft = Draft::new("POST", path, body).set("content-type", "application/json");
    t.send(&draft.sign(&shopper.signer, t.now_ms()))
}

fn ticket(t: &Target, shopper: &Shopper, product: &str) -> anyhow::Result<String> {
    let body = format!(r#"{{"productId":"{product}"}}"#);
    let answer = call(t, shopper, "/waiting-room/ticket", &body)?;
    ensure!(answer.status == 200, "no ticket: {}", answer.text());
    Ok(answer.member("ticket"))
}

fn admission(t: &Target, shopper: &Shopper, ticket: &str) -> anyhow::Result<Answer> {
    call(t, shopper, "/waiting-room/admission", &format!(r#"{{"ticket":"{ticket}"}}"#))
}

/// Waits for one's turn.
fn admitted(t: &Target, shopper: &Shopper, ticket: &str) -> anyhow::Result<Shopper> {
    for _ in 0..100 {
        let answer = admission(t, shopper, ticket)?;
        if answer.status == 200 {
            let (pass, session_key) = (answer.member("pass"), answer.member("sessionKey"));
            let signer = Signer::Shopper { pass, session_key };
            return Ok(Shopper { user: shopper.user.clone(), signer });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("an honest shopper is not let in")
}

fn state(t: &Target, product: &str, ticket: &str) -> anyhow::Result<Answer> {
    let draft = Draft::new("GET", &format!("/waiting-room/state?product={product}"), "");
    t.send(&draft.set("x-queue-ticket", ticket))
}

fn draw(t: &Target, product: &str) -> anyhow::Result<Draw> {
    let answer =
        t.send(&Draft::new("GET", &format!("/waiting-room/draw?product={product}"), ""))?;
    Ok(serde_json::from_slice(&answer.body)?)
}

/// The shopper with a pass that says that it admits.
fn with_admission(shopper: &Shopper, product: &str) -> anyhow::Result<Shopper> {
    let parts: Vec<&str> = shopper.pass().split('.').collect();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1])?)?;
    let payload = payload.replacen('}', &format!(r#","a":"{product}"}}"#), 1);
    let pass = format!("v1.{}.{}", URL_SAFE_NO_PAD.encode(payload), parts[2]);
    let session_key = shopper.signer.secret().to_owned();
    let signer = Signer::Shopper { pass, session_key };
    Ok(Shopper { user: shopper.user.clone(), signer })
}

/// Opens a stream of events and reads the status of its answer.
fn open_stream(t: &Target, product: &str) -> anyhow::Result<(TcpStream, u16)> {
    let mut stream = TcpStream::connect(t.public)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let target = format!("/waiting-room/events?product={product}");
    stream.write_all(&Draft::new("GET", &target, "").bytes())?;
    let mut head = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..])?.parse()?;
    Ok((stream, status))
}
