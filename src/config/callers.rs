//! Who may order: a shop's own backends, and shoppers with a token of the shop's.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// Someone who issues JWTs for a shop's users. Exactly one of `key`, `key_file` and `jwks_file` is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// The `iss` that a token must carry.
    pub issuer: String,
    /// The `aud` that a token must carry.
    pub audience: String,
    /// The one algorithm: a token's own `alg` must equal it.
    pub algorithm: JwtAlgorithm,
    /// Shared secret (HS256).
    #[serde(default)]
    pub key: Option<SecretString>,
    /// Public key (PEM) for the other algorithms.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Keys by `kid`, as a JWK set (RFC 7517).
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The claim that holds the user id.
    #[serde(default = "sub")]
    pub user_claim: String,
    /// Hash the user claim (for ids that do not fit `^[a-z0-9-]{1,50}$`, such as mail addresses).
    #[serde(default)]
    pub hash_user: bool,
    /// The name space of its users: issuers and clients that share one share their buyers.
    #[serde(default = "shop")]
    pub name_space: String,
}

/// The name space of shops that configure none.
pub const DEFAULT_NAME_SPACE: &str = "shop";

fn sub() -> String {
    "sub".to_owned()
}

pub(super) fn shop() -> String {
    DEFAULT_NAME_SPACE.to_owned()
}

/// Algorithms of JWTs that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA over P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// A shop's own backend, which signs with its own secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiClient {
    /// The id that it sends as `x-api-key`: `^[A-Za-z0-9_-]{1,64}$`.
    pub id: String,
    /// Its active secrets, each at least 16 bytes; several during a change of secrets.
    pub secrets: Vec<SecretString>,
    /// What it may do.
    #[serde(default = "default_roles")]
    pub roles: Vec<ClientRole>,
    /// The name space of its users.
    #[serde(default = "shop")]
    pub name_space: String,
}

/// The roles of a client for which none are configured.
pub fn default_roles() -> Vec<ClientRole> {
    vec![ClientRole::Order, ClientRole::Session]
}

/// What an API client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientRole {
    /// Place orders for its users and look them up.
    Order,
    /// Open sessions for its users.
    Session,
    /// Read the feed of accepted orders with user ids, and cancel orders.
    Fulfilment,
}
