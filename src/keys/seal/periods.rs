//! The periods of sealing keys: from when to when each one seals.
//!
//! `secrets.seal_public_key` is a list, `id@seconds:hex` each, of keys that were made ahead of time (`flux-gate
//! keygen --seal-keys`). A key seals from its second (Unix time) on until the next one begins, so all nodes
//! change over without being told; the last one has no end. A key without `@` seals from the beginning of time.
//!
//! Which key seals is told by `at_ms` of the proposal. A proposal that reaches the log more than 10 s of log
//! time after its `at_ms` is stale, whoever proposed it, so [`SETTLED_MS`] after its end no record that is
//! sealed to a key can become an order any more.

use zeroize::Zeroizing;

use super::SealKeyError;
use crate::keys::hex_32;
use crate::keys::records::is_key_id;

/// How long after the end of a key's period its records may still come, in milliseconds: ten seconds of log
/// time, and what clocks may be apart.
pub const SETTLED_MS: u64 = 120_000;

/// A key of a list, public or private.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) from_ms: u64,
    pub(super) key: Zeroizing<[u8; 32]>,
}

/// When a key seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// The key's id.
    pub id: String,
    /// From then on, Unix milliseconds; 0 is always.
    pub from_ms: u64,
    /// Until then; `None`: no other key follows.
    pub until_ms: Option<u64>,
}

impl Period {
    /// When its private key is to be destroyed: so many days after its end, but at most `days_max` after the
    /// first record that may be sealed to it, and never before its records have settled.
    pub fn due_ms(&self, days: u64, days_max: u64) -> Option<u64> {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        let end_ms = self.until_ms?.saturating_add(SETTLED_MS);
        let wanted_ms = end_ms.saturating_add(days.saturating_mul(DAY_MS));
        let latest_ms = self.from_ms.saturating_add(days_max.saturating_mul(DAY_MS));
        Some(wanted_ms.min(latest_ms).max(end_ms))
    }
}

/// The periods in a list of public keys, in their order.
///
/// # Errors
/// [`SealKeyError`] says what is wrong with the list.
pub fn periods(public_keys: &str) -> Result<Vec<Period>, SealKeyError> {
    let entries = parse_list(public_keys)?;
    let from: Vec<_> = entries.into_iter().map(|entry| (entry.id, entry.from_ms)).collect();
    Ok(chained(from))
}

/// Each period ends where the next one begins. `from` is sorted by time.
pub fn chained(from: Vec<(String, u64)>) -> Vec<Period> {
    let ends: Vec<_> = from.iter().skip(1).map(|(_, from_ms)| Some(*from_ms)).collect();
    from.into_iter()
        .zip(ends.into_iter().chain([None]))
        .map(|((id, from_ms), until_ms)| Period { id, from_ms, until_ms })
        .collect()
}

/// A list of keys, sorted by the beginning of their periods.
pub(super) fn parse_list(text: &str) -> Result<Vec<Entry>, SealKeyError> {
    let given = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let mut entries = given.map(parse_entry).collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        return Err(SealKeyError::Empty);
    }
    entries.sort_by_key(|entry| entry.from_ms);
    if entries.windows(2).any(|pair| pair[0].from_ms == pair[1].from_ms) {
        return Err(SealKeyError::RepeatedPeriod);
    }
    let ids: std::collections::HashSet<_> = entries.iter().map(|entry| &entry.id).collect();
    if ids.len() == entries.len() { Ok(entries) } else { Err(SealKeyError::RepeatedId) }
}

/// `id:hex` or `id@seconds:hex`.
pub(super) fn parse_entry(text: &str) -> Result<Entry, SealKeyError> {
    let (name, key) = text.trim().split_once(':').ok_or(SealKeyError::Malformed)?;
    let key = hex_32(key).ok_or(SealKeyError::Malformed)?;
    let (id, from_ms) = parse_name(name).ok_or(SealKeyError::Malformed)?;
    Ok(Entry { id: id.to_owned(), from_ms, key })
}

/// `id` or `id@seconds`, with the seconds as milliseconds.
pub(super) fn parse_name(name: &str) -> Option<(&str, u64)> {
    let (id, from_ms) = match name.split_once('@') {
        None => (name, 0),
        Some((id, seconds)) if seconds.bytes().all(|byte| byte.is_ascii_digit()) => {
            (id, seconds.parse::<u64>().ok()?.checked_mul(1_000)?)
        }
        Some(_) => return None,
    };
    is_key_id(id).then_some((id, from_ms))
}
