//! Orders from outside: placing one, looking at one's own, the shop's feed, and cancelling.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};

use super::challenge;
use super::code::Code;
use super::operator::desk::DECISION_WAIT_MAX;
use super::operator::handlers::reversed;
use super::public::{PublicThread, Received};
use super::reply::{self, Coded, Particulars};
use super::sighting::Watch;
use super::trail;
use super::{refused, room};
use crate::audit::RefusalKind;
use crate::config::ClientRole;
use crate::guard::{Caller, CallerKind, Now, OrderRequest, RateStatus};
use crate::ledger::{self, EventKind, LedgerError, Lookup};
use crate::log::{Append, NotAppended};
use crate::place_order::{Answer, Attempt, place_order};
use crate::sale::{BuyerRef, Duplicate, DuplicateReason, OrderId, OrderStatus, Record};
use crate::trace;

/// Longest time that a feed call waits for something new, in seconds.
pub const FEED_WAIT_SECONDS_MAX: u64 = 30;
/// Most events of one feed call.
pub const FEED_EVENTS_MAX: usize = 1_000;
/// The most that a "busy" answer asks for, in seconds; the least is 1.
const BUSY_RETRY_SECONDS_MAX: u64 = 3;

/// `POST /order`.
pub async fn place(thread: &Rc<PublicThread>, received: &Received<'_>) -> Coded {
    let now = thread.now();
    let mut watch = Watch::new(thread, received, now.unix_ms);
    let coded = attempt(thread, received, now, &mut watch).await;
    watch.answered(coded.code);
    let took_us = thread.node.clock().monotonic_us().saturating_sub(now.monotonic_us);
    thread.counters.order(coded.code, took_us);
    coded
}

async fn attempt(
    thread: &Rc<PublicThread>,
    received: &Received<'_>,
    now: Now,
    watch: &mut Watch<'_>,
) -> Coded {
    let passed = {
        let _step = trace::step("guard");
        let passes = &mut thread.passes.borrow_mut();
        thread.shared.guard.order(passes, &received.view(), now)
    };
    let order = match passed {
        Ok(order) => order,
        Err(refused) => return refused::answer(thread, received, &refused),
    };
    watch.passed(&order);
    if let Err(asked) = challenge::settle(thread, received, &order, now).await {
        return asked;
    }
    let attempt = Attempt::from(&order);
    let answer = place_order(&thread.node, &attempt).await;
    let _step = trace::step("answer");
    // A product that is not there is whatever its caller has written.
    if answer != Answer::UnknownProduct {
        trace::note("flux_gate.product", || trace::span::Value::Id(attempt.product.to_string()));
        trace::note("flux_gate.order_id", || trace::span::Value::Id(attempt.order_id.to_string()));
    }
    room::settled(thread, &attempt, &answer).await;
    let coded = match answer {
        Answer::OverRate { retry_after_us } => {
            over_rate(thread, received, &attempt, retry_after_us)
        }
        Answer::Closed => Box::pin(closed(thread, &attempt)).await,
        answer => {
            if matches!(&answer, Answer::Duplicate(d) if d.reason == DuplicateReason::SameKey) {
                trail::note(thread, received, RefusalKind::Repeated, "");
            }
            if matches!(answer, Answer::NotOpen { .. }) && order.caller_kind == CallerKind::Shopper
            {
                thread.shared.guard.was_early(&order.buyer, now);
            }
            write(thread, attempt.order_id, answer)
        }
    };
    thread.prepared.with_rate(coded, order.rate.as_ref())
}

impl From<&OrderRequest> for Attempt {
    fn from(order: &OrderRequest) -> Self {
        let OrderRequest { product, buyer, user, order_id, origin, .. } = *order;
        Self { product, buyer, user, order_id, origin }
    }
}

/// Over the product's rate: who can wait is told where.
fn over_rate(
    thread: &PublicThread,
    received: &Received<'_>,
    attempt: &Attempt,
    retry_after_us: u64,
) -> Coded {
    if !thread.shared.room.lobby.doors().has_room(&attempt.product) {
        return write(thread, attempt.order_id, Answer::OverRate { retry_after_us });
    }
    let room = room::url(&attempt.product);
    if room::is_page_load(received.headers()) {
        return room::redirect(Code::ToRoom, &room);
    }
    let particulars = Particulars { waiting_room: Some(room), ..Particulars::default() };
    reply::problem(Code::OverRate, &particulars).retry_after_us(retry_after_us)
}

/// A sale that is over: an archived one has its repeats in the ledger alone.
async fn closed(thread: &PublicThread, attempt: &Attempt) -> Coded {
    let archived = thread.node.applied().with_state(&attempt.product, |state| state.archived());
    if archived == Some(true) {
        match thread.shared.ledger.archived_order(attempt.order_id).await {
            Ok(Lookup::Found(row)) => {
                return duplicate(&Duplicate {
                    order_id: row.order_id,
                    reason: DuplicateReason::SameKey,
                    reversed: row.status == OrderStatus::Reversed,
                });
            }
            Ok(Lookup::Absent) => {}
            Ok(Lookup::NotYet) => return not_yet(thread),
            Err(error) => return ledger_unavailable(thread, &error),
        }
    }
    write(thread, attempt.order_id, Answer::Closed)
}

fn write(thread: &PublicThread, order_id: OrderId, answer: Answer) -> Coded {
    match answer {
        Answer::Accepted => reply::json(Code::Accepted, accepted(thread, order_id)),
        Answer::Duplicate(repeated) => duplicate(&repeated),
        Answer::Pending => reply::json(
            Code::Pending,
            format!(r#"{{"status":"pending","orderId":"{order_id}"}}"#),
        )
        .with(LOCATION, location(order_id)),
        Answer::SoldOut => reply::json(
            Code::SoldOut,
            &br#"{"status":"sold_out","msg":"Inventory empty"}"#[..],
        ),
        Answer::LimitReached => reply::json(
            Code::LimitReached,
            &br#"{"status":"limit_reached","msg":"You already have as many as one buyer may have"}"#[..],
        ),
        Answer::NotOpen { opens_at_ms } => reply::json(
            Code::NotOpen,
            format!(r#"{{"status":"not_open","opensAt":{opens_at_ms}}}"#),
        ),
        Answer::Closed => reply::json(Code::Closed, &br#"{"status":"closed"}"#[..]),
        Answer::Paused => reply::json(Code::Paused, &br#"{"status":"paused"}"#[..]),
        Answer::UnknownProduct => thread.prepared.problem(Code::UnknownProduct),
        Answer::Busy => busy(thread, Code::Busy, order_id),
        Answer::LogBehind => busy(thread, Code::LogBehind, order_id),
        Answer::OtherKeys => busy(thread, Code::OtherKeys, order_id),
        Answer::OverRate { retry_after_us } => {
            thread.prepared.problem(Code::OverRate).retry_after_us(retry_after_us)
        }
        Answer::OutcomeUnknown => reply::problem(
            Code::OutcomeUnknown,
            &Particulars {
                detail: Some("retry with the same Idempotency-Key to settle it"),
                order_id: Some(order_id.to_string()),
                ..Particulars::default()
            },
        )
        .retry_after_us(1_000_000),
    }
}

/// The receipt of an order that has just been accepted.
pub(super) fn receipt(thread: &PublicThread, order_id: &OrderId) -> Option<String> {
    let receipts = thread.shared.receipts.as_ref()?;
    receipts.receipt(order_id).map(|receipt| receipt.to_string())
}

fn accepted(thread: &PublicThread, order_id: OrderId) -> String {
    match receipt(thread, &order_id) {
        Some(receipt) => format!(
            r#"{{"status":"success","msg":"Order accepted","orderId":"{order_id}","receipt":"{receipt}"}}"#
        ),
        None => format!(r#"{{"status":"success","msg":"Order accepted","orderId":"{order_id}"}}"#),
    }
}

/// Spreads the retries of a crowd: the order id is as good as random, and the same for the same attempt.
fn busy(thread: &PublicThread, code: Code, order_id: OrderId) -> Coded {
    let seconds = 1 + u64::from(order_id.as_bytes()[15]) % BUSY_RETRY_SECONDS_MAX;
    thread.prepared.problem(code).retry_after_us(seconds * 1_000_000)
}

fn duplicate(repeated: &Duplicate) -> Coded {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Ignored {
        status: &'static str,
        msg: &'static str,
        order_id: String,
        reason: DuplicateReason,
        #[serde(skip_serializing_if = "Option::is_none")]
        order_status: Option<&'static str>,
    }
    let body = Ignored {
        status: "ignored",
        msg: "Duplicate request",
        order_id: repeated.order_id.to_string(),
        reason: repeated.reason,
        order_status: repeated.reversed.then_some(OrderStatus::Reversed.word()),
    };
    reply::json_value(Code::Duplicate, &body).replayed()
}

fn location(order_id: OrderId) -> HeaderValue {
    HeaderValue::try_from(format!("/orders/{order_id}"))
        .unwrap_or_else(|_| HeaderValue::from_static("/orders"))
}

fn ledger_unavailable(thread: &PublicThread, error: &LedgerError) -> Coded {
    tracing::error!(%error, "the ledger cannot be read");
    thread.prepared.problem(Code::LedgerUnavailable).retry_after_us(1_000_000)
}

/// An archive is still being indexed.
fn not_yet(thread: &PublicThread) -> Coded {
    thread.prepared.problem(Code::LedgerUnavailable).retry_after_us(3_000_000)
}

fn caller(thread: &PublicThread, received: &Received<'_>) -> Result<Caller, Coded> {
    let passes = &mut thread.passes.borrow_mut();
    thread
        .shared
        .guard
        .caller(passes, &received.view(), thread.now())
        .map_err(|refused| refused::answer(thread, received, &refused))
}

/// The id of the API client that calls, which has the role, and the rate that it counted against.
fn fulfilment(
    thread: &PublicThread,
    received: &Received<'_>,
) -> Result<(Arc<str>, Option<RateStatus>), Coded> {
    match caller(thread, received)? {
        Caller::Client { id, roles, rate } if roles.has(ClientRole::Fulfilment) => Ok((id, rate)),
        other => {
            trail::note(thread, received, RefusalKind::MissingRole, "fulfilment");
            let why = "this call is for an API client with the role fulfilment";
            let refusal = reply::problem_because(Code::Forbidden, why);
            Err(thread.prepared.with_rate(refusal, other.rate()))
        }
    }
}

/// `GET /orders/{id}`: one's own order. Another's is as unknown as one that never was.
pub async fn show(thread: &Rc<PublicThread>, received: &Received<'_>, id: &str) -> Coded {
    let caller = match caller(thread, received) {
        Ok(caller) => caller,
        Err(refusal) => return refusal,
    };
    let shown = shown(thread, &caller, id).await;
    thread.prepared.with_rate(shown, caller.rate())
}

async fn shown(thread: &PublicThread, caller: &Caller, id: &str) -> Coded {
    let Ok(order_id) = id.parse::<OrderId>() else {
        return unknown(id);
    };
    let found = match thread.node.applied().find_order(&order_id) {
        Some((product, order)) => Some((product, order.buyer, order.status)),
        None => match thread.shared.ledger.archived_order(order_id).await {
            Ok(Lookup::Found(row)) => Some((row.product, row.buyer, row.status)),
            Ok(Lookup::Absent) => None,
            Ok(Lookup::NotYet) => return not_yet(thread),
            Err(error) => return ledger_unavailable(thread, &error),
        },
    };
    match found {
        Some((product, buyer, status)) if may_see(caller, buyer) => reply::json_value(
            Code::Ok,
            &serde_json::json!({
                "status": status.word(), "orderId": id, "productId": product,
            }),
        ),
        // To this node all its buyers are strangers.
        Some((product, ..)) if !thread.shared.has_keys_of(&product) => {
            thread.prepared.problem(Code::OtherKeys).retry_after_us(1_000_000)
        }
        Some(_) => unknown(id),
        None if is_undecided(thread, caller) => {
            reply::json_value(Code::Ok, &serde_json::json!({ "status": "pending", "orderId": id }))
        }
        None if !thread.shared.log_in_sight() => {
            thread.prepared.problem(Code::LogBehind).retry_after_us(1_000_000)
        }
        None => unknown(id),
    }
}

fn unknown(id: &str) -> Coded {
    let order_id = id.parse::<OrderId>().ok().map(|id| id.to_string());
    reply::json_value(
        Code::UnknownOrder,
        &serde_json::json!({ "status": "unknown", "orderId": order_id }),
    )
}

fn may_see(caller: &Caller, buyer: BuyerRef) -> bool {
    match caller {
        Caller::Shopper { buyer: own, .. } => *own == buyer,
        Caller::Client { roles, .. } => {
            roles.has(ClientRole::Order) || roles.has(ClientRole::Fulfilment)
        }
    }
}

/// Whether the shopper has an attempt that the log has not decided.
fn is_undecided(thread: &PublicThread, caller: &Caller) -> bool {
    match caller {
        Caller::Shopper { buyer, .. } => thread.shared.gate.is_pending(buyer),
        Caller::Client { .. } => false,
    }
}

/// How often a ledger that follows the log is asked for news.
const FEED_POLL: Duration = Duration::from_millis(200);

/// `GET /orders?after=…&wait=…&limit=…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedQuery {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait: u64,
    limit: Option<usize>,
}

/// One event of the feed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `accepted` or `reversed`.
    #[serde(rename = "type")]
    kind: &'static str,
    order_id: String,
    product_id: String,
    /// The shop's own word for the buyer; `null` after an erasure.
    user_id: Option<String>,
    /// The offset of this event.
    offset: u64,
    /// Log time, Unix milliseconds.
    at: u64,
}

/// Events in log order, at least once: a shop that comes again with `next` sees what followed.
pub async fn feed(thread: &Rc<PublicThread>, received: &Received<'_>) -> Coded {
    let rate = match fulfilment(thread, received) {
        Ok((_client, rate)) => rate,
        Err(refusal) => return refusal,
    };
    let page = next_events(thread, received).await;
    thread.prepared.with_rate(page, rate.as_ref())
}

async fn next_events(thread: &PublicThread, received: &Received<'_>) -> Coded {
    let Ok(query) = serde_urlencoded::from_str::<FeedQuery>(received.query()) else {
        return reply::problem_because(
            Code::InvalidRequest,
            "the query takes after (an offset), wait (seconds) and limit",
        );
    };
    let limit = query.limit.unwrap_or(FEED_EVENTS_MAX).clamp(1, FEED_EVENTS_MAX);
    let wait = Duration::from_secs(query.wait.min(FEED_WAIT_SECONDS_MAX));
    let ends = tokio::time::sleep(wait);
    let mut ends = std::pin::pin!(ends);
    let mut after = query.after;
    loop {
        let batch = thread.node.log().next_batch();
        let page = match thread.shared.ledger.feed(after, limit).await {
            Ok(page) => page,
            Err(error) => return ledger_unavailable(thread, &error),
        };
        after = page.next;
        let waited = page.at_end && (ends.is_elapsed() || thread.shared.readiness().is_err());
        if !page.rows.is_empty() || waited {
            let events: Vec<Event> = page.rows.into_iter().map(Event::from).collect();
            let body = serde_json::json!({ "events": events, "next": after });
            return reply::json_value(Code::Ok, &body);
        }
        if page.at_end {
            // A ledger of its own follows the log by a little: the batch may reach it later.
            tokio::select! {
                () = batch, if !thread.shared.ledger.lags() => {}
                () = tokio::time::sleep(FEED_POLL), if thread.shared.ledger.lags() => {}
                () = &mut ends => {}
            }
        }
    }
}

impl From<ledger::Event> for Event {
    fn from(event: ledger::Event) -> Self {
        Self {
            kind: match event.kind {
                EventKind::Accepted => "accepted",
                EventKind::Reversed => "reversed",
            },
            order_id: event.order_id.to_string(),
            product_id: event.product.to_string(),
            user_id: event.user_id.map(|user| user.to_string()),
            offset: event.offset,
            at: event.at_ms,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    restock: bool,
}

/// `POST /orders/{id}/cancel`: a failed payment gives its unit back, and the buyer may try again.
pub async fn cancel(thread: &Rc<PublicThread>, received: &Received<'_>, id: &str) -> Coded {
    let (client, rate) = match fulfilment(thread, received) {
        Ok(client) => client,
        Err(refusal) => return refusal,
    };
    let cancelled = cancelled(thread, received, &client, id).await;
    thread.prepared.with_rate(cancelled, rate.as_ref())
}

async fn cancelled(
    thread: &PublicThread,
    received: &Received<'_>,
    client: &str,
    id: &str,
) -> Coded {
    let Ok(Cancel { restock }) = serde_json::from_slice(received.body()) else {
        return reply::problem_because(
            Code::InvalidRequest,
            r#"the body must be {"restock": true} or {"restock": false}"#,
        );
    };
    let found = id.parse().ok().and_then(|order_id| {
        thread.node.applied().find_order(&order_id).map(|(product, _)| (product, order_id))
    });
    let Some((product, order_id)) = found else {
        return unknown(id);
    };
    let record = Record::OrderReversed {
        order_id,
        restock,
        frees_limit: true,
        reason: "cancelled by the shop".to_owned(),
    };
    match thread.node.log().append(Append { product, record, subject: None, by: None }) {
        Err(NotAppended::NoOperatorKey) => reply::problem_because(
            Code::Forbidden,
            "this node cannot sign a reversal; send the call to a node that serves operators",
        ),
        Err(_not_appended) => busy(thread, Code::Busy, order_id),
        Ok(undecided) => match tokio::time::timeout(DECISION_WAIT_MAX, undecided).await {
            Ok(Ok(decided)) => {
                let what = trail::Reversal { client, product, order_id, restock };
                trail::reversal(thread, what, &decided).await;
                reversed(order_id, decided.outcome)
            }
            Ok(Err(_)) | Err(_) => write(thread, order_id, Answer::OutcomeUnknown),
        },
    }
}
