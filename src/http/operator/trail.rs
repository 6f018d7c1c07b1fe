//! What goes into the audit trail of operators' calls, and the trail for operators to read.
//!
//! A change is written down twice: what is to be done by whom, with the state before, which must be on the
//! disk before anything is done; and what came of it, with the state after. If the first cannot be written
//! nothing is changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Operator;
use super::call::without_echo;
use super::desk::NoOutcome;
use crate::audit::read::{self, Wanted};
use crate::audit::{Kind, NotRecorded, Noted, RefusalKind};
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::log::Decided;
use crate::sale::{OperatorName, ProductId, Record};

/// How long a pause waits for the audit trail.
const PAUSE_WAIT_MAX: Duration = Duration::from_millis(300);

/// The address at the other end of an operator's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Notes a call that was refused for its token or role.
pub fn denied(operator: &Operator, request: &Request, kind: RefusalKind, who: Option<&str>) {
    let source = request.extensions().get::<Peer>().map(|peer| peer.0);
    operator.recorder.refusal(kind, source, || Noted {
        at_ms: operator.shared.clock.unix_ms(),
        fingerprint: None,
        call: "operator",
        detail: "",
        who: who.map(Into::into),
        score: None,
    });
}

/// A change that an operator makes. No personal data is in it: people are pseudonyms.
#[derive(Debug)]
pub struct Change<'a> {
    /// Who: the name of the token.
    pub who: OperatorName,
    /// Under which key of the log: a product, or [`ProductId::CONTROL`].
    pub key: ProductId,
    /// What: the record.
    pub record: &'a Record,
    /// Why, where the change says so.
    pub why: Option<&'a str>,
}

/// Writes down what an operator is about to do, and how that which it is about stands `before`.
///
/// # Errors
/// The answer to give if it cannot be written: nothing may be done then. Only a pause is let through all the
/// same, for stopping must always work.
pub async fn intend(operator: &Operator, change: &Change<'_>, before: Value) -> Result<(), Coded> {
    let fields = json!({
        "who": change.who,
        "what": change.record.kind(),
        "product": change.key,
        "why": change.why,
        "record": serde_json::from_slice::<Value>(&change.record.encode()).unwrap_or_default(),
        "before": before,
    });
    let is_pause = matches!(change.record, Record::SalePaused { .. });
    let written = record(operator, is_pause, Kind::OperatorAction, fields).await;
    let Err(error) = written else { return Ok(()) };
    if is_pause {
        tracing::error!(%error, operator = %change.who, "a pause is made without the audit trail");
        return Ok(());
    }
    tracing::error!(%error, operator = %change.who, "an operator's change is refused");
    let detail = "the audit trail cannot be written, so nothing was changed";
    Err(reply::problem_because(Code::AuditUnavailable, detail))
}

/// Writes down what an operator is about to change of a product's waiting room, which no record of the log holds.
///
/// # Errors
/// The answer to give if it cannot be written: nothing may be done then.
pub async fn intend_room(
    operator: &Operator,
    who: OperatorName,
    product: &ProductId,
    change: Value,
    before: Value,
) -> Result<(), Coded> {
    let fields = json!({
        "who": who,
        "what": "waiting_room",
        "product": product,
        "why": null,
        "record": change,
        "before": before,
    });
    record(operator, false, Kind::OperatorAction, fields).await.map_err(|error| {
        tracing::error!(%error, operator = %who, "an operator's change is refused");
        let detail = "the audit trail cannot be written, so nothing was changed";
        reply::problem_because(Code::AuditUnavailable, detail)
    })
}

/// Writes a line, and shows it on the console. A disk that hangs must not keep a sale going, nor keep whoever has stopped it in doubt: the lines
/// of a pause are written when they can be.
pub(super) async fn record(
    operator: &Operator,
    is_pause: bool,
    kind: Kind,
    fields: Value,
) -> Result<(), NotRecorded> {
    operator.console.recent.take(operator.shared.clock.unix_ms(), kind, &fields);
    let written = operator.shared.audit.record(kind, fields);
    match is_pause {
        true => tokio::time::timeout(PAUSE_WAIT_MAX, written).await.unwrap_or(Err(NotRecorded)),
        false => written.await,
    }
}

/// Writes down what came of it, and how it stands `after`. What is done is done: that it cannot be written
/// is told in the log.
pub async fn came_to(
    operator: &Operator,
    change: &Change<'_>,
    result: &Result<Decided, NoOutcome>,
    after: Value,
) {
    let (outcome, offset) = match result {
        Ok(decided) => (decided.outcome.name(), Some(decided.offset)),
        Err(NoOutcome::NotWritten) => ("not_written", None),
        Err(NoOutcome::NotSigned) => ("not_signed", None),
        Err(NoOutcome::Unknown) => ("unknown", None),
    };
    let fields = json!({
        "who": change.who,
        "what": change.record.kind(),
        "product": change.key,
        "outcome": outcome,
        "offset": offset,
        "after": after,
    });
    let is_pause = matches!(change.record, Record::SalePaused { .. });
    if let Err(error) = record(operator, is_pause, Kind::OperatorResult, fields).await {
        tracing::error!(%error, operator = %change.who, "what came of a change is not in the trail");
    }
}

/// `GET /admin/audit/head`: a signed head as of now, to be kept elsewhere.
pub async fn head(State(operator): State<Arc<Operator>>) -> Coded {
    match operator.shared.audit.head().await {
        Ok(line) => reply::json(Code::Ok, line),
        Err(_) => reply::problem_because(Code::AuditUnavailable, "no head can be written"),
    }
}

/// `GET /admin/audit`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    kind: Option<String>,
}

/// A page of the trail, in its order. `next` is the `after` of the next page, `null` at the end.
pub async fn page(
    State(operator): State<Arc<Operator>>,
    query: Result<Query<PageQuery>, axum::extract::rejection::QueryRejection>,
) -> Coded {
    let PageQuery { after, limit, kind } = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            let detail = rejection.body_text();
            return reply::problem_because(Code::InvalidRequest, without_echo(&detail));
        }
    };
    if kind.as_deref().is_some_and(|kind| Kind::of(kind).is_none()) {
        return reply::problem_because(Code::InvalidRequest, "there is no such kind of event");
    }
    let files = operator.shared.audit.files().to_owned();
    let wanted = Wanted { after, kind, ..Wanted::default() };
    let limit = limit.unwrap_or(read::PAGE_LINES_MAX);
    // Files are read on a thread of their own: the listener has one for everybody.
    let page = tokio::task::spawn_blocking(move || read::page(&files, &wanted, limit)).await;
    match page {
        Ok(Ok(page)) => {
            let next = match page.at_end {
                true => "null".to_owned(),
                false => page.next.to_string(),
            };
            let events = page.lines.join(",");
            reply::json(Code::Ok, format!(r#"{{"events":[{events}],"next":{next}}}"#))
        }
        _ => reply::problem_because(Code::AuditUnavailable, "the audit trail cannot be read"),
    }
}
