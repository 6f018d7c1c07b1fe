//! The operator's other calls: orders, metrics, health.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Operator;
use super::approvals;
use super::auth::Caller;
use super::call::{answer, parse, without_echo};
use super::control::{any_operation, check_reason};
use super::desk::write;
use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::http::{health, metrics as text_metrics};
use crate::ledger::OrderRow;
use crate::sale::control::UnitsChange;
use crate::sale::{Ignored, OrderId, Outcome, ProductId, Record};

/// Most orders of one page.
pub const PAGE_ORDERS_MAX: usize = 10_000;
/// Orders of a page, unless asked otherwise.
pub const PAGE_ORDERS_DEFAULT: usize = 1_000;

/// `GET /admin/orders`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Of this product; absent is all.
    product: Option<String>,
    /// After this offset; absent is from the beginning.
    #[serde(default)]
    after: u64,
    /// At most so many.
    limit: Option<usize>,
}

/// One order as the ledger has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    order_id: String,
    product_id: String,
    /// The buyer's pseudonym.
    buyer: String,
    /// `confirmed` or `reversed`.
    status: &'static str,
    /// Log time, Unix milliseconds.
    created_at: u64,
    offset: u64,
}

/// A page of orders.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Orders {
    orders: Vec<Order>,
    /// The `after` of the next page; `null` at the end.
    next: Option<u64>,
}

/// `POST /admin/orders/{id}/reverse`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reverse {
    /// Whether its unit goes on sale again.
    restock: bool,
    /// Whether the buyer may buy again.
    #[serde(default)]
    frees_limit: bool,
    reason: String,
}

/// A page of the ledger's orders, in log order.
pub async fn orders(
    State(operator): State<Arc<Operator>>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Coded {
    let Query(page) = match page {
        Ok(page) => page,
        Err(rejection) => {
            let detail = rejection.body_text();
            return reply::problem_because(Code::InvalidRequest, without_echo(&detail));
        }
    };
    let product: Option<ProductId> = match page.product.as_deref().map(str::parse).transpose() {
        Ok(product) => product,
        Err(why) => {
            return reply::problem_because(Code::InvalidRequest, &format!("product {why}"));
        }
    };
    let limit = page.limit.unwrap_or(PAGE_ORDERS_DEFAULT).clamp(1, PAGE_ORDERS_MAX);
    match operator.shared.ledger.orders_page(product, page.after, limit).await {
        Ok(page) => {
            let next = (!page.at_end).then_some(page.next);
            let orders = page.rows.into_iter().map(Order::from).collect();
            reply::json_value(Code::Ok, &Orders { orders, next })
        }
        Err(error) => {
            tracing::error!(%error, "the ledger cannot be read");
            reply::problem_because(Code::LedgerUnavailable, "the ledger cannot be read")
        }
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            order_id: row.order_id.to_string(),
            product_id: row.product.to_string(),
            buyer: row.buyer.to_string(),
            status: row.status.word(),
            created_at: row.created_at_ms,
            offset: row.offset,
        }
    }
}

/// Takes one order back.
pub async fn reverse(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Coded {
    answer(async {
        let Reverse { restock, frees_limit, reason } = parse(&body)?;
        check_reason(&reason, &[])?;
        let found = id.parse::<OrderId>().ok().and_then(|order_id| {
            operator.shared.applied().find_order(&order_id).map(|(product, _)| (product, order_id))
        });
        let (product, order_id) = found.ok_or_else(|| {
            reply::problem_because(Code::UnknownOrder, "no running sale has this order")
        })?;
        let record = if restock {
            // Applied once by the order's own name; this one is only an approval's.
            let operation = any_operation(&operator, &headers)?;
            let change = UnitsChange::Reversal { order_id, frees_limit, reason };
            approvals::settle(&operator, &caller, product, operation, change)
                .await?
                .record(operation)
        } else {
            Record::OrderReversed { order_id, restock, frees_limit, reason }
        };
        let decided = write(&operator, &caller, product, record).await?;
        Ok(reversed(order_id, decided.outcome))
    })
    .await
}

/// What a reversal came to, for operators and for shops.
pub fn reversed(order_id: OrderId, outcome: Outcome) -> Coded {
    let order_id = order_id.to_string();
    match outcome {
        Outcome::Applied => reply::json_value(
            Code::Ok,
            &serde_json::json!({ "status": "reversed", "orderId": order_id }),
        ),
        Outcome::Ignored(reason @ Ignored::AlreadyReversed) => reply::json_value(
            Code::Ok,
            &serde_json::json!({ "status": "ignored", "reason": reason, "orderId": order_id }),
        ),
        _ => reply::problem_because(Code::Conflict, "the order cannot be reversed any more"),
    }
}

/// Prometheus text.
pub async fn metrics(State(operator): State<Arc<Operator>>) -> Coded {
    text_metrics::render(&operator.shared)
}

/// Whether the process runs.
pub async fn livez() -> Coded {
    health::livez()
}

/// Whether new requests should be sent here.
pub async fn readyz(State(operator): State<Arc<Operator>>) -> Coded {
    health::readyz(&operator.shared)
}

/// No such path.
pub async fn not_found() -> Coded {
    reply::problem_because(Code::NotFound, "there is no such call on the operator's listener")
}

/// The path exists, with another method.
pub async fn method_not_allowed() -> Coded {
    reply::problem_because(Code::MethodNotAllowed, "this path takes another method")
}
