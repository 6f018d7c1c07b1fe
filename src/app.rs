//! Chooses the parts, starts them in order, and stops them in the reverse order.
//!
//! Start: log (replayed, then ready), gate (levelled from it), listeners. Stop: readiness fails first, then
//! no new connections, then what is under way ends, then the log is closed.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::audit::{self, Trail};
use crate::clock::Clock;
use crate::config::Config;
use crate::erasures::{Erasures, JournalError};
use crate::gate::Gate;
use crate::guard::live::LiveControls;
use crate::guard::{Guard, GuardError, PassKeys, PassKeysError};
use crate::http::operator::auth::{BadToken, Tokens};
use crate::http::room::{LookError, Service};
use crate::http::{self, Listeners, ServeError, Shared, tls};
use crate::keys::IdentityKeys;
use crate::keys::signer::{BadKey, Signer};
use crate::keys::stored::{self, StoredError, StoredSecret};
use crate::ledger::{Ledger, LedgerError};
use crate::log::sqlite::StartError as LogError;
use crate::log::{Observer, OrderLog};
use crate::receipt::Issuer;
use crate::siteverify::{Siteverify, SiteverifyError};
use crate::trace::{Tracer, TracesError};

#[cfg(feature = "distributed")]
mod distributed;
mod embedded;
mod erasures;
mod evidence;
mod retention;

use retention::Retention;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret is neither configured nor made.
    #[error("the secret {0} is missing: set it, or let `serve` make it in the data directory")]
    MissingSecret(&'static str),
    /// The keys of session passes.
    #[error("secrets.pass_keys: {0}")]
    PassKeys(#[from] PassKeysError),
    /// The order log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A part of many nodes.
    #[cfg(feature = "distributed")]
    #[error(transparent)]
    Distributed(#[from] distributed::PartError),
    /// The guard's keys or lists.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The operators' tokens.
    #[error(transparent)]
    Tokens(#[from] BadToken),
    /// A secret that is made in the data directory.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The key of audit trail or receipts.
    #[error("the secret {0} {1}")]
    SigningKey(&'static str, #[source] BadKey),
    /// The audit trail.
    #[error(transparent)]
    Audit(#[from] audit::StoreError),
    /// The way to the collector of traces.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The thread that writes the evidence.
    #[error("the evidence could not be started: {0}")]
    Evidence(#[from] std::io::Error),
    /// The way to the service of challenges.
    #[error(transparent)]
    Challenges(#[from] SiteverifyError),
    /// The look of the waiting rooms' page.
    #[error(transparent)]
    Look(#[from] LookError),
    /// TLS files.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// A listener's address.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The journal of erasures.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Somebody who was erased is in the store again, and could not be erased.
    #[error("the store does not take the erasures that it was restored without")]
    NotErased,
    /// The runtime for the start.
    #[error("a runtime could not be started: {0}")]
    Runtime(#[source] std::io::Error),
    /// The thread that deletes what is too old.
    #[error("the thread for retention could not be started: {0}")]
    Retention(#[source] std::io::Error),
    /// The serving threads.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// A node that serves.
pub struct Running {
    shared: Arc<Shared>,
    http: http::Running,
    retention: Option<Retention>,
    public_address: SocketAddr,
    operator_address: SocketAddr,
}

/// Starts a node and returns once it serves. `config` holds all secrets. A failed write of the store ends
/// the process.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub fn start(config: Config, clock: Clock) -> Result<Running, StartError> {
    let listeners = listeners(&config)?;
    let (public_address, operator_address) =
        (address(&listeners.public), address(&listeners.operator));
    let tokens = Tokens::new(secret("admin.token", &config.admin.token)?, &config.admin.tokens)?;
    let identity = Arc::new(identity(&config)?);
    let pass_keys = secret("secrets.pass_keys", &config.secrets.pass_keys)?;
    let pass_keys = PassKeys::parse(pass_keys.expose_secret())?;
    let guard = Guard::new(&config, identity.clone(), pass_keys, table_seed(&config, &identity))?;
    let guard = Arc::new(guard);

    let tracer = Tracer::start(&config.traces, "node", &clock)?;
    let siteverify = Siteverify::new(&config.challenge)?;
    let receipts = issuer(&config)?;
    let Parts { gate, log, ledger, live, erasures, erased_again } =
        parts(&config, &identity, &guard, &clock, receipts.clone())?;
    live.take(&log.applied().control(), log.applied().log_time(&clock).likely_ms);
    let audit = trail(&config, &clock, &log)?;
    let evidence = evidence::evidence(&config, &clock, &identity)?;
    let retention = retention(&config, &clock, &log, &audit, erased_again)?;
    let room = Arc::new(Service::new(&config, identity.clone(), guard.doors().clone())?);
    let threads = match config.http.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let shared = Arc::new(Shared {
        clock,
        identity,
        guard,
        gate,
        log,
        ledger,
        live,
        audit,
        evidence,
        erasures,
        receipts,
        siteverify,
        counters: (0..threads).map(|_| Arc::default()).collect(),
        certificates: http::tls::expiries(&config),
        room,
        random,
        tracer,
        stopping: AtomicBool::new(false),
        config,
    });
    let http = http::Running::start(&shared, listeners, tokens)?;
    tracing::info!(%public_address, %operator_address, "serving");
    Ok(Running { shared, http, retention, public_address, operator_address })
}

/// Both sockets, bound, with their TLS.
fn listeners(config: &Config) -> Result<Listeners, StartError> {
    let (http, admin) = (&config.http, &config.admin);
    Ok(Listeners {
        public: bind("http.listen", http.listen)?,
        operator: bind("admin.listen", admin.listen)?,
        public_tls: acceptor(&http.tls_cert_file, &http.tls_key_file, &None)?,
        operator_tls: acceptor(
            &admin.tls_cert_file,
            &admin.tls_key_file,
            &admin.tls_client_ca_file,
        )?,
    })
}

/// The keys of order ids and pseudonyms.
fn identity(config: &Config) -> Result<IdentityKeys, StartError> {
    let secrets = &config.secrets;
    Ok(IdentityKeys::new(
        secret("secrets.order_key", &secrets.order_key)?.expose_secret().as_bytes(),
        secret("secrets.buyer_key", &secrets.buyer_key)?.expose_secret().as_bytes(),
    ))
}

/// The parts that differ between one node and many.
struct Parts {
    gate: Gate,
    log: OrderLog,
    ledger: Ledger,
    live: Arc<LiveControls>,
    /// Of one node: its journal of erasures.
    erasures: Option<Arc<Erasures>>,
    /// Erasures that were done again, because the store was restored without them.
    erased_again: usize,
}

/// Of one node: what deletes what is too old.
fn retention(
    config: &Config,
    clock: &Clock,
    log: &OrderLog,
    trail: &Trail,
    erased_again: usize,
) -> Result<Option<Retention>, StartError> {
    #[cfg_attr(not(any(feature = "distributed", test)), expect(irrefutable_let_patterns))]
    let OrderLog::Sqlite(log) = log else { return Ok(None) };
    let (privacy, clock) = (config.privacy.clone(), clock.clone());
    let parts =
        retention::Parts { log: log.clone(), trail: trail.clone(), clock, privacy, erased_again };
    Retention::start(parts).map(Some).map_err(StartError::Retention)
}

fn parts(
    config: &Config,
    identity: &IdentityKeys,
    guard: &Arc<Guard>,
    clock: &Clock,
    receipts: Option<Arc<Issuer>>,
) -> Result<Parts, StartError> {
    #[cfg(feature = "distributed")]
    if config.is_distributed() {
        return Ok(distributed::parts(config, identity, guard, clock, receipts)?);
    }
    embedded::parts(config, identity, guard, clock, receipts)
}

/// What signs receipts. Of many nodes all must have the same key, so none makes its own.
fn issuer(config: &Config) -> Result<Option<Arc<Issuer>>, StartError> {
    if !config.receipts.enabled {
        return Ok(None);
    }
    if config.is_distributed() && config.secrets.receipt_key.is_none() {
        tracing::warn!("secrets.receipt_key is not set: this node gives no receipts");
        return Ok(None);
    }
    let configured = config.secrets.receipt_key.as_ref();
    let signer = signer("secrets.receipt_key", configured, StoredSecret::ReceiptKey, config)?;
    Ok(Some(Arc::new(Issuer::new(signer))))
}

fn trail(config: &Config, clock: &Clock, log: &OrderLog) -> Result<Trail, StartError> {
    let configured = config.secrets.audit_key.as_ref();
    let options = audit::Options {
        data_dir: config.data.dir.clone(),
        limits: audit::Limits {
            bytes_max: config.audit.bytes_max,
            retention_ms: config.audit.retention_days.saturating_mul(24 * 3_600 * 1_000),
        },
        signer: signer("secrets.audit_key", configured, StoredSecret::AuditKey, config)?,
        random,
        version: env!("CARGO_PKG_VERSION"),
    };
    let log = log.clone();
    Ok(Trail::start(options, clock.clone(), Box::new(move || log.heads()))?)
}

/// The configured key, or the one of the data directory, which is made if it is not there.
fn signer(
    key: &'static str,
    configured: Option<&SecretString>,
    secret: StoredSecret,
    config: &Config,
) -> Result<Signer, StartError> {
    let seed = match configured {
        Some(seed) => seed.clone(),
        None => {
            let fill = |bytes: &mut [u8]| {
                random(bytes);
                Ok(())
            };
            stored::read_or_make(&config.data.dir, secret, &fill)?.0
        }
    };
    Signer::from_seed(&seed).map_err(|why| StartError::SigningKey(key, why))
}

/// The live controls of guard and gate.
fn live_controls(config: &Config, guard: &Arc<Guard>, gate: &Gate) -> Arc<LiveControls> {
    Arc::new(LiveControls::new(guard.clone(), gate.clone(), config.limits.clone()))
}

/// Tells the gate what the log decided, and guard and gate what operators said.
fn observer(gate: Gate, live: Arc<LiveControls>) -> Observer {
    Box::new(move |batch| {
        if let Some(control) = batch.control {
            live.take(control, control.log_time_ms());
        }
        for level in batch.levels {
            gate.level(&level.product, level.offset, level.remaining);
        }
        gate.settled(batch.decided);
    })
}

/// Levels the gate from the applied state.
fn level_all(gate: &Gate, log: &OrderLog) {
    for product in log.applied().products() {
        log.applied().with_state(&product, |state| {
            gate.level(&product, state.applied_offset(), state.remaining());
        });
    }
}

/// What the guard's tables hash under: of one node its own, of many the same, so that the gate can count one
/// address over all nodes. Secret in either case.
fn table_seed(config: &Config, identity: &IdentityKeys) -> [u8; 16] {
    if config.is_distributed() { identity.table_seed() } else { random_16() }
}

/// The exit code after a failed write of the store (EX_SOFTWARE of sysexits.h).
pub const STORE_FAILED_EXIT_CODE: i32 = 70;

impl Running {
    /// Where shoppers and shops call.
    pub fn public_address(&self) -> SocketAddr {
        self.public_address
    }

    /// Where operators call.
    pub fn operator_address(&self) -> SocketAddr {
        self.operator_address
    }

    /// Stops in order; returns when everything has ended.
    pub fn stop(self) {
        tracing::info!("stopping: readiness fails from now on");
        self.shared.stopping.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(self.shared.config.http.drain_delay_ms));
        self.http.drain();
        if let Some(mut retention) = self.retention {
            retention.stop();
        }
        self.shared.log.stop();
        if let Some(evidence) = &self.shared.evidence {
            evidence.stop();
        }
        self.shared.audit.stop();
        self.shared.tracer.stop();
        tracing::info!("stopped");
    }
}

fn secret<'a>(
    key: &'static str,
    value: &'a Option<SecretString>,
) -> Result<&'a SecretString, StartError> {
    value.as_ref().ok_or(StartError::MissingSecret(key))
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(http::BACKLOG_MAX)?;
        Ok(TcpListener::from(socket))
    };
    listen().map_err(|source| StartError::Listen { key, address, source })
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

fn acceptor(
    cert_file: &Option<std::path::PathBuf>,
    key_file: &Option<std::path::PathBuf>,
    client_ca_file: &Option<std::path::PathBuf>,
) -> Result<Option<tokio_rustls::TlsAcceptor>, tls::TlsError> {
    tls::acceptor(cert_file.as_deref(), key_file.as_deref(), client_ca_file.as_deref())
}

/// Fills a buffer from the operating system's generator.
pub fn random(buffer: &mut [u8]) {
    use aws_lc_rs::rand::SecureRandom;
    aws_lc_rs::rand::SystemRandom::new()
        .fill(buffer)
        .expect("the operating system gives random bytes");
}

fn random_16() -> [u8; 16] {
    let mut bytes = [0; 16];
    random(&mut bytes);
    bytes
}
