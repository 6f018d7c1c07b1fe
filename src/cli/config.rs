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
    /// Print every key with its variable, default, range and purpose, as Markdown.
    Reference,
    /// Print every key with its value and where that came from; never a secret.
    Print {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let load = |machine: &Machine<'_>| common.load(machine, Vec::new());
        match self.command {
            Subcommand::Check => {
                let loaded = load(machine)?;
                for warning in &loaded.warnings {
                    writeln!(machine.out, "warning: {warning}")?;
                }
                loaded.refuse_missing_parts()?;
                writeln!(machine.out, "the configuration is fine")?;
            }
            Subcommand::Print { json: true } => {
                let lines = print::lines(&load(machine)?);
                writeln!(machine.out, "{}", serde_json::to_string_pretty(&lines)?)?;
            }
            Subcommand::Print { json: false } => {
                let text = print::text(&load(machine)?);
                machine.out.write_all(text.as_bytes())?;
            }
            Subcommand::Reference => machine.out.write_all(print::reference().as_bytes())?,
        }
        Ok(Exit::Done)
    }
}
