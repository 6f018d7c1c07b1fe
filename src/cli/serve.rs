//! `serve`: loads the configuration, sets up the log, completes the secrets, starts the parts.

use crate::app;
use crate::cli::limits::raise_open_files;
use crate::cli::process::Signals;
use crate::cli::{Common, Exit, Failure, Machine, process};
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
        loaded.refuse_missing_parts()?;
        telemetry::start(log_format(&loaded), machine.variable("RUST_LOG"))?;
        // From here on a failure is a line of the log, in its form, and is not told again.
        serve(loaded, machine).map_err(|failure| {
            tracing::error!("{}", failure.message);
            Failure { message: String::new(), ..failure }
        })
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

fn serve(loaded: Loaded, machine: &Machine<'_>) -> Result<Exit, Failure> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = loaded.config;
    let open_files = raise_open_files();
    if open_files.now.is_some_and(|files| files < config.http.connections_max as u64) {
        tracing::warn!(?open_files, "fewer open files than http.connections_max; see `doctor`");
    }
    // Many nodes have the same secrets, so none makes its own: what is missing ends the start.
    let taken = match config.is_distributed() {
        true => Vec::new(),
        false => complete_secrets(&mut config, machine)?,
    };
    for taken in taken {
        let path = taken.path.display().to_string();
        let made = if taken.made { "made a secret" } else { "using a stored secret" };
        tracing::info!(path, "{made}");
    }
    start(config, machine)
}

/// Starts the parts, waits for SIGTERM or Ctrl-C, and stops them in order.
fn start(config: Config, machine: &Machine<'_>) -> Result<Exit, Failure> {
    let runtime = process::runtime()?;
    // Before the start: a signal that comes while the parts start must drain them, not end the process.
    let mut signals = {
        let _within = runtime.enter();
        Signals::listen()?
    };
    let running = app::start(config, machine.clock.clone())?;
    runtime.block_on(signals.wait());
    running.stop();
    Ok(Exit::Done)
}

/// The shape of log lines that is configured.
pub(super) fn log_format(loaded: &Loaded) -> Format {
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
