//! `serve`: loads the configuration, sets up the log, completes the secrets, starts the parts.

use crate::app;
use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::load::{Flag, Loaded};
use crate::config::{Config, LogFormat};
use crate::keys::stored::{self, Slots, Taken};
use crate::telemetry::{self, Format};

/// Run the server until SIGTERM or Ctrl-C.
///
/// Without any configuration it serves shoppers on 127.0.0.1:3000 and the operator on 127.0.0.1:3001 and
/// makes its secrets in the data directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate serve
  flux-gate serve --data /var/lib/flux-gate --config /etc/flux-gate.toml
  FLUX_GATE__CLIENTS=shop:$(openssl rand -hex 32) flux-gate serve --listen 0.0.0.0:3000")]
pub(super) struct Serve {
    /// Where shoppers are served (key http.listen).
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Where the operator is served (key admin.listen).
    #[arg(long, value_name = "IP:PORT")]
    admin_listen: Option<String>,
}

impl Serve {
    pub(super) fn run(self, machine: &Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = common.load(machine, self.flags())?;
        loaded.refuse_services()?;
        telemetry::start(log_format(&loaded), machine.variable("RUST_LOG"))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let mut config = loaded.config;
        for taken in complete_secrets(&mut config, machine)? {
            let path = taken.path.display().to_string();
            let made = if taken.made { "made a secret" } else { "using a stored secret" };
            tracing::info!(path, "{made}");
        }
        start(config, machine)
    }

    fn flags(&self) -> Vec<Flag> {
        let flag = |key, flag, value: &Option<String>| {
            value.clone().map(|value| Flag { key, flag, value })
        };
        let listen = flag("http.listen", "--listen", &self.listen);
        let admin = flag("admin.listen", "--admin-listen", &self.admin_listen);
        listen.into_iter().chain(admin).collect()
    }
}

/// Starts the parts, waits for a signal, and stops them in order.
fn start(config: Config, machine: &Machine<'_>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = app::start(config, machine.clock.clone())?;
    runtime.block_on(stop_signal())?;
    running.stop();
    Ok(Exit::Done)
}

/// SIGTERM or Ctrl-C.
async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

fn log_format(loaded: &Loaded) -> Format {
    match loaded.config.log.format {
        LogFormat::Auto => Format::of_terminal(),
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// Fills the secrets that nobody configured from the data directory, making those that are not there.
fn complete_secrets(config: &mut Config, machine: &Machine<'_>) -> Result<Vec<Taken>, Failure> {
    let slots = Slots {
        order_key: &mut config.secrets.order_key,
        buyer_key: &mut config.secrets.buyer_key,
        pass_keys: &mut config.secrets.pass_keys,
        admin_token: &mut config.admin.token,
    };
    Ok(stored::complete(&config.data.dir, slots, machine.fill)?)
}
