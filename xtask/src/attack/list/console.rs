//! The operator's console: sessions, other origins, frames, markup, and too many who look.
//!
//! Each attack has a control beside it that must succeed: everything is "blocked" by a server that refuses all.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Attack, Draft, Got, Target};
use crate::attack::client::OPERATORS;
use crate::attack::support::wire::{self, Answer, Connection};

const COOKIE: &str = "__Host-flux-gate";
/// Viewers of one token, as documented.
const VIEWERS_PER_NAME_MAX: usize = 8;
/// Failed logins of one address at once, as documented.
const FAILURES_MAX: usize = 10;

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("console: form or script of another origin", "API8", "403 forbidden", |t| {
        let product = t.sale(5)?;
        let cookie = session(t)?;
        let path = format!("/admin/products/{product}/pause");
        let host = t.operator.to_string();
        let mut all = Vec::new();
        let others = [
            "http://evil.test".to_owned(),
            "https://evil.test".to_owned(),
            "null".to_owned(),
            String::new(),
            format!("http://{}", t.public),
            format!("http://localhost:{}", t.operator.port()),
            format!("http://{host}.evil.test"),
            format!("http://evil.test/http://{host}"),
            format!("http://{host}/"),
            host.clone(),
        ];
        for origin in &others {
            let draft = change(t, &path, &cookie).set("origin", origin);
            all.push(Got::refused(&t.to_operator(&draft)?, 403, "forbidden"));
        }
        let own = || change(t, &path, &cookie);
        // Without an origin, with two, and with what a browser says of other pages.
        all.push(Got::refused(&t.to_operator(&own().without("origin"))?, 403, "forbidden"));
        let two = own().add("origin", "http://evil.test");
        all.push(Got::refused(&t.to_operator(&two)?, 403, "forbidden"));
        for site in ["cross-site", "same-site", "none"] {
            let draft = own().set("sec-fetch-site", site);
            all.push(Got::refused(&t.to_operator(&draft)?, 403, "forbidden"));
        }
        // What a form can send.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let draft = own().set("content-type", kind);
            all.push(Got::refused(&t.to_operator(&draft)?, 403, "forbidden"));
        }
        for path in ["/admin/overview", "/admin/events", "/admin/session", "/admin/products"] {
            let read = Draft::new("GET", path, "").set("cookie", &cookie).set("host", &host);
            let draft = read.set("sec-fetch-site", "same-site");
            // Of a stream that is given all the same there would be no end.
            let status = begin(t, &draft)?.read_status()?;
            all.push(Got::of(status == 403, status.to_string()));
        }
        let shown = t.admin("GET", &format!("/admin/products/{product}"), "")?;
        all.push(Got::of(shown.member("status") == "open", shown.summary()));
        let done = t.to_operator(&own())?;
        Ok(Got::all(all).and(control(done.status == 200, &done)))
    }),
    Attack::on_ours("console: login by another origin", "API8", "403 forbidden", |t| {
        let (_, token) = OPERATORS[0];
        let mut all = Vec::new();
        for draft in [
            login_draft(t, token).set("origin", "http://evil.test"),
            login_draft(t, token).without("origin"),
            login_draft(t, token).set("sec-fetch-site", "cross-site"),
            login_draft(t, token).set("content-type", "text/plain"),
        ] {
            let answer = t.to_operator(&draft)?;
            let no_cookie = answer.header("set-cookie").is_none();
            all.push(Got::refused(&answer, 403, "forbidden").and(Got::of(no_cookie, "")));
        }
        let by_url = Draft::new("GET", &format!("/admin/login?token={token}"), "");
        all.push(Got::refused(&t.to_operator(&by_url)?, 405, "method_not_allowed"));
        let done = t.to_operator(&login_draft(t, token))?;
        Ok(Got::all(all).and(control(done.header("set-cookie").is_some(), &done)))
    }),
    Attack::on_ours("console: session fixation", "API2", "401; a new id at each login", |t| {
        let (_, token) = OPERATORS[0];
        let planted = format!("{COOKIE}={}", "0".repeat(64));
        let first = t.to_operator(&login_draft(t, token).set("cookie", &planted))?;
        let first = cookie_of(&first)?;
        let second = t.to_operator(&login_draft(t, token).set("cookie", &first))?;
        let second = cookie_of(&second)?;
        let fresh = first != planted && second != first;
        let mut all = vec![Got::of(fresh, if fresh { "new ids" } else { "an id goes on" })];
        for old in [&planted, &first] {
            all.push(Got::refused(&looks(t, old)?, 401, "unauthorized"));
        }
        let live = looks(t, &second)?;
        Ok(Got::all(all).and(control(live.status == 200, &live)))
    }),
    Attack::on_ours("console: cookie stolen before the logout", "API2", "401 unauthorized", |t| {
        let (stolen, other) = (session(t)?, session(t)?);
        let before = looks(t, &stolen)?;
        let out = change(t, "/admin/logout", &stolen);
        let out = t.to_operator(&out)?;
        let after = looks(t, &stolen)?;
        let others = looks(t, &other)?;
        Ok(Got::refused(&after, 401, "unauthorized")
            .and(control(before.status == 200, &before))
            .and(control(out.status == 200, &out))
            .and(control(others.status == 200, &others)))
    }),
    Attack::on_ours("console: cookie of a revoked token", "API2", "401; its stream ends", |t| {
        let name = t.unique("t");
        let made = format!(r#"{{"name":"{name}","role":"viewer"}}"#);
        let made = t.admin("POST", "/admin/tokens", &made)?;
        ensure!(made.status == 201, "no token: {}", made.text());
        let cookie = cookie_of(&t.to_operator(&login_draft(t, &made.member("token")))?)?;
        let before = looks(t, &cookie)?;
        let mut stream = watch(t, &Credential::Cookie(&cookie))?;
        let revoked = t.admin("DELETE", &format!("/admin/tokens/{name}"), "")?;
        ensure!(revoked.status == 200, "not revoked: {}", revoked.text());
        let after = looks(t, &cookie)?;
        // One that goes on sends a piece each second.
        stream.patience(Duration::from_secs(5))?;
        let ended = stream.ends_within(4)?;
        Ok(Got::refused(&after, 401, "unauthorized")
            .and(Got::of(ended, if ended { "the stream ended" } else { "the stream goes on" }))
            .and(control(before.status == 200, &before)))
    }),
    Attack::on_ours("console: cookie beside a wrong token", "API2", "401 unauthorized", |t| {
        let cookie = session(t)?;
        let id = cookie.split_once('=').map(|(_, id)| id.to_owned()).unwrap_or_default();
        let look = |draft: Draft| t.to_operator(&draft.set("host", t.operator.to_string()));
        let bare = || Draft::new("GET", "/admin/overview", "");
        let mut all = Vec::new();
        for draft in [
            bare().set("cookie", &cookie).set("authorization", "Bearer wrong"),
            bare().set("cookie", &cookie).set("authorization", ""),
            bare().set("authorization", format!("Bearer {id}")),
            bare().set("cookie", format!("{cookie}; {COOKIE}={}", "1".repeat(64))),
            bare().set("cookie", cookie.trim_start_matches("__Host-")),
            bare().set("cookie", &cookie[..cookie.len() - 1]),
            bare().set("cookie", cookie.to_uppercase()),
            bare().set("cookie", format!("{COOKIE}={}", OPERATORS[1].1)),
        ] {
            all.push(Got::refused(&look(draft)?, 401, "unauthorized"));
        }
        let public = bare().set("cookie", &cookie);
        all.push(Got::refused(&t.send(&public)?, 404, "not_found"));
        let good = looks(t, &cookie)?;
        Ok(Got::all(all).and(control(good.status == 200, &good)))
    }),
    Attack::on_ours("console: viewer's session changes a sale", "API5", "403 forbidden", |t| {
        let product = t.sale(5)?;
        let viewer = cookie_of(&t.to_operator(&login_draft(t, OPERATORS[0].1))?)?;
        let path = format!("/admin/products/{product}/pause");
        let refused = t.to_operator(&change(t, &path, &viewer))?;
        let seen = looks(t, &viewer)?;
        Ok(Got::refused(&refused, 403, "forbidden").and(control(seen.status == 200, &seen)))
    }),
    Attack::on_ours("console: in a frame, or as another kind", "API8", "headers forbid it", |t| {
        let mut all = Vec::new();
        for path in ["/", "/console/main.js", "/admin/overview", "/admin/nothing", "/livez"] {
            let answer = t.to_operator(&Draft::new("GET", path, ""))?;
            let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
            let policy = header("content-security-policy");
            let good = policy.contains("frame-ancestors 'none'")
                && policy.starts_with("default-src 'none'")
                && !policy.contains("unsafe-")
                && header("x-frame-options") == "DENY"
                && header("x-content-type-options") == "nosniff"
                && header("referrer-policy") == "no-referrer"
                && header("cross-origin-opener-policy") == "same-origin"
                && header("cross-origin-resource-policy") == "same-origin"
                && header("access-control-allow-origin").is_empty();
            all.push(Got::of(good, if good { "forbidden" } else { path }));
        }
        let page = t.to_operator(&Draft::new("GET", "/", ""))?;
        Ok(Got::all(all).and(control(page.text().contains("<title>"), &page)))
    }),
    Attack::on_ours("console: markup in names and reasons", "-", "refused, or only text", |t| {
        let product = t.sale(5)?;
        let markup = "</script><img src=x onerror=alert(1)>";
        let mut all = Vec::new();
        let named = format!(r#"{{"productId":"{markup}","quantity":1}}"#);
        all.push(Got::refused(&t.admin("POST", "/init", &named)?, 400, "invalid_request"));
        let pause = |reason: &str| {
            let body = serde_json::json!({ "product": product, "reason": reason });
            t.admin("POST", "/admin/incident/stop", &body.to_string())
        };
        // A line feed would begin an event of its own.
        for reason in ["a\n\nevent: overview\ndata: {}", "a\r\ndata: x", "\u{0}"] {
            all.push(Got::refused(&pause(reason)?, 400, "invalid_request"));
        }
        let taken = pause(markup)?;
        let cookie = session(t)?;
        let seen = looks(t, &cookie)?;
        let as_text = seen.header("content-type") == Some("application/json")
            && seen.json()["actions"][0]["why"] == markup;
        all.push(Got::of(as_text, seen.summary()));
        // The page itself holds nothing that anybody wrote.
        let page = t.to_operator(&Draft::new("GET", "/", "").set("cookie", &cookie))?;
        all.push(Got::of(!page.text().contains("onerror"), page.summary()));
        Ok(Got::all(all).and(control(taken.status == 200, &taken)))
    }),
    Attack::on_ours("console: one token looks a hundred times", "API4", "503; others look", |t| {
        let (_, token) = OPERATORS[0];
        let mut open = Vec::new();
        let mut refused = Vec::new();
        for _ in 0..100 {
            match watch(t, &Credential::Bearer(token)) {
                Ok(stream) => open.push(stream),
                Err(error) => refused.push(error.to_string()),
            }
        }
        let busy = refused.iter().all(|error| error.contains("503"));
        let bounded = open.len() <= VIEWERS_PER_NAME_MAX && busy;
        let got = Got::of(bounded, format!("{} look, {} do not", open.len(), refused.len()));
        let other = watch(t, &Credential::Bearer(OPERATORS[1].1)).is_ok();
        let product = t.sale(1)?;
        let sold = t.accepted(&product).is_ok();
        Ok(got.and(Got::of(other && sold, "")))
    }),
    Attack::on_ours("console: tokens guessed at the login", "API2", "429 after 10", |t| {
        let from = Some(Ipv4Addr::new(127, 88, 0, 1));
        let send = |from, token: &str| -> anyhow::Result<Answer> {
            let bytes = login_draft(t, token).bytes();
            wire::exchange(t.operator, from, &bytes)?.context("closed without an answer")
        };
        let mut answers = Vec::new();
        for n in 0..3 * FAILURES_MAX {
            answers.push(send(from, &format!("guess-{n}-0123456789abcdef"))?);
        }
        let tried = answers.iter().filter(|answer| answer.status == 401).count();
        let limited = answers.iter().filter(|answer| answer.status == 429).count();
        // One more may be let through while the others are sent.
        let good = tried <= FAILURES_MAX + 2 && tried + limited == answers.len();
        let late = answers.last().context("none was sent")?;
        let told = late.header("retry-after").is_some() && late.header("set-cookie").is_none();
        let neighbour = send(Some(Ipv4Addr::new(127, 88, 0, 2)), OPERATORS[0].1)?;
        let bearer = t.admin("GET", "/admin/overview", "")?;
        Ok(Got::of(good && told, format!("{tried} tried, {limited} limited"))
            .and(control(neighbour.status == 200, &neighbour))
            .and(control(bearer.status == 200, &bearer)))
    }),
];

/// What must succeed; says so only if it does not.
fn control(good: bool, answer: &Answer) -> Got {
    Got::of(good, if good { String::new() } else { format!("control: {}", answer.summary()) })
}

/// A login from the console's own page.
pub(super) fn login_draft(target: &Target, token: &str) -> Draft {
    let host = target.operator.to_string();
    Draft::new("POST", "/admin/login", format!(r#"{{"token":"{token}"}}"#))
        .set("host", &host)
        .set("origin", format!("http://{host}"))
        .set("sec-fetch-site", "same-origin")
        .set("content-type", "application/json")
}

/// The cookie of a login, as it is sent back.
pub(super) fn cookie_of(answer: &Answer) -> anyhow::Result<String> {
    let set =
        answer.header("set-cookie").with_context(|| format!("no login: {}", answer.text()))?;
    let (cookie, attributes) = set.split_once("; ").context("a cookie without attributes")?;
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        ensure!(attributes.split("; ").any(|known| known == attribute), "no {attribute}: {set}");
    }
    ensure!(!attributes.contains("Domain"), "for a domain: {set}");
    Ok(cookie.to_owned())
}

/// An operator's session.
fn session(target: &Target) -> anyhow::Result<String> {
    cookie_of(&target.to_operator(&login_draft(target, OPERATORS[1].1))?)
}

/// A change from the console's own page.
pub(super) fn change(target: &Target, path: &str, cookie: &str) -> Draft {
    let host = target.operator.to_string();
    Draft::new("POST", path, "{}")
        .set("host", &host)
        .set("origin", format!("http://{host}"))
        .set("content-type", "application/json")
        .set("idempotency-key", target.unique("op"))
        .set("cookie", cookie)
}

fn looks(target: &Target, cookie: &str) -> anyhow::Result<Answer> {
    let draft = Draft::new("GET", "/admin/overview", "").set("cookie", cookie);
    target.to_operator(&draft.set("host", target.operator.to_string()))
}

enum Credential<'a> {
    Cookie(&'a str),
    Bearer(&'a str),
}

/// Sends a request and leaves its answer to be read.
fn begin(target: &Target, draft: &Draft) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(target.operator, None)?;
    connection.write(&draft.bytes())?;
    Ok(connection)
}

/// Opens a stream and waits for its head; an error if it is refused.
fn watch(target: &Target, credential: &Credential<'_>) -> anyhow::Result<Connection> {
    let draft = Draft::new("GET", "/admin/events", "").set("host", target.operator.to_string());
    let draft = match credential {
        Credential::Cookie(cookie) => draft.set("cookie", cookie),
        Credential::Bearer(token) => draft.set("authorization", format!("Bearer {token}")),
    };
    let mut connection = begin(target, &draft)?;
    let status = connection.read_status()?;
    ensure!(status == 200, "{status}");
    Ok(connection)
}
