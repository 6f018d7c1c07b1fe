//! The parts of one node: everything in its memory and in one file.

use std::sync::Arc;

use super::{
    Parts, STORE_FAILED_EXIT_CODE, StartError, erasures, level_all, live_controls, observer,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::{Gate, MemoryGate};
use crate::gcra::Rate;
use crate::guard::Guard;
use crate::keys::IdentityKeys;
use crate::ledger::{Ledger, SqliteLedger};
use crate::log::sqlite::Options;
use crate::log::{OrderLog, SqliteLog};
use crate::receipt::Issuer;

/// Opens the store and levels the gate. A failed write of the store ends the process.
pub(super) fn parts(
    config: &Config,
    identity: &IdentityKeys,
    guard: &Arc<Guard>,
    clock: &Clock,
    receipts: Option<Arc<Issuer>>,
) -> Result<Parts, StartError> {
    let rate = config.limits.product_per_second;
    let gate = Gate::Memory(Arc::new(MemoryGate::new(Rate::per_second(rate, rate))));
    let live = live_controls(config, guard, &gate);
    let log = SqliteLog::start(
        &Options { receipts, ..Options::new(&config.data, identity) },
        clock.clone(),
        observer(gate.clone(), live.clone()),
        Box::new(|error| {
            tracing::error!(%error, "the store failed; ending the process so that nothing is lost");
            std::process::exit(STORE_FAILED_EXIT_CODE);
        }),
    )?;
    let ledger = SqliteLedger::open(log.store_file())?;
    let log = OrderLog::Sqlite(log);
    let (journal, erased_again) = erasures::replay(config, identity, &log, &ledger)?;
    let (ledger, erasures) = (Ledger::Sqlite(ledger), Some(journal));
    level_all(&gate, &log);
    Ok(Parts { gate, log, ledger, live, erasures, erased_again })
}
