//! What is kept of people, and for how long.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;

use super::Config;

/// Longest time that a key which opens user ids is kept after its period, in days.
pub const SEAL_KEY_DAYS_MAX: u64 = 30;

/// What is kept of people, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Privacy {
    /// How long user ids are kept after their sale was archived, in days.
    pub subjects_days: u64,
    /// How long a private key that opens user ids on Kafka is kept after its period, in days: so long a ledger
    /// that was restored from a backup can be filled again with user ids.
    pub seal_key_days: u64,
    /// The directory of the private keys that open user ids, one file each; on workers alone.
    pub seal_keys_dir: Option<PathBuf>,
    /// The journal of erasures of an embedded store; beside the data directory unless set.
    pub erasures_file: Option<PathBuf>,
    /// How often what is too old is looked for, in minutes.
    pub retention_minutes: u64,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            subjects_days: 90,
            seal_key_days: 7,
            seal_keys_dir: None,
            erasures_file: None,
            retention_minutes: 60,
        }
    }
}

impl Config {
    /// Where the journal of erasures is. Not in the data directory: a directory that is restored from a backup
    /// must not take back what was erased since.
    pub fn erasures_file(&self) -> PathBuf {
        if let Some(file) = &self.privacy.erasures_file {
            return file.clone();
        }
        let dir = &self.data.dir;
        let name = dir.file_name().map_or_else(|| OsString::from("flux-gate"), OsString::from);
        let mut file = name;
        file.push(".erasures.jsonl");
        match dir.file_name() {
            Some(_) => dir.with_file_name(file),
            None => dir.join("..").join(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_beside_the_data_directory_never_in_it() {
        let mut config = Config::default();
        assert_eq!(config.erasures_file(), PathBuf::from("flux-gate-data.erasures.jsonl"));
        for (dir, file) in [
            ("/var/lib/flux-gate", "/var/lib/flux-gate.erasures.jsonl"),
            ("/var/lib/flux-gate/", "/var/lib/flux-gate.erasures.jsonl"),
            ("..", "../../flux-gate.erasures.jsonl"),
        ] {
            config.data.dir = dir.into();
            assert_eq!(config.erasures_file(), PathBuf::from(file));
        }
        config.privacy.erasures_file = Some("/elsewhere/e.jsonl".into());
        assert_eq!(config.erasures_file(), PathBuf::from("/elsewhere/e.jsonl"));
    }
}
