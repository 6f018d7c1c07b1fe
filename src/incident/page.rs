//! The report as people read it, in Markdown, and the table of actions for spreadsheets.

use std::fmt::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::escape::{csv, markdown};
use super::story::{Action, Product, Story};

/// Rows of a table of Markdown; what is beyond is in the files for machines.
const ROWS_MAX: usize = 200;

/// The page.
pub fn page(story: &Story) -> String {
    let mut page = String::new();
    head(&mut page, story);
    products(&mut page, story);
    actions(&mut page, story);
    refusals(&mut page, story);
    offenders(&mut page, &story.offenders);
    standing(&mut page, story);
    proof(&mut page, story);
    page
}

/// The actions as CSV, with a head.
pub fn actions_csv(story: &Story) -> String {
    let mut text = String::from("line,at,who,what,product,why,times,outcomes\r\n");
    for action in &story.actions {
        let Action { seq, who, what, product, times, .. } = action;
        let why = action.why.as_deref().unwrap_or_default();
        let fields = [csv(&time(action.at)), csv(who), csv(what), csv(product), csv(why)];
        let outcomes = csv(&outcomes(action));
        let _ = write!(text, "{seq},{},{times},{outcomes}\r\n", fields.join(","));
    }
    text
}

fn head(page: &mut String, story: &Story) {
    let of = story.product.as_deref().unwrap_or("all products");
    let _ = write!(
        page,
        "# Incident report: {}\n\nFrom {} to {}. Made at {} by {} from the audit trail of node {}.\n\
         People are named by pseudonyms alone.\n",
        markdown(of),
        markdown(&time(story.since)),
        markdown(&time(story.until)),
        markdown(&time(story.made_at)),
        markdown(&story.made_by),
        markdown(&story.node),
    );
    for name in &story.cut {
        let _ = writeln!(page, "\n**Not all fitted: {} ends early.**", markdown(name));
    }
}

fn products(page: &mut String, story: &Story) {
    page.push_str("\n## The sale\n\n");
    row(page, &["product", "status", "sold", "capacity", "orders in the span", "taken back"]);
    row(page, &["---"; 6]);
    for Product { now, confirmed, reversed, .. } in story.products.iter().take(ROWS_MAX) {
        let now = |name: &str| word(&now[name]);
        let [confirmed, reversed] = [confirmed, reversed].map(u64::to_string);
        row(
            page,
            &[
                &now("productId"),
                &now("status"),
                &now("sold"),
                &now("capacity"),
                &confirmed,
                &reversed,
            ],
        );
    }
    for Product { now, minutes, .. } in story.products.iter().take(ROWS_MAX) {
        let Some(most) = minutes.values().max() else { continue };
        let _ = write!(page, "\n### Orders of {} by minute\n\n", word(&now["productId"]));
        row(page, &["minute", "orders", ""]);
        row(page, &["---"; 3]);
        for (at, count) in minutes.iter().take(ROWS_MAX) {
            let bar = "█".repeat((count * 30).div_ceil(*most) as usize);
            row(page, &[&markdown(&time(*at)), &count.to_string(), &bar]);
        }
    }
}

fn actions(page: &mut String, story: &Story) {
    page.push_str("\n## What operators did\n\n");
    if story.actions.is_empty() {
        page.push_str("Nothing.\n");
        return;
    }
    row(page, &["at", "who", "what", "product", "why", "came to", "sold", "left"]);
    row(page, &["---"; 8]);
    for action in story.actions.iter().take(ROWS_MAX) {
        let change = |name: &str| match (&action.before[name], &action.after[name]) {
            (Value::Null, Value::Null) => String::new(),
            (before, after) if before == after => word(before),
            (before, after) => format!("{} → {}", word(before), word(after)),
        };
        let what = match action.times {
            1 => markdown(&action.what),
            times => format!("{} × {times}", markdown(&action.what)),
        };
        row(
            page,
            &[
                &markdown(&time(action.at)),
                &markdown(&action.who),
                &what,
                &markdown(&action.product),
                &markdown(action.why.as_deref().unwrap_or_default()),
                &markdown(&outcomes(action)),
                &change("sold"),
                &change("remaining"),
            ],
        );
    }
    let unlisted = story.actions.len().saturating_sub(ROWS_MAX) as u64 + story.further_actions;
    if unlisted > 0 {
        let _ = writeln!(page, "\n{unlisted} more are in the files for machines.");
    }
}

fn refusals(page: &mut String, story: &Story) {
    page.push_str("\n## What this node refused\n\n");
    if story.refusals.is_empty() {
        page.push_str("Nothing that the trail has counted yet: it counts once a minute.\n");
        return;
    }
    row(page, &["kind", "how often"]);
    row(page, &["---"; 2]);
    for (kind, count) in &story.refusals {
        row(page, &[&markdown(kind), &count.to_string()]);
    }
}

/// Lists of `{"key","orders",…}` under what they are by.
fn offenders(page: &mut String, offenders: &Value) {
    let Some(lists) = offenders.as_object() else { return };
    page.push_str("\n## Whom the orders come from\n");
    for (by, list) in lists {
        let Some(list) = list.as_array().filter(|list| !list.is_empty()) else { continue };
        let _ = write!(page, "\n### By {}\n\n", markdown(by));
        row(page, &["pseudonym", "orders", "first", "last"]);
        row(page, &["---"; 4]);
        for entry in list.iter().take(ROWS_MAX) {
            let at = |name: &str| entry[name].as_u64().map_or(String::new(), time);
            row(
                page,
                &[
                    &word(&entry["key"]),
                    &word(&entry["orders"]),
                    &markdown(&at("firstAt")),
                    &markdown(&at("lastAt")),
                ],
            );
        }
    }
}

fn standing(page: &mut String, story: &Story) {
    page.push_str("\n## What stands now\n\n");
    for (name, list) in
        [("blocks", &story.blocks), ("live limits", &story.limits), ("approvals", &story.approvals)]
    {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let _ = writeln!(page, "- {} {name}", list.len());
        for entry in list.iter().take(ROWS_MAX) {
            let _ = writeln!(page, "  - {}", markdown(&entry.to_string()));
        }
    }
}

fn proof(page: &mut String, story: &Story) {
    page.push_str(
        "\n## What proves it\n\n\
         `manifest.json` has the SHA-256 of every file here and is signed (Ed25519, `manifest.sig`) by the \
         key of the audit trail. `audit.jsonl` are the lines of the trail, each with the digest of the one \
         before; `head.json` is a signed head that vouches for them and for the order log. `orders.jsonl` \
         are the orders of the span; `records.jsonl`, of an embedded log, its rows with their digests.\n\n\
         `flux-gate incident report --check DIRECTORY --key HEX` checks all of it, offline.\n\n",
    );
    for head in story.log_heads.as_array().into_iter().flatten() {
        let [partition, offset, digest] =
            ["partition", "offset", "digest"].map(|name| word(&head[name]));
        let _ = writeln!(page, "- log, partition {partition}: offset {offset}, digest {digest}");
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn outcomes(action: &Action) -> String {
    let several: Vec<_> = action
        .outcomes
        .iter()
        .map(|(outcome, count)| match action.times {
            1 => outcome.clone(),
            _ => format!("{count} {outcome}"),
        })
        .collect();
    if several.is_empty() { "not known".to_owned() } else { several.join(", ") }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => markdown(text),
        other => markdown(&other.to_string()),
    }
}

fn time(unix_ms: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| unix_ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_wrote_is_text_in_page_and_table() {
        let hostile = "=HYPERLINK(\"//e.test\") | <script>alert(1)</script>\n\u{202e}# x";
        let action = Action {
            who: "ann".to_owned(),
            what: "sale_paused".to_owned(),
            product: "phone".to_owned(),
            why: Some(hostile.to_owned()),
            times: 1,
            ..Action::default()
        };
        let story = Story { actions: vec![action], ..Story::default() };
        let page = page(&story);
        assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
        let line = page.lines().find(|line| line.contains("HYPERLINK")).unwrap();
        let bars = line.replace("\\|", "").matches('|').count();
        assert_eq!(bars, 9, "eight cells: {line}");
        let table = actions_csv(&story);
        assert_eq!(table.matches("\r\n").count(), 2, "{table}");
        assert!(table.contains("\"'=HYPERLINK(\"\"//e.test\"\")"), "{table}");
    }
}
