//! Merchants' JWTs: how a shop says who its shopper is at `POST /session`.
//!
//! Everything that a token could choose is fixed by the configuration: its issuer (`iss`) selects the
//! configured one, and algorithm, audience and keys are that one's. `exp` is required and a number; `nbf`,
//! when it is there, is a number and past. `jku`, `x5u` and `jwk` are never looked at; a token with `crit`
//! is refused, as no extension is understood here. Both times may be off by [`LEEWAY_SECONDS`].
//!
//! `hash_user`: the user id is then the first 50 hexadecimal digits of SHA-256 over the claim's text. It
//! has no key, so that the shop can compute it too and find its user in the fulfilment feed.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::chain::sha256;
use crate::config::{JwtAlgorithm, JwtIssuer};
use crate::guard::Now;
use crate::guard::clients::is_name_space;
use crate::sale::UserId;

pub mod key_set;

use key_set::{KeySet, KeySetError};

/// The largest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8_192;
/// How far a shop's clock may be from this node's, in seconds.
pub const LEEWAY_SECONDS: u64 = 30;
/// Least length of a shared secret, in bytes.
pub const SHARED_SECRET_BYTES_MIN: usize = 32;

/// Hexadecimal digits that stand for a hashed user.
const HASHED_USER_DIGITS: usize = 50;

/// Why a configured issuer is none. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// Not exactly one of the three.
    #[error("exactly one of key, key_file and jwks_file must be given")]
    OneKey,
    /// A shared secret goes with HS256 alone, a key file with the others.
    #[error("{0} cannot be used with this algorithm")]
    WrongKind(&'static str),
    /// The shared secret is too short.
    #[error("the key must have at least {SHARED_SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// The name space does not fit.
    #[error("the name_space must match ^[A-Za-z0-9._-]{{1,64}}$")]
    BadNameSpace,
    /// The key file cannot be read.
    #[error("the key file cannot be read")]
    Read(#[source] std::io::Error),
    /// The key file is no public key of the algorithm.
    #[error("the key file is not a public key (PEM) of this algorithm")]
    Pem(#[source] jsonwebtoken::errors::Error),
    /// The key set cannot be used.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// The configured issuers.
pub struct JwtIssuers(Vec<Issuer>);

struct Issuer {
    config: JwtIssuer,
    validation: Validation,
    keys: Keys,
}

enum Keys {
    One(DecodingKey),
    Set(KeySet),
}

/// Who a token says that its bearer is.
pub struct JwtUser<'a> {
    /// The user.
    pub user: UserId,
    /// The name space of the user's id.
    pub name_space: &'a str,
}

/// Why a token is refused: a text for the shop's developer, which tells nothing that the token's holder
/// does not know.
pub type WhyNot = &'static str;

#[derive(Deserialize)]
struct IssuerOnly {
    iss: String,
}

impl JwtIssuers {
    /// Takes the configured issuers and reads their key files.
    ///
    /// # Errors
    /// The issuer, and what is wrong with it.
    pub fn new(config: &[JwtIssuer]) -> Result<Self, (String, JwtError)> {
        let issuer = |config: &JwtIssuer| {
            Issuer::new(config).map_err(|error| (config.issuer.clone(), error))
        };
        config.iter().map(issuer).collect::<Result<_, _>>().map(Self)
    }

    /// Verifies a token. May read a key set's file anew, at most once in 30 s.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn verify(&self, token: &str, now: Now) -> Result<JwtUser<'_>, WhyNot> {
        const NO_TOKEN: WhyNot = "The bearer token is not a JWT that is taken here.";
        if token.len() > TOKEN_BYTES_MAX {
            return Err("The token is too long.");
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| NO_TOKEN)?;
        if header.crit.is_some() {
            return Err("The token has critical extensions, of which none is known.");
        }
        // Not verified yet: it only selects whose keys must verify it.
        let said: IssuerOnly =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| NO_TOKEN)?;
        let mut why_not = "The token's issuer is not known.";
        for issuer in self.0.iter().filter(|issuer| issuer.config.issuer == said.iss) {
            match issuer.verify(token, header.alg, header.kid.as_deref(), now) {
                Ok(user) => return Ok(JwtUser { user, name_space: &issuer.config.name_space }),
                Err(why) => why_not = why,
            }
        }
        Err(why_not)
    }
}

impl Issuer {
    fn new(config: &JwtIssuer) -> Result<Self, JwtError> {
        if !is_name_space(&config.name_space) {
            return Err(JwtError::BadNameSpace);
        }
        let keys = match (&config.key, &config.key_file, &config.jwks_file) {
            (Some(secret), None, None) => Keys::One(shared_key(config, secret.expose_secret())?),
            (None, Some(file), None) => {
                let pem = std::fs::read(file).map_err(JwtError::Read)?;
                Keys::One(public_key(config.algorithm, &pem)?)
            }
            (None, None, Some(file)) => Keys::Set(KeySet::read(file, config.algorithm)?),
            _ => return Err(JwtError::OneKey),
        };
        let mut validation = Validation::new(algorithm(config.algorithm));
        // The claims are checked below, against the time that is passed in.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Ok(Self { config: config.clone(), validation, keys })
    }

    fn verify(
        &self,
        token: &str,
        alg: Algorithm,
        kid: Option<&str>,
        now: Now,
    ) -> Result<UserId, WhyNot> {
        if alg != algorithm(self.config.algorithm) {
            return Err("The token's algorithm is not the one that is configured for its issuer.");
        }
        let key = match &self.keys {
            Keys::One(key) => key,
            Keys::Set(set) => {
                &*set.find(kid, now.monotonic_us).ok_or("The token's key is not known.")?
            }
        };
        let decoded: Result<TokenData<Map<String, Value>>, _> =
            jsonwebtoken::decode(token, key, &self.validation);
        let claims = decoded.map_err(|error| why_not_decoded(&error))?.claims;
        check_times(&claims, now.unix_ms)?;
        if claims.get("iss").and_then(Value::as_str) != Some(&self.config.issuer) {
            return Err("The token's issuer is not known.");
        }
        if !names(claims.get("aud"), &self.config.audience) {
            return Err("The token is for another audience.");
        }
        self.user(&claims)
    }

    fn user(&self, claims: &Map<String, Value>) -> Result<UserId, WhyNot> {
        let text = match claims.get(&self.config.user_claim) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            // Ids that are whole numbers are the same text for everybody.
            Some(Value::Number(number)) if number.is_u64() => number.to_string(),
            _ => return Err("The token lacks the claim that holds the user id."),
        };
        let text = if self.config.hash_user { hashed_user(&text) } else { text };
        text.parse().map_err(|_| "The token's user id does not match ^[a-z0-9-]{1,50}$.")
    }
}

fn why_not_decoded(error: &jsonwebtoken::errors::Error) -> WhyNot {
    match error.kind() {
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => "The token's claims cannot be read.",
        _ => "The token's signature is not valid.",
    }
}

/// The user id that stands for a claim with `hash_user`.
pub fn hashed_user(claim: &str) -> String {
    let mut text = hex::encode(sha256(claim.as_bytes()));
    text.truncate(HASHED_USER_DIGITS);
    text
}

fn check_times(claims: &Map<String, Value>, now_ms: u64) -> Result<(), WhyNot> {
    // Whole and fractional seconds are both NumericDate (RFC 7519, section 2); text never is.
    let seconds = |claim: &Value| claim.as_f64().filter(|seconds| *seconds >= 0.0);
    let (now, leeway) = (now_ms as f64 / 1_000.0, LEEWAY_SECONDS as f64);
    let exp = claims.get("exp").and_then(seconds).ok_or("The token lacks a numeric exp.")?;
    if exp + leeway <= now {
        return Err("The token has expired.");
    }
    if let Some(nbf) = claims.get("nbf") {
        let nbf = seconds(nbf).ok_or("The token's nbf is not a number.")?;
        if nbf > now + leeway {
            return Err("The token is not good yet.");
        }
    }
    Ok(())
}

/// Whether an `aud` (a text or a list of them) names this audience.
fn names(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

fn algorithm(configured: JwtAlgorithm) -> Algorithm {
    match configured {
        JwtAlgorithm::HS256 => Algorithm::HS256,
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

fn shared_key(config: &JwtIssuer, secret: &str) -> Result<DecodingKey, JwtError> {
    if config.algorithm != JwtAlgorithm::HS256 {
        return Err(JwtError::WrongKind("a shared key"));
    }
    if secret.len() < SHARED_SECRET_BYTES_MIN {
        return Err(JwtError::ShortSecret);
    }
    Ok(DecodingKey::from_secret(secret.as_bytes()))
}

fn public_key(algorithm: JwtAlgorithm, pem: &[u8]) -> Result<DecodingKey, JwtError> {
    let key = match algorithm {
        JwtAlgorithm::HS256 => return Err(JwtError::WrongKind("a key file")),
        JwtAlgorithm::RS256 => DecodingKey::from_rsa_pem(pem),
        JwtAlgorithm::ES256 => DecodingKey::from_ec_pem(pem),
        JwtAlgorithm::EdDSA => DecodingKey::from_ed_pem(pem),
    };
    key.map_err(JwtError::Pem)
}

#[cfg(test)]
mod tests;
