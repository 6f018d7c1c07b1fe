//! The operator's changes of a running sale: open, close, pause, resume, restock, archive.
//!
//! Each is one record with the caller's operation id, so that a repetition is applied once.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Operator;
use super::approvals;
use super::auth::Caller;
use super::call::{answer, conflict, parse, parse_product, unknown_product};
use super::control::required_operation;
use super::desk::write;
use super::products::{Product, check_quantity, described};
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::control::UnitsChange;
use crate::sale::{CapacityTarget, Ignored, OperationId, Outcome, ProductId, Record, SaleState};

/// `POST /admin/products/{id}/restock`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Restock {
    /// The units left from now on.
    quantity: u32,
}

/// The body of a change that takes no particulars; it may also be absent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What a change came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Changed {
    /// `applied` or `ignored`.
    status: &'static str,
    /// Why it was ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "already_applied")]
    reason: Option<Ignored>,
    product: Product,
}

/// A call that changes one running sale, as it came.
pub struct Change {
    operator: Arc<Operator>,
    caller: Caller,
    id: String,
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest<Arc<Operator>> for Change {
    type Rejection = Response;

    async fn from_request(request: Request, operator: &Arc<Operator>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let path = Path::from_request_parts(&mut parts, operator).await;
        let Path(id) = path.map_err(IntoResponse::into_response)?;
        let caller = Extension::from_request_parts(&mut parts, operator).await;
        let Extension(caller) = caller.map_err(IntoResponse::into_response)?;
        let headers = parts.headers.clone();
        let body = Bytes::from_request(Request::from_parts(parts, body), operator).await;
        let body = body.map_err(IntoResponse::into_response)?;
        Ok(Self { operator: operator.clone(), caller, id, headers, body })
    }
}

impl Change {
    /// The log's time, or one that is past: what is to open or close now is not to wait.
    fn now_ms(&self) -> u64 {
        self.operator.shared.log_time().past_ms()
    }

    /// Writes the record of a change that takes no particulars.
    async fn plain(self, record: impl FnOnce(OperationId, &SaleState) -> Record) -> Coded {
        if !self.body.is_empty()
            && let Err(refusal) = parse::<Nothing>(&self.body)
        {
            return refusal;
        }
        self.write(record).await
    }

    async fn write(self, record: impl FnOnce(OperationId, &SaleState) -> Record) -> Coded {
        let Self { operator, caller, id, headers, .. } = &self;
        answer(async {
            let product = parse_product(id)?;
            let operation = required_operation(headers)?;
            let record = operator
                .shared
                .applied()
                .with_state(&product, |state| record(operation, state))
                .ok_or_else(unknown_product)?;
            make(operator, caller, product, record).await
        })
        .await
    }

    /// Sets the units, or asks a second operator.
    async fn capacity(self, to: CapacityTarget) -> Coded {
        let Self { operator, caller, id, headers, .. } = &self;
        answer(async {
            let product = parse_product(id)?;
            let operation = required_operation(headers)?;
            let change = UnitsChange::Capacity { to };
            let change = approvals::settle(operator, caller, product, operation, change).await?;
            described(operator, &product)?;
            make(operator, caller, product, change.record(operation)).await
        })
        .await
    }
}

async fn make(
    operator: &Operator,
    caller: &Caller,
    product: ProductId,
    record: Record,
) -> Result<Coded, Coded> {
    let outcome = write(operator, caller, product, record).await?.outcome;
    let (status, reason) = match outcome {
        Outcome::Applied => ("applied", None),
        Outcome::Ignored(why) => ("ignored", Some(why)),
        outcome => return Err(conflict(outcome)),
    };
    let product = described(operator, &product)?;
    Ok(reply::json_value(Code::Ok, &Changed { status, reason, product }))
}

/// Opens a sale now, and for ever if its closing time is past.
pub async fn open(change: Change) -> Coded {
    let now_ms = change.now_ms();
    change
        .plain(|operation, state| Record::ScheduleChanged {
            opens_at_ms: state.terms().opens_at_ms.min(now_ms),
            closes_at_ms: state.terms().closes_at_ms.filter(|at_ms| *at_ms > now_ms),
            operation,
        })
        .await
}

/// Closes a sale now.
pub async fn close(change: Change) -> Coded {
    let now_ms = change.now_ms();
    change
        .plain(|operation, state| Record::ScheduleChanged {
            opens_at_ms: state.terms().opens_at_ms,
            closes_at_ms: Some(state.log_time_at(now_ms)),
            operation,
        })
        .await
}

/// Stops a sale; the true count is kept.
pub async fn pause(change: Change) -> Coded {
    change.plain(|operation, _| Record::SalePaused { operation }).await
}

/// Goes on after a pause.
pub async fn resume(change: Change) -> Coded {
    change.plain(|operation, _| Record::SaleResumed { operation }).await
}

/// Ends a sale for ever.
pub async fn archive(change: Change) -> Coded {
    change.plain(|operation, _| Record::SaleArchived { operation }).await
}

/// Sets the units left.
pub async fn restock(change: Change) -> Coded {
    let quantity = parse(&change.body).and_then(|Restock { quantity }| {
        check_quantity(quantity)?;
        Ok(quantity)
    });
    let quantity = match quantity {
        Ok(quantity) => quantity,
        Err(refusal) => return refusal,
    };
    change.capacity(CapacityTarget::Remaining(quantity)).await
}
