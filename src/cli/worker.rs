//! `worker`: fills the ledger from the log until SIGTERM or Ctrl-C.

use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::load::Flag;

/// Fill the ledger in PostgreSQL from the log on Kafka, until SIGTERM or Ctrl-C.
///
/// Run one or more: they share the log's partitions out among themselves, and take over from each other.
/// /readyz and /metrics are on the operator's address. `flux-gate migrate` must have made the tables.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate worker --config /etc/flux-gate-worker.toml
  KAFKA_BROKERS=kafka:9092 REDIS_URL=rediss://… DATABASE_URL=postgresql://… flux-gate worker
  flux-gate worker --admin-listen 127.0.0.1:3101")]
pub(super) struct Worker {
    /// Where /livez, /readyz and /metrics are served (key admin.listen).
    #[arg(long, value_name = "IP:PORT")]
    admin_listen: Option<String>,
}

impl Worker {
    pub(super) fn run(self, machine: &Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let flag = |value| Flag { key: "admin.listen", flag: "--admin-listen", value };
        let loaded = common.load(machine, self.admin_listen.map(flag).into_iter().collect())?;
        loaded.refuse_missing_parts()?;
        #[cfg(feature = "distributed")]
        return work(&loaded, machine);
        #[cfg(not(feature = "distributed"))]
        Err(Failure::new(
            "this build has the embedded store alone, which needs no worker; build with \
             `cargo build --release --features distributed`",
        ))
    }
}

#[cfg(feature = "distributed")]
fn work(loaded: &crate::config::load::Loaded, machine: &Machine<'_>) -> Result<Exit, Failure> {
    use super::process::{Signals, runtime};
    use crate::{telemetry, worker};

    telemetry::start(super::serve::log_format(loaded), machine.variable("RUST_LOG"))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let ended = runtime()?.block_on(async {
        // Before the start: a signal that comes meanwhile must let it finish, not end the process.
        let mut signals = Signals::listen()?;
        worker::run(&loaded.config, machine.clock.clone(), signals.wait()).await
    });
    ended.map(|()| Exit::Done).map_err(|error| {
        // A line of the log, in its form, and not told again.
        tracing::error!("{error}");
        Failure { exit: Exit::Store, message: String::new() }
    })
}
