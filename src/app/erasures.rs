//! Erasures that a restored store does not know are done again, before it serves.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::StartError;
use crate::config::Config;
use crate::erasures::{Erasure, Erasures};
use crate::keys::IdentityKeys;
use crate::ledger::SqliteLedger;
use crate::log::{Append, LogHandle, OrderLog};
use crate::sale::Record;

/// How often it is looked whether the store has done it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After so many looks it says that it waits.
const TELL_EVERY_LOOKS: u32 = 500;

/// The journal, complete, and how many of its erasures had to be done again.
pub(super) fn replay(
    config: &Config,
    identity: &IdentityKeys,
    log: &OrderLog,
    ledger: &SqliteLedger,
) -> Result<(Arc<Erasures>, usize), StartError> {
    let journal = Erasures::open(&config.erasures_file(), identity)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::Runtime)?;
    LocalSet::new().block_on(&runtime, async {
        // What the store knows and the journal does not: the journal was lost, or there was none yet.
        for erasure in ledger.erasures().await? {
            journal.append(&erasure)?;
        }
        let handle = log.handle();
        let mut again = 0;
        for erasure in journal.entries().iter().filter(|erasure| !knows(log, erasure)) {
            again += usize::from(erase(log, &handle, erasure).await?);
        }
        if again > 0 {
            tracing::warn!(
                again,
                "this store was restored: people who were erased are erased again"
            );
            await_done(ledger).await?;
        }
        Ok((Arc::new(journal), again))
    })
}

/// Whether an erasure took effect in this store.
fn knows(log: &OrderLog, erasure: &Erasure) -> bool {
    let applied = log.applied();
    applied.products().iter().any(|product| {
        let offset = applied.with_state(product, |s| s.operation_offset(&erasure.operation));
        offset.flatten().is_some()
    })
}

/// `false`: the store has no sale, so it holds nobody.
async fn erase(log: &OrderLog, handle: &LogHandle, erasure: &Erasure) -> Result<bool, StartError> {
    // A record is about all sales, whichever it is written under.
    let Some(product) = log.applied().products().first().copied() else { return Ok(false) };
    let Erasure { buyer, operation, .. } = *erasure;
    let record = Record::SubjectErased { buyer, operation: Some(operation) };
    let append = Append { product, record, subject: None, by: None };
    let undecided = handle.append(append).map_err(|_| StartError::NotErased)?;
    undecided.await.map_err(|_| StartError::NotErased)?;
    Ok(true)
}

async fn await_done(ledger: &SqliteLedger) -> Result<(), StartError> {
    for look in 1_u32.. {
        if ledger.erasures_open().await? == 0 {
            break;
        }
        if look.is_multiple_of(TELL_EVERY_LOOKS) {
            tracing::warn!("waiting until the store has forgotten whoever was erased");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
