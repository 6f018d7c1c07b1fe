//! A second operator's approval, for changes that raise what a running sale can still sell
//! (`admin.approvals = "units"`).
//!
//! Such a change is not made but asked for: the answer is 202 with the approval's name. Another operator
//! approves, and only then the change is written, under the operation id of the asking, so that it is made
//! once whoever repeats what.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Serialize;

use super::Operator;
use super::auth::Caller;
use super::call::answer;
use super::control::{any_operation, log_time_ms, say, word};
use super::desk::write;
use super::products::{Product, described};
use crate::config::Approvals;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::control::{Approval, ControlChange, UnitsChange};
use crate::sale::{CapacityTarget, Ignored, OperationId, Outcome, ProductId, SaleState};

/// How long an approval waits, in milliseconds.
pub const APPROVAL_MS: u64 = 15 * 60 * 1_000;

/// The answer to a change that needs a second operator.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ApprovalRequired {
    /// `approval_required`.
    status: &'static str,
    /// Its name.
    approval: String,
    /// Until when it can be given, Unix milliseconds.
    until: u64,
}

/// An approval that waits or was given.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    approval: String,
    product_id: String,
    /// The change: `{"capacity":{"to":{"remaining":50}}}` or `{"reversal":{"order_id":…}}`.
    #[schema(value_type = Object)]
    change: UnitsChange,
    asked_by: String,
    /// Unix milliseconds.
    asked_at: u64,
    /// Unix milliseconds.
    until: u64,
    /// Who gave it; `null` while it waits.
    given_by: Option<String>,
}

/// All approvals.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ApprovalList {
    approvals: Vec<ApprovalView>,
}

/// What an approval came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Approved {
    /// Of the change: `applied` or `ignored`.
    status: &'static str,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    approval: String,
    product: Product,
}

/// What a rejection came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// `rejected`.
    status: &'static str,
    approval: String,
}

/// Settles whether a change of a running sale may be made at once. `Ok` is what is to be written: a change
/// that raises nothing aims at a number of units in all, so that it raises nothing when it is applied either.
///
/// # Errors
/// The answer: a second operator has been asked, or that failed.
pub(super) async fn settle(
    operator: &Operator,
    caller: &Caller,
    product: ProductId,
    operation: OperationId,
    change: UnitsChange,
) -> Result<UnitsChange, Coded> {
    if operator.shared.config.admin.approvals == Approvals::Off {
        return Ok(change);
    }
    let applied = operator.shared.applied();
    let needed = applied.with_state(&product, |state| needed(state, &operation, &change));
    match needed {
        // An unknown product is the caller's to refuse.
        None => Ok(change),
        Some(Needed::No(change)) => Ok(change),
        Some(Needed::Approval) => Err(ask(operator, caller, product, operation, change).await?),
    }
}

enum Needed {
    No(UnitsChange),
    Approval,
}

fn needed(state: &SaleState, operation: &OperationId, change: &UnitsChange) -> Needed {
    if state.operation_offset(operation).is_some() {
        // It has been made, and is applied once.
        return Needed::No(change.clone());
    }
    let UnitsChange::Capacity { to } = change else { return Needed::Approval };
    let units = match *to {
        CapacityTarget::Total(units) => units,
        CapacityTarget::Remaining(units) => state.sold().saturating_add(units),
    };
    if units > state.terms().capacity {
        return Needed::Approval;
    }
    Needed::No(UnitsChange::Capacity { to: CapacityTarget::Total(units) })
}

/// Asks a second operator for a change, or says again that they have been asked.
///
/// # Errors
/// The answer that says why that failed.
pub(super) async fn ask(
    operator: &Operator,
    caller: &Caller,
    product: ProductId,
    operation: OperationId,
    change: UnitsChange,
) -> Result<Coded, Coded> {
    let until_ms = log_time_ms(operator).saturating_add(APPROVAL_MS);
    let asked = ControlChange::ApprovalAsked { product, change, until_ms };
    let ignored = say(operator, caller, operation, asked).await?;
    let control = operator.shared.applied().control();
    match control.approval(&operation, log_time_ms(operator)) {
        Some(approval) if approval.product == product => {
            let required = ApprovalRequired {
                status: "approval_required",
                approval: operation.to_string(),
                until: approval.until_ms,
            };
            let required = reply::json_value(Code::ApprovalRequired, &required);
            Ok(if ignored.is_some() { required.replayed() } else { required })
        }
        _ => {
            let detail = "this Idempotency-Key has been used, or its approval was rejected or is \
                          over: ask again under another one";
            Err(reply::problem_because(Code::Conflict, detail))
        }
    }
}

/// The approvals that wait or were given.
pub async fn list(State(operator): State<Arc<Operator>>) -> Coded {
    let control = operator.shared.applied().control();
    let approvals = control.approvals(log_time_ms(&operator)).map(view).collect();
    reply::json_value(Code::Ok, &ApprovalList { approvals })
}

/// Gives an approval and makes the change.
pub async fn approve(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Coded {
    answer(async {
        let approval = find(&operator, &id)?;
        // Given before, perhaps by somebody whose node died before it made the change: it is made once.
        if approval.given_by.is_none() {
            let given = ControlChange::ApprovalGiven { approval: approval.id };
            let operation = any_operation(&operator, &headers)?;
            say(&operator, &caller, operation, given).await?;
            if find(&operator, &id)?.given_by.is_none() {
                let detail = "this Idempotency-Key has been used for something else";
                return Err(reply::problem_because(Code::Conflict, detail));
            }
        }
        let record = approval.change.record(approval.id);
        let outcome = write(&operator, &caller, approval.product, record).await?.outcome;
        let reason = match outcome {
            Outcome::Applied => None,
            Outcome::Ignored(why) => Some(why),
            _ => return Err(reply::problem_because(Code::Conflict, "the change had no effect")),
        };
        let (status, approval_id) = (word(reason), approval.id.to_string());
        let product = described(&operator, &approval.product)?;
        let approved = Approved { status, reason, approval: approval_id, product };
        Ok(reply::json_value(Code::Ok, &approved))
    })
    .await
}

/// Refuses an approval, or withdraws one's own.
pub async fn reject(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Coded {
    answer(async {
        let approval = find(&operator, &id)?;
        let operation = any_operation(&operator, &headers)?;
        let rejected = ControlChange::ApprovalRejected { approval: approval.id };
        say(&operator, &caller, operation, rejected).await?;
        if find(&operator, &id).is_ok() {
            let detail = "this approval has been given, or this Idempotency-Key has been used";
            return Err(reply::problem_because(Code::Conflict, detail));
        }
        let rejected = Rejected { status: "rejected", approval: approval.id.to_string() };
        Ok(reply::json_value(Code::Ok, &rejected))
    })
    .await
}

fn find(operator: &Operator, id: &str) -> Result<Approval, Coded> {
    let control = operator.shared.applied().control();
    let id = id.parse().ok();
    let found = id.and_then(|id| control.approval(&id, log_time_ms(operator)).cloned());
    found.ok_or_else(|| {
        let detail = "there is no approval of this name: it was rejected, or its time is over";
        reply::problem_because(Code::UnknownEntry, detail)
    })
}

fn view(approval: &Approval) -> ApprovalView {
    ApprovalView {
        approval: approval.id.to_string(),
        product_id: approval.product.to_string(),
        change: approval.change.clone(),
        asked_by: approval.asked_by.to_string(),
        asked_at: approval.asked_at_ms,
        until: approval.until_ms,
        given_by: approval.given_by.map(|name| name.to_string()),
    }
}
