//! `migrate`: brings the store to the format of this program.

use crate::cli::{Common, Exit, Failure, Machine};

/// Bring the store to the format of this program.
///
/// `serve` does the same at its start; this is for those who want to see it done before.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  flux-gate migrate --data /var/lib/flux-gate")]
pub(super) struct Migrate {}

impl Migrate {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = common.load(machine, Vec::new())?;
        loaded.refuse_services()?;
        migrate(&loaded.config.data.dir, machine)
    }
}

fn migrate(_data_dir: &std::path::Path, _machine: &mut Machine<'_>) -> Result<Exit, Failure> {
    Err(Failure::new("this build has no store"))
}
