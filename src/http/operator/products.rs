//! The operator's calls on products: each change is one record, and the answer is what the log made of it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::approvals;
use super::auth::Caller;
use super::call::{
    TIME_MS_MAX, answer, conflict, invalid, missing_key, operation, parse, parse_product,
    unknown_product,
};
use super::desk::write;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::control::UnitsChange;
use crate::sale::record::RULES_VERSION;
use crate::sale::{CapacityTarget, Ignored, Outcome, ProductId, Record, SaleOpened};

/// Most units of one product.
pub const QUANTITY_MAX: u32 = 1_000_000_000;
/// Most orders of one buyer.
pub const PER_BUYER_LIMIT_MAX: u32 = 1_000_000;
/// Longest repeat window, in seconds: a year.
pub const REPEAT_WINDOW_SECONDS_MAX: u64 = 366 * 24 * 60 * 60;

/// One product, exactly.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    #[schema(example = "iphone-15")]
    product_id: String,
    /// Units for sale in all.
    capacity: u32,
    /// Orders confirmed and not reversed.
    sold: u32,
    /// Units left.
    remaining: u32,
    /// Attempts that the log has not decided yet.
    pending: usize,
    paused: bool,
    archived: bool,
    /// `open`, `not_open`, `closed`, `paused`, `sold_out` or `archived`.
    status: &'static str,
    /// Unix milliseconds.
    opens_at: u64,
    /// Unix milliseconds; `null` is never.
    closes_at: Option<u64>,
    per_buyer_limit: u32,
    repeat_window_seconds: u64,
    generation: u64,
    /// The offset of the last record that was applied.
    offset: u64,
}

/// `POST /init`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Init {
    #[schema(example = "iphone-15")]
    product_id: String,
    /// The units left from now on.
    #[schema(example = 100)]
    quantity: u32,
}

/// `POST /admin/products`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Create {
    #[schema(example = "iphone-15")]
    product_id: String,
    #[schema(example = 100)]
    quantity: u32,
    /// Unix milliseconds; absent is now.
    #[schema(maximum = 253_402_300_799_999_u64)]
    opens_at: Option<u64>,
    /// Unix milliseconds; absent is never.
    #[schema(maximum = 253_402_300_799_999_u64)]
    closes_at: Option<u64>,
    /// Absent: `orders.per_buyer_limit`.
    per_buyer_limit: Option<u32>,
    /// Absent: `orders.repeat_window_seconds`.
    repeat_window_seconds: Option<u64>,
}

/// All products.
pub async fn list(State(operator): State<Arc<Operator>>) -> Coded {
    let products: Vec<Product> = operator
        .shared
        .applied()
        .products()
        .iter()
        .filter_map(|product| describe(&operator, product))
        .collect();
    reply::json_value(Code::Ok, &serde_json::json!({ "products": products }))
}

/// One product.
pub async fn show(State(operator): State<Arc<Operator>>, Path(id): Path<String>) -> Coded {
    let product = id.parse().ok().and_then(|id| describe(&operator, &id));
    match product {
        Some(product) => reply::json_value(Code::Ok, &product),
        None => unknown_product(),
    }
}

/// Opens the sale of a new product, or sets the units left of a running one.
pub async fn init(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let Init { product_id, quantity } = parse(&body)?;
        let product = parse_product(&product_id)?;
        check_quantity(quantity)?;
        let operation = operation(&headers)?;
        let exists = operator.shared.applied().with_state(&product, |_| ()).is_some();
        let record = match (exists, operation) {
            (true, None) => return Err(missing_key(
                "this sale is running: to set the units left, send an Idempotency-Key, so that a \
                 repetition of the call is applied once",
            )),
            (true, Some(operation)) => {
                let change = UnitsChange::Capacity { to: CapacityTarget::Remaining(quantity) };
                let settled =
                    approvals::settle(&operator, &caller, product, operation, change).await?;
                settled.record(operation)
            }
            (false, operation) => Record::SaleOpened(SaleOpened {
                operation,
                ..new_sale(&operator, quantity)
            }),
        };
        let outcome = write(&operator, &caller, product, record).await?.outcome;
        let body = serde_json::json!({
            "status": "ok",
            "msg": format!("Stock initialized for {product} to {quantity}"),
        });
        match outcome {
            Outcome::Applied => Ok(reply::json_value(Code::Ok, &body)),
            Outcome::Ignored(Ignored::AlreadyApplied) => {
                Ok(reply::json_value(Code::Ok, &body).replayed())
            }
            outcome => Err(conflict(outcome)),
        }
    })
    .await
}

/// Opens the sale of a new product with terms of its own.
pub async fn create(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let create: Create = parse(&body)?;
        let product = parse_product(&create.product_id)?;
        check_quantity(create.quantity)?;
        let mut terms = new_sale(&operator, create.quantity);
        terms.operation = operation(&headers)?;
        terms.opens_at_ms = create.opens_at.unwrap_or(terms.opens_at_ms);
        terms.closes_at_ms = create.closes_at;
        terms.per_buyer_limit = create.per_buyer_limit.unwrap_or(terms.per_buyer_limit);
        if let Some(seconds) = create.repeat_window_seconds {
            terms.repeat_window_ms = seconds.saturating_mul(1_000);
        }
        check_terms(&terms)?;
        let repeated = terms.operation.is_some_and(|operation| {
            let applied = operator.shared.applied();
            applied
                .with_state(&product, |state| state.operation_offset(&operation))
                .flatten()
                .is_some()
        });
        let outcome = if repeated {
            Outcome::Applied
        } else {
            write(&operator, &caller, product, Record::SaleOpened(terms)).await?.outcome
        };
        match outcome {
            Outcome::Applied => {
                let product = described(&operator, &product)?;
                let created = reply::json_value(Code::Created, &product);
                Ok(if repeated { created.replayed() } else { created })
            }
            outcome => Err(conflict(outcome)),
        }
    })
    .await
}

fn new_sale(operator: &Operator, quantity: u32) -> SaleOpened {
    let defaults = &operator.shared.config.orders;
    SaleOpened {
        capacity: quantity,
        per_buyer_limit: defaults.per_buyer_limit,
        repeat_window_ms: defaults.repeat_window_seconds.saturating_mul(1_000),
        opens_at_ms: operator.shared.log_time().past_ms(),
        closes_at_ms: None,
        key_fingerprints: operator.shared.identity.fingerprints().clone(),
        rules_version: RULES_VERSION,
        operation: None,
    }
}

fn check_terms(terms: &SaleOpened) -> Result<(), Coded> {
    if terms.per_buyer_limit == 0 || terms.per_buyer_limit > PER_BUYER_LIMIT_MAX {
        return Err(invalid(&format!("perBuyerLimit must be 1 to {PER_BUYER_LIMIT_MAX}")));
    }
    if terms.repeat_window_ms > REPEAT_WINDOW_SECONDS_MAX * 1_000 {
        return Err(invalid(&format!(
            "repeatWindowSeconds must be at most {REPEAT_WINDOW_SECONDS_MAX}"
        )));
    }
    // A ledger could not keep a later one.
    if terms.opens_at_ms.max(terms.closes_at_ms.unwrap_or(0)) > TIME_MS_MAX {
        return Err(invalid("opensAt and closesAt must be before the year 10000"));
    }
    if terms.closes_at_ms.is_some_and(|at_ms| at_ms <= terms.opens_at_ms) {
        return Err(invalid("closesAt must be after opensAt"));
    }
    Ok(())
}

pub(super) fn check_quantity(quantity: u32) -> Result<(), Coded> {
    if quantity > QUANTITY_MAX {
        return Err(invalid(&format!("quantity must be at most {QUANTITY_MAX}")));
    }
    Ok(())
}

pub(super) fn described(operator: &Operator, product: &ProductId) -> Result<Product, Coded> {
    describe(operator, product).ok_or_else(unknown_product)
}

pub(super) fn describe(operator: &Operator, product: &ProductId) -> Option<Product> {
    let pending = operator.shared.gate.pending(product);
    let now_ms = operator.shared.log_time().likely_ms;
    operator.shared.applied().with_state(product, |state| Product {
        product_id: product.to_string(),
        capacity: state.terms().capacity,
        sold: state.sold(),
        remaining: state.remaining(),
        pending,
        paused: state.paused(),
        archived: state.archived(),
        status: state.status(now_ms).word(),
        opens_at: state.terms().opens_at_ms,
        closes_at: state.terms().closes_at_ms,
        per_buyer_limit: state.terms().per_buyer_limit,
        repeat_window_seconds: state.terms().repeat_window_ms / 1_000,
        generation: state.generation(),
        offset: state.applied_offset(),
    })
}
