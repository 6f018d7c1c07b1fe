//! Solutions of somebody's service that it did not give, on the server that asks every script for one.

use super::room::{admitted, form_of, press, room, ticket};
use super::{Attack, Got, Target};

const ASKED: &str = "403 challenge_required";

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("solution that no service gave", "OAT-009", ASKED, |t| {
        let t = &*t.ours()?.service;
        let (product, shopper) = (t.sale(5)?, t.shopper()?);
        let key = t.unique("k");
        let order = |solutions: &[&str]| {
            let draft = super::Draft::order(&product, &shopper.user, &key);
            let draft = solutions.iter().fold(draft, |draft, s| draft.add("x-challenge", s));
            t.send(&draft.sign(&shopper.signer, t.now_ms()))
        };
        let good = format!("good-{product}");
        let long = "good".repeat(600);
        let mut all = Vec::new();
        for solutions in [&[][..], &["bad"], &[""], &["e30="], &[&long], &["good", &good]] {
            all.push(asked(&order(solutions)?));
        }
        let honest = order(&[&good])?;
        let sold = t.must_have_sold(&product, 1)?;
        Ok(Got::all(all).and(Got::refused(&honest, 200, "success")).and(sold))
    }),
    Attack::on_ours("solution of a service used twice", "OAT-009", ASKED, |t| {
        let t = &*t.ours()?.service;
        let product = t.sale(5)?;
        let good = format!("good-{product}");
        let order = || {
            let shopper = t.shopper()?;
            let draft = super::Draft::order(&product, &shopper.user, &t.unique("k"));
            t.send(&draft.set("x-challenge", &good).sign(&shopper.signer, t.now_ms()))
        };
        let (first, second) = (order()?, order()?);
        let honest = Got::refused(&first, 200, "success");
        Ok(asked(&second).and(honest).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("solution sent along with the room's form", "OAT-009", ASKED, |t| {
        let own = t.ours()?;
        let by_service = by_form(&own.service, &[None, Some("bad"), Some("e30=")], "good")?;
        // On a server that makes its own challenges a service's word is none.
        let (solutions, t) = ([None, Some("bad"), Some("good")], &*own.strict);
        let product = room(t, 5)?;
        let shopper = t.shopper()?;
        admitted(t, &shopper, &ticket(t, &shopper, &product)?)?;
        let form = form_of(t, &product, &shopper)?;
        let mut all = vec![by_service];
        for solution in solutions {
            all.push(asked(&press(t, &form, solution)?));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
];

/// An admitted shopper's form with these solutions, none of which may pass, and then with one that is good.
fn by_form(t: &Target, bad: &[Option<&str>], good: &str) -> anyhow::Result<Got> {
    let product = room(t, 5)?;
    let shopper = t.shopper()?;
    admitted(t, &shopper, &ticket(t, &shopper, &product)?)?;
    let form = form_of(t, &product, &shopper)?;
    let mut all = Vec::new();
    for solution in bad {
        all.push(asked(&press(t, &form, *solution)?));
    }
    all.push(t.must_have_sold(&product, 0)?);
    let honest = press(t, &form, Some(&format!("{good}-{product}")))?;
    let bought = Got::of(honest.status == 200, format!("solved: {}", honest.status));
    Ok(Got::all(all).and(bought).and(t.must_have_sold(&product, 1)?))
}

fn asked(answer: &crate::attack::support::wire::Answer) -> Got {
    Got::refused(answer, 403, "challenge_required")
}
