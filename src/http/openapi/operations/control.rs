//! The operator's calls on blocks, the bot score, live limits, tokens and approvals.

use super::Answer::{Json, Problem};
use super::{Answer, Caller, KEY, NOTHING, Operation};
use crate::http::code::Code;

/// The answer to a change that asks for a second operator.
pub const APPROVAL_REQUIRED: Answer = Json {
    code: Code::ApprovalRequired,
    schema: "ApprovalRequired",
    example: r#"{"status":"approval_required","approval":"restock-7","until":1764000900000}"#,
};

const BLOCK: &str = r#"{"status":"applied","id":"v4-24-0f1e2d3c4b5a6978","block":{"id":"v4-24-0f1e2d3c4b5a6978","kind":"ipv4","bits":24,"until":1764003600000,"reason":"bots","by":"alice","at":1764000000000}}"#;
const LIFTED: &str = r#"{"status":"applied","id":"v4-24-0f1e2d3c4b5a6978","block":null}"#;
const ALLOW: &str = r#"{"status":"applied","id":"user-0f1e2d3c4b5a6978","allow":{"id":"user-0f1e2d3c4b5a6978","kind":"user","until":1764003600000,"reason":"a false positive","by":"alice","at":1764000000000}}"#;
const ALLOW_LIFTED: &str = r#"{"status":"applied","id":"user-0f1e2d3c4b5a6978","allow":null}"#;
const SCORE_OFF: &str = r#"{"status":"applied","configured":true,"enabled":false,"off":{"until":1764003600000,"reason":"too many false positives","by":"alice","at":1764000000000}}"#;
const LIMIT: &str = r#"{"status":"applied","limit":{"limit":"ip_per_second","configured":10,"effective":2,"live":{"value":2,"burst":4,"until":1764003600000,"reason":"flood","by":"alice","at":1764000000000}}}"#;
const CLEARED: &str = r#"{"status":"applied","limit":{"limit":"ip_per_second","configured":10,"effective":10,"live":null}}"#;

const fn ok(schema: &'static str, example: &'static str) -> Answer {
    Json { code: Code::Ok, schema, example }
}

const INVALID: Answer = Problem(Code::InvalidRequest);
const NO_KEY: Answer = Problem(Code::MissingIdempotencyKey);
const UNKNOWN: Answer = Problem(Code::UnknownEntry);
const CONFLICT: Answer = Problem(Code::Conflict);
const BUSY: Answer = Problem(Code::Busy);
const UNSETTLED: Answer = Problem(Code::OutcomeUnknown);
const UNWRITTEN: Answer = Problem(Code::AuditUnavailable);

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "listBlocks",
        path: "/admin/blocks",
        summary: "Who is blocked, as pseudonyms",
        caller: Caller::Viewer,
        answers: &[ok("Blocks", r#"{"blocks":[]}"#)],
        ..NOTHING
    },
    Operation {
        id: "setBlock",
        method: "post",
        path: "/admin/blocks",
        summary: "Block an address, a prefix, a fingerprint or a user on all nodes; only its pseudonym is kept",
        caller: Caller::Operator,
        headers: &[KEY],
        body: Some((
            "SetBlock",
            r#"{"address":"203.0.113.0/24","until":1764003600000,"reason":"bots"}"#,
        )),
        answers: &[
            ok("BlockChanged", BLOCK),
            INVALID,
            NO_KEY,
            CONFLICT,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "liftBlock",
        method: "delete",
        path: "/admin/blocks",
        summary: "Lift a block, by whom it is of",
        caller: Caller::Operator,
        headers: &[KEY],
        body: Some(("Target", r#"{"address":"203.0.113.0/24"}"#)),
        answers: &[
            ok("BlockChanged", LIFTED),
            INVALID,
            NO_KEY,
            UNKNOWN,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "liftBlockById",
        method: "delete",
        path: "/admin/blocks/{id}",
        summary: "Lift a block, by its pseudonym",
        caller: Caller::Operator,
        headers: &[KEY],
        answers: &[
            ok("BlockChanged", LIFTED),
            INVALID,
            NO_KEY,
            UNKNOWN,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "listAllows",
        path: "/admin/allows",
        summary: "Who is excused from the bot score, as pseudonyms",
        caller: Caller::Viewer,
        answers: &[ok("Allows", r#"{"allows":[]}"#)],
        ..NOTHING
    },
    Operation {
        id: "setAllow",
        method: "post",
        path: "/admin/allows",
        summary: "Excuse an address, a prefix, a fingerprint or a user from the bot score on all nodes",
        caller: Caller::Operator,
        headers: &[KEY],
        body: Some((
            "SetBlock",
            r#"{"user":"alice-7","until":1764003600000,"reason":"a false positive"}"#,
        )),
        answers: &[
            ok("AllowChanged", ALLOW),
            INVALID,
            NO_KEY,
            CONFLICT,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "liftAllow",
        method: "delete",
        path: "/admin/allows",
        summary: "Score somebody again, by whom it is",
        caller: Caller::Operator,
        headers: &[KEY],
        body: Some(("Target", r#"{"user":"alice-7"}"#)),
        answers: &[
            ok("AllowChanged", ALLOW_LIFTED),
            INVALID,
            NO_KEY,
            UNKNOWN,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "liftAllowById",
        method: "delete",
        path: "/admin/allows/{id}",
        summary: "Score somebody again, by their pseudonym",
        caller: Caller::Operator,
        headers: &[KEY],
        answers: &[
            ok("AllowChanged", ALLOW_LIFTED),
            INVALID,
            NO_KEY,
            UNKNOWN,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "showScore",
        path: "/admin/score",
        summary: "Whether orders of shoppers are scored",
        caller: Caller::Viewer,
        answers: &[ok("ScoreState", r#"{"configured":true,"enabled":true,"off":null}"#)],
        ..NOTHING
    },
    Operation {
        id: "turnScoreOff",
        method: "post",
        path: "/admin/score/off",
        summary: "Turn the bot score off on all nodes, until a time",
        caller: Caller::Operator,
        headers: &[KEY],
        body: Some(("TurnOff", r#"{"until":1764003600000,"reason":"too many false positives"}"#)),
        answers: &[ok("ScoreState", SCORE_OFF), INVALID, NO_KEY, BUSY, UNSETTLED, UNWRITTEN],
        ..NOTHING
    },
    Operation {
        id: "turnScoreOn",
        method: "delete",
        path: "/admin/score/off",
        summary: "Score as configured before that time",
        caller: Caller::Operator,
        headers: &[KEY],
        answers: &[
            ok("ScoreState", r#"{"status":"applied","configured":true,"enabled":true,"off":null}"#),
            NO_KEY,
            UNKNOWN,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "listLimits",
        path: "/admin/limits",
        summary: "The limits, as configured and as they hold",
        caller: Caller::Viewer,
        answers: &[ok("Limits", r#"{"limits":[]}"#)],
        ..NOTHING
    },
    Operation {
        id: "setLimit",
        method: "post",
        path: "/admin/limits",
        summary: "Put a limit in the place of the configured one for a time, on all nodes",
        caller: Caller::Operator,
        headers: &[KEY],
        body: Some((
            "SetLimit",
            r#"{"limit":"ip_per_second","value":2,"burst":4,"until":1764003600000,"reason":"flood"}"#,
        )),
        answers: &[ok("LimitChanged", LIMIT), INVALID, NO_KEY, BUSY, UNSETTLED, UNWRITTEN],
        ..NOTHING
    },
    Operation {
        id: "clearLimit",
        method: "delete",
        path: "/admin/limits/{limit}",
        summary: "Go back to the configured limit",
        caller: Caller::Operator,
        headers: &[KEY],
        answers: &[
            ok("LimitChanged", CLEARED),
            INVALID,
            NO_KEY,
            UNKNOWN,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "listTokens",
        path: "/admin/tokens",
        summary: "Who may operate",
        caller: Caller::Admin,
        answers: &[ok(
            "TokenList",
            r#"{"tokens":[{"name":"admin","role":"admin","configured":true,"until":null,"by":null,"at":null}]}"#,
        )],
        ..NOTHING
    },
    Operation {
        id: "addToken",
        method: "post",
        path: "/admin/tokens",
        summary: "Make an operator's token; it is shown this once",
        caller: Caller::Admin,
        headers: &[KEY],
        body: Some(("NewToken", r#"{"name":"alice","role":"operator"}"#)),
        answers: &[
            Json {
                code: Code::Created,
                schema: "MadeToken",
                example: r#"{"name":"alice","role":"operator","until":null,"token":"0f1e…"}"#,
            },
            INVALID,
            NO_KEY,
            CONFLICT,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "revokeToken",
        method: "delete",
        path: "/admin/tokens/{name}",
        summary: "Revoke an operator's token on all nodes",
        caller: Caller::Admin,
        headers: &[KEY],
        answers: &[
            ok("TokenRevoked", r#"{"status":"applied","name":"alice"}"#),
            INVALID,
            NO_KEY,
            UNKNOWN,
            CONFLICT,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "listApprovals",
        path: "/admin/approvals",
        summary: "Changes that wait for a second operator, or that one has approved",
        caller: Caller::Viewer,
        answers: &[ok(
            "ApprovalList",
            r#"{"approvals":[{"approval":"restock-7","productId":"iphone-15","change":{"capacity":{"to":{"remaining":50}}},"askedBy":"alice","askedAt":1764000000000,"until":1764000900000,"givenBy":null}]}"#,
        )],
        ..NOTHING
    },
    Operation {
        id: "approve",
        method: "post",
        path: "/admin/approvals/{id}/approve",
        summary: "Approve another operator's change, which is made now",
        caller: Caller::Operator,
        answers: &[
            ok(
                "Approved",
                r#"{"status":"applied","approval":"restock-7","product":{"productId":"iphone-15","capacity":100,"sold":50,"remaining":50,"pending":0,"paused":false,"archived":false,"status":"open","opensAt":1764000000000,"closesAt":null,"perBuyerLimit":1,"repeatWindowSeconds":60,"generation":1,"offset":42}}"#,
            ),
            NO_KEY,
            UNKNOWN,
            CONFLICT,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
    Operation {
        id: "reject",
        method: "post",
        path: "/admin/approvals/{id}/reject",
        summary: "Refuse another operator's change, or withdraw one's own",
        caller: Caller::Operator,
        answers: &[
            ok("Rejected", r#"{"status":"rejected","approval":"restock-7"}"#),
            NO_KEY,
            UNKNOWN,
            CONFLICT,
            BUSY,
            UNSETTLED,
            UNWRITTEN,
        ],
        ..NOTHING
    },
];
