//! What the stores of many nodes have to say.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::WordLabel;
use crate::gate::{Gate, RedisGate};
use crate::http::shared::Shared;
use crate::log::{KafkaLog, LogClock, OrderLog};

/// Adds the metrics of Redis and Kafka, where they are in use.
pub(super) fn register(shared: &Shared, registry: &mut Registry) {
    if let Gate::Redis(gate) = &shared.gate {
        redis(gate, registry);
    }
    if let OrderLog::Kafka(log) = &shared.log {
        kafka(log, registry);
        clock(shared, registry);
    }
}

fn redis(gate: &RedisGate, registry: &mut Registry) {
    let counts = gate.counts();
    let attempts = Family::<WordLabel, Counter>::default();
    for (word, count) in [
        ("went", counts.went),
        ("refused_here", counts.refused_here),
        ("no_unit", counts.no_unit),
        ("undecided", counts.undecided),
        ("over_product_rate", counts.over_product_rate),
        ("over_address_rate", counts.over_address_rate),
        ("over_fingerprint_rate", counts.over_fingerprint_rate),
        ("over_buyer_rate", counts.over_buyer_rate),
        ("timeout", counts.timeouts),
        ("error", counts.errors),
        ("screened_in_memory", counts.screened_here),
    ] {
        attempts.get_or_create(&WordLabel { word }).inc_by(count);
    }
    registry.register("gate_attempts", "Attempts at the gate, by what came of them", attempts);
    let up = Gauge::<i64>::default();
    up.set(i64::from(gate.is_up()));
    registry.register("gate_redis_up", "1 while Redis screens, 0 while memory does", up);
    counter(
        registry,
        "gate_redis_outages",
        "How often the gate went on without Redis",
        counts.outages,
    );
    counter(registry, "gate_levels", "Levels that Redis took", counts.levels);
    let help = "Levels that found no hint: Redis was wiped, or keys were deleted";
    counter(registry, "gate_hints_missing", help, counts.hints_missing);
    let help = "By how many units hints were off when they were levelled, all together";
    counter(registry, "gate_drift_units", help, counts.drift_units);
}

fn kafka(log: &KafkaLog, registry: &mut Registry) {
    let counters = log.counters();
    counter(registry, "log_records", "Records applied since the start", counters.records);
    let help = "Messages of the order topic that were no records";
    counter(registry, "log_undecodable", help, counters.undecodable);
    let help = "Records that the producer gave up on; they may be in the log all the same";
    counter(registry, "log_not_sent", help, counters.not_sent);
    let waiting = Gauge::<i64>::default();
    waiting.set(counters.waiting as i64);
    registry.register("log_waiting_records", "Records that wait for their decision", waiting);
}

/// How far this node's clock is from that of the log, once that is known.
fn clock(shared: &Shared, registry: &mut Registry) {
    if !shared.applied().log_clock().is_some_and(LogClock::is_known) {
        return;
    }
    let (wall_ms, log_ms) = (shared.clock.unix_ms(), shared.log_time().likely_ms);
    let ahead = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    ahead.set((wall_ms as f64 - log_ms as f64) / 1e3);
    let help = "How far this node's clock is ahead of the log's; it decides nothing but whether requests expire";
    registry.register_with_unit("clock_ahead", help, Unit::Seconds, ahead);
}

fn counter(registry: &mut Registry, name: &'static str, help: &'static str, count: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(count);
    registry.register(name, help, counter);
}
