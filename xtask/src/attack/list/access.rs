//! Others' orders, calls for others, and what is told to whom.

use super::{Attack, Draft, Got};
use crate::attack::client::own_client;
use crate::attack::servers::ORIGIN;
use crate::attack::support::wire::Answer;

/// An id that no order has.
const NO_ORDER: &str = "00000000-0000-8000-8000-000000000000";

pub const ATTACKS: &[Attack] = &[
    Attack::new("another's order asked for", "API1", "404, as if there were none", |t| {
        let product = t.sale(5)?;
        let (order_id, _, _) = t.accepted(&product)?;
        let thief = t.shopper()?;
        let ask = |id: &str| -> anyhow::Result<Answer> {
            let draft = Draft::new("GET", &format!("/orders/{id}"), "");
            t.send(&draft.sign(&thief.signer, t.now_ms()))
        };
        let (there, not_there) = (ask(&order_id)?, ask(NO_ORDER)?);
        let body = |answer: &Answer, id: &str| answer.text().replace(id, "ID");
        let same = body(&there, &order_id) == body(&not_there, NO_ORDER);
        let told = if same { "" } else { "tells that it exists" };
        Ok(Got::refused(&there, 404, "unknown").and(Got::of(same, told)))
    }),
    Attack::new("order asked for without credentials", "API1", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let (order_id, _, _) = t.accepted(&product)?;
        let answer = t.send(&Draft::new("GET", &format!("/orders/{order_id}"), ""))?;
        Ok(Got::refused(&answer, 401, "unauthorized"))
    }),
    Attack::new("order ids guessed near a known one", "API1", "404 unknown", |t| {
        let product = t.sale(5)?;
        let (order_id, _, _) = t.accepted(&product)?;
        let mut all = Vec::new();
        for digit in ["0", "1", "e", "f"] {
            // Another shopper each time: the rate of a buyer is not what is tried here.
            let thief = t.shopper()?;
            let near = format!("{}{digit}", &order_id[..order_id.len() - 1]);
            let draft = Draft::new("GET", &format!("/orders/{near}"), "");
            let answer = t.send(&draft.sign(&thief.signer, t.now_ms()))?;
            all.push(Got::refused(&answer, 404, "unknown"));
        }
        Ok(Got::all(all))
    }),
    Attack::new("order ids say nothing of count or time", "API1", "no two ids alike", |t| {
        let product = t.sale(5)?;
        let (first, _, _) = t.accepted(&product)?;
        let (second, _, _) = t.accepted(&product)?;
        let alike = first.chars().zip(second.chars()).filter(|(a, b)| a == b && *a != '-').count();
        // Of 32 digits, two are fixed by the version and variant; 16 equal ones do not happen by chance.
        Ok(Got::of(alike < 16, format!("{alike} of 32 digits equal")))
    }),
    Attack::new("shopper cancels an order", "API5", "403 forbidden", |t| {
        let product = t.sale(5)?;
        let (order_id, shopper, _) = t.accepted(&product)?;
        let draft = cancel(&order_id).sign(&shopper.signer, t.now_ms());
        Ok(Got::refused(&t.send(&draft)?, 403, "forbidden").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("client without the role cancels an order", "API5", "403 forbidden", |t| {
        let product = t.sale(5)?;
        let (order_id, _, _) = t.accepted(&product)?;
        let draft = cancel(&order_id).sign(&t.client, t.now_ms());
        Ok(Got::refused(&t.send(&draft)?, 403, "forbidden").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("order cancelled without credentials", "API2", "401 unauthorized", |t| {
        let product = t.sale(5)?;
        let (order_id, _, _) = t.accepted(&product)?;
        let answer = t.send(&cancel(&order_id))?;
        Ok(Got::refused(&answer, 401, "unauthorized").and(t.must_have_sold(&product, 1)?))
    }),
    Attack::new("feed read without the role", "API5", "403 forbidden, 401", |t| {
        let shopper = t.shopper()?;
        let feed = || Draft::new("GET", "/orders?after=0", "");
        let by_shopper = t.send(&feed().sign(&shopper.signer, t.now_ms()))?;
        let by_client = t.send(&feed().sign(&t.client, t.now_ms()))?;
        let by_nobody = t.send(&feed())?;
        Ok(Got::refused(&by_shopper, 403, "forbidden")
            .and(Got::refused(&by_client, 403, "forbidden"))
            .and(Got::refused(&by_nobody, 401, "unauthorized")))
    }),
    Attack::on_ours(
        "feed asked for everything at once",
        "API4",
        "bounded, 400 for nonsense",
        |t| {
            let ask = |query: &str| {
                let draft = Draft::new("GET", &format!("/orders?{query}"), "");
                t.send(&draft.sign(&own_client(1), t.now_ms()))
            };
            let huge = ask("after=0&limit=99999999999")?;
            let events = huge.json()["events"].as_array().map_or(usize::MAX, Vec::len);
            let mut all = vec![Got::of(events <= 1_000, format!("{events} events"))];
            for query in ["limit=x", "after=-1", "after=1e3", "wait=x", "sql=1", "limit=1&limit=2"]
            {
                let got = Got::refused(&ask(query)?, 400, "invalid_request");
                all.push(if got.blocked {
                    got
                } else {
                    Got::of(false, format!("{} for {query}", got.what))
                });
            }
            Ok(Got::all(all))
        },
    ),
    Attack::new("exact stock read by a shopper", "API3", "status and times alone", |t| {
        let product = t.sale(37)?;
        t.accepted(&product)?;
        let answer = t.send(&Draft::new("GET", &format!("/products/{product}"), ""))?;
        let mut members: Vec<String> = answer
            .json()
            .as_object()
            .map(|object| object.keys().cloned().collect())
            .unwrap_or_default();
        members.sort_unstable();
        let allowed = ["closesAt", "opensAt", "productId", "serverTime", "status"];
        Ok(Got::of(members == allowed, members.join(", ")))
    }),
    Attack::new("extra members in an order", "API3", "400 invalid_request", |t| {
        let extras = [
            r#""price":1"#,
            r#""quantity":100"#,
            r#""orderId":"00000000-0000-8000-8000-000000000000""#,
            r#""status":"confirmed""#,
            r#""role":"admin""#,
            r#""buyer":"00000000000000000000000000000000""#,
            r#""generation":0"#,
            r#""perBuyerLimit":100"#,
            r#""__proto__":{"admin":true}"#,
            r#""constructor":{}"#,
            r#""productid":"x""#,
            r#""UserId":"x""#,
        ];
        let product = t.sale(50)?;
        let mut all = Vec::new();
        for extra in extras {
            let user = t.unique("u");
            let body = format!(r#"{{"productId":"{product}","userId":"{user}",{extra}}}"#);
            let draft = Draft::order(&product, &user, &t.unique("k")).body(body);
            let answer = t.send(&draft.sign(&t.client, t.now_ms()))?;
            all.push(Got::refused(&answer, 400, "invalid_request"));
        }
        Ok(Got::all(all).and(t.must_have_sold(&product, 0)?))
    }),
    Attack::new("extra members in a session and a cancel", "API3", "400 invalid_request", |t| {
        let body = r#"{"userId":"u","expiresAt":99999999999999,"roles":["fulfilment"]}"#;
        let draft = Draft::new("POST", "/session", body).sign(&t.client, t.now_ms());
        Ok(Got::refused(&t.send(&draft)?, 400, "invalid_request"))
    }),
    Attack::on_ours("call from a foreign origin", "API8", "no leave to read", |t| {
        let origins = [
            "https://evil.test",
            "null",
            "https://shop.test.evil.test",
            "https://evilshop.test",
            "http://shop.test",
            "https://shop.test:444",
            "https://SHOP.TEST",
            "https://shop.test, https://evil.test",
        ];
        let leave = |origin: &str, method: &str| -> anyhow::Result<Option<String>> {
            let draft = Draft::new(method, "/livez", "")
                .set("origin", origin)
                .set("access-control-request-method", "POST");
            let answer = t.send(&draft)?;
            let credentials = answer.header("access-control-allow-credentials").is_some();
            let allowed = answer.header("access-control-allow-origin").map(str::to_owned);
            Ok(if credentials { Some("with credentials".to_owned()) } else { allowed })
        };
        let mut all = Vec::new();
        for origin in origins {
            for method in ["GET", "OPTIONS"] {
                let allowed = leave(origin, method)?;
                all.push(Got::of(allowed.is_none(), allowed.unwrap_or_default()));
            }
        }
        let control = leave(ORIGIN, "OPTIONS")?;
        Ok(Got::all(all).and(Got::of(control.as_deref() == Some(ORIGIN), "the shop's own may")))
    }),
    Attack::new("session or order kept by a cache", "API8", "cache-control: no-store", |t| {
        let product = t.sale(5)?;
        let (order_id, shopper, _) = t.accepted(&product)?;
        let show = Draft::new("GET", &format!("/orders/{order_id}"), "");
        let session = t.session_draft(&shopper.user).sign(&t.client, t.now_ms());
        let answers = [t.send(&session)?, t.send(&show.sign(&shopper.signer, t.now_ms()))?];
        Ok(Got::all(answers.iter().map(|answer| {
            let kept = answer.header("cache-control").unwrap_or("nothing");
            Got::of(answer.status == 200 && kept == "no-store", format!("{} {kept}", answer.status))
        })))
    }),
    Attack::new("what an error tells", "API8", "nothing of the inside", |t| {
        let drafts = [
            Draft::new("GET", "/no/such/path", ""),
            Draft::new("POST", "/order", "{"),
            Draft::new("DELETE", "/order", ""),
            Draft::new("POST", "/session", "").set("authorization", "Bearer x.y.z"),
            Draft::new("GET", "/orders/'", ""),
            Draft::new("GET", "/products/%00", ""),
        ];
        let inside =
            [".rs", "panick", "serde", "hyper", "sqlite", "SQL", "/src/", "backtrace", "axum"];
        let mut all = Vec::new();
        for draft in drafts {
            let answer = t.send(&draft)?;
            let text = format!("{:?} {}", answer.headers, answer.text());
            let told = inside.into_iter().find(|word| text.contains(word));
            let server = answer.header("server").or(answer.header("x-powered-by")).is_some();
            let what = told.map_or_else(String::new, |word| format!("tells {word}"));
            all.push(Got::of(told.is_none() && !server && answer.status < 500, what));
        }
        Ok(Got::all(all))
    }),
];

fn cancel(order_id: &str) -> Draft {
    Draft::new("POST", &format!("/orders/{order_id}/cancel"), r#"{"restock":true}"#)
}
