//! `config`: check and print the configuration.

use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::print;

/// Check or print the configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate config check --config /etc/flux-gate.toml
  flux-gate config print --json")]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Say everything that is wrong with it; exit code 1 if anything is.
    Check,
    /// Print every key with its value and where that came from; never a secret.
    Print {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = common.load(machine, Vec::new())?;
        match self.command {
            Subcommand::Check => {
                for warning in &loaded.warnings {
                    writeln!(machine.out, "warning: {warning}")?;
                }
                loaded.refuse_services()?;
                writeln!(machine.out, "the configuration is fine")?;
            }
            Subcommand::Print { json: true } => {
                let lines = print::lines(&loaded);
                writeln!(machine.out, "{}", serde_json::to_string_pretty(&lines)?)?;
            }
            Subcommand::Print { json: false } => {
                write!(machine.out, "{}", print::text(&loaded))?;
            }
        }
        Ok(Exit::Done)
    }
}
