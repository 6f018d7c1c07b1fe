//! The parts of one node of many: Redis screens, Kafka decides, PostgreSQL remembers.
//!
//! Start: the ledger's snapshot (a node that starts waits for PostgreSQL), then the log from there to its
//! end, then the gate.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::{Parts, STORE_FAILED_EXIT_CODE, level_all, live_controls, observer};
use crate::clock::Clock;
use crate::config::Config;
use crate::evidence::{Evidence, PostgresEvidence};
use crate::gate::redis::{Options, RedisGateError};
use crate::gate::{Gate, RedisGate};
use crate::guard::Guard;
use crate::guard::live::Effective;
use crate::keys::IdentityKeys;
use crate::keys::records::{RecordKeys, RecordKeysError};
use crate::keys::seal::{SealKeyError, Sealer};
use crate::ledger::postgres::PostgresError;
use crate::ledger::{Ledger, PostgresLedger};
use crate::log::kafka::{self, StartError as LogError};
use crate::log::{KafkaLog, OrderLog};
use crate::receipt::Issuer;

/// How often a node that starts asks PostgreSQL and Kafka again.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// After so many tries it says each time that it waits; before, only the first time.
const TELL_EVERY_TRIES: u32 = 20;

/// How often a node's digests are compared with the workers'.
const AGREEMENT_EVERY: Duration = Duration::from_secs(2);

/// Why a part did not start.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A setting is missing; `config check` would have said so.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The keys of records.
    #[error("the keys of records: {0}")]
    RecordKeys(#[from] RecordKeysError),
    /// The key that user ids are sealed to.
    #[error("secrets.seal_public_key: {0}")]
    SealKey(#[from] SealKeyError),
    /// Redis.
    #[error(transparent)]
    Gate(#[from] RedisGateError),
    /// Kafka.
    #[error(transparent)]
    Log(#[from] LogError),
    /// PostgreSQL.
    #[error(transparent)]
    Ledger(#[from] PostgresError),
    /// The runtime for the start.
    #[error("a runtime could not be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Starts the parts and returns when this node has applied the log to the end that it read first.
pub(super) fn parts(
    config: &Config,
    identity: &IdentityKeys,
    guard: &Arc<Guard>,
    clock: &Clock,
    receipts: Option<Arc<Issuer>>,
) -> Result<Parts, PartError> {
    let keys = record_keys(config)?;
    let seal_key = config.secrets.seal_public_key.as_deref();
    let sealer = seal_key.map(Sealer::new).transpose()?;
    let ledger = PostgresLedger::new(config)?;
    let snapshot = snapshot(&ledger)?;
    let gate = Gate::Redis(RedisGate::start(gate_options(config)?, clock.clone())?);
    let live = live_controls(config, guard, &gate);
    let key_fingerprints = identity.fingerprints().clone();
    let log_parts = kafka::Parts { keys, sealer, snapshot, key_fingerprints, receipts };
    let log = KafkaLog::start(
        config,
        log_parts,
        clock.clone(),
        observer(gate.clone(), live.clone()),
        Box::new(|error| {
            tracing::error!(%error, "the order log ended; ending the process so that nothing is lost");
            std::process::exit(STORE_FAILED_EXIT_CODE);
        }),
    )?;
    watch_agreement(&log, &ledger)?;
    let log = OrderLog::Kafka(log);
    level_all(&gate, &log);
    let ledger = Ledger::Postgres(ledger);
    Ok(Parts { gate, log, ledger, live, erasures: None, erased_again: 0 })
}

/// The evidence of many nodes. Nothing is connected yet: without PostgreSQL nodes sell on.
pub(super) fn evidence(
    config: &Config,
    clock: Clock,
    identity: Arc<IdentityKeys>,
) -> Result<Evidence, PartError> {
    Ok(Evidence::Postgres(PostgresEvidence::start(config, clock, identity)?))
}

/// Compares this node's digests with those that the workers note. Two that differ mean that the same records
/// came to different outcomes, by a bug or broken memory: this node then answers nobody any more.
fn watch_agreement(log: &KafkaLog, ledger: &PostgresLedger) -> Result<(), PartError> {
    let (log, ledger) = (log.downgrade(), ledger.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("agreement".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(AGREEMENT_EVERY);
            let Some(log) = log.upgrade() else { return };
            // Without PostgreSQL there is nothing to compare with; nodes sell on.
            let Ok(noted) = runtime.block_on(ledger.checkpoints()) else { continue };
            for theirs in noted {
                let ours = log.digest_at(theirs.partition, theirs.next_offset);
                if ours.is_some_and(|ours| ours != theirs.digest) {
                    let (partition, offset) = (theirs.partition, theirs.next_offset);
                    tracing::error!(
                        partition,
                        offset,
                        "this node and the workers disagree on what the log says; ending the process"
                    );
                    std::process::exit(STORE_FAILED_EXIT_CODE);
                }
            }
        }
    })?;
    Ok(())
}

/// The keys that vouch for records.
fn record_keys(config: &Config) -> Result<RecordKeys, PartError> {
    let secrets = &config.secrets;
    let record_keys = required("secrets.record_keys", secrets.record_keys.as_ref())?;
    let public_key =
        required("secrets.operator_public_key", secrets.operator_public_key.as_deref())?;
    Ok(RecordKeys::new(record_keys, secrets.operator_key.as_ref(), public_key)?)
}

/// Waits for PostgreSQL: without it nobody knows where in the log to begin.
fn snapshot(ledger: &PostgresLedger) -> Result<crate::snapshot::Snapshot, PartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tries = 0;
    loop {
        match runtime.block_on(ledger.snapshot()) {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) if error.is_transient() => {
                if tries % TELL_EVERY_TRIES == 0 {
                    tracing::warn!(%error, "waiting for the ledger");
                }
                tries += 1;
                std::thread::sleep(RETRY_DELAY);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn gate_options(config: &Config) -> Result<Options, PartError> {
    let url: &SecretString = required("redis.url", config.redis.url.as_ref())?;
    Ok(Options {
        url: url.clone(),
        ca_file: config.redis.ca_file.clone(),
        timeout: Duration::from_millis(config.redis.timeout_ms),
        rates: Effective::configured(&config.limits).gate_rates(),
    })
}

fn required<T>(key: &'static str, value: Option<T>) -> Result<T, PartError> {
    value.ok_or(PartError::Missing(key))
}
