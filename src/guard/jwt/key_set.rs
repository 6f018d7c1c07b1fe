//! A shop's public keys by `kid`: a file with a JWK set (RFC 7517) that is read anew when a token names a
//! key that is not in it, at most once in 30 s, so that a shop changes its keys by changing the file.
//!
//! A key that left the file verifies until the file is read the next time. A file that cannot be read
//! leaves the keys as they were.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use parking_lot::Mutex;

use crate::config::JwtAlgorithm;

/// The largest key set file, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Least time between two readings of the file that tokens cause, in microseconds.
pub const REREAD_INTERVAL_US: u64 = 30_000_000;

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The file cannot be read.
    #[error("the key set file cannot be read")]
    Read(#[source] std::io::Error),
    /// The file is too large.
    #[error("the key set file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// The file is no JWK set.
    #[error("the key set file is not a JWK set")]
    Malformed(#[source] serde_json::Error),
    /// No key in it is for the algorithm.
    #[error("the key set file has no key for this algorithm")]
    NoKey,
}

/// One key and its name.
struct NamedKey {
    kid: Option<String>,
    key: Arc<DecodingKey>,
}

/// The keys of a file.
pub struct KeySet {
    path: PathBuf,
    algorithm: JwtAlgorithm,
    keys: ArcSwap<Vec<NamedKey>>,
    reread_us: Mutex<Option<u64>>,
}

impl KeySet {
    /// Reads the file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(path: &Path, algorithm: JwtAlgorithm) -> Result<Self, KeySetError> {
        let keys = read_file(path).and_then(|bytes| parse(&bytes, algorithm))?;
        Ok(Self {
            path: path.to_owned(),
            algorithm,
            keys: ArcSwap::from_pointee(keys),
            reread_us: Mutex::new(None),
        })
    }

    /// The key of this `kid`, from the file anew if it is not known. A token without a `kid` means the only
    /// key of the set, if there is just one.
    pub fn find(&self, kid: Option<&str>, now_us: u64) -> Option<Arc<DecodingKey>> {
        self.known(kid).or_else(|| {
            self.reread(now_us);
            self.known(kid)
        })
    }

    fn known(&self, kid: Option<&str>) -> Option<Arc<DecodingKey>> {
        let keys = self.keys.load();
        let found = match (kid, keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(_), keys) => keys.iter().find(|named| named.kid.as_deref() == kid),
        };
        found.map(|named| named.key.clone())
    }

    fn reread(&self, now_us: u64) {
        {
            let mut reread_us = self.reread_us.lock();
            if reread_us.is_some_and(|last_us| now_us < last_us + REREAD_INTERVAL_US) {
                return;
            }
            *reread_us = Some(now_us);
        }
        match read_file(&self.path).and_then(|bytes| parse(&bytes, self.algorithm)) {
            Ok(keys) => self.keys.store(Arc::new(keys)),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, path = %self.path.display(), "key set not read anew");
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, KeySetError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(KeySetError::Read)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(KeySetError::Read)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(KeySetError::TooLarge) } else { Ok(bytes) }
}

/// The keys of a JWK set that are for this algorithm; others are left alone, as a set may hold many kinds.
fn parse(bytes: &[u8], algorithm: JwtAlgorithm) -> Result<Vec<NamedKey>, KeySetError> {
    let set: JwkSet = serde_json::from_slice(bytes).map_err(KeySetError::Malformed)?;
    let named = |jwk: &Jwk| {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(NamedKey { kid: jwk.common.key_id.clone(), key: Arc::new(key) })
    };
    let keys: Vec<_> =
        set.keys.iter().filter(|jwk| is_for(jwk, algorithm)).filter_map(named).collect();
    if keys.is_empty() { Err(KeySetError::NoKey) } else { Ok(keys) }
}

fn is_for(jwk: &Jwk, algorithm: JwtAlgorithm) -> bool {
    let (kind, name) = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::OctetKey(_), JwtAlgorithm::HS256) => (true, KeyAlgorithm::HS256),
        (AlgorithmParameters::RSA(_), JwtAlgorithm::RS256) => (true, KeyAlgorithm::RS256),
        (AlgorithmParameters::EllipticCurve(key), JwtAlgorithm::ES256) => {
            (key.curve == EllipticCurve::P256, KeyAlgorithm::ES256)
        }
        (AlgorithmParameters::OctetKeyPair(key), JwtAlgorithm::EdDSA) => {
            (key.curve == EllipticCurve::Ed25519, KeyAlgorithm::EdDSA)
        }
        _ => return false,
    };
    let usage = &jwk.common.public_key_use;
    kind && jwk.common.key_algorithm.is_none_or(|named| named == name)
        && usage.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
}
