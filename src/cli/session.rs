//! `session`: obtains a session pass for a user, as a shop's backend does.

use crate::cli::shop::{self, Server};
use crate::cli::{Common, Exit, Failure, Machine, process};
use crate::load::api::Api;
use crate::load::sessions;
use crate::sale::UserId;

/// Obtain a session pass for a user, as a shop's backend does.
///
/// Speaks as the API client of --client, or as the first one of the configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate session alice --client shop:SECRET
  eval \"$(flux-gate session alice --shell)\"; flux-gate order iphone-15 alice")]
pub(super) struct Session {
    /// The user, in the shop's own words: `^[a-z0-9-]{1,50}$`.
    user: UserId,
    #[command(flatten)]
    server: Server,
    /// The API client to speak as.
    #[arg(long, value_name = "ID:SECRET")]
    client: Option<String>,
    /// Print variables for a shell, which `flux-gate order` reads.
    #[arg(long)]
    shell: bool,
}

impl Session {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let config = common.load(machine, Vec::new())?.config;
        let credentials = shop::credentials(self.client.as_deref(), &config)?;
        let mut api = Api::new(self.server.target(&config)?);
        let now_ms = machine.clock.unix_ms();
        let opening = sessions::open(&mut api, &credentials, &self.user, now_ms);
        let session = process::runtime()?.block_on(opening)?;
        let shopper = &session.shopper;
        if self.shell {
            writeln!(machine.out, "export FLUX_GATE_PASS='{}'", shopper.pass())?;
            writeln!(machine.out, "export FLUX_GATE_SESSION_KEY='{}'", shopper.session_key())?;
        } else {
            let shown = serde_json::json!({
                "userId": self.user,
                "pass": shopper.pass(),
                "sessionKey": shopper.session_key(),
                "serverTime": session.server_time_ms,
                "expiresAt": session.expires_at_ms,
            });
            writeln!(machine.out, "{}", serde_json::to_string_pretty(&shown)?)?;
        }
        Ok(Exit::Done)
    }
}
