//! The API's description (OpenAPI 3.1), from the code: statuses come from the table of `Code`, schemas
//! from the types that handlers read and write, and the examples of problems are what
//! [`reply::problem_body`] writes.
//!
//! [`operations`] lists the calls of both listeners; this file puts the document together.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::reply::{self, Particulars};
use crate::telemetry::request::REQUEST_ID_CHARS_MAX;
use crate::trace::REQUEST_ID;

mod operations;
mod parameters;
mod schemas;

use operations::{Answer, Caller, Operation};

/// The document, as it is served.
pub fn json() -> Bytes {
    static DOCUMENT: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| {
        serde_json::to_vec_pretty(&document()).unwrap_or_default().into()
    });
    DOCUMENT.clone()
}

/// The document.
pub fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations::all() {
        let methods = paths.entry(operation.path).or_default();
        methods.insert(operation.method.to_owned(), describe(operation));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flux-Gate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A flash-sale gate: it sells exactly its stock, to honest buyers. Calls \
                under /admin, /init and /metrics are on the operator's listener.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [
            { "url": "http://127.0.0.1:3000", "description": "public listener" },
            { "url": "http://127.0.0.1:3001", "description": "operator's listener" },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "headers": { "RequestId": {
                "required": true,
                "description": "names the request in the log: the caller's own id, if it is one, else a new one",
                "schema": {
                    "type": "string", "pattern": "^[A-Za-z0-9._:-]+$",
                    "minLength": 1, "maxLength": REQUEST_ID_CHARS_MAX,
                },
            } },
            "securitySchemes": {
                "pass": {
                    "type": "http", "scheme": "bearer",
                    "description": "A session pass; the request is signed with its session key.",
                },
                "client": {
                    "type": "apiKey", "in": "header", "name": "x-api-key",
                    "description": "An API client's id; the request is signed with its secret.",
                },
                "jwt": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A token of a configured issuer.",
                },
                "operator": {
                    "type": "http", "scheme": "bearer",
                    "description": "An operator's token, with a role.",
                },
                "console": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-flux-gate",
                    "description": "A session of the console; from its own page alone.",
                },
            },
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut responses: BTreeMap<u16, Value> = BTreeMap::new();
    for answer in operation.answers.iter().chain(operation.caller.answers()) {
        let status = answer.code().meaning().status.as_u16();
        let response = responses.entry(status).or_insert_with(|| {
            json!({
                "description": answer.code().meaning().phrase,
                "headers": { REQUEST_ID.as_str(): { "$ref": "#/components/headers/RequestId" } },
                "content": {},
            })
        });
        add_example(response, answer);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.caller.tag()],
        "parameters": parameters::of(operation),
        "security": operation.caller.security(),
        "responses": responses,
    });
    if let Some((schema, example)) = operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": { operation.body_type: {
                "schema": reference(schema), "example": parse(example),
            } },
        });
    }
    described
}

fn add_example(response: &mut Value, answer: &Answer) {
    let (media_type, schema, example) = match answer {
        Answer::Json { schema, example, .. } => ("application/json", *schema, parse(example)),
        Answer::Text { kind, example, .. } => {
            response["content"][kind] =
                json!({ "schema": { "type": "string" }, "example": example });
            return;
        }
        Answer::Elsewhere(_) => return,
        Answer::Events { example, .. } => {
            response["content"]["text/event-stream"] = json!({ "example": example });
            return;
        }
        Answer::Problem(code) => {
            let body = reply::problem_body(*code, &Particulars::default());
            let example = serde_json::from_slice(&body).unwrap_or_default();
            ("application/problem+json", "Problem", example)
        }
    };
    let content = &mut response["content"][media_type];
    let known = content["schema"]["oneOf"].as_array().cloned().unwrap_or_default();
    let mut schemas = match content.get("schema") {
        Some(one) if known.is_empty() && !one.is_null() => vec![one.clone()],
        _ => known,
    };
    if !schemas.contains(&reference(schema)) {
        schemas.push(reference(schema));
    }
    content["schema"] = match schemas.len() {
        1 => schemas.remove(0),
        _ => json!({ "oneOf": schemas }),
    };
    content["examples"][answer.code().meaning().word] = json!({ "value": example });
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn parse(example: &str) -> Value {
    serde_json::from_str(example).unwrap_or_else(|_| Value::String(example.to_owned()))
}

impl Caller {
    fn security(self) -> Value {
        match self {
            Self::Anyone | Self::Console => json!([]),
            Self::Signed => json!([{ "pass": [] }, { "client": [] }]),
            Self::Pass => json!([{ "pass": [] }]),
            Self::ClientOnly => json!([{ "client": [] }]),
            Self::Session => json!([{ "jwt": [] }, { "client": [] }]),
            Self::Viewer | Self::Operator | Self::Admin => {
                json!([{ "operator": [] }, { "console": [] }])
            }
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Console | Self::Viewer | Self::Operator | Self::Admin => "operator",
            _ => "public",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::code::Code;
    use crate::http::spans;

    #[test]
    fn the_document_is_as_it_was() {
        insta::assert_json_snapshot!("openapi", document());
    }

    #[test]
    fn every_public_call_has_a_span_of_its_own_name() {
        for operation in operations::all().filter(|operation| operation.caller.tag() == "public") {
            let (method, path) =
                (operation.method.to_uppercase(), operation.path.replace(['{', '}'], ""));
            let request = http::Request::builder().method(&*method).uri(path).body(()).unwrap();
            let name = spans::name(&request);
            assert_eq!(name, format!("{method} {}", operation.path));
        }
    }

    #[test]
    fn every_answer_has_an_example_that_is_json() {
        for operation in operations::all() {
            for answer in operation.answers {
                if let Answer::Json { example, .. } = answer {
                    serde_json::from_str::<Value>(example)
                        .unwrap_or_else(|error| panic!("{}: {example}: {error}", operation.id));
                }
            }
            assert!(!operation.answers.is_empty(), "{}", operation.id);
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document = document();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn every_code_is_the_answer_of_some_call() {
        // Given outside any one call: by the connection, or to a path or method that no call has.
        let outside = [Code::NotFound, Code::MethodNotAllowed, Code::HeadersTooLarge];
        for code in Code::ALL {
            let given = operations::all().any(|operation| {
                operation
                    .answers
                    .iter()
                    .chain(operation.caller.answers())
                    .any(|answer| answer.code() == code)
            });
            assert!(given || outside.contains(&code), "{code:?} is documented nowhere");
        }
    }
}
