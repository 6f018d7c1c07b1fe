//! What vouches for records on their way through Kafka: MACs of proposals, signatures of operators'
//! records. So neither the right to write to the topic nor the credentials of one node can make an
//! operator's record.
//!
//! Both cover the product, the nonce and the record's bytes, each prefixed with its length
//! ([`tag`]), so nothing of them can be altered or moved to another product.
//!
//! The voucher of a record is the value of a Kafka header:
//! - `m`, the id of the key, `:`, and 32 bytes of HMAC-SHA256 under that key: a proposal;
//! - `s` and 64 bytes of Ed25519: an operator's record.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use secrecy::{ExposeSecret, SecretString};

use super::signer::message;
use super::{hex_32, tag};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;
/// Longest id of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 32;
/// Shortest secret of a record key, in bytes.
pub const RECORD_SECRET_BYTES_MIN: usize = 32;
/// Longest voucher, in bytes: that of a proposal.
pub const VOUCHER_BYTES_MAX: usize = 2 + KEY_ID_BYTES_MAX + MAC_BYTES;

const MAC_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
const ED25519_KEY_BYTES: usize = 32;

/// The purposes that set the inputs of the two apart.
const PROPOSAL_PURPOSE: &str = "record";
const OPERATOR_PURPOSE: &str = "operator-record";

/// What a record is sent under once and never again.
pub type Nonce = [u8; NONCE_BYTES];

/// Who vouches for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// A node, by its MAC: proposals alone.
    Node,
    /// The operators, by their signature: everything else.
    Operator,
}

/// The record cannot be signed: this node does not hold the operators' key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node does not hold the key that operators' records are signed with")]
pub struct NoOperatorKey;

/// A voucher that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadVoucher {
    /// It is no voucher at all.
    #[error("it is neither a MAC nor a signature")]
    Malformed,
    /// It names a key that is not among ours.
    #[error("it names a record key that is not configured here")]
    UnknownKey,
    /// It is not of this product, nonce and record.
    #[error("it does not fit the record")]
    Wrong,
}

/// Why the keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordKeysError {
    /// There is none.
    #[error("secrets.record_keys holds no key; write id:secret")]
    Empty,
    /// The n-th has no colon.
    #[error("record key {0} is not id:secret")]
    NoSecret(usize),
    /// The id of the n-th.
    #[error(
        "the id of record key {0} must have 1 to {KEY_ID_BYTES_MAX} letters, digits, hyphens and \
         underscores"
    )]
    BadId(usize),
    /// The secret of the n-th is too short.
    #[error("the secret of record key {0} must have at least {RECORD_SECRET_BYTES_MIN} bytes")]
    ShortSecret(usize),
    /// The n-th has the id of another.
    #[error("record key {0} has the id of another")]
    RepeatedId(usize),
    /// The operators' public key.
    #[error("secrets.operator_public_key must be an Ed25519 public key, 64 hexadecimal digits")]
    BadPublicKey,
    /// The operators' private key.
    #[error("secrets.operator_key must be an Ed25519 seed, 64 hexadecimal digits")]
    BadOperatorKey,
    /// They are of two pairs.
    #[error("secrets.operator_key and secrets.operator_public_key do not belong together")]
    OtherPublicKey,
}

/// The keys of a node or a worker: MAC keys by id (the first one signs, all verify), the operators'
/// public key, and on some nodes its private half. Shared by all threads.
pub struct RecordKeys {
    first: RecordKey,
    older: Vec<RecordKey>,
    operator: Option<Ed25519KeyPair>,
    operator_public: ParsedPublicKey,
}

struct RecordKey {
    id: String,
    key: hmac::Key,
}

impl RecordKeys {
    /// From `secrets.record_keys` (`id:secret[,id:secret]`; a secret may hold colons, no commas),
    /// `secrets.operator_key` and `secrets.operator_public_key`.
    ///
    /// # Errors
    /// What is wrong with which key, counted from 1.
    pub fn new(
        record_keys: &SecretString,
        operator_key: Option<&SecretString>,
        operator_public_key: &str,
    ) -> Result<Self, RecordKeysError> {
        let (first, older) = parse_keys(record_keys.expose_secret())?;
        let public = hex_32(operator_public_key).ok_or(RecordKeysError::BadPublicKey)?;
        let operator = operator_key.map(|seed| operator_pair(seed, &public)).transpose()?;
        let operator_public =
            ParsedPublicKey::new(&ED25519, *public).map_err(|_| RecordKeysError::BadPublicKey)?;
        Ok(Self { first, older, operator, operator_public })
    }

    /// Appends the voucher of a record to `voucher`, at most [`VOUCHER_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`NoOperatorKey`], for [`Author::Operator`] alone.
    pub fn vouch(
        &self,
        author: Author,
        product: &str,
        nonce: &Nonce,
        value: &[u8],
        voucher: &mut Vec<u8>,
    ) -> Result<(), NoOperatorKey> {
        match author {
            Author::Node => {
                voucher.push(b'm');
                voucher.extend_from_slice(self.first.id.as_bytes());
                voucher.push(b':');
                voucher.extend_from_slice(self.first.mac(product, nonce, value).as_ref());
            }
            Author::Operator => {
                let key = self.operator.as_ref().ok_or(NoOperatorKey)?;
                voucher.push(b's');
                voucher.extend_from_slice(
                    key.sign(&message(OPERATOR_PURPOSE, &[product.as_bytes(), nonce, value]))
                        .as_ref(),
                );
            }
        }
        Ok(())
    }

    /// Says who vouches for a record. In constant time as to the MAC.
    ///
    /// # Errors
    /// [`BadVoucher`]: nobody does.
    pub fn verify(
        &self,
        voucher: &[u8],
        product: &str,
        nonce: &Nonce,
        value: &[u8],
    ) -> Result<Author, BadVoucher> {
        match voucher {
            [b'm', rest @ ..] if rest.len() > MAC_BYTES => {
                let (id, mac) = rest.split_at(rest.len() - MAC_BYTES);
                let id = id.strip_suffix(b":").ok_or(BadVoucher::Malformed)?;
                let mut keys = std::iter::once(&self.first).chain(&self.older);
                let key = keys.find(|key| key.id.as_bytes() == id).ok_or(BadVoucher::UnknownKey)?;
                verify_slices_are_equal(key.mac(product, nonce, value).as_ref(), mac)
                    .map_err(|_| BadVoucher::Wrong)?;
                Ok(Author::Node)
            }
            [b's', signature @ ..] if signature.len() == SIGNATURE_BYTES => {
                self.operator_public
                    .verify_sig(
                        &message(OPERATOR_PURPOSE, &[product.as_bytes(), nonce, value]),
                        signature,
                    )
                    .map_err(|_| BadVoucher::Wrong)?;
                Ok(Author::Operator)
            }
            _ => Err(BadVoucher::Malformed),
        }
    }
}

impl RecordKey {
    fn mac(&self, product: &str, nonce: &Nonce, value: &[u8]) -> hmac::Tag {
        tag(&self.key, PROPOSAL_PURPOSE, &[product.as_bytes(), nonce, value])
    }
}

fn parse_keys(text: &str) -> Result<(RecordKey, Vec<RecordKey>), RecordKeysError> {
    let mut keys: Vec<RecordKey> = Vec::new();
    let given = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    for (entry, number) in given.zip(1..) {
        let (id, secret) = entry.split_once(':').ok_or(RecordKeysError::NoSecret(number))?;
        if !is_key_id(id) {
            return Err(RecordKeysError::BadId(number));
        }
        if secret.len() < RECORD_SECRET_BYTES_MIN {
            return Err(RecordKeysError::ShortSecret(number));
        }
        if keys.iter().any(|known| known.id == id) {
            return Err(RecordKeysError::RepeatedId(number));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        keys.push(RecordKey { id: id.to_owned(), key });
    }
    let mut keys = keys.into_iter();
    let first = keys.next().ok_or(RecordKeysError::Empty)?;
    Ok((first, keys.collect()))
}

fn operator_pair(
    seed: &SecretString,
    public: &[u8; ED25519_KEY_BYTES],
) -> Result<Ed25519KeyPair, RecordKeysError> {
    let seed = hex_32(seed.expose_secret()).ok_or(RecordKeysError::BadOperatorKey)?;
    let pair =
        Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| RecordKeysError::BadOperatorKey)?;
    if pair.public_key().as_ref() != public {
        return Err(RecordKeysError::OtherPublicKey);
    }
    Ok(pair)
}

/// Whether a text can be the id of a key.
pub(super) fn is_key_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(fits)
}

#[cfg(test)]
pub(crate) mod tests;
