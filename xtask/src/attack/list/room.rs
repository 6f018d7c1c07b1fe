//! The waiting room: its tickets, its draw and its streams; the ways around it are in [`around`](super::around). On
//! the server without limits on rates, whose rooms are switched on for a product at a time. Beside each attack the
//! honest way must work.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flux_gate::room::draw::{Draw, Evidence, Fault, verify};
use flux_gate::room::queue::LAPSE_GRACE_MS;

use super::exhaustion::comes;
use super::{Attack, Draft, Got, Shopper, Target};
use crate::attack::servers::{ROOM_ADMISSION_SECONDS, ROOM_VIEWERS_PER_IP};
use crate::attack::support::draft::Signer;
use crate::attack::support::wire::Answer;

/// How often a stream is opened.
const STREAMS: u32 = 10_000;
/// How much memory that may cost the server.
const STREAMS_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
pub const NOT_ADMITTED: (u16, &str) = (403, "not_admitted");
const INVALID: (u16, &str) = (403, "ticket_invalid");

pub const ATTACKS: &[Attack] = &[
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
        Ok(Got::all(all).and(honest(t, &product, &shopper, &own)?))
    }),
    Attack::on_ours("ticket shared or sold", "API1", "403 ticket_invalid", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let (seller, buyer) = (t.shopper()?, t.shopper()?);
        let ticket = ticket(t, &seller, &product)?;
        let answer = admission(t, &buyer, &ticket)?;
        let none = t.must_have_sold(&product, 0)?;
        // The buyer has a place of their own, and that place's admission goes by their own ticket.
        super::room::ticket(t, &buyer, &product)?;
        let again = admission(t, &buyer, &ticket)?;
        let all = [refused(&answer, INVALID), none, refused(&again, INVALID)];
        Ok(Got::all(all).and(honest(t, &product, &seller, &ticket)?))
    }),
    Attack::on_ours("ticket of another product", "API1", "403 ticket_invalid, not_admitted", |t| {
        let t = &*t.ours()?.open;
        let (product, other) = (room(t, 5)?, room(t, 5)?);
        let shopper = t.shopper()?;
        let ticket = ticket(t, &shopper, &other)?;
        let shown = refused(&state(t, &product, &ticket)?, INVALID);
        let by = admitted(t, &shopper, &ticket)?;
        let ordered = refused(&t.send(&t.order(&product, &by))?, NOT_ADMITTED);
        let none = t.must_have_sold(&product, 0)?;
        let own = t.send(&t.order(&other, &by))?;
        Ok(shown.and(ordered).and(none).and(Got::refused(&own, 200, "success")))
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
        let old = ticket(t, &shopper, &product)?;
        let by = admitted(t, &shopper, &old)?;
        std::thread::sleep(Duration::from_millis(ROOM_ADMISSION_SECONDS * 1_000 + 500));
        let order = t.send(&t.order(&product, &by))?;
        let mut again = admission(t, &shopper, &old)?;
        comes(|| {
            again = admission(t, &shopper, &old)?;
            Ok(again.status == 200 || again.word() == "ticket_spent")
        })?;
        let both =
            refused(&order, (401, "unauthorized")).and(refused(&again, (409, "ticket_spent")));
        let none = t.must_have_sold(&product, 0)?;
        // When the room has noticed it, there is a new place at the end of the queue, by another ticket.
        std::thread::sleep(Duration::from_millis(LAPSE_GRACE_MS + 500));
        let mut new = ticket(t, &shopper, &product)?;
        comes(|| {
            new = ticket(t, &shopper, &product)?;
            Ok(new != old)
        })?;
        let another = Got::of(new != old, "");
        Ok(both.and(none).and(another).and(honest(t, &product, &shopper, &new)?))
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
        comes(|| {
            after = draw(t, &product)?;
            Ok(after.seed.is_some())
        })?;
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
            let before = t.memory_bytes()?;
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
            let grown = t.memory_bytes()?.saturating_sub(before);
            drop(held);
            let mut status = 0;
            comes(|| {
                let (_again, is) = open_stream(t, &product)?;
                status = is;
                Ok(status == 200)
            })?;
            let bounded = most <= ROOM_VIEWERS_PER_IP && grown < STREAMS_BYTES_MAX;
            let served = bought.word() == "success" && status == 200;
            let grown = grown / 1_048_576;
            let told = format!("{most} open, {shed} refused, {grown} MiB more, then {status}");
            Ok(Got::of(bounded && served, told))
        },
    ),
];

pub fn refused(answer: &Answer, (status, word): (u16, &str)) -> Got {
    Got::refused(answer, status, word)
}

/// A sale with a room.
pub fn room(t: &Target, units: u32) -> anyhow::Result<String> {
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

pub fn call(t: &Target, shopper: &Shopper, path: &str, body: &str) -> anyhow::Result<Answer> {
    let draft = Draft::new("POST", path, body).set("content-type", "application/json");
    t.send(&draft.sign(&shopper.signer, t.now_ms()))
}

pub fn ticket(t: &Target, shopper: &Shopper, product: &str) -> anyhow::Result<String> {
    let body = format!(r#"{{"productId":"{product}"}}"#);
    let answer = call(t, shopper, "/waiting-room/ticket", &body)?;
    ensure!(answer.status == 200, "no ticket: {}", answer.text());
    Ok(answer.member("ticket"))
}

pub fn admission(t: &Target, shopper: &Shopper, ticket: &str) -> anyhow::Result<Answer> {
    call(t, shopper, "/waiting-room/admission", &format!(r#"{{"ticket":"{ticket}"}}"#))
}

/// Waits for one's turn.
pub fn admitted(t: &Target, shopper: &Shopper, ticket: &str) -> anyhow::Result<Shopper> {
    for _ in 0..400 {
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

/// The ticket is good for whom it was made for: it admits, and the admission buys.
pub fn honest(t: &Target, product: &str, shopper: &Shopper, ticket: &str) -> anyhow::Result<Got> {
    let bought = t.send(&t.order(product, &admitted(t, shopper, ticket)?))?;
    Ok(Got::refused(&bought, 200, "success").and(t.must_have_sold(product, 1)?))
}

/// The form of a browser without scripts, whose turn it is.
#[derive(Clone)]
pub struct Form {
    pub product: String,
    pub token: String,
    pub cookie: String,
}

/// The cookie that holds a shopper's pass.
pub fn cookie(shopper: &Shopper) -> String {
    format!("__Host-flux-room={}", shopper.pass())
}

/// What an admitted shopper's page holds.
pub fn form_of(t: &Target, product: &str, shopper: &Shopper) -> anyhow::Result<Form> {
    let cookie = cookie(shopper);
    let page = Draft::new("GET", &format!("/waiting-room?product={product}"), "");
    let page = t.send(&page.set("cookie", &cookie))?.text();
    let token = page.split("name=\"token\" value=\"").nth(1);
    let token = token.and_then(|rest| rest.split('"').next()).context("no form to buy by")?;
    Ok(Form { product: product.to_owned(), token: token.to_owned(), cookie })
}

/// The request of the form's button.
pub fn pressed(form: &Form) -> Draft {
    let Form { product, token, cookie } = form;
    Draft::new("POST", "/waiting-room/buy", format!("product={product}&token={token}"))
        .set("content-type", "application/x-www-form-urlencoded")
        .set("sec-fetch-site", "same-origin")
        .set("cookie", cookie)
}

/// Presses the form's button, with a solution if there is one.
pub fn press(t: &Target, form: &Form, solution: Option<&str>) -> anyhow::Result<Answer> {
    let draft = pressed(form);
    t.send(&match solution {
        Some(solution) => draft.set("x-challenge", solution),
        None => draft,
    })
}

/// Opens a stream of events and reads the status of its answer.
fn open_stream(t: &Target, product: &str) -> anyhow::Result<(TcpStream, u16)> {
    let mut stream = TcpStream::connect(t.public)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let target = format!("/waiting-room/events?product={product}");
    stream.write_all(&Draft::new("GET", &target, "").bytes())?;
    let mut head = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..])?.parse()?;
    Ok((stream, status))
}
