//! What an incident leaves behind for those who ask later: a report that cannot be changed unnoticed.
//!
//! [`story`] is what is known of a span of time, for machines; [`page`] tells it to people; [`bundle`] ties
//! both and the records that prove them together under one signature, and checks such a bundle offline;
//! [`crate::escape`] keeps texts that somebody wrote from being more than text.
//!
//! People are in it as the pseudonyms that log and trail know them by, and as nothing else.

pub mod bundle;
pub mod check;
pub mod page;
pub mod story;

/// Lines of JSON about the order log: one row, as it was digested.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRow {
    /// Its place.
    pub offset: u64,
    /// Log time, Unix milliseconds.
    pub log_time_ms: u64,
    /// The key that it is about.
    pub product: String,
    /// What it came to.
    pub outcome: String,
    /// The record, byte for byte as it stands in the log.
    pub record: String,
    /// The digest after it, hex.
    pub digest: String,
}
