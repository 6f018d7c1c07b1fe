//! `/admin/limits`: the limits of the configuration, and others in their place for a time, on all nodes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::auth::Caller;
use super::call::{answer, invalid, parse};
use super::control::{check_reason, check_until, log_time_ms, required_operation, say, word};
use crate::config;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::Ignored;
use crate::sale::control::{ControlChange, Limit, LiveLimit};

/// Largest rate a second.
pub const RATE_PER_SECOND_MAX: u32 = config::schema::RATE_PER_SECOND_MAX as u32;
/// Longest least time between two requests of a buyer, in milliseconds.
pub const INTERVAL_MS_MAX: u32 = 60_000;

/// `POST /admin/limits`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// Its name in the configuration's section `limits`.
    #[schema(example = "ip_per_second")]
    limit: String,
    /// In the unit of its name; at least 1.
    #[schema(example = 2)]
    value: u32,
    /// How many may come at once; absent: as many as come in a second.
    burst: Option<u32>,
    /// Until when, Unix milliseconds.
    until: u64,
    /// Why. Kept in clear: without personal data.
    reason: String,
}

/// One limit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitView {
    limit: &'static str,
    /// Of the configuration; 0 is off.
    configured: u64,
    /// What holds now; 0 is off.
    effective: u64,
    /// What stands in the place of the configured one; `null` if nothing does.
    live: Option<Live>,
}

/// What stands in the place of a configured limit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Live {
    value: u32,
    /// How many may come at once; `null`: as many as come in a second.
    burst: Option<u32>,
    /// Unix milliseconds.
    until: u64,
    reason: String,
    /// Who set it.
    by: String,
    /// When, Unix milliseconds.
    at: u64,
}

/// All limits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Limits {
    limits: Vec<LimitView>,
}

/// What a change came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitChanged {
    /// `applied` or `ignored`.
    status: &'static str,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    limit: LimitView,
}

/// All limits, as they hold now.
pub async fn list(State(operator): State<Arc<Operator>>) -> Coded {
    let limits = Limit::ALL.into_iter().map(|limit| view(&operator, limit)).collect();
    reply::json_value(Code::Ok, &Limits { limits })
}

/// Puts a limit in the place of the configured one.
pub async fn set(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let SetLimit { limit, value, burst, until, reason } = parse(&body)?;
        let limit = parse_limit(&limit)?;
        check_until(&operator, until)?;
        check_reason(&reason, &[])?;
        check_value(limit, value, burst)?;
        let change = ControlChange::LimitSet { limit, value, burst, until_ms: until, reason };
        let ignored = say(&operator, &caller, operation, change).await?;
        Ok(changed(&operator, limit, ignored))
    })
    .await
}

/// Goes back to the configured limit.
pub async fn clear(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(limit): Path<String>,
    headers: HeaderMap,
) -> Coded {
    answer(async {
        let limit = parse_limit(&limit)?;
        let operation = required_operation(&headers)?;
        let change = ControlChange::LimitCleared { limit };
        let ignored = say(&operator, &caller, operation, change).await?;
        Ok(changed(&operator, limit, ignored))
    })
    .await
}

fn check_value(limit: Limit, value: u32, burst: Option<u32>) -> Result<(), Coded> {
    let most = if limit == Limit::MinIntervalMs { INTERVAL_MS_MAX } else { RATE_PER_SECOND_MAX };
    // 0 would be "off": whoever wants to stop a sale pauses it, and nobody takes a limit away by a slip.
    if !(1..=most).contains(&value) {
        let word = limit.word();
        return Err(invalid(&format!(
            "value of {word} must be 1 to {most}; DELETE /admin/limits/{word} goes back to the \
             configured one, and pausing a sale stops it"
        )));
    }
    match burst {
        Some(_) if limit == Limit::MinIntervalMs => Err(invalid("min_interval_ms has no burst")),
        Some(burst) if !(1..=RATE_PER_SECOND_MAX).contains(&burst) => {
            Err(invalid(&format!("burst must be 1 to {RATE_PER_SECOND_MAX}")))
        }
        _ => Ok(()),
    }
}

fn parse_limit(text: &str) -> Result<Limit, Coded> {
    text.parse().map_err(|_| {
        let words: Vec<_> = Limit::ALL.iter().map(|limit| limit.word()).collect();
        invalid(&format!("limit must be one of {}", words.join(", ")))
    })
}

fn changed(operator: &Operator, limit: Limit, ignored: Option<Ignored>) -> Coded {
    let (status, limit) = (word(ignored), view(operator, limit));
    reply::json_value(Code::Ok, &LimitChanged { status, reason: ignored, limit })
}

fn view(operator: &Operator, limit: Limit) -> LimitView {
    let control = operator.shared.applied().control();
    let live = control.limit(limit, log_time_ms(operator));
    let configured = configured(&operator.shared.config.limits, limit);
    LimitView {
        limit: limit.word(),
        configured,
        effective: live.map_or(configured, |live| live.value.into()),
        live: live.map(live_view),
    }
}

fn live_view(live: &LiveLimit) -> Live {
    Live {
        value: live.value,
        burst: live.burst,
        until: live.until_ms,
        reason: live.reason.clone(),
        by: live.by.to_string(),
        at: live.at_ms,
    }
}

fn configured(limits: &config::Limits, limit: Limit) -> u64 {
    match limit {
        Limit::NodePerSecond => limits.node_per_second.into(),
        Limit::ProductPerSecond => limits.product_per_second.into(),
        Limit::IpPerSecond => limits.ip_per_second.into(),
        Limit::FingerprintPerSecond => limits.fingerprint_per_second.into(),
        Limit::BuyerPerSecond => limits.buyer_per_second.into(),
        Limit::ClientPerSecond => limits.client_per_second.into(),
        Limit::MinIntervalMs => limits.min_interval_ms,
    }
}
