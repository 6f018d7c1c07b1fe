//! The report of a span of time, as a signed bundle.
//!
//! It is bounded: of what does not fit only the first part is in it, and it says so. Files are read, and texts
//! put together, on a thread of their own, since the operator's listener has one for everybody.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::look::analysis::Seen;
use super::look::parameters::Parameters;
use super::look::{self, Look, offenders};
use crate::audit::head::HeadFields;
use crate::audit::line;
use crate::audit::read::{self, Wanted};
use crate::evidence::analysis::patterns::Thresholds;
use crate::evidence::analysis::{Kind, Source};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::auth::Caller;
use crate::http::operator::call::answer;
use crate::http::operator::control::log_time_ms;
use crate::http::operator::products::describe;
use crate::http::reply::{self, Coded};
use crate::http::shared::Shared;
use crate::incident::bundle::{self, Bundle, Span};
use crate::incident::page;
use crate::incident::story::{Product, Story};
use crate::log::sqlite::excerpt::{self, Excerpt};
use crate::sale::{OrderStatus, ProductId};

/// Bytes of the trail's lines.
const AUDIT_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Orders.
const ORDERS_MAX: usize = 20_000;
/// Orders that are taken while the state is held.
const ORDERS_AT_ONCE: usize = 500;
/// Bytes of the log's records.
const RECORDS_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// The version of the story.
const STORY_VERSION: u32 = 1;

/// `GET /admin/incident/report`: the bundle.
pub async fn report(
    State(operator): State<Arc<Operator>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Coded {
    answer(async {
        let mut parameters = Parameters::read(query.as_deref())?;
        let span = look::span(&operator, &mut parameters)?;
        parameters.end()?;
        let turn = match &operator.shared.evidence {
            Some(_) => Some(operator.turns.next().await?),
            None => None,
        };
        let unavailable =
            || reply::problem_because(Code::AuditUnavailable, "the audit trail cannot be read");
        // First the head: it vouches for all lines that are read after it.
        let head = operator.shared.audit.head().await.map_err(|_| unavailable())?;
        let mut story = story(&operator, &caller, &span);
        let seen = seen(&operator, &span, &mut story).await;
        let shared = operator.shared.clone();
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            if let Some(seen) = seen {
                attack(&shared, &seen, &mut story);
            }
            put_together(&shared, span, story, head)
        });
        let bundle = made.await.map_err(|_| unavailable())?.map_err(|error| {
            tracing::error!(%error, "a report cannot be made");
            unavailable()
        })?;
        Ok(reply::json_value(Code::Ok, &bundle).not_stored())
    })
    .await
}

/// What the state says; the rest comes out of the files.
fn story(operator: &Operator, caller: &Caller, span: &Span) -> Story {
    let control = operator.shared.applied().control();
    let now_ms = log_time_ms(operator);
    let products = match span.product {
        Some(product) => vec![product],
        None => operator.shared.applied().products(),
    };
    let products = products.iter().filter_map(|product| {
        let now = describe(operator, product)?;
        Some(Product { now: json(&now), ..Product::default() })
    });
    Story {
        version: STORY_VERSION,
        made_at: operator.shared.clock.unix_ms(),
        made_by: caller.name.to_string(),
        since: span.since_ms,
        until: span.until_ms,
        product: span.product.map(|product| product.to_string()),
        products: products.collect(),
        blocks: control.blocks(now_ms).map(json).collect(),
        limits: control.limits(now_ms).map(json).collect(),
        approvals: control.approvals(now_ms).map(json).collect(),
        ..Story::default()
    }
}

/// What was kept of the attempts of the span.
async fn seen(operator: &Operator, span: &Span, story: &mut Story) -> Option<Seen> {
    let Some(evidence) = &operator.shared.evidence else {
        story.evidence = "off";
        return None;
    };
    let Span { since_ms, until_ms, product } = *span;
    let look = Look { since_ms, until_ms, product, thresholds: Thresholds::default() };
    match Seen::read(look, evidence, &operator.shared).await {
        Ok(seen) => {
            story.evidence = if seen.found.cut { "cut" } else { "kept" };
            Some(seen)
        }
        // What the rest of the report says is true without it.
        Err(error) => {
            tracing::error!(%error, "a report is made without the evidence");
            story.evidence = "not_read";
            None
        }
    }
}

/// How the attack went. Marks of addresses, networks and fingerprints end with their day, and a report is kept for
/// longer: in it each has a name of its own, such as `network 1`, by which nobody finds it again.
fn attack(shared: &Shared, seen: &Seen, story: &mut Story) {
    let mut names: HashMap<Source, String> = HashMap::new();
    let mut counts: HashMap<&str, u32> = HashMap::new();
    let mut name = |source: Source| {
        let kind = match source {
            Source::Buyer(buyer) => return buyer.to_string(),
            Source::Address(_) => Kind::Address.word(),
            Source::Network(_) => Kind::Network.word(),
            Source::Fingerprint(_) => Kind::Fingerprint.word(),
            Source::Series(_) => "series",
        };
        let new = || {
            let number = counts.entry(kind).or_default();
            *number += 1;
            format!("{kind} {number}")
        };
        names.entry(source).or_insert_with(new).clone()
    };
    let thresholds = Thresholds::default();
    let sightings = &seen.found.sightings;
    story.offenders = json(offenders::lists(sightings, &thresholds, offenders::LIMIT, &mut name));
    story.analysis = json(seen.analyse(shared, None, &mut name));
}

fn put_together(
    shared: &Shared,
    span: Span,
    mut story: Story,
    head: String,
) -> std::io::Result<Bundle> {
    let mut bundle = Bundle::default();
    if let Ok(line) = line::parse(head.as_bytes())
        && let Ok(fields) = serde_json::from_value::<HeadFields>(line.fields)
    {
        story.node = fields.node;
        story.log_heads = json(&fields.log);
    }
    bundle.head = head + "\n";
    bundle.audit = trail(shared, &span, &mut story)?;
    bundle.orders = orders(shared, &span, &mut story);
    if !shared.config.is_distributed() {
        bundle.records = Some(records(shared, &span, &mut story)?);
    }
    bundle.markdown = page::page(&story);
    bundle.actions = page::actions_csv(&story);
    bundle.json = serde_json::to_string_pretty(&story)? + "\n";
    bundle.sign(&span, story.made_at, shared.audit.signer());
    Ok(bundle)
}

/// The lines of the trail, of all products: only so they hang together.
fn trail(shared: &Shared, span: &Span, story: &mut Story) -> std::io::Result<String> {
    let (since_ms, until_ms) = (Some(span.since_ms), Some(span.until_ms));
    let wanted = Wanted { since_ms, until_ms, ..Wanted::default() };
    let mut lines = String::new();
    let mut cut = false;
    read::all(shared.audit.files(), &wanted, &mut |text| {
        if let Ok(line) = line::parse(text.as_bytes()) {
            // What does not fit is told all the same.
            story.take(&line);
        }
        cut |= lines.len() + text.len() > AUDIT_BYTES_MAX;
        if !cut {
            lines.extend([text, "\n"]);
        }
        Ok(())
    })?;
    if cut {
        story.cut.push(bundle::AUDIT);
    }
    Ok(lines)
}

/// The orders of the span, a line each.
fn orders(shared: &Shared, span: &Span, story: &mut Story) -> String {
    let mut lines = String::new();
    let mut left = ORDERS_MAX;
    let mut cut = false;
    for told in &mut story.products {
        let id = told.now["productId"].as_str().and_then(|id| id.parse::<ProductId>().ok());
        let Some(product) = id else { continue };
        let mut after = 0;
        let mut minutes = BTreeMap::new();
        loop {
            let page = shared.applied().with_state(&product, |state| {
                state.orders_between(span.since_ms, span.until_ms, after, ORDERS_AT_ONCE)
            });
            let page = page.unwrap_or_default();
            let Some(last) = page.last() else { break };
            after = last.offset;
            for order in page {
                told.confirmed += 1;
                told.reversed += u64::from(order.status == OrderStatus::Reversed);
                let minute = order.confirmed_at_ms - order.confirmed_at_ms % 60_000;
                *minutes.entry(minute).or_default() += 1;
                if left == 0 {
                    cut = true;
                    continue;
                }
                left -= 1;
                let line = json!({
                    "orderId": order.id,
                    "productId": product,
                    "buyer": order.buyer,
                    "status": order.status.word(),
                    "at": order.confirmed_at_ms,
                    "offset": order.offset,
                });
                lines.extend([&line.to_string(), "\n"]);
            }
        }
        told.minutes = minutes;
    }
    if cut {
        story.cut.push(bundle::ORDERS);
    }
    lines
}

/// The rows of the embedded log, of all products: only so they hang together.
fn records(shared: &Shared, span: &Span, story: &mut Story) -> std::io::Result<String> {
    let dir = &shared.config.data.dir;
    let Excerpt { rows, cut } =
        excerpt::excerpt(dir, span.since_ms, span.until_ms, RECORDS_BYTES_MAX)
            .map_err(std::io::Error::other)?;
    if cut {
        story.cut.push(bundle::RECORDS);
    }
    let mut lines = String::new();
    for row in rows {
        lines += &serde_json::to_string(&row)?;
        lines.push('\n');
    }
    Ok(lines)
}

fn json(of: impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
