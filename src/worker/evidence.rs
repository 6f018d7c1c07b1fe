//! The thread "worker-evidence": keeps the evidence of all nodes within its time and its number of rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::WorkerError;
use super::metrics::Metrics;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::evidence::Evidence as Settings;
use crate::evidence::PostgresEvidence;

/// How often it is looked for what is too old or too much, in microseconds.
const EVERY_US: u64 = 60_000_000;
/// How often it is looked whether the worker stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the thread works with.
pub(super) struct Keeper {
    evidence: PostgresEvidence,
    settings: Settings,
    clock: Clock,
    metrics: Arc<Metrics>,
    runtime: tokio::runtime::Runtime,
}

impl Keeper {
    /// Nothing is connected yet.
    pub(super) fn new(
        config: &Config,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, WorkerError> {
        Ok(Self {
            evidence: PostgresEvidence::for_worker(config)?,
            settings: config.evidence,
            clock,
            metrics,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        })
    }

    /// Works until it is told to stop. Workers do so side by side: the second one finds nothing.
    pub(super) fn run(&self, stopping: &AtomicBool) {
        let mut due_us = 0;
        while !stopping.load(Ordering::Relaxed) {
            let now_us = self.clock.monotonic_us();
            if now_us >= due_us {
                due_us = now_us + EVERY_US;
                self.keep();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn keep(&self) {
        let before_ms = self.clock.unix_ms().saturating_sub(self.settings.retention_ms());
        let kept = self.evidence.keep_within(before_ms, self.settings.rows_max);
        match self.runtime.block_on(kept) {
            Ok(gone) => {
                self.metrics.evidence_deleted.fetch_add(gone, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "old evidence could not be deleted; it is tried again in a minute");
            }
        }
    }
}
