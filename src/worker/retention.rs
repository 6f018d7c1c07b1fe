//! The thread "worker-retention": user ids and private keys whose time is over go.
//!
//! Each worker destroys the keys that are kept on its own machine; what several workers delete from the ledger is
//! deleted once. What was deleted is noted in the ledger's table `deletions`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::metrics::Metrics;
use super::{WorkerError, seal_keys};
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::seal::Opener;
use crate::keys::seal::kept;
use crate::ledger::postgres::housekeeper::{Housekeeper, SEAL_KEY};
use crate::log::kafka::client;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// How often the thread looks whether to stop.
const STOP_EVERY: Duration = Duration::from_millis(50);
/// After a look that failed.
const RETRY: Duration = Duration::from_secs(10);

/// What it works with.
pub(super) struct Parts {
    config: Config,
    opener: Arc<Opener>,
    housekeeper: Housekeeper,
    asker: BaseConsumer<client::Context>,
    metrics: Arc<Metrics>,
    clock: Clock,
    stopping: Arc<AtomicBool>,
}

impl Parts {
    pub(super) fn new(
        config: &Config,
        opener: &Arc<Opener>,
        metrics: &Arc<Metrics>,
        clock: &Clock,
        stopping: &Arc<AtomicBool>,
    ) -> Result<Self, WorkerError> {
        Ok(Self {
            config: config.clone(),
            opener: Arc::clone(opener),
            housekeeper: Housekeeper::new(config)?,
            asker: client::client_config(config).create_with_context(client::Context)?,
            metrics: Arc::clone(metrics),
            clock: clock.clone(),
            stopping: Arc::clone(stopping),
        })
    }
}

/// Looks until it is told to stop; the first look is at once.
pub(super) fn run(parts: &Parts) {
    match &parts.config.secrets.seal_public_key {
        None => tracing::warn!(
            "secrets.seal_public_key is not set: this worker destroys no key that opens user ids"
        ),
        Some(public) if !public.contains('@') => tracing::warn!(
            "user ids are sealed to a key without an end, so an erasure does not reach the log: make keys \
             with periods by `flux-gate keygen --seal-keys`"
        ),
        Some(_) => {}
    }
    let every = Duration::from_secs(parts.config.privacy.retention_minutes.saturating_mul(60));
    while !parts.stopping.load(Ordering::Relaxed) {
        let next = match look(parts) {
            Ok(true) => every,
            Ok(false) => RETRY,
            Err(error) => {
                tracing::warn!(%error, "what is too old is not deleted yet");
                RETRY
            }
        };
        let mut waited = Duration::ZERO;
        while waited < next && !parts.stopping.load(Ordering::Relaxed) {
            std::thread::sleep(STOP_EVERY);
            waited += STOP_EVERY;
        }
    }
}

/// `false`: something is due that could not be done yet.
fn look(parts: &Parts) -> Result<bool, WorkerError> {
    // Both clocks must say so: one that is far ahead must not delete what is needed.
    let now_ms = parts.clock.unix_ms().min(parts.housekeeper.now_ms()?);
    let days = parts.config.privacy.subjects_days;
    let before_ms = now_ms.saturating_sub(days.saturating_mul(DAY_MS));
    let count = parts.housekeeper.expire_subjects(before_ms)?;
    if count > 0 {
        parts.metrics.expired.fetch_add(count, Ordering::Relaxed);
        tracing::info!(count, "user ids of sales that were archived long ago are deleted");
    }
    let done = destroy_keys(parts, now_ms)?;
    parts.metrics.seal_keys.store(parts.opener.len() as u64, Ordering::Relaxed);
    Ok(done)
}

fn destroy_keys(parts: &Parts, now_ms: u64) -> Result<bool, WorkerError> {
    let Parts { config, opener, housekeeper, .. } = parts;
    if let Some(dir) = &config.privacy.seal_keys_dir {
        opener.take_kept(dir)?;
    }
    let keys = seal_keys::keys(config)?;
    // Destroyed by command, beside us.
    for id in seal_keys::missing(&opener.ids(), &keys) {
        opener.forget(id);
    }
    let due: Vec<_> = keys.iter().filter(|key| key.is_due(now_ms)).collect();
    let level = due.is_empty() || seal_keys::ledger_is_level(&parts.asker, config, housekeeper)?;
    for key in due.iter().filter(|_| level) {
        let id = &key.period.id;
        opener.forget(id);
        match &key.kept {
            Some(file) => {
                file.destroy()?;
                tracing::info!(id, "a private key that opened user ids is destroyed");
            }
            None => tracing::warn!(
                id,
                "the time of this private key is over: take it out of secrets.seal_private_keys"
            ),
        }
    }
    note_destroyed(parts)?;
    Ok(level)
}

/// Notes in the ledger which keys were destroyed on this machine.
fn note_destroyed(parts: &Parts) -> Result<(), WorkerError> {
    let Some(dir) = &parts.config.privacy.seal_keys_dir else { return Ok(()) };
    let destroyed = kept::destroyed(dir)?;
    if destroyed.is_empty() {
        return Ok(());
    }
    let noted = parts.housekeeper.deletions()?;
    for key in destroyed {
        let is_noted =
            |d: &crate::ledger::person::Deleted| d.what == SEAL_KEY && d.detail == key.id;
        if !noted.iter().any(is_noted) {
            parts.housekeeper.note(SEAL_KEY, &key.id, 1)?;
        }
    }
    Ok(())
}
