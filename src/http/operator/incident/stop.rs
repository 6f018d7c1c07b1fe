//! Stop and resume: one sale, or all of them.
//!
//! A stop is a pause record for each sale, all on their way at once. The log decides: what stands behind the
//! record in the log is not confirmed, on whatever node it was tried (rule 6). No count is touched.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{AT_ONCE, to_its_end};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::auth::Caller;
use crate::http::operator::call::{answer, parse, parse_product, unknown_product};
use crate::http::operator::control::{any_operation, check_reason};
use crate::http::operator::desk::write_because;
use crate::http::reply::{self, Coded};
use crate::sale::{OperationId, ProductId, Record};

/// `POST /admin/incident/stop` and `/resume`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Which sale; `null` is every one that is not archived.
    #[schema(example = "iphone-15")]
    #[serde(deserialize_with = "Option::deserialize")]
    product: Option<String>,
    /// Why. Kept in clear: without personal data.
    reason: String,
}

/// How one sale stands afterwards.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    product_id: String,
    /// The true count, which a stop does not change.
    sold: u32,
    /// The record that stopped or resumed it; if it was so before, the last one that was applied.
    offset: u64,
    /// `stopped`, or as in `/admin/products`.
    status: &'static str,
}

/// What a stop came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Stopped {
    stopped: Vec<Standing>,
    /// From the call to the last decision, in milliseconds.
    ms: u64,
}

/// What a resumption came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Resumed {
    resumed: Vec<Standing>,
    /// From the call to the last decision, in milliseconds.
    ms: u64,
}

/// Stops.
pub async fn stop(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    to_its_end(answer(async move {
        let asked = Asked::read(operator, caller, &headers, &body)?;
        let (stopped, ms) = asked.make(|operation| Record::SalePaused { operation }).await?;
        Ok(reply::json_value(Code::Ok, &Stopped { stopped, ms }))
    }))
    .await
}

/// Goes on.
pub async fn resume(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    to_its_end(answer(async move {
        let asked = Asked::read(operator, caller, &headers, &body)?;
        let (resumed, ms) = asked.make(|operation| Record::SaleResumed { operation }).await?;
        Ok(reply::json_value(Code::Ok, &Resumed { resumed, ms }))
    }))
    .await
}

struct Asked {
    operator: Arc<Operator>,
    caller: Caller,
    /// The same for all: an operation counts for its sale alone.
    operation: OperationId,
    products: Vec<ProductId>,
    reason: Arc<str>,
    began_us: u64,
}

impl Asked {
    fn read(
        operator: Arc<Operator>,
        caller: Caller,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Coded> {
        let began_us = operator.shared.clock.monotonic_us();
        let Which { product, reason } = parse(body)?;
        check_reason(&reason, &[])?;
        let operation = any_operation(&operator, headers)?;
        let applied = operator.shared.applied();
        let named = product.is_some();
        let products = match product {
            Some(product) => vec![parse_product(&product)?],
            None => applied.products(),
        };
        let mut running = Vec::with_capacity(products.len());
        for product in products {
            match applied.with_state(&product, |state| state.archived()) {
                Some(false) => running.push(product),
                // Of all, those that are over are passed over; one by its name must be there.
                Some(true) if !named => {}
                Some(true) => {
                    return Err(reply::problem_because(Code::Conflict, "this product is archived"));
                }
                None => return Err(unknown_product()),
            }
        }
        let reason = reason.into();
        Ok(Self { operator, caller, operation, products: running, reason, began_us })
    }

    /// Writes one record for each sale. If one cannot be written the others are all the same.
    async fn make(self, record: fn(OperationId) -> Record) -> Result<(Vec<Standing>, u64), Coded> {
        let mut under_way = JoinSet::new();
        let mut waiting = self.products.iter().copied();
        let mut refusal = None;
        let mut standings = Vec::with_capacity(self.products.len());
        loop {
            while under_way.len() < AT_ONCE
                && let Some(product) = waiting.next()
            {
                let (operator, reason) = (self.operator.clone(), self.reason.clone());
                let (caller, record) = (self.caller, record(self.operation));
                under_way.spawn(async move {
                    let written =
                        write_because(&operator, &caller, product, record, Some(&reason)).await;
                    written.map(|decided| standing(&operator, product, decided.offset))
                });
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok(Ok(standing))) => standings.extend(standing),
                Some(Ok(Err(why))) => refusal = Some(why),
                Some(Err(_)) => {
                    refusal = Some(reply::problem_because(Code::Internal, "a record was cut off"));
                }
            }
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        standings.sort_by(|one, other| one.product_id.cmp(&other.product_id));
        let took_us = self.operator.shared.clock.monotonic_us().saturating_sub(self.began_us);
        Ok((standings, took_us.div_ceil(1_000)))
    }
}

fn standing(operator: &Operator, product: ProductId, offset: u64) -> Option<Standing> {
    let now_ms = operator.shared.log_time().likely_ms;
    operator.shared.applied().with_state(&product, |state| Standing {
        product_id: product.to_string(),
        sold: state.sold(),
        offset,
        // A stop holds whether or not the sale was open.
        status: if state.paused() { "stopped" } else { state.status(now_ms).word() },
    })
}
