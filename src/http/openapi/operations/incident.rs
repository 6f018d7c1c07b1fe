//! The operator's calls in an incident: stop, resume, reverse, report.

use super::Answer::{Json, Problem};
use super::{Answer, Caller, KEY, NOTHING, Operation};
use crate::http::code::Code;

const WHICH: (&str, &str) = ("Which", r#"{"product":"iphone-15","reason":"bots, ticket 71"}"#);
const OPTIONAL_KEY: (&str, bool, &str) = (KEY.0, false, KEY.2);

const REVERSED: Answer = Json {
    code: Code::Ok,
    schema: "ReversedMany",
    example: r#"{"status":"done","matched":3,"reversed":2,"already":1,"unknown":0,"orders":["3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3","81ac5ba9-b91c-8984-b6af-7577bb642adc"],"dryRun":false,"needsApproval":false,"sold":[40,38]}"#,
};
const UNITS_WAIT: Answer = Json {
    code: Code::ApprovalRequired,
    schema: "ReversedMany",
    example: r#"{"status":"approval_required","matched":1,"reversed":1,"already":0,"unknown":0,"orders":["3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3"],"dryRun":false,"needsApproval":true,"sold":[40,39],"approval":"fraud-71","until":1764000900000}"#,
};

const fn stop_or_resume(
    id: &'static str,
    path: &'static str,
    summary: &'static str,
    answers: &'static [Answer],
) -> Operation {
    Operation {
        id,
        method: "post",
        path,
        summary,
        caller: Caller::Operator,
        headers: &[OPTIONAL_KEY],
        body: Some(WHICH),
        answers,
        ..NOTHING
    }
}

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    stop_or_resume(
        "incidentStop",
        "/admin/incident/stop",
        "Stop one sale, or all (product null): nothing is confirmed on any node from the record on; the true count is kept",
        &[
            Json {
                code: Code::Ok,
                schema: "Stopped",
                example: r#"{"stopped":[{"productId":"iphone-15","sold":40,"offset":42,"status":"stopped"}],"ms":3}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::OutcomeUnknown),
        ],
    ),
    stop_or_resume(
        "incidentResume",
        "/admin/incident/resume",
        "Go on with one sale, or with all (product null)",
        &[
            Json {
                code: Code::Ok,
                schema: "Resumed",
                example: r#"{"resumed":[{"productId":"iphone-15","sold":40,"offset":43,"status":"open"}],"ms":3}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::AuditUnavailable),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::OutcomeUnknown),
        ],
    ),
    Operation {
        id: "incidentReverse",
        method: "post",
        path: "/admin/incident/reverse",
        summary: "Take many orders of one sale back, each once; dryRun only says what it would do",
        caller: Caller::Operator,
        headers: &[OPTIONAL_KEY],
        body: Some((
            "ReverseMany",
            r#"{"product":"iphone-15","orders":["3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3"],"restock":true,"reason":"bots, ticket 71","dryRun":true}"#,
        )),
        answers: &[
            REVERSED,
            UNITS_WAIT,
            Problem(Code::InvalidRequest),
            Problem(Code::MissingIdempotencyKey),
            Problem(Code::UnknownProduct),
            Problem(Code::AuditUnavailable),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::LogBehind),
            Problem(Code::EvidenceUnavailable),
            Problem(Code::OutcomeUnknown),
        ],
        ..NOTHING
    },
    Operation {
        id: "incidentReport",
        path: "/admin/incident/report",
        summary: "A signed report of a span of time: for people, for machines, and the records that prove it",
        caller: Caller::Operator,
        query: &[
            (
                "since",
                "integer",
                false,
                "from then on, Unix milliseconds; absent: an hour before the end",
            ),
            ("until", "integer", false, "before then; absent: now"),
            ("product", "string", false, "of this product alone"),
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "Report",
                example: r##"{"markdown":"# Incident report…","json":"{…}","actions":"line,at,who…","orders":"{…}\n","audit":"{…}\n","head":"{…}\n","records":"{…}\n","manifest":"{…}","signature":"…"}"##,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
];
