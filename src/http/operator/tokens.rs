//! `/admin/tokens`: operators' tokens, made and revoked while the gate runs, on all nodes.
//!
//! A token is 32 random bytes, shown once; only its SHA-256 is kept. Those of the configuration stay beside
//! them and can be changed there alone.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::auth::Caller;
use super::call::{answer, invalid, parse};
use super::control::{check_until, log_time_ms, required_operation, say, word};
use crate::chain::sha256;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::control::{ControlChange, TokenHash};
use crate::sale::{Ignored, OperatorName, OperatorRole};

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// `POST /admin/tokens`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Who: shown beside everything that they do.
    #[schema(example = "alice")]
    name: String,
    /// `viewer`, `operator` or `admin`.
    #[schema(value_type = String, example = "operator")]
    role: OperatorRole,
    /// Until when, Unix milliseconds; absent is until it is revoked.
    until: Option<u64>,
}

/// A token that was made. It is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
pub struct MadeToken {
    name: String,
    #[schema(value_type = String)]
    role: OperatorRole,
    until: Option<u64>,
    token: String,
}

/// A token, without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokenView {
    name: String,
    #[schema(value_type = String)]
    role: OperatorRole,
    /// Whether it is of the configuration.
    configured: bool,
    /// Until when, Unix milliseconds; `null` is until it is revoked.
    until: Option<u64>,
    /// Who made it; `null` for one of the configuration.
    by: Option<String>,
    /// When, Unix milliseconds.
    at: Option<u64>,
}

/// All tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokenList {
    tokens: Vec<TokenView>,
}

/// What revoking came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokenRevoked {
    /// `applied` or `ignored`.
    status: &'static str,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    name: String,
}

/// The names and roles of all tokens.
pub async fn list(State(operator): State<Arc<Operator>>) -> Coded {
    let configured = operator.tokens.iter().map(|Caller { name, role }| TokenView {
        name: name.to_string(),
        role,
        configured: true,
        until: None,
        by: None,
        at: None,
    });
    let control = operator.shared.applied().control();
    let live = control.tokens(log_time_ms(&operator)).map(|token| TokenView {
        name: token.name.to_string(),
        role: token.role,
        configured: false,
        until: token.until_ms,
        by: Some(token.by.to_string()),
        at: Some(token.at_ms),
    });
    reply::json_value(Code::Ok, &TokenList { tokens: configured.chain(live).collect() })
}

/// Makes a token and shows it once.
pub async fn add(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let NewToken { name, role, until } = parse(&body)?;
        let name = parse_name(&name)?;
        until.map_or(Ok(()), |until| check_until(&operator, until))?;
        if is_configured(&operator, &name) {
            return Err(reply::problem_because(Code::Conflict, "the configuration has this name"));
        }
        let mut random = [0; TOKEN_BYTES];
        (operator.shared.random)(&mut random);
        let token = hex::encode(random);
        let sha256 = TokenHash(sha256(token.as_bytes()));
        let change = ControlChange::TokenAdded { name, role, sha256, until_ms: until };
        if say(&operator, &caller, operation, change).await?.is_some() {
            let detail = "this Idempotency-Key has been used; a token is shown once: if it is lost, \
                          revoke it and make another";
            return Err(reply::problem_because(Code::Conflict, detail));
        }
        let made = MadeToken { name: name.to_string(), role, until, token };
        Ok(reply::json_value(Code::Created, &made).not_stored())
    })
    .await
}

/// Revokes a token.
pub async fn revoke(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Coded {
    answer(async {
        let operation = required_operation(&headers)?;
        let name = parse_name(&name)?;
        if is_configured(&operator, &name) {
            let detail = "this token is of the configuration: take it out there";
            return Err(reply::problem_because(Code::Conflict, detail));
        }
        let change = ControlChange::TokenRevoked { name };
        let reason = say(&operator, &caller, operation, change).await?;
        let (status, name) = (word(reason), name.to_string());
        Ok(reply::json_value(Code::Ok, &TokenRevoked { status, reason, name }))
    })
    .await
}

fn is_configured(operator: &Operator, name: &OperatorName) -> bool {
    operator.tokens.iter().any(|configured| configured.name == *name)
}

fn parse_name(name: &str) -> Result<OperatorName, Coded> {
    name.parse().map_err(|why| invalid(&format!("name {why}")))
}
