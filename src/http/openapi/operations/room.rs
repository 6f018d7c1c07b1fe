//! The calls of waiting rooms.

use super::Answer::{Elsewhere, Events, Json, Problem, Text};
use super::{Caller, NOTHING, Operation};
use crate::http::code::Code;

const PRODUCT: (&str, &str, bool, &str) = ("product", "string", true, "the product's id");
const HTML: &str = "text/html";
const FORM: &str = "application/x-www-form-urlencoded";
const PAGE: &str = "<!doctype html>…";
const ROOM: &str = r#"{"productId":"iphone-15","active":true,"phase":"serving","head":120,"places":4800,"admitted":50,"admittedTotal":110,"waitSeconds":94,"viewers":4100}"#;
const DRAW: &str = r#"{"productId":"iphone-15","commitment":"8f14e45fceea167a5a36dedd4bea25438f14e45fceea167a5a36dedd4bea2543","publicValueSource":"drand quicknet, first round after the opening","entrants":4800,"root":"c9f0f895fb98ab9159f51fd0297e236dc9f0f895fb98ab9159f51fd0297e236d","publicValue":"45c48cce2e2d7fbd","seed":"6512bd43d9caa6e02c990b0a82652dca6512bd43d9caa6e02c990b0a82652dca"}"#;

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "showWaitingRoom",
        path: "/waiting-room",
        summary: "The waiting room's page; the shop's link carries pass and session key behind a #",
        query: &[PRODUCT, ("lang", "string", false, "a language of the page, such as de")],
        answers: &[
            Text { code: Code::Ok, kind: HTML, example: PAGE },
            Text { code: Code::NoRoom, kind: HTML, example: PAGE },
        ],
        ..NOTHING
    },
    Operation {
        id: "takeTicket",
        method: "post",
        path: "/waiting-room/ticket",
        summary: "A place in the queue; whoever asks again has the same",
        caller: Caller::Signed,
        body: Some(("AskTicket", r#"{"productId":"iphone-15"}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "TicketGiven",
                example: r#"{"ticket":"t1.AAAAEQ….…","productId":"iphone-15","number":17,"issuedAt":1764000000000,"commitment":"8f14e45fceea167a…","publicValueSource":"","pollSeconds":15,"serverTime":1764000000000}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnsupportedMediaType),
            Problem(Code::UnknownProduct),
            Problem(Code::NoRoom),
            Problem(Code::RoomFull),
            Problem(Code::RoomUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "showWaitingState",
        path: "/waiting-room/state",
        summary: "How the room stands, and the ticket in x-queue-ticket; a sign of life of its holder",
        headers: &[("x-queue-ticket", false, "one's own ticket")],
        query: &[PRODUCT],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "RoomState",
                example: r#"{"productId":"iphone-15","phase":"serving","stock":"open","opensAt":1764000000000,"head":120,"places":4800,"ticket":"waiting","place":170,"ahead":50,"waitSeconds":2,"pollSeconds":15,"serverTime":1764000000000}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::SlowDown),
            Problem(Code::UnknownProduct),
            Problem(Code::NoRoom),
            Problem(Code::TicketInvalid),
            Problem(Code::RoomUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "takeAdmission",
        method: "post",
        path: "/waiting-room/admission",
        summary: "The pass that admits to the sale, when it is one's turn",
        caller: Caller::Signed,
        body: Some(("AskAdmission", r#"{"ticket":"t1.AAAAEQ….…"}"#)),
        answers: &[
            Json {
                code: Code::Ok,
                schema: "AdmissionGiven",
                example: r#"{"pass":"v1.…","sessionKey":"…","userId":"alice-7","expiresAt":1764000120000,"serverTime":1764000000000}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnsupportedMediaType),
            Problem(Code::TicketInvalid),
            Problem(Code::NotYourTurn),
            Problem(Code::TicketSpent),
            Problem(Code::RoomUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "watchWaitingRoom",
        path: "/waiting-room/events",
        summary: "How the room stands, live; Last-Event-ID resumes",
        query: &[PRODUCT],
        headers: &[("last-event-id", false, "the id of the last event that was seen")],
        answers: &[
            Events {
                code: Code::Ok,
                example: "event: room\nid: 1764000000000\ndata: {\"phase\":\"serving\",\"stock\":\"open\",\"opensAt\":1764000000000,\"head\":120,\"places\":4800,\"waitSeconds\":94}\n\n",
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::NoRoom),
        ],
        ..NOTHING
    },
    Operation {
        id: "showDraw",
        path: "/waiting-room/draw",
        summary: "What is published of the draw, and that a number is among the entrants",
        query: &[PRODUCT, ("number", "integer", false, "a ticket's number, for its proof")],
        answers: &[
            Json { code: Code::Ok, schema: "Draw", example: DRAW },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::NoRoom),
            Problem(Code::RoomUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "listEntrants",
        path: "/waiting-room/entrants",
        summary: "The leaves of the draw's Merkle tree by number, one a line; empty before the opening",
        query: &[PRODUCT],
        answers: &[
            Text {
                code: Code::Ok,
                kind: "text/plain",
                example: "8f14e45fceea167a…\nc9f0f895fb98ab91…\n",
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::NoRoom),
            Problem(Code::RoomUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "enterByForm",
        method: "post",
        path: "/waiting-room/enter",
        summary: "A place for a browser without scripts: a form with product, pass and lang, from the shop's page",
        body_type: FORM,
        body: Some(("EnterForm", r#"{"product":"iphone-15","pass":"v1.eyJr….c2ln…","lang":"de"}"#)),
        answers: &[
            Text { code: Code::Unauthorized, kind: HTML, example: PAGE },
            Text { code: Code::NoRoom, kind: HTML, example: PAGE },
            Text { code: Code::RoomFull, kind: HTML, example: PAGE },
            Text { code: Code::RoomUnavailable, kind: HTML, example: PAGE },
            Elsewhere(Code::SeeOther),
            Problem(Code::InvalidRequest),
            Problem(Code::Forbidden),
        ],
        ..NOTHING
    },
    Operation {
        id: "buyByForm",
        method: "post",
        path: "/waiting-room/buy",
        summary: "An order by the page's own form with product, token and lang, which spends the admission of the cookie",
        body_type: FORM,
        body: Some(("BuyForm", r#"{"product":"iphone-15","token":"0f1e…","lang":"de"}"#)),
        answers: &[
            Text { code: Code::Pending, kind: HTML, example: PAGE },
            Text { code: Code::Unauthorized, kind: HTML, example: PAGE },
            Text { code: Code::NoRoom, kind: HTML, example: PAGE },
            Text { code: Code::SoldOut, kind: HTML, example: PAGE },
            Text { code: Code::LimitReached, kind: HTML, example: PAGE },
            Text { code: Code::NotYourTurn, kind: HTML, example: PAGE },
            Text { code: Code::Closed, kind: HTML, example: PAGE },
            Text { code: Code::Busy, kind: HTML, example: PAGE },
            Text { code: Code::Duplicate, kind: HTML, example: PAGE },
            Text { code: Code::Accepted, kind: HTML, example: PAGE },
            Problem(Code::InvalidRequest),
            Problem(Code::Forbidden),
            Problem(Code::TicketInvalid),
            Problem(Code::RoomUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "showRoom",
        path: "/admin/products/{id}/waiting-room",
        summary: "How a product's waiting room stands",
        caller: Caller::Viewer,
        answers: &[
            Json { code: Code::Ok, schema: "Room", example: ROOM },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
        ],
        ..NOTHING
    },
    Operation {
        id: "switchRoom",
        method: "post",
        path: "/admin/products/{id}/waiting-room",
        summary: "Sell by way of the waiting room alone, or no more, until the node restarts",
        caller: Caller::Operator,
        body: Some(("SwitchRoom", r#"{"active":true}"#)),
        answers: &[
            Json { code: Code::Ok, schema: "Room", example: ROOM },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "givePublicValue",
        method: "post",
        path: "/admin/products/{id}/public-value",
        summary: "The public value of a draw, after its root is published; once",
        caller: Caller::Operator,
        body: Some(("PublicValue", r#"{"value":"45c48cce2e2d7fbd"}"#)),
        answers: &[
            Json { code: Code::Ok, schema: "Draw", example: DRAW },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
            Problem(Code::AuditUnavailable),
        ],
        ..NOTHING
    },
];
