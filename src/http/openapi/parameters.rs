//! What calls take beside their bodies: parts of the path, headers, queries. What is well-formed is said here once, by
//! name, so that whoever generates calls from the document generates such as can be answered.

use serde_json::{Value, json};

use super::operations::Operation;
use super::schemas::{self, identifier};
use crate::guard::headers::TIME_DIGITS_MAX;
use crate::sale::ids::KEY_BYTES_MAX;
use crate::sale::{IdempotencyKey, OperatorName, ProductId};

/// The parameters of a call.
pub fn of(operation: &Operation) -> Vec<Value> {
    let path = operation.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true, "schema": path_schema(operation.path, name),
        }))
    });
    let headers = operation.caller.headers().iter().chain(operation.headers);
    let headers = headers.map(|(name, required, description)| {
        json!({
            "name": name, "in": "header", "required": required, "description": description,
            "schema": header_schema(name),
        })
    });
    let query = operation.query.iter().map(|(name, kind, required, description)| {
        json!({
            "name": name, "in": "query", "required": required,
            "description": description, "schema": query_schema(name, kind),
        })
    });
    path.chain(headers).chain(query).collect()
}

fn path_schema(path: &str, name: &str) -> Value {
    match name {
        "productId" => schemas::name(ProductId::PATTERN),
        "id" if path.starts_with("/admin/products/") => schemas::name(ProductId::PATTERN),
        "name" => identifier(OperatorName::PATTERN, KEY_BYTES_MAX),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

fn header_schema(name: &str) -> Value {
    match name.to_ascii_lowercase().as_str() {
        "x-request-time" => identifier("^[0-9]+$", TIME_DIGITS_MAX),
        "x-signature" => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
        "idempotency-key" => identifier(IdempotencyKey::PATTERN, KEY_BYTES_MAX),
        _ => json!({ "type": "string" }),
    }
}

/// No number in a query is negative.
fn query_schema(name: &str, kind: &str) -> Value {
    match (name, kind) {
        ("product", _) => schemas::name(ProductId::PATTERN),
        (_, "integer") => json!({ "type": "integer", "minimum": 0 }),
        _ => json!({ "type": kind }),
    }
}
