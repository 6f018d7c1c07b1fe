//! A product as shoppers see it: its status and its times, not its exact stock.

use serde::Serialize;

use super::code::Code;
use super::public::{PublicThread, Received};
use super::refused;
use super::reply::{self, Coded};
use crate::sale::{ProductId, SaleState, SaleStatus};

/// Stock is "low" from this share of the capacity on: one in ten.
const LOW_SHARE: u32 = 10;

/// `GET /products/{id}`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicProduct {
    product_id: String,
    /// `open`, `low`, `sold_out`, `not_open`, `paused` or `closed`.
    status: &'static str,
    /// Unix milliseconds.
    opens_at: u64,
    /// Unix milliseconds; `null` is never.
    closes_at: Option<u64>,
    /// The server's time, Unix milliseconds.
    server_time: u64,
}

/// Shows one product to anybody.
pub fn show(thread: &PublicThread, received: &Received<'_>, id: &str) -> Coded {
    let now = thread.now();
    if let Err(refusal) = refused::anyone(thread, received) {
        return refusal;
    }
    let log_time_ms = thread.shared.log_time().likely_ms;
    let product = id.parse::<ProductId>().ok().and_then(|id| {
        thread.node.applied().with_state(&id, |state| PublicProduct {
            product_id: id.to_string(),
            status: status(state, log_time_ms),
            opens_at: state.terms().opens_at_ms,
            closes_at: state.terms().closes_at_ms,
            server_time: now.unix_ms,
        })
    });
    match product {
        Some(product) => reply::json_value(Code::Ok, &product),
        None => thread.prepared.problem(Code::UnknownProduct),
    }
}

/// How a sale stands, in a word for shoppers.
pub(super) fn status(state: &SaleState, now_ms: u64) -> &'static str {
    match state.status(now_ms) {
        SaleStatus::Open if state.remaining() <= state.terms().capacity / LOW_SHARE => "low",
        SaleStatus::Archived => SaleStatus::Closed.word(),
        status => status.word(),
    }
}
