//! Waiting rooms: their page, its calls, its events, and the clock that lets shoppers in.
//!
//! - [`calls`]: ticket, standing, admission, the draw's data, as JSON;
//! - [`events`]: server-sent events, one frame for all who look at a product;
//! - [`page`]: the page and its files; [`form`]: the same for browsers without scripts; [`look`]: texts and brand.
//!
//! A room is asked for a product that there is and that has one ([`Doors`]); its queue is in the [`Lobby`]: in this
//! node's memory, or in Redis, for all nodes.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName, HeaderValue, LOCATION};
use tokio::time::MissedTickBehavior;

use super::code::Code;
use super::public::{PublicThread, Received, other_method};
use super::reply::{self, Coded};
use super::shared::Shared;
use crate::config;
use crate::keys::IdentityKeys;
use crate::lobby::{Lobby, Stock};
use crate::place_order::{Answer, Attempt};
use crate::room::{Doors, Supply};
use crate::sale::{ProductId, SaleState, SaleStatus};

pub mod calls;
pub mod events;
pub mod form;
pub mod look;
pub mod page;

pub use look::{Look, LookError};

/// How often shoppers are let in, in milliseconds.
const TICK_MS: u64 = 100;
/// Of so many ticks one sends what has changed to those who look.
const FRAME_TICKS: u64 = 10;

static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The waiting rooms of a node.
pub struct Service {
    /// The queues.
    pub lobby: Lobby,
    /// Who looks.
    pub hub: events::Hub,
    /// How the page looks.
    pub look: Look,
    poll_seconds: u64,
}

impl Service {
    /// No room is open yet.
    ///
    /// # Errors
    /// If the texts or the logo cannot be used.
    pub fn new(
        config: &config::Config,
        identity: Arc<IdentityKeys>,
        doors: Arc<Doors>,
    ) -> Result<Self, LookError> {
        let lobby = Lobby::new(config, identity, doors);
        let config = &config.room;
        Ok(Self {
            lobby,
            hub: events::Hub::new(config.viewers_max, config.viewers_per_ip_max),
            look: Look::load(config)?,
            poll_seconds: config.poll_seconds,
        })
    }
}

/// Where a product's room is.
pub fn url(product: &ProductId) -> String {
    format!("/waiting-room?product={product}")
}

/// The calls of the room, by what follows `/waiting-room`.
pub async fn route(
    thread: &PublicThread,
    received: &Received<'_>,
    method: &str,
    rest: &[&str],
) -> Coded {
    match (method, rest) {
        ("GET", []) => page::show(thread, received).await.not_stored(),
        ("POST", ["ticket"]) => calls::ticket(thread, received).await.not_stored(),
        ("GET", ["state"]) => calls::state(thread, received).await.not_stored(),
        ("POST", ["admission"]) => calls::admission(thread, received).await.not_stored(),
        ("GET", ["events"]) => events::stream(thread, received),
        ("GET", ["draw"]) => calls::draw(thread, received).not_stored(),
        ("GET", ["entrants"]) => calls::entrants(thread, received).not_stored(),
        ("POST", ["enter"]) => form::enter(thread, received).await.not_stored(),
        ("POST", ["buy"]) => form::buy(thread, received).await.not_stored(),
        (_, ["ticket" | "admission" | "enter" | "buy"]) => other_method(thread, "POST"),
        ("GET", [file]) => match thread.shared.room.look.file(file) {
            Some(file) => page::file(file),
            None => thread.prepared.problem(Code::NotFound),
        },
        (_, [] | ["state" | "events" | "draw" | "entrants"]) => other_method(thread, "GET"),
        _ => thread.prepared.problem(Code::NotFound),
    }
}

/// The product that a query names, which has a room, and how its sale stands.
fn product(thread: &PublicThread, text: &str) -> Result<(ProductId, Sale), Coded> {
    let product = text.parse::<ProductId>().ok();
    let sale = product.and_then(|product| Some((product, sale(&thread.shared, &product)?)));
    let Some((product, sale)) = sale else {
        return Err(thread.prepared.problem(Code::UnknownProduct));
    };
    if thread.shared.room.lobby.doors().has_room(&product) {
        Ok((product, sale))
    } else {
        Err(thread.prepared.problem(Code::NoRoom))
    }
}

/// How a sale stands, for its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// For the queue.
    pub supply: Supply,
    /// As of which offset of its log.
    pub offset: u64,
    /// For shoppers: `open`, `low`, `sold_out`, `not_open`, `paused` or `closed`.
    pub stock: &'static str,
    /// When it opens, Unix milliseconds.
    pub opens_at_ms: u64,
}

impl Sale {
    fn stock(&self) -> Stock {
        Stock { supply: self.supply, offset: self.offset }
    }
}

/// How this sale stands; `None` if there is none.
pub fn sale(shared: &Shared, product: &ProductId) -> Option<Sale> {
    let now_ms = shared.log_time().likely_ms;
    shared.applied().with_state(product, |state| sale_of(state, now_ms))
}

fn sale_of(state: &SaleState, now_ms: u64) -> Sale {
    let status = state.status(now_ms);
    Sale {
        supply: Supply {
            opened: status != SaleStatus::NotOpen,
            selling: status == SaleStatus::Open,
            units_left: state.remaining(),
        },
        offset: state.applied_offset(),
        stock: super::products::status(state, now_ms),
        opens_at_ms: state.terms().opens_at_ms,
    }
}

/// Notes what came of an attempt: an order, or that the buyer can have none, uses an admission up.
pub async fn settled(thread: &PublicThread, attempt: &Attempt, answer: &Answer) {
    let rooms = &thread.shared.room.lobby;
    let used = matches!(answer, Answer::Accepted | Answer::Duplicate(_) | Answer::LimitReached);
    if used
        && rooms.doors().has_room(&attempt.product)
        && let Some(sale) = sale(&thread.shared, &attempt.product)
    {
        let gate = thread.node.gate();
        Box::pin(rooms.spend(gate, &attempt.product, &attempt.buyer, sale.stock())).await;
    }
}

/// Whether a browser asks in order to show what it gets.
pub fn is_page_load(headers: &HeaderMap) -> bool {
    match headers.get(&SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html"))),
    }
}

/// Sends a browser elsewhere.
pub fn redirect(code: Code, to: &str) -> Coded {
    let to =
        HeaderValue::try_from(to).unwrap_or_else(|_| HeaderValue::from_static("/waiting-room"));
    reply::empty(code, code.meaning().status).with(LOCATION, to)
}

/// Lets shoppers in and tells those who look, until the program stops.
pub async fn run(shared: Arc<Shared>) {
    let gate = shared.gate.handle();
    let mut interval = tokio::time::interval(Duration::from_millis(TICK_MS));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        interval.tick().await;
        if shared.is_stopping() {
            return shared.room.hub.close();
        }
        let stock = |product: &ProductId| sale(&shared, product).map(|sale| sale.stock());
        let now_ms = shared.log_time().likely_ms;
        // Whether somebody has entered a room at another node is looked up once a second.
        let all = tick.is_multiple_of(FRAME_TICKS) && shared.config.is_distributed();
        let all = if all { shared.applied().products() } else { Vec::new() };
        shared.room.lobby.tick(&gate, now_ms, all.into_iter(), stock).await;
        if tick.is_multiple_of(FRAME_TICKS) {
            events::send(&shared);
        }
    }
}
