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
//! - a key seals within its period alone (see [`periods`]); after it the private half can be destroyed, and
//!   with it the last way to the user ids that were sealed in it (see [`kept`]);
//! - an ephemeral key pair is made anew every [`EPHEMERAL_AGE_US_MAX`] and shared by a node's threads: an
//!   agreement for each order would cost a core. Its private half is forgotten at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use secrecy::{ExposeSecret, SecretString};

use super::records::KEY_ID_BYTES_MAX;
use crate::sale::ids::NAME_BYTES_MAX;
use crate::sale::{OrderId, ProductId, UserId};
use kept::KeptError;

pub mod kept;
pub mod periods;

use periods::{Entry, parse_entry, parse_list};

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
        "must be id:key or id@seconds:key, with 1 to {KEY_ID_BYTES_MAX} letters, digits, hyphens and \
         underscores, the Unix seconds of the beginning of its period and an X25519 key of 64 hexadecimal \
         digits"
    )]
    Malformed,
    /// No key at all.
    #[error("holds no key; write id:key")]
    Empty,
    /// Two keys have one id.
    #[error("holds two keys of one id")]
    RepeatedId,
    /// Two keys begin at one time: nobody could tell which one seals.
    #[error("holds two keys whose periods begin at the same time")]
    RepeatedPeriod,
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
    /// By the beginning of their periods.
    recipients: Vec<Recipient>,
    current: ArcSwap<Ephemeral>,
    renewal: Mutex<()>,
}

/// A key that is sealed to from some time on.
struct Recipient {
    key_id: String,
    public: PublicBytes,
    from_ms: u64,
}

/// An ephemeral key pair, of which only the public half and the key that was agreed on are left.
struct Ephemeral {
    /// The place of the recipient.
    recipient: usize,
    public: PublicBytes,
    key: LessSafeKey,
    sealed: AtomicU64,
    made_us: u64,
}

impl Sealer {
    /// From `secrets.seal_public_key`: `id[@seconds]:hex[,id@seconds:hex]`.
    ///
    /// # Errors
    /// [`SealKeyError`] says what is wrong with it.
    pub fn new(public_keys: &str) -> Result<Self, SealKeyError> {
        let entries = parse_list(public_keys)?;
        let recipient = |Entry { id, from_ms, key }: Entry| {
            let recipient = Recipient { key_id: id, public: *key, from_ms };
            // A key with which no agreement comes about is found now, not when its period begins.
            Ephemeral::new(&recipient, 0, 0).ok_or(SealKeyError::Useless)?;
            Ok(recipient)
        };
        let recipients = entries.into_iter().map(recipient).collect::<Result<Vec<_>, _>>()?;
        let current = Ephemeral::new(&recipients[0], 0, 0).ok_or(SealKeyError::Useless)?;
        Ok(Self { recipients, current: ArcSwap::from_pointee(current), renewal: Mutex::default() })
    }

    /// Seals a user id to an order that is proposed at `at_ms` (log time, Unix milliseconds), when the clock
    /// says `now_us` ([`Clock::monotonic_us`](crate::clock::Clock::monotonic_us)).
    pub fn seal(
        &self,
        user: &UserId,
        product: &ProductId,
        order: &OrderId,
        (now_us, at_ms): (u64, u64),
    ) -> String {
        let recipient = self.recipient_at(at_ms);
        let mut ephemeral = self.current.load_full();
        if !ephemeral.is_good(recipient, now_us) {
            ephemeral = self.renew(recipient, now_us);
        }
        let key_id = &self.recipients[ephemeral.recipient].key_id;
        let count = ephemeral.sealed.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&count.to_be_bytes());

        let mut sealed = Vec::with_capacity(SEALED_BYTES_MAX);
        sealed.push(key_id.len() as u8);
        sealed.extend_from_slice(key_id.as_bytes());
        sealed.extend_from_slice(&ephemeral.public);
        sealed.extend_from_slice(&nonce);
        let text_at = sealed.len();
        sealed.extend_from_slice(user.as_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = ephemeral
            .key
            .seal_in_place_separate_tag(nonce, additional(product, order), &mut sealed[text_at..])
            .expect("AES-GCM seals 50 bytes");
        sealed.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The last key whose period has begun; before all of them the first.
    fn recipient_at(&self, at_ms: u64) -> usize {
        let begun = self.recipients.partition_point(|recipient| recipient.from_ms <= at_ms);
        begun.saturating_sub(1)
    }

    /// One thread makes the new pair, the others that come meanwhile wait for it. Should no pair come about
    /// (out of randomness), the old one goes on: its nonces do not repeat.
    fn renew(&self, recipient: usize, now_us: u64) -> Arc<Ephemeral> {
        let _turn = self.renewal.lock();
        let current = self.current.load_full();
        if current.is_good(recipient, now_us) {
            return current;
        }
        match Ephemeral::new(&self.recipients[recipient], recipient, now_us) {
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
    fn new(recipient: &Recipient, place: usize, made_us: u64) -> Option<Self> {
        // The pair's randomness comes from the library that makes it: nothing else ever sees it.
        let private = PrivateKey::generate(&X25519).ok()?;
        let public: PublicBytes = private.compute_public_key().ok()?.as_ref().try_into().ok()?;
        let key = derive(&private, &recipient.public, &public, &recipient.public)?;
        Some(Self { recipient: place, public, key, sealed: AtomicU64::new(0), made_us })
    }

    fn is_good(&self, recipient: usize, now_us: u64) -> bool {
        self.recipient == recipient && now_us.saturating_sub(self.made_us) <= EPHEMERAL_AGE_US_MAX
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
    bytes.extend_from_slice(product.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(order.as_bytes());
    Aad::from(bytes)
}

/// Opens; of a worker alone. Shared by its threads.
pub struct Opener {
    keys: RwLock<Vec<Arc<OpenerKey>>>,
    /// By the number of the key and the ephemeral public key.
    derived: Mutex<HashMap<(u64, PublicBytes), Arc<LessSafeKey>>>,
    next_number: AtomicU64,
}

struct OpenerKey {
    /// Never used again, unlike its id.
    number: u64,
    id: String,
    private: PrivateKey,
    public: PublicBytes,
}

impl Opener {
    /// From `secrets.seal_private_keys`: `id[@seconds]:hex[,id@seconds:hex]`.
    ///
    /// # Errors
    /// [`SealKeyError`] says what is wrong with them.
    pub fn new(private_keys: &SecretString) -> Result<Self, SealKeyError> {
        let opener = Self::empty();
        let given = private_keys.expose_secret().split(',').map(str::trim);
        for entry in given.filter(|entry| !entry.is_empty()) {
            if !opener.take(parse_entry(entry)?)? {
                return Err(SealKeyError::RepeatedId);
            }
        }
        if opener.is_empty() {
            return Err(SealKeyError::Empty);
        }
        Ok(opener)
    }

    fn empty() -> Self {
        Self { keys: RwLock::default(), derived: Mutex::default(), next_number: AtomicU64::new(0) }
    }

    /// The configured keys and those that are kept in a directory.
    ///
    /// # Errors
    /// [`KeptError`]: there is none, or one cannot be used.
    pub fn with_kept(
        private_keys: Option<&SecretString>,
        dir: Option<&Path>,
    ) -> Result<Self, KeptError> {
        let opener = match private_keys {
            Some(keys) => Self::new(keys)?,
            None => Self::empty(),
        };
        if let Some(dir) = dir {
            opener.take_kept(dir)?;
        }
        if opener.is_empty() { Err(SealKeyError::Empty.into()) } else { Ok(opener) }
    }

    /// Takes in the keys of a directory that are not here yet.
    ///
    /// # Errors
    /// One cannot be used. Those before it are taken in.
    pub fn take_kept(&self, dir: &Path) -> Result<(), KeptError> {
        for kept in kept::list(dir)? {
            self.take(kept.read()?)?;
        }
        Ok(())
    }

    /// `false`: there is a key of this id.
    fn take(&self, Entry { id, key, .. }: Entry) -> Result<bool, SealKeyError> {
        let mut keys = self.keys.write();
        if keys.iter().any(|known| known.id == id) {
            return Ok(false);
        }
        let private =
            PrivateKey::from_private_key(&X25519, &*key).map_err(|_| SealKeyError::Malformed)?;
        let public = private.compute_public_key().map_err(|_| SealKeyError::Malformed)?;
        let public = public.as_ref().try_into().map_err(|_| SealKeyError::Malformed)?;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        keys.push(Arc::new(OpenerKey { number, id, private, public }));
        Ok(true)
    }

    /// The ids of the keys that it holds.
    pub fn ids(&self) -> Vec<String> {
        self.keys.read().iter().map(|key| key.id.clone()).collect()
    }

    /// Forgets a key, and what was derived with it: nothing that was sealed to it opens from now on.
    pub fn forget(&self, id: &str) {
        let mut keys = self.keys.write();
        let Some(place) = keys.iter().position(|key| key.id == id) else { return };
        let number = keys.remove(place).number;
        self.derived.lock().retain(|(of, _), _| *of != number);
    }

    /// Whether it holds no key: then it opens nothing.
    pub fn is_empty(&self) -> bool {
        self.keys.read().is_empty()
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.keys.read().len()
    }

    /// `id:hex` of the public half of the first key, for `secrets.seal_public_key`.
    pub fn public_key(&self) -> String {
        let key = Arc::clone(&self.keys.read()[0]);
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
        let key = self.keys.read().iter().find(|key| key.id.as_bytes() == id).cloned();
        let key = key.ok_or(OpenError::UnknownKey)?;
        let key = self.derived(&key, public)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let user = key
            .open_in_place(nonce, additional(product, order), text)
            .map_err(|_| OpenError::Wrong)?;
        let user = std::str::from_utf8(user).map_err(|_| OpenError::Malformed)?;
        user.parse().map_err(|_| OpenError::Malformed)
    }

    fn derived(
        &self,
        key: &OpenerKey,
        public: &PublicBytes,
    ) -> Result<Arc<LessSafeKey>, OpenError> {
        let mut derived = self.derived.lock();
        if let Some(key) = derived.get(&(key.number, *public)) {
            return Ok(Arc::clone(key));
        }
        let OpenerKey { number, private, public: own, .. } = key;
        let key = Arc::new(derive(private, public, public, own).ok_or(OpenError::Wrong)?);
        // Bounded: whoever can make vouched records could else fill the memory with ephemeral keys.
        if derived.len() >= DERIVED_KEYS_MAX {
            derived.clear();
        }
        derived.insert((*number, *public), Arc::clone(&key));
        Ok(key)
    }
}

#[cfg(test)]
pub(crate) mod tests;
