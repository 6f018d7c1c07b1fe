//! User ids sealed for the ledger's keeper.

use secrecy::SecretString;

/// Seals; shared by the threads of a node.
pub struct Sealer;

/// Opens; of a worker alone.
pub struct Opener;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {}

impl Sealer {
    /// From `secrets.seal_public_key`.
    pub fn new(_public_key: &str) -> Result<Self, SealKeyError> {
        unimplemented!()
    }
}

impl Opener {
    /// From `secrets.seal_private_keys`.
    pub fn new(_private_keys: &SecretString) -> Result<Self, SealKeyError> {
        unimplemented!()
    }
}
