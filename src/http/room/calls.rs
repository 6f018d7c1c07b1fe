//! The calls of the page: a ticket, how it stands, the admission, and the data of the draw.
//!
//! A ticket is shown in a header, never in a query, which would end in logs. Its holder alone cannot buy: the
//! admission is given to whoever signs with the session of the ticket's buyer.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Sale, product};
use crate::audit::RefusalKind;
use crate::guard::room::Shopper;
use crate::guard::{Refusal, Refused};
use crate::http::code::Code;
use crate::http::public::{PublicThread, Received};
use crate::http::refused::{self, anyone};
use crate::http::reply::{self, Coded};
use crate::http::trail;
use crate::lobby::{NotEntered, Unavailable};
use crate::room::draw::{Draw, Proof};
use crate::room::rooms::Seen;
use crate::room::{Standing, Ticket};

/// Holds the ticket of who asks how it stands.
pub static X_QUEUE_TICKET: HeaderName = HeaderName::from_static("x-queue-ticket");

/// When a full room is asked again, in microseconds.
const FULL_RETRY_US: u64 = 5_000_000;
/// The same of one that cannot be asked at this moment.
const AWAY_RETRY_US: u64 = 2_000_000;

/// `POST /waiting-room/ticket`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AskTicket {
    #[schema(example = "iphone-15")]
    product_id: String,
    /// The ticket that one had, if its place is over: with it, a pass whose time is over takes a new place.
    ticket: Option<String>,
}

/// A place in the queue.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketGiven {
    ticket: String,
    product_id: String,
    /// From 0, in the order of arrival.
    number: u32,
    /// Unix milliseconds.
    issued_at: u64,
    /// What fixes the draw's seed; keep it.
    commitment: String,
    public_value_source: String,
    /// How often a sign of life is due.
    poll_seconds: u64,
    /// The server's time, Unix milliseconds.
    server_time: u64,
}

/// How a room stands, and one's own ticket in it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomState {
    product_id: String,
    /// `arriving`, `drawing` or `serving`.
    phase: &'static str,
    /// `open`, `low`, `sold_out`, `not_open`, `paused` or `closed`.
    stock: &'static str,
    /// Unix milliseconds.
    opens_at: u64,
    /// The next place to serve, from 0.
    head: u32,
    /// Places that were given out.
    places: u32,
    /// Of the ticket that was shown: `early`, `waiting`, `admitted`, `spent`, `lapsed`, `passed`, or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'static str>,
    /// Its place, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<u32>,
    /// Places that are served before.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<u32>,
    /// About how long it waits; absent while nothing moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_seconds: Option<u64>,
    /// Until when it may buy, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted_until: Option<u64>,
    poll_seconds: u64,
    /// The server's time, Unix milliseconds.
    server_time: u64,
}

/// `POST /waiting-room/admission`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskAdmission {
    ticket: String,
}

/// What a shopper buys with, whose turn it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionGiven {
    /// For `Authorization: Bearer`: it admits to this sale.
    pass: String,
    session_key: String,
    user_id: String,
    /// Unix milliseconds.
    expires_at: u64,
    /// The server's time, Unix milliseconds.
    server_time: u64,
}

/// What is published of a draw.
#[derive(Debug, Serialize)]
struct DrawShown {
    #[serde(flatten)]
    draw: Draw,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoomQuery {
    product: String,
    number: Option<u32>,
}

/// `POST /waiting-room/ticket`: a place, the same for whoever asks again.
pub async fn ticket(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let asked = signed(thread, received).and_then(|shopper| {
        let form =
            r#"the body must be {"productId": "…"}, with "ticket" for one whose place is over"#;
        let AskTicket { product_id, ticket } = body(received, form)?;
        let had = ticket.and_then(|text| thread.shared.room.lobby.key().verify(&text));
        Ok((shopper, product(thread, &product_id)?, had))
    });
    let (shopper, (product, sale), had) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let ticket = match enter(thread, received, &shopper, product, sale, had).await {
        Ok(ticket) => ticket,
        Err(refusal) => return refusal,
    };
    let room = &thread.shared.room;
    let draw = room.lobby.draw(&ticket.product);
    let given = TicketGiven {
        ticket: room.lobby.key().issue(&ticket),
        product_id: ticket.product.to_string(),
        number: ticket.number,
        issued_at: ticket.issued_ms,
        commitment: draw.commitment,
        public_value_source: draw.public_value_source,
        poll_seconds: room.poll_seconds,
        server_time: thread.now().unix_ms,
    };
    thread.prepared.with_rate(reply::json_value(Code::Ok, &given), shopper.rate.as_ref())
}

/// A place for this shopper: the one they have, or the next.
pub(super) async fn enter(
    thread: &PublicThread,
    received: &Received<'_>,
    shopper: &Shopper,
    product: crate::sale::ProductId,
    sale: Sale,
    had: Option<Ticket>,
) -> Result<Ticket, Coded> {
    let (rooms, now_ms) = (&thread.shared.room.lobby, thread.shared.log_time().likely_ms);
    let own = |ticket: &Ticket| {
        let of_pass = ticket.buyer == shopper.buyer && ticket.pass_id == shopper.pass_id.0;
        of_pass && ticket.product == product
    };
    if shopper.expired && !had.as_ref().is_some_and(own) {
        // A pass whose time is over is good for a place that is there, or was, not for a first one.
        let found = of_shopper(thread, &product, shopper).await?;
        if let Some(ticket) = found
            && is_live(poll(thread, &ticket).await?.standing)
        {
            return Ok(ticket);
        }
        let why = Refusal::Unauthenticated("The session pass has expired.");
        return Err(refused::answer(
            thread,
            received,
            &Refused { refusal: why, rate: shopper.rate },
        ));
    }
    let who = (product, shopper.buyer, shopper.pass_id.0);
    let entered = rooms.enter(thread.node.gate(), who, now_ms, sale.supply).await;
    entered.map_err(|why| match why {
        NotEntered::Full(_) => {
            thread.prepared.problem(Code::RoomFull).retry_after_us(FULL_RETRY_US)
        }
        NotEntered::Unavailable(_) => unavailable(thread),
    })
}

/// This shopper's latest ticket.
pub(super) async fn of_shopper(
    thread: &PublicThread,
    product: &crate::sale::ProductId,
    shopper: &Shopper,
) -> Result<Option<Ticket>, Coded> {
    let (rooms, gate) = (&thread.shared.room.lobby, thread.node.gate());
    let found = rooms.of_buyer(gate, product, &shopper.buyer, shopper.pass_id.0).await;
    found.map_err(|_| unavailable(thread))
}

/// How it stands with a ticket, whose holder is heard of by it.
pub(super) async fn poll(thread: &PublicThread, ticket: &Ticket) -> Result<Seen, Coded> {
    let now_ms = thread.shared.log_time().likely_ms;
    let seen = thread.shared.room.lobby.poll(thread.node.gate(), ticket, now_ms).await;
    seen.map_err(|_| unavailable(thread))
}

/// The queue is where this node cannot ask it. Whoever waits keeps their place.
pub(super) fn unavailable(thread: &PublicThread) -> Coded {
    thread.prepared.problem(Code::RoomUnavailable).retry_after_us(AWAY_RETRY_US)
}

fn is_live(standing: Standing) -> bool {
    matches!(standing, Standing::Early | Standing::Waiting { .. } | Standing::Admitted { .. })
}

/// `GET /waiting-room/state`: how the room stands, and the ticket in `x-queue-ticket`, which is a sign of life.
pub async fn state(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let shown = received.headers().get(&X_QUEUE_TICKET);
    let key = thread.shared.room.lobby.key();
    let ticket = shown.map(|text| text.to_str().ok().and_then(|text| key.verify(text)));
    let buyer = ticket.flatten().map(|ticket| ticket.buyer);
    let guard = &thread.shared.guard;
    let rate = match guard.ticket_holder(&received.view(), buyer.as_ref(), thread.now()) {
        Ok(rate) => rate,
        Err(refused) => return refused::answer(thread, received, &refused),
    };
    let asked = query(received).and_then(|query| product(thread, &query.product));
    let (product, sale) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let ticket = match ticket {
        None => None,
        Some(Some(ticket)) if ticket.product == product => Some(ticket),
        Some(_) => return bad_ticket(thread, received, "forged, or of another product"),
    };
    let seen = match ticket {
        None => None,
        Some(ticket) => match poll(thread, &ticket).await {
            Ok(seen) => Some(seen),
            Err(away) => return away,
        },
    };
    let coded = reply::json_value(Code::Ok, &room_state(thread, &product, sale, seen));
    thread.prepared.with_rate(coded, rate.as_ref())
}

/// How it all stands, as the page and its form show it.
fn room_state(
    thread: &PublicThread,
    product: &crate::sale::ProductId,
    sale: Sale,
    seen: Option<Seen>,
) -> RoomState {
    let room = &thread.shared.room;
    let view = room.lobby.view(product, sale.supply.opened);
    let (place, ahead, admitted_until) = match seen.map(|seen| seen.standing) {
        Some(Standing::Waiting { place, ahead }) => (Some(place), Some(ahead), None),
        Some(Standing::Admitted { until_ms }) => (None, None, Some(until_ms)),
        _ => (None, None, None),
    };
    RoomState {
        product_id: product.to_string(),
        phase: view.phase,
        stock: sale.stock,
        opens_at: sale.opens_at_ms,
        head: view.head,
        places: view.places,
        ticket: seen.map(|seen| word(seen.standing)),
        place,
        ahead,
        wait_seconds: seen.and_then(|seen| seen.wait_seconds),
        admitted_until,
        poll_seconds: room.poll_seconds,
        server_time: thread.now().unix_ms,
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Early => "early",
        Standing::Waiting { .. } => "waiting",
        Standing::Admitted { .. } => "admitted",
        Standing::Spent => "spent",
        Standing::Lapsed => "lapsed",
        Standing::Passed => "passed",
        Standing::Unknown => "unknown",
    }
}

/// `POST /waiting-room/admission`: whose turn it is gets the pass that admits to the sale. Who asks again within
/// its time, because an answer was lost, gets another that ends when the first does.
pub async fn admission(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let asked = signed(thread, received).and_then(|shopper| {
        let AskAdmission { ticket } = body(received, r#"the body must be {"ticket": "…"}"#)?;
        Ok((shopper, ticket))
    });
    let (shopper, text) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let rooms = &thread.shared.room.lobby;
    let Some(ticket) = rooms.key().verify(&text) else {
        return bad_ticket(thread, received, "forged");
    };
    if ticket.buyer != shopper.buyer {
        return bad_ticket(thread, received, "another buyer's");
    }
    if shopper.expired && ticket.pass_id != shopper.pass_id.0 {
        return bad_ticket(thread, received, "of another pass, and this one has expired");
    }
    let seen = match poll(thread, &ticket).await {
        Ok(seen) => seen,
        Err(away) => return away,
    };
    let now = thread.now();
    let coded = match seen.standing {
        Standing::Admitted { until_ms } => {
            let random = thread.shared.random_16();
            let admitted =
                thread.shared.guard.admit(&shopper, ticket.product, until_ms, now, random);
            let given = AdmissionGiven {
                pass: admitted.pass,
                session_key: admitted.session_key,
                user_id: shopper.user.to_string(),
                expires_at: until_ms,
                server_time: now.unix_ms,
            };
            reply::json_value(Code::Ok, &given)
        }
        Standing::Early | Standing::Waiting { .. } => {
            let retry_us = thread.shared.room.poll_seconds * 1_000_000;
            thread.prepared.problem(Code::NotYourTurn).retry_after_us(retry_us)
        }
        over => {
            trail::note(thread, received, RefusalKind::BadTicket, word(over));
            reply::problem_because(Code::TicketSpent, why_over(over))
        }
    };
    thread.prepared.with_rate(coded, shopper.rate.as_ref())
}

fn why_over(standing: Standing) -> &'static str {
    match standing {
        Standing::Spent => "this ticket's admission was used",
        Standing::Lapsed => "this ticket's admission has ended",
        Standing::Passed => "its holder was not there at their turn",
        _ => "the room does not know this ticket: it is from the past",
    }
}

/// `GET /waiting-room/draw?product=…[&number=…]`: what is published of the draw, for anybody.
pub fn draw(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let asked = anyone(thread, received)
        .and_then(|()| query(received))
        .and_then(|query| Ok((product(thread, &query.product)?.0, query.number)));
    match asked {
        Ok((product, number)) => {
            let rooms = &thread.shared.room.lobby;
            match number.map_or(Ok(None), |number| rooms.proof(&product, number)) {
                Ok(proof) => {
                    reply::json_value(Code::Ok, &DrawShown { draw: rooms.draw(&product), proof })
                }
                Err(Unavailable) => no_list(),
            }
        }
        Err(refusal) => refusal,
    }
}

/// `GET /waiting-room/entrants?product=…`: the leaves of all entrants by number, one a line.
pub fn entrants(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let asked = anyone(thread, received)
        .and_then(|()| query(received))
        .and_then(|query| product(thread, &query.product));
    match asked {
        Ok((product, _)) => {
            let Ok(leaves) = thread.shared.room.lobby.entrants(&product) else { return no_list() };
            let mut text = String::with_capacity(leaves.len() * 65);
            for leaf in leaves {
                text.push_str(&hex::encode(leaf));
                text.push('\n');
            }
            reply::json(Code::Ok, text)
                .with(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
        }
        Err(refusal) => refusal,
    }
}

/// This node shows no list but the one behind the published root.
fn no_list() -> Coded {
    let why = "this node does not have the list behind the published root: ask again, or another";
    reply::problem_because(Code::RoomUnavailable, why).retry_after_us(AWAY_RETRY_US)
}

fn signed(thread: &PublicThread, received: &Received<'_>) -> Result<Shopper, Coded> {
    let passes = &mut thread.passes.borrow_mut();
    let shopper = thread.shared.guard.waiting(passes, &received.view(), thread.now());
    let shopper = shopper.map_err(|refused| refused::answer(thread, received, &refused))?;
    crate::guard::headers::json_content(received.headers()).map_err(|refusal| {
        refused::answer(thread, received, &Refused { refusal, rate: shopper.rate })
    })?;
    Ok(shopper)
}

fn body<T: DeserializeOwned>(received: &Received<'_>, form: &str) -> Result<T, Coded> {
    serde_json::from_slice(received.body())
        .map_err(|_| reply::problem_because(Code::InvalidRequest, form))
}

fn query(received: &Received<'_>) -> Result<RoomQuery, Coded> {
    serde_urlencoded::from_str(received.query()).map_err(|_| {
        let form = "the query must be product=… , and for a draw may have number=…";
        reply::problem_because(Code::InvalidRequest, form)
    })
}

pub(super) fn bad_ticket(
    thread: &PublicThread,
    received: &Received<'_>,
    why: &'static str,
) -> Coded {
    trail::note(thread, received, RefusalKind::BadTicket, why);
    reply::problem_because(Code::TicketInvalid, why)
}

/// What everybody sees of a room, as one event.
pub(super) fn frame(
    shared: &crate::http::Shared,
    product: &crate::sale::ProductId,
) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame {
        phase: &'static str,
        stock: &'static str,
        opens_at: u64,
        head: u32,
        places: u32,
        wait_seconds: Option<u64>,
    }
    let sale = super::sale(shared, product)?;
    let view = shared.room.lobby.view(product, sale.supply.opened);
    let frame = Frame {
        phase: view.phase,
        stock: sale.stock,
        opens_at: sale.opens_at_ms,
        head: view.head,
        places: view.places,
        wait_seconds: view.wait_seconds,
    };
    serde_json::to_vec(&frame).ok().map(Bytes::from)
}
