//! The schemas of all bodies: derived from the types where there is one, else written here.

use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use crate::http::operator::console::{history, login, offenders, overview, recent, stores};
use crate::http::operator::incident::look::{analysis, offenders as found, orders as suspicious};
use crate::http::operator::incident::{reverse, stop};
use crate::http::operator::{
    allows, approvals, blocks, changes, handlers, limits, privacy, products, rooms, tokens,
};
use crate::http::room::calls;
use crate::http::{orders, products as public_products};
use crate::sale::{OrderId, ProductId, UserId};

/// Name and schema of each.
pub fn all() -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| {
        all.insert(name.to_owned(), schema);
    };
    add_sales(&mut add);
    add_controls(&mut add);
    add_measures(&mut add);
    add_rooms(&mut add);
    add_looks(&mut add);
    add_persons(&mut add);
    add_console(&mut add);
    add_shown(&mut add);
    add_bodies(&mut add);
    add_answers(&mut add);
    all
}

/// Sales and their orders, for operators.
fn add_sales(add: &mut impl FnMut(&str, Value)) {
    add("Product", of::<products::Product>());
    add(
        "Products",
        json!({
            "type": "object", "required": ["products"],
            "properties": { "products": array("Product") },
        }),
    );
    add("Changed", of::<changes::Changed>());
    add("Init", of::<products::Init>());
    add("Create", of::<products::Create>());
    add("Restock", of::<changes::Restock>());
    add("Reverse", of::<handlers::Reverse>());
    add("Order", of::<handlers::Order>());
    add("Orders", of::<handlers::Orders>());
}

/// Live controls, tokens and approvals.
fn add_controls(add: &mut impl FnMut(&str, Value)) {
    add("Target", of::<blocks::Target>());
    add("SetBlock", of::<blocks::SetBlock>());
    add("BlockView", of::<blocks::BlockView>());
    add("Blocks", of::<blocks::Blocks>());
    add("BlockChanged", of::<blocks::BlockChanged>());
    add("Allows", of::<allows::Allows>());
    add("AllowChanged", of::<allows::AllowChanged>());
    add("TurnOff", of::<allows::TurnOff>());
    add("OffView", of::<allows::OffView>());
    add("ScoreState", of::<allows::ScoreState>());
    add("Challenge", challenge());
    add("SetLimit", of::<limits::SetLimit>());
    add("Live", of::<limits::Live>());
    add("LimitView", of::<limits::LimitView>());
    add("Limits", of::<limits::Limits>());
    add("LimitChanged", of::<limits::LimitChanged>());
    add("NewToken", of::<tokens::NewToken>());
    add("MadeToken", of::<tokens::MadeToken>());
    add("TokenView", of::<tokens::TokenView>());
    add("TokenList", of::<tokens::TokenList>());
    add("TokenRevoked", of::<tokens::TokenRevoked>());
    add("ApprovalRequired", of::<approvals::ApprovalRequired>());
    add("ApprovalView", of::<approvals::ApprovalView>());
    add("ApprovalList", of::<approvals::ApprovalList>());
    add("Approved", of::<approvals::Approved>());
    add("Rejected", of::<approvals::Rejected>());
}

/// What is done against an attack.
fn add_measures(add: &mut impl FnMut(&str, Value)) {
    add("Which", of::<stop::Which>());
    add("Standing", of::<stop::Standing>());
    add("Stopped", of::<stop::Stopped>());
    add("Resumed", of::<stop::Resumed>());
    add("ReverseMany", of::<reverse::ReverseMany>());
    add("ReversedMany", of::<reverse::ReversedMany>());
}

/// Waiting rooms.
fn add_rooms(add: &mut impl FnMut(&str, Value)) {
    add("AskTicket", of::<calls::AskTicket>());
    add("TicketGiven", of::<calls::TicketGiven>());
    add("RoomState", of::<calls::RoomState>());
    add("AskAdmission", of::<calls::AskAdmission>());
    add("AdmissionGiven", of::<calls::AdmissionGiven>());
    add("Room", of::<rooms::Room>());
    add("SwitchRoom", of::<rooms::SwitchRoom>());
    add("PublicValue", of::<rooms::PublicValue>());
    add("Draw", draw());
}

/// What is known of an attack.
fn add_looks(add: &mut impl FnMut(&str, Value)) {
    add("Report", report());
    add("SuspiciousOrders", of::<suspicious::SuspiciousOrders>());
    add("SuspiciousOrder", of::<suspicious::SuspiciousOrder>());
    add("Shows", of::<suspicious::Shows>());
    add("Offenders", of::<found::Offenders>());
    add("OffenderView", of::<found::OffenderView>());
    add("Analysis", of::<analysis::Analysis>());
    add("StepView", of::<analysis::StepView>());
    add("RuleView", of::<analysis::RuleView>());
}

/// What is kept of a person.
fn add_persons(add: &mut impl FnMut(&str, Value)) {
    add("Person", of::<privacy::Person>());
    add("PersonExport", of::<privacy::PersonExport>());
    add("KeptOfPerson", of::<privacy::KeptOfPerson>());
    add("OrderOfPerson", of::<privacy::OrderOfPerson>());
    add("PersonStatus", of::<privacy::PersonStatus>());
    add("PersonStanding", of::<privacy::PersonStanding>());
    add("SealedCopies", of::<privacy::sealed::SealedCopies>());
    add("Elsewhere", of::<privacy::elsewhere::Elsewhere>());
    add("Erase", of::<privacy::erase::Erase>());
    add("ErasedPerson", of::<privacy::erase::ErasedPerson>());
}

/// The console.
fn add_console(add: &mut impl FnMut(&str, Value)) {
    add("Login", of::<login::Login>());
    add("LoggedIn", of::<login::LoggedIn>());
    add("Overview", of::<overview::Overview>());
    add("Refusals", of::<overview::Refusals>());
    add("Latency", of::<overview::Latency>());
    add("Store", of::<stores::Store>());
    add("Node", of::<stores::Node>());
    add("State", of::<stores::State>());
    add("Offender", of::<offenders::Offender>());
    add("Action", of::<recent::Action>());
    add("Sample", of::<history::Sample>());
    add(
        "History",
        json!({
            "type": "object", "required": ["samples", "sampleSeconds"],
            "properties": {
                "samples": array("Sample"),
                "sampleSeconds": { "type": "integer", "description": "between two samples" },
            },
        }),
    );
}

/// What is shown of sales, orders and the trail.
fn add_shown(add: &mut impl FnMut(&str, Value)) {
    add("PublicProduct", of::<public_products::PublicProduct>());
    add("Event", of::<orders::Event>());
    add(
        "Feed",
        json!({
            "type": "object", "required": ["events", "next"],
            "properties": {
                "events": array("Event"),
                "next": { "type": "integer", "description": "the `after` of the next call" },
            },
        }),
    );
    add("Keys", json!({ "type": "object", "required": ["keys"] }));
    add(
        "AuditLine",
        json!({
            "type": "object", "required": ["seq", "at_ms", "kind", "fields", "prev", "digest"],
        }),
    );
    add(
        "Proof",
        json!({
            "type": "object", "description": "a signed statement; see docs/RECEIPTS.md",
            "required": ["productId", "capacity", "sold", "reversed", "offset", "digest", "at",
                "root", "key", "signature", "orders"],
        }),
    );
    add(
        "Audit",
        json!({
            "type": "object", "required": ["events", "next"],
            "properties": {
                "events": array("AuditLine"),
                "next": { "type": ["integer", "null"], "description": "the `after` of the next page" },
            },
        }),
    );
}

/// Bodies of the public calls.
fn add_bodies(add: &mut impl FnMut(&str, Value)) {
    add(
        "OrderBody",
        strict(
            json!({
                "productId": name(ProductId::PATTERN), "userId": name(UserId::PATTERN),
            }),
            &["productId", "userId"],
        ),
    );
    add("SessionBody", strict(json!({ "userId": name(UserId::PATTERN) }), &[]));
    let lang = || json!({ "type": "string", "description": "a language of the page" });
    add(
        "EnterForm",
        strict(
            json!({
                "product": name(ProductId::PATTERN), "lang": lang(),
                "pass": { "type": "string", "description": "absent: the cookie's, from this page alone" },
            }),
            &["product"],
        ),
    );
    add(
        "BuyForm",
        strict(
            json!({
                "product": name(ProductId::PATTERN), "lang": lang(), "token": { "type": "string" },
            }),
            &["product", "token"],
        ),
    );
    add("CancelBody", strict(json!({ "restock": { "type": "boolean" } }), &["restock"]));
}

/// Answers of the public calls, and problems.
fn add_answers(add: &mut impl FnMut(&str, Value)) {
    add(
        "OrderAnswer",
        json!({
            "type": "object", "required": ["status"],
            "properties": {
                "status": { "type": "string", "enum": [
                    "success", "ignored", "pending", "sold_out", "limit_reached", "not_open", "closed",
                    "paused",
                ] },
                "msg": { "type": "string" },
                "orderId": order_id(),
                "receipt": {
                    "type": "string",
                    "description": "what the buyer keeps: base64url, signed; see docs/RECEIPTS.md",
                },
                "reason": { "type": "string", "enum": ["same_key", "repeat_window"] },
                "orderStatus": { "type": "string", "enum": ["reversed"] },
                "opensAt": { "type": "integer", "description": "Unix milliseconds" },
            },
        }),
    );
    add(
        "OrderStatus",
        json!({
            "type": "object", "required": ["status", "orderId"],
            "properties": {
                "status": { "type": "string", "enum": [
                    "confirmed", "reversed", "pending", "unknown", "ignored",
                ] },
                "orderId": { "oneOf": [order_id(), { "type": "null" }] },
                "productId": name(ProductId::PATTERN),
                "reason": { "type": "string" },
            },
        }),
    );
    add(
        "SessionAnswer",
        json!({
            "type": "object",
            "required": ["pass", "sessionKey", "userId", "serverTime", "expiresAt"],
            "properties": {
                "pass": { "type": "string" },
                "sessionKey": {
                    "type": "string", "description": "64 hex digits; their ASCII bytes are the HMAC key",
                },
                "userId": name(UserId::PATTERN),
                "serverTime": { "type": "integer", "description": "Unix milliseconds" },
                "expiresAt": { "type": "integer", "description": "Unix milliseconds" },
            },
        }),
    );
    add(
        "InitAnswer",
        json!({
            "type": "object", "required": ["status", "msg"],
            "properties": { "status": { "const": "ok" }, "msg": { "type": "string" } },
        }),
    );
    add(
        "Status",
        json!({
            "type": "object", "required": ["status"], "properties": { "status": { "type": "string" } },
        }),
    );
    add("Problem", problem());
}

/// RFC 9457, with `code`, `retry` and `error`.
fn problem() -> Value {
    json!({
        "type": "object", "required": ["type", "title", "status", "code", "retry", "error"],
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string", "description": "stable" },
            "retry": { "type": "string", "enum": ["never", "same_key", "after"] },
            "error": { "type": "string" },
            "detail": { "type": "string" },
            "details": {
                "type": "array",
                "items": {
                    "type": "object", "required": ["field", "message"],
                    "properties": {
                        "field": { "type": "string" }, "message": { "type": "string" },
                    },
                },
            },
            "serverTime": { "type": "integer", "description": "Unix milliseconds" },
            "orderId": order_id(),
            "waitingRoom": { "type": "string" },
            "provider": {
                "type": "string", "enum": ["altcha", "turnstile", "hcaptcha", "recaptcha"],
                "description": "with challenge_required: who makes challenges",
            },
            "siteKey": { "type": "string", "description": "the page's key at that service" },
            "challenge": super::reference("Challenge"),
        },
    })
}

/// Version 1 of ALTCHA's protocol.
fn challenge() -> Value {
    let hash = || json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    json!({
        "type": "object",
        "required": ["algorithm", "challenge", "maxnumber", "salt", "signature"],
        "properties": {
            "algorithm": { "const": "SHA-256" },
            "challenge": hash(),
            "maxnumber": { "type": "integer", "description": "the largest number to try" },
            "salt": { "type": "string", "description": "hash this and the number, in decimal" },
            "signature": hash(),
        },
    })
}

fn of<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

fn strict(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": properties, "required": required,
    })
}

fn array(schema: &str) -> Value {
    json!({ "type": "array", "items": super::reference(schema) })
}

/// The schema of products' and users' ids.
pub fn name(pattern: &str) -> Value {
    identifier(pattern, crate::sale::ids::NAME_BYTES_MAX)
}

/// The schema of a text of these characters.
pub fn identifier(pattern: &str, length_max: usize) -> Value {
    json!({ "type": "string", "pattern": pattern, "minLength": 1, "maxLength": length_max })
}

fn order_id() -> Value {
    let example = OrderId::from_random_bytes([0x5a; 16]).to_string();
    json!({ "type": "string", "format": "uuid", "example": example })
}

/// What is published of a draw ([`crate::room::draw::Draw`]), with the proof of a number.
fn draw() -> Value {
    let hex = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    json!({
        "type": "object",
        "required": ["productId", "commitment", "publicValueSource"],
        "properties": {
            "productId": { "type": "string" },
            "commitment": hex,
            "publicValueSource": { "type": "string" },
            "entrants": { "type": "integer", "description": "From the opening on." },
            "root": hex,
            "publicValue": { "type": "string" },
            "seed": hex,
            "proof": {
                "type": "object",
                "required": ["number", "leaf", "path"],
                "properties": {
                    "number": { "type": "integer" },
                    "leaf": hex,
                    "path": { "type": "array", "items": hex },
                },
            },
        },
    })
}

/// Each file of the bundle under its field, as text.
fn report() -> Value {
    let fields =
        ["markdown", "json", "actions", "orders", "audit", "head", "manifest", "signature"];
    let text = |name: &&str| ((*name).to_owned(), json!({ "type": "string" }));
    let properties: Map<String, Value> = fields.iter().chain(&["records"]).map(text).collect();
    json!({ "type": "object", "required": fields, "properties": properties })
}
