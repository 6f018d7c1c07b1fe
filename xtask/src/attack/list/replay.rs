//! The same request again, and the same buyer by another name.

use std::time::Duration;

use super::{Attack, Draft, Got};
use crate::attack::client::own_client;
use crate::attack::support::wire::Answer;

/// Longer than the least time between two requests of a buyer.
const PAUSE: Duration = Duration::from_millis(250);

pub const ATTACKS: &[Attack] = &[
    Attack::new("captured order sent again", "API6", "the same order", |t| {
        let product = t.sale(5)?;
        let (order_id, _, draft) = t.accepted(&product)?;
        let again = t.send(&draft)?;
        Ok(repeats(&again, &order_id).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("captured order under a fresh key", "API6", "401 invalid_signature", |t| {
        let product = t.sale(5)?;
        let (_, _, draft) = t.accepted(&product)?;
        let again = t.send(&draft.set("x-idempotency-key", t.unique("k")))?;
        Ok(Got::refused(&again, 401, "invalid_signature").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("captured order with the key's other header", "API6", "the same order", |t| {
        let product = t.sale(5)?;
        let (order_id, _, draft) = t.accepted(&product)?;
        let key = draft.header("x-idempotency-key").to_vec();
        let quoted = [b"\"", &key[..], b"\""].concat();
        let other = draft.without("x-idempotency-key").set("idempotency-key", quoted);
        Ok(repeats(&t.send(&other)?, &order_id).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("captured order to another product", "API6", "401 invalid_signature", |t| {
        let (first, second) = (t.sale(5)?, t.sale(5)?);
        let (_, shopper, draft) = t.accepted(&first)?;
        let other = Draft::order(&second, &shopper.user, "any").body;
        let answer = t.send(&draft.body(other))?;
        Ok(Got::refused(&answer, 401, "invalid_signature").and(t.must_have_sold(&second, 0)?))
    }),
    Attack::new("second order with a second session", "OAT-005", "409 limit_reached", |t| {
        let product = t.sale(5)?;
        let (_, shopper, _) = t.accepted(&product)?;
        std::thread::sleep(PAUSE);
        let again = t.session_of(&shopper.user)?;
        let answer = t.send(&t.order(&product, &again))?;
        Ok(Got::refused(&answer, 409, "limit_reached").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("second order by way of the shop", "OAT-005", "409 limit_reached", |t| {
        let product = t.sale(5)?;
        let (_, shopper, _) = t.accepted(&product)?;
        std::thread::sleep(PAUSE);
        let draft = Draft::order(&product, &shopper.user, &t.unique("k"));
        let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
        Ok(Got::refused(&answer, 409, "limit_reached").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("the same user in another spelling", "OAT-005", "400 invalid_request", |t| {
        let product = t.sale(50)?;
        let user = t.unique("u");
        let spellings = [
            user.to_uppercase(),
            format!(" {user}"),
            format!("{user} "),
            format!("{user}\\u0000"),
            format!("{user}\\n"),
            user.replacen('u', "\u{ff55}", 1),
            user.replacen('u', "u\u{301}", 1),
            format!("{user}\u{200b}"),
            format!("{user}%00"),
            format!("{user}."),
        ];
        let mut all = Vec::new();
        for spelling in spellings {
            let draft = Draft::order(&product, &spelling, &t.unique("k"));
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            all.push(Got::refused(&answer, 400, "invalid_request"));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("another buyer's idempotency key", "API1", "an order of one's own", |t| {
        let product = t.sale(5)?;
        let (order_id, _, draft) = t.accepted(&product)?;
        let key = String::from_utf8(draft.header("x-idempotency-key").to_vec())?;
        let other = t.shopper()?;
        let order = Draft::order(&product, &other.user, &key).sign(&other.signer, t.now_ms());
        let answer = t.send(&order)?;
        let own = answer.word() == "success" && answer.member("orderId") != order_id;
        Ok(Got::of(own, answer.summary()).and(t.must_have_sold(&product, 2)?))
    }),
    Attack::new("order of a product that is sold out", "API6", "409 sold_out", |t| {
        let product = t.sale(1)?;
        t.accepted(&product)?;
        let shopper = t.shopper()?;
        let answer = t.send(&t.order(&product, &shopper))?;
        Ok(Got::refused(&answer, 409, "sold_out").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::on_ours("order that was cancelled, sent again", "API6", "its order, reversed", |t| {
        let product = t.sale(5)?;
        let (order_id, _, draft) = t.accepted(&product)?;
        let cancel =
            Draft::new("POST", &format!("/orders/{order_id}/cancel"), r#"{"restock":true}"#);
        let cancelled = t.send(&cancel.sign(&own_client(1), t.now_ms()))?;
        let reversed = Got::refused(&cancelled, 200, "reversed");
        let again = t.send(&draft)?;
        let told = again.member("orderStatus") == "reversed";
        let got = repeats(&again, &order_id).and(Got::of(told, again.member("orderStatus")));
        Ok(reversed.and(got).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::on_ours("order cancelled twice", "API6", "one unit given back", |t| {
        let product = t.sale(5)?;
        let (order_id, _, _) = t.accepted(&product)?;
        let (_, _, _) = t.accepted(&product)?;
        let path = format!("/orders/{order_id}/cancel");
        let mut words = Vec::new();
        for _ in 0..3 {
            let cancel = Draft::new("POST", &path, r#"{"restock":true}"#);
            words.push(t.send(&cancel.sign(&own_client(1), t.now_ms()))?.word());
        }
        let once = words == ["reversed", "ignored", "ignored"];
        Ok(Got::of(once, words.join(", ")).and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("order before the sale opens", "OAT-013", "403 not_open", |t| {
        let product = t.unique("p");
        let opens_at = t.now_ms() + 3_600_000;
        let body = format!(r#"{{"productId":"{product}","quantity":5,"opensAt":{opens_at}}}"#);
        t.admin("POST", "/admin/products", &body)?;
        let shopper = t.shopper()?;
        let answer = t.send(&t.order(&product, &shopper))?;
        Ok(Got::refused(&answer, 403, "not_open").and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("order while the sale is paused", "API6", "403 paused", |t| {
        let product = t.sale(5)?;
        t.admin("POST", &format!("/admin/products/{product}/pause"), "{}")?;
        let shopper = t.shopper()?;
        let answer = t.send(&t.order(&product, &shopper))?;
        Ok(Got::refused(&answer, 403, "paused").and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("order after the sale has closed", "API6", "403 closed", |t| {
        let product = t.sale(5)?;
        t.admin("POST", &format!("/admin/products/{product}/close"), "{}")?;
        let shopper = t.shopper()?;
        let answer = t.send(&t.order(&product, &shopper))?;
        Ok(Got::refused(&answer, 403, "closed").and(t.must_have_sold(&product, 0)?))
    }),
];

/// The answer must name the order that there is.
fn repeats(answer: &Answer, order_id: &str) -> Got {
    let same = answer.word() == "ignored" && answer.member("orderId") == order_id;
    Got::of(same, answer.summary())
}
