//! The server's replies as text for people.
//!
//! Texts of the server are shown without control characters, so that none of them can steer a terminal.

use serde_json::Value;

use crate::cli::operator::word;
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
    if reply["status"] == "approval_required" {
        return approval_required(reply);
    }
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

/// What to do about a change that another operator must approve.
fn approval_required(reply: &Value) -> String {
    let approval = word(&reply["approval"]);
    let until = reply["until"].as_u64().map_or_else(|| "-".to_owned(), rfc3339);
    format!(
        "approval required: nothing is changed yet\nanother operator runs, until {until}:\n  \
         flux-gate incident approve {approval}\n"
    )
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
