//! The private keys that open user ids: until when each is needed, and its end.
//!
//! The periods are those of `secrets.seal_public_key`, the list that the nodes seal by: a worker must have the
//! same, or it destroys nothing. A key may go when its period is over, so many days have passed, and the ledger
//! has every record that can be sealed to it.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::WorkerError;
use crate::config::Config;
use crate::config::privacy::SEAL_KEY_DAYS_MAX;
use crate::keys::seal::SealKeyError;
use crate::keys::seal::kept::{self, Kept};
use crate::keys::seal::periods::{Period, SETTLED_MS, periods};
use crate::ledger::postgres::housekeeper::Housekeeper;
use crate::log::kafka::client;

/// How long Kafka may take to say where a partition ends.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A private key, and when it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealKey {
    /// When it seals, as far as the nodes' list tells.
    pub period: Period,
    /// When it is to be destroyed, Unix milliseconds; `None`: no key follows it.
    pub due_ms: Option<u64>,
    /// Its file, if it is kept in one; else it stands in `secrets.seal_private_keys`.
    pub kept: Option<Kept>,
}

impl SealKey {
    /// Whether no node seals to it any more, and no record that is sealed to it can become an order.
    pub fn has_settled(&self, now_ms: u64) -> bool {
        let until_ms = self.period.until_ms;
        until_ms.is_some_and(|until_ms| until_ms.saturating_add(SETTLED_MS) <= now_ms)
    }

    /// Whether its time is over.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.has_settled(now_ms) && self.due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }
}

/// The private keys of this worker, by the beginning of their periods.
///
/// # Errors
/// A list or a file cannot be read.
pub fn keys(config: &Config) -> Result<Vec<SealKey>, WorkerError> {
    let files = config.privacy.seal_keys_dir.as_deref().map(kept::list).transpose()?;
    let files = files.unwrap_or_default();
    let configured = config.secrets.seal_private_keys.as_ref();
    let configured = configured.map(kept::ids_of).transpose().map_err(kept::KeptError::from)?;
    let configured = configured.unwrap_or_default();
    let public = config.secrets.seal_public_key.as_deref();
    let days = config.privacy.seal_key_days;
    Ok(plan(public, &configured, files, days)?)
}

/// Without any I/O: which key is to go when. `configured` are the ids of keys that are in no file.
fn plan(
    public_keys: Option<&str>,
    configured: &[String],
    files: Vec<Kept>,
    days: u64,
) -> Result<Vec<SealKey>, SealKeyError> {
    let listed = public_keys.map(periods).transpose()?.unwrap_or_default();
    let period_of = |id: &str, from_ms: u64| {
        let known = listed.iter().find(|period| period.id == id).cloned();
        known.unwrap_or_else(|| Period {
            id: id.to_owned(),
            from_ms,
            // Taken out of the list after its time. One that is younger than the list is not in use yet.
            until_ms: listed.first().map(|first| first.from_ms).filter(|first| *first > from_ms),
        })
    };
    let of_files = files.into_iter().map(|file| (period_of(&file.id, file.from_ms), Some(file)));
    let of_configured = configured.iter().map(|id| (period_of(id, 0), None));
    let mut keys: Vec<_> = (of_files.chain(of_configured))
        .map(|(period, kept)| SealKey {
            due_ms: period.due_ms(days, SEAL_KEY_DAYS_MAX),
            period,
            kept,
        })
        .collect();
    keys.sort_by_key(|key| key.period.from_ms);
    Ok(keys)
}

/// Whether the ledger has every record that is in the log at this moment.
///
/// # Errors
/// Kafka or PostgreSQL does not answer.
pub fn ledger_is_level(
    asker: &BaseConsumer<client::Context>,
    config: &Config,
    housekeeper: &Housekeeper,
) -> Result<bool, WorkerError> {
    let mut ends = Vec::new();
    for partition in 0..config.kafka.partitions as i32 {
        let (_, end) = asker.fetch_watermarks(&config.kafka.topic, partition, ANSWER_MAX)?;
        ends.push((partition, end.max(0) as u64));
    }
    // After the ends: what comes meanwhile does not matter.
    let progress = housekeeper.progress()?;
    let level = |(partition, end): &(i32, u64)| {
        *end == 0 || progress.iter().any(|(of, next)| of == partition && next >= end)
    };
    Ok(ends.iter().all(level))
}

/// The ids that are in `of` and not in `those`.
pub(super) fn missing<'a>(of: &'a [String], those: &[SealKey]) -> Vec<&'a String> {
    let those: HashSet<_> = those.iter().map(|key| key.period.id.as_str()).collect();
    of.iter().filter(|id| !those.contains(id.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600 * 1_000;

    fn file(id: &str, from_ms: u64) -> Kept {
        Kept { id: id.to_owned(), from_ms, path: format!("{id}.key").into() }
    }

    fn planned(public: Option<&str>, files: &[(&str, u64)]) -> Vec<SealKey> {
        let files = files.iter().map(|(id, from_ms)| file(id, *from_ms)).collect();
        plan(public, &["configured".to_owned()], files, 7).unwrap()
    }

    #[test]
    fn a_key_goes_days_after_the_next_one_on_the_nodes_list_began_and_never_without_that_list() {
        let key = "42".repeat(32);
        let list = format!("a@86400:{key},b@172800:{key}");
        let keys = planned(Some(&list), &[("a", DAY), ("b", 2 * DAY), ("c", 3 * DAY), ("old", 5)]);
        let of = |id: &str| keys.iter().find(|key| key.period.id == id).unwrap();
        assert_eq!(of("a").due_ms, Some(9 * DAY + SETTLED_MS));
        assert!(!of("a").has_settled(2 * DAY + SETTLED_MS - 1));
        assert!(of("a").has_settled(2 * DAY + SETTLED_MS));
        assert!(!of("a").is_due(9 * DAY) && of("a").is_due(10 * DAY));
        // The last one of the list seals on, though a file of a later one is here already.
        for id in ["b", "c"] {
            assert!(!of(id).is_due(u64::MAX), "{id}");
        }
        // Not on the list any more.
        for id in ["old", "configured"] {
            assert_eq!(of(id).due_ms, Some(8 * DAY + SETTLED_MS), "{id}");
        }
        let unlisted = planned(None, &[("a", DAY), ("b", 2 * DAY)]);
        assert!(unlisted.iter().all(|key| !key.is_due(u64::MAX)));
    }
}
