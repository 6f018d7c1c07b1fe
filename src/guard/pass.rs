//! Session passes: what a shopper shows with every request, and the session key that goes with one.
//!
//! A pass is `v1.<payload>.<MAC>`, both parts base64url without padding. The payload is JSON:
//!
//! | member | what |
//! |---|---|
//! | `k` | id of the pass key that signed it; the old ones verify until the last of their passes expires |
//! | `u`, `n` | the user, and the name space that the user's id belongs to |
//! | `i`, `e` | issued and expires, Unix milliseconds |
//! | `p` | 128 random bits, in hex: two passes of a user are never the same |
//! | `a` | the product to whose sale the holder is admitted from its waiting room; absent otherwise |
//!
//! Unknown members are left alone. A node that does not know `a` treats its holder as not admitted, which is the
//! safe side.
//!
//! The session key is derived from the pass: HMAC(pass key; "session-key", pass). The server stores
//! nothing. Keys: one HMAC key a pass key id, under which passes and session keys have their own purpose.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::guard::mac::{MAC_BYTES, Mac};
use crate::keys::tag;
use crate::sale::{ProductId, UserId};

/// Length of a pass in bytes; the largest that is issued is below it.
pub const PASS_BYTES_MAX: usize = 640;
/// Least length of a pass key's secret in bytes.
pub const PASS_SECRET_BYTES_MIN: usize = 32;
/// Hexadecimal digits of a session key.
pub const SESSION_KEY_BYTES: usize = 64;
/// Longest id of a pass key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 64;
/// Longest name space of users, in bytes.
pub const NAME_SPACE_BYTES_MAX: usize = 64;

const VERSION: &str = "v1.";
const PASS_PURPOSE: &str = "session-pass";
const SESSION_KEY_PURPOSE: &str = "session-key";

/// A pass's random name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PassId(pub [u8; 16]);

/// What a pass says.
#[derive(Clone)]
pub struct Pass {
    /// Whose it is.
    pub user: UserId,
    /// The name space of the user's id.
    pub name_space: Box<str>,
    /// When it was issued, in Unix milliseconds.
    pub issued_ms: u64,
    /// From when on it is no good, in Unix milliseconds.
    pub expires_ms: u64,
    /// Its random name.
    pub id: PassId,
    /// To which sale its holder was admitted from the waiting room.
    pub admission: Option<ProductId>,
}

impl Pass {
    /// Whether it is no good any more.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }
}

/// A session key: 64 hexadecimal digits. The bytes of this text are the HMAC key.
pub struct SessionKey([u8; SESSION_KEY_BYTES]);

impl SessionKey {
    /// The text, as the client gets it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }

    /// The key with which requests are signed.
    pub fn signing_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// Why the pass keys of the configuration are none. Never holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassKeysError {
    /// Nothing there.
    #[error("no pass key is given")]
    Empty,
    /// Not `id:secret`.
    #[error("pass key {0} is not of the form id:secret")]
    NoSecret(usize),
    /// The id does not fit.
    #[error("the id of pass key {0} must match ^[A-Za-z0-9_-]{{1,64}}$")]
    BadId(usize),
    /// The secret is too short.
    #[error("the secret of pass key {0} must have at least {PASS_SECRET_BYTES_MIN} bytes")]
    ShortSecret(usize),
    /// Two keys have one id.
    #[error("pass key {0} has the id of another")]
    RepeatedId(usize),
}

/// The keys of passes: the first signs, all verify.
pub struct PassKeys {
    first: PassKey,
    older: Vec<PassKey>,
}

struct PassKey {
    id: String,
    key: hmac::Key,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    k: &'a str,
    u: &'a str,
    n: &'a str,
    i: u64,
    e: u64,
    p: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    a: Option<&'a str>,
}

impl PassKeys {
    /// Reads `id:secret[,id:secret]`. A secret may hold colons, no commas.
    ///
    /// # Errors
    /// What is wrong with which key, counted from 1.
    pub fn parse(text: &str) -> Result<Self, PassKeysError> {
        let mut keys: Vec<PassKey> = Vec::new();
        let given = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        for (entry, number) in given.zip(1..) {
            let (id, secret) = entry.split_once(':').ok_or(PassKeysError::NoSecret(number))?;
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if id.is_empty() || id.len() > KEY_ID_BYTES_MAX || !id.bytes().all(fits) {
                return Err(PassKeysError::BadId(number));
            }
            if secret.len() < PASS_SECRET_BYTES_MIN {
                return Err(PassKeysError::ShortSecret(number));
            }
            if keys.iter().any(|known| known.id == id) {
                return Err(PassKeysError::RepeatedId(number));
            }
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            keys.push(PassKey { id: id.to_owned(), key });
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(PassKeysError::Empty)?;
        Ok(Self { first, older: keys.collect() })
    }

    /// Writes a pass under the first key, and derives its session key.
    pub fn issue(&self, pass: &Pass) -> (String, SessionKey) {
        let mut pass_id = [0; 32];
        hex::encode_to_slice(pass.id.0, &mut pass_id).expect("32 hex digits for 16 bytes");
        let payload = Payload {
            k: &self.first.id,
            u: pass.user.as_str(),
            n: &pass.name_space,
            i: pass.issued_ms,
            e: pass.expires_ms,
            p: std::str::from_utf8(&pass_id).expect("hex digits are ASCII"),
            a: pass.admission.as_ref().map(ProductId::as_str),
        };
        let json = serde_json::to_vec(&payload).expect("strings and numbers are always JSON");
        let mut text = VERSION.to_owned();
        URL_SAFE_NO_PAD.encode_string(json, &mut text);
        let mac = tag(&self.first.key, PASS_PURPOSE, &[text.as_bytes()]);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(mac.as_ref(), &mut text);
        let session_key = self.first.session_key(&text);
        (text, session_key)
    }

    /// Reads and verifies a pass, whatever its time; `None` for one that none of the keys signed.
    pub fn verify(&self, text: &str) -> Option<(Pass, SessionKey)> {
        if text.len() > PASS_BYTES_MAX {
            return None;
        }
        let (signed, mac) = text.rsplit_once('.')?;
        let payload = signed.strip_prefix(VERSION)?;
        let mut buffer = [0; PASS_BYTES_MAX];
        let length = URL_SAFE_NO_PAD.decode_slice(payload, &mut buffer).ok()?;
        // Read before it is verified, for the key's id alone: small, bounded and strict.
        let payload: Payload<'_> = serde_json::from_slice(&buffer[..length]).ok()?;
        let key = self.key(payload.k)?;
        if !decode_mac(mac)?.is(&tag(&key.key, PASS_PURPOSE, &[signed.as_bytes()])) {
            return None;
        }
        let mut id = [0; 16];
        hex::decode_to_slice(payload.p, &mut id).ok()?;
        let pass = Pass {
            user: payload.u.parse().ok()?,
            name_space: payload.n.into(),
            issued_ms: payload.i,
            expires_ms: payload.e,
            id: PassId(id),
            admission: payload.a.map(str::parse).transpose().ok()?,
        };
        Some((pass, key.session_key(text)))
    }

    fn key(&self, id: &str) -> Option<&PassKey> {
        std::iter::once(&self.first).chain(&self.older).find(|key| key.id == id)
    }
}

impl PassKey {
    fn session_key(&self, pass: &str) -> SessionKey {
        let mut text = [0; SESSION_KEY_BYTES];
        let derived = tag(&self.key, SESSION_KEY_PURPOSE, &[pass.as_bytes()]);
        hex::encode_to_slice(derived, &mut text).expect("64 hex digits for 32 bytes");
        SessionKey(text)
    }
}

fn decode_mac(text: &str) -> Option<Mac> {
    // The decoder asks for room for whole groups of four digits.
    let mut buffer = [0; MAC_BYTES + 4];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut buffer).ok()?;
    Some(Mac::from_bytes(buffer[..length].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old:0123456789abcdef0123456789abcdef";
    const NEW: &str = "new:fedcba9876543210fedcba9876543210";

    fn pass(user: &str) -> Pass {
        Pass {
            user: user.parse().unwrap(),
            name_space: "shop".into(),
            issued_ms: 1_000,
            expires_ms: 2_000,
            id: PassId([9; 16]),
            admission: None,
        }
    }

    #[test]
    fn an_admission_is_to_one_sale() {
        let keys = PassKeys::parse(NEW).unwrap();
        let product: ProductId = "lamp".parse().unwrap();
        let (text, _) = keys.issue(&Pass { admission: Some(product), ..pass("alice") });
        assert_eq!(keys.verify(&text).unwrap().0.admission, Some(product));
        assert_eq!(keys.verify(&keys.issue(&pass("alice")).0).unwrap().0.admission, None);
    }

    #[test]
    fn a_pass_says_what_was_issued_and_expires_at_its_edge() {
        let keys = PassKeys::parse(NEW).unwrap();
        let (text, session_key) = keys.issue(&pass("alice"));
        let (read, derived) = keys.verify(&text).unwrap();
        assert_eq!((read.user.as_str(), &*read.name_space), ("alice", "shop"));
        assert_eq!((read.issued_ms, read.expires_ms, read.id), (1_000, 2_000, PassId([9; 16])));
        assert_eq!(session_key.as_str(), derived.as_str());
        assert_eq!(session_key.as_str().len(), 64);
        assert!(!read.is_expired(1_999) && read.is_expired(2_000));
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let old = PassKeys::parse(OLD).unwrap();
        let both = PassKeys::parse(&format!("{NEW}, {OLD}")).unwrap();
        let (by_old, by_both) = (old.issue(&pass("alice")), both.issue(&pass("alice")));
        let again = both.verify(&by_old.0).unwrap();
        assert_eq!(again.1.as_str(), by_old.1.as_str());
        assert!(PassKeys::parse(NEW).unwrap().verify(&by_both.0).is_some());
        assert!(old.verify(&by_both.0).is_none());
        assert_ne!(by_old.1.as_str(), by_both.1.as_str());
    }

    #[test]
    fn no_changed_byte_of_a_pass_verifies() {
        let keys = PassKeys::parse(NEW).unwrap();
        let (text, _) = keys.issue(&pass("alice"));
        for position in 0..text.len() {
            for byte in [b'A', b'B', b'.', b'='] {
                let mut changed = text.clone().into_bytes();
                if changed[position] != byte {
                    changed[position] = byte;
                    assert!(keys.verify(std::str::from_utf8(&changed).unwrap()).is_none());
                }
            }
        }
        for length in 0..text.len() {
            assert!(keys.verify(&text[..length]).is_none());
        }
        assert!(keys.verify(&format!("{text}A")).is_none());
        assert!(keys.verify(&format!("{text}=")).is_none());
        assert!(keys.verify(&"v1.".repeat(400)).is_none());
    }

    #[test]
    fn a_pass_under_the_known_id_with_another_secret_does_not_verify() {
        let forged = PassKeys::parse("new:00000000000000000000000000000000").unwrap();
        let (text, _) = forged.issue(&pass("alice"));
        assert!(PassKeys::parse(NEW).unwrap().verify(&text).is_none());
    }

    #[test]
    fn the_largest_pass_fits() {
        let id = "k".repeat(KEY_ID_BYTES_MAX);
        let keys = PassKeys::parse(&format!("{id}:{}", "s".repeat(100))).unwrap();
        let name_space = "n".repeat(NAME_SPACE_BYTES_MAX).into();
        let (issued_ms, expires_ms) = (u64::MAX, u64::MAX);
        let admission = Some("p".repeat(50).parse().unwrap());
        let largest = pass(&"u".repeat(50));
        let pass = Pass { name_space, issued_ms, expires_ms, admission, ..largest };
        assert!(keys.verify(&keys.issue(&pass).0).is_some());
    }

    #[test]
    fn bad_pass_keys_are_named_by_number() {
        let secret = "0123456789abcdef0123456789abcdef";
        let cases = [
            (String::new(), PassKeysError::Empty),
            (" , ".to_owned(), PassKeysError::Empty),
            ("alone".to_owned(), PassKeysError::NoSecret(1)),
            (format!("{NEW},x y:{secret}"), PassKeysError::BadId(2)),
            (format!(":{secret}"), PassKeysError::BadId(1)),
            ("a:short".to_owned(), PassKeysError::ShortSecret(1)),
            (format!("{NEW},new:{secret}"), PassKeysError::RepeatedId(2)),
        ];
        for (text, expected) in cases {
            assert_eq!(PassKeys::parse(&text).err(), Some(expected), "{text}");
        }
    }
}
