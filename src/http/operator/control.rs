//! What the calls on blocks, live limits, tokens and approvals share: one control record each, and the
//! answer is what the log made of it.

use axum::http::HeaderMap;

use super::Operator;
use super::auth::Caller;
use super::call::{invalid, missing_key, operation};
use super::desk::write;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::control::{ALLOWS_MAX, APPROVALS_MAX, BLOCKS_MAX, REASON_BYTES_MAX, TOKENS_MAX};
use crate::sale::{ControlChange, ControlRecord, Ignored, OperationId, Outcome, ProductId, Record};

/// The furthest end of a block, a live limit or a token, in milliseconds from now: a year.
pub const UNTIL_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;

/// Writes one control record; `None` if it took effect, else why it needed none.
///
/// # Errors
/// The answer that says why not.
pub(super) async fn say(
    operator: &Operator,
    caller: &Caller,
    operation: OperationId,
    change: ControlChange,
) -> Result<Option<Ignored>, Coded> {
    let record = ControlRecord { operation, by: caller.name, change };
    let record = Record::Control(Box::new(record));
    match write(operator, caller, ProductId::CONTROL, record).await?.outcome {
        Outcome::Applied => Ok(None),
        Outcome::Ignored(why) => refused(why).map(Some),
        _ => Err(reply::problem_because(Code::Conflict, "the record had no effect")),
    }
}

/// The word for an answer: `applied` or `ignored`.
pub(super) fn word(ignored: Option<Ignored>) -> &'static str {
    if ignored.is_none() { "applied" } else { "ignored" }
}

/// An ignored record that is as good as applied, or the answer that says what is wrong.
fn refused(why: Ignored) -> Result<Ignored, Coded> {
    let (code, detail) = match why {
        Ignored::AlreadyApplied | Ignored::NoChange => return Ok(why),
        Ignored::UnknownEntry => {
            (Code::UnknownEntry, "there is none of this name, or its time is over".to_owned())
        }
        Ignored::Full => (
            Code::Conflict,
            format!(
                "as many stand as may stand ({BLOCKS_MAX} blocks, {ALLOWS_MAX} allows, {TOKENS_MAX} \
                 tokens, {APPROVALS_MAX} approvals): take some away, or block a prefix in place of its \
                 addresses"
            ),
        ),
        Ignored::Expired => {
            (Code::InvalidRequest, "until is over by the time of the log".to_owned())
        }
        Ignored::NameTaken => {
            (Code::Conflict, "there is a token of this name: revoke it first".to_owned())
        }
        Ignored::SameOperator => (
            Code::Forbidden,
            "whoever asked for an approval may not give it, nor may a token that the same person made"
                .to_owned(),
        ),
        _ => (Code::Conflict, "the record had no effect".to_owned()),
    };
    Err(reply::problem_because(code, &detail))
}

/// The operation id of the call, which a change needs.
pub(super) fn required_operation(headers: &HeaderMap) -> Result<OperationId, Coded> {
    operation(headers)?
        .ok_or_else(|| missing_key("send an Idempotency-Key, so that a repetition is applied once"))
}

/// The operation id of the call, or a random one.
pub(super) fn any_operation(
    operator: &Operator,
    headers: &HeaderMap,
) -> Result<OperationId, Coded> {
    if let Some(operation) = operation(headers)? {
        return Ok(operation);
    }
    let random = hex::encode(operator.shared.random_16());
    random.parse().map_err(|_| reply::problem_because(Code::Internal, "no random name"))
}

/// The estimate of log time for a control record that is written now.
pub(super) fn log_time_ms(operator: &Operator) -> u64 {
    operator.shared.applied().control().log_time_at(operator.shared.log_time().likely_ms)
}

pub(super) fn check_until(operator: &Operator, until_ms: u64) -> Result<(), Coded> {
    let now_ms = operator.shared.log_time().likely_ms;
    if until_ms <= now_ms {
        return Err(invalid("until must be in the future (Unix milliseconds)"));
    }
    if until_ms > now_ms.saturating_add(UNTIL_MS_MAX) {
        return Err(invalid("until must be within a year (Unix milliseconds)"));
    }
    Ok(())
}

/// A reason is kept in the log for ever, so it is bounded, is one line, and says nothing of `secrets`.
pub(super) fn check_reason(reason: &str, secrets: &[&str]) -> Result<(), Coded> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(invalid(&format!("reason must have 1 to {REASON_BYTES_MAX} bytes")));
    }
    if reason.chars().any(char::is_control) {
        return Err(invalid("reason must be one line"));
    }
    let lower = reason.to_lowercase();
    if secrets.iter().any(|secret| lower.contains(&secret.to_lowercase())) {
        return Err(invalid(
            "reason must not name whom it blocks: it is kept in clear, and they are not",
        ));
    }
    Ok(())
}
