//! What the console shows, as one JSON: `GET /admin/overview`, and each second by `GET /admin/events`.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::meter::{self, Window};
use super::offenders::Offender;
use super::recent::Action;
use super::stores::{self, Node, Store};
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::control::log_time_ms;
use crate::http::operator::products::{Product, describe};
use crate::sale::ProductId;

/// Products that are shown; the others are counted.
pub const PRODUCTS_MAX: usize = 100;
/// Over how many seconds latencies are taken.
pub const LATENCY_SECONDS: usize = 10;

/// Everything, as of one moment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Unix milliseconds, by this node's clock.
    at: u64,
    version: &'static str,
    /// `one_node` or `many_nodes`.
    profile: &'static str,
    /// At most 100; those that still sell first.
    products: Vec<Product>,
    /// How many more there are.
    products_left_out: usize,
    /// Units sold a second, over all products and nodes, by the log.
    sold_per_second: f64,
    /// Refusals a second of this node.
    refused_per_second: f64,
    /// This node's refusals since its start, by reason; those that there are.
    refusals: Vec<Refusals>,
    /// Attempts that wait for the log's decision on this node.
    queue: usize,
    /// Of this node's accepted orders in the last 10 seconds.
    latency: Latency,
    /// Records that the workers have not written to the ledger; `null` where there are none, or it is not
    /// known.
    worker_lag: Option<u64>,
    stores: Vec<Store>,
    nodes: Vec<Node>,
    /// As pseudonyms; `null` if this node keeps no evidence.
    offenders: Option<Vec<Offender>>,
    /// The operators' last actions by way of this node, the newest first.
    actions: Vec<Action>,
    /// Blocks that stand.
    blocks: usize,
    /// Limits that stand in the place of configured ones.
    live_limits: usize,
    /// Changes that wait for a second operator.
    approvals_waiting: usize,
    /// Audit events that could not be written since the start.
    audit_not_recorded: u64,
}

/// Refusals for one reason.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusals {
    /// The code of the answer.
    #[schema(example = "sold_out")]
    code: &'static str,
    /// In words.
    phrase: &'static str,
    per_second: f64,
    total: u64,
}

/// How long accepted orders took: estimates from a histogram.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// How many there were.
    orders: u64,
    /// `null` if there were none.
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

/// As it is now.
pub fn overview(operator: &Operator) -> Overview {
    let shared = &operator.shared;
    operator.console.looked.store(true, Ordering::Relaxed);
    let (products, products_left_out) = products(operator);
    let control = shared.applied().control();
    let log_ms = log_time_ms(operator);
    let approvals = control.approvals(log_ms).filter(|approval| approval.given_by.is_none());
    let board = operator.console.board.lock();
    let (second, latency) = (board.meter.window(1), board.meter.window(LATENCY_SECONDS));
    Overview {
        at: shared.clock.unix_ms(),
        version: env!("CARGO_PKG_VERSION"),
        profile: if shared.config.is_distributed() { "many_nodes" } else { "one_node" },
        products,
        products_left_out,
        sold_per_second: second.as_ref().map_or(0.0, Window::sold),
        refused_per_second: second.as_ref().map_or(0.0, Window::refused),
        refusals: refusals(operator, second.as_ref()),
        queue: queue(operator),
        latency: Latency {
            orders: latency.as_ref().map_or(0, Window::accepted),
            p50_us: latency.as_ref().and_then(|window| window.quantile_us(0.5)),
            p99_us: latency.as_ref().and_then(|window| window.quantile_us(0.99)),
        },
        worker_lag: board.health.lag,
        stores: stores::stores(operator, &board.health),
        nodes: stores::nodes(operator, &board.health),
        offenders: board.offenders.clone(),
        actions: operator.console.recent.all(),
        blocks: control.blocks(log_ms).count(),
        live_limits: control.limits(log_ms).count(),
        approvals_waiting: approvals.count(),
        audit_not_recorded: shared.audit.not_recorded(),
    }
}

fn products(operator: &Operator) -> (Vec<Product>, usize) {
    let applied = operator.shared.applied();
    let mut ids: Vec<(bool, ProductId)> = applied
        .products()
        .into_iter()
        .map(|id| (applied.with_state(&id, |state| state.archived()).unwrap_or(true), id))
        .collect();
    ids.sort_by_key(|(archived, _)| *archived);
    let left_out = ids.len().saturating_sub(PRODUCTS_MAX);
    ids.truncate(PRODUCTS_MAX);
    (ids.iter().filter_map(|(_, id)| describe(operator, id)).collect(), left_out)
}

/// Attempts that wait for the log.
pub fn queue(operator: &Operator) -> usize {
    let products = operator.shared.applied().products();
    products.iter().map(|product| operator.shared.gate.pending(product)).sum()
}

fn refusals(operator: &Operator, second: Option<&Window>) -> Vec<Refusals> {
    let all = Code::ALL.into_iter().filter(|code| meter::is_refusal(*code));
    let counted = all.map(|code| {
        let total = operator.shared.counters.iter().map(|counters| counters.get(code)).sum();
        let per_second = second.map_or(0.0, |window| window.answers(code));
        let meaning = code.meaning();
        Refusals { code: meaning.word, phrase: meaning.phrase, per_second, total }
    });
    let mut refusals: Vec<_> = counted.filter(|refusals| refusals.total > 0).collect();
    refusals.sort_by_key(|refusals| std::cmp::Reverse(refusals.total));
    refusals
}
