//! `migrate`: brings the store to the format of this program.

use std::path::Path;

use crate::cli::{Common, Exit, Failure, Machine};
use crate::config::load::load_for_migration;
use crate::log::sqlite::{self, Migrated};

/// Bring the store to the format of this program.
///
/// The embedded store: `serve` does the same at its start; this is for those who want to see it done before.
/// The ledger of many nodes (KAFKA_BROKERS and DATABASE_URL are set): nodes and workers never do it
/// themselves. DATABASE_URL must be that of a member of flux_gate_owner; no other secret is needed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate migrate --data /var/lib/flux-gate
  KAFKA_BROKERS=… DATABASE_URL=postgresql://flux_gate_owner_login:…@db/flux_gate?sslmode=verify-full flux-gate migrate")]
pub(super) struct Migrate {}

impl Migrate {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = load_for_migration(common.sources(machine, Vec::new()))?;
        loaded.refuse_missing_parts()?;
        #[cfg(feature = "distributed")]
        if loaded.config.is_distributed() {
            return migrate_ledger(&loaded.config, machine);
        }
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

#[cfg(feature = "distributed")]
fn migrate_ledger(
    config: &crate::config::Config,
    machine: &mut Machine<'_>,
) -> Result<Exit, Failure> {
    use crate::ledger::postgres::migrations::{self, Migrated};

    let Migrated { from, to } = migrations::migrate(config)?;
    if from == to {
        writeln!(machine.out, "the ledger in PostgreSQL already has schema {to}")?;
    } else {
        writeln!(machine.out, "the ledger in PostgreSQL went from schema {from} to {to}")?;
    }
    Ok(Exit::Done)
}
