//! The report as people read it, in Markdown, and the table of actions for spreadsheets.

use std::fmt::Write;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::story::{Action, Product, Story};
use crate::escape::{csv, markdown};

/// Rows of a table of Markdown; what is beyond is in the files for machines.
const ROWS_MAX: usize = 200;

/// The page.
pub fn page(story: &Story) -> String {
    let mut page = String::new();
    head(&mut page, story);
    products(&mut page, story);
    actions(&mut page, story);
    refusals(&mut page, story);
    evidence(&mut page, story);
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

/// What evidence tells, or why there is none.
fn evidence(page: &mut String, story: &Story) {
    let word = match story.evidence {
        "kept" => "",
        "cut" => "Not all that was kept of the span had a place here: its oldest part is missing.",
        "off" => "No evidence of attempts is kept here (`evidence.enabled` is false).",
        _ => "The evidence of attempts could not be read when this report was made.",
    };
    page.push_str("\n## The attack\n\n");
    if !word.is_empty() {
        let _ = writeln!(page, "{word}\n");
    }
    analysis(page, &story.analysis);
    offenders(page, &story.offenders);
}

/// How it went, and what each rule would have caught.
fn analysis(page: &mut String, analysis: &Value) {
    let Some(steps) = analysis["steps"].as_array() else { return };
    let [suspicious, orders] = ["suspicious", "orders"].map(|name| word(&analysis[name]));
    let _ = writeln!(page, "{suspicious} of {orders} orders are suspicious.");
    let patterns = analysis["patterns"].as_object().into_iter().flatten();
    for (pattern, orders) in patterns.filter(|(_, orders)| **orders != 0) {
        let _ = writeln!(page, "- {}: {}", markdown(pattern), word(orders));
    }
    if !steps.is_empty() {
        page.push_str("\n### Attempts over time\n\n");
        row(page, &["from", "orders", "suspicious", "refused"]);
        row(page, &["---"; 4]);
        for step in steps.iter().take(ROWS_MAX) {
            let came_to = step["cameTo"].as_object().into_iter().flatten();
            let count = |of: &Value| of.as_u64().unwrap_or_default();
            let all: u64 = came_to.map(|(_, of)| count(of)).sum();
            let accepted = count(&step["cameTo"]["accepted"]);
            let at = step["at"].as_u64().map_or(String::new(), time);
            let refused = all.saturating_sub(accepted).to_string();
            let suspicious = word(&step["suspicious"]);
            row(page, &[&markdown(&at), &accepted.to_string(), &suspicious, &refused]);
        }
        if let Some(more) = steps.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            let _ = writeln!(page, "\n{more} more are in the files for machines.");
        }
    }
    let rules = analysis["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return;
    }
    page.push_str(
        "\n### What each rule would have caught\n\nEach alone, played over the attempts that were kept: it \
         compares rules and does not foretell a sale.\n\n",
    );
    row(page, &["rule", "value", "suspicious orders", "other orders"]);
    row(page, &["---"; 4]);
    for rule in rules.iter().take(ROWS_MAX) {
        let value = [&rule["value"], &rule["source"]].map(word).concat();
        let [caught, collateral] = ["caught", "collateral"].map(|name| word(&rule[name]));
        row(page, &[&word(&rule["rule"]), &value, &caught, &collateral]);
    }
}

/// Lists of `{"key","orders",…}` under what they are by.
fn offenders(page: &mut String, offenders: &Value) {
    let Some(lists) = offenders.as_object() else { return };
    page.push_str("\n### Whom the orders come from\n");
    for (by, list) in lists {
        let Some(list) = list.as_array().filter(|list| !list.is_empty()) else { continue };
        let _ = write!(page, "\n#### By {}\n\n", markdown(by));
        row(page, &["pseudonym", "orders", "buyers", "refused", "first", "last"]);
        row(page, &["---"; 6]);
        for entry in list.iter().take(ROWS_MAX) {
            let at = |name: &str| markdown(&entry[name].as_u64().map_or(String::new(), time));
            let [key, orders, buyers, refusals] =
                ["key", "orders", "buyers", "refusals"].map(|name| word(&entry[name]));
            row(page, &[&key, &orders, &buyers, &refusals, &at("firstAt"), &at("lastAt")]);
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
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_tells_what_evidence_there_is_of_the_attack() {
        let mut story = Story { evidence: "off", ..Story::default() };
        assert!(page(&story).contains("evidence.enabled"));
        story.evidence = "kept";
        story.analysis = json!({
            "orders": 7, "suspicious": 5, "patterns": {"bursts": 5, "one_network": 0},
            "steps": [{"at": 60_000, "suspicious": 5, "cameTo": {"accepted": 7, "blocked": 40}}],
            "rules": [
                {"rule": "min_interval_ms", "value": 500, "source": null, "caught": 1, "collateral": 2},
                {"rule": "block", "value": null, "source": "network 1", "caught": 5, "collateral": 0},
            ],
        });
        story.offenders = json!({"network": [{"key": "network 1", "orders": 5, "buyers": 5,
            "refusals": 40, "firstAt": 60_000, "lastAt": 61_000}], "buyer": []});
        let page = page(&story);
        for line in [
            "5 of 7 orders are suspicious.",
            "- bursts: 5",
            "| 1970\\-01\\-01T00\\:01\\:00Z | 7 | 5 | 40 |",
            "| min\\_interval\\_ms | 500 | 1 | 2 |",
            "| block | network 1 | 5 | 0 |",
            "#### By network",
            "| network 1 | 5 | 5 | 40 |",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
        assert!(!page.contains("one\\_network") && !page.contains("By buyer"), "{page}");
    }

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
