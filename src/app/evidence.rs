//! Starts the evidence: beside the ledger, on either profile.

use std::sync::Arc;

use super::StartError;
use crate::clock::Clock;
use crate::config::Config;
use crate::evidence::{Evidence, SqliteEvidence};
use crate::keys::IdentityKeys;

/// None if it is off. Called once the order log is there: that one holds the data directory.
pub(super) fn evidence(
    config: &Config,
    clock: &Clock,
    identity: &Arc<IdentityKeys>,
) -> Result<Option<Evidence>, StartError> {
    if !config.evidence.enabled {
        return Ok(None);
    }
    let (clock, identity) = (clock.clone(), Arc::clone(identity));
    #[cfg(feature = "distributed")]
    if config.is_distributed() {
        return Ok(Some(super::distributed::evidence(config, clock, identity)?));
    }
    let evidence = SqliteEvidence::start(&config.data.dir, config.evidence, clock, identity)?;
    Ok(Some(Evidence::Sqlite(evidence)))
}
