//! What is kept of a person, and its erasure.

use super::Answer::{Json, Problem};
use super::{Caller, KEY, NOTHING, Operation};
use crate::http::code::Code;

const WHO: (&str, &str) = ("Person", r#"{"userId":"alice"}"#);

const fn look(
    id: &'static str,
    path: &'static str,
    summary: &'static str,
    answers: &'static [super::Answer],
) -> Operation {
    Operation {
        id,
        method: "post",
        path,
        summary,
        caller: Caller::Admin,
        body: Some(WHO),
        answers,
        ..NOTHING
    }
}

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    look(
        "privacyExport",
        "/admin/privacy/export",
        "Everything that is kept of a person; the audit trail notes who asked, and the person's pseudonyms",
        &[
            Json {
                code: Code::Ok,
                schema: "PersonExport",
                example: r#"{"persons":[{"nameSpace":"shop","buyer":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","erasedAt":null,"more":false,"orders":[{"orderId":"3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3","productId":"iphone-15","status":"confirmed","createdAt":1764000000000,"offset":42,"userId":"alice"}],"blocks":[]}],"sealed":null,"elsewhere":[{"where":"order log","what":"the pseudonym of the buyer in each attempt","kept":"for as long as the sale's log is kept"}]}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::LogBehind),
            Problem(Code::LedgerUnavailable),
            Problem(Code::AuditUnavailable),
        ],
    ),
    look(
        "privacyStatus",
        "/admin/privacy/status",
        "How far the erasure of a person has come: nothing_kept, kept, erasing, erased_in_ledger or erased_everywhere",
        &[
            Json {
                code: Code::Ok,
                schema: "PersonStatus",
                example: r#"{"status":"erased_in_ledger","persons":[{"nameSpace":"shop","buyer":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","orders":1,"sales":["iphone-15"],"userIds":0,"erasedAt":1764000000000}],"sealed":{"openableUntil":1764700000000,"keys":["s1763942400"],"filesRewritten":false}}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::LogBehind),
            Problem(Code::LedgerUnavailable),
        ],
    ),
    Operation {
        id: "privacyErase",
        method: "post",
        path: "/admin/privacy/erase",
        summary: "Forget a person, once under the key of the call: no store holds the user id afterwards; orders and counts stand under the pseudonym. dryRun only says what it would do, and needs no key",
        caller: Caller::Admin,
        headers: &[(KEY.0, false, KEY.2)],
        body: Some(("Erase", r#"{"userId":"alice","reason":"asked for it, ticket 12"}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "ErasedPerson",
                example: r#"{"status":"erased","persons":[{"nameSpace":"shop","buyer":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","orders":1,"sales":["iphone-15"],"userIds":1,"erasedAt":null}],"sealed":null}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::MissingIdempotencyKey),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::LogBehind),
            Problem(Code::LedgerUnavailable),
            Problem(Code::AuditUnavailable),
            Problem(Code::EvidenceUnavailable),
            Problem(Code::OutcomeUnknown),
        ],
        ..NOTHING
    },
];
