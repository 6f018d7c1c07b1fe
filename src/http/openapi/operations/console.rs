//! The calls that the console makes.

use super::Answer::{Events, Json, Problem};
use super::{Caller, NOTHING, Operation};
use crate::http::code::Code;

const OVERVIEW: &str = r#"{"at":1764000000000,"version":"0.1.0","profile":"one_node","products":[],"productsLeftOut":0,"soldPerSecond":12.0,"refusedPerSecond":480.0,"refusals":[{"code":"sold_out","phrase":"Inventory empty","perSecond":480.0,"total":9120}],"queue":3,"latency":{"orders":120,"p50Us":900,"p99Us":2100},"workerLag":null,"stores":[{"name":"store","state":"up","means":"orders are written"}],"nodes":[{"name":"this node","state":"up","why":null,"answeredMs":null}],"offenders":null,"actions":[{"at":1764000000000,"who":"alice","what":"sale_paused","product":"iphone-15","why":"bots","outcome":"applied","count":1}],"blocks":0,"liveLimits":0,"approvalsWaiting":0,"auditNotRecorded":0}"#;

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "login",
        method: "post",
        path: "/admin/login",
        summary: "Begin a session of the console: a cookie in the place of a token; from its own page alone",
        caller: Caller::Console,
        body: Some(("Login", r#"{"token":"…"}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "LoggedIn",
                example: r#"{"name":"alice","role":"operator","endsInSeconds":3600}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::Unauthorized),
            Problem(Code::TooManyRequests),
        ],
        ..NOTHING
    },
    Operation {
        id: "logout",
        method: "post",
        path: "/admin/logout",
        summary: "End the session of the console",
        caller: Caller::Console,
        answers: &[Json {
            code: Code::Ok,
            schema: "LoggedIn",
            example: r#"{"name":null,"role":null,"endsInSeconds":0}"#,
        }],
        ..NOTHING
    },
    Operation {
        id: "showSession",
        path: "/admin/session",
        summary: "Who has logged in, if anybody",
        caller: Caller::Console,
        answers: &[Json {
            code: Code::Ok,
            schema: "LoggedIn",
            example: r#"{"name":"alice","role":"operator","endsInSeconds":3600}"#,
        }],
        ..NOTHING
    },
    Operation {
        id: "showOverview",
        path: "/admin/overview",
        summary: "What the console shows, as of now",
        caller: Caller::Viewer,
        answers: &[Json { code: Code::Ok, schema: "Overview", example: OVERVIEW }],
        ..NOTHING
    },
    Operation {
        id: "showHistory",
        path: "/admin/history",
        summary: "The last hour, in samples of five seconds",
        caller: Caller::Viewer,
        answers: &[Json {
            code: Code::Ok,
            schema: "History",
            example: r#"{"samples":[{"seq":1,"at":1764000000000,"sold":12.0,"refused":480.0,"remaining":88,"queue":3,"p50Us":900,"p99Us":2100,"lag":null}],"sampleSeconds":5}"#,
        }],
        ..NOTHING
    },
    Operation {
        id: "watch",
        path: "/admin/events",
        summary: "The same by server-sent events: history first, then overview each second and sample every five",
        caller: Caller::Viewer,
        headers: &[("Last-Event-ID", false, "the number of the last sample that is known")],
        query: &[("after", "integer", false, "the same, where the header cannot be set")],
        answers: &[
            Events { code: Code::Ok, example: "event: sample\nid: 17\ndata: {\"seq\":17}\n\n" },
            Problem(Code::InvalidRequest),
            Problem(Code::Overloaded),
        ],
        ..NOTHING
    },
];
