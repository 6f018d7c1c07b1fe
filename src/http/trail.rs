//! What goes into the audit trail of public calls: refusals, and what the shop has reversed.
//!
//! Of a refusal only what we know ourselves: the kind, the call and the reason out of fixed lists; the address and the
//! fingerprint, which become pseudonyms on the trail's own thread, and only for the few that are kept.

use serde_json::json;

use super::public::{PublicThread, Received};
use crate::audit::event::FINGERPRINT_BYTES_MAX;
use crate::audit::{Kind, Noted, RefusalKind, Scored};
use crate::guard::headers::X_DEVICE_FINGERPRINT;
use crate::guard::score::Score;
use crate::guard::{Forbidden, Refusal};
use crate::log::Decided;
use crate::sale::{OrderId, ProductId};

/// Notes a refusal of the guard.
pub fn refusal(thread: &PublicThread, received: &Received<'_>, refusal: &Refusal) {
    let (kind, detail) = meaning(refusal);
    let score = match refusal {
        Refusal::ChallengeRequired(asked) => Some(asked.score),
        Refusal::ScoreRefused(score) => Some(*score),
        _ => None,
    };
    scored(thread, received, kind, detail, score);
}

/// Notes a request that was refused or is worth a line for another reason.
pub fn note(
    thread: &PublicThread,
    received: &Received<'_>,
    kind: RefusalKind,
    detail: &'static str,
) {
    scored(thread, received, kind, detail, None);
}

/// The same with the bot score behind it, so that an operator can see why.
pub fn scored(
    thread: &PublicThread,
    received: &Received<'_>,
    kind: RefusalKind,
    detail: &'static str,
    score: Option<Score>,
) {
    let view = received.view();
    let source = thread.shared.guard.client_ip(&view);
    thread.recorder.refusal(kind, Some(source), || {
        let fingerprint = view.headers.get(&X_DEVICE_FINGERPRINT).map(|value| {
            let bytes = value.as_bytes();
            bytes[..bytes.len().min(FINGERPRINT_BYTES_MAX)].into()
        });
        let at_ms = thread.now().unix_ms;
        let score = score.map(|Score { points, reasons }| Scored {
            points,
            reasons: reasons.iter().map(|reason| reason.word()).collect(),
        });
        Noted { at_ms, fingerprint, call: call(view.target), detail, who: None, score }
    });
}

/// A reversal that an API client of the shop asked for.
pub struct Reversal<'a> {
    /// Which client.
    pub client: &'a str,
    /// Of what.
    pub product: ProductId,
    /// Which order.
    pub order_id: OrderId,
    /// Whether its unit is sold again.
    pub restock: bool,
}

/// Notes a reversal that is in the log. What is done is done: that it cannot be noted is told in the log file.
pub async fn reversal(thread: &PublicThread, what: Reversal<'_>, decided: &Decided) {
    let fields = json!({
        "client": what.client,
        "product": what.product,
        "order": what.order_id.to_string(),
        "restock": what.restock,
        "outcome": decided.outcome.name(),
        "offset": decided.offset,
    });
    if let Err(error) = thread.shared.audit.record(Kind::ClientReversal, fields).await {
        tracing::error!(%error, client = what.client, "a shop's reversal is not in the audit trail");
    }
}

fn meaning(refusal: &Refusal) -> (RefusalKind, &'static str) {
    match refusal {
        Refusal::Blocked => (RefusalKind::Blocked, ""),
        Refusal::TooManyRequests { .. } => (RefusalKind::TooManyRequests, ""),
        Refusal::Unauthenticated(why) => (RefusalKind::Unauthenticated, why),
        Refusal::RequestExpired { .. } => (RefusalKind::RequestExpired, ""),
        Refusal::InvalidSignature => (RefusalKind::InvalidSignature, ""),
        Refusal::MissingIdempotencyKey(_) => (RefusalKind::BadRequest, "idempotency key"),
        Refusal::UnsupportedMediaType => (RefusalKind::BadRequest, "media type"),
        Refusal::InvalidRequest(_) => (RefusalKind::BadRequest, "body"),
        Refusal::Forbidden(Forbidden::OtherUser) => (RefusalKind::UserMismatch, ""),
        Refusal::Forbidden(Forbidden::UserBlocked) => (RefusalKind::UserBlocked, ""),
        Refusal::Forbidden(Forbidden::MissingRole(_)) => (RefusalKind::MissingRole, ""),
        Refusal::NotAdmitted(_) => (RefusalKind::NotAdmitted, ""),
        Refusal::SlowDown { .. } => (RefusalKind::SlowDown, ""),
        Refusal::ChallengeRequired(asked) => (RefusalKind::ChallengeRequired, asked.fault.word()),
        Refusal::ScoreRefused(_) => (RefusalKind::ScoreRefused, ""),
    }
}

/// The call out of the list of those that there are: a path may hold anything.
fn call(target: &str) -> &'static str {
    const CALLS: [&str; 9] = [
        "/order",
        "/session",
        "/orders",
        "/products",
        "/challenge",
        "/openapi.json",
        "/docs",
        "/.well-known",
        "/waiting-room",
    ];
    let path = target.split('?').next().unwrap_or_default();
    let first = path.get(1..).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    CALLS.into_iter().find(|call| call[1..] == *first).unwrap_or("other")
}
