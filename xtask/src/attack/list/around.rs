//! The ways around a waiting room: each must end before it, and beside each the honest way must work.

use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::room::{
    Form, NOT_ADMITTED, admission, admitted, call, cookie, form_of, honest, press, pressed,
    refused, room, ticket,
};
use super::{Attack, Draft, Got, Shopper, Target};
use crate::attack::client::own_client;
use crate::attack::servers::HASTY_PASS_SECONDS;
use crate::attack::support::draft::Signer;

const UNAUTHORIZED: (u16, &str) = (401, "unauthorized");
const INVALID: (u16, &str) = (403, "ticket_invalid");

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("the waiting room walked around", "API6", "403 not_admitted", |t| {
        let t = &*t.ours()?.open;
        let (product, other) = (room(t, 5)?, room(t, 5)?);
        let shopper = t.shopper()?;
        let mut all = vec![refused(&t.send(&t.order(&product, &shopper))?, NOT_ADMITTED)];
        // With a place, but before one's turn is taken; with an admission to another sale.
        let own = ticket(t, &shopper, &product)?;
        all.push(refused(&t.send(&t.order(&product, &shopper))?, NOT_ADMITTED));
        let elsewhere = admitted(t, &shopper, &ticket(t, &shopper, &other)?)?;
        all.push(refused(&t.send(&t.order(&product, &elsewhere))?, NOT_ADMITTED));
        // With an admission written into one's own pass.
        let forged = with_admission(&shopper, &product)?;
        all.push(refused(&t.send(&t.order(&product, &forged))?, UNAUTHORIZED));
        // Without a pass, whatever else is shown.
        let bare = Draft::order(&product, &shopper.user, &t.unique("k"));
        let shown = bare.clone().set("x-queue-ticket", &own).set("cookie", cookie(&shopper));
        all.push(refused(&t.send(&bare)?, UNAUTHORIZED));
        all.push(refused(&t.send(&shown)?, UNAUTHORIZED));
        let none = t.must_have_sold(&product, 0)?;
        Ok(Got::all(all).and(none).and(honest(t, &product, &shopper, &own)?))
    }),
    Attack::on_ours("the room walked around by a form", "API6", "no form, no order", |t| {
        let t = &*t.ours()?.open;
        let (product, other) = (room(t, 5)?, room(t, 5)?);
        let [shopper, friend] = [t.shopper()?, t.shopper()?];
        admitted(t, &friend, &ticket(t, &friend, &product)?)?;
        let friends = form_of(t, &product, &friend)?;
        admitted(t, &shopper, &ticket(t, &shopper, &other)?)?;
        let elsewhere = form_of(t, &other, &shopper)?;
        let by = |token: &str| Form {
            product: product.clone(),
            token: token.to_owned(),
            cookie: cookie(&shopper),
        };
        // Without a place there is nothing that a form could spend, whosever token it holds.
        let tokens = ["0".repeat(64), String::new(), friends.token.clone(), elsewhere.token];
        let mut all = vec![no_form(t, &product, &shopper)];
        for token in &tokens {
            all.push(refused(&press(t, &by(token), None)?, INVALID));
        }
        // With a place whose admission was spent by another way, one's own form orders nothing more.
        let own = ticket(t, &shopper, &product)?;
        let by_pass = admitted(t, &shopper, &own)?;
        let form = form_of(t, &product, &shopper)?;
        for token in &tokens {
            all.push(refused(&press(t, &by(token), None)?, INVALID));
        }
        let none = t.must_have_sold(&product, 0)?;
        let bought = t.send(&t.order(&product, &by_pass))?;
        press(t, &form, None)?;
        let one = t.must_have_sold(&product, 1)?;
        let honest = press(t, &friends, None)?.status;
        let honest = Got::of(honest == 200, format!("the friend's own form: {honest}"));
        let sold = [none, Got::refused(&bought, 200, "success"), one, honest];
        Ok(Got::all(all).and(Got::all(sold)).and(t.must_have_sold(&product, 2)?))
    }),
    Attack::on_ours("the room walked around by another's admission", "API1", "401, 403", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let [seller, buyer] = [t.shopper()?, t.shopper()?];
        let sold = admitted(t, &seller, &ticket(t, &seller, &product)?)?;
        // The seller's pass and key in the buyer's name; the pass alone; the key alone.
        let of = |pass: &Shopper, key: &Shopper| Shopper {
            user: buyer.user.clone(),
            signer: Signer::Shopper {
                pass: pass.pass().to_owned(),
                session_key: key.signer.secret().to_owned(),
            },
        };
        let all = [
            refused(&t.send(&t.order(&product, &of(&sold, &sold)))?, (403, "user_mismatch")),
            refused(&t.send(&t.order(&product, &of(&sold, &buyer)))?, (401, "invalid_signature")),
            refused(&t.send(&t.order(&product, &of(&buyer, &sold)))?, (401, "invalid_signature")),
            refused(&t.send(&t.order(&product, &buyer))?, NOT_ADMITTED),
        ];
        let none = t.must_have_sold(&product, 0)?;
        let own = t.send(&t.order(&product, &sold))?;
        Ok(Got::all(all).and(none).and(Got::refused(&own, 200, "success")))
    }),
    Attack::on_ours("a place by a pass whose time is over", "API2", "401 unauthorized", |t| {
        // Its passes are good for some seconds.
        let t = &*t.ours()?.hasty;
        let product = room(t, 5)?;
        let [early, late, kept] = [t.shopper()?, t.shopper()?, t.shopper()?];
        let of_early = ticket(t, &early, &product)?;
        let of_kept = ticket(t, &kept, &product)?;
        std::thread::sleep(Duration::from_millis(HASTY_PASS_SECONDS * 1_000 + 100));
        let ask = |more: &str| {
            let body = format!(r#"{{"productId":"{product}"{more}}}"#);
            call(t, &late, "/waiting-room/ticket", &body)
        };
        let with = |ticket: &str| ask(&format!(r#","ticket":"{ticket}""#));
        let answers = [ask("")?, with(&of_early)?, with("t1.AAAA.AAAA")?, with("")?];
        let mut all: Vec<Got> =
            answers.iter().map(|answer| refused(answer, UNAUTHORIZED)).collect();
        all.push(refused(&admission(t, &late, &of_early)?, INVALID));
        // Whoever has a place keeps it.
        let same = ticket(t, &kept, &product)? == of_kept;
        let admitted = admitted(t, &kept, &of_kept)?;
        let bought = t.send(&t.order(&product, &admitted))?;
        let honest = Got::of(same, "").and(Got::refused(&bought, 200, "success"));
        Ok(Got::all(all).and(honest).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("a backend's key at the door of the room", "API5", "401 unauthorized", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        let own = ticket(t, &shopper, &product)?;
        let by = Shopper { user: shopper.user.clone(), signer: own_client(1) };
        let body = format!(r#"{{"productId":"{product}"}}"#);
        let all = [
            refused(&call(t, &by, "/waiting-room/ticket", &body)?, UNAUTHORIZED),
            refused(&admission(t, &by, &own)?, UNAUTHORIZED),
            refused(&t.send(&t.order(&product, &by))?, (403, "forbidden")),
        ];
        let none = t.must_have_sold(&product, 0)?;
        Ok(Got::all(all).and(none).and(honest(t, &product, &shopper, &own)?))
    }),
    Attack::on_ours("the form that buys, from another site", "API5", "403", |t| {
        let t = &*t.ours()?.open;
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        admitted(t, &shopper, &ticket(t, &shopper, &product)?)?;
        let own = form_of(t, &product, &shopper)?;
        let wrong = Form { token: "0".repeat(64), ..own.clone() };
        let empty = Form { token: String::new(), ..own.clone() };
        let all = [
            t.send(&pressed(&own).set("sec-fetch-site", "cross-site"))?,
            t.send(&pressed(&own).set("sec-fetch-site", "same-site"))?,
            t.send(&pressed(&own).set("sec-fetch-site", "none"))?,
            t.send(&pressed(&own).set("origin", "https://evil.test"))?,
            t.send(&pressed(&own).set("origin", "null"))?,
            t.send(
                &pressed(&own).without("sec-fetch-site").set("origin", "http://gate.test.evil"),
            )?,
            press(t, &wrong, None)?,
            press(t, &empty, None)?,
        ];
        let all = Got::all(all.iter().map(|answer| Got::status(answer, &[403])));
        let none = t.must_have_sold(&product, 0)?;
        let honest = press(t, &own, None)?.status;
        let honest = Got::of(honest == 200, format!("its own: {honest}"));
        Ok(all.and(none).and(honest).and(t.must_have_sold(&product, 1)?))
    }),
];

/// The page of whoever has no turn holds no form that buys.
fn no_form(t: &Target, product: &str, shopper: &Shopper) -> Got {
    let form = form_of(t, product, shopper);
    Got::of(form.is_err(), if form.is_err() { "" } else { "a form for nobody's turn" })
}

/// The shopper with a pass that says that it admits.
fn with_admission(shopper: &Shopper, product: &str) -> anyhow::Result<Shopper> {
    let parts: Vec<&str> = shopper.pass().split('.').collect();
    ensure!(parts.len() == 3, "a pass has three parts");
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1])?)?;
    let (head, _) = payload.rsplit_once('}').context("a pass is an object")?;
    let payload = format!(r#"{head},"a":"{product}"}}"#);
    let pass = format!("v1.{}.{}", URL_SAFE_NO_PAD.encode(payload), parts[2]);
    let session_key = shopper.signer.secret().to_owned();
    let signer = Signer::Shopper { pass, session_key };
    Ok(Shopper { user: shopper.user.clone(), signer })
}
