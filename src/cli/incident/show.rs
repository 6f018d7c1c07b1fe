//! The server's replies as text for people.

use serde_json::Value;

use crate::cli::operator::{table, word};
use crate::cli::when::rfc3339;

/// All blocks, a line each.
pub(super) fn blocks(reply: &Value) -> String {
    targets(&reply["blocks"], "nobody is blocked, but by the configuration\n")
}

/// Everybody who is excused from the bot score, a line each.
pub(super) fn allows(reply: &Value) -> String {
    targets(&reply["allows"], "nobody is excused from the bot score\n")
}

fn targets(listed: &Value, nobody: &str) -> String {
    let rows = rows(listed, |block| {
        let kind = match block["bits"].as_u64() {
            Some(bits) => format!("{} /{bits}", word(&block["kind"])),
            None => word(&block["kind"]),
        };
        [
            word(&block["id"]),
            kind,
            time(&block["until"]),
            word(&block["by"]),
            word(&block["reason"]),
        ]
    });
    if rows.is_empty() {
        return nobody.to_owned();
    }
    table(["ID", "KIND", "UNTIL", "BY", "REASON"], rows)
}

/// All limits, a line each.
pub(super) fn limits(reply: &Value) -> String {
    let rows = rows(&reply["limits"], |limit| {
        let live = &limit["live"];
        [
            word(&limit["limit"]),
            off(&limit["configured"]),
            off(&limit["effective"]),
            time(&live["until"]),
            word(&live["by"]),
            word(&live["reason"]),
        ]
    });
    table(["LIMIT", "CONFIGURED", "NOW", "UNTIL", "BY", "REASON"], rows)
}

/// All approvals, a line each.
pub(super) fn approvals(reply: &Value) -> String {
    let rows = rows(&reply["approvals"], |approval| {
        [
            word(&approval["approval"]),
            word(&approval["productId"]),
            word(&approval["change"]),
            word(&approval["askedBy"]),
            time(&approval["until"]),
            word(&approval["givenBy"]),
        ]
    });
    if rows.is_empty() {
        return "nothing waits for a second operator\n".to_owned();
    }
    table(["APPROVAL", "PRODUCT", "CHANGE", "ASKED BY", "UNTIL", "GIVEN BY"], rows)
}

/// What a change of who is excused came to.
pub(super) fn allow(reply: &Value) -> String {
    let stands = match &reply["allow"] {
        allow if allow.is_object() => allows(&serde_json::json!({ "allows": [allow] })),
        _ => format!("{} is scored\n", word(&reply["id"])),
    };
    status(reply) + &stands
}

/// Whether orders are scored.
pub(super) fn score(reply: &Value) -> String {
    let changed = if reply["status"].is_string() { status(reply) } else { String::new() };
    let off = &reply["off"];
    let stands = match (&reply["enabled"], off.is_object()) {
        (_, true) => {
            let [until, by, reason] = [time(&off["until"]), word(&off["by"]), word(&off["reason"])];
            format!("the bot score is off until {until}, by {by}: {reason}\n")
        }
        (Value::Bool(true), false) => "the bot score is on\n".to_owned(),
        _ => "the bot score is off, by the configuration\n".to_owned(),
    };
    changed + &stands
}

fn status(reply: &Value) -> String {
    match (word(&reply["status"]).as_str(), &reply["reason"]) {
        ("ignored", reason) => format!("ignored: {}\n", word(reason).replace('_', " ")),
        (status, _) => format!("{status}\n"),
    }
}

/// What a change came to, and how that which it was about stands.
pub(super) fn change(reply: &Value) -> String {
    let mut text = status(reply);
    if reply["block"].is_object() {
        text += &blocks(&serde_json::json!({ "blocks": [reply["block"]] }));
    } else if let Some(id) = reply["id"].as_str() {
        text += &format!("{} is not blocked\n", word(&id.into()));
    }
    if reply["limit"].is_object() {
        text += &limits(&serde_json::json!({ "limits": [reply["limit"]] }));
    }
    for (field, what) in [("productId", "product"), ("capacity", "capacity"), ("sold", "sold")] {
        if let Some(value) = reply["product"].get(field) {
            text += &format!("  {what:10} {}\n", word(value));
        }
    }
    text
}

fn rows<const N: usize>(array: &Value, row: impl Fn(&Value) -> [String; N]) -> Vec<[String; N]> {
    array.as_array().map(|values| values.iter().map(row).collect()).unwrap_or_default()
}

fn time(value: &Value) -> String {
    value.as_u64().map_or_else(|| word(value), rfc3339)
}

fn off(value: &Value) -> String {
    if value.as_u64() == Some(0) { "off".to_owned() } else { word(value) }
}
