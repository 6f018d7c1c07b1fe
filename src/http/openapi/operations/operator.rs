//! The operator's calls on sales, orders, the audit trail and metrics.

use super::Answer::{Json, Problem, Text};
use super::{Answer, Caller, KEY, NOTHING, Operation, control};
use crate::http::code::Code;

const PRODUCT: &str = r#"{"productId":"iphone-15","capacity":100,"sold":40,"remaining":60,"pending":0,"paused":false,"archived":false,"status":"open","opensAt":1764000000000,"closesAt":null,"perBuyerLimit":1,"repeatWindowSeconds":60,"generation":0,"offset":41}"#;
const APPLIED: Answer = Json {
    code: Code::Ok,
    schema: "Changed",
    example: r#"{"status":"applied","product":{"productId":"iphone-15","capacity":100,"sold":40,"remaining":60,"pending":0,"paused":true,"archived":false,"status":"paused","opensAt":1764000000000,"closesAt":null,"perBuyerLimit":1,"repeatWindowSeconds":60,"generation":0,"offset":42}}"#,
};
const PROOF: &str = r#"{"productId":"iphone-15","capacity":100,"sold":100,"reversed":0,"offset":101,"digest":"…","at":1764000000000,"root":"…","key":"34750f98bd59fcfc","signature":"…","orders":["…"]}"#;
const HEAD: &str = r#"{"seq":9,"at_ms":1764000000000,"kind":"head","fields":{"node":"…","key":"…","log":[],"signature":"…"},"prev":"…","digest":"…"}"#;
const CHANGED: &[Answer] = &[
    APPLIED,
    Problem(Code::InvalidRequest),
    Problem(Code::MissingIdempotencyKey),
    Problem(Code::UnknownProduct),
    Problem(Code::Conflict),
    Problem(Code::Busy),
    Problem(Code::OutcomeUnknown),
    Problem(Code::AuditUnavailable),
];

const RESTOCKED: &[Answer] = &[
    APPLIED,
    control::APPROVAL_REQUIRED,
    Problem(Code::InvalidRequest),
    Problem(Code::MissingIdempotencyKey),
    Problem(Code::UnknownProduct),
    Problem(Code::Conflict),
    Problem(Code::Busy),
    Problem(Code::OutcomeUnknown),
    Problem(Code::AuditUnavailable),
];

const fn change(id: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation {
        id,
        method: "post",
        path,
        summary,
        caller: Caller::Operator,
        headers: &[KEY],
        answers: CHANGED,
        ..NOTHING
    }
}

pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "init",
        method: "post",
        path: "/init",
        summary: "Open the sale of a new product, or set the units left of a running one",
        caller: Caller::Operator,
        headers: &[("Idempotency-Key", false, "required for a running sale")],
        body: Some(("Init", r#"{"productId":"iphone-15","quantity":100}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "InitAnswer",
                example: r#"{"status":"ok","msg":"Stock initialized for iphone-15 to 100"}"#,
            },
            control::APPROVAL_REQUIRED,
            Problem(Code::InvalidRequest),
            Problem(Code::MissingIdempotencyKey),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::OutcomeUnknown),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "listProducts",
        path: "/admin/products",
        summary: "All products, exactly",
        caller: Caller::Viewer,
        answers: &[Json { code: Code::Ok, schema: "Products", example: r#"{"products":[]}"# }],
        ..NOTHING
    },
    Operation {
        id: "createProduct",
        method: "post",
        path: "/admin/products",
        summary: "Open the sale of a new product with terms of its own",
        caller: Caller::Operator,
        headers: &[("Idempotency-Key", false, "makes a repetition of the call harmless")],
        body: Some((
            "Create",
            r#"{"productId":"iphone-15","quantity":100,"opensAt":1764000000000,"perBuyerLimit":1}"#,
        )),
        answers: &[
            Json { code: Code::Created, schema: "Product", example: PRODUCT },
            Problem(Code::InvalidRequest),
            Problem(Code::MissingIdempotencyKey),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::OutcomeUnknown),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "showProductExactly",
        path: "/admin/products/{productId}",
        summary: "One product, exactly",
        caller: Caller::Viewer,
        answers: &[
            Json { code: Code::Ok, schema: "Product", example: PRODUCT },
            Problem(Code::UnknownProduct),
        ],
        ..NOTHING
    },
    change("openSale", "/admin/products/{productId}/open", "Open a sale now"),
    change("closeSale", "/admin/products/{productId}/close", "Close a sale now"),
    change("pauseSale", "/admin/products/{productId}/pause", "Stop a sale; the count is kept"),
    change("resumeSale", "/admin/products/{productId}/resume", "Go on after a pause"),
    Operation {
        body: Some(("Restock", r#"{"quantity":50}"#)),
        answers: RESTOCKED,
        ..change("restockSale", "/admin/products/{productId}/restock", "Set the units left")
    },
    Operation {
        caller: Caller::Admin,
        ..change("archiveSale", "/admin/products/{productId}/archive", "End a sale for ever")
    },
    Operation {
        id: "listOrders",
        path: "/admin/orders",
        summary: "The ledger's orders, in log order",
        caller: Caller::Viewer,
        query: &[
            ("product", "string", false, "of this product alone"),
            ("after", "integer", false, "after this offset"),
            ("limit", "integer", false, "most orders of the page, at most 10000"),
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "Orders",
                example: r#"{"orders":[{"orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10","productId":"iphone-15","buyer":"00112233445566778899aabbccddeeff","status":"confirmed","createdAt":1764000000123,"offset":2}],"next":null}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::LedgerUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "reverseOrder",
        method: "post",
        path: "/admin/orders/{orderId}/reverse",
        summary: "Take an order back",
        caller: Caller::Operator,
        headers: &[("Idempotency-Key", false, "names the approval, if a second operator is asked")],
        body: Some(("Reverse", r#"{"restock":true,"freesLimit":false,"reason":"fraud"}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "OrderStatus",
                example: r#"{"status":"reversed","orderId":"7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10"}"#,
            },
            control::APPROVAL_REQUIRED,
            Problem(Code::InvalidRequest),
            Problem(Code::MissingIdempotencyKey),
            Problem(Code::UnknownOrder),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::OutcomeUnknown),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "metrics",
        path: "/metrics",
        summary: "Prometheus metrics (OpenMetrics text)",
        caller: Caller::Viewer,
        answers: &[Text {
            code: Code::Ok,
            kind: "application/openmetrics-text",
            example: "flux_gate_answers_total{code=\"accepted\"} 100\n",
        }],
        ..NOTHING
    },
    Operation {
        id: "proof",
        path: "/admin/products/{productId}/proof",
        summary: "Signed: how many were sold of how many, without naming anyone",
        caller: Caller::Operator,
        answers: &[
            Json { code: Code::Ok, schema: "Proof", example: PROOF },
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
        ],
        ..NOTHING
    },
    Operation {
        id: "auditHead",
        path: "/admin/audit/head",
        summary: "A signed head of the audit trail, to be kept elsewhere",
        caller: Caller::Viewer,
        answers: &[
            Json { code: Code::Ok, schema: "AuditLine", example: HEAD },
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "audit",
        path: "/admin/audit",
        summary: "The audit trail, in its order",
        caller: Caller::Operator,
        query: &[
            ("after", "integer", false, "after this number"),
            ("limit", "integer", false, "at most so many, up to 1000"),
            ("kind", "string", false, "of this kind alone"),
        ],
        answers: &[
            Json { code: Code::Ok, schema: "Audit", example: r#"{"events":[],"next":null}"# },
            Problem(Code::InvalidRequest),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
];
