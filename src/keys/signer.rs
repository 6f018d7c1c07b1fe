//! Ed25519 keys that vouch for what is shown to outsiders: heads of the audit trail, receipts, proofs.
//!
//! What is signed carries its purpose, and every part is prefixed with its length (32 bits, big endian), so
//! that a signature of one kind is never one of another. A key's id is the first 8 bytes of the SHA-256 of
//! its public half, in hex: whoever has the key can compute it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use secrecy::{ExposeSecret, SecretString};

use super::hex_32;

/// Bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of a key's id.
pub const KEY_ID_BYTES: usize = 8;

/// A signature.
pub type Signature = [u8; SIGNATURE_BYTES];
/// A key's id.
pub type KeyId = [u8; KEY_ID_BYTES];

/// The text is no Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an Ed25519 key, 64 hexadecimal digits")]
pub struct BadKey;

/// A key pair.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// The public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; PUBLIC_KEY_BYTES],
    id: KeyId,
}

impl Signer {
    /// From its seed, 64 hexadecimal digits.
    ///
    /// # Errors
    /// The text is none.
    pub fn from_seed(seed: &SecretString) -> Result<Self, BadKey> {
        let bytes = hex_32(seed.expose_secret()).ok_or(BadKey)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&*bytes).map_err(|_| BadKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| BadKey)?;
        Ok(Self { pair, public: PublicKey::new(public) })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `parts` for `purpose`.
    pub fn sign(&self, purpose: &str, parts: &[&[u8]]) -> Signature {
        let signature = self.pair.sign(&message(purpose, parts));
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public.id_text())
    }
}

impl PublicKey {
    fn new(bytes: [u8; PUBLIC_KEY_BYTES]) -> Self {
        let hash = digest(&SHA256, &bytes);
        let id = hash.as_ref()[..KEY_ID_BYTES].try_into().expect("SHA-256 has 32 bytes");
        Self { bytes, id }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.bytes
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its id in hex.
    pub fn id_text(&self) -> String {
        hex::encode(self.id)
    }

    /// Whether `signature` is of these parts and this purpose, by this key.
    pub fn verifies(&self, purpose: &str, parts: &[&[u8]], signature: &[u8]) -> bool {
        ParsedPublicKey::new(&ED25519, self.bytes)
            .is_ok_and(|key| key.verify_sig(&message(purpose, parts), signature).is_ok())
    }
}

impl std::str::FromStr for PublicKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        let mut bytes = [0; PUBLIC_KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| BadKey)?;
        Ok(Self::new(bytes))
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.bytes))
    }
}

/// The bytes that are signed.
pub fn message(purpose: &str, parts: &[&[u8]]) -> Vec<u8> {
    let all = || std::iter::once(purpose.as_bytes()).chain(parts.iter().copied());
    let mut message = Vec::with_capacity(all().map(|part| 4 + part.len()).sum());
    for part in all() {
        message.extend_from_slice(&(part.len() as u32).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(byte: u8) -> Signer {
        Signer::from_seed(&hex::encode([byte; 32]).into()).unwrap()
    }

    #[test]
    fn a_signature_is_of_its_key_purpose_and_parts_alone() {
        let key = signer(1);
        let signature = key.sign("a", &[b"bc", b"d"]);
        assert!(key.public().verifies("a", &[b"bc", b"d"], &signature));
        assert!(!key.public().verifies("a", &[b"b", b"cd"], &signature));
        assert!(!key.public().verifies("b", &[b"bc", b"d"], &signature));
        assert!(!signer(2).public().verifies("a", &[b"bc", b"d"], &signature));
        assert!(!key.public().verifies("a", &[b"bc", b"d"], &signature[1..]));
    }

    #[test]
    fn a_key_is_told_by_its_text() {
        let public = signer(3).public().clone();
        assert_eq!(public.to_string().parse(), Ok(public.clone()));
        assert_eq!(public.id_text().len(), 16);
        assert_eq!("00".parse::<PublicKey>(), Err(BadKey));
        assert!(Signer::from_seed(&"short".into()).is_err());
    }
}
