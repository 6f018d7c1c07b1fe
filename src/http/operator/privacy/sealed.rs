//! Until when the sealed copies of user ids in the log of many nodes can be opened.

use serde::Serialize;

use super::super::Operator;
use crate::http::reply::Coded;

/// The sealed copies of a person's user id.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedCopies {
    /// When the last key that opens one is due to be destroyed, Unix milliseconds; `null`: its period has no end,
    /// see `flux-gate keygen --seal-keys`.
    openable_until: Option<u64>,
    /// Keys that open one and of which no worker has said that it destroyed them.
    keys: Vec<String>,
    /// Whether the ledger's files were rewritten since, so that they do not hold what was deleted.
    files_rewritten: bool,
}

impl SealedCopies {
    pub(super) fn is_gone(&self) -> bool {
        self.keys.is_empty() && self.files_rewritten
    }
}

/// Of a person who was erased at `erased_at_ms`, or else would be now. `None` of an embedded store: it has no
/// sealed copies.
#[cfg(not(feature = "distributed"))]
pub(super) async fn of(_: &Operator, _: Option<u64>) -> Result<Option<SealedCopies>, Coded> {
    Ok(None)
}

/// Of a person who was erased at `erased_at_ms`, or else would be now. `None` of an embedded store: it has no
/// sealed copies.
#[cfg(feature = "distributed")]
pub(super) async fn of(
    operator: &Operator,
    erased_at_ms: Option<u64>,
) -> Result<Option<SealedCopies>, Coded> {
    use crate::config::privacy::SEAL_KEY_DAYS_MAX;
    use crate::keys::seal::periods::periods;

    let shared = &operator.shared;
    if !shared.config.is_distributed() {
        return Ok(None);
    }
    let deletions = shared.ledger.deletions().await.map_err(super::unread)?;
    let at_ms = erased_at_ms.unwrap_or_else(|| shared.log_time().likely_ms);
    let rewritten = |what: &str| deletions.iter().any(|d| d.what == what && d.at_ms >= at_ms);
    let files_rewritten = rewritten("subjects_rewritten");
    let Some(public_keys) = &shared.config.secrets.seal_public_key else {
        // Without a key nothing was ever sealed.
        return Ok(Some(SealedCopies {
            openable_until: Some(0),
            keys: Vec::new(),
            files_rewritten,
        }));
    };
    // It was parsed at the start.
    let periods = periods(public_keys).unwrap_or_default();
    // Sealed with the key of that moment, or with an earlier one.
    let concerned: Vec<_> =
        periods.into_iter().enumerate().filter(|(n, p)| *n == 0 || p.from_ms <= at_ms).collect();
    let destroyed = |id: &str| deletions.iter().any(|d| d.what == "seal_key" && d.detail == id);
    let days = shared.config.privacy.seal_key_days;
    let due = concerned.iter().map(|(_, period)| period.due_ms(days, SEAL_KEY_DAYS_MAX));
    let openable_until = due.collect::<Option<Vec<_>>>().and_then(|due| due.into_iter().max());
    let ids = concerned.into_iter().map(|(_, period)| period.id);
    let keys = ids.filter(|id| !destroyed(id)).collect();
    Ok(Some(SealedCopies { openable_until, keys, files_rewritten }))
}
