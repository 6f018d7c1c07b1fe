//! `migrate`: brings the store to the format of this program.

use std::path::Path;

use crate::cli::{Common, Exit, Failure, Machine};
use crate::log::sqlite::{self, Migrated};

/// Bring the store to the format of this program.
///
/// `serve` does the same at its start; this is for those who want to see it done before.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  flux-gate migrate --data /var/lib/flux-gate")]
pub(super) struct Migrate {}

impl Migrate {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = common.load(machine, Vec::new())?;
        loaded.refuse_missing_parts()?;
        migrate(&loaded.config.data.dir, machine)
    }
}

fn migrate(data_dir: &Path, machine: &mut Machine<'_>) -> Result<Exit, Failure> {
    let Migrated { from, to } = sqlite::migrate(data_dir, machine.clock.unix_ms())?;
    if from == to {
        writeln!(machine.out, "the store already has schema {to}")?;
    } else {
        writeln!(machine.out, "the store went from schema {from} to {to}")?;
    }
    Ok(Exit::Done)
}
