//! Every call of both listeners, with every answer and an example of each.

use crate::http::code::Code;

mod console;
mod control;
mod incident;
mod look;
mod operator;
mod privacy;
mod room;

/// One call.
pub struct Operation {
    pub id: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    pub caller: Caller,
    /// Name, whether required, and what it is.
    pub headers: &'static [(&'static str, bool, &'static str)],
    /// Name, JSON type, whether required, and what it is.
    pub query: &'static [(&'static str, &'static str, bool, &'static str)],
    /// The body's media type.
    pub body_type: &'static str,
    /// Schema and example.
    pub body: Option<(&'static str, &'static str)>,
    pub answers: &'static [Answer],
}

/// One answer of a call.
pub enum Answer {
    Json {
        code: Code,
        schema: &'static str,
        example: &'static str,
    },
    /// Of a media type that is not JSON.
    Text {
        code: Code,
        kind: &'static str,
        example: &'static str,
    },
    /// Without a body: where to go on is in `Location`.
    Elsewhere(Code),
    /// Server-sent events.
    Events {
        code: Code,
        example: &'static str,
    },
    Problem(Code),
}

impl Answer {
    pub fn code(&self) -> Code {
        match self {
            Self::Json { code, .. } | Self::Text { code, .. } | Self::Events { code, .. } => *code,
            Self::Elsewhere(code) | Self::Problem(code) => *code,
        }
    }
}

/// Who may make a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Anyone,
    /// A shopper with a pass, or an API client.
    Signed,
    ClientOnly,
    /// Somebody with a merchant's JWT, or an API client.
    Session,
    /// A shopper with a pass, unsigned.
    Pass,
    /// The console's own page.
    Console,
    Viewer,
    Operator,
    Admin,
}

use Answer::{Elsewhere, Json, Problem, Text};

const SIGNED_ANSWERS: &[Answer] = &[
    Problem(Code::Blocked),
    Problem(Code::TooManyRequests),
    Problem(Code::Unauthorized),
    Problem(Code::RequestExpired),
    Problem(Code::InvalidSignature),
    Problem(Code::UserBlocked),
    Problem(Code::SlowDown),
    Problem(Code::BodyTimeout),
    Problem(Code::BodyTooLarge),
    Problem(Code::BodyBroken),
    Problem(Code::Overloaded),
    Problem(Code::Internal),
];
const OPEN_ANSWERS: &[Answer] =
    &[Problem(Code::Blocked), Problem(Code::TooManyRequests), Problem(Code::Overloaded)];
const OPERATOR_ANSWERS: &[Answer] = &[Problem(Code::Unauthorized), Problem(Code::Forbidden)];
const SIGNED_HEADERS: &[(&str, bool, &str)] = &[
    ("x-request-time", true, "Unix milliseconds, within 30 s of the server's clock"),
    (
        "x-signature",
        true,
        "hex HMAC-SHA256 of METHOD:PATH:BODY:REQUEST_TIME:IDEMPOTENCY_KEY; PATH with its query",
    ),
    ("x-device-fingerprint", false, "a signal of the client's"),
];
const KEY: (&str, bool, &str) =
    ("Idempotency-Key", true, "[A-Za-z0-9_-]{1,64}; also as x-idempotency-key");

impl Caller {
    pub fn answers(self) -> &'static [Answer] {
        match self {
            Self::Anyone | Self::Pass => OPEN_ANSWERS,
            Self::Signed | Self::ClientOnly | Self::Session => SIGNED_ANSWERS,
            Self::Console => &[Problem(Code::Forbidden)],
            Self::Viewer | Self::Operator | Self::Admin => OPERATOR_ANSWERS,
        }
    }

    pub fn headers(self) -> &'static [(&'static str, bool, &'static str)] {
        match self {
            Self::Signed | Self::ClientOnly => SIGNED_HEADERS,
            _ => &[],
        }
    }
}

const NOTHING: Operation = Operation {
    id: "",
    method: "get",
    path: "",
    summary: "",
    caller: Caller::Anyone,
    headers: &[],
    query: &[],
    body_type: "application/json",
    body: None,
    answers: &[],
};

/// Every call.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    let others = [
        operator::OPERATIONS,
        control::OPERATIONS,
        incident::OPERATIONS,
        look::OPERATIONS,
        privacy::OPERATIONS,
        console::OPERATIONS,
        room::OPERATIONS,
    ];
    OPERATIONS.iter().chain(others.into_iter().flatten())
}

const OPERATIONS: &[Operation] = &[
    Operation {
        id: "placeOrder",
        method: "post",
        path: "/order",
        summary: "Buy one unit",
        caller: Caller::Signed,
        headers: &[
            KEY,
            ("x-challenge", false, "after challenge_required: the solution, base64 of its JSON"),
            ("x-page-signals", false, "how the page was used, t=<ms>;p=<n>;k=<n>;s=<n>: a hint"),
        ],
        body: Some(("OrderBody", r#"{"productId":"iphone-15","userId":"alice-7"}"#)),
        answers: &[
            Json {
                code: Code::Accepted,
                schema: "OrderAnswer",
                example: r#"{"status":"success","msg":"Order accepted","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10","receipt":"ATR1D5i9Wfz8fwwvY50O…"}"#,
            },
            Json {
                code: Code::Duplicate,
                schema: "OrderAnswer",
                example: r#"{"status":"ignored","msg":"Duplicate request","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10","reason":"same_key"}"#,
            },
            Json {
                code: Code::Pending,
                schema: "OrderAnswer",
                example: r#"{"status":"pending","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10"}"#,
            },
            Json {
                code: Code::SoldOut,
                schema: "OrderAnswer",
                example: r#"{"status":"sold_out","msg":"Inventory empty"}"#,
            },
            Json {
                code: Code::LimitReached,
                schema: "OrderAnswer",
                example: r#"{"status":"limit_reached","msg":"You already have as many as one buyer may have"}"#,
            },
            Json {
                code: Code::NotOpen,
                schema: "OrderAnswer",
                example: r#"{"status":"not_open","opensAt":1764000000000}"#,
            },
            Json { code: Code::Closed, schema: "OrderAnswer", example: r#"{"status":"closed"}"# },
            Json { code: Code::Paused, schema: "OrderAnswer", example: r#"{"status":"paused"}"# },
            Problem(Code::UnknownProduct),
            Problem(Code::MissingIdempotencyKey),
            Problem(Code::UnsupportedMediaType),
            Problem(Code::InvalidRequest),
            Problem(Code::UserMismatch),
            Problem(Code::Forbidden),
            Problem(Code::ChallengeRequired),
            Problem(Code::ScoreRefused),
            Problem(Code::OverRate),
            Problem(Code::NotAdmitted),
            Elsewhere(Code::ToRoom),
            Problem(Code::Busy),
            Problem(Code::LogBehind),
            Problem(Code::OtherKeys),
            Problem(Code::OutcomeUnknown),
            Problem(Code::LedgerUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "openSession",
        method: "post",
        path: "/session",
        summary: "Get a pass and its session key: with a merchant's JWT and {}, or as an API client, signed",
        caller: Caller::Session,
        headers: &[
            ("x-request-time", false, "of an API client: Unix milliseconds"),
            ("x-signature", false, "of an API client: see POST /order; the key part is empty"),
        ],
        body: Some(("SessionBody", r#"{"userId":"alice-7"}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "SessionAnswer",
                example: r#"{"pass":"v1.eyJr….c2ln…","sessionKey":"0f1e…","userId":"alice-7","serverTime":1764000000000,"expiresAt":1764000900000}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnsupportedMediaType),
            Problem(Code::Forbidden),
        ],
        ..NOTHING
    },
    Operation {
        id: "challenge",
        path: "/challenge",
        summary: "A challenge for the order of this product and idempotency key, as the widget altcha takes \
                  it; with a pass, unsigned",
        caller: Caller::Pass,
        query: &[
            ("product", "string", true, "the product of the order"),
            ("key", "string", true, "its idempotency key"),
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "Challenge",
                example: r#"{"algorithm":"SHA-256","challenge":"5c5d7a5e9c8f4fd7a8c7ad1cb19f5c3fd0d2a9b7ae3d2bd7ce2c6a1a33b6c0de","maxnumber":50000,"salt":"0f1e2d3c4b5a69788796a5b4?expires=1764000120&order=7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10&max=50000&","signature":"9a3c7e5b1d8f2a4c6e0b9d7f5a3c1e8b6d4f2a0c9e7b5d3f1a8c6e4b2d0f9a7c"}"#,
            },
            Problem(Code::Unauthorized),
            Problem(Code::UserBlocked),
            Problem(Code::InvalidRequest),
            Problem(Code::SlowDown),
            Problem(Code::NotFound),
        ],
        ..NOTHING
    },
    Operation {
        id: "challengeScript",
        path: "/challenge.js",
        summary: "What solves challenges in a worker of a page: window.fluxChallenge(problem)",
        answers: &[Text { code: Code::Ok, kind: "text/javascript", example: "\"use strict\";" }],
        ..NOTHING
    },
    Operation {
        id: "feed",
        path: "/orders",
        summary: "Accepted and reversed orders in log order, at least once: come again with `next`",
        caller: Caller::ClientOnly,
        query: &[
            (
                "after",
                "integer",
                false,
                "the offset of the last event that was handled; 0 at first",
            ),
            ("wait", "integer", false, "seconds to wait for something new, at most 30"),
            ("limit", "integer", false, "most events, at most 1000"),
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "Feed",
                example: r#"{"events":[{"type":"accepted","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10","productId":"iphone-15","userId":"alice-7","offset":2,"at":1764000000123}],"next":2}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::Forbidden),
            Problem(Code::LedgerUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "showOrder",
        path: "/orders/{orderId}",
        summary: "One's own order; another's is as unknown as one that never was",
        caller: Caller::Signed,
        answers: &[
            Json {
                code: Code::Ok,
                schema: "OrderStatus",
                example: r#"{"status":"confirmed","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10","productId":"iphone-15"}"#,
            },
            Json {
                code: Code::UnknownOrder,
                schema: "OrderStatus",
                example: r#"{"status":"unknown","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10"}"#,
            },
            Problem(Code::LogBehind),
            Problem(Code::OtherKeys),
            Problem(Code::LedgerUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "cancelOrder",
        method: "post",
        path: "/orders/{orderId}/cancel",
        summary: "Take an order back after a failed payment; the buyer may try again",
        caller: Caller::ClientOnly,
        body: Some(("CancelBody", r#"{"restock":true}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "OrderStatus",
                example: r#"{"status":"reversed","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10"}"#,
            },
            Json {
                code: Code::UnknownOrder,
                schema: "OrderStatus",
                example: r#"{"status":"unknown","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10"}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::Forbidden),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::OutcomeUnknown),
        ],
        ..NOTHING
    },
    Operation {
        id: "keys",
        path: "/.well-known/flux-gate-keys.json",
        summary: "The public keys that check receipts and heads of the audit trail: a JWK set",
        answers: &[Json {
            code: Code::Ok,
            schema: "Keys",
            example: r#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"34750f98bd59fcfc","x":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w","signs":"receipt","hex":"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"}]}"#,
        }],
        ..NOTHING
    },
    Operation {
        id: "showProduct",
        path: "/products/{productId}",
        summary: "A product's status and times; not its exact stock",
        answers: &[
            Json {
                code: Code::Ok,
                schema: "PublicProduct",
                example: r#"{"productId":"iphone-15","status":"open","opensAt":1764000000000,"closesAt":null,"serverTime":1764000000123}"#,
            },
            Problem(Code::UnknownProduct),
        ],
        ..NOTHING
    },
    Operation {
        id: "livez",
        path: "/livez",
        summary: "Whether the process runs",
        answers: &[Json { code: Code::Ok, schema: "Status", example: r#"{"status":"ok"}"# }],
        ..NOTHING
    },
    Operation {
        id: "readyz",
        path: "/readyz",
        summary: "Whether to send requests here",
        answers: &[
            Json { code: Code::Ok, schema: "Status", example: r#"{"status":"ready"}"# },
            Problem(Code::NotReady),
        ],
        ..NOTHING
    },
];
