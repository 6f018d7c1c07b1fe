//! The room for browsers without scripts: in by the shop's form, the queue by loading the page again, and an order
//! by a form that spends the admission.
//!
//! The shop's page posts the pass to `/waiting-room/enter` (in the body, never in a query). It becomes a cookie that
//! no script can read and that no other site's form carries (`__Host-`, `HttpOnly`, `SameSite=Lax`). In the place of
//! a signature an order needs the cookie, a token that this server wrote into its own form, and a browser that does
//! not say that the form is another site's. The order's key follows from the ticket, so a button that is pressed
//! twice orders once.

use http::header::{CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::page::{self, Card, Viewer, render, text, viewer};
use super::{calls, is_page_load, redirect};
use crate::guard::room::Shopper;
use crate::guard::{Refusal, pass};
use crate::http::code::Code;
use crate::http::public::{PublicThread, Received};
use crate::http::reply::{self, Coded};
use crate::http::sighting::Watch;
use crate::http::{challenge, orders, origin, refused};
use crate::place_order::{Answer, Attempt, place_order};
use crate::room::rooms::Seen;
use crate::room::{Standing, Ticket};
use crate::sale::{IdempotencyKey, OrderId};

/// Holds the pass of who came by a form.
const COOKIE_NAME: &str = "__Host-flux-room";
/// How often the page loads itself again, in seconds.
const REFRESH_SECONDS: u64 = 5;
/// Digits of the form's token that name the order: 128 bits.
const KEY_DIGITS: usize = 32;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enter {
    product: String,
    pass: Option<String>,
    lang: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Buy {
    product: String,
    token: String,
    lang: Option<String>,
}

/// The pass in the cookie.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let each = all.flat_map(|cookies| cookies.split(';')).map(str::trim);
    each.filter_map(|cookie| cookie.split_once('='))
        .find_map(|(name, value)| (name == COOKIE_NAME && !value.is_empty()).then_some(value))
}

/// Whose cookie this is; `None` for one that is not good any more.
fn shopper(
    thread: &PublicThread,
    received: &Received<'_>,
    pass: &str,
) -> Result<Option<Shopper>, Coded> {
    let passes = &mut thread.passes.borrow_mut();
    match thread.shared.guard.bearer(passes, &received.view(), pass, thread.now()) {
        Ok(shopper) => Ok(Some(shopper)),
        Err(refused) if matches!(refused.refusal, Refusal::Unauthenticated(_)) => Ok(None),
        Err(refused) => Err(refused::answer(thread, received, &refused)),
    }
}

/// The same of a call that may come without a pass: then it is anybody's, and passes checks 2 and 3.
pub(super) fn shopper_or_anyone(
    thread: &PublicThread,
    received: &Received<'_>,
    pass: Option<&str>,
) -> Result<Option<Shopper>, Coded> {
    match pass {
        Some(pass) => shopper(thread, received, pass),
        None => refused::anyone(thread, received).map(|()| None),
    }
}

/// This answer to anybody who passes checks 2 and 3.
fn unless_refused(thread: &PublicThread, received: &Received<'_>, answer: Coded) -> Coded {
    refused::anyone(thread, received).map_or_else(|refusal| refusal, |()| answer)
}

/// `POST /waiting-room/enter` with the fields `product`, `pass` and `lang`: takes a place and remembers the pass as a
/// cookie. Without `pass`, which then is the cookie's, it is this page's own form alone.
pub async fn enter(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let Some(fields) = fields::<Enter>(received) else {
        return unless_refused(thread, received, no_form());
    };
    let pass = match &fields.pass {
        Some(pass) => Some(pass.as_str()),
        None if is_own(thread, received) => cookie(received.headers()),
        None => return unless_refused(thread, received, not_own()),
    };
    let pass = pass.filter(|pass| pass.len() <= pass::PASS_BYTES_MAX);
    let shopper = match shopper_or_anyone(thread, received, pass) {
        Ok(shopper) => shopper,
        Err(refusal) => return refusal,
    };
    let viewer = match viewer(thread, received, &fields.product, fields.lang.as_deref()) {
        Ok(viewer) => viewer,
        Err(refusal) => return refusal,
    };
    let (Some(shopper), Some(pass)) = (shopper, pass) else {
        let card = Card { kind: "over", about: "session", ..Card::default() };
        return render(thread, Code::Unauthorized, &viewer, "form", &card);
    };
    match calls::enter(thread, received, &shopper, viewer.product, viewer.sale, None).await {
        Ok(_ticket) => {
            let to = page::address(&viewer.product, viewer.language);
            remembering(redirect(Code::SeeOther, &to), pass)
        }
        Err(refusal) => {
            let about = match refusal.code {
                Code::RoomFull => "full",
                Code::RoomUnavailable => "error",
                _ => "session",
            };
            let refresh = (about != "session").then_some(REFRESH_SECONDS);
            let card = Card { about, refresh, ..Card::default() };
            // The page that is loaded again is who came now.
            remembering(render(thread, refusal.code, &viewer, "form", &card), pass)
        }
    }
}

/// Gives the browser the pass as a cookie.
fn remembering(coded: Coded, pass: &str) -> Coded {
    let cookie = format!("{COOKIE_NAME}={pass}; Path=/; Secure; HttpOnly; SameSite=Lax");
    match HeaderValue::try_from(cookie) {
        Ok(cookie) => coded.with(SET_COOKIE, cookie),
        Err(_) => coded,
    }
}

/// How it stands with who came by a form, who is heard of by it.
pub(super) async fn card(thread: &PublicThread, viewer: &Viewer<'_>, shopper: &Shopper) -> Card {
    match look(thread, viewer, shopper).await {
        Ok((ticket, seen)) => card_of(thread, viewer, shopper, ticket, seen),
        Err(_away) => Card { about: "error", refresh: Some(REFRESH_SECONDS), ..Card::default() },
    }
}

/// The shopper's ticket, and how it stands with it.
async fn look(
    thread: &PublicThread,
    viewer: &Viewer<'_>,
    shopper: &Shopper,
) -> Result<(Option<Ticket>, Option<Seen>), Coded> {
    let Some(ticket) = calls::of_shopper(thread, &viewer.product, shopper).await? else {
        return Ok((None, None));
    };
    let seen = calls::poll(thread, &ticket).await?;
    Ok((Some(ticket), Some(seen)))
}

fn card_of(
    thread: &PublicThread,
    viewer: &Viewer<'_>,
    shopper: &Shopper,
    ticket: Option<Ticket>,
    seen: Option<Seen>,
) -> Card {
    let Viewer { product, sale, texts, .. } = viewer;
    let (rooms, now_ms) = (&thread.shared.room.lobby, thread.shared.log_time().likely_ms);
    let of = |about| Card {
        about,
        ticket: ticket.map(|ticket| ticket.number),
        refresh: Some(REFRESH_SECONDS),
        ..Card::default()
    };
    let over = |about| Card { kind: "over", refresh: None, ..of(about) };
    let again = |about| Card {
        form: Some(("enter", "again", vec![("product", product.to_string())])),
        ..over(about)
    };
    let standing = seen.map_or(Standing::Unknown, |seen| seen.standing);
    match (sale.stock, standing) {
        (_, Standing::Spent) => {
            match ticket.and_then(|ticket| order_of(thread, shopper, &ticket)) {
                Some(order_id) => bought(thread, order_id, ticket),
                None => over("spent"),
            }
        }
        ("sold_out", _) => over("sold"),
        ("closed", _) => over("closed"),
        (_, Standing::Early) if sale.supply.opened => of("drawing"),
        (_, Standing::Early) => {
            let seconds = sale.opens_at_ms.saturating_sub(now_ms).div_ceil(1_000);
            Card { big: Some(("opens_in", duration(texts, seconds))), ..of("early") }
        }
        (_, Standing::Waiting { ahead, .. }) => {
            let sub = match seen.and_then(|seen| seen.wait_seconds) {
                _ if sale.stock == "paused" => text(texts, "paused_note").to_owned(),
                Some(seconds) => text(texts, "wait").replace("{time}", &duration(texts, seconds)),
                None => text(texts, "wait_unknown").to_owned(),
            };
            let place = (u64::from(ahead) + 1).to_string();
            Card { big: Some(("place", place)), sub, ..of("place") }
        }
        (_, Standing::Admitted { until_ms }) => {
            let seconds = until_ms.saturating_sub(now_ms).div_ceil(1_000);
            let time = duration(texts, seconds);
            let token = ticket.map(|ticket| rooms.key().form_token(&ticket)).unwrap_or_default();
            Card {
                sub: text(texts, "time_left").replace("{time}", &time),
                form: Some((
                    "buy",
                    "buy",
                    vec![("product", product.to_string()), ("token", token)],
                )),
                // Until then nothing changes, and a page that loads itself again is in the way.
                refresh: Some(seconds + 1),
                ..of("turn")
            }
        }
        (_, Standing::Passed) => again("passed"),
        (_, Standing::Lapsed) => again("lapsed"),
        (_, Standing::Unknown) => again("loading"),
    }
}

/// `POST /waiting-room/buy` with the fields `product`, `token` and `lang`: an order that spends the admission.
pub async fn buy(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let Some(fields) = fields::<Buy>(received) else {
        return unless_refused(thread, received, no_form());
    };
    if !is_own(thread, received) {
        return unless_refused(thread, received, not_own());
    }
    let shopper = match shopper_or_anyone(thread, received, cookie(received.headers())) {
        Ok(shopper) => shopper,
        Err(refusal) => return refusal,
    };
    let viewer = match viewer(thread, received, &fields.product, fields.lang.as_deref()) {
        Ok(viewer) => viewer,
        Err(refusal) => return refusal,
    };
    let Some(shopper) = shopper else {
        let card = Card { kind: "over", about: "session", ..Card::default() };
        return render(thread, Code::Unauthorized, &viewer, "form", &card);
    };
    let rooms = &thread.shared.room.lobby;
    let ticket = match calls::of_shopper(thread, &viewer.product, &shopper).await {
        Ok(ticket) => ticket,
        Err(away) => return away,
    };
    let ticket = ticket.filter(|ticket| rooms.key().is_form_token(ticket, &fields.token));
    let Some(ticket) = ticket else {
        return calls::bad_ticket(thread, received, "the form is not of this ticket");
    };
    let seen = match calls::poll(thread, &ticket).await {
        Ok(seen) => seen,
        Err(away) => return away,
    };
    if !matches!(seen.standing, Standing::Admitted { .. }) {
        // Pressed twice, too early or too late: how it stands says it.
        let card = card_of(thread, &viewer, &shopper, Some(ticket), Some(seen));
        let code = if card.kind == "good" { Code::Duplicate } else { Code::NotYourTurn };
        return render(thread, code, &viewer, "form", &card);
    }
    order(thread, received, &viewer, &shopper, &ticket).await
}

async fn order(
    thread: &PublicThread,
    received: &Received<'_>,
    viewer: &Viewer<'_>,
    shopper: &Shopper,
    ticket: &Ticket,
) -> Coded {
    let Some(key) = key_of(thread, ticket) else {
        return thread.prepared.problem(Code::Internal);
    };
    let now = thread.now();
    let mut watch = Watch::new(thread, received, now.unix_ms);
    let view = received.view();
    let order = thread.shared.guard.form_order(&view, shopper, viewer.product, key, now);
    let order = match order {
        Ok(order) => order,
        Err(refused) => {
            let refusal = refused::answer(thread, received, &refused);
            watch.answered(refusal.code);
            return shown(thread, received, viewer, refusal);
        }
    };
    watch.passed(&order);
    // A solution that came along is held against the service that gave it, as for any other order.
    if let Err(asked) = challenge::settle(thread, received, &order, now).await {
        watch.answered(asked.code);
        return shown(thread, received, viewer, asked);
    }
    let attempt = Attempt::from(&order);
    let answer = place_order(&thread.node, &attempt).await;
    super::settled(thread, &attempt, &answer).await;
    let (code, card) = outcome(thread, viewer, shopper, ticket, order.order_id, &answer).await;
    watch.answered(code);
    render(thread, code, viewer, "form", &card)
}

/// A refusal as a page, for a browser that shows what it gets; a program gets the problem.
fn shown(
    thread: &PublicThread,
    received: &Received<'_>,
    viewer: &Viewer<'_>,
    refusal: Coded,
) -> Coded {
    if !is_page_load(received.headers()) {
        return refusal;
    }
    let over = |about| Card { kind: "over", about, ..Card::default() };
    let card = match refusal.code {
        Code::ChallengeRequired => over("script"),
        Code::Blocked | Code::UserBlocked | Code::ScoreRefused => over("blocked"),
        // Too fast or too many: the room's page has the button again.
        _ => Card { about: "error", refresh: Some(REFRESH_SECONDS), ..Card::default() },
    };
    render(thread, refusal.code, viewer, "form", &card)
}

/// What came of the order, in words.
async fn outcome(
    thread: &PublicThread,
    viewer: &Viewer<'_>,
    shopper: &Shopper,
    ticket: &Ticket,
    order_id: OrderId,
    answer: &Answer,
) -> (Code, Card) {
    let over = |about| Card { kind: "over", about, ..Card::default() };
    match answer {
        Answer::Accepted => (Code::Accepted, bought(thread, order_id, Some(*ticket))),
        Answer::Duplicate(repeated) => {
            (Code::Duplicate, bought(thread, repeated.order_id, Some(*ticket)))
        }
        Answer::LimitReached => (Code::LimitReached, over("limit")),
        Answer::SoldOut => (Code::SoldOut, over("sold")),
        Answer::Closed => (Code::Closed, over("closed")),
        Answer::Pending => {
            (Code::Pending, Card { refresh: Some(REFRESH_SECONDS), ..over("pending") })
        }
        // Busy, paused, behind: the admission stands, and the form is there to be pressed again.
        _ => (Code::Busy, card(thread, viewer, shopper).await),
    }
}

fn bought(thread: &PublicThread, order_id: OrderId, ticket: Option<Ticket>) -> Card {
    let mut facts = vec![("order", order_id.to_string())];
    facts.extend(orders::receipt(thread, &order_id).map(|receipt| ("receipt", receipt)));
    let ticket = ticket.map(|ticket| ticket.number);
    Card { kind: "good", about: "bought", facts, ticket, ..Card::default() }
}

/// The order that this ticket's form has become, if it has.
fn order_of(thread: &PublicThread, shopper: &Shopper, ticket: &Ticket) -> Option<OrderId> {
    let key = key_of(thread, ticket)?;
    let order_id = thread.shared.identity.order_id(&ticket.product, &shopper.buyer, &key);
    thread.node.applied().find_order(&order_id).map(|_| order_id)
}

fn key_of(thread: &PublicThread, ticket: &Ticket) -> Option<IdempotencyKey> {
    let token = thread.shared.room.lobby.key().form_token(ticket);
    token.get(..KEY_DIGITS)?.parse().ok()
}

/// A time in the words of the page.
fn duration(texts: &super::look::Texts, seconds: u64) -> String {
    let (name, number) = match seconds {
        0..=59 => ("seconds", seconds),
        60..=89 => ("minute", 1),
        90..=7_199 => ("minutes", seconds.div_ceil(60)),
        _ => ("hours", seconds.div_ceil(3_600)),
    };
    text(texts, name).replace("{n}", &number.to_string())
}

fn fields<T: DeserializeOwned>(received: &Received<'_>) -> Option<T> {
    read(received.headers(), received.body())
}

/// The fields of a form; `None` if it is none, or has others.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Option<T> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    serde_urlencoded::from_bytes(body).ok()
}

/// Whether this is one of the two forms, as far as its fields go.
pub fn is_form(headers: &HeaderMap, body: &[u8]) -> bool {
    read::<Enter>(headers, body).is_some() || read::<Buy>(headers, body).is_some()
}

/// Whether the browser does not say that the form is another site's. One that says nothing is old: the cookie's
/// `SameSite` and the form's token are left.
fn is_own(thread: &PublicThread, received: &Received<'_>) -> bool {
    let tls = thread.shared.config.http.tls_cert_file.is_some();
    is_of_page(received.uri(), received.headers(), tls)
}

fn is_of_page(uri: &Uri, headers: &HeaderMap, tls: bool) -> bool {
    let site = headers.get(&SEC_FETCH_SITE).is_none_or(|site| site == "same-origin");
    let host = origin::host(uri, headers);
    site && headers.get(ORIGIN).is_none_or(|from| origin::is_own(from.as_bytes(), host, tls))
}

fn no_form() -> Coded {
    let why = "send the fields of the form as application/x-www-form-urlencoded";
    reply::problem_because(Code::InvalidRequest, why)
}

fn not_own() -> Coded {
    reply::problem_because(Code::Forbidden, "this form is of the waiting room's own page alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn the_cookie_is_found_among_others_by_its_whole_name() {
        let with = headers(&[("cookie", "a=b; __Host-flux-room=v1.x.y; c=d")]);
        assert_eq!(cookie(&with), Some("v1.x.y"));
        for text in [
            "",
            "x__Host-flux-room=a",
            "__Host-flux-room",
            "__Host-flux-room=",
            "__host-flux-room=a",
        ] {
            assert_eq!(cookie(&headers(&[("cookie", text)])), None, "{text}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_not_our_own() {
        let called = |uri: &'static str, lines: &[_]| {
            is_of_page(&Uri::from_static(uri), &headers(lines), true)
        };
        let own = |lines: &[_]| called("/waiting-room/buy", lines);
        assert!(own(&[]));
        assert!(own(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://gate.example"),
            ("host", "gate.example")
        ]));
        assert!(!own(&[("sec-fetch-site", "cross-site")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[("origin", "https://evil.example"), ("host", "gate.example")]));
        assert!(!own(&[("origin", "null"), ("host", "gate.example")]));
        assert!(!own(&[("origin", "https://evil.example")]), "nobody says which host was called");
        // HTTP/2 says the host beside the path, not in a header.
        let http2 = |origin| called("https://gate.example/waiting-room/buy", &[("origin", origin)]);
        assert!(http2("https://gate.example") && !http2("https://evil.example"));
    }
}
