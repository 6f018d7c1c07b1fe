//! Evidence: whether attempts are seen, and how many of them for how long.

use serde::Deserialize;

/// What is kept of attempts at `POST /order`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// Whether anything is.
    pub enabled: bool,
    /// How long, in hours: so long stand the pseudonyms of addresses.
    pub retention_hours: u64,
    /// At most so many rows; beyond it the oldest go first.
    pub rows_max: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { enabled: true, retention_hours: 24, rows_max: 2_000_000 }
    }
}

impl Evidence {
    /// How long, in milliseconds.
    pub fn retention_ms(&self) -> u64 {
        self.retention_hours.saturating_mul(3_600_000)
    }
}
