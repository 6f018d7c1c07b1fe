//! API clients: a shop's own backends, each with its id, its active secrets and its roles.
//!
//! Ids are no secrets: they go over the wire in clear. Still an unknown one costs what a wrong signature
//! costs ([`Clients::decoy`]), so that its answer comes no sooner.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::hmac;
use secrecy::ExposeSecret;

use crate::config::{self, ClientRole};
use crate::guard::limits::SharedTat;
use crate::guard::pass::NAME_SPACE_BYTES_MAX;

/// Longest id of an API client, in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 64;
/// Least length of an API client's secret, in bytes.
pub const CLIENT_SECRET_BYTES_MIN: usize = 16;

/// What an API client may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    order: bool,
    session: bool,
    fulfilment: bool,
}

impl Roles {
    /// The roles of a list.
    pub fn new(roles: &[ClientRole]) -> Self {
        let has = |role| roles.contains(&role);
        Self {
            order: has(ClientRole::Order),
            session: has(ClientRole::Session),
            fulfilment: has(ClientRole::Fulfilment),
        }
    }

    /// Whether this role is among them.
    pub fn has(&self, role: ClientRole) -> bool {
        match role {
            ClientRole::Order => self.order,
            ClientRole::Session => self.session,
            ClientRole::Fulfilment => self.fulfilment,
        }
    }
}

/// An API client.
pub struct ApiClient {
    /// What it sends as `x-api-key`.
    pub id: Arc<str>,
    /// Its active secrets.
    pub keys: Vec<hmac::Key>,
    /// What it may do.
    pub roles: Roles,
    /// The name space of its users.
    pub name_space: Arc<str>,
    /// Its place among the clients, for caches.
    pub index: u32,
    /// Its rate's theoretical arrival time.
    pub tat: SharedTat,
}

/// Why a client of the configuration is none. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The id does not fit.
    #[error("the id of API client {0} must match ^[A-Za-z0-9_-]{{1,64}}$")]
    BadId(usize),
    /// No secret.
    #[error("API client {0} has no secret")]
    NoSecret(String),
    /// A secret is too short.
    #[error("a secret of API client {0} has fewer than {CLIENT_SECRET_BYTES_MIN} bytes")]
    ShortSecret(String),
    /// The name space does not fit.
    #[error("the name space of API client {0} must match ^[A-Za-z0-9._-]{{1,64}}$")]
    BadNameSpace(String),
    /// The same id twice with another meaning.
    #[error("API client {0} is given twice with different roles or name spaces")]
    Conflicting(String),
}

/// All API clients.
pub struct Clients {
    by_id: HashMap<Arc<str>, ApiClient>,
    /// Signs for ids that are not known.
    decoy: [hmac::Key; 1],
}

impl Clients {
    /// Takes the configured clients. The same id again is further secrets of the same client.
    ///
    /// # Errors
    /// What is wrong with which client.
    pub fn new(config: &[config::ApiClient]) -> Result<Self, ClientError> {
        let mut by_id: HashMap<Arc<str>, ApiClient> = HashMap::new();
        for (client, number) in config.iter().zip(1..) {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let id = client.id.as_str();
            if id.is_empty() || id.len() > CLIENT_ID_BYTES_MAX || !id.bytes().all(fits) {
                return Err(ClientError::BadId(number));
            }
            if !is_name_space(&client.name_space) {
                return Err(ClientError::BadNameSpace(id.to_owned()));
            }
            let keys = signing_keys(client)?;
            let roles = Roles::new(&client.roles);
            let index = by_id.len() as u32;
            let known = by_id.entry(id.into()).or_insert_with_key(|id| ApiClient {
                id: id.clone(),
                keys: Vec::new(),
                roles,
                name_space: client.name_space.as_str().into(),
                index,
                tat: SharedTat::default(),
            });
            if known.roles != roles || *known.name_space != *client.name_space {
                return Err(ClientError::Conflicting(id.to_owned()));
            }
            known.keys.extend(keys);
        }
        Ok(Self { by_id, decoy: [hmac::Key::new(hmac::HMAC_SHA256, b"no client has this key")] })
    }

    /// The client of this id.
    pub fn get(&self, id: &str) -> Option<&ApiClient> {
        // Longer ones are not worth a hash over all their bytes.
        if id.len() > CLIENT_ID_BYTES_MAX { None } else { self.by_id.get(id) }
    }

    /// Keys with which to check the signature of an unknown id, for the time that it takes alone.
    pub fn decoy(&self) -> &[hmac::Key] {
        &self.decoy
    }
}

fn signing_keys(client: &config::ApiClient) -> Result<Vec<hmac::Key>, ClientError> {
    if client.secrets.is_empty() {
        return Err(ClientError::NoSecret(client.id.clone()));
    }
    let key = |secret: &secrecy::SecretString| {
        let secret = secret.expose_secret().as_bytes();
        let long = secret.len() >= CLIENT_SECRET_BYTES_MIN;
        long.then(|| hmac::Key::new(hmac::HMAC_SHA256, secret))
    };
    let keys = client.secrets.iter().map(key).collect::<Option<_>>();
    keys.ok_or_else(|| ClientError::ShortSecret(client.id.clone()))
}

/// Whether a text can be a name space: `^[A-Za-z0-9._-]{1,64}$`. It stands in every pass, unescaped.
pub fn is_name_space(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= NAME_SPACE_BYTES_MAX && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: &str, secrets: &[&str]) -> config::ApiClient {
        config::ApiClient {
            id: id.to_owned(),
            secrets: secrets.iter().map(|secret| (*secret).into()).collect(),
            roles: config::default_roles(),
            name_space: "shop".to_owned(),
        }
    }

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn a_repeated_id_is_another_active_secret() {
        let repeated = [client("a", &[SECRET]), client("b", &[SECRET]), client("a", &[SECRET])];
        let clients = Clients::new(&repeated).unwrap();
        let found = clients.get("a").unwrap();
        assert_eq!((found.keys.len(), found.index), (2, 0));
        assert_eq!(clients.get("b").unwrap().index, 1);
        assert!(clients.get("c").is_none() && clients.get(&"a".repeat(65)).is_none());
        assert!(found.roles.has(ClientRole::Order) && !found.roles.has(ClientRole::Fulfilment));
    }

    #[test]
    fn clients_that_cannot_be_are_named() {
        let mut other_roles = client("a", &[SECRET]);
        other_roles.roles = vec![ClientRole::Fulfilment];
        let mut bad_space = client("a", &[SECRET]);
        bad_space.name_space = "a b".to_owned();
        let name = || "a".to_owned();
        let cases = [
            (vec![client("a b", &[SECRET])], ClientError::BadId(1)),
            (vec![client("a", &[])], ClientError::NoSecret(name())),
            (vec![client("a", &[SECRET, "short"])], ClientError::ShortSecret(name())),
            (vec![bad_space], ClientError::BadNameSpace(name())),
            (vec![client("a", &[SECRET]), other_roles], ClientError::Conflicting(name())),
        ];
        for (config, expected) in cases {
            assert_eq!(Clients::new(&config).err(), Some(expected));
        }
    }
}
