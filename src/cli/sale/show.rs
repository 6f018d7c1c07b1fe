//! The server's replies as text for people.
//!
//! Texts of the server are shown without control characters, so that none of them can steer a terminal.

use serde_json::Value;

use crate::cli::client::Reply;
use crate::cli::when::rfc3339;

/// Rows of a sale: the field of the reply and the word that is shown.
const FIELDS: [(&str, &str); 13] = [
    ("status", "status"),
    ("capacity", "capacity"),
    ("sold", "sold"),
    ("remaining", "remaining"),
    ("pending", "pending"),
    ("paused", "paused"),
    ("archived", "archived"),
    ("opensAt", "opens"),
    ("closesAt", "closes"),
    ("perBuyerLimit", "per buyer"),
    ("repeatWindowSeconds", "repeat window, s"),
    ("generation", "generation"),
    ("offset", "log offset"),
];

/// One sale, or what a change of one came to and how it stands now.
pub(super) fn change_or_product(reply: &Value) -> String {
    let Some(now) = reply.get("product") else { return product(reply) };
    let mut text = match (word(&reply["status"]).as_str(), &reply["reason"]) {
        ("ignored", reason) => format!("ignored: {}\n", word(reason).replace('_', " ")),
        (status, _) => format!("{status}\n"),
    };
    if now.is_object() {
        text += &product(now);
    }
    text
}

/// Whether the reply is to a change that had no effect and cannot have had it before.
pub(super) fn is_refused_change(reply: &Value) -> bool {
    let settled = ["already_applied", "no_change"];
    let reason = reply["reason"].as_str().unwrap_or_default();
    reply.get("product").is_some() && reply["status"] == "ignored" && !settled.contains(&reason)
}

/// All sales, a line each.
pub(super) fn list(reply: &Value) -> String {
    let products = reply["products"].as_array().map(Vec::as_slice).unwrap_or_default();
    if products.is_empty() {
        return "no sales; `flux-gate sale create` makes one\n".to_owned();
    }
    let columns = ["productId", "status", "capacity", "sold", "remaining"];
    let head = ["PRODUCT", "STATUS", "CAPACITY", "SOLD", "REMAINING"].map(str::to_owned);
    let rows = products.iter().map(|product| columns.map(|column| word(&product[column])));
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |[product, status, capacity, sold, remaining]: &[String; 5]| {
        format!(
            "{product:0$}  {status:1$}  {capacity:>2$}  {sold:>3$}  {remaining:>4$}\n",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        )
    };
    rows.iter().map(line).collect()
}

/// A refusal in a few lines: what, why and whether to try again.
pub(super) fn refusal(reply: &Reply) -> String {
    let status = reply.status.as_u16();
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let said = ["error", "title"].iter().find_map(|name| problem[name].as_str());
    let mut text = format!("the server refused ({status}): {}", clean(said.unwrap_or("no reason")));
    if let Some(detail) = problem["detail"].as_str() {
        text += &format!("; {}", clean(detail));
    }
    if let Some(details) = problem["details"].as_array() {
        text += &details.iter().map(|detail| format!("\n  {}", word(detail))).collect::<String>();
    }
    let help = match status {
        401 => "is this the token of that server?",
        403 => "does this token have the role for it?",
        404 => "`flux-gate sale list` shows the sales that there are",
        503 => "try again in a moment, with the same --operation if you gave one",
        _ => return text,
    };
    format!("{text}\n{help}")
}

fn product(product: &Value) -> String {
    let mut text = format!("{}\n", word(&product["productId"]));
    for (field, name) in FIELDS {
        let Some(value) = product.get(field) else { continue };
        let value = match (field, value.as_u64()) {
            ("opensAt" | "closesAt", Some(unix_ms)) => rfc3339(unix_ms),
            _ => word(value),
        };
        text += &format!("  {name:17} {value}\n");
    }
    text
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => clean(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => clean(&other.to_string()),
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
