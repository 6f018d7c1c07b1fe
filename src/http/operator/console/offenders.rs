//! The top offenders, as pseudonyms. They come from the evidence that the node keeps of orders; a node that
//! keeps none says so.

use serde::Serialize;

use crate::http::operator::Operator;

/// One of them.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offender {
    /// A keyed pseudonym.
    key: String,
    orders: u64,
    refusals: u64,
    /// Unix milliseconds.
    last_at: u64,
}

/// The top ones of now; `None` if this node keeps no evidence.
pub async fn top(_operator: &Operator) -> Option<Vec<Offender>> {
    None
}
