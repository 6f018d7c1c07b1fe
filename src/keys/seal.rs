//! User ids sealed for the ledger's keeper: a node can seal, only a worker with the private key can open.
//!
//! A sealed user id is base64url (no padding) of
//!
//! ```text
//! length of the key's id (1) ‖ key id ‖ ephemeral X25519 public key (32) ‖ nonce (12) ‖
//! AES-256-GCM(user id; additional data = product ‖ 0 ‖ the 16 bytes of the order id)
//! ```
//!
//! under HKDF-SHA256(X25519(ephemeral, recipient); info = purpose ‖ ephemeral public ‖ recipient public).
//!
//! Invariants:
//! - a nonce is a counter of its ephemeral key, so no two ids are ever sealed under one key and nonce;
//! - an ephemeral key pair is made anew every [`EPHEMERAL_AGE_US_MAX`] and shared by a node's threads: an
//!   agreement for each order would cost a core. Its private half is forgotten at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::records::{KEY_ID_BYTES_MAX, hex_32, is_key_id};
use crate::sale::ids::NAME_BYTES_MAX;
use crate::sale::{OrderId, ProductId, UserId};

/// How long an ephemeral key pair is used, in microseconds.
pub const EPHEMERAL_AGE_US_MAX: u64 = 60_000_000;
/// Derived keys that an opener keeps. A node uses one a minute.
const DERIVED_KEYS_MAX: usize = 1_024;

const PUBLIC_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const PURPOSE: &[u8] = b"flux-gate sealed user 1";
const SEALED_BYTES_MAX: usize =
    1 + KEY_ID_BYTES_MAX + PUBLIC_BYTES + NONCE_LEN + NAME_BYTES_MAX + TAG_BYTES;
/// Longest sealed user id, in characters.
pub const SEALED_CHARACTERS_MAX: usize = SEALED_BYTES_MAX.div_ceil(3) * 4;

type PublicBytes = [u8; PUBLIC_BYTES];

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealKeyError {
    /// Not `id:` and 64 hexadecimal digits.
    #[error(
        "must be id:key, with 1 to {KEY_ID_BYTES_MAX} letters, digits, hyphens and underscores and an \
         X25519 key of 64 hexadecimal digits"
    )]
    Malformed,
    /// No key at all.
    #[error("holds no key; write id:key")]
    Empty,
    /// Two keys have one id.
    #[error("holds two keys of one id")]
    RepeatedId,
    /// No agreement comes about with it.
    #[error("is not the public key of an X25519 pair")]
    Useless,
}

/// Why a sealed user id does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no sealed user id.
    #[error("it is not a sealed user id")]
    Malformed,
    /// It was sealed to a key that is not here (any more).
    #[error("it was sealed to a key that is not among secrets.seal_private_keys")]
    UnknownKey,
    /// It was altered, or belongs to another order.
    #[error("it does not belong to this order")]
    Wrong,
}

/// Seals; shared by the threads of a node.
pub struct Sealer {
    key_id: String,
    recipient: PublicBytes,
    current: ArcSwap<Ephemeral>,
    renewal: Mutex<()>,
}

/// An ephemeral key pair, of which only the public half and the key that was agreed on are left.
struct Ephemeral {
    public: PublicBytes,
    key: LessSafeKey,
    sealed: AtomicU64,
    made_us: u64,
}

impl Sealer {
    /// From `secrets.seal_public_key`: `id:hex`.
    ///
    /// # Errors
    /// [`SealKeyError`] says what is wrong with it.
    pub fn new(public_key: &str) -> Result<Self, SealKeyError> {
        let (key_id, recipient) = parse_key(public_key)?;
        let current = Ephemeral::new(&recipient, 0).ok_or(SealKeyError::Useless)?;
        Ok(Self {
            key_id: key_id.to_owned(),
            recipient: *recipient,
            current: ArcSwap::from_pointee(current),
            renewal: Mutex::default(),
        })
    }

    /// Seals a user id to an order, when the clock says `now_us`
    /// ([`Clock::monotonic_us`](crate::clock::Clock::monotonic_us)).
    pub fn seal(&self, user: &UserId, product: &ProductId, order: &OrderId, now_us: u64) -> String {
        let mut ephemeral = self.current.load_full();
        if now_us.saturating_sub(ephemeral.made_us) > EPHEMERAL_AGE_US_MAX {
            ephemeral = self.renew(now_us);
        }
        let count = ephemeral.sealed.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&count.to_be_bytes());

        let mut sealed = Vec::with_capacity(SEALED_BYTES_MAX);
        sealed.push(self.key_id.len() as u8);
        sealed.extend_from_slice(self.key_id.as_bytes());
        sealed.extend_from_slice(&ephemeral.public);
        sealed.extend_from_slice(&nonce);
        let text_at = sealed.len();
        sealed.extend_from_slice(user.as_str().as_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = ephemeral
            .key
            .seal_in_place_separate_tag(nonce, additional(product, order), &mut sealed[text_at..])
            .expect("AES-GCM seals 50 bytes");
        sealed.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// One thread makes the new pair, the others that come meanwhile wait for it. Should no pair come about
    /// (out of randomness), the old one goes on: its nonces do not repeat.
    fn renew(&self, now_us: u64) -> Arc<Ephemeral> {
        let _turn = self.renewal.lock();
        let current = self.current.load_full();
        if now_us.saturating_sub(current.made_us) <= EPHEMERAL_AGE_US_MAX {
            return current;
        }
        match Ephemeral::new(&self.recipient, now_us) {
            Some(ephemeral) => {
                let ephemeral = Arc::new(ephemeral);
                self.current.store(Arc::clone(&ephemeral));
                ephemeral
            }
            None => current,
        }
    }
}

impl Ephemeral {
    fn new(recipient: &PublicBytes, made_us: u64) -> Option<Self> {
        // The pair's randomness comes from the library that makes it: nothing else ever sees it.
        let private = PrivateKey::generate(&X25519).ok()?;
        let public: PublicBytes = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
        let key = derive(&private, recipient, &public, recipient)?;
        Some(Self { public, key, sealed: AtomicU64::new(0), made_us })
    }
}

/// The key that `private` and `peer` agree on.
fn derive(
    private: &PrivateKey,
    peer: &PublicBytes,
    ephemeral: &PublicBytes,
    recipient: &PublicBytes,
) -> Option<LessSafeKey> {
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agreement::agree(private, peer, (), |shared| {
        let info: [&[u8]; 3] = [PURPOSE, ephemeral, recipient];
        let prk = Salt::new(HKDF_SHA256, &[]).extract(shared);
        let okm = prk.expand(&info, &AES_256_GCM).map_err(|_| ())?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    })
    .ok()
}

/// What binds a sealed user id to its order: a product id has no zero byte.
fn additional(product: &ProductId, order: &OrderId) -> Aad<Vec<u8>> {
    let mut bytes = Vec::with_capacity(NAME_BYTES_MAX + 17);
    bytes.extend_from_slice(product.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(order.as_bytes());
    Aad::from(bytes)
}

/// Opens; of a worker alone. Shared by its threads.
pub struct Opener {
    keys: Vec<OpenerKey>,
    /// By the place of the key in `keys` and the ephemeral public key.
    derived: Mutex<HashMap<(usize, PublicBytes), Arc<LessSafeKey>>>,
}

struct OpenerKey {
    id: String,
    private: PrivateKey,
    public: PublicBytes,
}

impl Opener {
    /// From `secrets.seal_private_keys`: `id:hex[,id:hex]`.
    ///
    /// # Errors
    /// [`SealKeyError`] says what is wrong with them.
    pub fn new(private_keys: &SecretString) -> Result<Self, SealKeyError> {
        let mut keys: Vec<OpenerKey> = Vec::new();
        let given = private_keys.expose_secret().split(',').map(str::trim);
        for entry in given.filter(|entry| !entry.is_empty()) {
            let (id, bytes) = parse_key(entry)?;
            if keys.iter().any(|known| known.id == id) {
                return Err(SealKeyError::RepeatedId);
            }
            let private = PrivateKey::from_private_key(&X25519, &*bytes)
                .map_err(|_| SealKeyError::Malformed)?;
            let public = private.compute_public_key().map_err(|_| SealKeyError::Malformed)?;
            let public = public.as_ref().try_into().map_err(|_| SealKeyError::Malformed)?;
            keys.push(OpenerKey { id: id.to_owned(), private, public });
        }
        if keys.is_empty() {
            return Err(SealKeyError::Empty);
        }
        Ok(Self { keys, derived: Mutex::default() })
    }

    /// `id:hex` of the public half of the first key, for `secrets.seal_public_key`.
    pub fn public_key(&self) -> String {
        let key = &self.keys[0];
        format!("{}:{}", key.id, hex::encode(key.public))
    }

    /// The user id that was sealed to this order.
    ///
    /// # Errors
    /// [`OpenError`]; trying again does not help, unless keys are added.
    pub fn open(
        &self,
        sealed: &str,
        product: &ProductId,
        order: &OrderId,
    ) -> Result<UserId, OpenError> {
        let mut buffer = [0; SEALED_BYTES_MAX];
        if sealed.len() > SEALED_CHARACTERS_MAX {
            return Err(OpenError::Malformed);
        }
        let length =
            URL_SAFE_NO_PAD.decode_slice(sealed, &mut buffer).map_err(|_| OpenError::Malformed)?;
        let (id_length, rest) = buffer[..length].split_first_mut().ok_or(OpenError::Malformed)?;
        let (id, rest) =
            rest.split_at_mut_checked(usize::from(*id_length)).ok_or(OpenError::Malformed)?;
        let (public, rest) =
            rest.split_first_chunk_mut::<PUBLIC_BYTES>().ok_or(OpenError::Malformed)?;
        let (nonce, text) =
            rest.split_first_chunk_mut::<NONCE_LEN>().ok_or(OpenError::Malformed)?;
        let place = self.keys.iter().position(|key| key.id.as_bytes() == id);
        let key = self.derived(place.ok_or(OpenError::UnknownKey)?, public)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let user = key
            .open_in_place(nonce, additional(product, order), text)
            .map_err(|_| OpenError::Wrong)?;
        let user = std::str::from_utf8(user).map_err(|_| OpenError::Malformed)?;
        user.parse().map_err(|_| OpenError::Malformed)
    }

    fn derived(&self, place: usize, public: &PublicBytes) -> Result<Arc<LessSafeKey>, OpenError> {
        let mut derived = self.derived.lock();
        if let Some(key) = derived.get(&(place, *public)) {
            return Ok(Arc::clone(key));
        }
        let OpenerKey { private, public: own, .. } = &self.keys[place];
        let key = Arc::new(derive(private, public, public, own).ok_or(OpenError::Wrong)?);
        // Bounded: whoever can make vouched records could else fill the memory with ephemeral keys.
        if derived.len() >= DERIVED_KEYS_MAX {
            derived.clear();
        }
        derived.insert((place, *public), Arc::clone(&key));
        Ok(key)
    }
}

fn parse_key(text: &str) -> Result<(&str, zeroize::Zeroizing<[u8; 32]>), SealKeyError> {
    let (id, key) = text.trim().split_once(':').ok_or(SealKeyError::Malformed)?;
    let key = hex_32(key).filter(|_| is_key_id(id)).ok_or(SealKeyError::Malformed)?;
    Ok((id, key))
}

#[cfg(test)]
pub(crate) mod tests;
