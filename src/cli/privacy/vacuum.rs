//! `privacy vacuum`: the ledger's files without what was deleted.

use crate::cli::{Common, Exit, Failure, Machine};
use crate::ledger::postgres::housekeeper::{Housekeeper, Rewritten};

#[derive(clap::Args)]
pub(super) struct Vacuum {}

impl Vacuum {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let loaded = common.load(machine, Vec::new())?;
        let Rewritten { subjects, log_switched } = Housekeeper::new(&loaded.config)?.rewrite()?;
        writeln!(machine.out, "the table of user ids is rewritten; it holds {subjects}")?;
        if !log_switched {
            writeln!(
                machine.out,
                "the write-ahead log holds what was deleted until PostgreSQL recycles it: this user may not \
                 switch it (GRANT pg_checkpoint, EXECUTE ON FUNCTION pg_switch_wal)"
            )?;
        }
        Ok(Exit::Done)
    }
}
