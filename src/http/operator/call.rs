//! What the operator's calls have in common: how their bodies and keys are read, and their refusals.

use axum::http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::http::code::Code;
use crate::http::reply::{self, Coded};
use crate::sale::{Ignored, OperationId, Outcome, ProductId};

/// Latest time that can be sent, Unix milliseconds: the end of the year 9999.
pub const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// The answer of a call, or its refusal.
pub(super) async fn answer(result: impl Future<Output = Result<Coded, Coded>>) -> Coded {
    result.await.unwrap_or_else(|refusal| refusal)
}

/// Reads a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Coded> {
    serde_json::from_slice(body).map_err(|error| invalid(without_echo(&error.to_string())))
}

/// What serde says of a fault, without what was sent: it repeats that before its last "expected".
pub(super) fn without_echo(message: &str) -> &str {
    message.rfind(", expected ").map_or(message, |at| &message[at + 2..])
}

/// The operation id from `Idempotency-Key` or `x-idempotency-key`, quotes stripped.
pub(super) fn operation(headers: &HeaderMap) -> Result<Option<OperationId>, Coded> {
    let mut values =
        headers.get_all("idempotency-key").iter().chain(headers.get_all("x-idempotency-key"));
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(missing_key("send one Idempotency-Key"));
    }
    let value = value.to_str().unwrap_or_default();
    let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    text.parse().map(Some).map_err(|why| missing_key(&format!("the Idempotency-Key {why}")))
}

/// A product id of a body or a query.
pub(super) fn parse_product(id: &str) -> Result<ProductId, Coded> {
    id.parse().map_err(|why| invalid(&format!("productId {why}")))
}

/// What was sent cannot be read, or is out of bounds.
pub(super) fn invalid(detail: &str) -> Coded {
    reply::problem_because(Code::InvalidRequest, detail)
}

/// A change needs an idempotency key, and this is none.
pub(super) fn missing_key(detail: &str) -> Coded {
    reply::problem_because(Code::MissingIdempotencyKey, detail)
}

/// There is no product of the id that was sent.
pub(super) fn unknown_product() -> Coded {
    reply::problem_because(Code::UnknownProduct, "there is no product of this id")
}

/// A record that had no effect.
pub(super) fn conflict(outcome: Outcome) -> Coded {
    let detail = match outcome {
        Outcome::Ignored(Ignored::AlreadyOpened) => {
            "this product has been opened before; a product id is never used again"
        }
        Outcome::Ignored(Ignored::Archived) => "this product is archived",
        _ => "the record had no effect",
    };
    reply::problem_because(Code::Conflict, detail)
}
