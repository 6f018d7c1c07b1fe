//! `/admin/allows` and `/admin/score`: who is excused from the bot score, and that it is off, on all nodes, from
//! the moment the record is applied. How an operator lifts a false positive.
//!
//! Whom it is about becomes a pseudonym here, as with blocks.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::auth::Caller;
use super::blocks::{BlockView, Target, parse_id, read_set};
use super::call::{answer, parse};
use super::control::{check_reason, check_until, log_time_ms, required_operation, say, word};
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::Ignored;
use crate::sale::control::{BlockTarget, ControlChange, ScoreOff};

/// Everybody who is excused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Allows {
    allows: Vec<BlockView>,
}

/// What a change came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AllowChanged {
    /// `applied` or `ignored`.
    status: &'static str,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    /// The pseudonym.
    id: String,
    /// As it stands; `null` if it does not.
    allow: Option<BlockView>,
}

/// `POST /admin/score/off`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnOff {
    /// Until when, Unix milliseconds.
    until: u64,
    /// Why. Kept in clear: without personal data.
    reason: String,
}

/// Whether orders of shoppers are scored.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ScoreState {
    /// What a change came to: `applied` or `ignored`.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    /// As configured on this node.
    configured: bool,
    /// As it holds on this node.
    enabled: bool,
    /// That an operator has turned it off; `null` if none has.
    off: Option<OffView>,
}

/// That an operator has turned it off.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OffView {
    /// Until when, Unix milliseconds.
    until: u64,
    reason: String,
    /// Who turned it off.
    by: String,
    /// When, Unix milliseconds.
    at: u64,
}

/// Those who are excused.
pub async fn list(State(operator): State<Arc<Operator>>) -> Coded {
    let control = operator.shared.applied().control();
    let allows = control.allows(log_time_ms(&operator)).map(BlockView::of).collect();
    reply::json_value(Code::Ok, &Allows { allows })
}

/// Excuses somebody.
pub async fn set(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let (target, until_ms, reason) = read_set(&operator, &body)?;
        let change = ControlChange::AllowSet { target, until_ms, reason };
        let ignored = say(&operator, &caller, operation, change).await?;
        Ok(changed(&operator, target, ignored))
    })
    .await
}

/// Scores somebody again, by whom it is.
pub async fn lift(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let target = parse::<Target>(&body)?.read(&operator)?;
        lift_target(&operator, &caller, &headers, target).await
    })
    .await
}

/// Scores somebody again, by their pseudonym.
pub async fn lift_id(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Coded {
    answer(async { lift_target(&operator, &caller, &headers, parse_id(&id)?).await }).await
}

async fn lift_target(
    operator: &Operator,
    caller: &Caller,
    headers: &HeaderMap,
    target: BlockTarget,
) -> Result<Coded, Coded> {
    let operation = required_operation(headers)?;
    let change = ControlChange::AllowLifted { target };
    let ignored = say(operator, caller, operation, change).await?;
    Ok(changed(operator, target, ignored))
}

fn changed(operator: &Operator, target: BlockTarget, ignored: Option<Ignored>) -> Coded {
    let control = operator.shared.applied().control();
    let allow = control.allow(&target, log_time_ms(operator)).map(BlockView::of);
    let (status, id) = (word(ignored), target.to_string());
    reply::json_value(Code::Ok, &AllowChanged { status, reason: ignored, id, allow })
}

/// Whether orders are scored.
pub async fn score(State(operator): State<Arc<Operator>>) -> Coded {
    reply::json_value(Code::Ok, &score_state(&operator))
}

/// Turns the score off.
pub async fn score_off(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let TurnOff { until, reason } = parse(&body)?;
        check_until(&operator, until)?;
        check_reason(&reason, &[])?;
        let change = ControlChange::ScoreOff { until_ms: until, reason };
        let ignored = say(&operator, &caller, operation, change).await?;
        Ok(score_changed(&operator, ignored))
    })
    .await
}

/// Goes back to what is configured.
pub async fn score_on(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let ignored = say(&operator, &caller, operation, ControlChange::ScoreOn {}).await?;
        Ok(score_changed(&operator, ignored))
    })
    .await
}

fn score_changed(operator: &Operator, ignored: Option<Ignored>) -> Coded {
    let status = Some(word(ignored));
    let state = ScoreState { status, reason: ignored, ..score_state(operator) };
    reply::json_value(Code::Ok, &state)
}

fn score_state(operator: &Operator) -> ScoreState {
    let control = operator.shared.applied().control();
    let off = control.score_off(log_time_ms(operator)).map(|off| {
        let ScoreOff { until_ms, reason, by, at_ms } = off.clone();
        OffView { until: until_ms, reason, by: by.to_string(), at: at_ms }
    });
    let configured = operator.shared.config.score.enabled;
    let enabled = configured && off.is_none();
    ScoreState { status: None, reason: None, configured, enabled, off }
}
