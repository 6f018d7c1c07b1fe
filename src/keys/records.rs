//! What vouches for records on their way through Kafka: MACs of proposals, signatures of operators' records.

use secrecy::SecretString;

/// The keys of a node or a worker.
pub struct RecordKeys;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordKeysError {}

impl RecordKeys {
    /// From `secrets.record_keys`, `secrets.operator_key`, `secrets.operator_public_key`.
    pub fn new(
        _record_keys: &SecretString,
        _operator_key: Option<&SecretString>,
        _operator_public_key: &str,
    ) -> Result<Self, RecordKeysError> {
        unimplemented!()
    }
}
