//! The inventory worker: fills the ledger from the log, each record once.
//!
//! ```text
//! Kafka ─▶ follower: read, verify, apply ─▶ store: dead letters, one transaction a batch ─▶ PostgreSQL
//! ```
//!
//! Any number of workers may run: Kafka's group shares the partitions out among them. Whichever worker has
//! a partition, a batch takes effect only on top of the very record that the ledger ends with, so a worker
//! that is killed, hangs, or is wrongly thought dead can do no harm.
//!
//! The parts: [`apply`] (pure), `consumer`, `follower`, `store`, `dead_letters`, `lag`, `evidence`,
//! `retention`, `seal_keys`, `metrics`, `traced`, `status`.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::gate::redis::LibraryKeeper;
use crate::keys::records::RecordKeys;
use crate::keys::seal::Opener;
use crate::log::kafka::{self, client};
use crate::trace::Tracer;

mod apply;
mod consumer;
mod dead_letters;
mod error;
mod evidence;
mod follower;
mod lag;
pub mod metrics;
mod retention;
pub mod seal_keys;
mod status;
mod store;
mod traced;

pub use error::WorkerError;
pub use metrics::Metrics;

use consumer::Consumer;
use status::Status;
use store::Store;

/// How long Kafka may take to describe the topic, and the time between two tries.
const TOPIC_MAX: Duration = Duration::from_secs(5);
const TOPIC_RETRY: Duration = Duration::from_millis(500);

/// A worker that runs.
pub struct Running {
    metrics: Arc<Metrics>,
    tracer: Tracer,
    status_address: SocketAddr,
    stopping: Arc<AtomicBool>,
    ended: oneshot::Receiver<Result<(), WorkerError>>,
    stop_status: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Runs a worker until `shutdown` resolves, then finishes its batch and leaves the group.
///
/// # Errors
/// [`WorkerError`]: it did not start, or going on would be wrong.
pub async fn run(
    config: &Config,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), WorkerError> {
    let mut running = start(config, clock)?;
    tokio::select! {
        () = shutdown => running.stop().await,
        ended = running.ended() => ended,
    }
}

/// Starts a worker. It waits for its stores by itself, see [`Metrics::is_ready`].
///
/// # Errors
/// A setting is missing or cannot be used, or the address is taken.
pub fn start(config: &Config, clock: Clock) -> Result<Running, WorkerError> {
    if !config.is_distributed() {
        return Err(WorkerError::NotDistributed);
    }
    let listener = listen(config.admin.listen)?;
    if config.admin.tls_cert_file.is_some() {
        tracing::warn!(
            "admin.tls_cert_file is not used: a worker's listener speaks plain HTTP only"
        );
    }
    let status_address = listener.local_addr()?;
    let partitions = config.kafka.partitions;
    let tracer = Tracer::start(&config.traces, "worker", &clock)?;
    let metrics = Arc::new(Metrics::new(partitions, tracer.clone()));
    let stopping = Arc::new(AtomicBool::new(false));
    let keys = record_keys(config)?;
    let opener = Arc::new(opener(config)?);
    metrics.seal_keys.store(opener.len() as u64, Ordering::Relaxed);
    let retention = retention::Parts::new(config, &opener, &metrics, &clock, &stopping)?;
    let store = Store::start(config)?;
    let asker: BaseConsumer<client::Context> =
        client::client_config(config).create_with_context(client::Context)?;
    // Also where nodes note nothing any more: what they have noted grows old all the same.
    let keeper = evidence::Keeper::new(config, clock.clone(), Arc::clone(&metrics))?;

    let follow = {
        let (config, clock) = (config.clone(), clock.clone());
        let (metrics, stopping) = (Arc::clone(&metrics), Arc::clone(&stopping));
        let tracer = tracer.clone();
        move || {
            await_topic(&config, &stopping)?;
            if stopping.load(Ordering::Relaxed) {
                return Ok(());
            }
            let parts = follower::Parts {
                consumer: Consumer::join(&config)?,
                store,
                keys,
                opener,
                partitions,
                batch_records_max: config.postgres.batch_records_max,
                metrics,
                clock,
                stopping,
                tracer,
            };
            let ended = follower::run(&parts);
            parts.consumer.leave();
            ended
        }
    };
    let watch = {
        let (metrics, stopping) = (Arc::clone(&metrics), Arc::clone(&stopping));
        let topic = config.kafka.topic.clone();
        move || lag::watch(&asker, &topic, partitions, &metrics, &stopping)
    };
    let keep = {
        let stopping = Arc::clone(&stopping);
        move || keeper.run(&stopping)
    };
    let (stop_status, status_stopped) = oneshot::channel();
    let tokens = status::tokens(&config.admin);
    let status = Status { metrics: Arc::clone(&metrics), clock, tokens };
    let serve = move || {
        if let Err(error) = status::serve(listener, status, status_stopped) {
            tracing::error!(%error, "the worker's listener ended");
        }
    };
    let (tell, ended) = oneshot::channel();
    let threads = vec![
        spawn("worker-follower", move || {
            // Whoever waits for it may have gone.
            let _ = tell.send(follow());
        })?,
        spawn("worker-lag", watch)?,
        spawn("worker-evidence", keep)?,
        spawn("worker-retention", move || retention::run(&retention))?,
        spawn("worker-status", serve)?,
    ];
    keep_functions_loaded(config)?;
    tracing::info!(%status_address, "working");
    Ok(Running {
        metrics,
        tracer,
        status_address,
        stopping,
        ended,
        stop_status: Some(stop_status),
        threads,
    })
}

impl Running {
    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where `/readyz` and `/metrics` are.
    pub fn status_address(&self) -> SocketAddr {
        self.status_address
    }

    /// Resolves when it ends by itself.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> Result<(), WorkerError> {
        (&mut self.ended).await.unwrap_or(Err(WorkerError::Ended))
    }

    /// Finishes the batch, leaves the group and ends.
    ///
    /// # Errors
    /// Why it ended, if it was not for this.
    pub async fn stop(&mut self) -> Result<(), WorkerError> {
        tracing::info!("stopping: finishing the batch");
        self.stopping.store(true, Ordering::Relaxed);
        let ended = self.ended().await;
        self.tracer.stop();
        tracing::info!("stopped");
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(stop) = self.stop_status.take() {
            // The listener may have ended by itself.
            let _ = stop.send(());
        }
        for thread in self.threads.drain(..) {
            // Its panic has been told.
            let _ = thread.join();
        }
    }
}

/// Keeps Redis's function library loaded: of all users only the loader may load it. Without Redis nodes screen
/// in memory, so nothing that goes wrong here stops the worker.
fn keep_functions_loaded(config: &Config) -> Result<(), WorkerError> {
    let Some(url) = &config.redis.loader_url else { return Ok(()) };
    let keeper = LibraryKeeper::new(url, config.redis.ca_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // It has nothing to finish: it ends with the process.
    spawn("redis-library", move || {
        LocalSet::new().block_on(&runtime, keeper.run());
    })?;
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn listen(address: SocketAddr) -> Result<TcpListener, WorkerError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| WorkerError::Listen { address, source })
}

fn record_keys(config: &Config) -> Result<RecordKeys, WorkerError> {
    const MEND: &str = "give the worker the same as the nodes";
    let secrets = &config.secrets;
    let missing = |key| WorkerError::Missing { key, mend: MEND };
    let keys = secrets.record_keys.as_ref().ok_or_else(|| missing("secrets.record_keys"))?;
    let public = secrets.operator_public_key.as_deref();
    let public = public.ok_or_else(|| missing("secrets.operator_public_key"))?;
    Ok(RecordKeys::new(keys, None, public)?)
}

fn opener(config: &Config) -> Result<Opener, WorkerError> {
    const MEND: &str = "without it, or privacy.seal_keys_dir, no order gets a user id; make a pair with \
                        `flux-gate keygen`";
    let keys: Option<&SecretString> = config.secrets.seal_private_keys.as_ref();
    let dir = config.privacy.seal_keys_dir.as_deref();
    if keys.is_none() && dir.is_none() {
        return Err(WorkerError::Missing { key: "secrets.seal_private_keys", mend: MEND });
    }
    Ok(Opener::with_kept(keys, dir)?)
}

/// Waits for Kafka and refuses a topic in which orders could be lost.
fn await_topic(config: &Config, stopping: &AtomicBool) -> Result<(), WorkerError> {
    let mut told = false;
    while !stopping.load(Ordering::Relaxed) {
        let found = match kafka::check_topic(config, TOPIC_MAX) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "waiting for Kafka");
                }
                std::thread::sleep(TOPIC_RETRY);
                continue;
            }
        };
        let (warnings, faults): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|fault| fault.warning);
        for warning in warnings {
            tracing::warn!("the topic of orders: {warning}");
        }
        if faults.is_empty() {
            return Ok(());
        }
        return Err(WorkerError::Topic { topic: config.kafka.topic.clone(), faults });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
