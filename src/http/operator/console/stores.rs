//! Whether what this node leans on is there: Redis, Kafka, PostgreSQL or the embedded store, how far the
//! workers are behind, and the other nodes.

use std::sync::Arc;
#[cfg(feature = "distributed")]
use std::time::Duration;

use serde::Serialize;

use super::peers;
use crate::gate::Gate;
use crate::http::operator::Operator;
#[cfg(feature = "distributed")]
use crate::ledger::Ledger;
use crate::log::OrderLog;

/// Between two looks, in milliseconds.
pub const LOOK_EVERY_MS: u64 = 2_000;
/// How long PostgreSQL may take to answer.
#[cfg(feature = "distributed")]
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Up,
    /// It does not.
    Down,
    /// This node does without it.
    Unused,
    /// Nobody has looked yet.
    Unknown,
}

/// A store.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Store {
    /// `store`, `redis`, `kafka` or `postgresql`.
    name: &'static str,
    state: State,
    /// What follows from its state, in words.
    means: &'static str,
}

/// Another node, or a worker.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its URL as configured, or `this node`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Why it is down, in words of ours.
    pub why: Option<&'static str>,
    /// How long its answer took, in milliseconds.
    pub answered_ms: Option<u64>,
}

/// What was seen at the last look.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Whether PostgreSQL answered; `None` before the first look, or where it is not in use.
    pub ledger: Option<bool>,
    /// Records that the workers have not written yet.
    pub lag: Option<u64>,
    /// The others.
    pub nodes: Vec<Node>,
}

/// Looks now and then, for ever.
pub async fn watch(operator: Arc<Operator>) {
    let peers = peers::Peers::new(&operator.shared.config.admin.peers);
    let mut interval = tokio::time::interval(std::time::Duration::from_millis(LOOK_EVERY_MS));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !operator.shared.is_stopping() {
        interval.tick().await;
        let (ledger, lag) = ledger(&operator).await;
        let nodes = peers.ask(&operator.shared.clock).await;
        operator.console.board.lock().health = Health { ledger, lag, nodes };
    }
}

/// Whether the workers' ledger answers, and how far it is behind what this node has applied.
async fn ledger(operator: &Operator) -> (Option<bool>, Option<u64>) {
    if !operator.shared.ledger.lags() {
        // One node's ledger is views on its log.
        return (None, None);
    }
    #[cfg(feature = "distributed")]
    if let (Ledger::Postgres(ledger), OrderLog::Kafka(log)) =
        (&operator.shared.ledger, &operator.shared.log)
    {
        let progress = tokio::time::timeout(ANSWER_MAX, ledger.progress()).await;
        let Ok(Ok(progress)) = progress else { return (Some(false), None) };
        let heads = log.heads();
        let behind = heads.iter().map(|head| {
            let written = progress.iter().find(|(partition, _)| *partition == head.partition);
            head.next_offset.saturating_sub(written.map_or(0, |(_, offset)| *offset))
        });
        return (Some(true), Some(behind.sum()));
    }
    (None, None)
}

/// The stores as they are now.
pub fn stores(operator: &Operator, health: &Health) -> Vec<Store> {
    let seen = operator.shared.log_in_sight();
    let log = if seen { State::Up } else { State::Down };
    if matches!(operator.shared.log, OrderLog::Sqlite(_)) {
        let means = if seen { "orders are written" } else { "no orders are accepted" };
        let unused = |name| Store { name, state: State::Unused, means: "one node needs none" };
        return vec![
            Store { name: "store", state: log, means },
            unused("redis"),
            unused("kafka"),
            unused("postgresql"),
        ];
    }
    let (redis, screens) = match &operator.shared.gate {
        #[cfg(feature = "distributed")]
        Gate::Redis(gate) if gate.is_up() => (State::Up, "screens for all nodes together"),
        #[cfg(feature = "distributed")]
        Gate::Redis(_) => (State::Down, "each node screens in its memory; the sale goes on"),
        Gate::Memory(_) => (State::Unused, "this node screens in its memory"),
    };
    let (ledger, written) = match health.ledger {
        Some(true) => (State::Up, "workers write the ledger"),
        Some(false) => (State::Down, "the sale goes on; the ledger catches up later"),
        None => (State::Unknown, "not asked yet"),
    };
    vec![
        Store { name: "redis", state: redis, means: screens },
        Store {
            name: "kafka",
            state: log,
            means: if seen { "decides orders" } else { "no orders are accepted" },
        },
        Store { name: "postgresql", state: ledger, means: written },
    ]
}

/// This node first, then the others.
pub fn nodes(operator: &Operator, health: &Health) -> Vec<Node> {
    let ready = operator.shared.readiness();
    let own = Node {
        name: "this node".to_owned(),
        state: if ready.is_ok() { State::Up } else { State::Down },
        why: ready.err(),
        answered_ms: None,
    };
    std::iter::once(own).chain(health.nodes.iter().cloned()).collect()
}
